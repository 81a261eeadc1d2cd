//! Carries out a plan: decides what is ready, hands steps to workers, records what comes back.
//!
//! One thread decides and records; workers only run steps. Every result is recorded as it arrives,
//! together with whatever queued meanwhile, and nothing is ever waited for in order to record more at
//! once. What takes the place of the steps that have ended is claimed in the same transaction. A step is
//! started only while memory holds the newest revision; if another process has written, what runs is
//! finished, everything is read anew, and the rest is planned again.

mod blocked;
mod depart;
mod start;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use super::asks::{self, Asking};
use super::event::{RunEvent, Summary};
use super::fates::Became;
use super::job::Graphs;
use super::listing;
use super::open::{Access, Engine};
use super::record::Landed;
use super::report::{RunOptions, RunOrder};
use super::schedule::{Job, Link, Schedule};
use super::target::{Settled, Target};
use super::wish::Wishes;
use super::work;
use super::workers::{Done, Ended, Workers};
use crate::base::fault::{self, Write};
use crate::base::{AssetKey, PartitionIdx, PartitionKey, PartitionSet, Rev, RunId};
use crate::cas::Lease;
use crate::cas::stat::StatEntry;
use crate::exec::{Control, Step};
use crate::plan::{Plan, PlanAsset, Request};
use crate::store::{Fate, NewRun, Owner, RunState, Wish, staging_dir};

/// How often the rest of a run is planned again because other processes have written.
const REPLANS_MAX: u32 = 10_000_000;

/// How often a run whose work is done looks again whether others have undone some of it.
const SECOND_LOOKS_MAX: u32 = 2;

/// How long to wait before looking again at what another process is making.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Verified and restored results that are recorded in one transaction at the most.
const SETTLED_MAX: usize = 1_000;

/// Called with every event, on the thread of the run.
pub type OnEvent<'a> = &'a mut dyn FnMut(&Engine, RunEvent);

impl Engine {
    /// Makes what `request` wants fresh. `events` hears what happens, in order, on this thread.
    pub fn materialize(
        &mut self,
        request: &Request,
        options: &RunOptions,
        control: &Control,
        events: &mut dyn FnMut(&Engine, RunEvent),
    ) -> Result<Summary, Error> {
        match self.access {
            Access::Write => {}
            Access::Read => return Err(Error::ReadOnly),
        }
        self.planner.begin_invocation();
        let summary = self.carry_out(request, options, control, events);
        // Where it failed midway they are still there.
        self.close_resources(events);
        if summary.is_err() {
            // Part of it may be recorded; whoever keeps this engine has to see that.
            self.catch_up()?;
        }
        summary
    }

    fn carry_out(
        &mut self,
        request: &Request,
        options: &RunOptions,
        control: &Control,
        events: &mut dyn FnMut(&Engine, RunEvent),
    ) -> Result<Summary, Error> {
        let mut plan = self.plan(request)?;
        release(&mut plan, &options.spared);
        // A source is not made, so it is not counted.
        let made = plan.assets.iter().filter(|part| !self.planner.def(&part.asset).is_source());
        let fresh = made.map(|part| part.fresh.len()).sum();
        let mut summary = Summary { fresh, ..Summary::default() };
        self.open_planned_resources(&plan)?;
        let exports = self.stale_exports(&plan)?;
        if plan.is_empty() {
            events(self, RunEvent::started(None, &plan, summary.fresh));
            self.settle_closing(&plan)?;
            self.export_again(exports, &mut summary, events)?;
            self.keep_exports()?;
            events(self, RunEvent::Finished { summary });
            return Ok(summary);
        }
        let mut run = Run::begin(self, &plan, options, control)?;
        events(self, RunEvent::started(Some(run.id), &plan, summary.fresh));
        self.export_again(exports, &mut summary, events)?;
        let targets = self.looked_at(request);
        for _ in 0..REPLANS_MAX {
            let opened = !asks::forget(self, &plan)? && self.settle_opening(&plan)?;
            if opened && run.drive(self, &plan, &mut summary, events)? == Drive::Finished {
                break;
            }
            run.replanned = true;
            for asset in &plan.assets {
                self.planner.touch(&asset.asset);
            }
            for message in self.look_again(&targets)? {
                events(self, RunEvent::Warning { message });
            }
            plan = self.plan(request)?;
            // There may be other partitions by now.
            run.wanted = self.wanted(&plan);
            // What was forced and has run is not forced again.
            release(&mut plan, &run.forced);
        }
        run.finish(self, &plan, &mut summary, events)?;
        self.chosen_are_there(request)?;
        Ok(summary)
    }

    /// How many partitions a plan is about; sources are not made, so they are not counted.
    fn wanted(&self, plan: &Plan) -> u64 {
        let made = plan.assets.iter().filter(|part| !self.planner.def(&part.asset).is_source());
        made.map(|part| part.wanted.len()).sum()
    }
}

/// Lets the state decide again about what was to run whatever its state.
fn release(plan: &mut Plan, ran: &BTreeMap<AssetKey, PartitionSet>) {
    for part in &mut plan.assets {
        if let Some(ran) = ran.get(&part.asset) {
            part.release(ran);
        }
    }
}

/// How one pass over a plan, or a part of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drive {
    Finished,
    /// Another process has written, or content is gone: the rest has to be planned again.
    Overtaken,
}

/// A step that runs, with what was true when it was started.
struct Flight {
    /// What it makes: a set of (asset, partition).
    targets: Vec<Target>,
    snapshot: Rev,
}

/// A step that is ready to go.
struct Launch {
    flight: Flight,
    step: Step,
}

/// One run in progress.
pub(super) struct Run {
    pub id: RunId,
    owner: Owner,
    /// No content is removed from the store while the run goes on.
    lease: Lease,
    pub staging: PathBuf,
    jobs: usize,
    order: RunOrder,
    fail_fast: bool,
    control: Control,
    workers: Workers,
    graphs: Graphs,
    flights: HashMap<u64, Flight>,
    flights_started: u64,
    /// Steps that are ready to go, as soon as they are claimed.
    launches: Vec<Launch>,
    /// What needs no run, and is yet to be recorded.
    settled: Settled,
    /// Owners of partitions that this run needs and others are making.
    awaited: BTreeSet<String>,
    /// Failed in this run, or waiting for such: not tried again when the rest is planned anew.
    given_up: BTreeMap<AssetKey, PartitionSet>,
    /// Started because that was asked for, whatever their state.
    forced: BTreeMap<AssetKey, PartitionSet>,
    /// Told to lack an input.
    blocked: BTreeMap<AssetKey, PartitionSet>,
    stopped: bool,
    wishes: Wishes,
    /// Stopped because that was wished for; what ran was finished.
    paused: bool,
    second_looks: u32,
    /// The rest has to be planned again: content was found to be gone, or there are other pieces.
    pub outdated: bool,
    /// Steps that have asked for what they were not given.
    pub asking: Asking,
    /// What waits until it is known which pieces there are.
    held: BTreeMap<AssetKey, PartitionSet>,
    /// Made while an input changed: stale, and not made once more in this run.
    raced: BTreeMap<AssetKey, PartitionSet>,
    /// Warnings that were given.
    pub told: BTreeSet<String>,
    /// What has become of partitions so far.
    pub became: Became,
    /// How many partitions the first plan was about.
    wanted: u64,
    replanned: bool,
}

impl Run {
    fn begin(
        engine: &mut Engine,
        plan: &Plan,
        options: &RunOptions,
        control: &Control,
    ) -> Result<Run, Error> {
        let lease = engine.cas.lease()?;
        let owner = options.among.owner(&engine.dir)?;
        let targets: Vec<(AssetKey, PartitionSet)> = plan
            .assets
            .iter()
            .filter(|asset| asset.is_target)
            .map(|asset| (asset.asset.clone(), asset.wanted.clone()))
            .collect();
        let new = NewRun {
            started_ms: engine.clock.now().timestamp_millis(),
            owner: owner.id(),
            command: &options.command,
            targets: &targets,
            launch: &options.launch,
        };
        let id = engine.ledger.store_mut(|store| store.begin_run(&new))?;
        let staging = staging_dir(&engine.dir, id);
        fault::check(Write::File("create", &staging))
            .and_then(|()| std::fs::create_dir_all(&staging))
            .map_err(|source| Error::Io { path: staging.clone(), source })?;
        let jobs = options.jobs.or(engine.project.settings.jobs).unwrap_or_else(work::cores).max(1);
        Ok(Run {
            id,
            owner,
            lease,
            staging,
            jobs,
            order: options.order,
            fail_fast: options.fail_fast,
            control: control.clone(),
            workers: Workers::new(engine, options.hands, jobs, control),
            graphs: Graphs::new(engine, jobs, control),
            flights: HashMap::new(),
            flights_started: 0,
            launches: Vec::new(),
            settled: Settled::default(),
            awaited: BTreeSet::new(),
            given_up: options.given_up.clone(),
            forced: options.spared.clone(),
            blocked: BTreeMap::new(),
            stopped: false,
            wishes: Wishes::default(),
            paused: false,
            second_looks: 0,
            outdated: false,
            asking: Asking::default(),
            held: BTreeMap::new(),
            raced: BTreeMap::new(),
            told: BTreeSet::new(),
            became: Became::of_left(plan, &options.given_up),
            wanted: engine.wanted(plan),
            replanned: false,
        })
    }

    /// Who makes this run's partitions.
    pub fn owner(&self) -> &str {
        self.owner.id()
    }

    /// Works until nothing is left to do or another process has written.
    fn drive(
        &mut self,
        engine: &mut Engine,
        plan: &Plan,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<Drive, Error> {
        let parts: HashMap<AssetKey, &PlanAsset> =
            plan.assets.iter().map(|asset| (asset.asset.clone(), asset)).collect();
        self.report_blocked(engine, plan, summary, events);
        self.settled = Settled::default();
        let mut schedule = self.schedule(engine, plan, summary, events);
        let mut overtaken = engine.ledger.is_behind()?;
        loop {
            self.heed(engine)?;
            self.stopped |= self.control.is_stopping();
            if !overtaken && !self.stopped {
                let started = self.start_ready(engine, &parts, &mut schedule, summary, events)?;
                overtaken = started == Drive::Overtaken || std::mem::take(&mut self.outdated);
            }
            if self.flights.is_empty() {
                if !overtaken && !self.stopped && !self.awaited.is_empty() {
                    overtaken = self.await_others(engine)?;
                    continue;
                }
                self.awaited.clear();
                // All that could run has: now what was asked for can be made.
                overtaken |= std::mem::take(&mut self.asking.again);
                // Two processes with different definitions could go on for ever undoing each other's work.
                let settled = schedule.is_done() && self.second_looks == SECOND_LOOKS_MAX;
                self.second_looks += u32::from(schedule.is_done());
                let finished = !overtaken || self.stopped || settled;
                return Ok(if finished { Drive::Finished } else { Drive::Overtaken });
            }
            let done = self.results(engine)?;
            overtaken |= engine.ledger.is_behind()?;
            self.heed(engine)?;
            if done.is_empty() {
                continue;
            }
            let looks_on = !overtaken && !self.stopped && !self.control.is_cancelled();
            let landed = self.land(engine, done);
            let failed = landed.iter().any(|landed| landed.result.is_err());
            if looks_on && !(failed && self.fail_fast) {
                let prepared = self.prepare(engine, &parts, &mut schedule, summary, events)?;
                overtaken |= prepared == Drive::Overtaken;
            }
            let failed =
                super::record::results(engine, self, &mut schedule, landed, summary, events)?;
            self.stopped |= failed && self.fail_fast;
            // The transaction has found it out, and that of the next steps will.
            overtaken |= engine.ledger.is_overtaken();
        }
    }

    /// Stops if it is cancelled, or if another process wants that.
    fn heed(&mut self, engine: &Engine) -> Result<(), Error> {
        match self.wishes.look(engine, self.id)? {
            Some(Wish::Cancel) => self.control.cancel(),
            Some(Wish::Pause) => (self.paused, self.stopped) = (true, true),
            None => {}
        }
        self.stopped |= self.control.is_cancelled();
        Ok(())
    }

    fn schedule(
        &mut self,
        engine: &Engine,
        plan: &Plan,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Schedule {
        let undecided = self.sift(engine, plan, summary, events);
        let mut held: BTreeMap<AssetKey, PartitionSet> = BTreeMap::new();
        let mut job = |part: &PlanAsset| {
            let mut open = part.open();
            for gone in [&self.raced, &undecided] {
                if let Some(parts) = gone.get(&part.asset) {
                    open -= parts;
                }
            }
            let edges = engine.planner.edges(&part.asset);
            // What reads pieces that are yet to be made is planned again when they are, and what reads
            // that too.
            let waits = |edge: &crate::plan::Edge| {
                let is_over = self.raced.contains_key(&edge.upstream)
                    || self.given_up.contains_key(&edge.upstream);
                (part.is_source && is_over)
                    || held.contains_key(&edge.upstream)
                    || edge.waits_for_keys(engine.planner.freshness(&edge.upstream))
            };
            if edges.iter().any(waits) {
                if let Some(given_up) = self.given_up.get(&part.asset) {
                    open -= given_up;
                }
                held.insert(part.asset.clone(), std::mem::take(&mut open));
            }
            let batch = engine.planner.def(&part.asset).policy.batch;
            let batch = batch.map_or(1, |batch| batch.get() as usize);
            let link = |edge: &crate::plan::Edge| Link {
                upstream: edge.upstream.clone(),
                mapping: edge.mapping.clone(),
            };
            let (asset, domain) = (part.asset.clone(), part.state.domain.clone());
            Job { asset, open, links: edges.iter().map(link).collect(), domain, batch }
        };
        let mut schedule = Schedule::new(plan.assets.iter().map(&mut job).collect(), self.order);
        self.held = held;
        self.leave_given_up(engine, plan, &mut schedule, summary, events);
        // What cannot be decided yet is planned again when the rest is made.
        self.asking.again |= !undecided.is_empty() && !schedule.is_done();
        schedule
    }

    /// Starts what is ready until the workers have enough to do, and records what need not run.
    fn start_ready(
        &mut self,
        engine: &mut Engine,
        parts: &HashMap<AssetKey, &PlanAsset>,
        schedule: &mut Schedule,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<Drive, Error> {
        loop {
            let prepared = self.prepare(engine, parts, schedule, summary, events)?;
            if prepared == Drive::Overtaken || self.launch(engine, events)? == Drive::Overtaken {
                return Ok(Drive::Overtaken);
            }
            // While steps run, what others have written is seen when the next one ends.
            let is_idle = self.settled.len() > 0 || self.flights.is_empty();
            if is_idle && engine.ledger.is_behind()? {
                return Ok(Drive::Overtaken);
            }
            if self.settled.len() == 0 {
                return Ok(Drive::Finished);
            }
            let settled = std::mem::take(&mut self.settled);
            super::record::settle(engine, self, parts, schedule, settled, summary, events)?;
        }
    }

    /// Which flights have ended, if any has by now; graphs go on.
    fn results(&mut self, engine: &Engine) -> Result<Vec<(u64, Vec<Ended>)>, Error> {
        let mut ended = Vec::new();
        for done in self.workers.receive()? {
            match done {
                Done::Results { number, results } => ended.push((number, results)),
                Done::Values(done) => self.graphs.land(engine, &mut self.workers, *done)?,
                Done::Hooks { number, step, problems } => {
                    self.graphs.hooked(number, &step, problems);
                }
            }
        }
        self.graphs.advance(engine, &mut self.workers, &mut self.flights_started)?;
        Ok(ended)
    }

    /// Waits until another process has recorded something, or one that makes what is needed has died.
    /// Says whether the rest has to be planned again.
    fn await_others(&mut self, engine: &Engine) -> Result<bool, Error> {
        self.control.wait(LOOK_AGAIN);
        if engine.ledger.is_behind()? {
            return Ok(true);
        }
        for owner in &self.awaited {
            if !engine.ledger.ask(|store| store.is_alive_elsewhere(owner))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes in what workers have handed back.
    fn land(&mut self, engine: &Engine, ended: Vec<(u64, Vec<Ended>)>) -> Vec<Landed> {
        let mut landed = Vec::with_capacity(ended.len());
        for (flight, results) in ended {
            let flight = self.flights.remove(&flight).expect("only what was started comes back");
            let snapshot = flight.snapshot;
            for (target, Ended { outcome, result }) in flight.targets.into_iter().zip(results) {
                let raced = engine.is_raced(&target);
                if raced {
                    self.raced.entry(target.asset.clone()).or_default().insert(target.part);
                }
                let asked = Vec::new();
                landed.push(Landed { target, result, outcome, snapshot, raced, asked });
            }
        }
        landed
    }

    fn finish(
        mut self,
        engine: &mut Engine,
        plan: &Plan,
        summary: &mut Summary,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        self.workers.finish()?;
        if !self.stopped {
            self.give_up_held(engine, summary, events);
        }
        let made = plan.assets.iter().filter(|asset| !asset.is_source);
        let wanted: u64 = made.map(|asset| asset.open().len()).sum();
        let handled = summary.ran + summary.failed + summary.restored + summary.cut_off;
        if self.stopped {
            summary.cancelled = wanted.saturating_sub(handled + summary.blocked);
            for asset in plan.assets.iter().filter(|asset| !asset.is_source) {
                let left = &asset.open() - &self.became.known(&asset.asset);
                self.became.note(&asset.asset, Fate::Cancelled, &left);
            }
        }
        if self.replanned {
            // What other processes have made meanwhile is fresh as well.
            let others = handled + summary.blocked + summary.cancelled;
            summary.fresh = self.wanted.saturating_sub(others);
        }
        for asset in &plan.assets {
            engine.planner.touch(&asset.asset);
        }
        engine.settle_closing(plan)?;
        engine.keep_exports()?;
        engine.close_resources(events);
        let state = match (self.control.is_cancelled(), summary.is_success()) {
            (true, _) => RunState::Cancelled,
            (false, true) => RunState::Success,
            (false, false) if self.paused => RunState::Paused,
            (false, false) => RunState::Failure,
        };
        let now = engine.clock.now().timestamp_millis();
        engine.ledger.write(|batch| {
            batch.tx().release_all(self.owner.id())?;
            self.became.write(batch.tx(), self.id)?;
            batch.tx().finish_run(self.id, state, now, &summary.counts()).map_err(Error::from)
        })?;
        // What is left is empty or unwanted; the next recovery would remove it too.
        let _ = std::fs::remove_dir_all(&self.staging);
        drop((self.owner, self.lease));
        events(engine, RunEvent::Finished { summary: *summary });
        Ok(())
    }
}

impl Engine {
    /// Whether something that a step read for this result is not what it was.
    fn is_raced(&self, target: &Target) -> bool {
        let same = |(path, entry): &(PathBuf, StatEntry)| listing::is_same(path, entry, self.slack);
        !target.guards.iter().all(same) || self.has_other_script(&target.asset)
    }
}

/// The key of a partition for messages.
pub(super) fn partition_of(engine: &Engine, asset: &AssetKey, part: PartitionIdx) -> PartitionKey {
    engine.planner.domain(asset).key(part).unwrap_or_else(PartitionKey::unpartitioned)
}
