//! `watch` as a process: signals, crashes, and two of them on one project.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// No test waits so long unless it fails.
const LONG: Duration = Duration::from_secs(120);

/// A process that watches; its lines come as they are written.
struct Watcher {
    child: Child,
    lines: Receiver<String>,
}

impl Watcher {
    fn start(dir: &Path, args: &[&str]) -> Watcher {
        let mut child = Command::new(env!("CARGO_BIN_EXE_giornata"))
            .args(["-C", dir.to_str().unwrap(), "watch", "--settle", "10ms"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (teller, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if teller.send(line).is_err() {
                    break;
                }
            }
        });
        let watcher = Watcher { child, lines };
        watcher.hear("watching");
        watcher
    }

    /// Waits for a line with this in it.
    #[track_caller]
    fn hear(&self, part: &str) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => heard.push(line),
                Err(error) => panic!("`{part}` did not come ({error}): {heard:#?}"),
            }
            if heard.last().unwrap().contains(part) {
                return heard;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It has mostly ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn project(definitions: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("assets")).unwrap();
    fs::create_dir_all(dir.path().join("inbox")).unwrap();
    fs::write(dir.path().join("giornata.toml"), "name = \"p\"\n").unwrap();
    fs::write(dir.path().join("assets/a.yaml"), definitions).unwrap();
    dir
}

fn fifo(dir: &Path) {
    assert!(Command::new("mkfifo").arg(dir.join("hold")).status().unwrap().success());
}

const HELD: &str = r#"
sources: {inbox: {files: "inbox/{name}.csv"}}
assets:
  clean:
    partitions: each(inbox)
    deps: [inbox]
    run: cat hold > "$output"; echo "$GIORNATA_PARTITION" >> ran.txt
    output: clean.csv
    automation: eager
"#;

fn lines(dir: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(dir.join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_first_signal_lets_steps_end_and_starts_no_more() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = project(HELD);
        fifo(dir.path());
        let watcher = Watcher::start(dir.path(), &["-j", "1", "--jsonl"]);
        // All at once: what comes later would be another run.
        let (later, inbox) = (dir.path().join("later"), dir.path().join("inbox"));
        fs::create_dir(&later).unwrap();
        for name in ["a", "b", "c"] {
            fs::write(later.join(format!("{name}.csv")), "1").unwrap();
        }
        fs::rename(later, inbox).unwrap();
        watcher.hear("step-started");
        // Opening it waits for the step that reads it: it runs.
        let hold = fs::File::options().write(true).open(dir.path().join("hold")).unwrap();
        watcher.signal(signal);
        watcher.hear("stopping");
        drop(hold);
        assert_eq!(watcher.end().code(), Some(0));
        assert_eq!(lines(dir.path(), "ran.txt").len(), 1);
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let dir = project(HELD);
    fifo(dir.path());
    fs::write(dir.path().join("inbox/a.csv"), "1").unwrap();
    let watcher = Watcher::start(dir.path(), &["--jsonl"]);
    watcher.hear("step-started");
    let hold = fs::File::options().write(true).open(dir.path().join("hold")).unwrap();
    watcher.signal(Signal::INT);
    watcher.hear("stopping");
    watcher.signal(Signal::INT);
    assert_eq!(watcher.end().code(), Some(130));
    drop(hold);
    assert_eq!(lines(dir.path(), "ran.txt"), [""; 0]);
}

const SENSOR: &str = r#"
jobs:
  note:
    config: {file: string}
    ops:
      say: {run: 'if [ -e hold ]; then cat hold; fi; echo "$GIORNATA_CONFIG" | tee "$output" >> ran.txt', config: [file]}
sensors:
  arrivals: {watch: "inbox/*.csv", job: note, config: {file: "{stem}"}}
"#;

#[test]
fn two_watchers_start_each_run_once() {
    let dir = project(SENSOR);
    let both = [0, 1].map(|_| Watcher::start(dir.path(), &["-j", "2"]));
    const FILES: usize = 30;
    for n in 0..FILES {
        fs::write(dir.path().join(format!("inbox/{n}.csv")), "1").unwrap();
    }
    // Which of them does what is left to chance.
    for looks in 0.. {
        let ran = lines(dir.path(), "ran.txt");
        if ran.len() >= FILES {
            break;
        }
        assert!(looks < 6_000, "{ran:?}");
        let _ = both[0].lines.recv_timeout(Duration::from_millis(20));
    }
    for watcher in both {
        watcher.signal(Signal::TERM);
        assert_eq!(watcher.end().code(), Some(0));
    }
    // Whoever looks again finds nothing to do.
    let (watcher, mut ran) =
        (Watcher::start(dir.path(), &["--once"]), lines(dir.path(), "ran.txt"));
    assert_eq!(watcher.end().code(), Some(0));
    assert_eq!(lines(dir.path(), "ran.txt"), ran);
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), FILES);
}

#[test]
fn what_a_killed_watcher_was_asked_for_is_done_by_the_next() {
    let dir = project(SENSOR);
    fifo(dir.path());
    let watcher = Watcher::start(dir.path(), &[]);
    for name in ["a", "b"] {
        fs::write(dir.path().join(format!("inbox/{name}.csv")), "1").unwrap();
    }
    // Both runs are on their way; neither can end.
    watcher.hear("note because");
    watcher.signal(Signal::KILL);
    watcher.end();
    fs::remove_file(dir.path().join("hold")).unwrap();
    let watcher = Watcher::start(dir.path(), &["--once"]);
    assert_eq!(watcher.end().code(), Some(0));
    let mut ran = lines(dir.path(), "ran.txt");
    ran.sort();
    assert_eq!(ran, [r#"{"file":"a"}"#, r#"{"file":"b"}"#]);
}

const FLOOD: &str = r#"
assets: {made: {run: echo 1 > "$output", output: made.txt}}
sensors:
  arrivals: {watch: "inbox/**/*.csv", select: made}
"#;

/// The process is stopped while files are written, as if the machine were busy: the system has room for
/// 16,384 events, and a file makes four.
#[test]
fn where_the_queue_overflows_each_file_is_asked_for_once() {
    let (flat, nested) = if slow() { (40_000, 10_000) } else { (5_000, 500) };
    let dir = project(FLOOD);
    fs::create_dir_all(dir.path().join("inbox/flood")).unwrap();
    let watcher = Watcher::start(dir.path(), &["--jsonl"]);
    fs::write(dir.path().join("inbox/flood/first.csv"), "1").unwrap();
    watcher.hear("ticked");
    watcher.signal(Signal::STOP);
    for n in 0..flat {
        fs::write(dir.path().join(format!("inbox/flood/{n}.csv")), "1").unwrap();
    }
    for n in 0..nested {
        let below = dir.path().join(format!("inbox/a{}/b{}", n / 100, n / 10));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(format!("{n}.csv")), "1").unwrap();
    }
    watcher.signal(Signal::CONT);
    let mut asked = 0;
    while asked < flat + nested {
        let lines = watcher.hear("\"ticked\"");
        let number = |key: &str| -> usize {
            let (_, rest) = lines.last().unwrap().split_once(key).unwrap();
            rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
        };
        assert_eq!(number("\"known\":"), 0);
        asked += number("\"asked\":");
    }
    assert_eq!(asked, flat + nested);
    watcher.signal(Signal::TERM);
    assert_eq!(watcher.end().code(), Some(0));
    let watcher = Watcher::start(dir.path(), &["--once", "--jsonl"]);
    let lines: Vec<String> = watcher.lines.iter().collect();
    assert!(!lines.iter().any(|line| line.contains("ticked")), "{lines:?}");
}

#[expect(clippy::disallowed_methods, reason = "who runs the tests says how long they may take")]
fn slow() -> bool {
    std::env::var_os("SLOW").is_some()
}
