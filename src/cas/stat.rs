//! Decides whether a file's digest of last time still holds, from its stat alone.
//!
//! A stamp only tells two contents apart if the clock has moved between them. So an entry is trusted
//! only if both of the file's stamps are older than the moment at which we began to read: any later
//! write then has a stamp of that moment or after, and shows. Two things follow.
//!
//! - That moment must come from the clock that stamps the files. The system clock may be ahead of
//!   it by a tick (10 ms), and then an edit right after our reading gets a stamp *before* our
//!   "moment" and stays unseen. [`FsClock`] asks the file system: it touches a file of ours and
//!   reads the stamp it got. One touch before a batch serves the whole batch, as earlier is safe.
//! - Where the stamps of a file are coarser than those of our file (another file system), a later
//!   write may get an earlier stamp by up to that coarseness: the slack.
//!
//! `ctime` is looked at too, because `touch -r` and `rsync -t` set `mtime` back, and no one can set
//! `ctime`. A clock that is set back can still hide an edit of the same size; so can a network
//! server whose clock is behind ours by more than the slack.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use serde::{Deserialize, Serialize};

use crate::base::Digest;

/// The coarsest stamps that are met in practice (FAT), for file systems that were not probed.
pub const SLACK_UNKNOWN_NS: i64 = 2_000_000_000;

/// What a file's stat says that can tell two contents apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct StatKey {
    pub dev: u64,
    pub ino: u64,
    pub size: u64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
    pub mode: u32,
}

/// A digest with the state in which the file had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatEntry {
    pub stat: StatKey,
    pub digest: Digest,
    /// By the file system's clock, before the file was read. See [`FsClock`].
    pub taken_ns: i64,
}

/// How much coarser the stamps of a file can be than those of [`FsClock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slack {
    /// The file system of the store, which was probed.
    pub dev: u64,
    /// For files on `dev`.
    pub ns: i64,
}

/// What [`Dirs::observe`](super::Dirs::observe) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// The old entry is to be trusted; nothing was read.
    Unchanged(StatEntry),
    /// The file was read; remember this entry.
    Hashed(StatEntry),
}

impl StatKey {
    pub fn of(metadata: &Metadata) -> StatKey {
        StatKey {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime_ns: stamp(metadata.mtime(), metadata.mtime_nsec()),
            ctime_ns: stamp(metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
        }
    }

    pub(super) fn of_stat(stat: &Stat) -> StatKey {
        StatKey {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: stat.st_size as u64,
            mtime_ns: stamp(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime_ns: stamp(stat.st_ctime, stat.st_ctime_nsec as i64),
            mode: stat.st_mode,
        }
    }
}

impl StatKey {
    /// The state of a directory together with everything in it: its newest stamps, and as the number of
    /// its inode a digest of the names and states of all. Links in it are not followed.
    pub fn of_tree(dir: &Path) -> io::Result<StatKey> {
        let mut all = StatKey::of(&dir.metadata()?);
        let mut states = Digest::builder("giornata 2026 state of a tree");
        let mut open = vec![dir.to_owned()];
        while let Some(dir) = open.pop() {
            let mut names = dir
                .read_dir()?
                .map(|item| Ok(item?.file_name()))
                .collect::<io::Result<Vec<_>>>()?;
            names.sort_unstable();
            states.number(names.len() as u64);
            for name in names {
                let path = dir.join(&name);
                let metadata = path.symlink_metadata()?;
                let stat = StatKey::of(&metadata);
                states.part(name.as_encoded_bytes()).number(stat.dev).number(stat.ino);
                states.number(stat.size).number(u64::from(stat.mode));
                states.number(stat.mtime_ns as u64).number(stat.ctime_ns as u64);
                all.mtime_ns = all.mtime_ns.max(stat.mtime_ns);
                all.ctime_ns = all.ctime_ns.max(stat.ctime_ns);
                if stat.dev != all.dev {
                    // Of a disk whose stamps nobody has probed.
                    all.dev = 0;
                }
                if metadata.is_dir() {
                    open.push(path);
                }
            }
        }
        let states = states.number(all.ino).finish();
        let (first, _) = states.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
        all.ino = u64::from_le_bytes(*first);
        Ok(all)
    }
}

impl Slack {
    fn for_dev(self, dev: u64) -> i64 {
        if dev == self.dev { self.ns } else { SLACK_UNKNOWN_NS.max(self.ns) }
    }
}

impl Observed {
    pub fn entry(&self) -> &StatEntry {
        match self {
            Observed::Unchanged(entry) | Observed::Hashed(entry) => entry,
        }
    }
}

/// Whether a file that has the stat `now` still has the digest of `entry`.
pub fn trusted(entry: &StatEntry, now: &StatKey, slack: Slack) -> bool {
    entry.stat == *now && is_settled(now, entry.taken_ns, slack)
}

/// Whether nobody has written to a file since `taken_ns` that has the stat `now` after that.
pub(super) fn is_settled(now: &StatKey, taken_ns: i64, slack: Slack) -> bool {
    let settled = taken_ns.saturating_sub(slack.for_dev(now.dev));
    now.mtime_ns < settled && now.ctime_ns < settled
}

/// The clock by which the file system stamps: it can only be read by having something stamped.
#[derive(Debug)]
pub struct FsClock(Option<File>);

impl FsClock {
    /// Keeps a file `clock` in `dir` to be stamped. In a directory that cannot be written to, there is
    /// no clock, and so no trust in anything that is hashed meanwhile.
    pub fn open(dir: &Path) -> FsClock {
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("clock"));
        FsClock(file.ok())
    }

    /// A moment that is not after any write that is still to come. Without a clock: the beginning of
    /// time, so that no entry that carries it is ever trusted.
    pub fn now_ns(&self) -> i64 {
        self.0.as_ref().and_then(|file| stamped(file).ok()).unwrap_or(i64::MIN)
    }

    /// How coarse the stamps are: the longest step between neighbouring stamps, seen over a few changes.
    /// Run once, when the store is created; takes a few steps of the clock, at most about 50 ms.
    pub fn probe(&self) -> Slack {
        let unknown = Slack { dev: 0, ns: SLACK_UNKNOWN_NS };
        let Some(file) = &self.0 else { return unknown };
        let Ok(metadata) = file.metadata() else { return unknown };
        let ns = granularity(|| stamped(file).ok()).unwrap_or(SLACK_UNKNOWN_NS);
        Slack { dev: metadata.dev(), ns }
    }
}

/// The longest of the first few steps of a clock that is read again and again; `None` if it stands.
fn granularity(mut read: impl FnMut() -> Option<i64>) -> Option<i64> {
    const STEPS: u32 = 4;
    const READS_MAX: u32 = 40_000;
    let mut last = read()?;
    let (mut longest, mut steps) = (0, 0);
    for _ in 0..READS_MAX {
        let now = read()?;
        if now == last {
            continue;
        }
        // The first step began somewhere between two stamps.
        if steps > 0 {
            longest = longest.max(now.saturating_sub(last));
        }
        last = now;
        steps += 1;
        if steps > STEPS {
            return Some(longest);
        }
    }
    None
}

fn stamped(file: &File) -> io::Result<i64> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    rustix::fs::futimens(file, &Timestamps { last_access: now, last_modification: now })?;
    let metadata = file.metadata()?;
    Ok(stamp(metadata.mtime(), metadata.mtime_nsec()))
}

/// Sets a file's modification time to now, by the file system's clock.
pub(super) fn touch(path: &Path) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?)
}

fn stamp(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}
