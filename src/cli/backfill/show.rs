//! `backfill list` and `backfill show`: which backfills there are, and how far they are.

use chrono::DateTime;

use super::super::Done;
use super::super::error::CliError;
use super::super::json::{BackfillDocument, BackfillsDocument, Document, JobBackfillDocument};
use super::super::session::Session;
use super::super::table::{self, Align};
use super::super::text::{self, Length};
use super::{ListArgs, ShowArgs, ops};
use crate::base::{AssetKey, PartitionSet};
use crate::defs::Domain;
use crate::engine::{
    Access, Backfill, BackfillAsset, BackfillReport, BackfillRun, BackfillSpec, Engine,
    JobBackfillReport, Progress,
};

pub(super) fn list(args: &ListArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let engine = workspace.engine(Access::Read, &[])?;
    let mut reports = Vec::new();
    for backfill in engine.backfills(args.limit)? {
        reports.push(engine.backfill_report(backfill.id)?);
    }
    let output = match (args.json, reports.is_empty()) {
        (true, _) => Document::text(BackfillsDocument::new(&reports)),
        (false, true) => "there was no backfill yet\n".to_owned(),
        (false, false) => render_list(&reports),
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

fn render_list(reports: &[BackfillReport]) -> String {
    let columns = [
        ("ID", Align::Right),
        ("STATE", Align::Left),
        ("STARTED", Align::Left),
        ("DONE", Align::Right),
        ("FAILED", Align::Right),
        ("BLOCKED", Align::Right),
        ("LEFT", Align::Right),
        ("COMMAND", Align::Left),
    ];
    let row = |report: &BackfillReport| {
        let count = |states: &[Progress]| {
            let counts = states.iter().filter_map(|state| report.counts.get(state));
            counts.sum::<u64>().to_string()
        };
        vec![
            report.backfill.id.to_string(),
            report.backfill.state.as_str().to_owned(),
            time(report.backfill.created_ms),
            count(&[Progress::Done]),
            count(&[Progress::Failed]),
            count(&[Progress::Blocked]),
            count(&[Progress::Left, Progress::Running]),
            text::harmless(&report.backfill.command),
        ]
    };
    table::render(&columns, reports.iter().map(row).collect())
}

pub(super) fn show(args: &ShowArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let mut engine = workspace.engine(Access::Read, &[])?;
    let spec = engine.backfill_spec(args.backfill)?;
    if let Some(of) = ops::of_ops(&mut workspace, &mut engine, &spec)?
        && let Some(report) = engine.job_backfill_report(args.backfill, &of.domain)?
    {
        let length = Length::of(workspace.term.is_verbose);
        let output = match args.json {
            true => Document::text(JobBackfillDocument::new(&report, &of.domain)),
            false => render_job(&report, &of.domain, length),
        };
        workspace.term.print(&output);
        return Ok(Done::Fine);
    }
    let report = engine.backfill_report(args.backfill)?;
    let domain = |asset: &AssetKey| domain(&engine, &spec, asset);
    let output = match args.json {
        true => Document::text(BackfillDocument::new(&report, &domain)),
        false => render(&report, &domain, Length::of(workspace.term.is_verbose)),
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

/// The partitions of an asset, if their numbers still mean what they meant.
fn domain(engine: &Engine, spec: &BackfillSpec, asset: &AssetKey) -> Option<Domain> {
    if !engine.project().assets.contains_key(asset) {
        return None;
    }
    let domain = engine.planner().domain(asset);
    let is_same = |space: &String| domain.index_space() == *space;
    spec.spaces.get(asset).is_none_or(is_same).then(|| domain.clone())
}

fn render(
    report: &BackfillReport,
    domain: &dyn Fn(&AssetKey) -> Option<Domain>,
    length: Length,
) -> String {
    let mut out = header(&report.backfill, &report.runs, length);
    out += &counts(report);
    out += &ranges(report, domain, length);
    out
}

fn render_job(report: &JobBackfillReport, domain: &Domain, length: Length) -> String {
    let mut out = header(&report.backfill, &report.runs, length);
    let columns = [("STATE", Align::Left), ("RUNS", Align::Right), ("PARTITIONS", Align::Left)];
    let sets = report.sets.iter().filter(|(_, set)| !set.is_empty());
    let row = |(state, set): (&Progress, &PartitionSet)| {
        let ranges = text::ranges(domain, set, length);
        vec![state.as_str().to_owned(), set.len().to_string(), ranges]
    };
    out += &table::render(&columns, sets.map(row).collect());
    out
}

/// What is said of a backfill as a whole.
fn header(backfill: &Backfill, runs: &[BackfillRun], length: Length) -> String {
    let mut out = format!("backfill {}\n\n", backfill.id);
    let mut field = |name: &str, value: &str| {
        out += format!("{name:<12} {value}").trim_end();
        out.push('\n');
    };
    let wish = backfill.wish.map(|wish| format!(" (told to {})", wish.as_str()));
    field("state", &format!("{}{}", backfill.state.as_str(), wish.unwrap_or_default()));
    field("command", &text::harmless(&backfill.command));
    field("started", &time(backfill.created_ms));
    if let Some(finished_ms) = backfill.finished_ms {
        field("ended", &time(finished_ms));
    }
    let tags: Vec<String> = backfill.tags.iter().map(|(name, it)| format!("{name}={it}")).collect();
    if !tags.is_empty() {
        field("tags", &tags.join(", "));
    }
    let runs: Vec<String> = runs.iter().map(|run| run.id.to_string()).collect();
    field("runs", &shortened(&runs, length));
    out.push('\n');
    out
}

/// The first and the last, where there are very many.
fn shortened(items: &[String], length: Length) -> String {
    match (length, items) {
        (Length::Short, [first, .., last]) if items.len() > 8 => {
            format!("{first} to {last} ({} runs)", items.len())
        }
        (Length::Short | Length::Full, items) => items.join(", "),
    }
}

fn counts(report: &BackfillReport) -> String {
    let names: Vec<String> = Progress::ALL.map(|state| state.as_str().to_uppercase()).to_vec();
    let mut columns = vec![("ASSET", Align::Left)];
    columns.extend(names.iter().map(|name| (name.as_str(), Align::Right)));
    columns.push(("", Align::Left));
    let row = |asset: &BackfillAsset| {
        let mut row = vec![asset.asset.to_string()];
        row.extend(Progress::ALL.map(|state| asset.sets[&state].len().to_string()));
        row.push(if asset.is_target { "" } else { "read by others" }.to_owned());
        row
    };
    table::render(&columns, report.assets.iter().map(row).collect())
}

/// Which partitions the counts are about, of those that need a look.
fn ranges(
    report: &BackfillReport,
    domain: &dyn Fn(&AssetKey) -> Option<Domain>,
    length: Length,
) -> String {
    let mut rows = Vec::new();
    for asset in &report.assets {
        for (state, set) in asset.sets.iter().filter(|(_, set)| !set.is_empty()) {
            let text = match domain(&asset.asset) {
                Some(domain) => text::ranges(&domain, set, length),
                None => "(declared otherwise now)".to_owned(),
            };
            rows.push(vec![asset.asset.to_string(), state.as_str().to_owned(), text]);
        }
    }
    let columns = [("ASSET", Align::Left), ("STATE", Align::Left), ("PARTITIONS", Align::Left)];
    if rows.is_empty() { String::new() } else { format!("\n{}", table::render(&columns, rows)) }
}

fn time(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms);
    time.map_or_else(String::new, |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string())
}
