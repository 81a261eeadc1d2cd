//! `giornata accept`: marks results as fresh without running anything.

use clap::Args;

use super::Done;
use super::error::CliError;
use super::session::Session;
use super::upkeep::{self, Chosen, Unnamed};

/// Mark results as fresh without running anything
///
/// For changes of which you know that they change no result, such as an edit that only moves code. What
/// reads the results stays as it is.
#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// Which assets; `ASSET@PARTITION` names one partition.
    #[arg(value_name = "SELECTION", required = true)]
    selection: Vec<String>,
    /// Which partitions of them; all if not given.
    #[arg(short, long, value_name = "EXPR")]
    partition: Option<String>,
    /// Why; `giornata why` repeats it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(super) fn run(args: &AcceptArgs, session: Session<'_>) -> Result<Done, CliError> {
    let partition = args.partition.as_deref();
    let chosen = upkeep::choose(&args.selection, partition, Unnamed::Existing, session)?;
    let Chosen { mut workspace, mut engine, targets } = chosen;
    let done = engine.accept(&targets, &args.reason)?;
    Ok(upkeep::tell(&mut workspace, &engine, &done, "accepted", "nothing to accept"))
}
