//! One flow on its way: decides of each step that is ready whether it is carried out, and takes in how it
//! ended. Both a run of a job and the one step of an asset that a graph makes are driven by it.
//!
//! Whoever drives it hands the executions to workers and records what is to be recorded.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::super::Error;
use super::super::flow::{Change, Ended, InstanceId, Made, Progress};
use super::super::open::Engine;
use super::keys::{self, Guards, Settings};
use super::launch::{self, Earlier};
use super::value::{self, Inputs, Value};
use crate::base::{AssetKey, Digest, JobName, PartitionKey, RunId};
use crate::defs::{FlowStep, Memo, Project};
use crate::exec::{Failure, InJob, Input, Of, Resources, Secrets, Step, StepPaths};
use crate::io::names::file_name;
use crate::store::OpOutput;

/// What all steps of a flow have in common, and what each has beside its declaration.
pub struct Frame {
    pub job: JobName,
    /// The asset that the flow makes, if it makes one.
    pub asset: Option<AssetKey>,
    pub run: RunId,
    pub partition: PartitionKey,
    pub window: Option<(String, String)>,
    pub window_rfc3339: Option<(String, String)>,
    /// What the flow as a whole is given, in the order of its inputs.
    pub around: Vec<Input>,
    /// Of each step.
    pub settings: Vec<Settings>,
    /// Of each step, without its inputs; of those whose digest nobody asks for it may be anything.
    pub digests: Vec<Digest>,
    /// Of each step, the files that count in its digest.
    pub guards: Vec<Guards>,
    /// Of each step, those that it uses.
    pub resources: Vec<Resources>,
    pub secrets: Arc<Secrets>,
    /// It exists.
    pub staging: PathBuf,
    pub logs: PathBuf,
    pub earlier: Option<Earlier>,
    pub memos: Memos,
}

/// What becomes of what ops that say `memo` have made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memos {
    Take,
    /// Everything is made anew, whatever there is.
    Renew,
}

/// A flow that is being carried out.
pub struct Course {
    pub progress: Progress<Value>,
    frame: Frame,
    flights: HashMap<u64, Flight>,
}

/// A step that runs.
struct Flight {
    id: InstanceId,
    key: Digest,
}

/// What comes next.
pub enum Turn {
    Start(Start),
    /// It is not carried out: what it gives is there.
    Reused(Reused, Vec<Change>),
}

/// An execution that is to be handed to a worker, unless it cannot even start.
pub struct Start {
    pub number: u64,
    pub name: String,
    pub key: Digest,
    pub step: Arc<Step>,
    pub unready: Option<Failure>,
}

pub struct Reused {
    pub name: String,
    pub from: Before,
    pub outputs: Vec<OpOutput>,
}

/// Where what is taken comes from.
pub enum Before {
    Run(RunId),
    /// Whatever run: the op says `memo`.
    Memo(Digest),
}

/// Where something is from, and what it is.
type Found = (Before, Vec<Made<Value>>);

/// How an execution ended.
pub struct Landing {
    pub id: InstanceId,
    pub name: String,
    pub outputs: Vec<OpOutput>,
    /// To be kept under the key for other runs.
    pub memo: Option<(Digest, Vec<OpOutput>)>,
    pub failure: Option<Failure>,
    pub changes: Vec<Change>,
    /// A file that counts in the key has changed since the key was made: nobody may take what was made for
    /// that of the key.
    pub raced: bool,
}

impl Course {
    pub fn new(progress: Progress<Value>, frame: Frame) -> Course {
        Course { progress, frame, flights: HashMap::new() }
    }

    /// How many steps run.
    pub fn running(&self) -> usize {
        self.flights.len()
    }

    pub fn runs(&self, number: u64) -> bool {
        self.flights.contains_key(&number)
    }

    /// What is next; `None` if nothing is ready that has room in its pool. An execution gets `number`.
    pub fn next(
        &mut self,
        engine: &Engine,
        pools: &mut Pools,
        number: u64,
    ) -> Result<Option<Turn>, Error> {
        let Some(id) = self.progress.next(&|name| pools.has_room(name)) else { return Ok(None) };
        let name = self.progress.name(id);
        let inputs = match value::gather(&self.progress, id, &engine.dir, &self.frame.around) {
            Ok(inputs) => inputs,
            Err(reason) => {
                let failure = Failure::Input { name, reason };
                return Ok(Some(Turn::Start(
                    self.start_failed(engine, pools, id, number, failure),
                )));
            }
        };
        let key = self.key(id, &inputs);
        if let Some((from, made)) = self.before(engine, id, &name, &key)? {
            let outputs = records(self.progress.declared(id), &made);
            let changes = self.progress.ended(id, made, Ended::Success);
            return Ok(Some(Turn::Reused(Reused { name, from, outputs }, changes)));
        }
        let step = Arc::new(self.step(engine, id, inputs));
        self.take_off(pools, id, key, number);
        Ok(Some(Turn::Start(Start { number, name, key, step, unready: None })))
    }

    fn key(&self, id: InstanceId, inputs: &Inputs) -> Digest {
        let Frame { digests, partition, window_rfc3339, .. } = &self.frame;
        let step = &digests[self.progress.step(id) as usize];
        let window = window_rfc3339.as_ref();
        keys::instance(step, self.progress.piece(id), partition, window, &inputs.digest)
    }

    /// What was made of the same before: by the run that is retried, or by any if the op says so.
    fn before(
        &self,
        engine: &Engine,
        id: InstanceId,
        name: &str,
        key: &Digest,
    ) -> Result<Option<Found>, Error> {
        let declared = self.progress.declared(id);
        if let Some(earlier) = &self.frame.earlier
            && let Some(made) = earlier.outputs(engine, declared, name, key)?
        {
            return Ok(Some((Before::Run(earlier.run), made)));
        }
        if (declared.op.memo, self.frame.memos) != (Memo::ByContent, Memos::Take) {
            return Ok(None);
        }
        let made = launch::remembered(engine, declared, key)?;
        Ok(made.map(|made| (Before::Memo(*key), made)))
    }

    fn take_off(&mut self, pools: &mut Pools, id: InstanceId, key: Digest, number: u64) {
        self.flights.insert(number, Flight { id, key });
        pools.enter(self.progress.declared(id));
    }

    /// A step whose inputs cannot be had fails.
    fn start_failed(
        &mut self,
        engine: &Engine,
        pools: &mut Pools,
        id: InstanceId,
        number: u64,
        failure: Failure,
    ) -> Start {
        let inputs = Inputs { inputs: Vec::new(), digest: Digest::from_bytes([0; 32]) };
        let step = Arc::new(self.step(engine, id, inputs));
        let (name, key) = (self.progress.name(id), Digest::from_bytes([0; 32]));
        self.take_off(pools, id, key, number);
        Start { number, name, key, step, unready: Some(failure) }
    }

    /// Everything that one execution needs.
    fn step(&self, engine: &Engine, id: InstanceId, inputs: Inputs) -> Step {
        let declared = self.progress.declared(id);
        let frame = &self.frame;
        let at = self.progress.step(id) as usize;
        let settings = &frame.settings[at];
        let in_job = InJob {
            job: frame.job.clone(),
            asset: frame.asset.clone(),
            path: declared.path.clone(),
            op: declared.op.clone(),
            piece: self.progress.piece(id).map(Arc::from),
            own: settings.own.clone(),
            read: settings.read.clone(),
        };
        let log = frame.logs.join(format!("{}.log", file_name(&in_job.name())));
        Step {
            def: declared.def.clone(),
            of: Of::Job(Arc::new(in_job)),
            partition: frame.partition.clone(),
            window: frame.window.clone(),
            window_rfc3339: frame.window_rfc3339.clone(),
            inputs: inputs.inputs,
            config: settings.all.clone(),
            run: frame.run,
            now: engine.clock.now(),
            attempt: 1,
            paths: StepPaths { root: engine.root.clone(), staging: frame.staging.clone(), log },
            env: engine.env.clone(),
            log_max_bytes: engine.project.settings.log_max_bytes,
            types: engine.types.clone(),
            resources: frame.resources[at].clone(),
            secrets: frame.secrets.clone(),
        }
    }

    /// Takes in how an execution ended. What was cancelled has not ended.
    pub fn land(
        &mut self,
        engine: &Engine,
        pools: &mut Pools,
        number: u64,
        made: Result<Vec<Made<Value>>, Failure>,
    ) -> Landing {
        let flight = self.flights.remove(&number);
        let Flight { id, key } = flight.expect("only what was started comes back");
        let name = self.progress.name(id);
        pools.leave(self.progress.declared(id));
        match made {
            Ok(made) => {
                let declared = self.progress.declared(id);
                let outputs = records(declared, &made);
                let guards = &self.frame.guards[self.progress.step(id) as usize];
                let raced = keys::have_changed(guards, engine.slack);
                let memo = match raced {
                    true => None,
                    false => self.remember(engine, declared, key, number, &made),
                };
                let changes = self.progress.ended(id, made, Ended::Success);
                Landing { id, name, outputs, memo, failure: None, changes, raced }
            }
            Err(failure) => {
                let mut changes = Vec::new();
                if failure != Failure::Cancelled {
                    changes = self.progress.ended(id, Vec::new(), Ended::Failed);
                }
                let failure = Some(failure);
                let outputs = Vec::new();
                Landing { id, name, outputs, memo: None, failure, changes, raced: false }
            }
        }
    }

    /// Puts what a step gave where other runs find it, if its op says so. What cannot be put there is made
    /// again by them.
    fn remember(
        &self,
        engine: &Engine,
        declared: &FlowStep,
        key: Digest,
        number: u64,
        made: &[Made<Value>],
    ) -> Option<(Digest, Vec<OpOutput>)> {
        if declared.op.memo == Memo::Never {
            return None;
        }
        let dir = format!("memo/{key}.{}.{number}", self.frame.run);
        let copy = |(at, (output, piece, value)): (usize, &Made<Value>)| {
            let value = value.copied(&engine.dir, &format!("{dir}/{at}")).ok()?;
            Some((*output, piece.clone(), value))
        };
        let copied = made.iter().enumerate().map(copy).collect::<Option<Vec<_>>>()?;
        Some((key, records(declared, &copied)))
    }
}

/// How many steps of each pool run, and may.
pub struct Pools(BTreeMap<Arc<str>, Pool>);

struct Pool {
    running: u32,
    most: u32,
}

impl Pools {
    pub fn of(project: &Project) -> Pools {
        let pool =
            |(name, most): (&Arc<str>, &u32)| (name.clone(), Pool { running: 0, most: *most });
        Pools(project.pools.iter().map(pool).collect())
    }

    fn has_room(&self, name: &str) -> bool {
        self.0.get(name).is_none_or(|pool| pool.running < pool.most)
    }

    fn enter(&mut self, step: &FlowStep) {
        if let Some(pool) = self.pool_of(step) {
            pool.running += 1;
        }
    }

    fn leave(&mut self, step: &FlowStep) {
        if let Some(pool) = self.pool_of(step) {
            pool.running -= 1;
        }
    }

    fn pool_of(&mut self, step: &FlowStep) -> Option<&mut Pool> {
        step.def.pool.as_ref().and_then(|name| self.0.get_mut(name))
    }
}

/// What a step gave, as the store keeps it.
fn records(declared: &FlowStep, made: &[Made<Value>]) -> Vec<OpOutput> {
    let record = |(output, piece, value): &Made<Value>| {
        value.record(&declared.op.outputs[*output as usize].name, piece.as_ref())
    };
    made.iter().map(record).collect()
}
