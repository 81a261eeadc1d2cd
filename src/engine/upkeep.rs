//! What a user says about results by hand: stale whatever the key says, fresh without running, forgotten,
//! or made elsewhere.
//!
//! Each is a change of records and of nothing else, made by an engine that runs nothing meanwhile. What
//! cannot be done is refused partition by partition, with the reason; the rest is done.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;
use super::observe::{self, Answer, Memory};
use super::open::{Access, Asking, Engine};
use super::work::{self, Stored};
use crate::base::{
    AssetKey, AssetRow, Column, Digest, Flags, Mark, MatRow, Note, Output, OutputKind,
    PartitionIdx, PartitionKey, PartitionSet, Rev,
};
use crate::defs::{Body, OutputDef, SourceDef};
use crate::exec::Produced;
use crate::io::{self, manager, tree};
use crate::plan::Records;

/// How often a change is tried again while other processes write.
const TRIES_MAX: u32 = 8;

/// Which partitions of which assets.
pub type Targets = BTreeMap<AssetKey, PartitionSet>;

/// What was done, and what was not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Upkeep {
    pub done: Targets,
    pub refused: Vec<Refused>,
}

/// Partitions for which something cannot be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub asset: AssetKey,
    pub parts: PartitionSet,
    pub why: Refusal,
}

/// Why something cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is a source.
    Source,
    NoResult,
    /// An input that it reads has no data.
    Blocked,
    /// Something upstream is not fresh.
    UpstreamStale,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Source => "it is a source: it is observed, not made",
            Refusal::NoResult => "there is no result",
            Refusal::Blocked => "an input that it reads cannot be had",
            Refusal::UpstreamStale => {
                "something that it reads is not fresh: make or accept that first"
            }
        })
    }
}

impl Upkeep {
    fn refuse(&mut self, asset: &AssetKey, parts: PartitionSet, why: Refusal) {
        if !parts.is_empty() {
            self.refused.push(Refused { asset: asset.clone(), parts, why });
        }
    }

    fn add(&mut self, asset: &AssetKey, parts: &PartitionSet) {
        if !parts.is_empty() {
            *self.done.entry(asset.clone()).or_default() |= parts;
        }
    }

    /// How many partitions were concerned.
    pub fn count(&self) -> u64 {
        self.done.values().map(PartitionSet::len).sum()
    }
}

/// What a look at a source has found, compared with the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub asset: AssetKey,
    pub present: PartitionSet,
    pub added: PartitionSet,
    pub changed: PartitionSet,
    pub removed: PartitionSet,
    /// Why it could not be looked at.
    pub fault: Option<String>,
}

/// A result that was made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Made {
    /// What consumers compare instead of the content.
    pub version: Option<String>,
    /// Its content: a file, or a directory where the asset makes one.
    pub path: Option<PathBuf>,
}

impl Engine {
    /// Marks results as stale: the next run makes them anew, though their content key be right.
    pub fn invalidate(&mut self, targets: &Targets, reason: &str) -> Result<Upkeep, Error> {
        self.writable()?;
        let upkeep = self.with_results(targets);
        let note = self.note(reason);
        self.ledger.write(|batch| {
            for (asset, parts) in &upkeep.done {
                let tx = batch.tx();
                tx.add_flags(asset, parts, Flags::INVALIDATED)?;
                tx.clear_fresh(asset, parts)?;
                // Else it came back when what decides it came back, or its partitions moved.
                tx.forget_current_traces(asset, parts)?;
                tx.put_notes(asset, parts, &note)?;
            }
            Ok::<_, Error>(())
        })?;
        self.catch_up()?;
        Ok(upkeep)
    }

    /// Forgets results and every trace of them, so that they are made anew. Their content stays until it
    /// is collected, and exported files stay where they are; what an IO manager has is removed.
    pub fn wipe(&mut self, targets: &Targets) -> Result<Upkeep, Error> {
        self.writable()?;
        // What was put must be in reach before it is forgotten.
        for asset in targets.keys() {
            self.manager(asset)?;
        }
        let upkeep = self.with_results(targets);
        // The indexes of a trace are of its own time; what the keys of now lead to is certain.
        let keys_of = |(asset, parts): (&AssetKey, &PartitionSet)| {
            let keys = parts.iter().filter_map(|part| self.planner.recorded_key(asset, part));
            (asset.clone(), keys.collect::<Vec<_>>())
        };
        let keys: BTreeMap<AssetKey, Vec<Digest>> = targets.iter().map(keys_of).collect();
        let named = |(asset, parts): (&AssetKey, &PartitionSet)| {
            let domain = self.planner.domain(asset);
            let keys = parts.iter().filter_map(|part| Some((part, domain.key(part)?)));
            (asset.clone(), keys.collect::<BTreeMap<_, _>>())
        };
        let named: BTreeMap<AssetKey, BTreeMap<PartitionIdx, PartitionKey>> =
            targets.iter().map(named).collect();
        self.ledger.write(|batch| {
            for (asset, parts) in targets {
                // A failure is forgotten too, where there is no result.
                let failed: Vec<PartitionIdx> = match upkeep.refuses(asset) {
                    Some(Refusal::Source) => continue,
                    Some(_) | None => batch.tx().asset(asset)?.failed.iter().collect(),
                };
                for part in failed.into_iter().filter(|part| parts.contains(*part)) {
                    batch.clear_failure(asset, part)?;
                }
                batch.remove(asset, parts)?;
                batch.tx().forget_traces(asset, &named[asset])?;
                for key in &keys[asset] {
                    batch.tx().remove_trace(key)?;
                }
                batch.tx().clear_fresh(asset, parts)?;
            }
            Ok::<_, Error>(())
        })?;
        self.catch_up()?;
        self.take_back(&upkeep.done)?;
        Ok(upkeep)
    }

    /// Marks results as fresh without running anything: upstream first, so that a chain can be accepted
    /// at once. What reads them sees no change.
    pub fn accept(&mut self, targets: &Targets, reason: &str) -> Result<Upkeep, Error> {
        self.writable()?;
        let mut upkeep = Upkeep::default();
        let note = self.note(reason);
        for asset in self.planner.order().to_vec() {
            let Some(wanted) = targets.get(&asset) else { continue };
            if self.project.assets[&asset].is_source() {
                upkeep.refuse(&asset, wanted.clone(), Refusal::Source);
                continue;
            }
            // A partition that reads an earlier one of the asset itself can be accepted once that is.
            let (mut left, mut rounds) = (wanted.clone(), 0);
            while rounds < TRIES_MAX {
                let ready = &left & &self.acceptable(&asset);
                if ready.is_empty() {
                    break;
                }
                if self.accept_some(&asset, &ready, &note)? {
                    upkeep.add(&asset, &ready);
                    left -= ready;
                    rounds = 0;
                } else {
                    self.catch_up()?;
                    rounds += 1;
                }
            }
            self.refuse_rest(&mut upkeep, &asset, wanted);
        }
        Ok(upkeep)
    }

    /// What is stale, has a result, and reads only what is recorded as fresh.
    fn acceptable(&self, asset: &AssetKey) -> PartitionSet {
        let state = self.planner.freshness(asset);
        let stale = &(&state.run | state.restore_set()) - &state.without_result;
        stale.iter().filter(|part| self.reads_recorded(asset, *part)).collect()
    }

    /// What is about to be restored or run may have another version by then.
    fn reads_recorded(&self, asset: &AssetKey, part: PartitionIdx) -> bool {
        self.planner.edges(asset).iter().all(|edge| {
            let upstream = self.planner.freshness(&edge.upstream);
            let moving = upstream.restore_set() | &upstream.run;
            moving.is_disjoint(&edge.mapping.upstream_of_one(part))
        })
    }

    /// False if another process has written meanwhile.
    fn accept_some(
        &mut self,
        asset: &AssetKey,
        parts: &PartitionSet,
        note: &Note,
    ) -> Result<bool, Error> {
        let step = self.ledger.step_id(asset, &self.planner.step(asset).parts)?;
        let mut rows = Vec::new();
        for row in self.ledger.ask(|store| store.rows_in(asset, parts))? {
            let Some(key) = self.planner.recorded_key(asset, row.part) else { continue };
            let flags = row.flags.without(Flags::INVALIDATED).without(Flags::RACED);
            let (verified_at, step) = (self.ledger.rev(), Some(step));
            let (flags, made_ms) = (flags.with(Flags::ACCEPTED), note.made_ms);
            rows.push(MatRow { key, verified_at, step, flags, made_ms, ..row });
        }
        let written = self.ledger.write_if_current(|batch| {
            for row in &rows {
                batch.put(asset, row.clone())?;
                batch.clear_failure(asset, row.part)?;
            }
            // A bit is of the definition under which it was set, which may be another one.
            batch.clear_fresh(asset, parts)?;
            batch.tx().put_notes(asset, parts, note)
        })?;
        self.ledger.check()?;
        for row in &rows {
            self.planner.renewed(asset, row.part);
        }
        self.planner.touch(asset);
        Ok(written.is_some())
    }

    fn refuse_rest(&self, upkeep: &mut Upkeep, asset: &AssetKey, wanted: &PartitionSet) {
        let state = self.planner.freshness(asset);
        let mut rest = wanted - &state.fresh();
        if let Some(done) = upkeep.done.get(asset) {
            rest -= done;
        }
        let mut take = |set: &PartitionSet| {
            let taken = &rest & set;
            rest -= &taken;
            taken
        };
        let (without, blocked) = (take(&state.without_result), take(&state.blocked));
        upkeep.refuse(asset, without, Refusal::NoResult);
        upkeep.refuse(asset, blocked, Refusal::Blocked);
        upkeep.refuse(asset, rest, Refusal::UpstreamStale);
    }

    /// Records a result that was made elsewhere, as made from what its inputs are now. No trace of it is
    /// written: what a key leads to is known only of what was run here.
    pub fn report(
        &mut self,
        asset: &AssetKey,
        part: PartitionIdx,
        made: &Made,
    ) -> Result<(), Error> {
        self.writable()?;
        let def = self.project.assets[asset].clone();
        match &def.body {
            Body::Source(source) => return self.report_source(asset, part, source, made),
            Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {}
        }
        let lease = self.cas.lease()?;
        let stored = match &made.path {
            Some(path) => Some(self.take_file(&def.output, asset, path)?),
            None => None,
        };
        self.cas.sync()?;
        for _ in 0..TRIES_MAX {
            if self.put_reported(asset, part, made, stored.as_ref())? {
                drop(lease);
                self.planner.renewed(asset, part);
                self.planner.touch(asset);
                return Ok(());
            }
            self.catch_up()?;
        }
        Err(Error::Restless)
    }

    fn put_reported(
        &self,
        asset: &AssetKey,
        part: PartitionIdx,
        made: &Made,
        stored: Option<&Stored>,
    ) -> Result<bool, Error> {
        let refuse = |why: Refusal| Error::Refused { asset: asset.clone(), why };
        let state = self.planner.freshness(asset);
        let why =
            if state.blocked.contains(part) { Refusal::Blocked } else { Refusal::UpstreamStale };
        let settled = !state.pending.contains(part)
            && !state.blocked.contains(part)
            && self.reads_recorded(asset, part);
        let key = self.planner.recorded_key(asset, part).filter(|_| settled);
        let key = key.ok_or_else(|| refuse(why))?;
        let output = stored.map(|stored| stored.output.clone());
        let version = match (&made.version, &output) {
            (Some(version), _) => reported_version(version),
            (None, Some(output)) => output.version(),
            (None, None) => return Err(Error::NothingReported { asset: asset.clone() }),
        };
        let row = MatRow {
            part,
            changed_at: Rev(0),
            verified_at: self.ledger.rev(),
            step: Some(self.ledger.step_id(asset, &self.planner.step(asset).parts)?),
            key,
            version,
            output,
            run: None,
            flags: Flags::ACCEPTED,
            made_ms: self.clock.now().timestamp_millis(),
        };
        let note = self.note("made elsewhere");
        let written = self.ledger.write_if_current(|batch| {
            if let Some(Stored { output, small, blobs }) = stored {
                if let Some(bytes) = small {
                    batch.tx().put_blob_small(&output.digest, bytes)?;
                }
                for (digest, size) in blobs {
                    batch.tx().put_blob(digest, *size)?;
                }
            }
            batch.tx().put_notes(asset, &PartitionSet::from_iter([part]), &note)?;
            batch.put(asset, row)?;
            // A bit is of the definition under which it was set, which may be another one.
            batch.clear_fresh(asset, &PartitionSet::from_iter([part]))?;
            batch.clear_failure(asset, part)
        })?;
        Ok(written.is_some())
    }

    /// Puts the content of a file of the user's into the store, as the asset's own result would be.
    fn take_file(
        &self,
        output: &OutputDef,
        asset: &AssetKey,
        path: &Path,
    ) -> Result<Stored, Error> {
        let fault = |problem: String| Error::Report { asset: asset.clone(), problem };
        let io = |source| Error::Io { path: path.to_owned(), source };
        let made = match output {
            OutputDef::Table(format) => {
                let bytes = std::fs::read(path).map_err(io)?;
                let encode = || {
                    let table = manager(*format).read(&bytes, None, &BTreeMap::new())?;
                    let rows = table.rows.len() as u64;
                    Ok((manager(*format).write(&table)?, rows))
                };
                let (encoded, rows) = encode()
                    .map_err(|error: io::Error| fault(format!("`{}`: {error}", path.display())))?;
                Produced::Table { encoded, format: *format, rows }
            }
            OutputDef::File { .. } => {
                // What is stored is moved away; the user's own file stays.
                let dir = tempfile::tempdir_in(&self.dir).map_err(io)?;
                let copy = dir.path().join("reported");
                std::fs::copy(path, &copy).map_err(io)?;
                let def = &self.project.assets[asset];
                let inline_max = self.project.settings.inline_max_bytes;
                let stored = work::store(Produced::File(copy), &def.output, &self.cas, inline_max);
                return stored.map_err(|failure| fault(failure.to_string()));
            }
            OutputDef::Directory | OutputDef::Pieces => {
                let mut sink = Copies(super::blobs::Sink::new(&self.cas));
                let stored =
                    tree::store(path, &mut sink).map_err(|error| fault(error.to_string()))?;
                let (kind, digest) = (OutputKind::Tree, stored.digest);
                let size = sink.0.size_of(&digest);
                let output = Output { kind, digest, size, schema: None };
                return Ok(Stored { output, small: None, blobs: sink.0.blobs });
            }
            OutputDef::None => return Err(fault("it declares no output".to_owned())),
        };
        let def = &self.project.assets[asset];
        let inline_max = self.project.settings.inline_max_bytes;
        let stored = work::store(made, &def.output, &self.cas, inline_max);
        stored.map_err(|failure| fault(failure.to_string()))
    }

    /// The version of an observed source, as its command would have printed it.
    fn report_source(
        &mut self,
        asset: &AssetKey,
        part: PartitionIdx,
        source: &SourceDef,
        made: &Made,
    ) -> Result<(), Error> {
        let fault =
            |problem: &str| Error::Report { asset: asset.clone(), problem: problem.to_owned() };
        match source {
            SourceDef::Files { .. } | SourceDef::Dir { .. } => {
                return Err(fault("it is a source of files: its versions are their contents"));
            }
            SourceDef::Pieces { of, .. } => {
                return Err(fault(&format!("these are the pieces of `{of}`: report that")));
            }
            SourceDef::Observe { .. } => {}
        }
        let (Some(version), None) = (&made.version, &made.path) else {
            return Err(fault("of a source that is observed there is only a version to be told"));
        };
        let seen_ms = self.clock.now().timestamp_millis();
        let answer = Answer { version: version.clone(), at_ms: seen_ms };
        let memory = Memory::of_answer(Memory::about(&self.project.assets[asset]), Some(answer));
        let digest = reported_version(version);
        for _ in 0..TRIES_MAX {
            let row = AssetRow::clone(&self.ledger.row(asset));
            let written = self.ledger.write_if_current(|batch| {
                let rev = batch.tx().next_rev();
                batch.tx().put_memory(asset, &memory.to_bytes())?;
                batch.put(asset, observe::observation(part, digest, rev, seen_ms))?;
                let (shape, fresh) = (Some(memory.shape), PartitionSet::from_iter([part]));
                batch.set_row(asset, AssetRow { verified_rev: rev, shape, fresh, ..row })
            })?;
            if written.is_some() {
                self.memories.remove(asset);
                self.planner.touch(asset);
                return Ok(());
            }
            self.catch_up()?;
        }
        Err(Error::Restless)
    }

    /// Looks at sources now, and says what has changed since they were looked at the last time.
    /// The warnings come with it.
    pub fn observe(&mut self, sources: &[AssetKey]) -> Result<(Vec<Observed>, Vec<String>), Error> {
        self.observe_as(sources, Asking::All)
    }

    /// Looks at assets; of those that are sources it says what has changed.
    pub(super) fn observe_due(
        &mut self,
        assets: &[AssetKey],
    ) -> Result<(Vec<Observed>, Vec<String>), Error> {
        self.observe_as(assets, Asking::Due)
    }

    fn observe_as(
        &mut self,
        assets: &[AssetKey],
        asking: Asking,
    ) -> Result<(Vec<Observed>, Vec<String>), Error> {
        if self.ledger.is_behind()? {
            self.catch_up()?;
        }
        let is_source = |key: &&AssetKey| self.project.assets[*key].is_source();
        let sources: Vec<&AssetKey> = assets.iter().filter(is_source).collect();
        let before: Vec<_> = sources.iter().map(|key| self.ledger.column(key)).collect();
        self.planner.set_now(self.clock.now());
        let warnings = self.look(assets, asking)?;
        let mut observed = Vec::new();
        for (asset, before) in sources.into_iter().zip(before) {
            let after = self.ledger.column(asset);
            let (old, new) = (before.with_value(), after.with_value());
            let version = |column: &Column, part| column.get(part).map(|mark: Mark| mark.version);
            let both = (&old & &new).into_iter();
            let changed = both.filter(|part| version(&before, *part) != version(&after, *part));
            observed.push(Observed {
                asset: asset.clone(),
                changed: changed.collect(),
                added: &new - &old,
                removed: &old - &new,
                present: new,
                fault: self.planner.fault(asset).map(ToString::to_string),
            });
        }
        self.ledger.check()?;
        Ok((observed, warnings))
    }

    /// Those of `targets` that have a result. Sources are refused.
    fn with_results(&self, targets: &Targets) -> Upkeep {
        let mut upkeep = Upkeep::default();
        for (asset, parts) in targets {
            if self.project.assets[asset].is_source() {
                upkeep.refuse(asset, parts.clone(), Refusal::Source);
                continue;
            }
            upkeep.add(asset, &(parts & &self.ledger.marks(asset, parts).with_value()));
        }
        upkeep
    }

    fn note(&self, reason: &str) -> Note {
        Note { reason: reason.to_owned(), made_ms: self.clock.now().timestamp_millis() }
    }

    /// Fails where nothing can be written; else moves to the newest records.
    pub(super) fn writable(&mut self) -> Result<(), Error> {
        match self.access {
            Access::Write => {}
            Access::Read => return Err(Error::ReadOnly),
        }
        if self.ledger.is_behind()? {
            self.catch_up()?;
        }
        Ok(())
    }
}

impl Upkeep {
    fn refuses(&self, asset: &AssetKey) -> Option<Refusal> {
        self.refused.iter().find(|refused| refused.asset == *asset).map(|refused| refused.why)
    }
}

/// The version that stands for a text that somebody gave as one.
pub(super) fn reported_version(text: &str) -> Digest {
    Digest::builder("giornata 2026 reported version").part(text).finish()
}

/// Stores files without moving them away.
struct Copies<'a>(super::blobs::Sink<'a>);

impl io::BlobSink for Copies<'_> {
    fn put_file(&mut self, path: &Path) -> std::io::Result<Digest> {
        self.0.put_bytes(&std::fs::read(path)?)
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> std::io::Result<Digest> {
        self.0.put_bytes(bytes)
    }
}
