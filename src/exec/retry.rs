//! Repeats failed attempts as the step's policy says.

use super::{Control, Executor, Failure, Outcome, Step};
use crate::base::Digest;

/// An executor whose failures are retried.
pub struct Retrying<E>(E);

impl<E: Executor> Retrying<E> {
    pub fn new(inner: E) -> Retrying<E> {
        Retrying(inner)
    }
}

impl<E: Executor> Executor for Retrying<E> {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        let retries = &step.asset.policy.retries;
        let mut outcome = self.0.run(step, control);
        for n in 1..=retries.max {
            match &outcome.result {
                Err(Failure::Exit { status }) if retries.fatal.contains(status) => break,
                Err(failure) if failure.is_worth_a_retry() => {}
                Ok(_) | Err(_) => break,
            }
            if control.wait(retries.wait(n, &seed(step))) {
                outcome.result = Err(Failure::Cancelled);
                break;
            }
            let before = outcome;
            let next = Step { attempt: step.attempt + n, ..step.clone() };
            outcome = self.0.run(&next, control);
            outcome.duration += before.duration;
            // An attempt that said nothing leaves the log of those before it.
            outcome.log = outcome.log.or(before.log);
        }
        outcome
    }
}

/// What decides how far the delays of this step are drawn apart.
fn seed(step: &Step) -> Digest {
    let mut digest = Digest::builder("giornata 2026 retries");
    digest.number(step.run.0).part(step.asset.key.as_str()).part(step.partition.as_str());
    digest.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::defs::Retries;
    use crate::exec::testing::{StepBuilder, produced};

    /// Fails until its list of results is empty.
    struct Script(Vec<Failure>, Vec<u32>);

    impl Executor for Script {
        fn run(&mut self, step: &Step, _: &Control) -> Outcome {
            self.1.push(step.attempt);
            let mut outcome = Outcome::new(step);
            outcome.result = if self.0.is_empty() { Ok(produced()) } else { Err(self.0.remove(0)) };
            outcome
        }
    }

    #[track_caller]
    fn check(failures: Vec<Failure>, max: u32, attempts: &[u32], ok: bool) {
        let mut executor = Retrying::new(Script(failures, Vec::new()));
        let retries = Retries::times(max);
        let step = StepBuilder::shell("true").retries(retries).build();
        let outcome = executor.run(&step, &Control::new());
        assert_eq!(executor.0.1, attempts);
        assert_eq!(outcome.result.is_ok(), ok);
        assert_eq!(Some(&outcome.attempt), attempts.last());
    }

    #[test]
    fn failures_are_repeated_up_to_the_limit() {
        let exit = || Failure::Exit { status: 1 };
        check(vec![], 3, &[1], true);
        check(vec![exit(), exit()], 3, &[1, 2, 3], true);
        check(vec![exit(), exit(), exit()], 2, &[1, 2, 3], false);
        check(vec![exit()], 0, &[1], false);
        check(vec![Failure::Cancelled], 3, &[1], false);
    }

    #[test]
    fn a_cancelled_wait_ends() {
        let mut executor = Retrying::new(Script(vec![Failure::Exit { status: 1 }], Vec::new()));
        let delay = Duration::from_secs(3600);
        let retries = Retries { delay, ..Retries::times(1) };
        let step = StepBuilder::shell("true").retries(retries).build();
        let control = Control::new();
        control.cancel();
        assert_eq!(executor.run(&step, &control).result, Err(Failure::Cancelled));
    }
}
