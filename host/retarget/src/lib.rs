//! Miners that exist in simulated time only, under ours and other pools' rules for a difficulty: how soon a rule finds them,
//! how still it leaves them, what it costs them.
//!
//! Everything is seeded, so that the figures are the same on every machine.

pub mod rules;
mod table;

pub use table::{Table, tables};

use rand::{Rng, SeedableRng, rngs::StdRng};
use rules::{Ckpool, Miningcore, Ours, Rule};

/// The hashrate that simulated miners have, as the difficulty at which one share a second comes.
pub const HASHRATE: f64 = 1e6;
/// A difficulty is found when the rate that is to be expected is within this of the wanted one.
pub const NEAR: f64 = 0.25;
/// Where a rule may go as low as it likes: ours alone, for the others have whole numbers or a least difficulty.
pub const BOTTOMLESS: f64 = 1e-12;
/// A new difficulty is worked on after this many seconds: it has to arrive, and the old work to be finished.
const LATENCY: f64 = 1.0;
/// Rates are looked at again after this many seconds.
const STEP: f64 = 1.0;

/// The rules that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Millpond's.
    Ours,
    /// Millpond's, where firmware takes powers of two.
    OursPowersOfTwo,
    /// ckpool's.
    Ckpool,
    /// miningcore's.
    Miningcore,
}

impl Which {
    /// Those of the tables.
    pub const COMPARED: [Self; 3] = [Self::Ours, Self::Ckpool, Self::Miningcore];

    /// As the tables have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursPowersOfTwo => "ours, powers of two",
            Self::Ckpool => "ckpool",
            Self::Miningcore => "miningcore",
        }
    }

    fn at(self, start: f64, least: f64) -> Box<dyn Rule> {
        match self {
            Self::Ours => Box::new(Ours::new(start, least, false)),
            Self::OursPowersOfTwo => Box::new(Ours::new(start, least, true)),
            Self::Ckpool => Box::new(Ckpool::new(start, least)),
            Self::Miningcore => Box::new(Miningcore::new(start, least)),
        }
    }

    /// The difficulty at which a hashrate sends the wanted rate.
    #[must_use]
    pub fn right(self, hashrate: f64) -> f64 {
        hashrate / self.at(1.0, BOTTOMLESS).wanted()
    }
}

/// What became of one simulated session.
#[derive(Clone, Debug)]
pub struct Run {
    /// Times and difficulties, the start first.
    pub changes: Vec<(f64, f64)>,
    /// Shares that counted.
    pub shares: u64,
    /// Shares that the miner found and the rule refused.
    pub rejected: u64,
    seconds: f64,
}

/// A session: where it starts, and how low it may go.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// The rule.
    pub which: Which,
    /// The difficulty to begin with.
    pub start: f64,
    /// The least one.
    pub least: f64,
    /// How long it is followed.
    pub seconds: f64,
}

impl Session {
    /// From a start that is `wrong` times the right difficulty of [`HASHRATE`], with no bottom that matters.
    #[must_use]
    pub fn from_wrong(which: Which, wrong: f64, seconds: f64) -> Self {
        // Whole numbers, in ckpool's case, from 1 up.
        let least = if which == Which::Ckpool { 1.0 } else { BOTTOMLESS };
        Self { which, start: which.right(HASHRATE) * wrong, least, seconds }
    }

    /// Follows a miner whose hashrate is `hashrate` at a time.
    #[must_use]
    pub fn run(&self, hashrate: impl Fn(f64) -> f64, seed: u64) -> Run {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut rule = self.which.at(self.start, self.least);
        let mut changes = vec![(0.0, rule.difficulty())];
        let (mut shares, mut rejected, mut t) = (0, 0, 0.0_f64);
        while t < self.seconds {
            // What the miner works on: the newest difficulty that has reached him.
            let reached = changes.iter().rposition(|(at, _)| *at == 0.0 || at + LATENCY <= t).unwrap_or(0);
            let sent = changes.get(reached).map_or(self.start, |(_, difficulty)| *difficulty);
            let arrives = changes.get(reached + 1).map_or(f64::INFINITY, |(at, _)| at + LATENCY);
            let found = t - (1.0 - rng.random::<f64>()).ln() * sent / hashrate(t);
            // Beyond the step the rest is drawn anew: waiting has no memory.
            let step = ((t / STEP).floor() + 1.0) * STEP;
            let wakes = rule.wakes_at().unwrap_or(f64::INFINITY).max(t);
            let next = found.min(step).min(arrives).min(wakes);
            t = next;
            if next == wakes {
                rule.silence(t);
            } else if next == found {
                let judged_by = rule.judged_by(sent, changes.len() - 1 - reached);
                // What a share found at a difficulty is worth above it is luck.
                if sent / (1.0 - rng.random::<f64>()) < judged_by {
                    rejected += 1;
                } else {
                    shares += 1;
                    rule.share(judged_by, t);
                }
            }
            if changes.last().is_none_or(|(_, difficulty)| *difficulty != rule.difficulty()) {
                changes.push((t, rule.difficulty()));
            }
        }
        Run { changes, shares, rejected, seconds: self.seconds }
    }
}

impl Run {
    /// When and with how many changes from `from` on the difficulty came near `right`; `None` when it never did.
    #[must_use]
    pub fn found(&self, right: f64, from: f64) -> Option<(f64, usize)> {
        let near = |difficulty: f64| (right / difficulty - 1.0).abs() < NEAR;
        let before =
            self.changes.iter().rfind(|(at, _)| *at <= from).map_or(0.0, |(_, difficulty)| *difficulty);
        if near(before) {
            return Some((0.0, 0));
        }
        let later = self.changes.iter().filter(|(at, _)| *at > from).enumerate();
        later.filter(|(_, (_, difficulty))| near(*difficulty)).map(|(n, (at, _))| (at - from, n + 1)).next()
    }

    /// From `from` on, over time: the mean of the difficulty as a part of the right one, its root mean square distance
    /// from that, and its own coefficient of variation; and the changes in an hour.
    #[must_use]
    pub fn spread(&self, right: f64, from: f64) -> Spread {
        let ends = self.changes.iter().skip(1).map(|(at, _)| *at).chain([self.seconds]);
        let (mut time, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for ((at, difficulty), end) in self.changes.iter().zip(ends) {
            let (long, ratio) = ((end - at.max(from)).max(0.0), difficulty / right);
            (time, sum, squares) = (time + long, sum + long * ratio, squares + long * ratio * ratio);
        }
        let changes = self.changes.iter().filter(|(at, _)| *at > from).count();
        Spread {
            time,
            sum,
            squares,
            changes: changes as f64,
            own: (squares / time - (sum / time).powi(2)).max(0.0).sqrt() / (sum / time),
            sessions: 1.0,
        }
    }
}

/// How still a difficulty is, over one session or several.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    time: f64,
    sum: f64,
    squares: f64,
    changes: f64,
    own: f64,
    sessions: f64,
}

impl Spread {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            time: self.time + other.time,
            sum: self.sum + other.sum,
            squares: self.squares + other.squares,
            changes: self.changes + other.changes,
            own: self.own + other.own,
            sessions: self.sessions + other.sessions,
        }
    }

    /// Of the difficulty of one session over time: its standard deviation over its mean.
    #[must_use]
    pub fn of_a_session(self) -> f64 {
        self.own / self.sessions
    }

    /// Of all sessions from the right difficulty: what is off for good counts too.
    #[must_use]
    pub fn distance(self) -> f64 {
        ((self.squares - 2.0 * self.sum + self.time) / self.time).max(0.0).sqrt()
    }

    /// The mean difficulty over time, as a part of the right one.
    #[must_use]
    pub fn mean(self) -> f64 {
        self.sum / self.time
    }

    /// How often it was changed.
    #[must_use]
    pub fn changes_an_hour(self) -> f64 {
        self.changes * 3600.0 / self.time
    }
}

/// The value below which a part of a list lies; the default of an empty one.
#[must_use]
pub fn quantile<T: PartialOrd + Copy + Default>(mut list: Vec<T>, part: f64) -> T {
    list.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let last = list.len().saturating_sub(1);
    list.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
}
