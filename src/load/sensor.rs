//! Reads `sensors`: what is looked at, when a file is whole, and which runs that asks for.

use std::collections::BTreeSet;
use std::time::Duration;

use super::asset::TAGS;
use super::diagnostic::Place;
use super::form::{Form, Key, TEXTS, key};
use super::node::{Faults, Sink, Table, Value, repeated_below};
use super::starts::{self, Draft, Words};
use super::{policy, source};
use crate::base::{AssetKey, JobName};
use crate::defs::{
    AssetsDef, DirectoryDef, FileEvent, Needs, Origin, PathPattern, Project, Ready, RunsDef,
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
/// What a sensor on results of assets looks at.
static ASSETS_KEYS: &[Key] = &[
    key("assets", "Assets or sources: it asks when they have other results.", &NAMES),
    key("needs", "How many of them: `any` or `all`; `any` if not given.", &Form::Word(NEEDS)),
];
/// What a sensor on runs looks at.
static RUNS_KEYS: &[Key] = &[
    key("runs", "How runs end: `success`, `failure`, `cancelled`, `interrupted`.", &STATES),
    key("of", "Of these jobs; of any run that is not its own if not given.", &NAMES),
];
/// What asks a command.
static COMMAND_KEYS: &[Key] = &[key(
    "command",
    "Prints what is to be run: a JSON object on each line, as in `{\"job\": \"process\", \"run_key\": \"7\"}`.",
    &Form::Text,
)];
static NAMES: Form = Form::Either(&[&Form::Text, &TEXTS]);
static STATE: Form = Form::Word(STATE_WORDS);
static STATES: Form = Form::Either(&[&STATE, &Form::List(&STATE)]);
const NEEDS: &[&str] = &["any", "all"];
const STATE_WORDS: &[&str] = &["success", "failure", "cancelled", "interrupted"];
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
static SENSOR: Form =
    Form::Named("sensor", &Form::Table(&[WATCH_KEYS, ASSETS_KEYS, RUNS_KEYS, COMMAND_KEYS, KEYS]));
/// The value of `sensors`.
pub(super) static SENSORS: Form = Form::Optional(&Form::Map(&SENSOR));

/// What is known of a file, as words of templates.
pub(super) const FILE_WORDS: [&str; 8] =
    ["path", "name", "stem", "ext", "dir", "hash", "size", "event"];

/// Files that other programs are still at.
const IGNORED: [&str; 6] = [".*", "*.tmp", "*.part", "*.crdownload", "~$*", "*~"];

const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a command is asked, where nothing else is said.
const INTERVAL: Duration = Duration::from_secs(30);

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
        let own = kind(table).map_or(WATCH_KEYS, |(_, keys)| keys);
        table.allow(&[own, KEYS], &format!("sensor `{name}`"), sink);
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
    let Some((word, _)) = kind(table) else {
        let error = place.error(format!("sensor `{name}` does not say what it looks at"));
        let help = "for example `watch: \"inbox/*.csv\"`, `assets: [orders]`, `runs: failure` or \
                    `command: ./ask.sh`";
        sink.push(error.label("no `watch` here").help(help));
        return None;
    };
    let (on, known) = trigger(word, table, settle, sink)?;
    let words = Words { known, times: &[] };
    let is_told = matches!(on, Trigger::Command { .. }) && starts::place(table).is_none();
    let starts = match is_told {
        true => Starts::Told,
        false => starts::read(&format!("sensor `{name}`"), place, table, &words, sink)?,
    };
    let run_key = table.get("run_key").and_then(|it| starts::phrase(it, "run_key", &words, sink));
    let tags = starts::read_tags(table, &words, sink);
    let interval = table.get("interval").and_then(|it| policy::duration(it, "interval", sink));
    let timeout = table.get("timeout").and_then(|it| policy::duration(it, "timeout", sink));
    let enabled = table.get("enabled").and_then(|it| it.boolean("enabled", sink));
    let description = table.get("description").and_then(|it| it.text("description", sink));
    Some(Sensor {
        name: name.clone(),
        origin: Origin { file: place.path().to_path_buf(), line: place.line() },
        interval: interval.unwrap_or(match on {
            Trigger::Command { .. } => INTERVAL,
            Trigger::Directory(_) | Trigger::Assets(_) | Trigger::Runs(_) => Duration::ZERO,
        }),
        on,
        starts,
        run_key,
        tags,
        timeout: timeout.unwrap_or(TIMEOUT),
        is_on: enabled.unwrap_or(true),
        description: description.map(str::to_owned),
    })
}

/// The key that says what a sensor looks at, and those that go with it.
fn kind(table: Table<'_>) -> Option<(&'static str, &'static [Key])> {
    let kinds = [
        ("watch", WATCH_KEYS),
        ("assets", ASSETS_KEYS),
        ("runs", RUNS_KEYS),
        ("command", COMMAND_KEYS),
    ];
    kinds.into_iter().find(|(word, _)| table.get(word).is_some())
}

/// What it looks at, and the words that stand for what it knows.
fn trigger(
    word: &str,
    table: Table<'_>,
    settle: Duration,
    sink: &mut Sink,
) -> Option<(Trigger, Vec<String>)> {
    let value = table.get(word)?;
    let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    Some(match word {
        "watch" => {
            let directory = directory(value, table, settle, sink)?;
            let mut known = words(&FILE_WORDS);
            known.extend(directory.pattern.captures().map(str::to_owned));
            (Trigger::Directory(directory), known)
        }
        "assets" => {
            let assets = names(value, "assets", AssetKey::parse, sink)?;
            let needs = table.get("needs").map(|it| it.word("needs", NEEDS, sink));
            let needs = match needs {
                None | Some(Some("any")) => Needs::Any,
                Some(Some(_)) => Needs::All,
                Some(None) => return None,
            };
            (Trigger::Assets(AssetsDef { assets, needs }), words(&["assets", "partition"]))
        }
        "runs" => {
            let states = match value.as_text() {
                Some(_) => vec![value],
                None => value.list("runs", sink)?,
            };
            let states = states.into_iter().map(|it| it.word("runs", STATE_WORDS, sink));
            let states = states.collect::<Option<BTreeSet<&str>>>()?;
            let states = states.into_iter().map(str::to_owned).collect();
            let jobs = match table.get("of") {
                None => BTreeSet::new(),
                Some(value) => names(value, "of", JobName::parse, sink)?,
            };
            let known = words(&["run", "state", "job", "partition"]);
            (Trigger::Runs(RunsDef { states, jobs }), known)
        }
        _ => (Trigger::Command { line: value.text("command", sink)?.to_owned() }, Vec::new()),
    })
}

/// One name or several; at least one.
fn names<T: Ord, E: ToString>(
    value: Value<'_>,
    what: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    sink: &mut Sink,
) -> Option<BTreeSet<T>> {
    let texts = match value.as_text() {
        Some(text) => vec![(text.to_owned(), value.place())],
        None => value.texts(what, sink),
    };
    let mut names = BTreeSet::new();
    for (text, place) in texts {
        match parse(&text) {
            Ok(name) => {
                names.insert(name);
            }
            Err(error) => sink.push(place.error(error.to_string()).label("no name")),
        }
    }
    if names.is_empty() {
        sink.push(value.place().error(format!("`{what}` names nothing")).label("empty"));
        return None;
    }
    Some(names)
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

/// What a sensor looks at that is not declared.
pub(super) fn lacks(sensor: &Sensor, project: &Project) -> Option<String> {
    match &sensor.on {
        Trigger::Assets(def) => {
            let lacking = def.assets.iter().find(|key| !project.assets.contains_key(*key))?;
            Some(format!("there is no sound asset `{lacking}`"))
        }
        Trigger::Runs(def) => {
            let lacking = def.jobs.iter().find(|name| !project.jobs.contains_key(*name))?;
            Some(format!("there is no sound job `{lacking}`"))
        }
        Trigger::Directory(_) | Trigger::Command { .. } => None,
    }
}
