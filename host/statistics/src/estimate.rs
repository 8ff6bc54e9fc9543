//! A figure with its error.

use crate::student_quantile;
use serde::Serialize;

/// A figure that was estimated, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its standard error: one σ.
    pub sigma: f64,
    /// Independent samples that the error was estimated from.
    pub samples: u64,
}

/// From where to where a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies inside, ends and all.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

impl Estimate {
    pub(crate) const fn of(value: f64, sigma: f64, samples: u64) -> Self {
        Self { value, sigma, samples }
    }

    /// How many σ this lies above a value. Where there is no error, 0 or infinitely many.
    #[must_use]
    pub fn z(&self, expected: f64) -> f64 {
        let away = self.value - expected;
        if away == 0.0 { 0.0 } else { away / self.sigma }
    }

    /// Where the true value is with a confidence such as 0.95, by Student's t with one degree less than there are samples.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Interval {
        let t = student_quantile(0.5 + 0.5 * confidence, self.samples.saturating_sub(1) as f64);
        let half = t * self.sigma;
        Interval { low: self.value - half, high: self.value + half }
    }

    /// A multiple of the figure.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        Self { value: self.value * factor, sigma: self.sigma * factor.abs(), samples: self.samples }
    }

    /// The figure plus one without an error.
    #[must_use]
    pub fn plus(&self, known: f64) -> Self {
        Self { value: self.value + known, ..*self }
    }

    /// The sum of this and of another from other samples.
    #[must_use]
    pub fn plus_independent(&self, other: &Self) -> Self {
        let sigma = (self.sigma * self.sigma + other.sigma * other.sigma).sqrt();
        Self { value: self.value + other.value, sigma, samples: self.samples.min(other.samples) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_as_wide_as_students_t_says() {
        // t of 0.975 with 10 degrees: 2.228139.
        let interval = Estimate::of(5.0, 2.0, 11).interval(0.95);
        assert!((interval.high - 9.456_278).abs() < 1e-6 && (interval.low - 0.543_722).abs() < 1e-6);
        assert!(interval.holds(9.0) && !interval.holds(9.5) && !interval.holds(f64::NAN));
    }

    #[test]
    fn no_error_is_far_from_everything_else() {
        let exact = Estimate::of(5.0, 0.0, 3);
        assert_eq!(exact.z(5.0), 0.0);
        assert_eq!(exact.z(4.0), f64::INFINITY);
        assert_eq!(Estimate::of(5.0, 0.5, 3).z(7.0), -4.0);
    }

    #[test]
    fn errors_follow_their_figures() {
        let one = Estimate::of(5.0, 3.0, 9);
        assert_eq!(one.times(-2.0), Estimate::of(-10.0, 6.0, 9));
        assert_eq!(one.plus(1.0), Estimate::of(6.0, 3.0, 9));
        assert_eq!(one.plus_independent(&Estimate::of(1.0, 4.0, 7)), Estimate::of(6.0, 5.0, 7));
    }
}
