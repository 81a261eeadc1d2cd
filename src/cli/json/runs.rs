//! What `--json` says of runs, of what became of their partitions, and of their steps.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::runs::took;
use super::Parts;
use crate::base::{AssetKey, PartitionSet, RunId};
use crate::engine::{Attempt, Engine, Fate, OpStep, Run, RunReport};

#[derive(Serialize)]
pub(in crate::cli) struct RunsDocument<'a> {
    pub runs: Vec<RunEntry<'a>>,
}

/// A run as a list of them tells it.
#[derive(Serialize)]
pub(in crate::cli) struct RunEntry<'a> {
    run: u64,
    state: &'static str,
    command: &'a str,
    started: Option<String>,
    finished: Option<String>,
    seconds: Option<f64>,
    job: Option<&'a str>,
    partition: Option<&'a str>,
    retries: Option<u64>,
    tags: &'a BTreeMap<String, String>,
    config: &'a Value,
    counts: &'a BTreeMap<String, u64>,
}

fn time(ms: i64) -> Option<String> {
    let time = DateTime::from_timestamp_millis(ms)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

impl<'a> RunEntry<'a> {
    pub fn new(run: &'a Run, now: DateTime<Utc>) -> RunEntry<'a> {
        RunEntry {
            run: run.id.0,
            state: run.state.as_str(),
            command: &run.command,
            started: time(run.started_ms),
            finished: run.finished_ms.and_then(time),
            seconds: took(run, now).map(|took| took.as_secs_f64()),
            job: run.launch.job.as_deref(),
            partition: run.launch.partition.as_ref().map(|key| key.as_str()),
            retries: run.launch.parent.map(|run| run.0),
            tags: &run.launch.tags,
            config: &run.launch.config,
            counts: &run.counts,
        }
    }
}

#[derive(Serialize)]
pub(in crate::cli) struct RunDocument<'a> {
    #[serde(flatten)]
    run: RunEntry<'a>,
    retried_by: Vec<u64>,
    assets: Vec<RunAsset<'a>>,
    failures: Vec<AttemptEntry<'a>>,
    /// Empty where there are many and they were not asked for.
    attempts: Vec<AttemptEntry<'a>>,
    /// Of a run of a job of ops.
    steps: Vec<StepEntry<'a>>,
}

/// What a run was to do about an asset, and what it did.
#[derive(Serialize)]
struct RunAsset<'a> {
    asset: &'a AssetKey,
    /// `null` for what was made because a target reads it.
    targets: Option<RunParts>,
    outcomes: BTreeMap<&'static str, RunParts>,
}

/// Partitions; their names are not known of an asset that is not declared any more.
#[derive(Serialize)]
#[serde(untagged)]
enum RunParts {
    Named(Parts),
    Counted { count: u64 },
}

#[derive(Serialize)]
struct AttemptEntry<'a> {
    asset: &'a AssetKey,
    partition: Option<String>,
    attempt: u32,
    outcome: &'static str,
    reason: Option<&'a str>,
    started: Option<String>,
    seconds: Option<f64>,
    cpu_seconds: Option<f64>,
    peak_bytes: Option<u64>,
    size_bytes: Option<u64>,
    log: Option<&'a str>,
}

#[derive(Serialize)]
struct StepEntry<'a> {
    step: &'a str,
    state: &'static str,
    attempts: u32,
    reason: Option<&'a str>,
    started: Option<String>,
    seconds: Option<f64>,
    cpu_seconds: Option<f64>,
    peak_bytes: Option<u64>,
    emitted: u64,
    log: Option<&'a str>,
    metadata: &'a Map<String, Value>,
}

impl<'a> RunDocument<'a> {
    pub fn new(engine: &Engine, report: &'a RunReport) -> RunDocument<'a> {
        let parts = |asset: &AssetKey, parts: &PartitionSet| match engine.domain(asset) {
            Some(domain) => RunParts::Named(Parts::new(domain, parts)),
            None => RunParts::Counted { count: parts.len() },
        };
        let mut assets: BTreeMap<&AssetKey, RunAsset<'_>> = BTreeMap::new();
        let entry = |asset| RunAsset { asset, targets: None, outcomes: BTreeMap::new() };
        for (asset, targets) in &report.targets {
            assets.entry(asset).or_insert_with(|| entry(asset)).targets =
                Some(parts(asset, targets));
        }
        for ((asset, fate), set) in &report.fates {
            let outcomes = &mut assets.entry(asset).or_insert_with(|| entry(asset)).outcomes;
            outcomes.insert(Fate::as_str(*fate), parts(asset, set));
        }
        let attempt = |attempt: &'a Attempt| AttemptEntry::new(engine, attempt);
        RunDocument {
            run: RunEntry::new(&report.run, engine.now()),
            retried_by: report.retries.iter().map(|RunId(number)| *number).collect(),
            assets: assets.into_values().collect(),
            failures: report.failures.iter().map(attempt).collect(),
            attempts: report.attempts.iter().map(attempt).collect(),
            steps: report.steps.iter().map(StepEntry::new).collect(),
        }
    }
}

fn seconds(ms: Option<u64>) -> Option<f64> {
    ms.map(|ms| ms as f64 / 1000.0)
}

fn bytes(kib: Option<u64>) -> Option<u64> {
    kib.map(|kib| kib.saturating_mul(1024))
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

impl<'a> AttemptEntry<'a> {
    fn new(engine: &Engine, attempt: &'a Attempt) -> AttemptEntry<'a> {
        let key = engine.domain(&attempt.asset).and_then(|domain| domain.key(attempt.part));
        AttemptEntry {
            asset: &attempt.asset,
            partition: key.map(|key| key.to_string()),
            attempt: attempt.attempt,
            outcome: attempt.outcome.as_str(),
            reason: some(&attempt.detail),
            started: time(attempt.started_ms),
            seconds: seconds(attempt.duration_ms),
            cpu_seconds: seconds(attempt.usage.cpu_ms),
            peak_bytes: bytes(attempt.usage.peak_kib),
            size_bytes: attempt.size_bytes,
            log: attempt.log.as_deref(),
        }
    }
}

impl<'a> StepEntry<'a> {
    fn new(step: &'a OpStep) -> StepEntry<'a> {
        StepEntry {
            step: &step.step,
            state: step.state.as_str(),
            attempts: step.attempts,
            reason: some(&step.detail),
            started: time(step.started_ms),
            seconds: seconds(step.duration_ms),
            cpu_seconds: seconds(step.usage.cpu_ms),
            peak_bytes: bytes(step.usage.peak_kib),
            emitted: step.emitted,
            log: step.log.as_deref(),
            metadata: &step.metadata,
        }
    }
}
