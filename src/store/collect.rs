//! What nothing needs any more: traces of older results, contents that no result names, old runs.

use std::collections::HashSet;

use rusqlite::params;

use super::read::{digest_at, output_kind, run_at, run_number};
use super::{Error, Store, Tx};
use crate::base::{Digest, OutputKind, RunId};

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

    /// Runs that ended, began before a moment, and made neither a current result nor a failure that
    /// still stands; none that another one retries.
    pub fn runs_before(&self, started_ms: i64) -> Result<Vec<RunId>, Error> {
        self.ask(|sql| {
            let runs = sql.all(
                "SELECT id FROM run WHERE state <> 'running' AND started_ms < ?1
                   AND id NOT IN (SELECT run FROM mat WHERE run IS NOT NULL)
                   AND id NOT IN (SELECT run FROM failure)
                   AND id NOT IN (SELECT parent FROM run WHERE parent IS NOT NULL) ORDER BY id",
                [started_ms],
                |row| run_at(row, 0),
            )?;
            Ok(runs.into_iter().flatten().collect())
        })
    }
}

impl Tx<'_> {
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
