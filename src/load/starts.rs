//! Reads what a sensor or a schedule starts: a job or assets, with values in which words stand for what
//! the trigger knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::asset::tags;
use super::diagnostic::{Place, did_you_mean};
use super::node::{Faults, Sink, Table, Value};
use super::types::{Declared, twice};
use crate::base::JobName;
use crate::defs::source::is_date_format;
use crate::defs::{Project, Selection, SelectionErrorKind, Starts, template};

/// What may stand in braces.
pub(super) struct Words {
    pub known: Vec<String>,
    /// Those of them that may have a form, as in `{tick:%Y-%m-%d}`.
    pub times: &'static [&'static str],
}

/// One of which nothing is looked up yet.
pub(super) struct Draft<T> {
    pub def: Option<T>,
    pub name: JobName,
    pub place: Place,
    /// Where its job or its selection is said.
    pub starts: Option<Place>,
    pub faults: Faults,
}

/// Its name; what is none is reported.
pub(super) fn name(text: &str, place: &Place, sink: &mut Sink) -> Option<JobName> {
    match JobName::parse(text) {
        Ok(name) => Some(name),
        Err(error) => {
            sink.push(place.error(error.to_string()).label("no name"));
            None
        }
    }
}

/// Where it is said what is started.
pub(super) fn place(table: Table<'_>) -> Option<Place> {
    table.get("job").or_else(|| table.get("select")).map(Value::place)
}

/// `owner` is as in "sensor `inbox`".
pub(super) fn read(
    owner: &str,
    place: &Place,
    table: Table<'_>,
    words: &Words,
    sink: &mut Sink,
) -> Option<Starts> {
    let partition =
        table.get("partition").and_then(|value| phrase(value, "partition", words, sink));
    match (table.get("job"), table.get("select")) {
        (Some(job), None) => {
            let text = job.text("job", sink)?;
            let job = name(text, &job.place(), sink)?;
            let config = match table.get("config") {
                None => serde_json::Value::Null,
                Some(value) => {
                    check_all(value, words, sink);
                    value.json()
                }
            };
            Some(Starts::Job { job, config, partition })
        }
        (None, Some(select)) => {
            if let Some(config) = table.get("config") {
                let error = config.place().error("`config` is of jobs");
                sink.push(error.label("assets are selected here"));
            }
            let text = select.text("select", sink)?;
            match Selection::parse(text) {
                Ok(select) => Some(Starts::Assets { select, partition }),
                Err(error) => {
                    sink.push(select.place().error(error.to_string()).label("no selection"));
                    None
                }
            }
        }
        (Some(_), Some(select)) => {
            let error = select.place().error("`job` and `select` exclude each other");
            sink.push(error.label("second"));
            None
        }
        (None, None) => {
            let error = place.error(format!("{owner} does not say what it starts"));
            let help = "for example `job: process`, or `select: \"+model\"`";
            sink.push(error.label("neither `job` nor `select`").help(help));
            None
        }
    }
}

/// Reads the labels of its runs.
pub(super) fn read_tags(
    table: Table<'_>,
    words: &Words,
    sink: &mut Sink,
) -> BTreeMap<String, String> {
    let Some(value) = table.get("tags") else { return BTreeMap::new() };
    check_all(value, words, sink);
    tags(value, sink)
}

/// A text with words in braces.
pub(super) fn phrase(
    value: Value<'_>,
    what: &str,
    words: &Words,
    sink: &mut Sink,
) -> Option<String> {
    let text = value.written(what, sink)?;
    check(&text, &value.place(), words, sink);
    Some(text)
}

fn check(text: &str, place: &Place, words: &Words, sink: &mut Sink) {
    let found = match template::words(text) {
        Ok(found) => found,
        Err(error) => return sink.push(place.error(error.to_string()).label("in this text")),
    };
    for (word, form) in found {
        let known = &words.known;
        let error = match form {
            _ if !known.contains(&word) => {
                let help = did_you_mean(&word, known.iter().map(String::as_str))
                    .unwrap_or_else(|| format!("known are `{}`", known.join("`, `")));
                let message = format!("nothing is known as `{{{word}}}` here");
                place.error(message).help(help)
            }
            Some(form) if !words.times.contains(&word.as_str()) => {
                let message = format!("`{{{word}:{form}}}` has a form, and `{word}` is no time");
                place.error(message).help(format!("it is `{{{word}}}`"))
            }
            Some(form) if !is_date_format(&form) => {
                let message = format!("`{form}` is no form of a time");
                place.error(message).help("for example `%Y-%m-%d` or `%H:%M`")
            }
            Some(_) | None => continue,
        };
        sink.push(error.label("in this text"));
    }
}

/// Every text of a value.
fn check_all(value: Value<'_>, words: &Words, sink: &mut Sink) {
    if let Some(text) = value.as_text() {
        check(text, &value.place(), words, sink);
    } else if let Some(list) = value.as_list() {
        list.for_each(|item| check_all(item, words, sink));
    } else if let Some(table) = value.as_table() {
        table.iter().for_each(|(_, item)| check_all(item, words, sink));
    }
}

/// What one of them needs of the project.
pub(super) struct Needs<T> {
    pub starts: fn(&T) -> &Starts,
    /// What else it names that is not there.
    pub lacks: fn(&T, &Project) -> Option<String>,
}

/// Looks up what they need; `kind` is as in "sensor".
pub(super) fn resolve<T>(
    kind: &str,
    drafts: Vec<Draft<T>>,
    needs: Needs<T>,
    project: &Project,
    sink: &mut Sink,
) -> BTreeMap<JobName, Arc<T>> {
    let mut all: BTreeMap<JobName, Declared<Option<T>>> = BTreeMap::new();
    for draft in drafts {
        let Draft { def, name, place, starts, mut faults } = draft;
        if let Some(first) = all.get_mut(&name) {
            twice(kind, name.as_str(), &place, first, sink);
            continue;
        }
        let mut is_lost = false;
        if let (Some(def), Some(at)) = (&def, &starts) {
            let owner = format!("{kind} `{name}`");
            let starts = (needs.starts)(def);
            is_lost =
                !sink.noting(&mut faults, |sink| can_start(starts, &owner, at, project, sink));
        }
        if let Some(lacking) = def.as_ref().and_then(|def| (needs.lacks)(def, project)) {
            let error = place.error(format!("{kind} `{name}`: {lacking}"));
            sink.noting(&mut faults, |sink| sink.push(error.label("not declared")));
            is_lost = true;
        }
        let def = def.filter(|_| !is_lost);
        all.insert(name, Declared { def, place, faults });
    }
    let sound = all.into_iter().filter(|(_, declared)| declared.faults.is_empty());
    sound.filter_map(|(name, declared)| Some((name, Arc::new(declared.def?)))).collect()
}

/// False where it cannot be started; that what it needs is broken is reported where it is.
fn can_start(starts: &Starts, owner: &str, at: &Place, project: &Project, sink: &mut Sink) -> bool {
    match starts {
        Starts::Job { job, .. } => {
            let is_there = project.jobs.contains_key(job);
            if !is_there {
                let help = did_you_mean(job.as_str(), project.jobs.keys().map(JobName::as_str));
                let error = at.error(format!("there is no sound job `{job}`"));
                sink.push(error.label("not declared").help_if(help));
            }
            is_there
        }
        Starts::Assets { select, .. } => match select.select(project, &|_| BTreeSet::new()) {
            Ok(_) => true,
            Err(error) => {
                if !matches!(error.kind, SelectionErrorKind::Broken(_)) {
                    let message = format!("{owner}: {error}");
                    sink.push(at.error(message).label(error.label).help_if(error.help));
                }
                false
            }
        },
        Starts::Told => true,
    }
}
