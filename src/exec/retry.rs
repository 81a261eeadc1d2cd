//! Repeats failed attempts as the step's policy says.

use std::time::Instant;

use super::{Control, Earlier, Executor, Failure, Outcome, Step, shared};
use crate::base::Digest;
use crate::defs::Retries;

/// An executor whose failures are retried.
pub struct Retrying<E>(E);

impl<E: Executor> Retrying<E> {
    pub fn new(inner: E) -> Retrying<E> {
        Retrying(inner)
    }
}

impl<E: Executor> Executor for Retrying<E> {
    #[expect(clippy::disallowed_methods, reason = "this is where attempts are timed")]
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        let first = Instant::now();
        let retries = &step.def.retries;
        let mut outcome = self.0.run(step, control);
        let mut took = outcome.duration;
        for n in 1.. {
            let failures = outcome.failures();
            let Some(failure) = failures.max_by_key(|failure| most(retries, failure)) else {
                break;
            };
            if n > most(retries, failure) {
                break;
            }
            let asked = if let Failure::Again { after, .. } = failure { *after } else { None };
            let delay = asked.unwrap_or_else(|| retries.wait(n, &seed(step)));
            if control.wait(delay) {
                outcome.cancel();
                break;
            }
            let attempt = step.attempt + n;
            let of = shared::of_failed(step, &outcome, attempt);
            let before = outcome;
            let next = Step { attempt, of, ..step.clone() };
            let begun = first.elapsed();
            outcome = self.0.run(&next, control);
            let duration = std::mem::replace(&mut took, outcome.duration);
            outcome.duration += before.duration;
            outcome.earlier = before.earlier;
            if let Err(failure) = &before.result {
                let (usage, reason) = (before.usage, failure.to_string());
                outcome.earlier.push(Earlier { duration, next: begun, usage, reason });
            }
            // An attempt that said nothing leaves the log of those before it.
            outcome.log = outcome.log.or(before.log);
            shared::join(before.members, (begun, took), &mut outcome);
        }
        outcome
    }
}

/// How often there may be another attempt after this failure.
fn most(retries: &Retries, failure: &Failure) -> u32 {
    if let Failure::Again { max, .. } = failure {
        return retries.max.max(*max);
    }
    let is_fatal = match failure.status() {
        Some(status) => retries.fatal.contains(&status),
        None => false,
    };
    if is_fatal || !failure.is_worth_a_retry() { 0 } else { retries.max }
}

/// What decides how far the delays of this step are drawn apart.
fn seed(step: &Step) -> Digest {
    let mut digest = Digest::builder("giornata 2026 retries");
    digest.number(step.run.0).part(step.name().as_str()).part(step.partition.as_str());
    digest.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exec::testing::{StepBuilder, emitted};

    /// Fails until its list of results is empty.
    struct Script(Vec<Failure>, Vec<u32>);

    impl Executor for Script {
        fn run(&mut self, step: &Step, _: &Control) -> Outcome {
            self.1.push(step.attempt);
            let mut outcome = Outcome::not_run(step);
            outcome.result =
                if self.0.is_empty() { Ok(vec![emitted()]) } else { Err(self.0.remove(0)) };
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
        let (_, before) = attempts.split_last().unwrap();
        assert_eq!(outcome.earlier.len(), before.len());
        assert!(outcome.earlier.iter().all(|it| it.reason == "exit status 1"));
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
