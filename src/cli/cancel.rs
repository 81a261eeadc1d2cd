//! `giornata cancel`: stops a run that another process carries out.

use std::time::Duration;

use clap::Args;

use super::error::CliError;
use super::materialize::cancel_on_signal;
use super::session::Session;
use super::{Done, runs};
use crate::base::RunId;
use crate::engine::{Access, Cancel, RunState};
use crate::exec::Control;

/// Stop a run that goes on in another process
///
/// Its steps are stopped, what is finished is kept, and the rest is left undone; `giornata retry` takes it
/// up again.
#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// Which run; `giornata runs` lists them.
    #[arg(value_name = "RUN", value_parser = runs::id)]
    run: RunId,
    /// Wait until it has ended.
    #[arg(long)]
    wait: bool,
}

/// How often the run is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(super) fn run(args: &CancelArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let mut engine = workspace.engine(Access::Write, &[])?;
    let run = args.run;
    match engine.cancel(run)? {
        Cancel::Told => {}
        Cancel::Over(RunState::Interrupted) => {
            let said = format!("run {run} does not go on: its process has died\n");
            workspace.term.print(&said);
            return Ok(Done::Fine);
        }
        Cancel::Over(state) => {
            let error = CliError::user(format!("run {run} has ended: {}", state.as_str()));
            return Err(error.hint("an end is never taken back"));
        }
    }
    if !args.wait {
        workspace.term.print(&format!("run {run} is told to stop\n"));
        return Ok(Done::Fine);
    }
    let control = Control::new();
    cancel_on_signal(&control);
    loop {
        let state = engine.run(run)?.state;
        if state != RunState::Running {
            workspace.term.print(&format!("run {run}: {}\n", state.as_str()));
            return Ok(Done::Fine);
        }
        if control.wait(LOOK_AGAIN) {
            return Ok(Done::Interrupted);
        }
    }
}
