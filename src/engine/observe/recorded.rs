//! Records what was seen of one source.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Seen;
use crate::base::{
    AssetRow, Column, Digest, Flags, Mark, MatRow, PartitionIdx, PartitionKey, PartitionSet, Rev,
};
use crate::defs::{Domain, KeyTable};
use crate::engine::ledger::Batch;

/// What is recorded of a source.
pub struct Known {
    /// When it was looked at.
    pub seen_ms: i64,
    pub row: Arc<AssetRow>,
    pub column: Arc<Column>,
}

/// Records what was seen of one source: versions that differ, tombstones of what is gone, keys, and the
/// row. Gives the keys as they are recorded then, where the files say which there are.
pub fn record(
    batch: &mut Batch<'_>,
    known: &Known,
    seen: &Seen,
    domain: &Domain,
    versions: &BTreeMap<PartitionKey, Digest>,
) -> Result<Option<(String, Arc<KeyTable>)>, crate::store::Error> {
    let key = &seen.asset.key;
    let mut present: BTreeMap<PartitionIdx, Digest> = BTreeMap::new();
    let mut keys = None;
    match seen.dynamic_table() {
        Some(table) => {
            let (names, indexes) = record_keys(batch, &table, versions.keys())?;
            present.extend(indexes.iter().copied().zip(versions.values().copied()));
            keys = Some((table, KeyTable::new(names, indexes.into_iter().collect())));
        }
        None => {
            for (key, version) in versions {
                if let Some(part) = domain.index(key.as_str()) {
                    present.insert(part, *version);
                }
            }
        }
    }
    let next = batch.tx().next_rev();
    let is_new = |(part, version): &(&PartitionIdx, &Digest)| {
        let before = known.column.get(**part).filter(Mark::has_value);
        before.is_none_or(|mark| mark.version != **version)
    };
    let moved = present.iter().filter(is_new);
    let moved = moved.map(|(part, version)| observation(*part, *version, next, known.seen_ms));
    batch.put_all(key, moved.collect())?;
    let fresh: PartitionSet = present.keys().copied().collect();
    let gone = known.column.with_value() - &fresh;
    if !gone.is_empty() {
        batch.remove(key, &gone)?;
    }
    let row = AssetRow {
        verified_rev: next,
        shape: Some(seen.shape),
        fresh,
        ..AssetRow::clone(&known.row)
    };
    batch.set_row(key, row)?;
    Ok(keys)
}

/// Makes exactly these keys present in a table. Gives all that it has then, and the indexes of these.
fn record_keys<'a>(
    batch: &mut Batch<'_>,
    table: &str,
    keys: impl Iterator<Item = &'a PartitionKey>,
) -> Result<(Vec<PartitionKey>, Vec<PartitionIdx>), crate::store::Error> {
    let (mut names, were) = batch.tx().key_rows(table)?;
    let keys: Vec<PartitionKey> = keys.cloned().collect();
    let indexes = batch.tx().add_keys(table, &keys)?;
    let gone = were - indexes.iter().copied().collect::<PartitionSet>();
    let gone: Vec<PartitionKey> = gone.iter().map(|index| names[index as usize].clone()).collect();
    batch.tx().remove_keys(table, &gone)?;
    let known = names.len();
    let new = indexes.iter().zip(keys).filter(|(index, _)| **index as usize >= known);
    // They are numbered in the order in which they were given.
    names.extend(new.map(|(_, key)| key));
    Ok((names, indexes))
}

pub fn observation(part: PartitionIdx, version: Digest, rev: Rev, seen_ms: i64) -> MatRow {
    MatRow {
        part,
        changed_at: rev,
        verified_at: rev,
        step: None,
        key: version,
        version,
        output: None,
        run: None,
        flags: Flags::default(),
        made_ms: seen_ms,
    }
}
