//! A node in trouble, at a test's wish: templates that it does not keep to itself, answers that are late.

use crate::reject::Reject;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// What is wrong; nothing at first.
#[derive(Default)]
pub(crate) struct Trouble {
    more: AtomicU64,
    held: watch::Sender<bool>,
    refused: AtomicU64,
}

impl Trouble {
    pub(crate) fn claim_more(&self, satoshi: u64) {
        self.more.store(satoshi, Ordering::SeqCst);
    }

    /// What a template says that its block earns.
    pub(crate) fn claimed(&self, value: u64) -> u64 {
        value.saturating_add(self.more.load(Ordering::SeqCst))
    }

    pub(crate) fn hold_proposals(&self, held: bool) {
        self.held.send_replace(held);
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// Waits until a proposal's answer may go out.
    pub(crate) async fn answers(&self, judged: &Result<(), Reject>) {
        if judged.is_err() {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        // The sender lives as long as this does.
        let _ = self.held.subscribe().wait_for(|held| !held).await;
    }
}
