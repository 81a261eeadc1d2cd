//! Builds steps as plain data, and puts what they have made into the content store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::Error;
use super::observe::{SourceFile, SourceFiles, extension, version};
use super::open::Engine;
pub use crate::base::error_text;
use crate::base::{
    AssetKey, Digest, Output, OutputKind, PartitionIdx, PartitionKey, RunId, TimeWindow,
};
use crate::cas::Cas;
use crate::defs::partition::Cadence;
use crate::defs::{Asset, Body, ColumnType, Missing, OutputDef, PartitionsDef, SourceDef, StepDef};
use crate::exec::{Content, Failure, Input, LogInfo, Member, Of, Part, Produced, Step, StepPaths};
use crate::io::{format_of, tree};
use crate::plan::{Edge, Given, Records, key_order};

/// A result that is ready to be recorded.
pub struct Stored {
    pub output: Output,
    /// Content that lives inside the database.
    pub small: Option<Arc<[u8]>>,
    /// Blobs that are in the content store: of the file, or of a tree.
    pub blobs: Vec<(Digest, u64)>,
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Puts what was made where it is kept. A file that is small is read and stays where it is; others are moved.
pub(super) fn store(
    made: Produced,
    form: &OutputDef,
    cas: &Cas,
    inline_max: u64,
) -> Result<Stored, Failure> {
    let fault = |error: crate::cas::Error| Failure::Store { reason: error_text(&error) };
    match made {
        Produced::Table { encoded, .. } => {
            let bytes = encoded.bytes;
            let (digest, size) = (Digest::of_blob(&bytes), bytes.len() as u64);
            let schema = Some(encoded.schema);
            let output = Output { kind: OutputKind::Table, digest, size, schema };
            if size <= inline_max {
                return Ok(Stored { output, small: Some(bytes.into()), blobs: vec![] });
            }
            cas.put_bytes(&bytes).map_err(fault)?;
            Ok(Stored { output, small: None, blobs: vec![(digest, size)] })
        }
        Produced::Bytes { bytes, .. } => {
            let (digest, size) = (Digest::of_blob(&bytes), bytes.len() as u64);
            let (kind, schema) = (OutputKind::File, name_of(form));
            let output = Output { kind, digest, size, schema };
            if size <= inline_max {
                return Ok(Stored { output, small: Some(bytes.into()), blobs: vec![] });
            }
            cas.put_bytes(&bytes).map_err(fault)?;
            Ok(Stored { output, small: None, blobs: vec![(digest, size)] })
        }
        Produced::File(path) => store_file(&path, form, cas, inline_max),
        Produced::Directory(path) => {
            let mut sink = super::blobs::Sink::new(cas);
            let stored = tree::store(&path, &mut sink)
                .map_err(|error| Failure::Store { reason: error.to_string() })?;
            // The files have been moved away; what is left is empty directories.
            let _ = std::fs::remove_dir_all(&path);
            let (kind, digest, size) =
                (OutputKind::Tree, stored.digest, sink.size_of(&stored.digest));
            let output = Output { kind, digest, size, schema: None };
            Ok(Stored { output, small: None, blobs: sink.blobs })
        }
    }
}

/// The name of a file, for its ending.
fn name_of(form: &OutputDef) -> Option<String> {
    match form {
        OutputDef::File { name } => Some(name.clone()),
        OutputDef::Table(_) | OutputDef::Directory | OutputDef::Pieces | OutputDef::None => None,
    }
}

fn store_file(
    path: &Path,
    form: &OutputDef,
    cas: &Cas,
    inline_max: u64,
) -> Result<Stored, Failure> {
    let io = |source: std::io::Error| Failure::Store { reason: source.to_string() };
    let schema = name_of(form);
    let kind = OutputKind::File;
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    if size <= inline_max {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        // Something that the command has left behind may write to it yet.
        file.take(inline_max + 1).read_to_end(&mut bytes).map_err(io)?;
        let (digest, size) = (Digest::of_blob(&bytes), bytes.len() as u64);
        if size <= inline_max {
            let output = Output { kind, digest, size, schema };
            return Ok(Stored { output, small: Some(bytes.into()), blobs: vec![] });
        }
    }
    let put = cas.put_file(path).map_err(|e| Failure::Store { reason: error_text(&e) })?;
    let output = Output { kind, digest: put.digest, size: put.size, schema };
    Ok(Stored { output, small: None, blobs: vec![(put.digest, put.size)] })
}

impl Engine {
    /// Everything that one execution needs, read as of now. It makes `wanted`: one asset, or some of those
    /// that one step makes.
    pub(super) fn step(
        &mut self,
        wanted: &[Arc<Asset>],
        part: PartitionIdx,
        run: RunId,
        staging: &Path,
    ) -> Result<Step, Error> {
        let asset = &wanted[0];
        let resources = self.resources_of(asset)?;
        let domain = self.planner.domain(&asset.key);
        let partition = domain.key(part).unwrap_or_else(PartitionKey::unpartitioned);
        let window = domain.window(part);
        let mut inputs = Vec::new();
        for edge in self.planner.edges(&asset.key).iter() {
            let mut input = self.input(edge, part)?;
            let upstream = &self.project.assets[&edge.upstream];
            if let (Body::Sql(_), Body::Source(SourceDef::Dir { .. })) =
                (&asset.body, &upstream.body)
            {
                input.parts = self.tables_of(upstream);
                input.single = false;
            }
            inputs.push(input);
        }
        let (zone, precise) = zone_of(&asset.partitions);
        let (def, of) = self.step_of(wanted);
        Ok(Step {
            window: window.map(|window| sql_window(window, zone, precise)),
            window_rfc3339: window.map(|window| rfc3339_window(window, zone)),
            config: asset.config.clone(),
            run,
            now: self.clock.now(),
            attempt: 1,
            paths: StepPaths {
                root: self.root.clone(),
                staging: staging.to_owned(),
                log: self.log_path(run, &asset.key, &partition),
            },
            resources,
            secrets: self.pool.secrets(),
            env: self.env.clone(),
            log_max_bytes: self.project.settings.log_max_bytes,
            types: self.types.clone(),
            def,
            of,
            partition,
            inputs,
        })
    }

    fn step_of(&self, wanted: &[Arc<Asset>]) -> (Arc<StepDef>, Of) {
        let asset = &wanted[0];
        let Some(shared) = &asset.shared else {
            return (self.step_def(asset), Of::Asset(asset.key.clone()));
        };
        let makes = shared.makes.iter().filter_map(|key| self.project.assets.get(key));
        let member = |member: &Arc<Asset>| Member {
            key: member.key.clone(),
            is_wanted: wanted.iter().any(|wanted| wanted.key == member.key),
            def: self.step_def(member),
        };
        let def = StepDef::of_shared(shared, asset, makes.clone().map(|asset| &**asset));
        (Arc::new(def), Of::Assets(makes.map(member).collect()))
    }

    /// An asset as a step, made once.
    fn step_def(&self, asset: &Arc<Asset>) -> Arc<StepDef> {
        let mut known = self.step_defs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(def) = known.get(&asset.key) {
            return def.clone();
        }
        let def = Arc::new(StepDef::of_asset(asset));
        known.insert(asset.key.clone(), def.clone());
        def
    }

    pub(super) fn log_path(
        &self,
        run: RunId,
        asset: &AssetKey,
        partition: &PartitionKey,
    ) -> PathBuf {
        let dir = self.dir.join("logs").join(run.to_string());
        let name = if partition.is_unpartitioned() {
            format!("{asset}.log")
        } else {
            format!("{asset}@{}.log", crate::io::names::file_name(partition.as_str()))
        };
        dir.join(name)
    }

    /// Where a step of a job writes its log.
    pub(super) fn op_log_path(&self, run: RunId, step: &str) -> PathBuf {
        self.dir.join(format!("logs/{run}/{}.log", crate::io::names::file_name(step)))
    }

    fn input(&self, edge: &Edge, part: PartitionIdx) -> Result<Input, Error> {
        let upstream = &self.project.assets[&edge.upstream];
        let domain = self.planner.domain(&edge.upstream);
        let mapped = edge.mapping.upstream_of_one(part);
        let mut parts = Vec::new();
        for member in key_order(domain, &mapped) {
            let key = domain.key(member).unwrap_or_else(PartitionKey::unpartitioned);
            let usable = self.planner.is_usable(&edge.upstream, member);
            let found = if usable { self.parts_of(upstream, member, &key)? } else { Vec::new() };
            // What was planned with and cannot be found is no input that is allowed to be missing.
            let mark = || self.ledger.column(&edge.upstream).get(member);
            if found.is_empty() && usable && mark().is_some_and(|mark| mark.has_value()) {
                let (asset, partition) = (edge.upstream.clone(), key);
                return Err(Error::NoContent { asset, partition });
            }
            match (found.is_empty(), edge.missing) {
                (true, Missing::Error) => {
                    let asset = edge.upstream.clone();
                    return Err(Error::NoResult { asset, partition: key });
                }
                (true, Missing::Allow) | (false, _) => parts.extend(found),
            }
        }
        let one_file = edge.given() == Given::One && parts.len() <= 1;
        let (name, variable) = (edge.upstream.clone(), upstream.variable());
        Ok(Input { name: (&name).into(), variable, single: one_file, parts, items: Vec::new() })
    }

    /// The value of one partition as a step is given it; several for a source of several files.
    pub(super) fn parts_of(
        &self,
        upstream: &Arc<Asset>,
        part: PartitionIdx,
        key: &PartitionKey,
    ) -> Result<Vec<Part>, Error> {
        match &upstream.body {
            Body::Source(source) => self.source_parts(upstream, source, part, key),
            Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {
                let Some(output) = self.ledger.output(&upstream.key, part)? else {
                    return Ok(Vec::new());
                };
                Ok(vec![self.result_part(upstream, key, output)?])
            }
        }
    }

    fn result_part(
        &self,
        upstream: &Asset,
        key: &PartitionKey,
        output: Output,
    ) -> Result<Part, Error> {
        let (format, extension) = match (&upstream.output, output.kind) {
            // A command writes its rows itself, in the form that is declared.
            (OutputDef::Table(format), OutputKind::Table | OutputKind::File) => {
                (Some(*format), format.extension().to_owned())
            }
            (_, OutputKind::File | OutputKind::Table) => {
                let name = output.schema.as_deref().unwrap_or("");
                (format_of(Path::new(name)), extension(name).to_owned())
            }
            (_, OutputKind::Tree) => (None, String::new()),
        };
        if let Some(digest) = self.ledger.lost(&output) {
            return Err(Error::Lost { asset: upstream.key.clone(), digest });
        }
        let content = match (output.kind, self.ledger.small(&output.digest)?) {
            (OutputKind::Tree, _) => {
                let blobs =
                    Arc::new(super::blobs::Source::new(self.cas.clone(), self.ledger.clone()));
                Content::Tree { digest: output.digest, blobs }
            }
            (_, Some(bytes)) => Content::Inline(bytes),
            (_, None) => Content::Blob(self.cas.path(&output.digest)),
        };
        let is_table = output.kind == OutputKind::Table;
        Ok(Part {
            key: key.clone(),
            version: output.version(),
            content_digest: output.digest,
            content,
            extension,
            format,
            schema: output.schema.filter(|_| is_table),
            columns: Arc::default(),
        })
    }

    fn source_parts(
        &self,
        upstream: &Arc<Asset>,
        source: &SourceDef,
        part: PartitionIdx,
        key: &PartitionKey,
    ) -> Result<Vec<Part>, Error> {
        let Some(files) = self.sources.get(&upstream.key) else { return Ok(Vec::new()) };
        let columns = match source {
            SourceDef::Files { columns, .. } => Arc::new(columns.clone()),
            SourceDef::Pieces { .. } => return self.piece(upstream, files.get(), part, key),
            SourceDef::Dir { path, columns } => {
                let content = Content::File(self.root.join(path));
                return Ok(self.whole_part(upstream, part, content, columns));
            }
            SourceDef::Observe { .. } => {
                let answer = files.answer().unwrap_or_default();
                let content = Content::Inline(answer.as_bytes().into());
                return Ok(self.whole_part(upstream, part, content, &BTreeMap::new()));
            }
        };
        let files = files.get();
        if let Some(split) = &files.split {
            let cut = self.split_file(&upstream.key, split)?;
            let Some(bytes) = cut.part(key.as_str()) else { return Ok(Vec::new()) };
            let digest = Digest::of_blob(&bytes);
            let extension = split.format.extension();
            return Ok(vec![Part {
                key: key.clone(),
                version: version(&[(extension, digest)], &columns),
                content_digest: digest,
                content: Content::Inline(bytes.into()),
                extension: extension.to_owned(),
                format: Some(split.format),
                schema: None,
                columns,
            }]);
        }
        let Some(files) = files.by_part.get(&part) else { return Ok(Vec::new()) };
        let several = files.len() > 1;
        let part = |file: &SourceFile| {
            let extension = extension(&file.path);
            Part {
                key: if several { PartitionKey::new(file.path.as_str()) } else { key.clone() },
                version: version(&[(extension, file.digest)], &columns),
                content_digest: file.digest,
                content: Content::File(self.root.join(&file.path)),
                extension: extension.to_owned(),
                format: format_of(Path::new(&file.path)),
                schema: None,
                columns: columns.clone(),
            }
        };
        Ok(files.iter().map(part).collect())
    }

    /// One piece: a file of the store.
    fn piece(
        &self,
        pieces: &Asset,
        files: &SourceFiles,
        part: PartitionIdx,
        key: &PartitionKey,
    ) -> Result<Vec<Part>, Error> {
        let columns = Arc::default();
        let made = files.by_part.get(&part).map(Vec::as_slice).unwrap_or_default();
        let piece = |file: &SourceFile| {
            let (path, extension) = (self.cas.path(&file.digest), extension(&file.path));
            if !path.exists() {
                let (asset, digest) = (pieces.key.clone(), file.digest);
                return Err(Error::Lost { asset, digest });
            }
            Ok(Part {
                key: key.clone(),
                version: version(&[(extension, file.digest)], &columns),
                content_digest: file.digest,
                content: Content::Blob(path),
                extension: extension.to_owned(),
                format: format_of(Path::new(&file.path)),
                schema: None,
                columns: columns.clone(),
            })
        };
        made.iter().map(piece).collect()
    }

    /// The one value of a source that is no file.
    fn whole_part(
        &self,
        upstream: &Asset,
        part: PartitionIdx,
        content: Content,
        columns: &BTreeMap<String, ColumnType>,
    ) -> Vec<Part> {
        let mark = self.ledger.mark(&upstream.key, part);
        let part = mark.map(|mark| Part {
            key: PartitionKey::unpartitioned(),
            version: mark.version,
            content_digest: mark.version,
            content,
            extension: String::new(),
            format: None,
            schema: None,
            columns: Arc::new(columns.clone()),
        });
        part.into_iter().collect()
    }

    /// All table files of a directory: what SQL sees of it.
    fn tables_of(&self, upstream: &Asset) -> Vec<Part> {
        let (Body::Source(SourceDef::Dir { path: dir, columns }), Some(files)) =
            (&upstream.body, self.sources.get(&upstream.key))
        else {
            return Vec::new();
        };
        let columns = Arc::new(columns.clone());
        let part = |file: &SourceFile| {
            let format = format_of(Path::new(&file.path))?;
            let extension = extension(&file.path);
            let below = file.path.strip_prefix(dir).unwrap_or(&file.path);
            Some(Part {
                key: PartitionKey::new(below.trim_start_matches('/')),
                version: version(&[(extension, file.digest)], &columns),
                content_digest: file.digest,
                content: Content::File(self.root.join(&file.path)),
                extension: extension.to_owned(),
                format: Some(format),
                schema: None,
                columns: columns.clone(),
            })
        };
        files.get().by_part.values().flatten().filter_map(part).collect()
    }

    pub(super) fn split_file(
        &self,
        asset: &AssetKey,
        split: &super::observe::SplitSource,
    ) -> Result<Arc<crate::io::SplitFile>, Error> {
        let mut known = self.splits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (asset.clone(), split.file.digest);
        if let Some(cut) = known.get(&key) {
            return Ok(cut.clone());
        }
        let cut = Arc::new(split.read(&self.root, asset)?);
        known.insert(key, cut.clone());
        Ok(cut)
    }
}

/// The time zone of windows, and whether they begin at other times than midnight.
pub(super) fn zone_of(partitions: &PartitionsDef) -> (Tz, bool) {
    match partitions {
        PartitionsDef::TimeWindow(def) => {
            let precise = match &def.cadence {
                Cadence::Hourly { .. } => true,
                Cadence::Daily { hour, minute }
                | Cadence::Weekly { hour, minute, .. }
                | Cadence::Monthly { hour, minute, .. } => (*hour, *minute) != (0, 0),
                Cadence::Cron(text) => !text.trim_start().starts_with("0 0 "),
            };
            (def.timezone, precise)
        }
        PartitionsDef::Multi(dimensions) => dimensions
            .values()
            .find(|def| matches!(def, PartitionsDef::TimeWindow(_)))
            .map_or((Tz::UTC, false), zone_of),
        PartitionsDef::Unpartitioned | PartitionsDef::Static(_) | PartitionsDef::Dynamic(_) => {
            (Tz::UTC, false)
        }
    }
}

/// As SQLite writes dates: a day where windows begin at midnight, else date and time.
/// Start and end of a window as SQL and functions are told them, and in RFC 3339.
pub fn spans(
    partitions: &PartitionsDef,
    window: TimeWindow,
) -> ((String, String), (String, String)) {
    let (zone, precise) = zone_of(partitions);
    (sql_window(window, zone, precise), rfc3339_window(window, zone))
}

pub(super) fn sql_window(window: TimeWindow, zone: Tz, precise: bool) -> (String, String) {
    let form = if precise { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d" };
    let text = |time: DateTime<Utc>| time.with_timezone(&zone).format(form).to_string();
    (text(window.start), text(window.end))
}

pub(super) fn rfc3339_window(window: TimeWindow, zone: Tz) -> (String, String) {
    let text = |time: DateTime<Utc>| time.with_timezone(&zone).to_rfc3339();
    (text(window.start), text(window.end))
}

/// The log of an outcome as the store keeps it: relative to the project's root.
pub fn log_text(root: &Path, log: Option<&LogInfo>) -> Option<String> {
    let path = &log?.path;
    Some(path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned())
}
