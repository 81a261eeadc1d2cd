//! `giornata invalidate`: marks results as stale, so that the next run makes them anew.

use clap::Args;

use super::Done;
use super::error::CliError;
use super::session::Session;
use super::upkeep::{self, Chosen, Unnamed};

/// Mark results as stale, so that the next run makes them anew
///
/// For what no definition says: a service that gave wrong answers, a library that was replaced.
#[derive(Debug, Args)]
pub(super) struct InvalidateArgs {
    /// Which assets; `ASSET@PARTITION` names one partition.
    #[arg(value_name = "SELECTION", required = true)]
    selection: Vec<String>,
    /// Which partitions of them; all that have a result if not given.
    #[arg(short, long, value_name = "EXPR")]
    partition: Option<String>,
    /// Why; `giornata why` repeats it.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(super) fn run(args: &InvalidateArgs, session: Session<'_>) -> Result<Done, CliError> {
    let partition = args.partition.as_deref();
    let chosen = upkeep::choose(&args.selection, partition, Unnamed::Existing, session)?;
    let Chosen { mut workspace, mut engine, targets } = chosen;
    let done = engine.invalidate(&targets, &args.reason)?;
    Ok(upkeep::tell(&mut workspace, &engine, &done, "invalidated", "nothing to invalidate"))
}
