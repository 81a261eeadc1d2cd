//! Partitions that a run makes, and partitions that are kept by hand. Each test asserts which steps ran.

use std::fs;

use super::bench::{Bench, Said};

/// One piece a line of `words`; each piece is scored, and the scores are merged.
const SPLIT: &str = r#"
sources:
  words: {files: words.txt}
assets:
  pieces:
    deps: [words]
    run: 'while read w; do echo "$w" > "$output_dir/$w.txt"; done < "$words"'
    outputs: "{piece}.txt"
  scored: {partitions: each(pieces), run: 'wc -c < "$pieces" > "$output"', output: n.txt}
  merged:
    deps: [scored]
    run: 'find "$scored/" -type f | sort | xargs -r cat > "$output"'
    output: all.txt
"#;

fn split(words: &str) -> Bench {
    let bench = Bench::new(SPLIT);
    bench.write("words.txt", words);
    bench
}

fn cat(bench: &Bench, address: &str) -> String {
    bench.run(&["cat", address]).ends(0).out
}

#[test]
fn pieces_are_mapped_and_collected_in_one_run() {
    let bench = split("fig\napple\n");
    bench.run(&["plan", "merged"]).ends(0).says("1 step to run, up to 1 more depends");
    let steps = bench.steps();
    assert_eq!(steps, ["merged@", "pieces@", "scored@apple", "scored@fig"]);
    assert_eq!(bench.steps(), [""; 0]);
    assert_eq!(cat(&bench, "merged"), "6\n4\n");
    assert_eq!(cat(&bench, "pieces@fig"), "fig\n");
    bench.run(&["partitions", "pieces"]).ends(0).says("apple").says("fig");
    bench.run(&["status", "--check"]).ends(0);
}

#[test]
fn a_changed_piece_runs_what_reads_it_and_no_other() {
    let bench = split("apple\nfig\n");
    bench.steps();
    bench.edit("echo \"$w\" >", "echo \"$w\" | sed s/fig/FIGS/ >");
    let steps = bench.steps();
    assert_eq!(steps, ["merged@", "pieces@", "scored@fig"]);
    // Other bytes of another length, and back: everything is in the store.
    bench.edit("echo \"$w\" | sed s/fig/FIGS/ >", "echo \"$w\" >");
    assert_eq!(bench.steps(), [""; 0]);
    assert_eq!(cat(&bench, "merged"), "6\n4\n");
}

#[test]
fn pieces_come_and_go() {
    let bench = split("apple\nfig\n");
    bench.steps();
    bench.write("words.txt", "fig\nkiwi\n");
    bench.run(&["why", "merged"]).ends(0).says("upstream-stale").says("`pieces` is stale");
    assert_eq!(bench.steps(), ["merged@", "pieces@", "scored@kiwi"]);
    assert_eq!(cat(&bench, "merged"), "4\n5\n");
    bench.run(&["status"]).ends(0).says("orphaned");
    bench.write("words.txt", "apple\nfig\nkiwi\n");
    let steps = bench.steps();
    assert_eq!(steps, ["merged@", "pieces@"], "the result of the piece that came back stands");
    assert_eq!(cat(&bench, "merged"), "6\n4\n5\n");
}

/// What a collecting step gets of no pieces is an empty directory, and it runs.
#[test]
fn there_may_be_no_piece() {
    let bench = split("");
    assert_eq!(bench.steps(), ["merged@", "pieces@"]);
    assert_eq!(cat(&bench, "merged"), "");
    bench.write("words.txt", "apple\n");
    assert_eq!(bench.steps(), ["merged@", "pieces@", "scored@apple"]);
    bench.write("words.txt", "");
    assert_eq!(bench.steps(), [""; 0], "as it was at first: restored");
    assert_eq!(cat(&bench, "merged"), "");
}

#[test]
fn a_failed_piece_blocks_the_collection_and_no_other_piece() {
    let bench = split("apple\nfig\n");
    bench.edit("wc -c <", "grep -v fig");
    let said = bench.run(&["m", "merged"]).ends(1);
    said.says("`scored@fig` failed").says("1 failed, 1 blocked");
    assert_eq!(cat(&bench, "scored@apple"), "apple\n");
    bench.run(&["status"]).says("blocked");
}

#[test]
fn a_failed_maker_blocks_what_reads_its_pieces() {
    let bench = split("apple\nfig\n");
    bench.steps();
    bench.edit("while read", "exit 3; while read");
    bench.run(&["m", "merged"]).ends(1).says("`pieces` failed: exit status 3");
    let status = bench.run(&["status"]).ends(0);
    status.says("failed").says("blocked");
    bench.edit("exit 3; ", "");
    assert_eq!(bench.steps(), [""; 0]);
}

#[test]
fn one_piece_can_be_asked_for() {
    let bench = split("apple\nfig\n");
    bench.run(&["m", "pieces"]).ends(0).says("ran 1 ");
    bench.run(&["m", "scored@fig"]).ends(0).says("ran 1 ");
    bench.run(&["m", "scored", "-p", "nothing"]).ends(2);
    bench.run(&["why", "--not", "scored@fig"]).ends(0).says("`pieces/each@fig` is still");
    bench.run(&["m", "--all", "--force"]).ends(0).says("ran 4 ");
}

/// The bytes of a piece that were lost are those of the maker, which makes them again.
#[test]
fn a_lost_piece_is_made_again() {
    let bench = split("apple\nfig\n");
    bench.run(&["m", "pieces"]).ends(0);
    let shards = fs::read_dir(bench.path(".giornata/blobs")).unwrap();
    let blobs = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let mut lost = 0;
    for blob in blobs {
        let path = blob.unwrap().path();
        if fs::read(&path).unwrap() == b"fig\n" {
            fs::remove_file(path).unwrap();
            lost += 1;
        }
    }
    assert_eq!(lost, 1);
    assert_eq!(bench.steps(), ["merged@", "pieces@", "scored@apple", "scored@fig"]);
    assert_eq!(cat(&bench, "merged"), "6\n4\n");
}

#[test]
fn sql_reads_the_rows_of_all_pieces() {
    let bench = Bench::new(
        r#"
assets:
  parts:
    run: 'for n in 1 2 3; do printf "n\n$n\n" > "$output_dir/$n.csv"; done; touch "$output_dir/x"'
    outputs: "{part}.csv"
  total: {sql: "SELECT sum(n) AS total, count(DISTINCT _partition) AS parts FROM parts"}
"#,
    );
    let said = bench.run(&["m", "--all"]).ends(0);
    said.says("`parts` made `x`, which is no `{part}.csv`: no piece");
    assert_eq!(cat(&bench, "total"), "total,parts\n6,3\n");
}

#[track_caller]
fn refused(definitions: &str, message: &str) -> Said {
    Bench::new(definitions).run(&["check"]).ends(2).says(message)
}

#[test]
fn what_makes_no_sense_is_refused() {
    let asset = |rest: &str| format!("assets:\n  a: {{run: x, {rest}}}\n");
    refused(&asset("outputs: a.csv"), "does not say what tells one piece from another");
    refused(&asset("outputs: '../{x}'"), "must stay inside of the directory");
    refused(&asset("outputs: '{x}', output: b"), "`outputs` and `output` exclude each other");
    refused(&asset("outputs: '{x}', partitions: [k]"), "has no `partitions`");
    refused(&asset("partitions: each(a)"), "makes no pieces");
}

#[test]
fn keys_of_a_set_are_added_and_removed_by_hand() {
    let bench = Bench::new(
        r#"
assets:
  report: {partitions: {dynamic: customers}, run: 'echo "$GIORNATA_PARTITION" > "$output"'}
  all: {deps: [report], run: 'find "$report/" -type f | sort | xargs -r cat > "$output"'}
  fixed: {partitions: [a], run: 'echo > "$output"'}
"#,
    );
    let added = bench.run(&["partitions", "report", "--add", "acme", "--add", "b|c/ü"]).ends(0);
    assert_eq!(added.out, "`acme` added\n`b|c/ü` added\n");
    assert_eq!(bench.steps(), ["all@", "fixed@a", "report@acme", "report@b|c/ü"]);
    bench.run(&["partitions", "report", "--add", "acme"]).ends(0).says("`acme` was there already");
    let removed =
        bench.run(&["partitions", "report", "--remove", "acme", "--remove", "no"]).ends(0);
    assert_eq!(removed.out, "`acme` removed\n`no` was not there\n");
    bench.why("all").says("is stale");
    assert_eq!(bench.steps(), ["all@"]);
    assert_eq!(cat(&bench, "all"), "b|c/ü\n");
    bench.run(&["partitions", "report", "--add", "acme"]).ends(0);
    assert_eq!(bench.steps(), [""; 0], "the result of a key that comes back stands");
    bench.run(&["partitions", "fixed", "--add", "b"]).ends(2).says("declared in a file");
    bench.run(&["partitions", "all", "--add", "b"]).ends(2).says("it has no partitions");
    bench.run(&["partitions", "report", "--add", ""]).ends(2).says("no partition key");
}

/// Pieces of pieces: what waits for the second maker waited in vain, or the first ran once for each look.
const CHAIN: &str = r#"
sources: {list: {files: list.txt}}
assets:
  mk:
    deps: [list]
    run: "sh -c 'echo run >> mk.log; for k in $(cat $list); do echo $k > $output_dir/$k.csv; done'"
    outputs: "{piece}.csv"
  e: {partitions: each(mk), run: 'cat "$mk" > "$output"'}
  mk2:
    deps: [e]
    run: "sh -c 'for f in $e/*; do [ -e $f ] && cp $f $output_dir/$(basename $f).csv; done; true'"
    outputs: "{q}.csv"
  e2: {partitions: each(mk2), run: 'cat "$mk2" > "$output"'}
  col: {deps: [e2], run: 'ls "$e2" > "$output"'}
"#;

#[test]
fn makers_can_follow_one_another() {
    let bench = Bench::new(CHAIN);
    for (list, steps) in [("a\nb\n", 7), ("c\na\nb\nd\n", 7), ("b\n", 3)] {
        bench.write("list.txt", list);
        bench.write("mk.log", "");
        assert_eq!(bench.steps().len(), steps, "{list}");
        assert_eq!(fs::read_to_string(bench.path("mk.log")).unwrap(), "run\n");
        assert_eq!(bench.steps(), [""; 0]);
        assert_eq!(cat(&bench, "col").lines().count(), list.lines().count());
    }
}

#[test]
fn what_reads_pieces_is_asked_for_from_upstream() {
    let bench = split("apple\nfig\n");
    bench.steps();
    bench.write("words.txt", "fig\nkiwi\n");
    bench.run(&["m", "pieces", "--downstream"]).ends(0).says("ran 3 ");
    assert_eq!(cat(&bench, "merged"), "4\n5\n");
    assert_eq!(bench.steps(), [""; 0]);
}

/// A maker that wrote to its own input was run again and again within one run.
#[test]
fn a_maker_that_changes_its_input_runs_once_a_run() {
    let bench = Bench::new(
        r#"
assets:
  mk: {inputs: [log.txt], run: "sh -c 'echo x >> log.txt; echo 1 > $output_dir/a.csv'", outputs: "{p}.csv"}
  e: {partitions: each(mk), run: 'cat "$mk" > "$output"'}
  all: {deps: [e], run: 'ls "$e" > "$output"'}
"#,
    );
    bench.write("log.txt", "");
    bench.run(&["m", "--all"]).says("changed while it ran");
    assert_eq!(fs::read_to_string(bench.path("log.txt")).unwrap(), "x\n");
}
