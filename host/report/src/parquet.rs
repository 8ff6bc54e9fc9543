//! Parquet by its low-level writer: a column of the file is a column of the table, and nothing is nested.
//!
//! | values | physical | logical |
//! |---|---|---|
//! | u64 | INT64 | INT(64, unsigned) |
//! | i64 | INT64 | |
//! | u128 | BYTE_ARRAY, decimal digits | STRING |
//! | f64 | DOUBLE | |
//! | text | BYTE_ARRAY | STRING |
//!
//! Rows without a value are nulls of an OPTIONAL column. The file's keys are `millpond.head`, what made it, and
//! `millpond.table`, what the columns are: JSON both.

use crate::headings::Headings;
use crate::{Column, Head, Table, Values, WriteError};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

/// Who wrote the file. Not the writer's version, since a newer one that writes the same need not change the bytes.
const CREATED_BY: &str = "millpond report version 1";
/// Rows that are in memory twice while they are written.
const GROUP: usize = 1 << 18;

/// Writes a table.
///
/// # Errors
/// When the writer fails.
pub fn write_parquet(head: &Head, table: &Table, out: impl Write + Send) -> Result<(), WriteError> {
    let headings = Headings::of(head, table);
    let keys = vec![
        KeyValue::new("millpond.head".to_owned(), serde_json::to_string(head)?),
        KeyValue::new("millpond.table".to_owned(), serde_json::to_string(&headings)?),
    ];
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::SNAPPY)
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(Some(keys))
        .build();
    let fields = table.columns().iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Type::group_type_builder(table.name().as_str()).with_fields(fields).build()?;
    let mut file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
    let mut from = 0;
    while from < table.rows() {
        let rows = from..from.saturating_add(GROUP).min(table.rows());
        from = rows.end;
        let mut group = file.next_row_group()?;
        for column in table.columns() {
            match column.values() {
                Values::U64(values) => {
                    // Unsigned by its logical type: the same 64 bits.
                    put::<Int64Type, _>(&mut group, column, values, &rows, |value| value.cast_signed())
                }
                Values::I64(values) => put::<Int64Type, _>(&mut group, column, values, &rows, |value| *value),
                Values::U128(values) => put::<ByteArrayType, _>(&mut group, column, values, &rows, |value| {
                    ByteArray::from(value.to_string().into_bytes())
                }),
                Values::F64(values) => {
                    put::<DoubleType, _>(&mut group, column, values, &rows, |value| *value)
                }
                Values::Text(values) => put::<ByteArrayType, _>(&mut group, column, values, &rows, |value| {
                    ByteArray::from(value.as_bytes().to_vec())
                }),
            }?;
        }
        group.close()?;
    }
    Ok(file.into_inner()?.flush()?)
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let (physical, logical) = match column.values() {
        Values::U64(_) => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Values::I64(_) => (Physical::INT64, None),
        Values::F64(_) => (Physical::DOUBLE, None),
        Values::U128(_) | Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let repetition = if column.present().is_some() { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let field = Type::primitive_type_builder(column.name().as_str(), physical)
        .with_repetition(repetition)
        .with_logical_type(logical);
    Ok(Arc::new(field.build()?))
}

/// Some rows of one column: the values that are there, and which rows have one.
fn put<T: DataType, V>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    column: &Column,
    values: &[V],
    rows: &Range<usize>,
    stored: impl Fn(&V) -> T::T,
) -> Result<(), ParquetError> {
    let values = values.get(rows.clone()).unwrap_or_default();
    let present = column.present().map(|present| present.get(rows.clone()).unwrap_or_default());
    let levels: Option<Vec<i16>> =
        present.map(|present| present.iter().map(|there| i16::from(*there)).collect());
    let there: Vec<T::T> = match present {
        None => values.iter().map(stored).collect(),
        Some(present) => {
            values.iter().zip(present).filter(|(_, there)| **there).map(|(value, _)| stored(value)).collect()
        }
    };
    let mut writer = group
        .next_column()?
        .ok_or_else(|| ParquetError::General(format!("the schema has no column {}", column.name())))?;
    writer.typed::<T>().write_batch(&there, levels.as_deref(), None)?;
    writer.close()
}
