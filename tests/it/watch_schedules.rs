//! Schedules while they are watched: which ticks are asked for, after whatever absence, and with which partition.

use std::collections::BTreeSet;
use std::fs;

use chrono::{DateTime, TimeDelta, Utc};
use giornata::base::fault;
use giornata::base::{Instigator, InstigatorKind, JobName};
use giornata::engine::{Engine, Rule, WatchEvent};
use giornata::store::Switch;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::watch_rig::{Rig, ran};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn note(schedule: &str) -> Rig {
    Rig::new(&format!(
        r#"
jobs:
  note:
    config: {{told: string}}
    ops:
      say: {{run: 'echo "$GIORNATA_CONFIG" | tee "$output" >> told.txt', config: [told]}}
schedules:
  clock: {{job: note, config: {{told: "{{tick:%Y-%m-%d %H:%M %Z}}"}}, {schedule}}}
"#
    ))
}

/// What the runs were told, in order.
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

fn of() -> Instigator {
    Instigator::new(InstigatorKind::Schedule, &JobName::parse("clock").unwrap())
}

/// What a look at a time says of ticks.
#[track_caller]
fn check(rig: &mut Rig, now: &str, expected: &[&str]) {
    rig.hands.set(now);
    let (watched, lines) = rig.once(Rule::AsDeclared);
    assert_eq!(watched.failed, 0, "{lines:#?}");
    let ticks: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("ticked ")).collect();
    assert_eq!(ticks, expected);
}

#[test]
fn a_laptop_that_slept_catches_up_as_it_is_told() {
    for (catchup, left_out, asked) in [
        ("last", "4 ticks from 2024-03-02 03:00 UTC to 2024-03-05 03:00 UTC were", 1),
        ("2", "3 ticks from 2024-03-02 03:00 UTC to 2024-03-04 03:00 UTC were", 2),
        ("none", "5 ticks from 2024-03-02 03:00 UTC to 2024-03-06 03:00 UTC were", 0),
        ("all", "", 5),
    ] {
        let mut rig = note(&format!("cron: '0 3 * * *', catchup: {catchup}"));
        check(&mut rig, "2024-03-01T12:00:00Z", &[]);
        let days = ["02", "03", "04", "05", "06"];
        let mut expected = Vec::new();
        if !left_out.is_empty() {
            expected.push(format!(
                "schedule clock: skipped 0 0 ({left_out} missed: `catchup: {catchup}` leaves that out)"
            ));
        }
        for (back, day) in days.iter().enumerate().skip(days.len() - asked) {
            let late = ["4days 9h", "3days 9h", "2days 9h", "1day 9h", "9h"][back];
            expected.push(format!(
                "schedule clock: requested 1 0 (tick of 2024-03-{day} 03:00 UTC, {late} late: `catchup: {catchup}`)"
            ));
        }
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&mut rig, "2024-03-06T12:00:00Z", &expected);
        check(&mut rig, "2024-03-06T12:00:00Z", &[]);
        let days = &days[days.len() - asked..];
        let runs: Vec<String> = days.iter().map(|day| format!("2024-03-{day} 03:00 UTC")).collect();
        assert_eq!(told(&rig), runs);
        check(
            &mut rig,
            "2024-03-07T03:00:10Z",
            &["schedule clock: requested 1 0 (tick of 2024-03-07 03:00 UTC)"],
        );
    }
}

#[test]
fn what_is_off_makes_up_for_nothing() {
    let mut rig = note("cron: '0 3 * * *', catchup: all, enabled: false");
    check(&mut rig, "2024-03-01T12:00:00Z", &[]);
    check(&mut rig, "2024-03-08T12:00:00Z", &[]);
    rig.hands.set("2024-03-08T13:00:00Z");
    rig.engine().switch(&of(), Switch::On).unwrap();
    check(
        &mut rig,
        "2024-03-09T12:00:00Z",
        &["schedule clock: requested 1 0 (tick of 2024-03-09 03:00 UTC, 9h late: `catchup: all`)"],
    );
    rig.engine().switch(&of(), Switch::Off).unwrap();
    check(&mut rig, "2024-03-16T12:00:00Z", &[]);
    rig.engine().switch(&of(), Switch::On).unwrap();
    check(&mut rig, "2024-03-16T12:00:00Z", &[]);
    check(
        &mut rig,
        "2024-03-17T03:00:00Z",
        &["schedule clock: requested 1 0 (tick of 2024-03-17 03:00 UTC)"],
    );
}

#[test]
fn what_is_declared_off_for_a_week_makes_up_for_nothing_either() {
    let mut rig = note("cron: '0 3 * * *', catchup: all");
    let on = fs::read_to_string(rig.path("assets/a.yaml")).unwrap();
    check(&mut rig, "2024-03-01T12:00:00Z", &[]);
    rig.write("assets/a.yaml", &on.replace("catchup: all", "catchup: all, enabled: false"));
    check(&mut rig, "2024-03-01T13:00:00Z", &[]);
    rig.write("assets/a.yaml", &on);
    check(&mut rig, "2024-03-08T12:00:00Z", &[]);
    check(
        &mut rig,
        "2024-03-09T03:00:30Z",
        &["schedule clock: requested 1 0 (tick of 2024-03-09 03:00 UTC)"],
    );
}

#[test]
fn other_times_are_not_made_up_for() {
    let mut rig = note("cron: '0 3 * * *', catchup: all");
    check(&mut rig, "2024-03-01T12:00:00Z", &[]);
    let text = fs::read_to_string(rig.path("assets/a.yaml")).unwrap();
    rig.write("assets/a.yaml", &text.replace("0 3 * * *", "0 * * * *"));
    check(
        &mut rig,
        "2024-03-01T23:30:00Z",
        &["schedule clock: skipped 0 0 (its times are others than before: it ticks from now on)"],
    );
    check(
        &mut rig,
        "2024-03-02T00:00:05Z",
        &["schedule clock: requested 1 0 (tick of 2024-03-02 00:00 UTC)"],
    );
}

#[test]
fn a_clock_change_makes_no_tick_twice_or_never() {
    let zone = "timezone: Europe/Berlin, catchup: all";
    // In spring 02:30 does not exist, in autumn it comes twice.
    for (cron, before, after, expected) in [
        (
            "30 2 * * *",
            "2024-03-30T12:00:00Z",
            "2024-04-01T12:00:00Z",
            &["2024-03-31 03:00 CEST", "2024-04-01 02:30 CEST"][..],
        ),
        ("30 2 * * *", "2024-10-26T12:00:00Z", "2024-10-27T12:00:00Z", &["2024-10-27 02:30 CET"]),
        (
            "0 * * * *",
            "2024-10-26T23:30:00Z",
            "2024-10-27T02:30:00Z",
            &["2024-10-27 02:00 CEST", "2024-10-27 02:00 CET", "2024-10-27 03:00 CET"],
        ),
        (
            "0 * * * *",
            "2024-03-31T00:30:00Z",
            "2024-03-31T02:30:00Z",
            &["2024-03-31 03:00 CEST", "2024-03-31 04:00 CEST"],
        ),
    ] {
        let mut rig = note(&format!("cron: '{cron}', {zone}"));
        check(&mut rig, before, &[]);
        rig.hands.set(after);
        rig.once(Rule::AsDeclared);
        assert_eq!(told(&rig), expected, "{cron} after {before}");
    }
}

#[test]
fn a_clock_that_is_set_back_asks_for_nothing_again() {
    let mut rig = note("cron: ['*/30 * * * *', '0 * * * *'], catchup: all");
    check(&mut rig, "2024-03-01T11:59:00Z", &[]);
    check(
        &mut rig,
        "2024-03-01T12:00:00Z",
        &["schedule clock: requested 1 0 (tick of 2024-03-01 12:00 UTC)"],
    );
    check(&mut rig, "2024-03-01T11:58:00Z", &[]);
    check(&mut rig, "2024-03-01T12:00:00Z", &[]);
    check(
        &mut rig,
        "2024-03-01T12:30:00Z",
        &["schedule clock: requested 1 0 (tick of 2024-03-01 12:30 UTC)"],
    );
}

#[test]
fn a_tick_is_about_the_partition_that_was_complete_then() {
    for (more, expected) in [
        ("", ["day@2024-03-02", "day@2024-03-03", "day@2024-03-04"]),
        (", back: 2", ["day@2024-02-29", "day@2024-03-01", "day@2024-03-02"]),
    ] {
        let mut rig = Rig::new(&format!(
            r#"
assets:
  day: {{partitions: {{daily: {{start: 2024-02-01}}}}, run: 'date > "$output"', output: d.txt}}
schedules:
  clock: {{cron: "0 3 * * *", select: day, partition: latest{more}, catchup: all}}
"#
        ));
        check(&mut rig, "2024-03-02T12:00:00Z", &[]);
        rig.hands.set("2024-03-05T12:00:00Z");
        let (watched, lines) = rig.once(Rule::AsDeclared);
        assert_eq!((watched.runs, watched.failed), (3, 0), "{lines:#?}");
        assert_eq!(ran(&lines), expected.into());
    }
}

#[test]
fn a_job_runs_for_the_last_partition_and_not_before_there_is_one() {
    let mut rig = Rig::new(
        r#"
jobs:
  note:
    partitions: {daily: {start: 2024-03-04}}
    ops:
      say: {run: 'echo "$GIORNATA_PARTITION" | tee "$output" >> told.txt'}
schedules:
  clock: {cron: "0 3 * * *", job: note, partition: latest, catchup: all}
"#,
    );
    check(&mut rig, "2024-03-03T12:00:00Z", &[]);
    check(
        &mut rig,
        "2024-03-04T03:00:00Z",
        &[
            "schedule clock: skipped 0 0 (tick of 2024-03-04 03:00 UTC: job `note` has no partition that is complete)",
        ],
    );
    rig.hands.set("2024-03-07T03:00:00Z");
    rig.once(Rule::AsDeclared);
    let days = fs::read_to_string(rig.path("told.txt")).unwrap();
    let days: BTreeSet<&str> = days.lines().collect();
    assert_eq!(days, ["2024-03-04", "2024-03-05", "2024-03-06"].into());
}

#[test]
fn a_running_watch_ticks_when_it_is_time() {
    let mut rig = note("cron: '* * * * *'");
    check(&mut rig, "2024-03-01T12:00:00Z", &[]);
    rig.start(None);
    rig.hands.set("2024-03-01T12:01:00Z");
    let lines = rig.settle("did say");
    assert!(lines[0].starts_with("ticked schedule clock"), "{lines:#?}");
    assert_eq!(told(&rig), ["2024-03-01 12:01 UTC"]);
}

#[test]
fn what_was_recorded_by_one_that_died_is_run_once() {
    let mut rig = note("cron: '0 3 * * *'");
    check(&mut rig, "2024-03-01T12:00:00Z", &[]);
    rig.hands.set("2024-03-02T03:00:00Z");
    // One records the tick and is gone before it begins anything; another looks at the same time.
    let mut other = rig.engine();
    assert_eq!(rig.engine().tick_schedules().unwrap().len(), 1);
    assert_eq!(other.tick_schedules().unwrap().len(), 0);
    drop(other);
    let (watched, lines) = rig.once(Rule::AsDeclared);
    assert_eq!((watched.runs, watched.failed), (1, 0), "{lines:#?}");
    assert_eq!(told(&rig), ["2024-03-02 03:00 UTC"]);
}

#[test]
fn a_tick_by_hand_changes_nothing_of_those_by_the_clock() {
    let mut rig = note("cron: '0 3 * * *', catchup: all");
    check(&mut rig, "2024-03-01T12:00:00Z", &[]);
    rig.hands.set("2024-03-03T12:00:00Z");
    let mut engine = rig.engine();
    let def = engine.project().schedules.values().next().unwrap().clone();
    for _ in 0..2 {
        let event = engine.tick_by_hand(&def, at("2024-03-02T03:00:00Z")).unwrap();
        assert!(matches!(event, WatchEvent::Ticked { asked: 1, known: 0, .. }), "{event:?}");
    }
    drop(engine);
    rig.once(Rule::AsDeclared);
    let expected = ["2024-03-02 03:00 UTC"; 3].into_iter().chain(["2024-03-03 03:00 UTC"]);
    assert_eq!(told(&rig), expected.collect::<Vec<_>>());
}

/// What is to become of missed ticks, as an oracle knows it.
#[derive(Debug, Clone, Copy)]
enum Policy {
    All,
    Last(usize),
    None,
}

/// What a look at `now` asks for if all up to `handled` is dealt with: every fifth minute is a tick.
fn oracle(policy: Policy, handled: i64, now: i64) -> Vec<i64> {
    let ticks: Vec<i64> = (handled + 1..=now).filter(|second| second % 300 == 0).collect();
    let is_asked = |(place, tick): (usize, &i64)| match policy {
        Policy::All => true,
        Policy::Last(count) => ticks.len() - place <= count || now - tick <= 60,
        Policy::None => now - tick <= 60,
    };
    ticks.iter().enumerate().filter(|it| is_asked(*it)).map(|(_, tick)| *tick).collect()
}

/// A day in which the only thing that is sure is the clock: engines come, go, look at the same time, and die in
/// the middle of a transaction.
fn day(policy: Policy, seed: u64) {
    let catchup = match policy {
        Policy::All => "all".to_owned(),
        Policy::Last(count) => count.to_string(),
        Policy::None => "none".to_owned(),
    };
    // A day with 23 hours, in which each hour that passes still ticks.
    let zone = "Europe/Berlin";
    let rig = note(&format!("cron: '*/5 * * * *', timezone: {zone}, catchup: {catchup}"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut below = |limit: u64| random.next_u64() % limit;
    let set =
        |second: i64| rig.hands.set(&DateTime::from_timestamp(second, 0).unwrap().to_rfc3339());
    let start = at("2024-03-30T23:00:00Z").timestamp();
    let end = start + 23 * 3600;
    set(start);
    rig.engine().tick_schedules().unwrap();
    let (mut now, mut handled, mut expected) = (start, start, Vec::new());
    let mut others: Vec<Engine> = Vec::new();
    while now < end {
        let pause = [5, 61, 290, 600, 3600, 4 * 3600][below(6) as usize];
        now = (now + 1 + below(pause) as i64).min(end);
        set(now);
        match below(4) {
            // It dies at one of its statements; whether that was before the commit, the store says.
            0 => {
                let (mut engine, mut left) = (rig.engine(), below(40));
                let hook = move |_: fault::Write<'_>| {
                    match left.checked_sub(1) {
                        Some(less) => left = less,
                        None => std::panic::resume_unwind(Box::new("the power is off")),
                    }
                    Ok(())
                };
                let work = std::panic::AssertUnwindSafe(|| {
                    fault::with(hook, || engine.tick_schedules().unwrap().len())
                });
                // Either way what is asked for is asked for once.
                let _ = std::panic::catch_unwind(work);
                drop(engine);
            }
            1 => drop(rig.engine().tick_schedules().unwrap()),
            // Two that look at the same time, one of which has been there for long.
            _ => {
                if others.len() < 2 || below(3) == 0 {
                    others.truncate(1);
                    others.push(rig.engine());
                }
                for other in &mut others {
                    other.tick_schedules().unwrap();
                }
            }
        }
        let recorded = rig.engine().instigator(&of()).unwrap().handled_ms.unwrap() / 1000;
        if recorded > handled {
            expected.extend(oracle(policy, handled, now));
            handled = now / 300 * 300;
            assert_eq!(recorded, handled, "all that was due is dealt with or nothing");
        }
    }
    // Whoever comes last deals with what the dead have left.
    rig.engine().tick_schedules().unwrap();
    expected.extend(oracle(policy, handled, now));
    let engine = rig.engine();
    let queued = engine.queued_requests().unwrap();
    let key = |tick: &i64| DateTime::from_timestamp(*tick, 0).unwrap().format("%FT%TZ").to_string();
    let found: Vec<&str> = queued.iter().filter_map(|it| it.request.run_key.as_deref()).collect();
    assert_eq!(found, expected.iter().map(key).collect::<Vec<_>>(), "{policy:?}, seed {seed}");
}

#[expect(clippy::disallowed_methods, reason = "the tests' caller says how long to try")]
fn seeds() -> u64 {
    if std::env::var_os("SLOW").is_some() { 200 } else { 6 }
}

#[test]
fn in_a_day_of_restarts_every_tick_is_asked_for_as_the_oracle_says() {
    for seed in 0..seeds() {
        for policy in [Policy::All, Policy::Last(1), Policy::Last(3), Policy::None] {
            day(policy, seed);
        }
    }
}

#[test]
fn in_a_day_of_restarts_every_tick_has_one_run() {
    let mut rig = note("cron: '*/5 * * * *', catchup: all");
    let mut now = at("2024-03-02T00:00:00Z");
    let end = at("2024-03-03T00:00:00Z");
    check(&mut rig, &now.to_rfc3339(), &[]);
    for minutes in [1, 4, 7, 35, 5, 63, 181, 2, 5, 422, 30, 1000] {
        now = (now + TimeDelta::try_minutes(minutes).unwrap()).min(end);
        rig.hands.set(&now.to_rfc3339());
        if minutes % 2 == 0 {
            // Recorded by one that has died.
            rig.engine().tick_schedules().unwrap();
        }
        assert_eq!(rig.once(Rule::AsDeclared).0.failed, 0);
    }
    let first = at("2024-03-02T00:00:00Z");
    let all = (1..=288).map(|place| first + TimeDelta::try_minutes(5 * place).unwrap());
    let all: Vec<String> = all.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string()).collect();
    assert_eq!(told(&rig), all);
}
