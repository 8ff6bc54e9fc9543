//! Allocations: how one income or one batch of accrued shares is divided.

use crate::{LedgerError, Owner};
use millpond_types::{Amount, MinerId};
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;

/// One owner's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share(pub Owner, pub Amount);

/// Parts in strictly ascending order of owner (miners by number, then fee recipients by name, carry, reserve),
/// each above zero. Only a list that satisfies this can be had. Copies share it: it may have a million parts, and stands
/// in an entry, in the book and in what follows both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<Share>")]
pub struct Allocation(Arc<Vec<Share>>);

impl Allocation {
    /// Checks order, amounts and the sum.
    ///
    /// # Errors
    /// When owners are not strictly ascending, an amount is zero, or the sum does not fit 64 bits.
    pub fn new(shares: Vec<Share>) -> Result<Self, LedgerError> {
        let ascending = shares.iter().zip(shares.iter().skip(1)).all(|(a, b)| a.0 < b.0);
        if !ascending {
            return Err(LedgerError::Allocation("owners are not strictly ascending"));
        }
        if shares.iter().any(|share| share.1 == Amount::ZERO) {
            return Err(LedgerError::Allocation("an owner's part is zero"));
        }
        if Amount::sum(shares.iter().map(|share| share.1)).is_none() {
            return Err(LedgerError::Allocation("the parts do not fit 64 bits"));
        }
        Ok(Self(Arc::new(shares)))
    }

    /// Sorts, merges parts of the same owner and drops zeros.
    ///
    /// # Errors
    /// When a sum does not fit 64 bits.
    pub fn merged(parts: impl IntoIterator<Item = (Owner, Amount)>) -> Result<Self, LedgerError> {
        let mut shares: Vec<Share> = parts.into_iter().map(|(owner, amount)| Share(owner, amount)).collect();
        // Mostly they come in order, a million of them at times: the stable sort sees that.
        shares.sort_by(|a, b| a.0.cmp(&b.0));
        let mut fits = true;
        shares.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                let sum = kept.1.checked_add(next.1);
                fits &= sum.is_some();
                kept.1 = sum.unwrap_or(kept.1);
            }
            same
        });
        if !fits {
            return Err(LedgerError::Allocation("the parts do not fit 64 bits"));
        }
        shares.retain(|share| share.1 > Amount::ZERO);
        Self::new(shares)
    }

    /// The parts, ascending.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.0
    }

    /// The sum of all parts.
    #[must_use]
    pub fn total(&self) -> Amount {
        // `new` has seen that the sum fits.
        Amount::sum(self.0.iter().map(|share| share.1)).unwrap_or(Amount(u64::MAX))
    }

    /// One owner's part; zero when he has none.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> Amount {
        let found = self.0.binary_search_by(|share| share.0.cmp(owner)).ok();
        found.and_then(|at| self.0.get(at)).map_or(Amount::ZERO, |share| share.1)
    }

    /// The miners' parts.
    pub fn miners(&self) -> impl Iterator<Item = (MinerId, Amount)> + '_ {
        self.0.iter().filter_map(|share| match share.0 {
            Owner::Miner(id) => Some((id, share.1)),
            _ => None,
        })
    }
}

impl TryFrom<Vec<Share>> for Allocation {
    type Error = LedgerError;

    fn try_from(shares: Vec<Share>) -> Result<Self, Self::Error> {
        Self::new(shares)
    }
}

impl Serialize for Allocation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn miner(id: u64, amount: u64) -> Share {
        Share(Owner::Miner(MinerId(id)), Amount(amount))
    }

    #[test]
    fn an_allocation_is_ascending_and_has_no_empty_part() {
        assert!(Allocation::new(vec![miner(1, 5), miner(2, 5)]).is_ok());
        assert!(Allocation::new(vec![miner(2, 5), miner(1, 5)]).is_err());
        assert!(Allocation::new(vec![miner(1, 5), miner(1, 5)]).is_err());
        assert!(Allocation::new(vec![miner(1, 0)]).is_err());
        assert!(Allocation::new(vec![miner(1, u64::MAX), miner(2, 1)]).is_err());
    }

    #[test]
    fn parts_of_one_owner_are_merged() {
        let parts = [(2, 5), (1, 3), (2, 6), (9, 0)].map(|(id, a)| (Owner::Miner(MinerId(id)), Amount(a)));
        let merged = Allocation::merged(parts).unwrap();
        assert_eq!(merged.shares(), [miner(1, 3), miner(2, 11)]);
        assert_eq!(merged.of(&Owner::Miner(MinerId(2))), Amount(11));
        assert_eq!(merged.of(&Owner::Carry), Amount::ZERO);
        let wide = [(2, u64::MAX), (1, 3), (2, 1)].map(|(id, a)| (Owner::Miner(MinerId(id)), Amount(a)));
        assert!(Allocation::merged(wide).is_err());
    }

    #[test]
    fn a_stored_allocation_out_of_order_does_not_load() {
        assert!(serde_json::from_str::<Allocation>(r#"[["m2",1],["m1",1]]"#).is_err());
        assert!(serde_json::from_str::<Allocation>(r#"[["m1",1],["m2",1]]"#).is_ok());
    }
}
