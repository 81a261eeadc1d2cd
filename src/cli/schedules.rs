//! `giornata schedules`: which there are, when they tick, and what their ticks asked for.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};

use super::Done;
use super::error::CliError;
use super::json::{Document, PreviewsDocument, ScheduleEntry, SchedulesDocument};
use super::session::{Session, Workspace};
use super::table::{self, Align};
use super::ticks;
use crate::base::{Instigator, InstigatorKind, JobName};
use crate::defs::Schedule;
use crate::engine::{Access, Preview};
use crate::sensor::schedule::told;
use crate::store::Switch;

/// Say which schedules there are; switch them, and make them tick
///
/// Schedules tick while `giornata watch` runs; what became of ticks that nobody was there for is said by their
/// `catchup`.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct SchedulesArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say which schedules there are, whether they are on, and when they tick next
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Switch schedules on, whatever is declared
    On(NamesArgs),
    /// Switch schedules off, whatever is declared
    Off(NamesArgs),
    /// Say what the next ticks ask for, and ask for nothing
    Preview(PreviewArgs),
    /// Make a schedule tick now, or as of another time, and ask for its run
    Tick(TickArgs),
    /// Say what became of the last ticks, the newest first
    Ticks(TicksArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct NamesArgs {
    /// Which schedules.
    #[arg(value_name = "SCHEDULE", required = true)]
    schedules: Vec<String>,
}

#[derive(Debug, Args)]
struct PreviewArgs {
    /// Which schedule.
    #[arg(value_name = "SCHEDULE")]
    schedule: String,
    /// The ticks after this time: `2024-03-10` or `2024-03-10T03:00:00Z`; after now if not given.
    #[arg(long, value_name = "TIME", value_parser = super::clock::parse)]
    from: Option<DateTime<Utc>>,
    /// So many ticks.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
    count: usize,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TickArgs {
    /// Which schedule.
    #[arg(value_name = "SCHEDULE")]
    schedule: String,
    /// As if it ticked at this time; now if not given.
    #[arg(long, value_name = "TIME", value_parser = super::clock::parse)]
    at: Option<DateTime<Utc>>,
}

#[derive(Debug, Args)]
struct TicksArgs {
    /// Which schedule.
    #[arg(value_name = "SCHEDULE")]
    schedule: String,
    /// So many ticks.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    count: u32,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SchedulesArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    match &args.verb {
        Verb::List(args) => list(args, &mut workspace),
        Verb::On(args) => switch(args, Switch::On, &mut workspace),
        Verb::Off(args) => switch(args, Switch::Off, &mut workspace),
        Verb::Preview(args) => preview(args, &mut workspace),
        Verb::Tick(args) => tick(args, &mut workspace),
        Verb::Ticks(args) => {
            let of = of(&*find(&workspace, &args.schedule)?);
            ticks::last(&of, args.count, args.json, &mut workspace)
        }
    }
}

/// The schedule of a name, as it is declared.
fn find(workspace: &Workspace<'_>, name: &str) -> Result<std::sync::Arc<Schedule>, CliError> {
    let known = &workspace.project.schedules;
    match JobName::parse(name).ok().and_then(|name| known.get(&name)) {
        Some(def) => Ok(def.clone()),
        None => {
            let names: Vec<&str> = known.keys().map(JobName::as_str).collect();
            Err(ticks::unknown("schedule", name, &names, &workspace.diagnostics))
        }
    }
}

fn of(def: &Schedule) -> Instigator {
    Instigator::new(InstigatorKind::Schedule, &def.name)
}

fn list(args: &ListArgs, workspace: &mut Workspace<'_>) -> Result<Done, CliError> {
    workspace.mention_broken();
    let engine = workspace.engine(Access::Read, &[])?;
    let (now, mut entries, mut rows) = (workspace.now(), Vec::new(), Vec::new());
    for def in workspace.project.schedules.values() {
        let of = of(def);
        let row = engine.instigator(&of)?;
        let last = engine.ticks(&of, 1)?.into_iter().next();
        let state = ticks::state(def.is_on, row.switch);
        let next = def.after(now).filter(|_| state.is_on);
        entries.push(ScheduleEntry::new(def, &state, next, last.as_ref()));
        let cron: Vec<&str> = def.cron.iter().map(|rule| rule.text()).collect();
        rows.push(vec![
            def.name.to_string(),
            state.text.to_owned(),
            cron.join("; "),
            next.map(|at| told(def.timezone, at)).unwrap_or_default(),
            last.as_ref().map(ticks::in_short).unwrap_or_default(),
        ]);
    }
    let output = match (args.json, rows.is_empty()) {
        (true, _) => Document::text(SchedulesDocument { schedules: entries }),
        (false, true) => "no schedule is declared\n".to_owned(),
        (false, false) => {
            let names = ["SCHEDULE", "STATE", "CRON", "NEXT TICK", "LAST TICK"];
            table::render(&names.map(|name| (name, Align::Left)), rows)
        }
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

fn switch(
    args: &NamesArgs,
    switch: Switch,
    workspace: &mut Workspace<'_>,
) -> Result<Done, CliError> {
    let defs = args.schedules.iter().map(|name| find(workspace, name));
    let defs = defs.collect::<Result<Vec<_>, _>>()?;
    let mut engine = workspace.engine(Access::Write, &[])?;
    for def in defs {
        engine.switch(&of(&def), switch)?;
        let line = match switch {
            Switch::Off => format!("schedule `{}` is off", def.name),
            Switch::On => {
                let next = def.after(workspace.now()).map(|at| told(def.timezone, at));
                let next = next.unwrap_or_else(|| "never".to_owned());
                format!("schedule `{}` is on; its next tick: {next}", def.name)
            }
        };
        workspace.term.print(&format!("{line}\n"));
    }
    if switch == Switch::On {
        workspace.term.hint("schedules tick while `giornata watch` runs");
    }
    Ok(Done::Fine)
}

fn preview(args: &PreviewArgs, workspace: &mut Workspace<'_>) -> Result<Done, CliError> {
    let def = find(workspace, &args.schedule)?;
    let mut engine = workspace.engine(Access::Read, &[])?;
    let after = args.from.unwrap_or_else(|| workspace.now());
    let previews = engine.preview_schedule(&def, after, args.count)?;
    let output = if args.json {
        Document::text(PreviewsDocument::new(&previews))
    } else {
        previews.iter().map(|preview| line(&def, preview)).collect()
    };
    workspace.term.print(&output);
    if previews.is_empty() {
        workspace.term.talk(&format!("schedule `{}` never ticks again\n", def.name));
    }
    Ok(Done::Fine)
}

fn line(def: &Schedule, preview: &Preview) -> String {
    let at = told(def.timezone, preview.at);
    match &preview.request {
        Some(request) => format!("{at}  {}\n", ticks::request(request)),
        None => format!("{at}  {}: {}\n", preview.outcome.as_str(), preview.reason),
    }
}

fn tick(args: &TickArgs, workspace: &mut Workspace<'_>) -> Result<Done, CliError> {
    let def = find(workspace, &args.schedule)?;
    let mut engine = workspace.engine(Access::Write, &[])?;
    let at = args.at.unwrap_or_else(|| workspace.now());
    let event = engine.tick_by_hand(&def, at)?;
    Ok(ticks::tell(workspace.term, &event))
}
