//! Figures written out for others: [`Table`]s as Parquet, CSV and JSON, and a [`Page`] of prose, tables and plots.
//!
//! The same figures are the same bytes, on any machine and each time: nothing here has a date, a path or a host, no order depends on a
//! hash, and what is rounded is rounded by integers or by `libm`. So two results can be compared by their digests.
//!
//! Every output carries its [`Head`]: the configuration's digest, the seed, and whose code the schemes were.

mod axis;
mod chart;
mod csv;
mod escape;
mod head;
mod headings;
mod html;
mod json;
mod name;
mod output;
mod parquet;
mod plots;
mod svg;
mod table;

pub use axis::{Axis, Scale};
pub use chart::{Chart, Point, Series, Shape, Span};
pub use csv::{write_csv, write_csv_head};
pub use head::{Head, SchemeHead};
pub use html::{Page, Part, SHOWN_ROWS, Section, write_html};
pub use json::write_json;
pub use name::{MAX_NAME, Name, NameError};
pub use output::{Format, FormatError, WriteError, write_folder};
pub use parquet::write_parquet;
pub use plots::{Drawn, PlotError, bars, gain_by_age, payout_paths, ruin, variance_by_fee};
pub use table::{Cell, Column, Table, TableError, Value, Values};
