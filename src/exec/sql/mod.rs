//! Runs the statements of an SQL asset in an SQLite database in memory, one for each worker.
//!
//! The upstream names are views of exactly the rows that the step was given, `$partition`, `$start`,
//! `$end` and the configuration are parameters, and the rows of the last statement are the result.
//! Tables that a body makes are gone with the step.

mod absent;
mod condition;
mod guard;
mod loads;
mod text;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::types::{Value as SqlValue, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode};

pub use self::condition::judge_condition;
use self::guard::Guard;
use self::loads::Loads;
use self::text::{Complaint, Script};
use super::{Control, Emitted, Executor, Failure, Outcome, Produced, Step};
use crate::defs::{Body, OutputDef, SqlBody, TableFormat};
use crate::io::names::nearest;
use crate::io::{Table, Value, manager};

/// Runs statements in an SQLite database in memory.
pub struct SqlExecutor {
    // Made with the first step: most workers of most projects never need one.
    database: Option<Database>,
}

struct Database {
    connection: Connection,
    guard: Guard,
    loads: RefCell<Loads>,
    limit: Arc<Mutex<Option<Limit>>>,
    scripts: HashMap<String, Arc<Script>>,
}

/// What ends the statement that runs.
struct Limit {
    control: Control,
    deadline: Option<Instant>,
}

// How many instructions of SQLite's machine pass between two looks at the limit: well below 1 ms.
const LOOK_EVERY: i32 = 10_000;
const STATEMENTS_MAX: usize = 256;

impl SqlExecutor {
    pub fn new() -> SqlExecutor {
        SqlExecutor { database: None }
    }

    /// The rows of the last statement of `body`.
    pub(super) fn rows_of(
        &mut self,
        body: &SqlBody,
        step: &Step,
        control: &Control,
    ) -> Result<Table, Failure> {
        if control.is_stopping() {
            return Err(Failure::Cancelled);
        }
        let database = match &mut self.database {
            Some(database) => database,
            none => {
                let opened = Database::open();
                none.insert(opened.map_err(|error| Failure::Unsupported(error.to_string()))?)
            }
        };
        database.run(body, step, control)
    }

    /// Whether an expression over `$value` is true.
    pub(super) fn holds(
        &mut self,
        expression: &str,
        value: &serde_json::Value,
        step: &Step,
        control: &Control,
    ) -> Result<bool, Failure> {
        let body = SqlBody { text: condition::select(expression), first_line: 1 };
        let config = [("value".to_owned(), value.clone())].into();
        let step = Step { inputs: Vec::new(), config, ..step.clone() };
        let rows = self.rows_of(&body, &step, control)?.rows;
        Ok(match rows.first().and_then(|row| row.first()) {
            Some(Value::Integer(number)) => *number != 0,
            Some(Value::Real(number)) => *number != 0.0,
            Some(Value::Null | Value::Text(_) | Value::Blob(_)) | None => false,
        })
    }

    fn run_body(
        &mut self,
        body: &SqlBody,
        step: &Step,
        control: &Control,
    ) -> Result<Vec<Emitted>, Failure> {
        let table = self.rows_of(body, step, control)?;
        let format = match step.only_output().map(|output| &output.form) {
            Some(OutputDef::Table(format)) => *format,
            Some(
                OutputDef::File { .. } | OutputDef::Directory | OutputDef::Pieces | OutputDef::None,
            )
            | None => TableFormat::Csv,
        };
        let encoded = manager(format).write(&table).map_err(Failure::Table)?;
        let rows = table.rows.len() as u64;
        Ok(vec![Emitted::only(Produced::Table { encoded, format, rows })])
    }
}

impl Default for SqlExecutor {
    fn default() -> SqlExecutor {
        SqlExecutor::new()
    }
}

impl Executor for SqlExecutor {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        let start = now();
        let result = match &step.def.body {
            Body::Sql(body) => self.run_body(body, step, control),
            Body::Source(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {
                Err(Failure::Unsupported(format!("`{}` is not made by SQL", step.shown())))
            }
        };
        Outcome { result, duration: start.elapsed(), ..Outcome::not_run(step) }
    }
}

impl Database {
    fn open() -> rusqlite::Result<Database> {
        let connection = Connection::open_in_memory()?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // A misspelt "column" is an error, not a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        connection.execute_batch("PRAGMA temp_store = MEMORY")?;
        Loads::create_tables(&connection)?;
        let guard = Guard::default();
        let decider = guard.clone();
        connection.authorizer(Some(move |context: rusqlite::hooks::AuthContext<'_>| {
            decider.decide(&context)
        }))?;
        let limit = Arc::new(Mutex::new(None));
        let looked_at = Arc::clone(&limit);
        connection.progress_handler(LOOK_EVERY, Some(move || is_over(&looked_at)))?;
        let loads = RefCell::new(Loads::new(guard.clone()));
        Ok(Database { connection, guard, loads, limit, scripts: HashMap::new() })
    }

    fn run(&mut self, body: &SqlBody, step: &Step, control: &Control) -> Result<Table, Failure> {
        let deadline = step.def.timeout.map(|timeout| now() + timeout);
        let script = self.script(body, step)?;
        let loads = self.loads.get_mut();
        loads.bind(&self.connection, &step.inputs)?;
        if script.statements.len() > 1 {
            let whole = 0..body.text.len();
            let is_taken = |name: &str| script.find(&body.text, &whole, name).is_some();
            let room = loads.make_room(&self.connection, &step.inputs, is_taken);
            room.map_err(|error| Failure::Unsupported(error.to_string()))?;
        }
        let attached = self.attach(step);
        self.set_limit(Some(Limit { control: control.clone(), deadline }));
        let run = Run { database: self, body, step, script: &script };
        let result = attached.map_err(Stopped::Failed).and_then(|()| run.all());
        self.set_limit(None);
        self.detach(step);
        result.map_err(|failure| match failure {
            Stopped::Failed(failure) => failure,
            Stopped::Interrupted => match (control.is_cancelled(), step.def.timeout) {
                (false, Some(after)) => Failure::TimedOut { after },
                (true, _) | (false, None) => Failure::Cancelled,
            },
        })
    }

    /// Makes the databases among the step's resources readable under their names.
    fn attach(&self, step: &Step) -> Result<(), Failure> {
        for (name, path) in step.resources.databases() {
            let sql = "ATTACH DATABASE ?1 AS ?2";
            let attached = self.connection.execute(sql, (read_only_uri(path), name));
            attached.map_err(|error| {
                Failure::Unsupported(format!("resource `{name}` cannot be read: {error}"))
            })?;
        }
        Ok(())
    }

    fn detach(&self, step: &Step) {
        for (name, _) in step.resources.databases() {
            // It fails for what was not attached.
            let _ = self.connection.execute("DETACH DATABASE ?1", [name]);
        }
    }

    fn script(&mut self, body: &SqlBody, step: &Step) -> Result<Arc<Script>, Failure> {
        if let Some(script) = self.scripts.get(&body.text) {
            return Ok(Arc::clone(script));
        }
        let script = Script::parse(&body.text);
        let script = Arc::new(script.map_err(|complaint| place(step, body, complaint))?);
        if self.scripts.len() >= STATEMENTS_MAX {
            self.scripts.clear();
        }
        self.scripts.insert(body.text.clone(), Arc::clone(&script));
        Ok(script)
    }

    fn set_limit(&self, limit: Option<Limit>) {
        *self.limit.lock().unwrap_or_else(PoisonError::into_inner) = limit;
    }
}

/// A path as SQLite reads it where it may not write.
fn read_only_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    uri + "?mode=ro"
}

fn is_over(limit: &Mutex<Option<Limit>>) -> bool {
    let limit = limit.lock().unwrap_or_else(PoisonError::into_inner);
    limit.as_ref().is_some_and(|limit| {
        limit.control.is_cancelled() || limit.deadline.is_some_and(|deadline| now() >= deadline)
    })
}

#[expect(clippy::disallowed_methods, reason = "the deadline of a statement is measured here")]
fn now() -> Instant {
    Instant::now()
}

enum Stopped {
    Failed(Failure),
    Interrupted,
}

/// One body with one step's parameters.
struct Run<'a> {
    database: &'a Database,
    body: &'a SqlBody,
    step: &'a Step,
    script: &'a Script,
}

impl Run<'_> {
    fn all(&self) -> Result<Table, Stopped> {
        let guard = &self.database.guard;
        // A single SELECT leaves nothing behind that would have to be undone.
        let several = self.script.statements.len() > 1;
        if several {
            self.ours("SAVEPOINT giornata_step")?;
        }
        guard.enter(self.names(), self.databases());
        let result = self.statements();
        guard.leave();
        // SQLite itself undoes everything when it is interrupted in the middle of a change.
        if several && !self.database.connection.is_autocommit() {
            self.ours("ROLLBACK TO giornata_step")?;
            self.ours("RELEASE giornata_step")?;
        }
        result
    }

    /// The names of the inputs, in lower case.
    fn names(&self) -> HashSet<String> {
        let names = self.step.inputs.iter().flat_map(Loads::names);
        names.map(|name| name.to_lowercase()).collect()
    }

    /// The names of the databases that are attached, in lower case.
    fn databases(&self) -> impl Iterator<Item = String> {
        self.step.resources.databases().map(|(name, _)| name.to_lowercase())
    }

    fn ours(&self, sql: &str) -> Result<(), Stopped> {
        let done = self.database.connection.prepare_cached(sql).and_then(|mut s| s.raw_execute());
        done.map(drop).map_err(|error| self.explain(&(0..0), error))
    }

    fn statements(&self) -> Result<Table, Stopped> {
        let (last, before) = self.script.statements.split_last().expect("a script has a statement");
        for at in before {
            let mut statement = self.prepare(at)?;
            let mut rows = statement.raw_query();
            while rows.next().map_err(|error| self.explain(at, error))?.is_some() {}
        }
        self.result(last)
    }

    /// Runs the last statement, whose rows are the result.
    fn result(&self, at: &Range<usize>) -> Result<Table, Stopped> {
        let mut statement = self.prepare(at)?;
        if statement.column_count() == 0 || !statement.readonly() {
            return Err(self.complain(at.start, "the last statement must be a SELECT".to_owned()));
        }
        let mut table = Table::with_columns(statement.column_names());
        self.check_columns(at, &table)?;
        let columns = table.columns.len();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| self.explain(at, error))? {
            let cell = |place| row.get_ref(place).map(value);
            let cells = (0..columns).map(cell).collect::<rusqlite::Result<_>>();
            table.rows.push(cells.map_err(|error| self.explain(at, error))?);
        }
        Ok(table)
    }

    fn check_columns(&self, at: &Range<usize>, table: &Table) -> Result<(), Stopped> {
        let mut seen = HashSet::new();
        let mut names = table.columns.iter().map(|column| &column.name);
        match names.find(|name| !seen.insert(name.to_lowercase())) {
            None => Ok(()),
            Some(twice) => {
                let message =
                    format!("two columns of the result are named `{twice}`; rename one with AS");
                Err(self.complain(at.start, message))
            }
        }
    }

    fn prepare(&self, at: &Range<usize>) -> Result<CachedStatement<'_>, Stopped> {
        self.database.guard.next_statement(Script::defines(&self.body.text, at));
        let text = &self.body.text[at.clone()];
        let mut statement = loop {
            match self.database.connection.prepare_cached(text) {
                Ok(statement) => break statement,
                Err(error) if self.has_named(at, &error) => {}
                Err(error) => return Err(self.explain(at, error)),
            }
        };
        for place in 1..=statement.parameter_count() {
            let name = statement.parameter_name(place).unwrap_or("?").to_owned();
            let parameter = self.parameter(&name);
            let parameter = parameter.ok_or_else(|| self.unknown_parameter(at, &name))?;
            let bound = statement.raw_bind_parameter(place, parameter);
            bound.map_err(|error| self.explain(at, error))?;
        }
        Ok(statement)
    }

    fn parameter(&self, name: &str) -> Option<SqlValue> {
        let step = self.step;
        let window = step.window.as_ref();
        let text = |text: &str| SqlValue::Text(text.to_owned());
        match name.get(1..)? {
            "partition" => Some(text(step.partition.as_str())),
            "start" if window.is_some() => window.map(|(start, _)| text(start)),
            "end" if window.is_some() => window.map(|(_, end)| text(end)),
            name => step.config.get(name).map(config_value),
        }
    }

    fn unknown_parameter(&self, at: &Range<usize>, name: &str) -> Stopped {
        let mut known = vec!["partition"];
        if self.step.window.is_some() {
            known.extend(["start", "end"]);
        }
        known.extend(self.step.config.keys().map(String::as_str));
        let help = match nearest(name.get(1..).unwrap_or(""), known.iter().copied()) {
            Some(near) => format!("did you mean `${near}`?"),
            None => format!("there are `${}`", known.join("`, `$")),
        };
        let offset = self.script.find(&self.body.text, at, name).unwrap_or(at.start);
        self.complain(offset, format!("`{name}` is unknown; {help}"))
    }

    /// An error of SQLite's in the words and at the place of the user's text.
    fn explain(&self, at: &Range<usize>, error: rusqlite::Error) -> Stopped {
        let (code, message, offset) = match error {
            rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
                (Some(error.code), msg, usize::try_from(offset).ok())
            }
            rusqlite::Error::SqliteFailure(error, message) => {
                (Some(error.code), message.unwrap_or_else(|| error.to_string()), None)
            }
            other => (None, other.to_string(), None),
        };
        if code == Some(ErrorCode::OperationInterrupted) {
            return Stopped::Interrupted;
        }
        let offset = match offset {
            Some(offset) => at.start + offset,
            None => self.guess_place(at, &message),
        };
        let message = self.database.guard.take_reason().unwrap_or(message);
        let help = self.suggestion(&message).map(|near| format!("; did you mean `{near}`?"));
        self.complain(offset, message + &help.unwrap_or_default())
    }

    /// Where an error is that SQLite gives no place for.
    fn guess_place(&self, at: &Range<usize>, message: &str) -> usize {
        let table = message.strip_prefix("no such table: ");
        let found = table.and_then(|table| self.script.find(&self.body.text, at, table));
        match message {
            "incomplete input" => at.end,
            _ => found.unwrap_or(at.start),
        }
    }

    fn suggestion(&self, message: &str) -> Option<String> {
        let inputs = &self.step.inputs;
        let (name, candidates): (&str, Vec<String>) =
            if let Some(column) = message.strip_prefix("no such column: ") {
                let columns =
                    inputs.iter().flat_map(|input| self.database.loads.borrow().columns(input));
                (column.rsplit('.').next()?, columns.chain(["_partition".to_owned()]).collect())
            } else {
                let table = message.strip_prefix("no such table: ")?;
                (table, inputs.iter().flat_map(Loads::names).collect())
            };
        let name = name.trim_matches('"');
        let others = candidates.iter().map(String::as_str).filter(|candidate| *candidate != name);
        nearest(name, others).map(str::to_owned)
    }

    fn complain(&self, offset: usize, message: String) -> Stopped {
        Stopped::Failed(place(self.step, self.body, Complaint { offset, message }))
    }
}

/// The failure for a place in the text: line and column of the user's file.
fn place(step: &Step, body: &SqlBody, complaint: Complaint) -> Failure {
    let mut offset = complaint.offset.min(body.text.len());
    while !body.text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &body.text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Failure::Sql {
        file: step.def.origin.file.clone(),
        line: body.first_line + before.matches('\n').count() as u32,
        column: before[line_start..].chars().count() as u32 + 1,
        message: complaint.message,
    }
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

fn config_value(value: &serde_json::Value) -> SqlValue {
    match value {
        serde_json::Value::Null => SqlValue::Null,
        serde_json::Value::Bool(truth) => SqlValue::Integer((*truth).into()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => SqlValue::Integer(integer),
            (None, Some(real)) => SqlValue::Real(real),
            (None, None) => SqlValue::Text(number.to_string()),
        },
        serde_json::Value::String(text) => SqlValue::Text(text.clone()),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            SqlValue::Text(value.to_string())
        }
    }
}
