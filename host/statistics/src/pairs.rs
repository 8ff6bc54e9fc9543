//! Two figures of the same sample: their difference and their ratio.

use crate::{Estimate, Merge};
use serde::Serialize;

/// Samples of two figures each, taken on one stream: what both owe to the same luck falls out of their difference, and mostly out of
/// their ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Pairs {
    n: u64,
    first: f64,
    second: f64,
    first_spread: f64,
    second_spread: f64,
    together: f64,
}

impl Pairs {
    /// Adds a sample of both.
    #[inline]
    pub fn push(&mut self, first: f64, second: f64) {
        self.n = self.n.saturating_add(1);
        let n = self.n as f64;
        let (away, other) = (first - self.first, second - self.second);
        self.first += away / n;
        self.second += other / n;
        self.first_spread += away * (first - self.first);
        self.second_spread += other * (second - self.second);
        self.together += away * (second - self.second);
    }

    /// How many samples there are.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.n
    }

    /// The mean of the first.
    #[must_use]
    pub fn first(&self) -> Estimate {
        self.estimate(self.first, self.first_spread)
    }

    /// The mean of the second.
    #[must_use]
    pub fn second(&self) -> Estimate {
        self.estimate(self.second, self.second_spread)
    }

    /// The mean of the first less the second, sample by sample.
    #[must_use]
    pub fn difference(&self) -> Estimate {
        let spread = self.first_spread + self.second_spread - 2.0 * self.together;
        self.estimate(self.first - self.second, spread)
    }

    /// The mean of the first by the mean of the second, with its error by the delta method: the spread of first - ratio · second, by
    /// the mean of the second. The ratio's bias is the square of its relative error, and so far below it where there are many
    /// samples.
    #[must_use]
    pub fn ratio(&self) -> Estimate {
        let ratio = self.first / self.second;
        let spread = self.first_spread - 2.0 * ratio * self.together + ratio * ratio * self.second_spread;
        let rest = self.estimate(0.0, spread);
        Estimate { value: ratio, sigma: rest.sigma / self.second.abs(), ..rest }
    }

    /// How much both go together: from -1 to 1.
    #[must_use]
    pub fn correlation(&self) -> f64 {
        self.together / (self.first_spread * self.second_spread).sqrt()
    }

    /// With a sum of squares around it. What rounding leaves below 0 is 0.
    fn estimate(&self, value: f64, spread: f64) -> Estimate {
        let n = self.n as f64;
        let sigma = if self.n < 2 { f64::NAN } else { (spread.max(0.0) / (n - 1.0) / n).sqrt() };
        Estimate::of(value, sigma, self.n)
    }
}

impl Merge for Pairs {
    fn merge(&mut self, next: &Self) {
        if next.n == 0 {
            return;
        }
        let (a, b) = (self.n as f64, next.n as f64);
        let (away, other) = (next.first - self.first, next.second - self.second);
        let (part, weight) = (b / (a + b), a * b / (a + b));
        self.n = self.n.saturating_add(next.n);
        self.first += away * part;
        self.second += other * part;
        self.first_spread += next.first_spread + away * away * weight;
        self.second_spread += next.second_spread + other * other * weight;
        self.together += next.together + away * other * weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moments, in_order};
    use proptest::prelude::*;

    fn close(a: Estimate, b: Estimate, size: f64) -> bool {
        a.samples == b.samples
            && (a.value - b.value).abs() <= 1e-11 * size
            && (a.sigma - b.sigma).abs() <= 1e-7 * size
    }

    proptest! {
        /// Each figure by itself, and their difference, are those of plain moments, in whatever parts.
        #[test]
        fn pairs_are_their_parts(
            samples in proptest::collection::vec((-100.0..100.0_f64, 1.0..50.0_f64), 2..60),
            parts in 1_usize..9,
        ) {
            let pairs = in_order(samples.chunks(parts).map(|part| {
                let mut pairs = Pairs::default();
                part.iter().for_each(|(x, y)| pairs.push(*x, *y));
                pairs
            })).unwrap();
            let of = |f: &dyn Fn(f64, f64) -> f64| samples.iter().map(|(x, y)| f(*x, *y)).collect::<Moments>().mean();
            prop_assert!(close(pairs.first(), of(&|x, _| x), 100.0));
            prop_assert!(close(pairs.second(), of(&|_, y| y), 100.0));
            prop_assert!(close(pairs.difference(), of(&|x, y| x - y), 100.0));
            let ratio = pairs.ratio();
            let rest = of(&|x, y| x - ratio.value * y);
            prop_assert!((ratio.sigma * pairs.second().value - rest.sigma).abs() < 1e-4);
            let [x, y] = [pairs.first().value, pairs.second().value];
            let n = samples.len() as f64;
            let both = of(&|a, b| (a - x) * (b - y)).value * n / (n - 1.0) / n;
            prop_assert!((pairs.correlation() * pairs.first().sigma * pairs.second().sigma - both).abs() < 1e-8 || pairs.correlation().is_nan());
        }
    }

    #[test]
    fn what_goes_together_has_no_error() {
        let mut pairs = Pairs::default();
        for x in [1.0, 5.0, 2.0, 11.0] {
            pairs.push(3.0 * x, x);
        }
        assert_eq!(pairs.ratio().value, 3.0);
        assert!(pairs.ratio().sigma < 1e-7 && pairs.first().sigma > 1.0);
        assert!((pairs.correlation() - 1.0).abs() < 1e-12);
        let mut one = Pairs::default();
        one.push(1.0, 2.0);
        assert!(one.difference().sigma.is_nan());
        one.merge(&Pairs::default());
        assert_eq!(one.samples(), 1);
    }
}
