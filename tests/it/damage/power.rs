//! The power fails at any write: of the contents that were not synced nothing is left but names of empty files.
//! No row names such a content, unless the project wants to be fast; then the next open sees it, since the
//! machine was started anew.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use giornata::base::fault::{self, Write};
use giornata::engine::{Access, Depth};

use super::matrix::{files, make, project, values};
use super::*;
use crate::kill::open;
use crate::sim::copy_dir;

/// What has reached the disk: what was in the store when it was synced the last time.
#[derive(Default)]
struct Disk {
    synced: BTreeSet<std::path::PathBuf>,
    /// Counted down to the failure.
    left: u32,
    has_failed: bool,
}

/// Makes everything and has the power fail at a write; the store as it is found then. `None`: it did not come
/// to that.
fn cut(dir: &Path, at: u32) -> Option<TempDir> {
    let copy = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (root, to) = (dir.join(".giornata"), copy.path().to_owned());
    let mut engine = open(dir, Access::Write).unwrap();
    let disk = Rc::new(RefCell::new(Disk { left: at, ..Disk::default() }));
    let seen = disk.clone();
    let blobs = root.join("blobs");
    let now = move || -> BTreeSet<_> {
        let there = if blobs.exists() { files(&blobs) } else { Vec::new() };
        there.into_iter().collect()
    };
    let hook = move |write: Write<'_>| {
        let mut disk = seen.borrow_mut();
        let is_sync = matches!(write, Write::File("sync", _));
        if let (0, false) = (disk.left, disk.has_failed) {
            disk.has_failed = true;
            copy_dir(&root, &to)?;
            for lost in now().difference(&disk.synced) {
                let copied = to.join(lost.strip_prefix(&root).unwrap());
                fs::remove_file(&copied)?;
                fs::write(&copied, "")?;
            }
        }
        disk.left = disk.left.saturating_sub(1);
        if is_sync {
            disk.synced = now();
        }
        Ok(())
    };
    fault::with(hook, || make(&mut engine)).unwrap();
    let has_failed = disk.borrow().has_failed;
    has_failed.then_some(copy)
}

/// Says that the machine was started anew since the store was open.
fn restart(store: &Path) {
    let database = rusqlite::Connection::open(store.join("giornata.db")).unwrap();
    let changed =
        database.execute("UPDATE meta SET value = 'another' WHERE key = 'boot_id'", []).unwrap();
    assert_eq!(changed, 1);
}

/// Says how many failures left a content without its bytes that a row names.
fn check_cuts(durability: &str) -> u32 {
    let expected = {
        let dir = project(durability);
        let mut engine = open(dir.path(), Access::Write).unwrap();
        make(&mut engine).unwrap();
        values(&engine, dir.path())
    };
    let mut named = 0;
    for at in 0.. {
        let dir = project(durability);
        let Some(left) = cut(dir.path(), at) else { break };
        let store = dir.path().join(".giornata");
        fs::remove_dir_all(&store).unwrap();
        copy_dir(left.path(), &store).unwrap();
        // Of a machine that has not been started anew nothing would be looked at when the store is opened.
        let found = open(dir.path(), Access::Read).unwrap().doctor(Depth::Contents).unwrap();
        named += u32::from(!found.is_empty());
        fs::remove_dir_all(&store).unwrap();
        copy_dir(left.path(), &store).unwrap();
        restart(&store);
        let mut engine = open(dir.path(), Access::Write).unwrap();
        make(&mut engine).unwrap();
        assert_eq!(engine.doctor(Depth::Contents).unwrap(), [], "{durability} {at}");
        assert!(values(&engine, dir.path()) == expected, "{durability} {at}");
    }
    named
}

#[test]
fn what_the_power_cut_took_is_named_by_no_row() {
    assert_eq!(check_cuts("batch"), 0);
}

#[test]
fn what_the_power_cut_took_from_a_fast_project_is_made_again() {
    assert!(check_cuts("fast") > 0);
}
