//! What the pool counts for people to look at: shares, rejects and hash rates. Nothing here decides money.

use crate::view::{Hashrate, ShareCounts};
use millpond_types::{MinerId, UnixMillis, Work, WorkShift};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// One bucket of work is a minute long.
const BUCKET_MS: u64 = 60_000;
/// Buckets kept: a day.
const BUCKETS: usize = 1_440;
/// Workers shown per miner; the work of further ones counts for the miner only, so that names cannot fill memory.
const WORKERS_PER_MINER: usize = 1_000;
/// A worker unseen for this long is forgotten.
const FORGET_MS: u64 = 86_400_000;

/// Work in minutes.
#[derive(Clone, Debug, Default)]
struct Minutes {
    /// (minute since 1970, units of work), ascending.
    buckets: VecDeque<(u64, u128)>,
}

impl Minutes {
    fn add(&mut self, now: UnixMillis, work: Work) {
        let minute = now.0 / BUCKET_MS;
        match self.buckets.back_mut() {
            Some((last, sum)) if *last >= minute => *sum = sum.saturating_add(u128::from(work.0)),
            _ => {
                self.buckets.push_back((minute, u128::from(work.0)));
                if self.buckets.len() > BUCKETS {
                    self.buckets.pop_front();
                }
            }
        }
    }

    fn since(&self, from_minute: u64) -> u128 {
        self.buckets.iter().rev().take_while(|(minute, _)| *minute >= from_minute).map(|(_, sum)| sum).sum()
    }

    /// Hashes a second over the last `minutes`; the running minute counts by its elapsed part.
    fn rate(&self, now: UnixMillis, minutes: u64, started: UnixMillis, shift: WorkShift) -> f64 {
        let minute = now.0 / BUCKET_MS;
        let sum = self.since(minute.saturating_sub(minutes.saturating_sub(1)));
        let window = (minutes.saturating_sub(1) * BUCKET_MS).saturating_add(now.0 % BUCKET_MS).max(1);
        let lived = now.since(started).max(1_000);
        sum as f64 * 2_f64.powi(i32::from(shift.0)) / (window.min(lived) as f64 / 1_000.0)
    }
}

#[derive(Clone, Debug, Default)]
struct Worker {
    work: Minutes,
    shares: ShareCounts,
    last: UnixMillis,
}

#[derive(Clone, Debug, Default)]
struct Miner {
    all: Worker,
    workers: HashMap<Arc<str>, Worker>,
}

#[derive(Debug, Default)]
struct Inner {
    pool: Worker,
    miners: HashMap<MinerId, Miner>,
    last_sweep: UnixMillis,
}

/// The counters of one pool.
#[derive(Debug)]
pub struct Stats {
    shift: WorkShift,
    started: UnixMillis,
    inner: Mutex<Inner>,
}

/// What a share came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Credited.
    Accepted,
    /// A job of an older tip, or one that is unknown.
    Stale,
    /// Counted before.
    Duplicate,
    /// Above its target.
    LowDifficulty,
    /// Anything else that was refused.
    Invalid,
}

impl Worker {
    fn count(&mut self, count: Count, work: Work, now: UnixMillis) {
        let shares = &mut self.shares;
        match count {
            Count::Accepted => {
                shares.accepted += 1;
                self.work.add(now, work);
                self.last = now;
            }
            Count::Stale => shares.stale += 1,
            Count::Duplicate => shares.duplicate += 1,
            Count::LowDifficulty => shares.low_difficulty += 1,
            Count::Invalid => shares.invalid += 1,
        }
    }

    fn hashrate(&self, now: UnixMillis, started: UnixMillis, shift: WorkShift) -> Hashrate {
        Hashrate {
            five_minutes: self.work.rate(now, 5, started, shift),
            hour: self.work.rate(now, 60, started, shift),
            day: self.work.rate(now, 1_440, started, shift),
        }
    }
}

impl Miner {
    fn seen(&self, now: UnixMillis, stats: &Stats) -> (Hashrate, ShareCounts) {
        (self.all.hashrate(now, stats.started, stats.shift), self.all.shares.clone())
    }
}

impl Stats {
    /// Counters that start now.
    #[must_use]
    pub fn new(shift: WorkShift, now: UnixMillis) -> Self {
        Self { shift, started: now, inner: Mutex::default() }
    }

    /// Counts one share. `work` matters for accepted ones only.
    pub fn count(&self, miner: Option<MinerId>, worker: &str, count: Count, work: Work, now: UnixMillis) {
        let mut inner = self.inner.lock();
        inner.pool.count(count, work, now);
        let Some(miner) = miner else { return };
        // A miner enters with his first accepted share, so that names alone cost nothing.
        if count != Count::Accepted && !inner.miners.contains_key(&miner) {
            return;
        }
        let entry = inner.miners.entry(miner).or_default();
        entry.all.count(count, work, now);
        if let Some(known) = entry.workers.get_mut(worker) {
            known.count(count, work, now);
        } else if count == Count::Accepted && entry.workers.len() < WORKERS_PER_MINER {
            entry.workers.entry(Arc::from(worker)).or_default().count(count, work, now);
        }
        if now.since(inner.last_sweep) > FORGET_MS / 24 {
            inner.last_sweep = now;
            for miner in inner.miners.values_mut() {
                miner.workers.retain(|_, worker| now.since(worker.last) < FORGET_MS);
            }
            inner.miners.retain(|_, miner| now.since(miner.all.last) < FORGET_MS);
        }
    }

    /// The whole pool's rate and counts.
    #[must_use]
    pub fn pool(&self, now: UnixMillis) -> (Hashrate, ShareCounts) {
        let inner = self.inner.lock();
        (inner.pool.hashrate(now, self.started, self.shift), inner.pool.shares.clone())
    }

    /// The miners of the last day by their rate of five minutes, best first, without the first `skip`.
    #[must_use]
    pub fn best(&self, now: UnixMillis, skip: usize, limit: usize) -> Vec<(MinerId, Hashrate, ShareCounts)> {
        let inner = self.inner.lock();
        let rate = |miner: &Miner| miner.all.work.rate(now, 5, self.started, self.shift);
        let mut ranks: Vec<_> = inner.miners.iter().map(|(id, miner)| (rate(miner), *id)).collect();
        ranks.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let wanted = ranks.into_iter().skip(skip).take(limit);
        let seen = |id: MinerId| {
            let (rate, shares) = inner.miners.get(&id)?.seen(now, self);
            Some((id, rate, shares))
        };
        wanted.filter_map(|(_, id)| seen(id)).collect()
    }

    /// One miner's rate and counts, if he was seen in the last day.
    #[must_use]
    pub fn miner(&self, miner: MinerId, now: UnixMillis) -> Option<(Hashrate, ShareCounts)> {
        Some(self.inner.lock().miners.get(&miner)?.seen(now, self))
    }

    /// A miner's workers: name, rate, counts, last accepted share.
    #[must_use]
    pub fn workers(
        &self,
        miner: MinerId,
        now: UnixMillis,
    ) -> Vec<(Arc<str>, Hashrate, ShareCounts, UnixMillis)> {
        let inner = self.inner.lock();
        let Some(miner) = inner.miners.get(&miner) else { return Vec::new() };
        let mut all: Vec<_> = miner
            .workers
            .iter()
            .map(|(name, worker)| {
                let rate = worker.hashrate(now, self.started, self.shift);
                (Arc::clone(name), rate, worker.shares.clone(), worker.last)
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_000 * BUCKET_MS);

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(START.0 + seconds * 1_000)
    }

    #[test]
    fn a_steady_miner_shows_his_rate() {
        let stats = Stats::new(WorkShift(4), START);
        for second in 0..3_600 {
            stats.count(Some(MinerId(1)), "rig", Count::Accepted, Work(100), at(second));
        }
        let (_, rate, counts, _) = stats.workers(MinerId(1), at(3_600))[0].clone();
        assert!((rate.five_minutes / 1_600.0 - 1.0).abs() < 0.01, "{rate:?}");
        assert!((rate.hour / 1_600.0 - 1.0).abs() < 0.02, "{rate:?}");
        assert_eq!(counts.accepted, 3_600);
    }

    #[test]
    fn the_first_minutes_are_not_divided_by_an_hour() {
        let stats = Stats::new(WorkShift(0), START);
        for second in 0..10 {
            stats.count(Some(MinerId(1)), "rig", Count::Accepted, Work(50), at(second));
        }
        let (rate, _) = stats.pool(at(10));
        assert!((rate.hour - 50.0).abs() < 1.0, "{rate:?}");
    }

    #[test]
    fn names_without_work_take_no_memory() {
        let stats = Stats::new(WorkShift(0), START);
        for name in 0..5_000 {
            stats.count(Some(MinerId(name)), "x", Count::LowDifficulty, Work(0), START);
            stats.count(Some(MinerId(1)), &name.to_string(), Count::Accepted, Work(1), START);
        }
        assert_eq!(stats.best(START, 0, 10).len(), 1);
        assert_eq!(stats.workers(MinerId(1), START).len(), WORKERS_PER_MINER);
        assert_eq!(stats.pool(START).1.accepted, 5_000);
        assert_eq!(stats.pool(START).1.low_difficulty, 5_000);
    }

    #[test]
    fn who_left_is_forgotten_after_a_day() {
        let stats = Stats::new(WorkShift(0), START);
        stats.count(Some(MinerId(1)), "x", Count::Accepted, Work(1), START);
        stats.count(Some(MinerId(2)), "x", Count::Accepted, Work(1), at(90_000));
        assert_eq!(stats.best(at(90_000), 0, 10).len(), 1);
    }
}
