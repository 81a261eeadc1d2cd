//! Renders the events of a run: a bar on a terminal, plain lines elsewhere, JSON lines on demand.
//!
//! In plain text a step that succeeds is silent unless `-v` is given; failures, warnings and the
//! summary are always told. The bar is the one of n2: what is fresh, what runs, what waits.

mod bar;
mod job;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::builder::styling::AnsiColor;

use self::bar::{Bar, Tally};
pub(super) use self::job::{JobReporter, render_summary as render_job_summary};
use super::json;
use super::term::{Term, bold};
use super::text::{self, Length};
use crate::base::{AssetKey, PartitionSet};
use crate::defs::Severity;
use crate::engine::{Engine, RunEvent, Summary};
use crate::plan::ReasonCode;

/// Failures that are told one by one, with their logs, unless `-v` is given. Of the others each asset
/// and reason is told once, and the rest is counted.
const FAILURES_MAX: usize = 10;

/// Assets and reasons that are told once.
const KINDS_MAX: usize = 20;

/// Reasons of further failures that are told apart.
const REASONS_MAX: usize = 10;

/// Lines of a log that are shown with a failure; the log has them all.
const TAIL_LINES: usize = 20;

/// What is written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    JsonLines,
}

/// Hears events and renders them.
pub(super) struct Reporter<'t> {
    term: &'t mut Term,
    form: Form,
    bar: Option<Bar>,
    failures: usize,
    /// Of what has failed for which reasons, as far as they are told apart.
    kinds: BTreeSet<(AssetKey, String)>,
    /// Failures beyond those that were told, by asset and reason.
    further: BTreeMap<(AssetKey, String), PartitionSet>,
    blocked: BTreeMap<(AssetKey, ReasonCode), PartitionSet>,
    /// What is said of both before the summary.
    closing: Vec<String>,
}

impl<'t> Reporter<'t> {
    pub fn new(form: Form, term: &'t mut Term) -> Reporter<'t> {
        Reporter {
            term,
            form,
            bar: None,
            failures: 0,
            kinds: BTreeSet::new(),
            further: BTreeMap::new(),
            blocked: BTreeMap::new(),
            closing: Vec::new(),
        }
    }

    pub fn handle(&mut self, engine: &Engine, event: RunEvent) {
        self.advance(&event);
        if self.form == Form::JsonLines {
            self.term.print(&json::event_line(engine, &event));
            self.term.flush();
            return;
        }
        match event {
            RunEvent::Started { results: total, fresh, .. } => {
                // A backfill may have several runs.
                if let Some(before) = self.bar.take() {
                    before.finish();
                }
                let tally = Tally { word: "fresh", good: fresh, total, ..Tally::default() };
                self.bar = Bar::start(self.term, tally);
            }
            RunEvent::StepStarted { .. } => {}
            // Once, at the end: there may be very many of both.
            RunEvent::Finished { .. } => {
                self.closing = further_lines(engine, &self.further);
                self.closing.extend(blocked_lines(engine, &self.blocked));
            }
            RunEvent::StepSucceeded { asset, partition, duration, changed, reasons } => {
                let unchanged = if changed { "" } else { ", unchanged" };
                let why: Vec<&str> = reasons.iter().map(|code| code.as_str()).collect();
                let address = text::address(&asset, &partition);
                let took = text::duration(duration);
                self.verbose(&format!("ran {address} in {took}{unchanged} ({})", why.join(", ")));
            }
            RunEvent::CheckFailed { asset, partition, name, severity, found } => {
                let address = text::address(&asset, &partition);
                let kind = if severity == Severity::Warn { "warning" } else { "error" };
                let reason = format!("check `{name}` failed");
                let part = engine.planner().domain(&asset).index(partition.as_str());
                match part.filter(|_| !self.is_told(&asset, &reason)) {
                    Some(part) => {
                        self.further.entry((asset, reason)).or_default().insert(part);
                    }
                    None => {
                        self.line(&format!(
                            "{kind}: check `{name}` of `{address}` failed: {found}"
                        ));
                    }
                }
            }
            RunEvent::StepFailed { asset, partition, reason, log, log_tail, .. } => {
                let part = engine.planner().domain(&asset).index(partition.as_str());
                match part.filter(|_| !self.is_told(&asset, &reason)) {
                    Some(part) => {
                        self.further.entry((asset, reason)).or_default().insert(part);
                    }
                    None => {
                        let address = text::address(&asset, &partition);
                        let log = log.map(|path| path.display().to_string());
                        self.line(&failure(&address, &reason, log.as_deref(), &log_tail));
                    }
                }
            }
            RunEvent::CutOff { asset, parts } => self.sets(engine, "cut off", &asset, &parts),
            RunEvent::Restored { asset, parts } => self.sets(engine, "restored", &asset, &parts),
            RunEvent::Blocked { asset, parts, reason } => {
                *self.blocked.entry((asset, reason)).or_default() |= parts;
            }
            RunEvent::Exported { asset, partition, path } => {
                let address = text::address(&asset, &partition);
                self.verbose(&format!("exported {address} to {}", path.display()));
            }
            RunEvent::Warning { message } => {
                let style = bold(AnsiColor::Yellow);
                if !self.term.is_quiet {
                    self.line(&format!("{style}warning{style:#}: {message}"));
                }
            }
        }
    }

    /// Ends the bar, and says how the run went.
    pub fn finish(&mut self, summary: Option<&Summary>) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
        for line in std::mem::take(&mut self.closing) {
            self.line(&line);
        }
        let Some(summary) = summary else { return };
        if self.form == Form::Text && !(self.term.is_quiet && summary.is_success()) {
            let line = render_summary(summary, self.term.elapsed());
            self.term.print(&line);
            self.term.print("\n");
            self.term.flush();
        }
        if self.form == Form::Text && self.failures > 0 {
            self.term.hint("the same command tries again what failed, and keeps what succeeded");
        }
    }

    /// Whether one more failure is told by itself.
    fn is_told(&mut self, asset: &AssetKey, reason: &str) -> bool {
        self.failures += 1;
        let is_new =
            self.kinds.len() < KINDS_MAX && self.kinds.insert((asset.clone(), reason.to_owned()));
        is_new || self.failures <= FAILURES_MAX || self.term.is_verbose
    }

    fn sets(&mut self, engine: &Engine, what: &str, asset: &AssetKey, parts: &PartitionSet) {
        if self.term.is_verbose {
            let domain = engine.planner().domain(asset);
            let ranges = text::ranges(domain, parts, Length::Full);
            self.verbose(&format!("{what} {asset} {ranges}"));
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

    fn advance(&mut self, event: &RunEvent) {
        if let Some(bar) = &self.bar {
            bar.update(|tally, now| count(tally, event, now));
        }
    }
}

fn count(tally: &mut Tally, event: &RunEvent, now: Duration) {
    match event {
        RunEvent::StepStarted { asset, partition, .. } => {
            tally.started(text::address(asset, partition), now);
        }
        RunEvent::StepSucceeded { asset, partition, .. } => {
            tally.succeeded(&text::address(asset, partition));
        }
        RunEvent::StepFailed { asset, partition, .. } => {
            tally.failed(&text::address(asset, partition));
        }
        RunEvent::CutOff { parts, .. } | RunEvent::Restored { parts, .. } => {
            tally.settled += parts.len();
            tally.good += parts.len();
        }
        RunEvent::Blocked { parts, .. } => tally.settled += parts.len(),
        RunEvent::Started { .. }
        | RunEvent::Exported { .. }
        | RunEvent::CheckFailed { .. }
        | RunEvent::Warning { .. }
        | RunEvent::Finished { .. } => {}
    }
}

/// A failed step: what, why, where the log is and how it ends.
pub(super) fn failure(address: &str, reason: &str, log: Option<&str>, tail: &str) -> String {
    let style = bold(AnsiColor::Red);
    let mut text = format!("{style}error{style:#}: `{address}` failed: {reason}\n");
    let lines: Vec<&str> = tail.lines().collect();
    for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
        text += &format!("  | {}\n", text::harmless(line));
    }
    if let Some(log) = log {
        text += &format!("  log: {log}\n");
    }
    text
}

fn further_lines(
    engine: &Engine,
    further: &BTreeMap<(AssetKey, String), PartitionSet>,
) -> Vec<String> {
    let style = bold(AnsiColor::Red);
    let line = |((asset, reason), set): (&(AssetKey, String), &PartitionSet)| {
        let ranges = text::ranges(engine.planner().domain(asset), set, Length::Short);
        let ranges = if ranges.is_empty() { ranges } else { format!(": {ranges}") };
        let parts = text::count(set.len(), "more partition");
        format!("{style}error{style:#}: {parts} of `{asset}` failed: {reason}{ranges}")
    };
    let mut lines: Vec<String> = further.iter().take(REASONS_MAX).map(line).collect();
    let rest: u64 = further.values().skip(REASONS_MAX).map(PartitionSet::len).sum();
    if rest > 0 {
        let parts = text::count(rest, "more partition");
        lines.push(format!("{style}error{style:#}: {parts} failed for other reasons (`-v` tells)"));
    }
    lines
}

fn blocked_lines(
    engine: &Engine,
    blocked: &BTreeMap<(AssetKey, ReasonCode), PartitionSet>,
) -> Vec<String> {
    let style = bold(AnsiColor::Yellow);
    let line = |((asset, reason), set): (&(AssetKey, ReasonCode), &PartitionSet)| {
        let ranges = text::ranges(engine.planner().domain(asset), set, Length::Short);
        let ranges = if ranges.is_empty() { ranges } else { format!(": {ranges}") };
        let parts = text::count(set.len(), "partition");
        format!("{style}blocked{style:#}: {parts} of `{asset}` ({reason}){ranges}")
    };
    blocked.iter().map(line).collect()
}

/// One line: what ran, what was spared, what failed.
pub(super) fn render_summary(summary: &Summary, elapsed: Duration) -> String {
    let took = text::duration(elapsed);
    if summary.is_idle() {
        let fresh = text::count(summary.fresh, "partition");
        return format!("everything up to date: {fresh} in {took}");
    }
    let Summary { ran, unchanged, failed, restored, .. } = *summary;
    let Summary { cut_off, blocked, checks_failed, fresh, cancelled, .. } = *summary;
    let mut line = format!("ran {ran}");
    if ran > 0 {
        line += &format!(" ({unchanged} unchanged)");
    }
    line += &format!(", {cut_off} cut off, {restored} restored, {fresh} fresh; {failed} failed");
    if blocked > 0 {
        line += &format!(", {blocked} blocked");
    }
    if checks_failed > 0 {
        line += &format!(", {} failed", text::count(checks_failed, "check"));
    }
    if cancelled > 0 {
        line += &format!(", {cancelled} cancelled");
    }
    format!("{line} in {took}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PartitionKey;
    use expect_test::expect;

    #[test]
    fn the_summary_says_what_ran_and_what_was_spared() {
        let check = |summary: Summary, text: &str| {
            assert_eq!(render_summary(&summary, Duration::from_millis(12)), text);
        };
        check(
            Summary { fresh: 2968, ..Summary::default() },
            "everything up to date: 2968 partitions in 12 ms",
        );
        let summary =
            Summary { ran: 3, unchanged: 1, cut_off: 2, fresh: 2960, ..Summary::default() };
        check(summary, "ran 3 (1 unchanged), 2 cut off, 0 restored, 2960 fresh; 0 failed in 12 ms");
        let summary =
            Summary { failed: 1, blocked: 4, cancelled: 2, restored: 1, ..Summary::default() };
        check(
            summary,
            "ran 0, 0 cut off, 1 restored, 0 fresh; 1 failed, 4 blocked, 2 cancelled in 12 ms",
        );
    }

    #[test]
    fn the_bar_shows_fresh_running_and_waiting() {
        let mut tally = Tally { word: "fresh", good: 10, total: 4, ..Tally::default() };
        let asset = AssetKey::parse("a").unwrap();
        for (n, at) in [("1", 0), ("2", 500)] {
            let partition = PartitionKey::new(n);
            let event = RunEvent::StepStarted { asset: asset.clone(), partition, attempt: 1 };
            count(&mut tally, &event, Duration::from_millis(at));
        }
        let set: PartitionSet = [7].into_iter().collect();
        count(&mut tally, &RunEvent::CutOff { asset, parts: set }, Duration::from_secs(1));
        expect![[r#"
            [==========--------------------          ] 11 fresh, 2 running, 1 waiting, 1.0 s
              a@1 1.0 s
              a@2 500 ms"#]]
        .assert_eq(&bar::view(&tally, Duration::from_secs(1)));
    }

    #[test]
    fn a_failure_shows_the_last_lines() {
        let log: String = (0..1000).map(|n| format!("{n}\n")).collect();
        let text = failure("a", "exit status 1", Some("log"), &log);
        assert_eq!(text.lines().count(), TAIL_LINES + 2);
        assert!(text.contains("| 999\n") && !text.contains("| 979\n"), "{text}");
    }

    #[test]
    fn a_failure_says_why_and_where_the_log_is() {
        let text = failure("a@1", "exit status 3", Some(".giornata/log/1"), "x\nboo\n");
        let text = anstream::adapter::strip_str(&text).to_string();
        expect![[r#"
            error: `a@1` failed: exit status 3
              | x
              | boo
              log: .giornata/log/1
        "#]]
        .assert_eq(&text);
    }
}
