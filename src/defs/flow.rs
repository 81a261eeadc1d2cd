//! A compiled graph: flat steps, each after all that it reads, with every edge a number.

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
        let wiring = match self.results.as_slice() {
            [(_, wiring)] => wiring,
            [] => return Err("it has no `results`".to_owned()),
            several => {
                return Err(format!("it has {} results, and an asset is one", several.len()));
            }
        };
        match wiring {
            Wiring::One(slot) if self.pieces_of(*slot).is_none() => Ok(*slot),
            Wiring::One(_) | Wiring::Each(_) | Wiring::Collect(_) => {
                Err("its result has pieces; an op can collect them".to_owned())
            }
            Wiring::List(_) => Err("its result is a list".to_owned()),
            Wiring::Input(_) => Err("its result is what it is given".to_owned()),
            Wiring::Value(_) => Err("its result is a fixed value".to_owned()),
        }
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
