//! The files of a project as `load` sees them: a directory on disk, or texts in memory.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where files are read. Paths are relative to the project's root.
pub(super) trait Tree {
    /// The regular files below a directory, sorted. `skip` says of a directory or file that it
    /// and all below it is not wanted; hidden ones never are.
    fn walk(&self, dir: &Path, skip: &dyn Fn(&Path) -> bool) -> Vec<Walked>;
    /// The first `len` bytes of a file.
    fn head(&self, path: &Path, len: usize) -> io::Result<Vec<u8>>;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    fn is_file(&self, path: &Path) -> bool;
    /// What the project is called if it does not say.
    fn name(&self) -> String;
}

/// What a walk found.
#[derive(Debug)]
pub(super) enum Walked {
    File(PathBuf),
    /// Something that cannot be looked at, such as a link to nowhere.
    Unreadable(PathBuf, String),
}

/// A directory on disk.
pub(super) struct Disk {
    root: PathBuf,
    /// What `is_file` has said: command lines of many assets have the same words, and most of these name none.
    looked_at: Mutex<HashMap<PathBuf, bool>>,
}

impl Tree for Disk {
    fn walk(&self, dir: &Path, skip: &dyn Fn(&Path) -> bool) -> Vec<Walked> {
        let mut found = Vec::new();
        let mut ancestors = Vec::new();
        self.walk_into(dir, skip, &mut ancestors, &mut found);
        found
    }

    fn head(&self, path: &Path, len: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        let file = File::open(self.root.join(path))?;
        file.take(u64::try_from(len).unwrap_or(u64::MAX)).read_to_end(&mut head)?;
        Ok(head)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(path))
    }

    fn is_file(&self, path: &Path) -> bool {
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = looked_at.get(path) {
            return *known;
        }
        let is_file = self.root.join(path).is_file();
        looked_at.insert(path.to_owned(), is_file);
        is_file
    }

    fn name(&self) -> String {
        let root = self.root.canonicalize().unwrap_or_else(|_| self.root.clone());
        root.file_name()
            .map_or_else(|| "project".into(), |name| name.to_string_lossy().into_owned())
    }
}

impl Disk {
    pub(super) fn new(root: PathBuf) -> Disk {
        Disk { root, looked_at: Mutex::default() }
    }

    /// `ancestors` are the real paths of the directories around `dir`: a link to one of them would
    /// lead round for ever.
    fn walk_into(
        &self,
        dir: &Path,
        skip: &dyn Fn(&Path) -> bool,
        ancestors: &mut Vec<PathBuf>,
        found: &mut Vec<Walked>,
    ) {
        let absolute = self.root.join(dir);
        let (real, entries) = match (absolute.canonicalize(), fs::read_dir(&absolute)) {
            (Ok(real), Ok(entries)) => (real, entries),
            (Err(error), _) | (_, Err(error)) if ancestors.is_empty() => {
                if error.kind() != io::ErrorKind::NotFound {
                    found.push(Walked::Unreadable(dir.to_path_buf(), error.to_string()));
                }
                return;
            }
            (Err(error), _) | (_, Err(error)) => {
                found.push(Walked::Unreadable(dir.to_path_buf(), error.to_string()));
                return;
            }
        };
        if ancestors.contains(&real) {
            let reason = "this link leads back into itself".to_owned();
            found.push(Walked::Unreadable(dir.to_path_buf(), reason));
            return;
        }
        ancestors.push(real);
        let mut names: Vec<_> = entries.filter_map(Result::ok).map(|it| it.file_name()).collect();
        names.sort();
        for name in names {
            let path = dir.join(&name);
            if name.to_string_lossy().starts_with('.') || skip(&path) {
                continue;
            }
            match fs::metadata(self.root.join(&path)) {
                Ok(metadata) if metadata.is_dir() => {
                    self.walk_into(&path, skip, ancestors, found);
                }
                Ok(metadata) if metadata.is_file() => found.push(Walked::File(path)),
                // Pipes and devices are no definitions, and opening one may wait for ever.
                Ok(_) => {}
                Err(error) => found.push(Walked::Unreadable(path, error.to_string())),
            }
        }
        ancestors.pop();
    }
}

/// Texts in memory.
pub(super) struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Memory {
    pub fn new(files: &[(&str, &str)]) -> Memory {
        let file = |(path, text): &(&str, &str)| (PathBuf::from(path), text.as_bytes().to_vec());
        Memory { files: files.iter().map(file).collect() }
    }

    fn get(&self, path: &Path) -> io::Result<&[u8]> {
        self.files.get(path).map(Vec::as_slice).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Tree for Memory {
    fn walk(&self, dir: &Path, skip: &dyn Fn(&Path) -> bool) -> Vec<Walked> {
        let hidden = |path: &Path| {
            path.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'))
        };
        let wanted = |path: &Path| {
            path.starts_with(dir)
                && !hidden(path)
                && !path.ancestors().take_while(|it| *it != dir).any(skip)
        };
        self.files.keys().filter(|path| wanted(path)).cloned().map(Walked::File).collect()
    }

    fn head(&self, path: &Path, len: usize) -> io::Result<Vec<u8>> {
        let bytes = self.get(path)?;
        Ok(bytes[..len.min(bytes.len())].to_vec())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.get(path).map(<[u8]>::to_vec)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn name(&self) -> String {
        "project".to_owned()
    }
}
