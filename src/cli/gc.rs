//! `giornata gc`: removes what nothing needs any more.

use std::time::Duration;

use clap::Args;

use super::Done;
use super::error::CliError;
use super::json::{Document, GcDocument};
use super::session::Session;
use super::table::{self, Align};
use super::text;
use crate::defs::{Keep, KeepRuns};
use crate::engine::{Access, Amount, Collected, Gc, GcMode};

/// Remove what nothing needs any more from the store
///
/// Contents that no result and no former result names, once they are a day old; runs of which nothing is
/// left, after thirty days. Former results stay, since they come back when a change is undone. What is fresh
/// stays so. `settings` in giornata.toml says otherwise for good: `keep_results`, `keep_results_for`,
/// `keep_bytes`, `keep_runs`.
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// Of each partition, keep only the newest N results that could come back.
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
    /// Keep former results only that long: `90d`.
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    keep_for: Option<Duration>,
    /// Keep former results, the newest first, only until all results have that many bytes.
    #[arg(long, value_name = "BYTES")]
    keep_bytes: Option<u64>,
    /// Remember runs that made nothing current only that long (`30d`), or only the last N.
    #[arg(long, value_name = "AGE|N", value_parser = keep_runs)]
    keep_runs: Option<KeepRuns>,
    /// Say what would be removed, and remove nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &GcArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let (mode, access) = match args.dry_run {
        true => (GcMode::Preview, Access::Read),
        false => (GcMode::Remove, Access::Write),
    };
    let mut engine = workspace.engine(access, &[])?;
    let settings = workspace.project.settings.keep;
    let keep = Keep {
        results: args.keep.or(settings.results),
        results_for: args.keep_for.or(settings.results_for),
        bytes: args.keep_bytes.or(settings.bytes),
        runs: args.keep_runs.unwrap_or(settings.runs),
    };
    let collected = engine.gc(Gc { keep, mode })?;
    let output = match args.json {
        true => Document::text(GcDocument::new(&collected, args.dry_run)),
        false => render(&collected, mode),
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

fn render(collected: &Collected, mode: GcMode) -> String {
    let Collected { traces, blobs, small, runs, attempts, logs, staging, view, .. } = collected;
    let plain = |count: &u64| Amount { count: *count, bytes: 0 };
    let contents = Amount { count: blobs.count + small.count, bytes: blobs.bytes + small.bytes };
    let rows: Vec<Vec<String>> = [
        ("former results", plain(traces)),
        ("contents", contents),
        ("runs", plain(runs)),
        ("attempts", plain(attempts)),
        ("logs", *logs),
        ("leftovers of runs", *staging),
        ("readable copies", *view),
    ]
    .into_iter()
    .filter(|(_, amount)| amount.count > 0)
    .map(|(what, Amount { count, bytes })| {
        let size = if bytes > 0 { text::size(bytes) } else { String::new() };
        vec![what.to_owned(), count.to_string(), size]
    })
    .collect();
    if rows.is_empty() {
        return "nothing to remove\n".to_owned();
    }
    let heading = match mode {
        GcMode::Preview => "WOULD REMOVE",
        GcMode::Remove => "REMOVED",
    };
    let shrunk = match collected.shrunk_bytes {
        0 => String::new(),
        bytes => format!("the database is {} smaller\n", text::size(bytes)),
    };
    let rows = table::render(
        &[(heading, Align::Left), ("COUNT", Align::Right), ("SIZE", Align::Right)],
        rows,
    );
    rows + &shrunk
}

/// `30d`, or a number.
fn keep_runs(text: &str) -> Result<KeepRuns, String> {
    if let Ok(number) = text.parse() {
        return Ok(KeepRuns::Last(number));
    }
    let age = humantime::parse_duration(text).map(KeepRuns::For);
    age.map_err(|_| "write how long (`30d`) or how many (`100`)".to_owned())
}
