//! Money, in ledger units of one chain (satoshi for Bitcoin).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A non-negative amount of money in ledger units. Arithmetic is checked: there is no operator that wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` when it does not fit 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, or `None` when `other` is larger.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The sum of many amounts, or `None` on overflow.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Option<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// `self * numerator / denominator`, rounded down; `None` when the denominator is 0 or the result does not fit.
    #[must_use]
    pub fn fraction(self, numerator: u64, denominator: u64) -> Option<Self> {
        let product = u128::from(self.0).checked_mul(u128::from(numerator))?;
        u64::try_from(product.checked_div(u128::from(denominator))?).ok().map(Self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_exact_where_the_product_exceeds_64_bits() {
        assert_eq!(Amount(u64::MAX).fraction(7500, 10_000), Some(Amount(13_835_058_055_282_163_711)));
        assert_eq!(Amount(1).fraction(1, 0), None);
        assert_eq!(Amount(u64::MAX).fraction(2, 1), None);
    }

    #[test]
    fn a_sum_that_does_not_fit_is_refused() {
        assert_eq!(Amount::sum([Amount(u64::MAX), Amount(1)]), None);
        assert_eq!(Amount::sum([Amount(2), Amount(3)]), Some(Amount(5)));
    }
}
