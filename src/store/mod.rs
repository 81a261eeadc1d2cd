//! What happened: results, versions, traces, runs and attempts, in one SQLite database.
//!
//! The store says what is recorded and never what it means: whether a partition is fresh is decided
//! by `plan`. A state transition is one transaction ([`Store::begin`]); a transaction that changes
//! records gets the next revision. Bytes are elsewhere, except for small ones (`blob_small`), which
//! are committed with the record that names them.
//!
//! Several processes may have the store open. Writers take turns (`BEGIN IMMEDIATE`), readers see the
//! last commit; [`Store::read`] gives one reader one state for several questions.

mod asked;
mod backfill;
mod claim;
mod collect;
mod error;
mod facts;
mod health;
mod history;
mod insert;
mod instigator;
mod open;
mod ops;
mod owner;
mod project;
mod read;
mod runs;
mod schema;
pub mod snapshot;
mod stats;
mod wish;
mod write;
mod writeback;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};

use crate::base::fault::{self, Write};
use crate::base::{AssetKey, Digest, Durability, Output, PartitionIdx, PartitionKey};

pub use backfill::{Backfill, BackfillRun, BackfillState, BackfillTargets, NewBackfill, Told};
pub use collect::{Limit, Unneeded};
pub use error::Error;
pub use health::{BlobState, Problem};
pub use history::{Fate, Fates, RunQuery};
pub use instigator::{
    InstigatorRow, NewTick, Queued, Recorded, RequestState, SensorFile, Switch, TickRow,
};
pub use open::OpenOptions;
pub use ops::{MEMO, OpContent, OpEnd, OpOutput, OpState, OpStep};
pub use owner::{Owner, Recovered, place_dir, recover, staging_dir};
pub use runs::{
    Attempt, AttemptEnd, Counts, LaunchInfo, NewAttempt, NewRun, Outcome, Run, RunState,
};
pub use schema::FORMAT;
pub use wish::Wish;
pub use write::{Traced, Tx};

/// How long a writer waits for another one.
const BUSY_MS: u32 = 10_000;

/// One connection to the database of a project.
///
/// ```
/// use giornata::base::{AssetKey, Durability};
/// use giornata::store::Store;
/// let dir = tempfile::tempdir().unwrap();
/// let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
/// let mut tx = store.begin().unwrap();
/// tx.put_blob_small(&giornata::base::Digest::of_blob(b"1"), b"1").unwrap();
/// let rev = tx.commit().unwrap();
/// assert_eq!(store.rev().unwrap(), rev);
/// ```
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: PathBuf,
    durability: Durability,
    statements: Cell<u64>,
    /// Rows of assets are never removed, so what is here stays true, once it is committed.
    ids: RefCell<HashMap<AssetKey, i64>>,
    writeback: writeback::Writeback,
    /// The machine was started anew since the last sync that the database knows of.
    rebooted: bool,
}

/// What a key has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub asset: AssetKey,
    pub part: PartitionIdx,
    pub output: Output,
    pub version: Digest,
    /// When the attempt that made it began.
    pub made_ms: i64,
}

/// What a key has led to, to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct NewTrace<'a> {
    pub asset: &'a AssetKey,
    pub part: PartitionIdx,
    pub partition: &'a PartitionKey,
    pub output: &'a Output,
    pub version: &'a Digest,
    pub made_ms: i64,
}

impl Store {
    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many statements were executed so far, those that begin and end transactions included.
    pub fn statements(&self) -> u64 {
        self.statements.get()
    }

    /// Changes whenever another connection commits; says nothing about this one's commits.
    pub fn data_version(&self) -> Result<i64, Error> {
        self.ask(|sql| sql.one("PRAGMA data_version", [], |row| row.get(0)))
    }

    /// Asks several questions of one state of the store.
    pub fn read<T, E: From<Error>>(
        &self,
        questions: impl FnOnce(&Store) -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.begin_read()? {
            return questions(self);
        }
        let answer = questions(self);
        let ended = self.end_read();
        let answer = answer?;
        ended?;
        Ok(answer)
    }

    /// Answers everything from one state until [`Store::end_read`]; false if that is so already.
    pub fn begin_read(&self) -> Result<bool, Error> {
        if !self.conn.is_autocommit() {
            return Ok(false);
        }
        self.ask(|sql| sql.exec("BEGIN", []))?;
        Ok(true)
    }

    /// To be called once for each [`Store::begin_read`] that gave true.
    pub fn end_read(&self) -> Result<(), Error> {
        self.ask(|sql| sql.exec("COMMIT", [])).map(drop)
    }

    /// Runs some SQL and says of an error what it means.
    fn ask<T>(&self, f: impl FnOnce(&Store) -> rusqlite::Result<T>) -> Result<T, Error> {
        f(self).map_err(|error| Error::sql(&self.path, error))
    }

    fn count_statement(&self, sql: &str) -> rusqlite::Result<()> {
        self.statements.set(self.statements.get() + 1);
        fault::check(Write::Sql(sql)).map_err(error::of_disk)
    }

    /// The prepared statement, counted.
    fn stmt(&self, sql: &'static str) -> rusqlite::Result<CachedStatement<'_>> {
        self.count_statement(sql)?;
        self.conn.prepare_cached(sql)
    }

    /// Executes a statement; says how many rows it changed.
    fn exec(&self, sql: &'static str, params: impl Params) -> rusqlite::Result<usize> {
        self.stmt(sql)?.execute(params)
    }

    fn one<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        decode: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.stmt(sql)?.query_row(params, decode)
    }

    fn maybe<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        decode: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.one(sql, params, decode).optional()
    }

    fn all<T>(
        &self,
        sql: &'static str,
        params: impl Params,
        decode: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.stmt(sql)?.query_map(params, decode)?.collect()
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
