//! What a function can say about its own failure, and what is called when a step has ended.

use std::fmt;
use std::time::Duration;

use super::body::StepFailure;
use crate::base::PartitionKey;

/// A failure after which no other attempt is made, whatever the policy of the op: Dagster's
/// `Failure(allow_retries=False)`.
///
/// ```
/// use giornata::api::{Fatal, FailureKind, Retries, job, op};
/// let broken = op("broken").retries(Retries::times(3)).run(|_| -> Result<i64, _> {
///     Err(Fatal::new("the file is not ours").into())
/// });
/// let result = job("j").define(|g| { broken.call(g); }).execute_in_process()?;
/// assert_eq!(result.attempts("broken"), Some(1));
/// assert_eq!(result.failure("broken").map(|failure| failure.kind), Some(FailureKind::Fatal));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal(String);

impl Fatal {
    /// The failure, with the reason that the user reads; see the example of [`Fatal`].
    pub fn new(reason: impl Into<String>) -> Fatal {
        Fatal(reason.into())
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

/// A failure after which the function asks for another attempt, though the op has no such policy: Dagster's
/// `RetryRequested`.
///
/// ```
/// use giornata::api::{Again, job, op};
/// use std::time::Duration;
/// let polls = op("polls").run(|ctx| match ctx.attempt() {
///     3 => Ok("there it is".to_owned()),
///     _ => Err(Again::new("not there yet").max(5).after(Duration::from_millis(1)).into()),
/// });
/// let result = job("j").define(|g| { polls.call(g); }).execute_in_process()?;
/// assert_eq!(result.attempts("polls"), Some(3));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Again {
    reason: String,
    pub(super) max: u32,
    pub(super) after: Option<Duration>,
}

impl Again {
    /// Asks for one more attempt, right away; `reason` is what the user reads if it is not granted. See the
    /// example of [`Again`].
    pub fn new(reason: impl Into<String>) -> Again {
        Again { reason: reason.into(), max: 1, after: None }
    }

    /// How many repetitions there may be in all; if the op's policy has more, those. See the example of
    /// [`Again`].
    #[must_use]
    pub fn max(mut self, max: u32) -> Again {
        self.max = max;
        self
    }

    /// How long to wait before, instead of what the policy says; see the example of [`Again`].
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Again {
        self.after = Some(delay);
        self
    }
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Again {}

/// What a hook is told: which step has ended, and how.
///
/// Hooks are called once for each step and piece, after its last attempt, and never for a step that was
/// skipped or blocked. A hook that fails is a warning and changes no state, as in Dagster.
///
/// ```
/// use giornata::api::{job, op};
/// use std::sync::{Arc, Mutex};
/// let told = Arc::new(Mutex::new(Vec::new()));
/// let tell = told.clone();
/// let fails = op("fails").run(|_| -> Result<i64, _> { Err("no ink left".into()) });
/// let page = job("page")
///     .on_failure(move |hook| {
///         let reason = hook.failure().map(|failure| failure.text.clone()).unwrap_or_default();
///         let line = format!("{}/{} after {}: {reason}", hook.job(), hook.step(), hook.attempts());
///         tell.lock().map_err(|_| "poisoned")?.push(line);
///         Ok(())
///     })
///     .define(|g| { fails.call(g); });
/// page.execute_in_process()?;
/// assert_eq!(*told.lock().map_err(|_| "poisoned")?, ["page/fails after 1: no ink left"]);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug)]
pub struct Hook<'a> {
    pub(super) job: &'a str,
    pub(super) step: &'a str,
    pub(super) piece: Option<&'a str>,
    pub(super) attempts: u32,
    pub(super) partition: &'a PartitionKey,
    pub(super) failure: Option<&'a StepFailure>,
}

impl Hook<'_> {
    /// The name of the job; see the example of [`Hook`].
    pub fn job(&self) -> &str {
        self.job
    }

    /// The name of the step that has ended: the names of the calls on the way to it, joined by `.`. See the
    /// example of [`Hook`].
    pub fn step(&self) -> &str {
        self.step
    }

    /// The key of the piece for which it ran; `None` of a step that is not mapped over pieces.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// use std::sync::{Arc, Mutex};
    /// let told = Arc::new(Mutex::new(Vec::new()));
    /// let tell = told.clone();
    /// let load = op("load").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1)]));
    /// let double = op("double")
    ///     .input::<i64>("n")
    ///     .on_success(move |hook| {
    ///         tell.lock().map_err(|_| "poisoned")?.push(hook.piece().map(str::to_owned));
    ///         Ok(())
    ///     })
    ///     .run(|_, n| Ok(2 * n));
    /// job("j").define(|g| { load.call(g).map(|n| double.call(g, n)); }).execute_in_process()?;
    /// assert_eq!(*told.lock().map_err(|_| "poisoned")?, [Some("a".to_owned())]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn piece(&self) -> Option<&str> {
        self.piece
    }

    /// The partition of the run; the empty key of a job without partitions.
    ///
    /// ```
    /// use giornata::api::{Launch, Partitions, job, op};
    /// use std::sync::{Arc, Mutex};
    /// let told = Arc::new(Mutex::new(Vec::new()));
    /// let tell = told.clone();
    /// let count = op("count").run(|_| Ok(1_i64));
    /// let days = job("days")
    ///     .partitions(Partitions::daily("2014-07-01"))
    ///     .on_success(move |hook| {
    ///         tell.lock().map_err(|_| "poisoned")?.push(hook.partition().to_string());
    ///         Ok(())
    ///     })
    ///     .define(|g| { count.call(g); });
    /// days.execute(&Launch::new().partition("2014-07-04"))?;
    /// assert_eq!(*told.lock().map_err(|_| "poisoned")?, ["2014-07-04"]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn partition(&self) -> &PartitionKey {
        self.partition
    }

    /// How many attempts there were, at least 1; see the example of [`Hook`].
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Why it failed; `None` in a hook on success. See the example of [`Hook`].
    pub fn failure(&self) -> Option<&StepFailure> {
        self.failure
    }
}
