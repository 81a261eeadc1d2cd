//! Takes assets that a program declares among those of the files, so that one graph is judged.

use std::sync::Arc;

use super::asset::Draft;
use super::deps::DepDraft;
use super::diagnostic::{Place, SourceText};
use crate::base::AssetKey;
use crate::defs::{Asset, Dep};

/// An asset or a source that a program declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What it reads may be declared by files.
    pub asset: Asset,
    /// Definitions in files whose partitions it follows; each stands in its partitions as
    /// `Dynamic(Source(NAME))`, whatever it turns out to be.
    pub follows: Vec<AssetKey>,
}

impl Declared {
    pub(super) fn draft(self) -> Draft {
        let place = place(&self.asset);
        let dep = |dep: &Dep| DepDraft {
            upstream: dep.upstream.clone(),
            mapping: dep.mapping.clone(),
            mapping_place: place.clone(),
            missing: dep.missing,
            place: place.clone(),
        };
        let export = self.asset.export.is_some().then(|| place.clone());
        Draft {
            deps: self.asset.deps.iter().map(dep).collect(),
            asset: self.asset,
            sound: true,
            reads: None,
            io: None,
            // Those of the program, which it has itself.
            resources: Vec::new(),
            pool: None,
            each: self.follows.into_iter().map(|key| (key, place.clone())).collect(),
            export,
            inputs: Vec::new(),
            run: None,
            pieces: None,
            graph: None,
            says_deps: true,
            place,
        }
    }
}

/// The line of the program, of which only the name is known.
fn place(asset: &Asset) -> Place {
    let before = "\n".repeat(asset.origin.line.saturating_sub(1) as usize);
    let name = format!("\"{}\"", asset.key);
    let span = before.len()..before.len() + name.len();
    Place {
        file: SourceText::new(asset.origin.file.clone(), Arc::<str>::from(before + &name)),
        span,
    }
}
