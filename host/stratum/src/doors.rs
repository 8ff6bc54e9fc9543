//! Who is let in, and what that costs the pool: lists of the operator, bans, limits of a source, and the work of shares
//! that are refused.

use crate::backend::{Backend, Refusal};
use crate::connection::Connection;
use crate::counters::add;
use crate::limits::{Network, Seat, Source};
use crate::server::Core;
use crate::submit::Outcome;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// What hashing by a heavy algorithm costs: scrypt takes about 100 us, the memory-hard ones more.
const HEAVY: Duration = Duration::from_micros(150);

fn within(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Whether the operator shuts an address out.
pub(crate) fn is_denied(core: &Core, address: IpAddr) -> bool {
    let denied = within(&core.config.limits.deny, address);
    if denied {
        add(&core.counters.refused_denied);
    }
    denied
}

/// A place for a connection of this address, unless that is denied, banned or has too many.
pub(crate) fn seat(core: &Core, client: IpAddr, opened: Instant) -> Option<Seat> {
    if is_denied(core, client) {
        return None;
    }
    let source = Source::of(client, core.config.limits.ipv6_prefix);
    let exempt = within(&core.config.limits.allow, client);
    if !exempt && core.bans.banned(source, opened).is_some() {
        add(&core.counters.refused_banned);
        return None;
    }
    match core.gate.enter(source, exempt) {
        Ok(seat) => {
            add(&core.counters.connections);
            Some(seat)
        }
        Err(full) => {
            tracing::debug!(%source, %full, "a connection was refused");
            add(&core.counters.refused_full);
            None
        }
    }
}

impl<B: Backend> Connection<B> {
    /// A share goes to a heavy hash: its source pays for that ahead, so that hanging up before the answer saves nothing.
    /// While the source owes, a connection that has shown no share that counts is read no further; those that have, a
    /// neighbour's behind the same address, are not held up by it.
    pub(crate) fn charge(&mut self) {
        let owes = self.seat.charge(HEAVY, Instant::now());
        if self.entry.known.lock().accepted == 0 {
            self.hold(owes);
        }
    }

    /// What a share that was charged for came to: one that counts, or that failed through no fault of the miner, costs
    /// nothing. One that was refused holds its connection until its source has paid.
    pub(crate) fn settle_charge(&mut self, outcome: &Outcome) {
        let now = Instant::now();
        match outcome {
            Outcome::Refused {
                why: Refusal::Duplicate | Refusal::LowDifficulty | Refusal::Stale | Refusal::Malformed,
                ..
            } => {
                let owes = self.seat.charge(Duration::ZERO, now);
                self.hold(owes);
            }
            Outcome::Counted(_) | Outcome::Refused { .. } => self.seat.give_back(HEAVY, now),
        }
    }

    fn hold(&mut self, until: Option<Instant>) {
        if let Some(until) = until {
            add(&self.shared.core.counters.slowed_refused);
            self.read_from = self.read_from.max(Some(until));
        }
    }
}
