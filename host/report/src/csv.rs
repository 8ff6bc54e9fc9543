//! CSV: the names of the columns, then a line a row. What the columns are and what made them is in a file beside it, since CSV
//! has no place for it that every reader skips.
//!
//! A row without a value has an empty field, as has one with an empty text: JSON and Parquet tell them apart. Texts are as they are: a
//! program that takes one that begins with `=` for a formula is to be told that the column is text.

use crate::headings::Headings;
use crate::{Cell, Head, Table, WriteError};
use std::io::Write;

/// Writes the rows of a table.
///
/// # Errors
/// When the writer fails.
pub fn write_csv(table: &Table, out: impl Write) -> Result<(), WriteError> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(table.columns().iter().map(|column| column.name().as_str()))?;
    for row in 0..table.rows() {
        for column in table.columns() {
            let cell = column.cell(row).unwrap_or(Cell::Text(""));
            writer.write_field(cell.text().as_bytes())?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    Ok(writer.flush()?)
}

/// Writes what goes beside it: the head, and what the columns are.
///
/// # Errors
/// When the writer fails.
pub fn write_csv_head(head: &Head, table: &Table, mut out: impl Write) -> Result<(), WriteError> {
    serde_json::to_writer_pretty(&mut out, &Headings::of(head, table))?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}
