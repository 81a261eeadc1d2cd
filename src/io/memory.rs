//! Keeps values in memory, as long as the program runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{IoError, IoManager, Kept, Place, Versions};
use crate::base::Digest;

/// An IO manager in memory: for tests, and for what need not outlive a run.
///
/// ```
/// use giornata::base::{Digest, PartitionKey};
/// use giornata::io::{IoManager, Kept, MemoryIo, Place};
/// let memory = MemoryIo::default();
/// let place = Place::of("letter", PartitionKey::new("a"));
/// let value = Kept::Bytes { bytes: b"dear a".to_vec(), extension: "txt".into() };
/// memory.store(&place, &value, &Digest::of_blob(b"dear a"))?;
/// assert_eq!(memory.load(&place)?, Some(value));
/// # Ok::<(), giornata::io::IoError>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryIo(Mutex<BTreeMap<Place, (Digest, Kept)>>);

impl MemoryIo {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, (Digest, Kept)>> {
        // A map is whole after each of its changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IoManager for MemoryIo {
    fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
        if let Kept::Table(table) = value {
            table.check_whole()?;
        }
        self.lock().insert(at.clone(), (*version, value.clone()));
        Ok(())
    }

    fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
        Ok(self.lock().get(at).map(|(_, value)| value.clone()))
    }

    fn remove(&self, at: &Place) -> Result<(), IoError> {
        self.lock().remove(at);
        Ok(())
    }

    fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
        let values = self.lock();
        let own = values.iter().filter(|(at, _)| at.name == name && at.output == output);
        Ok(own.map(|(at, (version, _))| (at.partition.clone(), *version)).collect())
    }

    fn names(&self) -> Result<Vec<String>, IoError> {
        let values = self.lock();
        let assets = values.keys().filter(|at| at.output.is_empty());
        let names: BTreeSet<String> = assets.map(|at| at.name.clone()).collect();
        Ok(names.into_iter().collect())
    }
}
