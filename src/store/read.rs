//! Questions about assets, results, keys and traces.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use rusqlite::{Row, params, params_from_iter};

use super::error::undecodable;
use super::{Error, Store, Trace};
use crate::base::{
    AssetKey, AssetRow, Column, Digest, FailureRow, Flags, Mark, MatRow, Note, Output, OutputKind,
    PartitionIdx, PartitionKey, PartitionSet, Rev, RunId, StepId, StepParts, ranges,
};
use crate::defs::KeyTable;

/// Above this many ranges one scan from the first to the last is cheaper than a query each.
const RANGES_MAX: usize = 256;

/// From so many partitions on that are no neighbours they are asked for together.
const SINGLES_MIN: usize = 4;

impl Store {
    /// The number of the last commit that changed records.
    pub fn rev(&self) -> Result<Rev, Error> {
        self.ask(|sql| sql.meta_rev())
    }

    /// Every asset that was ever recorded, in no particular order.
    pub fn assets(&self) -> Result<Vec<(AssetKey, AssetRow)>, Error> {
        self.ask(|sql| {
            let mut ids = HashMap::new();
            let mut rows = sql.all(
                "SELECT id, name, verified_rev, max_changed, shape FROM asset ORDER BY id",
                [],
                |row| {
                    ids.insert(row.get::<_, i64>(0)?, ids.len());
                    Ok((key_at(row, 1)?, asset_row(row, 2)?))
                },
            )?;
            let mut sets = sql.stmt("SELECT asset, kind, data FROM asset_set")?;
            let mut sets = sets.query([])?;
            while let Some(set) = sets.next()? {
                let place = ids.get(&set.get(0)?).ok_or_else(|| undecodable("asset number"))?;
                add_set(&mut rows[*place].1, set)?;
            }
            sql.remember_ids(&rows, &ids);
            Ok(rows)
        })
    }

    /// What is known of one asset as a whole; the default, if it was never recorded.
    pub fn asset(&self, asset: &AssetKey) -> Result<AssetRow, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(AssetRow::default()) };
            let mut found = sql.one(
                "SELECT verified_rev, max_changed, shape FROM asset WHERE id = ?1",
                [id],
                |row| asset_row(row, 0),
            )?;
            let mut sets = sql.stmt("SELECT asset, kind, data FROM asset_set WHERE asset = ?1")?;
            let mut sets = sets.query([id])?;
            while let Some(set) = sets.next()? {
                add_set(&mut found, set)?;
            }
            Ok(found)
        })
    }

    /// All rows of an asset, by partition.
    pub fn column(&self, asset: &AssetKey) -> Result<Column, Error> {
        let mut column = Column::default();
        // Beyond what a partition can be too: a damaged row is to be found, not passed over.
        self.marks_between(asset, [(i64::MIN, i64::MAX)], |mark| column.push(mark))?;
        Ok(column)
    }

    /// The rows of some partitions, by partition.
    pub fn marks_in(&self, asset: &AssetKey, set: &PartitionSet) -> Result<Vec<Mark>, Error> {
        let mut marks = Vec::new();
        let ranges = few_ranges(set);
        let is_single = |range: &RangeInclusive<PartitionIdx>| range.start() == range.end();
        let are_many = ranges.iter().filter(|range| is_single(range)).count() >= SINGLES_MIN;
        let (single, wide): (Vec<_>, Vec<_>) =
            ranges.into_iter().partition(|range| are_many && is_single(range));
        let wide = wide.iter().map(|range| (i64::from(*range.start()), i64::from(*range.end())));
        self.marks_between(asset, wide, |mark| marks.push(mark))?;
        let single: Vec<PartitionIdx> = single.iter().map(|range| *range.start()).collect();
        self.marks_of(asset, &single, |mark| marks.push(mark))?;
        marks.retain(|mark| set.contains(mark.part));
        marks.sort_unstable_by_key(|mark| mark.part);
        Ok(marks)
    }

    /// The rows of partitions that are no neighbours: several with one statement, which is twice as fast.
    fn marks_of(
        &self,
        asset: &AssetKey,
        parts: &[PartitionIdx],
        mut take: impl FnMut(Mark),
    ) -> Result<(), Error> {
        if parts.is_empty() {
            return Ok(());
        }
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(()) };
            let mut statement = sql.stmt(
                "SELECT part, changed_at, verified_at, step, key, version, flags
                 FROM mat WHERE asset = ?1 AND part IN (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            for few in parts.chunks(8) {
                // Where there are fewer, the last one is asked for again.
                let asked = (0..8).map(|at| i64::from(few[at.min(few.len() - 1)]));
                let mut rows = statement.query(params_from_iter([id].into_iter().chain(asked)))?;
                while let Some(row) = rows.next()? {
                    take(mark_at(row)?);
                }
            }
            Ok(())
        })
    }

    fn marks_between(
        &self,
        asset: &AssetKey,
        ranges: impl IntoIterator<Item = (i64, i64)>,
        mut take: impl FnMut(Mark),
    ) -> Result<(), Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(()) };
            let mut statement = sql.stmt(
                "SELECT part, changed_at, verified_at, step, key, version, flags
                 FROM mat WHERE asset = ?1 AND part BETWEEN ?2 AND ?3 ORDER BY part",
            )?;
            for (first, last) in ranges {
                let mut rows = statement.query(params![id, first, last])?;
                while let Some(row) = rows.next()? {
                    take(mark_at(row)?);
                }
            }
            Ok(())
        })
    }

    /// The partitions outside of `existing` that have a value. Where these are a few ranges, only what
    /// lies between them is looked at.
    pub fn values_outside(
        &self,
        asset: &AssetKey,
        existing: &PartitionSet,
    ) -> Result<PartitionSet, Error> {
        self.ask(|sql| {
            let mut found = PartitionSet::new();
            let Some(id) = sql.asset_id(asset)? else { return Ok(found) };
            for gap in few_gaps(existing) {
                let mut rows = sql.stmt(
                    "SELECT part FROM mat
                     WHERE asset = ?1 AND part BETWEEN ?2 AND ?3 AND flags & ?4 = 0",
                )?;
                let removed = Flags::REMOVED.0;
                let mut rows = rows.query(params![id, gap.start(), gap.end(), removed])?;
                while let Some(row) = rows.next()? {
                    found.insert(row.get(0)?);
                }
            }
            Ok(found - existing)
        })
    }

    /// The result of one partition.
    pub fn row(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Option<MatRow>, Error> {
        Ok(self.rows_between(asset, part, part)?.pop())
    }

    /// The results of some partitions, by partition.
    pub fn rows_in(&self, asset: &AssetKey, set: &PartitionSet) -> Result<Vec<MatRow>, Error> {
        let mut rows = Vec::new();
        for range in few_ranges(set) {
            rows.append(&mut self.rows_between(asset, *range.start(), *range.end())?);
        }
        rows.retain(|row| set.contains(row.part));
        Ok(rows)
    }

    fn rows_between(
        &self,
        asset: &AssetKey,
        first: PartitionIdx,
        last: PartitionIdx,
    ) -> Result<Vec<MatRow>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(Vec::new()) };
            sql.all(
                "SELECT part, changed_at, verified_at, step, key, version, run, flags, made_ms,
                        output.kind, output.digest, output.size, output.schema
                 FROM mat LEFT JOIN output ON output.id = mat.output
                 WHERE asset = ?1 AND part BETWEEN ?2 AND ?3 ORDER BY part",
                params![id, first, last],
                mat_row,
            )
        })
    }

    /// The partitions whose version has changed after a revision, removed ones included.
    pub fn changed_since(&self, asset: &AssetKey, rev: Rev) -> Result<PartitionSet, Error> {
        self.ask(|sql| {
            let mut set = PartitionSet::new();
            let Some(id) = sql.asset_id(asset)? else { return Ok(set) };
            let mut rows = sql.stmt("SELECT part FROM mat WHERE asset = ?1 AND changed_at > ?2")?;
            let mut rows = rows.query(params![id, rev.0])?;
            while let Some(row) = rows.next()? {
                set.insert(row.get(0)?);
            }
            Ok(set)
        })
    }

    /// The partitions whose result was made before a moment.
    pub fn made_before(&self, asset: &AssetKey, ms: i64) -> Result<PartitionSet, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(PartitionSet::new()) };
            let parts = sql.all(
                "SELECT part FROM mat WHERE asset = ?1 AND made_ms < ?2 AND flags & ?3 = 0",
                params![id, ms, Flags::REMOVED.0],
                |row| row.get::<_, PartitionIdx>(0),
            )?;
            Ok(parts.into_iter().collect())
        })
    }

    /// The partitions of which two runs with one key gave different results.
    pub fn nondeterministic(&self, asset: &AssetKey) -> Result<PartitionSet, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(PartitionSet::new()) };
            // The condition as the index has it. By itself SQLite takes the primary key.
            let query = "SELECT part FROM mat INDEXED BY mat_differing
                         WHERE asset = ?1 AND flags & 16 <> 0";
            Ok(sql.all(query, [id], |row| row.get::<_, PartitionIdx>(0))?.into_iter().collect())
        })
    }

    /// What was said of a partition that somebody marked by hand, last.
    pub fn note(&self, asset: &AssetKey, part: PartitionIdx) -> Result<Option<Note>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(None) };
            sql.maybe(
                "SELECT reason, made_ms FROM note WHERE asset = ?1 AND part = ?2",
                params![id, part],
                |row| Ok(Note { reason: row.get(0)?, made_ms: row.get(1)? }),
            )
        })
    }

    /// The version that a partition had as of a revision: `None` if it had none yet, a digest of zeros
    /// if it was removed.
    pub fn changed_versions(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
        rev: Rev,
    ) -> Result<Option<Digest>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(None) };
            sql.maybe(
                "SELECT version FROM mat_log WHERE asset = ?1 AND part = ?2 AND rev <= ?3
                 ORDER BY rev DESC LIMIT 1",
                params![id, part, rev.0],
                |row| digest_at(row, 0),
            )
        })
    }

    /// What a key has led to.
    pub fn trace(&self, key: &Digest) -> Result<Option<Trace>, Error> {
        self.ask(|sql| {
            sql.maybe(
                "SELECT output.kind, output.digest, output.size, output.schema,
                        asset.name, trace.part, trace.version, trace.made_ms
                 FROM trace JOIN output ON output.id = trace.output JOIN asset ON asset.id = trace.asset
                 WHERE trace.key = ?1",
                [key.as_bytes()],
                |row| {
                    Ok(Trace {
                        output: output_at(row, 0)?.ok_or_else(|| undecodable("output"))?,
                        asset: key_at(row, 4)?,
                        part: row.get(5)?,
                        version: digest_at(row, 6)?,
                        made_ms: row.get(7)?,
                    })
                },
            )
        })
    }

    /// An output by its number.
    pub(super) fn output(&self, id: i64) -> Result<Option<Output>, Error> {
        self.ask(|sql| {
            let query = "SELECT kind, digest, size, schema FROM output WHERE id = ?1";
            Ok(sql.maybe(query, [id], |row| output_at(row, 0))?.flatten())
        })
    }

    /// What a step consisted of.
    pub fn step_parts(&self, step: StepId) -> Result<Option<StepParts>, Error> {
        self.ask(|sql| {
            sql.maybe("SELECT parts FROM step_version WHERE id = ?1", [step.0], |row| {
                serde_json::from_str(row.get_ref(0)?.as_str()?)
                    .map_err(|_| undecodable("description of a step"))
            })
        })
    }

    /// The row of a step. Written in a transaction of its own, if it is new.
    pub fn intern_step(&mut self, asset: &AssetKey, parts: &StepParts) -> Result<StepId, Error> {
        if let Some(known) = self.find_step(asset, parts)? {
            return Ok(known);
        }
        let mut tx = self.begin()?;
        let step = tx.intern_step(asset, parts)?;
        tx.commit()?;
        Ok(step)
    }

    pub(super) fn find_step(
        &self,
        asset: &AssetKey,
        parts: &StepParts,
    ) -> Result<Option<StepId>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(None) };
            sql.maybe(
                "SELECT id FROM step_version WHERE asset = ?1 AND digest = ?2",
                params![id, parts.digest().as_bytes()],
                |row| row.get(0).map(StepId),
            )
        })
    }

    /// The keys of a table with their indexes; empty if there is none of this name.
    pub fn key_table(&self, name: &str) -> Result<Arc<KeyTable>, Error> {
        let (keys, present) = self.key_rows(name)?;
        Ok(KeyTable::new(keys, present))
    }

    /// The content of a key table: the place of a key is its index.
    pub fn key_rows(&self, name: &str) -> Result<(Vec<PartitionKey>, PartitionSet), Error> {
        self.ask(|sql| {
            let (mut keys, mut present) = (Vec::new(), PartitionSet::new());
            let mut rows =
                sql.stmt("SELECT idx, key, present FROM key_table WHERE name = ?1 ORDER BY idx")?;
            let mut rows = rows.query([name])?;
            while let Some(row) = rows.next()? {
                let index: PartitionIdx = row.get(0)?;
                if index as usize != keys.len() {
                    return Err(undecodable("index of a key"));
                }
                keys.push(PartitionKey::new(row.get_ref(1)?.as_str()?));
                if row.get(2)? {
                    present.insert(index);
                }
            }
            Ok((keys, present))
        })
    }

    /// The last failed attempts of an asset's partitions, by partition.
    pub fn failures(&self, asset: &AssetKey) -> Result<Vec<FailureRow>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(Vec::new()) };
            sql.all(
                "SELECT part, key, run, reason FROM failure WHERE asset = ?1 ORDER BY part",
                [id],
                |row| {
                    Ok(FailureRow {
                        part: row.get(0)?,
                        key: digest_at(row, 1)?,
                        run: run_at(row, 2)?.ok_or_else(|| undecodable("run of a failure"))?,
                        reason: row.get(3)?,
                    })
                },
            )
        })
    }

    /// The content of a small output. It is not checked against its digest.
    pub fn blob_small(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        self.ask(|sql| {
            sql.maybe("SELECT data FROM blob_small WHERE digest = ?1", [digest.as_bytes()], |row| {
                row.get(0)
            })
        })
    }

    pub(super) fn meta_rev(&self) -> rusqlite::Result<Rev> {
        self.one("SELECT value FROM meta WHERE key = 'rev'", [], |row| row.get(0).map(Rev))
    }

    /// The number of an asset's row; `None` if it was never recorded.
    pub(super) fn asset_id(&self, asset: &AssetKey) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.ids.borrow().get(asset) {
            return Ok(Some(*id));
        }
        let id = self.maybe("SELECT id FROM asset WHERE name = ?1", [asset.as_str()], |row| {
            row.get::<_, i64>(0)
        })?;
        if let Some(id) = id {
            self.ids.borrow_mut().insert(asset.clone(), id);
        }
        Ok(id)
    }

    fn remember_ids(&self, rows: &[(AssetKey, AssetRow)], ids: &HashMap<i64, usize>) {
        let mut known = self.ids.borrow_mut();
        for (id, place) in ids {
            known.insert(rows[*place].0.clone(), *id);
        }
    }
}

/// The ranges of a set, or one from its first to its last member if there are too many.
fn few_ranges(set: &PartitionSet) -> Vec<RangeInclusive<PartitionIdx>> {
    let few: Vec<_> = ranges(set).take(RANGES_MAX + 1).collect();
    match (set.min(), set.max()) {
        (Some(first), Some(last)) if few.len() > RANGES_MAX => vec![first..=last],
        (_, _) => few,
    }
}

/// What lies between the ranges of a set, before and behind them; everything if that is too much.
fn few_gaps(set: &PartitionSet) -> Vec<RangeInclusive<PartitionIdx>> {
    let (mut gaps, mut next) = (Vec::new(), Some(0));
    for range in ranges(set).take(RANGES_MAX + 1) {
        let before = next.zip(range.start().checked_sub(1)).map(|(first, last)| first..=last);
        gaps.extend(before.filter(|gap| !gap.is_empty()));
        next = range.end().checked_add(1);
    }
    if gaps.len() >= RANGES_MAX {
        return vec![0..=PartitionIdx::MAX];
    }
    gaps.extend(next.map(|first| first..=PartitionIdx::MAX));
    gaps
}

fn mark_at(row: &Row<'_>) -> rusqlite::Result<Mark> {
    Ok(Mark {
        part: row.get(0)?,
        changed_at: Rev(row.get(1)?),
        verified_at: Rev(row.get(2)?),
        step: row.get::<_, Option<i64>>(3)?.map(StepId),
        key: digest_at(row, 4)?,
        version: digest_at(row, 5)?,
        flags: Flags(row.get(6)?),
    })
}

fn asset_row(row: &Row<'_>, at: usize) -> rusqlite::Result<AssetRow> {
    Ok(AssetRow {
        verified_rev: Rev(row.get(at)?),
        max_changed: Rev(row.get(at + 1)?),
        shape: row.get::<_, Option<[u8; 32]>>(at + 2)?.map(Digest::from_bytes),
        ..AssetRow::default()
    })
}

/// Puts a row `asset, kind, data` of `asset_set` in its place.
fn add_set(row: &mut AssetRow, set: &Row<'_>) -> rusqlite::Result<()> {
    let data = set_at(set, 2)?;
    match set.get_ref(1)?.as_str()? {
        "fresh" => row.fresh = data,
        "failed" => row.failed = data,
        other => {
            let place: usize = other
                .strip_prefix("seen.")
                .and_then(|number| number.parse().ok())
                .filter(|place| *place < 1_000_000)
                .ok_or_else(|| undecodable("kind of set"))?;
            if row.seen.len() <= place {
                row.seen.resize_with(place + 1, PartitionSet::new);
            }
            row.seen[place] = data;
        }
    }
    Ok(())
}

fn mat_row(row: &Row<'_>) -> rusqlite::Result<MatRow> {
    Ok(MatRow {
        part: row.get(0)?,
        changed_at: Rev(row.get(1)?),
        verified_at: Rev(row.get(2)?),
        step: row.get::<_, Option<i64>>(3)?.map(StepId),
        key: digest_at(row, 4)?,
        version: digest_at(row, 5)?,
        run: run_at(row, 6)?,
        flags: Flags(row.get(7)?),
        made_ms: row.get(8)?,
        output: output_at(row, 9)?,
    })
}

/// An output in four columns, from `at` on; `None` if they are null.
fn output_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Output>> {
    let Some(kind) = row.get_ref(at)?.as_str_or_null()? else { return Ok(None) };
    Ok(Some(Output {
        kind: output_kind(kind)?,
        digest: digest_at(row, at + 1)?,
        size: row.get::<_, i64>(at + 2)? as u64,
        schema: row.get(at + 3)?,
    }))
}

pub(super) fn output_kind_text(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Table => "table",
        OutputKind::File => "file",
        OutputKind::Tree => "tree",
    }
}

pub(super) fn output_kind(text: &str) -> rusqlite::Result<OutputKind> {
    [OutputKind::Table, OutputKind::File, OutputKind::Tree]
        .into_iter()
        .find(|kind| output_kind_text(*kind) == text)
        .ok_or_else(|| undecodable("kind of output"))
}

pub(super) fn key_at(row: &Row<'_>, at: usize) -> rusqlite::Result<AssetKey> {
    AssetKey::parse(row.get_ref(at)?.as_str()?).map_err(|_| undecodable("name of an asset"))
}

pub(super) fn digest_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Digest> {
    Digest::from_slice(row.get_ref(at)?.as_blob()?).ok_or_else(|| undecodable("digest"))
}

pub(super) fn set_at(row: &Row<'_>, at: usize) -> rusqlite::Result<PartitionSet> {
    PartitionSet::deserialize_from(row.get_ref(at)?.as_blob()?)
        .map_err(|_| undecodable("set of partitions"))
}

/// How a run is written: SQLite's numbers are signed.
pub(super) fn run_number(run: RunId) -> i64 {
    run.0 as i64
}

pub(super) fn run_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<RunId>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(|number| RunId(number as u64)))
}

/// A JSON object of numbers.
pub(super) fn numbers_at(row: &Row<'_>, at: usize) -> rusqlite::Result<BTreeMap<String, u64>> {
    serde_json::from_str(row.get_ref(at)?.as_str()?).map_err(|_| undecodable("list of counts"))
}
