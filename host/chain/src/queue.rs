//! What waits for the actor's thread, with a bound on memory.
//!
//! Pushes are coalesced to the newest per (link, topic), link states and outputs to the newest; replies are as many as
//! calls in flight; solved blocks are as many as the pool finds.

use crate::port::NodeAnswer;
use crate::version::Version;
use bytes::Bytes;
use millpond_contracts::chain::{Aux, Output, Watched};
use millpond_types::{Amount, Digest};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Instant;

/// Something for the actor's thread to do.
pub(crate) enum Input {
    Link {
        link: u16,
        up: bool,
    },
    Push {
        link: u16,
        transport: String,
        topic: String,
        data: Bytes,
    },
    /// `call` is the number that the instance gave the call of this id.
    Reply {
        instance: u64,
        id: u64,
        call: u64,
        answer: NodeAnswer,
    },
    Outputs(Vec<Output>),
    Aux(Vec<Aux>),
    Watch {
        watched: Watched,
        reward: Amount,
    },
    Swap {
        version: Arc<Version>,
        done: SyncSender<Result<(), String>>,
    },
    Release,
    Wake,
    Stop,
}

impl Input {
    /// What is logged while it is seen to says of which event, and of which adapter version.
    pub(crate) fn span(&self, adapter: Digest) -> tracing::Span {
        let adapter = adapter.short();
        match self {
            Self::Link { link, up } => tracing::info_span!("chain", event = "link", link, up, %adapter),
            Self::Push { link, transport, topic, .. } => {
                tracing::info_span!("chain", event = "push", link, transport, topic, %adapter)
            }
            Self::Reply { instance, id, .. } => {
                tracing::info_span!("chain", event = "reply", instance, id, %adapter)
            }
            Self::Outputs(_) => tracing::info_span!("chain", event = "outputs", %adapter),
            Self::Aux(_) => tracing::info_span!("chain", event = "aux", %adapter),
            Self::Watch { .. } => tracing::info_span!("chain", event = "watch", %adapter),
            Self::Swap { .. } => tracing::info_span!("chain", event = "swap", %adapter),
            Self::Release => tracing::info_span!("chain", event = "release", %adapter),
            Self::Wake => tracing::info_span!("chain", event = "wake", %adapter),
            Self::Stop => tracing::info_span!("chain", event = "stop", %adapter),
        }
    }

    /// Whether `newer` makes this pointless while it still waits.
    fn replaced_by(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::Link { link: a, .. }, Self::Link { link: b, .. }) => a == b,
            (
                Self::Push { link: a, transport: s, topic: x, .. },
                Self::Push { link: b, transport: t, topic: y, .. },
            ) => a == b && s == t && x == y,
            (Self::Outputs(_), Self::Outputs(_))
            | (Self::Aux(_), Self::Aux(_))
            | (Self::Wake, Self::Wake) => true,
            _ => false,
        }
    }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<Input>>,
    wake: Condvar,
}

impl Queue {
    pub(crate) fn push(&self, input: Input) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|earlier| !earlier.replaced_by(&input));
        waiting.push_back(input);
        drop(waiting);
        self.wake.notify_one();
    }

    /// The next input; `None` at the deadline.
    pub(crate) fn next(&self, deadline: Option<Instant>) -> Option<Input> {
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(input) = waiting.pop_front() {
                return Some(input);
            }
            match deadline {
                None => self.wake.wait(&mut waiting),
                Some(deadline) => {
                    if self.wake.wait_until(&mut waiting, deadline).timed_out() {
                        return waiting.pop_front();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(topic: &str, data: &'static [u8]) -> Input {
        let (topic, data) = (topic.to_owned(), Bytes::from_static(data));
        Input::Push { link: 0, transport: "node".to_owned(), topic, data }
    }

    #[test]
    fn a_flood_of_pushes_waits_as_the_newest_of_each_topic() {
        let queue = Queue::default();
        for _ in 0..1000 {
            queue.push(push("a", b"old"));
            queue.push(push("b", b"b"));
        }
        queue.push(push("a", b"new"));
        let now = Some(Instant::now());
        assert!(matches!(queue.next(now), Some(Input::Push { topic, .. }) if topic == "b"));
        assert!(
            matches!(queue.next(now), Some(Input::Push { data, .. }) if data == Bytes::from_static(b"new"))
        );
        assert!(queue.next(now).is_none());
    }
}
