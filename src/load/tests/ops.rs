//! Ops, graphs, types and pools in files: what each form becomes.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::TOML;
use crate::defs::{
    Body, CommandLine, Emits, Flow, HookDef, Hooks, Item, Job, Least, Memo, OutputDef, Slot, Takes,
    Work,
};
use crate::load::{Loaded, project_from};

/// The jobs of a file without mistakes, as text.
#[track_caller]
fn check(text: &str, expect: Expect) {
    let loaded = load(text);
    let mut out = String::new();
    for def in loaded.project.types.values() {
        writeln!(out, "type {} is {} that {:?}", def.name, def.of, def.that).unwrap();
    }
    for (pool, size) in &loaded.project.pools {
        writeln!(out, "pool {pool}: {size}").unwrap();
    }
    loaded.project.jobs.values().for_each(|job| out += &render(job));
    expect.assert_eq(&out);
}

#[track_caller]
fn load(text: &str) -> Loaded {
    let files = [TOML, ("assets/a.yaml", text), ("assets/b1.sh", "echo 1")];
    let loaded = project_from(&files).unwrap();
    assert_eq!(loaded.diagnostics, [], "{}", super::render(&loaded));
    loaded
}

fn render(job: &Job) -> String {
    let mut out = format!("{}:\n", job.name);
    if !job.partitions.is_unpartitioned() {
        writeln!(out, "  partitions {}", job.partitions.spec()).unwrap();
    }
    let fields: Vec<&str> = job.config.fields().into_iter().flat_map(|it| it.names()).collect();
    if !fields.is_empty() {
        writeln!(out, "  config {}", fields.join(", ")).unwrap();
    }
    if !job.values.is_null() {
        writeln!(out, "  values {}", job.values).unwrap();
    }
    for (name, values) in &job.presets {
        writeln!(out, "  preset {name} {values}").unwrap();
    }
    if !job.tags.is_empty() {
        writeln!(out, "  tags {:?}", job.tags).unwrap();
    }
    out += &hooks("  ", &job.hooks);
    match &job.work {
        Work::Select(selection) => writeln!(out, "  select {}", selection.as_str()).unwrap(),
        Work::Flow(flow) => out += &steps(flow),
    }
    out
}

fn hooks(indent: &str, hooks: &Hooks) -> String {
    let line = |hook: &HookDef| match hook {
        HookDef::Run(line) => format!("{line:?}"),
        HookDef::Function(_) => "a function".to_owned(),
    };
    let named = [("success", &hooks.success), ("failure", &hooks.failure)];
    let lines = named.into_iter().flat_map(|(when, hooks)| hooks.iter().map(move |it| (when, it)));
    lines.map(|(when, hook)| format!("{indent}on {when} {}\n", line(hook))).collect()
}

fn steps(flow: &Flow) -> String {
    let mut out = String::new();
    for step in &flow.steps {
        write!(out, "  {}", step.path).unwrap();
        if *step.op.name != *step.path.rsplit('.').next().unwrap() {
            write!(out, " = {}", step.op.name).unwrap();
        }
        for (input, wiring) in step.op.inputs.iter().zip(&step.wires) {
            let many = match input.takes {
                Takes::One => "",
                Takes::Many => "*",
                Takes::Nothing => "-",
            };
            write!(out, " {}: {many}{}={}", input.name, input.kind, wired(flow, wiring)).unwrap();
        }
        for after in &step.after {
            write!(out, " after {}", flow.steps[*after as usize].path).unwrap();
        }
        out += " ->";
        for output in &*step.op.outputs {
            let emits = match output.emits {
                Emits::Required => "",
                Emits::Optional => "?",
                Emits::Pieces(Least::None) => "*",
                Emits::Pieces(Least::Skip) => "*?",
            };
            let form = match &output.form {
                OutputDef::File { name } => name.clone(),
                other => format!("{other:?}"),
            };
            write!(out, " {}{emits}: {} in {form}", output.name, output.kind).unwrap();
        }
        out += "\n";
        out += &hooks("    ", &step.hooks);
    }
    out
}

fn wired(flow: &Flow, wiring: &crate::defs::Wiring) -> String {
    use crate::defs::Wiring;
    let slot = |slot: &Slot| {
        let path = &flow.steps[slot.step as usize].path;
        format!("{path}.{}", flow.output(*slot).name)
    };
    let item = |item: &Item| match item {
        Item::One(of) => slot(of),
        Item::Each(of) => format!("each {}", slot(of)),
        Item::Input(at) => format!("input {at}"),
        Item::Value(value) => value.to_string(),
    };
    match wiring {
        Wiring::One(of) => slot(of),
        Wiring::Each(of) => format!("each({})", slot(of)),
        Wiring::Collect(of) => format!("collect({})", slot(of)),
        Wiring::List(items) => {
            format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join(", "))
        }
        Wiring::Input(at) => format!("input {at}"),
        Wiring::Value(value) => value.to_string(),
    }
}

#[test]
fn reusable_ops_and_nested_graphs() {
    check(
        r#"
types:
  even: {is: int, that: "$value % 2 = 0"}
pools: {warehouse: 2}
ops:
  add_one: {run: ./add_one.sh, takes: {number: int}, output: int, pool: warehouse}
graphs:
  inner:
    takes: {x: int}
    ops:
      a: {use: add_one, in: {number: x}}
      b: {use: add_one, in: {number: a}}
    results: b
  several:
    takes: [x]
    ops:
      only: {run: 'true "$v"', in: {v: x}, outputs: [left, right]}
    results: {l: only.left, same: x}
jobs:
  nested:
    ops:
      return_one: {run: echo 1 > $output, output: int}
      inner:      {graph: inner, in: {x: return_one}}
      inner_2:    {graph: inner, in: {x: inner}}
      s:          {graph: several, in: {x: inner_2.result}, after: [inner]}
      last:       {run: "true", in: {a: s.l, b: s.same}}
"#,
        expect![[r#"
            type even is int that Sql("$value % 2 = 0")
            pool warehouse: 2
            nested:
              return_one -> result: int in result
              inner.a = add_one number: int=return_one.result -> result: int in result
              inner.b = add_one number: int=inner.a.result -> result: int in result
              inner_2.a = add_one number: int=inner.b.result -> result: int in result
              inner_2.b = add_one number: int=inner_2.a.result -> result: int in result
              s.only v: any=inner_2.b.result after inner.a after inner.b -> left: any in left right: any in right
              last a: any=s.only.left b: any=inner_2.b.result -> result: any in result
        "#]],
    );
}

#[test]
fn branches_lists_and_order() {
    check(
        r#"
jobs:
  branching:
    ops:
      pick:     {run: python pick.py, outputs: {branch_1: {optional: true}, branch_2: {optional: true, type: int}}}
      branch_1: {run: ./b1.sh, in: {x: pick.branch_1}}
      join:     {run: ./join.sh, in: {xs: [pick.branch_1, pick.branch_2]}, after: branch_1}
      literal:  {run: ./l.sh, in: {n: {value: 3}, xs: {value: [1, 2]}, typed: {from: pick.branch_2, type: int}}}
"#,
        expect![[r#"
            branching:
              pick -> branch_1?: any in branch_1 branch_2?: int in branch_2
              branch_1 x: any=pick.branch_1 -> result: any in result
              join xs: *any=[pick.branch_1, pick.branch_2] after branch_1 -> result: any in result
              literal n: any=3 xs: any=[1,2] typed: int=pick.branch_2 -> result: any in result
        "#]],
    );
}

#[test]
fn pieces_are_mapped_and_collected() {
    check(
        r#"
jobs:
  dynamic:
    ops:
      load:     {run: ./split.sh, outputs: "{piece}.json"}
      other:    {run: "true"}
      compute:  {run: ./one.sh, in: {x: {each: load}}}
      polish:   {run: ./two.sh, in: {x: {each: compute}, y: other}}
      pairs:    {run: ./p.sh, in: {xs: [{each: compute}, other]}}
      merge:    {run: ./merge.sh, in: {xs: {collect: polish}}}
      nothing:  {run: ./n.sh, in: {x: {each: polish}}, outputs: []}
      named:    {run: ./n.sh, outputs: {pieces: {files: "{key}.txt", optional: true, type: string}, log: report.txt}}
"#,
        expect![[r#"
            dynamic:
              load -> result*: any in {piece}.json
              other -> result: any in result
              compute x: any=each(load.result) -> result: any in result
              polish x: any=each(compute.result) y: any=other.result -> result: any in result
              pairs xs: *any=[each compute.result, other.result] -> result: any in result
              merge xs: *any=collect(polish.result) -> result: any in result
              nothing x: any=each(polish.result) ->
              named -> pieces*?: string in {key}.txt log: any in report.txt
        "#]],
    );
}

#[test]
fn a_mapped_graph_and_many_values_as_its_input() {
    check(
        r#"
graphs:
  sum:
    takes: {xs: {many: int}, start: nothing}
    ops:
      add: {run: ./add.sh, in: {xs: xs}}
    results: add
  both:
    takes: [x]
    ops:
      first: {run: ./f.sh, in: {x: x}}
      second: {run: ./s.sh, in: {x: first}}
    results: second
jobs:
  j:
    ops:
      load: {run: ./l.sh, outputs: "{piece}"}
      map:  {graph: both, in: {x: {each: load}}}
      sum:  {graph: sum, in: {xs: {collect: map}, start: other}}
      other: {run: 'true'}
"#,
        expect![[r#"
            j:
              load -> result*: any in {piece}
              map.first x: any=each(load.result) -> result: any in result
              map.second x: any=each(map.first.result) -> result: any in result
              other -> result: any in result
              sum.add xs: *int=collect(map.second.result) -> result: any in result
        "#]],
    );
}

#[test]
fn sql_over_tables() {
    check(
        r#"
jobs:
  j:
    ops:
      load: {run: ./load.sh, output: table}
      lines: {run: ./load.sh, output: {type: table, format: jsonl}}
      join: {sql: 'SELECT * FROM load_it JOIN l_2 USING (a)', in: {load_it: load, l-2: lines}}
      kept: {sql: SELECT 1, output: {format: jsonl, type: table}}
      shop: {sql: SELECT * FROM warehouse.orders, resources: [warehouse]}
resources: {warehouse: {type: sqlite, path: w.db}}
"#,
        expect![[r#"
            j:
              load -> result: table in Table(Csv)
              lines -> result: table in Table(JsonLines)
              join load_it: any=load.result l-2: any=lines.result -> result: table in Table(Csv)
              kept -> result: table in Table(JsonLines)
              shop -> result: table in Table(Csv)
        "#]],
    );
}

#[test]
fn a_job_has_configuration_presets_hooks_tags_and_partitions() {
    check(
        r#"
ops:
  fit: {run: python fit.py, config: [lr, person_name], on_failure: [./a.sh, 'echo "$GIORNATA_STEP"']}
jobs:
  do_it_all:
    description: All of it
    config: {person_name: string, lr: {type: float, default: 0.01, min: 0}}
    values: {person_name: Alice, inner: {own: {depth: 4}}}
    presets: {quick: {lr: 0.5}}
    ops:
      fit: {use: fit, on_success: ./b.sh}
      inner: {graph: g}
    on_failure: ./page.sh
    tags: {team: a}
  partitioned:
    partitions: {daily: {start: 2020-01-01}}
    values: {date: "{start:%Y-%m-%d}", until: "{end:%Y-%m-%d}", year: "{start:%Y}"}
    config: {date: string, until: string, year: int}
    ops: {process: {run: ./p.sh, config: [date]}}
  regions:
    partitions: {multi: {region: [eu, us], day: {daily: {start: 2020-01-01}}}}
    config: {what: string}
    values: {what: "{region}/{start}"}
    ops: {process: {run: ./p.sh, config: [what]}}
graphs:
  g:
    ops:
      own: {run: ./x.sh, config: {depth: {type: int, default: 3}}}
"#,
        expect![[r#"
            do_it_all:
              config person_name, lr, inner
              values {"person_name":"Alice","inner":{"own":{"depth":4}}}
              preset quick {"lr":0.5}
              tags {"team": "a"}
              on failure Direct([[Text("./page.sh")]])
              fit -> result: any in result
                on success Direct([[Text("./b.sh")]])
                on failure Direct([[Text("./a.sh")]])
                on failure Direct([[Text("echo")], [Text(""), Variable("GIORNATA_STEP")]])
              inner.own -> result: any in result
            partitioned:
              partitions daily hour=0 minute=0 zone=UTC start=2020-01-01T00:00:00 format="%Y-%m-%d" end_offset=0
              config date, until, year
              values {"date":"{start:%Y-%m-%d}","until":"{end:%Y-%m-%d}","year":"{start:%Y}"}
              process -> result: any in result
            regions:
              partitions {"day": daily hour=0 minute=0 zone=UTC start=2020-01-01T00:00:00 format="%Y-%m-%d" end_offset=0, "region": static ["eu", "us"]}
              config what
              values {"what":"{region}/{start}"}
              process -> result: any in result
        "#]],
    );
}

#[test]
fn every_key_of_an_op_arrives() {
    let loaded = load(
        r#"
pools: {net: 1}
resources: {warehouse: {type: sqlite, path: w.db}}
jobs:
  j:
    ops:
      a:
        run: sh assets/b1.sh "$x" "$GIORNATA_STEP"
        takes: {x: list(int)}
        in: {x: {value: [1]}}
        env: [TOKEN]
        inputs: ["templates/**"]
        resources: [warehouse]
        retries: {max: 3, delay: 30s, backoff: exponential, jitter: full, fatal: [2, 3]}
        timeout: 10m
        pool: net
        memo: true
        version: 1.10
        description: Adds
"#,
    );
    let job = &loaded.project.jobs["j"];
    let Work::Flow(flow) = &job.work else { panic!("it is made of ops") };
    let op = &flow.steps[0].op;
    assert_eq!((op.env.contains("TOKEN"), &*op.files), (true, &["templates/**".to_owned()][..]));
    assert!(op.resources.contains("warehouse"));
    expect![["Retries { max: 3, delay: 30s, backoff: Exponential, jitter: Full, fatal: {2, 3} }"]]
        .assert_eq(&format!("{:?}", op.retries));
    assert_eq!(op.timeout, Some(std::time::Duration::from_secs(600)));
    assert_eq!((op.pool.as_deref(), op.memo), (Some("net"), Memo::ByContent));
    assert_eq!((op.version.as_deref(), op.description.as_deref()), (Some("1.10"), Some("Adds")));
    let Body::Command(command) = &op.body else { panic!("it is a command") };
    assert!(matches!(&command.line, CommandLine::Direct(words) if words.len() == 4));
    assert_eq!(command.named_files, [std::path::PathBuf::from("assets/b1.sh")]);
    assert_eq!((op.origin.line, flow.steps[0].def.name.as_str()), (7, "j/a"));
}

#[test]
fn a_table_of_pools_in_the_project_file() {
    let text = "jobs: {j: {ops: {a: {run: x, pool: net}}}}";
    let files = [("giornata.toml", "[pools]\nnet = 3\n"), ("assets/a.yaml", text)];
    let loaded = project_from(&files).unwrap();
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.project.pools.get("net"), Some(&3));
}
