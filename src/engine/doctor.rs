//! Looks for damage, and after a power cut for content that did not reach the disk.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::Error;
use super::open::Engine;
use super::report::Problem;
use crate::base::{AssetKey, AssetRow, Digest, Flags, Output, OutputKind, PartitionSet, RunId};
use crate::cas::State;
use crate::exec::{Content, Step};
use crate::io::tree;
use crate::plan::Records;
use crate::store::{self, BlobState, MEMO, Store};

/// How often a mark is tried again while other processes write.
const TRIES_MAX: u32 = 8;

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
        self.forget_dangling()?;
        let mut lost: Vec<(Digest, BlobState)> = Vec::new();
        for problem in &found {
            if let store::Problem::MissingContent { digest, .. } = problem {
                lost.push((*digest, BlobState::Missing));
            }
        }
        let mut problems: Vec<Problem> = found
            .into_iter()
            .map(|problem| Problem { what: problem.to_string(), help: help.clone() })
            .collect();
        problems.extend(self.lost_op_values()?);
        if depth == Depth::Contents {
            for digest in self.ledger.ask(Store::damaged_small)? {
                let what = format!("the content {} in the database is damaged", digest.short());
                problems.push(Problem { what, help: self.marked(&digest)? });
                lost.push((digest, BlobState::Missing));
            }
            self.catch_up()?;
        }
        let mut found = Vec::new();
        for (digest, size, state) in self.ledger.ask(Store::blobs)? {
            let now = match depth {
                Depth::Records if self.cas.contains(&digest, size) => BlobState::Sound,
                Depth::Records => BlobState::Missing,
                Depth::Contents => state_of(self.cas.verify(&digest)?),
            };
            // What is marked already is no result's any more.
            if now != state && now != BlobState::Sound {
                let what =
                    format!("blob {} is {} in the content store", digest.short(), now.as_str());
                problems.push(Problem { what, help: self.marked(&digest)? });
            }
            if now != state {
                found.push((digest, now));
            }
        }
        found.extend(lost);
        self.mark_all(&found)?;
        Ok(problems)
    }

    /// What is marked because a content is gone.
    fn marked(&self, digest: &Digest) -> Result<String, Error> {
        let lost = self.results_without(&[(*digest, BlobState::Missing)])?;
        let name = |(asset, parts): (&AssetKey, &PartitionSet)| match (parts.min(), parts.len()) {
            (Some(part), 1) => format!("`{}`", self.address(asset, part)),
            (_, count) => format!("{count} partitions of `{asset}`"),
        };
        let names: Vec<String> = lost.iter().map(name).collect();
        Ok(match names.is_empty() {
            true => "no result needs it any more".to_owned(),
            false => format!(
                "marked as missing: {}; the next `giornata materialize` makes it again",
                names.join(", ")
            ),
        })
    }

    /// Values of steps of jobs whose files are gone.
    fn lost_op_values(&self) -> Result<Vec<Problem>, Error> {
        let files = self.ledger.ask(Store::op_files)?;
        let lost = files.into_iter().filter(|(_, _, file)| !self.dir.join(file).exists());
        let problem = |(run, step, file): (RunId, String, String)| match run {
            MEMO => Problem {
                what: format!("a kept value of an op with `memo` is gone: there is no `{file}`"),
                help: "the next run that needs it makes it again".to_owned(),
            },
            run => Problem {
                what: format!("a value of `{step}` of run {run} is gone: there is no `{file}`"),
                help: "a retry of the run makes it again".to_owned(),
            },
        };
        Ok(lost.map(problem).collect())
    }

    /// Results whose output has no row are results no more, and neither are traces.
    fn forget_dangling(&mut self) -> Result<(), Error> {
        for _ in 0..TRIES_MAX {
            let dangling = self.ledger.ask(Store::dangling_results)?;
            if dangling.is_empty() {
                return Ok(());
            }
            let rows: Vec<_> = dangling.keys().map(|asset| self.ledger.row(asset)).collect();
            let written = self.ledger.write_if_current(|batch| {
                batch.tx().forget_dangling_traces()?;
                for ((asset, parts), row) in dangling.iter().zip(&rows) {
                    batch.remove(asset, parts)?;
                    let row = AssetRow { fresh: &row.fresh - parts, ..AssetRow::clone(row) };
                    batch.set_row(asset, row)?;
                }
                Ok::<_, Error>(())
            })?;
            self.catch_up()?;
            if written.is_some() {
                return Ok(());
            }
        }
        Err(Error::Restless)
    }

    fn mark_all(&mut self, found: &[(Digest, BlobState)]) -> Result<(), Error> {
        for _ in 0..TRIES_MAX {
            if self.mark_blobs(found)? {
                return Ok(());
            }
            self.catch_up()?;
        }
        Err(Error::Restless)
    }

    /// Says that a content is gone, so that what needs it is made again. False if another process has
    /// written meanwhile; nothing is said then.
    pub(super) fn mark_lost(&mut self, digest: Digest) -> Result<bool, Error> {
        self.mark_blobs(&[(digest, BlobState::Missing)])
    }

    /// Whether the contents of the store that a step is given are what they should be. One that is not
    /// is put aside, and what had it is made again. Each content is hashed once.
    pub(super) fn inputs_are_sound(&mut self, step: &Step) -> Result<bool, Error> {
        let mut digests = BTreeSet::new();
        for part in step.inputs.iter().flat_map(|input| &input.parts) {
            match &part.content {
                Content::Blob(_) => {
                    digests.insert(part.content_digest);
                }
                Content::Tree { digest, blobs } => {
                    let files = tree::files(digest, &**blobs).unwrap_or_default();
                    digests.extend(files.into_iter().map(|(_, digest)| digest));
                }
                Content::Inline(_) | Content::File(_) => {}
            }
        }
        let unknown: Vec<Digest> =
            digests.into_iter().filter(|digest| !self.verified.contains(digest)).collect();
        let cas = self.cas.clone();
        let states: Vec<_> = unknown
            .into_par_iter()
            .map(|digest| Ok((digest, state_of(cas.verify(&digest)?))))
            .collect::<Result<_, Error>>()?;
        let (sound, bad): (Vec<_>, Vec<_>) =
            states.into_iter().partition(|(_, state)| *state == BlobState::Sound);
        self.verified.extend(sound.into_iter().map(|(digest, _)| digest));
        if bad.is_empty() {
            return Ok(true);
        }
        // What another process has written meanwhile is a reason to plan anew as well.
        self.mark_blobs(&bad)?;
        Ok(false)
    }

    fn mark_blobs(&mut self, found: &[(Digest, BlobState)]) -> Result<bool, Error> {
        if found.is_empty() {
            return Ok(true);
        }
        for (digest, state) in found {
            if *state == BlobState::Corrupt {
                match self.cas.quarantine(digest) {
                    // An earlier try has put it aside.
                    Ok(()) | Err(crate::cas::Error::Missing { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        // What is damaged inside the database would be in the way of what is made again.
        let mut small = Vec::new();
        for (digest, _) in found.iter().filter(|(_, state)| *state != BlobState::Sound) {
            if self.ledger.small(digest)?.is_none() {
                small.push(*digest);
            }
        }
        let lost = self.results_without(found)?;
        let known: Vec<_> = lost.keys().map(|asset| self.ledger.row(asset)).collect();
        let written = self.ledger.write_if_current(|batch| {
            for (digest, state) in found {
                batch.tx().mark_blob(digest, *state)?;
            }
            for digest in &small {
                batch.tx().forget_small(digest)?;
            }
            for ((asset, parts), row) in lost.iter().zip(&known) {
                batch.remove(asset, parts)?;
                batch.tx().add_flags(asset, parts, Flags::LOST)?;
                let row = AssetRow { fresh: &row.fresh - parts, ..AssetRow::clone(row) };
                batch.set_row(asset, row)?;
            }
            Ok::<_, Error>(())
        })?;
        for asset in lost.keys() {
            self.planner.touch(asset);
        }
        Ok(written.is_some())
    }

    /// The results that cannot be had without these contents: their own, and trees that name them.
    fn results_without(
        &self,
        found: &[(Digest, BlobState)],
    ) -> Result<BTreeMap<AssetKey, PartitionSet>, Error> {
        let bad = found.iter().filter(|(_, state)| *state != BlobState::Sound);
        let mut outputs: BTreeSet<Digest> = bad.map(|(digest, _)| *digest).collect();
        if outputs.is_empty() {
            return Ok(BTreeMap::new());
        }
        for digest in self.ledger.ask(Store::trees)? {
            let tree = Output { kind: OutputKind::Tree, digest, size: 0, schema: None };
            if self.ledger.lost(&tree).is_some() {
                outputs.insert(digest);
            }
        }
        let mut lost: BTreeMap<AssetKey, PartitionSet> = BTreeMap::new();
        for digest in outputs {
            for (asset, parts) in self.ledger.ask(|store| store.results_with(&digest))? {
                *lost.entry(asset).or_default() |= parts;
            }
        }
        Ok(lost)
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
    engine.mark_all(&found)?;
    engine.ledger.store_mut(Store::mark_synced)?;
    Ok(())
}
