//! Rules that decide a miner's difficulty, in simulated time: ours as it is, others as they are published.

use millpond_dialect::Rounding;
use millpond_stratum::{Vardiff, VardiffConfig};
use std::time::{Duration, Instant};

/// A rule and its state for one session. Times are seconds since the session's start.
pub trait Rule {
    /// Shares a second that it aims at.
    fn wanted(&self) -> f64;
    fn difficulty(&self) -> f64;
    /// A share found at a difficulty that was sent before was accepted, judged by `judged_by`.
    fn share(&mut self, judged_by: f64, at: f64);
    /// When it wants to look at a silent session.
    fn wakes_at(&self) -> Option<f64>;
    fn silence(&mut self, at: f64);
    /// By what a share is judged that was found at `sent`, which so many changes have followed.
    fn judged_by(&self, sent: f64, changes_since: usize) -> f64;
}

/// Millpond's: the code that sessions run.
pub struct Ours {
    vardiff: Vardiff,
    config: VardiffConfig,
    begin: Instant,
}

impl Ours {
    pub fn new(start: f64, powers_of_two: bool) -> Self {
        let config = VardiffConfig { min: 1e-12, max: 1e30, powers_of_two, ..Default::default() };
        let begin = Instant::now();
        let vardiff = Vardiff::new(config.clone(), Rounding::Exact, Some(start), begin);
        Self { vardiff, config, begin }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.begin + Duration::from_secs_f64(seconds)
    }
}

impl Rule for Ours {
    fn wanted(&self) -> f64 {
        self.config.shares_per_minute / 60.0
    }

    fn difficulty(&self) -> f64 {
        self.vardiff.difficulty()
    }

    fn share(&mut self, judged_by: f64, at: f64) {
        self.vardiff.share(judged_by, self.at(at));
    }

    fn wakes_at(&self) -> Option<f64> {
        let at = self.vardiff.silent_at()?.saturating_duration_since(self.begin);
        // Instants are whole nanoseconds.
        Some(at.as_secs_f64() + 1e-6)
    }

    fn silence(&mut self, at: f64) {
        self.vardiff.silence(self.at(at));
    }

    /// The lower of the difficulty that the job was sent with and the one of now.
    fn judged_by(&self, sent: f64, _: usize) -> f64 {
        sent.min(self.difficulty())
    }
}

/// An exponentially weighted rate of work, corrected for its start from nothing.
struct Average {
    rate: f64,
    over: f64,
    at: f64,
}

impl Average {
    fn new(over: f64) -> Self {
        Self { rate: 0.0, over, at: 0.0 }
    }

    fn add(&mut self, work: f64, at: f64) {
        let passed = (at - self.at).max(1e-6);
        let kept = (-passed / self.over).exp();
        self.rate = self.rate * kept + work / passed * (1.0 - kept);
        self.at = at;
    }

    fn after(&self, seconds: f64) -> f64 {
        self.rate / (1.0 - (-seconds.max(1e-3) / self.over).exp())
    }
}

/// ckpool's published rule: decides at a share, after 72 of them (by an average over 60 s) or after 240 s (over 300 s), when
/// the rate is outside 0.15 to 0.4 shares a second; then aims at 0.3. Work that was sent before a change is judged by the
/// difficulty before it.
pub struct Ckpool {
    difficulty: f64,
    before: f64,
    shares: u32,
    changed: f64,
    first: Option<f64>,
    minute: Average,
    five: Average,
}

impl Ckpool {
    pub fn new(start: f64) -> Self {
        let (minute, five) = (Average::new(60.0), Average::new(300.0));
        Self { difficulty: start, before: start, shares: 0, changed: 0.0, first: None, minute, five }
    }
}

impl Rule for Ckpool {
    fn wanted(&self) -> f64 {
        0.3
    }

    fn difficulty(&self) -> f64 {
        self.difficulty
    }

    fn share(&mut self, judged_by: f64, at: f64) {
        let first = *self.first.get_or_insert(at);
        self.minute.add(judged_by, at);
        self.five.add(judged_by, at);
        if judged_by != self.difficulty {
            self.shares = 0;
            return;
        }
        self.shares += 1;
        if self.shares < 72 && at - self.changed < 240.0 {
            return;
        }
        let average = if self.shares >= 72 { &self.minute } else { &self.five };
        let work = average.after(at - first.min(self.changed));
        if !(0.15..=0.4).contains(&(work / self.difficulty)) {
            self.before = std::mem::replace(&mut self.difficulty, work / 0.3);
        }
        (self.shares, self.changed) = (0, at);
    }

    fn wakes_at(&self) -> Option<f64> {
        None
    }

    fn silence(&mut self, _: f64) {}

    fn judged_by(&self, sent: f64, changes_since: usize) -> f64 {
        match changes_since {
            0 => self.difficulty,
            1 => self.before.min(self.difficulty),
            _ => self.before.min(self.difficulty).max(sent.min(self.before)),
        }
    }
}

/// miningcore's published rule: the mean of the last ten intervals, looked at every 90 s (a silence counts as an interval),
/// off by more than 30 % of the wanted 15 s. The difficulty before a change is honoured.
pub struct Miningcore {
    difficulty: f64,
    before: f64,
    intervals: Vec<f64>,
    last: f64,
    looked: f64,
}

impl Miningcore {
    const WANTED: f64 = 15.0;
    const EVERY: f64 = 90.0;

    pub fn new(start: f64) -> Self {
        Self { difficulty: start, before: start, intervals: Vec::new(), last: 0.0, looked: 0.0 }
    }

    fn look(&mut self, mean: f64, at: f64) {
        self.looked = at;
        if (mean - Self::WANTED).abs() > 0.3 * Self::WANTED {
            self.before = self.difficulty;
            self.difficulty *= Self::WANTED / mean.max(1e-9);
            self.intervals.clear();
        }
    }
}

impl Rule for Miningcore {
    fn wanted(&self) -> f64 {
        1.0 / Self::WANTED
    }

    fn difficulty(&self) -> f64 {
        self.difficulty
    }

    fn share(&mut self, _: f64, at: f64) {
        self.intervals.push(at - self.last);
        self.last = at;
        if self.intervals.len() > 10 {
            self.intervals.remove(0);
        }
        if at - self.looked >= Self::EVERY {
            self.look(self.intervals.iter().sum::<f64>() / self.intervals.len() as f64, at);
        }
    }

    fn wakes_at(&self) -> Option<f64> {
        Some(self.last.max(self.looked) + Self::EVERY)
    }

    fn silence(&mut self, at: f64) {
        let sum = self.intervals.iter().sum::<f64>() + at - self.last;
        self.look(sum / (self.intervals.len() + 1) as f64, at);
    }

    fn judged_by(&self, sent: f64, changes_since: usize) -> f64 {
        if changes_since <= 1 { sent.min(self.difficulty) } else { self.before.min(self.difficulty) }
    }
}
