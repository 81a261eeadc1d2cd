//! The CSV manager.

use std::collections::BTreeMap;

use super::{Encoded, Error, Table, TableIo};
use crate::defs::ColumnType;

/// Reads and writes CSV with a header line, commas and `\n`.
pub(super) struct Csv;

impl TableIo for Csv {
    fn write(&self, table: &Table) -> Result<Encoded, Error> {
        todo!()
    }

    fn read(
        &self,
        bytes: &[u8],
        schema: Option<&str>,
        declared: &BTreeMap<String, ColumnType>,
    ) -> Result<Table, Error> {
        todo!()
    }
}
