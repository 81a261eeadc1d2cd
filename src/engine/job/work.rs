//! Runs steps of a job, and what is done after them, on worker threads or at once.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::super::Error;
use super::super::flow::Made;
use super::super::wish;
use super::keep::{Place, keep};
use super::value::Value;
use crate::defs::HookDef;
use crate::exec::{
    Control, Ended, Executor, Failure, Functions, Lifeline, Outcome, Retrying, Step, Worker,
};

/// What a worker gets.
pub enum Order {
    Step { number: u64, step: Arc<Step> },
    Hooks(Hooks),
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
    Step(Box<StepDone>),
    /// Of each thing that could not be done, why.
    Hooks {
        step: Arc<Step>,
        problems: Vec<String>,
    },
}

/// How the execution of a step went.
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
    place: Place,
    lifeline: Lifeline,
    threads: Option<Threads>,
    /// Runs what runs on the thread of the run.
    own: Option<Bench>,
}

struct Threads {
    orders: Sender<Order>,
    done: Receiver<Done>,
    handles: Vec<JoinHandle<()>>,
}

/// One worker with what it needs to keep results.
struct Bench {
    steps: Retrying<Worker>,
    hooks: Worker,
    place: Place,
    control: Control,
}

impl Workers {
    pub fn new(
        jobs: usize,
        control: &Control,
        functions: &Arc<dyn Functions>,
        place: &Place,
    ) -> Workers {
        Workers {
            jobs,
            control: control.clone(),
            functions: functions.clone(),
            place: place.clone(),
            lifeline: Lifeline::new(),
            threads: None,
            own: None,
        }
    }

    fn worker(&self) -> Bench {
        let worker = || Worker::new(self.lifeline.clone(), self.functions.clone());
        Bench {
            steps: Retrying::new(worker()),
            hooks: worker(),
            place: self.place.clone(),
            control: self.control.clone(),
        }
    }

    /// Hands an order to a thread.
    pub fn send(&mut self, order: Order) -> Result<(), Error> {
        if self.threads.is_none() {
            self.threads = Some(self.start());
        }
        let threads = self.threads.as_ref().expect("they were just started");
        threads.orders.send(order).map_err(|_| Error::WorkerDied)
    }

    /// Runs a step on this thread: what has nothing beside it need not wake another one.
    pub fn run_here(&mut self, number: u64, step: Arc<Step>) -> StepDone {
        let mut own = self.own.take().unwrap_or_else(|| self.worker());
        let done = own.run(number, step);
        self.own = Some(own);
        done
    }

    fn start(&self) -> Threads {
        let (orders, taken) = channel();
        let (give, done) = channel();
        let taken = Arc::new(Mutex::new(taken));
        let spawn = |_| {
            let (taken, give, mut worker) = (taken.clone(), give.clone(), self.worker());
            std::thread::spawn(move || worker.work(&taken, &give))
        };
        Threads { orders, done, handles: (0..self.jobs).map(spawn).collect() }
    }

    /// What has come back; waits for the first, but not for long.
    pub fn receive(&self) -> Result<Vec<Done>, Error> {
        let Some(threads) = &self.threads else { return Ok(Vec::new()) };
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

impl Bench {
    /// Takes orders until there are no more.
    fn work(&mut self, orders: &Mutex<Receiver<Order>>, done: &Sender<Done>) {
        loop {
            let order = match orders.lock() {
                Ok(orders) => orders.recv(),
                Err(_) => return,
            };
            let given = match order {
                Ok(Order::Step { number, step }) => Done::Step(Box::new(self.run(number, step))),
                Ok(Order::Hooks(hooks)) => self.call(hooks),
                Err(_) => return,
            };
            if done.send(given).is_err() {
                return;
            }
        }
    }

    fn run(&mut self, number: u64, step: Arc<Step>) -> StepDone {
        let mut outcome = self.steps.run(&step, &self.control);
        outcome.hide(&step.secrets);
        let made = std::mem::replace(&mut outcome.result, Ok(Vec::new()));
        let made = made.and_then(|made| keep(made, &step.def, &self.place, number));
        StepDone { number, step, outcome, made }
    }

    fn call(&mut self, hooks: Hooks) -> Done {
        let Hooks { hooks, step, attempts, failure } = hooks;
        let ended = Ended { step: &step, attempts, failure: failure.as_ref() };
        let (worker, control) = (&mut self.hooks, &self.control);
        let call = |hook: &HookDef| worker.hook(hook, &ended, control).err();
        let problems: Vec<String> = hooks.iter().filter_map(call).collect();
        let hide = |problem: String| step.secrets.mask(&problem).into_owned();
        let problems = problems.into_iter().map(hide).collect();
        Done::Hooks { step, problems }
    }
}
