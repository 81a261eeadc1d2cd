//! What is wrong with a project's files: where, why, and what to do.
//!
//! A diagnostic holds facts only; how it is drawn on a terminal is decided elsewhere.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::base::{AssetKey, JobName, similar};

/// Something wrong (or doubtful) in a definition file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Relative to the project's root.
    pub file: PathBuf,
    /// The whole text of the file, for excerpts; empty where it is not text.
    pub text: Arc<str>,
    /// Bytes of `text`.
    pub span: Range<usize>,
    /// What is wrong, as one sentence.
    pub message: String,
    /// What stands at `span`; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Further places of the same file with what stands there.
    pub related: Vec<(Range<usize>, String)>,
    /// Assets and sources that cannot be used because of this.
    pub disables: Vec<AssetKey>,
    /// Jobs that cannot be run because of this.
    pub stops: Vec<JobName>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What it is about cannot be used.
    Error,
    /// Everything can be used, but something is probably not as intended.
    Warning,
}

impl Diagnostic {
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Line and column of the start of the span, counted from 1; the column in characters.
    pub fn position(&self) -> (u32, u32) {
        position(&self.text, self.span.start)
    }
}

/// Line and column of a byte offset, counted from 1.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
    let column = 1 + String::from_utf8_lossy(&before[line_start..]).chars().count();
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// A definition file as it was read.
#[derive(Debug)]
pub(super) struct SourceText {
    /// Relative to the project's root.
    pub path: PathBuf,
    pub text: Arc<str>,
    /// Where each line begins. Each asset asks for its line, so that counting anew for each would
    /// cost the square of a large file.
    line_starts: OnceLock<Vec<usize>>,
}

impl SourceText {
    pub fn new(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Arc<SourceText> {
        let (path, text) = (path.into(), text.into());
        Arc::new(SourceText { path, text, line_starts: OnceLock::new() })
    }

    /// The line of a byte offset, counted from 1.
    pub fn line(&self, offset: usize) -> u32 {
        let starts = self.line_starts.get_or_init(|| {
            let breaks = self.text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
            breaks.map(|(at, _)| at + 1).collect()
        });
        let before = starts.partition_point(|start| *start <= offset);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }
}

/// A place in a definition file. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub file: Arc<SourceText>,
    pub span: Range<usize>,
}

impl Place {
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.diagnostic(Severity::Error, message.into())
    }

    pub fn warning(&self, message: impl Into<String>) -> Diagnostic {
        self.diagnostic(Severity::Warning, message.into())
    }

    pub fn line(&self) -> u32 {
        self.file.line(self.span.start)
    }

    pub fn path(&self) -> &Path {
        &self.file.path
    }

    fn diagnostic(&self, severity: Severity, message: String) -> Diagnostic {
        Diagnostic {
            severity,
            file: self.file.path.clone(),
            text: Arc::clone(&self.file.text),
            span: clamp(&self.file.text, self.span.clone()),
            message,
            label: String::new(),
            help: None,
            related: Vec::new(),
            disables: Vec::new(),
            stops: Vec::new(),
        }
    }
}

/// Moves both ends of a span onto characters of the text, so that an excerpt can be cut out, and
/// leaves out white space at its end.
fn clamp(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end).max(start);
    // A block of YAML ends with the line breaks behind it.
    start..start + text[start..end].trim_end().len()
}

impl Diagnostic {
    pub(super) fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    pub(super) fn help_if(mut self, help: Option<String>) -> Diagnostic {
        self.help = help.or(self.help);
        self
    }

    pub(super) fn related(mut self, span: Range<usize>, text: impl Into<String>) -> Diagnostic {
        let span = clamp(&self.text, span);
        self.related.push((span, text.into()));
        self
    }
}

/// The help that names a similar word, if there is one.
pub(super) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    similar(name, known).map(|candidate| format!("did you mean `{candidate}`?"))
}
