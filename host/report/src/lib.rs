//! Figures written out for others.

mod head;
mod name;
mod table;

pub use head::{Head, SchemeHead};
pub use name::{MAX_NAME, Name, NameError};
pub use table::{Cell, Column, Table, TableError, Value, Values};
