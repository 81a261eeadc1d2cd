//! What the planner asks of the records; the engine answers from the store.
//!
//! The planner does no I/O. It is given this trait's object, asks for no more than it needs (an
//! asset's row first, its whole column only when the row does not settle the matter), and every
//! answer must stay the same until [`Planner::touch`](super::Planner::touch) names the asset.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{
    AskedRow, AssetKey, AssetRow, Column, Digest, FailureRow, Mark, Note, Output, PartitionIdx,
    PartitionSet, Rev, StepId, StepParts,
};

/// The records of one moment.
pub trait Records: Send + Sync {
    /// The row of an asset; the default row if nothing was recorded.
    fn row(&self, asset: &AssetKey) -> Arc<AssetRow>;

    /// Partitions whose version changed after `rev`, removed ones included.
    fn changed_since(&self, asset: &AssetKey, rev: Rev) -> PartitionSet;

    /// Everything recorded of an asset's partitions.
    fn column(&self, asset: &AssetKey) -> Arc<Column>;

    /// A column that has at least what is recorded of `parts`: where these are few, the rest need not be
    /// fetched.
    fn marks(&self, asset: &AssetKey, parts: &PartitionSet) -> Arc<Column> {
        let _all_of_them = parts;
        self.column(asset)
    }

    /// Of `parts`, those of which anything was ever recorded, and perhaps others: of what is not among them
    /// there is neither a mark nor a trace, whatever its key.
    fn ever_made(&self, asset: &AssetKey, parts: &PartitionSet) -> PartitionSet {
        let _cannot_be_told = asset;
        parts.clone()
    }

    /// What is recorded of one partition, if it has a value.
    fn mark(&self, asset: &AssetKey, part: PartitionIdx) -> Option<Mark> {
        let marks = self.marks(asset, &PartitionSet::from_iter([part]));
        marks.get(part).filter(Mark::has_value)
    }

    /// The result that was once made under this content key, if it can still be restored.
    fn trace(&self, key: &Digest) -> Option<Trace>;

    /// The parts of a step that was recorded.
    fn step_parts(&self, step: StepId) -> Option<Arc<StepParts>>;

    /// The version that a partition had as of `rev`, if it had a value.
    fn version_at(&self, asset: &AssetKey, part: PartitionIdx, rev: Rev) -> Option<Digest>;

    /// The last failed attempt, if the last attempt failed.
    fn failure(&self, asset: &AssetKey, part: PartitionIdx) -> Option<FailureRow>;

    /// Partitions whose result was made before a moment, in milliseconds since 1970.
    fn made_before(&self, asset: &AssetKey, ms: i64) -> PartitionSet;

    /// What each partition of `asset` asked for of `upstream` when it was made last.
    fn asked(&self, asset: &AssetKey, upstream: &AssetKey)
    -> Arc<BTreeMap<PartitionIdx, AskedRow>>;

    /// When the result of a partition was made.
    fn made_at(&self, asset: &AssetKey, part: PartitionIdx) -> Option<i64>;

    /// What was said of a partition that was marked by hand.
    fn note(&self, asset: &AssetKey, part: PartitionIdx) -> Option<Note>;
}

/// A result that can be restored without running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub version: Digest,
    pub output: Output,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: i64,
}
