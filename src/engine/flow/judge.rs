//! Judges an instance of which everything upstream has ended, and gathers what it reads.

use std::sync::Arc;

use serde_json::Value;

use super::{InstanceId, Output, Progress, StepState};
use crate::defs::{Emits, Item, Least, Slot, Takes, Wiring};

/// What an instance gets at one of its inputs.
#[derive(Debug)]
pub enum Gathered<'a, D> {
    One(Given<'a, D>),
    /// With the keys of the pieces, where they are pieces.
    Many(Vec<(Option<&'a Arc<str>>, Given<'a, D>)>),
    /// The order was all that counted.
    Nothing,
}

/// One value, and where it is from.
#[derive(Debug)]
pub enum Given<'a, D> {
    Made(&'a D),
    /// An input of the flow, by its place.
    Input(u32),
    /// Written in the graph.
    Value(&'a Arc<Value>),
}

/// What one wire says about whether an instance can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Skip,
    Block,
}

impl<D: Clone> Progress<D> {
    /// What an instance reads, in the order of its inputs.
    pub fn inputs(&self, id: InstanceId) -> Vec<Gathered<'_, D>> {
        let step = self.declared(id);
        let wires = step.def.inputs.iter().zip(&step.wires);
        let mut all = Vec::with_capacity(step.wires.len());
        for (input, wiring) in wires {
            all.push(match input.takes {
                Takes::Nothing => Gathered::Nothing,
                Takes::One | Takes::Many => self.gathered(id, wiring),
            });
        }
        all
    }

    fn gathered<'a>(&'a self, id: InstanceId, wiring: &'a Wiring) -> Gathered<'a, D> {
        match wiring {
            Wiring::One(slot) | Wiring::Each(slot) => {
                let value = self.value(id, *slot).expect("a ready instance has all that it reads");
                Gathered::One(Given::Made(value))
            }
            Wiring::Input(at) => Gathered::One(Given::Input(*at)),
            Wiring::Value(value) => Gathered::One(Given::Value(value)),
            Wiring::Collect(slot) => Gathered::Many(self.collected(*slot)),
            Wiring::List(items) => {
                let given = |item: &'a Item| match item {
                    Item::One(slot) | Item::Each(slot) => {
                        Some((None, Given::Made(self.value(id, *slot)?)))
                    }
                    Item::Input(at) => Some((None, Given::Input(*at))),
                    Item::Value(value) => Some((None, Given::Value(value))),
                };
                Gathered::Many(items.iter().filter_map(given).collect())
            }
        }
    }

    /// The places in a list of what an instance is given of it: what was not emitted is left out.
    pub fn present(&self, id: InstanceId, items: &[Item]) -> Vec<u32> {
        let is_there = |item: &Item| item.slot().is_none_or(|slot| self.value(id, slot).is_some());
        (0..).zip(items).filter(|(_, item)| is_there(item)).map(|(at, _)| at).collect()
    }

    /// The value at an output for one instance that reads it.
    fn value(&self, id: InstanceId, slot: Slot) -> Option<&D> {
        let up = &self.instances[self.same_piece(slot.step, id).place()];
        match &up.made[slot.output as usize] {
            Output::None => None,
            Output::Value(value) => Some(value),
            Output::Pieces(pieces) => {
                let piece = self.instances[id.place()].piece?;
                pieces.get(piece as usize).map(|(_, value)| value)
            }
        }
    }

    /// What was emitted for the pieces, in their order.
    fn collected(&self, slot: Slot) -> Vec<(Option<&Arc<str>>, Given<'_, D>)> {
        match self.flow.steps[slot.step as usize].scope {
            None => {
                let pieces = self.pieces(slot).iter();
                pieces.map(|(key, value)| (Some(key), Given::Made(value))).collect()
            }
            Some(scope) => {
                let keys = self.pieces(scope).iter().map(|(key, _)| key);
                let made = |(key, id): (_, InstanceId)| match &self.instances[id.place()].made
                    [slot.output as usize]
                {
                    Output::Value(value) => Some((Some(key), Given::Made(value))),
                    Output::None | Output::Pieces(_) => None,
                };
                keys.zip(self.ids(slot.step)).filter_map(made).collect()
            }
        }
    }

    /// The state of an instance of which everything upstream has ended.
    pub(super) fn judge(&self, id: InstanceId) -> StepState {
        let step = self.declared(id);
        let wires = step.wires.iter().map(|wiring| match wiring {
            Wiring::One(slot) | Wiring::Each(slot) => self.plain(id, *slot),
            Wiring::Input(_) | Wiring::Value(_) => Verdict::Fine,
            Wiring::Collect(slot) => self.collection(*slot),
            Wiring::List(items) => self.list(id, items),
        });
        let after = step.after.iter().map(|up| self.order(id, *up));
        let mut state = StepState::Ready;
        for verdict in wires.chain(after) {
            match verdict {
                Verdict::Fine => {}
                Verdict::Skip => return StepState::Skipped,
                Verdict::Block => state = StepState::Blocked,
            }
        }
        state
    }

    fn plain(&self, id: InstanceId, slot: Slot) -> Verdict {
        match self.verdict(self.same_piece(slot.step, id)) {
            Verdict::Fine if self.value(id, slot).is_none() => Verdict::Skip,
            verdict => verdict,
        }
    }

    fn verdict(&self, id: InstanceId) -> Verdict {
        match self.state(id) {
            StepState::Success => Verdict::Fine,
            StepState::Skipped => Verdict::Skip,
            StepState::Failed | StepState::Blocked => Verdict::Block,
            StepState::Waiting | StepState::Ready | StepState::Running => {
                unreachable!("it is judged when all upstream have ended")
            }
        }
    }

    fn list(&self, id: InstanceId, items: &[Item]) -> Verdict {
        let verdicts = items.iter().map(|item| match item.slot() {
            Some(slot) => self.plain(id, slot),
            None => Verdict::Fine,
        });
        several(verdicts)
    }

    fn collection(&self, slot: Slot) -> Verdict {
        let scope = self.flow.steps[slot.step as usize].scope;
        let source = scope.unwrap_or(slot);
        let of_source = self.verdict(InstanceId(self.steps[source.step as usize].first));
        if of_source != Verdict::Fine {
            return of_source;
        }
        if self.pieces(source).is_empty() {
            return match self.flow.output(source).emits {
                Emits::Pieces(Least::Skip) => Verdict::Skip,
                Emits::Pieces(Least::None) | Emits::Required | Emits::Optional => Verdict::Fine,
            };
        }
        match scope {
            None => Verdict::Fine,
            Some(_) => several(self.ids(slot.step).map(|id| self.plain(id, slot))),
        }
    }

    /// Whether a step may come after another one, which may have several instances.
    fn order(&self, id: InstanceId, up: u32) -> Verdict {
        match self.flow.steps[up as usize].scope {
            Some(scope) if self.declared(id).scope != Some(scope) => {
                match self.verdict(InstanceId(self.steps[scope.step as usize].first)) {
                    Verdict::Fine => several(self.ids(up).map(|id| self.verdict(id))),
                    verdict => verdict,
                }
            }
            Some(_) | None => self.verdict(self.same_piece(up, id)),
        }
    }
}

/// Entries of a list: one that failed is enough, but all must be skipped.
fn several(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let (mut some, mut fine) = (false, false);
    for verdict in verdicts {
        some = true;
        match verdict {
            Verdict::Block => return Verdict::Block,
            Verdict::Fine => fine = true,
            Verdict::Skip => {}
        }
    }
    if some && !fine { Verdict::Skip } else { Verdict::Fine }
}
