//! Whether one node can be reached.
//!
//! A link goes down when a call finds no connection, when a connection breaks under a call, or after three calls in a
//! row without an answer. It comes up when a connection can be made. The pause between attempts doubles, and only an
//! answered call sets it back, so that a node which accepts connections and never answers does not flap quickly.

use crate::events::EventSink;
use crate::{CallError, NodeEvent};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Calls without an answer, one after the other, that make a link count as down.
const TIMEOUTS_TO_DOWN: u32 = 3;

/// One node's state, shared between its callers and its watcher.
#[derive(Debug, Default)]
pub(crate) struct Link {
    up: AtomicBool,
    answered: AtomicBool,
    timeouts: AtomicU32,
    trouble: Notify,
}

impl Link {
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Takes a call's outcome into account.
    pub(crate) fn observe<T>(&self, outcome: &Result<T, CallError>) {
        // What fails while the link is down is no news, and must not bring it down again once it is up.
        let report = || {
            if self.is_up() {
                self.trouble.notify_one();
            }
        };
        match outcome {
            Err(CallError::Unreachable { .. } | CallError::Broken { .. }) => report(),
            Err(CallError::Timeout { .. }) => {
                if self.timeouts.fetch_add(1, Ordering::AcqRel) + 1 >= TIMEOUTS_TO_DOWN {
                    self.timeouts.store(0, Ordering::Release);
                    report();
                }
            }
            Ok(_) | Err(CallError::Refused { .. } | CallError::Rpc { .. } | CallError::TooLarge { .. }) => {
                self.timeouts.store(0, Ordering::Release);
                self.answered.store(true, Ordering::Release);
            }
            Err(CallError::Denied(_)) => {}
        }
    }
}

/// The pauses between attempts to connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

/// Watches a node for as long as the task lives.
pub(crate) async fn watch(
    link: Arc<Link>,
    number: u16,
    authority: String,
    connect: Duration,
    backoff: Backoff,
    sink: EventSink,
) {
    let mut pause = backoff.first;
    // One that is not there from the beginning is told as one that goes away, once.
    let mut told = false;
    loop {
        // The connection is closed at once: it was only to see whether there is somebody.
        let attempt = async { TcpStream::connect(&authority).await.map(drop) };
        match tokio::time::timeout(connect, attempt).await {
            Ok(Ok(())) => {
                told = true;
                link.up.store(true, Ordering::Release);
                sink.send(NodeEvent::Link { link: number, up: true });
                tracing::info!(link = number, node = %authority, "node reachable");
                link.trouble.notified().await;
                link.up.store(false, Ordering::Release);
                sink.send(NodeEvent::Link { link: number, up: false });
                tracing::warn!(link = number, node = %authority, "node lost");
                if link.answered.swap(false, Ordering::AcqRel) {
                    pause = backoff.first;
                }
            }
            Ok(Err(error)) => tracing::debug!(link = number, node = %authority, %error, "node not reachable"),
            Err(_) => tracing::debug!(link = number, node = %authority, "no connection in time"),
        }
        if !std::mem::replace(&mut told, true) {
            sink.send(NodeEvent::Link { link: number, up: false });
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(backoff.longest);
    }
}
