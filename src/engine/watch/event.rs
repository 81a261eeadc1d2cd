//! What a watching engine tells: plain facts, in the order in which they happened.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::event::{RunEvent, Summary};
use super::super::job::{JobEvent, JobSummary};
use super::super::upkeep::Observed;
use crate::base::{AssetKey, Instigator, PartitionSet, TickOutcome};

/// One event, of the watching or of a run that it has started.
#[derive(Debug, Clone)]
pub enum Heard {
    Watch(WatchEvent),
    /// Of the run with this number, counted from 1 in this process.
    Run(u64, RunEvent),
    Job(u64, JobEvent),
}

/// One event of the watching.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// It begins, or what is watched is another.
    Watching {
        /// Directories of which events tell, and those that are looked at every now and then.
        directories: usize,
        polled: usize,
        sources: usize,
        /// Assets that are brought up to date by themselves.
        automated: usize,
        sensors: usize,
        schedules: usize,
    },
    /// A source is not what it was.
    Observed(Observed),
    /// The definitions are others.
    Reloaded {
        changed: Vec<AssetKey>,
        added: Vec<AssetKey>,
        removed: Vec<AssetKey>,
        /// Names of variables of the environment that have other values.
        variables: Vec<String>,
    },
    /// The definitions have errors: those of before stay. What is wrong, as it is shown.
    Broken {
        problems: String,
    },
    /// A sensor or a schedule asked for runs, or failed.
    Ticked {
        of: Instigator,
        outcome: TickOutcome,
        reason: String,
        asked: u64,
        known: u64,
    },
    /// A run is begun, because of what.
    Begun {
        run: u64,
        what: What,
        why: Vec<String>,
    },
    /// It is over.
    Ended {
        run: u64,
        what: What,
        end: End,
    },
    Warning {
        message: String,
    },
    /// Nothing more is begun; so many runs go on.
    Stopping {
        runs: usize,
    },
}

/// What a run is about.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    Assets(BTreeMap<AssetKey, PartitionSet>),
    /// A request of a sensor or a schedule.
    Request {
        of: Instigator,
        text: String,
    },
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum End {
    Assets {
        summary: Summary,
        took: Duration,
    },
    Job {
        summary: JobSummary,
        took: Duration,
    },
    /// It could not begin, or broke off.
    Error(String),
}

impl End {
    pub fn is_success(&self) -> bool {
        match self {
            End::Assets { summary, .. } => summary.is_success(),
            End::Job { summary, .. } => summary.is_success(),
            End::Error(_) => false,
        }
    }
}
