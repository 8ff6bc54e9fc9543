//! The ids of accepted shares: a share counts once.
//!
//! The key is the recipe's `id` hash, so the same share under another job id, in other hex case or on another
//! connection is the same share. An id is entered when its share is accepted, never before: a share that could not
//! be made durable may be sent again. Ids are dropped with the last job of their coordinate.
//!
//! A pool remembers millions of ids, and every share of every miner asks. So an id is kept as 128 bits of a hash of it under
//! a secret key (a document may name shares by something that is no hash, such as what miners count up): of 2^40 shares
//! two have the same 128 bits with a chance of 2^-49, and then one is refused. And the ids are spread over many sets with
//! a lock each, which two shares at once hardly ever both want.

use parking_lot::Mutex;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, Hasher};

/// Sets that the ids are spread over.
const SHARDS: usize = 64;

/// The accepted ids, by the chain coordinate of their job.
pub struct Seen {
    first: Shard,
    others: Box<[Shard]>,
    /// Two secret keys, for each half of what is kept.
    keys: [RandomState; 2],
}

/// On a line of the processor's cache of its own, so that threads at two shards do not wait for each other.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<ByCoord>);

type ByCoord = BTreeMap<u64, HashSet<u128, Hashed>>;

/// What is kept of an id is a hash already: the set takes half of it for its own.
#[derive(Clone, Copy, Default)]
struct Hashed(u64);

impl BuildHasher for Hashed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

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

    /// What is kept of an id.
    fn short(&self, id: &[u8; 32]) -> u128 {
        let [low, high] = &self.keys;
        u128::from(high.hash_one(id)) << 64 | u128::from(low.hash_one(id))
    }

    /// The set that an id belongs to, by its highest bits.
    fn shard(&self, id: u128) -> &Mutex<ByCoord> {
        let at = (id >> (128 - SHARDS.ilog2())) as usize;
        &self.others.get(at).unwrap_or(&self.first).0
    }

    fn shards(&self) -> impl Iterator<Item = &Mutex<ByCoord>> {
        std::iter::once(&self.first).chain(&self.others).map(|shard| &shard.0)
    }

    /// Enters an id; false when it is there already, and the share is a duplicate.
    pub fn insert(&self, coord: u64, id: [u8; 32]) -> bool {
        let id = self.short(&id);
        let mut by_coord = self.shard(id).lock();
        by_coord.entry(coord).or_insert_with(|| HashSet::with_hasher(Hashed::default())).insert(id)
    }

    /// Takes an id back: its share was not made durable after all.
    pub fn remove(&self, coord: u64, id: &[u8; 32]) {
        let id = self.short(id);
        let mut by_coord = self.shard(id).lock();
        if let Some(ids) = by_coord.get_mut(&coord) {
            ids.remove(&id);
            if ids.is_empty() {
                by_coord.remove(&coord);
            }
        }
    }

    /// Whether an id was entered.
    #[must_use]
    pub fn contains(&self, coord: u64, id: &[u8; 32]) -> bool {
        let id = self.short(id);
        self.shard(id).lock().get(&coord).is_some_and(|ids| ids.contains(&id))
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
            dropped.values().map(HashSet::len).sum::<usize>()
        });
        dropped.sum()
    }

    /// How many ids are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards().map(|shard| shard.lock().values().map(HashSet::len).sum::<usize>()).sum()
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
