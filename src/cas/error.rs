//! What can go wrong with a blob or with a file that is hashed.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::Digest;

/// Why a blob could not be stored, read, or trusted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("blob {} is missing at {}; the result that needs it has to be made again", digest.short(), path.display())]
    Missing { digest: Digest, path: PathBuf },
    #[error(
        "blob {} is corrupt: its content has the hash {actual}; `giornata doctor --deep` takes note of it, and the next run makes the result that needs it again",
        digest
    )]
    Corrupt { digest: Digest, actual: Digest },
    #[error("{} kept changing while it was read; try again when its writer has finished", path.display())]
    Unstable { path: PathBuf },
    #[error("{} is not a regular file, so it cannot be stored as one", path.display())]
    NotAFile { path: PathBuf },
    #[error("cannot sweep {}: a run is using it; try again when it has ended", dir.display())]
    InUse { dir: PathBuf },
    #[error("cannot {action} {}: the disk is full; free some space and run again", path.display())]
    Full { action: &'static str, path: PathBuf },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Says what was tried with which path; a full disk has an error of its own.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::Full { action, path }
            }
            _other => Error::Io { action, path, source },
        }
    }
}
