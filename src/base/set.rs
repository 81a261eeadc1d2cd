//! Sets of partitions as bitmaps of stable indexes, and their ranges.

use std::ops::RangeInclusive;

/// The place of a partition in its domain. It never moves while the domain's specification stays,
/// and time domains count from the calendar, so that a new `start` shifts nothing.
pub type PartitionIdx = u32;

/// A set of partitions of one domain, in memory and (serialized) in the store.
pub type PartitionSet = roaring::RoaringBitmap;

/// Iterates over the maximal runs of neighbouring indexes of `set`, in order.
///
/// ```
/// use giornata::base::{PartitionSet, ranges};
/// let set: PartitionSet = [1, 2, 3, 7].into_iter().collect();
/// assert_eq!(ranges(&set).collect::<Vec<_>>(), [1..=3, 7..=7]);
/// ```
pub fn ranges(set: &PartitionSet) -> Ranges<'_> {
    Ranges(set.iter())
}

/// The iterator of [`ranges`].
pub struct Ranges<'a>(roaring::bitmap::Iter<'a>);

impl Iterator for Ranges<'_> {
    type Item = RangeInclusive<PartitionIdx>;

    fn next(&mut self) -> Option<RangeInclusive<PartitionIdx>> {
        self.0.next_range()
    }
}
