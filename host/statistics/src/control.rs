//! A mean beside others whose means are known.

use crate::{Estimate, Merge};

/// Control variates: what is known of the same samples takes its part of the luck out of a mean. A sample's figure less b · (control -
/// its known mean) has the same mean, and b is chosen so that the least spread is left.
///
/// A b that is taken from the very samples it corrects would bias the result. So samples fall to two halves in turn, each half is
/// corrected by the other's b, and the estimate is the mean of both: unbiased at any number of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Control<const N: usize> {
    known: [f64; N],
    halves: [Half<N>; 2],
    odd: bool,
}

/// Moments of a figure and of its controls.
#[derive(Clone, Debug, PartialEq)]
struct Half<const N: usize> {
    n: u64,
    figure: f64,
    controls: [f64; N],
    /// Sums of products of distances: of the figure, of it with each control, and of each control with each.
    spread: f64,
    with: [f64; N],
    among: [[f64; N]; N],
}

impl<const N: usize> Control<N> {
    /// With the known mean of each control.
    #[must_use]
    pub const fn new(known: [f64; N]) -> Self {
        const { assert!(N > 0, "without a control, moments do") };
        Self { known, halves: [Half::new(), Half::new()], odd: false }
    }

    /// Adds a sample: the figure and its controls.
    pub fn push(&mut self, figure: f64, controls: [f64; N]) {
        let [even, odd] = &mut self.halves;
        if self.odd { odd } else { even }.push(figure, controls);
        self.odd = !self.odd;
    }

    /// How many samples there are.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.halves[0].n.saturating_add(self.halves[1].n)
    }

    /// The mean of the figure, corrected. With fewer than two samples in a half its error is `NaN`.
    #[must_use]
    pub fn mean(&self) -> Estimate {
        let [even, odd] = &self.halves;
        let parts = [even.corrected(odd.slopes(), self.known), odd.corrected(even.slopes(), self.known)];
        let all = self.samples() as f64;
        let (mut value, mut variance) = (0.0, 0.0);
        for part in parts.iter().filter(|part| part.samples > 0) {
            let weight = part.samples as f64 / all;
            value += weight * part.value;
            variance += weight * weight * part.sigma * part.sigma;
        }
        Estimate::of(value, variance.sqrt(), self.samples())
    }

    /// The mean of the figure as it is.
    #[must_use]
    pub fn plain(&self) -> Estimate {
        let mut all = self.halves[0].clone();
        all.merge(&self.halves[1]);
        all.corrected([0.0; N], self.known)
    }
}

impl<const N: usize> Merge for Control<N> {
    fn merge(&mut self, next: &Self) {
        for (half, other) in self.halves.iter_mut().zip(&next.halves) {
            half.merge(other);
        }
    }
}

impl<const N: usize> Half<N> {
    const fn new() -> Self {
        Self { n: 0, figure: 0.0, controls: [0.0; N], spread: 0.0, with: [0.0; N], among: [[0.0; N]; N] }
    }

    fn push(&mut self, figure: f64, controls: [f64; N]) {
        let one = Self { n: 1, figure, controls, ..Self::new() };
        self.merge(&one);
    }

    fn merge(&mut self, next: &Self) {
        if next.n == 0 {
            return;
        }
        let (a, b) = (self.n as f64, next.n as f64);
        let (part, weight) = (b / (a + b), a * b / (a + b));
        let away = next.figure - self.figure;
        let mut others = next.controls;
        for (other, control) in others.iter_mut().zip(&self.controls) {
            *other -= control;
        }
        self.n = self.n.saturating_add(next.n);
        self.figure += away * part;
        self.spread += next.spread + away * away * weight;
        for ((control, with), (other, next)) in
            self.controls.iter_mut().zip(&mut self.with).zip(others.iter().zip(&next.with))
        {
            *control += other * part;
            *with += next + away * other * weight;
        }
        for ((row, next), other) in self.among.iter_mut().zip(&next.among).zip(&others) {
            for ((cell, next), second) in row.iter_mut().zip(next).zip(&others) {
                *cell += next + other * second * weight;
            }
        }
    }

    /// What each control is worth: the solution of `among` · b = `with`. 0 for controls that say nothing or nothing new.
    fn slopes(&self) -> [f64; N] {
        let row = |(row, with): (&[f64; N], &f64)| row.iter().chain([with]).copied().collect();
        let rows: Vec<Vec<f64>> = self.among.iter().zip(&self.with).map(row).collect();
        let largest = self.among.iter().flatten().fold(0.0_f64, |most, cell| most.max(cell.abs()));
        let mut slopes = [0.0; N];
        for (slope, solved) in slopes.iter_mut().zip(solve(&rows, largest * 1e-12)) {
            *slope = solved;
        }
        slopes
    }

    fn corrected(&self, slopes: [f64; N], known: [f64; N]) -> Estimate {
        let mut value = self.figure;
        let mut spread = self.spread;
        for (((slope, control), known), (with, row)) in
            slopes.iter().zip(&self.controls).zip(&known).zip(self.with.iter().zip(&self.among))
        {
            value -= slope * (control - known);
            spread -= 2.0 * slope * with;
            for (cell, other) in row.iter().zip(&slopes) {
                spread += slope * other * cell;
            }
        }
        let n = self.n as f64;
        let sigma = if self.n < 2 { f64::NAN } else { (spread.max(0.0) / (n - 1.0) / n).sqrt() };
        Estimate::of(value, sigma, self.n)
    }
}

/// Solves linear equations by elimination; each row ends with its right side. Pivots are those of the diagonal: sums of squares, among
/// which one that is not above `least` has nothing but such beside it. Its unknown is 0.
fn solve(rows: &[Vec<f64>], least: f64) -> Vec<f64> {
    let first = |row: &[f64]| row.first().copied().unwrap_or(0.0);
    let Some((pivot, rows)) = rows.split_first() else { return Vec::new() };
    let lead = first(pivot);
    let worth = lead.abs() > least;
    let rest: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| {
            let times = if worth { first(row) / lead } else { 0.0 };
            row.iter().zip(pivot).skip(1).map(|(cell, above)| cell - times * above).collect()
        })
        .collect();
    let others = solve(&rest, least);
    let mut left = pivot.last().copied().unwrap_or(0.0);
    for (cell, other) in pivot.iter().skip(1).zip(&others) {
        left -= cell * other;
    }
    let mut solved = vec![if worth { left / lead } else { 0.0 }];
    solved.extend(others);
    solved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moments, in_order};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equations_are_solved(unknown in proptest::array::uniform3(-9.0..9.0_f64), cells in proptest::array::uniform9(-1.0..1.0_f64)) {
            let rows: Vec<Vec<f64>> = cells.chunks(3).enumerate().map(|(at, row)| {
                let mut row = row.to_vec();
                // So that the equations are far from having no solution.
                row[at] += 4.0;
                row.push(row.iter().zip(&unknown).map(|(cell, x)| cell * x).sum());
                row
            }).collect();
            for (solved, x) in solve(&rows, 0.0).iter().zip(&unknown) {
                prop_assert!((solved - x).abs() < 1e-12);
            }
        }

        /// Without anything to correct by it is the plain mean, in whatever parts.
        #[test]
        fn a_control_that_never_moves_changes_nothing(samples in proptest::collection::vec(-9.0..9.0_f64, 4..40), parts in 1_usize..9) {
            let of = |samples: &[f64]| {
                let mut control = Control::new([5.0, 0.0]);
                samples.iter().for_each(|x| control.push(*x, [5.0, 0.0]));
                control
            };
            let parts: Vec<_> = samples.chunks(2 * parts).map(of).collect();
            let control = in_order(parts).unwrap();
            let plain = samples.iter().copied().collect::<Moments>().mean();
            prop_assert_eq!(control.samples(), plain.samples);
            prop_assert!((control.mean().value - plain.value).abs() < 1e-12);
            prop_assert!((control.plain().value - plain.value).abs() < 1e-12);
            prop_assert!((control.plain().sigma - plain.sigma).abs() < 1e-9);
        }
    }

    /// A figure that is nothing but its controls is known without an error; and two controls that are one do no harm.
    #[test]
    fn what_controls_say_is_taken_out() {
        let mut control = Control::new([3.0, 1.0]);
        let mut double = Control::new([3.0, 3.0]);
        for (x, y) in
            [(1.0, 2.0), (7.0, 0.5), (2.0, 9.0), (4.0, 4.0), (0.5, 6.0), (3.0, 1.0), (8.0, 2.0), (5.0, 3.0)]
        {
            control.push(10.0 + 2.0 * x - y, [x, y]);
            double.push(10.0 + 2.0 * x, [x, x]);
        }
        assert!((control.mean().value - 15.0).abs() < 1e-9, "{:?}", control.mean());
        assert!(control.mean().sigma < 1e-7 && control.plain().sigma > 1.0);
        assert!((double.mean().value - 16.0).abs() < 1e-9, "{:?}", double.mean());
    }
}
