//! Tests of the store: what each kind of damage looks like to the user, and files of old formats.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};

use super::snapshot::Snapshot;
use super::tests::{digest, key, mat, tell_a_story};
use super::*;
use crate::base::{Rev, RunId};

const DB: &str = "giornata.db";

/// Damages a store that has some content, and compares what opening and reading it says.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
fn check(damage: impl FnOnce(&Path), expect: Expect) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
    tell_a_story(&mut store);
    drop(store);
    damage(dir.path());
    let said = |opened: Result<Store, Error>| {
        let read = opened.and_then(|store| {
            let problems = store.integrity()?;
            Snapshot::render(&store)?;
            Ok(problems)
        });
        match read {
            Ok(problems) if problems.is_empty() => "sound".to_owned(),
            Ok(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            Err(error) => error.to_string().replace(&dir.path().display().to_string(), "DIR"),
        }
    };
    let write = said(Store::open(dir.path(), Durability::Batch));
    let read = said(Store::open_copy(dir.path()));
    expect.assert_eq(&format!("write: {write}\nread: {read}\n"));
}

fn sql(dir: &Path, text: &str) {
    let conn = Connection::open(dir.join(DB)).unwrap();
    conn.execute_batch(text).unwrap();
}

#[test]
fn no_damage() {
    check(
        |_| {},
        expect![[r#"
            write: sound
            read: sound
        "#]],
    );
}

#[test]
fn a_file_that_is_no_database() {
    check(
        |dir| fs::write(dir.join(DB), "This is text.".repeat(100)).unwrap(),
        expect![[r#"
        write: DIR/giornata.db is damaged: file is not a database; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup
        read: DIR/giornata.db is damaged: file is not a database; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup
    "#]],
    );
}

#[test]
fn an_empty_file() {
    check(
        |dir| fs::write(dir.join(DB), "").unwrap(),
        expect![[r#"
            write: sound
            read: sound
        "#]],
    );
}

#[test]
fn a_creation_that_was_cut_short() {
    let damage = |dir: &Path| {
        fs::remove_file(dir.join(DB)).unwrap();
        sql(dir, "PRAGMA journal_mode = WAL");
    };
    check(
        damage,
        expect![[r#"
        write: sound
        read: sound
    "#]],
    );
    let dir = tempfile::tempdir().unwrap();
    sql(dir.path(), "PRAGMA journal_mode = WAL");
    let reader = Store::open_copy(dir.path()).unwrap();
    assert_eq!(reader.assets().unwrap(), [], "brought to the current format in memory");
}

#[test]
fn a_file_that_was_cut() {
    let damage = |dir: &Path| {
        let file = fs::OpenOptions::new().write(true).open(dir.join(DB)).unwrap();
        file.set_len(4096 * 3).unwrap();
    };
    check(
        damage,
        expect![[r#"
        write: DIR/giornata.db is damaged: database disk image is malformed; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup
        read: DIR/giornata.db is damaged: database disk image is malformed; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup
    "#]],
    );
}

#[test]
fn a_page_of_garbage() {
    let damage = |dir: &Path| {
        let mut bytes = fs::read(dir.join(DB)).unwrap();
        bytes[4096..3 * 4096].fill(0xAB);
        fs::write(dir.join(DB), bytes).unwrap();
    };
    check(
        damage,
        expect![[r#"
        write: DIR/giornata.db is damaged: database disk image is malformed; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup
        read: DIR/giornata.db is damaged: database disk image is malformed; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup
    "#]],
    );
}

#[test]
fn a_newer_format() {
    check(
        |dir| sql(dir, "PRAGMA user_version = 99"),
        expect![[r#"
            write: DIR/giornata.db was made by a newer giornata (its format is 99, this program knows 6); use that version, or move the directory away to start anew
            read: DIR/giornata.db was made by a newer giornata (its format is 99, this program knows 6); use that version, or move the directory away to start anew
        "#]],
    );
}

#[test]
fn a_directory_in_place_of_the_database() {
    let damage = |dir: &Path| {
        fs::remove_file(dir.join(DB)).unwrap();
        fs::create_dir(dir.join(DB)).unwrap();
    };
    check(
        damage,
        expect![[r#"
            write: DIR/giornata.db is damaged: it is a directory; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup
            read: DIR/giornata.db is damaged: it is a directory; move it away to start anew (results are kept under `blobs`, but what they belong to is lost), or restore it from a backup
        "#]],
    );
}

#[test]
fn rows_that_name_what_is_not_there() {
    check(
        |dir| sql(dir, "DELETE FROM output WHERE size = 1"),
        expect![[r#"
            write: results of raw name outputs that are not recorded (1 rows)
            read: results of raw name outputs that are not recorded (1 rows)
        "#]],
    );
    check(
        |dir| sql(dir, "DELETE FROM blob_small"),
        expect![[r#"
            write: a result of mart/daily names the content 5443af0c0e97f60b57f1450f3051247bce8f92565feb6cd650c9369b79f0b43b, which is missing
            read: a result of mart/daily names the content 5443af0c0e97f60b57f1450f3051247bce8f92565feb6cd650c9369b79f0b43b, which is missing
        "#]],
    );
    check(
        |dir| sql(dir, "UPDATE blob SET state = 'missing'"),
        expect![[r#"
            write: a result of raw names the content 17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f, which is missing
            read: a result of raw names the content 17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f, which is missing
        "#]],
    );
    check(
        |dir| sql(dir, "DELETE FROM asset WHERE name = 'raw'"),
        expect![[r#"
            write: the table `mat` has rows of no recorded asset (1 rows)
            read: the table `mat` has rows of no recorded asset (1 rows)
        "#]],
    );
    check(
        |dir| sql(dir, "UPDATE asset SET max_changed = 0"),
        expect![[r#"
            write: a change of mart/daily is newer than the newest that is recorded for it; a change of raw is newer than the newest that is recorded for it
            read: a change of mart/daily is newer than the newest that is recorded for it; a change of raw is newer than the newest that is recorded for it
        "#]],
    );
}

#[test]
fn values_that_we_never_write() {
    let dir = tempfile::tempdir().unwrap();
    let check = |damage: &str, ask: &dyn Fn(&Store) -> Result<(), Error>, expect: Expect| {
        let _ = fs::remove_file(dir.path().join(DB));
        let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
        tell_a_story(&mut store);
        drop(store);
        sql(dir.path(), damage);
        let store = Store::open(dir.path(), Durability::Batch).unwrap();
        let error = ask(&store).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        let Error::Damaged { path: _, detail } = error else { unreachable!("checked above") };
        expect.assert_eq(&detail);
    };
    let assets = |store: &Store| store.assets().map(|_| ());
    check(
        "UPDATE asset SET name = 'a//b' WHERE id = 1",
        &assets,
        expect!["it contains a bad name of an asset"],
    );
    check(
        "UPDATE asset_set SET data = x'00'",
        &assets,
        expect!["it contains a bad set of partitions"],
    );
    check(
        "UPDATE asset_set SET kind = 'odd' WHERE kind = 'fresh'",
        &assets,
        expect!["it contains a bad kind of set"],
    );
    let column = |store: &Store| store.column(&key("raw")).map(|_| ());
    check("UPDATE mat SET key = x'0102'", &column, expect!["it contains a bad digest"]);
    check("UPDATE mat SET part = -1", &column, expect!["Integer -1 out of range at index 0"]);
    let runs = |store: &Store| store.runs(&RunQuery::default()).map(|_| ());
    check("UPDATE run SET state = 'dancing'", &runs, expect!["it contains a bad state of a run"]);
}

#[test]
fn a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
    tell_a_story(&mut store);
    let before = Snapshot::render(&store).unwrap();
    store.conn.pragma_update(None, "max_page_count", 40).unwrap();
    let mut tx = store.begin().unwrap();
    let big = vec![7; 1 << 20];
    let error = tx.put_blob_small(&digest("big"), &big).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    drop(tx);
    store.conn.pragma_update(None, "max_page_count", 1 << 30).unwrap();
    assert_eq!(Snapshot::render(&store).unwrap(), before, "nothing is half-recorded");
    store.begin().unwrap().commit().unwrap();
}

#[test]
fn what_is_written_to_a_copy_stays_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut absent = Store::open_copy(&dir.path().join("none")).unwrap();
    assert_eq!(absent.assets().unwrap(), []);
    let write = |store: &mut Store| {
        let mut tx = store.begin().unwrap();
        tx.put_mat(&key("a"), &mat(0, "k", "v")).unwrap();
        tx.commit().unwrap()
    };
    assert_eq!(write(&mut absent), Rev(1));
    assert!(!dir.path().join("none").exists());
    let mut store = Store::open(dir.path(), Durability::Safe).unwrap();
    tell_a_story(&mut store);
    let before = Snapshot::render(&store).unwrap();
    let mut copy = Store::open_copy(dir.path()).unwrap();
    assert_eq!(Snapshot::render(&copy).unwrap(), before);
    write(&mut copy);
    assert_eq!(Snapshot::render(&store).unwrap(), before);
}

#[test]
fn a_directory_without_permission_to_write_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        // Permissions do not bind root.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    tell_a_story(&mut Store::open(dir.path(), Durability::Batch).unwrap());
    fs::set_permissions(dir.path().join(DB), fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let refused = Store::open(dir.path(), Durability::Batch);
    let read = Store::open_copy(dir.path()).and_then(|store| store.rev());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(refused, Err(Error::ReadOnly { .. })), "{refused:?}");
    assert_eq!(read.unwrap(), Rev(3));
}

#[test]
fn a_writer_that_was_killed_leaves_only_what_it_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
    tell_a_story(&mut store);
    let before = Snapshot::render(&store).unwrap();
    let mut tx = store.begin().unwrap();
    tx.put_mat(&key("a"), &mat(0, "k", "v")).unwrap();
    // What a kill leaves: the files as they are, the log not merged.
    let copy = tempfile::tempdir().unwrap();
    for name in [DB, "giornata.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let read = Store::open_copy(copy.path()).unwrap();
    assert_eq!(Snapshot::render(&read).unwrap(), before);
    let store = Store::open(copy.path(), Durability::Batch).unwrap();
    assert_eq!(Snapshot::render(&store).unwrap(), before);
    assert_eq!(store.integrity().unwrap(), []);
}

#[test]
fn many_can_create_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let dir = dir.path();
            scope.spawn(move || {
                let mut store = Store::open(dir, Durability::Batch).unwrap();
                let mut tx = store.begin().unwrap();
                tx.put_mat(&key("a"), &mat(worker, "k", "v")).unwrap();
                tx.commit().unwrap();
            });
        }
    });
    let store = Store::open(dir.path(), Durability::Batch).unwrap();
    assert_eq!(store.rev().unwrap(), Rev(8));
    assert_eq!(store.column(&key("a")).unwrap().len(), 8);
}

/// Opens a copy of a database that was made by each released format. To add one after a change of
/// the format: run this test with `GIORNATA_WRITE_FIXTURE=1`.
#[test]
#[expect(clippy::disallowed_methods, reason = "a switch for who maintains the fixtures")]
fn stored_formats_can_be_opened() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store");
    let current = root.join(FORMAT.to_string());
    if std::env::var_os("GIORNATA_WRITE_FIXTURE").is_some() {
        write_fixture(&current);
    }
    let expected = {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
        tell_a_story(&mut store);
        Snapshot::render(&store).unwrap()
    };
    for format in 1..=FORMAT {
        let stored = root.join(format.to_string()).join(DB);
        let copy = tempfile::tempdir().unwrap();
        fs::copy(&stored, copy.path().join(DB)).unwrap_or_else(|e| panic!("{stored:?}: {e}"));
        let store = Store::open(copy.path(), Durability::Batch).unwrap();
        let found = Snapshot::render(&store).unwrap();
        assert_eq!(known_to(format, &found), known_to(format, &expected), "format {format}");
        assert_eq!(store.integrity().unwrap(), []);
    }
}

/// The tables of what starts runs by itself.
const WATCHING: [&str; 5] = ["instigator ", "sensor_file ", "tick ", "run_key ", "request "];

/// What of a snapshot a format could already say. Times that an older one did not record are taken from
/// its attempts; that is asserted below.
fn known_to(format: u32, snapshot: &str) -> String {
    let is_known = |line: &&str| {
        (format >= 2 || !line.starts_with("note "))
            && (format >= 3 || !line.starts_with("fact "))
            && (format >= 4 || !(line.starts_with("op_") || line.starts_with("asked ")))
            && (format >= 6 || !WATCHING.iter().any(|table| line.starts_with(table)))
    };
    let column = |line: &str| match format {
        1 => line.split(" made_ms=").next().unwrap().to_owned(),
        2 | 3 if line.starts_with("trace ") => line.split(" partition=").next().unwrap().to_owned(),
        4 if line.starts_with("op_step ") => line.split(" metadata=").next().unwrap().to_owned(),
        _ => line.to_owned(),
    };
    snapshot.lines().filter(is_known).map(column).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_format_says_when_results_were_made_by_their_attempts() {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store/1").join(DB);
    let copy = tempfile::tempdir().unwrap();
    fs::copy(stored, copy.path().join(DB)).unwrap();
    let store = Store::open(copy.path(), Durability::Batch).unwrap();
    let attempt = store.attempt_of(RunId(1), &key("mart/daily"), 0).unwrap().unwrap();
    let made = |asset| store.row(&key(asset), 0).unwrap().unwrap().made_ms;
    assert_ne!(attempt.started_ms, 0);
    assert_eq!(made("mart/daily"), attempt.started_ms);
    assert_eq!(made("raw"), 0, "nothing says when");
}

fn write_fixture(to: &PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path(), Durability::Batch).unwrap();
    tell_a_story(&mut store);
    store.conn.execute_batch("DELETE FROM meta WHERE key = 'boot_id'; VACUUM").unwrap();
    drop(store);
    fs::create_dir_all(to).unwrap();
    fs::copy(dir.path().join(DB), to.join(DB)).unwrap();
}
