//! Reads one check: a text such as `rows = 1`, or a table with SQL, a command, a severity.

use std::collections::BTreeSet;

use super::asset::{Context, run_line};
use super::form::{Form, Key, key};
use super::node::{Kind, Sink, Table, Value};
use super::sql_file::{Named, named};
use crate::defs::{Check, Severity, SqlBody, Test};

const SEVERITIES: &[&str] = &["warn", "error", "blocking"];
static CHECK_KEYS: &[Key] = &[
    key("check", "What must hold: `rows > 0`, `accepted(kind, a, b)`.", &Form::Text),
    key(
        "sql",
        "SQL over the table `result` that must return no row, or a file of it.",
        &Form::Text,
    ),
    key("run", "A command that finds the result at `$result` and ends with 0.", &Form::Text),
    key("name", "What it is called; its text if not given.", &Form::Text),
    key("severity", "What happens where it fails; `blocking` if not given.", &SEVERITY),
];
static SEVERITY: Form = Form::Word(SEVERITIES);
static CHECK: Form = Form::Either(&[&Form::Text, &Form::Table(&[CHECK_KEYS])]);
/// The value of `checks`.
pub(super) static CHECKS: Form = Form::List(&CHECK);

pub(super) fn read(value: Value<'_>, context: &Context<'_>, sink: &mut Sink) -> Option<Check> {
    match &value.node.kind {
        Kind::Table(_) => table(value.as_table()?, context, sink),
        Kind::Text(text) => parsed(text, value, sink),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Date(_) | Kind::List(_) => {
            let help = "for example `rows > 0`, or `{sql: checks/none.sql, severity: warn}`";
            sink.push(value.place().error("a check is a text or a table").help(help));
            None
        }
    }
}

fn parsed(text: &str, value: Value<'_>, sink: &mut Sink) -> Option<Check> {
    match Check::parse(text) {
        Ok(check) => Some(check),
        Err(error) => {
            sink.push(value.place().error(error.to_string()).label("unknown check"));
            None
        }
    }
}

fn table(table: Table<'_>, context: &Context<'_>, sink: &mut Sink) -> Option<Check> {
    let known = table.allow(&[CHECK_KEYS], "a check", sink);
    let severity = match table.get("severity") {
        Some(value) => severity(value.word("severity", SEVERITIES, sink)?),
        None => Severity::Blocking,
    };
    let kinds: Vec<&str> =
        ["check", "sql", "run"].into_iter().filter(|kind| table.get(kind).is_some()).collect();
    let check = match kinds.as_slice() {
        [first, second, ..] => {
            let message = format!("a check has either `{first}` or `{second}`");
            sink.push(table.get(second)?.place().error(message).label("one too many"));
            return None;
        }
        ["check"] => {
            let value = table.get("check")?;
            parsed(value.text("check", sink)?, value, sink)?
        }
        ["sql"] => sql(table.get("sql")?, context, sink)?,
        [_run] => {
            let value = table.get("run")?;
            let name = value.text("run", sink)?.to_owned();
            let variables = BTreeSet::from(["result".to_owned()]);
            let test = Test::Command(run_line(value, &variables, context, sink));
            Check { name, test, severity }
        }
        [] if !known => return None,
        [] => {
            let help = "`check`, `sql` or `run` says it";
            sink.push(table.place().error("a check does not say what it tests").help(help));
            return None;
        }
    };
    let name = match table.get("name") {
        Some(value) => value.text("name", sink)?.to_owned(),
        None => check.name,
    };
    Some(Check { name, severity, ..check })
}

fn severity(word: &str) -> Severity {
    let found = Severity::ALL.into_iter().find(|severity| severity.as_str() == word);
    found.unwrap_or(Severity::Blocking)
}

fn sql(value: Value<'_>, context: &Context<'_>, sink: &mut Sink) -> Option<Check> {
    let text = value.text("sql", sink)?;
    let severity = Severity::Blocking;
    let (name, body, file) = match named(value, context, sink) {
        Named::Inline => {
            let first_line = value.place().line();
            (text.trim().to_owned(), SqlBody { text: text.to_owned(), first_line }, None)
        }
        Named::Read(file) => {
            let body = SqlBody { text: file.text.to_string(), first_line: 1 };
            (text.to_owned(), body, Some(file.path.clone()))
        }
        Named::Faulty => return None,
    };
    Some(Check { name, test: Test::Sql { body, file }, severity })
}
