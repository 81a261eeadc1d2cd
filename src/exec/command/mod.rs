//! Runs a command: prepares its inputs and environment, runs the process, and takes what it left.
//!
//! Everything in the making lies in the run's staging directory under names that no other step of the
//! run has; a directory per step would cost as much as a small step itself. What the step does not
//! hand over is removed when it ends.

mod environment;
mod inputs;
mod log;
mod process;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use self::environment::{Environment, Programs};
use self::inputs::Scratch;
use super::{Control, Executor, Failure, Lifeline, Outcome, Produced, Step};
use crate::defs::{Body, CommandBody, OutputDef};

/// Runs processes.
pub struct CommandExecutor {
    lifeline: Lifeline,
    programs: Programs,
    /// What streams are read into.
    buffer: Vec<u8>,
}

impl CommandExecutor {
    pub fn new(lifeline: Lifeline) -> CommandExecutor {
        CommandExecutor { lifeline, programs: Programs::default(), buffer: Vec::new() }
    }

    fn run_body(
        &mut self,
        body: &CommandBody,
        step: &Step,
        control: &Control,
        outcome: &mut Outcome,
    ) -> Result<Produced, Failure> {
        let mut scratch = Scratch::new(step);
        let output = Output::prepare(step, &mut scratch)?;
        let inputs = scratch.inputs(step)?;
        let metadata = scratch.file("metadata.jsonl");
        let environment = Environment::new(step, &inputs, &output, &metadata);
        outcome.warnings.extend(environment.warnings.iter().cloned());
        let command = environment.command(&body.line, step, &mut self.programs)?;
        let ended = process::run(command, step, control, &self.lifeline, &mut self.buffer);
        outcome.log = ended.log;
        if !read_metadata(&metadata, outcome) {
            scratch.keep(&metadata);
        }
        ended.result?;
        output.take(&mut scratch)
    }
}

impl CommandExecutor {
    /// Runs the command of a check: it makes nothing, and its exit status is the answer.
    pub(super) fn judge(
        &mut self,
        body: &CommandBody,
        name: &str,
        step: &Step,
        control: &Control,
    ) -> Result<(), Failure> {
        let mut scratch = Scratch::new(step);
        let inputs = scratch.inputs(step)?;
        let metadata = scratch.file("check.jsonl");
        let output = Output::unused(&mut scratch);
        let mut environment = Environment::new(step, &inputs, &output, &metadata);
        environment.set("GIORNATA_CHECK", name);
        let command = environment.command(&body.line, step, &mut self.programs)?;
        process::run(command, step, control, &self.lifeline, &mut self.buffer).result
    }
}

impl Executor for CommandExecutor {
    #[expect(clippy::disallowed_methods, reason = "this is where a process is timed")]
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        let start = Instant::now();
        let mut outcome = Outcome::new(step);
        outcome.result = match &step.asset.body {
            Body::Command(body) => self.run_body(body, step, control, &mut outcome),
            Body::Source(_) | Body::Sql(_) | Body::Function(_) => {
                let key = &step.asset.key;
                Err(Failure::Unsupported(format!("`{key}` is not made by a command")))
            }
        };
        outcome.duration = start.elapsed();
        outcome
    }
}

/// Where the command is to leave its result.
struct Output {
    variable: &'static str,
    path: PathBuf,
    directory: bool,
    may_be_empty: bool,
}

impl Output {
    /// For a command that is not asked for any: whatever it leaves there is removed.
    fn unused(scratch: &mut Scratch) -> Output {
        let (variable, path) = ("output", scratch.file("unused"));
        Output { variable, path, directory: false, may_be_empty: true }
    }

    fn prepare(step: &Step, scratch: &mut Scratch) -> Result<Output, Failure> {
        let name = match &step.asset.output {
            OutputDef::File { name } => name.clone(),
            OutputDef::Table(format) => format!("output.{}", format.extension()),
            OutputDef::Directory | OutputDef::Pieces => {
                let path = scratch.file("output");
                fs::create_dir(&path).map_err(failed("create", &path))?;
                let may_be_empty = step.asset.output == OutputDef::Pieces;
                let (variable, directory) = ("output_dir", true);
                return Ok(Output { variable, path, directory, may_be_empty });
            }
            OutputDef::None => {
                let key = &step.asset.key;
                return Err(Failure::Unsupported(format!(
                    "`{key}` declares no output; add `output` or `output_dir`"
                )));
            }
        };
        let (variable, path) = ("output", scratch.file(&name));
        Ok(Output { variable, path, directory: false, may_be_empty: true })
    }

    /// Looks at what the command left; what is good is no longer scratch.
    fn take(self, scratch: &mut Scratch) -> Result<Produced, Failure> {
        let variable = self.variable;
        let metadata = match fs::symlink_metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::NoOutput { variable });
            }
            Err(error) => return Err(failed("read", &self.path)(error)),
        };
        let expected = if self.directory { "a directory" } else { "a file" };
        let found = kind_name(&metadata);
        if metadata.is_symlink() && !self.directory && self.path.is_file() {
            resolve_link(&self.path).map_err(failed("copy", &self.path))?;
        } else if found != expected {
            return Err(Failure::WrongOutput { variable, found, expected });
        } else if !self.may_be_empty && is_empty(&self.path) {
            return Err(Failure::NoOutput { variable });
        }
        scratch.keep(&self.path);
        Ok(match self.directory {
            true => Produced::Directory(self.path),
            false => Produced::File(self.path),
        })
    }
}

fn kind_name(metadata: &fs::Metadata) -> &'static str {
    if metadata.is_dir() {
        "a directory"
    } else if metadata.is_file() {
        "a file"
    } else if metadata.is_symlink() {
        "a symbolic link that leads to no file"
    } else {
        "a special file"
    }
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

/// Puts the file in the place of the link that leads to it: what the link means may change later.
fn resolve_link(link: &Path) -> io::Result<()> {
    let target = fs::canonicalize(link)?;
    fs::remove_file(link)?;
    fs::copy(target, link).map(drop)
}

// A report is small; what goes beyond is some other file that the command put there.
const METADATA_MAX_BYTES: u64 = 1 << 20;

/// Says whether there is any.
fn read_metadata(path: &Path, outcome: &mut Outcome) -> bool {
    let Ok(found) = fs::metadata(path) else { return false };
    if found.len() > METADATA_MAX_BYTES {
        outcome.warnings.push("$GIORNATA_METADATA has more than 1 MiB and is ignored".to_owned());
        return true;
    }
    let text = fs::read(path).unwrap_or_default();
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<serde_json::Value>(line) {
            Ok(value) if value.is_object() => outcome.metadata.push(value),
            Ok(_) => outcome.warnings.push(format!(
                "line {number} of $GIORNATA_METADATA is no object, such as {{\"accuracy\": 0.9}}"
            )),
            Err(error) => outcome
                .warnings
                .push(format!("line {number} of $GIORNATA_METADATA is not JSON: {error}")),
        }
    }
    true
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Io { verb, path: path.to_owned(), reason: error.to_string() }
}
