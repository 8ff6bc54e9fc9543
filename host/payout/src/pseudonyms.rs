//! Per-call pseudonyms: miners are numbered 1, 2, 3, … in an order that the income's key decides, so that a scheme
//! cannot know or favour anybody, and rounding by position favours nobody over time.

use crate::WindowSums;
use millpond_contracts::payout::Totals;
use millpond_types::MinerId;
use std::collections::{BTreeMap, BTreeSet};

/// One call's names.
#[derive(Clone, Debug)]
pub(crate) struct Pseudonyms {
    /// Pseudonym minus 1 to miner.
    miners: Vec<MinerId>,
    names: BTreeMap<MinerId, u64>,
}

impl Pseudonyms {
    /// Numbers miners in an order drawn from `seed` and `run` (0 for the call that counts, 1 for its check). In the
    /// check nobody bears the name that he bore in the call, so that a favourite name always shows.
    pub(crate) fn new(miners: &BTreeSet<MinerId>, seed: &[u8], run: u8) -> Self {
        let mut order: Vec<MinerId> = miners.iter().copied().collect();
        // Fisher-Yates for the call; then Sattolo's variant, which leaves nothing in its place, for the check.
        shuffle(&mut order, seed, 0, 1);
        if run > 0 {
            shuffle(&mut order, seed, run, 0);
        }
        let names = order.iter().zip(1..).map(|(miner, name)| (*miner, name)).collect();
        Self { miners: order, names }
    }

    pub(crate) fn len(&self) -> u64 {
        self.miners.len() as u64
    }

    pub(crate) fn name(&self, miner: MinerId) -> Option<u64> {
        self.names.get(&miner).copied()
    }

    pub(crate) fn miner(&self, name: u64) -> Option<MinerId> {
        let at = usize::try_from(name.checked_sub(1)?).ok()?;
        self.miners.get(at).copied()
    }

    /// A window's columns under these names, without miners that have nothing in it.
    pub(crate) fn totals(&self, sums: &WindowSums) -> Totals {
        let rows: BTreeMap<u64, u128> = sums
            .0
            .iter()
            .filter(|row| row.1 > 0)
            .filter_map(|(miner, sum)| Some((self.name(*miner)?, *sum)))
            .collect();
        columns(rows)
    }
}

/// Shuffles by a stream drawn from the seed: place `at` swaps with one of the places up to `at` (`including` 1) or
/// strictly below it (0).
fn shuffle(order: &mut [MinerId], seed: &[u8], run: u8, including: u64) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"millpond pseudonyms 1\0");
    hasher.update(&[run]);
    hasher.update(seed);
    let mut stream = hasher.finalize_xof();
    for at in (1..order.len()).rev() {
        let mut word = [0; 8];
        stream.fill(&mut word);
        // The modulo's bias is below n/2^64.
        let other = u64::from_le_bytes(word) % (at as u64 + including);
        order.swap(at, usize::try_from(other).unwrap_or(at));
    }
}

/// Columns of rows in order.
pub(crate) fn columns(rows: impl IntoIterator<Item = (u64, u128)>) -> Totals {
    let mut totals = Totals::default();
    for (miner, sum) in rows {
        totals.miner.push(miner);
        totals.low.push((sum & u128::from(u64::MAX)) as u64);
        totals.high.push((sum >> 64) as u64);
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_bears_the_same_name_in_the_call_and_in_its_check() {
        for count in 2..6 {
            let miners: BTreeSet<_> = (1..=count).map(MinerId).collect();
            for seed in 0..50_u8 {
                let (call, check) =
                    (Pseudonyms::new(&miners, &[seed], 0), Pseudonyms::new(&miners, &[seed], 1));
                assert!(call.miners.iter().zip(&check.miners).all(|(one, two)| one != two));
                assert_eq!(check.miners.iter().copied().collect::<BTreeSet<_>>(), miners);
            }
        }
    }

    #[test]
    fn names_are_given_in_the_same_way_every_time() {
        let miners: BTreeSet<_> = (1..=100).map(MinerId).collect();
        let (one, two) = (Pseudonyms::new(&miners, b"key", 0), Pseudonyms::new(&miners, b"key", 0));
        assert_eq!(one.miners, two.miners);
        for miner in miners {
            assert_eq!(one.name(miner).and_then(|name| one.miner(name)), Some(miner));
        }
        assert_eq!((one.miner(0), one.miner(101)), (None, None));
    }
}
