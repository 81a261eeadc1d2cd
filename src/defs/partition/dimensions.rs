//! Mappings where a side has several dimensions: one mapping for each pair of dimensions.
//!
//! Such a mapping is a product: a partition reads the combinations of what its parts read. Dimensions
//! without a partner do not restrict anything: those upstream are taken whole.

use std::collections::BTreeMap;

use super::domain::Shape;
use super::multi::{Dimension, MultiDomain, key_of};
use super::{Domain, Mapping, MappingDef, MappingError};
use crate::base::{PartitionIdx, PartitionKey, PartitionSet};

/// How many absent combinations are named; nobody reads more.
const ABSENT_MAX: usize = 1000;

/// The pairs of dimensions that are mapped.
#[derive(Debug, PartialEq)]
pub(super) struct Dimensions {
    pairs: Vec<Pair>,
}

/// `None`: that side has no dimensions and is mapped as it is.
#[derive(Debug, PartialEq)]
struct Pair {
    up: Option<String>,
    down: Option<String>,
    mapping: Mapping,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    ToUpstream,
    ToDownstream,
}

impl Dimensions {
    /// The pairs that the definitions suggest: dimensions of one name; for a side without dimensions
    /// the one that is partitioned in the same way, else the only one of time if both are of time.
    pub(super) fn inferred(up: &Domain, down: &Domain) -> Result<Option<Dimensions>, MappingError> {
        let names = match (up.shape(), down.shape()) {
            (Shape::Multi(a), Shape::Multi(b)) => {
                let names = a.names().into_iter().filter(|name| b.dimension(name).is_some());
                names.map(|name| (Some(name.clone()), Some(name))).collect()
            }
            (Shape::Multi(multi), _) => {
                like(multi, down)?.map(|name| (Some(name), None)).into_iter().collect()
            }
            (_, Shape::Multi(multi)) => {
                like(multi, up)?.map(|name| (None, Some(name))).into_iter().collect()
            }
            (Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken, _) => Vec::new(),
        };
        if names.is_empty() {
            return Ok(None);
        }
        Dimensions::of(up, down, names, &MappingDef::Default).map(Some)
    }

    /// The pair with this name; its other side is the dimension of that name, or has no dimensions.
    pub(super) fn named(
        name: &str,
        up: &Domain,
        down: &Domain,
    ) -> Result<Dimensions, MappingError> {
        let side = |domain: &Domain| match domain.shape() {
            Shape::Multi(multi) => multi.dimension(name).map(|_| Some(name.to_owned())),
            Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken => Some(None),
        };
        let none = || MappingError::NoDimension { name: name.to_owned() };
        match (side(up).ok_or_else(none)?, side(down).ok_or_else(none)?) {
            (None, None) => Err(none()),
            pair => Dimensions::of(up, down, vec![pair], &MappingDef::Default),
        }
    }

    /// The time dimensions mapped by `def`, others of one name by the default.
    pub(super) fn of_time(
        def: &MappingDef,
        up: &Domain,
        down: &Domain,
    ) -> Result<Dimensions, MappingError> {
        let major = |domain: &Domain| match domain.shape() {
            Shape::Multi(multi) => Some(multi.major().name.clone()),
            Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken => None,
        };
        let time = (major(up), major(down));
        let mut mapped = Dimensions::of(up, down, vec![time.clone()], def)?;
        if let (Shape::Multi(a), Shape::Multi(b)) = (up.shape(), down.shape()) {
            let shared = a.names().into_iter().filter(|name| {
                let is_time = time.0.as_ref() == Some(name) || time.1.as_ref() == Some(name);
                b.dimension(name).is_some() && !is_time
            });
            let shared = shared.map(|name| (Some(name.clone()), Some(name))).collect();
            let others = Dimensions::of(up, down, shared, &MappingDef::Default)?;
            mapped.pairs.extend(others.pairs);
        }
        Ok(mapped)
    }

    fn of(
        up: &Domain,
        down: &Domain,
        names: Vec<(Option<String>, Option<String>)>,
        def: &MappingDef,
    ) -> Result<Dimensions, MappingError> {
        let mut pairs = Vec::new();
        for (a, b) in names {
            let mapping = Mapping::new(def, side(up, a.as_deref()), side(down, b.as_deref()))?;
            pairs.push(Pair { up: a, down: b, mapping });
        }
        Ok(Dimensions { pairs })
    }

    pub(super) fn upstream_of(
        &self,
        up: &Domain,
        down: &Domain,
        set: &PartitionSet,
    ) -> PartitionSet {
        self.image(down, up, set, Direction::ToUpstream) & up.all()
    }

    pub(super) fn downstream_of(
        &self,
        up: &Domain,
        down: &Domain,
        set: &PartitionSet,
    ) -> PartitionSet {
        self.image(up, down, set, Direction::ToDownstream) & down.all()
    }

    pub(super) fn is_single(&self, up: &Domain) -> bool {
        let is_covered = match up.shape() {
            Shape::Multi(multi) => multi.dimensions().len() == self.pairs.len(),
            Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken => true,
        };
        is_covered && self.pairs.iter().all(|pair| pair.mapping.is_single())
    }

    pub(super) fn absent(
        &self,
        up: &Domain,
        down: &Domain,
        index: PartitionIdx,
    ) -> Vec<PartitionKey> {
        let part = |pair: &Pair| match (&pair.down, down.shape()) {
            (Some(name), Shape::Multi(multi)) => multi.dimension(name)?.part(index),
            (_, _) => Some(index),
        };
        let Shape::Multi(multi) = up.shape() else {
            let absent = |pair: &Pair| part(pair).map(|part| pair.mapping.absent(part));
            return self.pairs.iter().filter_map(absent).flatten().collect();
        };
        let mut combinations: Vec<(Vec<PartitionKey>, bool)> = vec![(Vec::new(), false)];
        for dimension in multi.dimensions() {
            let pair = self.pairs.iter().find(|pair| pair.up.as_ref() == Some(&dimension.name));
            let keys = dimension_keys(dimension, pair.and_then(|pair| Some((pair, part(pair)?))));
            let with = |(head, missing): &(Vec<PartitionKey>, bool)| {
                let (head, missing) = (head.clone(), *missing);
                keys.clone().into_iter().map(move |(key, absent)| {
                    let keys: Vec<PartitionKey> = head.iter().cloned().chain([key]).collect();
                    (keys, missing || absent)
                })
            };
            combinations = combinations.iter().flat_map(with).take(ABSENT_MAX * 10).collect();
        }
        let absent = combinations.into_iter().filter(|(_, absent)| *absent).take(ABSENT_MAX);
        absent.map(|(keys, _)| key_of(multi.dimensions(), &keys)).collect()
    }

    fn image(
        &self,
        from: &Domain,
        to: &Domain,
        set: &PartitionSet,
        direction: Direction,
    ) -> PartitionSet {
        let mut found = PartitionSet::new();
        for group in self.groups(from, set, direction) {
            let images: Vec<(Option<&str>, PartitionSet)> = self
                .pairs
                .iter()
                .zip(&group)
                .map(|(pair, parts)| match direction {
                    Direction::ToUpstream => (pair.up.as_deref(), pair.mapping.upstream_of(parts)),
                    Direction::ToDownstream => {
                        (pair.down.as_deref(), pair.mapping.downstream_of(parts))
                    }
                })
                .collect();
            match to.shape() {
                Shape::Multi(multi) => found |= multi.product(&images),
                Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken => {
                    let sets = images.into_iter().map(|(_, set)| set);
                    found |= sets.reduce(|a, b| a & b).unwrap_or_default();
                }
            }
        }
        found
    }

    /// Splits a set into products: for each of them the parts of every pair, in the order of pairs.
    fn groups(
        &self,
        from: &Domain,
        set: &PartitionSet,
        direction: Direction,
    ) -> Vec<Vec<PartitionSet>> {
        let Shape::Multi(multi) = from.shape() else {
            return vec![self.pairs.iter().map(|_| set.clone()).collect()];
        };
        let name = |pair: &Pair| match direction {
            Direction::ToUpstream => pair.down.clone(),
            Direction::ToDownstream => pair.up.clone(),
        };
        let dimensions: Vec<&Dimension> =
            self.pairs.iter().filter_map(|pair| multi.dimension(&name(pair)?)).collect();
        // Whatever has the same parts elsewhere is one group over the dimension with the most keys.
        let place = dimensions.iter().position(|d| d.name == multi.major().name).unwrap_or(0);
        let mut groups: BTreeMap<Vec<PartitionIdx>, PartitionSet> = BTreeMap::new();
        for index in set {
            let parts: Option<Vec<PartitionIdx>> =
                dimensions.iter().map(|d| d.part(index)).collect();
            let Some(mut parts) = parts else { continue };
            if place < parts.len() {
                let run = parts.remove(place);
                groups.entry(parts).or_default().insert(run);
            }
        }
        let group = |(others, run): (Vec<PartitionIdx>, PartitionSet)| {
            let mut sets: Vec<PartitionSet> =
                others.into_iter().map(|part| [part].into_iter().collect()).collect();
            sets.insert(place, run);
            sets
        };
        groups.into_iter().map(group).collect()
    }
}

fn side<'a>(domain: &'a Domain, name: Option<&str>) -> &'a Domain {
    match (domain.shape(), name) {
        (Shape::Multi(multi), Some(name)) => {
            multi.dimension(name).map_or(domain, |dimension| &dimension.domain)
        }
        (_, _) => domain,
    }
}

/// The keys of a dimension that a partition reads, and whether each is absent.
fn dimension_keys(
    dimension: &Dimension,
    pair: Option<(&Pair, PartitionIdx)>,
) -> Vec<(PartitionKey, bool)> {
    let (existing, absent) = match pair {
        Some((pair, part)) => (pair.mapping.upstream_of_one(part), pair.mapping.absent(part)),
        None => (dimension.domain.all().clone(), Vec::new()),
    };
    let existing = existing.iter().filter_map(|part| dimension.domain.key(part));
    existing.map(|key| (key, false)).chain(absent.into_iter().map(|key| (key, true))).collect()
}

/// The dimension that a domain without dimensions corresponds to.
fn like(multi: &MultiDomain, single: &Domain) -> Result<Option<String>, MappingError> {
    let matching = |fits: &dyn Fn(&Domain) -> bool| -> Vec<String> {
        let fitting = multi.dimensions().iter().filter(|dimension| fits(&dimension.domain));
        fitting.map(|dimension| dimension.name.clone()).collect()
    };
    let equal = matching(&|domain| domain.def() == single.def());
    let alike = matching(&|domain| domain.def().index_space() == single.def().index_space());
    let timely = matching(&|domain| domain.calendar().is_some() && single.calendar().is_some());
    for names in [equal, alike, timely] {
        match names.as_slice() {
            [] => {}
            [only] => return Ok(Some(only.clone())),
            [_, _, ..] => return Err(MappingError::Ambiguous { names: names.join("`, `") }),
        }
    }
    Ok(None)
}
