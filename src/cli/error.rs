//! What ends a command: whose fault it is, what happened, what to do.

use std::error::Error;
use std::ops::Range;

use crate::defs::SelectionError;
use crate::defs::partition::PartitionTextError;
use crate::{api, engine, load};

/// An error that ends a command.
#[derive(Debug)]
pub struct CliError {
    pub kind: Kind,
    pub error: Box<dyn Error + Send + Sync>,
    pub hints: Vec<String>,
    /// The argument that is wrong, to be shown with the place in it.
    pub excerpt: Option<Excerpt>,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The arguments or the project.
    User,
    /// Something was tried and failed.
    Failed,
    /// The store, the disk, or a mistake of ours.
    Internal,
}

/// A place in a text that the user typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub text: String,
    pub span: Range<usize>,
    pub label: String,
}

impl Kind {
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::User | Kind::Internal => 2,
            Kind::Failed => 1,
        }
    }
}

impl CliError {
    pub fn new(kind: Kind, error: impl Into<Box<dyn Error + Send + Sync>>) -> CliError {
        CliError { kind, error: error.into(), hints: Vec::new(), excerpt: None }
    }

    pub fn user(error: impl Into<Box<dyn Error + Send + Sync>>) -> CliError {
        CliError::new(Kind::User, error)
    }

    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> CliError {
        CliError::new(Kind::Internal, error)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hints.push(hint.into());
        self
    }

    pub(super) fn selection(error: SelectionError, text: &str) -> CliError {
        let excerpt =
            Excerpt { text: text.to_owned(), span: error.span.clone(), label: error.label.clone() };
        let hints = error.help.iter().cloned().collect();
        CliError { kind: Kind::User, error: Box::new(error), hints, excerpt: Some(excerpt) }
    }

    /// `text` is the whole argument, in which the expression begins at `offset`.
    pub(super) fn partition(error: &PartitionTextError, text: &str, offset: usize) -> CliError {
        let span = error.at.start + offset..error.at.end + offset;
        let excerpt = Excerpt { text: text.to_owned(), span, label: String::new() };
        let hints = error.help.iter().cloned().collect();
        let message = error.message.clone();
        CliError { kind: Kind::User, error: message.into(), hints, excerpt: Some(excerpt) }
    }

    /// The message with those of its causes.
    pub(super) fn message(&self) -> String {
        let mut message = self.error.to_string();
        let mut source = self.error.source();
        while let Some(error) = source {
            message += &format!(": {error}");
            source = error.source();
        }
        message
    }
}

impl From<load::Error> for CliError {
    fn from(error: load::Error) -> CliError {
        CliError::user(error)
    }
}

impl From<api::Error> for CliError {
    fn from(error: api::Error) -> CliError {
        CliError::user(error)
    }
}

impl From<engine::Error> for CliError {
    fn from(error: engine::Error) -> CliError {
        CliError::new(kind(&error), error)
    }
}

fn kind(error: &engine::Error) -> Kind {
    match error {
        engine::Error::Source { .. }
        | engine::Error::Unreadable { .. }
        | engine::Error::NoResult { .. }
        | engine::Error::Lost { .. }
        | engine::Error::NoContent { .. }
        | engine::Error::UnknownConfig { .. }
        | engine::Error::Refused { .. }
        | engine::Error::Report { .. }
        | engine::Error::NothingReported { .. }
        | engine::Error::Keys { .. }
        | engine::Error::Domain { .. }
        | engine::Error::NotMade { .. }
        | engine::Error::UnknownJob { .. }
        | engine::Error::JobOfAssets { .. }
        | engine::Error::Ops { .. }
        | engine::Error::OpFiles { .. }
        | engine::Error::Launch { .. }
        | engine::Error::UnknownBackfill { .. }
        | engine::Error::BackfillRenumbered { .. }
        | engine::Error::JobRenumbered { .. }
        | engine::Error::BackfillState { .. }
        | engine::Error::NothingFailed { .. }
        | engine::Error::Resources { .. }
        | engine::Error::Manager { .. }
        | engine::Error::UnknownRun { .. }
        | engine::Error::UnknownAsset { .. } => Kind::User,
        engine::Error::Io { .. }
        | engine::Error::Write { .. }
        | engine::Error::UnknownUse { .. }
        | engine::Error::UnreadableBackfill { .. }
        | engine::Error::Remove { .. }
        | engine::Error::Look { .. }
        | engine::Error::Store(_)
        | engine::Error::Cas(_)
        | engine::Error::Restless
        | engine::Error::WorkerDied
        | engine::Error::Executable { .. }
        | engine::Error::ReadOnly => Kind::Internal,
    }
}
