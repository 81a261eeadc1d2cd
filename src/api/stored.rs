//! Calls the functions of ops and hooks for steps whose values are kept by the store.

use std::cell::RefCell;

use super::body::{Arg, FailureKind, OpBody, StepFailure};
use super::datum::KeptValue;
use super::hook::{Again, Hook};
use super::job::Table;
use super::op_context::{Logger, OpContext};
use super::value;
use crate::defs::{Body, FunctionSlot, TableFormat, Takes};
use crate::engine::error_text;
use crate::exec::{Datum, Emitted, Ended, Failure, InJob, Produced, Refused, Step, Told, caught};
use crate::io::Kept;

/// Carries out a step of a job by the function of its op.
pub(super) fn call(
    table: &Table,
    step: &Step,
    at: &InJob,
    told: &mut Told<'_>,
) -> Result<Vec<Emitted>, Failure> {
    let Some(body) = body(table, step) else {
        let name = step.shown();
        return Err(Failure::Unsupported(format!("this program has no function for `{name}`")));
    };
    let lines = RefCell::default();
    let logger = Logger {
        step: &at.path,
        piece: at.piece.as_deref(),
        attempt: step.attempt,
        lines: &lines,
        secrets: &step.secrets,
    };
    let context = OpContext {
        job: at.job.as_str(),
        step: &at.path,
        op: &at.op.name,
        piece: at.piece.as_deref(),
        attempt: step.attempt,
        config: &at.own,
        read: &at.read,
        logger,
        resources: &step.resources,
        control: told.control(),
        started: told.started(),
        timeout: step.def.timeout,
        asked: RefCell::new(None),
    };
    // What was logged before a panic is what tells why.
    let ran = caught(|| body.emitted(&context, args(step), &step.def.inputs, &step.def.outputs));
    drop(context);
    for line in lines.into_inner() {
        told.log(line.level.as_str(), &line.text);
    }
    let made = ran.map_err(Failure::Panic)?.map_err(|(failure, again)| failed(failure, again))?;
    made.into_iter().map(|(output, piece, datum)| emitted(output, piece, &datum)).collect()
}

fn body<'a>(table: &'a Table, step: &Step) -> Option<&'a OpBody> {
    match &step.def.body {
        Body::Function(function) => match function.slot {
            FunctionSlot::Op(slot) => table.bodies.get(&slot).map(|body| &**body),
            FunctionSlot::Asset => None,
        },
        Body::Source(_) | Body::Sql(_) | Body::Command(_) | Body::Graph(_) => None,
    }
}

/// What the step was given, in the order of its inputs.
fn args(step: &Step) -> Vec<Arg> {
    let kept = |part: &crate::exec::Part| Datum::new(KeptValue(part.clone()));
    let arg = |decl: &crate::defs::InputDecl| {
        let parts = step.inputs.iter().find(|input| input.name == decl.name);
        let parts = parts.map(|input| input.parts.as_slice()).unwrap_or_default();
        match (decl.takes, parts) {
            (Takes::Nothing, _) | (Takes::One, []) => Arg::Nothing,
            (Takes::One, [first, ..]) => Arg::One(kept(first)),
            (Takes::Many, parts) => Arg::Many(parts.iter().map(kept).collect()),
        }
    };
    step.def.inputs.iter().map(arg).collect()
}

fn emitted(
    output: u32,
    piece: Option<std::sync::Arc<str>>,
    datum: &Datum,
) -> Result<Emitted, Failure> {
    let kept = datum.held().keep().map_err(|reason| Failure::Store { reason })?;
    let what = match kept {
        Kept::Bytes { bytes, extension } => {
            Produced::Bytes { bytes, extension: extension.into_owned() }
        }
        Kept::Table(table) => {
            let encoded = value::encode(&table).map_err(Failure::Table)?;
            let rows = table.rows.len() as u64;
            Produced::Table { encoded, format: TableFormat::Csv, rows }
        }
    };
    Ok(Emitted { output, piece, what })
}

fn failed(failure: StepFailure, again: Option<Again>) -> Failure {
    let StepFailure { kind, text } = failure;
    if let Some(Again { max, after, .. }) = again {
        return Failure::Again { reason: text, max, after };
    }
    let refused = |what| Failure::Refused { what, text: text.clone() };
    match kind {
        FailureKind::Type => refused(Refused::Type),
        FailureKind::Emission => refused(Refused::Emission),
        FailureKind::Missing => refused(Refused::Missing),
        FailureKind::PieceKey => refused(Refused::PieceKey),
        FailureKind::Fatal => Failure::Fatal(text),
        FailureKind::Function | FailureKind::Panic | FailureKind::TimedOut => {
            Failure::Function(text)
        }
    }
}

/// Calls what is to be called after a step has ended.
pub(super) fn hook(table: &Table, slot: FunctionSlot, ended: &Ended<'_>) -> Result<(), String> {
    let call = match slot {
        FunctionSlot::Op(slot) => table.hooks.get(&slot),
        FunctionSlot::Asset => None,
    };
    let crate::exec::Of::Job(at) = &ended.step.of else {
        return Err("it is no step of a job".to_owned());
    };
    let Some(call) = call else {
        return Err(format!("this program has no such hook of `{}`", at.path));
    };
    let failure = ended.failure.map(|failure| StepFailure::new(kind(failure), failure.to_string()));
    let hook = Hook {
        job: at.job.as_str(),
        step: &at.path,
        piece: at.piece.as_deref(),
        attempts: ended.attempts,
        failure: failure.as_ref(),
    };
    call(&hook).map_err(|error| error_text(&*error))
}

/// What kind of failure a hook is told.
fn kind(failure: &Failure) -> FailureKind {
    match failure {
        Failure::Within { failure, .. } => kind(failure),
        Failure::Type { .. } | Failure::Refused { what: Refused::Type, .. } => FailureKind::Type,
        Failure::Refused { what: Refused::Emission, .. } | Failure::WrongOutput { .. } => {
            FailureKind::Emission
        }
        Failure::Refused { what: Refused::Missing, .. } | Failure::NoOutput { .. } => {
            FailureKind::Missing
        }
        Failure::Refused { what: Refused::PieceKey, .. } => FailureKind::PieceKey,
        Failure::Emission(error) => StepFailure::from(error.clone()).kind,
        Failure::Panic(_) => FailureKind::Panic,
        Failure::Fatal(_) => FailureKind::Fatal,
        Failure::TimedOut { .. } => FailureKind::TimedOut,
        Failure::Exit { .. }
        | Failure::Signal { .. }
        | Failure::Cancelled
        | Failure::Asks
        | Failure::Spawn { .. }
        | Failure::Sql { .. }
        | Failure::Check { .. }
        | Failure::InputChanged { .. }
        | Failure::Input { .. }
        | Failure::Store { .. }
        | Failure::Table(_)
        | Failure::Io { .. }
        | Failure::Again { .. }
        | Failure::Function(_)
        | Failure::Unsupported(_)
        | Failure::Masked { .. } => FailureKind::Function,
    }
}
