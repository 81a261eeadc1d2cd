//! Calls the functions of ops and hooks for steps whose values are kept by the store.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use super::body::{Arg, FailureKind, OpBody, StepFailure};
use super::compute::Calls;
use super::datum::KeptValue;
use super::hook::{Again, Hook};
use super::job::Table;
use super::log::{Logger, Reported, tell};
use super::managed::Open;
use super::op_context::OpContext;
use super::value;
use crate::defs::{Body, FunctionSlot, InputDecl, TableFormat, Takes};
use crate::engine::error_text;
use crate::exec::{
    Datum, Emitted, Ended, Failure, InJob, Part, Produced, Refused, Step, Told, caught,
};
use crate::io::Kept;

/// Carries out a step of a job by the function of its op.
pub(super) fn call(
    calls: &Calls,
    step: &Step,
    at: &InJob,
    told: &mut Told<'_>,
) -> Result<Vec<Emitted>, Failure> {
    let Some(body) = body(&calls.ops, step) else {
        let name = step.shown();
        return Err(Failure::Unsupported(format!("this program has no function for `{name}`")));
    };
    let managed = calls.managed.open(step, at)?;
    let args = args(step, at, managed.as_ref()).map_err(Failure::Function)?;
    let (lines, reported) = (Mutex::default(), Reported::default());
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
        partition: &step.partition,
        dates: step.window.as_ref(),
        window: step.window_rfc3339.as_ref(),
        config: &at.own,
        read: &at.read,
        logger,
        reported: &reported,
        resources: &step.resources,
        control: told.control(),
        started: told.started(),
        timeout: step.def.timeout,
        asked: RefCell::new(None),
    };
    // What was logged before a panic is what tells why.
    let ran = caught(|| body.emitted(&context, args, &step.def.inputs, &step.def.outputs));
    drop(context);
    tell(told, lines, reported);
    let made = ran.map_err(Failure::Panic)?.map_err(|(failure, again)| failed(failure, again))?;
    let emit = |(output, piece, datum): (u32, Option<Arc<str>>, Datum)| {
        let kept = datum.held().keep().map_err(|reason| Failure::Store { reason })?;
        if let Some(managed) = &managed {
            let name = &step.def.outputs[output as usize].name;
            let piece = piece.as_deref().or(at.piece.as_deref());
            managed.io.put_kept(output, name, piece, &kept).map_err(Failure::Function)?;
        }
        Ok(Emitted { output, piece, what: produced(kept)? })
    };
    made.into_iter().map(emit).collect()
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
fn args(step: &Step, at: &InJob, managed: Option<&Open<'_>>) -> Result<Vec<Arg>, String> {
    let arg = |(place, decl): (usize, &InputDecl)| {
        let given = step.inputs.iter().find(|input| input.name == decl.name);
        let parts = given.map(|input| input.parts.as_slice()).unwrap_or_default();
        let kept = |parts: &[Part]| Datum::new(KeptValue(parts.to_vec()));
        let mut data: Vec<Datum> = match managed.filter(|managed| managed.io.reads(place)) {
            Some(managed) => {
                let places = managed.places(place, at.piece.as_deref(), given)?;
                places.into_iter().filter_map(|at| managed.io.read(place, at)).collect()
            }
            None => match decl.takes {
                Takes::One if !parts.is_empty() => vec![kept(parts)],
                Takes::One | Takes::Nothing => Vec::new(),
                Takes::Many => parts.iter().map(|part| kept(std::slice::from_ref(part))).collect(),
            },
        };
        Ok(match decl.takes {
            Takes::Nothing => Arg::Nothing,
            Takes::One if data.is_empty() => Arg::Nothing,
            Takes::One => Arg::One(data.swap_remove(0)),
            Takes::Many => Arg::Many(data),
        })
    };
    step.def.inputs.iter().enumerate().map(arg).collect()
}

fn produced(kept: Kept) -> Result<Produced, Failure> {
    Ok(match kept {
        Kept::Bytes { bytes, extension } => {
            Produced::Bytes { bytes, extension: extension.into_owned() }
        }
        Kept::Table(table) => {
            let encoded = value::encode(&table).map_err(Failure::Table)?;
            let rows = table.rows.len() as u64;
            Produced::Table { encoded, format: TableFormat::Csv, rows }
        }
    })
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
        partition: &ended.step.partition,
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
