//! Which partitions of others each partition asked for when it was made last.

use rusqlite::params;

use super::error::undecodable;
use super::read::digest_at;
use super::{Error, Store, Tx};
use crate::base::{AskedRow, AssetKey, Digest, PartitionKey};

impl Store {
    /// What the partitions of `asset` asked for of `upstream`.
    pub fn asked(&self, asset: &AssetKey, upstream: &AssetKey) -> Result<Vec<AskedRow>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(Vec::new()) };
            sql.all(
                "SELECT part, base, keys FROM asked WHERE asset = ?1 AND upstream = ?2 ORDER BY part",
                params![id, upstream.as_str()],
                |row| {
                    let keys = row.get_ref(2)?.as_str().map_err(|_| undecodable("what was asked for"))?;
                    let keys = serde_json::from_str::<Vec<(String, Option<Digest>)>>(keys);
                    let keys = keys.map_err(|_| undecodable("what was asked for"))?;
                    let keys = keys.into_iter();
                    let keys = keys.map(|(key, version)| (PartitionKey::new(key), version)).collect();
                    Ok(AskedRow { part: row.get(0)?, base: digest_at(row, 1)?, keys })
                },
            )
        })
    }
}

impl Tx<'_> {
    /// Replaces what a partition asked for of one upstream asset. It is a hint for plans and makes nothing
    /// stale, so it is no change of records.
    pub fn put_asked(
        &mut self,
        asset: &AssetKey,
        upstream: &AssetKey,
        row: &AskedRow,
    ) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        let AskedRow { part, base, keys } = row;
        let keys: Vec<(&str, Option<Digest>)> =
            keys.iter().map(|(key, version)| (key.as_str(), *version)).collect();
        let keys = serde_json::to_string(&keys).expect("keys are plain texts");
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO asked (asset, part, upstream, base, keys)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, part, upstream.as_str(), base.as_bytes(), keys],
            )
        })?;
        Ok(())
    }
}
