//! What a step makes, with what was decided about it, and what a run need not make.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::open::Engine;
use super::schedule::Place;
use crate::base::{AssetKey, Digest, Flags, PartitionIdx, PartitionKey, PartitionSet};
use crate::cas::stat::StatEntry;
use crate::plan::{Askable, PlanAsset, ReasonCode, Records, Trace};

/// One (asset, partition) that a step makes.
pub(super) struct Target {
    pub place: Place,
    pub asset: AssetKey,
    pub part: PartitionIdx,
    pub partition: PartitionKey,
    pub key: Digest,
    pub forced: bool,
    pub tracing: Tracing,
    pub started_ms: i64,
    pub reasons: Vec<ReasonCode>,
    /// What the key is made of, if the step may ask for more while it runs.
    pub askable: Option<Askable>,
    /// Files that are read for it in their place, as they were.
    pub guards: Arc<[(PathBuf, StatEntry)]>,
}

/// What becomes of the trace of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracing {
    /// What was recorded first under the key stays.
    Keep,
    /// The result was asked for anew: by `--force`, or because it was marked as stale by hand.
    Replace,
    /// The result ages: the newest counts, and that it differs is nothing strange.
    Refresh,
    /// The result is never restored.
    Never,
}

/// Results that need no run, by asset.
#[derive(Default)]
pub(super) struct Settled {
    pub verified: BTreeMap<Place, PartitionSet>,
    pub restored: Vec<(Place, PartitionIdx, Digest, Trace)>,
    count: usize,
}

impl Settled {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn verify(&mut self, place: Place, part: PartitionIdx) {
        self.verified.entry(place).or_default().insert(part);
        self.count += 1;
    }

    pub fn restore(&mut self, place: Place, part: PartitionIdx, key: Digest, trace: Trace) {
        self.restored.push((place, part, key, trace));
        self.count += 1;
    }
}

/// What is to become of the trace of a partition that is made now.
pub(super) fn tracing(engine: &Engine, plan: &PlanAsset, part: PartitionIdx) -> Tracing {
    let def = engine.planner.def(&plan.asset);
    let mark = || engine.ledger.mark(&plan.asset, part);
    if def.policy.volatile {
        Tracing::Never
    } else if def.policy.ttl.is_some() {
        Tracing::Refresh
    } else if plan.forced.contains(part)
        || mark().is_some_and(|mark| mark.flags.has(Flags::INVALIDATED))
    {
        Tracing::Replace
    } else {
        Tracing::Keep
    }
}
