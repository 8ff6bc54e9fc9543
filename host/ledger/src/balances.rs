//! The balances of all accounts. Those of miners stand in columns by the miner's number, since there may be a million of
//! them and one income changes them all; the few others in a map. In order and in bytes it is the map of all accounts.

use crate::{Account, Owner};
use millpond_types::MinerId;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Below this a miner has a place of his own, 16 bytes for each: numbers are given from 1 on. Those above are looked up,
/// so that no number in a file makes a column as long as itself.
const PLACES: usize = 1 << 22;

/// Balances that are not zero, on their natural side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balances {
    immature: Column,
    payable: Column,
    /// Those of no miner.
    others: BTreeMap<Account, i128>,
}

/// One balance for each miner.
#[derive(Clone, Debug, Default)]
struct Column {
    near: Vec<i128>,
    beyond: BTreeMap<MinerId, i128>,
}

impl Column {
    fn place(miner: MinerId) -> Option<usize> {
        usize::try_from(miner.0).ok().filter(|place| *place < PLACES)
    }

    fn get(&self, miner: MinerId) -> i128 {
        let found = match Self::place(miner) {
            Some(place) => self.near.get(place),
            None => self.beyond.get(&miner),
        };
        found.copied().unwrap_or(0)
    }

    fn set(&mut self, miner: MinerId, balance: i128) {
        let Some(place) = Self::place(miner) else {
            if balance == 0 {
                self.beyond.remove(&miner);
            } else {
                self.beyond.insert(miner, balance);
            }
            return;
        };
        if place >= self.near.len() {
            if balance == 0 {
                return;
            }
            self.near.resize(place.saturating_add(1), 0);
        }
        if let Some(slot) = self.near.get_mut(place) {
            *slot = balance;
        }
    }

    fn iter(&self) -> impl Iterator<Item = (MinerId, i128)> + '_ {
        let near = (0..).map(MinerId).zip(self.near.iter().copied()).filter(|(_, balance)| *balance != 0);
        near.chain(self.beyond.iter().map(|(miner, balance)| (*miner, *balance)))
    }
}

// Room that was made for miners whose balance is zero again makes no difference.
impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Column {}

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
    }
}
