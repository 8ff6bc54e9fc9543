//! What a stream is known by, and its numbers one after the other.

use crate::philox;

/// How streams are made from a key. What changes any number gets the next one.
const VERSION: u64 = 1;
/// Numbers of a block.
const BLOCK: u64 = 4;
/// Numbers that are made at once: two blocks, which a processor works on side by side.
const READY: usize = 8;

/// One replication of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// Which of its replications.
    pub replication: u64,
}

impl Key {
    /// The stream of a purpose and of whom it is about, from its first number.
    #[must_use]
    pub const fn stream(self, purpose: Purpose, who: u32) -> Stream {
        Stream {
            key: [self.seed, self.replication],
            about: (purpose as u64) << 32 | who as u64,
            block: 0,
            ready: [0; READY],
            used: READY,
        }
    }
}

/// What numbers are for. Their values are part of every number: none is changed or used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Purpose {
    /// Whose a share is.
    Owner = 1,
    /// Whether a share is a block.
    Block = 2,
    /// The time between two shares.
    Interval = 3,
    /// The fees of a block.
    Fee = 4,
    /// Whether a block is lost.
    Orphan = 5,
    /// What a miner decides.
    Strategy = 6,
    /// How long something is on its way.
    Delay = 7,
    /// The length of a round, where whole rounds are drawn.
    Round = 8,
    /// How a round's shares fall to its miners, where whole rounds are drawn.
    Split = 9,
    /// A hashrate, and when it changes.
    Hashrate = 10,
    /// Tests.
    Test = 11,
}

/// A stream of numbers: each 64 bits, all values alike, none told by the others.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u64; 2],
    about: u64,
    /// The first block that is not made yet.
    block: u64,
    ready: [u64; READY],
    used: usize,
}

impl Stream {
    /// The next number.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        match self.ready.get(self.used) {
            Some(number) => {
                self.used = self.used.wrapping_add(1);
                *number
            }
            None => self.more(),
        }
    }

    /// The next number, after those that were made are used up.
    #[cold]
    #[inline(never)]
    fn more(&mut self) -> u64 {
        let [a, b, c, d] = self.made(self.block);
        let [e, f, g, h] = self.made(self.block.wrapping_add(1));
        self.block = self.block.wrapping_add(2);
        self.ready = [a, b, c, d, e, f, g, h];
        self.used = 1;
        a
    }

    #[inline(always)]
    fn made(&self, block: u64) -> [u64; 4] {
        philox::block([block, self.about, 0, VERSION], self.key)
    }

    /// Goes to a place: the next number is the one that so many others precede from the stream's beginning.
    pub fn at(&mut self, place: u64) {
        self.block = place / READY as u64 * (READY as u64 / BLOCK);
        self.used = READY;
        let within = (place % READY as u64) as usize;
        if within > 0 {
            self.more();
            self.used = within;
        }
    }

    /// How many numbers precede the next one.
    #[must_use]
    pub fn place(&self) -> u64 {
        let waiting = READY.saturating_sub(self.used) as u64;
        self.block.wrapping_mul(BLOCK).wrapping_sub(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const KEY: Key = Key { seed: 1, replication: 2 };

    proptest! {
        #[test]
        fn a_place_has_its_number_however_it_is_reached(from in 0..100_u64, to in 0..100_u64, then in 0..20_u64) {
            let straight: Vec<_> = {
                let mut stream = KEY.stream(Purpose::Test, 3);
                (0..200).map(|_| stream.bits()).collect()
            };
            let mut stream = KEY.stream(Purpose::Test, 3);
            stream.at(from);
            prop_assert_eq!(stream.place(), from);
            stream.at(to);
            for place in to..=to + then {
                prop_assert_eq!(stream.place(), place);
                prop_assert_eq!(stream.bits(), straight[place as usize]);
            }
        }
    }

    #[test]
    fn every_part_of_a_key_changes_every_number() {
        let other = |seed, replication, purpose, who| {
            let mut stream = Key { seed, replication }.stream(purpose, who);
            (0..64).map(move |_| stream.bits())
        };
        let all: Vec<u64> = other(1, 2, Purpose::Test, 3)
            .chain(other(2, 1, Purpose::Test, 3))
            .chain(other(0, 2, Purpose::Test, 3))
            .chain(other(1, 3, Purpose::Test, 3))
            .chain(other(1, 2, Purpose::Owner, 3))
            .chain(other(1, 2, Purpose::Test, 4))
            .chain(other(1, 2, Purpose::Test, u32::MAX))
            .collect();
        // 448 numbers of 64 bits are equal by chance in one of 10^14 runs.
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 7 * 64);
        // The twin: the same key again.
        let again: HashSet<u64> = other(1, 2, Purpose::Test, 3).chain(all.iter().copied()).collect();
        assert_eq!(again.len(), 7 * 64);
    }

    #[test]
    fn the_last_place_is_reached() {
        let mut stream = KEY.stream(Purpose::Test, 0);
        stream.at(u64::MAX);
        assert_eq!(stream.place(), u64::MAX);
        stream.bits();
        // Then it begins again only in name: the block's counter goes on.
        let after = stream.bits();
        let mut first = KEY.stream(Purpose::Test, 0);
        assert_ne!(after, first.bits());
    }
}
