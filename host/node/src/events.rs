//! What nodes tell without being asked, in order, with a bound on memory.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// News from a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// The node can be reached, or no longer.
    Link {
        /// The node's number, its place in the configuration.
        link: u16,
        /// Whether it can be reached.
        up: bool,
    },
    /// A message on a subscription.
    Push {
        /// The node's number.
        link: u16,
        /// The transport's number, its place in the adapter's description.
        transport: u16,
        /// The topic as the node sent it, one of those granted.
        topic: String,
        /// The message's second part.
        data: Bytes,
    },
}

impl NodeEvent {
    /// Whether `newer` makes this event pointless while it still waits.
    fn replaced_by(&self, newer: &Self) -> bool {
        match (self, newer) {
            (Self::Link { link: a, .. }, Self::Link { link: b, .. }) => a == b,
            (
                Self::Push { link: a, transport: s, topic: x, .. },
                Self::Push { link: b, transport: t, topic: y, .. },
            ) => a == b && s == t && x == y,
            _ => false,
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<VecDeque<NodeEvent>>,
    wake: Notify,
}

/// The receiving end. While events wait, a newer push of the same link and topic replaces the older one, and so does
/// a newer link state: at most one event waits per topic and link, whatever a node sends.
#[derive(Debug)]
pub struct Events(Arc<Shared>);

/// The sending end.
#[derive(Clone, Debug)]
pub(crate) struct EventSink(Arc<Shared>);

pub(crate) fn channel() -> (EventSink, Events) {
    let shared = Arc::new(Shared::default());
    (EventSink(shared.clone()), Events(shared))
}

impl EventSink {
    pub(crate) fn send(&self, event: NodeEvent) {
        let mut waiting = self.0.waiting.lock();
        waiting.retain(|older| !older.replaced_by(&event));
        waiting.push_back(event);
        drop(waiting);
        self.0.wake.notify_one();
    }
}

impl Events {
    /// The next event; waits for ever when no node has news. Cancel-safe.
    pub async fn next(&mut self) -> NodeEvent {
        loop {
            if let Some(event) = self.try_next() {
                return event;
            }
            self.0.wake.notified().await;
        }
    }

    /// The next event that already waits.
    pub fn try_next(&mut self) -> Option<NodeEvent> {
        self.0.waiting.lock().pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(topic: &str, data: &'static [u8]) -> NodeEvent {
        NodeEvent::Push { link: 0, transport: 1, topic: topic.into(), data: Bytes::from_static(data) }
    }

    #[tokio::test]
    async fn of_pushes_that_wait_only_the_newest_per_topic_is_kept() {
        let (sink, mut events) = channel();
        sink.send(push("hashblock", b"1"));
        sink.send(push("rawtx", b"t"));
        sink.send(push("hashblock", b"2"));
        assert_eq!(events.next().await, push("rawtx", b"t"));
        assert_eq!(events.next().await, push("hashblock", b"2"));
        assert_eq!(events.try_next(), None);
    }

    #[tokio::test]
    async fn a_link_that_flapped_unseen_is_told_once() {
        let (sink, mut events) = channel();
        for up in [true, false, true] {
            sink.send(NodeEvent::Link { link: 3, up });
        }
        sink.send(NodeEvent::Link { link: 4, up: false });
        assert_eq!(events.next().await, NodeEvent::Link { link: 3, up: true });
        assert_eq!(events.next().await, NodeEvent::Link { link: 4, up: false });
        assert_eq!(events.try_next(), None);
    }
}
