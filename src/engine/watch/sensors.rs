//! Evaluates sensors, and records what they ask for together with what they have seen.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Error;
use super::super::open::Engine;
use super::event::WatchEvent;
use super::files::{self, Finder, Found};
use super::signals::{Moment, Sensed};
use super::{Loop, TRIES_MAX, now};
use crate::base::{Instigator, InstigatorKind, JobName};
use crate::cas::stat::StatEntry;
use crate::defs::{DirectoryDef, Sensor, Trigger};
use crate::sensor;
use crate::store::{InstigatorRow, SensorFile, Switch};
use crate::watch::{Batch, Root};

/// The longest pause after a look that could not be made.
pub(super) const BACK_OFF_MAX: Duration = Duration::from_secs(300);

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
    is_failing: bool,
    told: HashSet<String>,
}

impl Sensors {
    pub fn roots(&self) -> impl Iterator<Item = Root> {
        self.0.values().map(|sense| sense.root.clone())
    }

    pub fn next(&self) -> Option<Instant> {
        self.0.values().filter(|sense| sense.is_on).filter_map(|sense| sense.again).min()
    }

    /// Whether files are to be looked at again that are not whole yet.
    pub fn are_waiting(&self) -> bool {
        let waits = |sense: &Sense| sense.is_on && !sense.is_failing && sense.again.is_some();
        self.0.values().any(waits)
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
                    is_failing: false,
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
        let writing = self.watch.writing();
        let glance = Glance {
            finder: &sense.finder,
            known: &sense.known,
            writing: &writing,
            renamed: &sense.renamed,
            tells_renames: sense.tells_renames,
        };
        let (sensed, Waiting { again, files: waiting }) =
            match self.engine.sense_files(&sense.def, def, &glance) {
                Ok(found) => found,
                Err(fault) => return self.fail(sense, of, &fault),
            };
        let patience = self.watch.settings().writing;
        let again = if writing.is_empty() { again } else { Some(again.unwrap_or(patience)) };
        sense.again = again.and_then(|again| now().checked_add(again));
        if !sense.tells_renames {
            // Of these nobody will be told how they got their names.
            let root = &self.engine.root;
            sense.renamed.extend(waiting.iter().map(|path| root.join(path)));
        }
        for fault in &sensed.evaluation.faults {
            if sense.told.insert(fault.clone()) {
                self.say(WatchEvent::Warning { message: format!("sensor `{}`: {fault}", of.name) });
            }
        }
        let row = InstigatorRow { version: sense.version.unwrap_or(0), ..InstigatorRow::default() };
        let moment =
            Moment { of, row: &row, started_ms: started.timestamp_millis(), took: began.elapsed() };
        let recorded = self.engine.record_sensed(&moment, &sensed)?;
        let Sensed { seen, gone, .. } = sensed;
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
        (sense.pause, sense.is_failing) = (Duration::from_secs(1), false);
        if let Some(event) = recorded {
            sense.version = Some(row.version + 1);
            self.say(event);
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
        let started_ms = self.engine.clock.now().timestamp_millis();
        let row = InstigatorRow { version: sense.version.unwrap_or(0), ..InstigatorRow::default() };
        let moment = Moment { of, row: &row, started_ms, took: Duration::ZERO };
        let Some(event) = self.engine.record_fault(&moment, reason)? else {
            sense.version = None;
            return Ok(false);
        };
        sense.version = Some(row.version + 1);
        sense.again = now().checked_add(sense.pause);
        sense.pause = (sense.pause * 2).min(BACK_OFF_MAX);
        sense.is_failing = true;
        self.watched.faults += 1;
        self.say(event);
        Ok(true)
    }
}

/// Files that are not whole, and after how long the first of them may be.
pub(super) struct Waiting {
    pub again: Option<Duration>,
    pub files: HashSet<PathBuf>,
}

/// What is known before a look at files.
pub(super) struct Glance<'a> {
    pub finder: &'a Finder,
    pub known: &'a BTreeMap<PathBuf, StatEntry>,
    /// By absolute path.
    pub writing: &'a HashSet<PathBuf>,
    pub renamed: &'a HashSet<PathBuf>,
    pub tells_renames: bool,
}

impl Engine {
    /// What a directory sensor asks for now, and what is not whole yet.
    pub(super) fn sense_files(
        &self,
        sensor: &Sensor,
        def: &DirectoryDef,
        glance: &Glance<'_>,
    ) -> Result<(Sensed, Waiting), String> {
        let Glance { finder, known, writing, renamed, tells_renames } = *glance;
        let listed = finder.list(&self.root).map_err(|error| {
            let dir = super::places::joined(&self.root, finder.place().0);
            format!("`{}` cannot be listed: {error}", dir.display())
        })?;
        // A project in which nothing was recorded yet has no clock of the file system.
        let now_ns = self.fs_clock.now_ns();
        let told_ns = match now_ns {
            i64::MIN => self.clock.now().timestamp_nanos_opt().unwrap_or(now_ns),
            now_ns => now_ns,
        };
        let moment = files::Moment {
            root: &self.root,
            now_ns,
            told_ns,
            slack: self.slack,
            writing,
            renamed,
            tells_renames,
        };
        let Found { files, again, waiting, faults } = files::observe(def, listed, known, &moment);
        // What is not whole is neither new nor gone.
        let before: BTreeMap<PathBuf, StatEntry> = known
            .iter()
            .filter(|(path, _)| !waiting.contains(*path))
            .map(|(path, entry)| (path.clone(), *entry))
            .collect();
        let changes = sensor::changes(&before, &files);
        let mut evaluation = sensor::requests(sensor, def, &changes);
        evaluation.faults.splice(0..0, faults);
        let is_news =
            |(path, file): &(&PathBuf, &sensor::FoundFile)| known.get(*path) != Some(&file.entry);
        let seen = files.iter().filter(is_news);
        let seen = seen.map(|(path, file)| SensorFile { path: path.clone(), entry: file.entry });
        let seen: Vec<SensorFile> = seen.collect();
        let gone = before.into_keys().filter(|path| !files.contains_key(path)).collect();
        let sensed = Sensed { evaluation, seen, gone, ..Sensed::default() };
        Ok((sensed, Waiting { again, files: waiting }))
    }
}
