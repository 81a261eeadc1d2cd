//! What people do with sensors and schedules by hand: look at them, switch them, make them tick.

use chrono::{DateTime, Utc};

use super::super::Error;
use super::super::open::Engine;
use super::event::WatchEvent;
use crate::base::{Instigator, InstigatorKind, RunRequest, TickOutcome};
use crate::defs::Schedule;
use crate::sensor::schedule;
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

/// How often something is recorded anew because somebody else was faster.
const TRIES_MAX: u32 = 8;

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
