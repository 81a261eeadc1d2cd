//! What one execution makes, where a step makes several assets or several partitions.
//!
//! Assets of one step have the same partitions and read the same, so they become ready together. Partitions
//! that are made in batches are taken as they are ready. When one has to be made, those of the others that are
//! ready are decided too: what need not be made is not asked for.

use std::collections::HashMap;

use super::open::Engine;
use super::schedule::{Place, Schedule};
use super::target::Settled;
use crate::base::{AssetKey, Digest, PartitionIdx};
use crate::plan::{Decision, PlanAsset};

/// What is to be done about a partition whose upstream is settled.
pub(super) enum Verdict {
    Make(Digest),
    /// Nothing but to record it.
    Settled,
    /// An input lost its value since the plan was made.
    Lost,
}

/// Decides about one partition; what need not be made goes to `settled`.
pub(super) fn judge(
    engine: &Engine,
    plan: &PlanAsset,
    place: Place,
    part: PartitionIdx,
    settled: &mut Settled,
) -> Verdict {
    let forced = plan.forced.contains(part);
    match engine.planner().decide(&plan.asset, part) {
        Decision::Verify { .. } if !forced => settled.verify(place, part),
        Decision::Restore { key, trace } if !forced => settled.restore(place, part, key, trace),
        Decision::Verify { key } | Decision::Restore { key, .. } | Decision::Run { key } => {
            return Verdict::Make(key);
        }
        Decision::Lost => return Verdict::Lost,
    }
    Verdict::Settled
}

/// What an execution is to make.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    pub place: Place,
    pub part: PartitionIdx,
    pub key: Digest,
}

/// `first` with all others that the same execution is to make: assets in declared order, partitions in the
/// order of the schedule. No more than `settled_max` are found to need nothing.
pub(super) fn together(
    engine: &Engine,
    parts: &HashMap<AssetKey, &PlanAsset>,
    schedule: &mut Schedule,
    first: Making,
    settled: &mut Settled,
    settled_max: usize,
) -> Vec<Making> {
    let def = engine.planner().def(schedule.asset(first.place)).clone();
    if let Some(max) = def.policy.batch {
        let plan = parts[&def.key];
        return batch(engine, plan, schedule, first, max.get() as usize, settled, settled_max);
    }
    let Some(shared) = &def.shared else { return vec![first] };
    let part = first.part;
    let mut made = Vec::with_capacity(shared.makes.len());
    for asset in &shared.makes {
        let Some(place) = schedule.place(asset) else { continue };
        if place == first.place {
            made.push(first);
        } else if schedule.take(place, part) {
            match judge(engine, parts[asset], place, part, settled) {
                Verdict::Make(key) => made.push(Making { place, part, key }),
                Verdict::Settled => {}
                // That will be said when it is its turn.
                Verdict::Lost => schedule.put_back(place, part),
            }
        }
    }
    made
}

/// `first` with what else of the asset is ready, up to `max`.
fn batch(
    engine: &Engine,
    plan: &PlanAsset,
    schedule: &mut Schedule,
    first: Making,
    max: usize,
    settled: &mut Settled,
    settled_max: usize,
) -> Vec<Making> {
    let place = first.place;
    let (mut made, mut lost) = (vec![first], Vec::new());
    while made.len() < max && settled.len() < settled_max {
        let Some(part) = schedule.next_of(place) else { break };
        match judge(engine, plan, place, part, settled) {
            Verdict::Make(key) => made.push(Making { place, part, key }),
            Verdict::Settled => {}
            Verdict::Lost => lost.push(part),
        }
    }
    lost.into_iter().for_each(|part| schedule.put_back(place, part));
    made
}
