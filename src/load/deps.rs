//! Reads `deps`: which upstream assets, by which mapping, and whether partitions may be missing.

use super::asset::Fields;
use super::diagnostic::Place;
use super::form::{Form, Key, TEXTS, key};
use super::node::{Kind, Sink, Table, Value};
use crate::base::{AssetKey, PartitionKey};
use crate::defs::{MappingDef, Missing};

const MISSING: &[&str] = &["allow", "error"];
static DEP_KEYS: &[Key] = &[
    key("map", "Which partitions are read: `all`, `window(-6d, 0d)`, `last(7)`.", &MAPPING),
    key("missing", "Whether a partition that is not there is an error.", &Form::Word(MISSING)),
];
static STATIC_MAPPING: Form =
    Form::Map(&Form::Either(&[&Form::Written, &Form::List(&Form::Written)]));
static MAPPING: Form = Form::Either(&[&Form::Text, &STATIC_MAPPING]);
static FROM_KEYS: &[Key] =
    &[key("from", "Of an asset with a `graph`: the asset that the input is.", &Form::Text)];
static DEP: Form = Form::Either(&[&Form::Text, &Form::Table(&[DEP_KEYS, FROM_KEYS])]);
/// The value of `deps`.
pub(super) static DEPS: Form = Form::Either(&[&TEXTS, &Form::Map(&DEP)]);

/// One declared dependency whose name is not looked up yet.
#[derive(Debug, Clone)]
pub(super) struct DepDraft {
    pub upstream: AssetKey,
    pub place: Place,
    pub mapping: MappingDef,
    pub mapping_place: Place,
    pub missing: Missing,
}

pub(super) fn read(fields: &Fields<'_>, sink: &mut Sink) -> Vec<DepDraft> {
    let Some(value) = fields.get("deps") else { return Vec::new() };
    let mut deps: Vec<DepDraft> = Vec::new();
    let mut add = |dep: Option<DepDraft>, sink: &mut Sink| {
        let Some(dep) = dep else { return };
        if let Some(first) = deps.iter().find(|it| it.upstream == dep.upstream) {
            sink.push(
                dep.place
                    .error(format!("`{}` is named twice in `deps`", dep.upstream))
                    .label("again here")
                    .related(first.place.span.clone(), "first here"),
            );
        } else {
            deps.push(dep);
        }
    };
    match &value.node.kind {
        Kind::List(_) => {
            for (name, place) in value.texts("deps", sink) {
                add(draft(&name, place, sink), sink);
            }
        }
        Kind::Table(_) => {
            for (entry, value) in value.as_table().into_iter().flat_map(|table| table.iter()) {
                let place = Place { span: entry.key_span.clone(), ..value.place() };
                let dep = draft(&entry.key, place, sink);
                add(dep.and_then(|dep| with_mapping(dep, value, sink)), sink);
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::Date(_) => sink.push(
            value
                .place()
                .error("`deps` must be a list of names, or a table from names to mappings")
                .label("expected a list or a table"),
        ),
    }
    deps
}

fn draft(name: &str, place: Place, sink: &mut Sink) -> Option<DepDraft> {
    match AssetKey::parse(name) {
        Ok(upstream) => Some(DepDraft {
            upstream,
            mapping: MappingDef::Default,
            mapping_place: place.clone(),
            place,
            missing: Missing::Error,
        }),
        Err(error) => {
            sink.push(place.error(error.to_string()).label("no name"));
            None
        }
    }
}

fn with_mapping(mut dep: DepDraft, value: Value<'_>, sink: &mut Sink) -> Option<DepDraft> {
    let Some(table) = value.as_table() else {
        dep.mapping = mapping(value, sink)?;
        dep.mapping_place = value.place();
        return Some(dep);
    };
    table.allow(&[DEP_KEYS], &format!("the dependency `{}`", dep.upstream), sink);
    mapped(dep, table, sink)
}

fn mapped(mut dep: DepDraft, table: Table<'_>, sink: &mut Sink) -> Option<DepDraft> {
    if let Some(map) = table.get("map") {
        dep.mapping = mapping(map, sink)?;
        dep.mapping_place = map.place();
    }
    if let Some(missing) = table.get("missing") {
        dep.missing = match missing.word("missing", MISSING, sink)? {
            "allow" => Missing::Allow,
            _ => Missing::Error,
        };
    }
    Some(dep)
}

/// Reads the `deps` of an asset with a graph: which asset each input of the graph is, `{x: revenue}` or
/// `{x: {from: revenue, map: all}}`, or names of assets that are inputs of the same names.
pub(super) fn of_graph(value: Value<'_>, sink: &mut Sink) -> Vec<(String, DepDraft)> {
    let mut deps: Vec<(String, DepDraft)> = Vec::new();
    let Some(table) = value.as_table() else {
        for (name, place) in value.texts("deps", sink) {
            let dep = draft(&name, place, sink);
            deps.extend(dep.map(|dep| (dep.upstream.variable(), dep)));
        }
        return deps;
    };
    for (entry, value) in table.iter() {
        let dep = match value.as_table() {
            None => value.text(&entry.key, sink).and_then(|name| draft(name, value.place(), sink)),
            Some(table) => {
                table.allow(&[DEP_KEYS, FROM_KEYS], &format!("the input `{}`", entry.key), sink);
                match table.get("from") {
                    Some(from) => {
                        let name = from.text("from", sink);
                        let dep = name.and_then(|name| draft(name, from.place(), sink));
                        dep.and_then(|dep| mapped(dep, table, sink))
                    }
                    None => {
                        let message =
                            format!("the input `{}` does not say which asset it is", entry.key);
                        sink.push(table.place().error(message).label("no `from` here"));
                        None
                    }
                }
            }
        };
        deps.extend(dep.map(|dep| (entry.key.clone(), dep)));
    }
    deps
}

/// A mapping as text, or a table from upstream keys to the downstream keys that read them.
fn mapping(value: Value<'_>, sink: &mut Sink) -> Option<MappingDef> {
    if let Some(table) = value.as_table() {
        let mut pairs = Vec::new();
        for (entry, value) in table.iter() {
            let upstream = PartitionKey::new(entry.key.as_str());
            let values: Vec<_> = match value.as_list() {
                Some(items) => items.collect(),
                None => vec![value],
            };
            for value in values {
                let downstream = PartitionKey::new(value.written("map", sink)?);
                pairs.push((upstream.clone(), downstream));
            }
        }
        return Some(MappingDef::Static(pairs));
    }
    let text = value.text("map", sink)?;
    match MappingDef::parse(text) {
        Ok(mapping) => Some(mapping),
        Err(reason) => {
            sink.push(value.place().error(reason).label("no mapping"));
            None
        }
    }
}
