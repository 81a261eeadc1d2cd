//! A long past: many runs beside what is recorded anyway, and a run whose process has died.

use std::path::Path;

use giornata::base::{AssetKey, Durability, PartitionSet, RunId, Usage};
use giornata::store::{
    AttemptEnd, Fate, LaunchInfo, NewAttempt, NewRun, Outcome, Owner, RunState, Store,
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
