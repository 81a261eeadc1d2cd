//! Sources: data from outside, observed and never computed.

use std::collections::BTreeMap;

/// Where a source's data is and how it falls into partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceDef {
    /// Files whose paths match a pattern. Each is a partition, or (with `split_by`) one file whose
    /// rows fall into partitions by a column.
    Files {
        pattern: PathPattern,
        split_by: Option<SplitBy>,
        /// Declared column types, for tables; what is not named is inferred.
        columns: BTreeMap<String, ColumnType>,
    },
}

/// The column whose values are partition keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitBy {
    pub column: String,
    /// How the column writes a date (chrono's `strftime` form), where that is not how keys are
    /// written: `split_by: "date:%Y/%m/%d"`.
    pub format: Option<String>,
}

/// The declared type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    Text,
    Integer,
    Real,
}

/// A path relative to the project's root with captures (`{name}`, `{date:%Y-%m-%d}`) and globs.
///
/// A capture stands for one or more characters other than `/`; its values make the partition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    pub text: String,
    pub pieces: Vec<PatternPiece>,
}

/// A piece of a [`PathPattern`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternPiece {
    Literal(String),
    /// `*`, `?`, `[..]`, `**` or `{a,b}`, as globset reads them.
    Glob(String),
    Capture {
        name: String,
        format: Option<String>,
    },
}
