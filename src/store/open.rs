//! Opens the database: creates it, brings it to the current format, refuses what cannot work.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::writeback::Writeback;
use super::{BUSY_MS, Error, Store, schema};
use crate::base::{Durability, NetworkDisk};

/// How to open a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    pub durability: Durability,
    pub network: NetworkDisk,
}

impl Store {
    /// Opens the database in `dir` (`.giornata`) for reading and writing, and creates both if need be.
    pub fn open(dir: &Path, durability: Durability) -> Result<Store, Error> {
        Store::open_with(dir, &OpenOptions { durability, network: NetworkDisk::Refuse })
    }

    pub fn open_with(dir: &Path, options: &OpenOptions) -> Result<Store, Error> {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        if let (NetworkDisk::Refuse, Some(kind)) = (options.network, network_kind(dir)) {
            return Err(Error::Network { path: dir.to_owned(), kind });
        }
        let path = dir.join(FILE);
        refuse_directory(&path)?;
        let mut conn = Connection::open(&path).map_err(|error| Error::sql(&path, error))?;
        prepare(&mut conn, dir, &path)?;
        let synchronous = match options.durability {
            Durability::Safe => "FULL",
            // With a write-ahead log, NORMAL can lose the last commits in a power cut, but not break.
            Durability::Batch | Durability::Fast => "NORMAL",
        };
        conn.pragma_update(None, "synchronous", synchronous)
            .and_then(|()| conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES))
            .map_err(|error| Error::sql(&path, error))?;
        let mut store = Store::over(conn, &path, options.durability)?;
        store.notice_boot()?;
        Ok(store)
    }

    /// A copy in memory of the database in `dir`: nothing on disk is written, and what is written to the
    /// copy is gone when it is dropped. Empty if there is no database.
    pub fn open_copy(dir: &Path) -> Result<Store, Error> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Store::in_memory(&path, None);
        }
        refuse_directory(&path)?;
        let conn = open_unwritten(&path)?;
        let found = format_of(&conn).map_err(|error| Error::sql(&path, error))?;
        if found > schema::FORMAT {
            return Err(Error::Newer { path, found, known: schema::FORMAT });
        }
        Store::in_memory(&path, Some(&conn))
    }

    /// A store of the current format that is gone when dropped, with the content of `source`.
    fn in_memory(path: &Path, source: Option<&Connection>) -> Result<Store, Error> {
        let fail = |error| Error::sql(path, error);
        let mut conn = Connection::open_in_memory().map_err(fail)?;
        if let Some(source) = source {
            let backup = rusqlite::backup::Backup::new(source, &mut conn).map_err(fail)?;
            backup.run_to_completion(1_000, Duration::ZERO, None).map_err(fail)?;
        }
        migrate(&mut conn, path)?;
        Store::over(conn, path, Durability::Batch)
    }

    fn over(conn: Connection, path: &Path, durability: Durability) -> Result<Store, Error> {
        conn.set_prepared_statement_cache_capacity(128);
        let busy = Duration::from_millis(BUSY_MS.into());
        conn.busy_timeout(busy).map_err(|error| Error::sql(path, error))?;
        Ok(Store {
            conn,
            path: path.to_owned(),
            durability,
            statements: Cell::new(0),
            ids: RefCell::new(HashMap::new()),
            writeback: Writeback::new(path),
            rebooted: false,
        })
    }
}

const FILE: &str = "giornata.db";

/// The log goes into the database when it has this many pages (16 MiB): each time costs a few syncs, for
/// which a run has to wait, and a small result adds about ten pages. A page at the end of a growing log costs
/// twice as much as one in the place of an older one, and a big log takes long to remove.
const CHECKPOINT_PAGES: u32 = 4_096;

/// SQLite says only that it cannot.
fn refuse_directory(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Err(Error::Damaged { path: path.to_owned(), detail: "it is a directory".into() });
    }
    Ok(())
}

fn format_of(conn: &Connection) -> rusqlite::Result<u32> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings a database to the current format. The usual case, that it has it, takes no lock.
fn prepare(conn: &mut Connection, dir: &Path, path: &Path) -> Result<(), Error> {
    let fail = |error| Error::sql(path, error);
    conn.busy_timeout(Duration::from_millis(BUSY_MS.into())).map_err(fail)?;
    let found = format_of(conn).map_err(fail)?;
    if found > schema::FORMAT {
        return Err(Error::Newer { path: path.to_owned(), found, known: schema::FORMAT });
    }
    if found == schema::FORMAT {
        // Says so early if the file can be read only, or is broken beyond its first page.
        return if conn.is_readonly("main").map_err(fail)? {
            Err(Error::ReadOnly { path: path.to_owned() })
        } else {
            Ok(())
        };
    }
    // Two processes may create it at once. Turning on the log fails at once if another has it open
    // in another mode, without waiting, so they take turns here.
    let lock_path = dir.join("migrate.lock");
    let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
    lock.lock().map_err(Error::io("lock", &lock_path))?;
    conn.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
    migrate(conn, path)
}

fn migrate(conn: &mut Connection, path: &Path) -> Result<(), Error> {
    schema::migrations().to_latest(conn).map_err(|error| match error {
        // Such an error holds the whole text of the tables.
        rusqlite_migration::Error::RusqliteError { query: _, err }
            if err.to_string().contains("already exists") =>
        {
            let detail = "it has tables and does not say of which format".to_owned();
            Error::Damaged { path: path.to_owned(), detail }
        }
        rusqlite_migration::Error::RusqliteError { query: _, err } => Error::sql(path, err),
        other => Error::Damaged { path: path.to_owned(), detail: other.to_string() },
    })
}

/// Opens the file so that it is not changed, in a directory where nothing can be created either.
fn open_unwritten(path: &Path) -> Result<Connection, Error> {
    let fail = |error| Error::sql(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(fail)?;
    let first = format_of(&conn);
    // A reader of a database with a log makes files beside it. Where it cannot and there is no log
    // whose content would be missed, the file alone is the whole state.
    let log = path.with_file_name(format!("{FILE}-wal"));
    let whole = fs::metadata(&log).map_or(true, |log| log.len() == 0);
    match first.map_err(fail) {
        Err(
            Error::ReadOnly { path: _ } | Error::NotOpened { path: _ } | Error::Full { path: _ },
        ) if whole => {
            let uri = format!("file:{}?immutable=1", escape(path));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).map_err(fail)
        }
        Ok(_) => Ok(conn),
        Err(error) => Err(error),
    }
}

/// A path as part of a `file:` address.
fn escape(path: &Path) -> String {
    use std::fmt::Write;
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a string does not fail");
        }
        text
    })
}

#[cfg(target_os = "linux")]
fn network_kind(dir: &Path) -> Option<&'static str> {
    network_name(rustix::fs::statfs(dir).ok()?.f_type as u64)
}

#[cfg(not(target_os = "linux"))]
fn network_kind(_dir: &Path) -> Option<&'static str> {
    None
}

/// The network file system with this magic number (`man 2 statfs`).
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "numbers of Linux"))]
fn network_name(magic: u64) -> Option<&'static str> {
    const KINDS: [(u64, &str); 7] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "SMB"),
        (0xFE53_4D42, "SMB"),
        (0x0102_1997, "9p"),
        (0x5346_414F, "AFS"),
        (0x00C3_6400, "Ceph"),
    ];
    // The field is signed and has 32 significant bits.
    KINDS.iter().find(|(number, _)| *number == magic & 0xFFFF_FFFF).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(i64::from(0xFF53_4D42_u32 as i32) as u64), Some("SMB"));
        assert_eq!(network_name(0xEF53), None, "ext4");
    }

    #[test]
    fn a_path_is_escaped_as_an_address() {
        assert_eq!(escape(Path::new("/a b/100%?#ü")), "/a%20b/100%25%3F%23%C3%BC");
    }
}
