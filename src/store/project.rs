//! Facts about the project that every process must agree on: what indexes mean, and a secret.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rusqlite::params;

use super::read::{digest_at, key_at, output_kind_text};
use super::{Error, OpenOptions, Store, Tx};
use crate::base::{AssetKey, Digest, OutputKind, PartitionIdx, PartitionSet};

impl Store {
    /// Opens the database for a command that only looks: in place if it can be written to (what is
    /// observed is then recorded), as a copy in memory if not, and empty if there is none.
    pub fn open_for_reading(dir: &Path, options: &OpenOptions) -> Result<Store, Error> {
        if !dir.join("giornata.db").exists() {
            return Store::open_copy(dir);
        }
        match Store::open_with(dir, options) {
            // What cannot be opened for writing may be on a disk that is full or mounted read-only.
            Err(
                Error::ReadOnly { .. }
                | Error::Full { .. }
                | Error::NotOpened { .. }
                | Error::Io { .. }
                | Error::Busy { .. },
            ) => Store::open_copy(dir),
            other => other,
        }
    }

    /// What the indexes of each asset's records mean.
    pub fn index_spaces(&self) -> Result<HashMap<AssetKey, String>, Error> {
        self.ask(|sql| {
            let rows = sql.all("SELECT asset, space FROM index_space", [], |row| {
                Ok((key_at(row, 0)?, row.get(1)?))
            })?;
            Ok(rows.into_iter().collect())
        })
    }

    /// The results whose content is under this digest.
    pub fn results_with(&self, digest: &Digest) -> Result<Vec<(AssetKey, PartitionSet)>, Error> {
        self.ask(|sql| {
            let rows = sql.all(
                "SELECT asset.name, mat.part FROM output JOIN mat ON mat.output = output.id
                 JOIN asset ON asset.id = mat.asset WHERE output.digest = ?1",
                [digest.as_bytes()],
                |row| Ok((key_at(row, 0)?, row.get::<_, PartitionIdx>(1)?)),
            )?;
            let mut sets: BTreeMap<AssetKey, PartitionSet> = BTreeMap::new();
            for (asset, part) in rows {
                sets.entry(asset).or_default().insert(part);
            }
            Ok(sets.into_iter().collect())
        })
    }

    /// Whether there may be traces of an asset for partitions of which there is no row: records were forgotten
    /// because their numbers came to mean something else.
    pub fn is_renumbered(&self, asset: &AssetKey) -> Result<bool, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(false) };
            let query = "SELECT 1 FROM meta WHERE key = 'renumbered ' || ?1";
            Ok(sql.maybe(query, [id], |_| Ok(()))?.is_some())
        })
    }

    /// The digests of all outputs that are trees.
    pub fn trees(&self) -> Result<Vec<Digest>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT DISTINCT digest FROM output WHERE kind = ?1 ORDER BY digest",
                [output_kind_text(OutputKind::Tree)],
                |row| digest_at(row, 0),
            )
        })
    }

    /// A random text of this project, made at the first call: the key under which the values of
    /// environment variables are digested.
    pub fn secret(&mut self) -> Result<String, Error> {
        self.ask(|sql| {
            sql.exec(
                "INSERT OR IGNORE INTO meta (key, value) VALUES ('secret', hex(randomblob(32)))",
                [],
            )?;
            sql.one("SELECT value FROM meta WHERE key = 'secret'", [], |row| row.get(0))
        })
    }
}

impl Tx<'_> {
    /// Says what the indexes of an asset's records mean from now on. If they meant something else, the
    /// records are forgotten: results, failures, sets and attempts, but not traces.
    pub fn set_index_space(&mut self, asset: &AssetKey, space: &str) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        let next = self.next_rev().0;
        let known = self.ask(|sql| {
            sql.maybe("SELECT space FROM index_space WHERE asset = ?1", [asset.as_str()], |row| {
                row.get::<_, String>(0)
            })
        })?;
        if known.as_deref() == Some(space) {
            return Ok(());
        }
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO index_space (asset, space) VALUES (?1, ?2)",
                params![asset.as_str(), space],
            )?;
            if known.is_none() {
                return Ok(());
            }
            // The traces that stay have the numbers of before, and no row is left to tell of them.
            sql.exec(
                "INSERT OR IGNORE INTO meta (key, value) SELECT 'renumbered ' || ?1, ?2
                 WHERE EXISTS (SELECT 1 FROM mat WHERE asset = ?1)",
                params![id, next],
            )?;
            for statement in [
                "DELETE FROM mat WHERE asset = ?1",
                "DELETE FROM mat_log WHERE asset = ?1",
                "DELETE FROM failure WHERE asset = ?1",
                "DELETE FROM asset_set WHERE asset = ?1",
                // What is told of runs stays, without the names of these partitions.
                "DELETE FROM attempt WHERE asset = ?1",
                "DELETE FROM run_target WHERE asset = ?1",
                "DELETE FROM run_set WHERE asset = ?1",
            ] {
                sql.exec(statement, [id])?;
            }
            sql.exec(
                "UPDATE asset SET verified_rev = 0, shape = NULL, max_changed = ?2 WHERE id = ?1",
                params![id, next],
            )?;
            Ok(())
        })?;
        self.touch();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, mat};
    use crate::base::Durability;
    use crate::store::Store;

    #[test]
    fn what_is_numbered_anew_is_known_to_have_been() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
        let mut tx = store.begin().unwrap();
        for asset in ["made", "never"] {
            tx.set_index_space(&key(asset), "days").unwrap();
        }
        tx.put_mat(&key("made"), &mat(0, "k", "v")).unwrap();
        tx.commit().unwrap();
        for (space, is_renumbered) in [("days", false), ("hours", true), ("days", true)] {
            let mut tx = store.begin().unwrap();
            for asset in ["made", "never"] {
                tx.set_index_space(&key(asset), space).unwrap();
            }
            tx.commit().unwrap();
            assert_eq!(store.is_renumbered(&key("made")).unwrap(), is_renumbered, "{space}");
            assert!(!store.is_renumbered(&key("never")).unwrap(), "nothing could be forgotten");
        }
        assert!(!store.is_renumbered(&key("nobody")).unwrap());
    }
}
