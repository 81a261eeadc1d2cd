//! Where a test makes the world fail: a full disk, a process that dies at any statement.
//!
//! Whoever writes says so before it does; where the thread has a hook, that may refuse, or end the thread's
//! work by a panic. Without one nothing happens.

use std::cell::RefCell;
use std::io;
use std::path::Path;

/// Something that is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write<'a> {
    /// A statement is executed in the database of the project, be it only a question.
    Sql(&'a str),
    /// A file or a directory is made, written, moved or synced.
    File(&'static str, &'a Path),
}

type Hook = Box<dyn FnMut(Write<'_>) -> io::Result<()>>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Tells the hook of this thread, and passes on what it says.
pub fn check(write: Write<'_>) -> io::Result<()> {
    // Not borrowed while it is called: it may write itself, and that is nobody's business.
    let Some(mut hook) = HOOK.take() else { return Ok(()) };
    let said = hook(write);
    HOOK.set(Some(hook));
    said
}

/// Calls `work` with a hook. A hook that panics is not called again.
///
/// ```
/// use giornata::base::fault::{Write, check, with};
/// let full = |_: Write<'_>| Err(std::io::ErrorKind::StorageFull.into());
/// let write = || check(Write::Sql("COMMIT"));
/// assert!(with(full, write).is_err());
/// assert!(write().is_ok());
/// ```
pub fn with<T>(
    hook: impl FnMut(Write<'_>) -> io::Result<()> + 'static,
    work: impl FnOnce() -> T,
) -> T {
    struct Removed;
    impl Drop for Removed {
        fn drop(&mut self) {
            HOOK.set(None);
        }
    }
    HOOK.set(Some(Box::new(hook)));
    let _removed = Removed;
    work()
}
