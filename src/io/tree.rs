//! Directories as content: a canonical object for each directory, which names its entries by digest.
//!
//! Each directory is an object of its own, so that an unchanged subtree is the same object wherever it
//! appears. Empty directories and symbolic links are kept; the only mode that counts is whether a
//! file can be executed.

use std::io;
use std::path::{Path, PathBuf};

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

/// Puts the directory at `dir` into `sink`.
pub fn store(dir: &Path, sink: &mut dyn BlobSink) -> Result<Stored, Error> {
    todo!()
}

/// Writes the directory that `digest` names to `to`, which must not exist.
pub fn write_out(digest: &Digest, source: &dyn BlobSource, to: &Path) -> Result<(), Error> {
    todo!()
}
