//! The steps of a job as a picture: an edge for each step that another one reads or comes after.

use std::collections::BTreeMap;

use super::super::text;
use super::{Edge, Node, Of, Picture, Shape};
use crate::defs::{Flow, FlowStep, Item, Slot, Wiring};

pub(super) fn picture(flow: &Flow) -> Picture {
    let mut edges: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
    for (to, step) in flow.steps.iter().enumerate() {
        let mut add = |from: u32, how: String| {
            let hows = edges.entry((from as usize, to)).or_default();
            if !how.is_empty() && !hows.contains(&how) {
                hows.push(how);
            }
        };
        for wiring in &step.wires {
            for (slot, how) in slots(wiring) {
                add(slot.step, label(flow, slot, how));
            }
        }
        step.after.iter().for_each(|from| add(*from, "after".to_owned()));
    }
    let edge =
        |((from, to), hows): ((usize, usize), Vec<String>)| Edge { from, to, how: hows.join(", ") };
    Picture {
        of: Of::Steps,
        nodes: flow.steps.iter().map(|step| node(flow, step)).collect(),
        edges: edges.into_iter().map(edge).collect(),
    }
}

fn slots(wiring: &Wiring) -> Vec<(Slot, &'static str)> {
    match wiring {
        Wiring::One(slot) => vec![(*slot, "")],
        Wiring::Each(slot) => vec![(*slot, "each")],
        Wiring::Collect(slot) => vec![(*slot, "collect")],
        Wiring::List(items) => {
            let item = |item: &Item| match item {
                Item::One(slot) => Some((*slot, "")),
                Item::Each(slot) => Some((*slot, "each")),
                Item::Input(_) | Item::Value(_) => None,
            };
            items.iter().filter_map(item).collect()
        }
        Wiring::Input(_) | Wiring::Value(_) => Vec::new(),
    }
}

/// The output, if there are several, and how it is read.
fn label(flow: &Flow, slot: Slot, how: &str) -> String {
    let several = flow.steps[slot.step as usize].op.outputs.len() > 1;
    match (several, how) {
        (false, how) => how.to_owned(),
        (true, "") => flow.output(slot).name.to_string(),
        (true, how) => format!("{how} {}", flow.output(slot).name),
    }
}

fn node(flow: &Flow, step: &FlowStep) -> Node {
    let mut kind = text::body(&step.op.body).to_owned();
    if let Some(scope) = step.scope {
        kind += &format!(", for each of {}", flow.steps[scope.step as usize].path);
    }
    if step.op.outputs.iter().any(|output| output.emits.is_pieces()) {
        kind += ", gives pieces";
    }
    Node {
        name: step.path.to_string(),
        kind,
        shape: Shape::Asset,
        description: step.op.description.clone().unwrap_or_default(),
        partitions: String::new(),
    }
}
