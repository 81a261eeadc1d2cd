//! Sensors on results of assets, on runs, and on what a command says.

use std::fs;

use giornata::base::{Instigator, InstigatorKind, JobName};
use giornata::engine::{OnStop, Rule};

use crate::watch_rig::{Rig, ran};

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

const JOBS: &str = r#"
jobs:
  note:
    config: {told: string}
    ops:
      say: {run: 'echo "$GIORNATA_CONFIG" | tee "$output" >> told.txt', config: [told]}
  fails:
    ops:
      no: {run: 'exit 1', outputs: {x: {optional: true}}}
"#;

fn rig(more: &str) -> Rig {
    Rig::new(&format!("{JOBS}{more}"))
}

#[track_caller]
fn once(rig: &mut Rig) -> Vec<String> {
    rig.once(Rule::AsDeclared).1
}

fn ticks(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("ticked ")).collect()
}

#[test]
fn another_result_is_asked_for_once_and_the_same_one_is_not() {
    let mut rig = rig(r#"
sources: {one: {files: one.txt}, two: {files: two.txt}}
sensors:
  any: {assets: [one, two], job: note, config: {told: "any {assets}"}}
  both: {assets: [one, two], needs: all, job: note, config: {told: both}}
"#);
    rig.write("one.txt", "1");
    rig.write("two.txt", "1");
    once(&mut rig);
    assert_eq!(told(&rig), [""; 0], "what was there before is no news");
    rig.write("one.txt", "2");
    assert_eq!(ticks(&once(&mut rig)), ["sensor any: requested 1 0 (one has another result)"]);
    rig.write("one.txt", "3");
    rig.write("two.txt", "1");
    once(&mut rig);
    rig.write("two.txt", "2");
    let lines = once(&mut rig);
    assert_eq!(ticks(&lines).len(), 2, "{lines:#?}");
    assert_eq!(told(&rig), ["any one", "any one", "any two", "both"]);
    assert_eq!(ticks(&once(&mut rig)), [""; 0]);
}

#[test]
fn each_partition_that_changed_is_asked_for() {
    let mut rig = rig(r#"
sources: {inbox: {files: "in/{name}.csv"}}
assets:
  clean: {partitions: each(inbox), deps: [inbox], run: cp "$inbox" "$output", output: c.csv, automation: eager}
  other: {partitions: each(inbox), deps: [inbox], run: cp "$inbox" "$output", output: c.csv}
sensors:
  follow: {assets: clean, select: other, partition: "{partition}"}
"#);
    rig.write("in/a.csv", "1");
    once(&mut rig);
    for (name, text, expected) in [("b", "1", "other@b"), ("a", "2", "other@a")] {
        rig.write(&format!("in/{name}.csv"), text);
        let lines = once(&mut rig);
        assert_eq!(ran(&lines), [format!("clean@{name}").as_str(), expected].into());
    }
}

#[test]
fn a_run_that_fails_is_told_and_the_telling_is_not() {
    let mut rig = rig(r#"
sensors:
  alarm: {runs: [failure, success], job: note, config: {told: "{job} {state}"}}
schedules:
  clock: {cron: "0 3 * * *", job: fails}
"#);
    once(&mut rig);
    rig.hands.set("2024-03-02T03:00:00Z");
    let lines = once(&mut rig);
    assert_eq!(told(&rig), ["fails failure"], "{lines:#?}");
    assert_eq!(ticks(&once(&mut rig)), [""; 0]);
}

#[test]
fn a_command_has_a_cursor_and_says_why_it_asks_for_nothing() {
    let mut rig = rig(r#"
sensors:
  ask: {command: sh ask.sh, job: note, tags: {by: ask}}
"#);
    rig.write(
        "ask.sh",
        r#"n=$((${GIORNATA_CURSOR:-0} + 1))
echo "{\"cursor\": \"$n\"}"
if [ $n -lt 3 ]; then
  echo "{\"run_key\": \"k$n\", \"config\": {\"told\": \"$n\"}}"
  echo '{"run_key": "k1", "config": {"told": "again"}}'
else echo '{"skip": "enough"}'; fi
"#,
    );
    let expected = [
        &["sensor ask: requested 2 1 (its command asked)"][..],
        &["sensor ask: requested 2 1 (its command asked)"],
        &["sensor ask: skipped 0 0 (enough)"],
        &[],
    ];
    for expected in expected {
        assert_eq!(ticks(&once(&mut rig)), expected);
    }
    assert_eq!(told(&rig), ["1", "2"]);
    let of = Instigator::new(InstigatorKind::Sensor, &JobName::parse("ask").unwrap());
    assert_eq!(rig.engine().instigator(&of).unwrap().cursor.as_deref(), Some("4"));
}

#[test]
fn one_that_fails_or_hangs_harms_no_other() {
    let mut rig = rig(r#"
sensors:
  broken: {command: "echo '{\"cursor\": \"lost\"}'; echo why >&2; exit 3", job: note}
  hangs: {command: exec sleep 600, timeout: 100ms, job: note}
  junk: {command: echo hello, job: note}
  good: {command: "echo '{\"config\": {\"told\": \"good\"}, \"run_key\": \"1\"}'", job: note}
"#);
    let (watched, lines) = rig.once(Rule::AsDeclared);
    let mut ticks: Vec<&str> = ticks(&lines);
    ticks.sort_unstable();
    assert_eq!(
        ticks,
        [
            "sensor broken: failed 0 0 (`echo '{\"cursor\": \"lost\"}'; echo why >&2; exit 3` exited with status 3: why)",
            "sensor good: requested 1 0 (its command asked)",
            "sensor hangs: failed 0 0 (`exec sleep 600` did not end within 100ms)",
            "sensor junk: failed 0 0 (line 1 of what it printed: it is no JSON object)",
        ]
    );
    assert_eq!((watched.runs, watched.failed, watched.faults), (1, 0, 3));
    assert_eq!(told(&rig), ["good"]);
    let of = Instigator::new(InstigatorKind::Sensor, &JobName::parse("broken").unwrap());
    assert_eq!(rig.engine().instigator(&of).unwrap().cursor, None, "the cursor stays");
}

#[test]
fn while_one_hangs_others_go_on() {
    let mut rig = rig(r#"
sensors:
  hangs: {command: exec sleep 600, timeout: 600s, job: note}
  inbox: {watch: "in/*.csv", job: note, config: {told: "{name}"}}
"#);
    rig.start(None);
    rig.write("in/a.csv", "1");
    rig.settle("did say");
    assert_eq!(told(&rig), ["a.csv"]);
    assert_eq!(rig.stop(OnStop::Finish).failed, 0);
}
