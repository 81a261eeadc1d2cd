//! What `--json` says of jobs: how they are declared, and of which steps they are made.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::super::text;
use crate::base::JobName;
use crate::defs::{Flow, FlowStep, Job, Memo, Takes, Work};

/// What is declared of a job.
#[derive(Serialize)]
pub(in crate::cli) struct JobEntry<'a> {
    job: &'a JobName,
    /// Of a job that selects assets.
    #[serde(skip_serializing_if = "Option::is_none")]
    select: Option<&'a str>,
    /// How many steps there are, of a job that is made of ops.
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<usize>,
    description: Option<&'a String>,
    tags: &'a BTreeMap<String, String>,
    partitions: String,
    presets: Vec<&'a String>,
    file: &'a Path,
    line: u32,
}

impl<'a> JobEntry<'a> {
    pub fn new(job: &'a Job) -> JobEntry<'a> {
        let (select, steps) = match &job.work {
            Work::Select(selection) => (Some(selection.as_str()), None),
            Work::Flow(flow) => (None, Some(flow.steps.len())),
        };
        JobEntry {
            job: &job.name,
            select,
            steps,
            description: job.description.as_ref(),
            tags: &job.tags,
            partitions: text::keys(&job.partitions),
            presets: job.presets.keys().collect(),
            file: &job.origin.file,
            line: job.origin.line,
        }
    }
}

#[derive(Serialize)]
pub(in crate::cli) struct JobDocument<'a> {
    definition: JobEntry<'a>,
    /// As a JSON Schema.
    config: Value,
    steps: Vec<StepEntry<'a>>,
}

/// What a run would do.
#[derive(Serialize)]
pub(in crate::cli) struct JobPlanDocument<'a> {
    pub job: &'a str,
    pub partition: Option<&'a str>,
    /// One that is mapped over pieces is there once.
    pub steps: &'a [String],
}

#[derive(Serialize)]
struct StepEntry<'a> {
    step: &'a str,
    op: &'a str,
    kind: &'static str,
    description: Option<&'a String>,
    inputs: Vec<InputEntry<'a>>,
    outputs: Vec<OutputEntry<'a>>,
    after: Vec<&'a str>,
    pool: Option<&'a str>,
    retries: u32,
    memo: bool,
}

#[derive(Serialize)]
struct InputEntry<'a> {
    input: &'a str,
    #[serde(rename = "type")]
    kind: String,
    many: bool,
    from: String,
}

#[derive(Serialize)]
struct OutputEntry<'a> {
    output: &'a str,
    #[serde(rename = "type")]
    kind: String,
    /// `required`, `optional` or `pieces`.
    emits: &'static str,
}

impl<'a> JobDocument<'a> {
    pub fn new(job: &'a Job) -> JobDocument<'a> {
        let steps = match &job.work {
            Work::Select(_) => Vec::new(),
            Work::Flow(flow) => flow.steps.iter().map(|step| StepEntry::new(flow, step)).collect(),
        };
        JobDocument { definition: JobEntry::new(job), config: job.config.json_schema(), steps }
    }
}

impl<'a> StepEntry<'a> {
    fn new(flow: &'a Flow, step: &'a FlowStep) -> StepEntry<'a> {
        let inputs = step.op.inputs.iter().zip(&step.wires).map(|(input, wiring)| InputEntry {
            input: &input.name,
            kind: input.kind.to_string(),
            many: input.takes == Takes::Many,
            from: text::wiring(flow, wiring),
        });
        let outputs = step.op.outputs.iter().map(|output| OutputEntry {
            output: &output.name,
            kind: output.kind.to_string(),
            emits: text::emits(output.emits),
        });
        StepEntry {
            step: &step.path,
            op: &step.op.name,
            kind: text::body(&step.op.body),
            description: step.op.description.as_ref(),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            after: step.after.iter().map(|at| &*flow.steps[*at as usize].path).collect(),
            pool: step.op.pool.as_deref(),
            retries: step.op.retries.max,
            memo: step.op.memo == Memo::ByContent,
        }
    }
}
