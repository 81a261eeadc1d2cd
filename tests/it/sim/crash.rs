//! What comes between two writes of a process: its death, or everything that another process does.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::mpsc::channel;

use giornata::base::fault::{self, Write};
use giornata::engine::{Gc, GcMode};

use super::During;
use crate::freshness_rig::all;
use crate::freshness_wide::{Rig, rows};

/// What is on disk after a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// What it had undone while it fell: the other process lives on.
    Kept,
    /// What was there at the moment of the death, as after a kill; the other process dies as well.
    Lost,
}

/// The panic by which a process dies.
struct Died;

/// Counts what is written, apart from what depends on when files were looked at.
#[derive(Default)]
struct Counter {
    wrote: bool,
    in_transaction: bool,
}

impl Counter {
    fn counts(&mut self, write: Write<'_>) -> bool {
        let Write::Sql(sql) = write else { return true };
        match sql.split_whitespace().next().unwrap_or_default() {
            "BEGIN" => {
                self.in_transaction = true;
                std::mem::take(&mut self.wrote)
            }
            "COMMIT" | "ROLLBACK" => {
                self.in_transaction = false;
                std::mem::take(&mut self.wrote)
            }
            "INSERT" | "UPDATE" | "DELETE"
                if !sql.split_whitespace().any(|word| matches!(word, "stat" | "memory")) =>
            {
                self.wrote = true;
                true
            }
            _ => false,
        }
    }
}

impl Rig {
    /// A process dies at its n-th write from now on, if it comes to that.
    pub(super) fn crash(&mut self, at: u32, image: Image, during: &During) {
        self.vague();
        let copy = tempfile::tempdir().unwrap();
        let (root, to) = (self.shelf.path(".giornata"), copy.path().to_owned());
        let (mut counter, mut left) = (Counter::default(), at);
        let hook = move |write: Write<'_>| {
            if !counter.counts(write) {
                return Ok(());
            }
            if let Some(less) = left.checked_sub(1) {
                left = less;
                return Ok(());
            }
            copy_dir(&root, &to).unwrap();
            resume_unwind(Box::new(Died))
        };
        let run = || catch_unwind(AssertUnwindSafe(|| self.during(during)));
        let Err(panic) = fault::with(hook, run) else { return };
        let panic = match panic.downcast::<Died>() {
            Ok(died) => died,
            Err(other) => resume_unwind(other),
        };
        drop(panic);
        self.shelf.trace.say("died");
        self.shelf.take_ran();
        let process = match during {
            During::Make(process) | During::Open(process) | During::Gc(process) => *process,
            During::Backfill(asked) => asked.process,
        };
        self.processes[process].engine = None;
        if image == Image::Lost {
            self.processes.iter_mut().for_each(|process| process.engine = None);
            let root = self.shelf.path(".giornata");
            fs::remove_dir_all(&root).unwrap();
            copy_dir(copy.path(), &root).unwrap();
        }
    }

    fn during(&mut self, during: &During) {
        match during {
            During::Backfill(asked) => self.backfill_unwatched(asked),
            During::Make(process) => {
                let process = &mut self.processes[*process];
                let request = all(self.shelf.refreshed(process), false);
                self.shelf.race(process, &request);
            }
            During::Open(process) => {
                self.processes[*process].engine = None;
                self.shelf.refreshed(&mut self.processes[*process]);
            }
            During::Gc(process) => {
                let engine = self.shelf.refreshed(&mut self.processes[*process]);
                engine
                    .gc(Gc { keep: giornata::defs::Keep::default(), mode: GcMode::Remove })
                    .unwrap();
            }
        }
    }

    /// The other process makes everything before the n-th write of this one that is in no transaction,
    /// after rows have changed.
    pub(super) fn weave(&mut self, process: usize, at: u32, lines: &[(u32, u8)]) {
        self.vague();
        let (first, second) = self.processes.split_at_mut(1);
        let (this, other) = match process {
            0 => (&mut first[0], &mut second[0]),
            _ => (&mut second[0], &mut first[0]),
        };
        let shelf = &self.shelf;
        let request = all(shelf.refreshed(this), false);
        let (go, begin) = channel();
        let (end, ended) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if begin.recv() == Ok(()) {
                    shelf.trace.say("meanwhile");
                    shelf.write("rows.csv", &rows(lines));
                    let request = all(shelf.refreshed(other), false);
                    shelf.race(other, &request);
                    shelf.trace.say("back");
                    end.send(()).unwrap();
                }
            });
            let (mut counter, mut left) = (Counter::default(), Some(at));
            let hook = move |write: Write<'_>| {
                // The end of a transaction is told before it has ended.
                let is_free = !counter.in_transaction;
                // Whether there is a transaction may depend on when files were looked at.
                let counts = counter.counts(write) || is_free && !counter.in_transaction;
                left = match left {
                    Some(0) if is_free => {
                        go.send(()).unwrap();
                        // If that panicked it has told so itself.
                        let _ = ended.recv();
                        None
                    }
                    Some(more) if counts => Some(more.saturating_sub(1)),
                    left => left,
                };
                Ok(())
            };
            fault::with(hook, || shelf.race(this, &request));
        });
    }
}

/// Copies a directory with all that is in it.
pub fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
