//! Backfills in this process: days of which each reads the day before, at any length, and the bench of backfills, small.

#[path = "../../benches/backfill/scenario.rs"]
mod scenario;

use std::collections::BTreeMap;
use std::process::Command;

use giornata::defs::PartitionsDef;
use giornata::engine::{BackfillSpec, BackfillState, RunEvent, RunOptions};
use giornata::exec::Control;
use giornata::plan::Reach;

use crate::freshness_rig::{Shelf, all, asset, daily};

#[test]
fn twenty_thousand_days_that_read_each_other_are_one_backfill() {
    const DAYS: u32 = 20_000;
    let shelf = Shelf::new(false);
    shelf.clock.move_back(4_102_444_800);
    let mut days = daily(0, None);
    let PartitionsDef::TimeWindow(def) = &mut days else { unreachable!() };
    def.end = Some(def.start + chrono::Days::new(u64::from(DAYS)));
    let mut process = shelf.process(vec![asset("sum", days, 1, &[("sum?", "window(-1d, -1d)")])]);
    let engine = shelf.refreshed(&mut process);
    let request = all(engine, false);
    let plan = engine.plan(&request).unwrap();
    let targets = engine.backfill_targets(&request, &plan);
    let spec = BackfillSpec { chunk: Some(7_000), ..BackfillSpec::new(Reach::Upstream) };
    let (chosen, tags) = (BTreeMap::new(), BTreeMap::new());
    let begun = engine.begin_backfill(spec, targets, chosen, tags, "backfill sum -p all").unwrap();
    let mut order = Vec::new();
    let mut listen = |_: &giornata::engine::Engine, event: RunEvent| {
        if let RunEvent::StepStarted { partition, .. } = event {
            order.push(partition);
        }
    };
    let (options, control) = (RunOptions::default(), Control::new());
    let done = engine.carry_out_backfill(begun, &options, &control, &mut listen).unwrap();
    assert_eq!((done.state, done.runs), (BackfillState::Success, 3));
    assert_eq!(done.total.ran, u64::from(DAYS));
    assert!(order.is_sorted(), "each day waits for the day before");
}

#[test]
fn the_bench_runs_small() {
    let dir = tempfile::tempdir().unwrap();
    scenario::commands(dir.path(), 40);
    let backfill = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_giornata"))
            .args(["--now", "2300-01-01T00:00:00Z", "backfill"])
            .args(args)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(backfill(&["day", "-p", "all"]).contains("ran 40"));
    // The tables of an empty store, and a few hundred bytes a result.
    let size = scenario::store_size(dir.path(), 40 * 11);
    assert!(size < 400_000, "{size}");
    scenario::makefile(dir.path(), 3);
    let makefile = std::fs::read_to_string(dir.path().join("Makefile")).unwrap();
    assert!(makefile.starts_with("all: out/2015-01-01 out/2015-01-02 out/2015-01-03\n"));
    std::fs::remove_file(dir.path().join("assets/day.yaml")).unwrap();
    scenario::hours(dir.path(), 48);
    assert!(backfill(&["hour", "-p", "all", "-n"]).contains("48 steps to run"));
    assert_eq!(scenario::DAYS, 1_516);
}
