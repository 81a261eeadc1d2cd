//! Runs a command.
use super::{Control, Executor, Lifeline, Outcome, Step};

/// Runs processes.
pub struct CommandExecutor {
    lifeline: Lifeline,
}

impl CommandExecutor {
    pub fn new(lifeline: Lifeline) -> CommandExecutor {
        CommandExecutor { lifeline }
    }
}

impl Executor for CommandExecutor {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        todo!()
    }
}
