//! What happens in a simulation as lines of text, and by whose hands.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use giornata::base::{AssetKey, PartitionSet};
use giornata::engine::{Engine, Hands, RunEvent, RunOptions};

/// What was heard, if anybody listens; else runs have threads.
#[derive(Default)]
pub struct Trace(Option<Told>);

struct Told {
    lines: Mutex<Vec<String>>,
    number: AtomicU64,
}

impl Trace {
    pub fn of(seed: u64) -> Trace {
        let number = AtomicU64::new(seed);
        Trace(Some(Told { lines: Mutex::default(), number }))
    }

    /// How the next run is carried out.
    pub fn options(&self) -> RunOptions {
        let next = |told: &Told| Hands::Own(told.number.fetch_add(1, Ordering::Relaxed));
        let hands = self.0.as_ref().map_or(Hands::Threads, next);
        RunOptions { jobs: Some(2), hands, ..RunOptions::default() }
    }

    pub fn say(&self, line: &str) {
        if let Some(told) = &self.0 {
            told.lines.lock().unwrap().push(line.to_owned());
        }
    }

    pub fn hear(&self, engine: &Engine, event: &RunEvent) {
        if self.0.is_some() {
            self.say(&line(engine, event));
        }
    }

    pub fn take_lines(&self) -> Vec<String> {
        let told = self.0.as_ref();
        told.map(|told| std::mem::take(&mut *told.lines.lock().unwrap())).unwrap_or_default()
    }
}

/// Without what the clock decides.
fn line(engine: &Engine, event: &RunEvent) -> String {
    let some = |asset: &AssetKey, parts: &PartitionSet| {
        let domain = engine.planner().domain(asset);
        let keys = parts.iter().filter_map(|part| domain.key(part));
        let keys: Vec<String> = keys.map(|key| key.to_string()).collect();
        format!("{asset}@{}", keys.join(","))
    };
    match event {
        RunEvent::Started { certain, possible, restores, fresh, run: _, results: _ } => {
            format!("started {certain} {possible} {restores} {fresh}")
        }
        RunEvent::StepStarted { asset, partition, attempt } => {
            format!("start {asset}@{partition} {attempt}")
        }
        RunEvent::StepSucceeded { asset, partition, changed, reasons, duration: _ } => {
            format!("made {asset}@{partition} {changed} {reasons:?}")
        }
        RunEvent::CheckFailed { asset, partition, name, .. } => {
            format!("check {asset}@{partition} {name}")
        }
        RunEvent::StepFailed { asset, partition, reason, .. } => {
            format!("failed {asset}@{partition} {reason}")
        }
        RunEvent::CutOff { asset, parts } => format!("cut off {}", some(asset, parts)),
        RunEvent::Restored { asset, parts } => format!("restored {}", some(asset, parts)),
        RunEvent::Blocked { asset, parts, reason } => {
            format!("blocked {} {reason:?}", some(asset, parts))
        }
        RunEvent::Exported { asset, partition, .. } => format!("exported {asset}@{partition}"),
        RunEvent::Warning { message } => format!("warning {message}"),
        RunEvent::Finished { summary } => format!("finished {summary:?}"),
    }
}
