//! A domain: the partitions of one definition that exist at a point of time.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{KeyTable, PartitionsDef};
use crate::base::{PartitionIdx, PartitionKey, PartitionSet, TimeWindow};

/// The partitions of one definition that exist as of some moment. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    def: Arc<PartitionsDef>,
}

impl Domain {
    /// `tables` holds the key tables named by [`PartitionsDef::key_tables`]; a missing one counts as empty.
    pub fn resolve(
        def: Arc<PartitionsDef>,
        now: DateTime<Utc>,
        tables: &BTreeMap<String, Arc<KeyTable>>,
    ) -> Domain {
        todo!()
    }

    pub fn def(&self) -> &PartitionsDef {
        todo!()
    }

    /// Every existing partition.
    pub fn all(&self) -> &PartitionSet {
        todo!()
    }

    pub fn len(&self) -> u64 {
        todo!()
    }

    /// The key of an index, existing or not (an orphan's record still has a name). `None`: the index
    /// has no meaning in this domain.
    pub fn key(&self, index: PartitionIdx) -> Option<PartitionKey> {
        todo!()
    }

    /// The index of exactly this key, if it exists.
    pub fn index(&self, key: &str) -> Option<PartitionIdx> {
        todo!()
    }

    /// Existing partitions in key order, for a screen: time domains by time, static ones as declared,
    /// dynamic ones by key.
    pub fn ordered(&self) -> Vec<PartitionIdx> {
        todo!()
    }

    /// The span of time of a partition of a time-window domain (of the time dimension, for several).
    pub fn window(&self, index: PartitionIdx) -> Option<TimeWindow> {
        todo!()
    }

    /// Canonical text of a set: `2024-01-01..2024-01-31`, `a,b,c`; each item one of the result.
    pub fn render(&self, set: &PartitionSet) -> Vec<String> {
        todo!()
    }

    /// A digest of which partitions exist, in constant time for time windows.
    pub fn extent(&self) -> crate::base::Digest {
        todo!()
    }
}
