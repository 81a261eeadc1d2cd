//! What a step asked for while it ran: what it has to wait for, and what its result is a result of.

use std::collections::BTreeMap;

use super::Error;
use super::ledger::Batch;
use super::open::Engine;
use super::target::Target;
use crate::base::{AskedRow, AssetKey, PartitionIdx, PartitionKey, PartitionSet};
use crate::defs::MappingDef;
use crate::exec::Asks;
use crate::plan::{Askable, Plan, PlanAsset};

/// How often a step may ask for more in one run.
const ASKS_MAX: u32 = 10_000;

/// Which steps of a run have asked for what they were not given.
#[derive(Default)]
pub(super) struct Asking {
    /// They run again when that is there, as soon as all that could run has.
    pub again: bool,
    /// How often each has asked.
    times: BTreeMap<(AssetKey, PartitionIdx), u32>,
}

impl Asking {
    /// Notes that a step is to run again.
    pub fn wait(&mut self, target: &Target) {
        self.again = true;
        *self.times.entry((target.asset.clone(), target.part)).or_default() += 1;
    }

    fn times(&self, target: &Target) -> u32 {
        self.times.get(&(target.asset.clone(), target.part)).copied().unwrap_or(0)
    }
}

/// What becomes of a step that asked for what it was not given.
pub(super) enum Waits {
    /// It runs again when all these are there, by upstream asset.
    For(Vec<(AssetKey, AskedRow)>),
    /// That would change nothing, and why.
    InVain(String),
}

/// What a result was made of, by dep along which its step may ask.
pub(super) fn read(
    engine: &Engine,
    target: &Target,
    askable: &Askable,
    asks: &Asks,
) -> BTreeMap<usize, PartitionSet> {
    let deps = &engine.planner.def(&target.asset).deps;
    let mut read: BTreeMap<usize, PartitionSet> =
        askable.deps().map(|dep| (dep, PartitionSet::new())).collect();
    for (upstream, key) in &asks.met {
        let Some(dep) = deps.iter().position(|dep| dep.upstream.as_str() == &**upstream) else {
            continue;
        };
        if let Some(index) = engine.planner.domain(&deps[dep].upstream).index(key.as_str()) {
            read.entry(dep).or_default().insert(index);
        }
    }
    read
}

/// The record of what was asked for, by upstream asset.
pub(super) fn rows(
    engine: &Engine,
    target: &Target,
    askable: &Askable,
    asked: BTreeMap<usize, PartitionSet>,
) -> Vec<(AssetKey, AskedRow)> {
    let (asset, part) = (&target.asset, target.part);
    let base = engine.planner.key_as_asked(asset, part, askable, &BTreeMap::new());
    let deps = &engine.planner.def(asset).deps;
    let row = |(dep, asked): (usize, PartitionSet)| {
        let upstream = &deps[dep].upstream;
        let domain = engine.planner.domain(upstream);
        let version = |part| askable.version(dep, part);
        let keys = asked.iter().filter_map(|part| Some((domain.key(part)?, version(part))));
        (upstream.clone(), AskedRow { part, base, keys: keys.collect() })
    };
    asked.into_iter().map(row).collect()
}

/// What a step that asked in vain has to be given, or why there is no use in that.
pub(super) fn waits(engine: &Engine, target: &Target, asks: &Asks, asking: &Asking) -> Waits {
    let before = asking.times(target);
    if before >= ASKS_MAX {
        return Waits::InVain(format!(
            "asked for more {before} times in this run; a function must ask for the same as long as \
             what it got is the same"
        ));
    }
    let in_vain =
        |asset, key, why| Waits::InVain(format!("asked for `{}`, {why}", name(asset, key)));
    let edges = engine.planner.edges(&target.asset);
    let Some(askable) = &target.askable else {
        return Waits::InVain("asked for more, and does not say that it may".to_owned());
    };
    // Not what it was given in vain: it may have been given that because it was another step before.
    let mut wanted = read(engine, target, askable, asks);
    for (upstream, key) in &asks.unmet {
        let Some(dep) = edges.iter().position(|edge| edge.upstream.as_str() == &**upstream) else {
            return in_vain(upstream, key, "and does not say that it may read that");
        };
        let Some(part) = engine.planner.domain(&edges[dep].upstream).index(key.as_str()) else {
            return in_vain(upstream, key, "which does not exist");
        };
        if edges[dep].mapping.upstream_of_one(target.part).contains(part) {
            return in_vain(upstream, key, "which has no data");
        }
        wanted.entry(dep).or_default().insert(part);
    }
    Waits::For(rows(engine, target, askable, wanted))
}

/// Forgets what steps of a plan asked for that are other steps by now; says whether there are such.
pub(super) fn forget(engine: &mut Engine, plan: &Plan) -> Result<bool, Error> {
    let mut forgotten = Vec::new();
    for planned in &plan.assets {
        let anew = &engine.planner.freshness(&planned.asset).asks_anew;
        if anew.is_empty() {
            continue;
        }
        for part in (anew & &planned.open()).iter() {
            let Some(askable) = engine.planner.askable(&planned.asset, part) else { continue };
            let nothing = BTreeMap::new();
            let base = engine.planner.key_as_asked(&planned.asset, part, &askable, &nothing);
            forgotten.push((planned.asset.clone(), part, base));
        }
    }
    if forgotten.is_empty() {
        return Ok(false);
    }
    engine.ledger.write(|batch| {
        for (asset, part, base) in &forgotten {
            let deps = &engine.planner.def(asset).deps;
            for dep in deps.iter().filter(|dep| dep.mapping == MappingDef::Asked) {
                let row = AskedRow { part: *part, base: *base, keys: Vec::new() };
                batch.put_asked(asset, &dep.upstream, row)?;
            }
            unsettle(batch, asset, *part)?;
        }
        Ok::<_, Error>(())
    })?;
    for (asset, ..) in &forgotten {
        engine.planner.touch(asset);
    }
    Ok(true)
}

/// What of a plan cannot be made because something that it asked for failed.
#[derive(Default)]
pub(super) struct Sifted {
    /// It will ask for that again, or reads what will.
    pub blocked: BTreeMap<AssetKey, PartitionSet>,
    /// It may ask for something else when the rest of what it reads is made, or reads what may.
    pub undecided: BTreeMap<AssetKey, PartitionSet>,
}

/// Finds both, where `given_up` failed in this run or waits in vain.
pub(super) fn sift(
    engine: &Engine,
    plan: &Plan,
    given_up: &BTreeMap<AssetKey, PartitionSet>,
) -> Sifted {
    let mut sifted = Sifted::default();
    if given_up.is_empty() {
        return sifted;
    }
    for planned in &plan.assets {
        let asset = &planned.asset;
        let mut open = planned.open();
        if let Some(gone) = given_up.get(asset) {
            open -= gone;
        }
        let (mut blocked, mut undecided) = (PartitionSet::new(), PartitionSet::new());
        let edges = engine.planner.edges(asset);
        for edge in edges.iter().filter(|edge| edge.upstream != *asset) {
            let image = |of: &BTreeMap<AssetKey, PartitionSet>| match of.get(&edge.upstream) {
                Some(parts) => edge.mapping.downstream_of(parts) & &open,
                None => PartitionSet::new(),
            };
            undecided |= image(&sifted.undecided);
            match edge.mapping.as_asked() {
                None => blocked |= image(&sifted.blocked),
                Some(_) => {
                    let failed = image(given_up) | image(&sifted.blocked);
                    let mut again = &failed & &engine.planner.freshness(asset).awaits_asked;
                    again -= still_waits(engine, plan, asset, given_up);
                    undecided |= &failed - &again;
                    blocked |= again;
                }
            }
        }
        for edge in edges.iter().filter(|edge| edge.upstream == *asset) {
            edge.mapping.spread(&mut blocked, &open);
            edge.mapping.spread(&mut undecided, &open);
        }
        undecided -= &blocked;
        for (set, of) in [(blocked, &mut sifted.blocked), (undecided, &mut sifted.undecided)] {
            if !set.is_empty() {
                of.insert(asset.clone(), set);
            }
        }
    }
    sifted
}

/// What waits for something that it asked for and that is yet to be made.
fn still_waits(
    engine: &Engine,
    plan: &Plan,
    asset: &AssetKey,
    given_up: &BTreeMap<AssetKey, PartitionSet>,
) -> PartitionSet {
    let mut waits = PartitionSet::new();
    for edge in engine.planner.edges(asset).iter().filter(|it| it.mapping.as_asked().is_some()) {
        let planned = plan.assets.iter().find(|planned| planned.asset == edge.upstream);
        let Some(mut open) = planned.map(PlanAsset::open) else { continue };
        if let Some(gone) = given_up.get(&edge.upstream) {
            open -= gone;
        }
        waits |= edge.mapping.downstream_of(&open);
    }
    waits
}

/// Takes the fresh bit of a partition away of which it is no longer recorded what it asked for: without that
/// record no change of what it read would reach it.
pub(super) fn unsettle(
    batch: &mut Batch<'_>,
    asset: &AssetKey,
    part: PartitionIdx,
) -> Result<(), crate::store::Error> {
    batch.clear_fresh(asset, &PartitionSet::from_iter([part]))
}

fn name(asset: &str, key: &PartitionKey) -> String {
    match key.is_unpartitioned() {
        true => asset.to_string(),
        false => format!("{asset}@{key}"),
    }
}
