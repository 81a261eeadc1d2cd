//! Whether what a step asked for while it ran still says what it will ask for.

use std::sync::Arc;

use super::{InputView, KeyMaker, View, db};
use crate::base::{Column, PartitionIdx, PartitionSet};

impl View<'_> {
    /// Of partitions that wait only for what they asked for: those that are other steps by now. Something
    /// else that they read has changed, and its value may decide what they ask for. What reads its own
    /// asset is left to wait: its own inputs are not settled before they are decided.
    pub(super) fn asks_anew(&self, waiting: &PartitionSet) -> PartitionSet {
        if waiting.is_empty() || !self.own.is_empty() {
            return PartitionSet::new();
        }
        let records = self.db.records();
        let is_asked = |place: usize| self.edges[place].mapping.as_asked().is_some();
        let columns = self.upstream.iter().map(|up| {
            let edge = up.edge;
            records.marks(&edge.upstream, &edge.mapping.upstream_of(waiting))
        });
        let columns: Vec<Arc<Column>> = columns.collect();
        // Without edges of its own, upstream is all of them in their order.
        let version = |place: usize, part: PartitionIdx| match is_asked(place) {
            true => None,
            false => self.upstream[place].state.version(&columns[place], part),
        };
        let domains = self.edges.iter().map(|edge| (edge, db::domain(self.db, edge.input)));
        let inputs: Vec<InputView> =
            domains.map(|(edge, domain)| InputView { edge, domain }).collect();
        let step = db::step(self.db, self.asset).digest;
        let mut keys = KeyMaker::new(step, self.domain, &inputs, &version);
        let mut is_other = |part: PartitionIdx| {
            let Some(base) = keys.content_key(part) else { return false };
            self.upstream.iter().zip(&columns).any(|(up, column)| {
                let settled = |part: PartitionIdx| {
                    let settled = !up.state.unsettled().contains(part);
                    settled.then(|| up.state.version(column, part)).flatten()
                };
                let asked = up.edge.mapping.as_asked();
                asked.is_some_and(|asked| !asked.stands(part, &base, settled))
            })
        };
        waiting.iter().filter(|part| is_other(*part)).collect()
    }
}
