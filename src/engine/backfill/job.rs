//! Backfills of jobs of ops: a run for each partition, one after the other, under one number.
//!
//! Such a run is for one partition and starts from nothing, so what is left of a backfill are the partitions
//! whose newest run did not succeed.

use std::collections::BTreeMap;

use super::{BackfillSpec, BackfillSummary, Progress, Rest, Underway, progress};
use crate::base::{BackfillId, JobName, PartitionIdx, PartitionKey, PartitionSet, RunId};
use crate::defs::Domain;
use crate::engine::open::Engine;
use crate::engine::report::RunOptions;
use crate::engine::{Error, JobEvent, JobSummary, Launch, Summary};
use crate::exec::Control;
use crate::store::{Backfill, BackfillRun, BackfillState, BackfillTargets, Owner, Store};

/// A backfill of a job of ops with what has become of its partitions.
#[derive(Debug, Clone, PartialEq)]
pub struct JobBackfillReport {
    pub backfill: Backfill,
    pub job: JobName,
    pub runs: Vec<BackfillRun>,
    /// Each partition is in one of them.
    pub sets: BTreeMap<Progress, PartitionSet>,
    /// The newest run of each partition that has failed.
    pub failed_runs: BTreeMap<PartitionIdx, RunId>,
}

/// What a run of one partition is launched with; `RunId`: the failed one that it retries.
pub type LaunchOf<'a, E> =
    &'a mut dyn FnMut(&mut Engine, PartitionIdx, Option<RunId>) -> Result<Launch, E>;

/// A backfill of a job of ops that this process carries out.
pub struct JobUnderway {
    pub underway: Underway,
    /// In their order, each with the run that is retried.
    parts: Vec<(PartitionIdx, Option<RunId>)>,
}

impl Engine {
    /// Records a backfill of a job of ops over `parts` of its domain.
    pub fn begin_job_backfill(
        &mut self,
        mut spec: BackfillSpec,
        domain: &Domain,
        parts: PartitionSet,
        tags: BTreeMap<String, String>,
        command: &str,
    ) -> Result<JobUnderway, Error> {
        self.writable()?;
        spec.job_space = Some(domain.index_space());
        let targets = BackfillTargets::Job(parts.clone());
        let (id, owner) = self.record_backfill(&spec, &targets, &tags, command)?;
        let parts = in_order(&spec, &parts, &BTreeMap::new());
        Ok(JobUnderway { underway: Underway::of_job(id, owner, spec, tags), parts })
    }

    /// The partitions of a job of ops by what their newest run says of them: those of which there is no run, or
    /// none that succeeded, are left.
    pub fn job_progress(
        &self,
        job: &JobName,
        domain: &Domain,
    ) -> Result<BTreeMap<Progress, PartitionSet>, Error> {
        self.ledger.ask(|store| {
            store.read(|store| {
                let runs = store.newest_job_runs(job.as_str())?;
                Ok(by_progress(store, domain.all(), &newest(&runs, domain)))
            })
        })
    }

    /// How far a backfill of a job of ops is; `None` if it is one of assets.
    pub fn job_backfill_report(
        &self,
        id: BackfillId,
        domain: &Domain,
    ) -> Result<Option<JobBackfillReport>, Error> {
        self.ledger.ask(|store| store.read(|store| report(store, id, domain)))
    }

    /// Takes up a backfill of a job of ops.
    pub fn take_up_job_backfill(
        &mut self,
        id: BackfillId,
        rest: Rest,
        domain: &Domain,
    ) -> Result<JobUnderway, Error> {
        self.writable()?;
        let spec = self.backfill_spec(id)?;
        let report = self.job_backfill_report(id, domain)?;
        let Some(report) = report else {
            return Err(self.ledger.ask(|it| progress::unknown(it, id))?);
        };
        if spec.job_space.as_deref() != Some(&*domain.index_space()) {
            let job = report.job.to_string();
            return Err(Error::JobRenumbered { backfill: id, job });
        }
        let of = |states: &[Progress]| {
            let sets = states.iter().filter_map(|state| report.sets.get(state));
            sets.fold(PartitionSet::new(), |all, set| all | set)
        };
        let left = of(&[Progress::Left, Progress::Running]);
        let (parts, otherwise) = match rest {
            Rest::Failed if of(&[Progress::Failed]).is_empty() => {
                return Err(Error::NothingFailed { backfill: id });
            }
            Rest::Failed => {
                let stays = Some(report.backfill.state).filter(|_| !left.is_empty());
                (of(&[Progress::Failed]), stays)
            }
            Rest::Left => (of(&[Progress::Failed]) | left, None),
        };
        let owner = Owner::acquire(&self.dir)?;
        let taken = self.ledger.write(|batch| batch.tx().take_up_backfill(id, owner.id()))?;
        if let Err(state) = taken {
            return Err(Error::BackfillState { backfill: id, state });
        }
        let parts = in_order(&spec, &parts, &report.failed_runs);
        let mut underway = Underway::of_job(id, owner, spec, report.backfill.tags);
        underway.otherwise = otherwise;
        Ok(JobUnderway { underway, parts })
    }

    /// Runs the job for each partition, one after the other. `launch` says with what, `events` hears what
    /// happens.
    pub fn carry_out_job_backfill<E: From<Error>>(
        &mut self,
        job: JobUnderway,
        options: &RunOptions,
        control: &Control,
        launch: LaunchOf<'_, E>,
        events: &mut dyn FnMut(&Engine, JobEvent),
    ) -> Result<BackfillSummary, E> {
        let JobUnderway { underway, parts } = job;
        match self.run_each(&underway, &parts, options, control, launch, events) {
            Ok((runs, total, state)) => {
                self.end_backfill(&underway, state)?;
                Ok(BackfillSummary { id: underway.id, state, runs, total })
            }
            Err(error) => {
                // As for assets: the first error is the one to be told.
                let _ = self.end_backfill(&underway, BackfillState::Interrupted);
                Err(error)
            }
        }
    }

    fn run_each<E: From<Error>>(
        &mut self,
        underway: &Underway,
        parts: &[(PartitionIdx, Option<RunId>)],
        options: &RunOptions,
        control: &Control,
        launch: LaunchOf<'_, E>,
        events: &mut dyn FnMut(&Engine, JobEvent),
    ) -> Result<(u64, Summary, BackfillState), E> {
        let (mut runs, mut total) = (0, Summary::default());
        for (place, (part, retried)) in parts.iter().enumerate() {
            if let Some(state) = self.stopped(underway.id, control)? {
                total.cancelled = (parts.len() - place) as u64;
                return Ok((runs, total, state));
            }
            let mut launch = launch(self, *part, *retried)?;
            launch.backfill = Some(underway.id);
            launch.tags.extend(underway.tags.clone());
            let summary = self.run_job(&launch, options, control, events)?;
            runs += 1;
            count(&mut total, &summary, control);
            if options.fail_fast && total.failed > 0 {
                break;
            }
        }
        if control.is_cancelled() {
            return Ok((runs, total, BackfillState::Cancelled));
        }
        let state = match (total.is_success(), underway.otherwise) {
            (true, Some(state)) => state,
            (true, None) => BackfillState::Success,
            (false, _) => BackfillState::Failure,
        };
        Ok((runs, total, state))
    }
}

/// Counts a run as one.
fn count(total: &mut Summary, summary: &JobSummary, control: &Control) {
    match (summary.is_success(), control.is_cancelled()) {
        (true, _) => total.ran += 1,
        (false, true) => total.cancelled += 1,
        (false, false) => total.failed += 1,
    }
}

fn in_order(
    spec: &BackfillSpec,
    parts: &PartitionSet,
    retried: &BTreeMap<PartitionIdx, RunId>,
) -> Vec<(PartitionIdx, Option<RunId>)> {
    let with_run = |part: PartitionIdx| (part, retried.get(&part).copied());
    let mut parts: Vec<_> = parts.iter().map(with_run).collect();
    match spec.order {
        crate::engine::RunOrder::Critical | crate::engine::RunOrder::Oldest => {}
        crate::engine::RunOrder::Newest => parts.reverse(),
    }
    parts
}

fn report(
    store: &Store,
    id: BackfillId,
    domain: &Domain,
) -> Result<Option<JobBackfillReport>, Error> {
    let Some(backfill) = store.backfill(id)? else { return Err(progress::unknown(store, id)?) };
    let BackfillTargets::Job(targets) = store.backfill_targets(id)? else { return Ok(None) };
    let runs = store.runs_of_backfill(id)?;
    let newest = newest(&runs, domain);
    let sets = by_progress(store, &targets, &newest);
    let failed = sets[&Progress::Failed].iter();
    let failed_runs = failed.filter_map(|part| Some((part, newest.get(&part)?.id))).collect();
    let job = backfill.spec["job"].as_str().and_then(|name| JobName::parse(name).ok());
    let Some(job) = job else { return Err(progress::unknown(store, id)?) };
    Ok(Some(JobBackfillReport { backfill, job, runs, sets, failed_runs }))
}

/// The newest of these runs for each partition.
fn newest<'a>(runs: &'a [BackfillRun], domain: &Domain) -> BTreeMap<PartitionIdx, &'a BackfillRun> {
    let mut newest = BTreeMap::new();
    for run in runs {
        let key = run.partition.as_ref().map(PartitionKey::as_str);
        if let Some(part) = key.and_then(|key| domain.any_index(key)) {
            newest.insert(part, run);
        }
    }
    newest
}

fn by_progress(
    store: &Store,
    parts: &PartitionSet,
    newest: &BTreeMap<PartitionIdx, &BackfillRun>,
) -> BTreeMap<Progress, PartitionSet> {
    let mut sets: BTreeMap<Progress, PartitionSet> =
        Progress::ALL.into_iter().map(|state| (state, PartitionSet::new())).collect();
    for part in parts {
        let state = progress::of_run(store, newest.get(&part).copied());
        sets.entry(state).or_default().insert(part);
    }
    sets
}
