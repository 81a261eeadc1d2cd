//! `giornata check`: everything that is wrong with the definitions, at once; runs nothing.

use clap::Args;

use super::error::CliError;
use super::json::{CheckDocument, DiagnosticEntry, Document};
use super::session::{Session, Workspace};
use super::{Done, diagnostics, text};
use crate::exec;
use crate::load::Diagnostic;

/// Check all definitions; runs nothing
///
/// Parses every definition file and checks names, the graph, partitions, SQL, and the ops of jobs. Exit status 2 if
/// there is an error.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Let warnings count as errors.
    #[arg(long)]
    strict: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    for condition in &workspace.conditions {
        if let Some((offset, message)) = exec::judge_condition(&condition.sql) {
            workspace.diagnostics.push(condition.error(offset, &message));
        }
    }
    let workspace = workspace;
    let found = &workspace.diagnostics;
    let errors = found.iter().filter(|d| d.is_error()).count();
    if args.json {
        let document = CheckDocument {
            assets: workspace.project.assets.len(),
            jobs: workspace.project.jobs.len(),
            files: workspace.files.len(),
            errors,
            warnings: found.len() - errors,
            diagnostics: found.iter().map(DiagnosticEntry::new).collect(),
        };
        workspace.term.print(&Document::text(document));
    } else if found.is_empty() {
        let line = summary(&workspace);
        workspace.term.print(&line);
    } else {
        let mut found: Vec<&Diagnostic> = found.iter().collect();
        // What must be mended is nearest to the prompt.
        found.sort_by_key(|diagnostic| diagnostic.is_error());
        workspace.term.tell(&diagnostics::render_all(found));
    }
    let is_bad = errors > 0 || args.strict && !workspace.diagnostics.is_empty();
    Ok(if is_bad { Done::Invalid } else { Done::Fine })
}

fn summary(workspace: &Workspace<'_>) -> String {
    let project = &workspace.project;
    let mut found = text::count(project.assets.len() as u64, "asset");
    if !project.jobs.is_empty() {
        found += &format!(" and {}", text::count(project.jobs.len() as u64, "job"));
    }
    let files = text::count(workspace.files.len() as u64, "file");
    format!("no errors: {found} in {files}\n")
}
