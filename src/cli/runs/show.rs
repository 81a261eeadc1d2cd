//! `giornata runs show`: one run, what became of its partitions, and its steps.

use std::collections::BTreeMap;

use clap::Args;

use super::super::Done;
use super::super::error::CliError;
use super::super::json::{Document, RunDocument};
use super::super::session::Session;
use super::super::table::{self, Align};
use super::super::text::{self, Length};
use super::{time, took};
use crate::base::{AssetKey, PartitionSet, RunId, Usage};
use crate::engine::{Access, Attempt, Attempts, Engine, Fate, OpStep, RunReport, RunState};

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Which run; `giornata runs` lists them.
    #[arg(value_name = "RUN", value_parser = super::id)]
    run: RunId,
    /// Also each step, where there are many.
    #[arg(long)]
    steps: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let engine = workspace.engine(Access::Read, &[])?;
    let attempts = if args.steps { Attempts::All } else { Attempts::IfFew };
    let report = engine.run_report(args.run, attempts)?;
    let output = match args.json {
        true => Document::text(RunDocument::new(&engine, &report)),
        false => render(&engine, &report, Length::of(workspace.term.is_verbose)),
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

fn render(engine: &Engine, report: &RunReport, length: Length) -> String {
    let mut lines = head(engine, report);
    let indent = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let mut output = format!("run {}: {}\n", report.run.id, report.run.state.as_str());
    for (name, value) in lines.drain(..) {
        output += &format!("  {name:indent$}{}\n", text::harmless(&value));
    }
    output += &fates(engine, report, length);
    output += &failures(engine, report);
    if !report.attempts.is_empty() {
        output += &format!("\n{}", attempts(engine, &report.attempts));
    }
    if !report.steps.is_empty() {
        output += &format!("\n{}", steps(&report.steps));
    }
    output
}

fn head(engine: &Engine, report: &RunReport) -> Vec<(&'static str, String)> {
    let run = &report.run;
    let launch = &run.launch;
    let mut lines = vec![("command", run.command.clone())];
    lines.extend(launch.job.iter().map(|job| ("job", job.clone())));
    lines.extend(launch.partition.iter().map(|key| ("partition", key.to_string())));
    lines.extend(launch.parent.map(|parent| ("retries", format!("run {parent}"))));
    let retries: Vec<String> = report.retries.iter().map(|run| format!("run {run}")).collect();
    if !retries.is_empty() {
        lines.push(("retried by", retries.join(", ")));
    }
    let tags: Vec<String> = launch.tags.iter().map(|(name, it)| format!("{name}={it}")).collect();
    if !tags.is_empty() {
        lines.push(("tags", tags.join(", ")));
    }
    for (name, value) in launch.config.as_object().into_iter().flatten() {
        lines.push(("config", format!("{name} = {value}")));
    }
    lines.push(("began", time(run.started_ms)));
    if let Some(took) = took(run, engine.now()) {
        let so_far = if run.state == RunState::Running { " so far" } else { "" };
        lines.push(("took", format!("{}{so_far}", text::duration(took))));
    }
    let counts: Vec<String> = run
        .counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if !counts.is_empty() {
        lines.push(("counts", counts.join(", ")));
    }
    lines
}

/// What became of the partitions of each asset.
fn fates(engine: &Engine, report: &RunReport, length: Length) -> String {
    let ranges = |asset: &AssetKey, parts: &PartitionSet| match engine.domain(asset) {
        Some(domain) => text::ranges(domain, parts, length),
        None => "of an asset that is not declared any more".to_owned(),
    };
    let mut rows = Vec::new();
    let mut by_asset: BTreeMap<&AssetKey, Vec<(Fate, &PartitionSet)>> = BTreeMap::new();
    for (asset, _) in &report.targets {
        by_asset.entry(asset).or_default();
    }
    for ((asset, fate), parts) in &report.fates {
        by_asset.entry(asset).or_default().push((*fate, parts));
    }
    for (asset, mut sets) in by_asset {
        sets.sort_by_key(|(fate, _)| Fate::ALL.iter().position(|known| known == fate));
        for (fate, parts) in sets {
            let row = [asset.to_string(), fate.as_str().to_owned(), parts.len().to_string()];
            rows.push([row.to_vec(), vec![ranges(asset, parts)]].concat());
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let columns = [
        ("ASSET", Align::Left),
        ("OUTCOME", Align::Left),
        ("COUNT", Align::Right),
        ("PARTITIONS", Align::Left),
    ];
    format!("\n{}", table::render(&columns, rows))
}

fn failures(engine: &Engine, report: &RunReport) -> String {
    let mut output = String::new();
    for Attempt { asset, part, detail, log, .. } in &report.failures {
        let address = engine.address(asset, *part);
        output += &format!("`{address}` failed: {}\n", text::harmless(detail));
        output += &log.iter().map(|log| format!("  log: {log}\n")).collect::<String>();
    }
    let failed = report.fates.iter().filter(|((_, fate), _)| *fate == Fate::Failed);
    let failed: u64 = failed.map(|(_, parts)| parts.len()).sum();
    let more = failed.saturating_sub(report.failures.len() as u64);
    if more > 0 {
        output += &format!("and {} failed\n", text::count(more, "more partition"));
    }
    if output.is_empty() { output } else { format!("\n{output}") }
}

fn attempts(engine: &Engine, attempts: &[Attempt]) -> String {
    let row = |attempt: &Attempt| {
        let name = engine.address(&attempt.asset, attempt.part);
        let number = attempt.attempt.to_string();
        let mut row = vec![name, number, attempt.outcome.as_str().to_owned()];
        row.push(time(attempt.started_ms));
        row.extend(measured(attempt.duration_ms, attempt.usage));
        row.push(attempt.size_bytes.map(text::size).unwrap_or_default());
        row.push(attempt.log.clone().unwrap_or_default());
        row
    };
    let columns = [
        ("STEP", Align::Left),
        ("ATTEMPT", Align::Right),
        ("OUTCOME", Align::Left),
        ("BEGAN", Align::Left),
        ("TOOK", Align::Right),
        ("CPU", Align::Right),
        ("MEMORY", Align::Right),
        ("SIZE", Align::Right),
        ("LOG", Align::Left),
    ];
    table::render(&columns, attempts.iter().map(row).collect())
}

fn steps(steps: &[OpStep]) -> String {
    let row = |step: &OpStep| {
        let mut row = vec![step.step.clone(), step.attempts.to_string()];
        row.extend([step.state.as_str().to_owned(), time(step.started_ms)]);
        row.extend(measured(step.duration_ms, step.usage));
        row.push(step.log.clone().unwrap_or_default());
        row.push(text::harmless(&step.detail));
        row
    };
    let columns = [
        ("STEP", Align::Left),
        ("ATTEMPTS", Align::Right),
        ("STATE", Align::Left),
        ("BEGAN", Align::Left),
        ("TOOK", Align::Right),
        ("CPU", Align::Right),
        ("MEMORY", Align::Right),
        ("LOG", Align::Left),
        ("WHY", Align::Left),
    ];
    let mut steps: Vec<&OpStep> = steps.iter().collect();
    steps.sort_by_key(|step| step.started_ms);
    table::render(&columns, steps.into_iter().map(row).collect())
}

/// How long, how much of the processor, how much memory; nothing where that is not known.
fn measured(duration_ms: Option<u64>, usage: Usage) -> [String; 3] {
    let time = |ms: Option<u64>| {
        ms.map(|ms| text::duration(std::time::Duration::from_millis(ms))).unwrap_or_default()
    };
    let memory = usage.peak_kib.map(|kib| text::size(kib.saturating_mul(1024)));
    [time(duration_ms), time(usage.cpu_ms), memory.unwrap_or_default()]
}
