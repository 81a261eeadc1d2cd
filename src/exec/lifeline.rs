//! The lifeline.
use std::path::Path;

use crate::base::RunId;

/// Kills what this process started, should it die.
#[derive(Clone, Default)]
pub struct Lifeline {}

impl Lifeline {
    pub fn new() -> Lifeline {
        Lifeline::default()
    }
}

/// Kills what dead runs of the project at `root` left behind; says how many process groups.
pub fn sweep_leftovers(runs: &[RunId], root: &Path) -> usize {
    todo!()
}
