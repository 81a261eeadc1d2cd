//! How far a backfill is: what its runs have made of what it is about, as sets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cut::Sets;
use crate::base::{AssetKey, BackfillId, PartitionSet};
use crate::engine::Error;
use crate::engine::open::Engine;
use crate::store::{Backfill, BackfillRun, BackfillState, BackfillTargets, Fate, RunState, Store};

/// What has become of a partition in a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It has its result.
    Done,
    Running,
    Failed,
    /// Something that it reads failed or is missing.
    Blocked,
    /// Not tried yet.
    Left,
}

impl Progress {
    pub const ALL: [Progress; 5] =
        [Progress::Done, Progress::Running, Progress::Failed, Progress::Blocked, Progress::Left];

    pub fn as_str(self) -> &'static str {
        match self {
            Progress::Done => "done",
            Progress::Running => "running",
            Progress::Failed => "failed",
            Progress::Blocked => "blocked",
            Progress::Left => "left",
        }
    }
}

/// A backfill with what has become of its partitions.
#[derive(Debug, Clone, PartialEq)]
pub struct BackfillReport {
    pub backfill: Backfill,
    pub runs: Vec<BackfillRun>,
    /// How many of the targets are in which state; of a job of ops, how many of its partitions.
    pub counts: BTreeMap<Progress, u64>,
    /// Targets, and what else its runs have done something about.
    pub assets: Vec<BackfillAsset>,
}

/// One asset of a backfill, either as a target or as what something reads: it may be both.
#[derive(Debug, Clone, PartialEq)]
pub struct BackfillAsset {
    pub asset: AssetKey,
    pub is_target: bool,
    /// Each partition is in one of them.
    pub sets: BTreeMap<Progress, PartitionSet>,
}

impl BackfillReport {
    /// What of the targets is in one of these states.
    pub fn targets(&self, states: &[Progress]) -> Sets {
        self.of(states, |asset| asset.is_target)
    }

    /// What of everything is in one of these states.
    pub fn everything(&self, states: &[Progress]) -> Sets {
        self.of(states, |_| true)
    }

    fn of(&self, states: &[Progress], is_meant: impl Fn(&BackfillAsset) -> bool) -> Sets {
        let mut found = Sets::new();
        for asset in self.assets.iter().filter(|asset| is_meant(asset)) {
            for set in states.iter().filter_map(|state| asset.sets.get(state)) {
                *found.entry(asset.asset.clone()).or_default() |= set;
            }
        }
        found.retain(|_, set| !set.is_empty());
        found
    }
}

/// What is known of one asset so far.
#[derive(Default)]
struct Known {
    target: Option<PartitionSet>,
    done: PartitionSet,
    running: PartitionSet,
    failed: PartitionSet,
    blocked: PartitionSet,
}

impl Known {
    fn put(&mut self, fate: Fate, parts: &PartitionSet) {
        match fate {
            // Whether it failed before, or waited for that, is still true.
            Fate::Cancelled | Fate::Interrupted => return,
            Fate::Success | Fate::Restored | Fate::CutOff | Fate::Failed | Fate::Blocked => {}
        }
        self.done -= parts;
        self.failed -= parts;
        self.blocked -= parts;
        *match fate {
            Fate::Failed => &mut self.failed,
            Fate::Blocked => &mut self.blocked,
            Fate::Success | Fate::Restored | Fate::CutOff | Fate::Cancelled | Fate::Interrupted => {
                &mut self.done
            }
        } |= parts;
    }

    /// The target, and what else of the asset was concerned because something reads it.
    fn assets(self, asset: &AssetKey) -> impl Iterator<Item = BackfillAsset> + use<> {
        let target = self.target.unwrap_or_default();
        let sets = [
            (Progress::Running, self.running.clone()),
            (Progress::Done, self.done - &self.running),
            (Progress::Failed, self.failed - &self.running),
            (Progress::Blocked, self.blocked - &self.running),
        ];
        let mut left = target.clone();
        sets.iter().for_each(|(_, set)| left -= set);
        let of = |of_target: bool| {
            let part = |set: &PartitionSet| if of_target { set & &target } else { set - &target };
            let mut sets: BTreeMap<Progress, PartitionSet> =
                sets.iter().map(|(state, set)| (*state, part(set))).collect();
            sets.insert(Progress::Left, part(&left));
            BackfillAsset { asset: asset.clone(), is_target: of_target, sets }
        };
        let is_there = |asset: &BackfillAsset| asset.sets.values().any(|set| !set.is_empty());
        [of(true), of(false)].into_iter().filter(is_there)
    }
}

impl Engine {
    /// The last backfills, the newest first.
    pub fn backfills(&self, limit: usize) -> Result<Vec<Backfill>, Error> {
        Ok(self.ledger.ask(|store| store.backfills(limit))?)
    }

    /// A backfill of assets, and how far it is.
    pub fn backfill_report(&self, id: BackfillId) -> Result<BackfillReport, Error> {
        self.ledger.ask(|store| store.read(|store| report(store, id)))
    }
}

/// By the sets that its runs have left: no attempt is looked at.
fn report(store: &Store, id: BackfillId) -> Result<BackfillReport, Error> {
    let Some(backfill) = store.backfill(id)? else { return Err(unknown(store, id)?) };
    let mut known: BTreeMap<AssetKey, Known> = BTreeMap::new();
    match store.backfill_targets(id)? {
        BackfillTargets::Assets(targets) => {
            for (asset, target) in targets {
                known.entry(asset).or_default().target = Some(target);
            }
        }
        BackfillTargets::Job(parts) => {
            let runs = store.runs_of_backfill(id)?;
            let counts = counts_of_job(store, parts.len(), &runs);
            return Ok(BackfillReport { backfill, runs, counts, assets: Vec::new() });
        }
    }
    let runs = store.runs_of_backfill(id)?;
    let (mut told, mut about) = (store.fates_of_backfill(id)?, store.targets_of_backfill_runs(id)?);
    for run in &runs {
        let fates = told.remove(&run.id).unwrap_or_default();
        match run.state {
            RunState::Running | RunState::Interrupted => {}
            // Whatever it was about and says nothing of was as it should be, or another process made it so.
            RunState::Success | RunState::Failure | RunState::Cancelled | RunState::Paused => {
                for (asset, mut fine) in about.remove(&run.id).unwrap_or_default() {
                    let told = fates.iter().filter(|((of, _), _)| *of == asset);
                    told.for_each(|(_, parts)| fine -= parts);
                    known.entry(asset).or_default().put(Fate::Success, &fine);
                }
            }
        }
        for ((asset, fate), parts) in &fates {
            known.entry(asset.clone()).or_default().put(*fate, parts);
        }
        if run.state == RunState::Running && store.is_alive(&run.owner) {
            for (asset, known) in &mut known {
                known.running |= store.claimed(asset, &run.owner)?;
            }
        }
    }
    if backfill.state == BackfillState::Success {
        // Of what was right when its turn came no run tells, be it that somebody else has made it.
        for known in known.values_mut() {
            let Some(target) = &known.target else { continue };
            known.done |= target;
            known.failed -= target;
            known.blocked -= target;
        }
    }
    let mut assets: Vec<BackfillAsset> =
        known.into_iter().flat_map(|(asset, known)| known.assets(&asset)).collect();
    assets.sort_by_key(|asset| !asset.is_target);
    let of_targets = |state: &Progress| {
        let sets = assets.iter().filter(|asset| asset.is_target);
        sets.filter_map(|asset| asset.sets.get(state)).map(PartitionSet::len).sum()
    };
    let counts = Progress::ALL.into_iter().map(|state| (state, of_targets(&state))).collect();
    Ok(BackfillReport { backfill, runs, counts, assets })
}

/// What the newest run of a partition of a job says of it.
pub(super) fn of_run(store: &Store, run: Option<&BackfillRun>) -> Progress {
    match run.map(|run| run.state) {
        Some(RunState::Success) => Progress::Done,
        Some(RunState::Failure) => Progress::Failed,
        Some(RunState::Running) if run.is_some_and(|run| store.is_alive(&run.owner)) => {
            Progress::Running
        }
        Some(
            RunState::Running | RunState::Cancelled | RunState::Paused | RunState::Interrupted,
        )
        | None => Progress::Left,
    }
}

fn counts_of_job(store: &Store, partitions: u64, runs: &[BackfillRun]) -> BTreeMap<Progress, u64> {
    let newest: BTreeMap<_, &BackfillRun> = runs.iter().map(|run| (&run.partition, run)).collect();
    let mut counts: BTreeMap<Progress, u64> =
        Progress::ALL.into_iter().map(|state| (state, 0)).collect();
    for run in newest.values() {
        *counts.entry(of_run(store, Some(run))).or_default() += 1;
    }
    *counts.entry(Progress::Left).or_default() += partitions.saturating_sub(newest.len() as u64);
    counts
}

/// There is no such backfill; what else the number may mean.
pub(super) fn unknown(store: &Store, id: BackfillId) -> Result<Error, Error> {
    let is_run = store.run(crate::base::RunId(id.0))?.is_some();
    Ok(Error::UnknownBackfill { backfill: id, is_run })
}
