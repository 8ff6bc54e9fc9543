//! What a plot shows.

use crate::Axis;

/// A plot: axes, and what is drawn between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What it is of.
    pub title: String,
    /// What one sees in it, for somebody who sees such a plot for the first time.
    pub says: String,
    /// From left to right.
    pub x: Axis,
    /// From below to above.
    pub y: Axis,
    /// What is drawn, each in its own colour.
    pub series: Vec<Series>,
    /// Values of y with a word: what the rest is to be held against.
    pub across: Vec<(f64, String)>,
}

/// What has one name and one colour.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// As the legend has it.
    pub name: String,
    /// What is drawn, from behind to the front.
    pub shapes: Vec<Shape>,
}

/// Something drawn. Values that have no place on their axis are left out, and the plot says how many.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// From place to place, in this order. It breaks where one cannot be drawn.
    Line(Vec<(f64, f64)>),
    /// The space between a lower and an upper value over x, in this order.
    Band(Vec<Span>),
    /// A mark each, and its error from below to above where it is known.
    Points(Vec<Point>),
    /// A bar each, from 0 or the axis' lower end. Beside each other where several series have one at the same x.
    Bars(Vec<(f64, f64)>),
}

/// What lies over a place of x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Where.
    pub x: f64,
    /// From.
    pub low: f64,
    /// To.
    pub high: f64,
}

/// A figure at a place of x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// The figure.
    pub y: f64,
    /// Where it may be.
    pub error: Option<(f64, f64)>,
}

impl Chart {
    /// All values of x that something is drawn at.
    pub(crate) fn xs(&self) -> impl Iterator<Item = f64> {
        self.shapes().flat_map(|shape| -> Vec<f64> {
            match shape {
                Shape::Line(places) | Shape::Bars(places) => places.iter().map(|(x, _)| *x).collect(),
                Shape::Band(spans) => spans.iter().map(|span| span.x).collect(),
                Shape::Points(points) => points.iter().map(|point| point.x).collect(),
            }
        })
    }

    /// All values of y that something is drawn at.
    pub(crate) fn ys(&self) -> impl Iterator<Item = f64> {
        let across = self.across.iter().map(|(y, _)| *y);
        across.chain(self.shapes().flat_map(|shape| -> Vec<f64> {
            match shape {
                Shape::Line(places) => places.iter().map(|(_, y)| *y).collect(),
                // A bar's length is what is seen: it begins at 0 where there is one.
                Shape::Bars(places) => places.iter().map(|(_, y)| *y).chain([0.0]).collect(),
                Shape::Band(spans) => spans.iter().flat_map(|span| [span.low, span.high]).collect(),
                Shape::Points(points) => (points.iter())
                    .flat_map(|point| {
                        let (low, high) = point.error.unwrap_or((point.y, point.y));
                        [point.y, low, high]
                    })
                    .collect(),
            }
        }))
    }

    fn shapes(&self) -> impl Iterator<Item = &Shape> {
        self.series.iter().flat_map(|series| &series.shapes)
    }
}
