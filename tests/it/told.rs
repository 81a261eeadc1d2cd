//! What is told is true: numbers, states and times in the cases that are easily told wrongly.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

fn project(yaml: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("assets")).unwrap();
    fs::write(dir.path().join("giornata.toml"), "").unwrap();
    fs::write(dir.path().join("assets/all.yaml"), yaml).unwrap();
    dir
}

fn giornata(root: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
    command.args(arguments.split_whitespace()).current_dir(root).stdin(Stdio::null());
    command
}

/// Both streams, after the exit code was compared.
#[track_caller]
fn said(root: &Path, arguments: &str, code: i32) -> String {
    let output = giornata(root, arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments}\n{text}");
    text
}

#[track_caller]
fn check(root: &Path, arguments: &str, code: i32, text: &str) {
    let said = said(root, arguments, code);
    assert!(said.contains(text), "{arguments}: no `{text}`\n{said}");
}

/// Starts a command, and waits until a step of it has made the file `started`.
fn start(root: &Path, arguments: &str) -> Child {
    let mut command = giornata(root, arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !root.join("started").exists() {
        std::thread::yield_now();
    }
    child
}

#[test]
fn what_died_does_not_run() {
    let dir = project("assets:\n  a: {run: 'touch started; sleep 60', output: o}\n");
    let mut child = start(dir.path(), "m a");
    check(dir.path(), "status a", 0, "running");
    child.kill().unwrap();
    child.wait().unwrap();
    let told = said(dir.path(), "status a", 0);
    assert!(!told.contains("running") && told.contains("missing"), "{told}");
}

#[test]
fn what_another_process_made_is_fresh() {
    // The first process makes `a` and waits in it until the second has made everything else.
    let dir = project(
        "assets:\n  a: {run: 'touch started; while ! test -e done; do sleep 0.01; done; echo a > $output', output: o}\n  \
         b: {run: 'echo b > $output', output: o}\n  c: {run: 'echo c > $output', output: o}\n",
    );
    let mut command = giornata(dir.path(), "m * -j 1");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !dir.path().join("started").exists() {
        std::thread::yield_now();
    }
    check(dir.path(), "m c", 0, "ran 1");
    fs::write(dir.path().join("done"), "").unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    // It had handed out `b` already, and `c` it need not make.
    assert!(told.contains("ran 2 ") && told.contains(" 1 fresh"), "{told}");
}

#[test]
fn many_failures_are_counted() {
    let dir = project(
        "assets:\n  f: {partitions: {daily: {start: 2024-01-01, end: 2024-03-01}}, run: 'echo no; exit 3', output: o}\n  \
         g: {partitions: {daily: {start: 2024-01-01, end: 2024-03-01}}, deps: [f], run: x, output: o}\n",
    );
    let told = said(dir.path(), "m --all", 1);
    assert!(told.contains("50 more partitions of `f` failed: exit status 3: "), "{told}");
    assert!(told.contains("60 failed, 60 blocked"), "{told}");
    assert!(told.lines().count() < 45, "{told}");
    assert!(said(dir.path(), "m --all -v", 1).matches("exit status 3").count() == 60);
}

#[test]
fn a_result_has_the_time_of_its_own_attempt() {
    let dir = project("assets:\n  a: {run: 'cat in > $output', output: o, inputs: [in]}\n");
    let line = |name: &str, code| {
        let told = said(dir.path(), "show a@all", code);
        told.lines().find(|line| line.starts_with(name)).map(str::to_owned)
    };
    fs::write(dir.path().join("in"), "1").unwrap();
    check(dir.path(), "m a", 0, "ran 1");
    assert!(line("made at", 0).is_some() && line("failed at", 0).is_none());
    fs::remove_file(dir.path().join("in")).unwrap();
    check(dir.path(), "m a", 1, "1 failed");
    assert!(line("failed at", 0).is_some());
    assert_eq!(line("run ", 0).unwrap(), "run          1", "of the result there is");
    fs::write(dir.path().join("in"), "1").unwrap();
    check(dir.path(), "m a", 0, "");
    assert!(line("failed at", 0).is_none());
}

#[test]
fn a_retried_failure_says_how_often() {
    let dir = project("assets:\n  a: {run: 'exit 4', output: o, retries: 2}\n");
    check(dir.path(), "m a", 1, "exit status 4 (the last of 3 attempts)");
}

#[test]
fn nothing_is_named_or_nothing_is_missing() {
    let dir = project("assets:\n  a: {run: 'echo 1 > $output', output: o}\n");
    check(dir.path(), "m a", 0, "ran 1");
    check(dir.path(), "m a@", 2, "no partitions are named");
    check(dir.path(), "m @all", 2, "@all");
    check(dir.path(), "m a -p missing", 0, "everything up to date");
    check(dir.path(), "m a -p failed,stale", 0, "everything up to date");
    check(dir.path(), "cat nosuch", 2, "nosuch");
}

#[test]
fn an_asset_without_partitions_has_no_empty_address() {
    let dir =
        project("assets:\n  a: {run: 'exit 3', output: o}\n  b: {deps: [a], run: x, output: o}\n");
    check(dir.path(), "m b", 1, "1 failed, 1 blocked");
    check(dir.path(), "why b", 0, "upstream-failed: `a` failed");
    check(dir.path(), "cat a", 2, "`a` has no result; ");
}

#[test]
fn a_directory_of_the_user_is_not_replaced_by_an_export() {
    let dir = project(
        "assets:\n  a: {run: 'cp in \"$output_dir/x\"', output_dir: true, export: out/a, inputs: [in]}\n",
    );
    let (root, out) = (dir.path(), dir.path().join("out/a"));
    fs::write(root.join("in"), "1").unwrap();
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("mine"), "precious").unwrap();
    check(root, "m a", 1, "something is there that giornata did not put there");
    assert_eq!(fs::read_to_string(out.join("mine")).unwrap(), "precious");
    fs::remove_dir_all(&out).unwrap();
    check(root, "m a", 0, "");
    assert_eq!(fs::read_to_string(out.join("x")).unwrap(), "1");
    // What it put there itself it replaces.
    fs::write(root.join("in"), "2").unwrap();
    check(root, "m a", 0, "ran 1");
    assert_eq!(fs::read_to_string(out.join("x")).unwrap(), "2");
}

#[test]
fn a_source_whose_file_is_not_there_is_named() {
    // A user saw "up to date: 0 partitions" and no word of the file that was missing.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("assets")).unwrap();
    fs::write(dir.path().join("giornata.toml"), "name = \"p\"\n").unwrap();
    let source = "sources: {rows: {files: data/rows.csv, split_by: day}}\n";
    fs::write(dir.path().join("assets/s.yaml"), source).unwrap();
    let sql = "-- /// asset\n-- partitions = \"each(rows)\"\n-- ///\nSELECT * FROM rows\n";
    fs::write(dir.path().join("assets/a.sql"), sql).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(["-C", dir.path().to_str().unwrap(), "materialize", "a"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no file `data/rows.csv` for source `rows`"), "{said}");
}

#[test]
fn an_unreadable_source_blocks_what_reads_it_and_nothing_else() {
    // A user could not even look at the status of anything, because one row had no key.
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("giornata.toml", "name = \"p\"\n");
    write("assets/s.yaml", "sources: {rows: {files: data/rows.csv, split_by: day}}\n");
    write(
        "assets/a.sql",
        "-- /// asset\n-- partitions = \"each(rows)\"\n-- ///\nSELECT * FROM rows\n",
    );
    write("assets/b.sql", "-- /// asset\n-- ///\nSELECT 1 AS n\n");
    let run = |args: &[&str]| {
        let root = dir.path().to_str().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_giornata"))
            .args(["-C", root])
            .args(args)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
    };
    write("data/rows.csv", "day,n\nmon,1\ntue,2\n");
    assert_eq!(run(&["materialize", "--all"]).0, Some(0));
    write("data/rows.csv", "day,n\nmon,1\n,2\n");
    for _ in 0..2 {
        let (code, said) = run(&["status"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("data/rows.csv") && said.contains("line 3"), "{said}");
    }
    let (code, said) = run(&["materialize", "b"]);
    assert_eq!(code, Some(0), "{said}");
    write("data/rows.csv", "day,n\nmon,1\ntue,2\n");
    let (code, said) = run(&["materialize", "--all"]);
    assert!(code == Some(0) && !said.contains("warning"), "{said}");
    assert!(said.contains("everything up to date"), "{said}");
}
