//! Whether a measured figure is the expected one, and whether the measurement could have told.
//!
//! A figure holds within 4 σ. A test that takes enough samples for 1 % of the figure to be 8 σ passes a right one but once in
//! 16,000 times, and a figure that is 1 % off once in 30,000. What is too wide to tell is no pass: a σ above a 700th of the
//! figure, or one that is not what was planned, fails as well.

use crate::Estimate;
use serde::Serialize;

/// As many σ may lie between.
const ALLOWED: f64 = 4.0;
/// 1 % of the figure is to be as many σ.
const APART: f64 = 8.0;
/// A σ above this part of the figure tells too little: a bit more than the 800th that is planned.
const WIDEST: f64 = 1.0 / 700.0;
/// From where to where a σ may lie beside the planned one.
const PLANNED: (f64, f64) = (0.7, 1.4);

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Expectation {
    /// The figure.
    pub value: f64,
    /// The error that was planned, one σ.
    pub sigma: f64,
}

/// What came of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Within 4 σ.
    Holds {
        /// How many σ it is off.
        z: f64,
    },
    /// Beyond.
    Deviates {
        /// How many σ it is off.
        z: f64,
    },
    /// The error is too large for 1 % to be seen.
    Underpowered {
        /// The error by the figure.
        relative: f64,
    },
    /// The error is not the one that was planned: the samples are not what they are taken for.
    Unplanned {
        /// The error by the planned one.
        ratio: f64,
    },
}

impl Verdict {
    /// Whether the figure holds.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Holds { .. })
    }
}

impl Expectation {
    /// A figure with the error that is planned: the 800th of it of which 1 % is 8 σ.
    #[must_use]
    pub fn of(value: f64) -> Self {
        Self { value, sigma: value.abs() * 0.01 / APART }
    }

    /// How many samples it takes until 1 % of the figure is 8 σ, where one sample deviates by so much of it.
    #[must_use]
    pub fn samples(relative_deviation: f64) -> u64 {
        let per = relative_deviation * APART / 0.01;
        (per * per).ceil() as u64
    }

    /// The figure times a factor, with the same error planned: 1.01 and 0.99 are the twins that must not hold.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        Self { value: self.value * factor, ..*self }
    }

    /// What a measurement says. What is no number deviates.
    #[must_use]
    pub fn judge(&self, measured: &Estimate) -> Verdict {
        let z = measured.z(self.value);
        let relative = measured.sigma / self.value.abs();
        let ratio = measured.sigma / self.sigma;
        if z.is_nan() || measured.sigma.is_nan() {
            Verdict::Deviates { z: f64::NAN }
        } else if relative > WIDEST {
            Verdict::Underpowered { relative }
        } else if ratio < PLANNED.0 || ratio > PLANNED.1 {
            Verdict::Unplanned { ratio }
        } else if z.abs() <= ALLOWED {
            Verdict::Holds { z }
        } else {
            Verdict::Deviates { z }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_holds_within_four_sigma_and_one_percent_off_does_not() {
        let expected = Expectation::of(8.0);
        assert_eq!(expected.sigma, 0.01);
        let measured = Estimate::of(8.039, 0.01, 1000);
        assert!(expected.judge(&measured).holds());
        assert!(matches!(expected.times(1.01).judge(&measured), Verdict::Deviates { z } if z < -4.0));
        assert!(matches!(expected.times(0.99).judge(&measured), Verdict::Deviates { z } if z > 4.0));
        assert!(!expected.judge(&Estimate::of(8.041, 0.01, 1000)).holds());
    }

    #[test]
    fn what_cannot_tell_does_not_hold() {
        let expected = Expectation::of(8.0);
        assert!(matches!(expected.judge(&Estimate::of(8.0, 0.0115, 9)), Verdict::Underpowered { .. }));
        assert!(matches!(expected.judge(&Estimate::of(8.0, 0.006, 9)), Verdict::Unplanned { .. }));
        assert!(matches!(expected.judge(&Estimate::of(8.0, f64::NAN, 1)), Verdict::Deviates { .. }));
        assert!(matches!(expected.judge(&Estimate::of(f64::NAN, 0.01, 9)), Verdict::Deviates { .. }));
        let narrow = Expectation { value: 8.0, sigma: 0.005 };
        assert!(matches!(narrow.judge(&Estimate::of(8.0, 0.008, 9)), Verdict::Unplanned { .. }));
        assert!(narrow.judge(&Estimate::of(8.0, 0.0069, 9)).holds());
        let wide = Expectation { value: 0.1, sigma: 0.1 };
        assert!(matches!(wide.judge(&Estimate::of(0.1, 0.1, 9)), Verdict::Underpowered { .. }));
    }

    #[test]
    fn samples_are_enough_for_one_percent() {
        assert_eq!(Expectation::samples(1.0), 640_000);
        let sigma = 2.893_f64.sqrt() / (Expectation::samples(2.893_f64.sqrt()) as f64).sqrt();
        assert!((sigma * 800.0 - 1.0).abs() < 1e-6);
    }
}
