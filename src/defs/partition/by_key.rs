//! Mappings by the text of keys: identity across kinds of domains, and tables of pairs.

use super::domain::Shape;
use super::{Domain, KeyTable};
use crate::base::{PartitionIdx, PartitionKey, PartitionSet};

/// Which index of one side is which of the other, whether they exist now or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Translation {
    /// Sorted, in both directions: (upstream, downstream) and (downstream, upstream).
    Pairs(Vec<(PartitionIdx, PartitionIdx)>, Vec<(PartitionIdx, PartitionIdx)>),
    /// Neither side has a table of keys to translate once and for all.
    EachTime,
}

impl Translation {
    pub(super) fn identity(up: &Domain, down: &Domain) -> Translation {
        let pairs = match (up.shape(), down.shape()) {
            (Shape::Keys { table: a, .. }, Shape::Keys { table: b, .. }) => merge(a, b),
            (Shape::Keys { table, .. }, _) => {
                let other = |key: &PartitionKey| down.any_index(key.as_str());
                numbered(table).filter_map(|(index, key)| Some((index, other(key)?))).collect()
            }
            (_, Shape::Keys { table, .. }) => {
                let other = |key: &PartitionKey| up.any_index(key.as_str());
                numbered(table).filter_map(|(index, key)| Some((other(key)?, index))).collect()
            }
            (Shape::One | Shape::Time(_) | Shape::Multi(_) | Shape::Broken, _) => {
                return Translation::EachTime;
            }
        };
        Translation::of(pairs)
    }

    pub(super) fn table(
        up: &Domain,
        down: &Domain,
        pairs: &[(PartitionKey, PartitionKey)],
    ) -> Translation {
        let indexes = |(a, b): &(PartitionKey, PartitionKey)| {
            Some((up.any_index(a.as_str())?, down.any_index(b.as_str())?))
        };
        Translation::of(pairs.iter().filter_map(indexes).collect())
    }

    fn of(mut pairs: Vec<(PartitionIdx, PartitionIdx)>) -> Translation {
        pairs.sort_unstable();
        pairs.dedup();
        let mut back: Vec<_> = pairs.iter().map(|(up, down)| (*down, *up)).collect();
        back.sort_unstable();
        Translation::Pairs(pairs, back)
    }

    pub(super) fn upstream_of(
        &self,
        up: &Domain,
        down: &Domain,
        set: &PartitionSet,
    ) -> PartitionSet {
        match self {
            Translation::Pairs(_, back) => look_up(back, set),
            Translation::EachTime => by_text(down, up, set),
        }
    }

    pub(super) fn downstream_of(
        &self,
        up: &Domain,
        down: &Domain,
        set: &PartitionSet,
    ) -> PartitionSet {
        match self {
            Translation::Pairs(pairs, _) => look_up(pairs, set),
            Translation::EachTime => by_text(up, down, set),
        }
    }
}

fn numbered(table: &KeyTable) -> impl Iterator<Item = (PartitionIdx, &PartitionKey)> {
    (0..).zip(table.keys())
}

/// Both tables know their keys in order, so equal keys are found in one pass.
fn merge(a: &KeyTable, b: &KeyTable) -> Vec<(PartitionIdx, PartitionIdx)> {
    let mut pairs = Vec::new();
    let (mut left, mut right) = (a.by_key().iter().peekable(), b.by_key().iter().peekable());
    while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
        let (x, y) = (**x, **y);
        match a.key(x).cmp(&b.key(y)) {
            std::cmp::Ordering::Less => left.next(),
            std::cmp::Ordering::Greater => right.next(),
            std::cmp::Ordering::Equal => {
                pairs.push((x, y));
                left.next();
                right.next()
            }
        };
    }
    pairs
}

fn look_up(pairs: &[(PartitionIdx, PartitionIdx)], set: &PartitionSet) -> PartitionSet {
    let few = set.len() * 16 < pairs.len() as u64;
    if !few {
        let chosen = pairs.iter().filter(|(from, _)| set.contains(*from));
        return chosen.map(|(_, to)| *to).collect();
    }
    let mut found = PartitionSet::new();
    for index in set {
        let begin = pairs.partition_point(|(from, _)| *from < index);
        found.extend(pairs[begin..].iter().take_while(|(from, _)| *from == index).map(|p| p.1));
    }
    found
}

fn by_text(from: &Domain, to: &Domain, set: &PartitionSet) -> PartitionSet {
    set.iter().filter_map(|index| to.any_index(from.key(index)?.as_str())).collect()
}
