//! What is done after a step of a job has ended: a command, or a function of the program.

use super::{Control, Failure, Step, Worker, caught};
use crate::defs::HookDef;

/// How a step of a job ended, for whoever does something after it.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    pub step: &'a Step,
    pub attempts: u32,
    /// Why it failed; `None` if it has succeeded.
    pub failure: Option<&'a Failure>,
}

impl Worker {
    /// Does one thing after a step has ended. An error says in a sentence why it could not be done.
    pub fn hook(
        &mut self,
        hook: &HookDef,
        ended: &Ended<'_>,
        control: &Control,
    ) -> Result<(), String> {
        match hook {
            HookDef::Function(slot) => {
                caught(|| self.functions.hook(*slot, ended)).map_err(|panic| panic.to_string())?
            }
            HookDef::Run(line) => {
                let reason = ended.failure.map(Failure::to_string).unwrap_or_default();
                let attempts = ended.attempts.to_string();
                let variables = [("GIORNATA_REASON", &*reason), ("GIORNATA_ATTEMPT", &*attempts)];
                let done = self.command.aside(line, &variables, ended.step, control);
                done.map_err(|failure| failure.to_string())
            }
        }
    }
}
