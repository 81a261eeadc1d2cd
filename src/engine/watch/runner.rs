//! Threads that carry out runs, each with an engine of its own on the same store, so that a long step
//! holds up neither the watching nor other runs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::super::Error;
use super::super::open::{Access, Busy, Engine, Options, SetValue};
use super::super::report::{Among, RunOptions};
use super::event::{End, Heard};
use super::launch::{self, Ready};
use super::{JobEvent, RunEvent};
use crate::base::{AssetKey, Clock, RunId};
use crate::defs::Project;
use crate::exec::{Control, Functions};
use crate::plan::Request;
use crate::store::{LaunchInfo, Queued};
use crate::watch::Waker;

/// What an engine of a runner is opened with.
#[derive(Clone)]
pub(super) struct World {
    pub root: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// Files that are being written.
    pub busy: Arc<Busy>,
}

/// The definitions of a moment.
#[derive(Clone)]
pub(super) struct Definitions {
    pub project: Arc<Project>,
    /// Counts how often they were replaced.
    pub generation: u64,
    pub functions: Arc<dyn Functions>,
    pub env: Arc<Vec<(OsString, OsString)>>,
}

/// Something to be carried out.
pub(super) struct Order {
    pub number: u64,
    pub definitions: Definitions,
    pub work: Work,
}

pub(super) enum Work {
    Bring(Request),
    /// For partitions of the same assets; of a job there is one.
    Requests(Vec<Queued>),
}

/// What became of an order.
pub(super) struct Report {
    /// `None`: it was never given to one.
    pub runner: Option<usize>,
    pub number: u64,
    pub run: Option<RunId>,
    pub end: End,
    /// It was broken off because the watching stops.
    pub is_cancelled: bool,
}

/// Hears what happens, on whichever thread it does.
pub type Hear<'a> = &'a (dyn Fn(&Engine, Heard) + Sync);

/// The runners; they end when this is dropped and their orders are done.
pub(super) struct Runners<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    hear: Hear<'env>,
    world: World,
    options: RunOptions,
    control: Control,
    waker: Waker,
    most: usize,
    runners: Vec<Runner>,
    reports: (Sender<Report>, Receiver<Report>),
}

struct Runner {
    orders: Sender<Order>,
    is_busy: bool,
}

impl<'scope, 'env> Runners<'scope, 'env> {
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        hear: Hear<'env>,
        (world, options, control): (World, RunOptions, Control),
        waker: Waker,
        most: usize,
    ) -> Runners<'scope, 'env> {
        let (runners, reports) = (Vec::new(), channel());
        let most = most.max(1);
        Runners { scope, hear, world, options, control, waker, most, runners, reports }
    }

    pub fn has_room(&self) -> bool {
        self.runners.len() < self.most || self.runners.iter().any(|runner| !runner.is_busy)
    }

    pub fn busy(&self) -> usize {
        self.runners.iter().filter(|runner| runner.is_busy).count()
    }

    /// Gives an order to a runner that is free; gives it back if there is none.
    pub fn give(&mut self, order: Order) -> Result<(), Box<Order>> {
        let free = self.runners.iter().position(|runner| !runner.is_busy);
        let at = match free {
            Some(at) => at,
            None if self.runners.len() < self.most => match self.start() {
                Ok(at) => at,
                Err(_) => return Err(Box::new(order)),
            },
            None => return Err(Box::new(order)),
        };
        let runner = &mut self.runners[at];
        runner.orders.send(order).map_err(|sent| Box::new(sent.0))?;
        runner.is_busy = true;
        Ok(())
    }

    /// What has become of orders since it was asked last.
    pub fn reports(&mut self) -> Vec<Report> {
        let reports: Vec<Report> = self.reports.1.try_iter().collect();
        for at in reports.iter().filter_map(|report| report.runner) {
            self.runners[at].is_busy = false;
        }
        reports
    }

    fn start(&mut self) -> std::io::Result<usize> {
        let at = self.runners.len();
        let (orders, given) = channel();
        let thread = Thread {
            at,
            hear: self.hear,
            world: self.world.clone(),
            options: self.options.clone(),
            control: self.control.clone(),
            engine: None,
        };
        let (reports, waker) = (self.reports.0.clone(), self.waker.clone());
        let work = move || thread.work(&given, &reports, &waker);
        std::thread::Builder::new().name(format!("run-{at}")).spawn_scoped(self.scope, work)?;
        self.runners.push(Runner { orders, is_busy: false });
        Ok(at)
    }
}

struct Thread<'a> {
    at: usize,
    hear: Hear<'a>,
    world: World,
    options: RunOptions,
    control: Control,
    /// Kept from run to run, as long as the definitions are the same.
    engine: Option<(u64, Engine)>,
}

/// A run that is over.
struct Ran {
    run: Option<RunId>,
    end: End,
    is_cancelled: bool,
}

impl Thread<'_> {
    fn work(mut self, orders: &Receiver<Order>, reports: &Sender<Report>, waker: &Waker) {
        for Order { number, definitions, work } in orders {
            let ran = self.carry_out(number, &definitions, work).unwrap_or_else(|problem| Ran {
                run: None,
                end: End::Error(problem),
                is_cancelled: false,
            });
            let Ran { run, end, is_cancelled } = ran;
            // Whoever watches may have gone.
            let _ = reports.send(Report { runner: Some(self.at), number, run, end, is_cancelled });
            waker.wake();
        }
    }

    fn carry_out(
        &mut self,
        number: u64,
        definitions: &Definitions,
        work: Work,
    ) -> Result<Ran, String> {
        let told = |error: Error| super::super::error_text(&error);
        match work {
            Work::Bring(request) => {
                let mut engine = self.engine(definitions).map_err(told)?;
                let targets: Vec<AssetKey> = request.targets.keys().cloned().collect();
                let looked = engine.refresh(&targets).map_err(told);
                let ran = looked
                    .and_then(|_| self.bring(&mut engine, number, &request, LaunchInfo::default()));
                self.engine = Some((definitions.generation, engine));
                ran
            }
            Work::Requests(queued) => {
                let mut engine = self.engine(definitions).map_err(told)?;
                let settings = match queued.first() {
                    Some(first) => launch::settings(&engine, &first.request.what)?,
                    None => Vec::new(),
                };
                let is_own = settings.is_empty();
                if !is_own {
                    engine = self.open(definitions, settings).map_err(told)?;
                }
                let ran = match launch::prepare(&mut engine, &queued)? {
                    Ready::Assets { request, launch } => {
                        self.bring(&mut engine, number, &request, launch)
                    }
                    Ready::Job(launch) => self.run_job(&mut engine, number, &launch),
                };
                // One with replaced values is of no use to others.
                self.engine = is_own.then_some((definitions.generation, engine));
                ran
            }
        }
    }

    fn bring(
        &self,
        engine: &mut Engine,
        number: u64,
        request: &Request,
        launch: LaunchInfo,
    ) -> Result<Ran, String> {
        let options = RunOptions { launch, ..self.options.clone() };
        let (began, mut run) = (now(), None);
        let summary = engine.materialize(request, &options, &self.control, &mut |engine, event| {
            if let RunEvent::Started { run: Some(id), .. } = &event {
                run = Some(*id);
            }
            (self.hear)(engine, Heard::Run(number, event));
        });
        let summary = summary.map_err(|error| super::super::error_text(&error))?;
        let is_cancelled = summary.cancelled > 0;
        Ok(Ran { run, end: End::Assets { summary, took: took(began) }, is_cancelled })
    }

    fn run_job(
        &self,
        engine: &mut Engine,
        number: u64,
        launch: &super::super::job::Launch,
    ) -> Result<Ran, String> {
        let began = now();
        let summary =
            engine.run_job(launch, &self.options, &self.control, &mut |engine, event: JobEvent| {
                (self.hear)(engine, Heard::Job(number, event));
            });
        let summary = summary.map_err(|error| match error {
            Error::Launch { problems, .. } => problems.join("; "),
            other => super::super::error_text(&other),
        })?;
        let is_cancelled = summary.cancelled > 0;
        let run = Some(summary.run);
        Ok(Ran { run, end: End::Job { summary, took: took(began) }, is_cancelled })
    }

    /// The engine of before, if the definitions are the same.
    fn engine(&mut self, definitions: &Definitions) -> Result<Engine, Error> {
        match self.engine.take() {
            Some((generation, engine)) if generation == definitions.generation => Ok(engine),
            Some(_) | None => self.open(definitions, Vec::new()),
        }
    }

    fn open(&self, definitions: &Definitions, set: Vec<SetValue>) -> Result<Engine, Error> {
        let World { root, clock, busy } = &self.world;
        let options = Options {
            root: root.clone(),
            access: Access::Write,
            clock: clock.clone(),
            env: definitions.env.to_vec(),
            set,
            functions: definitions.functions.clone(),
        };
        let mut engine = Engine::open(Project::clone(&definitions.project), options)?;
        engine.busy = busy.clone();
        Ok(engine)
    }
}

impl RunOptions {
    /// As of a run beside which others of the same process go on.
    pub(super) fn among_peers(self) -> RunOptions {
        RunOptions { among: Among::Peers, ..self }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a run takes is measured here")]
fn now() -> Instant {
    Instant::now()
}

fn took(began: Instant) -> Duration {
    now().saturating_duration_since(began)
}
