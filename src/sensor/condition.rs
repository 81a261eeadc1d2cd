//! Which partitions of an asset a condition names, from the sets of its states.

use crate::base::PartitionSet;
use crate::defs::{Condition, Term};

/// The states of the partitions of one asset, and what has passed since it was looked after.
pub trait States {
    /// All that exist.
    fn all(&self) -> PartitionSet;
    /// Those of which a term other than `cron` is true.
    fn of(&self, term: &Term) -> PartitionSet;
    /// Whether a tick has passed since the asset was looked after the last time.
    fn has_ticked(&self, rule: &crate::defs::partition::CronRule, zone: chrono_tz::Tz) -> bool;
}

/// The partitions that a condition names.
///
/// ```
/// use giornata::base::PartitionSet;
/// use giornata::defs::{Condition, Term};
/// use giornata::sensor::{States, named};
/// struct Two;
/// impl States for Two {
///     fn all(&self) -> PartitionSet { (0..4).collect() }
///     fn of(&self, term: &Term) -> PartitionSet {
///         if *term == Term::Missing { (1..3).collect() } else { PartitionSet::new() }
///     }
///     fn has_ticked(&self, _: &giornata::defs::partition::CronRule, _: chrono_tz::Tz) -> bool {
///         false
///     }
/// }
/// let condition = Condition::parse("not missing", chrono_tz::Tz::UTC)?;
/// assert_eq!(named(&condition, &Two), [0, 3].into_iter().collect());
/// # Ok::<(), giornata::defs::InvalidCondition>(())
/// ```
pub fn named(condition: &Condition, states: &dyn States) -> PartitionSet {
    match condition {
        Condition::Is(Term::Never) => PartitionSet::new(),
        Condition::Is(Term::Cron(rule, zone)) => {
            if states.has_ticked(rule, *zone) {
                states.all()
            } else {
                PartitionSet::new()
            }
        }
        Condition::Is(
            term @ (Term::Missing
            | Term::Stale
            | Term::Failed
            | Term::Running
            | Term::Last(_)
            | Term::UpstreamMissing
            | Term::UpstreamStale
            | Term::CodeChanged),
        ) => states.of(term) & states.all(),
        Condition::Not(of) => states.all() - named(of, states),
        Condition::All(of) => {
            let mut left = states.all();
            for one in of {
                if left.is_empty() {
                    break;
                }
                left &= named(one, states);
            }
            left
        }
        Condition::Any(of) => {
            let mut found = PartitionSet::new();
            for one in of {
                found |= named(one, states);
            }
            found
        }
    }
}
