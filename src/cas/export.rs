//! Copies a blob to a path of the user's: as a clone where the file system can, never as a link. What was
//! damaged in the store is not handed on: the copy is read once more before it gets its name.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::hash::hash_open;
use super::{Cas, Error};
use crate::base::Digest;
use crate::base::fault::{self, Write};

impl Cas {
    /// Puts the content of a blob at `target`, atomically. The copy is the user's own: it may be
    /// edited, which is why it is never a hard link. Content that is not what its name says is
    /// [`Error::Corrupt`], and what was at `target` stays.
    pub fn export(&self, digest: &Digest, target: &Path) -> Result<(), Error> {
        let source = self.path(digest);
        if !source.exists() {
            return Err(Error::Missing { digest: *digest, path: source });
        }
        let dir = match target.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            Some(_) | None => Path::new("."),
        };
        fault::check(Write::File("write", target)).map_err(Error::io("write", target))?;
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        match self.scratch_dir() {
            // What a dead process leaves there is removed at the next open.
            Ok(scratch) => match copy(digest, &source, scratch, target) {
                Err(Error::Io { source: error, .. })
                    if error.kind() == io::ErrorKind::CrossesDevices =>
                {
                    copy(digest, &source, dir, target)
                }
                copied => copied,
            },
            // A store that is read-only.
            Err(_) => copy(digest, &source, dir, target),
        }
    }
}

/// Copies by way of a temporary file in `dir`, which has to be on the same file system as `target`.
fn copy(digest: &Digest, source: &Path, dir: &Path, target: &Path) -> Result<(), Error> {
    // Created once with the usual mode, to learn what the user's mask makes of it.
    let temporary = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .map_err(Error::io("write in", dir))?;
    let mode =
        temporary.as_file().metadata().map_err(Error::io("read", temporary.path()))?.permissions();
    let path = temporary.into_temp_path();
    let copied = fs::remove_file(&path)
        .and_then(|()| reflink_copy::reflink_or_copy(source, &path))
        .and_then(|_bytes: Option<u64>| fs::set_permissions(&path, mode));
    copied.map_err(Error::io("write", &path))?;
    check(digest, &path)?;
    path.persist(target).map_err(|error| Error::io("write", target)(io_error(error)))
}

fn check(digest: &Digest, copied: &Path) -> Result<(), Error> {
    let hashed = File::open(copied).and_then(|file| hash_open(&file, file.metadata()?.len()));
    match hashed.map_err(Error::io("read", copied))? {
        Some((actual, _)) if actual == *digest => Ok(()),
        Some((actual, _)) => Err(Error::Corrupt { digest: *digest, actual }),
        None => Err(Error::Unstable { path: copied.to_owned() }),
    }
}

fn io_error(error: tempfile::PathPersistError) -> io::Error {
    error.error
}
