//! Time-window partitions: hourly, daily, weekly, monthly, any cron, in a time zone.
//!
//! Indexes are calendar ordinals, so they do not move when `start` or `end` change: UTC hours since
//! year 1 for hourly, local day numbers for daily, week numbers for weekly, year x 12 + month for
//! monthly, UTC minutes since 1970 of the tick for cron.

use chrono::NaiveDateTime;
use chrono_tz::Tz;

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
}

impl TimeWindowDef {
    /// Checks the whole: cron, format (must tell windows apart and be readable back), `start` < `end`.
    pub fn validate(&self) -> Result<(), TimeWindowError> {
        todo!()
    }
}
