//! Renders the events of a run of a job of ops, as those of other runs: failures, what was skipped and what
//! was blocked are always told, with the reason; a step that succeeds is silent unless `-v` is given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::styling::AnsiColor;

use super::super::json;
use super::super::term::{Term, bold};
use super::super::text;
use super::bar::{Bar, Tally};
use super::{Form, failure};
use crate::base::JobName;
use crate::defs::{Flow, FlowStep, Slot};
use crate::engine::{JobEvent, JobSummary};

/// Failures that are told one by one, with their logs, unless `-v` is given.
const FAILURES_MAX: usize = 10;
/// Skipped and blocked steps that are named, unless `-v` is given.
const NAMED_MAX: usize = 10;

/// Hears events and renders them.
pub(in crate::cli) struct JobReporter<'t> {
    term: &'t mut Term,
    form: Form,
    job: JobName,
    flow: Arc<Flow>,
    /// Where the logs of all runs are.
    logs: PathBuf,
    bar: Option<Bar>,
    /// What each step that has ended well gave, by its name with the piece.
    emitted: BTreeMap<String, BTreeSet<String>>,
    failed: BTreeSet<String>,
    skipped: Vec<String>,
    /// The same, to be looked up.
    was_skipped: BTreeSet<String>,
    blocked: Vec<String>,
}

impl<'t> JobReporter<'t> {
    pub fn new(
        form: Form,
        term: &'t mut Term,
        job: JobName,
        flow: Arc<Flow>,
        logs: PathBuf,
    ) -> JobReporter<'t> {
        JobReporter {
            term,
            form,
            job,
            flow,
            logs,
            bar: None,
            emitted: BTreeMap::new(),
            failed: BTreeSet::new(),
            skipped: Vec::new(),
            was_skipped: BTreeSet::new(),
            blocked: Vec::new(),
        }
    }

    /// Ends the bar of the last of several runs, of which nothing is said one by one.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }

    pub fn handle(&mut self, event: JobEvent) {
        self.advance(&event);
        if self.form == Form::JsonLines {
            self.term.print(&json::job_event_line(&event));
            self.term.flush();
            return;
        }
        match event {
            JobEvent::Started { steps, .. } => {
                self.end();
                let tally = Tally { word: "done", total: steps, ..Tally::default() };
                self.bar = Bar::start(self.term, tally);
            }
            JobEvent::StepStarted { .. } | JobEvent::Finished { .. } => {}
            JobEvent::StepSucceeded { step, duration, attempts, emitted, .. } => {
                let again = match attempts {
                    1 => String::new(),
                    n => format!(" at attempt {n}"),
                };
                let took = text::duration(duration);
                self.verbose(&format!("ran {step} in {took}{again}"));
                self.emitted.insert(step, emitted.into_iter().collect());
            }
            JobEvent::StepReused { step, from, emitted } => {
                self.verbose(&match from {
                    Some(run) => format!("took {step} from run {run}"),
                    None => format!("restored {step}"),
                });
                self.emitted.insert(step, emitted.into_iter().collect());
            }
            JobEvent::StepFailed { step, reason, log, log_tail, attempts, .. } => {
                if self.failed.len() < FAILURES_MAX || self.term.is_verbose {
                    let log = log.map(|path| path.display().to_string());
                    let again = match attempts {
                        1 => String::new(),
                        n => format!(" (attempt {n})"),
                    };
                    let reason = format!("{reason}{again}");
                    self.line(&failure(&step, &reason, log.as_deref(), &log_tail));
                }
                self.failed.insert(step);
            }
            JobEvent::StepSkipped { step } => {
                self.was_skipped.insert(step.clone());
                self.skipped.push(step);
            }
            JobEvent::StepBlocked { step } => self.blocked.push(step),
            JobEvent::HookFailed { step, reason } => {
                self.warning(&format!("what was to be done after `{step}` failed: {reason}"));
            }
            JobEvent::Warning { message } => self.warning(&message),
        }
    }

    /// Ends the bar, and says how the run went.
    pub fn finish(&mut self, summary: Option<&JobSummary>) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
        if self.form == Form::JsonLines {
            return;
        }
        let untold = self.failed.len().saturating_sub(FAILURES_MAX);
        if untold > 0 && !self.term.is_verbose {
            let style = bold(AnsiColor::Red);
            let steps = text::count(untold as u64, "more step");
            self.line(&format!("{style}error{style:#}: {steps} failed (`-v` tells all)"));
        }
        let (skipped, blocked) =
            (std::mem::take(&mut self.skipped), std::mem::take(&mut self.blocked));
        self.told("skipped", &skipped, Self::why_skipped);
        self.told("blocked", &blocked, Self::why_blocked);
        let Some(summary) = summary else { return };
        let logs = self.logs.join(summary.run.to_string());
        if logs.is_dir() {
            self.verbose(&format!("logs: {}", logs.display()));
        }
        if !(self.term.is_quiet && summary.is_success()) {
            let line = render_summary(summary, self.term.elapsed());
            self.term.print(&line);
            self.term.print("\n");
            self.term.flush();
        }
        if let Some(kept) = &summary.kept {
            let (job, run) = (&self.job, summary.run);
            let kept = kept.display();
            self.term.hint(&format!(
                "`giornata run {job} --retry {run}` runs only the rest: what the steps gave is kept in `{kept}`"
            ));
        }
    }

    /// Names steps with why they did not run; the same reason for many of them once.
    fn told(&mut self, what: &str, steps: &[String], why: fn(&Self, &str) -> String) {
        let style = bold(AnsiColor::Yellow);
        let most = if self.term.is_verbose { steps.len() } else { NAMED_MAX };
        let lines: Vec<String> = steps
            .iter()
            .take(most)
            .map(|step| format!("{style}{what}{style:#}: `{step}` ({})", why(self, step)))
            .collect();
        lines.iter().for_each(|line| self.line(line));
        if steps.len() > most {
            let more = text::count((steps.len() - most) as u64, "more step");
            self.line(&format!("{style}{what}{style:#}: {more}"));
        }
    }

    /// The declared step of a name, and its piece in brackets.
    fn step<'a>(&self, name: &'a str) -> Option<(&FlowStep, &'a str)> {
        let (path, piece) = name.split_at(name.find('[').unwrap_or(name.len()));
        self.flow.steps.iter().find(|step| *step.path == *path).map(|step| (step, piece))
    }

    /// The name of a step that one reads, for the same piece if it is mapped as well.
    fn upstream(&self, slot: Slot, piece: &str) -> String {
        let step = &self.flow.steps[slot.step as usize];
        let piece = if step.scope.is_some() { piece } else { "" };
        format!("{}{piece}", step.path)
    }

    fn why_skipped(&self, name: &str) -> String {
        let Some((step, piece)) = self.step(name) else { return String::new() };
        let mut skipped = None;
        for slot in step.reads() {
            let upstream = self.upstream(slot, piece);
            if self.was_skipped.contains(&upstream) {
                skipped.get_or_insert(upstream);
                continue;
            }
            let output = &self.flow.output(slot).name;
            if let Some(emitted) = self.emitted.get(&upstream) {
                let is_given = emitted.iter().any(|it| {
                    **it == **output
                        || it.strip_prefix(&**output).is_some_and(|it| it.starts_with('['))
                });
                if !is_given {
                    return format!("`{upstream}` did not give `{output}`");
                }
            }
        }
        let after = step.after.iter().map(|at| self.flow.steps[*at as usize].path.to_string());
        let mut after = after.filter(|step| self.was_skipped.contains(step));
        match skipped.or_else(|| after.next()) {
            Some(upstream) => format!("`{upstream}` was skipped"),
            None => "what it reads was not given".to_owned(),
        }
    }

    fn why_blocked(&self, name: &str) -> String {
        let Some((step, piece)) = self.step(name) else { return String::new() };
        let reads = step.reads().map(|slot| self.upstream(slot, piece));
        let after = step.after.iter().map(|at| self.flow.steps[*at as usize].path.to_string());
        let is_failed = |up: &String| {
            let of_a_piece = |failed: &&String| failed.starts_with(&format!("{up}["));
            self.failed.contains(up) || self.failed.iter().any(|failed| of_a_piece(&failed))
        };
        match reads.chain(after).find(is_failed) {
            Some(upstream) => format!("`{upstream}` failed"),
            None => "something further upstream failed".to_owned(),
        }
    }

    fn warning(&mut self, message: &str) {
        let style = bold(AnsiColor::Yellow);
        if !self.term.is_quiet {
            self.line(&format!("{style}warning{style:#}: {message}"));
        }
    }

    fn verbose(&mut self, line: &str) {
        if self.term.is_verbose {
            self.line(line);
        }
    }

    /// A line on stderr, above the bar if there is one.
    fn line(&mut self, line: &str) {
        let term = &mut *self.term;
        match &self.bar {
            Some(bar) => bar.suspend(|| term.tell(&format!("{}\n", line.trim_end()))),
            None => term.tell(&format!("{}\n", line.trim_end())),
        }
    }

    fn advance(&self, event: &JobEvent) {
        if let Some(bar) = &self.bar {
            bar.update(|tally, now| count(tally, event, now));
        }
    }
}

fn count(tally: &mut Tally, event: &JobEvent, now: Duration) {
    match event {
        JobEvent::StepStarted { step } => tally.started(step.clone(), now),
        JobEvent::StepSucceeded { step, .. } | JobEvent::StepReused { step, .. } => {
            tally.succeeded(step);
        }
        JobEvent::StepFailed { step, .. } => tally.failed(step),
        JobEvent::StepSkipped { .. } | JobEvent::StepBlocked { .. } => tally.settled += 1,
        JobEvent::Started { .. }
        | JobEvent::HookFailed { .. }
        | JobEvent::Warning { .. }
        | JobEvent::Finished { .. } => {}
    }
}

/// One line: what ran, what did not, what failed.
pub(in crate::cli) fn render_summary(summary: &JobSummary, elapsed: Duration) -> String {
    let JobSummary { succeeded, reused, restored, failed, skipped, blocked, cancelled, .. } =
        *summary;
    let mut line = format!("ran {}", succeeded + failed);
    let beside =
        [(reused, "taken from the run before"), (restored, "restored"), (skipped, "skipped")];
    for (count, what) in beside {
        if count > 0 {
            line += &format!(", {count} {what}");
        }
    }
    line += &format!("; {failed} failed");
    for (count, what) in [(blocked, "blocked"), (cancelled, "cancelled")] {
        if count > 0 {
            line += &format!(", {count} {what}");
        }
    }
    if summary.hooks_failed > 0 {
        line += &format!(", {} failed", text::count(summary.hooks_failed, "hook"));
    }
    format!("{line} in {}", text::duration(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RunId;

    #[test]
    fn the_summary_says_what_ran_and_what_did_not() {
        let summary = JobSummary {
            run: RunId(3),
            succeeded: 4,
            reused: 0,
            restored: 0,
            failed: 0,
            skipped: 0,
            blocked: 0,
            cancelled: 0,
            hooks_failed: 0,
            kept: None,
        };
        let check = |summary: &JobSummary, text: &str| {
            assert_eq!(render_summary(summary, Duration::from_millis(12)), text);
        };
        check(&summary, "ran 4; 0 failed in 12 ms");
        let summary =
            JobSummary { reused: 2, restored: 1, failed: 1, skipped: 3, blocked: 5, ..summary };
        check(
            &summary,
            "ran 5, 2 taken from the run before, 1 restored, 3 skipped; 1 failed, 5 blocked in 12 ms",
        );
        let summary =
            JobSummary { reused: 0, restored: 0, cancelled: 1, hooks_failed: 2, ..summary };
        check(
            &summary,
            "ran 5, 3 skipped; 1 failed, 5 blocked, 1 cancelled, 2 hooks failed in 12 ms",
        );
    }
}
