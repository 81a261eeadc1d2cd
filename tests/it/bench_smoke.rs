//! What big projects cost, in counts: the projects of `benches/scale`, small.
//!
//! A count does not depend on the machine, and one that does not grow with the number of partitions is
//! the promise of speed itself.

#[path = "../../benches/scale/fill.rs"]
mod fill;
#[path = "../../benches/scale/grid.rs"]
mod grid;
#[path = "../../benches/scale/past.rs"]
mod past;
#[path = "../../benches/scale/steps.rs"]
mod steps;

use std::collections::BTreeMap;
use std::path::Path;

use giornata::base::Durability;
use giornata::engine::{Attempts, Engine, Progress, RunQuery, RunState, Summary, Work};
use giornata::plan::Plan;
use giornata::store::Store;
use giornata::store::snapshot::Snapshot;
use grid::{Grid, Kind};

const ASSETS: u32 = 7;

/// A grid that was filled, and of which what fails has failed.
fn made(partitions: u32, kind: Kind) -> (tempfile::TempDir, Grid) {
    let dir = tempfile::tempdir().unwrap();
    let grid = Grid::write(dir.path(), ASSETS, partitions, kind);
    fill::fill(&grid);
    let summary = grid.materialize(&mut grid.engine(), &grid.request_all());
    assert_eq!(summary.ran, 0, "{summary:?}");
    // Files that were written a moment ago may have to be looked into once more.
    for _ in 0..2 {
        grid.materialize(&mut grid.engine(), &grid.request());
    }
    (dir, grid)
}

/// What one thing costs an open engine.
fn cost<T>(engine: &mut Engine, thing: impl FnOnce(&mut Engine) -> T) -> (T, Work) {
    let before = engine.work();
    let value = thing(engine);
    let after = engine.work();
    let work = Work {
        statements: after.statements - before.statements,
        files_hashed: after.files_hashed - before.files_hashed,
        queries: after.queries - before.queries,
    };
    (value, work)
}

/// A process that finds nothing to do, from its first statement to its last.
fn null(grid: &Grid) -> (Summary, Work) {
    let mut engine = grid.engine();
    let summary = grid.materialize(&mut engine, &grid.request());
    (summary, engine.work())
}

fn look_and_plan(grid: &Grid, engine: &mut Engine) -> Plan {
    grid.refresh(engine);
    engine.plan(&grid.request()).unwrap()
}

#[test]
fn nothing_to_do_costs_the_same_for_ten_times_as_many_partitions() {
    let [few, many] = [20, 200].map(|partitions| {
        let (_dir, grid) = made(partitions, Kind::Failing);
        let (summary, work) = null(&grid);
        let fresh = grid.request().targets.values().map(|set| set.len()).sum();
        assert_eq!(summary, Summary { fresh, ..Summary::default() });
        work
    });
    assert_eq!(few, many);
    assert_eq!(few.files_hashed, 0);
    // Domain, edges, shape, step and freshness of each asset.
    assert!(few.queries <= u64::from(ASSETS + 1) * 5, "{few:?}");
    // Of the failed partition of each asset: its rows and those of its inputs, its failure, its trace.
    assert!(few.statements <= 40 + u64::from(ASSETS) * 8, "{few:?}");
}

#[test]
fn exported_files_in_place_cost_one_statement_an_asset() {
    let [few, many] = [20, 200].map(|partitions| {
        let (_dir, grid) = made(partitions, Kind::Exported);
        let (summary, work) = null(&grid);
        assert!(summary.is_idle() && summary.is_success(), "{summary:?}");
        work
    });
    assert_eq!(few, many);
    assert!(few.statements <= 40 + u64::from(ASSETS), "{few:?}");
}

#[test]
fn an_export_is_put_back_whatever_is_remembered_of_it() {
    let (dir, grid) = made(20, Kind::Exported);
    let path = dir.path().join("out/a0006/p000007.txt");
    for damage in
        [|path: &Path| std::fs::write(path, "8\n"), |path: &Path| std::fs::remove_file(path)]
    {
        damage(&path).unwrap();
        null(&grid);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "7\n");
    }
    // A result that has changed is another file, also for a process that did not make it.
    grid.put(&grid::source_file(7), "other\n");
    null(&grid);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "other\n");
    std::fs::write(&path, "7\n").unwrap();
    null(&grid);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "other\n");
}

#[test]
fn a_changed_source_is_planned_without_a_look_at_whole_columns() {
    let [few, many] = [50, 500].map(|partitions| {
        let (_dir, grid) = made(partitions, Kind::Failing);
        let mut engine = grid.engine();
        look_and_plan(&grid, &mut engine);
        let ((), again) = cost(&mut engine, |engine| {
            engine.plan(&grid.request()).unwrap();
        });
        assert_eq!(again, Work::default(), "a plan for the second time");
        grid.put(&grid::source_file(30), "other\n");
        grid.refresh(&mut engine);
        let (plan, work) = cost(&mut engine, |engine| engine.plan(&grid.request()).unwrap());
        assert_eq!((plan.certain(), plan.possible()), (1, u64::from(ASSETS) - 1));
        work
    });
    assert_eq!(few, many);
    // The freshness of each asset and of the source, and which partitions the source has.
    assert!(few.queries <= u64::from(ASSETS + 2), "{few:?}");
    assert!(few.statements <= u64::from(ASSETS) * 6, "{few:?}");
}

#[test]
fn what_was_never_made_is_planned_without_its_keys() {
    const MADE: u32 = 7;
    let [few, many] = [40, 4_000].map(|days| {
        let dir = tempfile::tempdir().unwrap();
        steps::write(dir.path(), days);
        let mut engine = grid::open(dir.path());
        let (all, some) = (steps::request(&engine, days), steps::request(&engine, MADE));
        let (plan, nothing_made) = cost(&mut engine, |engine| engine.plan(&all).unwrap());
        assert_eq!((plan.certain(), plan.assets[0].fresh.len()), (days.into(), 0));
        steps::materialize(&mut engine, &some);
        drop(engine);
        let mut engine = grid::open(dir.path());
        let (plan, some_made) = cost(&mut engine, |engine| engine.plan(&all).unwrap());
        assert_eq!((plan.certain(), plan.assets[0].fresh.len()), ((days - MADE).into(), 7));
        [nothing_made, some_made]
    });
    // A key would be looked up among those that have led to something.
    assert_eq!(few, many);
    assert!(few.iter().all(|work| work.statements <= 8), "{few:?}");
}

#[test]
fn a_command_costs_few_statements_and_pages() {
    let dir = tempfile::tempdir().unwrap();
    const COMMANDS: u32 = 40;
    steps::write(dir.path(), COMMANDS);
    let mut engine = grid::open(dir.path());
    let before = log_pages(dir.path());
    let (summary, work) = cost(&mut engine, steps::run);
    assert_eq!(summary, Summary { ran: COMMANDS.into(), unchanged: 0, ..summary });
    assert!(work.statements <= u64::from(COMMANDS) * 18 + 40, "{work:?}");
    let pages = log_pages(dir.path()) - before;
    assert!(pages <= u64::from(COMMANDS) * 10 + 40, "{pages}");
}

/// The pages in SQLite's log, of a store that is open.
fn log_pages(root: &Path) -> u64 {
    let log = root.join(".giornata/giornata.db-wal");
    // Each has 24 bytes in front of it.
    std::fs::metadata(log).unwrap().len() / (4096 + 24)
}

#[test]
fn how_far_a_backfill_is_costs_the_same_for_any_number_of_runs() {
    let [few, many] = [200, 2_000].map(|partitions| {
        let (_dir, grid) = made(partitions, Kind::Failing);
        let targets = grid.request_all().targets;
        let id = past::add_backfill(&grid.root, &targets);
        let mut engine = grid.engine();
        let (report, work) = cost(&mut engine, |engine| engine.backfill_report(id).unwrap());
        assert_eq!(report.runs.len() as u32, ASSETS * partitions / 100);
        assert_eq!(report.targets(&[Progress::Done]), targets);
        work
    });
    assert_eq!(few, many);
    assert!(few.statements <= 8, "{few:?}");
}

#[test]
fn a_long_past_is_asked_about_in_few_statements() {
    let (_dir, grid) = made(60, Kind::Failing);
    let asset = grid::key(3);
    past::add_runs(&grid.root, &asset, 40);
    let mut engine = grid.engine();
    let failed = RunQuery {
        states: &[RunState::Failure],
        asset: Some(&asset),
        limit: Some(5),
        ..RunQuery::default()
    };
    let (runs, work) = cost(&mut engine, |engine| engine.runs(&failed).unwrap());
    assert_eq!(runs.len(), 5);
    assert!(work.statements <= 3, "{work:?}");
    let (report, work) =
        cost(&mut engine, |engine| engine.run_report(runs[0].id, Attempts::IfFew).unwrap());
    assert_eq!(report.fates.len(), 1);
    assert!(work.statements <= 40, "a failure is looked up each, and there are few: {work:?}");
    drop(engine);
    let run = past::interrupt(&grid.root, &asset, 30);
    let engine = grid.engine();
    assert_eq!(engine.closed().runs, [run]);
    assert_eq!((engine.closed().steps, engine.run(run).unwrap().counts["ran"]), (2, 30));
}

/// Every row of a store, without what differs between two runs of the same: times, the numbers that
/// things happened to get, and revisions, which say only what came before what.
fn rows(grid: &Grid) -> BTreeMap<String, u32> {
    let store = Store::open(&grid.root.join(".giornata"), Durability::Batch).unwrap();
    let text = Snapshot::render(&store).unwrap();
    let varies = regex::Regex::new(
        r" (changed_at|verified_at|verified_rev|max_changed|rev|created_rev|added_rev|duration_ms|cpu_ms|peak_kib|owner|id|step)=\S+",
    )
    .unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let line = varies.replace_all(line, "");
        let name = line.split(' ').next().unwrap();
        if !["meta", "stat", "memory"].contains(&name) {
            *rows.entry(line.into_owned()).or_default() += 1;
        }
    }
    rows
}

#[test]
fn a_store_that_was_filled_is_one_that_a_run_left() {
    for kind in [Kind::Failing, Kind::Exported] {
        let [filled, ran] = [true, false].map(|is_filled| {
            let dir = tempfile::tempdir().unwrap();
            let grid = Grid::write(dir.path(), ASSETS, 9, kind);
            if is_filled {
                fill::fill(&grid);
            } else {
                let summary = grid.materialize(&mut grid.engine(), &grid.request());
                assert!(summary.ran > 30 && summary.is_success(), "{summary:?}");
            }
            let first = rows(&grid);
            let summary = grid.materialize(&mut grid.engine(), &grid.request_all());
            let failing = if kind == Kind::Failing { u64::from(ASSETS) } else { 0 };
            assert_eq!((summary.ran, summary.failed), (0, failing));
            (first, rows(&grid))
        });
        assert_eq!(filled, ran);
    }
}
