//! Everything at once: two processes with definitions of their own on one store, a clock that goes
//! to and fro, domains that move and change their kind, files that change under a step, results that
//! age, directories and commands as sources, and all that is said of results by hand.
//!
//! After each request, what was asked for is what an empty store would have made, an engine that is
//! opened anew agrees, and nothing has run that was recorded before.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use giornata::base::{AssetKey, PartitionSet};
use giornata::defs::{Asset, MappingDef, PartitionsDef, SharedStep};
use giornata::engine::{Engine, RunEvent};
use giornata::exec::Control;
use giornata::plan::{Reach, Request};
use proptest::prelude::*;

use super::freshness_oracle::check_by_keys;
use super::freshness_rig::{
    Aging, Every, Process, Shelf, all, asset, daily, day_key, dir, files_of, fixed, key, observed,
    project, source, split, windows,
};

const DAYS: u32 = 6;
const KEYS: [&str; 3] = ["a", "b", "c"];
const MAPPINGS: [&str; 12] = [
    "",
    "",
    "all",
    "last(1)",
    "last(2)",
    "window(-1d, 0d)",
    "window(-2d, 1d)",
    "dimension(day)",
    "dimension(key)",
    "identity",
    "time",
    "static(\"a\" -> \"b\", \"b\" -> \"b\")",
];

#[derive(Debug, Clone)]
pub struct Node {
    kind: Kind,
    code: u8,
    /// What it reads, as a number among the sources and the earlier assets; the mapping; whether
    /// something may be missing.
    deps: Vec<(usize, usize, bool)>,
    reads_itself: bool,
    /// One step makes it and the one before; then it reads what that one reads.
    joins: bool,
    /// One step makes up to so many partitions; 0 if it makes one.
    batch: u32,
    aging: Aging,
    is_removed: bool,
    is_renamed: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    One,
    Days(u32, u32),
    Open(u32),
    /// Some of the keys, perhaps in the other order.
    Keys(u8, bool),
    /// Some of the keys on some days.
    Grid(u8, u32, u32),
    /// Some of the keys for each file of a source.
    Files(u8),
    /// Windows that are no days, from a day on.
    Windows(Every, u32),
}

#[derive(Debug, Clone)]
pub struct World {
    pub nodes: Vec<Node>,
    /// Whether the rows of the split file have days that are declared.
    is_split_daily: bool,
    inline_max_bytes: u64,
}

#[derive(Debug, Clone)]
pub enum Edit {
    /// Of one of the sources of files; no content: the file is deleted.
    File(usize, u32, Option<u8>),
    /// Deleted and made again with the same bytes.
    Again(usize, u32),
    Rows(Vec<(u32, u8)>),
    Code(usize, u8),
    Dep(usize, usize, usize, bool),
    Order(usize),
    Kind(usize, Kind),
    Itself(usize),
    Join(usize),
    Rename(usize),
    Remove(usize),
    SplitKind,
    Fail(usize, bool),
    Now(u32),
    /// What no declaration mentions is another.
    World,
    Aging(usize, Aging),
    Tree(Tree),
    /// What the command of a source prints; `None`: it fails.
    Answer(Option<u8>),
    ByHand(usize, Word, usize, u8),
    Report(usize, usize, u8),
    Gc(usize, Option<u32>),
    Reopen(usize),
    Die(usize, usize),
    Make {
        process: usize,
        asset: usize,
        parts: u8,
        reach: u8,
        force: bool,
    },
    MakeAll(usize),
    /// A file changes while a step of an asset runs, and perhaps changes back.
    Race {
        process: usize,
        asset: usize,
        source: usize,
        day: u32,
        back: bool,
    },
    /// The other process makes everything while this one has begun.
    Between {
        process: usize,
        after: usize,
        rows: Vec<(u32, u8)>,
    },
}

/// A change of a directory.
#[derive(Debug, Clone)]
pub enum Tree {
    Write(usize, u8),
    Remove(usize),
    Mode(usize, bool),
    Move(usize, usize),
    /// Nothing is left in it.
    Empty,
    Gone,
}

#[derive(Debug, Clone, Copy)]
pub enum Word {
    Accept,
    Invalidate,
    Wipe,
}

/// Three sources of files, one that is split, a directory, and a command; see [`sources`].
const SOURCES: usize = 6;

/// Files of the directory.
const LEAVES: [&str; 4] = ["tree/a", "tree/b", "tree/deep/a", "tree/deep/er/c"];

fn file(source: usize, part: u32) -> String {
    if source == 4 {
        return LEAVES[part as usize % LEAVES.len()].to_owned();
    }
    let key = match source % 3 {
        2 => KEYS[part as usize % 3].to_owned(),
        _ => day_key(part),
    };
    format!("data/s{}/{key}.csv", source % 3)
}

pub fn rows(rows: &[(u32, u8)]) -> String {
    let lines = rows.iter().map(|(day, n)| format!("{},{n}\n", day_key(*day)));
    format!("day,n\n{}", lines.collect::<String>())
}

fn sources(world: &World) -> Vec<Asset> {
    let split_by = if world.is_split_daily { daily(1, None) } else { files_of("s3") };
    vec![
        source("s0", "data/s0/{key}.csv", files_of("s0")),
        source("s1", "data/s1/{key}.csv", daily(0, None)),
        source("s2", "data/s2/{key}.csv", files_of("s2")),
        split("s3", "rows.csv", split_by),
        dir("s4", "tree"),
        observed("s5", "answer"),
    ]
}

fn partitions(kind: Kind) -> PartitionsDef {
    match kind {
        Kind::One => PartitionsDef::Unpartitioned,
        Kind::Days(a, b) => daily(a.min(b), Some(a.max(b) + 1)),
        Kind::Open(start) => daily(start, None),
        Kind::Keys(mask, reversed) => {
            let mut keys = some_keys(mask);
            if reversed {
                keys.reverse();
            }
            fixed(&keys)
        }
        Kind::Grid(mask, a, b) => PartitionsDef::Multi(BTreeMap::from([
            ("day".to_owned(), daily(a.min(b), Some(a.max(b) + 1))),
            ("key".to_owned(), fixed(&some_keys(mask))),
        ])),
        Kind::Files(mask) => PartitionsDef::Multi(BTreeMap::from([
            ("day".to_owned(), files_of("s0")),
            ("key".to_owned(), fixed(&some_keys(mask))),
        ])),
        Kind::Windows(every, day) => windows(every, day),
    }
}

fn some_keys(mask: u8) -> Vec<&'static str> {
    let chosen = KEYS.iter().enumerate().filter(|(i, _)| mask & (1 << i) != 0);
    let chosen: Vec<&str> = chosen.map(|(_, key)| *key).collect();
    if chosen.is_empty() { KEYS.to_vec() } else { chosen }
}

pub fn name(world: &World, node: usize) -> String {
    format!("{}{node}", if world.nodes[node].is_renamed { "b" } else { "a" })
}

fn assets(world: &World) -> Vec<Asset> {
    let mut assets = sources(world);
    let mut known: BTreeMap<usize, Asset> = assets.iter().cloned().enumerate().collect();
    let mut steps: Vec<Vec<AssetKey>> = Vec::new();
    for (i, node) in world.nodes.iter().enumerate().filter(|(_, node)| !node.is_removed) {
        let own = partitions(node.kind);
        let mut deps: Vec<(String, &str)> = Vec::new();
        for (pick, mapping, allow) in &node.deps {
            let Some(up) = known.get(&(pick % (SOURCES + i))) else { continue };
            let name = format!("{}{}", up.key, if *allow { "?" } else { "" });
            let known = |dep: &(String, &str)| dep.0.trim_end_matches('?') == up.key.as_str();
            if !deps.iter().any(known) {
                deps.push((name, mapping_between(&up.partitions, &own, MAPPINGS[*mapping])));
            }
        }
        let name = name(world, i);
        if node.reads_itself && matches!(node.kind, Kind::Days(..) | Kind::Open(_)) {
            deps.push((format!("{name}?"), "window(-1d, -1d)"));
        }
        let deps: Vec<(&str, &str)> = deps.iter().map(|(name, text)| (&**name, *text)).collect();
        let mut made = asset(&name, own, node.code, &deps);
        let before = i.checked_sub(1).and_then(|before| known.get(&(SOURCES + before)));
        match before.filter(|_| node.joins) {
            Some(before) => {
                made.partitions.clone_from(&before.partitions);
                made.deps.clone_from(&before.deps);
                steps.last_mut().unwrap().push(made.key.clone());
            }
            None => steps.push(vec![made.key.clone()]),
        }
        match node.aging {
            Aging::Never => {}
            Aging::After(ms) => made.policy.ttl = Some(Duration::from_millis(ms.unsigned_abs())),
            Aging::AtOnce => made.policy.volatile = true,
        }
        known.insert(SOURCES + i, made.clone());
        assets.push(made);
    }
    for makes in steps.into_iter().filter(|makes| makes.len() > 1) {
        let step = Arc::new(SharedStep { name: format!("with {}", makes[0]), makes });
        for asset in assets.iter_mut().filter(|asset| step.makes.contains(&asset.key)) {
            asset.shared = Some(step.clone());
        }
    }
    for (i, node) in world.nodes.iter().enumerate().filter(|(_, node)| !node.is_removed) {
        let name = name(world, i);
        let made = assets.iter_mut().find(|asset| asset.key.as_str() == name).unwrap();
        let asks = made.deps.iter().any(|dep| dep.mapping == MappingDef::Asked);
        if !asks && made.shared.is_none() && made.partitions != PartitionsDef::Unpartitioned {
            made.policy.batch = NonZeroU32::new(node.batch);
        }
    }
    assets
}

fn mapping_between(up: &PartitionsDef, own: &PartitionsDef, wanted: &'static str) -> &'static str {
    let fits = |text: &str| {
        let mapping = match text {
            "" => MappingDef::Default,
            text => MappingDef::parse(text).unwrap(),
        };
        mapping.validate(up, own).is_ok()
    };
    [wanted, ""].into_iter().find(|text| fits(text)).unwrap_or("all")
}

/// A process that keeps everything but the smallest values in files.
fn process(shelf: &Shelf, world: &World) -> Process {
    let mut process = Process { project: project(assets(world)), engine: None };
    process.project.settings.inline_max_bytes = world.inline_max_bytes;
    shelf.refreshed(&mut process);
    process
}

pub struct Rig {
    pub shelf: Shelf,
    pub world: World,
    pub processes: Vec<Process>,
    /// Something ran of which nobody knows whether it was recorded: then nothing may fail any more.
    is_vague: bool,
}

impl Rig {
    pub fn new(world: World, coarse: bool) -> Rig {
        let shelf = Shelf::new(coarse);
        shelf.clock.set(4);
        for source in 0..3 {
            (0..4).for_each(|part| shelf.write(&file(source, part), "0"));
        }
        shelf.write("rows.csv", &rows(&[(0, 0), (1, 0), (2, 0)]));
        shelf.write("answer", "0\n");
        shelf.write(LEAVES[0], "0");
        let processes = (0..2).map(|_| process(&shelf, &world)).collect();
        Rig { shelf, world, processes, is_vague: false }
    }

    fn reopen(&mut self, process: usize) {
        self.processes[process].engine = None;
        self.processes[process] = self::process(&self.shelf, &self.world);
    }

    pub fn vague(&mut self) {
        self.is_vague = true;
        self.shelf.bodies.failing.lock().unwrap().clear();
    }

    pub fn apply(&mut self, edit: &Edit) {
        let count = self.world.nodes.len();
        match edit.clone() {
            Edit::File(source, part, Some(content)) => {
                self.shelf.write(&file(source, part), &content.to_string());
            }
            Edit::File(source, part, None) => {
                let path = self.shelf.path(&file(source, part));
                let _ = std::fs::remove_file(path);
            }
            Edit::Again(source, part) => {
                let path = self.shelf.path(&file(source, part));
                if let Ok(content) = std::fs::read(&path) {
                    std::fs::remove_file(&path).unwrap();
                    std::fs::write(&path, content).unwrap();
                }
            }
            Edit::Rows(lines) => self.shelf.write("rows.csv", &rows(&lines)),
            Edit::Code(i, code) => self.world.nodes[i % count].code = code,
            Edit::Dep(i, dep, mapping, allow) => {
                let deps = &mut self.world.nodes[i % count].deps;
                let place = dep % deps.len();
                deps[place] = (deps[place].0, mapping, allow);
            }
            Edit::Order(i) => self.world.nodes[i % count].deps.reverse(),
            Edit::Kind(i, kind) => self.world.nodes[i % count].kind = kind,
            Edit::Join(i) => self.world.nodes[i % count].joins ^= true,
            Edit::Itself(i) => self.world.nodes[i % count].reads_itself ^= true,
            Edit::Rename(i) => self.world.nodes[i % count].is_renamed ^= true,
            Edit::Remove(i) => self.world.nodes[i % count].is_removed ^= true,
            Edit::SplitKind => self.world.is_split_daily ^= true,
            Edit::Fail(i, fails) => self.fail(i % count, fails),
            Edit::Now(day) => self.shelf.clock.set(day),
            Edit::World => {
                self.shelf.bodies.world.fetch_add(1, Ordering::Relaxed);
            }
            Edit::Aging(i, aging) => self.world.nodes[i % count].aging = aging,
            Edit::Tree(change) => self.tree(&change),
            Edit::Answer(Some(text)) => self.shelf.write("answer", &format!("{text}\n")),
            Edit::Answer(None) => {
                let _ = std::fs::remove_file(self.shelf.path("answer"));
            }
            Edit::ByHand(process, word, i, parts) => {
                let process = &mut self.processes[process];
                let target = key(&name(&self.world, i % count));
                let Some(parts) = chosen(self.shelf.refreshed(process), &target, parts) else {
                    return;
                };
                let targets = BTreeMap::from([(target, parts)]);
                match word {
                    Word::Accept => self.shelf.accept(process, &targets),
                    Word::Invalidate => self.shelf.invalidate(process, &targets),
                    Word::Wipe => self.shelf.wipe(process, &targets),
                }
            }
            Edit::Report(process, i, part) => {
                let process = &mut self.processes[process];
                let target = key(&name(&self.world, i % count));
                let parts = chosen(self.shelf.refreshed(process), &target, part);
                if let Some(part) = parts.and_then(|parts| parts.min()) {
                    self.shelf.report(process, &target, part, &format!("told{part}"));
                }
            }
            Edit::Gc(process, keep) => {
                // What is current need not run though it would fail, and the rest may have to.
                if keep.is_some() {
                    self.vague();
                }
                self.shelf.gc(&mut self.processes[process], keep);
            }
            Edit::Reopen(process) => self.reopen(process),
            Edit::Die(process, after) => {
                self.vague();
                let process = &mut self.processes[process];
                let request = all(self.shelf.refreshed(process), false);
                self.shelf.die(process, &request, after);
            }
            Edit::Make { process, asset, parts, reach, force } => {
                self.make(process, asset % count, parts, reach, force);
            }
            Edit::MakeAll(process) => {
                self.shelf.settle(&mut self.processes[process]);
            }
            Edit::Race { process, asset, source, day, back } => {
                self.race(process, asset % count, &file(source, day), back);
            }
            Edit::Between { process, after, rows: lines } => {
                self.between(process, after, &rows(&lines));
            }
        }
    }

    fn tree(&self, change: &Tree) {
        let leaf = |i: usize| self.shelf.path(LEAVES[i % LEAVES.len()]);
        let root = self.shelf.path("tree");
        match *change {
            Tree::Write(i, content) => {
                self.shelf.write(LEAVES[i % LEAVES.len()], &content.to_string());
            }
            Tree::Remove(i) => drop(std::fs::remove_file(leaf(i))),
            Tree::Mode(i, runs) => {
                let mode = Permissions::from_mode(if runs { 0o755 } else { 0o644 });
                drop(std::fs::set_permissions(leaf(i), mode));
            }
            Tree::Move(from, to) => {
                std::fs::create_dir_all(leaf(to).parent().unwrap()).unwrap();
                drop(std::fs::rename(leaf(from), leaf(to)));
            }
            Tree::Empty => {
                drop(std::fs::remove_dir_all(&root));
                std::fs::create_dir(root).unwrap();
            }
            Tree::Gone => drop(std::fs::remove_dir_all(root)),
        }
    }

    fn fail(&mut self, node: usize, fails: bool) {
        let mut failing = self.shelf.bodies.failing.lock().unwrap();
        let name = name(&self.world, node);
        if fails && !self.is_vague {
            failing.insert(name);
        } else {
            failing.remove(&name);
        }
    }

    fn make(&mut self, process: usize, node: usize, parts: u8, reach: u8, force: bool) {
        let process = &mut self.processes[process];
        let engine = self.shelf.refreshed(process);
        check_by_keys(engine);
        let target = key(&name(&self.world, node));
        let Some(parts) = chosen(engine, &target, parts) else { return };
        let targets = BTreeMap::from([(target, parts)]);
        let reach = match reach {
            0 => Reach::Only,
            1 => Reach::UpstreamAndDownstream,
            _ => Reach::Upstream,
        };
        let request = Request { targets, chosen: Default::default(), reach, force };
        self.shelf.make(process, &request);
        if reach != Reach::Only {
            self.shelf.check(process, &request);
        }
    }

    fn race(&mut self, process: usize, node: usize, path: &str, back: bool) {
        self.vague();
        let process = &mut self.processes[process];
        let engine = self.shelf.refreshed(process);
        let request = all(engine, false);
        let target = key(&name(&self.world, node));
        let Some(set) = request.targets.get(&target) else { return };
        let Some(part) = set.max() else { return };
        let id = format!("{target}@{}", engine.planner().domain(&target).key(part).unwrap());
        let path = self.shelf.path(path);
        let Ok(before) = std::fs::read(&path) else { return };
        let (again, mut request) = (path.clone(), request.clone());
        // Another length: two writes within one tick of the clock cannot be told apart otherwise.
        self.shelf.before(&id, move |_| std::fs::write(path, "12345\n").unwrap());
        if back {
            self.shelf.after(&id, move |_| std::fs::write(again, before).unwrap());
        }
        request.force = true;
        self.shelf.race(process, &request);
        self.shelf.forget_hooks();
    }

    fn between(&mut self, process: usize, after: usize, lines: &str) {
        self.vague();
        let (first, second) = self.processes.split_at_mut(1);
        let (this, other) = match process {
            0 => (&mut first[0], &mut second[0]),
            _ => (&mut second[0], &mut first[0]),
        };
        let shelf = &self.shelf;
        let request = all(shelf.refreshed(this), false);
        let mut engine = this.engine.take().unwrap();
        shelf.live();
        let mut left = Some(after);
        let mut listen = |engine: &Engine, event: RunEvent| {
            shelf.trace.hear(engine, &event);
            let counts = matches!(
                event,
                RunEvent::StepStarted { .. }
                    | RunEvent::StepSucceeded { .. }
                    | RunEvent::Restored { .. }
            );
            left = match left {
                Some(0) if counts => {
                    shelf.write("rows.csv", lines);
                    let request = all(shelf.refreshed(other), false);
                    shelf.race(other, &request);
                    None
                }
                Some(more) if counts => Some(more - 1),
                left => left,
            };
        };
        let options = shelf.trace.options();
        engine.materialize(&request, &options, &Control::new(), &mut listen).unwrap();
        this.engine = Some(engine);
        shelf.take_ran();
    }
}

/// Some partitions of an asset, if it is declared.
pub fn chosen(engine: &Engine, asset: &AssetKey, mask: u8) -> Option<PartitionSet> {
    engine.project().assets.get(asset)?;
    let all = engine.planner().domain(asset).all();
    let chosen = all.iter().enumerate().filter(|(i, _)| mask & (1 << (i % 8)) != 0);
    Some(chosen.map(|(_, part)| part).collect())
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        2 => Just(Kind::One),
        3 => (0..DAYS, 0..DAYS).prop_map(|(a, b)| Kind::Days(a, b)),
        3 => (0..3u32).prop_map(Kind::Open),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(mask, reversed)| Kind::Keys(mask, reversed)),
        1 => (any::<u8>(), 0..DAYS, 0..DAYS).prop_map(|(mask, a, b)| Kind::Grid(mask, a, b)),
        1 => any::<u8>().prop_map(Kind::Files),
        2 => (everies(), 0..DAYS).prop_map(|(every, day)| Kind::Windows(every, day)),
    ]
}

fn everies() -> impl Strategy<Value = Every> {
    prop_oneof![Just(Every::Hour), Just(Every::HalfDay), Just(Every::Week), Just(Every::Month)]
}

/// What most edits of one case are about: much of one thing meets what a little of everything does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    Everything,
    /// The directory and the command, which most assets read.
    Outside,
    ByHand,
    Age,
}

pub fn themes() -> impl Strategy<Value = Theme> {
    prop_oneof![
        3 => Just(Theme::Everything),
        1 => Just(Theme::Outside),
        1 => Just(Theme::ByHand),
        1 => Just(Theme::Age),
    ]
}

pub fn cases_of(theme: Theme) -> impl Strategy<Value = (World, Vec<Edit>)> {
    let all = edits().boxed();
    let often = match theme {
        Theme::Everything => all.clone(),
        Theme::Outside => outside().boxed(),
        Theme::ByHand => by_hand().boxed(),
        Theme::Age => age().boxed(),
    };
    let makes = (0usize..2).prop_map(Edit::MakeAll);
    let edit = prop_oneof![1 => makes, 2 => often, 3 => all];
    (worlds(theme), proptest::collection::vec(edit, 1..20))
}

fn worlds(theme: Theme) -> impl Strategy<Value = World> {
    let picks = match theme {
        // A number that is the directory or the command wherever it is looked up first.
        Theme::Outside => prop_oneof![Just(4usize), Just(5usize), 0usize..64].boxed(),
        Theme::Everything | Theme::ByHand | Theme::Age => (0usize..64).boxed(),
    };
    let dep = (picks, 0..MAPPINGS.len(), any::<bool>());
    let deps = proptest::collection::vec(dep, 1..3);
    let together = (proptest::bool::weighted(0.3), prop_oneof![3 => Just(0), 2 => 1u32..8]);
    let node = (kinds(), codes(), deps, any::<bool>(), agings(), together);
    let node = node.prop_map(|(kind, code, deps, reads_itself, aging, (joins, batch))| Node {
        kind,
        code,
        deps,
        reads_itself,
        joins,
        batch,
        aging,
        is_removed: false,
        is_renamed: false,
    });
    let small = prop_oneof![Just(4), Just(4096)];
    (proptest::collection::vec(node, 2..6), any::<bool>(), small).prop_map(
        |(nodes, is_split_daily, inline_max_bytes)| World {
            nodes,
            is_split_daily,
            inline_max_bytes,
        },
    )
}

/// From 3 on they take the world.
fn codes() -> impl Strategy<Value = u8> {
    prop_oneof![0u8..3, 3u8..5]
}

fn agings() -> impl Strategy<Value = Aging> {
    const DAY: i64 = 24 * 3_600_000;
    prop_oneof![
        4 => Just(Aging::Never),
        1 => Just(Aging::After(DAY)),
        1 => Just(Aging::After(3 * DAY)),
        2 => Just(Aging::AtOnce),
    ]
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = || 0..LEAVES.len();
    prop_oneof![
        4 => (leaf(), 0u8..3).prop_map(|(i, content)| Tree::Write(i, content)),
        2 => leaf().prop_map(Tree::Remove),
        2 => (leaf(), any::<bool>()).prop_map(|(i, runs)| Tree::Mode(i, runs)),
        2 => (leaf(), leaf()).prop_map(|(from, to)| Tree::Move(from, to)),
        1 => Just(Tree::Empty),
        1 => Just(Tree::Gone),
    ]
}

fn age() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => Just(Edit::World),
        1 => (0usize..8, agings()).prop_map(|(i, aging)| Edit::Aging(i, aging)),
        1 => (1..DAYS + 2).prop_map(Edit::Now),
        1 => (0usize..8, codes()).prop_map(|(i, code)| Edit::Code(i, code)),
        1 => (0usize..2).prop_map(Edit::Reopen),
    ]
}

fn outside() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => trees().prop_map(Edit::Tree),
        2 => proptest::option::weighted(0.8, 0u8..3).prop_map(Edit::Answer),
    ]
}

fn by_hand() -> impl Strategy<Value = Edit> {
    let (process, node) = (|| 0usize..2, || 0usize..8);
    prop_oneof![
        4 => (process(), words(), node(), any::<u8>())
            .prop_map(|(process, word, i, parts)| Edit::ByHand(process, word, i, parts)),
        1 => (process(), node(), any::<u8>()).prop_map(|(p, i, part)| Edit::Report(p, i, part)),
        1 => (process(), proptest::option::of(0u32..2)).prop_map(|(p, keep)| Edit::Gc(p, keep)),
    ]
}

fn words() -> impl Strategy<Value = Word> {
    prop_oneof![Just(Word::Accept), Just(Word::Invalidate), Just(Word::Wipe)]
}

/// Rows of the split file.
pub fn lines() -> impl Strategy<Value = Vec<(u32, u8)>> {
    proptest::collection::vec((0..DAYS, 0u8..2), 0..5)
}

fn edits() -> impl Strategy<Value = Edit> {
    let node = || 0usize..8;
    prop_oneof![
        6 => (0usize..3, 0..DAYS, proptest::option::weighted(0.7, 0u8..3))
            .prop_map(|(source, part, content)| Edit::File(source, part, content)),
        1 => (0usize..3, 0..DAYS).prop_map(|(source, part)| Edit::Again(source, part)),
        2 => lines().prop_map(Edit::Rows),
        2 => (node(), codes()).prop_map(|(i, code)| Edit::Code(i, code)),
        2 => (node(), 0usize..3, 0..MAPPINGS.len(), any::<bool>())
            .prop_map(|(i, dep, mapping, allow)| Edit::Dep(i, dep, mapping, allow)),
        1 => node().prop_map(Edit::Order),
        3 => (node(), kinds()).prop_map(|(i, kind)| Edit::Kind(i, kind)),
        1 => node().prop_map(Edit::Itself),
        1 => node().prop_map(Edit::Join),
        1 => node().prop_map(Edit::Rename),
        1 => node().prop_map(Edit::Remove),
        1 => Just(Edit::SplitKind),
        1 => (node(), any::<bool>()).prop_map(|(i, fails)| Edit::Fail(i, fails)),
        2 => (1..DAYS + 2).prop_map(Edit::Now),
        2 => Just(Edit::World),
        1 => age(),
        5 => outside(),
        6 => by_hand(),
        5 => (0usize..2).prop_map(Edit::Reopen),
        1 => (0usize..2, 0usize..6).prop_map(|(process, after)| Edit::Die(process, after)),
        6 => (0usize..2, node(), any::<u8>(), 0u8..6, proptest::bool::weighted(0.2))
            .prop_map(|(process, asset, parts, reach, force)| Edit::Make {
                process, asset, parts, reach, force
            }),
        3 => (0usize..2).prop_map(Edit::MakeAll),
        1 => (0usize..2, node(), (0usize..4).prop_map(|i| if i == 3 { 4 } else { i }), 0..DAYS,
              any::<bool>())
            .prop_map(|(process, asset, source, day, back)| Edit::Race {
                process, asset, source, day, back
            }),
        1 => (0usize..2, 0usize..6, lines())
            .prop_map(|(process, after, rows)| Edit::Between { process, after, rows }),
    ]
}

#[expect(clippy::disallowed_methods, reason = "the person who runs the test says how long")]
fn cases() -> u32 {
    // A long search is for the night: SLOW=1 cargo test freshness.
    if std::env::var_os("SLOW").is_some() { 5_000 } else { 100 }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_fresh_is_what_an_empty_store_would_make(
        (world, edits) in themes().prop_flat_map(cases_of),
        coarse in any::<bool>(),
    ) {
        let mut rig = Rig::new(world, coarse);
        let last = [Edit::MakeAll(0), Edit::MakeAll(1), Edit::Reopen(0), Edit::MakeAll(0)];
        for edit in edits.iter().chain(&last) {
            rig.apply(edit);
        }
    }
}

/// Two processes have other keys in other places. The wipe of a partition in one of them took the trace of
/// another partition along, which then ran once more for nothing.
#[test]
fn a_wipe_takes_no_other_partition_along() {
    let node = |kind| Node {
        kind,
        code: 0,
        deps: vec![(0, 0, false)],
        reads_itself: false,
        joins: false,
        batch: 0,
        aging: Aging::Never,
        is_removed: false,
        is_renamed: false,
    };
    let nodes = vec![node(Kind::Files(193)), node(Kind::One)];
    let mut rig = Rig::new(World { nodes, is_split_daily: false, inline_max_bytes: 4 }, false);
    for edit in [
        Edit::Kind(0, Kind::Files(26)),
        Edit::Reopen(0),
        Edit::MakeAll(0),
        Edit::ByHand(1, Word::Wipe, 0, 1),
        Edit::MakeAll(0),
        Edit::MakeAll(1),
    ] {
        rig.apply(&edit);
    }
}
