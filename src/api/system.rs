//! What the outside tells a program about itself: the time, and which program it is.

use std::path::Path;
use std::sync::OnceLock;

use chrono::{DateTime, Utc};

use crate::base::Clock;
use crate::cas::hash_file;

/// The time of the machine.
pub(super) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "a program that declares a project is outermost")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The value of an environment variable.
#[expect(clippy::disallowed_methods, reason = "a program that declares a project is outermost")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The digest of the executable, once per process; an error says why there is none.
pub(super) fn executable() -> Result<&'static str, String> {
    static DIGEST: OnceLock<Result<String, String>> = OnceLock::new();
    let digest = DIGEST.get_or_init(|| {
        // What runs, though it may have been built anew and its path be another file by now.
        let running = Path::new("/proc/self/exe");
        let path = if running.exists() {
            running.to_owned()
        } else {
            std::env::current_exe().map_err(|error| error.to_string())?
        };
        let (digest, _) = hash_file(&path).map_err(|error| error.to_string())?;
        Ok(digest.to_string())
    });
    digest.as_deref().map_err(Clone::clone)
}
