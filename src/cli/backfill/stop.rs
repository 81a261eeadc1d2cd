//! `backfill cancel` and `backfill pause`: what is wanted of a backfill, told to whoever carries it out.

use super::super::Done;
use super::super::error::CliError;
use super::super::session::Session;
use crate::base::BackfillId;
use crate::engine::{Access, BackfillState, Told, Wish};

pub(super) fn run(id: BackfillId, wish: Wish, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let mut engine = workspace.engine(Access::Write, &[])?;
    let (verb, done) = match wish {
        Wish::Cancel => ("cancel", "cancelled"),
        Wish::Pause => ("pause", "paused"),
    };
    let said = match engine.wish_of_backfill(id, wish)? {
        Told::Heard => format!("backfill {id} is told to {verb}"),
        Told::Done => format!("backfill {id} is {done}: no process carried it out"),
        Told::Refused(state) => {
            let error = CliError::user(format!("backfill {id} {}", settled(state)));
            return Err(error.hint(format!("there is nothing to {verb}")));
        }
    };
    workspace.term.print(&format!("{said}\n"));
    Ok(Done::Fine)
}

fn settled(state: BackfillState) -> &'static str {
    match state {
        BackfillState::Success => "has succeeded",
        BackfillState::Failure => "has ended, with failures",
        BackfillState::Cancelled => "was cancelled",
        BackfillState::Paused => "is paused",
        BackfillState::Interrupted => "was interrupted",
        BackfillState::Running => "goes on",
    }
}
