//! One page of a result: prose, plots, tables, and what made them. It is one file, asks for nothing from anywhere, runs nothing, and is XML
//! as well as HTML, so that any parser can hold it to that. All text of others is escaped.

use crate::escape::Escaped;
use crate::{Cell, Chart, Column, Head, Series, Shape, Table, Values, WriteError, svg};
use std::fmt::{self, Write as _};
use std::io;

/// Rows of a table that the page shows.
pub const SHOWN_ROWS: usize = 100;
/// Digits of a float that the page shows.
const DIGITS: usize = 6;
/// More lines than this of one series are drawn thin.
const MANY: usize = 3;

const STYLE: &str = include_str!("page.css");

/// What a page says.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<'a> {
    /// Of the whole page.
    pub title: String,
    /// What was done, in a paragraph.
    pub lead: String,
    /// One question each.
    pub sections: Vec<Section<'a>>,
}

/// A question and what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Section<'a> {
    /// Its heading.
    pub title: String,
    /// Plots, tables and prose in their order.
    pub parts: Vec<Part<'a>>,
}

/// A part of a section.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'a> {
    /// A paragraph.
    Text(String),
    /// A plot.
    Chart(Chart),
    /// The first rows of a table.
    Table(&'a Table),
}

/// Writes the page.
///
/// # Errors
/// When the writer fails.
pub fn write_html(head: &Head, page: &Page<'_>, mut out: impl io::Write) -> Result<(), WriteError> {
    let mut text = String::new();
    write_page(head, page, &mut text).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn write_page(head: &Head, page: &Page<'_>, out: &mut String) -> fmt::Result {
    let title = Escaped(&page.title);
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n");
    // Whatever should slip into the page, a browser neither runs nor fetches it.
    out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;\"/>\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n");
    writeln!(
        out,
        "<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>"
    )?;
    paragraph(&page.lead, out)?;
    let mut charts = 0_usize;
    for section in &page.sections {
        writeln!(out, "<section>\n<h2>{}</h2>", Escaped(&section.title))?;
        for part in &section.parts {
            match part {
                Part::Text(text) => paragraph(text, out)?,
                Part::Table(table) => write_table(table, out)?,
                Part::Chart(chart) => {
                    charts = charts.saturating_add(1);
                    figure(chart, charts, out)?;
                }
            }
        }
        out.push_str("</section>\n");
    }
    made_by(head, out)?;
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

fn paragraph(text: &str, out: &mut String) -> fmt::Result {
    if text.is_empty() { Ok(()) } else { writeln!(out, "<p>{}</p>", Escaped(text)) }
}

fn figure(chart: &Chart, id: usize, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "<figure>\n<figcaption><strong>{}</strong> {}</figcaption>",
        Escaped(&chart.title),
        Escaped(&chart.says)
    )?;
    let left_out = svg::draw(chart, id, out)?;
    out.push_str("<ul class=\"legend\">");
    for (at, series) in chart.series.iter().enumerate() {
        out.push_str("<li>");
        svg::key(at, &series.shapes, out)?;
        write!(out, "{}</li>", Escaped(&series.name))?;
    }
    out.push_str("</ul>\n");
    if left_out > 0 {
        let (values, have) = if left_out == 1 { ("value", "has") } else { ("values", "have") };
        writeln!(
            out,
            "<p class=\"note\">{left_out} {values} {have} no place on these axes: not finite, or not above 0 on a logarithmic one.</p>"
        )?;
    }
    out.push_str("</figure>\n");
    Ok(())
}

fn write_table(table: &Table, out: &mut String) -> fmt::Result {
    let name = table.name();
    // What scrolls must be reachable without a mouse.
    writeln!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table {name}\">\n<table>"
    )?;
    writeln!(out, "<caption>{}</caption>\n<thead><tr>", Escaped(table.says()))?;
    for column in table.columns() {
        write!(
            out,
            "<th scope=\"col\" class=\"{}\">{}",
            class(column),
            Escaped(&spoken(column.name().as_str()))
        )?;
        if !column.unit().is_empty() {
            write!(out, "<small>{}</small>", Escaped(column.unit()))?;
        }
        out.push_str("</th>\n");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in 0..table.rows().min(SHOWN_ROWS) {
        out.push_str("<tr>");
        for column in table.columns() {
            let text = column.cell(row).map(shown).unwrap_or_default();
            write!(out, "<td class=\"{}\">{}</td>", class(column), Escaped(&text))?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    if table.rows() > SHOWN_ROWS {
        writeln!(
            out,
            "<p class=\"note\">The first {SHOWN_ROWS} of {} rows. The files named {name} have all.</p>",
            table.rows()
        )?;
    }
    out.push_str("<dl>\n");
    for column in table.columns().iter().filter(|column| !column.says().is_empty()) {
        let name = spoken(column.name().as_str());
        writeln!(out, "<dt>{}</dt><dd>{}</dd>", Escaped(&name), Escaped(column.says()))?;
    }
    out.push_str("</dl>\n");
    Ok(())
}

fn class(column: &Column) -> &'static str {
    if matches!(column.values(), Values::Text(_)) { "text" } else { "number" }
}

/// A name as one would say it.
pub(crate) fn spoken(name: &str) -> String {
    name.replace('_', " ")
}

/// A value as a person reads it.
fn shown(cell: Cell<'_>) -> String {
    match cell {
        Cell::F64(value) => rounded(value),
        other => other.to_string().replace('-', "\u{2212}"),
    }
}

/// A float with some digits, without those that say nothing.
fn rounded(value: f64) -> String {
    let text = format!("{value:.*e}", DIGITS - 1);
    let Some((digits, power)) = text.split_once('e') else {
        return text.replace('-', "\u{2212}");
    };
    let power: i32 = power.parse().unwrap_or_default();
    let text = if (-4..=9).contains(&power) {
        // As many places as the digits ask for, and none for those left of the point.
        let places = usize::try_from((DIGITS as i32 - 1).saturating_sub(power)).unwrap_or(0);
        trimmed(&format!("{value:.places$}")).to_owned()
    } else {
        format!("{} · 10{}", trimmed(digits), crate::axis::raised(power))
    };
    text.replace('-', "\u{2212}")
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

fn made_by(head: &Head, out: &mut String) -> fmt::Result {
    out.push_str("<section>\n<h2>What made this</h2>\n<dl>\n");
    let mut row =
        |name: &str, value: &str| writeln!(out, "<dt>{}</dt><dd>{}</dd>", Escaped(name), Escaped(value));
    row("configuration (BLAKE3)", &head.config.to_string())?;
    row("seed", &head.seed.to_string())?;
    row("replications", &head.replications.to_string())?;
    row("random stream", &head.stream)?;
    row("version", &head.version)?;
    for scheme in &head.schemes {
        let how = if scheme.native { "run natively, of the component" } else { "component" };
        row(&scheme.name, &format!("{how} {}, settings {}", scheme.component, scheme.settings))?;
    }
    out.push_str("</dl>\n</section>\n");
    Ok(())
}

/// Whether a series has so many lines that each is to be thin.
pub(crate) fn many(series: &Series) -> bool {
    series.shapes.iter().filter(|shape| matches!(shape, Shape::Line(_))).count() > MANY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_is_shown_by_its_first_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.25, "\u{2212}0.25"),
            (1.0 / 3.0, "0.333333"),
            (0.000_123_456_789, "0.000123457"),
            (1_234_567.891, "1234568"),
            (999_999.96, "1000000"),
            (6.02e23, "6.02 · 10²³"),
            (-1e-12, "\u{2212}1 · 10⁻¹²"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }
}
