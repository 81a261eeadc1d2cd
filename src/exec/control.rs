//! The string by which a running step is held from outside: cancellation, and who hears its log.

use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Step;

/// Called with each piece of log as it is read, from the thread that runs the step.
pub type OnLog = Box<dyn Fn(&Step, &[u8]) + Send + Sync>;

/// Cancels the steps that were given it; clones share one state.
///
/// ```
/// let control = giornata::exec::Control::new();
/// let same = control.clone();
/// same.cancel();
/// assert!(control.is_cancelled());
/// ```
#[derive(Clone)]
pub struct Control(Arc<Shared>);

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control({})", if self.is_cancelled() { "cancelled" } else { "running" })
    }
}

struct Shared {
    cancelled: Mutex<Cancelled>,
    changed: Condvar,
    // Readable from the moment its other end is dropped, so a thread in `poll` wakes.
    wake: Option<PipeReader>,
    /// Nothing more is to be started.
    drained: AtomicBool,
    on_log: Option<OnLog>,
}

enum Cancelled {
    No { _wake: Option<std::io::PipeWriter> },
    Yes,
}

impl Default for Control {
    fn default() -> Control {
        Control::new()
    }
}

impl Control {
    pub fn new() -> Control {
        Control::build(None)
    }

    /// As `new`; `on_log` hears what steps write.
    pub fn with_log(on_log: OnLog) -> Control {
        Control::build(Some(on_log))
    }

    fn build(on_log: Option<OnLog>) -> Control {
        // Without a pipe (no descriptor left) those who wait look again every now and then.
        let (wake, writer) = match std::io::pipe() {
            Ok((reader, writer)) => (Some(reader), Some(writer)),
            Err(_) => (None, None),
        };
        let cancelled = Mutex::new(Cancelled::No { _wake: writer });
        let (changed, drained) = (Condvar::new(), AtomicBool::new(false));
        Control(Arc::new(Shared { cancelled, changed, wake, drained, on_log }))
    }

    /// Makes running steps stop and waiting ones give up; it cannot be undone.
    pub fn cancel(&self) {
        *self.lock() = Cancelled::Yes;
        self.0.changed.notify_all();
    }

    /// Keeps further steps from being started; running ones go on to their end. It cannot be undone.
    pub fn drain(&self) {
        self.0.drained.store(true, Ordering::SeqCst);
    }

    /// Whether nothing more is to be started.
    pub fn is_stopping(&self) -> bool {
        self.0.drained.load(Ordering::SeqCst) || self.is_cancelled()
    }

    pub fn is_cancelled(&self) -> bool {
        matches!(*self.lock(), Cancelled::Yes)
    }

    /// Waits for `delay` or until cancelled; says whether it was cancelled.
    pub fn wait(&self, delay: Duration) -> bool {
        let running = |cancelled: &mut Cancelled| matches!(cancelled, Cancelled::No { .. });
        let waited = self.0.changed.wait_timeout_while(self.lock(), delay, running);
        let (cancelled, _) = waited.unwrap_or_else(PoisonError::into_inner);
        matches!(*cancelled, Cancelled::Yes)
    }

    /// Readable (as at end of file) once cancelled.
    pub(super) fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.0.wake.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn log(&self, step: &Step, bytes: &[u8]) {
        if let Some(on_log) = self.0.on_log.as_ref().filter(|_| !bytes.is_empty()) {
            on_log(step, bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cancelled> {
        self.0.cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
