//! One warm instance of a version: its sequence, timers, calls in flight and rate.

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
    pub(crate) in_flight: BTreeSet<u64>,
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
            in_flight: BTreeSet::new(),
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
    pub(crate) fn handle(&mut self, what: Happening) -> (Event, Outcome<Vec<Action>>) {
        self.seq = self.seq.saturating_add(1);
        let event = Event { seq: self.seq, now_ms: UnixMillis::now().0, what };
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
