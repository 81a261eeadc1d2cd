//! A long past: many runs beside what is recorded anyway, and a run whose process has died.

use std::collections::BTreeMap;
use std::path::Path;

use giornata::base::{AssetKey, BackfillId, Durability, PartitionSet, RunId, Usage};
use giornata::engine::BackfillSpec;
use giornata::plan::Reach;
use giornata::store::{
    AttemptEnd, BackfillState, BackfillTargets, Fate, LaunchInfo, NewAttempt, NewBackfill, NewRun,
    Outcome, Owner, RunState, Store,
};

/// Adds `runs` that ended, each about a hundred partitions of an asset; the last ones failed.
pub fn add_runs(root: &Path, asset: &AssetKey, runs: u32) {
    let mut store = open(root);
    let mut tx = store.begin().expect("the store can be written");
    for number in 0..runs {
        let parts: PartitionSet = (number..number + 100).collect();
        let targets = &[(asset.clone(), parts.clone())];
        let launch = LaunchInfo {
            tags: [("number".to_owned(), number.to_string())].into(),
            ..LaunchInfo::default()
        };
        let (started_ms, command) = (i64::from(number) * 1_000, "giornata materialize --all");
        let new = NewRun { started_ms, owner: "nobody", command, targets, launch: &launch };
        let run = tx.begin_run(&new).expect("the run can be recorded");
        let is_last = number + 10 >= runs;
        let (fate, state) = match is_last {
            true => (Fate::Failed, RunState::Failure),
            false => (Fate::Success, RunState::Success),
        };
        let counts = [("ran".to_owned(), 100)].into();
        tx.put_fate(run, asset, fate, &parts)
            .and_then(|()| tx.finish_run(run, state, started_ms + 900, &counts))
            .expect("the run can be recorded");
    }
    tx.commit().expect("the store can be written");
}

/// Adds a backfill of `targets` that succeeded, carried out by runs of a hundred partitions of an asset each.
pub fn add_backfill(root: &Path, targets: &BTreeMap<AssetKey, PartitionSet>) -> BackfillId {
    let mut store = open(root);
    let owner = Owner::acquire(&root.join(".giornata")).expect("a lock can be had");
    let spec = serde_json::to_value(BackfillSpec::new(Reach::Upstream)).expect("a spec is written");
    let command = "giornata backfill --all -p all --chunk 100";
    let new = NewBackfill {
        created_ms: 1,
        owner: owner.id(),
        command,
        spec: &spec,
        tags: &BTreeMap::new(),
        targets: &BackfillTargets::Assets(targets.clone()),
    };
    let mut tx = store.begin().expect("the store can be written");
    let id = tx.begin_backfill(&new).expect("the backfill can be recorded");
    let launch = &LaunchInfo { backfill: Some(id), ..LaunchInfo::default() };
    for (asset, parts) in targets {
        for piece in parts.iter().collect::<Vec<_>>().chunks(100) {
            let piece: PartitionSet = piece.iter().copied().collect();
            let targets = &[(asset.clone(), piece.clone())];
            let new = NewRun { started_ms: 1, owner: owner.id(), command, targets, launch };
            let counts = [("ran".to_owned(), piece.len())].into();
            let run = tx.begin_run(&new).expect("the run can be recorded");
            tx.put_fate(run, asset, Fate::Success, &piece)
                .and_then(|()| tx.finish_run(run, RunState::Success, 2, &counts))
                .expect("the run can be recorded");
        }
    }
    tx.end_backfill(id, owner.id(), BackfillState::Success, 3)
        .and_then(|()| tx.commit())
        .expect("the store can be written");
    id
}

/// Leaves a run whose process died: `attempts` of it have ended since its sets were written, two have not.
pub fn interrupt(root: &Path, asset: &AssetKey, attempts: u32) -> RunId {
    let mut store = open(root);
    let owner = Owner::acquire(&root.join(".giornata")).expect("a lock can be had");
    let launch = &LaunchInfo::default();
    let new = NewRun { started_ms: 1, owner: owner.id(), command: "", targets: &[], launch };
    let run = store.begin_run(&new).expect("the run can be recorded");
    let mut tx = store.begin().expect("the store can be written");
    for part in 0..attempts + 2 {
        let attempt = NewAttempt { run, asset, part, attempt: 1, started_ms: 1 };
        tx.start_attempt(&attempt).expect("the attempt can be recorded");
        if part >= attempts {
            tx.claim(asset, part, owner.id()).expect("nobody else claims it");
            continue;
        }
        let end = AttemptEnd {
            duration_ms: 1,
            outcome: Outcome::Success,
            detail: "",
            log: None,
            usage: Usage::default(),
            size_bytes: Some(2),
        };
        tx.finish_attempt(run, asset, part, 1, &end).expect("the attempt can be recorded");
    }
    tx.commit().expect("the store can be written");
    run
}

pub fn open(root: &Path) -> Store {
    Store::open(&root.join(".giornata"), Durability::Batch).expect("the store opens")
}
