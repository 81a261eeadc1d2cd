//! Ticks, requests and switches of sensors and schedules, as both of their verbs show them.

use super::error::CliError;
use super::json::{Document, TicksDocument};
use super::runs::time;
use super::session::Workspace;
use super::table::{self, Align};
use super::term::Term;
use super::{Done, text, watch};
use crate::base::{Instigator, RunRequest, TickOutcome, Wanted, similar};
use crate::engine::{Access, WatchEvent};
use crate::load::Diagnostic;
use crate::store::{Switch, TickRow};

/// Whether one is on, and because of what.
pub(super) struct State {
    pub is_on: bool,
    pub by_hand: bool,
    pub text: &'static str,
}

pub(super) fn state(declared: bool, switch: Option<Switch>) -> State {
    let (is_on, by_hand) = match switch {
        None => (declared, false),
        Some(Switch::On) => (true, !declared),
        Some(Switch::Off) => (false, declared),
    };
    let text = match (is_on, by_hand) {
        (true, false) => "on",
        (true, true) => "on (by hand)",
        (false, false) => "off",
        (false, true) => "off (by hand)",
    };
    State { is_on, by_hand, text }
}

/// `2024-03-10T03:00:00Z requested`
pub(super) fn in_short(tick: &TickRow) -> String {
    format!("{} {}", time(tick.due_ms), tick.outcome.as_str())
}

/// The last ticks as lines.
fn render(ticks: &[TickRow]) -> String {
    if ticks.is_empty() {
        return "there was no tick yet\n".to_owned();
    }
    let columns = [
        ("TICK", Align::Left),
        ("OUTCOME", Align::Left),
        ("ASKED", Align::Right),
        ("RUNS", Align::Left),
        ("REASON", Align::Left),
    ];
    let row = |tick: &TickRow| {
        let runs: Vec<String> = tick.runs.iter().map(ToString::to_string).collect();
        let asked = match tick.known {
            0 => tick.asked.to_string(),
            known => format!("{} ({known} before)", tick.asked),
        };
        let outcome = tick.outcome.as_str().to_owned();
        vec![time(tick.due_ms), outcome, asked, runs.join(" "), text::harmless(&tick.reason)]
    };
    table::render(&columns, ticks.iter().map(row).collect())
}

/// Shows the last ticks of a sensor or a schedule.
pub(super) fn last(
    of: &Instigator,
    count: u32,
    json: bool,
    workspace: &mut Workspace<'_>,
) -> Result<Done, CliError> {
    let ticks = workspace.engine(Access::Read, &[])?.ticks(of, count)?;
    let output = match json {
        true => Document::text(TicksDocument::new(&ticks)),
        false => render(&ticks),
    };
    workspace.term.print(&output);
    Ok(Done::Fine)
}

/// What a request is about, on a line.
pub(super) fn request(request: &RunRequest) -> String {
    let at = |partition: &Option<String>| match (partition, request.back) {
        (None, _) => String::new(),
        (Some(partition), 0) => format!("@{partition}"),
        (Some(partition), back) => format!("@{partition}-{back}"),
    };
    let mut line = match &request.what {
        Wanted::Job { job, config, partition } if config.is_null() => {
            format!("job {job}{}", at(partition))
        }
        Wanted::Job { job, config, partition } => {
            format!("job {job}{} with {config}", at(partition))
        }
        Wanted::Assets { select, partition } => format!("assets {select}{}", at(partition)),
    };
    if !request.tags.is_empty() {
        let tag = |(name, value): (&String, &String)| format!("{name}={value}");
        let tags: Vec<String> = request.tags.iter().map(tag).collect();
        line += &format!(", labelled {}", tags.join(" "));
    }
    text::harmless(&line)
}

/// Says what a tick by hand asked for, and who carries that out.
pub(super) fn tell(term: &mut Term, event: &WatchEvent) -> Done {
    let WatchEvent::Ticked { outcome, asked, known, .. } = event else { return Done::Fine };
    term.print(&format!("{}\n", watch::ticked(event)));
    if asked > known {
        term.hint(
            "a `giornata watch` that runs begins it at once; else `giornata watch --once` does",
        );
    }
    match outcome {
        TickOutcome::Failed => Done::Failed,
        TickOutcome::Requested | TickOutcome::Skipped => Done::Fine,
    }
}

/// `kind` is as in "sensor".
pub(super) fn unknown(
    kind: &str,
    name: &str,
    known: &[&str],
    diagnostics: &[Diagnostic],
) -> CliError {
    let mut error = CliError::user(format!("there is no sound {kind} `{name}`"));
    error = match similar(name, known.iter().copied()) {
        Some(similar) => error.hint(format!("is `{similar}` meant?")),
        None if known.is_empty() => error.hint(format!("no {kind} is declared")),
        None => error.hint(format!("there are `{}`", known.join("`, `"))),
    };
    match diagnostics.iter().any(Diagnostic::is_error) {
        true => error.hint("some files have errors: `giornata check` shows them"),
        false => error,
    }
}
