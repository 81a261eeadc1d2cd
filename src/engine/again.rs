//! What a run looks at anew in its middle: sources that other processes have seen, and pieces that a
//! step has made, of which nobody knew when the run was planned.

use std::collections::BTreeSet;

use super::Error;
use super::open::{Asking, Engine};
use super::schedule::{Place, Schedule};
use crate::base::{AssetKey, PartitionSet};
use crate::defs::OutputDef;
use crate::plan::{Chosen, Reach, Request};

/// How often a look is tried while others write.
const LOOKS_MAX: u32 = 10_000_000;

impl Engine {
    /// Another process may have recorded files of sources that this one has not seen. While many
    /// write, a look may be in vain for long. Returns the warnings that are new.
    pub(super) fn look_again(&mut self, targets: &[AssetKey]) -> Result<Vec<String>, Error> {
        let told = std::mem::take(&mut self.told);
        for _ in 0..LOOKS_MAX {
            // What is due stays so as of the beginning: else a short `ttl` would never end.
            match self.look(targets, Asking::Due) {
                Err(Error::Restless) => {}
                Err(error) => return Err(error),
                Ok(mut warnings) => {
                    warnings.retain(|warning| !told.contains(warning));
                    self.told.extend(told);
                    return Ok(warnings);
                }
            }
        }
        Err(Error::Restless)
    }

    /// What was named when it was not known which partitions there would be has to name some of them.
    pub(super) fn chosen_are_there(&self, request: &Request) -> Result<(), Error> {
        for (asset, chosen) in &request.chosen {
            let Chosen::By(expressions) = chosen else { continue };
            if self.planner.freshness(asset).growing {
                // Its maker failed, which was told.
                continue;
            }
            for expr in expressions.iter().filter(|expr| !expr.asks_for_states()) {
                let problem = match self.planner.select(asset, expr) {
                    Ok(set) if set.is_empty() => format!("`{}` names none of them", expr.text()),
                    Ok(_) => continue,
                    Err(error) => error.to_string(),
                };
                return Err(Error::NotMade { asset: asset.clone(), problem });
            }
        }
        Ok(())
    }

    /// The targets of a request, and what reads them if that is wanted: there may be more of it later.
    pub(super) fn looked_at(&self, request: &Request) -> Vec<AssetKey> {
        let mut targets: BTreeSet<AssetKey> = request.targets.keys().cloned().collect();
        match request.reach {
            Reach::Upstream | Reach::Only => {}
            Reach::UpstreamAndDownstream => {
                for key in self.planner.order() {
                    let deps = &self.project.assets[key].deps;
                    if deps.iter().any(|dep| targets.contains(&dep.upstream)) {
                        targets.insert(key.clone());
                    }
                }
            }
        }
        targets.into_iter().collect()
    }

    /// Whether there is a set of pieces that follows this asset.
    pub(super) fn makes_pieces(&self, asset: &AssetKey) -> bool {
        self.project.assets.get(asset).is_some_and(|asset| asset.output == OutputDef::Pieces)
    }
}

/// Pieces are what their maker left, once that is settled. False if they have to be looked at first.
pub(super) fn follow(
    engine: &Engine,
    pieces: &AssetKey,
    place: Place,
    ready: &PartitionSet,
    schedule: &mut Schedule,
) -> bool {
    let kept = &engine.planner.freshness(pieces).kept;
    schedule.done(place, &(ready & kept));
    ready.is_subset(kept)
}
