//! Work by time, in a small fixed form: what was done in the last five minutes, the last hour and the last day.
//!
//! Each of the three is a ring of buckets, the coarser the longer it is: five of a minute, six of ten minutes, twelve of two
//! hours. A window is the running bucket and the whole ones before it, so that an hour's mean is taken over 50 to 60
//! minutes, exactly as long as its buckets say; nothing is weighted or carried on, and who left five minutes ago shows
//! nothing of the last five. That takes 104 bytes, where minutes of a day took 46 KB.

use crate::view::Hashrate;
use millpond_types::{UnixMillis, Work, WorkShift};

const MINUTE_MS: u64 = 60_000;

/// The minutes of a ring's bucket; as many buckets as the ring has make up its window.
const FINE: u64 = 1;
const MIDDLE: u64 = 10;
const COARSE: u64 = 120;

/// Minutes that a clock may be set back without a loss.
const SET_BACK: u64 = 10;

/// The sums of some spans of equal length that follow one another.
#[derive(Clone, Copy, Debug)]
struct Ring<const N: usize>([f32; N]);

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self([0.0; N])
    }
}

impl<const N: usize> Ring<N> {
    fn bucket(&mut self, number: u64) -> Option<&mut f32> {
        self.0.get_mut(usize::try_from(number % N as u64).unwrap_or(0))
    }

    /// Empties the buckets after `from` up to and with `to`: their spans begin.
    fn pass(&mut self, from: u64, to: u64) {
        let passed = to.saturating_sub(from).min(N as u64);
        for back in 0..passed {
            if let Some(bucket) = self.bucket(to - back) {
                *bucket = 0.0;
            }
        }
    }

    fn add(&mut self, number: u64, work: f64) {
        if let Some(bucket) = self.bucket(number) {
            *bucket += work as f32;
        }
    }

    fn sum(&self) -> f64 {
        self.0.iter().map(|bucket| f64::from(*bucket)).sum()
    }

    /// Units a second, up to `now`, of something that began `lived` milliseconds ago.
    fn rate(&self, fresh: f64, now: UnixMillis, minutes: u64, lived: u64) -> f64 {
        let bucket = minutes * MINUTE_MS;
        let window = (N as u64 - 1) * bucket + now.0 % bucket;
        (self.sum() + fresh) / (window.clamp(1, lived) as f64 / 1_000.0)
    }
}

/// Work of the last five minutes, hour and day.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    /// The work of the running minute, which is in no ring yet.
    fresh: f64,
    /// The running minute, since 1970.
    minute: u32,
    fine: Ring<5>,
    middle: Ring<6>,
    coarse: Ring<12>,
}

fn minute_of(now: UnixMillis) -> u64 {
    now.0 / MINUTE_MS
}

impl Rates {
    pub(crate) fn add(&mut self, now: UnixMillis, work: Work) {
        self.turn(now);
        self.fresh += work.0 as f64;
    }

    /// Puts the running minute's work into the rings when it is over, and forgets what has become too old. A clock that was
    /// set back a little changes nothing until it has caught up; one that comes back from far ahead begins anew, or what is
    /// counted meanwhile would all be of one minute.
    fn turn(&mut self, now: UnixMillis) {
        let (from, to) = (u64::from(self.minute), minute_of(now));
        if from > to.saturating_add(SET_BACK) {
            *self = Self { minute: u32::try_from(to).unwrap_or(u32::MAX), ..Self::default() };
            return;
        }
        if to <= from {
            return;
        }
        self.fine.add(from / FINE, self.fresh);
        self.middle.add(from / MIDDLE, self.fresh);
        self.coarse.add(from / COARSE, self.fresh);
        self.fine.pass(from / FINE, to / FINE);
        self.middle.pass(from / MIDDLE, to / MIDDLE);
        self.coarse.pass(from / COARSE, to / COARSE);
        self.fresh = 0.0;
        // Four billion minutes are eight thousand years.
        self.minute = u32::try_from(to).unwrap_or(u32::MAX);
    }

    /// How it is now, for how long that was counted, and the hashes of a unit.
    fn seen(&self, now: UnixMillis, started: UnixMillis, shift: WorkShift) -> (Self, u64, f64) {
        let mut then = *self;
        then.turn(now);
        // Where the clock was set back behind the start nobody knows, and no window is cut short.
        let lived = if now < started { u64::MAX } else { now.since(started).max(1_000) };
        (then, lived, 2_f64.powi(i32::from(shift.0)))
    }

    /// [`Rates::hashrate`] of five minutes alone.
    pub(crate) fn five_minutes(&self, now: UnixMillis, started: UnixMillis, shift: WorkShift) -> f64 {
        let (then, lived, hashes) = self.seen(now, started, shift);
        then.fine.rate(then.fresh, now, FINE, lived) * hashes
    }

    /// Hashes a second; a pool that has not lived as long as a window counts by its life.
    pub(crate) fn hashrate(&self, now: UnixMillis, started: UnixMillis, shift: WorkShift) -> Hashrate {
        let (then, lived, hashes) = self.seen(now, started, shift);
        Hashrate {
            five_minutes: then.fine.rate(then.fresh, now, FINE, lived) * hashes,
            hour: then.middle.rate(then.fresh, now, MIDDLE, lived) * hashes,
            day: then.coarse.rate(then.fresh, now, COARSE, lived) * hashes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(29_000_000 * MINUTE_MS);

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(START.0 + seconds * 1_000)
    }

    /// Ten units a second for so long, and the rates then and there.
    fn steady(seconds: u64) -> Rates {
        let mut rates = Rates::default();
        (0..seconds).for_each(|second| rates.add(at(second), Work(10)));
        rates
    }

    #[track_caller]
    fn is(rate: f64, wanted: f64) {
        assert!((rate / wanted - 1.0).abs() < 0.01, "{rate}, not {wanted}");
    }

    #[test]
    fn a_steady_rate_is_seen_in_all_windows_at_any_moment() {
        for seconds in [61, 299, 300, 301, 3_540, 3_601, 7_199, 10_000, 86_400, 90_061] {
            let seen = steady(seconds).hashrate(at(seconds), START, WorkShift(0));
            [seen.five_minutes, seen.hour, seen.day].into_iter().for_each(|rate| is(rate, 10.0));
        }
    }

    #[test]
    fn who_left_leaves_the_windows_one_after_the_other() {
        let rates = steady(86_400);
        let seen = |later: u64| rates.hashrate(at(86_400 + later), START, WorkShift(0));
        assert!((5.0..10.0).contains(&seen(120).five_minutes), "{:?}", seen(120));
        assert_eq!(seen(301).five_minutes, 0.0);
        assert!((4.0..6.0).contains(&seen(1_800).hour), "{:?}", seen(1_800));
        assert_eq!(seen(3_601).hour, 0.0);
        assert!((4.5..5.5).contains(&seen(43_200).day), "{:?}", seen(43_200));
        assert_eq!(seen(86_401).day, 0.0);
    }

    #[test]
    fn what_came_after_a_pause_is_all_there_is() {
        let mut rates = steady(100);
        rates.add(at(1_000_000), Work(300));
        let seen = rates.hashrate(at(1_000_060), START, WorkShift(0));
        is(seen.five_minutes * (240.0 + 40.0), 300.0);
        assert_eq!(rates.coarse.sum(), 0.0, "nothing of the first minutes");
    }

    #[test]
    fn a_clock_that_is_set_back_loses_no_work() {
        let mut rates = steady(600);
        rates.add(at(300), Work(1_000));
        let seen = rates.hashrate(at(600), START, WorkShift(0));
        is(seen.hour * 600.0, 7_000.0);
    }

    #[test]
    fn a_clock_that_was_far_ahead_for_a_moment_freezes_nothing() {
        let mut rates = steady(100);
        rates.add(at(200_000), Work(1));
        (100..4_000).for_each(|second| rates.add(at(second), Work(10)));
        let seen = rates.hashrate(at(4_000), START, WorkShift(0));
        is(seen.five_minutes, 10.0);
        is(seen.hour, 10.0);
        is(rates.five_minutes(at(4_000), START, WorkShift(0)), 10.0);
    }

    #[test]
    fn a_clock_that_is_set_back_behind_the_start_shows_no_rate_that_nobody_has() {
        let mut rates = Rates::default();
        (0..300).for_each(|second| rates.add(at(second), Work(10)));
        let seen = rates.hashrate(at(300), at(500), WorkShift(0));
        assert!(seen.five_minutes <= 13.0 && seen.day <= 1.0, "{seen:?}");
    }

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Rates>(), 104);
    }
}
