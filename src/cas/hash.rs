//! Hashes files that others may be writing: what was read is what was there before and after.
//!
//! Files are read, not mapped: another process may truncate a mapped file, and touching a page that
//! is gone kills the process.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rayon::prelude::*;

use super::Error;
use super::stat::StatKey;
use crate::base::Digest;

/// How often a file that changes under our eyes is read again.
const TRIES: u32 = 3;
/// Read at once; above [`PARALLEL`] bytes a piece is hashed by several threads.
const PIECE: usize = 1 << 20;
const PARALLEL: usize = 256 << 10;

/// A file's content and the state in which it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    pub digest: Digest,
    pub stat: StatKey,
}

/// The digest and the size of a file's content; an error if it does not hold still.
pub fn hash_file(path: &Path) -> Result<(Digest, u64), Error> {
    hash_stable(path).map(|hashed| (hashed.digest, hashed.stat.size))
}

/// Hashes many files, in parallel; the results are in the order of the paths.
pub fn hash_files<P: AsRef<Path> + Sync>(paths: &[P]) -> Vec<Result<Hashed, Error>> {
    paths.par_iter().map(|path| hash_stable(path.as_ref())).collect()
}

/// Stats, reads and stats again until both agree.
pub(super) fn hash_stable(path: &Path) -> Result<Hashed, Error> {
    hash_stable_with(path, &mut |_| {})
}

/// `after_read` is called between the reading and the second look: tests write to the file there.
pub(super) fn hash_stable_with(
    path: &Path,
    after_read: &mut dyn FnMut(u32),
) -> Result<Hashed, Error> {
    for attempt in 0..TRIES {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let before = StatKey::of(&metadata);
        let (digest, size) = hash_reader(&mut file).map_err(Error::io("read", path))?;
        after_read(attempt);
        // By name, not by handle: a file that was replaced by a rename is another file now.
        let after = StatKey::of(&path.metadata().map_err(Error::io("read", path))?);
        if before == after && size == before.size {
            return Ok(Hashed { digest, stat: before });
        }
    }
    Err(Error::Unstable { path: path.to_owned() })
}

/// Hashes what is left in a reader.
pub(super) fn hash_reader(reader: &mut impl Read) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = Vec::new();
    let mut size = 0;
    loop {
        piece.clear();
        let got = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        size += got as u64;
        if got >= PARALLEL {
            hasher.update_rayon(&piece);
        } else {
            hasher.update(&piece);
        }
        if got < PIECE {
            return Ok((hasher.finalize().into(), size));
        }
    }
}
