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

fn fifos(bench: &Bench, names: &[&str]) {
    let mut mkfifo = std::process::Command::new("mkfifo");
    assert!(mkfifo.args(names).current_dir(bench.dir.path()).status().unwrap().success());
}

/// Each of two steps waits for the other: one after the other they would wait until they are stopped.
#[test]
fn steps_run_beside_each_other() {
    let bench = Bench::new(
        r#"
graphs:
  meeting:
    ops:
      left: {run: 'echo said left; echo 1 > to; read it < back; echo $it > "$output"', timeout: 1m}
      right: {run: 'read it < to; echo said right; echo $((it + 1)) > back; echo 5 > "$output"', timeout: 1m}
      sum: {run: 'cat "$numbers"/* > "$output"', in: {numbers: [left, right]}}
    results: sum
assets:
  sum: {graph: meeting}
"#,
    );
    fifos(&bench, &["to", "back"]);
    bench.run(&["m", "sum", "-j", "2"]).ends(0).says("ran 1 ");
    assert_eq!(cat(&bench, "sum"), "2\n5\n");
    let log = fs::read_to_string(bench.path(".giornata/logs/1/sum.log")).unwrap();
    // Each step has its lines together, whichever has ended first.
    let (left, right) =
        ("[giornata: step left]\nsaid left\n", "[giornata: step right]\nsaid right\n");
    let sum = "[giornata: step sum]\n";
    let either = [format!("{left}{right}{sum}"), format!("{right}{left}{sum}")];
    assert!(either.contains(&log), "{log}");
}

/// The pool is that of the run: steps of several assets are in it.
#[test]
fn pools_count_the_steps_of_all_graphs() {
    let bench = Bench::new(
        r#"
pools: {one: 1}
graphs:
  alone:
    ops:
      a: {run: sh alone.sh, pool: one}
      b: {run: sh alone.sh, pool: one}
      both: {run: 'cat "$it"/* > "$output"', in: {it: [a, b]}}
    results: both
assets:
  it: {graph: alone, partitions: [a, b, c, d]}
"#,
    );
    let alone = "mkdir there || exit 1\nfor i in $(seq 2000); do :; done\nrmdir there\n\
                 echo x >> calls.log; echo 1 > $output\n";
    bench.write("alone.sh", alone);
    bench.run(&["m", "--all", "-j", "4"]).ends(0).says("ran 4 ");
    assert_eq!(fs::read_to_string(bench.path("calls.log")).unwrap().lines().count(), 8);
}

#[test]
fn an_op_with_memo_is_not_made_again() {
    let bench = Bench::new(
        r#"
ops:
  slow: {run: 'echo slow >> calls.log; seq 3000 > "$output"', memo: true}
graphs:
  g:
    ops:
      slow: {use: slow}
      last: {run: 'echo last >> calls.log; tail -n $(echo $GIORNATA_CONFIG | tr -cd 0-9) "$rows" > "$output"', in: {rows: slow}, config: {n: {type: int, default: 1}}}
    results: last
  whole: {ops: {slow: {use: slow}}, results: slow}
assets:
  last: {graph: g}
  all: {graph: whole}
jobs:
  job: {ops: {slow: {use: slow}}}
"#,
    );
    let calls = || {
        let calls = fs::read_to_string(bench.path("calls.log")).unwrap_or_default();
        bench.write("calls.log", "");
        calls.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    bench.run(&["m", "last"]).ends(0);
    assert_eq!(calls(), ["slow", "last"]);
    bench.edit("default: 1", "default: 2");
    bench.run(&["m", "last"]).ends(0).says("ran 1 ");
    assert_eq!(calls(), ["last"]);
    assert_eq!(cat(&bench, "last"), "2999\n3000\n");
    let log = fs::read_to_string(bench.path(".giornata/logs/2/last.log")).unwrap();
    assert_eq!(
        log,
        "[giornata: step slow is taken from what was made before]\n[giornata: step last]\n"
    );
    // Another asset and a job have it too; and what an asset takes is still there for the next.
    bench.run(&["m", "all"]).ends(0).says("ran 1 ");
    bench.run(&["run", "job"]).ends(0).says("1 restored");
    bench.edit("default: 2", "default: 3");
    bench.run(&["m", "last"]).ends(0).says("ran 1 ");
    assert_eq!(calls(), ["last"]);
    assert_eq!(cat(&bench, "all").lines().count(), 3000);
    bench.run(&["doctor"]).ends(0);
    bench.run(&["m", "last", "--force", "--only"]).ends(0);
    assert_eq!(calls(), ["slow", "last"], "who forces an asset wants all of it anew");
}

/// What ops read of a job's configuration is a field of the asset's.
#[test]
fn ops_read_the_configuration_of_the_asset() {
    let bench = Bench::new(
        r#"
ops:
  scaled: {run: 'echo "$GIORNATA_CONFIG" > "$output"', config: [rate]}
graphs:
  g:
    ops:
      one: {use: scaled}
      two: {run: 'cat "$x" > "$output"; echo "$GIORNATA_CONFIG" >> "$output"', in: {x: one}, config: {n: int}}
    results: two
assets:
  it: {graph: g, config: {rate: 0.5, two: {n: 3}}}
jobs:
  job: {config: {rate: float}, ops: {one: {use: scaled}}}
"#,
    );
    bench.run(&["m", "it"]).ends(0);
    assert_eq!(cat(&bench, "it"), "{\"rate\":0.5}\n{\"n\":3}\n");
    bench.edit("rate: 0.5", "rate: 0.25");
    bench.why("it").says("config-changed").says("0.25");
    bench.run(&["m", "it"]).ends(0).says("ran 1 ");
    assert_eq!(cat(&bench, "it"), "{\"rate\":0.25}\n{\"n\":3}\n");
    bench.run(&["m", "it", "--set", "it.rate=2"]).ends(0).says("ran 1 ");
    assert_eq!(cat(&bench, "it"), "{\"rate\":2}\n{\"n\":3}\n");
    bench.edit("rate: 0.25, ", "");
    bench.run(&["check"]).ends(2).says("`config`: `rate` is missing");
    bench.edit("config: {two", "config: {rat: 1, two");
    bench.run(&["check"]).ends(2).says("`config`: `rat` is not defined");
}

/// What the step reports that gives the result is reported of the asset.
#[test]
fn metadata_is_that_of_the_result() {
    let bench = Bench::new(
        r#"
graphs:
  g:
    ops:
      first: {run: 'echo "{\"first\": 1}" > "$GIORNATA_METADATA"; echo 1 > "$output"'}
      last: {run: 'echo "{\"last\": 2}" > "$GIORNATA_METADATA"; cat "$x" > "$output"', in: {x: first}}
    results: last
assets:
  it: {graph: g}
"#,
    );
    bench.run(&["m", "it"]).ends(0);
    bench.run(&["show", "it"]).ends(0).says("last").says_not("first");
}

/// Where one fails, what runs beside it is waited for, and nothing more is started.
#[test]
fn a_failure_starts_nothing_more() {
    let bench = Bench::new(
        r#"
graphs:
  g:
    ops:
      bad: {run: 'echo so bad; exit 4', on_failure: sh told.sh}
      slow: {run: 'read it < to; echo slow >> calls.log; echo 1 > "$output"', timeout: 1m}
      next: {run: 'echo next >> calls.log; cat "$x" > "$output"', in: {x: slow}}
      last: {run: 'cat "$x" > "$output"', in: {x: {from: bad}, y: next}}
    results: last
assets:
  it: {graph: g}
  below: {deps: [it], run: 'cat $it > $output'}
"#,
    );
    fifos(&bench, &["to"]);
    // The hook runs when it is known that the step has failed.
    bench.write("told.sh", "echo 1 > to\n");
    let said = bench.run(&["m", "--all", "-j", "2"]).ends(1);
    said.says("`it` failed: `bad`: exit status 4").says("so bad").says("1 failed, 1 blocked");
    assert_eq!(fs::read_to_string(bench.path("calls.log")).unwrap(), "slow\n");
    let left = fs::read_dir(bench.path(".giornata/staging")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "what ops hand to each other goes with the run");
}

/// `pair` gives two results, of which the second needs what the first does not.
const PAIR: &str = r#"
graphs:
  pair:
    takes: {x: int}
    ops:
      count: {run: 'echo count >> calls.log; cp "$x" "$output"', in: {x: x}}
      left: {run: 'echo left >> calls.log; echo "{\"of\": 1}" > "$GIORNATA_METADATA"; cp "$n" "$output"', in: {n: count}}
      slow: {run: 'echo slow >> calls.log; echo slow >&2; [ $(cat "$n") -gt 0 ] && cp "$n" "$output"', in: {n: count}}
      right: {run: 'echo right >> calls.log; (echo n; cat "$n") > "$output"', in: {n: slow}, outputs: {result: {type: table}}}
    results: {mart_left: left, right: right}
sources:
  number: {files: number.txt}
assets:
  both: {graph: pair, makes: {mart/left: {output: left.txt}, right: {checks: [rows > 0]}}, deps: {x: number}}
  sum: {sql: "SELECT sum(n) AS n FROM right"}
"#;

#[test]
fn a_graph_makes_several_assets() {
    let bench = Bench::new(PAIR);
    bench.write("number.txt", "3\n");
    let calls = || {
        let calls = fs::read_to_string(bench.path("calls.log")).unwrap_or_default();
        bench.write("calls.log", "");
        let mut calls: Vec<&str> = calls.split_whitespace().collect();
        calls.sort();
        calls.join(" ")
    };
    bench.run(&["check"]).ends(0);
    // One alone: what only the other one needs does not run.
    bench.run(&["m", "mart/left"]).ends(0).says("ran 1 ");
    assert_eq!((calls().as_str(), cat(&bench, "mart/left").as_str()), ("count left", "3\n"));
    bench.run(&["show", "mart/left"]).ends(0).says("made with    right (step `both`)").says("of ");
    assert_eq!(bench.steps(), ["right@", "sum@"]);
    assert_eq!((calls().as_str(), cat(&bench, "sum").as_str()), ("count right slow", "n\n3\n"));
    bench.run(&["show", "right"]).ends(0).says("graph of ops").says_not("of  ");
    // Both at once: the common step runs once.
    bench.write("number.txt", "4\n");
    assert_eq!(bench.steps(), ["mart/left@", "right@", "sum@"]);
    assert_eq!(calls(), "count left right slow");
    bench.edit("echo slow >&2", "echo slower >&2");
    bench.why("right").says("`slow.run` in the graph");
    assert_eq!(bench.steps(), ["right@"], "and the sum is what it was");
    assert_eq!(calls(), "count right slow");
    // A step that one of them needs fails.
    bench.write("number.txt", "0\n");
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("`right` failed: `slow`: exit status 1").says("ran 1 (").says("1 failed, 1 blocked");
    assert_eq!((&*cat(&bench, "mart/left"), &*cat(&bench, "right")), ("0\n", "n\n4\n"));
    bench.run(&["status", "mart/left", "--check"]).ends(0);
    let left = fs::read_dir(bench.path(".giornata/staging")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "what ops hand to each other goes with the run");
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
    refused("graph: inner, pool: net, deps: {x: number}", "`pool` cannot be that of an asset");
    refused("graph: inner, deps: {x: number}, config: {next: {step: a}}", "must be `int`");
    refused("graph: pieces", "its result has pieces");
    refused("graph: nothing", "it has no `results`");
    refused("graph: broken", "did you mean `retries`?");
    refused(
        "graph: inner, makes: [a, b], deps: {x: number}",
        "graph `inner` cannot make `a`: it has no result `a`; it gives `result`",
    );
}
