//! What becomes of the partitions of a run, as sets: kept in memory, and written down from time to time, so that
//! nobody has to read a million attempts in order to know.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use crate::base::{AssetKey, PartitionSet, RunId};
use crate::plan::Plan;
use crate::store::{Fate, Fates, Tx};

/// How long what is known may be newer than what is written.
const PAUSE_MS: u64 = 1_000;

/// The partitions of one run so far.
#[derive(Debug, Default)]
pub(super) struct Became {
    fates: Fates,
    /// What differs from what is written.
    news: BTreeSet<(AssetKey, Fate)>,
    written_ms: i64,
}

impl Became {
    /// Says what has become of partitions; whatever was said of them before counts no more.
    pub fn note(&mut self, asset: &AssetKey, fate: Fate, parts: &PartitionSet) {
        if parts.is_empty() {
            return;
        }
        for other in Fate::ALL {
            let key = (asset.clone(), other);
            match self.fates.get_mut(&key) {
                Some(known) if other != fate && !known.is_disjoint(parts) => {
                    *known -= parts;
                    self.news.insert(key);
                }
                Some(_) | None => {}
            }
        }
        let key = (asset.clone(), fate);
        let known = self.fates.entry(key.clone()).or_default();
        // To unite two sets takes as long as the bigger one is.
        if parts.len() == 1 {
            known.extend(parts);
        } else {
            *known |= parts;
        }
        self.news.insert(key);
    }

    /// Everything of an asset that something is known of.
    pub fn known(&self, asset: &AssetKey) -> PartitionSet {
        let own = self.fates.iter().filter(|((of, _), _)| of == asset);
        own.fold(PartitionSet::new(), |all, (_, parts)| all | parts)
    }

    /// As of the start of a run that does not try what is `left` of what it is about.
    pub fn of_left(plan: &Plan, left: &BTreeMap<AssetKey, PartitionSet>) -> Became {
        let mut became = Became::default();
        for part in &plan.assets {
            if let Some(left) = left.get(&part.asset) {
                became.note(&part.asset, Fate::Cancelled, &(left & &part.wanted));
            }
        }
        became
    }

    /// Whether it is time to write; a clock that is set back delays nothing.
    pub fn is_due(&self, now_ms: i64) -> bool {
        !self.news.is_empty() && now_ms.abs_diff(self.written_ms) >= PAUSE_MS
    }

    /// Writes what is new. To be followed by [`Became::written`] when that is committed.
    pub fn write(&self, tx: &mut Tx<'_>, run: RunId) -> Result<(), Error> {
        for key in &self.news {
            let (asset, fate) = key;
            tx.put_fate(run, asset, *fate, self.fates.get(key).unwrap_or(&PartitionSet::new()))?;
        }
        Ok(())
    }

    pub fn written(&mut self, now_ms: i64) {
        self.news.clear();
        self.written_ms = now_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_one_fate() {
        let (a, set) =
            (AssetKey::parse("a").unwrap(), |parts: &[u32]| PartitionSet::from_iter(parts));
        let mut became = Became::default();
        became.note(&a, Fate::Blocked, &set(&[1, 2]));
        became.written(5_000);
        assert!(!became.is_due(9_000), "there is nothing new");
        became.note(&a, Fate::Success, &set(&[2, 3]));
        assert_eq!(became.fates[&(a.clone(), Fate::Blocked)], set(&[1]));
        assert_eq!(became.known(&a), set(&[1, 2, 3]));
        assert_eq!(became.news.len(), 2, "both sets differ from what is written");
        assert_eq!([5_999, 6_000, 3_000].map(|now| became.is_due(now)), [false, true, true]);
    }
}
