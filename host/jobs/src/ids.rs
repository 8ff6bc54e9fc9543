//! A set of short keys that takes little more memory than the keys themselves.
//!
//! The keys are hashes, so their order is as good as their place: the table is one sorted array with gaps. A key stands at
//! the slot that its value is of the whole range, or to the right of it behind smaller ones. Looking one up therefore ends at
//! the first greater key, even where nine slots in ten are taken; and a table grows by being copied in order, which needs no
//! second look at any key and allows growing by a fifth instead of doubling: at 75 to 90 % full a key of 12 bytes takes
//! 13.3 to 16.

/// What is kept of an id: 96 bits of a hash, never 0.
pub(crate) type Key = [u32; 3];

/// No key.
const EMPTY: Key = [0; 3];
/// The fewest homes, and slots behind the last of them.
const LEAST: usize = 8;

/// A key of a hash: its highest 96 bits.
pub(crate) fn key(hash: u128) -> Key {
    let key = [(hash >> 96) as u32, (hash >> 64) as u32, (hash >> 32) as u32];
    // One hash in 2^96 is 0.
    if key == EMPTY { [0, 0, 1] } else { key }
}

/// The set.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    slots: Box<[Key]>,
    /// The slots where keys belong; those behind them are for keys that were pushed there.
    homes: usize,
    len: usize,
}

/// Where a key is, or where it belongs.
enum Place {
    Here(usize),
    Before(usize),
}

impl Ids {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where a key would stand if it were alone.
    fn home(key: &Key, homes: usize) -> usize {
        let [high, middle, _] = key;
        let high = u64::from(*high) << 32 | u64::from(*middle);
        ((u128::from(high) * homes as u128) >> 64) as usize
    }

    fn find(&self, key: &Key) -> Place {
        let home = Self::home(key, self.homes);
        let behind = self.slots.iter().enumerate().skip(home);
        for (at, slot) in behind {
            if slot == key {
                return Place::Here(at);
            }
            if *slot == EMPTY || slot > key {
                return Place::Before(at);
            }
        }
        Place::Before(self.slots.len())
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        matches!(self.find(key), Place::Here(_))
    }

    /// Enters a key; false when it is there already.
    pub(crate) fn insert(&mut self, key: Key) -> bool {
        if self.len >= self.homes * 9 / 10 {
            if self.contains(&key) {
                return false;
            }
            // Room for a fifth more.
            self.copy((self.homes / 5 * 6).max(self.homes + LEAST), self.slots.len() - self.homes);
        }
        loop {
            let Place::Before(at) = self.find(&key) else { return false };
            let behind = self.slots.get_mut(at..).unwrap_or_default();
            // All keys up to the next gap move by one.
            if let Some(gap) = behind.iter().position(|slot| *slot == EMPTY)
                && let Some(moved) = behind.get_mut(..=gap)
            {
                moved.rotate_right(1);
                if let Some(slot) = moved.first_mut() {
                    *slot = key;
                }
                self.len += 1;
                return true;
            }
            // No gap up to the end.
            self.copy(self.homes, (self.slots.len() - self.homes) * 2);
        }
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &Key) {
        let Place::Here(at) = self.find(key) else { return };
        let homes = self.homes;
        let behind = self.slots.get_mut(at..).unwrap_or_default();
        // Those behind move back, up to a gap or one that stands at its home.
        let stays = |(next, slot): &(usize, &Key)| **slot == EMPTY || Self::home(slot, homes) == at + next;
        let end = behind.iter().enumerate().skip(1).find(stays).map_or(behind.len(), |(next, _)| next);
        if let Some(moved) = behind.get_mut(..end) {
            moved.rotate_left(1);
            if let Some(slot) = moved.last_mut() {
                *slot = EMPTY;
            }
            self.len -= 1;
        }
    }

    /// Copies the keys, in order, into a table with so many homes, and so many slots behind them or more.
    fn copy(&mut self, homes: usize, behind: usize) {
        let mut slots = vec![EMPTY; homes + behind.max(LEAST)];
        let mut next = 0;
        for key in self.slots.iter().filter(|slot| **slot != EMPTY) {
            let at = Self::home(key, homes).max(next);
            if at >= slots.len() {
                slots.resize(at + LEAST, EMPTY);
            }
            if let Some(slot) = slots.get_mut(at) {
                *slot = *key;
            }
            next = at + 1;
        }
        (self.slots, self.homes) = (slots.into_boxed_slice(), homes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Hashes, as they come from a hash function.
    fn hash(number: u64) -> u128 {
        let mixed = |seed: u64| {
            let mixed = (number ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
        };
        u128::from(mixed(1) ^ mixed(1) >> 31) << 64 | u128::from(mixed(2))
    }

    fn in_order(ids: &Ids) -> Vec<Key> {
        ids.slots.iter().copied().filter(|slot| *slot != EMPTY).collect()
    }

    #[test]
    fn many_keys_are_told_apart_in_little_more_memory_than_they_take() {
        let mut ids = Ids::default();
        let mut least_full = 1.0_f64;
        for number in 0..100_000_u64 {
            assert!(ids.insert(key(hash(number))), "{number}");
            if number > 10_000 {
                least_full = least_full.min(ids.len() as f64 / ids.slots.len() as f64);
            }
        }
        assert_eq!(ids.len(), 100_000);
        assert!(least_full > 0.72, "{least_full}");
        assert!((0..100_000).all(|number| !ids.insert(key(hash(number)))));
        assert!((100_000..200_000).all(|number| !ids.contains(&key(hash(number)))));
    }

    #[test]
    fn the_hash_0_is_a_key_like_any_other() {
        let mut ids = Ids::default();
        assert!(ids.insert(key(0)) && !ids.insert(key(0)) && ids.contains(&key(0)));
        ids.remove(&key(0));
        assert_eq!((ids.len(), ids.contains(&key(0))), (0, false));
    }

    #[test]
    fn keys_that_are_all_alike_are_kept_as_well() {
        // All at the end of the range, which a hash function never does.
        let mut ids = Ids::default();
        let hashes: Vec<u128> = (0..500).map(|low: u128| u128::MAX - (low << 32)).collect();
        assert!(hashes.iter().all(|hash| ids.insert(key(*hash))));
        assert!(hashes.iter().all(|hash| ids.contains(&key(*hash))));
        assert_eq!(ids.len(), 500);
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..60_u64, any::<bool>()), 0..400)) {
            let (mut ids, mut model) = (Ids::default(), BTreeSet::new());
            for (enters, number, crowded) in steps {
                // Some of them crowd at the end.
                let key = key(if crowded { u128::MAX - (u128::from(number) << 32) } else { hash(number) });
                prop_assert_eq!(ids.contains(&key), model.contains(&key));
                if enters {
                    prop_assert_eq!(ids.insert(key), model.insert(key));
                } else {
                    ids.remove(&key);
                    model.remove(&key);
                }
                prop_assert_eq!(ids.len(), model.len());
                prop_assert_eq!(in_order(&ids), model.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
