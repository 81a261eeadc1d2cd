//! A compiled graph: flat steps, each after all that it reads, with every edge a number.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Hooks, InputDecl, Op, OutputDecl, StepDef};

/// What a graph compiles to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow {
    /// Upstream first.
    pub steps: Vec<FlowStep>,
    /// Of the graph as a whole.
    pub inputs: Vec<InputDecl>,
    /// What the graph as a whole gives, by name.
    pub results: Vec<(String, Wiring)>,
}

/// One step of a flow; it may have an instance for each piece of a dynamic output.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowStep {
    /// Names of the calls on the way, joined by `.`; unique within its flow.
    pub path: Arc<str>,
    pub op: Arc<Op>,
    pub def: Arc<StepDef>,
    /// In the order of the op's inputs.
    pub wires: Vec<Wiring>,
    /// Steps that must have succeeded before, whatever they emit.
    pub after: Vec<u32>,
    /// The dynamic output over whose pieces it is mapped.
    pub scope: Option<Slot>,
    pub hooks: Hooks,
}

/// Where an input's value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Wiring {
    /// A value that there is once.
    One(Slot),
    /// A piece, or what a step of the same piece gives.
    Each(Slot),
    /// All pieces, or what the steps of all pieces give, in the order of emission.
    Collect(Slot),
    /// Values of several steps; those that were not emitted are left out.
    List(Arc<[Item]>),
    /// An input of the flow.
    Input(u32),
    Value(Arc<Value>),
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    One(Slot),
    Each(Slot),
    Input(u32),
    Value(Arc<Value>),
}

/// An output of a step of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub step: u32,
    pub output: u32,
}

impl Flow {
    pub fn output(&self, slot: Slot) -> &OutputDecl {
        &self.steps[slot.step as usize].op.outputs[slot.output as usize]
    }

    /// The one result, of a graph that makes an asset; fails with why it has none.
    pub fn sole_result(&self) -> Result<Slot, String> {
        match self.results.as_slice() {
            [(_, wiring)] => self.value(wiring).map_err(|what| format!("its result {what}")),
            [] => Err("it has no `results`".to_owned()),
            several => Err(format!("it has {} results, and an asset is one", several.len())),
        }
    }

    /// The result of this name, of a graph that makes several assets; fails with why there is none.
    pub fn result_named(&self, name: &str) -> Result<Slot, String> {
        match self.results.iter().find(|(own, _)| own == name) {
            Some((_, wiring)) => {
                self.value(wiring).map_err(|what| format!("its result `{name}` {what}"))
            }
            None => {
                let own: Vec<&str> = self.results.iter().map(|(own, _)| own.as_str()).collect();
                let own = match own.is_empty() {
                    true => "it has no `results`".to_owned(),
                    false => format!("it gives `{}`", own.join("`, `")),
                };
                Err(format!("it has no result `{name}`; {own}"))
            }
        }
    }

    /// The output that a result is; fails with why it cannot be the value of an asset.
    pub fn value(&self, wiring: &Wiring) -> Result<Slot, &'static str> {
        match wiring {
            Wiring::One(slot) if self.pieces_of(*slot).is_none() => Ok(*slot),
            Wiring::One(_) | Wiring::Each(_) | Wiring::Collect(_) => {
                Err("has pieces; an op can collect them")
            }
            Wiring::List(_) => Err("is a list"),
            Wiring::Input(_) => Err("is what it is given"),
            Wiring::Value(_) => Err("is a fixed value"),
        }
    }

    /// The steps that only the outputs `others` need and `wanted` do not, with what depends on such steps.
    /// What leads to none of both is not among them.
    pub fn needed_for_others(&self, wanted: &[Slot], others: &[Slot]) -> BTreeSet<u32> {
        let needed = self.needed_for(wanted);
        let mut left_out: BTreeSet<u32> =
            self.needed_for(others).into_iter().filter(|at| !needed.contains(at)).collect();
        for (at, step) in (0..).zip(&self.steps) {
            if !needed.contains(&at) && step.upstream().any(|up| left_out.contains(&up)) {
                left_out.insert(at);
            }
        }
        left_out
    }

    /// The steps that give these outputs, and all upstream of them.
    pub fn needed_for(&self, outputs: &[Slot]) -> BTreeSet<u32> {
        let mut needed: BTreeSet<u32> = outputs.iter().map(|slot| slot.step).collect();
        for (at, step) in (0..).zip(&self.steps).collect::<Vec<(u32, _)>>().into_iter().rev() {
            if needed.contains(&at) {
                needed.extend(step.upstream());
            }
        }
        needed
    }

    /// The dynamic output over whose pieces there are values at this one, if there are several.
    pub fn pieces_of(&self, slot: Slot) -> Option<Slot> {
        let scope = self.steps[slot.step as usize].scope;
        scope.or_else(|| self.output(slot).emits.is_pieces().then_some(slot))
    }
}

impl FlowStep {
    /// The outputs that its inputs read.
    pub fn reads(&self) -> impl Iterator<Item = Slot> {
        self.wires.iter().flat_map(Wiring::slots)
    }

    /// The steps that must have ended before.
    pub fn upstream(&self) -> impl Iterator<Item = u32> {
        let scope = self.scope.iter().map(|slot| slot.step);
        self.reads().map(|slot| slot.step).chain(self.after.iter().copied()).chain(scope)
    }
}

impl Wiring {
    /// The outputs that it reads.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let (one, several) = match self {
            Wiring::One(slot) | Wiring::Each(slot) | Wiring::Collect(slot) => {
                (Some(*slot), &[][..])
            }
            Wiring::List(items) => (None, &items[..]),
            Wiring::Input(_) | Wiring::Value(_) => (None, &[][..]),
        };
        one.into_iter().chain(several.iter().filter_map(Item::slot))
    }
}

impl Item {
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Item::One(slot) | Item::Each(slot) => Some(*slot),
            Item::Input(_) | Item::Value(_) => None,
        }
    }
}
