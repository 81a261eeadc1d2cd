//! Checks that a table must pass before it is recorded.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use super::{Failure, Produced, Step};
use crate::defs::{Check, Comparison};
use crate::io::names::nearest;
use crate::io::{Table, Value, format_of, manager};

/// Evaluates `checks` in order; the first that fails is the failure.
pub(super) fn verify(checks: &[Check], table: &Table) -> Result<(), Failure> {
    checks.iter().try_for_each(|check| match verify_one(check, table) {
        None => Ok(()),
        Some(found) => Err(Failure::Check { check: text(check), found }),
    })
}

/// The same for a step that handed over bytes.
pub(super) fn verify_bytes(step: &Step, produced: Produced) -> Result<Produced, Failure> {
    let declared = BTreeMap::new();
    let read = match &produced {
        Produced::Table { encoded, format, .. } => {
            manager(*format).read(&encoded.bytes, Some(&encoded.schema), &declared)
        }
        Produced::File(path) => {
            let format = format_of(path).ok_or_else(|| no_table(step))?;
            let bytes = fs::read(path).map_err(|error| Failure::Io {
                verb: "read",
                path: path.clone(),
                reason: error.to_string(),
            })?;
            manager(format).read(&bytes, None, &declared)
        }
        Produced::Directory(_) => return Err(no_table(step)),
    };
    verify(&step.asset.checks, &read.map_err(Failure::Table)?)?;
    Ok(produced)
}

fn no_table(step: &Step) -> Failure {
    let key = &step.asset.key;
    Failure::Unsupported(format!("`{key}` has checks, which need a table (`.csv`, `.jsonl`)"))
}

/// What was found instead, if the check fails.
fn verify_one(check: &Check, table: &Table) -> Option<String> {
    match check {
        Check::Rows { comparison, count } => {
            let rows = table.rows.len() as u64;
            (!holds(*comparison, rows, *count)).then(|| format!("got {rows}"))
        }
        Check::NotNull { column } => match place(table, column) {
            Err(reason) => Some(reason),
            Ok(place) => {
                let mut rows = table.rows.iter();
                let row = rows.position(|row| row[place] == Value::Null)?;
                Some(format!("row {} is NULL", row + 1))
            }
        },
        Check::Unique { column } => match place(table, column) {
            Err(reason) => Some(reason),
            Ok(place) => first_twice(table, place).map(|value| format!("{value} is there twice")),
        },
    }
}

fn place(table: &Table, column: &str) -> Result<usize, String> {
    table.column(column).ok_or_else(|| {
        let near = nearest(column, table.columns.iter().map(|column| column.name.as_str()));
        let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("there is no column `{column}`{help}")
    })
}

/// NULLs differ from each other, as in SQL.
fn first_twice(table: &Table, place: usize) -> Option<String> {
    let mut seen = HashSet::new();
    let values = table.rows.iter().filter_map(|row| match &row[place] {
        Value::Null => None,
        Value::Integer(integer) => Some(integer.to_string()),
        Value::Real(real) => Some(format!("{real:?}")),
        Value::Text(text) => Some(format!("`{text}`")),
        Value::Blob(blob) => Some(format!("{blob:02x?}")),
    });
    values.into_iter().find(|value| !seen.insert(value.clone()))
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

/// A check as the user wrote it.
fn text(check: &Check) -> String {
    match check {
        Check::NotNull { column } => format!("not_null({column})"),
        Check::Unique { column } => format!("unique({column})"),
        Check::Rows { comparison, count } => {
            let sign = match comparison {
                Comparison::Equal => "=",
                Comparison::NotEqual => "!=",
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                Comparison::GreaterOrEqual => ">=",
            };
            format!("rows {sign} {count}")
        }
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
    fn check(declared: Check, expected: &Expect) {
        let mut table = Table::with_columns(["id", "note"]);
        table.rows.push(vec![Value::Integer(1), Value::Text("x".into())]);
        table.rows.push(vec![Value::Integer(1), Value::Null]);
        expected.assert_eq(&match verify(&[declared], &table) {
            Ok(()) => "passed".to_owned(),
            Err(failure) => failure.to_string(),
        });
    }

    #[test]
    fn what_a_command_made_is_checked_as_a_table() {
        let run = |name: &str| {
            let output = OutputDef::File { name: name.to_owned() };
            let check = Check::Rows { comparison: Comparison::Greater, count: 1 };
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
        let rows = |comparison| Check::Rows { comparison, count: 2 };
        check(rows(Comparison::Equal), &expect!["passed"]);
        check(rows(Comparison::Less), &expect!["check failed: `rows < 2` (got 2)"]);
        check(
            Check::NotNull { column: "note".into() },
            &expect!["check failed: `not_null(note)` (row 2 is NULL)"],
        );
        check(Check::NotNull { column: "id".into() }, &expect!["passed"]);
        check(
            Check::Unique { column: "id".into() },
            &expect!["check failed: `unique(id)` (1 is there twice)"],
        );
        check(Check::Unique { column: "note".into() }, &expect!["passed"]);
        check(
            Check::Unique { column: "nite".into() },
            &expect![
                "check failed: `unique(nite)` (there is no column `nite`; did you mean `note`?)"
            ],
        );
    }
}
