//! Time-window partitions: hourly, daily, weekly, monthly, any cron, in a time zone.
//!
//! Indexes are calendar ordinals, so they do not move when `start` or `end` change: UTC hours since
//! year 1 for hourly, local day numbers for daily, week numbers for weekly, year x 12 + month for
//! monthly, UTC minutes since year 1 of the tick for cron.

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::calendar::Calendar;
use super::zone;
use crate::base::{PartitionIdx, PartitionSet};

/// A declared set of time windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeWindowDef {
    pub cadence: Cadence,
    /// Local time; the first window is the first that begins at or after it.
    pub start: NaiveDateTime,
    /// Local time, excluded.
    pub end: Option<NaiveDateTime>,
    pub timezone: Tz,
    /// How a key is written: the local start of its window in chrono's `strftime` form.
    pub format: String,
    /// How many windows beyond the last complete one exist.
    pub end_offset: i32,
    /// Windows that do not exist: those that begin at these local times.
    pub exclusions: Vec<NaiveDateTime>,
}

/// How often a window begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cadence {
    Hourly {
        minute: u32,
    },
    Daily {
        hour: u32,
        minute: u32,
    },
    /// `day` 0 is Sunday.
    Weekly {
        day: u32,
        hour: u32,
        minute: u32,
    },
    Monthly {
        day: u32,
        hour: u32,
        minute: u32,
    },
    Cron(String),
}

/// Why a declared set of time windows makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeWindowError {
    #[error("`{expression}` is not a cron expression: {reason}")]
    Cron { expression: String, reason: String },
    #[error("`{name}` is {value}, but it goes from {low} to {high}")]
    Field { name: &'static str, value: u32, low: u32, high: u32 },
    #[error("the format `{format}` cannot name these windows: {reason}")]
    Format { format: String, reason: String },
    #[error("`start` is {start}, which is not before `end`, {end}")]
    Backwards { start: NaiveDateTime, end: NaiveDateTime },
    #[error("`start` is {start}, but no window begins after it")]
    Never { start: NaiveDateTime },
}

/// How many windows from the first on `validate` writes and reads back: enough to see that a format
/// lacks the hour, the day, the month or the year of the cadences that need them.
const SAMPLED: usize = 40;

impl TimeWindowDef {
    /// The form of keys where none is declared; a cron has none, as its windows may be of any length.
    pub fn default_format(cadence: &Cadence) -> Option<&'static str> {
        match cadence {
            Cadence::Hourly { .. } => Some("%Y-%m-%d-%H:%M"),
            Cadence::Daily { .. } | Cadence::Weekly { .. } => Some("%Y-%m-%d"),
            Cadence::Monthly { .. } => Some("%Y-%m"),
            Cadence::Cron(_) => None,
        }
    }

    /// Checks the whole: cron, format (must tell windows apart and be readable back), `start` < `end`.
    pub fn validate(&self) -> Result<(), TimeWindowError> {
        let calendar = Calendar::new(self)?;
        if let Some(end) = self.end
            && end <= self.start
        {
            return Err(TimeWindowError::Backwards { start: self.start, end });
        }
        let never = TimeWindowError::Never { start: self.start };
        let first = calendar.first_from(zone::resolve(self.timezone, self.start)).ok_or(never)?;
        let mut number = first;
        for _ in 0..SAMPLED {
            let Some(next) = calendar.next(number) else { break };
            self.check_format(&calendar, number, next)?;
            number = next;
        }
        Ok(())
    }

    fn check_format(
        &self,
        calendar: &Calendar,
        number: i64,
        next: i64,
    ) -> Result<(), TimeWindowError> {
        let error =
            |reason: String| TimeWindowError::Format { format: self.format.clone(), reason };
        let key = calendar.key(number).ok_or_else(|| error("it cannot be written".to_owned()))?;
        if calendar.key(next).as_ref() == Some(&key) {
            return Err(error(format!("two windows in a row would be `{key}`")));
        }
        if calendar.parse_key(&key) != Some(number) {
            return Err(error(format!("`{key}` does not say which window it is")));
        }
        Ok(())
    }

    /// Kind, offsets and zone: what the numbers of windows mean.
    pub(super) fn numbering(&self) -> String {
        let zone = self.timezone.name();
        match &self.cadence {
            Cadence::Hourly { minute } => format!("hourly minute={minute} zone={zone}"),
            Cadence::Daily { hour, minute } => {
                format!("daily hour={hour} minute={minute} zone={zone}")
            }
            Cadence::Weekly { day, hour, minute } => {
                format!("weekly day={day} hour={hour} minute={minute} zone={zone}")
            }
            Cadence::Monthly { day, hour, minute } => {
                format!("monthly day={day} hour={hour} minute={minute} zone={zone}")
            }
            Cadence::Cron(text) => format!("cron {text:?} zone={zone}"),
        }
    }

    pub(super) fn spec(&self) -> String {
        let time = |at: &NaiveDateTime| at.format("%Y-%m-%dT%H:%M:%S").to_string();
        let mut spec = format!("{} start={}", self.numbering(), time(&self.start));
        if let Some(end) = &self.end {
            spec += &format!(" end={}", time(end));
        }
        spec += &format!(" format={:?} end_offset={}", self.format, self.end_offset);
        for excluded in &self.exclusions {
            spec += &format!(" without={}", time(excluded));
        }
        spec
    }

    /// Numbers of the first and the last window that exist as of `now`; exclusions are not considered.
    pub(super) fn bounds(&self, calendar: &Calendar, now: DateTime<Utc>) -> Option<(i64, i64)> {
        let first = calendar.first_from(zone::resolve(self.timezone, self.start))?;
        let running = calendar.at(now)?;
        let mut last = calendar.prev(running)?;
        while calendar.is_excluded(last) && last >= first {
            last = calendar.prev(last)?;
        }
        if self.end_offset != 0 {
            last = calendar.step(last, i64::from(self.end_offset))?;
        }
        if let Some(end) = self.end {
            let before = zone::instant(zone::resolve(self.timezone, end).timestamp() - 1)?;
            last = last.min(calendar.at(before)?);
        }
        (first <= last).then_some((first, last))
    }

    /// The windows that exist as of `now`, as indexes.
    pub(super) fn existing(&self, calendar: &Calendar, now: DateTime<Utc>) -> PartitionSet {
        let mut set = PartitionSet::new();
        let Some((first, last)) = self.bounds(calendar, now) else { return set };
        let index = |number: i64| PartitionIdx::try_from(number).ok();
        let (Some(low), Some(high)) = (index(first), index(last)) else { return set };
        match (calendar.holes(first, last), calendar.start(first), calendar.start(last)) {
            (Some(holes), _, _) => {
                set.insert_range(low..=high);
                for hole in holes.into_iter().filter_map(index) {
                    set.remove(hole);
                }
            }
            (None, Some(from), Some(to)) => {
                // Ticks come in ascending order, so this appends.
                set.extend(calendar.ticks(from, to).into_iter().filter_map(index));
            }
            (None, None, _) | (None, _, None) => {}
        }
        for number in calendar.excluded().iter().copied().filter_map(index) {
            set.remove(number);
        }
        set
    }
}
