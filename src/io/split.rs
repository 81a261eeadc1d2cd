//! Cuts one file into partitions by the values of a column.
//!
//! A partition is the header and the key's lines as they stand in the file, so that it is a small file
//! of the same format, and its digest changes only if one of its own lines does. Only the ends of
//! lines are made equal: the last line of a file may lack one, and adding a row after it must not
//! change it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::Value as Json;

use super::csv::Records;
use super::names::nearest;
use super::{Error, json_lines};
use crate::base::{Digest, PartitionKey};
use crate::defs::{SplitBy, TableFormat};

/// One file of rows and, for each key of its column, where that key's rows are.
///
/// ```
/// use giornata::defs::{SplitBy, TableFormat};
/// use giornata::io::SplitFile;
///
/// let by = SplitBy { column: "day".into(), format: None };
/// let bytes = b"day,n\nmon,1\ntue,2\nmon,3\n".to_vec();
/// let split = SplitFile::parse(bytes, &by, TableFormat::Csv, "").unwrap();
/// assert_eq!(split.part("mon").unwrap(), b"day,n\nmon,1\nmon,3\n");
/// ```
#[derive(Debug, Clone)]
pub struct SplitFile {
    bytes: Vec<u8>,
    /// Empty for a format without a header.
    header: Range<usize>,
    rows: BTreeMap<PartitionKey, Vec<Range<usize>>>,
}

impl SplitFile {
    /// Reads a file; `key_format` is how keys write the date that `by.format` reads.
    pub fn parse(
        bytes: Vec<u8>,
        by: &SplitBy,
        format: TableFormat,
        key_format: &str,
    ) -> Result<SplitFile, Error> {
        let mut cut = Cut { by, key_format, rows: HashMap::new() };
        let header = match format {
            TableFormat::Csv => cut.csv(&bytes)?,
            TableFormat::JsonLines => {
                cut.json_lines(&bytes)?;
                0..0
            }
            #[cfg(feature = "parquet")]
            TableFormat::Parquet => return Err(Error::Unsplittable),
        };
        let rows = cut.into_keys()?;
        Ok(SplitFile { bytes, header, rows })
    }

    /// The keys, sorted.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &PartitionKey> {
        self.rows.keys()
    }

    /// The rows of one key as a file of their own.
    pub fn part(&self, key: &str) -> Option<Vec<u8>> {
        let rows = self.rows.get(key)?;
        let header = (!self.header.is_empty()).then_some(&self.header);
        let pieces = header.into_iter().chain(rows);
        let mut part = Vec::with_capacity(pieces.clone().map(|piece| piece.len() + 1).sum());
        for piece in pieces {
            part.extend_from_slice(&self.bytes[piece.clone()]);
            part.push(b'\n');
        }
        Some(part)
    }

    /// The digest of what `part` returns.
    pub fn digest(&self, key: &str) -> Option<Digest> {
        self.part(key).map(|part| Digest::of_blob(&part))
    }
}

/// The rows found so far, by the text of the column.
struct Cut<'a> {
    by: &'a SplitBy,
    key_format: &'a str,
    rows: HashMap<Box<str>, Rows>,
}

/// The rows with one text, and the line on which it first stood.
struct Rows {
    line: u64,
    places: Vec<Range<usize>>,
}

impl Cut<'_> {
    fn csv(&mut self, bytes: &[u8]) -> Result<Range<usize>, Error> {
        let mut records = Records::new(bytes)?;
        let names = records.header()?;
        let column = names.iter().position(|name| *name == self.by.column);
        let column = column.ok_or_else(|| self.no_column(&names))?;
        let header = place(bytes, records.raw());
        while let Some(record) = records.next()? {
            let text = std::str::from_utf8(&record.fields[column]);
            let text = text.map_err(|_| Error::NotUtf8 { line: record.line })?;
            self.add(text, record.line, place(bytes, record.raw))?;
        }
        Ok(header)
    }

    fn json_lines(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for (line, raw) in json_lines::lines(bytes) {
            let object = json_lines::parse_line(raw, line)?;
            let text = match object.get(&self.by.column) {
                Some(Json::String(text)) => text.clone(),
                Some(Json::Null) => String::new(),
                Some(other) => other.to_string(),
                None => {
                    let names: Vec<String> = object.keys().cloned().collect();
                    return Err(self.no_column(&names));
                }
            };
            self.add(&text, line, place(bytes, raw))?;
        }
        Ok(())
    }

    fn add(&mut self, text: &str, line: u64, place: Range<usize>) -> Result<(), Error> {
        if let Some(rows) = self.rows.get_mut(text) {
            rows.places.push(place);
            return Ok(());
        }
        if text.is_empty() {
            return Err(Error::EmptyKey { line, column: self.by.column.clone() });
        }
        self.rows.insert(text.into(), Rows { line, places: vec![place] });
        Ok(())
    }

    fn no_column(&self, names: &[String]) -> Error {
        let column = &self.by.column;
        let near = nearest(column, names.iter().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the file has `{}`", names.join("`, `")),
        };
        Error::NoSplitColumn { column: column.clone(), help }
    }

    /// Texts become keys; each differing text is read as a date once.
    fn into_keys(self) -> Result<BTreeMap<PartitionKey, Vec<Range<usize>>>, Error> {
        let mut texts: Vec<(Box<str>, Rows)> = self.rows.into_iter().collect();
        texts.sort_by_key(|(_, rows)| rows.line);
        let mut keys: BTreeMap<PartitionKey, Vec<Range<usize>>> = BTreeMap::new();
        let mut merged = false;
        for (text, rows) in texts {
            let key = match &self.by.format {
                None => PartitionKey::new(&*text),
                Some(format) => {
                    let date = parse_date(&text, format);
                    let date = date.ok_or_else(|| date_error(self.by, &text, format, rows.line))?;
                    PartitionKey::new(date.format(self.key_format).to_string())
                }
            };
            let places = keys.entry(key).or_default();
            merged |= !places.is_empty();
            places.extend(rows.places);
        }
        if merged {
            // Several texts are one key: its rows are in the order of the file again.
            keys.values_mut().for_each(|places| places.sort_by_key(|place| place.start));
        }
        Ok(keys)
    }
}

fn date_error(by: &SplitBy, value: &str, format: &str, line: u64) -> Error {
    let (column, value) = (by.column.clone(), value.to_owned());
    Error::Date { line, column, value, format: format.to_owned() }
}

/// A date of any precision down to the year, in the form that `format` says.
fn parse_date(text: &str, format: &str) -> Option<NaiveDateTime> {
    if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
        return Some(time);
    }
    // chrono wants a whole date; what is coarser begins on its first day.
    for (more_text, more_format) in
        [("", ""), ("\u{1}1", "\u{1}%d"), ("\u{1}1\u{1}1", "\u{1}%m\u{1}%d")]
    {
        let date = NaiveDate::parse_from_str(
            &format!("{text}{more_text}"),
            &format!("{format}{more_format}"),
        );
        if let Ok(date) = date {
            return date.and_hms_opt(0, 0, 0);
        }
    }
    None
}

/// Where `part`, a slice of `whole`, is in it.
fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn by(column: &str, format: Option<&str>) -> SplitBy {
        SplitBy { column: column.into(), format: format.map(str::to_owned) }
    }

    #[track_caller]
    fn check(text: &str, by: &SplitBy, format: TableFormat, expected: &Expect) {
        let split = SplitFile::parse(text.as_bytes().to_vec(), by, format, "%Y-%m-%d");
        expected.assert_eq(&match split {
            Err(error) => error.to_string(),
            Ok(split) => split.keys().fold(String::new(), |mut out, key| {
                let part = String::from_utf8(split.part(key.as_str()).unwrap()).unwrap();
                write!(out, "{key:?}: {part:?}; ").unwrap();
                out
            }),
        });
    }

    #[test]
    fn a_partition_is_a_small_file_of_its_own() {
        check(
            "day,note\r\nb,\"two\nlines\"\r\na,x\r\n\r\nb,\"say \"\"hi\"\"\"",
            &by("day", None),
            TableFormat::Csv,
            &expect![[
                r#""a": "day,note\na,x\n"; "b": "day,note\nb,\"two\nlines\"\nb,\"say \"\"hi\"\"\"\n"; "#
            ]],
        );
        check(
            "{\"d\":\"a\",\"n\":1}\n{\"d\":2}\n\n{\"d\":\"a\"}",
            &by("d", None),
            TableFormat::JsonLines,
            &expect![[r#""2": "{\"d\":2}\n"; "a": "{\"d\":\"a\",\"n\":1}\n{\"d\":\"a\"}\n"; "#]],
        );
    }

    #[test]
    fn dates_become_keys() {
        check(
            "d,n\n1/7/2014,1\n2/7/2014,2\n01/07/2014,3\n",
            &by("d", Some("%d/%m/%Y")),
            TableFormat::Csv,
            &expect![[
                r#""2014-07-01": "d,n\n1/7/2014,1\n01/07/2014,3\n"; "2014-07-02": "d,n\n2/7/2014,2\n"; "#
            ]],
        );
        assert!(parse_date("2014-07", "%Y-%m").is_some());
        assert!(parse_date("2014", "%Y").is_some());
        assert!(parse_date("2014-07-01 05:00", "%Y-%m-%d %H:%M").is_some());
        assert!(parse_date("2014-02-30", "%Y-%m-%d").is_none());
    }

    #[test]
    fn errors_say_where_and_what() {
        let csv = TableFormat::Csv;
        check(
            "date,n\n",
            &by("dat", None),
            csv,
            &expect!["there is no column `dat` to split by; did you mean `date`?"],
        );
        check(
            "x,n\n",
            &by("date", None),
            csv,
            &expect!["there is no column `date` to split by; the file has `x`, `n`"],
        );
        check(
            "d,n\na,1\n,2\n",
            &by("d", None),
            csv,
            &expect!["line 3: column `d` is empty, so the row belongs to no partition"],
        );
        check(
            "d\n2014/07/01\n2014-07-02\n",
            &by("d", Some("%Y/%m/%d")),
            csv,
            &expect![
                "line 3: `2014-07-02` in column `d` does not read as a date of form `%Y/%m/%d`"
            ],
        );
        check(
            "d,n\na\n",
            &by("d", None),
            csv,
            &expect!["line 2 has 1 fields where the header has 2"],
        );
    }

    #[test]
    fn a_row_after_the_last_one_changes_no_other() {
        let parse = |text: &str| {
            let bytes = text.as_bytes().to_vec();
            SplitFile::parse(bytes, &by("d", None), TableFormat::Csv, "").unwrap()
        };
        let (short, long) = (parse("\u{feff}d,n\na,1"), parse("d,n\r\na,1\r\nb,2\n"));
        assert_eq!(short.digest("a"), long.digest("a"));
        assert_eq!(short.digest("b"), None);
    }

    #[test]
    fn a_long_file_is_cut_in_one_pass() {
        let rows: String = (0..100_000).map(|n| format!("k{},{n},some text\n", n % 1500)).collect();
        let bytes = format!("key,n,note\n{rows}").into_bytes();
        let split = SplitFile::parse(bytes, &by("key", None), TableFormat::Csv, "").unwrap();
        assert_eq!(split.keys().len(), 1500);
        assert_eq!(split.rows.values().map(Vec::len).sum::<usize>(), 100_000);
    }

    proptest! {
        #[test]
        fn every_row_is_in_exactly_its_partition(
            rows in proptest::collection::vec(("[a-c]", "[a-z\",\n\r é]{0,6}"), 0..30)
        ) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            writer.write_record(["key", "note"]).unwrap();
            rows.iter().for_each(|row| writer.write_record([&row.0, &row.1]).unwrap());
            let bytes = writer.into_inner().unwrap();
            let split = SplitFile::parse(bytes, &by("key", None), TableFormat::Csv, "").unwrap();
            let mut count = 0;
            for key in split.keys() {
                let part = split.part(key.as_str()).unwrap();
                let mut reader = ::csv::Reader::from_reader(&*part);
                let found: Vec<(String, String)> = reader.deserialize().map(Result::unwrap).collect();
                let wanted = rows.iter().filter(|row| row.0 == key.as_str());
                prop_assert!(found.iter().eq(wanted), "{found:?}");
                count += found.len();
            }
            prop_assert_eq!(count, rows.len());
        }

        #[test]
        fn junk_does_not_panic(bytes: Vec<u8>) {
            for format in [TableFormat::Csv, TableFormat::JsonLines] {
                let _ = SplitFile::parse(bytes.clone(), &by("d", None), format, "%Y");
            }
        }
    }
}
