//! Which partitions steps asked for while they ran: a mapping that is recorded and not declared.

use std::collections::BTreeMap;

use crate::base::{Digest, PartitionIdx, PartitionSet};

/// What each partition of an asset asked for of one upstream asset when it was made last.
///
/// Both sides are indexes of their domains. It is a hint only: a content key that is computed over it
/// covers exactly what it says, so that one which says too much or too little finds no result that was
/// made otherwise.
///
/// ```
/// use giornata::base::{Digest, PartitionSet};
/// use giornata::defs::partition::Asked;
/// let version = Digest::of_blob(b"v1");
/// let mut asked = Asked::default();
/// asked.put(0, version, [(3, None), (4, Some(version))]);
/// asked.put(1, version, [(4, None)]);
/// assert_eq!(asked.upstream_of(&PartitionSet::from_iter([1])), PartitionSet::from_iter([4]));
/// assert_eq!(asked.downstream_of(&PartitionSet::from_iter([4])), PartitionSet::from_iter([0, 1]));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked {
    rows: BTreeMap<PartitionIdx, Row>,
    downstream: BTreeMap<PartitionIdx, PartitionSet>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    base: Digest,
    upstream: PartitionSet,
    versions: Vec<(PartitionIdx, Digest)>,
}

impl Asked {
    /// Replaces what a partition asked for, with the versions in which it got it; `base` is its content
    /// key over everything else.
    pub fn put(
        &mut self,
        part: PartitionIdx,
        base: Digest,
        asked: impl IntoIterator<Item = (PartitionIdx, Option<Digest>)>,
    ) {
        for old in self.of(part).iter() {
            if let Some(readers) = self.downstream.get_mut(&old) {
                readers.remove(part);
            }
        }
        let mut row = Row { base, upstream: PartitionSet::new(), versions: Vec::new() };
        for (up, version) in asked {
            self.downstream.entry(up).or_default().insert(part);
            row.upstream.insert(up);
            row.versions.extend(version.map(|version| (up, version)));
        }
        self.rows.insert(part, row);
    }

    /// What one partition asked for.
    pub fn of(&self, part: PartitionIdx) -> PartitionSet {
        self.rows.get(&part).map(|row| row.upstream.clone()).unwrap_or_default()
    }

    /// Whether a partition will ask for the same again, as far as that is known: `base` is its content
    /// key over everything else now, `version` that of what is settled.
    pub fn stands(
        &self,
        part: PartitionIdx,
        base: &Digest,
        version: impl Fn(PartitionIdx) -> Option<Digest>,
    ) -> bool {
        let same = |(up, old): &(PartitionIdx, Digest)| version(*up).is_none_or(|new| new == *old);
        let stands = |row: &Row| row.base == *base && row.versions.iter().all(same);
        self.rows.get(&part).is_none_or(stands)
    }

    /// What any of `downstream` asked for.
    pub fn upstream_of(&self, downstream: &PartitionSet) -> PartitionSet {
        gather(&self.rows, downstream, |row| &row.upstream)
    }

    /// What asked for any of `upstream`.
    pub fn downstream_of(&self, upstream: &PartitionSet) -> PartitionSet {
        gather(&self.downstream, upstream, |downstream| downstream)
    }
}

fn gather<T>(
    rows: &BTreeMap<PartitionIdx, T>,
    set: &PartitionSet,
    parts: impl Fn(&T) -> &PartitionSet,
) -> PartitionSet {
    let mut found = PartitionSet::new();
    // The fewer of both are gone through: a set may be millions, and so may be the rows.
    if set.len() < rows.len() as u64 {
        set.iter().filter_map(|part| rows.get(&part)).for_each(|row| found |= parts(row));
    } else {
        let wanted = rows.iter().filter(|(part, _)| set.contains(**part));
        wanted.for_each(|(_, row)| found |= parts(row));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<(PartitionIdx, Vec<PartitionIdx>)>> {
        proptest::collection::vec((0..6u32, proptest::collection::vec(0..6u32, 0..4)), 0..12)
    }

    proptest! {
        #[test]
        fn image_and_preimage_agree(rows in rows()) {
            let mut asked = Asked::default();
            let mut last: BTreeMap<PartitionIdx, PartitionSet> = BTreeMap::new();
            for (part, upstream) in rows {
                let upstream = PartitionSet::from_iter(upstream);
                asked.put(part, Digest::of_blob(&[]), upstream.iter().map(|up| (up, None)));
                last.insert(part, upstream);
            }
            for part in 0..6 {
                let one = PartitionSet::from_iter([part]);
                prop_assert_eq!(asked.of(part), last.get(&part).cloned().unwrap_or_default());
                prop_assert_eq!(asked.upstream_of(&one), asked.of(part));
                let readers: PartitionSet =
                    (0..6).filter(|reader| asked.of(*reader).contains(part)).collect();
                prop_assert_eq!(asked.downstream_of(&one), readers);
            }
        }
    }
}
