//! Backfills with the real binary: what they make, how far they are, how they are stopped and taken up again.

use std::fs;
use std::process::{Child, Command, Stdio};

use giornata::base::{BackfillId, Durability};
use giornata::store::{BackfillState, Run, RunQuery, RunState, Store};
use serde_json::Value;

use crate::bench::{Bench, Said};

/// Days, the mean of each month, and one report; each step says in a file that it ran.
const CALENDAR: &str = r#"
.days: &days {partitions: {daily: {start: 2025-01-30, end: 2025-02-04}}}
assets:
  day:
    <<: *days
    run: sh day.sh
    output: day.txt
  month:
    deps: {day: {missing: allow}}
    partitions: {monthly: {start: 2025-01-01, end: 2025-03-01}}
    run: sh month.sh
    output: month.txt
  report:
    deps: [month]
    run: sh report.sh
    output: report.txt
"#;

const SAY: &str = "echo \"$GIORNATA_ASSET@$GIORNATA_PARTITION\" >> ran.txt\n";

/// The days of this list fail.
const DAY: &str = "if grep -qx \"$GIORNATA_PARTITION\" broken.txt; then exit 3; fi\necho \"$GIORNATA_PARTITION\" > \"$output\"\n";

fn calendar() -> Bench {
    let bench = Bench::new(CALENDAR);
    bench.write("broken.txt", "");
    bench.write("day.sh", &format!("{SAY}{DAY}"));
    bench.write("month.sh", &format!("{SAY}ls \"$day\" > \"$output\"\n"));
    bench.write("report.sh", &format!("{SAY}ls \"$month\" > \"$output\"\n"));
    bench
}

/// What has run since the last call, in order of name.
fn ran(bench: &Bench) -> String {
    let path = bench.path("ran.txt");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join(" ")
}

fn backfill(bench: &Bench, args: &[&str]) -> Said {
    let args: Vec<&str> = ["backfill"].into_iter().chain(args.iter().copied()).collect();
    bench.run(&args)
}

/// The document of `backfill show`.
fn shown(bench: &Bench, id: &str) -> Value {
    let said = backfill(bench, &["show", id, "--json"]).ends(0);
    serde_json::from_str(&said.out).unwrap()
}

/// `day: done 2025-01-30..2025-01-31; left 2025-02-01`, for each asset.
fn progress(bench: &Bench, id: &str) -> String {
    let document = shown(bench, id);
    let asset = |asset: &Value| {
        let ranges = asset["ranges"].as_object().unwrap().iter().map(|(state, ranges)| {
            let items = ranges.as_array().unwrap().iter().filter_map(Value::as_str);
            let items: Vec<&str> = items.map(|item| item.trim_matches('"')).collect();
            format!("{state} {}", items.join(",")).trim_end().to_owned()
        });
        let is_target = if asset["target"] == true { "" } else { "(" };
        let name = asset["asset"].as_str().unwrap();
        format!("{is_target}{name}: {}", ranges.collect::<Vec<_>>().join("; "))
    };
    let assets = document["assets"].as_array().unwrap().iter().map(asset);
    assets.collect::<Vec<_>>().join(" | ")
}

fn store(bench: &Bench) -> Store {
    Store::open(&bench.path(".giornata"), Durability::Batch).unwrap()
}

fn state(bench: &Bench, id: u64) -> BackfillState {
    store(bench).backfill(BackfillId(id)).unwrap().unwrap().state
}

#[test]
fn a_range_is_read_by_each_asset_in_its_own_partitions() {
    let bench = calendar();
    let said = backfill(&bench, &["day", "month", "report", "-p", "2025-02", "--tag", "why=test"]);
    // The report reads every month, and they read every day.
    drop(said.ends(0).says("backfill 1").says("how long is not known").says("ran 8"));
    let all = "day@2025-01-30 day@2025-01-31 day@2025-02-01 day@2025-02-02 day@2025-02-03 \
               month@2025-01 month@2025-02 report@";
    assert_eq!(ran(&bench), all);
    assert_eq!(
        progress(&bench, "1"),
        "day: done 2025-02-01..2025-02-03 | month: done 2025-02 | report: done | \
         (day: done 2025-01-30..2025-01-31 | (month: done 2025-01"
    );
    let document = shown(&bench, "1");
    assert_eq!(document["state"], "success");
    assert_eq!(document["tags"]["why"], "test");
    let run = store(&bench).run(giornata::base::RunId(1)).unwrap().unwrap();
    assert_eq!(run.launch.backfill, Some(BackfillId(1)));
    assert_eq!(run.launch.tags["why"], "test");
    // All of it is fresh, so there is nothing to be one unit of.
    drop(backfill(&bench, &["day", "-p", "2025-02"]).ends(0).says("everything up to date"));
    drop(backfill(&bench, &["list"]).ends(0).says("success").says_not("\n 2"));
}

#[test]
fn from_and_to_name_a_range_for_all_kinds_of_windows() {
    let bench = calendar();
    let said =
        backfill(&bench, &["day", "month", "--only", "--from", "2025-01-31", "--to", "2025-02-01"]);
    // January begins before, February within.
    drop(said.ends(0));
    assert_eq!(ran(&bench), "day@2025-01-31 day@2025-02-01 month@2025-02");
    // No month starts in these days, which is no error as long as some day does.
    drop(
        backfill(&bench, &["day", "month", "--only", "--from", "2025-02-02", "--to", "2025-02-02"])
            .ends(0),
    );
    assert_eq!(ran(&bench), "day@2025-02-02");
    let said = backfill(&bench, &["month", "--from", "2025-02-02", "--to", "2025-02-02"]).ends(2);
    drop(said.says("`month`: no partition is in this range"));
    let said = backfill(&bench, &["day", "--from", "2025-02-02..2025-02-03"]).ends(2);
    drop(said.says("is not one moment"));
    drop(backfill(&bench, &["day", "--from", "2025-02-03", "-p", "all"]).ends(2));
    drop(backfill(&bench, &["day", "--to", "1999"]).ends(2).says("no partition is in this range"));
    drop(backfill(&bench, &["day", "-p", "2025-02-03..2025-02-01"]).ends(2).says("backwards"));
    drop(backfill(&bench, &["day", "-p", "eu"]).ends(2).says("`day`: there is no partition `eu`"));
    drop(backfill(&bench, &[]).ends(2).says("what is to be backfilled is missing"));
    drop(backfill(&bench, &["nothing", "-p", "all"]).ends(2).says("nothing"));
}

#[test]
fn a_dry_run_counts_and_says_how_long_it_takes_and_from_what_that_is_known() {
    let bench = calendar();
    let preview = |args: &[&str]| {
        let args: Vec<&str> = ["-n", "--json"].iter().chain(args).copied().collect();
        let said = backfill(&bench, &args).ends(0);
        serde_json::from_str::<Value>(&said.out).unwrap()
    };
    let document = preview(&["day", "-p", "all", "--chunk", "2"]);
    assert_eq!(document["targets"][0]["count"], 5);
    assert_eq!(document["targets"][0]["ranges"][0], "2025-01-30..2025-02-03");
    assert_eq!(document["runs"], 3);
    assert_eq!(document["estimate"]["duration_ms"], Value::Null);
    assert_eq!(document["estimate"]["unknown_steps"], 5);
    assert_eq!(ran(&bench), "");
    assert!(
        !bench.path(".giornata/giornata.db").exists()
            || store(&bench).backfills(9).unwrap().is_empty()
    );
    drop(backfill(&bench, &["day", "-p", "2025-01"]).ends(0));
    let document = preview(&["day", "-p", "all", "-j", "1"]);
    assert_eq!(document["targets"][0]["count"], 3);
    assert_eq!(document["estimate"]["attempts"], 2);
    assert_eq!(document["estimate"]["unknown_steps"], 0);
    assert!(document["estimate"]["duration_ms"].is_number());
    let said = backfill(&bench, &["day", "-p", "all", "-n"]).ends(0);
    drop(said.says("by the medians of 2 earlier attempts").says("3 steps to run"));
}

#[test]
fn what_is_missing_failed_or_stale_can_be_taken_alone() {
    let bench = calendar();
    bench.write("broken.txt", "2025-02-01\n");
    drop(backfill(&bench, &["day", "-p", "2025-01-31..2025-02-01"]).ends(1));
    let left = |flags: &[&str]| {
        let args: Vec<&str> =
            ["day", "-p", "all", "-n", "--json"].iter().chain(flags).copied().collect();
        let document: Value = serde_json::from_str(&backfill(&bench, &args).ends(0).out).unwrap();
        let targets = document["targets"].as_array().unwrap().iter();
        let ranges = targets.flat_map(|target| target["ranges"].as_array().unwrap().clone());
        ranges.map(|range| range.as_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
    };
    assert_eq!(left(&["--missing"]), "2025-01-30,2025-02-01..2025-02-03");
    assert_eq!(left(&["--failed"]), "2025-02-01");
    assert_eq!(left(&["--stale"]), "");
    bench.write("day.sh", &format!("{SAY}{DAY}# other\n"));
    assert_eq!(left(&["--stale"]), "2025-01-31");
    assert_eq!(left(&["--stale", "--missing"]), "2025-01-30..2025-02-03");
    // What failed was made of something else.
    assert_eq!(left(&["--failed"]), "");
    assert_eq!(left(&[]), "2025-01-30..2025-02-03");
    assert_eq!(left(&["--force"]), "2025-01-30..2025-02-03");
    drop(backfill(&bench, &["day", "--stale", "--force"]).ends(2));
    ran(&bench);
    drop(backfill(&bench, &["day", "-p", "all", "--stale"]).ends(0));
    assert_eq!(ran(&bench), "day@2025-01-31");
}

#[test]
fn descendants_of_a_failure_are_blocked_and_run_when_it_is_repaired() {
    let bench = calendar();
    bench.write("broken.txt", "2025-01-31\n");
    let said = backfill(&bench, &["day", "month", "report", "-p", "all"]).ends(1);
    let said = said.says("blocked: 1 partition of `month` (upstream-failed): 2025-01");
    drop(said.says("blocked: 1 partition of `report`").says("`giornata backfill retry 1`"));
    assert_eq!(
        ran(&bench),
        "day@2025-01-30 day@2025-01-31 day@2025-02-01 day@2025-02-02 day@2025-02-03 month@2025-02"
    );
    assert_eq!(
        progress(&bench, "1"),
        "day: done 2025-01-30,2025-02-01..2025-02-03; failed 2025-01-31 | \
         month: blocked 2025-01; done 2025-02 | report: blocked"
    );
    // Still broken: only what failed is tried, and nothing that is well is touched.
    drop(backfill(&bench, &["retry", "1"]).ends(1));
    assert_eq!(ran(&bench), "day@2025-01-31");
    bench.write("broken.txt", "");
    drop(backfill(&bench, &["retry", "1"]).ends(0));
    assert_eq!(ran(&bench), "day@2025-01-31 month@2025-01 report@");
    assert_eq!(state(&bench, 1), BackfillState::Success);
    assert_eq!(
        progress(&bench, "1"),
        "day: done 2025-01-30..2025-02-03 | month: done 2025-01..2025-02 | report: done"
    );
    drop(backfill(&bench, &["retry", "1"]).ends(2).says("nothing of backfill 1 has failed"));
    drop(backfill(&bench, &["resume", "1"]).ends(2).says("has succeeded"));
    drop(backfill(&bench, &["pause", "1"]).ends(2).says("has succeeded"));
    drop(backfill(&bench, &["cancel", "1"]).ends(2).says("has succeeded"));
}

/// A step that has another process do something to the backfill that it is part of.
fn calls(what: &str, on: &str) -> String {
    let program = env!("CARGO_BIN_EXE_giornata");
    format!(
        "{SAY}{DAY}if [ \"$GIORNATA_PARTITION\" = {on} ] && ! [ -e called ]; then touch called; \"{program}\" backfill {what} 1 >&2; fi\n"
    )
}

#[test]
fn a_pause_finishes_what_runs_and_what_is_left_is_taken_up() {
    let bench = calendar();
    bench.write("day.sh", &calls("pause", "2025-01-30"));
    let said = backfill(&bench, &["day", "-p", "all", "--force", "-j", "1"]).ends(1);
    drop(said.says("`paused`").says("`giornata backfill resume 1`"));
    let first = ran(&bench);
    // One ran, and one waited for the worker.
    assert_eq!(first, "day@2025-01-30 day@2025-01-31");
    assert_eq!(state(&bench, 1), BackfillState::Paused);
    assert_eq!(
        progress(&bench, "1"),
        "day: done 2025-01-30..2025-01-31; left 2025-02-01..2025-02-03"
    );
    drop(backfill(&bench, &["pause", "1"]).ends(2).says("is paused"));
    // Forced as before, but not what it has made already.
    drop(backfill(&bench, &["resume", "1"]).ends(0));
    assert_eq!(ran(&bench), "day@2025-02-01 day@2025-02-02 day@2025-02-03");
    assert_eq!(progress(&bench, "1"), "day: done 2025-01-30..2025-02-03");
    let states = store(&bench).runs_of_backfill(BackfillId(1)).unwrap();
    let states: Vec<RunState> = states.into_iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Paused, RunState::Success]);
}

#[test]
fn a_cancel_between_two_runs_is_heeded_too() {
    let bench = calendar();
    bench.write("day.sh", &calls("cancel", "2025-01-31"));
    let said = backfill(&bench, &["day", "-p", "all", "--chunk", "2", "-j", "1"]).ends(1);
    drop(said.says("`cancelled`"));
    assert_eq!(ran(&bench), "day@2025-01-30 day@2025-01-31");
    assert_eq!(state(&bench, 1), BackfillState::Cancelled);
    drop(backfill(&bench, &["resume", "1"]).ends(0));
    // What was cancelled in its last moment is made again, or not.
    let again = ran(&bench);
    assert!(again.ends_with("day@2025-02-01 day@2025-02-02 day@2025-02-03"), "{again}");
    assert_eq!(state(&bench, 1), BackfillState::Success);
}

#[test]
fn a_backfill_whose_process_is_killed_is_taken_up() {
    let bench = calendar();
    let kill = "if [ \"$GIORNATA_PARTITION\" = 2025-02-01 ] && ! [ -e killed ]; then touch killed; kill -9 $PPID; sleep 60; fi\n";
    bench.write("day.sh", &format!("{SAY}{kill}{DAY}"));
    let child = start(&bench, &["day", "-p", "all", "--force", "-j", "1"]);
    assert!(!child.wait_with_output().unwrap().status.success());
    ran(&bench);
    // Nobody has written since.
    drop(backfill(&bench, &["show", "1"]).ends(0).says("interrupted"));
    // Whoever writes next closes the run, and knows all that it has made.
    drop(bench.run(&["observe"]).ends(0));
    let left = shown(&bench, "1")["counts"]["left"].as_u64().unwrap();
    // What ended in the moment of the kill is recorded, or is made again.
    assert!([3, 4].contains(&left), "{left}");
    drop(backfill(&bench, &["resume", "1"]).ends(0));
    let again = ran(&bench);
    assert!(again.ends_with("day@2025-02-01 day@2025-02-02 day@2025-02-03"), "{again}");
    assert_eq!(again.split(' ').count() as u64, left, "{again}");
    assert_eq!(state(&bench, 1), BackfillState::Success);
}

#[test]
fn nobody_is_needed_to_cancel_what_was_interrupted() {
    let bench = calendar();
    let kill = "kill -9 $PPID; sleep 60\n";
    bench.write("day.sh", kill);
    let child = start(&bench, &["day", "-p", "all"]);
    assert!(!child.wait_with_output().unwrap().status.success());
    drop(backfill(&bench, &["cancel", "1"]).ends(0).says("no process carried it out"));
    assert_eq!(state(&bench, 1), BackfillState::Cancelled);
}

fn start(bench: &Bench, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(["--now", "2026-01-01T00:00:00Z", "backfill"])
        .args(args)
        .current_dir(bench.dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn overlapping_backfills_in_two_processes_make_everything_once() {
    let bench = calendar();
    let both = [
        start(&bench, &["day", "month", "-p", "all"]),
        start(&bench, &["day", "report", "-p", "all", "--order", "newest"]),
    ];
    for child in both {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(
        ran(&bench),
        "day@2025-01-30 day@2025-01-31 day@2025-02-01 day@2025-02-02 day@2025-02-03 \
         month@2025-01 month@2025-02 report@"
    );
    for backfill in store(&bench).backfills(9).unwrap() {
        assert_eq!(backfill.state, BackfillState::Success);
    }
}

#[test]
fn a_chunk_is_a_run_and_the_newest_goes_first_if_that_is_asked_for() {
    let bench = calendar();
    let said = backfill(
        &bench,
        &["day", "-p", "all", "--chunk", "2", "--order", "newest", "-j", "1", "--jsonl"],
    );
    let said = said.ends(0);
    let lines: Vec<Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["event"], "backfill-started");
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["runs"]), (&"backfill-finished".into(), &3.into()));
    assert_eq!((&last["state"], &last["summary"]["ran"]), (&"success".into(), &5.into()));
    let started = lines.iter().filter(|line| line["event"] == "step-started");
    let order: Vec<&str> = started.map(|line| line["partition"].as_str().unwrap()).collect();
    // The newest day is alone in its part: these are cut from the first day on.
    assert_eq!(order, ["2025-02-03", "2025-02-02", "2025-02-01", "2025-01-31", "2025-01-30"]);
    assert_eq!(store(&bench).runs_of_backfill(BackfillId(1)).unwrap().len(), 3);
}

/// Each day reads the day before.
const CHAIN: &str = r#"
assets:
  total:
    deps: {total: {map: "window(-1d, -1d)", missing: allow}}
    partitions: {daily: {start: 2025-01-01, end: 2025-01-11}}
    run: sh total.sh
    output: total.txt
"#;

#[test]
fn what_failed_in_one_chunk_is_not_tried_again_in_the_next() {
    let bench = Bench::new(CHAIN);
    bench.write("broken.txt", "2025-01-03\n");
    bench.write("total.sh", &format!("{SAY}{DAY}"));
    let said = backfill(&bench, &["total", "-p", "all", "--chunk", "2"]).ends(1);
    drop(said.says("1 failed, 7 blocked"));
    assert_eq!(ran(&bench), "total@2025-01-01 total@2025-01-02 total@2025-01-03");
    assert_eq!(
        progress(&bench, "1"),
        "total: blocked 2025-01-04..2025-01-10; done 2025-01-01..2025-01-02; failed 2025-01-03"
    );
    bench.write("broken.txt", "");
    drop(backfill(&bench, &["retry", "1"]).ends(0).says("ran 8"));
    assert_eq!(state(&bench, 1), BackfillState::Success);
}

#[test]
fn numbers_that_name_no_backfill_are_refused() {
    let bench = calendar();
    drop(bench.run(&["materialize", "day", "-p", "latest"]).ends(0));
    for verb in ["show", "cancel", "pause", "resume", "retry"] {
        let said = backfill(&bench, &[verb, "1"]).ends(2);
        drop(said.says("there is no backfill 1; that is the number of a run"));
        drop(backfill(&bench, &[verb, "7"]).ends(2).says("there is no backfill 7"));
        drop(backfill(&bench, &[verb, "x"]).ends(2).says("a backfill has a number"));
        drop(backfill(&bench, &[verb, "99999999999999999999"]).ends(2));
        drop(backfill(&bench, &[verb]).ends(2));
    }
    drop(backfill(&bench, &["list"]).ends(0).says("there was no backfill yet"));
}

#[test]
fn what_is_declared_otherwise_now_cannot_be_taken_up() {
    let bench = calendar();
    bench.write("broken.txt", "2025-02-01\n");
    drop(backfill(&bench, &["day", "-p", "all"]).ends(1));
    bench.edit("daily: {start: 2025-01-30, end: 2025-02-04}", "static: [a, b]");
    let said = backfill(&bench, &["retry", "1"]).ends(2);
    drop(said.says("the partitions of `day` are declared otherwise now"));
    drop(backfill(&bench, &["show", "1"]).ends(0).says("(declared otherwise now)"));
    bench.write("assets/all.yaml", "assets:\n  day: {rnu: \"true\", output: it}\n");
    drop(
        backfill(&bench, &["resume", "1"])
            .ends(2)
            .says("`day` cannot be used, because of an error"),
    );
    bench.write("assets/all.yaml", "assets:\n  other: {run: \"true\", output: it}\n");
    drop(backfill(&bench, &["resume", "1"]).ends(2).says("there is no asset `day` any more"));
    drop(backfill(&bench, &["show", "1"]).ends(0).says("failure"));
}

/// Nothing of it has failed, so nothing can be tried again.
#[test]
fn what_is_not_there_any_more_is_left() {
    let bench = Bench::new(
        "sources:\n  letters: {files: \"in/{name}.txt\"}\nassets:\n  read:\n    partitions: each(letters)\n    \
         deps: [letters]\n    run: '[ ! -e broken ] && cp $letters $output'\n",
    );
    for name in ["in/a.txt", "in/b.txt", "broken"] {
        bench.write(name, "x");
    }
    drop(backfill(&bench, &["read"]).ends(1).says("`giornata backfill retry 1` tries again"));
    fs::remove_file(bench.path("broken")).unwrap();
    fs::remove_file(bench.path("in/b.txt")).unwrap();
    let said = backfill(&bench, &["resume", "1"]).ends(1);
    let said = said.says("1 of the partitions of `read` are not there any more");
    drop(said.says("`giornata backfill show 1` says what is left").says_not("backfill retry"));
}

#[test]
fn what_reads_the_targets_follows_if_that_is_asked_for() {
    let bench = calendar();
    drop(backfill(&bench, &["day", "-p", "2025-01", "--downstream"]).ends(0));
    // The report reads both months, so all days are made.
    assert!(ran(&bench).ends_with("month@2025-01 month@2025-02 report@"));
    drop(backfill(&bench, &["day", "-p", "2025-01-30", "--downstream", "--force"]).ends(0));
    // It came out as it was, and what reads it is cut off.
    assert_eq!(ran(&bench), "day@2025-01-30");
}

/// A job that selects assets, and one of ops whose first step fails for some partitions.
const JOBS: &str = r#"
assets:
  day:
    partitions: {daily: {start: 2025-01-30, end: 2025-02-02}}
    config: {word: none}
    run: echo "$GIORNATA_PARTITION $GIORNATA_CONFIG_WORD" > "$output"
    output: day.txt
jobs:
  refresh:
    select: day
    config: {word: string}
  export:
    partitions: {daily: {start: 2025-01-30, end: 2025-02-02}}
    ops:
      load: {run: sh load.sh, outputs: {rows: rows.txt}}
      send: {run: sh send.sh, in: {rows: load.rows}}
"#;

fn jobs() -> Bench {
    let bench = Bench::new(JOBS);
    bench.write("broken.txt", "");
    bench.write(
        "load.sh",
        "echo \"load@$GIORNATA_PARTITION\" >> ran.txt\necho 1 > \"$GIORNATA_OUTPUT_ROWS\"\n",
    );
    bench.write(
        "send.sh",
        "echo \"send@$GIORNATA_PARTITION\" >> ran.txt\necho sent > \"$output\"\n! grep -qx \"$GIORNATA_PARTITION\" broken.txt\n",
    );
    bench
}

#[test]
fn a_job_that_selects_assets_is_backfilled_with_its_values() {
    let bench = jobs();
    drop(backfill(&bench, &["refresh", "-p", "2025-01"]).ends(2).says("`word`"));
    drop(backfill(&bench, &["refresh", "-p", "2025-01", "--set", "word=hi"]).ends(0).says("ran 2"));
    drop(bench.run(&["cat", "day@2025-01-31"]).says("2025-01-31"));
    let run = store(&bench).run(giornata::base::RunId(1)).unwrap().unwrap();
    assert_eq!(run.launch.job.as_deref(), Some("refresh"));
    assert_eq!(run.launch.config["word"], "hi");
    assert_eq!(progress(&bench, "1"), "day: done 2025-01-30..2025-01-31");
    let said = backfill(&bench, &["refresh", "--op-select", "x", "--set", "word=hi"]).ends(2);
    drop(said.says("are for jobs"));
}

#[test]
fn each_partition_of_a_job_of_ops_is_a_run_and_a_retry_takes_what_was_made() {
    let bench = jobs();
    bench.write("broken.txt", "2025-01-31\n");
    drop(backfill(&bench, &["export", "-p", "all", "-n"]).ends(0).says("3 runs of job `export`"));
    let said = backfill(&bench, &["export", "-p", "all", "--tag", "why=test"]).ends(1);
    drop(said.says("2 runs succeeded, 1 failed").says("`giornata backfill retry 1`"));
    assert_eq!(
        ran(&bench),
        "load@2025-01-30 load@2025-01-31 load@2025-02-01 send@2025-01-30 send@2025-01-31 send@2025-02-01"
    );
    let document = shown(&bench, "1");
    assert_eq!((&document["state"], &document["job"]), (&"failure".into(), &"export".into()));
    assert_eq!(document["ranges"]["failed"][0], "2025-01-31");
    assert_eq!(document["counts"]["done"], 2);
    drop(backfill(&bench, &["show", "1"]).ends(0).says("2025-01-31"));
    drop(backfill(&bench, &["list"]).ends(0).says("failure"));
    let runs = store(&bench).runs(&RunQuery::default()).unwrap();
    assert_eq!(runs.len(), 3);
    let of_it = |run: &Run| run.launch.backfill == Some(BackfillId(1));
    assert!(runs.iter().all(|run| of_it(run) && run.launch.tags["why"] == "test"));
    bench.write("broken.txt", "");
    drop(backfill(&bench, &["retry", "1"]).ends(0).says("1 run succeeded, 0 failed"));
    // What its first step made is taken from the run that failed.
    assert_eq!(ran(&bench), "send@2025-01-31");
    assert_eq!(state(&bench, 1), BackfillState::Success);
    drop(backfill(&bench, &["resume", "1"]).ends(2).says("has succeeded"));
}

#[test]
fn of_a_job_of_ops_what_failed_or_was_never_run_can_be_taken_alone() {
    let bench = jobs();
    bench.write("broken.txt", "2025-01-31\n");
    drop(backfill(&bench, &["export", "--failed"]).ends(0).says("nothing to run"));
    let mixed = backfill(&bench, &["day", "export"]).ends(2);
    drop(mixed.says("`export` is a job, which is named alone, as in `giornata run export`"));
    drop(backfill(&bench, &["export", "--failed", "-n"]).ends(0).says("nothing to run"));
    drop(backfill(&bench, &["export", "-p", "2025-01"]).ends(1));
    ran(&bench);
    let counts = |flags: &[&str]| {
        let args: Vec<&str> = ["export", "-n"].iter().chain(flags).copied().collect();
        backfill(&bench, &args).ends(0).out
    };
    assert!(counts(&["--failed"]).contains("1 run of job `export`"));
    assert!(counts(&["--failed"]).contains("2025-01-31"));
    assert!(counts(&["--missing"]).contains("2025-02-01"));
    assert!(counts(&["--missing", "--failed"]).contains("2 runs of job `export`"));
    bench.write("broken.txt", "");
    drop(backfill(&bench, &["export", "--failed"]).ends(0).says("1 run succeeded"));
    assert_eq!(ran(&bench), "load@2025-01-31 send@2025-01-31");
    drop(backfill(&bench, &["export", "--failed"]).ends(0).says("nothing to run"));
    drop(backfill(&bench, &["export", "--missing", "-p", "2025-02"]).ends(0));
    assert_eq!(ran(&bench), "load@2025-02-01 send@2025-02-01");
    drop(backfill(&bench, &["export", "--missing"]).ends(0).says("nothing to run"));
}

#[test]
fn what_means_nothing_for_a_job_of_ops_is_refused() {
    let bench = jobs();
    for flag in ["--stale", "--force", "--downstream", "--only"] {
        let said = backfill(&bench, &["export", "-p", "all", flag]).ends(2);
        drop(said.says("is made of ops"));
    }
    drop(backfill(&bench, &["export", "-p", "2031-01-01"]).ends(2));
    drop(backfill(&bench, &["export", "-p", "missing"]).ends(2).says("have no states"));
    drop(backfill(&bench, &["export", "--op-select", "nobody", "-p", "all"]).ends(2));
    assert_eq!(store(&bench).backfills(9).unwrap(), []);
}

/// What is done of a backfill is known from its runs, so they stay as long as it can be taken up again.
#[test]
fn what_a_backfill_needs_of_its_runs_is_not_forgotten() {
    for state in ["failure", "cancelled", "paused", "interrupted", "success"] {
        let bench = calendar();
        bench.write("broken.txt", "2025-02-01\n");
        drop(backfill(&bench, &["day", "-p", "all", "--chunk", "2"]).ends(1));
        // Nothing that is current or has failed is of its runs any more.
        bench.write("broken.txt", "");
        drop(bench.run(&["m", "day", "--force"]).ends(0));
        let sql = rusqlite::Connection::open(bench.path(".giornata/giornata.db")).unwrap();
        assert_eq!(sql.execute("UPDATE backfill SET state = ?1", [state]).unwrap(), 1);
        drop(sql);
        let runs = || store(&bench).runs_of_backfill(BackfillId(1)).unwrap().len();
        let (before, had) = (progress(&bench, "1"), runs());
        assert_eq!(had, 3);
        drop(bench.run(&["gc", "--keep-runs", "1"]).ends(0));
        match state {
            "success" => assert_eq!(runs(), 0, "nobody asks for them any more"),
            _ => {
                assert_eq!((runs(), progress(&bench, "1")), (had, before), "{state}");
                drop(backfill(&bench, &["resume", "1"]).ends(0));
                assert_eq!(self::state(&bench, 1), BackfillState::Success);
            }
        }
    }
}

#[test]
fn a_backfill_is_what_there_was_when_it_was_asked_for() {
    let days = CALENDAR.replace("end: 2025-02-04", "end_offset: 0");
    let mut bench = Bench::new(&days);
    bench.write("broken.txt", "2025-01-31\n");
    bench.write("day.sh", &format!("{SAY}{DAY}"));
    bench.at("2025-02-02T00:00:00Z");
    drop(backfill(&bench, &["day", "-p", "2025-01-30.."]).ends(1));
    ran(&bench);
    // There are more days by now; they are for another backfill.
    bench.at("2025-02-10T00:00:00Z");
    bench.write("broken.txt", "");
    drop(backfill(&bench, &["resume", "1"]).ends(0));
    assert_eq!(ran(&bench), "day@2025-01-31");
    assert_eq!(progress(&bench, "1"), "day: done 2025-01-30..2025-02-01");
    drop(backfill(&bench, &["day", "-p", "2025-02-01..2025-02-02"]).ends(0));
    assert_eq!(ran(&bench), "day@2025-02-02");
}
