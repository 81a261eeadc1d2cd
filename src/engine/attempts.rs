//! Writes down the attempts of a step: how long each took, and what it took of the machine.

use std::path::Path;
use std::time::Duration;

use super::target::Target;
use super::work::log_text;
use crate::base::RunId;
use crate::exec::{Earlier, Outcome};
use crate::store::{AttemptEnd, Error, NewAttempt, Outcome as Ended, Tx};

/// How the last attempt at a partition ended.
pub(super) struct End<'a> {
    pub run: RunId,
    pub outcome: Ended,
    /// One sentence; empty after success.
    pub detail: &'a str,
    /// Of what it made.
    pub size_bytes: Option<u64>,
}

/// Records how the attempts at a partition ended, of which the first was recorded when it began.
pub(super) fn end(
    tx: &mut Tx<'_>,
    root: &Path,
    target: &Target,
    outcome: &Outcome,
    end: &End<'_>,
) -> Result<(), Error> {
    let log = log_text(root, outcome.log.as_ref());
    let mut last = AttemptEnd {
        duration_ms: ms(outcome.duration),
        outcome: end.outcome,
        detail: end.detail,
        log: log.as_deref(),
        usage: outcome.usage,
        size_bytes: end.size_bytes,
    };
    let mut begun = Duration::ZERO;
    for (attempt, Earlier { duration, next, usage, reason }) in (1..).zip(&outcome.earlier) {
        // They share one log.
        let failed = AttemptEnd {
            duration_ms: ms(*duration),
            outcome: Ended::Failure,
            detail: reason,
            usage: *usage,
            size_bytes: None,
            ..last
        };
        put(tx, target, end.run, attempt, begun, &failed)?;
        last.duration_ms = last.duration_ms.saturating_sub(ms(*duration));
        begun = *next;
    }
    let attempt = u32::try_from(outcome.earlier.len()).unwrap_or(u32::MAX - 1) + 1;
    put(tx, target, end.run, attempt, begun, &last)
}

fn put(
    tx: &mut Tx<'_>,
    target: &Target,
    run: RunId,
    attempt: u32,
    begun: Duration,
    end: &AttemptEnd<'_>,
) -> Result<(), Error> {
    let Target { asset, part, started_ms, .. } = target;
    if attempt > 1 {
        let begun_ms = i64::try_from(begun.as_millis()).unwrap_or(i64::MAX);
        let started_ms = started_ms.saturating_add(begun_ms);
        tx.start_attempt(&NewAttempt { run, asset, part: *part, attempt, started_ms })?;
    }
    tx.finish_attempt(run, asset, *part, attempt, end)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
