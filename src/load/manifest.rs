//! Reads `giornata.toml`: what holds for the whole project.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono_tz::Tz;
use globset::{Glob, GlobMatcher, GlobSet, GlobSetBuilder};

use super::asset::{ASSET, COMMON_KEYS, DESCRIBE_KEYS};
use super::command::inside;
use super::form::{Form, Key, TEXTS, key};
use super::node::{Sink, Table, Value};
use super::partitions::{self, Sets};
use super::{policy, source, types};
use crate::defs::{Durability, Keep, KeepRuns, NetworkDisk, Settings};

static KEYS: &[Key] = &[
    key("name", "What the project is called; without it, as its directory.", &Form::Text),
    key("timezone", "Where days begin: `UTC`, `Europe/Berlin`.", &Form::Text),
    key("exclude", "Globs of files that hold no definitions.", &TEXTS),
    key("assets", "The directory of definitions (`assets`), or assets declared here.", &ASSETS),
    key("sources", "Sources declared here.", &SOURCES),
    key("settings", "How the store and the runs work.", &SETTINGS),
    key(
        "partitions",
        "Partition sets, to be named by `partitions: NAME`.",
        &partitions::NAMED_SETS,
    ),
    key("pools", "How many steps of a pool may run at once.", &types::POOLS),
    key("config", "Values that assets name in their `config`.", &Form::Map(&Form::Any)),
    key("defaults", "Keys for all assets whose file or name a glob matches.", &DEFAULTS),
];
static SETTING_KEYS: &[Key] = &[
    key("jobs", "How many steps run at once.", &Form::Integer(1, JOBS_MAX)),
    key("max_steps", "How many steps run at once in all processes.", &Form::Integer(1, JOBS_MAX)),
    key("inline_max", "The largest result that is kept inside the database.", &Form::Size),
    key("durability", "How sure it is that a power cut loses nothing.", &Form::Word(DURABILITIES)),
    key("network_disk", "Whether the store may be on a network disk.", &Form::Word(NETWORK_DISKS)),
    key("log_max", "How much of the log of a step is kept.", &Form::Size),
    key("keep_results", "How many former results of a partition `gc` keeps.", &KEEP_RESULTS),
    key("keep_results_for", "How long `gc` keeps former results.", &Form::Duration),
    key("keep_bytes", "How large `gc` lets all results be.", &Form::Size),
    key("keep_runs", "How long, or how many of the last, runs are remembered.", &KEEP_RUNS),
];
static DEFAULT_KEYS: &[Key] =
    &[key("path", "A glob of files or names of assets: `mart/**`.", &Form::Text)];
static ASSETS: Form = Form::Either(&[&Form::Text, &Form::Map(&ASSET)]);
static SOURCES: Form = Form::Map(&source::SOURCE);
static SETTINGS: Form = Form::Table(&[SETTING_KEYS]);
static DEFAULTS: Form = Form::List(&Form::Table(&[DEFAULT_KEYS, DESCRIBE_KEYS, COMMON_KEYS]));
/// Everything that can stand in `giornata.toml`.
pub(super) static PROJECT: Form = Form::Table(&[KEYS]);

static KEEP_RESULTS: Form = Form::Integer(0, u32::MAX as i64);
static KEEP_RUNS: Form = Form::Either(&[&Form::Integer(0, i64::MAX), &Form::Duration]);

const NETWORK_DISKS: &[&str] = &["refuse", "allow"];
const DURABILITIES: &[&str] = &["batch", "safe", "fast"];
/// The most steps that may run at once.
const JOBS_MAX: i64 = 100_000;
/// The largest output that may live inside the database.
const INLINE_LIMIT: u64 = 16 << 10;

/// What `giornata.toml` says, apart from the assets and sources in it.
pub(super) struct Manifest<'a> {
    pub name: Option<String>,
    pub exclude: GlobSet,
    pub assets_dir: PathBuf,
    pub settings: Settings,
    pub sets: Sets,
    pub config: BTreeMap<String, serde_json::Value>,
    /// In order; a later one goes before an earlier one.
    pub defaults: Vec<Defaults<'a>>,
    pub assets: Option<Table<'a>>,
    pub sources: Option<Table<'a>>,
    pub pools: Option<Table<'a>>,
    /// Something that holds for every asset cannot be read, so that none can be trusted.
    pub doubtful: bool,
}

/// Keys for assets whose file or name a glob matches.
pub(super) struct Defaults<'a> {
    pub path: GlobMatcher,
    pub table: Table<'a>,
}

pub(super) fn read<'a>(root: Value<'a>, sink: &mut Sink) -> Option<Manifest<'a>> {
    let table = root.as_table()?;
    let errors = sink.errors();
    table.allow(&[KEYS], "giornata.toml", sink);
    let timezone = table.get("timezone").and_then(|value| partitions::read_timezone(value, sink));
    let assets = table.get("assets");
    let assets_dir = assets.filter(|value| value.as_table().is_none());
    let config = table.get("config").and_then(|value| value.table("config", sink));
    let assets_dir = assets_dir.and_then(|value| directory(value, sink));
    let name = table.get("name").and_then(|value| value.text("name", sink)).map(str::to_owned);
    let exclude = exclude(table, sink);
    let settings = settings(table, sink);
    let defaults = defaults(table, sink);
    // What follows concerns only those who name it.
    let doubtful = sink.errors() != errors;
    Some(Manifest {
        name,
        exclude,
        assets_dir: assets_dir.unwrap_or_else(|| PathBuf::from("assets")),
        settings,
        sets: sets(table, timezone.unwrap_or(Tz::UTC), sink),
        config: config
            .into_iter()
            .flat_map(Table::iter)
            .map(|(entry, value)| (entry.key.clone(), value.json()))
            .collect(),
        defaults,
        assets: assets.and_then(Value::as_table),
        pools: table.get("pools").and_then(|value| value.table("pools", sink)),
        sources: table.get("sources").and_then(|value| value.table("sources", sink)),
        doubtful,
    })
}

fn directory(value: Value<'_>, sink: &mut Sink) -> Option<PathBuf> {
    let text = value.text("assets", sink)?;
    let path = inside(text);
    if path.is_none() {
        sink.push(
            value
                .place()
                .error("`assets` must be a directory inside the project")
                .label("leads outside"),
        );
    }
    path
}

fn exclude(table: Table<'_>, sink: &mut Sink) -> GlobSet {
    let globs = table.get("exclude").map(|value| value.texts("exclude", sink)).unwrap_or_default();
    let mut builder = GlobSetBuilder::new();
    for (text, place) in globs {
        match Glob::new(text.trim_end_matches('/')) {
            Ok(glob) => {
                builder.add(glob);
                // What is wholly left out need not be listed.
                if let Some(Ok(dir)) = text.strip_suffix("/**").map(Glob::new) {
                    builder.add(dir);
                }
            }
            Err(error) => {
                let message = format!("`{text}` is no glob: {}", error.kind());
                sink.push(place.error(message).label("in `exclude`"));
            }
        }
    }
    builder.build().unwrap_or_else(|_| GlobSet::empty())
}

fn settings(table: Table<'_>, sink: &mut Sink) -> Settings {
    let mut settings = Settings::default();
    let Some(table) = table.get("settings").and_then(|value| value.table("settings", sink)) else {
        return settings;
    };
    table.allow(&[SETTING_KEYS], "`settings`", sink);
    if let Some(value) = table.get("jobs") {
        let jobs = value.integer("jobs", 1..JOBS_MAX + 1, sink);
        settings.jobs = jobs.and_then(|jobs| usize::try_from(jobs).ok());
    }
    if let Some(value) = table.get("max_steps") {
        let steps = value.integer("max_steps", 1..JOBS_MAX + 1, sink);
        settings.max_steps = steps.and_then(|steps| usize::try_from(steps).ok());
    }
    if let Some(value) = table.get("inline_max")
        && let Some(size) = policy::size(value, "inline_max", sink)
    {
        if size > INLINE_LIMIT {
            let message = format!("`inline_max` can be at most {INLINE_LIMIT} bytes");
            sink.push(value.place().error(message).label("too large"));
        } else {
            settings.inline_max_bytes = size;
        }
    }
    if let Some(value) = table.get("durability") {
        settings.durability = match value.word("durability", DURABILITIES, sink) {
            Some("safe") => Durability::Safe,
            Some("fast") => Durability::Fast,
            Some(_) | None => Durability::Batch,
        };
    }
    if let Some(value) = table.get("network_disk") {
        settings.network_disk = match value.word("network_disk", NETWORK_DISKS, sink) {
            Some("allow") => NetworkDisk::Allow,
            Some(_) | None => NetworkDisk::Refuse,
        };
    }
    if let Some(size) = table.get("log_max").and_then(|it| policy::size(it, "log_max", sink)) {
        settings.log_max_bytes = size;
    }
    settings.keep = keep(table, sink);
    settings
}

/// What `gc` keeps.
fn keep(table: Table<'_>, sink: &mut Sink) -> Keep {
    let mut keep = Keep::default();
    if let Some(value) = table.get("keep_results") {
        let most = i64::from(u32::MAX);
        let number = value.integer("keep_results", 0..most + 1, sink);
        keep.results = number.and_then(|number| u32::try_from(number).ok());
    }
    if let Some(value) = table.get("keep_results_for") {
        keep.results_for = policy::duration(value, "keep_results_for", sink);
    }
    if let Some(value) = table.get("keep_bytes") {
        keep.bytes = policy::size(value, "keep_bytes", sink);
    }
    if let Some(value) = table.get("keep_runs") {
        let number = value.written("keep_runs", sink).and_then(|text| text.parse().ok());
        match number {
            Some(number) => keep.runs = KeepRuns::Last(number),
            None => {
                let age = policy::duration(value, "keep_runs", sink);
                keep.runs = age.map_or(keep.runs, KeepRuns::For);
            }
        }
    }
    keep
}

fn sets(table: Table<'_>, timezone: Tz, sink: &mut Sink) -> Sets {
    let mut sets = Sets { timezone, named: BTreeMap::new(), broken: Vec::new() };
    let Some(table) = table.get("partitions").and_then(|value| value.table("partitions", sink))
    else {
        return sets;
    };
    let mut named = BTreeMap::new();
    for (entry, value) in table.iter() {
        // A set sees the sets before it, so that no two can name each other.
        sets.named.clone_from(&named);
        match partitions::read_named(&entry.key, value, &sets, sink) {
            Some(def) => {
                named.insert(entry.key.clone(), def);
            }
            None => sets.broken.push(entry.key.clone()),
        }
    }
    sets.named = named;
    sets
}

fn defaults<'a>(table: Table<'a>, sink: &mut Sink) -> Vec<Defaults<'a>> {
    let Some(value) = table.get("defaults") else { return Vec::new() };
    let items = value.list("defaults", sink).unwrap_or_default();
    let mut defaults = Vec::new();
    for item in items {
        let Some(table) = item.table("defaults", sink) else { continue };
        let known = table.allow(&[DEFAULT_KEYS, DESCRIBE_KEYS, COMMON_KEYS], "`defaults`", sink);
        let Some(path) = table.get("path") else {
            if !known {
                continue;
            }
            sink.push(
                table
                    .place()
                    .error("`defaults` does not say for which assets")
                    .label("no `path` here")
                    .help("for example `path = \"mart/**\"`, or `path = \"**\"` for all"),
            );
            continue;
        };
        let Some(text) = path.text("path", sink) else { continue };
        match Glob::new(text) {
            Ok(glob) => defaults.push(Defaults { path: glob.compile_matcher(), table }),
            Err(error) => {
                let message = format!("`{text}` is no glob: {}", error.kind());
                sink.push(path.place().error(message).label("in `path`"));
            }
        }
    }
    defaults.reverse();
    defaults
}
