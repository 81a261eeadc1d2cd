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

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use giornata::base::{AssetKey, Clock, Digest, Durability, PartitionKey, PartitionSet};
use giornata::defs::partition::{Cadence, DynamicDef, TimeWindowDef};
use giornata::defs::{
    Asset, Body, Dep, FunctionBody, FunctionSlot, MappingDef, Missing, Origin, OutputDef,
    PartitionsDef, PathPattern, Policy, Project, Settings, SourceDef, SplitBy, TableFormat,
};
use giornata::engine::{Access, Engine, Options, RunEvent};
use giornata::exec::{
    Content, Control, Emitted, Failure, Functions, Input, Of, Part, Produced, Step, Told,
};
use giornata::io::Encoded;
use giornata::plan::{Reach, Request};

use super::sim::Trace;

pub fn key(name: &str) -> AssetKey {
    AssetKey::parse(name).unwrap()
}

pub fn day_key(day: u32) -> String {
    format!("2020-01-{:02}", day + 1)
}

fn midnight(day: u32) -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2020, 1, day + 1).unwrap().and_hms_opt(0, 0, 0).unwrap()
}

/// Days from `start` on, counted from the first of January; `end` is excluded.
pub fn daily(start: u32, end: Option<u32>) -> PartitionsDef {
    time_windows(Cadence::Daily { hour: 0, minute: 0 }, start, end.map(midnight), "%Y-%m-%d", 0)
}

/// Windows that are no days.
#[derive(Debug, Clone, Copy)]
pub enum Every {
    /// Only some of one day.
    Hour,
    /// By a rule of cron, for two days.
    HalfDay,
    /// With the one that is running.
    Week,
    Month,
}

/// Windows from `start` on, counted from the first of January.
pub fn windows(every: Every, start: u32) -> PartitionsDef {
    let hours = |count| Some(midnight(start) + TimeDelta::try_hours(count).unwrap());
    let (hour, minute) = (0, 0);
    match every {
        Every::Hour => {
            let hourly = Cadence::Hourly { minute };
            time_windows(hourly, start, hours(4), "%Y-%m-%d-%H:%M", 0)
        }
        Every::HalfDay => {
            let cron = Cadence::Cron("0 */12 * * *".to_owned());
            time_windows(cron, start, hours(48), "%Y-%m-%d-%H:%M", 0)
        }
        Every::Week => {
            let weekly = Cadence::Weekly { day: 3, hour, minute };
            time_windows(weekly, 0, None, "%Y-%m-%d", 1)
        }
        Every::Month => {
            let monthly = Cadence::Monthly { day: 1, hour, minute };
            time_windows(monthly, 0, None, "%Y-%m", 1)
        }
    }
}

fn time_windows(
    cadence: Cadence,
    start: u32,
    end: Option<NaiveDateTime>,
    format: &str,
    end_offset: i32,
) -> PartitionsDef {
    PartitionsDef::TimeWindow(TimeWindowDef {
        cadence,
        start: midnight(start),
        end,
        timezone: chrono_tz::Tz::UTC,
        format: format.to_owned(),
        end_offset,
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
            "asked" => MappingDef::Asked,
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
        shared: None,
        export: None,
        io: None,
        config: BTreeMap::new(),
        env: BTreeSet::new(),
        resources: BTreeMap::new(),
        inputs: vec![],
        version: None,
        checks: vec![],
        policy: Policy::default(),
        automation: None,
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
    /// It may ask for more while it runs.
    pub asks: bool,
    /// One call may make several.
    pub call: u64,
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
    calls: AtomicU64,
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
    fn call(&self, step: &Step, told: &mut Told<'_>) -> Result<Vec<Emitted>, Failure> {
        match &step.of {
            Of::Asset(key) => self.bodies.call(step, &[(0, &self.assets[key])], told),
            Of::Assets(members) => {
                let wanted = (0..).zip(&**members).filter(|(_, member)| member.is_wanted);
                let wanted = wanted.map(|(place, member)| (place, &*self.assets[&member.key]));
                self.bodies.call(step, &wanted.collect::<Vec<_>>(), told)
            }
            Of::Job(_) => unreachable!("there are no jobs"),
        }
    }
}

impl Bodies {
    /// Makes what is wanted of a step, each from all that the step is given.
    fn call(
        &self,
        step: &Step,
        wanted: &[(u32, &Asset)],
        told: &mut Told<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let id = |asset: &Asset| format!("{}@{}", asset.key, step.partition);
        wanted.iter().for_each(|(_, asset)| self.hook(&id(asset), true, step));
        let mut inputs = String::new();
        let first = wanted[0].1;
        let declared = |input: &&Input| !may_ask(first, &input.name);
        for input in step.inputs.iter().filter(declared) {
            let parts = input.parts.iter().map(|part: &Part| (part.key.as_str(), text(part)));
            push_input(&mut inputs, &input.name, input.single, parts);
        }
        if step.inputs.iter().any(|input| !declared(&input)) {
            let mut given = head(first, step.partition.as_str(), instants(step).as_ref()) + &inputs;
            let known = given.len();
            ask_all(step, first, &mut given, told)?;
            inputs += &given[known..];
        }
        wanted.iter().for_each(|(_, asset)| self.hook(&id(asset), false, step));
        let mut emitted = Vec::new();
        for (output, asset) in wanted {
            let head = head(asset, step.partition.as_str(), instants(step).as_ref());
            let (given, aging) = (head + &inputs, Aging::of(&asset.policy));
            let asks = asset.deps.iter().any(|dep| dep.mapping == MappingDef::Asked);
            let ran = Ran { id: id(asset), given: given.clone(), aging, asks, call };
            self.ran.lock().unwrap().push(ran);
            if self.failing.lock().unwrap().contains(asset.key.as_str()) {
                // One of several fails by not being made.
                continue;
            }
            let world = self.world.load(Ordering::Relaxed);
            let value = made(asset, &given, world, self.coarse);
            let bytes = format!("{value}\n").into_bytes();
            let encoded = Encoded { bytes, schema: String::new() };
            let what = Produced::Table { encoded, format: TableFormat::Csv, rows: 1 };
            emitted.push(Emitted { output: *output, piece: None, what });
        }
        match &step.of {
            Of::Asset(_) if emitted.is_empty() => Err(Failure::Function("as told".to_owned())),
            Of::Asset(_) | Of::Assets(_) | Of::Job(_) => Ok(emitted),
        }
    }
}

/// Asks along all deps along which an asset may.
fn ask_all(
    step: &Step,
    asset: &Asset,
    given: &mut String,
    told: &mut Told<'_>,
) -> Result<(), Failure> {
    for input in step.inputs.iter().filter(|input| may_ask(asset, &input.name)) {
        let asks = told.asks();
        let found = ask(asset, &input.name, given, &mut |key| {
            let part = input.parts.iter().find(|part| part.key.as_str() == key);
            let asked = (input.name.clone(), PartitionKey::new(key));
            match part {
                Some(part) => {
                    asks.met.push(asked);
                    Some(text(part))
                }
                None => {
                    asks.unmet.push(asked);
                    None
                }
            }
        });
        found.ok_or(Failure::Asks)?;
    }
    Ok(())
}

/// Whether an asset asks for partitions of another one while it runs.
pub fn may_ask(asset: &Asset, upstream: &str) -> bool {
    asset
        .deps
        .iter()
        .any(|dep| dep.upstream.as_str() == upstream && dep.mapping == MappingDef::Asked)
}

/// Has a function ask for up to two partitions of `upstream`, which depend on all that it was given so
/// far; `None` if it did not get one of them.
pub fn ask(
    asset: &Asset,
    upstream: &str,
    given: &mut String,
    get: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<()> {
    let candidates = asset.config["asks"][upstream].as_array().unwrap();
    for _ in 0..2 {
        let pick = given.bytes().map(usize::from).sum::<usize>() % (candidates.len() + 1);
        let Some(key) = candidates.get(pick) else { return Some(()) };
        let key = key.as_str().unwrap();
        let value = get(key)?;
        push_input(given, upstream, false, [(key, value)].into_iter());
    }
    Some(())
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

/// The window of a step, whatever its time zone.
fn instants(step: &Step) -> Option<(String, String)> {
    let instant = |text: &str| {
        let time = DateTime::parse_from_rfc3339(text).unwrap();
        time.with_timezone(&Utc).to_rfc3339()
    };
    step.window_rfc3339.as_ref().map(|(start, end)| (instant(start), instant(end)))
}

/// `window` is its start and its end in RFC 3339, in UTC.
pub fn head(asset: &Asset, partition: &str, window: Option<&(String, String)>) -> String {
    let Body::Function(function) = &asset.body else { unreachable!("only functions run") };
    let deps = asset.deps.iter().map(|dep| dep.upstream.to_string());
    let deps: Vec<String> = deps.collect();
    let window = window.map(|(start, end)| format!("{start}..{end}")).unwrap_or_default();
    format!("{} v{} {partition} {deps:?} {window}", asset.key, function.version)
}

pub fn takes_world(asset: &Asset) -> bool {
    let Body::Function(function) = &asset.body else { unreachable!("only functions run") };
    function.version.parse::<u8>().unwrap() >= 3
}

pub fn push_input<'a>(
    given: &mut String,
    name: &str,
    single: bool,
    parts: impl Iterator<Item = (&'a str, String)>,
) {
    write!(given, "; {name} {single}:").unwrap();
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
    pub trace: Trace,
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

/// A directory on a disk that is none, where there is one: closing a database syncs it.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Shelf {
    pub fn new(coarse: bool) -> Shelf {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        clock.set(30);
        let bodies = Arc::new(Bodies { coarse, ..Bodies::default() });
        Shelf {
            trace: Trace::default(),
            dir: in_memory(),
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
        self.make_until(process, request, usize::MAX)
    }

    /// As [`Shelf::make`], and cancels the run when so many events have been heard.
    pub fn make_until(&mut self, process: &mut Process, request: &Request, after: usize) -> Done {
        self.bodies.ran.lock().unwrap().clear();
        self.live();
        let engine = process.engine.as_mut().unwrap();
        let (control, mut left) = (Control::new(), after);
        let mut listen = |engine: &Engine, event: RunEvent| {
            self.trace.hear(engine, &event);
            match left.checked_sub(1) {
                Some(less) => left = less,
                None => control.cancel(),
            }
        };
        engine.materialize(request, &self.trace.options(), &control, &mut listen).unwrap();
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
            // What an asset asked for the last time is a guess for the next: that may miss a result.
            assert!(had_to || wanted || ran.asks, "ran again: {ran:?}");
        }
        assert_made_together(&process.project, &ran);
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
        let mut listen = |engine: &Engine, event: RunEvent| self.trace.hear(engine, &event);
        let (options, control) = (self.trace.options(), Control::new());
        engine.materialize(request, &options, &control, &mut listen).unwrap();
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
        let mut listen = |engine: &Engine, event: RunEvent| {
            self.trace.hear(engine, &event);
            if let RunEvent::StepSucceeded { .. } | RunEvent::Restored { .. } = event {
                left =
                    left.checked_sub(1).unwrap_or_else(|| std::panic::resume_unwind(Box::new(())));
            }
        };
        let (options, control) = (self.trace.options(), Control::new());
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

/// What one step makes of one partition is made by one call.
fn assert_made_together(project: &Project, ran: &[Ran]) {
    let mut calls: BTreeMap<(&str, &str), &Ran> = BTreeMap::new();
    for ran in ran {
        let (asset, part) = ran.id.split_once('@').unwrap();
        let Some(shared) = &project.assets[asset].shared else { continue };
        let first = calls.entry((&shared.name, part)).or_insert(ran);
        assert_eq!(first.call, ran.call, "made one after the other: {first:?} {ran:?}");
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
        chosen: Default::default(),
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
        chosen: Default::default(),
        reach,
        force,
    }
}
