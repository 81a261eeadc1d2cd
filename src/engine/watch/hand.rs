//! What people do with sensors and schedules by hand: look at them, switch them, make them tick.

use chrono::{DateTime, Utc};

use super::super::Error;
use super::super::open::Engine;
use super::TRIES_MAX;
use super::event::WatchEvent;
use super::files::Finder;
use super::sensors::Glance;
use super::signals::{Moment, Sensed};
use crate::base::{Instigator, InstigatorKind, RunRequest, TickOutcome};
use crate::defs::{Schedule, Sensor, Trigger};
use crate::sensor::{Evaluation, schedule};
use crate::store::{InstigatorRow, NewTick, Queued, Switch, TickRow};

/// What a schedule would ask for at a tick; or why it would not.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    pub at: DateTime<Utc>,
    pub outcome: TickOutcome,
    /// Empty where it asks for a run.
    pub reason: String,
    pub request: Option<RunRequest>,
}

/// Whether a key of a run stays taken for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKeys {
    Keep,
    /// What was asked for once may be asked for again.
    Forget,
}

impl Engine {
    /// What is recorded of a sensor or a schedule; of one that nobody has looked at, nothing.
    pub fn instigator(&self, of: &Instigator) -> Result<InstigatorRow, Error> {
        Ok(self.ledger.ask(|store| store.instigator(of))?)
    }

    /// Its last ticks, the newest first.
    pub fn ticks(&self, of: &Instigator, limit: u32) -> Result<Vec<TickRow>, Error> {
        Ok(self.ledger.ask(|store| store.ticks(of, limit))?)
    }

    /// Requests that nobody has begun, the oldest first.
    pub fn queued_requests(&self) -> Result<Vec<Queued>, Error> {
        Ok(self.ledger.ask(|store| store.queued(u32::MAX))?)
    }

    /// Switches a sensor or a schedule on or off, whatever is declared. A schedule makes up for nothing that
    /// was before.
    pub fn switch(&mut self, of: &Instigator, switch: Switch) -> Result<(), Error> {
        self.writable()?;
        let now_ms = self.clock.now().timestamp_millis();
        self.ledger.write(|batch| Ok::<_, Error>(batch.tx().switch(of, Some(switch), now_ms)?))
    }

    /// What a sensor would ask for now, without asking for it: its requests, why, and what is wrong with
    /// single ones. The inner error says why it could not be evaluated.
    pub fn preview_sensor(&self, def: &Sensor) -> Result<Result<Evaluation, String>, Error> {
        let row = self.sensor_row(def)?;
        Ok(self.sense_by_hand(def, &row)?.map(|sensed| sensed.evaluation))
    }

    /// Evaluates a sensor now, whether it is on or not, and records what it asks for; no event: it asks for
    /// nothing. Beside it what is wrong with single requests.
    pub fn tick_sensor(
        &mut self,
        def: &Sensor,
    ) -> Result<(Option<WatchEvent>, Vec<String>), Error> {
        self.writable()?;
        let of = Instigator::new(InstigatorKind::Sensor, &def.name);
        for _ in 0..TRIES_MAX {
            let row = self.sensor_row(def)?;
            let started = self.clock.now();
            let sensed = self.sense_by_hand(def, &row)?;
            let took = (self.clock.now() - started).to_std().unwrap_or_default();
            let started_ms = started.timestamp_millis();
            let moment = Moment { of: &of, row: &row, started_ms, took };
            match sensed {
                Ok(sensed) => {
                    if let Some(event) = self.record_sensed(&moment, &sensed)? {
                        return Ok((event, sensed.evaluation.faults));
                    }
                }
                Err(fault) => {
                    if let Some(event) = self.record_fault(&moment, &fault)? {
                        return Ok((Some(event), Vec::new()));
                    }
                }
            }
        }
        Err(Error::Restless)
    }

    /// Replaces the cursor of a sensor.
    pub fn set_cursor(&mut self, of: &Instigator, cursor: &str) -> Result<(), Error> {
        self.writable()?;
        for _ in 0..TRIES_MAX {
            let set = self.ledger.write(|batch| {
                let version = batch.tx().instigator(of)?.version;
                Ok::<_, Error>(batch.tx().set_cursor(of, version, Some(cursor), None)?)
            })?;
            if set {
                return Ok(());
            }
        }
        Err(Error::Restless)
    }

    /// Forgets what a sensor has seen, and which keys of runs are taken if that is wanted; says how many of
    /// these there were.
    pub fn reset_sensor(&mut self, of: &Instigator, keys: RunKeys) -> Result<u64, Error> {
        self.writable()?;
        self.ledger.write(|batch| {
            batch.tx().reset_cursor(of)?;
            Ok(match keys {
                RunKeys::Keep => 0,
                RunKeys::Forget => batch.tx().reset_run_keys(of)?,
            })
        })
    }

    /// Of a directory sensor: how many files it has taken account of.
    pub fn files_seen(&self, def: &Sensor) -> Result<usize, Error> {
        Ok(self.ledger.ask(|store| store.sensor_files(def.name.as_str()))?.len())
    }

    fn sensor_row(&self, def: &Sensor) -> Result<InstigatorRow, Error> {
        self.instigator(&Instigator::new(InstigatorKind::Sensor, &def.name))
    }

    fn sense_by_hand(
        &self,
        def: &Sensor,
        row: &InstigatorRow,
    ) -> Result<Result<Sensed, String>, Error> {
        if let Some(sensed) = self.sense_records(def, row.cursor.as_deref())? {
            return Ok(Ok(sensed));
        }
        let Trigger::Directory(directory) = &def.on else {
            return Ok(Engine::ask_command(&self.question(), def, row.cursor.as_deref()));
        };
        let finder = Finder::new(directory, &self.project);
        let known = self.ledger.ask(|store| store.sensor_files(def.name.as_str()))?;
        let known = known.into_iter().map(|file| (file.path, file.entry)).collect();
        let nothing = Default::default();
        let glance = Glance {
            finder: &finder,
            known: &known,
            writing: &nothing,
            renamed: &nothing,
            tells_renames: false,
        };
        Ok(self.sense_files(def, directory, &glance).map(|(sensed, _)| sensed))
    }

    /// What a schedule asks for at its next ticks after a time, without asking for it.
    pub fn preview_schedule(
        &mut self,
        def: &Schedule,
        after: DateTime<Utc>,
        count: usize,
    ) -> Result<Vec<Preview>, Error> {
        let (mut at, mut previews) = (after, Vec::new());
        while previews.len() < count
            && let Some(tick) = def.after(at)
        {
            let (outcome, reason, request) = self.evaluate(def, tick)?;
            previews.push(Preview { at: tick, outcome, reason, request });
            at = tick;
        }
        Ok(previews)
    }

    /// Records a tick of a schedule as of a time, due or not, with what it asks for. Its ticks by the clock are
    /// as they were, and so it has a run each time that this is done.
    pub fn tick_by_hand(
        &mut self,
        def: &Schedule,
        as_of: DateTime<Utc>,
    ) -> Result<WatchEvent, Error> {
        self.writable()?;
        let of = Instigator::new(InstigatorKind::Schedule, &def.name);
        let (outcome, problem, mut request) = self.evaluate(def, as_of)?;
        if let Some(request) = &mut request {
            request.run_key = None;
        }
        let mut reason = format!("by hand, as of {}", schedule::told(def.timezone, as_of));
        if !problem.is_empty() {
            reason += &format!(": {problem}");
        }
        let started_ms = self.clock.now().timestamp_millis();
        for _ in 0..TRIES_MAX {
            let recorded = self.ledger.write(|batch| {
                let InstigatorRow { version, cursor, .. } = batch.tx().instigator(&of)?;
                let tick = NewTick {
                    of: &of,
                    version,
                    cursor: cursor.as_deref(),
                    due_ms: as_of.timestamp_millis(),
                    handled_ms: None,
                    started_ms,
                    duration_ms: 0,
                    outcome,
                    reason: &reason,
                    requests: request.as_slice(),
                    seen: &[],
                    gone: &[],
                };
                Ok::<_, Error>(batch.tx().record_tick(&tick)?)
            })?;
            if recorded.is_some() {
                let asked = request.iter().count() as u64;
                return Ok(WatchEvent::Ticked { of, outcome, reason, asked, known: 0 });
            }
        }
        Err(Error::Restless)
    }
}
