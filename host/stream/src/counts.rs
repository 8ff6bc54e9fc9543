//! How often something happens, and how long until it does.

use crate::{Stream, maths};

/// From here on a count is drawn by rejection, below by adding up probabilities: there these are not too many.
const MANY: f64 = 10.0;
/// Where fewer than [`MANY`] are expected, more than this come once in 10^80 draws: what is left there is rounding.
const MOST: u64 = 120;

/// How many trials it takes until one hits, that one counted.
#[derive(Clone, Copy, Debug)]
pub struct Geometric {
    ln_miss: f64,
}

impl Geometric {
    /// With a probability in units of 2^-64.
    #[must_use]
    pub fn new(units: u128) -> Self {
        Self { ln_miss: maths::ln_miss(units) }
    }

    /// Trials until a hit, by inversion: 1 and more. `u64::MAX` where nothing ever hits. Its largest value is 36.7 times its mean:
    /// what lies beyond has a probability of 2^-53.
    #[inline]
    pub fn draw(&self, stream: &mut Stream) -> u64 {
        if self.ln_miss == 0.0 {
            return u64::MAX;
        }
        // From 0 on: the cast cuts, and stops at the largest.
        ((maths::ln(stream.unit()) / self.ln_miss) as u64).saturating_add(1)
    }
}

impl Stream {
    /// Trials until a hit with a probability in units of 2^-64, as [`Geometric`]: who draws many with one probability keeps that.
    #[inline]
    pub fn geometric(&mut self, units: u128) -> u64 {
        Geometric::new(units).draw(self)
    }

    /// How often something happens that is due `mean` times: by adding up probabilities below 10, from there on W. Hörmann, "The
    /// transformed rejection method for generating Poisson random variables" (1993), PTRS. 0 where `mean` is no number above 0.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean.is_nan() || mean <= 0.0 {
            return 0;
        }
        if mean < MANY {
            return self.search(maths::exp(-mean), MOST, |k| mean / k);
        }
        if mean.is_infinite() {
            return u64::MAX;
        }
        let root = mean.sqrt();
        let b = 0.931 + 2.53 * root;
        let a = -0.059 + 0.02483 * b;
        let inverse = 1.1239 + 1.1328 / (b - 3.4);
        let quick = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let edge = 0.5 - u.abs();
            let k = ((2.0 * a / edge + b) * u + mean + 0.43).floor();
            if edge >= 0.07 && v <= quick {
                return k as u64;
            }
            if k < 0.0 || (edge < 0.013 && v > edge) {
                continue;
            }
            if maths::ln(v * inverse / (a / (edge * edge) + b)) <= ln_poisson(k, mean) {
                return k as u64;
            }
        }
    }

    /// How many of `n` trials hit, each with probability `p`: by adding up probabilities where fewer than 10 are expected, else
    /// by W. Hörmann, "The generation of binomial random variates" (1993), BTRS. Below 0 `p` counts as 0, above 1 as 1.
    pub fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if n == 0 || p.is_nan() || p <= 0.0 {
            0
        } else if p >= 1.0 {
            n
        } else if p > 0.5 {
            n.saturating_sub(self.seldom(n, 1.0 - p))
        } else {
            self.seldom(n, p)
        }
    }

    /// The same for `p` from 0 to a half.
    fn seldom(&mut self, n: u64, p: f64) -> u64 {
        let (trials, odds) = (n as f64, p / (1.0 - p));
        if trials * p < MANY {
            let none = maths::exp(trials * maths::ln_1p(-p));
            return self.search(none, n.min(MOST), |k| (trials - k + 1.0) / k * odds);
        }
        let deviation = (trials * p * (1.0 - p)).sqrt();
        let b = 1.15 + 2.53 * deviation;
        let a = -0.0873 + 0.0248 * b + 0.01 * p;
        let centre = trials * p + 0.5;
        let quick = 0.92 - 4.2 / b;
        let alpha = (2.83 + 5.1 / b) * deviation;
        let mode = ((trials + 1.0) * p).floor();
        loop {
            let (u, v) = (self.unit() - 0.5, self.unit());
            let edge = 0.5 - u.abs();
            let k = ((2.0 * a / edge + b) * u + centre).floor();
            if k < 0.0 || k > trials {
                continue;
            }
            if edge >= 0.07 && v <= quick {
                return k as u64;
            }
            if maths::ln(v * alpha / (a / (edge * edge) + b)) <= ln_beside_mode(k, mode, trials, odds) {
                return k as u64;
            }
        }
    }

    /// How `n` trials fall to several by their weights: one count for each, which add up to `n`. What `counts` held is replaced.
    /// All are 0 where all weights are.
    pub fn multinomial(&mut self, n: u64, weights: &[u64], counts: &mut Vec<u64>) {
        let mut rest: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        let mut left = if rest == 0 { 0 } else { n };
        counts.clear();
        for weight in weights {
            let p = if rest == 0 { 0.0 } else { *weight as f64 / rest as f64 };
            let count = if u128::from(*weight) == rest { left } else { self.binomial(left, p) };
            counts.push(count);
            left = left.saturating_sub(count);
            rest = rest.saturating_sub(u128::from(*weight));
        }
    }

    /// Adds up the probabilities of 0, 1, 2, … until one number is passed. `ratio` is that of k to that of k - 1.
    fn search(&mut self, none: f64, most: u64, ratio: impl Fn(f64) -> f64) -> u64 {
        loop {
            let (mut left, mut p) = (self.unit(), none);
            for k in 0..=most {
                if left < p {
                    return k;
                }
                left -= p;
                p *= ratio(k as f64 + 1.0);
            }
        }
    }
}

/// The logarithm of Poisson's probability of k, in parts none of which is large beside the result.
fn ln_poisson(k: f64, mean: f64) -> f64 {
    const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;
    let next = k + 1.0;
    k * maths::ln_1p((mean - next) / next) - 0.5 * maths::ln(next) + (next - mean)
        - HALF_LN_TWO_PI
        - maths::stirling_rest(k)
}

/// The logarithm of a binomial's probability of k by that of the mode, in parts none of which is large beside the result.
fn ln_beside_mode(k: f64, mode: f64, trials: f64, odds: f64) -> f64 {
    let (misses, least) = (trials - k, trials - mode);
    (mode + 0.5) * maths::ln((mode + 1.0) / (odds * (least + 1.0)))
        + (trials + 1.0) * maths::ln_1p((k - mode) / (misses + 1.0))
        + (k + 0.5) * maths::ln(odds * (misses + 1.0) / (k + 1.0))
        + maths::stirling_rest(mode)
        + maths::stirling_rest(least)
        - maths::stirling_rest(k)
        - maths::stirling_rest(misses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, Purpose};
    use proptest::prelude::*;

    fn stream(seed: u64) -> Stream {
        Key { seed, replication: 0 }.stream(Purpose::Test, 0)
    }

    #[test]
    fn ends_are_kept() {
        let mut stream = stream(1);
        for _ in 0..100 {
            assert_eq!(stream.geometric(0), u64::MAX);
            assert_eq!(stream.geometric(1 << 64), 1);
            assert!(stream.geometric(1) > 1 << 40);
            assert_eq!(stream.poisson(0.0), 0);
            assert_eq!(stream.poisson(-1.0), 0);
            assert_eq!(stream.poisson(f64::NAN), 0);
            assert_eq!(stream.poisson(f64::INFINITY), u64::MAX);
            assert_eq!(stream.poisson(f64::MAX), u64::MAX);
            assert_eq!(stream.poisson(f64::MIN_POSITIVE), 0);
            assert_eq!(stream.binomial(0, 0.5), 0);
            assert_eq!(stream.binomial(9, 0.0), 0);
            assert_eq!(stream.binomial(9, f64::NAN), 0);
            assert_eq!(stream.binomial(9, 1.0), 9);
            assert_eq!(stream.binomial(9, 2.0), 9);
        }
    }

    #[test]
    fn poissons_logarithms_are_right_where_the_sum_is_large() {
        for (k, mean) in [(0.0, 10.0), (10.0, 10.0), (30.0, 12.5), (1000.0, 1100.0)] {
            let plainly: f64 = k * maths::ln(mean) - mean - maths::ln_gamma(k + 1.0);
            assert!((ln_poisson(k, mean) - plainly).abs() < 1e-11, "{k} of {mean}");
        }
        // At its mean of 10^12 it is 1/sqrt(2π mean), where the plain sum has lost all digits after the second.
        let (mean, expected) = (1e12, -0.918_938_533_204_672_7 - 0.5 * maths::ln(1e12));
        assert!((ln_poisson(mean, mean) - expected).abs() < 1e-9);
    }

    /// Beside the factorials themselves. One of the four rests that is 1 % off is seen.
    #[test]
    fn binomials_logarithms_are_right() {
        for (k, n, p) in [
            (7.0, 40.0, 0.3),
            (20.0, 40.0, 0.3),
            (280.0, 1000.0, 0.3),
            (60.0, 5000.0, 0.01),
            (30.0, 31.0, 0.4),
        ] {
            let ln_p = |k: f64| {
                k * maths::ln(p / (1.0 - p)) - maths::ln_gamma(k + 1.0) - maths::ln_gamma(n - k + 1.0)
            };
            let mode = f64::floor((n + 1.0) * p);
            let found = ln_beside_mode(k, mode, n, p / (1.0 - p));
            assert!((found - (ln_p(k) - ln_p(mode))).abs() < 1e-10, "{k} of {n}");
            assert!((found - 0.01 * maths::stirling_rest(n - k) - (ln_p(k) - ln_p(mode))).abs() > 1e-7);
            assert!(ln_beside_mode(mode, mode, n, p / (1.0 - p)).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn hits_are_never_more_than_trials(seed: u64, n in 0..100_000_u64, p in 0.0..=1.0) {
            prop_assert!(stream(seed).binomial(n, p) <= n);
        }

        #[test]
        fn all_trials_fall_to_somebody(seed: u64, n: u32, weights in proptest::collection::vec(0..1_u64 << 60, 1..9)) {
            let mut counts = vec![7];
            let all = weights.iter().any(|weight| *weight > 0);
            stream(seed).multinomial(n.into(), &weights, &mut counts);
            prop_assert_eq!(counts.len(), weights.len());
            prop_assert_eq!(counts.iter().sum::<u64>(), if all { n.into() } else { 0 });
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert!(*weight > 0 || *count == 0);
            }
        }
    }
}
