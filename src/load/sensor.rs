//! Reads `sensors`: what is looked at, when a file is whole, and which runs that asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::asset::{TAGS, tags};
use super::diagnostic::{Place, did_you_mean};
use super::form::{Form, Key, TEXTS, key};
use super::node::{Faults, Sink, Table, Value, repeated_below};
use super::types::{Declared, twice};
use super::{policy, source};
use crate::base::JobName;
use crate::defs::template;
use crate::defs::{
    DirectoryDef, FileEvent, Origin, PathPattern, Project, Ready, Selection, SelectionErrorKind,
    Sensor, Starts, Trigger,
};

/// What a directory sensor looks at.
static WATCH_KEYS: &[Key] = &[
    key("watch", "Which files: `inbox/*.csv`, `inbox/{date:%Y-%m-%d}/{name}.csv`.", &Form::Text),
    key("recursive", "Whether files of such names count in all directories below.", &Form::Bool),
    key("ignore", "Globs of names that are left out.", &TEXTS),
    key("settle", "How long nothing may have happened to a file: `2s`.", &Form::Duration),
    key(
        "ready",
        "When a file is whole: `closed`, `renamed`, `stable:5s`, `marker:_DONE`.",
        &Form::Text,
    ),
    key("events", "What counts: `new`, `changed`, `removed`.", &EVENTS),
];
/// What any sensor has.
static KEYS: &[Key] = &[
    key("job", "The job that is run.", &Form::Text),
    key("select", "The assets that are brought up to date.", &Form::Text),
    key(
        "partition",
        "Of the job or the assets: which; `{stem}` is the name of the file.",
        &Form::Text,
    ),
    key("config", "Values for the job; texts may hold `{path}`.", &Form::Any),
    key("run_key", "There is one run for each: `{path}:{hash}` if not given.", &Form::Text),
    key("tags", "Labels of its runs.", &TAGS),
    key("interval", "It is not asked more often than this.", &Form::Duration),
    key("timeout", "How long it may take to answer.", &Form::Duration),
    key(
        "enabled",
        "Whether it is on unless somebody switches it: `true` if not given.",
        &Form::Bool,
    ),
    key("description", "What it does, in a sentence.", &Form::Text),
];
static EVENTS: Form = Form::List(&Form::Word(EVENT_WORDS));
const EVENT_WORDS: &[&str] = &["new", "changed", "removed"];
static SENSOR: Form = Form::Named("sensor", &Form::Table(&[WATCH_KEYS, KEYS]));
/// The value of `sensors`.
pub(super) static SENSORS: Form = Form::Optional(&Form::Map(&SENSOR));

/// What is known of a file, as words of templates.
pub(super) const FILE_WORDS: [&str; 8] =
    ["path", "name", "stem", "ext", "dir", "hash", "size", "event"];

/// Files that other programs are still at.
const IGNORED: [&str; 6] = [".*", "*.tmp", "*.part", "*.crdownload", "~$*", "*~"];

const TIMEOUT: Duration = Duration::from_secs(60);

/// A sensor of which nothing is looked up yet.
pub(super) struct Draft {
    sensor: Option<Sensor>,
    name: JobName,
    place: Place,
    /// Where its job or its selection is said.
    starts: Option<Place>,
    faults: Faults,
}

pub(super) fn read(
    name: &str,
    place: Place,
    value: Value<'_>,
    settle: Duration,
    sink: &mut Sink,
) -> Option<Draft> {
    let name = match JobName::parse(name) {
        Ok(name) => name,
        Err(error) => {
            sink.push(place.error(error.to_string()).label("no name"));
            return None;
        }
    };
    let mut faults = Faults::new();
    let found = sink.noting(&mut faults, |sink| {
        repeated_below(value, sink);
        let table = value.table(name.as_str(), sink)?;
        table.allow(&[WATCH_KEYS, KEYS], &format!("sensor `{name}`"), sink);
        let starts = table.get("job").or_else(|| table.get("select")).map(Value::place);
        Some((sensor(&name, &place, table, settle, sink), starts))
    });
    let (sensor, starts) = found.unwrap_or((None, None));
    Some(Draft { sensor, name, place, starts, faults })
}

fn sensor(
    name: &JobName,
    place: &Place,
    table: Table<'_>,
    settle: Duration,
    sink: &mut Sink,
) -> Option<Sensor> {
    let Some(watch) = table.get("watch") else {
        let error = place.error(format!("sensor `{name}` does not say what it looks at"));
        sink.push(error.label("no `watch` here").help("for example `watch: \"inbox/*.csv\"`"));
        return None;
    };
    let directory = directory(watch, table, settle, sink)?;
    let mut known: Vec<String> = FILE_WORDS.iter().map(|it| (*it).to_owned()).collect();
    known.extend(directory.pattern.captures().map(str::to_owned));
    let starts = starts(name, place, table, &known, sink)?;
    let run_key = table.get("run_key").and_then(|value| phrase(value, "run_key", &known, sink));
    let tags = table.get("tags").map(|value| tags(value, sink)).unwrap_or_default();
    if let Some(value) = table.get("tags") {
        check_all(value, &known, sink);
    }
    let interval = table.get("interval").and_then(|it| policy::duration(it, "interval", sink));
    let timeout = table.get("timeout").and_then(|it| policy::duration(it, "timeout", sink));
    let enabled = table.get("enabled").and_then(|it| it.boolean("enabled", sink));
    let description = table.get("description").and_then(|it| it.text("description", sink));
    Some(Sensor {
        name: name.clone(),
        origin: Origin { file: place.path().to_path_buf(), line: place.line() },
        on: Trigger::Directory(directory),
        starts,
        run_key,
        tags,
        interval: interval.unwrap_or(Duration::ZERO),
        timeout: timeout.unwrap_or(TIMEOUT),
        is_on: enabled.unwrap_or(true),
        description: description.map(str::to_owned),
    })
}

fn directory(
    watch: Value<'_>,
    table: Table<'_>,
    settle: Duration,
    sink: &mut Sink,
) -> Option<DirectoryDef> {
    let recursive = table.get("recursive").and_then(|it| it.boolean("recursive", sink));
    let recursive = recursive.unwrap_or(false);
    let pattern = source::path_pattern(watch, "watch", sink)?;
    let pattern = if recursive { below(&pattern) } else { pattern };
    let mut ignore: Vec<String> = IGNORED.iter().map(|it| (*it).to_owned()).collect();
    if let Some(value) = table.get("ignore") {
        ignore.clear();
        for (glob, place) in value.texts("ignore", sink) {
            match globset::Glob::new(&glob) {
                Ok(_) => ignore.push(glob),
                Err(error) => sink.push(place.error(error.to_string()).label("no glob")),
            }
        }
    }
    let own = table.get("settle").and_then(|it| policy::duration(it, "settle", sink));
    let ready = match table.get("ready") {
        None => Ready::Closed,
        Some(value) => ready(value, sink)?,
    };
    let mut events = BTreeSet::from([FileEvent::New, FileEvent::Changed]);
    if let Some(value) = table.get("events") {
        events.clear();
        for item in value.list("events", sink)? {
            let word = item.word("events", EVENT_WORDS, sink)?;
            events.extend(FileEvent::ALL.into_iter().find(|event| event.as_str() == word));
        }
    }
    let settle = own.unwrap_or(settle);
    Some(DirectoryDef { pattern, recursive, ignore, settle, ready, events })
}

/// The pattern that also finds names in all directories below.
fn below(pattern: &PathPattern) -> PathPattern {
    let text = &pattern.text;
    let deep = match text.rfind('/') {
        _ if text.contains("**") => text.clone(),
        Some(slash) => format!("{}/**{}", &text[..slash], &text[slash..]),
        None => format!("**/{text}"),
    };
    PathPattern::parse(&deep).unwrap_or_else(|_| pattern.clone())
}

fn ready(value: Value<'_>, sink: &mut Sink) -> Option<Ready> {
    let text = value.text("ready", sink)?;
    let (word, rest) = text.split_once(':').map_or((text, None), |(word, rest)| (word, Some(rest)));
    let found = match (word, rest.map(str::trim)) {
        ("closed" | "close_write", None) => Some(Ready::Closed),
        ("renamed" | "rename", None) => Some(Ready::Renamed),
        ("stable", Some(rest)) => humantime::parse_duration(rest).ok().map(Ready::Stable),
        ("marker", Some(name)) if !name.is_empty() && !name.contains('/') => {
            Some(Ready::Marker(name.to_owned()))
        }
        (_, _) => None,
    };
    if found.is_none() {
        let help =
            "there are `closed`, `renamed`, `stable:5s`, `marker:_SUCCESS` and `marker:.done`";
        let error = value.place().error(format!("`{text}` does not say when a file is whole"));
        sink.push(error.label("not known").help(help));
    }
    found
}

fn starts(
    name: &JobName,
    place: &Place,
    table: Table<'_>,
    known: &[String],
    sink: &mut Sink,
) -> Option<Starts> {
    let partition =
        table.get("partition").and_then(|value| phrase(value, "partition", known, sink));
    match (table.get("job"), table.get("select")) {
        (Some(job), None) => {
            let text = job.text("job", sink)?;
            let job = match JobName::parse(text) {
                Ok(job) => job,
                Err(error) => {
                    sink.push(job.place().error(error.to_string()).label("no name"));
                    return None;
                }
            };
            let config = match table.get("config") {
                None => serde_json::Value::Null,
                Some(value) => {
                    check_all(value, known, sink);
                    value.json()
                }
            };
            Some(Starts::Job { job, config, partition })
        }
        (None, Some(select)) => {
            if let Some(config) = table.get("config") {
                let error = config.place().error("`config` is of jobs");
                sink.push(error.label("this sensor selects assets"));
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
            let error = place.error(format!("sensor `{name}` does not say what it starts"));
            let help = "for example `job: process`, or `select: \"+model\"`";
            sink.push(error.label("neither `job` nor `select`").help(help));
            None
        }
    }
}

/// A text with words in braces.
fn phrase(value: Value<'_>, what: &str, known: &[String], sink: &mut Sink) -> Option<String> {
    let text = value.written(what, sink)?;
    check(&text, &value.place(), known, sink);
    Some(text)
}

fn check(text: &str, place: &Place, known: &[String], sink: &mut Sink) {
    let words = match template::words(text) {
        Ok(words) => words,
        Err(error) => return sink.push(place.error(error.to_string()).label("in this text")),
    };
    for word in words {
        if !known.contains(&word) {
            let help = did_you_mean(&word, known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("known are `{}`", known.join("`, `")));
            let error = place.error(format!("nothing is known as `{{{word}}}` here"));
            sink.push(error.label("in this text").help(help));
        }
    }
}

/// Every text of a value.
fn check_all(value: Value<'_>, known: &[String], sink: &mut Sink) {
    if let Some(text) = value.as_text() {
        check(text, &value.place(), known, sink);
    } else if let Some(list) = value.as_list() {
        list.for_each(|item| check_all(item, known, sink));
    } else if let Some(table) = value.as_table() {
        table.iter().for_each(|(_, item)| check_all(item, known, sink));
    }
}

/// Looks up what the sensors start.
pub(super) fn resolve(
    drafts: Vec<Draft>,
    project: &Project,
    sink: &mut Sink,
) -> BTreeMap<JobName, Arc<Sensor>> {
    let mut sensors: BTreeMap<JobName, Declared<Option<Sensor>>> = BTreeMap::new();
    for draft in drafts {
        let Draft { sensor, name, place, starts, mut faults } = draft;
        if let Some(first) = sensors.get_mut(&name) {
            twice("sensor", name.as_str(), &place, first, sink);
            continue;
        }
        let mut is_lost = false;
        if let (Some(sensor), Some(at)) = (&sensor, &starts) {
            is_lost = !sink.noting(&mut faults, |sink| can_start(sensor, at, project, sink));
        }
        let def = sensor.filter(|_| !is_lost);
        sensors.insert(name, Declared { def, place, faults });
    }
    let sound = sensors.into_iter().filter(|(_, declared)| declared.faults.is_empty());
    sound.filter_map(|(name, declared)| Some((name, Arc::new(declared.def?)))).collect()
}

/// False where it cannot start what it says; that what it needs is broken is reported where it is.
fn can_start(sensor: &Sensor, at: &Place, project: &Project, sink: &mut Sink) -> bool {
    match &sensor.starts {
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
                    let message = format!("sensor `{}`: {error}", sensor.name);
                    sink.push(at.error(message).label(error.label).help_if(error.help));
                }
                false
            }
        },
        Starts::Told => true,
    }
}
