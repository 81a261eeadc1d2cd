//! One run of a job: what is ready goes to the workers, what comes back is recorded, and so on.
//!
//! One thread decides and records. How steps ended and which ones start because of it is one
//! transaction, so a step that runs is known to run, and a chain costs one transaction a step.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::super::Error;
use super::super::flow::{Change, Ended, InstanceId, Made, Progress, StepState};
use super::super::open::Engine;
use super::super::report::RunOptions;
use super::super::wish::Wishes;
use super::super::work::cores;
use super::super::work::log_text;
use super::event::{JobEvent, JobSummary};
use super::keep::Place;
use super::keys;
use super::launch::{self, Launch, Prepared};
use super::value::{self, Inputs, Value};
use super::work::{Done, Hooks, Order, StepDone, Workers};
use crate::base::{Digest, RunId};
use crate::cas::Lease;
use crate::defs::{Body, FlowStep, Memo};
use crate::exec::{Control, Failure, InJob, LogInfo, Of, Outcome, Step, StepPaths};
use crate::store::{
    LaunchInfo, NewRun, OpEnd, OpOutput, OpState, Owner, RunState, Tx, Wish, place_dir,
};

/// Called with every event, on the thread of the run.
type OnEvent<'a> = &'a mut dyn FnMut(&Engine, JobEvent);

/// A run in progress.
pub(super) struct Run {
    id: RunId,
    owner: Owner,
    /// Nothing is swept while the run goes on.
    lease: Lease,
    prepared: Prepared,
    progress: Progress<Value>,
    /// `.giornata`
    dir: PathBuf,
    staging: PathBuf,
    workers: Workers,
    /// Executions at once, with those that wait for a worker.
    room: usize,
    fail_fast: bool,
    control: Control,
    stopped: bool,
    wishes: Wishes,
    flights: HashMap<u64, Flight>,
    started: u64,
    hooks_running: u64,
    pools: BTreeMap<Arc<str>, Pool>,
    summary: JobSummary,
}

/// A step that runs.
struct Flight {
    id: InstanceId,
    key: Digest,
}

/// How many steps of a pool run, and may.
struct Pool {
    running: u32,
    most: u32,
}

/// What is to be recorded together.
#[derive(Default)]
struct News {
    ended: Vec<EndedStep>,
    changes: Vec<Change>,
    reused: Vec<Reused>,
    starts: Vec<Start>,
}

struct EndedStep {
    id: InstanceId,
    name: String,
    step: Arc<Step>,
    outcome: Outcome,
    outputs: Vec<OpOutput>,
    /// To be kept under the key for other runs.
    memo: Option<(Digest, Vec<OpOutput>)>,
    failure: Option<Failure>,
}

struct Reused {
    name: String,
    from: Before,
}

/// Where what is taken comes from.
enum Before {
    Run(RunId),
    /// Whatever run: the op says `memo`.
    Memo {
        key: Digest,
        outputs: Vec<OpOutput>,
    },
}

struct Start {
    number: u64,
    name: String,
    key: Digest,
    step: Arc<Step>,
}

impl Run {
    pub fn begin(
        engine: &mut Engine,
        mut prepared: Prepared,
        launch: &Launch,
        options: &RunOptions,
        control: &Control,
    ) -> Result<Run, Error> {
        let lease = engine.cas.lease()?;
        let owner = Owner::acquire(&engine.dir)?;
        let mut tags = prepared.job.tags.clone();
        tags.extend(launch.tags.clone());
        let info = LaunchInfo {
            job: Some(prepared.job.name.to_string()),
            partition: launch.partition.clone(),
            parent: launch.retry_of,
            backfill: launch.backfill,
            tags,
            config: launch.config.masked(),
        };
        let new = NewRun {
            started_ms: engine.clock.now().timestamp_millis(),
            owner: owner.id(),
            command: &options.command,
            targets: &[],
            launch: &info,
        };
        let id = engine.ledger.store_mut(|store| store.begin_run(&new))?;
        let dir = place_dir(&engine.dir, id);
        let staging = dir.join("staging");
        for dir in [&staging, &dir.join("kept")] {
            std::fs::create_dir_all(dir)
                .map_err(|source| Error::Write { path: dir.clone(), source })?;
        }
        let place = Place {
            dir: engine.dir.clone(),
            kept: format!("runs/{id}/kept"),
            inline_max_bytes: engine.project.settings.inline_max_bytes,
        };
        let jobs = options.jobs.or(engine.project.settings.jobs).unwrap_or_else(cores).max(1);
        let known = std::mem::take(&mut prepared.known);
        let progress = Progress::new(prepared.flow.clone(), &prepared.chosen, known);
        // No worker waits for the recording of results where a step takes no longer than that.
        let is_quick = |step: &FlowStep| matches!(step.def.body, Body::Function(_));
        let ahead = if prepared.flow.steps.iter().all(is_quick) { 2 } else { 1 };
        let pool =
            |(name, most): (&Arc<str>, &u32)| (name.clone(), Pool { running: 0, most: *most });
        Ok(Run {
            id,
            owner,
            lease,
            progress,
            workers: Workers::new(jobs, control, &engine.functions, &place),
            dir: engine.dir.clone(),
            staging,
            room: jobs * ahead,
            fail_fast: options.fail_fast,
            control: control.clone(),
            stopped: false,
            wishes: Wishes::default(),
            flights: HashMap::new(),
            started: 0,
            hooks_running: 0,
            pools: engine.project.pools.iter().map(pool).collect(),
            summary: JobSummary::new(id),
            prepared,
        })
    }

    /// Works until nothing is left to do.
    pub fn drive(&mut self, engine: &mut Engine, events: OnEvent<'_>) -> Result<(), Error> {
        let steps = self.prepared.chosen.len() as u64;
        events(engine, JobEvent::Started { run: self.id, steps });
        let mut news = News { changes: self.at_first(), ..News::default() };
        loop {
            self.heed(engine)?;
            if !self.stopped {
                self.take_ready(engine, &mut news)?;
            }
            self.record(engine, &news)?;
            let News { ended, changes, reused, starts } = std::mem::take(&mut news);
            self.tell(engine, &ended, &changes, &reused, events);
            for ended in ended {
                self.call_hooks(ended)?;
            }
            self.launch(engine, starts, &mut news, events)?;
            if !news.ended.is_empty() {
                continue;
            }
            if self.flights.is_empty() && self.hooks_running == 0 {
                return Ok(());
            }
            for done in self.workers.receive()? {
                match done {
                    Done::Step(done) => self.land(*done, &mut news),
                    Done::Hooks { step, problems } => {
                        self.hooks_running -= 1;
                        self.summary.hooks_failed += problems.len() as u64;
                        let step = step.shown();
                        for reason in problems {
                            events(engine, JobEvent::HookFailed { step: step.clone(), reason });
                        }
                    }
                }
            }
        }
    }

    /// Stops if it is cancelled, or if another process wants that. There is no pause in the middle of a job,
    /// whose steps hand on what nobody else keeps: it goes on to its end.
    fn heed(&mut self, engine: &Engine) -> Result<(), Error> {
        // What others have recorded is of no concern here, only that they have written.
        engine.ledger.is_behind()?;
        match self.wishes.look(engine, self.id)? {
            Some(Wish::Cancel) => self.control.cancel(),
            Some(Wish::Pause) | None => {}
        }
        self.stopped |= self.control.is_cancelled();
        Ok(())
    }

    /// What can be said of chosen steps before any has run.
    fn at_first(&self) -> Vec<Change> {
        let ids = self.progress.instances();
        let change = |instance| {
            let state = self.progress.state(instance);
            let is_over = matches!(state, StepState::Skipped | StepState::Blocked);
            let chosen = self.prepared.chosen.contains(&self.progress.step(instance));
            (is_over && chosen).then_some(Change { instance, state })
        };
        ids.filter_map(change).collect()
    }

    fn take_ready(&mut self, engine: &mut Engine, news: &mut News) -> Result<(), Error> {
        while self.flights.len() < self.room {
            let pools = &self.pools;
            let has_room = |name: &str| pools.get(name).is_none_or(|it| it.running < it.most);
            let Some(id) = self.progress.next(&has_room) else { return Ok(()) };
            let name = self.progress.name(id);
            match value::gather(&self.progress, id, &engine.dir, &[]) {
                Ok(inputs) => self.decide(engine, id, name, inputs, news)?,
                Err(reason) => {
                    let reason = Failure::Input { name, reason };
                    self.fail_unstarted(engine, id, reason, news);
                }
            }
        }
        Ok(())
    }

    /// Takes what the retried run has made of the same, or prepares a start.
    fn decide(
        &mut self,
        engine: &mut Engine,
        id: InstanceId,
        name: String,
        inputs: Inputs,
        news: &mut News,
    ) -> Result<(), Error> {
        let at = self.progress.step(id) as usize;
        let Prepared { digests, partition, window_rfc3339, earlier, .. } = &self.prepared;
        let window = window_rfc3339.as_ref();
        let piece = self.progress.piece(id);
        let key = keys::instance(&digests[at], piece, partition, window, &inputs.digest);
        if let Some(earlier) = earlier
            && let Some(made) = earlier.outputs(engine, self.progress.declared(id), &name, &key)?
        {
            news.reused.push(Reused { name, from: Before::Run(earlier.run) });
            self.summary.reused += 1;
            news.changes.extend(self.progress.ended(id, made, Ended::Success));
            return Ok(());
        }
        let declared = self.progress.declared(id);
        if declared.op.memo == Memo::ByContent
            && let Some(made) = launch::remembered(engine, declared, &key)?
        {
            let outputs = records(declared, &made);
            news.reused.push(Reused { name, from: Before::Memo { key, outputs } });
            self.summary.restored += 1;
            news.changes.extend(self.progress.ended(id, made, Ended::Success));
            return Ok(());
        }
        let step = Arc::new(self.step(engine, id, inputs));
        let number = self.take_off(id, key);
        news.starts.push(Start { number, name, key, step });
        Ok(())
    }

    fn take_off(&mut self, id: InstanceId, key: Digest) -> u64 {
        self.started += 1;
        self.flights.insert(self.started, Flight { id, key });
        let declared = self.progress.declared(id);
        if let Some(pool) = declared.def.pool.as_ref().and_then(|name| self.pools.get_mut(name)) {
            pool.running += 1;
        }
        self.started
    }

    /// Everything that one execution needs.
    fn step(&self, engine: &Engine, id: InstanceId, inputs: Inputs) -> Step {
        let declared = self.progress.declared(id);
        let Prepared {
            job, settings, partition, window, window_rfc3339, resources, secrets, ..
        } = &self.prepared;
        let at = self.progress.step(id) as usize;
        let settings = &settings[at];
        let in_job = InJob {
            job: job.name.clone(),
            asset: None,
            path: declared.path.clone(),
            op: declared.op.clone(),
            piece: self.progress.piece(id).map(Arc::from),
            own: settings.own.clone(),
            read: settings.read.clone(),
        };
        let log = engine.op_log_path(self.id, &in_job.name());
        Step {
            def: declared.def.clone(),
            of: Of::Job(Arc::new(in_job)),
            partition: partition.clone(),
            window: window.clone(),
            window_rfc3339: window_rfc3339.clone(),
            inputs: inputs.inputs,
            config: settings.all.clone(),
            run: self.id,
            now: engine.clock.now(),
            attempt: 1,
            paths: StepPaths { root: engine.root.clone(), staging: self.staging.clone(), log },
            env: engine.env.clone(),
            log_max_bytes: engine.project.settings.log_max_bytes,
            types: engine.types.clone(),
            resources: resources[at].clone(),
            secrets: secrets.clone(),
        }
    }

    /// A step whose inputs cannot be had fails.
    fn fail_unstarted(
        &mut self,
        engine: &Engine,
        id: InstanceId,
        failure: Failure,
        news: &mut News,
    ) {
        let inputs = Inputs { inputs: Vec::new(), digest: Digest::from_bytes([0; 32]) };
        let step = Arc::new(self.step(engine, id, inputs));
        let (name, key) = (self.progress.name(id), Digest::from_bytes([0; 32]));
        let number = self.take_off(id, key);
        let outcome = Outcome::not_run(&step);
        news.starts.push(Start { number, name, key, step: step.clone() });
        self.land(StepDone { number, step, outcome, made: Err(failure) }, news);
    }

    fn land(&mut self, done: StepDone, news: &mut News) {
        let StepDone { number, step, outcome, made } = done;
        let flight = self.flights.remove(&number);
        let Flight { id, key } = flight.expect("only what was started comes back");
        let name = self.progress.name(id);
        let declared = self.progress.declared(id);
        if let Some(pool) = declared.def.pool.as_ref().and_then(|name| self.pools.get_mut(name)) {
            pool.running -= 1;
        }
        match made {
            Ok(made) => {
                let outputs = records(declared, &made);
                let memo = self.remember(declared, key, number, &made);
                self.summary.succeeded += 1;
                let failure = None;
                news.ended.push(EndedStep { id, name, step, outcome, outputs, memo, failure });
                news.changes.extend(self.progress.ended(id, made, Ended::Success));
            }
            Err(failure) => {
                if failure == Failure::Cancelled {
                    self.summary.cancelled += 1;
                    self.stopped = true;
                } else {
                    self.summary.failed += 1;
                    self.stopped |= self.fail_fast;
                    news.changes.extend(self.progress.ended(id, Vec::new(), Ended::Failed));
                }
                let (outputs, memo, failure) = (Vec::new(), None, Some(failure));
                news.ended.push(EndedStep { id, name, step, outcome, outputs, memo, failure });
            }
        }
    }

    /// Puts what a step gave where other runs find it, if its op says so. What cannot be put there is made
    /// again by them.
    fn remember(
        &self,
        declared: &FlowStep,
        key: Digest,
        number: u64,
        made: &[Made<Value>],
    ) -> Option<(Digest, Vec<OpOutput>)> {
        if declared.op.memo == Memo::Never {
            return None;
        }
        let dir = format!("memo/{key}.{}.{number}", self.id);
        let copy = |(at, (output, piece, value)): (usize, &Made<Value>)| {
            let value = value.copied(&self.dir, &format!("{dir}/{at}")).ok()?;
            Some((*output, piece.clone(), value))
        };
        let copied = made.iter().enumerate().map(copy).collect::<Option<Vec<_>>>()?;
        Some((key, records(declared, &copied)))
    }

    /// One transaction for all that is new; none if nothing is.
    fn record(&self, engine: &Engine, news: &News) -> Result<(), Error> {
        let News { ended, changes, reused, starts } = news;
        let is_skip = |change: &&Change| change.state == StepState::Skipped;
        let skips: Vec<&Change> = changes.iter().filter(is_skip).collect();
        if ended.is_empty() && skips.is_empty() && reused.is_empty() && starts.is_empty() {
            return Ok(());
        }
        let now_ms = engine.clock.now().timestamp_millis();
        engine.ledger.write(|batch| {
            let tx = batch.tx();
            // What was not started before fails within the same transaction.
            for Start { name, key, .. } in starts {
                tx.start_op(self.id, name, key, now_ms)?;
            }
            for ended in ended {
                self.record_end(tx, engine, ended)?;
            }
            for (key, outputs) in ended.iter().filter_map(|ended| ended.memo.as_ref()) {
                tx.put_memo(key, outputs, now_ms)?;
            }
            for skip in skips {
                tx.skip_op(self.id, &self.progress.name(skip.instance), now_ms)?;
            }
            for Reused { name, from } in reused {
                match from {
                    Before::Run(from) => tx.reuse_op(*from, self.id, name)?,
                    Before::Memo { key, outputs } => {
                        tx.restore_op(self.id, name, key, outputs, now_ms)?;
                        tx.use_memo(key, now_ms)?;
                    }
                }
            }
            Ok::<_, Error>(())
        })
    }

    fn record_end(
        &self,
        tx: &mut Tx<'_>,
        engine: &Engine,
        ended: &EndedStep,
    ) -> Result<(), crate::store::Error> {
        let EndedStep { name, outcome, outputs, failure, .. } = ended;
        let state = match failure {
            None => OpState::Success,
            Some(Failure::Cancelled) => OpState::Cancelled,
            Some(_) => OpState::Failure,
        };
        let detail = failure.as_ref().map(Failure::to_string).unwrap_or_default();
        let log = log_text(&engine.root, outcome.log.as_ref());
        let end = OpEnd {
            state,
            attempts: outcome.attempt,
            duration_ms: u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
            detail: &detail,
            log: log.as_deref(),
            usage: outcome.whole_usage(),
            metadata: &outcome.reported(),
        };
        tx.finish_op(self.id, name, &end, outputs)
    }

    fn tell(
        &mut self,
        engine: &Engine,
        ended: &[EndedStep],
        changes: &[Change],
        reused: &[Reused],
        events: OnEvent<'_>,
    ) {
        for EndedStep { name, outcome, outputs, failure, .. } in ended {
            for message in &outcome.warnings {
                events(engine, JobEvent::Warning { message: message.clone() });
            }
            let (step, duration, attempts) = (name.clone(), outcome.duration, outcome.attempt);
            match failure {
                None => {
                    let emitted = outputs.iter().map(emitted_name).collect();
                    let metadata = outcome.metadata.clone();
                    let event =
                        JobEvent::StepSucceeded { step, duration, attempts, emitted, metadata };
                    events(engine, event);
                }
                Some(Failure::Cancelled) => {}
                Some(failure) => {
                    let reason = failure.to_string();
                    let (log, log_tail) = match &outcome.log {
                        Some(LogInfo { path, tail, .. }) => (Some(path.clone()), tail.clone()),
                        None => (None, String::new()),
                    };
                    let event =
                        JobEvent::StepFailed { step, duration, attempts, reason, log, log_tail };
                    events(engine, event);
                }
            }
        }
        for Reused { name, from } in reused {
            let from = match from {
                Before::Run(run) => Some(*run),
                Before::Memo { .. } => None,
            };
            events(engine, JobEvent::StepReused { step: name.clone(), from });
        }
        for Change { instance, state } in changes {
            let step = self.progress.name(*instance);
            match state {
                StepState::Skipped => {
                    self.summary.skipped += 1;
                    events(engine, JobEvent::StepSkipped { step });
                }
                StepState::Blocked => {
                    self.summary.blocked += 1;
                    events(engine, JobEvent::StepBlocked { step });
                }
                StepState::Waiting
                | StepState::Ready
                | StepState::Running
                | StepState::Success
                | StepState::Failed => {}
            }
        }
    }

    /// After the record, so that nobody acts on what may still be undone.
    fn call_hooks(&mut self, ended: EndedStep) -> Result<(), Error> {
        let EndedStep { id, step, outcome, failure, .. } = ended;
        let (own, job) = (&self.progress.declared(id).hooks, &self.prepared.job.hooks);
        let hooks: Vec<_> = match &failure {
            None => own.success.iter().chain(&job.success).cloned().collect(),
            Some(Failure::Cancelled) => return Ok(()),
            Some(_) => own.failure.iter().chain(&job.failure).cloned().collect(),
        };
        if hooks.is_empty() {
            return Ok(());
        }
        // What the step read is not there for a hook, and its log stays what it is.
        let mut step = Step { inputs: Vec::new(), ..(*step).clone() };
        step.paths.log.set_extension("hooks.log");
        let attempts = outcome.attempt;
        self.hooks_running += 1;
        self.workers.send(Order::Hooks(Hooks { hooks, step: Arc::new(step), attempts, failure }))
    }

    /// Hands what is recorded as started to the workers.
    fn launch(
        &mut self,
        engine: &Engine,
        starts: Vec<Start>,
        news: &mut News,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        let alone = self.flights.len() == 1 && self.hooks_running == 0;
        for Start { number, name, step, .. } in starts {
            if !self.flights.contains_key(&number) {
                continue;
            }
            events(engine, JobEvent::StepStarted { step: name });
            if alone && matches!(step.def.body, Body::Function(_)) {
                let done = self.workers.run_here(number, step);
                self.land(done, news);
            } else {
                self.workers.send(Order::Step { number, step })?;
            }
        }
        Ok(())
    }

    pub fn finish(mut self, engine: &mut Engine, events: OnEvent<'_>) -> Result<JobSummary, Error> {
        self.workers.finish()?;
        for message in engine.pool.tear_down() {
            events(engine, JobEvent::Warning { message });
        }
        if self.stopped {
            let left = |id: &InstanceId| {
                matches!(self.progress.state(*id), StepState::Waiting | StepState::Ready)
            };
            self.summary.cancelled += self.progress.instances().filter(left).count() as u64;
        }
        let state = match (self.control.is_cancelled(), self.summary.is_success()) {
            (true, _) => RunState::Cancelled,
            (false, true) => RunState::Success,
            (false, false) => RunState::Failure,
        };
        let mut over = Vec::new();
        if state == RunState::Success {
            over = engine.ledger.ask(|store| store.ancestors(self.id))?;
            over.push(self.id);
        }
        let now = engine.clock.now().timestamp_millis();
        engine.ledger.write(|batch| {
            for run in &over {
                batch.tx().forget_op_outputs(*run)?;
            }
            batch.tx().finish_run(self.id, state, now, &self.summary.counts())
        })?;
        // What cannot be removed now is found by `gc`: no row names it any more.
        let _ = std::fs::remove_dir_all(&self.staging);
        for run in &over {
            let _ = std::fs::remove_dir_all(place_dir(&engine.dir, *run));
        }
        if over.is_empty() {
            self.summary.kept = Some(place_dir(&engine.dir, self.id));
        }
        drop((self.owner, self.lease));
        events(engine, JobEvent::Finished { summary: self.summary.clone() });
        Ok(self.summary)
    }
}

/// What a step gave, as the store keeps it.
fn records(declared: &FlowStep, made: &[Made<Value>]) -> Vec<OpOutput> {
    let record = |(output, piece, value): &Made<Value>| {
        value.record(&declared.op.outputs[*output as usize].name, piece.as_ref())
    };
    made.iter().map(record).collect()
}

/// `result`, or `result[p1]` of a piece.
fn emitted_name(output: &OpOutput) -> String {
    match &output.piece {
        Some(piece) => format!("{}[{piece}]", output.output),
        None => output.output.to_string(),
    }
}
