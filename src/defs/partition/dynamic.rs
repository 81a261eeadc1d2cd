//! Key tables: the stable numbering of keys that no calendar numbers.

use std::sync::Arc;

use crate::base::{PartitionIdx, PartitionKey, PartitionSet};

/// Keys of a static or dynamic set with the index that each was given when it first appeared.
///
/// Append-only: an index is never given to another key, and a removed key that comes back gets its
/// old index. The caller (the engine, from the store) supplies it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyTable {
    // place = index
    keys: Vec<PartitionKey>,
    present: PartitionSet,
}

impl KeyTable {
    /// `keys[i]` is the key with index `i`; `present` says which exist now.
    pub fn new(keys: Vec<PartitionKey>, present: PartitionSet) -> Arc<KeyTable> {
        todo!()
    }

    pub fn present(&self) -> &PartitionSet {
        todo!()
    }

    /// The key with this index, present or not.
    pub fn key(&self, index: PartitionIdx) -> Option<&PartitionKey> {
        todo!()
    }

    /// The index of a key, present or not.
    pub fn index(&self, key: &str) -> Option<PartitionIdx> {
        todo!()
    }
}
