//! `giornata wipe`: forgets results, so that they are made anew.

use clap::Args;

use super::Done;
use super::error::CliError;
use super::session::Session;
use super::text;
use super::upkeep::{self, Chosen, Unnamed};
use crate::base::PartitionSet;

/// Forget results, so that they are made anew
///
/// Their content stays in the store until `giornata gc`; exported files stay where they are.
#[derive(Debug, Args)]
pub(super) struct WipeArgs {
    /// Which assets; `ASSET@PARTITION` names one partition.
    #[arg(value_name = "SELECTION", required = true)]
    selection: Vec<String>,
    /// Which partitions of them; all if not given, also those that no longer exist.
    #[arg(short, long, value_name = "EXPR")]
    partition: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(args: &WipeArgs, session: Session<'_>) -> Result<Done, CliError> {
    let partition = args.partition.as_deref();
    let chosen = upkeep::choose(&args.selection, partition, Unnamed::Recorded, session)?;
    let Chosen { mut workspace, mut engine, targets } = chosen;
    if !args.yes && workspace.term.is_interactive {
        let count = targets.values().map(PartitionSet::len).sum();
        let (parts, assets) = (text::count(count, "partition"), targets.len() as u64);
        let assets = text::count(assets, "asset");
        let question = format!("this forgets the results of {parts} of {assets}; go on?");
        if !workspace.term.confirm(&question) {
            workspace.term.tell("nothing was forgotten\n");
            return Ok(Done::Interrupted);
        }
    }
    let done = engine.wipe(&targets)?;
    Ok(upkeep::tell(&mut workspace, &engine, &done, "forgot", "nothing to forget"))
}
