//! Reads what can be configured, and judges the values that files give for it at their places.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::diagnostic::{Place, SourceText};
use super::form::Form;
use super::node::{Node, Sink, Table, Value};
use crate::defs::config::{Schema, Segment};
use crate::defs::{Job, PartitionsDef, template};

/// The value of `values`.
pub(super) static VALUES: Form = Form::Map(&Form::Any);
/// The value of `presets`.
pub(super) static PRESETS: Form = Form::Map(&VALUES);

/// Reads a schema; its errors stand at the values that they are about.
pub(super) fn schema(value: Value<'_>, sink: &mut Sink) -> Option<Schema> {
    match Schema::parse_root(&value.json()) {
        Ok(schema) => Some(schema),
        Err(errors) => {
            for error in errors.0 {
                let place = at(value, &error.path.0);
                sink.push(place.error(format!("`config`: {error}")).label("in this schema"));
            }
            None
        }
    }
}

/// The place of a part of a value; of the nearest that is there.
pub(super) fn at(value: Value<'_>, path: &[Segment]) -> Place {
    let mut at = value;
    for segment in path {
        let next = match segment {
            Segment::Field(name) | Segment::Entry(name) | Segment::Key(name) => {
                at.as_table().and_then(|table| table.get(name))
            }
            Segment::Item(item) => at.as_list().and_then(|mut items| items.nth(*item)),
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    at.place()
}

/// Sets of values of a job with the places of all that is in them.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// What each set is called in messages.
    sets: Vec<(String, Arc<SourceText>, Node)>,
}

impl Given {
    /// The values of a job and its presets.
    pub fn read(table: Table<'_>, sink: &mut Sink) -> (Given, Json, BTreeMap<String, Json>) {
        let mut given = Given::default();
        let mut keep = |what: String, value: Value<'_>| {
            given.sets.push((what, Arc::clone(value.file), value.node.clone()));
            value.json()
        };
        let values = table.get("values").filter(|value| value.table("values", sink).is_some());
        let values = values.map_or(Json::Null, |value| keep("the values".to_owned(), value));
        let presets = table.get("presets").and_then(|value| value.table("presets", sink));
        let mut named = BTreeMap::new();
        for (entry, value) in presets.into_iter().flat_map(Table::iter) {
            if value.table(&entry.key, sink).is_some() {
                let what = format!("the preset `{}`", entry.key);
                named.insert(entry.key.clone(), keep(what, value));
            }
        }
        (given, values, named)
    }

    /// Values may lack what a launch is to give; whatever they say must fit. What a template stands for
    /// is known at a launch only.
    pub fn check(&self, job: &Job, sink: &mut Sink) {
        let name = &job.name;
        let has_templates = job.partitions != PartitionsDef::Unpartitioned;
        for (what, file, node) in &self.sets {
            let value = Value { file, node };
            let mut given = value.json();
            if has_templates {
                for (path, error) in template::mistakes(&given, &job.partitions) {
                    let error =
                        at(value, &path.0).error(format!("{what} of job `{name}`: {error}"));
                    sink.push(error.label("in braces"));
                }
                given = template::without(&given);
            }
            for error in job.mistakes(&given) {
                let place = at(value, &error.path.0);
                sink.push(place.error(format!("{what} of job `{name}`: {error}")));
            }
        }
    }
}
