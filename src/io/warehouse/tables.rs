//! Puts values as rows into tables of a database.
//!
//! A row says in `_partition` which partition it belongs to. The table `_giornata` says which version of
//! each is there, and is written in the transaction of the rows: there is no moment in which the two
//! disagree. The columns have no declared types, because SQLite would change values to fit them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params_from_iter};

use super::{Warehouse, value};
use crate::base::{Digest, PartitionKey};
use crate::defs::io::{TableDef, TableMode};
use crate::io::{IoError, IoManager, Kept, Place, Table, Value, Versions};

/// Of each row: the partition that it belongs to.
const PARTITION: &str = "_partition";
/// Of each row where earlier versions stay: the version that it came with.
const VERSION: &str = "_version";

/// What is said about the values of all tables.
const MARKS: &str = "CREATE TABLE IF NOT EXISTS _giornata (
    asset TEXT NOT NULL, output TEXT NOT NULL, partition TEXT NOT NULL, version TEXT NOT NULL,
    relation TEXT NOT NULL, mode TEXT NOT NULL, columns TEXT NOT NULL, owner TEXT NOT NULL,
    PRIMARY KEY (asset, output, partition)) WITHOUT ROWID";

/// An IO manager of tables in a SQLite database.
///
/// ```
/// use std::sync::Arc;
/// use giornata::base::{Digest, PartitionKey};
/// use giornata::defs::io::{TableDef, TableMode};
/// use giornata::io::{IoManager, Kept, Place, Table, TablesIo, Warehouse};
/// # let dir = tempfile::tempdir()?;
/// let warehouse = Arc::new(Warehouse::open(&dir.path().join("it.db"))?);
/// let (on, table) = ("warehouse".to_owned(), "{asset}".to_owned());
/// let def = TableDef { on, table, mode: TableMode::ReplacePartition };
/// let tables = TablesIo::new(warehouse.clone(), def, "");
/// let mut rain = Table::with_columns(["mm"]);
/// rain.rows.push(vec![0.5.into()]);
/// let place = Place::of("rain/daily", PartitionKey::new("2014-07-04"));
/// tables.store(&place, &Kept::Table(rain), &Digest::of_blob(b"1"))?;
/// let rows = warehouse.query("SELECT mm, _partition FROM rain_daily", &[])?.rows;
/// assert_eq!(rows, [[0.5.into(), "2014-07-04".into()]]);
/// # Ok::<(), giornata::io::IoError>(())
/// ```
#[derive(Debug, Clone)]
pub struct TablesIo {
    warehouse: Arc<Warehouse>,
    def: TableDef,
    /// Tells what this project has stored from what others have.
    owner: String,
}

/// What is said about a value.
struct Mark {
    version: String,
    relation: String,
    mode: String,
    columns: Vec<String>,
}

impl TablesIo {
    /// `owner` is stored with each value, for [`IoManager::names`].
    pub fn new(warehouse: Arc<Warehouse>, def: TableDef, owner: &str) -> TablesIo {
        TablesIo { warehouse, def, owner: owner.to_owned() }
    }

    /// Does all of `work` or nothing of it, with the path in front of what goes wrong.
    fn within<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, IoError>,
    ) -> Result<T, IoError> {
        let path = self.warehouse.path().display().to_string();
        let told = |error: IoError| -> IoError { format!("in `{path}`: {error}").into() };
        let mut connection = self.warehouse.lock();
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| told(error.into()))?;
        let done = work(&tx).map_err(told)?;
        tx.commit().map_err(|error| told(error.into()))?;
        Ok(done)
    }

    /// As [`TablesIo::within`], where nothing is written. A database without marks gives the default.
    fn look<T: Default>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, IoError>,
    ) -> Result<T, IoError> {
        let path = self.warehouse.path().display().to_string();
        let connection = self.warehouse.lock();
        let look = || {
            if !is_table(&connection, "_giornata")? {
                return Ok(T::default());
            }
            work(&connection)
        };
        look().map_err(|error: IoError| format!("in `{path}`: {error}").into())
    }

    fn put(
        &self,
        tx: &Transaction<'_>,
        at: &Place,
        table: &Table,
        version: &str,
    ) -> Result<(), IoError> {
        tx.execute_batch(MARKS)?;
        let relation = self.def.table_of(&name_of(at));
        let before = mark(tx, at)?;
        let is_there = |before: &Mark| {
            before.version == version
                && before.relation == relation
                && before.mode == mode_text(&self.def)
        };
        if before.as_ref().is_some_and(is_there) && is_table(tx, &relation)? {
            return Ok(());
        }
        self.make_table(tx, at, &relation, table)?;
        let elsewhere = before.filter(|before| before.relation != relation);
        if let Some(elsewhere) = &elsewhere {
            remove_rows(tx, at, &elsewhere.relation)?;
        }
        let (insert, is_versioned) = match &self.def.mode {
            TableMode::ReplacePartition => {
                remove_rows(tx, at, &relation)?;
                (true, false)
            }
            TableMode::Merge { key } => {
                remove_rows(tx, at, &relation)?;
                remove_same_keys(tx, &relation, table, key)?;
                (true, false)
            }
            TableMode::Append => {
                // Rows of a time in which earlier versions did not stay.
                let sql = format!(
                    "DELETE FROM {} WHERE {PARTITION} = ?1 AND {VERSION} IS NULL",
                    quoted(&relation)
                );
                tx.execute(&sql, [at.partition.as_str()])?;
                let same = format!(
                    "SELECT EXISTS (SELECT 1 FROM {} WHERE {PARTITION} = ?1 AND {VERSION} = ?2)",
                    quoted(&relation)
                );
                let known = (at.partition.as_str(), version);
                let is_there: bool = tx.query_row(&same, known, |row| row.get(0))?;
                (!is_there, true)
            }
        };
        if insert {
            insert_rows(tx, at, &relation, table, is_versioned.then_some(version))?;
        }
        self.put_mark(tx, at, &relation, table, version)?;
        elsewhere.map_or(Ok(()), |elsewhere| drop_unused(tx, &elsewhere.relation))
    }

    fn put_mark(
        &self,
        tx: &Transaction<'_>,
        at: &Place,
        relation: &str,
        table: &Table,
        version: &str,
    ) -> Result<(), IoError> {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let columns = serde_json::to_string(&columns)?;
        let sql = "INSERT OR REPLACE INTO _giornata \
                   (asset, output, partition, version, relation, mode, columns, owner) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let (partition, mode) = (at.partition.as_str(), mode_text(&self.def));
        let mark = (&at.name, &at.output, partition, version, relation, mode, columns, &self.owner);
        tx.execute(sql, mark)?;
        Ok(())
    }

    /// Makes the table, or gives it the columns that it lacks.
    fn make_table(
        &self,
        tx: &Transaction<'_>,
        at: &Place,
        relation: &str,
        table: &Table,
    ) -> Result<(), IoError> {
        let appends = matches!(self.def.mode, TableMode::Append);
        let mut wanted: Vec<&str> =
            table.columns.iter().map(|column| column.name.as_str()).collect();
        let ours = if appends { &[PARTITION, VERSION][..] } else { &[PARTITION][..] };
        if let Some(taken) = wanted.iter().find(|name| ours.contains(&name.to_lowercase().as_str()))
        {
            return Err(format!(
                "a column cannot be named `{taken}`, which says where rows belong"
            )
            .into());
        }
        wanted.extend(ours);
        let others =
            "SELECT asset FROM _giornata WHERE relation = ?1 AND (asset <> ?2 OR output <> ?3)";
        let found: Option<String> =
            tx.query_row(others, (relation, &at.name, &at.output), |row| row.get(0)).optional()?;
        if let Some(other) = found {
            return Err(format!(
                "table `{relation}` holds `{other}`; put one of the two elsewhere"
            )
            .into());
        }
        let known = columns_of(tx, relation)?;
        if known.is_empty() {
            // Somebody has dropped it: what is said of its rows is not true any more.
            tx.execute("DELETE FROM _giornata WHERE relation = ?1", [relation])?;
            let columns: Vec<String> = wanted.iter().map(|name| quoted(name)).collect();
            tx.execute_batch(&format!(
                "CREATE TABLE {} ({})",
                quoted(relation),
                columns.join(", ")
            ))?;
            let index = |name: &str, columns: &[String]| {
                let name = quoted(&format!("_giornata_{relation}_{name}"));
                let table = quoted(relation);
                tx.execute_batch(&format!(
                    "CREATE INDEX {name} ON {table} ({})",
                    columns.join(", ")
                ))
            };
            index("partition", &[quoted(PARTITION)])?;
            if let TableMode::Merge { key } = &self.def.mode {
                let key: Vec<String> = key.iter().map(|name| quoted(name)).collect();
                index("key", &key)?;
            }
            return Ok(());
        }
        let knows = |name: &str| known.iter().any(|it| it.eq_ignore_ascii_case(name));
        if !knows(PARTITION) {
            return Err(format!(
                "table `{relation}` is there already, and nothing in it says which partition a row \
                 belongs to; choose another name for `table`"
            )
            .into());
        }
        for name in wanted.into_iter().filter(|name| !knows(name)) {
            let (table, name) = (quoted(relation), quoted(name));
            tx.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {name}"))?;
        }
        Ok(())
    }
}

impl IoManager for TablesIo {
    fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
        let table = match value {
            Kept::Table(table) => table,
            Kept::Bytes { .. } => {
                return Err(format!("`{at}` is no table; a database takes rows").into());
            }
        };
        table.check_whole()?;
        self.within(|tx| self.put(tx, at, table, &version.to_string()))
    }

    fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
        self.look(|connection| {
            let Some(mark) = mark(connection, at)? else { return Ok(None) };
            if !is_table(connection, &mark.relation)? {
                return Ok(None);
            }
            let mut table = Table::with_columns(mark.columns.iter().map(String::as_str));
            let columns: Vec<String> = mark.columns.iter().map(|name| quoted(name)).collect();
            let columns = if columns.is_empty() { "NULL".to_owned() } else { columns.join(", ") };
            let mut sql =
                format!("SELECT {columns} FROM {} WHERE {PARTITION} = ?1", quoted(&mark.relation));
            let mut values = vec![Value::from(at.partition.as_str())];
            if matches!(self.def.mode, TableMode::Append) {
                sql += &format!(" AND {VERSION} = ?2");
                values.push(mark.version.into());
            }
            let mut statement = connection.prepare_cached(&(sql + " ORDER BY rowid"))?;
            let mut rows = statement.query(params_from_iter(&values))?;
            while let Some(row) = rows.next()? {
                let cells = (0..table.columns.len()).map(|place| row.get_ref(place).map(value));
                table.rows.push(cells.collect::<rusqlite::Result<_>>()?);
            }
            Ok(Some(Kept::Table(table)))
        })
    }

    fn remove(&self, at: &Place) -> Result<(), IoError> {
        if self.look(|connection| mark(connection, at))?.is_none() {
            return Ok(());
        }
        self.within(|tx| {
            let Some(mark) = mark(tx, at)? else { return Ok(()) };
            remove_rows(tx, at, &mark.relation)?;
            let of = (&at.name, &at.output, at.partition.as_str());
            let sql = "DELETE FROM _giornata WHERE asset = ?1 AND output = ?2 AND partition = ?3";
            tx.execute(sql, of)?;
            drop_unused(tx, &mark.relation)
        })
    }

    fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
        self.look(|connection| {
            let tables: BTreeSet<String> = connection
                .prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table'")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let sql = "SELECT partition, version, relation, mode FROM _giornata \
                       WHERE asset = ?1 AND output = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([name, output])?;
            let mut versions = Versions::new();
            let wanted = self.def.table_of(&name_of(&Place {
                name: name.to_owned(),
                output: output.to_owned(),
                partition: PartitionKey::unpartitioned(),
            }));
            while let Some(row) = rows.next()? {
                let (version, relation): (String, String) = (row.get(1)?, row.get(2)?);
                let mode: String = row.get(3)?;
                // Somebody may have dropped the table, or it is to be made in another way.
                if let Ok(version) = version.parse()
                    && relation == wanted
                    && mode == mode_text(&self.def)
                    && tables.contains(&relation)
                {
                    versions.insert(PartitionKey::new(row.get::<_, String>(0)?), version);
                }
            }
            Ok(versions)
        })
    }

    fn names(&self) -> Result<Vec<String>, IoError> {
        self.look(|connection| {
            let sql = "SELECT DISTINCT asset FROM _giornata WHERE owner = ?1 AND output = '' \
                       ORDER BY asset";
            let mut statement = connection.prepare_cached(sql)?;
            let names = statement.query_map([&self.owner], |row| row.get(0))?;
            Ok(names.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// In whichever tables they are.
    fn remove_all(&self, name: &str) -> Result<(), IoError> {
        let partitions: Vec<String> = self.look(|connection| {
            let sql = "SELECT partition FROM _giornata WHERE asset = ?1 AND output = ''";
            let mut statement = connection.prepare_cached(sql)?;
            let partitions = statement.query_map([name], |row| row.get(0))?;
            Ok(partitions.collect::<rusqlite::Result<_>>()?)
        })?;
        let places = partitions.into_iter().map(|it| Place::of(name, PartitionKey::new(it)));
        places.into_iter().try_for_each(|at| self.remove(&at))
    }
}

/// The name of a place as far as a table is named after it.
fn name_of(at: &Place) -> String {
    match at.output.as_str() {
        "" => at.name.clone(),
        output => format!("{}_{output}", at.name),
    }
}

/// The mode as it is stored beside a value.
fn mode_text(def: &TableDef) -> String {
    match &def.mode {
        TableMode::ReplacePartition => "replace_partition".to_owned(),
        TableMode::Append => "append".to_owned(),
        TableMode::Merge { key } => format!("merge({})", key.join(", ")),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_table(connection: &Connection, name: &str) -> Result<bool, IoError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    Ok(connection.query_row(sql, [name], |row| row.get(0))?)
}

fn columns_of(connection: &Connection, table: &str) -> Result<Vec<String>, IoError> {
    let mut statement = connection.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

fn mark(connection: &Connection, at: &Place) -> Result<Option<Mark>, IoError> {
    let sql = "SELECT version, relation, mode, columns FROM _giornata \
               WHERE asset = ?1 AND output = ?2 AND partition = ?3";
    let of = (&at.name, &at.output, at.partition.as_str());
    let found: Option<(String, String, String, String)> = connection
        .prepare_cached(sql)?
        .query_row(of, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((version, relation, mode, columns)) = found else { return Ok(None) };
    Ok(Some(Mark { version, relation, mode, columns: serde_json::from_str(&columns)? }))
}

fn insert_rows(
    tx: &Transaction<'_>,
    at: &Place,
    relation: &str,
    table: &Table,
    version: Option<&str>,
) -> Result<(), IoError> {
    let mut columns: Vec<String> =
        table.columns.iter().map(|column| quoted(&column.name)).collect();
    columns.push(quoted(PARTITION));
    columns.extend(version.map(|_| quoted(VERSION)));
    let marks = vec!["?"; columns.len()].join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES ({marks})", quoted(relation), columns.join(", "));
    let mut statement = tx.prepare_cached(&sql)?;
    let own: Vec<Value> =
        std::iter::once(at.partition.as_str()).chain(version).map(Value::from).collect();
    for row in &table.rows {
        statement.execute(params_from_iter(row.iter().chain(&own)))?;
    }
    Ok(())
}

fn remove_rows(tx: &Transaction<'_>, at: &Place, relation: &str) -> Result<(), IoError> {
    if is_table(tx, relation)? {
        let sql = format!("DELETE FROM {} WHERE {PARTITION} = ?1", quoted(relation));
        tx.prepare_cached(&sql)?.execute([at.partition.as_str()])?;
    }
    Ok(())
}

/// Removes rows of any partition whose key one of the new rows has.
fn remove_same_keys(
    tx: &Transaction<'_>,
    relation: &str,
    table: &Table,
    key: &[String],
) -> Result<(), IoError> {
    let place = |name: &String| {
        let place = table.columns.iter().position(|column| column.name == *name);
        place.ok_or_else(|| format!("there is no column `{name}`, by which rows are told apart"))
    };
    let places = key.iter().map(place).collect::<Result<Vec<usize>, String>>()?;
    let tests: Vec<String> = key.iter().map(|name| format!("{} IS ?", quoted(name))).collect();
    let sql = format!("DELETE FROM {} WHERE {}", quoted(relation), tests.join(" AND "));
    let mut statement = tx.prepare_cached(&sql)?;
    for row in &table.rows {
        statement.execute(params_from_iter(places.iter().map(|place| &row[*place])))?;
    }
    Ok(())
}

/// A table of which nothing is said any more goes with its last value.
fn drop_unused(tx: &Transaction<'_>, relation: &str) -> Result<(), IoError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM _giornata WHERE relation = ?1)";
    let is_used: bool = tx.query_row(sql, [relation], |row| row.get(0))?;
    if !is_used {
        tx.execute_batch(&format!("DROP TABLE IF EXISTS {}", quoted(relation)))?;
    }
    Ok(())
}
