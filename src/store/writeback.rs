//! Has the log of a busy database written to disk while it grows, so that nobody has to wait for all of it at once.
//!
//! SQLite syncs the whole log before it moves it into the database, and who commits then waits for tens of
//! megabytes. Nothing depends on the thread here: what it does not get done, that sync does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

/// After so many commits of one process the log is written, some five megabytes.
const COMMITS: u32 = 128;

/// Writes the log every now and then, on a thread of its own, which a process with few commits never starts.
#[derive(Debug)]
pub(super) struct Writeback {
    log: PathBuf,
    commits: u32,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Writeback {
    /// Of the database in this file.
    pub(super) fn new(database: &Path) -> Writeback {
        let mut log = database.as_os_str().to_owned();
        log.push("-wal");
        Writeback { log: log.into(), commits: 0, thread: None }
    }

    /// To be called after each commit.
    pub(super) fn note_commit(&mut self) {
        self.commits += 1;
        if self.commits < COMMITS {
            return;
        }
        self.commits = 0;
        if self.thread.is_none() {
            self.thread = start(self.log.clone());
        }
        if let Some((wake, _)) = &self.thread {
            // If it is still at work, the next time will do.
            let _ = wake.try_send(());
        }
    }
}

/// `None` if there can be no thread; then everything takes the time that it takes.
fn start(log: PathBuf) -> Option<(SyncSender<()>, JoinHandle<()>)> {
    let (wake, woken) = sync_channel(1);
    let work = move || {
        // An error shows at SQLite's own sync.
        for () in woken {
            let _ = File::open(&log).and_then(|log| log.sync_data());
        }
    };
    Some((wake, Builder::new().name("writeback".to_owned()).spawn(work).ok()?))
}

impl Drop for Writeback {
    fn drop(&mut self) {
        if let Some((wake, thread)) = self.thread.take() {
            drop(wake);
            let _ = thread.join();
        }
    }
}
