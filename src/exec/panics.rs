//! Catches panics of the user's functions: message and place, and no text of Rust's own on stderr.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

thread_local! {
    /// Whether a function of the user's runs on this thread.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// What a panic said, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("panicked at {place}: {message}")]
pub struct Panic {
    pub message: String,
    /// `file:line:column`
    pub place: String,
}

/// Calls a function of the user's. Its panic ends it and nothing else.
///
/// Panics elsewhere go to the hook that the program has, as before.
pub fn caught<T>(function: impl FnOnce() -> T) -> Result<T, Panic> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WATCHED.get() {
                CAUGHT.set(Some(noted(info)));
            } else {
                before(info);
            }
        }));
    });
    let outer = WATCHED.replace(true);
    // The step's result is dropped with what the function held, so nobody sees it half changed.
    let result = panic::catch_unwind(AssertUnwindSafe(function));
    WATCHED.set(outer);
    result.map_err(|payload| {
        // A program may have set a hook of its own since.
        CAUGHT.take().unwrap_or_else(|| Panic {
            message: message(&*payload),
            place: "an unknown place".to_owned(),
        })
    })
}

fn noted(info: &PanicHookInfo<'_>) -> Panic {
    let place = info.location().map(|at| format!("{}:{}:{}", at.file(), at.line(), at.column()));
    Panic {
        message: message(info.payload()),
        place: place.unwrap_or_else(|| "an unknown place".to_owned()),
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a value that is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place() {
        assert_eq!(caught(|| 3), Ok(3));
        let panic = caught(|| panic!("no {}", "ink")).unwrap_err();
        assert_eq!(panic.message, "no ink");
        assert!(panic.place.starts_with("src/exec/panics.rs:"), "{}", panic.place);
        let panic = caught(|| caught(|| panic!("inner")).unwrap_err().message).unwrap();
        assert_eq!(panic, "inner");
        let empty: Vec<u8> = Vec::new();
        assert!(caught(|| empty[std::hint::black_box(0)]).unwrap_err().message.contains("index"));
    }
}
