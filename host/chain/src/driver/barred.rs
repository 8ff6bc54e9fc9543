//! Nodes whose answers lead to jobs that break a trust rule: for a while the adapter does not hear of them, so that it
//! works with the others. The node may lie, or the adapter read it wrongly: either way another node is worth a try, and the
//! last one is never barred.

use super::{Driver, Who};
use millpond_contracts::chain::Happening;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a node is barred at first; each further time twice as long.
const FIRST: Duration = Duration::from_secs(10);
/// The longest such time.
const LONGEST: Duration = Duration::from_secs(600);

/// A node that was barred: until when, and how often so far.
struct Bar {
    until: Option<Instant>,
    times: u32,
}

/// The nodes that were barred.
#[derive(Default)]
pub(super) struct Barred(BTreeMap<u16, Bar>);

impl Barred {
    /// Whether the adapter does not hear of a node now.
    pub(super) fn contains(&self, link: u16) -> bool {
        self.0.get(&link).is_some_and(|bar| bar.until.is_some())
    }

    fn bar(&mut self, link: u16, now: Instant) -> Duration {
        let bar = self.0.entry(link).or_insert(Bar { until: None, times: 0 });
        let pause = FIRST.saturating_mul(1 << bar.times.min(16)).min(LONGEST);
        bar.times = bar.times.saturating_add(1);
        bar.until = Some(now + pause);
        pause
    }

    /// When the next one is let in again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().filter_map(|bar| bar.until).min()
    }

    fn take_due(&mut self, now: Instant) -> Vec<u16> {
        let due = self.0.iter_mut().filter(|(_, bar)| bar.until.is_some_and(|until| until <= now));
        due.map(|(link, bar)| {
            bar.until = None;
            *link
        })
        .collect()
    }
}

/// The node that an event is news of.
pub(super) fn source(what: &Happening) -> Option<u16> {
    match what {
        Happening::Reply(reply) => Some(reply.link),
        Happening::Push(push) => Some(push.link),
        _ => None,
    }
}

impl Driver {
    /// A node's answer led to a job that is refused. It is barred when another one is up that is not.
    pub(super) fn bar(&mut self, link: u16, why: &str) {
        let other = |(other, up): (&u16, &bool)| *up && *other != link && !self.barred.contains(*other);
        if self.barred.contains(link) || !self.ring.up.iter().any(other) {
            return;
        }
        let seconds = self.barred.bar(link, Instant::now()).as_secs();
        let reason =
            format!("the work that it gives is refused, the others are worked with for {seconds} s: {why}");
        self.shared.port.unfit(link, &reason);
        self.shared.sink.unfit(link, &reason);
    }

    /// Nodes whose time is over are told to the adapter as ones that came up.
    pub(super) fn unbar(&mut self, now: Instant) {
        for link in self.barred.take_due(now) {
            if self.ring.up.get(&link) == Some(&true) {
                self.deliver(Who::Lead, Happening::Link { link, up: true });
                self.deliver(Who::Candidate, Happening::Link { link, up: true });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_barred_for_longer_each_time() {
        let (mut barred, mut now) = (Barred::default(), Instant::now());
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            let pause = barred.bar(3, now);
            assert_eq!(pause, Duration::from_secs(seconds));
            assert!(barred.contains(3) && !barred.contains(0));
            assert_eq!(barred.next_due(), Some(now + pause));
            assert_eq!(barred.take_due(now), [0; 0]);
            now += pause;
            assert_eq!(barred.take_due(now), [3]);
            assert!(!barred.contains(3));
            assert_eq!(barred.next_due(), None);
        }
    }
}
