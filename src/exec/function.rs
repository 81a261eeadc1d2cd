//! Calls a function of the user's program: its panic, its log and its time-out end here.

use std::time::Instant;

use super::log::{Begins, Log};
use super::{
    Asks, Control, Emitted, Failure, Functions, LogInfo, Of, Outcome, Step, batch, caught,
};

/// What a function is told while it runs, and what it says beside its result.
pub struct Told<'a> {
    control: &'a Control,
    started: Instant,
    step: &'a Step,
    lines: Vec<u8>,
    asks: Asks,
    reported: Vec<serde_json::Value>,
    /// Of one of several partitions that are made by one call, by its place.
    reported_of: Vec<(usize, serde_json::Value)>,
}

impl Told<'_> {
    /// When it began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Cancels what runs.
    pub fn control(&self) -> &Control {
        self.control
    }

    /// Writes a line to the log of the step, such as `WARN out of ink`.
    pub fn log(&mut self, level: &str, text: &str) {
        self.lines.extend_from_slice(format!("{level} {text}\n").as_bytes());
    }

    /// Notes what it reports of its result: an object.
    pub fn report(&mut self, line: serde_json::Value) {
        self.reported.push(line);
    }

    /// The same of one of the partitions of a batch, by its place among them.
    pub fn report_of(&mut self, place: usize, line: serde_json::Value) {
        self.reported_of.push((place, line));
    }

    /// What it asks for while it runs.
    pub fn asks(&mut self) -> &mut Asks {
        &mut self.asks
    }

    /// Whether what it does is no longer wanted: it has taken longer than it may, or the run was
    /// cancelled. A function cannot be stopped.
    pub fn is_cancelled(&self) -> bool {
        self.control.is_cancelled() || self.is_late()
    }

    fn is_late(&self) -> bool {
        self.step.def.timeout.is_some_and(|timeout| self.started.elapsed() > timeout)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where a function is timed")]
pub(super) fn run(functions: &dyn Functions, step: &Step, control: &Control) -> Outcome {
    let mut outcome = Outcome::not_run(step);
    if control.is_stopping() {
        return outcome;
    }
    let started = Instant::now();
    let (asks, lines, reported) = (Asks::default(), Vec::new(), Vec::new());
    let reported_of = Vec::new();
    let mut told = Told { control, started, step, lines, asks, reported, reported_of };
    let called = match &step.of {
        Of::Asset(_) | Of::Assets(_) | Of::Job(_) => caught(|| functions.call(step, &mut told)),
        Of::Batch(lots) => caught(|| {
            let made = functions.call_batch(lots, &mut told)?;
            outcome.members = batch::outcomes(lots, made);
            for (place, line) in std::mem::take(&mut told.reported_of) {
                if let Some(own) = outcome.members.get_mut(place) {
                    own.metadata.push(line);
                }
            }
            Ok(Vec::new())
        }),
    };
    outcome.result = match called {
        Ok(result) => in_time(&told, result),
        Err(panic) => Err(panic.into()),
    };
    if outcome.result.is_err() {
        outcome.members.clear();
    }
    if !told.asks.unmet.is_empty() {
        // Whatever it made of that.
        outcome.result = Err(Failure::Asks);
    }
    outcome.log = written(&told.lines, step, control);
    outcome.metadata = told.reported;
    outcome.asked = told.asks;
    outcome.duration = started.elapsed();
    outcome
}

fn in_time(
    told: &Told<'_>,
    result: Result<Vec<Emitted>, Failure>,
) -> Result<Vec<Emitted>, Failure> {
    match told.step.def.timeout {
        Some(after) if result.is_ok() && told.is_late() => Err(Failure::TimedOut { after }),
        Some(_) | None => result,
    }
}

fn written(lines: &[u8], step: &Step, control: &Control) -> Option<LogInfo> {
    if lines.is_empty() {
        return None;
    }
    let mut log = Log::new(step, control, Begins::AsTheStep);
    log.add(lines);
    log.finish()
}
