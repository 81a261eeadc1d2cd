//! `watch`: what changes is made, once, whatever happens meanwhile.

use std::fs::{self, File, FileTimes};
use std::io::{Seek, Write};
use std::time::{Duration, SystemTime};

use giornata::base::AssetKey;
use giornata::engine::{OnStop, Rule};

use crate::watch_rig::{Rig, ran};

const INBOX: &str = r#"
sources:
  inbox: {files: "inbox/**/{name}.csv"}
assets:
  clean:
    partitions: each(inbox)
    deps: [inbox]
    run: cp "$inbox" "$output"
    output: clean.csv
    automation: eager
sensors:
  seen:
    watch: "inbox/*.csv"
    recursive: true
    events: [new, changed, removed]
    job: note
    run_key: "{path}:{hash}:{event}"
    config: {path: "{path}"}
jobs:
  note:
    config: {path: string}
    ops:
      say: {run: 'echo 1 > "$output"', config: [path]}
"#;

fn inbox() -> Rig {
    Rig::new(INBOX)
}

#[test]
fn a_file_becomes_a_partition_and_its_chain_runs() {
    let mut rig = Rig::new(
        r#"
sources:
  inbox: {files: "inbox/{name}.csv"}
assets:
  clean:
    partitions: each(inbox)
    deps: [inbox]
    run: cp "$inbox" "$output"
    output: clean.csv
  total:
    deps: {clean: all}
    run: cat "$clean"/* > "$output"
    output: total.csv
"#,
    );
    rig.write("inbox/a.csv", "1");
    rig.start(Some(&["total"]));
    let lines = rig.settle("ran total");
    assert_eq!(ran(&lines), ["clean@a", "total@"].into());
    rig.write("inbox/b.csv", "2");
    let lines = rig.settle("ran total");
    assert_eq!(ran(&lines), ["clean@b", "total@"].into());
    assert!(lines.contains(&"observed inbox: new b".to_owned()), "{lines:?}");
    fs::remove_file(rig.path("inbox/a.csv")).unwrap();
    let lines = rig.settle("ran total");
    assert_eq!(ran(&lines), ["total@"].into(), "what was made of it stays, and is read no more");
    assert_eq!(rig.stop(OnStop::Finish).failed, 0);
}

/// One row of the table of events.
struct Row {
    what: &'static str,
    /// Files that are there before, each with the text `1`.
    before: &'static [&'static str],
    act: fn(&Rig),
    /// Partitions that run.
    runs: &'static [&'static str],
    /// What the sensor hears.
    sensor: &'static [&'static str],
}

fn write(rig: &Rig, name: &str, text: &str) {
    rig.write(name, text);
}

fn edit(rig: &Rig, name: &str) -> File {
    File::options().read(true).write(true).open(rig.path(name)).unwrap()
}

fn rename(rig: &Rig, from: &str, to: &str) {
    fs::rename(rig.path(from), rig.path(to)).unwrap();
}

/// The longest that a file system takes, with its ending.
const LONG_NAME: &str = match std::str::from_utf8(&[b'n'; 251]) {
    Ok(name) => name,
    Err(_) => panic!("it is ASCII"),
};

const EVENTS: &[Row] = &[
    Row {
        what: "create",
        before: &[],
        act: |rig| write(rig, "inbox/create.csv", "1"),
        runs: &["create"],
        sensor: &["1 new file"],
    },
    Row {
        what: "append",
        before: &["append"],
        act: |rig| {
            let mut file = File::options().append(true).open(rig.path("inbox/append.csv")).unwrap();
            file.write_all(b"2").unwrap();
        },
        runs: &["append"],
        sensor: &["1 changed file"],
    },
    Row {
        what: "truncate",
        before: &["truncate"],
        act: |rig| edit(rig, "inbox/truncate.csv").set_len(0).unwrap(),
        runs: &["truncate"],
        sensor: &["1 changed file"],
    },
    Row {
        what: "rewrite with the same size and time",
        before: &["rewrite"],
        act: |rig| {
            let path = rig.path("inbox/rewrite.csv");
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "2").unwrap();
            let times = FileTimes::new().set_modified(time);
            edit(rig, "inbox/rewrite.csv").set_times(times).unwrap();
        },
        runs: &["rewrite"],
        sensor: &["1 changed file"],
    },
    Row {
        what: "rename into place",
        before: &[],
        act: |rig| {
            write(rig, "inbox/placed.csv.tmp", "1");
            rename(rig, "inbox/placed.csv.tmp", "inbox/placed.csv");
        },
        runs: &["placed"],
        sensor: &["1 new file"],
    },
    Row {
        what: "rename of a directory with new content",
        before: &[],
        act: |rig| {
            write(rig, "outside/dir/sub/moved.csv", "1");
            rename(rig, "outside/dir", "inbox/dir");
        },
        runs: &["moved"],
        sensor: &["1 new file"],
    },
    Row {
        what: "rename of a directory within",
        before: &[],
        act: |rig| rename(rig, "inbox/dir", "inbox/other"),
        // The partition has the name of the file, and the file is what it was.
        runs: &[],
        sensor: &["1 new file, 1 removed file"],
    },
    Row {
        what: "write under a renamed directory",
        before: &[],
        act: |rig| write(rig, "inbox/other/sub/under.csv", "1"),
        runs: &["under"],
        sensor: &["1 new file"],
    },
    Row {
        what: "delete and recreate with the same content",
        before: &["again"],
        act: |rig| {
            fs::remove_file(rig.path("inbox/again.csv")).unwrap();
            write(rig, "inbox/again.csv", "1");
        },
        runs: &[],
        sensor: &[],
    },
    Row {
        what: "delete and recreate with another content",
        before: &["anew"],
        act: |rig| {
            fs::remove_file(rig.path("inbox/anew.csv")).unwrap();
            write(rig, "inbox/anew.csv", "2");
        },
        runs: &["anew"],
        sensor: &["1 changed file"],
    },
    Row {
        what: "touch",
        before: &["touch"],
        act: |rig| {
            let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
            edit(rig, "inbox/touch.csv").set_times(times).unwrap();
        },
        runs: &[],
        sensor: &[],
    },
    Row {
        what: "chmod",
        before: &["chmod"],
        act: |rig| {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(rig.path("inbox/chmod.csv"), mode).unwrap();
        },
        runs: &[],
        sensor: &[],
    },
    Row {
        what: "move to trash",
        before: &["trash"],
        act: |rig| {
            fs::create_dir_all(rig.path("trash")).unwrap();
            rename(rig, "inbox/trash.csv", "trash/trash.csv");
        },
        runs: &[],
        sensor: &["1 removed file"],
    },
    Row {
        what: "atomic save: a new file over the old one",
        before: &["saved"],
        act: |rig| {
            write(rig, "inbox/.saved.csv.swp", "2");
            rename(rig, "inbox/.saved.csv.swp", "inbox/saved.csv");
        },
        runs: &["saved"],
        sensor: &["1 changed file"],
    },
    Row {
        what: "atomic save: the old file aside, a new one in its place",
        before: &["aside"],
        act: |rig| {
            rename(rig, "inbox/aside.csv", "inbox/aside.csv~");
            write(rig, "inbox/aside.csv", "2");
            fs::remove_file(rig.path("inbox/aside.csv~")).unwrap();
        },
        runs: &["aside"],
        sensor: &["1 changed file"],
    },
    Row {
        what: "rsync --inplace",
        before: &["inplace"],
        act: |rig| {
            let mut file = edit(rig, "inbox/inplace.csv");
            file.seek(std::io::SeekFrom::Start(1)).unwrap();
            file.write_all(b"2").unwrap();
            let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
            file.set_times(times).unwrap();
        },
        runs: &["inplace"],
        sensor: &["1 changed file"],
    },
    Row {
        what: "hard link",
        before: &["linked"],
        act: |rig| {
            fs::hard_link(rig.path("inbox/linked.csv"), rig.path("inbox/second.csv")).unwrap();
        },
        runs: &["second"],
        sensor: &["1 new file"],
    },
    Row {
        what: "cp -r of a deep tree",
        before: &[],
        act: |rig| {
            for n in 0..5 {
                write(rig, &format!("inbox/x{n}/y/z/deep{n}.csv"), "1");
            }
        },
        runs: &["deep0", "deep1", "deep2", "deep3", "deep4"],
        sensor: &["5 new files"],
    },
    Row {
        what: "a directory removed with all in it",
        before: &[],
        act: |rig| fs::remove_dir_all(rig.path("inbox/x0")).unwrap(),
        runs: &[],
        sensor: &["1 removed file"],
    },
    Row {
        what: "a name of 255 bytes",
        before: &[],
        act: |rig| write(rig, &format!("inbox/{LONG_NAME}.csv"), "1"),
        runs: &[LONG_NAME],
        sensor: &["1 new file"],
    },
    Row {
        what: "a name with newlines",
        before: &[],
        act: |rig| write(rig, "inbox/two\nlines.csv", "1"),
        runs: &["two\nlines"],
        sensor: &["1 new file"],
    },
];

/// How many files of each kind the sensor has heard of.
fn heard(lines: &[impl AsRef<str>]) -> Vec<(String, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    for line in lines {
        let line = line.as_ref();
        let reason = line.split_once('(').map_or(line, |(_, rest)| rest).trim_end_matches(')');
        for part in reason.split(", ").filter(|part| !part.is_empty()) {
            let mut words = part.split(' ');
            let count: u64 = words.next().unwrap().parse().unwrap();
            *counts.entry(words.next().unwrap().to_owned()).or_default() += count;
        }
    }
    counts.into_iter().collect()
}

fn ticks(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| line.starts_with("ticked")).cloned().collect()
}

#[test]
fn every_way_to_change_a_file_has_its_effect_and_no_other() {
    let mut rig = inbox();
    let before: Vec<&str> = EVENTS.iter().flat_map(|row| row.before).copied().collect();
    before.iter().for_each(|name| rig.write(&format!("inbox/{name}.csv"), "1"));
    rig.start(None);
    let mut lines = Vec::new();
    while heard(&ticks(&lines)) != [("new".to_owned(), before.len() as u64)]
        || ran(&lines).len() < before.len()
    {
        lines.extend(rig.settle(""));
    }
    for (n, row) in EVENTS.iter().enumerate() {
        (row.act)(&rig);
        // What comes before this is all that comes of the row.
        let barrier = format!("barrier{n}");
        rig.write(&format!("inbox/{barrier}.csv"), "1");
        let mut lines = rig.settle(&format!("ran clean@{barrier}"));
        let expected: Vec<&str> = row.sensor.iter().copied().chain(["1 new file"]).collect();
        while heard(&ticks(&lines)) != heard(&expected) {
            lines.extend(rig.settle("ticked"));
        }
        let mut runs: Vec<String> = ran(&lines).into_iter().map(str::to_owned).collect();
        runs.retain(|run| *run != format!("clean@{barrier}"));
        let expected: Vec<String> = row.runs.iter().map(|name| format!("clean@{name}")).collect();
        assert_eq!(runs, expected, "{}: {lines:#?}", row.what);
    }
    assert_eq!(rig.stop(OnStop::Finish).failed, 0);
}

#[test]
fn an_update_during_a_run_is_not_lost() {
    let mut rig = Rig::new(
        r#"
sources:
  in: {files: in.txt}
assets:
  slow:
    deps: [in]
    run: cat "$in" > "$output"; if [ -e hold ]; then cat hold; fi
    output: slow.txt
    automation: eager
"#,
    );
    rig.write("in.txt", "1");
    let held = rig.path("hold");
    let made = std::process::Command::new("mkfifo").arg(&held).status().unwrap();
    assert!(made.success());
    rig.start(None);
    rig.hear("started slow");
    rig.write("in.txt", "2");
    rig.hear("observed in: changed");
    fs::write(&held, "").unwrap();
    rig.hear("ran slow");
    rig.hear("started slow");
    fs::write(&held, "").unwrap();
    rig.settle("ran slow");
    rig.stop(OnStop::Finish);
    let engine = rig.engine();
    let slow = AssetKey::parse("slow").unwrap();
    let output = engine.result(&slow, 0).unwrap().output.unwrap();
    assert_eq!(output.digest, giornata::base::Digest::of_blob(b"2"));
}

#[test]
fn a_long_step_holds_up_no_other() {
    let mut rig = Rig::new(
        r#"
sources:
  inbox: {files: "inbox/{name}.csv"}
assets:
  clean:
    partitions: each(inbox)
    deps: [inbox]
    run: cp "$inbox" "$output"; if grep -q slow "$output"; then cat hold; fi
    output: clean.csv
    automation: eager
"#,
    );
    let held = rig.path("hold");
    assert!(std::process::Command::new("mkfifo").arg(&held).status().unwrap().success());
    rig.write("inbox/a.csv", "slow");
    rig.start(None);
    rig.hear("started clean@a");
    rig.write("inbox/b.csv", "quick");
    let lines = rig.hear("ran clean@b");
    assert!(!lines.contains(&"ran clean@a".to_owned()));
    fs::write(&held, "").unwrap();
    rig.settle("ran clean@a");
}

#[test]
fn what_failed_waits_for_another_key() {
    let mut rig = Rig::new(
        r#"
sources:
  in: {files: in.txt}
  other: {files: other.txt}
assets:
  picky: {deps: [in], run: 'grep good "$in" > "$output"', output: picky.txt, automation: eager}
  easy: {deps: [other], run: 'cp "$other" "$output"', output: easy.txt, automation: eager}
"#,
    );
    rig.write("in.txt", "bad");
    rig.write("other.txt", "1");
    rig.start(None);
    rig.settle("failed picky");
    rig.write("other.txt", "2");
    let lines = rig.settle("ran easy");
    assert!(!lines.iter().any(|line| line.starts_with("failed")), "{lines:?}");
    rig.write("in.txt", "good");
    rig.settle("ran picky");
    assert_eq!(rig.stop(OnStop::Finish).failed, 1);
}

#[test]
fn definitions_are_read_again_and_broken_ones_are_not_used() {
    let mut rig = inbox();
    rig.write("inbox/a.csv", "1");
    rig.start(None);
    rig.settle("ran clean@a");
    let definitions = INBOX.replace("cp \"$inbox\"", "cat \"$inbox\" \"$inbox\" >");
    rig.write("assets/a.yaml", &(definitions.clone() + "  bad: ["));
    rig.hear("broken");
    rig.write("inbox/b.csv", "2");
    rig.settle("ran clean@b");
    rig.write("assets/a.yaml", &definitions);
    let lines = rig.settle("ran clean@b");
    assert!(lines.contains(&"reloaded [clean] [] []".to_owned()), "{lines:?}");
    assert_eq!(ran(&lines), ["clean@a", "clean@b"].into());
}

#[test]
fn a_script_that_changes_is_code_that_changes() {
    let mut rig = Rig::new(
        "assets: {made: {run: sh tools/make.sh \"$output\", output: made.txt, automation: eager}}",
    );
    rig.write("tools/make.sh", "echo 1 > \"$1\"\n");
    rig.start(None);
    rig.settle("ran made");
    rig.write("tools/make.sh", "echo 2 > \"$1\"\n");
    rig.settle("ran made");
}

#[test]
fn exports_that_land_where_sensors_look_start_nothing() {
    let mut rig = Rig::new(
        r#"
sources:
  inbox: {files: "inbox/{name}.csv"}
assets:
  clean:
    partitions: each(inbox)
    deps: [inbox]
    run: cp "$inbox" "$output"
    output: clean.csv
    export: "shared/out-{partition}.csv"
    automation: eager
sensors:
  shared: {watch: "shared/*.csv", job: note}
jobs:
  note: {ops: {say: {run: 'echo 1 > "$output"'}}}
"#,
    );
    fs::create_dir_all(rig.path("shared")).unwrap();
    rig.start(None);
    rig.write("inbox/a.csv", "1");
    rig.settle("ran clean@a");
    rig.write("shared/mine.csv", "1");
    let lines = rig.settle("did say");
    let ticks: Vec<_> = lines.iter().filter(|line| line.starts_with("ticked")).collect();
    assert_eq!(ticks, ["ticked sensor shared: requested 1 0 (1 new file)"]);
    assert!(rig.path("shared/out-a.csv").exists());
}

#[test]
fn once_does_what_there_is_to_do_and_ends() {
    let mut rig = inbox();
    rig.write("inbox/a.csv", "1");
    let (watched, lines) = rig.once(Rule::AsDeclared);
    assert_eq!((watched.runs, watched.failed), (2, 0), "{lines:?}");
    assert_eq!(ran(&lines), ["clean@a"].into());
    assert!(lines.contains(&"did say".to_owned()), "{lines:?}");
    let (watched, lines) = rig.once(Rule::AsDeclared);
    assert_eq!(watched.runs, 0, "{lines:?}");
}

#[test]
fn a_file_that_is_being_written_is_not_read() {
    let mut rig = inbox();
    fs::create_dir_all(rig.path("inbox")).unwrap();
    rig.start(None);
    // The look with which it begins is over, and all that was told of this file has been heard.
    rig.write("inbox/first.csv", "1");
    rig.settle("ran clean@first");
    let mut half = File::create(rig.path("inbox/half.csv")).unwrap();
    half.write_all(b"1").unwrap();
    half.flush().unwrap();
    rig.write("inbox/whole.csv", "1");
    let lines = rig.settle("ran clean@whole");
    assert!(!lines.iter().any(|line| line.contains("half")), "{lines:?}");
    half.write_all(b"2").unwrap();
    drop(half);
    rig.settle("ran clean@half");
    rig.stop(OnStop::Finish);
    let engine = rig.engine();
    let clean = AssetKey::parse("clean").unwrap();
    let mut engine = engine;
    engine.refresh(std::slice::from_ref(&clean)).unwrap();
    let part = engine.planner().domain(&clean).index("half").unwrap();
    let output = engine.result(&clean, part).unwrap().output.unwrap();
    assert_eq!(output.digest, giornata::base::Digest::of_blob(b"12"));
}

#[test]
fn without_events_the_same_happens() {
    let mut rig = inbox();
    rig.settings.events = giornata::watch::Events::Never;
    rig.settings.poll = Duration::from_millis(20);
    rig.write("inbox/a.csv", "1");
    rig.start(None);
    rig.settle("ran clean@a");
    rig.write("inbox/deep/down/b.csv", "1");
    rig.settle("ran clean@b");
    rig.write("inbox/a.csv", "2");
    rig.settle("ran clean@a");
}

#[test]
fn conditions_say_when_and_which() {
    let mut rig = Rig::new(
        r#"
assets:
  days:
    partitions: {daily: {start: 2024-02-25}}
    run: echo "$GIORNATA_PARTITION" > "$output"
    output: day.txt
    automation: eager and last(2)
  nightly:
    run: date > "$output"
    output: night.txt
    volatile: true
    automation: on_cron("0 3 * * *")
  never: {run: date > "$output", output: never.txt}
"#,
    );
    rig.start(None);
    let lines = rig.settle("ran days");
    assert_eq!(ran(&lines), ["days@2024-02-28", "days@2024-02-29"].into());
    rig.hands.set("2024-03-02T02:59:00Z");
    let lines = rig.settle("ran days");
    assert_eq!(ran(&lines), ["days@2024-03-01"].into());
    rig.hands.set("2024-03-02T03:00:00Z");
    let lines = rig.settle("ran nightly");
    assert_eq!(ran(&lines), ["nightly@"].into());
    rig.hands.set("2024-03-03T03:00:00Z");
    let mut lines = rig.settle("ran nightly");
    if !ran(&lines).contains("days@2024-03-02") {
        lines.extend(rig.settle("ran days"));
    }
    assert_eq!(ran(&lines), ["days@2024-03-02", "nightly@"].into());
}

#[test]
fn another_value_in_the_environment_file_makes_what_reads_it_anew() {
    let mut rig = Rig::new(
        r#"
assets:
  reads: {run: 'echo "$TOKEN" > "$output"', output: r.txt, env: [TOKEN], automation: eager}
  other: {run: 'echo 1 > "$output"', output: o.txt, automation: eager}
"#,
    );
    rig.write(".env", "TOKEN=one");
    rig.start(None);
    rig.settle("ended");
    rig.write(".env", "TOKEN=two");
    let lines = rig.settle("ended");
    assert!(lines[0].ends_with("[\"TOKEN\"]"), "{lines:#?}");
    assert_eq!(ran(&lines), ["reads@"].into());
}
