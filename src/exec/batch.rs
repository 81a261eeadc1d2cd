//! What several partitions of an asset have of the one execution that made them: a result each, and a share.

use super::{Emitted, Failure, Outcome, Step};

/// What a function made of each of several partitions, in their order.
pub type Made = Vec<Result<Emitted, Failure>>;

/// How it went for each partition. One of which nothing is said has failed.
pub(super) fn outcomes(lots: &[Step], made: Made) -> Vec<Outcome> {
    let mut made = made.into_iter();
    let outcome = |lot: &Step| {
        let missing = || Err(Failure::Function("gave no value of this partition".to_owned()));
        let result = made.next().unwrap_or_else(missing);
        Outcome { result: result.map(|emitted| vec![emitted]), ..Outcome::not_run(lot) }
    };
    lots.iter().map(outcome).collect()
}

/// Gives each partition its share of the time, so that a sum over partitions is what they took; all have the
/// same log.
pub(super) fn share(outcome: &mut Outcome) {
    let count = outcome.members.len();
    let parts = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    for own in &mut outcome.members {
        own.duration = outcome.duration / parts;
        own.usage = outcome.usage.share(count);
        own.log.clone_from(&outcome.log);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::Usage;
    use crate::exec::testing::{StepBuilder, emitted};

    #[test]
    fn each_has_its_own_result_and_a_share_of_the_time() {
        let step = StepBuilder::function().build().clone();
        let lots = vec![step.clone(), step.clone(), step.clone()];
        let failure = Failure::Function("no".to_owned());
        let members = outcomes(&lots, vec![Ok(emitted()), Err(failure.clone())]);
        let usage = Usage { cpu_ms: Some(900), peak_kib: Some(64) };
        let duration = Duration::from_secs(3);
        let mut outcome = Outcome { members, usage, duration, ..Outcome::not_run(&step) };
        share(&mut outcome);
        let [made, failed, missing] = outcome.members.as_slice() else { panic!("three") };
        assert!(made.result.is_ok());
        assert_eq!(failed.result, Err(failure));
        assert!(missing.result.as_ref().is_err_and(|it| it.to_string().contains("no value")));
        assert_eq!(made.duration, Duration::from_secs(1));
        assert_eq!(made.usage, Usage { cpu_ms: Some(300), peak_kib: Some(64) });
    }
}
