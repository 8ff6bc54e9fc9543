//! Who is let in, and what that costs the pool: lists of the operator, bans, limits of a source, and the work of shares
//! that are refused.

use crate::backend::{Backend, Refusal};
use crate::connection::Connection;
use crate::counters::add;
use crate::limits::{Network, Seat, Source};
use crate::server::Core;
use millpond_recipe::Cost;
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
    /// A share was refused that had cost a heavy hash: its source pays for that; cheap ones are limited by their lines. Until
    /// it has paid, this connection is read no further; others of the source are not held up by it.
    pub(crate) fn charge(&mut self, why: Refusal) {
        // Found out by hashing, and the miner's own doing.
        if !matches!(why, Refusal::Duplicate | Refusal::LowDifficulty | Refusal::Stale) {
            return;
        }
        let job = self.shared.jobs.current();
        if job.is_none_or(|job| job.stage.recipe().cost() != Cost::Heavy) {
            return;
        }
        if let Some(until) = self.seat.refused(HEAVY, Instant::now()) {
            add(&self.shared.core.counters.slowed_refused);
            self.read_from = self.read_from.max(Some(until));
        }
    }
}
