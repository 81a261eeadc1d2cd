//! Steps of runs of jobs, and what they hand to each other. None of these is a change of records.
//!
//! What ops that say `memo` have made is kept in the same tables, as if a run had made it that never ends
//! ([`MEMO`]): a step of it is named by its key.

use std::sync::Arc;

use rusqlite::{Row, params};

use super::error::undecodable;
use super::read::{digest_at, output_kind, output_kind_text, run_at, run_number};
use super::runs::{signed, unsigned_at};
use super::{Error, Store, Tx};
use crate::base::{Digest, Output, RunId, Usage};

/// The run that has what ops that say `memo` have made; there is no row of it.
pub const MEMO: RunId = RunId(0);

/// What [`step_at`] reads, and where from.
macro_rules! STEPS {
    () => {
        "SELECT step, key, state, attempts, started_ms, duration_ms, emitted, detail, log, cpu_ms,
           peak_kib, metadata
         FROM op_step "
    };
}

/// A recorded step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpStep {
    /// The path within the job, with the piece: `compute[p1]`.
    pub step: String,
    /// The digest of everything that decides what it gives.
    pub key: Digest,
    pub state: OpState,
    pub attempts: u32,
    pub started_ms: i64,
    pub duration_ms: Option<u64>,
    /// How many values, whether they are still there or not.
    pub emitted: u64,
    /// One sentence: `exit status 3`; empty after success.
    pub detail: String,
    /// Where its log is, if it wrote any.
    pub log: Option<String>,
    /// Of all its attempts.
    pub usage: Usage,
    /// What it reported.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// What has become of a step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpState {
    Running,
    Success,
    /// It did not run: what was made of the same before was taken.
    Reused,
    Failure,
    /// Something that it needs was not emitted.
    Skipped,
    Cancelled,
    /// The process that ran it died.
    Interrupted,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpEnd<'a> {
    pub state: OpState,
    pub attempts: u32,
    pub duration_ms: u64,
    pub detail: &'a str,
    pub log: Option<&'a str>,
    /// Of all its attempts.
    pub usage: Usage,
    /// What it reported.
    pub metadata: &'a serde_json::Map<String, serde_json::Value>,
}

/// One value that a step has emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpOutput {
    /// The name of the output.
    pub output: Arc<str>,
    pub piece: Option<Arc<str>>,
    pub value: Output,
    /// Of the name of its file, without the dot; may be empty.
    pub extension: String,
    pub content: OpContent,
}

/// Where the bytes of a value are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpContent {
    Inline(Arc<[u8]>),
    /// A file or a directory, relative to the directory of the store.
    File(String),
}

impl OpState {
    pub fn as_str(self) -> &'static str {
        match self {
            OpState::Running => "running",
            OpState::Success => "success",
            OpState::Reused => "reused",
            OpState::Failure => "failure",
            OpState::Skipped => "skipped",
            OpState::Cancelled => "cancelled",
            OpState::Interrupted => "interrupted",
        }
    }

    const ALL: [OpState; 7] = [
        OpState::Running,
        OpState::Success,
        OpState::Reused,
        OpState::Failure,
        OpState::Skipped,
        OpState::Cancelled,
        OpState::Interrupted,
    ];
}

impl Store {
    /// The steps of a run, by name.
    pub fn op_steps(&self, run: RunId) -> Result<Vec<OpStep>, Error> {
        self.ask(|sql| {
            sql.all(concat!(STEPS!(), "WHERE run = ?1 ORDER BY step"), [run_number(run)], step_at)
        })
    }

    /// One step of a run.
    pub fn op_step(&self, run: RunId, step: &str) -> Result<Option<OpStep>, Error> {
        self.ask(|sql| {
            sql.maybe(
                concat!(STEPS!(), "WHERE run = ?1 AND step = ?2"),
                params![run_number(run), step],
                step_at,
            )
        })
    }

    /// Keys of what ops that say `memo` have made and that nothing has asked for since a moment.
    pub fn memos_before(&self, used_ms: i64) -> Result<Vec<Digest>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT key FROM op_step WHERE run = ?1 AND started_ms < ?2 ORDER BY step",
                params![run_number(MEMO), used_ms],
                |row| digest_at(row, 0),
            )
        })
    }

    /// What a step has emitted, in its order; nothing once the run has succeeded.
    pub fn op_outputs(&self, run: RunId, step: &str) -> Result<Vec<OpOutput>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT output, piece, kind, digest, size, schema, extension, data, file
                 FROM op_output WHERE run = ?1 AND step = ?2 ORDER BY place",
                params![run_number(run), step],
                output_at,
            )
        })
    }

    /// Files and directories that values of steps lie in: the run, the step, and the path relative to
    /// the directory of the store.
    pub fn op_files(&self) -> Result<Vec<(RunId, String, String)>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT run, step, file FROM op_output WHERE file IS NOT NULL
                 ORDER BY run, step, place",
                [],
                |row| {
                    let run = run_at(row, 0)?.ok_or_else(|| undecodable("number of a run"))?;
                    Ok((run, row.get(1)?, row.get(2)?))
                },
            )
        })
    }

    /// The runs that a run retries, the nearest first.
    pub fn ancestors(&self, run: RunId) -> Result<Vec<RunId>, Error> {
        let mut found = Vec::new();
        let mut at = self.run(run)?;
        // A parent is older, so there is no circle.
        while let Some(parent) = at.and_then(|run| run.launch.parent) {
            found.push(parent);
            at = self.run(parent)?;
        }
        Ok(found)
    }
}

impl Tx<'_> {
    /// Says that a step has started.
    pub fn start_op(
        &mut self,
        run: RunId,
        step: &str,
        key: &Digest,
        started_ms: i64,
    ) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO op_step (run, step, key, state, attempts, started_ms)
                 VALUES (?1, ?2, ?3, 'running', 1, ?4)",
                params![run_number(run), step, key.as_bytes(), started_ms],
            )
        })?;
        Ok(())
    }

    /// Says how a step that has started ended, and what it emitted.
    pub fn finish_op(
        &mut self,
        run: RunId,
        step: &str,
        end: &OpEnd<'_>,
        outputs: &[OpOutput],
    ) -> Result<(), Error> {
        let OpEnd { state, attempts, duration_ms, detail, log, usage, metadata } = end;
        self.ask(|sql| {
            sql.exec(
                "UPDATE op_step SET state = ?3, attempts = ?4, duration_ms = ?5, emitted = ?6,
                   detail = ?7, log = ?8, cpu_ms = ?9, peak_kib = ?10, metadata = ?11
                 WHERE run = ?1 AND step = ?2",
                params![
                    run_number(run),
                    step,
                    state.as_str(),
                    attempts,
                    i64::try_from(*duration_ms).unwrap_or(i64::MAX),
                    i64::try_from(outputs.len()).unwrap_or(i64::MAX),
                    detail,
                    log,
                    signed(usage.cpu_ms),
                    signed(usage.peak_kib),
                    serde_json::to_string(metadata).expect("an object of JSON can be written")
                ],
            )?;
            Ok(())
        })?;
        self.put_op_outputs(run, step, outputs)
    }

    /// Says that what a step of a run made is not what its key says, so that no retry takes it.
    pub fn forget_op_key(&mut self, run: RunId, step: &str) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "UPDATE op_step SET key = zeroblob(32) WHERE run = ?1 AND step = ?2",
                params![run_number(run), step],
            )
        })?;
        Ok(())
    }

    fn put_op_outputs(
        &mut self,
        run: RunId,
        step: &str,
        outputs: &[OpOutput],
    ) -> Result<(), Error> {
        self.ask(|sql| {
            for (place, output) in (0_i64..).zip(outputs) {
                let OpOutput { output, piece, value, extension, content } = output;
                let (data, file) = match content {
                    OpContent::Inline(bytes) => (Some(&**bytes), None),
                    OpContent::File(path) => (None, Some(path)),
                };
                sql.exec(
                    "INSERT INTO op_output (run, step, place, output, piece, kind, digest, size,
                       schema, extension, data, file)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                    params![
                        run_number(run),
                        step,
                        place,
                        &**output,
                        piece.as_deref(),
                        output_kind_text(value.kind),
                        value.digest.as_bytes(),
                        i64::try_from(value.size).unwrap_or(i64::MAX),
                        value.schema,
                        extension,
                        data,
                        file
                    ],
                )?;
            }
            Ok(())
        })
    }

    /// Keeps what a step gave whose op says `memo`. False if there is something under the key: what was
    /// made first stays.
    pub fn put_memo(
        &mut self,
        key: &Digest,
        outputs: &[OpOutput],
        now_ms: i64,
    ) -> Result<bool, Error> {
        let name = key.to_string();
        let emitted = i64::try_from(outputs.len()).unwrap_or(i64::MAX);
        let inserted = self.ask(|sql| {
            sql.exec(
                "INSERT OR IGNORE INTO op_step (run, step, key, state, attempts, started_ms, emitted)
                 VALUES (?1, ?2, ?3, 'success', 0, ?4, ?5)",
                params![run_number(MEMO), name, key.as_bytes(), now_ms, emitted],
            )
        })?;
        if inserted > 0 {
            self.put_op_outputs(MEMO, &name, outputs)?;
        }
        Ok(inserted > 0)
    }

    /// Says that what is under a key was asked for now.
    pub fn use_memo(&mut self, key: &Digest, now_ms: i64) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "UPDATE op_step SET started_ms = ?3 WHERE run = ?1 AND step = ?2",
                params![run_number(MEMO), key.to_string(), now_ms],
            )
        })?;
        Ok(())
    }

    /// Forgets what is under a key.
    pub fn forget_memo(&mut self, key: &Digest) -> Result<(), Error> {
        let name = key.to_string();
        self.ask(|sql| {
            let params = params![run_number(MEMO), name];
            sql.exec("DELETE FROM op_output WHERE run = ?1 AND step = ?2", params)?;
            sql.exec("DELETE FROM op_step WHERE run = ?1 AND step = ?2", params)
        })?;
        Ok(())
    }

    /// Records a step of which nothing ran: another one made the same.
    pub fn restore_op(
        &mut self,
        run: RunId,
        step: &str,
        key: &Digest,
        outputs: &[OpOutput],
        now_ms: i64,
    ) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO op_step (run, step, key, state, attempts, started_ms, emitted)
                 VALUES (?1, ?2, ?3, 'reused', 0, ?4, ?5)",
                params![
                    run_number(run),
                    step,
                    key.as_bytes(),
                    now_ms,
                    i64::try_from(outputs.len()).unwrap_or(i64::MAX)
                ],
            )
        })?;
        self.put_op_outputs(run, step, outputs)
    }

    /// Records a step that was skipped.
    pub fn skip_op(&mut self, run: RunId, step: &str, now_ms: i64) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO op_step (run, step, key, state, attempts, started_ms)
                 VALUES (?1, ?2, zeroblob(32), 'skipped', 0, ?3)",
                params![run_number(run), step, now_ms],
            )
        })?;
        Ok(())
    }

    /// Takes what a step gave in the run that `run` retries.
    pub fn reuse_op(&mut self, from: RunId, run: RunId, step: &str) -> Result<(), Error> {
        let params = params![run_number(from), run_number(run), step];
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO op_step (run, step, key, state, attempts, started_ms, duration_ms,
                   emitted, log, metadata)
                 SELECT ?2, step, key, 'reused', attempts, started_ms, duration_ms, emitted, log, metadata
                 FROM op_step WHERE run = ?1 AND step = ?3",
                params,
            )?;
            sql.exec(
                "INSERT INTO op_output (run, step, place, output, piece, kind, digest, size, schema,
                   extension, data, file)
                 SELECT ?2, step, place, output, piece, kind, digest, size, schema, extension, data,
                   file
                 FROM op_output WHERE run = ?1 AND step = ?3",
                params,
            )
        })?;
        Ok(())
    }

    /// Forgets the values that the steps of a run have emitted, not that they ran.
    pub fn forget_op_outputs(&mut self, run: RunId) -> Result<(), Error> {
        self.ask(|sql| sql.exec("DELETE FROM op_output WHERE run = ?1", [run_number(run)]))?;
        Ok(())
    }
}

fn step_at(row: &Row<'_>) -> rusqlite::Result<OpStep> {
    let state = row.get_ref(2)?.as_str()?;
    Ok(OpStep {
        step: row.get(0)?,
        key: digest_at(row, 1)?,
        state: OpState::ALL
            .into_iter()
            .find(|known| known.as_str() == state)
            .ok_or_else(|| undecodable("state of a step"))?,
        attempts: row.get(3)?,
        started_ms: row.get(4)?,
        duration_ms: unsigned_at(row, 5)?,
        emitted: row.get::<_, i64>(6)? as u64,
        detail: row.get(7)?,
        log: row.get(8)?,
        usage: Usage { cpu_ms: unsigned_at(row, 9)?, peak_kib: unsigned_at(row, 10)? },
        metadata: serde_json::from_str(row.get_ref(11)?.as_str()?)
            .map_err(|_| undecodable("report of a step"))?,
    })
}

fn output_at(row: &Row<'_>) -> rusqlite::Result<OpOutput> {
    let content = match (row.get::<_, Option<Vec<u8>>>(7)?, row.get(8)?) {
        (Some(bytes), None) => OpContent::Inline(bytes.into()),
        (None, Some(file)) => OpContent::File(file),
        (None, None) | (Some(_), Some(_)) => return Err(undecodable("value of a step")),
    };
    Ok(OpOutput {
        output: row.get::<_, String>(0)?.into(),
        piece: row.get::<_, Option<String>>(1)?.map(Arc::from),
        value: Output {
            kind: output_kind(row.get_ref(2)?.as_str()?)?,
            digest: digest_at(row, 3)?,
            size: row.get::<_, i64>(4)? as u64,
            schema: row.get(5)?,
        },
        extension: row.get(6)?,
        content,
    })
}
