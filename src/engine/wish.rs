//! Looks at what another process wants of a run that goes on.
//!
//! The store is asked only when another process was seen to have written, so that a run pays nothing
//! for it. Who waits for steps looks up every now and then.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::Error;
use super::open::Engine;
use crate::base::RunId;
use crate::store::Wish;

/// How long a run waits for its steps before it looks at what is wanted of it.
pub(super) const LOOK_UP: Duration = Duration::from_millis(100);

/// What is wanted of one run.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// As of which look at the writes of others.
    seen: Option<u64>,
    wish: Option<Wish>,
}

impl Wishes {
    /// What is wanted as of the last time that others were seen to have written.
    pub fn look(&mut self, engine: &Engine, run: RunId) -> Result<Option<Wish>, Error> {
        let others = engine.ledger.others();
        if self.seen != Some(others) {
            self.wish = engine.ledger.ask(|store| store.wish(run))?;
            self.seen = Some(others);
        }
        Ok(self.wish)
    }
}

/// Everything that has come back, as soon as there is anything; nothing if that takes longer than
/// [`LOOK_UP`], and `None` if nothing will come any more.
pub(super) fn receive<T>(done: &Receiver<T>) -> Option<Vec<T>> {
    match done.recv_timeout(LOOK_UP) {
        Ok(first) => {
            let mut all = vec![first];
            all.extend(done.try_iter());
            Some(all)
        }
        Err(RecvTimeoutError::Timeout) => Some(Vec::new()),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}
