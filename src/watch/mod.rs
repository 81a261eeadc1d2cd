//! The file system to batches of changed directories, as hints: whoever gets one looks for himself.
//!
//! Every directory is watched for itself, by our own hand: first it is watched, then it is listed, so that
//! nothing that is made in it meanwhile can be missed. What is new is a hint for the whole of it. Where
//! events were lost everything is a hint, and where there are no events directories are looked at every
//! now and then. A batch comes when nothing has happened for a while.

mod dirty;
mod poll;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use self::dirty::{Pending, Shared};
pub use self::dirty::{Stalled, Waker};
use self::poll::{Place, Poller};

/// How to watch.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A batch comes when nothing has happened for so long.
    pub settle: Duration,
    /// Or when so long has passed since the first event of it.
    pub cap: Duration,
    /// A file counts as being written for so long that nobody touches and nobody closes.
    pub writing: Duration,
    /// How often directories are looked at that have no events.
    pub poll: Duration,
    /// Whether events are used where they work.
    pub events: Events,
    /// Directories that nobody wants to hear of, by path.
    pub left_out: Vec<PathBuf>,
    /// What this lies in is not watched: it stays where it is.
    pub base: Option<PathBuf>,
}

/// Whether events of the system are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    WhereTheyWork,
    /// Directories are looked at every now and then.
    Never,
    /// For so many directories, as if the system allowed no more.
    AtMost(usize),
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            settle: Duration::from_millis(50),
            cap: Duration::from_secs(1),
            writing: Duration::from_secs(3),
            poll: Duration::from_secs(2),
            events: Events::WhereTheyWork,
            left_out: Vec::new(),
            base: None,
        }
    }
}

/// A directory that somebody wants to hear of, whether it is there or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// Absolute.
    pub dir: PathBuf,
    /// How many levels: 1 for what lies directly in it, `usize::MAX` for all.
    pub depth: usize,
}

/// What may be different. Paths are those of roots with names after them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Anything.
    pub all: bool,
    /// In these directories, each by itself.
    pub dirs: BTreeSet<PathBuf>,
    /// These files were closed after they were written to.
    pub closed: HashSet<PathBuf>,
    /// These got their name by a rename.
    pub renamed: HashSet<PathBuf>,
    /// What the user should know.
    pub notices: Vec<String>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        *self == Batch::default()
    }

    /// Whether something may be different in `dir`, down to `depth` levels.
    pub fn concerns(&self, dir: &Path, depth: usize) -> bool {
        if self.all {
            return true;
        }
        let below = self.dirs.range::<Path, _>(from(dir)).take_while(|it| it.starts_with(dir));
        let levels =
            |it: &PathBuf| it.strip_prefix(dir).map_or(0, |rest| rest.components().count());
        below.into_iter().any(|it| levels(it) < depth)
            || dir.ancestors().skip(1).any(|above| self.dirs.contains(above) && !dir.is_dir())
    }
}

/// Watches directories.
///
/// ```
/// use giornata::watch::{Root, Settings, Watch};
/// let dir = tempfile::tempdir()?;
/// let mut watch = Watch::new(Settings::default());
/// watch.set_roots(vec![Root { dir: dir.path().to_owned(), depth: 1 }]);
/// std::fs::write(dir.path().join("a.csv"), "1")?;
/// let batch = loop {
///     // The first batch is of what was there when it was watched.
///     let batch = watch.wait(None);
///     if batch.closed.contains(&dir.path().join("a.csv")) { break batch }
/// };
/// assert!(batch.concerns(dir.path(), 1));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Watch {
    settings: Settings,
    shared: Arc<Shared>,
    /// `None`: there are no events, and it was said why.
    watcher: Option<RecommendedWatcher>,
    poller: Option<Poller>,
    roots: Vec<Root>,
    watched: BTreeMap<PathBuf, Watched>,
    /// Directories that have several names: events tell one of them.
    by_inode: HashMap<(u64, u64), Vec<PathBuf>>,
    /// What is looked at every now and then.
    polled: BTreeMap<PathBuf, usize>,
    /// What is yet to be told.
    fresh: BTreeSet<PathBuf>,
    notices: Vec<String>,
    told: BTreeSet<String>,
}

/// A directory that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Watched {
    id: (u64, u64),
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("roots", &self.roots).finish_non_exhaustive()
    }
}

/// Whether a directory that is watched already is watched anew: it may be watched under a name that it
/// does not have any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renew {
    Always,
    IfAnother,
}

impl Watch {
    pub fn new(settings: Settings) -> Watch {
        let shared = Arc::new(Shared::default());
        let mut notices = Vec::new();
        let watcher = match settings.events {
            Events::Never => None,
            Events::WhereTheyWork | Events::AtMost(_) => {
                let heard = shared.clone();
                match notify::recommended_watcher(move |event| heard.hear(event)) {
                    Ok(watcher) => Some(watcher),
                    Err(error) => {
                        notices.push(no_watcher(&error));
                        None
                    }
                }
            }
        };
        Watch {
            settings,
            shared,
            watcher,
            poller: None,
            roots: Vec::new(),
            watched: BTreeMap::new(),
            by_inode: HashMap::new(),
            polled: BTreeMap::new(),
            fresh: BTreeSet::new(),
            notices,
            told: BTreeSet::new(),
        }
    }

    /// What is watched from now on. What was not watched before is part of the next batch.
    pub fn set_roots(&mut self, mut roots: Vec<Root>) {
        roots.sort();
        roots.dedup();
        if roots == self.roots {
            return;
        }
        self.roots = roots;
        let idle: Vec<PathBuf> =
            self.watched.keys().filter(|dir| !self.is_wanted(dir)).cloned().collect();
        for dir in idle {
            self.forget(&dir);
        }
        self.polled.clear();
        self.cover_all(Renew::IfAnother);
    }

    /// How many directories are watched by events, and how many are looked at every now and then.
    pub fn counts(&self) -> (usize, usize) {
        (self.watched.len(), self.polled.len())
    }

    pub fn waker(&self) -> Waker {
        Waker(self.shared.clone())
    }

    /// While the result lives, no event is taken in: for tests of what happens then.
    pub fn stall(&self) -> impl Drop + '_ {
        Stall(Some(self.shared.stall()))
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Files that are being written, as far as events tell: written to and not closed since.
    pub fn writing(&self) -> HashSet<PathBuf> {
        self.shared.writing(self.settings.writing)
    }

    /// Waits for the next batch; an empty one if somebody wakes, or nothing came for `timeout`.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Batch {
        if !self.fresh.is_empty() || !self.notices.is_empty() {
            return self.batch(Pending::default());
        }
        let Settings { settle, cap, .. } = self.settings;
        let waited = self.shared.wait(settle, cap, timeout);
        waited.map_or_else(Batch::default, |pending| self.batch(pending))
    }

    fn batch(&mut self, pending: Pending) -> Batch {
        let Pending { all, mut dirs, moved, closed, renamed, faults } = pending;
        self.notices.extend(faults.into_iter().map(|fault| format!("watching: {fault}")));
        if all {
            // Watches may be gone without a word, too.
            self.cover_all(Renew::Always);
        }
        for path in moved {
            self.follow(&path, &mut dirs);
        }
        self.tell_poller();
        let mut found = std::mem::take(&mut self.fresh);
        for dir in dirs {
            if let Some(aliases) = self.aliases(&dir) {
                found.extend(aliases.iter().cloned());
            }
            found.insert(dir);
        }
        Batch { all, dirs: found, closed, renamed, notices: std::mem::take(&mut self.notices) }
    }

    /// A name came or went: if it is that of a directory, what is below it is watched anew, or not any more.
    fn follow(&mut self, path: &Path, dirs: &mut HashSet<PathBuf>) {
        let is_dir = path.is_dir();
        let was_dir = self.watched.contains_key(path);
        if was_dir {
            let below = self
                .watched
                .range::<Path, _>(from(path))
                .take_while(|(it, _)| it.starts_with(path));
            dirs.extend(below.map(|(dir, _)| dir.clone()));
            self.forget(path);
        }
        if is_dir && self.is_wanted(path) {
            self.cover(path, Renew::Always, &mut Vec::new());
        }
        if was_dir || is_dir {
            let on_the_way = |root: &&Root| root.dir.starts_with(path);
            let roots: Vec<Root> = self.roots.iter().filter(on_the_way).cloned().collect();
            for root in roots {
                dirs.insert(root.dir.clone());
                self.cover_root(&root, Renew::IfAnother);
            }
        }
    }

    fn aliases(&self, dir: &Path) -> Option<&Vec<PathBuf>> {
        let watched = self.watched.get(dir)?;
        self.by_inode.get(&watched.id).filter(|names| names.len() > 1)
    }

    fn cover_all(&mut self, renew: Renew) {
        for root in self.roots.clone() {
            self.cover_root(&root, renew);
        }
        self.tell_poller();
    }

    /// Watches a root, and what is above it: it may come, or be replaced.
    fn cover_root(&mut self, root: &Root, renew: Renew) {
        let stays = |above: &Path| {
            self.settings
                .base
                .as_ref()
                .is_some_and(|base| *base != above && base.starts_with(above))
        };
        if let Some(above) = root.dir.ancestors().skip(1).find(|above| above.is_dir())
            && !stays(above)
        {
            self.watch(above, Renew::IfAnother);
        }
        self.cover(&root.dir, renew, &mut Vec::new());
    }

    fn cover(&mut self, dir: &Path, renew: Renew, above: &mut Vec<(u64, u64)>) {
        let depth = self.depth_below(dir);
        if depth == 0 || self.is_left_out(dir) {
            return;
        }
        let Ok(metadata) = dir.metadata() else {
            if self.watcher.is_none() {
                // It may come.
                self.polled.insert(dir.to_owned(), depth);
            }
            return;
        };
        let id = (metadata.dev(), metadata.ino());
        if !metadata.is_dir() || above.contains(&id) {
            return;
        }
        if self.is_deaf(dir, above.is_empty()) {
            self.polled.insert(dir.to_owned(), depth);
            self.fresh.insert(dir.to_owned());
            return;
        }
        // First it is watched, then it is listed.
        if self.watch(dir, renew) {
            self.fresh.insert(dir.to_owned());
        }
        if depth > 1 {
            above.push(id);
            for child in directories_in(dir) {
                self.cover(&child, renew, above);
            }
            above.pop();
        }
    }

    /// Whether there are no events for what is in `dir`. Asked where a file system can begin.
    fn is_deaf(&mut self, dir: &Path, is_top: bool) -> bool {
        if self.watcher.is_none() {
            return true;
        }
        if !is_top {
            return false;
        }
        let Some(kind) = poll::deaf(dir) else { return false };
        let shown = dir.display();
        self.tell(format!(
            "`{shown}` is on {kind}, which tells of no changes: it is looked at every {}",
            humantime::format_duration(self.settings.poll)
        ));
        true
    }

    /// Watches one directory; says whether that is new.
    fn watch(&mut self, dir: &Path, renew: Renew) -> bool {
        let Ok(metadata) = dir.metadata() else { return false };
        let id = (metadata.dev(), metadata.ino());
        match self.watched.get(dir) {
            Some(known) if known.id == id && renew == Renew::IfAnother => return false,
            Some(_) => self.unwatch(dir),
            None => {}
        }
        let allowed = match self.settings.events {
            Events::WhereTheyWork => true,
            Events::Never => false,
            Events::AtMost(most) => self.watched.len() < most,
        };
        let Some(watcher) = &mut self.watcher else { return false };
        let result = if allowed {
            watcher.watch(dir, RecursiveMode::NonRecursive)
        } else {
            Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch))
        };
        match result {
            Ok(()) => {
                self.watched.insert(dir.to_owned(), Watched { id });
                self.by_inode.entry(id).or_default().push(dir.to_owned());
                self.polled.remove(dir);
                true
            }
            Err(error) => {
                if dir.is_dir() {
                    self.unwatchable(dir, &error);
                    self.polled.insert(dir.to_owned(), 1);
                }
                true
            }
        }
    }

    fn unwatchable(&mut self, dir: &Path, error: &notify::Error) {
        let every = humantime::format_duration(self.settings.poll);
        let text = match &error.kind {
            notify::ErrorKind::MaxFilesWatch => format!(
                "the system allows no more watches (`fs.inotify.max_user_watches`): further directories \
                 are looked at every {every}; `sudo sysctl fs.inotify.max_user_watches=1000000` allows more"
            ),
            _ => format!(
                "`{}` cannot be watched ({error}): it is looked at every {every}",
                dir.display()
            ),
        };
        self.tell(text);
    }

    fn tell(&mut self, notice: String) {
        if self.told.insert(notice.clone()) {
            self.notices.push(notice);
        }
    }

    fn unwatch(&mut self, dir: &Path) {
        let Some(Watched { id }) = self.watched.remove(dir) else { return };
        if let Some(watcher) = &mut self.watcher {
            // Where it is gone, so is the watch.
            let _ = watcher.unwatch(dir);
        }
        let others = self.by_inode.get_mut(&id).map(|names| {
            names.retain(|name| name != dir);
            names.clone()
        });
        match others {
            Some(others) if !others.is_empty() => {
                // The system has one watch for all names of a directory.
                for other in others {
                    if let Some(watcher) = &mut self.watcher {
                        let _ = watcher.watch(&other, RecursiveMode::NonRecursive);
                    }
                }
            }
            Some(_) | None => {
                self.by_inode.remove(&id);
            }
        }
    }

    /// Watches a directory and what is below it no more.
    fn forget(&mut self, dir: &Path) {
        let below =
            self.watched.range::<Path, _>(from(dir)).take_while(|(it, _)| it.starts_with(dir));
        let below: Vec<PathBuf> = below.map(|(dir, _)| dir.clone()).collect();
        for dir in below {
            self.unwatch(&dir);
        }
    }

    /// How many levels of a directory anybody wants to hear of.
    fn depth_below(&self, dir: &Path) -> usize {
        let depth = |root: &Root| match dir.strip_prefix(&root.dir) {
            Ok(_) if root.depth == usize::MAX => usize::MAX,
            Ok(rest) => root.depth.saturating_sub(rest.components().count()),
            Err(_) => 0,
        };
        self.roots.iter().map(depth).max().unwrap_or(0)
    }

    fn is_wanted(&self, dir: &Path) -> bool {
        self.depth_below(dir) > 0 || self.roots.iter().any(|root| root.dir.starts_with(dir))
    }

    fn is_left_out(&self, dir: &Path) -> bool {
        dir.file_name() == Some(OsStr::new(".git"))
            || self.settings.left_out.iter().any(|it| it == dir)
    }

    fn tell_poller(&mut self) {
        if self.poller.is_none() && self.polled.is_empty() {
            return;
        }
        if self.poller.is_none() {
            match Poller::start(self.shared.clone(), self.settings.poll) {
                Ok(poller) => self.poller = Some(poller),
                Err(error) => return self.tell(format!("no thread can be started: {error}")),
            }
        }
        if let Some(poller) = &self.poller {
            let places = self.polled.iter();
            poller.set(
                places.map(|(dir, depth)| Place { dir: dir.clone(), depth: *depth }).collect(),
            );
        }
    }
}

struct Stall<'a>(Option<Stalled<'a>>);

impl Drop for Stall<'_> {
    fn drop(&mut self) {
        self.0.take();
    }
}

fn no_watcher(error: &notify::Error) -> String {
    format!(
        "the system gives no events ({error}): directories are looked at every now and then; perhaps \
         `fs.inotify.max_user_instances` is too low"
    )
}

/// Where a directory and what is below it begins in an ordered set.
fn from(dir: &Path) -> (Bound<&Path>, Bound<&Path>) {
    (Bound::Included(dir), Bound::Unbounded)
}

/// The directories in one, links to such too.
fn directories_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    let is_dir = |entry: &std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    };
    entries.flatten().filter(is_dir).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests;
