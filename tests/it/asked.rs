//! Dependencies that a function finds out while it runs: recorded, and exact.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use giornata::api::{BoxError, Handle, Project, State};
use giornata::base::{AssetKey, FixedClock, PartitionSet};
use giornata::engine::{Access, Engine, Options, RunEvent, RunOptions};
use giornata::exec::Control;
use giornata::plan::{Reach, Request};

/// `report` reads in `wanted` which days it sums up, and asks for them.
struct World {
    dir: tempfile::TempDir,
    project: Project,
    report: Handle<String>,
    daily: Handle<String>,
    /// How often the function of `report` has begun.
    begun: Arc<AtomicU64>,
}

impl World {
    fn new(wanted: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("days")).unwrap();
        for day in 1..=4 {
            std::fs::write(dir.path().join(format!("days/{day}.txt")), day.to_string()).unwrap();
        }
        std::fs::write(dir.path().join("wanted.txt"), wanted).unwrap();
        World::open(dir)
    }

    fn open(dir: tempfile::TempDir) -> World {
        let mut project = Project::new("sums", dir.path());
        let wanted = project.source("wanted").files_as::<String>("wanted.txt");
        let days = project.source("days").files_as::<String>("days/{day}.txt");
        let daily = project
            .asset("daily")
            .version("1")
            .each(&days)
            .input(&days)
            .compute(|_, day| Ok(day.trim().to_owned()));
        let begun = Arc::new(AtomicU64::new(0));
        let (asked, count) = (daily.clone(), begun.clone());
        let report = project.asset("report").version("1").input(&wanted).may_read(&daily).compute(
            move |ctx, wanted: String| {
                count.fetch_add(1, Ordering::Relaxed);
                let mut sum = 0;
                for day in wanted.split_whitespace() {
                    sum += ctx.get(&asked, day)?.parse::<u64>()?;
                }
                Ok(sum.to_string())
            },
        );
        World { dir, project, report, daily, begun }
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.dir.path().join(path), text).unwrap();
    }

    /// The report, and what ran for it.
    fn check(&mut self, value: &str, ran: &[&str]) {
        let report = self.project.materialize(&self.report, "all").unwrap();
        let found: Vec<String> = report.ran.iter().map(ToString::to_string).collect();
        assert_eq!(found, ran);
        assert_eq!(self.project.get(&self.report, ()).unwrap(), value);
    }
}

#[test]
fn what_is_asked_for_is_made_first_and_nothing_else() {
    let mut world = World::new("1 3");
    world.check("4", &["daily@1", "daily@3", "report"]);
    assert_eq!(world.begun.load(Ordering::Relaxed), 3, "once for each day that was not there");
    assert_eq!(world.project.status(&world.daily).unwrap().partitions(State::Missing), ["2", "4"]);
    world.check("4", &[]);
}

#[test]
fn exactly_what_was_asked_for_makes_stale() {
    let mut world = World::new("1 3");
    world.check("4", &["daily@1", "daily@3", "report"]);
    world.write("days/2.txt", "20");
    world.check("4", &[]);
    world.write("days/3.txt", "30");
    let begun = world.begun.load(Ordering::Relaxed);
    world.check("31", &["daily@3", "report"]);
    assert_eq!(
        world.begun.load(Ordering::Relaxed),
        begun + 1,
        "it was given what it asked for before"
    );
    // Cut off: a day that comes out as it was.
    world.write("days/3.txt", "30\n");
    world.check("31", &["daily@3"]);
}

#[test]
fn what_is_no_longer_asked_for_no_longer_counts() {
    let mut world = World::new("1 3");
    world.check("4", &["daily@1", "daily@3", "report"]);
    world.write("wanted.txt", "1");
    world.check("1", &["report"]);
    world.write("days/3.txt", "30");
    world.check("1", &[]);
    // What was asked for before is found again without running, if the days are as they were.
    world.write("days/3.txt", "3");
    world.write("wanted.txt", "1 2");
    world.check("3", &["daily@2", "report"]);
}

#[test]
fn a_new_process_knows_what_was_asked_for() {
    let mut world = World::new("1 3");
    world.check("4", &["daily@1", "daily@3", "report"]);
    let mut world = World::open(world.dir);
    world.check("4", &[]);
    world.write("days/1.txt", "10");
    world.check("13", &["daily@1", "report"]);
    assert_eq!(world.begun.load(Ordering::Relaxed), 1);
}

#[test]
fn what_cannot_be_had_is_a_failure_with_its_reason() {
    let check = |wanted: &str, expect: &str| {
        let mut world = World::new(wanted);
        let error = world.project.get(&world.report, ()).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check("1 9", "`report` failed: asked for `daily@9`, which does not exist");

    let mut world = World::new("1");
    let undeclared = world.daily.clone();
    let bad = world.project.asset("bad").compute(move |ctx| ctx.get(&undeclared, "1"));
    let error = world.project.get(&bad, ()).unwrap_err().to_string();
    assert!(error.contains("`bad` asks for `daily` and does not say `may_read` of it"), "{error}");
}

#[test]
fn what_fails_upstream_blocks_whoever_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("p", dir.path());
    let flaky =
        project.asset("flaky").keys(["a", "b"]).compute(|ctx| match ctx.partition().as_str() {
            "a" => Ok("fine".to_owned()),
            _ => Err("no luck".into()),
        });
    let asked = flaky.clone();
    let reader = project
        .asset("reader")
        .keys(["a", "b"])
        .may_read(&flaky)
        .compute(move |ctx| ctx.get(&asked, ctx.partition()));
    let Err(giornata::api::Error::Failed { report, .. }) = project.materialize(&reader, "all")
    else {
        panic!("`flaky@b` fails")
    };
    assert_eq!((report.summary.ran, report.summary.failed, report.summary.blocked), (2, 1, 1));
    assert_eq!(project.get(&reader, "a").unwrap(), "fine");
}

#[test]
fn an_error_that_was_swallowed_is_no_result() {
    let dir = tempfile::tempdir().unwrap();
    let mut project = Project::new("p", dir.path());
    let base = project.asset("base").compute(|_| Ok("here".to_owned()));
    let asked = base.clone();
    let careless = project.asset("careless").may_read(&base).compute(move |ctx| {
        Ok(ctx.get(&asked, ()).unwrap_or_else(|_: BoxError| "not here".to_owned()))
    });
    assert_eq!(project.get(&careless, ()).unwrap(), "here");

    let other = project.asset("other").compute(|_| Ok("there".to_owned()));
    let asked = other.clone();
    let hasty = project.asset("hasty").may_read(&other).compute(move |ctx| {
        let text: String = ctx.get(&asked, ()).unwrap();
        Ok(text)
    });
    assert_eq!(project.get(&hasty, ()).unwrap(), "there", "a panic because of it is no failure");
}

/// Asks for another partition than the last time although nothing that is declared has changed.
#[test]
fn forced_steps_that_ask_are_still_forced() {
    let dir = tempfile::tempdir().unwrap();
    let second = Arc::new(AtomicBool::new(false));
    let mut project = Project::new("p", dir.path());
    let base =
        project.asset("base").keys(["a", "b"]).compute(|ctx| Ok(ctx.partition().to_string()));
    let (asked, now) = (base.clone(), second.clone());
    project
        .asset("one")
        .version("1")
        .may_read(&base)
        .compute(move |ctx| ctx.get(&asked, if now.load(Ordering::Relaxed) { "b" } else { "a" }));
    let program = project.resolve(Path::new("")).unwrap();
    let options = Options {
        root: program.root,
        access: Access::Write,
        clock: Arc::new(FixedClock("2026-01-01T00:00:00Z".parse().unwrap())),
        env: Vec::new(),
        set: Vec::new(),
        functions: program.functions,
    };
    let mut engine = Engine::open(program.project, options).unwrap();
    let one = AssetKey::parse("one").unwrap();
    let mut check = |force, expect: &[&str]| {
        let targets = [(one.clone(), PartitionSet::from_iter([0]))].into();
        let request =
            Request { targets, chosen: Default::default(), reach: Reach::Upstream, force };
        let mut ran = Vec::new();
        let hear = &mut |_: &Engine, event| {
            if let RunEvent::StepSucceeded { asset, partition, .. } = event {
                ran.push(format!("{asset}@{partition}"));
            }
        };
        engine.materialize(&request, &RunOptions::default(), &Control::new(), hear).unwrap();
        assert_eq!(ran, expect);
    };
    check(false, &["base@a", "one@"]);
    second.store(true, Ordering::Relaxed);
    check(false, &[]);
    check(true, &["base@b", "one@"]);
    check(false, &[]);
}
