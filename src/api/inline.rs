//! Carries a flow out in this process: one instance after the other, with values in memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::body::{Arg, Attempt, FailureKind, OpBody, StepFailure, timed_out};
use super::datum::hold;
use super::hook::{Again, Hook};
use super::io::StepIo;
use super::job::Table;
use super::job_partition::Part;
use super::log::{LogLine, Logger, Reported};
use super::op_context::OpContext;
use super::result::{JobResult, StepReport};
use crate::base::Digest;
use crate::defs::{self, Body, Flow, FlowStep, FunctionSlot, HookDef, InputDecl};
use crate::engine::error_text;
use crate::engine::flow::{Ended, Gathered, Given, InstanceId, Known, Made, Progress};
use crate::exec::{Control, Datum, Pool, Resources, Secrets, caught};

/// A job that is ready to run.
pub(super) struct Launched<'a> {
    pub(super) job: &'a defs::Job,
    pub(super) flow: &'a Arc<Flow>,
    pub(super) table: &'a Table,
    /// What each step may read, in the order of the flow.
    pub(super) settings: &'a [(Value, Value)],
    pub(super) pool: &'a Pool,
    /// Of each step, if there are any.
    pub(super) ios: &'a [StepIo],
    pub(super) part: &'a Part,
}

/// What was noted of a run so far.
struct Run<'a> {
    launched: &'a Launched<'a>,
    /// Of each step.
    resources: Vec<Resources>,
    secrets: Arc<Secrets>,
    control: Control,
    lines: Mutex<Vec<LogLine>>,
    warnings: Vec<String>,
}

pub(super) fn run(launched: &Launched<'_>, chosen: &BTreeSet<u32>) -> JobResult {
    let bodies: Vec<Option<&Arc<OpBody>>> = launched
        .flow
        .steps
        .iter()
        .map(|step| match &step.op.body {
            Body::Function(function) => match function.slot {
                FunctionSlot::Op(slot) => launched.table.bodies.get(&slot),
                FunctionSlot::Asset => None,
            },
            Body::Source(_) | Body::Sql(_) | Body::Command(_) | Body::Graph(_) => None,
        })
        .collect();
    let mut progress: Progress<Datum> = Progress::new(launched.flow.clone(), chosen, Known::new());
    let names =
        |step: &FlowStep| launched.pool.chosen(step.def.resources.iter().map(String::as_str));
    let mut run = Run {
        launched,
        resources: launched.flow.steps.iter().map(names).collect(),
        secrets: launched.pool.secrets(),
        control: Control::new(),
        lines: Mutex::default(),
        warnings: Vec::new(),
    };
    let mut reports = Vec::new();
    while let Some(id) = progress.next(&|_| true) {
        let body = bodies[progress.step(id) as usize];
        let body = body.expect("a job of the program's has the functions of its ops");
        let (report, made) = run.carry_out(&progress, id, body);
        let how = if report.failure.is_none() { Ended::Success } else { Ended::Failed };
        reports.push((id, report));
        progress.ended(id, made, how);
    }
    let Run { lines, warnings, .. } = run;
    let lines = lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    JobResult::new(launched.job, chosen, progress, reports, lines, warnings)
}

impl Run<'_> {
    /// All attempts of an instance, and what is done after the last.
    fn carry_out(
        &mut self,
        progress: &Progress<Datum>,
        id: InstanceId,
        body: &OpBody,
    ) -> (StepReport, Vec<Made<Datum>>) {
        let of =
            Of { step: progress.declared(id), place: progress.step(id), piece: progress.piece(id) };
        let mut attempts = 1;
        let (failure, made, reported) = loop {
            let args = args(progress, id);
            let reported = Reported::default();
            let (ended, made) = match self.read(&of, args) {
                Ok(args) => self.attempt(&of, attempts, body, args, &reported),
                Err(failure) => (Attempt::Failed(failure), Vec::new()),
            };
            let (ended, made) = self.put(&of, ended, made);
            let (failure, again) = match ended {
                Attempt::Success => break (None, made, reported.joined()),
                Attempt::Failed(failure) => (failure, None),
                Attempt::Again(failure, again) => (failure, Some(again)),
            };
            let text = self.secrets.mask(&failure.text).into_owned();
            let failure = StepFailure { text, ..failure };
            if !self.waits_for_another(&of, attempts, &failure, again.as_ref()) {
                break (Some(failure), made, reported.joined());
            }
            attempts += 1;
        };
        self.call_hooks(&of, attempts, failure.as_ref());
        let emitted = made.iter().map(|(output, piece, _)| (*output, piece.clone())).collect();
        (StepReport { attempts, failure, emitted, reported }, made)
    }

    /// Inputs that are read by a manager of their own.
    fn read(&self, of: &Of<'_>, args: Vec<Arg>) -> Result<Vec<Arg>, StepFailure> {
        let Some(io) = self.launched.ios.get(of.place as usize) else { return Ok(args) };
        let declared = of.step.def.inputs.iter().zip(0..).zip(args);
        let read = |((input, at), arg): ((&InputDecl, usize), Arg)| {
            let take = |datum| io.take(at, &input.name, datum);
            Ok(match arg {
                Arg::One(datum) => Arg::One(take(datum)?),
                Arg::Many(all) => Arg::Many(all.into_iter().map(take).collect::<Result<_, _>>()?),
                Arg::Nothing => Arg::Nothing,
            })
        };
        let read: Result<Vec<Arg>, String> = declared.map(read).collect();
        read.map_err(|reason| StepFailure::new(FailureKind::Function, reason))
    }

    /// Outputs that managers hand on; that one cannot be put is a failure of the step.
    fn put(
        &self,
        of: &Of<'_>,
        ended: Attempt,
        made: Vec<Made<Datum>>,
    ) -> (Attempt, Vec<Made<Datum>>) {
        let (Some(io), Attempt::Success) = (self.launched.ios.get(of.place as usize), &ended)
        else {
            return (ended, made);
        };
        let put = |(output, piece, datum): Made<Datum>| {
            let name = &of.step.def.outputs[output as usize].name;
            let datum = io.put(output, name, piece.as_deref().or(of.piece), datum)?;
            Ok((output, piece, datum))
        };
        // Managers and `Value::store` are the user's.
        let put = caught(|| made.into_iter().map(put).collect::<Result<Vec<_>, String>>());
        let failure = match put {
            Ok(Ok(made)) => return (ended, made),
            Ok(Err(reason)) => StepFailure::new(FailureKind::Function, reason),
            Err(panic) => panic.into(),
        };
        (Attempt::Failed(failure), Vec::new())
    }

    #[expect(clippy::disallowed_methods, reason = "this is where a function is timed")]
    fn attempt(
        &self,
        of: &Of<'_>,
        attempt: u32,
        body: &OpBody,
        args: Vec<Arg>,
        reported: &Reported,
    ) -> (Attempt, Vec<Made<Datum>>) {
        let (config, read) = &self.launched.settings[of.place as usize];
        let def = &of.step.def;
        let started = Instant::now();
        let context = OpContext {
            job: self.launched.job.name.as_str(),
            step: &of.step.path,
            op: &of.step.op.name,
            piece: of.piece,
            attempt,
            partition: &self.launched.part.key,
            dates: self.launched.part.dates.as_ref(),
            window: self.launched.part.window.as_ref(),
            config,
            read,
            logger: Logger {
                step: &of.step.path,
                piece: of.piece,
                attempt,
                lines: &self.lines,
                secrets: &self.secrets,
            },
            reported,
            resources: &self.resources[of.place as usize],
            control: &self.control,
            started,
            timeout: def.timeout,
            asked: RefCell::new(None),
        };
        let (ended, made) = body.attempt(&context, args, &def.inputs, &def.outputs);
        match (ended, def.timeout) {
            (Attempt::Success, Some(timeout)) if started.elapsed() > timeout => {
                (Attempt::Failed(timed_out(timeout)), made)
            }
            (ended, _) => (ended, made),
        }
    }

    /// Waits as long as the op's policy or its function says, if there is to be another attempt.
    fn waits_for_another(
        &self,
        of: &Of<'_>,
        attempts: u32,
        failure: &StepFailure,
        again: Option<&Again>,
    ) -> bool {
        let retries = &of.step.def.retries;
        let max = match again {
            Some(again) => retries.max.max(again.max),
            None if is_worth_a_retry(failure.kind) => retries.max,
            None => 0,
        };
        if attempts > max {
            return false;
        }
        let delay = again.and_then(|again| again.after).unwrap_or_else(|| {
            let mut seed = Digest::builder("giornata 2026 retries of ops");
            seed.part(of.step.def.name.as_str()).part(of.piece.unwrap_or_default());
            retries.wait(attempts, &seed.finish())
        });
        delay == Duration::ZERO || !self.control.wait(delay)
    }

    fn call_hooks(&mut self, of: &Of<'_>, attempts: u32, failure: Option<&StepFailure>) {
        let (own, job) = (&of.step.hooks, &self.launched.job.hooks);
        let hooks = match failure {
            None => own.success.iter().chain(&job.success),
            Some(_) => own.failure.iter().chain(&job.failure),
        };
        for hook in hooks {
            let call = match hook {
                HookDef::Function(FunctionSlot::Op(slot)) => self.launched.table.hooks.get(slot),
                HookDef::Function(FunctionSlot::Asset) | HookDef::Run(_) => None,
            };
            let Some(call) = call else { continue };
            let step = &*of.step.path;
            let job = self.launched.job.name.as_str();
            let partition = &self.launched.part.key;
            let hook = Hook { job, step, piece: of.piece, attempts, partition, failure };
            let wrong = match caught(|| call(&hook)) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error_text(&*error),
                Err(panic) => panic.to_string(),
            };
            let wrong = self.secrets.mask(&wrong);
            self.warnings.push(format!("a hook of `{step}` failed: {wrong}"));
        }
    }
}

/// What is carried out.
struct Of<'a> {
    step: &'a FlowStep,
    place: u32,
    piece: Option<&'a str>,
}

/// Whether the policy of an op applies: not where a repetition must give the same.
fn is_worth_a_retry(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Function | FailureKind::Panic | FailureKind::TimedOut => true,
        FailureKind::Type
        | FailureKind::Emission
        | FailureKind::Missing
        | FailureKind::PieceKey
        | FailureKind::Fatal => false,
    }
}

fn args(progress: &Progress<Datum>, id: InstanceId) -> Vec<Arg> {
    let datum = |given: &Given<'_, Datum>| match given {
        Given::Made(datum) => (*datum).clone(),
        Given::Value(value) => hold(Value::clone(value)),
        Given::Input(_) => unreachable!("a job has no inputs"),
    };
    let gathered = progress.inputs(id).into_iter().map(|gathered| match gathered {
        Gathered::One(given) => Arg::One(datum(&given)),
        Gathered::Many(given) => Arg::Many(given.iter().map(|(_, given)| datum(given)).collect()),
        Gathered::Nothing => Arg::Nothing,
    });
    gathered.collect()
}
