//! Mappings: which partitions of an upstream asset a partition reads, in both directions.

use std::sync::Arc;

use super::asked::Asked;
use super::by_key::Translation;
use super::dimensions::Dimensions;
use super::domain::Shape;
use super::overlap::Overlap;
use super::{Cadence, Domain, PartitionsDef};
use crate::base::{PartitionIdx, PartitionKey, PartitionSet};

/// A mapping as declared: which partitions of an upstream asset a partition reads. In `giornata::api` it is
/// `Mapping`.
///
/// ```
/// use giornata::api::Mapping;
/// assert_eq!(Mapping::parse("all")?, Mapping::All);
/// assert_eq!(Mapping::parse("last(7)")?, Mapping::Last(7));
/// assert!(matches!(Mapping::parse("window(-6d, 0d)")?, Mapping::Window { .. }));
/// assert!(Mapping::parse("last(0)").is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingDef {
    /// Time overlap between time windows, dimension where names agree, else identity; `All` where
    /// either side is unpartitioned.
    Default,
    /// The same key.
    Identity,
    /// Windows that overlap.
    TimeOverlap,
    /// `window(-6d, 0d)`: from the partition's window moved by `from` to that moved by `to`, both
    /// included, in units of the downstream cadence unless a unit is given.
    Window { from: WindowOffset, to: WindowOffset },
    /// Every existing partition.
    All,
    /// The last n existing partitions.
    Last(u32),
    /// Pairs of (upstream key, downstream key).
    Static(Vec<(PartitionKey, PartitionKey)>),
    /// One dimension of several: the named one carries the key, others are taken whole.
    Dimension(String),
    /// What a step asked for while it ran: recorded, not declared.
    Asked,
}

/// A distance in a `window(..)` mapping, such as `-6d`; without a unit it counts windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowOffset {
    pub count: i32,
    pub unit: WindowUnit,
}

/// The unit of a [`WindowOffset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowUnit {
    Windows,
    Hours,
    Days,
    Weeks,
    Months,
    Years,
}

/// Why two domains cannot be mapped in the declared way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("`{mapping}` needs time windows on both sides")]
    NotTimeWindows { mapping: String },
    #[error("`window({from}, {to})` ends before it begins")]
    EmptyWindow { from: WindowOffset, to: WindowOffset },
    #[error("`dimension({name})` needs a side with a dimension `{name}`")]
    NoDimension { name: String },
    #[error("the static mapping names `{key}`, which is not a key {side}")]
    UnknownKey { key: PartitionKey, side: &'static str },
    #[error("the dimensions `{names}` all fit; say which with `dimension(name)`")]
    Ambiguous { names: String },
    #[error(
        "the same keys are never on both sides; say which partitions are read: `all`, `last(1)`, \
         or pairs of keys"
    )]
    NothingInCommon,
}

/// A mapping between two resolved domains. All operations are on sets and in closed form where the
/// mapping has one. `a_to_b` results hold only existing partitions of their side.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    upstream: Domain,
    downstream: Domain,
    relation: Arc<Relation>,
}

/// What a mapping comes down to for two domains.
#[derive(Debug, PartialEq)]
enum Relation {
    /// Everyone reads these; for `all` it is every existing one.
    All,
    Last(PartitionSet),
    /// One index space on both sides: the same index.
    Same,
    ByKey(Translation),
    /// Declared pairs, for the keys that do not exist.
    Table(Translation, Vec<(PartitionKey, PartitionKey)>),
    Overlap(Overlap),
    Dimensions(Dimensions),
    Asked(Arc<Asked>),
}

impl MappingDef {
    /// Checks, for definitions alone, that the mapping makes sense between these two; `load` and `api` call it.
    ///
    /// ```
    /// use giornata::base::PartitionKey;
    /// use giornata::defs::{MappingDef, PartitionsDef};
    /// let keys = |keys: &[&str]| PartitionsDef::Static(keys.iter().map(|key| PartitionKey::new(*key)).collect());
    /// let (here, there) = (keys(&["eu", "us"]), keys(&["asia"]));
    /// assert!(MappingDef::All.validate(&here, &there).is_ok());
    /// let error = MappingDef::Identity.validate(&here, &there).unwrap_err().to_string();
    /// assert!(error.starts_with("the same keys are never on both sides"), "{error}");
    /// ```
    pub fn validate(
        &self,
        upstream: &PartitionsDef,
        downstream: &PartitionsDef,
    ) -> Result<(), MappingError> {
        let now = chrono::DateTime::UNIX_EPOCH;
        let resolve = |def: &PartitionsDef| {
            Domain::resolve(Arc::new(def.clone()), now, &std::collections::BTreeMap::new())
        };
        let (up, down) = (resolve(upstream), resolve(downstream));
        let relation = Relation::new(self, &up, &down)?;
        match self {
            MappingDef::Static(pairs) => {
                for (key_up, key_down) in pairs {
                    check_key(&up, key_up, "upstream")?;
                    check_key(&down, key_down, "of this asset")?;
                }
                Ok(())
            }
            MappingDef::Default | MappingDef::Identity => match relation {
                Relation::ByKey(_) if !may_share_keys(&up, &down) => {
                    Err(MappingError::NothingInCommon)
                }
                Relation::ByKey(_)
                | Relation::All
                | Relation::Last(_)
                | Relation::Same
                | Relation::Table(..)
                | Relation::Overlap(_)
                | Relation::Dimensions(_)
                | Relation::Asked(_) => Ok(()),
            },
            MappingDef::TimeOverlap
            | MappingDef::Window { .. }
            | MappingDef::All
            | MappingDef::Last(_)
            | MappingDef::Dimension(_)
            | MappingDef::Asked => Ok(()),
        }
    }
}

/// False only if it is sure: of the keys of a static set none can be one of the other side, or only
/// one side has dimensions.
fn may_share_keys(up: &Domain, down: &Domain) -> bool {
    let any = |keys: &[PartitionKey], other: &Domain| {
        keys.iter().any(|key| other.any_index(key.as_str()).is_some())
    };
    match (up.def(), down.def()) {
        (PartitionsDef::Dynamic(_), _) | (_, PartitionsDef::Dynamic(_)) => true,
        (PartitionsDef::Static(keys), _) => any(keys, down),
        (_, PartitionsDef::Static(keys)) => any(keys, up),
        (PartitionsDef::Multi(_), PartitionsDef::Multi(_)) => false,
        (PartitionsDef::Multi(_), _) | (_, PartitionsDef::Multi(_)) => false,
        (PartitionsDef::Unpartitioned | PartitionsDef::TimeWindow(_), _) => true,
    }
}

/// Keys of a dynamic set may come later; those of other kinds can be judged now.
fn check_key(domain: &Domain, key: &PartitionKey, side: &'static str) -> Result<(), MappingError> {
    let later = match domain.def() {
        PartitionsDef::Dynamic(_) | PartitionsDef::Multi(_) => true,
        PartitionsDef::Unpartitioned | PartitionsDef::TimeWindow(_) | PartitionsDef::Static(_) => {
            false
        }
    };
    if later || domain.any_index(key.as_str()).is_some() {
        return Ok(());
    }
    Err(MappingError::UnknownKey { key: key.clone(), side })
}

impl Mapping {
    pub fn new(
        def: &MappingDef,
        upstream: &Domain,
        downstream: &Domain,
    ) -> Result<Mapping, MappingError> {
        let relation = Arc::new(Relation::new(def, upstream, downstream)?);
        Ok(Mapping { upstream: upstream.clone(), downstream: downstream.clone(), relation })
    }

    /// The mapping of what was asked for.
    pub fn asked(asked: Arc<Asked>, upstream: &Domain, downstream: &Domain) -> Mapping {
        let relation = Arc::new(Relation::Asked(asked));
        Mapping { upstream: upstream.clone(), downstream: downstream.clone(), relation }
    }

    /// The record of what was asked for, if this is such a mapping.
    pub fn as_asked(&self) -> Option<&Asked> {
        match &*self.relation {
            Relation::Asked(asked) => Some(asked),
            Relation::All
            | Relation::Last(_)
            | Relation::Same
            | Relation::ByKey(_)
            | Relation::Table(..)
            | Relation::Overlap(_)
            | Relation::Dimensions(_) => None,
        }
    }

    /// Upstream partitions that any of `downstream` reads (the preimage).
    pub fn upstream_of(&self, downstream: &PartitionSet) -> PartitionSet {
        let (up, down) = (&self.upstream, &self.downstream);
        if downstream.is_empty() {
            return PartitionSet::new();
        }
        match &*self.relation {
            Relation::All => up.all().clone(),
            Relation::Last(last) => last.clone(),
            Relation::Same => downstream & up.all(),
            Relation::ByKey(translation) | Relation::Table(translation, _) => {
                translation.upstream_of(up, down, downstream) & up.all()
            }
            Relation::Overlap(overlap) => overlap.upstream_of(up, down, downstream),
            Relation::Dimensions(dimensions) => dimensions.upstream_of(up, down, downstream),
            Relation::Asked(asked) => asked.upstream_of(downstream) & up.all(),
        }
    }

    /// Upstream partitions that one partition reads, existing ones only.
    pub fn upstream_of_one(&self, downstream: PartitionIdx) -> PartitionSet {
        self.upstream_of(&[downstream].into_iter().collect())
    }

    /// Downstream partitions that read any of `upstream` (the image). `upstream` may hold indexes that
    /// no longer exist in its domain: a removed file still has an image.
    pub fn downstream_of(&self, upstream: &PartitionSet) -> PartitionSet {
        let (up, down) = (&self.upstream, &self.downstream);
        if upstream.is_empty() {
            return PartitionSet::new();
        }
        match &*self.relation {
            Relation::All => down.all().clone(),
            Relation::Last(last) if last.is_disjoint(upstream) => PartitionSet::new(),
            Relation::Last(_) => down.all().clone(),
            Relation::Same => upstream & down.all(),
            Relation::ByKey(translation) | Relation::Table(translation, _) => {
                translation.downstream_of(up, down, upstream) & down.all()
            }
            Relation::Overlap(overlap) => overlap.downstream_of(up, down, upstream),
            Relation::Dimensions(dimensions) => dimensions.downstream_of(up, down, upstream),
            Relation::Asked(asked) => asked.downstream_of(upstream) & down.all(),
        }
    }

    /// Adds to `set` all of `within` that reads it, however far: for a mapping of an asset to itself.
    pub fn spread(&self, set: &mut PartitionSet, within: &PartitionSet) {
        let mut front = set.clone();
        while !front.is_empty() {
            front = &(self.downstream_of(&front) & within) - &*set;
            *set |= &front;
        }
    }

    /// Keys that the mapping names for `downstream` but that do not exist upstream.
    pub fn absent(&self, downstream: PartitionIdx) -> Vec<PartitionKey> {
        let (up, down) = (&self.upstream, &self.downstream);
        match &*self.relation {
            Relation::All | Relation::Last(_) | Relation::Asked(_) => Vec::new(),
            Relation::Same if up.all().contains(downstream) => Vec::new(),
            Relation::Same => up.key(downstream).into_iter().collect(),
            Relation::ByKey(_) => {
                let key = down.key(downstream);
                key.filter(|key| up.index(key.as_str()).is_none()).into_iter().collect()
            }
            Relation::Table(_, pairs) => {
                let Some(own) = down.key(downstream) else { return Vec::new() };
                let named = pairs.iter().filter(|(_, key)| *key == own).map(|(key, _)| key);
                named.filter(|key| up.index(key.as_str()).is_none()).cloned().collect()
            }
            Relation::Overlap(overlap) => overlap.absent(up, down, downstream),
            Relation::Dimensions(dimensions) => dimensions.absent(up, down, downstream),
        }
    }

    /// Those of `downstream` for which the mapping names a key that does not exist upstream: all for which
    /// [`Mapping::absent`] tells of any.
    pub fn lacking(&self, downstream: &PartitionSet) -> PartitionSet {
        match &*self.relation {
            Relation::All | Relation::Last(_) | Relation::Asked(_) => PartitionSet::new(),
            Relation::Same => downstream - self.upstream.all(),
            Relation::ByKey(_)
            | Relation::Table(..)
            | Relation::Overlap(_)
            | Relation::Dimensions(_) => {
                downstream.iter().filter(|part| !self.absent(*part).is_empty()).collect()
            }
        }
    }

    /// True if every downstream partition reads the same upstream set (`all`, `last(n)`): then one look
    /// serves all of them.
    pub fn is_constant(&self) -> bool {
        match &*self.relation {
            Relation::All | Relation::Last(_) => true,
            Relation::Same
            | Relation::ByKey(_)
            | Relation::Table(..)
            | Relation::Overlap(_)
            | Relation::Dimensions(_)
            | Relation::Asked(_) => false,
        }
    }

    /// True if what a partition reads follows from its key alone, whichever other keys there are.
    pub fn is_by_key(&self) -> bool {
        match &*self.relation {
            Relation::Same
            | Relation::ByKey(_)
            | Relation::Table(..)
            | Relation::Overlap(_)
            | Relation::Asked(_) => true,
            Relation::All | Relation::Last(_) | Relation::Dimensions(_) => false,
        }
    }

    /// True if a partition is given to a step as one file; false if as a directory, whatever the count.
    pub fn is_single(&self) -> bool {
        match &*self.relation {
            Relation::All => self.upstream.def().is_unpartitioned(),
            Relation::Last(_) | Relation::Asked(_) => false,
            Relation::Same | Relation::ByKey(_) => true,
            // As declared: keys that come or go give no step another form of its input.
            Relation::Table(_, pairs) => {
                let mut back: Vec<_> = pairs.iter().map(|(up, down)| (down, up)).collect();
                back.sort_unstable();
                back.dedup();
                back.windows(2).all(|two| two[0].0 != two[1].0)
            }
            Relation::Dimensions(dimensions) => dimensions.is_single(&self.upstream),
            Relation::Overlap(overlap) => {
                overlap.is_one_window() && is_within(self.downstream.def(), self.upstream.def())
            }
        }
    }
}

impl Relation {
    fn new(def: &MappingDef, up: &Domain, down: &Domain) -> Result<Relation, MappingError> {
        let needs_time = || MappingError::NotTimeWindows { mapping: def.to_string() };
        let is_time = |domain: &Domain| match domain.shape() {
            Shape::Multi(multi) => multi.major().domain.calendar().is_some(),
            Shape::Time(_) => true,
            Shape::One | Shape::Keys { .. } | Shape::Broken => false,
        };
        match def {
            MappingDef::Default => Relation::inferred(up, down),
            MappingDef::Identity => Ok(Relation::identity(up, down)),
            MappingDef::TimeOverlap | MappingDef::Window { .. } => {
                if !is_time(up) || !is_time(down) {
                    return Err(needs_time());
                }
                match (def, up.shape(), down.shape()) {
                    (MappingDef::Window { from, to }, Shape::Time(_), Shape::Time(calendar)) => {
                        Ok(Relation::Overlap(Overlap::new(*from, *to, calendar)?))
                    }
                    (_, Shape::Time(_), Shape::Time(_)) => Ok(Relation::Overlap(Overlap::plain())),
                    (_, _, _) => Ok(Relation::Dimensions(Dimensions::of_time(def, up, down)?)),
                }
            }
            MappingDef::All => Ok(Relation::All),
            MappingDef::Asked => Ok(Relation::Asked(Arc::default())),
            MappingDef::Last(count) => Ok(Relation::Last(up.last(*count))),
            MappingDef::Static(pairs) => {
                Ok(Relation::Table(Translation::table(up, down, pairs), pairs.clone()))
            }
            MappingDef::Dimension(name) => {
                Ok(Relation::Dimensions(Dimensions::named(name, up, down)?))
            }
        }
    }

    fn inferred(up: &Domain, down: &Domain) -> Result<Relation, MappingError> {
        match (up.shape(), down.shape()) {
            (Shape::One, _) | (_, Shape::One) => Ok(Relation::All),
            (Shape::Time(_), Shape::Time(_)) => Ok(Relation::Overlap(Overlap::plain())),
            (_, _) if up.shares_indexes(down) => Ok(Relation::Same),
            (_, _) => match Dimensions::inferred(up, down)? {
                Some(dimensions) => Ok(Relation::Dimensions(dimensions)),
                None => Ok(Relation::identity(up, down)),
            },
        }
    }

    fn identity(up: &Domain, down: &Domain) -> Relation {
        if up.shares_indexes(down) {
            return Relation::Same;
        }
        Relation::ByKey(Translation::identity(up, down))
    }
}

/// True if each window of `inner` is sure to lie within one window of `outer`.
fn is_within(inner: &PartitionsDef, outer: &PartitionsDef) -> bool {
    let (PartitionsDef::TimeWindow(inner), PartitionsDef::TimeWindow(outer)) = (inner, outer)
    else {
        return false;
    };
    if inner.timezone != outer.timezone {
        return false;
    }
    match (&inner.cadence, &outer.cadence) {
        (a, b) if a == b => true,
        (Cadence::Hourly { minute: a }, Cadence::Daily { hour: 0, minute: b })
        | (Cadence::Hourly { minute: a }, Cadence::Weekly { hour: 0, minute: b, .. })
        | (Cadence::Hourly { minute: a }, Cadence::Monthly { hour: 0, minute: b, .. }) => a == b,
        (
            Cadence::Daily { hour: a, minute: b },
            Cadence::Weekly { hour: c, minute: d, .. }
            | Cadence::Monthly { hour: c, minute: d, .. },
        ) => (a, b) == (c, d),
        (
            Cadence::Hourly { .. }
            | Cadence::Daily { .. }
            | Cadence::Weekly { .. }
            | Cadence::Monthly { .. }
            | Cadence::Cron(_),
            _,
        ) => false,
    }
}
