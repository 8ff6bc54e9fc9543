//! Bodies of the replies and pushes of one turn, by id: a job of that turn that names one keeps it, and the others go.

use bytes::Bytes;
use millpond_bodies::Body;
use std::sync::Arc;

/// The bodies of this turn. Jobs that name the same share it.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    kept: Vec<(u64, Arc<Body>)>,
    last: u64,
}

impl Bodies {
    /// Keeps a body for this turn; ids start at 1 and ascend.
    pub(crate) fn keep(&mut self, body: Bytes) -> u64 {
        self.last = self.last.saturating_add(1);
        self.kept.push((self.last, Arc::new(Body::new(body))));
        self.last
    }

    /// A body of this turn.
    pub(crate) fn get(&self, id: u64) -> Option<Arc<Body>> {
        self.kept.iter().find(|(kept, _)| *kept == id).map(|(_, body)| Arc::clone(body))
    }

    /// The turn is over: what no job keeps is gone.
    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_can_be_named_in_its_turn_and_its_id_is_never_another_ones() {
        let mut bodies = Bodies::default();
        let (first, second) =
            (bodies.keep(Bytes::from_static(b"first")), bodies.keep(Bytes::from_static(b"second")));
        assert_eq!(bodies.get(first).map(|body| body.bytes()), Some(Bytes::from_static(b"first")));
        assert_eq!(bodies.get(second).map(|body| body.bytes()), Some(Bytes::from_static(b"second")));
        bodies.forget();
        let third = bodies.keep(Bytes::from_static(b"third"));
        assert!(bodies.get(first).is_none() && bodies.get(second).is_none() && third > second);
    }
}
