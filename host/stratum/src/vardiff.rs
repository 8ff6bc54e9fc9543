//! Variable difficulty: how hard shares must be so that a miner sends them at a steady, readable rate.
//!
//! The difficulty is changed when the shares that came exclude the present one ([`crate::evidence`]), to the one that they
//! speak for: a run of luck changes nothing, a wrong start is left after a few shares, and what was learned of a miner
//! holds through changes of his difficulty. Decisions come with events: at a share, or when silence has become
//! significant; there is no sweep. Only shares that counted are told to this module, so invalid ones can never raise or
//! hold a difficulty.
//!
//! Silence says only that a miner is slower than some rate, not how slow he is. Of one who has sent nothing yet a lot is
//! possible, and a step too far down costs a second of many shares, which then measure him: two silences reach six orders
//! of magnitude. One who is known has more likely paused: the steps are smaller, and the waits grow.

pub(crate) mod carried;

use crate::evidence::{Evidence, Present};
use millpond_dialect::Rounding;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// So many shares make a miner known.
const KNOWN: f64 = 8.0;
/// Silence of a miner who is not known: the time of so many shares, by luck alone once in 90 starts,
const SILENCE: f64 = 4.5;
/// and of one who is: once in 100,000 of his shares.
const SILENCE_OF_KNOWN: f64 = 11.5;
/// How far silence after silence takes the difficulty of a miner who has sent nothing yet,
const STEPS: [f64; 2] = [1e-2, 1e-4];
/// and of one who is known; then [`LATER`].
const STEPS_OF_KNOWN: [f64; 1] = [0.125];
/// Each further silence, which has to last twice as long as the one before.
const LATER: f64 = 0.0625;

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
    evidence: Evidence,
    /// Until when the evidence has counted the time.
    counted: Instant,
    /// Since when there was neither a share nor a change.
    quiet: Instant,
    /// Silences since the last share.
    silences: u8,
    /// The miner sent enough shares, or was here before.
    known: bool,
}

impl Vardiff {
    /// Starts at a difficulty, limited by the configuration and rounded as the dialect says.
    #[must_use]
    pub fn new(config: VardiffConfig, rounding: Rounding, start: Option<f64>, now: Instant) -> Self {
        let difficulty = config.round(start.unwrap_or(config.start), rounding);
        Self {
            fixed: !config.enabled,
            difficulty,
            floor: 0.0,
            promised: 0.0,
            rounding,
            evidence: Evidence::default(),
            counted: now,
            quiet: now,
            silences: 0,
            known: false,
            config,
        }
    }

    /// The miner turned out to speak another dialect.
    pub fn set_rounding(&mut self, rounding: Rounding, now: Instant) -> f64 {
        self.rounding = rounding;
        self.go_to(self.difficulty, now)
    }

    /// The difficulty now.
    #[must_use]
    pub fn difficulty(&self) -> f64 {
        self.difficulty
    }

    /// The session's own difficulty from now on, as the miner set it by password: no changes follow.
    pub fn fix(&mut self, difficulty: f64, now: Instant) -> f64 {
        self.fixed = true;
        self.go_to(difficulty, now)
    }

    /// A miner's wish: taken at once, and vardiff goes on from there with what it sees from now on.
    pub fn suggest(&mut self, difficulty: f64, now: Instant) -> f64 {
        if self.fixed && self.config.enabled {
            return self.difficulty;
        }
        self.evidence = Evidence::default();
        (self.known, self.silences) = (false, 0);
        self.go_to(difficulty, now)
    }

    /// Where the miner's last session ended: he is known.
    pub fn remember(&mut self, difficulty: f64, now: Instant) -> f64 {
        self.suggest(difficulty, now);
        self.known = true;
        self.difficulty
    }

    /// Never goes below this again, whatever the miner suggests, sets by password or is too slow for; a later promise
    /// takes its place. False where the limits of the port do not allow it: then nothing changes.
    pub fn promise(&mut self, least: f64, now: Instant) -> bool {
        if !least.is_finite() || least > self.config.max {
            return false;
        }
        self.promised = least;
        self.go_to(self.difficulty, now);
        true
    }

    /// Never goes below this again.
    pub fn set_floor(&mut self, floor: f64, now: Instant) -> f64 {
        self.floor = if floor.is_finite() { floor } else { 0.0 };
        self.go_to(self.difficulty, now)
    }

    /// The time until now does not count: at the first job, and when there was no job to work on.
    pub fn restart(&mut self, now: Instant) {
        (self.counted, self.quiet) = (now, now);
    }

    /// A share counted, judged by `judged_by`. Returns the new difficulty when it is time for one.
    pub fn share(&mut self, judged_by: f64, now: Instant) -> Option<f64> {
        if self.fixed {
            return None;
        }
        let weight = (judged_by / self.difficulty).clamp(0.0, 1.0);
        let better = self.evidence.share(weight, self.exposure(now), self.present());
        self.restart(now);
        self.silences = 0;
        self.known |= self.evidence.shares() >= KNOWN;
        self.change(better?, now)
    }

    /// Nothing came until now. Returns the new difficulty when that is significant.
    pub fn silence(&mut self, now: Instant) -> Option<f64> {
        if now < self.silent_at()? {
            return None;
        }
        let steps: &[f64] = if self.known { &STEPS_OF_KNOWN } else { &STEPS };
        let step = steps.get(usize::from(self.silences)).copied().unwrap_or(LATER);
        self.silences = self.silences.saturating_add(1);
        // What was known of the miner's hashrate does not hold any more.
        self.evidence = Evidence::default();
        self.change(self.difficulty * step, now)
    }

    /// When silence becomes significant, for the connection's timer; `None` when it never does.
    #[must_use]
    pub fn silent_at(&self) -> Option<Instant> {
        if self.fixed || self.difficulty <= self.lowest() {
            return None;
        }
        let (shares, steps) =
            if self.known { (SILENCE_OF_KNOWN, STEPS_OF_KNOWN.len()) } else { (SILENCE, STEPS.len()) };
        let longer = i32::from(self.silences).saturating_sub(steps as i32 - 1).clamp(0, 16);
        let seconds = shares * 2_f64.powi(longer) / self.config.rate();
        self.quiet.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// What the miner was promised and what is asked of his kind are limits like the operator's, but never above the
    /// operator's most.
    fn lowest(&self) -> f64 {
        self.config.min.max(self.floor).max(self.promised).min(self.config.max)
    }

    /// The difficulties that are sent as the present one.
    fn present(&self) -> Present {
        let next = match self.config.rounding(self.rounding) {
            Rounding::Exact => self.difficulty,
            Rounding::Integers if self.difficulty >= 1.0 => self.difficulty + 1.0,
            Rounding::Integers | Rounding::PowersOfTwo => self.difficulty * 2.0,
        };
        Present {
            from: if self.difficulty <= self.lowest() { 0.0 } else { self.difficulty },
            to: if self.difficulty >= self.config.max { f64::INFINITY } else { next },
            difficulty: self.difficulty,
        }
    }

    /// What passed since it was last counted, as [`Evidence`] wants it.
    fn exposure(&self, now: Instant) -> f64 {
        self.config.rate() * now.saturating_duration_since(self.counted).as_secs_f64() / self.difficulty
    }

    fn change(&mut self, difficulty: f64, now: Instant) -> Option<f64> {
        let before = self.difficulty;
        let after = self.go_to(difficulty, now);
        (after != before).then_some(after)
    }

    fn go_to(&mut self, difficulty: f64, now: Instant) -> f64 {
        self.evidence.wait(self.exposure(now));
        let limits = VardiffConfig { min: self.lowest(), ..self.config.clone() };
        self.difficulty = limits.round(difficulty, self.rounding);
        self.restart(now);
        self.difficulty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
