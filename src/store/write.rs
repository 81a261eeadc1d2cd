//! The one way to change records: a transaction that holds the write lock from its beginning.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Deref;

use rusqlite::params;

use super::insert::Insert;
use super::read::{digest_at, output_kind_text, run_number, set_at};
use super::{Error, NewTrace, Store, Trace};
use crate::base::{
    AssetKey, AssetRow, Digest, Durability, FailureRow, Flags, MatRow, Note, Output, PartitionIdx,
    PartitionKey, PartitionSet, Rev, StepId, StepParts,
};

/// The version of what was removed.
const NOTHING: Digest = Digest::from_bytes([0; 32]);

static MAT: Insert = Insert::new(
    "INSERT INTO mat (asset, part, changed_at, verified_at, step, key, version, output, run, flags, made_ms)",
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "ON CONFLICT (asset, part) DO UPDATE SET changed_at = excluded.changed_at,
             verified_at = excluded.verified_at, step = excluded.step, key = excluded.key,
             version = excluded.version, output = excluded.output, run = excluded.run,
             flags = excluded.flags, made_ms = excluded.made_ms",
);

static MAT_LOG: Insert = Insert::new(
    "INSERT OR REPLACE INTO mat_log (asset, part, rev, version, run)",
    "(?, ?, ?, ?, ?)",
    "",
);

static KEY_TABLE: Insert = Insert::new(
    "INSERT INTO key_table (name, idx, key, present, added_rev)",
    "(?, ?, ?, 1, ?)",
    "",
);

/// From so many rows on all of an asset's are looked at at once.
const MANY: usize = 64;

/// Version, flags and the revision of the last change of what was recorded before.
type Before = (Digest, Flags, Rev);

fn before_at(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Before> {
    Ok((digest_at(row, at)?, Flags(row.get(at + 1)?), Rev(row.get(at + 2)?)))
}

/// A transaction. All questions of [`Store`] can be asked of it, and see what it has written. What is
/// not committed never happened.
#[derive(Debug)]
pub struct Tx<'a> {
    store: &'a mut Store,
    found: Rev,
    /// Records were changed, so the commit is a new revision.
    changed: bool,
    /// Assets whose `max_changed` is already that of this transaction.
    moved: HashSet<i64>,
    /// Keys that lead to something, and did not before.
    traced: Vec<Digest>,
    /// A result and its trace name the same output.
    last_output: Option<(Output, i64)>,
    done: bool,
}

/// What [`Tx::put_trace`] found under the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traced {
    New,
    /// The same version was recorded before.
    Same,
    /// Another version was recorded before, and stays: the step is not deterministic.
    Differs(Trace),
}

impl Deref for Tx<'_> {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        if !self.done {
            // Numbers of assets that this transaction made are void. If the rollback fails, the
            // connection is unusable, and whatever comes next says so.
            self.store.ids.borrow_mut().clear();
            let _ = self.store.ask(|sql| sql.exec("ROLLBACK", []));
        }
    }
}

impl Store {
    /// Begins a transaction; waits for another process's.
    pub fn begin(&mut self) -> Result<Tx<'_>, Error> {
        self.ask(|sql| sql.exec("BEGIN IMMEDIATE", []))?;
        let mut tx = Tx {
            store: self,
            found: Rev(0),
            changed: false,
            moved: HashSet::new(),
            traced: Vec::new(),
            last_output: None,
            done: false,
        };
        tx.found = tx.ask(|sql| sql.meta_rev())?;
        if tx.found.0 == u32::MAX {
            return Err(Error::RevisionsExhausted { path: tx.path.clone() });
        }
        Ok(tx)
    }
}

impl Tx<'_> {
    /// The revision that the transaction found.
    pub fn rev(&self) -> Rev {
        self.found
    }

    /// The revision that its commit will be, if it changes records.
    pub fn next_rev(&self) -> Rev {
        Rev(self.found.0 + 1)
    }

    /// Keys that lead to something now, and did not before.
    pub fn new_traces(&self) -> &[Digest] {
        &self.traced
    }

    /// Makes it all happen. The revision stays what it was if no record was changed.
    pub fn commit(mut self) -> Result<Rev, Error> {
        let rev = if self.changed { self.next_rev() } else { self.found };
        if self.changed {
            // With syncs, the caller has synced the blobs before. What was written without syncs
            // earlier stays unsynced until `mark_synced`.
            let statement = match self.durability {
                Durability::Fast => "UPDATE meta SET value = ?1 WHERE key = 'rev'",
                Durability::Batch | Durability::Safe => {
                    "UPDATE meta SET value = ?1 WHERE value = ?2 AND key IN ('rev', 'last_synced_rev')"
                }
            };
            self.ask(|sql| match self.durability {
                Durability::Fast => sql.exec(statement, [rev.0]),
                Durability::Batch | Durability::Safe => sql.exec(statement, [rev.0, self.found.0]),
            })?;
        }
        self.ask(|sql| sql.exec("COMMIT", []))?;
        self.done = true;
        self.store.writeback.note_commit();
        Ok(rev)
    }

    /// Records a result, and says as of when its version is what it is. The store finds that out
    /// itself: `row.changed_at` is not looked at. A removed result differs from any other.
    pub fn put_mat(&mut self, asset: &AssetKey, row: &MatRow) -> Result<Rev, Error> {
        let id = self.ensure_asset(asset)?;
        let before = self.ask(|sql| {
            sql.maybe(
                "SELECT version, flags, changed_at FROM mat WHERE asset = ?1 AND part = ?2",
                params![id, row.part],
                |row| before_at(row, 0),
            )
        })?;
        let changed_at = self.changed_at(row, before);
        self.write_mats(id, &[(row, changed_at)])?;
        Ok(changed_at)
    }

    /// As [`Tx::put_mat`], of many partitions at once, each of them once.
    pub fn put_mats(&mut self, asset: &AssetKey, rows: &[MatRow]) -> Result<Vec<Rev>, Error> {
        if rows.len() < MANY {
            return rows.iter().map(|row| self.put_mat(asset, row)).collect();
        }
        let id = self.ensure_asset(asset)?;
        let before: HashMap<PartitionIdx, Before> = self.ask(|sql| {
            let before = sql.all(
                "SELECT part, version, flags, changed_at FROM mat WHERE asset = ?1",
                [id],
                |row| Ok((row.get(0)?, before_at(row, 1)?)),
            )?;
            Ok(before.into_iter().collect())
        })?;
        let changed_at = |row: &MatRow| self.changed_at(row, before.get(&row.part).copied());
        let changed_at: Vec<Rev> = rows.iter().map(changed_at).collect();
        let rows: Vec<_> = rows.iter().zip(changed_at.iter().copied()).collect();
        self.write_mats(id, &rows)?;
        Ok(changed_at)
    }

    fn changed_at(&self, row: &MatRow, before: Option<Before>) -> Rev {
        let removed = row.flags.has(Flags::REMOVED);
        match before {
            Some((version, flags, changed_at))
                if flags.has(Flags::REMOVED) == removed && (removed || version == row.version) =>
            {
                changed_at
            }
            Some(_) | None => self.next_rev(),
        }
    }

    fn write_mats(&mut self, id: i64, rows: &[(&MatRow, Rev)]) -> Result<(), Error> {
        self.changed = true;
        let outputs = rows.iter().map(|(row, _)| row.output.as_ref());
        let outputs: Vec<Option<i64>> = outputs
            .map(|output| output.map(|output| self.intern_output(output)).transpose())
            .collect::<Result<_, _>>()?;
        self.ask(|sql| {
            sql.insert(&MAT, rows.iter().zip(outputs), |((row, changed_at), output), put| {
                put(&id)?;
                put(&row.part)?;
                put(&changed_at.0)?;
                put(&row.verified_at.0)?;
                put(&row.step.map(|step| step.0))?;
                put(row.key.as_bytes())?;
                put(row.version.as_bytes())?;
                put(&output)?;
                put(&row.run.map(run_number))?;
                put(&row.flags.0)?;
                put(&row.made_ms)
            })
        })?;
        let next = self.next_rev();
        let moved = rows.iter().filter(|(_, changed_at)| *changed_at == next);
        let moved = moved.map(|(row, _)| (row.part, &row.version, row.run.map(run_number)));
        self.log_changes(id, moved)
    }

    /// Adds marks to results, such as [`Flags::INVALIDATED`]; says which of `set` there are.
    pub fn add_flags(
        &mut self,
        asset: &AssetKey,
        set: &PartitionSet,
        flags: Flags,
    ) -> Result<PartitionSet, Error> {
        let id = self.ensure_asset(asset)?;
        let mut marked = PartitionSet::new();
        for row in self.rows_in(asset, set)? {
            self.changed = true;
            marked.insert(row.part);
            self.ask(|sql| {
                sql.exec(
                    "UPDATE mat SET flags = flags | ?3 WHERE asset = ?1 AND part = ?2",
                    params![id, row.part, flags.0],
                )
            })?;
        }
        Ok(marked)
    }

    /// Remembers what was said of partitions that were marked by hand.
    pub fn put_notes(
        &mut self,
        asset: &AssetKey,
        set: &PartitionSet,
        note: &Note,
    ) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        for part in set {
            self.ask(|sql| {
                sql.exec(
                    "INSERT OR REPLACE INTO note (asset, part, reason, made_ms)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![id, part, note.reason, note.made_ms],
                )
            })?;
        }
        Ok(())
    }

    /// Leaves tombstones where there are results, and says where that was.
    pub fn remove_mat(
        &mut self,
        asset: &AssetKey,
        set: &PartitionSet,
    ) -> Result<PartitionSet, Error> {
        let id = self.ensure_asset(asset)?;
        let next = self.next_rev();
        let mut removed = PartitionSet::new();
        for row in self.rows_in(asset, set)? {
            if row.flags.has(Flags::REMOVED) {
                continue;
            }
            self.changed = true;
            removed.insert(row.part);
            self.ask(|sql| {
                sql.exec(
                    "UPDATE mat SET changed_at = ?3, verified_at = ?3, step = NULL, key = ?4,
                       version = ?4, output = NULL, run = NULL, flags = ?5
                     WHERE asset = ?1 AND part = ?2",
                    params![id, row.part, next.0, NOTHING.as_bytes(), Flags::REMOVED.0],
                )
            })?;
            self.log_changes(id, [(row.part, &NOTHING, None)].into_iter())?;
        }
        Ok(removed)
    }

    /// Records what a key has led to. What was recorded first stays.
    pub fn put_trace(&mut self, key: &Digest, trace: &NewTrace<'_>) -> Result<Traced, Error> {
        if self.insert_trace(key, trace)? {
            return Ok(Traced::New);
        }
        // A trace whose output has no row is damage, and no result.
        let Some(known) = self.trace(key)? else {
            self.replace_trace(key, trace)?;
            return Ok(Traced::New);
        };
        Ok(if known.version == *trace.version { Traced::Same } else { Traced::Differs(known) })
    }

    /// Records what a key has led to, in place of what was recorded before.
    pub fn replace_trace(&mut self, key: &Digest, trace: &NewTrace<'_>) -> Result<(), Error> {
        self.remove_trace(key)?;
        self.insert_trace(key, trace)?;
        Ok(())
    }

    /// Forgets what a key has led to: its content is gone.
    pub fn remove_trace(&mut self, key: &Digest) -> Result<(), Error> {
        let gone =
            self.ask(|sql| sql.exec("DELETE FROM trace WHERE key = ?1", [key.as_bytes()]))?;
        self.changed |= gone > 0;
        Ok(())
    }

    /// Forgets traces whose output has no row.
    pub fn forget_dangling_traces(&mut self) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec("DELETE FROM trace WHERE output NOT IN (SELECT id FROM output)", [])
        })?;
        Ok(())
    }

    /// Forgets what keys have led to for these partitions: nothing of it is restored any more. Which a trace
    /// is of is told by its partition key; by its number only where an older format kept no key.
    pub fn forget_traces(
        &mut self,
        asset: &AssetKey,
        partitions: &BTreeMap<PartitionIdx, PartitionKey>,
    ) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        let traces = self.ask(|sql| {
            sql.all("SELECT key, part, partition FROM trace WHERE asset = ?1", [id], |row| {
                let part: PartitionIdx = row.get(1)?;
                Ok((digest_at(row, 0)?, part, row.get::<_, Option<String>>(2)?))
            })
        })?;
        let named: HashSet<&str> = partitions.values().map(PartitionKey::as_str).collect();
        for (key, part, partition) in &traces {
            let is_one = match partition {
                Some(partition) => named.contains(partition.as_str()),
                None => partitions.contains_key(part),
            };
            if is_one {
                self.remove_trace(key)?;
            }
        }
        Ok(())
    }

    /// Forgets what the keys of these current results have led to. The results stay.
    pub fn forget_current_traces(
        &mut self,
        asset: &AssetKey,
        set: &PartitionSet,
    ) -> Result<(), Error> {
        for row in self.rows_in(asset, set)? {
            self.remove_trace(&row.key)?;
        }
        Ok(())
    }

    fn insert_trace(&mut self, key: &Digest, trace: &NewTrace<'_>) -> Result<bool, Error> {
        let NewTrace { asset, part, partition, output, version, made_ms } = trace;
        let id = self.ensure_asset(asset)?;
        let output = self.intern_output(output)?;
        let inserted = self.ask(|sql| {
            sql.exec(
                "INSERT OR IGNORE INTO trace
                   (key, asset, part, output, version, created_rev, made_ms, partition)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    key.as_bytes(),
                    id,
                    part,
                    output,
                    version.as_bytes(),
                    self.next_rev().0,
                    made_ms,
                    partition.as_str()
                ],
            )
        })?;
        self.changed |= inserted > 0;
        if inserted > 0 {
            self.traced.push(*key);
        }
        Ok(inserted > 0)
    }

    /// Stores a small output with the record that names it.
    pub fn put_blob_small(&mut self, digest: &Digest, data: &[u8]) -> Result<(), Error> {
        let inserted = self.ask(|sql| {
            sql.exec(
                // What is there may be damaged.
                "INSERT INTO blob_small (digest, data) VALUES (?1, ?2)
                 ON CONFLICT (digest) DO UPDATE SET data = excluded.data WHERE data <> excluded.data",
                params![digest.as_bytes(), data],
            )
        })?;
        self.changed |= inserted > 0;
        Ok(())
    }

    /// Records that a blob is in the content store.
    pub fn put_blob(&mut self, digest: &Digest, size: u64) -> Result<(), Error> {
        let next = self.next_rev().0;
        let changed = self.ask(|sql| {
            sql.exec(
                "INSERT INTO blob (digest, size, created_rev, state) VALUES (?1, ?2, ?3, 'sound')
                 ON CONFLICT (digest) DO UPDATE SET created_rev = ?3, state = 'sound'
                 WHERE state <> 'sound'",
                params![digest.as_bytes(), size as i64, next],
            )
        })?;
        self.changed |= changed > 0;
        Ok(())
    }

    /// Records a failed attempt, and marks its partition as failed.
    pub fn put_failure(&mut self, asset: &AssetKey, failure: &FailureRow) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        self.changed = true;
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO failure (asset, part, key, run, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    id,
                    failure.part,
                    failure.key.as_bytes(),
                    run_number(failure.run),
                    failure.reason
                ],
            )
        })?;
        self.edit_set(id, "failed", |failed| {
            failed.insert(failure.part);
        })
    }

    /// Forgets the failure of a partition, if it has one.
    pub fn clear_failure(&mut self, asset: &AssetKey, part: PartitionIdx) -> Result<(), Error> {
        let Some(id) = self.ask(|sql| sql.asset_id(asset))? else { return Ok(()) };
        let gone = self.ask(|sql| {
            sql.exec("DELETE FROM failure WHERE asset = ?1 AND part = ?2", params![id, part])
        })?;
        if gone == 0 {
            return Ok(());
        }
        self.changed = true;
        self.edit_set(id, "failed", |failed| {
            failed.remove(part);
        })
    }

    /// Records an asset as a whole: only what differs is written. `max_changed` never falls, and
    /// `failed` is left to `put_failure` and `clear_failure`.
    pub fn set_asset(&mut self, asset: &AssetKey, row: &AssetRow) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        let AssetRow { verified_rev, max_changed, shape, fresh, failed: _, seen } = row;
        let changed = self.ask(|sql| {
            sql.exec(
                "UPDATE asset SET verified_rev = ?2, max_changed = max(max_changed, ?3), shape = ?4
                 WHERE id = ?1 AND (verified_rev <> ?2 OR max_changed < ?3 OR shape IS NOT ?4)",
                params![
                    id,
                    verified_rev.0,
                    max_changed.0,
                    shape.as_ref().map(|shape| shape.as_bytes())
                ],
            )
        })?;
        self.changed |= changed > 0;
        self.edit_set(id, "fresh", |old| old.clone_from(fresh))?;
        self.set_seen(id, seen)
    }

    fn set_seen(&mut self, id: i64, seen: &[PartitionSet]) -> Result<(), Error> {
        let before = self.ask(|sql| {
            sql.one(
                "SELECT count(*) FROM asset_set WHERE asset = ?1 AND kind LIKE 'seen.%'",
                [id],
                |row| row.get::<_, u32>(0),
            )
        })?;
        for (place, set) in seen.iter().enumerate() {
            self.edit_set(id, &format!("seen.{place}"), |old| old.clone_from(set))?;
        }
        for place in seen.len()..before as usize {
            self.changed = true;
            self.ask(|sql| {
                sql.exec(
                    "DELETE FROM asset_set WHERE asset = ?1 AND kind = ?2",
                    params![id, format!("seen.{place}")],
                )
            })?;
        }
        Ok(())
    }

    /// Takes partitions out of the fresh ones: a change has reached them.
    pub fn clear_fresh(&mut self, asset: &AssetKey, set: &PartitionSet) -> Result<(), Error> {
        let Some(id) = self.ask(|sql| sql.asset_id(asset))? else { return Ok(()) };
        self.edit_set(id, "fresh", |fresh| *fresh -= set)
    }

    /// Adds partitions to the fresh ones.
    pub fn add_fresh(&mut self, asset: &AssetKey, set: &PartitionSet) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        self.edit_set(id, "fresh", |fresh| *fresh |= set)
    }

    /// Gives keys their indexes, in order, and makes them present. A key that was there before keeps
    /// the index it had.
    pub fn add_keys(
        &mut self,
        name: &str,
        keys: &[PartitionKey],
    ) -> Result<Vec<PartitionIdx>, Error> {
        let next = self.next_rev().0;
        let mut free = self.ask(|sql| {
            sql.one(
                "SELECT coalesce(max(idx) + 1, 0) FROM key_table WHERE name = ?1",
                [name],
                |row| row.get::<_, PartitionIdx>(0),
            )
        })?;
        let known = self.key_indexes(name, keys)?;
        let mut indexes = Vec::with_capacity(keys.len());
        let (mut new, mut again) = (Vec::new(), Vec::new());
        // In a sorted list each comes once.
        let may_repeat = !keys.is_sorted_by(|a, b| a < b);
        let mut given: HashMap<&PartitionKey, PartitionIdx> = HashMap::new();
        for (key, known) in keys.iter().zip(known) {
            let index = match (known, given.get(key)) {
                (_, Some(index)) => *index,
                (Some((index, true)), None) => index,
                (Some((index, false)), None) => {
                    again.push(index);
                    index
                }
                (None, None) => {
                    new.push((free, key));
                    free += 1;
                    free - 1
                }
            };
            if may_repeat {
                given.insert(key, index);
            }
            indexes.push(index);
        }
        self.changed |= !new.is_empty() || !again.is_empty();
        self.ask(|sql| {
            sql.insert(&KEY_TABLE, new.into_iter(), |(index, key), put| {
                put(&name)?;
                put(&index)?;
                put(&key.as_str())?;
                put(&next)
            })?;
            let mut back = sql.stmt(
                "UPDATE key_table SET present = 1, added_rev = ?3, removed_rev = NULL
                 WHERE name = ?1 AND idx = ?2",
            )?;
            for index in again {
                back.execute(params![name, index, next])?;
            }
            Ok(())
        })?;
        Ok(indexes)
    }

    /// The index of each key that is known, and whether it is present.
    fn key_indexes(
        &self,
        name: &str,
        keys: &[PartitionKey],
    ) -> Result<Vec<Option<(PartitionIdx, bool)>>, Error> {
        if keys.len() < MANY {
            return keys.iter().map(|key| self.key_index(name, key)).collect();
        }
        let (known, present) = self.key_rows(name)?;
        let known: HashMap<PartitionKey, PartitionIdx> = known.into_iter().zip(0..).collect();
        let index =
            |key: &PartitionKey| known.get(key).map(|index| (*index, present.contains(*index)));
        Ok(keys.iter().map(index).collect())
    }

    /// Makes keys absent, and says the indexes of those that were present. They stay theirs.
    pub fn remove_keys(
        &mut self,
        name: &str,
        keys: &[PartitionKey],
    ) -> Result<PartitionSet, Error> {
        let next = self.next_rev().0;
        let mut removed = PartitionSet::new();
        for key in keys {
            if let Some((index, true)) = self.key_index(name, key)? {
                self.changed = true;
                removed.insert(index);
                self.ask(|sql| {
                    sql.exec(
                        "UPDATE key_table SET present = 0, removed_rev = ?3 WHERE name = ?1 AND idx = ?2",
                        params![name, index, next],
                    )
                })?;
            }
        }
        Ok(removed)
    }

    fn key_index(
        &self,
        name: &str,
        key: &PartitionKey,
    ) -> Result<Option<(PartitionIdx, bool)>, Error> {
        self.ask(|sql| {
            sql.maybe(
                "SELECT idx, present FROM key_table WHERE name = ?1 AND key = ?2",
                params![name, key.as_str()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
        })
    }

    /// The row of a step, new or known.
    pub fn intern_step(&mut self, asset: &AssetKey, parts: &StepParts) -> Result<StepId, Error> {
        if let Some(known) = self.find_step(asset, parts)? {
            return Ok(known);
        }
        let id = self.ensure_asset(asset)?;
        let text = serde_json::to_string(parts).expect("a map of texts can be written");
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO step_version (asset, digest, parts) VALUES (?1, ?2, ?3)",
                params![id, parts.digest().as_bytes(), text],
            )?;
            Ok(StepId(sql.conn.last_insert_rowid()))
        })
    }

    /// The row of an output, new or known. Its number comes from its content, so that no second index
    /// has to be kept: each page that a small commit touches is a tenth of its cost.
    fn intern_output(&mut self, output: &Output) -> Result<i64, Error> {
        if let Some((last, id)) = &self.last_output
            && last == output
        {
            return Ok(*id);
        }
        let Output { kind, digest, size, schema } = output;
        let mut id = output_number(output);
        loop {
            let row = params![
                id,
                output_kind_text(*kind),
                digest.as_bytes(),
                *size as i64,
                schema.as_deref()
            ];
            let inserted = self.ask(|sql| {
                sql.exec(
                    "INSERT OR IGNORE INTO output (id, kind, digest, size, schema)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    row,
                )
            })?;
            // Two outputs with one number are possible, if only just: the second gets the next one.
            if inserted > 0 || self.output(id)?.as_ref() == Some(output) {
                self.last_output = Some((output.clone(), id));
                return Ok(id);
            }
            id = id.wrapping_add(1);
        }
    }

    /// The number of an asset's row, which is made if there is none.
    pub(super) fn ensure_asset(&mut self, asset: &AssetKey) -> Result<i64, Error> {
        self.ask(|sql| {
            if let Some(id) = sql.asset_id(asset)? {
                return Ok(id);
            }
            sql.exec("INSERT INTO asset (name) VALUES (?1)", [asset.as_str()])?;
            let id = sql.conn.last_insert_rowid();
            sql.ids.borrow_mut().insert(asset.clone(), id);
            Ok(id)
        })
    }

    /// The versions of partitions are new ones as of this transaction.
    fn log_changes<'v>(
        &mut self,
        id: i64,
        changes: impl Iterator<Item = (PartitionIdx, &'v Digest, Option<i64>)>,
    ) -> Result<(), Error> {
        let next = self.next_rev().0;
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return Ok(());
        }
        self.ask(|sql| {
            sql.insert(&MAT_LOG, changes, |(part, version, run), put| {
                put(&id)?;
                put(&part)?;
                put(&next)?;
                put(version.as_bytes())?;
                put(&run)
            })
        })?;
        if self.moved.insert(id) {
            self.ask(|sql| {
                sql.exec("UPDATE asset SET max_changed = ?2 WHERE id = ?1", params![id, next])
            })?;
        }
        Ok(())
    }

    /// Reads, edits and writes a set; nothing is written if it stays equal.
    fn edit_set(
        &mut self,
        id: i64,
        kind: &str,
        edit: impl FnOnce(&mut PartitionSet),
    ) -> Result<(), Error> {
        let before = self.ask(|sql| {
            sql.maybe(
                "SELECT data FROM asset_set WHERE asset = ?1 AND kind = ?2",
                params![id, kind],
                |row| set_at(row, 0),
            )
        })?;
        let mut set = before.clone().unwrap_or_default();
        edit(&mut set);
        // An empty `seen` set counts: it has a place in a list.
        if before.as_ref() == Some(&set)
            || (before.is_none() && set.is_empty() && !kind.starts_with("seen."))
        {
            return Ok(());
        }
        self.changed = true;
        let data = serialize(set);
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO asset_set (asset, kind, data) VALUES (?1, ?2, ?3)",
                params![id, kind, data],
            )
        })?;
        Ok(())
    }

    /// Says that records were changed.
    pub(super) fn touch(&mut self) {
        self.changed = true;
    }
}

fn output_number(output: &Output) -> i64 {
    let Output { kind, digest, size, schema } = output;
    let number = Digest::builder("giornata 2026 output row")
        .part(output_kind_text(*kind))
        .digest(digest)
        .number(*size)
        .number(u64::from(schema.is_some()))
        .part(schema.as_deref().unwrap_or_default())
        .finish();
    let (first, _) = number.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
    i64::from_le_bytes(*first)
}

/// The bytes of a set, as short as they can be.
pub(super) fn serialize(mut set: PartitionSet) -> Vec<u8> {
    set.optimize();
    let mut data = Vec::with_capacity(set.serialized_size());
    set.serialize_into(&mut data).expect("writing to memory does not fail");
    data
}
