//! Finds the files that a directory sensor looks at, and says which of them are whole.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use rayon::prelude::*;

use super::super::listing::Matcher;
use crate::cas::Dirs;
use crate::cas::stat::{self, Slack, StatEntry, StatKey};
use crate::defs::{DirectoryDef, PartitionsDef, Project, Ready};
use crate::sensor::FoundFile;

/// What a sensor looks for, compiled.
pub(super) struct Finder {
    matcher: Matcher,
    /// Of names, and of whole paths.
    ignored: [GlobSet; 2],
    marker: Option<String>,
    /// Paths at which results of the project are put.
    exports: Vec<regex::Regex>,
}

/// A file that matches.
pub(super) struct Listed {
    pub path: PathBuf,
    pub captures: BTreeMap<String, String>,
    pub stat: StatKey,
    /// The file lies there that says that it is whole.
    pub is_marked: bool,
}

/// What is known of the moment of a look.
pub(super) struct Moment<'a> {
    pub root: &'a Path,
    /// By the clock of the file system.
    pub now_ns: i64,
    pub slack: Slack,
    /// Files that are being written, and those that got their name by a rename, by absolute path.
    pub writing: &'a HashSet<PathBuf>,
    pub renamed: &'a HashSet<PathBuf>,
    /// Whether events tell of renames: not of what was there before.
    pub tells_renames: bool,
}

/// What a look found.
#[derive(Default)]
pub(super) struct Found {
    pub files: BTreeMap<PathBuf, FoundFile>,
    /// The first of those that are not whole may be after so long.
    pub again: Option<Duration>,
    /// Files that are not whole: what is known of them stays.
    pub waiting: HashSet<PathBuf>,
    pub faults: Vec<String>,
}

impl Finder {
    pub fn new(def: &DirectoryDef, project: &Project) -> Finder {
        let set = |with_slash: bool| {
            let mut set = GlobSetBuilder::new();
            for glob in def.ignore.iter().filter(|glob| glob.contains('/') == with_slash) {
                // What is no glob is a diagnostic, and the sensor is not there.
                if let Ok(glob) = GlobBuilder::new(glob).literal_separator(with_slash).build() {
                    set.add(glob);
                }
            }
            set.build().unwrap_or_else(|_| GlobSet::empty())
        };
        Finder {
            matcher: Matcher::new(&def.pattern, &PartitionsDef::Unpartitioned),
            ignored: [set(false), set(true)],
            marker: match &def.ready {
                Ready::Marker(name) => Some(name.clone()),
                Ready::Closed | Ready::Renamed | Ready::Stable(_) => None,
            },
            exports: project
                .assets
                .values()
                .filter_map(|it| exported(it.export.as_deref()?))
                .collect(),
        }
    }

    /// The directory in which everything is, and how many levels of it.
    pub fn place(&self) -> (&str, usize) {
        (&self.matcher.prefix, self.matcher.depth)
    }

    /// Every file that matches. A directory that does not exist has none.
    pub fn list(&self, root: &Path) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        let start = PathBuf::from(&self.matcher.prefix);
        self.walk(root, &start, self.matcher.depth, &mut files)?;
        Ok(files)
    }

    fn walk(
        &self,
        root: &Path,
        dir: &Path,
        depth: usize,
        files: &mut Vec<Listed>,
    ) -> io::Result<()> {
        let entries = match std::fs::read_dir(root.join(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let (mut below, mut names) = (Vec::new(), HashSet::new());
        let first = files.len();
        for entry in entries {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            if self.marker.is_some() {
                names.insert(entry.file_name());
            }
            if self.is_ignored(&path) {
                continue;
            }
            // What vanishes while it is looked at was not there.
            let Ok(kind) = entry.file_type() else { continue };
            let Ok(metadata) = std::fs::metadata(root.join(&path)) else { continue };
            if metadata.is_dir() {
                // A link to a directory is followed only where the pattern says how deep it goes.
                if depth > 1 && (!kind.is_symlink() || depth != usize::MAX) {
                    below.push(path);
                }
            } else if metadata.is_file()
                && let Some(captures) = self.captures(&path)
            {
                let stat = StatKey::of(&metadata);
                files.push(Listed { path, captures, stat, is_marked: false });
            }
        }
        if let Some(marker) = &self.marker {
            for file in &mut files[first..] {
                let name = file.path.file_name().map(|name| {
                    let mut beside = name.to_owned();
                    beside.push(marker);
                    beside
                });
                file.is_marked = names.contains(marker.as_ref() as &std::ffi::OsStr)
                    || name.is_some_and(|it| names.contains(&it));
            }
        }
        for path in below {
            let depth = if depth == usize::MAX { depth } else { depth - 1 };
            self.walk(root, &path, depth, files)?;
        }
        Ok(())
    }

    fn is_ignored(&self, path: &Path) -> bool {
        let name = path.file_name().map(Path::new);
        let is_marker = |name: &Path| {
            let name = name.to_string_lossy();
            self.marker
                .as_deref()
                .is_some_and(|it| name == it || (it.starts_with('.') && name.ends_with(it)))
        };
        name.is_some_and(|name| self.ignored[0].is_match(name) || is_marker(name))
            || self.ignored[1].is_match(path)
            || path.to_str().is_some_and(|path| self.exports.iter().any(|it| it.is_match(path)))
    }

    /// What the captures stand for; a name that is no UTF-8 matches as it is shown.
    fn captures(&self, path: &Path) -> Option<BTreeMap<String, String>> {
        self.matcher.captured(&path.to_string_lossy())
    }
}

/// The paths at which results of an asset are put.
fn exported(template: &str) -> Option<regex::Regex> {
    let mut text = String::from("^");
    let mut rest = template.trim_start_matches("./").trim_end_matches('/');
    while let Some((before, after)) = rest.split_once('{') {
        text += &regex::escape(before);
        text += ".+";
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    text += &regex::escape(rest);
    regex::Regex::new(&(text + "(/.*)?$")).ok()
}

/// Says the digests of those that are whole; what `known` vouches for is not read.
pub(super) fn observe(
    def: &DirectoryDef,
    listed: Vec<Listed>,
    known: &BTreeMap<PathBuf, StatEntry>,
    moment: &Moment<'_>,
) -> Found {
    let one = |dirs: &mut Dirs<'_>, file: Listed| -> One {
        let Listed { path, captures, stat, is_marked } = file;
        let before = known.get(&path);
        if let Some(entry) = before.filter(|entry| stat::trusted(entry, &stat, moment.slack)) {
            return One::Found(FoundFile { path, captures, entry: *entry });
        }
        let is_same = before.is_some_and(|entry| entry.stat == stat);
        let full = moment.root.join(&path);
        if !is_same {
            match is_whole(def, &full, &stat, is_marked, moment) {
                Whole::Yes => {}
                Whole::After(again) => return One::Waits(path, Some(again)),
                Whole::WhenTold => return One::Waits(path, None),
            }
        }
        match dirs.observe(&path, before, moment.now_ns, moment.slack) {
            Ok(seen) => One::Found(FoundFile { path, captures, entry: *seen.entry() }),
            Err(_) if !full.exists() => One::Gone,
            Err(error) => One::Fault(
                path,
                format!("`{}`: {}", full.display(), crate::base::error_text(&error)),
            ),
        }
    };
    let mut found = Found::default();
    let seen = listed.into_par_iter().map_init(|| Dirs::new(moment.root), one);
    for one in seen.collect::<Vec<_>>() {
        match one {
            One::Found(file) => {
                found.files.insert(file.path.clone(), file);
            }
            One::Waits(path, again) => {
                found.waiting.insert(path);
                if let Some(again) = again {
                    found.again = Some(found.again.map_or(again, |known| known.min(again)));
                }
            }
            One::Gone => {}
            One::Fault(path, fault) => {
                found.waiting.insert(path);
                found.faults.push(fault);
            }
        }
    }
    found
}

enum One {
    Found(FoundFile),
    /// For how long, if that is known.
    Waits(PathBuf, Option<Duration>),
    Gone,
    Fault(PathBuf, String),
}

/// Whether a file is whole.
enum Whole {
    Yes,
    /// It is if nothing happens to it for so long.
    After(Duration),
    /// An event will tell.
    WhenTold,
}

fn is_whole(
    def: &DirectoryDef,
    full: &Path,
    stat: &StatKey,
    is_marked: bool,
    moment: &Moment<'_>,
) -> Whole {
    if moment.writing.contains(full) {
        return Whole::WhenTold;
    }
    let rests = |least: Duration| {
        let age = moment.now_ns.saturating_sub(stat.mtime_ns.max(stat.ctime_ns));
        let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
        let left = least.saturating_sub(age);
        if left.is_zero() { Whole::Yes } else { Whole::After(left) }
    };
    match &def.ready {
        Ready::Closed => rests(def.settle),
        Ready::Stable(least) => rests(def.settle.max(*least)),
        Ready::Marker(_) if !is_marked => Whole::WhenTold,
        Ready::Marker(_) => rests(def.settle),
        Ready::Renamed if moment.tells_renames && !moment.renamed.contains(full) => Whole::WhenTold,
        Ready::Renamed => rests(def.settle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_results_are_put_nothing_is_looked_for() {
        let is_export = |template: &str, path: &str| exported(template).unwrap().is_match(path);
        assert!(is_export("out/{partition}.csv", "out/2024-01-01.csv"));
        assert!(is_export("./out/{asset}/", "out/a/b/part.csv"));
        assert!(!is_export("out/{partition}.csv", "in/a.csv"));
    }
}
