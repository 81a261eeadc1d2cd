//! Looks up the names of a graph and makes a flat flow of it; notes all mistakes on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{
    Call, Callee, Entry, Graph, GraphMistake, GraphMistakeKind as Kind, MistakeAt, Port, Ref,
    Source,
};
use crate::base::{JobName, StepName, similar};
use crate::defs::{
    Flow, FlowStep, Hooks, InputDecl, Item, Op, Origin, Slot, Takes, TypeRef, Wiring,
};

/// Deeper nesting is refused, so that no graph exhausts the call stack.
const DEPTH_MAX: usize = 100;

/// A graph that calls another one twice has twice its steps: a few lines could fill the memory.
const STEPS_MAX: u64 = 100_000;

pub(super) fn compile(graph: &Graph, job: &JobName) -> Result<Flow, Vec<GraphMistake>> {
    if let Some(mistake) = too_many(graph) {
        return Err(vec![mistake]);
    }
    let mut compiler = Compiler { job, flow: Flow::default(), mistakes: Vec::new(), depth: 0 };
    compiler.flow.inputs.clone_from(&graph.inputs);
    let inputs = (0..graph.inputs.len()).map(|at| u32::try_from(at).ok().map(Wiring::Input));
    let around = Around {
        prefix: "",
        inputs: inputs.collect(),
        scope: None,
        hooks: &Hooks::default(),
        after: &[],
    };
    let results = compiler.graph(graph, &around);
    let Compiler { mut flow, mistakes, .. } = compiler;
    if !mistakes.is_empty() {
        return Err(distinct(mistakes));
    }
    let finished = |wiring| match wiring {
        Wiring::One(slot) if flow.pieces_of(slot).is_some() => Wiring::Collect(slot),
        wiring => wiring,
    };
    let results = results.into_iter().filter_map(|(name, wiring)| Some((name, finished(wiring?))));
    let results = results.collect();
    flow.results = results;
    Ok(flow)
}

/// That a graph has too many steps, said of the call that has most of them.
fn too_many(graph: &Graph) -> Option<GraphMistake> {
    let mut known = HashMap::new();
    let steps = size(graph, 0, &mut known);
    if steps <= STEPS_MAX {
        return None;
    }
    let most = graph.calls.iter().max_by_key(|call| match &call.callee {
        Callee::Op(_) => 1,
        Callee::Graph(within) => size(within, 1, &mut known),
    })?;
    let (path, origin) = (most.name.clone(), most.origin.clone());
    let kind = Kind::TooMany { steps, max: STEPS_MAX };
    Some(GraphMistake { path, origin, at: MistakeAt::Call, kind })
}

/// How many steps a graph has; each graph is looked at once, however often it is called. What is nested too
/// deeply counts nothing: that is a mistake of its own.
fn size(graph: &Graph, depth: usize, known: &mut HashMap<*const Graph, u64>) -> u64 {
    if depth > DEPTH_MAX {
        return 0;
    }
    if let Some(steps) = known.get(&std::ptr::from_ref(graph)) {
        return *steps;
    }
    let of = |call: &Call| match &call.callee {
        Callee::Op(_) => 1,
        Callee::Graph(within) => size(within, depth + 1, known),
    };
    let steps = graph.calls.iter().map(of).fold(0, u64::saturating_add);
    known.insert(graph, steps);
    steps
}

/// A graph that is called twice has its mistakes twice.
fn distinct(mistakes: Vec<GraphMistake>) -> Vec<GraphMistake> {
    let mut kept: Vec<GraphMistake> = Vec::new();
    for mistake in mistakes {
        let same = |other: &GraphMistake| {
            other.origin == mistake.origin && other.at == mistake.at && other.kind == mistake.kind
        };
        if !kept.iter().any(same) {
            kept.push(mistake);
        }
    }
    kept
}

struct Compiler<'a> {
    job: &'a JobName,
    flow: Flow,
    mistakes: Vec<GraphMistake>,
    depth: usize,
}

/// What a graph finds where it is called.
struct Around<'a> {
    /// Path of the call with a `.` behind it.
    prefix: &'a str,
    /// What its inputs are; `None` where that cannot be said because of a mistake.
    inputs: Vec<Option<Wiring>>,
    /// The pieces over which it is mapped.
    scope: Option<Slot>,
    hooks: &'a Hooks,
    after: &'a [u32],
}

/// What a compiled call offers to others; `None` where there is a mistake.
enum Offer {
    Step(u32),
    Graph { results: Vec<(String, Option<Wiring>)>, steps: std::ops::Range<u32> },
}

/// The calls of one graph in the making.
struct Level<'a> {
    graph: &'a Graph,
    around: &'a Around<'a>,
    place: BTreeMap<&'a str, usize>,
    offers: Vec<Option<Offer>>,
}

impl Compiler<'_> {
    fn graph(&mut self, graph: &Graph, around: &Around<'_>) -> Vec<(String, Option<Wiring>)> {
        let mut place = BTreeMap::new();
        for (at, call) in graph.calls.iter().enumerate() {
            if !is_name(&call.name) {
                self.note(around, call, MistakeAt::Call, Kind::Name { name: call.name.clone() });
            }
            if place.insert(call.name.as_str(), at).is_some() {
                self.note(around, call, MistakeAt::Call, Kind::NameTwice);
            }
        }
        let offers = graph.calls.iter().map(|_| None).collect();
        let mut level = Level { graph, around, place, offers };
        for at in self.order(&level) {
            level.offers[at] = self.call(&level, &graph.calls[at]);
        }
        let mut results = Vec::new();
        for (name, of) in &graph.results {
            let found = match self.look_up(&level, of) {
                Ok(found) => found,
                Err(kind) => {
                    let origin = graph.calls.first().map(|call| call.origin.clone());
                    let origin = origin.unwrap_or(Origin { file: "".into(), line: 0 });
                    let path = format!("{}{name}", around.prefix);
                    let at = MistakeAt::Result(name.clone());
                    self.mistakes.push(GraphMistake { path, origin, at, kind });
                    None
                }
            };
            results.push((name.clone(), found));
        }
        results
    }

    /// The calls, each after those that it reads; among equals as declared.
    fn order(&mut self, level: &Level<'_>) -> Vec<usize> {
        let calls = &level.graph.calls;
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); calls.len()];
        let mut open = vec![0; calls.len()];
        for (at, call) in calls.iter().enumerate() {
            let refs = call.wires.iter().flat_map(|(_, source)| source.refs());
            let read = refs.filter_map(|of| match of {
                Ref::Port(port) => Some(port.call.as_str()),
                Ref::Input(_) => None,
            });
            let read = read.chain(call.after.iter().map(String::as_str));
            let upstream: BTreeSet<usize> =
                read.filter_map(|name| level.place.get(name).copied()).collect();
            open[at] = upstream.len();
            upstream.into_iter().for_each(|up| readers[up].push(at));
        }
        let mut ready: BTreeSet<usize> = (0..calls.len()).filter(|at| open[*at] == 0).collect();
        let mut order = Vec::with_capacity(calls.len());
        loop {
            while let Some(at) = ready.pop_first() {
                order.push(at);
                for &reader in &readers[at] {
                    // Those of a circle are let go before all that they wait for.
                    if open[reader] > 0 {
                        open[reader] -= 1;
                        if open[reader] == 0 {
                            ready.insert(reader);
                        }
                    }
                }
            }
            if order.len() == calls.len() {
                return order;
            }
            let circle = circle(&readers, &open);
            let names = circle.iter().map(|at| calls[*at].name.clone()).collect();
            let kind = Kind::Circle { calls: names };
            self.note(level.around, &calls[circle[0]], MistakeAt::Call, kind);
            circle.iter().for_each(|at| open[*at] = 0);
            ready.extend(circle);
        }
    }

    fn call(&mut self, level: &Level<'_>, call: &Call) -> Option<Offer> {
        let wires = self.wires(level, call);
        let after = self.after(level, call);
        let hooks = level.around.hooks.and(&call.hooks);
        match &call.callee {
            Callee::Op(op) => self.step(level, call, op, wires, after, &hooks),
            Callee::Graph(graph) => {
                if self.depth == DEPTH_MAX {
                    self.note(level.around, call, MistakeAt::Call, Kind::TooDeep);
                    return None;
                }
                let scopes = wires.iter().flatten().flat_map(|wiring| self.scopes(wiring));
                let scope = scopes.into_iter().next();
                let prefix = format!("{}{}.", level.around.prefix, call.name);
                let around =
                    Around { prefix: &prefix, inputs: wires, scope, hooks: &hooks, after: &after };
                let first = self.steps();
                self.depth += 1;
                let results = self.graph(graph, &around);
                self.depth -= 1;
                Some(Offer::Graph { results, steps: first..self.steps() })
            }
        }
    }

    fn steps(&self) -> u32 {
        u32::try_from(self.flow.steps.len()).expect("memory ends before four billion steps")
    }

    fn step(
        &mut self,
        level: &Level<'_>,
        call: &Call,
        op: &Arc<Op>,
        wires: Vec<Option<Wiring>>,
        after: Vec<u32>,
        hooks: &Hooks,
    ) -> Option<Offer> {
        let scopes: BTreeSet<Slot> =
            wires.iter().flatten().flat_map(|wiring| self.scopes(wiring)).collect();
        let mut scopes = scopes.into_iter();
        let scope = scopes.next();
        if let (Some(first), Some(second)) = (scope, scopes.next()) {
            let [first, second] = [first, second].map(|slot| self.name_of(slot));
            self.note(level.around, call, MistakeAt::Call, Kind::TwoDynamics { first, second });
        }
        if let Some(outer) = scope
            && op.outputs.iter().any(|output| output.emits.is_pieces())
        {
            let outer = self.name_of(outer);
            self.note(level.around, call, MistakeAt::Call, Kind::NestedDynamic { outer });
        }
        // A step of which an input is unknown is kept: what reads it is judged as well, and there is no
        // flow in the end.
        let known = |wiring: Option<Wiring>| wiring.unwrap_or(Wiring::Value(Arc::default()));
        let path = format!("{}{}", level.around.prefix, call.name);
        let step = self.steps();
        self.flow.steps.push(FlowStep {
            def: Arc::new(op.step(StepName::of(self.job, &path))),
            path: path.into(),
            op: op.clone(),
            wires: wires.into_iter().map(known).collect(),
            after,
            scope,
            hooks: op.hooks.and(hooks),
        });
        Some(Offer::Step(step))
    }

    /// The dynamic outputs over whose pieces a wire goes.
    fn scopes(&self, wiring: &Wiring) -> Vec<Slot> {
        match wiring {
            Wiring::Each(slot) => self.flow.pieces_of(*slot).into_iter().collect(),
            Wiring::List(items) => {
                let each = items.iter().filter_map(|item| match item {
                    Item::Each(slot) => self.flow.pieces_of(*slot),
                    Item::One(_) | Item::Input(_) | Item::Value(_) => None,
                });
                each.collect()
            }
            Wiring::One(_) | Wiring::Collect(_) | Wiring::Input(_) | Wiring::Value(_) => Vec::new(),
        }
    }

    fn name_of(&self, slot: Slot) -> String {
        let path = &self.flow.steps[slot.step as usize].path;
        format!("{path}.{}", self.flow.output(slot).name)
    }

    /// What each input of a call gets, in the order of the callee's inputs.
    fn wires(&mut self, level: &Level<'_>, call: &Call) -> Vec<Option<Wiring>> {
        let inputs = call.callee.inputs();
        for (name, _) in &call.wires {
            if !inputs.iter().any(|input| *input.name == **name) {
                let similar = similar(name, inputs.iter().map(|input| &*input.name));
                let similar = similar.map(str::to_owned);
                let kind = Kind::UnknownInput { input: name.clone(), similar };
                self.note(level.around, call, MistakeAt::Wire(name.clone()), kind);
            }
        }
        let mut wires = Vec::with_capacity(inputs.len());
        for input in inputs {
            let mut sources = call.wires.iter().filter(|(name, _)| **name == *input.name);
            let found = match (sources.next(), sources.next()) {
                (Some((_, source)), None) => self.wire(level, input, source),
                (Some(_), Some(_)) => Err(Kind::WiredTwice { input: input.name.to_string() }),
                (None, _) => Err(Kind::NotWired { input: input.name.to_string() }),
            };
            wires.push(match found {
                Ok(wiring) => wiring,
                Err(kind) => {
                    let at = MistakeAt::Wire(input.name.to_string());
                    self.note(level.around, call, at, kind);
                    None
                }
            });
        }
        wires
    }

    /// `None` where an upstream has a mistake of its own.
    fn wire(
        &self,
        level: &Level<'_>,
        input: &InputDecl,
        source: &Source,
    ) -> Result<Option<Wiring>, Kind> {
        let wiring = match source {
            Source::One(of) => self.one(level, input, of)?,
            Source::Each(of) => self.pieces(level, of, "map", Wiring::Each)?,
            Source::Collect(of) => self.pieces(level, of, "collect", Wiring::Collect)?,
            Source::List(entries) => self.list(level, input, entries)?,
            Source::Value(value) => Some(Wiring::Value(Arc::new(value.clone()))),
        };
        if let Some(wiring) = &wiring {
            self.fits(input, wiring, source)?;
        }
        Ok(wiring)
    }

    fn one(&self, level: &Level<'_>, input: &InputDecl, of: &Ref) -> Result<Option<Wiring>, Kind> {
        let Some(found) = self.look_up(level, of)? else { return Ok(None) };
        let Wiring::One(slot) = found else { return Ok(Some(found)) };
        match self.flow.pieces_of(slot) {
            None => Ok(Some(found)),
            // Within a graph that is mapped as a whole, everything that depends on the piece is.
            Some(scope) if Some(scope) == level.around.scope && scope != slot => {
                Ok(Some(Wiring::Each(slot)))
            }
            Some(_) => {
                Err(Kind::DynamicDirect { input: input.name.to_string(), from: of.to_string() })
            }
        }
    }

    fn pieces(
        &self,
        level: &Level<'_>,
        of: &Ref,
        verb: &'static str,
        how: fn(Slot) -> Wiring,
    ) -> Result<Option<Wiring>, Kind> {
        let Some(found) = self.look_up(level, of)? else { return Ok(None) };
        if let Ref::Input(input) = of {
            return Err(Kind::MapOfInput { input: input.clone() });
        }
        match found {
            Wiring::One(slot) if self.flow.pieces_of(slot).is_some() => Ok(Some(how(slot))),
            Wiring::One(_)
            | Wiring::Each(_)
            | Wiring::Collect(_)
            | Wiring::List(_)
            | Wiring::Input(_)
            | Wiring::Value(_) => Err(Kind::NotDynamic { from: of.to_string(), verb }),
        }
    }

    fn list(
        &self,
        level: &Level<'_>,
        input: &InputDecl,
        entries: &[Entry],
    ) -> Result<Option<Wiring>, Kind> {
        let mut items = Vec::with_capacity(entries.len());
        for entry in entries {
            let wiring = match entry {
                Entry::One(of) => self.one(level, input, of)?,
                Entry::Each(of) => self.pieces(level, of, "map", Wiring::Each)?,
            };
            let Some(wiring) = wiring else { return Ok(None) };
            items.push(match wiring {
                Wiring::One(slot) => Item::One(slot),
                Wiring::Each(slot) => Item::Each(slot),
                Wiring::Input(at) => Item::Input(at),
                Wiring::Value(value) => Item::Value(value),
                Wiring::Collect(_) | Wiring::List(_) => {
                    return Err(Kind::ListInList { input: input.name.to_string() });
                }
            });
        }
        Ok(Some(Wiring::List(items.into())))
    }

    /// Whether an input takes what is wired into it, as far as declarations say.
    fn fits(&self, input: &InputDecl, wiring: &Wiring, source: &Source) -> Result<(), Kind> {
        let name = || input.name.to_string();
        let from =
            || source.refs().first().map_or_else(|| "the value".to_owned(), |of| of.to_string());
        let several = match wiring {
            Wiring::List(_) | Wiring::Collect(_) => true,
            Wiring::Input(at) => self.flow.inputs[*at as usize].takes == Takes::Many,
            Wiring::One(_) | Wiring::Each(_) | Wiring::Value(_) => false,
        };
        let takes = match (input.takes, several) {
            (Takes::Nothing, _) => return Ok(()),
            (Takes::One, false) | (Takes::Many, true) => &input.kind,
            (Takes::One, true) => match input.kind.item() {
                Some(item) => item,
                None => return Err(Kind::ListForOne { input: name(), takes: input.kind.clone() }),
            },
            (Takes::Many, false) => match wiring {
                Wiring::Input(_) => return Ok(()),
                Wiring::Value(value) if value.is_array() => return Ok(()),
                Wiring::Value(_)
                | Wiring::One(_)
                | Wiring::Each(_)
                | Wiring::Collect(_)
                | Wiring::List(_) => return Err(Kind::OneForMany { input: name(), from: from() }),
            },
        };
        let clash = |gives: String| Kind::TypeClash {
            input: name(),
            takes: takes.clone(),
            from: from(),
            gives,
        };
        if let Wiring::Value(value) = wiring {
            let fits = takes.admits(value);
            return if fits { Ok(()) } else { Err(clash(value.to_string())) };
        }
        let gives: Vec<&TypeRef> = match wiring {
            Wiring::Input(at) => vec![&self.flow.inputs[*at as usize].kind],
            _ => wiring.slots().map(|slot| &self.flow.output(slot).kind).collect(),
        };
        match gives.into_iter().find(|gives| !gives.may_fit(takes)) {
            Some(gives) => Err(clash(gives.to_string())),
            None => Ok(()),
        }
    }

    /// What a name stands for; whether it has pieces is not looked at.
    fn look_up(&self, level: &Level<'_>, of: &Ref) -> Result<Option<Wiring>, Kind> {
        let port = match of {
            Ref::Port(port) => port,
            Ref::Input(name) => {
                let inputs = &level.graph.inputs;
                let Some(at) = inputs.iter().position(|input| *input.name == **name) else {
                    let similar = similar(name, inputs.iter().map(|input| &*input.name));
                    let similar = similar.map(str::to_owned);
                    return Err(Kind::UnknownGraphInput { name: name.clone(), similar });
                };
                return Ok(level.around.inputs.get(at).cloned().flatten());
            }
        };
        let Some(place) = level.place.get(port.call.as_str()) else {
            return Err(unknown_call(level, &port.call));
        };
        let known = level.graph.calls[*place].callee.outputs();
        let output = output(port, &known)?;
        Ok(match &level.offers[*place] {
            None => None,
            Some(Offer::Step(step)) => {
                let output = u32::try_from(output).expect("outputs are few");
                Some(Wiring::One(Slot { step: *step, output }))
            }
            Some(Offer::Graph { results, .. }) => results[output].1.clone(),
        })
    }

    /// The steps that must have succeeded before.
    fn after(&mut self, level: &Level<'_>, call: &Call) -> Vec<u32> {
        let mut steps: BTreeSet<u32> = level.around.after.iter().copied().collect();
        for name in &call.after {
            match level.place.get(name.as_str()).map(|place| &level.offers[*place]) {
                Some(Some(Offer::Step(step))) => {
                    steps.insert(*step);
                }
                Some(Some(Offer::Graph { steps: within, .. })) => steps.extend(within.clone()),
                Some(None) => {}
                None => {
                    let kind = unknown_call(level, name);
                    self.note(level.around, call, MistakeAt::After(name.clone()), kind);
                }
            }
        }
        steps.into_iter().collect()
    }

    fn note(&mut self, around: &Around<'_>, call: &Call, at: MistakeAt, kind: Kind) {
        let path = format!("{}{}", around.prefix, call.name);
        self.mistakes.push(GraphMistake { path, origin: call.origin.clone(), at, kind });
    }
}

fn unknown_call(level: &Level<'_>, name: &str) -> Kind {
    let similar = similar(name, level.place.keys().copied()).map(str::to_owned);
    Kind::UnknownCall { name: name.to_owned(), similar }
}

/// The place of an output among those of a call.
fn output(port: &Port, known: &[&str]) -> Result<usize, Kind> {
    let call = || port.call.clone();
    match &port.output {
        None if known.len() == 1 => Ok(0),
        None => {
            let known = known.iter().map(|name| (*name).to_owned()).collect();
            Err(Kind::WhichOutput { call: call(), known })
        }
        Some(output) => known.iter().position(|name| name == output).ok_or_else(|| {
            let similar = similar(output, known.iter().copied()).map(str::to_owned);
            Kind::UnknownOutput { call: call(), output: output.clone(), similar }
        }),
    }
}

/// One circle among the calls that are still open: from one of them always on to a reader that is.
fn circle(readers: &[Vec<usize>], open: &[usize]) -> Vec<usize> {
    // Upstream of every open call is an open call, so a walk against the edges must return.
    let upstream = |of: usize| {
        let mut reads = readers.iter().enumerate();
        reads.find(|(at, readers)| open[*at] > 0 && readers.contains(&of)).map(|(at, _)| at)
    };
    let mut walk: Vec<usize> = open.iter().position(|open| *open > 0).into_iter().collect();
    while let Some(up) = walk.last().and_then(|last| upstream(*last)) {
        if let Some(start) = walk.iter().position(|at| *at == up) {
            let mut circle = walk.split_off(start);
            circle.reverse();
            return circle;
        }
        walk.push(up);
    }
    walk
}

fn is_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !text.is_empty() && text.bytes().all(word)
}
