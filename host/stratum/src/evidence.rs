//! What shares say of a miner's hashrate.
//!
//! Shares are a Poisson process. While a miner works at difficulty `d` for a time `t`, the number of his shares has the
//! mean `h * t / d`, whatever `d` was: so the count `n` of shares and the exposure `x`, the sum of `r * t / d` with the
//! wanted rate `r`, are all that is to be known of `h` (they are sufficient), over any number of changes of difficulty.
//! `n / x` is the difficulty at which the wanted rate would come.
//!
//! Two questions are asked of them. Whether all that is remembered excludes the present difficulty: the deviance of Poisson
//! counts, `G = 2 (n ln(n / m) - (n - m))` with `m = x * d`, is about the square of a standard normal (the likelihood-ratio
//! test). And whether the hashrate has changed of late: cumulative sums of the log-likelihood ratio against a rate that is
//! [`FACTOR`] times higher or lower (E. S. Page 1954), which begin anew whenever they fall to nothing, and so know where
//! the change was.

use crate::carried::bits;
use serde::{Deserialize, Serialize};

/// Shares remembered at most; then the past is halved, so that a slow drift shows.
const REMEMBERED: f64 = 512.0;
/// How many standard deviations exclude the present difficulty.
const Z: f64 = 2.4;
/// The same while there are fewer than [`EARLY`] shares, each of which is asked anew.
const EARLY_Z: f64 = 2.9;
/// Shares of a session's beginning.
const EARLY: f64 = 48.0;
/// The change that is looked for; other ones are found too.
const FACTOR: f64 = 1.5;
/// The sum at which a change has happened: by luck alone once in some ten hours of a steady miner (measured by the bench).
const CHANGED: f64 = 8.0;
/// How many standard deviations make what came before another hashrate's.
const OTHER: f64 = 2.0;
/// A difficulty is raised when so many shares were expected,
const EXPECTED: f64 = 12.0;
/// or so many came: a burst is measured before it is answered, since its first shares say little.
const BURST: f64 = 200.0;
/// Fewer shares than this are no measure of a rate that is too low: then the step goes further down, where more shares
/// come and measure it.
const FEW: f64 = 8.0;

/// Shares and the exposure in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    #[serde(with = "bits")]
    shares: f64,
    #[serde(with = "bits")]
    exposure: f64,
}

impl Count {
    /// The difficulty at which the wanted rate would come.
    fn difficulty(&self) -> f64 {
        self.shares / self.exposure.max(f64::MIN_POSITIVE)
    }

    /// How far the count is from the mean at a difficulty, in standard deviations.
    fn deviation(&self, difficulty: f64) -> f64 {
        let (n, m) = (self.shares, (self.exposure * difficulty).max(f64::MIN_POSITIVE));
        let logarithm = if n > 0.0 { n * (n / m).ln() } else { 0.0 };
        (2.0 * (logarithm - (n - m))).max(0.0).sqrt()
    }

    fn is_enough_to_raise(&self, difficulty: f64) -> bool {
        self.shares >= BURST || self.exposure * difficulty >= EXPECTED
    }
}

/// A cumulative sum, and what was counted since it was nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    #[serde(with = "bits")]
    score: f64,
    since: Count,
}

impl Sum {
    fn add(&mut self, score: f64, seen: Count) {
        self.score += score;
        if self.score <= 0.0 {
            *self = Self::default();
        } else {
            self.since.shares += seen.shares;
            self.since.exposure += seen.exposure;
        }
    }
}

/// The evidence of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evidence {
    /// A first share has come. What passed before it is no measure: a new difficulty has to reach the miner, and a miner his
    /// speed.
    begun: bool,
    all: Count,
    higher: Sum,
    lower: Sum,
}

/// The difficulties that one is as good as the present one: from it up to the next that could be sent, since what lies
/// between is rounded down to it. 0 and infinity where there is nothing further that way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// The present one itself: also where `from` is 0, some shares of it are what a raise rests on.
    pub(crate) difficulty: f64,
}

impl Evidence {
    /// Time passed without a share: so many would have come at difficulty 1 and the wanted rate, divided by the difficulty
    /// that was worked on.
    pub(crate) fn wait(&mut self, exposure: f64) {
        if self.begun {
            self.all.exposure += exposure;
        }
    }

    /// A share came after an exposure. One judged by a lower difficulty than the present one has the weight of the part of
    /// it that would have met that. Returns the difficulty that is better than the present one, when that is excluded.
    pub(crate) fn share(&mut self, weight: f64, exposure: f64, present: Present) -> Option<f64> {
        if !std::mem::replace(&mut self.begun, true) {
            return None;
        }
        let seen = Count { shares: weight, exposure };
        let score = weight * FACTOR.ln();
        let below = exposure * present.from * (1.0 - 1.0 / FACTOR);
        self.lower.add(below - score, seen);
        // Where it can go no higher this is infinitely much against it.
        let above = if exposure > 0.0 { exposure * present.to * (FACTOR - 1.0) } else { 0.0 };
        self.higher.add(score - above, seen);
        self.all.shares += weight;
        self.all.exposure += exposure;
        if self.all.shares > REMEMBERED {
            self.all = Count { shares: self.all.shares / 2.0, exposure: self.all.exposure / 2.0 };
        }
        if !self.has_changed(present) && !self.excludes(present) {
            return None;
        }
        let better = self.better(present)?;
        (self.higher, self.lower) = (Sum::default(), Sum::default());
        Some(better)
    }

    /// Shares remembered.
    pub(crate) fn shares(&self) -> f64 {
        self.all.shares
    }

    /// Whether the hashrate is another than the one that the present difficulty is for.
    fn has_changed(&self, present: Present) -> bool {
        let higher = self.higher.score > CHANGED && self.higher.since.is_enough_to_raise(present.difficulty);
        higher || self.lower.score > CHANGED
    }

    /// Whether all that is remembered excludes the present difficulty.
    fn excludes(&self, present: Present) -> bool {
        let edge = if self.all.shares > self.all.exposure * present.to { present.to } else { present.from };
        // The first bound is quick, and sure: G is never above 2 (n - m)^2 / m.
        let m = self.all.exposure * edge;
        let off = self.all.shares - m;
        let z = if self.all.shares < EARLY { EARLY_Z } else { Z };
        2.0 * off * off > z * z * m && self.all.deviation(edge) > z
    }

    /// The difficulty that the evidence speaks for, when there is enough of it and it is not the present one.
    fn better(&mut self, present: Present) -> Option<f64> {
        // What came since a change, unless what is remembered from before says the same: then that says it better.
        let latest = if self.higher.score > self.lower.score { self.higher } else { self.lower };
        if latest.score > CHANGED / 2.0 && self.all.deviation(latest.since.difficulty()) > OTHER {
            if latest.score <= CHANGED {
                return None;
            }
            self.all = latest.since;
        }
        let best = self.all.difficulty();
        if best > present.to {
            self.all.is_enough_to_raise(present.difficulty).then_some(best)
        } else if best < present.from {
            Some(if self.all.shares < FEW { (self.all.shares + 1.0) / self.all.exposure / 4.0 } else { best })
        } else {
            None
        }
    }
}
