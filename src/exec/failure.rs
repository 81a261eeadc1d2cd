//! Why a step failed, each reason in one sentence.

use std::path::PathBuf;
use std::time::Duration;

use super::Panic;
use crate::defs::EmissionError;

/// The reason for which an execution failed; its text is the sentence that the user reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("exit status {status}")]
    Exit { status: i32 },
    #[error("killed by signal {signal}")]
    Signal { signal: i32 },
    #[error("timed out after {}", humantime::format_duration(*.after))]
    TimedOut { after: Duration },
    #[error("cancelled")]
    Cancelled,
    /// No failure yet: it runs again when what it asked for is there.
    #[error("asked for what it was not given")]
    Asks,
    #[error("wrote no output at ${variable}")]
    NoOutput { variable: String },
    #[error("left {found} at ${variable}, which must be {expected}")]
    WrongOutput { variable: String, found: &'static str, expected: &'static str },
    #[error("cannot start `{program}`: {reason}")]
    Spawn { program: String, reason: String },
    /// `file` is relative to the root; line and column count from 1.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Sql { file: PathBuf, line: u32, column: u32, message: String },
    #[error("check failed: `{check}` ({found})")]
    Check { check: String, found: String },
    #[error("`{}` changed while it was read; run again", path.display())]
    InputChanged { path: PathBuf },
    #[error("cannot read input `{name}`: {reason}")]
    Input { name: String, reason: String },
    /// It was made, but cannot be kept.
    #[error("cannot store the result: {reason}")]
    Store { reason: String },
    /// The result cannot be written in its format.
    #[error("cannot store the result: {0}")]
    Table(crate::io::Error),
    #[error("cannot {verb} `{}`: {reason}", path.display())]
    Io { verb: &'static str, path: PathBuf, reason: String },
    /// An output was emitted that there is not, or not as it is declared, or not at all.
    #[error(transparent)]
    Emission(#[from] EmissionError),
    /// A value is not of its type; `side` is `input` or `output`.
    #[error("{side} `{name}` of `{step}`: expected {expected}, got {got}")]
    Type { side: &'static str, name: String, step: String, expected: String, got: String },
    /// A function of the user's program was given or gave what its declaration does not allow.
    #[error("{text}")]
    Refused { what: Refused, text: String },
    /// A function of the user's program panicked.
    #[error(transparent)]
    Panic(#[from] Panic),
    /// A function of the user's program said that there is no use in another attempt.
    #[error("{0}")]
    Fatal(String),
    /// A function of the user's program asks for another attempt.
    #[error("{reason}")]
    Again { reason: String, max: u32, after: Option<Duration> },
    /// What a function of the user's program said.
    #[error("{0}")]
    Function(String),
    /// The declaration asks for what this kind of step cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// One of the steps failed that make it together.
    #[error("`{step}`: {failure}")]
    Within { step: String, failure: Box<Failure> },
    /// What another failure said, without the secrets that were in it.
    #[error("{text}")]
    Masked { text: String, is_transient: bool },
}

/// What a function of the user's program did not keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The type of an input or an output.
    Type,
    /// An output is given once, and is one that is declared.
    Emission,
    /// What must be given is given.
    Missing,
    /// The form of the key of a piece.
    PieceKey,
}

impl Failure {
    /// Whether the same step may well succeed later with the same inputs: such a failure is not
    /// remembered as the result of its key.
    pub fn is_transient(&self) -> bool {
        match self {
            // sysexits.h calls 75 a temporary failure; a shell reports a child killed by signal 9,
            // as the kernel does when memory runs out, as 137.
            Failure::Exit { status } => matches!(status, 75 | 137),
            Failure::Signal { signal } => *signal == 9,
            Failure::Masked { is_transient, .. } => *is_transient,
            Failure::Within { failure, .. } => failure.is_transient(),
            Failure::TimedOut { .. }
            | Failure::Cancelled
            | Failure::Asks
            | Failure::InputChanged { .. }
            | Failure::Store { .. }
            | Failure::Again { .. }
            | Failure::Io { .. } => true,
            Failure::NoOutput { .. }
            | Failure::WrongOutput { .. }
            | Failure::Spawn { .. }
            | Failure::Sql { .. }
            | Failure::Check { .. }
            | Failure::Input { .. }
            | Failure::Table(_)
            | Failure::Emission(_)
            | Failure::Type { .. }
            | Failure::Refused { .. }
            | Failure::Panic(_)
            | Failure::Fatal(_)
            | Failure::Function(_)
            | Failure::Unsupported(_) => false,
        }
    }

    /// The exit status of a command that ended by itself.
    pub fn status(&self) -> Option<i32> {
        if let Failure::Exit { status } = self { Some(*status) } else { None }
    }

    /// Whether the retries of the step's policy apply: not where a repetition must give the same.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Failure::Cancelled
            | Failure::Asks
            | Failure::InputChanged { .. }
            | Failure::Store { .. }
            | Failure::Sql { .. }
            | Failure::Table(_)
            | Failure::Emission(_)
            | Failure::Type { .. }
            | Failure::Refused { .. }
            | Failure::Fatal(_)
            | Failure::Masked { .. }
            | Failure::Within { .. }
            | Failure::Unsupported(_) => false,
            Failure::Exit { .. }
            | Failure::Signal { .. }
            | Failure::TimedOut { .. }
            | Failure::NoOutput { .. }
            | Failure::WrongOutput { .. }
            | Failure::Spawn { .. }
            | Failure::Check { .. }
            | Failure::Input { .. }
            | Failure::Io { .. }
            | Failure::Panic(_)
            | Failure::Again { .. }
            | Failure::Function(_) => true,
        }
    }
}
