//! Simulated miners under a rule for difficulties: how soon it finds them, how still it leaves them, what it costs them.

#![allow(dead_code)]

pub mod rules;

use rand::{Rng, SeedableRng, rngs::StdRng};
use rules::{Ckpool, Miningcore, Ours, Rule};

/// The hashrate that simulated miners have, as the difficulty at which one share a second comes.
pub const HASHRATE: f64 = 1e6;
/// A difficulty is found when the rate that is to be expected is within this of the wanted one.
pub const NEAR: f64 = 0.25;
/// A new difficulty is worked on after this many seconds: it has to arrive, and the old work to be finished.
const LATENCY: f64 = 1.0;
/// Rates are looked at again after this many seconds.
const STEP: f64 = 1.0;

/// The rules that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Ours,
    OursPowersOfTwo,
    Ckpool,
    Miningcore,
}

impl Which {
    pub const COMPARED: [Self; 3] = [Self::Ours, Self::Ckpool, Self::Miningcore];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursPowersOfTwo => "ours, powers of two",
            Self::Ckpool => "ckpool",
            Self::Miningcore => "miningcore",
        }
    }

    fn at(self, start: f64) -> Box<dyn Rule> {
        match self {
            Self::Ours => Box::new(Ours::new(start, false)),
            Self::OursPowersOfTwo => Box::new(Ours::new(start, true)),
            Self::Ckpool => Box::new(Ckpool::new(start)),
            Self::Miningcore => Box::new(Miningcore::new(start)),
        }
    }

    /// The difficulty at which a hashrate sends the wanted rate.
    pub fn right(self, hashrate: f64) -> f64 {
        hashrate / self.at(1.0).wanted()
    }
}

/// What became of one simulated session.
pub struct Run {
    /// Times and difficulties, the start first.
    pub changes: Vec<(f64, f64)>,
    pub shares: u64,
    /// Shares that the miner found and the rule refused.
    pub rejected: u64,
    seconds: f64,
}

/// A miner whose hashrate is `hashrate` at a time, from a start that is `wrong` times the right difficulty of
/// [`HASHRATE`].
pub fn run(which: Which, wrong: f64, hashrate: impl Fn(f64) -> f64, seconds: f64, seed: u64) -> Run {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut rule = which.at(which.right(HASHRATE) * wrong);
    let mut changes = vec![(0.0, rule.difficulty())];
    let (mut shares, mut rejected, mut t) = (0, 0, 0.0_f64);
    while t < seconds {
        // What the miner works on: the newest difficulty that has reached him.
        let reached = changes.iter().rposition(|(at, _)| *at == 0.0 || at + LATENCY <= t).unwrap_or(0);
        let sent = changes[reached].1;
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
        if rule.difficulty() != changes[changes.len() - 1].1 {
            changes.push((t, rule.difficulty()));
        }
    }
    Run { changes, shares, rejected, seconds }
}

impl Run {
    /// When and with how many changes from `from` on the difficulty came near `right`; `None` when it never did.
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
#[derive(Clone, Copy, Default)]
pub struct Spread {
    time: f64,
    sum: f64,
    squares: f64,
    changes: f64,
    own: f64,
    sessions: f64,
}

impl Spread {
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
    pub fn of_a_session(self) -> f64 {
        self.own / self.sessions
    }

    /// Of all sessions from the right difficulty: what is off for good counts too.
    pub fn distance(self) -> f64 {
        ((self.squares - 2.0 * self.sum + self.time) / self.time).max(0.0).sqrt()
    }

    pub fn mean(self) -> f64 {
        self.sum / self.time
    }

    pub fn changes_an_hour(self) -> f64 {
        self.changes * 3600.0 / self.time
    }
}

/// The value below which a part of the sorted list lies.
pub fn quantile<T: PartialOrd + Copy>(mut list: Vec<T>, part: f64) -> T {
    list.sort_by(|a, b| a.partial_cmp(b).unwrap());
    list[((list.len() - 1) as f64 * part).round() as usize]
}
