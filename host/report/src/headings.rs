//! What a file says besides its rows.

use crate::{Column, Head, Name, Table};
use serde::Serialize;

/// Of a column.
#[derive(Debug, Serialize)]
struct Heading<'a> {
    name: &'a Name,
    kind: &'static str,
    optional: bool,
    unit: &'a str,
    says: &'a str,
}

/// Of a table, and of what made it.
#[derive(Debug, Serialize)]
pub(crate) struct Headings<'a> {
    head: &'a Head,
    table: &'a Name,
    says: &'a str,
    columns: Vec<Heading<'a>>,
    rows: usize,
}

impl<'a> Headings<'a> {
    pub(crate) fn of(head: &'a Head, table: &'a Table) -> Self {
        let heading = |column: &'a Column| Heading {
            name: column.name(),
            kind: column.values().kind(),
            optional: column.present().is_some(),
            unit: column.unit(),
            says: column.says(),
        };
        let columns = table.columns().iter().map(heading).collect();
        Self { head, table: table.name(), says: table.says(), columns, rows: table.rows() }
    }
}
