//! Work: the expected number of hashes, in units of 2^shift.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The size of a unit of work: 2^shift expected hashes, 0 to 192, fixed for a network by its adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkShift(pub u8);

/// Work of one share, in units of 2^shift hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Work(pub u64);

/// A sum of work. 2^64 shares of the largest work fit, so adding cannot overflow in a pool's lifetime; it
/// saturates all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkSum(pub u128);

impl WorkSum {
    /// Adds one share's work.
    pub fn add(&mut self, work: Work) {
        self.0 = self.0.saturating_add(u128::from(work.0));
    }

    /// Low and high 64 bits, as the payout contract's columns carry a sum.
    #[must_use]
    pub fn halves(self) -> (u64, u64) {
        ((self.0 & u128::from(u64::MAX)) as u64, (self.0 >> 64) as u64)
    }
}

impl fmt::Display for WorkSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_put_a_sum_together_again() {
        let mut sum = WorkSum((7 << 64) - 1);
        sum.add(Work(2));
        assert_eq!(sum.halves(), (1, 7));
    }
}
