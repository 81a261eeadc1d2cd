//! A domain: the partitions of one definition that exist at a point of time.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::calendar::Calendar;
use super::multi::MultiDomain;
use super::{KeyTable, PartitionsDef, TimeWindowDef, select, sorted};
use crate::base::{Digest, PartitionIdx, PartitionKey, PartitionSet, TimeWindow};

/// The partitions of one definition that exist as of some moment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Domain {
    def: Arc<PartitionsDef>,
    inner: Arc<Inner>,
}

#[derive(Debug, PartialEq)]
struct Inner {
    all: PartitionSet,
    shape: Shape,
    problem: Option<String>,
}

/// What the indexes of a domain are.
#[derive(Debug, PartialEq)]
pub(super) enum Shape {
    /// Index 0 only.
    One,
    Time(Box<Calendar>),
    Keys {
        table: Arc<KeyTable>,
        /// As declared, for a static set; a dynamic one is in the order of its keys.
        declared: Option<Vec<PartitionIdx>>,
    },
    Multi(MultiDomain),
    /// A definition that `validate` refuses has no partitions.
    Broken,
}

impl PartialEq for Domain {
    fn eq(&self, other: &Domain) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            || (self.def == other.def && self.inner == other.inner)
    }
}

impl Domain {
    /// `tables` holds the key tables named by [`PartitionsDef::key_tables`]; a missing one counts as
    /// empty. Static keys that their table lacks are numbered as if they were appended.
    pub fn resolve(
        def: Arc<PartitionsDef>,
        now: DateTime<Utc>,
        tables: &BTreeMap<String, Arc<KeyTable>>,
    ) -> Domain {
        let inner = match &*def {
            PartitionsDef::Unpartitioned => Inner::new([0].into_iter().collect(), Shape::One),
            PartitionsDef::TimeWindow(window) => Inner::time(window, now),
            PartitionsDef::Static(keys) => Inner::fixed(keys, &table(&def, tables)),
            PartitionsDef::Dynamic(_) => {
                let table = table(&def, tables);
                Inner::new(table.present().clone(), Shape::Keys { table, declared: None })
            }
            PartitionsDef::Multi(dimensions) => {
                match MultiDomain::resolve(dimensions, now, tables) {
                    Ok((domain, all)) => Inner::new(all, Shape::Multi(domain)),
                    Err(problem) => Inner::broken(problem),
                }
            }
        };
        Domain { def, inner: Arc::new(inner) }
    }

    pub fn def(&self) -> &PartitionsDef {
        &self.def
    }

    /// Why the domain has no partitions although it is declared: a definition that `validate`
    /// refuses, or dimensions with more combinations than there are indexes.
    pub fn problem(&self) -> Option<&str> {
        self.inner.problem.as_deref()
    }

    /// Says what the indexes mean, as [`PartitionsDef::index_space`], and for several dimensions also
    /// how they are packed.
    pub fn index_space(&self) -> String {
        match &self.inner.shape {
            Shape::Multi(domain) => domain.index_space(),
            Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken => {
                self.def.index_space()
            }
        }
    }

    /// Every existing partition.
    pub fn all(&self) -> &PartitionSet {
        &self.inner.all
    }

    pub fn len(&self) -> u64 {
        self.inner.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.inner.all.is_empty()
    }

    /// The key of an index, existing or not (an orphan's record still has a name). `None`: the index
    /// has no meaning in this domain.
    pub fn key(&self, index: PartitionIdx) -> Option<PartitionKey> {
        match &self.inner.shape {
            Shape::One => (index == 0).then(PartitionKey::unpartitioned),
            Shape::Time(calendar) => calendar.key(i64::from(index)).map(PartitionKey::new),
            Shape::Keys { table, .. } => table.key(index).cloned(),
            Shape::Multi(domain) => domain.key(index),
            Shape::Broken => None,
        }
    }

    /// The index of exactly this key, if it exists.
    pub fn index(&self, key: &str) -> Option<PartitionIdx> {
        self.any_index(key).filter(|index| self.inner.all.contains(*index))
    }

    /// The index of exactly this key, whether it exists or not: a window that is not over, a file
    /// that is gone. `None`: no partition of this domain was or could be called that.
    pub fn any_index(&self, key: &str) -> Option<PartitionIdx> {
        match &self.inner.shape {
            Shape::One => key.is_empty().then_some(0),
            Shape::Time(calendar) => PartitionIdx::try_from(calendar.parse_key(key)?).ok(),
            Shape::Keys { table, .. } => table.index(key),
            Shape::Multi(domain) => domain.any_index(key),
            Shape::Broken => None,
        }
    }

    /// Existing partitions in key order, for a screen: time domains by time, static ones as declared,
    /// dynamic ones by key.
    pub fn ordered(&self) -> Vec<PartitionIdx> {
        match &self.inner.shape {
            Shape::One | Shape::Time(_) | Shape::Broken => self.inner.all.iter().collect(),
            Shape::Keys { declared: Some(order), .. } => order.clone(),
            Shape::Keys { table, declared: None } => {
                let exists = |index: &PartitionIdx| self.inner.all.contains(*index);
                table.by_key().iter().copied().filter(exists).collect()
            }
            Shape::Multi(domain) => domain.ordered(),
        }
    }

    /// The last `count` existing partitions in key order; for several dimensions, all those with one of
    /// the last `count` keys of the time dimension.
    pub fn last(&self, count: u32) -> PartitionSet {
        match &self.inner.shape {
            Shape::One | Shape::Time(_) | Shape::Broken => {
                let mut last = self.inner.all.clone();
                last.remove_smallest(last.len().saturating_sub(u64::from(count)));
                last
            }
            Shape::Keys { .. } => self.ordered().into_iter().rev().take(count as usize).collect(),
            Shape::Multi(domain) => {
                let major = domain.major();
                domain.with(&major.name, &major.domain.last(count), &self.inner.all)
            }
        }
    }

    /// The span of time of a partition of a time-window domain (of the time dimension, for several).
    pub fn window(&self, index: PartitionIdx) -> Option<TimeWindow> {
        match &self.inner.shape {
            Shape::Time(calendar) => {
                let number = i64::from(index);
                Some(TimeWindow { start: calendar.start(number)?, end: calendar.end(number)? })
            }
            Shape::Multi(domain) => domain.window(index),
            Shape::One | Shape::Keys { .. } | Shape::Broken => None,
        }
    }

    /// The keys of a partition by dimension; empty for a domain without such.
    pub fn dimensions(&self, index: PartitionIdx) -> Vec<(String, PartitionKey)> {
        match &self.inner.shape {
            Shape::Multi(domain) => domain.keys(index),
            Shape::One | Shape::Time(_) | Shape::Keys { .. } | Shape::Broken => Vec::new(),
        }
    }

    /// Canonical text of a set: `2024-01-01..2024-01-31`, `a,b,c`; each item one of the result.
    pub fn render(&self, set: &PartitionSet) -> Vec<String> {
        select::render(self, set)
    }

    /// The first items of that text, at most so many, and how many more there are: those are not written.
    pub fn render_first(&self, set: &PartitionSet, most: usize) -> (Vec<String>, usize) {
        select::render_first(self, set, most)
    }

    /// A digest of which partitions exist, in constant time for time windows.
    pub fn extent(&self) -> Digest {
        let mut digest = Digest::builder("giornata 2026 domain extent");
        digest.part(self.def.spec()).part(self.index_space());
        match &self.inner.shape {
            Shape::One | Shape::Broken => {}
            // The definition and the two ends say it all.
            Shape::Time(_) => {
                let ends = [self.inner.all.min(), self.inner.all.max()];
                for end in ends.into_iter().flatten() {
                    digest.number(u64::from(end));
                }
            }
            Shape::Keys { .. } | Shape::Multi(_) => {
                let mut bytes = Vec::with_capacity(self.inner.all.serialized_size());
                self.inner.all.serialize_into(&mut bytes).expect("memory takes any bytes");
                digest.digest(&Digest::of_blob(&bytes));
            }
        }
        digest.finish()
    }

    /// True if an index means the same partition in both.
    pub(super) fn shares_indexes(&self, other: &Domain) -> bool {
        match (&self.inner.shape, &other.inner.shape) {
            (Shape::Keys { table: a, .. }, Shape::Keys { table: b, .. }) => {
                self.def.index_space() == other.def.index_space()
                    && (Arc::ptr_eq(a, b) || a.keys() == b.keys())
            }
            (Shape::Multi(a), Shape::Multi(b)) => a.shares_indexes(b),
            (Shape::One | Shape::Time(_), _) => self.def.index_space() == other.def.index_space(),
            (Shape::Keys { .. } | Shape::Multi(_) | Shape::Broken, _) => false,
        }
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.inner.shape
    }

    pub(super) fn calendar(&self) -> Option<&Calendar> {
        match &self.inner.shape {
            Shape::Time(calendar) => Some(calendar),
            Shape::One | Shape::Keys { .. } | Shape::Multi(_) | Shape::Broken => None,
        }
    }
}

impl Inner {
    fn new(mut all: PartitionSet, shape: Shape) -> Inner {
        // Mostly one range: then an operation on whole domains costs as much as on one partition.
        all.optimize();
        Inner { all, shape, problem: None }
    }

    fn broken(problem: String) -> Inner {
        Inner { all: PartitionSet::new(), shape: Shape::Broken, problem: Some(problem) }
    }

    fn time(def: &TimeWindowDef, now: DateTime<Utc>) -> Inner {
        match Calendar::new(def) {
            Ok(calendar) => {
                Inner::new(def.existing(&calendar, now), Shape::Time(Box::new(calendar)))
            }
            Err(error) => Inner::broken(error.to_string()),
        }
    }

    fn fixed(keys: &[PartitionKey], table: &KeyTable) -> Inner {
        // In the order of their text, so that declaring them in another order moves nothing.
        let table = table.with_exactly(&sorted(keys));
        let mut seen = PartitionSet::new();
        let new = |index: &PartitionIdx| seen.insert(*index);
        let declared =
            keys.iter().filter_map(|key| table.index(key.as_str())).filter(new).collect();
        Inner::new(table.present().clone(), Shape::Keys { table, declared: Some(declared) })
    }
}

fn table(def: &PartitionsDef, tables: &BTreeMap<String, Arc<KeyTable>>) -> Arc<KeyTable> {
    def.key_tables().first().and_then(|name| tables.get(name)).cloned().unwrap_or_default()
}
