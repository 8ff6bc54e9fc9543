//! From one process to another: a server that leaves its sockets, and one that begins with them.

use super::{Core, LastSeen, Phase, Server, Shared};
use crate::backend::Backend;
use crate::carried::{BeginningState, Bits, Carried, HandedOver, Moment, ServerState};
use crate::connection::Connection;
use crate::listen::{Arrived, Beginning, Listening};
use crate::login::carried::Payees;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// The connections of each port that came from another process, by the port's address as bound.
pub(super) type AllArrived<B> = HashMap<SocketAddr, Arrived<B>>;

impl Server {
    /// Ends as [`Server::stop`] does, and disconnects nobody: shares on their way are recorded and answered, and then
    /// the sockets are left as they are, with what is known of their sessions. Sessions over TLS are closed, since
    /// their keys stay here; they can be taken up again by their name.
    pub async fn hand_over(mut self) -> HandedOver {
        let late = self.end(Phase::HandingOver).await;
        let moment = Moment::now();
        let core = &self.core;
        let known = ServerState {
            parked: core.tree.parked(self.jobs.oldest(), moment),
            bans: core.bans.state(moment),
            last_seen: core.last_seen.state(),
            ..ServerState::default()
        };
        let sessions = std::mem::take(&mut *core.carried.lock());
        let beginning = std::mem::take(&mut *core.beginning.lock());
        HandedOver { listeners: std::mem::take(&mut self.sockets), sessions, beginning, known, late }
    }

    /// What became of the sessions that were handed over to this server.
    #[must_use]
    pub fn carried(&self) -> &Carried {
        &self.carried
    }
}

/// Leaves a connection that has not said yet whose it is to the process that takes over.
pub(crate) fn leave(core: &Core, listening: &Listening, beginning: Beginning, stream: tokio::net::TcpStream) {
    let state = BeginningState::of(listening.address, &beginning, Moment::now());
    match stream.into_std() {
        Ok(socket) => core.beginning.lock().push((state, socket)),
        Err(error) => tracing::warn!(%error, "a connection cannot be handed over"),
    }
}

impl HandedOver {
    /// The listening socket of a port, by its address as configured.
    pub(super) fn listener(&mut self, configured: SocketAddr) -> Option<TcpListener> {
        let at = self.listeners.iter().position(|(address, _)| *address == configured)?;
        Some(self.listeners.remove(at).1)
    }
}

/// Makes connections of the sessions that were handed over, and takes over the rest of what was known.
pub(super) fn arrive<B: Backend>(
    shared: &Arc<Shared<B>>,
    ports: &[Arc<Listening>],
    from: HandedOver,
) -> (AllArrived<B>, Carried) {
    let (moment, mut payees) = (Moment::now(), Payees::default());
    let core = &shared.core;
    let HandedOver { sessions, beginning, known, .. } = from;
    core.bans.restore(&known.bans, moment);
    core.last_seen.restore(known.last_seen);
    let mut arrived = AllArrived::<B>::new();
    let mut carried = Carried::default();
    for (state, socket) in sessions {
        let made = match ports.iter().find(|listening| listening.address == state.port) {
            None => Err("their port is no longer configured".to_owned()),
            Some(listening) => {
                let (shared, listening) = (Arc::clone(shared), Arc::clone(listening));
                let address = listening.address;
                let made = Connection::arrive(shared, listening, state, moment, &mut payees);
                made.map(|connection| (address, connection)).map_err(|why| why.to_string())
            }
        };
        match made {
            Ok((address, connection)) => {
                carried.sessions += 1;
                arrived.entry(address).or_default().sessions.push((connection, socket));
            }
            Err(why) => {
                carried.closed += 1;
                carried.why.get_or_insert(why);
            }
        }
    }
    for (state, socket) in beginning {
        // Where there is no such port any more nobody has a session to lose.
        if ports.iter().any(|listening| listening.address == state.port) {
            let here = arrived.entry(state.port).or_default();
            here.beginning.push((state.beginning(moment), socket));
        }
    }
    if let Carried { closed, why: Some(why), .. } = &carried {
        tracing::warn!(closed, %why, "sessions of the process before cannot go on");
    }
    // After those that are connected, whose prefixes come first.
    let most = core.config().limits.connections_per_source;
    core.tree.park_again(known.parked, most, moment, &mut payees);
    (arrived, carried)
}

impl LastSeen {
    fn state(&self) -> Vec<(String, Bits)> {
        let generations = self.0.lock();
        // The older one first, so that the newer wins.
        let all = generations.iter().rev().flatten();
        all.map(|(key, difficulty)| (key.clone(), Bits::from(*difficulty))).collect()
    }

    fn restore(&self, known: Vec<(String, Bits)>) {
        let known = known.into_iter().map(|(key, difficulty)| (key, difficulty.into()));
        // As the older generation: who is not seen again is forgotten in time.
        let [_, old] = &mut *self.0.lock();
        *old = known.collect();
    }
}
