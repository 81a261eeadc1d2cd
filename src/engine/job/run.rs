//! One run of a job: what is ready goes to the workers, what comes back is recorded, and so on.
//!
//! One thread decides and records. How steps ended and which ones start because of it is one
//! transaction, so a step that runs is known to run, and a chain costs one transaction a step.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::Error;
use super::super::flow::{Change, InstanceId, Progress, StepState};
use super::super::open::Engine;
use super::super::report::RunOptions;
use super::super::wish::Wishes;
use super::super::work::{cores, log_text};
use super::super::workers::{Done, Hooks, Keep, Order, StepDone, Workers};
use super::course::{Before, Course, Frame, Landing, Memos, Pools, Reused, Start, Turn};
use super::event::{JobEvent, JobSummary};
use super::keep::Place;
use super::launch::{Launch, Prepared};
use crate::base::RunId;
use crate::cas::Lease;
use crate::defs::{Body, FlowStep, Job};
use crate::exec::{Control, Failure, LogInfo, Outcome, Step};
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
    job: Arc<Job>,
    chosen: BTreeSet<u32>,
    course: Course,
    staging: PathBuf,
    place: Arc<Place>,
    workers: Workers,
    /// Executions at once, with those that wait for a worker.
    room: usize,
    fail_fast: bool,
    control: Control,
    stopped: bool,
    wishes: Wishes,
    started: u64,
    hooks_running: u64,
    pools: Pools,
    summary: JobSummary,
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
    landing: Landing,
    step: Arc<Step>,
    outcome: Outcome,
}

impl Run {
    pub fn begin(
        engine: &mut Engine,
        prepared: Prepared,
        launch: &Launch,
        options: &RunOptions,
        control: &Control,
    ) -> Result<Run, Error> {
        let lease = engine.cas.lease()?;
        let owner = options.among.owner(&engine.dir)?;
        let mut tags = prepared.job.tags.clone();
        tags.extend(launch.tags.clone());
        let info = LaunchInfo {
            job: Some(prepared.job.name.to_string()),
            partition: launch.partition.clone(),
            parent: launch.retry_of,
            backfill: launch.backfill,
            tags,
            config: launch.config.masked(),
            request: launch.request,
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
        // No worker waits for the recording of results where a step takes no longer than that.
        let is_quick = |step: &FlowStep| matches!(step.def.body, Body::Function(_));
        let ahead = if prepared.flow.steps.iter().all(is_quick) { 2 } else { 1 };
        let Prepared { job, flow, chosen, known, .. } = prepared;
        let frame = Frame {
            job: job.name.clone(),
            asset: None,
            run: id,
            partition: prepared.partition,
            window: prepared.window,
            window_rfc3339: prepared.window_rfc3339,
            around: Vec::new(),
            settings: prepared.settings,
            digests: prepared.digests,
            guards: prepared.guards,
            resources: prepared.resources,
            secrets: prepared.secrets,
            staging: staging.clone(),
            logs: engine.dir.join(format!("logs/{id}")),
            earlier: prepared.earlier,
            memos: Memos::Take,
        };
        Ok(Run {
            id,
            owner,
            lease,
            course: Course::new(Progress::new(flow, &chosen, known), frame),
            job,
            chosen,
            workers: Workers::new(engine, options.hands, jobs, control),
            staging,
            place: Arc::new(place),
            room: jobs * ahead,
            fail_fast: options.fail_fast,
            control: control.clone(),
            stopped: false,
            wishes: Wishes::default(),
            started: 0,
            hooks_running: 0,
            pools: Pools::of(&engine.project),
            summary: JobSummary::new(id),
        })
    }

    /// Works until nothing is left to do.
    pub fn drive(&mut self, engine: &mut Engine, events: OnEvent<'_>) -> Result<(), Error> {
        let steps = self.chosen.len() as u64;
        events(engine, JobEvent::Started { run: self.id, steps });
        let mut news = News { changes: self.at_first(), ..News::default() };
        loop {
            self.heed(engine)?;
            self.stopped |= self.control.is_stopping();
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
            if self.course.running() == 0 && self.hooks_running == 0 {
                return Ok(());
            }
            for done in self.workers.receive()? {
                match done {
                    Done::Values(done) => self.land(engine, *done, &mut news),
                    Done::Results { .. } => unreachable!("a step of a job makes no asset"),
                    Done::Hooks { step, problems, .. } => {
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
        let progress = &self.course.progress;
        let change = |instance| {
            let state = progress.state(instance);
            let is_over = matches!(state, StepState::Skipped | StepState::Blocked);
            let chosen = self.chosen.contains(&progress.step(instance));
            (is_over && chosen).then_some(Change { instance, state })
        };
        progress.instances().filter_map(change).collect()
    }

    fn take_ready(&mut self, engine: &Engine, news: &mut News) -> Result<(), Error> {
        while self.course.running() < self.room {
            let next = self.course.next(engine, &mut self.pools, self.started + 1)?;
            match next {
                None => return Ok(()),
                Some(Turn::Reused(reused, changes)) => {
                    match reused.from {
                        Before::Run(_) => self.summary.reused += 1,
                        Before::Memo(_) => self.summary.restored += 1,
                    }
                    news.reused.push(reused);
                    news.changes.extend(changes);
                }
                Some(Turn::Start(mut start)) => {
                    self.started += 1;
                    let (number, step) = (start.number, start.step.clone());
                    let unready = start.unready.take();
                    news.starts.push(start);
                    if let Some(failure) = unready {
                        let outcome = Outcome::not_run(&step);
                        let done = StepDone { number, step, outcome, made: Err(failure) };
                        self.land(engine, done, news);
                    }
                }
            }
        }
        Ok(())
    }

    fn land(&mut self, engine: &Engine, done: StepDone, news: &mut News) {
        let StepDone { number, step, outcome, made } = done;
        let mut landing = self.course.land(engine, &mut self.pools, number, made);
        match &landing.failure {
            None => self.summary.succeeded += 1,
            Some(Failure::Cancelled) => {
                self.summary.cancelled += 1;
                self.stopped = true;
            }
            Some(_) => {
                self.summary.failed += 1;
                self.stopped |= self.fail_fast;
            }
        }
        news.changes.append(&mut landing.changes);
        news.ended.push(EndedStep { landing, step, outcome });
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
            for (key, outputs) in ended.iter().filter_map(|ended| ended.landing.memo.as_ref()) {
                tx.put_memo(key, outputs, now_ms)?;
            }
            for skip in skips {
                tx.skip_op(self.id, &self.course.progress.name(skip.instance), now_ms)?;
            }
            for Reused { name, from, outputs } in reused {
                match from {
                    Before::Run(from) => tx.reuse_op(*from, self.id, name)?,
                    Before::Memo(key) => {
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
        let EndedStep { landing: Landing { name, outputs, failure, .. }, outcome, .. } = ended;
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
        tx.finish_op(self.id, name, &end, outputs)?;
        if ended.landing.raced {
            tx.forget_op_key(self.id, name)?;
        }
        Ok(())
    }

    fn tell(
        &mut self,
        engine: &Engine,
        ended: &[EndedStep],
        changes: &[Change],
        reused: &[Reused],
        events: OnEvent<'_>,
    ) {
        for EndedStep { landing, outcome, .. } in ended {
            let Landing { name, outputs, failure, .. } = landing;
            for message in &outcome.warnings {
                events(engine, JobEvent::Warning { message: message.clone() });
            }
            if landing.raced {
                let message = format!(
                    "a file that `{name}` is made of has changed since the run began; a retry runs it again"
                );
                events(engine, JobEvent::Warning { message });
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
        for Reused { name, from, outputs } in reused {
            let from = match from {
                Before::Run(run) => Some(*run),
                Before::Memo(_) => None,
            };
            let emitted = outputs.iter().map(emitted_name).collect();
            events(engine, JobEvent::StepReused { step: name.clone(), from, emitted });
        }
        for Change { instance, state } in changes {
            let step = self.course.progress.name(*instance);
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
        let EndedStep { landing: Landing { id, failure, .. }, step, outcome } = ended;
        let (own, job) = (&self.course.progress.declared(id).hooks, &self.job.hooks);
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
        let hooks = Hooks { hooks, step: Arc::new(step), attempts, failure };
        self.workers.send(Order::Hooks { number: 0, hooks })
    }

    /// Hands what is recorded as started to the workers.
    fn launch(
        &mut self,
        engine: &Engine,
        starts: Vec<Start>,
        news: &mut News,
        events: OnEvent<'_>,
    ) -> Result<(), Error> {
        let alone = self.course.running() == 1 && self.hooks_running == 0;
        for Start { number, name, step, .. } in starts {
            if !self.course.runs(number) {
                continue;
            }
            events(engine, JobEvent::StepStarted { step: name });
            if alone && matches!(step.def.body, Body::Function(_)) {
                let done = self.workers.run_here(number, step, &self.place);
                self.land(engine, done, news);
            } else {
                let keep = Keep::Values(self.place.clone());
                self.workers.send(Order::Step { number, step, keep })?;
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
            let progress = &self.course.progress;
            let left = |id: &InstanceId| {
                matches!(progress.state(*id), StepState::Waiting | StepState::Ready)
            };
            self.summary.cancelled += progress.instances().filter(left).count() as u64;
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

/// `result`, or `result[p1]` of a piece.
fn emitted_name(output: &OpOutput) -> String {
    match &output.piece {
        Some(piece) => format!("{}[{piece}]", output.output),
        None => output.output.to_string(),
    }
}
