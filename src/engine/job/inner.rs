//! Carries out the graph that is the body of an asset: one step, made of several.
//!
//! The steps run one after the other, on the thread of the worker that has the asset. What they hand to each
//! other lies in a directory of their own within that of the run, and goes when they have ended; what they
//! write goes into the one log of the asset. Where one of them fails, the asset has failed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::flow::{Ended, InstanceId, Known, Made, Progress, StepState};
use super::keep::{Place, keep};
use super::keys::Settings;
use super::value::{self, Value};
use crate::base::{AssetKey, Digest, JobName};
use crate::defs::{Body, GraphBody, HookDef};
use crate::exec::{
    self, Control, Emitted, Executor, Failure, InJob, Input, LogInfo, Of, Outcome, Produced,
    Retrying, Step, StepPaths, Worker,
};

/// Runs steps, those among them that are graphs too.
pub struct Flows {
    steps: Retrying<Worker>,
    /// For what is done beside the steps: checks of the result, and hooks.
    own: Worker,
}

impl Flows {
    pub fn new(worker: impl Fn() -> Worker) -> Flows {
        Flows { steps: Retrying::new(worker()), own: worker() }
    }
}

impl Executor for Flows {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        let (Body::Graph(graph), Of::Asset(asset)) = (&step.def.body, &step.of) else {
            return self.steps.run(step, control);
        };
        let mut outcome = Outcome::not_run(step);
        let mut flow = match Inner::new(step, asset, graph) {
            Ok(flow) => flow,
            Err(failure) => {
                outcome.result = Err(failure);
                return outcome;
            }
        };
        let made = flow.carry_out(self, control, &mut outcome);
        outcome.result = made;
        self.own.check(step, control, &mut outcome);
        outcome
    }
}

/// One execution of a graph.
struct Inner<'a> {
    step: &'a Step,
    asset: &'a AssetKey,
    job: JobName,
    graph: &'a GraphBody,
    /// What the graph is given, in the order of its inputs.
    around: Vec<&'a Input>,
    config: serde_json::Value,
    /// Nobody else uses it.
    dir: PathBuf,
    progress: Progress<Value>,
    log: Option<LogInfo>,
}

impl<'a> Inner<'a> {
    fn new(
        step: &'a Step,
        asset: &'a AssetKey,
        graph: &'a GraphBody,
    ) -> Result<Inner<'a>, Failure> {
        let missing = |variable: &str| {
            let reason = "the step was made without it".to_owned();
            Failure::Input { name: variable.to_owned(), reason }
        };
        let find = |variable: &String| {
            let found = step.inputs.iter().find(|input| input.variable == *variable);
            found.ok_or_else(|| missing(variable))
        };
        let around = graph.inputs.iter().map(find).collect::<Result<_, _>>()?;
        let mut name = Digest::builder("giornata 2026 place of a graph");
        name.part(asset.as_str()).part(step.partition.as_str());
        let dir = step.paths.staging.join(format!("graph-{}", name.finish()));
        // An earlier process with this run's number may have died in this very step.
        let _ = fs::remove_dir_all(&dir);
        for dir in [dir.join("staging"), dir.join("kept")] {
            fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        let job = JobName::parse(asset.as_str())
            .map_err(|error| Failure::Unsupported(error.to_string()))?;
        let config = step.config.clone().into_iter().collect::<serde_json::Map<_, _>>();
        let chosen = (0..).zip(&graph.flow.steps).map(|(at, _)| at).collect();
        let progress = Progress::new(Arc::clone(&graph.flow), &chosen, Known::new());
        let (config, log) = (serde_json::Value::Object(config), None);
        Ok(Inner { step, asset, job, graph, around, config, dir, progress, log })
    }

    fn carry_out(
        &mut self,
        workers: &mut Flows,
        control: &Control,
        outcome: &mut Outcome,
    ) -> Result<Vec<Emitted>, Failure> {
        let mut result = Ok(());
        let mut number = 0;
        while result.is_ok()
            && let Some(id) = self.progress.next(&|_| true)
        {
            number += 1;
            result = self.one(id, number, workers, control, outcome);
        }
        outcome.log = self.log.take();
        let made = result.and_then(|()| self.result());
        // What cannot be removed goes with the run.
        let _ = fs::remove_dir_all(&self.dir);
        made
    }

    /// Carries out one of the steps.
    fn one(
        &mut self,
        id: InstanceId,
        number: u64,
        workers: &mut Flows,
        control: &Control,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let name = self.progress.name(id);
        let within = |failure: Failure| match failure {
            Failure::Cancelled => Failure::Cancelled,
            failure => Failure::Within { step: name.clone(), failure: Box::new(failure) },
        };
        if control.is_cancelled() {
            return Err(Failure::Cancelled);
        }
        self.head_line(&name)?;
        let step = self.step_of(id).map_err(within)?;
        let mut ended = workers.steps.run(&step, control);
        ended.hide(&step.secrets);
        outcome.duration += ended.duration;
        outcome.usage = outcome.usage.and(ended.whole_usage());
        outcome.warnings.append(&mut ended.warnings);
        self.take_log(ended.log);
        let place = Place {
            dir: self.dir.clone(),
            kept: "kept".to_owned(),
            inline_max_bytes: INLINE_MAX_BYTES,
        };
        let made: Result<Vec<Made<Value>>, Failure> =
            ended.result.and_then(|made| keep(made, &step.def, &place, number));
        self.call_hooks(id, &step, made.as_ref().err(), ended.attempt, workers, control, outcome);
        self.progress.ended(id, made.map_err(within)?, Ended::Success);
        Ok(())
    }

    /// Everything that one of the steps needs.
    fn step_of(&self, id: InstanceId) -> Result<Step, Failure> {
        let declared = self.progress.declared(id);
        let settings = Settings::of(declared, &self.config);
        let gathered = value::gather(&self.progress, id, &self.dir, &self.around);
        let inputs = gathered.map_err(|reason| {
            let name = self.progress.name(id);
            Failure::Input { name, reason }
        })?;
        let in_job = InJob {
            job: self.job.clone(),
            asset: Some(self.asset.clone()),
            path: declared.path.clone(),
            op: declared.op.clone(),
            piece: self.progress.piece(id).map(Arc::from),
            own: settings.own,
            read: settings.read,
        };
        let StepPaths { root, log, .. } = self.step.paths.clone();
        Ok(Step {
            def: declared.def.clone(),
            of: Of::Job(Arc::new(in_job)),
            inputs: inputs.inputs,
            config: settings.all,
            attempt: 1,
            paths: StepPaths { root, staging: self.dir.join("staging"), log },
            ..self.step.clone()
        })
    }

    /// That a step begins is in the log even if it says nothing.
    fn head_line(&mut self, name: &str) -> Result<(), Failure> {
        let path = &self.step.paths.log;
        let line = format!("[giornata: step {name}]\n");
        let dir = path.parent().unwrap_or(path);
        let written = fs::create_dir_all(dir).and_then(|()| {
            let mut options = fs::OpenOptions::new();
            options.create(true).append(true).open(path)?.write_all(line.as_bytes())
        });
        written.map_err(failed("write", path))?;
        let bytes = line.len() as u64;
        let log = LogInfo { path: path.clone(), bytes, dropped: 0, tail: line };
        self.take_log(Some(log));
        Ok(())
    }

    fn take_log(&mut self, log: Option<LogInfo>) {
        self.log = match (self.log.take(), log) {
            (Some(before), Some(log)) => Some(LogInfo {
                bytes: before.bytes + log.bytes,
                dropped: before.dropped + log.dropped,
                ..log
            }),
            (before, log) => log.or(before),
        };
    }

    #[expect(clippy::too_many_arguments, reason = "one flat step of the loop above")]
    fn call_hooks(
        &self,
        id: InstanceId,
        step: &Step,
        failure: Option<&Failure>,
        attempts: u32,
        workers: &mut Flows,
        control: &Control,
        outcome: &mut Outcome,
    ) {
        let hooks = &self.progress.declared(id).hooks;
        let hooks: &[HookDef] = match failure {
            None => &hooks.success,
            Some(Failure::Cancelled) => &[],
            Some(_) => &hooks.failure,
        };
        let step = Step { inputs: Vec::new(), ..step.clone() };
        let ended = exec::Ended { step: &step, attempts, failure };
        for hook in hooks {
            if let Err(reason) = workers.own.hook(hook, &ended, control) {
                let name = self.progress.name(id);
                outcome
                    .warnings
                    .push(format!("a hook of `{}.{name}` failed: {reason}", self.asset));
            }
        }
    }

    /// What the graph gives.
    fn result(&self) -> Result<Vec<Emitted>, Failure> {
        let slot = self.graph.result;
        let id = self.progress.instances_of(slot.step).next();
        let made = id.and_then(|id| self.progress.made(id, slot.output).into_iter().next());
        let Some((_, value)) = made else {
            let path = &self.graph.flow.steps[slot.step as usize].path;
            let state = id.map_or(StepState::Skipped, |id| self.progress.state(id));
            let reason = format!("gave no result: `{path}` is {state}");
            return Err(Failure::Function(reason));
        };
        let what = match value.produced(&self.dir)? {
            Produced::File(path) => Produced::File(self.take_out(&path)?),
            Produced::Directory(path) => Produced::Directory(self.take_out(&path)?),
            what @ (Produced::Table { .. } | Produced::Bytes { .. }) => what,
        };
        Ok(vec![Emitted::only(what)])
    }

    /// Moves the result out of the directory of the steps, which goes now.
    fn take_out(&self, path: &Path) -> Result<PathBuf, Failure> {
        let mut to = self.dir.clone();
        if let Some(extension) = path.extension() {
            to.set_extension(extension);
        } else {
            to.set_extension("result");
        }
        fs::rename(path, &to).map_err(failed("move", &to))?;
        Ok(to)
    }
}

/// What is smaller is handed on in memory.
const INLINE_MAX_BYTES: u64 = 4096;

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::Io { verb, path, reason: error.to_string() }
}
