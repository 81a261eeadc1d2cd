//! What events have said since it was asked last, and when it is quiet enough to go and look.
//!
//! The thread that reads events only puts paths into sets here, because while it does anything else the
//! kernel's queue fills.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{
    AccessKind, AccessMode, CreateKind, DataChange, EventKind, ModifyKind, RenameMode,
};

/// With more paths than these it is cheaper to look at everything.
const PATHS_MAX: usize = 200_000;

/// Shared by the thread that reads events, the one that polls, and the one that waits.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pending: Pending,
    /// When the first and the last of what is pending came.
    first: Option<Instant>,
    last: Option<Instant>,
    /// Files that were written to and not closed since.
    writing: HashMap<PathBuf, Writing>,
    woken: bool,
}

/// A file that was not closed since something happened to it.
#[derive(Debug, Clone, Copy)]
struct Writing {
    at: Instant,
    /// It came, and nothing was heard of its content: if that is a link nobody will close it.
    is_only_made: bool,
}

/// What is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Everything.
    pub all: bool,
    /// Directories in which something is different.
    pub dirs: HashSet<PathBuf>,
    /// Names that came or went: they may be of directories.
    pub moved: HashSet<PathBuf>,
    /// Files that were closed after they were written to.
    pub closed: HashSet<PathBuf>,
    /// Files that got their name by a rename.
    pub renamed: HashSet<PathBuf>,
    pub faults: BTreeSet<String>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        !self.all && self.dirs.is_empty() && self.moved.is_empty() && self.faults.is_empty()
    }
}

/// Makes whoever waits look up; clones wake the same one.
#[derive(Clone)]
pub struct Waker(pub(super) Arc<Shared>);

impl Waker {
    pub fn wake(&self) {
        self.0.lock().woken = true;
        self.0.changed.notify_all();
    }
}

impl std::fmt::Debug for Waker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waker")
    }
}

/// While it lives no event is taken in, as if the machine were busy.
#[must_use]
pub struct Stalled<'a>(#[expect(dead_code, reason = "it is held")] MutexGuard<'a, State>);

impl std::fmt::Debug for Stalled<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stalled")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Sets of paths are whole whatever the thread did that panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stall(&self) -> Stalled<'_> {
        Stalled(self.lock())
    }

    /// Takes in an event.
    pub fn hear(&self, event: notify::Result<notify::Event>) {
        let now = now();
        let mut state = self.lock();
        if state.take_in(event, now) {
            state.touched(now);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Says that something may be different in a directory.
    pub fn doubt(&self, dirs: impl IntoIterator<Item = PathBuf>) {
        let mut state = self.lock();
        state.pending.dirs.extend(dirs);
        state.touched(now());
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until there is something to look at and nothing more has come for `settle`, or `cap` has passed
    /// since the first of it. `None`: nothing came for `timeout`, or somebody wakes.
    pub fn wait(
        &self,
        settle: Duration,
        cap: Duration,
        timeout: Option<Duration>,
    ) -> Option<Pending> {
        let until = timeout.and_then(|timeout| now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            if std::mem::take(&mut state.woken) {
                return None;
            }
            let now = now();
            let due = state.due(settle, cap);
            if due.is_some_and(|due| due <= now) {
                return Some(state.take());
            }
            if until.is_some_and(|until| until <= now) {
                return None;
            }
            let next = [due, until].into_iter().flatten().min();
            state = match next {
                Some(next) => {
                    let (state, _) = self
                        .changed
                        .wait_timeout(state, next.saturating_duration_since(now))
                        .unwrap_or_else(PoisonError::into_inner);
                    state
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Files that were made or written to within `age` and not closed since.
    pub fn writing(&self, age: Duration) -> HashSet<PathBuf> {
        let now = now();
        let mut state = self.lock();
        state.writing.retain(|_, known| now.saturating_duration_since(known.at) < age);
        let writing: Vec<(PathBuf, bool)> =
            state.writing.iter().map(|(path, known)| (path.clone(), known.is_only_made)).collect();
        drop(state);
        let counts = |(path, is_only_made): (PathBuf, bool)| {
            (!is_only_made || has_one_name(&path)).then_some(path)
        };
        writing.into_iter().filter_map(counts).collect()
    }
}

impl State {
    fn touched(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    fn due(&self, settle: Duration, cap: Duration) -> Option<Instant> {
        if self.pending.is_empty() {
            return None;
        }
        let quiet = self.last?.checked_add(settle)?;
        Some(quiet.min(self.first?.checked_add(cap)?))
    }

    fn take(&mut self) -> Pending {
        (self.first, self.last) = (None, None);
        std::mem::take(&mut self.pending)
    }

    /// Whether it is news.
    fn take_in(&mut self, event: notify::Result<notify::Event>, now: Instant) -> bool {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                self.pending.all = true;
                self.pending.faults.insert(error.to_string());
                return true;
            }
        };
        if event.need_rescan() || self.pending.dirs.len() > PATHS_MAX {
            self.all();
            return true;
        }
        let mut is_news = false;
        for path in event.paths {
            is_news |= self.take_in_path(event.kind, path, now);
        }
        is_news
    }

    fn all(&mut self) {
        let faults = std::mem::take(&mut self.pending.faults);
        self.pending = Pending { all: true, faults, ..Pending::default() };
    }

    fn take_in_path(&mut self, kind: EventKind, path: PathBuf, now: Instant) -> bool {
        match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                self.writing.remove(&path);
                self.pending.dirs.extend(path.parent().map(Path::to_path_buf));
                self.pending.closed.insert(path);
            }
            // Reading, our own too, changes nothing.
            EventKind::Access(_) => return false,
            EventKind::Create(CreateKind::Folder) => self.moved(path),
            EventKind::Create(_) => {
                self.pending.dirs.extend(path.parent().map(Path::to_path_buf));
                self.writing.insert(path, Writing { at: now, is_only_made: true });
            }
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                self.writing.remove(&path);
                self.moved(path);
            }
            EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
                self.pending.renamed.insert(path.clone());
                self.moved(path);
            }
            // It was told as two.
            EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return false,
            EventKind::Modify(ModifyKind::Data(DataChange::Any)) => {
                self.pending.dirs.extend(path.parent().map(Path::to_path_buf));
                self.writing.insert(path, Writing { at: now, is_only_made: false });
            }
            EventKind::Modify(_) => {
                self.pending.dirs.extend(path.parent().map(Path::to_path_buf));
                self.pending.dirs.insert(path);
            }
            EventKind::Any | EventKind::Other => self.all(),
        }
        true
    }

    fn moved(&mut self, path: PathBuf) {
        self.pending.dirs.extend(path.parent().map(Path::to_path_buf));
        self.pending.moved.insert(path);
    }
}

/// Whether this is a file that has no other name: it was not linked but opened, and is closed some time.
fn has_one_name(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.is_file() && it.nlink() == 1)
}

#[expect(clippy::disallowed_methods, reason = "this is where quiet is measured")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{Flag, RemoveKind};

    const LONG: Duration = Duration::from_secs(600);

    fn event(kind: EventKind, path: &str) -> notify::Result<notify::Event> {
        Ok(notify::Event::new(kind).add_path(PathBuf::from(path)))
    }

    fn written(path: &str) -> notify::Result<notify::Event> {
        event(EventKind::Modify(ModifyKind::Data(DataChange::Any)), path)
    }

    #[test]
    fn nothing_is_due_before_it_is_quiet_or_has_waited_long_enough() {
        let shared = Shared::default();
        shared.hear(written("d/a"));
        assert!(shared.wait(LONG, LONG, Some(Duration::ZERO)).is_none());
        let pending = shared.wait(LONG, Duration::ZERO, None).expect("the cap has passed");
        assert_eq!(pending.dirs, [PathBuf::from("d")].into());
        assert!(shared.wait(Duration::ZERO, LONG, Some(Duration::ZERO)).is_none(), "taken");
    }

    #[test]
    fn what_is_only_read_is_no_news() {
        let shared = Shared::default();
        shared.hear(event(EventKind::Access(AccessKind::Open(AccessMode::Any)), "d/a"));
        assert!(shared.wait(Duration::ZERO, LONG, Some(Duration::ZERO)).is_none());
    }

    #[test]
    fn a_file_is_being_written_until_it_is_closed() {
        let shared = Shared::default();
        shared.hear(written("d/a"));
        assert_eq!(shared.writing(LONG), [PathBuf::from("d/a")].into());
        shared.hear(event(EventKind::Access(AccessKind::Close(AccessMode::Write)), "d/a"));
        assert!(shared.writing(LONG).is_empty());
        shared.hear(written("d/a"));
        shared.hear(event(EventKind::Remove(RemoveKind::File), "d/a"));
        assert!(shared.writing(LONG).is_empty());
        shared.hear(written("d/a"));
        assert!(shared.writing(Duration::ZERO).is_empty(), "nobody has touched it for so long");
    }

    #[test]
    fn a_file_that_was_made_is_being_written_until_it_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["made", "linked"] {
            std::fs::write(at(name), "1").unwrap();
        }
        std::fs::hard_link(at("linked"), at("second")).unwrap();
        let shared = Shared::default();
        for name in ["made", "second", "gone"] {
            let made = EventKind::Create(CreateKind::File);
            shared.hear(event(made, at(name).to_str().unwrap()));
        }
        assert_eq!(shared.writing(LONG), [at("made")].into());
        let closed = EventKind::Access(AccessKind::Close(AccessMode::Write));
        shared.hear(event(closed, at("made").to_str().unwrap()));
        assert!(shared.writing(LONG).is_empty());
    }

    #[test]
    fn where_events_were_lost_everything_is_to_be_looked_at() {
        let shared = Shared::default();
        shared.hear(written("d/a"));
        shared.hear(Ok(notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        let pending = shared.wait(Duration::ZERO, LONG, None).unwrap();
        assert!(pending.all && pending.dirs.is_empty());
    }

    #[test]
    fn who_waits_is_woken() {
        let shared = Arc::new(Shared::default());
        let waker = Waker(shared.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(shared.wait(LONG, LONG, Some(LONG)).is_none()));
            waker.wake();
        });
    }
}
