//! What a run of a job of ops tells while it goes, and how it went as a whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::RunId;

/// One event of a run of a job. Steps are named by their path within the job, with the piece:
/// `compute[p1]`. An event about how a step ended comes after the transaction that recorded it.
#[derive(Debug, Clone)]
pub enum JobEvent {
    Started {
        run: RunId,
        /// How many steps were chosen; one that is mapped over pieces counts once.
        steps: u64,
    },
    StepStarted {
        step: String,
    },
    StepSucceeded {
        step: String,
        duration: Duration,
        attempts: u32,
        /// In the order of emission: names of outputs, those of pieces as `result[p1]`.
        emitted: Vec<String>,
        /// What the step reported.
        metadata: Vec<serde_json::Value>,
    },
    /// Nothing ran: what the step gave before was taken.
    StepReused {
        step: String,
        /// The run that is retried; `None`: its op says `memo`, and whatever run made it of the same.
        from: Option<RunId>,
        /// What it gave, as of a step that ran.
        emitted: Vec<String>,
    },
    StepFailed {
        step: String,
        duration: Duration,
        attempts: u32,
        reason: String,
        log: Option<PathBuf>,
        log_tail: String,
    },
    /// Something that it needs was not emitted.
    StepSkipped {
        step: String,
    },
    /// Something upstream failed.
    StepBlocked {
        step: String,
    },
    /// What was to be done after a step could not be done; the run goes on.
    HookFailed {
        step: String,
        reason: String,
    },
    Warning {
        message: String,
    },
    Finished {
        summary: JobSummary,
    },
}

/// How a run of a job went, in numbers of steps; one that is mapped over pieces counts once for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSummary {
    pub run: RunId,
    /// Ran and succeeded.
    pub succeeded: u64,
    /// Taken from the run that is retried.
    pub reused: u64,
    /// Taken from any run, since the op says `memo`.
    pub restored: u64,
    pub failed: u64,
    pub skipped: u64,
    pub blocked: u64,
    /// Stopped, or not started, because the run was cancelled.
    pub cancelled: u64,
    pub hooks_failed: u64,
    /// Where the values that steps handed to each other are kept for a retry; `None`: they are gone.
    pub kept: Option<PathBuf>,
}

impl JobSummary {
    /// Of a run in which nothing has happened yet.
    pub fn new(run: RunId) -> JobSummary {
        JobSummary {
            run,
            succeeded: 0,
            reused: 0,
            restored: 0,
            failed: 0,
            skipped: 0,
            blocked: 0,
            cancelled: 0,
            hooks_failed: 0,
            kept: None,
        }
    }

    /// Whether nothing failed and nothing was left undone.
    pub fn is_success(&self) -> bool {
        self.failed == 0 && self.cancelled == 0
    }

    /// The numbers by name, as they are recorded with the run.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let counts = [
            ("ran", self.succeeded),
            ("reused", self.reused),
            ("restored", self.restored),
            ("failed", self.failed),
            ("skipped", self.skipped),
            ("blocked", self.blocked),
            ("cancelled", self.cancelled),
            ("hooks_failed", self.hooks_failed),
        ];
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }
}
