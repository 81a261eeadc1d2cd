//! `giornata path`: where a value can be read by other programs.

use clap::Args;

use super::Done;
use super::error::CliError;
use super::session::Session;
use super::targets::{Spec, only, some_partitions};
use crate::engine::Access;

/// Print a path at which a value can be read
///
/// That of the export, of the source's file, or of a copy with a readable name.
#[derive(Debug, Args)]
pub(super) struct PathArgs {
    /// `ASSET` or `ASSET@EXPR`; one line a partition.
    #[arg(value_name = "ASSET[@PARTITION]")]
    asset: String,
}

pub(super) fn run(args: &PathArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let spec = [Spec::parse(&args.asset)?];
    let (engine, sets) = workspace.open(&spec, Access::Read, &[])?;
    let key = only(&spec[0], &sets[0])?;
    let wanted = some_partitions(&engine, &key, spec[0].partitions.as_ref())?;
    let order = engine.planner().domain(&key).ordered();
    let mut paths = String::new();
    for part in order.into_iter().filter(|part| wanted.contains(*part)) {
        paths += &format!("{}\n", engine.path(&key, part)?.display());
    }
    workspace.term.print(&paths);
    Ok(Done::Fine)
}
