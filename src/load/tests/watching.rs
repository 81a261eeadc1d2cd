//! What assets and sensors say about when they follow by themselves.

use super::super::Diagnostic;
use super::{TOML, project_from};
use crate::base::JobName;
use crate::defs::{FileEvent, Ready, Starts, Trigger};

#[test]
fn a_sensor_says_what_it_looks_at_and_what_it_starts() {
    let yaml = r#"
jobs:
  process:
    config: {file: string}
    ops: {say: {run: "echo 1 > $output", config: [file]}}
sensors:
  inbox:
    watch: "data/{date:%Y}/*.csv"
    recursive: true
    settle: 2s
    ready: stable:5s
    events: [new, removed]
    job: process
    run_key: "{path}:{size}"
    config: {file: "{path}"}
    tags: {year: "{date}"}
    enabled: false
"#;
    let loaded = project_from(&[TOML, ("assets/a.yaml", yaml)]).unwrap();
    assert_eq!(loaded.diagnostics, []);
    let sensor = loaded.project.sensors.values().next().unwrap();
    let Trigger::Directory(def) = &sensor.on else { panic!("{sensor:?}") };
    assert_eq!(def.pattern.text, "data/{date:%Y}/**/*.csv");
    assert_eq!(def.ready, Ready::Stable(std::time::Duration::from_secs(5)));
    assert_eq!(def.events, [FileEvent::New, FileEvent::Removed].into());
    assert!(
        !sensor.is_on
            && matches!(&sensor.starts, Starts::Job { job, .. } if job.as_str() == "process")
    );
}

#[test]
fn an_asset_says_when_it_follows() {
    let yaml = "assets: {a: {run: x, output: a, automation: 'eager and last(3)'}}";
    let loaded = project_from(&[TOML, ("assets/a.yaml", yaml)]).unwrap();
    let asset = loaded.project.assets.values().next().unwrap();
    let condition = asset.automation.as_ref().unwrap().to_string();
    assert_eq!(condition, "((missing or stale) and not upstream_missing) and last(3)");
}

#[test]
fn mistakes_are_said_where_they_are() {
    let yaml = r#"
assets:
  a: {run: x, output: a}
  z: {run: x, output: z, automation: eager or lates}
sensors:
  one: {watch: "../out/*.csv", select: a}
  two: {watch: "in/{a", select: a}
  three: {watch: "in/*", job: nothing}
  four: {watch: "in/*", select: "b"}
  five: {watch: "in/*"}
  six: {watch: "in/*", select: a, job: b}
  seven: {select: a}
  eight: {watch: "in/*", select: a, ready: soon, ignore: ["[a"]}
  nine: {watch: "in/*", select: a, partition: "{steam}", run_key: "{path"}
  ten: {watch: "in/*", select: a, settel: 1s, events: [gone]}
  sound: {watch: "in/*", select: a}
  lost: {watch: "in/*", select: z}
"#;
    let loaded = project_from(&[TOML, ("assets/a.yaml", yaml)]).unwrap();
    let line = |it: &Diagnostic| format!("{}: {}", it.position().0, it.message);
    let found: Vec<String> = loaded.diagnostics.iter().map(line).collect();
    let expected = [
        "4: `eager or lates` is no condition: there is no state `lates`; is `latest` meant?",
        "6: `watch` must stay inside the project, or be an absolute path",
        "7: `in/{a` is no path pattern: nothing closes this `{`",
        "8: there is no sound job `nothing`",
        "9: sensor `four`: there is no asset `b`",
        "10: sensor `five` does not say what it starts",
        "11: `job` and `select` exclude each other",
        "12: sensor `seven` does not say what it looks at",
        "13: `soon` does not say when a file is whole",
        "13: error parsing glob '[a': unclosed character class; missing ']'",
        "14: nothing is known as `{steam}` here",
        "14: `{path` has a brace that has no other; a brace itself is written `{{` or `}}`",
        "15: sensor `ten` has no key `settel`",
        "15: `events` cannot be `gone`",
    ];
    assert_eq!(found, expected);
    let names: Vec<&str> = loaded.project.sensors.keys().map(JobName::as_str).collect();
    assert_eq!(names, ["sound"], "`lost` needs what is broken");
}
