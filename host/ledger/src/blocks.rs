//! What a record is to very many miners, as bytes: blocks of those whose numbers follow each other, a few bytes for each.
//!
//! A row holds a miner's amount and the record of this kind before it in which he had a row, so that his account is walked
//! back from row to row and no record without him is looked at. Where the walk begins is a block of its own: the newest
//! such record of each miner. Numbers stand in groups of seven bits, the least first, the eighth bit set where more follow.

use millpond_types::MinerId;

/// Miners of a block.
pub(crate) const WIDTH: u64 = 1 << 10;

/// A miner's block, and his place in it.
pub(crate) fn place(miner: MinerId) -> (u64, u64) {
    (miner.0 / WIDTH, miner.0 % WIDTH)
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// `None` where the bytes end, or hold no such number.
fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0_u128;
    for shift in (0..u128::BITS).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let group = u128::from(first & 0x7f);
        let moved = group.checked_shl(shift)?;
        if moved >> shift != group {
            return None;
        }
        number |= moved;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).and_then(|number| u64::try_from(number).ok())
}

/// How long ago a record is, from this one: 0 for none.
fn ago(seq: u64, before: u64) -> u128 {
    if before == 0 { 0 } else { u128::from(seq.saturating_sub(before)) + 1 }
}

fn at(seq: u64, ago: u64) -> Option<u64> {
    match ago.checked_sub(1) {
        None => Some(0),
        Some(ago) => seq.checked_sub(ago).filter(|at| *at > 0),
    }
}

/// A record's rows of one block.
pub(crate) struct Rows {
    seq: u64,
    next: u64,
    bytes: Vec<u8>,
}

impl Rows {
    pub(crate) fn of(seq: u64) -> Self {
        Self { seq, next: 0, bytes: Vec::new() }
    }

    /// Behind those of lower places. `before` is the record of the miner's row before, 0 for none.
    pub(crate) fn push(&mut self, place: u64, amount: i128, before: u64) {
        put(&mut self.bytes, u128::from(place.saturating_sub(self.next)));
        // The sign last, so that small amounts are short on both sides of zero.
        put(&mut self.bytes, ((amount << 1) ^ (amount >> 127)) as u128);
        put(&mut self.bytes, ago(self.seq, before));
        self.next = place.saturating_add(1);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A miner's amount in a block of rows, and the record of his row before (0 for none); `Some(None)` when he has no row in
/// it, `None` when these are not the bytes of such a block.
pub(crate) fn row(mut bytes: &[u8], seq: u64, place: u64) -> Option<Option<(i128, u64)>> {
    let mut next = 0_u64;
    while !bytes.is_empty() {
        let here = next.checked_add(take_u64(&mut bytes)?)?;
        let (amount, ago) = (take(&mut bytes)?, take_u64(&mut bytes)?);
        if here == place {
            let amount = ((amount >> 1) as i128) ^ -((amount & 1) as i128);
            return Some(Some((amount, at(seq, ago)?)));
        }
        if here > place {
            break;
        }
        next = here.checked_add(1)?;
    }
    Some(None)
}

/// The newest record of each miner of a block in which he has a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest(Vec<u64>);

impl Newest {
    /// The record of a miner's newest row; 0 for none.
    pub(crate) fn of(&self, place: u64) -> u64 {
        usize::try_from(place).ok().and_then(|place| self.0.get(place)).copied().unwrap_or(0)
    }

    /// This record is his newest; gives the one before.
    pub(crate) fn replace(&mut self, place: u64, seq: u64) -> u64 {
        let Some(place) = usize::try_from(place.min(WIDTH)).ok() else { return 0 };
        if place >= self.0.len() {
            self.0.resize(place.saturating_add(1), 0);
        }
        self.0.get_mut(place).map_or(0, |slot| std::mem::replace(slot, seq))
    }

    /// As bytes, after a record.
    pub(crate) fn to_bytes(&self, seq: u64) -> Vec<u8> {
        let mut bytes = seq.to_le_bytes().to_vec();
        self.0.iter().for_each(|newest| put(&mut bytes, ago(seq, *newest)));
        bytes
    }

    /// `None` when these are not the bytes of such a block.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (seq, mut bytes) =
            bytes.split_first_chunk().map(|(seq, rest)| (u64::from_le_bytes(*seq), rest))?;
        let mut newest = Vec::new();
        while !bytes.is_empty() {
            newest.push(at(seq, take_u64(&mut bytes)?)?);
        }
        Some(Self(newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn every_number_is_read_as_it_was_written(numbers in proptest::collection::vec(any::<u128>(), 0..8), small: u8) {
            let mut bytes = Vec::new();
            let numbers: Vec<_> = numbers.into_iter().chain([u128::from(small), 0, u128::MAX, 127, 128]).collect();
            numbers.iter().for_each(|number| put(&mut bytes, *number));
            let mut left = bytes.as_slice();
            for number in numbers {
                prop_assert_eq!(take(&mut left), Some(number));
            }
            prop_assert_eq!(take(&mut left), None);
        }

        #[test]
        fn rows_are_found_by_place_and_no_others(
            rows in proptest::collection::btree_map(0..WIDTH, (any::<i128>(), 0_u64..1_000), 0..60),
            seq in 1_000_u64..,
        ) {
            let mut block = Rows::of(seq);
            rows.iter().for_each(|(place, (amount, before))| block.push(*place, *amount, *before));
            let bytes = block.into_bytes();
            for place in 0..WIDTH {
                prop_assert_eq!(row(&bytes, seq, place), Some(rows.get(&place).copied()));
            }
        }

        #[test]
        fn the_newest_of_each_miner_survive_their_bytes(
            changes in proptest::collection::vec((0..WIDTH, 1_u64..50), 0..60),
        ) {
            let (mut newest, mut map) = (Newest::default(), BTreeMap::new());
            for (place, seq) in &changes {
                prop_assert_eq!(newest.replace(*place, *seq), map.insert(*place, *seq).unwrap_or(0));
            }
            let read = Newest::from_bytes(&newest.to_bytes(50)).unwrap();
            prop_assert_eq!(&read, &newest);
            for place in 0..WIDTH {
                prop_assert_eq!(read.of(place), map.get(&place).copied().unwrap_or(0));
            }
        }

        #[test]
        fn other_bytes_are_refused_or_read_and_never_panicked_over(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            place in 0..WIDTH,
        ) {
            if let Some(Some((_, before))) = row(&bytes, 100, place) {
                prop_assert!(before <= 100);
            }
            if let Some(newest) = Newest::from_bytes(&bytes) {
                prop_assert!(newest.0.len() < bytes.len());
            }
        }
    }

    #[test]
    fn a_block_that_is_cut_short_is_refused() {
        let mut block = Rows::of(9);
        block.push(5, -1_000_000, 8);
        let bytes = block.into_bytes();
        for length in 1..bytes.len() {
            assert_eq!(row(&bytes[..length], 9, 5), None, "{length} of {} bytes", bytes.len());
        }
        assert_eq!(row(&bytes, 9, 5), Some(Some((-1_000_000, 8))));
        assert_eq!(row(&bytes, 7, 5), Some(Some((-1_000_000, 6))), "it counts back from its record");
        assert_eq!(row(&bytes, 1, 5), None, "to no record before the first");
        assert_eq!(Newest::from_bytes(&[1, 2, 3]), None);
    }
}
