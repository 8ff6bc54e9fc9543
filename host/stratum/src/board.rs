//! What connections are told of: new jobs, other documents, the operator's words, the end.
//!
//! A connection waits for its socket and for this, and for nothing else. It looks at one number in each of its turns;
//! when that went up, it looks at what happened. One task of the server, the crier, follows the sources of all that and
//! wakes the connections; so a share costs no subscription and no lock of theirs.

use crate::backend::Backend;
use crate::counters::Registry;
use crate::limits::Source;
use crate::server::{Core, Shared};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Announcements kept for connections that have not looked yet.
const KEPT: usize = 16;

/// What the operator does to connections.
#[derive(Clone, Debug)]
pub(crate) enum Announcement {
    /// A text for the miners' screens.
    Message(Arc<str>),
    /// Go elsewhere.
    Reconnect { host: Arc<str>, port: u16, wait: u64 },
    /// Hang up on a source.
    Drop(Source),
}

#[derive(Debug, Default)]
struct Announced {
    kept: VecDeque<Announcement>,
    /// How many there were in all.
    count: u64,
}

/// The board that all connections of a server look at.
#[derive(Debug, Default)]
pub(crate) struct Board {
    turn: AtomicU64,
    announced: Mutex<Announced>,
}

impl Board {
    /// Goes up with everything that happens.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    /// Puts an announcement up and wakes everybody.
    pub(crate) fn announce(&self, announcement: Announcement, registry: &Registry) {
        {
            let mut announced = self.announced.lock();
            if announced.kept.len() >= KEPT {
                announced.kept.pop_front();
            }
            announced.kept.push_back(announcement);
            announced.count += 1;
        }
        self.ring(registry);
    }

    /// The announcements after so many, as far as they are kept, and how many there are in all.
    pub(crate) fn announced(&self, after: u64) -> (Vec<Announcement>, u64) {
        let announced = self.announced.lock();
        let missed = usize::try_from(announced.count.saturating_sub(after)).unwrap_or(usize::MAX);
        let skip = announced.kept.len().saturating_sub(missed);
        (announced.kept.iter().skip(skip).cloned().collect(), announced.count)
    }

    /// How many announcements there were: a new connection is told of later ones.
    pub(crate) fn count(&self) -> u64 {
        self.announced.lock().count
    }

    /// Has every connection look.
    pub(crate) fn ring(&self, registry: &Registry) {
        self.turn.fetch_add(1, Ordering::Release);
        registry.wake_all();
    }
}

/// Follows what connections have to hear of, until the server stops. A connection that is made meanwhile looks for
/// itself in its first turn.
pub(crate) async fn cry<B: Backend>(shared: Arc<Shared<B>>) {
    let core: &Core = &shared.core;
    let mut jobs = shared.jobs.subscribe();
    let mut chains = core.chain.subscribe();
    let mut phase = core.phase.subscribe();
    loop {
        let over = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| phase.ends()) => true,
            notice = jobs.next() => notice.is_none(),
            changed = chains.changed() => changed.is_err(),
        };
        core.board.ring(&core.registry);
        if over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_looks_late_sees_the_newest_announcements_once() {
        let (board, registry) = (Board::default(), Registry::default());
        let say = |text: &str| board.announce(Announcement::Message(text.into()), &registry);
        let seen = |after| {
            let (said, count) = board.announced(after);
            let said = said.into_iter().map(|one| match one {
                Announcement::Message(text) => text.to_string(),
                other => format!("{other:?}"),
            });
            (said.collect::<Vec<_>>().join(" "), count)
        };
        say("one");
        let after = board.count();
        assert_eq!(seen(after), (String::new(), 1));
        say("two");
        say("three");
        assert_eq!(seen(after), ("two three".to_owned(), 3));
        assert_eq!(seen(0).0, "one two three");
        for number in 0..KEPT {
            say(&number.to_string());
        }
        assert_eq!(board.announced(after).0.len(), KEPT, "older ones are gone");
        assert_eq!(board.turn(), 3 + KEPT as u64);
    }
}
