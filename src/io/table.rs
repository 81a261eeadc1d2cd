//! Tables in memory, and the rules by which a cell of text becomes a value.
//!
//! A cell's type is the column's declared type, else the recorded kind, else it is decided from that
//! cell alone: a row elsewhere in a file must not change what this row means, or a partition would
//! change although its rows did not.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value as Json};

use super::Error;
use crate::defs::ColumnType;

/// Rows under named columns; each row has one value a column. It is small and whole in memory: for large
/// data let SQL or a command read the files.
///
/// ```
/// use giornata::io::{Table, Value};
/// let mut table = Table::with_columns(["day", "mm"]);
/// table.rows.push(vec!["2014-07-01".into(), 0.5.into()]);
/// table.rows.push(vec!["2014-07-02".into(), Value::Null]);
/// assert_eq!(table.column("mm"), Some(1));
/// assert_eq!(table.cell(0, "mm").and_then(Value::as_real), Some(0.5));
/// assert_eq!(table.cell(1, "mm"), Some(&Value::Null));
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// In the order in which they are written.
    pub columns: Vec<Column>,
    /// Of each row, a value for each column.
    pub rows: Vec<Vec<Value>>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    /// Of the header.
    pub name: String,
    /// What is promised of its cells.
    pub kind: ColumnKind,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColumnKind {
    /// Nothing is promised; each cell decides for itself.
    #[default]
    Any,
    /// Integers or nothing.
    Integer,
    /// Numbers with a fraction or nothing.
    Real,
    /// Texts or nothing.
    Text,
}

/// The value of one cell, as SQLite knows values. In `giornata::api` it is `Cell`.
///
/// ```
/// use giornata::io::Value;
/// assert_eq!((Value::from(2).as_real(), Value::from(2).as_integer()), (Some(2.0), Some(2)));
/// assert_eq!(Value::from(0.5).as_integer(), None);
/// assert_eq!(Value::from("eu").as_text(), Some("eu"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// An integer of 64 bits.
    Integer(i64),
    /// A number of double precision.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// The number, of an integer too; `None` if it is none. An integer beyond 2^53 is rounded. See the example
    /// of [`Value`].
    pub fn as_real(&self) -> Option<f64> {
        match self {
            Value::Integer(integer) => Some(*integer as f64),
            Value::Real(real) => Some(*real),
            Value::Null | Value::Text(_) | Value::Blob(_) => None,
        }
    }

    /// The number, if it is an integer; see the example of [`Value`].
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Value::Integer(integer) => Some(*integer),
            Value::Null | Value::Real(_) | Value::Text(_) | Value::Blob(_) => None,
        }
    }

    /// The text, if it is one; see the example of [`Value`].
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_) => None,
        }
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Value {
        Value::Integer(integer)
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Value {
        Value::Real(real)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl Table {
    /// A table without rows; columns promise no type. See the example of [`Table`].
    pub fn with_columns<'a>(names: impl IntoIterator<Item = &'a str>) -> Table {
        let column = |name: &str| Column { name: name.to_owned(), kind: ColumnKind::Any };
        Table { columns: names.into_iter().map(column).collect(), rows: Vec::new() }
    }

    /// The place of a column, counted from 0; see the example of [`Table`].
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The value in a row, counted from 0, under a column.
    ///
    /// ```
    /// use giornata::io::Table;
    /// let mut table = Table::with_columns(["day", "rain"]);
    /// table.rows.push(vec!["2014-07-01".into(), 0.5.into()]);
    /// assert_eq!(table.cell(0, "rain").and_then(|cell| cell.as_real()), Some(0.5));
    /// assert_eq!(table.cell(0, "snow"), None);
    /// ```
    pub fn cell(&self, row: usize, column: &str) -> Option<&Value> {
        self.rows.get(row)?.get(self.column(column)?)
    }

    /// The schema that a writer records: a column has the kind that all its values share.
    ///
    /// What the columns' own kinds say is not asked, so that equal values give equal schemas. A
    /// column without values is of kind `Any`: a table without rows cannot know better.
    ///
    /// ```
    /// use giornata::io::{ColumnKind, Table};
    /// let mut table = Table::with_columns(["day", "mm"]);
    /// table.rows.push(vec!["2014-07-01".into(), 2.into()]);
    /// assert_eq!(table.schema().0[1].kind, ColumnKind::Integer);
    /// table.rows.push(vec!["2014-07-02".into(), 0.5.into()]);
    /// assert_eq!(table.schema().0[1].kind, ColumnKind::Any);
    /// ```
    pub fn schema(&self) -> Schema {
        let column = |(place, column): (usize, &Column)| Column {
            name: column.name.clone(),
            kind: self.kind_of_values(place),
        };
        Schema(self.columns.iter().enumerate().map(column).collect())
    }

    fn kind_of_values(&self, place: usize) -> ColumnKind {
        let mut shared = None;
        for row in &self.rows {
            let kind = match &row[place] {
                Value::Null => continue,
                Value::Integer(_) => ColumnKind::Integer,
                Value::Real(_) => ColumnKind::Real,
                Value::Text(_) => ColumnKind::Text,
                Value::Blob(_) => return ColumnKind::Any,
            };
            if *shared.get_or_insert(kind) != kind {
                return ColumnKind::Any;
            }
        }
        shared.unwrap_or_default()
    }

    /// Whether it is a table: every column has a name of its own, and every row a value for each.
    pub(super) fn check_whole(&self) -> Result<(), Error> {
        check_names(self.columns.iter().map(|column| column.name.as_str()))?;
        let expected = self.columns.len();
        let wrong = self.rows.iter().enumerate().find(|(_, row)| row.len() != expected);
        match wrong {
            Some((index, row)) => {
                Err(Error::RowLength { row: index + 1, found: row.len(), expected })
            }
            None => Ok(()),
        }
    }

    /// Whether a text format can hold the table: what every writer asks first.
    pub(super) fn check_writable(&self) -> Result<(), Error> {
        self.check_whole()?;
        for (index, row) in self.rows.iter().enumerate() {
            for (column, value) in self.columns.iter().zip(row) {
                check_value(value, index + 1, &column.name)?;
            }
        }
        Ok(())
    }
}

/// Every column has a name of its own.
pub(super) fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let mut seen = HashSet::new();
    for (place, name) in names.enumerate() {
        if name.is_empty() {
            return Err(Error::UnnamedColumn { place: place + 1 });
        }
        if !seen.insert(name) {
            return Err(Error::TwoColumns { column: name.to_owned() });
        }
    }
    Ok(())
}

fn check_value(value: &Value, row: usize, column: &str) -> Result<(), Error> {
    match value {
        Value::Real(real) if !real.is_finite() => {
            Err(Error::NotFinite { row, column: column.to_owned(), value: real.to_string() })
        }
        Value::Blob(_) => Err(Error::Blob { row, column: column.to_owned() }),
        Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_) => Ok(()),
    }
}

impl ColumnKind {
    fn name(self) -> &'static str {
        match self {
            ColumnKind::Any => "any",
            ColumnKind::Integer => "integer",
            ColumnKind::Real => "real",
            ColumnKind::Text => "text",
        }
    }

    fn parse(name: &str) -> Option<ColumnKind> {
        [ColumnKind::Any, ColumnKind::Integer, ColumnKind::Real, ColumnKind::Text]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl From<ColumnType> for ColumnKind {
    fn from(declared: ColumnType) -> ColumnKind {
        match declared {
            ColumnType::Text => ColumnKind::Text,
            ColumnType::Integer => ColumnKind::Integer,
            ColumnType::Real => ColumnKind::Real,
        }
    }
}

/// The columns of a written table with their kinds, in order: `{"day":"text","rain":"real"}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schema(pub Vec<Column>);

impl Schema {
    pub fn to_text(&self) -> String {
        let entry = |column: &Column| (column.name.clone(), Json::from(column.kind.name()));
        Json::Object(self.0.iter().map(entry).collect()).to_string()
    }

    pub fn parse(text: &str) -> Result<Schema, Error> {
        let fail = |message: String| Error::Schema { schema: text.to_owned(), message };
        let map: Map<String, Json> =
            serde_json::from_str(text).map_err(|error| fail(error.to_string()))?;
        let column = |(name, kind): (String, Json)| {
            let kind = kind.as_str().and_then(ColumnKind::parse);
            let kind = kind.ok_or_else(|| fail(format!("column `{name}` has no known kind")))?;
            Ok(Column { name, kind })
        };
        map.into_iter().map(column).collect::<Result<_, _>>().map(Schema)
    }
}

/// The kinds by which a reader types its columns.
pub(super) struct Kinds<'a> {
    declared: &'a BTreeMap<String, ColumnType>,
    schema: Option<Schema>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(
        schema: Option<&str>,
        declared: &'a BTreeMap<String, ColumnType>,
    ) -> Result<Kinds<'a>, Error> {
        Ok(Kinds { declared, schema: schema.map(Schema::parse).transpose()? })
    }

    /// The declared type wins, since it is the later word of the user's.
    pub(super) fn of(&self, name: &str) -> ColumnKind {
        if let Some(declared) = self.declared.get(name) {
            return (*declared).into();
        }
        let recorded = self.schema.iter().flat_map(|schema| &schema.0);
        recorded
            .filter(|column| column.name == name)
            .map(|column| column.kind)
            .next()
            .unwrap_or_default()
    }

    /// The recorded columns, for a file that names none of its own.
    pub(super) fn recorded(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }
}

/// The value of a cell of text; `line` and `column` are for the message.
pub(super) fn read_cell(
    text: &str,
    kind: ColumnKind,
    line: u64,
    column: &str,
) -> Result<Value, Error> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let value = match kind {
        ColumnKind::Any => return Ok(infer(text)),
        ColumnKind::Text => return Ok(Value::Text(text.to_owned())),
        ColumnKind::Integer => text.parse().ok().map(Value::Integer),
        ColumnKind::Real => {
            text.parse().ok().filter(|real: &f64| real.is_finite()).map(Value::Real)
        }
    };
    value.ok_or_else(|| wrong_type(text, kind, line, column))
}

pub(super) fn wrong_type(value: &str, kind: ColumnKind, line: u64, column: &str) -> Error {
    let expected = match kind {
        ColumnKind::Any => "a value",
        ColumnKind::Integer => "an integer of 64 bits",
        ColumnKind::Real => "a finite number",
        ColumnKind::Text => "text",
    };
    Error::WrongType { line, column: column.to_owned(), value: value.to_owned(), expected }
}

/// A cell is a number only if that loses nothing: `007`, `+1` and `1e5` (which may be an identifier
/// of hexadecimal digits) stay text.
pub(super) fn infer(text: &str) -> Value {
    if let Some(integer) = lossless_integer(text) {
        Value::Integer(integer)
    } else if let Some(real) = lossless_real(text) {
        Value::Real(real)
    } else {
        Value::Text(text.to_owned())
    }
}

fn lossless_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let plain = match digits {
        [] => false,
        [b'0'] => digits.len() == text.len(),
        [first, ..] => *first != b'0' && digits.iter().all(u8::is_ascii_digit),
    };
    if plain { text.parse().ok() } else { None }
}

fn lossless_real(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole_ok = digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && (!whole.is_empty() || fraction.is_some());
    let exponent_ok = exponent.is_none_or(|exponent| {
        let number = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !number.is_empty() && digits(number) && (fraction.is_some() || number != exponent)
    });
    if !whole_ok || !digits(fraction.unwrap_or("")) || !exponent_ok {
        return None;
    }
    if fraction.is_none() && exponent.is_none() {
        return None;
    }
    let significant = [whole, fraction.unwrap_or("")].concat();
    let significant = significant.trim_start_matches('0');
    let real: f64 = text.parse().ok()?;
    let underflow = real == 0.0 && !significant.is_empty();
    (significant.len() <= 17 && real.is_finite() && !underflow).then_some(real)
}

/// The shortest text that reads back as the same number, always with a point.
pub(super) fn real_text(real: f64) -> String {
    let text = format!("{real:?}");
    match text.find('e') {
        Some(at) if !text.contains('.') => format!("{}.0{}", &text[..at], &text[at..]),
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Value) {
        assert_eq!(infer(text), *expected, "{text}");
    }

    fn check_text(texts: &[&str]) {
        for text in texts {
            check(text, &Value::Text((*text).to_owned()));
        }
    }

    #[test]
    fn a_number_is_one_only_if_nothing_is_lost() {
        check("0", &Value::Integer(0));
        check("-7", &Value::Integer(-7));
        check("9223372036854775807", &Value::Integer(i64::MAX));
        check("-9223372036854775808", &Value::Integer(i64::MIN));
        check("12.50", &Value::Real(12.5));
        check("-0.0", &Value::Real(-0.0));
        check(".5", &Value::Real(0.5));
        check("1e-05", &Value::Real(1e-5));
        check("1.5e300", &Value::Real(1.5e300));
        check_text(&[
            "007", "+1", "-0", "1e5", "12e4567", "1.0e999", "1.5e-999", "1.", ".", "-", "e",
        ]);
        check_text(&["9223372036854775808", "1.2345678901234567890", "00.5", "inf", "NaN", "1_0"]);
        check_text(&[" 1", "1 ", "0x10", "1.2.3", "1.5e", "1.5e+", "--1", "2014-07-01", "１"]);
    }

    #[test]
    fn a_real_is_written_with_a_point() {
        assert_eq!(real_text(3.0), "3.0");
        assert_eq!(real_text(1e16), "1.0e16");
        assert_eq!(real_text(-0.0), "-0.0");
        assert_eq!(real_text(5e-324), "5.0e-324");
    }

    #[test]
    fn a_schema_keeps_the_order_of_columns() {
        let text = r#"{"z":"text","a":"any"}"#;
        assert_eq!(Schema::parse(text).unwrap().to_text(), text);
        assert!(Schema::parse(r#"{"z":"date"}"#).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_inferred_again(integer: i64, real in proptest::num::f64::NORMAL) {
            prop_assert_eq!(infer(&integer.to_string()), Value::Integer(integer));
            prop_assert_eq!(infer(&real_text(real)), Value::Real(real));
        }

        #[test]
        fn junk_does_not_panic(text in ".*|[-+.eE0-9]{0,20}") {
            match infer(&text) {
                Value::Integer(integer) => prop_assert_eq!(integer.to_string(), text),
                Value::Real(real) => prop_assert_eq!(text.parse::<f64>().unwrap(), real),
                Value::Text(same) => prop_assert_eq!(same, text),
                Value::Null | Value::Blob(_) => prop_assert!(false),
            }
        }
    }
}
