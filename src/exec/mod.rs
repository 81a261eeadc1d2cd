//! Runs one step: picks who can run it, and says how it went.
//!
//! Knows no graph and no store: a step comes with all that it reads, and what it makes is handed back
//! in memory or in the staging directory.

mod checks;
mod command;
mod control;
mod failure;
mod held;
mod lifeline;
mod panics;
mod probe;
mod resource;
mod retry;
mod secrets;
mod sql;
mod step;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Instant;

pub use command::CommandExecutor;
pub use control::{Control, OnLog};
pub use failure::Failure;
pub use held::{Datum, Held};
pub use lifeline::{Lifeline, sweep_leftovers};
pub use panics::{Panic, caught};
pub use probe::probe;
pub use resource::{
    Http, Opened, Pool, Provide, ResourceError, Resources, Setup, Shared, directory, http,
    provider_of, sqlite,
};
pub use retry::Retrying;
pub use secrets::Secrets;
pub use sql::SqlExecutor;
pub use step::{CheckResult, Content, Input, LogInfo, Outcome, Part, Produced, Step, StepPaths};

use self::checks::Judges;
use crate::base::AssetKey;
use crate::defs::Body;
use crate::io::{IoManager, Table};

/// Runs steps one after the other; each worker thread has a set of its own.
pub trait Executor {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome;
}

/// The functions of the program that declares the project.
pub trait Functions: Send + Sync {
    fn call(&self, step: &Step) -> Result<Produced, Failure>;

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
        let (key, _) = (&step.asset.key, table);
        let reason = format!("this program has no check `{name}` for `{key}`");
        Err(Failure::Unsupported(reason))
    }
}

/// The functions of a program that has none.
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn call(&self, step: &Step) -> Result<Produced, Failure> {
        let key = &step.asset.key;
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
        let mut outcome = match &step.asset.body {
            Body::Sql(_) => self.sql.run(step, control),
            Body::Command(_) => self.command.run(step, control),
            Body::Function(_) => call(&*self.functions, step),
            Body::Source(_) => {
                let key = &step.asset.key;
                let reason = format!("`{key}` is a source: it is observed, not made");
                Outcome { result: Err(Failure::Unsupported(reason)), ..Outcome::new(step) }
            }
        };
        if !step.asset.checks.is_empty() {
            self.check(step, control, &mut outcome);
        }
        outcome
    }
}

impl Worker {
    /// Judges what was made; where a check says so, it is not taken.
    fn check(&mut self, step: &Step, control: &Control, outcome: &mut Outcome) {
        let Ok(produced) = &outcome.result else { return };
        let functions = &*self.functions;
        let mut judges = Judges { sql: &mut self.sql, command: &self.command, functions };
        match checks::evaluate(step, produced, control, &mut judges) {
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
}

#[expect(clippy::disallowed_methods, reason = "this is where a function is timed")]
fn call(functions: &dyn Functions, step: &Step) -> Outcome {
    let start = Instant::now();
    let result = functions.call(step);
    Outcome { result, duration: start.elapsed(), ..Outcome::new(step) }
}
