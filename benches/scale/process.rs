//! Times whole processes: what the operating system says of one that has ended.
//!
//! A process is started by a small one of its own (this program again), which waits for it and asks
//! for the resources of its children: they are then of that one process alone, and its peak of memory
//! is not that of a big parent that was copied when it started.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// The argument that makes this program the small one.
pub const RUN_ONE: &str = "--run-one";

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Took {
    pub wall: Duration,
    /// User and system time, of everything that it waited for too.
    pub cpu: Duration,
    /// Of the biggest process.
    pub peak_mb: f64,
    pub code: i32,
}

/// The small process: runs the command and prints what it took.
pub fn run_one(words: &[String]) {
    let start = Instant::now();
    let status = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the command can be started");
    let wall = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the system keeps account");
    let cpu = micros(usage.user_time()) + micros(usage.system_time());
    let code = status.code().unwrap_or(-1);
    println!("{} {cpu} {} {code}", wall.as_micros(), usage.max_rss());
}

pub fn micros(time: TimeVal) -> u64 {
    time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64
}

/// Runs a command in a directory.
pub fn time(dir: &Path, words: &[&str]) -> Took {
    let mut child = Command::new(std::env::current_exe().expect("this program has a path"))
        .arg(RUN_ONE)
        .args(words)
        .current_dir(dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let mut text = String::new();
    let mut out = child.stdout.take().expect("the stream is piped");
    out.read_to_string(&mut text).expect("it prints text");
    child.wait().expect("it ends");
    let numbers: Vec<i64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, cpu, peak_kb, code] = numbers[..] else { panic!("four numbers, not {text:?}") };
    Took {
        wall: Duration::from_micros(wall as u64),
        cpu: Duration::from_micros(cpu as u64),
        peak_mb: peak_kb as f64 / 1024.0,
        code: code as i32,
    }
}

/// Runs commands in turn, so that a machine that changes its speed changes it for all of them; gives
/// the runs of each. The first round is not counted.
pub fn interleaved(rounds: usize, runs: &mut [&mut dyn FnMut() -> Took]) -> Vec<Vec<Took>> {
    let mut all = vec![Vec::with_capacity(rounds); runs.len()];
    for round in 0..=rounds {
        for (run, took) in runs.iter_mut().zip(&mut all) {
            let one = run();
            if round > 0 {
                took.push(one);
            }
        }
    }
    all
}

/// The run in the middle, each figure by itself.
pub fn median(runs: &[Took]) -> Took {
    let by = |figure: fn(&Took) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Took {
        wall: Duration::from_secs_f64(by(|took| took.wall.as_secs_f64())),
        cpu: Duration::from_secs_f64(by(|took| took.cpu.as_secs_f64())),
        peak_mb: by(|took| took.peak_mb),
        code: runs[0].code,
    }
}

/// Whether a program can be started.
pub fn is_there(program: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}
