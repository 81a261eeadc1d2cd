//! Mappings: which partitions of an upstream asset a partition reads, in both directions.

use super::Domain;
use crate::base::{PartitionIdx, PartitionKey, PartitionSet};

/// A mapping as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingDef {
    /// Time overlap between time windows, dimension where names agree, else identity; `All` where
    /// either side is unpartitioned.
    Default,
    /// The same key.
    Identity,
    /// Windows that overlap.
    TimeOverlap,
    /// `window(-6d, 0d)`: from the partition's window moved by `from` to that moved by `to`, both
    /// included, in units of the downstream cadence unless a unit is given.
    Window { from: WindowOffset, to: WindowOffset },
    /// Every existing partition.
    All,
    /// The last n existing partitions.
    Last(u32),
    /// Pairs of (upstream key, downstream key).
    Static(Vec<(PartitionKey, PartitionKey)>),
    /// One dimension of several: the named one carries the key, others are taken whole.
    Dimension(String),
}

/// A distance in a `window(..)` mapping, such as `-6d`; without a unit it counts windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowOffset {
    pub count: i32,
    pub unit: WindowUnit,
}

/// The unit of a [`WindowOffset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowUnit {
    Windows,
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

/// Why two domains cannot be mapped in the declared way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("`{mapping}` needs time windows on both sides")]
    NotTimeWindows { mapping: String },
}

/// A mapping between two resolved domains. All operations are on sets and in closed form where the
/// mapping has one. `a_to_b` results hold only existing partitions of their side.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    upstream: Domain,
    downstream: Domain,
}

impl MappingDef {
    /// Reads `all`, `identity`, `last(3)`, `window(-6d, 0d)`, `time`, `dimension(date)`.
    pub fn parse(text: &str) -> Result<MappingDef, String> {
        todo!()
    }

    /// Checks, for definitions alone, that the mapping makes sense between these two; called by `load`.
    pub fn validate(
        &self,
        upstream: &super::PartitionsDef,
        downstream: &super::PartitionsDef,
    ) -> Result<(), MappingError> {
        todo!()
    }
}

/// Canonical text, as `parse` reads it (`default` for the default).
impl std::fmt::Display for MappingDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

impl Mapping {
    pub fn new(
        def: &MappingDef,
        upstream: &Domain,
        downstream: &Domain,
    ) -> Result<Mapping, MappingError> {
        todo!()
    }

    /// Upstream partitions that any of `downstream` reads (the preimage).
    pub fn upstream_of(&self, downstream: &PartitionSet) -> PartitionSet {
        todo!()
    }

    /// Upstream partitions that one partition reads, existing ones only.
    pub fn upstream_of_one(&self, downstream: PartitionIdx) -> PartitionSet {
        todo!()
    }

    /// Downstream partitions that read any of `upstream` (the image). `upstream` may hold indexes that
    /// no longer exist in its domain: a removed file still has an image.
    pub fn downstream_of(&self, upstream: &PartitionSet) -> PartitionSet {
        todo!()
    }

    /// Keys that the mapping names for `downstream` but that do not exist upstream.
    pub fn absent(&self, downstream: PartitionIdx) -> Vec<PartitionKey> {
        todo!()
    }

    /// True if every downstream partition reads the same upstream set (`all`, `last(n)`): then one look
    /// serves all of them.
    pub fn is_constant(&self) -> bool {
        todo!()
    }

    /// True if a partition is given to a step as one file; false if as a directory, whatever the count.
    pub fn is_single(&self) -> bool {
        todo!()
    }
}
