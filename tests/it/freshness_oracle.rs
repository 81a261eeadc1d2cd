//! The brute force: every value is computed anew from the files, with nothing of the engine's but domains
//! and mappings, and compared with what a process sees and has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::Ordering;

use giornata::base::{AssetKey, Clock, Flags, PartitionIdx, PartitionKey};
use giornata::defs::{Asset, Body, Missing, PartitionsDef, Project, SourceDef};
use giornata::engine::{Access, Engine, Value};
use giornata::plan::{Decision, Edge, Request};

use super::freshness_rig::{
    Accepted, Aging, Process, Shelf, ask, head, made, push_input, takes_world, tree,
};

/// What a partition is, when everything is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    Value(String),
    /// Something that it needs is missing.
    Blocked,
    /// Something that it needs cannot be looked at.
    Unknown,
    /// It, or something that it needs, fails.
    Failed,
}

impl Shelf {
    /// Everything in `request`, which was just carried out, has the state and the value that it would
    /// have in an empty store, and an engine that is opened anew sees the same. What ages at once is
    /// fresh only in the eyes of the process that made it.
    pub fn check(&self, process: &mut Process, request: &Request) {
        self.refreshed(process);
        let mut cold = self.open(&process.project, Access::Read);
        let assets: Vec<AssetKey> = process.project.assets.keys().cloned().collect();
        cold.refresh(&assets).unwrap();
        let hot = process.engine.as_ref().unwrap();
        check_by_keys(hot);
        check_by_keys(&cold);
        let aging = aging(&process.project);
        for asset in assets.iter().filter(|asset| !aging.contains(*asset)) {
            assert_eq!(
                hot.status(asset).unwrap(),
                cold.status(asset).unwrap(),
                "hot, cold {asset}"
            );
        }
        let mut oracle = Oracle::new(self, hot, &process.project);
        for (asset, parts) in &request.targets {
            let engine = if aging.contains(asset) { hot } else { &cold };
            let state = engine.planner().freshness(asset).clone();
            for part in parts {
                let wanted = oracle.value(asset, part);
                let id = id(engine, asset, part);
                let fresh = state.fresh().contains(part);
                assert_eq!(fresh, matches!(wanted, Made::Value(_)), "{id} is fresh; {wanted:?}");
                let blocked = state.blocked.contains(part);
                let lacks = matches!(wanted, Made::Blocked | Made::Unknown);
                assert_eq!(blocked, lacks, "{id} is blocked; {wanted:?}");
                if let Made::Value(wanted) = wanted {
                    assert_eq!(value(engine, asset, part), wanted, "value of {id}");
                    let invalidated = self.invalidated.lock().unwrap();
                    assert!(!invalidated.contains(&id), "{id} is fresh, but was invalidated");
                }
            }
        }
    }
}

/// What is to run although all that it reads is fresh has a content key that has led to nothing, whether
/// that was looked at or not.
pub fn check_by_keys(engine: &Engine) {
    let planner = engine.planner();
    for asset in planner.order() {
        let state = planner.freshness(asset).clone();
        let is_fresh = |edge: &Edge, part| {
            edge.mapping.upstream_of_one(part).is_subset(&planner.freshness(&edge.upstream).kept)
        };
        for part in &state.run - &state.asks_anew {
            if planner.edges(asset).iter().all(|edge| is_fresh(edge, part)) {
                let decision = planner.decide(asset, part);
                let runs = matches!(decision, Decision::Run { .. });
                assert!(runs, "{} is to run, but {decision:?}", id(engine, asset, part));
            }
        }
    }
}

/// The name of a partition.
pub fn id(engine: &Engine, asset: &AssetKey, part: PartitionIdx) -> String {
    format!("{asset}@{}", engine.planner().domain(asset).key(part).unwrap())
}

/// The recorded value of a partition.
pub fn value(engine: &Engine, asset: &AssetKey, part: PartitionIdx) -> String {
    let bytes = match engine.value(asset, part).unwrap() {
        Value::Table { bytes, .. } => bytes,
        other => panic!("{asset} is no table: {other:?}"),
    };
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

/// Assets that age at once, and all that read them.
pub fn aging(project: &Project) -> BTreeSet<AssetKey> {
    let mut found = BTreeSet::new();
    for key in project.topological() {
        let asset = &project.assets[&key];
        let reads = asset.deps.iter().any(|dep| found.contains(&dep.upstream));
        if reads || Aging::of(&asset.policy) == Aging::AtOnce {
            found.insert(key);
        }
    }
    found
}

/// What a step would be given, if it read what is recorded now; `None` if something is not there.
pub fn given_now(
    shelf: &Shelf,
    engine: &Engine,
    asset: &AssetKey,
    part: PartitionIdx,
) -> Option<String> {
    let recorded = |asset: &AssetKey, part| {
        let def = &engine.project().assets[asset];
        if def.is_source() {
            let key = engine.planner().domain(asset).key(part)?;
            return contents(shelf.dir.path(), def)?.get(key.as_str()).cloned();
        }
        let mark = engine.planner().records().column(asset).get(part)?;
        let there = mark.has_value() && engine.planner().is_usable(asset, part);
        there.then(|| value(engine, asset, part))
    };
    let mut lacks = false;
    let given = given(engine, asset, part, &mut |asset, part, need| {
        let found = part.and_then(|part| recorded(asset, part));
        lacks |= found.is_none() && need != Need::May;
        found
    });
    (!lacks).then_some(given)
}

/// Everything that a step is given, where `of` says the value of an input if it has one.
fn given(engine: &Engine, asset: &AssetKey, part: PartitionIdx, of: Ask<'_>) -> String {
    let planner = engine.planner();
    let key = planner.domain(asset).key(part).unwrap();
    let window = planner.domain(asset).window(part);
    let window = window.map(|window| (window.start.to_rfc3339(), window.end.to_rfc3339()));
    let mut given = head(planner.def(asset), key.as_str(), window.as_ref());
    let edges = planner.edges(asset).clone();
    let declared = |edge: &&Edge| edge.mapping.as_asked().is_none();
    let mut lacks = false;
    for edge in edges.iter().filter(declared) {
        let need = match edge.missing {
            Missing::Error => Need::Must,
            Missing::Allow => Need::May,
        };
        let up = planner.domain(&edge.upstream).clone();
        let mut members: Vec<_> = edge.mapping.upstream_of_one(part).iter().collect();
        if !matches!(up.def(), PartitionsDef::TimeWindow(_)) {
            members.sort_by_key(|member| up.key(*member));
        }
        let mut parts = Vec::new();
        for member in members {
            match of(&edge.upstream, Some(member), need) {
                Some(value) => parts.push((up.key(member).unwrap(), value)),
                None => lacks |= need == Need::Must,
            }
        }
        let parts = parts.iter().map(|(key, value)| (key.as_str(), value.clone()));
        push_input(&mut given, edge.upstream.as_str(), edge.mapping.is_single(), parts);
    }
    for edge in edges.iter().filter(|edge| !declared(edge) && !lacks) {
        let up = planner.domain(&edge.upstream).clone();
        let got = ask(planner.def(asset), edge.upstream.as_str(), &mut given, &mut |key| {
            of(&edge.upstream, up.index(key), Need::Asked)
        });
        if got.is_none() {
            break;
        }
    }
    given
}

/// Says the value of an input, if it has one.
type Ask<'a> = &'a mut dyn FnMut(&AssetKey, Option<PartitionIdx>, Need) -> Option<String>;

/// How a step needs a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Must,
    May,
    /// It asks for it while it runs.
    Asked,
}

struct Oracle<'a> {
    shelf: &'a Shelf,
    engine: &'a Engine,
    project: &'a Project,
    sources: BTreeMap<AssetKey, Option<BTreeMap<String, String>>>,
    memo: BTreeMap<(AssetKey, PartitionIdx), Made>,
}

impl Oracle<'_> {
    fn new<'a>(shelf: &'a Shelf, engine: &'a Engine, project: &'a Project) -> Oracle<'a> {
        let mut sources = BTreeMap::new();
        for asset in project.assets.values().filter(|asset| asset.is_source()) {
            let files = contents(shelf.dir.path(), asset);
            if let (PartitionsDef::Dynamic(_), Some(files)) = (&asset.partitions, &files) {
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
        let engine = self.engine;
        match self.sources.get(asset) {
            Some(None) => return Made::Unknown,
            Some(Some(files)) => {
                let key = engine.planner().domain(asset).key(part).unwrap();
                return files.get(key.as_str()).cloned().map_or(Made::Blocked, Made::Value);
            }
            None => {}
        }
        let (mut blocked, mut unknown, mut failed) = (false, false, false);
        for edge in engine.planner().edges(asset).iter() {
            blocked |= edge.missing == Missing::Error && !edge.mapping.absent(part).is_empty();
        }
        let given = given(engine, asset, part, &mut |upstream, member, need| {
            match member.map_or(Made::Blocked, |member| self.value(upstream, member)) {
                Made::Value(value) => return Some(value),
                Made::Unknown => unknown = true,
                Made::Failed => failed = true,
                Made::Blocked => {
                    blocked |= need == Need::Must;
                    failed |= need == Need::Asked;
                }
            }
            None
        });
        match (unknown, blocked, failed) {
            (true, _, _) => Made::Unknown,
            (false, true, _) => Made::Blocked,
            (false, false, true) => Made::Failed,
            (false, false, false) => self.own(asset, part, &given),
        }
    }

    /// What a step makes of what it is given.
    fn own(&self, asset: &AssetKey, part: PartitionIdx, given: &str) -> Made {
        let shelf = self.shelf;
        let def = &self.project.assets[asset];
        let aging = Aging::of(&def.policy);
        let now = shelf.clock.now().timestamp_millis();
        let fresh = self.engine.planner().freshness(asset).fresh().contains(part);
        let young = |at: i64| match aging {
            Aging::Never => true,
            Aging::After(ms) => at > now - ms,
            Aging::AtOnce => false,
        };
        if let Some((value, at)) = self.by_hand(asset, part, given)
            && fresh
            && young(at)
        {
            return Made::Value(value);
        }
        let fails = shelf.bodies.failing.lock().unwrap().contains(asset.as_str());
        let must_run = match aging {
            // What was computed before needs no step that could fail.
            Aging::Never => !shelf.known.contains(given) && !fresh,
            Aging::After(_) => !fresh,
            Aging::AtOnce => true,
        };
        if fails && must_run {
            return Made::Failed;
        }
        let made_in = |world| made(def, given, world, shelf.bodies.coarse);
        let world = shelf.bodies.world.load(Ordering::Relaxed);
        if !takes_world(def) || aging == Aging::AtOnce {
            return Made::Value(made_in(world));
        }
        let history = shelf.history.lock().unwrap();
        let worlds = history.iter().filter(|(_, at)| young(*at)).map(|(world, _)| *world);
        let possible: BTreeSet<String> = worlds.map(made_in).collect();
        let found = if fresh { value(self.engine, asset, part) } else { String::new() };
        Made::Value(if possible.contains(&found) { found } else { format!("of {possible:?}") })
    }

    /// The recorded result, if it is one of those that somebody has said to be right for this.
    fn by_hand(&self, asset: &AssetKey, part: PartitionIdx, given: &str) -> Option<(String, i64)> {
        let mark = self.engine.planner().records().column(asset).get(part)?;
        if !mark.has_value() || !mark.flags.has(Flags::ACCEPTED) {
            return None;
        }
        let (id, value) = (id(self.engine, asset, part), value(self.engine, asset, part));
        let accepted = Accepted { id, given: given.to_owned(), value: value.clone() };
        Some((value, *self.shelf.accepted.get(&accepted)?))
    }
}

/// What the partitions of a source contain, as the steps read it; `None` if nobody can know.
fn contents(root: &Path, source: &Asset) -> Option<BTreeMap<String, String>> {
    let one = |text: String| BTreeMap::from([(String::new(), text)]);
    let (pattern, split_by) = match &source.body {
        Body::Source(SourceDef::Files { pattern, split_by, .. }) => (pattern, split_by),
        Body::Source(SourceDef::Dir { path, .. }) => {
            let path = root.join(path);
            return Some(if path.is_dir() { one(tree(&path)) } else { BTreeMap::new() });
        }
        Body::Source(SourceDef::Observe { command, .. }) => {
            let path = command.split(' ').nth(4).unwrap();
            let text = std::fs::read_to_string(root.join(path)).ok()?;
            return Some(one(text.trim().to_owned()));
        }
        Body::Source(SourceDef::Pieces { .. })
        | Body::Sql(_)
        | Body::Command(_)
        | Body::Function(_)
        | Body::Graph(_) => unreachable!("no source of these worlds"),
    };
    let path = root.join(&pattern.text);
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    if split_by.is_some() {
        // A file that is not there is not one without rows.
        let text = std::fs::read_to_string(&path).ok()?;
        for row in text.lines().skip(1) {
            let day = row.split(',').next().unwrap().to_owned();
            let part = found.entry(day).or_insert_with(|| text.lines().next().unwrap().to_owned());
            *part += &format!("\n{row}");
        }
        return Some(found);
    }
    for file in std::fs::read_dir(path.parent().unwrap()).into_iter().flatten() {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap().trim().to_owned();
        found.insert(stem, text);
    }
    Some(found)
}
