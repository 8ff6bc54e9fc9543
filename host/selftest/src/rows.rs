//! The rows. Each file has what is measured in one run.

mod alone;
mod delay;
mod double;
mod hopping;
mod last_shares;
mod loyal;
mod round;
mod ruin;
mod scores;
mod steady;
mod withholding;

use crate::lab::{Failure, Lab};
use crate::{Code, Figure};
use millpond_statistics::{Estimate, Expectation, Weighted};

/// What is measured in one run: one figure or several.
pub(crate) trait Experiment: Send + Sync {
    /// What is to be found, in order.
    fn figures(&self) -> Vec<Figure>;

    /// An estimate of each; with the twin's mistake or without, on the same random numbers.
    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure>;
}

/// In the table's order.
pub(crate) fn all() -> Vec<Box<dyn Experiment>> {
    vec![
        Box::new(hopping::Threshold),
        Box::new(hopping::Hopper),
        Box::new(scores::Hopper),
        Box::new(loyal::Loyal),
        Box::new(round::Share),
        Box::new(last_shares::Variance),
        Box::new(last_shares::Unpaid),
        Box::new(double::Share),
        Box::new(steady::Solo),
        Box::new(steady::Pps),
        Box::new(steady::Prop),
        Box::new(steady::LastShares),
        Box::new(ruin::Ruin::usual()),
        Box::new(ruin::Ruin::wanted()),
        Box::new(alone::Days),
        Box::new(alone::LongRounds),
        Box::new(withholding::Withholder),
        Box::new(delay::Proportional),
        Box::new(delay::Compatible),
    ]
}

/// The parts of a figure that are not numbers.
struct Name {
    row: &'static str,
    what: &'static str,
    code: Code,
    formula: &'static str,
    twin: &'static str,
}

impl Name {
    /// A figure by its samples, each of which deviates by so much of it: the standard error is planned by that.
    fn figure(self, expected: f64, published: Option<f64>, samples: u64, deviation: f64) -> Figure {
        let planned = expected.abs() * deviation / (samples as f64).sqrt();
        self.planned(expected, published, samples, planned)
    }

    fn planned(self, expected: f64, published: Option<f64>, samples: u64, planned: f64) -> Figure {
        let Self { row, what, code, formula, twin } = self;
        Figure { row, what, code, formula, expected, published, samples, planned, twin }
    }
}

/// So many samples that 1 % of a figure are 8 σ, where each deviates by so much of it.
fn enough(deviation: f64) -> u64 {
    Expectation::samples(deviation)
}

/// The probability of one of so many, in units of 2^-64.
const fn one_of(many: u64) -> u128 {
    (1_u128 << 64) / many as u128
}

/// A figure without a sampling error may be off by so much: amounts are rounded down to 10^-15 of an income.
const ROUNDING: f64 = 1e-9;

/// A figure that is enumerated: its error is what rounding may make, at 4 σ.
fn enumerated(value: f64, expected: f64, states: u64) -> Estimate {
    Estimate { value, sigma: rounding(expected), samples: states }
}

fn rounding(expected: f64) -> f64 {
    ROUNDING / 4.0 * expected.abs()
}

/// How often something was, of so many times.
fn part(hits: u64, of: u64) -> Estimate {
    let n = of as f64;
    let value = hits as f64 / n;
    Estimate { value, sigma: (value * (1.0 - value) / n).sqrt(), samples: of }
}

/// A mean by weights, where no sample has more than a hundredth of it. An error that hangs on one sample is none: the figure
/// deviates then, whatever it is.
fn weighed(samples: &Weighted) -> Estimate {
    let mean = samples.mean();
    if samples.largest_part() < 0.01 { mean } else { Estimate { sigma: f64::NAN, ..mean } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_that_hangs_on_one_sample_does_not_hold() {
        let mut samples = Weighted::default();
        (0..1000).for_each(|at| samples.push(1.0, if at % 2 == 0 { 0.99 } else { 1.01 }));
        let mean = weighed(&samples);
        let expected = Expectation { value: 1.0, sigma: mean.sigma };
        assert!(expected.judge(&mean).holds());
        samples.push(1.0, 50.0);
        assert!(!expected.judge(&weighed(&samples)).holds());
        assert!(weighed(&samples).sigma.is_nan() && !samples.mean().sigma.is_nan());
    }

    #[test]
    fn a_part_has_the_error_of_a_binomial() {
        let estimate = part(20, 100);
        assert_eq!((estimate.value, estimate.sigma, estimate.samples), (0.2, 0.04, 100));
    }
}
