//! Puts each value into a file of its own, below one directory.
//!
//! `mart/revenue@2014-07.csv` is the value, and `.versions/mart/revenue@2014-07.json` says its version and
//! what is needed to read it as what it was. The value is written first: a value of which nothing is
//! said is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::names::file_name;
use super::{Encoded, IoError, IoManager, Kept, Place, Versions, manager};
use crate::base::{Digest, PartitionKey};
use crate::defs::TableFormat;

/// The directory of what is said about values, within that of the values.
const NOTES: &str = ".versions";

/// An IO manager of files: tables in one format, everything else as its bytes.
///
/// ```
/// use giornata::base::{Digest, PartitionKey};
/// use giornata::defs::TableFormat;
/// use giornata::io::{FolderIo, IoManager, Kept, Place, Table};
/// # let dir = tempfile::tempdir()?;
/// let folder = FolderIo::new(dir.path(), TableFormat::Csv, "me");
/// let mut table = Table::with_columns(["mm"]);
/// table.rows.push(vec![0.5.into()]);
/// let place = Place::of("rain/daily", PartitionKey::new("2014-07-04"));
/// folder.store(&place, &Kept::Table(table), &Digest::of_blob(b"1"))?;
/// assert_eq!(std::fs::read_to_string(dir.path().join("rain/daily@2014-07-04.csv"))?, "mm\n0.5\n");
/// # Ok::<(), giornata::io::IoError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderIo {
    dir: PathBuf,
    format: TableFormat,
    owner: String,
}

/// What is said about one value.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Whose it is: several projects may share a directory.
    owner: String,
    name: String,
    output: String,
    partition: String,
    version: String,
    /// Of the file with the value, within its directory.
    file: String,
    extension: String,
    /// Of a table.
    schema: Option<String>,
    /// State of the file when it had been written: in another one it is not what was stored.
    size: u64,
    modified_ns: i128,
}

impl Note {
    /// What is said at a path; `None` if nothing is, or nothing that can be read.
    fn read(path: &Path) -> Result<Option<Note>, IoError> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", path)(error)),
        }
    }

    fn is_of(&self, at: &Place) -> bool {
        self.name == at.name && self.output == at.output && self.partition == at.partition.as_str()
    }
}

impl FolderIo {
    /// Values will be below `dir`, an absolute path, which is made with the first of them. `owner` is stored
    /// with each: values of other owners are never removed.
    pub fn new(dir: impl Into<PathBuf>, format: TableFormat, owner: &str) -> FolderIo {
        FolderIo { dir: dir.into(), format, owner: owner.to_owned() }
    }

    /// Where the values of a name lie, below `root`, and how their files begin.
    fn base(root: &Path, name: &str, output: &str) -> (PathBuf, String) {
        let mut segments: Vec<String> = name.split('/').map(file_name).collect();
        let mut base = segments.pop().unwrap_or_default();
        if !output.is_empty() {
            base += &format!("+{}", file_name(output));
        }
        (segments.iter().fold(root.to_owned(), |path, segment| path.join(segment)), base)
    }

    /// The directory of a value, and the name of its file without the ending.
    fn stem(root: &Path, at: &Place) -> (PathBuf, String) {
        let (dir, mut base) = FolderIo::base(root, &at.name, &at.output);
        if !at.partition.is_unpartitioned() {
            base += &format!("@{}", file_name(at.partition.as_str()));
        }
        (dir, base)
    }

    fn note_path(&self, at: &Place) -> PathBuf {
        let (dir, stem) = FolderIo::stem(&self.dir.join(NOTES), at);
        dir.join(stem + ".json")
    }

    /// What is said about a place, if its value is there as it was stored.
    fn note(&self, at: &Place) -> Result<Option<(Note, PathBuf)>, IoError> {
        let note = Note::read(&self.note_path(at))?.filter(|note| note.is_of(at));
        Ok(note.and_then(|note| self.value(at, &note).map(|path| (note, path))))
    }

    /// The file with the value of which this was said, if it is still that.
    fn value(&self, at: &Place, note: &Note) -> Option<PathBuf> {
        let path = FolderIo::stem(&self.dir, at).0.join(&note.file);
        (state(&path) == Some((note.size, note.modified_ns))).then_some(path)
    }

    fn encode(&self, value: &Kept) -> Result<(Encoded, String, bool), IoError> {
        Ok(match value {
            Kept::Table(table) => {
                let encoded = manager(self.format).write(table)?;
                (encoded, self.format.extension().to_owned(), true)
            }
            Kept::Bytes { bytes, extension } => {
                let encoded = Encoded { bytes: bytes.clone(), schema: String::new() };
                (encoded, extension.to_string(), false)
            }
        })
    }
}

impl IoManager for FolderIo {
    fn store(&self, at: &Place, value: &Kept, version: &Digest) -> Result<(), IoError> {
        let (encoded, extension, is_table) = self.encode(value)?;
        let (dir, stem) = FolderIo::stem(&self.dir, at);
        let ending = if extension.is_empty() { String::new() } else { format!(".{extension}") };
        let file = stem + &ending;
        let note_path = self.note_path(at);
        let before = Note::read(&note_path)?;
        write(&dir, &file, &encoded.bytes)?;
        let path = dir.join(&file);
        let (size, modified_ns) =
            state(&path).ok_or_else(|| format!("`{}` is gone again", path.display()))?;
        let note = Note {
            owner: self.owner.clone(),
            name: at.name.clone(),
            output: at.output.clone(),
            partition: at.partition.as_str().to_owned(),
            version: version.to_string(),
            file,
            extension,
            schema: is_table.then_some(encoded.schema),
            size,
            modified_ns,
        };
        let text = serde_json::to_vec(&note)?;
        let note_dir = note_path.parent().expect("it lies below the directory of notes");
        let note_name = note_path.file_name().expect("it has a name").to_string_lossy();
        write(note_dir, &note_name, &text)?;
        match before {
            Some(before) if before.file != note.file => remove(&dir.join(before.file)),
            Some(_) | None => Ok(()),
        }
    }

    fn load(&self, at: &Place) -> Result<Option<Kept>, IoError> {
        let Some((note, path)) = self.note(at)? else { return Ok(None) };
        let bytes = fs::read(&path).map_err(failed("read", &path))?;
        Ok(Some(match note.schema {
            Some(schema) => {
                let format = super::format_of(&path)
                    .ok_or_else(|| format!("`{}` is no table", path.display()))?;
                let table = manager(format).read(&bytes, Some(&schema), &BTreeMap::new())?;
                Kept::Table(table)
            }
            None => Kept::Bytes { bytes, extension: note.extension.into() },
        }))
    }

    fn remove(&self, at: &Place) -> Result<(), IoError> {
        let path = self.note_path(at);
        let note = Note::read(&path)?;
        if note.as_ref().is_some_and(|note| note.owner != self.owner) {
            return Ok(());
        }
        if let Some(note) = note.filter(|note| note.is_of(at)) {
            remove(&FolderIo::stem(&self.dir, at).0.join(note.file))?;
        }
        remove(&path)
    }

    fn versions(&self, name: &str, output: &str) -> Result<Versions, IoError> {
        let (dir, base) = FolderIo::base(&self.dir.join(NOTES), name, output);
        let mut versions = Versions::new();
        for file in files(&dir)? {
            let stem = file.strip_suffix(".json").unwrap_or_default();
            let is_own = stem
                .strip_prefix(base.as_str())
                .is_some_and(|it| it.is_empty() || it.starts_with('@'));
            if !is_own {
                continue;
            }
            let Some(note) = Note::read(&dir.join(&file))? else { continue };
            let partition = PartitionKey::new(note.partition.as_str());
            let at = Place { name: name.to_owned(), output: output.to_owned(), partition };
            let is_sound =
                note.owner == self.owner && note.is_of(&at) && self.value(&at, &note).is_some();
            if let (true, Ok(version)) = (is_sound, note.version.parse()) {
                versions.insert(at.partition, version);
            }
        }
        Ok(versions)
    }

    fn names(&self) -> Result<Vec<String>, IoError> {
        let mut names = BTreeSet::new();
        let mut open = vec![self.dir.join(NOTES)];
        while let Some(dir) = open.pop() {
            // Of many partitions one is enough.
            let mut seen = BTreeSet::new();
            for file in files(&dir)? {
                let path = dir.join(&file);
                let base = file.split('@').next().unwrap_or_default().to_owned();
                if path.is_dir() {
                    open.push(path);
                } else if !base.contains('+') && seen.insert(base) {
                    let own = Note::read(&path)?.filter(|note| note.owner == self.owner);
                    names.extend(own.map(|note| note.name));
                }
            }
        }
        Ok(names.into_iter().collect())
    }
}

/// Size and time of the last change, if it is a file.
fn state(path: &Path) -> Option<(u64, i128)> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((found.len(), i128::from(found.mtime()) * 1_000_000_000 + i128::from(found.mtime_nsec())))
}

/// Writes a file whole or not at all.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), IoError> {
    let path = dir.join(name);
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    // Next to its final name: a rename is atomic only within one file system.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed("write", &path))?;
    file.write_all(bytes).map_err(failed("write", &path))?;
    let everybody = fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(everybody).map_err(failed("write", &path))?;
    file.persist(&path).map_err(|error| failed("write", &path)(error.error))?;
    Ok(())
}

fn remove(path: &Path) -> Result<(), IoError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The names in a directory, in order; of one that is not there: none.
fn files(dir: &Path) -> Result<Vec<String>, IoError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is no UTF-8 is none of ours.
        names.extend(entry.map_err(failed("read", dir))?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IoError {
    move |error| format!("cannot {verb} `{}`: {error}", path.display()).into()
}
