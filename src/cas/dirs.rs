//! Looks at many files by their names in directories that are open, so that the path to a directory is not
//! followed again for each of its files.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::Error;
use super::hash::{Hashed, hash_small, hash_stable};
use super::stat::{Observed, Slack, StatEntry, StatKey, is_settled, trusted};

/// Files below a directory. Cheapest where those of one directory follow each other.
///
/// Each thread has one of its own, and only for one look: a directory that is moved away meanwhile is still
/// the one that was opened.
#[derive(Debug)]
pub struct Dirs<'a> {
    root: &'a Path,
    opened_root: Option<OwnedFd>,
    /// The directory of the file before, as its path has it. It is opened for the second file.
    last: Vec<u8>,
    opened: Option<OwnedFd>,
}

impl<'a> Dirs<'a> {
    pub fn new(root: &'a Path) -> Dirs<'a> {
        Dirs { root, opened_root: None, last: Vec::new(), opened: None }
    }

    /// Says the digest of a file, whose path is below the root or absolute, and reads it only if `known`
    /// cannot be trusted. `taken_ns` is what [`FsClock::now_ns`](super::stat::FsClock::now_ns) said before
    /// the batch of which this is part.
    pub fn observe(
        &mut self,
        path: impl AsRef<Path>,
        known: Option<&StatEntry>,
        taken_ns: i64,
        slack: Slack,
    ) -> Result<Observed, Error> {
        let path = path.as_ref();
        let full = |root: &Path| root.join(path);
        let root = self.root;
        let fail = |error: io::Error| Error::io("read", &full(root))(error);
        let (dir, name) = self.place(path).map_err(fail)?;
        if let Some(entry) = known {
            let now =
                rustix::fs::statat(dir, name, AtFlags::empty()).map_err(|e| fail(e.into()))?;
            if trusted(entry, &StatKey::of_stat(&now), slack) {
                return Ok(Observed::Unchanged(*entry));
            }
        }
        let hashed = match hash_settled(dir, name, taken_ns, slack) {
            Some(hashed) => hashed,
            None => hash_stable(&full(root))?,
        };
        Ok(Observed::Hashed(StatEntry { stat: hashed.stat, digest: hashed.digest, taken_ns }))
    }

    /// An open directory and what the file is called from there.
    fn place<'p>(&mut self, path: &'p Path) -> io::Result<(BorrowedFd<'_>, &'p OsStr)> {
        let bytes = path.as_os_str().as_bytes();
        let name_at = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (dir, name) = bytes.split_at(name_at);
        if dir != self.last {
            self.last = dir.to_owned();
            self.opened = None;
        } else if self.opened.is_none() && !dir.is_empty() && !name.is_empty() {
            // Where it may be searched but not read, files are found by their paths as before.
            self.opened = open_dir(&self.root.join(OsStr::from_bytes(dir))).ok();
        }
        if let Some(opened) = &self.opened {
            return Ok((opened.as_fd(), OsStr::from_bytes(name)));
        }
        let root = match self.opened_root.take() {
            Some(root) => root,
            None => open_dir(self.root)?,
        };
        let root: &OwnedFd = self.opened_root.insert(root);
        Ok((root.as_fd(), path.as_os_str()))
    }
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Hashes a small file that nobody has written to since `taken_ns`, with one look at its state: a write while
/// it was read would have left a stamp that is not older. `None`: it takes more than that, if only to say
/// what is wrong.
fn hash_settled(dir: BorrowedFd<'_>, name: &OsStr, taken_ns: i64, slack: Slack) -> Option<Hashed> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(dir, name, flags, Mode::empty()).ok()?);
    let (digest, size) = hash_small(&file)?;
    let now = rustix::fs::fstat(&file).ok()?;
    let stat = StatKey::of_stat(&now);
    let is_file = FileType::from_raw_mode(now.st_mode).is_file();
    let holds = is_file && stat.size == size && is_settled(&stat, taken_ns, slack);
    holds.then_some(Hashed { digest, stat })
}
