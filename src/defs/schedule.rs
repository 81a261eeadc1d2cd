//! Schedules: when, and which runs that asks for.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
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

impl Schedule {
    /// The first tick after `at`; `None` if there never is one.
    pub fn after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.iter().filter_map(|rule| rule.after(self.timezone, at)).min()
    }

    /// The last tick at or before `at`.
    pub fn up_to(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.iter().filter_map(|rule| rule.up_to(self.timezone, at)).max()
    }

    /// Every tick from `from` to `to`, both included, each once, in ascending order.
    pub fn between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let ticks = self.cron.iter().flat_map(|rule| rule.between(self.timezone, from, to));
        let mut ticks: Vec<DateTime<Utc>> = ticks.collect();
        ticks.sort_unstable();
        ticks.dedup();
        ticks
    }
}

impl std::fmt::Display for Catchup {
    /// As it is declared.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Catchup::All => f.write_str("all"),
            Catchup::Last(1) => f.write_str("last"),
            Catchup::Last(count) => write!(f, "{count}"),
            Catchup::None => f.write_str("none"),
        }
    }
}
