//! Reads `partitions`: the name of a set, a kind with its window, keys, or `each(NAME)`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::diagnostic::{Place, did_you_mean};
use super::form::{Form, Key, key};
use super::node::{Kind, Sink, Table, Value, list_of};
use crate::base::{AssetKey, PartitionKey};
use crate::defs::partition::{Cadence, TimeWindowDef};
use crate::defs::{DynamicDef, PartitionsDef};

/// What `partitions` may refer to.
#[derive(Debug)]
pub(super) struct Sets {
    pub timezone: Tz,
    /// The sets that `giornata.toml` declares.
    pub named: BTreeMap<String, PartitionsDef>,
    /// Declared there with an error: no reason to complain again.
    pub broken: Vec<String>,
}

/// A definition in which each `each(NAME)` still stands as if NAME were a source.
#[derive(Debug)]
pub(super) struct PartitionsDraft {
    pub def: PartitionsDef,
    /// The names in `each(..)`, whose kind is known when everything is read.
    pub each: Vec<(AssetKey, Place)>,
}

static CADENCES: &[Key] = &[
    key("hourly", "One partition an hour.", &Form::Table(&[WINDOW_KEYS, HOURLY_KEYS])),
    key("daily", "One partition a day.", &Form::Table(&[WINDOW_KEYS, DAILY_KEYS])),
    key("weekly", "One partition a week.", &Form::Table(&[WINDOW_KEYS, WEEKLY_KEYS])),
    key("monthly", "One partition a month.", &Form::Table(&[WINDOW_KEYS, MONTHLY_KEYS])),
];
static KINDS: &[Key] = &[
    key("cron", "Windows between the ticks of a cron line.", &CRON),
    key("static", "These keys, in this order.", &KEY_LIST),
    key("dynamic", "The keys of a named set, added by hand or by a run.", &Form::Text),
    key("multi", "Several dimensions, each with a definition of its own.", &DIMENSIONS),
];
/// Keys of every kind of time window.
static WINDOW_KEYS: &[Key] = &[
    key("start", "When the first window begins: `2024-01-31`, `2024-01-31 06:00`.", &Form::Written),
    key("end", "No window begins then or later; without it they go on to now.", &Form::Written),
    key("timezone", "Where the days begin: `Europe/Berlin`.", &Form::Text),
    key("format", "How a key is written: `%Y-%m-%d`.", &Form::Text),
    key("end_offset", "How many windows more (or fewer) than have ended.", &END_OFFSET),
    key("exclusions", "Starts of windows that are left out.", &Form::List(&Form::Written)),
];
static HOURLY_KEYS: &[Key] = &[key("minute", "At which minute it begins.", &MINUTE)];
static DAILY_KEYS: &[Key] = &[
    key("hour", "At which hour it begins.", &HOUR),
    key("minute", "At which minute it begins.", &MINUTE),
];
static WEEKLY_KEYS: &[Key] = &[
    key("day", "On which day it begins: `monday`, or 0 for Sunday to 6.", &WEEK_DAY),
    key("hour", "At which hour it begins.", &HOUR),
    key("minute", "At which minute it begins.", &MINUTE),
];
static MONTHLY_KEYS: &[Key] = &[
    key("day", "On which day of the month it begins.", &Form::Integer(1, 31)),
    key("hour", "At which hour it begins.", &HOUR),
    key("minute", "At which minute it begins.", &MINUTE),
];
static CRON_KEYS: &[Key] = &[
    key("expression", "When windows begin: `0 0 1 1 *`.", &Form::Text),
    key("cron", "The same as `expression`.", &Form::Text),
];
static CRON: Form = Form::Table(&[WINDOW_KEYS, CRON_KEYS]);
static KEY_LIST: Form = Form::List(&Form::Written);
static DIMENSIONS: Form = Form::Map(&PARTITIONS);
static MINUTE: Form = Form::Integer(0, 59);
static HOUR: Form = Form::Integer(0, 23);
static END_OFFSET: Form = Form::Integer(-1_000_000, 1_000_000);
static WEEK_DAY: Form = Form::Either(&[&Form::Word(DAYS), &Form::Integer(0, 6)]);
const DAYS: &[&str] =
    &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/// The value of `partitions` of an asset or source.
pub(super) static PARTITIONS: Form = Form::Named(
    "partitions",
    &Form::Either(&[&Form::Text, &KEY_LIST, &Form::Table(&[CADENCES, KINDS])]),
);
/// The `partitions` of a project. A set that is named like a cadence may leave the cadence out.
pub(super) static NAMED_SETS: Form = Form::Open(
    &[
        key("hourly", "The set `hourly`.", &HOURLY_SET),
        key("daily", "The set `daily`.", &DAILY_SET),
        key("weekly", "The set `weekly`.", &WEEKLY_SET),
        key("monthly", "The set `monthly`.", &MONTHLY_SET),
    ],
    &PARTITIONS,
);
static HOURLY_SET: Form = Form::Either(&[&PARTITIONS, &Form::Table(&[WINDOW_KEYS, HOURLY_KEYS])]);
static DAILY_SET: Form = Form::Either(&[&PARTITIONS, &Form::Table(&[WINDOW_KEYS, DAILY_KEYS])]);
static WEEKLY_SET: Form = Form::Either(&[&PARTITIONS, &Form::Table(&[WINDOW_KEYS, WEEKLY_KEYS])]);
static MONTHLY_SET: Form = Form::Either(&[&PARTITIONS, &Form::Table(&[WINDOW_KEYS, MONTHLY_KEYS])]);

fn is_cadence(name: &str) -> bool {
    CADENCES.iter().any(|cadence| cadence.name == name)
}

fn is_kind(name: &str) -> bool {
    is_cadence(name) || KINDS.iter().any(|kind| kind.name == name)
}

/// Reads the value of `partitions`.
pub(super) fn read(value: Value<'_>, sets: &Sets, sink: &mut Sink) -> Option<PartitionsDraft> {
    let mut each = Vec::new();
    let def = Reader { sets, each: &mut each }.definition(value, sink)?;
    Some(PartitionsDraft { def, each })
}

/// Reads `[partitions.NAME]`. A set that is named like a cadence may leave the cadence out.
pub(super) fn read_named(
    name: &str,
    value: Value<'_>,
    sets: &Sets,
    sink: &mut Sink,
) -> Option<PartitionsDef> {
    let mut each = Vec::new();
    let mut reader = Reader { sets, each: &mut each };
    let errors = sink.errors();
    let def = match value.as_table() {
        Some(table) if is_cadence(name) && table.get(name).is_none() => {
            PartitionsDef::TimeWindow(reader.time_window(name, table, sink)?)
        }
        _ => reader.definition(value, sink)?,
    };
    if let Some((_, place)) = each.first() {
        sink.push(place.error("a named set cannot follow another definition").label("`each` here"));
        return None;
    }
    (sink.errors() == errors).then_some(def)
}

struct Reader<'a> {
    sets: &'a Sets,
    each: &'a mut Vec<(AssetKey, Place)>,
}

impl Reader<'_> {
    fn definition(&mut self, value: Value<'_>, sink: &mut Sink) -> Option<PartitionsDef> {
        match &value.node.kind {
            Kind::Text(text) => self.word(text, value, sink),
            Kind::List(_) => keys(value, sink),
            Kind::Table(_) => self.kind(value.as_table()?, sink),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Date(_) => {
                sink.push(
                    value
                        .place()
                        .error("`partitions` must be the name of a set, a list of keys or a table")
                        .label("no definition of partitions")
                        .help("for example `{daily: {start: 2024-01-01}}`"),
                );
                None
            }
        }
    }

    fn word(&mut self, text: &str, value: Value<'_>, sink: &mut Sink) -> Option<PartitionsDef> {
        if let Some(name) = text.strip_prefix("each(").and_then(|rest| rest.strip_suffix(')')) {
            return self.each(name.trim(), value.place(), sink);
        }
        if let Some(def) = self.sets.named.get(text) {
            return Some(def.clone());
        }
        let help = if is_cadence(text) {
            format!(
                "give it a start: `{{{text}: {{start: 2024-01-01}}}}`, or declare `[partitions.{text}]` in giornata.toml"
            )
        } else {
            did_you_mean(text, self.sets.named.keys().map(String::as_str))
                .unwrap_or_else(|| format!("declare `[partitions.{text}]` in giornata.toml"))
        };
        if self.sets.broken.iter().any(|name| name == text) {
            sink.push(
                value
                    .place()
                    .error(format!("the partition set `{text}` has an error"))
                    .label("declared in giornata.toml"),
            );
        } else {
            sink.push(
                value
                    .place()
                    .error(format!("there is no partition set `{text}`"))
                    .label("giornata.toml declares no set of this name")
                    .help(help),
            );
        }
        None
    }

    fn each(&mut self, name: &str, place: Place, sink: &mut Sink) -> Option<PartitionsDef> {
        match AssetKey::parse(name) {
            Ok(key) => {
                self.each.push((key.clone(), place));
                Some(PartitionsDef::Dynamic(DynamicDef::Source(key)))
            }
            Err(error) => {
                sink.push(place.error(error.to_string()).label("no name"));
                None
            }
        }
    }

    fn kind(&mut self, table: Table<'_>, sink: &mut Sink) -> Option<PartitionsDef> {
        table.allow(&[CADENCES, KINDS], "`partitions`", sink);
        let mut kinds = table.iter().filter(|(entry, _)| is_kind(&entry.key));
        let Some((entry, value)) = kinds.next() else {
            if table.entries.is_empty() {
                sink.push(table.place().error("`partitions` names no kind").help(one_of_kinds()));
            }
            return None;
        };
        if let Some((second, _)) = kinds.next() {
            let place = table.key_place(second);
            sink.push(place.error("`partitions` has two kinds").label("second").help(
                "several dimensions are written `{multi: {date: {daily: {..}}, region: [..]}}`",
            ));
            return None;
        }
        match entry.key.as_str() {
            "static" => keys(value, sink),
            "dynamic" => self.dynamic(value, sink),
            "multi" => self.multi(value, sink),
            cadence => {
                let table = value.table(cadence, sink)?;
                self.time_window(cadence, table, sink).map(PartitionsDef::TimeWindow)
            }
        }
    }

    fn dynamic(&mut self, value: Value<'_>, sink: &mut Sink) -> Option<PartitionsDef> {
        let name = value.text("dynamic", sink)?;
        if name.is_empty() {
            sink.push(value.place().error("a dynamic set needs a name"));
            return None;
        }
        Some(PartitionsDef::Dynamic(DynamicDef::Named(name.to_owned())))
    }

    fn multi(&mut self, value: Value<'_>, sink: &mut Sink) -> Option<PartitionsDef> {
        let table = value.table("multi", sink)?;
        let mut dimensions = BTreeMap::new();
        let mut sound = true;
        for (entry, value) in table.iter() {
            let place = table.key_place(entry);
            if !is_dimension(&entry.key) {
                sound = false;
                sink.push(
                    place
                        .error(format!("`{}` cannot name a dimension", entry.key))
                        .label("letters, digits and `_` only"),
                );
            }
            match self.definition(value, sink) {
                Some(PartitionsDef::Multi(_)) => {
                    sound = false;
                    sink.push(place.error("a dimension cannot have dimensions of its own"));
                }
                Some(def) => {
                    dimensions.insert(entry.key.clone(), def);
                }
                None => sound = false,
            }
        }
        if dimensions.is_empty() && sound {
            sink.push(value.place().error("`multi` needs at least one dimension"));
            return None;
        }
        let def = PartitionsDef::Multi(dimensions);
        if let (true, Err(error)) = (sound, def.validate()) {
            sink.push(value.place().error(error.to_string()).label("these dimensions"));
            return None;
        }
        sound.then_some(def)
    }

    fn time_window(
        &mut self,
        cadence: &str,
        table: Table<'_>,
        sink: &mut Sink,
    ) -> Option<TimeWindowDef> {
        let own = match cadence {
            "hourly" => HOURLY_KEYS,
            "daily" => DAILY_KEYS,
            "weekly" => WEEKLY_KEYS,
            "monthly" => MONTHLY_KEYS,
            _ => CRON_KEYS,
        };
        let known = table.allow(&[WINDOW_KEYS, own], &format!("`{cadence}`"), sink);
        let timezone = match table.get("timezone") {
            None => self.sets.timezone,
            Some(value) => read_timezone(value, sink)?,
        };
        let cadence_def = read_cadence(cadence, table, sink);
        let start = match table.get("start") {
            Some(value) => time(value, "start", timezone, sink),
            // It is probably there, misspelt.
            None if !known => None,
            None => {
                sink.push(
                    table
                        .place()
                        .error(format!("`{cadence}` needs a start"))
                        .label("no `start` here")
                        .help("for example `start: 2024-01-01`"),
                );
                None
            }
        };
        let end = optional(table.get("end").map(|value| time(value, "end", timezone, sink)));
        let format = self.format(cadence, table, sink);
        let end_offset = optional(
            table
                .get("end_offset")
                .map(|value| value.integer("end_offset", -1_000_000..1_000_001, sink)),
        );
        let exclusions = exclusions(table, timezone, sink);
        let def = TimeWindowDef {
            cadence: cadence_def?,
            start: start?,
            end: end?,
            timezone,
            format: format?,
            end_offset: i32::try_from(end_offset?.unwrap_or(0)).ok()?,
            exclusions: exclusions?,
        };
        valid(def, table, sink)
    }

    fn format(&self, cadence: &str, table: Table<'_>, sink: &mut Sink) -> Option<String> {
        if let Some(value) = table.get("format") {
            return value.text("format", sink).map(str::to_owned);
        }
        match cadence {
            "hourly" => Some("%Y-%m-%d-%H:%M".to_owned()),
            "daily" | "weekly" => Some("%Y-%m-%d".to_owned()),
            "monthly" => Some("%Y-%m".to_owned()),
            _ => {
                sink.push(
                    table
                        .place()
                        .error("`cron` needs a format")
                        .label("no `format` here")
                        .help("for example `format: \"%Y-%m-%d\"`"),
                );
                None
            }
        }
    }
}

/// Turns "given but wrong" into `None`, and "not given" into `Some(None)`.
fn optional<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}

fn valid(def: TimeWindowDef, table: Table<'_>, sink: &mut Sink) -> Option<TimeWindowDef> {
    if let Err(error) = def.validate() {
        sink.push(table.place().error(error.to_string()).label("this definition"));
        return None;
    }
    Some(def)
}

fn one_of_kinds() -> String {
    let kinds: Vec<&str> = CADENCES.iter().chain(KINDS).map(|kind| kind.name).collect();
    format!("known are {}", list_of(&kinds))
}

fn is_dimension(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) fn read_timezone(value: Value<'_>, sink: &mut Sink) -> Option<Tz> {
    let name = value.text("timezone", sink)?;
    let timezone = name.parse().ok();
    if timezone.is_none() {
        let help = did_you_mean(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
            .unwrap_or_else(|| "for example `UTC` or `Europe/Berlin`".to_owned());
        sink.push(
            value
                .place()
                .error(format!("there is no time zone `{name}`"))
                .label("unknown time zone")
                .help(help),
        );
    }
    timezone
}

fn read_cadence(cadence: &str, table: Table<'_>, sink: &mut Sink) -> Option<Cadence> {
    let mut number = |key: &str, default: u32, end: i64| match table.get(key) {
        None => Some(default),
        Some(value) => {
            let low = if key == "day" && end == 32 { 1 } else { 0 };
            value.integer(key, low..end, sink).and_then(|number| u32::try_from(number).ok())
        }
    };
    match cadence {
        "hourly" => Some(Cadence::Hourly { minute: number("minute", 0, 60)? }),
        "daily" => {
            Some(Cadence::Daily { hour: number("hour", 0, 24)?, minute: number("minute", 0, 60)? })
        }
        "weekly" => {
            let (hour, minute) = (number("hour", 0, 24)?, number("minute", 0, 60)?);
            Some(Cadence::Weekly { day: week_day(table, sink)?, hour, minute })
        }
        "monthly" => Some(Cadence::Monthly {
            day: number("day", 1, 32)?,
            hour: number("hour", 0, 24)?,
            minute: number("minute", 0, 60)?,
        }),
        _ => {
            let Some(value) = table.get("expression").or_else(|| table.get("cron")) else {
                sink.push(
                    table
                        .place()
                        .error("`cron` needs an expression")
                        .label("no `expression` here")
                        .help("for example `expression: \"0 0 1 1 *\"`"),
                );
                return None;
            };
            value.text("expression", sink).map(|text| Cadence::Cron(text.to_owned()))
        }
    }
}

fn week_day(table: Table<'_>, sink: &mut Sink) -> Option<u32> {
    match table.get("day") {
        None => Some(0),
        Some(value) if value.as_text().is_some() => {
            let word = value.word("day", DAYS, sink)?;
            DAYS.iter().position(|day| *day == word).and_then(|day| u32::try_from(day).ok())
        }
        Some(value) => value.integer("day", 0..7, sink).and_then(|day| u32::try_from(day).ok()),
    }
}

fn exclusions(table: Table<'_>, timezone: Tz, sink: &mut Sink) -> Option<Vec<NaiveDateTime>> {
    let Some(value) = table.get("exclusions") else { return Some(Vec::new()) };
    let items = value.list("exclusions", sink)?;
    let read: Vec<_> =
        items.into_iter().map(|item| time(item, "exclusions", timezone, sink)).collect();
    read.into_iter().collect()
}

fn keys(value: Value<'_>, sink: &mut Sink) -> Option<PartitionsDef> {
    let items = value.list("static", sink)?;
    let mut keys: Vec<PartitionKey> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut sound = true;
    for item in items {
        let Some(text) = item.written("static", sink) else {
            sound = false;
            continue;
        };
        let key = PartitionKey::new(text);
        let complaint = if key.as_str().is_empty() {
            Some("a partition key cannot be empty".to_owned())
        } else if !seen.insert(key.clone()) {
            Some(format!("the key `{key}` is there twice"))
        } else {
            None
        };
        if let Some(complaint) = complaint {
            sound = false;
            sink.push(item.place().error(complaint));
        }
        keys.push(key);
    }
    if keys.is_empty() && sound {
        sink.push(value.place().error("a static set needs at least one key"));
        return None;
    }
    sound.then_some(PartitionsDef::Static(keys))
}

/// A local time: a date, or date and time; with an offset it is converted to the time zone.
fn time(value: Value<'_>, what: &str, timezone: Tz, sink: &mut Sink) -> Option<NaiveDateTime> {
    let text = value.written(what, sink)?;
    let read = parse_time(&text, timezone);
    if read.is_none() {
        sink.push(
            value
                .place()
                .error(format!("`{what}` must be a date, or date and time"))
                .label("no such date")
                .help("for example `2024-01-31` or `2024-01-31 06:00`"),
        );
    }
    read
}

fn parse_time(text: &str, timezone: Tz) -> Option<NaiveDateTime> {
    const TIMES: &[&str] = &[
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M",
        "%Y-%m-%d-%H:%M",
    ];
    let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0);
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.with_timezone(&Utc).with_timezone(&timezone).naive_local());
    }
    TIMES
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(midnight))
        .or_else(|| {
            NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok().and_then(midnight)
        })
}
