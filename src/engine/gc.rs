//! Removes what nothing needs any more: contents that no result and no trace names, old runs, leftovers.
//!
//! What is in use is found out while no run can begin or go on: every run holds a lease of the content
//! store from its beginning, and a sweep waits for none. A content that is named by a trace is kept,
//! since the result can come back; how many of these, the caller decides.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Error;
use super::blobs::Source;
use super::open::Engine;
use crate::base::{Digest, OutputKind, RunId};
use crate::defs::{Keep, KeepRuns};
use crate::io::BlobSource;
use crate::io::tree::{self, Entry, EntryKind};
use crate::store::{Limit, MEMO, RunState, Store, Unneeded};

/// What is younger stays, whoever needs it.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// How long values of ops that say `memo` are kept that nothing asks for.
const MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gc {
    pub keep: Keep,
    pub mode: GcMode,
}

/// Whether anything is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GcMode {
    /// Only say what would be.
    Preview,
    Remove,
}

/// Things of one kind and their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    pub count: u64,
    pub bytes: u64,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Former results that cannot be restored any more.
    pub traces: u64,
    /// Contents: files of the content store, and those inside the database.
    pub blobs: Amount,
    pub small: Amount,
    pub runs: u64,
    /// Attempts that made nothing current, of runs that stay.
    pub attempts: u64,
    /// What the database takes less of the disk.
    pub shrunk_bytes: u64,
    /// Logs of runs that are not recorded any more.
    pub logs: Amount,
    /// What runs left that have ended, and what failed runs of jobs kept for a retry.
    pub staging: Amount,
    /// Copies under readable names.
    pub view: Amount,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl Engine {
    /// Removes what nothing needs, or says what that would be. Fails while a run goes on, unless it only
    /// says so.
    pub fn gc(&mut self, gc: Gc) -> Result<Collected, Error> {
        let _lock = match gc.mode {
            GcMode::Preview => None,
            GcMode::Remove => {
                let lock = self.cas.exclusive()?;
                self.writable()?;
                Some(lock)
            }
        };
        let now = self.clock.now();
        let before = |age: Duration| {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            now.timestamp_millis().saturating_sub(age_ms)
        };
        let old = match gc.keep.runs {
            KeepRuns::For(age) => Limit::Before(before(age)),
            KeepRuns::Last(number) => Limit::Beyond(number),
        };
        // Files bear the stamps of the disk's own clock, whatever moment is asked about.
        let written = Duration::from_nanos(u64::try_from(self.fs_clock.now_ns()).unwrap_or(0));
        let older_than = SystemTime::UNIX_EPOCH + written.saturating_sub(GRACE);

        let mut collected = Collected::default();
        let mut unneeded =
            Unneeded { traces: self.former(gc.keep, before)?, ..Unneeded::default() };
        collected.traces = unneeded.traces.len() as u64;
        let used = self.used(&unneeded.traces.iter().copied().collect())?;
        for blob in self.cas.list()? {
            if !used.contains(&blob.digest) && blob.modified < older_than {
                collected.blobs.add(blob.size);
                unneeded.blobs.push(blob.digest);
            }
        }
        for (digest, size) in self.ledger.ask(Store::small_sizes)? {
            // Written with the row that names it, it needs no grace.
            if !used.contains(&digest) {
                collected.small.add(size);
                unneeded.small.push(digest);
            }
        }
        unneeded.runs = self.ledger.ask(|store| store.runs_before(old))?;
        collected.attempts = self.ledger.ask(|store| store.attempts_before(old))?;
        collected.runs = unneeded.runs.len() as u64;
        let mut leftovers = self.leftovers(&unneeded.runs, older_than, &mut collected)?;
        leftovers.extend(self.places(&mut unneeded, older_than, &mut collected)?);
        unneeded.memos = self.ledger.ask(|store| store.memos_before(before(MEMORY)))?;
        leftovers.extend(self.memos(&unneeded.memos, older_than, &mut collected)?);
        match gc.mode {
            GcMode::Preview => {}
            GcMode::Remove => {
                self.remove(&unneeded, old, &leftovers)?;
                collected.shrunk_bytes = self.ledger.store_mut(Store::shrink)?;
            }
        }
        Ok(collected)
    }

    /// The rows go first: a file without a row is found again, a row without its file is damage.
    fn remove(
        &mut self,
        unneeded: &Unneeded,
        old: Limit,
        leftovers: &[PathBuf],
    ) -> Result<(), Error> {
        self.ledger.write(|batch| {
            batch.tx().collect(unneeded)?;
            batch.tx().forget_attempts(old)
        })?;
        for digest in &unneeded.blobs {
            remove(&self.cas.path(digest))?;
        }
        for path in leftovers {
            remove(path)?;
        }
        self.catch_up()
    }

    /// The traces of former results that are not kept.
    fn former(&self, keep: Keep, before: impl Fn(Duration) -> i64) -> Result<Vec<Digest>, Error> {
        let mut gone: BTreeSet<Digest> = BTreeSet::new();
        if let Some(keep) = keep.results {
            gone.extend(self.ledger.ask(|store| store.traces_beyond(keep))?);
        }
        if let Some(age) = keep.results_for {
            gone.extend(self.ledger.ask(|store| store.traces_before(before(age)))?);
        }
        if let Some(bytes) = keep.bytes {
            gone.extend(self.ledger.ask(|store| store.traces_beyond_bytes(bytes))?);
        }
        Ok(gone.into_iter().collect())
    }

    /// Every content that a result or a trace needs: of a directory, all that is in it.
    fn used(&self, without: &HashSet<Digest>) -> Result<HashSet<Digest>, Error> {
        let blobs = Source::new(self.cas.clone(), self.ledger.clone());
        let mut used = HashSet::new();
        let mut trees = Vec::new();
        for (digest, kind) in self.ledger.ask(|store| store.outputs_in_use(without))? {
            if used.insert(digest) && kind == OutputKind::Tree {
                trees.push(digest);
            }
        }
        while let Some(digest) = trees.pop() {
            let Some(entries) = names(&blobs, digest)? else { continue };
            for entry in entries {
                match entry.kind {
                    EntryKind::File { digest, .. } => {
                        used.insert(digest);
                    }
                    EntryKind::Dir { digest } => {
                        if used.insert(digest) {
                            trees.push(digest);
                        }
                    }
                    EntryKind::Symlink { .. } => {}
                }
            }
        }
        Ok(used)
    }

    /// Files of ours that no record needs.
    fn leftovers(
        &self,
        gone: &[RunId],
        older_than: SystemTime,
        collected: &mut Collected,
    ) -> Result<Vec<PathBuf>, Error> {
        let mut found = Vec::new();
        let running = self.ledger.ask(Store::running)?;
        let gone: HashSet<RunId> = gone.iter().copied().collect();
        let running: HashSet<RunId> = running.into_iter().map(|run| run.id).collect();
        for path in entries(&self.dir.join("logs"))? {
            let Some(run) = run_of(&path) else { continue };
            if gone.contains(&run) || self.ledger.ask(|store| store.run(run))?.is_none() {
                collected.logs.add(size(&path));
                found.push(path);
            }
        }
        for path in entries(&self.dir.join("staging"))? {
            let Some(run) = run_of(&path) else { continue };
            if !running.contains(&run) {
                collected.staging.add(size(&path));
                found.push(path);
            }
        }
        for path in entries(&self.dir.join("view"))? {
            let modified = std::fs::symlink_metadata(&path).and_then(|it| it.modified());
            if modified.is_ok_and(|modified| modified < older_than) {
                collected.view.add(size(&path));
                found.push(path);
            }
        }
        Ok(found)
    }
}

impl Engine {
    /// Temporary places of runs of jobs that nobody will retry: what has succeeded or is not recorded, and
    /// what has not been written to for long, unless a younger run names what lies in it.
    fn places(
        &self,
        unneeded: &mut Unneeded,
        older_than: SystemTime,
        collected: &mut Collected,
    ) -> Result<Vec<PathBuf>, Error> {
        let mut gone: BTreeMap<RunId, PathBuf> = BTreeMap::new();
        let forgotten: HashSet<RunId> = unneeded.runs.iter().copied().collect();
        for path in entries(&self.dir.join("runs"))? {
            let Some(run) = run_of(&path) else { continue };
            let state = self.ledger.ask(|store| store.run(run))?.map(|run| run.state);
            let is_over = match state {
                None | Some(RunState::Success) => true,
                Some(RunState::Running) => false,
                Some(
                    RunState::Failure
                    | RunState::Cancelled
                    | RunState::Paused
                    | RunState::Interrupted,
                ) => forgotten.contains(&run) || youngest(&path) < Some(older_than),
            };
            if is_over {
                gone.insert(run, path);
            }
        }
        // Of each run, those in whose places something lies that it names.
        let mut names: BTreeMap<RunId, BTreeSet<RunId>> = BTreeMap::new();
        for (by, _, file) in self.ledger.ask(Store::op_files)? {
            let run = file.strip_prefix("runs/").and_then(|rest| rest.split_once('/'));
            if let Some(run) = run.and_then(|(run, _)| run.parse().ok()) {
                names.entry(by).or_default().insert(RunId(run));
            }
        }
        // What a run names that stays, stays, and what that names does too.
        let mut stays: Vec<RunId> =
            names.keys().filter(|run| !gone.contains_key(run)).copied().collect();
        while let Some(run) = stays.pop() {
            let named = names.remove(&run).unwrap_or_default();
            stays.extend(named.into_iter().filter(|run| gone.remove(run).is_some()));
        }
        let kept = gone.keys().filter(|run| !forgotten.contains(run)).copied();
        unneeded.op_outputs = kept.collect();
        gone.values().for_each(|path| collected.staging.add(size(path)));
        Ok(gone.into_values().collect())
    }
}

impl Engine {
    /// Directories of values that are not, or will not be, recorded under a key.
    fn memos(
        &self,
        gone: &[Digest],
        older_than: SystemTime,
        collected: &mut Collected,
    ) -> Result<Vec<PathBuf>, Error> {
        let gone: HashSet<String> = gone.iter().map(Digest::to_string).collect();
        let kept = self.ledger.ask(Store::op_files)?.into_iter();
        let kept = kept.filter(|(run, key, _)| *run == MEMO && !gone.contains(key));
        let kept: HashSet<PathBuf> =
            kept.filter_map(|(_, _, file)| Some(self.dir.join(file).parent()?.into())).collect();
        let mut found = Vec::new();
        for path in entries(&self.dir.join("memo"))? {
            let of_gone = |name: &str| name.split_once('.').is_some_and(|it| gone.contains(it.0));
            let is_gone = path.file_name().and_then(|name| name.to_str()).is_some_and(of_gone);
            if !kept.contains(&path) && (is_gone || youngest(&path) < Some(older_than)) {
                collected.staging.add(size(&path));
                found.push(path);
            }
        }
        Ok(found)
    }
}

/// When anything in the place of a run was last written.
fn youngest(place: &Path) -> Option<SystemTime> {
    let dirs = [place.to_owned(), place.join("kept")];
    let modified = |dir: &PathBuf| std::fs::metadata(dir).and_then(|it| it.modified()).ok();
    dirs.iter().filter_map(modified).max()
}

/// The run whose number a path ends in.
fn run_of(path: &Path) -> Option<RunId> {
    Some(RunId(path.file_name()?.to_str()?.parse().ok()?))
}

/// What a tree object names; `None` if it is gone for good, and its result with it. One that cannot be
/// read now may name contents that are needed, so nothing is removed then.
fn names(blobs: &Source, digest: Digest) -> Result<Option<Vec<Entry>>, Error> {
    let unreadable = |source: std::io::Error| Error::UnknownUse { digest, source };
    match blobs.read(&digest) {
        Ok(bytes) => tree::decode(&digest, &bytes)
            .map(Some)
            .map_err(|error| unreadable(std::io::Error::other(error.to_string()))),
        Err(_) if blobs.path(&digest).is_none() => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// The paths in a directory; none if there is no such directory.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |source| Error::Io { path: dir.to_owned(), source };
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(io)?.path())).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io(error)),
    }
}

/// The bytes of a file, or of all files in a directory.
fn size(path: &Path) -> u64 {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            entries(path).into_iter().flatten().map(|path| size(&path)).sum()
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    let is_dir = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_dir { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Remove { path: path.to_owned(), source: error })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
