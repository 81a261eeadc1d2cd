//! Lists blobs and removes those that nothing names any more.
//!
//! A blob that was put is not named until its row is committed, so two things keep it: a lease, which
//! every writer holds and no sweep runs beside, and its age, which putting it again resets.

use std::fs::{self, DirEntry, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Cas, Error};
use crate::base::Digest;

/// Keeps sweeps away for as long as it lives. Many can be held at once.
#[derive(Debug)]
pub struct Lease(#[expect(dead_code, reason = "held, not read")] Unlocked);

/// Held while blobs are removed: nobody gets a lease.
#[derive(Debug)]
pub struct Exclusive(#[expect(dead_code, reason = "held, not read")] Unlocked);

/// A file whose lock goes with the value. Closing it is not enough: a child that another thread is starting
/// has the open file too, until it has become another program.
#[derive(Debug)]
struct Unlocked(File);

impl Drop for Unlocked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// One blob, as its directory entry shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    pub digest: Digest,
    pub size: u64,
    /// When it was last put.
    pub modified: SystemTime,
}

/// What [`Cas::sweep`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    pub removed: u64,
    pub removed_bytes: u64,
    /// Unused, but too young.
    pub spared: u64,
    pub kept: u64,
}

impl Cas {
    /// Waits for a running sweep, and lets none begin until the lease is dropped.
    pub fn lease(&self) -> Result<Lease, Error> {
        let (path, file) = self.gc_lock()?;
        file.lock_shared().map_err(Error::io("lock", &path))?;
        Ok(Lease(Unlocked(file)))
    }

    /// Removes blobs for which `keep` says no and that were last put before `older_than`.
    pub fn sweep(
        &self,
        keep: &dyn Fn(&Digest) -> bool,
        older_than: SystemTime,
    ) -> Result<Swept, Error> {
        let _lock = self.exclusive()?;
        let mut swept = Swept::default();
        for blob in self.list()? {
            if keep(&blob.digest) {
                swept.kept += 1;
            } else if blob.modified >= older_than {
                swept.spared += 1;
            } else {
                let path = self.path(&blob.digest);
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                swept.removed += 1;
                swept.removed_bytes += blob.size;
            }
        }
        Ok(swept)
    }

    /// Keeps leases away for as long as it lives; fails if there is one.
    pub fn exclusive(&self) -> Result<Exclusive, Error> {
        let (path, file) = self.gc_lock()?;
        match file.try_lock() {
            Ok(()) => Ok(Exclusive(Unlocked(file))),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: self.dir.clone() }),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
    }

    /// Every blob, in the order of digests.
    pub fn list(&self) -> Result<Vec<BlobInfo>, Error> {
        let mut blobs = Vec::new();
        for shard in entries(&self.blobs_dir())? {
            let shard_name = shard.file_name();
            for entry in entries(&shard.path())? {
                let name = format!("{}{}", shard_name.display(), entry.file_name().display());
                let Ok(digest) = name.parse() else { continue };
                let path = entry.path();
                let metadata = entry.metadata().map_err(Error::io("read", &path))?;
                let modified = metadata.modified().map_err(Error::io("read", &path))?;
                blobs.push(BlobInfo { digest, size: metadata.len(), modified });
            }
        }
        blobs.sort_by_key(|blob| blob.digest);
        Ok(blobs)
    }

    fn gc_lock(&self) -> Result<(PathBuf, File), Error> {
        fs::create_dir_all(&self.dir).map_err(Error::io("create", &self.dir))?;
        let path = self.dir.join("gc.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        Ok((path, file))
    }
}

fn entries(dir: &Path) -> Result<Vec<DirEntry>, Error> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect::<io::Result<_>>().map_err(Error::io("list", dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("list", dir)(error)),
    }
}
