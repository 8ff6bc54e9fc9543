//! What is rare is drawn as if it were not, and weighs the less.

use crate::maths;

/// Why a tilt cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TiltError {
    /// One of both probabilities is an end.
    #[error(
        "a tilt from {real} to {drawn} units of 2^-64: both must be above 0 and below 2^64, or what can happen would never be drawn"
    )]
    End {
        /// The probability that holds.
        real: u128,
        /// The one that is drawn with.
        drawn: u128,
    },
}

/// Trials that are drawn with another probability than the one that holds. The mean of weight times result over what is drawn is the
/// mean of the result over what holds. Good for [`Stream::hit`](crate::Stream::hit) along a path up to a time that the path itself
/// decides, for [`Geometric`](crate::Geometric) (one hit), and for a binomial count.
#[derive(Clone, Copy, Debug)]
pub struct Tilt {
    drawn: u128,
    ln_hit: f64,
    ln_miss: f64,
}

impl Tilt {
    /// From the probability that holds to the one that is drawn with, in units of 2^-64.
    pub fn new(real: u128, drawn: u128) -> Result<Self, TiltError> {
        let inside = |units: u128| units > 0 && units < 1 << 64;
        if !inside(real) || !inside(drawn) {
            return Err(TiltError::End { real, drawn });
        }
        Ok(Self {
            drawn,
            ln_hit: maths::ln(real as f64 / drawn as f64),
            ln_miss: maths::ln_miss(real) - maths::ln_miss(drawn),
        })
    }

    /// What to draw with, in units of 2^-64.
    #[must_use]
    pub const fn drawn(&self) -> u128 {
        self.drawn
    }

    /// The logarithm of the weight of so many hits among so many trials.
    #[must_use]
    pub fn ln_weight(&self, hits: u64, trials: u64) -> f64 {
        hits as f64 * self.ln_hit + trials.saturating_sub(hits) as f64 * self.ln_miss
    }

    /// The weight of so many hits among so many trials, whatever their order.
    #[must_use]
    pub fn weight(&self, hits: u64, trials: u64) -> f64 {
        maths::exp(self.ln_weight(hits, trials))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Over all 2^n paths drawn with one probability, weights add up to 1. The twin weighs with 1 % more.
        #[test]
        fn weights_make_up_for_what_is_drawn(real in 1..u64::MAX, drawn in 1_u64 << 60..15 << 60, n in 2..20_u64) {
            let sum = |tilt: Tilt| {
                let p = maths::probability(drawn.into());
                let mut ways = 1.0;
                let mut sum = 0.0;
                for hits in 0..=n {
                    let path = maths::power(p, hits as f64) * maths::power(1.0 - p, (n - hits) as f64);
                    sum += ways * path * tilt.weight(hits, n);
                    ways = ways * (n - hits) as f64 / (hits + 1) as f64;
                }
                sum
            };
            let tilt = Tilt::new(real.into(), drawn.into()).unwrap();
            prop_assert!((sum(tilt) - 1.0).abs() < 1e-12);
            let twin = Tilt { ln_hit: tilt.ln_hit + maths::ln(1.01), ..tilt };
            // It gives (1 + p/100)^n, which is 10^-9 away from 1 where p is 2^-24.
            if real > 1 << 40 {
                prop_assert!((sum(twin) - 1.0).abs() > 1e-12);
            }
        }
    }

    #[test]
    fn ends_are_refused() {
        for (real, drawn) in [(0, 5), (5, 0), (1 << 64, 5), (5, u128::MAX)] {
            assert_eq!(Tilt::new(real, drawn).unwrap_err(), TiltError::End { real, drawn });
        }
    }
}
