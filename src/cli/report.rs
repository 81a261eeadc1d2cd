//! `giornata report`: records a result that was made elsewhere.

use std::path::PathBuf;

use clap::Args;

use super::Done;
use super::error::CliError;
use super::session::Session;
use super::targets::{Spec, one_partition, only};
use super::text;
use crate::base::PartitionKey;
use crate::engine::{Access, Made};

/// Record a result that was made elsewhere
///
/// It counts as made from what the inputs are now. Of an observed source: the version that its command
/// would print.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// `ASSET` or `ASSET@PARTITION`.
    #[arg(value_name = "ASSET[@PARTITION]")]
    asset: String,
    /// What the assets that read it compare, instead of its content.
    #[arg(long, value_name = "TEXT", required_unless_present = "path")]
    version: Option<String>,
    /// The content, which is copied into the store.
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
}

pub(super) fn run(args: &ReportArgs, session: Session<'_>) -> Result<Done, CliError> {
    let directory = session.directory()?;
    let mut workspace = session.workspace()?;
    let spec = [Spec::parse(&args.asset)?];
    let (mut engine, sets) = workspace.open(&spec, Access::Write, &[])?;
    let key = only(&spec[0], &sets[0])?;
    let is_source = engine.project().assets[&key].is_source();
    let part = match one_partition(&engine, &key, spec[0].partitions.as_ref()) {
        Ok(Some(part)) => part,
        Ok(None) => {
            let message = format!("`{key}` has several partitions, and one is needed");
            return Err(CliError::user(message).hint(format!("`{key}@PARTITION` names one")));
        }
        Err(error) => return Err(error),
    };
    let path = args.path.as_ref().map(|path| directory.join(path));
    let made = Made { version: args.version.clone(), path };
    engine.report(&key, part, &made)?;
    let partition = engine.planner().domain(&key).key(part);
    let partition = partition.unwrap_or_else(PartitionKey::unpartitioned);
    let verb = if is_source { "observed" } else { "recorded" };
    workspace.term.print(&format!("{verb} `{}`\n", text::address(&key, &partition)));
    Ok(Done::Fine)
}
