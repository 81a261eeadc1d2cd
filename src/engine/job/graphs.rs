//! Carries out the graphs that are the bodies of assets: one step of a run each, made of several.
//!
//! The steps of all graphs share the workers of the run, and its pools. What they hand to each other lies in
//! a directory of their graph within that of the run, and goes when they have ended; what they write goes
//! into the one log of the asset, each after the other. Where one of them fails, the asset has failed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Error;
use super::super::flow::{InstanceId, Known, Progress, StepState};
use super::super::open::Engine;
use super::super::workers::{Hooks, Keep, Order, StepDone, Workers};
use super::course::{Before, Course, Frame, Landing, Memos, Pools, Reused, Turn};
use super::keep::Place;
use super::keys::{Guards, Ops, Settings};
use super::value::Value;
use crate::base::{AssetKey, Digest, JobName};
use crate::defs::{Body, GraphBody, HookDef, Memo, Slot};
use crate::exec::{ASSET, Control, Emitted, Failure, Input, LogInfo, Member, Of, Outcome, Step};

/// The graphs that a run carries out at the moment.
pub struct Graphs {
    /// By the number of the step that each is.
    open: BTreeMap<u64, Graph>,
    /// Of which of them an execution is one.
    of: HashMap<u64, u64>,
    /// Executions at once, with those that wait for a worker.
    room: usize,
    pools: Pools,
    ops: Option<Ops>,
    control: Control,
}

/// One execution of a graph.
struct Graph {
    step: Arc<Step>,
    /// The asset, or the first of those that it makes: the job of its steps has this name.
    asset: AssetKey,
    body: GraphBody,
    results: Vec<Wanted>,
    course: Course,
    /// Nobody else uses it.
    dir: PathBuf,
    place: Arc<Place>,
    hooks_running: u32,
    /// The first of them.
    failure: Option<Failure>,
    /// Of several assets: why one of their steps failed, by its place in the flow.
    failed: BTreeMap<u32, Failure>,
    outcome: Outcome,
    /// When the first of the steps began.
    began: Option<Instant>,
}

/// A result that was asked for.
struct Wanted {
    /// The place of the asset among those that the step makes.
    place: u32,
    asset: AssetKey,
    slot: Slot,
}

impl Graphs {
    pub fn new(engine: &Engine, jobs: usize, control: &Control) -> Graphs {
        Graphs {
            open: BTreeMap::new(),
            of: HashMap::new(),
            room: jobs,
            pools: Pools::of(&engine.project),
            ops: None,
            control: control.clone(),
        }
    }

    /// Takes up the step `flight`, whose body is a graph. Nothing runs before [`Graphs::advance`].
    pub fn begin(
        &mut self,
        engine: &Engine,
        workers: &mut Workers,
        flight: u64,
        step: Arc<Step>,
        memos: Memos,
    ) -> Result<(), Error> {
        let Body::Graph(body) = &step.def.body else { unreachable!("it is begun for its graph") };
        let results = wanted(&step, body);
        let Some(asset) = first(&step.of) else { unreachable!("only assets are made by a graph") };
        let frame = self.frame(engine, &step, asset, body, memos)?;
        match frame.and_then(|frame| Graph::new(engine, &step, asset, body, results, frame)) {
            Ok(graph) => {
                self.open.insert(flight, graph);
                Ok(())
            }
            Err(failure) => {
                let outcome = Outcome { result: Err(failure), ..Outcome::not_run(&step) };
                let (outcome, absent) = (Box::new(outcome), BTreeMap::new());
                workers.send(Order::Graph { number: flight, step, outcome, absent })
            }
        }
    }

    fn frame(
        &mut self,
        engine: &Engine,
        step: &Step,
        asset: &AssetKey,
        body: &GraphBody,
        memos: Memos,
    ) -> Result<Result<Frame, Failure>, Error> {
        let config = step.config.clone().into_iter().collect::<serde_json::Map<_, _>>();
        let config = serde_json::Value::Object(config);
        let steps = &body.flow.steps;
        let settings: Vec<Settings> = steps.iter().map(|it| Settings::of(it, &config)).collect();
        let mut digests = Vec::with_capacity(steps.len());
        let mut guards = Vec::with_capacity(steps.len());
        for (declared, settings) in steps.iter().zip(&settings) {
            let (digest, guard) = match (declared.op.memo, &mut self.ops) {
                // Those of the asset are looked at after its step.
                (Memo::Never, _) => (Digest::from_bytes([0; 32]), Guards::from([])),
                (Memo::ByContent, Some(ops)) => ops.step(engine, declared, settings)?,
                (Memo::ByContent, ops) => {
                    ops.insert(Ops::new(engine)?).step(engine, declared, settings)?
                }
            };
            digests.push(digest);
            guards.push(guard);
        }
        let around = match around(step, body) {
            Ok(around) => around,
            Err(failure) => return Ok(Err(failure)),
        };
        let job = match JobName::parse(asset.as_str()) {
            Ok(job) => job,
            Err(error) => return Ok(Err(Failure::Unsupported(error.to_string()))),
        };
        let mut name = Digest::builder("giornata 2026 place of a graph");
        name.part(asset.as_str()).part(step.partition.as_str());
        let dir = step.paths.staging.join(format!("graph-{}", name.finish()));
        Ok(Ok(Frame {
            job,
            asset: Some(asset.clone()),
            run: step.run,
            partition: step.partition.clone(),
            window: step.window.clone(),
            window_rfc3339: step.window_rfc3339.clone(),
            around,
            settings,
            digests,
            guards,
            resources: steps.iter().map(|it| engine.resources_of_op(it)).collect(),
            secrets: step.secrets.clone(),
            staging: dir.join("staging"),
            logs: dir.join("logs"),
            earlier: None,
            memos,
        }))
    }

    /// Starts what is ready, as far as there is room for it, and closes the graphs that are done. `started`
    /// is the number of the last execution of the run.
    pub fn advance(
        &mut self,
        engine: &Engine,
        workers: &mut Workers,
        started: &mut u64,
    ) -> Result<(), Error> {
        let mut over = Vec::new();
        let flights: Vec<u64> = self.open.keys().copied().collect();
        for flight in flights {
            self.start(engine, workers, flight, started)?;
            if self.open[&flight].is_over() {
                over.push(flight);
            }
        }
        for flight in over {
            if let Some(graph) = self.open.remove(&flight) {
                let (step, outcome, absent) = graph.close(engine);
                workers.send(Order::Graph { number: flight, step, outcome, absent })?;
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        engine: &Engine,
        workers: &mut Workers,
        flight: u64,
        started: &mut u64,
    ) -> Result<(), Error> {
        while self.of.len() < self.room {
            let graph = self.open.get_mut(&flight).expect("it is one of those that are open");
            if self.control.is_cancelled() && !graph.is_over() {
                graph.failure.get_or_insert(Failure::Cancelled);
            }
            if graph.starts_no_more() {
                return Ok(());
            }
            match graph.course.next(engine, &mut self.pools, *started + 1)? {
                None => return Ok(()),
                Some(Turn::Reused(reused, _)) => graph.take(engine, &reused)?,
                Some(Turn::Start(start)) => {
                    *started += 1;
                    self.of.insert(start.number, flight);
                    let (number, step) = (start.number, start.step);
                    if let Some(failure) = start.unready {
                        let outcome = Outcome::not_run(&step);
                        let done = StepDone { number, step, outcome, made: Err(failure) };
                        self.land(engine, workers, done)?;
                    } else {
                        let keep = Keep::Values(graph.place.clone());
                        workers.send(Order::Step { number, step, keep })?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes in how a step of a graph ended.
    pub fn land(
        &mut self,
        engine: &Engine,
        workers: &mut Workers,
        done: StepDone,
    ) -> Result<(), Error> {
        let StepDone { number, step, outcome, made } = done;
        let flight = self.of.remove(&number).expect("only what was started comes back");
        let graph = self.open.get_mut(&flight).expect("it is open while one of its steps runs");
        let landing = graph.course.land(engine, &mut self.pools, number, made);
        if let Some((key, outputs)) = &landing.memo {
            let now_ms = engine.clock.now().timestamp_millis();
            engine.ledger.write(|batch| batch.tx().put_memo(key, outputs, now_ms))?;
        }
        if let Some(hooks) = graph.hooks(&landing, &step, outcome.attempt) {
            graph.hooks_running += 1;
            workers.send(Order::Hooks { number: flight, hooks })?;
        }
        graph.land(landing, outcome);
        Ok(())
    }

    /// Takes in what could not be done after a step of the graph that is the step `flight`.
    pub fn hooked(&mut self, flight: u64, step: &Step, problems: Vec<String>) {
        let graph = self.open.get_mut(&flight).expect("it is open while its hooks run");
        graph.hooks_running -= 1;
        let Of::Job(at) = &step.of else { return };
        let name = format!("{}.{}", graph.asset, at.name());
        let warning = |reason| format!("a hook of `{name}` failed: {reason}");
        graph.outcome.warnings.extend(problems.into_iter().map(warning));
    }
}

impl Graph {
    fn new(
        engine: &Engine,
        step: &Arc<Step>,
        asset: &AssetKey,
        body: &GraphBody,
        results: Vec<Wanted>,
        frame: Frame,
    ) -> Result<Graph, Failure> {
        let dir = frame.staging.parent().unwrap_or(&frame.staging).to_owned();
        // An earlier process with this run's number may have died in this very step.
        let _ = fs::remove_dir_all(&dir);
        for dir in [frame.staging.clone(), dir.join("kept")] {
            fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        let relative = dir.strip_prefix(&engine.dir).unwrap_or(&dir).join("kept");
        let place = Place {
            dir: engine.dir.clone(),
            kept: relative.to_string_lossy().into_owned(),
            inline_max_bytes: engine.project.settings.inline_max_bytes,
        };
        let wanted: Vec<Slot> = results.iter().map(|result| result.slot).collect();
        let all = body.others.iter().chain([&body.result]);
        let others: Vec<Slot> = all.filter(|slot| !wanted.contains(slot)).copied().collect();
        let left_out = body.flow.needed_for_others(&wanted, &others);
        let steps = (0..).zip(&body.flow.steps).map(|(at, _)| at);
        let chosen = steps.filter(|at| !left_out.contains(at)).collect();
        let progress = Progress::new(Arc::clone(&body.flow), &chosen, Known::new());
        Ok(Graph {
            step: step.clone(),
            asset: asset.clone(),
            body: body.clone(),
            results,
            course: Course::new(progress, frame),
            dir,
            place: Arc::new(place),
            hooks_running: 0,
            failure: None,
            failed: BTreeMap::new(),
            outcome: Outcome::not_run(step),
            began: None,
        })
    }

    /// Whether nothing of it runs and nothing more will.
    fn is_over(&self) -> bool {
        let is_idle = self.course.running() == 0 && self.hooks_running == 0;
        is_idle && (self.starts_no_more() || !self.course.progress.has_ready())
    }

    /// Whether what is ready is left alone: with one asset, once a step has failed. Of several the others may
    /// still be made.
    fn starts_no_more(&self) -> bool {
        match &self.failure {
            None => false,
            Some(Failure::Cancelled) => true,
            Some(_) => self.results.len() == 1,
        }
    }

    /// What a step gives was made before.
    fn take(&mut self, engine: &Engine, reused: &Reused) -> Result<(), Error> {
        let Reused { name, from, .. } = reused;
        if let Before::Memo(key) = from {
            let now_ms = engine.clock.now().timestamp_millis();
            engine.ledger.write(|batch| batch.tx().use_memo(key, now_ms))?;
        }
        self.log(&format!("[giornata: step {name} is taken from what was made before]\n"), None);
        Ok(())
    }

    fn land(&mut self, landing: Landing, outcome: Outcome) {
        let Landing { id, name, failure, .. } = landing;
        let began = now().checked_sub(outcome.duration);
        self.began = self.began.into_iter().chain(began).min();
        self.outcome.duration = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        self.outcome.usage = self.outcome.usage.and(outcome.whole_usage());
        self.outcome.warnings.extend(outcome.warnings);
        let at = self.course.progress.step(id);
        self.report(at, outcome.metadata);
        // The last lines are those of what failed first.
        let tail = self.outcome.log.as_ref().map(|log| log.tail.clone());
        self.log(&format!("[giornata: step {name}]\n"), outcome.log);
        if let (Some(_), Some(tail), Some(log)) = (&self.failure, tail, &mut self.outcome.log) {
            log.tail = tail;
        }
        if let Some(failure) = failure {
            let within = match failure {
                Failure::Cancelled => Failure::Cancelled,
                failure => Failure::Within { step: name, failure: Box::new(failure) },
            };
            self.failed.entry(at).or_insert_with(|| within.clone());
            self.failure.get_or_insert(within);
        }
    }

    /// Takes in what a step reported: that of a result is kept.
    fn report(&mut self, at: u32, reported: Vec<serde_json::Value>) {
        let of: Vec<&Wanted> = self.results.iter().filter(|it| it.slot.step == at).collect();
        let whose = match of.as_slice() {
            [] => return,
            [only] if self.results.len() > 1 => Some(&only.asset),
            _ => None,
        };
        let tagged = |mut line: serde_json::Value| {
            if let (Some(asset), Some(line)) = (whose, line.as_object_mut()) {
                line.entry(ASSET).or_insert_with(|| asset.as_str().into());
            }
            line
        };
        self.outcome.metadata.extend(reported.into_iter().map(tagged));
    }

    /// What is to be done after a step, if anything is.
    fn hooks(&self, landing: &Landing, step: &Arc<Step>, attempts: u32) -> Option<Hooks> {
        let own = &self.course.progress.declared(landing.id).hooks;
        let hooks: &[HookDef] = match &landing.failure {
            None => &own.success,
            Some(Failure::Cancelled) => &[],
            Some(_) => &own.failure,
        };
        if hooks.is_empty() {
            return None;
        }
        // What the step read is not there for a hook.
        let mut step = Step { inputs: Vec::new(), ..(**step).clone() };
        step.paths.log.clone_from(&self.step.paths.log);
        let (hooks, failure) = (hooks.to_vec(), landing.failure.clone());
        Some(Hooks { hooks, step: Arc::new(step), attempts, failure })
    }

    /// Adds to the log of the asset: that a step was there, even if it said nothing, and what it said.
    fn log(&mut self, head: &str, said: Option<LogInfo>) {
        let path = &self.step.paths.log;
        let before = self.outcome.log.take();
        let is_first = before.is_none();
        if let Err(error) = append(path, is_first, head, said.as_ref().map(|log| &*log.path)) {
            let asset = &self.asset;
            let message = format!("the log of `{asset}` could not be written: {error}");
            self.outcome.warnings.push(message);
        }
        let (bytes, dropped) = before.map_or((0, 0), |log| (log.bytes, log.dropped));
        let head_bytes = head.len() as u64;
        self.outcome.log = Some(match said {
            Some(log) => LogInfo {
                path: path.clone(),
                bytes: bytes + head_bytes + log.bytes,
                dropped: dropped + log.dropped,
                tail: log.tail,
            },
            None => {
                let tail = head.to_owned();
                LogInfo { path: path.clone(), bytes: bytes + head_bytes, dropped, tail }
            }
        });
    }

    /// The step as it has ended, and why results are not there. What is checked of them is yet to be.
    fn close(mut self, engine: &Engine) -> (Arc<Step>, Box<Outcome>, BTreeMap<u32, Failure>) {
        let mut absent = BTreeMap::new();
        let mut made = Vec::with_capacity(self.results.len());
        for (at, wanted) in self.results.iter().enumerate() {
            match self.result(engine, at, wanted) {
                Ok(emitted) => made.push(emitted),
                Err(failure) => {
                    absent.insert(wanted.place, failure);
                }
            }
        }
        self.outcome.result = match (self.failure_of_all(), absent.first_key_value()) {
            (Some(failure), _) => Err(failure),
            (None, Some((_, failure))) if made.is_empty() => Err(failure.clone()),
            (None, _) => Ok(made),
        };
        // What cannot be removed goes with the run.
        let _ = fs::remove_dir_all(&self.dir);
        (self.step, Box::new(self.outcome), absent)
    }

    /// Of several assets, a step that one of them needs is the failure of that one alone.
    fn failure_of_all(&self) -> Option<Failure> {
        let failure = self.failure.as_ref()?;
        if self.starts_no_more() {
            return Some(failure.clone());
        }
        let wanted: Vec<Slot> = self.results.iter().map(|result| result.slot).collect();
        let needed = self.body.flow.needed_for(&wanted);
        let mut beside = self.failed.iter().filter(|(at, _)| !needed.contains(at));
        beside.next().map(|(_, failure)| failure.clone())
    }

    /// What the graph gives as the result at this place among those that are wanted.
    fn result(&self, engine: &Engine, at: usize, wanted: &Wanted) -> Result<Emitted, Failure> {
        let slot = wanted.slot;
        let progress = &self.course.progress;
        let id = progress.instances_of(slot.step).next();
        let made = id.and_then(|id| progress.made(id, slot.output).into_iter().next());
        let Some((_, value)) = made else {
            let needed = self.body.flow.needed_for(&[slot]);
            let mut failed = self.failed.iter().filter(|(at, _)| needed.contains(at));
            if let Some((_, failure)) = failed.next() {
                return Err(failure.clone());
            }
            let path = &self.body.flow.steps[slot.step as usize].path;
            let state = id.map_or(StepState::Skipped, |id: InstanceId| progress.state(id));
            let reason = format!("gave no result: `{path}` is {state}");
            return Err(Failure::Function(reason));
        };
        let what = self.outside(engine, at, value)?.produced(&engine.dir)?;
        Ok(Emitted { output: wanted.place, piece: None, what })
    }

    /// The value outside of the directory of the steps, which goes now, and apart from what is kept for
    /// other runs.
    fn outside(&self, engine: &Engine, at: usize, value: &Value) -> Result<Value, Failure> {
        let to = self.dir.strip_prefix(&engine.dir).unwrap_or(&self.dir);
        let to = format!("{}-result-{at}", to.to_string_lossy());
        value.copied(&engine.dir, &to).map_err(failed("write", &engine.dir.join(&to)))
    }
}

/// The results that are asked for.
fn wanted(step: &Step, body: &GraphBody) -> Vec<Wanted> {
    match &step.of {
        Of::Asset(asset) => vec![Wanted { place: 0, asset: asset.clone(), slot: body.result }],
        Of::Assets(members) => {
            let wanted = |(place, member): (u32, &Member)| match &member.def.body {
                Body::Graph(own) if member.is_wanted => {
                    Some(Wanted { place, asset: member.key.clone(), slot: own.result })
                }
                Body::Graph(_)
                | Body::Source(_)
                | Body::Sql(_)
                | Body::Command(_)
                | Body::Function(_) => None,
            };
            (0..).zip(members.iter()).filter_map(wanted).collect()
        }
        // Graphs are refused a batch where they are declared.
        Of::Batch(_) | Of::Job(_) => Vec::new(),
    }
}

fn first(of: &Of) -> Option<&AssetKey> {
    match of {
        Of::Asset(asset) => Some(asset),
        Of::Assets(members) => members.first().map(|member| &member.key),
        Of::Batch(_) | Of::Job(_) => None,
    }
}

/// What the graph is given, in the order of its inputs.
fn around(step: &Step, body: &GraphBody) -> Result<Vec<Input>, Failure> {
    let missing = |variable: &String| {
        let reason = "the step was made without it".to_owned();
        Failure::Input { name: variable.clone(), reason }
    };
    let find = |variable: &String| {
        let found = step.inputs.iter().find(|input| input.variable == *variable);
        found.cloned().ok_or_else(|| missing(variable))
    };
    body.inputs.iter().map(find).collect()
}

fn append(path: &Path, is_first: bool, head: &str, said: Option<&Path>) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mut options = fs::OpenOptions::new();
    options.create(true);
    match is_first {
        true => options.write(true).truncate(true),
        false => options.append(true),
    };
    let mut log = options.open(path)?;
    log.write_all(head.as_bytes())?;
    if let Some(said) = said {
        io::copy(&mut fs::File::open(said)?, &mut log)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this is where a graph is timed")]
fn now() -> Instant {
    Instant::now()
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let path = path.to_owned();
    move |error| Failure::Io { verb, path, reason: error.to_string() }
}
