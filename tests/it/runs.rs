//! What is told of runs: lists, what became of partitions, attempts with what they took, logs as they grow. With
//! the real binary.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::bench::Bench;

/// `day` fails for the third, after a second attempt; `all` reads it; `big` takes memory and time.
const PROJECT: &str = r#"
assets:
  day:
    partitions: {daily: {start: 2020-01-01, end: 2020-01-06}}
    run: 'echo "making $GIORNATA_PARTITION"; test $GIORNATA_PARTITION != 2020-01-03 -o -e "$GIORNATA_ROOT/mended" || exit 3; echo x > "$output"'
    output: day.txt
    retries: 1
  all: {run: 'ls "$day" > "$output"', output: all.txt, deps: [day]}
  big: {run: 'head -c 100000000 /dev/zero | sort > /dev/null; echo 1 > "$output"', output: big.txt}
jobs:
  work:
    ops:
      one: {run: 'echo hi; echo 1 > "$output"', output: int}
      two: {run: 'echo "{\"acc\": 3}" > "$GIORNATA_METADATA"; false', in: {x: one}}
"#;

fn json(bench: &Bench, args: &[&str]) -> Value {
    let said = bench.run(&[args, &["--json"]].concat()).ends(0);
    serde_json::from_str(&said.out).unwrap()
}

/// As many numbers as there are runs in a list.
fn listed(bench: &Bench, args: &[&str]) -> Vec<u64> {
    let runs = json(bench, &[&["runs"], args].concat());
    runs["runs"].as_array().unwrap().iter().map(|run| run["run"].as_u64().unwrap()).collect()
}

#[test]
fn runs_are_listed_and_narrowed() {
    let mut bench = Bench::new(PROJECT);
    bench.run(&["runs"]).ends(0).says("no runs");
    bench.run(&["m", "day", "--tag", "who=me"]).ends(1);
    bench.at("2026-01-03T00:00:00Z");
    bench.run(&["run", "work"]).ends(1);
    bench.run(&["m", "big"]).ends(0);
    assert_eq!(listed(&bench, &[]), [3, 2, 1]);
    assert_eq!(listed(&bench, &["-n", "1"]), [3]);
    assert_eq!(listed(&bench, &["-n", "0"]), [3, 2, 1]);
    assert_eq!(listed(&bench, &["--failed"]), [2, 1]);
    assert_eq!(listed(&bench, &["--since", "1d"]), [3, 2]);
    assert_eq!(listed(&bench, &["--since", "2026-01-01"]), [3, 2, 1]);
    assert_eq!(listed(&bench, &["--since", "9000000y"]), [3, 2, 1], "before all time");
    assert_eq!(listed(&bench, &["--asset", "day"]), [1]);
    assert_eq!(listed(&bench, &["--job", "work"]), [2]);
    assert_eq!(listed(&bench, &["--tag", "who=me"]), [1]);
    assert_eq!(listed(&bench, &["--tag", "who=you"]), [0; 0]);
    bench.run(&["runs"]).ends(0).says("failure").says("m day --tag 'who=me");
    bench.run(&["runs", "--since", "tomorrow"]).ends(2).says("is no time").says("2026-11-01");
    bench.run(&["runs", "--asset", "dya"]).ends(2).says("did you mean `day`?");
    bench.run(&["runs", "--asset", "../../x"]).ends(2).says("there is no asset");
    bench.run(&["runs", "--job", "wrok"]).ends(0).says("did you mean `work`?").says("no runs");
}

#[test]
fn a_run_says_what_became_of_its_partitions_and_how_each_attempt_went() {
    let bench = Bench::new(PROJECT);
    bench.run(&["m", "--all"]).ends(1);
    let run = json(&bench, &["runs", "show", "1"]);
    assert_eq!((&run["state"], &run["counts"]["ran"]), (&"failure".into(), &5.into()));
    let day = &run["assets"][2]["outcomes"];
    assert_eq!(day["success"]["ranges"].as_array().unwrap().len(), 2, "{run}");
    assert_eq!(day["failed"]["ranges"], serde_json::json!(["2020-01-03"]));
    assert_eq!(run["assets"][0]["outcomes"]["blocked"]["count"], 1);
    let failure = &run["failures"][0];
    assert_eq!(failure["reason"], "exit status 3 (the last of 2 attempts)");
    assert_eq!((&failure["attempt"], &failure["partition"]), (&2.into(), &"2020-01-03".into()));
    let attempts = run["attempts"].as_array().unwrap();
    let of = |asset: &str, partition: &str| -> Vec<&Value> {
        let is = |it: &&Value| {
            it["asset"] == asset && (partition.is_empty() || it["partition"] == partition)
        };
        attempts.iter().filter(is).collect()
    };
    let third = of("day", "2020-01-03");
    assert_eq!(third.len(), 2, "{third:#?}");
    assert_eq!((&third[0]["attempt"], &third[0]["reason"]), (&1.into(), &"exit status 3".into()));
    assert_eq!(third[0]["log"], third[1]["log"]);
    let (first, big) = (of("day", "2020-01-01")[0], of("big", "")[0]);
    assert_eq!((&first["size_bytes"], &first["outcome"]), (&2.into(), &"success".into()));
    // `sort` has all of it in memory.
    assert!(big["peak_bytes"].as_u64() > Some(50_000_000), "{big}");
    assert!(big["cpu_seconds"].as_f64() > Some(0.0), "{big}");
    assert!(big["cpu_seconds"].as_f64() <= Some(60.0) && first["cpu_seconds"].is_f64(), "{big}");
    bench
        .run(&["runs", "show", "1"])
        .ends(0)
        .says("2020-01-01..2020-01-02, 2020-01-04..2020-01-05");

    // What was restored or cut off is told as well.
    bench.write("mended", "");
    bench.run(&["m", "--all"]).ends(0);
    bench.edit("making $G", "MAKING $G");
    bench.run(&["m", "--all"]).ends(0);
    bench.edit("MAKING $G", "making $G");
    bench.run(&["m", "--all"]).ends(0);
    let outcome = |run: &str, asset: usize, outcome: &str| {
        json(&bench, &["runs", "show", run])["assets"][asset]["outcomes"][outcome]["count"].clone()
    };
    assert_eq!(outcome("2", 2, "success"), 1);
    assert_eq!((outcome("3", 2, "success"), outcome("3", 0, "cut_off")), (5.into(), 1.into()));
    assert_eq!(outcome("4", 2, "restored"), 5);
}

#[test]
fn a_run_of_a_job_has_its_steps() {
    let bench = Bench::new(PROJECT);
    bench.run(&["run", "work"]).ends(1);
    let run = json(&bench, &["runs", "show", "1"]);
    let [one, two] = run["steps"].as_array().unwrap().as_slice() else { panic!("{run}") };
    assert_eq!((&one["step"], &one["state"]), (&"one".into(), &"success".into()));
    assert_eq!((&two["state"], &two["reason"]), (&"failure".into(), &"exit status 1".into()));
    assert_eq!(two["metadata"], serde_json::json!({"acc": 3}));
    assert!(one["cpu_seconds"].is_f64(), "{one}");
    bench.run(&["runs", "show", "1"]).ends(0).says("job      work").says("exit status 1");
    bench.run(&["logs", "1"]).ends(0).says("hi");
    bench.run(&["logs", "1", "one"]).ends(0).says("hi");
    bench.run(&["logs", "1", "two"]).ends(0).says("`two` wrote nothing");
    bench.run(&["logs", "1", "three"]).ends(2).says("no step `three`");
    bench.run(&["run", "work", "--retry", "1"]).ends(1);
    bench.run(&["runs", "show", "1"]).ends(0).says("retried by").says("run 2");
    bench.run(&["runs", "show", "2"]).ends(0).says("retries").says("reused");
}

#[test]
fn logs_are_found_by_run_by_step_and_by_partition() {
    let bench = Bench::new(PROJECT);
    bench.run(&["m", "day"]).ends(1);
    let said = bench.run(&["logs", "1"]).ends(0);
    assert_eq!(said.out.matches("==> day@").count(), 5, "{said:#?}");
    let both = "making 2020-01-03\n[giornata: attempt 2]\nmaking 2020-01-03\n";
    assert_eq!(bench.run(&["logs", "1", "day@2020-01-03"]).ends(0).out, both);
    assert_eq!(bench.run(&["logs", "day@2020-01-03"]).ends(0).out, both);
    bench.run(&["logs", "-f", "day@2020-01-01"]).ends(0).says("making 2020-01-01");
    bench.run(&["logs", "day"]).ends(2).says("several partitions").says("day@PARTITION");
    bench.run(&["logs", "big"]).ends(2).says("no record of an attempt at `big`");
    bench.run(&["logs", "nope"]).ends(2);
    bench.run(&["logs", "nope", "day@2020-01-03"]).ends(2).says("not the number of a run");
    bench.run(&["logs", "1", "day@1999-01-01"]).ends(2).says("has no step");
    // What is told of a run does not fall with its logs.
    std::fs::remove_file(bench.path(".giornata/logs/1/day@2020-01-03.log")).unwrap();
    bench.run(&["logs", "1", "day@2020-01-03"]).ends(1).says("is gone");
    let said = bench.run(&["logs", "1"]).ends(0).says("the log of `day@2020-01-03` is gone");
    assert_eq!(said.out.matches("==> day@").count(), 4, "{said:#?}");
}

#[test]
fn a_number_that_is_no_run_is_told() {
    let bench = Bench::new(PROJECT);
    for args in [["runs", "show", "7"].as_slice(), &["logs", "7"]] {
        bench.run(args).ends(2).says("there is no run 7: there has been none");
    }
    bench.run(&["m", "big"]).ends(0);
    for number in ["7", "0", "9223372036854775807"] {
        bench.run(&["runs", "show", number]).ends(2).says("the newest is 1");
        bench.run(&["logs", number]).ends(2).says("the newest is 1");
    }
    for number in ["-1", "18446744073709551616", "x", ""] {
        bench.run(&["runs", "show", "--", number]).ends(2);
    }
}

/// A step that says something, and ends when the file `go` is there.
const SLOW: &str = r#"
assets:
  slow: {run: 'echo begun; while ! [ -e go ]; do sleep 0.02; done; echo "done \033[31mred"; echo 1 > "$output"', output: a.txt}
  next: {run: 'echo next; cat "$slow" > "$output"', output: b.txt, deps: [slow]}
"#;

fn start(bench: &Bench, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(args)
        .current_dir(bench.dir.path())
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the step has written its first line, so that its run is recorded.
fn until_begun(bench: &Bench, child: &mut Child) {
    while !bench.path(".giornata/logs/1/slow.log").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::yield_now();
    }
}

#[test]
fn the_logs_of_a_run_are_followed_to_its_end() {
    let bench = Bench::new(SLOW);
    let mut run = start(&bench, &["m", "next"]);
    until_begun(&bench, &mut run);
    assert_eq!(listed(&bench, &["--failed"]), [0; 0]);
    bench.run(&["runs"]).ends(0).says("running");
    bench.run(&["logs", "1"]).ends(0).says("begun");
    let mut all = start(&bench, &["logs", "-f", "1"]);
    let mut one = start(&bench, &["logs", "-f", "slow"]);
    let lines = |child: &mut Child| BufReader::new(child.stdout.take().unwrap());
    let (mut of_all, mut of_one) = (lines(&mut all), lines(&mut one));
    let mut line = String::new();
    of_all.read_line(&mut line).unwrap();
    of_all.read_line(&mut line).unwrap();
    assert_eq!(line, "==> slow <==\nbegun\n", "while it still runs");
    line.clear();
    of_one.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    bench.write("go", "");
    assert!(run.wait().unwrap().success());
    let mut rest = String::new();
    of_all.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "done red\n\n==> next <==\nnext\n", "nothing steers the terminal");
    rest.clear();
    of_one.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "done red\n");
    for child in [all, one] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "run 1: success\n");
    }
}

#[test]
fn a_run_whose_process_was_killed_is_told_as_interrupted_and_nobody_waits_for_it() {
    let bench = Bench::new(SLOW);
    let mut run = start(&bench, &["m", "next"]);
    until_begun(&bench, &mut run);
    let mut follower = start(&bench, &["logs", "-f", "1"]);
    let mut said = BufReader::new(follower.stdout.take().unwrap());
    said.read_line(&mut String::new()).unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("run 1: interrupted"));
    bench.run(&["runs", "--failed"]).ends(0).says("interrupted");
    // The next one that writes closes it.
    bench.write("go", "");
    bench
        .run(&["m", "next"])
        .ends(0)
        .says("run 1 was interrupted when the process died: 1 step had not ended");
    let run = json(&bench, &["runs", "show", "1"]);
    assert_eq!((&run["state"], &run["counts"]["interrupted"]), (&"interrupted".into(), &1.into()));
    assert_eq!(run["attempts"][0]["reason"], "the process that ran it died");
    bench.run(&["logs", "1"]).ends(0).says("begun");
}

#[test]
fn a_run_is_cancelled_from_another_process_and_taken_up_again() {
    let bench = Bench::new(SLOW);
    let mut run = start(&bench, &["m", "next", "--tag", "who=me"]);
    until_begun(&bench, &mut run);
    bench.run(&["retry", "1"]).ends(2).says("run 1 goes on").says("giornata cancel 1");
    bench.run(&["cancel", "1", "--wait"]).ends(0).says("run 1: cancelled");
    assert!(!run.wait().unwrap().success());
    bench.run(&["cancel", "1"]).ends(2).says("has ended: cancelled");
    bench.run(&["cancel", "9"]).ends(2).says("there is no run 9");
    let run = json(&bench, &["runs", "show", "1"]);
    assert_eq!(run["assets"][0]["outcomes"]["cancelled"]["count"], 1, "{run}");
    assert_eq!(run["assets"][1]["outcomes"]["cancelled"]["count"], 1, "{run}");
    bench.write("go", "");
    bench.run(&["retry", "1", "-n"]).ends(0).says("slow").says("next");
    bench.run(&["retry", "1"]).ends(0).says("ran 2");
    let run = json(&bench, &["runs", "show", "2"]);
    assert_eq!((&run["retries"], &run["tags"]["who"]), (&1.into(), &"me".into()));
    bench.run(&["retry", "2"]).ends(0).says("nothing to retry");
    bench.run(&["retry", "1"]).ends(0).says("everything up to date");
}

#[test]
fn a_run_whose_process_died_is_closed_by_who_cancels_it_and_can_be_retried() {
    let bench = Bench::new(SLOW);
    let mut run = start(&bench, &["m", "next"]);
    until_begun(&bench, &mut run);
    run.kill().unwrap();
    run.wait().unwrap();
    bench.run(&["cancel", "1"]).ends(0).says("its process has died");
    assert_eq!(json(&bench, &["runs", "show", "1"])["state"], "interrupted");
    bench.write("go", "");
    bench.run(&["retry", "1"]).ends(0).says("ran 2");
}

#[test]
fn a_retry_makes_what_failed_and_what_that_blocked_and_nothing_else() {
    let bench = Bench::new(PROJECT);
    bench.edit("exit 3;", "exit 3; echo $FACTOR;");
    bench.edit("output: day.txt", "output: day.txt\n    config: {factor: 1}");
    bench.run(&["m", "day", "all", "--set", "factor=2"]).ends(1);
    // This is stale now as well, but was no part of that run.
    bench.write("mended", "");
    let said = bench.run(&["retry", "1"]).ends(0).says("ran 2");
    assert!(!said.out.contains("big"), "{said:#?}");
    let run = json(&bench, &["runs", "show", "2"]);
    assert_eq!(
        run["assets"][1]["outcomes"]["success"]["ranges"],
        serde_json::json!(["2020-01-03"])
    );
    assert_eq!(run["config"], serde_json::json!({"factor": 2}), "as the first one was given");
    bench.run(&["m", "day", "all", "--set", "factor=2"]).ends(0).says("everything up to date");
    // What is not declared any more cannot be made.
    bench.run(&["m", "day", "--force", "-p", "2020-01-01", "--set", "factor=3"]).ends(0);
    bench.write("assets/all.yaml", "assets:\n  other: {run: 'false', output: x.txt}\n");
    bench.run(&["retry", "1"]).ends(0).says("not there any more").says("nothing to be made");
}

#[test]
fn a_job_is_retried_as_it_was_launched() {
    let bench = Bench::new(
        r#"
jobs:
  work:
    config: {who: string}
    ops:
      one: {run: 'echo one >> ran; echo 1 > "$output"', output: int}
      two: {run: 'echo two >> ran; test -e "$GIORNATA_ROOT/mended"', in: {x: one}, config: [who], outputs: []}
"#,
    );
    bench.run(&["run", "work", "--set", "who=me"]).ends(1);
    bench.write("mended", "");
    bench.run(&["retry", "1"]).ends(0);
    bench.run(&["runs", "show", "2"]).ends(0).says("config   who = \"me\"").says("reused");
    assert_eq!(std::fs::read_to_string(bench.path("ran")).unwrap(), "one\ntwo\ntwo\n");
}

#[test]
fn a_result_names_who_made_it_and_times_are_a_series() {
    let mut bench = Bench::new(PROJECT);
    bench.run(&["m", "day@2020-01-01"]).ends(0);
    bench.edit("making $G", "MAKING $G");
    bench.at("2026-02-01T00:00:00Z");
    bench.run(&["m", "day@2020-01-01"]).ends(0);
    bench.edit("MAKING $G", "making $G");
    bench.at("2026-03-01T00:00:00Z");
    bench.run(&["m", "day@2020-01-01"]).ends(0).says("1 restored");
    let shown = json(&bench, &["show", "day@2020-01-01"]);
    let result = &shown["result"];
    assert_eq!((&result["run"], &result["made_by"]), (&3.into(), &1.into()), "{result}");
    assert_eq!(result["log"], ".giornata/logs/1/day@2020-01-01.log");
    bench
        .run(&["show", "day@2020-01-01"])
        .ends(0)
        .says("3 (restored; made by run 1)")
        .says("2026-01-01T00:00:00Z")
        .says("logs/1/day@2020-01-01.log");
    let times = json(&bench, &["show", "day", "--times"]);
    assert_eq!(times["points"].as_array().unwrap().len(), 1, "{times}");
    assert!(times["points"][0]["value"].is_f64(), "{times}");
    bench.run(&["show", "day", "--times"]).ends(0).says("PARTITION").says("2020-01-01");
    bench.run(&["show", "big", "--times"]).ends(2).says("nothing of `big` was made");
}

/// Status, plan and why of everything, as text.
fn judged(bench: &Bench) -> String {
    let of = |args: &[&str]| bench.run(args).out;
    let why = of(&["why", "day@2020-01-02"]) + &of(&["why", "all"]);
    of(&["status", "--json"]) + &of(&["plan", "--all", "--json"]) + &why
}

#[test]
fn what_is_forgotten_of_the_past_changes_nothing_that_is_fresh() {
    let mut bench = Bench::new(PROJECT);
    bench.run(&["m", "day", "all"]).ends(1);
    bench.run(&["run", "work"]).ends(1);
    bench.write("mended", "");
    for round in 0..6 {
        bench.at(&format!("2026-02-0{}T00:00:00Z", round + 1));
        bench.run(&["m", "day", "all", "--force"]).ends(0);
    }
    bench.edit("making $G", "MAKING $G");
    bench.run(&["m", "day@2020-01-02"]).ends(0);
    bench.at("2026-02-20T00:00:00Z");
    let before = judged(&bench);
    let would = json(&bench, &["gc", "-n", "--keep-runs", "1"]);
    let gone = json(&bench, &["gc", "--keep-runs", "1"]);
    assert_eq!((&would["runs"], &would["attempts"]), (&gone["runs"], &gone["attempts"]));
    assert_eq!(gone["runs"], 7, "all but the last forced one, and the last: {gone}");
    assert_eq!(judged(&bench), before);
    assert_eq!(listed(&bench, &["-n", "0"]), [9, 8]);
    bench.run(&["show", "day@2020-01-04"]).ends(0).says("run").says("8");
    bench.run(&["logs", "day@2020-01-04"]).ends(0).says("making 2020-01-04");
    bench.run(&["logs", "1"]).ends(2).says("there is no run 1");
    bench.run(&["doctor", "--deep"]).ends(0);
    bench.run(&["gc", "--keep-runs", "1"]).ends(0).says("nothing to remove");
    // What can come back is bounded by generations, by age and by bytes; what is current stays.
    let former = |args: &[&str]| json(&bench, &[&["gc", "-n"], args].concat())["traces"].clone();
    assert_eq!(former(&[]), 0);
    assert_eq!(former(&["--keep", "0"]), 1);
    assert_eq!(
        (former(&["--keep-for", "1d"]), former(&["--keep-for", "90d"])),
        (1.into(), 0.into())
    );
    assert_eq!(
        (former(&["--keep-bytes", "0"]), former(&["--keep-bytes", "9000"])),
        (1.into(), 0.into())
    );
    bench.write(
        "giornata.toml",
        "name = \"bench\"\n[settings]\nkeep_results_for = \"1d\"\nkeep_runs = 1\n",
    );
    assert_eq!(former(&[]), 1);
    bench.run(&["gc", "--keep-runs", "soon"]).ends(2).says("write how long");
    bench.write("giornata.toml", "name = \"bench\"\n[settings]\nkeep_runs = \"soon\"\n");
    bench.run(&["check"]).ends(2).says("must be a duration");
}

#[test]
fn a_clock_that_jumps_changes_nothing_that_is_fresh() {
    let mut bench = Bench::new(PROJECT);
    bench.write("mended", "");
    bench.run(&["m", "day", "all"]).ends(0);
    for now in ["2025-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "2020-06-01T00:00:00Z"] {
        bench.at(now);
        bench.run(&["status", "day", "all", "--check"]).ends(0);
        bench.run(&["m", "day", "all"]).ends(0).says("everything up to date");
        bench.run(&["m", "day@2020-01-02", "--force"]).ends(0).says("ran 1");
        bench.run(&["status", "day", "all", "--check"]).ends(0);
        bench.run(&["runs"]).ends(0).says(now);
    }
    assert_eq!(listed(&bench, &[]), [4, 3, 2, 1], "by their numbers, whatever the clock said");
    bench.run(&["doctor", "--deep"]).ends(0);
}
