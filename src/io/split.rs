//! Cuts one file into partitions by the values of a column.

use crate::base::{Digest, PartitionKey};
use crate::defs::{SplitBy, TableFormat};
use super::Error;

/// One file of rows and, for each key of its column, where that key's rows are.
#[derive(Debug, Clone)]
pub struct SplitFile {}

impl SplitFile {
    /// Reads a file; `key_format` is how keys write the date that `by.format` reads.
    pub fn parse(
        bytes: Vec<u8>,
        by: &SplitBy,
        format: TableFormat,
        key_format: &str,
    ) -> Result<SplitFile, Error> {
        todo!()
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &PartitionKey> {
        std::iter::empty()
    }

    /// The rows of one key as a file of their own.
    pub fn part(&self, key: &str) -> Option<Vec<u8>> {
        todo!()
    }

    /// The digest of what `part` returns.
    pub fn digest(&self, key: &str) -> Option<Digest> {
        self.part(key).map(|part| Digest::of_blob(&part))
    }
}
