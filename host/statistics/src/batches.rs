//! A mean of samples that depend on their neighbours.

use crate::{Estimate, Merge, Moments};

/// Means of batches: samples that follow each other in one run, where what was before is still felt. Batches that are long beside
/// that are as good as independent, so the error is taken from their means, with one degree of freedom less than there are batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Batches {
    size: u64,
    /// Sum and number of the batch that is not full yet.
    open: (f64, u64),
    means: Vec<f64>,
}

impl Batches {
    /// Batches of so many samples; of 0 none is ever full.
    #[must_use]
    pub const fn new(size: u64) -> Self {
        Self { size, open: (0.0, 0), means: Vec::new() }
    }

    /// Adds a sample.
    pub fn push(&mut self, sample: f64) {
        let (sum, n) = &mut self.open;
        *sum += sample;
        *n = n.saturating_add(1);
        if *n == self.size {
            self.means.push(*sum / self.size as f64);
            self.open = (0.0, 0);
        }
    }

    /// The means of the full batches, in order.
    #[must_use]
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// Samples of the last batch, which is not full and counts for nothing.
    #[must_use]
    pub const fn left_over(&self) -> u64 {
        self.open.1
    }

    /// The mean of all full batches, with its error. Its interval is by Student's t.
    #[must_use]
    pub fn mean(&self) -> Estimate {
        self.means.iter().copied().collect::<Moments>().mean()
    }

    /// How much a batch's mean goes with that of the next: about 0 within 2/sqrt(batches) where batches are long enough. Where it is
    /// above, the error is too small and batches have to be longer.
    #[must_use]
    pub fn correlation(&self) -> f64 {
        let mean = self.mean().value;
        let spread: f64 = self.means.iter().map(|x| (x - mean) * (x - mean)).sum();
        let next = self.means.iter().zip(self.means.iter().skip(1));
        next.map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>() / spread
    }
}

impl Merge for Batches {
    /// Adds another run's full batches. What is left over on either side is left out, so that no batch is of two runs.
    fn merge(&mut self, next: &Self) {
        self.means.extend_from_slice(&next.means);
        self.open = (0.0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_full_or_do_not_count() {
        let mut batches = Batches::new(3);
        for x in [1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 100.0] {
            batches.push(x);
        }
        assert_eq!(batches.means(), [2.0, 8.0]);
        assert_eq!(batches.left_over(), 1);
        assert_eq!(batches.mean().value, 5.0);
        assert_eq!(batches.mean().samples, 2);
        let mut both = batches.clone();
        both.merge(&batches);
        assert_eq!(both.means(), [2.0, 8.0, 2.0, 8.0]);
        assert_eq!(both.left_over(), 0);
        assert_eq!(both.correlation(), -0.75);
        let mut none = Batches::new(0);
        none.push(1.0);
        assert!(none.means().is_empty());
    }
}
