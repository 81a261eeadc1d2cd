//! Reads `graphs`, and the `ops` of a graph or a job: calls of ops and of other graphs. What they name
//! is looked up when every file has been read.

use super::asset::Context;
use super::diagnostic::{Place, did_you_mean};
use super::form::{Form, Key, key};
use super::node::{Sink, Table, Value};
use super::op::{self, HOOK_KEYS, OpDraft, STEP_KEYS};
use super::port::{self, TypeUse};
use super::wire::{self, ResultDraft, WireDraft};
use crate::defs::{Hooks, InputDecl};

static CALL_KEYS: &[Key] = &[
    key("use", "The op, declared under `ops`, that is called.", &Form::Text),
    key("graph", "The graph, declared under `graphs`, that is called.", &Form::Text),
    key("in", "What its inputs get: `a`, `a.x`, `[a, b]`, `{each: a}`, `{collect: a}`.", &wire::IN),
    key("after", "What must have succeeded before, whatever it gives.", &wire::AFTER),
];
static GRAPH_KEYS: &[Key] = &[
    key("takes", "Its inputs: names, or names with types.", &port::TAKES),
    key("ops", "What it is made of.", &CALLS),
    key("results", "What it gives: `b`, or `{name: b.x}`.", &wire::RESULTS),
    key("description", "What it does, in a sentence.", &Form::Text),
];
/// The value of `ops` of a graph or a job.
pub(super) static CALLS: Form =
    Form::Map(&Form::Named("call", &Form::Table(&[CALL_KEYS, STEP_KEYS, HOOK_KEYS])));
/// The value of `graphs`.
pub(super) static GRAPHS: Form =
    Form::Optional(&Form::Map(&Form::Named("graph", &Form::Table(&[GRAPH_KEYS]))));

/// Calls whose references are not looked up yet.
#[derive(Debug)]
pub(super) struct GraphDraft {
    pub name: String,
    pub place: Place,
    pub inputs: Vec<InputDecl>,
    pub types: Vec<TypeUse>,
    pub calls: Vec<CallDraft>,
    pub results: Vec<ResultDraft>,
}

/// One call.
#[derive(Debug)]
pub(super) struct CallDraft {
    pub name: String,
    pub place: Place,
    pub callee: CalleeDraft,
    pub wires: Vec<WireDraft>,
    pub after: Vec<(String, Place)>,
    /// Of the call; those of an op of its own are with the op.
    pub hooks: Hooks,
    /// Something about it is wrong, so that not everything that follows from it is worth a word.
    pub is_doubtful: bool,
}

/// What is called.
#[derive(Debug)]
pub(super) enum CalleeDraft {
    Own(Box<OpDraft>),
    Op(String, Place),
    Graph(String, Place),
    /// It cannot be read.
    Unknown,
}

impl GraphDraft {
    /// A graph without inputs and results: the ops of a job.
    pub fn of_job(name: &str, place: Place, calls: Vec<CallDraft>) -> GraphDraft {
        let (inputs, types, results) = (Vec::new(), Vec::new(), Vec::new());
        GraphDraft { name: name.to_owned(), place, inputs, types, calls, results }
    }

    pub fn call(&self, name: &str) -> Option<&CallDraft> {
        self.calls.iter().find(|call| call.name == name)
    }
}

pub(super) fn graph(
    name: &str,
    place: Place,
    table: Table<'_>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> GraphDraft {
    let owner = format!("graph `{name}`");
    let known = table.allow(&[GRAPH_KEYS], &owner, sink);
    if let Some(value) = table.get("description") {
        value.text("description", sink);
    }
    let mut types = Vec::new();
    let inputs = table.get("takes").map(|value| port::takes(value, &mut types, None, sink));
    let inputs = inputs.unwrap_or_default();
    let calls = match table.get("ops") {
        Some(value) => calls(&owner, &inputs, value, context, sink),
        None => {
            if known {
                let message = format!("{owner} is made of nothing");
                sink.push(place.error(message).label("no `ops` here"));
            }
            Vec::new()
        }
    };
    for call in &calls {
        if inputs.iter().any(|input| *input.name == *call.name) {
            let message = format!("`{}` is both an input of {owner} and one of its ops", call.name);
            let help = "a name in `in` would mean the input; rename one";
            sink.push(call.place.error(message).label("also an input").help(help));
        }
    }
    let results = table.get("results").map(|value| wire::results(value, &inputs, sink));
    let results = results.unwrap_or_default();
    GraphDraft { name: name.to_owned(), place, inputs, types, calls, results }
}

/// Reads the ops of a graph or a job.
pub(super) fn calls(
    owner: &str,
    around: &[InputDecl],
    value: Value<'_>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> Vec<CallDraft> {
    let Some(table) = value.table("ops", sink) else { return Vec::new() };
    if table.entries.is_empty() {
        sink.push(table.place().error(format!("{owner} is made of nothing")).label("no op"));
    }
    let mut calls: Vec<CallDraft> = Vec::new();
    for (entry, value) in table.iter() {
        // That it is there twice is reported already.
        if calls.iter().any(|call| call.name == entry.key) {
            continue;
        }
        let place = table.key_place(entry);
        let errors = sink.errors();
        let mut call = call(&entry.key, owner, place, around, value, context, sink);
        call.is_doubtful = sink.errors() > errors;
        calls.push(call);
    }
    calls
}

fn call(
    name: &str,
    owner: &str,
    place: Place,
    around: &[InputDecl],
    value: Value<'_>,
    context: &Context<'_>,
    sink: &mut Sink,
) -> CallDraft {
    let mut draft = CallDraft {
        name: name.to_owned(),
        place: place.clone(),
        callee: CalleeDraft::Unknown,
        wires: Vec::new(),
        after: Vec::new(),
        hooks: Hooks::default(),
        is_doubtful: false,
    };
    let Some(table) = value.table(name, sink) else { return draft };
    if let Some(value) = table.get("in") {
        draft.wires = wire::wires(value, around, sink);
    }
    if let Some(value) = table.get("after") {
        draft.after = wire::after(value, sink);
    }
    let ways = ["run", "sql", "use", "graph"].into_iter().filter(|way| table.get(way).is_some());
    let ways: Vec<&str> = ways.collect();
    let owner = format!("op `{name}` of {owner}");
    let own = |sink: &mut Sink| {
        let known = table.allow(&[CALL_KEYS, STEP_KEYS, HOOK_KEYS], &owner, sink);
        let derived = draft.wires.iter().map(|wire| wire::derived(wire, around)).collect();
        let mut op = op::read(name, place.clone(), table, known, derived, context, sink);
        if table.get("takes").is_none() {
            op.types.extend(draft.wires.iter().filter_map(|wire| wire.kind.clone()));
        } else {
            refuse_types(&draft.wires, "`takes` says it", sink);
        }
        CalleeDraft::Own(Box::new(op))
    };
    let callee = match ways.as_slice() {
        ["run" | "sql"] => own(sink),
        [_called] => called(table, &owner, sink),
        [] => {
            // One of the unknown keys probably was to say it.
            if table.allow(&[CALL_KEYS, STEP_KEYS, HOOK_KEYS], &owner, sink) {
                let error = place.error(format!("{owner} does not say what it does"));
                sink.push(error.label("none of `run`, `sql`, `use` and `graph`"));
            }
            CalleeDraft::Unknown
        }
        [first, second, ..] => {
            if let Some(value) = table.get(second) {
                let error =
                    value.place().error(format!("`{first}` and `{second}` exclude each other"));
                sink.push(error.label("second"));
            }
            CalleeDraft::Unknown
        }
    };
    if !matches!(callee, CalleeDraft::Own(_)) {
        draft.hooks = op::hooks(table, sink);
        refuse_types(&draft.wires, "what is called says it", sink);
    }
    draft.callee = callee;
    draft
}

/// A call of what is declared elsewhere: it is wired here, and hooks are added.
fn called(table: Table<'_>, owner: &str, sink: &mut Sink) -> CalleeDraft {
    for entry in table.entries {
        let is = |keys: &[Key]| keys.iter().any(|key| key.name == entry.key);
        if is(CALL_KEYS) || is(HOOK_KEYS) || entry.key == "description" {
            continue;
        }
        let place = table.key_place(entry);
        if is(STEP_KEYS) {
            let message = format!("{owner} is called, so that `{}` has no place here", entry.key);
            let help = "it stands where the op is declared; a call says `in`, `after` and hooks";
            sink.push(place.error(message).label("not of a call").help(help));
        } else {
            let known = [CALL_KEYS, STEP_KEYS, HOOK_KEYS].into_iter().flatten();
            let known = known.map(|key| key.name);
            let message = format!("{owner} has no key `{}`", entry.key);
            let error = place.error(message).label("unknown key");
            sink.push(error.help_if(did_you_mean(&entry.key, known)));
        }
    }
    let name = |key: &str, sink: &mut Sink| {
        let value = table.get(key)?;
        Some((value.text(key, sink)?.to_owned(), value.place()))
    };
    if let Some((name, place)) = name("use", sink) {
        return CalleeDraft::Op(name, place);
    }
    name("graph", sink)
        .map_or(CalleeDraft::Unknown, |(name, place)| CalleeDraft::Graph(name, place))
}

/// A type stands where the input is declared.
fn refuse_types(wires: &[WireDraft], label: &str, sink: &mut Sink) {
    for wire in wires {
        if let Some((_, place)) = &wire.kind {
            let message = format!("the type of the input `{}` is declared elsewhere", wire.input);
            sink.push(place.error(message).label(label));
        }
    }
}
