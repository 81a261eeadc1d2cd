//! The CSV manager: a header line, commas, `\n`, quotes only where they are needed.
//!
//! An empty field is NULL, so an empty text does not survive: it comes back as NULL. A column of mixed
//! kinds is typed cell by cell again when it is read.

use std::collections::BTreeMap;

use ::csv::{ByteRecord, ReaderBuilder, Terminator, WriterBuilder};

use super::table::{Kinds, check_names, read_cell, real_text};
use super::{Column, Encoded, Error, Table, TableIo, Value};
use crate::defs::ColumnType;

/// Reads and writes CSV.
pub(super) struct Csv;

impl TableIo for Csv {
    fn write(&self, table: &Table) -> Result<Encoded, Error> {
        table.check_writable()?;
        let mut writer = WriterBuilder::new()
            .terminator(Terminator::Any(b'\n'))
            .from_writer(Vec::with_capacity(table.rows.len() * 32));
        let infallible = "writing to memory does not fail, and every row has all its fields";
        writer.write_record(table.columns.iter().map(|column| &column.name)).expect(infallible);
        for row in &table.rows {
            for value in row {
                write_field(&mut writer, value).expect(infallible);
            }
            writer.write_record(None::<&[u8]>).expect(infallible);
        }
        let bytes = writer.into_inner().expect(infallible);
        Ok(Encoded { bytes, schema: table.schema().to_text() })
    }

    fn read(
        &self,
        bytes: &[u8],
        schema: Option<&str>,
        declared: &BTreeMap<String, ColumnType>,
    ) -> Result<Table, Error> {
        let kinds = Kinds::new(schema, declared)?;
        let mut records = Records::new(bytes)?;
        let column = |name: String| Column { kind: kinds.of(&name), name };
        let columns: Vec<Column> = records.header()?.into_iter().map(column).collect();
        let mut rows = Vec::new();
        while let Some(row) = records.next()? {
            rows.push(read_row(&row, &columns)?);
        }
        Ok(Table { columns, rows })
    }
}

fn write_field(writer: &mut ::csv::Writer<Vec<u8>>, value: &Value) -> ::csv::Result<()> {
    match value {
        // Blobs were refused before the first byte.
        Value::Null | Value::Blob(_) => writer.write_field(""),
        Value::Integer(integer) => writer.write_field(integer.to_string()),
        Value::Real(real) => writer.write_field(real_text(*real)),
        Value::Text(text) => writer.write_field(text),
    }
}

fn read_row(row: &Record<'_>, columns: &[Column]) -> Result<Vec<Value>, Error> {
    let cell = |(field, column): (&[u8], &Column)| {
        let text = utf8(field, row.line)?;
        read_cell(text, column.kind, row.line, &column.name)
    };
    row.fields.iter().zip(columns).map(cell).collect()
}

fn utf8(field: &[u8], line: u64) -> Result<&str, Error> {
    std::str::from_utf8(field).map_err(|_| Error::NotUtf8 { line })
}

/// The records of a file with the place of each, header first.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    reader: ::csv::Reader<&'a [u8]>,
    record: ByteRecord,
    fields_in_header: Option<u64>,
    raw: &'a [u8],
}

/// One record.
pub(super) struct Record<'a> {
    pub(super) fields: &'a ByteRecord,
    /// Where it begins, counted from 1.
    pub(super) line: u64,
    /// Its text without the end of its last line.
    pub(super) raw: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Records<'a>, Error> {
        // A byte order mark is not part of the first column's name.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        Ok(Records { bytes, reader, record: ByteRecord::new(), fields_in_header: None, raw: b"" })
    }

    /// The names of the columns; to be called first.
    pub(super) fn header(&mut self) -> Result<Vec<String>, Error> {
        let record = self.next()?.ok_or(Error::NoHeader)?;
        let name = |field| Ok(utf8(field, record.line)?.to_owned());
        let names: Vec<String> = record.fields.iter().map(name).collect::<Result<_, _>>()?;
        check_names(names.iter().map(String::as_str))?;
        self.fields_in_header = Some(names.len() as u64);
        Ok(names)
    }

    /// The text of the record that was read last.
    pub(super) fn raw(&self) -> &'a [u8] {
        self.raw
    }

    pub(super) fn next(&mut self) -> Result<Option<Record<'_>>, Error> {
        let found = self.reader.read_byte_record(&mut self.record);
        if !found.expect("a flexible reader of memory has nothing to complain about") {
            return Ok(None);
        }
        let position = self.record.position().expect("a record that was read has a position");
        let end = self.reader.position().byte();
        let (raw, line) = trim(self.bytes, position.byte(), end, position.line());
        self.raw = raw;
        let found = self.record.len() as u64;
        if end == self.bytes.len() as u64 && ends_inside_quotes(raw) {
            return Err(Error::OpenQuote { line });
        }
        match self.fields_in_header {
            Some(expected) if expected != found => Err(Error::FieldCount { line, found, expected }),
            Some(_) | None => Ok(Some(Record { fields: &self.record, line, raw })),
        }
    }
}

/// The text of a record: its position may begin with what is left of the line before (the `\n` of
/// `\r\n`, blank lines), and it ends with the end of its own line.
fn trim(bytes: &[u8], start: u64, end: u64, line: u64) -> (&[u8], u64) {
    let whole = &bytes[start as usize..end as usize];
    let line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let lead = whole.iter().take_while(|byte| line_end(byte)).count();
    let line = line + whole[..lead].iter().filter(|byte| **byte == b'\n').count() as u64;
    let tail = whole[lead..].iter().rev().take_while(|byte| line_end(byte)).count();
    (&whole[lead..whole.len() - tail], line)
}

/// Whether the last field of a record opens a quote and does not close it: the reader takes the end of
/// the file for the end of the quote, but then the file was cut off.
fn ends_inside_quotes(raw: &[u8]) -> bool {
    #[derive(Clone, Copy)]
    enum At {
        Start,
        Plain,
        Quoted,
        // Of two in a row, or the one that closes.
        Quote,
    }
    let end = raw.iter().fold(At::Start, |at, byte| match (at, byte) {
        (At::Start | At::Quote, b'"') | (At::Quoted, b',') => At::Quoted,
        (At::Quoted, b'"') => At::Quote,
        (At::Quoted, _) => At::Quoted,
        (At::Start | At::Plain | At::Quote, b',') => At::Start,
        (At::Start | At::Plain | At::Quote, _) => At::Plain,
    });
    matches!(end, At::Quoted)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Expect) {
        let read = Csv.read(text.as_bytes(), None, &BTreeMap::new());
        expected.assert_eq(&match read {
            Ok(table) => format!("{:?}", table.rows),
            Err(error) => error.to_string(),
        });
    }

    #[test]
    fn cells_are_typed_one_by_one() {
        check(
            "id,n\n007,1\nx,2.5\n,\n",
            &expect![[r#"[[Text("007"), Integer(1)], [Text("x"), Real(2.5)], [Null, Null]]"#]],
        );
    }

    #[test]
    fn quotes_hold_commas_and_lines() {
        check(
            "a,b\r\n\"x, \"\"y\"\"\nz\",1\r\n\r\n2,3",
            &expect![[r#"[[Text("x, \"y\"\nz"), Integer(1)], [Integer(2), Integer(3)]]"#]],
        );
    }

    #[test]
    fn errors_name_the_line() {
        check("a,b\n\"1\n2\",2\n3\n", &expect!["line 4 has 1 fields where the header has 2"]);
        check("a,b\r\n1,2\r\n\r\n3\r\n", &expect!["line 4 has 1 fields where the header has 2"]);
        check(
            "a,b\n1,\"2\n3,4\n",
            &expect![
                "the quoted field that begins on line 2 is not closed; the file may be cut off"
            ],
        );
        check(
            "",
            &expect!["there is no header line; a CSV file begins with the names of its columns"],
        );
        check("a,a\n", &expect!["two columns are named `a`; give one of them another name"]);
        check("a,\n", &expect!["column 2 has no name; give it one in the header"]);
        let read = Csv.read(b"a\n\xff\n", None, &BTreeMap::new());
        assert_eq!(read, Err(Error::NotUtf8 { line: 2 }));
    }

    #[test]
    fn a_declared_type_is_held() {
        let declared = |declared| BTreeMap::from([("a".to_owned(), declared)]);
        let text = Csv.read(b"a\n007\n", None, &declared(ColumnType::Text)).unwrap();
        assert_eq!(text.rows, [[Value::Text("007".into())]]);
        let real = Csv.read(b"a\n7\n", None, &declared(ColumnType::Real)).unwrap();
        assert_eq!(real.rows, [[Value::Real(7.0)]]);
        let error = Csv.read(b"a\n7\nx\n", None, &declared(ColumnType::Integer)).unwrap_err();
        assert_eq!(error.to_string(), "line 3: `x` in column `a` is not an integer of 64 bits");
    }

    #[test]
    fn a_byte_order_mark_is_no_name() {
        let table = Csv.read(b"\xef\xbb\xbfa\n1\n", None, &BTreeMap::new()).unwrap();
        assert_eq!(table.columns[0].name, "a");
    }
}
