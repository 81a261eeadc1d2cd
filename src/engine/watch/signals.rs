//! Evaluates sensors that look at results of assets, at runs, or at what a command says; and records what any
//! of them asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use super::super::Error;
use super::super::open::Engine;
use super::event::WatchEvent;
use super::sensors::BACK_OFF_MAX;
use super::{Loop, now};
use crate::base::{Instigator, InstigatorKind, JobName, PartitionIdx, Rev, TickOutcome};
use crate::defs::{AssetsDef, RunsDef, Sensor, Trigger};
use crate::exec::{self, Lifeline};
use crate::sensor::assets::{self, AssetsCursor, Dealt};
use crate::sensor::runs::{self, RunsCursor};
use crate::sensor::{Evaluation, command};
use crate::store::{InstigatorRow, NewTick, SensorFile, Switch};

/// How much a command may print.
const PRINTED_MAX_BYTES: u64 = 16 << 20;

/// What an evaluation came to, before anybody knows of it.
#[derive(Debug, Default)]
pub(super) struct Sensed {
    pub evaluation: Evaluation,
    /// The new cursor; of files there is none.
    pub cursor: Option<String>,
    pub seen: Vec<SensorFile>,
    pub gone: Vec<PathBuf>,
    /// That there is nothing to ask for is worth a tick: a command has said why.
    pub tells_skips: bool,
}

/// When and of which state an evaluation was made.
pub(super) struct Moment<'a> {
    pub of: &'a Instigator,
    pub row: &'a InstigatorRow,
    pub started_ms: i64,
    pub took: Duration,
}

impl Engine {
    /// What a sensor on assets or runs asks for now; `None` for one of another kind.
    pub(super) fn sense_records(
        &self,
        sensor: &Sensor,
        cursor: Option<&str>,
    ) -> Result<Option<Sensed>, Error> {
        let (evaluation, cursor) = match &sensor.on {
            Trigger::Assets(def) => self.sense_assets(sensor, def, cursor)?,
            Trigger::Runs(def) => self.sense_runs(sensor, def, cursor)?,
            Trigger::Directory(_) | Trigger::Command { .. } => return Ok(None),
        };
        Ok(Some(Sensed { evaluation, cursor: Some(cursor), ..Sensed::default() }))
    }

    fn sense_assets(
        &self,
        sensor: &Sensor,
        def: &AssetsDef,
        cursor: Option<&str>,
    ) -> Result<(Evaluation, String), Error> {
        let is_by_partition = assets::is_by_partition(sensor);
        let before: Option<AssetsCursor> = cursor.and_then(|text| serde_json::from_str(text).ok());
        let before = before.unwrap_or_default();
        let (records, known_rev) = (self.planner.records(), self.ledger.rev());
        let mut after = AssetsCursor::default();
        for asset in &def.assets {
            let Some(mut dealt) = before.assets.get(asset).cloned() else {
                // What was there before it looked for the first time is no news.
                let dealt = Dealt { rev: known_rev.0, ..Dealt::default() };
                after.assets.insert(asset.clone(), dealt);
                continue;
            };
            if records.row(asset).max_changed > Rev(dealt.rev) {
                let read = |store: &crate::store::Store| {
                    Ok::<_, Error>((store.rev()?, store.changed_since(asset, Rev(dealt.rev))?))
                };
                let (rev, changed) = self.ledger.in_one_read(|| self.ledger.ask(read))?;
                // Of a state that is not known here the next look tells.
                if rev == known_rev {
                    dealt.rev = rev.0;
                    let changed = records.marks(asset, &changed).with_value();
                    if is_by_partition {
                        let key = |part: PartitionIdx| self.planner.domain(asset).key(part);
                        let keys = changed.iter().filter_map(key).map(|key| key.to_string());
                        dealt.waiting.extend(keys);
                    } else if !changed.is_empty() {
                        dealt.waiting.insert(String::new());
                    }
                }
            }
            after.assets.insert(asset.clone(), dealt);
        }
        let evaluation = assets::requests(sensor, def, &mut after);
        Ok((evaluation, serde_json::to_string(&after).expect("the keys are text")))
    }

    fn sense_runs(
        &self,
        sensor: &Sensor,
        def: &RunsDef,
        cursor: Option<&str>,
    ) -> Result<(Evaluation, String), Error> {
        let of = Instigator::new(InstigatorKind::Sensor, &sensor.name);
        let before: Option<RunsCursor> = cursor.and_then(|text| serde_json::from_str(text).ok());
        let (evaluation, after) = match before {
            Some(before) => {
                let RunsCursor { next, open } = &before;
                let runs = self.ledger.ask(|store| store.runs_seen(&of, *next, open))?;
                runs::requests(sensor, def, &before, &runs)
            }
            None => {
                let read = |store: &crate::store::Store| {
                    let open = store.running()?.into_iter().map(|run| run.id.0).collect();
                    Ok::<_, Error>(RunsCursor { next: store.last_run()? + 1, open })
                };
                (Evaluation::default(), self.ledger.in_one_read(|| self.ledger.ask(read))?)
            }
        };
        Ok((evaluation, serde_json::to_string(&after).expect("it is numbers")))
    }

    /// What the command of a sensor says; waits for its end.
    pub(super) fn ask_command(
        question: &Question,
        sensor: &Sensor,
        cursor: Option<&str>,
    ) -> Result<Sensed, String> {
        let Trigger::Command { line } = &sensor.on else { return Ok(Sensed::default()) };
        let mut env = question.env.to_vec();
        env.push(("GIORNATA_CURSOR".into(), cursor.unwrap_or_default().into()));
        env.push(("GIORNATA_SENSOR".into(), sensor.name.as_str().into()));
        let (timeout, lifeline) = (sensor.timeout, Lifeline::new());
        let said = exec::answer(line, &question.root, &env, timeout, PRINTED_MAX_BYTES, &lifeline);
        let said = said.map_err(|why| format!("`{line}` {why}"))?;
        let (evaluation, said) = command::requests(sensor, &said)?;
        let cursor = said.or_else(|| cursor.map(str::to_owned));
        Ok(Sensed { evaluation, cursor, tells_skips: true, ..Sensed::default() })
    }

    pub(super) fn question(&self) -> Question {
        Question { root: self.root.clone(), env: self.env.clone() }
    }

    /// Records what an evaluation came to. `None`: somebody else has recorded something since the state that it
    /// was made of.
    pub(super) fn record_sensed(
        &self,
        moment: &Moment<'_>,
        sensed: &Sensed,
    ) -> Result<Option<Option<WatchEvent>>, Error> {
        let Moment { of, row, started_ms, took } = moment;
        let Sensed { evaluation, cursor, seen, gone, tells_skips } = sensed;
        let reason = &evaluation.reason;
        let asks = !evaluation.requests.is_empty();
        let is_news = || -> Result<bool, Error> {
            let last = self.ledger.ask(|store| store.ticks(of, 1))?;
            Ok(last.first().is_none_or(|tick| tick.reason != *reason))
        };
        let is_tick = asks || (*tells_skips && is_news()?);
        if !is_tick {
            let is_same = *cursor == row.cursor && seen.is_empty() && gone.is_empty();
            let kept = is_same
                || self.ledger.write(|batch| {
                    let tx = batch.tx();
                    let cursor = cursor.as_deref();
                    let kept = match cursor == row.cursor.as_deref() {
                        // Files are accounted for without a new state: nobody asks for anything because of it.
                        true => tx.instigator(of)?.version == row.version,
                        false => tx.set_cursor(of, row.version, cursor, Some(*started_ms))?,
                    };
                    if kept {
                        tx.take_account(&of.name, seen, gone)?;
                    }
                    Ok::<_, Error>(kept)
                })?;
            return Ok(kept.then_some(None));
        }
        let outcome = if asks { TickOutcome::Requested } else { TickOutcome::Skipped };
        let recorded = self.ledger.write(|batch| {
            let tick = NewTick {
                of,
                version: row.version,
                cursor: cursor.as_deref(),
                due_ms: *started_ms,
                handled_ms: Some(*started_ms),
                started_ms: *started_ms,
                duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                outcome,
                reason,
                requests: &evaluation.requests,
                seen,
                gone,
            };
            Ok::<_, Error>(batch.tx().record_tick(&tick)?)
        })?;
        Ok(recorded.map(|recorded| {
            Some(WatchEvent::Ticked {
                of: (*of).clone(),
                outcome,
                reason: reason.clone(),
                asked: evaluation.requests.len() as u64,
                known: recorded.known,
            })
        }))
    }

    /// Records that an evaluation failed; the cursor stays. `None` as of [`Self::record_sensed`].
    pub(super) fn record_fault(
        &self,
        moment: &Moment<'_>,
        reason: &str,
    ) -> Result<Option<WatchEvent>, Error> {
        let Moment { of, row, started_ms, took } = moment;
        let recorded = self.ledger.write(|batch| {
            let tick = NewTick {
                of,
                version: row.version,
                cursor: row.cursor.as_deref(),
                due_ms: *started_ms,
                handled_ms: Some(*started_ms),
                started_ms: *started_ms,
                duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                outcome: TickOutcome::Failed,
                reason,
                requests: &[],
                seen: &[],
                gone: &[],
            };
            Ok::<_, Error>(batch.tx().record_tick(&tick)?)
        })?;
        let (of, reason) = ((*of).clone(), reason.to_owned());
        let outcome = TickOutcome::Failed;
        Ok(recorded.map(|_| WatchEvent::Ticked { of, outcome, reason, asked: 0, known: 0 }))
    }
}

/// What a command is asked with.
#[derive(Clone)]
pub(super) struct Question {
    root: PathBuf,
    env: Arc<Vec<(std::ffi::OsString, std::ffi::OsString)>>,
}

/// What is known of the sensors that do not look at files.
#[derive(Default)]
pub(super) struct Signals(BTreeMap<JobName, Signal>);

struct Signal {
    def: Arc<Sensor>,
    evaluated: Option<Instant>,
    /// Not before then, after a fault; and how long to wait after the next.
    again: Option<Instant>,
    pause: Duration,
    /// A command that was asked and has not answered.
    asked: Option<Asked>,
    is_on: bool,
    told: std::collections::BTreeSet<String>,
}

struct Asked {
    answer: Receiver<Result<Sensed, String>>,
    row: InstigatorRow,
    began: Instant,
    started_ms: i64,
}

impl Signals {
    /// When the first of them is to be evaluated.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(Signal::next).min()
    }

    /// Whether something is asked that has not answered.
    pub fn are_asking(&self) -> bool {
        self.0.values().any(|signal| signal.asked.is_some())
    }
}

impl Signal {
    fn next(&self) -> Option<Instant> {
        let interval = self.evaluated.and_then(|at| at.checked_add(self.def.interval));
        let interval = interval.filter(|_| !self.def.interval.is_zero());
        self.again.max(interval).filter(|_| self.is_on && self.asked.is_none())
    }
}

impl Loop<'_, '_, '_> {
    /// Takes over which sensors are declared.
    pub(super) fn declare_signals(&mut self) {
        let mut before = std::mem::take(&mut self.signals.0);
        for (name, def) in &self.engine.project.sensors {
            if matches!(def.on, Trigger::Directory(_)) {
                continue;
            }
            let signal = match before.remove(name) {
                Some(signal) if signal.def == *def => signal,
                Some(_) | None => Signal {
                    def: def.clone(),
                    evaluated: None,
                    again: None,
                    pause: Duration::from_secs(1),
                    asked: None,
                    is_on: false,
                    told: Default::default(),
                },
            };
            self.signals.0.insert(name.clone(), signal);
        }
    }

    /// Evaluates those that are due.
    pub(super) fn take_signals(&mut self) -> Result<(), Error> {
        let names: Vec<JobName> = self.signals.0.keys().cloned().collect();
        for name in names {
            let Some(mut signal) = self.signals.0.remove(&name) else { continue };
            let result = self.take_signal(&mut signal);
            self.signals.0.insert(name, signal);
            result?;
        }
        Ok(())
    }

    fn take_signal(&mut self, signal: &mut Signal) -> Result<(), Error> {
        let of = Instigator::new(InstigatorKind::Sensor, &signal.def.name);
        if let Some(asked) = signal.asked.take() {
            let answer = match asked.answer.try_recv() {
                Ok(answer) => answer,
                Err(TryRecvError::Empty) => {
                    signal.asked = Some(asked);
                    return Ok(());
                }
                Err(TryRecvError::Disconnected) => Err("its thread has ended".to_owned()),
            };
            let Asked { row, began, started_ms, .. } = asked;
            let took = began.elapsed();
            let moment = Moment { of: &of, row: &row, started_ms, took };
            return self.take_answer(signal, &moment, answer);
        }
        let row = self.engine.ledger.ask(|store| store.instigator(&of))?;
        let is_on = row.switch.map_or(signal.def.is_on, |switch| switch == Switch::On);
        signal.is_on = is_on;
        let is_waiting = signal.next().is_some_and(|at| at > now());
        if !is_on || is_waiting {
            return Ok(());
        }
        signal.evaluated = Some(now());
        let started_ms = self.engine.clock.now().timestamp_millis();
        if matches!(signal.def.on, Trigger::Command { .. }) {
            let (give, answer) = channel();
            let (question, def, cursor) =
                (self.engine.question(), signal.def.clone(), row.cursor.clone());
            let waker = self.watch.waker();
            let ask = move || {
                // Whoever asked may have gone.
                let _ = give.send(Engine::ask_command(&question, &def, cursor.as_deref()));
                waker.wake();
            };
            let began = now();
            match std::thread::Builder::new().name("sensor".to_owned()).spawn(ask) {
                Ok(_) => signal.asked = Some(Asked { answer, row, began, started_ms }),
                Err(error) => {
                    let moment = Moment { of: &of, row: &row, started_ms, took: Duration::ZERO };
                    let fault = format!("no thread can be started: {error}");
                    return self.take_answer(signal, &moment, Err(fault));
                }
            }
            return Ok(());
        }
        let began = now();
        let sensed = self.engine.sense_records(&signal.def, row.cursor.as_deref())?;
        let moment = Moment { of: &of, row: &row, started_ms, took: began.elapsed() };
        self.take_answer(signal, &moment, Ok(sensed.unwrap_or_default()))
    }

    /// What was sensed is recorded and told. Where somebody else was faster, it counts for nothing: it is looked
    /// again with what that one has recorded.
    fn take_answer(
        &mut self,
        signal: &mut Signal,
        moment: &Moment<'_>,
        answer: Result<Sensed, String>,
    ) -> Result<(), Error> {
        let event = match answer {
            Ok(sensed) => {
                for fault in &sensed.evaluation.faults {
                    if signal.told.insert(fault.clone()) {
                        let message = format!("sensor `{}`: {fault}", moment.of.name);
                        self.say(WatchEvent::Warning { message });
                    }
                }
                let recorded = self.engine.record_sensed(moment, &sensed)?;
                if recorded.is_some() {
                    (signal.again, signal.pause) = (None, Duration::from_secs(1));
                }
                recorded.flatten()
            }
            Err(fault) => {
                self.watched.faults += 1;
                signal.again = now().checked_add(signal.pause);
                signal.pause = (signal.pause * 2).min(BACK_OFF_MAX);
                self.engine.record_fault(moment, &fault)?
            }
        };
        if let Some(event) = event {
            self.say(event);
        }
        Ok(())
    }
}
