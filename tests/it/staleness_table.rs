//! The table of events that make results stale, row by row: with the real binary, the state of what is
//! concerned, the code and the words of `why`, and exactly what runs.
//!
//! Not here, because they are elsewhere: results that age, volatile ones, other results from the same
//! inputs (`upkeep`), content that is damaged (`damage`), failures in full (`told`).

use std::fs;

use super::bench::{Bench, Said};

const NOTHING: [&str; 0] = [];

/// Files by day, what each is cleaned to, and a sum of all.
const DAYS: &str = r#"
sources:
  raw: {files: "raw/{day}.csv"}
assets:
  clean: {run: 'head -n 2 "$raw" > "$output" # 1', output: clean.csv, partitions: each(raw), deps: [raw]}
  total: {run: 'cat "$clean"/* > "$output"', output: total.csv, deps: [clean]}
"#;

fn days() -> Bench {
    let bench = Bench::new(DAYS);
    bench.write("raw/a.csv", "n\n1\n");
    bench.write("raw/b.csv", "n\n2\n");
    assert_eq!(bench.steps(), ["clean@a", "clean@b", "total@"]);
    assert_eq!(bench.steps(), NOTHING);
    bench
}

/// How many partitions of an asset are in a state.
#[track_caller]
fn count(bench: &Bench, asset: &str, state: &str) -> u64 {
    let said = bench.run(&["status", "--json"]).ends(0);
    let status: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let assets = status["assets"].as_array().unwrap();
    let entry = assets.iter().find(|entry| entry["asset"] == asset).unwrap();
    entry["counts"][state].as_u64().unwrap()
}

/// Asserts a state in `status` and in `why`, and what `why` says.
#[track_caller]
fn check(bench: &Bench, address: &str, state: &str, says: &[&str]) -> Said {
    let asset = address.split('@').next().unwrap();
    assert!(count(bench, asset, state) > 0, "`{asset}` has none that is {state}");
    let said = bench.run(&["why", address, "--json"]).ends(0);
    assert!(said.out.contains(&format!("\"state\": \"{state}\"")), "not {state}: {said:#?}");
    says.iter().fold(bench.why(address), |said, text| said.says(text))
}

#[test]
fn row_1_the_bytes_of_a_source_file_change() {
    let bench = days();
    bench.write("raw/a.csv", "n\n3\n");
    check(&bench, "clean@a", "stale", &["input-changed", "`raw@a` has another content", "→"]);
    check(&bench, "total", "maybe_stale", &["upstream-stale", "input-changed"]);
    bench.why("clean@b").says("is fresh");
    assert_eq!(bench.steps(), ["clean@a", "total@"]);
}

#[test]
fn row_2_a_file_is_touched_or_copied() {
    let bench = days();
    bench.write("raw/new", "n\n1\n");
    fs::rename(bench.path("raw/new"), bench.path("raw/a.csv")).unwrap();
    let old = fs::File::options().append(true).open(bench.path("raw/b.csv")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    bench.run(&["status", "--check"]).ends(0);
    assert_eq!(bench.steps(), NOTHING);
}

#[test]
fn row_3_a_source_file_appears() {
    let bench = days();
    bench.write("raw/c.csv", "n\n3\n");
    check(&bench, "clean@c", "missing", &["missing", "there is no result yet"]);
    check(&bench, "total", "maybe_stale", &["upstream-stale", "`clean@c` has to be made"]);
    bench.run(&["m", "clean"]).ends(0);
    check(&bench, "total", "stale", &["input-added", "`clean@c` is new"]);
    bench.run(&["plan"]).ends(0).says("input-added");
    assert_eq!(bench.steps(), ["total@"]);
}

#[test]
fn row_4_a_source_file_is_deleted() {
    let bench = days();
    fs::remove_file(bench.path("raw/a.csv")).unwrap();
    check(&bench, "total", "stale", &["input-removed", "`clean@a` is gone"]);
    bench.run(&["plan"]).ends(0).says("input-removed");
    assert_eq!(count(&bench, "clean", "orphaned"), 1);
    bench.run(&["status"]).ends(0).says("ORPHANED").says("orphaned  a");
    assert_eq!(bench.steps(), ["total@"]);
    // Not rebuilt and not deleted: it comes back with its file.
    bench.write("raw/a.csv", "n\n1\n");
    assert_eq!(bench.steps(), NOTHING);
    assert_eq!(count(&bench, "clean", "orphaned"), 0);
}

#[test]
fn row_5_what_runs_again_gives_the_same() {
    let bench = days();
    bench.write("raw/a.csv", "n\n1\n2\n3\n");
    let said = bench.run(&["m", "--all"]).ends(0);
    said.says("ran 1").says("1 cut off");
    bench.why("total").says("is fresh");
}

#[test]
fn row_6_what_runs_again_gives_something_else() {
    let bench = days();
    bench.write("raw/a.csv", "n\n3\n");
    bench.run(&["m", "clean"]).ends(0);
    check(&bench, "total", "stale", &["upstream-changed", "`clean@a` has another content", "→"]);
    assert_eq!(bench.steps(), ["total@"]);
}

#[test]
fn row_7_code_is_edited() {
    let bench = days();
    bench.edit("# 1", "# 2");
    check(&bench, "clean@a", "stale", &["code-changed", "command line in `assets/all.yaml`", "→"]);
    check(&bench, "clean@b", "stale", &["code-changed"]);
    check(&bench, "total", "maybe_stale", &["upstream-stale", "code-changed"]);
    assert_eq!(bench.steps(), ["clean@a", "clean@b"]);
    bench.edit("# 2", "# 1");
    assert_eq!(bench.steps(), NOTHING, "restored");
}

#[test]
fn row_7_a_project_file_that_a_command_names_is_edited() {
    let bench = Bench::new(
        "assets:\n  a: {run: 'sh scripts/make.sh > \"$output\"', output: a.txt, inputs: [\"lib/*\"]}\n",
    );
    bench.write("scripts/make.sh", "cat lib/part\n");
    bench.write("lib/part", "1");
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("scripts/make.sh", "cat lib/part; echo\n");
    check(&bench, "a", "stale", &["code-changed", "file `scripts/make.sh`", "→"]);
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("lib/part", "2");
    check(&bench, "a", "stale", &["code-changed", "file `lib/part`"]);
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("lib/more", "3");
    check(&bench, "a", "stale", &["code-changed", "file `lib/more`"]);
    assert_eq!(bench.steps(), ["a@"]);
    fs::remove_file(bench.path("lib/more")).unwrap();
    check(&bench, "a", "stale", &["the store has the result"]);
    assert_eq!(bench.steps(), NOTHING);
}

#[test]
fn row_8_a_value_that_the_step_reads_changes() {
    let bench = Bench::new(
        r#"
assets:
  a: {run: 'echo "$GIORNATA_CONFIG" "$KIND" > "$output"', output: a.txt, config: {threshold: 0.3}, env: [KIND]}
  b: {run: 'echo 1 > "$output"', output: b.txt, config: {other: 1}}
"#,
    );
    bench.write(".env", "KIND=x\n");
    assert_eq!(bench.steps(), ["a@", "b@"]);
    bench.edit("0.3", "0.5");
    check(&bench, "a", "stale", &["config-changed", "config value `threshold`", "0.3 → 0.5"]);
    assert_eq!(bench.steps(), ["a@"]);
    bench.write(".env", "KIND=y\n");
    check(&bench, "a", "stale", &["env-changed", "environment variable `KIND`"]);
    bench.write(".env", "KIND=y\nOTHER=z\n");
    assert_eq!(bench.steps(), ["a@"]);
    assert_eq!(bench.steps(), NOTHING);
}

#[test]
fn row_10_what_decides_no_result_changes() {
    let bench = days();
    bench.edit(
        "output: clean.csv",
        "output: clean.csv, retries: 3, timeout: 9m, tags: {x: y}, owners: [me], description: it",
    );
    bench.run(&["status", "--check"]).ends(0);
    assert_eq!(bench.steps(), NOTHING);
}

#[test]
fn row_11_wiring_and_mappings_change() {
    let bench = Bench::new(
        r#"
.days: &days {partitions: {daily: {start: 2025-12-01, end: 2025-12-05}}}
assets:
  a: {<<: *days, run: 'echo "$GIORNATA_PARTITION" > "$output"', output: a.txt}
  b: {<<: *days, run: 'echo 1 > "$output"', output: b.txt}
  c: {<<: *days, run: 'ls -R "$GIORNATA_INPUT_A" > "$output"', output: c.txt, deps: {a: all}}
"#,
    );
    assert_eq!(bench.steps().len(), 12);
    bench.edit("deps: {a: all}", "deps: {a: all, b: all}");
    check(&bench, "c@2025-12-01", "stale", &["inputs-added", "input `b`"]);
    assert_eq!(bench.steps().len(), 4);
    bench.edit("deps: {a: all, b: all}", "deps: {b: all}");
    check(&bench, "c@2025-12-01", "stale", &["inputs-removed", "input `a`"]);
    bench.edit("deps: {b: all}", "deps: {a: {map: \"window(-1d, 0d)\", missing: allow}}");
    check(&bench, "c@2025-12-02", "stale", &["mapping-changed", "input `a`", "all → "]);
    assert_eq!(bench.steps().len(), 4);
    // Only those of which the mapped set is another one now.
    bench.edit("window(-1d, 0d)", "window(-2d, 0d)");
    check(&bench, "c@2025-12-03", "stale", &["mapping-changed", "input `a`", "window(-1d"]);
    assert_eq!(bench.steps(), ["c@2025-12-03", "c@2025-12-04"]);
    bench.edit("{map: \"window(-2d, 0d)\", missing: allow}", "all");
    check(&bench, "c@2025-12-02", "stale", &["mapping-changed", "input `a`"]);
    assert_eq!(bench.steps(), NOTHING, "all of them were made from all before");
    bench.edit("a: all", "a: {map: all, missing: allow}");
    assert_eq!(bench.steps(), NOTHING);
    bench.run(&["status", "--check"]).ends(0);
}

#[test]
fn row_12_and_13_partitions_come_and_go() {
    let mut bench = Bench::new(
        r#"
assets:
  a: {partitions: {daily: {start: 2025-12-30}}, run: 'echo "$GIORNATA_PARTITION" > "$output"', output: a.txt}
  b: {run: 'cat "$a"/* > "$output"', output: b.txt, deps: [a]}
"#,
    );
    assert_eq!(bench.steps(), ["a@2025-12-30", "a@2025-12-31", "b@"]);
    bench.at("2026-01-02T00:00:00Z");
    check(&bench, "a@2026-01-01", "missing", &["missing"]);
    assert_eq!(count(&bench, "a", "fresh"), 2);
    check(&bench, "b", "maybe_stale", &["`a@2026-01-01` has to be made"]);
    bench.run(&["m", "a"]).ends(0);
    check(&bench, "b", "stale", &["input-added", "`a@2026-01-01` is new"]);
    assert_eq!(bench.steps(), ["b@"]);
    // A later start: the first day is no partition any more.
    bench.edit("2025-12-30", "2025-12-31");
    assert_eq!((count(&bench, "a", "orphaned"), count(&bench, "a", "fresh")), (1, 2));
    check(&bench, "b", "stale", &["input-removed", "`a@2025-12-30` is gone"]);
    assert_eq!(bench.steps(), ["b@"]);
    bench.edit("2025-12-31", "2025-12-30");
    assert_eq!(bench.steps(), NOTHING, "all of it is still there");
    bench.edit("2025-12-30", "2025-12-29");
    assert_eq!(bench.steps(), ["a@2025-12-29", "b@"]);
}

#[test]
fn row_14_and_15_an_asset_is_removed_or_renamed() {
    let bench = days();
    bench.edit("  clean:", "  tidy:");
    bench.run(&["check"]).ends(2).says("reads `clean`, which does not exist");
    bench.run(&["m", "total"]).ends(2);
    bench.edit("[clean]", "[tidy]");
    bench.edit("\"$clean\"", "\"$tidy\"");
    // Another name is another asset: nothing of the old one counts.
    check(&bench, "tidy@a", "missing", &["there is no result yet"]);
    check(&bench, "total", "maybe_stale", &["inputs-added", "inputs-removed"]);
    assert_eq!(bench.steps(), ["tidy@a", "tidy@b", "total@"]);
    bench.edit("  tidy:", "  clean:");
    bench.edit("[tidy]", "[clean]");
    bench.edit("\"$tidy\"", "\"$clean\"");
    assert_eq!(bench.steps(), NOTHING, "what was made before is still there");
}

#[test]
fn row_17_the_command_of_a_source_says_another_version() {
    let bench = Bench::new(
        r#"
sources:
  table: {observe: cat version}
assets:
  a: {run: 'cat "$table" > "$output"', output: a.txt, deps: [table]}
"#,
    );
    bench.write("version", "v1");
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("version", "v2");
    check(&bench, "a", "stale", &["observed-version-changed", "`table` has another content"]);
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("version", "v2\n");
    assert_eq!(bench.steps(), NOTHING);
}

/// Each day adds to the day before.
const RUNNING: &str = r#"
sources:
  raw: {files: "raw/{day:%Y-%m-%d}.csv", partitions: {daily: {start: 2025-12-01, end: 2025-12-05}}}
assets:
  sum:
    partitions: {daily: {start: 2025-12-01, end: 2025-12-05}}
    deps: {raw: identity, sum: {map: "window(-1d, -1d)", missing: allow}}
    run: 'echo $(( $(cat "$raw") + $(cat "${GIORNATA_INPUT_SUM:-/dev/null}"/* "${GIORNATA_INPUT_SUM:-/dev/null}" 2>/dev/null || true) + 0 )) > "$output"'
    output: sum.txt
"#;

#[test]
fn row_20_the_partition_before_changes() {
    let bench = Bench::new(RUNNING);
    for day in 1..5 {
        bench.write(&format!("raw/2025-12-0{day}.csv"), "1");
    }
    assert_eq!(bench.steps().len(), 4);
    bench.run(&["cat", "sum@2025-12-04"]).ends(0).says("4");
    bench.write("raw/2025-12-02.csv", "2");
    bench.run(&["m", "sum", "-p", "2025-12-02"]).ends(0);
    let says = ["previous-partition-changed", "`sum@2025-12-02` has another content", "→"];
    check(&bench, "sum@2025-12-03", "stale", &says);
    check(&bench, "sum@2025-12-04", "maybe_stale", &["`sum@2025-12-03` has to be made"]);
    assert_eq!(bench.steps(), ["sum@2025-12-03", "sum@2025-12-04"]);
    bench.run(&["cat", "sum@2025-12-04"]).ends(0).says("5");
    // The chain stops where a sum is what it was.
    bench.write("raw/2025-12-01.csv", "2");
    bench.write("raw/2025-12-02.csv", "1");
    assert_eq!(bench.steps(), ["sum@2025-12-01", "sum@2025-12-02"]);
}

#[test]
fn row_21_an_export_is_edited_or_deleted() {
    let bench = days();
    bench.edit("output: total.csv", "output: total.csv, export: out/total.csv");
    assert_eq!(bench.steps(), NOTHING);
    let exported = || fs::read_to_string(bench.path("out/total.csv")).unwrap();
    let right = exported();
    bench.write("out/total.csv", "by hand");
    bench.run(&["status", "--check"]).ends(0);
    let said = bench.run(&["m", "--all"]).ends(0);
    said.says("output-modified-outside").says("`out/total.csv` was changed by somebody else");
    assert_eq!(exported(), right);
    fs::remove_file(bench.path("out/total.csv")).unwrap();
    assert_eq!(bench.steps(), NOTHING);
    assert_eq!(exported(), right);
}

/// Of a directory only that it was there was looked at.
#[test]
fn row_21_a_file_within_an_exported_directory_is_edited_or_deleted() {
    let bench = Bench::new(
        r#"
assets:
  site:
    run: 'mkdir "$output_dir/css"; echo 1 > "$output_dir/index"; echo 2 > "$output_dir/css/a"; ln -s index "$output_dir/home"'
    output_dir: true
    export: out/site
"#,
    );
    assert_eq!(bench.steps(), ["site@"]);
    let read = |path: &str| fs::read_to_string(bench.path(path)).unwrap();
    let put_back = |bench: &Bench| {
        let said = bench.run(&["m", "--all"]).ends(0).says_not("ran 1");
        said.says("`out/site` was changed by somebody else (output-modified-outside)");
        assert_eq!((read("out/site/css/a"), read("out/site/home")), ("2\n".into(), "1\n".into()));
        bench.run(&["m", "--all"]).ends(0).says_not("output-modified-outside");
    };
    bench.write("out/site/css/a", "3\n");
    put_back(&bench);
    fs::remove_file(bench.path("out/site/css/a")).unwrap();
    put_back(&bench);
    fs::remove_file(bench.path("out/site/home")).unwrap();
    bench.write("out/site/home", "1\n");
    put_back(&bench);
    // A file of the user's is not removed with the rest.
    bench.write("out/site/css/mine", "precious");
    bench.write("out/site/css/a", "3\n");
    for _ in 0..2 {
        let said = bench.run(&["m", "--all"]).ends(1).says("(output-modified-outside)");
        said.says("it is left as it is").says("`css/mine` in it is there");
        assert_eq!(read("out/site/css/a"), "3\n");
    }
    fs::remove_file(bench.path("out/site/css/mine")).unwrap();
    put_back(&bench);
    // Looked at, but the same: nobody is told.
    bench.write("out/site/css/a", "2\n");
    bench.run(&["m", "--all"]).ends(0).says_not("output-modified-outside");
}

#[test]
fn row_22_content_is_gone_from_the_store() {
    let bench = Bench::new(
        r#"
assets:
  a: {run: 'head -c 100000 /dev/zero > "$output"', output: a.bin, partitions: [x]}
  b: {run: 'wc -c < "$a" > "$output"', output: b.txt, partitions: [x], deps: [a]}
"#,
    );
    assert_eq!(bench.steps(), ["a@x", "b@x"]);
    fs::remove_dir_all(bench.path(".giornata/blobs")).unwrap();
    bench.run(&["doctor"]).ends(1);
    check(&bench, "a@x", "missing", &["blob-missing", "its content is gone from the store"]);
    bench.why("b@x").says("blob-missing");
    assert_eq!(bench.steps(), ["a@x"], "what reads it is cut off");
}

#[test]
fn row_23_a_step_fails() {
    let bench = days();
    bench.edit("head -n 2", "exit 3; head -n 2");
    bench.run(&["m", "--all"]).ends(1);
    check(&bench, "clean@a", "failed", &["failed", "the last attempt", "exit status 3"]);
    check(&bench, "total", "blocked", &["upstream-failed"]);
    // The last good result is still there.
    bench.run(&["cat", "clean@a"]).ends(0).says("1");
    bench.edit("exit 3; head -n 2", "head -n 2");
    bench.why("clean@a").says("is fresh");
    assert_eq!(bench.steps(), NOTHING);
    bench.run(&["status", "--check"]).ends(0);
}

#[test]
fn row_24_an_input_changes_while_the_step_runs() {
    let bench = Bench::new(
        r#"
sources:
  raw: {files: raw.txt}
assets:
  a: {run: 'cat "$raw" > "$output"; echo more >> "$GIORNATA_ROOT/raw.txt"', output: a.txt, deps: [raw]}
"#,
    );
    bench.write("raw.txt", "1\n");
    bench.run(&["m", "--all"]).ends(0).says("changed while it ran");
    check(
        &bench,
        "a",
        "stale",
        &["input-changed-during-run", "an input changed while the step ran"],
    );
    bench.run(&["status", "--check"]).ends(1);
}
