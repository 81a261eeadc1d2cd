//! Lock files: a name on disk that says whether its maker is alive.
//!
//! The operating system releases the lock when the process ends, however it ends, so nobody needs
//! heartbeats or process numbers. The lock belongs to the open file: a second open of the same file
//! in the same process does not get it either.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file of which this process holds the lock; removed when the value is dropped.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    file: File,
}

impl LockFile {
    /// Creates a file with a new name `<id>.lock` in `dir` and takes its lock.
    pub fn create(dir: &Path) -> io::Result<LockFile> {
        std::fs::create_dir_all(dir)?;
        loop {
            let made = tempfile::Builder::new()
                .prefix("")
                .suffix(".lock")
                .rand_bytes(10)
                .tempfile_in(dir)?;
            let (file, path) = made.keep().map_err(|e| e.error)?;
            // Between its creation and its lock the file looks like that of a dead process. Who saw
            // it then has removed it, and a lock without a name vouches for nothing.
            match file.try_lock() {
                Ok(()) if file.metadata()?.nlink() > 0 => return Ok(LockFile { path, file }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Takes over the file of a maker that is dead. `None`: the maker lives.
    pub fn take_over(path: &Path) -> io::Result<Option<LockFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(LockFile { path: path.to_owned(), file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether the maker of a lock file lives. The file is left as it is.
    pub fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => {
                // Closing is not enough while another thread starts a child, which has the file too.
                file.unlock()?;
                Ok(false)
            }
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The file's name without `.lock`.
    pub fn id(&self) -> &str {
        self.path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("made from letters and digits by `create`, or listed as text")
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Removed while the lock is held. If that fails, the file is that of a dead process.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// The lock files in `dir`, by id. A directory that does not exist has none.
pub fn list(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "lock")
            && let Some(id) = path.file_stem().and_then(|stem| stem.to_str())
        {
            found.push((id.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_can_be_taken_over_only_after_its_maker() {
        let dir = tempfile::tempdir().unwrap();
        let lock = LockFile::create(dir.path()).unwrap();
        let (id, path) = list(dir.path()).unwrap().remove(0);
        assert_eq!(id, lock.id());
        assert!(LockFile::take_over(&path).unwrap().is_none());
        assert!(LockFile::is_held(&path).unwrap());
        // As after a kill: the lock is gone, the file is not.
        lock.file.unlock().unwrap();
        assert!(!LockFile::is_held(&path).unwrap());
        assert!(LockFile::take_over(&path).unwrap().is_some());
        assert!(list(dir.path()).unwrap().is_empty());
        assert!(!LockFile::is_held(&path).unwrap());
    }

    #[test]
    fn ids_are_unique_and_a_missing_directory_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(list(&dir.path().join("none")).unwrap().is_empty());
        let a = LockFile::create(dir.path()).unwrap();
        let b = LockFile::create(dir.path()).unwrap();
        assert_ne!(a.id(), b.id());
    }
}
