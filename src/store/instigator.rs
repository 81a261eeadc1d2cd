//! What starts runs by itself: what it has seen, its ticks, and what they asked for. None of these is a
//! change of records of assets.
//!
//! A tick is one transaction: the cursor moves, keys of runs are taken, and requests are queued together
//! or not at all ([`Tx::record_tick`]). It counts only if nobody else has recorded one since the state
//! was read that it was made of, so that of two watchers one is told to look again.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Row, params};

use super::error::undecodable;
use super::read::{digest_at, run_at, run_number};
use super::{Error, RunState, Store, Tx, owner};
use crate::base::{Instigator, InstigatorKind, RunId, RunRequest, SeenRun, TickOutcome};
use crate::cas::stat::{StatEntry, StatKey};

/// How many ticks are kept of each.
const TICKS_MAX: u32 = 1_000;

/// How often a request is started whose runs are interrupted.
const ATTEMPTS_MAX: u32 = 3;

/// What is recorded of a sensor, a schedule, or an automation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstigatorRow {
    /// `None`: it is on or off as it is declared.
    pub switch: Option<Switch>,
    /// Counts what was recorded of it.
    pub version: i64,
    pub cursor: Option<String>,
    /// The time up to which it was looked after, in milliseconds since 1970.
    pub handled_ms: Option<i64>,
}

/// What somebody has set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

/// A file that a sensor has taken account of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorFile {
    /// As the sensor's pattern writes it.
    pub path: PathBuf,
    pub entry: StatEntry,
}

/// A tick that is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewTick<'a> {
    pub of: &'a Instigator,
    /// [`InstigatorRow::version`] of the state that it was made of.
    pub version: i64,
    /// The new cursor.
    pub cursor: Option<&'a str>,
    /// The time that it is about, in milliseconds since 1970.
    pub due_ms: i64,
    /// Up to when it is looked after from now on; `None`: as before.
    pub handled_ms: Option<i64>,
    pub started_ms: i64,
    pub duration_ms: u64,
    pub outcome: TickOutcome,
    /// One sentence.
    pub reason: &'a str,
    pub requests: &'a [RunRequest],
    /// Files of which a sensor takes account now.
    pub seen: &'a [SensorFile],
    /// Files that it takes for gone.
    pub gone: &'a [PathBuf],
}

/// What came of a tick.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recorded {
    pub tick: i64,
    /// The numbers of the requests that are queued now.
    pub queued: Vec<i64>,
    /// How many were asked for before under the same key.
    pub known: u64,
}

/// A recorded tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickRow {
    pub id: i64,
    pub due_ms: i64,
    pub started_ms: i64,
    pub duration_ms: u64,
    pub outcome: TickOutcome,
    pub reason: String,
    pub asked: u64,
    pub known: u64,
    /// The runs that came of it so far.
    pub runs: Vec<RunId>,
}

/// A request that has not been carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    pub id: i64,
    pub of: Instigator,
    pub request: RunRequest,
    /// How often a run of it was interrupted.
    pub attempts: u32,
    /// The run that was interrupted.
    pub run: Option<RunId>,
}

/// How a request was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    Success,
    Failure,
    /// It cannot be carried out; why, is said.
    Dropped,
}

impl RequestState {
    pub fn as_str(self) -> &'static str {
        match self {
            RequestState::Success => "success",
            RequestState::Failure => "failure",
            RequestState::Dropped => "dropped",
        }
    }
}

impl Store {
    /// What is recorded of one of them; as of nothing if nothing is.
    pub fn instigator(&self, of: &Instigator) -> Result<InstigatorRow, Error> {
        let row = self.ask(|sql| {
            sql.maybe(
                "SELECT state, version, cursor, handled_ms FROM instigator
                 WHERE kind = ?1 AND name = ?2",
                params![of.kind.as_str(), &*of.name],
                |row| {
                    let switch = match row.get_ref(0)?.as_str_or_null()? {
                        None => None,
                        Some("on") => Some(Switch::On),
                        Some("off") => Some(Switch::Off),
                        Some(_) => return Err(undecodable("state of an instigator")),
                    };
                    let (version, cursor) = (row.get(1)?, row.get(2)?);
                    Ok(InstigatorRow { switch, version, cursor, handled_ms: row.get(3)? })
                },
            )
        })?;
        Ok(row.unwrap_or_default())
    }

    /// Every one of which something is recorded.
    pub fn instigators(&self) -> Result<Vec<Instigator>, Error> {
        self.ask(|sql| {
            sql.all("SELECT kind, name FROM instigator ORDER BY kind, name", [], |row| {
                instigator_at(row, 0)
            })
        })
    }

    /// The files that a sensor has taken account of, by path.
    pub fn sensor_files(&self, name: &str) -> Result<Vec<SensorFile>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT path, dev, ino, size, mtime_ns, ctime_ns, mode, digest, taken_ns
                 FROM sensor_file WHERE name = ?1 ORDER BY path",
                [name],
                sensor_file_at,
            )
        })
    }

    /// The last ticks, the newest first.
    pub fn ticks(&self, of: &Instigator, limit: u32) -> Result<Vec<TickRow>, Error> {
        self.ask(|sql| {
            let mut ticks = sql.all(
                "SELECT id, due_ms, started_ms, duration_ms, outcome, reason, asked, known FROM tick
                 WHERE kind = ?1 AND name = ?2 ORDER BY id DESC LIMIT ?3",
                params![of.kind.as_str(), &*of.name, limit],
                tick_at,
            )?;
            for tick in &mut ticks {
                let runs = sql.all(
                    "SELECT run FROM request WHERE tick = ?1 AND run IS NOT NULL ORDER BY id",
                    [tick.id],
                    |row| run_at(row, 0),
                )?;
                tick.runs = runs.into_iter().flatten().collect();
            }
            Ok(ticks)
        })
    }

    // Both conditions: with the first SQLite takes the index of what is open.
    /// Requests that nobody has started, the oldest first.
    pub fn queued(&self, limit: u32) -> Result<Vec<Queued>, Error> {
        self.ask(|sql| {
            sql.all(
                "SELECT id, kind, name, data, attempts, run FROM request
                 WHERE state IN ('queued', 'started') AND state = 'queued' ORDER BY id LIMIT ?1",
                [limit],
                queued_at,
            )
        })
    }

    /// The run with the highest number; 0 if there was none.
    pub fn last_run(&self) -> Result<u64, Error> {
        let last = self.ask(|sql| {
            sql.maybe("SELECT max(id) FROM run", [], |row| row.get::<_, Option<i64>>(0))
        })?;
        Ok(last.flatten().and_then(|id| u64::try_from(id).ok()).unwrap_or(0))
    }

    /// Runs from a number on, and those of `open`, in ascending order; each with who has asked for it.
    pub fn runs_seen(
        &self,
        of: &Instigator,
        next: u64,
        open: &BTreeSet<u64>,
    ) -> Result<Vec<SeenRun>, Error> {
        let first = open.first().copied().unwrap_or(next).min(next);
        let mut seen = self.ask(|sql| {
            sql.all(
                "SELECT run.id, run.state, run.job, run.partition,
                   EXISTS (SELECT 1 FROM request WHERE request.id = run.request
                     AND kind = ?2 AND name = ?3)
                 FROM run WHERE run.id >= ?1 ORDER BY run.id",
                params![first as i64, of.kind.as_str(), &*of.name],
                |row| {
                    Ok(SeenRun {
                        id: run_at(row, 0)?.unwrap_or(RunId(0)),
                        state: row.get(1)?,
                        job: row.get(2)?,
                        partition: row.get::<_, Option<String>>(3)?,
                        is_own: row.get(4)?,
                    })
                },
            )
        })?;
        seen.retain(|run| run.id.0 >= next || open.contains(&run.id.0));
        Ok(seen)
    }

    /// Whether a request with this key was ever made.
    pub fn has_run_key(&self, of: &Instigator, key: &str) -> Result<bool, Error> {
        let found = self.ask(|sql| {
            sql.maybe(
                "SELECT tick FROM run_key WHERE kind = ?1 AND name = ?2 AND key = ?3",
                params![of.kind.as_str(), &*of.name, key],
                |row| row.get::<_, i64>(0),
            )
        })?;
        Ok(found.is_some())
    }

    /// Puts requests back into the queue whose owners have died, unless a run of them has ended; after
    /// several interrupted runs they are dropped. To be called after [`super::recover`]. Returns how many
    /// wait again.
    pub fn recover_requests(&mut self) -> Result<u64, Error> {
        let started = self.ask(|sql| {
            sql.all(
                "SELECT id, owner, attempts FROM request
                 WHERE state IN ('queued', 'started') AND state = 'started' ORDER BY id",
                [],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?)),
            )
        })?;
        let is_dead = |(_, owner, _): &(i64, String, u32)| !owner::is_alive(&self.path, owner);
        let dead: Vec<_> = started.into_iter().filter(is_dead).collect();
        if dead.is_empty() {
            return Ok(0);
        }
        let mut again = 0;
        let tx = self.begin()?;
        for (id, owner, attempts) in dead {
            let run = tx.ask(|sql| {
                sql.maybe(
                    "SELECT id, state FROM run WHERE request = ?1 ORDER BY id DESC LIMIT 1",
                    [id],
                    |row| Ok((run_at(row, 0)?, row.get::<_, String>(1)?)),
                )
            })?;
            let ended = |state: &str| {
                [(RunState::Success, "success"), (RunState::Failure, "failure")]
                    .into_iter()
                    .chain([(RunState::Cancelled, "failure")])
                    .find(|(known, _)| known.as_str() == state)
                    .map(|(_, state)| state)
            };
            let interrupted = run.as_ref().is_some_and(|(_, state)| ended(state).is_none());
            let attempts = attempts + u32::from(interrupted);
            let (state, detail) = match run.as_ref().and_then(|(_, state)| ended(state)) {
                Some(state) => (state, ""),
                None if attempts >= ATTEMPTS_MAX => {
                    ("dropped", "its runs were interrupted again and again")
                }
                None => ("queued", ""),
            };
            again += u64::from(state == "queued");
            let run = run.and_then(|(run, _)| run).map(run_number);
            tx.ask(|sql| {
                sql.exec(
                    "UPDATE request SET state = ?3, owner = NULL, attempts = ?4, run = ?5, detail = ?6
                     WHERE id = ?1 AND owner = ?2 AND state = 'started'",
                    params![id, owner, state, attempts, run, detail],
                )
            })?;
        }
        tx.commit()?;
        Ok(again)
    }
}

impl Tx<'_> {
    /// Records a tick with everything that it asks for. `None`: somebody has recorded another one since,
    /// and nothing is changed.
    pub fn record_tick(&mut self, tick: &NewTick<'_>) -> Result<Option<Recorded>, Error> {
        if self.instigator(tick.of)?.version != tick.version {
            return Ok(None);
        }
        let (kind, name) = (tick.of.kind.as_str(), &*tick.of.name);
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO instigator (kind, name, version, cursor, handled_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (kind, name) DO UPDATE SET version = ?3, cursor = ?4,
                   handled_ms = coalesce(?5, handled_ms)",
                params![kind, name, tick.version + 1, tick.cursor, tick.handled_ms],
            )?;
            sql.exec(
                "INSERT INTO tick
                   (kind, name, due_ms, started_ms, duration_ms, outcome, reason, asked, known)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
                params![
                    kind,
                    name,
                    tick.due_ms,
                    tick.started_ms,
                    tick.duration_ms as i64,
                    tick.outcome.as_str(),
                    tick.reason,
                    tick.requests.len() as i64
                ],
            )
        })?;
        let mut recorded = Recorded { tick: self.conn.last_insert_rowid(), ..Recorded::default() };
        for request in tick.requests {
            match self.queue(tick.of, recorded.tick, request)? {
                Some(id) => recorded.queued.push(id),
                None => recorded.known += 1,
            }
        }
        if recorded.known > 0 {
            self.ask(|sql| {
                let known = recorded.known as i64;
                sql.exec("UPDATE tick SET known = ?2 WHERE id = ?1", [recorded.tick, known])
            })?;
        }
        self.take_account(name, tick.seen, tick.gone)?;
        self.forget_ticks(tick.of)?;
        Ok(Some(recorded))
    }

    /// `None`: its key is taken.
    fn queue(
        &mut self,
        of: &Instigator,
        tick: i64,
        request: &RunRequest,
    ) -> Result<Option<i64>, Error> {
        let (kind, name) = (of.kind.as_str(), &*of.name);
        if let Some(key) = &request.run_key {
            let taken = self.ask(|sql| {
                sql.exec(
                    "INSERT OR IGNORE INTO run_key (kind, name, key, tick) VALUES (?1, ?2, ?3, ?4)",
                    params![kind, name, key, tick],
                )
            })?;
            if taken == 0 {
                return Ok(None);
            }
        }
        let data = serde_json::to_string(request).expect("a request can be written");
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO request (tick, kind, name, data, state)
                 VALUES (?1, ?2, ?3, ?4, 'queued')",
                params![tick, kind, name, data],
            )
        })?;
        Ok(Some(self.conn.last_insert_rowid()))
    }

    /// What a sensor knows of files, without a tick: stats that are others though the content is the same.
    pub fn take_account(
        &mut self,
        name: &str,
        seen: &[SensorFile],
        gone: &[PathBuf],
    ) -> Result<(), Error> {
        for SensorFile { path, entry } in seen {
            let StatEntry { stat, digest, taken_ns } = entry;
            self.ask(|sql| {
                sql.exec(
                    "INSERT OR REPLACE INTO sensor_file
                       (name, path, dev, ino, size, mtime_ns, ctime_ns, mode, digest, taken_ns)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    params![
                        name,
                        bytes(path),
                        stat.dev as i64,
                        stat.ino as i64,
                        stat.size as i64,
                        stat.mtime_ns,
                        stat.ctime_ns,
                        stat.mode,
                        digest.as_bytes(),
                        taken_ns
                    ],
                )
            })?;
        }
        for path in gone {
            self.ask(|sql| {
                sql.exec(
                    "DELETE FROM sensor_file WHERE name = ?1 AND path = ?2",
                    params![name, bytes(path)],
                )
            })?;
        }
        Ok(())
    }

    fn forget_ticks(&mut self, of: &Instigator) -> Result<(), Error> {
        let (kind, name) = (of.kind.as_str(), &*of.name);
        self.ask(|sql| {
            let last = sql.maybe(
                "SELECT id FROM tick WHERE kind = ?1 AND name = ?2
                 ORDER BY id DESC LIMIT 1 OFFSET ?3",
                params![kind, name, TICKS_MAX],
                |row| row.get::<_, i64>(0),
            )?;
            let Some(last) = last else { return Ok(()) };
            sql.exec(
                "DELETE FROM request WHERE state NOT IN ('queued', 'started')
                   AND tick IN (SELECT id FROM tick WHERE kind = ?1 AND name = ?2 AND id <= ?3)",
                params![kind, name, last],
            )?;
            sql.exec(
                "DELETE FROM tick WHERE kind = ?1 AND name = ?2 AND id <= ?3",
                params![kind, name, last],
            )?;
            Ok(())
        })
    }

    /// Starts a queued request for `owner`; false if somebody else was faster.
    pub fn start_request(&mut self, id: i64, owner: &str) -> Result<bool, Error> {
        let changed = self.ask(|sql| {
            sql.exec(
                "UPDATE request SET state = 'started', owner = ?2 WHERE id = ?1 AND state = 'queued'",
                params![id, owner],
            )
        })?;
        Ok(changed > 0)
    }

    /// Gives a started request back: nothing was done for it, or its run was broken off.
    pub fn return_request(&mut self, id: i64, run: Option<RunId>) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "UPDATE request SET state = 'queued', owner = NULL, run = ?2
                 WHERE id = ?1 AND state = 'started'",
                params![id, run.map(run_number)],
            )
        })?;
        Ok(())
    }

    /// Says how a request was carried out.
    pub fn end_request(
        &mut self,
        id: i64,
        state: RequestState,
        run: Option<RunId>,
        detail: &str,
    ) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "UPDATE request SET state = ?2, owner = NULL, run = ?3, detail = ?4
                 WHERE id = ?1 AND state = 'started'",
                params![id, state.as_str(), run.map(run_number), detail],
            )
        })?;
        Ok(())
    }

    /// Switches one on or off, or back to what is declared. What it was looked after up to is from then
    /// on `now_ms`, so that what happened while it was off is not made up for.
    pub fn switch(
        &mut self,
        of: &Instigator,
        switch: Option<Switch>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let state = switch.map(|switch| match switch {
            Switch::On => "on",
            Switch::Off => "off",
        });
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO instigator (kind, name, state, version, handled_ms)
                 VALUES (?1, ?2, ?3, 1, ?4)
                 ON CONFLICT (kind, name) DO UPDATE SET state = ?3, version = version + 1,
                   handled_ms = ?4",
                params![of.kind.as_str(), &*of.name, state, now_ms],
            )
        })?;
        Ok(())
    }

    /// Says up to when one was looked after, without a tick.
    pub fn set_handled(&mut self, of: &Instigator, handled_ms: i64) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO instigator (kind, name, version, handled_ms) VALUES (?1, ?2, 1, ?3)
                 ON CONFLICT (kind, name) DO UPDATE SET version = version + 1, handled_ms = ?3",
                params![of.kind.as_str(), &*of.name, handled_ms],
            )
        })?;
        Ok(())
    }

    /// Replaces the cursor, without a tick; and up to when one was looked after, if that is said. False:
    /// something was recorded of it since the state of this version, and nothing is changed.
    pub fn set_cursor(
        &mut self,
        of: &Instigator,
        version: i64,
        cursor: Option<&str>,
        handled_ms: Option<i64>,
    ) -> Result<bool, Error> {
        if self.instigator(of)?.version != version {
            return Ok(false);
        }
        self.ask(|sql| {
            sql.exec(
                "INSERT INTO instigator (kind, name, version, cursor, handled_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (kind, name) DO UPDATE SET version = ?3, cursor = ?4,
                   handled_ms = coalesce(?5, handled_ms)",
                params![of.kind.as_str(), &*of.name, version + 1, cursor, handled_ms],
            )
        })?;
        Ok(true)
    }

    /// Forgets what one has seen, so that it begins anew; keys of runs stay taken.
    pub fn reset_cursor(&mut self, of: &Instigator) -> Result<(), Error> {
        self.ask(|sql| {
            sql.exec(
                "UPDATE instigator SET version = version + 1, cursor = NULL, handled_ms = NULL
                 WHERE kind = ?1 AND name = ?2",
                params![of.kind.as_str(), &*of.name],
            )?;
            sql.exec(
                "DELETE FROM sensor_file WHERE name = ?1 AND ?2 = 'sensor'",
                [&*of.name, of.kind.as_str()],
            )
        })?;
        Ok(())
    }

    /// Forgets which keys of runs are taken; says how many.
    pub fn reset_run_keys(&mut self, of: &Instigator) -> Result<u64, Error> {
        let forgotten = self.ask(|sql| {
            sql.exec(
                "DELETE FROM run_key WHERE kind = ?1 AND name = ?2",
                params![of.kind.as_str(), &*of.name],
            )
        })?;
        Ok(forgotten as u64)
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn instigator_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Instigator> {
    let text = row.get_ref(at)?.as_str()?;
    let kind = InstigatorKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    let kind = kind.ok_or_else(|| undecodable("kind of an instigator"))?;
    Ok(Instigator { kind, name: row.get_ref(at + 1)?.as_str()?.into() })
}

fn sensor_file_at(row: &Row<'_>) -> rusqlite::Result<SensorFile> {
    let path = OsStr::from_bytes(row.get_ref(0)?.as_blob()?);
    Ok(SensorFile {
        path: PathBuf::from(path),
        entry: StatEntry {
            stat: StatKey {
                dev: row.get::<_, i64>(1)? as u64,
                ino: row.get::<_, i64>(2)? as u64,
                size: row.get::<_, i64>(3)? as u64,
                mtime_ns: row.get(4)?,
                ctime_ns: row.get(5)?,
                mode: row.get(6)?,
            },
            digest: digest_at(row, 7)?,
            taken_ns: row.get(8)?,
        },
    })
}

fn tick_at(row: &Row<'_>) -> rusqlite::Result<TickRow> {
    let outcome = row.get_ref(4)?.as_str()?;
    let outcome = TickOutcome::ALL.into_iter().find(|known| known.as_str() == outcome);
    Ok(TickRow {
        id: row.get(0)?,
        due_ms: row.get(1)?,
        started_ms: row.get(2)?,
        duration_ms: row.get::<_, i64>(3)? as u64,
        outcome: outcome.ok_or_else(|| undecodable("outcome of a tick"))?,
        reason: row.get(5)?,
        asked: row.get::<_, i64>(6)? as u64,
        known: row.get::<_, i64>(7)? as u64,
        runs: Vec::new(),
    })
}

fn queued_at(row: &Row<'_>) -> rusqlite::Result<Queued> {
    let data = row.get_ref(3)?.as_str()?;
    Ok(Queued {
        id: row.get(0)?,
        of: instigator_at(row, 1)?,
        request: serde_json::from_str(data).map_err(|_| undecodable("request of a tick"))?,
        attempts: row.get(4)?,
        run: run_at(row, 5)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Digest, Durability, JobName, Wanted};
    use crate::store::{LaunchInfo, NewRun, Owner};

    fn inbox() -> Instigator {
        Instigator::new(InstigatorKind::Sensor, &JobName::parse("inbox").unwrap())
    }

    fn request(key: Option<&str>) -> RunRequest {
        let what = Wanted::Assets { select: "*".to_owned(), partition: None };
        RunRequest {
            run_key: key.map(str::to_owned),
            what,
            tags: Default::default(),
            as_of: None,
            back: 0,
        }
    }

    fn tick<'a>(of: &'a Instigator, version: i64, requests: &'a [RunRequest]) -> NewTick<'a> {
        NewTick {
            of,
            version,
            cursor: Some("here"),
            due_ms: 5,
            handled_ms: Some(5),
            started_ms: 6,
            duration_ms: 7,
            outcome: TickOutcome::Requested,
            reason: "2 new files",
            requests,
            seen: &[],
            gone: &[],
        }
    }

    fn open(dir: &Path) -> Store {
        Store::open(dir, Durability::Fast).unwrap()
    }

    fn record(store: &mut Store, tick: &NewTick<'_>) -> Option<Recorded> {
        let mut tx = store.begin().unwrap();
        let recorded = tx.record_tick(tick).unwrap();
        tx.commit().unwrap();
        recorded
    }

    #[test]
    fn a_key_leads_to_one_request_and_a_state_to_one_tick() {
        let (dir, of) = (tempfile::tempdir().unwrap(), inbox());
        let (mut mine, mut other) = (open(dir.path()), open(dir.path()));
        let requests = [request(Some("a")), request(Some("a")), request(None)];
        let recorded = record(&mut mine, &tick(&of, 0, &requests)).unwrap();
        assert_eq!((recorded.queued.len(), recorded.known), (2, 1));
        assert_eq!(record(&mut other, &tick(&of, 0, &requests)), None, "made of an older state");
        let recorded = record(&mut other, &tick(&of, 1, &requests[..1])).unwrap();
        assert_eq!((recorded.queued.len(), recorded.known), (0, 1));
        let row = mine.instigator(&of).unwrap();
        assert_eq!(
            (row.version, row.cursor.as_deref(), row.handled_ms),
            (2, Some("here"), Some(5))
        );
        let ticks = mine.ticks(&of, 9).unwrap();
        assert_eq!(ticks.iter().map(|t| (t.asked, t.known)).collect::<Vec<_>>(), [(1, 1), (3, 1)]);
        assert!(mine.has_run_key(&of, "a").unwrap() && !mine.has_run_key(&of, "b").unwrap());
    }

    #[test]
    fn what_a_dead_owner_had_started_waits_again_unless_its_run_has_ended() {
        let (dir, of) = (tempfile::tempdir().unwrap(), inbox());
        let mut store = open(dir.path());
        let requests = [request(None), request(None), request(None)];
        let ids = record(&mut store, &tick(&of, 0, &requests)).unwrap().queued;
        let owner = Owner::acquire(dir.path()).unwrap();
        for (id, end) in
            ids.iter().zip([None, Some(RunState::Interrupted), Some(RunState::Failure)])
        {
            let mut tx = store.begin().unwrap();
            assert!(tx.start_request(*id, owner.id()).unwrap());
            assert!(!tx.start_request(*id, "another").unwrap());
            tx.commit().unwrap();
            let Some(end) = end else { continue };
            let launch = LaunchInfo { request: Some(*id), ..LaunchInfo::default() };
            let new =
                NewRun { started_ms: 1, owner: "dead", command: "", targets: &[], launch: &launch };
            let run = store.begin_run(&new).unwrap();
            store.finish_run(run, end, 2, &Default::default()).unwrap();
        }
        assert_eq!(store.recover_requests().unwrap(), 0, "its owner lives");
        drop(owner);
        assert_eq!(store.recover_requests().unwrap(), 2);
        let queued = store.queued(9).unwrap();
        let found: Vec<_> = queued.iter().map(|q| (q.id, q.attempts, q.run)).collect();
        assert_eq!(found, [(ids[0], 0, None), (ids[1], 1, Some(RunId(1)))]);
    }

    #[test]
    fn what_a_sensor_has_seen_is_kept_with_its_tick() {
        let (dir, of) = (tempfile::tempdir().unwrap(), inbox());
        let mut store = open(dir.path());
        let path = |name: &[u8]| PathBuf::from(OsStr::from_bytes(name));
        let stat = StatKey { dev: u64::MAX, ino: 3, size: 4, mtime_ns: -5, ctime_ns: 6, mode: 7 };
        let entry = StatEntry { stat, digest: Digest::of_blob(b"x"), taken_ns: i64::MIN };
        let file = |name| SensorFile { path: path(name), entry };
        let seen = [file(b"a\xff\n"), file(b"b")];
        record(&mut store, &NewTick { seen: &seen, ..tick(&of, 0, &[]) }).unwrap();
        assert_eq!(store.sensor_files("inbox").unwrap(), seen);
        let gone = [path(b"b")];
        record(&mut store, &NewTick { gone: &gone, ..tick(&of, 1, &[]) }).unwrap();
        assert_eq!(store.sensor_files("inbox").unwrap(), seen[..1]);
        let mut tx = store.begin().unwrap();
        tx.switch(&of, Some(Switch::Off), 9).unwrap();
        tx.reset_cursor(&of).unwrap();
        tx.commit().unwrap();
        assert_eq!(store.sensor_files("inbox").unwrap(), []);
        let row = store.instigator(&of).unwrap();
        let expected =
            InstigatorRow { switch: Some(Switch::Off), version: 4, cursor: None, handled_ms: None };
        assert_eq!(row, expected);
    }
}
