//! Finds the files of a source and says which partition each belongs to.
//!
//! A pattern's captures make the key: one capture is the key itself, several are composed as
//! `name=value|name=value` in alphabetical order. A date capture is written in the format of the
//! declared windows, so that `20140704.csv` can be the file of partition `2014-07-04`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use rayon::prelude::*;
use regex::Regex;

use crate::base::time::parse_date;
use crate::base::{Digest, PartitionKey};
use crate::cas::stat::{self, Slack, StatEntry, StatKey};
use crate::defs::{PartitionsDef, PathPattern, PatternPiece};

/// The form of dates in keys where no windows are declared.
pub const DATE_KEY: &str = "%Y-%m-%d";

/// From so many files on it pays to wake other threads.
const MANY: usize = 4_096;

/// Too many links: `std::io::ErrorKind` has no stable name for it.
const ELOOP: i32 = 40;

/// A file of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub key: PartitionKey,
    /// As the pattern writes it: relative to the root, unless the pattern is absolute.
    pub path: String,
}

/// A directory that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDir {
    pub path: String,
    pub stat: StatKey,
    /// Of the names in it, where these are asked for again.
    pub names: Digest,
}

/// Files that match, ordered by key and path, and names that could not be taken.
#[derive(Debug, Default)]
pub struct Listing {
    pub files: Vec<Listed>,
    /// Every directory that was read, as it was just before: while none of them changes, no file
    /// comes or goes.
    pub dirs: Vec<ListedDir>,
    pub warnings: Vec<String>,
}

/// Lists what matches `pattern` below `root`. A directory that does not exist has no files.
pub fn list(root: &Path, pattern: &PathPattern, partitions: &PartitionsDef) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let literal = |piece: &PatternPiece| matches!(piece, PatternPiece::Literal(_));
    if pattern.pieces.iter().all(literal) {
        if root.join(&pattern.text).is_file() {
            let key = PartitionKey::unpartitioned();
            listing.files.push(Listed { key, path: pattern.text.clone() });
        }
        return Ok(listing);
    }
    let matcher = Matcher::new(pattern, partitions);
    let mut paths = Vec::new();
    walk(root, &matcher.prefix, matcher.depth, &mut paths, &mut listing)?;
    let file = |path: String| Some(Listed { key: matcher.key(&path)?, path });
    if paths.len() < MANY {
        listing.files.extend(paths.into_iter().filter_map(file));
        listing.files.sort();
    } else {
        listing.files.par_extend(paths.into_par_iter().filter_map(file));
        listing.files.par_sort_unstable();
    }
    Ok(listing)
}

/// The directory in which everything is that matches, and how many levels of it: 1 for what lies directly
/// in it.
pub fn place(pattern: &PathPattern, partitions: &PartitionsDef) -> (String, usize) {
    if pattern.is_literal() {
        let dir = match pattern.text.rfind('/') {
            Some(slash) => &pattern.text[..slash.max(1)],
            None => "",
        };
        return (dir.to_owned(), 1);
    }
    let matcher = Matcher::new(pattern, partitions);
    (matcher.prefix, matcher.depth)
}

/// Collects the paths of all files that lie as deep as a pattern goes.
fn walk(
    root: &Path,
    dir: &str,
    depth: usize,
    files: &mut Vec<String>,
    listing: &mut Listing,
) -> io::Result<()> {
    let full = root.join(dir);
    let entries = match std::fs::metadata(&full)
        .and_then(|meta| Ok((StatKey::of(&meta), std::fs::read_dir(&full)?)))
    {
        Ok((stat, entries)) => {
            listing.dirs.push(ListedDir { path: dir.to_owned(), stat, names: NO_NAMES });
            entries
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let path = Path::new(dir).join(name);
            let path = path.display();
            listing.warnings.push(format!("`{path}` is left out: its name is not UTF-8"));
            continue;
        };
        let path = match dir {
            "" | "/" => format!("{dir}{name}"),
            dir => format!("{dir}/{name}"),
        };
        let kind = entry.file_type()?;
        // A link to a directory is followed only where the pattern says how deep it goes.
        let is_link = kind.is_symlink() && root.join(&path).is_dir();
        if kind.is_dir() || is_link {
            let below = if depth == usize::MAX { depth } else { depth.saturating_sub(1) };
            if below > 0 && (kind.is_dir() || depth != usize::MAX) {
                walk(root, &path, below, files, listing)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Lists all files of a directory, at any depth, as one value. Links are followed, except to where they
/// already are.
pub fn tree(root: &Path, dir: &str) -> io::Result<Listing> {
    let mut listing = Listing::default();
    walk_tree(root, Path::new(dir), &mut Vec::new(), &mut listing)?;
    listing.files.sort();
    Ok(listing)
}

/// `above`: the directories on the way here.
fn walk_tree(
    root: &Path,
    dir: &Path,
    above: &mut Vec<(u64, u64)>,
    listing: &mut Listing,
) -> io::Result<()> {
    let full = root.join(dir);
    let metadata = match std::fs::metadata(&full) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let stat = StatKey::of(&metadata);
    if above.contains(&(stat.dev, stat.ino)) {
        return Ok(());
    }
    let entries = names(&full)?;
    let (path, names) = (dir.to_string_lossy().into_owned(), digest_of(&entries));
    listing.dirs.push(ListedDir { path, stat, names });
    above.push((stat.dev, stat.ino));
    for name in entries {
        let path = dir.join(name);
        let Some(text) = path.to_str() else {
            // Left out, it would be a change that nobody sees.
            let text = format!("the name of `{}` is not UTF-8; rename it", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        };
        match std::fs::metadata(root.join(&path)) {
            Ok(metadata) if metadata.is_dir() => walk_tree(root, &path, above, listing)?,
            Ok(metadata) if metadata.is_file() => {
                let key = PartitionKey::unpartitioned();
                listing.files.push(Listed { key, path: text.to_owned() });
            }
            // A pipe or a socket has no content.
            Ok(_) => {}
            // A link that leads nowhere, or to itself, has none either.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(ELOOP) => {}
            Err(error) => return Err(error),
        }
    }
    above.pop();
    Ok(())
}

/// Says which piece each path is, ordered by key and path, and which paths are none.
pub fn pieces<T>(
    pattern: &PathPattern,
    partitions: &PartitionsDef,
    paths: Vec<(String, T)>,
) -> (Vec<(Listed, T)>, Vec<String>) {
    let matcher = Matcher::new(pattern, partitions);
    let (mut pieces, mut others) = (Vec::new(), Vec::new());
    for (path, content) in paths {
        match matcher.key(&path) {
            Some(key) => pieces.push((Listed { key, path }, content)),
            None => others.push(path),
        }
    }
    pieces.sort_by(|a, b| a.0.cmp(&b.0));
    (pieces, others)
}

/// What stands for the names of a directory that nobody asks for again.
const NO_NAMES: Digest = Digest::from_bytes([0; 32]);

fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names =
        std::fs::read_dir(dir)?.map(|it| Ok(it?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

fn digest_of(names: &[OsString]) -> Digest {
    let mut builder = Digest::builder("giornata 2026 names");
    for name in names {
        builder.part(name.as_encoded_bytes());
    }
    builder.finish()
}

/// Digest of the names in a directory, as [`tree`] lists them.
pub fn names_digest(dir: &Path) -> io::Result<Digest> {
    names(dir).map(|names| digest_of(&names))
}

/// A pattern, compiled.
pub struct Matcher {
    regex: Regex,
    /// What stands before and after the only capture, where that is all.
    around: Option<(String, String)>,
    captures: Vec<(String, Option<String>)>,
    /// The directory below which everything is.
    pub prefix: String,
    /// How many levels of names below the prefix can match.
    pub depth: usize,
    date_key: String,
}

impl Matcher {
    pub fn new(pattern: &PathPattern, partitions: &PartitionsDef) -> Matcher {
        let mut text = String::from("^");
        let mut captures = Vec::new();
        let mut pieces = pattern.pieces.iter().peekable();
        let mut any_depth = false;
        while let Some(piece) = pieces.next() {
            match piece {
                PatternPiece::Literal(literal) => {
                    // `**/` also stands for no directory at all.
                    let literal = match (any_depth, literal.strip_prefix('/')) {
                        (true, Some(rest)) => {
                            text += "(?:.*/)?";
                            rest
                        }
                        (true, None) | (false, _) => literal,
                    };
                    text += &regex::escape(literal);
                    any_depth = false;
                }
                PatternPiece::Glob(glob) if glob == "**" => {
                    any_depth = matches!(pieces.peek(), Some(PatternPiece::Literal(_)));
                    if !any_depth {
                        text += ".*";
                    }
                }
                PatternPiece::Glob(glob) => text += &glob_regex(glob),
                PatternPiece::Capture { name, format } => {
                    captures.push((name.clone(), format.clone()));
                    text += "([^/]+?)";
                }
            }
        }
        text.push('$');
        let prefix = match pattern.pieces.first() {
            Some(PatternPiece::Literal(literal)) => {
                literal.rfind('/').map_or("", |slash| &literal[..slash.max(1)])
            }
            Some(PatternPiece::Glob(_) | PatternPiece::Capture { .. }) | None => "",
        };
        let below = pattern.text.get(prefix.len()..).unwrap_or("").trim_start_matches('/');
        let depth =
            if pattern.text.contains("**") { usize::MAX } else { below.matches('/').count() + 1 };
        let around = match pattern.pieces.as_slice() {
            [
                PatternPiece::Literal(before),
                PatternPiece::Capture { format: None, .. },
                PatternPiece::Literal(after),
            ] => Some((before.clone(), after.clone())),
            _ => None,
        };
        Matcher {
            regex: Regex::new(&text).expect("every piece is escaped or translated"),
            around,
            captures,
            prefix: prefix.to_owned(),
            depth,
            date_key: date_key(partitions).to_owned(),
        }
    }

    /// What the captures stand for in a path that matches.
    pub fn captured(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let found = self.regex.captures(path)?;
        let mut values = BTreeMap::new();
        for (i, (name, format)) in self.captures.iter().enumerate() {
            let value = found.get(i + 1)?.as_str();
            let value = match format {
                None => value.to_owned(),
                Some(format) => parse_date(value, format)?.format(&self.date_key).to_string(),
            };
            values.insert(name.clone(), value);
        }
        Some(values)
    }

    fn key(&self, path: &str) -> Option<PartitionKey> {
        if let Some((before, after)) = &self.around {
            let name = path.strip_prefix(&**before)?.strip_suffix(&**after)?;
            let is_one = !name.is_empty() && !name.contains('/');
            return is_one.then(|| PartitionKey::new(name));
        }
        let values = self.captured(path)?;
        let text = match values.len() {
            0 => String::new(),
            1 => values.into_values().next()?,
            _ => {
                let parts: Vec<_> = values.iter().map(|(name, v)| format!("{name}={v}")).collect();
                parts.join("|")
            }
        };
        Some(PartitionKey::new(text))
    }
}

/// How the keys of `partitions` write a date.
pub fn date_key(partitions: &PartitionsDef) -> &str {
    match partitions {
        PartitionsDef::TimeWindow(def) => &def.format,
        PartitionsDef::Unpartitioned
        | PartitionsDef::Static(_)
        | PartitionsDef::Dynamic(_)
        | PartitionsDef::Multi(_) => DATE_KEY,
    }
}

/// `*`, `?`, `[..]` and `{a,b}` as a regular expression.
fn glob_regex(glob: &str) -> String {
    let mut text = String::new();
    let mut depth = 0;
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => text += "[^/]*",
            '?' => text += "[^/]",
            '{' => {
                depth += 1;
                text += "(?:";
            }
            '}' if depth > 0 => {
                depth -= 1;
                text.push(')');
            }
            ',' if depth > 0 => text.push('|'),
            '[' => {
                let class: String = chars.by_ref().take_while(|c| *c != ']').collect();
                let (not, class) = match class.strip_prefix('!') {
                    Some(rest) => ("^", rest),
                    None => ("", class.as_str()),
                };
                let class = class.replace('\\', "\\\\").replace('[', "\\[").replace('^', "\\^");
                text += &format!("[{not}{class}]");
            }
            c => text += &regex::escape(&c.to_string()),
        }
    }
    text
}

/// Whether a file is what it was. A stamp as young as the look does not tell: then its content does.
pub(super) fn is_same(path: &Path, entry: &StatEntry, slack: Slack) -> bool {
    let Ok(now) = std::fs::metadata(path).map(|now| StatKey::of(&now)) else { return false };
    let digest = || {
        if path.is_dir() {
            names_digest(path).ok()
        } else {
            crate::cas::hash_file(path).ok().map(|(digest, _)| digest)
        }
    };
    now == entry.stat && (stat::trusted(entry, &now, slack) || digest() == Some(entry.digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(files: &[&str], pieces: &[PatternPiece], expect: Expect) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let text = pieces.iter().map(|piece| match piece {
            PatternPiece::Literal(text) | PatternPiece::Glob(text) => text.clone(),
            PatternPiece::Capture { name, .. } => format!("{{{name}}}"),
        });
        let pattern = PathPattern { text: text.collect(), pieces: pieces.to_vec() };
        let listing = list(dir.path(), &pattern, &PartitionsDef::Unpartitioned).unwrap();
        let lines: Vec<String> =
            listing.files.iter().map(|f| format!("{:?} {}", f.key, f.path)).collect();
        expect.assert_eq(&lines.join("\n"));
    }

    fn literal(text: &str) -> PatternPiece {
        PatternPiece::Literal(text.to_owned())
    }

    fn capture(name: &str, format: Option<&str>) -> PatternPiece {
        PatternPiece::Capture { name: name.to_owned(), format: format.map(str::to_owned) }
    }

    #[test]
    fn a_date_capture_is_written_as_keys_are() {
        check(
            &["in/20140704.csv", "in/20140701.csv", "in/notes.csv", "in/20140704.csv.tmp"],
            &[literal("in/"), capture("date", Some("%Y%m%d")), literal(".csv")],
            expect![[r#"
                "2014-07-01" in/20140701.csv
                "2014-07-04" in/20140704.csv"#]],
        );
    }

    #[test]
    fn a_capture_is_one_name() {
        check(
            &["in/a.csv", "in/.csv", "in/b/c.csv", "in/d.csv.csv", "in/e.tsv"],
            &[literal("in/"), capture("name", None), literal(".csv")],
            expect![[r#"
                "a" in/a.csv
                "d.csv" in/d.csv.csv"#]],
        );
    }

    #[test]
    fn several_captures_compose_a_key() {
        check(
            &["d/eu/a.csv", "d/us/b.csv", "d/eu/deep/c.csv"],
            &[
                literal("d/"),
                capture("region", None),
                literal("/"),
                capture("name", None),
                literal(".csv"),
            ],
            expect![[r#"
                "name=a|region=eu" d/eu/a.csv
                "name=b|region=us" d/us/b.csv"#]],
        );
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        check(
            &["d/a1.csv", "d/a2.csv", "d/b1.csv", "d/x/a1.csv"],
            &[literal("d/"), PatternPiece::Glob("a[12].csv".to_owned())],
            expect![[r#"
                "" d/a1.csv
                "" d/a2.csv"#]],
        );
    }

    #[test]
    fn two_stars_stand_for_any_number_of_directories() {
        check(
            &["d/x.csv", "d/a/x.csv", "d/a/b/x.csv", "e/x.csv"],
            &[literal("d/"), PatternPiece::Glob("**".to_owned()), literal("/x.csv")],
            expect![[r#"
                "" d/a/b/x.csv
                "" d/a/x.csv
                "" d/x.csv"#]],
        );
    }

    #[test]
    fn a_missing_directory_has_no_files() {
        check(&[], &[literal("none/"), capture("name", None)], expect![""]);
    }
}
