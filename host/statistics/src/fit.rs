//! Whether samples are of the distribution that they are said to be of.

use crate::{chi_square_above, kolmogorov_above, normal_quantile};
use serde::Serialize;

/// What a test of fit says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// χ², or the largest distance times √n.
    pub statistic: f64,
    /// The probability of one as large where all is as said.
    pub p: f64,
}

impl Fit {
    /// The probability as σ of a normal deviate: above 4 in one of 31,574 right ones.
    #[must_use]
    pub fn z(&self) -> f64 {
        -normal_quantile(self.p)
    }
}

/// Pearson's test. Of each cell: how many fell there, and its probability. The probabilities add up to 1, and each is worth 5 samples at
/// least. What falls where nothing can is as far off as can be.
#[must_use]
pub fn chi_square(cells: &[(u64, f64)]) -> Fit {
    let n: f64 = cells.iter().map(|(count, _)| *count as f64).sum();
    let mut statistic = 0.0;
    let mut degrees = -1.0;
    for (count, p) in cells {
        if *p > 0.0 {
            let away = *count as f64 - n * p;
            statistic += away * away / (n * p);
            degrees += 1.0;
        } else if *count > 0 {
            statistic = f64::INFINITY;
        }
    }
    Fit { statistic, p: chi_square_above(statistic, degrees) }
}

/// Kolmogorov's and Smirnov's test of samples against the probability of being below a value, for a hundred samples and more
/// (with M. A. Stephens's correction of their number, 1970). The samples are sorted.
pub fn kolmogorov_smirnov(samples: &mut [f64], below: impl Fn(f64) -> f64) -> Fit {
    samples.sort_unstable_by(f64::total_cmp);
    let n = samples.len() as f64;
    let mut distance = 0.0_f64;
    for (at, sample) in samples.iter().enumerate() {
        let p = below(*sample);
        distance = distance.max((at as f64 + 1.0) / n - p).max(p - at as f64 / n);
    }
    let root = n.sqrt();
    let statistic = distance * (root + 0.12 + 0.11 / root);
    Fit { statistic, p: kolmogorov_above(statistic) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_counted_against_their_probabilities() {
        // Mendel's peas, 1866: 315, 108, 101, 32 of 9:3:3:1. χ² is 0.470024, p 0.925426.
        let peas = [(315, 9.0 / 16.0), (108, 3.0 / 16.0), (101, 3.0 / 16.0), (32, 1.0 / 16.0)];
        let fit = chi_square(&peas);
        assert!((fit.statistic - 0.470_024).abs() < 1e-6 && (fit.p - 0.925_426).abs() < 1e-6, "{fit:?}");
        assert!(chi_square(&[(5, 0.5), (5, 0.5), (1, 0.0)]).z() > 4.0);
        assert_eq!(chi_square(&[(5, 0.5), (5, 0.5), (0, 0.0)]).statistic, 0.0);
    }

    #[test]
    fn the_largest_distance_is_found_on_either_side() {
        // Three of four are not above 0.4, where four tenths are due.
        let mut samples = [0.9, 0.3, 0.2, 0.4];
        let fit = kolmogorov_smirnov(&mut samples, |x| x);
        assert!((fit.statistic - 0.35 * (2.0 + 0.12 + 0.055)).abs() < 1e-12, "{fit:?}");
        let mut mirrored = [0.1, 0.7, 0.8, 0.6];
        assert!((kolmogorov_smirnov(&mut mirrored, |x| x).statistic - fit.statistic).abs() < 1e-12);
    }
}
