//! The calendar of a cadence: number, start and end of each window, without regard to which exist.
//!
//! A number is the index of the window in a domain. Every operation is arithmetic on the calendar (a
//! cron searches days), so nothing here depends on how far `start` or `now` are away. A number
//! without a window exists too (31 April, a day that a zone skipped); then `start` is `None`.

use std::fmt::Write as _;

use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{
    DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc, Weekday,
};
use chrono_tz::Tz;

use super::cron::CronRule;
use super::zone::{self, Meaning};
use super::{Cadence, TimeWindowDef, TimeWindowError, WindowUnit};

/// Unix time of the first instant of year 1, UTC.
const YEAR_ONE: i64 = -62_135_596_800;

/// The windows of a cadence in a zone, and how they are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calendar {
    tz: Tz,
    rule: Rule,
    items: Vec<Item<'static>>,
    /// The format writes the offset from UTC, so that no two keys are equal in a repeated hour.
    says_offset: bool,
    /// Sorted.
    excluded: Vec<i64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Hourly { minute: i64 },
    Daily { time: NaiveTime },
    Weekly { day: i64, time: NaiveTime },
    Monthly { day: u32, time: NaiveTime },
    Cron(Box<CronRule>),
}

impl Calendar {
    pub(super) fn new(def: &TimeWindowDef) -> Result<Calendar, TimeWindowError> {
        let rule = Rule::new(&def.cadence)?;
        let items = StrftimeItems::new(&def.format).parse_to_owned().map_err(|_| {
            TimeWindowError::Format {
                format: def.format.clone(),
                reason: "it is not in the form of `strftime`".to_owned(),
            }
        })?;
        let says_offset = ["%z", "%:z", "%#z", "%+", "%s", "%c", "%Z", "%::z"]
            .iter()
            .any(|code| def.format.contains(code));
        let mut calendar =
            Calendar { tz: def.timezone, rule, items, says_offset, excluded: Vec::new() };
        let mut excluded: Vec<i64> = Vec::new();
        for local in &def.exclusions {
            let meaning = zone::meaning(def.timezone, *local);
            for at in [meaning.first(), meaning.last()] {
                excluded.extend(calendar.at(at).filter(|n| calendar.start(*n) == Some(at)));
            }
        }
        excluded.sort_unstable();
        excluded.dedup();
        calendar.excluded = excluded;
        Ok(calendar)
    }

    pub(super) fn tz(&self) -> Tz {
        self.tz
    }

    pub(super) fn excluded(&self) -> &[i64] {
        &self.excluded
    }

    pub(super) fn is_excluded(&self, number: i64) -> bool {
        self.excluded.binary_search(&number).is_ok()
    }

    /// When the window begins; `None` if there is no window of this number.
    pub(super) fn start(&self, number: i64) -> Option<DateTime<Utc>> {
        match &self.rule {
            Rule::Hourly { minute } => self.hour_start(number, *minute),
            Rule::Daily { .. } => {
                let meaning = zone::meaning(self.tz, self.nominal(number)?);
                match meaning {
                    Meaning::Once(at) | Meaning::Twice(_, at) => Some(at),
                    // A day that the zone skipped as a whole would be an empty window.
                    Meaning::Skipped(at) => {
                        let next = zone::resolve(self.tz, self.nominal(number + 1)?);
                        (next > at).then_some(at)
                    }
                }
            }
            Rule::Weekly { .. } | Rule::Monthly { .. } => {
                Some(zone::resolve(self.tz, self.nominal(number)?))
            }
            Rule::Cron(rule) => {
                let minute = zone::instant(number.checked_mul(60)?.checked_add(YEAR_ONE)?)?;
                // Offsets before standard time have seconds; a tick then lies within its minute.
                let within = minute + chrono::TimeDelta::try_seconds(59)?;
                rule.up_to(self.tz, within).filter(|tick| *tick >= minute)
            }
        }
    }

    pub(super) fn end(&self, number: i64) -> Option<DateTime<Utc>> {
        self.start(self.next(number)?)
    }

    /// The number of the next window.
    pub(super) fn next(&self, number: i64) -> Option<i64> {
        match &self.rule {
            Rule::Hourly { .. }
            | Rule::Daily { .. }
            | Rule::Weekly { .. }
            | Rule::Monthly { .. } => {
                (number + 1..number + 40).find(|number| self.start(*number).is_some())
            }
            Rule::Cron(rule) => {
                let minute = zone::instant(number.checked_mul(60)?.checked_add(YEAR_ONE + 59)?)?;
                rule.after(self.tz, minute).map(minute_number)
            }
        }
    }

    /// The number of the window before.
    pub(super) fn prev(&self, number: i64) -> Option<i64> {
        match &self.rule {
            Rule::Hourly { .. }
            | Rule::Daily { .. }
            | Rule::Weekly { .. }
            | Rule::Monthly { .. } => {
                (number - 40..number).rev().find(|number| self.start(*number).is_some())
            }
            Rule::Cron(rule) => {
                let minute = zone::instant(number.checked_mul(60)?.checked_add(YEAR_ONE - 1)?)?;
                rule.up_to(self.tz, minute).map(minute_number)
            }
        }
    }

    /// The window that `count` windows later begins, excluded ones not counted.
    pub(super) fn step(&self, number: i64, count: i64) -> Option<i64> {
        if let Some(number) = self.leap(number, count) {
            return Some(number);
        }
        let mut at = number;
        let mut left = count.abs();
        while left > 0 {
            at = if count > 0 { self.next(at)? } else { self.prev(at)? };
            left -= i64::from(!self.is_excluded(at));
        }
        Some(at)
    }

    /// The window in which an instant lies.
    pub(super) fn at(&self, at: DateTime<Utc>) -> Option<i64> {
        let mut number = match &self.rule {
            Rule::Hourly { .. } => (at.timestamp() - YEAR_ONE).div_euclid(3600),
            Rule::Daily { .. } | Rule::Weekly { .. } | Rule::Monthly { .. } => {
                self.of_date(zone::local(self.tz, at).date())
            }
            Rule::Cron(rule) => return rule.up_to(self.tz, at).map(minute_number),
        };
        // The guess is at most one window off, unless numbers without windows are about.
        if self.start(number).is_none_or(|start| start > at) {
            number = self.prev(number)?;
        }
        while self.start(number).is_none_or(|start| start > at) {
            number = self.prev(number)?;
        }
        while let Some(next) = self.next(number)
            && self.start(next).is_some_and(|start| start <= at)
        {
            number = next;
        }
        Some(number)
    }

    /// The first window that begins at or after an instant.
    pub(super) fn first_from(&self, at: DateTime<Utc>) -> Option<i64> {
        match self.at(at) {
            Some(number) if self.start(number) == Some(at) => Some(number),
            Some(number) => self.next(number),
            None => match &self.rule {
                Rule::Cron(rule) => rule.after(self.tz, at).map(minute_number),
                Rule::Hourly { .. }
                | Rule::Daily { .. }
                | Rule::Weekly { .. }
                | Rule::Monthly { .. } => None,
            },
        }
    }

    /// The local start of a window as the rule says it, though clocks may skip it. Months without
    /// the day have none; nor have hours and ticks, which are numbered by instants.
    pub(super) fn nominal(&self, number: i64) -> Option<NaiveDateTime> {
        let date = |days: i64| NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?);
        match &self.rule {
            Rule::Daily { time } => Some(date(number)?.and_time(*time)),
            Rule::Weekly { day, time } => Some(date(number * 7 + day)?.and_time(*time)),
            Rule::Monthly { day, time } => {
                let year = i32::try_from(number.div_euclid(12)).ok()?;
                let month = u32::try_from(number.rem_euclid(12)).ok()? + 1;
                Some(NaiveDate::from_ymd_opt(year, month, *day)?.and_time(*time))
            }
            Rule::Hourly { .. } | Rule::Cron(_) => None,
        }
    }

    /// Numbers from `first` to `last` that have no window, cheaply: clock changes are looked for,
    /// not days. `None` where numbers are sparse, so that windows are to be enumerated instead.
    pub(super) fn holes(&self, first: i64, last: i64) -> Option<Vec<i64>> {
        let near = |step_days: i64, matters: &dyn Fn(i64, i64) -> bool| {
            let (Some(from), Some(to)) = (self.start_near(first), self.start_near(last)) else {
                return Vec::new();
            };
            let changes = zone::changes(self.tz, from, to, step_days, matters);
            let around = changes.into_iter().filter_map(|at| self.at(at));
            around.flat_map(|number| number - 26..=number + 26).collect()
        };
        let candidates: Vec<i64> = match &self.rule {
            Rule::Hourly { .. } => near(20, &|a, b| (a - b) % 3600 != 0),
            Rule::Daily { .. } => near(366, &|a, b| b - a > 20 * 3600),
            Rule::Weekly { .. } => Vec::new(),
            Rule::Monthly { day, .. } if *day <= 28 => Vec::new(),
            Rule::Monthly { .. } => (first..=last).collect(),
            Rule::Cron(_) => return None,
        };
        Some(candidates.into_iter().filter(|number| self.start(*number).is_none()).collect())
    }

    /// The numbers of all windows that begin from `from` to `to`; for sparse calendars.
    pub(super) fn ticks(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<i64> {
        match &self.rule {
            Rule::Cron(rule) => {
                rule.between(self.tz, from, to).into_iter().map(minute_number).collect()
            }
            Rule::Hourly { .. }
            | Rule::Daily { .. }
            | Rule::Weekly { .. }
            | Rule::Monthly { .. } => Vec::new(),
        }
    }

    /// The windows that overlap a span of time.
    pub(super) fn within(&self, begin: DateTime<Utc>, end: DateTime<Utc>) -> Vec<i64> {
        let first = self.at(begin).or_else(|| self.first_from(begin));
        let before_end = zone::instant(end.timestamp() - 1);
        let (Some(first), Some(before_end), true) = (first, before_end, begin < end) else {
            return Vec::new();
        };
        if !self.is_dense() {
            let first = self.start(first).unwrap_or(begin);
            return self.ticks(first, before_end);
        }
        let last = self.at(before_end).unwrap_or(first);
        (first..=last).filter(|number| self.start(*number).is_some()).collect()
    }

    /// True if all windows are of one length but for clock changes.
    pub(super) fn is_even(&self) -> bool {
        match &self.rule {
            Rule::Hourly { .. } | Rule::Daily { .. } | Rule::Weekly { .. } => true,
            Rule::Monthly { .. } | Rule::Cron(_) => false,
        }
    }

    /// True if neighbours have neighbouring numbers.
    pub(super) fn is_dense(&self) -> bool {
        !matches!(self.rule, Rule::Cron(_))
    }

    /// The unit that counts these windows, if one does.
    pub(super) fn unit(&self) -> Option<WindowUnit> {
        match &self.rule {
            Rule::Hourly { .. } => Some(WindowUnit::Hours),
            Rule::Daily { .. } => Some(WindowUnit::Days),
            Rule::Weekly { .. } => Some(WindowUnit::Weeks),
            Rule::Monthly { .. } => Some(WindowUnit::Months),
            Rule::Cron(_) => None,
        }
    }

    /// True if both passes through a repeated hour have windows.
    pub(super) fn repeats(&self) -> bool {
        match &self.rule {
            Rule::Hourly { .. } => true,
            Rule::Cron(rule) => rule.every_hour(),
            Rule::Daily { .. } | Rule::Weekly { .. } | Rule::Monthly { .. } => false,
        }
    }

    /// The key of a window.
    pub(super) fn key(&self, number: i64) -> Option<String> {
        let start = self.start(number)?;
        let actual = start.with_timezone(&self.tz);
        let mut text = String::new();
        let written = match self.nominal(number) {
            // Where clocks skip midnight into another date, the key still says the declared date.
            Some(nominal) if nominal.date() != actual.date_naive() => {
                let offset =
                    FixedOffset::east_opt(i32::try_from(zone::offset(self.tz, start)).ok()?)?;
                let shown = offset.from_local_datetime(&nominal).single()?;
                write!(text, "{}", shown.format_with_items(self.items.iter()))
            }
            Some(_) | None => write!(text, "{}", actual.format_with_items(self.items.iter())),
        };
        written.ok()?;
        if self.repeats_hours()
            && let Meaning::Twice(_, second) = zone::meaning(self.tz, actual.naive_local())
            && second == start
        {
            write!(text, "{}", actual.format("%z")).ok()?;
        }
        Some(text)
    }

    /// The window whose key is exactly this.
    pub(super) fn parse_key(&self, text: &str) -> Option<i64> {
        self.parse_plain(text).or_else(|| {
            // The second of two equal keys has the offset behind it.
            let cut = text.len().checked_sub(5).filter(|cut| text.is_char_boundary(*cut))?;
            let (plain, _) = text.split_at(cut);
            let number = if self.repeats_hours() { self.second_of(plain) } else { None };
            number.filter(|number| self.key(*number).as_deref() == Some(text))
        })
    }

    fn parse_plain(&self, text: &str) -> Option<i64> {
        let local = self.read(text)?;
        let is_it = |number: &i64| self.key(*number).as_deref() == Some(text);
        match &self.rule {
            Rule::Daily { .. } | Rule::Weekly { .. } | Rule::Monthly { .. } => {
                Some(self.of_date(local.date())).filter(is_it)
            }
            Rule::Hourly { .. } => {
                let meaning = zone::meaning(self.tz, local);
                let hour = |at: DateTime<Utc>| (at.timestamp() - YEAR_ONE).div_euclid(3600);
                [meaning.first(), meaning.last()].map(hour).into_iter().find(is_it)
            }
            Rule::Cron(_) => {
                let begin = self.first_from(zone::meaning(self.tz, local).first())?;
                let second = self.first_from(zone::resolve(self.tz, local));
                [Some(begin), second].into_iter().flatten().find(is_it)
            }
        }
    }

    fn second_of(&self, plain: &str) -> Option<i64> {
        match zone::meaning(self.tz, self.read(plain)?) {
            Meaning::Twice(_, second) => self.first_from(second),
            Meaning::Once(_) | Meaning::Skipped(_) => None,
        }
    }

    /// Reads the local time that a key says; what the format leaves out is as at the start of a window.
    fn read(&self, text: &str) -> Option<NaiveDateTime> {
        let mut parsed = Parsed::new();
        parse(&mut parsed, text, self.items.iter()).ok()?;
        let date = parsed.to_naive_date().ok().or_else(|| {
            let mut fuller = parsed.clone();
            if let Some(quarter) = fuller.quarter() {
                fuller.set_month(i64::from(quarter) * 3 - 2).ok()?;
            }
            if fuller.isoweek().is_some()
                || fuller.week_from_sun().is_some()
                || fuller.week_from_mon().is_some()
            {
                fuller.set_weekday(self.first_weekday()).ok()?;
            } else {
                if fuller.month().is_none() {
                    fuller.set_month(1).ok()?;
                }
                if fuller.day().is_none() {
                    fuller.set_day(1).ok()?;
                }
            }
            fuller.to_naive_date().ok()
        });
        let time = parsed.to_naive_time().ok().or_else(|| {
            let mut fuller = parsed.clone();
            if fuller.hour_div_12().is_none() && fuller.hour_mod_12().is_none() {
                fuller.set_hour(0).ok()?;
            }
            if fuller.minute().is_none() {
                fuller.set_minute(0).ok()?;
            }
            fuller.to_naive_time().ok()
        });
        match (date, time, parsed.timestamp()) {
            (_, _, Some(second)) => Some(zone::local(self.tz, zone::instant(second)?)),
            (Some(date), Some(time), None) => Some(date.and_time(time)),
            (None, _, None) | (_, None, None) => None,
        }
    }

    fn first_weekday(&self) -> Weekday {
        match &self.rule {
            Rule::Weekly { day: 0, .. } => Weekday::Sun,
            Rule::Weekly { day, .. } => {
                Weekday::try_from(u8::try_from(*day - 1).unwrap_or(0)).unwrap_or(Weekday::Mon)
            }
            Rule::Hourly { .. } | Rule::Daily { .. } | Rule::Monthly { .. } | Rule::Cron(_) => {
                Weekday::Mon
            }
        }
    }

    fn repeats_hours(&self) -> bool {
        self.repeats() && !self.says_offset
    }

    /// The number that a date belongs to; the window may begin later that day.
    fn of_date(&self, date: NaiveDate) -> i64 {
        let days = i64::from(date.num_days_from_ce());
        match &self.rule {
            Rule::Weekly { day, .. } => (days - day).div_euclid(7),
            Rule::Monthly { .. } => i64::from(date.year()) * 12 + i64::from(date.month0()),
            Rule::Daily { .. } | Rule::Hourly { .. } | Rule::Cron(_) => days,
        }
    }

    fn hour_start(&self, number: i64, minute: i64) -> Option<DateTime<Utc>> {
        let base = number.checked_mul(3600)?.checked_add(YEAR_ONE)?;
        let mut offset = zone::offset(self.tz, zone::instant(base)?);
        // At most one clock change in an hour; the second look has the offset after it.
        for _ in 0..2 {
            let start = zone::instant(base + (minute * 60 - base - offset).rem_euclid(3600))?;
            let there = zone::offset(self.tz, start);
            if there == offset {
                return Some(start);
            }
            offset = there;
        }
        None
    }

    fn start_near(&self, number: i64) -> Option<DateTime<Utc>> {
        self.start(number).or_else(|| self.start(self.next(number)?))
    }

    /// Steps by arithmetic, where it is sure that no number on the way lacks a window.
    fn leap(&self, number: i64, count: i64) -> Option<i64> {
        let far = number.checked_add(count)?;
        if !self.excluded.is_empty() {
            return None;
        }
        let is_full = match &self.rule {
            Rule::Weekly { .. } => true,
            Rule::Monthly { day, .. } => *day <= 28,
            Rule::Daily { .. } | Rule::Hourly { .. } => {
                self.holes(number.min(far), number.max(far)).is_some_and(|holes| holes.is_empty())
            }
            Rule::Cron(_) => false,
        };
        (is_full && self.start(far).is_some()).then_some(far)
    }
}

impl Rule {
    fn new(cadence: &Cadence) -> Result<Rule, TimeWindowError> {
        let within = |name: &'static str, value: u32, range: std::ops::RangeInclusive<u32>| {
            if range.contains(&value) {
                return Ok(value);
            }
            Err(TimeWindowError::Field { name, value, low: *range.start(), high: *range.end() })
        };
        let time = |hour: u32, minute: u32| {
            let (hour, minute) = (within("hour", hour, 0..=23)?, within("minute", minute, 0..=59)?);
            Ok(NaiveTime::from_hms_opt(hour, minute, 0).expect("both were just checked"))
        };
        Ok(match cadence {
            Cadence::Hourly { minute } => {
                Rule::Hourly { minute: i64::from(within("minute", *minute, 0..=59)?) }
            }
            Cadence::Daily { hour, minute } => Rule::Daily { time: time(*hour, *minute)? },
            Cadence::Weekly { day, hour, minute } => Rule::Weekly {
                day: i64::from(within("day", *day, 0..=6)?),
                time: time(*hour, *minute)?,
            },
            Cadence::Monthly { day, hour, minute } => {
                Rule::Monthly { day: within("day", *day, 1..=31)?, time: time(*hour, *minute)? }
            }
            Cadence::Cron(text) => Rule::Cron(
                CronRule::parse(text)
                    .map(Box::new)
                    .map_err(|reason| TimeWindowError::Cron { expression: text.clone(), reason })?,
            ),
        })
    }
}

fn minute_number(at: DateTime<Utc>) -> i64 {
    (at.timestamp() - YEAR_ONE).div_euclid(60)
}
