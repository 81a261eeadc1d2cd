//! Runs a command: prepares its inputs and environment, runs the process, and takes what it left.
//!
//! Everything in the making lies in the run's staging directory under names that no other step of the
//! run has; a directory per step would cost as much as a small step itself. What the step does not
//! hand over is removed when it ends.

mod batch;
mod environment;
mod inputs;
pub(super) mod outputs;
mod prepared;
mod process;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use self::batch::Batch;
pub use self::environment::missing_program;
use self::environment::{Environment, Programs};
use self::inputs::Scratch;
use self::prepared::Prepared;
use super::log::Begins;
use super::{Control, Emitted, Executor, Failure, Lifeline, Of, Outcome, Step};
use crate::defs::{Body, CommandBody, CommandLine};

/// Runs processes.
pub struct CommandExecutor {
    lifeline: Lifeline,
    programs: Programs,
    prepared: Prepared,
    /// What streams are read into.
    buffer: Vec<u8>,
}

impl CommandExecutor {
    pub fn new(lifeline: Lifeline) -> CommandExecutor {
        let (programs, prepared) = (Programs::default(), Prepared::default());
        CommandExecutor { lifeline, programs, prepared, buffer: Vec::new() }
    }

    fn run_body(
        &mut self,
        body: &CommandBody,
        step: &Step,
        control: &Control,
        outcome: &mut Outcome,
    ) -> Result<Vec<Emitted>, Failure> {
        if let Of::Batch(lots) = &step.of {
            return self.run_batch(body, step, lots, control, outcome);
        }
        let mut scratch = Scratch::new(step);
        let outputs = outputs::prepare(step, &mut scratch)?;
        let inputs = scratch.inputs(step)?;
        let metadata = scratch.file("metadata.jsonl");
        let environment = Environment::new(step, &inputs, &outputs, &metadata);
        outcome.warnings.extend(environment.warnings.iter().cloned());
        let (programs, prepared) = (&mut self.programs, &mut self.prepared);
        let command = environment.command(&body.line, step, programs, prepared)?;
        let (lifeline, buffer) = (&self.lifeline, &mut self.buffer);
        let ended = process::run(command, step, control, lifeline, buffer, Begins::AsTheStep);
        outcome.log = ended.log;
        outcome.usage = ended.usage;
        if !read_metadata(&metadata, outcome) {
            scratch.keep(&metadata);
        }
        ended.result?;
        outputs::take(step, outputs, &mut scratch)
    }

    /// Makes several partitions in one process; how it went for each goes to the members of the outcome.
    fn run_batch(
        &mut self,
        body: &CommandBody,
        step: &Step,
        lots: &[Step],
        control: &Control,
        outcome: &mut Outcome,
    ) -> Result<Vec<Emitted>, Failure> {
        let mut scratch = Scratch::new(step);
        let batch = Batch::prepare(step, lots, &mut scratch)?;
        let metadata = scratch.file("metadata.jsonl");
        let mut environment =
            Environment::new(step, &batch.inputs, std::slice::from_ref(&batch.outputs), &metadata);
        batch.name_in(&mut environment);
        outcome.warnings.extend(environment.warnings.iter().cloned());
        let (programs, prepared) = (&mut self.programs, &mut self.prepared);
        let command = environment.command(&body.line, step, programs, prepared)?;
        let (lifeline, buffer) = (&self.lifeline, &mut self.buffer);
        let ended = process::run(command, step, control, lifeline, buffer, Begins::AsTheStep);
        outcome.log = ended.log;
        outcome.usage = ended.usage;
        let max_bytes = METADATA_MAX_BYTES.saturating_mul(lots.len() as u64);
        let report = Report::read(&metadata, max_bytes).unwrap_or_default();
        outcome.members =
            batch.conclude(&ended.result, report, &mut outcome.warnings, &mut scratch)?;
        Ok(Vec::new())
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
        self.aside(&body.line, &[("GIORNATA_CHECK", name)], step, control)
    }

    /// Runs a command beside the step: it makes nothing, and succeeds or not.
    pub(super) fn aside(
        &mut self,
        line: &CommandLine,
        variables: &[(&str, &str)],
        step: &Step,
        control: &Control,
    ) -> Result<(), Failure> {
        let mut scratch = Scratch::new(step);
        let inputs = scratch.inputs(step)?;
        let metadata = scratch.file("aside.jsonl");
        let output = [outputs::unused(&mut scratch)];
        let mut environment = Environment::new(step, &inputs, &output, &metadata);
        for (name, value) in variables {
            environment.set(name, value);
        }
        let (programs, prepared) = (&mut self.programs, &mut self.prepared);
        let command = environment.command(line, step, programs, prepared)?;
        let (lifeline, buffer) = (&self.lifeline, &mut self.buffer);
        process::run(command, step, control, lifeline, buffer, Begins::After).result
    }
}

impl Executor for CommandExecutor {
    #[expect(clippy::disallowed_methods, reason = "this is where a process is timed")]
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        let start = Instant::now();
        let mut outcome = Outcome::not_run(step);
        outcome.result = match &step.def.body {
            Body::Command(body) => self.run_body(body, step, control, &mut outcome),
            Body::Source(_) | Body::Sql(_) | Body::Function(_) | Body::Graph(_) => {
                let name = step.shown();
                Err(Failure::Unsupported(format!("`{name}` is not made by a command")))
            }
        };
        outcome.duration = start.elapsed();
        outcome
    }
}

// A report is small; what goes beyond is some other file that the command put there.
const METADATA_MAX_BYTES: u64 = 1 << 20;

/// Says whether there is any.
fn read_metadata(path: &Path, outcome: &mut Outcome) -> bool {
    let Some(report) = Report::read(path, METADATA_MAX_BYTES) else { return false };
    outcome.metadata.extend(report.objects);
    outcome.warnings.extend(report.wrong);
    true
}

/// What a command reported.
#[derive(Default)]
struct Report {
    objects: Vec<Value>,
    /// Of each line that is no object, why.
    wrong: Vec<String>,
}

impl Report {
    /// `None` if there is none.
    fn read(path: &Path, max_bytes: u64) -> Option<Report> {
        let found = fs::metadata(path).ok()?;
        let mut report = Report::default();
        if found.len() > max_bytes {
            let max = max_bytes >> 20;
            report.wrong.push(format!("$GIORNATA_METADATA has more than {max} MiB and is ignored"));
            return Some(report);
        }
        let text = fs::read(path).unwrap_or_default();
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Value>(line) {
                Ok(value) if value.is_object() => report.objects.push(value),
                Ok(_) => report.wrong.push(format!(
                    "line {number} of $GIORNATA_METADATA is no object, such as {{\"accuracy\": 0.9}}"
                )),
                Err(error) => report
                    .wrong
                    .push(format!("line {number} of $GIORNATA_METADATA is not JSON: {error}")),
            }
        }
        Some(report)
    }
}

pub(super) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Io { verb, path: path.to_owned(), reason: error.to_string() }
}
