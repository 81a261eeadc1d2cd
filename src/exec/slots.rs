//! Limits that hold for all processes of a project: of a pool, and of all steps.
//!
//! A limit of n is n files, and who holds the lock of one of them may run a step. The operating system gives the lock
//! back when its holder dies, however it dies. Nobody is told when one is free, so who waits looks again
//! every now and then.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::command::failed;
use super::{Control, Executor, Failure, Outcome, Step};
use crate::io::names::file_name;

/// How long to wait before looking again for a place, at first and at the most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// How many steps may run at once in all processes that have the project open.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    dir: PathBuf,
    steps: Option<usize>,
    pools: BTreeMap<Arc<str>, u32>,
}

impl Slots {
    /// Limits of the project whose store is in `dir`: of all steps, and of each pool.
    pub fn new(dir: &Path, steps: Option<usize>, pools: &BTreeMap<Arc<str>, u32>) -> Slots {
        Slots(Arc::new(Limits { dir: dir.join("slots"), steps, pools: pools.clone() }))
    }

    /// Waits for a place in every limit that concerns a step. All take them in the same order, so that
    /// nobody waits in a circle.
    fn take(&self, step: &Step, control: &Control) -> Result<Vec<Held>, Failure> {
        let Limits { dir, steps, pools } = &*self.0;
        let pool = step.def.pool.as_ref().and_then(|name| pools.get_key_value(name));
        let pool = pool.map(|(name, most)| (format!("pool-{}", file_name(name)), *most as usize));
        let all = steps.map(|most| ("steps".to_owned(), most));
        let limits = pool.into_iter().chain(all);
        limits.map(|(name, most)| wait(dir, &name, most, control)).collect()
    }
}

/// A place that is held; it is free when this is dropped, or the process dies.
#[derive(Debug)]
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing is not enough while another thread starts a child, which has the file too.
        let _ = self.0.unlock();
    }
}

/// Waits for one of `most` places.
fn wait(dir: &Path, name: &str, most: usize, control: &Control) -> Result<Held, Failure> {
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    let (mut delay, longest) = LOOK_AGAIN;
    loop {
        for place in 0..most {
            let path = dir.join(format!("{name}.{place}"));
            if let Some(held) = try_take(&path).map_err(failed("lock", &path))? {
                return Ok(held);
            }
        }
        if control.wait(delay) {
            return Err(Failure::Cancelled);
        }
        delay = (delay * 2).min(longest);
    }
}

fn try_take(path: &Path) -> io::Result<Option<Held>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Held(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// An executor whose steps run only while they have a place.
pub struct Limited<E> {
    inner: E,
    slots: Slots,
}

impl<E: Executor> Limited<E> {
    pub fn new(inner: E, slots: Slots) -> Limited<E> {
        Limited { inner, slots }
    }
}

impl<E: Executor> Executor for Limited<E> {
    fn run(&mut self, step: &Step, control: &Control) -> Outcome {
        match self.slots.take(step, control) {
            Ok(_held) => self.inner.run(step, control),
            Err(failure) => Outcome { result: Err(failure), ..Outcome::not_run(step) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::testing::{StepBuilder, emitted};

    /// Tries to have another step run while it runs, of which nobody may wait for ever.
    struct Nested(Slots);

    impl Executor for Nested {
        fn run(&mut self, step: &Step, _: &Control) -> Outcome {
            let cancelled = Control::new();
            cancelled.cancel();
            let result = self.0.take(step, &cancelled).map(|_| vec![emitted()]);
            Outcome { result, ..Outcome::not_run(step) }
        }
    }

    #[track_caller]
    fn check(steps: Option<usize>, pool: Option<u32>, is_free: bool) {
        let dir = tempfile::tempdir().unwrap();
        let pools = pool.map(|most| ("gpu".into(), most)).into_iter().collect();
        let slots = Slots::new(dir.path(), steps, &pools);
        let mut step = StepBuilder::shell("true").build().clone();
        Arc::make_mut(&mut step.def).pool = Some("gpu".into());
        let mut executor = Limited::new(Nested(slots.clone()), slots);
        // A second time, since the first has given back what it had.
        for _ in 0..2 {
            let outcome = executor.run(&step, &Control::new());
            assert_eq!(outcome.result.is_ok(), is_free, "{steps:?} {pool:?}");
        }
        assert_eq!(dir.path().join("slots").exists(), steps.is_some() || pool.is_some());
    }

    #[test]
    fn a_step_has_a_place_in_every_limit_while_it_runs() {
        check(None, None, true);
        check(Some(2), None, true);
        check(Some(1), None, false);
        check(None, Some(2), true);
        check(None, Some(1), false);
        check(Some(5), Some(1), false);
        check(Some(1), Some(5), false);
        check(Some(2), Some(2), true);
    }
}
