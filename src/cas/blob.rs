//! Puts, reads and syncs single blobs.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::hash::{hash_open, hash_stable};
use super::{Cas, Error, Put, Scratch, State, lock};
use crate::base::fault::{self, Write};
use crate::base::{Digest, Durability};

/// Up to this many blobs are synced one by one; more with one call for the whole file system.
/// 170 microseconds of CPU each against about a second once: not measured more exactly.
const SYNC_EACH_MAX: usize = 32;

impl Cas {
    /// Whether there is a blob of this digest and size. The content is not looked at.
    pub fn contains(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.path(digest)).is_ok_and(|found| found.is_file() && found.len() == size)
    }

    /// Moves a finished file into the store. Its name is gone afterwards, also if its content was
    /// there already.
    pub fn put_file(&self, staged: &Path) -> Result<Put, Error> {
        let metadata = staged.symlink_metadata().map_err(Error::io("read", staged))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: staged.to_owned() });
        }
        let hashed = hash_stable(staged)?;
        let put = Put { digest: hashed.digest, size: hashed.stat.size };
        if self.keep_existing(&put)? {
            fs::remove_file(staged).map_err(Error::io("remove", staged))?;
            return Ok(put);
        }
        make_read_only(staged)?;
        match self.publish(staged, &put) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::CrossesDevices => {
                self.copy_in(staged, &put)?;
            }
            done => done?,
        }
        Ok(put)
    }

    /// Stores some bytes.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Put, Error> {
        let put = Put { digest: Digest::of_blob(bytes), size: bytes.len() as u64 };
        if self.keep_existing(&put)? {
            return Ok(put);
        }
        let mut temporary = self.temporary()?;
        told("write", temporary.path())?;
        temporary.write_all(bytes).map_err(Error::io("write", temporary.path()))?;
        let path = temporary.into_temp_path();
        make_read_only(&path)?;
        self.publish(&path, &put)?;
        // The name is gone with the rename; dropping the path finds nothing to remove.
        Ok(put)
    }

    /// The content under a digest, checked against it.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let path = self.path(digest);
        let bytes = fs::read(&path).map_err(|error| self.absent_or(digest, error))?;
        let actual = Digest::of_blob(&bytes);
        if actual == *digest { Ok(bytes) } else { Err(Error::Corrupt { digest: *digest, actual }) }
    }

    /// Reads the whole blob and says whether it is what its name says.
    pub fn verify(&self, digest: &Digest) -> Result<State, Error> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Missing),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let size = file.metadata().map_err(Error::io("read", &path))?.len();
        match hash_open(&file, size).map_err(Error::io("read", &path))? {
            Some((actual, size)) if actual == *digest => Ok(State::Sound { size }),
            Some((actual, _)) => Ok(State::Corrupt { actual }),
            None => Err(Error::Unstable { path }),
        }
    }

    /// Puts a blob aside under `quarantine/`, so that its content is stored anew when it is made again.
    pub fn quarantine(&self, digest: &Digest) -> Result<(), Error> {
        let aside = self.dir.join("quarantine");
        fs::create_dir_all(&aside).map_err(Error::io("create", &aside))?;
        fs::rename(self.path(digest), aside.join(digest.to_string()))
            .map_err(|error| self.absent_or(digest, error))
    }

    /// Makes what was put since the last call survive a power cut. Call it before the commit of a row
    /// that names a blob. Does nothing with [`Durability::Fast`].
    pub fn sync(&self) -> Result<(), Error> {
        let _turn = self.syncing.lock().expect("nobody panics while syncing");
        let digests = std::mem::take(
            &mut *self.pending.lock().expect("nobody panics while the set is locked"),
        );
        if digests.is_empty() {
            return Ok(());
        }
        let synced = match self.durability {
            Durability::Fast => Ok(()),
            Durability::Batch | Durability::Safe => self.sync_these(digests.iter()),
        };
        if synced.is_err() {
            self.pending.lock().expect("nobody panics while the set is locked").extend(digests);
        }
        synced
    }

    /// Syncs everything on the store's file system, whoever wrote it.
    pub fn sync_all(&self) -> Result<(), Error> {
        let blobs = self.blobs_dir();
        match File::open(&blobs) {
            Ok(dir) => sync_file_system(&dir).map_err(Error::io("sync", &blobs)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io("open", &blobs)(error)),
        }
    }

    fn sync_these<'a>(
        &self,
        digests: impl ExactSizeIterator<Item = &'a Digest> + Clone,
    ) -> Result<(), Error> {
        told("sync", &self.dir)?;
        if digests.len() > SYNC_EACH_MAX {
            self.sync_all()?;
        } else {
            for digest in digests.clone() {
                let path = self.path(digest);
                let file = File::open(&path).map_err(|error| self.absent_or(digest, error))?;
                file.sync_data().map_err(Error::io("sync", &path))?;
            }
        }
        // The names are in the directories: shards by their digests, and the shards themselves.
        let mut dirs = vec![self.blobs_dir(), self.dir.clone()];
        for digest in digests {
            let path = self.path(digest);
            let shard = path.parent().expect("a blob is in a shard").to_owned();
            if !dirs.contains(&shard) {
                dirs.push(shard);
            }
        }
        for dir in dirs {
            let opened = File::open(&dir).map_err(Error::io("open", &dir))?;
            opened.sync_all().map_err(Error::io("sync", &dir))?;
        }
        Ok(())
    }

    /// If the blob is there: keeps it from being swept, and has it synced with ours, since whoever
    /// wrote it may not have come to that yet.
    fn keep_existing(&self, put: &Put) -> Result<bool, Error> {
        if !self.contains(&put.digest, put.size) {
            return Ok(false);
        }
        let path = self.path(&put.digest);
        match super::stat::touch(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("touch", &path)(error)),
        }
        self.note_pending(put.digest);
        Ok(true)
    }

    /// Renames a complete file to the name of its content.
    fn publish(&self, complete: &Path, put: &Put) -> Result<(), Error> {
        let path = self.path(&put.digest);
        told("move into the store", complete)?;
        match fs::rename(complete, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let shard = path.parent().expect("a blob is in a shard");
                told("create", shard)?;
                fs::create_dir_all(shard).map_err(Error::io("create", shard))?;
                fs::rename(complete, &path).map_err(Error::io("move into the store", complete))?;
            }
            renamed => renamed.map_err(Error::io("move into the store", complete))?,
        }
        self.note_pending(put.digest);
        Ok(())
    }

    /// For a file on another file system: a rename is atomic only within one.
    fn copy_in(&self, staged: &Path, put: &Put) -> Result<(), Error> {
        let mut temporary = self.temporary()?;
        let mut source = File::open(staged).map_err(Error::io("open", staged))?;
        told("write", temporary.path())?;
        io::copy(&mut source, &mut temporary).map_err(Error::io("write", temporary.path()))?;
        let path = temporary.into_temp_path();
        make_read_only(&path)?;
        self.publish(&path, put)?;
        fs::remove_file(staged).map_err(Error::io("remove", staged))
    }

    fn note_pending(&self, digest: Digest) {
        self.pending.lock().expect("nobody panics while the set is locked").insert(digest);
    }

    fn absent_or(&self, digest: &Digest, error: io::Error) -> Error {
        let path = self.path(digest);
        if error.kind() == io::ErrorKind::NotFound {
            Error::Missing { digest: *digest, path }
        } else {
            Error::io("read", &path)(error)
        }
    }

    /// A directory for what is in the making, on the store's file system. It goes with this value, or if
    /// the process dies, at the next open.
    pub fn scratch_dir(&self) -> Result<&Path, Error> {
        Ok(&self.scratch()?.dir)
    }

    /// A temporary file on the store's file system.
    fn temporary(&self) -> Result<tempfile::NamedTempFile, Error> {
        let scratch = self.scratch()?;
        told("write in", &scratch.dir)?;
        tempfile::NamedTempFile::new_in(&scratch.dir).map_err(Error::io("write in", &scratch.dir))
    }

    fn scratch(&self) -> Result<&Scratch, Error> {
        if let Some(scratch) = self.scratch.get() {
            return Ok(scratch);
        }
        let root = self.scratch_root();
        told("write in", &root)?;
        let lock = lock::LockFile::create(&root).map_err(Error::io("write in", &root))?;
        let dir = root.join(lock.id());
        fs::create_dir(&dir).map_err(Error::io("create", &dir))?;
        let made = Scratch { dir, _lock: lock };
        // If another thread was faster, ours is removed again as it is dropped.
        Ok(self.scratch.get_or_init(|| made))
    }

    /// Removes the temporary files of processes that no longer live.
    pub(super) fn remove_leftovers(&self) -> Result<(), Error> {
        let root = self.scratch_root();
        for (id, path) in lock::list(&root).map_err(Error::io("list", &root))? {
            match lock::LockFile::take_over(&path) {
                Ok(None) => {}
                Ok(Some(_dead)) => {
                    let left = root.join(id);
                    match fs::remove_dir_all(&left) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(Error::io("remove", &left)(error));
                        }
                        Ok(()) | Err(_) => {}
                    }
                }
                // Its maker has just ended properly, or this user may only read.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound
                            | io::ErrorKind::PermissionDenied
                            | io::ErrorKind::ReadOnlyFilesystem
                    ) => {}
                Err(error) => return Err(Error::io("open", &path)(error)),
            }
        }
        self.remove_unlocked(&root)
    }

    /// Removes temporary directories that have no lock file: theirs is there before them and goes after
    /// them, so nobody will ever remove these.
    fn remove_unlocked(&self, root: &Path) -> Result<(), Error> {
        let entries = match fs::read_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(Error::io("list", root))?,
        };
        for entry in entries {
            let path = entry.map_err(Error::io("list", root))?.path();
            if path.is_dir() && !path.with_extension("lock").exists() {
                // What cannot be removed now is tried again at the next open.
                let _ = fs::remove_dir_all(&path);
            }
        }
        Ok(())
    }
}

/// Says that something is about to be written.
fn told(action: &'static str, path: &Path) -> Result<(), Error> {
    fault::check(Write::File(action, path)).map_err(Error::io(action, path))
}

fn make_read_only(path: &Path) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(0o444)).map_err(Error::io("protect", path))
}

#[cfg(target_os = "linux")]
fn sync_file_system(dir: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(dir)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_dir: &File) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}
