//! `giornata logs`: what the steps of a run wrote, or are writing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::error::{CliError, Kind};
use super::materialize::cancel_on_signal;
use super::session::{Session, Workspace};
use super::targets::{Spec, one_partition, only};
use super::{Done, runs, text};
use crate::base::RunId;
use crate::engine::{Access, Engine, RunState, StepLog};
use crate::exec::Control;

/// Show what the steps of a run wrote
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// The number of a run; or `ASSET@PARTITION`, which means the last attempt to make it.
    #[arg(value_name = "RUN|ASSET[@PARTITION]", index = 1)]
    what: String,
    /// Only what this step of the run wrote: `ASSET@PARTITION`, or the name of a step of a job.
    #[arg(value_name = "STEP", index = 2)]
    step: Option<String>,
    /// Go on until the run has ended.
    #[arg(short, long)]
    follow: bool,
}

/// How often what is being written is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is read of a log at once.
const PIECE: u64 = 64 << 10;

pub(super) fn run(args: &LogsArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let (engine, run, step) = meant(args, &mut workspace)?;
    let mut reader = Reader { step, open: BTreeMap::new(), last: None, is_alone: false };
    reader.is_alone = reader.step.is_some();
    if args.follow && engine.run(run)?.state == RunState::Running {
        return follow(&mut reader, &mut workspace, &engine, run);
    }
    let logs = reader.logs(&engine, run)?;
    reader.is_alone |= logs.len() == 1;
    if logs.is_empty() {
        reader.nothing(&engine, run)?;
        let what = reader.step.as_ref().map_or(format!("run {run}"), |step| format!("`{step}`"));
        workspace.term.talk(&format!("{what} wrote nothing\n"));
    }
    let mut gone = 0;
    for log in &logs {
        if !log.path.exists() {
            gone += u64::from(log.is_over);
            if log.is_over {
                let path = log.path.display();
                let message = format!("the log of `{}` is gone: there is no `{path}`", log.name);
                workspace.term.warning(&message);
            }
            continue;
        }
        reader.show(&mut workspace, log, Ends::Here)?;
    }
    Ok(if gone > 0 && gone == logs.len() as u64 { Done::Failed } else { Done::Fine })
}

/// The run that is meant, and the step if only that is.
fn meant(
    args: &LogsArgs,
    workspace: &mut Workspace<'_>,
) -> Result<(Engine, RunId, Option<String>), CliError> {
    if let Ok(run) = runs::id(&args.what) {
        let engine = workspace.engine(Access::Read, &[])?;
        engine.run(run)?;
        return Ok((engine, run, args.step.clone()));
    }
    if args.step.is_some() {
        let error = CliError::user(format!("`{}` is not the number of a run", args.what));
        return Err(error.hint("`giornata runs` lists them"));
    }
    let spec = [Spec::parse(&args.what)?];
    let (engine, sets) = workspace.open(&spec, Access::Read, &[])?;
    let key = only(&spec[0], &sets[0])?;
    let Some(part) = one_partition(&engine, &key, spec[0].partitions.as_ref())? else {
        let error = CliError::user(format!("`{key}` has several partitions"));
        return Err(error.hint(format!("name one: `{key}@PARTITION`")));
    };
    let name = engine.address(&key, part);
    match engine.last_run(&key, part)? {
        Some(run) => Ok((engine, run, Some(name))),
        None => {
            let error = CliError::user(format!("there is no record of an attempt at `{name}`"));
            Err(error.hint("it was never made, or the history of its runs was removed"))
        }
    }
}

/// Reads on until the run has ended, or somebody interrupts.
fn follow(
    reader: &mut Reader,
    workspace: &mut Workspace<'_>,
    engine: &Engine,
    run: RunId,
) -> Result<Done, CliError> {
    let control = Control::new();
    cancel_on_signal(&control);
    let mut logs = Vec::new();
    let mut seen = None;
    loop {
        // Asked before the logs are read, so that the last read comes after the end.
        let state = engine.run(run)?.state;
        let recorded = engine.recorded()?;
        if seen.replace(recorded) != Some(recorded) {
            logs = reader.logs(engine, run)?;
        }
        let is_over = state != RunState::Running;
        for log in logs.iter().filter(|log| log.path.exists()) {
            let ends = if log.is_over || is_over { Ends::Here } else { Ends::Later };
            reader.show(workspace, log, ends)?;
        }
        workspace.term.flush();
        if is_over {
            if reader.open.is_empty() {
                reader.nothing(engine, run)?;
            }
            workspace.term.talk(&format!("run {run}: {}\n", state.as_str()));
            return Ok(Done::Fine);
        }
        if control.wait(LOOK_AGAIN) {
            return Ok(Done::Interrupted);
        }
    }
}

/// Whether a log may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Here,
    Later,
}

/// What was shown of each log.
struct Reader {
    step: Option<String>,
    open: BTreeMap<PathBuf, Place>,
    /// The log that the last line came from.
    last: Option<PathBuf>,
    /// There is one log only, so it needs no heading.
    is_alone: bool,
}

#[derive(Debug, Default)]
struct Place {
    offset: u64,
    /// The beginning of a line that has not ended.
    rest: Vec<u8>,
    is_over: bool,
}

impl Reader {
    fn logs(&self, engine: &Engine, run: RunId) -> Result<Vec<StepLog>, CliError> {
        let mut logs = engine.logs(run)?;
        if let Some(step) = &self.step {
            logs.retain(|log| log.name == *step);
        }
        Ok(logs)
    }

    /// Says that a step has no log because there is no such step.
    fn nothing(&self, engine: &Engine, run: RunId) -> Result<(), CliError> {
        let Some(step) = &self.step else { return Ok(()) };
        if engine.has_step(run, step)? {
            return Ok(());
        }
        let error = CliError::user(format!("run {run} has no step `{step}`"));
        Err(error.hint(format!("`giornata runs show {run} --steps` lists them")))
    }

    /// Shows what is new in a log, by whole lines as long as it may grow.
    fn show(
        &mut self,
        workspace: &mut Workspace<'_>,
        log: &StepLog,
        ends: Ends,
    ) -> Result<(), CliError> {
        let place = self.open.entry(log.path.clone()).or_default();
        if place.is_over {
            return Ok(());
        }
        let failed = |error| unreadable(&log.path, &error);
        let mut file = File::open(&log.path).map_err(failed)?;
        file.seek(SeekFrom::Start(place.offset)).map_err(failed)?;
        loop {
            let mut piece = std::mem::take(&mut place.rest);
            let read = file.by_ref().take(PIECE).read_to_end(&mut piece).map_err(failed)?;
            place.offset += read as u64;
            let whole = match piece.iter().rposition(|byte| *byte == b'\n') {
                // What is not a line by now is no text.
                None if piece.len() as u64 > PIECE => piece.len(),
                None => 0,
                Some(at) => at + 1,
            };
            place.rest = piece.split_off(whole);
            if read == 0 && ends == Ends::Here {
                piece.append(&mut place.rest);
                place.is_over = true;
            }
            if !piece.is_empty() {
                if !self.is_alone && self.last.as_ref() != Some(&log.path) {
                    let gap = if self.last.is_some() { "\n" } else { "" };
                    workspace.term.print(&format!("{gap}==> {} <==\n", log.name));
                    self.last = Some(log.path.clone());
                }
                let lines = String::from_utf8_lossy(&piece);
                for line in lines.lines() {
                    workspace.term.print(&(text::harmless(line) + "\n"));
                }
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Kind::Failed, format!("read `{}`: {error}", path.display()))
}
