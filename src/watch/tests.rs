//! Tests of watching on the real file system: every hint comes, however it is hidden.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// No test waits so long unless it fails.
const LONG: Duration = Duration::from_secs(60);

struct Rig {
    dir: tempfile::TempDir,
    watch: Watch,
    seen: Batch,
}

impl Rig {
    fn new(settings: Settings) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(Settings { settle: Duration::from_millis(10), ..settings });
        Rig { dir, watch, seen: Batch::default() }
    }

    /// Watches everything in directories of these names.
    fn watching(settings: Settings, names: &[&str]) -> Rig {
        let mut rig = Rig::new(settings);
        let root = |name: &&str| Root { dir: rig.path(name), depth: usize::MAX };
        let roots = names.iter().map(root).collect();
        rig.watch.set_roots(roots);
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn mkdir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Waits until what came together is enough.
    #[track_caller]
    fn until(&mut self, is_enough: impl Fn(&Batch) -> bool) {
        while !is_enough(&self.seen) {
            let Batch { all, dirs, closed, renamed, notices } = self.watch.wait(Some(LONG));
            let came = all || !dirs.is_empty() || !notices.is_empty();
            assert!(came, "nothing more came; so far: {:?}", self.seen);
            self.seen.all |= all;
            self.seen.dirs.extend(dirs);
            self.seen.closed.extend(closed);
            self.seen.renamed.extend(renamed);
            self.seen.notices.extend(notices);
        }
    }

    /// Waits until a directory is told of, and forgets what was told.
    #[track_caller]
    fn hears_of(&mut self, name: &str) {
        let path = self.path(name);
        self.until(|seen| seen.all || seen.dirs.contains(&path));
        self.seen = Batch::default();
    }
}

#[test]
fn files_in_fresh_nested_directories_are_found() {
    let mut rig = Rig::new(Settings::default());
    let root = Root { dir: rig.dir.path().to_owned(), depth: usize::MAX };
    rig.watch.set_roots(vec![root]);
    let leaves: Vec<PathBuf> = (0..100).map(|n| rig.mkdir(&format!("d{n}/a/b"))).collect();
    leaves.iter().for_each(|dir| fs::write(dir.join("x.csv"), "1").unwrap());
    rig.until(|seen| seen.all || leaves.iter().all(|dir| seen.dirs.contains(dir)));
    assert_eq!(rig.watch.counts(), (302, 0), "three for each, the root, and what it lies in");
}

#[test]
fn where_the_queue_overflows_everything_is_a_hint() {
    let mut rig = Rig::watching(Settings::default(), &["in"]);
    rig.mkdir("in/a");
    rig.hears_of("in/a");
    let stalled = rig.watch.stall();
    for n in 0..6_000 {
        fs::write(rig.dir.path().join(format!("in/a/{n}")), "1").unwrap();
    }
    fs::create_dir_all(rig.dir.path().join("in/b/c")).unwrap();
    fs::write(rig.dir.path().join("in/b/c/x"), "1").unwrap();
    drop(stalled);
    let (a, c) = (rig.path("in/a"), rig.path("in/b/c"));
    rig.until(|seen| seen.all || (seen.dirs.contains(&a) && seen.dirs.contains(&c)));
    // It is watched, whether the event of its making was lost or not.
    rig.seen = Batch::default();
    fs::write(rig.path("in/b/c/y"), "1").unwrap();
    rig.hears_of("in/b/c");
}

#[test]
fn a_renamed_directory_is_watched_under_its_new_name() {
    let mut rig = Rig::watching(Settings::default(), &["in", "out"]);
    rig.mkdir("in/a/b");
    rig.mkdir("out");
    rig.hears_of("in/a/b");
    fs::rename(rig.path("in/a"), rig.path("out/z")).unwrap();
    let (old, new) = (rig.path("in/a/b"), rig.path("out/z/b"));
    rig.until(|seen| seen.dirs.contains(&old) && seen.dirs.contains(&new));
    rig.seen = Batch::default();
    fs::write(rig.path("out/z/b/x"), "1").unwrap();
    rig.hears_of("out/z/b");
    // In and out again, and a new one in its place.
    fs::rename(rig.path("out/z"), rig.path("in/a")).unwrap();
    rig.mkdir("out/z/b");
    rig.hears_of("out/z/b");
    fs::write(rig.path("out/z/b/y"), "1").unwrap();
    rig.hears_of("out/z/b");
    fs::write(rig.path("in/a/b/y"), "1").unwrap();
    rig.hears_of("in/a/b");
}

#[test]
fn a_root_may_come_go_and_be_replaced() {
    let mut rig = Rig::watching(Settings::default(), &["x/in"]);
    for _ in 0..2 {
        rig.mkdir("x/in/deep");
        rig.hears_of("x/in");
        fs::write(rig.path("x/in/deep/f"), "1").unwrap();
        rig.hears_of("x/in/deep");
        fs::remove_dir_all(rig.path("x/in")).unwrap();
        rig.hears_of("x/in");
    }
    fs::remove_dir_all(rig.path("x")).unwrap();
    rig.mkdir("x/in");
    rig.hears_of("x/in");
    fs::write(rig.path("x/in/f"), "1").unwrap();
    rig.hears_of("x/in");
}

#[test]
fn links_lead_on_but_not_in_circles() {
    let mut rig = Rig::new(Settings::default());
    let real = rig.mkdir("real");
    rig.mkdir("in");
    symlink(&real, rig.path("in/link")).unwrap();
    symlink(rig.path("in"), rig.path("in/circle")).unwrap();
    let root = Root { dir: rig.path("in"), depth: usize::MAX };
    let other = Root { dir: real, depth: 1 };
    rig.watch.set_roots(vec![root, other]);
    rig.hears_of("in/link");
    fs::write(rig.path("real/x"), "1").unwrap();
    let (link, real) = (rig.path("in/link"), rig.path("real"));
    rig.until(|seen| seen.dirs.contains(&link) && seen.dirs.contains(&real));
}

#[test]
fn depth_and_what_is_left_out_are_kept_to() {
    let mut rig = Rig::new(Settings::default());
    rig.watch.settings.left_out = vec![rig.path("in/store")];
    ["in/a/b/c", "in/store/x", "in/.git/x"].iter().for_each(|dir| drop(rig.mkdir(dir)));
    rig.watch.set_roots(vec![Root { dir: rig.path("in"), depth: 2 }]);
    let watched: Vec<_> = rig.watch.watched.keys().cloned().collect();
    assert_eq!(
        watched,
        [rig.path(""), rig.path("in"), rig.path("in/a")]
            .map(|dir| { dir.components().collect::<PathBuf>() })
    );
    rig.watch.set_roots(vec![Root { dir: rig.path("in/a/b"), depth: 1 }]);
    let watched: Vec<_> = rig.watch.watched.keys().cloned().collect();
    assert!(watched.contains(&rig.path("in/a/b")) && !watched.contains(&rig.path("in/a/b/c")));
}

#[test]
fn without_events_directories_are_looked_at() {
    let poll = Duration::from_millis(10);
    for events in [Events::Never, Events::AtMost(2)] {
        let mut rig = Rig::watching(Settings { poll, events, ..Settings::default() }, &["in"]);
        rig.mkdir("in/a/b");
        rig.hears_of("in/a/b");
        fs::write(rig.path("in/a/b/x"), "1").unwrap();
        rig.hears_of("in/a/b");
        fs::write(rig.path("in/a/b/x"), "2").unwrap();
        rig.hears_of("in/a/b");
        fs::remove_dir_all(rig.path("in/a")).unwrap();
        rig.hears_of("in");
    }
}

#[test]
fn the_limit_of_the_system_is_told_once() {
    let events = Events::AtMost(2);
    let poll = Duration::from_millis(10);
    let mut rig = Rig::new(Settings { poll, events, ..Settings::default() });
    ["in/a", "in/b", "in/c"].iter().for_each(|dir| drop(rig.mkdir(dir)));
    rig.watch.set_roots(vec![Root { dir: rig.path("in"), depth: usize::MAX }]);
    rig.until(|seen| !seen.notices.is_empty());
    assert_eq!(rig.seen.notices.len(), 1, "{:?}", rig.seen.notices);
    assert!(rig.seen.notices[0].contains("fs.inotify.max_user_watches"));
    assert_eq!(rig.watch.counts(), (2, 3));
}

#[test]
fn a_batch_concerns_what_lies_in_reach() {
    let batch = |dir: &str| Batch { dirs: [PathBuf::from(dir)].into(), ..Batch::default() };
    let concerns = |batch: Batch, dir: &str, depth| batch.concerns(Path::new(dir), depth);
    assert!(concerns(batch("/r/in"), "/r/in", 1));
    assert!(!concerns(batch("/r/in/a"), "/r/in", 1));
    assert!(concerns(batch("/r/in/a"), "/r/in", 2));
    assert!(concerns(batch("/r/in/a/b/c"), "/r/in", usize::MAX));
    assert!(!concerns(batch("/r/inbox"), "/r/in", usize::MAX));
    assert!(concerns(batch("/r"), "/r/in", 1), "what it lies in, as long as it is not there");
    assert!(concerns(Batch { all: true, ..Batch::default() }, "/elsewhere", 1));
}
