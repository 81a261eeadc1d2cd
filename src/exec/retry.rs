//! Repeats failed attempts as the step's policy says.

use super::{Control, Executor, Outcome, Step};

/// An executor whose failures are retried.
pub struct Retrying<E>(E);

impl<E: Executor> Retrying<E> {
    pub fn new(inner: E) -> Retrying<E> {
        Retrying(inner)
    }
}

impl<E: Executor> Executor for Retrying<E> {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        todo!()
    }
}
