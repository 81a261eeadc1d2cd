//! Several partitions by one command: where it finds them, and what it says and leaves of each.
//!
//! What a partition has is a result of its own, so what is not certain is not taken: after a command that
//! failed only what it had said to be done, since a file may have been half written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::environment::Environment;
use super::inputs::{Placed, Scratch, input_of_one, safe_name};
use super::outputs::{self, Output};
use super::{Report, failed};
use crate::exec::{Emitted, Failure, Input, Outcome, Step};

/// The keys of a reported line that are not kept with the result.
const PARTITION: &str = "partition";
const DONE: &str = "done";
const ERROR: &str = "error";

/// The partitions of one execution, with their files in place.
pub(super) struct Batch<'a> {
    lots: &'a [Step],
    /// A directory for each input.
    pub(super) inputs: Vec<Placed>,
    /// The directory in which the outputs are to be left.
    pub(super) outputs: Output,
    /// The output of each partition, or why it cannot be made.
    each: Vec<Result<Output, Failure>>,
    /// A line for each partition: its key as the names of its files have it.
    names: PathBuf,
    /// A line of JSON for each partition: all that there is to know of it.
    lines: PathBuf,
}

/// A partition as a program reads it; paths are absolute.
#[derive(Serialize)]
struct Line<'a> {
    partition: &'a str,
    output: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'a str>,
    inputs: BTreeMap<&'a str, PathBuf>,
}

impl<'a> Batch<'a> {
    pub(super) fn prepare(
        step: &Step,
        lots: &'a [Step],
        scratch: &mut Scratch,
    ) -> Result<Batch<'a>, Failure> {
        let (outputs, places) = outputs::of_lots(step, lots, scratch)?;
        let mut inputs = Vec::with_capacity(step.inputs.len());
        for input in &step.inputs {
            let path = scratch.file(&input.name);
            fs::create_dir(&path).map_err(failed("create", &path))?;
            inputs.push(Placed { path, list: None });
        }
        let (mut names, mut lines) = (String::new(), Vec::new());
        let mut each = Vec::with_capacity(lots.len());
        let mut before = vec![None; inputs.len()];
        for (lot, output) in lots.iter().zip(places) {
            let placed = place(lot, &inputs, &mut before);
            if let Ok(found) = &placed {
                let (start, end) = match &lot.window_rfc3339 {
                    Some((start, end)) => (Some(start.as_str()), Some(end.as_str())),
                    None => (None, None),
                };
                let (partition, inputs) = (lot.partition.as_str(), found.clone());
                let line = Line { partition, output: &output.path, start, end, inputs };
                serde_json::to_writer(&mut lines, &line).expect("a line has only texts");
                lines.push(b'\n');
                names += &safe_name(partition);
                names.push('\n');
            }
            each.push(placed.map(|_| output));
        }
        let write = |path: PathBuf, bytes: &[u8]| match fs::write(&path, bytes) {
            Ok(()) => Ok(path),
            Err(error) => Err(failed("write", &path)(error)),
        };
        let names = write(scratch.file("partitions"), names.as_bytes())?;
        let lines = write(scratch.file("batch.jsonl"), &lines)?;
        Ok(Batch { lots, inputs, outputs, each, names, lines })
    }

    /// Says where the partitions are written down.
    pub(super) fn name_in(&self, environment: &mut Environment) {
        environment.set("GIORNATA_PARTITIONS", &self.names);
        environment.set("GIORNATA_BATCH", &self.lines);
    }

    /// How it went for each partition. Fails if that cannot be told.
    pub(super) fn conclude(
        self,
        ended: &Result<(), Failure>,
        report: Report,
        warnings: &mut Vec<String>,
        scratch: &mut Scratch,
    ) -> Result<Vec<Outcome>, Failure> {
        // It may have been the line that says of a partition that it failed.
        if let (Ok(()), Some(wrong)) = (ended, report.wrong.first()) {
            return Err(Failure::Unsupported(wrong.clone()));
        }
        let mut said = self.said(report, warnings);
        self.tell_strangers(warnings);
        // What is taken is moved away, and the rest goes with the run.
        scratch.keep(&self.outputs.path);
        let mut outcomes = Vec::with_capacity(self.lots.len());
        for (lot, output) in self.lots.iter().zip(self.each) {
            let own = said.remove(lot.partition.as_str()).unwrap_or_default();
            let result = match (output, own.error, ended) {
                (Err(failure), _, _) => Err(failure),
                (Ok(_), Some(reason), _) => Err(Failure::Function(reason)),
                (Ok(_), None, Err(failure)) if !own.is_done => Err(failure.clone()),
                (Ok(output), None, Ok(()) | Err(_)) => output.take(scratch),
            };
            let result = result.map(|what| vec![Emitted::only(what)]);
            outcomes.push(Outcome { result, metadata: own.metadata, ..Outcome::not_run(lot) });
        }
        Ok(outcomes)
    }

    /// What the command said of each partition. A line that names none is about all of them.
    fn said(&self, report: Report, warnings: &mut Vec<String>) -> BTreeMap<&'a str, Said> {
        let of_none = || (self.lots.iter()).map(|lot| (lot.partition.as_str(), Said::default()));
        let mut said: BTreeMap<&str, Said> = of_none().collect();
        for object in report.objects {
            let Value::Object(mut line) = object else { continue };
            match line.remove(PARTITION) {
                None => said.values_mut().for_each(|own| own.metadata.push(line.clone().into())),
                Some(partition) => match partition.as_str().and_then(|key| said.get_mut(key)) {
                    Some(own) => own.hear(line),
                    None => warnings.push(format!(
                        "$GIORNATA_METADATA names the partition {partition}, which was not asked for"
                    )),
                },
            }
        }
        said
    }

    /// Says what was left for no partition.
    fn tell_strangers(&self, warnings: &mut Vec<String>) {
        let names = fs::read_dir(&self.outputs.path).into_iter().flatten().flatten();
        let asked: BTreeSet<&Path> =
            self.each.iter().flatten().map(|it| it.path.as_path()).collect();
        let strange = names.filter(|entry| !asked.contains(entry.path().as_path()));
        let mut strange: Vec<String> =
            strange.map(|entry| entry.file_name().display().to_string()).collect();
        strange.sort();
        if let Some(first) = strange.first() {
            let others = match strange.len() {
                1 => String::new(),
                found => format!(" and {} more", found - 1),
            };
            warnings.push(format!(
                "left `{first}`{others} in $output_dir, which is the output of no partition that was \
                 asked for"
            ));
        }
    }
}

/// What a command said of one partition.
#[derive(Default)]
struct Said {
    is_done: bool,
    error: Option<String>,
    metadata: Vec<Value>,
}

impl Said {
    fn hear(&mut self, mut line: Map<String, Value>) {
        self.is_done |= line.remove(DONE) == Some(Value::Bool(true));
        match line.remove(ERROR) {
            // Whoever writes the same line for each partition has nothing to say of this one.
            None | Some(Value::Null) => {}
            Some(Value::String(error)) if error.trim().is_empty() => {
                self.error = Some("the command says so in $GIORNATA_METADATA, and not why".into());
            }
            Some(Value::String(error)) => self.error = Some(error),
            Some(error) => self.error = Some(error.to_string()),
        }
        if !line.is_empty() {
            self.metadata.push(line.into());
        }
    }
}

/// Puts what one partition reads in its places, by the name of the input. `before` has the last directory of
/// each input: what reads the same has a link to it.
fn place<'s>(
    lot: &'s Step,
    dirs: &[Placed],
    before: &mut [Option<(&'s Input, PathBuf)>],
) -> Result<BTreeMap<&'s str, PathBuf>, Failure> {
    let mut found = BTreeMap::new();
    let name = safe_name(lot.partition.as_str());
    for ((input, dir), before) in lot.inputs.iter().zip(dirs).zip(before) {
        let path = match before {
            Some((same, there)) if !input.single && is_same(same, input) => {
                let path = dir.path.join(&name);
                std::os::unix::fs::symlink(&*there, &path).map_err(failed("link", &path))?;
                path
            }
            _ => {
                let path = input_of_one(input, &dir.path, lot.partition.as_str())?;
                *before = Some((input, path.clone()));
                path
            }
        };
        found.insert(&*input.name, path);
    }
    Ok(found)
}

fn is_same(a: &Input, b: &Input) -> bool {
    let same = |(a, b): (&crate::exec::Part, &crate::exec::Part)| {
        a.key == b.key && a.version == b.version && a.content_digest == b.content_digest
    };
    a.parts.len() == b.parts.len() && a.parts.iter().zip(&b.parts).all(same)
}
