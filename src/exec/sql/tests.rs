//! SQL steps: what they see, what they may not do, and what their errors say.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};

use super::{SqlExecutor, now};
use crate::defs::{Check, ColumnType, OutputDef, TableFormat};
use crate::exec::testing::{StepBuilder, csv, only, part};
use crate::exec::{Content, Control, Executor, Failure, Part, Produced};

fn run(executor: &mut SqlExecutor, builder: StepBuilder) -> String {
    match executor.run(&builder.build(), &Control::new()).result.map(only) {
        Ok(Produced::Table { encoded, .. }) => {
            format!("{}{}\n", String::from_utf8(encoded.bytes).unwrap(), encoded.schema)
        }
        Ok(other) => panic!("{other:?}"),
        Err(failure) => failure.to_string(),
    }
}

#[track_caller]
fn check(builder: StepBuilder, expected: &Expect) {
    expected.assert_eq(&run(&mut SqlExecutor::new(), builder));
}

fn weather() -> Vec<Part> {
    vec![csv("2014-07-01", "day,rain\n2014-07-01,0.5\n"), csv("b", "day,rain\nx,2\ny,\n")]
}

#[test]
fn an_input_is_the_rows_of_its_parts() {
    check(
        StepBuilder::sql("SELECT *, typeof(rain) AS type FROM raw_w").input("raw/w", weather()),
        &expect![[r#"
            day,rain,_partition,type
            2014-07-01,0.5,2014-07-01,real
            x,2,b,integer
            y,,b,null
            {"day":"text","rain":"any","_partition":"text","type":"text"}
        "#]],
    );
    let other = StepBuilder::sql("SELECT count(*) AS n FROM \"raw/w\"").input("raw/w", weather());
    check(other, &expect!["n\n3\n{\"n\":\"integer\"}\n"]);
}

#[test]
fn parameters_say_which_partition_it_is() {
    let text = "SELECT $partition AS p, $start AS s, :end AS e, $n AS n, $list AS l, @flag AS f";
    check(
        StepBuilder::sql(text)
            .partition("2014-07")
            .edit(|step| step.window = Some(("2014-07-01".into(), "2014-08-01".into())))
            .edit(|step| drop(step.config.insert("n".into(), 2.5.into())))
            .edit(|step| drop(step.config.insert("list".into(), serde_json::json!([1]))))
            .edit(|step| drop(step.config.insert("flag".into(), true.into()))),
        &expect![[r#"
            p,s,e,n,l,f
            2014-07,2014-07-01,2014-08-01,2.5,[1],1
            {"p":"text","s":"text","e":"text","n":"real","l":"text","f":"integer"}
        "#]],
    );
}

#[test]
fn only_the_bound_parts_are_seen_from_step_to_step() {
    let mut executor = SqlExecutor::new();
    let mut rows = |parts| {
        let builder = StepBuilder::sql("SELECT group_concat(n) AS n FROM t").input("t", parts);
        run(&mut executor, builder).lines().nth(1).unwrap().to_owned()
    };
    let (a, b) = (|| csv("a", "n\n1\n2\n"), || csv("b", "n\n3\n"));
    assert_eq!(rows(vec![a()]), "\"1,2\"");
    assert_eq!(rows(vec![b()]), "3");
    assert_eq!(rows(vec![b(), a()]), "\"3,1,2\"");
    assert_eq!(rows(vec![]), "\"\"");
    assert_eq!(rows(vec![a()]), "\"1,2\"");
}

/// A statement failed because nothing was there, or did not because of what ran before on its thread.
#[test]
fn an_input_without_partitions_has_the_columns_that_are_named() {
    let mut executor = SqlExecutor::new();
    let mut lines = |text: &str, parts: Vec<Part>| {
        let full = vec![csv("p", "k,n\n1,2\n")];
        let builder = StepBuilder::sql(text).input("t", parts.clone()).input("mart/u", parts);
        let result = run(&mut executor, builder.input("full", full));
        result.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("; ")
    };
    let sum = "SELECT count(*) AS rows, sum(x.n) AS n FROM t AS x";
    assert_eq!(lines(sum, vec![]), "rows,n; 0,");
    assert_eq!(lines(sum, vec![csv("a", "n\n5\n")]), "rows,n; 1,5");
    assert_eq!(lines(sum, vec![]), "rows,n; 0,");
    assert_eq!(lines("SELECT * FROM t", vec![csv("a", "n\n5\n")]), "n,_partition; 5,a");
    // Nothing that this thread did before counts.
    assert_eq!(lines("SELECT * FROM t", vec![]), "_partition");
    let joins = "SELECT full.n, coalesce(t.v, 0) AS v, u.w FROM full LEFT JOIN t USING (k) \
                 LEFT JOIN \"mart/u\" AS u ON u.k = t.k WHERE u.day IS NULL";
    assert_eq!(lines(joins, vec![]), "n,v,w; 2,0,");
    let both = "SELECT count(v) AS v, count(w) AS w FROM t JOIN mart_u USING (k) WHERE v > w";
    assert_eq!(lines(both, vec![]), "v,w; 0,0");
    let script =
        "CREATE TABLE m AS SELECT day, n FROM t; SELECT count(*) AS c, max(day) AS d FROM m";
    assert_eq!(lines(script, vec![]), "c,d; 0,");
    assert_eq!(lines(script, vec![csv("a", "day,n\nx,5\n")]), "c,d; 1,x");
    assert_eq!(lines(script, vec![]), "c,d; 0,");
    // What is missing elsewhere stays missing.
    assert!(lines("SELECT full.z FROM full, t", vec![]).contains("no such column: full.z"));
    assert!(lines("SELECT n FROM nil, t", vec![]).contains("no such table: nil"));
}

/// The statement kept the columns of the step before.
#[test]
fn columns_may_differ_from_step_to_step() {
    let mut executor = SqlExecutor::new();
    let mut all = |content: &str| {
        let builder = StepBuilder::sql("SELECT * FROM t").input("t", vec![csv("a", content)]);
        run(&mut executor, builder).lines().next().unwrap().to_owned()
    };
    assert_eq!(all("x\n1\n"), "x,_partition");
    assert_eq!(all("x,y\n1,2\n"), "x,y,_partition");
    assert_eq!(all("z\n1\n"), "z,_partition");
}

#[test]
fn parts_with_other_columns_are_united() {
    let parts = vec![csv("1", "a,b\n1,2\n"), csv("2", "c,A\n3,4\n"), csv("3", "a,b\n5,6\n")];
    check(
        StepBuilder::sql("SELECT * FROM t").input("t", parts),
        &expect![[r#"
            a,b,c,_partition
            1,2,,1
            4,,3,2
            5,6,,3
            {"a":"integer","b":"integer","c":"integer","_partition":"text"}
        "#]],
    );
}

#[test]
fn declared_and_recorded_types_hold() {
    let declared = BTreeMap::from([("id".to_owned(), ColumnType::Text)]);
    let part = Part {
        columns: Arc::new(declared),
        schema: Some(r#"{"id":"any","n":"text"}"#.to_owned()),
        ..csv("", "id,n\n1,2\n")
    };
    check(
        StepBuilder::sql("SELECT typeof(id) AS a, typeof(n) AS b FROM t").input("t", vec![part]),
        &expect!["a,b\ntext,text\n{\"a\":\"text\",\"b\":\"text\"}\n"],
    );
}

#[test]
fn tables_of_a_body_are_gone_with_the_step() {
    let mut executor = SqlExecutor::new();
    let text = "CREATE TEMP TABLE x AS SELECT n * 2 AS n FROM t; CREATE INDEX temp.i ON x (n);
                CREATE TABLE y (n PRIMARY KEY); INSERT INTO y SELECT n FROM x; UPDATE y SET n = n + 1;
                DELETE FROM x; SELECT * FROM y;";
    for n in 1..4 {
        let builder = StepBuilder::sql(text).input("t", vec![csv("", &format!("n\n{n}\n"))]);
        let expected = format!("n\n{}\n{{\"n\":\"integer\"}}\n", 2 * n + 1);
        assert_eq!(run(&mut executor, builder), expected);
    }
    let after = run(&mut executor, StepBuilder::sql("SELECT * FROM y"));
    assert!(after.contains("no such table: y"), "{after}");
}

#[test]
fn a_table_may_have_the_name_of_another_steps_input() {
    let mut executor = SqlExecutor::new();
    let read = || StepBuilder::sql("SELECT n FROM x").input("x", vec![csv("", "n\n7\n")]);
    let make = || StepBuilder::sql("CREATE TEMP TABLE X AS SELECT 1 AS n; SELECT n FROM x");
    for _ in 0..2 {
        assert_eq!(run(&mut executor, read()), "n\n7\n{\"n\":\"integer\"}\n");
        assert_eq!(run(&mut executor, make()), "n\n1\n{\"n\":\"integer\"}\n");
    }
}

#[test]
fn errors_name_line_and_column_of_the_file() {
    let builder = |text: &str| StepBuilder::sql(text).input("raw_w", weather());
    check(
        builder("SELECT day,\n  rian\nFROM raw_w"),
        &expect!["assets/it.sql:5:3: no such column: rian; did you mean `rain`?"],
    );
    check(
        builder("SELECT 1 AS x;\n  SELECT é FROM raw_w"),
        &expect!["assets/it.sql:5:10: no such column: é"],
    );
    check(
        builder("SELECT * FROM raw_x"),
        &expect!["assets/it.sql:4:15: no such table: raw_x; did you mean `raw_w`?"],
    );
    check(builder("SELECT 1 FROM"), &expect!["assets/it.sql:4:14: incomplete input"]);
    check(
        builder("SELECT 1\nWHERE day = $partitoin"),
        &expect!["assets/it.sql:5:7: no such column: day"],
    );
    check(
        builder("SELECT 1\nWHERE 1 = $partitoin"),
        &expect!["assets/it.sql:5:11: `$partitoin` is unknown; did you mean `$partition`?"],
    );
    check(
        builder("SELECT \"dya\" FROM raw_w"),
        &expect![[
            r#"assets/it.sql:4:8: no such column: "dya" - should this be a string literal in single-quotes?"#
        ]],
    );
    check(
        builder("CREATE TEMP TABLE x (n)"),
        &expect!["assets/it.sql:4:1: the last statement must be a SELECT"],
    );
    check(
        builder("SELECT 1 AS a, 2 AS A"),
        &expect!["assets/it.sql:4:1: two columns of the result are named `A`; rename one with AS"],
    );
    check(
        builder("SELECT abs(-9223372036854775808)"),
        &expect!["assets/it.sql:4:1: integer overflow"],
    );
    check(
        builder("\n  SELECT date('now')"),
        &expect![
            "assets/it.sql:5:10: `date` asks for the clock, so no run could be repeated; use $partition, $start, $end or a config value"
        ],
    );
}

#[test]
fn a_statement_does_not_reach_around_its_inputs() {
    let mut executor = SqlExecutor::new();
    run(&mut executor, StepBuilder::sql("SELECT 1 FROM other").input("other", weather()));
    let mut refusals = String::new();
    for text in [
        "ATTACH 'x.db' AS x; SELECT 1",
        "PRAGMA user_version; SELECT 1",
        "SELECT * FROM pragma_table_info('t')",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM sqlite_temp_master",
        "SELECT * FROM _giornata_base_0",
        "SELECT * FROM _giornata_bind",
        "SELECT * FROM other",
        "INSERT INTO t VALUES (1, 2, 3); SELECT 1",
        "DROP VIEW t; SELECT 1",
        "DELETE FROM _giornata_base_0; SELECT 1",
        "COMMIT; SELECT 1",
        "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; SELECT 1",
        "SELECT random()",
        "SELECT hex(randomblob(4))",
        "SELECT load_extension('x')",
    ] {
        let refusal = run(&mut executor, StepBuilder::sql(text).input("t", weather()));
        refusals += &format!("{}\n", refusal.strip_prefix("assets/it.sql:").unwrap_or(&refusal));
    }
    expect![[r#"
        4:1: ATTACH would read what is no input; declare a source
        4:1: PRAGMA user_version is not allowed
        4:1: `pragma_table_info` is not among the inputs of this asset
        4:1: `sqlite_master` is not among the inputs of this asset
        4:1: `sqlite_temp_master` is not among the inputs of this asset
        4:1: `_giornata_base_0` is not among the inputs of this asset
        4:1: `_giornata_bind` is not among the inputs of this asset
        4:1: `other` is not among the inputs of this asset
        4:1: `t` is an input and cannot be changed; copy it to a table
        4:1: `t` is an input and cannot be changed; copy it to a table
        4:1: `_giornata_base_0` is an input and cannot be changed; copy it to a table
        4:1: a step is one transaction already; leave BEGIN and COMMIT out
        4:1: cannot create AFTER trigger on view: t
        4:8: `random()` gives another result each time, so no run could be repeated
        4:12: `randomblob()` gives another result each time, so no run could be repeated
        4:8: `load_extension()` is not allowed: its result is not of the inputs
    "#]]
    .assert_eq(&refusals);
}

#[test]
fn a_file_that_changed_is_not_read() {
    let file = |name: &str, is: &str, was: &str| {
        let path = StepBuilder::sql("SELECT 1").build().root().join(name);
        fs::write(&path, is).unwrap();
        part("", was, Content::File(path))
    };
    let text = "SELECT n FROM t";
    let same = file("same.csv", "n\n1\n", "n\n1\n");
    check(StepBuilder::sql(text).input("t", vec![same]), &expect!["n\n1\n{\"n\":\"integer\"}\n"]);
    let changed = StepBuilder::sql(text).input("t", vec![file("c.csv", "n\n1\n", "n\n2\n")]);
    let result = SqlExecutor::new().run(&changed.build(), &Control::new()).result;
    assert!(matches!(result, Err(Failure::InputChanged { .. })), "{result:?}");
}

#[test]
fn inputs_that_are_no_tables_are_named() {
    let no_format = Part { format: None, ..csv("k", "") };
    check(
        StepBuilder::sql("SELECT 1").input("t", vec![no_format]),
        &expect!["cannot read input `t@k`: it is no table; SQL reads `.csv` and `.jsonl`"],
    );
    check(
        StepBuilder::sql("SELECT 1").input("t", vec![csv("k", "a,b\n1\n")]),
        &expect!["cannot read input `t@k`: line 2 has 1 fields where the header has 2"],
    );
}

#[test]
fn checks_and_formats_apply_to_the_result() {
    let rows = |count| Check::parse(&format!("rows = {count}")).unwrap();
    let builder = |count| {
        StepBuilder::sql("SELECT 1.5 AS x")
            .asset(|asset| asset.checks.push(rows(count)))
            .output(OutputDef::Table(TableFormat::JsonLines))
    };
    check(builder(1), &expect!["{\"x\":1.5}\n{\"x\":\"real\"}\n"]);
    check(
        builder(0),
        &expect![[r#"
        {"x":1.5}
        {"x":"real"}
    "#]],
    );
}

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n";

#[test]
fn a_statement_without_end_times_out() {
    let builder = StepBuilder::sql(ENDLESS).timeout(Duration::from_millis(50));
    check(builder, &expect!["timed out after 50ms"]);
}

#[test]
fn a_change_that_is_interrupted_is_undone() {
    let mut executor = SqlExecutor::new();
    let text = "CREATE TEMP TABLE x (i); INSERT INTO x
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;
        SELECT * FROM x";
    let builder = || StepBuilder::sql(text).timeout(Duration::from_millis(50));
    for _ in 0..2 {
        assert_eq!(run(&mut executor, builder()), "timed out after 50ms");
    }
    let after = run(&mut executor, StepBuilder::sql("SELECT * FROM x"));
    assert!(after.contains("no such table: x"), "{after}");
}

#[test]
fn a_cancelled_statement_ends_and_the_next_runs() {
    let mut executor = SqlExecutor::new();
    let control = Control::new();
    let step = StepBuilder::sql(ENDLESS).build();
    let result = std::thread::scope(|scope| {
        let running = scope.spawn(|| executor.run(&step, &control).result);
        control.wait(Duration::from_millis(50));
        control.cancel();
        running.join().unwrap()
    });
    assert_eq!(result, Err(Failure::Cancelled));
    assert_eq!(
        run(&mut executor, StepBuilder::sql("SELECT 1 AS x")),
        "x\n1\n{\"x\":\"integer\"}\n"
    );
}

/// Prints what a tiny step costs from partition to partition; `SLOW=1` says so more exactly.
#[test]
fn a_tiny_step_is_cheap() {
    let steps = if std::option_env!("SLOW").is_some() { 100_000 } else { 500 };
    let parts: Vec<Part> =
        (0..steps).map(|n| csv(&n.to_string(), &format!("day,rain\n{n},0.5\n"))).collect();
    let text = "SELECT day, rain, $partition AS p FROM raw WHERE day = day";
    let built: Vec<_> = parts
        .into_iter()
        .map(|part| StepBuilder::sql(text).input("raw", vec![part]).build())
        .collect();
    let mut executor = SqlExecutor::new();
    let control = Control::new();
    let start: Instant = now();
    for step in &built {
        assert!(executor.run(step, &control).result.is_ok());
    }
    println!("{:?} a step", start.elapsed() / steps);
    let parts: Vec<Part> = built.iter().flat_map(|step| step.inputs[0].parts.clone()).collect();
    let text = "SELECT count(*) AS n FROM raw";
    let many = StepBuilder::sql(text).input("raw", parts).build();
    let start: Instant = now();
    assert!(executor.run(&many, &control).result.is_ok());
    println!("{:?} for {steps} parts that are loaded", start.elapsed());
}

#[test]
fn what_was_not_used_for_long_is_forgotten() {
    let mut executor = SqlExecutor::new();
    let run_one = |executor: &mut SqlExecutor, n: u32| {
        let part = csv("", &format!("n\n{n}\n"));
        let builder = StepBuilder::sql("SELECT n FROM t").input("t", vec![part]);
        assert!(run(executor, builder).starts_with(&format!("n\n{n}\n")));
    };
    run_one(&mut executor, 10);
    let loads = &mut executor.database.as_mut().unwrap().loads;
    loads.get_mut().limit_bytes(15);
    for n in 11..20 {
        run_one(&mut executor, n);
    }
    let database = executor.database.as_ref().unwrap();
    assert_eq!(database.loads.borrow().count(), 3);
    let rows = "SELECT count(*) FROM _giornata_base_0";
    let rows: i64 = database.connection.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
    run_one(&mut executor, 10);
}

#[test]
fn the_order_of_rows_is_that_of_parts_and_files() {
    let parts: Vec<Part> = (0..20)
        .rev()
        .map(|n| csv(&format!("p{n}"), &format!("n,m\n{n},z\n{},a\n", n + 1)))
        .collect();
    let expected: Vec<String> =
        (0..20).rev().flat_map(|n| [n, n + 1]).map(|n| n.to_string()).collect();
    let mut executor = SqlExecutor::new();
    for text in [
        "SELECT n FROM t",
        "SELECT n FROM t WHERE m <> $partition",
        "SELECT n FROM (SELECT n, m FROM t) WHERE m IS NOT NULL",
        "WITH x AS (SELECT * FROM t) SELECT x.n FROM x",
    ] {
        let found = run(&mut executor, StepBuilder::sql(text).input("t", parts.clone()));
        let found: Vec<&str> = found.lines().skip(1).take(40).collect();
        assert_eq!(found, expected, "{text}");
    }
}
