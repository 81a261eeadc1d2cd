//! `giornata sensors`: which there are, what they look at, and what they asked for.

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::Done;
use super::error::CliError;
use super::json::{CursorDocument, Document, SensorEntry, SensorPreviewDocument, SensorsDocument};
use super::session::{Session, Workspace};
use super::table::{self, Align};
use super::{text, ticks};
use crate::base::{Instigator, InstigatorKind, JobName};
use crate::defs::{Needs, Sensor, Trigger};
use crate::engine::{Access, RunKeys};
use crate::store::Switch;

/// Say which sensors there are; switch them, ask them, and set what they have seen
///
/// Sensors are evaluated while `giornata watch` runs.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct SensorsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say which sensors there are, what they look at, and whether they are on
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Switch sensors on, whatever is declared
    On(NamesArgs),
    /// Switch sensors off, whatever is declared
    Off(NamesArgs),
    /// Say what a sensor asks for now, and ask for nothing
    Preview(NameArgs),
    /// Evaluate a sensor now, on or off, and ask for its runs
    Tick(TickArgs),
    /// Say what became of the last ticks, the newest first
    Ticks(TicksArgs),
    /// Say what a sensor remembers, or set it
    Cursor(CursorArgs),
    /// Forget what a sensor has seen, so that it begins anew
    Reset(ResetArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct NamesArgs {
    /// Which sensors.
    #[arg(value_name = "SENSOR", required = true)]
    sensors: Vec<String>,
}

#[derive(Debug, Args)]
struct NameArgs {
    /// Which sensor.
    #[arg(value_name = "SENSOR")]
    sensor: String,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct TickArgs {
    /// Which sensor.
    #[arg(value_name = "SENSOR")]
    sensor: String,
}

#[derive(Debug, Args)]
struct TicksArgs {
    /// Which sensor.
    #[arg(value_name = "SENSOR")]
    sensor: String,
    /// So many ticks.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    count: u32,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct CursorArgs {
    /// Which sensor.
    #[arg(value_name = "SENSOR")]
    sensor: String,
    /// What it is to remember.
    #[arg(long, value_name = "TEXT", conflicts_with = "json")]
    set: Option<String>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// Which sensor.
    #[arg(value_name = "SENSOR")]
    sensor: String,
    /// Also forget which runs it has asked for: it may ask for them again.
    #[arg(long)]
    run_keys: bool,
}

pub(super) fn run(args: &SensorsArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    match &args.verb {
        Verb::List(args) => list(args, &mut workspace),
        Verb::On(args) => switch(args, Switch::On, &mut workspace),
        Verb::Off(args) => switch(args, Switch::Off, &mut workspace),
        Verb::Preview(args) => preview(args, &mut workspace),
        Verb::Tick(args) => tick(args, &mut workspace),
        Verb::Ticks(args) => {
            let of = of(&*find(&workspace, &args.sensor)?);
            ticks::last(&of, args.count, args.json, &mut workspace)
        }
        Verb::Cursor(args) => cursor(args, &mut workspace),
        Verb::Reset(args) => reset(args, &mut workspace),
    }
}

/// The sensor of a name, as it is declared.
fn find(workspace: &Workspace<'_>, name: &str) -> Result<Arc<Sensor>, CliError> {
    let known = &workspace.project.sensors;
    match JobName::parse(name).ok().and_then(|name| known.get(&name)) {
        Some(def) => Ok(def.clone()),
        None => {
            let names: Vec<&str> = known.keys().map(JobName::as_str).collect();
            Err(ticks::unknown("sensor", name, &names, &workspace.diagnostics))
        }
    }
}

fn of(def: &Sensor) -> Instigator {
    Instigator::new(InstigatorKind::Sensor, &def.name)
}

/// What it looks at, in a few words.
fn looks_at(def: &Sensor) -> String {
    match &def.on {
        Trigger::Directory(directory) => directory.pattern.text.clone(),
        Trigger::Assets(assets) => {
            let names: Vec<&str> = assets.assets.iter().map(|key| key.as_str()).collect();
            let sign = match assets.needs {
                Needs::Any => " or ",
                Needs::All => " and ",
            };
            format!("results of {}", names.join(sign))
        }
        Trigger::Runs(runs) => {
            let states: Vec<&str> = runs.states.iter().map(String::as_str).collect();
            let jobs: Vec<&str> = runs.jobs.iter().map(JobName::as_str).collect();
            let of =
                if jobs.is_empty() { String::new() } else { format!(" of {}", jobs.join(", ")) };
            format!("runs{of}: {}", states.join(", "))
        }
        Trigger::Command { line } => format!("$ {}", text::harmless(line)),
    }
}

fn list(args: &ListArgs, workspace: &mut Workspace<'_>) -> Result<Done, CliError> {
    workspace.mention_broken();
    let engine = workspace.engine(Access::Read, &[])?;
    let (mut entries, mut rows) = (Vec::new(), Vec::new());
    for def in workspace.project.sensors.values() {
        let of = of(def);
        let row = engine.instigator(&of)?;
        let last = engine.ticks(&of, 1)?.into_iter().next();
        let state = ticks::state(def.is_on, row.switch);
        let looks_at = looks_at(def);
        entries.push(SensorEntry::new(def, &state, looks_at.clone(), last.as_ref()));
        rows.push(vec![
            def.name.to_string(),
            state.text.to_owned(),
            looks_at,
            last.as_ref().map(ticks::in_short).unwrap_or_default(),
        ]);
    }
    let output = match (args.json, rows.is_empty()) {
        (true, _) => Document::text(SensorsDocument { sensors: entries }),
        (false, true) => "no sensor is declared\n".to_owned(),
        (false, false) => {
            let names = ["SENSOR", "STATE", "LOOKS AT", "LAST TICK"];
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
    let defs = args.sensors.iter().map(|name| find(workspace, name));
    let defs = defs.collect::<Result<Vec<_>, _>>()?;
    let mut engine = workspace.engine(Access::Write, &[])?;
    for def in defs {
        engine.switch(&of(&def), switch)?;
        let state = match switch {
            Switch::On => "on",
            Switch::Off => "off",
        };
        workspace.term.print(&format!("sensor `{}` is {state}\n", def.name));
    }
    if switch == Switch::On {
        workspace.term.hint("sensors are evaluated while `giornata watch` runs");
    }
    Ok(Done::Fine)
}

fn preview(args: &NameArgs, workspace: &mut Workspace<'_>) -> Result<Done, CliError> {
    let def = find(workspace, &args.sensor)?;
    let engine = workspace.engine(Access::Read, &[])?;
    let evaluation = match engine.preview_sensor(&def)? {
        Ok(evaluation) => evaluation,
        Err(fault) => {
            let message = format!("sensor `{}` cannot be evaluated: {fault}", def.name);
            return Err(CliError::new(super::Kind::Failed, message));
        }
    };
    for fault in &evaluation.faults {
        workspace.term.warning(&text::harmless(fault));
    }
    if args.json {
        workspace.term.print(&Document::text(SensorPreviewDocument::new(&evaluation)));
        return Ok(Done::Fine);
    }
    let why = text::harmless(&evaluation.reason);
    let why = if why.is_empty() { "nothing is different" } else { &why };
    let mut output = format!("{}: {why}\n", text::count(evaluation.requests.len() as u64, "run"));
    for request in &evaluation.requests {
        let key = request.run_key.as_deref().map(text::harmless);
        let key = key.map(|key| format!("  ({key})")).unwrap_or_default();
        output += &format!("  {}{key}\n", ticks::request(request));
    }
    workspace.term.print(&output);
    Ok(Done::Fine)
}

fn tick(args: &TickArgs, workspace: &mut Workspace<'_>) -> Result<Done, CliError> {
    let def = find(workspace, &args.sensor)?;
    let mut engine = workspace.engine(Access::Write, &[])?;
    let (event, faults) = engine.tick_sensor(&def)?;
    for fault in faults {
        workspace.term.warning(&text::harmless(&fault));
    }
    match event {
        Some(event) => Ok(ticks::tell(workspace.term, &event)),
        None => {
            workspace.term.print(&format!("sensor {}: asked for nothing\n", def.name));
            Ok(Done::Fine)
        }
    }
}

fn cursor(args: &CursorArgs, workspace: &mut Workspace<'_>) -> Result<Done, CliError> {
    let def = find(workspace, &args.sensor)?;
    let is_of_files = matches!(def.on, Trigger::Directory(_));
    if let Some(text) = &args.set {
        if is_of_files {
            let message =
                format!("sensor `{}` looks at files, and remembers each of them", def.name);
            let hint = format!("`giornata sensors reset {}` lets it begin anew", def.name);
            return Err(CliError::user(message).hint(hint));
        }
        workspace.engine(Access::Write, &[])?.set_cursor(&of(&def), text)?;
        workspace.term.print(&format!("sensor `{}` goes on from there\n", def.name));
        return Ok(Done::Fine);
    }
    let engine = workspace.engine(Access::Read, &[])?;
    let (cursor, files) = (engine.instigator(&of(&def))?.cursor, engine.files_seen(&def)?);
    let output = match (args.json, is_of_files, &cursor) {
        (true, _, _) => {
            let files = is_of_files.then_some(files);
            Document::text(CursorDocument { cursor: cursor.as_deref(), files })
        }
        (false, true, _) => format!("it knows {}\n", text::count(files as u64, "file")),
        (false, false, Some(cursor)) => format!("{}\n", text::harmless(cursor)),
        (false, false, None) => "it remembers nothing yet\n".to_owned(),
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

fn reset(args: &ResetArgs, workspace: &mut Workspace<'_>) -> Result<Done, CliError> {
    let def = find(workspace, &args.sensor)?;
    let keys = if args.run_keys { RunKeys::Forget } else { RunKeys::Keep };
    let forgotten = workspace.engine(Access::Write, &[])?.reset_sensor(&of(&def), keys)?;
    let keys = match keys {
        RunKeys::Keep => "what it has asked for once is not asked for again".to_owned(),
        RunKeys::Forget => format!("{} may be asked for again", text::count(forgotten, "run")),
    };
    workspace.term.print(&format!("sensor `{}` begins anew; {keys}\n", def.name));
    Ok(Done::Fine)
}
