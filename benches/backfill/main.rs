//! Times backfills beside GNU make on the same commands, and prints what was promised with each figure.
//!
//! `cargo bench --bench backfill`; `ROUNDS=9` takes more rounds than five.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench owns the clock and the terminal"
)]

#[path = "../scale/process.rs"]
mod process;
mod scenario;

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use giornata::testing::Harness;
use process::{Took, interleaved, is_there, median, time};
use scenario::DAYS;

const GIORNATA: &str = env!("CARGO_BIN_EXE_giornata");

/// The time at which all the days of the projects are over.
const NOW: &str = "2300-01-01T00:00:00Z";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = words.as_slice()
        && first == process::RUN_ONE
    {
        return process::run_one(rest);
    }
    let rounds = std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    commands(rounds);
    functions(rounds);
    preview(rounds);
    store();
}

/// One figure with its bar.
fn say(what: &str, value: f64, unit: &str, bar: f64) {
    let mark = if value <= bar { "ok" } else { "ABOVE" };
    println!("{what:<52} {value:>9.3} {unit:<3} (at most {bar}) {mark}");
}

fn backfill(dir: &Path, args: &[&str]) -> Took {
    let words = [&[GIORNATA, "--now", NOW, "-q", "backfill"], args].concat();
    let took = time(dir, &words);
    assert_eq!(took.code, 0, "the backfill succeeds");
    took
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

fn commands(rounds: usize) {
    // Kept to the end: files that were removed a moment ago make new ones dear, see `benches/scale/commands.rs`.
    let kept = RefCell::new(Vec::new());
    let keep = |dir: tempfile::TempDir| kept.borrow_mut().push(dir);
    let mut ours = || {
        let dir = place();
        scenario::commands(dir.path(), DAYS);
        let took = backfill(dir.path(), &["day", "-p", "all", "-j", "2"]);
        keep(dir);
        took
    };
    let mut make = || {
        let dir = place();
        scenario::makefile(dir.path(), DAYS);
        let took = time(dir.path(), &["make", "-j", "2", "all"]);
        keep(dir);
        took
    };
    let runs = match is_there("make") {
        true => interleaved(rounds, &mut [&mut ours, &mut make]),
        false => interleaved(rounds, &mut [&mut ours]),
    };
    let ours = median(&runs[0]);
    say("1,516 commands: wall time", ours.wall.as_secs_f64(), "s", 3.0);
    say("1,516 commands: peak of memory", ours.peak_mb, "MB", 60.0);
    println!("1,516 commands: CPU time {:.3} s", ours.cpu.as_secs_f64());
    match runs.get(1).map(|runs| median(runs)) {
        Some(make) => {
            println!(
                "GNU make: wall time {:.3} s, CPU time {:.3} s",
                make.wall.as_secs_f64(),
                make.cpu.as_secs_f64()
            );
            let ratio = ours.wall.as_secs_f64() / make.wall.as_secs_f64();
            say("1,516 commands: of GNU make's time", ratio, "", 1.1);
        }
        None => println!("there is no make here to compare with"),
    }
}

fn functions(rounds: usize) {
    let mut took: Vec<Duration> = Vec::new();
    for round in 0..=rounds {
        let mut harness = Harness::code(|project| {
            project
                .asset("day")
                .daily("2015-01-01")
                .compute(|ctx| Ok(ctx.partition().as_str().to_owned()));
        });
        // The last of the days is over.
        harness.set_now("2019-02-25T00:00:00Z");
        let start = Instant::now();
        let ran = harness.materialize("day");
        if round > 0 {
            took.push(start.elapsed());
        }
        assert_eq!(ran.report.ran.len() as u64, DAYS);
    }
    took.sort_unstable();
    say("1,516 Rust functions: wall time", took[took.len() / 2].as_secs_f64(), "s", 0.3);
}

fn preview(rounds: usize) {
    let dir = place();
    scenario::hours(dir.path(), 1_000_000);
    let mut ours = || backfill(dir.path(), &["hour", "-p", "all", "-n"]);
    let took = median(&interleaved(rounds, &mut [&mut ours])[0]);
    say("preview of 1,000,000 partitions", took.wall.as_secs_f64() * 1e3, "ms", 100.0);
}

fn store() {
    let dir = place();
    scenario::commands(dir.path(), 1_000);
    backfill(dir.path(), &["day", "-p", "all"]);
    // A date and the end of its line.
    let size = scenario::store_size(dir.path(), 1_000 * 11);
    say("closed store after 1,000 materializations", size as f64 / 1e6, "MB", 1.0);
}
