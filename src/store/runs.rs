//! Runs, what they target, and the attempts that they made. None of these is a change of records.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use super::error::undecodable;
use super::read::{key_at, numbers_at, run_at, run_number, set_at};
use super::write::serialize;
use super::{Error, Store, Tx, owner};
use crate::base::{AssetKey, BackfillId, PartitionIdx, PartitionKey, PartitionSet, RunId, Usage};

/// What [`run_row_at`] reads, for `concat!`.
macro_rules! RUN_COLUMNS {
    () => {
        "id, started_ms, finished_ms, state, owner, command, counts, job, tags, config, partition, parent, backfill, request"
    };
}
pub(super) use RUN_COLUMNS;

/// What [`attempt_at`] reads, and where from.
macro_rules! ATTEMPTS {
    () => {
        "SELECT name, part, run, attempt, started_ms, duration_ms, outcome, detail, log, cpu_ms,
           peak_kib, bytes
         FROM attempt JOIN asset ON asset.id = attempt.asset "
    };
}

/// How many partitions had which outcome, by the names that the engine gives.
pub type Counts = BTreeMap<String, u64>;

/// A run that begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewRun<'a> {
    pub started_ms: i64,
    /// The id of the [`super::Owner`] that carries it out.
    pub owner: &'a str,
    /// As the user would type it again.
    pub command: &'a str,
    pub targets: &'a [(AssetKey, PartitionSet)],
    pub launch: &'a LaunchInfo,
}

/// What a run was launched with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LaunchInfo {
    pub job: Option<String>,
    /// Of the job.
    pub partition: Option<PartitionKey>,
    /// The run that this one retries.
    pub parent: Option<RunId>,
    /// The backfill that this run carries out, or a part of it.
    pub backfill: Option<BackfillId>,
    pub tags: BTreeMap<String, String>,
    /// Without secrets.
    pub config: serde_json::Value,
    /// The request of a tick that it carries out, by its number.
    pub request: Option<i64>,
}

/// A recorded run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub started_ms: i64,
    /// `None`: it goes on, or nobody knows when it was interrupted.
    pub finished_ms: Option<i64>,
    pub state: RunState,
    pub owner: String,
    pub command: String,
    pub counts: Counts,
    pub launch: LaunchInfo,
}

/// What has become of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    Running,
    Success,
    Failure,
    Cancelled,
    /// What ran was finished and the rest was left, because that was asked for.
    Paused,
    /// Its process died.
    Interrupted,
}

/// An attempt that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewAttempt<'a> {
    pub run: RunId,
    pub asset: &'a AssetKey,
    pub part: PartitionIdx,
    /// Counted from 1 within the run.
    pub attempt: u32,
    pub started_ms: i64,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptEnd<'a> {
    pub duration_ms: u64,
    pub outcome: Outcome,
    /// One sentence: `exit status 3`; empty after success.
    pub detail: &'a str,
    /// Where its log is, if it wrote any.
    pub log: Option<&'a str>,
    pub usage: Usage,
    /// Of what it made.
    pub size_bytes: Option<u64>,
}

/// A recorded attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub run: RunId,
    pub asset: AssetKey,
    pub part: PartitionIdx,
    pub attempt: u32,
    pub started_ms: i64,
    pub duration_ms: Option<u64>,
    pub outcome: Outcome,
    pub detail: String,
    pub log: Option<String>,
    pub usage: Usage,
    /// Of what it made.
    pub size_bytes: Option<u64>,
}

/// What has become of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Running,
    Success,
    Failure,
    Cancelled,
    /// The process that made it died.
    Interrupted,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Success => "success",
            RunState::Failure => "failure",
            RunState::Cancelled => "cancelled",
            RunState::Paused => "paused",
            RunState::Interrupted => "interrupted",
        }
    }

    const ALL: [RunState; 6] = [
        RunState::Running,
        RunState::Success,
        RunState::Failure,
        RunState::Cancelled,
        RunState::Paused,
        RunState::Interrupted,
    ];
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Running => "running",
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Cancelled => "cancelled",
            Outcome::Interrupted => "interrupted",
        }
    }

    const ALL: [Outcome; 5] = [
        Outcome::Running,
        Outcome::Success,
        Outcome::Failure,
        Outcome::Cancelled,
        Outcome::Interrupted,
    ];
}

impl Store {
    /// Records a run and what it targets, in a transaction of its own.
    pub fn begin_run(&mut self, run: &NewRun<'_>) -> Result<RunId, Error> {
        let mut tx = self.begin()?;
        let id = tx.begin_run(run)?;
        tx.commit()?;
        Ok(id)
    }

    /// Records the end of a run, in a transaction of its own.
    pub fn finish_run(
        &mut self,
        run: RunId,
        state: RunState,
        finished_ms: i64,
        counts: &Counts,
    ) -> Result<(), Error> {
        let mut tx = self.begin()?;
        tx.finish_run(run, state, finished_ms, counts)?;
        tx.commit().map(|_rev| ())
    }

    /// Records that an attempt has started, in a transaction of its own.
    pub fn start_attempt(&mut self, attempt: &NewAttempt<'_>) -> Result<(), Error> {
        let mut tx = self.begin()?;
        tx.start_attempt(attempt)?;
        tx.commit().map(|_rev| ())
    }

    /// Records how an attempt ended, in a transaction of its own.
    pub fn finish_attempt(
        &mut self,
        run: RunId,
        asset: &AssetKey,
        part: PartitionIdx,
        attempt: u32,
        end: &AttemptEnd<'_>,
    ) -> Result<(), Error> {
        let mut tx = self.begin()?;
        tx.finish_attempt(run, asset, part, attempt, end)?;
        tx.commit().map(|_rev| ())
    }

    pub fn run(&self, id: RunId) -> Result<Option<Run>, Error> {
        self.ask(|sql| {
            sql.maybe(
                concat!("SELECT ", RUN_COLUMNS!(), " FROM run WHERE id = ?1"),
                [run_number(id)],
                run_row_at,
            )
        })
    }

    /// The runs that have not ended, as far as is recorded.
    pub fn running(&self) -> Result<Vec<Run>, Error> {
        self.ask(|sql| {
            sql.all(
                concat!("SELECT ", RUN_COLUMNS!(), " FROM run WHERE state = 'running' ORDER BY id"),
                [],
                run_row_at,
            )
        })
    }

    /// Partitions of an asset that are being made by processes that live. One that has died leaves its
    /// run as it was until the next process that writes closes it.
    pub fn running_attempts(&self, asset: &AssetKey) -> Result<PartitionSet, Error> {
        let mut running = PartitionSet::new();
        for run in self.running()? {
            if owner::is_alive(&self.path, &run.owner) {
                running |= self.open_attempts(run.id, asset)?;
            }
        }
        Ok(running)
    }

    fn open_attempts(&self, run: RunId, asset: &AssetKey) -> Result<PartitionSet, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(PartitionSet::new()) };
            let parts = sql.all(
                "SELECT part FROM attempt WHERE run = ?1 AND asset = ?2 AND outcome = 'running'",
                params![run_number(run), id],
                |row| row.get::<_, PartitionIdx>(0),
            )?;
            Ok(parts.into_iter().collect())
        })
    }

    /// What a run is about.
    pub fn run_targets(&self, run: RunId) -> Result<Vec<(AssetKey, PartitionSet)>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT name, data FROM run_target JOIN asset ON asset.id = run_target.asset
                 WHERE run = ?1 ORDER BY name",
                [run_number(run)],
                |row| Ok((key_at(row, 0)?, set_at(row, 1)?)),
            )
        })
    }

    /// The attempts of a run, in the order in which they started.
    pub fn attempts(&self, run: RunId) -> Result<Vec<Attempt>, Error> {
        self.ask(|sql| {
            sql.all(
                concat!(ATTEMPTS!(), "WHERE run = ?1 ORDER BY started_ms, name, part, attempt"),
                [run_number(run)],
                attempt_at,
            )
        })
    }

    /// The newest attempt to make a partition.
    pub fn last_attempt(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
    ) -> Result<Option<Attempt>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(None) };
            sql.maybe(
                concat!(
                    ATTEMPTS!(),
                    "WHERE asset = ?1 AND part = ?2 ORDER BY run DESC, attempt DESC LIMIT 1"
                ),
                params![id, part],
                attempt_at,
            )
        })
    }
}

impl Store {
    /// The attempt of `run` that made a result. `None`: it was restored there, not made.
    pub fn attempt_of(
        &self,
        run: RunId,
        asset: &AssetKey,
        part: PartitionIdx,
    ) -> Result<Option<Attempt>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(None) };
            sql.maybe(
                concat!(
                    ATTEMPTS!(),
                    "WHERE asset = ?1 AND part = ?2 AND run = ?3 ORDER BY attempt DESC LIMIT 1"
                ),
                params![id, part, run_number(run)],
                attempt_at,
            )
        })
    }
}

impl Store {
    /// The last of the attempts that made a result, of which the first began at that time.
    pub fn attempt_at(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
        started_ms: i64,
    ) -> Result<Option<Attempt>, Error> {
        let run = self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(None) };
            sql.maybe(
                "SELECT run FROM attempt
                 WHERE asset = ?1 AND part = ?2 AND started_ms = ?3 AND attempt = 1
                 ORDER BY run DESC LIMIT 1",
                params![id, part, started_ms],
                |row| run_at(row, 0),
            )
        })?;
        match run.flatten() {
            Some(run) => self.attempt_of(run, asset, part),
            None => Ok(None),
        }
    }

    /// How long the last attempt took that made a partition, in milliseconds, by partition.
    pub fn last_durations(&self, asset: &AssetKey) -> Result<Vec<(PartitionIdx, u64)>, Error> {
        self.ask(|sql| {
            let Some(id) = sql.asset_id(asset)? else { return Ok(Vec::new()) };
            let rows = sql.all(
                "SELECT part, duration_ms FROM attempt
                 WHERE asset = ?1 AND outcome = 'success' AND duration_ms IS NOT NULL
                 ORDER BY part, run, attempt",
                [id],
                |row| Ok((row.get(0)?, unsigned_at(row, 1)?.unwrap_or(0))),
            )?;
            // The last of each counts.
            let last: BTreeMap<PartitionIdx, u64> = rows.into_iter().collect();
            Ok(last.into_iter().collect())
        })
    }
}

impl Tx<'_> {
    /// Records a run and what it targets.
    pub fn begin_run(&mut self, run: &NewRun<'_>) -> Result<RunId, Error> {
        let NewRun { started_ms, owner, command, targets, launch } = run;
        let tags = serde_json::to_string(&launch.tags).expect("a map of texts can be written");
        let config = match &launch.config {
            serde_json::Value::Null => "{}".to_owned(),
            config => config.to_string(),
        };
        let id = self.ask(|sql| {
            sql.exec(
                "INSERT INTO run (started_ms, state, owner, command, job, tags, config, partition, parent,
                     backfill, wish, request)
                 VALUES (?1, 'running', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                     (SELECT wish FROM backfill WHERE id = ?9), ?10)",
                params![
                    started_ms,
                    owner,
                    command,
                    launch.job,
                    tags,
                    config,
                    launch.partition.as_ref().map(PartitionKey::as_str),
                    launch.parent.map(run_number),
                    launch.backfill.map(|backfill| backfill.0 as i64),
                    launch.request
                ],
            )?;
            Ok(sql.conn.last_insert_rowid())
        })?;
        for (asset, set) in *targets {
            let asset = self.ensure_asset(asset)?;
            self.ask(|sql| {
                sql.exec(
                    "INSERT OR REPLACE INTO run_target (run, asset, data) VALUES (?1, ?2, ?3)",
                    params![id, asset, serialize(set.clone())],
                )
            })?;
        }
        Ok(RunId(id as u64))
    }

    /// Ends a run. One that has ended stays as it is: an end is never taken back.
    pub fn finish_run(
        &mut self,
        run: RunId,
        state: RunState,
        finished_ms: i64,
        counts: &Counts,
    ) -> Result<(), Error> {
        let counts = serde_json::to_string(counts).expect("a map of numbers can be written");
        self.ask(|sql| {
            sql.exec(
                "UPDATE run SET state = ?2, finished_ms = ?3, counts = ?4
                 WHERE id = ?1 AND state = 'running'",
                params![run_number(run), state.as_str(), finished_ms, counts],
            )
        })?;
        Ok(())
    }

    pub fn start_attempt(&mut self, attempt: &NewAttempt<'_>) -> Result<(), Error> {
        let NewAttempt { run, asset, part, attempt, started_ms } = attempt;
        let id = self.ensure_asset(asset)?;
        self.ask(|sql| {
            sql.exec(
                "INSERT OR REPLACE INTO attempt (asset, part, run, attempt, started_ms, outcome)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'running')",
                params![id, part, run_number(*run), attempt, started_ms],
            )
        })?;
        Ok(())
    }

    pub fn finish_attempt(
        &mut self,
        run: RunId,
        asset: &AssetKey,
        part: PartitionIdx,
        attempt: u32,
        end: &AttemptEnd<'_>,
    ) -> Result<(), Error> {
        let id = self.ensure_asset(asset)?;
        let AttemptEnd { duration_ms, outcome, detail, log, usage, size_bytes } = end;
        self.ask(|sql| {
            sql.exec(
                "UPDATE attempt SET duration_ms = ?5, outcome = ?6, detail = ?7, log = ?8,
                   cpu_ms = ?9, peak_kib = ?10, bytes = ?11
                 WHERE asset = ?1 AND part = ?2 AND run = ?3 AND attempt = ?4",
                params![
                    id,
                    part,
                    run_number(run),
                    attempt,
                    *duration_ms as i64,
                    outcome.as_str(),
                    detail,
                    log,
                    signed(usage.cpu_ms),
                    signed(usage.peak_kib),
                    signed(*size_bytes)
                ],
            )
        })?;
        Ok(())
    }
}

pub(super) fn run_row_at(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: run_at(row, 0)?.ok_or_else(|| undecodable("number of a run"))?,
        started_ms: row.get(1)?,
        finished_ms: row.get(2)?,
        state: run_state_at(row, 3)?,
        owner: row.get(4)?,
        command: row.get(5)?,
        counts: numbers_at(row, 6)?,
        launch: launch_at(row, 7)?,
    })
}

pub(super) fn run_state_at(row: &Row<'_>, at: usize) -> rusqlite::Result<RunState> {
    let state = row.get_ref(at)?.as_str()?;
    let known = RunState::ALL.into_iter().find(|known| known.as_str() == state);
    known.ok_or_else(|| undecodable("state of a run"))
}

fn launch_at(row: &Row<'_>, at: usize) -> rusqlite::Result<LaunchInfo> {
    let wrong = |_| undecodable("what a run was launched with");
    let text = |at| row.get_ref(at)?.as_str().map_err(|_| undecodable("launch of a run"));
    Ok(LaunchInfo {
        job: row.get(at)?,
        partition: row.get::<_, Option<String>>(at + 3)?.map(PartitionKey::new),
        parent: run_at(row, at + 4)?,
        backfill: row.get::<_, Option<i64>>(at + 5)?.map(|id| BackfillId(id as u64)),
        tags: serde_json::from_str(text(at + 1)?).map_err(wrong)?,
        config: serde_json::from_str(text(at + 2)?).map_err(wrong)?,
        request: row.get(at + 6)?,
    })
}

pub(super) fn outcome_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Outcome> {
    let outcome = row.get_ref(at)?.as_str()?;
    let known = Outcome::ALL.into_iter().find(|known| known.as_str() == outcome);
    known.ok_or_else(|| undecodable("outcome of an attempt"))
}

fn attempt_at(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        asset: key_at(row, 0)?,
        part: row.get(1)?,
        run: run_at(row, 2)?.ok_or_else(|| undecodable("number of a run"))?,
        attempt: row.get(3)?,
        started_ms: row.get(4)?,
        duration_ms: unsigned_at(row, 5)?,
        outcome: outcome_at(row, 6)?,
        detail: row.get(7)?,
        log: row.get(8)?,
        usage: Usage { cpu_ms: unsigned_at(row, 9)?, peak_kib: unsigned_at(row, 10)? },
        size_bytes: unsigned_at(row, 11)?,
    })
}

/// SQLite's numbers are signed.
pub(super) fn signed(value: Option<u64>) -> Option<i64> {
    value.map(|value| i64::try_from(value).unwrap_or(i64::MAX))
}

pub(super) fn unsigned_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(|value| u64::try_from(value).unwrap_or(0)))
}
