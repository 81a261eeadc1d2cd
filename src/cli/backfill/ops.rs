//! Backfills of jobs of ops: each partition is a run of the job.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::super::config::{Given, configured, configured_in};
use super::super::error::CliError;
use super::super::json::{Document, JobBackfillPlanDocument, backfill_ended_line, backfill_line};
use super::super::materialize::{HowArgs, cancel_on_signal};
use super::super::progress::{Form, JobReporter};
use super::super::run_ops::{domain, filled, selected};
use super::super::session::Workspace;
use super::super::targets::Expression;
use super::super::text::{self, Length};
use super::super::{Done, job};
use super::start::{done, plain_spec, tell_end};
use super::{StartArgs, TakeUpArgs, wanted};
use crate::base::{BackfillId, PartitionIdx, PartitionSet, RunId};
use crate::defs::{Domain, Flow, Job, Work};
use crate::engine::{
    Access, BackfillSpec, BackfillSummary, Engine, JobUnderway, Launch, Progress, Rest, RunOptions,
};
use crate::exec::Control;
use crate::plan::Reach;

pub(super) fn run(
    args: &StartArgs,
    workspace: &mut Workspace<'_>,
    job: &Arc<Job>,
    flow: &Arc<Flow>,
) -> Result<Done, CliError> {
    refuse(args, job)?;
    if let Some(text) = &args.op_select {
        selected(text, flow)?;
    }
    let access = if args.go.dry_run { Access::Read } else { Access::Write };
    let (mut engine, _) = workspace.open(&[], access, &[])?;
    let domain = domain(workspace, &mut engine, job)?;
    let text = wanted::range(args)?.or_else(|| args.wanted.partition.clone());
    let parts = match text {
        Some(text) => Expression::parse(&text, 0)?.of_job(&domain, job.name.as_str())?,
        None => domain.all().clone(),
    };
    let parts = narrowed(args, &engine, job, &domain, parts)?;
    let given = args.given();
    let runs = text::count(parts.len(), "run");
    if args.go.dry_run {
        let ranges = text::ranges(&domain, &parts, Length::of(workspace.term.is_verbose));
        let output = match args.go.json {
            true => Document::text(JobBackfillPlanDocument::new(&job.name, &domain, &parts)),
            false if parts.is_empty() => "nothing to run\n".to_owned(),
            false => format!("{runs} of job `{}`, one after the other: {ranges}\n", job.name),
        };
        workspace.term.print(&output);
        return Ok(Done::Fine);
    }
    if parts.is_empty() && domain.all().is_empty() {
        return Err(CliError::user(format!("job `{}` has no partition yet", job.name)));
    }
    if parts.is_empty() {
        workspace.term.print("nothing to run\n");
        return Ok(Done::Fine);
    }
    // What is wrong with its values is told before anything is recorded.
    let first = parts.min().expect("there is one");
    let (at_first, _) = filled(job, &domain, first)?;
    let config = configured(workspace, &at_first, &given)?;
    workspace.term.talk(&format!("{runs} of job `{}`, one after the other\n", job.name));
    let is_much = parts.len() > super::start::UNASKED_MAX && !args.go.yes;
    if is_much && workspace.term.is_interactive && !workspace.term.confirm("go on?") {
        workspace.term.tell("nothing was run\n");
        return Ok(Done::Interrupted);
    }
    let spec = BackfillSpec {
        job: Some(job.name.to_string()),
        config: config.masked(),
        ops: args.op_select.clone(),
        given: given.to_record()?,
        ..plain_spec(args, Reach::Only)
    };
    let tags = args.go.tag.iter().cloned().collect();
    let command = workspace.command_line.clone();
    let underway = engine.begin_job_backfill(spec, &domain, parts, tags, &command)?;
    carry_out(workspace, &mut engine, underway, job, flow, &domain, &args.go.how)
}

/// Of `parts` those whose newest run failed, or that were never run to their end, where only these are wanted.
fn narrowed(
    args: &StartArgs,
    engine: &Engine,
    job: &Job,
    domain: &Domain,
    parts: PartitionSet,
) -> Result<PartitionSet, CliError> {
    if !args.failed && !args.missing {
        return Ok(parts);
    }
    let sets = engine.job_progress(&job.name, domain)?;
    let wanted = [(args.failed, Progress::Failed), (args.missing, Progress::Left)];
    let wanted = wanted.into_iter().filter(|(is_given, _)| *is_given);
    let wanted = wanted.fold(PartitionSet::new(), |all, (_, state)| all | &sets[&state]);
    Ok(parts & wanted)
}

/// What means nothing for a job of ops, or would be recorded though it is secret.
fn refuse(args: &StartArgs, job: &Job) -> Result<(), CliError> {
    let name = &job.name;
    if job.partitions.is_unpartitioned() {
        let error = CliError::user(format!("job `{name}` has no partitions"));
        return Err(error.hint(format!("`giornata run {name}` launches it")));
    }
    let wanted = &args.wanted;
    let flags = [
        (args.stale, "--stale"),
        (wanted.force, "--force"),
        (wanted.only, "--only"),
        (wanted.downstream, "--downstream"),
        (args.chunk.is_some(), "--chunk"),
    ];
    if let Some((_, flag)) = flags.into_iter().find(|(is_given, _)| *is_given) {
        let error =
            CliError::user(format!("job `{name}` is made of ops, so `{flag}` means nothing"));
        return Err(error.hint("each partition is a run, in which every op runs"));
    }
    let is_given = !wanted.set.is_empty() || wanted.config.is_some();
    if is_given && job.config.holds_secret() {
        let message =
            format!("job `{name}` has secret values, and what a backfill is given is recorded");
        let hint = "name variables of the environment in a preset or in the values of the job";
        return Err(CliError::user(message).hint(hint));
    }
    Ok(())
}

/// A job of ops as it is declared now, with its partitions.
pub(super) struct OfOps {
    job: Arc<Job>,
    flow: Arc<Flow>,
    pub domain: Domain,
}

/// The job of ops that a recorded backfill is of, if it is of one.
pub(super) fn of_ops(
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    spec: &BackfillSpec,
) -> Result<Option<OfOps>, CliError> {
    let (Some(name), Some(_)) = (&spec.job, &spec.job_space) else { return Ok(None) };
    let job = job::find(workspace, Some(name))?;
    let Work::Flow(flow) = &job.work else {
        return Err(CliError::user(format!("job `{name}` is not made of ops any more")));
    };
    let flow = Arc::clone(flow);
    let domain = domain(workspace, engine, &job)?;
    Ok(Some(OfOps { job, flow, domain }))
}

pub(super) fn take_up(
    args: &TakeUpArgs,
    rest: Rest,
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    OfOps { job, flow, domain }: OfOps,
) -> Result<Done, CliError> {
    let underway = engine.take_up_job_backfill(args.backfill, rest, &domain)?;
    carry_out(workspace, engine, underway, &job, &flow, &domain, &args.how)
}

fn carry_out(
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    underway: JobUnderway,
    job: &Arc<Job>,
    flow: &Arc<Flow>,
    domain: &Domain,
    how: &HowArgs,
) -> Result<Done, CliError> {
    let spec = underway.underway.spec.clone();
    let id = underway.underway.id;
    let options = RunOptions {
        jobs: how.jobs.map(NonZeroUsize::get).or(spec.jobs),
        fail_fast: how.fail_fast || spec.fail_fast,
        command: workspace.command_line.clone(),
        ..RunOptions::default()
    };
    let given = Given::of_record(&spec.given)?;
    let control = Control::new();
    let interrupted = cancel_on_signal(&control);
    let form = if how.jsonl { Form::JsonLines } else { Form::Text };
    tell_begin(workspace, form, id);
    let (env, _) = workspace.environment();
    let logs = workspace.root.join(".giornata/logs");
    let mut launch = |_: &mut Engine, part: PartitionIdx, retry_of: Option<RunId>| {
        let (job, partition) = filled(job, domain, part)?;
        let config = configured_in(&env, &job, &given)?;
        let ops = spec.ops.as_deref().map(|text| selected(text, flow)).transpose()?;
        let (name, tags, backfill) = (job.name.clone(), Default::default(), None);
        Ok::<_, CliError>(Launch {
            job: name,
            partition,
            config,
            ops,
            retry_of,
            tags,
            backfill,
            request: None,
        })
    };
    let (name, flow) = (job.name.clone(), Arc::clone(flow));
    let mut reporter = JobReporter::new(form, workspace.term, name, flow, logs);
    let result = engine.carry_out_job_backfill(
        underway,
        &options,
        &control,
        &mut launch,
        &mut |_, event| {
            reporter.handle(event);
        },
    );
    reporter.end();
    let summary = result?;
    match form {
        Form::JsonLines => workspace.term.print(&backfill_ended_line(&summary)),
        Form::Text => {
            let line = runs_text(&summary);
            workspace.term.print(&format!("{line}\n"));
            tell_end(workspace, &summary);
        }
    }
    Ok(done(&summary, interrupted.load(Ordering::Relaxed)))
}

fn tell_begin(workspace: &mut Workspace<'_>, form: Form, id: BackfillId) {
    match form {
        Form::JsonLines => workspace.term.print(&backfill_line(id)),
        Form::Text => workspace.term.talk(&format!("backfill {id}\n")),
    }
}

fn runs_text(summary: &BackfillSummary) -> String {
    let BackfillSummary { total, .. } = summary;
    let succeeded = text::count(total.ran, "run");
    let mut line = format!("{succeeded} succeeded, {} failed", total.failed);
    if total.cancelled > 0 {
        line += &format!(", {} left", total.cancelled);
    }
    line
}
