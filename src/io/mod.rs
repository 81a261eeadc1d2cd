//! How a value becomes bytes and bytes become a value, and the IO managers, which put values elsewhere.
//!
//! A format ([`TableIo`]) is a pure function of what it is given; the set of formats is a registry of one
//! line each. An [`IoManager`] keeps values at places of its own, beside the content store, of which this
//! module knows nothing. Each format and each manager passes the one suite of its kind.

mod csv;
mod folder;
pub mod http;
mod json_lines;
mod manager;
mod memory;
pub(crate) mod names;
#[cfg(feature = "parquet")]
mod parquet;
pub mod split;
pub mod table;
pub mod tree;
pub mod warehouse;

#[cfg(test)]
mod conformance;

use std::collections::BTreeMap;
use std::path::Path;

pub use folder::FolderIo;
pub use manager::{IoError, IoManager, Kept, Place, Versions};
pub use memory::MemoryIo;
pub use split::SplitFile;
pub use table::{Column, ColumnKind, Schema, Table, Value};
pub use tree::{BlobSink, BlobSource};
pub use warehouse::{TablesIo, Warehouse, WarehouseError};

use crate::defs::{ColumnType, TableFormat};

/// Stores and loads tables of one format.
///
/// ```
/// use std::collections::BTreeMap;
/// use giornata::defs::TableFormat;
/// use giornata::io::{Table, Value, manager};
///
/// let mut table = Table::with_columns(["day", "rain"]);
/// table.rows.push(vec![Value::Text("2014-07-01".into()), Value::Real(0.5)]);
/// let csv = manager(TableFormat::Csv);
/// let encoded = csv.write(&table).unwrap();
/// assert_eq!(encoded.bytes, b"day,rain\n2014-07-01,0.5\n");
/// let again = csv.read(&encoded.bytes, Some(&encoded.schema), &BTreeMap::new()).unwrap();
/// assert_eq!(again.rows, table.rows);
/// ```
pub trait TableIo: Send + Sync {
    /// Writes `table`; equal tables give equal bytes.
    fn write(&self, table: &Table) -> Result<Encoded, Error>;

    /// Reads a table. A column's type is the declared one, else what `schema` (as `write` gave it)
    /// says, else it is decided cell by cell.
    fn read(
        &self,
        bytes: &[u8],
        schema: Option<&str>,
        declared: &BTreeMap<String, ColumnType>,
    ) -> Result<Table, Error>;
}

/// A table as bytes, and what is needed to read them as the same table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// The columns and their kinds as text; see [`Schema`].
    pub schema: String,
}

/// The manager of a format.
pub fn manager(format: TableFormat) -> &'static dyn TableIo {
    match format {
        TableFormat::Csv => &csv::Csv,
        TableFormat::JsonLines => &json_lines::JsonLines,
        #[cfg(feature = "parquet")]
        TableFormat::Parquet => &parquet::Parquet,
    }
}

/// The tabular format that a path's ending names, if it names one.
pub fn format_of(path: &Path) -> Option<TableFormat> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Some(TableFormat::Csv),
        "jsonl" | "ndjson" => Some(TableFormat::JsonLines),
        #[cfg(feature = "parquet")]
        "parquet" => Some(TableFormat::Parquet),
        _ => None,
    }
}

/// Why a table could not be written, read or split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("line {line} is not UTF-8; save the file in that encoding")]
    NotUtf8 { line: u64 },
    #[error("line {line} has {found} fields where the header has {expected}")]
    FieldCount { line: u64, found: u64, expected: u64 },
    #[error("the quoted field that begins on line {line} is not closed; the file may be cut off")]
    OpenQuote { line: u64 },
    #[error("line {line} is not a JSON object: {message}")]
    Json { line: u64, message: String },
    #[error("there is no header line; a CSV file begins with the names of its columns")]
    NoHeader,
    #[error("two columns are named `{column}`; give one of them another name")]
    TwoColumns { column: String },
    #[error("column {place} has no name; give it one in the header")]
    UnnamedColumn { place: usize },
    #[error("line {line}: `{value}` in column `{column}` is not {expected}")]
    WrongType { line: u64, column: String, value: String, expected: &'static str },
    #[error("row {row} has {found} values for {expected} columns")]
    RowLength { row: usize, found: usize, expected: usize },
    #[error(
        "row {row} of column `{column}` holds a blob, which a table file cannot hold; \
         convert it with hex() or write a file from a command"
    )]
    Blob { row: usize, column: String },
    #[error(
        "row {row} of column `{column}` holds {value}, which is not a finite number; \
         make it NULL or text"
    )]
    NotFinite { row: usize, column: String, value: String },
    #[cfg(feature = "parquet")]
    #[error("it is no Parquet file that can be read or written: {message}")]
    Parquet { message: String },
    #[cfg(feature = "parquet")]
    #[error(
        "rows of this format cannot be told apart without reading all of it; give each partition a file of its own"
    )]
    Unsplittable,
    #[error("the recorded schema `{schema}` cannot be read: {message}")]
    Schema { schema: String, message: String },
    #[error("there is no column `{column}` to split by; {help}")]
    NoSplitColumn { column: String, help: String },
    #[error("line {line}: column `{column}` is empty, so the row belongs to no partition")]
    EmptyKey { line: u64, column: String },
    #[error(
        "line {line}: `{value}` in column `{column}` does not read as a date of form `{format}`"
    )]
    Date { line: u64, column: String, value: String, format: String },
}
