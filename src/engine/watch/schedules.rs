//! Evaluates schedules: which ticks are due, and what each asks for, recorded at once or not at all.
//!
//! What is remembered of a schedule is the time up to which its ticks were dealt with, and the form that it had
//! then. So a schedule that was off, or had other times, makes up for nothing of that.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::Error;
use super::super::open::Engine;
use super::TRIES_MAX;
use super::event::WatchEvent;
use crate::base::{AssetKey, Instigator, InstigatorKind, RunRequest, TickOutcome};
use crate::defs::{Schedule, Starts, TickPartition, Work};
use crate::sensor::schedule::{self, Due, GRACE, Missed};
use crate::store::{InstigatorRow, NewTick, Switch};

/// The form that a schedule had when its ticks were dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Form {
    cron: Vec<String>,
    timezone: String,
    on: bool,
}

impl Form {
    fn of(def: &Schedule, on: bool) -> Form {
        let cron = def.cron.iter().map(|rule| rule.text().to_owned()).collect();
        Form { cron, timezone: def.timezone.to_string(), on }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("it is text and a bool")
    }

    /// What was recorded; `None` if that cannot be read, as of another version of this program.
    fn read(cursor: Option<&str>) -> Option<Form> {
        serde_json::from_str(cursor?).ok()
    }
}

/// A tick that is to be recorded.
struct Tick {
    due: DateTime<Utc>,
    outcome: TickOutcome,
    reason: String,
    request: Option<RunRequest>,
}

impl Engine {
    /// Records every tick of every schedule that is due now, with what it asks for, and says what it recorded.
    /// Nothing is run: requests wait in the store for whoever watches.
    ///
    /// A tick is recorded once, however many processes do this at the same time and wherever they are killed.
    pub fn tick_schedules(&mut self) -> Result<Vec<WatchEvent>, Error> {
        let schedules: Vec<_> = self.project.schedules.values().cloned().collect();
        let mut events = Vec::new();
        for def in schedules {
            let mut tries = 0;
            loop {
                match self.tick_schedule(&def)? {
                    Some(Ticked { mut told, is_cut }) => {
                        events.append(&mut told);
                        if !is_cut {
                            break;
                        }
                    }
                    None if tries == TRIES_MAX => return Err(Error::Restless),
                    None => tries += 1,
                }
            }
        }
        Ok(events)
    }

    /// Whether a schedule is on: as somebody has switched it, else as it is declared.
    pub(super) fn is_schedule_on(def: &Schedule, row: &InstigatorRow) -> bool {
        row.switch.map_or(def.is_on, |switch| switch == Switch::On)
    }

    /// When the first of the schedules ticks next.
    pub(super) fn next_schedule(&self) -> Option<DateTime<Utc>> {
        let now = self.clock.now();
        self.project.schedules.values().filter_map(|def| def.after(now)).min()
    }

    /// `None`: somebody else has recorded something of it meanwhile.
    fn tick_schedule(&mut self, def: &Schedule) -> Result<Option<Ticked>, Error> {
        let of = Instigator::new(InstigatorKind::Schedule, &def.name);
        let (row, now) = (self.ledger.ask(|store| store.instigator(&of))?, self.clock.now());
        let is_on = Self::is_schedule_on(def, &row);
        let before = Form::read(row.cursor.as_deref());
        let form = Form::of(def, is_on);
        let handled = row.handled_ms.and_then(DateTime::from_timestamp_millis);
        let (Some(handled), Some(before)) = (handled, before) else {
            // It is new, or was switched before anybody watched.
            let from = handled.unwrap_or(now);
            return Ok(self.adopt(&of, row.version, &form, from)?.then(Ticked::default));
        };
        if !is_on || !before.on {
            if before == form && !is_on {
                return Ok(Some(Ticked::default()));
            }
            // Nothing that happens while it is off is made up for.
            let from = if row.switch.is_some() { handled } else { now };
            let adopted = self.adopt(&of, row.version, &form, from)?;
            return Ok(adopted.then(|| Ticked { is_cut: is_on, ..Ticked::default() }));
        }
        let mut ticks = Vec::new();
        let mut is_cut = false;
        if before == form {
            let Due { missed, asked, is_cut: more } = schedule::due(def, handled, now);
            is_cut = more;
            ticks.extend(missed.map(|missed| left_out(def, &missed)));
            for due in asked {
                ticks.push(self.asked(def, due, now)?);
            }
        } else {
            let reason = "its times are others than before: it ticks from now on".to_owned();
            ticks.push(Tick { due: now, outcome: TickOutcome::Skipped, reason, request: None });
        }
        if ticks.is_empty() {
            return Ok(Some(Ticked::default()));
        }
        let told = self.record_ticks(&of, row.version, &form, now, &ticks)?;
        Ok(told.map(|told| Ticked { told, is_cut }))
    }

    fn adopt(
        &self,
        of: &Instigator,
        version: i64,
        form: &Form,
        handled: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let (cursor, ms) = (form.text(), handled.timestamp_millis());
        self.ledger.write(|batch| {
            Ok::<_, Error>(batch.tx().set_cursor(of, version, Some(&cursor), Some(ms))?)
        })
    }

    /// All in one transaction.
    fn record_ticks(
        &self,
        of: &Instigator,
        version: i64,
        form: &Form,
        now: DateTime<Utc>,
        ticks: &[Tick],
    ) -> Result<Option<Vec<WatchEvent>>, Error> {
        let cursor = form.text();
        self.ledger.write(|batch| {
            let mut told = Vec::new();
            for (version, tick) in (version..).zip(ticks) {
                let recorded = batch.tx().record_tick(&NewTick {
                    of,
                    version,
                    cursor: Some(&cursor),
                    due_ms: tick.due.timestamp_millis(),
                    handled_ms: Some(tick.due.timestamp_millis()),
                    started_ms: now.timestamp_millis(),
                    duration_ms: 0,
                    outcome: tick.outcome,
                    reason: &tick.reason,
                    requests: tick.request.as_slice(),
                    seen: &[],
                    gone: &[],
                })?;
                // Only before the first of them somebody can have come.
                let Some(recorded) = recorded else { return Ok(None) };
                told.push(WatchEvent::Ticked {
                    of: of.clone(),
                    outcome: tick.outcome,
                    reason: tick.reason.clone(),
                    asked: tick.request.iter().count() as u64,
                    known: recorded.known,
                });
            }
            Ok::<_, Error>(Some(told))
        })
    }

    /// A tick that asks for a run, or the reason why it cannot.
    fn asked(
        &mut self,
        def: &Schedule,
        due: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Tick, Error> {
        let (outcome, reason, request) = self.evaluate(def, due)?;
        let mut text = format!("tick of {}", schedule::told(def.timezone, due));
        let late = now - due;
        if late > GRACE {
            let late = humantime::format_duration(std::time::Duration::from_secs(
                u64::try_from(late.num_minutes() * 60).unwrap_or(0),
            ));
            text += &format!(", {late} late: `catchup: {}`", def.catchup);
        }
        if !reason.is_empty() {
            text += &format!(": {reason}");
        }
        Ok(Tick { due, outcome, reason: text, request })
    }

    /// What a schedule asks for at a tick; or why it does not.
    pub(super) fn evaluate(
        &mut self,
        def: &Schedule,
        tick: DateTime<Utc>,
    ) -> Result<(TickOutcome, String, Option<RunRequest>), Error> {
        if let TickPartition::Latest { back } = def.partition
            && let Some(reason) = self.without_latest(def, tick, back)?
        {
            return Ok((TickOutcome::Skipped, reason, None));
        }
        Ok(match schedule::request(def, tick) {
            Ok(request) => (TickOutcome::Requested, String::new(), Some(request)),
            Err(problem) => (TickOutcome::Failed, problem, None),
        })
    }

    /// Why there is no last partition at a time, if there is none.
    fn without_latest(
        &mut self,
        def: &Schedule,
        tick: DateTime<Utc>,
        back: u32,
    ) -> Result<Option<String>, Error> {
        let selection = match &def.starts {
            Starts::Assets { select, .. } => select.clone(),
            Starts::Job { job, .. } => match self.project.jobs.get(job).cloned() {
                None => return Ok(None),
                Some(job) => match &job.work {
                    Work::Select(select) => select.clone(),
                    Work::Flow(_) => {
                        let domain = self.job_domain_at(&job, tick)?;
                        let is_there = !domain.back_from_last(back).is_empty();
                        let none = format!("job `{}` has no partition that is complete", job.name);
                        return Ok((!is_there).then_some(none));
                    }
                },
            },
            Starts::Told => return Ok(None),
        };
        // What is wrong with a selection is told by whoever carries it out.
        let Ok(chosen) = selection.select(&self.project, &|_| Default::default()) else {
            return Ok(None);
        };
        let now = self.planner.now();
        self.planner.set_now(tick);
        let is_empty = |key: &AssetKey| {
            let domain = self.planner.domain(key);
            !domain.def().is_unpartitioned() && domain.back_from_last(back).is_empty()
        };
        let is_made = |key: &&AssetKey| !self.project.assets[*key].is_source();
        let mut made = chosen.iter().filter(is_made).peekable();
        let is_lacking = made.peek().is_some() && made.all(is_empty);
        self.planner.set_now(now);
        let none = format!("no asset of `{}` has a partition that is complete", selection.as_str());
        Ok(is_lacking.then_some(none))
    }
}

/// What came of an evaluation.
#[derive(Default)]
struct Ticked {
    told: Vec<WatchEvent>,
    /// There is more to do at once.
    is_cut: bool,
}

/// Missed ticks of which nothing is asked for.
fn left_out(def: &Schedule, missed: &Missed) -> Tick {
    let Missed { first, last, count } = *missed;
    let told = |at| schedule::told(def.timezone, at);
    let which = match count {
        1 => format!("the tick of {} was", told(first)),
        _ => format!("{count} ticks from {} to {} were", told(first), told(last)),
    };
    let reason = format!("{which} missed: `catchup: {}` leaves that out", def.catchup);
    Tick { due: last, outcome: TickOutcome::Skipped, reason, request: None }
}
