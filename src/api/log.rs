//! The log that functions write, with levels and without secrets.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::exec::{ASSET, Secrets, Told};

/// How much a line of a log matters, from little to much: `Level::Debug < Level::Error`. See the example of
/// [`Logger`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What only matters when something is wrong.
    Debug,
    /// What happens.
    Info,
    /// What somebody should look at.
    Warn,
    /// What went wrong.
    Error,
}

impl Level {
    /// `INFO` and so on, as in a log file.
    ///
    /// ```
    /// use giornata::api::Level;
    /// assert_eq!(Level::Warn.as_str(), "WARN");
    /// assert!(Level::Debug < Level::Warn);
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        }
    }
}

/// One line of the log of a run; see the example of [`Logger`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The step that wrote it, with its piece.
    pub step: String,
    /// Counted from 1.
    pub attempt: u32,
    /// How much it matters.
    pub level: Level,
    /// What was written, with `***` for secrets.
    pub text: String,
}

/// The log of one attempt of a step: an op's, or an asset's. Lines are kept with the run in the order in which
/// they were written, those of failed attempts too; a secret in them is shown as `***`. `giornata logs` shows
/// those of a run on the store.
///
/// ```
/// use giornata::api::{Level, job, op};
/// let speaks = op("speaks").run(|ctx| {
///     ctx.log().debug("the tank is checked");
///     ctx.log().info("in");
///     ctx.log().warn(format!("out of {}", "ink"));
///     ctx.log().error("a page is missing");
///     Ok(())
/// });
/// let result = job("j").define(|g| { speaks.call(g); }).execute_in_process()?;
/// let line = &result.log()[2];
/// assert_eq!((line.step.as_str(), line.level, line.text.as_str()), ("speaks", Level::Warn, "out of ink"));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug)]
pub struct Logger<'a> {
    pub(super) step: &'a str,
    pub(super) piece: Option<&'a str>,
    pub(super) attempt: u32,
    pub(super) lines: &'a Mutex<Vec<LogLine>>,
    /// What is written without them.
    pub(super) secrets: &'a Secrets,
}

impl Logger<'_> {
    /// Writes what only matters when something is wrong; see the example of [`Logger`].
    pub fn debug(&self, text: impl Into<String>) {
        self.write(Level::Debug, text.into());
    }

    /// Writes what happens; see the example of [`Logger`].
    pub fn info(&self, text: impl Into<String>) {
        self.write(Level::Info, text.into());
    }

    /// Writes what somebody should look at; see the example of [`Logger`].
    pub fn warn(&self, text: impl Into<String>) {
        self.write(Level::Warn, text.into());
    }

    /// Writes what went wrong; the step does not fail by it. See the example of [`Logger`].
    pub fn error(&self, text: impl Into<String>) {
        self.write(Level::Error, text.into());
    }

    fn write(&self, level: Level, text: String) {
        let step = match self.piece {
            Some(piece) => format!("{}[{piece}]", self.step),
            None => self.step.to_owned(),
        };
        let text = match self.secrets.mask(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked,
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(LogLine { step, attempt: self.attempt, level, text });
    }
}

/// What a function reports of its result, one object for each time.
#[derive(Debug, Default)]
pub(super) struct Reported(Mutex<Vec<Value>>);

impl Reported {
    pub(super) fn add(&self, name: &str, value: Value, asset: Option<&str>) {
        let mut line = Map::from_iter([(name.to_owned(), value)]);
        if let Some(asset) = asset {
            line.insert(ASSET.to_owned(), asset.into());
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Value::Object(line));
    }

    /// All of it as one object; what was reported last of a name stands.
    pub(super) fn joined(self) -> Map<String, Value> {
        let lines = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let objects = lines.into_iter().filter_map(|line| match line {
            Value::Object(line) => Some(line),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        });
        objects.flatten().collect()
    }
}

/// Hands on what a function said beside its result, of a step on the store.
pub(super) fn tell(told: &mut Told<'_>, lines: Mutex<Vec<LogLine>>, reported: Reported) {
    for line in lines.into_inner().unwrap_or_else(PoisonError::into_inner) {
        told.log(line.level.as_str(), &line.text);
    }
    for line in reported.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
        told.report(line);
    }
}

/// The same of several partitions that one call made.
pub(super) fn tell_lots(told: &mut Told<'_>, lines: Mutex<Vec<LogLine>>, reported: Vec<Reported>) {
    for line in lines.into_inner().unwrap_or_else(PoisonError::into_inner) {
        told.log(line.level.as_str(), &format!("{}: {}", line.step, line.text));
    }
    for (place, Reported(of)) in reported.into_iter().enumerate() {
        for line in of.into_inner().unwrap_or_else(PoisonError::into_inner) {
            told.report_of(place, line);
        }
    }
}
