//! Bans of addresses, and when an address deserves one. Bans decay: each within memory doubles the next, and the memory
//! fades. The list is visible to the operator, who can lift a ban.
//!
//! Rules and their sources: a window of shares of which half are invalid is banned for 600 s (miningcore: 50 % of 50
//! shares); a connection that sends only invalid shares gets a fresh job after 60 s, is asked to reconnect after 120 s
//! and dropped after 180 s (ckpool). A stale share is an honest miner's fate and counts for neither.

pub(crate) mod carried;

use crate::limits::Source;
use crate::span::Span;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Rules of bans. Durations are small in tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BanConfig {
    /// False: misbehaving connections are dropped and nobody is banned.
    pub enabled: bool,
    /// The first ban of an address.
    pub duration: Span,
    /// No ban is longer.
    pub longest: Span,
    /// The severity of earlier bans halves in this time.
    pub half_life: Span,
    /// Shares looked at; 0 for none, and no ban for invalid ones.
    pub window: usize,
    /// Share of invalid ones within the window that bans, 0 to 1.
    pub invalid_ratio: f64,
    /// Lines that are no request at all, and logins that name nobody, within one connection, that ban.
    pub garbage_lines: u32,
    /// So many of them are forgotten in this time, little by little: a proxy whose workers are mistyped now and then is
    /// nobody's enemy.
    pub garbage_forgotten: Span,
    /// Only invalid shares for this long: a fresh job.
    pub only_invalid_job: Span,
    /// Only invalid shares for this long: asked to reconnect.
    pub only_invalid_reconnect: Span,
    /// Only invalid shares for this long: dropped.
    pub only_invalid_drop: Span,
}

impl Default for BanConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            duration: Span::secs(600),
            longest: Span::secs(86_400),
            half_life: Span::secs(3600),
            window: 50,
            invalid_ratio: 0.5,
            garbage_lines: 8,
            garbage_forgotten: Span::secs(600),
            only_invalid_job: Span::secs(60),
            only_invalid_reconnect: Span::secs(120),
            only_invalid_drop: Span::secs(180),
        }
    }
}

/// Why an address was banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BanReason {
    /// Too many of the last shares were invalid.
    InvalidShares,
    /// Lines that are no request.
    Garbage,
    /// More than the allowed rate of lines, persistently.
    Flood,
    /// The operator's decision.
    Operator,
}

/// A ban as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ban {
    /// The address or, for IPv6, its network.
    pub source: Source,
    /// Why.
    pub reason: BanReason,
    /// How long it still lasts.
    #[serde(serialize_with = "as_seconds")]
    pub remaining: Duration,
}

fn as_seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

#[derive(Debug)]
struct Entry {
    until: Instant,
    reason: BanReason,
    /// How many bans weigh on the address, decayed; 1 right after the first.
    severity: f64,
    at: Instant,
}

impl Entry {
    /// Its severity, as far as it is not forgotten.
    fn weighs(&self, config: &BanConfig, now: Instant) -> f64 {
        let half_life = config.half_life.0.as_secs_f64().max(0.001);
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.severity * 0.5_f64.powf(age / half_life)
    }
}

/// All bans of a server.
#[derive(Debug)]
pub struct Bans {
    config: Mutex<BanConfig>,
    entries: Mutex<HashMap<Source, Entry>>,
}

impl Bans {
    /// No bans yet.
    #[must_use]
    pub fn new(config: BanConfig) -> Self {
        Self { config: Mutex::new(config), entries: Mutex::new(HashMap::new()) }
    }

    /// Other rules from now on. Bans that are in force last as long as they were given for.
    pub(crate) fn follow(&self, config: BanConfig) {
        *self.config.lock() = config;
    }

    /// Whether a source is banned now, and for how long.
    #[must_use]
    pub fn banned(&self, source: Source, now: Instant) -> Option<Duration> {
        let entries = self.entries.lock();
        entries.get(&source)?.until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Whether the operator himself shuts a source out now: its connections, too, which have done nothing.
    pub(crate) fn is_shut_out(&self, source: Source, now: Instant) -> bool {
        let entries = self.entries.lock();
        entries.get(&source).is_some_and(|entry| entry.reason == BanReason::Operator && entry.until > now)
    }

    /// Bans a source: twice as long for each earlier ban that is not yet forgotten. Returns for how long; `None` when
    /// bans are off.
    pub fn ban(&self, source: Source, reason: BanReason, now: Instant) -> Option<Duration> {
        let config = self.config.lock().clone();
        if !config.enabled && reason != BanReason::Operator {
            return None;
        }
        let mut entries = self.entries.lock();
        // What is neither in force nor remembered is dropped, so that a scan of the internet does not fill memory.
        if entries.len() >= 1024 {
            entries.retain(|_, entry| entry.until > now || entry.weighs(&config, now) > 0.25);
        }
        let earlier = entries.get(&source).map_or(0.0, |entry| entry.weighs(&config, now));
        let length = config.duration.0.as_secs_f64() * 2_f64.powf(earlier.min(40.0));
        let length = length.min(config.longest.0.as_secs_f64());
        let length = Duration::try_from_secs_f64(length).unwrap_or(config.longest.0);
        let until = now.checked_add(length)?;
        entries.insert(source, Entry { until, reason, severity: earlier + 1.0, at: now });
        Some(length)
    }

    /// Ends a ban and forgets the address's past. False when there was none.
    pub fn lift(&self, source: Source) -> bool {
        self.entries.lock().remove(&source).is_some()
    }

    /// The bans in force, longest first.
    #[must_use]
    pub fn list(&self, now: Instant) -> Vec<Ban> {
        let entries = self.entries.lock();
        let mut list: Vec<_> = entries
            .iter()
            .filter_map(|(source, entry)| {
                let remaining = entry.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
                Some(Ban { source: *source, reason: entry.reason, remaining })
            })
            .collect();
        list.sort_by_key(|ban| std::cmp::Reverse(ban.remaining));
        list
    }
}

/// What to do with a connection after an invalid share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Send a fresh job: the miner may be lost on an old one.
    FreshJob,
    /// Ask the miner to reconnect.
    Reconnect,
    /// Drop the connection.
    Drop,
    /// Drop the connection and ban its source.
    Ban(BanReason),
}

/// The conduct of one connection.
#[derive(Debug, Default)]
pub struct Conduct {
    recent: VecDeque<bool>,
    invalid: usize,
    only_invalid_since: Option<Instant>,
    warned: u8,
    /// Lines that were no request, as far as they are not forgotten, and since when.
    garbage: f64,
    garbage_at: Option<Instant>,
}

impl Conduct {
    /// A share counted.
    pub fn valid(&mut self, config: &BanConfig) {
        self.only_invalid_since = None;
        self.warned = 0;
        self.push(true, config);
    }

    /// A share was invalid (unknown job, duplicate, low difficulty, malformed).
    pub fn invalid(&mut self, config: &BanConfig, now: Instant) -> Verdict {
        self.push(false, config);
        let full = config.window > 0 && self.recent.len() >= config.window;
        if full && self.invalid as f64 >= config.invalid_ratio * self.recent.len() as f64 {
            return Verdict::Ban(BanReason::InvalidShares);
        }
        let since = *self.only_invalid_since.get_or_insert(now);
        let lasting = now.saturating_duration_since(since);
        if lasting >= config.only_invalid_drop.0 {
            Verdict::Drop
        } else if lasting >= config.only_invalid_reconnect.0 && self.warned < 2 {
            self.warned = 2;
            Verdict::Reconnect
        } else if lasting >= config.only_invalid_job.0 && self.warned < 1 {
            self.warned = 1;
            Verdict::FreshJob
        } else {
            Verdict::Fine
        }
    }

    /// A line was no request, or a login named nobody.
    pub fn garbage(&mut self, config: &BanConfig, now: Instant) -> Verdict {
        let most = f64::from(config.garbage_lines);
        let passed = self.garbage_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        let forgotten = passed * most / config.garbage_forgotten.0.as_secs_f64().max(0.001);
        self.garbage = (self.garbage - forgotten).max(0.0) + 1.0;
        self.garbage_at = Some(now);
        // Moments that pass between two lines are not what makes the difference.
        if self.garbage > most - 0.5 { Verdict::Ban(BanReason::Garbage) } else { Verdict::Fine }
    }

    fn push(&mut self, valid: bool, config: &BanConfig) {
        self.recent.push_back(valid);
        self.invalid += usize::from(!valid);
        while self.recent.len() > config.window.max(1) {
            if self.recent.pop_front() == Some(false) {
                self.invalid = self.invalid.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source::of("192.0.2.1".parse().unwrap(), 56)
    }

    #[test]
    fn a_second_ban_is_longer_and_a_much_later_one_is_not() {
        let bans = Bans::new(BanConfig::default());
        let now = Instant::now();
        assert_eq!(bans.ban(source(), BanReason::Garbage, now), Some(Duration::from_secs(600)));
        assert!(bans.banned(source(), now + Duration::from_secs(599)).is_some());
        assert!(bans.banned(source(), now + Duration::from_secs(600)).is_none());
        let second = bans.ban(source(), BanReason::Garbage, now + Duration::from_secs(600)).unwrap();
        assert!(second > Duration::from_secs(1000), "{second:?}");
        let much_later = now + Duration::from_secs(1_000_000);
        let third = bans.ban(source(), BanReason::Garbage, much_later).unwrap();
        assert!(third < Duration::from_secs(610), "{third:?}");
        for _ in 0..100 {
            bans.ban(source(), BanReason::Flood, much_later);
        }
        assert_eq!(bans.ban(source(), BanReason::Flood, much_later), Some(Duration::from_secs(86_400)));
    }

    #[test]
    fn the_list_shows_what_is_in_force_and_a_lifted_ban_is_gone() {
        let bans = Bans::new(BanConfig::default());
        let now = Instant::now();
        bans.ban(source(), BanReason::InvalidShares, now);
        let list = bans.list(now);
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].source.to_string(), "192.0.2.1");
        assert!(bans.lift(source()));
        assert!(bans.list(now).is_empty() && !bans.lift(source()));
    }

    #[test]
    fn half_of_fifty_invalid_is_a_ban_and_a_third_is_not() {
        let config = BanConfig::default();
        let now = Instant::now();
        let mut conduct = Conduct::default();
        for _ in 0..200 {
            conduct.valid(&config);
            conduct.valid(&config);
            assert_eq!(conduct.invalid(&config, now), Verdict::Fine);
        }
        let banned = (0..50).any(|_| conduct.invalid(&config, now) == Verdict::Ban(BanReason::InvalidShares));
        assert!(banned);
    }

    #[test]
    fn eight_lines_of_nothing_are_a_ban_and_one_in_two_minutes_never_is() {
        let config = BanConfig::default();
        let now = Instant::now();
        let mut conduct = Conduct::default();
        let verdicts: Vec<_> =
            (0..8).map(|n| conduct.garbage(&config, now + Duration::from_millis(n * 100))).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Fine).count(), 7);
        assert_eq!(verdicts.last(), Some(&Verdict::Ban(BanReason::Garbage)));
        let mut conduct = Conduct::default();
        for n in 0..1000 {
            assert_eq!(conduct.garbage(&config, now + Duration::from_secs(n * 120)), Verdict::Fine);
        }
        let strict = BanConfig { garbage_lines: 1, ..config };
        assert_eq!(Conduct::default().garbage(&strict, now), Verdict::Ban(BanReason::Garbage));
    }

    #[test]
    fn a_run_of_only_invalid_shares_is_answered_as_ckpool_does() {
        let config = BanConfig::default();
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut conduct = Conduct::default();
        assert_eq!(conduct.invalid(&config, now), Verdict::Fine);
        assert_eq!(conduct.invalid(&config, after(61)), Verdict::FreshJob);
        assert_eq!(conduct.invalid(&config, after(62)), Verdict::Fine);
        assert_eq!(conduct.invalid(&config, after(121)), Verdict::Reconnect);
        assert_eq!(conduct.invalid(&config, after(180)), Verdict::Drop);
        conduct.valid(&config);
        assert_eq!(conduct.invalid(&config, after(200)), Verdict::Fine);
    }
}
