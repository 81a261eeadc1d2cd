//! Reads `sensors`: what is looked at, when a file is whole, and which runs that asks for.

use std::collections::BTreeSet;
use std::time::Duration;

use super::asset::TAGS;
use super::diagnostic::Place;
use super::form::{Form, Key, TEXTS, key};
use super::node::{Faults, Sink, Table, Value, repeated_below};
use super::starts::{self, Draft, Words};
use super::{policy, source};
use crate::base::JobName;
use crate::defs::{DirectoryDef, FileEvent, Origin, PathPattern, Ready, Sensor, Trigger};

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

pub(super) fn read(
    name: &str,
    place: Place,
    value: Value<'_>,
    settle: Duration,
    sink: &mut Sink,
) -> Option<Draft<Sensor>> {
    let name = starts::name(name, &place, sink)?;
    let mut faults = Faults::new();
    let found = sink.noting(&mut faults, |sink| {
        repeated_below(value, sink);
        let table = value.table(name.as_str(), sink)?;
        table.allow(&[WATCH_KEYS, KEYS], &format!("sensor `{name}`"), sink);
        Some((sensor(&name, &place, table, settle, sink), starts::place(table)))
    });
    let (def, starts) = found.unwrap_or((None, None));
    Some(Draft { def, name, place, starts, faults })
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
    let words = Words { known, times: &[] };
    let starts = starts::read(&format!("sensor `{name}`"), place, table, &words, sink)?;
    let run_key = table.get("run_key").and_then(|it| starts::phrase(it, "run_key", &words, sink));
    let tags = starts::read_tags(table, &words, sink);
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
