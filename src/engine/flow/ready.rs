//! Decides which of the ready instances goes first, without looking at those whose pool is full.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::InstanceId;

/// The place of the step in the flow, then the order of the pieces.
type Rank = (u32, InstanceId);

/// What is ready: apart by pool, so that one look at a pool decides about all that are in it.
#[derive(Default)]
pub(super) struct Ready {
    free: BTreeSet<Rank>,
    /// Only pools in which something is ready.
    pooled: BTreeMap<Arc<str>, BTreeSet<Rank>>,
}

impl Ready {
    pub(super) fn insert(&mut self, pool: Option<&Arc<str>>, rank: Rank) {
        match pool {
            None => self.free.insert(rank),
            Some(pool) => match self.pooled.get_mut(pool) {
                Some(ready) => ready.insert(rank),
                None => self.pooled.entry(pool.clone()).or_default().insert(rank),
            },
        };
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.is_empty() && self.pooled.is_empty()
    }

    /// Takes the first for which there is room.
    pub(super) fn take(&mut self, has_room: &dyn Fn(&str) -> bool) -> Option<InstanceId> {
        let pools = self.pooled.iter().filter(|(pool, _)| has_room(pool));
        let of_pool = pools
            .filter_map(|(pool, ready)| Some((*ready.first()?, Some(pool))))
            .min_by_key(|(rank, _)| *rank);
        let free = self.free.first().map(|rank| (*rank, None));
        let (rank, pool) = free.into_iter().chain(of_pool).min_by_key(|(rank, _)| *rank)?;
        match pool.cloned() {
            None => self.free.remove(&rank),
            Some(pool) => self.take_of(&pool, &rank),
        };
        Some(rank.1)
    }

    fn take_of(&mut self, pool: &str, rank: &Rank) -> bool {
        let Some(ready) = self.pooled.get_mut(pool) else { return false };
        let was_there = ready.remove(rank);
        if ready.is_empty() {
            self.pooled.remove(pool);
        }
        was_there
    }
}
