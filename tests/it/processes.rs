//! Several processes on one project, with the real binary: nobody makes what another one is making.

use std::path::Path;
use std::process::{Child, Command, Stdio};

const DAYS: usize = 12;

/// A project whose steps take a moment and say in a file that they ran.
fn project(dir: &Path) {
    std::fs::create_dir_all(dir.join("assets")).unwrap();
    std::fs::write(dir.join("giornata.toml"), "name = \"shared\"\n").unwrap();
    let slow = r#"
assets:
  slow:
    partitions: {daily: {start: 2020-01-01, end: 2020-01-13}}
    run: sh slow.sh
    output: day.txt
  sum:
    deps: [slow]
    run: sh sum.sh
    output: sum.txt
"#;
    std::fs::write(dir.join("assets/slow.yaml"), slow).unwrap();
    // Not in the declaration: a project file that a command line names counts as an input.
    let slow = "sleep 0.1; echo \"$GIORNATA_PARTITION\" >> ran.txt; echo x > \"$output\"\n";
    std::fs::write(dir.join("slow.sh"), slow).unwrap();
    let sum = "echo sum >> ran.txt; ls \"$slow\" | wc -l > \"$output\"\n";
    std::fs::write(dir.join("sum.sh"), sum).unwrap();
}

fn start(dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(["-C", dir.to_str().unwrap(), "materialize", "--all", "-j", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn ran(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("ran.txt")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn two_processes_share_the_work_and_repeat_none() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let both = [start(dir.path()), start(dir.path())];
    let said: Vec<String> = both.into_iter().map(finish).collect();
    let ran = ran(dir.path());
    assert_eq!(ran.len(), DAYS + 1, "{ran:?} {said:?}");
    let mut once = ran.clone();
    once.dedup();
    assert_eq!(once, ran, "{said:?}");
    assert!(finish(start(dir.path())).contains("everything up to date"));
}

#[test]
fn what_a_killed_process_was_making_is_made_by_another() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path());
    let mut victim = start(dir.path());
    // Its first results are there, so it is in the middle.
    while ran(dir.path()).is_empty() {
        std::thread::yield_now();
    }
    let other = start(dir.path());
    victim.kill().unwrap();
    victim.wait().unwrap();
    finish(other);
    let ran = ran(dir.path());
    let mut once = ran.clone();
    once.dedup();
    assert_eq!(once.len(), DAYS + 1, "{ran:?}");
    // What ran when the process died runs again, at most two of them, and nothing else does.
    assert!(ran.len() <= DAYS + 1 + 2, "{ran:?}");
    assert!(finish(start(dir.path())).contains("everything up to date"));
}

#[test]
fn eight_processes_with_selections_that_overlap_make_everything_once() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("assets")).unwrap();
    std::fs::write(dir.path().join("giornata.toml"), "name = \"eight\"\n").unwrap();
    let days = "partitions: {daily: {start: 2020-01-01, end: 2020-01-21}}";
    let yaml = format!(
        "assets:\n  \
           a: {{{days}, run: sh step.sh, output: o.txt}}\n  \
           b: {{{days}, deps: [a], run: sh step.sh, output: o.txt}}\n  \
           c: {{{days}, deps: [b], run: sh step.sh, output: o.txt}}\n  \
           all: {{deps: [c], run: sh step.sh, output: o.txt}}\n"
    );
    std::fs::write(dir.path().join("assets/all.yaml"), yaml).unwrap();
    let step = "echo \"$GIORNATA_ASSET@$GIORNATA_PARTITION\" >> ran.txt; echo x > \"$output\"\n";
    std::fs::write(dir.path().join("step.sh"), step).unwrap();
    let selections = [
        "materialize --all",
        "materialize c",
        "materialize b",
        "materialize a b",
        "materialize all",
        "materialize b -p 2020-01-01..2020-01-10",
        "materialize c -p 2020-01-05..2020-01-20",
        "materialize --all",
    ];
    let start = |selection: &&str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
        command.arg("-C").arg(dir.path()).args(selection.split(' ')).args(["-j", "2"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let all: Vec<Child> = selections.iter().map(start).collect();
    let said: Vec<String> = all.into_iter().map(finish).collect();
    let ran = ran(dir.path());
    let mut once = ran.clone();
    once.dedup();
    assert_eq!(once, ran, "{said:?}");
    assert_eq!(ran.len(), 3 * 20 + 1, "{said:?}");
}

/// Two assets of the pool `one`, and one op of a job. Who runs while another runs fails.
const POOL: &str = r#"
pools: {one: 1}
assets:
  p: {partitions: {daily: {start: 2020-01-01, end: 2020-01-16}}, pool: one, run: sh alone.sh, output: o.txt}
  q: {partitions: {daily: {start: 2020-01-01, end: 2020-01-16}}, pool: one, run: sh alone.sh, output: o.txt}
  endless: {pool: one, run: 'echo ready > ready.txt; sleep 3600 & wait', output: o.txt}
jobs:
  j:
    ops:
      first: {run: sh alone.sh, pool: one}
      second: {run: sh alone.sh, pool: one}
"#;

/// Nobody but a directory says whether somebody else is there.
const ALONE: &str = "mkdir alone || exit 1\ntouch \"${output:-x}\"; rmdir alone\n";

fn limited(yaml: &str, settings: &str, script: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("assets")).unwrap();
    std::fs::write(dir.path().join("giornata.toml"), format!("name = \"limited\"\n{settings}"))
        .unwrap();
    std::fs::write(dir.path().join("assets/all.yaml"), yaml).unwrap();
    std::fs::write(dir.path().join("alone.sh"), script).unwrap();
    dir
}

fn begin(dir: &Path, arguments: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
    command.arg("-C").arg(dir).args(arguments.split(' '));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[test]
fn a_pool_holds_across_processes_whatever_runs_in_it() {
    let dir = limited(POOL, "", ALONE);
    let all = ["m p -j 4", "m q -j 4", "run j -j 2"].map(|arguments| begin(dir.path(), arguments));
    all.into_iter().for_each(|child| drop(finish(child)));
}

#[test]
fn a_limit_of_all_steps_holds_across_processes() {
    let yaml = POOL.replace(", pool: one", "");
    // Two may run at once, so each finds one of two places.
    let two =
        "mkdir a && d=a || mkdir b && d=${d:-b} || exit 1\ntouch \"${output:-x}\"; rmdir $d\n";
    let dir = limited(&yaml, "[settings]\nmax_steps = 2\n", two);
    let all = ["m p -j 4", "m q -j 4", "run j -j 2"].map(|arguments| begin(dir.path(), arguments));
    all.into_iter().for_each(|child| drop(finish(child)));
}

#[test]
fn a_place_in_a_pool_is_free_when_its_holder_dies() {
    let dir = limited(POOL, "", ALONE);
    let mut holder = begin(dir.path(), "m endless");
    while !dir.path().join("ready.txt").exists() {
        assert_eq!(holder.try_wait().unwrap(), None, "it does not end by itself");
        std::thread::yield_now();
    }
    let mut waiting = begin(dir.path(), "m p -j 2");
    // It has begun to make what waits for the pool.
    let control = giornata::exec::Control::new();
    while !dir.path().join(".giornata/owners").read_dir().is_ok_and(|all| all.count() == 2) {
        assert_eq!(waiting.try_wait().unwrap(), None);
        control.wait(std::time::Duration::from_millis(1));
    }
    assert_eq!(waiting.try_wait().unwrap(), None, "the pool is full");
    holder.kill().unwrap();
    holder.wait().unwrap();
    finish(waiting);
}
