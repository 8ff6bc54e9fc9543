//! The ids of accepted shares: a share counts once.
//!
//! The key is the recipe's `id` hash, so the same share under another job id, in other hex case or on another
//! connection is the same share. An id is entered when its share is accepted, never before: a share that could not
//! be made durable may be sent again. Ids are dropped with the last job of their coordinate.
//!
//! A pool remembers millions of ids, and every share of every miner asks. So they are spread over many sets with a lock each,
//! which two shares at once hardly ever both want; and an id is kept as 64 bits of a hash of it under a secret key (a
//! document may name shares by something that is no hash, such as what miners count up), after further 6 bits of another
//! chose its set. An honest share is refused when all 70 bits are those of another share of its coordinate: a chance of
//! n / 2^70 with n ids kept. At 5,000 shares a second all day, and the ids of an hour kept, that is
//! 4.3e8 * 1.8e7 / 2^70 = 7e-6 shares a day, one in four centuries; at 100,000 a second one in a year, of 3e12. Nobody can
//! bring it about without the keys, which no one learns.

use crate::ids::{Ids, Key, key};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Sets that the ids are spread over.
const SHARDS: usize = 64;

/// The accepted ids, by the chain coordinate of their job.
pub struct Seen {
    first: Shard,
    others: Box<[Shard]>,
    /// Two secret keys: for what is kept of an id, and for the set that it belongs to.
    keys: [RandomState; 2],
}

/// On a line of the processor's cache of its own, so that threads at two shards do not wait for each other.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<ByCoord>);

type ByCoord = BTreeMap<u64, Ids>;

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

impl Seen {
    /// No id.
    #[must_use]
    pub fn new() -> Self {
        let others = (1..SHARDS).map(|_| Shard::default()).collect();
        Self { first: Shard::default(), others, keys: [RandomState::new(), RandomState::new()] }
    }

    /// What is kept of an id, and the set that it belongs to.
    fn short(&self, id: &[u8; 32]) -> (Key, &Mutex<ByCoord>) {
        let [kept, set] = &self.keys;
        let at = set.hash_one(id) as usize % SHARDS;
        (key(kept.hash_one(id)), &self.others.get(at).unwrap_or(&self.first).0)
    }

    fn shards(&self) -> impl Iterator<Item = &Mutex<ByCoord>> {
        std::iter::once(&self.first).chain(&self.others).map(|shard| &shard.0)
    }

    /// Enters an id; false when it is there already, and the share is a duplicate.
    pub fn insert(&self, coord: u64, id: [u8; 32]) -> bool {
        let (key, shard) = self.short(&id);
        shard.lock().entry(coord).or_default().insert(key)
    }

    /// Takes an id back: its share was not made durable after all.
    pub fn remove(&self, coord: u64, id: &[u8; 32]) {
        let (key, shard) = self.short(id);
        let mut by_coord = shard.lock();
        if let Some(ids) = by_coord.get_mut(&coord) {
            ids.remove(key);
            if ids.len() == 0 {
                by_coord.remove(&coord);
            }
        }
    }

    /// Whether an id was entered.
    #[must_use]
    pub fn contains(&self, coord: u64, id: &[u8; 32]) -> bool {
        let (key, shard) = self.short(id);
        shard.lock().get(&coord).is_some_and(|ids| ids.contains(key))
    }

    /// Enters ids from the journal at start, as (coordinate, id).
    pub fn reload(&self, ids: impl IntoIterator<Item = (u64, [u8; 32])>) {
        for (coord, id) in ids {
            self.insert(coord, id);
        }
    }

    /// Drops the ids of coordinates below this one: no job of them is kept any more. Returns how many were dropped.
    pub fn drop_below(&self, coord: u64) -> usize {
        let dropped = self.shards().map(|shard| {
            let mut by_coord = shard.lock();
            let kept = by_coord.split_off(&coord);
            let dropped = std::mem::replace(&mut *by_coord, kept);
            // Freed when nobody waits for it.
            drop(by_coord);
            dropped.values().map(Ids::len).sum::<usize>()
        });
        dropped.sum()
    }

    /// How many ids are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards().map(|shard| shard.lock().values().map(Ids::len).sum::<usize>()).sum()
    }

    /// Whether no id is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shards().all(|shard| shard.lock().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_no_hashes_are_told_apart() {
        let seen = Seen::new();
        let id = |nonce: u64, extra: u64| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&nonce.to_le_bytes());
            id[16..24].copy_from_slice(&extra.to_le_bytes());
            id
        };
        for nonce in 0..100 {
            for extra in 0..100 {
                assert!(seen.insert(7, id(nonce, extra)), "{nonce} {extra}");
            }
        }
        assert!(!seen.insert(7, id(5, 7)));
        assert_eq!(seen.len(), 10_000);
    }
}
