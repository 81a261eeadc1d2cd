//! Several dimensions in one domain: indexes packed as digits of a number, the time dimension first.
//!
//! A minor dimension has room for more keys than it has, so that a new key moves no index. When the
//! room is used up, or the windows run out of it, the packing changes, and with it `index_space`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::domain::Shape;
use super::mapping_text::{parse_quoted, quote};
use super::text::{dimension as name_of, key_text, split};
use super::{Domain, KeyTable, PartitionsDef, zone};
use crate::base::{PartitionIdx, PartitionKey, PartitionSet, TimeWindow, ranges};

/// Days from 1900 to 1970.
const DAYS_BEFORE_1970: i64 = 25_567;

/// How the indexes of several domains make one.
#[derive(Debug, PartialEq)]
pub(super) struct MultiDomain {
    /// In alphabetical order.
    dimensions: Vec<Dimension>,
    /// The place of the dimension with the greatest stride.
    major: usize,
}

#[derive(Debug, PartialEq)]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) domain: Domain,
    /// The index of the dimension that counts as 0.
    base: u64,
    /// How far apart neighbours of this dimension are.
    stride: u64,
    /// How many indexes there is room for.
    room: u64,
}

impl Dimension {
    /// The index of this dimension within an index of the whole.
    pub(super) fn part(&self, index: PartitionIdx) -> Option<PartitionIdx> {
        let digit = u64::from(index) / self.stride % self.room;
        PartitionIdx::try_from(digit + self.base).ok()
    }

    /// What an index of this dimension adds to an index of the whole.
    fn share(&self, part: PartitionIdx) -> Option<u64> {
        let digit = u64::from(part).checked_sub(self.base)?;
        (digit < self.room).then_some(digit * self.stride)
    }
}

impl MultiDomain {
    pub(super) fn resolve(
        definitions: &BTreeMap<String, PartitionsDef>,
        now: DateTime<Utc>,
        tables: &BTreeMap<String, Arc<KeyTable>>,
    ) -> Result<(MultiDomain, PartitionSet), String> {
        let mut dimensions = Vec::new();
        for (name, def) in definitions {
            let domain = Domain::resolve(Arc::new(def.clone()), now, tables);
            if let Some(problem) = domain.problem() {
                return Err(format!("dimension `{name}`: {problem}"));
            }
            dimensions.push(Dimension { name: name.clone(), domain, base: 0, stride: 1, room: 1 });
        }
        let is_time = |dimension: &Dimension| dimension.domain.calendar().is_some();
        let major = dimensions.iter().position(is_time).unwrap_or(0);
        if dimensions.is_empty() {
            return Err("there are no dimensions".to_owned());
        }
        let mut stride = 1_u64;
        for (place, dimension) in dimensions.iter_mut().enumerate().rev() {
            if place != major {
                (dimension.base, dimension.room) = room(&dimension.domain);
                dimension.stride = stride;
                stride = stride.saturating_mul(dimension.room);
            }
        }
        let limit = u64::from(PartitionIdx::MAX) + 1;
        let top = &mut dimensions[major];
        top.base = anchor(&top.domain);
        top.stride = stride;
        top.room = limit / stride.min(limit);
        let last = u64::from(top.domain.all().max().unwrap_or(0)).saturating_sub(top.base);
        if stride >= limit || last >= top.room {
            return Err(format!(
                "the dimensions have more than {limit} combinations, counting the room that new keys \
                 need; fewer keys or coarser windows have room"
            ));
        }
        let all = product(&dimensions, major, |dimension| dimension.domain.all().clone());
        Ok((MultiDomain { dimensions, major }, all))
    }

    pub(super) fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    pub(super) fn dimension(&self, name: &str) -> Option<&Dimension> {
        self.dimensions.iter().find(|dimension| dimension.name == name)
    }

    pub(super) fn major(&self) -> &Dimension {
        &self.dimensions[self.major]
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.dimensions.iter().map(|dimension| dimension.name.clone()).collect()
    }

    pub(super) fn shares_indexes(&self, other: &MultiDomain) -> bool {
        let both = || self.dimensions.iter().zip(&other.dimensions);
        self.dimensions.len() == other.dimensions.len()
            && both().all(|(a, b)| {
                (&a.name, a.base, a.stride, a.room) == (&b.name, b.base, b.stride, b.room)
                    && a.domain.shares_indexes(&b.domain)
            })
    }

    pub(super) fn index_space(&self) -> String {
        let one = |d: &Dimension| {
            let (base, stride, room) = (d.base, d.stride, d.room);
            let space = d.domain.index_space();
            format!("{:?}: ({space}) from {base} by {stride} up to {room}", d.name)
        };
        format!("{{{}}}", self.dimensions.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// `date=2024-01-01|region=eu`, in alphabetical order of the names.
    pub(super) fn key(&self, index: PartitionIdx) -> Option<PartitionKey> {
        let key = |dimension: &Dimension| dimension.domain.key(dimension.part(index)?);
        let keys: Option<Vec<PartitionKey>> = self.dimensions.iter().map(key).collect();
        keys.map(|keys| key_of(&self.dimensions, &keys))
    }

    /// The key of each dimension, in alphabetical order of the names.
    pub(super) fn keys(&self, index: PartitionIdx) -> Vec<(String, PartitionKey)> {
        let key = |dimension: &Dimension| {
            Some((dimension.name.clone(), dimension.domain.key(dimension.part(index)?)?))
        };
        self.dimensions.iter().filter_map(key).collect()
    }

    pub(super) fn any_index(&self, key: &str) -> Option<PartitionIdx> {
        let parts = split(key, 0..key.len(), '|').ok()?;
        if parts.len() != self.dimensions.len() {
            return None;
        }
        let mut index = 0;
        for (at, dimension) in parts.into_iter().zip(&self.dimensions) {
            let (name, length) = name_of(&key[at.clone()])?;
            let value = &key[at.start + length..at.end];
            let value = match parse_quoted(value) {
                Some((value, "")) => value,
                Some(_) | None => value.to_owned(),
            };
            if name != dimension.name {
                return None;
            }
            index += dimension.share(dimension.domain.any_index(&value)?)?;
        }
        let index = PartitionIdx::try_from(index).ok()?;
        (self.key(index)?.as_str() == key).then_some(index)
    }

    /// By the major dimension, then by the others as they are named.
    pub(super) fn ordered(&self) -> Vec<PartitionIdx> {
        let mut found: Vec<u64> = vec![0];
        let mut visit = |dimension: &Dimension| {
            let shares: Vec<u64> = dimension
                .domain
                .ordered()
                .iter()
                .filter_map(|part| dimension.share(*part))
                .collect();
            found =
                found.iter().flat_map(|at| shares.iter().map(move |share| at + share)).collect();
        };
        visit(self.major());
        let minors = self.dimensions.iter().enumerate().filter(|(place, _)| *place != self.major);
        minors.for_each(|(_, dimension)| visit(dimension));
        found.into_iter().filter_map(|index| PartitionIdx::try_from(index).ok()).collect()
    }

    /// The window in the time dimension that comes first by name.
    pub(super) fn window(&self, index: PartitionIdx) -> Option<TimeWindow> {
        let major = self.major();
        major.domain.window(major.part(index)?)
    }

    /// Those of `among` whose index in a dimension is in `parts`.
    pub(super) fn with(
        &self,
        name: &str,
        parts: &PartitionSet,
        among: &PartitionSet,
    ) -> PartitionSet {
        let Some(dimension) = self.dimension(name) else { return PartitionSet::new() };
        if dimension.name == self.major().name {
            let mut found = PartitionSet::new();
            for range in ranges(parts) {
                let (Some(low), Some(high)) =
                    (dimension.clamped(*range.start()), dimension.clamped(*range.end()))
                else {
                    continue;
                };
                let end = (high + dimension.stride - 1).min(u64::from(PartitionIdx::MAX));
                if let (Ok(low), Ok(end)) =
                    (PartitionIdx::try_from(low), PartitionIdx::try_from(end))
                {
                    found.insert_range(low..=end);
                }
            }
            return found & among;
        }
        let has =
            |index: &PartitionIdx| dimension.part(*index).is_some_and(|part| parts.contains(part));
        among.iter().filter(has).collect()
    }

    /// Every combination of these sets, and of all existing keys of the dimensions not named.
    pub(super) fn product(&self, sets: &[(Option<&str>, PartitionSet)]) -> PartitionSet {
        let set = |dimension: &Dimension| {
            let named = sets.iter().filter(|(name, _)| *name == Some(dimension.name.as_str()));
            let named = named.map(|(_, set)| set.clone()).reduce(|a, b| a & b);
            named.unwrap_or_else(|| dimension.domain.all().clone())
        };
        product(&self.dimensions, self.major, set)
    }

    /// Groups windows with the same combinations of the other dimensions, so that each item says
    /// `date=a..b|region=c..d`.
    pub(super) fn render(&self, set: &PartitionSet) -> Vec<String> {
        let major = self.major();
        let mut groups: BTreeMap<Vec<u64>, PartitionSet> = BTreeMap::new();
        let mut by_major: BTreeMap<PartitionIdx, Vec<u64>> = BTreeMap::new();
        for index in set {
            if let Some(part) = major.part(index) {
                by_major.entry(part).or_default().push(u64::from(index) % major.stride);
            }
        }
        for (part, rest) in by_major {
            groups.entry(rest).or_default().insert(part);
        }
        let mut items = Vec::new();
        for (rest, parts) in groups {
            for combination in self.minor_texts(&rest) {
                for text in major.domain.render(&parts) {
                    items.push(self.join(&text, &combination));
                }
            }
        }
        items
    }

    /// Texts of the minor dimensions that together say `rest`.
    fn minor_texts(&self, rest: &[u64]) -> Vec<Vec<String>> {
        let minors: Vec<&Dimension> =
            self.dimensions.iter().filter(|d| d.name != self.major().name).collect();
        let Some((last, before)) = minors.split_last() else { return vec![Vec::new()] };
        let mut groups: BTreeMap<Vec<PartitionIdx>, PartitionSet> = BTreeMap::new();
        for index in rest.iter().filter_map(|index| PartitionIdx::try_from(*index).ok()) {
            let head: Option<Vec<PartitionIdx>> = before.iter().map(|d| d.part(index)).collect();
            if let Some((head, part)) = head.zip(last.part(index)) {
                groups.entry(head).or_default().insert(part);
            }
        }
        let mut texts = Vec::new();
        for (head, parts) in groups {
            let key = |(d, part): (&&Dimension, &PartitionIdx)| {
                d.domain.key(*part).map_or_else(String::new, |key| key_text(key.as_str()))
            };
            let head: Vec<String> = before.iter().zip(&head).map(key).collect();
            for text in last.domain.render(&parts) {
                texts.push(head.iter().cloned().chain([text]).collect());
            }
        }
        texts
    }

    fn join(&self, major: &str, minors: &[String]) -> String {
        let mut minors = minors.iter();
        let text = |(place, dimension): (usize, &Dimension)| {
            let text =
                if place == self.major { Some(major) } else { minors.next().map(String::as_str) };
            format!("{}={}", name_text(&dimension.name), text.unwrap_or_default())
        };
        self.dimensions.iter().enumerate().map(text).collect::<Vec<_>>().join("|")
    }
}

impl Dimension {
    /// As `share`, for the end of a range that may lie before the first index.
    fn clamped(&self, part: PartitionIdx) -> Option<u64> {
        self.share(part.max(PartitionIdx::try_from(self.base).ok()?))
    }
}

/// From which index on, and for how many, a minor dimension has room.
fn room(domain: &Domain) -> (u64, u64) {
    match domain.shape() {
        Shape::Keys { table, declared } => {
            let count = table.keys().len() as u64;
            // Static keys do not grow: with another key it is another set.
            let room = if declared.is_some() { count } else { (count * 2).max(16) };
            (0, room.next_power_of_two())
        }
        Shape::Time(_) => {
            let (low, high) = (domain.all().min().unwrap_or(0), domain.all().max().unwrap_or(0));
            let span = u64::from(high - low) + 1;
            let room = (span * 2).max(16).next_power_of_two();
            (u64::from(low) / room * room, room * 2)
        }
        Shape::One | Shape::Multi(_) | Shape::Broken => (0, 1),
    }
}

/// The index from which the major dimension counts: that of 1900 for windows that begin later, as
/// counting from year 1 would leave less room for the other dimensions.
fn anchor(domain: &Domain) -> u64 {
    let (Some(calendar), PartitionsDef::TimeWindow(def)) = (domain.calendar(), domain.def()) else {
        return 0;
    };
    let century = TimeDelta::try_days(DAYS_BEFORE_1970)
        .and_then(|days| DateTime::UNIX_EPOCH.checked_sub_signed(days))
        .and_then(|at| calendar.at(at))
        .and_then(|number| u64::try_from(number).ok());
    let first = calendar.first_from(zone::resolve(def.timezone, def.start));
    let first = first.and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
    century.filter(|century| *century <= first).unwrap_or(0)
}

/// Every combination of the keys that `set` says for each dimension.
fn product(
    dimensions: &[Dimension],
    major: usize,
    set: impl Fn(&Dimension) -> PartitionSet,
) -> PartitionSet {
    let mut minors: Vec<u64> = vec![0];
    for (place, dimension) in dimensions.iter().enumerate() {
        if place != major {
            let set = set(dimension);
            let shares: Vec<u64> = set.iter().filter_map(|part| dimension.share(part)).collect();
            minors =
                minors.iter().flat_map(|at| shares.iter().map(move |share| at + share)).collect();
        }
    }
    minors.sort_unstable();
    let top = &dimensions[major];
    let parts = set(top);
    let shares = parts.iter().filter_map(|part| top.share(part));
    let indexes = shares.flat_map(|share| minors.iter().map(move |minor| share + minor));
    indexes.filter_map(|index| PartitionIdx::try_from(index).ok()).collect()
}

/// The key of a combination of keys, in the order of the dimensions.
pub(super) fn key_of(dimensions: &[Dimension], keys: &[PartitionKey]) -> PartitionKey {
    let part = |(dimension, key): (&Dimension, &PartitionKey)| {
        format!("{}={}", name_text(&dimension.name), value_text(key.as_str()))
    };
    PartitionKey::new(dimensions.iter().zip(keys).map(part).collect::<Vec<_>>().join("|"))
}

fn name_text(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { quote(name) }
}

/// A key within a key of several: in quotes where `|` or quotes would mislead.
fn value_text(value: &str) -> String {
    let misleading =
        value.is_empty() || value.contains(['|', '"', '\\', ',', '=']) || value.trim() != value;
    if misleading { quote(value) } else { value.to_owned() }
}
