//! The Parquet format: one row group, compressed with Snappy, a column of the type that its values share.
//!
//! A column whose values are of several kinds is text, each cell as JSON, and says so. Of files that come
//! from elsewhere, dates, times and decimals are read as text, and what is nested is, too.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::bytes::Bytes;
use ::parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use ::parquet::record::Field;
use ::parquet::schema::types::{Type, TypePtr};

use super::table::{Kinds, check_names};
use super::{Column, ColumnKind, Encoded, Error, Table, TableIo, Value};
use crate::defs::ColumnType;

/// Reads and writes Parquet.
pub(super) struct Parquet;

impl TableIo for Parquet {
    fn write(&self, table: &Table) -> Result<Encoded, Error> {
        table.check_writable()?;
        let schema = table.schema();
        let bytes = write(table, &schema.0).map_err(wrong)?;
        Ok(Encoded { bytes, schema: schema.to_text() })
    }

    fn read(
        &self,
        bytes: &[u8],
        schema: Option<&str>,
        declared: &BTreeMap<String, ColumnType>,
    ) -> Result<Table, Error> {
        let kinds = Kinds::new(schema, declared)?;
        let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).map_err(wrong)?;
        let fields = reader.metadata().file_metadata().schema().get_fields().to_vec();
        check_names(fields.iter().map(|field| field.name()))?;
        let column = |field: &TypePtr| {
            let name = field.name().to_owned();
            Column { kind: kinds.of(&name), name }
        };
        let columns: Vec<Column> = fields.iter().map(column).collect();
        let is_json =
            |field: &TypePtr| field.get_basic_info().converted_type() == ConvertedType::JSON;
        let json: Vec<bool> = fields.iter().map(is_json).collect();
        let mut rows = Vec::new();
        for (row, number) in reader.get_row_iter(None).map_err(wrong)?.zip(1..) {
            let cells = row.map_err(wrong)?.into_columns();
            let cell = |((column, is_json), (_, field)): ((&Column, &bool), (String, Field))| {
                fit(value(field, *is_json)?, column, number)
            };
            rows.push(columns.iter().zip(&json).zip(cells).map(cell).collect::<Result<_, _>>()?);
        }
        Ok(Table { columns, rows })
    }
}

fn wrong(error: ParquetError) -> Error {
    Error::Parquet { message: error.to_string() }
}

fn write(table: &Table, columns: &[Column]) -> Result<Vec<u8>, ParquetError> {
    let fields = columns.iter().enumerate().map(|(place, column)| field(table, place, column));
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder("table").with_fields(fields).build()?;
    // Equal tables give equal bytes, whichever version of the writer wrote them.
    let properties = WriterProperties::builder()
        .set_created_by("giornata".to_owned())
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let mut place = 0;
    while let Some(mut column) = group.next_column()? {
        write_column(&mut column, table, place, columns[place].kind)?;
        column.close()?;
        place += 1;
    }
    group.close()?;
    writer.into_inner()
}

fn field(table: &Table, place: usize, column: &Column) -> Result<TypePtr, ParquetError> {
    let is_mixed = || table.rows.iter().any(|row| row[place] != Value::Null);
    let (physical, logical) = match column.kind {
        ColumnKind::Integer => (Physical::INT64, None),
        ColumnKind::Real => (Physical::DOUBLE, None),
        ColumnKind::Any if is_mixed() => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        ColumnKind::Text | ColumnKind::Any => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let builder = Type::primitive_type_builder(&column.name, physical);
    let field = builder.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()?;
    Ok(Arc::new(field))
}

fn write_column(
    column: &mut SerializedColumnWriter<'_>,
    table: &Table,
    place: usize,
    kind: ColumnKind,
) -> Result<(), ParquetError> {
    let values = || table.rows.iter().map(|row| &row[place]).filter(|value| **value != Value::Null);
    let there: Vec<i16> =
        table.rows.iter().map(|row| i16::from(row[place] != Value::Null)).collect();
    let written = match kind {
        ColumnKind::Integer => {
            let values: Vec<i64> = values().filter_map(Value::as_integer).collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&there), None)
        }
        ColumnKind::Real => {
            let values: Vec<f64> = values().filter_map(Value::as_real).collect();
            column.typed::<DoubleType>().write_batch(&values, Some(&there), None)
        }
        ColumnKind::Text => {
            let values: Vec<ByteArray> =
                values().filter_map(Value::as_text).map(ByteArray::from).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)
        }
        ColumnKind::Any => {
            let json = |value: &Value| match value {
                Value::Integer(integer) => integer.to_string(),
                Value::Real(real) => serde_json::Value::from(*real).to_string(),
                Value::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
                // Nothing was left out above, and blobs were refused before the first byte.
                Value::Null | Value::Blob(_) => "null".to_owned(),
            };
            let values: Vec<ByteArray> =
                values().map(|value| ByteArray::from(json(value).into_bytes())).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)
        }
    };
    written.map(drop)
}

/// A cell of a file.
fn value(field: Field, is_json: bool) -> Result<Value, Error> {
    let text = |field: &Field| Value::Text(field.to_string());
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::Integer(truth.into()),
        Field::Byte(number) => Value::Integer(number.into()),
        Field::Short(number) => Value::Integer(number.into()),
        Field::Int(number) => Value::Integer(number.into()),
        Field::Long(number) => Value::Integer(number),
        Field::UByte(number) => Value::Integer(number.into()),
        Field::UShort(number) => Value::Integer(number.into()),
        Field::UInt(number) => Value::Integer(number.into()),
        Field::ULong(number) => match i64::try_from(number) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Text(number.to_string()),
        },
        Field::Float16(number) => Value::Real(number.into()),
        Field::Float(number) => Value::Real(number.into()),
        Field::Double(number) => Value::Real(number),
        Field::Str(text) if is_json => from_json(&text)?,
        Field::Str(text) => Value::Text(text),
        Field::Bytes(bytes) => Value::Blob(bytes.data().to_vec()),
        Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_)
        | Field::Group(_)
        | Field::ListInternal(_)
        | Field::MapInternal(_) => text(&field),
    })
}

fn from_json(text: &str) -> Result<Value, Error> {
    let read: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| Error::Parquet { message: format!("`{text}` is no JSON: {error}") })?;
    Ok(match read {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Integer(truth.into()),
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(real)) => Value::Real(real),
            (None, None) => Value::Text(number.to_string()),
        },
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => Value::Text(text.to_owned()),
    })
}

/// The value as its column's type wants it; `row` counts from 1.
fn fit(value: Value, column: &Column, row: u64) -> Result<Value, Error> {
    let refuse = |value: &Value, expected| Error::WrongType {
        line: row,
        column: column.name.clone(),
        value: match value {
            Value::Text(text) => text.clone(),
            Value::Null | Value::Integer(_) | Value::Real(_) | Value::Blob(_) => {
                format!("{value:?}")
            }
        },
        expected,
    };
    match (column.kind, value) {
        (ColumnKind::Any, value)
        | (_, value @ Value::Null)
        | (ColumnKind::Integer, value @ Value::Integer(_))
        | (ColumnKind::Real, value @ Value::Real(_))
        | (ColumnKind::Text, value @ Value::Text(_)) => Ok(value),
        (ColumnKind::Real, Value::Integer(integer)) => Ok(Value::Real(integer as f64)),
        (ColumnKind::Text, Value::Integer(integer)) => Ok(Value::Text(integer.to_string())),
        (ColumnKind::Text, Value::Real(real)) => Ok(Value::Text(super::table::real_text(real))),
        (ColumnKind::Integer, value) => Err(refuse(&value, "an integer of 64 bits")),
        (ColumnKind::Real, value) => Err(refuse(&value, "a number")),
        (ColumnKind::Text, value) => Err(refuse(&value, "a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Table {
        let mut table = Table::with_columns(["day", "mm", "note"]);
        table.rows.push(vec!["2014-07-04".into(), 0.5.into(), 1.into()]);
        table.rows.push(vec![Value::Null, 2.0.into(), "x".into()]);
        table
    }

    #[test]
    fn columns_have_the_types_of_their_values() {
        let encoded = Parquet.write(&mixed()).unwrap();
        assert_eq!(&encoded.bytes[..4], b"PAR1");
        let reader = SerializedFileReader::new(Bytes::from(encoded.bytes)).unwrap();
        let schema = reader.metadata().file_metadata().schema_descr();
        let types: Vec<(Physical, ConvertedType)> = schema
            .columns()
            .iter()
            .map(|column| (column.physical_type(), column.converted_type()))
            .collect();
        assert_eq!(
            types,
            [
                (Physical::BYTE_ARRAY, ConvertedType::UTF8),
                (Physical::DOUBLE, ConvertedType::NONE),
                (Physical::BYTE_ARRAY, ConvertedType::JSON),
            ]
        );
    }

    #[test]
    fn a_file_says_its_types_itself_and_a_declared_one_is_held() {
        let encoded = Parquet.write(&mixed()).unwrap();
        let read = |declared: &[(&str, ColumnType)]| {
            let declared =
                declared.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
            Parquet.read(&encoded.bytes, None, &declared)
        };
        assert_eq!(read(&[]).unwrap().rows, mixed().rows);
        let text = read(&[("mm", ColumnType::Text)]).unwrap();
        assert_eq!(text.cell(0, "mm"), Some(&"0.5".into()));
        let error = read(&[("day", ColumnType::Integer)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 1: `2014-07-04` in column `day` is not an integer of 64 bits"
        );
        let error = Parquet.read(b"day,mm\n", None, &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, Error::Parquet { .. }), "{error}");
    }
}
