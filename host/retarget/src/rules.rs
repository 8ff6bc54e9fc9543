//! Rules that decide a miner's difficulty: ours as it is, others as their sources have it.

use millpond_dialect::Rounding;
use millpond_stratum::{Vardiff, VardiffConfig};
use std::time::{Duration, Instant};

/// A rule and its state for one session. Times are seconds since the session's start.
pub trait Rule {
    /// Shares a second that it aims at.
    fn wanted(&self) -> f64;
    /// The difficulty that it has assigned last.
    fn difficulty(&self) -> f64;
    /// A share was accepted, judged by `judged_by`.
    fn share(&mut self, judged_by: f64, at: f64);
    /// When it wants to look at a silent session.
    fn wakes_at(&self) -> Option<f64>;
    /// Nothing came until the time that it asked for.
    fn silence(&mut self, at: f64);
    /// By what a share is judged that was found at `sent`, which so many changes have followed.
    fn judged_by(&self, sent: f64, changes_since: usize) -> f64;
}

/// Millpond's: the code that sessions run.
pub struct Ours {
    vardiff: Vardiff,
    wanted: f64,
    begin: Instant,
}

impl Ours {
    /// From a start, never below a least difficulty.
    #[must_use]
    pub fn new(start: f64, least: f64, powers_of_two: bool) -> Self {
        let config = VardiffConfig { min: least, max: 1e30, powers_of_two, ..Default::default() };
        let (begin, wanted) = (Instant::now(), config.shares_per_minute / 60.0);
        Self { vardiff: Vardiff::new(config, Rounding::Exact, Some(start), begin), wanted, begin }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.begin + Duration::from_secs_f64(seconds)
    }
}

impl Rule for Ours {
    fn wanted(&self) -> f64 {
        self.wanted
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

/// ckpool's: `add_submit` of its stratifier.c, with `decay_time`, `sane_tdiff` and `time_bias` (libckpool.c, stratifier.c).
///
/// Only shares are looked at. The gate is 72 shares since the last change or 240 s since `ldc`, which is the last change or
/// the first share; behind it each share is looked at, with the average of a minute after 72 shares, else that of five. Within
/// 0.15 to 0.4 shares a second nothing happens, and the gate stays open. Else the difficulty becomes the average times 3.33,
/// a whole number and at least the least one; but a fall at the first share since the last change only closes the gate for
/// another 240 s, for that miner may come back from a pause. A share of before the last change is judged by the lower of the
/// two. Not here: what miners and users ask for, and the network's difficulty as a bound. Its new difficulty goes out at once
/// and holds from its next job, up to 30 s later; here it holds as soon as every rule's does.
pub struct Ckpool {
    difficulty: f64,
    before: f64,
    least: f64,
    /// `ssdc`: shares since the difficulty was changed.
    shares: u32,
    /// `ldc`: when it was last changed.
    changed: f64,
    first: Option<f64>,
    last: f64,
    /// `dsps1` and `dsps5`: work a second.
    minute: f64,
    five: f64,
}

impl Ckpool {
    /// From a start, never below a least difficulty (`mindiff`).
    #[must_use]
    pub fn new(start: f64, least: f64) -> Self {
        Self {
            difficulty: start,
            before: start,
            least,
            shares: 0,
            changed: 0.0,
            first: None,
            last: 0.0,
            minute: 0.0,
            five: 0.0,
        }
    }
}

/// `decay_time`: what an average over `interval` becomes by work that took `seconds`.
#[must_use]
pub fn decayed(average: f64, work: f64, seconds: f64, interval: f64) -> f64 {
    let part = 1.0 - (-(seconds / interval).min(36.0)).exp();
    let now = (average + work / seconds * part) / (1.0 + part);
    if now < 2e-16 { 0.0 } else { now }
}

/// `time_bias`: how much of an average over `interval` has had time to build up.
#[must_use]
pub fn bias(seconds: f64, interval: f64) -> f64 {
    1.0 - (-(seconds / interval).min(36.0)).exp()
}

/// `sane_tdiff`: no time is shorter than a millisecond.
fn sane(seconds: f64) -> f64 {
    seconds.max(0.001)
}

impl Rule for Ckpool {
    fn wanted(&self) -> f64 {
        0.3
    }

    fn difficulty(&self) -> f64 {
        self.difficulty
    }

    fn share(&mut self, judged_by: f64, at: f64) {
        let first = match self.first {
            Some(first) => {
                let passed = sane(at - self.last);
                self.minute = decayed(self.minute, judged_by, passed, 60.0);
                self.five = decayed(self.five, judged_by, passed, 300.0);
                first
            }
            // The first share's time since the one before is counted from 1970, which makes it nothing.
            None => {
                (self.first, self.changed) = (Some(at), at);
                at
            }
        };
        self.last = at;
        self.shares += 1;
        if self.shares < 72 && sane(at - self.changed) < 240.0 {
            return;
        }
        if judged_by != self.difficulty {
            self.shares = 0;
            return;
        }
        let (average, over) = if self.shares >= 72 { (self.minute, 60.0) } else { (self.five, 300.0) };
        let work = average / bias(sane(at - first), over);
        let rate = work / self.difficulty;
        if rate > 0.15 && rate < 0.4 {
            return;
        }
        let best = (work * 3.33).round().max(self.least);
        if best == self.difficulty {
            return;
        }
        if best < self.difficulty && self.shares == 1 {
            self.changed = at;
            return;
        }
        self.before = std::mem::replace(&mut self.difficulty, best);
        (self.shares, self.changed) = (0, at);
    }

    fn wakes_at(&self) -> Option<f64> {
        None
    }

    fn silence(&mut self, _: f64) {}

    fn judged_by(&self, _: f64, changes_since: usize) -> f64 {
        if changes_since == 0 { self.difficulty } else { self.before.min(self.difficulty) }
    }
}

/// miningcore's: `VarDiffManager.Update`, called for each share and after each 15 s without one (`StartVarDiffIdleUpdate` of
/// PoolBase), with its example's target of 15 s, variance of 30 % and retarget time of 90 s.
///
/// The first call only notes the time. Each further one takes the mean of the last ten intervals and the one that runs; 90 s
/// after the last change, outside 30 % of the target, the difficulty becomes itself times target over mean, at least the least
/// one, and the intervals are forgotten. The difficulty before a change is honoured.
pub struct Miningcore {
    difficulty: f64,
    before: f64,
    least: f64,
    intervals: Vec<f64>,
    /// `LastTs` and `LastRtc`: the last share and the last change, both the first call to begin with.
    last: Option<(f64, f64)>,
    /// The last call.
    called: f64,
}

impl Miningcore {
    const WANTED: f64 = 15.0;
    const EVERY: f64 = 90.0;

    /// From a start, never below a least difficulty (`minDiff`).
    #[must_use]
    pub fn new(start: f64, least: f64) -> Self {
        Self { difficulty: start, before: start, least, intervals: Vec::new(), last: None, called: 0.0 }
    }

    fn update(&mut self, at: f64, idle: bool) {
        self.called = at;
        let Some((last, changed)) = &mut self.last else {
            self.last = Some((at, at));
            return;
        };
        let since = at - *last;
        let mean = (self.intervals.iter().sum::<f64>() + since) / (self.intervals.len() + 1) as f64;
        if !idle {
            self.intervals.push(since);
            if self.intervals.len() > 10 {
                self.intervals.remove(0);
            }
            *last = at;
        }
        if at - *changed < Self::EVERY || (mean - Self::WANTED).abs() <= 0.3 * Self::WANTED {
            return;
        }
        let best = (self.difficulty * Self::WANTED / mean).max(self.least);
        if best != self.difficulty {
            *changed = at;
            self.before = std::mem::replace(&mut self.difficulty, best);
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
        self.update(at, false);
    }

    fn wakes_at(&self) -> Option<f64> {
        Some(self.called + Self::WANTED)
    }

    fn silence(&mut self, at: f64) {
        self.update(at, true);
    }

    fn judged_by(&self, sent: f64, changes_since: usize) -> f64 {
        if changes_since <= 1 { sent.min(self.difficulty) } else { self.before.min(self.difficulty) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, exact: f64) -> bool {
        (got / exact - 1.0).abs() < 1e-3
    }

    #[test]
    fn ckpools_average_is_the_one_of_its_source() {
        // f' = (f + work / t * p) / (1 + p) with p = 1 - e^(-t / interval): from nothing, 300 of work after 60 s.
        let part = 1.0 - (-1.0_f64).exp();
        assert!(near(part, 0.632_12));
        assert!(near(decayed(0.0, 300.0, 60.0, 60.0), 5.0 * 0.632_12 / 1.632_12));
        // Work at the average leaves it where it is; a long time does not end in nothing or infinity.
        assert!(near(decayed(5.0, 300.0, 60.0, 60.0), 5.0));
        assert!(near(decayed(8.0, 0.0, 1e9, 60.0), 4.0));
        assert_eq!(decayed(1e-16, 0.0, 1.0, 60.0), 0.0);
        assert!(near(bias(300.0, 300.0), 0.632_12) && near(bias(1e9, 60.0), 1.0));
    }

    #[test]
    fn ckpool_looks_at_the_seventy_second_share_or_after_240_s_since_the_first() {
        // A hundred shares a second at difficulty 1: at the 72nd, 0.71 s after the first.
        let mut fast = Ckpool::new(1.0, 1.0);
        for share in 0..71 {
            fast.share(1.0, 5.0 + f64::from(share) / 100.0);
            assert_eq!(fast.difficulty(), 1.0);
        }
        fast.share(1.0, 5.71);
        // 71 intervals of work at 100 a second, and a bias for 0.71 s: near 333.
        assert!((320.0..345.0).contains(&fast.difficulty()), "{}", fast.difficulty());
        // One share in 20 s, 0.05 a second: nothing before 240 s after the first share, wherever the session began.
        let mut slow = Ckpool::new(100.0, 1.0);
        for share in 0..12 {
            slow.share(100.0, 1000.0 + 20.0 * f64::from(share));
            assert_eq!(slow.difficulty(), 100.0);
        }
        slow.share(100.0, 1240.0);
        // A rate of 0.05 wants 16.65, by an average that runs a little behind.
        assert!((14.0..20.0).contains(&slow.difficulty()), "{}", slow.difficulty());
        assert_eq!(slow.difficulty().fract(), 0.0);
    }

    #[test]
    fn ckpools_gate_stays_open_within_its_hysteresis_and_a_fall_at_the_first_share_waits() {
        let mut rule = Ckpool::new(100.0, 1.0);
        // One share in 4 s is 0.25 a second: within 0.15 to 0.4 for good.
        for share in 0..200 {
            rule.share(100.0, 4.0 * f64::from(share));
        }
        assert_eq!((rule.difficulty(), rule.shares, rule.changed), (100.0, 200, 0.0));
        // Faster by four: followed as soon as the average of a minute is outside, with no new 72 shares.
        let mut at = 796.0;
        while rule.difficulty() == 100.0 {
            at += 1.0;
            rule.share(100.0, at);
        }
        assert!(at < 840.0, "{at}");
        // Away for an hour: the first share since the change would lower it, and only closes the gate.
        let raised = rule.difficulty();
        rule.share(raised, at + 3600.0);
        assert_eq!((rule.difficulty(), rule.shares, rule.changed), (raised, 1, at + 3600.0));
        // What was found before the change is judged by the lower of the two, and begins the count anew behind the gate.
        assert_eq!((rule.judged_by(100.0, 1), rule.judged_by(raised, 0)), (100.0, raised));
        rule.share(100.0, at + 3841.0);
        assert_eq!((rule.shares, rule.difficulty()), (0, raised));
    }

    #[test]
    fn ckpool_goes_no_lower_than_its_least_difficulty_and_stays_there() {
        let mut rule = Ckpool::new(42.0, 1.0);
        for share in 0..100 {
            rule.share(rule.difficulty(), 600.0 * f64::from(share));
        }
        assert_eq!(rule.difficulty(), 1.0);
    }

    #[test]
    fn miningcore_looks_90_s_after_its_last_change_and_takes_the_interval_that_runs() {
        let mut rule = Miningcore::new(100.0, 1.0);
        // The first call is noted; then a share in 5 s, three times the rate, up to 90 s.
        for share in 0..18 {
            rule.share(100.0, 10.0 + 5.0 * f64::from(share));
            assert_eq!(rule.difficulty(), 100.0);
        }
        rule.share(100.0, 100.0);
        assert!(near(rule.difficulty(), 300.0), "{}", rule.difficulty());
        assert!(rule.intervals.is_empty());
        // Within 30 % of 15 s nothing happens, however long; what runs is a sample beside the last ten.
        for share in 1..=20 {
            rule.share(300.0, 100.0 + 19.0 * f64::from(share));
        }
        assert!(near(rule.difficulty(), 300.0));
        assert_eq!(rule.intervals.len(), 10);
        // It is called every 15 s of silence: (10 * 19 + 30) / 11 is 20 s, above 19.5.
        assert_eq!(rule.wakes_at(), Some(495.0));
        rule.silence(495.0);
        assert!(near(rule.difficulty(), 300.0));
        rule.silence(510.0);
        assert!(near(rule.difficulty(), 300.0 * 15.0 / 20.0), "{}", rule.difficulty());
        assert_eq!(rule.wakes_at(), Some(525.0));
    }

    #[test]
    fn miningcores_silence_begins_at_its_first_call() {
        let mut rule = Miningcore::new(100.0, 1.0);
        // Called at 15 s first; 90 s after that the one interval that runs is 90 s.
        for call in 1..=6 {
            rule.silence(15.0 * f64::from(call));
            assert_eq!(rule.difficulty(), 100.0);
        }
        rule.silence(105.0);
        assert!(near(rule.difficulty(), 100.0 * 15.0 / 90.0), "{}", rule.difficulty());
    }
}
