//! Directories of which no events can be had: they are looked at every now and then.
//!
//! A directory is reported when it is the same twice after it was different, so that what is still being
//! written is not reported at every look.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::dirty::Shared;

/// A look may take up to this part of the time.
const SHARE: u32 = 20;

/// Looks at directories on a thread of its own: a server that does not answer holds up nothing else.
pub(super) struct Poller {
    shared: Arc<Polled>,
}

struct Polled {
    places: Mutex<Option<Vec<Place>>>,
    changed: Condvar,
}

/// A directory, and how many levels of it: 1 for what lies directly in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub dir: PathBuf,
    pub depth: usize,
}

/// What is known of a directory.
struct Known {
    state: u64,
    /// It was different when it was looked at last.
    moves: bool,
    round: u64,
}

impl Poller {
    pub fn start(doubts: Arc<Shared>, interval: Duration) -> std::io::Result<Poller> {
        let shared =
            Arc::new(Polled { places: Mutex::new(Some(Vec::new())), changed: Condvar::new() });
        let polled = shared.clone();
        let work = move || run(&polled, &doubts, interval);
        std::thread::Builder::new().name("poll".to_owned()).spawn(work)?;
        Ok(Poller { shared })
    }

    /// What is looked at from now on.
    pub fn set(&self, places: Vec<Place>) {
        let mut current = self.shared.places.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref() != Some(&places) {
            *current = Some(places);
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // Not joined: it may hang in a system call.
        *self.shared.places.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.changed.notify_all();
    }
}

fn run(polled: &Polled, doubts: &Shared, interval: Duration) {
    let mut known: HashMap<PathBuf, Known> = HashMap::new();
    let mut round = 0;
    loop {
        let places = polled.places.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(places) = places else { return };
        round += 1;
        let began = now();
        let mut news = Vec::new();
        for Place { dir, depth } in &places {
            look_at(dir, *depth, round, &mut known, &mut news, &mut Vec::new());
        }
        let gone = known.iter().filter(|(_, it)| it.round != round).map(|(dir, _)| dir.clone());
        news.extend(gone);
        known.retain(|_, it| it.round == round);
        if !news.is_empty() {
            doubts.doubt(news);
        }
        let pause = interval.max(now().saturating_duration_since(began) * SHARE);
        let is_same = |current: &mut Option<Vec<Place>>| current.as_ref() == Some(&places);
        let current = polled.places.lock().unwrap_or_else(PoisonError::into_inner);
        // While there is nothing to look at it sleeps until there is.
        if places.is_empty() {
            drop(polled.changed.wait_while(current, is_same));
        } else {
            drop(polled.changed.wait_timeout_while(current, pause, is_same));
        }
    }
}

fn look_at(
    dir: &Path,
    depth: usize,
    round: u64,
    known: &mut HashMap<PathBuf, Known>,
    news: &mut Vec<PathBuf>,
    above: &mut Vec<(u64, u64)>,
) {
    let Ok(metadata) = dir.metadata() else { return };
    let id = (metadata.dev(), metadata.ino());
    let Ok(entries) = dir.read_dir() else { return };
    if above.contains(&id) {
        return;
    }
    let (mut state, mut below) = (0_u64, Vec::new());
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = path.metadata().or_else(|_| path.symlink_metadata()) else { continue };
        // In whatever order they come.
        state = state.wrapping_add(fingerprint(&entry.file_name(), &metadata));
        if metadata.is_dir() && depth > 1 {
            below.push(path);
        }
    }
    let before = known.get(dir);
    let differs = before.is_none_or(|before| before.state != state);
    // One that is new to us has changed: whoever asked for it may have looked before.
    if before.is_some_and(|before| before.moves) && !differs {
        news.push(dir.to_owned());
    }
    known.insert(dir.to_owned(), Known { state, moves: differs, round });
    above.push(id);
    for path in below {
        let depth = if depth == usize::MAX { depth } else { depth - 1 };
        look_at(&path, depth, round, known, news, above);
    }
    above.pop();
}

fn fingerprint(name: &OsStr, metadata: &Metadata) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    (metadata.dev(), metadata.ino(), metadata.mode()).hash(&mut hasher);
    if !metadata.is_dir() {
        (metadata.size(), metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
        (metadata.ctime(), metadata.ctime_nsec()).hash(&mut hasher);
    }
    hasher.finish()
}

#[expect(clippy::disallowed_methods, reason = "how long a look takes is measured here")]
fn now() -> Instant {
    Instant::now()
}

/// The kind of file system that tells of no changes, or not of those that others make.
#[cfg(target_os = "linux")]
pub(super) fn deaf(dir: &Path) -> Option<&'static str> {
    deaf_name(rustix::fs::statfs(dir).ok()?.f_type as u64)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn deaf(_dir: &Path) -> Option<&'static str> {
    None
}

/// By the magic numbers of `man 2 statfs`.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "numbers of Linux"))]
fn deaf_name(magic: u64) -> Option<&'static str> {
    const KINDS: [(u64, &str); 14] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB"),
        (0x0102_1997, "9p"),
        (0x6573_5546, "FUSE"),
        (0x5346_414F, "AFS"),
        (0x00C3_6400, "Ceph"),
        (0x0BD0_0BD0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x9FA0, "proc"),
        (0x6265_6572, "sysfs"),
        (0x7461_636F, "OCFS2"),
        (0x786F_4256, "a shared folder of VirtualBox"),
    ];
    KINDS.into_iter().find(|(known, _)| *known == magic & 0xFFFF_FFFF).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_reported_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let (mut known, mut round) = (HashMap::new(), 0);
        let mut look = || {
            let mut news = Vec::new();
            round += 1;
            look_at(dir.path(), 2, round, &mut known, &mut news, &mut Vec::new());
            news
        };
        let write = |text: &str| std::fs::write(dir.path().join("a"), text).unwrap();
        assert!(look().is_empty());
        assert_eq!(look(), [dir.path()], "what was there before");
        write("1");
        assert!(look().is_empty(), "it may go on");
        write("12");
        assert!(look().is_empty(), "it went on");
        assert_eq!(look(), [dir.path()]);
        assert!(look().is_empty(), "it is reported once");
        std::fs::create_dir_all(dir.path().join("b/c")).unwrap();
        assert!(look().is_empty());
        let mut news = look();
        news.sort();
        assert_eq!(news, [dir.path().to_owned(), dir.path().join("b")], "`c` lies too deep");
    }

    #[test]
    fn file_systems_without_events_are_known() {
        assert_eq!(deaf_name(0x6969), Some("NFS"));
        assert_eq!(deaf_name(0xEF53), None, "ext4");
        assert_eq!(
            deaf(Path::new("/proc")),
            if cfg!(target_os = "linux") { Some("proc") } else { None }
        );
    }
}
