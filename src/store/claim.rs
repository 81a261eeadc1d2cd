//! Claims: who is making which partition right now.
//!
//! A claim names its owner, and an owner lives as long as it holds its lock, so that no time-out decides
//! who has died. A claim of a dead owner counts for nothing.

use rusqlite::params;

use super::{Error, Store, Tx, owner};
use crate::base::{AssetKey, PartitionIdx};

impl Tx<'_> {
    /// Claims a partition for `owner`; gives the other owner if somebody else who lives has claimed it.
    pub fn claim(
        &mut self,
        asset: &AssetKey,
        part: PartitionIdx,
        owner: &str,
    ) -> Result<Option<String>, Error> {
        let id = self.ensure_asset(asset)?;
        // Mostly nobody has.
        let claimed = self.ask(|sql| {
            sql.exec(
                "INSERT OR IGNORE INTO claim (asset, part, owner) VALUES (?1, ?2, ?3)",
                params![id, part, owner],
            )
        })?;
        if claimed > 0 {
            return Ok(None);
        }
        let known = self.ask(|sql| {
            let query = "SELECT owner FROM claim WHERE asset = ?1 AND part = ?2";
            sql.maybe(query, params![id, part], |row| row.get::<_, String>(0))
        })?;
        if let Some(other) = known.filter(|other| other != owner) {
            if owner::is_alive_elsewhere(self.path(), &other)? {
                return Ok(Some(other));
            }
            // Whoever closes the run of the dead does not find it by this claim any more.
            if !owner::is_alive(self.path(), &other) {
                self.end_attempt(id, part, &other)?;
            }
        }
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO claim (asset, part, owner) VALUES (?1, ?2, ?3)",
                params![id, part, owner],
            )
        })?;
        Ok(None)
    }

    /// Gives up a claim of `owner`'s.
    pub fn release(
        &mut self,
        asset: &AssetKey,
        part: PartitionIdx,
        owner: &str,
    ) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        self.ask(|sql| {
            sql.exec(
                "DELETE FROM claim WHERE asset = ?1 AND part = ?2 AND owner = ?3",
                params![id, part, owner],
            )
        })?;
        Ok(())
    }

    /// Gives up every claim of `owner`'s.
    pub fn release_all(&mut self, owner: &str) -> Result<(), Error> {
        self.ask(|sql| sql.exec("DELETE FROM claim WHERE owner = ?1", [owner]))?;
        Ok(())
    }
}

impl Store {
    /// Whether an owner of this project still lives, in whatever process.
    pub fn is_alive(&self, owner: &str) -> bool {
        owner::is_alive(self.path(), owner)
    }

    /// Whether an owner of this project still lives, in another process than this one.
    pub fn is_alive_elsewhere(&self, owner: &str) -> Result<bool, Error> {
        owner::is_alive_elsewhere(self.path(), owner)
    }
}
