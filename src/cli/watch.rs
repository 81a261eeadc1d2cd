//! `giornata watch`: keeps assets up to date while files change, in the foreground.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::error::CliError;
use super::session::{Definer, Session, Workspace};
use super::targets::{Spec, without_partitions};
use super::term::Term;
use super::text::{self, Length};
use super::{Done, diagnostics, json, progress};
use crate::base::{PartitionSet, TickOutcome};
use crate::engine::{
    Access, Defined, End, Engine, Heard, JobEvent, Observed, OnStop, Rule, RunEvent, RunOptions,
    Stop, Until, WatchEvent, Watching, What,
};
use crate::watch::{Events, Settings};

/// How many runs go on beside each other, at the most.
const RUNS_MAX: usize = 4;

/// Everything is looked at so often, whatever events say.
const RESCAN: Duration = Duration::from_secs(600);

/// Keep assets up to date while files change, in the foreground
///
/// Sources are looked at when their files change, and what reads them is made: of the assets that say
/// `automation`, or of those that are named, with what they read. Definitions are read again when they
/// change; while they have errors, those of before stay.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// Which assets are kept up to date, whatever they say; those that say `automation` if not given.
    #[arg(value_name = "SELECTION")]
    selection: Vec<String>,
    /// How long it has to be quiet before files are looked at.
    #[arg(long, value_name = "DURATION", default_value = "50ms", value_parser = duration)]
    settle: Duration,
    /// End when there is nothing more to do.
    #[arg(long)]
    once: bool,
    /// Look at directories every now and then, without events of the system.
    #[arg(long)]
    poll: bool,
    /// How often directories are looked at of which there are no events.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    poll_interval: Duration,
    /// What becomes of running steps at the first Ctrl-C or SIGTERM; a second one ends them.
    #[arg(long, value_name = "HOW", default_value = "finish")]
    on_stop: StopHow,
    /// Run at most N steps at once in each run; as many as there are cores if not given.
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Write each event as a line of JSON.
    #[arg(long)]
    jsonl: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StopHow {
    /// They go on to their end.
    Finish,
    /// They are ended.
    Cancel,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; for example `50ms`, `2s`"))
}

pub(super) fn run(args: &WatchArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let rule = rule(args, &mut workspace)?;
    workspace.mention_broken();
    let engine = workspace.engine(Access::Write, &[])?;
    let stop = Stop::default();
    let interrupted = stop_on_signal(&stop, args.on_stop);
    let Workspace { term, assets_dir, command_line: command, definer, .. } = workspace;
    let printer = Printer { term: Mutex::new(term), jsonl: args.jsonl };
    let mut define = || define(&definer);
    let watched = engine.watch(Watching {
        settings: Settings {
            settle: args.settle,
            poll: args.poll_interval,
            events: if args.poll { Events::Never } else { Events::WhereTheyWork },
            ..Settings::default()
        },
        rule,
        until: if args.once { Until::Idle } else { Until::Stopped },
        runs: RUNS_MAX,
        rescan: RESCAN,
        options: RunOptions {
            jobs: args.jobs.map(NonZeroUsize::get),
            command,
            ..RunOptions::default()
        },
        stop,
        assets_dir,
        define: &mut define,
        hear: &|engine, heard| printer.hear(engine, &heard),
    })?;
    Ok(match (interrupted.load(Ordering::SeqCst), watched.failed + watched.faults) {
        // Who stops it is content.
        (true, _) | (false, 0) => Done::Fine,
        (false, _) => Done::Failed,
    })
}

/// The definitions as they are now, if they are sound; else what is wrong with them.
fn define(definer: &Definer) -> Result<Defined, String> {
    let read = definer.read().map_err(|error| format!("error: {}\n", error.message()))?;
    let errors: Vec<_> = read.diagnostics.iter().filter(|it| it.is_error()).collect();
    match errors.is_empty() {
        true => {
            // What is wrong with lines of `.env` was said at the start.
            let (env, _) = read.environment();
            Ok(Defined { project: read.project, functions: read.functions, env })
        }
        false => Err(diagnostics::render_all(errors)),
    }
}

fn rule(args: &WatchArgs, workspace: &mut Workspace<'_>) -> Result<Rule, CliError> {
    if args.selection.is_empty() {
        return Ok(Rule::AsDeclared);
    }
    let specs = Spec::parse_or_all(&args.selection)?;
    without_partitions(&specs)?;
    let sets = workspace.select(&specs, None)?;
    Ok(Rule::Eager(sets.into_iter().flatten().collect()))
}

/// The first signal stops the watching, a second one the process.
fn stop_on_signal(stop: &Stop, how: StopHow) -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let (stop, seen) = (stop.clone(), interrupted.clone());
    let how = match how {
        StopHow::Finish => OnStop::Finish,
        StopHow::Cancel => OnStop::Cancel,
    };
    let handler = move || {
        if seen.swap(true, Ordering::SeqCst) {
            #[expect(clippy::disallowed_methods, reason = "whoever asks twice wants it to end")]
            std::process::exit(130);
        }
        stop.ask(how);
    };
    // It fails only where a handler is set already; then the signal ends the process as ever.
    let _ = ctrlc::set_handler(handler);
    interrupted
}

/// Writes what happens, from whichever thread, a line at a time.
struct Printer<'t> {
    term: Mutex<&'t mut Term>,
    jsonl: bool,
}

impl<'t> Printer<'t> {
    fn hear(&self, engine: &Engine, heard: &Heard) {
        let mut term = self.term.lock().unwrap_or_else(PoisonError::into_inner);
        if self.jsonl {
            term.print(&json::heard_line(engine, heard));
            term.flush();
            return;
        }
        match heard {
            Heard::Watch(event) => watch_event(&mut term, engine, event),
            Heard::Run(_, event) => run_event(&mut term, engine, event),
            Heard::Job(run, event) => job_event(&mut term, *run, event),
        }
    }
}

fn say(term: &mut MutexGuard<'_, &mut Term>, line: &str) {
    term.print(&format!("{}\n", line.trim_end()));
    term.flush();
}

fn watch_event(term: &mut MutexGuard<'_, &mut Term>, engine: &Engine, event: &WatchEvent) {
    match event {
        WatchEvent::Watching { directories, polled, sources, automated, sensors, schedules } => {
            let looked = match polled {
                0 => String::new(),
                n => {
                    format!(" and looking at {} every now and then", text::count(*n as u64, "more"))
                }
            };
            let places = match directories {
                1 => "1 directory".to_owned(),
                n => format!("{n} directories"),
            };
            let schedules = match schedules {
                0 => String::new(),
                n => format!(", {}", text::count(*n as u64, "schedule")),
            };
            say(
                term,
                &format!(
                    "watching {places}{looked}: {}, {} kept up to date, {}{schedules}",
                    text::count(*sources as u64, "source"),
                    text::count(*automated as u64, "asset"),
                    text::count(*sensors as u64, "sensor"),
                ),
            );
            if *automated == 0 && *sensors == 0 && schedules.is_empty() {
                term.hint(
                    "no asset says `automation`; `giornata watch SELECTION` keeps some up to date",
                );
            }
        }
        WatchEvent::Observed(observed) => say(term, &observation(engine, observed)),
        WatchEvent::Reloaded { changed, added, removed, variables } => {
            let list = |word: &str, keys: &[crate::base::AssetKey]| match keys {
                [] => None,
                keys => {
                    let names: Vec<&str> = keys.iter().take(5).map(|key| key.as_str()).collect();
                    let more = if keys.len() > 5 { ", …" } else { "" };
                    Some(format!("{word} {}{more}", names.join(", ")))
                }
            };
            let parts = [list("changed", changed), list("new", added), list("gone", removed)];
            let mut parts: Vec<String> = parts.into_iter().flatten().collect();
            if !variables.is_empty() {
                parts.push(format!("other values of {}", text::harmless(&variables.join(", "))));
            }
            let what =
                if parts.is_empty() { "no asset is another".to_owned() } else { parts.join("; ") };
            say(term, &format!("definitions read again: {what}"));
        }
        WatchEvent::Broken { problems } => {
            say(term, "definitions have errors; those of before stay in use");
            term.tell(problems);
        }
        WatchEvent::Ticked { .. } => say(term, &ticked(event)),
        WatchEvent::Begun { run, what, why } => {
            say(term, &format!("run {run}: {} because {}", about(engine, what), why.join("; ")));
        }
        WatchEvent::Ended { run, end, .. } => match end {
            End::Assets { summary, took } => {
                say(term, &format!("run {run}: {}", progress::render_summary(summary, *took)));
            }
            End::Job { summary, took } => {
                let text = progress::render_job_summary(summary, *took);
                say(term, &format!("run {run}: {text}"));
            }
            End::Error(problem) => say(term, &format!("run {run}: error: {problem}")),
        },
        WatchEvent::Warning { message } => term.warning(message),
        WatchEvent::Stopping { runs } => {
            let runs = text::count(*runs as u64, "run");
            term.tell(&format!("stopping when {runs} ended; once more ends them now\n"));
        }
    }
}

/// What a tick came to; empty for what is none.
pub(super) fn ticked(event: &WatchEvent) -> String {
    let WatchEvent::Ticked { of, outcome, reason, asked, known } = event else {
        return String::new();
    };
    let known = if *known > 0 { format!(", {known} asked for before") } else { String::new() };
    let reason = text::harmless(reason);
    match outcome {
        TickOutcome::Requested => {
            format!("{of}: requested {}{known} ({reason})", text::count(*asked, "run"))
        }
        TickOutcome::Skipped => format!("{of}: skipped ({reason})"),
        TickOutcome::Failed => format!("{of}: failed ({reason})"),
    }
}

fn observation(engine: &Engine, observed: &Observed) -> String {
    let Observed { asset, added, changed, removed, .. } = observed;
    let domain = engine.planner().domain(asset);
    let part = |word: &str, set: &PartitionSet| {
        let ranges = text::ranges(domain, set, Length::Short);
        match (set.is_empty(), ranges.is_empty()) {
            (true, _) => None,
            (false, true) => Some(word.to_owned()),
            (false, false) => Some(format!("{} {word}: {}", set.len(), text::harmless(&ranges))),
        }
    };
    let news = [part("new", added), part("changed", changed), part("gone", removed)];
    let news: Vec<String> = news.into_iter().flatten().collect();
    format!("{asset}: {}", news.join("; "))
}

fn about(engine: &Engine, what: &What) -> String {
    match what {
        What::Request { text, .. } => text::harmless(text),
        What::Assets(targets) => {
            let one = |(asset, set): (&crate::base::AssetKey, &PartitionSet)| {
                let ranges = text::ranges(engine.planner().domain(asset), set, Length::Short);
                let ranges = text::harmless(&ranges);
                if ranges.is_empty() { asset.to_string() } else { format!("{asset}@{ranges}") }
            };
            let mut texts: Vec<String> = targets.iter().take(3).map(one).collect();
            if targets.len() > 3 {
                texts.push(format!("and {} more", targets.len() - 3));
            }
            texts.join(", ")
        }
    }
}

fn run_event(term: &mut MutexGuard<'_, &mut Term>, engine: &Engine, event: &RunEvent) {
    match event {
        RunEvent::StepSucceeded { asset, partition, duration, changed, reasons } => {
            let unchanged = if *changed { "" } else { ", unchanged" };
            let why: Vec<&str> = reasons.iter().map(|code| code.as_str()).collect();
            let (address, took) = (text::address(asset, partition), text::duration(*duration));
            say(term, &format!("  ran {address} in {took}{unchanged} ({})", why.join(", ")));
        }
        RunEvent::StepFailed { asset, partition, reason, log, log_tail, .. } => {
            let address = text::address(asset, partition);
            let log = log.as_ref().map(|path| path.display().to_string());
            term.tell(&progress::failure(&address, reason, log.as_deref(), log_tail));
        }
        RunEvent::CheckFailed { asset, partition, name, found, .. } => {
            let address = text::address(asset, partition);
            term.warning(&format!("check `{name}` of `{address}` failed: {found}"));
        }
        RunEvent::Restored { asset, parts } | RunEvent::CutOff { asset, parts } => {
            let word =
                if matches!(event, RunEvent::Restored { .. }) { "restored" } else { "cut off" };
            let ranges = text::ranges(engine.planner().domain(asset), parts, Length::Short);
            say(term, &format!("  {word} {asset} {}", text::harmless(&ranges)));
        }
        RunEvent::Warning { message } => term.warning(message),
        RunEvent::Started { .. }
        | RunEvent::StepStarted { .. }
        | RunEvent::Blocked { .. }
        | RunEvent::Exported { .. }
        | RunEvent::Finished { .. } => {}
    }
}

fn job_event(term: &mut MutexGuard<'_, &mut Term>, run: u64, event: &JobEvent) {
    match event {
        JobEvent::StepSucceeded { step, duration, .. } => {
            say(term, &format!("  ran {step} in {} (run {run})", text::duration(*duration)));
        }
        JobEvent::StepFailed { step, reason, log, log_tail, .. } => {
            let log = log.as_ref().map(|path| path.display().to_string());
            term.tell(&progress::failure(step, reason, log.as_deref(), log_tail));
        }
        JobEvent::HookFailed { step, reason } => {
            term.warning(&format!("a hook of `{step}` failed: {reason}"));
        }
        JobEvent::Warning { message } => term.warning(message),
        JobEvent::Started { .. }
        | JobEvent::StepStarted { .. }
        | JobEvent::StepReused { .. }
        | JobEvent::StepSkipped { .. }
        | JobEvent::StepBlocked { .. }
        | JobEvent::Finished { .. } => {}
    }
}
