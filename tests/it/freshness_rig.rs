//! What the freshness tests stand on: projects of functions, processes that share a store, an oracle.
//!
//! The value of an asset is a digest of everything its function was given, so a value that is out of
//! date shows. The oracle computes every value anew from the files, with nothing of the engine's but
//! domains and mappings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, NaiveDate, Utc};
use giornata::base::{AssetKey, Clock, Digest, PartitionIdx, PartitionKey, PartitionSet};
use giornata::defs::partition::{Cadence, DynamicDef, TimeWindowDef};
use giornata::defs::{
    Asset, Body, Dep, FunctionBody, MappingDef, Missing, Origin, OutputDef, PartitionsDef,
    PathPattern, Policy, Project, Settings, SourceDef, SplitBy, TableFormat,
};
use giornata::engine::{Access, Engine, Options, RunEvent, RunOptions, Value};
use giornata::exec::{Content, Control, Failure, Functions, Part, Produced, Step};
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

/// A function; `deps` are names with their mappings, `?` behind a name allows what is missing.
pub fn asset(name: &str, partitions: PartitionsDef, code: u8, deps: &[(&str, &str)]) -> Asset {
    let body = Body::Function(FunctionBody { version: code.to_string() });
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
        config: BTreeMap::new(),
        env: BTreeSet::new(),
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
    Project {
        name: "random".to_owned(),
        timezone: chrono_tz::Tz::UTC,
        assets,
        partition_sets: BTreeMap::new(),
        broken: BTreeSet::new(),
        settings: Settings::default(),
    }
}

/// A clock that the test moves.
pub struct Hand(AtomicI64);

impl Hand {
    /// Noon of a day: windows up to the day before are complete.
    pub fn set(&self, day: u32) {
        let noon = midnight(day).and_utc().timestamp() + 12 * 3600;
        self.0.store(noon, Ordering::Relaxed);
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

impl Functions for Bodies {
    fn call(&self, step: &Step) -> Result<Produced, Failure> {
        let id = format!("{}@{}", step.asset.key, step.partition);
        self.hook(&id, true, step);
        let mut given = head(&step.asset, step.partition.as_str());
        for input in &step.inputs {
            let parts = input.parts.iter().map(|part: &Part| (part.key.as_str(), text(part)));
            push_input(&mut given, input.name.as_str(), parts);
        }
        self.hook(&id, false, step);
        self.ran.lock().unwrap().push(Ran { id, given: given.clone() });
        if self.failing.lock().unwrap().contains(step.asset.key.as_str()) {
            return Err(Failure::Function("as told".to_owned()));
        }
        let bytes = format!("{}\n", made(&given, self.coarse)).into_bytes();
        let encoded = Encoded { bytes, schema: String::new() };
        Ok(Produced::Table { encoded, format: TableFormat::Csv, rows: 1 })
    }
}

fn text(part: &Part) -> String {
    let bytes = match &part.content {
        Content::Inline(bytes) => bytes.to_vec(),
        Content::Blob(path) | Content::File(path) => std::fs::read(path).unwrap(),
        Content::Tree { .. } => unreachable!("no asset makes a directory"),
    };
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

fn head(asset: &Asset, partition: &str) -> String {
    let Body::Function(function) = &asset.body else { unreachable!("only functions run") };
    let deps = asset.deps.iter().map(|d| format!("{} {} {:?}", d.upstream, d.mapping, d.missing));
    let deps: Vec<String> = deps.collect();
    format!("{} v{} {partition} {deps:?}", asset.key, function.version)
}

fn push_input<'a>(given: &mut String, name: &str, parts: impl Iterator<Item = (&'a str, String)>) {
    write!(given, "; {name}:").unwrap();
    for (key, value) in parts {
        write!(given, " {key}={value:?}").unwrap();
    }
}

fn made(given: &str, coarse: bool) -> String {
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
    /// Everything that was ever computed and recorded.
    pub known: BTreeSet<String>,
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
        Shelf { dir: tempfile::tempdir().unwrap(), clock, bodies, known: BTreeSet::new() }
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
        let engine = process.engine.as_mut().unwrap();
        let options = RunOptions { jobs: Some(2), ..RunOptions::default() };
        engine.materialize(request, &options, &Control::new(), &mut |_, _| {}).unwrap();
        let ran = std::mem::take(&mut *self.bodies.ran.lock().unwrap());
        let mut seen = BTreeSet::new();
        for ran in &ran {
            assert!(seen.insert(&ran.given), "ran twice in one run: {ran:?}");
            assert!(request.force || !self.known.contains(&ran.given), "ran again: {ran:?}");
        }
        let made = ran.iter().filter(|ran| !self.bodies.fails(ran));
        self.known.extend(made.map(|ran| ran.given.clone()));
        Done { ran }
    }

    /// Carries out a request while inputs change: what runs may have to run again.
    pub fn race(&self, process: &mut Process, request: &Request) {
        let engine = process.engine.as_mut().unwrap();
        let control = Control::new();
        engine.materialize(request, &RunOptions::default(), &control, &mut |_, _| {}).unwrap();
    }

    /// The process dies when so many results are recorded: nothing more happens, nothing is tidied up.
    pub fn die(&self, process: &mut Process, request: &Request, after: usize) {
        // Its threads may outlive it here, so what they run is not for our list.
        let bodies = Arc::new(Bodies { coarse: self.bodies.coarse, ..Bodies::default() });
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
    }

    /// Everything in `request` has the state and the value that it would have in an empty store, and
    /// an engine that is opened anew sees the same.
    pub fn check(&self, process: &mut Process, request: &Request) {
        self.refreshed(process);
        let mut cold = self.open(&process.project, Access::Read);
        let assets: Vec<AssetKey> = process.project.assets.keys().cloned().collect();
        cold.refresh(&assets).unwrap();
        let hot = process.engine.as_ref().unwrap();
        for asset in &assets {
            assert_eq!(
                hot.status(asset).unwrap(),
                cold.status(asset).unwrap(),
                "hot, cold {asset}"
            );
        }
        let mut oracle = Oracle::new(self, &cold, &process.project);
        for (asset, parts) in &request.targets {
            let state = cold.planner().freshness(asset).clone();
            for part in parts {
                let wanted = oracle.value(asset, part);
                let id = format!("{asset}@{}", cold.planner().domain(asset).key(part).unwrap());
                let fresh = state.fresh().contains(part);
                assert_eq!(fresh, matches!(wanted, Made::Value(_)), "{id} is fresh; {wanted:?}");
                let blocked = state.blocked.contains(part);
                assert_eq!(blocked, wanted == Made::Blocked, "{id} is blocked; {wanted:?}");
                if let Made::Value(wanted) = wanted {
                    let Value::Table { bytes, .. } = cold.value(asset, part).unwrap() else {
                        panic!("{id} is no table")
                    };
                    assert_eq!(String::from_utf8(bytes).unwrap().trim(), wanted, "value of {id}");
                }
            }
        }
    }

    /// Makes everything twice: the first time gives what an empty store would give, the second does
    /// nothing.
    pub fn settle(&mut self, process: &mut Process) -> Done {
        let done = self.make_all(process);
        let request = all(self.refreshed(process), false);
        self.check(process, &request);
        let mut again = self.make_all(process);
        // What fails is tried again.
        again.ran.retain(|ran| !self.bodies.fails(ran));
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
        functions: bodies.clone(),
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

/// What a partition is, when everything is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    Value(String),
    /// Something that it needs is missing.
    Blocked,
    /// It, or something that it needs, fails.
    Failed,
}

/// The brute force.
struct Oracle<'a> {
    shelf: &'a Shelf,
    engine: &'a Engine,
    project: &'a Project,
    sources: BTreeMap<AssetKey, BTreeMap<String, String>>,
    memo: BTreeMap<(AssetKey, PartitionIdx), Made>,
}

impl Oracle<'_> {
    fn new<'a>(shelf: &'a Shelf, engine: &'a Engine, project: &'a Project) -> Oracle<'a> {
        let mut sources = BTreeMap::new();
        for asset in project.assets.values().filter(|asset| asset.is_source()) {
            let files = contents(shelf.dir.path(), asset);
            if let PartitionsDef::Dynamic(_) = asset.partitions {
                let domain = engine.planner().domain(&asset.key);
                let keys: BTreeSet<_> =
                    domain.all().iter().map(|i| domain.key(i).unwrap()).collect();
                let wanted = files.keys().map(|key| PartitionKey::new(key.as_str())).collect();
                assert_eq!(keys, wanted, "partitions of {}", asset.key);
            }
            sources.insert(asset.key.clone(), files);
        }
        Oracle { shelf, engine, project, sources, memo: BTreeMap::new() }
    }

    fn value(&mut self, asset: &AssetKey, part: PartitionIdx) -> Made {
        if let Some(made) = self.memo.get(&(asset.clone(), part)) {
            return made.clone();
        }
        let made = self.compute(asset, part);
        self.memo.insert((asset.clone(), part), made.clone());
        made
    }

    fn compute(&mut self, asset: &AssetKey, part: PartitionIdx) -> Made {
        let domain = self.engine.planner().domain(asset).clone();
        let key = domain.key(part).unwrap();
        if let Some(files) = self.sources.get(asset) {
            return files.get(key.as_str()).cloned().map_or(Made::Blocked, Made::Value);
        }
        let def = self.project.assets[asset].clone();
        let mut given = head(&def, key.as_str());
        let (mut blocked, mut failed) = (false, false);
        for edge in self.engine.planner().edges(asset).clone().iter() {
            blocked |= edge.missing == Missing::Error && !edge.mapping.absent(part).is_empty();
            let up = self.engine.planner().domain(&edge.upstream).clone();
            let mut members: Vec<_> = edge.mapping.upstream_of_one(part).iter().collect();
            if !matches!(up.def(), PartitionsDef::TimeWindow(_)) {
                members.sort_by_key(|member| up.key(*member));
            }
            let mut parts = Vec::new();
            for member in members {
                match (self.value(&edge.upstream, member), edge.missing) {
                    (Made::Value(value), _) => parts.push((up.key(member).unwrap(), value)),
                    (Made::Blocked, Missing::Allow) => {}
                    (Made::Blocked, Missing::Error) => blocked = true,
                    (Made::Failed, _) => failed = true,
                }
            }
            let parts = parts.iter().map(|(key, value)| (key.as_str(), value.clone()));
            push_input(&mut given, edge.upstream.as_str(), parts);
        }
        let fails = self.shelf.bodies.failing.lock().unwrap().contains(asset.as_str());
        match (blocked, failed) {
            (true, _) => Made::Blocked,
            (false, true) => Made::Failed,
            // What was computed before needs no step that could fail.
            (false, false) if fails && !self.shelf.known.contains(&given) => Made::Failed,
            (false, false) => Made::Value(made(&given, self.shelf.bodies.coarse)),
        }
    }
}

/// What the partitions of a source contain, as the steps read it.
fn contents(root: &Path, source: &Asset) -> BTreeMap<String, String> {
    let Body::Source(SourceDef::Files { pattern, split_by, .. }) = &source.body else {
        unreachable!("only sources are asked")
    };
    let path = root.join(&pattern.text);
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    if split_by.is_some() {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        for row in text.lines().skip(1) {
            let day = row.split(',').next().unwrap().to_owned();
            let part = found.entry(day).or_insert_with(|| text.lines().next().unwrap().to_owned());
            *part += &format!("\n{row}");
        }
        return found;
    }
    for file in std::fs::read_dir(path.parent().unwrap()).into_iter().flatten() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap().trim().to_owned();
        found.insert(stem, text);
    }
    found
}
