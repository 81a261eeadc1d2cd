//! Looks at the world: the files of sources, and further files that steps name.
//!
//! A file is read only if the stat cache cannot vouch for it. What was seen is recorded in one
//! transaction: the stats, the versions of partitions, the keys that came and went, and a digest of
//! the whole observation (`shape` of the source's row), so that the next look at an unchanged source
//! compares one digest and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::ledger::Batch;
use super::listing::{self, Listed};
use crate::base::{
    AssetKey, AssetRow, Column, Digest, Flags, Mark, MatRow, PartitionIdx, PartitionKey,
    PartitionSet, Rev,
};
use crate::cas::stat::{self, Observed, Slack, StatEntry};
use crate::defs::{
    Asset, Body, ColumnType, Domain, DynamicDef, PartitionsDef, PathPattern, SourceDef, SplitBy,
    TableFormat,
};
use crate::io::{SplitFile, format_of};

/// A file of a source as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// As the pattern writes it.
    pub path: String,
    pub digest: Digest,
}

/// The partitions of a source with their files. For a split source: its one file, for every partition.
#[derive(Debug, Clone, Default)]
pub struct SourceFiles {
    pub by_part: BTreeMap<PartitionIdx, Vec<SourceFile>>,
    pub split: Option<Arc<SplitSource>>,
}

/// The one file of a split source.
#[derive(Debug, Clone)]
pub struct SplitSource {
    pub file: SourceFile,
    pub format: TableFormat,
    pub by: SplitBy,
    pub key_format: String,
}

impl SplitSource {
    /// Reads the file and cuts it; the file must still be what was observed.
    pub fn read(&self, root: &Path, asset: &AssetKey) -> Result<SplitFile, Error> {
        let path = root.join(&self.file.path);
        let bytes = std::fs::read(&path).map_err(|source| Error::Io { path, source })?;
        let fault = |problem: String| Error::Source { asset: asset.clone(), problem };
        if Digest::of_blob(&bytes) != self.file.digest {
            return Err(fault(format!(
                "`{}` changed while it was read; run again",
                self.file.path
            )));
        }
        SplitFile::parse(bytes, &self.by, self.format, &self.key_format)
            .map_err(|error| fault(format!("`{}`: {error}", self.file.path)))
    }
}

/// Everything that one look saw.
pub struct Look {
    pub sources: Vec<Seen>,
    /// Stats that are new.
    pub stats: Vec<(PathBuf, StatEntry)>,
    /// Further files of assets.
    pub files: Vec<(AssetKey, Vec<(String, Digest)>)>,
    pub warnings: Vec<String>,
}

/// What was seen of one source.
pub struct Seen {
    pub asset: Arc<Asset>,
    /// Digest of the observation together with the declaration.
    pub shape: Digest,
    files: Vec<(PartitionKey, SourceFile)>,
}

/// What [`look`] needs.
pub struct Eyes<'a> {
    pub root: &'a Path,
    pub stats: &'a HashMap<PathBuf, StatEntry>,
    pub taken_ns: i64,
    pub slack: Slack,
}

/// Looks at the files of `assets`: of sources by their patterns, of others by what they name.
pub fn look(eyes: &Eyes<'_>, assets: &[Arc<Asset>]) -> Result<Look, Error> {
    let mut warnings = Vec::new();
    let mut wanted: Vec<(Arc<Asset>, Vec<Listed>)> = Vec::new();
    for asset in assets {
        let listed = match &asset.body {
            Body::Source(SourceDef::Files { pattern, .. }) => {
                let found = listing::list(eyes.root, pattern, &asset.partitions);
                let found = found
                    .map_err(|source| Error::Io { path: eyes.root.join(&pattern.text), source })?;
                warnings.extend(found.warnings);
                found.files
            }
            Body::Sql(_) | Body::Command(_) | Body::Function(_) => named_files(eyes.root, asset)?,
        };
        wanted.push((asset.clone(), listed));
    }
    let paths: BTreeSet<&str> = wanted
        .iter()
        .flat_map(|(_, listed)| listed.iter().map(|file| file.path.as_str()))
        .collect();
    let (digests, stats) = hash(eyes, &paths)?;
    let mut look = Look { sources: Vec::new(), stats, files: Vec::new(), warnings };
    for (asset, listed) in &wanted {
        let asset = asset.clone();
        let files = listed.iter().filter_map(|file| {
            // A file that vanished between the listing and the look was not there.
            let digest = *digests.get(file.path.as_str())?;
            Some((file.key.clone(), SourceFile { path: file.path.clone(), digest }))
        });
        let files: Vec<_> = files.collect();
        if asset.is_source() {
            look.sources.push(Seen { shape: source_shape(&asset, &files), asset, files });
        } else {
            let named = files.into_iter().map(|(_, file)| (file.path, file.digest)).collect();
            look.files.push((asset.key.clone(), named));
        }
    }
    Ok(look)
}

/// Files that a step names: on its command line, and by its `inputs`.
fn named_files(root: &Path, asset: &Asset) -> Result<Vec<Listed>, Error> {
    let mut paths = BTreeSet::new();
    if let Body::Command(command) = &asset.body {
        paths.extend(command.named_files.iter().filter_map(|p| p.to_str()).map(str::to_owned));
    }
    for glob in &asset.inputs {
        let fault = |problem: String| Error::Source { asset: asset.key.clone(), problem };
        let pattern = PathPattern::parse(glob).map_err(|error| fault(error.to_string()))?;
        let found = listing::list(root, &pattern, &PartitionsDef::Unpartitioned);
        let found = found.map_err(|source| Error::Io { path: root.join(glob), source })?;
        paths.extend(found.files.into_iter().map(|file| file.path));
    }
    let key = PartitionKey::unpartitioned();
    Ok(paths.into_iter().map(|path| Listed { key: key.clone(), path }).collect())
}

type Digests<'a> = HashMap<&'a str, Digest>;

fn hash<'a>(
    eyes: &Eyes<'_>,
    paths: &BTreeSet<&'a str>,
) -> Result<(Digests<'a>, Vec<(PathBuf, StatEntry)>), Error> {
    let files: Vec<(PathBuf, Option<StatEntry>)> = paths
        .iter()
        .map(|path| (eyes.root.join(path), eyes.stats.get(Path::new(path)).copied()))
        .collect();
    let observed = stat::observe_all(&files, eyes.taken_ns, eyes.slack);
    let (mut digests, mut stats) = (HashMap::new(), Vec::new());
    for ((path, observed), (full, _)) in paths.iter().zip(observed).zip(&files) {
        match observed {
            Ok(Observed::Unchanged(entry)) => {
                digests.insert(*path, entry.digest);
            }
            Ok(Observed::Hashed(entry)) => {
                digests.insert(*path, entry.digest);
                stats.push((PathBuf::from(path), entry));
            }
            Err(_) if !full.exists() => {}
            Err(error) => return Err(Error::Look { path: full.clone(), source: error }),
        }
    }
    Ok((digests, stats))
}

fn source_shape(asset: &Asset, files: &[(PartitionKey, SourceFile)]) -> Digest {
    let mut builder = Digest::builder("giornata 2026 observation");
    builder.part(asset.partitions.spec()).part(format!("{:?}", asset.body));
    builder.number(files.len() as u64);
    for (key, file) in files {
        builder.part(key.as_str()).part(&file.path).digest(&file.digest);
    }
    builder.finish()
}

impl Seen {
    /// Takes into the digest which partitions are declared to exist: a file may lie there before its
    /// day is one of them. Where the files themselves say it, they have said it all.
    pub fn within(&mut self, domain: &Domain) {
        if self.dynamic_table().is_none() {
            let mut builder = Digest::builder("giornata 2026 observation of a domain");
            self.shape = builder.digest(&self.shape).digest(&domain.extent()).finish();
        }
    }

    /// The one file of a split source, if it is there.
    fn split_source(&self) -> Option<SplitSource> {
        let Body::Source(SourceDef::Files { split_by: Some(by), .. }) = &self.asset.body else {
            return None;
        };
        let (_, file) = self.files.first()?;
        Some(SplitSource {
            file: file.clone(),
            format: format_of(Path::new(&file.path)).unwrap_or(TableFormat::Csv),
            by: by.clone(),
            key_format: listing::date_key(&self.asset.partitions).to_owned(),
        })
    }

    /// The files by partition. Keys that are not partitions of a declared domain become warnings.
    pub fn source_files(&self, domain: &Domain, warnings: &mut Vec<String>) -> SourceFiles {
        if let Some(split) = self.split_source() {
            return SourceFiles { by_part: BTreeMap::new(), split: Some(Arc::new(split)) };
        }
        let mut by_part: BTreeMap<PartitionIdx, Vec<SourceFile>> = BTreeMap::new();
        let mut strangers = Vec::new();
        for (key, file) in &self.files {
            match domain.index(key.as_str()) {
                Some(part) => by_part.entry(part).or_default().push(file.clone()),
                None => strangers.push(file.path.as_str()),
            }
        }
        if !strangers.is_empty() {
            warnings.push(strangers_text(&self.asset.key, &strangers));
        }
        SourceFiles { by_part, split: None }
    }

    /// The keys of a source whose partitions are what its files or rows say.
    pub fn dynamic_table(&self) -> Option<String> {
        match &self.asset.partitions {
            PartitionsDef::Dynamic(def) if *def == DynamicDef::Source(self.asset.key.clone()) => {
                Some(def.table())
            }
            PartitionsDef::Unpartitioned
            | PartitionsDef::TimeWindow(_)
            | PartitionsDef::Static(_)
            | PartitionsDef::Dynamic(_)
            | PartitionsDef::Multi(_) => None,
        }
    }

    /// The version of each key that was seen. Reads a split file.
    pub fn versions(&self, root: &Path) -> Result<BTreeMap<PartitionKey, Digest>, Error> {
        let Body::Source(SourceDef::Files { split_by, columns, .. }) = &self.asset.body else {
            return Ok(BTreeMap::new());
        };
        if split_by.is_some() {
            let Some(split) = self.split_source() else { return Ok(BTreeMap::new()) };
            let cut = split.read(root, &self.asset.key)?;
            let version = |key: &PartitionKey| {
                let digest = cut.digest(key.as_str()).expect("the key is one of the file's");
                (key.clone(), version(&[(split.format.extension(), digest)], columns))
            };
            return Ok(cut.keys().map(version).collect());
        }
        let mut by_key: BTreeMap<PartitionKey, Vec<(&str, Digest)>> = BTreeMap::new();
        for (key, file) in &self.files {
            by_key.entry(key.clone()).or_default().push((&file.path, file.digest));
        }
        let version = |(key, mut files): (PartitionKey, Vec<(&str, Digest)>)| {
            if let [(name, _)] = &mut files[..] {
                // A step is told what kind of file it is; of several files it sees the names too.
                *name = extension(name);
            }
            (key, version(&files, columns))
        };
        Ok(by_key.into_iter().map(version).collect())
    }
}

/// The ending of a file's name, without the dot.
pub fn extension(path: &str) -> &str {
    Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or("")
}

/// The version of a source's partition: its content, and how it is declared to be read. `files` are
/// digests with what a step sees of the name.
pub fn version(files: &[(&str, Digest)], columns: &BTreeMap<String, ColumnType>) -> Digest {
    let mut builder = Digest::builder("giornata 2026 source version");
    builder.number(files.len() as u64);
    for (name, digest) in files {
        builder.part(name).digest(digest);
    }
    for (name, kind) in columns {
        builder.part(name).part(format!("{kind:?}"));
    }
    builder.finish()
}

fn strangers_text(asset: &AssetKey, paths: &[&str]) -> String {
    let shown: Vec<String> = paths.iter().take(3).map(|path| format!("`{path}`")).collect();
    let more = paths.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let belong = if paths.len() == 1 { "belongs" } else { "belong" };
    format!("{}{more} {belong} to no partition of `{asset}`", shown.join(", "))
}

/// What is recorded of a source.
pub struct Known {
    pub row: Arc<AssetRow>,
    pub column: Arc<Column>,
}

/// Records what was seen of one source: versions that differ, tombstones of what is gone, keys, and the
/// row.
pub fn record(
    batch: &mut Batch<'_>,
    known: &Known,
    seen: &Seen,
    domain: &Domain,
    versions: &BTreeMap<PartitionKey, Digest>,
) -> Result<(), crate::store::Error> {
    let key = &seen.asset.key;
    let mut present: BTreeMap<PartitionIdx, Digest> = BTreeMap::new();
    match seen.dynamic_table() {
        Some(table) => {
            let keys: Vec<PartitionKey> = versions.keys().cloned().collect();
            let indexes = batch.tx().add_keys(&table, &keys)?;
            present.extend(indexes.into_iter().zip(versions.values().copied()));
            let (names, were) = batch.tx().key_rows(&table)?;
            let gone = were.iter().filter(|index| !present.contains_key(index));
            let gone: Vec<PartitionKey> = gone.map(|index| names[index as usize].clone()).collect();
            batch.tx().remove_keys(&table, &gone)?;
        }
        None => {
            for (key, version) in versions {
                if let Some(part) = domain.index(key.as_str()) {
                    present.insert(part, *version);
                }
            }
        }
    }
    let next = batch.tx().next_rev();
    for (part, version) in &present {
        let before = known.column.get(*part).filter(Mark::has_value);
        if before.is_none_or(|mark| mark.version != *version) {
            batch.put(key, observation(*part, *version, next))?;
        }
    }
    let fresh: PartitionSet = present.keys().copied().collect();
    let gone = known.column.with_value() - &fresh;
    if !gone.is_empty() {
        batch.remove(key, &gone)?;
    }
    let row = AssetRow {
        verified_rev: next,
        shape: Some(seen.shape),
        fresh,
        ..AssetRow::clone(&known.row)
    };
    batch.set_row(key, row)
}

fn observation(part: PartitionIdx, version: Digest, rev: Rev) -> MatRow {
    MatRow {
        part,
        changed_at: rev,
        verified_at: rev,
        step: None,
        key: version,
        version,
        output: None,
        run: None,
        flags: Flags::default(),
    }
}
