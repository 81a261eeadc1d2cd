//! The loop that watches: hints of changes to looks, looks to records, states to runs.
//!
//! The watching engine runs nothing itself. It looks where something may be different, records what it
//! sees, decides from the states of all partitions what is to be made, and hands that to runners. An event
//! says where to look and nothing else, so that a lost one costs time: everything is looked at when it
//! begins, where events were lost, and every now and then.

mod automation;
mod event;
mod files;
mod hand;
mod launch;
mod places;
mod runner;
mod schedules;
mod sensors;
mod signals;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use self::automation::Rule;
use self::automation::{Asked, Sets};
pub use self::event::{End, Heard, WatchEvent, What};
pub use self::hand::{Preview, RunKeys};
use self::places::Places;
pub use self::runner::Hear;
use self::runner::{Definitions, Order, Report, Runners, Work, World};
use self::sensors::Sensors;
use self::signals::Signals;
use super::Error;
use super::event::RunEvent;
use super::job::JobEvent;
use super::open::{Engine, Redefined};
use super::report::RunOptions;
use super::upkeep::Observed;
use crate::base::{AssetKey, InstigatorKind, Rev, Wanted};
use crate::defs::Project;
use crate::exec::{Control, Functions};
use crate::store::{Owner, Queued, RequestState};
use crate::watch::{Batch, Settings, Waker, Watch};

/// How often it is looked whether other processes have recorded something.
const LOOK_AT_STORE: Duration = Duration::from_secs(1);

/// The longest pause after a look that could not be made.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// How often an evaluation is made anew because somebody else has recorded one.
const TRIES_MAX: u32 = 8;

/// How often it is tried to record what has become of the last runs.
const RECORDS_MAX: u32 = 3;

/// How often it is looked whether other watchers have died that had something to do.
const LOOK_AT_OTHERS: Duration = Duration::from_secs(30);

/// How many requests are looked at at once, of those that wait.
const REQUESTS_MAX: u32 = 10_000;

/// How to watch, and what for.
pub struct Watching<'a> {
    pub settings: Settings,
    pub rule: Rule,
    pub until: Until,
    /// How many runs go on at once, at the most.
    pub runs: usize,
    /// Everything is looked at so often, whatever events say.
    pub rescan: Duration,
    pub options: RunOptions,
    pub stop: Stop,
    /// Where definitions are, relative to the root; `None`: a program declares everything.
    pub assets_dir: Option<PathBuf>,
    /// Reads the definitions again; or says what is wrong with them, as it is shown.
    pub define: &'a mut dyn FnMut() -> Result<Defined, String>,
    pub hear: Hear<'a>,
}

/// Definitions that are sound.
pub struct Defined {
    pub project: Project,
    pub functions: Arc<dyn Functions>,
    /// What commands inherit, `.env` included.
    pub env: Vec<(OsString, OsString)>,
}

/// When the watching ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Stopped,
    /// When there is nothing more to do.
    Idle,
}

/// What becomes of running steps when the watching is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// They go on to their end; no further ones are started.
    Finish,
    Cancel,
}

/// How the watching went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watched {
    pub runs: u64,
    /// Runs in which something failed.
    pub failed: u64,
    /// Evaluations of sensors that failed.
    pub faults: u64,
}

/// Stops the watching from another thread or a signal; clones stop the same.
#[derive(Clone, Default)]
pub struct Stop(Arc<Stopping>);

#[derive(Default)]
struct Stopping {
    asked: AtomicBool,
    waker: Mutex<Option<Waker>>,
    control: Control,
}

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stop({})", self.is_asked())
    }
}

impl Stop {
    /// ```
    /// use giornata::engine::{OnStop, Stop};
    /// let stop = Stop::default();
    /// stop.clone().ask(OnStop::Cancel);
    /// assert!(stop.is_asked());
    /// ```
    pub fn ask(&self, how: OnStop) {
        match how {
            OnStop::Finish => self.0.control.drain(),
            OnStop::Cancel => self.0.control.cancel(),
        }
        self.0.asked.store(true, Ordering::SeqCst);
        if let Some(waker) = &*self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake();
        }
    }

    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn wakes(&self, waker: Waker) {
        *self.0.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }
}

impl Engine {
    /// Watches until it is stopped, or until there is nothing more to do. `watching.hear` hears what
    /// happens, on whichever thread it does.
    ///
    /// What goes wrong while it watches is told and tried again; an error ends it only where it cannot
    /// begin.
    pub fn watch(mut self, watching: Watching<'_>) -> Result<Watched, Error> {
        self.writable()?;
        std::thread::scope(|scope| {
            let (left_out, base) = (vec![self.dir.clone()], Some(self.root.clone()));
            let settings = Settings { left_out, base, ..watching.settings };
            let watch = Watch::new(settings);
            let (stop, hear) = (watching.stop, watching.hear);
            stop.wakes(watch.waker());
            let world = World {
                root: self.root.clone(),
                clock: self.clock.clone(),
                busy: self.busy.clone(),
            };
            let options = watching.options.among_peers();
            let carried = (world, options, stop.0.control.clone());
            let runners = Runners::new(scope, hear, carried, watch.waker(), watching.runs);
            let definitions = Definitions {
                project: Arc::new(self.project.clone()),
                generation: 0,
                functions: self.functions.clone(),
                env: self.env.clone(),
            };
            let owner = Owner::acquire(&self.dir)?;
            let state = Loop {
                definitions,
                owner,
                watch,
                runners,
                stop,
                hear,
                rule: watching.rule,
                until: watching.until,
                rescan: watching.rescan,
                assets_dir: watching.assets_dir,
                define: watching.define,
                engine: self,
                places: Places::default(),
                sensors: Sensors::default(),
                signals: Signals::default(),
                flights: BTreeMap::new(),
                reports: Vec::new(),
                number: 0,
                looks: 0,
                idle: None,
                broken: None,
                again: Again::default(),
                told: BTreeSet::new(),
                watched: Watched::default(),
            };
            state.run()
        })
    }
}

/// What is to be looked at again although nothing says that it is different.
#[derive(Debug, Default)]
struct Again {
    /// Everything, from then on.
    all: Option<Instant>,
    /// Sources with files that are being written.
    sources: Option<(Instant, BTreeSet<AssetKey>)>,
    /// Whether other watchers have died.
    others: Option<Instant>,
    /// How long to wait after the next look that cannot be made.
    pause: Option<Duration>,
}

/// What decisions are made from: as long as it is the same, so are they.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sight {
    rev: Rev,
    /// Counts looks at what is not recorded: the definitions, and the files of steps.
    looks: u64,
}

/// A run that goes on.
struct Flight {
    what: What,
    targets: Sets,
    /// Assets of which a tick is dealt with when it ends, and of which moment.
    ticked: (BTreeSet<AssetKey>, chrono::DateTime<chrono::Utc>),
    requests: Vec<i64>,
    /// What was known when it was asked for.
    sight: Sight,
}

struct Loop<'a, 'scope, 'env> {
    engine: Engine,
    watch: Watch,
    runners: Runners<'scope, 'env>,
    definitions: Definitions,
    owner: Owner,
    stop: Stop,
    hear: Hear<'env>,
    rule: Rule,
    until: Until,
    rescan: Duration,
    assets_dir: Option<PathBuf>,
    define: &'a mut dyn FnMut() -> Result<Defined, String>,
    places: Places,
    sensors: Sensors,
    signals: Signals,
    flights: BTreeMap<u64, Flight>,
    /// What has become of runs and could not be recorded yet.
    reports: Vec<Report>,
    number: u64,
    looks: u64,
    /// What was asked for and changed nothing: it is not asked for again from the same sight.
    idle: Option<(Sight, Sets)>,
    /// What was wrong with the definitions when they were read last.
    broken: Option<String>,
    again: Again,
    told: BTreeSet<String>,
    watched: Watched,
}

impl Loop<'_, '_, '_> {
    fn run(mut self) -> Result<Watched, Error> {
        self.declare_sensors();
        self.declare_signals();
        self.watch_places();
        self.say_watching();
        let mut batch = Batch { all: true, ..Batch::default() };
        self.again.all = Some(now() + self.rescan);
        while !self.stop.is_asked() {
            for notice in std::mem::take(&mut batch.notices) {
                self.warn(notice);
            }
            self.take_reports();
            match self.turn(&batch) {
                Ok(is_idle) => {
                    self.again.pause = None;
                    if is_idle && self.until == Until::Idle {
                        break;
                    }
                }
                Err(error) => self.stumble(&error),
            }
            let timeout = self.timeout();
            batch = self.watch.wait(Some(timeout));
            self.fill(&mut batch);
        }
        self.shut_down()
    }

    /// One round. Says whether there is nothing more to do.
    fn turn(&mut self, batch: &Batch) -> Result<bool, Error> {
        self.redefine(batch)?;
        self.look(batch)?;
        self.sense(batch)?;
        self.take_signals()?;
        for event in self.engine.tick_schedules()? {
            self.say(event);
        }
        self.take_over_requests()?;
        let waiting = self.carry_out_requests()?;
        let asked = self.automate()?;
        let is_pending =
            self.again.sources.is_some() || self.sensors.are_waiting() || self.signals.are_asking();
        Ok(!waiting && !asked && !is_pending && self.flights.is_empty())
    }

    /// A look that could not be made is made again.
    fn stumble(&mut self, error: &Error) {
        let pause = self.again.pause.unwrap_or(Duration::from_secs(1));
        self.warn(format!("{}; it is tried again", super::error_text(error)));
        self.again.pause = Some((pause * 2).min(BACK_OFF_MAX));
        self.again.all = Some(now() + pause);
    }

    fn timeout(&self) -> Duration {
        let now = now();
        let sources = self.again.sources.as_ref().map(|(at, _)| *at);
        let due = [self.again.all, sources, self.sensors.next(), self.signals.next()];
        let due = due.into_iter().flatten().map(|at| at.saturating_duration_since(now));
        let ticks = [self.engine.next_automation(&self.rule), self.engine.next_schedule()];
        let until =
            |tick: chrono::DateTime<chrono::Utc>| (tick - self.engine.clock.now()).to_std().ok();
        due.chain(ticks.into_iter().flatten().filter_map(until))
            .fold(LOOK_AT_STORE, Duration::min)
            .max(Duration::from_millis(1))
    }

    /// Adds what is due whether something happened or not.
    fn fill(&mut self, batch: &mut Batch) {
        let now = now();
        if self.again.all.is_some_and(|at| at <= now) {
            batch.all = true;
            self.again.all = Some(now + self.rescan);
        }
        if batch.all {
            // What could not be made before may be possible now.
            self.looks += 1;
            self.told.clear();
        }
    }

    /// Reads the definitions again where their files may be different.
    fn redefine(&mut self, batch: &Batch) -> Result<(), Error> {
        if !self.places.concern_definitions(batch) {
            return Ok(());
        }
        let defined = match (self.define)() {
            Ok(defined) => defined,
            Err(problems) => {
                if self.broken.as_ref() != Some(&problems) {
                    self.say(WatchEvent::Broken { problems: problems.clone() });
                    self.broken = Some(problems);
                }
                return Ok(());
            }
        };
        let was_broken = self.broken.take().is_some();
        let is_same = defined.project == self.engine.project && defined.env == *self.engine.env;
        if is_same && !was_broken {
            return Ok(());
        }
        let Defined { project, functions, env } = defined;
        let Redefined { changed, added, removed, variables } =
            self.engine.redefine(project, functions, env)?;
        self.definitions = Definitions {
            project: Arc::new(self.engine.project.clone()),
            generation: self.definitions.generation + 1,
            functions: self.engine.functions.clone(),
            env: self.engine.env.clone(),
        };
        self.looks += 1;
        self.declare_sensors();
        self.declare_signals();
        self.watch_places();
        let (others, news) = (changed.clone(), added.clone());
        self.say(WatchEvent::Reloaded { changed: others, added: news, removed, variables });
        // What is new was never looked at, and files that changed with the definitions may be in this batch.
        let looked: Vec<AssetKey> = changed.into_iter().chain(added).collect();
        self.look_at(&looked)
    }

    fn look(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut keys = self.places.concerned(batch);
        if let Some((at, sources)) = &self.again.sources
            && *at <= now()
        {
            keys.extend(sources.iter().cloned());
            self.again.sources = None;
        }
        keys.retain(|key| self.engine.project.assets.contains_key(key));
        if keys.is_empty() {
            if self.engine.ledger.is_behind()? {
                self.engine.catch_up()?;
            }
            self.engine.planner.set_now(self.engine.clock.now());
            return Ok(());
        }
        let keys: Vec<AssetKey> = keys.into_iter().collect();
        self.look_at(&keys)
    }

    fn look_at(&mut self, keys: &[AssetKey]) -> Result<(), Error> {
        let writing = self.watch.writing();
        let is_writing = !writing.is_empty();
        *self.engine.busy.lock().unwrap_or_else(PoisonError::into_inner) = writing;
        let (observed, warnings) = self.engine.observe_due(keys)?;
        if keys.iter().any(|key| !self.engine.project.assets[key].is_source()) {
            self.looks += 1;
        }
        if is_writing {
            let sources = keys.iter().cloned().collect();
            let at = now() + self.watch.settings().writing;
            let (_, known) = self.again.sources.get_or_insert((at, sources));
            known.extend(keys.iter().cloned());
        }
        for warning in warnings {
            self.warn(warning);
        }
        for observed in observed {
            let Observed { added, changed, removed, .. } = &observed;
            if !(added.is_empty() && changed.is_empty() && removed.is_empty()) {
                self.say(WatchEvent::Observed(observed));
            }
        }
        self.watch_places();
        Ok(())
    }

    /// Watches where sources and the files of steps are now.
    fn watch_places(&mut self) {
        let before = std::mem::take(&mut self.places);
        self.places = Places::of(&self.engine, &self.rule, self.assets_dir.as_deref(), before);
        let roots = self.places.roots().into_iter().chain(self.sensors.roots());
        self.watch.set_roots(roots.collect());
    }

    fn sight(&self) -> Sight {
        Sight { rev: self.engine.ledger.rev(), looks: self.looks }
    }

    /// Asks for what is to be made by itself. Says whether anything is.
    fn automate(&mut self) -> Result<bool, Error> {
        let mut busy = Sets::new();
        for flight in self.flights.values() {
            for (key, set) in &flight.targets {
                *busy.entry(key.clone()).or_default() |= set;
            }
        }
        let at = self.engine.clock.now();
        let Asked { mut targets, why, ticked } = self.engine.automate(&self.rule, &busy)?;
        let sight = self.sight();
        if let Some((known, idle)) = &self.idle
            && *known == sight
        {
            for (key, set) in idle {
                if let Some(target) = targets.get_mut(key) {
                    *target -= set;
                }
            }
            targets.retain(|_, set| !set.is_empty());
        }
        if targets.is_empty() {
            if !ticked.is_empty() {
                self.engine.set_handled(&ticked, at)?;
            }
            return Ok(false);
        }
        if !self.runners.has_room() {
            return Ok(true);
        }
        let request = self.rule.request(targets.clone());
        // What it needs of others is not given to another run meanwhile.
        let mut flown = targets.clone();
        for part in self.engine.plan(&request)?.assets {
            let open = part.open();
            if !open.is_empty() {
                *flown.entry(part.asset.clone()).or_default() |= open;
            }
        }
        let what = What::Assets(targets);
        let flight =
            Flight { what, targets: flown, ticked: (ticked, at), requests: Vec::new(), sight };
        self.begin(Work::Bring(request), flight, why);
        Ok(true)
    }

    /// What watchers had to do that have died waits again.
    fn take_over_requests(&mut self) -> Result<(), Error> {
        let now = now();
        if self.again.others.is_none_or(|at| at <= now) {
            self.engine.recover()?;
            self.engine.ledger.store_mut(|store| store.recover_requests())?;
            self.again.others = now.checked_add(LOOK_AT_OTHERS);
        }
        Ok(())
    }

    /// Starts requests of sensors and schedules that wait. Says whether any is left.
    fn carry_out_requests(&mut self) -> Result<bool, Error> {
        let queued = self.engine.ledger.ask(|store| store.queued(REQUESTS_MAX))?;
        let mut groups = grouped(queued).into_iter();
        while self.runners.has_room()
            && let Some(group) = groups.next()
        {
            let owner = self.owner.id().to_owned();
            let group = self.engine.ledger.write(|batch| {
                let mut ours = Vec::new();
                for queued in group {
                    if batch.tx().start_request(queued.id, &owner)? {
                        ours.push(queued);
                    }
                }
                Ok::<_, Error>(ours)
            })?;
            let Some(first) = group.first() else { continue };
            let what = What::Request { of: first.of.clone(), text: text_of(&group) };
            let flight = Flight {
                what,
                targets: Sets::new(),
                ticked: (BTreeSet::new(), self.engine.clock.now()),
                requests: group.iter().map(|queued| queued.id).collect(),
                sight: self.sight(),
            };
            let why = vec![first.of.to_string()];
            self.begin(Work::Requests(group), flight, why);
        }
        Ok(groups.next().is_some())
    }

    fn begin(&mut self, work: Work, flight: Flight, why: Vec<String>) {
        self.number += 1;
        let number = self.number;
        let order = Order { number, definitions: self.definitions.clone(), work };
        self.say(WatchEvent::Begun { run: number, what: flight.what.clone(), why });
        self.flights.insert(number, flight);
        if self.runners.give(order).is_err() {
            // A thread could not be started: as if it had not been asked for.
            let end = End::Error("there is no thread to run it on".to_owned());
            let report = Report { runner: None, number, run: None, end, is_cancelled: true };
            self.reports.push(report);
        }
    }

    /// Records what has become of runs; what cannot be recorded now is tried again.
    fn take_reports(&mut self) {
        let mut reports = std::mem::take(&mut self.reports);
        reports.extend(self.runners.reports());
        for report in reports {
            match self.record(&report) {
                Ok(()) => self.land(report),
                Err(error) => {
                    self.stumble(&error);
                    self.reports.push(report);
                }
            }
        }
    }

    fn record(&mut self, report: &Report) -> Result<(), Error> {
        let Report { number, run, end, is_cancelled, .. } = report;
        let Some(flight) = self.flights.get(number) else { return Ok(()) };
        let is_success = end.is_success();
        let (state, detail) = match end {
            End::Error(problem) => (RequestState::Failure, problem.as_str()),
            End::Assets { .. } | End::Job { .. } if is_success => (RequestState::Success, ""),
            End::Assets { .. } | End::Job { .. } => (RequestState::Failure, ""),
        };
        self.engine.ledger.write(|batch| {
            for id in &flight.requests {
                if *is_cancelled {
                    batch.tx().return_request(*id, *run)?;
                } else {
                    batch.tx().end_request(*id, state, *run, detail)?;
                }
            }
            Ok::<_, Error>(())
        })?;
        if self.engine.ledger.is_behind()? {
            self.engine.catch_up()?;
        }
        let Some(flight) = self.flights.get(number) else { return Ok(()) };
        let (ticked, at) = &flight.ticked;
        if !ticked.is_empty() && !*is_cancelled {
            self.engine.set_handled(ticked, *at)?;
        }
        Ok(())
    }

    /// A run is over, and that is recorded.
    fn land(&mut self, report: Report) {
        let Report { number, end, is_cancelled, .. } = report;
        let Some(flight) = self.flights.remove(&number) else { return };
        self.watched.runs += 1;
        self.watched.failed += u64::from(!end.is_success() && !is_cancelled);
        let sight = self.sight();
        if sight == flight.sight && flight.requests.is_empty() {
            let idle = self.idle.take().filter(|(known, _)| *known == sight);
            let (_, mut sets) = idle.unwrap_or((sight, Sets::new()));
            for (key, set) in flight.targets {
                *sets.entry(key).or_default() |= set;
            }
            self.idle = Some((sight, sets));
        }
        self.say(WatchEvent::Ended { run: number, what: flight.what, end });
    }

    fn shut_down(mut self) -> Result<Watched, Error> {
        if self.runners.busy() > 0 {
            self.say(WatchEvent::Stopping { runs: self.runners.busy() });
        }
        while self.runners.busy() > 0 {
            self.watch.wait(Some(LOOK_AT_STORE));
            self.take_reports();
        }
        for _ in 0..RECORDS_MAX {
            self.take_reports();
            if self.reports.is_empty() {
                break;
            }
        }
        // What is not recorded counts as interrupted, and is done again.
        Ok(self.watched)
    }

    fn say(&self, event: WatchEvent) {
        (self.hear)(&self.engine, Heard::Watch(event));
    }

    fn say_watching(&self) {
        let (directories, polled) = self.watch.counts();
        self.say(WatchEvent::Watching {
            directories,
            polled,
            sources: self.places.sources(),
            automated: self.rule.assets(&self.engine).len(),
            sensors: self.engine.project.sensors.len(),
            schedules: self.engine.project.schedules.len(),
        });
    }

    /// Says something once, until everything is looked at again.
    fn warn(&mut self, message: String) {
        if self.told.insert(message.clone()) {
            self.say(WatchEvent::Warning { message });
        }
    }
}

/// Requests of a sensor for partitions of the same assets are carried out together; a tick of a schedule has
/// a run of its own.
fn grouped(queued: Vec<Queued>) -> Vec<Vec<Queued>> {
    let mut groups: Vec<Vec<Queued>> = Vec::new();
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    for queued in queued {
        let alike = match &queued.request.what {
            Wanted::Assets { select, .. } if queued.of.kind != InstigatorKind::Schedule => {
                let tags = serde_json::to_string(&queued.request.tags);
                Some((format!("{}\n{select}", queued.of), tags.unwrap_or_default()))
            }
            Wanted::Assets { .. } | Wanted::Job { .. } => None,
        };
        match alike.as_ref().and_then(|alike| places.get(alike)) {
            Some(at) => groups[*at].push(queued),
            None => {
                if let Some(alike) = alike {
                    places.insert(alike, groups.len());
                }
                groups.push(vec![queued]);
            }
        }
    }
    groups
}

fn text_of(group: &[Queued]) -> String {
    let mut texts: Vec<String> = group
        .iter()
        .take(3)
        .map(|queued| match &queued.request.what {
            Wanted::Job { job, partition: Some(partition), .. } => format!("{job}@{partition}"),
            Wanted::Job { job, partition: None, .. } => job.to_string(),
            Wanted::Assets { select, partition: Some(partition) } => {
                format!("{select}@{partition}")
            }
            Wanted::Assets { select, partition: None } => select.clone(),
        })
        .collect();
    if group.len() > texts.len() {
        texts.push(format!("and {} more", group.len() - texts.len()));
    }
    texts.join(", ")
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is where the pauses of the watching are measured"
)]
fn now() -> Instant {
    Instant::now()
}
