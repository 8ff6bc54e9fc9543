//! Figures by name: a table is columns of one length, and every column says what it holds and in which unit.

use crate::Name;
use std::borrow::Cow;
use std::fmt;

/// Why figures make no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Two columns of one name.
    #[error("table `{table}` has two columns named `{column}`: rename one")]
    Twice {
        /// Which table.
        table: Name,
        /// The name that both have.
        column: Name,
    },
    /// A column that is shorter or longer than the first.
    #[error(
        "table `{table}`: column `{column}` has {rows} rows and the first column has {first}: give each row a value"
    )]
    Rows {
        /// Which table.
        table: Name,
        /// The column that differs.
        column: Name,
        /// Its rows.
        rows: usize,
        /// The rows of the first column.
        first: usize,
    },
}

/// Columns of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    name: Name,
    says: String,
    columns: Vec<Column>,
}

impl Table {
    /// A table, with a sentence on what a row of it is. Its name is also that of its file.
    ///
    /// # Errors
    /// When two columns share a name or are not of one length.
    pub fn new(name: Name, says: impl Into<String>, columns: Vec<Column>) -> Result<Self, TableError> {
        let first = columns.first().map_or(0, Column::rows);
        for (at, column) in columns.iter().enumerate() {
            if columns.iter().take(at).any(|earlier| earlier.name == column.name) {
                return Err(TableError::Twice { table: name, column: column.name.clone() });
            }
            if column.rows() != first {
                let (rows, column) = (column.rows(), column.name.clone());
                return Err(TableError::Rows { table: name, column, rows, first });
            }
        }
        Ok(Self { name, says: says.into(), columns })
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What a row is.
    #[must_use]
    pub fn says(&self) -> &str {
        &self.says
    }

    /// The columns in their order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Column::rows)
    }

    /// The column of a name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }
}

/// Values of one kind, one a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    name: Name,
    unit: String,
    says: String,
    values: Values,
    /// Whether a row has a value, for a column that allows rows without. Those hold the kind's default.
    present: Option<Vec<bool>>,
}

impl Column {
    /// A column with a value in every row. The unit is a word such as `shares`, empty for plain numbers and for text; `says` is a
    /// sentence for somebody who sees the column for the first time.
    pub fn new<T: Value>(
        name: Name,
        unit: impl Into<String>,
        says: impl Into<String>,
        values: Vec<T>,
    ) -> Self {
        Self { name, unit: unit.into(), says: says.into(), values: T::values(values), present: None }
    }

    /// A column in which rows may have no value.
    pub fn optional<T: Value>(
        name: Name,
        unit: impl Into<String>,
        says: impl Into<String>,
        values: Vec<Option<T>>,
    ) -> Self {
        let present = values.iter().map(Option::is_some).collect();
        let values = T::values(values.into_iter().map(Option::unwrap_or_default).collect());
        Self { name, unit: unit.into(), says: says.into(), values, present: Some(present) }
    }

    /// What it is called.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// In what the values are counted.
    #[must_use]
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// What the values are.
    #[must_use]
    pub fn says(&self) -> &str {
        &self.says
    }

    /// The values. Rows without one hold the kind's default: see [`present`](Self::present).
    #[must_use]
    pub const fn values(&self) -> &Values {
        &self.values
    }

    /// Which rows have a value, where rows without are allowed.
    #[must_use]
    pub fn present(&self) -> Option<&[bool]> {
        self.present.as_deref()
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len()
    }

    /// What a row holds. `None` where it has no value or there is no such row.
    #[must_use]
    pub fn cell(&self, row: usize) -> Option<Cell<'_>> {
        let present = self.present.as_ref().is_none_or(|rows| rows.get(row).copied().unwrap_or_default());
        if present { self.values.cell(row) } else { None }
    }
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Counts and amounts.
    U64(Vec<u64>),
    /// Differences of them.
    I64(Vec<i64>),
    /// Sums of work: as decimal text where a format has no such integer.
    U128(Vec<u128>),
    /// Figures that were estimated.
    F64(Vec<f64>),
    /// Names.
    Text(Vec<String>),
}

impl Values {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::U64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U128(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The kind, as the heads of files call it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::U128(_) => "u128",
            Self::F64(_) => "f64",
            Self::Text(_) => "text",
        }
    }

    fn cell(&self, row: usize) -> Option<Cell<'_>> {
        Some(match self {
            Self::U64(values) => Cell::U64(*values.get(row)?),
            Self::I64(values) => Cell::I64(*values.get(row)?),
            Self::U128(values) => Cell::U128(*values.get(row)?),
            Self::F64(values) => Cell::F64(*values.get(row)?),
            Self::Text(values) => Cell::Text(values.get(row)?),
        })
    }
}

/// What a column can hold.
pub trait Value: Default {
    /// Values as those of a column.
    fn values(values: Vec<Self>) -> Values;
}

macro_rules! value {
    ($($kind:ty => $case:ident),*) => {
        $(impl Value for $kind {
            fn values(values: Vec<Self>) -> Values {
                Values::$case(values)
            }
        })*
    };
}

value!(u64 => U64, i64 => I64, u128 => U128, f64 => F64, String => Text);

/// One value. Its text is read back as the same value: floats have as many digits as it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// A count or an amount.
    U64(u64),
    /// A difference.
    I64(i64),
    /// A sum of work.
    U128(u128),
    /// A figure.
    F64(f64),
    /// A name.
    Text(&'a str),
}

impl Cell<'_> {
    /// As a place on an axis, rounded where it has more digits than fit. `None` for text.
    #[must_use]
    pub const fn number(&self) -> Option<f64> {
        match *self {
            Self::U64(value) => Some(value as f64),
            Self::I64(value) => Some(value as f64),
            Self::U128(value) => Some(value as f64),
            Self::F64(value) => Some(value),
            Self::Text(_) => None,
        }
    }

    /// As text, which is borrowed where it is text already.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U64(value) => write!(f, "{value}"),
            Self::I64(value) => write!(f, "{value}"),
            Self::U128(value) => write!(f, "{value}"),
            // The shortest text that is the same float, with an exponent where it is far from 1.
            Self::F64(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn columns_of_a_table_have_one_length_and_a_name_each() {
        let age = Column::new(name("age"), "shares", "The round's age.", vec![1_u64, 2]);
        let gain = Column::optional(name("gain"), "", "What a hopper earns.", vec![Some(0.5), None]);
        let table = Table::new(name("gains"), "One age.", vec![age.clone(), gain]).unwrap();
        assert_eq!(table.rows(), 2);
        let gain = table.column("gain").unwrap();
        assert_eq!((gain.cell(0), gain.cell(1), gain.cell(2)), (Some(Cell::F64(0.5)), None, None));
        assert_eq!(age.cell(1), Some(Cell::U64(2)));

        let twice = Table::new(name("gains"), "", vec![age.clone(), age.clone()]);
        assert!(matches!(twice, Err(TableError::Twice { column, .. }) if column == name("age")));
        let short = Column::new(name("who"), "", "", vec!["a".to_owned()]);
        let refused = Table::new(name("gains"), "", vec![age, short]);
        assert!(matches!(refused, Err(TableError::Rows { rows: 1, first: 2, .. })));
    }

    #[test]
    fn a_cells_text_is_read_back_as_itself() {
        for value in [0.1, -0.0, 1e300, 5e-324, f64::MAX, f64::INFINITY] {
            let text = Cell::F64(value).to_string();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
            assert!(text.len() < 25, "{text}");
        }
        assert_eq!(Cell::U128(u128::MAX).text(), "340282366920938463463374607431768211455");
        assert_eq!(Cell::I64(i64::MIN).text(), "-9223372036854775808");
    }
}
