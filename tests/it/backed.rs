//! Assets that are the result of a graph of ops, with the real binary: one step, made of several.

use std::fs;

use super::bench::{Bench, Said};

const NOTHING: [&str; 0] = [];

/// A number is doubled and one is added, by two ops.
const PROJECT: &str = r#"
ops:
  double: {run: 'expr 2 "*" $(cat "$number") > "$output"', takes: {number: int}, outputs: {result: {type: int}}}
graphs:
  inner:
    takes: {x: int}
    ops:
      twice: {use: double, in: {number: x}}
      next: {run: sh next.sh, in: {number: twice}, config: {step: {type: int, default: 1}}}
    results: next
sources:
  number: {files: number.txt}
assets:
  report: {graph: inner, deps: {x: number}, output: report.txt}
  shown: {deps: [report], run: 'echo "it is $(cat $report)" > "$output"'}
"#;

const NEXT: &str = "echo adding; echo next >> calls.log; \
                    expr $(echo $GIORNATA_CONFIG | tr -cd 0-9) + $(cat $number) > $output\n";

fn project() -> Bench {
    let bench = Bench::new(PROJECT);
    bench.write("number.txt", "3\n");
    bench.write("next.sh", NEXT);
    bench
}

fn cat(bench: &Bench, asset: &str) -> String {
    bench.run(&["cat", asset]).ends(0).out
}

#[test]
fn a_graph_is_one_step_with_its_steps_in_the_log() {
    let bench = project();
    bench.run(&["plan", "--all"]).ends(0).says("1 step to run, up to 1 more depends");
    assert_eq!(bench.steps(), ["report@", "shown@"]);
    assert_eq!((&*cat(&bench, "report"), &*cat(&bench, "shown")), ("7\n", "it is 7\n"));
    assert_eq!(bench.steps(), NOTHING);
    let log = fs::read_to_string(bench.path(".giornata/logs/1/report.log")).unwrap();
    assert_eq!(log, "[giornata: step twice]\n[giornata: step next]\nadding\n");
    let left = fs::read_dir(bench.path(".giornata/staging")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "what ops hand to each other goes with the run");
    bench.run(&["show", "report"]).ends(0).says("graph of ops").says("number (default)");
    bench.run(&["status", "--check"]).ends(0);
    bench.run(&["check"]).ends(0);
}

#[test]
fn it_is_stale_by_all_that_its_ops_are_made_of() {
    let bench = project();
    bench.steps();
    // Another way to the same number: nothing that reads it runs.
    bench.edit("expr 2 \"*\"", "expr 1 \"*\" 2 \"*\"");
    bench.why("report").says("code-changed").says("`twice.run` in the graph");
    assert_eq!(bench.steps(), ["report@"]);
    bench.edit("in: {number: twice}", "in: {number: x}");
    bench.why("report").says("next.in.number").says("input x");
    assert_eq!(bench.steps(), ["report@", "shown@"]);
    assert_eq!(cat(&bench, "shown"), "it is 4\n");
    bench.edit("in: {number: x}, config", "in: {number: twice}, config");
    assert_eq!(bench.steps(), NOTHING, "restored");
    bench.write("next.sh", &NEXT.replace("echo adding;", "echo adding more;"));
    bench.why("report").says("next.sh");
    assert_eq!(bench.steps(), ["report@"]);
    bench.edit("default: 1", "default: 10");
    bench.why("report").says("config-changed");
    assert_eq!(bench.steps(), ["report@", "shown@"]);
    assert_eq!(cat(&bench, "report"), "16\n");
    bench.edit("output: report.txt", "output: report.txt, config: {next: {step: 100}}");
    assert_eq!(bench.steps(), ["report@", "shown@"]);
    assert_eq!(cat(&bench, "report"), "106\n");
    // What only says how an op is run changes nothing.
    bench.edit("config: {step:", "retries: 2, timeout: 10m, config: {step:");
    assert_eq!(bench.steps(), NOTHING);
}

#[test]
fn a_failed_op_is_the_failure_of_the_asset() {
    let bench = project();
    bench.steps();
    bench.write("number.txt", "5\n");
    bench.write("next.sh", &format!("{NEXT}exit 3\n"));
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("`report` failed: `next`: exit status 3").says("adding").says("1 failed, 1 blocked");
    assert_eq!(cat(&bench, "report"), "7\n", "the last good result stays");
    bench.write("number.txt", "five\n");
    let said = bench.run(&["m", "report"]).ends(1);
    said.says("input `number` of `twice`: expected int").says_not("adding");
}

#[test]
fn ops_are_repeated_and_their_hooks_are_called() {
    let bench = project();
    bench.edit("run: sh next.sh", "run: sh next.sh, retries: 2, on_success: sh done.sh");
    bench.write("done.sh", "echo \"$GIORNATA_ASSET $GIORNATA_STEP\" >> hooks.log\n");
    bench.write("next.sh", &format!("[ $GIORNATA_ATTEMPT -gt 1 ] || exit 1; {NEXT}"));
    bench.run(&["m", "report"]).ends(0).says("ran 1 ");
    assert_eq!(fs::read_to_string(bench.path("hooks.log")).unwrap(), "report next\n");
}

/// Words are cut apart, each is measured, and the lengths come together; for each text.
#[test]
fn graphs_with_pieces_and_partitions() {
    let bench = Bench::new(
        r#"
graphs:
  measure:
    takes: {text: string}
    ops:
      split:
        run: 'for w in $(cat "$text"); do echo "$w" > "$output_dir/$w.txt"; done'
        in: {text: text}
        outputs: "{piece}.txt"
      length: {run: 'printf "%s,%s\n" $(cat "$word") $(($(wc -c < "$word") - 1)) > "$output"', in: {word: {each: split}}}
      table: {run: '(echo word,length; find "$lengths" -type f | sort | xargs -r cat) > "$output"', in: {lengths: {collect: length}}, outputs: {result: {type: table}}}
    results: table
sources:
  text: {files: "texts/{name}.txt"}
assets:
  lengths: {graph: measure, partitions: each(text), deps: [text], checks: [rows > 0]}
  total: {sql: "SELECT count(*) AS words, sum(length) AS letters FROM lengths"}
"#,
    );
    bench.write("texts/a.txt", "fig pear\n");
    bench.write("texts/b.txt", "apple\n");
    assert_eq!(bench.steps(), ["lengths@a", "lengths@b", "total@"]);
    assert_eq!(cat(&bench, "lengths@a"), "word,length\nfig,3\npear,4\n");
    assert_eq!(cat(&bench, "total"), "words,letters\n3,12\n");
    bench.write("texts/b.txt", "\n");
    let said = bench.run(&["m", "lengths"]).ends(1);
    said.says("`lengths@b` failed: check failed: `rows > 0`");
}

#[test]
fn what_is_skipped_is_no_result() {
    let bench = Bench::new(
        r#"
graphs:
  maybe:
    ops:
      toss: {run: 'true', outputs: {head: {optional: true}}}
      take: {run: 'cp "$coin" "$output"', in: {coin: toss.head}}
    results: take
assets:
  coin: {graph: maybe}
"#,
    );
    bench.run(&["m", "coin"]).ends(1).says("`coin` failed: gave no result: `take` is skipped");
}

/// Many values of another asset, one value of it twice, and SQL within.
#[test]
fn inputs_arrive_as_they_are() {
    let bench = Bench::new(
        r#"
graphs:
  sum:
    takes: {days: {many: table}, first: table}
    ops:
      both: {run: '(echo n; cat "$days"/*.csv "$first" | grep -v n | sort -u) > "$output"', in: {days: days, first: first}, outputs: {result: {type: table}}}
      total: {sql: "SELECT sum(n) AS n FROM t", in: {t: both}}
    results: total
assets:
  day: {partitions: [a, b], run: 'echo n > "$output"; echo ${#GIORNATA_PARTITION}0 >> "$output"', format: csv}
  one: {run: 'printf "n\n5\n" > "$output"', format: csv}
  sum: {graph: sum, deps: {days: {from: day, map: all}, first: one}}
"#,
    );
    bench.run(&["check"]).ends(0);
    bench.run(&["m", "--all"]).ends(0).says("ran 4 ");
    assert_eq!(cat(&bench, "sum"), "n\n15\n");
}

/// What is too big for memory is handed on as a file, and the result may be one.
#[test]
fn big_values_are_files() {
    let bench = Bench::new(
        r#"
graphs:
  big:
    ops:
      write: {run: 'for i in $(seq 3000); do echo "$i,x"; done > "$output"'}
      copy: {run: '(echo n,t; cat "$rows") > "$output"', in: {rows: write}}
    results: copy
assets:
  rows: {graph: big, format: csv}
  count: {sql: "SELECT count(*) AS rows FROM rows"}
"#,
    );
    bench.run(&["m", "--all"]).ends(0).says("ran 2 ");
    assert_eq!(cat(&bench, "count"), "rows\n3000\n");
    assert_eq!(bench.steps(), NOTHING);
}

#[track_caller]
fn refused(asset: &str, message: &str) -> Said {
    let text = format!("{}  it: {{{asset}}}\n", PROJECT.split("  report:").next().unwrap());
    let text = text.replace("sources:", MORE);
    Bench::new(&text).run(&["check"]).ends(2).says(message)
}

const MORE: &str = r#"
  pieces:
    ops: {a: {run: x, outputs: "{p}.txt"}}
    results: a
  nothing:
    ops: {a: {run: x}}
  broken:
    ops: {a: {run: x, retires: 3}}
    results: a
sources:"#;

#[test]
fn what_makes_no_sense_is_refused() {
    refused("graph: iner, deps: {x: number}", "did you mean `inner`?");
    refused("graph: inner", "nothing says which asset the input `x` of graph `inner` is");
    refused("graph: inner, deps: {x: number, y: number}", "graph `inner` has no input `y`");
    refused("graph: inner, deps: {x: numbre}", "did you mean `number`?");
    refused("graph: inner, deps: {x: {map: all}}", "does not say which asset it is");
    refused("graph: inner, run: y, deps: {x: number}", "`graph` and `run` exclude each other");
    refused("graph: inner, retries: 2, deps: {x: number}", "`retries` cannot be that of an asset");
    refused("graph: inner, deps: {x: number}, config: {next: {step: a}}", "must be `int`");
    refused("graph: pieces", "its result has pieces");
    refused("graph: nothing", "it has no `results`");
    refused("graph: broken", "did you mean `retries`?");
    refused("graph: inner, makes: [a, b], deps: {x: number}", "a graph makes one asset");
}
