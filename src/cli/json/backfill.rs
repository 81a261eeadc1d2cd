//! Backfills as JSON documents and lines.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Parts, PlanDocument};
use crate::base::{AssetKey, BackfillId, JobName, PartitionSet};
use crate::defs::Domain;
use crate::engine::{
    Backfill, BackfillAsset, BackfillReport, BackfillRun, BackfillSummary, Engine, Estimate,
    JobBackfillReport, Summary,
};
use crate::plan::Plan;

/// What a backfill would do.
#[derive(Serialize)]
pub(in crate::cli) struct BackfillPlanDocument<'a> {
    #[serde(flatten)]
    plan: PlanDocument,
    targets: Vec<TargetEntry<'a>>,
    runs: u64,
    estimate: EstimateEntry,
}

#[derive(Serialize)]
struct TargetEntry<'a> {
    asset: &'a AssetKey,
    #[serde(flatten)]
    parts: Parts,
}

#[derive(Serialize)]
struct EstimateEntry {
    /// `null`: nothing of it was made before.
    duration_ms: Option<u64>,
    jobs: usize,
    /// The earlier attempts that it was taken from.
    attempts: u64,
    /// Steps that it does not cover.
    unknown_steps: u64,
}

impl<'a> BackfillPlanDocument<'a> {
    pub fn new(
        engine: &Engine,
        plan: &Plan,
        targets: &'a BTreeMap<AssetKey, PartitionSet>,
        estimate: &Estimate,
        runs: u64,
    ) -> BackfillPlanDocument<'a> {
        let entry = |(asset, set): (&'a AssetKey, &PartitionSet)| {
            let parts = Parts::new(engine.planner().domain(asset), set);
            TargetEntry { asset, parts }
        };
        let Estimate { duration, jobs, attempts, unknown } = *estimate;
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let is_known = attempts > 0 || unknown == 0;
        BackfillPlanDocument {
            plan: PlanDocument::new(plan),
            targets: targets.iter().map(entry).collect(),
            runs,
            estimate: EstimateEntry {
                duration_ms: is_known.then_some(duration_ms),
                jobs,
                attempts,
                unknown_steps: unknown,
            },
        }
    }
}

#[derive(Serialize)]
pub(in crate::cli) struct BackfillsDocument<'a> {
    backfills: Vec<BackfillEntry<'a>>,
}

impl<'a> BackfillsDocument<'a> {
    pub fn new(reports: &'a [BackfillReport]) -> BackfillsDocument<'a> {
        BackfillsDocument { backfills: reports.iter().map(BackfillEntry::new).collect() }
    }
}

/// One backfill in numbers.
#[derive(Serialize)]
struct BackfillEntry<'a> {
    backfill: u64,
    state: &'static str,
    wish: Option<&'static str>,
    command: &'a str,
    started_ms: i64,
    finished_ms: Option<i64>,
    tags: &'a BTreeMap<String, String>,
    runs: Vec<u64>,
    /// Of the targets.
    counts: BTreeMap<&'static str, u64>,
}

impl<'a> BackfillEntry<'a> {
    fn new(report: &'a BackfillReport) -> BackfillEntry<'a> {
        let counts = report.counts.iter().map(|(state, count)| (state.as_str(), *count)).collect();
        BackfillEntry::of(&report.backfill, &report.runs, counts)
    }

    fn of(
        backfill: &'a Backfill,
        runs: &[BackfillRun],
        counts: BTreeMap<&'static str, u64>,
    ) -> BackfillEntry<'a> {
        BackfillEntry {
            backfill: backfill.id.0,
            state: backfill.state.as_str(),
            wish: backfill.wish.map(crate::engine::Wish::as_str),
            command: &backfill.command,
            started_ms: backfill.created_ms,
            finished_ms: backfill.finished_ms,
            tags: &backfill.tags,
            runs: runs.iter().map(|run| run.id.0).collect(),
            counts,
        }
    }
}

/// One backfill with its partitions.
#[derive(Serialize)]
pub(in crate::cli) struct BackfillDocument<'a> {
    #[serde(flatten)]
    entry: BackfillEntry<'a>,
    assets: Vec<AssetEntry<'a>>,
}

#[derive(Serialize)]
struct AssetEntry<'a> {
    asset: &'a AssetKey,
    target: bool,
    counts: BTreeMap<&'static str, u64>,
    /// `null` where the partitions are declared otherwise now.
    ranges: Option<BTreeMap<&'static str, Vec<String>>>,
}

impl<'a> BackfillDocument<'a> {
    pub fn new(
        report: &'a BackfillReport,
        domain: &dyn Fn(&AssetKey) -> Option<Domain>,
    ) -> BackfillDocument<'a> {
        let entry = |asset: &'a BackfillAsset| {
            let sets = asset.sets.iter().filter(|(_, set)| !set.is_empty());
            AssetEntry {
                asset: &asset.asset,
                target: asset.is_target,
                counts: asset.sets.iter().map(|(state, set)| (state.as_str(), set.len())).collect(),
                ranges: domain(&asset.asset).map(|domain| {
                    sets.map(|(state, set)| (state.as_str(), domain.render(set))).collect()
                }),
            }
        };
        BackfillDocument {
            entry: BackfillEntry::new(report),
            assets: report.assets.iter().map(entry).collect(),
        }
    }
}

/// What a backfill of a job of ops would do.
#[derive(Serialize)]
pub(in crate::cli) struct JobBackfillPlanDocument<'a> {
    job: &'a JobName,
    runs: u64,
    partitions: Vec<String>,
}

impl<'a> JobBackfillPlanDocument<'a> {
    pub fn new(job: &'a JobName, domain: &Domain, parts: &PartitionSet) -> Self {
        JobBackfillPlanDocument { job, runs: parts.len(), partitions: domain.render(parts) }
    }
}

/// One backfill of a job of ops with its partitions.
#[derive(Serialize)]
pub(in crate::cli) struct JobBackfillDocument<'a> {
    #[serde(flatten)]
    entry: BackfillEntry<'a>,
    job: &'a JobName,
    ranges: BTreeMap<&'static str, Vec<String>>,
}

impl<'a> JobBackfillDocument<'a> {
    pub fn new(report: &'a JobBackfillReport, domain: &Domain) -> JobBackfillDocument<'a> {
        let sets = report.sets.iter().filter(|(_, set)| !set.is_empty());
        let counts = report.sets.iter().map(|(state, set)| (state.as_str(), set.len()));
        JobBackfillDocument {
            entry: BackfillEntry::of(&report.backfill, &report.runs, counts.collect()),
            job: &report.job,
            ranges: sets.map(|(state, set)| (state.as_str(), domain.render(set))).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line {
    BackfillStarted {
        backfill: u64,
    },
    BackfillFinished {
        backfill: u64,
        state: &'static str,
        runs: u64,
        summary: BTreeMap<String, u64>,
    },
}

fn line(line: &Line) -> String {
    serde_json::to_string(line).expect("the keys are text") + "\n"
}

/// The first line of a backfill; those of its runs follow.
pub(in crate::cli) fn backfill_line(backfill: BackfillId) -> String {
    line(&Line::BackfillStarted { backfill: backfill.0 })
}

/// The last line of a backfill.
pub(in crate::cli) fn backfill_ended_line(summary: &BackfillSummary) -> String {
    let BackfillSummary { id, state, runs, total } = summary;
    let summary = Summary::counts(total);
    line(&Line::BackfillFinished { backfill: id.0, state: state.as_str(), runs: *runs, summary })
}
