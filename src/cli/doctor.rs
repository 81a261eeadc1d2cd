//! `giornata doctor`: whether the store is sound.

use clap::Args;

use super::Done;
use super::error::CliError;
use super::json::{DoctorDocument, Document, ProblemEntry};
use super::session::Session;
use crate::engine::{Access, Depth};

/// Check that the store is sound
///
/// Exit status 1 if something is wrong.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Also hash every stored content again.
    #[arg(long)]
    deep: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DoctorArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let depth = if args.deep { Depth::Contents } else { Depth::Records };
    let problems = workspace.engine(Access::Read, &[])?.doctor(depth)?;
    let output = if args.json {
        Document::text(DoctorDocument {
            problems: problems.iter().map(ProblemEntry::new).collect(),
        })
    } else if problems.is_empty() {
        "the store is sound\n".to_owned()
    } else {
        let lines = problems.iter().map(|problem| {
            let help = if problem.help.is_empty() {
                String::new()
            } else {
                format!("\n  {}", problem.help)
            };
            format!("{}{help}\n", problem.what)
        });
        lines.collect()
    };
    workspace.term.print(&output);
    Ok(if problems.is_empty() { Done::Fine } else { Done::Failed })
}
