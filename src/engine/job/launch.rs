//! Prepares a run of a job: everything that can be known to be wrong is found here, before it starts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::Error;
use super::super::flow::{Known, Made};
use super::super::open::Engine;
use super::super::work::spans;
use super::keys::{Guards, Ops, Settings};
use super::value::Value;
use crate::base::{BackfillId, Digest, JobName, PartitionIdx, PartitionKey, RunId};
use crate::defs::config::{Config, Withheld};
use crate::defs::{Body, Domain, Flow, FlowStep, HookDef, Job, Selection, Work};
use crate::exec::{Resources, Secrets, missing_program};
use crate::store::{MEMO, OpState, OpStep, RunState};

/// What is to be run, and with what.
#[derive(Debug, Clone)]
pub struct Launch {
    /// A job of ops of the project.
    pub job: JobName,
    /// Which of the job's partitions; `None` for a job without.
    pub partition: Option<PartitionKey>,
    /// Fits the job's schema, with variables of the environment resolved.
    pub config: Config,
    /// Only these ops; what they read of others is taken from the run that is retried.
    pub ops: Option<Selection>,
    /// A run of the same job that did not succeed: what it made of the same is taken.
    pub retry_of: Option<RunId>,
    /// Over those of the job.
    pub tags: BTreeMap<String, String>,
    /// The backfill that the run is a part of.
    pub backfill: Option<BackfillId>,
    /// The request of a tick that it carries out, by its number.
    pub request: Option<i64>,
}

/// A run that can start.
pub(super) struct Prepared {
    pub job: Arc<Job>,
    pub flow: Arc<Flow>,
    pub chosen: BTreeSet<u32>,
    pub settings: Vec<Settings>,
    /// Of each step, without its inputs.
    pub digests: Vec<Digest>,
    pub guards: Vec<Guards>,
    pub partition: PartitionKey,
    pub window: Option<(String, String)>,
    pub window_rfc3339: Option<(String, String)>,
    /// Of each step, those that it uses.
    pub resources: Vec<Resources>,
    pub secrets: Arc<Secrets>,
    pub earlier: Option<Earlier>,
    /// What steps that are not chosen have made in the run that is retried.
    pub known: Known<Value>,
}

/// The run that is retried.
pub(super) struct Earlier {
    pub run: RunId,
    /// What succeeded, by name.
    steps: HashMap<String, OpStep>,
}

/// What would be run, as far as that is known before anything is digested.
struct Judged {
    job: Arc<Job>,
    flow: Arc<Flow>,
    chosen: BTreeSet<u32>,
    earlier: Option<(RunId, Vec<OpStep>)>,
    known: Known<Value>,
    place: (PartitionKey, Window, Window),
}

impl Judged {
    /// Fails with what is wrong, if anything is.
    fn settle(self, problems: Vec<String>) -> Result<Judged, Error> {
        match problems.is_empty() {
            true => Ok(self),
            false => Err(Error::Launch { job: self.job.name.to_string(), problems }),
        }
    }
}

/// The paths of the steps that would be run, in the order of the flow; a step that is mapped over pieces
/// counts once.
pub(super) fn steps(engine: &Engine, launch: &Launch) -> Result<Vec<String>, Error> {
    let (judged, problems) = judge(engine, launch)?;
    let Judged { flow, chosen, .. } = judged.settle(problems)?;
    Ok(chosen.iter().map(|at| flow.steps[*at as usize].path.to_string()).collect())
}

/// Resources are not looked at: they are known when they are set up.
fn judge(engine: &Engine, launch: &Launch) -> Result<(Judged, Vec<String>), Error> {
    let job = job(engine, &launch.job)?;
    let Work::Flow(flow) = &job.work else {
        return Err(Error::JobOfAssets { job: launch.job.to_string() });
    };
    let flow = flow.clone();
    let chosen = match &launch.ops {
        None => (0..).zip(&flow.steps).map(|(at, _)| at).collect(),
        Some(selection) => selection.select_steps(&flow).map_err(|error| Error::Ops {
            job: launch.job.to_string(),
            text: selection.as_str().to_owned(),
            error: Box::new(error),
        })?,
    };
    let mut problems = Vec::new();
    let earlier = match launch.retry_of.map(|run| retried(engine, &job, run)).transpose()? {
        Some(Ok(steps)) => Some(steps),
        Some(Err(problem)) => {
            problems.push(problem);
            None
        }
        None => None,
    };
    let known = earlier
        .as_ref()
        .map_or(Ok(Known::new()), |(run, steps)| known(engine, &flow, &chosen, *run, steps))?;
    problems.extend(unselected(&flow, &chosen, &known));
    problems.extend(unresolved(&launch.config));
    problems.extend(needs(engine, &job, &flow, &chosen));
    let place = match place(engine, &job, launch.partition.as_ref())? {
        Ok(place) => place,
        Err(problem) => {
            problems.push(problem);
            (PartitionKey::unpartitioned(), None, None)
        }
    };
    Ok((Judged { job, flow, chosen, earlier, known, place }, problems))
}

pub(super) fn prepare(engine: &mut Engine, launch: &Launch) -> Result<Prepared, Error> {
    let (judged, mut problems) = judge(engine, launch)?;
    problems.extend(open_resources(engine, &judged.flow, &judged.chosen, &launch.config)?);
    let Judged { job, flow, chosen, earlier, known, place } = judged.settle(problems)?;
    let (partition, window, window_rfc3339) = place;
    let of = |step| Settings::of(step, &launch.config.value);
    let settings: Vec<Settings> = flow.steps.iter().map(of).collect();
    let mut ops = Ops::new(engine)?;
    let steps = flow.steps.iter().zip(&settings);
    let digests = steps.map(|(step, settings)| ops.step(engine, step, settings));
    let (digests, guards) = digests.collect::<Result<Vec<_>, Error>>()?.into_iter().unzip();
    if !ops.read.is_empty() {
        engine.ledger.write(|batch| batch.tx().put_stats(&ops.read))?;
        engine.stats.extend(ops.read);
    }
    let done = |step: OpStep| has_made(step.state).then(|| (step.step.clone(), step));
    Ok(Prepared {
        resources: flow.steps.iter().map(|step| engine.resources_of_op(step)).collect(),
        secrets: engine.pool.secrets(),
        earlier: earlier.map(|(run, steps)| Earlier {
            run,
            steps: steps.into_iter().filter_map(done).collect(),
        }),
        job,
        flow,
        chosen,
        settings,
        digests,
        guards,
        partition,
        window,
        window_rfc3339,
        known,
    })
}

impl Earlier {
    /// What a step gave that had this key, if all of it is still there.
    pub fn outputs(
        &self,
        engine: &Engine,
        flow: &FlowStep,
        name: &str,
        key: &Digest,
    ) -> Result<Option<Vec<Made<Value>>>, Error> {
        match self.steps.get(name) {
            Some(step) if step.key == *key => outputs(engine, flow, self.run, step),
            Some(_) | None => Ok(None),
        }
    }
}

/// What a step gave in whatever run, under this key, if all of it is still what it was.
pub(super) fn remembered(
    engine: &Engine,
    flow: &FlowStep,
    key: &Digest,
) -> Result<Option<Vec<Made<Value>>>, Error> {
    let step = engine.ledger.ask(|store| store.op_step(MEMO, &key.to_string()))?;
    let Some(step) = step else { return Ok(None) };
    let made = outputs(engine, flow, MEMO, &step)?;
    if made.is_none() {
        // What is made now takes its place.
        engine.ledger.write(|batch| batch.tx().forget_memo(key))?;
    }
    Ok(made)
}

fn has_made(state: OpState) -> bool {
    match state {
        OpState::Success | OpState::Reused => true,
        OpState::Running
        | OpState::Failure
        | OpState::Skipped
        | OpState::Cancelled
        | OpState::Interrupted => false,
    }
}

/// What a step has emitted in a run; `None` if some of it is gone, or is not what it was.
fn outputs(
    engine: &Engine,
    flow: &FlowStep,
    run: RunId,
    step: &OpStep,
) -> Result<Option<Vec<Made<Value>>>, Error> {
    let mut made = Vec::new();
    for output in engine.ledger.ask(|store| store.op_outputs(run, &step.step))? {
        let place = flow.op.outputs.iter().position(|decl| decl.name == output.output);
        let Some(place) = place.and_then(|place| u32::try_from(place).ok()) else {
            return Ok(None);
        };
        let piece = output.piece.clone();
        let value = Value::recorded(output);
        if !value.is_sound(&engine.dir) {
            return Ok(None);
        }
        made.push((place, piece, value));
    }
    Ok((made.len() as u64 == step.emitted).then_some(made))
}

fn job(engine: &Engine, name: &JobName) -> Result<Arc<Job>, Error> {
    let jobs = &engine.project.jobs;
    jobs.get(name).cloned().ok_or_else(|| {
        let names = jobs.keys().map(JobName::as_str);
        let similar = crate::base::similar::similar(name.as_str(), names).map(str::to_owned);
        Error::UnknownJob { job: name.to_string(), similar }
    })
}

/// The steps of the run that is to be retried, or why it cannot be.
fn retried(
    engine: &Engine,
    job: &Job,
    run: RunId,
) -> Result<Result<(RunId, Vec<OpStep>), String>, Error> {
    let Some(found) = engine.ledger.ask(|store| store.run(run))? else {
        return Ok(Err(format!("there is no run {run} that could be retried")));
    };
    if found.launch.job.as_deref() != Some(job.name.as_str()) {
        return Ok(Err(format!("run {run} is none of this job, so it cannot be retried")));
    }
    match found.state {
        RunState::Running => Ok(Err(format!("run {run} still goes on"))),
        RunState::Success => {
            Ok(Err(format!("run {run} has succeeded, so that what its steps gave is gone")))
        }
        RunState::Failure | RunState::Cancelled | RunState::Paused | RunState::Interrupted => {
            let steps = engine.ledger.ask(|store| store.op_steps(run))?;
            Ok(Ok((run, steps)))
        }
    }
}

/// What steps that are not chosen have made.
fn known(
    engine: &Engine,
    flow: &Flow,
    chosen: &BTreeSet<u32>,
    run: RunId,
    steps: &[OpStep],
) -> Result<Known<Value>, Error> {
    let places: HashMap<&str, u32> =
        (0..).zip(&flow.steps).map(|(at, step)| (&*step.path, at)).collect();
    let mut known = Known::new();
    for step in steps {
        let (path, piece) = match step.step.split_once('[') {
            Some((path, rest)) => (path, Some(Arc::from(rest.trim_end_matches(']')))),
            None => (&*step.step, None),
        };
        let Some(&at) = places.get(path).filter(|at| !chosen.contains(at)) else { continue };
        let declared = &flow.steps[at as usize];
        if step.state == OpState::Skipped {
            known.insert((at, piece), Vec::new());
        } else if has_made(step.state)
            && let Some(made) = outputs(engine, declared, run, step)?
        {
            known.insert((at, piece), made);
        }
    }
    Ok(known)
}

/// Steps that read what is neither chosen nor known.
fn unselected(flow: &Flow, chosen: &BTreeSet<u32>, known: &Known<Value>) -> Vec<String> {
    let has = |at: u32| {
        let source = flow.steps[at as usize].scope.map(|scope| scope.step);
        let is_known = |at: u32| {
            chosen.contains(&at) || known.range((at, None)..).next().is_some_and(|it| it.0.0 == at)
        };
        // Of a step that is mapped over no pieces nothing is known, and nothing is missing.
        is_known(at) || source.is_some_and(is_known)
    };
    let mut problems = Vec::new();
    for at in chosen {
        let step = &flow.steps[*at as usize];
        let reads: BTreeSet<u32> =
            step.reads().map(|slot| slot.step).chain(step.after.iter().copied()).collect();
        for up in reads.into_iter().filter(|up| !has(*up)) {
            let (path, up) = (&step.path, &flow.steps[up as usize].path);
            problems.push(format!(
                "`{path}` reads `{up}`, which is not selected; select `+{path}`, or retry a run in which \
                 `{up}` has succeeded"
            ));
        }
    }
    problems
}

/// Variables of the environment that stand in the configuration instead of their values.
fn unresolved(config: &Config) -> Vec<String> {
    let open = |withheld: &&Withheld| {
        withheld.path.get(&config.value).is_some_and(serde_json::Value::is_object)
    };
    let problem = |withheld: &Withheld| {
        let variable = withheld.variable.as_deref()?;
        let path = &withheld.path;
        Some(format!("`{path}` needs the environment variable `{variable}`, which is not set"))
    };
    config.withheld.iter().filter(open).filter_map(problem).collect()
}

/// Sets up what the chosen steps use; gives what is wrong. The caller tears it down.
fn open_resources(
    engine: &mut Engine,
    flow: &Flow,
    chosen: &BTreeSet<u32>,
    config: &Config,
) -> Result<Vec<String>, Error> {
    for withheld in &config.withheld {
        match withheld.path.get(&config.value) {
            Some(serde_json::Value::String(text)) => engine.pool.hide(text),
            Some(other) => engine.pool.hide(&other.to_string()),
            None => {}
        }
    }
    let steps = chosen.iter().map(|at| &flow.steps[*at as usize]);
    let names: BTreeSet<&str> =
        steps.flat_map(|step| &step.def.resources).map(String::as_str).collect();
    match engine.open_resources(names) {
        Ok(()) => Ok(Vec::new()),
        Err(Error::Resources { problems }) => Ok(problems),
        Err(other) => Err(other),
    }
}

impl Engine {
    pub(super) fn resources_of_op(&self, step: &FlowStep) -> Resources {
        self.pool.chosen(step.def.resources.iter().map(String::as_str))
    }
}

/// Pools and programs that there are not.
fn needs(engine: &Engine, job: &Job, flow: &Flow, chosen: &BTreeSet<u32>) -> Vec<String> {
    let mut problems = BTreeSet::new();
    let mut programs = BTreeSet::new();
    for step in chosen.iter().map(|at| &flow.steps[*at as usize]) {
        let path = &step.path;
        if let Some(pool) =
            step.def.pool.as_ref().filter(|it| !engine.project.pools.contains_key(*it))
        {
            problems.insert(format!("`{path}` is of the pool `{pool}`, which is not declared"));
        }
        if let Body::Command(command) = &step.def.body {
            programs.extend(missing_program(&command.line, &engine.root, &engine.env));
        }
        let hooks = [&step.hooks, &job.hooks];
        let hooks = hooks.into_iter().flat_map(|hooks| hooks.success.iter().chain(&hooks.failure));
        for hook in hooks {
            match hook {
                HookDef::Run(line) => {
                    programs.extend(missing_program(line, &engine.root, &engine.env));
                }
                HookDef::Function(_) => {}
            }
        }
    }
    problems.into_iter().chain(programs).collect()
}

type Window = Option<(String, String)>;

/// The partitions of a job that exist now.
pub(super) fn domain(engine: &Engine, job: &Job) -> Result<Domain, Error> {
    let mut tables = BTreeMap::new();
    for table in job.partitions.key_tables() {
        let found = engine.ledger.key_table(&table)?;
        tables.insert(table, found);
    }
    Ok(Domain::resolve(Arc::new(job.partitions.clone()), engine.clock.now(), &tables))
}

/// The partition that is meant, of those that a job has; `None` for a job without. Fails with what is wrong.
pub fn partition_of(
    job: &Job,
    domain: &Domain,
    partition: Option<&PartitionKey>,
) -> Result<Option<PartitionIdx>, String> {
    let name = &job.name;
    match (job.partitions.is_unpartitioned(), partition) {
        (true, None) => Ok(None),
        (true, Some(key)) => {
            Err(format!("`{name}` has no partitions, so there is no `{key}` of it"))
        }
        (false, None) => Err(format!("`{name}` runs for one partition at a time; say which")),
        (false, Some(key)) => match domain.index(key.as_str()) {
            Some(index) => Ok(Some(index)),
            None => Err(format!("`{name}` has no partition `{key}`")),
        },
    }
}

/// The partition and its window, as SQL and as commands are told it; or what is wrong with it.
fn place(
    engine: &Engine,
    job: &Job,
    partition: Option<&PartitionKey>,
) -> Result<Result<(PartitionKey, Window, Window), String>, Error> {
    let domain = domain(engine, job)?;
    let index = match partition_of(job, &domain, partition) {
        Ok(index) => index,
        Err(problem) => return Ok(Err(problem)),
    };
    let key = partition.cloned().unwrap_or_else(PartitionKey::unpartitioned);
    let window = index.and_then(|index| domain.window(index));
    let (sql, rfc3339) = window.map(|window| spans(&job.partitions, window)).unzip();
    Ok(Ok((key, sql, rfc3339)))
}
