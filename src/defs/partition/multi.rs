//! Several dimensions in one domain: indexes packed as digits of a number, the time dimension first.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Domain, KeyTable, PartitionsDef};
use crate::base::{PartitionIdx, PartitionKey, PartitionSet, TimeWindow};

/// How the indexes of several domains make one.
#[derive(Debug, PartialEq)]
pub(super) struct MultiDomain {
    dimensions: Vec<Dimension>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) domain: Domain,
}

impl MultiDomain {
    pub(super) fn resolve(
        _dimensions: &BTreeMap<String, PartitionsDef>,
        _now: DateTime<Utc>,
        _tables: &BTreeMap<String, Arc<KeyTable>>,
    ) -> Result<(MultiDomain, PartitionSet), String> {
        Err("several dimensions are not there yet".to_owned())
    }

    pub(super) fn shares_indexes(&self, other: &MultiDomain) -> bool {
        self.index_space() == other.index_space()
    }

    pub(super) fn index_space(&self) -> String {
        String::new()
    }

    pub(super) fn key(&self, _index: PartitionIdx) -> Option<PartitionKey> {
        None
    }

    pub(super) fn any_index(&self, _key: &str) -> Option<PartitionIdx> {
        None
    }

    pub(super) fn ordered(&self) -> Vec<PartitionIdx> {
        Vec::new()
    }

    pub(super) fn window(&self, _index: PartitionIdx) -> Option<TimeWindow> {
        None
    }
}
