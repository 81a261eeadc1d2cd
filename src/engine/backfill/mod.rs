//! Carries out backfills: ranges of partitions as one unit, which is recorded, can be stopped from another
//! process, and can be taken up again by another one.
//!
//! A backfill has an owner for as long as it is carried out, also between two of its runs. What is left of it
//! is what it is about without what its runs have done, so nothing has to be remembered besides.

mod cut;
mod estimate;
mod job;
mod progress;
mod spec;

use std::collections::BTreeMap;

use super::Error;
use super::event::{RunEvent, Summary};
use super::open::Engine;
use super::report::RunOptions;
use crate::base::{AssetKey, BackfillId, PartitionSet, RunId};
use crate::exec::Control;
use crate::plan::{Chosen, Plan, PlanAsset, Reach, Request};
use crate::store::{
    BackfillState, BackfillTargets, Fate, LaunchInfo, NewBackfill, Owner, RunState, Told, Wish,
};

use self::cut::{Sets, cut};
pub use estimate::Estimate;
pub use job::{JobBackfillReport, JobUnderway};
pub use progress::{BackfillAsset, BackfillReport, Progress};
pub use spec::BackfillSpec;

/// What of a backfill is to be done once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// All that is not done.
    Left,
    /// What failed, and what waited for that.
    Failed,
}

/// A backfill that this process carries out: it holds the lock of its owner.
pub struct Underway {
    pub id: BackfillId,
    owner: Owner,
    pub spec: BackfillSpec,
    targets: Sets,
    /// Of targets, which partitions there are is known when others have run.
    chosen: BTreeMap<AssetKey, Chosen>,
    /// Targets that need not be forced again.
    spared: Sets,
    tags: BTreeMap<String, String>,
    /// The state in which it is when this goes well, if something else is left.
    otherwise: Option<BackfillState>,
}

/// How a backfill went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackfillSummary {
    pub id: BackfillId,
    pub state: BackfillState,
    /// Runs that did something.
    pub runs: u64,
    /// Of all of them.
    pub total: Summary,
}

impl Underway {
    /// Of a job of ops, whose partitions are kept apart.
    fn of_job(
        id: BackfillId,
        owner: Owner,
        spec: BackfillSpec,
        tags: BTreeMap<String, String>,
    ) -> Underway {
        let (targets, chosen, spared) = (Sets::new(), BTreeMap::new(), Sets::new());
        Underway { id, owner, spec, targets, chosen, spared, tags, otherwise: None }
    }
}

impl Engine {
    /// What a backfill is about that asks for `request`: what of the targets is not fresh; all of them if they are
    /// forced, or if what reads them is to follow.
    pub fn backfill_targets(
        &self,
        request: &Request,
        plan: &Plan,
    ) -> BTreeMap<AssetKey, PartitionSet> {
        let whole = request.force || request.reach == Reach::UpstreamAndDownstream;
        let asked = |part: &PlanAsset| {
            let target = request.targets.get(&part.asset)? & &part.wanted;
            let open = if whole { target } else { target & todo(part) };
            (!open.is_empty()).then(|| (part.asset.clone(), open))
        };
        plan.assets.iter().filter(|part| part.is_target).filter_map(asked).collect()
    }

    /// Records a backfill, which this process then carries out.
    pub fn begin_backfill(
        &mut self,
        mut spec: BackfillSpec,
        targets: Sets,
        chosen: BTreeMap<AssetKey, Chosen>,
        tags: BTreeMap<String, String>,
        command: &str,
    ) -> Result<Underway, Error> {
        self.writable()?;
        let space = |asset: &AssetKey| self.planner.domain(asset).index_space();
        spec.spaces = targets.keys().map(|asset| (asset.clone(), space(asset))).collect();
        let recorded = BackfillTargets::Assets(targets.clone());
        let (id, owner) = self.record_backfill(&spec, &recorded, &tags, command)?;
        let (spared, otherwise) = (Sets::new(), None);
        Ok(Underway { id, owner, spec, targets, chosen, spared, tags, otherwise })
    }

    fn record_backfill(
        &self,
        spec: &BackfillSpec,
        targets: &BackfillTargets,
        tags: &BTreeMap<String, String>,
        command: &str,
    ) -> Result<(BackfillId, Owner), Error> {
        let owner = Owner::acquire(&self.dir)?;
        let new = NewBackfill {
            created_ms: self.clock.now().timestamp_millis(),
            owner: owner.id(),
            command,
            spec: &serde_json::to_value(spec).expect("the keys of a spec are texts"),
            tags,
            targets,
        };
        let id = self.ledger.write(|batch| batch.tx().begin_backfill(&new))?;
        Ok((id, owner))
    }

    /// What a recorded backfill was asked for.
    pub fn backfill_spec(&self, id: BackfillId) -> Result<BackfillSpec, Error> {
        let Some(backfill) = self.ledger.ask(|store| store.backfill(id))? else {
            return Err(self.ledger.ask(|store| progress::unknown(store, id))?);
        };
        serde_json::from_value(backfill.spec)
            .map_err(|source| Error::UnreadableBackfill { backfill: id, source })
    }

    /// Takes up a backfill that has been stopped, or in which something has failed.
    pub fn take_up_backfill(&mut self, id: BackfillId, rest: Rest) -> Result<Underway, Error> {
        self.writable()?;
        let spec = self.backfill_spec(id)?;
        let report = self.backfill_report(id)?;
        for (asset, space) in &spec.spaces {
            let is_there = self.project.assets.contains_key(asset);
            if !is_there || self.planner.domain(asset).index_space() != *space {
                let (asset, is_broken) = (asset.clone(), self.project.broken.contains(asset));
                return Err(Error::BackfillRenumbered { backfill: id, asset, is_there, is_broken });
            }
        }
        let failed = [Progress::Failed, Progress::Blocked];
        let left = report.targets(&[Progress::Left]);
        let (targets, spared, otherwise) = match rest {
            Rest::Failed => {
                let mut targets = report.everything(&failed);
                targets.retain(|asset, _| self.project.assets.contains_key(asset));
                if targets.is_empty() {
                    return Err(Error::NothingFailed { backfill: id });
                }
                let stays = Some(report.backfill.state).filter(|_| !left.is_empty());
                (targets, Sets::new(), stays)
            }
            Rest::Left => (report.targets(&Progress::ALL), report.targets(&[Progress::Done]), None),
        };
        let owner = Owner::acquire(&self.dir)?;
        let taken = self.ledger.write(|batch| batch.tx().take_up_backfill(id, owner.id()))?;
        if let Err(state) = taken {
            return Err(Error::BackfillState { backfill: id, state });
        }
        let (chosen, tags) = (BTreeMap::new(), report.backfill.tags);
        Ok(Underway { id, owner, spec, targets, chosen, spared, tags, otherwise })
    }

    /// Tells whoever carries out a backfill what is wanted of it.
    pub fn wish_of_backfill(&mut self, id: BackfillId, wish: Wish) -> Result<Told, Error> {
        self.writable()?;
        let now_ms = self.clock.now().timestamp_millis();
        match self.ledger.write(|batch| batch.tx().wish_of_backfill(id, wish, now_ms))? {
            Some(told) => Ok(told),
            None => Err(self.ledger.ask(|store| progress::unknown(store, id))?),
        }
    }

    /// How many runs carry out what is asked for, one after the other.
    pub fn backfill_runs(&self, targets: &Sets, chunk: Option<u64>) -> u64 {
        match chunk {
            Some(most) => self.cut(targets, most).len() as u64,
            None => 1,
        }
    }

    fn cut(&self, targets: &Sets, most: u64) -> Vec<Sets> {
        cut(targets, &|asset| self.planner.domain(asset).clone(), most)
    }

    /// Carries out a backfill, run after run. `events` hears what happens in them.
    pub fn carry_out_backfill(
        &mut self,
        underway: Underway,
        options: &RunOptions,
        control: &Control,
        events: &mut dyn FnMut(&Engine, RunEvent),
    ) -> Result<BackfillSummary, Error> {
        let ran = self.run_parts(&underway, options, control, events);
        let (runs, total, state) = match ran {
            Ok(ran) => ran,
            Err(error) => {
                // Whatever is wrong, it is not carried out any more; the first error is the one to be told.
                let _ = self.end_backfill(&underway, BackfillState::Interrupted);
                return Err(error);
            }
        };
        self.end_backfill(&underway, state)?;
        Ok(BackfillSummary { id: underway.id, state, runs, total })
    }

    fn run_parts(
        &mut self,
        underway: &Underway,
        options: &RunOptions,
        control: &Control,
        events: &mut dyn FnMut(&Engine, RunEvent),
    ) -> Result<(u64, Summary, BackfillState), Error> {
        let Underway { id, spec, targets, chosen, spared, tags, otherwise, .. } = underway;
        let mut options = RunOptions {
            order: spec.order,
            spared: spared.clone(),
            launch: LaunchInfo {
                job: spec.job.clone(),
                tags: tags.clone(),
                config: spec.config.clone(),
                backfill: Some(*id),
                ..LaunchInfo::default()
            },
            ..options.clone()
        };
        let (mut runs, mut total) = (0, Summary::default());
        for targets in self.in_order(spec, targets) {
            if let Some(state) = self.stopped(*id, control)? {
                return Ok((runs, total, state));
            }
            let chosen = if spec.chunk.is_none() { chosen.clone() } else { BTreeMap::new() };
            let (reach, force) = (spec.reach, spec.force);
            let request = Request { targets, chosen, reach, force };
            let mut run: Option<RunId> = None;
            let summary = self.materialize(&request, &options, control, &mut |engine, event| {
                if let RunEvent::Started { run: Some(id), .. } = &event {
                    run = Some(*id);
                }
                events(engine, event);
            })?;
            runs += u64::from(run.is_some());
            total.add(&summary);
            let Some(run) = run else { continue };
            match self.ledger.ask(|store| store.run(run))?.map(|run| run.state) {
                Some(RunState::Paused) => return Ok((runs, total, BackfillState::Paused)),
                Some(RunState::Cancelled) => return Ok((runs, total, BackfillState::Cancelled)),
                Some(RunState::Failure) if options.fail_fast => break,
                Some(
                    RunState::Running
                    | RunState::Success
                    | RunState::Failure
                    | RunState::Interrupted,
                )
                | None => {}
            }
            for ((asset, fate), parts) in self.ledger.ask(|store| store.fates(run))? {
                if matches!(fate, Fate::Failed | Fate::Blocked) {
                    *options.given_up.entry(asset).or_default() |= parts;
                }
            }
        }
        let is_whole = total.is_success() && self.is_whole(*id, events)?;
        let state = match (is_whole, otherwise) {
            (true, Some(state)) => *state,
            (true, None) => BackfillState::Success,
            (false, _) => BackfillState::Failure,
        };
        Ok((runs, total, state))
    }

    /// Whether all that a backfill is about could be planned. What is not there any more and was not made, such
    /// as that of a file that was removed, is in no plan, so no run tells of it.
    fn is_whole(
        &self,
        id: BackfillId,
        events: &mut dyn FnMut(&Engine, RunEvent),
    ) -> Result<bool, Error> {
        let undone = [Progress::Failed, Progress::Blocked, Progress::Left];
        let mut is_whole = true;
        for (asset, undone) in self.backfill_report(id)?.targets(&undone) {
            let gone = match self.project.assets.contains_key(&asset) {
                true => &undone - self.planner.domain(&asset).all(),
                false => undone,
            };
            if !gone.is_empty() {
                is_whole = false;
                let count = gone.len();
                let message =
                    format!("{count} of the partitions of `{asset}` are not there any more");
                events(self, RunEvent::Warning { message });
            }
        }
        Ok(is_whole)
    }

    /// The targets of each run, in the order of the runs.
    fn in_order(&self, spec: &BackfillSpec, targets: &Sets) -> Vec<Sets> {
        let Some(most) = spec.chunk else { return vec![targets.clone()] };
        let mut parts = self.cut(targets, most);
        match spec.order {
            super::RunOrder::Critical | super::RunOrder::Oldest => {}
            super::RunOrder::Newest => parts.reverse(),
        }
        parts
    }

    /// The state that a backfill is to be in, if somebody wants it to end before its next run.
    fn stopped(&self, id: BackfillId, control: &Control) -> Result<Option<BackfillState>, Error> {
        if control.is_cancelled() {
            return Ok(Some(BackfillState::Cancelled));
        }
        let backfill = self.ledger.ask(|store| store.backfill(id))?;
        Ok(backfill.and_then(|backfill| backfill.wish).map(|wish| match wish {
            Wish::Cancel => BackfillState::Cancelled,
            Wish::Pause => BackfillState::Paused,
        }))
    }

    fn end_backfill(&mut self, underway: &Underway, state: BackfillState) -> Result<(), Error> {
        let Underway { id, owner, .. } = underway;
        let now_ms = self.clock.now().timestamp_millis();
        Ok(self.ledger.write(|batch| batch.tx().end_backfill(*id, owner.id(), state, now_ms))?)
    }
}

/// What is not simply fresh; of a result whose record only has to be moved up nobody need know.
fn todo(part: &PlanAsset) -> PartitionSet {
    &(&part.open() | &part.blocked) - &part.verify
}
