//! Ports: opened, listened on, and who is let in through them.

use crate::backend::Backend;
use crate::config::{PortConfig, StratumConfig};
use crate::connection::Connection;
use crate::counters::add;
use crate::limits::{Network, Source};
use crate::proxy::{self, Prefixed};
use crate::server::{Chain, Core, Shared, StartError};
use crate::tls::{self, Certificate};
use crate::vardiff::VardiffConfig;
use bytes::{Bytes, BytesMut};
use millpond_dialect::DialectSet;
use socket2::{SockRef, TcpKeepalive};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

/// A silent peer is asked again after this,
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// so many times, before its connection is dead.
const PROBES: u32 = 4;

/// A listening port.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) vardiff: VardiffConfig,
    dialect: Option<String>,
    proxy_from: Vec<Network>,
    tls: Option<Arc<Certificate>>,
}

impl Listening {
    /// Whether an address may say for whom it connects to this port.
    fn trusts(&self, address: IpAddr) -> bool {
        self.proxy_from.iter().any(|network| network.contains(address))
    }

    /// What the port shows over TLS, where it speaks that.
    pub(crate) fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.tls.as_ref()
    }

    /// The dialects spoken here: the adapter's, or the one that the port is fixed to.
    pub(crate) fn dialects<B: Backend>(&self, shared: &Shared<B>) -> DialectSet {
        let chain = shared.chain();
        let fixed = self.dialect.as_ref().and_then(|name| chain.dialects.fixed(name));
        fixed.unwrap_or_else(|| chain.dialects.clone())
    }
}

/// Opens a port.
pub(crate) async fn bind(
    port: &PortConfig,
    config: &StratumConfig,
    chain: &Chain,
) -> Result<(TcpListener, Listening), StartError> {
    let tls = port.tls.as_ref().map(Certificate::load).transpose();
    let tls = tls.map_err(|error| StartError::Tls(port.listen, error))?;
    if let Some(name) = port.dialect.as_ref().filter(|name| chain.dialects.fixed(name).is_none()) {
        let known: Vec<_> = chain.dialects.all().map(|dialect| dialect.name()).collect();
        return Err(StartError::Dialect(port.listen, name.clone(), known.join(", ")));
    }
    let bind = |error| StartError::Bind(port.listen, error);
    let listener = TcpListener::bind(port.listen).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let vardiff = port.vardiff(&config.vardiff);
    let (dialect, proxy_from) = (port.dialect.clone(), port.proxy_from.clone());
    let tls = tls.map(Arc::new);
    Ok((listener, Listening { address, vardiff, dialect, proxy_from, tls }))
}

/// Accepts the connections of a port until the server stops, and waits for them to end.
pub(crate) async fn listen<B: Backend>(
    shared: Arc<Shared<B>>,
    listening: Arc<Listening>,
    listener: TcpListener,
) {
    let mut stop = shared.core.stop.subscribe();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = async { _ = stop.wait_for(|stopping| *stopping).await } => break,
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
                connections.spawn(admit(Arc::clone(&shared), Arc::clone(&listening), stream, peer));
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

/// Lets a connection in: limits and bans of its source, PROXY header, TLS.
async fn admit<B: Backend>(
    shared: Arc<Shared<B>>,
    listening: Arc<Listening>,
    mut stream: TcpStream,
    peer: SocketAddr,
) {
    let core = &shared.core;
    let opened = Instant::now();
    let deadline = opened + core.config.limits.handshake.0;
    let _ = stream.set_nodelay(true);
    if let Err(error) = keep_alive(&stream, core.config.tcp_keepalive.0) {
        tracing::debug!(%peer, %error, "TCP keepalive could not be set");
    }
    let of = |address: SocketAddr| Source::of(address.ip(), core.config.limits.ipv6_prefix);
    // A proxy's own connections are limited once they have said whose they are.
    let trusted = listening.trusts(peer.ip());
    let (client, head) = if trusted {
        match timeout_at(deadline.into(), proxy::accept(&mut stream, peer)).await {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection was refused");
                return add(&core.counters.refused_proxy);
            }
            Err(_) => return add(&core.counters.handshake_timeouts),
        }
    } else {
        (peer, Bytes::new())
    };
    let source = of(client);
    if core.bans.banned(source, opened).is_some() {
        return add(&core.counters.refused_banned);
    }
    let seat = match core.gate.enter(source) {
        Ok(seat) => seat,
        Err(full) => {
            tracing::debug!(%source, %full, "a connection was refused");
            return add(&core.counters.refused_full);
        }
    };
    add(&core.counters.connections);
    if let Some(certificate) = &listening.tls {
        let accept = certificate.acceptor().accept(Prefixed::new(head, stream));
        match timeout_at(deadline.into(), accept).await {
            Ok(Ok(stream)) => {
                Connection::serve(Arc::clone(&shared), listening, stream, client, seat, opened).await;
            }
            Ok(Err(error)) => {
                tracing::debug!(%client, %error, "a TLS handshake failed");
                add(&core.counters.tls_failed);
            }
            Err(_) => add(&core.counters.handshake_timeouts),
        }
        return;
    }
    let mut head = BytesMut::from(&*head);
    while head.is_empty() {
        let read = tokio::select! {
            read = timeout_at(deadline.into(), stream.read_buf(&mut head)) => read,
            () = stopping(core) => return,
        };
        match read {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => {}
            Err(_) => return add(&core.counters.handshake_timeouts),
        }
    }
    if tls::is_client_hello(&head) {
        // Not a ban: bfgminer tries TLS first and comes back without.
        add(&core.counters.tls_on_plain);
        let _ = timeout_at(deadline.into(), stream.write_all(&tls::REFUSAL)).await;
        let _ = timeout_at(deadline.into(), stream.shutdown()).await;
        return;
    }
    if matches!(proxy::parse(&head), proxy::Parsed::Header(..) | proxy::Parsed::Invalid) && !trusted {
        tracing::debug!(%peer, "a PROXY header from an address that is not in the port's proxy_from");
        return add(&core.counters.refused_proxy);
    }
    let stream = Prefixed::new(head.freeze(), stream);
    Connection::serve(Arc::clone(&shared), listening, stream, client, seat, opened).await;
}

/// Has TCP ask a silent peer whether it lives, after `after` and then a few times more.
fn keep_alive(stream: &TcpStream, after: Duration) -> std::io::Result<()> {
    if after.is_zero() {
        return Ok(());
    }
    let probes = TcpKeepalive::new().with_time(after).with_interval(PROBE_EVERY).with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

async fn stopping(core: &Core) {
    let _ = core.stop.subscribe().wait_for(|stopping| *stopping).await;
}

/// Forgets sessions that can no longer be resumed.
pub(crate) async fn sweep(core: Arc<Core>) {
    let pause = core.config.extranonce.resume.0.clamp(Duration::from_millis(100), Duration::from_secs(60));
    loop {
        tokio::select! {
            () = sleep(pause) => core.tree.sweep(Instant::now()),
            () = stopping(&core) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_peer_is_asked_by_tcp_whether_it_lives() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _miner = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        keep_alive(&stream, Duration::ZERO).unwrap();
        assert!(!SockRef::from(&stream).keepalive().unwrap(), "0 leaves it out");
        keep_alive(&stream, Duration::from_secs(77)).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(77));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), PROBE_EVERY);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
    }
}
