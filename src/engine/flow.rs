//! Decides what is ready in a flow: a state machine without threads, store or clock.
//!
//! A step is carried out once, or once for each piece of a dynamic output: these are its *instances*.
//! Whoever drives a [`Progress`] takes ready instances by [`Progress::next`], carries them out in
//! whatever way and order, and says how each ended. The states at the end do not depend on the order.
//!
//! A waiting instance is judged by these rules:
//!
//! 1. where an input of one value reads an output that a successful step did not emit, or reads a
//!    skipped step, it is skipped, at once, though others failed or still run;
//! 2. when everything upstream has ended: where a list or a collection has entries and none of them was
//!    emitted, it is skipped. A dynamic output without pieces is an empty list, unless it is declared
//!    that what collects it is skipped then;
//! 3. else, where anything upstream failed or is blocked, it is blocked;
//! 4. else it is ready. A list has the values that were emitted, in the order of the list or the pieces.
//!
//! Instances for the pieces appear when the dynamic output's step ends, for the whole chain of mapped
//! steps; each goes on as soon as its predecessor of the same piece has ended.

mod edges;
mod judge;
mod ready;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use self::edges::{Edges, How, Reader};
pub use self::judge::{Gathered, Given};
use self::ready::Ready;
use crate::defs::{Flow, FlowStep, Slot};

/// The states of all instances, and the values that they gave, each a `D`.
///
/// ```
/// use std::sync::Arc;
/// use giornata::base::JobName;
/// use giornata::defs::{
///     Body, Call, Callee, FunctionBody, FunctionSlot, Graph, InputDecl, Op, Origin, Port, Ref, Source,
/// };
/// use giornata::engine::flow::{Ended, Progress, StepState};
///
/// let origin = || Origin { file: "main.rs".into(), line: 1 };
/// let body = FunctionBody { version: "1".to_owned(), slot: FunctionSlot::Op(0) };
/// let one = Op::new("one", origin(), Body::Function(body));
/// let mut next = one.clone();
/// next.inputs = [InputDecl::one("number")].into();
/// let call = |name: &str, op: Op, wires: Vec<(String, Source)>| Call {
///     name: name.to_owned(),
///     callee: Callee::Op(Arc::new(op)),
///     wires,
///     after: Vec::new(),
///     hooks: Default::default(),
///     origin: origin(),
/// };
/// let number = Source::One(Ref::Port(Port::only("one")));
/// let calls = vec![call("one", one, vec![]), call("next", next, vec![("number".to_owned(), number)])];
/// let graph = Graph { name: "g".to_owned(), calls, ..Graph::default() };
/// let flow = Arc::new(graph.compile(&JobName::parse("g")?).map_err(|mistakes| mistakes[0].clone())?);
///
/// let mut progress: Progress<i64> = Progress::new(flow.clone(), &(0..2).collect(), Default::default());
/// let first = progress.next(&|_| true).ok_or("nothing is ready")?;
/// assert!(progress.next(&|_| true).is_none());
/// let changes = progress.ended(first, vec![(0, None, 1)], Ended::Success);
/// assert_eq!((progress.name(changes[0].instance), changes[0].state), ("next".to_owned(), StepState::Ready));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Progress<D> {
    flow: Arc<Flow>,
    edges: Arc<Edges>,
    chosen: BTreeSet<u32>,
    known: Known<D>,
    instances: Vec<Instance<D>>,
    steps: Vec<Instances>,
    ready: Ready,
    /// What has ended and is not yet told to those that read it.
    news: VecDeque<News>,
    changes: Vec<Change>,
}

/// One execution of a step: the only one, or that for one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(u32);

/// How far a step is. In a run that has ended it is one of `Success`, `Failed`, `Skipped` and `Blocked`; see
/// also `giornata::api::JobResult::steps`.
///
/// ```
/// use giornata::engine::flow::StepState;
/// assert_eq!(StepState::Skipped.as_str(), "skipped");
/// assert_eq!(StepState::Blocked.to_string(), "blocked");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepState {
    /// Something that it reads is not there yet.
    Waiting,
    /// Everything that it reads is there.
    Ready,
    /// It is being carried out.
    Running,
    /// It has given what it must.
    Success,
    /// It failed in its last attempt.
    Failed,
    /// Something that it needs was not emitted.
    Skipped,
    /// Something upstream failed.
    Blocked,
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Success,
    Failed,
}

/// An instance that has become ready, skipped or blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub instance: InstanceId,
    pub state: StepState,
}

/// One emitted value: the place of the output, and the key of the piece if it is one.
pub type Made<D> = (u32, Option<Arc<str>>, D);

/// What an earlier run has made, by step and piece: its instances are not carried out again.
pub type Known<D> = BTreeMap<(u32, Option<Arc<str>>), Vec<Made<D>>>;

struct Instance<D> {
    step: u32,
    /// The place of the piece among those of the scope.
    piece: Option<u32>,
    /// How many of the step's edges are not settled.
    open: u32,
    state: StepState,
    /// Those that read it know how it ended.
    told: bool,
    /// Of each output.
    made: Vec<Output<D>>,
}

enum Output<D> {
    None,
    Value(D),
    Pieces(Vec<(Arc<str>, D)>),
}

/// The instances of a step, whose ids follow each other.
#[derive(Clone, Copy)]
struct Instances {
    first: u32,
    count: u32,
    /// How many have not ended; `None` while it is not known how many there are.
    open: Option<u32>,
    /// Those that read all of them know that all have ended.
    told: bool,
}

enum News {
    Ended(InstanceId),
    /// All instances of a step have ended; there may be none.
    Done(u32),
}

impl<D: Clone> Progress<D> {
    /// All steps of `chosen` are to be carried out, except those that are known. What is neither is
    /// blocked, as is everything that needs it.
    pub fn new(flow: Arc<Flow>, chosen: &BTreeSet<u32>, known: Known<D>) -> Progress<D> {
        let edges = Arc::new(Edges::of(&flow));
        let mut progress = Progress {
            chosen: chosen.clone(),
            known,
            instances: Vec::with_capacity(flow.steps.len()),
            steps: Vec::with_capacity(flow.steps.len()),
            ready: Ready::default(),
            news: VecDeque::new(),
            changes: Vec::new(),
            edges,
            flow,
        };
        let flow = progress.flow.clone();
        for (step, declared) in (0..).zip(&flow.steps) {
            let first = progress.next_id();
            let single = declared.scope.is_none();
            let count = u32::from(single);
            let open = single.then_some(1);
            progress.steps.push(Instances { first, count, open, told: false });
            if single {
                progress.push(step, declared, None);
            }
        }
        for id in 0..progress.next_id() {
            let instance = &mut progress.instances[id as usize];
            let edges = progress.edges.of_step(instance.step).len();
            instance.open = u32::try_from(edges).expect("a step has not so many edges");
        }
        for id in 0..progress.next_id() {
            progress.start(InstanceId(id));
        }
        progress.settle();
        // They are no news: whoever has just made it asks for the states.
        progress.changes.clear();
        progress
    }

    /// The next instance to carry out, which counts as running from now on. `has_room` answers for the
    /// name of a pool, and is asked once for each pool in which something is ready. None may be ready while
    /// some still run.
    pub fn next(&mut self, has_room: &dyn Fn(&str) -> bool) -> Option<InstanceId> {
        let next = self.ready.take(has_room)?;
        self.instances[next.place()].state = StepState::Running;
        Some(next)
    }

    /// Whether anything is ready, be there room for it or not.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes note of how an instance ended and what it emitted. What a failed one emitted counts for
    /// nothing. Returns what became ready, skipped or blocked by it.
    pub fn ended(&mut self, id: InstanceId, made: Vec<Made<D>>, how: Ended) -> Vec<Change> {
        match how {
            Ended::Success => self.keep(id, made, StepState::Success),
            Ended::Failed => self.keep(id, Vec::new(), StepState::Failed),
        }
        self.settle();
        std::mem::take(&mut self.changes)
    }

    fn next_id(&self) -> u32 {
        u32::try_from(self.instances.len()).expect("memory ends before four billion instances")
    }

    fn push(&mut self, step: u32, declared: &FlowStep, piece: Option<u32>) {
        let outputs = declared.op.outputs.iter();
        let made = outputs.map(|output| match output.emits.is_pieces() {
            true => Output::Pieces(Vec::new()),
            false => Output::None,
        });
        let state = StepState::Waiting;
        let made = made.collect();
        self.instances.push(Instance { step, piece, open: 0, state, told: false, made });
    }

    /// Looks for the first time at an instance whose number of open edges is known.
    fn start(&mut self, id: InstanceId) {
        let step = self.instances[id.place()].step;
        if !self.known.is_empty() {
            let piece = self.piece_key(id).cloned();
            if let Some(made) = self.known.remove(&(step, piece)) {
                self.keep(id, made, StepState::Success);
                return;
            }
        }
        if !self.chosen.contains(&step) {
            self.set(id, StepState::Blocked);
        } else if self.instances[id.place()].open == 0 {
            let state = self.judge(id);
            self.set(id, state);
        }
    }

    fn keep(&mut self, id: InstanceId, made: Vec<Made<D>>, state: StepState) {
        let instance = &mut self.instances[id.place()];
        for (output, piece, value) in made {
            match (&mut instance.made[output as usize], piece) {
                (Output::Pieces(pieces), Some(key)) => pieces.push((key, value)),
                (output, _) => *output = Output::Value(value),
            }
        }
        instance.state = state;
        self.news.push_back(News::Ended(id));
    }

    fn set(&mut self, id: InstanceId, state: StepState) {
        let instance = &mut self.instances[id.place()];
        instance.state = state;
        self.changes.push(Change { instance: id, state });
        if state == StepState::Ready {
            let pool = self.flow.steps[instance.step as usize].def.pool.as_ref();
            self.ready.insert(pool, (instance.step, id));
        } else {
            self.news.push_back(News::Ended(id));
        }
    }

    /// Tells what has ended to those that read it, until nothing new comes of it.
    fn settle(&mut self) {
        let edges = self.edges.clone();
        while let Some(news) = self.news.pop_front() {
            match news {
                News::Ended(id) => self.tell(id, &edges),
                News::Done(step) => {
                    self.steps[step as usize].told = true;
                    for reader in edges.readers(step).iter().filter(|it| it.how == How::Whole) {
                        for id in self.ids(reader.step) {
                            self.hear(id, false);
                        }
                    }
                }
            }
        }
    }

    fn tell(&mut self, id: InstanceId, edges: &Edges) {
        let instance = &mut self.instances[id.place()];
        instance.told = true;
        let (step, piece) = (instance.step, instance.piece);
        for reader in edges.readers(step).iter().filter(|it| it.how == How::Same) {
            let skips = self.lacks(id, reader);
            match piece {
                None => self.ids(reader.step).for_each(|to| self.hear(to, skips)),
                Some(piece) => {
                    self.hear(InstanceId(self.steps[reader.step as usize].first + piece), skips);
                }
            }
        }
        if piece.is_none() {
            self.expand(id, edges);
        }
        let open = self.steps[step as usize].open.as_mut().expect("it has instances");
        *open -= 1;
        if *open == 0 {
            self.news.push_back(News::Done(step));
        }
    }

    /// Something upstream has ended; where `skips`, it lacks what this instance cannot do without.
    fn hear(&mut self, id: InstanceId, skips: bool) {
        let instance = &mut self.instances[id.place()];
        if instance.state != StepState::Waiting {
            return;
        }
        instance.open -= 1;
        if skips {
            self.set(id, StepState::Skipped);
        } else if instance.open == 0 {
            let state = self.judge(id);
            self.set(id, state);
        }
    }

    /// Makes the instances of the steps that are mapped over what this one has emitted.
    fn expand(&mut self, source: InstanceId, edges: &Edges) {
        let flow = self.flow.clone();
        let mapped = edges.mapped(self.instances[source.place()].step);
        for &(step, output) in mapped {
            let count = match &self.instances[source.place()].made[output as usize] {
                Output::Pieces(pieces) => u32::try_from(pieces.len()).expect("pieces fit memory"),
                Output::None | Output::Value(_) => 0,
            };
            let first = self.next_id();
            self.steps[step as usize] = Instances { first, count, open: Some(count), told: false };
            for piece in 0..count {
                self.push(step, &flow.steps[step as usize], Some(piece));
            }
            if count == 0 {
                self.news.push_back(News::Done(step));
            }
        }
        for &(step, _) in mapped {
            for id in self.ids(step) {
                let mut skips = false;
                let mut open = 0;
                for edge in edges.of_step(step) {
                    match edge.how {
                        How::Whole => open += u32::from(!self.steps[edge.step as usize].told),
                        How::Same => {
                            let up = self.same_piece(edge.step, id);
                            let told = self.instances[up.place()].told;
                            open += u32::from(!told);
                            skips |= told && self.lacks(up, edge.reader(edges));
                        }
                    }
                }
                self.instances[id.place()].open = open;
                match skips && self.chosen.contains(&step) {
                    true => self.set(id, StepState::Skipped),
                    false => self.start(id),
                }
            }
        }
    }

    /// Whether an upstream that has ended lacks what a reader cannot do without.
    fn lacks(&self, id: InstanceId, reader: &Reader) -> bool {
        let instance = &self.instances[id.place()];
        match instance.state {
            StepState::Skipped => reader.after || !reader.plain.is_empty(),
            StepState::Success => {
                let emitted = |output: &u32| match &instance.made[*output as usize] {
                    Output::None => false,
                    Output::Value(_) | Output::Pieces(_) => true,
                };
                !reader.plain.iter().all(emitted)
            }
            StepState::Failed | StepState::Blocked => false,
            StepState::Waiting | StepState::Ready | StepState::Running => false,
        }
    }

    fn ids(&self, step: u32) -> impl Iterator<Item = InstanceId> + use<D> {
        let Instances { first, count, .. } = self.steps[step as usize];
        (first..first + count).map(InstanceId)
    }

    /// The instance of a step that goes with another one: the only one, or that of the same piece.
    fn same_piece(&self, step: u32, with: InstanceId) -> InstanceId {
        let first = self.steps[step as usize].first;
        match (self.flow.steps[step as usize].scope, self.instances[with.place()].piece) {
            (Some(_), Some(piece)) => InstanceId(first + piece),
            (None, _) | (_, None) => InstanceId(first),
        }
    }

    /// The key of the piece for which an instance is.
    fn piece_key(&self, id: InstanceId) -> Option<&Arc<str>> {
        let instance = &self.instances[id.place()];
        let piece = instance.piece?;
        let scope = self.flow.steps[instance.step as usize].scope?;
        self.pieces(scope).get(piece as usize).map(|(key, _)| key)
    }

    /// The pieces that the step of a dynamic output has emitted.
    fn pieces(&self, slot: Slot) -> &[(Arc<str>, D)] {
        let first = self.steps[slot.step as usize].first;
        match &self.instances[first as usize].made[slot.output as usize] {
            Output::Pieces(pieces) => pieces,
            Output::None | Output::Value(_) => &[],
        }
    }
}

/// What is known of instances.
impl<D: Clone> Progress<D> {
    pub fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// All that there are so far; those of one step follow each other.
    pub fn instances(&self) -> impl Iterator<Item = InstanceId> + use<D> {
        (0..self.next_id()).map(InstanceId)
    }

    /// Those of one step, in the order of the pieces.
    pub fn instances_of(&self, step: u32) -> impl Iterator<Item = InstanceId> + use<D> {
        self.ids(step)
    }

    pub fn state(&self, id: InstanceId) -> StepState {
        self.instances[id.place()].state
    }

    /// The place of its step in the flow.
    pub fn step(&self, id: InstanceId) -> u32 {
        self.instances[id.place()].step
    }

    pub fn declared(&self, id: InstanceId) -> &FlowStep {
        &self.flow.steps[self.step(id) as usize]
    }

    pub fn piece(&self, id: InstanceId) -> Option<&str> {
        self.piece_key(id).map(|key| &**key)
    }

    /// The path of the step, and the key of the piece: `compute[p1]`.
    pub fn name(&self, id: InstanceId) -> String {
        let path = &self.declared(id).path;
        match self.piece(id) {
            Some(piece) => format!("{path}[{piece}]"),
            None => path.to_string(),
        }
    }

    /// What it emitted at an output: one value without a key, or the pieces.
    pub fn made(&self, id: InstanceId, output: u32) -> Vec<(Option<&str>, &D)> {
        match &self.instances[id.place()].made[output as usize] {
            Output::None => Vec::new(),
            Output::Value(value) => vec![(None, value)],
            Output::Pieces(pieces) => {
                pieces.iter().map(|(key, value)| (Some(&**key), value)).collect()
            }
        }
    }
}

impl InstanceId {
    fn place(self) -> usize {
        self.0 as usize
    }
}

impl StepState {
    /// The word for it in listings and records; see the example of [`StepState`].
    pub fn as_str(self) -> &'static str {
        match self {
            StepState::Waiting => "waiting",
            StepState::Ready => "ready",
            StepState::Running => "running",
            StepState::Success => "success",
            StepState::Failed => "failed",
            StepState::Skipped => "skipped",
            StepState::Blocked => "blocked",
        }
    }
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
