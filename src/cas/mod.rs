//! Bytes under the BLAKE3 hash of their content: written once, verified when read, swept when unused.
//!
//! A blob is complete before it has its name: it is written under a temporary name on the same file
//! system and renamed. What was put since the last [`Cas::sync`] may be lost in a power cut, so the
//! caller syncs before it commits a row that names a blob. Which blobs are in use is not known here.

mod blob;
mod dirs;
mod error;
mod export;
mod hash;
pub mod lock;
pub mod stat;
mod sweep;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use crate::base::{Digest, Durability};

pub use dirs::Dirs;
pub use error::Error;
pub use hash::{Hashed, hash_file, hash_files};
pub use sweep::{BlobInfo, Exclusive, Lease, Swept};

/// The content store below one directory (`.giornata`).
///
/// ```
/// use giornata::base::Durability;
/// use giornata::cas::Cas;
/// let dir = tempfile::tempdir().unwrap();
/// let cas = Cas::open(dir.path(), Durability::Batch).unwrap();
/// let put = cas.put_bytes(b"a,b\n1,2\n").unwrap();
/// cas.sync().unwrap();
/// assert_eq!(cas.read(&put.digest).unwrap(), b"a,b\n1,2\n");
/// ```
#[derive(Debug)]
pub struct Cas {
    dir: PathBuf,
    durability: Durability,
    /// What was put since the last sync.
    pending: Mutex<BTreeSet<Digest>>,
    /// Held while syncing: who finds nothing pending must not go on before it is on disk.
    syncing: Mutex<()>,
    /// Made at the first write, so that reading leaves no trace.
    scratch: OnceLock<Scratch>,
}

/// A directory for temporary files that is swept once its lock can be taken.
#[derive(Debug)]
struct Scratch {
    dir: PathBuf,
    // Held for the life of the value; removes its file when dropped.
    _lock: lock::LockFile,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file that is left here goes at the next open.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// What [`Cas::put_file`] and [`Cas::put_bytes`] stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    pub digest: Digest,
    pub size: u64,
}

/// What [`Cas::verify`] found under a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The content has this hash.
    Sound {
        size: u64,
    },
    Missing,
    /// The content has another hash.
    Corrupt {
        actual: Digest,
    },
}

impl Cas {
    /// Opens the store below `dir` and removes temporary files that dead processes left. Creates
    /// nothing: directories appear with the first blob.
    pub fn open(dir: &Path, durability: Durability) -> Result<Cas, Error> {
        let cas = Cas {
            dir: dir.to_owned(),
            durability,
            pending: Mutex::default(),
            syncing: Mutex::default(),
            scratch: OnceLock::new(),
        };
        cas.remove_leftovers()?;
        Ok(cas)
    }

    /// Where the blob with this digest is, if it is there.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_string();
        self.blobs_dir().join(&hex[..2]).join(&hex[2..])
    }

    fn blobs_dir(&self) -> PathBuf {
        self.dir.join("blobs")
    }

    fn scratch_root(&self) -> PathBuf {
        self.dir.join("tmp")
    }
}

#[cfg(test)]
mod tests;
