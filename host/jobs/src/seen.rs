//! The ids of accepted shares: a share counts once.
//!
//! The key is the recipe's `id` hash, so the same share under another job id, in other hex case or on another
//! connection is the same share. An id is entered when its share is accepted, never before: a share that could not
//! be made durable may be sent again. Ids are dropped with the last job of their coordinate.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};

/// The accepted ids, by the chain coordinate of their job.
#[derive(Default)]
pub struct Seen {
    by_coord: Mutex<BTreeMap<u64, HashSet<[u8; 32]>>>,
}

impl Seen {
    /// No id.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters an id; false when it is there already, and the share is a duplicate.
    pub fn insert(&self, coord: u64, id: [u8; 32]) -> bool {
        self.by_coord.lock().entry(coord).or_default().insert(id)
    }

    /// Takes an id back: its share was not made durable after all.
    pub fn remove(&self, coord: u64, id: &[u8; 32]) {
        let mut by_coord = self.by_coord.lock();
        if let Some(ids) = by_coord.get_mut(&coord) {
            ids.remove(id);
            if ids.is_empty() {
                by_coord.remove(&coord);
            }
        }
    }

    /// Whether an id was entered.
    #[must_use]
    pub fn contains(&self, coord: u64, id: &[u8; 32]) -> bool {
        self.by_coord.lock().get(&coord).is_some_and(|ids| ids.contains(id))
    }

    /// Enters ids from the journal at start, as (coordinate, id).
    pub fn reload(&self, ids: impl IntoIterator<Item = (u64, [u8; 32])>) {
        let mut by_coord = self.by_coord.lock();
        for (coord, id) in ids {
            by_coord.entry(coord).or_default().insert(id);
        }
    }

    /// Drops the ids of coordinates below this one: no job of them is kept any more. Returns how many were dropped.
    pub fn drop_below(&self, coord: u64) -> usize {
        let mut by_coord = self.by_coord.lock();
        let kept = by_coord.split_off(&coord);
        std::mem::replace(&mut *by_coord, kept).values().map(HashSet::len).sum()
    }

    /// How many ids are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_coord.lock().values().map(HashSet::len).sum()
    }

    /// Whether no id is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_coord.lock().is_empty()
    }
}
