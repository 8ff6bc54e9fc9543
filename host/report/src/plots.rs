//! The plots that a study of payout schemes begins with, from tables.
//!
//! Each takes the names of the columns that it draws, so that one table serves several plots; rows that are to be one line follow each
//! other.

use crate::html::spoken;
use crate::{Axis, Chart, Column, Point, Series, Shape, Span, Table, Values};

/// Why a table cannot be plotted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlotError {
    /// A column that is not there.
    #[error("table `{table}` has no column `{column}` to plot")]
    Missing {
        /// The table.
        table: String,
        /// What was asked for.
        column: String,
    },
    /// A column of text where a number is to be drawn.
    #[error("column `{column}` of table `{table}` is text, which has no place on an axis")]
    Text {
        /// The table.
        table: String,
        /// What was asked for.
        column: String,
    },
}

/// Which columns of a table are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawn<'a> {
    /// The table.
    pub table: &'a Table,
    /// What has a colour: rows with one value here are one series. In the order in which they come first.
    pub series: &'a str,
    /// From left to right.
    pub x: &'a str,
    /// From below to above.
    pub y: &'a str,
    /// From where to where y may be: two columns.
    pub between: Option<(&'a str, &'a str)>,
    /// What makes several lines of one series: a new one begins where this changes from row to row.
    pub path: Option<&'a str>,
}

/// The variance of what a miner earns against the fee that he pays for it: lower and further left is better for him.
///
/// # Errors
/// When a column is not there or has no numbers.
pub fn variance_by_fee(drawn: &Drawn<'_>) -> Result<Chart, PlotError> {
    let says = "A mark a setting: how much a miner's earnings vary against what he pays for it, with the interval that \
                holds the variance. Of two marks, one that is lower and further left is better for him; what lies on \
                neither side of another has to be chosen by taste.";
    chart("Variance against fee", says, drawn, Axis::linear, Axis::log, &points)
}

/// What somebody earns who mines only while a round is young, by the age at which he leaves, in parts of what he would earn by staying.
///
/// # Errors
/// When a column is not there or has no numbers.
pub fn gain_by_age(drawn: &Drawn<'_>) -> Result<Chart, PlotError> {
    let says = "What a miner earns for the same work who leaves when the round reaches an age, in parts of what one earns \
                who stays. Above the dashed line he gains, and those who stay pay it. A scheme that leaves nobody a \
                reason to hop lies on the line at every age.";
    let mut chart =
        chart("Gain of hopping by the round's age", says, drawn, Axis::linear, Axis::linear, &lines)?;
    chart.across.push((1.0, "as who stays".to_owned()));
    Ok(chart)
}

/// How likely an operator who pays in advance runs out, by what he set aside.
///
/// # Errors
/// When a column is not there or has no numbers.
pub fn ruin(drawn: &Drawn<'_>) -> Result<Chart, PlotError> {
    let says = "How likely an operator who bears the luck of blocks runs out of money, by the reserve that he begins with. \
                A straight line says that each further part of the reserve divides the risk by the same factor.";
    chart("Ruin by reserve", says, drawn, Axis::linear, Axis::log, &lines)
}

/// What was paid in the course of time, a line a replication.
///
/// # Errors
/// When a column is not there or has no numbers.
pub fn payout_paths(drawn: &Drawn<'_>) -> Result<Chart, PlotError> {
    let says = "What one miner was paid up to each time, a line a replication. How far the lines of one colour lie from \
                each other is luck; how steep they are on the whole is the scheme.";
    chart("Paths of payouts", says, drawn, Axis::linear, Axis::linear, &lines)
}

/// A figure a name, as bars: names in the order in which they come first, numbers in theirs.
///
/// # Errors
/// When a column is not there or has no numbers.
pub fn bars(title: &str, says: &str, drawn: &Drawn<'_>) -> Result<Chart, PlotError> {
    let rows = rows(drawn)?;
    let names = column(drawn.table, drawn.x)?;
    let mut first: Vec<usize> = Vec::new();
    for row in 0..drawn.table.rows() {
        if !first.iter().any(|known| names.cell(*known) == names.cell(row)) {
            first.push(row);
        }
    }
    let number = |row: usize| names.cell(row).and_then(|cell| cell.number()).unwrap_or_default();
    first.sort_by(|a, b| number(*a).total_cmp(&number(*b)));
    let places: Vec<String> = first.into_iter().map(|row| text(names, row)).collect();
    let place = |row: &Row| places.iter().position(|name| *name == text(names, row.row)).unwrap_or_default();
    let bar = |row: &Row| (place(row) as f64, row.y);
    let series = (rows.into_iter())
        .map(|(name, rows)| Series { name, shapes: vec![Shape::Bars(rows.iter().map(bar).collect())] })
        .collect();
    let y = Axis::linear(label(column(drawn.table, drawn.y)?));
    let x = Axis::names(label(names), places);
    Ok(Chart { title: title.into(), says: says.into(), x, y, series, across: Vec::new() })
}

struct Row {
    row: usize,
    x: f64,
    y: f64,
    between: Option<(f64, f64)>,
    path: Option<String>,
}

type Draw<'a> = &'a dyn Fn(&[Row]) -> Vec<Shape>;

fn chart(
    title: &str,
    says: &str,
    drawn: &Drawn<'_>,
    x: fn(String) -> Axis,
    y: fn(String) -> Axis,
    draw: Draw<'_>,
) -> Result<Chart, PlotError> {
    number_column(drawn.table, drawn.x)?;
    let series =
        (rows(drawn)?.into_iter()).map(|(name, rows)| Series { name, shapes: draw(&rows) }).collect();
    let (x, y) = (x(label(column(drawn.table, drawn.x)?)), y(label(column(drawn.table, drawn.y)?)));
    Ok(Chart { title: title.into(), says: says.into(), x, y, series, across: Vec::new() })
}

fn points(rows: &[Row]) -> Vec<Shape> {
    vec![Shape::Points(rows.iter().map(|row| Point { x: row.x, y: row.y, error: row.between }).collect())]
}

/// Bands behind, lines before them: one of each a path.
fn lines(rows: &[Row]) -> Vec<Shape> {
    let paths = || rows.chunk_by(|a, b| a.path == b.path);
    let band = |path: &[Row]| -> Vec<Span> {
        path.iter().filter_map(|row| row.between.map(|(low, high)| Span { x: row.x, low, high })).collect()
    };
    let bands = paths().map(band).filter(|spans| !spans.is_empty()).map(Shape::Band);
    bands.chain(paths().map(|path| Shape::Line(path.iter().map(|row| (row.x, row.y)).collect()))).collect()
}

/// The rows of each series in their order. A row without a value of x or y is left out, like one that was not measured.
fn rows(drawn: &Drawn<'_>) -> Result<Vec<(String, Vec<Row>)>, PlotError> {
    let table = drawn.table;
    let names = column(table, drawn.series)?;
    let (x, y) = (column(table, drawn.x)?, number_column(table, drawn.y)?);
    let between = match drawn.between {
        Some((low, high)) => Some((number_column(table, low)?, number_column(table, high)?)),
        None => None,
    };
    let path = drawn.path.map(|path| column(table, path)).transpose()?;
    let number = |column: &Column, row| column.cell(row).and_then(|cell| cell.number());
    let named = matches!(x.values(), Values::Text(_));
    let mut all: Vec<(String, Vec<Row>)> = Vec::new();
    for row in 0..table.rows() {
        let place = if named { Some(0.0) } else { number(x, row) };
        let Some((x, y)) = place.zip(number(y, row)) else { continue };
        let between = between.and_then(|(low, high)| number(low, row).zip(number(high, row)));
        let drawn = Row { row, x, y, between, path: path.map(|path| text(path, row)) };
        let name = text(names, row);
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rows)) => rows.push(drawn),
            None => all.push((name, vec![drawn])),
        }
    }
    Ok(all)
}

fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, PlotError> {
    table
        .column(name)
        .ok_or_else(|| PlotError::Missing { table: table.name().to_string(), column: name.to_owned() })
}

fn number_column<'a>(table: &'a Table, name: &str) -> Result<&'a Column, PlotError> {
    let column = column(table, name)?;
    if matches!(column.values(), Values::Text(_)) {
        return Err(PlotError::Text { table: table.name().to_string(), column: name.to_owned() });
    }
    Ok(column)
}

fn text(column: &Column, row: usize) -> String {
    column.cell(row).map(|cell| cell.text().into_owned()).unwrap_or_default()
}

fn label(column: &Column) -> String {
    let name = spoken(column.name().as_str());
    if column.unit().is_empty() { name } else { format!("{name} ({})", column.unit()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn table() -> Table {
        let schemes = ["prop", "prop", "pplns", "prop", "pplns"].map(str::to_owned).to_vec();
        let columns = vec![
            Column::new(name("scheme"), "", "The scheme.", schemes),
            Column::new(name("age"), "difficulties", "The round's age.", vec![0.1, 0.2, 0.1, 0.1, 0.2]),
            Column::optional(
                name("gain"),
                "",
                "Earned.",
                vec![Some(1.3), Some(1.2), Some(1.0), Some(1.1), None],
            ),
            Column::new(name("low"), "", "", vec![1.2, 1.1, 0.9, 1.0, 0.9]),
            Column::new(name("high"), "", "", vec![1.4, 1.3, 1.1, 1.2, 1.1]),
            Column::new(name("run"), "", "", vec![1_u64, 1, 1, 2, 1]),
        ];
        Table::new(name("gains"), "", columns).unwrap()
    }

    fn drawn(table: &Table) -> Drawn<'_> {
        let between = Some(("low", "high"));
        Drawn { table, series: "scheme", x: "age", y: "gain", between, path: Some("run") }
    }

    #[test]
    fn rows_of_one_scheme_are_one_series_and_of_one_path_one_line() {
        let table = table();
        let chart = gain_by_age(&drawn(&table)).unwrap();
        assert_eq!(chart.x.label, "age (difficulties)");
        let [prop, pplns] = chart.series.as_slice() else { panic!("{chart:?}") };
        assert_eq!((prop.name.as_str(), pplns.name.as_str()), ("prop", "pplns"));
        let [Shape::Band(_), Shape::Band(_), Shape::Line(first), Shape::Line(second)] =
            prop.shapes.as_slice()
        else {
            panic!("{prop:?}")
        };
        assert_eq!(
            (first.as_slice(), second.as_slice()),
            ([(0.1, 1.3), (0.2, 1.2)].as_slice(), [(0.1, 1.1)].as_slice())
        );
        // The row without a gain is not drawn.
        assert!(matches!(&pplns.shapes[1], Shape::Line(places) if places.len() == 1));
    }

    #[test]
    fn a_column_that_is_not_there_or_is_text_is_named() {
        let table = table();
        let missing = ruin(&Drawn { y: "risk", ..drawn(&table) }).unwrap_err();
        assert_eq!(missing.to_string(), "table `gains` has no column `risk` to plot");
        let no_number = variance_by_fee(&Drawn { x: "scheme", ..drawn(&table) }).unwrap_err();
        assert_eq!(
            no_number.to_string(),
            "column `scheme` of table `gains` is text, which has no place on an axis"
        );
    }

    #[test]
    fn bars_stand_at_the_places_of_their_names() {
        let table = table();
        let by = Drawn { series: "run", x: "scheme", ..drawn(&table) };
        let chart = bars("Gains", "", &by).unwrap();
        assert_eq!(chart.x, Axis::names("scheme", vec!["prop".into(), "pplns".into()]));
        assert_eq!(chart.series[0].shapes, [Shape::Bars(vec![(0.0, 1.3), (0.0, 1.2), (1.0, 1.0)])]);
        assert_eq!(chart.series[1].shapes, [Shape::Bars(vec![(0.0, 1.1)])]);

        let columns = vec![
            Column::new(name("of"), "", "", vec!["all".to_owned(); 3]),
            Column::new(name("miners"), "", "", vec![100_u64, 20, 100]),
            Column::new(name("gain"), "", "", vec![1.0, 2.0, 3.0]),
        ];
        let table = Table::new(name("sizes"), "", columns).unwrap();
        let by = Drawn { table: &table, series: "of", x: "miners", between: None, path: None, ..by };
        let chart = bars("Gains", "", &by).unwrap();
        assert_eq!(chart.x, Axis::names("miners", vec!["20".into(), "100".into()]));
        assert_eq!(chart.series[0].shapes, [Shape::Bars(vec![(1.0, 1.0), (0.0, 2.0), (1.0, 3.0)])]);
    }
}
