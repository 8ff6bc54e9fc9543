//! The ids of accepted shares: a share counts once.
//!
//! The key is the recipe's `id` hash, so the same share under another job id, in other hex case or on another
//! connection is the same share. An id is entered when its share is accepted, never before: a share that could not
//! be made durable may be sent again. Ids are dropped with the last job of their coordinate.
//!
//! A pool remembers millions of ids, and every share of every miner asks. So an id is kept as 128 bits of it: of 2^40
//! shares two have the same 128 bits with a chance of 2^-49, and then one is refused. And the ids are spread over many
//! sets with a lock each, which two shares at once hardly ever both want.

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
    spread: Spread,
}

/// On a line of the processor's cache of its own, so that threads at two shards do not wait for each other.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<ByCoord>);

type ByCoord = BTreeMap<u64, HashSet<u128, Spread>>;

/// Spreads ids over a set's buckets by a secret number, so that nobody can look for shares that fall into one.
#[derive(Clone, Copy)]
struct Spread(u64);

impl BuildHasher for Spread {
    type Hasher = Spreading;

    fn build_hasher(&self) -> Spreading {
        Spreading { secret: self.0, spread: 0 }
    }
}

struct Spreading {
    secret: u64,
    spread: u64,
}

impl Hasher for Spreading {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u128(u128::from(*byte)));
    }

    fn write_u128(&mut self, id: u128) {
        // Every bit of a product of two secret factors, high and low half in one, depends on all bits of the id.
        let (low, high) = (id as u64 ^ self.secret, (id >> 64) as u64 ^ !self.secret);
        let product = u128::from(low).wrapping_mul(u128::from(high));
        self.spread = self.spread.rotate_left(5) ^ (product as u64) ^ ((product >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.spread
    }
}

/// Both halves of an id in one: a hash that meets a target has zeros in one of them.
fn short(id: &[u8; 32]) -> u128 {
    let (halves, _) = id.as_chunks::<16>();
    halves.iter().fold(0, |sum: u128, half| sum.wrapping_add(u128::from_le_bytes(*half)))
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
        Self { first: Shard::default(), others, spread: Spread(RandomState::new().hash_one(SHARDS)) }
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
        let id = short(&id);
        let mut by_coord = self.shard(id).lock();
        by_coord.entry(coord).or_insert_with(|| HashSet::with_hasher(self.spread)).insert(id)
    }

    /// Takes an id back: its share was not made durable after all.
    pub fn remove(&self, coord: u64, id: &[u8; 32]) {
        let id = short(id);
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
        let id = short(id);
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
