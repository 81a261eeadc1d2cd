//! The JSON Lines manager: one object a line, with every column of the table in it.
//!
//! A nested value is text in JSON's own form, which SQLite's JSON functions read; `true` and `false`
//! are 1 and 0, as SQLite has them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Number, Value as Json};

use super::table::{Kinds, read_cell, wrong_type};
use super::{Column, ColumnKind, Encoded, Error, Table, TableIo, Value};
use crate::defs::ColumnType;

/// Reads and writes one JSON object a line.
pub(super) struct JsonLines;

impl TableIo for JsonLines {
    fn write(&self, table: &Table) -> Result<Encoded, Error> {
        table.check_writable()?;
        let mut bytes = Vec::with_capacity(table.rows.len() * 64);
        for row in &table.rows {
            let entry = |(column, value): (&Column, &Value)| (column.name.clone(), to_json(value));
            let object: Map<String, Json> = table.columns.iter().zip(row).map(entry).collect();
            serde_json::to_writer(&mut bytes, &object).expect("writing to memory does not fail");
            bytes.push(b'\n');
        }
        Ok(Encoded { bytes, schema: table.schema().to_text() })
    }

    fn read(
        &self,
        bytes: &[u8],
        schema: Option<&str>,
        declared: &BTreeMap<String, ColumnType>,
    ) -> Result<Table, Error> {
        let kinds = Kinds::new(schema, declared)?;
        let mut reader = Reader::new(&kinds);
        for (line, raw) in lines(bytes) {
            reader.add(parse_line(raw, line)?, line)?;
        }
        Ok(reader.finish())
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        // Blobs and what is not finite were refused before the first byte.
        Value::Null | Value::Blob(_) => Json::Null,
        Value::Integer(integer) => Json::from(*integer),
        Value::Real(real) => Number::from_f64(*real).map_or(Json::Null, Json::Number),
        Value::Text(text) => Json::from(text.as_str()),
    }
}

/// The lines that are not blank, with their numbers, without their ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).zip(1..);
    lines.filter(|(line, _)| !line.is_empty()).map(|(line, number)| (number, line))
}

pub(super) fn parse_line(raw: &[u8], line: u64) -> Result<Map<String, Json>, Error> {
    if std::str::from_utf8(raw).is_err() {
        return Err(Error::NotUtf8 { line });
    }
    serde_json::from_slice(raw).map_err(|error| Error::Json { line, message: json_message(&error) })
}

// serde_json counts lines within what it was given, which is one line.
fn json_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line 1 column ") {
        Some((message, column)) => format!("{message} at column {column}"),
        None => text,
    }
}

/// Collects rows whose columns appear as it goes.
struct Reader<'a> {
    kinds: &'a Kinds<'a>,
    places: HashMap<String, usize>,
    table: Table,
}

impl<'a> Reader<'a> {
    fn new(kinds: &'a Kinds<'a>) -> Reader<'a> {
        let mut reader = Reader { kinds, places: HashMap::new(), table: Table::default() };
        let recorded = kinds.recorded().into_iter().flat_map(|schema| &schema.0);
        for column in recorded {
            reader.place(&column.name);
        }
        reader
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.table.columns.len();
        self.table.columns.push(Column { name: name.to_owned(), kind: self.kinds.of(name) });
        self.places.insert(name.to_owned(), place);
        place
    }

    fn add(&mut self, object: Map<String, Json>, line: u64) -> Result<(), Error> {
        let mut row = vec![Value::Null; self.table.columns.len()];
        for (name, json) in object {
            let place = self.place(&name);
            row.resize(self.table.columns.len(), Value::Null);
            row[place] = read_value(json, self.table.columns[place].kind, line, &name)?;
        }
        self.table.rows.push(row);
        Ok(())
    }

    fn finish(mut self) -> Table {
        for row in &mut self.table.rows {
            row.resize(self.table.columns.len(), Value::Null);
        }
        self.table
    }
}

fn read_value(json: Json, kind: ColumnKind, line: u64, column: &str) -> Result<Value, Error> {
    match (kind, json) {
        (_, Json::Null) => Ok(Value::Null),
        // Text that the format itself marks as text is not looked into, unless so declared.
        (ColumnKind::Any | ColumnKind::Text, Json::String(text)) => Ok(Value::Text(text)),
        (ColumnKind::Integer | ColumnKind::Real, Json::String(text)) => {
            read_cell(&text, kind, line, column)
        }
        (ColumnKind::Any, Json::Bool(truth)) => Ok(Value::Integer(truth.into())),
        (ColumnKind::Any, Json::Number(number)) => Ok(number_value(&number)),
        (ColumnKind::Integer, Json::Bool(truth)) => Ok(Value::Integer(truth.into())),
        (ColumnKind::Integer | ColumnKind::Real, Json::Number(number)) => {
            read_cell(&number.to_string(), kind, line, column)
        }
        (ColumnKind::Any | ColumnKind::Text, json) => Ok(Value::Text(json.to_string())),
        (ColumnKind::Integer | ColumnKind::Real, json) => {
            Err(wrong_type(&json.to_string(), kind, line, column))
        }
    }
}

fn number_value(number: &Number) -> Value {
    if let Some(integer) = number.as_i64() {
        Value::Integer(integer)
    } else if number.is_u64() {
        // Beyond 63 bits: a real number would be another number.
        Value::Text(number.to_string())
    } else {
        number.as_f64().map_or(Value::Null, Value::Real)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        let read = JsonLines.read(text.as_bytes(), None, &BTreeMap::new());
        expected.assert_eq(&match read {
            Ok(table) => format!("{:?}", table.rows),
            Err(error) => error.to_string(),
        });
    }

    #[test]
    fn columns_appear_as_they_come() {
        check(
            "{\"a\":1}\n\n{\"b\":\"007\",\"a\":null}\r\n{\"b\":[1,{\"x\":true}],\"c\":true}\n",
            &expect![[
                r#"[[Integer(1), Null, Null], [Null, Text("007"), Null], [Null, Text("[1,{\"x\":true}]"), Integer(1)]]"#
            ]],
        );
    }

    #[test]
    fn numbers_keep_what_they_are() {
        check(
            "{\"a\":3,\"b\":3.0,\"c\":18446744073709551615,\"d\":1e400}\n",
            &expect!["line 1 is not a JSON object: number out of range at column 49"],
        );
        check(
            "{\"a\":3,\"b\":3.0,\"c\":18446744073709551615}",
            &expect![[r#"[[Integer(3), Real(3.0), Text("18446744073709551615")]]"#]],
        );
    }

    #[test]
    fn errors_name_the_line() {
        check(
            "{\"a\":1}\n{\"a\":",
            &expect!["line 2 is not a JSON object: EOF while parsing a value at column 5"],
        );
        check(
            "[1]\n",
            &expect![
                "line 1 is not a JSON object: invalid type: sequence, expected a map at column 0"
            ],
        );
    }
}
