//! Bodies of replies and pushes, kept by id until newer ones need the room: a job that names one keeps it for good.

use bytes::Bytes;
use std::collections::VecDeque;

/// Bodies kept at a time.
const KEPT: usize = 32;
/// Bytes kept at a time.
const BYTES: usize = 128 << 20;

/// The newest bodies.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    kept: VecDeque<(u64, Bytes)>,
    bytes: usize,
    last: u64,
}

impl Bodies {
    /// Keeps a body; ids start at 1 and ascend.
    pub(crate) fn keep(&mut self, body: Bytes) -> u64 {
        self.last = self.last.saturating_add(1);
        self.bytes = self.bytes.saturating_add(body.len());
        self.kept.push_back((self.last, body));
        while self.kept.len() > KEPT || (self.bytes > BYTES && self.kept.len() > 1) {
            if let Some((_, old)) = self.kept.pop_front() {
                self.bytes = self.bytes.saturating_sub(old.len());
            }
        }
        self.last
    }

    /// A body that is still kept.
    pub(crate) fn get(&self, id: u64) -> Option<Bytes> {
        self.kept.iter().find(|(kept, _)| *kept == id).map(|(_, body)| body.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bodies_are_kept_within_bounds() {
        let mut bodies = Bodies::default();
        let first = bodies.keep(Bytes::from_static(b"first"));
        assert_eq!(bodies.get(first), Some(Bytes::from_static(b"first")));
        for _ in 0..KEPT {
            bodies.keep(Bytes::from_static(b"x"));
        }
        assert_eq!(bodies.get(first), None);
        let large = bodies.keep(Bytes::from(vec![0; BYTES + 1]));
        assert!(bodies.get(large).is_some(), "the newest stays whatever its size");
    }
}
