//! Ops in files, with the real binary: what they are made of, what they give, and what is said of mistakes.

use std::fs;

use super::bench::Bench;

fn read(bench: &Bench, path: &str) -> String {
    fs::read_to_string(bench.path(path)).unwrap_or_default()
}

#[test]
fn an_op_gives_a_directory() {
    let bench = Bench::new(
        r#"
jobs:
  trees:
    ops:
      make: {run: 'echo a > "$output_dir/a.txt"; mkdir "$output_dir/sub"; echo b > "$output_dir/sub/b.txt"', output: {dir: true}}
      both: {run: 'cp -rL "$tree" "$GIORNATA_OUTPUT_COPY/tree"; echo 1 > "$GIORNATA_OUTPUT_NUMBER"', in: {tree: make}, outputs: {copy: {dir: true}, number: int}}
      look: {run: '[ -e fine ] || exit 1; find "$tree/" -type f | sed "s|^$tree||" | sort > seen.txt; cat "$tree/tree/sub/b.txt"', in: {tree: both.copy}, outputs: []}
"#,
    );
    bench.run(&["check"]).ends(0);
    bench.run(&["run", "trees"]).ends(1).says("`look` failed");
    bench.write("fine", "");
    bench.run(&["run", "trees", "--retry", "1"]).ends(0).says("2 taken from the run before");
    assert_eq!(read(&bench, "seen.txt"), "/tree/a.txt\n/tree/sub/b.txt\n");
    bench.edit("output: {dir: true}", "output: {dir: true, file: x.txt}");
    bench.run(&["check"]).ends(2).says("`dir` and `file` exclude each other");
    bench.edit(", file: x.txt", "");
    bench.edit("run: 'echo a > \"$output_dir/a.txt\"", "run: 'echo a > \"$output/a.txt\"");
    bench.run(&["check"]).ends(0).says("its output is the directory `$output_dir`");
}

#[test]
fn an_op_is_a_file_of_sql() {
    let bench = Bench::new(
        r#"
jobs:
  sums:
    ops:
      rows: {run: 'printf "n\n1\n2\n" > "$output"', output: table}
      sum: {sql: sql/sum.sql, in: {rows: rows}}
      show: {run: 'cat "$sum" > shown.txt', in: {sum: sum}, outputs: []}
"#,
    );
    bench.write("sql/sum.sql", "-- all of them\nSELECT sum(n) AS total\nFROM rows\n");
    bench.run(&["check"]).ends(0);
    bench.run(&["run", "sums"]).ends(0);
    assert_eq!(read(&bench, "shown.txt"), "total\n3\n");
    bench.write("sql/sum.sql", "SELECT sum(n) AS total\nFROM row\n");
    bench.run(&["check"]).ends(2).says("sql/sum.sql:2:6").says("did you mean `rows`?");
    bench.write("sql/sum.sql", "SELECT sum(n) AS total,\n  lenght(n)\nFROM rows\n");
    bench.run(&["run", "sums"]).ends(1).says("sql/sum.sql:2:3: no such function: lenght");
    bench.edit("sql/sum.sql", "sql/some.sql");
    bench.run(&["check"]).ends(2).says("there is no file `sql/some.sql` that can be read");
    bench.edit("sql/some.sql", "../some.sql");
    bench.run(&["check"]).ends(2).says("must be a file inside the project");
}

#[test]
fn an_op_reads_fields_of_the_job_and_has_some_of_its_own() {
    let bench = Bench::new(
        r#"
jobs:
  train:
    config: {lr: {type: float, default: 0.5}}
    ops:
      fit: {run: 'echo "$GIORNATA_CONFIG" > seen.txt', config: [lr, {depth: {type: int, default: 3}}], outputs: []}
"#,
    );
    bench.run(&["check"]).ends(0);
    bench.run(&["run", "train", "--set", "fit.depth=4"]).ends(0);
    assert_eq!(read(&bench, "seen.txt"), "{\"depth\":4,\"lr\":0.5}\n");
    bench.run(&["run", "train", "--set", "fit.depth=deep"]).ends(2).says("`fit.depth` must be");
    bench.edit("{depth: {type: int, default: 3}}", "{depth: int}, {width: int}");
    bench.run(&["check"]).ends(2).says("`config` has two tables");
    bench.edit("[lr, {depth: int}, {width: int}]", "[rl, {depth: int}]");
    bench.run(&["check"]).ends(2).says("it reads `rl`");
}

/// What a step that was taken gave decides about those that read it as if it had run.
#[test]
fn a_retry_says_why_a_step_was_skipped() {
    let bench = Bench::new(
        r#"
jobs:
  coin:
    ops:
      toss: {run: 'true', outputs: {head: {optional: true}}}
      take: {run: 'cp "$coin" "$output"', in: {coin: toss.head}}
      keep: {run: 'cp "$coin" "$output"', in: {coin: take}}
      last: {run: '[ -e fine ]', outputs: []}
"#,
    );
    let because = "skipped: `take` (`toss` did not give `head`)";
    bench.run(&["run", "coin"]).ends(1).says(because).says("skipped: `keep` (`take` was skipped)");
    bench.write("fine", "");
    let said = bench.run(&["run", "coin", "--retry", "1"]).ends(0);
    said.says(because).says("skipped: `keep` (`take` was skipped)").says("1 taken from");
}

/// Whoever reads that a file is broken need not be told of each name in it that nothing declares now.
#[test]
fn a_broken_file_is_told_once() {
    let bench = Bench::new(
        r#"
jobs:
  job:
    ops:
      one: {use: shared, in: {n: {value: 1}}}
      two: {run: x, output: even, pool: net, resources: [shop]}
      three: {graph: inner}
      other: {use: missing}
assets:
  mart: {sql: "SELECT 1 AS n", io: house}
  made: {graph: inner}
"#,
    );
    let words = "ops:\n  shared: {run: x, takes: {n: int}}\ntypes: {even: {is: int, that: \"$value\"}}\n\
                 pools: {net: 1}\nresources: {shop: {type: directory, path: x}}\n\
                 io: {house: {type: file, path: out}}\ngraphs: {inner: {ops: {a: {run: y}}, results: a}}\n";
    bench.write("assets/words.yaml", words);
    let said = bench.run(&["check"]).ends(2).says("there is no op `missing`");
    assert_eq!(said.err.matches("error:").count(), 1, "{}", said.err);
    bench.write("assets/words.yaml", &format!("{words}  - x: [\n"));
    let said =
        bench.run(&["check"]).ends(2).says("assets/words.yaml").says("there is no op `missing`");
    assert_eq!(said.err.matches("error:").count(), 2, "{}", said.err);
    // What needs the file cannot be used, and what does not can.
    bench.run(&["m", "mart"]).ends(2).says("assets/words.yaml");
    bench.run(&["run", "job"]).ends(2);
}

#[test]
fn check_judges_the_conditions_of_types() {
    let bench = Bench::new(
        r#"
types:
  even: {is: int, that: "$value % 2 = 0"}
  short: {is: string, that: "lenght($value) < 9"}
  folded:
    is: string
    that: >
      $value is not null
      and $valeu <> ''
assets:
  it: {run: x}
"#,
    );
    let said = bench.run(&["check"]).ends(2).says("type `short`: no such function: lenght");
    let said = said.says("assets/all.yaml:4:").says("type `folded`: `$valeu` is unknown");
    let said = said.says("a condition is one expression of SQL over `$value`");
    assert!(!said.err.contains("`even`"), "{}", said.err);
    bench.run(&["m", "it", "-n"]).ends(0);
}

/// To SQL `Rain` and `rain` are one name.
#[test]
fn names_in_sql_have_no_case() {
    let bench = Bench::new(
        r#"
assets:
  Rain: {run: 'printf "n\n1\n" > "$output"', format: csv}
  sum: {sql: "SELECT sum(n) AS n FROM RAIN JOIN rain AS other USING (n)"}
"#,
    );
    bench.run(&["m", "sum"]).ends(0).says("ran 2 ");
    assert_eq!(bench.run(&["cat", "sum"]).ends(0).out, "n\n1\n");
    bench.edit("  sum:", "  rain: {run: 'printf \"n\\n2\\n\" > \"$output\"', format: csv}\n  sum:");
    bench.run(&["check"]).ends(2).says("`RAIN` can mean several assets").says("in quotes");
    bench.edit("FROM RAIN JOIN rain AS other", "FROM Rain JOIN rain AS other");
    bench.run(&["check"]).ends(2).says("`Rain` and `rain` would both be");
    bench.edit("FROM Rain JOIN rain AS other USING (n)", "FROM rain");
    bench.run(&["m", "sum"]).ends(0);
    assert_eq!(bench.run(&["cat", "sum"]).ends(0).out, "n\n2\n");
}

/// A script that an op runs is edited while it runs: nobody takes what came of it for the result of either.
#[test]
fn what_changes_while_an_op_runs_is_run_again() {
    let bench = Bench::new(
        r#"
jobs:
  j:
    partitions: [a, b]
    on_success: 'echo "$GIORNATA_STEP of $GIORNATA_PARTITION" >> hooks.log'
    ops:
      steady: {run: sh steady.sh}
      edited: {run: sh edited.sh, in: {x: steady}}
      last: {run: 'test ! -e bad && cp "$x" "$output"', in: {x: edited}}
"#,
    );
    bench.write("steady.sh", "echo steady >> calls.log; echo 1 > $output\n");
    let edited = "echo edited >> calls.log; echo '# more' >> edited.sh; cat $x > $output\n";
    bench.write("edited.sh", edited);
    bench.write("bad", "");
    let calls = || {
        let calls = fs::read_to_string(bench.path("calls.log")).unwrap_or_default();
        bench.write("calls.log", "");
        calls.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let said = bench.run(&["run", "j", "-p", "a"]).ends(1);
    said.says("a file that `edited` is made of has changed since the run began");
    assert_eq!(calls(), ["steady", "edited"]);
    bench.write("edited.sh", edited);
    bench.write("edited.sh", &edited.replace("echo '# more' >> edited.sh; ", ""));
    bench.run(&["run", "j", "--retry", "1", "-p", "a"]).ends(1).says_not("has changed");
    assert_eq!(calls(), ["edited"]);
    fs::remove_file(bench.path("bad")).unwrap();
    bench.run(&["run", "j", "--retry", "2", "-p", "a"]).ends(0);
    assert_eq!(calls(), [""; 0], "both are taken over");
    let hooks = fs::read_to_string(bench.path("hooks.log")).unwrap();
    assert_eq!(hooks, "steady of a\nedited of a\nedited of a\nlast of a\n");
}

/// What ops give is put into files and tables, for each partition and piece apart.
#[test]
fn what_ops_give_is_put_where_their_manager_keeps_it() {
    let bench = Bench::new(
        r#"
resources:
  warehouse: {type: sqlite, path: data/w.db}
io:
  files: {type: file, path: out}
  tables: {type: table, on: warehouse}
ops:
  count: {run: 'wc -c < "$x" > "$output"', takes: [x], io: files}
jobs:
  daily:
    partitions: {daily: {start: 2024-01-01}}
    ops:
      cut: {run: 'for n in 1 22; do echo $n > "$output_dir/p$n.txt"; done', outputs: "{piece}.txt"}
      count: {use: count, in: {x: {each: cut}}}
      rows: {run: '(echo day; echo "$GIORNATA_PARTITION") > "$output"', output: table, io: tables}
"#,
    );
    bench.run(&["check"]).ends(0);
    for day in ["2024-01-01", "2024-01-02", "2024-01-01"] {
        bench.run(&["run", "daily", "-p", day]).ends(0);
    }
    let mut files = Vec::new();
    let mut open = vec![bench.path("out")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name =
                    path.strip_prefix(bench.path("out")).unwrap().to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.retain(|(name, _)| name.starts_with("daily/count"));
    files.sort();
    let values: Vec<&str> = files.iter().map(|(_, value)| value.trim()).collect();
    assert_eq!(values, ["2", "3", "2", "3"], "{files:?}");
    assert!(files[0].0.contains("2024-01-01") && files[3].0.contains("2024-01-02"), "{files:?}");
    let database = giornata::io::Warehouse::open(&bench.path("data/w.db")).unwrap();
    let tables =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'";
    let tables = database.query(tables, &[]).unwrap().rows;
    assert_eq!(tables.len(), 1, "{tables:?}");
    let table = tables[0][0].as_text().unwrap();
    let rows = database.query(&format!("SELECT day FROM \"{table}\" ORDER BY day"), &[]).unwrap();
    assert_eq!(rows.rows, [["2024-01-01".into()], ["2024-01-02".into()]]);
    // What cannot be put fails its step.
    bench.edit("path: out", "path: giornata.toml");
    let said = bench.run(&["run", "daily", "-p", "2024-01-03"]).ends(1);
    said.says("put `daily/count.result@2024-01-03|p1`");
    // Mistakes.
    bench.edit("io: files}", "io: fils}");
    bench
        .run(&["check"])
        .ends(2)
        .says("there is no IO manager `fils`")
        .says("did you mean `files`?");
    bench.edit("io: fils}", "io: tables}");
    bench
        .run(&["check"])
        .ends(2)
        .says("its output `result` cannot be put: a database takes tables");
    bench.edit("io: tables}", "io: files, memo: true}");
    bench.run(&["check"]).ends(2).says("`io` and `memo` exclude each other");
}
