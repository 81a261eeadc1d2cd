//! `giornata cat`: results as they are in the store, several of them under one header.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::Map;

use super::error::CliError;
use super::session::Session;
use super::targets::{Spec, only, some_partitions};
use super::text::{self, Length};
use super::{Done, Kind};
use crate::base::{AssetKey, PartitionIdx, PartitionSet};
use crate::defs::TableFormat;
use crate::engine::{Access, Engine, State, Value};
use crate::io::{self, Table};

/// Write the value of an asset to stdout
///
/// Several partitions of a table are joined under one header. What is stale is written as it is, with
/// a warning on stderr.
#[derive(Debug, Args)]
pub(super) struct CatArgs {
    /// `ASSET` or `ASSET@EXPR`.
    #[arg(value_name = "ASSET[@PARTITION]")]
    asset: String,
    /// The form of a table, if not the one in which it is stored.
    #[arg(long)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Comma-separated, with a header.
    Csv,
    /// A list of objects, one a row.
    Json,
}

pub(super) fn run(args: &CatArgs, session: Session<'_>) -> Result<Done, CliError> {
    let mut workspace = session.workspace()?;
    let spec = [Spec::parse(&args.asset)?];
    let (engine, sets) = workspace.open(&spec, Access::Read, &[])?;
    let key = only(&spec[0], &sets[0])?;
    let wanted = some_partitions(&engine, &key, spec[0].partitions.as_ref())?;
    let status = engine.status(&key)?;
    let without = status.sets.get(&State::Missing).map(|set| set & &wanted).unwrap_or_default();
    let domain = engine.planner().domain(&key);
    let fresh = status.sets.get(&State::Fresh).cloned().unwrap_or_default();
    let order = domain.ordered();
    let (mut values, mut stale, mut empty) = (Vec::new(), PartitionSet::new(), without);
    for part in order.into_iter().filter(|part| wanted.contains(*part)) {
        match engine.value(&key, part) {
            Ok(value) => {
                if !fresh.contains(part) {
                    stale.insert(part);
                }
                values.push((part, value));
            }
            Err(error @ crate::engine::Error::NoResult { .. }) if wanted.len() == 1 => {
                return Err(no_result(error, &key, &engine, part));
            }
            Err(crate::engine::Error::NoResult { .. }) => {
                empty.insert(part);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let output = render(&key, values, args.format)?;
    workspace.term.print_bytes(&output);
    for (set, what) in [(&stale, "not fresh"), (&empty, "without a result")] {
        if !set.is_empty() {
            let ranges = text::ranges(domain, set, Length::of(workspace.term.is_verbose));
            let ranges = if ranges.is_empty() { ranges } else { format!(": {ranges}") };
            let parts = text::count(set.len(), "partition");
            workspace.term.warning(&format!("{parts} of `{key}` {what}{ranges}"));
        }
    }
    Ok(Done::Fine)
}

fn no_result(
    error: crate::engine::Error,
    key: &AssetKey,
    engine: &Engine,
    part: PartitionIdx,
) -> CliError {
    let partition = engine.planner().domain(key).key(part);
    let address = partition.map_or_else(|| key.to_string(), |part| text::address(key, &part));
    CliError { kind: Kind::User, ..CliError::from(error) }
        .hint(format!("`giornata why {address}` says what it lacks"))
}

/// A table's bytes and how they are to be read.
type Stored = (Vec<u8>, TableFormat, Option<String>);

fn render(
    key: &AssetKey,
    values: Vec<(PartitionIdx, Value)>,
    format: Option<Format>,
) -> Result<Vec<u8>, CliError> {
    let mut tables: Vec<Stored> = Vec::new();
    let mut bytes = Vec::new();
    for (_, value) in values {
        match value {
            Value::Table { bytes, format, schema } => tables.push((bytes, format, schema)),
            Value::Bytes(more) => bytes.extend(more),
            Value::File(path) => {
                let read = std::fs::read(&path).map_err(|error| {
                    CliError::internal(format!("read `{}`: {error}", path.display()))
                })?;
                bytes.extend(read);
            }
            Value::Directory(_) => {
                let error = CliError::user(format!("the value of `{key}` is a directory"));
                return Err(error.hint(format!("`giornata path {key}` says where it can be read")));
            }
        }
    }
    if format.is_some() && tables.is_empty() && !bytes.is_empty() {
        let message = format!("the value of `{key}` is a file, which is written as it is");
        return Err(CliError::user(message).hint("leave `--format` out"));
    }
    if !tables.is_empty() {
        bytes.extend(join(key, tables, format)?);
    }
    Ok(bytes)
}

/// One table in the form that is asked for; one that needs no change is handed on byte by byte.
fn join(
    key: &AssetKey,
    mut tables: Vec<Stored>,
    format: Option<Format>,
) -> Result<Vec<u8>, CliError> {
    let stored = tables[0].1;
    let wanted = match format {
        Some(Format::Csv) => Some(TableFormat::Csv),
        Some(Format::Json) => None,
        None => Some(stored),
    };
    if tables.len() == 1 && wanted == Some(stored) {
        return Ok(tables.remove(0).0);
    }
    let problem = |error: io::Error| CliError::internal(format!("`{key}`: {error}"));
    let mut all = Table::default();
    for (bytes, format, schema) in &tables {
        let declared = BTreeMap::new();
        let table =
            io::manager(*format).read(bytes, schema.as_deref(), &declared).map_err(problem)?;
        append(&mut all, table);
    }
    match wanted {
        Some(format) => Ok(io::manager(format).write(&all).map_err(problem)?.bytes),
        None => Ok(objects(&all).into_bytes()),
    }
}

/// Columns are found by name; one that a table lacks is empty in its rows.
fn append(all: &mut Table, table: Table) {
    let places: Vec<usize> = table
        .columns
        .iter()
        .map(|column| match all.column(&column.name) {
            Some(place) => place,
            None => {
                all.columns.push(column.clone());
                all.columns.len() - 1
            }
        })
        .collect();
    let width = all.columns.len();
    for row in &mut all.rows {
        row.resize(width, io::Value::Null);
    }
    for row in table.rows {
        let mut joined = vec![io::Value::Null; width];
        for (place, value) in places.iter().zip(row) {
            joined[*place] = value;
        }
        all.rows.push(joined);
    }
}

/// A list with one object a row, each on a line of its own.
fn objects(table: &Table) -> String {
    let object = |row: &Vec<io::Value>| {
        let cells = table.columns.iter().zip(row).map(|(column, value)| {
            let value = match value {
                io::Value::Null => serde_json::Value::Null,
                io::Value::Integer(number) => (*number).into(),
                io::Value::Real(number) => (*number).into(),
                io::Value::Text(text) => text.as_str().into(),
                io::Value::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
            };
            (column.name.clone(), value)
        });
        serde_json::Value::Object(cells.collect::<Map<_, _>>()).to_string()
    };
    let rows: Vec<String> = table.rows.iter().map(object).collect();
    if rows.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", rows.join(",\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: [&str; 2], row: [i64; 2]) -> Table {
        let mut table = Table::with_columns(columns);
        table.rows.push(row.map(io::Value::Integer).to_vec());
        table
    }

    #[test]
    fn tables_are_joined_by_the_names_of_their_columns() {
        let mut all = Table::default();
        append(&mut all, table(["a", "b"], [1, 2]));
        append(&mut all, table(["b", "c"], [3, 4]));
        assert_eq!(
            objects(&all),
            "[\n{\"a\":1,\"b\":2,\"c\":null},\n{\"a\":null,\"b\":3,\"c\":4}\n]\n"
        );
        assert_eq!(objects(&Table::default()), "[]\n");
    }
}
