//! The balances of all accounts. Those of miners stand in columns by the miner's number, since there may be a million of
//! them and one income changes them all; the few others in a map. In order and in bytes it is the map of all accounts. A
//! copy shares the columns' blocks: what an entry leads to is made beside what is read meanwhile.

use crate::column::Column;
use crate::{Account, LedgerError, Owner, Posting};
use millpond_types::MinerId;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Balances that are not zero, on their natural side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balances {
    immature: Column,
    payable: Column,
    /// Those of no miner.
    others: BTreeMap<Account, i128>,
}

impl Balances {
    pub(crate) fn get(&self, account: &Account) -> i128 {
        match account {
            Account::Immature(Owner::Miner(miner)) => self.immature.get(*miner),
            Account::Payable(Owner::Miner(miner)) => self.payable.get(*miner),
            _ => self.others.get(account).copied().unwrap_or(0),
        }
    }

    pub(crate) fn set(&mut self, account: &Account, balance: i128) {
        match account {
            Account::Immature(Owner::Miner(miner)) => self.immature.set(*miner, balance),
            Account::Payable(Owner::Miner(miner)) => self.payable.set(*miner, balance),
            _ if balance == 0 => drop(self.others.remove(account)),
            _ => drop(self.others.insert(account.clone(), balance)),
        }
    }

    /// The balances after these postings, which sum to zero and take no bounded account below it. What counts is where an
    /// account ends, however many postings it has. Every balance that grows is told with by how much.
    pub(crate) fn after(
        &self,
        postings: &[Posting],
        mut grew: impl FnMut(&Account, i128),
    ) -> Result<Self, LedgerError> {
        let (mut after, mut sum) = (self.clone(), 0_i128);
        for posting in postings {
            sum = sum.checked_add(posting.amount).ok_or(LedgerError::Overflow("the sum of postings"))?;
            let grows = posting.natural()?;
            let balance = after.get(&posting.account).checked_add(grows);
            after.set(&posting.account, balance.ok_or(LedgerError::Overflow("a balance"))?);
            grew(&posting.account, grows);
        }
        if sum != 0 {
            return Err(LedgerError::Unbalanced(sum));
        }
        let below = |account: &&Account| account.bounded() && after.get(account) < 0;
        match postings.iter().map(|posting| &posting.account).filter(below).min() {
            Some(account) => Err(LedgerError::Overdrawn {
                account: account.clone(),
                balance: self.get(account),
                after: after.get(account),
            }),
            None => Ok(after),
        }
    }

    /// All that are not zero, in the accounts' order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Account, i128)> + '_ {
        let first = Owner::Miner(MinerId(0));
        let (immature, payable) = (Account::Immature(first.clone()), Account::Payable(first));
        let before = self.others.range(..&immature);
        let between = self.others.range(&immature..&payable);
        let behind = self.others.range(&payable..);
        let owned = |(account, balance): (&Account, &i128)| (account.clone(), *balance);
        let of_miners = |kind: fn(Owner) -> Account| {
            move |(miner, balance): (MinerId, i128)| (kind(Owner::Miner(miner)), balance)
        };
        before
            .map(owned)
            .chain(self.immature.iter().map(of_miners(Account::Immature)))
            .chain(between.map(owned))
            .chain(self.payable.iter().map(of_miners(Account::Payable)))
            .chain(behind.map(owned))
    }

    /// What may be paid, by owner.
    pub(crate) fn payables(&self) -> impl Iterator<Item = (Owner, i128)> + '_ {
        let miners = self.payable.iter().map(|(miner, balance)| (Owner::Miner(miner), balance));
        miners.chain(self.others.iter().filter_map(|(account, balance)| match account {
            Account::Payable(owner) => Some((owner.clone(), *balance)),
            _ => None,
        }))
    }
}

impl Serialize for Balances {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Balances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Balances;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("balances by account")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Balances, A::Error> {
        let mut balances = Balances::default();
        while let Some((account, balance)) = map.next_entry::<Account, i128>()? {
            balances.set(&account, balance);
        }
        Ok(balances)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FeeName;
    use crate::column::PLACES;
    use proptest::prelude::*;

    fn account() -> impl Strategy<Value = Account> {
        let miner = prop_oneof![
            4 => 1_u64..9,
            1 => (PLACES as u64 - 2)..(PLACES as u64 + 2),
            1 => Just(u64::MAX),
        ];
        let owner = prop_oneof![
            4 => miner.prop_map(|number| Owner::Miner(MinerId(number))),
            1 => "[a-c]".prop_map(|name| Owner::Fee(FeeName::try_from(name).unwrap())),
            1 => Just(Owner::Carry),
            1 => Just(Owner::Reserve),
        ];
        (0..7_u8, owner).prop_map(|(kind, owner)| match kind {
            0 => Account::ImmatureIncome,
            1 => Account::Wallet,
            2 => Account::NetworkFees,
            3 => Account::OperatorLoss,
            4 => Account::InFlight,
            5 => Account::Immature(owner),
            _ => Account::Payable(owner),
        })
    }

    proptest! {
        #[test]
        fn they_are_the_map_of_all_accounts_in_order_and_in_bytes(
            changes in proptest::collection::vec((account(), -3..4_i128), 0..60),
        ) {
            let (mut balances, mut map) = (Balances::default(), BTreeMap::new());
            for (account, balance) in &changes {
                balances.set(account, *balance);
                match balance {
                    0 => drop(map.remove(account)),
                    _ => drop(map.insert(account.clone(), *balance)),
                }
            }
            for (account, _) in &changes {
                prop_assert_eq!(balances.get(account), map.get(account).copied().unwrap_or(0));
            }
            let in_order: Vec<_> = map.iter().map(|(account, balance)| (account.clone(), *balance)).collect();
            prop_assert_eq!(balances.iter().collect::<Vec<_>>(), in_order);
            let bytes = serde_json::to_vec(&balances).unwrap();
            prop_assert_eq!(&bytes, &serde_json::to_vec(&map).unwrap());
            let read: Balances = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(&read, &balances);
            let payable: BTreeMap<_, _> = balances.payables().collect();
            let expected: BTreeMap<_, _> = map
                .into_iter()
                .filter_map(|(account, balance)| match account {
                    Account::Payable(owner) => Some((owner, balance)),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(payable, expected);
        }

        #[test]
        fn what_comes_after_postings_is_their_sum_by_account_or_the_first_account_that_is_overdrawn(
            before in proptest::collection::vec((account(), 0..4_i128), 0..20),
            postings in proptest::collection::vec((account(), -3..4_i128), 0..20),
        ) {
            let mut balances = Balances::default();
            before.iter().for_each(|(account, balance)| balances.set(account, *balance));
            let mut postings: Vec<_> =
                postings.into_iter().map(|(account, amount)| Posting { account, amount }).collect();
            let rest: i128 = postings.iter().map(|posting| posting.amount).sum();
            let mut sums: BTreeMap<Account, i128> = balances.iter().collect();
            let unbalanced = balances.after(&postings, |_, _| ());
            prop_assert!(rest == 0 || matches!(unbalanced, Err(LedgerError::Unbalanced(by)) if by == rest));
            postings.push(Posting { account: Account::Wallet, amount: -rest });
            for posting in &postings {
                *sums.entry(posting.account.clone()).or_default() += posting.natural().unwrap();
            }
            // Only what was posted to is looked at.
            let posted = |account: &Account| postings.iter().any(|posting| posting.account == *account);
            let overdrawn = sums.iter().find(|(account, sum)| account.bounded() && **sum < 0 && posted(account));
            let mut grown = BTreeMap::<Account, i128>::new();
            let after = balances.after(&postings, |account, by| *grown.entry(account.clone()).or_default() += by);
            match (overdrawn, after) {
                (None, Ok(after)) => {
                    sums.retain(|_, sum| *sum != 0);
                    prop_assert_eq!(after.iter().collect::<BTreeMap<_, _>>(), sums);
                    for (account, by) in grown {
                        prop_assert_eq!(after.get(&account) - balances.get(&account), by);
                    }
                }
                (Some((wrong, sum)), Err(LedgerError::Overdrawn { account, balance, after })) => {
                    prop_assert_eq!((wrong, *sum, balances.get(wrong)), (&account, after, balance));
                }
                (wrong, after) => prop_assert!(false, "{wrong:?}, and it gave {after:?}"),
            }
        }
    }
}
