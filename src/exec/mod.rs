//! Runs one step: picks who can run it, and says how it went.
//!
//! Knows no graph and no store: a step comes with all that it reads, and what it makes is handed back
//! in memory or in the staging directory.

mod batch;
mod checks;
mod command;
mod control;
mod failure;
mod function;
mod held;
mod hook;
mod lifeline;
mod log;
mod panics;
mod probe;
mod resource;
mod retry;
mod secrets;
mod shared;
mod slots;
mod sql;
mod step;
mod types;
mod usage;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod ops_tests;
#[cfg(test)]
mod testing;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use batch::Made;
pub use command::CommandExecutor;
pub use command::missing_program;
pub use control::{Control, OnLog};
pub use failure::{Failure, Refused};
pub use function::Told;
pub use held::{Datum, Held};
pub use hook::Ended;
pub use lifeline::{Lifeline, sweep_leftovers};
pub use panics::{Panic, caught};
pub use probe::probe;
pub use resource::{
    Http, Opened, Pool, Provide, ResourceError, Resources, Setup, Shared, directory, http,
    provider_of, sqlite,
};
pub use retry::Retrying;
pub use secrets::Secrets;
pub use shared::ASSET;
pub use slots::{Limited, Slots};
pub use sql::{SqlExecutor, judge_condition};
pub use step::{
    Asks, CheckResult, Content, Earlier, Emitted, InJob, Input, LogInfo, Member, Of, Outcome, Part,
    Produced, Step, StepPaths,
};

use self::checks::Judges;
use crate::base::AssetKey;
use crate::defs::{Body, FunctionSlot};
use crate::io::{IoManager, Table};

/// Runs steps one after the other; each worker thread has a set of its own.
pub trait Executor {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome;
}

/// The functions of the program that declares the project.
pub trait Functions: Send + Sync {
    fn call(&self, step: &Step, told: &mut Told<'_>) -> Result<Vec<Emitted>, Failure>;

    /// Makes several partitions of one asset: what was made of each, in the order of `lots`.
    fn call_batch(&self, lots: &[Step], told: &mut Told<'_>) -> Result<Made, Failure> {
        let (key, _) = (lots.first().map(Step::shown).unwrap_or_default(), told);
        let reason = format!("`{key}` is made by a function of another program");
        Err(Failure::Unsupported(reason))
    }

    /// Does what is to be done after a step of a job has ended.
    fn hook(&self, slot: FunctionSlot, ended: &Ended<'_>) -> Result<(), String> {
        let (_, step) = (slot, ended.step.shown());
        Err(format!("this program has no such hook of `{step}`"))
    }

    /// The version of functions that have none of their own.
    fn version(&self) -> Result<String, String> {
        Ok(String::new())
    }

    /// The provider of a resource of the program's own.
    fn resource(&self, name: &str) -> Option<Arc<dyn Provide>> {
        let _ = name;
        None
    }

    /// The IO manager of the program's own that an asset has.
    fn io(&self, asset: &AssetKey) -> Option<Arc<dyn IoManager>> {
        let _ = asset;
        None
    }

    /// What a check of the program's own found wrong in the rows of a result.
    fn check(&self, step: &Step, name: &str, table: &Table) -> Result<Option<String>, Failure> {
        let (key, _) = (step.shown(), table);
        let reason = format!("this program has no check `{name}` for `{key}`");
        Err(Failure::Unsupported(reason))
    }
}

/// The functions of a program that has none.
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn call(&self, step: &Step, _: &mut Told<'_>) -> Result<Vec<Emitted>, Failure> {
        let key = step.shown();
        Err(Failure::Unsupported(format!("`{key}` is made by a function of another program")))
    }
}

/// One executor of each kind.
pub struct Worker {
    sql: SqlExecutor,
    command: CommandExecutor,
    functions: Arc<dyn Functions>,
}

impl Worker {
    /// `lifeline` is shared by all workers of the process.
    pub fn new(lifeline: Lifeline, functions: Arc<dyn Functions>) -> Worker {
        Worker { sql: SqlExecutor::new(), command: CommandExecutor::new(lifeline), functions }
    }
}

impl Executor for Worker {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        if let Err(failure) = self.judge_inputs(step, control) {
            return Outcome { result: Err(failure), ..Outcome::not_run(step) };
        }
        let mut outcome = match &step.def.body {
            Body::Sql(_) => on_thread(|| self.sql.run(step, control)),
            Body::Command(_) => self.command.run(step, control),
            Body::Function(_) => on_thread(|| function::run(&*self.functions, step, control)),
            Body::Graph(_) => {
                let name = step.shown();
                let reason = format!("`{name}` is made by several steps");
                Outcome { result: Err(Failure::Unsupported(reason)), ..Outcome::not_run(step) }
            }
            Body::Source(_) => {
                let name = step.shown();
                let reason = format!("`{name}` is a source: it is observed, not made");
                Outcome { result: Err(Failure::Unsupported(reason)), ..Outcome::not_run(step) }
            }
        };
        if let Ok(made) = &outcome.result
            && let Err(failure) = self.judge_outputs(step, made, control)
        {
            outcome.result = Err(failure);
        }
        self.judge(step, outcome, BTreeMap::new(), control)
    }
}

/// Runs what stays on this thread, and says what it took.
fn on_thread(run: impl FnOnce() -> Outcome) -> Outcome {
    let watch = usage::OnThread::begin();
    let outcome = run();
    Outcome { usage: watch.end(), ..outcome }
}

impl Worker {
    /// Judges what was made, of several assets each by itself. `absent` says why what is not there is not, by
    /// the places of outputs.
    pub fn judge(
        &mut self,
        step: &Step,
        mut outcome: Outcome,
        absent: BTreeMap<u32, Failure>,
        control: &Control,
    ) -> Outcome {
        match &step.of {
            Of::Assets(members) => {
                let check = |step: &Step, own: &mut Outcome| self.check(step, control, own);
                shared::tell_apart(step, members, outcome, absent, check)
            }
            Of::Batch(lots) => {
                batch::share(&mut outcome);
                for (lot, own) in lots.iter().zip(&mut outcome.members) {
                    self.check(lot, control, own);
                }
                outcome
            }
            Of::Asset(_) | Of::Job(_) => {
                self.check(step, control, &mut outcome);
                outcome
            }
        }
    }

    /// Where a check says so, what was made is not taken.
    fn check(&mut self, step: &Step, control: &Control, outcome: &mut Outcome) {
        let Ok([made]) = outcome.result.as_deref() else { return };
        if step.def.checks.is_empty() {
            return;
        }
        let functions = &*self.functions;
        let mut judges = Judges { sql: &mut self.sql, command: &mut self.command, functions };
        match checks::evaluate(step, &made.what, control, &mut judges) {
            Ok(results) => {
                let blocking = checks::blocking(&results);
                outcome.checks = results;
                if let Some(failure) = blocking {
                    outcome.result = Err(failure);
                }
            }
            Err(failure) => outcome.result = Err(failure),
        }
    }

    fn judge_inputs(&mut self, step: &Step, control: &Control) -> Result<(), Failure> {
        types::inputs(step, &mut |step, sql, value| self.sql.holds(sql, value, step, control))
    }

    fn judge_outputs(
        &mut self,
        step: &Step,
        made: &[Emitted],
        control: &Control,
    ) -> Result<(), Failure> {
        types::outputs(step, made, &mut |step, sql, value| {
            self.sql.holds(sql, value, step, control)
        })
    }
}
