//! Directories as content: a canonical object for each directory, which names its entries by digest.
//!
//! Each directory is an object of its own, so that an unchanged subtree is the same object wherever it
//! appears. Empty directories and symbolic links are kept; the only mode that counts is whether a
//! file can be executed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::Digest;

/// Where blobs come from.
pub trait BlobSource: Send + Sync {
    fn read(&self, digest: &Digest) -> io::Result<Vec<u8>>;

    /// The file that holds the blob, where it is a file; it must not be changed.
    fn path(&self, digest: &Digest) -> Option<PathBuf>;
}

/// Where blobs go.
pub trait BlobSink {
    /// Takes the content of a file; it may move the file away.
    fn put_file(&mut self, path: &Path) -> io::Result<Digest>;

    fn put_bytes(&mut self, bytes: &[u8]) -> io::Result<Digest>;
}

/// What reading a directory gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Of the tree object, which is a blob of the sink.
    pub digest: Digest,
    /// The bytes of all files in it.
    pub size: u64,
    pub files: u64,
}

/// Why a directory could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {verb} `{}`: {source}", path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("`{}` is neither a file, a directory nor a symbolic link; remove it", path.display())]
    Special { path: PathBuf },
    #[error("the name of `{}` is not UTF-8; rename it", path.display())]
    NotUtf8 { path: PathBuf },
    #[error("tree object {} is damaged: {message}", digest.short())]
    Damaged { digest: Digest, message: String },
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub name: String,
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EntryKind {
    File { digest: Digest, size: u64, executable: bool },
    Dir { digest: Digest },
    Symlink { target: String },
}

// The first line of an object: no file of a user's is taken for a directory by accident.
const MAGIC: &str = "giornata tree 1\n";

/// The tree object of one directory: its entries by name.
pub fn encode(mut entries: Vec<Entry>) -> Vec<u8> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let mut bytes = MAGIC.as_bytes().to_vec();
    for entry in &entries {
        serde_json::to_writer(&mut bytes, entry).expect("an entry has only string keys");
        bytes.push(b'\n');
    }
    bytes
}

/// The entries of a tree object.
pub fn decode(digest: &Digest, bytes: &[u8]) -> Result<Vec<Entry>, Error> {
    let damaged = |message: String| Error::Damaged { digest: *digest, message };
    let lines = bytes.strip_prefix(MAGIC.as_bytes());
    let lines = lines.ok_or_else(|| damaged("it does not begin as a tree does".to_owned()))?;
    let mut entries = Vec::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let entry: Entry =
            serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
        // A name is one step down, whoever wrote the object.
        let name = entry.name.as_str();
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) {
            return Err(damaged(format!("`{}` is no name of a file", entry.name)));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Puts the directory at `dir` into `sink`.
pub fn store(dir: &Path, sink: &mut dyn BlobSink) -> Result<Stored, Error> {
    let mut entries = Vec::new();
    let mut stored = Stored { digest: Digest::of_blob(b""), size: 0, files: 0 };
    let listing = fs::read_dir(dir).map_err(failed("read", dir))?;
    for item in listing {
        let path = item.map_err(failed("read", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::NotUtf8 { path: path.clone() })?.to_owned();
        let kind = store_entry(&path, sink, &mut stored)?;
        entries.push(Entry { name, kind });
    }
    stored.digest = sink.put_bytes(&encode(entries)).map_err(failed("store", dir))?;
    Ok(stored)
}

fn store_entry(
    path: &Path,
    sink: &mut dyn BlobSink,
    stored: &mut Stored,
) -> Result<EntryKind, Error> {
    let metadata = fs::symlink_metadata(path).map_err(failed("read", path))?;
    let file_type = metadata.file_type();
    if file_type.is_dir() {
        let below = store(path, sink)?;
        stored.size += below.size;
        stored.files += below.files;
        Ok(EntryKind::Dir { digest: below.digest })
    } else if file_type.is_file() {
        stored.size += metadata.len();
        stored.files += 1;
        let executable = metadata.permissions().mode() & 0o100 != 0;
        let digest = sink.put_file(path).map_err(failed("store", path))?;
        Ok(EntryKind::File { digest, size: metadata.len(), executable })
    } else if file_type.is_symlink() {
        let target = fs::read_link(path).map_err(failed("read", path))?;
        let target = target.into_os_string().into_string();
        let target = target.map_err(|_| Error::NotUtf8 { path: path.to_owned() })?;
        Ok(EntryKind::Symlink { target })
    } else {
        Err(Error::Special { path: path.to_owned() })
    }
}

/// The files of a directory at any depth: the path of each within it, and its digest. Links are left out.
pub fn files(digest: &Digest, source: &dyn BlobSource) -> Result<Vec<(String, Digest)>, Error> {
    let mut found = Vec::new();
    collect(digest, source, "", &mut found)?;
    Ok(found)
}

fn collect(
    digest: &Digest,
    source: &dyn BlobSource,
    above: &str,
    found: &mut Vec<(String, Digest)>,
) -> Result<(), Error> {
    let object = source.read(digest).map_err(failed("read the tree of", Path::new(above)))?;
    for entry in decode(digest, &object)? {
        let path = format!("{above}{}", entry.name);
        match entry.kind {
            EntryKind::File { digest, .. } => found.push((path, digest)),
            EntryKind::Dir { digest } => collect(&digest, source, &format!("{path}/"), found)?,
            EntryKind::Symlink { .. } => {}
        }
    }
    Ok(())
}

/// The first name below `dir` that the directory which `digest` names has not, or has as something else than a
/// directory or none; what files hold is not looked at. The path is within `dir`.
pub fn stranger(
    dir: &Path,
    digest: &Digest,
    source: &dyn BlobSource,
) -> Result<Option<PathBuf>, Error> {
    let object = source.read(digest).map_err(failed("read the tree of", dir))?;
    let known: BTreeMap<String, EntryKind> =
        decode(digest, &object)?.into_iter().map(|entry| (entry.name, entry.kind)).collect();
    let mut paths: Vec<PathBuf> = Vec::new();
    for item in fs::read_dir(dir).map_err(failed("read", dir))? {
        paths.push(item.map_err(failed("read", dir))?.path());
    }
    paths.sort_unstable();
    for path in paths {
        let name = Path::new(path.file_name().unwrap_or_default());
        let is_dir = path.symlink_metadata().map_err(failed("read", &path))?.is_dir();
        match name.to_str().and_then(|name| known.get(name)) {
            Some(EntryKind::Dir { digest }) if is_dir => {
                if let Some(below) = stranger(&path, digest, source)? {
                    return Ok(Some(name.join(below)));
                }
            }
            Some(EntryKind::File { .. } | EntryKind::Symlink { .. }) if !is_dir => {}
            Some(_) | None => return Ok(Some(name.to_owned())),
        }
    }
    Ok(None)
}

/// Writes the directory that `digest` names to `to`, which must not exist.
pub fn write_out(digest: &Digest, source: &dyn BlobSource, to: &Path) -> Result<(), Error> {
    let object = source.read(digest).map_err(failed("read the tree of", to))?;
    let entries = decode(digest, &object)?;
    fs::create_dir(to).map_err(failed("create", to))?;
    for entry in entries {
        let path = to.join(&entry.name);
        match &entry.kind {
            EntryKind::Dir { digest } => write_out(digest, source, &path)?,
            EntryKind::Symlink { target } => {
                symlink(target, &path).map_err(failed("create", &path))?;
            }
            EntryKind::File { digest, executable, .. } => {
                write_file(digest, source, &path).map_err(failed("write", &path))?;
                let mode = if *executable { 0o755 } else { 0o644 };
                let permissions = fs::Permissions::from_mode(mode);
                fs::set_permissions(&path, permissions).map_err(failed("write", &path))?;
            }
        }
    }
    Ok(())
}

fn write_file(digest: &Digest, source: &dyn BlobSource, to: &Path) -> io::Result<()> {
    match source.path(digest) {
        // Shares the blocks where the file system can; never a hard link, which would let an edit
        // of the copy change the store.
        Some(blob) => reflink_copy::reflink_or_copy(blob, to).map(drop),
        None => fs::write(to, source.read(digest)?),
    }
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { verb, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Default)]
    struct Blobs(HashMap<Digest, Vec<u8>>);

    impl BlobSink for Blobs {
        fn put_file(&mut self, path: &Path) -> io::Result<Digest> {
            self.put_bytes(&fs::read(path)?)
        }

        fn put_bytes(&mut self, bytes: &[u8]) -> io::Result<Digest> {
            let digest = Digest::of_blob(bytes);
            self.0.insert(digest, bytes.to_vec());
            Ok(digest)
        }
    }

    impl BlobSource for Blobs {
        fn read(&self, digest: &Digest) -> io::Result<Vec<u8>> {
            self.0.get(digest).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn path(&self, _: &Digest) -> Option<PathBuf> {
            None
        }
    }

    fn sample(root: &Path) {
        fs::create_dir_all(root.join("sub/empty")).unwrap();
        fs::write(root.join("sub/b.txt"), "b").unwrap();
        fs::write(root.join("a.sh"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(root.join("a.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink("sub/b.txt", root.join("link")).unwrap();
    }

    #[test]
    fn a_directory_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        sample(&from);
        let mut blobs = Blobs::default();
        let stored = store(&from, &mut blobs).unwrap();
        assert_eq!((stored.files, stored.size), (2, 11));
        write_out(&stored.digest, &blobs, &to).unwrap();
        assert!(to.join("sub/empty").is_dir());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("sub/b.txt"));
        assert_eq!(fs::metadata(to.join("a.sh")).unwrap().permissions().mode() & 0o111, 0o111);
        assert_eq!(store(&to, &mut Blobs::default()).unwrap(), stored);
    }

    #[test]
    fn an_unchanged_subtree_is_the_same_object() {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        let mut blobs = Blobs::default();
        let before = store(dir.path(), &mut blobs).unwrap();
        fs::write(dir.path().join("a.sh"), "changed").unwrap();
        let after = store(dir.path(), &mut blobs).unwrap();
        let sub = |stored: &Stored| {
            let entries = decode(&stored.digest, &blobs.0[&stored.digest]).unwrap();
            entries.into_iter().find(|entry| entry.name == "sub").unwrap()
        };
        assert_ne!(before.digest, after.digest);
        assert_eq!(sub(&before), sub(&after));
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
        let stored = store(dir.path(), &mut Blobs::default());
        assert!(matches!(stored, Err(Error::Special { .. })), "{stored:?}");
    }

    #[test]
    fn a_tree_object_cannot_lead_outside() {
        let digest = Digest::of_blob(b"");
        for name in ["..", "a/b", "", ".", "/etc"] {
            let kind = EntryKind::Symlink { target: "x".into() };
            let bytes = encode(vec![Entry { name: name.to_owned(), kind }]);
            assert!(matches!(decode(&digest, &bytes), Err(Error::Damaged { .. })), "{name}");
        }
        assert!(decode(&digest, b"junk").is_err());
    }
}
