//! Jobs of a project: run on its store, recorded, and retried.

use std::collections::BTreeMap;
use std::panic::Location;

use super::error::Error;
use super::job::Job;
use super::job_partition::OfPart;
use super::launch::Launch;
use super::project::{Project, origin};
use crate::base::{JobName, RunId};
use crate::defs::Selection;
use crate::engine::{self, Engine, JobEvent, JobSummary, RunOptions};
use crate::exec::Control;

/// Jobs.
impl Project {
    /// Takes a job into the project: [`run`](Project::run) runs it on the store, and so does the command
    /// line. A second job of the same name is told when the project is first used
    /// ([`Error::JobTwice`]).
    ///
    /// ```
    /// use giornata::api::{Launch, Project, job, op};
    /// # let dir = tempfile::tempdir()?;
    /// let hello = op("hello").run(|_| Ok("hello".to_owned()));
    /// let mut project = Project::new("greetings", dir.path());
    /// project.job(job("greeting").define(|g| { hello.call(g); }));
    /// assert_eq!(project.run("greeting", &Launch::new())?.ran, ["hello"]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    #[track_caller]
    pub fn job(&mut self, job: Job) -> &mut Project {
        self.declare_job(job, origin(Location::caller()));
        self
    }

    /// Runs a job on the store: every step is recorded, and what steps hand to each other is kept until the
    /// run has succeeded. That steps fail is no error: the report tells, and a
    /// [`retry`](Launch::retry) runs the rest. Errors are what is found before any step starts: no job of this
    /// name, mistakes of declarations, values that do not fit ([`Error::Config`]), resources that cannot be
    /// set up; and what keeps the store from recording.
    ///
    /// ```
    /// use giornata::api::{Launch, Project, job, op};
    /// # let dir = tempfile::tempdir()?;
    /// let mut project = Project::new("numbers", dir.path());
    /// let one = op("one").version("1").run(|_| Ok(1_i64));
    /// let flag = dir.path().join("go");
    /// let add = op("add").version("1").input::<i64>("n").run(move |_, n| match flag.exists() {
    ///     true => Ok(n + 1),
    ///     false => Err("not yet".into()),
    /// });
    /// project.job(job("sum").define(|g| { let n = one.call(g); add.call(g, n); }));
    /// let first = project.run("sum", &Launch::new())?;
    /// assert_eq!((first.failed[0].step.as_str(), first.failed[0].reason.as_str()), ("add", "not yet"));
    /// std::fs::write(dir.path().join("go"), "")?;
    /// let second = project.run("sum", &Launch::new().retry(first.summary.run))?;
    /// assert!(second.is_success());
    /// assert_eq!((second.ran, second.reused), (vec!["add".to_owned()], vec!["one".to_owned()]));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn run(&mut self, job: &str, launch: &Launch) -> Result<JobReport, Error> {
        let engine = self.engine()?;
        let mut report = JobReport::new();
        let launched = launched(engine, job, launch, &mut report)?;
        let options = RunOptions { command: format!("run {job}"), ..RunOptions::default() };
        let hear = &mut |_: &Engine, event| report.hear(event);
        let summary = engine.run_job(&launched, &options, &Control::new(), hear)?;
        report.summary = summary;
        Ok(report)
    }
}

fn launched(
    engine: &mut Engine,
    job: &str,
    launch: &Launch,
    report: &mut JobReport,
) -> Result<engine::Launch, Error> {
    let jobs = &engine.project().jobs;
    let Some(def) = jobs.values().find(|known| known.name.as_str() == job).cloned() else {
        let names = jobs.keys().map(JobName::as_str);
        let similar = crate::base::similar::similar(job, names).map(str::to_owned);
        return Err(engine::Error::UnknownJob { job: job.to_owned(), similar }.into());
    };
    launch.refuse_on_store(job)?;
    let ops = launch.selection().map(Selection::parse).transpose();
    let (OfPart { job: def, .. }, warnings) = OfPart::on_store(engine, &def, launch.part())?;
    report.warnings.extend(warnings);
    Ok(engine::Launch {
        job: def.name.clone(),
        partition: launch.part().cloned(),
        config: launch.configure(&def, &|name| engine.variable(name))?,
        ops: ops.map_err(|error| launch.no_ops(job, error))?,
        retry_of: launch.retry_of(),
        request: None,
        tags: BTreeMap::new(),
        backfill: None,
    })
}

/// How a run of a job on the store went. Steps are named as in [`JobResult`](super::JobResult).
///
/// ```
/// use giornata::api::{Launch, Project, job, op};
/// # let dir = tempfile::tempdir()?;
/// let pick = op("pick").optional::<i64>("left").optional::<i64>("right").run(|_| Ok((Some(1), None)));
/// let left = op("left").input::<i64>("n").run(|_, n| Ok(n));
/// let right = op("right").input::<i64>("n").run(|_, n| Ok(n));
/// let mut project = Project::new("branching", dir.path());
/// project.job(job("branching").define(|g| {
///     let (l, r) = pick.call(g);
///     left.call(g, l);
///     right.call(g, r);
/// }));
/// let report = project.run("branching", &Launch::new())?;
/// assert_eq!((report.ran, report.skipped), (vec!["pick".into(), "left".into()], vec!["right".into()]));
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobReport {
    /// The id of the run, and how many steps ended how.
    pub summary: JobSummary,
    /// Ran and succeeded, in the order in which they were recorded.
    pub ran: Vec<String>,
    /// Taken from the run that was retried, or from any run where the op says `memo`.
    pub reused: Vec<String>,
    /// Had nothing to read, because an optional output was not given.
    pub skipped: Vec<String>,
    /// Failed after their last attempt.
    pub failed: Vec<FailedOp>,
    /// What should be looked at, though nothing failed by it.
    pub warnings: Vec<String>,
}

/// A step that failed; see the example of [`Project::run`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedOp {
    /// The name of the step, with its piece.
    pub step: String,
    /// How many attempts there were, at least 1.
    pub attempts: u32,
    /// What the function said, or why its value could not be kept.
    pub reason: String,
}

impl JobReport {
    fn new() -> JobReport {
        JobReport {
            summary: JobSummary::new(RunId(0)),
            ran: Vec::new(),
            reused: Vec::new(),
            skipped: Vec::new(),
            failed: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Whether no step failed; that some were skipped is no failure. See the example of [`Project::run`].
    pub fn is_success(&self) -> bool {
        self.summary.is_success()
    }

    fn hear(&mut self, event: JobEvent) {
        match event {
            JobEvent::StepSucceeded { step, .. } => self.ran.push(step),
            JobEvent::StepReused { step, .. } => self.reused.push(step),
            JobEvent::StepSkipped { step } => self.skipped.push(step),
            JobEvent::StepFailed { step, attempts, reason, .. } => {
                self.failed.push(FailedOp { step, attempts, reason });
            }
            JobEvent::HookFailed { step, reason } => {
                self.warnings.push(format!("a hook of `{step}` failed: {reason}"));
            }
            JobEvent::Warning { message } => self.warnings.push(message),
            JobEvent::Started { .. }
            | JobEvent::StepStarted { .. }
            | JobEvent::StepBlocked { .. }
            | JobEvent::Finished { .. } => {}
        }
    }
}
