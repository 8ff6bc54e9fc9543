//! What waits for miners who do not read: how much, for how many, and never more than there is room for.
//!
//! A socket that takes no more leaves the server with the rest of what it was writing: of a job's line mostly, some hundred
//! bytes. Nothing is added to it and nothing is read or encoded for such a miner until it reads again or its time is over;
//! but there may be as many of them as there are connections, and jobs may be large. So the sum has a bound, and whoever
//! would be above it is dropped at once; but for those for whom little waits: a flood that fills the sum must not cost an
//! honest miner his connection because his network was away for a moment.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is always let stay of a connection: more than a job's line.
pub(crate) const LITTLE: u32 = 4096;

/// What waits for miners who do not read, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnreadNow {
    /// Connections whose socket takes no more.
    pub connections: u64,
    /// Bytes that the server holds for them, beside what the kernel does.
    pub bytes: u64,
}

/// The sum over all connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    connections: AtomicU64,
    bytes: AtomicU64,
}

/// A connection's part of the sum. Whoever ends gives it back ([`Unread::release`]).
#[derive(Debug, Default)]
pub(crate) struct Part(u32);

impl Unread {
    pub(crate) fn now(&self) -> UnreadNow {
        UnreadNow {
            connections: self.connections.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// So many bytes wait for a connection now, at least one. False if they are more than [`LITTLE`] and would be more than
    /// `most` with all others': then none of them count.
    pub(crate) fn hold(&self, part: &mut Part, bytes: usize, most: usize) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        if (1..=part.0).contains(&bytes) {
            self.bytes.fetch_sub((part.0 - bytes).into(), Ordering::Relaxed);
            part.0 = bytes;
            return true;
        }
        self.release(part);
        let others = self.bytes.fetch_add(bytes.into(), Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
        part.0 = bytes;
        let fits =
            bytes <= LITTLE || others.saturating_add(bytes.into()) <= u64::try_from(most).unwrap_or(u64::MAX);
        if !fits {
            self.release(part);
        }
        fits
    }

    /// Nothing waits for it any more.
    pub(crate) fn release(&self, part: &mut Part) {
        let bytes = std::mem::take(&mut part.0);
        if bytes > 0 {
            self.bytes.fetch_sub(bytes.into(), Ordering::Relaxed);
            self.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_follows_what_waits_and_has_a_bound() {
        let unread = Unread::default();
        let now = || (unread.now().connections, unread.now().bytes);
        let (mut one, mut two) = (Part::default(), Part::default());
        assert!(unread.hold(&mut one, 6000, 10_000) && unread.hold(&mut two, 4000, 10_000));
        assert_eq!(now(), (2, 10_000));
        assert!(unread.hold(&mut one, 1000, 0), "what becomes less stays");
        assert_eq!(now(), (2, 5000));
        assert!(!unread.hold(&mut two, 9001, 10_000));
        assert_eq!(now(), (1, 1000), "who does not fit holds nothing");
        assert!(unread.hold(&mut two, 4096, 0), "for whom little waits is let stay");
        unread.release(&mut two);
        unread.release(&mut one);
        assert_eq!(now(), (0, 0));
    }
}
