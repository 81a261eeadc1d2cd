//! Trees over the two places where content can be, the content store and the database; and whether
//! what an output consists of is still there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ledger::Ledger;
use crate::base::{Digest, Output, OutputKind};
use crate::cas::Cas;
use crate::io::tree::{self, EntryKind};
use crate::io::{BlobSink, BlobSource};

/// Puts the files and objects of a tree into the content store, and remembers which they were.
pub struct Sink<'a> {
    cas: &'a Cas,
    pub blobs: Vec<(Digest, u64)>,
}

impl<'a> Sink<'a> {
    pub fn new(cas: &'a Cas) -> Sink<'a> {
        Sink { cas, blobs: Vec::new() }
    }

    /// The size of a blob that was put.
    pub fn size_of(&self, digest: &Digest) -> u64 {
        self.blobs.iter().find(|(known, _)| known == digest).map_or(0, |(_, size)| *size)
    }
}

impl BlobSink for Sink<'_> {
    fn put_file(&mut self, path: &Path) -> std::io::Result<Digest> {
        let put = self.cas.put_file(path).map_err(std::io::Error::other)?;
        self.blobs.push((put.digest, put.size));
        Ok(put.digest)
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> std::io::Result<Digest> {
        let put = self.cas.put_bytes(bytes).map_err(std::io::Error::other)?;
        self.blobs.push((put.digest, put.size));
        Ok(put.digest)
    }
}

/// Only says under which digests a tree would be stored.
pub struct Digester;

impl BlobSink for Digester {
    fn put_file(&mut self, path: &Path) -> std::io::Result<Digest> {
        let (digest, _) = crate::cas::hash_file(path).map_err(std::io::Error::other)?;
        Ok(digest)
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> std::io::Result<Digest> {
        Ok(Digest::of_blob(bytes))
    }
}

/// Reads blobs wherever they are.
pub struct Source {
    cas: Arc<Cas>,
    ledger: Arc<Ledger>,
}

impl Source {
    pub fn new(cas: Arc<Cas>, ledger: Arc<Ledger>) -> Source {
        Source { cas, ledger }
    }
}

impl BlobSource for Source {
    fn read(&self, digest: &Digest) -> std::io::Result<Vec<u8>> {
        match self.ledger.small(digest).map_err(std::io::Error::other)? {
            Some(bytes) => Ok(bytes.to_vec()),
            None => self.cas.read(digest).map_err(std::io::Error::other),
        }
    }

    fn path(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.cas.path(digest);
        path.exists().then_some(path)
    }
}

/// The first of the contents that an output consists of that cannot be had, as far as can be told
/// without reading files: sizes are compared, objects of directories are read.
pub fn lost(cas: &Cas, ledger: &Ledger, output: &Output) -> Option<Digest> {
    match output.kind {
        OutputKind::File | OutputKind::Table => lost_blob(cas, ledger, &output.digest, output.size),
        OutputKind::Tree => lost_in_tree(cas, ledger, &output.digest),
    }
}

fn lost_blob(cas: &Cas, ledger: &Ledger, digest: &Digest, size: u64) -> Option<Digest> {
    let found = cas.contains(digest, size) || matches!(ledger.small(digest), Ok(Some(_)));
    (!found).then_some(*digest)
}

fn lost_in_tree(cas: &Cas, ledger: &Ledger, object: &Digest) -> Option<Digest> {
    let bytes = match ledger.small(object) {
        Ok(Some(bytes)) => bytes.to_vec(),
        Ok(None) | Err(_) => match cas.read(object) {
            Ok(bytes) => bytes,
            Err(_) => return Some(*object),
        },
    };
    let Ok(entries) = tree::decode(object, &bytes) else { return Some(*object) };
    entries.iter().find_map(|entry| match &entry.kind {
        EntryKind::File { digest, size, .. } => lost_blob(cas, ledger, digest, *size),
        EntryKind::Dir { digest } => lost_in_tree(cas, ledger, digest),
        EntryKind::Symlink { .. } => None,
    })
}
