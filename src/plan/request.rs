//! From a request to a plan: which partitions of which assets it needs, and what each needs done.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Freshness, Planner, ReasonCode};
use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::defs::partition::PartitionExpr;
use crate::defs::{Missing, OutputDef, SharedStep};

/// What somebody wants to be fresh.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Each asset once.
    pub targets: BTreeMap<AssetKey, PartitionSet>,
    /// Targets whose partitions are chosen anew whenever a plan is made, besides those above: a run may
    /// make more of them.
    pub chosen: BTreeMap<AssetKey, Chosen>,
    pub reach: Reach,
    /// Run the targets whatever their state.
    pub force: bool,
}

/// Which partitions of a target are meant, of those that there are when a plan is made.
#[derive(Debug, Clone, PartialEq)]
pub enum Chosen {
    All,
    /// What any of the expressions names.
    By(Vec<PartitionExpr>),
}

/// What else is looked at besides the targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// What they read, as far as it is not fresh.
    Upstream,
    /// That, and all that reads them.
    UpstreamAndDownstream,
    /// Nothing.
    Only,
}

/// What a request needs done, upstream first.
#[derive(Debug, Clone)]
pub struct Plan {
    pub assets: Vec<PlanAsset>,
}

/// The part of a plan about one asset. All sets lie within `wanted`.
#[derive(Debug, Clone)]
pub struct PlanAsset {
    pub asset: AssetKey,
    /// Looked at, not made: nothing of it runs.
    pub is_source: bool,
    pub makes_pieces: bool,
    /// The step that makes it together with others.
    pub shared: Option<Arc<SharedStep>>,
    pub is_target: bool,
    pub wanted: PartitionSet,
    pub fresh: PartitionSet,
    pub verify: PartitionSet,
    pub restore: PartitionSet,
    /// Certain to run.
    pub run: PartitionSet,
    /// Run whatever their state, because that was asked for.
    pub forced: PartitionSet,
    /// Decided when upstream is settled.
    pub pending: PartitionSet,
    pub blocked: PartitionSet,
    pub state: Arc<Freshness>,
}

impl PlanAsset {
    /// Partitions that need something done.
    pub fn open(&self) -> PartitionSet {
        let mut open = &self.run | &self.pending;
        for set in [&self.verify, &self.restore, &self.forced] {
            open |= set;
        }
        open
    }

    /// Why one of them is not fresh, as far as that is known before upstream is settled.
    pub fn reasons(&self, part: PartitionIdx) -> Vec<ReasonCode> {
        let reasons = self.state.reasons.iter().filter(|(_, set)| set.contains(part));
        let mut codes: Vec<ReasonCode> = reasons.map(|(code, _)| *code).collect();
        if self.pending.contains(part) {
            codes.push(ReasonCode::UpstreamStale);
        }
        if self.state.without_result.contains(part) && !codes.contains(&ReasonCode::Missing) {
            codes.push(ReasonCode::Missing);
        }
        if self.forced.contains(part) {
            codes.push(ReasonCode::Forced);
        }
        codes
    }

    /// Takes `parts` out of what runs whatever its state: their state decides again.
    pub fn release(&mut self, parts: &PartitionSet) {
        let released = &self.forced & parts;
        self.forced -= &released;
        let state = &self.state;
        self.fresh |= &released & &state.fresh();
        self.verify |= &released & state.verify_set();
        self.restore |= &released & state.restore_set();
        self.run |= &released & &state.run;
        self.pending |= &released & &state.pending;
    }

    /// An upper bound of the steps that will run.
    pub fn may_run(&self) -> u64 {
        if self.is_source { 0 } else { (&(&self.run | &self.forced) | &self.pending).len() }
    }
}

impl Plan {
    /// Steps that will run whatever their upstream yields.
    pub fn certain(&self) -> u64 {
        self.steps(|asset| &asset.run | &asset.forced)
    }

    /// Steps that run unless they are cut off or restored.
    pub fn possible(&self) -> u64 {
        let all = self.steps(|asset| {
            let certain = &asset.run | &asset.forced;
            if asset.is_source { certain } else { certain | &asset.pending }
        });
        all - self.certain()
    }

    /// Counts executions: one that makes several assets is one.
    fn steps(&self, set: impl Fn(&PlanAsset) -> PartitionSet) -> u64 {
        let mut shared: BTreeMap<&AssetKey, PartitionSet> = BTreeMap::new();
        let mut steps = 0;
        for asset in &self.assets {
            let parts = set(asset);
            match asset.shared.as_ref().and_then(|step| step.makes.first()) {
                Some(first) => *shared.entry(first).or_default() |= parts,
                None => steps += parts.len(),
            }
        }
        steps + shared.values().map(PartitionSet::len).sum::<u64>()
    }

    /// How many results will be made or restored at the most.
    pub fn results(&self) -> u64 {
        self.assets.iter().map(|asset| asset.may_run() + asset.restore.len()).sum()
    }

    pub fn restores(&self) -> u64 {
        self.assets.iter().map(|asset| asset.restore.len()).sum()
    }

    /// Assets that make pieces and may run: how many there are is known afterwards.
    pub fn growing(&self) -> impl Iterator<Item = &AssetKey> {
        let makers = self.assets.iter().filter(|it| it.makes_pieces && it.may_run() > 0);
        makers.map(|asset| &asset.asset)
    }

    /// True if there is nothing to do, not even to record.
    pub fn is_empty(&self) -> bool {
        self.assets.iter().all(|asset| asset.open().is_empty() && asset.blocked.is_empty())
    }
}

/// Restricts the state of all assets to what `request` needs.
pub fn plan(planner: &Planner, request: &Request) -> Plan {
    let targets = targets(planner, request);
    let mut wanted = BTreeMap::clone(&targets);
    match request.reach {
        Reach::UpstreamAndDownstream => downstream(planner, &mut wanted),
        Reach::Upstream | Reach::Only => {}
    }
    match request.reach {
        Reach::UpstreamAndDownstream | Reach::Upstream => makers_of_keys(planner, &mut wanted),
        Reach::Only => {}
    }
    let moving = match request.reach {
        Reach::UpstreamAndDownstream | Reach::Upstream if request.force => {
            moving(planner, &targets)
        }
        Reach::UpstreamAndDownstream | Reach::Upstream | Reach::Only => BTreeMap::new(),
    };
    let unmoved = PartitionSet::new();
    let mut assets = Vec::new();
    for key in planner.order().iter().rev() {
        let Some(set) = wanted.get(key).filter(|set| !set.is_empty()) else {
            continue;
        };
        let moving = moving.get(key).unwrap_or(&unmoved);
        let set = match request.reach {
            Reach::Only => Cow::Borrowed(set),
            Reach::Upstream | Reach::UpstreamAndDownstream => {
                with_earlier(planner, key, set, moving)
            }
        };
        let forced = if request.force { forced(planner, &targets, key) } else { unmoved.clone() };
        let asset = restrict(planner, key, &set, &forced, moving, targets.contains_key(key));
        match request.reach {
            Reach::Only => {}
            Reach::Upstream | Reach::UpstreamAndDownstream => {
                let open = asset.open() | &asset.blocked;
                for edge in planner.edges(key).iter().filter(|edge| edge.upstream != *key) {
                    let mut needed = edge.mapping.upstream_of(&open);
                    match edge.missing {
                        Missing::Error => {}
                        // What cannot be had and need not be had is nobody's business.
                        Missing::Allow => needed -= &planner.freshness(&edge.upstream).absent(),
                    }
                    if !needed.is_empty() {
                        *wanted.entry(edge.upstream.clone()).or_default() |= needed;
                    }
                }
            }
        }
        assets.push(asset);
    }
    assets.reverse();
    Plan { assets }
}

/// What is asked for of the partitions that there are now.
fn targets<'a>(
    planner: &Planner,
    request: &'a Request,
) -> Cow<'a, BTreeMap<AssetKey, PartitionSet>> {
    let mut targets = Cow::Borrowed(&request.targets);
    for (key, chosen) in &request.chosen {
        match chosen {
            Chosen::All => {
                targets.to_mut().insert(key.clone(), planner.domain(key).all().clone());
            }
            Chosen::By(expressions) => {
                // What names nothing may name something when there are more.
                let found = expressions.iter().filter_map(|expr| planner.select(key, expr).ok());
                let target = targets.to_mut().entry(key.clone()).or_default();
                found.for_each(|found| *target |= found);
            }
        }
    }
    targets
}

/// What runs whatever its state, and all that reads it: it may come out different although nothing that
/// counts has changed, so that what is fresh is decided again.
fn moving(
    planner: &Planner,
    targets: &BTreeMap<AssetKey, PartitionSet>,
) -> BTreeMap<AssetKey, PartitionSet> {
    let mut moving: BTreeMap<AssetKey, PartitionSet> = BTreeMap::new();
    for key in planner.order() {
        let all = planner.domain(key).all();
        let mut set = forced(planner, targets, key);
        let edges = planner.edges(key);
        for edge in edges.iter().filter(|edge| edge.upstream != *key) {
            if let Some(upstream) = moving.get(&edge.upstream) {
                set |= edge.mapping.downstream_of(upstream) & all;
            }
        }
        for edge in edges.iter().filter(|edge| edge.upstream == *key) {
            edge.mapping.spread(&mut set, all);
        }
        if !set.is_empty() {
            moving.insert(key.clone(), set);
        }
    }
    moving
}

/// What of an asset runs whatever its state, if that is asked for.
fn forced(
    planner: &Planner,
    targets: &BTreeMap<AssetKey, PartitionSet>,
    key: &AssetKey,
) -> PartitionSet {
    match targets.get(key) {
        Some(target) if !planner.def(key).is_source() => {
            let state = planner.freshness(key);
            &(target & state.domain.all()) - &state.blocked
        }
        Some(_) | None => PartitionSet::new(),
    }
}

/// Adds the partitions of the asset itself that `set` reads, as far as they are not fresh or may move.
fn with_earlier<'a>(
    planner: &Planner,
    key: &AssetKey,
    set: &'a PartitionSet,
    moving: &PartitionSet,
) -> Cow<'a, PartitionSet> {
    let mut wanted = Cow::Borrowed(set);
    let edges = planner.edges(key);
    for edge in edges.iter().filter(|edge| edge.upstream == *key) {
        let state = planner.freshness(key);
        let mut stale = state.domain.all() - &state.kept;
        if !edge.must_exist() {
            stale -= &state.blocked;
        }
        stale |= moving;
        let mut front = &(&(set & state.domain.all()) - &state.kept) | &(set & moving);
        while !front.is_empty() {
            front = &(edge.mapping.upstream_of(&front) & &stale) - &*wanted;
            *wanted.to_mut() |= &front;
        }
    }
    wanted
}

/// Which partitions there are is not known before those have run that make pieces.
fn makers_of_keys(planner: &Planner, wanted: &mut BTreeMap<AssetKey, PartitionSet>) {
    if planner.pieces().is_empty() {
        return;
    }
    let mut cone: BTreeSet<&AssetKey> = BTreeSet::new();
    let mut makers = Vec::new();
    for key in planner.order().iter().rev() {
        if !wanted.contains_key(key) && !cone.contains(key) {
            continue;
        }
        let def = planner.def(key);
        cone.extend(def.deps.iter().map(|dep| &dep.upstream));
        makers.extend(def.pieces_of().cloned());
    }
    for maker in makers {
        let all = planner.domain(&maker).all().clone();
        *wanted.entry(maker).or_default() |= all;
    }
}

fn restrict(
    planner: &Planner,
    key: &AssetKey,
    set: &PartitionSet,
    forced: &PartitionSet,
    moving: &PartitionSet,
    is_target: bool,
) -> PlanAsset {
    let state = planner.freshness(key);
    let wanted = set & state.domain.all();
    let forced = &wanted & forced;
    // A copy of a big set costs as much as all else here.
    let left = (!forced.is_empty()).then(|| &wanted - &forced);
    let rest = left.as_ref().unwrap_or(&wanted);
    let mut verify = rest & state.verify_set();
    let mut fresh = rest & &state.kept;
    if !verify.is_empty() {
        fresh |= &verify;
    }
    let mut pending = rest & &state.pending;
    if !moving.is_empty() {
        let waits = &fresh & moving;
        fresh -= &waits;
        verify -= &waits;
        pending |= waits;
    }
    let def = planner.def(key);
    PlanAsset {
        asset: key.clone(),
        is_source: def.is_source(),
        makes_pieces: def.output == OutputDef::Pieces,
        shared: def.shared.clone(),
        is_target,
        fresh,
        verify,
        restore: rest & state.restore_set(),
        run: rest & &state.run,
        pending,
        blocked: &wanted & &state.blocked,
        forced,
        wanted,
        state: state.clone(),
    }
}

fn downstream(planner: &Planner, wanted: &mut BTreeMap<AssetKey, PartitionSet>) {
    for key in planner.order() {
        let mut set = PartitionSet::new();
        let mut reads = false;
        for edge in planner.edges(key).iter() {
            let Some(upstream) = wanted.get(&edge.upstream) else { continue };
            reads = true;
            let all = planner.domain(key).all();
            // What reads all there are also reads that there are none any more.
            if edge.mapping.is_by_key() {
                set |= edge.mapping.downstream_of(upstream) & all;
            } else {
                set |= all;
            }
        }
        if reads {
            *wanted.entry(key.clone()).or_default() |= set;
        }
    }
}
