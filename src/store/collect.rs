//! What nothing needs any more: traces of older results, contents that no result names, old runs.

use std::collections::HashSet;

use rusqlite::params;

use super::read::{digest_at, output_kind, run_at, run_number};
use super::runs::unsigned_at;
use super::{Error, Store, Tx};
use crate::base::{Digest, OutputKind, RunId};

/// Attempts of old runs that made neither a current result nor a failure that still stands.
macro_rules! OLD_ATTEMPTS {
    () => {
        "run IN (SELECT id FROM run WHERE state <> 'running' AND started_ms < ?1
             AND id <= (SELECT coalesce(max(id), 0) FROM run) - ?2)
           AND NOT EXISTS (SELECT 1 FROM mat WHERE mat.asset = attempt.asset
             AND mat.part = attempt.part AND mat.run = attempt.run)
           AND NOT EXISTS (SELECT 1 FROM failure WHERE failure.asset = attempt.asset
             AND failure.part = attempt.part AND failure.run = attempt.run)"
    };
}

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unneeded {
    pub traces: Vec<Digest>,
    /// Contents inside the database.
    pub small: Vec<Digest>,
    /// Blobs whose files are removed.
    pub blobs: Vec<Digest>,
    pub runs: Vec<RunId>,
    /// Runs of jobs that stay, without the values of their steps.
    pub op_outputs: Vec<RunId>,
    /// Keys of what ops that say `memo` have made.
    pub memos: Vec<Digest>,
}

impl Store {
    /// The traces of each partition beyond the newest `keep`. That of a current result is not among them.
    pub fn traces_beyond(&self, keep: u32) -> Result<Vec<Digest>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT key FROM (
                   SELECT key, row_number() OVER
                     (PARTITION BY asset, ifnull(partition, part) ORDER BY created_rev DESC, key)
                     AS place FROM trace)
                 WHERE place > ?1 AND key NOT IN (SELECT key FROM mat) ORDER BY key",
                [keep],
                |row| digest_at(row, 0),
            )
        })
    }

    /// The traces of results that were made before a moment, apart from those of current ones.
    pub fn traces_before(&self, made_ms: i64) -> Result<Vec<Digest>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT key FROM trace WHERE made_ms < ?1 AND key NOT IN (SELECT key FROM mat)
                 ORDER BY key",
                [made_ms],
                |row| digest_at(row, 0),
            )
        })
    }

    /// The traces of former results that have no room beside the current ones in so many bytes: the oldest
    /// go first. What several results share counts once.
    pub fn traces_beyond_bytes(&self, bytes: u64) -> Result<Vec<Digest>, Error> {
        self.ask(|sql| {
            let mut seen: HashSet<Digest> = HashSet::new();
            let mut total = 0_u64;
            let current = sql.all(
                "SELECT digest, size FROM output WHERE id IN (SELECT output FROM mat)",
                [],
                |row| Ok((digest_at(row, 0)?, unsigned_at(row, 1)?.unwrap_or(0))),
            )?;
            for (digest, size) in current {
                if seen.insert(digest) {
                    total = total.saturating_add(size);
                }
            }
            let former = sql.all(
                "SELECT trace.key, digest, size FROM trace JOIN output ON output.id = trace.output
                 WHERE trace.key NOT IN (SELECT key FROM mat)
                 ORDER BY created_rev DESC, trace.key",
                [],
                |row| {
                    let size = unsigned_at(row, 2)?.unwrap_or(0);
                    Ok((digest_at(row, 0)?, digest_at(row, 1)?, size))
                },
            )?;
            let mut beyond = Vec::new();
            for (key, digest, size) in former {
                let more = if seen.contains(&digest) { 0 } else { size };
                if total.saturating_add(more) > bytes {
                    beyond.push(key);
                } else {
                    total += more;
                    seen.insert(digest);
                }
            }
            Ok(beyond)
        })
    }

    /// The outputs that results and traces name, apart from those of some traces.
    pub fn outputs_in_use(
        &self,
        without: &HashSet<Digest>,
    ) -> Result<Vec<(Digest, OutputKind)>, Error> {
        self.ask(|sql| {
            let mut used: Vec<(Digest, OutputKind)> = sql.all(
                "SELECT DISTINCT digest, kind FROM output WHERE id IN (SELECT output FROM mat)",
                [],
                |row| Ok((digest_at(row, 0)?, output_kind(row.get_ref(1)?.as_str()?)?)),
            )?;
            let traced = sql.all(
                "SELECT trace.key, digest, kind FROM trace JOIN output ON output.id = trace.output",
                [],
                |row| {
                    let kind = output_kind(row.get_ref(2)?.as_str()?)?;
                    Ok((digest_at(row, 0)?, digest_at(row, 1)?, kind))
                },
            )?;
            let kept = traced.into_iter().filter(|(key, ..)| !without.contains(key));
            used.extend(kept.map(|(_, digest, kind)| (digest, kind)));
            Ok(used)
        })
    }

    /// The contents inside the database, with their sizes.
    pub fn small_sizes(&self) -> Result<Vec<(Digest, u64)>, Error> {
        self.ask(|sql| {
            sql.all("SELECT digest, length(data) FROM blob_small ORDER BY digest", [], |row| {
                Ok((digest_at(row, 0)?, row.get::<_, i64>(1)? as u64))
            })
        })
    }

    /// Runs that ended, lie beyond a limit, belong to no backfill that can be taken up again, and made neither a
    /// current result nor a failure that still stands; none that another one retries.
    pub fn runs_before(&self, limit: Limit) -> Result<Vec<RunId>, Error> {
        let (started_ms, number) = limit.bounds();
        self.ask(|sql| {
            let runs = sql.all(
                "SELECT id FROM run WHERE state <> 'running' AND started_ms < ?1
                   AND id <= (SELECT coalesce(max(id), 0) FROM run) - ?2
                   AND (backfill IS NULL OR backfill NOT IN
                     (SELECT id FROM backfill WHERE state <> 'success'))
                   AND id NOT IN (SELECT run FROM mat WHERE run IS NOT NULL)
                   AND id NOT IN (SELECT run FROM failure)
                   AND id NOT IN (SELECT parent FROM run WHERE parent IS NOT NULL) ORDER BY id",
                params![started_ms, number],
                |row| run_at(row, 0),
            )?;
            Ok(runs.into_iter().flatten().collect())
        })
    }
}

/// Which runs are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Those that began before a moment.
    Before(i64),
    /// All but so many of the last.
    Beyond(u64),
}

impl Limit {
    /// What begins before the first, and has at least so many numbers after it.
    fn bounds(self) -> (i64, i64) {
        match self {
            Limit::Before(started_ms) => (started_ms, 0),
            Limit::Beyond(number) => (i64::MAX, i64::try_from(number).unwrap_or(i64::MAX)),
        }
    }
}

impl Store {
    /// How many attempts lie beyond a limit that made nothing current: of runs that stay.
    pub fn attempts_before(&self, limit: Limit) -> Result<u64, Error> {
        let (started_ms, number) = limit.bounds();
        self.ask(|sql| {
            sql.one(
                concat!("SELECT count(*) FROM attempt WHERE ", OLD_ATTEMPTS!()),
                params![started_ms, number],
                |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()),
            )
        })
    }

    /// Gives room inside the database back to the disk, if that is a good part of it; says how much.
    pub fn shrink(&mut self) -> Result<u64, Error> {
        let pages = |sql: &Store, pragma: &'static str| {
            sql.one(pragma, [], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))
        };
        let (free, all, size) = self.ask(|sql| {
            Ok((
                pages(sql, "PRAGMA freelist_count")?,
                pages(sql, "PRAGMA page_count")?,
                pages(sql, "PRAGMA page_size")?,
            ))
        })?;
        if free < SHRINK_PAGES || free < all / 4 {
            return Ok(0);
        }
        self.ask(|sql| sql.conn.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);"))?;
        let left = self.ask(|sql| pages(sql, "PRAGMA page_count"))?;
        Ok(all.saturating_sub(left) * size)
    }
}

/// Less is not worth writing the whole database anew (512 KiB with pages as they are usually).
const SHRINK_PAGES: u64 = 128;

impl Tx<'_> {
    /// Forgets attempts of old runs that stay because something current was made by them.
    pub fn forget_attempts(&mut self, limit: Limit) -> Result<(), Error> {
        let (started_ms, number) = limit.bounds();
        self.ask(|sql| {
            sql.exec(
                concat!("DELETE FROM attempt WHERE ", OLD_ATTEMPTS!()),
                params![started_ms, number],
            )
        })?;
        Ok(())
    }

    /// Forgets what nothing needs, and the rows that named it.
    pub fn collect(&mut self, unneeded: &Unneeded) -> Result<(), Error> {
        for key in &unneeded.traces {
            self.remove_trace(key)?;
        }
        for (statement, digests) in [
            ("DELETE FROM blob_small WHERE digest = ?1", &unneeded.small),
            ("DELETE FROM blob WHERE digest = ?1", &unneeded.blobs),
        ] {
            for digest in digests {
                self.ask(|sql| sql.exec(statement, [digest.as_bytes()]))?;
            }
        }
        for run in &unneeded.runs {
            for statement in [
                "DELETE FROM attempt WHERE run = ?1",
                "DELETE FROM run_target WHERE run = ?1",
                "DELETE FROM run_set WHERE run = ?1",
                "DELETE FROM op_step WHERE run = ?1",
                "DELETE FROM op_output WHERE run = ?1",
                "DELETE FROM run WHERE id = ?1",
            ] {
                self.ask(|sql| sql.exec(statement, params![run_number(*run)]))?;
            }
        }
        for run in &unneeded.op_outputs {
            self.forget_op_outputs(*run)?;
        }
        for key in &unneeded.memos {
            self.forget_memo(key)?;
        }
        self.collect_facts()?;
        self.ask(|sql| {
            sql.exec(
                "DELETE FROM output WHERE id NOT IN (SELECT output FROM mat WHERE output IS NOT NULL)
                   AND id NOT IN (SELECT output FROM trace)",
                [],
            )?;
            // A note is about a mark that is on a result.
            sql.exec(
                "DELETE FROM note WHERE NOT EXISTS (SELECT 1 FROM mat WHERE mat.asset = note.asset
                   AND mat.part = note.part AND mat.flags & 10 <> 0)",
                [],
            )
        })?;
        Ok(())
    }
}
