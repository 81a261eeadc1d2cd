//! What is asked about a past of a million materializations and ten thousand runs, and how soon a run is closed
//! whose process has died.

use std::time::Instant;

use giornata::store::recover;

use super::board::{Board, ROUNDS, ms};
use super::grid::{Grid, key};
use super::process::{Took, interleaved, median, time};
use super::{GIORNATA, Wanted, null, past};

const RUNS: u32 = 10_000;
const ATTEMPTS: u32 = 100_000;

pub fn measure(wanted: &Wanted, board: &mut Board) {
    let grid = null::made(wanted, 100, 10_000);
    let root = &grid.root;
    let marked = root.join(".past");
    if !marked.exists() {
        past::add_runs(root, &key(7), RUNS);
        std::fs::write(&marked, "").expect("the directory can be written");
    }
    let asked: [&[&str]; 5] = [
        &[GIORNATA, "status"],
        &[GIORNATA, "runs"],
        &[GIORNATA, "runs", "--failed", "--asset", "a0007"],
        &[GIORNATA, "runs", "--tag", "number=17"],
        &[GIORNATA, "runs", "show", "1"],
    ];
    for words in asked {
        let took = interleaved(ROUNDS, &mut [&mut || asks(root, words)]);
        let what = format!("1M in 10k runs: {}", words[1..].join(" "));
        board.at_most(&what, ms(median(&took[0]).wall), 50.0, "ms");
    }
    backfill(&grid, board);
    let run = past::interrupt(root, &key(9), ATTEMPTS);
    let mut store = past::open(root);
    let start = Instant::now();
    let recovered = recover(&mut store).expect("the run can be closed");
    let took = start.elapsed();
    assert_eq!((recovered.runs, recovered.attempts), (vec![run], 2));
    board.at_most("a run of 100k attempts is closed", ms(took), 100.0, "ms");
}

/// A backfill of the million partitions, carried out by ten thousand runs.
fn backfill(grid: &Grid, board: &mut Board) {
    let root = &grid.root;
    let marked = root.join(".backfill");
    if !marked.exists() {
        let id = past::add_backfill(root, &grid.request_all().targets);
        std::fs::write(&marked, id.to_string()).expect("the directory can be written");
    }
    let id = std::fs::read_to_string(&marked).expect("it was just written");
    let asked: [&[&str]; 3] =
        [&["backfill", "show", &id], &["backfill", "show", &id, "--json"], &["backfill", "list"]];
    for words in asked {
        let words = [&[GIORNATA], words].concat();
        let took = interleaved(ROUNDS, &mut [&mut || asks(root, &words)]);
        let what = format!("1M in 10k runs: {}", words[1..].join(" "));
        board.at_most(&what, ms(median(&took[0]).wall), 50.0, "ms");
    }
}

fn asks(root: &std::path::Path, words: &[&str]) -> Took {
    let took = time(root, words);
    assert_eq!(took.code, 0, "{words:?}");
    took
}
