//! Who carries out a run, and what is left to do when that process has died.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::params;

use super::read::run_number;
use super::{Error, Run, Store, Tx};
use crate::base::fault::{self, Write};
use crate::base::{PartitionIdx, RunId};
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

    /// As `acquire`; other owners of this process wait for it as if it were another process.
    pub fn acquire_apart(dir: &Path) -> Result<Owner, Error> {
        let owners = owners_dir(dir);
        LockFile::create(&owners).map(Owner).map_err(Error::io("write in", &owners))
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
    let mut tx = store.begin()?;
    for run in tx.running()? {
        // An owner that came after the list was made is alive.
        let path = owners.join(format!("{}.lock", run.owner));
        if alive.contains(&run.owner)
            || (path.exists() && !dead.iter().any(|lock| lock.id() == run.owner))
        {
            continue;
        }
        recovered.attempts += tx.interrupt(&run)?;
        recovered.staging.push(staging_dir(&dir, run.id));
        recovered.runs.push(run.id);
    }
    tx.commit()?;
    Ok(recovered)
}

impl Tx<'_> {
    /// Closes a run whose owner has died; says how many of its attempts had not ended.
    fn interrupt(&mut self, run: &Run) -> Result<usize, Error> {
        let number = run_number(run.id);
        let attempts = self.end_attempts_of(&run.owner)?;
        let counts = self.complete_fates(run.id)?;
        let counts = serde_json::to_string(&counts).expect("a map of numbers can be written");
        let steps = self.ask(|sql| {
            sql.exec(
                "UPDATE run SET state = 'interrupted', counts = ?2
                 WHERE id = ?1 AND state = 'running'",
                params![number, counts],
            )?;
            sql.exec("DELETE FROM claim WHERE owner = ?1", [&run.owner])?;
            sql.exec(
                "UPDATE op_step SET state = 'interrupted', detail = ?2
                 WHERE run = ?1 AND state = 'running'",
                params![number, DIED],
            )
        })?;
        Ok(attempts + steps)
    }

    /// Ends the attempts at what an owner has claimed; says how many there were. A claim says what is being
    /// made, so that history need not be searched for it.
    fn end_attempts_of(&mut self, owner: &str) -> Result<usize, Error> {
        let claims: Vec<(i64, PartitionIdx)> = self.ask(|sql| {
            let query = "SELECT asset, part FROM claim WHERE owner = ?1";
            sql.all(query, [owner], |row| Ok((row.get(0)?, row.get(1)?)))
        })?;
        let mut ended = 0;
        for (asset, part) in claims {
            ended += self.end_attempt(asset, part, owner)?;
        }
        Ok(ended)
    }

    /// Ends what a dead owner was making of a partition, if it was.
    pub(super) fn end_attempt(
        &mut self,
        asset: i64,
        part: PartitionIdx,
        owner: &str,
    ) -> Result<usize, Error> {
        self.ask(|sql| {
            sql.exec(
                "UPDATE attempt SET outcome = 'interrupted', detail = ?4
                 WHERE asset = ?1 AND part = ?2 AND outcome = 'running'
                   AND run IN (SELECT id FROM run WHERE state = 'running' AND owner = ?3)",
                params![asset, part, owner, DIED],
            )
        })
    }
}

const DIED: &str = "the process that ran it died";

fn owners_dir(dir: &Path) -> PathBuf {
    dir.join("owners")
}
