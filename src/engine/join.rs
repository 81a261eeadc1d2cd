//! Which assets of a step that makes several are made by one execution.
//!
//! They have the same partitions and read the same, so they become ready together. When one has to be made,
//! those of the others that are ready are decided too: what need not be made is not asked for.

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

/// The partition `first` of an asset with all others that the same execution is to make, in declared order.
pub(super) fn together(
    engine: &Engine,
    parts: &HashMap<AssetKey, &PlanAsset>,
    schedule: &mut Schedule,
    part: PartitionIdx,
    first: (Place, Digest),
    settled: &mut Settled,
) -> Vec<(Place, Digest)> {
    let asset = schedule.asset(first.0);
    let Some(shared) = engine.planner().def(asset).shared.clone() else { return vec![first] };
    let mut made = Vec::with_capacity(shared.makes.len());
    for asset in &shared.makes {
        let Some(place) = schedule.place(asset) else { continue };
        if place == first.0 {
            made.push(first);
        } else if schedule.take(place, part) {
            match judge(engine, parts[asset], place, part, settled) {
                Verdict::Make(key) => made.push((place, key)),
                Verdict::Settled => {}
                // That will be said when it is its turn.
                Verdict::Lost => schedule.put_back(place, part),
            }
        }
    }
    made
}
