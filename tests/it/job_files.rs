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

/// Ops whose work can be seen: each step leaves a file.
const RUNS: &str = r#"
sources: {inbox: {files: "in/{name}.txt"}}
jobs:
  greet:
    config: {name: string, token: {type: string, secret: true}}
    values: {name: world}
    presets: {ada: {name: Ada}}
    on_failure: 'echo "$GIORNATA_STEP: $GIORNATA_REASON" >> failed.txt'
    ops:
      hello: {run: 'echo "$GIORNATA_CONFIG" > hello.json; echo "$GIORNATA_CONFIG" > "$output"', config: [name, token]}
      other: {run: 'test -e go && echo > "$output"', in: {h: hello}, config: {depth: {type: int, default: 3}}}
      last:  {run: 'echo > "$output"', in: {o: other}}
  files:
    partitions: each(inbox)
    config: {file: string}
    values: {file: "in/{partition}.txt"}
    ops: {copy: {run: 'echo "$GIORNATA_CONFIG $GIORNATA_PARTITION" > copied.txt; echo > "$output"', config: [file]}}
  months:
    partitions: {multi: {region: [eu, us], month: {monthly: {start: 2025-01}}}}
    config: {year: int, where: string, until: string}
    values: {year: "{start:%Y}", where: "{region}", until: "{end:%F}"}
    ops:
      note: {run: 'echo "$GIORNATA_CONFIG $GIORNATA_PARTITION_START" > note.txt; echo > "$output"', config: [year, where, until]}
  assets: {select: "*"}
"#;

#[test]
fn configuration_is_checked_before_anything_starts_and_reaches_the_ops() {
    let bench = Bench::new(RUNS);
    bench.write(".env", "TOKEN=hunter22\n");
    let said = bench.run(&["run", "greet", "--set", "name=1", "--set", "nme=x"]).ends(2);
    said.says("`token` is missing").says("`nme` is not defined").says_not("run 1");
    assert!(!bench.path("hello.json").exists());
    let said = bench.run(&["run", "greet", "--set", "token.env=TOKN"]).ends(2);
    said.says("TOKN");
    bench.write("go", "");
    let args = ["run", "greet", "--preset", "ada", "--set", "token.env=TOKEN", "--tag", "a=b"];
    bench.run(&args).ends(0).says("ran 3; 0 failed").says_not("hunter22");
    let hello = std::fs::read_to_string(bench.path("hello.json")).unwrap();
    assert_eq!(hello, "{\"name\":\"Ada\",\"token\":\"hunter22\"}\n");
}

#[test]
fn a_failed_step_ends_with_1_and_a_retry_runs_only_the_rest() {
    let bench = Bench::new(RUNS);
    let run = |more: &[&str]| {
        bench.run(&[&["run", "greet", "--set", "token=long enough"], more].concat())
    };
    let said = run(&["-j", "1"]).ends(1).says("`other` failed: exit status 1");
    said.says("blocked: `last` (`other` failed)")
        .says("ran 2; 1 failed, 1 blocked")
        .says("`giornata run greet --retry 1` runs only the rest");
    let failed = std::fs::read_to_string(bench.path("failed.txt")).unwrap();
    assert_eq!(failed, "other: exit status 1\n");
    bench.write("go", "");
    std::fs::remove_file(bench.path("hello.json")).unwrap();
    run(&["--retry", "1", "-n"]).ends(0).says("3 steps to run; what run 1 has made");
    run(&["--retry", "1"]).ends(0).says("ran 2, 1 taken from the run before; 0 failed");
    assert!(!bench.path("hello.json").exists(), "it ran again");
    run(&["--retry", "1"]).ends(0).says("ran 3; 0 failed");
    run(&["--retry", "7"]).ends(2).says("there is no run 7");
    run(&["--retry", "3"]).ends(2).says("run 3 has succeeded");
}

#[test]
fn some_ops_are_selected() {
    let bench = Bench::new(RUNS);
    let run = |select: &str| {
        let args = ["run", "greet", "--set", "token=long enough", "-n", "--op-select", select];
        bench.run(&args)
    };
    run("1+other").ends(0).says("hello\nother\n\n2 steps to run");
    run("hello or 2+last").ends(0).says("3 steps to run");
    run("+last,other+").ends(2).says("`other` reads `hello`, which is not selected");
}

#[test]
fn a_partition_fills_in_the_values() {
    let bench = Bench::new(RUNS);
    bench.write("in/b.txt", "");
    bench.write("in/a.txt", "");
    let read = |path: &str| std::fs::read_to_string(bench.path(path)).unwrap();
    bench.run(&["run", "files", "-p", "b"]).ends(0).says("ran 1");
    assert_eq!(read("copied.txt"), "{\"file\":\"in/b.txt\"} b\n");
    bench.run(&["run", "files", "-p", "c"]).ends(2).says("`c`");
    let args = ["run", "months", "-p", "month=2025-03,region=us"];
    bench.run(&args).ends(0).says("ran 1");
    assert_eq!(
        read("note.txt"),
        "{\"until\":\"2025-04-01\",\"where\":\"us\",\"year\":2025} 2025-03-01T00:00:00+00:00\n"
    );
    bench.run(&["run", "months", "-p", "missing"]).ends(2).says("have no states");
    bench.run(&["run", "months", "-p", "region=us"]).ends(2).says("12 partitions of job `months`");
    bench.run(&["run", "greet", "-p", "x"]).ends(2).says("job `greet` has no partitions");
    let said = bench.run(&["config", "check", "months"]).ends(0).says("until: \"2026-01-01\"");
    said.says("the values are those of the partition `month=2025-12|region=us`");
}

#[test]
fn what_fits_only_the_other_kind_of_job_is_refused() {
    let bench = Bench::new(RUNS);
    bench.run(&["run", "assets", "--retry", "1"]).ends(2).says("selects assets, and has no ops");
    bench.run(&["run", "greet", "--force"]).ends(2).says("nothing to force");
}

#[test]
fn events_of_a_run_are_lines_of_json() {
    let bench = Bench::new(RUNS);
    let said =
        bench.run(&["run", "greet", "--set", "token=long enough", "--jsonl", "-j", "1"]).ends(1);
    let events: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "started",
            "step-started",
            "step-succeeded",
            "step-started",
            "step-failed",
            "step-blocked",
            "finished"
        ]
    );
    assert_eq!((&events[0]["steps"], &events[2]["emitted"][0]), (&3.into(), &"result".into()));
    assert_eq!((&events[6]["success"], &events[6]["blocked"]), (&false.into(), &1.into()));
    assert!(events[6]["kept"].is_string() && !said.out.contains("long enough"), "{events:#?}");
}

const SHARED_NAMES: &str = r#"
jobs:
  same:
    ops:
      a: {run: 'echo 1 > "$output"'}
      parts:
        run: 'for it in $(ls "$parts"); do cat "$parts/$it" > "$GIORNATA_OUTPUT_PARTS/new.csv"; done; echo 1 > "$GIORNATA_OUTPUT_REPORT"'
        in: {parts: [a]}
        outputs: {parts: "{piece}.csv", report: r.txt}
      end: {run: 'ls "$xs" > "$output"', in: {xs: {collect: parts.parts}}, output: {file: names.txt}}
  scored:
    ops:
      score: {run: sh score.sh, memo: true, output: {file: out.txt}}
  noisy:
    ops:
      hooked:
        run: 'echo from the step; exit 3'
        on_failure: [echo from the first, echo from the second]
assets:
  checked: {run: 'echo from the asset; echo 1 > "$output"', checks: [{run: echo from the check, name: talks}]}
"#;

#[test]
fn outputs_and_inputs_of_one_name_do_not_meet() {
    let bench = Bench::new(SHARED_NAMES);
    let ran = bench.run(&["run", "same", "--jsonl"]).ends(0);
    // Only what the op made is a piece, not what it read.
    assert!(ran.out.contains(r#""parts[new]""#), "{}", ran.out);
    assert!(!ran.out.contains("000001"), "{}", ran.out);
}

#[test]
fn what_the_code_of_an_op_sources_counts_for_its_memo() {
    let bench = Bench::new(SHARED_NAMES);
    bench.write("score.sh", ". ./lib.sh\necho \"$rate\" > \"$output\"\n");
    bench.write("lib.sh", "rate=1\n");
    bench.run(&["run", "scored"]).ends(0).says("ran 1");
    bench.run(&["run", "scored", "-v"]).ends(0).says("restored score");
    bench.write("lib.sh", "rate=2\n");
    bench.run(&["run", "scored", "-v"]).ends(0).says_not("restored score").says("ran 1");
}

#[test]
fn what_runs_beside_a_step_leaves_the_logs_whole() {
    let bench = Bench::new(SHARED_NAMES);
    let log = |name: &str| {
        let logs = bench.path(".giornata/logs");
        let mut open = vec![logs];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => open.push(path),
                    false if path.ends_with(name) => return std::fs::read_to_string(path).unwrap(),
                    false => {}
                }
            }
        }
        panic!("there is no log {name}")
    };
    bench.run(&["m", "checked"]).ends(0);
    assert_eq!(log("checked.log"), "from the asset\nfrom the check\n");
    bench.run(&["run", "noisy"]).ends(1);
    assert_eq!(log("hooked.hooks.log"), "from the first\nfrom the second\n");
    assert_eq!(log("hooked.log"), "from the step\n");
}
