//! Evaluates sensors, and records what they ask for together with what they have seen.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Error;
use super::event::WatchEvent;
use super::files::{self, Finder, Found, Moment};
use super::{Loop, now};
use crate::base::{Instigator, InstigatorKind, JobName, TickOutcome};
use crate::cas::stat::StatEntry;
use crate::defs::{DirectoryDef, Sensor, Trigger};
use crate::sensor::{self, Evaluation};
use crate::store::{NewTick, SensorFile, Switch};
use crate::watch::{Batch, Root};

/// How often an evaluation is made anew because somebody else has recorded one.
const TRIES_MAX: u32 = 8;

/// The longest pause after a look that could not be made.
const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// What is known of the sensors of this process.
#[derive(Default)]
pub(super) struct Sensors(BTreeMap<JobName, Sense>);

/// What is known of one sensor.
struct Sense {
    def: Arc<Sensor>,
    finder: Finder,
    root: Root,
    /// Of which recorded state `known` is.
    version: Option<i64>,
    known: BTreeMap<PathBuf, StatEntry>,
    /// Files that got their name by a rename and were not taken account of since.
    renamed: HashSet<PathBuf>,
    /// Whether it was looked at with events at hand.
    tells_renames: bool,
    is_on: bool,
    again: Option<Instant>,
    /// When it was evaluated last, and how long to wait after the next fault.
    evaluated: Option<Instant>,
    pause: Duration,
    told: HashSet<String>,
}

impl Sensors {
    pub fn roots(&self) -> impl Iterator<Item = Root> {
        self.0.values().map(|sense| sense.root.clone())
    }

    pub fn next(&self) -> Option<Instant> {
        self.0.values().filter(|sense| sense.is_on).filter_map(|sense| sense.again).min()
    }
}

impl Loop<'_, '_, '_> {
    /// Takes over which sensors are declared.
    pub(super) fn declare_sensors(&mut self) {
        let project = &self.engine.project;
        let mut before = std::mem::take(&mut self.sensors.0);
        for (name, def) in &project.sensors {
            let Trigger::Directory(directory) = &def.on else { continue };
            let finder = Finder::new(directory, project);
            let (dir, depth) = finder.place();
            let root = Root { dir: super::places::joined(&self.engine.root, dir), depth };
            let sense = match before.remove(name) {
                Some(sense) if sense.def == *def => Sense { finder, root, ..sense },
                Some(_) | None => Sense {
                    def: def.clone(),
                    finder,
                    root,
                    version: None,
                    known: BTreeMap::new(),
                    renamed: HashSet::new(),
                    tells_renames: false,
                    is_on: false,
                    again: Some(now()),
                    evaluated: None,
                    pause: Duration::from_secs(1),
                    told: HashSet::new(),
                },
            };
            self.sensors.0.insert(name.clone(), sense);
        }
    }

    /// Evaluates the sensors that a batch concerns, or that are due.
    pub(super) fn sense(&mut self, batch: &Batch) -> Result<(), Error> {
        let names: Vec<JobName> = self.sensors.0.keys().cloned().collect();
        for name in names {
            let Some(mut sense) = self.sensors.0.remove(&name) else { continue };
            let result = self.sense_one(&mut sense, batch);
            self.sensors.0.insert(name, sense);
            result?;
        }
        Ok(())
    }

    fn sense_one(&mut self, sense: &mut Sense, batch: &Batch) -> Result<(), Error> {
        let of = Instigator::new(InstigatorKind::Sensor, &sense.def.name);
        let switch = self.engine.ledger.ask(|store| store.instigator(&of))?.switch;
        let is_on = switch.map_or(sense.def.is_on, |switch| switch == Switch::On);
        let is_new = is_on && !sense.is_on;
        sense.is_on = is_on;
        let concerns = batch.concerns(&sense.root.dir, sense.root.depth);
        if concerns {
            sense.renamed.extend(batch.renamed.iter().cloned());
            // Of what was lost nobody can tell how it got its name.
            sense.tells_renames = !batch.all && self.watch.counts().1 == 0;
        }
        let now = now();
        let is_due = sense.again.is_some_and(|again| again <= now);
        if !is_on || !(is_new || concerns || is_due) {
            return Ok(());
        }
        let next = sense.evaluated.and_then(|at| at.checked_add(sense.def.interval));
        if let Some(next) = next.filter(|next| *next > now) {
            sense.again = Some(next);
            return Ok(());
        }
        (sense.evaluated, sense.again) = (Some(now), None);
        let Trigger::Directory(directory) = &sense.def.on else { return Ok(()) };
        let directory = directory.clone();
        for _ in 0..TRIES_MAX {
            if self.look_for_files(sense, &directory, &of)? {
                return Ok(());
            }
        }
        Err(Error::Restless)
    }

    /// One evaluation; false if somebody else has recorded one meanwhile.
    fn look_for_files(
        &mut self,
        sense: &mut Sense,
        def: &DirectoryDef,
        of: &Instigator,
    ) -> Result<bool, Error> {
        self.know(sense, of)?;
        let (began, started) = (now(), self.engine.clock.now());
        let listed = match sense.finder.list(&self.engine.root) {
            Ok(listed) => listed,
            Err(error) => {
                let dir = sense.root.dir.display();
                return self.fail(sense, of, &format!("`{dir}` cannot be listed: {error}"));
            }
        };
        let writing = self.watch.writing();
        let moment = Moment {
            root: &self.engine.root,
            now_ns: self.engine.fs_clock.now_ns(),
            slack: self.engine.slack,
            writing: &writing,
            renamed: &sense.renamed,
            tells_renames: sense.tells_renames,
        };
        let Found { files, again, waiting, faults } =
            files::observe(def, listed, &sense.known, &moment);
        let patience = self.watch.settings().writing;
        let again = if writing.is_empty() { again } else { Some(again.unwrap_or(patience)) };
        sense.again = again.and_then(|again| now().checked_add(again));
        if !sense.tells_renames {
            // Of these nobody will be told how they got their names.
            let root = &self.engine.root;
            sense.renamed.extend(waiting.iter().map(|path| root.join(path)));
        }
        // What is not whole is neither new nor gone.
        let known: BTreeMap<PathBuf, StatEntry> = sense
            .known
            .iter()
            .filter(|(path, _)| !waiting.contains(*path))
            .map(|(path, entry)| (path.clone(), *entry))
            .collect();
        let changes = sensor::changes(&known, &files);
        let Evaluation { requests, reason, faults: refused } =
            sensor::requests(&sense.def, def, &changes);
        for fault in faults.into_iter().chain(refused) {
            if sense.told.insert(fault.clone()) {
                self.say(WatchEvent::Warning { message: format!("sensor `{}`: {fault}", of.name) });
            }
        }
        let is_news = |(path, file): &(&PathBuf, &sensor::FoundFile)| {
            sense.known.get(*path) != Some(&file.entry)
        };
        let seen: Vec<SensorFile> = files
            .iter()
            .filter(is_news)
            .map(|(path, file)| SensorFile { path: path.clone(), entry: file.entry })
            .collect();
        let gone: Vec<PathBuf> =
            known.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        if requests.is_empty() && seen.is_empty() && gone.is_empty() {
            return Ok(true);
        }
        let version = sense.version.unwrap_or(0);
        let recorded = if requests.is_empty() {
            self.engine.ledger.write(|batch| {
                let row = batch.tx().instigator(of)?;
                if row.version != version {
                    return Ok(None);
                }
                batch.tx().take_account(&of.name, &seen, &gone)?;
                Ok::<_, Error>(Some(None))
            })?
        } else {
            let tick = NewTick {
                of,
                version,
                cursor: None,
                due_ms: started.timestamp_millis(),
                started_ms: started.timestamp_millis(),
                duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                outcome: TickOutcome::Requested,
                reason: &reason,
                requests: &requests,
                seen: &seen,
                gone: &gone,
            };
            let recorded = self.engine.ledger.write(|batch| batch.tx().record_tick(&tick))?;
            recorded.map(Some)
        };
        let Some(recorded) = recorded else {
            // Of two watchers the other was faster.
            sense.version = None;
            return Ok(false);
        };
        for path in &gone {
            sense.known.remove(path);
        }
        for SensorFile { path, entry } in seen {
            sense.renamed.remove(&self.engine.root.join(&path));
            sense.known.insert(path, entry);
        }
        sense.pause = Duration::from_secs(1);
        if let Some(recorded) = recorded {
            sense.version = Some(version + 1);
            self.say(WatchEvent::Ticked {
                of: of.clone(),
                outcome: TickOutcome::Requested,
                reason,
                asked: requests.len() as u64,
                known: recorded.known,
            });
        }
        Ok(true)
    }

    /// Fetches what was recorded, if it is another state than the one that is known.
    fn know(&self, sense: &mut Sense, of: &Instigator) -> Result<(), Error> {
        let version = self.engine.ledger.ask(|store| store.instigator(of))?.version;
        if sense.version != Some(version) {
            let files = self.engine.ledger.ask(|store| store.sensor_files(&of.name))?;
            sense.known = files.into_iter().map(|file| (file.path, file.entry)).collect();
            sense.version = Some(version);
        }
        Ok(())
    }

    /// A look that could not be made: it is told, recorded, and made again after a while.
    fn fail(&mut self, sense: &mut Sense, of: &Instigator, reason: &str) -> Result<bool, Error> {
        let at = self.engine.clock.now().timestamp_millis();
        let version = sense.version.unwrap_or(0);
        let tick = NewTick {
            of,
            version,
            cursor: None,
            due_ms: at,
            started_ms: at,
            duration_ms: 0,
            outcome: TickOutcome::Failed,
            reason,
            requests: &[],
            seen: &[],
            gone: &[],
        };
        let recorded = self.engine.ledger.write(|batch| batch.tx().record_tick(&tick))?;
        if recorded.is_none() {
            sense.version = None;
            return Ok(false);
        }
        sense.version = Some(version + 1);
        sense.again = now().checked_add(sense.pause);
        sense.pause = (sense.pause * 2).min(BACK_OFF_MAX);
        self.say(WatchEvent::Ticked {
            of: of.clone(),
            outcome: TickOutcome::Failed,
            reason: reason.to_owned(),
            asked: 0,
            known: 0,
        });
        Ok(true)
    }
}
