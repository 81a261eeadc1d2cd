//! Partitions: kinds of partition sets, the domain they make at a point of time, mappings between
//! two domains, and the text in which users name partitions.

mod domain;
mod dynamic;
mod mapping;
mod text;
mod time_window;

pub use domain::Domain;
pub use dynamic::KeyTable;
pub use mapping::{Mapping, MappingDef, MappingError, WindowOffset, WindowUnit};
pub use text::{PartitionExpr, PartitionTextError, PartitionWord};
pub use time_window::{Cadence, TimeWindowDef, TimeWindowError};

use std::collections::BTreeMap;

use crate::base::{AssetKey, PartitionKey};

/// How an asset is declared to be partitioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionsDef {
    /// One result: index 0, empty key.
    Unpartitioned,
    TimeWindow(TimeWindowDef),
    /// Declared keys, in declared order.
    Static(Vec<PartitionKey>),
    /// Keys that appear while the project lives.
    Dynamic(DynamicDef),
    /// Named dimensions, each with a definition of its own (never `Multi` or `Unpartitioned`).
    Multi(BTreeMap<String, PartitionsDef>),
}

/// Where the keys of a dynamic set come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DynamicDef {
    /// The files or the split rows of a source.
    Source(AssetKey),
    /// The pieces that an asset's run wrote.
    Pieces(AssetKey),
    /// A set that is added to and removed from by hand.
    Named(String),
}

impl PartitionsDef {
    /// Says which set of keys this is. Equal texts share one domain; indexes of a domain mean the same
    /// as long as [`PartitionsDef::index_space`] stays the same, though `spec` may change.
    pub fn spec(&self) -> String {
        todo!()
    }

    /// Says what the indexes mean: for a daily domain the kind and the time zone but not `start` or
    /// `end`, because its indexes are day numbers. Records made in another index space are re-keyed.
    pub fn index_space(&self) -> String {
        todo!()
    }

    /// The names of the key tables that [`Domain::resolve`] needs for this definition: none for time
    /// windows, one for a static or dynamic set, one for each such dimension.
    pub fn key_tables(&self) -> Vec<String> {
        todo!()
    }
}
