//! Moments of samples, as they come.

use crate::{Estimate, Merge};
use serde::Serialize;

/// Number, mean and the sums of the second, third and fourth powers of the distances from it, kept as samples come: P. Pébay,
/// "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments" (2008). The third
/// and fourth are for the errors of the variance and of CV².
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Moments {
    n: u64,
    mean: f64,
    second: f64,
    third: f64,
    fourth: f64,
}

impl Moments {
    /// Adds a sample.
    #[inline]
    pub fn push(&mut self, sample: f64) {
        let before = self.n as f64;
        self.n = self.n.saturating_add(1);
        let n = self.n as f64;
        let away = sample - self.mean;
        let step = away / n;
        let square = step * step;
        let spread = away * step * before;
        self.mean += step;
        self.fourth +=
            spread * square * (n * n - 3.0 * n + 3.0) + 6.0 * square * self.second - 4.0 * step * self.third;
        self.third += spread * step * (n - 2.0) - 3.0 * step * self.second;
        self.second += spread;
    }

    /// How many samples there are.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.n
    }

    /// Their mean, with its error.
    #[must_use]
    pub fn mean(&self) -> Estimate {
        Estimate::of(self.mean, (self.variance_of_one() / self.n as f64).sqrt(), self.n)
    }

    /// Variance of one sample, with its error: Var(s²) = (μ₄ - σ⁴ (n - 3)/(n - 1)) / n. It asks for four moments, and is worth little
    /// where the fourth is large.
    #[must_use]
    pub fn variance(&self) -> Estimate {
        let n = self.n as f64;
        let variance = self.variance_of_one();
        let error = ((self.fourth / n - variance * variance * (n - 3.0) / (n - 1.0)) / n).max(0.0).sqrt();
        Estimate::of(variance, error, self.n)
    }

    /// Standard deviation of one sample, with its error by the delta method.
    #[must_use]
    pub fn deviation(&self) -> Estimate {
        let variance = self.variance();
        let deviation = variance.value.sqrt();
        let sigma = if deviation > 0.0 { variance.sigma / (2.0 * deviation) } else { 0.0 };
        Estimate::of(deviation, sigma, self.n)
    }

    /// CV², the variance over the square of the mean, with its error by the delta method. Mean and variance move together by
    /// μ₃/n.
    #[must_use]
    pub fn squared_cv(&self) -> Estimate {
        let n = self.n as f64;
        let variance = self.variance();
        let square = self.mean * self.mean;
        let value = variance.value / square;
        let mean_part = 4.0 * value * value * variance.value / (n * square);
        let both = 4.0 * value * (self.third / n) / (n * square * self.mean);
        let error = (variance.sigma * variance.sigma / (square * square) + mean_part - both).max(0.0).sqrt();
        Estimate::of(value, error, self.n)
    }

    /// The third moment by the variance: 0 for what is symmetric, 2 for an exponential.
    #[must_use]
    pub fn skewness(&self) -> f64 {
        let n = self.n as f64;
        let variance = self.second / n;
        self.third / n / (variance * variance.sqrt())
    }

    /// The fourth moment by the variance: 3 for a normal, 9 for an exponential.
    #[must_use]
    pub fn kurtosis(&self) -> f64 {
        let n = self.n as f64;
        let variance = self.second / n;
        self.fourth / n / (variance * variance)
    }

    /// Without an error: `NaN` where there are fewer than two.
    fn variance_of_one(&self) -> f64 {
        if self.n < 2 { f64::NAN } else { self.second / (self.n as f64 - 1.0) }
    }
}

impl Extend<f64> for Moments {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, samples: I) {
        samples.into_iter().for_each(|sample| self.push(sample));
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        let mut moments = Self::default();
        moments.extend(samples);
        moments
    }
}

impl Merge for Moments {
    fn merge(&mut self, next: &Self) {
        if next.n == 0 {
            return;
        }
        if self.n == 0 {
            *self = *next;
            return;
        }
        let (a, b) = (self.n as f64, next.n as f64);
        let n = a + b;
        let away = next.mean - self.mean;
        let step = away / n;
        let fourth = self.fourth
            + next.fourth
            + away * step * step * step * a * b * (a * a - a * b + b * b)
            + 6.0 * step * step * (a * a * next.second + b * b * self.second)
            + 4.0 * step * (a * next.third - b * self.third);
        let third = self.third
            + next.third
            + away * step * step * a * b * (a - b)
            + 3.0 * step * (a * next.second - b * self.second);
        *self = Self {
            n: self.n.saturating_add(next.n),
            mean: self.mean + step * b,
            second: self.second + next.second + away * step * a * b,
            third,
            fourth,
        };
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Beside what the platform has.
mod tests {
    use super::*;
    use crate::in_order;
    use proptest::prelude::*;

    fn close(a: f64, b: f64, room: f64) -> bool {
        (a - b).abs() <= room * (1.0 + a.abs().max(b.abs()))
    }

    proptest! {
        /// In two passes, and in parts.
        #[test]
        fn moments_are_those_of_two_passes(
            samples in proptest::collection::vec(-100.0..1000.0_f64, 2..60),
            parts in 1_usize..9,
        ) {
            let n = samples.len() as f64;
            let mean = samples.iter().sum::<f64>() / n;
            let power = |by: i32| samples.iter().map(|x| (x - mean).powi(by)).sum::<f64>();
            let whole: Moments = samples.iter().copied().collect();
            let merged = in_order(samples.chunks(parts).map(|part| part.iter().copied().collect::<Moments>())).unwrap();
            for moments in [whole, merged] {
                prop_assert_eq!(moments.samples(), samples.len() as u64);
                prop_assert!(close(moments.mean, mean, 1e-12));
                prop_assert!(close(moments.second, power(2), 1e-11));
                prop_assert!((moments.third - power(3)).abs() < 1e-11 * (1.0 + samples.iter().map(|x| (x - mean).abs().powi(3)).sum::<f64>()));
                prop_assert!(close(moments.fourth, power(4), 1e-11));
            }
        }

        /// The same parts in the same order are the same bits, whoever was ready first.
        #[test]
        fn a_fixed_order_has_fixed_bits(samples in proptest::collection::vec(any::<i32>(), 1..60), ready in any::<u64>()) {
            let part = |samples: &[i32]| samples.iter().map(|x| f64::from(*x) / 7.0).collect::<Moments>();
            let mut done: Vec<_> = samples.chunks(7).enumerate().map(|(at, of)| (at, part(of))).collect();
            let straight = in_order(done.iter().map(|(_, moments)| *moments)).unwrap();
            let by = ready as usize % done.len();
            done.rotate_left(by);
            done.sort_by_key(|(at, _)| *at);
            let again = in_order(done.into_iter().map(|(_, moments)| moments)).unwrap();
            prop_assert_eq!(straight.fourth.to_bits(), again.fourth.to_bits());
            prop_assert_eq!(straight.mean.to_bits(), again.mean.to_bits());
        }
    }

    #[test]
    fn few_samples_have_no_error() {
        let mut moments = Moments::default();
        assert_eq!(moments.samples(), 0);
        moments.push(5.0);
        assert_eq!(moments.mean().value, 5.0);
        assert!(moments.mean().sigma.is_nan());
        moments.merge(&Moments::default());
        assert_eq!(moments.samples(), 1);
        moments.push(5.0);
        assert_eq!(moments.mean().sigma, 0.0);
        assert_eq!(moments.deviation().value, 0.0);
    }
}
