//! A run of a job of ops: which partition, with what configuration, and how it went.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Done;
use super::config::configured;
use super::error::CliError;
use super::json::{Document, JobPlanDocument};
use super::materialize::cancel_on_signal;
use super::progress::{Form, JobReporter};
use super::run::RunArgs;
use super::session::Workspace;
use super::targets::Expression;
use super::text;
use crate::base::{PartitionIdx, PartitionKey, RunId};
use crate::defs::template::At;
use crate::defs::{Domain, Flow, Job, Selection};
use crate::engine::{self, Access, Engine, JobSummary, Launch, RunOptions};
use crate::exec::Control;

pub(super) fn run(
    args: &RunArgs,
    workspace: &mut Workspace<'_>,
    job: &Arc<Job>,
    flow: &Arc<Flow>,
) -> Result<Done, CliError> {
    if args.force {
        let error = CliError::user(format!("job `{}` is made of ops", job.name));
        return Err(error.hint("they run whenever their job does, so there is nothing to force"));
    }
    let ops = args.op_select.as_deref().map(|text| selected(text, flow)).transpose()?;
    let access = if args.dry_run { Access::Read } else { Access::Write };
    let (mut engine, _) = workspace.open(&[], access, &[])?;
    let (job, partition) = at_partition(args.partition.as_deref(), workspace, &mut engine, job)?;
    let config = configured(workspace, &job, &args.given)?;
    let launch = Launch {
        job: job.name.clone(),
        partition,
        config,
        ops,
        retry_of: args.retry.map(RunId),
        request: None,
        tags: args.tag.iter().cloned().collect(),
        backfill: None,
    };
    if args.dry_run {
        let steps = engine.plan_job(&launch).map_err(refused)?;
        let output = if args.json {
            let partition = launch.partition.as_ref().map(PartitionKey::as_str);
            Document::text(JobPlanDocument { job: job.name.as_str(), partition, steps: &steps })
        } else {
            plan(&steps, args.retry)
        };
        workspace.term.print(&output);
        return Ok(Done::Fine);
    }
    carry_out(args, workspace, &mut engine, &launch, flow)
}

fn carry_out(
    args: &RunArgs,
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    launch: &Launch,
    flow: &Arc<Flow>,
) -> Result<Done, CliError> {
    let options = RunOptions {
        jobs: args.how.jobs.map(std::num::NonZeroUsize::get),
        fail_fast: args.how.fail_fast,
        command: workspace.command_line.clone(),
        ..RunOptions::default()
    };
    let control = Control::new();
    let interrupted = cancel_on_signal(&control);
    let form = if args.how.jsonl { Form::JsonLines } else { Form::Text };
    let logs = workspace.root.join(".giornata/logs");
    let (job, flow) = (launch.job.clone(), Arc::clone(flow));
    let mut reporter = JobReporter::new(form, workspace.term, job, flow, logs);
    let result = engine.run_job(launch, &options, &control, &mut |_, event| reporter.handle(event));
    reporter.finish(result.as_ref().ok());
    let summary = result.map_err(refused)?;
    Ok(done(&summary, interrupted.load(Ordering::Relaxed)))
}

fn done(summary: &JobSummary, interrupted: bool) -> Done {
    if interrupted && summary.cancelled > 0 {
        Done::Interrupted
    } else if summary.is_success() {
        Done::Fine
    } else {
        Done::Failed
    }
}

fn plan(steps: &[String], retry: Option<u64>) -> String {
    let mut text: String = steps.iter().map(|step| format!("{step}\n")).collect();
    text += &format!("\n{} to run", text::count(steps.len() as u64, "step"));
    if let Some(run) = retry {
        text += &format!("; what run {run} has made of the same is taken instead");
    }
    text + "\n"
}

/// Everything because of which a job cannot start has a line of its own.
pub(super) fn refused(error: engine::Error) -> CliError {
    match error {
        engine::Error::Launch { job, problems } => {
            let lines: Vec<String> = problems.iter().map(|it| format!("  {it}")).collect();
            CliError::user(format!("job `{job}` cannot start:\n{}", lines.join("\n")))
        }
        error => error.into(),
    }
}

pub(super) fn selected(text: &str, flow: &Flow) -> Result<Selection, CliError> {
    let wrong = |error| CliError::selection(error, text);
    let selection = Selection::parse(text).map_err(wrong)?;
    selection.select_steps(flow).map_err(wrong)?;
    Ok(selection)
}

/// The job as it is for the partition that is meant; as it is declared if it has none.
fn at_partition(
    partition: Option<&str>,
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    job: &Arc<Job>,
) -> Result<(Arc<Job>, Option<PartitionKey>), CliError> {
    match (job.partitions.is_unpartitioned(), partition) {
        (true, None) => Ok((Arc::clone(job), None)),
        (true, Some(_)) => Err(CliError::user(format!("job `{}` has no partitions", job.name))),
        (false, None) => {
            let message = format!("job `{}` runs for one partition at a time", job.name);
            let error = CliError::user(message);
            Err(error.hint("`-p PARTITION` says for which; `-p latest` is the last one"))
        }
        (false, Some(text)) => {
            let expression = Expression::parse(text, 0)?;
            let domain = domain(workspace, engine, job)?;
            let set = expression.of_job(&domain, job.name.as_str())?;
            let index = set.min().filter(|_| set.len() == 1).ok_or_else(|| {
                let n = text::count(set.len(), "partition");
                CliError::user(format!("{n} of job `{}` are meant, and a run is for one", job.name))
            })?;
            filled(job, &domain, index)
        }
    }
}

/// As [`at_partition`]; for the last partition that there is, if none is named.
pub(super) fn at_any_partition(
    partition: Option<&str>,
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    job: &Arc<Job>,
) -> Result<(Arc<Job>, Option<PartitionKey>), CliError> {
    if partition.is_some() || job.partitions.is_unpartitioned() {
        return at_partition(partition, workspace, engine, job);
    }
    let domain = domain(workspace, engine, job)?;
    match domain.ordered().last() {
        Some(index) => filled(job, &domain, *index),
        None => Err(CliError::user(format!("job `{}` has no partition yet", job.name))),
    }
}

pub(super) fn domain(
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    job: &Job,
) -> Result<Domain, CliError> {
    workspace.refresh(engine, job.partitions.sources())?;
    Ok(engine.job_domain(job)?)
}

pub(super) fn filled(
    job: &Arc<Job>,
    domain: &Domain,
    index: PartitionIdx,
) -> Result<(Arc<Job>, Option<PartitionKey>), CliError> {
    let Some(at) = At::of(domain, index) else { return Ok((Arc::clone(job), None)) };
    let job = job.at(&at).map_err(|mistakes| {
        let lines = mistakes.iter().map(|(path, error)| format!("  `{path}`: {error}"));
        let lines = lines.collect::<Vec<_>>().join("\n");
        CliError::user(format!("the values of job `{}` cannot be filled in:\n{lines}", job.name))
    })?;
    Ok((Arc::new(job), domain.key(index)))
}
