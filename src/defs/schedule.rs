//! Schedules: when, and which runs that asks for.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::partition::CronRule;
use super::{Origin, Starts};
use crate::base::JobName;

/// One declared schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Of the form of a job's; schedules have a name space of their own.
    pub name: JobName,
    pub origin: Origin,
    /// It ticks when any of them does; at least one.
    pub cron: Vec<CronRule>,
    pub timezone: Tz,
    /// Texts of its configuration may hold `{tick}` and `{tick:%Y-%m-%d}`.
    pub starts: Starts,
    pub partition: TickPartition,
    pub catchup: Catchup,
    /// Labels of its runs; the values are templates.
    pub tags: BTreeMap<String, String>,
    /// Whether it is on unless somebody has switched it.
    pub is_on: bool,
    pub description: Option<String>,
}

/// Which partition a tick is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TickPartition {
    /// All, or what `starts` says.
    AsSaid,
    /// The last that is complete at the time of the tick, and so many before it: 0 for the last itself.
    Latest { back: u32 },
}

/// What becomes of ticks that nobody was there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catchup {
    All,
    /// The newest of them, so many.
    Last(u32),
    /// Each is recorded as skipped.
    None,
}
