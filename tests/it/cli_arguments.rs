//! Exit codes, streams, bad input, and what of the environment is honoured, with the real binary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A project of three small assets; `b` reads `a`, which reads a file.
const FILES: [(&str, &str); 3] = [
    ("giornata.toml", "name = \"small\"\n"),
    (
        "assets/all.yaml",
        "sources:\n  raw: {files: assets/raw.txt}\nassets:\n  a:\n    deps: [raw]\n    run: sh assets/a.sh \"$raw\" \"$output\"\n    \
         output: a.txt\n  b:\n    deps: [a]\n    run: cp \"$a\" \"$output\"\n    output: b.txt\n",
    ),
    ("assets/a.sh", "cat \"$1\" > \"$2\"\necho working\n"),
];

fn project() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("assets")).unwrap();
    for (name, text) in FILES {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::write(dir.path().join("assets/raw.txt"), "one\n").unwrap();
    dir
}

fn giornata(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_giornata"));
    command
        .args(args)
        .current_dir(root)
        .env_remove("NO_COLOR")
        .env_remove("CI")
        .stdin(Stdio::null());
    command
}

#[track_caller]
fn check(root: &Path, args: &[&str], code: i32, out: &str, err: &str) -> Output {
    let output = giornata(root, args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{stdout}\n{stderr}");
    assert!(stdout.contains(out), "{args:?}: no `{out}` on stdout\n{stdout}");
    assert!(stderr.contains(err), "{args:?}: no `{err}` on stderr\n{stderr}");
    output
}

#[test]
fn results_and_talk_go_to_different_streams() {
    let dir = project();
    let root = dir.path();
    check(root, &["m", "b"], 0, "ran 2", "");
    check(root, &["m", "b", "--jsonl"], 0, "\"event\":\"finished\"", "");
    check(root, &["cat", "b"], 0, "one\n", "");
    fs::write(root.join("assets/raw.txt"), "two\n").unwrap();
    check(root, &["cat", "b"], 0, "one\n", "warning: 1 partition of `b` not fresh");
    let output = check(root, &["-q", "m", "--all"], 0, "", "");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    check(root, &["cat", "b"], 0, "two\n", "");
}

#[test]
fn bad_arguments_end_with_two_and_say_what_to_do() {
    let dir = project();
    let root = dir.path();
    check(root, &["nonsense"], 2, "", "unrecognized subcommand");
    check(root, &["m"], 2, "", "hint: name assets");
    check(root, &["m", "bb"], 2, "", "did you mean `b`?");
    check(root, &["m", "kind:nothing"], 2, "", "the selection is empty");
    check(root, &["m", "a and"], 2, "", "an asset is missing here");
    check(root, &["m", "a@x", "-p", "y"], 2, "", "");
    check(root, &["m", "a", "--set", "x=1"], 2, "", "`x` is not a configuration value");
    check(root, &["status", "a@x"], 2, "", "whole assets");
    check(root, &["why", "a b"], 2, "", "names 2 assets");
    check(root, &["cat", "a"], 2, "", "no result");
    check(root, &["-C", "missing", "list"], 2, "", "missing");
    check(root, &["--now", "tomorrow", "list"], 2, "", "2016-01-31");
    assert!(!root.join(".giornata/runs").exists());
}

#[test]
fn without_a_project_there_is_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    check(dir.path(), &["list"], 2, "", "hint: `giornata init`");
}

#[test]
fn a_failed_step_shows_its_log_and_what_depends_on_it() {
    let dir = project();
    let root = dir.path();
    fs::write(root.join("assets/a.sh"), "echo out of luck >&2\nexit 3\n").unwrap();
    let output = check(root, &["m", "b"], 1, "1 failed, 1 blocked", "exit status 3");
    let err = String::from_utf8_lossy(&output.stderr);
    for text in ["`a` failed", "| out of luck", "log: ", "blocked: 1 partition of `b`"] {
        assert!(err.contains(text), "no `{text}` in\n{err}");
    }
    check(root, &["status", "--check"], 1, "failed", "");
    check(root, &["show", "a"], 0, "exit status 3", "");
}

#[test]
fn a_broken_file_stops_only_what_needs_it() {
    let dir = project();
    let root = dir.path();
    fs::write(root.join("assets/more.yaml"), "assets:\n  c:\n    rnu: cp \"$a\" \"$output\"\n")
        .unwrap();
    check(root, &["check"], 2, "", "assets/more.yaml:3:5");
    check(root, &["m", "b"], 0, "ran 2", "warning: 1 error in `assets/more.yaml`");
    check(root, &["m", "c"], 2, "", "assets/more.yaml:3:5");
    check(root, &["m", "--all"], 2, "", "assets/more.yaml:3:5");
    check(root, &["list"], 0, "a ", "giornata check");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = project();
    let mut child = giornata(dir.path(), &["list", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn colour_is_for_those_who_ask() {
    let dir = project();
    let has_colour = |args: &[&str], name: &str| {
        let output = giornata(dir.path(), args).env(name, "1").output().unwrap();
        output.stderr.contains(&0x1b)
    };
    assert!(!has_colour(&["m", "x"], "UNUSED"));
    assert!(has_colour(&["--color", "always", "m", "x"], "UNUSED"));
    assert!(!has_colour(&["--color", "never", "m", "x"], "CLICOLOR_FORCE"));
    assert!(!has_colour(&["m", "x"], "NO_COLOR"));
}

#[test]
fn secrets_reach_commands_and_no_message() {
    let dir = project();
    let root = dir.path();
    fs::write(root.join(".env"), "# access\nexport TOKEN='sesame'\nhunter2\n").unwrap();
    fs::write(root.join("assets/a.sh"), "test \"$TOKEN\" = sesame && cp \"$1\" \"$2\"\n").unwrap();
    let output = check(root, &["-v", "m", "b"], 0, "ran 2", "`.env:3` is left out");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!said.contains("sesame") && !said.contains("hunter2"), "{said}");
}

#[test]
fn configured_values_can_be_replaced_for_one_run() {
    let dir = project();
    let root = dir.path();
    let yaml = "assets:\n  c:\n    run: printf '%s' \"$GIORNATA_CONFIG\" > \"$output\"\n    output: c.txt\n    config: {n: 1}\n";
    fs::write(root.join("assets/c.yaml"), yaml).unwrap();
    check(root, &["m", "c"], 0, "ran 1", "");
    check(root, &["m", "c", "--set", "n=2"], 0, "ran 1", "");
    check(root, &["cat", "c"], 0, "2", "");
    fs::write(root.join("v.toml"), "[c]\nn = 3\n").unwrap();
    check(root, &["plan", "c", "--config", "v.toml"], 0, "config-changed 1", "");
    check(root, &["plan", "c", "--set", "m=3"], 2, "", "there are `n`");
}
