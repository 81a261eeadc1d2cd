//! A SQLite database of the user's: opened, asked and written to, one thread at a time.

mod tables;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

pub use self::tables::TablesIo;
use super::{Table, Value};

/// How long to wait for another process that writes to the database.
const BUSY: Duration = Duration::from_secs(30);

/// An open SQLite database in a file. Threads take turns; another process that writes is waited for, half a
/// minute at most.
///
/// ```
/// use giornata::io::Warehouse;
/// # let dir = tempfile::tempdir()?;
/// let warehouse = Warehouse::open(&dir.path().join("shop.db"))?;
/// warehouse.execute("CREATE TABLE orders (id INTEGER, amount REAL)")?;
/// warehouse.execute("INSERT INTO orders VALUES (1, 2.5), (2, 4.0)")?;
/// let large = warehouse.query("SELECT id FROM orders WHERE amount > ?1", &[3.0.into()])?;
/// assert_eq!(large.rows, [[2.into()]]);
/// assert!(warehouse.path().ends_with("shop.db"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Warehouse {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// Why a database could not be opened, asked or written to.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// The directory of the file could not be made.
    #[error("create the directory of the database `{}`", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file could not be opened, or is no database.
    #[error("open the database `{}`", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// A statement failed, or is none.
    #[error("SQL on `{}`", path.display())]
    Statement {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
}

impl Warehouse {
    /// Opens the database, and makes it and its directory if they are not there. Fails if the file is
    /// something else. See the example of [`Warehouse`].
    pub fn open(path: &Path) -> Result<Warehouse, WarehouseError> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .map_err(|source| WarehouseError::Directory { path: path.to_owned(), source })?;
        }
        let opened = Connection::open(path).and_then(|connection| {
            connection.busy_timeout(BUSY)?;
            // SQLite looks at a file only when it is asked for something.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            Ok(connection)
        });
        let connection =
            opened.map_err(|source| WarehouseError::Open { path: path.to_owned(), source })?;
        Ok(Warehouse { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// The file; see the example of [`Warehouse`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs statements that give no rows, one after the other; what stands before one that fails has been
    /// done. See the example of [`Warehouse`].
    pub fn execute(&self, sql: &str) -> Result<(), WarehouseError> {
        self.with(|connection| connection.execute_batch(sql))
    }

    /// The rows of one statement, all in memory; `?1` is the first of `parameters`. See the example of
    /// [`Warehouse`].
    pub fn query(&self, sql: &str, parameters: &[Value]) -> Result<Table, WarehouseError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut table = Table::with_columns(statement.column_names());
            let columns = table.columns.len();
            let mut rows = statement.query(params_from_iter(parameters))?;
            while let Some(row) = rows.next()? {
                let cells = (0..columns).map(|place| row.get_ref(place).map(value));
                table.rows.push(cells.collect::<rusqlite::Result<_>>()?);
            }
            Ok(table)
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, WarehouseError> {
        let done = work(&mut self.lock());
        done.map_err(|source| WarehouseError::Statement { path: self.path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic drops a transaction, which undoes it.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value as SQLite gives it.
fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_database_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/notes.txt");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(
            &path,
            "a file of text that is as long as the header of a database is, and more",
        )
        .unwrap();
        let error = Warehouse::open(&path).unwrap_err();
        assert!(matches!(error, WarehouseError::Open { .. }), "{error:?}");
        assert!(Warehouse::open(&dir.path().join("new/it.db")).unwrap().path().exists());
    }
}
