//! The records in memory, as of one revision, and the only way to write them.
//!
//! The planner reads through the [`Records`] trait; what it has read stays as it is until something
//! is written here. A write is one transaction of the store, and is applied to memory only once it
//! is committed. If another process has committed meanwhile, the ledger is *behind*: what it holds
//! is still the state of one revision, and [`Ledger::catch_up`] moves to the newest.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::{
    AskedRow, AssetKey, AssetRow, Column, Digest, FailureRow, Flags, Mark, MatRow, Note, Output,
    PartitionIdx, PartitionKey, PartitionSet, Rev, StepId, StepParts,
};
use crate::cas::Cas;
use crate::defs::KeyTable;
use crate::plan::{Records, Trace};
use crate::store::{self, Error, Store, Tx};

/// Bytes of small outputs that are kept in memory for the steps that read them.
const SMALL_CACHE_BYTES: usize = 64 << 20;

/// Up to this many partitions of an asset are fetched by themselves, about 5 microseconds each; then the
/// whole column, at 0.2 microseconds a row.
const MARKS_MAX: u64 = 512;

/// The version of what was removed.
const NOTHING: Digest = Digest::from_bytes([0; 32]);

/// See the module.
pub struct Ledger {
    inner: Mutex<Inner>,
    cas: Arc<Cas>,
}

struct Inner {
    store: Store,
    /// Everything below is as of this revision.
    rev: Rev,
    data_version: i64,
    /// Another process committed before one of our own commits.
    overtaken: bool,
    /// How often it was seen that other processes had written, be it records or anything else.
    others: u64,
    rows: HashMap<AssetKey, Arc<AssetRow>>,
    columns: HashMap<AssetKey, Held>,
    outputs: HashMap<AssetKey, BTreeMap<PartitionIdx, Output>>,
    failures: HashMap<AssetKey, BTreeMap<PartitionIdx, FailureRow>>,
    /// By asset, and upstream of that.
    asked: HashMap<AssetKey, BTreeMap<AssetKey, Arc<BTreeMap<PartitionIdx, AskedRow>>>>,
    small: SmallCache,
    steps: HashMap<Digest, StepId>,
    /// Keys that have led to nothing yet: those of failures, which every plan asks about again.
    untraced: HashSet<Digest>,
    reads: Reads,
    /// A question of the planner that failed; see [`Ledger::check`].
    fault: Option<Error>,
}

/// From which states of the store questions are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// Each from the newest.
    Single,
    /// All from one, of which none has been asked yet.
    Together,
    Begun,
}

/// What is in memory of an asset's column.
#[derive(Default)]
struct Held {
    column: Arc<Column>,
    /// The partitions of which it tells, if not of all.
    only: Option<PartitionSet>,
}

impl Held {
    fn put(&mut self, mark: Mark) {
        if let Some(only) = &mut self.only {
            only.insert(mark.part);
        }
        Arc::make_mut(&mut self.column).put(mark);
    }

    fn tells_of(&self, parts: &PartitionSet) -> bool {
        self.only.as_ref().is_none_or(|only| parts.is_subset(only))
    }
}

#[derive(Default)]
struct SmallCache {
    blobs: HashMap<Digest, Arc<[u8]>>,
    bytes: usize,
}

impl SmallCache {
    fn put(&mut self, digest: Digest, bytes: &Arc<[u8]>) {
        if self.bytes + bytes.len() > SMALL_CACHE_BYTES {
            *self = SmallCache::default();
        }
        if self.blobs.insert(digest, bytes.clone()).is_none() {
            self.bytes += bytes.len();
        }
    }
}

/// A change of records that memory has to follow.
enum Move {
    Put { asset: AssetKey, rows: Vec<MatRow> },
    Removed { asset: AssetKey, parts: PartitionSet, rev: Rev },
    Row { asset: AssetKey, row: AssetRow },
    Unfresh { asset: AssetKey, parts: PartitionSet },
    Failed { asset: AssetKey, failure: FailureRow },
    Recovered { asset: AssetKey, part: PartitionIdx },
    Asked { asset: AssetKey, upstream: AssetKey, row: AskedRow },
}

/// A transaction whose changes memory follows once it is committed.
pub struct Batch<'a> {
    tx: Tx<'a>,
    moves: Vec<Move>,
}

impl<'a> Batch<'a> {
    /// The transaction, for what memory does not follow: keys, stats, runs, traces, blobs.
    pub fn tx(&mut self) -> &mut Tx<'a> {
        &mut self.tx
    }

    /// Records a result; says whether its version is another than before.
    pub fn put(&mut self, asset: &AssetKey, mut row: MatRow) -> Result<bool, Error> {
        row.changed_at = self.tx.put_mat(asset, &row)?;
        let changed = row.changed_at == self.tx.next_rev();
        self.moves.push(Move::Put { asset: asset.clone(), rows: vec![row] });
        Ok(changed)
    }

    /// Records results of many partitions of an asset, each of them once.
    pub fn put_all(&mut self, asset: &AssetKey, mut rows: Vec<MatRow>) -> Result<(), Error> {
        let changed_at = self.tx.put_mats(asset, &rows)?;
        rows.iter_mut().zip(changed_at).for_each(|(row, changed_at)| row.changed_at = changed_at);
        self.moves.push(Move::Put { asset: asset.clone(), rows });
        Ok(())
    }

    /// Leaves tombstones in place of results.
    pub fn remove(&mut self, asset: &AssetKey, parts: &PartitionSet) -> Result<(), Error> {
        let parts = self.tx.remove_mat(asset, parts)?;
        let rev = self.tx.next_rev();
        self.moves.push(Move::Removed { asset: asset.clone(), parts, rev });
        Ok(())
    }

    /// Takes the fresh bits of partitions away, whatever set them.
    pub fn clear_fresh(&mut self, asset: &AssetKey, parts: &PartitionSet) -> Result<(), Error> {
        self.tx.clear_fresh(asset, parts)?;
        self.moves.push(Move::Unfresh { asset: asset.clone(), parts: parts.clone() });
        Ok(())
    }

    /// Records an asset as a whole.
    pub fn set_row(&mut self, asset: &AssetKey, row: AssetRow) -> Result<(), Error> {
        self.tx.set_asset(asset, &row)?;
        self.moves.push(Move::Row { asset: asset.clone(), row });
        Ok(())
    }

    pub fn put_failure(&mut self, asset: &AssetKey, failure: FailureRow) -> Result<(), Error> {
        self.tx.put_failure(asset, &failure)?;
        self.moves.push(Move::Failed { asset: asset.clone(), failure });
        Ok(())
    }

    /// Replaces what a partition asked for of one upstream asset.
    pub fn put_asked(
        &mut self,
        asset: &AssetKey,
        upstream: &AssetKey,
        row: AskedRow,
    ) -> Result<(), Error> {
        self.tx.put_asked(asset, upstream, &row)?;
        let (asset, upstream) = (asset.clone(), upstream.clone());
        self.moves.push(Move::Asked { asset, upstream, row });
        Ok(())
    }

    pub fn clear_failure(&mut self, asset: &AssetKey, part: PartitionIdx) -> Result<(), Error> {
        self.tx.clear_failure(asset, part)?;
        self.moves.push(Move::Recovered { asset: asset.clone(), part });
        Ok(())
    }
}

impl Ledger {
    pub fn new(store: Store, cas: Arc<Cas>) -> Result<Ledger, Error> {
        let mut inner = Inner {
            store,
            rev: Rev(0),
            data_version: 0,
            overtaken: false,
            others: 0,
            rows: HashMap::new(),
            columns: HashMap::new(),
            outputs: HashMap::new(),
            failures: HashMap::new(),
            asked: HashMap::new(),
            small: SmallCache::default(),
            steps: HashMap::new(),
            untraced: HashSet::new(),
            reads: Reads::Single,
            fault: None,
        };
        inner.reload()?;
        Ok(Ledger { inner: Mutex::new(inner), cas })
    }

    /// The revision of which memory holds the state.
    pub fn rev(&self) -> Rev {
        self.lock().rev
    }

    /// Writes one transaction; memory follows when it is committed.
    pub fn write<T, E: From<Error>>(
        &self,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.end_read();
        let (found, rev, value, moves) = {
            let tx = inner.store.begin()?;
            let found = tx.rev();
            let mut batch = Batch { tx, moves: Vec::new() };
            let value = fill(&mut batch)?;
            let Batch { tx, moves } = batch;
            // Before it is committed: to ask about one of them again does no harm.
            for key in tx.new_traces() {
                inner.untraced.remove(key);
            }
            (found, tx.commit()?, value, moves)
        };
        if found == inner.rev {
            inner.rev = rev;
        } else {
            inner.overtaken = true;
        }
        for change in moves {
            inner.follow(change);
        }
        Ok(value)
    }

    /// As `write`, but only if memory holds the newest state; `None` if it does not.
    pub fn write_if_current<T, E: From<Error>>(
        &self,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let rev = self.rev();
        self.write(|batch| if batch.tx.rev() == rev { fill(batch).map(Some) } else { Ok(None) })
    }

    /// Has all questions that are asked while `ask` runs, by whomever, answered from one state of the store:
    /// that is quicker than to look for the newest state with each.
    pub fn in_one_read<T>(&self, ask: impl FnOnce() -> T) -> T {
        let mut inner = self.lock();
        let is_first = inner.reads == Reads::Single;
        if is_first {
            inner.reads = Reads::Together;
        }
        drop(inner);
        let _end = EndOfRead(is_first.then_some(self));
        ask()
    }

    /// Asks the store itself.
    pub fn ask<T>(&self, question: impl FnOnce(&Store) -> T) -> T {
        question(self.lock().store())
    }

    /// For the rare writes that concern no records.
    pub fn store_mut<T>(&self, action: impl FnOnce(&mut Store) -> T) -> T {
        let mut inner = self.lock();
        inner.end_read();
        action(&mut inner.store)
    }

    /// Whether another process has committed since.
    pub fn is_behind(&self) -> Result<bool, Error> {
        let mut inner = self.lock();
        let data_version = inner.store.data_version()?;
        if data_version != inner.data_version {
            // Others also write what is no record: claims, attempts, stats.
            inner.overtaken = inner.overtaken || inner.store.rev()? != inner.rev;
            inner.data_version = data_version;
            inner.others += 1;
        }
        Ok(inner.overtaken)
    }

    /// Whether one of the writes of this process has found that another one had committed before it.
    pub fn is_overtaken(&self) -> bool {
        self.lock().overtaken
    }

    /// Moves whenever another process was seen to have written anything; what is no record of a result
    /// is then to be asked for again.
    pub fn others(&self) -> u64 {
        self.lock().others
    }

    /// Moves to the newest state. Everything that was read before may be different now.
    pub fn catch_up(&self) -> Result<(), Error> {
        self.lock().reload()
    }

    /// The recorded output of a partition, if it has a value.
    pub fn output(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Option<Output>, Error> {
        let mut inner = self.lock();
        if let Some(output) = inner.outputs.get(asset).and_then(|outputs| outputs.get(&part)) {
            return Ok(Some(output.clone()));
        }
        let row = inner.store.row(asset, part)?;
        let output = row.filter(|row| !row.flags.has(Flags::REMOVED)).and_then(|row| row.output);
        if let Some(output) = &output {
            inner.outputs.entry(asset.clone()).or_default().insert(part, output.clone());
        }
        Ok(output)
    }

    /// The bytes of a small output; `None` if it is a file of the content store, or is not what its digest says:
    /// then it is looked for there and found to be gone.
    pub fn small(&self, digest: &Digest) -> Result<Option<Arc<[u8]>>, Error> {
        let mut inner = self.lock();
        if let Some(bytes) = inner.small.blobs.get(digest) {
            return Ok(Some(bytes.clone()));
        }
        let sound = |bytes: &Vec<u8>| Digest::of_blob(bytes) == *digest;
        let Some(bytes) = inner.store.blob_small(digest)?.filter(sound) else { return Ok(None) };
        let bytes: Arc<[u8]> = bytes.into();
        inner.small.put(*digest, &bytes);
        Ok(Some(bytes))
    }

    /// Keeps the bytes of a small output that was just recorded.
    pub fn keep_small(&self, digest: Digest, bytes: &Arc<[u8]>) {
        self.lock().small.put(digest, bytes);
    }

    /// The row of a step, made if it is new.
    pub fn step_id(&self, asset: &AssetKey, parts: &StepParts) -> Result<StepId, Error> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let digest = parts.digest();
        if let Some(step) = inner.steps.get(&digest) {
            return Ok(*step);
        }
        inner.end_read();
        let step = inner.store.intern_step(asset, parts)?;
        inner.steps.insert(digest, step);
        Ok(step)
    }

    /// Partitions whose last attempt failed.
    pub fn failed(&self, asset: &AssetKey) -> PartitionSet {
        self.lock().rows.get(asset).map(|row| row.failed.clone()).unwrap_or_default()
    }

    /// Partitions that have a value although they do not exist.
    pub fn strangers(&self, asset: &AssetKey, existing: &PartitionSet) -> PartitionSet {
        self.lock().answer(|inner| inner.store().values_outside(asset, existing))
    }

    /// The first question that could not be answered since the last time this was asked.
    pub fn check(&self) -> Result<(), Error> {
        match self.lock().fault.take() {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// The keys of a table and which of them are present.
    pub fn key_rows(&self, name: &str) -> Result<(Vec<PartitionKey>, PartitionSet), Error> {
        self.lock().store.key_rows(name)
    }

    pub fn key_table(&self, name: &str) -> Result<Arc<KeyTable>, Error> {
        self.lock().store.key_table(name)
    }

    /// The first content that is missing of what an output consists of.
    pub fn lost(&self, output: &Output) -> Option<Digest> {
        super::blobs::lost(&self.cas, self, output)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in another thread leaves whole states only: memory follows after the commit.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a read when it is dropped.
struct EndOfRead<'a>(Option<&'a Ledger>);

impl Drop for EndOfRead<'_> {
    fn drop(&mut self) {
        if let Some(ledger) = self.0 {
            let mut inner = ledger.lock();
            inner.end_read();
            inner.reads = Reads::Single;
        }
    }
}

impl Inner {
    /// The store, for a question.
    fn store(&mut self) -> &Store {
        // If it cannot be begun, the question will say why.
        if self.reads == Reads::Together && matches!(self.store.begin_read(), Ok(true)) {
            self.reads = Reads::Begun;
        }
        &self.store
    }

    fn end_read(&mut self) {
        if self.reads == Reads::Begun {
            self.reads = Reads::Together;
            if let Err(fault) = self.store.end_read() {
                self.fault.get_or_insert(fault);
            }
        }
    }

    fn reload(&mut self) -> Result<(), Error> {
        self.end_read();
        // First: what commits in between is noticed at the next look.
        self.data_version = self.store.data_version()?;
        self.others += 1;
        let (rev, rows) =
            self.store.read(|store| Ok::<_, Error>((store.rev()?, store.assets()?)))?;
        self.rev = rev;
        self.overtaken = false;
        self.rows = rows.into_iter().map(|(key, row)| (key, Arc::new(row))).collect();
        self.columns.clear();
        self.untraced.clear();
        self.outputs.clear();
        self.failures.clear();
        self.asked.clear();
        Ok(())
    }

    fn answer<T: Default>(&mut self, ask: impl FnOnce(&mut Inner) -> Result<T, Error>) -> T {
        match ask(self) {
            Ok(answer) => answer,
            Err(fault) => {
                self.fault.get_or_insert(fault);
                T::default()
            }
        }
    }

    fn row_mut(&mut self, asset: &AssetKey) -> &mut AssetRow {
        Arc::make_mut(self.rows.entry(asset.clone()).or_default())
    }

    fn follow(&mut self, change: Move) {
        match change {
            Move::Put { asset, rows } => {
                let known = self.row_mut(&asset);
                let newest = rows.iter().map(|row| row.changed_at).max().unwrap_or_default();
                known.max_changed = known.max_changed.max(newest);
                if let Some(held) = self.columns.get_mut(&asset) {
                    rows.iter().for_each(|row| held.put(mark(row)));
                }
                let outputs = self.outputs.entry(asset).or_default();
                for row in rows {
                    match row.output {
                        Some(output) => outputs.insert(row.part, output),
                        None => outputs.remove(&row.part),
                    };
                }
            }
            Move::Removed { asset, parts, rev } => {
                let max_changed = &mut self.row_mut(&asset).max_changed;
                *max_changed = (*max_changed).max(rev);
                if let Some(outputs) = self.outputs.get_mut(&asset) {
                    outputs.retain(|part, _| !parts.contains(*part));
                }
                if let Some(held) = self.columns.get_mut(&asset) {
                    parts.iter().for_each(|part| held.put(tombstone(part, rev)));
                }
            }
            Move::Row { asset, row } => {
                let known = self.row_mut(&asset);
                let (max_changed, failed) = (known.max_changed, std::mem::take(&mut known.failed));
                *known = AssetRow { failed, max_changed: row.max_changed.max(max_changed), ..row };
            }
            Move::Unfresh { asset, parts } => self.row_mut(&asset).fresh -= parts,
            Move::Failed { asset, failure } => {
                self.row_mut(&asset).failed.insert(failure.part);
                if let Some(failures) = self.failures.get_mut(&asset) {
                    failures.insert(failure.part, failure);
                }
            }
            Move::Asked { asset, upstream, row } => {
                let known = self.asked.get_mut(&asset).and_then(|of| of.get_mut(&upstream));
                if let Some(asked) = known {
                    Arc::make_mut(asked).insert(row.part, row);
                }
            }
            Move::Recovered { asset, part } => {
                self.row_mut(&asset).failed.remove(part);
                if let Some(failures) = self.failures.get_mut(&asset) {
                    failures.remove(&part);
                }
            }
        }
    }

    fn column(&mut self, asset: &AssetKey) -> Result<Arc<Column>, Error> {
        if let Some(Held { column, only: None }) = self.columns.get(asset) {
            return Ok(column.clone());
        }
        let column = Arc::new(self.store().column(asset)?);
        self.columns.insert(asset.clone(), Held { column: column.clone(), only: None });
        Ok(column)
    }

    fn trace(&mut self, key: &Digest) -> Result<Option<store::Trace>, Error> {
        if self.untraced.contains(key) {
            return Ok(None);
        }
        let trace = self.store().trace(key)?;
        if trace.is_none() {
            self.untraced.insert(*key);
        }
        Ok(trace)
    }

    fn ever_made(&mut self, asset: &AssetKey, parts: &PartitionSet) -> Result<PartitionSet, Error> {
        let made = self.marks(asset, parts)?.entries(parts);
        if made.len() < parts.len() && self.store().is_renumbered(asset)? {
            return Ok(parts.clone());
        }
        Ok(made)
    }

    /// A column with at least these partitions.
    fn marks(&mut self, asset: &AssetKey, parts: &PartitionSet) -> Result<Arc<Column>, Error> {
        let held = self.columns.get(asset);
        if let Some(held) = held.filter(|held| held.tells_of(parts)) {
            return Ok(held.column.clone());
        }
        let known = held.and_then(|held| held.only.as_ref());
        let missing = known.map_or_else(|| parts.clone(), |known| parts - known);
        if known.map_or(0, PartitionSet::len) + missing.len() > MARKS_MAX {
            return self.column(asset);
        }
        let marks = self.store().marks_in(asset, &missing)?;
        let held = self.columns.entry(asset.clone()).or_default();
        *held.only.get_or_insert_default() |= missing;
        marks.into_iter().for_each(|mark| held.put(mark));
        Ok(held.column.clone())
    }
}

fn mark(row: &MatRow) -> Mark {
    Mark {
        part: row.part,
        changed_at: row.changed_at,
        verified_at: row.verified_at,
        step: row.step,
        key: row.key,
        version: row.version,
        flags: row.flags,
    }
}

fn tombstone(part: PartitionIdx, rev: Rev) -> Mark {
    let flags = Flags::REMOVED;
    Mark {
        part,
        changed_at: rev,
        verified_at: rev,
        step: None,
        key: NOTHING,
        version: NOTHING,
        flags,
    }
}

/// The planner cannot be told that a question failed. What it is told instead does not matter: the
/// fault is kept, and [`Ledger::check`] reports it before anything that was decided is used.
impl Records for Ledger {
    fn row(&self, asset: &AssetKey) -> Arc<AssetRow> {
        self.lock().rows.get(asset).cloned().unwrap_or_default()
    }

    fn changed_since(&self, asset: &AssetKey, rev: Rev) -> PartitionSet {
        self.lock().answer(|inner| match inner.columns.get(asset) {
            Some(Held { column, only: None }) => Ok(column.changed_since(rev)),
            Some(_) | None => inner.store().changed_since(asset, rev),
        })
    }

    fn column(&self, asset: &AssetKey) -> Arc<Column> {
        self.lock().answer(|inner| inner.column(asset))
    }

    fn marks(&self, asset: &AssetKey, parts: &PartitionSet) -> Arc<Column> {
        self.lock().answer(|inner| inner.marks(asset, parts))
    }

    fn ever_made(&self, asset: &AssetKey, parts: &PartitionSet) -> PartitionSet {
        self.lock().answer(|inner| inner.ever_made(asset, parts))
    }

    fn trace(&self, key: &Digest) -> Option<Trace> {
        let trace = self.lock().answer(|inner| inner.trace(key))?;
        let made_ms = trace.made_ms;
        let found = Trace { version: trace.version, output: trace.output, made_ms };
        self.lost(&found.output).is_none().then_some(found)
    }

    fn step_parts(&self, step: StepId) -> Option<Arc<StepParts>> {
        self.lock().answer(|inner| inner.store().step_parts(step)).map(Arc::new)
    }

    fn version_at(&self, asset: &AssetKey, part: PartitionIdx, rev: Rev) -> Option<Digest> {
        let version = self.lock().answer(|inner| inner.store.changed_versions(asset, part, rev));
        version.filter(|version| *version != NOTHING)
    }

    fn failure(&self, asset: &AssetKey, part: PartitionIdx) -> Option<FailureRow> {
        self.lock().answer(|inner| {
            if !inner.failures.contains_key(asset) {
                let failures = inner.store().failures(asset)?.into_iter();
                let failures = failures.map(|failure| (failure.part, failure)).collect();
                inner.failures.insert(asset.clone(), failures);
            }
            Ok(inner.failures[asset].get(&part).cloned())
        })
    }

    fn asked(
        &self,
        asset: &AssetKey,
        upstream: &AssetKey,
    ) -> Arc<BTreeMap<PartitionIdx, AskedRow>> {
        self.lock().answer(|inner| {
            if let Some(asked) = inner.asked.get(asset).and_then(|of| of.get(upstream)) {
                return Ok(asked.clone());
            }
            let rows = inner.store().asked(asset, upstream)?.into_iter();
            let asked = Arc::new(rows.map(|row| (row.part, row)).collect::<BTreeMap<_, _>>());
            let of = inner.asked.entry(asset.clone()).or_default();
            of.insert(upstream.clone(), asked.clone());
            Ok(asked)
        })
    }

    fn made_before(&self, asset: &AssetKey, ms: i64) -> PartitionSet {
        self.lock().answer(|inner| inner.store().made_before(asset, ms))
    }

    fn made_at(&self, asset: &AssetKey, part: PartitionIdx) -> Option<i64> {
        let row = self.lock().answer(|inner| inner.store.row(asset, part));
        row.map(|row| row.made_ms)
    }

    fn note(&self, asset: &AssetKey, part: PartitionIdx) -> Option<Note> {
        self.lock().answer(|inner| inner.store.note(asset, part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Durability;

    fn row(version: &str) -> MatRow {
        MatRow {
            part: 0,
            changed_at: Rev(0),
            verified_at: Rev(0),
            step: None,
            key: NOTHING,
            version: Digest::of_blob(version.as_bytes()),
            output: None,
            run: None,
            flags: Flags::default(),
            made_ms: 0,
        }
    }

    #[test]
    fn what_is_written_over_another_process_is_not_taken_for_the_newest_state() {
        let dir = tempfile::tempdir().unwrap();
        let asset = AssetKey::parse("u").unwrap();
        let open = || {
            let cas = Arc::new(Cas::open(dir.path(), Durability::Fast).unwrap());
            Ledger::new(Store::open(dir.path(), Durability::Fast).unwrap(), cas).unwrap()
        };
        let (mine, other) = (open(), open());
        let put = |ledger: &Ledger, version: &str| ledger.write(|b| b.put(&asset, row(version)));
        let put_if = |version: &str| mine.write_if_current(|b| b.put(&asset, row(version)));
        assert_eq!(put_if("1").unwrap(), Some(true));
        other.catch_up().unwrap();
        put(&other, "2").unwrap();
        assert!(mine.is_behind().unwrap());
        assert_eq!(put_if("3").unwrap(), None);
        put(&mine, "4").unwrap();
        assert!(mine.is_behind().unwrap());
        assert_eq!(put_if("5").unwrap(), None);
        mine.catch_up().unwrap();
        assert_eq!(mine.column(&asset).get(0).unwrap().version, row("4").version);
        assert_eq!(put_if("5").unwrap(), Some(true));
    }

    #[test]
    fn a_key_without_a_trace_is_asked_about_once_until_it_has_one() {
        let dir = tempfile::tempdir().unwrap();
        let cas = Arc::new(Cas::open(dir.path(), Durability::Fast).unwrap());
        let ledger = Ledger::new(Store::open(dir.path(), Durability::Fast).unwrap(), cas).unwrap();
        let asset = AssetKey::parse("u").unwrap();
        let [mine, others] = ["mine", "others"].map(|key| Digest::of_blob(key.as_bytes()));
        let bytes: Arc<[u8]> = b"x".as_slice().into();
        let (digest, size) = (Digest::of_blob(&bytes), bytes.len() as u64);
        let kind = crate::base::OutputKind::File;
        let output = Output { kind, digest, size, schema: None };
        let record = |key: &Digest| {
            let (output, version) = (&output, &output.version());
            let partition = &PartitionKey::unpartitioned();
            let trace =
                store::NewTrace { asset: &asset, part: 0, partition, output, version, made_ms: 0 };
            let put = ledger.write(|batch| {
                batch.tx().put_blob_small(&digest, &bytes)?;
                batch.tx().put_trace(key, &trace)
            });
            assert_eq!(put.unwrap(), store::Traced::New);
        };
        let asked = || {
            let before = ledger.ask(Store::statements);
            let found = ledger.trace(&mine).is_some();
            (found, ledger.ask(Store::statements) - before)
        };
        assert_eq!(asked(), (false, 1));
        assert_eq!(asked(), (false, 0));
        record(&others);
        assert_eq!(asked(), (false, 0), "it has none yet");
        record(&mine);
        assert!(asked().0);
    }
}
