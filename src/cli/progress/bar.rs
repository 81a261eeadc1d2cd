//! The bar of a run on a terminal: what is done, what runs, what waits, and the running steps below it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::super::term::Term;
use super::super::text;

/// Running steps below the bar.
const RUNNING_MAX: usize = 6;

/// A bar that is drawn.
pub(super) struct Bar {
    bar: ProgressBar,
    tally: Arc<Mutex<Tally>>,
}

/// What the bar shows.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    /// What is said of steps that went well.
    pub word: &'static str,
    pub good: u64,
    /// Steps and restores that are settled, in whatever way.
    pub settled: u64,
    pub total: u64,
    pub failed: u64,
    /// When each running step began, counted from the start of the run.
    pub running: BTreeMap<String, Duration>,
}

impl Bar {
    /// Draws it, if the terminal shows such and there is anything to wait for.
    pub fn start(term: &Term, tally: Tally) -> Option<Bar> {
        if !term.shows_progress || tally.total == 0 {
            return None;
        }
        let total = tally.total;
        let tally = Arc::new(Mutex::new(tally));
        let shown = Arc::clone(&tally);
        let draw = move |state: &ProgressState, out: &mut dyn Write| {
            let tally = shown.lock().unwrap_or_else(PoisonError::into_inner);
            // Writing to memory does not fail.
            let _ = out.write_str(&view(&tally, state.elapsed()));
        };
        let style = ProgressStyle::with_template("{view}").expect("the template is fixed");
        let bar = ProgressBar::new(total).with_style(style.with_key("view", draw));
        bar.enable_steady_tick(Duration::from_millis(100));
        Some(Bar { bar, tally })
    }

    /// Changes what it shows; the time counts from the start.
    pub fn update(&self, change: impl FnOnce(&mut Tally, Duration)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner), self.bar.elapsed());
    }

    /// Does something else to the terminal.
    pub fn suspend(&self, work: impl FnOnce()) {
        self.bar.suspend(work);
    }

    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

impl Tally {
    pub fn started(&mut self, step: String, now: Duration) {
        self.running.insert(step, now);
    }

    pub fn succeeded(&mut self, step: &str) {
        self.running.remove(step);
        self.settled += 1;
        self.good += 1;
    }

    pub fn failed(&mut self, step: &str) {
        self.running.remove(step);
        self.settled += 1;
        self.failed += 1;
    }
}

/// The bar with what went well, what runs and what waits, and the running steps below it.
pub(super) fn view(tally: &Tally, elapsed: Duration) -> String {
    const WIDTH: u64 = 40;
    let running = tally.running.len() as u64;
    let waiting = tally.total.saturating_sub(tally.settled + running);
    let all = (tally.settled + running + waiting).max(1);
    let cells = |n: u64| usize::try_from(n * WIDTH / all).unwrap_or(0);
    let (done, runs) = (cells(tally.settled), cells(running).max(usize::from(running > 0)));
    let rest = usize::try_from(WIDTH).unwrap_or(0).saturating_sub(done + runs);
    let mut text = format!("[{}{}{}]", "=".repeat(done), "-".repeat(runs), " ".repeat(rest));
    let _ = write!(text, " {} {}, {running} running, {waiting} waiting", tally.good, tally.word);
    if tally.failed > 0 {
        let _ = write!(text, ", {} failed", tally.failed);
    }
    let _ = write!(text, ", {}", text::duration(elapsed));
    // What has been running longest is what one waits for.
    let mut steps: Vec<_> = tally.running.iter().collect();
    steps.sort_by_key(|(name, began)| (**began, *name));
    for (name, began) in steps.iter().take(RUNNING_MAX) {
        let _ = write!(text, "\n  {name} {}", text::duration(elapsed.saturating_sub(**began)));
    }
    text
}
