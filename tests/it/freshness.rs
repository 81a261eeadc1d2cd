//! Hot plan = cold plan = brute force, on random graphs and edits with partial selections.
//!
//! A model computes every value anew from the files and the declarations, and remembers every
//! content key that was ever computed. After each request the engine must have the model's values,
//! must have run exactly the keys that nobody had computed before, and an engine that is opened anew
//! must see what the one that lived through the edits sees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, NaiveDate, Utc};
use giornata::base::{AssetKey, Clock, FixedClock, PartitionSet};
use giornata::defs::partition::{Cadence, DynamicDef, TimeWindowDef};
use giornata::defs::{
    Asset, Body, Dep, FunctionBody, FunctionSlot, MappingDef, Missing, Origin, OutputDef,
    PartitionsDef, PathPattern, Policy, Project, SourceDef, TableFormat,
};
use giornata::engine::{Access, Engine, Options, RunEvent, RunOptions, Summary, Value};
use giornata::exec::{Content, Control, Emitted, Failure, Functions, Produced, Step, Told};
use giornata::io::Encoded;
use giornata::plan::{Reach, Request};
use proptest::prelude::*;

/// What a project consists of; small enough that everything meets everything.
#[derive(Debug, Clone)]
struct World {
    /// Content of the files of each source, by partition.
    files: Vec<BTreeMap<u32, u8>>,
    assets: Vec<Node>,
    /// Days that exist, counted from the first of January.
    days: (u32, u32),
}

#[derive(Debug, Clone)]
struct Node {
    daily: bool,
    code: u8,
    deps: Vec<(Upstream, Wire)>,
    fails: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Upstream {
    Source(usize),
    Asset(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    Default,
    All,
    Week { allow: bool },
}

#[derive(Debug, Clone)]
enum Edit {
    File {
        source: usize,
        day: u32,
        content: u8,
    },
    Touch {
        source: usize,
        day: u32,
    },
    Delete {
        source: usize,
        day: u32,
    },
    Code {
        asset: usize,
        code: u8,
    },
    Wire {
        asset: usize,
        dep: usize,
        wire: Wire,
    },
    Days {
        from: u32,
        to: u32,
    },
    Fail {
        asset: usize,
        fails: bool,
    },
    /// Everything that is not on disk is gone.
    Reopen,
    /// The process dies after so many steps: nothing after them is recorded.
    Crash {
        after: usize,
    },
    Make {
        asset: usize,
        days: Vec<u32>,
    },
    MakeAll,
}

const DAYS: u32 = 6;

fn name(upstream: Upstream) -> String {
    match upstream {
        Upstream::Source(i) => format!("s{i}"),
        Upstream::Asset(i) => format!("a{i}"),
    }
}

fn key(upstream: Upstream) -> AssetKey {
    AssetKey::parse(&name(upstream)).unwrap()
}

fn day_key(day: u32) -> String {
    format!("2020-01-{:02}", day + 1)
}

fn date(day: u32) -> chrono::NaiveDateTime {
    NaiveDate::from_ymd_opt(2020, 1, day + 1).unwrap().and_hms_opt(0, 0, 0).unwrap()
}

fn project(world: &World) -> Project {
    let daily = PartitionsDef::TimeWindow(TimeWindowDef {
        cadence: Cadence::Daily { hour: 0, minute: 0 },
        start: date(world.days.0),
        end: Some(date(world.days.1 + 1)),
        timezone: chrono_tz::Tz::UTC,
        format: "%Y-%m-%d".to_owned(),
        end_offset: 0,
        exclusions: vec![],
    });
    let asset = |key: AssetKey, partitions, body, deps, output| Asset {
        origin: Origin { file: "giornata.toml".into(), line: 1 },
        key,
        partitions,
        body,
        deps,
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
    };
    let mut assets = BTreeMap::new();
    for i in 0..world.files.len() {
        let key = key(Upstream::Source(i));
        let pattern = PathPattern::parse(&format!("data/s{i}/{{day}}.csv")).unwrap();
        let body = SourceDef::Files { pattern, split_by: None, columns: BTreeMap::new() };
        let partitions = PartitionsDef::Dynamic(DynamicDef::Source(key.clone()));
        let made = asset(key.clone(), partitions, Body::Source(body), vec![], OutputDef::None);
        assets.insert(key, Arc::new(made));
    }
    for (i, node) in world.assets.iter().enumerate() {
        let key = key(Upstream::Asset(i));
        let dep = |(upstream, wire): &(Upstream, Wire)| Dep {
            upstream: self::key(*upstream),
            mapping: match effective(world, node, *upstream, *wire) {
                Wire::Default => MappingDef::Default,
                Wire::All => MappingDef::All,
                Wire::Week { .. } => MappingDef::parse("window(-2d, 0d)").unwrap(),
            },
            missing: match wire {
                Wire::Week { allow: true } => Missing::Allow,
                _ => Missing::Error,
            },
        };
        let body = Body::Function(FunctionBody {
            version: node.code.to_string(),
            slot: FunctionSlot::Asset,
        });
        let partitions = if node.daily { daily.clone() } else { PartitionsDef::Unpartitioned };
        let output = OutputDef::Table(TableFormat::Csv);
        let deps = node.deps.iter().map(dep).collect();
        assets.insert(key.clone(), Arc::new(asset(key, partitions, body, deps, output)));
    }
    Project { assets, ..Project::empty() }
}

/// A window needs windows on both sides; a daily asset reads files by key.
fn effective(world: &World, node: &Node, upstream: Upstream, wire: Wire) -> Wire {
    let windows = match upstream {
        Upstream::Source(_) => false,
        Upstream::Asset(i) => world.assets[i].daily,
    };
    match wire {
        Wire::Week { .. } if !(node.daily && windows) => Wire::Default,
        wire => wire,
    }
}

/// Combines what a step reads; the result is coarse, so that changes are often cut off.
fn combine(code: &str, partition: &str, inputs: &[(String, Vec<(String, u8)>)]) -> u8 {
    let mut sum: u32 = code.bytes().chain(partition.bytes()).map(u32::from).sum();
    for (name, parts) in inputs {
        for (key, value) in parts {
            let weight = name.bytes().chain(key.bytes()).map(u32::from).sum::<u32>() | 1;
            sum = sum.wrapping_mul(31).wrapping_add(weight * u32::from(*value));
        }
    }
    (sum % 3) as u8
}

/// The functions of the assets, and what they did.
#[derive(Default)]
struct Bodies {
    ran: Mutex<Vec<String>>,
    failing: Mutex<BTreeSet<String>>,
    crash_after: Mutex<Option<usize>>,
    crashed: AtomicBool,
}

fn number(content: &Content) -> u8 {
    let bytes = match content {
        Content::Inline(bytes) => bytes.to_vec(),
        Content::Blob(path) | Content::File(path) => std::fs::read(path).unwrap(),
        Content::Tree { .. } => unreachable!("no asset makes a directory"),
    };
    String::from_utf8(bytes).unwrap().trim().parse().unwrap()
}

impl Functions for Bodies {
    fn call(&self, step: &Step, _: &mut Told<'_>) -> Result<Vec<Emitted>, Failure> {
        let id = format!("{}@{}", step.def.name, step.partition);
        let mut left = self.crash_after.lock().unwrap();
        if let Some(steps) = &mut *left {
            if *steps == 0 {
                self.crashed.store(true, Ordering::Relaxed);
                return Err(Failure::Cancelled);
            }
            *steps -= 1;
        }
        if self.failing.lock().unwrap().contains(step.def.name.as_str()) {
            return Err(Failure::Function("as told".to_owned()));
        }
        let Body::Function(function) = &step.def.body else { unreachable!() };
        let inputs: Vec<_> = step
            .inputs
            .iter()
            .map(|input| {
                let part = |part: &giornata::exec::Part| {
                    (part.key.as_str().to_owned(), number(&part.content))
                };
                (input.name.to_string(), input.parts.iter().map(part).collect::<Vec<_>>())
            })
            .collect();
        let value = combine(&function.version, step.partition.as_str(), &inputs);
        self.ran.lock().unwrap().push(id);
        let bytes = format!("{value}\n").into_bytes();
        let encoded = Encoded { bytes, schema: String::new() };
        let what = Produced::Table { encoded, format: TableFormat::Csv, rows: 1 };
        Ok(vec![Emitted::only(what)])
    }
}

/// The brute force: every value from the files.
struct Model<'a> {
    world: &'a World,
    /// Content keys that were computed before: these need no step, so none can fail.
    known: &'a BTreeSet<String>,
}

/// A value with the content key that led to it; `None`: blocked or failed.
type Made = Option<(u8, String)>;

impl Model<'_> {
    fn days(&self) -> impl Iterator<Item = u32> + use<> {
        self.world.days.0..=self.world.days.1
    }

    fn parts(&self, upstream: Upstream) -> Vec<String> {
        match upstream {
            Upstream::Source(i) => self.world.files[i].keys().map(|day| day_key(*day)).collect(),
            Upstream::Asset(i) if self.world.assets[i].daily => self.days().map(day_key).collect(),
            Upstream::Asset(_) => vec![String::new()],
        }
    }

    /// The partitions that a partition reads, and whether a key is named that does not exist.
    fn mapped(
        &self,
        node: &Node,
        upstream: Upstream,
        wire: Wire,
        part: &str,
    ) -> (Vec<String>, bool) {
        let parts = self.parts(upstream);
        let windows = matches!(upstream, Upstream::Source(_))
            || matches!(upstream, Upstream::Asset(i) if self.world.assets[i].daily);
        match effective(self.world, node, upstream, wire) {
            Wire::All => (parts, false),
            Wire::Default if !node.daily || !windows => (parts, false),
            Wire::Default => {
                let found: Vec<_> = parts.into_iter().filter(|key| key == part).collect();
                let absent = found.is_empty();
                (found, absent)
            }
            Wire::Week { .. } => {
                let day = self.days().find(|day| day_key(*day) == part).unwrap();
                let named: Vec<i64> = (i64::from(day) - 2..=i64::from(day)).collect();
                let exists = |day: &i64| {
                    *day >= i64::from(self.world.days.0) && *day <= i64::from(self.world.days.1)
                };
                let found =
                    named.iter().filter(|d| exists(d)).map(|d| day_key(*d as u32)).collect();
                (found, !named.iter().all(exists))
            }
        }
    }

    /// Whether a step is given one value. How the mapping is written it is not told.
    fn is_single(&self, node: &Node, upstream: Upstream, wire: Wire) -> bool {
        let one = matches!(upstream, Upstream::Asset(i) if !self.world.assets[i].daily);
        match effective(self.world, node, upstream, wire) {
            Wire::All => one,
            Wire::Default => one || node.daily,
            Wire::Week { .. } => false,
        }
    }

    fn value(&self, upstream: Upstream, part: &str) -> Made {
        let Upstream::Asset(i) = upstream else {
            let Upstream::Source(i) = upstream else { unreachable!() };
            let content = self.world.files[i].iter().find(|(day, _)| day_key(**day) == part)?.1;
            return Some((*content, format!("{content}")));
        };
        let node = &self.world.assets[i];
        let mut inputs = Vec::new();
        let mut key = format!("a{i}|{}|{part}", node.code);
        for (upstream, wire) in &node.deps {
            let (mapped, absent) = self.mapped(node, *upstream, *wire, part);
            let allow = matches!(wire, Wire::Week { allow: true });
            if absent && !allow {
                return None;
            }
            let mut values = Vec::new();
            for part in mapped {
                match self.value(*upstream, &part) {
                    Some((value, _)) => values.push((part, value)),
                    None if allow && self.is_blocked(*upstream, &part) => {}
                    None => return None,
                }
            }
            let single = self.is_single(node, *upstream, *wire);
            key += &format!("|{} {single} {values:?}", name(*upstream));
            inputs.push((name(*upstream), values));
        }
        if node.fails && !self.known.contains(&key) {
            return None;
        }
        Some((combine(&node.code.to_string(), part, &inputs), key))
    }

    /// Without a value because an input is missing, not because something failed.
    fn is_blocked(&self, upstream: Upstream, part: &str) -> bool {
        let mut healed = self.world.clone();
        healed.assets.iter_mut().for_each(|node| node.fails = false);
        Model { world: &healed, known: self.known }.value(upstream, part).is_none()
    }

    /// Everything that making `targets` needs, upstream first.
    fn cone(&self, asset: usize, part: &str, into: &mut BTreeSet<(usize, String)>) {
        if !into.insert((asset, part.to_owned())) {
            return;
        }
        let node = &self.world.assets[asset];
        for (upstream, wire) in &node.deps {
            if let Upstream::Asset(i) = upstream {
                let allow = matches!(wire, Wire::Week { allow: true });
                for part in self.mapped(node, *upstream, *wire, part).0 {
                    // For what cannot be had and need not be had nothing is made.
                    if !(allow && self.is_blocked(*upstream, &part)) {
                        self.cone(*i, &part, into);
                    }
                }
            }
        }
    }
}

struct Rig {
    dir: tempfile::TempDir,
    world: World,
    bodies: Arc<Bodies>,
    engine: Option<Engine>,
    /// Every content key that was ever computed.
    known: BTreeSet<String>,
}

fn clock() -> Arc<dyn Clock> {
    let now: DateTime<Utc> = "2020-02-01T00:00:00Z".parse().unwrap();
    Arc::new(FixedClock(now))
}

impl Rig {
    fn new(world: World) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        for (i, files) in world.files.iter().enumerate() {
            std::fs::create_dir_all(dir.path().join(format!("data/s{i}"))).unwrap();
            for (day, content) in files {
                write(dir.path(), i, *day, *content);
            }
        }
        let bodies = Arc::new(Bodies::default());
        Rig { dir, world, bodies, engine: None, known: BTreeSet::new() }
    }

    fn open(&self, access: Access) -> Engine {
        let options = Options {
            root: self.dir.path().to_owned(),
            access,
            clock: clock(),
            env: vec![],
            set: vec![],
            functions: self.bodies.clone(),
        };
        Engine::open(project(&self.world), options).unwrap()
    }

    fn targets(&self) -> Vec<AssetKey> {
        (0..self.world.assets.len()).map(|i| key(Upstream::Asset(i))).collect()
    }

    fn apply(&mut self, edit: &Edit) {
        let (sources, assets) = (self.world.files.len(), self.world.assets.len());
        match edit {
            Edit::File { source, day, content } => {
                let source = source % sources;
                self.world.files[source].insert(*day, *content);
                write(self.dir.path(), source, *day, *content);
            }
            Edit::Touch { source, day } => {
                let source = source % sources;
                if let Some(content) = self.world.files[source].get(day) {
                    write(self.dir.path(), source, *day, *content);
                }
            }
            Edit::Delete { source, day } => {
                let source = source % sources;
                if self.world.files[source].remove(day).is_some() {
                    std::fs::remove_file(path(self.dir.path(), source, *day)).unwrap();
                }
            }
            Edit::Code { asset, code } => {
                self.world.assets[asset % assets].code = *code;
                self.engine = None;
            }
            Edit::Wire { asset, dep, wire } => {
                let deps = &mut self.world.assets[asset % assets].deps;
                if !deps.is_empty() {
                    let dep = dep % deps.len();
                    deps[dep].1 = *wire;
                    self.engine = None;
                }
            }
            Edit::Days { from, to } => {
                self.world.days = (*from.min(to), *from.max(to));
                self.engine = None;
            }
            Edit::Fail { asset, fails } => {
                let asset = asset % assets;
                self.world.assets[asset].fails = *fails;
                let name = name(Upstream::Asset(asset));
                let mut failing = self.bodies.failing.lock().unwrap();
                if *fails {
                    failing.insert(name)
                } else {
                    failing.remove(&name)
                };
            }
            Edit::Reopen => self.engine = None,
            Edit::Crash { after } => {
                *self.bodies.crash_after.lock().unwrap() = Some(*after);
                let targets = self.targets();
                let all: Vec<(usize, Vec<String>)> = targets
                    .iter()
                    .enumerate()
                    .map(|(i, _)| {
                        (
                            i,
                            Model { world: &self.world, known: &self.known }
                                .parts(Upstream::Asset(i)),
                        )
                    })
                    .collect();
                self.make(&all, Check::Nothing);
                *self.bodies.crash_after.lock().unwrap() = None;
                self.engine = None;
            }
            Edit::Make { asset, days } => {
                let asset = asset % assets;
                let model = Model { world: &self.world, known: &self.known };
                let parts = model.parts(Upstream::Asset(asset));
                let chosen = if self.world.assets[asset].daily {
                    let days: BTreeSet<String> = days.iter().map(|day| day_key(*day)).collect();
                    parts.into_iter().filter(|part| days.contains(part)).collect()
                } else {
                    parts
                };
                self.make(&[(asset, chosen)], Check::Everything);
            }
            Edit::MakeAll => {
                let model = Model { world: &self.world, known: &self.known };
                let all: Vec<_> =
                    (0..assets).map(|i| (i, model.parts(Upstream::Asset(i)))).collect();
                self.make(&all, Check::Everything);
            }
        }
    }

    fn make(&mut self, targets: &[(usize, Vec<String>)], check: Check) {
        let mut engine = self.engine.take().unwrap_or_else(|| self.open(Access::Write));
        engine.refresh(&self.targets()).unwrap();
        let request = Request {
            chosen: Default::default(),
            targets: targets
                .iter()
                .map(|(i, parts)| {
                    let key = key(Upstream::Asset(*i));
                    let domain = engine.planner().domain(&key);
                    let index = |part: &String| domain.index(part).unwrap();
                    let set: PartitionSet = parts.iter().map(index).collect();
                    (key, set)
                })
                .collect(),
            reach: Reach::Upstream,
            force: false,
        };
        self.bodies.ran.lock().unwrap().clear();
        let mut summary = Summary::default();
        let mut listen = |_: &Engine, event: RunEvent| {
            if let RunEvent::Finished { summary: last } = event {
                summary = last;
            }
        };
        let options = RunOptions { jobs: Some(2), ..RunOptions::default() };
        let returned =
            engine.materialize(&request, &options, &Control::new(), &mut listen).unwrap();
        assert_eq!(returned, summary);
        self.engine = Some(engine);
        let ran: Vec<String> = self.bodies.ran.lock().unwrap().clone();
        self.check_ran(targets, &ran, check);
        if check == Check::Everything {
            self.check_values(targets, summary);
            self.check_cold();
        }
    }

    /// Exactly what nobody had computed before has run, once.
    fn check_ran(&mut self, targets: &[(usize, Vec<String>)], ran: &[String], check: Check) {
        let before = self.known.clone();
        let model = Model { world: &self.world, known: &before };
        let mut cone = BTreeSet::new();
        for (asset, parts) in targets {
            for part in parts {
                model.cone(*asset, part, &mut cone);
            }
        }
        let mut wanted = BTreeSet::new();
        let mut keys = Vec::new();
        for (asset, part) in &cone {
            if let Some((_, key)) = model.value(Upstream::Asset(*asset), part) {
                if !self.known.contains(&key) {
                    wanted.insert(format!("a{asset}@{part}"));
                }
                keys.push((format!("a{asset}@{part}"), key));
            }
        }
        let really: BTreeSet<String> = ran.iter().cloned().collect();
        assert_eq!(really.len(), ran.len(), "something ran twice: {ran:?}");
        if check == Check::Everything {
            assert_eq!(really, wanted, "what ran is not what had to run");
        }
        let crashed = self.bodies.crashed.swap(false, Ordering::Relaxed);
        for (id, key) in keys {
            // What was recorded before a crash is known; what was not, is not.
            if !crashed || really.contains(&id) {
                self.known.insert(key);
            }
        }
    }

    fn check_values(&self, targets: &[(usize, Vec<String>)], summary: Summary) {
        let engine = self.engine.as_ref().unwrap();
        let model = Model { world: &self.world, known: &self.known };
        let mut all_made = true;
        for (asset, parts) in targets {
            let key = key(Upstream::Asset(*asset));
            for part in parts {
                let index = engine.planner().domain(&key).index(part).unwrap();
                let is_fresh = engine.planner().freshness(&key).fresh().contains(index);
                let expected = model.value(Upstream::Asset(*asset), part);
                assert_eq!(is_fresh, expected.is_some(), "{key}@{part}: {expected:?}");
                all_made &= expected.is_some();
                if let Some((value, _)) = expected {
                    let found = engine.value(&key, index).unwrap();
                    let Value::Table { bytes, .. } = found else { panic!("{found:?}") };
                    assert_eq!(bytes, format!("{value}\n").into_bytes(), "{key}@{part}");
                }
            }
        }
        assert_eq!(summary.is_success(), all_made, "{summary:?}");
    }

    /// An engine that is opened anew sees what this one sees.
    fn check_cold(&mut self) {
        let mut cold = self.open(Access::Read);
        cold.refresh(&self.targets()).unwrap();
        let hot = self.engine.as_mut().unwrap();
        hot.refresh(
            &(0..self.world.assets.len()).map(|i| key(Upstream::Asset(i))).collect::<Vec<_>>(),
        )
        .unwrap();
        for i in 0..self.world.assets.len() {
            let key = key(Upstream::Asset(i));
            let hot = hot.status(&key).unwrap();
            assert_eq!(hot, cold.status(&key).unwrap(), "{key}");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Everything,
    Nothing,
}

fn path(root: &Path, source: usize, day: u32) -> std::path::PathBuf {
    root.join(format!("data/s{source}/{}.csv", day_key(day)))
}

fn write(root: &Path, source: usize, day: u32, content: u8) {
    std::fs::write(path(root, source, day), format!("{content}\n")).unwrap();
}

fn wires() -> impl Strategy<Value = Wire> {
    prop_oneof![
        Just(Wire::Default),
        Just(Wire::All),
        any::<bool>().prop_map(|allow| Wire::Week { allow }),
    ]
}

fn worlds() -> impl Strategy<Value = World> {
    let files = proptest::collection::btree_map(0..DAYS, 0u8..3, 0..DAYS as usize);
    let node = (any::<bool>(), 0u8..3, proptest::collection::vec((any::<u8>(), wires()), 1..3));
    let nodes = proptest::collection::vec(node, 1..5);
    (proptest::collection::vec(files, 1..3), nodes, 0..DAYS / 2, DAYS / 2..DAYS).prop_map(
        |(files, nodes, from, to)| {
            let mut assets = Vec::new();
            for (i, (daily, code, picks)) in nodes.into_iter().enumerate() {
                let mut deps: Vec<(Upstream, Wire)> = Vec::new();
                for (pick, wire) in picks {
                    let choice = usize::from(pick) % (files.len() + i);
                    let upstream = if choice < files.len() {
                        Upstream::Source(choice)
                    } else {
                        Upstream::Asset(choice - files.len())
                    };
                    if deps.iter().all(|(known, _)| *known != upstream) {
                        deps.push((upstream, wire));
                    }
                }
                assets.push(Node { daily, code, deps, fails: false });
            }
            World { files, assets, days: (from, to) }
        },
    )
}

fn edits() -> impl Strategy<Value = Edit> {
    let any_index = 0usize..8;
    prop_oneof![
        4 => (any_index.clone(), 0..DAYS, 0u8..3)
            .prop_map(|(source, day, content)| Edit::File { source, day, content }),
        1 => (any_index.clone(), 0..DAYS).prop_map(|(source, day)| Edit::Touch { source, day }),
        2 => (any_index.clone(), 0..DAYS).prop_map(|(source, day)| Edit::Delete { source, day }),
        3 => (any_index.clone(), 0u8..3).prop_map(|(asset, code)| Edit::Code { asset, code }),
        2 => (any_index.clone(), 0usize..3, wires())
            .prop_map(|(asset, dep, wire)| Edit::Wire { asset, dep, wire }),
        2 => (0..DAYS, 0..DAYS).prop_map(|(from, to)| Edit::Days { from, to }),
        1 => (any_index.clone(), any::<bool>())
            .prop_map(|(asset, fails)| Edit::Fail { asset, fails }),
        1 => Just(Edit::Reopen),
        1 => (0usize..6).prop_map(|after| Edit::Crash { after }),
        5 => (any_index, proptest::collection::vec(0..DAYS, 0..3))
            .prop_map(|(asset, days)| Edit::Make { asset, days }),
        3 => Just(Edit::MakeAll),
    ]
}

#[expect(clippy::disallowed_methods, reason = "the person who runs the test says how long")]
fn cases() -> u32 {
    // A long search is for the night: SLOW=1 cargo test freshness.
    if std::env::var_os("SLOW").is_some() { 20_000 } else { 150 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hot_plan_is_cold_plan_is_brute_force(
        world in worlds(),
        edits in proptest::collection::vec(edits(), 1..24),
    ) {
        let mut rig = Rig::new(world);
        for edit in edits.iter().chain([&Edit::MakeAll, &Edit::Reopen, &Edit::MakeAll]) {
            rig.apply(edit);
        }
    }
}
