//! Decides which instant a local time means where daylight saving makes it mean none or two.
//!
//! One rule at every hour: a local time that a clock change skips means the end of the gap; one that
//! occurs twice means its second occurrence, unless the caller asks for the first.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// What a local time means in a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Once(DateTime<Utc>),
    /// The end of the gap that skips it.
    Skipped(DateTime<Utc>),
    Twice(DateTime<Utc>, DateTime<Utc>),
}

impl Meaning {
    pub(super) fn last(self) -> DateTime<Utc> {
        match self {
            Meaning::Once(at) | Meaning::Skipped(at) | Meaning::Twice(_, at) => at,
        }
    }

    pub(super) fn first(self) -> DateTime<Utc> {
        match self {
            Meaning::Once(at) | Meaning::Skipped(at) | Meaning::Twice(at, _) => at,
        }
    }
}

pub(super) fn meaning(tz: Tz, local: NaiveDateTime) -> Meaning {
    // Most projects are in UTC, and keys of a million partitions ask this a few million times.
    if tz == Tz::UTC {
        return Meaning::Once(local.and_utc());
    }
    let at = |offset: i64| shift(local, -offset).and_utc();
    match tz.offset_from_local_datetime(&local) {
        MappedLocalTime::Single(offset) => Meaning::Once(at(seconds(&offset))),
        MappedLocalTime::Ambiguous(a, b) => {
            let (a, b) = (at(seconds(&a)), at(seconds(&b)));
            Meaning::Twice(a.min(b), a.max(b))
        }
        MappedLocalTime::None => Meaning::Skipped(gap_end(tz, local)),
    }
}

/// The instant of a local time by the rule of this module.
pub(super) fn resolve(tz: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    meaning(tz, local).last()
}

pub(super) fn local(tz: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    shift(at.naive_utc(), offset(tz, at))
}

/// Seconds east of Greenwich.
pub(super) fn offset(tz: Tz, at: DateTime<Utc>) -> i64 {
    if tz == Tz::UTC {
        return 0;
    }
    seconds(&tz.offset_from_utc_datetime(&at.naive_utc()))
}

/// The first instant of each new offset between `from` and `to`, as far as offsets differ at samples
/// `step_days` apart and `matters` says that the pair of them is of interest.
pub(super) fn changes(
    tz: Tz,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step_days: i64,
    matters: impl Fn(i64, i64) -> bool,
) -> Vec<DateTime<Utc>> {
    let mut found = Vec::new();
    let mut at = from.timestamp();
    let mut before = offset(tz, from);
    while at < to.timestamp() {
        let next = (at + step_days * 86_400).min(to.timestamp());
        let after = offset_at(tz, next);
        if matters(before, after) {
            let still = |second: i64| !matters(before, offset_at(tz, second));
            found.extend(instant(bisect(at, next, still)));
        }
        (at, before) = (next, after);
    }
    found
}

/// Moves within the calendar; stays where it is at the calendar's ends, which no project reaches.
pub(super) fn shift(local: NaiveDateTime, seconds: i64) -> NaiveDateTime {
    TimeDelta::try_seconds(seconds).and_then(|by| local.checked_add_signed(by)).unwrap_or(local)
}

pub(super) fn instant(second: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(second, 0)
}

fn offset_at(tz: Tz, second: i64) -> i64 {
    instant(second).map_or(0, |at| offset(tz, at))
}

fn seconds(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc())
}

fn gap_end(tz: Tz, skipped: NaiveDateTime) -> DateTime<Utc> {
    // No clock change moves by more than a day, so the gap's end is near.
    let target = skipped.and_utc().timestamp();
    let before = |second: i64| second + offset_at(tz, second) <= target;
    let near = 36 * 3600;
    let end = bisect(target - near, target + near, before);
    instant(end).unwrap_or_else(|| skipped.and_utc())
}

/// The first number after `low` for which `before` is false, if it is false for `high`.
pub(super) fn bisect(mut low: i64, mut high: i64, before: impl Fn(i64) -> bool) -> i64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: &str, local_text: &str, expected: &str) {
        let tz: Tz = zone.parse().unwrap();
        let local = NaiveDateTime::parse_from_str(local_text, "%Y-%m-%dT%H:%M").unwrap();
        assert_eq!(resolve(tz, local).format("%Y-%m-%dT%H:%MZ").to_string(), expected);
    }

    #[test]
    fn a_skipped_time_is_the_end_of_the_gap() {
        check("America/New_York", "2024-03-10T02:30", "2024-03-10T07:00Z");
        check("America/Sao_Paulo", "2018-11-04T00:00", "2018-11-04T03:00Z");
        check("Australia/Lord_Howe", "2024-10-06T02:15", "2024-10-05T15:30Z");
        check("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00Z");
    }

    #[test]
    fn a_time_that_occurs_twice_is_its_second_occurrence() {
        check("America/New_York", "2024-11-03T01:30", "2024-11-03T06:30Z");
        check("America/Havana", "2024-11-03T00:00", "2024-11-03T05:00Z");
    }
}
