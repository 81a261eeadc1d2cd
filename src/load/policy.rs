//! Reads how a step is run and how long its result stays good: `retries`, `timeout`, `pool`, `batch`, `ttl`,
//! `volatile`; and the units in which durations and sizes are written.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use super::asset::Fields;
use super::form::{Form, Key, key};
use super::node::{Kind, Sink, Value};
use crate::defs::{Asset, Backoff, Body, Jitter, OutputDef, PartitionsDef, Policy, Retries};

/// How often at most a step is tried again.
const RETRIES_MAX: i64 = 1000;
const BACKOFFS: &[&str] = &["constant", "linear", "exponential"];
static RETRY_KEYS: &[Key] = &[
    key("max", "How often.", &COUNT),
    key("delay", "How long to wait before: `30s`.", &Form::Duration),
    key("backoff", "How the delay grows from one to the next.", &Form::Word(BACKOFFS)),
    key("jitter", "How far delays of steps that failed together are drawn apart.", &JITTER),
    key("fatal", "Exit statuses after which it is not tried again.", &FATAL),
];
const JITTERS: &[&str] = &["none", "full", "plus_minus"];
static JITTER: Form = Form::Word(JITTERS);
static STATUS: Form = Form::Integer(1, 255);
static FATAL: Form = Form::Either(&[&STATUS, &Form::List(&STATUS)]);
static COUNT: Form = Form::Integer(0, RETRIES_MAX);
/// How many partitions one step makes at the most: each has an input, an output and a line in memory.
const BATCH_MAX: i64 = 100_000;
/// The value of `batch`.
pub(super) static BATCH: Form = Form::Integer(1, BATCH_MAX);
/// The value of `retries`.
pub(super) static RETRIES: Form = Form::Either(&[&COUNT, &Form::Table(&[RETRY_KEYS])]);

pub(super) fn read(fields: &Fields<'_>, sink: &mut Sink) -> Policy {
    let timeout = fields.get("timeout").and_then(|value| duration(value, "timeout", sink));
    let ttl = fields.get("ttl").and_then(|value| duration(value, "ttl", sink));
    let volatile = fields.get("volatile").and_then(|value| value.boolean("volatile", sink));
    let retries = fields.get("retries").map(|value| retries(value, sink)).unwrap_or_default();
    let pool = fields.get("pool").and_then(|value| value.text("pool", sink)).map(Into::into);
    Policy { retries, timeout, pool, batch: None, ttl, volatile: volatile.unwrap_or(false) }
}

/// Reads how many partitions of `asset` one step makes. Where a default says it of an asset of which it cannot
/// be said, it does not count.
pub(super) fn batch(
    fields: &Fields<'_>,
    asset: &Asset,
    reads_itself: bool,
    sink: &mut Sink,
) -> Option<NonZeroU32> {
    let value = fields.get("batch")?;
    let batch = value.integer("batch", 1..BATCH_MAX + 1, sink);
    let reason = match (&asset.body, &asset.output) {
        (Body::Sql(_), _) => "SQL runs within this process, so a partition at a time costs nothing",
        (_, OutputDef::Pieces) => "a step with `outputs` makes all pieces at once anyway",
        _ if asset.partitions == PartitionsDef::Unpartitioned => "it has only one partition",
        _ if reads_itself => "its partitions read each other, so they are made one after the other",
        _ => return batch.and_then(|batch| NonZeroU32::new(u32::try_from(batch).ok()?)),
    };
    if fields.own("batch").is_some() {
        let message = format!("`{}` cannot be made in batches", asset.key);
        sink.push(
            value.place().error(message).label("several partitions by one step").help(reason),
        );
    }
    None
}

/// Reads the value of `retries`: a number, or a table.
pub(super) fn retries(value: Value<'_>, sink: &mut Sink) -> Retries {
    let count = |value: Value<'_>, sink: &mut Sink| {
        let max = value.integer("retries", 0..RETRIES_MAX + 1, sink);
        max.and_then(|max| u32::try_from(max).ok()).unwrap_or(0)
    };
    if matches!(value.node.kind, Kind::Number(_)) {
        return Retries { max: count(value, sink), ..Retries::default() };
    }
    let Some(table) = value.as_table() else {
        let place = value.place();
        sink.push(
            place
                .error("`retries` must be a number or a table")
                .label("expected a number or a table")
                .help("for example `retries: {max: 3, delay: 30s, backoff: exponential}`"),
        );
        return Retries::default();
    };
    let known = table.allow(&[RETRY_KEYS], "`retries`", sink);
    let max = match table.get("max") {
        Some(max) => count(max, sink),
        None if !known => 0,
        None => {
            sink.push(
                table.place().error("`retries` does not say how many").label("no `max` here"),
            );
            0
        }
    };
    let delay = table.get("delay").and_then(|value| duration(value, "delay", sink));
    let backoff = table.get("backoff").and_then(|value| value.word("backoff", BACKOFFS, sink));
    let backoff = match backoff {
        Some("linear") => Backoff::Linear,
        Some("exponential") => Backoff::Exponential,
        Some(_) | None => Backoff::Constant,
    };
    let jitter = table.get("jitter").and_then(|value| value.word("jitter", JITTERS, sink));
    let jitter = match jitter {
        Some("full") => Jitter::Full,
        Some("plus_minus") => Jitter::PlusMinus,
        Some(_) | None => Jitter::None,
    };
    let fatal = table.get("fatal").map(|value| fatal(value, sink)).unwrap_or_default();
    Retries { max, delay: delay.unwrap_or_default(), backoff, jitter, fatal }
}

/// One exit status, or several.
fn fatal(value: Value<'_>, sink: &mut Sink) -> BTreeSet<i32> {
    let items: Vec<Value<'_>> = match value.as_list() {
        Some(items) => items.collect(),
        None => vec![value],
    };
    let status = |item: Value<'_>| item.integer("fatal", 1..256, sink);
    items.into_iter().filter_map(status).filter_map(|it| i32::try_from(it).ok()).collect()
}

/// A duration such as `10m` or `1h 30m`.
pub(super) fn duration(value: Value<'_>, what: &str, sink: &mut Sink) -> Option<Duration> {
    let text = value.written(what, sink)?;
    let read = humantime::parse_duration(&text).ok().filter(|duration| !duration.is_zero());
    if read.is_none() {
        sink.push(
            value
                .place()
                .error(format!("`{what}` must be a duration, not `{text}`"))
                .label("expected a number and a unit")
                .help("for example `30s`, `10m` or `1h 30m`"),
        );
    }
    read
}

/// A size such as `64MB`, `4KiB`, or a plain number of bytes.
pub(super) fn size(value: Value<'_>, what: &str, sink: &mut Sink) -> Option<u64> {
    let text = value.written(what, sink)?;
    let read = parse_size(&text);
    if read.is_none() {
        sink.push(
            value
                .place()
                .error(format!("`{what}` must be a size, not `{text}`"))
                .label("expected a number and a unit")
                .help("for example `4096`, `64MB` or `16KiB`"),
        );
    }
    read
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, size) in [("4096", 4096), ("64MB", 64_000_000), ("16 KiB", 16 << 10)] {
            assert_eq!(parse_size(text), Some(size));
        }
        for text in ["", "MB", "1 XB", "-1", "99999999999GB", "1.5MB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
