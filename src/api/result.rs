//! How a run of a job in this process ended: states, values, failures and the log.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use super::body::StepFailure;
use super::datum::{Data, load};
use super::error::Error;
use super::handle::Parts;
use super::log::LogLine;
use crate::base::PartitionKey;
use crate::defs::{self, OutputDecl};
use crate::engine::flow::{InstanceId, Progress, StepState};
use crate::exec::Datum;

/// What a run of a job in this process did: Dagster's `ExecuteInProcessResult`. Steps are named by the calls
/// on the way to them, joined by `.`, with the piece in brackets: `inner.add_one_2`, `compute[p1]`.
///
/// ```
/// use giornata::api::{StepState, job, op};
/// let one = op("one").run(|_| Ok(1_i64));
/// let fails = op("fails").run(|_| -> Result<i64, _> { Err("no ink left".into()) });
/// let add = op("add").input::<i64>("a").input::<i64>("b").run(|_, a, b| Ok(a + b));
/// let result = job("j").define(|g| {
///     let (a, b) = (one.call(g), fails.call(g));
///     add.call(g, a, b);
/// }).execute_in_process()?;
/// assert!(!result.is_success());
/// assert_eq!(result.value::<i64>("one")?, 1);
/// assert_eq!(result.failure("fails").map(|failure| failure.text.as_str()), Some("no ink left"));
/// assert_eq!((result.attempts("fails"), result.attempts("add")), (Some(1), None));
/// assert_eq!(result.state("add"), Some(StepState::Blocked));
/// let states: Vec<(String, StepState)> = result.steps().collect();
/// assert_eq!(states, [
///     ("one".to_owned(), StepState::Success),
///     ("fails".to_owned(), StepState::Failed),
///     ("add".to_owned(), StepState::Blocked),
/// ]);
/// # Ok::<(), giornata::api::BoxError>(())
/// ```
pub struct JobResult {
    job: String,
    chosen: BTreeSet<u32>,
    progress: Progress<Datum>,
    /// In the order in which they ended.
    ran: Vec<InstanceId>,
    reports: BTreeMap<InstanceId, StepReport>,
    names: HashMap<String, InstanceId>,
    log: Vec<LogLine>,
    warnings: Vec<String>,
}

/// What is noted of a step that ran.
pub(super) struct StepReport {
    pub(super) attempts: u32,
    pub(super) failure: Option<StepFailure>,
    /// In the order of emission.
    pub(super) emitted: Vec<(u32, Option<Arc<str>>)>,
    /// Of the last attempt.
    pub(super) reported: serde_json::Map<String, serde_json::Value>,
}

impl JobResult {
    pub(super) fn warn(&mut self, warnings: Vec<String>) {
        self.warnings.extend(warnings);
    }

    pub(super) fn new(
        job: &defs::Job,
        chosen: &BTreeSet<u32>,
        progress: Progress<Datum>,
        reports: Vec<(InstanceId, StepReport)>,
        log: Vec<LogLine>,
        warnings: Vec<String>,
    ) -> JobResult {
        let ids = progress.instances().filter(|id| chosen.contains(&progress.step(*id)));
        let names = ids.map(|id| (progress.name(id), id)).collect();
        JobResult {
            job: job.name.to_string(),
            chosen: chosen.clone(),
            ran: reports.iter().map(|(id, _)| *id).collect(),
            reports: reports.into_iter().collect(),
            names,
            log,
            warnings,
            progress,
        }
    }

    /// Whether no step failed; that some were skipped is no failure. See the example of [`JobResult`].
    pub fn is_success(&self) -> bool {
        self.reports.values().all(|report| report.failure.is_none())
    }

    /// The steps that were chosen, with their states; those of one op for its pieces follow each other. See the
    /// example of [`JobResult`].
    pub fn steps(&self) -> impl Iterator<Item = (String, StepState)> {
        let ids = self.progress.instances();
        let chosen = ids.filter(|id| self.chosen.contains(&self.progress.step(*id)));
        chosen.map(|id| (self.progress.name(id), self.progress.state(id)))
    }

    /// The steps that ran, in the order in which they ended.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let one = op("one").run(|_| Ok(1_i64));
    /// let add = op("add").input::<i64>("n").run(|_, n| Ok(n + 1));
    /// let j = job("j").define(|g| { let n = one.call(g); add.call(g, n); });
    /// assert_eq!(j.execute_in_process()?.ran(), ["one", "add"]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn ran(&self) -> Vec<String> {
        self.ran.iter().map(|id| self.progress.name(*id)).collect()
    }

    /// The state of a step; `None` if there is none of this name or it was not chosen. See the example of
    /// [`JobResult`].
    pub fn state(&self, step: &str) -> Option<StepState> {
        self.names.get(step).map(|id| self.progress.state(*id))
    }

    /// How many attempts a step took; `None` if it did not run. See the example of [`JobResult`].
    pub fn attempts(&self, step: &str) -> Option<u32> {
        self.report(step).map(|report| report.attempts)
    }

    /// Why a step failed; `None` if it did not. See the example of [`JobResult`].
    pub fn failure(&self, step: &str) -> Option<&StepFailure> {
        self.report(step)?.failure.as_ref()
    }

    /// What a step emitted, in its order, even if it failed then: names of outputs, those of pieces as
    /// `result[p1]`. Nothing if it did not run, or if there is none of this name.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let load = op("load").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1)]));
    /// let result = job("j").define(|g| { load.call(g); }).execute_in_process()?;
    /// assert_eq!(result.emitted("load"), ["result[a]"]);
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn emitted(&self, step: &str) -> Vec<String> {
        let Some((id, report)) = self.names.get(step).zip(self.report(step)) else {
            return Vec::new();
        };
        let outputs = &self.progress.declared(*id).op.outputs;
        let name = |(output, piece): &(u32, Option<Arc<str>>)| {
            let name = &outputs[*output as usize].name;
            match piece {
                Some(piece) => format!("{name}[{piece}]"),
                None => name.to_string(),
            }
        };
        report.emitted.iter().map(name).collect()
    }

    /// The value of a step at its output `result`, as a `T`: of the type that the op gives, or of another one that
    /// reads the bytes as which it would be kept. Fails ([`Error::NoValue`]) if there is no such step, if it did
    /// not succeed, if it has pieces there, or if the value is no `T`. See the example of [`JobResult`].
    pub fn value<T: Data>(&self, step: &str) -> Result<T, Error> {
        self.output(step, OutputDecl::RESULT)
    }

    /// The value of a step at an output that it names; fails as [`value`](JobResult::value) does.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let pick = op("pick").optional::<i64>("left").optional::<i64>("right").run(|_| Ok((Some(1), None)));
    /// let result = job("j").define(|g| { pick.call(g); }).execute_in_process()?;
    /// assert_eq!(result.output::<i64>("pick", "left")?, 1);
    /// let error = result.output::<i64>("pick", "right").unwrap_err().to_string();
    /// assert_eq!(error, "`pick` of the job `j` has no value at `right`: it was not emitted");
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn output<T: Data>(&self, step: &str, output: &str) -> Result<T, Error> {
        let found = self.made(step, output);
        let wrong = |reason: String| self.no_value(step, output, reason);
        match found.map_err(wrong)?.as_slice() {
            [(None, datum)] => load(datum).map_err(|error| wrong(error.to_string())),
            [] => Err(wrong("it was not emitted".to_owned())),
            [..] => Err(wrong("it is pieces; ask for `pieces`".to_owned())),
        }
    }

    /// The pieces of a step at its output `result`; of a step that is mapped over pieces, what each of
    /// its instances gave; those that did not succeed are left out. Fails as [`value`](JobResult::value)
    /// does.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let load = op("load").pieces::<i64>().run(|_| Ok(vec![("a".to_owned(), 1), ("b".to_owned(), 2)]));
    /// let double = op("double").input::<i64>("n").run(|_, n| Ok(2 * n));
    /// let result = job("j").define(|g| {
    ///     load.call(g).map(|n| double.call(g, n));
    /// }).execute_in_process()?;
    /// assert_eq!(result.pieces::<i64>("load")?.get("b"), Some(&2));
    /// assert_eq!(result.pieces::<i64>("double")?.get("b"), Some(&4));
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn pieces<T: Data>(&self, step: &str) -> Result<Parts<T>, Error> {
        let output = OutputDecl::RESULT;
        let wrong = |reason: String| self.no_value(step, output, reason);
        let read = |key: &str, datum: &Datum| match load(datum) {
            Ok(value) => Ok((PartitionKey::new(key), value)),
            Err(error) => Err(wrong(error.to_string())),
        };
        if self.names.contains_key(step) {
            let made = self.made(step, output).map_err(wrong)?;
            return made.into_iter().map(|(key, datum)| read(key.unwrap_or(""), datum)).collect();
        }
        let flow = self.progress.flow();
        let Some(place) = flow.steps.iter().position(|declared| *declared.path == *step) else {
            return Err(wrong("there is no such step".to_owned()));
        };
        let place = u32::try_from(place).expect("it is the place of a step");
        let mut pieces = Vec::new();
        for id in self.progress.instances_of(place) {
            if self.progress.state(id) != StepState::Success {
                continue;
            }
            let key = self.progress.piece(id).unwrap_or_default();
            let made = self.made(&self.progress.name(id), output).map_err(wrong)?;
            for (_, datum) in made {
                pieces.push(read(key, datum)?);
            }
        }
        Ok(pieces.into_iter().collect())
    }

    /// What the steps wrote, line after line; see the example of [`Logger`](super::Logger).
    pub fn log(&self) -> &[LogLine] {
        &self.log
    }

    /// What a step reported under a name; `None` if it did not, or did not run. See the example of
    /// [`OpContext::report`](super::OpContext::report).
    pub fn reported(&self, step: &str, name: &str) -> Option<&serde_json::Value> {
        self.report(step)?.reported.get(name)
    }

    /// What should be looked at, though nothing failed by it: hooks that did, and resources that could not be
    /// torn down.
    ///
    /// ```
    /// use giornata::api::{job, op};
    /// let one = op("one").on_success(|_| Err("the pager is off".into())).run(|_| Ok(1_i64));
    /// let result = job("j").define(|g| { one.call(g); }).execute_in_process()?;
    /// assert!(result.is_success());
    /// assert!(result.warnings()[0].contains("the pager is off"), "{:?}", result.warnings());
    /// # Ok::<(), giornata::api::BoxError>(())
    /// ```
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn report(&self, step: &str) -> Option<&StepReport> {
        self.names.get(step).and_then(|id| self.reports.get(id))
    }

    fn made(&self, step: &str, output: &str) -> Result<Vec<(Option<&str>, &Datum)>, String> {
        let id = *self.names.get(step).ok_or("there is no such step")?;
        let outputs = &self.progress.declared(id).op.outputs;
        let place = outputs.iter().position(|decl| *decl.name == *output);
        let place = place.ok_or("there is no such output")?;
        let place = u32::try_from(place).expect("outputs are few");
        match self.progress.state(id) {
            StepState::Success => Ok(self.progress.made(id, place)),
            state => Err(format!("the step is {state}")),
        }
    }

    fn no_value(&self, step: &str, output: &str, reason: String) -> Error {
        let (job, step, output) = (self.job.clone(), step.to_owned(), output.to_owned());
        Error::NoValue { job, step, output, reason }
    }
}

impl fmt::Debug for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.steps()).finish()
    }
}
