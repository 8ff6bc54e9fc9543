//! Who is let in, and what that costs the pool: lists of the operator, bans, limits of a source, and the work of shares
//! that are refused.

use crate::backend::{Backend, Refusal};
use crate::connection::{Connection, End};
use crate::counters::add;
use crate::limits::{Network, Seat, Source};
use crate::server::Core;
use crate::submit::Outcome;
use millpond_recipe::Recipe;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What hashing by a heavy algorithm is taken to cost at least: scrypt takes about 100 us, and its hand-over some.
const LEAST: Duration = Duration::from_micros(150);
/// And at most: a measure that a busy machine has spoiled is not to shut a miner out for long.
const MOST: Duration = Duration::from_millis(100);

/// What a share of this recipe is charged: what its like took lately.
fn heavy(recipe: &Recipe) -> Duration {
    recipe.usually_takes().unwrap_or(LEAST).clamp(LEAST, MOST)
}

fn within(networks: &[Network], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(address))
}

/// Whether the operator shuts an address out.
pub(crate) fn is_denied(core: &Core, address: IpAddr) -> bool {
    let denied = within(&core.config().limits.deny, address);
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
    let config = core.config();
    let source = Source::of(client, config.limits.ipv6_prefix);
    let exempt = within(&config.limits.allow, client);
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
    /// The operator's configuration as it is now, in a connection's first turn and whenever it changes. `through` is where
    /// its socket ends, which is a proxy's where that is not the miner himself: whom the operator shuts out now is hung up
    /// on, as he would be refused from now on.
    pub(crate) fn follow(&mut self, through: impl Fn() -> Option<IpAddr>) -> Result<(), End> {
        let config = self.shared.core.config();
        let limits = &config.limits;
        let client = self.peer.ip();
        let denied = |address: IpAddr| within(&limits.deny, address);
        if !limits.deny.is_empty() && (denied(client) || through().is_some_and(denied)) {
            add(&self.shared.core.counters.denied);
            return Err(End::Denied);
        }
        if !Arc::ptr_eq(&config, &self.config) {
            self.seat.set_exempt(within(&limits.allow, client));
            self.pace.follow(limits, Instant::now());
            self.config = Arc::clone(&config);
        }
        self.floor_by_agent()
    }

    /// A share goes to a heavy hash: its source pays for that ahead, so that hanging up before the answer saves nothing.
    /// While the source owes, a connection that has shown no share that counts is read no further; those that have, a
    /// neighbour's behind the same address, are not held up by it.
    /// Returns what it was charged.
    pub(crate) fn charge(&mut self, recipe: &Recipe) -> Duration {
        let cost = heavy(recipe);
        let owes = self.seat.charge(cost, Instant::now());
        if self.entry.known.lock().accepted == 0 {
            self.hold(owes);
        }
        cost
    }

    /// What a share that was charged this for came to: one that counts, or that failed through no fault of the miner, costs
    /// nothing. One that was refused holds its connection until its source has paid.
    pub(crate) fn settle_charge(&mut self, cost: Duration, outcome: &Outcome) {
        let now = Instant::now();
        match outcome {
            Outcome::Refused {
                why: Refusal::Duplicate | Refusal::LowDifficulty | Refusal::Stale | Refusal::Malformed,
                ..
            } => {
                let owes = self.seat.charge(Duration::ZERO, now);
                self.hold(owes);
            }
            Outcome::Counted(_) | Outcome::Refused { .. } => {
                self.seat.give_back(cost, now);
                // It was held for what might have come of it.
                let innocent = self.entry.known.lock().refused == 0;
                let owes = if innocent { None } else { self.seat.charge(Duration::ZERO, now) };
                self.read_from = held_after(self.read_from, owes, self.pace.ready_at());
            }
        }
    }

    fn hold(&mut self, until: Option<Instant>) {
        if let Some(until) = until {
            add(&self.shared.core.counters.slowed_refused);
            self.read_from = self.read_from.max(Some(until));
        }
    }
}

/// How long a connection is still held once a share of it has cost its source nothing after all: no longer than it was, for
/// what its source owes now, where that is its own doing too, and for its pace.
fn held_after(held: Option<Instant>, owes: Option<Instant>, pace: Option<Instant>) -> Option<Instant> {
    held.and_then(|held| owes.max(pace).map(|until| until.min(held)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_algorithms::Algorithms;

    #[test]
    fn a_share_is_charged_what_its_own_recipe_took_within_bounds() {
        let text = "recipe 1 \"t\"\nshare n:4\npow = scrypt n\njudge be pow | id pow";
        let recipe = || Recipe::compile("t", text, &Algorithms::native()).unwrap();
        let (dear, cheap, spoiled) = (recipe(), recipe(), recipe());
        for _ in 0..8 {
            assert_eq!(heavy(&dear), LEAST, "before there are enough");
            dear.took(Duration::from_millis(3));
            cheap.took(Duration::from_micros(20));
            spoiled.took(Duration::from_secs(3));
        }
        assert_eq!([&dear, &cheap, &spoiled].map(|one| heavy(one)), [Duration::from_millis(3), LEAST, MOST]);
    }

    #[test]
    fn a_hold_ends_with_what_it_was_for() {
        let now = Instant::now();
        let [soon, later, much_later] = [1, 10, 100].map(|seconds| Some(now + Duration::from_secs(seconds)));
        assert_eq!(held_after(much_later, None, None), None, "its shares count: nothing is owed");
        assert_eq!(held_after(much_later, None, soon), soon, "it sends too fast all the same");
        assert_eq!(held_after(much_later, later, soon), later, "its refused ones are still owed");
        assert_eq!(held_after(soon, much_later, later), soon, "what counts never makes it longer");
        assert_eq!(held_after(None, much_later, None), None);
    }
}
