//! What watching costs: from a closed file to the step that reads it, the first look at many files, a
//! process that waits, and a queue of events that overflows.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::board::{Board, ms};
use super::{GIORNATA, Wanted};

const SETTLE: Duration = Duration::from_millis(50);

const CHAIN: &str = r#"
sources:
  inbox: {files: "inbox/**/{name}.csv"}
assets:
  clean:
    partitions: each(inbox)
    deps: [inbox]
    sql: SELECT count(*) AS n FROM inbox
    automation: eager
"#;

/// A source of many files that nothing reads.
const FILES: &str = r#"
sources:
  inbox: {files: "inbox/**/{name}.csv"}
"#;

/// A sensor that takes account of files, and whose assets are made for all of them at once.
const SENSOR: &str = r#"
sources:
  inbox: {files: "inbox/**/{name}.csv"}
assets:
  clean:
    partitions: each(inbox)
    deps: [inbox]
    sql: SELECT count(*) AS n FROM inbox
sensors:
  arrivals: {watch: "inbox/**/*.csv", select: clean, partition: "{stem}"}
"#;

struct Watcher {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watcher {
    fn start(dir: &Path, args: &[&str]) -> Watcher {
        let mut child = Command::new(GIORNATA)
            .args(["watch", "--jsonl"])
            .args(args)
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let lines = BufReader::new(child.stdout.take().expect("the stream is piped"));
        let mut watcher = Watcher { child, lines };
        watcher.until("\"watching\"");
        watcher
    }

    /// Reads lines until one has this in it; gives it.
    fn until(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("it prints text");
            assert!(read > 0, "it ended before it said {part}");
            if line.contains(part) {
                return line;
            }
        }
    }

    /// User and system time so far, and the peak of memory in MB.
    fn usage(&self) -> (Duration, f64) {
        let of = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default()
        };
        let stat = of("stat");
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
        // In hundredths of a second, wherever this runs.
        let cpu = Duration::from_millis((ticks(11) + ticks(12)) * 10);
        let status = of("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb: f64 =
            peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok()).unwrap_or_default();
        (cpu, kb / 1024.0)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn project(dir: &Path, definitions: &str) {
    fs::create_dir_all(dir.join("assets")).expect("a directory can be made");
    fs::create_dir_all(dir.join("inbox")).expect("a directory can be made");
    fs::write(dir.join("giornata.toml"), "name = \"watched\"\n").expect("it can be written");
    fs::write(dir.join("assets/a.yaml"), definitions).expect("it can be written");
}

pub fn measure(wanted: &Wanted, board: &mut Board) {
    latency(wanted, board);
    start_up(wanted, board);
    idle(wanted, board);
    overflow(wanted, board);
}

fn latency(wanted: &Wanted, board: &mut Board) {
    const FILES: usize = 1_000;
    let dir = wanted.project("watch-latency", |dir| project(dir, CHAIN));
    let mut watcher = Watcher::start(&dir, &[]);
    let mut took = Vec::with_capacity(FILES);
    for n in 0..FILES {
        fs::write(dir.join(format!("inbox/f{n}.csv")), "id\n1\n").expect("it can be written");
        let closed = Instant::now();
        watcher.until("\"step-started\"");
        took.push(closed.elapsed().saturating_sub(SETTLE));
        watcher.until("\"ended\"");
    }
    took.sort();
    let at = |share: usize| ms(took[(FILES * share / 1000).min(FILES - 1)]);
    board.at_most("file closed to step started, beyond settle, median", at(500), 10.0, "ms");
    board.at_most("the same, 99th percentile", at(990), 50.0, "ms");
    board.tell("the same, the longest", at(1000), "ms");
}

fn start_up(wanted: &Wanted, board: &mut Board) {
    const DIRS: usize = 1_000;
    let dir = wanted.project("watch-files", |dir| {
        project(dir, FILES);
        for n in 0..DIRS {
            let below = dir.join(format!("inbox/d{n}"));
            fs::create_dir_all(&below).expect("a directory can be made");
            for file in 0..100 {
                let path = below.join(format!("f{n}-{file}.csv"));
                fs::write(path, "id\n1\n").expect("it can be written");
            }
        }
    });
    // Twice: files that were written a moment ago are looked into once more.
    for _ in 0..2 {
        super::process::time(&dir, &[GIORNATA, "watch", "--once"]);
    }
    let took = (0..5).map(|_| super::process::time(&dir, &[GIORNATA, "watch", "--once"]));
    let took: Vec<_> = took.collect();
    let best = took.iter().min_by_key(|took| took.wall).expect("there were some");
    board.at_most("start-up over 100,000 known files, best of 5", ms(best.wall) / 1e3, 0.3, "s");
    board.tell("of it CPU", ms(best.cpu) / 1e3, "s");
    board.tell("peak of memory with 100,000 files", best.peak_mb, "MB");
}

fn idle(wanted: &Wanted, board: &mut Board) {
    const WAIT: Duration = Duration::from_secs(30);
    let dir = wanted.project("watch-idle", |dir| {
        project(dir, CHAIN);
        for n in 0..1_000 {
            fs::create_dir_all(dir.join(format!("inbox/d{n}"))).expect("a directory can be made");
        }
    });
    let mut watcher = Watcher::start(&dir, &[]);
    // Once something was made, everything that begins is over.
    fs::write(dir.join("inbox/d7/first.csv"), "id\n1\n").expect("it can be written");
    watcher.until("\"ended\"");
    let (before, _) = watcher.usage();
    std::thread::sleep(WAIT);
    let (after, peak) = watcher.usage();
    let share = (after - before).as_secs_f64() / WAIT.as_secs_f64() * 100.0;
    board.at_most("CPU of an idle process with 1,000 directories", share, 0.1, "%");
    board.at_most("its peak of memory", peak, 40.0, "MB");
}

/// Files are written as fast as can be into directories that are fresh and nested, while the process is
/// stopped, so that the queue of the system overflows.
fn overflow(wanted: &Wanted, board: &mut Board) {
    let files = if wanted.large { 50_000 } else { 20_000 };
    let dir = wanted.project("watch-overflow", |dir| project(dir, SENSOR));
    let mut watcher = Watcher::start(&dir, &[]);
    let signal = |name: &str| {
        let pid = watcher.child.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    };
    signal("-STOP");
    for n in 0..files {
        let below = dir.join(format!("inbox/a{}/b{}", n / 1_000, n / 10));
        fs::create_dir_all(&below).expect("a directory can be made");
        fs::write(below.join(format!("f{n}.csv")), "id\n1\n").expect("it can be written");
    }
    signal("-CONT");
    let began = Instant::now();
    let mut seen = BTreeSet::new();
    while seen.len() < files {
        let line = watcher.until("\"step-succeeded\"");
        let partition =
            line.split("\"partition\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let is_new = seen.insert(partition.unwrap_or_default().to_owned());
        assert!(is_new, "made twice: {line}");
    }
    board.tell("files that were made, each once", files as f64, "");
    board.tell("after the queue overflowed, in", began.elapsed().as_secs_f64(), "s");
    board.tell("peak of memory", watcher.usage().1, "MB");
}
