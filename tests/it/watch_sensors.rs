//! Directory sensors: which files are asked for, when, and with what.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use giornata::base::{Instigator, InstigatorKind, JobName};
use giornata::engine::{OnStop, Rule};
use giornata::store::{Store, Switch};

use crate::watch_rig::{Rig, ran};

/// A project with one sensor that starts a job, which says in a file what it was told.
fn rig(sensor: &str) -> Rig {
    Rig::new(&format!(
        r#"
jobs:
  note:
    config: {{told: string}}
    ops:
      say: {{run: 'echo "$GIORNATA_CONFIG" | tee "$output" >> told.txt', config: [told]}}
sensors:
  arrivals: {{job: note, {sensor}}}
"#
    ))
}

fn told(rig: &Rig) -> Vec<String> {
    let text = fs::read_to_string(rig.path("told.txt")).unwrap_or_default();
    let value = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["told"].as_str().unwrap().to_owned()
    };
    let mut lines: Vec<String> = text.lines().map(value).collect();
    lines.sort();
    lines
}

/// Waits until a run was told this.
#[track_caller]
fn until_told(rig: &mut Rig, what: &str) {
    while !told(rig).iter().any(|it| it == what) {
        rig.settle("did say");
    }
}

#[test]
fn a_file_counts_when_its_marker_is_there() {
    let mut rig = rig(
        "watch: 'in/{batch}/*.csv', ready: 'marker:_SUCCESS', config: {told: '{batch}/{name}'}",
    );
    rig.start(None);
    rig.write("in/one/a.csv", "1");
    rig.write("in/two/b.csv", "1");
    rig.write("in/two/_SUCCESS", "");
    until_told(&mut rig, "two/b.csv");
    assert_eq!(told(&rig), ["two/b.csv"]);
    rig.write("in/one/_SUCCESS", "");
    until_told(&mut rig, "one/a.csv");
}

#[test]
fn a_marker_may_be_beside_each_file() {
    let mut rig = rig("watch: 'in/*', ready: 'marker:.done', config: {told: '{name}'}");
    rig.start(None);
    rig.write("in/a.csv", "1");
    rig.write("in/b.csv", "1");
    rig.write("in/b.csv.done", "");
    until_told(&mut rig, "b.csv");
    rig.write("in/a.csv.done", "");
    until_told(&mut rig, "a.csv");
    assert_eq!(told(&rig), ["a.csv", "b.csv"], "markers are no files");
}

#[test]
fn where_files_are_renamed_into_place_nothing_else_counts() {
    let mut rig = rig("watch: 'in/*.csv', ready: renamed, config: {told: '{stem}'}");
    rig.write("in/before.csv", "1");
    rig.start(None);
    until_told(&mut rig, "before");
    rig.write("in/written.csv", "1");
    rig.write("in/placed.csv.tmp", "1");
    fs::rename(rig.path("in/placed.csv.tmp"), rig.path("in/placed.csv")).unwrap();
    until_told(&mut rig, "placed");
    assert_eq!(told(&rig), ["before", "placed"]);
}

#[test]
fn a_file_that_rests_is_whole() {
    let mut rig = rig("watch: 'in/*.csv', ready: 'stable:300ms', config: {told: '{stem} {size}'}");
    rig.start(None);
    rig.write("in/a.csv", "1");
    rig.write("in/a.csv", "12");
    until_told(&mut rig, "a 2");
    assert_eq!(told(&rig), ["a 2"]);
}

#[test]
fn what_other_programs_are_at_is_left_out() {
    let mut own = rig("watch: 'in/*', recursive: true, config: {told: '{path}'}");
    let mut all = rig("watch: 'in/*', ignore: ['b*', 'in/deep/**'], config: {told: '{path}'}");
    for (rig, expected) in [
        (&mut own, &["in/a.csv", "in/b.csv", "in/deep/c.csv"][..]),
        (&mut all, &["in/.hidden", "in/a.csv", "in/a.csv.part"][..]),
    ] {
        for name in [".hidden", "a.csv", "a.csv.part", "b.csv", "deep/c.csv", ".dir/d.csv"] {
            rig.write(&format!("in/{name}"), "1");
        }
        let (watched, _) = rig.once(Rule::AsDeclared);
        assert_eq!((watched.runs, watched.failed), (expected.len() as u64, 0));
        assert_eq!(told(rig), expected);
    }
}

#[test]
fn a_partition_is_made_for_each_file() {
    let mut rig = Rig::new(
        r#"
sources:
  inbox: {files: "in/{date:%Y%m%d}.csv", partitions: {daily: {start: 2024-02-01}}}
assets:
  clean:
    partitions: {daily: {start: 2024-02-01}}
    deps: [inbox]
    run: cp "$inbox" "$output"
    output: clean.csv
sensors:
  arrivals: {watch: "in/{date:%Y%m%d}.csv", select: clean, partition: "{date}", tags: {from: "{name}"}}
"#,
    );
    rig.write("in/20240203.csv", "1");
    rig.write("in/20240205.csv", "1");
    let (watched, lines) = rig.once(Rule::AsDeclared);
    assert_eq!(watched.failed, 0, "{lines:?}");
    assert_eq!(ran(&lines), ["clean@2024-02-03", "clean@2024-02-05"].into());
}

#[test]
fn a_name_that_is_no_text_is_told_and_harms_no_other() {
    let mut rig = rig("watch: 'in/*', config: {told: '{name}'}");
    rig.write("in/good", "1");
    fs::write(rig.path("in").join(OsStr::from_bytes(b"bad\xff")), "1").unwrap();
    let (watched, lines) = rig.once(Rule::AsDeclared);
    assert_eq!((watched.runs, watched.failed), (1, 0));
    let warnings: Vec<&String> = lines.iter().filter(|it| it.starts_with("warning")).collect();
    assert!(matches!(&warnings[..], [one] if one.contains("not UTF-8")), "{lines:?}");
    assert_eq!(told(&rig), ["good"]);
}

#[test]
fn a_key_is_taken_for_ever() {
    let mut rig = rig("watch: 'in/*.csv', config: {told: '{name}'}");
    for (text, asked, known) in [("1", 1, 0), ("2", 1, 0), ("1", 1, 1)] {
        rig.write("in/a.csv", text);
        let (watched, lines) = rig.once(Rule::AsDeclared);
        let kind =
            if lines.iter().any(|line| line.contains("changed")) { "changed" } else { "new" };
        let tick = format!("ticked sensor arrivals: requested {asked} {known} (1 {kind} file)");
        assert!(lines.contains(&tick), "{lines:?}");
        assert_eq!(watched.runs, asked - known);
    }
    assert_eq!(told(&rig).len(), 2);
}

#[test]
fn a_sensor_that_is_off_asks_when_it_is_switched_on() {
    let mut rig = rig("watch: 'in/*.csv', enabled: false, config: {told: '{name}'}");
    rig.write("in/a.csv", "1");
    let (watched, _) = rig.once(Rule::AsDeclared);
    assert_eq!(watched.runs, 0);
    rig.start(None);
    let of = Instigator::new(InstigatorKind::Sensor, &JobName::parse("arrivals").unwrap());
    let dir = rig.path(".giornata");
    let mut store = Store::open(&dir, giornata::base::Durability::Batch).unwrap();
    let mut tx = store.begin().unwrap();
    tx.switch(&of, Some(Switch::On), 0).unwrap();
    tx.commit().unwrap();
    until_told(&mut rig, "a.csv");
    assert_eq!(rig.stop(OnStop::Finish).failed, 0);
}

#[test]
fn what_cannot_be_started_is_told_and_not_tried_for_ever() {
    let mut rig = Rig::new(
        r#"
jobs:
  note:
    config: {count: {type: int, min: 0}}
    ops:
      say: {run: 'echo 1 > "$output"', config: [count]}
sensors:
  arrivals: {watch: "in/*.csv", job: note, config: {count: "{stem}"}}
"#,
    );
    rig.write("in/many.csv", "1");
    let (watched, lines) = rig.once(Rule::AsDeclared);
    assert_eq!((watched.runs, watched.failed), (1, 1));
    let end = lines.iter().find(|line| line.starts_with("ended with")).unwrap();
    assert!(end.contains("the configuration of job `note` is not right"), "{lines:?}");
    let (watched, lines) = rig.once(Rule::AsDeclared);
    assert_eq!(watched.runs, 0, "{lines:?}");
}
