//! Axes: from where to where, what is written at them, and where a value lies.
//!
//! Ticks are whole multiples of 1, 2 or 5 times a power of ten, and their text is made of those integers: no float is rounded into
//! text here.

use std::fmt::Write;

/// Beyond this a value is not drawn, and nearer to 0 than its inverse it is 0: what is computed from the rest stays a number.
const LARGEST: f64 = 1e300;
const SMALLEST: f64 = 1e-300;
/// A span smaller than this part of the values is widened, so that what is written at ticks differs.
const NARROWEST: f64 = 1e-4;
/// What a quotient may be off, in parts of a step.
const LAST_BITS: f64 = 1e-9;
/// Steps on a linear axis, about, and on a logarithmic one, at most: what fits on a phone.
const STEPS: f64 = 5.0;
const DECADES: i32 = 6;

/// How values become places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal ratios are equally far apart. What is not above 0 has no place.
    Log,
    /// One place a name, at 0, 1, 2, …
    Names(Vec<String>),
}

/// What an axis shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// What is measured, and its unit.
    pub label: String,
    /// How it is laid out.
    pub scale: Scale,
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Linear }
    }

    /// A logarithmic axis.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), scale: Scale::Log }
    }

    /// An axis of names.
    pub fn names(label: impl Into<String>, names: Vec<String>) -> Self {
        Self { label: label.into(), scale: Scale::Names(names) }
    }
}

/// Where something is written at an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// From 0, the axis' beginning, to 1.
    pub place: f64,
    /// What is written.
    pub text: String,
}

/// An axis laid out for the values that it shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Laid {
    from: f64,
    to: f64,
    log: bool,
    pub ticks: Vec<Tick>,
    /// The power of ten that what is written at ticks is to be multiplied by.
    pub exponent: i32,
}

impl Laid {
    /// Lays an axis out so that all values that can be drawn lie on it.
    pub fn out(scale: &Scale, values: impl Iterator<Item = f64>) -> Self {
        let drawn = values.filter_map(|value| drawable(value, *scale == Scale::Log));
        let ends = drawn.fold(None, |ends: Option<(f64, f64)>, value| {
            Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        match scale {
            Scale::Linear => linear(ends.unwrap_or((0.0, 1.0))),
            Scale::Log => log(ends.unwrap_or((1.0, 10.0))),
            Scale::Names(names) => {
                let (from, to) = (-0.5, names.len().max(1) as f64 - 0.5);
                let mut laid = Self { from, to, log: false, ticks: Vec::new(), exponent: 0 };
                laid.ticks = (names.iter().enumerate())
                    .map(|(at, name)| Tick { place: laid.along(at as f64), text: name.clone() })
                    .collect();
                laid
            }
        }
    }

    /// Where a value lies, from 0 to 1. `None` where it cannot be drawn.
    pub fn place(&self, value: f64) -> Option<f64> {
        drawable(value, self.log).map(|value| self.along(value))
    }

    /// Where a value lies, or the end that is nearest to it. `None` for what is no number.
    pub fn place_or_end(&self, value: f64) -> Option<f64> {
        if value.is_nan() {
            return None;
        }
        Some(self.place(value).unwrap_or(if value > self.to { 1.0 } else { 0.0 }))
    }

    fn along(&self, value: f64) -> f64 {
        let (from, to, value) = if self.log {
            (libm::log10(self.from), libm::log10(self.to), libm::log10(value))
        } else {
            (self.from, self.to, value)
        };
        ((value - from) / (to - from)).clamp(0.0, 1.0)
    }
}

fn drawable(value: f64, log: bool) -> Option<f64> {
    if !value.is_finite() || value.abs() > LARGEST || (log && value < SMALLEST) {
        None
    } else if value.abs() < SMALLEST {
        Some(0.0)
    } else {
        Some(value)
    }
}

fn linear((mut low, mut high): (f64, f64)) -> Laid {
    let size = low.abs().max(high.abs());
    let least = size * NARROWEST;
    if size == 0.0 {
        high = 1.0;
    } else if low == high {
        // One value is in the middle of as much as it is large.
        (low, high) = (low - size / 2.0, high + size / 2.0);
    } else if high - low < least {
        let middle = low / 2.0 + high / 2.0;
        (low, high) = (middle - least / 2.0, middle + least / 2.0);
    }
    let rough = high / STEPS - low / STEPS;
    let (mut power, digits) = exponent(rough);
    let mut leading = [1, 2, 5].into_iter().find(|leading| digits <= f64::from(*leading)).unwrap_or(10);
    if leading == 10 {
        (leading, power) = (1, power.saturating_add(1));
    }
    let step = f64::from(leading) * ten(power);
    // A value that is a tick is not beyond it by the last bits of a division.
    let (first, last) = ((low / step + LAST_BITS).floor() as i64, (high / step - LAST_BITS).ceil() as i64);
    let last = last.max(first.saturating_add(1));
    let (from, to) = (first as f64 * step, last as f64 * step);
    let (largest, _) = exponent(from.abs().max(to.abs()));
    let shift = if (-2..6).contains(&largest) { 0 } else { largest.div_euclid(3).saturating_mul(3) };
    let mut laid = Laid { from, to, log: false, ticks: Vec::new(), exponent: shift };
    laid.ticks = (first..=last)
        .map(|at| Tick {
            place: laid.along(at as f64 * step),
            text: decimal(at.saturating_mul(leading.into()), power.saturating_sub(shift)),
        })
        .collect();
    laid
}

fn log((low, high): (f64, f64)) -> Laid {
    // Places where something may be written: 1, 2 and 5 of each decade while there are few decades, else each or each k-th decade.
    let (bottom, _) = exponent(low);
    let (top, digits) = exponent(high);
    let top = if digits > 1.0 { top.saturating_add(1) } else { top }.max(bottom.saturating_add(1));
    let decades = top.saturating_sub(bottom);
    let leading: &[i32] = if decades <= 2 { &[1, 2, 5] } else { &[1] };
    let every = decades.saturating_add(DECADES - 1) / DECADES;
    let mut places: Vec<(i32, i32)> = (bottom..=top)
        .step_by(every.max(1).unsigned_abs() as usize)
        .flat_map(|power| leading.iter().map(move |digit| (*digit, power)))
        .collect();
    let value = |(digit, power): (i32, i32)| f64::from(digit) * ten(power);
    let (mut from, mut to) = (ten(bottom), ten(top));
    if decades <= 2 {
        from = places.iter().map(|place| value(*place)).filter(|place| *place <= low).fold(from, f64::max);
        to = places.iter().map(|place| value(*place)).filter(|place| *place >= high).fold(to, f64::min);
        if from >= to {
            // One value, and it is a place: the decade above it.
            to = from * 10.0;
        }
    }
    places.retain(|place| (from..=to).contains(&value(*place)));
    let mut laid = Laid { from, to, log: true, ticks: Vec::new(), exponent: 0 };
    laid.ticks = places
        .into_iter()
        .map(|place @ (digit, power)| Tick {
            place: laid.along(value(place)),
            text: power_text(digit, power),
        })
        .collect();
    laid
}

/// `digit` · 10^`power`: as a number while it is short.
fn power_text(digit: i32, power: i32) -> String {
    if (-4..6).contains(&power) {
        decimal(digit.into(), power)
    } else if digit == 1 {
        format!("10{}", raised(power))
    } else {
        format!("{digit}·10{}", raised(power))
    }
}

/// A power of ten as small digits above the line.
pub(crate) fn raised(power: i32) -> String {
    let digits = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let small = |c: char| match c.to_digit(10) {
        Some(digit) => digits.get(digit as usize).copied().unwrap_or(c),
        None => '⁻',
    };
    power.to_string().chars().map(small).collect()
}

/// `units` · 10^`power` in digits, with a real minus sign.
fn decimal(units: i64, power: i32) -> String {
    let mut digits = units.unsigned_abs().to_string();
    if power > 0 && units != 0 {
        digits.push_str(&"0".repeat(power.unsigned_abs() as usize));
    }
    let sign = if units < 0 { "−" } else { "" };
    let after = if power < 0 { power.unsigned_abs() as usize } else { 0 };
    let mut text = sign.to_owned();
    if after == 0 {
        text.push_str(&digits);
    } else {
        let padded = format!("{digits:0>width$}", width = after.saturating_add(1));
        let (whole, part) = padded.split_at(padded.len().saturating_sub(after));
        // Writing to a String does not fail.
        let _ = write!(text, "{whole}.{part}");
    }
    text
}

/// A positive number as its power of ten and what that is multiplied by, from 1 to below 10. By its text, which is exact.
fn exponent(value: f64) -> (i32, f64) {
    let text = format!("{value:e}");
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    (power.parse().unwrap_or_default(), digits.parse().unwrap_or(1.0))
}

/// A power of ten, rounded once.
fn ten(power: i32) -> f64 {
    format!("1e{power}").parse().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(scale: &Scale, values: &[f64]) -> (Vec<String>, i32) {
        let laid = Laid::out(scale, values.iter().copied());
        (laid.ticks.into_iter().map(|tick| tick.text).collect(), laid.exponent)
    }

    #[test]
    fn ticks_are_round_numbers() {
        let linear = |values: &[f64]| texts(&Scale::Linear, values);
        assert_eq!(linear(&[0.0, 1.0]).0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(linear(&[-3.0, 41.0]).0, ["−10", "0", "10", "20", "30", "40", "50"]);
        assert_eq!(linear(&[0.97, 1.021]).0, ["0.96", "0.98", "1.00", "1.02", "1.04"]);
        assert_eq!(linear(&[0.0, 3.0e8]), (["0", "100", "200", "300"].map(str::to_owned).to_vec(), 6));
        assert_eq!(linear(&[7.0, 7.0]).0, ["2", "4", "6", "8", "10", "12"]);
        assert_eq!(linear(&[]).0.len(), 6);
        assert_eq!(linear(&[2e-5, 4e-5]), (["20", "25", "30", "35", "40"].map(str::to_owned).to_vec(), -6));
    }

    #[test]
    fn decades_are_written_while_they_are_short() {
        let log = |values: &[f64]| texts(&Scale::Log, values).0;
        assert_eq!(log(&[0.02, 900.0]), ["0.01", "0.1", "1", "10", "100", "1000"]);
        assert_eq!(log(&[3.0, 40.0]), ["2", "5", "10", "20", "50"]);
        assert_eq!(log(&[1e-12, 0.5]), ["10⁻¹²", "10⁻¹⁰", "10⁻⁸", "10⁻⁶", "0.0001", "0.01", "1"]);
        assert_eq!(log(&[2.0e7, 2.0e7]), ["2·10⁷", "5·10⁷", "10⁸", "2·10⁸"]);
        assert_eq!(log(&[0.0, -1.0]), ["1", "2", "5", "10"]);
    }

    #[test]
    fn what_has_no_place_has_none() {
        let axis = Laid::out(&Scale::Log, [1.0, 100.0].into_iter());
        assert_eq!((axis.place(0.0), axis.place(f64::NAN), axis.place(-1.0)), (None, None, None));
        assert_eq!((axis.place_or_end(-1.0), axis.place_or_end(f64::INFINITY)), (Some(0.0), Some(1.0)));
        assert_eq!(axis.place_or_end(f64::NAN), None);
        assert_eq!(axis.place(10.0), Some(0.5));
    }

    #[test]
    fn names_lie_in_the_middle_of_their_places() {
        let axis = Laid::out(&Scale::Names(vec!["pps".into(), "pplns".into()]), [].into_iter());
        let places: Vec<f64> = axis.ticks.iter().map(|tick| tick.place).collect();
        assert_eq!(places, [0.25, 0.75]);
        assert_eq!(axis.place(1.0), Some(0.75));
    }

    fn any_values() -> impl Strategy<Value = Vec<f64>> {
        prop_oneof![
            proptest::collection::vec(any::<f64>(), 0..9),
            // Values that differ in their last digits only.
            (any::<f64>(), proptest::collection::vec(0.0..1.0, 0..5), -16..1_i32).prop_map(
                |(middle, parts, power)| {
                    parts.into_iter().map(|part: f64| middle * (1.0 + part * ten(power))).collect()
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn whatever_can_be_drawn_lies_between_ticks_in_its_order(values in any_values(), log in any::<bool>()) {
            let scale = if log { Scale::Log } else { Scale::Linear };
            let axis = Laid::out(&scale, values.iter().copied());
            prop_assert!((2..=9).contains(&axis.ticks.len()), "{:?}", axis);
            for pair in axis.ticks.windows(2) {
                prop_assert!(pair[0].place < pair[1].place && pair[0].text != pair[1].text, "{axis:?}");
            }
            prop_assert_eq!(axis.ticks[0].place, 0.0);
            prop_assert!(axis.ticks.iter().all(|tick| tick.text.chars().count() <= 10), "{:?}", axis);
            let mut drawn: Vec<f64> = values.iter().copied().filter(|v| drawable(*v, log).is_some()).collect();
            drawn.sort_by(f64::total_cmp);
            let places: Vec<f64> = drawn.iter().map(|value| axis.place(*value).unwrap()).collect();
            prop_assert!(places.windows(2).all(|pair| pair[0] <= pair[1]), "{axis:?} {drawn:?} {places:?}");
            // Not clamped: the ends hold them, but for the last bits of a product.
            let slack = 1e-9 * (axis.to - axis.from).abs();
            prop_assert!(drawn.iter().all(|v| axis.from - slack <= *v && *v <= axis.to + slack), "{axis:?} {drawn:?}");
        }

        #[test]
        fn a_ticks_text_is_its_value(low in -1e9..1e9_f64, span in 1e-3..1e9_f64) {
            let axis = Laid::out(&Scale::Linear, [low, low + span].into_iter());
            for tick in &axis.ticks {
                let written: f64 = tick.text.replace('−', "-").parse().unwrap();
                let place = axis.place(written * ten(axis.exponent)).unwrap();
                prop_assert!((place - tick.place).abs() < 1e-6, "{tick:?} {axis:?}");
            }
        }
    }
}
