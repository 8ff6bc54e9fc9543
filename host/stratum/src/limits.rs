//! Limits on what one source and all sources together may use: connections, handshakes in flight, lines a second.

use crate::span::Span;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Limits of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Connections of all ports of the pool.
    pub connections: usize,
    /// Connections of one address (of one network, for IPv6).
    pub connections_per_source: usize,
    /// How many bits of an IPv6 address are one source. Providers give a household 56 or 64.
    pub ipv6_prefix: u8,
    /// Connections that have not subscribed or logged in yet.
    pub handshakes: usize,
    /// The same, of one source.
    pub handshakes_per_source: usize,
    /// PROXY header, TLS and the first login or subscription together must be done by then.
    pub handshake: Span,
    /// A connection that sends nothing for this long is dropped.
    pub idle: Span,
    /// Bytes of a line at most, 1 to 64 KiB.
    pub line: usize,
    /// Lines a second, steadily. Katpool allows 100. What comes faster is left in the socket: a strong miner on a low
    /// start difficulty is slowed down until vardiff has reached him, not punished.
    pub lines_per_second: f64,
    /// Lines at once. Katpool allows 200.
    pub burst: f64,
    /// Bytes a second, steadily; twice as many at once, and a line of the longest. What comes faster is left in the socket.
    /// 0: a KiB for each of the lines a second.
    pub bytes_per_second: f64,
    /// CPU time a second, in milliseconds, that refused shares of one source may cost where the algorithm is a heavy one; ten
    /// seconds' worth at once. Whoever uses up more is read no further until it is paid.
    pub refused_work: f64,
    /// Whose connections are refused before anything is read, also behind a proxy.
    pub deny: Vec<Network>,
    /// Who is never banned and has no limits of a source: the operator's own farm behind one address, say.
    pub allow: Vec<Network>,
    /// Who is slowed down for this long and sends no share that counts is banned.
    pub flood: Span,
    /// What was written to a miner must be taken within this time. Until then it is read no further and gets no job but
    /// the newest; afterwards it is dropped.
    pub write: Span,
    /// Bytes in all that may wait for miners who do not take them, beside what the kernel holds; who would be above that is
    /// dropped at once. Three kilobytes for each of 20,000: more than a job's line has.
    pub unread: usize,
    /// Shares of one connection that wait for their record; the socket is not read meanwhile.
    pub shares_in_flight: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_source: 256,
            ipv6_prefix: 56,
            handshakes: 2_000,
            handshakes_per_source: 64,
            handshake: Span::secs(30),
            idle: Span::secs(1800),
            line: 16 * 1024,
            lines_per_second: 100.0,
            burst: 200.0,
            bytes_per_second: 0.0,
            refused_work: 200.0,
            deny: Vec::new(),
            allow: Vec::new(),
            flood: Span::secs(30),
            write: Span::secs(30),
            unread: 64 * 1024 * 1024,
            shares_in_flight: 64,
        }
    }
}

/// Where connections come from, as limits and bans see it: an IPv4 address, or an IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    address: IpAddr,
    prefix: u8,
}

impl Source {
    /// The source of an address; IPv4 written as IPv6 counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr, ipv6_prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self { address: IpAddr::V4(v4), prefix: 32 },
            IpAddr::V6(v6) => {
                let prefix = ipv6_prefix.clamp(1, 128);
                let network = v6.to_bits() & (u128::MAX << (128 - u32::from(prefix)));
                Self { address: IpAddr::V6(Ipv6Addr::from_bits(network)), prefix }
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/{}", self.prefix),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// As it is written; a network that was cut to another length stays of its own.
impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let network = Network::deserialize(deserializer)?;
        Ok(Self { address: network.address, prefix: network.prefix })
    }
}

/// A network in CIDR notation, for lists of trusted proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no address or network: write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")]
pub struct NetworkError(String);

impl std::str::FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |p| p.parse::<u8>().map_err(|_| wrong()))?;
        if prefix > longest { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

impl Network {
    /// Whether an address lies in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u8, prefix: u8| {
            let drop = u32::from(bits - prefix.min(bits));
            a.checked_shr(drop).unwrap_or(0) == b.checked_shr(drop).unwrap_or(0)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let wide = |v4: Ipv4Addr| u128::from(v4.to_bits());
                same(wide(a), wide(b), 32, self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128, self.prefix),
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// All connections are in use.
    #[error("the pool has no room for another connection")]
    Connections,
    /// The source has too many.
    #[error("too many connections from this address")]
    Source,
    /// Too many are still shaking hands.
    #[error("too many connections that have not logged in")]
    Handshakes,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    connections: usize,
    handshakes: usize,
}

/// What one source uses.
#[derive(Debug)]
struct OfSource {
    now: Use,
    /// CPU time that its refused shares may cost, in microseconds.
    refused_work: Bucket,
}

impl OfSource {
    /// Whether nothing has to be remembered of it.
    fn is_clear(&self, now: Instant) -> bool {
        self.now.connections == 0 && self.refused_work.is_full(now)
    }
}

#[derive(Debug)]
struct Counts {
    limits: LimitsConfig,
    all: Use,
    by_source: HashMap<Source, OfSource>,
}

/// What refused shares of a source may cost, in microseconds: a second, and at once.
fn refused_work(limits: &LimitsConfig) -> (f64, f64) {
    let rate = limits.refused_work * 1000.0;
    (rate, 10.0 * rate)
}

/// Counts the connections of a server, and lets in what the limits allow.
#[derive(Debug)]
pub struct Gate {
    counts: Mutex<Counts>,
}

impl Gate {
    /// Nobody is in yet.
    #[must_use]
    pub fn new(limits: LimitsConfig) -> Arc<Self> {
        let counts = Counts { limits, all: Use::default(), by_source: HashMap::new() };
        Arc::new(Self { counts: Mutex::new(counts) })
    }

    /// Other limits for whoever comes from now on, and another price of refused work for everybody. Who is in stays in.
    pub(crate) fn follow(&self, limits: LimitsConfig, now: Instant) {
        let mut counts = self.counts.lock();
        let (rate, burst) = refused_work(&limits);
        for own in counts.by_source.values_mut() {
            own.refused_work.change(rate, burst, now);
        }
        counts.limits = limits;
    }

    /// Lets a connection in. The seat counts as a handshake until [`Seat::settled`]. An `exempt` source has no limits of its
    /// own.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn enter(self: &Arc<Self>, source: Source, exempt: bool) -> Result<Seat, Full> {
        let mut counts = self.counts.lock();
        let limits = &counts.limits;
        let own = counts.by_source.get(&source).map(|own| own.now).unwrap_or_default();
        if counts.all.connections >= limits.connections {
            return Err(Full::Connections);
        }
        if own.connections >= limits.connections_per_source && !exempt {
            return Err(Full::Source);
        }
        let too_many = own.handshakes >= limits.handshakes_per_source && !exempt;
        if counts.all.handshakes >= limits.handshakes || too_many {
            return Err(Full::Handshakes);
        }
        Ok(self.seat(&mut counts, source, exempt))
    }

    /// A place for a connection that was let in before, by the process whose place this one takes: it is not asked again.
    pub(crate) fn enter_again(self: &Arc<Self>, source: Source, exempt: bool) -> Seat {
        self.seat(&mut self.counts.lock(), source, exempt)
    }

    fn seat(self: &Arc<Self>, counts: &mut Counts, source: Source, exempt: bool) -> Seat {
        counts.all.connections += 1;
        counts.all.handshakes += 1;
        let (rate, burst) = refused_work(&counts.limits);
        let own = counts.by_source.entry(source).or_insert_with(|| OfSource {
            now: Use::default(),
            refused_work: Bucket::new(rate, burst, Instant::now()),
        });
        own.now.connections += 1;
        own.now.handshakes += 1;
        Seat { gate: Arc::clone(self), source, shaking: true, exempt }
    }

    /// Forgets sources that left and owe nothing.
    pub fn sweep(&self, now: Instant) {
        self.counts.lock().by_source.retain(|_, own| !own.is_clear(now));
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counts.lock().all.connections
    }
}

/// A connection's place. Dropping it gives the place back.
#[derive(Debug)]
pub struct Seat {
    gate: Arc<Gate>,
    source: Source,
    shaking: bool,
    exempt: bool,
}

impl Seat {
    /// The handshake is over.
    pub fn settled(&mut self) {
        if std::mem::take(&mut self.shaking) {
            let mut counts = self.gate.counts.lock();
            counts.all.handshakes = counts.all.handshakes.saturating_sub(1);
            if let Some(own) = counts.by_source.get_mut(&self.source) {
                own.now.handshakes = own.now.handshakes.saturating_sub(1);
            }
        }
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether its source is never banned and has no limits.
    #[must_use]
    pub fn is_exempt(&self) -> bool {
        self.exempt
    }

    /// The operator says anew whether its source is exempt.
    pub(crate) fn set_exempt(&mut self, exempt: bool) {
        self.exempt = exempt;
    }

    /// So much work is done for a share of the connection, of which nobody knows yet whether it counts. Returns until when
    /// its source has used up what its refused shares may cost, if it has.
    pub fn charge(&self, work: Duration, now: Instant) -> Option<Instant> {
        if self.exempt {
            return None;
        }
        let mut counts = self.gate.counts.lock();
        let own = counts.by_source.get_mut(&self.source)?;
        own.refused_work.take(work.as_secs_f64() * 1e6, now);
        own.refused_work.ready_at()
    }

    /// The share counted: the work was not for nothing.
    pub fn give_back(&self, work: Duration, now: Instant) {
        let mut counts = self.gate.counts.lock();
        if let Some(own) = counts.by_source.get_mut(&self.source).filter(|_| !self.exempt) {
            own.refused_work.take(-work.as_secs_f64() * 1e6, now);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.settled();
        let mut counts = self.gate.counts.lock();
        counts.all.connections = counts.all.connections.saturating_sub(1);
        if let Some(own) = counts.by_source.get_mut(&self.source) {
            own.now.connections = own.now.connections.saturating_sub(1);
            // What it owes is remembered until it is paid; [`Gate::sweep`] forgets it then.
            if own.is_clear(Instant::now()) {
                counts.by_source.remove(&self.source);
            }
        }
    }
}

/// A bucket of tokens: a steady rate with bursts.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self { rate, burst, tokens: burst, at: now }
    }

    /// Another rate and burst from now on. What was used up stays used up.
    pub(crate) fn change(&mut self, rate: f64, burst: f64, now: Instant) {
        self.take(0.0, now);
        let used = self.burst - self.tokens;
        (self.rate, self.burst) = (rate, burst);
        self.tokens = (burst - used).clamp(-burst, burst);
    }

    /// Takes tokens, which may be some that are still to come, up to another burst; fewer than none gives some back.
    pub fn take(&mut self, tokens: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let there = (self.tokens + passed * self.rate).min(self.burst);
        self.tokens = (there - tokens).clamp(-self.burst, self.burst);
        self.at = now;
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens + passed * self.rate >= self.burst
    }

    /// Takes a token if there is one.
    pub fn try_take(&mut self, now: Instant) -> bool {
        let before = self.clone();
        self.take(1.0, now);
        let there = self.tokens >= 0.0;
        if !there {
            *self = before;
        }
        there
    }

    /// From when on there is a token again; `None` when there is one.
    #[must_use]
    pub fn ready_at(&self) -> Option<Instant> {
        let missing = 1.0 - self.tokens;
        let wait = Duration::try_from_secs_f64(missing / self.rate).ok().filter(|_| missing > 0.0)?;
        self.at.checked_add(wait)
    }
}

/// Bytes that a connection may send: a second, and at once.
fn bytes_per_second(limits: &LimitsConfig) -> (f64, f64) {
    let of_lines = limits.lines_per_second * 1024.0;
    let rate = if limits.bytes_per_second > 0.0 { limits.bytes_per_second } else { of_lines };
    (rate, 2.0 * rate + limits.line as f64)
}

/// How fast one connection may send: lines and bytes.
#[derive(Clone, Debug)]
pub struct Pace {
    lines: Bucket,
    bytes: Bucket,
}

impl Pace {
    /// Nothing was sent yet.
    #[must_use]
    pub fn new(limits: &LimitsConfig, now: Instant) -> Self {
        let (rate, burst) = bytes_per_second(limits);
        Self {
            lines: Bucket::new(limits.lines_per_second, limits.burst, now),
            bytes: Bucket::new(rate, burst, now),
        }
    }

    /// Other limits from now on.
    pub(crate) fn follow(&mut self, limits: &LimitsConfig, now: Instant) {
        let (rate, burst) = bytes_per_second(limits);
        self.lines.change(limits.lines_per_second, limits.burst, now);
        self.bytes.change(rate, burst, now);
    }

    /// A line of so many bytes was read.
    pub fn take(&mut self, bytes: usize, now: Instant) {
        self.lines.take(1.0, now);
        self.bytes.take(bytes as f64, now);
    }

    /// From when on the next may be read; `None` for now.
    #[must_use]
    pub fn ready_at(&self) -> Option<Instant> {
        self.lines.ready_at().max(self.bytes.ready_at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_an_ipv6_network_are_one_source() {
        let of = |text: &str| Source::of(text.parse().unwrap(), 56);
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:ff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:100::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/56");
    }

    #[test]
    fn a_seat_is_given_back_and_a_settled_one_is_no_handshake() {
        let limits =
            LimitsConfig { connections_per_source: 3, handshakes_per_source: 1, ..Default::default() };
        let gate = Gate::new(limits);
        let source = Source::of("192.0.2.1".parse().unwrap(), 56);
        let mut first = gate.enter(source, false).unwrap();
        assert_eq!(gate.enter(source, false).unwrap_err(), Full::Handshakes);
        first.settled();
        let mut second = gate.enter(source, false).unwrap();
        second.settled();
        let third = gate.enter(source, false).unwrap();
        assert_eq!(gate.enter(source, false).unwrap_err(), Full::Source);
        assert!(gate.enter(Source::of("192.0.2.2".parse().unwrap(), 56), false).is_ok());
        let exempt = gate.enter(source, true).unwrap();
        drop((first, second, third, exempt));
        assert_eq!(gate.connections(), 0);
        assert!(gate.counts.lock().by_source.is_empty());
    }

    #[test]
    fn networks_contain_what_they_say() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        assert!(network("10.0.0.0/8").contains("10.255.1.2".parse().unwrap()));
        assert!(!network("10.0.0.0/8").contains("11.0.0.1".parse().unwrap()));
        assert!(network("127.0.0.1").contains("::ffff:127.0.0.1".parse().unwrap()));
        assert!(network("::/0").contains("2001:db8::1".parse().unwrap()));
        assert!(network("0.0.0.0/0").contains("8.8.8.8".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "x", "::/129", "1.2.3.4/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bucket_refills_at_its_rate() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10.0, 3.0, now);
        for _ in 0..2 {
            bucket.take(1.0, now);
            assert_eq!(bucket.ready_at(), None);
        }
        bucket.take(1.0, now);
        assert_eq!(bucket.ready_at(), Some(now + Duration::from_millis(100)));
        bucket.take(1.0, now + Duration::from_millis(300));
        assert_eq!(bucket.ready_at(), None);
        bucket.take(1.0, now + Duration::from_secs(100));
        bucket.take(1.0, now + Duration::from_secs(100));
        assert_eq!(bucket.ready_at(), None);
    }

    #[test]
    fn what_was_used_up_of_a_bucket_stays_used_up_under_another_rate() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10.0, 20.0, now);
        bucket.take(15.0, now);
        bucket.change(1.0, 20.0, now);
        assert_eq!((bucket.tokens, bucket.is_full(now + Duration::from_secs(14))), (5.0, false));
        bucket.change(1.0, 10.0, now);
        assert_eq!(bucket.tokens, -5.0, "of the ten that it may use at once");
        bucket.change(100.0, 200.0, now + Duration::from_secs(5));
        assert_eq!(bucket.tokens, 190.0);
    }

    #[test]
    fn other_limits_hold_for_who_comes_and_let_stay_who_is_in() {
        let gate = Gate::new(LimitsConfig::default());
        let source = Source::of("192.0.2.1".parse().unwrap(), 56);
        let enter = || {
            gate.enter(source, false).map(|mut seat| {
                seat.settled();
                seat
            })
        };
        let farm: Vec<_> = (0..10).map(|_| enter().unwrap()).collect();
        let (now, work) = (Instant::now(), Duration::from_millis(6));
        assert_eq!(farm[0].charge(work, now), None, "two seconds at once");
        gate.follow(LimitsConfig { connections_per_source: 5, refused_work: 0.5, ..Default::default() }, now);
        assert_eq!((enter().unwrap_err(), gate.connections()), (Full::Source, 10));
        assert!(farm[0].charge(Duration::ZERO, now).is_some(), "five milliseconds at once");
        gate.follow(LimitsConfig::default(), now);
        assert!(enter().is_ok());
        assert_eq!(farm[0].charge(Duration::ZERO, now), None);
    }

    #[test]
    fn an_empty_bucket_gives_nothing_and_owes_nothing() {
        let now = Instant::now();
        let mut bucket = Bucket::new(10.0, 2.0, now);
        assert!(bucket.try_take(now) && bucket.try_take(now));
        assert!((0..100).all(|_| !bucket.try_take(now)));
        assert!(bucket.try_take(now + Duration::from_millis(100)));
        assert!(!bucket.try_take(now + Duration::from_millis(100)));
    }

    #[test]
    fn long_lines_use_up_the_bytes_where_few_lines_would_not_use_up_the_lines() {
        let limits = LimitsConfig { bytes_per_second: 1000.0, line: 2000, ..Default::default() };
        let now = Instant::now();
        let mut pace = Pace::new(&limits, now);
        pace.take(2000, now);
        assert_eq!(pace.ready_at(), None, "a line of the longest passes at once");
        pace.take(2000, now);
        assert_eq!(pace.ready_at(), Some(now + Duration::from_millis(1)));
        pace.take(1999, now);
        assert_eq!(pace.ready_at(), Some(now + Duration::from_secs(2)));
        let unsaid = LimitsConfig { bytes_per_second: 0.0, line: 2000, ..Default::default() };
        let mut pace = Pace::new(&unsaid, now);
        pace.take(200_000, now);
        assert_eq!(
            pace.ready_at(),
            None,
            "a KiB for each of a hundred lines a second, twice as many at once"
        );
        pace.take(7_000, now);
        assert!(pace.ready_at().is_some());
    }

    #[test]
    fn refused_work_is_of_a_source_whichever_connection_it_came_from() {
        let limits = LimitsConfig { refused_work: 1.0, ..Default::default() };
        let gate = Gate::new(limits);
        let source = |last: u8| Source::of(IpAddr::from([192, 0, 2, last]), 56);
        let (one, two) = (gate.enter(source(1), false).unwrap(), gate.enter(source(1), false).unwrap());
        let other = gate.enter(source(2), false).unwrap();
        let exempt = gate.enter(source(3), true).unwrap();
        let (now, work) = (Instant::now(), Duration::from_millis(6));
        assert_eq!(one.charge(work, now), None);
        let until = two.charge(work, now).expect("ten milliseconds at once and no more");
        assert!(until > now + Duration::from_secs(1) && until < now + Duration::from_secs(3));
        assert_eq!(other.charge(work, now), None, "the neighbour's work is his own");
        assert!((0..100).all(|_| exempt.charge(work, now).is_none()));
        // Whoever leaves and comes back owes what he owed, until it is paid.
        drop((one, two));
        let again = gate.enter(source(1), false).unwrap();
        assert!(again.charge(Duration::ZERO, now).is_some());
        again.give_back(work, now);
        assert_eq!(again.charge(Duration::ZERO, now), None, "what counted costs nothing");
        drop((again, other, exempt));
        gate.sweep(now + Duration::from_secs(60));
        assert!(gate.counts.lock().by_source.is_empty());
    }
}
