//! Ports: opened, listened on, and who is let in through them.

use crate::backend::Backend;
use crate::config::{PortConfig, StratumConfig};
use crate::connection::Connection;
use crate::counters::add;
use crate::doors;
use crate::limits::Network;
use crate::proxy::{self, Prefixed};
use crate::server::{Chain, Core, Phase, Shared, StartError, handover};
use crate::tls::{self, Certificate};
use crate::vardiff::VardiffConfig;
use bytes::{Bytes, BytesMut};
use millpond_dialect::DialectSet;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

/// A silent peer is asked again after this,
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// so many times, before its connection is dead.
const PROBES: u32 = 4;

/// Bytes that the kernel holds for a miner that does not read: some dozens of jobs.
const SEND_BUFFER: usize = 64 * 1024;

/// A listening port.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) vardiff: VardiffConfig,
    dialect: Option<String>,
    proxy_from: Vec<Network>,
    tls: Option<Arc<Certificate>>,
    /// The dialects of the chain that was asked for last.
    of: Mutex<Option<(Arc<Chain>, Arc<DialectSet>)>>,
}

impl Listening {
    /// Whether an address may say for whom it connects to this port.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.proxy_from.iter().any(|network| network.contains(address))
    }

    /// What the port shows over TLS, where it speaks that.
    pub(crate) fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.tls.as_ref()
    }

    /// The dialects spoken here: the adapter's, or the one that the port is fixed to. One set for all connections.
    pub(crate) fn dialects(&self, chain: &Arc<Chain>) -> Arc<DialectSet> {
        let mut of = self.of.lock();
        if let Some((known, dialects)) = &*of
            && Arc::ptr_eq(known, chain)
        {
            return Arc::clone(dialects);
        }
        let fixed = self.dialect.as_ref().and_then(|name| chain.dialects.fixed(name));
        let dialects = Arc::new(fixed.unwrap_or_else(|| chain.dialects.clone()));
        *of = Some((Arc::clone(chain), Arc::clone(&dialects)));
        dialects
    }
}

/// Opens a port, or goes on with a socket that listens on it already.
pub(crate) async fn bind(
    port: &PortConfig,
    config: &StratumConfig,
    chain: &Chain,
    socket: Option<std::net::TcpListener>,
) -> Result<(TcpListener, Listening), StartError> {
    let tls = port.tls.as_ref().map(Certificate::load).transpose();
    let tls = tls.map_err(|error| StartError::Tls(port.listen, error))?;
    if let Some(name) = port.dialect.as_ref().filter(|name| chain.dialects.fixed(name).is_none()) {
        let known: Vec<_> = chain.dialects.all().map(|dialect| dialect.name()).collect();
        return Err(StartError::Dialect(port.listen, name.clone(), known.join(", ")));
    }
    let bind = |error| StartError::Bind(port.listen, error);
    let listener = match socket {
        Some(socket) => TcpListener::from_std(socket).map_err(bind)?,
        None => TcpListener::bind(port.listen).await.map_err(bind)?,
    };
    if let Err(error) = prepare(&listener, config.tcp_keepalive.0) {
        tracing::warn!(%error, address = %port.listen, "a port's sockets could not be prepared");
    }
    let address = listener.local_addr().map_err(bind)?;
    let vardiff = port.vardiff(&config.vardiff);
    let (dialect, proxy_from) = (port.dialect.clone(), port.proxy_from.clone());
    let tls = tls.map(Arc::new);
    Ok((listener, Listening { address, vardiff, dialect, proxy_from, tls, of: Mutex::default() }))
}

/// A connection that has not said yet whose it is, as far as it came.
pub(crate) struct Beginning {
    pub(crate) peer: SocketAddr,
    pub(crate) opened: Instant,
    /// What was read of it.
    pub(crate) head: Bytes,
}

/// The connections of a port that came from another process.
pub(crate) struct Arrived<B: Backend> {
    pub(crate) sessions: Vec<(Connection<B>, std::net::TcpStream)>,
    pub(crate) beginning: Vec<(Beginning, std::net::TcpStream)>,
}

impl<B: Backend> Default for Arrived<B> {
    fn default() -> Self {
        Self { sessions: Vec::new(), beginning: Vec::new() }
    }
}

/// Accepts the connections of a port until the server stops, and waits for them to end. `arrived` is served from the
/// opening on.
pub(crate) async fn listen<B: Backend>(
    shared: Arc<Shared<B>>,
    listening: Arc<Listening>,
    listener: TcpListener,
    arrived: Arrived<B>,
) {
    let mut phase = shared.core.phase.subscribe();
    let held = phase.wait_for(|phase| *phase != Phase::Held).await;
    if held.is_ok_and(|phase| *phase != Phase::Serving) {
        // It never served: what came to it is still another process's, whose miners hear nothing of this.
        return;
    }
    let mut connections = JoinSet::new();
    let unusable =
        |error: std::io::Error| tracing::warn!(%error, "a socket of the process before cannot be used");
    for (connection, socket) in arrived.sessions {
        match TcpStream::from_std(socket) {
            Ok(stream) => drop(connections.spawn(connection.serve(stream))),
            Err(error) => unusable(error),
        }
    }
    for (beginning, socket) in arrived.beginning {
        let (shared, listening) = (Arc::clone(&shared), Arc::clone(&listening));
        match TcpStream::from_std(socket) {
            Ok(stream) => drop(connections.spawn(admit(shared, listening, stream, beginning))),
            Err(error) => unusable(error),
        }
    }
    loop {
        let accepted = tokio::select! {
            biased;
            () = async { _ = phase.wait_for(|phase| phase.ends()).await } => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task ended early");
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let opened = Instant::now();
                if listening.tls.is_some() || listening.trusts(peer.ip()) {
                    let (shared, listening) = (Arc::clone(&shared), Arc::clone(&listening));
                    let beginning = Beginning { peer, opened, head: Bytes::new() };
                    connections.spawn(admit(shared, listening, stream, beginning));
                } else if let Some(seat) = doors::seat(&shared.core, peer.ip(), opened) {
                    let (shared, listening) = (Arc::clone(&shared), Arc::clone(&listening));
                    let connection = Connection::new(shared, listening, peer, seat, opened, &[], true);
                    connections.spawn(connection.serve(stream));
                }
            }
            Err(error) => {
                // Out of file descriptors, say: others must end first.
                tracing::warn!(%error, address = %listening.address, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Lets a connection in that begins with a trusted proxy's header, or with TLS. One whose header is not there when the server
/// hands over is left to the next one.
async fn admit<B: Backend>(
    shared: Arc<Shared<B>>,
    listening: Arc<Listening>,
    mut stream: TcpStream,
    beginning: Beginning,
) {
    let Beginning { peer, opened, head } = beginning;
    let mut head = BytesMut::from(head);
    let core = &shared.core;
    // A denied proxy is not listened to either.
    if doors::is_denied(core, peer.ip()) {
        return;
    }
    let deadline = opened + core.config().limits.handshake.0;
    // A proxy's own connections are limited once they have said whose they are.
    let client = if listening.trusts(peer.ip()) {
        match in_time(core, deadline, proxy::accept(&mut stream, &mut head, peer)).await {
            Some(Ok(client)) => client,
            Some(Err(error)) => {
                tracing::debug!(%error, "a connection was refused");
                return add(&core.counters.refused_proxy);
            }
            None if core.phase() == Phase::HandingOver => {
                let beginning = Beginning { peer, opened, head: head.freeze() };
                return handover::leave(core, &listening, beginning, stream);
            }
            None => return,
        }
    } else {
        peer
    };
    let head = head.freeze();
    let Some(seat) = doors::seat(core, client.ip(), opened) else { return };
    let Some(certificate) = &listening.tls else {
        let (shared, listening) = (Arc::clone(&shared), Arc::clone(&listening));
        let connection = Connection::new(shared, listening, client, seat, opened, &head, true);
        return connection.serve(stream).await;
    };
    let accept = certificate
        .acceptor()
        .accept_with(Prefixed::new(head, stream), |session| session.set_buffer_limit(Some(tls::KEPT)));
    match in_time(core, deadline, accept).await {
        Some(Ok(stream)) => {
            let (shared, listening) = (Arc::clone(&shared), Arc::clone(&listening));
            let connection = Connection::new(shared, listening, client, seat, opened, &[], false);
            connection.serve(stream).await;
        }
        Some(Err(error)) => {
            tracing::debug!(%client, %error, "a TLS handshake failed");
            add(&core.counters.tls_failed);
        }
        None => {}
    }
}

/// What a connection begins with, unless it takes too long or the server ends meanwhile.
async fn in_time<T>(core: &Core, deadline: Instant, beginning: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = ending(core) => None,
        begun = timeout_at(deadline.into(), beginning) => {
            if begun.is_err() {
                add(&core.counters.handshake_timeouts);
            }
            begun.ok()
        }
    }
}

/// What holds for each connection of a listener; Linux hands it on to the sockets that are accepted, which spares four
/// calls for each. Answers go out at once; a silent peer is asked by TCP whether it lives, after `keepalive` and then a
/// few times more; and of what a miner does not read the kernel holds no more than [`SEND_BUFFER`].
fn prepare(listener: &TcpListener, keepalive: Duration) -> std::io::Result<()> {
    let socket = SockRef::from(listener);
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    if keepalive.is_zero() {
        return Ok(());
    }
    let probes = TcpKeepalive::new().with_time(keepalive).with_interval(PROBE_EVERY).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)
}

async fn ending(core: &Core) {
    let _ = core.phase.subscribe().wait_for(|phase| phase.ends()).await;
}

/// Forgets sessions that can no longer be resumed.
pub(crate) async fn sweep(core: Arc<Core>) {
    let pause = core.config().extranonce.resume.0.clamp(Duration::from_millis(100), Duration::from_secs(60));
    loop {
        tokio::select! {
            () = sleep(pause) => {
                core.tree.sweep(Instant::now());
                core.gate.sweep(Instant::now());
            }
            () = ending(&core) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_peer_is_asked_by_tcp_whether_it_lives() {
        let accepted = async |keepalive| {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            prepare(&listener, keepalive).unwrap();
            let _miner = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            listener.accept().await.unwrap().0
        };
        let without = accepted(Duration::ZERO).await;
        assert!(!SockRef::from(&without).keepalive().unwrap(), "0 leaves it out");
        let stream = accepted(Duration::from_secs(77)).await;
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), PROBE_EVERY);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_BUFFER);
    }
}
