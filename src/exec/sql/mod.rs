//! Runs SQL.
use super::{Control, Executor, Outcome, Step};

/// Runs statements in an SQLite database in memory.
pub struct SqlExecutor {}

impl SqlExecutor {
    pub fn new() -> SqlExecutor {
        SqlExecutor {}
    }
}

impl Default for SqlExecutor {
    fn default() -> SqlExecutor {
        SqlExecutor::new()
    }
}

impl Executor for SqlExecutor {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        todo!()
    }
}
