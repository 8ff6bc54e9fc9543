//! Per-call pseudonyms: miners are numbered 1, 2, 3, … in an order that the income's key decides, so that a scheme
//! cannot know or favour anybody, and rounding by position favours nobody over time.

use crate::WindowSums;
use millpond_contracts::payout::Totals;
use millpond_types::MinerId;

/// One call's names. All of it is columns over the miners in ascending order, since an income may name a million of them.
#[derive(Clone, Debug)]
pub(crate) struct Pseudonyms {
    /// Ascending: a miner's index is his place.
    miners: Vec<MinerId>,
    /// Pseudonym minus 1 to place. Half a word each, since both are read all over.
    places: Vec<u32>,
    /// Place to pseudonym minus 1.
    names: Vec<u32>,
}

impl Pseudonyms {
    /// Numbers miners, given ascending, in an order drawn from `seed` and `run` (0 for the call that counts, 1 for its
    /// check). In the check nobody bears the name that he bore in the call, so that a favourite name always shows.
    pub(crate) fn new(miners: &[MinerId], seed: &[u8], run: u8) -> Self {
        let mut places: Vec<u32> = (0..u32::MAX).take(miners.len()).collect();
        // Fisher-Yates for the call; then Sattolo's variant, which leaves nothing in its place, for the check.
        shuffle(&mut places, seed, 0, 1);
        if run > 0 {
            shuffle(&mut places, seed, run, 0);
        }
        let mut names = vec![0; miners.len()];
        for (name, place) in (0..).zip(&places) {
            if let Some(slot) = names.get_mut(*place as usize) {
                *slot = name;
            }
        }
        Self { miners: miners.to_vec(), places, names }
    }

    pub(crate) fn len(&self) -> usize {
        self.miners.len()
    }

    /// The miners, by place.
    pub(crate) fn miners(&self) -> &[MinerId] {
        &self.miners
    }

    pub(crate) fn name(&self, miner: MinerId) -> Option<u64> {
        let place = self.miners.binary_search(&miner).ok()?;
        self.names.get(place).map(|name| u64::from(*name) + 1)
    }

    pub(crate) fn miner(&self, name: u64) -> Option<MinerId> {
        self.miners.get(self.place(name)?).copied()
    }

    pub(crate) fn place(&self, name: u64) -> Option<usize> {
        let at = usize::try_from(name.checked_sub(1)?).ok()?;
        self.places.get(at).map(|place| *place as usize)
    }

    /// Places in the order of the names.
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().map(|place| *place as usize)
    }

    /// What each of the miners has, in the order of the names, of rows that ascend by miner. Rows of others are left out.
    pub(crate) fn named<T: Copy>(&self, rows: impl Iterator<Item = (MinerId, T)>) -> Vec<Option<T>> {
        let mut named = vec![None; self.miners.len()];
        let mut known = self.miners.iter().zip(&self.names).peekable();
        for (miner, value) in rows {
            while known.next_if(|(known, _)| **known < miner).is_some() {}
            if let Some((_, name)) = known.next_if(|(known, _)| **known == miner)
                && let Some(slot) = named.get_mut(*name as usize)
            {
                *slot = Some(value);
            }
        }
        named
    }

    /// A window's columns under these names, without miners that have nothing in it.
    pub(crate) fn totals(&self, sums: &WindowSums) -> Totals {
        let named = self.named(sums.0.iter().copied());
        columns((1..).zip(named).filter_map(|(name, sum)| Some((name, sum.filter(|sum| *sum > 0)?))))
    }
}

/// Shuffles by a stream drawn from the seed: place `at` swaps with one of the places up to `at` (`including` 1) or
/// strictly below it (0).
fn shuffle(order: &mut [u32], seed: &[u8], run: u8, including: u64) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"millpond pseudonyms 1\0");
    hasher.update(&[run]);
    hasher.update(seed);
    let mut stream = hasher.finalize_xof();
    let mut words = [0; DRAWN];
    let mut left = order.len();
    while left > 1 {
        let wanted = left.saturating_sub(1).saturating_mul(8).min(DRAWN);
        let Some(drawn) = words.get_mut(..wanted) else { return };
        stream.fill(drawn);
        for word in drawn.as_chunks().0 {
            left = left.saturating_sub(1);
            // The modulo's bias is below n/2^64.
            let other = u64::from_le_bytes(*word) % (left as u64 + including);
            order.swap(left, usize::try_from(other).unwrap_or(left));
        }
    }
}

/// Bytes that are drawn from the stream at a time, which makes them several blocks at once.
const DRAWN: usize = 8 << 10;

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
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn in_order(names: &Pseudonyms) -> Vec<MinerId> {
        (1..=names.len() as u64).map(|name| names.miner(name).unwrap()).collect()
    }

    #[test]
    fn nobody_bears_the_same_name_in_the_call_and_in_its_check() {
        for count in 2..6 {
            let miners: Vec<_> = (1..=count).map(MinerId).collect();
            for seed in 0..50_u8 {
                let (call, check) =
                    (Pseudonyms::new(&miners, &[seed], 0), Pseudonyms::new(&miners, &[seed], 1));
                assert!(in_order(&call).iter().zip(in_order(&check)).all(|(one, two)| *one != two));
                assert_eq!(
                    in_order(&check).into_iter().collect::<BTreeSet<_>>(),
                    miners.iter().copied().collect()
                );
            }
        }
    }

    #[test]
    fn names_are_given_in_the_same_way_every_time() {
        let miners: Vec<_> = (1..=100).map(MinerId).collect();
        let (one, two) = (Pseudonyms::new(&miners, b"key", 0), Pseudonyms::new(&miners, b"key", 0));
        assert_eq!(in_order(&one), in_order(&two));
        for miner in miners {
            assert_eq!(one.name(miner).and_then(|name| one.miner(name)), Some(miner));
        }
        assert_eq!((one.miner(0), one.miner(101)), (None, None));
        // The names that recorded calls were made under: a replay has to come to the same.
        let ten: Vec<_> = (11..=20).map(MinerId).collect();
        let names = |run| in_order(&Pseudonyms::new(&ten, b"key", run)).into_iter().map(|miner| miner.0);
        assert_eq!(names(0).collect::<Vec<_>>(), CALL);
        assert_eq!(names(1).collect::<Vec<_>>(), CHECK);
    }

    /// As it was first written: a word of the stream at a time.
    fn by_words(order: &mut [u32], seed: &[u8], run: u8, including: u64) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"millpond pseudonyms 1\0");
        hasher.update(&[run]);
        hasher.update(seed);
        let mut stream = hasher.finalize_xof();
        for at in (1..order.len()).rev() {
            let mut word = [0; 8];
            stream.fill(&mut word);
            order.swap(at, (u64::from_le_bytes(word) % (at as u64 + including)) as usize);
        }
    }

    #[test]
    fn how_much_of_the_stream_is_drawn_at_a_time_changes_no_name() {
        let drawn = DRAWN as u32 / 8;
        for count in [0, 1, 2, drawn, drawn + 1, drawn + 2, 3 * drawn + 5] {
            for (run, including) in [(0, 1), (1, 0)] {
                let (mut one, mut two): (Vec<u32>, Vec<u32>) = ((0..count).collect(), (0..count).collect());
                shuffle(&mut one, b"key", run, including);
                by_words(&mut two, b"key", run, including);
                assert_eq!(one, two, "{count} miners, run {run}");
            }
        }
    }

    const CALL: [u64; 10] = [14, 12, 18, 15, 13, 16, 20, 11, 19, 17];
    const CHECK: [u64; 10] = [20, 15, 13, 14, 11, 18, 16, 19, 17, 12];

    proptest! {
        #[test]
        fn columns_are_those_of_a_look_up_for_each_row(
            miners in proptest::collection::btree_set(1_u64..60, 0..40),
            rows in proptest::collection::btree_map(1_u64..60, 0_u128..5, 0..40),
            seed: u8,
        ) {
            let miners: Vec<_> = miners.into_iter().map(MinerId).collect();
            let names = Pseudonyms::new(&miners, &[seed], 0);
            let sums = WindowSums(rows.iter().map(|(miner, sum)| (MinerId(*miner), *sum)).collect());
            let expected: BTreeMap<u64, u128> = sums
                .0
                .iter()
                .filter(|row| row.1 > 0)
                .filter_map(|(miner, sum)| Some((names.name(*miner)?, *sum)))
                .collect();
            prop_assert_eq!(names.totals(&sums), columns(expected));
        }
    }
}
