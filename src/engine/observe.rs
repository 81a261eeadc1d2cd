//! Looks at the world: the files of sources, and further files that steps name.
//!
//! A file is read only if the stat cache cannot vouch for it. What was seen is recorded in one
//! transaction: the stats, the versions of partitions, the keys that came and went, and a digest of
//! the whole observation (`shape` of the source's row), so that the next look at an unchanged source
//! compares one digest and nothing else.

mod recorded;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use recorded::{Known, observation, record};

use super::Error;
use super::code::{self, Code};
use super::listing::{self, Listed, ListedDir, Listing};
use super::upkeep::reported_version;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::base::{AssetKey, Digest, PartitionIdx, PartitionKey};
use crate::cas::Dirs;
use crate::cas::stat::{self, Observed, Slack, StatEntry, StatKey};
use crate::defs::{
    Asset, Body, ColumnType, Domain, DynamicDef, PartitionsDef, PathPattern, SourceDef, SplitBy,
    TableFormat,
};
use crate::io::{BlobSource, SplitFile, format_of, tree};
use crate::plan::pieces_shape;

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

/// The files of a source as of the last look; which partition each belongs to is found out when it is
/// asked for the first time, since most looks find nothing changed.
pub struct Files {
    seen: Seen,
    domain: Domain,
    files: OnceLock<(SourceFiles, Vec<String>)>,
    entries: OnceLock<HashMap<String, StatEntry>>,
}

impl Files {
    pub fn new(seen: Seen, domain: Domain) -> Files {
        Files { seen, domain, files: OnceLock::new(), entries: OnceLock::new() }
    }

    pub fn get(&self) -> &SourceFiles {
        &self.found().0
    }

    /// What a command printed.
    pub fn answer(&self) -> Option<&str> {
        self.seen.memory.answer.as_ref().map(|answer| answer.version.as_str())
    }

    /// Every directory and file as it was when it was looked at.
    pub fn all_entries(&self) -> impl Iterator<Item = (&str, StatEntry)> {
        let dirs = self.seen.memory.dirs.iter().map(|(path, entry)| (path.as_str(), *entry));
        let files = self.seen.memory.files.iter().map(|f| (f.path.as_str(), f.entry));
        dirs.chain(files)
    }

    /// A file as it was when it was looked at.
    pub fn entry(&self, path: &str) -> Option<StatEntry> {
        let entries = self.entries.get_or_init(|| {
            let files = self.seen.memory.files.iter();
            files.map(|file| (file.path.clone(), file.entry)).collect()
        });
        entries.get(path).copied()
    }

    /// Whether these are the files that were seen, in their places in this very domain.
    pub fn is_of(&self, seen: &Seen, domain: &Domain) -> bool {
        let same = Arc::ptr_eq(&self.seen.memory, &seen.memory);
        (same || self.seen.memory == seen.memory) && self.domain == *domain
    }

    /// Files that belong to no partition. Asked for only where that is possible.
    pub fn warnings(&self) -> Vec<String> {
        match &self.seen.asset.partitions {
            PartitionsDef::Dynamic(_) | PartitionsDef::Unpartitioned => Vec::new(),
            PartitionsDef::TimeWindow(_) | PartitionsDef::Static(_) | PartitionsDef::Multi(_) => {
                self.found().1.clone()
            }
        }
    }

    fn found(&self) -> &(SourceFiles, Vec<String>) {
        self.files.get_or_init(|| {
            let mut warnings = Vec::new();
            (self.seen.source_files(&self.domain, &mut warnings), warnings)
        })
    }
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
        SplitFile::parse(bytes, &self.by, self.format, &self.key_format).map_err(|error| {
            let problem = format!("`{}`: {error}", self.file.path);
            Error::Unreadable { asset: asset.clone(), problem }
        })
    }
}

/// From so many partitions on it pays to wake other threads.
const MANY: usize = 4_096;

/// Everything that one look saw.
pub struct Look {
    pub sources: Vec<Seen>,
    /// Stats that are new, of files that steps name.
    pub stats: Vec<(PathBuf, StatEntry)>,
    /// Further files of assets.
    pub files: Vec<(AssetKey, Vec<(String, Digest)>)>,
    /// How many files had to be read in order to know their digest.
    pub hashed: u64,
    pub warnings: Vec<String>,
    /// Sources that could not be looked at, and why.
    pub faults: Vec<(AssetKey, String)>,
}

/// What was seen of one source.
pub struct Seen {
    pub asset: Arc<Asset>,
    pub memory: Arc<Memory>,
    /// Digest of all that decides which partitions have which version.
    pub shape: Digest,
    /// The memory is not the one that was remembered.
    pub is_new: bool,
}

/// What [`look`] needs.
pub struct Eyes<'a> {
    pub root: &'a Path,
    pub stats: &'a HashMap<PathBuf, StatEntry>,
    /// What was remembered of each source.
    pub memories: &'a HashMap<AssetKey, Arc<Memory>>,
    pub taken_ns: i64,
    pub slack: Slack,
    /// What the commands of sources have answered in this look.
    pub answers: &'a Answers,
    /// What the makers of pieces have recorded, by maker.
    pub made: &'a HashMap<AssetKey, Made>,
    pub blobs: &'a dyn BlobSource,
    /// Files that are being written: what is known of them stays, and new ones are not there yet.
    pub busy: &'a HashSet<PathBuf>,
}

impl Eyes<'_> {
    fn is_busy(&self, path: &str) -> bool {
        !self.busy.is_empty() && self.busy.contains(&self.root.join(path))
    }
}

/// The recorded result of an asset that makes pieces.
pub struct Made {
    pub version: Digest,
    /// The tree object; `None` if the result was only reported.
    pub tree: Option<Digest>,
}

/// What commands printed, or why they could not. Those that were not asked have an answer that holds.
pub type Answers = HashMap<AssetKey, Result<Answer, String>>;

/// What a command printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub version: String,
    /// When, where that matters, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Looks at the files of `assets`: of sources by their patterns, of others by what they name.
pub fn look(eyes: &Eyes<'_>, assets: &[Arc<Asset>]) -> Result<Look, Error> {
    let (sources, stats, files, warnings, faults) = Default::default();
    let mut look = Look { sources, stats, files, hashed: 0, warnings, faults };
    let mut code = Code::new(eyes.root);
    for asset in assets {
        match &asset.body {
            Body::Source(SourceDef::Files { pattern, .. }) => {
                let list = || listing::list(eyes.root, pattern, &asset.partitions);
                let place =
                    Named { path: &pattern.text, what: "file", alone: pattern.is_literal() };
                let seen = look.source(eyes, asset, &place, list);
                look.take_fault(asset, seen)?;
            }
            Body::Source(SourceDef::Dir { path, .. }) => {
                let place = Named { path, what: "directory", alone: true };
                let seen = look.source(eyes, asset, &place, || listing::tree(eyes.root, path));
                look.take_fault(asset, seen)?;
            }
            Body::Source(SourceDef::Observe { .. }) => look.answer(eyes, asset),
            Body::Source(SourceDef::Pieces { of, pattern }) => {
                look.pieces(eyes, asset, of, pattern)?;
            }
            Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {
                let mut paths = code.files(asset)?;
                let named_count = paths.len();
                // The script is code, whose digest is known; only its state is looked at here.
                paths.extend(code::script(asset));
                let known = |path: &String| eyes.stats.get(Path::new(path)).copied();
                let seen = observe(eyes, &paths, |_| false, |path| (path, known(path)))?;
                look.hashed += seen.hashed;
                let mut named = Vec::new();
                for (i, (path, entry)) in paths.iter().zip(seen.entries).enumerate() {
                    let Some(entry) = entry else { continue };
                    if i < named_count {
                        named.push((path.clone(), entry.digest));
                    }
                    if known(path) != Some(entry) {
                        look.stats.push((PathBuf::from(path), entry));
                    }
                }
                look.files.push((asset.key.clone(), named));
            }
        }
    }
    Ok(look)
}

/// Files that are there, directories that were read, and warnings.
type Found = (Vec<SeenFile>, Vec<(String, StatEntry)>, Vec<String>);

impl Look {
    /// What cannot be read is the fault of its source, and of nothing else.
    fn take_fault(&mut self, asset: &Asset, seen: Result<(), Error>) -> Result<(), Error> {
        match seen {
            Err(error @ (Error::Io { .. } | Error::Look { .. })) => {
                self.faults.push((asset.key.clone(), super::error_text(&error)));
                Ok(())
            }
            other => other,
        }
    }

    fn source(
        &mut self,
        eyes: &Eyes<'_>,
        asset: &Arc<Asset>,
        place: &Named<'_>,
        list: impl FnOnce() -> std::io::Result<Listing>,
    ) -> Result<(), Error> {
        let about = Memory::about(asset);
        let known = eyes.memories.get(&asset.key).filter(|memory| memory.about == about);
        let (files, dirs, warnings) = match known.filter(|memory| memory.dirs_stand(eyes)) {
            Some(memory) => {
                let is_busy = |path: &str| eyes.is_busy(path);
                let seen =
                    observe(eyes, &memory.files, is_busy, |file| (&file.path, Some(file.entry)))?;
                self.hashed += seen.hashed;
                if seen.is_unchanged() {
                    self.warnings.extend(memory.warnings.iter().cloned());
                    self.sources.push(Seen::as_before(asset, memory));
                    return Ok(());
                }
                let files = memory.files.iter().cloned().zip(seen.entries);
                let files =
                    files.filter_map(|(file, entry)| Some(SeenFile { entry: entry?, ..file }));
                (files.collect(), memory.dirs.clone(), memory.warnings.clone())
            }
            None => {
                let found = list()
                    .map_err(|source| Error::Io { path: eyes.root.join(place.path), source })?;
                self.found(eyes, asset, place, known, found)?
            }
        };
        self.warnings.extend(warnings.iter().cloned());
        let modes = match &asset.body {
            Body::Source(SourceDef::Dir { .. }) => Modes::Count,
            Body::Source(
                SourceDef::Files { .. } | SourceDef::Observe { .. } | SourceDef::Pieces { .. },
            )
            | Body::Sql(_)
            | Body::Command(_)
            | Body::Function(_)
            | Body::Graph(_) => Modes::Ignore,
        };
        let memory = Memory::new(about, dirs, files, warnings, modes);
        self.see(asset, known, memory);
        Ok(())
    }

    /// Looks at files that were listed anew: which of them are there still, the directories, and warnings.
    fn found(
        &mut self,
        eyes: &Eyes<'_>,
        asset: &Asset,
        place: &Named<'_>,
        known: Option<&Arc<Memory>>,
        found: Listing,
    ) -> Result<Found, Error> {
        let mut warnings = found.warnings;
        let is_there =
            !found.files.is_empty() || (place.what == "directory" && !found.dirs.is_empty());
        if place.alone && !is_there {
            let (Named { path, what, .. }, key) = (place, &asset.key);
            warnings.push(format!("there is no {what} `{path}` for source `{key}`"));
        }
        let before: HashMap<&str, StatEntry> = known
            .iter()
            .flat_map(|memory| memory.files.iter().map(|f| (f.path.as_str(), f.entry)))
            .collect();
        let entry = |path: &String| before.get(path.as_str()).copied();
        let is_busy = |path: &str| eyes.is_busy(path);
        let seen = observe(eyes, &found.files, is_busy, |file| (&file.path, entry(&file.path)))?;
        self.hashed += seen.hashed;
        let left_out = |file: &Listed| eyes.is_busy(&file.path) && entry(&file.path).is_none();
        let taken_ns = match found.files.iter().any(left_out) {
            // The next look has to list again.
            true => i64::MIN,
            false => eyes.taken_ns,
        };
        let files = found.files.into_iter().zip(seen.entries);
        let files = files.filter_map(|(Listed { key, path }, entry)| {
            // What vanished between the listing and the look was not there.
            Some(SeenFile { key, path, entry: entry? })
        });
        let dirs = found.dirs.into_iter().map(|ListedDir { path, stat, names }| {
            (path, StatEntry { stat, digest: names, taken_ns })
        });
        Ok((files.collect(), dirs.collect(), warnings))
    }

    /// Takes what a command answered; what it answered before holds where it was not asked, and stays
    /// recorded where it failed.
    fn answer(&mut self, eyes: &Eyes<'_>, asset: &Arc<Asset>) {
        let about = Memory::about(asset);
        let known = eyes.memories.get(&asset.key).filter(|memory| memory.about == about);
        let answer = match eyes.answers.get(&asset.key) {
            Some(Ok(answer)) => Some(answer.clone()),
            Some(Err(_)) | None => known.and_then(|memory| memory.answer.clone()),
        };
        self.see(asset, known, Memory::of_answer(about, answer));
    }

    /// Takes the files that a maker has recorded. While it has no result, its pieces are what they were.
    fn pieces(
        &mut self,
        eyes: &Eyes<'_>,
        asset: &Arc<Asset>,
        of: &AssetKey,
        pattern: &PathPattern,
    ) -> Result<(), Error> {
        let Some(made) = eyes.made.get(of) else { return Ok(()) };
        let about = Memory::about(asset);
        let shape = pieces_shape(asset, &made.version);
        let known = eyes.memories.get(&asset.key).filter(|memory| memory.about == about);
        if let Some(known) = known.filter(|known| known.shape == shape) {
            self.warnings.extend(known.warnings.iter().cloned());
            self.see(asset, Some(known), Memory::clone(known));
            return Ok(());
        }
        let paths = match &made.tree {
            Some(tree) => tree::files(tree, eyes.blobs).map_err(|error| Error::Source {
                asset: asset.key.clone(),
                problem: error.to_string(),
            })?,
            None => Vec::new(),
        };
        let (pieces, others) = listing::pieces(pattern, &asset.partitions, paths);
        let file = |(Listed { key, path }, digest)| {
            let entry = StatEntry { stat: StatKey::default(), digest, taken_ns: 0 };
            SeenFile { key, path, entry }
        };
        let files: Vec<SeenFile> = pieces.into_iter().map(file).collect();
        let mut warnings = Vec::new();
        if let Some(first) = others.first() {
            let more = match others.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let text = &pattern.text;
            warnings.push(format!("`{of}` made `{first}`{more}, which is no `{text}`: no piece"));
        }
        self.warnings.extend(warnings.iter().cloned());
        let memory =
            Memory { shape, ..Memory::new(about, Vec::new(), files, warnings, Modes::Ignore) };
        self.see(asset, known, memory);
        Ok(())
    }

    fn see(&mut self, asset: &Arc<Asset>, known: Option<&Arc<Memory>>, memory: Memory) {
        let (memory, is_new) = match known {
            Some(known) if **known == memory => (known.clone(), false),
            Some(_) | None => (Arc::new(memory), true),
        };
        let shape = memory.shape;
        self.sources.push(Seen { asset: asset.clone(), memory, shape, is_new });
    }
}

/// Where a source is said to be.
struct Named<'a> {
    path: &'a str,
    what: &'static str,
    /// It names one place, which should be there.
    alone: bool,
}

/// Whether it counts that a file can be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modes {
    Count,
    Ignore,
}

/// What is remembered of a source from look to look: its directories, its files, their digests.
///
/// It is stored as one value, so that looking at ten thousand files reads one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Digest of the declaration that it is about.
    about: Digest,
    /// Digest of the declaration and of everything that was seen.
    pub shape: Digest,
    /// The digest of a directory is that of its names.
    dirs: Vec<(String, StatEntry)>,
    files: Vec<SeenFile>,
    warnings: Vec<String>,
    /// What a command printed.
    pub answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SeenFile {
    key: PartitionKey,
    path: String,
    entry: StatEntry,
}

impl SeenFile {
    fn is_executable(&self) -> bool {
        self.entry.stat.mode & 0o100 != 0
    }

    fn seen(&self) -> SourceFile {
        let SeenFile { path, entry, .. } = self;
        SourceFile { path: path.clone(), digest: entry.digest }
    }
}

impl Memory {
    /// Reads what `to_bytes` wrote; `None` if another version of the program wrote it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Memory> {
        postcard::from_bytes(bytes).ok()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("there is nothing in it that cannot be written")
    }

    /// Whether it is about the source as it is declared now.
    pub fn is_about(&self, asset: &Asset) -> bool {
        self.about == Memory::about(asset)
    }

    pub fn about(asset: &Asset) -> Digest {
        let mut builder = Digest::builder("giornata 2026 source");
        builder.part(asset.partitions.spec()).part(format!("{:?}", asset.body));
        builder.finish()
    }

    fn new(
        about: Digest,
        dirs: Vec<(String, StatEntry)>,
        files: Vec<SeenFile>,
        warnings: Vec<String>,
        modes: Modes,
    ) -> Memory {
        let mut builder = Digest::builder("giornata 2026 observation");
        builder.digest(&about).number(files.len() as u64);
        for file in &files {
            builder.part(file.key.as_str()).part(&file.path).digest(&file.entry.digest);
            if modes == Modes::Count {
                builder.number(u64::from(file.is_executable()));
            }
        }
        // An empty directory is something else than none.
        if modes == Modes::Count {
            for (path, _) in &dirs {
                builder.part(path);
            }
        }
        Memory { about, shape: builder.finish(), dirs, files, warnings, answer: None }
    }

    pub fn of_answer(about: Digest, answer: Option<Answer>) -> Memory {
        let mut builder = Digest::builder("giornata 2026 observation");
        builder.digest(&about).part(answer.as_ref().map_or("", |answer| &answer.version));
        let (dirs, files, warnings) = Default::default();
        Memory { about, shape: builder.finish(), dirs, files, warnings, answer }
    }

    /// The version of a directory: its directories, and of each file its path below it, whether it can be executed, and its
    /// content. `None` if there is no such directory.
    fn tree_version(&self, dir: &str, columns: &BTreeMap<String, ColumnType>) -> Option<Digest> {
        self.dirs.first()?;
        let mut builder = Digest::builder("giornata 2026 source tree");
        builder.number(self.files.len() as u64);
        for file in &self.files {
            let below = file.path.strip_prefix(dir).unwrap_or(&file.path);
            builder.part(below).number(u64::from(file.is_executable()));
            builder.digest(&file.entry.digest);
        }
        let mut dirs: Vec<&str> = self.dirs.iter().map(|(path, _)| path.as_str()).collect();
        dirs.sort_unstable();
        for path in dirs {
            builder.part(path.strip_prefix(dir).unwrap_or(path));
        }
        for (name, kind) in columns {
            builder.part(name).part(format!("{kind:?}"));
        }
        Some(builder.finish())
    }

    /// Whether no file can have come or gone: every directory is what it was, and was so for long
    /// enough before it was read. A source without directories is one file.
    fn dirs_stand(&self, eyes: &Eyes<'_>) -> bool {
        !self.dirs.is_empty()
            && self.dirs.iter().all(|(path, entry)| {
                let now = std::fs::metadata(eyes.root.join(path));
                now.is_ok_and(|now| stat::trusted(entry, &StatKey::of(&now), eyes.slack))
            })
    }
}

/// What [`observe`] saw.
struct Observation {
    /// In the order of the items; `None`: there is no such file.
    entries: Vec<Option<StatEntry>>,
    hashed: u64,
}

impl Observation {
    /// All files are there, and none had to be read.
    fn is_unchanged(&self) -> bool {
        self.hashed == 0 && self.entries.iter().all(Option::is_some)
    }
}

/// Says the digests of files. Those that the stat cache cannot vouch for are read, in parallel. A busy one is
/// what is known of it, if anything.
fn observe<T: Sync>(
    eyes: &Eyes<'_>,
    items: &[T],
    is_busy: impl Fn(&str) -> bool + Sync,
    file: impl Fn(&T) -> (&String, Option<StatEntry>) + Sync,
) -> Result<Observation, Error> {
    let one = |dirs: &mut Dirs<'_>, item: &T| {
        let (path, known) = file(item);
        if is_busy(path) {
            return Ok(known.map(Observed::Unchanged));
        }
        match dirs.observe(path, known.as_ref(), eyes.taken_ns, eyes.slack) {
            Ok(seen) => Ok(Some(seen)),
            Err(source) => {
                let path = eyes.root.join(path);
                if path.exists() { Err(Error::Look { path, source }) } else { Ok(None) }
            }
        }
    };
    let seen = items.par_iter().map_init(|| Dirs::new(eyes.root), one);
    let seen: Vec<Option<Observed>> = seen.collect::<Result<_, _>>()?;
    let was_hashed = |seen: &&Option<Observed>| matches!(seen, Some(Observed::Hashed(_)));
    Ok(Observation {
        hashed: seen.iter().filter(was_hashed).count() as u64,
        entries: seen.into_iter().map(|seen| seen.map(|seen| *seen.entry())).collect(),
    })
}

impl Seen {
    fn as_before(asset: &Arc<Asset>, memory: &Arc<Memory>) -> Seen {
        let (asset, memory) = (asset.clone(), memory.clone());
        Seen { asset, shape: memory.shape, memory, is_new: false }
    }

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
        let file = self.memory.files.first()?;
        Some(SplitSource {
            file: file.seen(),
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
        for file in &self.memory.files {
            match domain.index(file.key.as_str()) {
                Some(part) => by_part.entry(part).or_default().push(file.seen()),
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
            PartitionsDef::Dynamic(def @ DynamicDef::Pieces(_)) => {
                self.asset.pieces_of().map(|_| def.table())
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
        let one = |version: Option<Digest>| {
            Ok(version.into_iter().map(|it| (PartitionKey::unpartitioned(), it)).collect())
        };
        let (split_by, columns) = match &self.asset.body {
            Body::Source(SourceDef::Files { split_by, columns, .. }) => (split_by, columns),
            Body::Source(SourceDef::Dir { path, columns }) => {
                return one(self.memory.tree_version(path, columns));
            }
            Body::Source(SourceDef::Observe { .. }) => {
                let answer = self.memory.answer.as_ref();
                return one(answer.map(|answer| reported_version(&answer.version)));
            }
            Body::Source(SourceDef::Pieces { .. }) => (&None, &BTreeMap::new()),
            Body::Sql(_) | Body::Command(_) | Body::Function(_) | Body::Graph(_) => {
                return Ok(BTreeMap::new());
            }
        };
        if split_by.is_some() {
            let Some(split) = self.split_source() else {
                let asset = self.asset.key.clone();
                let problem = "its file is not there".to_owned();
                return Err(Error::Unreadable { asset, problem });
            };
            let cut = split.read(root, &self.asset.key)?;
            let version = |key: &PartitionKey| {
                let digest = cut.digest(key.as_str()).expect("the key is one of the file's");
                (key.clone(), version(&[(split.format.extension(), digest)], columns))
            };
            return Ok(cut.keys().map(version).collect());
        }
        // They are in the order of their keys.
        let by_key: Vec<&[SeenFile]> = self.memory.files.chunk_by(|a, b| a.key == b.key).collect();
        let version = |files: &&[SeenFile]| {
            let mut named: Vec<(&str, Digest)> =
                files.iter().map(|file| (&*file.path, file.entry.digest)).collect();
            if let [(name, _)] = &mut named[..] {
                // A step is told what kind of file it is; of several files it sees the names too.
                *name = extension(name);
            }
            (files[0].key.clone(), version(&named, columns))
        };
        let versions: Vec<(PartitionKey, Digest)> = if by_key.len() < MANY {
            by_key.iter().map(version).collect()
        } else {
            by_key.par_iter().map(version).collect()
        };
        Ok(versions.into_iter().collect())
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
    if let [(name, digest)] = files {
        builder.part(name).number(1).digest(digest);
    } else {
        builder.number(files.len() as u64);
        for (name, digest) in files {
            builder.part(name).digest(digest);
        }
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
