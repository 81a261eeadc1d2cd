//! Several partitions by one step, with the real binary: what the command finds, and what becomes of each key.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::bench::{Bench, Said};

const NOTHING: [&str; 0] = [];

/// Letters are read three at a time; what is read of each is counted alone.
const READ: &str = r#"
sources:
  letters: {files: "in/{name}.txt"}
assets:
  read:
    partitions: each(letters)
    deps: [letters]
    run: sh read.sh
    output: read.txt
    batch: 3
  length:
    partitions: each(letters)
    deps: [read]
    run: 'wc -c < "$read" > "$output"'
"#;

/// Writes down of which partitions it was told, and copies each letter; `refuse` and `skip` name some for which
/// it does not.
const COPY: &str = r#"
tr '\n' ' ' < "$GIORNATA_PARTITIONS" >> calls.log
echo >> calls.log
while read -r name; do
  if grep -qx "$name" refuse.txt; then
    printf '{"partition": "%s", "error": "no stamp"}\n' "$name" >> "$GIORNATA_METADATA"
  elif ! grep -qx "$name" skip.txt; then
    cat "$letters/$name.txt" > "$output_dir/$name.txt"
    printf '{"partition": "%s", "by": "hand"}\n' "$name" >> "$GIORNATA_METADATA"
  fi
done < "$GIORNATA_PARTITIONS"
"#;

fn bench(definitions: &str, script: &str) -> Bench {
    let bench = Bench::new(definitions);
    bench.write("read.sh", script);
    for (name, text) in [("refuse.txt", ""), ("skip.txt", ""), ("in/a.txt", "A\n")] {
        bench.write(name, text);
    }
    for name in ["b", "c", "d", "e"] {
        bench.write(&format!("in/{name}.txt"), &format!("{}\n", name.to_uppercase()));
    }
    bench
}

/// The partitions of each call since the last question, a line for each call.
fn calls(bench: &Bench) -> String {
    let path = bench.path("calls.log");
    let calls = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    calls.replace(" \n", "\n")
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn one_process_makes_up_to_so_many() {
    let bench = bench(READ, COPY);
    bench.run(&["m", "--all", "-j", "1"]).ends(0).says("ran 10 ");
    assert_eq!(calls(&bench), "a b c\nd e\n");
    assert_eq!(bench.run(&["cat", "read@b"]).ends(0).out, "B\n");
    assert_eq!(bench.steps(), NOTHING);
    bench.run(&["status", "--check"]).ends(0);
    bench.run(&["doctor"]).ends(0);
    bench.run(&["show", "read"]).ends(0).says("batch").says("up to 3");
    bench.run(&["list", "read", "--json"]).ends(0).says("\"batch\": 3");
}

#[test]
fn each_key_has_a_record_of_its_own() {
    let bench = bench(READ, COPY);
    bench.run(&["m", "read", "-j", "1"]).ends(0);
    calls(&bench);
    // One letter is another, one is gone, and one is new.
    bench.write("in/b.txt", "B, again\n");
    bench.write("in/f.txt", "F\n");
    fs::remove_file(bench.path("in/c.txt")).unwrap();
    bench.run(&["why", "read@b"]).ends(0).says("letters@b");
    bench.run(&["why", "read@a"]).ends(0).says("fresh");
    assert_eq!(bench.steps().len(), 7, "two that are read, and the length of all five");
    assert_eq!(calls(&bench), "b f\n");
    // What is as it was is restored one by one, and the process is for the rest only.
    bench.write("in/b.txt", "B\n");
    bench.write("in/d.txt", "D, again\n");
    bench.run(&["m", "read"]).ends(0).says("ran 1 ").says("1 restored");
    assert_eq!(calls(&bench), "d\n");
    let said = bench.run(&["show", "read@b", "--json"]).ends(0);
    assert_eq!(json(&said)["result"]["metadata"]["by"], "hand");
    bench.run(&["m", "read", "-p", "a", "--force"]).ends(0).says("ran 1 (1 unchanged)");
    assert_eq!(calls(&bench), "a\n", "a batch of one is a batch");
}

#[test]
fn one_that_fails_fails_alone() {
    let bench = bench(READ, COPY);
    bench.write("refuse.txt", "b\n");
    bench.write("skip.txt", "e\n");
    let said = bench.run(&["m", "--all", "-j", "1"]).ends(1);
    said.says("`read@b` failed: no stamp")
        .says("`read@e` failed: wrote no output at $output_dir/e.txt")
        .says("ran 6 ")
        .says("2 failed, 2 blocked");
    assert_eq!(calls(&bench), "a b c\nd e\n");
    bench.run(&["status", "read"]).ends(0).says("failed");
    // Only these are tried again, and what waited for them.
    bench.write("refuse.txt", "");
    bench.run(&["retry", "1"]).ends(1).says("ran 2 ").says("1 failed");
    assert_eq!(calls(&bench), "b e\n");
    bench.write("skip.txt", "");
    bench.run(&["m", "--all"]).ends(0).says("ran 2 ");
    assert_eq!(calls(&bench), "e\n");
    assert_eq!(bench.steps(), NOTHING);
}

#[test]
fn of_a_command_that_fails_only_what_it_said_is_taken() {
    let dies = r#"
tr '\n' ' ' < "$GIORNATA_PARTITIONS" >> calls.log
echo >> calls.log
cat "$letters/a.txt" > "$output_dir/a.txt"
echo '{"partition": "a", "done": true, "pages": 1}' >> "$GIORNATA_METADATA"
printf 'half of ' > "$output_dir/b.txt"
exit 3
"#;
    let bench = bench(READ, dies);
    let said = bench.run(&["m", "read", "-p", "a,b,c"]).ends(1);
    let said = said.says("`read@b` failed: exit status 3").says("`read@c` failed: exit status 3");
    let _ = said.says("ran 1 ").says("2 failed");
    assert_eq!(bench.run(&["cat", "read@a"]).ends(0).out, "A\n");
    let shown = bench.run(&["show", "read@a", "--json"]).ends(0);
    assert_eq!(json(&shown)["result"]["metadata"]["pages"], 1);
    assert_eq!(json(&shown)["result"]["metadata"].get("done"), None);
    bench.write("read.sh", COPY);
    bench.run(&["m", "read", "-p", "a,b,c"]).ends(0);
}

#[test]
fn what_is_not_certain_is_a_failure_and_what_is_not_asked_for_is_told() {
    let bench = bench(READ, &format!("{COPY}\necho oops >> \"$GIORNATA_METADATA\"\n"));
    let said = bench.run(&["m", "read", "-p", "a,b"]).ends(1);
    said.says("line 3 of $GIORNATA_METADATA is not JSON").says("2 failed");
    let more =
        "echo x > \"$output_dir/z.txt\"\necho '{\"partition\": \"y\"}' >> \"$GIORNATA_METADATA\"\n";
    bench.write("read.sh", &format!("{COPY}{more}"));
    let said = bench.run(&["m", "read", "-p", "a,b"]).ends(0);
    said.says("left `z.txt` in $output_dir").says("the partition \"y\", which was not asked for");
}

#[test]
fn retries_are_for_the_keys_that_failed() {
    let once = r#"
tr '\n' ' ' < "$GIORNATA_PARTITIONS" >> calls.log
echo >> calls.log
while read -r name; do
  if [ "$name" != b ] || [ "$GIORNATA_ATTEMPT" = 2 ]; then
    cat "$letters/$name.txt" > "$output_dir/$name.txt"
  fi
done < "$GIORNATA_PARTITIONS"
"#;
    let bench = bench(&READ.replace("batch: 3", "batch: 3\n    retries: 1"), once);
    bench.run(&["m", "read", "-p", "a,b,c"]).ends(0).says("ran 3 ");
    assert_eq!(calls(&bench), "a b c\nb\n");
    let said = bench.run(&["runs", "show", "1", "--json"]).ends(0);
    let attempts = json(&said)["attempts"].as_array().unwrap().clone();
    let of = |key: &str| attempts.iter().filter(|it| it["partition"] == key).count();
    assert_eq!((of("a"), of("b"), of("c")), (1, 2, 1), "{attempts:?}");
}

/// Each attempt makes one more of what is left.
#[test]
fn what_is_left_is_tried_to_the_last_attempt() {
    let one = r#"
tr '\n' ' ' < "$GIORNATA_PARTITIONS" >> calls.log
echo >> calls.log
read -r name < "$GIORNATA_PARTITIONS"
cat "$letters/$name.txt" > "$output_dir/$name.txt"
"#;
    let bench = bench(&READ.replace("batch: 3", "batch: 10\n    retries: 2"), one);
    let said = bench.run(&["m", "read"]).ends(1);
    said.says("`read@d` failed: wrote no output at $output_dir/d.txt (the last of 3 attempts)")
        .says("ran 3 ")
        .says("2 failed");
    assert_eq!(calls(&bench), "a b c d e\nb c d e\nc d e\n");
}

#[test]
fn an_error_that_says_nothing() {
    let says = |error: &str| {
        format!(
            r#"{COPY}
echo '{{"partition": "a", "error": {error}}}' >> "$GIORNATA_METADATA"
"#
        )
    };
    let bench = bench(READ, &says("null"));
    bench.run(&["m", "read", "-p", "a,b"]).ends(0).says("ran 2 ");
    bench.write("read.sh", &says("\"\""));
    let said = bench.run(&["m", "read", "-p", "a,b", "--force"]).ends(1);
    said.says("`read@a` failed: the command says so in $GIORNATA_METADATA, and not why")
        .says("ran 1 ");
}

#[test]
fn programs_find_everything_of_a_key_in_a_line() {
    let definitions = r#"
sources:
  rain: {files: "in/{date:%Y-%m-%d}.csv", partitions: {daily: {start: 2025-01-01, end: 2025-04-01}}}
  notes: {files: "notes/*.txt"}
assets:
  month:
    partitions: {monthly: {start: 2025-01-01, end: 2025-04-01}}
    deps: {rain: {missing: allow}, notes: {}}
    run: sh read.sh
    output_dir: true
    batch: 10
    env: []
"#;
    let script = r#"
cp "$GIORNATA_BATCH" batch.jsonl
env | grep -c '^GIORNATA_PARTITION=' > single.txt
while read -r name; do
  ls "$rain/$name" > "$output_dir/$name/days.txt"
  ls "$notes/$name" > "$output_dir/$name/notes.txt"
done < "$GIORNATA_PARTITIONS"
"#;
    let bench = Bench::new(definitions);
    bench.write("read.sh", script);
    for day in ["2025-01-30", "2025-01-31", "2025-03-01"] {
        bench.write(&format!("in/{day}.csv"), "mm\n1\n");
    }
    bench.write("notes/one.txt", "1");
    bench.write("notes/two.txt", "2");
    bench.run(&["m", "--all"]).ends(0).says("ran 3 ");
    assert_eq!(fs::read_to_string(bench.path("single.txt")).unwrap(), "0\n");
    let text = fs::read_to_string(bench.path("batch.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let keys: Vec<&str> = lines.iter().map(|line| line["partition"].as_str().unwrap()).collect();
    assert_eq!(keys, ["2025-01", "2025-02", "2025-03"]);
    assert_eq!(lines[1]["start"], "2025-02-01T00:00:00+00:00");
    assert_eq!(lines[1]["end"], "2025-03-01T00:00:00+00:00");
    assert!(lines[2]["output"].as_str().unwrap().ends_with("/2025-03"));
    assert!(lines[2]["inputs"]["rain"].as_str().unwrap().ends_with("/2025-03"));
    let path = |key: &str| bench.run(&["path", &format!("month@{key}")]).ends(0).out;
    let read = |key: &str, name: &str| {
        fs::read_to_string(std::path::Path::new(path(key).trim()).join(name)).unwrap()
    };
    assert_eq!(read("2025-01", "days.txt"), "2025-01-30.csv\n2025-01-31.csv\n");
    assert_eq!(read("2025-03", "days.txt"), "2025-03-01.csv\n");
    assert_eq!(read("2025-03", "notes.txt"), "notes%2Fone.txt.txt\nnotes%2Ftwo.txt.txt\n");
}

#[test]
fn checks_are_of_each_key() {
    let definitions = READ.replace("output: read.txt", "format: csv\n    checks: [\"rows > 0\"]");
    let script = COPY.replace("$output_dir/$name.txt", "$output_dir/$name.csv");
    let bench = bench(&definitions, &script);
    bench.write("in/a.txt", "n\n1\n");
    bench.write("in/b.txt", "n\n");
    let said = bench.run(&["m", "read", "-p", "a,b"]).ends(1);
    said.says("`read@b` failed: check failed: `rows > 0`").says("ran 1 ");
}

#[test]
fn keys_of_any_characters_are_safe() {
    let bench = bench(READ, COPY);
    bench.write("in/..x y|z.txt", "X\n");
    let keys = bench.run(&["partitions", "read"]).ends(0);
    keys.says("..x y|z");
    bench.run(&["m", "read", "--all"]);
    bench.run(&["m", "read"]).ends(0);
    assert_eq!(bench.run(&["cat", "read@\"..x y|z\""]).ends(0).out, "X\n");
}

#[test]
fn what_cannot_be_made_in_batches_is_refused() {
    let refused = |asset: &str, why: &str| {
        let bench = Bench::new(&format!(
            ".days: &days {{partitions: {{daily: {{start: 2025-01-01, end: 2025-01-03}}}}}}\nassets:\n  a: {asset}\n"
        ));
        bench.run(&["check"]).ends(2).says(why);
    };
    refused("{<<: *days, sql: \"SELECT 1 AS n\", batch: 2}", "SQL runs within this process");
    refused("{run: \"true\", batch: 2}", "it has only one partition");
    refused("{<<: *days, run: \"true\", batch: 0}", "a whole number from 1 to 100000");
    refused(
        "{<<: *days, run: \"true\", deps: {a: {map: \"window(-1d, -1d)\", missing: allow}}, batch: 2}",
        "its partitions read each other",
    );
    refused(
        "{<<: *days, run: \"true\", makes: [b, c], batch: 2}",
        "`batch` cannot be that of several",
    );
    // Of a default it counts where it can.
    let bench = bench(&READ.replace("batch: 3", "group: x"), COPY);
    let toml = fs::read_to_string(bench.path("giornata.toml")).unwrap();
    bench.write("giornata.toml", &format!("{toml}\n[[defaults]]\npath = \"**\"\nbatch = 2\n"));
    bench.write("assets/one.sql", "-- /// asset\n-- ///\nSELECT 1 AS n\n");
    bench.run(&["check"]).ends(0);
    bench.run(&["show", "read"]).ends(0).says("up to 2");
    bench.run(&["show", "one"]).ends(0).says_not("batch");
}

#[test]
fn a_backfill_is_carried_out_in_batches_and_resumed() {
    let bench = bench(READ, COPY);
    bench.write("refuse.txt", "b\n");
    bench.run(&["backfill", "read", "-p", "a,b,c,d", "-j", "1"]).ends(1);
    assert_eq!(calls(&bench), "a b c\nd\n");
    bench.run(&["backfill", "show", "1"]).ends(0).says("3").says("failed");
    bench.write("refuse.txt", "");
    bench.run(&["backfill", "retry", "1"]).ends(0);
    assert_eq!(calls(&bench), "b\n");
    bench.run(&["backfill", "show", "1", "--json"]).ends(0).says("\"success\"");
}

/// The process is killed while a batch is made: nothing of it is recorded, what was before is.
#[test]
fn a_kill_in_the_middle_leaves_nothing_half() {
    let stops = r#"
tr '\n' ' ' < "$GIORNATA_PARTITIONS" >> calls.log
echo >> calls.log
while read -r name; do
  cat "$letters/$name.txt" > "$output_dir/$name.txt"
  echo "{\"partition\": \"$name\", \"done\": true}" >> "$GIORNATA_METADATA"
  if [ "$name" = d ] && [ -e stop ]; then
    echo reached > reached.fifo
    exec sleep 600
  fi
done < "$GIORNATA_PARTITIONS"
"#;
    let bench = bench(READ, stops);
    bench.write("stop", "");
    let fifo = bench.path("reached.fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_giornata"))
        .args(["-C", bench.path("").to_str().unwrap(), "m", "read", "-j", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(fs::read_to_string(&fifo).unwrap(), "reached\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(calls(&bench), "a b c\nd e\n");
    fs::remove_file(bench.path("stop")).unwrap();
    let said = bench.run(&["status", "read", "--json"]).ends(0);
    let counts = &json(&said)["assets"][0]["counts"];
    assert_eq!((&counts["fresh"], &counts["missing"]), (&3.into(), &2.into()), "{counts}");
    bench.run(&["m", "read", "-j", "1"]).ends(0).says("ran 2 ");
    assert_eq!(calls(&bench), "d e\n");
    bench.run(&["doctor"]).ends(0);
    assert_eq!(fs::read_dir(bench.path(".giornata/staging")).map_or(0, Iterator::count), 0);
}
