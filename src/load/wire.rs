//! Reads how a call is wired: `in`, `after`, and what a graph gives.

use super::diagnostic::Place;
use super::form::{Form, Key, TEXTS, key};
use super::node::{Kind, Sink, Table, Value};
use super::port::{TypeUse, is_input, type_of};
use crate::defs::{Entry, InputDecl, Port, Ref, Source, Takes};

static WIRE_KEYS: &[Key] = &[
    key("from", "What is wired: `a`, `a.x`, a list of such.", &FROM),
    key("each", "Each piece of this in turn.", &Form::Text),
    key("collect", "All pieces of this as a list.", &Form::Text),
    key("value", "This value itself.", &Form::Any),
    key("type", "The type that the value must have.", &Form::Text),
];
static ITEM_KEYS: &[Key] = &[key("each", "Each piece of this in turn.", &Form::Text)];
static ITEM: Form = Form::Either(&[&Form::Text, &Form::Table(&[ITEM_KEYS])]);
static FROM: Form = Form::Either(&[&Form::Text, &Form::List(&ITEM)]);
static WIRE: Form = Form::Named(
    "wire",
    &Form::Either(&[&Form::Text, &Form::List(&ITEM), &Form::Table(&[WIRE_KEYS])]),
);
/// The value of `in`.
pub(super) static IN: Form = Form::Map(&WIRE);
/// The value of `after`.
pub(super) static AFTER: Form = Form::Either(&[&Form::Text, &TEXTS]);
/// The value of `results`.
pub(super) static RESULTS: Form = Form::Either(&[&Form::Text, &Form::Map(&Form::Text)]);

/// One wire whose names are not looked up yet.
#[derive(Debug)]
pub(super) struct WireDraft {
    pub input: String,
    /// Of the name of the input.
    pub key: Place,
    /// Of what is wired.
    pub place: Place,
    /// `None`: it cannot be read, and that is reported.
    pub source: Option<Source>,
    pub refs: Vec<(Ref, Place)>,
    pub kind: Option<TypeUse>,
}

/// Reads `in` within a graph that has these inputs.
pub(super) fn wires(value: Value<'_>, around: &[InputDecl], sink: &mut Sink) -> Vec<WireDraft> {
    let Some(table) = value.table("in", sink) else { return Vec::new() };
    let mut wires: Vec<WireDraft> = Vec::new();
    for (entry, value) in table.iter() {
        let key = table.key_place(entry);
        if !is_input(&entry.key, &key, wires.iter().map(|wire| wire.input.as_str()), sink) {
            continue;
        }
        let mut reader = Reader { around, refs: Vec::new(), kind: None };
        let source = reader.source(&entry.key, value, sink);
        let Reader { refs, kind, .. } = reader;
        wires.push(WireDraft {
            input: entry.key.clone(),
            key,
            place: value.place(),
            source,
            refs,
            kind,
        });
    }
    wires
}

struct Reader<'a> {
    around: &'a [InputDecl],
    refs: Vec<(Ref, Place)>,
    kind: Option<TypeUse>,
}

impl Reader<'_> {
    fn source(&mut self, input: &str, value: Value<'_>, sink: &mut Sink) -> Option<Source> {
        match &value.node.kind {
            Kind::Text(_) => self.reference(value, sink).map(Source::One),
            Kind::List(_) => self.list(value, sink),
            Kind::Table(_) => self.table(input, value.as_table()?, sink),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Date(_) => {
                let message = format!("what is wired into `{input}` must be the name of an op");
                let help = format!("a value of its own is written `{{value: {}}}`", value.json());
                sink.push(value.place().error(message).label("no name").help(help));
                None
            }
        }
    }

    fn list(&mut self, value: Value<'_>, sink: &mut Sink) -> Option<Source> {
        let mut entries = Vec::new();
        let mut sound = true;
        for item in value.as_list()? {
            let entry = match item.as_table() {
                Some(table) => {
                    table.allow(&[ITEM_KEYS], "an entry of a list", sink);
                    let each = table.get("each");
                    each.and_then(|each| self.reference(each, sink)).map(Entry::Each)
                }
                None => self.reference(item, sink).map(Entry::One),
            };
            sound &= entry.is_some();
            entries.extend(entry);
        }
        sound.then_some(Source::List(entries))
    }

    fn table(&mut self, input: &str, table: Table<'_>, sink: &mut Sink) -> Option<Source> {
        let known = table.allow(&[WIRE_KEYS], &format!("what is wired into `{input}`"), sink);
        if let Some(value) = table.get("type") {
            let mut types = Vec::new();
            type_of(value, &mut types, sink);
            self.kind = types.pop();
        }
        let ways: Vec<(&str, Value<'_>)> = ["from", "each", "collect", "value"]
            .into_iter()
            .filter_map(|key| Some((key, table.get(key)?)))
            .collect();
        match ways.as_slice() {
            [("value", value)] => Some(Source::Value(value.json())),
            [("each", value)] => self.reference(*value, sink).map(Source::Each),
            [("collect", value)] => self.reference(*value, sink).map(Source::Collect),
            [(_, value)] if value.as_list().is_some() => self.list(*value, sink),
            [(_, value)] => self.reference(*value, sink).map(Source::One),
            [] if !known => None,
            [] => {
                let message = format!("nothing is wired into `{input}`");
                let help = "`from`, `each`, `collect` or `value` says what";
                sink.push(table.place().error(message).help(help));
                None
            }
            [(first, _), (second, value), ..] => {
                let message = format!("`{first}` and `{second}` exclude each other");
                sink.push(value.place().error(message).label("second"));
                None
            }
        }
    }

    fn reference(&mut self, value: Value<'_>, sink: &mut Sink) -> Option<Ref> {
        let found = reference(value, self.around, sink)?;
        self.refs.push((found.clone(), value.place()));
        Some(found)
    }
}

/// `a` is an input of the graph, else the only output of a call; `a.x` an output of a call.
fn reference(value: Value<'_>, around: &[InputDecl], sink: &mut Sink) -> Option<Ref> {
    let text = value.text("in", sink)?;
    if around.iter().any(|input| *input.name == *text) {
        return Some(Ref::Input(text.to_owned()));
    }
    let parts: Vec<&str> = text.split('.').collect();
    match parts.as_slice() {
        [call] if !call.is_empty() => Some(Ref::Port(Port::only(call))),
        [call, output] if !call.is_empty() && !output.is_empty() => {
            Some(Ref::Port(Port::new(call, output)))
        }
        _ => {
            let message = format!("`{text}` names no output");
            let help = "it is `OP` or `OP.OUTPUT`; of a graph, what is among its `results`";
            sink.push(value.place().error(message).label("no name").help(help));
            None
        }
    }
}

/// Reads `after`: one name or several.
pub(super) fn after(value: Value<'_>, sink: &mut Sink) -> Vec<(String, Place)> {
    match value.as_text() {
        Some(text) => vec![(text.to_owned(), value.place())],
        None => value.texts("after", sink),
    }
}

/// One of the values that a graph gives.
#[derive(Debug)]
pub(super) struct ResultDraft {
    pub name: String,
    pub of: Ref,
    pub place: Place,
}

/// Reads `results`: one value without a name, or several with names.
pub(super) fn results(value: Value<'_>, around: &[InputDecl], sink: &mut Sink) -> Vec<ResultDraft> {
    let mut found = Vec::new();
    let mut add = |name: &str, value: Value<'_>, sink: &mut Sink| {
        if let Some(of) = reference(value, around, sink) {
            found.push(ResultDraft { name: name.to_owned(), of, place: value.place() });
        }
    };
    match value.as_table() {
        Some(table) => table.iter().for_each(|(entry, value)| add(&entry.key, value, sink)),
        None => add("result", value, sink),
    }
    found
}

/// The input that follows from a wire, where an op does not declare its inputs.
pub(super) fn derived(wire: &WireDraft, around: &[InputDecl]) -> InputDecl {
    let (takes, of_graph) = match &wire.source {
        Some(Source::List(_) | Source::Collect(_)) => (Takes::Many, None),
        Some(Source::One(Ref::Input(name))) => {
            let input = around.iter().find(|input| *input.name == **name);
            (input.map_or(Takes::One, |input| input.takes), input.map(|input| &input.kind))
        }
        Some(Source::One(Ref::Port(_)) | Source::Each(_) | Source::Value(_)) | None => {
            (Takes::One, None)
        }
    };
    let kind = wire.kind.as_ref().map(|(kind, _)| kind).or(of_graph).cloned().unwrap_or_default();
    InputDecl { name: wire.input.as_str().into(), takes, kind }
}
