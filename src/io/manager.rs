//! IO managers: where values are put and found again, one partition at a time.
//!
//! A manager is asked for one value at one place, so that what it gives never depends on how many there are.
//! With each value it keeps the version that it was given: whoever compares versions need not read values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Table;
use crate::base::{Digest, PartitionKey};

/// What a manager may fail with.
pub type IoError = Box<dyn std::error::Error + Send + Sync>;

/// A value in the form in which it is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    Table(Table),
    /// `extension` is that of the file's name, without the dot; it may be empty.
    Bytes {
        bytes: Vec<u8>,
        extension: Cow<'static, str>,
    },
}

/// Which value: of what, at which output, for which partition.
///
/// ```
/// use giornata::base::PartitionKey;
/// use giornata::io::Place;
/// let place = Place::of("mart/revenue", PartitionKey::new("2014-07"));
/// assert_eq!(place.to_string(), "mart/revenue@2014-07");
/// let step = Place { output: "rejected".to_owned(), ..Place::of("nightly/load", PartitionKey::unpartitioned()) };
/// assert_eq!(step.to_string(), "nightly/load.rejected");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// An asset (`mart/revenue`), or a step of a job (`nightly/load`).
    pub name: String,
    /// Of a step of a job; empty for an asset.
    pub output: String,
    /// Of an asset; of a step: the piece. Any characters.
    pub partition: PartitionKey,
}

impl Place {
    /// The one value of an asset for a partition.
    pub fn of(name: &str, partition: PartitionKey) -> Place {
        Place { name: name.to_owned(), output: String::new(), partition }
    }

    /// The value at an output of a step of a job, `job/step`: of a run for a partition, and of a piece, if
    /// there are such.
    pub fn of_step(
        name: &str,
        output: &str,
        partition: &PartitionKey,
        piece: Option<&str>,
    ) -> Place {
        let partition = match piece {
            None => partition.clone(),
            Some(piece) if partition.is_unpartitioned() => PartitionKey::new(piece),
            Some(piece) => PartitionKey::new(format!("{partition}|{piece}")),
        };
        Place { name: name.to_owned(), output: output.to_owned(), partition }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        if !self.output.is_empty() {
            write!(f, ".{}", self.output)?;
        }
        if !self.partition.is_unpartitioned() {
            write!(f, "@{}", self.partition)?;
        }
        Ok(())
    }
}

/// The version of each partition that a manager has of one thing.
pub type Versions = BTreeMap<PartitionKey, Digest>;

/// Puts values somewhere and finds them again.
///
/// The suite [`check_io_manager`](../testing/fn.check_io_manager.html) says what each must do; a manager of
/// your own is tested by one call of it.
///
/// ```
/// use std::sync::Mutex;
/// use giornata::api::{Io, job, op};
/// use giornata::base::Digest;
/// use giornata::io::{IoError, IoManager, Kept, Place, Versions};
///
/// /// Keeps values in a list, the newest last.
/// #[derive(Default)]
/// struct Pile(Mutex<Vec<(Place, Digest, Kept)>>);
///
/// impl Pile {
///     fn with<T>(&self, f: impl FnOnce(&mut Vec<(Place, Digest, Kept)>) -> T) -> Result<T, IoError> {
///         Ok(f(&mut *self.0.lock().map_err(|_| "poisoned")?))
///     }
/// }
///
/// impl IoManager for Pile {
///     fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
///         self.remove(at)?;
///         self.with(|pile| pile.push((at.clone(), *version, value.clone())))
///     }
///
///     fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
///         self.with(|pile| pile.iter().find(|it| it.0 == *at).map(|it| it.2.clone()))
///     }
///
///     fn remove(&self, at: &Place) -> Result<(), IoError> {
///         self.with(|pile| pile.retain(|it| it.0 != *at))
///     }
///
///     fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
///         let is_of = |it: &&(Place, Digest, Kept)| it.0.name == name && it.0.output == output;
///         self.with(|pile| pile.iter().filter(is_of).map(|it| (it.0.partition.clone(), it.1)).collect())
///     }
/// }
///
/// let one = op("one").run(|_| Ok(1_i64));
/// let add = op("add").input::<i64>("n").run(|_, n| Ok(n + 1));
/// let sum = job("sum").io(&Io::of(Pile::default())).define(|g| { add.call(g, one.call(g)); });
/// assert_eq!(sum.execute_in_process()?.value::<i64>("add")?, 2);
/// giornata::testing::check_io_manager(|| Box::new(Pile::default()), &[]);
/// # Ok::<(), IoError>(())
/// ```
pub trait IoManager: Send + Sync {
    /// Puts a value in the place of what is there, whole or not at all. What is there with this version
    /// already may stay.
    fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError>;

    /// The value as it was stored; `None` if there is none.
    fn load(&self, at: &Place) -> Result<Option<Kept>, IoError>;

    /// Removes the value, if there is one.
    fn remove(&self, at: &Place) -> Result<(), IoError>;

    /// The versions with which values of this name and output were stored, of those that are still there.
    fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError>;

    /// Assets of which it has values that this project has stored: what is renamed or removed from the
    /// project is found by them. A manager that does not know gives none.
    fn names(&self) -> Result<Vec<String>, IoError> {
        Ok(Vec::new())
    }

    /// Removes all values of an asset.
    fn remove_all(&self, name: &str) -> Result<(), IoError> {
        for partition in self.versions(name, "")?.into_keys() {
            self.remove(&Place::of(name, partition))?;
        }
        Ok(())
    }
}
