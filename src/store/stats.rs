//! The stat cache: which digest a file had in which state.

use std::collections::HashMap;
use std::path::PathBuf;

use rusqlite::params;

use super::read::digest_at;
use super::{Error, Store, Tx};
use crate::base::AssetKey;
use crate::cas::stat::{Slack, StatEntry, StatKey};

impl Store {
    /// Every remembered file. A path is as it was put: relative to the root or absolute.
    pub fn stats(&self) -> Result<HashMap<PathBuf, StatEntry>, Error> {
        self.ask(|sql| {
            let mut stats = HashMap::new();
            let mut rows = sql.stmt(
                "SELECT path, dev, ino, size, mtime_ns, ctime_ns, mode, digest, taken_ns FROM stat",
            )?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let stat = StatKey {
                    dev: row.get::<_, i64>(1)? as u64,
                    ino: row.get::<_, i64>(2)? as u64,
                    size: row.get::<_, i64>(3)? as u64,
                    mtime_ns: row.get(4)?,
                    ctime_ns: row.get(5)?,
                    mode: row.get(6)?,
                };
                let entry = StatEntry { stat, digest: digest_at(row, 7)?, taken_ns: row.get(8)? };
                stats.insert(PathBuf::from(row.get_ref(0)?.as_str()?), entry);
            }
            Ok(stats)
        })
    }

    /// What was remembered of a source.
    pub fn memory(&self, asset: &AssetKey) -> Result<Option<Vec<u8>>, Error> {
        self.ask(|sql| {
            let query = "SELECT data FROM memory WHERE asset = ?1";
            sql.maybe(query, [asset.as_str()], |row| row.get(0))
        })
    }

    /// How coarse the stamps of the store's file system are, as probed when it was created.
    pub fn stat_slack(&self) -> Result<Option<Slack>, Error> {
        self.ask(|sql| {
            sql.maybe(
                "SELECT d.value, n.value FROM meta d, meta n
                 WHERE d.key = 'slack_dev' AND n.key = 'slack_ns'",
                [],
                |row| Ok(Slack { dev: row.get::<_, i64>(0)? as u64, ns: row.get(1)? }),
            )
        })
    }
}

impl Tx<'_> {
    /// Remembers files. This is no change of records. A path that is not UTF-8 is not remembered, so
    /// its file is read each time.
    pub fn put_stats(&mut self, stats: &[(PathBuf, StatEntry)]) -> Result<(), Error> {
        for (path, entry) in stats {
            let Some(path) = path.to_str() else { continue };
            let StatEntry { stat, digest, taken_ns } = entry;
            let StatKey { dev, ino, size, mtime_ns, ctime_ns, mode } = stat;
            self.ask(|sql| {
                sql.exec(
                    "INSERT OR REPLACE INTO stat
                       (path, dev, ino, size, mtime_ns, ctime_ns, mode, digest, taken_ns)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    params![
                        path,
                        *dev as i64,
                        *ino as i64,
                        *size as i64,
                        mtime_ns,
                        ctime_ns,
                        mode,
                        digest.as_bytes(),
                        taken_ns
                    ],
                )
            })?;
        }
        Ok(())
    }

    /// Remembers something of a source. This is no change of records.
    pub fn put_memory(&mut self, asset: &AssetKey, data: &[u8]) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO memory (asset, data) VALUES (?1, ?2)",
                params![asset.as_str(), data],
            )
        })?;
        Ok(())
    }

    /// Forgets files that are gone.
    pub fn remove_stats(&mut self, paths: &[PathBuf]) -> Result<(), Error> {
        for path in paths.iter().filter_map(|path| path.to_str()) {
            self.ask(|sql| sql.exec("DELETE FROM stat WHERE path = ?1", [path]))?;
        }
        Ok(())
    }

    /// Remembers what a probe of the file system's clock has found.
    pub fn set_stat_slack(&mut self, slack: Slack) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('slack_dev', ?1), ('slack_ns', ?2)",
                params![slack.dev as i64, slack.ns],
            )
        })?;
        Ok(())
    }
}
