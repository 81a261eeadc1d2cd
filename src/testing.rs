//! A project in a temporary directory, driven in this process: what ran is what a test asserts.
//!
//! The same harness serves projects of files and projects in code. Time stands still until it is told
//! to move, commands inherit nothing but a `PATH`, and the engine stays open from call to call until
//! [`Harness::reopen`]. A wrong expectation panics with what happened instead.
//!
//! ```
//! use giornata::testing::Harness;
//!
//! let mut harness = Harness::files(&[
//!     ("giornata.toml", "name = \"shop\"\n"),
//!     ("assets/sources.yaml", "sources:\n  orders: {files: orders.csv}\n"),
//!     ("assets/mart.sql", "-- /// asset\n-- ///\nSELECT sum(amount) AS total FROM orders\n"),
//!     ("orders.csv", "amount\n1\n2\n"),
//! ]);
//! harness.materialize("mart").ran("mart");
//! harness.materialize("mart").ran("");
//! assert_eq!(harness.text("mart"), "total\n3\n");
//!
//! harness.write("orders.csv", "amount\n2\n2\n");
//! harness.materialize("mart").ran("mart");
//! harness.write("orders.csv", "amount\n1\n2\n");
//! harness.materialize("mart").ran("").restored("mart");
//! ```

mod io;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tempfile::TempDir;

pub use self::io::check_io_manager;
use crate::api::{PartitionRef, Project, Report};
use crate::base::{AssetKey, Clock, PartitionKey, PartitionSet};
use crate::defs::partition::PartitionExpr;
use crate::engine::{Access, Engine, Options, RunOptions};
use crate::exec::{Content, Control, Functions, NoFunctions};
use crate::plan::{Reach, Request};
use crate::{defs, load};

/// What time it is in a new harness.
const NOW: &str = "2026-01-01T00:00:00Z";

/// A project in a directory of its own, which goes when the harness goes. What its methods cannot do is a
/// panic, which names the line of the test.
///
/// ```
/// use giornata::testing::Harness;
/// let mut harness = Harness::files(&[
///     ("giornata.toml", "name = \"letters\"\n"),
///     ("assets/sources.yaml", "sources:\n  letter: {files: letter.csv}\n"),
///     ("assets/count.sql", "-- /// asset\n-- ///\nSELECT count(*) AS n FROM letter\n"),
/// ]);
/// harness.write("letter.csv", "to\nAnn\n");
/// harness.materialize("count").ran("count");
/// harness.reopen();
/// assert_eq!(harness.text("count"), "n\n1\n");
/// harness.remove("letter.csv");
/// assert!(!harness.root().join("letter.csv").exists());
/// harness.materialize("count").ran_despite_failures("").blocked("count");
/// ```
pub struct Harness {
    dir: TempDir,
    clock: Arc<TestClock>,
    declared: Declared,
    engine: Option<Engine>,
}

enum Declared {
    Files,
    Code(Box<dyn Fn(&mut Project)>),
}

struct TestClock(Mutex<DateTime<Utc>>);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Harness {
    /// A project of files, given as paths below the root and what they hold: `giornata.toml`, what is under
    /// `assets/`, data. They may be written anew between two calls. See the example of [`Harness`].
    pub fn files(files: &[(&str, &str)]) -> Harness {
        let harness = Harness::new(Declared::Files);
        for (path, content) in files {
            harness.write(path, content);
        }
        harness
    }

    /// A project in code. `declare` is called whenever the engine is opened; a mistake in a declaration is a
    /// panic of the first call.
    ///
    /// ```
    /// use giornata::testing::Harness;
    /// let mut harness = Harness::code(|project| {
    ///     let text = project.source("text").files_as::<String>("{name}.txt");
    ///     project.asset("length").each(&text).input(&text).compute(|_, text| Ok(text.len().to_string()));
    /// });
    /// harness.write("a.txt", "four");
    /// harness.materialize("length").ran("length@a");
    /// assert_eq!(harness.text("length@a"), "4");
    /// ```
    pub fn code(declare: impl Fn(&mut Project) + 'static) -> Harness {
        Harness::new(Declared::Code(Box::new(declare)))
    }

    fn new(declared: Declared) -> Harness {
        let dir = tempfile::tempdir().expect("a test has a place for temporary files");
        let now = NOW.parse().expect("the constant is a time");
        Harness { dir, clock: Arc::new(TestClock(Mutex::new(now))), declared, engine: None }
    }

    /// The root of the project; see the example of [`Harness`].
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file below the root, and the directories that it needs; see the example of [`Harness`].
    #[track_caller]
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = written.and_then(|()| std::fs::write(&path, content));
        written.unwrap_or_else(|error| panic!("write `{}`: {error}", path.display()));
    }

    /// Removes a file below the root; panics if there is none. See the example of [`Harness`].
    #[track_caller]
    pub fn remove(&self, path: &str) {
        let path = self.root().join(path);
        std::fs::remove_file(&path)
            .unwrap_or_else(|error| panic!("remove `{}`: {error}", path.display()));
    }

    /// Sets the clock, in the form `2026-01-01T00:00:00Z`; until then it is that time, and it stands still.
    ///
    /// ```
    /// use giornata::testing::Harness;
    /// let mut harness = Harness::code(|project| {
    ///     project.asset("day").daily("2026-01-01").compute(|ctx| Ok(ctx.partition().to_string()));
    /// });
    /// harness.materialize("day").ran("");
    /// harness.set_now("2026-01-03T00:00:00Z");
    /// harness.materialize("day").ran("day@2026-01-01, day@2026-01-02");
    /// ```
    #[track_caller]
    pub fn set_now(&self, now: &str) {
        let now = now.parse().unwrap_or_else(|error| panic!("`{now}` is no time: {error}"));
        *self.clock.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Forgets everything that is not on disk, as a new process would; see the example of [`Harness`].
    pub fn reopen(&mut self) {
        self.engine = None;
    }

    /// Brings a target up to date: `mart`, or `mart@2014-07` for some partitions of it. Failures are part of
    /// the result; a target that there is not is a panic. See the example of [`Harness`].
    #[track_caller]
    pub fn materialize(&mut self, target: &str) -> Ran {
        let (asset, set) = self.look(target);
        let engine = self.engine();
        let request = Request {
            targets: [(asset, set)].into(),
            chosen: Default::default(),
            reach: Reach::Upstream,
            force: false,
        };
        let mut report = Report::default();
        let done = engine.materialize(
            &request,
            &RunOptions::default(),
            &Control::new(),
            &mut |engine, event| report.hear(engine, event),
        );
        done.unwrap_or_else(|error| panic!("materialize `{target}`: {error}"));
        Ran { report }
    }

    /// The bytes of one partition as they are kept, as text; nothing is run. Panics if there is no value, or if
    /// it is no text. See the example of [`Harness`].
    #[track_caller]
    pub fn text(&mut self, target: &str) -> String {
        let (asset, set) = self.look(target);
        let engine = self.engine();
        let parts = set.iter().flat_map(|part| {
            engine.parts(&asset, part).unwrap_or_else(|error| panic!("read `{target}`: {error}"))
        });
        let parts: Vec<_> = parts.collect();
        let [part] = parts.as_slice() else {
            panic!("`{target}` has {} values, not one", parts.len())
        };
        let bytes = match &part.content {
            Content::Inline(bytes) => bytes.to_vec(),
            Content::Blob(path) | Content::File(path) => std::fs::read(path)
                .unwrap_or_else(|error| panic!("read `{}`: {error}", path.display())),
            Content::Tree { .. } => panic!("`{target}` is a directory"),
        };
        String::from_utf8(bytes).unwrap_or_else(|error| panic!("`{target}`: {error}"))
    }

    /// The asset and the partitions that a target names, after a look at its sources.
    #[track_caller]
    fn look(&mut self, target: &str) -> (AssetKey, PartitionSet) {
        let (name, partitions) = target.split_once('@').unwrap_or((target, ""));
        let engine = self.engine();
        let key =
            AssetKey::parse(name).ok().filter(|key| engine.project().assets.contains_key(key));
        let key = key.unwrap_or_else(|| panic!("`{name}` is no asset of this project"));
        engine
            .refresh(std::slice::from_ref(&key))
            .unwrap_or_else(|error| panic!("look at the sources of `{name}`: {error}"));
        let set = if partitions.is_empty() {
            engine.planner().domain(&key).all().clone()
        } else {
            PartitionExpr::parse(partitions)
                .and_then(|expression| engine.select(&key, &expression))
                .unwrap_or_else(|error| panic!("`{target}`: {error}"))
        };
        (key, set)
    }

    /// The open engine, anew if files declare something else than before.
    #[track_caller]
    fn engine(&mut self) -> &mut Engine {
        let engine = match (self.engine.take(), &self.declared) {
            (Some(engine), Declared::Code(_)) => engine,
            (None, Declared::Code(declare)) => {
                let mut project = Project::new("harness", self.root());
                declare(&mut project);
                let program = project.resolve(self.root());
                let program = program.unwrap_or_else(|error| panic!("{error}"));
                self.open(program.project, program.functions)
            }
            (engine, Declared::Files) => {
                let project = self.load();
                let same = engine.filter(|engine| *engine.project() == project);
                same.unwrap_or_else(|| self.open(project, Arc::new(NoFunctions)))
            }
        };
        self.engine.insert(engine)
    }

    #[track_caller]
    fn load(&self) -> defs::Project {
        let loaded = load::project(self.root()).unwrap_or_else(|error| panic!("{error}"));
        let errors = loaded.diagnostics.iter().filter(|it| it.is_error());
        let errors: Vec<String> = errors
            .map(|it| format!("{}: {} ({})", it.file.display(), it.message, it.label))
            .collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
        loaded.project
    }

    #[track_caller]
    fn open(&self, project: defs::Project, functions: Arc<dyn Functions>) -> Engine {
        let path = ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
        let options = Options {
            root: self.root().to_owned(),
            access: Access::Write,
            clock: self.clock.clone(),
            env: vec![path],
            set: Vec::new(),
            functions,
        };
        Engine::open(project, options).unwrap_or_else(|error| panic!("open the project: {error}"))
    }
}

/// What one `materialize` did. Lists are in alphabetical order, `asset@partition` or `asset`, joined by
/// commas: the order in which independent steps end is nobody's promise.
///
/// ```
/// use giornata::testing::Harness;
/// let mut harness = Harness::code(|project| {
///     let letter = project.source("letter").files_as::<String>("{name}.txt");
///     let length = project.asset("length").each(&letter).input(&letter).compute(|_, letter| {
///         if letter.is_empty() { Err("it is empty".into()) } else { Ok(letter.len() as u64) }
///     });
///     let sum = project.asset("sum").inputs(&length);
///     sum.compute(|_, all: giornata::Parts<u64>| Ok(all.values().sum::<u64>()));
/// });
/// harness.write("a.txt", "four");
/// harness.materialize("sum").ran("length@a, sum");
/// harness.write("a.txt", "seven");
/// harness.materialize("sum").ran("length@a, sum");
/// harness.write("a.txt", "eight");
/// harness.materialize("sum").ran("length@a").cut_off("sum");
/// harness.write("a.txt", "four");
/// harness.materialize("sum").ran("").restored("length@a, sum");
/// harness.write("b.txt", "");
/// harness.materialize("sum").ran_despite_failures("").failed("length@b").blocked("sum");
/// ```
#[must_use = "say what should have run"]
pub struct Ran {
    /// In full.
    pub report: Report,
}

impl Ran {
    /// Exactly these ran and succeeded, and nothing failed; panics with what happened instead, as all of these
    /// do. See the example of [`Ran`].
    #[track_caller]
    pub fn ran(&self, expect: &str) -> &Ran {
        let reason = self.report.reason();
        assert!(self.report.is_success(), "{reason}");
        self.ran_despite_failures(expect)
    }

    /// Exactly these ran and succeeded, whatever failed; see the example of [`Ran`].
    #[track_caller]
    pub fn ran_despite_failures(&self, expect: &str) -> &Ran {
        check("ran", &self.report.ran, expect);
        self
    }

    /// Exactly these turned out to be right as they were; see the example of [`Ran`].
    #[track_caller]
    pub fn cut_off(&self, expect: &str) -> &Ran {
        check("were cut off", &self.report.cut_off, expect);
        self
    }

    /// Exactly these were brought back from earlier results; see the example of [`Ran`].
    #[track_caller]
    pub fn restored(&self, expect: &str) -> &Ran {
        check("were restored", &self.report.restored, expect);
        self
    }

    /// Exactly these failed; see the example of [`Ran`].
    #[track_caller]
    pub fn failed(&self, expect: &str) -> &Ran {
        let failed: Vec<_> = self.report.failed.iter().map(|step| step.what.clone()).collect();
        check("failed", &failed, expect);
        self
    }

    /// Exactly these could not be tried; see the example of [`Ran`].
    #[track_caller]
    pub fn blocked(&self, expect: &str) -> &Ran {
        let refs = self.report.blocked.iter().flat_map(|blocked| {
            let what = |partition: &PartitionKey| PartitionRef {
                asset: blocked.asset.clone(),
                partition: partition.clone(),
            };
            blocked.partitions.iter().map(what)
        });
        check("were blocked", &refs.collect::<Vec<_>>(), expect);
        self
    }
}

#[track_caller]
fn check(what: &str, refs: &[PartitionRef], expect: &str) {
    let mut found: Vec<String> = refs.iter().map(ToString::to_string).collect();
    found.sort_unstable();
    let mut expected: Vec<&str> =
        expect.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    expected.sort_unstable();
    assert_eq!(found.join(", "), expected.join(", "), "these {what}, not those");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Json, Parts};

    const PROJECT: &[(&str, &str)] = &[
        ("giornata.toml", "name = \"shop\"\n"),
        ("assets/sources.yaml", "sources:\n  orders: {files: orders.csv, split_by: day}\n"),
        (
            "assets/daily.sql",
            "-- /// asset\n-- partitions = \"each(orders)\"\n-- ///\n\
             SELECT max(amount) AS amount FROM orders\n",
        ),
        ("assets/mart.sql", "-- /// asset\n-- ///\nSELECT sum(amount) AS total FROM daily\n"),
        ("orders.csv", "day,amount\na,1\na,2\nb,3\n"),
    ];

    #[test]
    fn what_ran_was_cut_off_and_was_restored_is_told() {
        let mut harness = Harness::files(PROJECT);
        harness.materialize("mart").ran("daily@a, daily@b, mart");
        harness.write("orders.csv", "day,amount\na,0\na,2\nb,3\n");
        harness.materialize("mart").ran("daily@a").cut_off("mart");
        harness.write("assets/mart.sql", "-- /// asset\n-- ///\nSELECT count(*) AS n FROM daily\n");
        harness.materialize("mart").ran("mart");
        assert_eq!(harness.text("mart"), "n\n2\n");
        harness.write("assets/mart.sql", PROJECT[3].1);
        harness.reopen();
        harness.materialize("mart").ran("").restored("mart");
        harness.remove("orders.csv");
        // A file that is not there is not one without rows.
        let ran = harness.materialize("daily@all");
        ran.ran_despite_failures("").blocked("daily@a, daily@b");
    }

    #[test]
    fn failures_are_told_and_time_is_set() {
        let mut harness = Harness::code(|project| {
            let day = project.asset("day").daily("2026-01-01").compute(|ctx| {
                match ctx.partition().as_str() {
                    "2026-01-02" => Err("no power".into()),
                    key => Ok(key.to_owned()),
                }
            });
            project
                .asset("all")
                .inputs(&day)
                .compute(|_, days: Parts<String>| Ok(Json(days.len())));
        });
        harness.set_now("2026-01-02T12:00:00Z");
        harness.materialize("all").ran("all, day@2026-01-01");
        harness.set_now("2026-01-04T00:00:00Z");
        let ran = harness.materialize("all");
        ran.ran_despite_failures("day@2026-01-03").failed("day@2026-01-02").blocked("all");
    }

    #[test]
    #[should_panic(expected = "these ran, not those")]
    fn a_wrong_expectation_panics() {
        Harness::files(PROJECT).materialize("mart").ran("mart");
    }
}
