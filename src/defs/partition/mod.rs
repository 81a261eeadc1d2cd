//! Partitions: kinds of partition sets, the domain they make at a point of time, mappings between
//! two domains, and the text in which users name partitions.

mod asked;
mod by_key;
mod calendar;
mod cron;
mod dimensions;
mod domain;
mod dynamic;
mod mapping;
mod mapping_text;
mod multi;
mod overlap;
mod select;
mod text;
mod time_text;
mod time_window;
mod zone;

pub use asked::Asked;
pub use cron::CronRule;
pub use domain::Domain;
pub use dynamic::KeyTable;
pub use mapping::{Mapping, MappingDef, MappingError, WindowOffset, WindowUnit};
pub use text::{PartitionExpr, PartitionTextError, PartitionWord};
pub use time_window::{Cadence, TimeWindowDef, TimeWindowError};

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod properties;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};

use crate::base::{AssetKey, Digest, PartitionKey};

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

/// Why a declared partitioning makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartitionsError {
    #[error(transparent)]
    TimeWindow(#[from] TimeWindowError),
    #[error("the key `{key}` is declared twice")]
    Twice { key: PartitionKey },
    #[error("an empty key cannot be told from no partition; give it a name")]
    EmptyKey,
    #[error("the dimension `{dimension}` has dimensions itself, or no partitions; name its keys")]
    NoDimension { dimension: String },
    #[error("{reason}")]
    Dimensions { reason: String },
}

impl PartitionsDef {
    /// Checks what can be known without the keys of dynamic sets; called by `load`.
    pub fn validate(&self) -> Result<(), PartitionsError> {
        match self {
            PartitionsDef::Unpartitioned | PartitionsDef::Dynamic(_) => Ok(()),
            PartitionsDef::TimeWindow(def) => Ok(def.validate()?),
            PartitionsDef::Static(keys) => {
                let mut seen = BTreeSet::new();
                for key in keys {
                    if key.is_unpartitioned() {
                        return Err(PartitionsError::EmptyKey);
                    }
                    if !seen.insert(key) {
                        return Err(PartitionsError::Twice { key: key.clone() });
                    }
                }
                Ok(())
            }
            PartitionsDef::Multi(dimensions) => self.validate_dimensions(dimensions),
        }
    }

    fn validate_dimensions(
        &self,
        dimensions: &BTreeMap<String, PartitionsDef>,
    ) -> Result<(), PartitionsError> {
        // Room for the windows of some years to come.
        let mut now = DateTime::UNIX_EPOCH;
        for (name, def) in dimensions {
            match def {
                PartitionsDef::Multi(_) | PartitionsDef::Unpartitioned => {
                    return Err(PartitionsError::NoDimension { dimension: name.clone() });
                }
                PartitionsDef::TimeWindow(window) => {
                    let years = TimeDelta::try_days(366 * 20).unwrap_or_default();
                    now = now.max(window.start.and_utc() + years);
                    def.validate()?;
                }
                PartitionsDef::Static(_) | PartitionsDef::Dynamic(_) => def.validate()?,
            }
        }
        let domain = Domain::resolve(Arc::new(self.clone()), now, &BTreeMap::new());
        match domain.problem() {
            Some(reason) => Err(PartitionsError::Dimensions { reason: reason.to_owned() }),
            None => Ok(()),
        }
    }

    /// Says which set of keys this is. Equal texts share one domain; indexes of a domain mean the same
    /// as long as [`PartitionsDef::index_space`] stays the same, though `spec` may change.
    pub fn spec(&self) -> String {
        match self {
            PartitionsDef::Unpartitioned => "unpartitioned".to_owned(),
            PartitionsDef::TimeWindow(def) => def.spec(),
            PartitionsDef::Static(keys) => format!("static {keys:?}"),
            PartitionsDef::Dynamic(def) => def.table(),
            PartitionsDef::Multi(dimensions) => {
                join(dimensions.iter().map(|(name, def)| format!("{name:?}: {}", def.spec())))
            }
        }
    }

    /// Says what the indexes mean: for a daily domain the kind and the time zone but not `start` or
    /// `end`, because its indexes are day numbers. Records made in another index space are re-keyed.
    ///
    /// The indexes of several dimensions also depend on how many keys there are room for, so for
    /// those [`Domain::index_space`] says more.
    pub fn index_space(&self) -> String {
        match self {
            PartitionsDef::Unpartitioned => "unpartitioned".to_owned(),
            PartitionsDef::TimeWindow(def) => def.numbering(),
            PartitionsDef::Static(keys) => static_table(keys),
            PartitionsDef::Dynamic(def) => def.table(),
            PartitionsDef::Multi(dimensions) => join(
                dimensions.iter().map(|(name, def)| format!("{name:?}: {}", def.index_space())),
            ),
        }
    }

    /// The names of the key tables that [`Domain::resolve`] needs for this definition: none for time
    /// windows, one for a static or dynamic set, one for each such dimension.
    pub fn key_tables(&self) -> Vec<String> {
        match self {
            PartitionsDef::Unpartitioned | PartitionsDef::TimeWindow(_) => Vec::new(),
            PartitionsDef::Static(keys) => vec![static_table(keys)],
            PartitionsDef::Dynamic(def) => vec![def.table()],
            PartitionsDef::Multi(dimensions) => {
                let mut names: Vec<String> =
                    dimensions.values().flat_map(PartitionsDef::key_tables).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
        }
    }

    /// The sources whose keys are those of the partitions.
    pub fn sources(&self) -> BTreeSet<AssetKey> {
        match self {
            PartitionsDef::Dynamic(DynamicDef::Source(key)) => [key.clone()].into(),
            PartitionsDef::Multi(dimensions) => {
                dimensions.values().flat_map(PartitionsDef::sources).collect()
            }
            PartitionsDef::Unpartitioned
            | PartitionsDef::TimeWindow(_)
            | PartitionsDef::Static(_)
            | PartitionsDef::Dynamic(DynamicDef::Pieces(_) | DynamicDef::Named(_)) => {
                BTreeSet::new()
            }
        }
    }

    /// The one result of an asset without partitions.
    pub fn is_unpartitioned(&self) -> bool {
        matches!(self, PartitionsDef::Unpartitioned)
    }
}

impl DynamicDef {
    /// The name of the key table that holds the keys.
    pub fn table(&self) -> String {
        match self {
            DynamicDef::Source(source) => format!("source:{source}"),
            DynamicDef::Pieces(asset) => format!("pieces:{asset}"),
            DynamicDef::Named(name) => format!("named:{name}"),
        }
    }
}

/// A static set is named after its keys, whatever their order: a set with other keys has a table of
/// its own, so that no two sets ever number their keys in one table by accident.
fn static_table(keys: &[PartitionKey]) -> String {
    let mut digest = Digest::builder("giornata 2026 static keys");
    for key in sorted(keys) {
        digest.part(key.as_str());
    }
    format!("static:{}", digest.finish().short())
}

/// Each key once, in their order.
fn sorted(keys: &[PartitionKey]) -> Vec<PartitionKey> {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

fn join(parts: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
}
