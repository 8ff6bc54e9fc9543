//! Variable difficulty: how hard shares must be so that a miner sends them at a steady, readable rate.
//!
//! Shares of a miner are a Poisson process. The difficulty is changed only when what was seen since the last change
//! excludes, at [`Z`] standard deviations, every rate within [`BAND`] of the wanted one: a run of luck changes
//! nothing, a wrong start is left after a few shares, and silence is evidence too. Decisions come with events: at a
//! share, or at the moment when silence alone has become significant. There is no sweep. Only shares that counted are
//! told to this module, so invalid ones can never raise or hold a difficulty.

use millpond_dialect::Rounding;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Standard deviations of the interval around the seen rate. With 2.4 a steady miner sees about one change in an hour
/// (measured by the test below).
const Z: f64 = 2.4;
/// The seen rate may be off by this factor before a change is worth a fresh job.
const BAND: f64 = 1.15;
/// What is remembered at most, in shares: afterwards the past is halved, so that a drift shows.
const MEMORY: f64 = 360.0;
/// One step up at most, since a rate seen over milliseconds is no measurement.
const STEP_UP: f64 = 64.0;
/// One step down at most, since silence has many causes.
const STEP_DOWN: f64 = 0.25;

/// Vardiff of a pool or of one port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VardiffConfig {
    /// Wanted shares per minute and connection. 18 gives a five-minute hashrate with about 10 % of noise; 6 gives 18 %.
    pub shares_per_minute: f64,
    /// Where a session starts that suggests nothing and was not seen before.
    pub start: f64,
    /// No difficulty is below.
    pub min: f64,
    /// No difficulty is above.
    pub max: f64,
    /// Only powers of two, even where the dialect does not ask for them.
    pub powers_of_two: bool,
    /// False holds every session at its start.
    pub enabled: bool,
}

impl Default for VardiffConfig {
    fn default() -> Self {
        Self {
            shares_per_minute: 18.0,
            start: 1024.0,
            min: 1.0,
            max: 1e15,
            powers_of_two: false,
            enabled: true,
        }
    }
}

impl VardiffConfig {
    /// What is wrong with the numbers, in words for the operator.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let positive = |name: &str, value: f64| {
            (!value.is_finite() || value <= 0.0)
                .then(|| format!("{name} = {value} must be a positive number"))
        };
        positive("minimum_difficulty", self.min)
            .or_else(|| positive("maximum_difficulty", self.max))
            .or_else(|| positive("difficulty", self.start))
            .or_else(|| positive("shares_per_minute", self.shares_per_minute))
            .or_else(|| {
                (self.min > self.max).then(|| {
                    format!("minimum_difficulty = {} is above maximum_difficulty = {}", self.min, self.max)
                })
            })
    }

    /// The difficulty to send for a wanted one: within the limits, rounded down to what the miner's firmware takes.
    #[must_use]
    pub fn round(&self, wanted: f64, rounding: Rounding) -> f64 {
        let wanted = if wanted.is_nan() { self.start } else { wanted };
        let clamped = wanted.clamp(self.min.min(self.max), self.max);
        let rounding = self.rounding(rounding);
        let rounded = rounding.apply(clamped);
        if rounded >= self.min {
            return rounded;
        }
        // The limit itself is no value of the firmware's: the next one above it.
        let above =
            if clamped >= 1.0 && rounding == Rounding::Integers { clamped.ceil() } else { rounded * 2.0 };
        if above > self.max { self.min } else { above }
    }

    fn rounding(&self, of_dialect: Rounding) -> Rounding {
        if self.powers_of_two { Rounding::PowersOfTwo } else { of_dialect }
    }

    fn rate(&self) -> f64 {
        self.shares_per_minute / 60.0
    }
}

/// The vardiff of one session.
#[derive(Clone, Debug)]
pub struct Vardiff {
    config: VardiffConfig,
    difficulty: f64,
    /// The operator asks no less of miners of this kind (a marketplace's rule).
    floor: f64,
    /// The miner was promised no less (BIP 310's `minimum-difficulty`).
    promised: f64,
    fixed: bool,
    rounding: Rounding,
    /// Shares since `since`, each weighted by the difficulty it was judged by over the current one.
    shares: f64,
    since: Instant,
}

impl Vardiff {
    /// Starts at a difficulty, limited by the configuration and rounded as the dialect says.
    #[must_use]
    pub fn new(config: VardiffConfig, rounding: Rounding, start: Option<f64>, now: Instant) -> Self {
        let difficulty = config.round(start.unwrap_or(config.start), rounding);
        let fixed = !config.enabled;
        Self { fixed, difficulty, floor: 0.0, promised: 0.0, rounding, shares: 0.0, since: now, config }
    }

    /// The miner turned out to speak another dialect.
    pub fn set_rounding(&mut self, rounding: Rounding, now: Instant) -> f64 {
        self.rounding = rounding;
        self.restart_at(self.difficulty, now)
    }

    /// The difficulty now.
    #[must_use]
    pub fn difficulty(&self) -> f64 {
        self.difficulty
    }

    /// The session's own difficulty from now on, as the miner set it by password: no changes follow.
    pub fn fix(&mut self, difficulty: f64, now: Instant) -> f64 {
        self.fixed = true;
        self.restart_at(difficulty, now)
    }

    /// A miner's wish: taken at once, and vardiff goes on from there.
    pub fn suggest(&mut self, difficulty: f64, now: Instant) -> f64 {
        if self.fixed && self.config.enabled { self.difficulty } else { self.restart_at(difficulty, now) }
    }

    /// Never goes below this again, whatever the miner suggests, sets by password or is too slow for; a later promise
    /// takes its place. False where the limits of the port do not allow it: then nothing changes.
    pub fn promise(&mut self, least: f64, now: Instant) -> bool {
        if !least.is_finite() || least > self.config.max {
            return false;
        }
        self.promised = least;
        self.restart_at(self.difficulty, now);
        true
    }

    /// Never goes below this again.
    pub fn set_floor(&mut self, floor: f64, now: Instant) -> f64 {
        self.floor = if floor.is_finite() { floor } else { 0.0 };
        self.restart_at(self.difficulty, now)
    }

    /// Forgets what was seen: at the first job, and when there was no job to work on.
    pub fn restart(&mut self, now: Instant) {
        self.shares = 0.0;
        self.since = now;
    }

    /// A share counted, judged by `judged_by`. Returns the new difficulty when it is time for one.
    pub fn share(&mut self, judged_by: f64, now: Instant) -> Option<f64> {
        self.shares += (judged_by / self.difficulty).clamp(0.0, 1024.0);
        let seen = self.seconds(now);
        let highest_fitting = self.config.rate() * seen * self.upper_band();
        if lower(self.shares) > highest_fitting {
            // (n - 1) / t is the unbiased estimate when the n-th share ends the observation.
            let ratio = (self.shares - 1.0).max(1.0) / (self.config.rate() * seen).max(1e-6);
            return self.change(ratio.min(STEP_UP), now);
        }
        if self.shares > MEMORY {
            self.shares /= 2.0;
            self.since = now.checked_sub(Duration::from_secs_f64(seen / 2.0)).unwrap_or(now);
        }
        self.silence(now)
    }

    /// Nothing came until now. Returns the new difficulty when that is significant.
    pub fn silence(&mut self, now: Instant) -> Option<f64> {
        if self.fixed || now < self.silent_at()? {
            return None;
        }
        let ratio = (self.shares + 1.0) / (self.config.rate() * self.seconds(now)).max(1e-6);
        self.change(ratio.max(STEP_DOWN), now)
    }

    /// When silence becomes significant, for the connection's timer; `None` when it never does.
    #[must_use]
    pub fn silent_at(&self) -> Option<Instant> {
        if self.fixed || self.difficulty <= self.lowest() {
            return None;
        }
        let seconds = upper(self.shares) * BAND / self.config.rate();
        self.since.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// What the miner was promised and what is asked of his kind are limits like the operator's, but never above the
    /// operator's most.
    fn lowest(&self) -> f64 {
        self.config.min.max(self.floor).max(self.promised).min(self.config.max)
    }

    /// Rounding down to a power of two leaves a miner at up to twice the wanted rate: that is no reason to change.
    fn upper_band(&self) -> f64 {
        match self.config.rounding(self.rounding) {
            Rounding::PowersOfTwo => 2.0 * BAND,
            // Below 1, and nearly so just above, integers are as coarse.
            Rounding::Integers if self.difficulty < 4.0 => 2.0 * BAND,
            Rounding::Integers | Rounding::Exact => BAND,
        }
    }

    fn seconds(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.since).as_secs_f64()
    }

    fn change(&mut self, ratio: f64, now: Instant) -> Option<f64> {
        if self.fixed {
            return None;
        }
        let before = self.difficulty;
        let after = self.restart_at(before * ratio, now);
        (after != before).then_some(after)
    }

    fn restart_at(&mut self, difficulty: f64, now: Instant) -> f64 {
        let limits = VardiffConfig { min: self.lowest(), ..self.config.clone() };
        self.difficulty = limits.round(difficulty, self.rounding);
        self.restart(now);
        self.difficulty
    }
}

/// The least mean that a count of `n` does not exclude: Wilson and Hilferty's approximation of the chi-square limit.
fn lower(n: f64) -> f64 {
    if n < 1.0 { 0.0 } else { n * (1.0 - 1.0 / (9.0 * n) - Z / (3.0 * n.sqrt())).max(0.0).powi(3) }
}

/// The largest mean that a count of `n` does not exclude.
fn upper(n: f64) -> f64 {
    let n = n + 1.0;
    n * (1.0 - 1.0 / (9.0 * n) + Z / (3.0 * n.sqrt())).powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// A miner of `rate` difficulty-1 shares per second, followed for `seconds` from a start difficulty.
    struct Run {
        changes: Vec<f64>,
        shares_after_half: u32,
        final_difficulty: f64,
    }

    fn run(config: &VardiffConfig, start: f64, rate: f64, seconds: f64, seed: u64) -> Run {
        let mut rng = StdRng::seed_from_u64(seed);
        let begin = Instant::now();
        let at = |t: f64| begin + Duration::from_secs_f64(t);
        let mut vardiff = Vardiff::new(config.clone(), Rounding::Integers, Some(start), begin);
        let (mut t, mut changes, mut shares_after_half) = (0.0_f64, Vec::new(), 0);
        while t < seconds {
            let wait = -(1.0 - rng.random::<f64>()).ln() * vardiff.difficulty() / rate;
            let silent = vardiff.silent_at().map(|at| (at - begin).as_secs_f64());
            if let Some(silent) = silent.filter(|silent| *silent < t + wait) {
                t = silent.max(t) + 1e-6;
                if vardiff.silence(at(t)).is_some() {
                    changes.push(t);
                }
                continue;
            }
            t += wait;
            shares_after_half += u32::from(t > seconds / 2.0);
            let judged_by = vardiff.difficulty();
            if vardiff.share(judged_by, at(t)).is_some() {
                changes.push(t);
            }
        }
        Run { changes, shares_after_half, final_difficulty: vardiff.difficulty() }
    }

    #[test]
    fn a_steady_miner_is_left_alone() {
        let config = VardiffConfig::default();
        let runs: Vec<_> = (0..100).map(|seed| run(&config, 10_000.0, 3_000.0, 3600.0, seed)).collect();
        let changes: usize = runs.iter().map(|run| run.changes.len()).sum();
        assert!(changes < 150, "{changes} changes in 100 hours of a miner that needs none");
    }

    #[test]
    fn the_rate_settles_near_eighteen_a_minute_from_any_start() {
        let config = VardiffConfig::default();
        for (seed, start) in [(1, 1.0), (2, 100.0), (3, 1e4), (4, 1e6), (5, 3e7)] {
            let mut rate = 0.0;
            for round in 0..20 {
                let run = run(&config, start, 3_000.0, 3600.0, seed * 100 + round);
                rate += f64::from(run.shares_after_half) / 30.0 / 20.0;
                assert!((4_000.0..25_000.0).contains(&run.final_difficulty), "{}", run.final_difficulty);
            }
            assert!((14.0..23.0).contains(&rate), "{rate} shares a minute from {start}");
        }
    }

    #[test]
    fn a_start_a_thousand_times_too_easy_is_left_within_a_minute() {
        let config = VardiffConfig::default();
        for seed in 0..20 {
            let run = run(&config, 10.0, 3_000.0, 60.0, seed);
            assert!(run.final_difficulty > 2_500.0, "{} after a minute", run.final_difficulty);
            assert!(run.changes.len() < 12, "{} changes", run.changes.len());
        }
    }

    #[test]
    fn powers_of_two_do_not_flap() {
        let config = VardiffConfig { powers_of_two: true, ..Default::default() };
        for seed in 0..20 {
            let run = run(&config, 64.0, 3_000.0, 7200.0, seed);
            assert_eq!(run.final_difficulty.log2().fract(), 0.0);
            assert!((2048.0..=32768.0).contains(&run.final_difficulty));
            let late = run.changes.iter().filter(|t| **t > 600.0).count();
            assert!(late < 8, "{late} changes in two hours");
        }
    }

    #[test]
    fn a_difficulty_set_by_password_stays() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(VardiffConfig::default(), Rounding::Integers, None, now);
        assert_eq!(vardiff.fix(5000.7, now), 5000.0);
        for _ in 0..1000 {
            assert_eq!(vardiff.share(5000.0, now + Duration::from_millis(1)), None);
        }
        assert_eq!(vardiff.silent_at(), None);
        assert_eq!(vardiff.suggest(1.0, now), 5000.0);
    }

    #[test]
    fn a_floor_holds_and_rounding_never_undercuts_it() {
        let now = Instant::now();
        let config = VardiffConfig { powers_of_two: true, start: 64.0, ..Default::default() };
        let mut vardiff = Vardiff::new(config, Rounding::Integers, None, now);
        assert_eq!(vardiff.set_floor(100.0, now), 128.0);
        assert_eq!(vardiff.silence(now + Duration::from_secs(1000)), None);
        let mut vardiff = Vardiff::new(VardiffConfig::default(), Rounding::Integers, Some(1.0), now);
        assert_eq!(vardiff.set_floor(100.5, now), 101.0);
    }

    #[test]
    fn a_promised_least_holds_against_silence_suggestion_and_password() {
        let now = Instant::now();
        let config = VardiffConfig { start: 64.0, max: 10_000.0, ..Default::default() };
        let mut vardiff = Vardiff::new(config, Rounding::Integers, None, now);
        assert!(!vardiff.promise(10_001.0, now) && !vardiff.promise(f64::INFINITY, now));
        assert_eq!(vardiff.difficulty(), 64.0, "what cannot be kept changes nothing");
        assert!(vardiff.promise(1000.0, now));
        assert_eq!(vardiff.difficulty(), 1000.0);
        assert_eq!(vardiff.suggest(5.0, now), 1000.0);
        assert_eq!(vardiff.suggest(4000.0, now), 4000.0);
        let mut silent = now;
        while let Some(at) = vardiff.silent_at() {
            silent = at;
            vardiff.silence(silent);
        }
        assert_eq!(vardiff.difficulty(), 1000.0, "silence goes down to it and no further");
        assert_eq!(vardiff.fix(8.0, silent), 1000.0);
        assert!(vardiff.promise(2000.0, silent), "also of a difficulty that was fixed before");
        assert_eq!(vardiff.difficulty(), 2000.0);
        assert_eq!(vardiff.set_floor(10.0, silent), 2000.0, "the operator's least for its kind is another");
        assert!(vardiff.promise(10.0, silent));
        assert_eq!(vardiff.fix(20.0, silent), 20.0, "a later promise takes its place");
    }

    #[test]
    fn rounding_goes_down_but_never_below_the_operators_least() {
        let config = VardiffConfig { min: 100.0, max: 5000.0, ..Default::default() };
        assert_eq!(config.round(1234.9, Rounding::Integers), 1234.0);
        assert_eq!(config.round(1234.9, Rounding::PowersOfTwo), 1024.0);
        assert_eq!(config.round(1.0, Rounding::PowersOfTwo), 128.0);
        assert_eq!(config.round(f64::NAN, Rounding::Integers), config.start);
        assert_eq!(config.round(f64::INFINITY, Rounding::Integers), 5000.0);
        let one = VardiffConfig { min: 0.0005, max: 0.0005, ..Default::default() };
        assert_eq!(one.round(7.0, Rounding::Exact), 0.0005);
        assert_eq!(one.round(7.0, Rounding::PowersOfTwo), 0.0005);
    }
}
