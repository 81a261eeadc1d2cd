//! What assets and sensors say about when they follow by themselves.

use super::super::Diagnostic;
use super::{TOML, project_from};
use crate::base::JobName;
use crate::defs::{Catchup, FileEvent, Needs, Ready, Starts, TickPartition, Trigger};

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

#[test]
fn a_schedule_says_when_it_ticks_and_what_it_starts() {
    let yaml = r#"
jobs:
  report:
    config: {day: string}
    ops: {say: {run: "echo 1 > $output", config: [day]}}
schedules:
  nightly:
    cron: ["0 3 * * *", "@monthly"]
    timezone: Europe/Berlin
    job: report
    partition: latest
    back: 1
    config: {day: "{tick:%Y-%m-%d}"}
    catchup: 3
    tags: {of: "{tick}"}
    enabled: false
  plain: {cron: "@daily", job: report}
"#;
    let loaded = project_from(&[TOML, ("assets/a.yaml", yaml)]).unwrap();
    assert_eq!(loaded.diagnostics, []);
    let schedule = |name: &str| loaded.project.schedules[&JobName::parse(name).unwrap()].clone();
    let nightly = schedule("nightly");
    assert_eq!((nightly.cron.len(), nightly.timezone), (2, chrono_tz::Europe::Berlin));
    assert_eq!(
        (nightly.partition, nightly.catchup),
        (TickPartition::Latest { back: 1 }, Catchup::Last(3))
    );
    assert!(!nightly.is_on && schedule("plain").is_on);
    assert_eq!(schedule("plain").catchup, Catchup::Last(1));
}

#[test]
fn mistakes_of_schedules_are_said_where_they_are() {
    let yaml = r#"
assets: {a: {run: x, output: a}}
schedules:
  one: {select: a}
  two: {cron: "0 3 * *", select: a}
  three: {cron: ["@daily", "@dayly"], select: a}
  four: {cron: "@daily", timezone: Europe/Berlni, select: a}
  five: {cron: "@daily"}
  six: {cron: "@daily", select: a, tags: {x: "{tock}", y: "{tick:%Q}"}}
  seven: {cron: "@daily", select: a, catchup: some, back: 2}
  eight: {cron: "0 0 31 4 *", select: a}
  nine: {cron: [], select: a, jobb: x}
  ten: {cron: "@daily", job: x, catchup: 0}
"#;
    let loaded = project_from(&[TOML, ("assets/a.yaml", yaml)]).unwrap();
    let line = |it: &Diagnostic| format!("{}: {}", it.position().0, it.message);
    let found: Vec<String> = loaded.diagnostics.iter().map(line).collect();
    let expected = [
        "4: schedule `one` does not say when it ticks",
        "5: `0 3 * *` does not say when: Invalid pattern: Pattern must have 5 fields when seconds are disallowed.",
        "6: `@dayly` does not say when: Invalid pattern: Pattern must have 5 fields when seconds are disallowed.",
        "7: there is no time zone `Europe/Berlni`",
        "8: schedule `five` does not say what it starts",
        "9: nothing is known as `{tock}` here",
        "9: `%Q` is no form of a time",
        "10: `catchup` cannot be `some`",
        "10: `back` goes with `partition: latest`",
        "11: `0 0 31 4 *` names no time that ever comes",
        "12: there is no cron expression here",
        "12: schedule `nine` has no key `jobb`",
        "13: `catchup` must be a whole number from 1 to 100000",
    ];
    assert_eq!(found, expected);
    let sound: Vec<&str> = loaded.project.schedules.keys().map(JobName::as_str).collect();
    assert_eq!(sound, ["eight"]);
}

#[test]
fn sensors_look_at_assets_runs_and_commands() {
    let yaml = r#"
assets: {a: {run: x, output: a}, b: {run: x, output: b}}
jobs: {j: {select: a}}
sensors:
  one: {assets: [a, b], needs: all, select: a, interval: 10s}
  two: {runs: failure, of: j, job: j}
  three: {command: ./ask.sh, timeout: 5s}
  four: {assets: [a, c], select: a}
  five: {runs: [failed], job: j}
  six: {runs: failure, of: k, job: j}
  seven: {assets: a, select: a, ready: closed, tags: {x: "{path}"}}
"#;
    let loaded = project_from(&[TOML, ("assets/a.yaml", yaml)]).unwrap();
    let line = |it: &Diagnostic| format!("{}: {}", it.position().0, it.message);
    let found: Vec<String> = loaded.diagnostics.iter().map(line).collect();
    assert_eq!(
        found,
        [
            "8: sensor `four`: there is no sound asset `c`",
            "9: `runs` cannot be `failed`",
            "10: sensor `six`: there is no sound job `k`",
            "11: sensor `seven` has no key `ready`",
            "11: nothing is known as `{path}` here",
        ]
    );
    let sensors: Vec<_> = loaded.project.sensors.values().collect();
    assert_eq!(sensors.len(), 3);
    let by_name = |name: &str| sensors.iter().find(|it| it.name.as_str() == name).unwrap();
    assert!(matches!(&by_name("one").on, Trigger::Assets(def) if def.needs == Needs::All));
    assert!(matches!(&by_name("two").on, Trigger::Runs(def) if def.jobs.len() == 1));
    assert!(matches!(by_name("three").starts, Starts::Told));
    assert_eq!(by_name("three").interval, std::time::Duration::from_secs(30));
}
