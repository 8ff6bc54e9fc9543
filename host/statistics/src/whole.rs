//! Sums of integers, the same in any order.

use crate::{Estimate, Merge};
use primitive_types::U256;

/// Number, sum and sum of squares of integers, without any rounding: parts may be merged in any order and the result is the same.
/// For amounts and counts. Holds 2^64 samples of any size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    n: u64,
    sum: i128,
    squares: U256,
}

impl Whole {
    /// Adds a sample.
    pub fn push(&mut self, sample: i64) {
        let size = u128::from(sample.unsigned_abs());
        self.n = self.n.saturating_add(1);
        self.sum = self.sum.saturating_add(i128::from(sample));
        self.squares = self.squares.saturating_add(size.saturating_mul(size).into());
    }

    /// How many samples there are.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.n
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> i128 {
        self.sum
    }

    /// Their mean, with its error. Each is rounded at its end alone.
    #[must_use]
    pub fn mean(&self) -> Estimate {
        let n = self.n as f64;
        Estimate::of(self.sum as f64 / n, (self.variance() / n).sqrt(), self.n)
    }

    /// Variance of one sample: (n Σx² - (Σx)²) / n(n - 1). `NaN` where there are fewer than two.
    #[must_use]
    pub fn variance(&self) -> f64 {
        if self.n < 2 {
            return f64::NAN;
        }
        // n Σx² is below 2^254, and never less than (Σx)².
        let sum = U256::from(self.sum.unsigned_abs());
        let spread = self.squares.saturating_mul(self.n.into()).saturating_sub(sum.saturating_mul(sum));
        let pairs = u128::from(self.n).saturating_mul(u128::from(self.n.saturating_sub(1)));
        float(spread) / pairs as f64
    }
}

impl Merge for Whole {
    fn merge(&mut self, next: &Self) {
        self.n = self.n.saturating_add(next.n);
        self.sum = self.sum.saturating_add(next.sum);
        self.squares = self.squares.saturating_add(next.squares);
    }
}

/// The nearest float of 128 leading bits; those behind can turn the last bit at most where they decide a tie.
fn float(value: U256) -> f64 {
    let shift = value.bits().saturating_sub(128);
    let lead = (value >> shift).low_u128();
    // 2^shift, a power that a float has.
    let scale = f64::from_bits((shift as u64).saturating_add(1023) << 52);
    lead as f64 * scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moments;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_order_is_the_same(samples in proptest::collection::vec(any::<i64>(), 2..40), cut in 0_usize..40) {
            let of = |samples: &[i64]| {
                let mut whole = Whole::default();
                samples.iter().for_each(|sample| whole.push(*sample));
                whole
            };
            let (first, rest) = samples.split_at(cut.min(samples.len()));
            let (mut there, mut back) = (of(first), of(rest));
            there.merge(&of(rest));
            back.merge(&of(first));
            prop_assert_eq!(there, of(&samples));
            prop_assert_eq!(back, of(&samples));
            let floats: Moments = samples.iter().map(|sample| *sample as f64).collect();
            let (exact, float) = (there.variance(), floats.variance().value);
            // As floats, large ones are off by up to 512, and what is between them by twice that.
            prop_assert!((exact - float).abs() <= 1e-12 * exact + 4096.0 * exact.sqrt());
            // The mean of large ones of both signs may be small beside them.
            let size = samples.iter().map(|sample| (*sample as f64).abs()).sum::<f64>();
            prop_assert!((there.mean().value - floats.mean().value).abs() <= 1e-14 * size);
        }
    }

    /// 10^15 and one more, as amounts are: floats' sums of squares see no variance there.
    #[test]
    fn small_differences_of_large_amounts_are_kept() {
        let mut whole = Whole::default();
        for sample in [1_000_000_000_000_000, 1_000_000_000_000_001] {
            whole.push(sample);
        }
        assert_eq!(whole.variance(), 0.5);
        assert_eq!(whole.sum(), 2_000_000_000_000_001);
    }

    #[test]
    fn the_largest_are_held() {
        let mut whole =
            Whole { n: u64::MAX - 1, sum: 0, squares: U256::from(u128::MAX >> 2) * U256::from(u64::MAX - 1) };
        whole.push(i64::MIN);
        assert!((whole.variance() / square(i64::MAX as f64) - 1.0).abs() < 1e-12);
        assert_eq!(float(U256::MAX), (u128::MAX as f64) * (u128::MAX as f64));
        assert_eq!(float(U256::zero()), 0.0);
    }

    fn square(x: f64) -> f64 {
        x * x
    }
}
