//! What happened: runs, what became of their partitions, attempts with their logs. Nothing of it decides what is
//! fresh.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::Error;
use super::open::Engine;
use crate::base::{AssetKey, PartitionIdx, PartitionKey, PartitionSet, RunId};
use crate::defs::Domain;
use crate::store::{
    Attempt, Fate, Fates, OpState, OpStep, Outcome, Run, RunQuery, RunState, Store, Wish,
};

/// How many steps that failed are told of, and of how many steps in all a report lists each.
const LISTED_MAX: u64 = 20;

/// What is known of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    pub run: Run,
    pub targets: Vec<(AssetKey, PartitionSet)>,
    /// Of a run of assets.
    pub fates: Fates,
    /// The first partitions that failed, with how.
    pub failures: Vec<Attempt>,
    /// What was attempted, in order; empty where that is more than was asked for.
    pub attempts: Vec<Attempt>,
    /// Of a run of a job of ops.
    pub steps: Vec<OpStep>,
    /// Runs that retry this one.
    pub retries: Vec<RunId>,
}

/// How much of a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempts {
    /// Each, if there are few.
    IfFew,
    All,
}

/// The log of one step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLog {
    /// `asset@partition`, or the name of a step of a job.
    pub name: String,
    /// Absolute. A step that runs may not have written anything yet.
    pub path: PathBuf,
    /// The step has ended, so that no more comes.
    pub is_over: bool,
}

impl Engine {
    /// Runs, the newest first. One that goes on by the records, and whose process has died, is told as
    /// interrupted.
    pub fn runs(&self, query: &RunQuery<'_>) -> Result<Vec<Run>, Error> {
        let runs = self.ledger.ask(|store| store.runs(query))?;
        runs.into_iter().map(|run| self.as_it_is(run)).collect()
    }

    /// One run, as [`Engine::runs`] tells it.
    pub fn run(&self, id: RunId) -> Result<Run, Error> {
        match self.ledger.ask(|store| store.run(id))? {
            Some(run) => self.as_it_is(run),
            None => {
                let last = RunQuery { limit: Some(1), ..RunQuery::default() };
                let last = self.ledger.ask(|store| store.runs(&last))?;
                Err(Error::UnknownRun { run: id, last: last.first().map(|run| run.id) })
            }
        }
    }

    fn as_it_is(&self, run: Run) -> Result<Run, Error> {
        let is_dead =
            run.state == RunState::Running && !self.ledger.ask(|store| store.is_alive(&run.owner));
        Ok(if is_dead { Run { state: RunState::Interrupted, ..run } } else { run })
    }

    /// What is known of a run.
    pub fn run_report(&self, id: RunId, attempts: Attempts) -> Result<RunReport, Error> {
        let run = self.run(id)?;
        self.ledger.ask(|store| {
            store.read(|store| {
                let fates = store.fates(id)?;
                let attempted = |(_, fate): &(AssetKey, Fate)| {
                    matches!(fate, Fate::Success | Fate::Failed | Fate::Interrupted)
                };
                let tried = fates.iter().filter(|(key, _)| attempted(key));
                let tried: u64 = tried.map(|(_, parts)| parts.len()).sum();
                let listed = match attempts {
                    Attempts::All => true,
                    Attempts::IfFew => tried <= LISTED_MAX,
                };
                Ok(RunReport {
                    targets: store.run_targets(id)?,
                    failures: failures(store, id, &fates)?,
                    attempts: if listed { store.attempts(id)? } else { Vec::new() },
                    steps: store.op_steps(id)?,
                    retries: store.retries_of(id)?,
                    fates,
                    run,
                })
            })
        })
    }

    /// How the partitions of an asset are named; `None` for one that the project does not have any more.
    pub fn domain(&self, asset: &AssetKey) -> Option<&Domain> {
        let is_known = self.project.assets.contains_key(asset);
        is_known.then(|| self.planner.domain(asset))
    }

    /// `asset@partition`, as far as it has a name.
    pub fn address(&self, asset: &AssetKey, part: PartitionIdx) -> String {
        match self.domain(asset).and_then(|domain| domain.key(part)) {
            Some(key) if key.is_unpartitioned() => asset.to_string(),
            Some(key) => format!("{asset}@{key}"),
            None => format!("{asset}@#{part}"),
        }
    }

    /// The logs of a run's steps, in the order in which they began; those that run are among them whether
    /// they have written anything or not.
    pub fn logs(&self, run: RunId) -> Result<Vec<StepLog>, Error> {
        let mut found: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut logs: Vec<StepLog> = Vec::new();
        for attempt in self.ledger.ask(|store| store.attempts(run))? {
            let is_over = attempt.outcome != Outcome::Running;
            let Some(path) = self.log_of(&attempt) else { continue };
            // The attempts of a step share a log.
            match found.get(&path) {
                Some(at) => logs[*at].is_over = is_over,
                None => {
                    found.insert(path.clone(), logs.len());
                    let name = self.address(&attempt.asset, attempt.part);
                    logs.push(StepLog { name, path, is_over });
                }
            }
        }
        let mut steps = self.ledger.ask(|store| store.op_steps(run))?;
        steps.sort_by_key(|step| step.started_ms);
        for OpStep { step: name, state, log, .. } in steps {
            let is_over = state != OpState::Running;
            let path = match (log, is_over) {
                (Some(log), _) => self.root.join(log),
                (None, false) => self.op_log_path(run, &name),
                (None, true) => continue,
            };
            logs.push(StepLog { name, path, is_over });
        }
        Ok(logs)
    }

    /// Where an attempt has its log: one that has ended and wrote nothing has none.
    fn log_of(&self, attempt: &Attempt) -> Option<PathBuf> {
        match (&attempt.log, attempt.outcome) {
            (Some(log), _) => Some(self.root.join(log)),
            (None, Outcome::Running | Outcome::Interrupted) => {
                let domain = self.domain(&attempt.asset)?;
                let key = domain.key(attempt.part).unwrap_or_else(PartitionKey::unpartitioned);
                let path = self.log_path(attempt.run, &attempt.asset, &key);
                (attempt.outcome == Outcome::Running || path.exists()).then_some(path)
            }
            (None, Outcome::Success | Outcome::Failure | Outcome::Cancelled) => None,
        }
    }

    /// The run that tried last to make a partition.
    pub fn last_run(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Option<RunId>, Error> {
        let last = self.ledger.ask(|store| store.last_attempt(asset, part))?;
        Ok(last.map(|attempt| attempt.run))
    }

    /// Whether a run has, or had, a step of this name.
    pub fn has_step(&self, run: RunId, name: &str) -> Result<bool, Error> {
        if self.ledger.ask(|store| store.op_step(run, name))?.is_some() {
            return Ok(true);
        }
        let attempts = self.ledger.ask(|store| store.attempts(run))?;
        Ok(attempts.iter().any(|attempt| self.address(&attempt.asset, attempt.part) == name))
    }

    /// Whether there is, or ever was, such an asset.
    pub fn is_recorded(&self, asset: &AssetKey) -> Result<bool, Error> {
        if self.project.assets.contains_key(asset) {
            return Ok(true);
        }
        Ok(self.ledger.ask(Store::assets)?.iter().any(|(known, _)| known == asset))
    }

    /// The time that counts for this engine.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Changes when another process has recorded something.
    pub fn recorded(&self) -> Result<i64, Error> {
        Ok(self.ledger.ask(Store::data_version)?)
    }
}

fn failures(store: &Store, run: RunId, fates: &Fates) -> Result<Vec<Attempt>, Error> {
    let mut failures = Vec::new();
    for ((asset, _), parts) in fates.iter().filter(|((_, fate), _)| *fate == Fate::Failed) {
        let left = LISTED_MAX as usize - failures.len();
        for part in parts.iter().take(left) {
            failures.extend(store.attempt_of(run, asset, part)?);
        }
    }
    Ok(failures)
}

/// What came of a wish to cancel a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The process that carries it out will see it.
    Told,
    Over(RunState),
}

impl Engine {
    /// Wants a run cancelled that another process carries out. One whose process has died was closed when
    /// this engine was opened.
    pub fn cancel(&mut self, id: RunId) -> Result<Cancel, Error> {
        let run = self.run(id)?;
        if run.state != RunState::Running {
            return Ok(Cancel::Over(run.state));
        }
        match self.ledger.write(|batch| batch.tx().wish(id, Wish::Cancel))? {
            true => Ok(Cancel::Told),
            // It has ended in this moment.
            false => Ok(Cancel::Over(self.run(id)?.state)),
        }
    }

    /// What a run of assets was to make and did not: what failed and what was blocked; what it had not come
    /// to as well, if it was not carried out to its end.
    pub fn left_by(&self, id: RunId) -> Result<BTreeMap<AssetKey, PartitionSet>, Error> {
        let run = self.run(id)?;
        let (fates, targets) = self.ledger.ask(|store| {
            store.read(|store| Ok::<_, Error>((store.fates(id)?, store.run_targets(id)?)))
        })?;
        let mut left: BTreeMap<AssetKey, PartitionSet> = BTreeMap::new();
        match run.state {
            RunState::Success | RunState::Failure => {}
            RunState::Running | RunState::Cancelled | RunState::Interrupted | RunState::Paused => {
                left.extend(targets);
            }
        }
        for ((asset, fate), parts) in &fates {
            let of_asset = left.entry(asset.clone()).or_default();
            if fate.is_good() {
                *of_asset -= parts;
            } else {
                *of_asset |= parts;
            }
        }
        left.retain(|_, parts| !parts.is_empty());
        Ok(left)
    }
}
