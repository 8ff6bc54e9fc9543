//! What is drawn as a float.

use crate::{Stream, maths};

impl Stream {
    /// A number between 0 and 1 and never either: an odd multiple of 2^-53, all alike. (With one bit more the largest would be
    /// rounded to 1.)
    #[inline]
    pub fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / 4_503_599_627_370_496.0;
        ((self.bits() >> 12) as f64 + 0.5) * STEP
    }

    /// A time until something happens that is due once in a unit of time: exponential with mean 1, at most 36.8.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        -maths::ln(self.unit())
    }

    /// A normal deviate with mean 0 and variance 1, by G. Marsaglia's polar method. A lognormal one is [`maths::exp`] of it.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            // Never 0: neither of both is.
            if square < 1.0 {
                return x * (-2.0 * maths::ln(square) / square).sqrt();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    /// The ends as `unit` computes them.
    #[test]
    fn a_unit_is_never_0_or_1() {
        let of = |bits: u64| ((bits >> 12) as f64 + 0.5) * (1.0 / 4_503_599_627_370_496.0);
        assert_eq!(of(0), f64::EPSILON / 2.0);
        assert_eq!(of(u64::MAX), 1.0 - f64::EPSILON / 2.0);
        // The twin with 53 bits.
        let finer = ((u64::MAX >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0);
        assert_eq!(finer, 1.0);
    }
}
