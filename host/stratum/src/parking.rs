//! What a connection leaves behind of its extranonce prefix. Prefixes are few (65,536 with two bytes) and strangers many:
//! a session that had no work leaves nothing, one source leaves so many sessions and no more, and while every prefix is
//! taken a parked one gives way to a miner who is there.

use crate::limits::Source;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// What becomes of a prefix when its connection ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// It waits for its session to come back.
    #[default]
    Parked,
    /// The same, among this many sessions of its source: the oldest of them gives way.
    ParkedOf(Source, usize),
    /// It is free at once: the session had no work that could be lost.
    Free,
}

/// The parked prefixes by source, oldest first. A place that was taken up again stays listed until it is over.
#[derive(Debug, Default)]
pub(crate) struct Parking(HashMap<Source, VecDeque<(u64, Instant)>>);

impl Parking {
    /// Lists a parked slot; gives those of the same source that have to go for it.
    pub(crate) fn park(&mut self, of: Source, most: usize, slot: u64, until: Instant) -> Vec<(u64, Instant)> {
        let listed = self.0.entry(of).or_default();
        listed.push_back((slot, until));
        let over = listed.len().saturating_sub(most.max(1));
        listed.drain(..over).collect()
    }

    /// Forgets what is over.
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, listed| {
            listed.retain(|(_, until)| *until > now);
            !listed.is_empty()
        });
    }
}
