//! What the freshness tests stand on: projects of functions, and processes that share a store.
//!
//! The value of an asset is a digest of everything its function was given, so a value that is out of
//! date shows. Functions from version 3 on also take a number that nothing declares: the world.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use giornata::base::{AssetKey, Clock, Digest, Durability, PartitionKey, PartitionSet};
use giornata::defs::partition::{Cadence, DynamicDef, TimeWindowDef};
use giornata::defs::{
    Asset, Body, Dep, FunctionBody, FunctionSlot, MappingDef, Missing, Origin, OutputDef,
    PartitionsDef, PathPattern, Policy, Project, Settings, SourceDef, SplitBy, TableFormat,
};
use giornata::engine::{Access, Engine, Options, RunEvent, RunOptions};
use giornata::exec::{Content, Control, Emitted, Failure, Functions, Part, Produced, Step, Told};
use giornata::io::Encoded;
use giornata::plan::{Reach, Request};

pub fn key(name: &str) -> AssetKey {
    AssetKey::parse(name).unwrap()
}

pub fn day_key(day: u32) -> String {
    format!("2020-01-{:02}", day + 1)
}

fn midnight(day: u32) -> chrono::NaiveDateTime {
    NaiveDate::from_ymd_opt(2020, 1, day + 1).unwrap().and_hms_opt(0, 0, 0).unwrap()
}

/// Days from `start` on, counted from the first of January; `end` is excluded.
pub fn daily(start: u32, end: Option<u32>) -> PartitionsDef {
    PartitionsDef::TimeWindow(TimeWindowDef {
        cadence: Cadence::Daily { hour: 0, minute: 0 },
        start: midnight(start),
        end: end.map(midnight),
        timezone: chrono_tz::Tz::UTC,
        format: "%Y-%m-%d".to_owned(),
        end_offset: 0,
        exclusions: vec![],
    })
}

pub fn fixed(keys: &[&str]) -> PartitionsDef {
    PartitionsDef::Static(keys.iter().map(|key| PartitionKey::new(*key)).collect())
}

/// The partitions of a source that are what its files say.
pub fn files_of(source: &str) -> PartitionsDef {
    PartitionsDef::Dynamic(DynamicDef::Source(key(source)))
}

/// A source of the files that match `pattern`.
pub fn source(name: &str, pattern: &str, partitions: PartitionsDef) -> Asset {
    let pattern = PathPattern::parse(pattern).unwrap();
    let files = SourceDef::Files { pattern, split_by: None, columns: BTreeMap::new() };
    asset_of(name, partitions, Body::Source(files), OutputDef::None)
}

/// A source of one file whose rows fall into partitions by the column `day`.
pub fn split(name: &str, path: &str, partitions: PartitionsDef) -> Asset {
    let pattern = PathPattern::parse(path).unwrap();
    let by = Some(SplitBy { column: "day".to_owned(), format: None });
    let files = SourceDef::Files { pattern, split_by: by, columns: BTreeMap::new() };
    asset_of(name, partitions, Body::Source(files), OutputDef::None)
}

/// A source that is a directory.
pub fn dir(name: &str, path: &str) -> Asset {
    let dir = SourceDef::Dir { path: path.to_owned(), columns: BTreeMap::new() };
    asset_of(name, PartitionsDef::Unpartitioned, Body::Source(dir), OutputDef::None)
}

/// A source whose version is the one line of a file; without the file it cannot be asked.
pub fn observed(name: &str, path: &str) -> Asset {
    let command = format!("read -r line < {path} && echo \"$line\"");
    let (ttl, timeout) = (None, Duration::from_secs(60));
    let observe = SourceDef::Observe { command, ttl, timeout };
    asset_of(name, PartitionsDef::Unpartitioned, Body::Source(observe), OutputDef::None)
}

/// A function; `deps` are names with their mappings, `?` behind a name allows what is missing.
pub fn asset(name: &str, partitions: PartitionsDef, code: u8, deps: &[(&str, &str)]) -> Asset {
    let body =
        Body::Function(FunctionBody { version: code.to_string(), slot: FunctionSlot::Asset });
    let mut asset = asset_of(name, partitions, body, OutputDef::Table(TableFormat::Csv));
    let dep = |(name, mapping): &(&str, &str)| {
        let (name, missing) = match name.strip_suffix('?') {
            Some(name) => (name, Missing::Allow),
            None => (*name, Missing::Error),
        };
        let mapping = match *mapping {
            "" => MappingDef::Default,
            text => MappingDef::parse(text).unwrap(),
        };
        Dep { upstream: key(name), mapping, missing }
    };
    asset.deps = deps.iter().map(dep).collect();
    asset
}

fn asset_of(name: &str, partitions: PartitionsDef, body: Body, output: OutputDef) -> Asset {
    Asset {
        origin: Origin { file: "giornata.toml".into(), line: 1 },
        key: key(name),
        partitions,
        body,
        deps: vec![],
        output,
        export: None,
        io: None,
        config: BTreeMap::new(),
        env: BTreeSet::new(),
        resources: BTreeMap::new(),
        inputs: vec![],
        version: None,
        checks: vec![],
        policy: Policy::default(),
        description: None,
        group: None,
        owners: vec![],
        tags: BTreeMap::new(),
        kinds: BTreeSet::new(),
    }
}

pub fn project(assets: Vec<Asset>) -> Project {
    let assets = assets.into_iter().map(|asset| (asset.key.clone(), Arc::new(asset))).collect();
    let settings = Settings { durability: Durability::Fast, ..Settings::default() };
    Project { assets, settings, ..Project::empty() }
}

/// A clock that the test moves.
pub struct Hand(AtomicI64);

impl Hand {
    /// Noon of a day: windows up to the day before are complete.
    pub fn set(&self, day: u32) {
        let noon = midnight(day).and_utc().timestamp() + 12 * 3600;
        self.0.store(noon, Ordering::Relaxed);
    }

    /// Long after everything; returns the moment before.
    pub fn move_far(&self) -> i64 {
        self.0.swap(4_102_444_800, Ordering::Relaxed)
    }

    pub fn move_back(&self, to: i64) {
        self.0.store(to, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0.load(Ordering::Relaxed), 0).unwrap()
    }
}

type Hook = Box<dyn FnOnce(&Step) + Send>;

/// One execution: what it made, and everything it was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ran {
    pub id: String,
    pub given: String,
    pub aging: Aging,
}

/// How results age, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aging {
    Never,
    After(i64),
    AtOnce,
}

impl Aging {
    pub fn of(policy: &Policy) -> Aging {
        match policy.ttl {
            _ if policy.volatile => Aging::AtOnce,
            Some(ttl) => Aging::After(i64::try_from(ttl.as_millis()).unwrap()),
            None => Aging::Never,
        }
    }
}

/// The functions of all assets.
#[derive(Default)]
pub struct Bodies {
    ran: Mutex<Vec<Ran>>,
    /// Assets that fail.
    pub failing: Mutex<BTreeSet<String>>,
    /// Called once, in the step with this name: before it reads (true) or after.
    hooks: Mutex<BTreeMap<(String, bool), Hook>>,
    /// Values are one of three, so that changes are often cut off.
    pub coarse: bool,
    /// What no declaration mentions, and functions from version 3 on take.
    pub world: AtomicU64,
}

impl Bodies {
    fn fails(&self, ran: &Ran) -> bool {
        let asset = ran.id.split('@').next().unwrap();
        self.failing.lock().unwrap().contains(asset)
    }

    fn hook(&self, id: &str, before: bool, step: &Step) {
        let hook = self.hooks.lock().unwrap().remove(&(id.to_owned(), before));
        if let Some(hook) = hook {
            hook(step);
        }
    }
}

/// The functions, and the declarations of one process.
struct Declared {
    bodies: Arc<Bodies>,
    assets: BTreeMap<AssetKey, Arc<Asset>>,
}

impl Functions for Declared {
    fn call(&self, step: &Step, _: &mut Told<'_>) -> Result<Vec<Emitted>, Failure> {
        self.bodies.call(step, &self.assets[step.def.name.as_str()])
    }
}

impl Bodies {
    fn call(&self, step: &Step, asset: &Asset) -> Result<Vec<Emitted>, Failure> {
        let id = format!("{}@{}", step.def.name, step.partition);
        self.hook(&id, true, step);
        let mut given = head(asset, step.partition.as_str(), step.window.is_some());
        for input in &step.inputs {
            let parts = input.parts.iter().map(|part: &Part| (part.key.as_str(), text(part)));
            push_input(&mut given, &input.name, parts);
        }
        self.hook(&id, false, step);
        let aging = Aging::of(&asset.policy);
        self.ran.lock().unwrap().push(Ran { id, given: given.clone(), aging });
        if self.failing.lock().unwrap().contains(step.def.name.as_str()) {
            return Err(Failure::Function("as told".to_owned()));
        }
        let world = self.world.load(Ordering::Relaxed);
        let value = made(asset, &given, world, self.coarse);
        let bytes = format!("{value}\n").into_bytes();
        let encoded = Encoded { bytes, schema: String::new() };
        let what = Produced::Table { encoded, format: TableFormat::Csv, rows: 1 };
        Ok(vec![Emitted::only(what)])
    }
}

fn text(part: &Part) -> String {
    let bytes = match &part.content {
        Content::Inline(bytes) => bytes.to_vec(),
        Content::File(path) if path.is_dir() => return tree(path),
        Content::Blob(path) | Content::File(path) => std::fs::read(path).unwrap(),
        Content::Tree { .. } => unreachable!("no asset makes a directory"),
    };
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

/// All that a directory consists of.
pub fn tree(dir: &Path) -> String {
    let mut lines = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                lines.push(format!("{}/", path.strip_prefix(dir).unwrap().display()));
                open.push(path);
                continue;
            }
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o100;
            let (text, name) = (std::fs::read_to_string(&path).unwrap(), path.strip_prefix(dir));
            lines.push(format!("{} {mode} {}", name.unwrap().display(), text.trim()));
        }
    }
    lines.sort();
    lines.join("; ")
}

pub fn head(asset: &Asset, partition: &str, has_window: bool) -> String {
    let Body::Function(function) = &asset.body else { unreachable!("only functions run") };
    let deps = asset.deps.iter().map(|d| format!("{} {} {:?}", d.upstream, d.mapping, d.missing));
    let deps: Vec<String> = deps.collect();
    let kind = if has_window { "window" } else { "" };
    format!("{} v{} {partition} {deps:?} {kind}", asset.key, function.version)
}

pub fn takes_world(asset: &Asset) -> bool {
    let Body::Function(function) = &asset.body else { unreachable!("only functions run") };
    function.version.parse::<u8>().unwrap() >= 3
}

pub fn push_input<'a>(
    given: &mut String,
    name: &str,
    parts: impl Iterator<Item = (&'a str, String)>,
) {
    write!(given, "; {name}:").unwrap();
    for (key, value) in parts {
        write!(given, " {key}={value:?}").unwrap();
    }
}

/// What a function makes of what it is given.
pub fn made(asset: &Asset, given: &str, world: u64, coarse: bool) -> String {
    let given = if takes_world(asset) { format!("{given}; {world}") } else { given.to_owned() };
    let digest = Digest::of_blob(given.as_bytes()).short();
    match coarse {
        true => (given.bytes().map(u32::from).sum::<u32>() % 3).to_string(),
        false => digest,
    }
}

/// One process: the declarations that it was started with, and its engine while it lives.
pub struct Process {
    pub project: Project,
    pub engine: Option<Engine>,
}

/// A directory with a store that several processes share, and what is known of them all.
pub struct Shelf {
    pub dir: tempfile::TempDir,
    pub clock: Arc<Hand>,
    pub bodies: Arc<Bodies>,
    /// Everything that was ever computed and recorded, apart from what ages.
    pub known: BTreeSet<String>,
    /// Of what ages: when it was computed the last time.
    pub young: BTreeMap<String, i64>,
    /// Worlds in which something may have been made, and when.
    pub history: Mutex<Vec<(u64, i64)>>,
    /// Marked as stale by hand, and not made since.
    pub invalidated: Mutex<BTreeSet<String>>,
    /// What was said by hand to be the result of what: when.
    pub accepted: BTreeMap<Accepted, i64>,
}

/// A result that was said to be right: of which partition, made of what, its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted {
    pub id: String,
    pub given: String,
    pub value: String,
}

/// What a request came to.
#[derive(Debug)]
pub struct Done {
    pub ran: Vec<Ran>,
}

impl Done {
    /// The names of what ran, in alphabetical order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.ran.iter().map(|ran| ran.id.as_str()).collect();
        names.sort_unstable();
        names
    }
}

impl Shelf {
    pub fn new(coarse: bool) -> Shelf {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        clock.set(30);
        let bodies = Arc::new(Bodies { coarse, ..Bodies::default() });
        Shelf {
            dir: tempfile::tempdir().unwrap(),
            clock,
            bodies,
            known: BTreeSet::new(),
            young: BTreeMap::new(),
            history: Mutex::default(),
            invalidated: Mutex::default(),
            accepted: BTreeMap::new(),
        }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.path(path)).unwrap();
    }

    /// Calls `hook` once in the step `id`, before the step reads its inputs.
    pub fn before(&self, id: &str, hook: impl FnOnce(&Step) + Send + 'static) {
        self.bodies.hooks.lock().unwrap().insert((id.to_owned(), true), Box::new(hook));
    }

    /// Calls `hook` once in the step `id`, after the step has read its inputs.
    pub fn after(&self, id: &str, hook: impl FnOnce(&Step) + Send + 'static) {
        self.bodies.hooks.lock().unwrap().insert((id.to_owned(), false), Box::new(hook));
    }

    /// Hooks whose step did not run are not called later.
    pub fn forget_hooks(&self) {
        self.bodies.hooks.lock().unwrap().clear();
    }

    pub fn open(&self, project: &Project, access: Access) -> Engine {
        open(self.dir.path(), &self.clock, &self.bodies, project, access)
    }

    /// Opens a project that lies somewhere else.
    pub fn open_at(&self, root: &Path, project: &Project) -> Engine {
        open(root, &self.clock, &self.bodies, project, Access::Write)
    }

    pub fn process(&self, assets: Vec<Asset>) -> Process {
        let project = project(assets);
        let engine = Some(self.open(&project, Access::Write));
        Process { project, engine }
    }

    /// Makes everything of a project that is no source.
    pub fn make_all(&mut self, process: &mut Process) -> Done {
        let engine = self.refreshed(process);
        let request = all(engine, false);
        self.make(process, &request)
    }

    /// The engine of a process, after a look at the world.
    pub fn refreshed<'a>(&self, process: &'a mut Process) -> &'a mut Engine {
        let project = &process.project;
        let engine = process.engine.get_or_insert_with(|| self.open(project, Access::Write));
        let assets: Vec<AssetKey> = project.assets.keys().cloned().collect();
        engine.refresh(&assets).unwrap();
        engine
    }

    /// Carries out a request. Nothing that was recorded may run again, unless it is forced.
    pub fn make(&mut self, process: &mut Process, request: &Request) -> Done {
        self.bodies.ran.lock().unwrap().clear();
        self.live();
        let engine = process.engine.as_mut().unwrap();
        let options = RunOptions { jobs: Some(2), ..RunOptions::default() };
        engine.materialize(request, &options, &Control::new(), &mut |_, _| {}).unwrap();
        let ran = std::mem::take(&mut *self.bodies.ran.lock().unwrap());
        let now = self.clock.now().timestamp_millis();
        let mut invalidated = self.invalidated.lock().unwrap();
        let mut seen = BTreeSet::new();
        for ran in &ran {
            assert!(seen.insert(&ran.given), "ran twice in one run: {ran:?}");
            let had_to = match ran.aging {
                Aging::Never => !self.known.contains(&ran.given),
                Aging::After(ms) => self.young.get(&ran.given).is_none_or(|at| *at <= now - ms),
                Aging::AtOnce => true,
            };
            let wanted = request.force || invalidated.contains(&ran.id);
            assert!(had_to || wanted, "ran again: {ran:?}");
        }
        for ran in ran.iter().filter(|ran| !self.bodies.fails(ran)) {
            invalidated.remove(&ran.id);
            match ran.aging {
                Aging::Never => drop(self.known.insert(ran.given.clone())),
                Aging::After(_) => drop(self.young.insert(ran.given.clone(), now)),
                Aging::AtOnce => {}
            }
        }
        drop(invalidated);
        Done { ran }
    }

    /// Something may be made now.
    pub fn live(&self) {
        let moment = (self.bodies.world.load(Ordering::Relaxed), self.clock.now());
        self.history.lock().unwrap().push((moment.0, moment.1.timestamp_millis()));
    }

    /// What ran unwatched may have been recorded or not.
    pub fn take_ran(&self) {
        let ran = std::mem::take(&mut *self.bodies.ran.lock().unwrap());
        let mut invalidated = self.invalidated.lock().unwrap();
        invalidated.retain(|id| ran.iter().all(|ran| ran.id != *id));
    }

    /// Nothing is known any more of what was computed.
    pub fn forget(&mut self) {
        self.known.clear();
        self.young.clear();
    }

    /// Carries out a request while inputs change: what runs may have to run again.
    pub fn race(&self, process: &mut Process, request: &Request) {
        self.live();
        let engine = process.engine.as_mut().unwrap();
        let control = Control::new();
        engine.materialize(request, &RunOptions::default(), &control, &mut |_, _| {}).unwrap();
        self.take_ran();
    }

    /// The process dies when so many results are recorded: nothing more happens, nothing is tidied up.
    pub fn die(&self, process: &mut Process, request: &Request, after: usize) {
        // Its threads may outlive it here, so what they run is not for our list.
        self.live();
        let world = AtomicU64::new(self.bodies.world.load(Ordering::Relaxed));
        let coarse = self.bodies.coarse;
        let bodies = Arc::new(Bodies { coarse, world, ..Bodies::default() });
        process.engine = None;
        let root = self.dir.path();
        let mut engine = open(root, &self.clock, &bodies, &process.project, Access::Write);
        let assets: Vec<AssetKey> = process.project.assets.keys().cloned().collect();
        engine.refresh(&assets).unwrap();
        let mut left = after;
        let mut listen = |_: &Engine, event: RunEvent| {
            if let RunEvent::StepSucceeded { .. } | RunEvent::Restored { .. } = event {
                left =
                    left.checked_sub(1).unwrap_or_else(|| std::panic::resume_unwind(Box::new(())));
            }
        };
        let options = RunOptions { jobs: Some(2), ..RunOptions::default() };
        let control = Control::new();
        let run = AssertUnwindSafe(|| engine.materialize(request, &options, &control, &mut listen));
        let _ = catch_unwind(run);
        self.bodies.ran.lock().unwrap().append(&mut bodies.ran.lock().unwrap());
        self.take_ran();
    }

    /// Makes everything twice: the first time gives what an empty store would give, the second does
    /// nothing.
    pub fn settle(&mut self, process: &mut Process) -> Done {
        let done = self.make_all(process);
        let request = all(self.refreshed(process), false);
        self.check(process, &request);
        let mut again = self.make_all(process);
        // What fails is tried again, and what ages at once is made again.
        again.ran.retain(|ran| !self.bodies.fails(ran) && ran.aging != Aging::AtOnce);
        assert_eq!(again.ran, [], "ran although nothing has changed");
        done
    }
}

pub fn open(
    root: &Path,
    clock: &Arc<Hand>,
    bodies: &Arc<Bodies>,
    project: &Project,
    access: Access,
) -> Engine {
    let options = Options {
        root: root.to_owned(),
        access,
        clock: clock.clone(),
        env: vec![],
        set: vec![],
        functions: Arc::new(Declared { bodies: bodies.clone(), assets: project.assets.clone() }),
    };
    Engine::open(project.clone(), options).unwrap()
}

/// A request for everything that is no source.
pub fn all(engine: &Engine, force: bool) -> Request {
    let assets = engine.project().assets.values().filter(|asset| !asset.is_source());
    let set =
        |asset: &Arc<Asset>| (asset.key.clone(), engine.planner().domain(&asset.key).all().clone());
    Request {
        targets: assets.map(set).collect(),
        whole: Default::default(),
        reach: Reach::Upstream,
        force,
    }
}

/// A request for some partitions of one asset.
pub fn some(engine: &Engine, asset: &str, parts: &[&str], reach: Reach, force: bool) -> Request {
    let domain = engine.planner().domain(&key(asset));
    let set: PartitionSet = parts.iter().filter_map(|part| domain.index(part)).collect();
    Request {
        targets: BTreeMap::from([(key(asset), set)]),
        whole: Default::default(),
        reach,
        force,
    }
}
