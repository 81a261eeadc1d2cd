//! The JSON Lines manager.

use std::collections::BTreeMap;

use super::{Encoded, Error, Table, TableIo};
use crate::defs::ColumnType;

/// Reads and writes one JSON object a line.
pub(super) struct JsonLines;

impl TableIo for JsonLines {
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
