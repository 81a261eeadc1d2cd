//! Reads `schedules`: when they tick, what becomes of missed ticks, and which runs a tick asks for.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::asset::TAGS;
use super::diagnostic::Place;
use super::form::{Form, Key, TEXTS, key};
use super::node::{Faults, Kind, Sink, Table, Value, repeated_below};
use super::partitions::read_timezone;
use super::starts::{self, Draft, Words};
use crate::base::JobName;
use crate::defs::partition::CronRule;
use crate::defs::{Catchup, Origin, Schedule, Starts, TickPartition};

static KEYS: &[Key] = &[
    key("cron", "When: `0 3 * * *`, `@hourly`, or a list of such.", &CRON),
    key("timezone", "The zone of its times; the project's if not given.", &Form::Text),
    key("job", "The job that is run.", &Form::Text),
    key("select", "The assets that are brought up to date.", &Form::Text),
    key(
        "partition",
        "Which: `latest` is the last that is complete at the tick, `{tick:%Y-%m-%d}` one by its key.",
        &Form::Written,
    ),
    key("back", "With `partition: latest`: so many before it.", &BACK),
    key("config", "Values for the job; texts may hold `{tick}` or `{tick:%Y-%m-%d}`.", &Form::Any),
    key(
        "catchup",
        "What becomes of ticks that nobody was there for: `all`, `last`, a number, `none`.",
        &CATCHUP,
    ),
    key("tags", "Labels of its runs.", &TAGS),
    key(
        "enabled",
        "Whether it is on unless somebody switches it: `true` if not given.",
        &Form::Bool,
    ),
    key("description", "What it does, in a sentence.", &Form::Text),
];
static CRON: Form = Form::Either(&[&Form::Text, &TEXTS]);
static BACK: Form = Form::Integer(0, BACK_MAX);
static CATCHUP: Form = Form::Either(&[&Form::Word(CATCHUPS), &Form::Integer(1, LAST_MAX)]);
const CATCHUPS: &[&str] = &["all", "last", "none"];
const BACK_MAX: i64 = 100_000;
const LAST_MAX: i64 = 100_000;
static SCHEDULE: Form = Form::Named("schedule", &Form::Table(&[KEYS]));
/// The value of `schedules`.
pub(super) static SCHEDULES: Form = Form::Optional(&Form::Map(&SCHEDULE));

/// The word that stands for the time of the tick.
pub(super) const TICK: &str = "tick";
const LATEST: &str = "latest";

pub(super) fn read(
    name: &str,
    place: Place,
    value: Value<'_>,
    zone: Tz,
    sink: &mut Sink,
) -> Option<Draft<Schedule>> {
    let name = starts::name(name, &place, sink)?;
    let mut faults = Faults::new();
    let found = sink.noting(&mut faults, |sink| {
        repeated_below(value, sink);
        let table = value.table(name.as_str(), sink)?;
        table.allow(&[KEYS], &format!("schedule `{name}`"), sink);
        Some((schedule(&name, &place, table, zone, sink), starts::place(table)))
    });
    let (def, starts) = found.unwrap_or((None, None));
    Some(Draft { def, name, place, starts, faults })
}

fn schedule(
    name: &JobName,
    place: &Place,
    table: Table<'_>,
    zone: Tz,
    sink: &mut Sink,
) -> Option<Schedule> {
    let timezone = match table.get("timezone") {
        Some(value) => read_timezone(value, sink)?,
        None => zone,
    };
    let Some(cron) = table.get("cron") else {
        let error = place.error(format!("schedule `{name}` does not say when it ticks"));
        sink.push(error.label("no `cron` here").help("for example `cron: \"0 3 * * *\"`"));
        return None;
    };
    let cron = rules(cron, timezone, sink)?;
    let words = Words { known: vec![TICK.to_owned()], times: &[TICK] };
    let owner = format!("schedule `{name}`");
    let starts = starts::read(&owner, place, table, &words, sink)?;
    let (starts, partition) = partition(starts, table, sink);
    let catchup = table.get("catchup").map_or(Some(Catchup::Last(1)), |it| catchup(it, sink))?;
    let tags = starts::read_tags(table, &words, sink);
    let enabled = table.get("enabled").and_then(|it| it.boolean("enabled", sink));
    let description = table.get("description").and_then(|it| it.text("description", sink));
    Some(Schedule {
        name: name.clone(),
        origin: Origin { file: place.path().to_path_buf(), line: place.line() },
        cron,
        timezone,
        starts,
        partition,
        catchup,
        tags,
        is_on: enabled.unwrap_or(true),
        description: description.map(str::to_owned),
    })
}

/// Every cron expression, or nothing if one of them is none.
fn rules(value: Value<'_>, zone: Tz, sink: &mut Sink) -> Option<Vec<CronRule>> {
    let texts = match value.as_text() {
        Some(text) => vec![(text.to_owned(), value.place())],
        None => value.texts("cron", sink),
    };
    if texts.is_empty() {
        let error = value.place().error("there is no cron expression here");
        sink.push(error.label("empty").help("for example `0 3 * * *`: each night at three"));
        return None;
    }
    let mut rules = Vec::new();
    let count = texts.len();
    for (text, place) in texts {
        match CronRule::parse(&text) {
            Ok(rule) => {
                if rule.after(zone, DateTime::<Utc>::UNIX_EPOCH).is_none() {
                    let message = format!("`{text}` names no time that ever comes");
                    sink.push(place.warning(message).label("it never ticks"));
                }
                rules.push(rule);
            }
            Err(error) => {
                let help = "it has five fields, minute, hour, day, month and day of the week, \
                            as in `0 3 * * *`; or it is `@hourly`, `@daily`, `@weekly`, `@monthly`";
                let message = format!("`{text}` does not say when: {error}");
                sink.push(place.error(message).label("no cron expression").help(help));
            }
        }
    }
    (rules.len() == count).then_some(rules)
}

/// `latest` is about the moment of the tick; anything else is what it says.
fn partition(starts: Starts, table: Table<'_>, sink: &mut Sink) -> (Starts, TickPartition) {
    let back = table.get("back").and_then(|it| it.integer("back", 0..BACK_MAX + 1, sink));
    let is_latest = table.get("partition").and_then(Value::as_text) == Some(LATEST);
    if let (false, Some(value)) = (is_latest, table.get("back")) {
        let error = value.place().error("`back` goes with `partition: latest`");
        sink.push(error.label("of which partition is not said"));
    }
    if !is_latest {
        return (starts, TickPartition::AsSaid);
    }
    let back = back.and_then(|back| u32::try_from(back).ok()).unwrap_or(0);
    (starts, TickPartition::Latest { back })
}

fn catchup(value: Value<'_>, sink: &mut Sink) -> Option<Catchup> {
    if matches!(value.node.kind, Kind::Number(_)) {
        let count = value.integer("catchup", 1..LAST_MAX + 1, sink)?;
        return u32::try_from(count).ok().map(Catchup::Last);
    }
    Some(match value.word("catchup", CATCHUPS, sink)? {
        "all" => Catchup::All,
        "last" => Catchup::Last(1),
        _ => Catchup::None,
    })
}
