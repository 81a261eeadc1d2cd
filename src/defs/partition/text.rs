//! The text in which users name partitions: `2024-01..2024-03`, `a,b`, `latest`, `region=eu,date=2024-01..`.

use super::Domain;
use crate::base::{PartitionSet, ranges};

/// A parsed partition expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionExpr {
    text: String,
}

/// A reserved word of an expression whose value only the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionWord {
    Missing,
    Failed,
    Stale,
}

/// Why a text names no partitions; `at` is a byte range of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PartitionTextError {
    pub message: String,
    pub at: std::ops::Range<usize>,
    pub help: Option<String>,
}

impl PartitionExpr {
    pub fn parse(text: &str) -> Result<PartitionExpr, PartitionTextError> {
        todo!()
    }

    /// The partitions of `domain` that the expression names. `word` answers `missing`, `failed` and
    /// `stale`. A key that does not exist, and a range backwards, are errors.
    pub fn select(
        &self,
        domain: &Domain,
        word: &dyn Fn(PartitionWord) -> PartitionSet,
    ) -> Result<PartitionSet, PartitionTextError> {
        todo!()
    }
}

pub(super) fn render(domain: &Domain, set: &PartitionSet) -> Vec<String> {
    let key = |index: u32| domain.key(index).map_or_else(String::new, |key| key.to_string());
    ranges(set)
        .map(|range| match range.start() == range.end() {
            true => key(*range.start()),
            false => format!("{}..{}", key(*range.start()), key(*range.end())),
        })
        .collect()
}
