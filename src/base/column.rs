//! The results of one asset as parallel vectors: what the planner scans.

use super::{Digest, Flags, PartitionIdx, PartitionSet, Rev, StepId};

/// All [`MatRow`](super::MatRow)s of one asset, ordered by partition, without their outputs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Column {
    parts: Vec<PartitionIdx>,
    changed_at: Vec<Rev>,
    verified_at: Vec<Rev>,
    steps: Vec<Option<StepId>>,
    keys: Vec<Digest>,
    versions: Vec<Digest>,
    flags: Vec<Flags>,
}

/// One entry of a [`Column`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub part: PartitionIdx,
    pub changed_at: Rev,
    pub verified_at: Rev,
    pub step: Option<StepId>,
    pub key: Digest,
    pub version: Digest,
    pub flags: Flags,
}

impl Mark {
    /// True if there is a value: the entry is not the trace that a removed one leaves.
    pub fn has_value(&self) -> bool {
        !self.flags.has(Flags::REMOVED)
    }
}

impl Column {
    /// Adds an entry behind all others.
    pub fn push(&mut self, mark: Mark) {
        debug_assert!(self.parts.last().is_none_or(|last| *last < mark.part));
        self.insert(self.parts.len(), mark);
    }

    pub fn len(&self) -> usize {
        self.parts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The entry of a partition, a removed one included. Constant time where the partitions are
    /// neighbours, as days are; else a binary search.
    pub fn get(&self, part: PartitionIdx) -> Option<Mark> {
        self.place(part).ok().map(|i| self.mark(i))
    }

    /// Sets the entry of a partition.
    pub fn put(&mut self, mark: Mark) {
        match self.place(mark.part) {
            Ok(i) => {
                self.changed_at[i] = mark.changed_at;
                self.verified_at[i] = mark.verified_at;
                self.steps[i] = mark.step;
                self.keys[i] = mark.key;
                self.versions[i] = mark.version;
                self.flags[i] = mark.flags;
            }
            Err(i) => self.insert(i, mark),
        }
    }

    fn insert(&mut self, i: usize, mark: Mark) {
        self.parts.insert(i, mark.part);
        self.changed_at.insert(i, mark.changed_at);
        self.verified_at.insert(i, mark.verified_at);
        self.steps.insert(i, mark.step);
        self.keys.insert(i, mark.key);
        self.versions.insert(i, mark.version);
        self.flags.insert(i, mark.flags);
    }

    pub fn iter(&self) -> impl Iterator<Item = Mark> + '_ {
        (0..self.parts.len()).map(|i| self.mark(i))
    }

    /// Those of `among` that have an entry, if only that of a removed value.
    pub fn entries(&self, among: &PartitionSet) -> PartitionSet {
        if among.len() < self.parts.len() as u64 {
            return among.iter().filter(|part| self.place(*part).is_ok()).collect();
        }
        self.parts.iter().copied().filter(|part| among.contains(*part)).collect()
    }

    /// Partitions that have a value.
    pub fn with_value(&self) -> PartitionSet {
        self.iter().filter(Mark::has_value).map(|mark| mark.part).collect()
    }

    /// Partitions whose version changed after `rev`, removed ones included.
    pub fn changed_since(&self, rev: Rev) -> PartitionSet {
        let changed = self.parts.iter().zip(&self.changed_at);
        changed.filter(|(_, at)| **at > rev).map(|(part, _)| *part).collect()
    }

    fn mark(&self, i: usize) -> Mark {
        Mark {
            part: self.parts[i],
            changed_at: self.changed_at[i],
            verified_at: self.verified_at[i],
            step: self.steps[i],
            key: self.keys[i],
            version: self.versions[i],
            flags: self.flags[i],
        }
    }

    fn place(&self, part: PartitionIdx) -> Result<usize, usize> {
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else {
            return Err(0);
        };
        if part > *last {
            return Err(self.parts.len());
        }
        let contiguous = (last - first) as usize + 1 == self.parts.len();
        if contiguous && part >= *first {
            return Ok((part - first) as usize);
        }
        self.parts.binary_search(&part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(part: PartitionIdx, changed_at: u32) -> Mark {
        Mark {
            part,
            changed_at: Rev(changed_at),
            verified_at: Rev(changed_at),
            step: None,
            key: Digest::of_blob(b"k"),
            version: Digest::of_blob(&part.to_le_bytes()),
            flags: Flags::default(),
        }
    }

    #[test]
    fn finds_what_was_put_in_any_order() {
        let mut column = Column::default();
        for (part, rev) in [(7, 1), (3, 2), (5, 3), (4, 4), (6, 5), (5, 6)] {
            column.put(mark(part, rev));
        }
        assert_eq!(column.len(), 5);
        assert_eq!(column.get(5).map(|m| m.changed_at), Some(Rev(6)));
        assert_eq!(column.get(2), None);
        assert_eq!(column.get(8), None);
        assert_eq!(column.changed_since(Rev(3)).iter().collect::<Vec<_>>(), [4, 5, 6]);
        for among in [vec![2, 4, 8], (0..20).collect()] {
            let among: PartitionSet = among.into_iter().collect();
            assert_eq!(column.entries(&among), &among & &(3..=7).collect());
        }
    }
}
