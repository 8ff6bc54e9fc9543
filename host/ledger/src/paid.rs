//! What each owner was sent so far, as running sums: pages ask for it all day and must not walk the history for it.

use crate::book::amount_of;
use crate::column::Column;
use crate::{Book, Entry, IncomeKey, IncomeStatus, Owner, PaymentId, SettledRow, Share};
use millpond_types::{Amount, MinerId};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The sums by owner. In order and in bytes it is the map of all owners who were ever sent something, those among them
/// whose sum is zero again too: checkpoints say so. Copies share the columns' blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paid {
    miners: Column,
    /// Miners whose sum is zero.
    zeros: BTreeSet<MinerId>,
    others: BTreeMap<Owner, i128>,
}

impl Paid {
    pub(crate) fn get(&self, owner: &Owner) -> i128 {
        match owner {
            Owner::Miner(miner) => self.miners.get(*miner),
            _ => self.others.get(owner).copied().unwrap_or(0),
        }
    }

    fn set(&mut self, owner: Owner, sum: i128) {
        let Owner::Miner(miner) = owner else {
            self.others.insert(owner, sum);
            return;
        };
        self.miners.set(miner, sum);
        if sum == 0 {
            self.zeros.insert(miner);
        } else {
            self.zeros.remove(&miner);
        }
    }

    fn add(&mut self, owner: &Owner, sent: i128) {
        self.set(owner.clone(), self.get(owner).saturating_add(sent));
    }

    /// In the owners' order.
    fn iter(&self) -> impl Iterator<Item = (Owner, i128)> + '_ {
        let mut sums = self.miners.iter().peekable();
        let mut zeros = self.zeros.iter().map(|miner| (*miner, 0)).peekable();
        let miners = std::iter::from_fn(move || match (zeros.peek(), sums.peek()) {
            (Some(zero), Some(sum)) if zero.0 > sum.0 => sums.next(),
            (None, _) => sums.next(),
            _ => zeros.next(),
        });
        let others = self.others.iter().map(|(owner, sum)| (owner.clone(), *sum));
        miners.map(|(miner, sum)| (Owner::Miner(miner), sum)).chain(others)
    }
}

impl Serialize for Paid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Paid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Paid;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sums by owner")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Paid, A::Error> {
        let mut paid = Paid::default();
        while let Some((owner, sum)) = map.next_entry::<Owner, i128>()? {
            paid.set(owner, sum);
        }
        Ok(paid)
    }
}

impl Book {
    /// What was sent to an owner in all: by payments that are settled, and by the chain itself in matured coinbases.
    #[must_use]
    pub fn paid(&self, owner: &Owner) -> Amount {
        amount_of(self.paid.get(owner))
    }

    /// Sent to miners and to all others, summed over the owners.
    pub(crate) fn sent(&self) -> (i128, i128) {
        self.paid.iter().fold((0, 0), |(miners, others), (owner, sum)| match owner {
            Owner::Miner(_) => (miners.saturating_add(sum), others),
            _ => (miners, others.saturating_add(sum)),
        })
    }

    /// The sums after what an entry sends, which this book does not hold yet; `None` when it sends nothing.
    pub(crate) fn paid_after(&self, entry: &Entry) -> Option<Paid> {
        match entry {
            Entry::PaymentSettled { payment, rows, .. } => self.rows_sent(*payment, rows, 1),
            Entry::PaymentUndone { payment, rows, .. } => self.rows_sent(*payment, rows, -1),
            Entry::Matured { key } => self.direct_sent(key, IncomeStatus::Immature, 1),
            Entry::Reversed { key, .. } => self.direct_sent(key, IncomeStatus::Matured, -1),
            Entry::Reinstated { key } => self.direct_sent(key, IncomeStatus::LostAfterMaturity, 1),
            _ => None,
        }
    }

    fn rows_sent(&self, payment: PaymentId, done: &[SettledRow], sign: i128) -> Option<Paid> {
        let known = self.payments.get(&payment)?;
        let mut paid = self.paid.clone();
        for (row, done) in known.rows.iter().zip(done) {
            paid.add(&row.owner, sign * i128::from(done.sent.0));
        }
        Some(paid)
    }

    fn direct_sent(&self, key: &IncomeKey, was: IncomeStatus, sign: i128) -> Option<Paid> {
        let known = self.incomes.get(key).filter(|known| known.direct && known.status == was)?;
        // What the operator made good before stays payable when it matures at last: it is sent by a payment.
        if known.credited_early && was == IncomeStatus::Immature {
            return None;
        }
        let mut paid = self.paid.clone();
        for Share(owner, part) in known.parts.iter().flat_map(|parts| parts.shares()) {
            paid.add(owner, sign * i128::from(part.0));
        }
        Some(paid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_of_what_an_owner_was_sent_that_nothing_bears_out_are_not_conserved() {
        let mut book = Book::default();
        assert!(book.totals_anew().conserved);
        book.paid.add(&Owner::Miner(MinerId(1)), 5);
        assert!(!book.totals_anew().conserved, "nothing was ever sent");
        book.paid.add(&Owner::Carry, -5);
        assert!(!book.totals_anew().conserved, "nor is it made good by another kind of owner");
    }

    proptest! {
        #[test]
        fn the_sums_are_the_map_of_all_owners_with_those_that_are_zero_again(
            sent in proptest::collection::vec((0_u64..6, -2..3_i128), 0..40),
        ) {
            let owner = |number| match number {
                0 => Owner::Carry,
                5 => Owner::Miner(MinerId(u64::MAX)),
                miner => Owner::Miner(MinerId(miner)),
            };
            let (mut paid, mut map) = (Paid::default(), BTreeMap::new());
            for (number, sent) in sent {
                paid.add(&owner(number), sent);
                *map.entry(owner(number)).or_default() += sent;
            }
            let bytes = serde_json::to_vec(&paid).unwrap();
            prop_assert_eq!(&bytes, &serde_json::to_vec(&map).unwrap());
            prop_assert_eq!(serde_json::from_slice::<Paid>(&bytes).unwrap(), paid.clone());
            for (owner, sum) in map {
                prop_assert_eq!(paid.get(&owner), sum);
            }
        }
    }
}
