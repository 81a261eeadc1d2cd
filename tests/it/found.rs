//! Faults that hostile use has found, each as its user saw it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::bench::Bench;

fn cat(bench: &Bench, address: &str) -> String {
    bench.run(&["cat", address]).ends(0).out
}

/// The second source was cut by the column of the first, had no content, and the result was fresh.
#[test]
fn two_sources_split_one_file() {
    let bench = Bench::new(
        r#"
sources:
  ev: {files: ev.csv, split_by: d}
  kv: {files: ev.csv, split_by: k}
assets:
  byd: {partitions: ["1"], deps: {ev: {map: identity, missing: allow}}, run: 'cat "$ev" > "$output"'}
  byk: {partitions: [a], deps: {kv: {map: identity, missing: allow}}, run: 'cat "$kv" > "$output"'}
"#,
    );
    bench.write("ev.csv", "d,k,v\n1,a,1\n1,b,2\n");
    bench.run(&["m", "--all"]).ends(0);
    assert_eq!(cat(&bench, "byd"), "d,k,v\n1,a,1\n1,b,2\n");
    assert_eq!(cat(&bench, "byk"), "d,k,v\n1,a,1\n");
}

/// A row with an empty key made the source empty, and the total was made of nothing, and fresh.
#[test]
fn a_split_file_that_cannot_be_read_is_not_empty() {
    let bench = Bench::new(
        r#"
sources: {spl: {files: s.csv, split_by: k}}
assets: {total: {sql: "SELECT count(*) AS n FROM spl", export: out.csv}}
"#,
    );
    bench.write("s.csv", "k,v\na,1\nb,2\n");
    bench.run(&["m", "total"]).ends(0);
    for broken in ["k,v\na,1\nb,2\n,3\n", "k,v\na,\"1\n", "x,v\na,1\n", ""] {
        bench.write("s.csv", broken);
        bench.run(&["m", "total"]).ends(1).says("source `spl` cannot be observed");
        bench.run(&["status", "--check"]).ends(1).says("blocked");
        assert_eq!(fs::read_to_string(bench.path("out.csv")).unwrap(), "n\n2\n", "{broken}");
    }
    fs::remove_file(bench.path("s.csv")).unwrap();
    bench.run(&["m", "total"]).ends(1).says("its file is not there");
    bench.write("s.csv", "k,v\na,1\nb,2\n");
    assert_eq!(bench.steps(), [""; 0]);
}

/// The file was named within a script that also has a variable of ours in it.
#[test]
fn files_named_in_a_quoted_script_count() {
    let bench = Bench::new(
        r#"
assets:
  q1: {run: 'sh -c "cat conf.txt > $output"'}
  q2: {run: "bash -c 'set -e; cat conf.txt >$output'"}
"#,
    );
    bench.write("conf.txt", "1");
    assert_eq!(bench.steps(), ["q1@", "q2@"]);
    bench.write("conf.txt", "2");
    assert_eq!(bench.steps(), ["q1@", "q2@"]);
}

/// Two links back up were followed for ever, and one made a file forty inputs.
#[test]
fn links_back_up_are_not_followed() {
    let bench = Bench::new("sources: {g: {files: 'g/**/*.txt'}}\nassets: {}\n");
    bench.write("g/a/x.txt", "1");
    symlink("..", bench.path("g/a/l1")).unwrap();
    symlink("..", bench.path("g/a/l2")).unwrap();
    bench.run(&["observe"]).ends(0).says("g");
    bench.run(&["status", "--check"]).ends(0);
}

#[test]
fn a_link_to_a_directory_among_inputs_is_no_file() {
    let bench = Bench::new("assets:\n  a: {run: 'echo 1 > \"$output\"', inputs: ['lib/**']}\n");
    bench.write("lib/v1/x.py", "1");
    symlink("v1", bench.path("lib/current")).unwrap();
    assert_eq!(bench.steps(), ["a@"]);
    bench.write("lib/v1/x.py", "2");
    assert_eq!(bench.steps(), ["a@"]);
}

#[test]
fn dimensions_that_are_too_many_are_refused() {
    let bench = Bench::new(
        r#"
assets:
  b: {partitions: {multi: {a: {hourly: {start: 1900-01-01, end: 2020-01-01}}, b: {daily: {start: 1900-01-01, end: 2020-01-01}}}}, run: 'echo 1 > "$output"'}
"#,
    );
    bench.run(&["check"]).ends(2).says("these dimensions");
}

fn sql(bench: &Bench, statement: &str) {
    let path = bench.path(".giornata/giornata.db");
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(statement).unwrap();
}

/// `doctor` found it each time, said that it would be made again, and it was not.
#[test]
fn content_that_was_lost_inside_the_database_is_made_again() {
    let bench = Bench::new(
        r#"
assets:
  a: {run: 'echo 1 > "$output"'}
  b: {run: 'echo 2 > "$output"'}
"#,
    );
    bench.steps();
    sql(&bench, "DELETE FROM blob_small WHERE CAST(data AS TEXT) LIKE '1%'");
    bench.run(&["doctor"]).ends(1).says("names the content");
    assert_eq!(bench.steps(), ["a@"]);
    bench.run(&["doctor"]).ends(0);
    assert_eq!(cat(&bench, "a"), "1\n");
    sql(&bench, "DELETE FROM output WHERE size = 2");
    bench.run(&["doctor"]).ends(1).says("outputs that are not recorded");
    assert_eq!(bench.steps(), ["a@", "b@"]);
    bench.run(&["doctor"]).ends(0);
}

/// What was made from a damaged input was right by all keys, and stayed after the repair.
#[test]
fn a_damaged_input_is_made_again_before_it_is_read() {
    let bench = Bench::new(
        r#"
assets:
  big: {run: 'yes giornata | head -c 9000 > "$output"'}
  sum: {deps: [big], run: 'cksum < "$big" > "$output"'}
"#,
    );
    bench.steps();
    let before = cat(&bench, "sum");
    for shard in fs::read_dir(bench.path(".giornata/blobs")).unwrap() {
        for blob in fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = blob.unwrap().path();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes[5] = b'X';
            fs::write(&path, bytes).unwrap();
        }
    }
    bench.run(&["cat", "big"]).ends(2).says("gone from the store or damaged");
    bench.run(&["m", "sum", "--force"]).ends(0);
    assert_eq!(cat(&bench, "sum"), before);
    assert_eq!(cat(&bench, "big").len(), 9000);
}

/// One file that cannot be read ended every command about anything.
#[test]
fn a_source_that_cannot_be_read_is_its_own_fault() {
    let bench = Bench::new(
        r#"
sources: {tree: {dir: tree}}
assets:
  a: {deps: [tree], run: 'ls "$tree" > "$output"'}
  b: {run: 'echo 1 > "$output"'}
"#,
    );
    bench.write("tree", "a file where a directory should be");
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("source `tree` cannot be observed").says("ran 1 ").says("1 blocked");
    bench.run(&["status"]).ends(0).says("blocked");
}

/// The last file went, and what reads all of them was left as it was.
#[test]
fn downstream_of_nothing_is_not_nothing() {
    let bench = Bench::new(
        r#"
sources: {list: {files: "in/{name}.txt"}}
assets:
  per: {partitions: each(list), run: 'cat "$list" > "$output"'}
  all: {deps: [per], run: 'ls "$per" | wc -l > "$output"'}
"#,
    );
    bench.write("in/a.txt", "1");
    bench.steps();
    fs::remove_file(bench.path("in/a.txt")).unwrap();
    bench.run(&["m", "per", "--downstream"]).ends(0).says("ran 1 ");
    assert_eq!(cat(&bench, "all").trim(), "0");
}

#[test]
fn an_owner_is_an_address() {
    let bench = Bench::new("assets:\n  a: {run: 'echo 1 > \"$output\"', owners: [ann@x.org]}\n");
    assert_eq!(bench.run(&["list", "owner:ann@x.org"]).ends(0).out.lines().count(), 2);
    bench.run(&["m", "owner:ann@x.org"]).ends(0).says("ran 1 ");
}

#[test]
fn a_database_of_no_format_is_damaged_in_one_line() {
    let bench = Bench::new("assets:\n  a: {run: 'echo 1 > \"$output\"'}\n");
    bench.steps();
    sql(&bench, "PRAGMA user_version = 0");
    let said = bench.run(&["m", "a"]).ends(2).says("does not say of which format");
    assert!(said.err.lines().count() < 4, "{said:?}");
}

/// Of no partition at all SQL knew no column.
#[test]
fn sql_reads_columns_of_an_input_without_partitions() {
    let bench = Bench::new(
        r#"
sources: {s: {files: "in/{name}.csv"}}
assets:
  total: {deps: {s: {map: all, missing: allow}}, sql: "SELECT count(*) AS n, sum(v) AS v FROM s"}
  day: {partitions: [x], deps: {s: {map: identity, missing: allow}}, sql: "SELECT v FROM s WHERE v > 1"}
"#,
    );
    assert_eq!(bench.steps(), ["day@x", "total@"]);
    assert_eq!(cat(&bench, "total"), "n,v\n0,\n");
    assert_eq!(cat(&bench, "day@x"), "v\n");
    bench.write("in/x.csv", "v\n1\n2\n");
    assert_eq!(bench.steps(), ["day@x", "total@"]);
    assert_eq!(cat(&bench, "day@x"), "v\n2\n");
}

/// SQLite's own words were shown, and nothing could be read either.
#[test]
fn a_full_disk_is_called_that_before_the_store_is_open() {
    let bench = Bench::new("assets:\n  a: {run: 'echo 1 > \"$output\"'}\n");
    bench.steps();
    // No file may grow beyond 8 KiB, so the one that SQLite makes beside its log cannot be made.
    let full = |arguments: &str| {
        let giornata = env!("CARGO_BIN_EXE_giornata");
        let script = format!("trap '' XFSZ; ulimit -f 16; exec {giornata} {arguments}");
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", &script]).current_dir(bench.dir.path()).output().unwrap()
    };
    let made = full("m a --force");
    let said = String::from_utf8(made.stderr).unwrap();
    assert_eq!(made.status.code(), Some(2), "{said}");
    assert!(said.contains("the disk is full; free some space"), "{said}");
    assert!(full("status --check").status.success(), "reading needs no space");
    bench.run(&["m", "a", "--force"]).ends(0);
}

/// `-p` chose among the pieces of before.
#[test]
fn named_pieces_are_those_that_there_are_when_they_are_made() {
    let bench = Bench::new(
        r#"
sources: {list: {files: list.txt}}
assets:
  mk: {deps: [list], run: "sh -c 'for k in $(cat $list); do echo $k > $output_dir/$k.csv; done'", outputs: "{piece}.csv"}
  e: {partitions: each(mk), run: 'cat "$mk" > "$output"'}
  f: {partitions: {multi: {p: each(mk), q: [x, y]}}, deps: [mk], run: 'cat "$mk" > "$output"'}
"#,
    );
    bench.write("list.txt", "a\nb\n");
    bench.run(&["plan", "e@b"]).ends(0).says("`mk` makes pieces");
    bench.run(&["m", "e@b"]).ends(0).says("ran 2 ");
    bench.run(&["m", "e", "-p", "nothing"]).ends(2).says("no partition `nothing`");
    bench.write("list.txt", "a\nb\nc\nd\n");
    bench.run(&["m", "e@c", "e@d"]).ends(0).says("ran 3 ");
    assert_eq!(cat(&bench, "e@c"), "c\n");
    bench.run(&["cat", "e@a"]).ends(2);
    bench.write("list.txt", "a\nz\n");
    bench.run(&["m", "f", "-p", "p=z|q=y"]).ends(0).says("ran 2 ");
    bench.write("list.txt", "a\ny\n");
    let said = bench.run(&["m", "e", "-p", "nothing"]).ends(2);
    said.says("`e` has no such partitions now that its pieces are made: there is no partition");
    bench.run(&["m", "mk"]).ends(0).says("up to date");
    bench.write("list.txt", "a\ny\nx\n");
    bench.run(&["m", "e", "-p", "missing", "--force"]).ends(0).says("ran 4 ");
    bench.run(&["status", "e", "--check"]).ends(0);
}

/// Nothing was made, nothing was there, and it was said to be up to date.
#[test]
fn pieces_that_were_never_made_are_not_up_to_date() {
    let bench = Bench::new(
        r#"
assets:
  mk: {run: 'echo 1 > "$output_dir/a.csv"', outputs: "{piece}.csv"}
  e: {partitions: each(mk), run: 'cat "$mk" > "$output"'}
"#,
    );
    for verb in ["m", "plan"] {
        let said = bench.run(&[verb, "e", "--only"]).ends(2).says_not("up to date");
        said.says("which partitions `e` has is known when its pieces are made").says("--only");
    }
    bench.run(&["m", "e"]).ends(0).says("ran 2 ");
    bench.run(&["m", "e", "--only"]).ends(0).says("up to date");
    bench.edit("echo 1", "echo 2");
    bench.run(&["m", "e", "--only"]).says("this is about those that are known now");
}
