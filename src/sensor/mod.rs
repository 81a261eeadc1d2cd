//! Decides what sensors, schedules and automation ask for: pure functions of a cursor and of what was
//! observed. Who observes, and records what comes of it, is elsewhere.

mod condition;
mod directory;

use crate::base::RunRequest;

pub use condition::{States, named};
pub use directory::{FileChange, FoundFile, changes, requests};

/// What an evaluation asks for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    pub requests: Vec<RunRequest>,
    /// Why, or why not, in a few words.
    pub reason: String,
    /// What could not be asked for, and why.
    pub faults: Vec<String>,
}
