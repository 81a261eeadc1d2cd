//! Inputs as tables: each content is loaded once, and a step is shown the contents it is given.
//!
//! Rows lie in base tables, one for each list of columns, under the number of their load. A view named
//! as the input joins a base table to the loads that the step may see, so that from partition to
//! partition only those few numbers change: no statement is compiled again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::guard::{Guard, OURS, UNION};
use crate::base::{Digest, PartitionKey};
use crate::defs::{ColumnType, TableFormat};
use crate::exec::{Content, Failure, Input, Part};
use crate::io::{Table, Value, manager};

// Loads beyond this are forgotten, the longest unused first. Counted in bytes of content.
const BYTES_MAX: u64 = 256 << 20;

/// The loads of one connection.
pub(super) struct Loads {
    guard: Guard,
    bases: HashMap<Arc<[String]>, Base>,
    interpretations: Vec<Interpretation>,
    loads: HashMap<LoadKey, Load>,
    by_use: BTreeMap<u64, LoadKey>,
    views: HashMap<String, View>,
    bytes: u64,
    bytes_max: u64,
    uses: u64,
    next_load: i64,
    next_view: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Base {
    id: usize,
    columns: Arc<[String]>,
}

/// How bytes are read as a table.
#[derive(PartialEq)]
struct Interpretation {
    format: TableFormat,
    schema: Option<String>,
    columns: Arc<BTreeMap<String, ColumnType>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LoadKey {
    content: Digest,
    interpretation: usize,
}

struct Load {
    id: i64,
    base: Base,
    bytes: u64,
    used: u64,
}

struct View {
    id: i64,
    bases: Vec<Base>,
    /// Columns that it has because a statement names them: of an input without any partition nobody knows
    /// which it would have.
    named: Vec<String>,
    /// What it shows now.
    bound: Vec<(i64, PartitionKey)>,
}

impl Loads {
    pub(super) fn new(guard: Guard) -> Loads {
        Loads {
            guard,
            bases: HashMap::new(),
            interpretations: Vec::new(),
            loads: HashMap::new(),
            by_use: BTreeMap::new(),
            views: HashMap::new(),
            bytes: 0,
            bytes_max: BYTES_MAX,
            uses: 0,
            next_load: 0,
            next_view: 0,
        }
    }

    pub(super) fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(&format!(
            "CREATE TEMP TABLE {OURS}bind (
                view INTEGER, place INTEGER, load INTEGER, partition TEXT,
                PRIMARY KEY (view, place)
            ) WITHOUT ROWID"
        ))
    }

    /// Makes each input a view of exactly its parts, and forgets what has not been used for long.
    pub(super) fn bind(
        &mut self,
        connection: &Connection,
        inputs: &[Input],
    ) -> Result<(), Failure> {
        let first_use = self.uses;
        for input in inputs {
            let mut bases: Vec<Base> = Vec::new();
            let mut rows = Vec::with_capacity(input.parts.len());
            for part in &input.parts {
                let (load, base) = self.load(connection, input, part)?;
                rows.push((load, part.key.clone()));
                if !bases.contains(&base) {
                    bases.push(base);
                }
            }
            self.show(connection, input, &bases, &rows).map_err(|error| broken(&error))?;
        }
        self.evict(connection, first_use).map_err(|error| broken(&error))
    }

    /// The names under which an input can be read: as a variable, and as it is.
    pub(super) fn names(input: &Input) -> Vec<String> {
        let mut names = vec![input.variable.clone()];
        if names[0] != *input.name {
            names.push(input.name.to_string());
        }
        names
    }

    /// The columns of an input.
    pub(super) fn columns(&self, input: &Input) -> Vec<String> {
        let view = self.views.get(&input.variable.to_lowercase());
        view.map(|view| union_columns(&view.bases)).unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn limit_bytes(&mut self, bytes_max: u64) {
        self.bytes_max = bytes_max;
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.loads.len()
    }

    fn load(
        &mut self,
        connection: &Connection,
        input: &Input,
        part: &Part,
    ) -> Result<(i64, Base), Failure> {
        let interpretation = self.interpretation(input, part)?;
        let key = LoadKey { content: part.content_digest, interpretation };
        self.uses += 1;
        if let Some(load) = self.loads.get_mut(&key) {
            self.by_use.remove(&load.used);
            load.used = self.uses;
            self.by_use.insert(self.uses, key);
            return Ok((load.id, load.base.clone()));
        }
        let bytes = read(input, part)?;
        let how = &self.interpretations[interpretation];
        let table = manager(how.format).read(&bytes, how.schema.as_deref(), &how.columns);
        let table = table.map_err(|error| failed(input, part, &error.to_string()))?;
        let base = self.base(connection, input, part, &table)?;
        self.next_load += 1;
        let id = self.next_load;
        insert(connection, &base, id, &table).map_err(|error| broken(&error))?;
        let bytes = bytes.len() as u64;
        self.bytes += bytes;
        self.loads.insert(key, Load { id, base: base.clone(), bytes, used: self.uses });
        self.by_use.insert(self.uses, key);
        Ok((id, base))
    }

    fn interpretation(&mut self, input: &Input, part: &Part) -> Result<usize, Failure> {
        let format = part
            .format
            .ok_or_else(|| failed(input, part, "it is no table; SQL reads `.csv` and `.jsonl`"))?;
        let known = self.interpretations.iter().position(|known| {
            known.format == format
                && known.schema == part.schema
                && (Arc::ptr_eq(&known.columns, &part.columns) || known.columns == part.columns)
        });
        Ok(known.unwrap_or_else(|| {
            let (schema, columns) = (part.schema.clone(), Arc::clone(&part.columns));
            self.interpretations.push(Interpretation { format, schema, columns });
            self.interpretations.len() - 1
        }))
    }

    /// The table for the columns of `table`; a column `_partition` of its own gives way to ours.
    fn base(
        &mut self,
        connection: &Connection,
        input: &Input,
        part: &Part,
        table: &Table,
    ) -> Result<Base, Failure> {
        let names: Arc<[String]> = table.columns.iter().map(|column| column.name.clone()).collect();
        if let Some(base) = self.bases.get(&names) {
            return Ok(base.clone());
        }
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.to_lowercase())) {
            let reason = format!("SQL cannot tell column `{twice}` from one in other case");
            return Err(failed(input, part, &reason));
        }
        let base = Base { id: self.bases.len(), columns: Arc::clone(&names) };
        let columns: String = (0..names.len()).map(|place| format!("c{place}, ")).collect();
        let sql = format!(
            "CREATE TABLE {OURS}base_{} (load INTEGER, place INTEGER, {columns}\
             PRIMARY KEY (load, place)) WITHOUT ROWID",
            base.id
        );
        connection.execute_batch(&sql).map_err(|error| broken(&error))?;
        self.bases.insert(names, base.clone());
        Ok(base)
    }

    /// Lets the views of an input show these loads.
    fn show(
        &mut self,
        connection: &Connection,
        input: &Input,
        bases: &[Base],
        rows: &[(i64, PartitionKey)],
    ) -> rusqlite::Result<()> {
        for name in Loads::names(input) {
            let known = self.views.get(&name.to_lowercase());
            let same = known.is_some_and(|view| view.bases == bases && view.named.is_empty());
            if !same {
                let id = known.map_or(self.next_view, |view| view.id);
                self.next_view = self.next_view.max(id + 1);
                define_view(connection, &name, id, bases, &[])?;
                self.guard.add_view(&name);
                let (bases, named) = (bases.to_vec(), Vec::new());
                let bound = self.views.remove(&name.to_lowercase()).map(|view| view.bound);
                let view = View { id, bases, named, bound: bound.unwrap_or_default() };
                self.views.insert(name.to_lowercase(), view);
            }
            let view = self.views.get_mut(&name.to_lowercase()).expect("it was just made");
            view.bind(connection, rows)?;
        }
        Ok(())
    }

    /// Whether an input has no partition, and so no columns but those that it was given.
    pub(super) fn is_empty(&self, input: &Input) -> bool {
        let view = self.views.get(&input.variable.to_lowercase());
        view.is_some_and(|view| view.bases.is_empty())
    }

    /// The columns that an input without any partition was given.
    pub(super) fn named(&self, input: &Input) -> Vec<String> {
        let view = self.views.get(&input.variable.to_lowercase());
        view.map(|view| view.named.clone()).unwrap_or_default()
    }

    /// Gives columns to an input without any partition, until it is bound again.
    pub(super) fn set_named(
        &mut self,
        connection: &Connection,
        input: &Input,
        named: &[String],
    ) -> rusqlite::Result<()> {
        for name in Loads::names(input) {
            if let Some(view) = self.views.get_mut(&name.to_lowercase()) {
                define_view(connection, &name, view.id, &view.bases, named)?;
                view.named = named.to_vec();
            }
        }
        Ok(())
    }

    /// Forgets the views of other steps' inputs whose names a body takes for tables of its own: it
    /// must not depend on what this worker ran before.
    pub(super) fn make_room(
        &mut self,
        connection: &Connection,
        inputs: &[Input],
        is_taken: impl Fn(&str) -> bool,
    ) -> rusqlite::Result<()> {
        let inputs: HashSet<String> =
            inputs.iter().flat_map(Loads::names).map(|name| name.to_lowercase()).collect();
        let names = self.views.keys().filter(|name| !inputs.contains(*name) && is_taken(name));
        for name in names.cloned().collect::<Vec<_>>() {
            connection.execute_batch(&format!("DROP VIEW temp.\"{name}\""))?;
            self.guard.remove_view(&name);
            if let Some(view) = self.views.remove(&name) {
                let delete = format!("DELETE FROM {OURS}bind WHERE view = ?");
                connection.prepare_cached(&delete)?.execute([view.id])?;
            }
        }
        Ok(())
    }

    /// Drops what was used longest ago, but nothing of the step that was just bound.
    fn evict(&mut self, connection: &Connection, first_use: u64) -> rusqlite::Result<()> {
        while self.bytes > self.bytes_max {
            let oldest = self.by_use.first_key_value().map(|(used, key)| (*used, *key));
            let Some((used, key)) = oldest.filter(|(used, _)| *used <= first_use) else {
                return Ok(());
            };
            self.by_use.remove(&used);
            let Some(load) = self.loads.remove(&key) else { continue };
            self.bytes -= load.bytes;
            let sql = format!("DELETE FROM {OURS}base_{} WHERE load = ?", load.base.id);
            connection.prepare_cached(&sql)?.execute([load.id])?;
        }
        Ok(())
    }
}

impl View {
    fn bind(
        &mut self,
        connection: &Connection,
        rows: &[(i64, PartitionKey)],
    ) -> rusqlite::Result<()> {
        if self.bound == rows {
            return Ok(());
        }
        let delete = format!("DELETE FROM {OURS}bind WHERE view = ?");
        connection.prepare_cached(&delete)?.execute([self.id])?;
        let insert = format!("INSERT INTO {OURS}bind VALUES (?, ?, ?, ?)");
        let mut insert = connection.prepare_cached(&insert)?;
        for ((load, key), place) in rows.iter().zip(0i64..) {
            insert.execute((self.id, place, load, key.as_str()))?;
        }
        self.bound = rows.to_vec();
        Ok(())
    }
}

fn is_partition(name: &str) -> bool {
    name.eq_ignore_ascii_case("_partition")
}

fn union_columns(bases: &[Base]) -> Vec<String> {
    let mut seen = HashSet::new();
    let all = bases.iter().flat_map(|base| base.columns.iter());
    let all = all.filter(|name| !is_partition(name) && seen.insert(name.to_lowercase()));
    all.cloned().collect()
}

/// Makes or replaces the view of an input. The rows come in the order of the parts, then of the file:
/// the join is told to go through the parts first, and each table is in the order of its rows.
fn define_view(
    connection: &Connection,
    name: &str,
    id: i64,
    bases: &[Base],
    named: &[String],
) -> rusqlite::Result<()> {
    let mut columns = union_columns(bases);
    columns.extend_from_slice(named);
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let names: String = columns.iter().map(|name| format!("{}, ", quote(name))).collect();
    let body = match bases {
        [] => format!("SELECT {}NULL WHERE 0", "NULL, ".repeat(columns.len())),
        [only] => select(id, only, &columns, ""),
        several => {
            let parts: Vec<String> = several
                .iter()
                .map(|base| select(id, base, &columns, "k.place, b.place, "))
                .collect();
            let list: String = (0..=columns.len()).map(|n| format!(", v{n}")).collect();
            let union = parts.join(" UNION ALL ");
            format!(
                "WITH {UNION} (p, q{list}) AS ({union}) SELECT {} FROM {UNION} ORDER BY p, q",
                list.trim_start_matches(", ")
            )
        }
    };
    let name = quote(name);
    // One that was prepared before goes on saying which columns it had then.
    connection.flush_prepared_statement_cache();
    connection.execute_batch(&format!(
        "DROP VIEW IF EXISTS temp.{name}; \
         CREATE TEMP VIEW {name} ({names}_partition) AS {body}"
    ))
}

fn select(id: i64, base: &Base, columns: &[String], first: &str) -> String {
    let cell =
        |name: &String| match base.columns.iter().position(|own| own.eq_ignore_ascii_case(name)) {
            Some(place) => format!("b.c{place}, "),
            None => "NULL, ".to_owned(),
        };
    let cells: String = columns.iter().map(cell).collect();
    format!(
        "SELECT {first}{cells}k.partition FROM {OURS}bind k CROSS JOIN {OURS}base_{} b \
         ON b.load = k.load WHERE k.view = {id}",
        base.id
    )
}

fn insert(connection: &Connection, base: &Base, id: i64, table: &Table) -> rusqlite::Result<()> {
    let marks = ", ?".repeat(table.columns.len());
    let sql = format!("INSERT INTO {OURS}base_{} VALUES (?, ?{marks})", base.id);
    let savepoint = connection.unchecked_transaction()?;
    let mut insert = connection.prepare_cached(&sql)?;
    for (row, place) in table.rows.iter().zip(0i64..) {
        let cells = row.iter().map(Cell::Value);
        insert.execute(params_from_iter(
            [Cell::Number(id), Cell::Number(place)].into_iter().chain(cells),
        ))?;
    }
    drop(insert);
    savepoint.commit()
}

enum Cell<'a> {
    Number(i64),
    Value(&'a Value),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Cell::Number(number) => ValueRef::Integer(*number),
            Cell::Value(Value::Null) => ValueRef::Null,
            Cell::Value(Value::Integer(integer)) => ValueRef::Integer(*integer),
            Cell::Value(Value::Real(real)) => ValueRef::Real(*real),
            Cell::Value(Value::Text(text)) => ValueRef::Text(text.as_bytes()),
            Cell::Value(Value::Blob(blob)) => ValueRef::Blob(blob),
        }))
    }
}

/// The bytes of a part; those of a user's file only if they are still what the step was planned for.
fn read(input: &Input, part: &Part) -> Result<Arc<[u8]>, Failure> {
    let file = |path: &Path| {
        fs::read(path).map_err(|error| failed(input, part, &format!("{}: {error}", path.display())))
    };
    match &part.content {
        Content::Inline(bytes) => Ok(Arc::clone(bytes)),
        Content::Blob(path) => Ok(file(path)?.into()),
        Content::File(path) => {
            let bytes = file(path)?;
            if Digest::of_blob(&bytes) != part.content_digest {
                return Err(Failure::InputChanged { path: path.clone() });
            }
            Ok(bytes.into())
        }
        Content::Tree { .. } => Err(failed(input, part, "it is a directory; read it in a command")),
    }
}

fn failed(input: &Input, part: &Part, reason: &str) -> Failure {
    let name = match part.key.is_unpartitioned() {
        true => input.name.to_string(),
        false => format!("{}@{}", input.name, part.key),
    };
    Failure::Input { name, reason: reason.to_owned() }
}

fn broken(error: &rusqlite::Error) -> Failure {
    Failure::Input { name: "SQLite".to_owned(), reason: error.to_string() }
}
