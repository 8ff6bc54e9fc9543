//! A mean of samples that were drawn by another probability than the one that holds.

use crate::{Estimate, Merge, Pairs};
use serde::Serialize;

/// Importance-sampled means: each sample has the weight that makes up for how it was drawn, the probability that holds by the one it
/// was drawn with. Weights that are spread widely make an error that looks small and is not: [`Weighted::effective`] and
/// [`Weighted::largest_part`] tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Weighted {
    /// Weight times figure, and weight.
    terms: Pairs,
    weights: f64,
    squares: f64,
    sizes: f64,
    heaviest: f64,
    largest: f64,
}

impl Weighted {
    /// Adds a sample with its weight.
    #[inline]
    pub fn push(&mut self, figure: f64, weight: f64) {
        let term = weight * figure;
        self.terms.push(term, weight);
        self.weights += weight;
        self.squares += weight * weight;
        self.sizes += term.abs();
        self.heaviest = self.heaviest.max(weight);
        self.largest = self.largest.max(term.abs());
    }

    /// How many samples there are.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.terms.samples()
    }

    /// The mean of weight times figure: unbiased.
    #[must_use]
    pub fn mean(&self) -> Estimate {
        self.terms.first()
    }

    /// The mean of the weights, which is 1 where they are what they should be: a check of them.
    #[must_use]
    pub fn mean_weight(&self) -> Estimate {
        self.terms.second()
    }

    /// The sum of weight times figure by the sum of weights. Of less spread where figures are much alike, and asks of the weights
    /// that they are right to a factor alone.
    #[must_use]
    pub fn normalised(&self) -> Estimate {
        self.terms.ratio()
    }

    /// As many samples of one weight would say as much of a figure that does not go with the weights: (Σw)²/Σw².
    #[must_use]
    pub fn effective(&self) -> f64 {
        self.weights * self.weights / self.squares
    }

    /// The part of the largest weight in their sum.
    #[must_use]
    pub fn heaviest_part(&self) -> f64 {
        self.heaviest / self.weights
    }

    /// The part of the largest term in the sum of all terms' sizes. Above a hundredth the mean hangs on a single sample, and its error
    /// cannot be believed.
    #[must_use]
    pub fn largest_part(&self) -> f64 {
        self.largest / self.sizes
    }
}

impl Merge for Weighted {
    fn merge(&mut self, next: &Self) {
        self.terms.merge(&next.terms);
        self.weights += next.weights;
        self.squares += next.squares;
        self.sizes += next.sizes;
        self.heaviest = self.heaviest.max(next.heaviest);
        self.largest = self.largest.max(next.largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moments;

    fn of(samples: &[(f64, f64)]) -> Weighted {
        let mut weighted = Weighted::default();
        samples.iter().for_each(|(figure, weight)| weighted.push(*figure, *weight));
        weighted
    }

    #[test]
    fn one_weight_for_all_is_the_plain_mean() {
        let weighted = of(&[(1.0, 1.0), (2.0, 1.0), (6.0, 1.0)]);
        let plain = [1.0, 2.0, 6.0].into_iter().collect::<Moments>().mean();
        assert!((weighted.mean().value - plain.value).abs() < 1e-15);
        assert!((weighted.mean().sigma - plain.sigma).abs() < 1e-15);
        assert!((weighted.normalised().sigma - plain.sigma).abs() < 1e-15);
        assert_eq!(weighted.effective(), 3.0);
        assert_eq!(weighted.mean_weight(), Estimate::of(1.0, 0.0, 3));
        assert!((weighted.largest_part() - 6.0 / 9.0).abs() < 1e-15);
    }

    #[test]
    fn a_single_heavy_sample_is_seen() {
        let mut weighted = of(&[(1.0, 1.0); 50]);
        weighted.merge(&of(&[(1.0, 50.0)]));
        assert_eq!(weighted.heaviest_part(), 0.5);
        assert_eq!(weighted.largest_part(), 0.5);
        assert!((weighted.effective() - 100.0 * 100.0 / 2550.0).abs() < 1e-12);
        assert_eq!(weighted.normalised().value, 1.0);
        // A heavy one whose figure is nothing: seen in the weights alone.
        weighted.push(0.0, 100.0);
        assert_eq!(weighted.heaviest_part(), 0.5);
        assert_eq!(weighted.largest_part(), 0.5);
    }
}
