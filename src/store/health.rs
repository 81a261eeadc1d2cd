//! Whether the database is sound, and what a power cut may have taken.

use std::collections::BTreeMap;
use std::fmt;

use rusqlite::params;

use super::read::{digest_at, key_at};
use super::{Error, Store, Tx};
use crate::base::{AssetKey, Digest, PartitionIdx, PartitionSet, Rev};

/// Something that is not as it should be. Its text says what and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A sentence of SQLite's own check.
    Database(String),
    /// A result or a trace of an asset names an output that has no row.
    DanglingOutput { asset: String, rows: u64 },
    /// Results name content that is recorded neither inline nor as a sound blob.
    MissingContent { asset: String, digest: Digest },
    /// Rows belong to an asset that has no row.
    DanglingAsset { table: &'static str, rows: u64 },
    /// Steps or values of steps belong to a run that has no row.
    DanglingRun { table: &'static str, rows: u64 },
    /// `max_changed` is older than a change.
    ChangeUnseen { asset: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Database(text) => write!(f, "the database is damaged: {text}"),
            Problem::DanglingOutput { asset, rows } => {
                write!(f, "results of {asset} name outputs that are not recorded ({rows} rows)")
            }
            Problem::MissingContent { asset, digest } => {
                write!(f, "a result of {asset} names the content {digest}, which is missing")
            }
            Problem::DanglingAsset { table, rows } => {
                write!(f, "the table `{table}` has rows of no recorded asset ({rows} rows)")
            }
            Problem::DanglingRun { table, rows } => {
                write!(f, "the table `{table}` has rows of no recorded run ({rows} rows)")
            }
            Problem::ChangeUnseen { asset } => {
                write!(f, "a change of {asset} is newer than the newest that is recorded for it")
            }
        }
    }
}

/// What is known of a blob's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobState {
    Sound,
    Missing,
    Corrupt,
}

impl BlobState {
    pub fn as_str(self) -> &'static str {
        match self {
            BlobState::Sound => "sound",
            BlobState::Missing => "missing",
            BlobState::Corrupt => "corrupt",
        }
    }
}

impl Store {
    /// Looks for damage: SQLite's quick check, and names of what is not there.
    pub fn integrity(&self) -> Result<Vec<Problem>, Error> {
        self.ask(|sql| {
            let mut problems: Vec<Problem> = sql
                .all("PRAGMA quick_check", [], |row| row.get::<_, String>(0))?
                .into_iter()
                .filter(|line| line != "ok")
                .map(Problem::Database)
                .collect();
            problems.extend(sql.dangling_outputs()?);
            problems.extend(sql.missing_content()?);
            problems.extend(sql.dangling_assets()?);
            problems.extend(sql.dangling_runs()?);
            problems.extend(sql.all(
                "SELECT name FROM asset WHERE max_changed <
                   (SELECT max(changed_at) FROM mat WHERE mat.asset = asset.id) ORDER BY name",
                [],
                |row| Ok(Problem::ChangeUnseen { asset: row.get(0)? }),
            )?);
            Ok(problems)
        })
    }

    fn dangling_outputs(&self) -> rusqlite::Result<Vec<Problem>> {
        self.all(
            "SELECT coalesce(name, '?'), count(*) FROM
               (SELECT asset, output FROM mat WHERE output IS NOT NULL
                UNION ALL SELECT asset, output FROM trace) used
             LEFT JOIN asset ON asset.id = used.asset
             WHERE NOT EXISTS (SELECT 1 FROM output WHERE output.id = used.output)
             GROUP BY 1 ORDER BY 1",
            [],
            |row| {
                Ok(Problem::DanglingOutput {
                    asset: row.get(0)?,
                    rows: row.get::<_, i64>(1)? as u64,
                })
            },
        )
    }

    /// Results whose output has no row, by asset.
    pub fn dangling_results(&self) -> Result<BTreeMap<AssetKey, PartitionSet>, Error> {
        self.ask(|sql| {
            let rows = sql.all(
                "SELECT name, part FROM mat JOIN asset ON asset.id = mat.asset
                 WHERE output IS NOT NULL AND output NOT IN (SELECT id FROM output)",
                [],
                |row| Ok((key_at(row, 0)?, row.get::<_, PartitionIdx>(1)?)),
            )?;
            let mut found: BTreeMap<AssetKey, PartitionSet> = BTreeMap::new();
            for (asset, part) in rows {
                found.entry(asset).or_default().insert(part);
            }
            Ok(found)
        })
    }

    fn missing_content(&self) -> rusqlite::Result<Vec<Problem>> {
        self.all(
            "SELECT DISTINCT coalesce(name, '?'), digest FROM mat
             JOIN output ON output.id = mat.output LEFT JOIN asset ON asset.id = mat.asset
             WHERE NOT EXISTS (SELECT 1 FROM blob_small WHERE blob_small.digest = output.digest)
               AND NOT EXISTS (SELECT 1 FROM blob WHERE blob.digest = output.digest AND state = 'sound')
             ORDER BY 1, 2",
            [],
            |row| Ok(Problem::MissingContent { asset: row.get(0)?, digest: digest_at(row, 1)? }),
        )
    }

    fn dangling_assets(&self) -> rusqlite::Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (table, query) in [
            ("mat", "SELECT count(*) FROM mat WHERE asset NOT IN (SELECT id FROM asset)"),
            ("trace", "SELECT count(*) FROM trace WHERE asset NOT IN (SELECT id FROM asset)"),
            (
                "asset_set",
                "SELECT count(*) FROM asset_set WHERE asset NOT IN (SELECT id FROM asset)",
            ),
            ("note", "SELECT count(*) FROM note WHERE asset NOT IN (SELECT id FROM asset)"),
            ("failure", "SELECT count(*) FROM failure WHERE asset NOT IN (SELECT id FROM asset)"),
            ("attempt", "SELECT count(*) FROM attempt WHERE asset NOT IN (SELECT id FROM asset)"),
        ] {
            let rows = self.one(query, [], |row| row.get::<_, i64>(0))? as u64;
            if rows > 0 {
                problems.push(Problem::DanglingAsset { table, rows });
            }
        }
        Ok(problems)
    }

    fn dangling_runs(&self) -> rusqlite::Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (table, query) in [
            (
                "op_step",
                "SELECT count(*) FROM op_step WHERE run <> 0 AND run NOT IN (SELECT id FROM run)",
            ),
            (
                "op_output",
                "SELECT count(*) FROM op_output WHERE run <> 0 AND run NOT IN (SELECT id FROM run)",
            ),
        ] {
            let rows = self.one(query, [], |row| row.get::<_, i64>(0))? as u64;
            if rows > 0 {
                problems.push(Problem::DanglingRun { table, rows });
            }
        }
        Ok(problems)
    }

    /// Every blob that is recorded, with its size and state: what `doctor` compares with the files.
    pub fn blobs(&self) -> Result<Vec<(Digest, u64, BlobState)>, Error> {
        self.ask(|sql| {
            sql.all("SELECT digest, size, state FROM blob ORDER BY digest", [], |row| {
                let state = row.get_ref(2)?.as_str()?;
                let state = [BlobState::Sound, BlobState::Missing, BlobState::Corrupt]
                    .into_iter()
                    .find(|known| known.as_str() == state)
                    .ok_or_else(|| super::error::undecodable("state of a blob"))?;
                Ok((digest_at(row, 0)?, row.get::<_, i64>(1)? as u64, state))
            })
        })
    }

    /// Contents of results inside the database that are not what their digests say.
    pub fn damaged_small(&self) -> Result<Vec<Digest>, Error> {
        self.ask(|sql| {
            let mut damaged = Vec::new();
            let mut rows = sql.stmt(
                "SELECT digest, data FROM blob_small
                 WHERE digest IN (SELECT digest FROM output WHERE kind <> 'tree') ORDER BY digest",
            )?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let digest = digest_at(row, 0)?;
                if Digest::of_blob(row.get_ref(1)?.as_blob()?) != digest {
                    damaged.push(digest);
                }
            }
            Ok(damaged)
        })
    }

    /// Blobs that may not have survived a power cut, with their sizes: the machine was started anew
    /// since they were written, and they were not synced. They are to be hashed again, and those that
    /// are not what they should be marked with [`Tx::mark_blob`]; then comes [`Store::mark_synced`].
    pub fn unsynced_blobs(&self) -> Result<Vec<(Digest, u64)>, Error> {
        if !self.rebooted {
            return Ok(Vec::new());
        }
        self.ask(|sql| {
            sql.all(
                "SELECT digest, size FROM blob
                 WHERE created_rev > (SELECT value FROM meta WHERE key = 'last_synced_rev')
                 ORDER BY digest",
                [],
                |row| Ok((digest_at(row, 0)?, row.get::<_, i64>(1)? as u64)),
            )
        })
    }

    /// Says that every blob up to the current revision is safe on disk.
    pub fn mark_synced(&mut self) -> Result<(), Error> {
        let boot = boot_id();
        let tx = self.begin()?;
        tx.ask(|sql| {
            sql.exec(
                "UPDATE meta SET value = (SELECT value FROM meta WHERE key = 'rev')
                 WHERE key = 'last_synced_rev'",
                [],
            )?;
            sql.exec(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('boot_id', ?1)",
                [boot.as_deref().unwrap_or("")],
            )
        })?;
        tx.commit()?;
        self.rebooted = false;
        Ok(())
    }

    /// The last revision whose blobs are known to be safe on disk.
    pub fn last_synced_rev(&self) -> Result<Rev, Error> {
        self.ask(|sql| {
            sql.one("SELECT value FROM meta WHERE key = 'last_synced_rev'", [], |row| {
                row.get(0).map(Rev)
            })
        })
    }

    /// Compares the start of the machine with the one that the database knows. A difference is kept
    /// until [`Store::mark_synced`], unless there is nothing that could have been lost.
    pub(super) fn notice_boot(&mut self) -> Result<(), Error> {
        let Some(boot) = boot_id() else { return Ok(()) };
        let known = self.ask(|sql| {
            sql.maybe("SELECT value FROM meta WHERE key = 'boot_id'", [], |row| {
                row.get::<_, String>(0)
            })
        })?;
        if known.as_deref() == Some(&boot) {
            return Ok(());
        }
        self.rebooted = known.is_some();
        if self.unsynced_blobs()?.is_empty() {
            self.rebooted = false;
            let tx = self.begin()?;
            tx.ask(|sql| {
                sql.exec(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES ('boot_id', ?1)",
                    params![boot],
                )
            })?;
            tx.commit()?;
        }
        Ok(())
    }
}

impl Tx<'_> {
    /// Takes a damaged content out of the database: what needs it is made again.
    pub fn forget_small(&mut self, digest: &Digest) -> Result<(), Error> {
        self.ask(|sql| sql.exec("DELETE FROM blob_small WHERE digest = ?1", [digest.as_bytes()]))?;
        self.touch();
        Ok(())
    }

    /// Records what was found of a blob's file.
    pub fn mark_blob(&mut self, digest: &Digest, state: BlobState) -> Result<(), Error> {
        let changed = self.ask(|sql| {
            sql.exec(
                "UPDATE blob SET state = ?2 WHERE digest = ?1 AND state <> ?2",
                params![digest.as_bytes(), state.as_str()],
            )
        })?;
        if changed > 0 {
            self.touch();
        }
        Ok(())
    }
}

/// A text that is new at each start of the machine; `None` where the system does not say.
fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}
