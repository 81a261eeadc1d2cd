//! `giornata materialize`: brings assets up to date, and says what happened.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::error::CliError;
use super::plan::{self, WantedArgs};
use super::progress::{Form, Reporter};
use super::session::{Session, Workspace};
use super::{Done, text, values};
use crate::engine::{Access, Engine, LaunchInfo, RunOptions, Summary};
use crate::exec::Control;
use crate::plan::Request;

/// More steps than these are confirmed first, on a terminal, if no partitions were named.
const UNASKED_MAX: u64 = 1000;

/// Bring assets up to date, and what they read
#[derive(Debug, Args)]
pub(super) struct MaterializeArgs {
    #[command(flatten)]
    wanted: WantedArgs,
    #[command(flatten)]
    go: GoArgs,
}

// Whether, and under which label, something is run. (A doc comment here would become the help of the verb.)
#[derive(Debug, Args)]
pub(super) struct GoArgs {
    /// Say what would be done and how much it is, and do nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub how: HowArgs,
    /// Do not ask before many steps.
    #[arg(short, long)]
    pub yes: bool,
    /// Label what is run.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::tag)]
    pub tag: Vec<(String, String)>,
    /// With `--dry-run`: write one JSON document.
    #[arg(long, requires = "dry_run", conflicts_with = "jsonl")]
    pub json: bool,
}

pub(super) fn run(args: &MaterializeArgs, session: Session<'_>) -> Result<Done, CliError> {
    if args.wanted.selection.is_empty() && !args.wanted.all {
        let error = CliError::user("what is to be made fresh is missing");
        return Err(error.hint("name assets, or give `--all`; `giornata list` names them"));
    }
    let mut workspace = session.workspace()?;
    let access = if args.go.dry_run { Access::Read } else { Access::Write };
    let (mut engine, request) = args.wanted.open(&mut workspace, access)?;
    if args.go.dry_run {
        plan::show(&mut workspace, &engine.plan(&request)?, args.go.json);
        return Ok(Done::Fine);
    }
    if !is_confirmed(args, &mut workspace, &engine, &request)? {
        workspace.term.tell("nothing was run\n");
        return Ok(Done::Interrupted);
    }
    let launch = LaunchInfo {
        tags: args.go.tag.iter().cloned().collect(),
        config: args.wanted.set_values(&workspace.project)?,
        ..LaunchInfo::default()
    };
    carry_out(&mut workspace, &mut engine, &request, &args.go.how, launch)
}

// How a run goes. (A doc comment here would become the help of the verb.)
#[derive(Debug, Clone, Args)]
pub(super) struct HowArgs {
    /// Run at most N steps at once; as many as there are cores if not given.
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Start nothing more after the first failure.
    #[arg(long)]
    pub fail_fast: bool,
    /// Write each event as a line of JSON.
    #[arg(long)]
    pub jsonl: bool,
}

/// Runs what is wanted, and says how it went.
pub(super) fn carry_out(
    workspace: &mut Workspace<'_>,
    engine: &mut Engine,
    request: &Request,
    how: &HowArgs,
    launch: LaunchInfo,
) -> Result<Done, CliError> {
    let options = RunOptions {
        jobs: how.jobs.map(NonZeroUsize::get),
        fail_fast: how.fail_fast,
        command: workspace.command_line.clone(),
        launch,
        ..RunOptions::default()
    };
    let control = Control::new();
    let interrupted = cancel_on_signal(&control);
    let form = if how.jsonl { Form::JsonLines } else { Form::Text };
    let mut reporter = Reporter::new(form, workspace.term);
    let result = engine.materialize(request, &options, &control, &mut |engine, event| {
        reporter.handle(engine, event);
    });
    reporter.finish(result.as_ref().ok());
    let summary = result?;
    Ok(done(&summary, interrupted.load(Ordering::Relaxed)))
}

fn done(summary: &Summary, interrupted: bool) -> Done {
    if interrupted && summary.cancelled > 0 {
        Done::Interrupted
    } else if summary.is_success() {
        Done::Fine
    } else {
        Done::Failed
    }
}

fn is_confirmed(
    args: &MaterializeArgs,
    workspace: &mut Workspace<'_>,
    engine: &Engine,
    request: &Request,
) -> Result<bool, CliError> {
    let named =
        args.wanted.partition.is_some() || args.wanted.selection.iter().any(|s| s.contains('@'));
    if args.go.yes || named || !workspace.term.is_interactive {
        return Ok(true);
    }
    let plan = engine.plan(request)?;
    let steps = plan.certain() + plan.possible();
    if steps <= UNASKED_MAX {
        return Ok(true);
    }
    let steps = text::count(steps, "step");
    let question = format!("this may run {steps} (`-p` names partitions); go on?");
    Ok(workspace.term.confirm(&question))
}

/// The first signal cancels: running steps are stopped and what is finished is kept. The second ends
/// the process at once; its commands end with it.
pub(super) fn cancel_on_signal(control: &Control) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let (control, seen) = (control.clone(), Arc::clone(&interrupted));
    let handler = move || {
        if seen.swap(true, Ordering::Relaxed) {
            #[expect(
                clippy::disallowed_methods,
                reason = "the user wants it to end, not to tidy up"
            )]
            std::process::exit(130);
        }
        control.cancel();
    };
    // It fails only where a handler is set already; then the signal ends the process as ever.
    let _ = ctrlc::set_handler(handler);
    interrupted
}
