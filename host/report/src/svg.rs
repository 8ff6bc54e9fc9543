//! A plot as SVG, in lengths that are integers: the same bytes on any machine. Colours, dashes and sizes of text are classes of the
//! page's style, so that a plot is light or dark, and its text as large as a phone needs it.

use crate::axis::{Laid, Tick, raised};
use crate::escape::Escaped;
use crate::html::many;
use crate::{Axis, Chart, Point, Scale, Shape, Span};
use std::collections::BTreeSet;
use std::fmt::{self, Write};

const WIDTH: i32 = 6400;
const HEIGHT: i32 = 4000;
const LEFT: i32 = 950;
const RIGHT: i32 = 6120;
const TOP: i32 = 420;
/// The lower end of the space to draw in: higher up where names lie slanted below it.
const BOTTOM: i32 = 3350;
const BOTTOM_SLANTED: i32 = 2850;
/// Names that would fill more letters than this beside each other are slanted: what a phone has room for.
const LEVEL_LETTERS: usize = 46;
/// The longest name that fits below an axis.
const LONGEST: usize = 18;
/// How far apart two places must be to be drawn both: less than the thickness of a line.
const GRAIN: i32 = 10;
/// Half of a mark's size.
const MARK: i32 = 42;
/// Colours, and dashes, before they come again.
const COLOURS: usize = 8;
const DASHES: usize = 4;

/// A place in the picture.
type At = (i32, i32);

struct Drawing<'a> {
    x: Laid,
    y: Laid,
    bottom: i32,
    left_out: usize,
    out: &'a mut String,
}

/// Draws a plot, and gives how many values have no place in it. `id` is unlike that of all other plots of the page.
pub(crate) fn draw(chart: &Chart, id: usize, out: &mut String) -> Result<usize, fmt::Error> {
    let slanted = matches!(&chart.x.scale, Scale::Names(names) if letters(names) > LEVEL_LETTERS);
    let bottom = if slanted { BOTTOM_SLANTED } else { BOTTOM };
    let (x, y) = (Laid::out(&chart.x.scale, chart.xs()), Laid::out(&chart.y.scale, chart.ys()));
    writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"plot{id} says{id}\">"
    )?;
    writeln!(out, "<title id=\"plot{id}\">{}</title>", Escaped(&chart.title))?;
    writeln!(out, "<desc id=\"says{id}\">{}</desc>", Escaped(&chart.says))?;
    let mut drawing = Drawing { x, y, bottom, left_out: 0, out };
    drawing.axes(chart, slanted)?;
    let sets = chart.series.iter().filter(|series| series.shapes.iter().any(is_bars)).count();
    let mut set = 0;
    for (at, series) in chart.series.iter().enumerate() {
        let many = if many(series) { " many" } else { "" };
        writeln!(drawing.out, "<g class=\"{}{many}\">", classes(at))?;
        for shape in &series.shapes {
            match shape {
                Shape::Line(places) => drawing.line(places)?,
                Shape::Band(spans) => drawing.band(spans)?,
                Shape::Points(points) => drawing.points(points, at)?,
                Shape::Bars(places) => drawing.bars(places, set, sets)?,
            }
        }
        set += usize::from(series.shapes.iter().any(is_bars));
        drawing.out.push_str("</g>\n");
    }
    drawing.across(&chart.across)?;
    let left_out = drawing.left_out;
    out.push_str("</svg>\n");
    Ok(left_out)
}

/// What stands before a name in the legend.
pub(crate) fn key(at: usize, shapes: &[Shape], out: &mut String) -> fmt::Result {
    write!(
        out,
        "<svg class=\"key\" viewBox=\"0 0 400 200\" aria-hidden=\"true\"><g class=\"{}\">",
        classes(at)
    )?;
    for shape in shapes.iter().take(2) {
        match shape {
            Shape::Line(_) => out.push_str("<polyline points=\"0,100 400,100\"/>"),
            Shape::Band(_) => out.push_str("<polygon points=\"0,20 400,20 400,180 0,180\"/>"),
            Shape::Points(_) => mark(at, (200, 100), out)?,
            Shape::Bars(_) => out.push_str("<rect x=\"100\" y=\"20\" width=\"200\" height=\"160\"/>"),
        }
    }
    out.push_str("</g></svg>");
    Ok(())
}

fn classes(at: usize) -> String {
    format!("c{} d{}", at % COLOURS, (at / COLOURS + at) % DASHES)
}

fn is_bars(shape: &Shape) -> bool {
    matches!(shape, Shape::Bars(_))
}

fn mark(at: usize, (x, y): At, out: &mut String) -> fmt::Result {
    let size = MARK * 2;
    let (left, right, above, below) = (x - MARK, x + MARK, y - MARK, y + MARK);
    match at % DASHES {
        0 => write!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{MARK}\"/>"),
        1 => write!(out, "<rect x=\"{left}\" y=\"{above}\" width=\"{size}\" height=\"{size}\"/>"),
        2 => write!(out, "<path d=\"M{x} {above}L{right} {below}L{left} {below}Z\"/>"),
        _ => write!(out, "<path d=\"M{x} {above}L{right} {y}L{x} {below}L{left} {y}Z\"/>"),
    }
}

/// A part of a length, in whole units.
fn part(of: i32, place: f64) -> i32 {
    (f64::from(of) * place).round() as i32
}

impl Drawing<'_> {
    fn right(&self, place: f64) -> i32 {
        LEFT + part(RIGHT - LEFT, place)
    }

    fn up(&self, place: f64) -> i32 {
        self.bottom - part(self.bottom - TOP, place)
    }

    fn at(&mut self, x: f64, y: f64) -> Option<At> {
        let place = self.x.place(x).zip(self.y.place(y));
        if place.is_none() {
            self.left_out = self.left_out.saturating_add(1);
        }
        place.map(|(x, y)| (self.right(x), self.up(y)))
    }

    fn axes(&mut self, chart: &Chart, slanted: bool) -> fmt::Result {
        let (bottom, below) = (self.bottom, self.bottom + 210);
        for Tick { place, text } in self.y.ticks.clone() {
            let y = self.up(place);
            writeln!(self.out, "<path class=\"grid\" d=\"M{LEFT} {y}H{RIGHT}\"/>")?;
            writeln!(
                self.out,
                "<text class=\"end\" x=\"{}\" y=\"{}\">{}</text>",
                LEFT - 70,
                y + 50,
                Escaped(&text)
            )?;
        }
        let named = matches!(chart.x.scale, Scale::Names(_));
        for Tick { place, text } in self.x.ticks.clone() {
            let x = self.right(place);
            if !named {
                writeln!(self.out, "<path class=\"grid\" d=\"M{x} {TOP}V{bottom}\"/>")?;
            }
            let text = short(&text);
            if slanted {
                writeln!(
                    self.out,
                    "<text class=\"end\" x=\"{x}\" y=\"{below}\" transform=\"rotate(-30 {x} {below})\">{}</text>",
                    Escaped(&text)
                )?;
            } else {
                writeln!(
                    self.out,
                    "<text class=\"middle\" x=\"{x}\" y=\"{below}\">{}</text>",
                    Escaped(&text)
                )?;
            }
        }
        writeln!(self.out, "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{RIGHT}\"/>")?;
        let (x, y) = (label(&chart.x, &self.x), label(&chart.y, &self.y));
        writeln!(
            self.out,
            "<text class=\"end\" x=\"{RIGHT}\" y=\"{}\">{}</text>",
            HEIGHT - 120,
            Escaped(&x)
        )?;
        writeln!(self.out, "<text x=\"60\" y=\"{}\">{}</text>", TOP - 210, Escaped(&y))
    }

    fn line(&mut self, places: &[(f64, f64)]) -> fmt::Result {
        let mut piece = Vec::new();
        for (x, y) in places {
            match self.at(*x, *y) {
                Some(at) => piece.push(at),
                None => self.piece(&mut piece)?,
            }
        }
        self.piece(&mut piece)
    }

    /// Ends a piece of a line.
    fn piece(&mut self, piece: &mut Vec<At>) -> fmt::Result {
        let mut places = thinned(piece);
        piece.clear();
        // A place alone is seen by the round ends of lines.
        if let [only] = places.as_slice() {
            places.push(*only);
        }
        self.polygon("polyline", &places)
    }

    fn band(&mut self, spans: &[Span]) -> fmt::Result {
        let (mut above, mut below) = (Vec::new(), Vec::new());
        for span in spans {
            let ends = self.y.place_or_end(span.low).zip(self.y.place_or_end(span.high));
            match self.x.place(span.x).zip(ends) {
                Some((x, (low, high))) => {
                    above.push((self.right(x), self.up(high)));
                    below.push((self.right(x), self.up(low)));
                }
                None => {
                    self.left_out = self.left_out.saturating_add(1);
                    self.strip(&mut above, &mut below)?;
                }
            }
        }
        self.strip(&mut above, &mut below)
    }

    fn strip(&mut self, above: &mut Vec<At>, below: &mut Vec<At>) -> fmt::Result {
        let mut around = thinned(above);
        around.extend(thinned(below).into_iter().rev());
        above.clear();
        below.clear();
        self.polygon("polygon", &around)
    }

    fn polygon(&mut self, element: &str, places: &[At]) -> fmt::Result {
        if places.is_empty() {
            return Ok(());
        }
        write!(self.out, "<{element} points=\"")?;
        for (at, (x, y)) in places.iter().enumerate() {
            write!(self.out, "{}{x},{y}", if at == 0 { "" } else { " " })?;
        }
        self.out.push_str("\"/>\n");
        Ok(())
    }

    fn points(&mut self, points: &[Point], series: usize) -> fmt::Result {
        let mut seen = BTreeSet::new();
        for point in points {
            let Some((x, y)) = self.at(point.x, point.y) else { continue };
            // Marks that lie on each other are one, unless they have an error to show.
            if point.error.is_none() && !seen.insert((x / GRAIN, y / GRAIN)) {
                continue;
            }
            let error =
                point.error.and_then(|(low, high)| self.y.place_or_end(low).zip(self.y.place_or_end(high)));
            if let Some((low, high)) = error {
                let (low, high, left, right) = (self.up(low), self.up(high), x - MARK, x + MARK);
                let path = format!("M{x} {low}V{high}M{left} {low}H{right}M{left} {high}H{right}");
                write!(self.out, "<path class=\"error\" d=\"{path}\"/>")?;
            }
            mark(series, (x, y), self.out)?;
            self.out.push('\n');
        }
        Ok(())
    }

    /// The `set`-th of `sets` bars at each x.
    fn bars(&mut self, places: &[(f64, f64)], set: usize, sets: usize) -> fmt::Result {
        // Two thirds of what one name has, or of what there would be for each if they lay next to each other.
        let slots = if self.x.ticks.is_empty() { 1 } else { self.x.ticks.len().max(places.len()) };
        let all = part(RIGHT - LEFT, 2.0 / (3.0 * slots as f64));
        let each = (all / i32::try_from(sets.max(1)).unwrap_or(i32::MAX)).max(GRAIN);
        let shift = each.saturating_mul(i32::try_from(set).unwrap_or(i32::MAX)).saturating_sub(all / 2);
        let zero = self.y.place_or_end(0.0).map_or(self.bottom, |place| self.up(place));
        for (x, y) in places {
            let Some((x, y)) = self.at(*x, *y) else { continue };
            let (above, height) = (y.min(zero), y.abs_diff(zero));
            let left = x.saturating_add(shift);
            writeln!(self.out, "<rect x=\"{left}\" y=\"{above}\" width=\"{each}\" height=\"{height}\"/>")?;
        }
        Ok(())
    }

    fn across(&mut self, across: &[(f64, String)]) -> fmt::Result {
        for (value, word) in across {
            let Some(place) = self.y.place(*value) else { continue };
            let y = self.up(place);
            writeln!(self.out, "<path class=\"across\" d=\"M{LEFT} {y}H{RIGHT}\"/>")?;
            writeln!(
                self.out,
                "<text class=\"end\" x=\"{}\" y=\"{}\">{}</text>",
                RIGHT - 40,
                y - 50,
                Escaped(word)
            )?;
        }
        Ok(())
    }
}

fn label(axis: &Axis, laid: &Laid) -> String {
    match laid.exponent {
        0 => axis.label.clone(),
        exponent => format!("{}, × 10{}", axis.label, raised(exponent)),
    }
}

/// As many letters as the longest name has, and a space, for each.
fn letters(names: &[String]) -> usize {
    let longest = names.iter().map(|name| short(name).chars().count()).max().unwrap_or_default();
    longest.saturating_add(1).saturating_mul(names.len())
}

fn short(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(LONGEST - 1).collect();
    cut.push('…');
    cut
}

/// The same line with no more places than can be told apart: of those over one grain of x the first, the lowest, the highest and the
/// last, in their order.
fn thinned(places: &[At]) -> Vec<At> {
    let mut thin: Vec<At> = Vec::new();
    for over in places.chunk_by(|a, b| a.0 / GRAIN == b.0 / GRAIN) {
        let numbered = || over.iter().enumerate();
        let ends = [
            (!over.is_empty()).then_some(0),
            numbered().min_by_key(|(_, at)| at.1).map(|(at, _)| at),
            numbered().max_by_key(|(_, at)| at.1).map(|(at, _)| at),
            over.len().checked_sub(1),
        ];
        let kept: BTreeSet<usize> = ends.into_iter().flatten().collect();
        thin.extend(kept.into_iter().filter_map(|at| over.get(at)));
    }
    thin.dedup();
    thin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Series;
    use proptest::prelude::*;

    fn chart(x: Axis, y: Axis, shapes: Vec<Shape>) -> Chart {
        let series = vec![Series { name: "one".into(), shapes }];
        Chart { title: "A & B".into(), says: "<b>".into(), x, y, series, across: vec![(1.0, "even".into())] }
    }

    fn drawn(chart: &Chart) -> (String, usize) {
        let mut out = String::new();
        let left_out = draw(chart, 1, &mut out).unwrap();
        (out, left_out)
    }

    #[test]
    fn a_line_goes_from_corner_to_corner() {
        let line = Shape::Line(vec![(0.0, 0.0), (10.0, 10.0)]);
        let (out, left_out) = drawn(&chart(Axis::linear("x"), Axis::linear("y"), vec![line]));
        assert!(out.contains(&format!("<polyline points=\"{LEFT},{BOTTOM} {RIGHT},{TOP}\"/>")), "{out}");
        assert!(out.contains("<title id=\"plot1\">A &amp; B</title>") && !out.contains("<b>"));
        assert_eq!(left_out, 0);
    }

    #[test]
    fn a_line_breaks_where_nothing_can_be_drawn_and_the_plot_counts_it() {
        let line = Shape::Line(vec![(1.0, 1.0), (2.0, 10.0), (3.0, 0.0), (4.0, 5.0), (f64::NAN, 1.0)]);
        let (out, left_out) = drawn(&chart(Axis::linear("x"), Axis::log("y"), vec![line]));
        assert_eq!(out.matches("<polyline").count(), 2);
        assert_eq!(left_out, 2);
    }

    #[test]
    fn bars_of_two_series_stand_beside_each_other_on_zero() {
        let names = vec!["a".to_owned(), "b".to_owned()];
        let bars = Shape::Bars(vec![(0.0, 2.0), (1.0, -1.0)]);
        let mut two = chart(Axis::names("", names), Axis::linear("y"), vec![bars]);
        two.series.push(two.series[0].clone());
        let (out, _) = drawn(&two);
        let document = roxmltree::Document::parse(&out).unwrap();
        let bars: Vec<(i32, i32, i32, i32)> = (document.descendants())
            .filter(|node| node.has_tag_name("rect"))
            .map(|node| {
                let number = |name| node.attribute(name).unwrap().parse::<i32>().unwrap();
                (number("x"), number("width"), number("y"), number("height"))
            })
            .collect();
        let [(x1, wide, top1, high1), (_, _, top2, high2), (x3, ..), _] = bars[..] else {
            panic!("{bars:?}")
        };
        assert_eq!(x3, x1 + wide);
        assert_eq!(top1 + high1, top2);
        // But for the rounding of each end.
        assert!((high1 - 2 * high2).abs() <= 2, "{bars:?}");
    }

    fn any_shape() -> impl Strategy<Value = Shape> {
        let places = || proptest::collection::vec((any::<f64>(), any::<f64>()), 0..6);
        let threes = || proptest::collection::vec((any::<f64>(), any::<f64>(), any::<f64>()), 0..6);
        prop_oneof![
            places().prop_map(Shape::Line),
            places().prop_map(Shape::Bars),
            threes().prop_map(|all| Shape::Band(
                all.into_iter().map(|(x, low, high)| Span { x, low, high }).collect()
            )),
            threes().prop_map(|all| {
                let point = |(x, y, far)| Point { x, y, error: (far > 0.0).then_some((y - far, y + far)) };
                Shape::Points(all.into_iter().map(point).collect())
            }),
        ]
    }

    fn any_scale() -> impl Strategy<Value = Scale> {
        prop_oneof![
            Just(Scale::Linear),
            Just(Scale::Log),
            proptest::collection::vec(any::<String>(), 0..7).prop_map(Scale::Names)
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_drawn_is_well_formed_and_within_the_picture(
            x in any_scale(), y in any_scale(), shapes in proptest::collection::vec(any_shape(), 0..4), label in any::<String>(),
        ) {
            let axis = |scale| Axis { label: label.clone(), scale };
            let (out, _) = drawn(&chart(axis(x), axis(y), shapes));
            let document = roxmltree::Document::parse(&out).unwrap();
            for node in document.descendants().filter(|node| node.is_element()) {
                for attribute in node.attributes().filter(|a| ["points", "d", "x", "y", "cx", "cy"].contains(&a.name())) {
                    let numbers = attribute.value().split(|c: char| !c.is_ascii_digit() && c != '-');
                    for number in numbers.filter(|text| !text.is_empty()) {
                        let number: i32 = number.parse().unwrap();
                        prop_assert!((-WIDTH..=2 * WIDTH).contains(&number), "{:?}", attribute);
                        if node.has_tag_name("polyline") || node.has_tag_name("polygon") || node.has_tag_name("circle") {
                            prop_assert!((0..=WIDTH).contains(&number), "{:?}", attribute);
                        }
                    }
                }
            }
        }

        #[test]
        fn a_thinned_line_keeps_its_ends_and_its_peaks(places in proptest::collection::vec((0..60_i32, 0..4000_i32), 1..200)) {
            let mut places = places;
            places.sort_by_key(|(x, _)| *x);
            let thin = thinned(&places);
            prop_assert_eq!((thin.first(), thin.last()), (places.first(), places.last()));
            prop_assert_eq!(thin.iter().map(|at| at.1).max(), places.iter().map(|at| at.1).max());
            prop_assert_eq!(thin.iter().map(|at| at.1).min(), places.iter().map(|at| at.1).min());
            prop_assert!(thin.len() <= 4 * 7);
        }
    }
}
