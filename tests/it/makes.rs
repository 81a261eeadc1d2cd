//! One step that makes several assets, with the real binary: what is asked of it, and what becomes of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Stdio};

use super::bench::{Bench, Said};

const NOTHING: [&str; 0] = [];

/// What is even and what is odd, by one step; and what reads them.
const SPLIT: &str = r#"
sources:
  numbers: {files: numbers.txt}
assets:
  both:
    run: sh both.sh
    deps: [numbers]
    makes:
      even: {output: even.txt}
      odd: {output: odd.txt, export: out/odd.txt, description: "Those that 2 does not divide"}
  sum_even: {deps: [even], run: 'wc -l < "$even" > "$output"'}
  all: {deps: [even, odd], run: 'cat "$even" "$odd" > "$output"'}
"#;

/// Makes what is wanted, and writes down what that was.
const BOTH: &str = r#"
echo "$GIORNATA_WANTED" >> calls.log
echo "making $GIORNATA_WANTED"
for name in $GIORNATA_WANTED; do
  case $name in
    even) grep '[02468]$' "$numbers" > "$GIORNATA_OUTPUT_EVEN" || true ;;
    odd) grep '[13579]$' "$numbers" > "$GIORNATA_OUTPUT_ODD" || true ;;
  esac
done
"#;

fn split() -> Bench {
    let bench = Bench::new(SPLIT);
    bench.write("both.sh", BOTH);
    bench.write("numbers.txt", "1\n2\n3\n4\n");
    bench
}

/// For what the step was called since the last question, a line for each call.
fn calls(bench: &Bench) -> String {
    let path = bench.path("calls.log");
    let calls = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    calls
}

fn cat(bench: &Bench, asset: &str) -> String {
    bench.run(&["cat", asset]).ends(0).out
}

#[test]
fn one_process_makes_both() {
    let bench = split();
    bench.run(&["plan", "--all"]).ends(0).says("1 step to run, up to 2 more depend on them");
    assert_eq!(bench.steps(), ["all@", "even@", "odd@", "sum_even@"]);
    assert_eq!(calls(&bench), "even odd\n");
    assert_eq!((&*cat(&bench, "even"), &*cat(&bench, "odd")), ("2\n4\n", "1\n3\n"));
    assert_eq!(cat(&bench, "all"), "2\n4\n1\n3\n");
    assert_eq!(fs::read_to_string(bench.path("out/odd.txt")).unwrap(), "1\n3\n");
    assert_eq!(bench.steps(), NOTHING);
    bench.run(&["status", "--check"]).ends(0);
    bench.run(&["check"]).ends(0);
}

#[test]
fn each_is_an_asset_of_its_own() {
    let bench = split();
    let list = bench.run(&["list"]).ends(0);
    list.says("even").says("odd").says("Those that 2 does not divide").says_not("both.sh");
    bench.run(&["show", "odd"]).ends(0).says("made with").says("even (step `both`)");
    let said = bench.run(&["list", "group:both", "--json"]).ends(0).out;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let found: Vec<_> = said["assets"].as_array().unwrap().iter().collect();
    assert_eq!(found.len(), 2);
    assert_eq!((&found[0]["asset"], &found[0]["made_with"][0]), (&"even".into(), &"odd".into()));
    bench.run(&["graph", "+sum_even"]).ends(0).says("even").says_not("odd");
    bench.run(&["why", "odd"]).ends(0).says("missing");
    bench.run(&["m", "both"]).ends(2);
}

#[test]
fn what_is_fresh_is_not_asked_for() {
    let bench = split();
    bench.run(&["m", "even"]).ends(0).says("ran 1 ");
    assert_eq!(calls(&bench), "even\n");
    bench.run(&["m", "sum_even", "odd"]).ends(0).says("ran 2 ");
    assert_eq!(calls(&bench), "odd\n");
    bench.run(&["m", "even", "--force"]).ends(0).says("ran 1 (1 unchanged)");
    assert_eq!(calls(&bench), "even\n");
    bench.run(&["m", "all"]).ends(0).says("ran 1 ");
    bench.run(&["invalidate", "odd"]).ends(0);
    bench.run(&["plan", "--all"]).ends(0).says("1 step to run, up to 1 more depends");
    bench.run(&["m", "--all"]).ends(0).says("ran 1 (1 unchanged), 1 cut off");
    assert_eq!(calls(&bench), "odd\n");
    bench.run(&["wipe", "even", "-y"]);
    assert_eq!(bench.steps(), ["even@"]);
    assert_eq!(calls(&bench), "even\n");
}

#[test]
fn each_is_cut_off_by_its_own_content() {
    let bench = split();
    bench.steps();
    calls(&bench);
    bench.write("numbers.txt", "1\n2\n3\n4\n5\n");
    assert_eq!(bench.steps(), ["all@", "even@", "odd@"], "`even` is what it was");
    assert_eq!(calls(&bench), "even odd\n");
    bench.run(&["why", "sum_even"]).ends(0).says("fresh");
}

#[test]
fn each_is_restored_by_its_own_key() {
    let bench = split();
    bench.steps();
    bench.write("numbers.txt", "1\n2\n5\n");
    bench.run(&["m", "odd"]).ends(0).says("ran 1 ");
    bench.write("numbers.txt", "1\n2\n3\n4\n");
    calls(&bench);
    assert_eq!(bench.steps(), NOTHING, "all is in the store");
    bench.write("numbers.txt", "1\n2\n5\n");
    assert_eq!(bench.steps(), ["all@", "even@", "sum_even@"]);
    assert_eq!(calls(&bench), "even\n", "`odd` of these numbers is in the store");
    assert_eq!((&*cat(&bench, "even"), &*cat(&bench, "odd")), ("2\n", "1\n5\n"));
}

#[test]
fn what_only_one_of_them_says_makes_only_that_one_stale() {
    let bench = split();
    bench.steps();
    calls(&bench);
    bench.edit("output: even.txt", "output: even.csv");
    bench.why("even").says("output").says_not("odd");
    bench.run(&["why", "odd"]).ends(0).says("fresh");
    assert_eq!(bench.steps(), ["all@", "even@", "sum_even@"], "a file of another ending");
    assert_eq!(calls(&bench), "even\n");
    // What all of them are made by makes all of them stale, and one more does not.
    bench.edit("run: sh both.sh", "run: sh both.sh x");
    bench.edit("even: {output: even.csv}", "even: {output: even.csv}\n      none:");
    bench.write(
        "both.sh",
        &BOTH.replace("odd) grep", "none) : > \"$GIORNATA_OUTPUT_NONE\" ;;\n odd) grep"),
    );
    assert_eq!(bench.steps(), ["even@", "none@", "odd@"]);
    assert_eq!(calls(&bench), "even none odd\n");
    bench.edit("\n      none:", "");
    assert_eq!(bench.steps(), NOTHING);
}

#[test]
fn what_was_not_made_fails_alone() {
    let bench = split();
    bench.write(
        "both.sh",
        &BOTH.replace("grep '[13579]$' \"$numbers\" > \"$GIORNATA_OUTPUT_ODD\" || true", "true"),
    );
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("`odd` failed: wrote no output at $GIORNATA_OUTPUT_ODD")
        .says("ran 2 ")
        .says("1 failed, 1 blocked");
    assert_eq!(cat(&bench, "even"), "2\n4\n");
    assert_eq!(calls(&bench), "even odd\n");
    bench.run(&["m", "--all"]).ends(1);
    assert_eq!(calls(&bench), "odd\n", "what failed is tried again, and nothing else");
    bench.write("both.sh", BOTH);
    assert_eq!(bench.steps(), ["all@", "even@", "odd@"], "the script is part of what made `even`");
}

#[test]
fn what_failed_is_repeated_alone() {
    let bench = split();
    bench.edit("    makes:", "    retries: 2\n    makes:");
    let odd = "odd) [ \"$GIORNATA_ATTEMPT\" -lt 3 ] || grep";
    bench.write("both.sh", &BOTH.replace("odd) grep", odd));
    bench.run(&["m", "--all"]).ends(0).says("ran 4 ");
    assert_eq!(calls(&bench), "even odd\nodd\nodd\n");
    assert_eq!((&*cat(&bench, "even"), &*cat(&bench, "odd")), ("2\n4\n", "1\n3\n"));
}

#[test]
fn a_failed_command_is_the_failure_of_all_that_it_was_to_make() {
    let bench = split();
    bench.steps();
    bench.write("both.sh", &format!("{BOTH}exit 3"));
    bench.write("numbers.txt", "7\n8\n");
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("`even` failed: exit status 3")
        .says("`odd` failed: exit status 3")
        .says("2 failed, 2 blocked");
    assert_eq!(cat(&bench, "even"), "2\n4\n", "the last good result stays");
}

#[test]
fn a_check_judges_one_of_them() {
    let bench = split();
    bench.edit("run: sh both.sh", "run: sh both.sh\n    format: csv");
    bench.edit("even: {output: even.txt}", "even: {checks: [\"rows > 1\"]}");
    bench.edit("{output: odd.txt, ", "{");
    bench
        .run(&["m", "even", "odd"])
        .ends(1)
        .says("`even` failed: check failed: `rows > 1`")
        .says("ran 1 ");
    assert_eq!(cat(&bench, "odd"), "1\n3\n");
    bench.write("numbers.txt", "1\n2\n3\n4\n6\n");
    bench.run(&["m", "even", "odd"]).ends(0).says("ran 2 ");
    bench.run(&["show", "even"]).ends(0).says("rows > 1");
}

#[test]
fn what_was_not_asked_for_is_left_out_and_that_is_said() {
    let bench = split();
    bench.write("both.sh", &BOTH.replace("for name in $GIORNATA_WANTED", "for name in even odd"));
    let said = bench.run(&["m", "even"]).ends(0);
    said.says("warning: `both` also made `odd`, which was not asked for: that is left out")
        .says("ran 1 ");
    bench.run(&["why", "odd"]).ends(0).says("missing");
    assert!(!bench.path("out/odd.txt").exists());
    bench.run(&["m", "even", "odd", "--force"]).ends(0).says("ran 2 ").says_not("warning");
}

/// A step with directories and a name with a slash.
#[test]
fn outputs_may_be_directories_and_tables() {
    let bench = Bench::new(
        r#"
assets:
  make:
    run: |
      printf 'n\n1\n' > "$GIORNATA_OUTPUT_MART_TABLE"
      case $GIORNATA_WANTED in *pages*) echo hi > "$GIORNATA_OUTPUT_PAGES/index.html";; esac
    makes: {mart/table: {format: csv}, pages: {output_dir: true}}
  twice: {sql: 'SELECT 2 * n AS n FROM mart_table'}
"#,
    );
    bench.run(&["m", "--all"]).ends(0).says("ran 3 ");
    assert_eq!(cat(&bench, "twice"), "n\n2\n");
    bench.run(&["m", "mart/table", "--force"]).ends(0).says_not("warning");
    bench.run(&["show", "mart/table", "--meta", "rows"]).ends(2);
}

/// Days, each made from the day before.
#[test]
fn partitions_go_together_one_by_one() {
    let bench = Bench::new(
        r#"
assets:
  days:
    partitions: {daily: {start: 2020-01-01, end: 2020-01-05}}
    deps: {total: {map: "window(-1d, -1d)", missing: allow}}
    run: sh day.sh
    makes: [total, report]
"#,
    );
    let day = r#"
echo "$GIORNATA_PARTITION: $GIORNATA_WANTED" >> calls.log
for name in $GIORNATA_WANTED; do
  (cat "$total" 2> /dev/null; echo "$GIORNATA_PARTITION") > "$(eval echo \$GIORNATA_OUTPUT_$(echo $name | tr a-z A-Z))"
done
"#;
    bench.write("day.sh", day);
    bench.run(&["plan", "--all"]).ends(0).says("1 step to run, up to 3 more depend");
    assert_eq!(bench.steps().len(), 8);
    let both = |day: u32| format!("2020-01-0{day}: total report\n");
    assert_eq!(calls(&bench), (1..5).map(both).collect::<String>());
    assert_eq!(cat(&bench, "report@2020-01-03").lines().count(), 3);
    bench.run(&["invalidate", "report@2020-01-02"]).ends(0);
    bench.run(&["invalidate", "total@2020-01-03"]).ends(0);
    assert_eq!(bench.steps(), ["report@2020-01-02", "total@2020-01-03"]);
    assert_eq!(calls(&bench).lines().count(), 2);
}

#[test]
fn what_is_reported_is_kept_with_whom_it_is_about() {
    let bench = split();
    let report = r#"
echo '{"asset": "even", "largest": 4}' >> "$GIORNATA_METADATA"
echo '{"asset": "odd", "largest": 3}' >> "$GIORNATA_METADATA"
echo '{"calls": 1}' >> "$GIORNATA_METADATA"
"#;
    bench.write("both.sh", &format!("{BOTH}{report}"));
    bench.run(&["m", "even", "odd"]).ends(0);
    for (asset, largest) in [("even", "4"), ("odd", "3")] {
        let said = bench.run(&["show", asset, "--meta", "largest", "--json"]).ends(0).out;
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["points"][0]["value"].to_string(), largest, "{asset}");
        bench.run(&["show", asset, "--meta", "calls"]).ends(0);
    }
}

#[test]
fn a_script_with_a_header_may_make_several() {
    let bench = split();
    bench.edit("  both:\n    run: sh both.sh\n    deps: [numbers]\n    makes:\n      even: {output: even.txt}\n", "");
    let text = fs::read_to_string(bench.path("assets/all.yaml")).unwrap();
    let text: Vec<&str> = text.lines().filter(|line| !line.contains("odd.txt")).collect();
    bench.write("assets/all.yaml", &text.join("\n"));
    let header = "# /// asset\n# deps = [\"numbers\"]\n# makes = [\"even\", \"odd\"]\n# ///\n";
    bench.write("assets/both.sh", &format!("#!/bin/sh\n{header}{BOTH}"));
    assert_eq!(bench.steps(), ["all@", "even@", "odd@", "sum_even@"]);
    assert_eq!(calls(&bench), "even odd\n");
}

fn start(bench: &Bench, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(["-C", bench.dir.path().to_str().unwrap(), "m"])
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Many days, of which two processes make overlapping parts.
fn shared() -> Bench {
    let bench = Bench::new(
        r#"
assets:
  days:
    partitions: {daily: {start: 2020-01-01, end: 2020-01-11}}
    run: sh day.sh
    makes: [left, right]
  sum: {deps: [left, right], run: 'ls "$left" "$right" > "$output"'}
"#,
    );
    let day = r#"
for name in $GIORNATA_WANTED; do
  echo "$name@$GIORNATA_PARTITION" >> calls.log
  case $name in
    left) echo "$GIORNATA_PARTITION" > "$GIORNATA_OUTPUT_LEFT" ;;
    right) echo "$GIORNATA_PARTITION" > "$GIORNATA_OUTPUT_RIGHT" ;;
  esac
done
sleep 0.05
"#;
    bench.write("day.sh", day);
    bench
}

#[test]
fn two_processes_share_the_work_and_repeat_none() {
    let bench = shared();
    let children =
        [&["--all"][..], &["left", "-p", "all"], &["--all"]].map(|args| start(&bench, args));
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let calls = calls(&bench);
    let mut once: Vec<&str> = calls.lines().collect();
    once.sort_unstable();
    once.dedup();
    assert_eq!((once.len(), calls.lines().count()), (20, 20), "{calls}");
    assert_eq!(bench.steps(), NOTHING);
}

#[test]
fn what_a_killed_process_was_making_is_made_again() {
    let bench = shared();
    let mut victim = start(&bench, &["--all"]);
    while !bench.path("calls.log").exists() {
        assert!(victim.try_wait().unwrap().is_none(), "it ended before its first step");
        std::thread::yield_now();
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    bench.run(&["m", "--all"]).ends(0);
    // A step that outlived its process for a moment may write while the other goes on, so the
    // lines are only counted at the end.
    let calls = calls(&bench);
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for line in calls.lines() {
        *times.entry(line).or_default() += 1;
    }
    assert_eq!(times.len(), 20, "{calls}");
    assert!(times.values().all(|times| *times <= 2), "{calls}");
    // Only what ran when it died, in each of its workers, runs twice.
    let twice = times.iter().filter(|(_, times)| **times == 2);
    let twice: BTreeSet<_> =
        twice.filter_map(|(line, _)| line.split_once('@')).map(|(_, p)| p).collect();
    assert!(twice.len() <= 2, "{calls}");
    assert_eq!(bench.steps(), NOTHING);
    let sum = cat(&bench, "sum");
    assert_eq!(sum.lines().filter(|line| line.starts_with("2020")).count(), 20);
}

#[track_caller]
fn refused(step: &str, message: &str) -> Said {
    let text =
        format!("sources: {{n: {{files: n.txt}}}}\nassets:\n  both: {{deps: [n], {step}}}\n");
    Bench::new(&text).run(&["check"]).ends(2).says(message)
}

#[test]
fn what_makes_no_sense_is_refused() {
    refused("run: x, makes: []", "`makes` names no asset");
    refused("run: x, makes: [a, a]", "`makes` names `a` twice");
    refused("run: x, makes: [a/b, a_b]", "would both be at `$GIORNATA_OUTPUT_A_B`");
    refused("run: x, makes: [' ']", "no name");
    refused("run: x, makes: {a: {run: y}}", "asset `a` has no key `run`");
    refused("run: x, makes: {a: {chekcs: []}}", "did you mean `checks`?");
    refused("makes: [a, b]", "does not say how it is made");
    refused("sql: 'SELECT 1', makes: [a, b]", "a SQL asset makes one table");
    refused("run: x, output: o.csv, makes: [a, b]", "`output` cannot be that of several assets");
    refused("run: x, outputs: '{p}.csv', makes: [a, b]", "`outputs` cannot be that of several");
    refused("run: x, makes: [a, n]", "`n` is declared twice");
    refused("run: x, makes: {a: {export: o.csv}, b: {export: o.csv}}", "o.csv");
    refused("run: x, makes: 3", "`makes` must be a list");
}

/// With a mistake in one of them the step is another, so that none of them is made.
#[test]
fn a_mistake_in_one_of_them_stops_all() {
    let bench = split();
    bench.edit("even: {output: even.txt}", "even: {output: a/b}");
    bench.run(&["m", "odd"]).ends(2).says("must be the name of a file").says_not("unknown");
}
