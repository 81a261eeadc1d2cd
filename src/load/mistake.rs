//! Puts the mistakes of a graph where they are in its file, with what stands there and what to do.

use super::calls::{CallDraft, GraphDraft};
use super::diagnostic::{Place, did_you_mean};
use super::library::Built;
use super::node::Sink;
use crate::defs::{GraphMistake, GraphMistakeKind as Kind, MistakeAt, Ref};

/// Reports the mistakes that its compilation found in a graph.
pub(super) fn report(
    owner: &str,
    draft: &GraphDraft,
    mistakes: Vec<GraphMistake>,
    built: &mut Built,
    sink: &mut Sink,
) {
    for mistake in mistakes {
        if follows(&mistake, draft, built) {
            continue;
        }
        let place = place(&mistake, draft);
        let (label, help) = advice(&mistake.kind);
        let help = match &mistake.kind {
            Kind::UnknownCall { name, similar: None } => {
                did_you_mean(name, draft.inputs.iter().map(|input| &*input.name))
            }
            _ => help,
        };
        let error = place.error(format!("{owner}: {mistake}")).label(label).help_if(help);
        sink.noting(&mut built.faults, |sink| sink.push(error));
    }
}

/// Whether it only follows from a mistake that is told already.
fn follows(mistake: &GraphMistake, draft: &GraphDraft, built: &Built) -> bool {
    let call = draft.call(&mistake.path);
    let outer = mistake.path.split('.').next().filter(|_| call.is_none());
    if outer.is_some_and(|outer| built.doubtful.contains(outer)) {
        return true;
    }
    if let (Some(call), MistakeAt::Wire(input)) = (call, &mistake.at)
        && call.wires.iter().any(|wire| wire.input == *input && wire.source.is_none())
    {
        return true;
    }
    let is_doubtful = |name: &str| {
        let call = name.split('.').next().unwrap_or(name);
        built.doubtful.contains(call)
    };
    let of_itself = call.is_some_and(|call| is_doubtful(&call.name));
    match &mistake.kind {
        // A key that is there twice is told where the file is read.
        Kind::NameTwice | Kind::WiredTwice { .. } => true,
        Kind::UnknownInput { .. }
        | Kind::NotWired { .. }
        | Kind::ListForOne { .. }
        | Kind::TwoDynamics { .. }
        | Kind::NestedDynamic { .. } => of_itself,
        Kind::UnknownOutput { call, .. } | Kind::WhichOutput { call, .. } => is_doubtful(call),
        Kind::DynamicDirect { from, .. }
        | Kind::NotDynamic { from, .. }
        | Kind::OneForMany { from, .. }
        | Kind::TypeClash { from, .. } => of_itself || is_doubtful(from),
        Kind::Name { .. }
        | Kind::UnknownCall { .. }
        | Kind::UnknownGraphInput { .. }
        | Kind::MapOfInput { .. }
        | Kind::Circle { .. }
        | Kind::ListInList { .. }
        | Kind::TooDeep
        | Kind::TooMany { .. } => false,
    }
}

/// Where in the file of the graph; a mistake within a graph that it calls is at the call.
fn place(mistake: &GraphMistake, draft: &GraphDraft) -> Place {
    let (name, deeper) = match mistake.path.split_once('.') {
        Some((name, _)) if draft.call(&mistake.path).is_none() => (name, true),
        Some(_) | None => (mistake.path.as_str(), false),
    };
    if let MistakeAt::Result(result) = &mistake.at
        && !deeper
    {
        let result = draft.results.iter().find(|it| it.name == *result);
        return result.map_or_else(|| draft.place.clone(), |it| it.place.clone());
    }
    let Some(call) = draft.call(name) else { return draft.place.clone() };
    if deeper {
        return call.place.clone();
    }
    match &mistake.at {
        MistakeAt::Call => match &mistake.kind {
            Kind::Circle { calls } => calls.last().and_then(|last| wired_from(call, last)),
            _ => None,
        },
        MistakeAt::Wire(input) => wire(call, input, &mistake.kind),
        MistakeAt::After(name) => {
            call.after.iter().find(|(after, _)| after == name).map(|(_, place)| place.clone())
        }
        MistakeAt::Result(_) => None,
    }
    .unwrap_or_else(|| call.place.clone())
}

/// Where a call waits for another one.
fn wired_from(call: &CallDraft, other: &str) -> Option<Place> {
    let refs = call.wires.iter().flat_map(|wire| &wire.refs);
    let refs = refs.filter_map(|(of, place)| match of {
        Ref::Port(port) => Some((port.call.as_str(), place)),
        Ref::Input(_) => None,
    });
    let after = call.after.iter().map(|(name, place)| (name.as_str(), place));
    refs.chain(after).find(|(name, _)| *name == other).map(|(_, place)| place.clone())
}

/// Where a wire has the name that a mistake is about; the wire as a whole, if it is about no name.
fn wire(call: &CallDraft, input: &str, kind: &Kind) -> Option<Place> {
    let wire = call.wires.iter().find(|wire| wire.input == input)?;
    let is = |of: &Ref| match kind {
        Kind::UnknownCall { name, .. } => match of {
            Ref::Port(port) => port.call == *name,
            Ref::Input(_) => false,
        },
        Kind::UnknownOutput { call, output, .. } => match of {
            Ref::Port(port) => port.call == *call && port.output.as_ref() == Some(output),
            Ref::Input(_) => false,
        },
        Kind::WhichOutput { call, .. } => of.to_string() == *call,
        Kind::DynamicDirect { from, .. } | Kind::NotDynamic { from, .. } => of.to_string() == *from,
        Kind::Name { .. }
        | Kind::NameTwice
        | Kind::UnknownGraphInput { .. }
        | Kind::UnknownInput { .. }
        | Kind::WiredTwice { .. }
        | Kind::NotWired { .. }
        | Kind::MapOfInput { .. }
        | Kind::TwoDynamics { .. }
        | Kind::NestedDynamic { .. }
        | Kind::Circle { .. }
        | Kind::OneForMany { .. }
        | Kind::ListForOne { .. }
        | Kind::ListInList { .. }
        | Kind::TypeClash { .. }
        | Kind::TooDeep
        | Kind::TooMany { .. } => false,
    };
    if matches!(kind, Kind::UnknownInput { .. }) {
        return Some(wire.key.clone());
    }
    let named = wire.refs.iter().find(|(of, _)| is(of)).map(|(_, place)| place.clone());
    Some(named.unwrap_or_else(|| wire.place.clone()))
}

/// What stands at the place, and what to do where the message does not say it.
fn advice(kind: &Kind) -> (&'static str, Option<String>) {
    let (label, help) = match kind {
        Kind::Name { .. } => ("no name", None),
        Kind::NameTwice => ("again here", None),
        Kind::UnknownCall { .. } | Kind::UnknownGraphInput { .. } => {
            ("nothing has this name", None)
        }
        Kind::UnknownOutput { .. } => ("no such output", None),
        Kind::WhichOutput { .. } => ("which of its outputs?", None),
        Kind::UnknownInput { .. } => ("unknown input", None),
        Kind::WiredTwice { .. } => ("again here", None),
        Kind::NotWired { input } => {
            ("not wired", Some(format!("`in: {{{input}: NAME}}` wires it")))
        }
        Kind::DynamicDirect { from, .. } => (
            "gives pieces",
            Some(format!("`{{each: {from}}}` maps over them, `{{collect: {from}}}` collects them")),
        ),
        Kind::NotDynamic { .. } => ("gives one value", None),
        Kind::MapOfInput { .. } => ("one value here", None),
        Kind::TwoDynamics { .. } => ("mapped twice", None),
        Kind::NestedDynamic { .. } => ("pieces of pieces", None),
        Kind::Circle { .. } => ("leads back", None),
        Kind::OneForMany { .. } => ("one value", None),
        Kind::ListForOne { .. } | Kind::ListInList { .. } => ("a list", None),
        Kind::TypeClash { .. } => ("can never fit", None),
        Kind::TooDeep => ("too deep", None),
        Kind::TooMany { .. } => ("has most of them", None),
    };
    (label, help)
}
