//! Checks that a table must pass before it is recorded: `rows = 1`, `not_null(date)`, `unique(id)`.

/// One declared check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    Rows { comparison: Comparison, count: u64 },
    NotNull { column: String },
    Unique { column: String },
}

/// How a number of rows is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
