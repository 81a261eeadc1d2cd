//! Reads `jobs`: a selection of assets with a schema of what can be configured, values and presets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::asset::{TAGS, tags};
use super::diagnostic::{Place, did_you_mean};
use super::form::{Form, Key, key};
use super::node::{Sink, Table, Value};
use crate::base::{AssetKey, JobName};
use crate::defs::config::{Schema, Segment};
use crate::defs::{
    Hooks, Job, Origin, PartitionsDef, Project, Selection, SelectionErrorKind, Work,
};

static KEYS: &[Key] = &[
    key("select", "Which assets: `+model`, `tag:mart`.", &Form::Text),
    key("config", "What can be configured, as a schema: `{lr: float}`.", &Form::Any),
    key("values", "Values that hold unless a launch gives others.", &ANY_MAP),
    key("presets", "Further sets of values, by name.", &PRESETS),
    key("tags", "Labels of its runs.", &TAGS),
    key("description", "What it does, in a sentence.", &Form::Text),
];
static ANY_MAP: Form = Form::Map(&Form::Any);
static PRESETS: Form = Form::Map(&ANY_MAP);
static JOB: Form = Form::Named("job", &Form::Table(&[KEYS]));
/// The value of `jobs`.
pub(super) static JOBS: Form = Form::Optional(&Form::Map(&JOB));

/// A job whose selection is not looked up yet.
#[derive(Debug)]
pub(super) struct Draft {
    job: Job,
    selection: Selection,
    place: Place,
    select: Place,
}

pub(super) fn read(name: &str, place: Place, table: Table<'_>, sink: &mut Sink) -> Option<Draft> {
    let errors = sink.errors();
    let name = match JobName::parse(name) {
        Ok(name) => name,
        Err(error) => {
            sink.push(place.error(error.to_string()).label("no name"));
            return None;
        }
    };
    let known = table.allow(&[KEYS], &format!("job `{name}`"), sink);
    let Some(select) = table.get("select") else {
        if known {
            let help = "for example `select: \"+model\"`";
            let message = format!("job `{name}` does not say what it is about");
            sink.push(place.error(message).label("no `select` here").help(help));
        }
        return None;
    };
    let text = select.text("select", sink)?;
    let selection = match Selection::parse(text) {
        Ok(selection) if selection.asks_for_status() => {
            let message = "the assets of a job are the same whatever their state";
            sink.push(select.place().error(message).label("asks for states"));
            return None;
        }
        Ok(selection) => selection,
        Err(error) => {
            sink.push(select.place().error(error.to_string()).label("no selection"));
            return None;
        }
    };
    let config = table.get("config").map_or(Some(Schema::shape([])), |value| schema(value, sink));
    let job = Job {
        origin: Origin { file: place.path().to_path_buf(), line: place.line() },
        work: Work::Select(selection.clone()),
        config: config?,
        values: table.get("values").map_or(Json::Null, Value::json),
        presets: presets(table, sink),
        partitions: PartitionsDef::Unpartitioned,
        hooks: Hooks::default(),
        tags: table.get("tags").map(|value| tags(value, sink)).unwrap_or_default(),
        description: table
            .get("description")
            .and_then(|value| value.text("description", sink))
            .map(str::to_owned),
        name,
    };
    check_values(&job, table, sink);
    let select = select.place();
    (sink.errors() == errors).then_some(Draft { job, selection, place, select })
}

fn presets(table: Table<'_>, sink: &mut Sink) -> BTreeMap<String, Json> {
    let Some(presets) = table.get("presets").and_then(|value| value.table("presets", sink)) else {
        return BTreeMap::new();
    };
    presets.iter().map(|(entry, value)| (entry.key.clone(), value.json())).collect()
}

/// Errors of a schema stand at the values that they are about.
fn schema(value: Value<'_>, sink: &mut Sink) -> Option<Schema> {
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

/// Values may lack what a launch is to give; whatever they say must fit.
fn check_values(job: &Job, table: Table<'_>, sink: &mut Sink) {
    let mut check = |what: String, value: Value<'_>, given: &Json| {
        for error in job.mistakes(given) {
            let place = at(value, &error.path.0);
            sink.push(place.error(format!("{what} of job `{}`: {error}", job.name)));
        }
    };
    if let Some(value) = table.get("values") {
        check("the values".to_owned(), value, &job.values);
    }
    let Some(presets) = table.get("presets").and_then(Value::as_table) else { return };
    for (entry, value) in presets.iter() {
        if let Some(given) = job.presets.get(&entry.key) {
            check(format!("the preset `{}`", entry.key), value, given);
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

/// Looks up what the jobs select, once it is known which assets there are.
pub(super) fn resolve(
    drafts: Vec<Draft>,
    project: &Project,
    sink: &mut Sink,
) -> BTreeMap<JobName, Arc<Job>> {
    let mut jobs: BTreeMap<JobName, Arc<Job>> = BTreeMap::new();
    for Draft { job, selection, place, select } in drafts {
        if let Some(first) = jobs.get(&job.name) {
            let at = format!("{}:{}", first.origin.file.display(), first.origin.line);
            let diagnostic = place.error(format!("job `{}` is declared twice", job.name));
            sink.push(
                diagnostic.label("declared again").help(format!("it is first declared at {at}")),
            );
            continue;
        }
        match selection.select(project, &|_| BTreeSet::new()) {
            Ok(assets) => {
                warn_of_unread(&job, &assets, project, &place, sink);
                jobs.insert(job.name.clone(), Arc::new(job));
            }
            // What it needs is broken, and that is reported where it is.
            Err(error) if matches!(error.kind, SelectionErrorKind::Broken(_)) => {}
            Err(error) => {
                let message = format!("job `{}`: {error}", job.name);
                sink.push(select.error(message).label(error.label).help_if(error.help));
            }
        }
    }
    jobs
}

/// A configured value that no asset has changes nothing.
fn warn_of_unread(
    job: &Job,
    assets: &BTreeSet<AssetKey>,
    project: &Project,
    place: &Place,
    sink: &mut Sink,
) {
    let read = job.readable(project, assets);
    for (name, _) in job.config.fields().into_iter().flat_map(|fields| fields.iter()) {
        if !read.contains(name) {
            let message = format!("job `{}` configures `{name}`, which no asset has", job.name);
            let help = did_you_mean(name, read.iter().map(String::as_str))
                .unwrap_or_else(|| format!("an asset has it by `config: {{{name}: ..}}`"));
            sink.push(place.warning(message).label("changes nothing").help(help));
        }
    }
}
