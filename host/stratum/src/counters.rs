//! Numbers for people to look at. Nothing here decides anything.

use crate::backend::{Payee, Refusal};
use crate::limits::Source;
use millpond_dialect::Dialect;
use millpond_types::{SessionId, Target, UnixMillis};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

/// A session's hashrate is averaged over about this time.
const HASHRATE_SECONDS: f64 = 600.0;

macro_rules! counters {
    ($(#[doc = $doc:literal] $name:ident),* $(,)?) => {
        /// Counters of a server, since its start.
        #[derive(Debug, Default)]
        pub struct Counters {
            $(#[doc = $doc] pub(crate) $name: AtomicU64,)*
        }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct CountersNow {
            $(#[doc = $doc] pub $name: u64,)*
        }

        impl Counters {
            /// The numbers now.
            #[must_use]
            pub fn now(&self) -> CountersNow {
                CountersNow { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl CountersNow {
            /// Every counter with its name and meaning, for metrics and descriptions.
            #[must_use]
            pub fn all(&self) -> Vec<Counter> {
                vec![$(Counter { name: stringify!($name), about: $doc.trim_ascii(), value: self.$name },)*]
            }
        }
    };
}

/// A counter as pages show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name: a field of [`CountersNow`].
    pub name: &'static str,
    /// What it counts, a sentence.
    pub about: &'static str,
    /// How many since the server's start.
    pub value: u64,
}

counters! {
    /// Connections let in.
    connections,
    /// Connections refused because a limit was reached.
    refused_full,
    /// Connections refused because the operator shuts their address out.
    refused_denied,
    /// Connections refused because their source is banned.
    refused_banned,
    /// Connections with a PROXY header where none may be, or a broken one.
    refused_proxy,
    /// TLS handshakes on ports without TLS.
    tls_on_plain,
    /// TLS handshakes that failed.
    tls_failed,
    /// Connections dropped because the handshake took too long.
    handshake_timeouts,
    /// Connections dropped because nothing came from them.
    idle,
    /// Connections dropped because they do not read.
    slow_readers,
    /// Connections dropped because of a line over the limit.
    long_lines,
    /// Times that a connection was slowed down for its lines or bytes a second.
    slowed,
    /// Times that a connection had to wait because its address's refused shares had cost too much.
    slowed_refused,
    /// Connections dropped because of too many lines with nothing in them.
    floods,
    /// Connections dropped because the operator shuts their address out since.
    denied,
    /// Lines that are no request.
    garbage,
    /// Bans.
    bans,
    /// Bytes of lines that miners sent.
    bytes_read,
    /// Bytes of lines written to miners.
    bytes_written,
    /// Sessions resumed.
    resumed,
    /// Logins accepted.
    logins,
    /// Logins refused.
    logins_refused,
    /// Shares that count.
    accepted,
    /// Solutions handed to the pool, with and without credit.
    solutions,
    /// Shares on jobs that were never issued or are forgotten.
    unknown_job,
    /// Shares on jobs older than the tip.
    stale,
    /// Shares that counted before.
    duplicate,
    /// Shares below their target.
    low_difficulty,
    /// Shares with wrong fields.
    malformed,
    /// Shares without a login.
    unauthorized,
    /// Shares before the subscription.
    not_subscribed,
    /// Shares on jobs whose credit is suspended.
    suspended,
    /// Shares that could not be made durable.
    not_durable,
    /// Shares that the pool could not judge, through no fault of the miner.
    unjudged,
    /// Jobs written to miners.
    jobs_sent,
    /// Jobs written to miners whose firmware does not take a coinbase of that length.
    coinbase_too_long,
    /// Logins of miners whose firmware takes less than a coinbase may come to: they get no work.
    coinbase_refused,
    /// Changes of difficulty by vardiff.
    retargets,
    /// Messages that a dialect could not write: an error of its document.
    encode_errors,
}

impl Counters {
    pub(crate) fn refused(&self, why: Refusal) {
        let counter = match why {
            Refusal::UnknownJob => &self.unknown_job,
            Refusal::Stale => &self.stale,
            Refusal::Duplicate => &self.duplicate,
            Refusal::LowDifficulty => &self.low_difficulty,
            Refusal::Malformed => &self.malformed,
            Refusal::Unauthorized => &self.unauthorized,
            Refusal::NotSubscribed => &self.not_subscribed,
            Refusal::Suspended => &self.suspended,
            Refusal::NotDurable => &self.not_durable,
            Refusal::Unjudged => &self.unjudged,
        };
        add(counter);
    }
}

/// One more.
pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// So many more.
pub(crate) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(u64::try_from(more).unwrap_or(0), Ordering::Relaxed);
}

/// A session as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct SessionInfo {
    /// The session.
    pub session: SessionId,
    /// Where it comes from.
    pub source: Source,
    /// The port it is on.
    pub port: u16,
    /// The dialect it speaks.
    pub dialect: String,
    /// The user agent.
    pub agent: String,
    /// What the miner answered to `client.get_version`; empty when it was not asked or has not answered.
    pub version: String,
    /// The address, after login.
    pub address: String,
    /// The worker, after login.
    pub worker: String,
    /// The difficulty.
    pub difficulty: f64,
    /// Hashes a second, estimated from credited work over about ten minutes.
    pub hashrate: f64,
    /// Shares that counted.
    pub accepted: u64,
    /// Shares that did not.
    pub refused: u64,
    /// When it connected.
    pub since: UnixMillis,
    /// When its last share counted.
    pub last_share: Option<UnixMillis>,
}

/// An exponentially weighted rate of hashes.
#[derive(Clone, Debug)]
pub(crate) struct Hashrate {
    rate: f64,
    at: Instant,
    begun: Instant,
}

impl Hashrate {
    pub(crate) fn new(now: Instant) -> Self {
        Self { rate: 0.0, at: now, begun: now }
    }

    /// Hashes a second that were counted, until when, and since when.
    pub(crate) fn parts(&self) -> (f64, Instant, Instant) {
        (self.rate, self.at, self.begun)
    }

    /// The same put together again.
    pub(crate) fn of(rate: f64, at: Instant, begun: Instant) -> Self {
        Self { rate, at, begun }
    }

    /// A share counted that was judged by `target`.
    pub(crate) fn share(&mut self, target: Target, now: Instant) {
        let value = target.to_be_bytes().iter().fold(0.0, |sum: f64, byte| sum * 256.0 + f64::from(*byte));
        self.add(2_f64.powi(256) / (value + 1.0), now);
    }

    fn add(&mut self, hashes: f64, now: Instant) {
        self.decay(now);
        self.rate += hashes / HASHRATE_SECONDS;
    }

    fn decay(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.rate *= (-passed / HASHRATE_SECONDS).exp();
        self.at = now;
    }

    /// The estimate, corrected for a start from nothing.
    pub(crate) fn now(&self, now: Instant) -> f64 {
        let mut at = self.clone();
        at.decay(now);
        let age = now.saturating_duration_since(self.begun).as_secs_f64();
        at.rate / (1.0 - (-age.max(1.0) / HASHRATE_SECONDS).exp())
    }
}

/// What people are shown of a session, and how its connection is woken.
#[derive(Debug)]
pub(crate) struct Entry {
    source: Source,
    port: u16,
    since: UnixMillis,
    pub(crate) known: Mutex<Known>,
    waker: Mutex<Option<Waker>>,
}

/// What changes of a session in its life. Shared with it where it is more than a number.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) session: SessionId,
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) agent: Arc<str>,
    pub(crate) version: Box<str>,
    pub(crate) payee: Option<Arc<Payee>>,
    pub(crate) difficulty: f64,
    pub(crate) hashrate: Hashrate,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) last_share: Option<UnixMillis>,
}

impl Entry {
    pub(crate) fn new(source: Source, port: u16, known: Known) -> Self {
        Self::since_then(source, port, UnixMillis::now(), known)
    }

    /// Of a connection that was there before this process.
    pub(crate) fn since_then(source: Source, port: u16, since: UnixMillis, known: Known) -> Self {
        Self { source, port, since, known: Mutex::new(known), waker: Mutex::default() }
    }

    /// When it connected.
    pub(crate) fn since(&self) -> UnixMillis {
        self.since
    }

    /// Has this waker woken from now on.
    pub(crate) fn wakes(&self, waker: &Waker) {
        *self.waker.lock() = Some(waker.clone());
    }

    fn info(&self, now: Instant) -> SessionInfo {
        let known = self.known.lock();
        let payee = known.payee.as_deref();
        SessionInfo {
            session: known.session,
            source: self.source,
            port: self.port,
            dialect: known.dialect.name().to_owned(),
            agent: known.agent.to_string(),
            version: known.version.to_string(),
            address: payee.map(|payee| payee.address.clone()).unwrap_or_default(),
            worker: payee.map(|payee| payee.worker.to_string()).unwrap_or_default(),
            difficulty: known.difficulty,
            hashrate: known.hashrate.now(now),
            accepted: known.accepted,
            refused: known.refused,
            since: self.since,
            last_share: known.last_share,
        }
    }
}

/// All sessions of a server.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<HashMap<u64, Arc<Entry>>>);

impl Registry {
    pub(crate) fn insert(&self, connection: u64, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.0.lock().insert(connection, Arc::clone(&entry));
        entry
    }

    pub(crate) fn remove(&self, connection: u64) {
        self.0.lock().remove(&connection);
    }

    /// Wakes every connection.
    pub(crate) fn wake_all(&self) {
        for entry in self.0.lock().values() {
            if let Some(waker) = &*entry.waker.lock() {
                waker.wake_by_ref();
            }
        }
    }

    pub(crate) fn list(&self, now: Instant) -> Vec<SessionInfo> {
        let entries: Vec<_> = self.0.lock().values().cloned().collect();
        let mut list: Vec<_> = entries.iter().map(|entry| entry.info(now)).collect();
        list.sort_by_key(|info| info.since);
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_steady_rate_is_seen_early_and_late() {
        let begin = Instant::now();
        let mut hashrate = Hashrate::new(begin);
        for second in 1..=3600_u64 {
            hashrate.add(1000.0, begin + Duration::from_secs(second));
            if second >= 30 {
                let seen = hashrate.now(begin + Duration::from_secs(second));
                assert!((900.0..1100.0).contains(&seen), "{seen} after {second} s");
            }
        }
        assert!(hashrate.now(begin + Duration::from_secs(7200)) < 10.0);
    }
}
