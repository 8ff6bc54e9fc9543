//! JSON: one object, of which each row is an array on a line of its own.
//!
//! u64 and i64 are numbers: a reader whose numbers are floats loses the last digits above 2^53. u128 is text. A float that JSON has no
//! number for is `"NaN"`, `"inf"` or `"-inf"`; a row without a value has `null`.

use crate::headings::Headings;
use crate::{Cell, Head, Table, WriteError};
use std::io::Write;

/// Writes a table.
///
/// # Errors
/// When the writer fails.
pub fn write_json(head: &Head, table: &Table, mut out: impl Write) -> Result<(), WriteError> {
    out.write_all(b"{\"about\":")?;
    serde_json::to_writer(&mut out, &Headings::of(head, table))?;
    out.write_all(b",\n\"rows\":[")?;
    for row in 0..table.rows() {
        out.write_all(if row == 0 { b"\n[" } else { b",\n[" })?;
        for (at, column) in table.columns().iter().enumerate() {
            if at > 0 {
                out.write_all(b",")?;
            }
            match column.cell(row) {
                None => out.write_all(b"null")?,
                Some(cell @ (Cell::U64(_) | Cell::I64(_))) => write!(out, "{cell}")?,
                Some(Cell::F64(value)) if value.is_finite() => write!(out, "{value:?}")?,
                Some(cell) => serde_json::to_writer(&mut out, &cell.text())?,
            }
        }
        out.write_all(b"]")?;
    }
    out.write_all(b"\n]}\n")?;
    Ok(out.flush()?)
}
