//! What a run does that another process wants to be cancelled or paused.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use giornata::base::{AssetKey, Durability, RunId};
use giornata::store::{Outcome, RunState, Store, Wish};
use giornata::testing::Harness;

const DAYS: usize = 400;

/// What is in the store, as another process sees it.
fn store(root: &Path) -> Store {
    Store::open(&root.join(".giornata"), Durability::Batch).unwrap()
}

/// Says what is wanted of the run that goes on.
fn wish(root: &Path, wish: Wish) {
    let mut store = store(root);
    let run = store.running().unwrap()[0].id;
    let mut tx = store.begin().unwrap();
    assert!(tx.wish(run, wish).unwrap(), "the run goes on");
    tx.commit().unwrap();
}

/// Days of which the first that is made makes a wish.
fn days(wanted: Wish) -> Harness {
    let root: Arc<OnceLock<std::path::PathBuf>> = Arc::default();
    let known = root.clone();
    let harness = Harness::code(move |project| {
        let root = known.clone();
        project.asset("day").daily("2025-01-01").compute(move |ctx| {
            if ctx.partition().as_str() == "2025-01-01" {
                wish(root.get().unwrap(), wanted);
            }
            Ok(ctx.partition().as_str().to_owned())
        });
    });
    harness.set_now("2026-02-05T00:00:00Z");
    root.set(harness.root().to_owned()).unwrap();
    harness
}

#[test]
fn a_paused_run_finishes_what_runs_and_starts_nothing_more() {
    let mut harness = days(Wish::Pause);
    let first = harness.materialize("day").report.ran.len();
    assert!(first > 0 && first < DAYS, "{first}");
    let said = store(harness.root()).run(RunId(1)).unwrap().unwrap();
    assert_eq!(said.state, RunState::Paused);
    let attempts = store(harness.root()).attempts(RunId(1)).unwrap();
    assert_eq!(attempts.len(), first);
    assert!(attempts.iter().all(|attempt| attempt.outcome == Outcome::Success));
    // The next run knows nothing of it.
    let second = harness.materialize("day").report.ran.len();
    assert_eq!(first + second, DAYS);
}

#[test]
fn a_cancelled_run_starts_nothing_more() {
    let mut harness = days(Wish::Cancel);
    let first = harness.materialize("day").report.ran.len();
    assert!(first < DAYS, "{first}");
    let said = store(harness.root()).run(RunId(1)).unwrap().unwrap();
    assert_eq!(said.state, RunState::Cancelled);
}

#[test]
fn a_wish_for_what_has_ended_is_refused_and_a_cancel_stays() {
    let mut harness = days(Wish::Cancel);
    drop(harness.materialize("day"));
    let mut store = store(harness.root());
    let mut tx = store.begin().unwrap();
    assert!(!tx.wish(RunId(1), Wish::Pause).unwrap());
    assert!(!tx.wish(RunId(7), Wish::Pause).unwrap());
    tx.commit().unwrap();
    assert_eq!(store.wish(RunId(1)).unwrap(), Some(Wish::Cancel));
    assert_eq!(store.wish(RunId(7)).unwrap(), None);
}

#[test]
fn another_process_stops_a_step_that_never_ends() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("assets")).unwrap();
    std::fs::write(dir.path().join("giornata.toml"), "name = \"endless\"\n").unwrap();
    let endless = "assets:\n  endless: {run: sleep 600, output: it}\n";
    std::fs::write(dir.path().join("assets/all.yaml"), endless).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(["-C", dir.path().to_str().unwrap(), "materialize", "--all"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let endless = AssetKey::parse("endless").unwrap();
    let runs = || {
        let path = dir.path().join(".giornata/giornata.db");
        path.exists() && store(dir.path()).running_attempts(&endless).is_ok_and(|it| !it.is_empty())
    };
    while !runs() {
        assert!(child.try_wait().unwrap().is_none(), "it ends only when it is told to");
        std::thread::yield_now();
    }
    wish(dir.path(), Wish::Cancel);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let attempts = store(dir.path()).attempts(RunId(1)).unwrap();
    assert_eq!(attempts[0].outcome, Outcome::Cancelled);
}
