//! Tables in memory, and the rules by which a cell of text becomes a value.
//!
//! A cell's type is the column's declared type, else the recorded kind, else it is decided from that
//! cell alone: a row elsewhere in a file must not change what this row means, or a partition would
//! change although its rows did not.

use std::collections::BTreeMap;

use serde_json::Map;

use super::Error;
use crate::defs::ColumnType;

/// Rows under named columns; each row has one value a column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    pub name: String,
    pub kind: ColumnKind,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColumnKind {
    /// Nothing is promised; each cell decides for itself.
    #[default]
    Any,
    Integer,
    Real,
    Text,
}

/// The value of one cell, as SQLite knows values.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// The columns of a written table with their kinds, in order: `{"day":"text","rain":"real"}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema(pub Vec<Column>);

impl Table {
    /// A table without rows.
    pub fn with_columns<'a>(names: impl IntoIterator<Item = &'a str>) -> Table {
        let column = |name: &str| Column { name: name.to_owned(), kind: ColumnKind::Any };
        Table { columns: names.into_iter().map(column).collect(), rows: Vec::new() }
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The schema that a writer records: a column has the kind that all its values share.
    pub fn schema(&self) -> Schema {
        todo!()
    }
}
