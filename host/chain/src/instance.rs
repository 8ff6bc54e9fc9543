//! One warm instance of a version: its sequence, clock, timers, calls in flight and rate.

use crate::version::Version;
use millpond_contracts::Outcome;
use millpond_contracts::chain::{Action, AdapterActor, Event, Happening};
use millpond_types::{Digest, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls to nodes in a second; beyond it a call is answered as denied a second later. An adapter that answers every
/// reply with a call would otherwise keep node and host busy for ever.
const CALLS_PER_SECOND: u32 = 500;

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    /// Its number in the instance's life: ids are the adapter's, and come again.
    call: u64,
    /// The node that it went to; none where the host chose.
    link: Option<u16>,
}

/// The time that adapters are told: the wall's, but never back. Where the wall is set back it goes on from where it was,
/// so that an age that an adapter measures neither stands still nor becomes negative.
#[derive(Debug)]
pub(crate) struct Clock {
    told: u64,
    at: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { told: UnixMillis::now().0, at: Instant::now() }
    }

    /// Unix time in milliseconds.
    pub(crate) fn now(&mut self) -> u64 {
        self.read(UnixMillis::now().0, Instant::now())
    }

    fn read(&mut self, wall: u64, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at).as_millis();
        let steady = self.told.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX));
        if wall > steady {
            (self.told, self.at) = (wall, now);
        }
        wall.max(steady)
    }
}

/// A live instance.
pub(crate) struct Instance {
    /// Tells its replies from those to instances before it.
    pub(crate) id: u64,
    pub(crate) version: Arc<Version>,
    actor: Box<dyn AdapterActor>,
    seq: u64,
    timers: BTreeMap<u32, Instant>,
    /// Timer ids, as the checks want them.
    pub(crate) timer_ids: BTreeSet<u32>,
    /// Calls that wait for their answer, by the adapter's own ids.
    pub(crate) in_flight: BTreeMap<u64, InFlight>,
    calls: u64,
    second: (Instant, u32),
    /// Events that do not count for its end any more.
    forgiven: u64,
}

impl Instance {
    pub(crate) fn new(id: u64, version: Arc<Version>, actor: Box<dyn AdapterActor>) -> Self {
        Self {
            id,
            version,
            actor,
            seq: 0,
            timers: BTreeMap::new(),
            timer_ids: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            calls: 0,
            second: (Instant::now(), 0),
            forgiven: 0,
        }
    }

    /// Events it was handed, without those forgiven.
    pub(crate) fn events(&self) -> u64 {
        self.seq.saturating_sub(self.forgiven)
    }

    /// Counts its events anew.
    pub(crate) fn forgive(&mut self) {
        self.forgiven = self.seq;
    }

    /// Hands over one event.
    pub(crate) fn handle(&mut self, what: Happening, now_ms: u64) -> (Event, Outcome<Vec<Action>>) {
        self.seq = self.seq.saturating_add(1);
        let event = Event { seq: self.seq, now_ms, what };
        let outcome = self.actor.handle(&event);
        (event, outcome)
    }

    /// Sets a timer; 0 ms cancels it.
    pub(crate) fn timer(&mut self, id: u32, ms: u32) {
        if ms == 0 {
            self.timers.remove(&id);
            self.timer_ids.remove(&id);
        } else {
            self.timers.insert(id, Instant::now() + Duration::from_millis(ms.into()));
            self.timer_ids.insert(id);
        }
    }

    /// A timer that has run out.
    pub(crate) fn due(&mut self, now: Instant) -> Option<u32> {
        let (id, _) = self.timers.iter().filter(|(_, at)| **at <= now).min_by_key(|(_, at)| **at)?;
        let id = *id;
        self.timers.remove(&id);
        self.timer_ids.remove(&id);
        Some(id)
    }

    /// When the next timer runs out.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.timers.values().min().copied()
    }

    /// Notes a call; the number that its answer has to carry.
    pub(crate) fn calls(&mut self, id: u64, link: Option<u16>) -> u64 {
        self.calls = self.calls.saturating_add(1);
        self.in_flight.insert(id, InFlight { call: self.calls, link });
        self.calls
    }

    /// Takes note of an answer; false when the call was answered before, or its id has another meaning by now.
    pub(crate) fn answered(&mut self, id: u64, call: u64) -> bool {
        let waits = self.in_flight.get(&id).is_some_and(|in_flight| in_flight.call == call);
        waits && self.in_flight.remove(&id).is_some()
    }

    /// Calls in flight to a node: id and number.
    pub(crate) fn calls_to(&self, link: u16) -> Vec<(u64, u64)> {
        let to = self.in_flight.iter().filter(|(_, in_flight)| in_flight.link == Some(link));
        to.map(|(id, in_flight)| (*id, in_flight.call)).collect()
    }

    /// Counts a call; false above the rate.
    pub(crate) fn may_call(&mut self) -> bool {
        if self.second.0.elapsed() >= Duration::from_secs(1) {
            self.second = (Instant::now(), 0);
        }
        self.second.1 = self.second.1.saturating_add(1);
        self.second.1 <= CALLS_PER_SECOND
    }
}

/// A digest of an event without its times and ids: the same cause of a trap has the same digest.
pub(crate) fn input(what: &Happening) -> Digest {
    let mut bytes = Vec::new();
    match what {
        Happening::Start(_) => bytes.extend(b"start"),
        Happening::Reply(reply) => {
            bytes.extend(b"reply");
            match &reply.outcome {
                Ok(body) => bytes.extend(body),
                Err(error) => bytes.extend(error.to_string().as_bytes()),
            }
        }
        Happening::Push(push) => {
            bytes.extend(b"push");
            bytes.extend(push.topic.as_bytes());
            bytes.extend(&push.data);
        }
        Happening::Outputs { outputs, .. } => bytes.extend(format!("outputs {outputs:?}").as_bytes()),
        other => bytes.extend(format!("{other:?}").as_bytes()),
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapters_clock_goes_on_when_the_wall_is_set_back() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock { told: 10_000, at: start };
        assert_eq!(clock.read(10_500, after(400)), 10_500);
        assert_eq!(clock.read(10_600, after(600)), 10_700, "a slower wall is no reason to go back");
        assert_eq!(clock.read(1_000, after(700)), 10_800, "set back");
        assert_eq!(clock.read(2_000, after(1_700)), 11_800, "and time passes");
        assert_eq!(clock.read(90_000, after(1_800)), 90_000, "set forward");
        assert_eq!(clock.read(12_000, after(1_900)), 90_100);
    }
}
