//! What can go wrong with the database, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store could not be opened, read, or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{} was made by a newer giornata (its format is {found}, this program knows {known}); use that version, or move the directory away to start anew",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("cannot write {}: the file or its directory is read-only; check its permissions and how its disk is mounted", path.display())]
    ReadOnly { path: PathBuf },
    #[error("cannot open {}, or make files beside it; check the permissions of its directory", path.display())]
    NotOpened { path: PathBuf },
    #[error("cannot write {}: the disk is full; free some space and run again", path.display())]
    Full { path: PathBuf },
    #[error(
        "{} is damaged: {detail}; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup",
        path.display()
    )]
    Damaged { path: PathBuf, detail: String },
    #[error(
        "{} is on a network file system ({kind}), where locks cannot be relied on and the database can be damaged; keep the project on a local disk, or say `network_disk = \"allow\"` under `[settings]` of giornata.toml if only one machine ever writes there",
        path.display()
    )]
    Network { path: PathBuf, kind: &'static str },
    #[error("{} has been locked by another process for {} s; see what is running there and try again", path.display(), super::BUSY_MS / 1000)]
    Busy { path: PathBuf },
    #[error("{} has used up its {} revisions; move it away to start anew", path.display(), u32::MAX)]
    RevisionsExhausted { path: PathBuf },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use {}", path.display())]
    Sql {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
}

/// The file beside a log that its readers and writers share cannot grow (`SQLITE_IOERR_SHMSIZE`): of a full
/// disk SQLite says this first where nobody has the database open.
const SHM_SIZE: i32 = 10 | 19 << 8;

impl Error {
    /// Finds out what an error of SQLite means for the user.
    pub(super) fn sql(path: &Path, source: rusqlite::Error) -> Error {
        let path = path.to_owned();
        if source.sqlite_error().is_some_and(|error| error.extended_code == SHM_SIZE) {
            return Error::Full { path };
        }
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::Full { path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Error::ReadOnly { path },
            Some(ErrorCode::CannotOpen) => Error::NotOpened { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Error::Damaged { path, detail: source.to_string() }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy { path },
            _ => match source {
                rusqlite::Error::FromSqlConversionFailure(_, _, reason) => {
                    Error::Damaged { path, detail: reason.to_string() }
                }
                rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => {
                    Error::Damaged { path, detail: source.to_string() }
                }
                source => Error::Sql { path, source },
            },
        }
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::ReadOnly { path }
            }
            _other => Error::Io { action, path, source },
        }
    }
}

/// What SQLite would say of an error of the disk.
pub(super) fn of_disk(error: io::Error) -> rusqlite::Error {
    let code = match error.kind() {
        io::ErrorKind::StorageFull => rusqlite::ffi::SQLITE_FULL,
        io::ErrorKind::ReadOnlyFilesystem => rusqlite::ffi::SQLITE_READONLY,
        _other => rusqlite::ffi::SQLITE_IOERR,
    };
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(error.to_string()))
}

/// The error of a value that the column's type allows and that we never write.
pub(super) fn undecodable(what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        0,
        rusqlite::types::Type::Null,
        format!("it contains a bad {what}").into(),
    )
}
