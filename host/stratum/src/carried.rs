//! What a server leaves to the one that takes its place in another process: its sockets, and what it knows of them.
//!
//! Nothing here is durable. Times are told as milliseconds before or after the moment of the hand-over, since the clocks
//! of two processes have no common beginning, and the pause between them counts for nobody. Numbers of difficulty are
//! told as their bits, so that what a miner was told is what the next process knows.

use crate::bans::carried::BanState;
use crate::connection::carried::SessionState;
use crate::extranonce::carried::ParkedState;
use crate::listen::Beginning;
use serde::{Deserialize, Serialize};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes as hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        hex::encode(hex.0)
    }
}

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

impl From<&[u8]> for Hex {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

/// A number to its last bit: decimal digits round, and have no infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bits(u64);

impl From<f64> for Bits {
    fn from(number: f64) -> Self {
        Self(number.to_bits())
    }
}

impl From<Bits> for f64 {
    fn from(bits: Bits) -> Self {
        Self::from_bits(bits.0)
    }
}

/// Fields that are told as [`Bits`].
pub(crate) mod bits {
    use super::Bits;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Bits::from(*number).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Bits::deserialize(deserializer).map(f64::from)
    }
}

/// The moment of a hand-over, on this process's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) Instant);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Milliseconds before it.
    pub(crate) fn before(self, at: Instant) -> u64 {
        milliseconds(self.0.saturating_duration_since(at))
    }

    /// Milliseconds after it.
    pub(crate) fn after(self, at: Instant) -> u64 {
        milliseconds(at.saturating_duration_since(self.0))
    }

    /// The time so many milliseconds before it, or the earliest that there is.
    pub(crate) fn earlier(self, before: u64) -> Instant {
        let mut before = Duration::from_millis(before);
        loop {
            match self.0.checked_sub(before) {
                Some(at) => return at,
                // The machine was started since.
                None => before /= 2,
            }
        }
    }

    /// The time so many milliseconds after it.
    pub(crate) fn later(self, after: u64) -> Instant {
        self.0.checked_add(Duration::from_millis(after)).unwrap_or(self.0)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What is known of a connection whose trusted proxy has not said yet whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginningState {
    /// The address of its port, as it was bound.
    pub(crate) port: SocketAddr,
    peer: SocketAddr,
    opened: u64,
    unheard: Hex,
}

impl BeginningState {
    pub(crate) fn of(port: SocketAddr, beginning: &Beginning, moment: Moment) -> Self {
        let Beginning { peer, opened, head } = beginning;
        Self { port, peer: *peer, opened: moment.before(*opened), unheard: head.as_ref().into() }
    }

    pub(crate) fn beginning(self, moment: Moment) -> Beginning {
        Beginning { peer: self.peer, opened: moment.earlier(self.opened), head: self.unheard.0.into() }
    }
}

/// What is known of a server that has handed over, as words for its successor.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerState {
    /// The ports as they were configured, in their order: one descriptor each.
    pub(crate) ports: Vec<SocketAddr>,
    /// The sessions: one descriptor each, after those of the ports.
    pub(crate) sessions: Vec<SessionState>,
    /// Connections that have not said yet whose they are: one descriptor each, after those of the sessions.
    pub(crate) beginning: Vec<BeginningState>,
    /// Sessions that are not connected and may be taken up again.
    pub(crate) parked: Vec<ParkedState>,
    pub(crate) bans: Vec<BanState>,
    /// Difficulties of past sessions.
    pub(crate) last_seen: Vec<(String, Bits)>,
}

/// What became of sessions that were handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// They go on.
    pub sessions: usize,
    /// They cannot, and are disconnected.
    pub closed: usize,
    /// Why the first of these cannot.
    #[serde(deserialize_with = "Option::deserialize")]
    pub why: Option<String>,
}

impl Carried {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.sessions = self.sessions.saturating_add(other.sessions);
        self.closed = self.closed.saturating_add(other.closed);
        self.why = self.why.take().or_else(|| other.why.clone());
    }
}

/// What came is not what a server hands over.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{sockets} sockets came for {ports} ports and {connections} connections")]
pub struct WrongSockets {
    sockets: usize,
    ports: usize,
    connections: usize,
}

/// A server that has handed over: it hears nobody any more, and its sockets are open. As long as this is kept, nobody is
/// disconnected.
#[derive(Debug, Default)]
pub struct HandedOver {
    pub(crate) listeners: Vec<(SocketAddr, TcpListener)>,
    pub(crate) sessions: Vec<(SessionState, TcpStream)>,
    pub(crate) beginning: Vec<(BeginningState, TcpStream)>,
    /// Without ports and sessions, which are beside it.
    pub(crate) known: ServerState,
    /// Connections that did not come to rest in time: they are closed.
    pub(crate) late: usize,
}

impl HandedOver {
    /// Sessions that are carried over.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Connections that did not come to rest in time, and were closed.
    #[must_use]
    pub fn late(&self) -> usize {
        self.late
    }

    /// The words, without the sockets.
    #[must_use]
    pub fn state(&self) -> ServerState {
        ServerState {
            ports: self.listeners.iter().map(|(configured, _)| *configured).collect(),
            sessions: self.sessions.iter().map(|(session, _)| session.clone()).collect(),
            beginning: self.beginning.iter().map(|(one, _)| one.clone()).collect(),
            parked: self.known.parked.clone(),
            bans: self.known.bans.clone(),
            last_seen: self.known.last_seen.clone(),
        }
    }

    /// The sockets that belong to the words, in their order.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listeners = self.listeners.iter().map(|(_, listener)| listener.as_fd());
        let sessions = self.sessions.iter().map(|(_, stream)| stream.as_fd());
        listeners.chain(sessions).chain(self.beginning.iter().map(|(_, stream)| stream.as_fd()))
    }

    /// Puts words and sockets together again, taking as many sockets as there are words for.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn of(
        state: ServerState,
        sockets: &mut impl ExactSizeIterator<Item = OwnedFd>,
    ) -> Result<Self, WrongSockets> {
        let ServerState { ports, sessions, beginning, parked, bans, last_seen } = state;
        let connections = sessions.len().saturating_add(beginning.len());
        if sockets.len() < ports.len().saturating_add(connections) {
            return Err(WrongSockets { sockets: sockets.len(), ports: ports.len(), connections });
        }
        let listeners = ports.into_iter().zip(sockets.by_ref()).map(|(port, socket)| (port, socket.into()));
        let listeners = listeners.collect();
        let sessions = sessions.into_iter().zip(sockets.by_ref());
        let sessions = sessions.map(|(session, socket)| (session, socket.into())).collect();
        let beginning = beginning.into_iter().zip(sockets.by_ref());
        let beginning = beginning.map(|(one, socket)| (one, socket.into())).collect();
        let known = ServerState { parked, bans, last_seen, ..ServerState::default() };
        Ok(Self { listeners, sessions, beginning, known, late: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_told_as_they_are() {
        for number in [0.1, 1.0 / 3.0, f64::INFINITY, 1e-300, 123_456_789.123] {
            let text = serde_json::to_string(&Bits::from(number)).unwrap();
            assert_eq!(f64::from(serde_json::from_str::<Bits>(&text).unwrap()), number);
        }
        let moment = Moment::now();
        assert_eq!(moment.before(moment.earlier(1234)), 1234);
        assert_eq!(moment.after(moment.later(1234)), 1234);
        assert_eq!(moment.before(moment.later(1234)), 0);
        assert!(moment.earlier(u64::MAX) <= moment.0, "before there was a clock");
    }

    #[test]
    fn a_zip_takes_no_socket_too_many() {
        let sockets: Vec<OwnedFd> =
            (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap().into()).collect();
        let port = "127.0.0.1:1".parse().unwrap();
        let state = || ServerState { ports: vec![port], ..ServerState::default() };
        let mut sockets = sockets.into_iter();
        assert_eq!(HandedOver::of(state(), &mut sockets).unwrap().listeners.len(), 1);
        assert_eq!(sockets.len(), 1, "the other server's is left");
        HandedOver::of(state(), &mut sockets).unwrap();
        let wrong = HandedOver::of(state(), &mut sockets).unwrap_err();
        assert_eq!(wrong, WrongSockets { sockets: 0, ports: 1, connections: 0 });
    }
}
