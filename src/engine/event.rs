//! What a run tells while it goes: plain facts, in the order in which they happened.
//!
//! The command line renders them as progress or as JSON lines, tests assert on them. An event about
//! a result comes after the transaction that recorded it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::{AssetKey, PartitionKey, PartitionSet, RunId};
use crate::defs::Severity;
use crate::plan::{Plan, ReasonCode};

/// One event of a run.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// The plan is made; `certain` steps will run, `possible` ones unless they are cut off. They make, and
    /// `restores` bring back, `results` at the most: a step may make several.
    Started {
        run: Option<RunId>,
        certain: u64,
        possible: u64,
        restores: u64,
        results: u64,
        fresh: u64,
    },
    StepStarted {
        asset: AssetKey,
        partition: PartitionKey,
        attempt: u32,
    },
    StepSucceeded {
        asset: AssetKey,
        partition: PartitionKey,
        duration: Duration,
        /// False if the result is what it was before, so that consumers are cut off.
        changed: bool,
        reasons: Vec<ReasonCode>,
    },
    /// A check failed that does not keep the result from being taken.
    CheckFailed {
        asset: AssetKey,
        partition: PartitionKey,
        name: String,
        severity: Severity,
        found: String,
    },
    StepFailed {
        asset: AssetKey,
        partition: PartitionKey,
        duration: Duration,
        reason: String,
        log: Option<PathBuf>,
        log_tail: String,
    },
    /// Results that turned out to be right as they are, because what they read has not changed.
    CutOff {
        asset: AssetKey,
        parts: PartitionSet,
    },
    /// Results that were brought back from the store.
    Restored {
        asset: AssetKey,
        parts: PartitionSet,
    },
    /// Not tried, because of a failure upstream or because an input is missing.
    Blocked {
        asset: AssetKey,
        parts: PartitionSet,
        reason: ReasonCode,
    },
    Exported {
        asset: AssetKey,
        partition: PartitionKey,
        path: PathBuf,
    },
    Warning {
        message: String,
    },
    Finished {
        summary: Summary,
    },
}

impl RunEvent {
    /// The first event of a run that carries out `plan`, of which `fresh` partitions need nothing.
    pub(super) fn started(run: Option<RunId>, plan: &Plan, fresh: u64) -> RunEvent {
        let (certain, possible, restores) = (plan.certain(), plan.possible(), plan.restores());
        RunEvent::Started { run, certain, possible, restores, results: plan.results(), fresh }
    }
}

/// How a run went, in numbers of (asset, partition).
///
/// ```
/// use giornata::engine::Summary;
/// let summary = Summary { ran: 2, unchanged: 1, fresh: 3, ..Summary::default() };
/// assert!(summary.is_success() && !summary.is_idle());
/// assert_eq!(summary.counts()["unchanged"], 1);
/// assert!(!Summary { blocked: 1, ..summary }.is_success());
/// assert!(Summary { fresh: 3, ..Summary::default() }.is_idle());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Steps that ran and succeeded.
    pub ran: u64,
    /// Of those: the result was what it was before.
    pub unchanged: u64,
    /// Steps that failed after their last attempt.
    pub failed: u64,
    /// Brought back from earlier results, because what decides them is as it was then.
    pub restored: u64,
    /// Right as they were, because what they read turned out not to have changed.
    pub cut_off: u64,
    /// Not tried, because something that they read failed or is missing.
    pub blocked: u64,
    /// Checks of results that were taken, where a failure is an error.
    pub checks_failed: u64,
    /// Wanted and fresh from the start, or made by another process meanwhile.
    pub fresh: u64,
    /// Left undone because the run was cancelled.
    pub cancelled: u64,
}

impl Summary {
    /// Whether everything that was wanted is fresh now, and no check failed as an error; see the example of
    /// [`Summary`].
    pub fn is_success(&self) -> bool {
        self.failed == 0 && self.blocked == 0 && self.cancelled == 0 && self.checks_failed == 0
    }

    /// The numbers by name, as they are recorded with the run; see the example of [`Summary`].
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let Summary { ran, unchanged, failed, restored, .. } = *self;
        let Summary { cut_off, blocked, checks_failed, fresh, cancelled, .. } = *self;
        let counts = [
            ("ran", ran),
            ("unchanged", unchanged),
            ("failed", failed),
            ("restored", restored),
            ("cut_off", cut_off),
            ("blocked", blocked),
            ("checks_failed", checks_failed),
            ("fresh", fresh),
            ("cancelled", cancelled),
        ];
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    /// Adds the numbers of another run of the same backfill.
    pub(super) fn add(&mut self, other: &Summary) {
        let Summary { ran, unchanged, failed, restored, .. } = *other;
        let Summary { cut_off, blocked, checks_failed, fresh, cancelled, .. } = *other;
        self.ran += ran;
        self.unchanged += unchanged;
        self.failed += failed;
        self.restored += restored;
        self.cut_off += cut_off;
        self.blocked += blocked;
        self.checks_failed += checks_failed;
        self.fresh += fresh;
        self.cancelled += cancelled;
    }

    /// Whether nothing had to be done; see the example of [`Summary`].
    pub fn is_idle(&self) -> bool {
        *self == Summary { fresh: self.fresh, ..Summary::default() }
    }
}
