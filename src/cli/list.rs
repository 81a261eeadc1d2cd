//! `giornata list`: what is declared, from the files alone: assets, sources and jobs.

use std::collections::BTreeSet;

use clap::Args;

use super::error::CliError;
use super::json::{Definition, Document, JobEntry, ListDocument};
use super::session::Session;
use super::table::{self, Align};
use super::targets::{Spec, without_partitions};
use super::{Done, text};
use crate::defs::{Asset, Job, Work};
use crate::engine::Access;

/// List assets, sources and jobs
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Which assets; all, and the jobs, if not given.
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
    /// Only of this kind: `source`, `sql`, `command`, `job` or a kind that is declared.
    #[arg(long)]
    kind: Option<String>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let specs = Spec::parse_or_all(&args.selection)?;
    without_partitions(&specs)?;
    let no_assets = workspace.project.assets.is_empty() && args.selection.is_empty();
    let sets = if no_assets {
        Vec::new()
    } else if specs.iter().any(|spec| spec.selection.asks_for_status()) {
        workspace.open(&specs, Access::Read, &[])?.1
    } else {
        workspace.select(&specs, None)?
    };
    workspace.mention_broken();
    let keys: BTreeSet<_> = sets.into_iter().flatten().collect();
    let is_kind = |asset: &&Asset| match &args.kind {
        Some(kind) => text::body(&asset.body) == kind || asset.kinds.contains(kind),
        None => true,
    };
    let assets: Vec<&Asset> =
        keys.iter().map(|key| &*workspace.project.assets[key]).filter(is_kind).collect();
    let with_jobs = match &args.kind {
        Some(kind) => kind == "job",
        None => args.selection.is_empty(),
    };
    let jobs = workspace.project.jobs.values().filter(|_| with_jobs);
    let jobs: Vec<&Job> = jobs.map(|job| &**job).collect();
    let output = if args.json {
        Document::text(ListDocument {
            assets: assets.into_iter().map(Definition::new).collect(),
            jobs: jobs.into_iter().map(JobEntry::new).collect(),
        })
    } else if jobs.is_empty() {
        render(&assets)
    } else if assets.is_empty() {
        render_jobs(&jobs)
    } else {
        format!("{}\n{}", render(&assets), render_jobs(&jobs))
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

fn render_jobs(jobs: &[&Job]) -> String {
    let row = |job: &&Job| {
        let work = match &job.work {
            Work::Select(selection) => selection.as_str().to_owned(),
            Work::Flow(flow) => text::count(flow.steps.len() as u64, "step"),
        };
        let partitions = text::keys(&job.partitions);
        vec![job.name.to_string(), work, partitions, job.description.clone().unwrap_or_default()]
    };
    let columns = [
        ("JOB", Align::Left),
        ("RUNS", Align::Left),
        ("PARTITIONS", Align::Left),
        ("", Align::Left),
    ];
    table::render(&columns, jobs.iter().map(row).collect())
}

fn render(assets: &[&Asset]) -> String {
    let row = |asset: &&Asset| {
        vec![
            asset.key.to_string(),
            text::body(&asset.body).to_owned(),
            text::partitions(asset),
            asset.description.clone().unwrap_or_default(),
        ]
    };
    let columns = [
        ("ASSET", Align::Left),
        ("KIND", Align::Left),
        ("PARTITIONS", Align::Left),
        ("", Align::Left),
    ];
    table::render(&columns, assets.iter().map(row).collect())
}
