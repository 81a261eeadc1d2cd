//! Who carries out the steps of a run: worker threads, or the thread of the run itself.
//!
//! Threads hand back what they have when they have it, so that the order in which results are recorded is
//! nobody's promise. On the thread of the run a number decides about the order, so that a test can repeat
//! what it has seen.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::Error;
use super::job::Flows;
use super::open::Engine;
use super::work::{self, Done, Order};
use crate::cas::Cas;
use crate::exec::{Control, Lifeline, Worker};

/// Where the steps of a run are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hands {
    /// On as many threads as steps may run at once.
    #[default]
    Threads,
    /// On the thread of the run, which the number makes repeat itself: what has been started ends in an
    /// order, and so many at a time, as the number says.
    Own(u64),
}

/// The workers of one run.
pub(super) enum Crew {
    Threads { orders: Option<Sender<Order>>, done: Receiver<Done>, handles: Vec<JoinHandle<()>> },
    Own(Box<Own>),
}

/// One worker, and what it has yet to do.
pub(super) struct Own {
    bench: Bench,
    waiting: Vec<Order>,
    number: u64,
}

/// A worker with what it needs to keep results.
struct Bench {
    worker: Flows,
    control: Control,
    cas: Arc<Cas>,
    inline_max: u64,
}

impl Bench {
    fn run(&mut self, order: Order) -> Done {
        work::carry_out(&mut self.worker, order, &self.control, &self.cas, self.inline_max)
    }
}

impl Crew {
    pub fn new(engine: &Engine, hands: Hands, jobs: usize, control: &Control) -> Crew {
        let (lifeline, slots) = (Lifeline::new(), engine.slots());
        let bench = || {
            let (functions, lifeline) = (engine.functions.clone(), lifeline.clone());
            Bench {
                worker: Flows::new(
                    || Worker::new(lifeline.clone(), functions.clone()),
                    slots.clone(),
                ),
                control: control.clone(),
                cas: engine.cas.clone(),
                inline_max: engine.project.settings.inline_max_bytes,
            }
        };
        if let Hands::Own(number) = hands {
            return Crew::Own(Box::new(Own { bench: bench(), waiting: Vec::new(), number }));
        }
        let (orders, taken) = channel();
        let (give, done) = channel();
        let taken = Arc::new(Mutex::new(taken));
        let spawn = |_| {
            let (taken, give, mut bench) = (taken.clone(), give.clone(), bench());
            std::thread::spawn(move || take_orders(&mut bench, &taken, &give))
        };
        let handles = (0..jobs).map(spawn).collect();
        Crew::Threads { orders: Some(orders), done, handles }
    }

    pub fn send(&mut self, order: Order) -> Result<(), Error> {
        match self {
            Crew::Threads { orders, .. } => {
                let orders = orders.as_ref().ok_or(Error::WorkerDied)?;
                orders.send(order).map_err(|_| Error::WorkerDied)
            }
            Crew::Own(own) => {
                own.waiting.push(order);
                Ok(())
            }
        }
    }

    /// Waits for the end of one of the steps that were sent; gives what has ended besides.
    pub fn landed(&mut self) -> Result<Vec<Done>, Error> {
        match self {
            Crew::Threads { done, .. } => {
                let mut landed = vec![done.recv().map_err(|_| Error::WorkerDied)?];
                landed.extend(done.try_iter());
                Ok(landed)
            }
            Crew::Own(own) => Ok(own.land()),
        }
    }

    /// Lets the workers go when they have done what they were sent.
    pub fn finish(&mut self) -> Result<(), Error> {
        if let Crew::Threads { orders, handles, .. } = self {
            drop(orders.take());
            for handle in handles.drain(..) {
                handle.join().map_err(|_| Error::WorkerDied)?;
            }
        }
        Ok(())
    }
}

impl Own {
    fn land(&mut self) -> Vec<Done> {
        let ends = 1 + self.draw(self.waiting.len());
        let mut landed = Vec::with_capacity(ends);
        for _ in 0..ends {
            let next = self.draw(self.waiting.len());
            landed.push(self.bench.run(self.waiting.swap_remove(next)));
        }
        landed
    }

    /// A number below `bound`, which is not 0.
    fn draw(&mut self, bound: usize) -> usize {
        // The step of splitmix64.
        self.number = self.number.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.number ^ (self.number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        usize::try_from((mixed >> 33) % bound as u64).expect("it is below a usize")
    }
}

/// Takes orders until there are no more.
fn take_orders(bench: &mut Bench, orders: &Mutex<Receiver<Order>>, done: &Sender<Done>) {
    loop {
        let order = match orders.lock() {
            Ok(orders) => orders.recv(),
            Err(_) => return,
        };
        let Ok(order) = order else { return };
        if done.send(bench.run(order)).is_err() {
            return;
        }
    }
}
