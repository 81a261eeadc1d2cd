//! Why partitions are not fresh, gathered while that is decided.

use std::collections::BTreeMap;

use super::super::db::StepVersion;
use super::super::reason::{ReasonCode, step_codes};
use super::super::records::Records;
use crate::base::{Flags, Mark, PartitionIdx, PartitionSet, StepId};

/// Collects reasons as sets; what two steps differ in is found once for each pair.
pub(super) struct Reasons<'a> {
    records: &'a dyn Records,
    step: &'a StepVersion,
    by_step: BTreeMap<Option<StepId>, Vec<ReasonCode>>,
    sets: BTreeMap<ReasonCode, PartitionSet>,
}

impl<'a> Reasons<'a> {
    pub(super) fn new(records: &'a dyn Records, step: &'a StepVersion) -> Reasons<'a> {
        Reasons { records, step, by_step: BTreeMap::new(), sets: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, code: ReasonCode, part: PartitionIdx) {
        self.sets.entry(code).or_default().insert(part);
    }

    pub(super) fn add_all(&mut self, code: ReasonCode, parts: &PartitionSet) {
        if !parts.is_empty() {
            *self.sets.entry(code).or_default() |= parts;
        }
    }

    pub(super) fn compare(
        &mut self,
        mark: &Mark,
        due: Option<ReasonCode>,
        inputs: impl FnOnce(&mut dyn FnMut(ReasonCode)),
    ) {
        let mut codes: Vec<ReasonCode> = due.into_iter().collect();
        if mark.flags.has(Flags::INVALIDATED) {
            codes.push(ReasonCode::Invalidated);
        }
        if mark.flags.has(Flags::RACED) {
            codes.push(ReasonCode::InputChangedDuringRun);
        }
        codes.extend(self.step_codes(mark.step));
        let rewired = [ReasonCode::InputsAdded, ReasonCode::InputsRemoved];
        // What was seen of the inputs then is by their places, which are others now.
        if !codes.iter().any(|code| rewired.contains(code)) {
            inputs(&mut |code| codes.push(code));
        }
        if codes.is_empty() {
            codes.push(ReasonCode::InputsMoved);
        }
        for code in codes {
            self.add(code, mark.part);
        }
    }

    fn step_codes(&mut self, step: Option<StepId>) -> Vec<ReasonCode> {
        let (records, current) = (self.records, self.step);
        let codes = self.by_step.entry(step).or_insert_with(|| {
            let old = step.and_then(|step| records.step_parts(step));
            let old = old.as_deref();
            old.map_or_else(Vec::new, |old| step_codes(old, &current.parts))
        });
        codes.clone()
    }

    pub(super) fn finish(self) -> Vec<(ReasonCode, PartitionSet)> {
        self.sets.into_iter().collect()
    }
}
