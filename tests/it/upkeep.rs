//! What is said of results by hand, what ages, what is collected: with the real binary on small projects
//! of shell commands. Each test asserts which steps ran.

use std::fs;

use super::bench::{Bench, Said};

/// `a` takes what lies outside of all that is declared, `b` and `c` copy what they read.
const CHAIN: &str = r#"
assets:
  a: {run: 'cat "$GIORNATA_ROOT/world" > "$output"', output: a.txt}
  b: {run: 'cat "$a" > "$output" # 1', output: b.txt, deps: [a]}
  c: {run: 'cat "$b" > "$output"', output: c.txt, deps: [b]}
"#;

fn chain() -> Bench {
    let bench = Bench::new(CHAIN);
    bench.write("world", "1");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    assert_eq!(bench.steps(), [""; 0]);
    bench
}

#[test]
fn what_was_invalidated_runs_once_more_and_says_why() {
    let bench = chain();
    bench.run(&["invalidate", "b", "--reason", "bad disk"]).ends(0).says("invalidated `b`");
    bench.why("b").says("is stale").says("invalidated").says("by hand: bad disk");
    bench.run(&["status", "--check"]).ends(1);
    // The trace of the very same key is not taken; the result is what it was, so `c` is cut off.
    assert_eq!(bench.steps(), ["b@"]);
    bench.why("b").says("is fresh").says_not("bad disk");
    assert_eq!(bench.steps(), [""; 0]);
}

#[test]
fn what_differs_after_an_invalidation_goes_downstream_and_is_flagged() {
    let bench = chain();
    bench.write("world", "2");
    bench.run(&["invalidate", "a"]).ends(0);
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    bench.run(&["cat", "c"]).ends(0).says("2");
    bench.why("a").says("another result");
    bench.run(&["show", "a"]).ends(0).says("deterministic");
    let status = bench.run(&["status", "--json"]).ends(0);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    let counts = |asset: usize| status["assets"][asset]["nondeterministic"]["count"].clone();
    assert_eq!((counts(0), counts(1)), (1.into(), serde_json::Value::Null), "{status}");
    // The newer result is the one that is restored.
    bench.edit("world\" >", "world\"  >");
    assert_eq!(bench.steps(), ["a@"]);
    bench.edit("world\"  >", "world\" >");
    assert_eq!(bench.steps(), [""; 0]);
    bench.run(&["cat", "a"]).ends(0).says("2");
}

#[test]
fn what_was_accepted_does_not_run_and_nothing_downstream_does() {
    let bench = chain();
    bench.edit("# 1", "# 2");
    bench.why("b").says("is stale");
    bench.run(&["accept", "b", "--reason", "a comment"]).ends(0).says("accepted `b`");
    bench.why("b").says("is fresh").says("accepted as fresh by hand: a comment");
    bench.run(&["status", "--check"]).ends(0);
    assert_eq!(bench.steps(), [""; 0]);
    // No trace was written: a forgotten result is made under the accepted key.
    bench.run(&["wipe", "b"]).ends(0).says("forgot `b`");
    assert_eq!(bench.steps(), ["b@"]);
}

#[test]
fn only_what_has_a_result_and_settled_upstream_can_be_accepted() {
    let bench = Bench::new(CHAIN);
    bench.write("world", "1");
    bench.run(&["accept", "a"]).ends(1).says("`a`: there is no result").says("nothing to accept");
    bench.steps();
    bench.edit("# 1", "# 2");
    bench.edit("world\" >", "world\"  >");
    bench.run(&["accept", "b"]).ends(1).says("something that it reads is not fresh");
    // Upstream first, whatever the order of the arguments.
    bench.run(&["accept", "b", "a"]).ends(0).says("accepted `a`").says("accepted `b`");
    assert_eq!(bench.steps(), [""; 0]);
}

#[test]
fn what_was_wiped_is_made_anew_though_a_trace_had_it() {
    let bench = chain();
    bench.run(&["wipe", "a", "c"]).ends(0).says("forgot `a`").says("forgot `c`");
    bench.run(&["why", "a"]).says("missing");
    assert_eq!(bench.steps(), ["a@", "c@"]);
    assert_eq!(bench.steps(), [""; 0]);
    bench.run(&["wipe", "nope"]).ends(2);
}

#[test]
fn a_result_expires_and_an_equal_one_is_cut_off() {
    let mut bench = Bench::new(CHAIN);
    bench.edit("output: a.txt", "output: a.txt, ttl: 6h");
    bench.write("world", "1");
    bench.steps();
    bench.at("2026-01-01T05:59:00Z");
    assert_eq!(bench.steps(), [""; 0]);
    bench.at("2026-01-01T06:00:00Z");
    bench.why("a").says("expired").says("6h ago").says("its ttl is 6h");
    bench.run(&["plan"]).ends(0).says("expired");
    assert_eq!(bench.steps(), ["a@"]);
    assert_eq!(bench.steps(), [""; 0]);
    bench.write("world", "2");
    bench.at("2026-01-01T12:00:00Z");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    bench.why("a").says_not("another result");
    // A trace that is too old is not taken either.
    bench.edit("world\" >", "world\"  >");
    assert_eq!(bench.steps(), ["a@"]);
    bench.edit("world\"  >", "world\" >");
    assert_eq!(bench.steps(), [""; 0], "restored while it is young");
    bench.at("2026-01-02T12:00:00Z");
    bench.edit("world\" >", "world\"  >");
    assert_eq!(bench.steps(), ["a@"]);
}

#[test]
fn what_is_volatile_runs_once_in_every_invocation() {
    let bench = Bench::new(CHAIN);
    bench.edit("output: a.txt", "output: a.txt, volatile: true");
    bench.write("world", "1");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    bench.why("a").says("volatile");
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("world", "2");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    bench.write("world", "1");
    assert_eq!(bench.steps(), ["a@"], "what reads it is restored");
    bench.run(&["cat", "c"]).ends(0).says("1");
}

#[test]
fn a_directory_is_one_value_of_all_that_is_in_it() {
    let bench = Bench::new(
        r#"
sources:
  scans: {dir: data/scans}
assets:
  names: {run: 'cd "$scans" && find . -type f | sort > "$output"', output: names.txt, deps: [scans]}
"#,
    );
    bench.write("assets/rows.sql", "-- /// asset\n-- ///\nSELECT count(*) AS n FROM scans\n");
    assert_eq!(bench.steps(), [""; 0], "there is no directory yet");
    bench.write("data/scans/a.csv", "x\n1\n2\n");
    bench.write("data/scans/deep/b.csv", "x\n3\n");
    bench.write("data/scans/notes.txt", "no table");
    assert_eq!(bench.steps(), ["names@", "rows@"]);
    bench.run(&["cat", "names"]).says("./a.csv\n./deep/b.csv\n./notes.txt");
    bench.run(&["cat", "rows"]).says("n\n3\n");
    bench.write("data/scans/a.csv", "x\n1\n2\n");
    assert_eq!(bench.steps(), [""; 0], "the same content was written again");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt;
        let path = bench.path("data/scans/notes.txt");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o755);
    bench.run(&["observe"]).ends(0).says("scans: changed");
    assert_eq!(bench.steps(), ["names@", "rows@"]);
    mode(0o644);
    assert_eq!(bench.steps(), [""; 0], "as before: restored");
    bench.write("data/scans/deep/c.csv", "x\n4\n");
    assert_eq!(bench.steps(), ["names@", "rows@"]);
    bench.run(&["cat", "rows"]).says("n\n4\n");
    bench.run(&["observe"]).ends(0).says("scans: unchanged");
}

const OBSERVED: &str = r#"
sources:
  table: {observe: 'echo asked >> asked; cat version', ttl: 1h}
  other: {files: other.txt}
assets:
  a: {run: 'cat "$table" > "$output"', output: a.txt, deps: [table]}
  b: {run: 'cat "$other" > "$output"', output: b.txt, deps: [other]}
  c: {run: 'echo 1 > "$output"', output: c.txt, deps: {table: {missing: allow}}}
"#;

#[test]
fn a_command_says_the_version_of_a_source() {
    let mut bench = Bench::new(OBSERVED);
    bench.write("version", "v1\n");
    bench.write("other.txt", "1");
    let asked = |bench: &Bench| fs::read_to_string(bench.path("asked")).unwrap().lines().count();
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    bench.run(&["cat", "a"]).says("v1");
    bench.write("version", "v2\n");
    assert_eq!(bench.steps(), [""; 0]);
    assert_eq!(asked(&bench), 1, "an answer holds for an hour");
    bench.at("2026-01-01T01:00:00Z");
    assert_eq!(bench.steps(), ["a@", "c@"]);
    assert_eq!(asked(&bench), 2);
    bench.write("version", "v3\n");
    bench.run(&["observe", "table"]).ends(0).says("table: changed");
    assert_eq!(bench.steps(), ["a@", "c@"]);
    bench.run(&["report", "table", "--version", "v1"]).ends(0).says("observed `table`");
    assert_eq!(bench.steps(), [""; 0], "restored");
    bench.run(&["cat", "a"]).says("v1");
}

#[test]
fn a_source_that_cannot_be_asked_blocks_only_what_reads_it() {
    let mut bench = Bench::new(OBSERVED);
    bench.write("version", "v1\n");
    bench.write("other.txt", "1");
    bench.steps();
    fs::remove_file(bench.path("version")).unwrap();
    bench.write("other.txt", "2");
    bench.at("2026-01-01T02:00:00Z");
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("source `table` cannot be observed").says("exited with status 1");
    bench.run(&["cat", "b"]).says("2");
    bench.why("a").says("is blocked").says("source-failed");
    // Nobody knows whether it is missing, so that nothing is made without it.
    bench.why("c").says("is blocked").says("source-failed");
    bench.run(&["observe"]).ends(1).says("table: not observed");
    bench.write("version", "v1\n");
    assert_eq!(bench.steps(), [""; 0], "its result was never in doubt");
    bench.why("a").says("is fresh");
}

#[test]
fn a_result_made_elsewhere_counts_as_made_from_the_inputs_of_now() {
    let bench = chain();
    bench.write("elsewhere.txt", "9");
    bench.edit("# 1", "# 2");
    bench.run(&["report", "b", "--path", "elsewhere.txt"]).ends(0).says("recorded `b`");
    bench.why("b").says("is fresh").says("made elsewhere");
    assert_eq!(bench.steps(), ["c@"]);
    bench.run(&["cat", "c"]).says("9");
    assert!(bench.path("elsewhere.txt").exists());
    bench.edit("# 2", "# 1");
    assert_eq!(bench.steps(), [""; 0], "the own result of the old code is restored");
    bench.run(&["cat", "c"]).says("1");
    bench.edit("world\" >", "world\"  >");
    bench.run(&["report", "b", "--version", "x"]).ends(2).says("not fresh");
    bench.run(&["report", "b"]).ends(2).says("--version");
}

/// A file that is too large for the database, and a directory.
const LARGE: &str = r#"
assets:
  big: {run: 'head -c 100000 "$GIORNATA_ROOT/world" > "$output" # 1', output: big.txt}
  tree: {run: 'mkdir "$output_dir/d"; cp "$big" "$output_dir/d/x"; echo 1 > "$output_dir/y"', output_dir: true, deps: [big]}
"#;

fn collected(said: &Said) -> serde_json::Value {
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn what_a_result_or_a_former_result_needs_is_not_collected() {
    let mut bench = chain();
    bench.write("world", &"2".repeat(50_000));
    bench.run(&["invalidate", "a"]).ends(0);
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    bench.edit("# 1", "; echo more >> \"$output\"");
    assert_eq!(bench.steps(), ["b@", "c@"]);
    bench.run(&["gc"]).ends(0).says_not("logs");
    bench.at("2100-01-01T00:00:00Z");
    bench.run(&["gc"]).ends(0);
    bench.run(&["doctor", "--deep"]).ends(0);
    bench.edit("; echo more >> \"$output\"", "# 1");
    assert_eq!(bench.steps(), [""; 0], "the former results came back");
    assert!(bench.run(&["cat", "c"]).ends(0).out.starts_with("222"));
    // Without traces, only what is current stays.
    let would = collected(&bench.run(&["gc", "--keep", "0", "-n", "--json"]).ends(0));
    assert!(would["traces"].as_u64() > Some(0), "{would}");
    let removed = collected(&bench.run(&["gc", "--keep", "0", "--json"]).ends(0));
    assert_eq!((&removed["traces"], &removed["blobs"]), (&would["traces"], &would["blobs"]));
    bench.run(&["gc", "--keep", "0"]).ends(0).says("nothing to remove");
    bench.run(&["doctor", "--deep"]).ends(0);
    assert_eq!(bench.steps(), [""; 0]);
    assert!(bench.run(&["cat", "c"]).ends(0).out.starts_with("222"));
}

const TWO_DAYS: std::time::Duration = std::time::Duration::from_secs(2 * 24 * 3600);

#[test]
fn what_was_wiped_is_collected_after_a_day() {
    let mut bench = Bench::new(LARGE);
    bench.write("world", &"3".repeat(100_000));
    assert_eq!(bench.steps(), ["big@", "tree@"]);
    bench.run(&["wipe", "big", "tree"]).ends(0);
    bench.run(&["gc", "-n"]).ends(0).says_not("kB");
    // A moment that is only asked about makes no file older.
    bench.at("2100-01-01T00:00:00Z");
    bench.run(&["gc", "-n"]).ends(0).says_not("contents");
    age(&bench.path(".giornata/blobs"));
    bench.run(&["gc", "-n"]).ends(0).says("WOULD REMOVE").says("contents");
    bench.run(&["gc"]).ends(0).says("REMOVED").says("kB");
    let blobs = walk(&bench.path(".giornata/blobs"));
    assert_eq!(blobs, 0);
    bench.run(&["doctor", "--deep"]).ends(0);
    assert_eq!(bench.steps(), ["big@", "tree@"]);
}

/// Makes all files below `dir` two days old.
fn age(dir: &std::path::Path) {
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            age(&path);
        } else {
            let old = fs::metadata(&path).unwrap().modified().unwrap() - TWO_DAYS;
            // The owner of a file may set its times, also where it may not write to it.
            fs::File::open(&path).unwrap().set_modified(old).unwrap();
        }
    }
}

fn walk(dir: &std::path::Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[test]
fn nothing_is_collected_while_a_run_goes_on() {
    let bench = Bench::new(
        r#"
assets:
  a: {run: 'head -c 100000 /dev/zero > "$output"', output: a.bin}
  b:
    run: '"$TOOL" --now 2100-01-01 gc > "$output" 2>&1; echo "$?" >> "$output"; cat "$a" > "$output.a"; wc -c < "$a" >> "$output"'
    output: b.txt
    deps: [a]
"#,
    );
    bench.write(".env", &format!("TOOL={}\n", env!("CARGO_BIN_EXE_giornata")));
    assert_eq!(bench.steps(), ["a@", "b@"]);
    bench.run(&["cat", "b"]).ends(0).says("a run is using it").says("100000");
    bench.run(&["doctor", "--deep"]).ends(0);
}

#[test]
fn a_chain_of_days_is_accepted_day_by_day() {
    use super::freshness_rig::{Shelf, all, asset, daily, key};
    let mut shelf = Shelf::new(false);
    let sums = |code| vec![asset("sum", daily(0, Some(5)), code, &[("sum?", "window(-1d, -1d)")])];
    let mut old = shelf.process(sums(1));
    assert_eq!(shelf.make_all(&mut old).ran.len(), 5);
    drop(old);
    let mut new = shelf.process(sums(2));
    let targets = all(shelf.refreshed(&mut new), false).targets;
    let accepted = new.engine.as_mut().unwrap().accept(&targets, "").unwrap();
    assert_eq!((accepted.count(), accepted.refused.len()), (5, 0));
    assert_eq!(shelf.make_all(&mut new).ran, []);
    let status = shelf.refreshed(&mut new).status(&key("sum")).unwrap();
    assert_eq!(status.sets[&giornata::engine::State::Fresh].len(), 5);
}

#[test]
fn what_was_invalidated_does_not_come_back_when_an_edit_is_taken_back() {
    // A user would have seen the result that they had called bad restored as if it were good.
    let bench = chain();
    bench.run(&["invalidate", "a"]).ends(0);
    bench.write("world", "2");
    bench.edit("world\" >", "world\"  >");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    bench.edit("world\"  >", "world\" >");
    assert_eq!(bench.steps(), ["a@"]);
    bench.run(&["cat", "c"]).ends(0).says("2");
}

#[test]
fn what_was_invalidated_does_not_come_back_when_partitions_move() {
    let bench = Bench::new(
        "assets:\n  a: {run: 'cat \"$GIORNATA_ROOT/world\" > \"$output\"', output: a.txt, partitions: [x]}\n",
    );
    bench.write("world", "1");
    assert_eq!(bench.steps(), ["a@x"]);
    bench.run(&["invalidate", "a"]).ends(0);
    bench.edit("[x]", "{multi: {one: [x], two: [y]}}");
    bench.run(&["status"]).ends(0);
    bench.edit("{multi: {one: [x], two: [y]}}", "[x]");
    assert_eq!(bench.steps(), ["a@x"]);
}

#[test]
fn what_was_reported_for_an_edit_is_not_that_of_the_file_before() {
    // A user would have seen the result that they had brought for the new code called fresh after
    // the edit was taken back.
    let bench = chain();
    bench.write("elsewhere.txt", "9");
    bench.edit("# 1", "# 2");
    bench.run(&["report", "b", "--path", "elsewhere.txt"]).ends(0);
    bench.edit("# 2", "# 1");
    bench.run(&["status", "--check"]).ends(1);
    assert_eq!(bench.steps(), [""; 0], "the own result is restored");
    bench.run(&["cat", "c"]).says("1");
}

#[test]
fn what_becomes_volatile_is_not_restored_from_before() {
    let bench = chain();
    bench.edit("output: a.txt", "output: a.txt, volatile: true");
    bench.write("world", "2");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
}

#[test]
fn what_was_volatile_has_left_no_trace() {
    let bench = Bench::new(CHAIN);
    bench.edit("output: a.txt", "output: a.txt, volatile: true");
    bench.write("world", "1");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    bench.edit("world\" >", "world\"  >");
    assert_eq!(bench.steps(), ["a@"]);
    bench.edit(", volatile: true", "");
    bench.edit("world\"  >", "world\" >");
    bench.write("world", "2");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
}

#[test]
fn what_is_restored_is_as_old_as_it_was() {
    // A user would have seen a result that has a ttl stay for ever after an edit was taken back.
    let mut bench = Bench::new(CHAIN);
    bench.edit("output: a.txt", "output: a.txt, ttl: 6h");
    bench.write("world", "1");
    bench.steps();
    bench.at("2026-01-01T04:00:00Z");
    bench.edit("world\" >", "world\"  >");
    assert_eq!(bench.steps(), ["a@"]);
    bench.edit("world\"  >", "world\" >");
    assert_eq!(bench.steps(), [""; 0], "restored");
    bench.at("2026-01-01T06:00:00Z");
    bench.why("a").says("expired").says("6h ago");
    assert_eq!(bench.steps(), ["a@"]);
}

#[test]
fn what_is_invalidated_while_it_is_made_is_made_again() {
    // A user would have seen the mark lost, since the step that ran had begun before it.
    let bench = Bench::new(
        r#"
assets:
  a: {run: 'echo 1 > "$output"; test ! -e "$GIORNATA_ROOT/flag" || { rm "$GIORNATA_ROOT/flag"; "$TOOL" invalidate a; } # 1', output: a.txt}
"#,
    );
    bench.write(".env", &format!("TOOL={}\n", env!("CARGO_BIN_EXE_giornata")));
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("flag", "");
    bench.edit("# 1", "# 2");
    assert_eq!(bench.steps(), ["a@", "a@"]);
    bench.run(&["status", "--check"]).ends(0);
    assert_eq!(bench.steps(), [""; 0]);
}

#[test]
fn a_collection_keeps_what_can_come_back() {
    let mut bench = Bench::new(
        r#"
assets:
  small: {run: 'echo small 1 > "$output"', output: small.txt}
  large: {run: 'seq 1 20000 > "$output"', output: large.txt}
"#,
    );
    let both = ["large@", "small@"];
    let (there, back) = (
        [("small 1", "small 2"), ("seq 1", "seq 2")],
        [("small 2", "small 1"), ("seq 2", "seq 1")],
    );
    let edit = |bench: &Bench, edits: [(&str, &str); 2]| {
        edits.iter().for_each(|(from, to)| bench.edit(from, to));
    };
    assert_eq!(bench.steps(), both);
    edit(&bench, there);
    assert_eq!(bench.steps(), both);
    bench.at("2100-01-01T00:00:00Z");
    bench.run(&["gc"]).ends(0);
    edit(&bench, back);
    assert_eq!(bench.steps(), [""; 0], "all that there was");
    bench.run(&["gc", "--keep", "0"]).ends(0);
    edit(&bench, there);
    assert_eq!(bench.steps(), both, "what was not current is gone");
    edit(&bench, back);
    assert_eq!(bench.steps(), [""; 0], "what was current is not");
    bench.run(&["doctor", "--deep"]).ends(0);
}

#[test]
fn what_waits_for_a_restore_cannot_be_accepted_or_reported() {
    let bench = chain();
    bench.write("world", "2");
    bench.edit("world\" >", "world\"  >");
    assert_eq!(bench.steps(), ["a@", "b@", "c@"]);
    // `a` is about to be what it was, and `b` has to be looked at after that.
    bench.edit("world\"  >", "world\" >");
    bench.edit("# 1", "# 2");
    bench.run(&["accept", "b"]).ends(1).says("something that it reads is not fresh");
    bench.run(&["accept", "c"]).ends(1).says("something that it reads is not fresh");
    for asset in ["b", "c"] {
        bench.run(&["report", asset, "--path", "world"]).ends(2).says("not fresh");
    }
    assert_eq!(bench.steps(), ["b@"], "`c` is restored");
}

#[test]
fn what_was_invalidated_can_be_accepted_after_all() {
    let bench = chain();
    bench.run(&["invalidate", "b"]).ends(0);
    bench.run(&["accept", "b"]).ends(0).says("accepted `b`");
    bench.run(&["status", "--check"]).ends(0);
    assert_eq!(bench.steps(), [""; 0]);
}

#[test]
fn a_collection_keeps_the_way_back_to_what_is_current() {
    let mut bench = chain();
    bench.edit("# 1", "; echo more >> \"$output\"");
    assert_eq!(bench.steps(), ["b@", "c@"]);
    bench.run(&["report", "a", "--path", "giornata.toml"]).ends(0);
    bench.at("2100-01-01T00:00:00Z");
    bench.run(&["gc", "--keep", "0"]).ends(0);
    // What was brought has no trace, and its content is there all the same.
    bench.run(&["cat", "a"]).ends(0).says("bench");
    assert_eq!(bench.steps(), ["b@", "c@"]);
    bench.run(&["gc", "--keep", "0"]).ends(0);
    bench.edit("; echo more >> \"$output\"", "# 1");
    assert_eq!(bench.steps(), ["b@", "c@"], "that of before is gone");
    bench.run(&["gc", "--keep", "1"]).ends(0);
    bench.edit("# 1", "# 2");
    bench.edit("# 2", "# 1");
    assert_eq!(bench.steps(), [""; 0]);
}

#[test]
fn the_content_and_the_name_of_each_file_of_a_directory_count() {
    let bench = Bench::new(
        r#"
sources:
  tree: {dir: tree}
assets:
  a: {run: 'cat "$tree"/* > "$output"', output: a.txt, deps: [tree]}
"#,
    );
    bench.write("tree/x", "1");
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("tree/x", "22");
    assert_eq!(bench.steps(), ["a@"]);
    bench.run(&["cat", "a"]).says("22");
    fs::rename(bench.path("tree/x"), bench.path("tree/y")).unwrap();
    assert_eq!(bench.steps(), ["a@"]);
    fs::remove_file(bench.path("tree/y")).unwrap();
    bench.run(&["m", "--all"]).ends(1);
    bench.why("a").says_not("is blocked");
    fs::remove_dir(bench.path("tree")).unwrap();
    bench.why("a").says("is blocked");
}
