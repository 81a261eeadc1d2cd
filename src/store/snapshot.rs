//! The whole content of a store as text, for tests and for a look inside.
//!
//! Every column of every table is there, so a new one cannot be forgotten. Nothing in the text depends
//! on the machine, except for rows of `stat` and the times that were passed in.

use std::collections::HashMap;
use std::fmt::Write;

use rusqlite::types::ValueRef;

use super::{Error, Store};
use crate::base::{Digest, PartitionSet, ranges};

/// Renders stores as text.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot;

impl Snapshot {
    /// One line for each row, in the order of primary keys, without columns that are null.
    pub fn render(store: &Store) -> Result<String, Error> {
        store.ask(|sql| {
            let names: HashMap<i64, String> = sql
                .all("SELECT id, name FROM asset", [], |row| Ok((row.get(0)?, row.get(1)?)))?
                .into_iter()
                .collect();
            let tables: Vec<String> = sql.all(
                "SELECT name FROM sqlite_schema
                 WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
                [],
                |row| row.get(0),
            )?;
            let mut text = String::new();
            for table in tables {
                render_table(sql, &table, &names, &mut text)?;
            }
            Ok(text)
        })
    }
}

fn render_table(
    store: &Store,
    table: &str,
    names: &HashMap<i64, String>,
    text: &mut String,
) -> rusqlite::Result<()> {
    let mut statement = store.conn.prepare(&format!("SELECT * FROM {table}"))?;
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut line = table.to_owned();
        for (place, column) in columns.iter().enumerate() {
            let value = row.get_ref(place)?;
            if value == ValueRef::Text(b"boot_id") || value == ValueRef::Text(b"slack_dev") {
                line.clear();
                break;
            }
            if let Some(value) = render_value(column, value, names) {
                write!(line, " {column}={value}").expect("writing to a string does not fail");
            }
        }
        if !line.is_empty() {
            text.push_str(&line);
            text.push('\n');
        }
    }
    Ok(())
}

fn render_value(column: &str, value: ValueRef<'_>, names: &HashMap<i64, String>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(id) if column == "asset" => {
            Some(names.get(&id).cloned().unwrap_or_else(|| format!("?{id}")))
        }
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) => Some(format!("{:?}", String::from_utf8_lossy(text))),
        ValueRef::Blob(bytes) => Some(render_bytes(bytes)),
    }
}

/// A digest, a set of partitions, or the bytes of a small output.
fn render_bytes(bytes: &[u8]) -> String {
    if bytes == [0; 32] {
        return "none".to_owned();
    }
    if let Some(digest) = Digest::from_slice(bytes) {
        return digest.short();
    }
    match PartitionSet::deserialize_from(bytes) {
        Ok(set) => {
            let ranges = ranges(&set).map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}..{last}"),
            });
            format!("{{{}}}", ranges.collect::<Vec<_>>().join(","))
        }
        Err(_) => format!("{:?}", String::from_utf8_lossy(bytes)),
    }
}
