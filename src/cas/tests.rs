//! Tests of the content store and of the stat cache.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::hash::hash_stable_with;
use super::stat::{FsClock, Observed, SLACK_UNKNOWN_NS, Slack, StatEntry, StatKey, trusted};
use super::*;

fn open(dir: &Path) -> Cas {
    Cas::open(dir, Durability::Batch).unwrap()
}

/// Every file below a directory that is not a lock.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_none_or(|extension| extension != "lock") {
            found.push(path);
        }
    }
    found
}

#[test]
fn what_is_put_can_be_read_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let cas = open(dir.path());
    assert!(files(dir.path()).is_empty(), "opening creates nothing");
    let put = cas.put_bytes(b"hello").unwrap();
    assert_eq!(put, Put { digest: Digest::of_blob(b"hello"), size: 5 });
    assert_eq!(cas.read(&put.digest).unwrap(), b"hello");
    assert!(cas.contains(&put.digest, 5) && !cas.contains(&put.digest, 6));
    assert_eq!(cas.verify(&put.digest).unwrap(), State::Sound { size: 5 });
    let mode = fs::metadata(cas.path(&put.digest)).unwrap().permissions().mode();
    assert_eq!(mode & 0o222, 0);
    let hex = put.digest.to_string();
    assert!(cas.path(&put.digest).ends_with(format!("blobs/{}/{}", &hex[..2], &hex[2..])));
    cas.sync().unwrap();
    cas.sync_all().unwrap();
    assert_eq!(files(dir.path()), [cas.path(&put.digest)]);
}

#[test]
fn a_staged_file_moves_in_and_a_second_one_is_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let cas = open(dir.path());
    let staged = dir.path().join("staged");
    fs::write(&staged, "content").unwrap();
    let inode = fs::metadata(&staged).unwrap().ino();
    let put = cas.put_file(&staged).unwrap();
    assert!(!staged.exists());
    assert_eq!(fs::metadata(cas.path(&put.digest)).unwrap().ino(), inode, "moved, not copied");
    fs::write(&staged, "content").unwrap();
    assert_eq!(cas.put_file(&staged).unwrap(), put);
    assert!(!staged.exists());
    assert_eq!(fs::metadata(cas.path(&put.digest)).unwrap().ino(), inode);
    assert_eq!(cas.list().unwrap().len(), 1);
}

#[test]
fn only_regular_files_move_in() {
    let dir = tempfile::tempdir().unwrap();
    let cas = open(dir.path());
    let link = dir.path().join("link");
    fs::write(dir.path().join("real"), "x").unwrap();
    std::os::unix::fs::symlink("real", &link).unwrap();
    assert!(matches!(cas.put_file(&link), Err(Error::NotAFile { .. })));
    assert!(matches!(cas.put_file(dir.path()), Err(Error::NotAFile { .. })));
    assert!(matches!(cas.put_file(&dir.path().join("none")), Err(Error::Io { .. })));
}

#[test]
fn a_file_of_another_file_system_is_copied() {
    let shm = Path::new("/dev/shm");
    let dir = tempfile::tempdir().unwrap();
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    if device(shm).is_none() || device(shm) == device(dir.path()) {
        return;
    }
    let Ok(staged) = tempfile::NamedTempFile::new_in(shm) else { return };
    fs::write(staged.path(), "from afar").unwrap();
    let cas = open(dir.path());
    let put = cas.put_file(staged.path()).unwrap();
    assert_eq!(cas.read(&put.digest).unwrap(), b"from afar");
    assert!(!staged.path().exists());
}

#[test]
fn damage_is_noticed_put_aside_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let cas = open(dir.path());
    let put = cas.put_bytes(b"hello").unwrap();
    let path = cas.path(&put.digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, "jello").unwrap();
    let actual = Digest::of_blob(b"jello");
    assert_eq!(cas.verify(&put.digest).unwrap(), State::Corrupt { actual });
    let error = cas.read(&put.digest).unwrap_err();
    assert!(matches!(error, Error::Corrupt { actual: found, .. } if found == actual));
    cas.quarantine(&put.digest).unwrap();
    assert_eq!(
        fs::read(dir.path().join("quarantine").join(put.digest.to_string())).unwrap(),
        b"jello"
    );
    assert_eq!(cas.verify(&put.digest).unwrap(), State::Missing);
    for error in [cas.read(&put.digest).unwrap_err(), cas.quarantine(&put.digest).unwrap_err()] {
        assert!(matches!(error, Error::Missing { .. }), "{error}");
    }
    cas.put_bytes(b"hello").unwrap();
    assert_eq!(cas.read(&put.digest).unwrap(), b"hello");
}

#[test]
fn a_blob_of_the_wrong_size_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let cas = open(dir.path());
    let put = cas.put_bytes(b"hello").unwrap();
    fs::remove_file(cas.path(&put.digest)).unwrap();
    // As after a power cut without a sync.
    fs::write(cas.path(&put.digest), "").unwrap();
    cas.put_bytes(b"hello").unwrap();
    assert_eq!(cas.read(&put.digest).unwrap(), b"hello");
}

#[test]
fn writers_that_begin_at_once_leave_nothing() {
    for round in 0..40_u8 {
        let dir = tempfile::tempdir().unwrap();
        let cas = open(dir.path());
        let begin = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for worker in 0..4_u8 {
                let (cas, begin) = (&cas, &begin);
                scope.spawn(move || {
                    begin.wait();
                    cas.put_bytes(&[round, worker]).unwrap();
                });
            }
        });
        drop(cas);
        let left: Vec<_> = fs::read_dir(dir.path().join("tmp")).unwrap().collect();
        assert_eq!(left.len(), 0, "round {round}: {left:?}");
    }
}

#[test]
fn temporary_directories_without_a_lock_are_swept() {
    let dir = tempfile::tempdir().unwrap();
    let live = open(dir.path());
    live.put_bytes(b"x").unwrap();
    fs::create_dir_all(dir.path().join("tmp/lost")).unwrap();
    fs::write(dir.path().join("tmp/lost/part"), "half").unwrap();
    drop(open(dir.path()));
    let left: Vec<_> = fs::read_dir(dir.path().join("tmp")).unwrap().collect();
    assert_eq!(left.len(), 2, "the directory of one that lives, and its lock: {left:?}");
}

#[test]
fn many_may_put_the_same_content_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let shared = open(dir.path());
    std::thread::scope(|scope| {
        for worker in 0..8_u8 {
            let (dir, shared) = (dir.path(), &shared);
            scope.spawn(move || {
                let own = open(dir);
                for round in 0..20_u8 {
                    let staged = dir.join(format!("staged-{worker}"));
                    fs::write(&staged, [round]).unwrap();
                    let put = own.put_file(&staged).unwrap();
                    assert_eq!(shared.put_bytes(&[round]).unwrap(), put);
                    assert_eq!(own.read(&put.digest).unwrap(), [round]);
                }
                own.sync().unwrap();
            });
        }
    });
    shared.sync().unwrap();
    assert_eq!(shared.list().unwrap().len(), 20);
    drop(shared);
    assert_eq!(files(dir.path()).len(), 20, "nothing temporary is left");
}

#[test]
fn many_blobs_are_synced_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let cas = open(dir.path());
    for i in 0..100_u8 {
        cas.put_bytes(&[i]).unwrap();
    }
    cas.sync().unwrap();
    assert!(cas.pending.lock().unwrap().is_empty());
    let put = cas.put_bytes(b"gone").unwrap();
    fs::remove_file(cas.path(&put.digest)).unwrap();
    assert!(matches!(cas.sync(), Err(Error::Missing { .. })));
    assert_eq!(cas.pending.lock().unwrap().len(), 1, "what was not synced stays to be synced");
}

#[test]
fn a_crash_before_the_rename_leaves_nothing_after_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join("tmp/dead");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("half"), "ha").unwrap();
    fs::write(dir.path().join("tmp/dead.lock"), "").unwrap();
    let living = open(dir.path());
    assert!(!left.exists());
    living.put_bytes(b"x").unwrap();
    let scratch = living.scratch.get().unwrap().dir.clone();
    fs::write(scratch.join("being written"), "").unwrap();
    open(dir.path()).put_bytes(b"y").unwrap();
    assert!(scratch.join("being written").exists(), "that of a living process stays");
    drop(living);
    assert!(!scratch.exists());
}

#[test]
fn a_sweep_spares_what_is_used_or_young() {
    let dir = tempfile::tempdir().unwrap();
    let cas = open(dir.path());
    let [used, unused, young] = [b"a", b"b", b"c"].map(|bytes| cas.put_bytes(bytes).unwrap());
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    for put in [&used, &unused, &young] {
        let file = fs::File::open(cas.path(&put.digest)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    // Put again: somebody is about to name it.
    cas.put_bytes(b"c").unwrap();
    let keep = |digest: &Digest| *digest == used.digest;
    let lease = cas.lease().unwrap();
    let limit = long_ago + Duration::from_secs(1);
    assert!(matches!(cas.sweep(&keep, limit), Err(Error::InUse { .. })));
    drop(lease);
    let swept = cas.sweep(&keep, limit).unwrap();
    assert_eq!(swept, Swept { removed: 1, removed_bytes: 1, spared: 1, kept: 1 });
    assert!(!cas.contains(&unused.digest, 1) && cas.contains(&young.digest, 1));
}

#[test]
fn an_export_is_a_copy_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let cas = open(dir.path());
    let put = cas.put_bytes(b"report").unwrap();
    let target = dir.path().join("out/deep/report.html");
    cas.export(&put.digest, &target).unwrap();
    cas.export(&put.digest, &target).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"report");
    assert_eq!(fs::metadata(&target).unwrap().nlink(), 1);
    fs::write(&target, "edited").unwrap();
    assert_eq!(cas.read(&put.digest).unwrap(), b"report");
    let usual = dir.path().join("usual");
    fs::write(&usual, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&target), mode(&usual), "as if the user had written it");
    assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    let none = Digest::of_blob(b"none");
    assert!(matches!(cas.export(&none, &target), Err(Error::Missing { .. })));
    let blob = cas.path(&put.digest);
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, b"rep0rt").unwrap();
    assert!(matches!(cas.export(&put.digest, &target), Err(Error::Corrupt { .. })));
    assert_eq!(fs::read(&target).unwrap(), b"edited");
    assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "old").unwrap();
    let hashed = hash_stable_with(&path, &mut |attempt| {
        if attempt == 0 {
            fs::write(&path, "newer").unwrap();
        }
    });
    assert_eq!(hashed.unwrap().digest, Digest::of_blob(b"newer"));
    let unstable = hash_stable_with(&path, &mut |attempt| {
        fs::write(&path, "x".repeat(attempt as usize)).unwrap();
    });
    assert!(matches!(unstable, Err(Error::Unstable { .. })));
}

#[test]
fn large_files_have_the_usual_hash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let pieces = [512 << 10, (512 << 10) + 1, (1 << 20) + 1, (3 << 19) + 1023, 33 << 20];
    for size in [0, 1, (1 << 20) - 1, 1 << 20, (5 << 20) / 2].into_iter().chain(pieces) {
        let bytes: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        assert_eq!(hash_file(&path).unwrap(), (Digest::of_blob(&bytes), u64::from(size)));
    }
    let hashed = hash_files(&[path, dir.path().join("none")]);
    assert!(hashed[0].is_ok() && matches!(hashed[1], Err(Error::Io { .. })));
}

const OWN: Slack = Slack { dev: 1, ns: 10 };

fn entry(mtime_ns: i64, ctime_ns: i64, taken_ns: i64) -> StatEntry {
    let stat = StatKey { dev: 1, ino: 2, size: 3, mtime_ns, ctime_ns, mode: 0o644 };
    StatEntry { stat, digest: Digest::of_blob(b""), taken_ns }
}

#[test]
fn stamps_are_trusted_only_if_they_are_older_than_the_reading() {
    let check = |entry: StatEntry, expected| {
        assert_eq!(trusted(&entry, &entry.stat, OWN), expected, "{entry:?}");
    };
    check(entry(50, 50, 100), true);
    check(entry(90, 50, 100), false);
    check(entry(50, 90, 100), false);
    check(entry(89, 89, 100), true);
    check(entry(100, 100, 100), false);
    check(entry(200, 50, 100), false);
    check(entry(50, 50, i64::MIN), false);
    let known = entry(50, 50, 100);
    assert!(!trusted(&known, &StatKey { ctime_ns: 51, ..known.stat }, OWN), "`touch -r`");
    assert!(!trusted(&known, &StatKey { ino: 7, ..known.stat }, OWN), "replaced");
}

#[test]
fn other_file_systems_get_the_coarsest_slack() {
    let mut known = entry(50, 50, SLACK_UNKNOWN_NS);
    assert!(trusted(&known, &known.stat, OWN));
    known.stat.dev = 9;
    assert!(!trusted(&known, &known.stat, OWN));
    known.taken_ns = SLACK_UNKNOWN_NS + 51;
    assert!(trusted(&known, &known.stat, OWN));
}

proptest! {
    /// A file system whose stamps are `tick` coarse; writes at any times; a cache that looks in between.
    /// Whatever the cache trusts is what the file has.
    #[test]
    fn no_edit_is_missed_whatever_the_tick(
        tick in 1_i64..8,
        events in proptest::collection::vec((0_i64..6, any::<bool>()), 1..40),
    ) {
        let slack = Slack { dev: 1, ns: 0 };
        let (mut clock, mut content, mut stamp) = (100_i64, 0_u32, 96_i64);
        let mut known: Option<(StatEntry, u32)> = None;
        for (pause, writes) in events {
            clock += pause;
            let coarse = clock - clock % tick;
            if writes {
                (content, stamp) = (content + 1, coarse);
                continue;
            }
            let now = entry(stamp, stamp, 0).stat;
            match &known {
                Some((entry, remembered)) if trusted(entry, &now, slack) => {
                    prop_assert_eq!(*remembered, content);
                }
                Some(_) | None => known = Some((entry(stamp, stamp, coarse), content)),
            }
        }
    }
}

#[test]
fn an_edit_in_the_same_tick_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let clock = FsClock::open(dir.path());
    let slack = clock.probe();
    let path = dir.path().join("f");
    let mut dirs = Dirs::new(dir.path());
    let mut observe =
        |known: Option<&StatEntry>, now| dirs.observe("f", known, now, slack).unwrap();
    let mut known = None;
    for i in 0..300_u32 {
        // Always the same size, and as fast as it goes.
        let content = format!("{i:08}");
        fs::write(&path, &content).unwrap();
        let seen = observe(known.as_ref(), clock.now_ns());
        assert_eq!(seen.entry().digest, Digest::of_blob(content.as_bytes()), "edit {i}");
        known = Some(*seen.entry());
    }
}

#[test]
fn an_old_file_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, "x").unwrap();
    let clock = FsClock::open(dir.path());
    let slack = clock.probe();
    let written = StatKey::of(&fs::metadata(&path).unwrap());
    let late = written.ctime_ns + 10 * SLACK_UNKNOWN_NS;
    let mut dirs = Dirs::new(dir.path());
    let first = dirs.observe("f", None, late, slack).unwrap();
    assert!(matches!(first, Observed::Hashed(_)));
    let second = dirs.observe("f", Some(first.entry()), late, slack).unwrap();
    assert_eq!(second, Observed::Unchanged(*first.entry()));
}

/// Whatever the order of directories, and however far a file is from having settled, what is said of it is
/// what a look by its whole path says.
#[test]
fn files_are_found_by_their_names_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let sizes = [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 700_000];
    let mut paths = Vec::new();
    for place in ["", "a/", "a/b/", "c/"] {
        fs::create_dir_all(root.join(place)).unwrap();
        for size in sizes {
            let path = format!("{place}f{size}");
            let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            fs::write(root.join(&path), content).unwrap();
            paths.push(path);
        }
    }
    let outside = dir.path().join("outside");
    fs::write(&outside, "x").unwrap();
    std::os::unix::fs::symlink("../../outside", root.join("c/link")).unwrap();
    paths.extend([outside.to_str().unwrap().to_owned(), "c/link".to_owned()]);
    let slack = Slack { dev: 0, ns: 0 };
    for taken_ns in [i64::MIN, i64::MAX] {
        for order in [1, 5, 7] {
            let mut dirs = Dirs::new(&root);
            for place in 0..paths.len() {
                let path = &paths[place * order % paths.len()];
                let hashed = hash_files(&[root.join(path)]).pop().unwrap().unwrap();
                let wanted = StatEntry { stat: hashed.stat, digest: hashed.digest, taken_ns };
                let seen = dirs.observe(path, None, taken_ns, slack).unwrap();
                assert_eq!(seen, Observed::Hashed(wanted), "{path}");
            }
        }
    }
    let mut dirs = Dirs::new(&root);
    for _ in 0..3 {
        let mut fault = |path| dirs.observe(path, None, i64::MAX, slack).unwrap_err();
        assert!(matches!(fault("a/none"), Error::Io { action: "open", .. }));
        assert!(matches!(fault("a/b"), Error::NotAFile { .. }));
    }
}

#[test]
fn without_a_clock_nothing_is_trusted() {
    let clock = FsClock::open(Path::new("/nonexistent"));
    assert_eq!(clock.now_ns(), i64::MIN);
    assert_eq!(clock.probe().ns, SLACK_UNKNOWN_NS);
}

#[test]
fn the_clock_of_the_file_system_is_not_ahead_of_later_writes() {
    let dir = tempfile::tempdir().unwrap();
    let clock = FsClock::open(dir.path());
    for i in 0..200 {
        let before = clock.now_ns();
        let path = dir.path().join(format!("f{i}"));
        fs::write(&path, "x").unwrap();
        let stat = StatKey::of(&fs::metadata(&path).unwrap());
        assert!(before <= stat.mtime_ns && before <= stat.ctime_ns);
    }
}
