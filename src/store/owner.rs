//! Who carries out a run, and what is left to do when that process has died.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::params;

use super::read::run_number;
use super::{Error, Store};
use crate::base::RunId;
use crate::base::fault::{self, Write};
use crate::cas::lock::{self, LockFile};

/// An engine that lives: it holds the lock of `owners/<id>.lock` until it is dropped.
#[derive(Debug)]
pub struct Owner(LockFile);

/// What [`recover`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Runs that are `interrupted` now, in order.
    pub runs: Vec<RunId>,
    /// How many of their attempts had not ended.
    pub attempts: usize,
    /// Directories that the caller should remove, if they exist.
    pub staging: Vec<PathBuf>,
}

/// The owners of this process. One may have been called from a step of another, so none of them ever
/// waits for another one.
static OURS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<String>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Owner {
    fn drop(&mut self) {
        ours().remove(self.id());
    }
}

impl Owner {
    /// Becomes an owner in the project whose store is in `dir`.
    pub fn acquire(dir: &Path) -> Result<Owner, Error> {
        let owners = owners_dir(dir);
        let owner = fault::check(Write::File("write in", &owners))
            .and_then(|()| LockFile::create(&owners))
            .map_err(Error::io("write in", &owners))?;
        let owner = Owner(owner);
        ours().insert(owner.id().to_owned());
        Ok(owner)
    }

    /// What [`super::NewRun::owner`] says.
    pub fn id(&self) -> &str {
        self.0.id()
    }
}

/// Whether the owner with this id lives in another process: nobody can take its lock.
pub(super) fn is_alive_elsewhere(database: &Path, id: &str) -> Result<bool, Error> {
    if ours().contains(id) {
        return Ok(false);
    }
    let dir = database.parent().expect("the database is in a directory");
    let path = owners_dir(dir).join(format!("{id}.lock"));
    match LockFile::take_over(&path) {
        Ok(taken) => Ok(taken.is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("open", &path)(error)),
    }
}

/// Where a run prepares its results.
pub fn staging_dir(dir: &Path, run: RunId) -> PathBuf {
    dir.join("staging").join(run.to_string())
}

/// Where a run of a job of ops has everything that its steps hand to each other.
pub fn place_dir(dir: &Path, run: RunId) -> PathBuf {
    dir.join("runs").join(run.to_string())
}

/// Whether an owner lives. One that cannot be asked about is taken to.
pub(super) fn is_alive(database: &Path, owner: &str) -> bool {
    let dir = database.parent().expect("the database is in a directory");
    let path = owners_dir(dir).join(format!("{owner}.lock"));
    LockFile::is_held(&path).unwrap_or(true)
}

/// Closes runs whose owners have died. Writes nothing if there are none.
pub fn recover(store: &mut Store) -> Result<Recovered, Error> {
    let dir = store.path.parent().expect("the database is in a directory").to_owned();
    let owners = owners_dir(&dir);
    // Held until the end, so that two processes do not close the same run.
    let mut dead = Vec::new();
    let mut alive = Vec::new();
    for (id, path) in lock::list(&owners).map_err(Error::io("list", &owners))? {
        match LockFile::take_over(&path) {
            Ok(Some(lock)) => dead.push(lock),
            Ok(None) => alive.push(id),
            // It has just ended by itself; whether it has ended its runs is in the database.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("open", &path)(error)),
        }
    }
    let mut recovered = Recovered::default();
    if store.running()?.iter().all(|run| alive.contains(&run.owner)) {
        return Ok(recovered);
    }
    let tx = store.begin()?;
    for run in tx.running()? {
        // An owner that came after the list was made is alive.
        let path = owners.join(format!("{}.lock", run.owner));
        if alive.contains(&run.owner)
            || (path.exists() && !dead.iter().any(|lock| lock.id() == run.owner))
        {
            continue;
        }
        let died = "the process that ran it died";
        recovered.attempts += tx.ask(|sql| {
            sql.exec("UPDATE run SET state = 'interrupted' WHERE id = ?1", [run_number(run.id)])?;
            sql.exec("DELETE FROM claim WHERE owner = ?1", [&run.owner])?;
            sql.exec(
                "UPDATE attempt SET outcome = 'interrupted', detail = ?2
                 WHERE run = ?1 AND outcome = 'running'",
                params![run_number(run.id), died],
            )
        })?;
        recovered.attempts += tx.ask(|sql| {
            sql.exec(
                "UPDATE op_step SET state = 'interrupted', detail = ?2
                 WHERE run = ?1 AND state = 'running'",
                params![run_number(run.id), died],
            )
        })?;
        recovered.staging.push(staging_dir(&dir, run.id));
        recovered.runs.push(run.id);
    }
    tx.commit()?;
    Ok(recovered)
}

fn owners_dir(dir: &Path) -> PathBuf {
    dir.join("owners")
}
