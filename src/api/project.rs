//! A project in code: its declarations, and queries against an engine that stays open.

use std::collections::BTreeMap;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::declare::{Asset, Draft, Open, Sole, Source};
use super::environment::environment;
use super::error::Error;
use super::handle::{Handle, IntoPartition, Parts, Reference};
use super::job::Job;
use super::report::{PartitionRef, Report, Status};
use super::resolve::Whole;
use super::resource::{Replaced, Resource};
use super::system::SystemClock;
use super::together::Several;
use super::value::{self, Value};
use crate::base::{AssetKey, Clock, PartitionIdx, PartitionKey, PartitionSet};
use crate::defs::partition::PartitionExpr;
use crate::defs::{self, Origin, Settings};
use crate::engine::{Access, Engine, Options, RunOptions};
use crate::exec::{Control, Functions};
use crate::load::{self, Diagnostic};
use crate::plan::{Reach, Request, Why};

/// Sources and assets that a program declares, and the way to ask for their values.
///
/// Declarations are judged when the project is first used: then all mistakes come back at once.
/// Results live in `.giornata` below the root, so a program that is started again finds them.
///
/// ```
/// use giornata::api::Project;
/// # let dir = tempfile::tempdir()?;
/// let mut project = Project::new("letters", dir.path());
/// let letter = project
///     .asset("letter")
///     .keys(["a", "b"])
///     .compute(|ctx| Ok(ctx.partition().to_string()));
/// assert_eq!(project.get(&letter, "a")?, "a");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Project {
    id: u64,
    name: String,
    root: PathBuf,
    /// `None`: UTC, or what the project's files say.
    timezone: Option<String>,
    beside: Beside,
    /// `None`: that of the machine.
    clock: Option<Arc<dyn Clock>>,
    settings: Settings,
    drafts: Vec<Draft>,
    jobs: Vec<(Job, Origin)>,
    env: BTreeMap<String, String>,
    replaced: Replaced,
    engine: Option<Engine>,
    warnings: Vec<String>,
    /// Of the project's files, as they were when the engine was opened.
    diagnostics: Vec<Diagnostic>,
    /// What was left out of the environment then.
    notices: Vec<String>,
}

/// What there is beside the declarations of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Files,
}

/// A project as a program declares it, ready to be opened: for those who drive the engine themselves. See
/// the example of [`Project::resolve`].
pub struct Program {
    /// Everything that is sound.
    pub project: defs::Project,
    /// What computes the program's own assets.
    pub functions: Arc<dyn Functions>,
    /// The directory that paths are relative to; absolute.
    pub root: PathBuf,
    /// What its files say beyond that, if it has such.
    pub files: Option<Files>,
    /// Variables over those of the process and of `.env`; see [`Project::env`].
    pub env: BTreeMap<String, String>,
    /// What time it is, if the program says so; see [`Project::clock`].
    pub clock: Option<Arc<dyn Clock>>,
}

/// What was read of the files of a program's project.
///
/// ```
/// use giornata::api::Project;
/// # let dir = tempfile::tempdir()?;
/// std::fs::write(dir.path().join("giornata.toml"), "name = \"shop\"\n")?;
/// let program = Project::with_files(dir.path()).resolve(dir.path())?;
/// let files = program.files.ok_or("it has files")?;
/// assert!(files.diagnostics.is_empty());
/// assert_eq!(files.assets_dir, std::path::Path::new("assets"));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct Files {
    /// What is wrong with them, by file and place.
    pub diagnostics: Vec<Diagnostic>,
    /// Every definition file, relative to the root.
    pub read: Vec<PathBuf>,
    /// What is yet to be judged by a database.
    pub conditions: Vec<load::Condition>,
    /// Where definitions are looked for, relative to the root.
    pub assets_dir: PathBuf,
}

/// Declarations.
impl Project {
    /// A project without declarations; its state will be in `.giornata` below `root`, which is made where it is
    /// first needed. `name` is for people. See the example of [`Project`].
    pub fn new(name: &str, root: impl Into<PathBuf>) -> Project {
        Project::of(name, root.into(), Beside::Nothing)
    }

    /// The project of files that `root` lies in (the nearest directory upwards with a `giornata.toml`
    /// in it), to which the program adds assets of its own. Name, time zone and settings are those of
    /// the files. Either side may read what the other one declares; the program names an asset of the
    /// files with [`Project::existing`]. What the files say of `io: default` is for their own assets: one of the
    /// program is put elsewhere only if it says [`io`](Asset::io) itself.
    ///
    /// ```
    /// use giornata::api::{Project, Table};
    /// # let dir = tempfile::tempdir()?;
    /// # let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text);
    /// # std::fs::create_dir(dir.path().join("assets"))?;
    /// # write("giornata.toml", "name = \"weather\"\n")?;
    /// # write("rain.csv", "mm\n2\n5\n")?;
    /// // assets/sources.yaml: `sources: {rain: {files: rain.csv}}`
    /// # write("assets/sources.yaml", "sources: {rain: {files: rain.csv}}\n")?;
    /// // assets/heavy.sql: reads `total`, which the program declares.
    /// # write("assets/heavy.sql", "-- /// asset\n-- ///\nSELECT mm FROM total WHERE mm > 6\n")?;
    /// let mut project = Project::with_files(dir.path());
    /// let rain = project.existing::<Table>("rain");
    /// project.asset("total").input(&rain).compute(|_, rain: Table| {
    ///     let mm = (0..rain.rows.len()).filter_map(|row| rain.cell(row, "mm")?.as_real()).sum::<f64>();
    ///     let mut total = Table::with_columns(["mm"]);
    ///     total.rows.push(vec![mm.into()]);
    ///     Ok(total)
    /// });
    /// let heavy = project.existing::<Table>("heavy");
    /// assert_eq!(project.get(&heavy, ())?.cell(0, "mm").and_then(|mm| mm.as_real()), Some(7.0));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn with_files(root: impl Into<PathBuf>) -> Project {
        Project::of("", root.into(), Beside::Files)
    }

    fn of(name: &str, root: PathBuf, beside: Beside) -> Project {
        static IDS: AtomicU64 = AtomicU64::new(0);
        Project {
            // Only tells the handles of two projects apart.
            id: IDS.fetch_add(1, Ordering::Relaxed),
            name: name.to_owned(),
            root,
            timezone: None,
            beside,
            clock: None,
            settings: Settings::default(),
            drafts: Vec::new(),
            jobs: Vec::new(),
            env: BTreeMap::new(),
            replaced: Replaced::default(),
            engine: None,
            warnings: Vec::new(),
            diagnostics: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Where days, months and years begin at midnight, such as `Europe/Berlin`; UTC unless said otherwise.
    /// A name that is none is a mistake ([`Mistake::Zone`](super::Mistake::Zone)).
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// project.timezone("Europe/Berlin");
    /// let start = project.asset("start").daily("2014-07-04").compute(|ctx| {
    ///     Ok(ctx.window().ok_or("a day has a window")?.start.to_rfc3339())
    /// });
    /// assert_eq!(project.get(&start, "2014-07-04")?, "2014-07-03T22:00:00+00:00");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn timezone(&mut self, zone: &str) -> &mut Project {
        self.timezone = Some(zone.to_owned());
        self.engine = None;
        self
    }

    /// Says what time it is, instead of the machine: which windows are complete depends on it. On the
    /// command line, `--now` wins.
    ///
    /// ```
    /// use giornata::api::Project;
    /// use giornata::base::FixedClock;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// project.clock(std::sync::Arc::new(FixedClock("2014-07-03T12:00:00Z".parse()?)));
    /// let day = project.asset("day").daily("2014-07-01").compute(|_| Ok(String::new()));
    /// assert_eq!(project.get_range(&day, "all")?.len(), 2);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn clock(&mut self, clock: Arc<dyn Clock>) -> &mut Project {
        self.clock = Some(clock);
        self.engine = None;
        self
    }

    /// How many steps run at once; as many as there are cores unless said otherwise.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// project.jobs(1);
    /// let letter = project.asset("letter").keys(["a", "b"]).compute(|ctx| Ok(ctx.partition().to_string()));
    /// assert_eq!(project.get_range(&letter, "all")?.len(), 2);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn jobs(&mut self, jobs: usize) -> &mut Project {
        self.settings.jobs = Some(jobs);
        self.engine = None;
        self
    }

    /// The value of an environment variable, over what the process has and what `.env` in the root adds:
    /// for resources, for configurations of jobs, and for commands, which inherit it.
    ///
    /// ```
    /// use giornata::api::{Launch, Project, job, op, resource};
    /// use serde_json::json;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("shop", dir.path());
    /// project.env("RATE", "1.5").env("CURRENCY", "EUR");
    /// let rate = resource("rate", |setup| Ok(setup.env("RATE")?.parse::<f64>()?));
    /// let uses = rate.clone();
    /// let price = project.asset("price").uses(&rate).compute(move |ctx| Ok(10.0 * ctx.resource(&uses)?));
    /// assert_eq!(project.get(&price, ())?, 15.0);
    /// let tell = op("tell").config(json!({"currency": "string"})).run(|ctx| {
    ///     assert_eq!(ctx.setting::<String>("currency")?, "EUR");
    ///     Ok(())
    /// });
    /// project.job(job("tells").define(|g| { tell.call(g); }));
    /// let report = project.run("tells", &Launch::new().set("tell.currency.env=CURRENCY"))?;
    /// assert!(report.is_success(), "{report:?}");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn env(&mut self, variable: &str, value: &str) -> &mut Project {
        self.env.insert(variable.to_owned(), value.to_owned());
        self.engine = None;
        self
    }

    /// A value in the place of a resource, which is then neither set up nor torn down: for tests. It also
    /// takes the place of one of that name which the project's files declare.
    ///
    /// ```
    /// use giornata::api::{Project, resource};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("shop", dir.path());
    /// let rate = resource("rate", |setup| Ok(setup.env("RATE")?.parse::<f64>()?));
    /// let uses = rate.clone();
    /// let price = project.asset("price").uses(&rate).compute(move |ctx| Ok(10.0 * ctx.resource(&uses)?));
    /// let error = project.get(&price, ()).unwrap_err().to_string();
    /// assert!(error.contains("`RATE` is not set"), "{error}");
    /// project.replace(&rate, 1.5);
    /// assert_eq!(project.get(&price, ())?, 15.0);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn replace<R: Send + Sync + 'static>(
        &mut self,
        resource: &Resource<R>,
        value: R,
    ) -> &mut Project {
        self.replaced.put(resource, value);
        self.engine = None;
        self
    }

    /// Begins to declare data from outside; see the example of [`Source`].
    #[track_caller]
    pub fn source(&mut self, name: &str) -> Source<'_> {
        let origin = origin(Location::caller());
        Source::new(Open::new(self, name, origin))
    }

    /// Begins to declare data that a function computes; see the example of [`Asset`].
    #[track_caller]
    pub fn asset(&mut self, name: &str) -> Asset<'_, ()> {
        let origin = origin(Location::caller());
        Asset::new(Open::new(self, name, origin), Sole)
    }

    /// Names an asset or a source that the project's files declare, as one whose partitions have values of the
    /// type `V`. A name that no file declares is a mistake ([`Mistake::NotExisting`](super::Mistake::NotExisting)).
    /// See the example of [`Project::with_files`].
    #[track_caller]
    pub fn existing<V: Value>(&mut self, name: &str) -> Handle<V> {
        let origin = origin(Location::caller());
        Open::new(self, name, origin).finish_existing()
    }

    /// Begins to declare several assets that one function computes. They have the same partitions and
    /// inputs, and a tuple of [`Handle`]s names them. Those that are fresh are not asked for
    /// ([`Context::is_wanted`](super::Context::is_wanted)), so a value must not depend on which others are
    /// wanted.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("words.txt"), "fig Oak pear Elm")?;
    /// let mut project = Project::new("words", dir.path());
    /// let words = project.source("words").files_as::<String>("words.txt");
    /// let (names, others) = project.assets(["names", "others"]).input(&words).compute(|_, words| {
    ///     let is_name = |word: &&str| word.starts_with(char::is_uppercase);
    ///     let (names, others): (Vec<&str>, Vec<&str>) = words.split(' ').partition(is_name);
    ///     Ok((names.join(" "), others.join(" ")))
    /// });
    /// assert_eq!(project.get(&names, ())?, "Oak Elm");
    /// assert_eq!(project.get(&others, ())?, "fig pear");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    ///
    /// A name without a value in the tuple does not compile:
    ///
    /// ```compile_fail,E0277
    /// # use giornata::api::Project;
    /// # let mut project = Project::new("words", ".");
    /// project.assets(["a", "b", "c"]).compute(|_| Ok(("1".to_owned(), "2".to_owned())));
    /// ```
    #[track_caller]
    pub fn assets<const N: usize>(&mut self, names: [&str; N]) -> Asset<'_, (), Several<N>> {
        let origin = origin(Location::caller());
        Asset::new(Open::new(self, &names.join("+"), origin), Several::new(names))
    }

    pub(super) fn declare(&mut self, mut draft: Draft) -> Reference {
        self.engine = None;
        draft.export = draft.export.map(|path| path.replace("{asset}", &draft.name));
        let name = draft.name.clone();
        self.drafts.push(draft);
        Reference { project: self.id, index: self.drafts.len() - 1, name }
    }

    pub(super) fn declare_job(&mut self, job: Job, origin: Origin) {
        self.engine = None;
        self.jobs.push((job, origin));
    }

    /// The directory that paths are relative to, as it was given.
    ///
    /// ```
    /// use giornata::api::Project;
    /// let project = Project::new("letters", "data/letters");
    /// assert_eq!(project.root(), std::path::Path::new("data/letters"));
    /// ```
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The definitions and the functions, for a program that drives the engine itself. `from` is where a
    /// relative root begins, such as the working directory. Fails with all mistakes at once
    /// ([`Error::Declarations`], [`Error::Job`]), or if the root or the project's files cannot be read
    /// ([`Error::Root`], [`Error::NoFiles`], [`Error::Files`]).
    ///
    /// ```
    /// use giornata::api::Project;
    /// let mut project = Project::new("letters", ".");
    /// project.asset("letter").keys(["a", "b"]).compute(|_| Ok(String::new()));
    /// let program = project.resolve(std::path::Path::new("."))?;
    /// assert_eq!(program.project.assets.len(), 1);
    /// # Ok::<(), giornata::api::Error>(())
    /// ```
    pub fn resolve(&self, from: &Path) -> Result<Program, Error> {
        let place = from.join(&self.root);
        let unreadable = |source| Error::Root { path: place.clone(), source };
        let mut root = std::path::absolute(&place).map_err(unreadable)?;
        if self.beside == Beside::Files {
            root = root.canonicalize().map_err(unreadable)?;
            root = load::find_root(&root).ok_or(Error::NoFiles { path: root })?;
        }
        let whole = Whole {
            id: self.id,
            name: &self.name,
            timezone: self.timezone.as_deref(),
            drafts: &self.drafts,
            jobs: &self.jobs,
            settings: self.settings.clone(),
            replaced: &self.replaced,
            env: &self.env,
            clock: self.clock.as_ref(),
        };
        match self.beside {
            Beside::Nothing => whole.alone(root),
            Beside::Files => whole.with_files(root),
        }
    }
}

/// Queries.
impl Project {
    /// The value of one partition. What is fresh is loaded, without running anything; what is not is
    /// computed first, with all that it reads, and stored.
    ///
    /// Fails for mistakes of the declarations ([`Error::Declarations`]), for a partition that does not exist
    /// ([`Error::UnknownPartition`]), if something on the way failed or is missing ([`Error::Failed`], with a
    /// report), and if what is kept cannot be read as a `V` ([`Error::Value`]).
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("name.txt"), "world")?;
    /// let mut project = Project::new("greetings", dir.path());
    /// let name = project.source("name").files_as::<String>("name.txt");
    /// let greeting = project
    ///     .asset("greeting")
    ///     .keys(["hello", "good bye"])
    ///     .input(&name)
    ///     .compute(|ctx, name| Ok(format!("{} {name}", ctx.partition())));
    /// assert_eq!(project.get(&name, ())?, "world");
    /// assert_eq!(project.get(&greeting, "hello")?, "hello world");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn get<V: Value>(
        &mut self,
        asset: &Handle<V>,
        partition: impl IntoPartition,
    ) -> Result<V, Error> {
        let partition = partition.into_partition();
        let key = self.look(asset)?;
        let engine = self.engine()?;
        let part = part(engine, &key, &partition)?;
        let target = PartitionRef { asset: key.clone(), partition };
        let report = bring_up_to_date(engine, &key, PartitionSet::from_iter([part]));
        self.judge(report, || target.to_string())?;
        read(self.engine()?, &target, part)
    }

    /// The values of the partitions that an expression names, in their order: `2014-07`,
    /// `2014-01..2014-03` with both ends, `a,b`, `latest`, `all`. Fails as [`get`](Project::get) does, and
    /// for an expression that cannot be read or names what does not exist ([`Error::Partitions`]).
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("days", dir.path());
    /// let day = project
    ///     .asset("day")
    ///     .daily("2014-01-01")
    ///     .compute(|ctx| Ok(ctx.partition().to_string()));
    /// let july = project.get_range(&day, "2014-07")?;
    /// assert_eq!(july.len(), 31);
    /// assert_eq!(july.get("2014-07-04").unwrap(), "2014-07-04");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn get_range<V: Value>(
        &mut self,
        asset: &Handle<V>,
        partitions: &str,
    ) -> Result<Parts<V>, Error> {
        let key = self.look(asset)?;
        let set = select(self.engine()?, &key, partitions)?;
        let report = bring_up_to_date(self.engine()?, &key, set.clone());
        self.judge(report, || format!("{key}@{partitions}"))?;
        let engine = self.engine()?;
        let domain = engine.planner().domain(&key);
        let value = |part| {
            let partition = domain.key(part).unwrap_or_else(PartitionKey::unpartitioned);
            let target = PartitionRef { asset: key.clone(), partition };
            let value = read(engine, &target, part)?;
            Ok((target.partition, value))
        };
        crate::plan::key_order(domain, &set).into_iter().map(value).collect()
    }

    /// Brings the partitions that an expression names up to date, with all that they read, and gives a report of
    /// what was done. If a step fails, everything that does not depend on it is made nevertheless, and the error
    /// ([`Error::Failed`]) has the report. See the example of [`Report`].
    pub fn materialize<V>(&mut self, asset: &Handle<V>, partitions: &str) -> Result<Report, Error> {
        let key = self.look(asset)?;
        let engine = self.engine()?;
        let set = select(engine, &key, partitions)?;
        let report = bring_up_to_date(engine, &key, set);
        self.judge(report, || format!("{key}@{partitions}"))
    }

    /// What the last query noticed about sources, such as files that belong to no partition.
    ///
    /// ```
    /// use giornata::api::{Partitions, Project};
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::write(dir.path().join("a.txt"), "a")?;
    /// # std::fs::write(dir.path().join("b.txt"), "b")?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter =
    ///     project.source("letter").partitions(Partitions::keys(["a"])).files_as::<String>("{name}.txt");
    /// project.get(&letter, "a")?;
    /// assert_eq!(project.warnings(), ["`b.txt` belongs to no partition of `letter`"]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many partitions of an asset are fresh, stale, missing and so on, after a look at its sources; nothing
    /// is run. See the example of [`Status`].
    pub fn status<V>(&mut self, asset: &Handle<V>) -> Result<Status, Error> {
        let key = self.look(asset)?;
        Ok(Status::of(self.engine()?, &key)?)
    }

    /// Why a partition is in the state in which it is, to the root causes; nothing is run. Fails for a
    /// partition that does not exist.
    ///
    /// ```
    /// use giornata::api::Project;
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("letters", dir.path());
    /// let letter = project.asset("letter").compute(|_| Ok(String::new()));
    /// assert_eq!(project.why(&letter, ())?.state, "missing");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn why<V>(
        &mut self,
        asset: &Handle<V>,
        partition: impl IntoPartition,
    ) -> Result<Why, Error> {
        let key = self.look(asset)?;
        let engine = self.engine()?;
        let part = part(engine, &key, &partition.into_partition())?;
        Ok(engine.why(&key, part)?)
    }

    /// The key of an asset, after a look at the sources that it depends on.
    fn look<V>(&mut self, asset: &Handle<V>) -> Result<AssetKey, Error> {
        if asset.place.project != self.id {
            return Err(Error::Foreign { asset: asset.name().to_owned() });
        }
        let engine = self.engine()?;
        let Some((key, _)) = engine.project().assets.get_key_value(asset.name()) else {
            return Err(self.broken(asset.name()));
        };
        let key = key.clone();
        let engine = self.engine()?;
        let seen = engine.refresh(std::slice::from_ref(&key))?;
        self.warnings = self.notices.iter().cloned().chain(seen).collect();
        Ok(key)
    }

    /// Why an asset cannot be used although all that the program says is sound.
    fn broken(&self, asset: &str) -> Error {
        let about =
            |it: &&Diagnostic| it.is_error() && it.disables.iter().any(|it| it.as_str() == asset);
        let told = |it: &Diagnostic| {
            let (line, _) = it.position();
            format!("{}:{line}: {}", it.file.display(), it.message)
        };
        let reasons = self.diagnostics.iter().filter(about).map(told).collect();
        Error::Broken { asset: asset.to_owned(), reasons }
    }

    pub(super) fn engine(&mut self) -> Result<&mut Engine, Error> {
        let engine = match self.engine.take() {
            Some(engine) => engine,
            None => self.open()?,
        };
        Ok(self.engine.insert(engine))
    }

    fn open(&mut self) -> Result<Engine, Error> {
        let Program { project, functions, root, files, env, clock } =
            self.resolve(Path::new(""))?;
        self.diagnostics = files.map(|files| files.diagnostics).unwrap_or_default();
        let (env, warnings) = environment(&root, &env);
        self.notices = warnings;
        let options = Options {
            root,
            access: Access::Write,
            clock: clock.unwrap_or_else(|| Arc::new(SystemClock)),
            env,
            set: Vec::new(),
            functions,
        };
        Ok(Engine::open(project, options)?)
    }

    fn judge(
        &mut self,
        report: Result<Report, crate::engine::Error>,
        target: impl FnOnce() -> String,
    ) -> Result<Report, Error> {
        let report = report.map(|mut report| {
            report.warnings.extend(self.warnings.iter().cloned());
            report
        });
        match report {
            Ok(report) if report.is_success() => Ok(report),
            Ok(report) => Err(Error::Failed { target: target(), report: Box::new(report) }),
            Err(error) => {
                // What memory holds may be behind the records.
                self.engine = None;
                Err(error.into())
            }
        }
    }
}

pub(super) fn origin(place: &Location<'_>) -> Origin {
    Origin { file: place.file().into(), line: place.line() }
}

fn part(engine: &Engine, asset: &AssetKey, key: &PartitionKey) -> Result<PartitionIdx, Error> {
    let domain = engine.planner().domain(asset);
    domain.index(key.as_str()).ok_or_else(|| {
        let asset = asset.to_string();
        let existing = domain.render(domain.all());
        let existing = match existing.as_slice() {
            _ if domain.def().is_unpartitioned() => return Error::Unpartitioned { asset },
            [] => "none yet".to_owned(),
            [a, b, c, d, ..] => format!("{a},{b},{c},{d} and more"),
            few => few.join(","),
        };
        match key.is_unpartitioned() {
            true => Error::Partitioned { asset, existing },
            false => Error::UnknownPartition { asset, partition: key.clone(), existing },
        }
    })
}

fn select(engine: &Engine, asset: &AssetKey, text: &str) -> Result<PartitionSet, Error> {
    let domain = engine.planner().domain(asset);
    if domain.def().is_unpartitioned() && matches!(text, "" | "all") {
        return Ok(domain.all().clone());
    }
    let expression = PartitionExpr::parse(text);
    let set = expression.and_then(|expression| engine.select(asset, &expression));
    set.map_err(|problem| {
        let (asset, text) = (asset.to_string(), text.to_owned());
        Error::Partitions { asset, text, problem }
    })
}

fn bring_up_to_date(
    engine: &mut Engine,
    asset: &AssetKey,
    parts: PartitionSet,
) -> Result<Report, crate::engine::Error> {
    let mut report = Report::default();
    // A source is observed, and that has been done.
    if engine.project().assets[asset].is_source() {
        return Ok(report);
    }
    let targets = [(asset.clone(), parts)].into();
    let request =
        Request { targets, chosen: Default::default(), reach: Reach::Upstream, force: false };
    let options = RunOptions { command: format!("get {asset}"), ..RunOptions::default() };
    engine.materialize(&request, &options, &Control::new(), &mut |engine, event| {
        report.hear(engine, event);
    })?;
    Ok(report)
}

fn read<V: Value>(engine: &Engine, target: &PartitionRef, part: PartitionIdx) -> Result<V, Error> {
    let parts = engine.parts(&target.asset, part)?;
    if parts.is_empty() {
        let partition = match target.partition.is_unpartitioned() {
            true => "it".to_owned(),
            false => format!("`{}`", target.partition),
        };
        return Err(Error::NoData { asset: target.asset.to_string(), partition });
    }
    value::read_joined(&parts)
        .map_err(|error| Error::Value { target: target.to_string(), source: Box::new(error) })
}
