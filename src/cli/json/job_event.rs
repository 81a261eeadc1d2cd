//! The lines of `--jsonl` of a run of a job of ops.

use serde::Serialize;
use serde_json::Value;

use crate::engine::{JobEvent, JobSummary};

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum EventLine<'a> {
    Started {
        run: u64,
        steps: u64,
    },
    StepStarted {
        step: &'a str,
    },
    StepSucceeded {
        step: &'a str,
        duration_ms: u64,
        attempts: u32,
        emitted: &'a [String],
        metadata: &'a [Value],
    },
    StepReused {
        step: &'a str,
        /// The run that is retried; null: the op says `memo`.
        from: Option<u64>,
        emitted: &'a [String],
    },
    StepFailed {
        step: &'a str,
        duration_ms: u64,
        attempts: u32,
        reason: &'a str,
        log: Option<String>,
        log_tail: &'a str,
    },
    StepSkipped {
        step: &'a str,
    },
    StepBlocked {
        step: &'a str,
    },
    HookFailed {
        step: &'a str,
        reason: &'a str,
    },
    Warning {
        message: &'a str,
    },
    Finished(SummaryLine),
}

#[derive(Serialize)]
struct SummaryLine {
    success: bool,
    run: u64,
    ran: u64,
    reused: u64,
    restored: u64,
    failed: u64,
    skipped: u64,
    blocked: u64,
    cancelled: u64,
    hooks_failed: u64,
    /// Where the values that steps handed to each other are kept for a retry.
    kept: Option<String>,
}

/// The line of `--jsonl` for an event.
pub(in crate::cli) fn job_event_line(event: &JobEvent) -> String {
    let ms =
        |duration: &std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let line = match event {
        JobEvent::Started { run, steps } => EventLine::Started { run: run.0, steps: *steps },
        JobEvent::StepStarted { step } => EventLine::StepStarted { step },
        JobEvent::StepSucceeded { step, duration, attempts, emitted, metadata } => {
            let (duration_ms, attempts) = (ms(duration), *attempts);
            EventLine::StepSucceeded { step, duration_ms, attempts, emitted, metadata }
        }
        JobEvent::StepReused { step, from, emitted } => {
            EventLine::StepReused { step, from: from.map(|run| run.0), emitted }
        }
        JobEvent::StepFailed { step, duration, attempts, reason, log, log_tail } => {
            EventLine::StepFailed {
                step,
                duration_ms: ms(duration),
                attempts: *attempts,
                reason,
                log: log.as_ref().map(|path| path.display().to_string()),
                log_tail,
            }
        }
        JobEvent::StepSkipped { step } => EventLine::StepSkipped { step },
        JobEvent::StepBlocked { step } => EventLine::StepBlocked { step },
        JobEvent::HookFailed { step, reason } => EventLine::HookFailed { step, reason },
        JobEvent::Warning { message } => EventLine::Warning { message },
        JobEvent::Finished { summary } => EventLine::Finished(SummaryLine::new(summary)),
    };
    serde_json::to_string(&line).expect("the keys are text") + "\n"
}

impl SummaryLine {
    fn new(summary: &JobSummary) -> SummaryLine {
        SummaryLine {
            success: summary.is_success(),
            run: summary.run.0,
            ran: summary.succeeded + summary.failed,
            reused: summary.reused,
            restored: summary.restored,
            failed: summary.failed,
            skipped: summary.skipped,
            blocked: summary.blocked,
            cancelled: summary.cancelled,
            hooks_failed: summary.hooks_failed,
            kept: summary.kept.as_ref().map(|path| path.display().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::base::RunId;

    #[test]
    fn events_keep_their_names() {
        let step = || "load[p1]".to_owned();
        let duration = Duration::from_millis(5);
        let summary = JobSummary {
            run: RunId(3),
            succeeded: 1,
            reused: 2,
            restored: 1,
            failed: 1,
            skipped: 4,
            blocked: 5,
            cancelled: 0,
            hooks_failed: 0,
            kept: Some(".giornata/runs/3".into()),
        };
        let events = [
            JobEvent::Started { run: RunId(3), steps: 2 },
            JobEvent::StepStarted { step: step() },
            JobEvent::StepSucceeded {
                step: step(),
                duration,
                attempts: 1,
                emitted: vec!["result".into()],
                metadata: vec![json!({"rows": 3})],
            },
            JobEvent::StepReused { step: step(), from: Some(RunId(2)), emitted: vec![] },
            JobEvent::StepReused { step: step(), from: None, emitted: vec!["result".into()] },
            JobEvent::StepFailed {
                step: step(),
                duration,
                attempts: 2,
                reason: "exit status 3".into(),
                log: Some("x.log".into()),
                log_tail: "boo\n".into(),
            },
            JobEvent::StepSkipped { step: step() },
            JobEvent::StepBlocked { step: step() },
            JobEvent::HookFailed { step: step(), reason: "exit status 1".into() },
            JobEvent::Warning { message: "w".into() },
            JobEvent::Finished { summary },
        ];
        let text: String = events.iter().map(job_event_line).collect();
        expect![[r#"
            {"event":"started","run":3,"steps":2}
            {"event":"step-started","step":"load[p1]"}
            {"event":"step-succeeded","step":"load[p1]","duration_ms":5,"attempts":1,"emitted":["result"],"metadata":[{"rows":3}]}
            {"event":"step-reused","step":"load[p1]","from":2,"emitted":[]}
            {"event":"step-reused","step":"load[p1]","from":null,"emitted":["result"]}
            {"event":"step-failed","step":"load[p1]","duration_ms":5,"attempts":2,"reason":"exit status 3","log":"x.log","log_tail":"boo\n"}
            {"event":"step-skipped","step":"load[p1]"}
            {"event":"step-blocked","step":"load[p1]"}
            {"event":"hook-failed","step":"load[p1]","reason":"exit status 1"}
            {"event":"warning","message":"w"}
            {"event":"finished","success":false,"run":3,"ran":2,"reused":2,"restored":1,"failed":1,"skipped":4,"blocked":5,"cancelled":0,"hooks_failed":0,"kept":".giornata/runs/3"}
        "#]].assert_eq(&text);
    }
}
