//! Says how long a plan will take, by what its partitions have taken before.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::AssetKey;
use crate::engine::Error;
use crate::engine::open::Engine;
use crate::engine::work::cores;
use crate::plan::{Plan, PlanAsset};

/// So many of the last attempts of an asset are looked at.
const ATTEMPTS_MAX: u32 = 64;

/// How long a plan will take, if everything runs that may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    pub duration: Duration,
    /// Steps at once that it was reckoned with.
    pub jobs: usize,
    /// The attempts whose medians were taken.
    pub attempts: u64,
    /// Steps of assets of which nothing is known, and which are not in `duration`.
    pub unknown: u64,
}

impl Engine {
    /// How long a plan will take with `jobs` steps at once (`None`: as the project says).
    pub fn estimate(&self, plan: &Plan, jobs: Option<usize>) -> Result<Estimate, Error> {
        let jobs = jobs.or(self.project.settings.jobs).unwrap_or_else(cores).max(1);
        let mut estimate = Estimate { jobs, ..Estimate::default() };
        let (mut all_ms, mut longest_ms) = (0_u64, 0_u64);
        let mut shared: BTreeSet<&AssetKey> = BTreeSet::new();
        for part in plan.assets.iter().filter(|part| part.may_run() > 0) {
            // What is made together is made once.
            let first = part.shared.as_ref().and_then(|step| step.makes.first());
            if first.is_some_and(|first| !shared.insert(first)) {
                continue;
            }
            let steps = part.may_run();
            let last = part.wanted.max().unwrap_or(0);
            let mut durations = self.ledger.ask(|store| {
                let asset = &part.asset;
                store.durations(asset, last, ATTEMPTS_MAX)
            })?;
            let Some(median_ms) = median(&mut durations) else {
                estimate.unknown += steps;
                continue;
            };
            estimate.attempts += durations.len() as u64;
            let takes_ms = steps.saturating_mul(median_ms);
            all_ms = all_ms.saturating_add(takes_ms);
            let one_after_the_other = if self.is_chain(part) { takes_ms } else { median_ms };
            longest_ms = longest_ms.max(one_after_the_other);
        }
        let shared_ms = all_ms.div_ceil(jobs as u64);
        estimate.duration = Duration::from_millis(shared_ms.max(longest_ms));
        Ok(estimate)
    }

    /// Whether its partitions read each other.
    fn is_chain(&self, part: &PlanAsset) -> bool {
        self.planner.edges(&part.asset).iter().any(|edge| edge.upstream == part.asset)
    }
}

fn median(durations: &mut [u64]) -> Option<u64> {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_of_them() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [9]), Some(9));
        assert_eq!(median(&mut [900, 1, 3]), Some(3));
    }
}
