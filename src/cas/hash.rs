//! Hashes files that others may be writing: what was read is what was there before and after.
//!
//! Files are read, not mapped: another process may truncate a mapped file, and touching a page that
//! is gone kills the process. Of a big file each thread reads and hashes pieces of its own, so that what it
//! has read is still in its cache, and the hashes of pieces are joined as the tree of BLAKE3 has them.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use rayon::prelude::*;

use super::Error;
use super::stat::StatKey;
use crate::base::Digest;

/// How often a file that changes under our eyes is read again.
const TRIES: u32 = 3;
/// Read and hashed at once: it fits into the cache of a core. A power of two, as the tree needs it.
const PIECE: u64 = 512 << 10;
/// Up to so many bytes a file is read at once, whatever its size.
const SMALL: usize = 64 << 10;
/// Threads work side by side within so many bytes, which a disk can read ahead.
const WINDOW: u64 = 32 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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
        let file = File::open(path).map_err(Error::io("open", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let before = StatKey::of(&metadata);
        let hashed = hash_open(&file, before.size).map_err(Error::io("read", path))?;
        after_read(attempt);
        // By name, not by handle: a file that was replaced by a rename is another file now.
        let after = StatKey::of(&path.metadata().map_err(Error::io("read", path))?);
        if let Some((digest, size)) = hashed
            && before == after
            && size == before.size
        {
            return Ok(Hashed { digest, stat: before });
        }
    }
    Err(Error::Unstable { path: path.to_owned() })
}

/// Hashes a file that has just been opened, and was so big then; `None` if it is shorter by now.
pub(super) fn hash_open(file: &File, size: u64) -> io::Result<Option<(Digest, u64)>> {
    if size > PIECE {
        return match subtrees(file, 0, size, left_subtree_len(size)) {
            Ok((left, right)) => {
                let hash = merge_subtrees_root(&left, &right, Mode::Hash);
                Ok(Some((hash.into(), size)))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        };
    }
    BUFFER.with_borrow_mut(|buffer| {
        // One more, so that the first read finds the end, or that there is more.
        buffer.resize(size as usize + 1, 0);
        let mut got = 0;
        while got == 0 || got < size as usize {
            match file.read_at(&mut buffer[got..], got as u64) {
                Ok(0) => break,
                Ok(read) => got += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some((blake3::hash(&buffer[..got]).into(), got as u64)))
    })
}

/// Hashes what one reading gives of an open file, which is all of it if that is as long as the file; `None`
/// if it gives too much, or nothing because it cannot be read like a file.
pub(super) fn hash_small(file: &File) -> Option<(Digest, u64)> {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() <= SMALL {
            buffer.resize(SMALL + 1, 0);
        }
        let got = file.read_at(&mut buffer[..=SMALL], 0).ok()?;
        (got <= SMALL).then(|| (blake3::hash(&buffer[..got]).into(), got as u64))
    })
}

/// The two subtrees of `len` bytes from `offset` on, of which the left one has `left`.
fn subtrees(
    file: &File,
    offset: u64,
    len: u64,
    left: u64,
) -> io::Result<(ChainingValue, ChainingValue)> {
    let first = || subtree(file, offset, left);
    let second = || subtree(file, offset + left, len - left);
    let (first, second) =
        if len > WINDOW { (first(), second()) } else { rayon::join(first, second) };
    Ok((first?, second?))
}

fn subtree(file: &File, offset: u64, len: u64) -> io::Result<ChainingValue> {
    if len > PIECE {
        let (left, right) = subtrees(file, offset, len, left_subtree_len(len))?;
        return Ok(merge_subtrees_non_root(&left, &right, Mode::Hash));
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(len as usize, 0);
        file.read_exact_at(buffer, offset)?;
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(offset);
        hasher.update(buffer);
        Ok(hasher.finalize_non_root())
    })
}
