//! Checks of what a step made, before it is recorded: which passed, and what the others found.
//!
//! Rows are looked at in memory, SQL runs over the result as a table, a command is given its path. All
//! checks are evaluated, so that one run tells everything that is wrong.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::step::{CheckResult, Input, Part};
use super::{
    CommandExecutor, Content, Control, Failure, Functions, Produced, SqlExecutor, Step, caught,
};
use crate::base::time::parse_date;
use crate::base::{Digest, PartitionKey};
use crate::defs::{Body, Check, CommandBody, Comparison, Severity, SqlBody, TableFormat, Test};
use crate::io::names::nearest;
use crate::io::{Table, Value, format_of, manager};

/// Forms of times in cells.
const TIME_FORMS: [&str; 4] =
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d"];

/// Who can evaluate a check that is not about rows alone.
pub(super) struct Judges<'a> {
    pub sql: &'a mut SqlExecutor,
    pub command: &'a mut CommandExecutor,
    pub functions: &'a dyn Functions,
}

/// The first check because of which the result is not taken.
pub(super) fn blocking(results: &[CheckResult]) -> Option<Failure> {
    let stops = |it: &&CheckResult| it.found.is_some() && it.severity == Severity::Blocking;
    let mut failed = results.iter().filter(stops);
    let first = failed.next()?;
    let mut found = first.found.clone().unwrap_or_default();
    match failed.count() {
        0 => {}
        1 => found += "; one more failed",
        more => found += &format!("; {more} more failed"),
    }
    Some(Failure::Check { check: first.name.clone(), found })
}

/// Evaluates all checks of a step on what it made. A check that cannot be evaluated fails the step.
pub(super) fn evaluate(
    step: &Step,
    produced: &Produced,
    control: &Control,
    judges: &mut Judges<'_>,
) -> Result<Vec<CheckResult>, Failure> {
    let needs_rows = step.def.checks.iter().any(|check| check.test.needs_rows());
    let table = if needs_rows { Some(read(step, produced)?) } else { None };
    let mut results = Vec::with_capacity(step.def.checks.len());
    for check in &step.def.checks {
        let found = match (&check.test, &table) {
            (Test::Sql { body, file }, _) => {
                let step = step_of_sql(step, produced, body, file.as_deref())?;
                judges.sql.rows_of(body, &step, control).map(rows_found)?
            }
            (Test::Command(body), _) => {
                judge_by_command(step, produced, body, check, control, judges)?
            }
            (Test::Function(name), Some(table)) => {
                caught(|| judges.functions.check(step, name, table))??
            }
            (test, Some(table)) => rows(step, test, table),
            (_, None) => unreachable!("what looks at rows has been given them"),
        };
        let (name, severity) = (check.name.clone(), check.severity);
        results.push(CheckResult { name, severity, found });
    }
    Ok(results)
}

fn read(step: &Step, produced: &Produced) -> Result<Table, Failure> {
    let declared = BTreeMap::new();
    let read = match produced {
        Produced::Table { encoded, format, .. } => {
            manager(*format).read(&encoded.bytes, Some(&encoded.schema), &declared)
        }
        Produced::Bytes { bytes, extension } => {
            let format = format_of(&named(extension)).ok_or_else(|| no_table(step))?;
            manager(format).read(bytes, None, &declared)
        }
        Produced::File(path) => {
            let format = format_of(path).ok_or_else(|| no_table(step))?;
            manager(format).read(&bytes_of(path)?, None, &declared)
        }
        Produced::Directory(_) => return Err(no_table(step)),
    };
    read.map_err(Failure::Table)
}

/// A path that ends in an extension.
fn named(extension: &str) -> PathBuf {
    PathBuf::from(format!("result.{extension}"))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::Io {
        verb: "read",
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn no_table(step: &Step) -> Failure {
    let name = step.shown();
    Failure::Unsupported(format!("`{name}` has checks, which need a table (`.csv`, `.jsonl`)"))
}

/// The step of a check: its one input is the result, under the name `result`.
fn step_of_check(step: &Step, produced: &Produced) -> Step {
    let (content, format, schema) = match produced {
        Produced::Table { encoded, format, .. } => {
            let content = Content::Inline(encoded.bytes.as_slice().into());
            (content, Some(*format), Some(encoded.schema.clone()))
        }
        Produced::Bytes { bytes, extension } => {
            (Content::Inline(bytes.as_slice().into()), format_of(&named(extension)), None)
        }
        Produced::File(path) => (Content::File(path.clone()), format_of(path), None),
        Produced::Directory(path) => (Content::File(path.clone()), None, None),
    };
    let extension = format.map(TableFormat::extension).unwrap_or_default().to_owned();
    let content_digest = match &content {
        Content::Inline(bytes) => Digest::of_blob(bytes),
        Content::File(path) => {
            fs::read(path).map_or(Digest::of_blob(b""), |it| Digest::of_blob(&it))
        }
        Content::Blob(_) | Content::Tree { .. } => unreachable!("made above, of other kinds"),
    };
    let part = Part {
        key: PartitionKey::unpartitioned(),
        version: content_digest,
        content_digest,
        content,
        extension,
        format,
        schema,
        columns: Arc::default(),
    };
    let input = Input {
        name: "result".into(),
        variable: "result".to_owned(),
        single: true,
        parts: vec![part],
        items: Vec::new(),
    };
    Step { inputs: vec![input], ..step.clone() }
}

fn step_of_sql(
    step: &Step,
    produced: &Produced,
    body: &SqlBody,
    file: Option<&Path>,
) -> Result<Step, Failure> {
    let mut step = step_of_check(step, produced);
    if step.inputs[0].parts[0].format.is_none() {
        return Err(no_table(&step));
    }
    let mut def = (*step.def).clone();
    def.body = Body::Sql(body.clone());
    if let Some(file) = file {
        def.origin.file = file.to_owned();
    }
    step.def = Arc::new(def);
    Ok(step)
}

/// SQL must return no row; of those that it returns the first is shown.
fn rows_found(table: Table) -> Option<String> {
    let first = table.rows.first()?;
    let cells = table
        .columns
        .iter()
        .zip(first)
        .map(|(column, value)| format!("{} = {}", column.name, shown(value)));
    let cells = cells.collect::<Vec<_>>().join(", ");
    Some(match table.rows.len() {
        1 => format!("1 row: {cells}"),
        count => format!("{count} rows, first: {cells}"),
    })
}

fn judge_by_command(
    step: &Step,
    produced: &Produced,
    body: &CommandBody,
    check: &Check,
    control: &Control,
    judges: &mut Judges<'_>,
) -> Result<Option<String>, Failure> {
    let step = step_of_check(step, produced);
    match judges.command.judge(body, &check.name, &step, control) {
        Ok(()) => Ok(None),
        Err(failure @ (Failure::Exit { .. } | Failure::Signal { .. })) => {
            Ok(Some(failure.to_string()))
        }
        Err(failure) => Err(failure),
    }
}

/// What was found instead, if the test fails.
pub(super) fn rows(step: &Step, test: &Test, table: &Table) -> Option<String> {
    let on = |column: &str, judge: &dyn Fn(usize) -> Option<String>| match place(table, column) {
        Err(reason) => Some(reason),
        Ok(place) => judge(place),
    };
    match test {
        Test::Rows { comparison, count } => {
            let rows = table.rows.len() as u64;
            (!holds(*comparison, rows, *count)).then(|| format!("got {rows}"))
        }
        Test::NotNull { column } => on(column, &|place| {
            let row = table.rows.iter().position(|row| row[place] == Value::Null)?;
            Some(format!("row {} is NULL", row + 1))
        }),
        Test::Unique { columns } => first_twice(table, columns),
        Test::Accepted { column, values } => on(column, &|place| {
            first_row(table, place, |value| {
                *value == Value::Null || values.iter().any(|known| *known == plain(value))
            })
        }),
        Test::Between { column, low, high } => on(column, &|place| {
            first_row(table, place, |value| *value == Value::Null || is_between(value, low, high))
        }),
        Test::Fresh { column, age } => on(column, &|place| too_old(step, table, place, *age)),
        Test::Sql { .. } | Test::Command(_) | Test::Function(_) => {
            unreachable!("these are not about rows alone")
        }
    }
}

fn place(table: &Table, column: &str) -> Result<usize, String> {
    table.column(column).ok_or_else(|| {
        let near = nearest(column, table.columns.iter().map(|column| column.name.as_str()));
        let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("there is no column `{column}`{help}")
    })
}

/// The first row whose value is not good.
fn first_row(table: &Table, place: usize, is_good: impl Fn(&Value) -> bool) -> Option<String> {
    let row = table.rows.iter().position(|row| !is_good(&row[place]))?;
    Some(format!("row {} is {}", row + 1, shown(&table.rows[row][place])))
}

/// NULLs differ from each other, as in SQL.
fn first_twice(table: &Table, columns: &[String]) -> Option<String> {
    let mut places = Vec::with_capacity(columns.len());
    for column in columns {
        match place(table, column) {
            Ok(place) => places.push(place),
            Err(reason) => return Some(reason),
        }
    }
    let mut seen = HashSet::new();
    for row in &table.rows {
        let values: Vec<&Value> = places.iter().map(|place| &row[*place]).collect();
        if values.contains(&&Value::Null) {
            continue;
        }
        let text = values.into_iter().map(shown).collect::<Vec<_>>().join(", ");
        if !seen.insert(text.clone()) {
            return Some(format!("{text} is there twice"));
        }
    }
    None
}

/// A value as text, numbers as they are written.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => real.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(blob) => format!("{blob:02x?}"),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text) => format!("`{text}`"),
        Value::Integer(_) | Value::Real(_) | Value::Blob(_) => plain(value),
    }
}

fn is_between(value: &Value, low: &str, high: &str) -> bool {
    let text = plain(value);
    let number = |text: &str| text.parse::<f64>().ok();
    match (number(&text), number(low), number(high)) {
        (Some(value), Some(low), Some(high)) => low <= value && value <= high,
        (_, _, _) => low <= text.as_str() && text.as_str() <= high,
    }
}

/// The end of the partition's window, else the moment of the run.
fn reference(step: &Step) -> DateTime<Utc> {
    let end = step.window_rfc3339.as_ref();
    let end = end.and_then(|(_, end)| DateTime::parse_from_rfc3339(end).ok());
    end.map_or(step.now, |end| end.to_utc())
}

fn too_old(step: &Step, table: &Table, place: usize, age: std::time::Duration) -> Option<String> {
    let time = |row: &Vec<Value>| time_of(&plain(&row[place]));
    let newest = table.rows.iter().filter_map(time).max();
    let Some(newest) = newest else { return Some("no row has a time".to_owned()) };
    let oldest =
        TimeDelta::from_std(age).ok().and_then(|age| reference(step).checked_sub_signed(age));
    let is_old = oldest.is_some_and(|oldest| newest < oldest.naive_utc());
    is_old.then(|| format!("the newest is {newest}"))
}

fn time_of(text: &str) -> Option<NaiveDateTime> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.naive_utc());
    }
    TIME_FORMS.iter().find_map(|form| parse_date(text, form))
}

fn holds(comparison: Comparison, found: u64, wanted: u64) -> bool {
    match comparison {
        Comparison::Equal => found == wanted,
        Comparison::NotEqual => found != wanted,
        Comparison::Less => found < wanted,
        Comparison::LessOrEqual => found <= wanted,
        Comparison::Greater => found > wanted,
        Comparison::GreaterOrEqual => found >= wanted,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::{Expect, expect};

    use super::*;
    use crate::defs::OutputDef;
    use crate::exec::testing::StepBuilder;
    use crate::exec::{Control, Executor, Lifeline, NoFunctions, Worker};

    #[track_caller]
    fn check(declared: Test, expected: &Expect) {
        let mut table = Table::with_columns(["id", "note"]);
        table.rows.push(vec![Value::Integer(1), Value::Text("x".into())]);
        table.rows.push(vec![Value::Integer(1), Value::Null]);
        let step = StepBuilder::shell("true").build();
        let found = rows(&step, &declared, &table);
        expected.assert_eq(found.as_deref().unwrap_or("passed"));
    }

    #[test]
    fn what_a_command_made_is_checked_as_a_table() {
        let run = |name: &str| {
            let output = OutputDef::File { name: name.to_owned() };
            let check = Check::parse("rows > 1").unwrap();
            let step = StepBuilder::shell("printf 'n\\n1\\n' > \"$output\"")
                .output(output)
                .asset(|asset| asset.checks.push(check))
                .build();
            let mut worker = Worker::new(Lifeline::new(), Arc::new(NoFunctions));
            worker.run(&step, &Control::new()).result.unwrap_err().to_string()
        };
        expect!["check failed: `rows > 1` (got 1)"].assert_eq(&run("x.csv"));
        expect!["`mart/it` has checks, which need a table (`.csv`, `.jsonl`)"]
            .assert_eq(&run("x.txt"));
    }

    #[test]
    fn a_check_says_what_it_found() {
        let count = |comparison| Test::Rows { comparison, count: 2 };
        check(count(Comparison::Equal), &expect!["passed"]);
        check(count(Comparison::Less), &expect!["got 2"]);
        check(Test::NotNull { column: "note".into() }, &expect!["row 2 is NULL"]);
        check(Test::NotNull { column: "id".into() }, &expect!["passed"]);
        check(Test::Unique { columns: vec!["id".into()] }, &expect!["1 is there twice"]);
        check(Test::Unique { columns: vec!["note".into()] }, &expect!["passed"]);
        check(
            Test::Unique { columns: vec!["nite".into()] },
            &expect!["there is no column `nite`; did you mean `note`?"],
        );
    }
}
