//! A million partitions of which a hundred have failed: nothing to do, one source changed, code changed.

use std::path::Path;
use std::time::{Duration, Instant};

use giornata::engine::Engine;

use super::board::{Board, ROUNDS, ms};
use super::grid::{Grid, Kind, name, partition, source_file};
use super::process::{Took, interleaved, median, time};
use super::{GIORNATA, Wanted, fill};

pub fn measure(wanted: &Wanted, board: &mut Board) {
    let grid = made(wanted, 100, 10_000);
    whole_processes(&grid, board);
    in_process(&grid, board);
    if wanted.large {
        let grid = made(wanted, 1_000, 10_000);
        let null = median(&interleaved(ROUNDS, &mut [&mut || null(&grid)])[0]);
        board.at_most("10M: materialize, nothing to do", ms(null.wall), 100.0, "ms");
        board.tell("10M: its memory", null.peak_mb, "MB");
    }
}

/// A project whose sound partitions are made and whose failing ones have failed.
pub fn made(wanted: &Wanted, assets: u32, partitions: u32) -> Grid {
    let kind = Kind::Failing;
    let root = wanted.project(&format!("grid-{assets}-{partitions}"), |root| {
        let grid = Grid::write(root, assets, partitions, kind);
        fill::fill(&grid);
        let summary = grid.materialize(&mut grid.engine(), &grid.request_all());
        assert_eq!(summary.failed, u64::from(assets), "{summary:?}");
        assert_eq!(summary.ran, 0, "{summary:?}");
    });
    Grid { root, assets, partitions, kind }
}

/// What can be made is; the failed ones, which a run always tries again, are not asked for.
pub fn null(grid: &Grid) -> Took {
    let sound = format!("{}..", partition(grid.assets));
    let took = time(&grid.root, &[GIORNATA, "materialize", "--all", "-y", "-p", &sound]);
    assert_eq!(took.code, 0, "there is nothing to do");
    took
}

fn whole_processes(grid: &Grid, board: &mut Board) {
    let root: &Path = &grid.root;
    let why = format!("{}@{}", name(99), partition(5_000));
    let why_blocked = format!("{}@{}", name(99), partition(3));
    let took = interleaved(
        ROUNDS,
        &mut [
            &mut || null(grid),
            &mut || time(root, &[GIORNATA, "status"]),
            &mut || time(root, &[GIORNATA, "why", &why]),
            &mut || time(root, &[GIORNATA, "why", &why_blocked]),
            &mut || time(root, &[GIORNATA, "--version"]),
        ],
    );
    let took: Vec<Took> = took.iter().map(|runs| median(runs)).collect();
    board.at_most("1M: materialize, nothing to do", ms(took[0].wall), 60.0, "ms");
    board.at_most("1M: its memory", took[0].peak_mb, 60.0, "MB");
    board.at_most("1M: status", ms(took[1].wall), 50.0, "ms");
    board.at_most("1M: why, of a fresh one", ms(took[2].wall), 50.0, "ms");
    board.at_most("1M: why, of one behind a failed one", ms(took[3].wall), 50.0, "ms");
    board.tell("   of which a process that does nothing takes", ms(took[4].wall), "ms");
    let runs = interleaved(ROUNDS, &mut [&mut || code_changed(grid)]);
    board.at_most(
        "1M: plan after a change of the first asset's code",
        ms(median(&runs[0]).wall),
        500.0,
        "ms",
    );
}

/// Plans with other code of the asset on which all depend, and puts the code back.
fn code_changed(grid: &Grid) -> Took {
    grid.declare(0, " && true");
    let took = time(&grid.root, &[GIORNATA, "materialize", "--dry-run", "--all"]);
    grid.declare(0, "");
    took
}

fn in_process(grid: &Grid, board: &mut Board) {
    let mut engine = grid.engine();
    let request = grid.request();
    let plan = |engine: &Engine| {
        let start = Instant::now();
        let plan = engine.plan(&request).expect("the store can be read");
        (start.elapsed(), plan)
    };
    let cold = plan(&engine).0;
    board.tell("1M: first plan in a process", ms(cold), "ms");
    let hot = (0..100).map(|_| plan(&engine).0);
    board.at_most("1M: plan again", ms(middle(hot.collect())), 0.2, "ms");
    let (mut looks, mut plans) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS as u32 * 2 {
        // There and back again, so that the project stays as it was.
        let part = 5_000 + round / 2;
        let text = if round % 2 == 0 { "other\n".to_owned() } else { format!("{part}\n") };
        grid.put(&source_file(part), &text);
        let start = Instant::now();
        grid.refresh(&mut engine);
        looks.push(start.elapsed());
        let (took, plan) = plan(&engine);
        if round % 2 == 0 {
            assert_eq!((plan.certain(), plan.possible()), (1, u64::from(grid.assets) - 1));
            plans.push(took);
        }
    }
    board.tell("1M: a look at the source, one file changed", ms(middle(looks)), "ms");
    board.at_most("1M: plan after one file has changed", ms(middle(plans)), 1.0, "ms");
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
