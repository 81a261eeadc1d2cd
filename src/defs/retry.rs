//! How often a failed attempt is repeated, and how long is waited before each repetition.
//!
//! Delays are a function of the policy, the number of the repetition and a seed, so that a test can say
//! what they are; there is no randomness in them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::Digest;

/// How often a failed attempt is repeated, and how long is waited before. Dagster's `RetryPolicy`, with the
/// same delays.
///
/// ```
/// use std::time::Duration;
/// use giornata::base::Digest;
/// use giornata::defs::{Backoff, Retries};
///
/// let delay = Duration::from_secs(10);
/// let retries = Retries { max: 3, delay, backoff: Backoff::Exponential, ..Retries::default() };
/// let seed = Digest::of_blob(b"a run, a step");
/// let seconds = [1, 2, 3].map(|n| retries.wait(n, &seed).as_secs());
/// assert_eq!(seconds, [10, 30, 70]);
/// assert_eq!(Retries::times(3).wait(1, &seed), Duration::ZERO);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retries {
    /// How many repetitions there may be beyond the first attempt.
    pub max: u32,
    /// What the waits before repetitions are multiples of.
    pub delay: Duration,
    /// How the wait grows from repetition to repetition.
    pub backoff: Backoff,
    /// How far the wait is drawn from that by lot.
    pub jitter: Jitter,
    /// Exit statuses of a command that end it at once.
    pub fatal: BTreeSet<i32>,
}

/// How the delay grows from attempt to attempt; see the example of [`Retries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// Always the same.
    #[default]
    Constant,
    /// n times the delay before the n-th retry.
    Linear,
    /// (2^n - 1) times the delay before the n-th retry.
    Exponential,
}

/// How far delays of steps that failed together are drawn apart, so that they do not all come back at once.
///
/// ```
/// use std::time::Duration;
/// use giornata::base::Digest;
/// use giornata::defs::{Jitter, Retries};
/// let delay = Duration::from_secs(10);
/// let retries = Retries { max: 1, delay, jitter: Jitter::Full, ..Retries::default() };
/// assert!(retries.wait(1, &Digest::of_blob(b"a run, a step")) < delay);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Jitter {
    /// Exactly what the policy says.
    #[default]
    None,
    /// Between nothing and the whole delay.
    Full,
    /// At most one delay of the policy more or less, and never less than nothing.
    PlusMinus,
}

impl Retries {
    /// `max` repetitions, one right after the other; see the example of [`Retries`].
    pub fn times(max: u32) -> Retries {
        Retries { max, ..Retries::default() }
    }

    /// How long to wait before the `n`-th retry, counted from 1. The seed names what is repeated, such
    /// as the run and the step: equal seeds wait equally long. See the example of [`Retries`].
    pub fn wait(&self, n: u32, seed: &Digest) -> Duration {
        let times = match self.backoff {
            Backoff::Constant => 1,
            Backoff::Linear => n,
            Backoff::Exponential => 1u32.checked_shl(n).map_or(u32::MAX, |power| power - 1),
        };
        let delay = self.delay.saturating_mul(times);
        match self.jitter {
            Jitter::None => delay,
            Jitter::Full => share(delay, n, seed),
            Jitter::PlusMinus => {
                let spread = self.delay.saturating_mul(2);
                delay.saturating_add(share(spread, n, seed)).saturating_sub(self.delay)
            }
        }
    }
}

/// A part of `delay` that the seed decides.
fn share(delay: Duration, n: u32, seed: &Digest) -> Duration {
    let mut digest = Digest::builder("giornata 2026 jitter");
    let digest = digest.digest(seed).number(u64::from(n)).finish();
    let [a, b, ..] = *digest.as_bytes();
    let nanos = delay.as_nanos().saturating_mul(u128::from(u16::from_le_bytes([a, b]))) >> 16;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_as_declared() {
        let delays = |backoff| {
            let delay = Duration::from_secs(1);
            let retries = Retries { max: 9, delay, backoff, ..Retries::default() };
            [1, 2, 3, 40].map(|n| retries.wait(n, &Digest::of_blob(b"")).as_secs())
        };
        assert_eq!(delays(Backoff::Constant), [1, 1, 1, 1]);
        assert_eq!(delays(Backoff::Linear), [1, 2, 3, 40]);
        assert_eq!(delays(Backoff::Exponential), [1, 3, 7, u64::from(u32::MAX)]);
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_depends_on_the_seed() {
        let delay = Duration::from_secs(100);
        let waits = |jitter| -> Vec<Duration> {
            let retries = Retries { max: 1, delay, jitter, ..Retries::default() };
            (0..50u8).map(|seed| retries.wait(1, &Digest::of_blob(&[seed]))).collect()
        };
        let full = waits(Jitter::Full);
        assert!(full.iter().all(|wait| *wait < delay));
        assert!(full.iter().any(|wait| *wait < delay / 4));
        assert!(full.iter().any(|wait| *wait > delay / 4 * 3));
        assert_eq!(full, waits(Jitter::Full));
        let around = waits(Jitter::PlusMinus);
        assert!(around.iter().all(|wait| *wait < delay * 2));
        assert!(around.iter().any(|wait| *wait < delay));
        assert!(around.iter().any(|wait| *wait > delay));
        assert!(waits(Jitter::None).iter().all(|wait| *wait == delay));
    }
}
