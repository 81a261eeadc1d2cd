//! Runs steps, and what is done after them, on worker threads or at once: those that make assets, those of
//! jobs, and those of graphs within assets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::Error;
use super::flow::Made;
use super::job::{Place, Value, keep, put};
use super::open::Engine;
use super::wish;
use super::work::{Stored, store};
use crate::cas::Cas;
use crate::defs::HookDef;
use crate::exec::{
    self, Control, Emitted, Executor, Failure, Functions, Lifeline, Limited, Of, Outcome, Produced,
    Retrying, Slots, Step, Worker, caught,
};

/// Where the steps of a run are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hands {
    /// On as many threads as steps may run at once. What comes back when is nobody's promise.
    #[default]
    Threads,
    /// On the thread of the run, which the number makes repeat itself: what has been started ends in an
    /// order, and so many at a time, as the number says.
    Own(u64),
}

/// What a worker gets. Numbers are those of whoever gives the order.
pub enum Order {
    Step {
        number: u64,
        step: Arc<Step>,
        keep: Keep,
    },
    /// All steps of the graph that makes an asset have ended.
    Graph {
        number: u64,
        step: Arc<Step>,
        outcome: Box<Outcome>,
        /// Why there is no result at the place of an output.
        absent: BTreeMap<u32, Failure>,
    },
    Hooks {
        number: u64,
        hooks: Hooks,
    },
}

/// What becomes of what a step made.
pub enum Keep {
    /// Each goes into the content store: so many results, in the order in which they are asked for.
    Results(usize),
    /// Other steps of the same flow read it.
    Values(Arc<Place>),
}

/// What is to be done after a step, one thing after the other.
pub struct Hooks {
    pub hooks: Vec<HookDef>,
    pub step: Arc<Step>,
    pub attempts: u32,
    pub failure: Option<Failure>,
}

/// What a worker hands back.
pub enum Done {
    /// One for each result that was asked for.
    Results {
        number: u64,
        results: Vec<Ended>,
    },
    Values(Box<StepDone>),
    /// Of each thing that could not be done, why.
    Hooks {
        number: u64,
        step: Arc<Step>,
        problems: Vec<String>,
    },
}

/// How it went for one result.
pub struct Ended {
    pub outcome: Outcome,
    /// What was made is already in the content store unless it is small.
    pub result: Result<Stored, Failure>,
}

/// How the execution of a step of a flow went.
pub struct StepDone {
    pub number: u64,
    pub step: Arc<Step>,
    pub outcome: Outcome,
    pub made: Result<Vec<Made<Value>>, Failure>,
}

/// The workers of a run; threads are started with the first order that needs one.
pub struct Workers {
    jobs: usize,
    control: Control,
    functions: Arc<dyn Functions>,
    cas: Arc<Cas>,
    inline_max_bytes: u64,
    slots: Slots,
    lifeline: Lifeline,
    threads: Option<Threads>,
    /// What the thread of the run is yet to do, if nobody else does it.
    waiting: Option<Waiting>,
    /// Runs what runs on the thread of the run.
    own: Option<Bench>,
}

struct Threads {
    orders: Sender<Order>,
    done: Receiver<Done>,
    handles: Vec<JoinHandle<()>>,
}

/// Orders, of which a number says which is next.
struct Waiting {
    orders: Vec<Order>,
    number: u64,
}

/// One worker with what it needs to keep results.
struct Bench {
    steps: Limited<Retrying<Worker>>,
    /// For what is done beside the steps: hooks, and checks of what a graph gives.
    own: Worker,
    control: Control,
    cas: Arc<Cas>,
    inline_max_bytes: u64,
    leftovers: Leftovers,
}

/// How many small files that were read a worker leaves where they are until the run ends, 32 MiB at the most.
/// ext4 does not use the place of a file again for a minute after it is removed, and looks at all such
/// places for every new file: after a few thousand, that takes longer than to start a process.
const LEFT_MAX: u32 = 8_192;

/// Files in the staging directory that nobody needs any more.
#[derive(Default)]
struct Leftovers(u32);

impl Leftovers {
    fn add(&mut self, path: &Path) {
        if self.0 < LEFT_MAX {
            self.0 += 1;
        } else {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Workers {
    pub fn new(engine: &Engine, hands: Hands, jobs: usize, control: &Control) -> Workers {
        let waiting = match hands {
            Hands::Threads => None,
            Hands::Own(number) => Some(Waiting { orders: Vec::new(), number }),
        };
        Workers {
            jobs,
            control: control.clone(),
            functions: engine.functions.clone(),
            cas: engine.cas.clone(),
            inline_max_bytes: engine.project.settings.inline_max_bytes,
            slots: engine.slots(),
            lifeline: Lifeline::new(),
            threads: None,
            waiting,
            own: None,
        }
    }

    fn bench(&self) -> Bench {
        let worker = || Worker::new(self.lifeline.clone(), self.functions.clone());
        Bench {
            steps: Limited::new(Retrying::new(worker()), self.slots.clone()),
            own: worker(),
            control: self.control.clone(),
            cas: self.cas.clone(),
            inline_max_bytes: self.inline_max_bytes,
            leftovers: Leftovers::default(),
        }
    }

    /// Hands an order to whoever carries it out.
    pub fn send(&mut self, order: Order) -> Result<(), Error> {
        if let Some(waiting) = &mut self.waiting {
            waiting.orders.push(order);
            return Ok(());
        }
        if self.threads.is_none() {
            self.threads = Some(self.start());
        }
        let threads = self.threads.as_ref().expect("they were just started");
        threads.orders.send(order).map_err(|_| Error::WorkerDied)
    }

    /// Runs a step of a flow on this thread: what has nothing beside it need not wake another one.
    pub fn run_here(&mut self, number: u64, step: Arc<Step>, place: &Place) -> StepDone {
        self.own().values(number, step, place)
    }

    fn own(&mut self) -> &mut Bench {
        if self.own.is_none() {
            self.own = Some(self.bench());
        }
        self.own.as_mut().expect("it was just made")
    }

    fn start(&self) -> Threads {
        let (orders, taken) = channel();
        let (give, done) = channel();
        let taken = Arc::new(Mutex::new(taken));
        let spawn = |_| {
            let (taken, give, mut bench) = (taken.clone(), give.clone(), self.bench());
            std::thread::spawn(move || bench.work(&taken, &give))
        };
        Threads { orders, done, handles: (0..self.jobs).map(spawn).collect() }
    }

    /// What has come back; waits for the first, but not for long. Something must have been sent.
    pub fn receive(&mut self) -> Result<Vec<Done>, Error> {
        if let Some(waiting) = &mut self.waiting {
            let orders = waiting.take();
            return Ok(orders.into_iter().map(|order| self.own().carry_out(order)).collect());
        }
        let threads = self.threads.as_ref().ok_or(Error::WorkerDied)?;
        wish::receive(&threads.done).ok_or(Error::WorkerDied)
    }

    /// Waits for the end of the threads.
    pub fn finish(&mut self) -> Result<(), Error> {
        let Some(Threads { orders, handles, .. }) = self.threads.take() else { return Ok(()) };
        drop(orders);
        for handle in handles {
            handle.join().map_err(|_| Error::WorkerDied)?;
        }
        Ok(())
    }
}

impl Waiting {
    /// Some of the orders, at least one if there is one.
    fn take(&mut self) -> Vec<Order> {
        let count = match self.orders.len() {
            0 => 0,
            all => 1 + self.draw(all),
        };
        let mut taken = Vec::with_capacity(count);
        for _ in 0..count {
            let next = self.draw(self.orders.len());
            taken.push(self.orders.swap_remove(next));
        }
        taken
    }

    /// A number below `bound`, which is not 0.
    fn draw(&mut self, bound: usize) -> usize {
        // The step of splitmix64.
        self.number = self.number.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.number ^ (self.number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        usize::try_from((mixed >> 33) % bound as u64).expect("it is below a usize")
    }
}

impl Bench {
    /// Takes orders until there are no more.
    fn work(&mut self, orders: &Mutex<Receiver<Order>>, done: &Sender<Done>) {
        loop {
            let order = match orders.lock() {
                Ok(orders) => orders.recv(),
                Err(_) => return,
            };
            let Ok(order) = order else { return };
            if done.send(self.carry_out(order)).is_err() {
                return;
            }
        }
    }

    fn carry_out(&mut self, order: Order) -> Done {
        match order {
            Order::Step { number, step, keep: Keep::Values(place) } => {
                Done::Values(Box::new(self.values(number, step, &place)))
            }
            Order::Step { number, step, keep: Keep::Results(makes) } => {
                let outcome = self.run(&step);
                self.results(number, &step, outcome, makes)
            }
            Order::Graph { number, step, outcome, absent } => {
                let judged = caught(|| self.own.judge(&step, *outcome, absent, &self.control));
                let outcome = judged.unwrap_or_else(|panic| Outcome {
                    result: Err(panic.into()),
                    ..Outcome::not_run(&step)
                });
                let makes = match &step.of {
                    Of::Assets(members) => members.iter().filter(|it| it.is_wanted).count(),
                    Of::Batch(lots) => lots.len(),
                    Of::Asset(_) | Of::Job(_) => 1,
                };
                self.results(number, &step, outcome, makes)
            }
            Order::Hooks { number, hooks } => self.call(number, hooks),
        }
    }

    /// A panic is the failure of the step, not the end of the run.
    fn run(&mut self, step: &Step) -> Outcome {
        caught(|| self.steps.run(step, &self.control))
            .unwrap_or_else(|panic| Outcome { result: Err(panic.into()), ..Outcome::not_run(step) })
    }

    fn values(&mut self, number: u64, step: Arc<Step>, place: &Place) -> StepDone {
        let mut outcome = self.run(&step);
        outcome.hide(&step.secrets);
        let made = std::mem::replace(&mut outcome.result, Ok(Vec::new()));
        let made = made.and_then(|made| {
            let made = keep(made, &step.def, place, number)?;
            put(&step, place, &made).map(|()| made)
        });
        StepDone { number, step, outcome, made }
    }

    fn results(&mut self, number: u64, step: &Step, mut outcome: Outcome, makes: usize) -> Done {
        outcome.hide(&step.secrets);
        let result = |outcome| self.result(outcome, step);
        Done::Results { number, results: apart(outcome, makes).into_iter().map(result).collect() }
    }

    fn result(&mut self, mut outcome: Outcome, step: &Step) -> Ended {
        let made = std::mem::replace(&mut outcome.result, Err(Failure::Cancelled));
        let result = made.and_then(|made| {
            let nothing = || Failure::NoOutput { variable: "output".to_owned() };
            let Emitted { output, what, .. } = made.into_iter().next().ok_or_else(nothing)?;
            if let Produced::Table { rows, .. } = &what {
                outcome.metadata.push(serde_json::json!({"rows": rows}));
            }
            let file = match &what {
                Produced::File(path) => Some(path.clone()),
                Produced::Table { .. } | Produced::Bytes { .. } | Produced::Directory(_) => None,
            };
            let form = &step.def.outputs[output as usize].form;
            let stored = store(what, form, &self.cas, self.inline_max_bytes)?;
            if let (Some(path), Some(_)) = (file, &stored.small) {
                self.leftovers.add(&path);
            }
            Ok(stored)
        });
        Ended { outcome, result }
    }

    fn call(&mut self, number: u64, hooks: Hooks) -> Done {
        let Hooks { hooks, step, attempts, failure } = hooks;
        let ended = exec::Ended { step: &step, attempts, failure: failure.as_ref() };
        let (worker, control) = (&mut self.own, &self.control);
        let mut call = |hook: &HookDef| match caught(|| worker.hook(hook, &ended, control)) {
            Ok(called) => called.err(),
            Err(panic) => Some(panic.to_string()),
        };
        let problems: Vec<String> = hooks.iter().filter_map(&mut call).collect();
        let hide = |problem: String| step.secrets.mask(&problem).into_owned();
        let problems = problems.into_iter().map(hide).collect();
        Done::Hooks { number, step, problems }
    }
}

/// One outcome for each result. What failed as a whole failed for all.
fn apart(mut outcome: Outcome, makes: usize) -> Vec<Outcome> {
    let mut outcomes = std::mem::take(&mut outcome.members);
    // It is told once.
    let warnings = std::mem::take(&mut outcome.warnings);
    // There is one, mostly.
    outcomes.reserve_exact(makes.saturating_sub(outcomes.len()));
    outcomes.resize(makes, outcome);
    if let Some(first) = outcomes.first_mut() {
        first.warnings.extend(warnings);
    }
    outcomes
}
