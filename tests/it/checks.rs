//! Checks with all that can come of them, and what steps report about their results.

use serde_json::Value;

use super::bench::Bench;

fn json(bench: &Bench, args: &[&str]) -> Value {
    let said = bench.run(args).ends(0);
    serde_json::from_str(&said.out).unwrap()
}

/// One table by day, of which the file says what is wrong.
fn table(checks: &str) -> Bench {
    let bench = Bench::new(&format!(
        r#"
sources:
  raw: {{files: raw.csv}}
assets:
  day: {{deps: [raw], run: 'cat "$raw" > "$output"', format: csv, checks: {checks}}}
  sum: {{sql: "SELECT sum(n) AS n FROM day"}}
"#
    ));
    bench.write("raw.csv", "n,kind,seen\n1,sun,2025-12-31\n2,rain,2025-12-30\n");
    bench
}

#[test]
fn a_blocking_check_leaves_the_last_good_result_in_place() {
    let bench = table("['between(n, 0, 9)', 'accepted(kind, sun, rain)']");
    assert_eq!(bench.steps(), ["day@", "sum@"]);
    bench.write("raw.csv", "n,kind,seen\n1,sun,2025-12-31\n20,snow,2025-12-30\n");
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("check failed: `between(n, 0, 9)` (row 2 is 20; one more failed)").says("1 blocked");
    let day = bench.run(&["cat", "day"]).ends(0);
    assert!(day.out.contains("2,rain"), "{day:?}");
    let shown = bench.run(&["show", "day"]).ends(0);
    shown.says("accepted(kind, sun, rain): failed (row 2 is `snow`)");
    bench.write("raw.csv", "n,kind,seen\n1,sun,2025-12-31\n2,rain,2025-12-30\n");
    assert_eq!(bench.steps(), [""; 0], "the good result was never gone");
}

#[test]
fn a_warning_and_an_error_let_the_result_through() {
    let bench =
        table("[{check: 'rows = 1', severity: warn}, {check: 'unique(kind)', severity: error}]");
    let said = bench.run(&["m", "--all"]).ends(0);
    said.says("warning: check `rows = 1` of `day` failed: got 2").says("ran 2");
    bench.write("raw.csv", "n,kind,seen\n1,sun,2025-12-31\n2,sun,2025-12-30\n");
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("error: check `unique(kind)` of `day` failed: `sun` is there twice")
        .says("1 check failed");
    let status = bench.run(&["status", "--check"]).ends(1);
    status.says("check failed").says("check warned");
    let status = json(&bench, &["status", "day", "--json"]);
    assert_eq!(status["assets"][0]["checks_failed"]["count"], 1, "{status}");
    let shown = json(&bench, &["show", "day", "--json"]);
    assert_eq!(shown["result"]["checks"][1]["found"], "`sun` is there twice");
    bench.run(&["m", "--all"]).ends(0).says("everything up to date");
}

#[test]
fn how_bad_a_failure_is_makes_nothing_stale() {
    let bench = table("[{check: 'rows = 1', severity: warn}]");
    bench.steps();
    bench.edit("severity: warn", "severity: error");
    assert_eq!(bench.steps(), [""; 0]);
    bench.edit("rows = 1", "rows = 2");
    assert_eq!(bench.steps(), ["day@"]);
}

#[test]
fn sql_must_return_no_row() {
    let bench = table("[{sql: 'checks/none.sql'}]");
    bench.run(&["check"]).ends(2).says("there is no file `checks/none.sql` that can be read");
    bench.write("checks/none.sql", "SELECT n, kind FROM result WHERE n > 1");
    let said = bench.run(&["m", "--all"]).ends(1);
    said.says("check failed: `checks/none.sql` (1 row: n = 2, kind = `rain`)");
    bench.write("checks/none.sql", "SELECT n FROM result WHERE n > 2");
    assert_eq!(bench.steps(), ["day@", "sum@"]);
    bench.write("checks/none.sql", "SELECT m FROM result");
    bench.run(&["m", "--all"]).ends(1).says("checks/none.sql:1:8: no such column: m");
}

#[test]
fn a_command_finds_the_result() {
    let bench = table("[{run: 'grep -q sun \"$result\"', name: there is sun}]");
    assert_eq!(bench.steps(), ["day@", "sum@"]);
    bench.write("raw.csv", "n,kind,seen\n1,rain,2025-12-31\n");
    bench.run(&["m", "day"]).ends(1).says("check failed: `there is sun` (exit status 1)");
}

#[test]
fn fresh_compares_with_the_moment_of_the_run() {
    let mut bench = table("['fresh(seen, 2d)']");
    bench.at("2026-01-02T00:00:00Z");
    assert_eq!(bench.steps(), ["day@", "sum@"]);
    bench.at("2026-01-03T00:00:00Z");
    let said = bench.run(&["m", "day", "--force"]).ends(1);
    said.says("check failed: `fresh(seen, 2days)` (the newest is 2025-12-31 00:00:00)");
}

#[test]
fn what_a_step_reports_is_kept_with_its_result() {
    let bench = Bench::new(
        r#"
assets:
  model:
    partitions: [a, b, c]
    run: 'echo "{\"accuracy\": 0.$(printf %s "$GIORNATA_PARTITION" | wc -c)}" > "$GIORNATA_METADATA"; echo "$GIORNATA_PARTITION" > "$output"'
  rows: {sql: "SELECT 1 AS n UNION SELECT 2"}
"#,
    );
    bench.steps();
    let series = bench.run(&["show", "model", "--meta", "accuracy"]).ends(0);
    assert_eq!(
        series.out,
        "PARTITION  ACCURACY\na               0.1\nb               0.1\nc               0.1\n"
    );
    let series = json(&bench, &["show", "model@b", "--meta", "accuracy", "--json"]);
    assert_eq!(series["points"], serde_json::json!([{"partition": "b", "value": 0.1}]));
    bench.run(&["show", "rows"]).ends(0).says("rows = 2");
    bench.run(&["show", "model", "--meta", "loss"]).ends(2).says("there are `accuracy`");
    // A result that comes back has what was said when it was made.
    bench.edit("accuracy\\\": 0.", "accuracy\\\": 1.");
    bench.steps();
    bench.edit("accuracy\\\": 1.", "accuracy\\\": 0.");
    assert_eq!(bench.steps(), [""; 0]);
    bench.run(&["show", "model@a"]).ends(0).says("accuracy = 0.1");
    bench.run(&["gc", "--keep", "0"]).ends(0);
    bench.run(&["show", "model@a"]).ends(0).says("accuracy = 0.1");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |checks: &str, message: &str| {
        table(checks).run(&["check"]).ends(2).says(message);
    };
    refused("[between(n)]", "is no check");
    refused("['rows = 1', 'rows = 1']", "the check `rows = 1` is there twice");
    refused("[{check: 'rows = 1', run: x}]", "either `check` or `run`");
    refused("[{severity: warn}]", "does not say what it tests");
    refused("[{check: 'rows = 1', severity: bad}]", "`severity` cannot be `bad`");
    refused("[{chek: 'rows = 1'}]", "did you mean `check`?");
}
