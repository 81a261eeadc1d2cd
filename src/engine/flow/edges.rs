//! Which steps of a flow wait for which, and in what way: found once, before anything runs.

use std::collections::BTreeMap;

use crate::defs::{Flow, FlowStep, Item, Slot, Wiring};

/// The edges of a flow, from both sides.
pub(super) struct Edges {
    of_step: Vec<Vec<Edge>>,
    readers: Vec<Vec<Reader>>,
    /// Of each step, those that are mapped over one of its outputs, and which.
    mapped: Vec<Vec<(u32, u32)>>,
}

/// One step that another one waits for.
pub(super) struct Edge {
    pub(super) step: u32,
    pub(super) how: How,
    /// The place of the other side among the readers of `step`.
    reader: u32,
}

/// One step that waits for another one.
pub(super) struct Reader {
    pub(super) step: u32,
    pub(super) how: How,
    /// Outputs without which it is skipped.
    pub(super) plain: Vec<u32>,
    /// Whether it is skipped where the other one is.
    pub(super) after: bool,
}

/// For what an instance waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// For one instance: the only one, or that of the same piece.
    Same,
    /// For all instances.
    Whole,
}

impl Edges {
    pub(super) fn of(flow: &Flow) -> Edges {
        let steps = flow.steps.len();
        let empty = || (0..steps).map(|_| Vec::new()).collect();
        let mut edges = Edges {
            of_step: Vec::with_capacity(steps),
            readers: (0..steps).map(|_| Vec::new()).collect(),
            mapped: empty(),
        };
        for (at, step) in (0..).zip(&flow.steps) {
            if let Some(scope) = step.scope {
                edges.mapped[scope.step as usize].push((at, scope.output));
            }
            let mut of_step = Vec::new();
            for ((up, how), needs) in needs(flow, step) {
                let readers: &mut Vec<Reader> = &mut edges.readers[up as usize];
                let reader = u32::try_from(readers.len()).expect("steps are fewer");
                of_step.push(Edge { step: up, how, reader });
                readers.push(Reader { step: at, how, plain: needs.plain, after: needs.after });
            }
            edges.of_step.push(of_step);
        }
        edges
    }

    pub(super) fn of_step(&self, step: u32) -> &[Edge] {
        &self.of_step[step as usize]
    }

    pub(super) fn readers(&self, step: u32) -> &[Reader] {
        &self.readers[step as usize]
    }

    pub(super) fn mapped(&self, step: u32) -> &[(u32, u32)] {
        &self.mapped[step as usize]
    }
}

impl Edge {
    pub(super) fn reader<'a>(&self, edges: &'a Edges) -> &'a Reader {
        &edges.readers(self.step)[self.reader as usize]
    }
}

#[derive(Default)]
struct Needs {
    plain: Vec<u32>,
    after: bool,
}

fn needs(flow: &Flow, step: &FlowStep) -> BTreeMap<(u32, How), Needs> {
    let mut needs: BTreeMap<(u32, How), Needs> = BTreeMap::new();
    let how = |up: u32| match flow.steps[up as usize].scope {
        None => How::Same,
        Some(scope) if Some(scope) == step.scope => How::Same,
        Some(_) => How::Whole,
    };
    let mut one = |slot: Slot| {
        let needs = needs.entry((slot.step, how(slot.step))).or_default();
        // An instance for a piece is only there if the piece is.
        if step.scope != Some(slot) {
            needs.plain.push(slot.output);
        }
    };
    for wiring in &step.wires {
        match wiring {
            Wiring::One(slot) | Wiring::Each(slot) => one(*slot),
            Wiring::Collect(_) | Wiring::List(_) | Wiring::Input(_) | Wiring::Value(_) => {}
        }
    }
    for wiring in &step.wires {
        match wiring {
            Wiring::Collect(slot) => {
                let how = match flow.steps[slot.step as usize].scope {
                    None => How::Same,
                    Some(_) => How::Whole,
                };
                needs.entry((slot.step, how)).or_default();
            }
            Wiring::List(items) => {
                for slot in items.iter().filter_map(Item::slot) {
                    needs.entry((slot.step, how(slot.step))).or_default();
                }
            }
            Wiring::One(_) | Wiring::Each(_) | Wiring::Input(_) | Wiring::Value(_) => {}
        }
    }
    for up in &step.after {
        let how = how(*up);
        needs.entry((*up, how)).or_default().after = how == How::Same;
    }
    needs
}
