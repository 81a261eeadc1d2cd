//! `giornata retry`: makes what a run was to make and did not.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::config::{Given, configured};
use super::error::CliError;
use super::job::find;
use super::materialize::{HowArgs, carry_out};
use super::run::{RunArgs, settings};
use super::session::{Session, Workspace};
use super::{Done, plan, run_ops, runs, text, values};
use crate::base::{AssetKey, PartitionSet, RunId};
use crate::defs::Work;
use crate::engine::{Access, Engine, LaunchInfo, Run, RunState, SetValue};
use crate::plan::{Reach, Request};

/// Make what a run was to make and did not
///
/// What failed, and what was blocked by that; of a run that was cancelled or interrupted also what it had
/// not come to. Of a run of a job of ops, what it has made is taken over, as with `giornata run --retry`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// Which run; `giornata runs` lists them.
    #[arg(value_name = "RUN", value_parser = runs::id)]
    run: RunId,
    /// Say what would be done, and do nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// With `--dry-run`: write one JSON document.
    #[arg(long, requires = "dry_run", conflicts_with = "jsonl")]
    json: bool,
    #[command(flatten)]
    how: HowArgs,
}

pub(super) fn run(args: &RetryArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let retried = workspace.engine(Access::Read, &[])?.run(args.run)?;
    match retried.state {
        RunState::Running => {
            let error = CliError::user(format!("run {} goes on", args.run));
            return Err(error.hint(format!("`giornata cancel {}` stops it", args.run)));
        }
        RunState::Success => {
            workspace.term.print(&format!("run {} has succeeded: nothing to retry\n", args.run));
            return Ok(Done::Fine);
        }
        RunState::Failure | RunState::Cancelled | RunState::Interrupted | RunState::Paused => {}
    }
    if has_hidden(&retried.launch.config) {
        let message = format!("run {} was given a secret, which is not recorded", args.run);
        let job = retried.launch.job.as_deref().unwrap_or("JOB");
        let hint =
            format!("give it again: `giornata run {job} --retry {} --config FILE`", args.run);
        return Err(CliError::user(message).hint(hint));
    }
    let Some(name) = &retried.launch.job else {
        let sets = values::recorded(&workspace.project, &retried.launch.config);
        return again(args, &mut workspace, &retried, &sets);
    };
    let job = find(&mut workspace, Some(name))?;
    let given = Given::launched(retried.launch.config.clone());
    match &job.work {
        Work::Flow(flow) => {
            let args = of_job(args, &retried, given);
            run_ops::run(&args, &mut workspace, &job, flow)
        }
        Work::Select(selection) => {
            let config = configured(&workspace, &job, &given)?;
            let sets = settings(&workspace, &job, selection, &config)?;
            again(args, &mut workspace, &retried, &sets)
        }
    }
}

/// Whether some value was replaced because nobody may read it.
fn has_hidden(config: &Value) -> bool {
    match config {
        Value::String(text) => text == "***",
        Value::Array(values) => values.iter().any(has_hidden),
        Value::Object(fields) => fields.values().any(has_hidden),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What would have been typed for the rest of a run of a job of ops.
fn of_job(args: &RetryArgs, retried: &Run, given: Given) -> RunArgs {
    RunArgs {
        job: retried.launch.job.clone(),
        given,
        partition: retried.launch.partition.as_ref().map(|key| key.to_string()),
        op_select: None,
        retry: Some(args.run.0),
        force: false,
        dry_run: args.dry_run,
        json: args.json,
        how: args.how.clone(),
        tag: retried.launch.tags.clone().into_iter().collect(),
    }
}

/// Makes what a run of assets did not.
fn again(
    args: &RetryArgs,
    workspace: &mut Workspace<'_>,
    retried: &Run,
    sets: &[SetValue],
) -> Result<Done, CliError> {
    let access = if args.dry_run { Access::Read } else { Access::Write };
    let mut engine = workspace.engine(access, sets)?;
    let left = engine.left_by(args.run)?;
    let (targets, gone) = known(&engine, left);
    for (asset, count) in &gone {
        let parts = text::count(*count, "partition");
        workspace
            .term
            .warning(&format!("{parts} of `{asset}` that it left are not there any more"));
    }
    if targets.is_empty() {
        workspace.term.print(&format!("run {} left nothing to be made\n", args.run));
        return Ok(Done::Fine);
    }
    workspace.refresh(&mut engine, targets.keys().cloned().collect())?;
    let (chosen, reach) = (BTreeMap::new(), Reach::Upstream);
    let request = Request { targets, chosen, reach, force: false };
    if args.dry_run {
        plan::show(workspace, &engine.plan(&request)?, args.json);
        return Ok(Done::Fine);
    }
    let launch = LaunchInfo { parent: Some(args.run), backfill: None, ..retried.launch.clone() };
    carry_out(workspace, &mut engine, &request, &args.how, launch)
}

/// What there still is of partitions, and how many of which asset are gone.
fn known(
    engine: &Engine,
    left: BTreeMap<AssetKey, PartitionSet>,
) -> (BTreeMap<AssetKey, PartitionSet>, Vec<(AssetKey, u64)>) {
    let mut targets = BTreeMap::new();
    let mut gone = Vec::new();
    for (asset, parts) in left {
        let there = engine.domain(&asset).map(|domain| domain.all() & &parts).unwrap_or_default();
        if there.len() < parts.len() {
            gone.push((asset.clone(), parts.len() - there.len()));
        }
        if !there.is_empty() {
            targets.insert(asset, there);
        }
    }
    (targets, gone)
}
