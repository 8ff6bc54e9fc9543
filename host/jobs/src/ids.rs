//! A set of short keys that takes little more memory than the keys themselves, and never pauses to grow.
//!
//! The keys are hashes, so their order is as good as their place: the table is one sorted array with gaps. A key stands at
//! the slot that its value is of the whole range, or to the right of it behind smaller ones. Looking one up therefore ends at
//! the first greater key, even where nine slots in ten are taken; and a table grows by its keys being moved in order, which
//! allows growing by a fifth instead of doubling: at 75 to 90 % full a key of 8 bytes takes 8.9 to 10.7.
//!
//! A table that grows moves some of its keys with each one that is entered, from the lowest up, so that nobody who enters one
//! waits for all of them; until the last is moved, keys up to the highest that was moved are in the new array and the others
//! in the old one. Arrays are made of pages of one size: an old one's are freed as they are emptied, and fit the new one's.
//! Arrays that grow in one piece leave holes behind that nothing else fits into, several times their own size.

/// What is kept of an id: 64 bits of a hash, never 0.
pub(crate) type Key = u64;

/// No key.
const EMPTY: Key = 0;
/// The fewest homes.
const LEAST: usize = 12;
/// Slots of a page of an array that has many: four kilobytes.
const PAGE: usize = 512;
/// The fewest slots of a page.
const SHORT_PAGE: usize = 16;
/// Slots whose keys are moved with each key that is entered: a table is through long before it is full again.
const STEP: usize = 64;

/// A key of a hash.
pub(crate) fn key(hash: u64) -> Key {
    // One hash in 2^64 is 0.
    hash.max(1)
}

/// The set.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    array: Array,
    /// The array before, while keys are still to be moved.
    old: Option<Box<Moving>>,
}

/// An array whose keys are moved to another, from the lowest up.
#[derive(Debug)]
struct Moving {
    array: Array,
    /// The highest key that was moved; keys up to it are entered into the new array.
    moved: Key,
}

/// Sorted keys with gaps.
#[derive(Debug, Default)]
struct Array {
    pages: Vec<Box<[Key]>>,
    /// Each page has 2^shift slots.
    shift: u32,
    /// The slots where keys belong; those behind them are for keys that were pushed there.
    homes: usize,
    /// The first slot that counts: the keys of those before it were moved away.
    start: usize,
    /// Behind the last slot that is taken.
    end: usize,
    len: usize,
}

/// Where a key is, or where it belongs.
enum Place {
    Here(usize),
    Before(usize),
}

impl Ids {
    pub(crate) fn len(&self) -> usize {
        self.array.len + self.old.as_ref().map_or(0, |old| old.array.len)
    }

    /// The array in which a key is if it is anywhere.
    fn array(&self, key: Key) -> &Array {
        match &self.old {
            Some(old) if key > old.moved => &old.array,
            _ => &self.array,
        }
    }

    fn array_mut(&mut self, key: Key) -> &mut Array {
        match &mut self.old {
            Some(old) if key > old.moved => &mut old.array,
            _ => &mut self.array,
        }
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        matches!(self.array(key).find(key), Place::Here(_))
    }

    /// Enters a key; false when it is there already.
    pub(crate) fn insert(&mut self, key: Key) -> bool {
        if !self.array_mut(key).insert(key) {
            return false;
        }
        if let Some(old) = &mut self.old {
            if old.step(&mut self.array) {
                self.old = None;
            }
        } else if self.array.len > self.array.homes * 9 / 10 {
            // Room for a fifth more.
            let homes = self.array.homes;
            let grown = Array::new((homes / 5 * 6).max(homes + LEAST));
            let array = std::mem::replace(&mut self.array, grown);
            self.old = Some(Box::new(Moving { array, moved: EMPTY }));
        }
        true
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: Key) {
        self.array_mut(key).remove(key);
    }
}

impl Moving {
    /// Moves the keys of the next slots; true when none is left.
    fn step(&mut self, to: &mut Array) -> bool {
        let array = &mut self.array;
        let (start, end) = (array.start, array.end.min(array.start + STEP));
        for at in start..end {
            let key = array.get(at);
            if key != EMPTY {
                to.push(key);
                array.len -= 1;
                self.moved = key;
            }
        }
        array.start = end;
        // Pages that were passed.
        let passed = array.pages.iter_mut().take(end >> array.shift).skip(start >> array.shift);
        passed.for_each(|page| *page = Box::default());
        end == array.end
    }
}

impl Array {
    fn new(homes: usize) -> Self {
        // Short pages for short arrays, so that little of the last page stays empty.
        let page = (homes / 4).next_power_of_two().clamp(SHORT_PAGE, PAGE);
        Self {
            pages: Vec::with_capacity(homes / page + 1),
            shift: page.trailing_zeros(),
            homes,
            ..Self::default()
        }
    }

    /// The page of a slot, and its place there.
    fn place(&self, at: usize) -> (usize, usize) {
        (at >> self.shift, at & ((1 << self.shift) - 1))
    }

    fn get(&self, at: usize) -> Key {
        let (page, slot) = self.place(at);
        self.pages.get(page).and_then(|page| page.get(slot)).copied().unwrap_or(EMPTY)
    }

    /// Writes a slot, whose page is made if it is the first of it.
    fn set(&mut self, at: usize, key: Key) {
        let (page, slot) = self.place(at);
        if key != EMPTY && page >= self.pages.len() {
            self.pages.resize_with(page + 1, || vec![EMPTY; 1 << self.shift].into());
        }
        if let Some(slot) = self.pages.get_mut(page).and_then(|page| page.get_mut(slot)) {
            *slot = key;
        }
    }

    /// Where a key would stand if it were alone.
    fn home(&self, key: Key) -> usize {
        let home = ((u128::from(key) * self.homes as u128) >> 64) as usize;
        home.max(self.start)
    }

    fn find(&self, key: Key) -> Place {
        let mut at = self.home(key);
        loop {
            match self.get(at) {
                found if found == key => return Place::Here(at),
                found if found == EMPTY || found > key => return Place::Before(at),
                _ => at += 1,
            }
        }
    }

    /// Enters a key; false when it is there already.
    fn insert(&mut self, key: Key) -> bool {
        if self.homes == 0 {
            *self = Self::new(LEAST);
        }
        let Place::Before(mut at) = self.find(key) else { return false };
        self.len += 1;
        // All keys up to the next gap move by one.
        let mut carried = key;
        while carried != EMPTY {
            let pushed = self.get(at);
            self.set(at, carried);
            carried = pushed;
            at += 1;
        }
        self.end = self.end.max(at);
        true
    }

    /// Enters a key that is greater than all others.
    fn push(&mut self, key: Key) {
        let at = self.home(key).max(self.end);
        self.set(at, key);
        self.end = at + 1;
        self.len += 1;
    }

    /// Takes a key out.
    fn remove(&mut self, key: Key) {
        let Place::Here(mut at) = self.find(key) else { return };
        self.len -= 1;
        // Those behind move back, up to a gap or one that stands at its home.
        loop {
            let next = self.get(at + 1);
            let stays = next == EMPTY || self.home(next) == at + 1;
            self.set(at, if stays { EMPTY } else { next });
            if stays {
                break;
            }
            at += 1;
        }
        while self.end > self.start && self.get(self.end - 1) == EMPTY {
            self.end -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Hashes, as they come from a hash function.
    fn hash(number: u64) -> u64 {
        let mixed = (number ^ 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn in_order(ids: &Ids) -> Vec<Key> {
        let arrays = std::iter::once(&ids.array).chain(ids.old.as_ref().map(|old| &old.array));
        let slots = arrays.flat_map(|array| (array.start..array.end).map(|at| array.get(at)));
        slots.filter(|slot| *slot != EMPTY).collect()
    }

    fn slots(ids: &Ids) -> usize {
        let arrays = std::iter::once(&ids.array).chain(ids.old.as_ref().map(|old| &old.array));
        arrays.flat_map(|array| &array.pages).map(|page| page.len()).sum()
    }

    #[test]
    fn many_keys_are_told_apart_in_little_more_memory_than_they_take() {
        let mut ids = Ids::default();
        let mut least_full = 1.0_f64;
        for number in 0..100_000_u64 {
            assert!(ids.insert(key(hash(number))), "{number}");
            if number > 10_000 {
                least_full = least_full.min(ids.len() as f64 / slots(&ids) as f64);
            }
        }
        assert_eq!(ids.len(), 100_000);
        assert!(least_full > 0.7, "{least_full}");
        assert!((0..100_000).all(|number| !ids.insert(key(hash(number)))));
        assert!((100_000..200_000).all(|number| !ids.contains(key(hash(number)))));
    }

    #[test]
    fn the_hash_0_is_a_key_like_any_other() {
        let mut ids = Ids::default();
        assert!(ids.insert(key(0)) && !ids.insert(key(0)) && ids.contains(key(0)));
        ids.remove(key(0));
        assert_eq!((ids.len(), ids.contains(key(0))), (0, false));
    }

    #[test]
    fn keys_that_are_all_alike_are_kept_as_well() {
        // All at the end of the range, which a hash function never does.
        let mut ids = Ids::default();
        let hashes: Vec<u64> = (0..500).map(|low| u64::MAX - low).collect();
        assert!(hashes.iter().all(|hash| ids.insert(key(*hash))));
        assert!(hashes.iter().all(|hash| ids.contains(key(*hash))));
        assert_eq!(ids.len(), 500);
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            steps in prop::collection::vec((0..4_u8, 0..2_000_u64, 0..9_u8), 0..2_000),
        ) {
            let (mut ids, mut model) = (Ids::default(), BTreeSet::new());
            for (what, number, crowded) in steps {
                // Some of them crowd at the end, and some take out what stands there.
                let key = key(if crowded == 0 { u64::MAX - number % 300 } else { hash(number) });
                prop_assert_eq!(ids.contains(key), model.contains(&key));
                if what > 0 {
                    prop_assert_eq!(ids.insert(key), model.insert(key));
                } else {
                    ids.remove(key);
                    model.remove(&key);
                }
                prop_assert_eq!(ids.len(), model.len());
                if number % 64 == 0 {
                    prop_assert_eq!(in_order(&ids), model.iter().copied().collect::<Vec<_>>());
                }
            }
            prop_assert_eq!(in_order(&ids), model.iter().copied().collect::<Vec<_>>());
            prop_assert!(model.iter().all(|key| ids.contains(*key)));
        }
    }
}
