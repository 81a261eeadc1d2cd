//! The functions of ops as they are carried out: arguments, checks of types, and what was emitted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::hook::{Again, Fatal, Hook};
use super::op_context::OpContext;
use super::value::BoxError;
use crate::defs::{EmissionError, Emissions, FunctionSlot, InputDecl, OutputDecl};
use crate::engine::error_text;
use crate::engine::flow::Made;
use crate::exec::{Datum, Panic, caught};

/// What an op gets at one of its inputs.
#[derive(Debug, Clone)]
pub(super) enum Arg {
    One(Datum),
    Many(Vec<Datum>),
    Nothing,
}

/// Arguments in the order of the inputs.
pub(super) type Args = std::vec::IntoIter<Arg>;

/// A function of an op with its inputs and outputs wrapped up.
pub(super) type Call =
    Box<dyn Fn(&OpContext<'_>, Args, &mut Emit<'_>) -> Result<(), StepFailure> + Send + Sync>;

/// A function that is called when a step has ended.
pub(super) type HookCall = Arc<dyn Fn(&Hook<'_>) -> Result<(), BoxError> + Send + Sync>;

/// The function of an op, and the types of the user's that are checked around it.
pub(super) struct OpBody {
    pub(super) call: Call,
    /// Of each input.
    pub(super) inputs: Vec<InputCheck>,
    /// Of each output.
    pub(super) outputs: Vec<Option<Check>>,
}

/// What is checked of an input: of its one value, or of each of its many.
#[derive(Clone, Default)]
pub(super) struct InputCheck {
    pub(super) one: Option<Check>,
    pub(super) each: Option<Check>,
}

/// A predicate with its name.
#[derive(Clone)]
pub(super) struct Check {
    pub(super) expected: Arc<str>,
    pub(super) is: Arc<dyn Fn(&Datum) -> bool + Send + Sync>,
}

/// Why a step failed: what kind of thing it was, and the sentence that a user reads.
///
/// ```
/// use giornata::api::{FailureKind, job, op};
/// let fails = op("fails").run(|_| -> Result<i64, _> { Err("no ink left".into()) });
/// let result = job("j").define(|g| { fails.call(g); }).execute_in_process()?;
/// let failure = result.failure("fails").ok_or("it fails")?;
/// assert_eq!((failure.kind, failure.text.as_str()), (FailureKind::Function, "no ink left"));
/// assert_eq!(failure.to_string(), "no ink left");
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct StepFailure {
    /// What kind of thing it was.
    pub kind: FailureKind,
    /// The sentence that a user reads.
    pub text: String,
}

/// What kind of thing made a step fail; see the example of [`StepFailure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The function gave an error.
    Function,
    /// The function panicked; the text has the place.
    Panic,
    /// An input or an output is not of its type.
    Type,
    /// An output was emitted that there is not, or twice.
    Emission,
    /// An output was not emitted that must be.
    Missing,
    /// A piece has a key that cannot be one.
    PieceKey,
    /// The function said by [`Fatal`] that there is no use in another attempt.
    Fatal,
    /// It took longer than it may.
    TimedOut,
}

impl StepFailure {
    pub(super) fn new(kind: FailureKind, text: impl Into<String>) -> StepFailure {
        StepFailure { kind, text: text.into() }
    }
}

impl From<EmissionError> for StepFailure {
    fn from(error: EmissionError) -> StepFailure {
        let kind = match &error {
            EmissionError::Missing { .. } => FailureKind::Missing,
            EmissionError::Key { .. } => FailureKind::PieceKey,
            EmissionError::Unknown { .. }
            | EmissionError::Twice { .. }
            | EmissionError::PieceTwice { .. }
            | EmissionError::NoKey { .. }
            | EmissionError::NoPieces { .. } => FailureKind::Emission,
        };
        StepFailure::new(kind, error.to_string())
    }
}

impl From<Panic> for StepFailure {
    fn from(panic: Panic) -> StepFailure {
        StepFailure::new(FailureKind::Panic, panic.to_string())
    }
}

/// How one attempt ended.
pub(super) enum Attempt {
    Success,
    Failed(StepFailure),
    /// The function asks for another attempt.
    Again(StepFailure, Again),
}

/// Collects what one attempt of an op without types emits, and judges it at once: the last parameter of its
/// function. See the example of [`raw::op`](super::raw::op()).
pub struct Emit<'a> {
    op: &'a str,
    outputs: &'a [OutputDecl],
    checks: &'a [Option<Check>],
    emissions: Emissions<'a>,
    pub(super) made: Vec<Made<Datum>>,
    /// What was wrong with an emission; the step fails whatever the function makes of it.
    refused: Option<StepFailure>,
}

impl<'a> Emit<'a> {
    fn new(op: &'a str, outputs: &'a [OutputDecl], checks: &'a [Option<Check>]) -> Emit<'a> {
        let emissions = Emissions::new(outputs);
        Emit { op, outputs, checks, emissions, made: Vec::new(), refused: None }
    }

    /// Emits by the place of the output.
    pub(super) fn push(
        &mut self,
        output: usize,
        piece: Option<&str>,
        value: Datum,
    ) -> Result<(), StepFailure> {
        let name = self.outputs[output].name.clone();
        self.emit(&name, piece, value)
    }

    /// Emits by the name of the output.
    pub(super) fn emit(
        &mut self,
        output: &str,
        piece: Option<&str>,
        value: Datum,
    ) -> Result<(), StepFailure> {
        let done = self.try_emit(output, piece, value);
        if let Err(failure) = &done
            && self.refused.is_none()
        {
            self.refused = Some(failure.clone());
        }
        done
    }

    fn try_emit(
        &mut self,
        output: &str,
        piece: Option<&str>,
        value: Datum,
    ) -> Result<(), StepFailure> {
        let place = self.emissions.push(output, piece)?;
        let wrong = self.checks.get(place).and_then(Option::as_ref).filter(|it| !(it.is)(&value));
        let failure = wrong.map(|check| {
            let (expected, got) = (&check.expected, value.held().describe());
            let op = self.op;
            let text = format!("output `{output}` of `{op}`: expected {expected}, got {got}");
            StepFailure::new(FailureKind::Type, text)
        });
        let at = u32::try_from(place).expect("outputs are few");
        self.made.push((at, piece.map(Arc::from), value));
        failure.map_or(Ok(()), Err)
    }
}

impl OpBody {
    /// Carries out one attempt: everything that the user's function can do wrong ends here.
    pub(super) fn attempt(
        &self,
        context: &OpContext<'_>,
        args: Vec<Arg>,
        inputs: &[InputDecl],
        outputs: &[OutputDecl],
    ) -> (Attempt, Vec<Made<Datum>>) {
        let mut emit = Emit::new(context.op(), outputs, &self.outputs);
        let ended = match caught(|| self.run(context, args, inputs, &mut emit)) {
            Ok(ended) => ended,
            Err(panic) => Err(panic.into()),
        };
        let attempt = match (ended, context.take_asked()) {
            (Ok(()), _) => Attempt::Success,
            (Err(failure), Some(again)) => Attempt::Again(failure, again),
            (Err(failure), None) => Attempt::Failed(failure),
        };
        (attempt, emit.made)
    }

    /// As `attempt`, for whoever catches panics and retries; gives what was emitted.
    pub(super) fn emitted(
        &self,
        context: &OpContext<'_>,
        args: Vec<Arg>,
        inputs: &[InputDecl],
        outputs: &[OutputDecl],
    ) -> Result<Vec<Made<Datum>>, (StepFailure, Option<Again>)> {
        let mut emit = Emit::new(context.op(), outputs, &self.outputs);
        match self.run(context, args, inputs, &mut emit) {
            Ok(()) => Ok(emit.made),
            Err(failure) => Err((failure, context.take_asked())),
        }
    }

    fn run(
        &self,
        context: &OpContext<'_>,
        args: Vec<Arg>,
        inputs: &[InputDecl],
        emit: &mut Emit<'_>,
    ) -> Result<(), StepFailure> {
        self.judge_inputs(context, &args, inputs)?;
        let ended = (self.call)(context, args.into_iter(), emit);
        if let Some(refused) = emit.refused.take() {
            return Err(refused);
        }
        ended?;
        emit.emissions.missing().map_or(Ok(()), |missing| Err(missing.into()))
    }

    fn judge_inputs(
        &self,
        context: &OpContext<'_>,
        args: &[Arg],
        inputs: &[InputDecl],
    ) -> Result<(), StepFailure> {
        for ((check, arg), input) in self.inputs.iter().zip(args).zip(inputs) {
            let (check, values): (_, &[Datum]) = match arg {
                Arg::One(value) => (&check.one, std::slice::from_ref(value)),
                Arg::Many(values) => (&check.each, values),
                Arg::Nothing => continue,
            };
            let Some(check) = check else { continue };
            if let Some(wrong) = values.iter().find(|value| !(check.is)(value)) {
                let (op, name) = (context.op(), &input.name);
                let (expected, got) = (&check.expected, wrong.held().describe());
                let text = format!("input `{name}` of `{op}`: expected {expected}, got {got}");
                return Err(StepFailure::new(FailureKind::Type, text));
            }
        }
        Ok(())
    }
}

/// What the error of a user's function means.
pub(super) fn failure_of(context: &OpContext<'_>, error: BoxError) -> StepFailure {
    if let Some(fatal) = error.downcast_ref::<Fatal>() {
        return StepFailure::new(FailureKind::Fatal, fatal.to_string());
    }
    if let Some(again) = error.downcast_ref::<Again>() {
        context.ask(again.clone());
    }
    if let Some(refused) = error.downcast_ref::<StepFailure>() {
        return refused.clone();
    }
    StepFailure::new(FailureKind::Function, error_text(&*error))
}

/// A place in the table of the program's functions that no other function has.
pub(super) fn next_slot() -> (u32, FunctionSlot) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let slot = NEXT.fetch_add(1, Ordering::Relaxed);
    (slot, FunctionSlot::Op(slot))
}

/// What is said of a function that took too long.
pub(super) fn timed_out(after: Duration) -> StepFailure {
    let after = humantime::format_duration(after);
    StepFailure::new(FailureKind::TimedOut, format!("timed out after {after}"))
}
