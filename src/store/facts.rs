//! What is known of results beside their content: what checks found, and what steps reported.

use rusqlite::{Row, params};

use super::error::undecodable;
use super::read::{digest_at, run_at, run_number};
use super::{Error, Store, Tx};
use crate::base::{AssetKey, CheckFact, Digest, Fact, PartitionIdx, RunId};

impl Store {
    /// What is known of the result that a key stands for.
    pub fn fact(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
        key: &Digest,
    ) -> Result<Option<Fact>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(None) };
            sql.maybe(
                "SELECT part, key, run, made_ms, checks, metadata FROM fact
                 WHERE asset = ?1 AND part = ?2 AND key = ?3",
                params![id, part, key.as_bytes()],
                fact_at,
            )
        })
    }

    /// What is known of the current results of an asset, in the order of partitions.
    pub fn facts(&self, asset: &AssetKey) -> Result<Vec<Fact>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(Vec::new()) };
            sql.all(
                "SELECT fact.part, fact.key, fact.run, fact.made_ms, checks, metadata FROM fact
                 JOIN mat USING (asset, part, key) WHERE fact.asset = ?1 ORDER BY fact.part",
                [id],
                fact_at,
            )
        })
    }

    /// The partitions whose current result has checks that failed, and that are told only.
    pub fn failed_checks(&self, asset: &AssetKey) -> Result<Vec<(PartitionIdx, u64, u64)>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(Vec::new()) };
            sql.all(
                "SELECT fact.part, failed, warned FROM fact JOIN mat USING (asset, part, key)
                 WHERE fact.asset = ?1 AND (failed > 0 OR warned > 0) ORDER BY fact.part",
                [id],
                |row| {
                    let count = |at| row.get::<_, i64>(at).map(|count| count as u64);
                    Ok((row.get(0)?, count(1)?, count(2)?))
                },
            )
        })
    }
}

impl Tx<'_> {
    /// Remembers what is known of a result. It makes nothing stale, so it is no change of records.
    pub fn put_fact(&mut self, asset: &AssetKey, fact: &Fact) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        let checks = serde_json::to_string(&fact.checks).expect("checks are plain texts");
        let metadata = serde_json::to_string(&fact.metadata).expect("metadata is JSON already");
        let count = |test: fn(&CheckFact) -> bool| {
            fact.checks.iter().filter(|check| check.found.is_some() && test(check)).count() as i64
        };
        let (failed, warned) =
            (count(|it| it.severity != "warn"), count(|it| it.severity == "warn"));
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO fact
                   (asset, part, key, run, made_ms, failed, warned, checks, metadata)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    id,
                    fact.part,
                    fact.key.as_bytes(),
                    run_number(fact.run),
                    fact.made_ms,
                    failed,
                    warned,
                    checks,
                    metadata,
                ],
            )
        })?;
        Ok(())
    }

    /// Forgets what is known of results that are no longer recorded and cannot come back.
    pub(super) fn collect_facts(&mut self) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "DELETE FROM fact WHERE key NOT IN (SELECT key FROM mat)
                   AND key NOT IN (SELECT key FROM trace) AND key NOT IN (SELECT key FROM failure)",
                [],
            )
        })?;
        Ok(())
    }
}

fn fact_at(row: &Row<'_>) -> rusqlite::Result<Fact> {
    let json = |at, what| -> rusqlite::Result<&str> {
        row.get_ref(at)?.as_str().map_err(|_| undecodable(what))
    };
    let checks = serde_json::from_str(json(4, "checks of a result")?);
    let metadata = serde_json::from_str(json(5, "metadata of a result")?);
    Ok(Fact {
        part: row.get(0)?,
        key: digest_at(row, 1)?,
        run: run_at(row, 2)?.unwrap_or(RunId(0)),
        made_ms: row.get(3)?,
        checks: checks.map_err(|_| undecodable("checks of a result"))?,
        metadata: metadata.map_err(|_| undecodable("metadata of a result"))?,
    })
}
