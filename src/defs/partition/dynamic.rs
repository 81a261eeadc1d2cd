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
    /// Indexes in the order of their keys: both the way to find a key and the order of a screen.
    by_key: Vec<PartitionIdx>,
}

impl KeyTable {
    /// `keys[i]` is the key with index `i`; `present` says which exist now.
    pub fn new(keys: Vec<PartitionKey>, present: PartitionSet) -> Arc<KeyTable> {
        let mut by_key: Vec<PartitionIdx> = (0..).take(keys.len()).collect();
        // Stable, so of two equal keys (which a store does not hold) the older wins.
        by_key.sort_by(|a, b| keys[*a as usize].cmp(&keys[*b as usize]));
        let mut present = present;
        if let Ok(len) = PartitionIdx::try_from(keys.len()) {
            present.remove_range(len..);
        }
        Arc::new(KeyTable { keys, present, by_key })
    }

    /// This table with `keys` and only these present; unknown ones are appended in the order given.
    pub fn with_exactly(&self, keys: &[PartitionKey]) -> Arc<KeyTable> {
        let mut all = self.keys.clone();
        let mut present = PartitionSet::new();
        for key in keys {
            present.insert(self.index(key.as_str()).unwrap_or_else(|| {
                all.push(key.clone());
                PartitionIdx::try_from(all.len() - 1).expect("a project has fewer than 2^32 keys")
            }));
        }
        KeyTable::new(all, present)
    }

    pub fn present(&self) -> &PartitionSet {
        &self.present
    }

    /// Every key with an index, present or not; its place is its index.
    pub fn keys(&self) -> &[PartitionKey] {
        &self.keys
    }

    /// The key with this index, present or not.
    pub fn key(&self, index: PartitionIdx) -> Option<&PartitionKey> {
        self.keys.get(index as usize)
    }

    /// The index of a key, present or not.
    pub fn index(&self, key: &str) -> Option<PartitionIdx> {
        let at = |index: &PartitionIdx| self.keys[*index as usize].as_str();
        let place = self.by_key.partition_point(|index| at(index) < key);
        self.by_key.get(place).copied().filter(|index| at(index) == key)
    }

    /// Where an index is among those in the order of their keys.
    pub fn place(&self, index: PartitionIdx) -> Option<usize> {
        let key = self.key(index)?;
        let place = self.by_key.partition_point(|other| self.keys[*other as usize] < *key);
        (self.by_key.get(place) == Some(&index)).then_some(place)
    }

    /// Indexes in the order of their keys, present or not.
    pub fn by_key(&self) -> &[PartitionIdx] {
        &self.by_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<PartitionKey> {
        names.iter().map(|name| PartitionKey::new(*name)).collect()
    }

    #[test]
    fn a_removed_key_keeps_its_index_and_gets_it_back() {
        let table = KeyTable::new(keys(&["b", "a", "c"]), [0, 2].into_iter().collect());
        assert_eq!(table.index("a"), Some(1));
        assert!(!table.present().contains(1));
        let again = table.with_exactly(&keys(&["a", "d"]));
        assert_eq!(again.index("a"), Some(1));
        assert_eq!(again.index("d"), Some(3));
        assert_eq!(again.present().iter().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(again.index(""), None);
    }
}
