//! Starts a backfill, or takes one up, and carries it out in this process.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use super::super::config::configured;
use super::super::error::CliError;
use super::super::json::{BackfillPlanDocument, Document, backfill_ended_line, backfill_line};
use super::super::materialize::{HowArgs, cancel_on_signal};
use super::super::plan::{self, WantedArgs};
use super::super::progress::{Form, Reporter};
use super::super::run::settings;
use super::super::session::{Session, Workspace};
use super::super::targets::{Expression, Spec};
use super::super::{Done, job, text};
use super::{StartArgs, TakeUpArgs, ops, wanted};
use crate::base::{AssetKey, PartitionSet};
use crate::defs::partition::PartitionExpr;
use crate::defs::{Job, Work};
use crate::engine::{
    Access, BackfillSpec, BackfillState, BackfillSummary, Engine, Estimate, Rest, RunOptions,
    Underway,
};
use crate::exec::Control;
use crate::plan::{Plan, Reach, Request};

/// More steps than these are confirmed first, on a terminal.
pub(super) const UNASKED_MAX: u64 = 1000;

pub(super) fn run(args: &StartArgs, session: Session<'_>) -> Result<Done, CliError> {
    if args.wanted.selection.is_empty() && !args.wanted.all {
        let error = CliError::user("what is to be backfilled is missing");
        return Err(error.hint("name assets, or give `--all`; `giornata list` names them"));
    }
    let mut workspace = session.workspace()?;
    let job = job::named(&mut workspace, None, &args.wanted.selection)?;
    if let Some(job) = &job
        && let Work::Flow(flow) = &job.work
    {
        return ops::run(args, &mut workspace, job, flow);
    }
    if args.op_select.is_some() || (job.is_none() && args.preset.is_some()) {
        let error = CliError::user("`--op-select` and `--preset` are for jobs");
        return Err(
            error.hint("`giornata list` names them; ops have only those that are made of such")
        );
    }
    let Opened { mut engine, request, spec } = match &job {
        Some(job) => open_job(args, &mut workspace, job)?,
        None => open(args, &mut workspace)?,
    };
    let plan = engine.plan(&request)?;
    let targets = engine.backfill_targets(&request, &plan);
    let jobs = args.go.how.jobs.map(NonZeroUsize::get);
    let estimate = engine.estimate(&plan, jobs)?;
    let runs = engine.backfill_runs(&targets, args.chunk.map(Into::into));
    if args.go.dry_run {
        preview(args, &mut workspace, &engine, &plan, &targets, &estimate, runs);
        return Ok(Done::Fine);
    }
    if targets.is_empty() && plan.is_empty() {
        workspace.term.print(&plan::render_fresh(&plan));
        return Ok(Done::Fine);
    }
    workspace.term.talk(&format!("{}\n", announcement(&plan, &estimate, runs)));
    if !is_confirmed(args, &mut workspace, &plan) {
        workspace.term.tell("nothing was run\n");
        return Ok(Done::Interrupted);
    }
    let mut tags = job.map(|job| job.tags.clone()).unwrap_or_default();
    tags.extend(args.go.tag.iter().cloned());
    let command = workspace.command_line.clone();
    let chosen = request.chosen;
    let underway = engine.begin_backfill(spec, targets, chosen, tags, &command)?;
    carry_out(&mut workspace, &mut engine, underway, &args.go.how)
}

/// What is asked for, with the engine that was opened for it.
struct Opened {
    engine: Engine,
    request: Request,
    spec: BackfillSpec,
}

fn access(args: &StartArgs) -> Access {
    if args.go.dry_run { Access::Read } else { Access::Write }
}

fn open(args: &StartArgs, workspace: &mut Workspace<'_>) -> Result<Opened, CliError> {
    let mut wanted: WantedArgs = args.wanted.clone();
    wanted.partition = wanted::range(args)?.or(wanted.partition);
    let states = states(args);
    let (engine, request, set) =
        wanted.open_with(workspace, access(args), &|engine, specs, sets, partition| {
            wanted::read(engine, specs, sets, partition, &states)
        })?;
    let spec = BackfillSpec { set, ..plain_spec(args, request.reach) };
    Ok(Opened { engine, request, spec })
}

/// A job that selects assets.
fn open_job(
    args: &StartArgs,
    workspace: &mut Workspace<'_>,
    job: &Job,
) -> Result<Opened, CliError> {
    let Work::Select(selection) = &job.work else {
        return Err(CliError::user(format!("job `{}` is made of ops", job.name)));
    };
    let config = configured(workspace, job, &args.given())?;
    let set = settings(workspace, job, selection, &config)?;
    let specs = [Spec::of(selection.clone())];
    let partition = wanted::range(args)?.or_else(|| args.wanted.partition.clone());
    let partition = partition.map(|text| Expression::parse(&text, 0)).transpose()?;
    let (engine, sets) = workspace.open(&specs, access(args), &set)?;
    let wanted = wanted::read(&engine, &specs, &sets, partition.as_ref(), &states(args))?;
    let (reach, force) = (args.wanted.reach(), args.wanted.force);
    let request = Request { targets: wanted.targets, chosen: wanted.chosen, reach, force };
    let spec = BackfillSpec {
        job: Some(job.name.to_string()),
        config: config.masked(),
        set,
        ..plain_spec(args, reach)
    };
    Ok(Opened { engine, request, spec })
}

/// What the arguments say of how it goes.
pub(super) fn plain_spec(args: &StartArgs, reach: Reach) -> BackfillSpec {
    BackfillSpec {
        jobs: args.go.how.jobs.map(NonZeroUsize::get),
        fail_fast: args.go.how.fail_fast,
        order: args.order.into(),
        chunk: args.chunk.map(Into::into),
        force: args.wanted.force,
        ..BackfillSpec::new(reach)
    }
}

fn states(args: &StartArgs) -> Vec<PartitionExpr> {
    let words = [(args.missing, "missing"), (args.failed, "failed"), (args.stale, "stale")];
    let given = words.into_iter().filter(|(is_given, _)| *is_given);
    given.map(|(_, word)| PartitionExpr::parse(word).expect("it is one of the words")).collect()
}

/// Takes up a backfill that was stopped, or in which something failed.
pub(super) fn take_up(
    args: &TakeUpArgs,
    rest: Rest,
    session: Session<'_>,
) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let id = args.backfill;
    let spec = workspace.engine(Access::Read, &[])?.backfill_spec(id)?;
    let mut engine = workspace.engine(Access::Write, &spec.set)?;
    if let Some(of) = ops::of_ops(&mut workspace, &mut engine, &spec)? {
        return ops::take_up(args, rest, &mut workspace, &mut engine, of);
    }
    let targets = engine.backfill_report(id)?.everything(&crate::engine::Progress::ALL);
    let known = targets.into_keys().filter(|key| workspace.project.assets.contains_key(key));
    workspace.refresh(&mut engine, known.collect())?;
    let underway = engine.take_up_backfill(id, rest)?;
    carry_out(&mut workspace, &mut engine, underway, &args.how)
}

fn carry_out(
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    underway: Underway,
    how: &HowArgs,
) -> Result<Done, CliError> {
    let id = underway.id;
    let options = RunOptions {
        jobs: how.jobs.map(NonZeroUsize::get).or(underway.spec.jobs),
        fail_fast: how.fail_fast || underway.spec.fail_fast,
        command: workspace.command_line.clone(),
        ..RunOptions::default()
    };
    let control = Control::new();
    let interrupted = cancel_on_signal(&control);
    let form = if how.jsonl { Form::JsonLines } else { Form::Text };
    match form {
        Form::JsonLines => workspace.term.print(&backfill_line(id)),
        Form::Text => workspace.term.talk(&format!("backfill {id}\n")),
    }
    let mut reporter = Reporter::new(form, workspace.term);
    let result = engine.carry_out_backfill(underway, &options, &control, &mut |engine, event| {
        reporter.handle(engine, event);
    });
    reporter.finish(result.as_ref().ok().map(|summary| &summary.total));
    let summary = result?;
    match form {
        Form::JsonLines => workspace.term.print(&backfill_ended_line(&summary)),
        Form::Text => tell_end(workspace, &summary),
    }
    Ok(done(&summary, interrupted.load(Ordering::Relaxed)))
}

pub(super) fn tell_end(workspace: &mut Workspace<'_>, summary: &BackfillSummary) {
    let id = summary.id;
    let has_failed = summary.total.failed + summary.total.blocked + summary.total.checks_failed > 0;
    let hint = match summary.state {
        BackfillState::Success | BackfillState::Running => return,
        // What is left has not failed: it is not there any more.
        BackfillState::Failure if !has_failed => {
            format!("`giornata backfill show {id}` says what is left")
        }
        BackfillState::Failure => {
            format!("`giornata backfill retry {id}` tries again what failed, and what waits for it")
        }
        BackfillState::Paused | BackfillState::Cancelled | BackfillState::Interrupted => {
            format!("`giornata backfill resume {id}` does what is left")
        }
    };
    workspace.term.talk(&format!("backfill {id} is in the state `{}`\n", summary.state.as_str()));
    workspace.term.hint(&hint);
}

pub(super) fn done(summary: &BackfillSummary, interrupted: bool) -> Done {
    match summary.state {
        BackfillState::Success => Done::Fine,
        BackfillState::Cancelled if interrupted => Done::Interrupted,
        BackfillState::Running
        | BackfillState::Paused
        | BackfillState::Failure
        | BackfillState::Cancelled
        | BackfillState::Interrupted => Done::Failed,
    }
}

fn is_confirmed(args: &StartArgs, workspace: &mut Workspace<'_>, plan: &Plan) -> bool {
    let steps = plan.certain() + plan.possible();
    if args.go.yes || !workspace.term.is_interactive || steps <= UNASKED_MAX {
        return true;
    }
    let steps = text::count(steps, "step");
    workspace.term.confirm(&format!("this may run {steps}; go on?"))
}

fn preview(
    args: &StartArgs,
    workspace: &mut Workspace<'_>,
    engine: &Engine,
    plan: &Plan,
    targets: &BTreeMap<AssetKey, PartitionSet>,
    estimate: &Estimate,
    runs: u64,
) {
    if args.go.json {
        let document = BackfillPlanDocument::new(engine, plan, targets, estimate, runs);
        workspace.term.print(&Document::text(document));
        return;
    }
    plan::show(workspace, plan, false);
    workspace.term.print(&format!("{}\n", time(estimate)));
    if runs > 1 {
        workspace.term.print(&format!("{} one after the other\n", text::count(runs, "run")));
    }
}

/// `3 steps to run, 12 to restore; about 4.0 s with 2 at once, by the medians of 64 attempts`.
fn announcement(plan: &Plan, estimate: &Estimate, runs: u64) -> String {
    let runs = if runs > 1 { format!(", in {}", text::count(runs, "run")) } else { String::new() };
    format!("{}{runs}; {}", plan::summary(plan), time(estimate))
}

/// How long it will take, and what that is known from.
fn time(estimate: &Estimate) -> String {
    let Estimate { duration, jobs, attempts, unknown } = estimate;
    if *attempts == 0 {
        return match unknown {
            0 => "no time".to_owned(),
            _ => "how long is not known: nothing of it was made before".to_owned(),
        };
    }
    let took = text::duration(*duration);
    let from = text::count(*attempts, "earlier attempt");
    let line = format!("about {took} with {jobs} at once, by the medians of {from}");
    match unknown {
        0 => line,
        _ => format!("{line}, without {} of which nothing is known", text::count(*unknown, "step")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_time_says_what_it_is_known_from() {
        let estimate = |attempts, unknown| Estimate {
            duration: Duration::from_secs(90),
            jobs: 2,
            attempts,
            unknown,
        };
        assert_eq!(time(&estimate(0, 0)), "no time");
        assert_eq!(time(&estimate(0, 3)), "how long is not known: nothing of it was made before");
        assert_eq!(
            time(&estimate(1, 0)),
            "about 1 min 30 s with 2 at once, by the medians of 1 earlier attempt"
        );
        assert!(time(&estimate(64, 1)).ends_with(", without 1 step of which nothing is known"));
    }
}
