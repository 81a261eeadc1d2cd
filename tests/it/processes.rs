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
