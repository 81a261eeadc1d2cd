//! Typed names: of what was declared, of partitions, and values by partition.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::base::PartitionKey;

/// A declared asset or source whose partitions have values of type `V`. It is what inputs and queries name;
/// cloning it is cheap, and a handle of another project is refused ([`Error::Foreign`](super::Error::Foreign)).
///
/// ```
/// use giornata::api::{Handle, Project, Table};
/// let mut project = Project::new("weather", ".");
/// let rain: Handle<Table> = project.source("rain").files("data/*.csv");
/// assert_eq!(rain.name(), "rain");
/// ```
pub struct Handle<V> {
    pub(super) place: Reference,
    value: PhantomData<fn() -> V>,
}

/// A declaration of a project, without its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// Of the project that declared it, unique in this process.
    pub(super) project: u64,
    pub(super) index: usize,
    pub(super) name: Arc<str>,
}

impl<V> Handle<V> {
    pub(super) fn new(place: Reference) -> Handle<V> {
        Handle { place, value: PhantomData }
    }

    /// The name that it was declared with; see the example of [`Handle`].
    pub fn name(&self) -> &str {
        &self.place.name
    }
}

impl<V> Clone for Handle<V> {
    fn clone(&self) -> Handle<V> {
        Handle::new(self.place.clone())
    }
}

impl<V> fmt::Debug for Handle<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle<{}>({})", std::any::type_name::<V>(), self.place.name)
    }
}

/// What names one partition: its key as text, or `()` for an asset without partitions.
///
/// ```
/// use giornata::api::{IntoPartition, PartitionKey};
/// assert_eq!("2014-07".into_partition(), PartitionKey::new("2014-07"));
/// assert!(().into_partition().is_unpartitioned());
/// ```
pub trait IntoPartition {
    /// The key; whether there is such a partition is seen only where it is asked for. See the example of
    /// [`IntoPartition`].
    fn into_partition(self) -> PartitionKey;
}

impl IntoPartition for () {
    fn into_partition(self) -> PartitionKey {
        PartitionKey::unpartitioned()
    }
}

impl IntoPartition for &str {
    fn into_partition(self) -> PartitionKey {
        PartitionKey::new(self)
    }
}

impl IntoPartition for String {
    fn into_partition(self) -> PartitionKey {
        PartitionKey::new(self)
    }
}

impl IntoPartition for &String {
    fn into_partition(self) -> PartitionKey {
        PartitionKey::new(self.as_str())
    }
}

impl IntoPartition for PartitionKey {
    fn into_partition(self) -> PartitionKey {
        self
    }
}

impl IntoPartition for &PartitionKey {
    fn into_partition(self) -> PartitionKey {
        self.clone()
    }
}

/// Values by partition, in the order of their windows or keys: what an input of several partitions is,
/// whether there are many, one or none (in Dagster its shape changes with their number). A source of
/// several files has a value for each file, under its path.
///
/// ```
/// use giornata::api::{PartitionKey, Parts};
/// let parts: Parts<u32> = [("a", 1), ("b", 2)]
///     .map(|(key, value)| (PartitionKey::new(key), value))
///     .into_iter()
///     .collect();
/// assert_eq!(parts.get("b"), Some(&2));
/// assert_eq!(parts.get("c"), None);
/// assert_eq!((parts.len(), parts.is_empty()), (2, false));
/// assert_eq!(parts.values().sum::<u32>(), 3);
/// assert!(parts.keys().map(|key| key.as_str()).eq(["a", "b"]));
/// let (last, value) = parts.iter().next_back().unwrap();
/// assert_eq!((last.as_str(), *value), ("b", 2));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<T>(Vec<(PartitionKey, T)>);

impl<T> Parts<T> {
    /// How many partitions there are; see the example of [`Parts`].
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none; see the example of [`Parts`].
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys with their values, in the order of the partitions; see the example of [`Parts`].
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&PartitionKey, &T)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys, in the order of the partitions; see the example of [`Parts`].
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &PartitionKey> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, in the order of the partitions; see the example of [`Parts`].
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The value of one partition, by its key; it is searched from the first on. See the example of [`Parts`].
    pub fn get(&self, key: &str) -> Option<&T> {
        self.0.iter().find(|(own, _)| own.as_str() == key).map(|(_, value)| value)
    }
}

impl<T> FromIterator<(PartitionKey, T)> for Parts<T> {
    fn from_iter<I: IntoIterator<Item = (PartitionKey, T)>>(parts: I) -> Parts<T> {
        Parts(parts.into_iter().collect())
    }
}

impl<T> IntoIterator for Parts<T> {
    type Item = (PartitionKey, T);
    type IntoIter = std::vec::IntoIter<(PartitionKey, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
