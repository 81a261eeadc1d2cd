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
use super::keys::{Ops, Settings};
use super::value::Value;
use crate::base::{AssetKey, Digest, JobName};
use crate::defs::{Body, GraphBody, HookDef, Memo};
use crate::exec::{Control, Emitted, Failure, Input, LogInfo, Of, Outcome, Step};

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
    asset: AssetKey,
    body: GraphBody,
    course: Course,
    /// Nobody else uses it.
    dir: PathBuf,
    place: Arc<Place>,
    hooks_running: u32,
    /// The first of them; nothing more is started then.
    failure: Option<Failure>,
    outcome: Outcome,
    /// When the first of the steps began.
    began: Option<Instant>,
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
        let (Body::Graph(body), Of::Asset(asset)) = (&step.def.body, &step.of) else {
            unreachable!("only an asset is made by a graph")
        };
        let frame = self.frame(engine, &step, asset, body, memos)?;
        match frame.and_then(|frame| Graph::new(engine, &step, asset, body, frame)) {
            Ok(graph) => {
                self.open.insert(flight, graph);
                Ok(())
            }
            Err(failure) => {
                let outcome = Outcome { result: Err(failure), ..Outcome::not_run(&step) };
                workers.send(Order::Graph { number: flight, step, outcome: Box::new(outcome) })
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
        for (declared, settings) in steps.iter().zip(&settings) {
            digests.push(match (declared.op.memo, &mut self.ops) {
                (Memo::Never, _) => Digest::from_bytes([0; 32]),
                (Memo::ByContent, Some(ops)) => ops.step(engine, declared, settings)?,
                (Memo::ByContent, ops) => {
                    ops.insert(Ops::new(engine)?).step(engine, declared, settings)?
                }
            });
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
                let (step, outcome) = graph.close(engine);
                workers.send(Order::Graph { number: flight, step, outcome })?;
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
            if graph.failure.is_some() {
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
        let chosen = (0..).zip(&body.flow.steps).map(|(at, _)| at).collect();
        let progress = Progress::new(Arc::clone(&body.flow), &chosen, Known::new());
        Ok(Graph {
            step: step.clone(),
            asset: asset.clone(),
            body: body.clone(),
            course: Course::new(progress, frame),
            dir,
            place: Arc::new(place),
            hooks_running: 0,
            failure: None,
            outcome: Outcome::not_run(step),
            began: None,
        })
    }

    /// Whether nothing of it runs and nothing more will.
    fn is_over(&self) -> bool {
        let is_idle = self.course.running() == 0 && self.hooks_running == 0;
        is_idle && (self.failure.is_some() || !self.course.progress.has_ready())
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
        if self.course.progress.step(id) == self.body.result.step {
            self.outcome.metadata.extend(outcome.metadata);
        }
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
            self.failure.get_or_insert(within);
        }
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

    /// The step as it has ended. What is checked of the result is yet to be.
    fn close(mut self, engine: &Engine) -> (Arc<Step>, Box<Outcome>) {
        self.outcome.result = match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.result(engine),
        };
        // What cannot be removed goes with the run.
        let _ = fs::remove_dir_all(&self.dir);
        (self.step, Box::new(self.outcome))
    }

    /// What the graph gives.
    fn result(&self, engine: &Engine) -> Result<Vec<Emitted>, Failure> {
        let slot = self.body.result;
        let progress = &self.course.progress;
        let id = progress.instances_of(slot.step).next();
        let made = id.and_then(|id| progress.made(id, slot.output).into_iter().next());
        let Some((_, value)) = made else {
            let path = &self.body.flow.steps[slot.step as usize].path;
            let state = id.map_or(StepState::Skipped, |id: InstanceId| progress.state(id));
            let reason = format!("gave no result: `{path}` is {state}");
            return Err(Failure::Function(reason));
        };
        let what = self.outside(engine, value)?.produced(&engine.dir)?;
        Ok(vec![Emitted::only(what)])
    }

    /// The value outside of the directory of the steps, which goes now, and apart from what is kept for
    /// other runs.
    fn outside(&self, engine: &Engine, value: &Value) -> Result<Value, Failure> {
        let to = self.dir.strip_prefix(&engine.dir).unwrap_or(&self.dir);
        let to = format!("{}-result", to.to_string_lossy());
        value.copied(&engine.dir, &to).map_err(failed("write", &engine.dir.join(&to)))
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
