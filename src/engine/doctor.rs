//! Looks for damage, and after a power cut for content that did not reach the disk.

use super::Error;
use super::open::Engine;
use super::report::Problem;
use crate::cas::State;
use crate::store::{BlobState, Store};

/// How thoroughly `doctor` looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Records,
    /// Also hashes every blob again.
    Contents,
}

impl Engine {
    /// Everything that is wrong with the store. A blob that is missing or damaged is put aside and marked,
    /// so that the next run makes what needs it again.
    pub fn doctor(&mut self, depth: Depth) -> Result<Vec<Problem>, Error> {
        let found = self.ledger.ask(Store::integrity)?;
        let help = "run `giornata materialize --all`; what is missing is made again".to_owned();
        let mut problems: Vec<Problem> = found
            .into_iter()
            .map(|problem| Problem { what: problem.to_string(), help: help.clone() })
            .collect();
        let mut bad = Vec::new();
        for (digest, size, state) in self.ledger.ask(Store::blobs)? {
            let now = match depth {
                Depth::Records if self.cas.contains(&digest, size) => BlobState::Sound,
                Depth::Records => BlobState::Missing,
                Depth::Contents => state_of(self.cas.verify(&digest)?),
            };
            if now != BlobState::Sound {
                let what =
                    format!("blob {} is {} in the content store", digest.short(), now.as_str());
                problems.push(Problem { what, help: help.clone() });
            }
            if now != state {
                bad.push((digest, now));
            }
        }
        self.mark_blobs(&bad)?;
        Ok(problems)
    }

    fn mark_blobs(&mut self, found: &[(crate::base::Digest, BlobState)]) -> Result<(), Error> {
        for (digest, state) in found {
            if *state == BlobState::Corrupt {
                self.cas.quarantine(digest)?;
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        self.ledger.write(|batch| {
            for (digest, state) in found {
                batch.tx().mark_blob(digest, *state)?;
                if *state == BlobState::Sound {
                    continue;
                }
                for (asset, parts) in batch.tx().results_with(digest)? {
                    batch.remove(&asset, &parts)?;
                }
            }
            Ok::<_, Error>(())
        })
    }
}

fn state_of(state: State) -> BlobState {
    match state {
        State::Sound { .. } => BlobState::Sound,
        State::Missing => BlobState::Missing,
        State::Corrupt { .. } => BlobState::Corrupt,
    }
}

/// Hashes again what was written shortly before the machine went down.
pub(super) fn check_after_power_cut(engine: &mut Engine) -> Result<(), Error> {
    let suspects = engine.ledger.ask(Store::unsynced_blobs)?;
    if suspects.is_empty() {
        return Ok(());
    }
    let mut found = Vec::new();
    for (digest, _) in suspects {
        let state = state_of(engine.cas.verify(&digest)?);
        if state != BlobState::Sound {
            found.push((digest, state));
        }
    }
    engine.mark_blobs(&found)?;
    engine.ledger.store_mut(Store::mark_synced)?;
    Ok(())
}
