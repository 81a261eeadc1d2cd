//! `giornata runs`: what has run, the newest first; `giornata runs show` is below.

mod show;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};

use super::error::CliError;
use super::json::{Document, RunEntry, RunsDocument};
use super::session::{Session, Workspace};
use super::table::{self, Align};
use super::{Done, clock, text, values};
use crate::base::{AssetKey, RunId, similar};
use crate::engine::{Access, Engine, Run, RunQuery, RunState};

/// List what has run, or show one run
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct RunsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what a run was, what became of its partitions, and its steps
    Show(show::ShowArgs),
}

// Which runs. (A doc comment here would become the help of the verb.)
#[derive(Debug, Args)]
struct ListArgs {
    /// Only those that failed, or whose process died.
    #[arg(long)]
    failed: bool,
    /// Only those that began then or later: `2d`, `3h`, `2026-11-01`.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only those that were about this asset.
    #[arg(long, value_name = "ASSET")]
    asset: Option<String>,
    /// Only those of this job.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only those with this label.
    #[arg(long, value_name = "NAME=VALUE", value_parser = values::tag)]
    tag: Option<(String, String)>,
    /// The last N; 0 for all.
    #[arg(short = 'n', long, value_name = "N", default_value = "20")]
    limit: usize,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

/// What counts as failed.
const FAILED: &[RunState] = &[RunState::Failure, RunState::Interrupted];

pub(super) fn run(args: &RunsArgs, session: Session<'_>) -> Result<Done, CliError> {
    match &args.verb {
        Some(Verb::Show(args)) => show::run(args, session),
        None => list(&args.list, session),
    }
}

fn list(args: &ListArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let engine = workspace.engine(Access::Read, &[])?;
    let since = args.since.as_deref().map(|text| since(&workspace, text)).transpose()?;
    let asset = args.asset.as_deref().map(|name| asset(&engine, name)).transpose()?;
    if let Some(job) = &args.job
        && !workspace.project.jobs.contains_key(job.as_str())
    {
        let names = workspace.project.jobs.keys().map(|name| name.as_str());
        let near = similar(job, names).map(|near| format!("did you mean `{near}`?"));
        let hint = near.unwrap_or_else(|| "`giornata list` names them".to_owned());
        workspace.term.warning(&format!("the project has no job `{job}`; {hint}"));
    }
    let query = RunQuery {
        // What goes on by the records may have ended with its process.
        states: if args.failed {
            &[RunState::Failure, RunState::Interrupted, RunState::Running]
        } else {
            &[]
        },
        since_ms: since.map(|since| since.timestamp_millis()),
        asset: asset.as_ref(),
        job: args.job.as_deref(),
        tag: args.tag.as_ref().map(|(name, value)| (name.as_str(), value.as_str())),
        limit: (args.limit > 0).then_some(args.limit),
    };
    let mut runs = engine.runs(&query)?;
    if args.failed {
        runs.retain(|run| FAILED.contains(&run.state));
    }
    let output = if args.json {
        let now = engine.now();
        Document::text(RunsDocument {
            runs: runs.iter().map(|it| RunEntry::new(it, now)).collect(),
        })
    } else if runs.is_empty() {
        "no runs\n".to_owned()
    } else {
        render(&runs, engine.now())
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

/// A moment, or how long ago it was.
fn since(workspace: &Workspace<'_>, text: &str) -> Result<DateTime<Utc>, CliError> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let ago = TimeDelta::from_std(ago).ok();
        let since = ago.and_then(|ago| workspace.now().checked_sub_signed(ago));
        // Longer ago than there are times: everything.
        return Ok(since.unwrap_or(DateTime::<Utc>::MIN_UTC));
    }
    clock::parse(text).map_err(|_| {
        let error = CliError::user(format!("`--since {text}` is no time"));
        error.hint("write how long ago (`2d`, `90min`) or when (`2026-11-01`)")
    })
}

/// An asset that is or was there.
fn asset(engine: &Engine, name: &str) -> Result<AssetKey, CliError> {
    let unknown = || {
        let names = engine.project().assets.keys().map(AssetKey::as_str);
        let error = CliError::user(format!("there is no asset `{name}`, and no record of one"));
        match similar(name, names) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`giornata list` names them"),
        }
    };
    let key = AssetKey::parse(name).map_err(|_| unknown())?;
    if engine.is_recorded(&key)? { Ok(key) } else { Err(unknown()) }
}

fn render(runs: &[Run], now: DateTime<Utc>) -> String {
    let columns = [
        ("RUN", Align::Right),
        ("STATE", Align::Left),
        ("BEGAN", Align::Left),
        ("TOOK", Align::Right),
        ("RAN", Align::Right),
        ("FAILED", Align::Right),
        ("COMMAND", Align::Left),
    ];
    let row = |run: &Run| {
        let count = |name| run.counts.get(name).copied().unwrap_or(0);
        vec![
            run.id.to_string(),
            run.state.as_str().to_owned(),
            time(run.started_ms),
            took(run, now).map(text::duration).unwrap_or_default(),
            (count("ran") + count("succeeded")).to_string(),
            count("failed").to_string(),
            command(run),
        ]
    };
    table::render(&columns, runs.iter().map(row).collect())
}

/// A longer one is cut: the whole is shown with the run.
const COMMAND_MAX: usize = 60;

fn command(run: &Run) -> String {
    let whole = text::harmless(&run.command);
    let command = whole.strip_prefix("giornata ").unwrap_or(&whole);
    match command.char_indices().nth(COMMAND_MAX) {
        Some((at, _)) => format!("{}...", &command[..at]),
        None => command.to_owned(),
    }
}

/// A moment to the second.
pub(super) fn time(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms);
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default()
}

/// How long a run took, or has been going on; a clock that was set back says nothing.
pub(super) fn took(run: &Run, now: DateTime<Utc>) -> Option<std::time::Duration> {
    let end_ms = match (run.finished_ms, run.state) {
        (Some(end_ms), _) => end_ms,
        (None, RunState::Running) => now.timestamp_millis(),
        // Nobody knows when it was interrupted.
        (None, _) => return None,
    };
    let ms = u64::try_from(end_ms.checked_sub(run.started_ms)?).ok()?;
    Some(std::time::Duration::from_millis(ms))
}

/// The run that an argument names.
pub(super) fn id(text: &str) -> Result<RunId, String> {
    // SQLite's numbers are signed.
    let number = text.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
    number
        .map(RunId)
        .ok_or_else(|| "a run is named by its number; `giornata runs` lists them".to_owned())
}
