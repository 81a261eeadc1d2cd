//! Jobs of ops that files declare: what is said about them without running anything.

use super::bench::Bench;

const JOBS: &str = r#"
pools: {net: 2}
ops:
  add_one: {run: 'echo $(( $(cat "$number") + 1 )) > "$output"', takes: {number: int}, output: int}
graphs:
  twice:
    takes: {x: int}
    ops:
      a: {use: add_one, in: {number: x}}
      b: {use: add_one, in: {number: a}}
    results: b
assets:
  model: {run: 'echo > "$output"', config: {lr: 1}}
  shared: {run: 'echo > "$output"'}
jobs:
  nightly:
    description: Adds, in pieces
    config: {lr: {type: float, default: 0.01, min: 0}, token: {type: string, secret: true}}
    values: {token: hunter2, split: {parts: 3}}
    presets: {quick: {lr: 0.5}}
    partitions: {daily: {start: 2024-01-01}}
    on_failure: ./page.sh "$GIORNATA_STEP"
    tags: {team: a}
    ops:
      one:   {run: 'echo 1 > "$output"', output: int}
      twice: {graph: twice, in: {x: one}}
      split: {run: ./split.sh, in: {n: twice}, outputs: "{piece}", config: {parts: int}}
      part:  {run: ./part.sh, in: {x: {each: split}}, config: [lr], pool: net}
      all:   {run: ./all.sh, in: {xs: {collect: part}}, after: one, outputs: {sum: int, log: {optional: true}}}
  retrain: {select: "+model", config: {lr: float}}
  shared: {ops: {only: {sql: SELECT 1}}}
"#;

#[test]
fn jobs_are_listed_and_shown() {
    let bench = Bench::new(JOBS);
    bench.run(&["check"]).ends(0).says("no errors: 2 assets and 3 jobs in 2 files");
    let list = bench.run(&["list"]).ends(0);
    list.says("nightly  6 steps  daily from 2024-01-01  Adds, in pieces").says("retrain  +model");
    bench.run(&["list", "--kind", "job"]).ends(0).says("nightly").says_not("ASSET");
    bench.run(&["list", "model"]).ends(0).says_not("nightly");
    let shown = bench.run(&["show", "nightly"]).ends(0);
    expect_test::expect![[r#"
        nightly
          Adds, in pieces

        made of      6 steps
        declared in  assets/all.yaml:16
        partitions   daily from 2024-01-01
        config       lr: float of at least 0 = 0.01
        config       token: string (set)
        config       split.parts: int = 3
        preset       quick: ..
        on failure   ./page.sh $GIORNATA_STEP
        tags         team=a

        STEP     OP       READS                               GIVES
        one      command                                      result: int
        twice.a  add_one  number: int = one                   result: int
        twice.b  add_one  number: int = twice.a               result: int
        split    command  n = twice.b                         result (pieces)
        part     command  x = each split                      result
        all      command  xs, many = collect part, after one  sum: int, log (optional)
    "#]]
    .assert_eq(&shown.out);
    let retrain = bench.run(&["show", "retrain"]).ends(0).says("selects      +model (1 asset)");
    retrain.says("lr: float (required)");
    // An asset of the name goes first.
    bench.run(&["show", "shared"]).ends(0).says("made by");
    bench.run(&["show", "--job", "shared"]).ends(0).says("only  sql");
    bench.run(&["show", "--job", "nightl"]).ends(2).says("did you mean `nightly`?");
}

#[test]
fn the_documents_of_jobs() {
    let bench = Bench::new(JOBS);
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&bench.run(args).ends(0).out).unwrap()
    };
    let list = json(&["list", "--json"]);
    assert_eq!(
        (&list["jobs"][0]["job"], &list["jobs"][0]["steps"]),
        (&"nightly".into(), &6.into())
    );
    assert_eq!(list["jobs"][1]["select"], "+model");
    assert_eq!(json(&["check", "--json"])["jobs"], 3);
    let show = json(&["show", "nightly", "--json"]);
    assert_eq!(show["definition"]["partitions"], "daily from 2024-01-01");
    assert!(show["config"]["properties"]["lr"].to_string().contains("\"minimum\":0"), "{show}");
    let step = |at: usize, what: &str| show["steps"][at][what].clone();
    assert_eq!((step(1, "step"), step(1, "op")), ("twice.a".into(), "add_one".into()));
    assert_eq!(step(4, "inputs")[0]["from"], "each split");
    assert_eq!(
        (step(4, "pool"), step(3, "outputs")[0]["emits"].clone()),
        ("net".into(), "pieces".into())
    );
    assert!(!show.to_string().contains("hunter2"), "{show}");
    let graph = json(&["graph", "nightly", "--json"]);
    assert_eq!(graph["nodes"][4]["step"], "part");
    let edges = graph["edges"].as_array().unwrap();
    let collected = edges.iter().find(|edge| edge["from"] == "part").unwrap();
    assert_eq!((&collected["to"], &collected["how"]), (&"all".into(), &"collect".into()));
}

#[test]
fn a_job_is_drawn_in_every_form() {
    let bench = Bench::new(JOBS);
    let tree = bench.run(&["graph", "nightly"]).ends(0);
    expect_test::expect![[r#"
        one  (command)
        ├─ all  (command)
        └─ twice.a  (command)
           └─ twice.b  (command)
              └─ split  (command, gives pieces)
                 └─ part  (command, for each of split)
                    └─ all  (command)
    "#]]
    .assert_eq(&tree.out);
    let dot = bench.run(&["graph", "nightly", "--format", "dot"]).ends(0);
    dot.says(r#""split" -> "part" [label="each"];"#).says(r#""one" -> "all" [label="after"];"#);
    bench.run(&["graph", "nightly", "--format", "mermaid"]).ends(0).says("|\"collect\"|");
    let svg = bench.run(&["graph", "--job", "nightly", "--format", "svg"]).ends(0);
    svg.says("<title>nightly</title>").says("command, for each of split");
    bench.run(&["graph", "shared"]).ends(0).says("shared  (command)");
    bench.run(&["graph", "retrain"]).ends(2).says("selects assets");
}

#[test]
fn a_broken_job_stops_that_job_and_nothing_else() {
    let bench = Bench::new(JOBS);
    bench.edit("in: {x: one}", "in: {x: onne}");
    let check = bench.run(&["check"]).ends(2);
    check.says("job `nightly`: `twice`: there is no `onne` in this graph; did you mean `one`?");
    for command in [&["run", "nightly"][..], &["show", "nightly"], &["config", "check", "nightly"]]
    {
        bench.run(command).ends(2).says("did you mean `one`?").says("job `nightly` has errors");
    }
    bench.run(&["run", "retrain", "--set", "lr=2"]).ends(0).says("ran 1 ");
    bench.run(&["show", "--job", "shared"]).ends(0);
    let json = bench.run(&["check", "--json"]).ends(2).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["diagnostics"][0]["stops"], serde_json::json!(["nightly"]));
}

#[test]
fn the_configuration_of_a_job_of_ops_is_checked_completed_and_cleaned() {
    let bench = Bench::new(JOBS);
    bench.edit("token: hunter2, split: {parts: 3}", "token: hunter2");
    let scaffold = bench.run(&["config", "scaffold", "nightly"]).ends(0);
    scaffold.says("split:\n  parts: 0\n").says("added `split`");
    let check = bench.run(&["config", "check", "nightly", "--set", "split.parts=x"]).ends(2);
    check.says("`split.parts` must be `int`, not the text `x` (`--set split.parts`)");
    let check = bench.run(&["config", "check", "nightly", "--set", "split.parts=4"]).ends(0);
    check.says("parts: 4").says_not("hunter2");
}
