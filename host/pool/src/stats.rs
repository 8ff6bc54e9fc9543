//! What the pool counts for people to look at: shares, rejects and hash rates. Nothing here decides money.
//!
//! A worker is counted in a tally of its own, which its login holds on to; the pool's sums are spread over some locks by the
//! miner's number. So two shares at once meet at a lock hardly ever, and a miner is added up when somebody looks at him.

use crate::rates::Rates;
use crate::view::{Hashrate, ShareCounts};
use millpond_types::{MinerId, UnixMillis, Work, WorkShift};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Locks that the pool's sums are spread over.
const SUMS: usize = 16;
/// Workers shown per miner; the work of further ones counts for the miner only, so that names cannot fill memory.
const WORKERS_PER_MINER: usize = 1_000;
/// A worker unseen for this long is forgotten.
const FORGET_MS: u64 = 86_400_000;

#[derive(Clone, Debug, Default)]
struct Counted {
    work: Rates,
    shares: ShareCounts,
    last: UnixMillis,
}

/// What is counted of one worker, or of those of a miner that are not shown.
#[derive(Debug)]
pub struct Tally {
    miner: MinerId,
    name: Arc<str>,
    /// A worker's, and not that of the others of a miner.
    own: bool,
    /// Beside it whether it is listed: one that was forgotten has to be listed again.
    counted: Mutex<(Counted, bool)>,
}

/// A worker's own tally. Only such a one may be held on to: a worker that there was no room for is looked up with each of
/// his shares, since there may be room by now.
#[derive(Clone, Debug)]
pub(crate) struct Own(Arc<Tally>);

impl Own {
    /// Where its shares are counted.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.0
    }
}

#[derive(Debug)]
struct Miner {
    workers: HashMap<Arc<str>, Arc<Tally>>,
    /// Those beyond the limit, and what forgotten ones had counted.
    rest: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Miners {
    all: HashMap<MinerId, Miner>,
    last_sweep: UnixMillis,
}

/// On a line of the processor's cache of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Sum(Mutex<Counted>);

/// The counters of one pool.
#[derive(Debug)]
pub struct Stats {
    shift: WorkShift,
    started: UnixMillis,
    sums: [Sum; SUMS],
    miners: Mutex<Miners>,
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

impl Counted {
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
}

/// Adds up what several have: rates over the same windows are sums, too.
#[derive(Default)]
struct Total(Hashrate, ShareCounts);

impl Total {
    fn add(&mut self, counted: &Counted, now: UnixMillis, stats: &Stats) {
        let (Self(rate, shares), more) = (self, counted.work.hashrate(now, stats.started, stats.shift));
        rate.five_minutes += more.five_minutes;
        rate.hour += more.hour;
        rate.day += more.day;
        shares.add(&counted.shares);
    }
}

impl ShareCounts {
    fn add(&mut self, more: &Self) {
        self.accepted += more.accepted;
        self.stale += more.stale;
        self.duplicate += more.duplicate;
        self.low_difficulty += more.low_difficulty;
        self.invalid += more.invalid;
    }
}

impl Tally {
    fn new(miner: MinerId, name: &str, own: bool) -> Arc<Self> {
        Arc::new(Self { miner, name: Arc::from(name), own, counted: Mutex::new((Counted::default(), true)) })
    }

    /// For a login to hold on to, if it is of one worker.
    pub(crate) fn own(self: &Arc<Self>) -> Option<Own> {
        self.own.then(|| Own(Arc::clone(self)))
    }

    /// Whose worker it is.
    pub(crate) fn miner(&self) -> MinerId {
        self.miner
    }

    /// Counts a share, if it is listed.
    fn count(&self, count: Count, work: Work, now: UnixMillis) -> bool {
        let mut counted = self.counted.lock();
        if counted.1 {
            counted.0.count(count, work, now);
        }
        counted.1
    }
}

impl Miner {
    fn new(id: MinerId) -> Self {
        Self { workers: HashMap::new(), rest: Tally::new(id, "", false) }
    }

    fn tallies(&self) -> impl Iterator<Item = &Arc<Tally>> {
        self.workers.values().chain([&self.rest])
    }

    fn enter(&mut self, worker: &str, now: UnixMillis, tally: impl FnOnce() -> Arc<Tally>) -> Arc<Tally> {
        if let Some(tally) = self.workers.get(worker) {
            return Arc::clone(tally);
        }
        if self.workers.len() >= WORKERS_PER_MINER {
            return Arc::clone(&self.rest);
        }
        let tally = tally();
        {
            let mut counted = tally.counted.lock();
            // It was seen now, and not on the day on which time began.
            (counted.0.last, counted.1) = (now, true);
        }
        self.workers.insert(Arc::clone(&tally.name), Arc::clone(&tally));
        tally
    }

    /// Forgets workers that were not seen for a day, but for how many shares they had. Whether anything is left of him.
    fn forget(&mut self, now: UnixMillis) -> bool {
        let rest = &self.rest;
        self.workers.retain(|_, tally| {
            let mut counted = tally.counted.lock();
            counted.1 = now.since(counted.0.last) < FORGET_MS;
            if !counted.1 {
                rest.counted.lock().0.shares.add(&std::mem::take(&mut counted.0.shares));
            }
            counted.1
        });
        let mut rest = rest.counted.lock();
        rest.1 = !self.workers.is_empty() || now.since(rest.0.last) < FORGET_MS;
        rest.1
    }
}

impl Miners {
    /// A worker's tally, entered if it is new: within the limit one of its own.
    fn enter(&mut self, miner: MinerId, worker: &str, now: UnixMillis) -> Arc<Tally> {
        let entry = self.all.entry(miner).or_insert_with(|| Miner::new(miner));
        entry.enter(worker, now, || Tally::new(miner, worker, true))
    }

    /// One that was forgotten while its login held on to it: it is listed again, if nobody took its name meanwhile.
    fn enter_again(&mut self, tally: &Arc<Tally>, now: UnixMillis) -> Arc<Tally> {
        let entry = self.all.entry(tally.miner).or_insert_with(|| Miner::new(tally.miner));
        entry.enter(&tally.name, now, || Arc::clone(tally))
    }
}

impl Stats {
    /// Counters that start now.
    #[must_use]
    pub fn new(shift: WorkShift, now: UnixMillis) -> Self {
        Self { shift, started: now, sums: Default::default(), miners: Mutex::default() }
    }

    fn sum(&self, miner: MinerId) -> &Mutex<Counted> {
        let [first, ..] = &self.sums;
        &self.sums.get(miner.0 as usize % SUMS).unwrap_or(first).0
    }

    /// Where a worker is counted, for whoever holds on to it. A worker enters with his first accepted share, so that names
    /// alone cost nothing.
    pub fn tally(&self, miner: MinerId, worker: &str, now: UnixMillis) -> Arc<Tally> {
        self.miners.lock().enter(miner, worker, now)
    }

    /// Forgets who was not seen for a day, once an hour: called every now and then, whether anybody comes or not.
    pub(crate) fn sweep(&self, now: UnixMillis) {
        let mut miners = self.miners.lock();
        if now < miners.last_sweep {
            // The clock was ahead then.
            miners.last_sweep = now;
        } else if now.since(miners.last_sweep) > FORGET_MS / 24 {
            miners.last_sweep = now;
            miners.all.retain(|_, miner| miner.forget(now));
        }
    }

    /// Counts a share that is credited.
    pub fn accepted(&self, tally: &Arc<Tally>, work: Work, now: UnixMillis) {
        self.sum(tally.miner).lock().count(Count::Accepted, work, now);
        if !tally.count(Count::Accepted, work, now) {
            let listed = self.miners.lock().enter_again(tally, now);
            listed.count(Count::Accepted, work, now);
        }
    }

    /// Counts a share that is not: for its worker, where there is one who ever had a share accepted.
    pub(crate) fn refused(&self, tally: Option<&Tally>, why: Count) {
        self.sum(tally.map_or(MinerId(0), Tally::miner)).lock().count(why, Work(0), UnixMillis(0));
        if let Some(tally) = tally {
            tally.count(why, Work(0), UnixMillis(0));
        }
    }

    /// The tally of a worker by name, or that of the others of a miner who is known; nobody enters by it.
    pub(crate) fn known(&self, miner: MinerId, worker: &str) -> Option<Arc<Tally>> {
        let miners = self.miners.lock();
        let miner = miners.all.get(&miner)?;
        Some(Arc::clone(miner.workers.get(worker).unwrap_or(&miner.rest)))
    }

    /// The whole pool's rate and counts.
    #[must_use]
    pub fn pool(&self, now: UnixMillis) -> (Hashrate, ShareCounts) {
        let mut total = Total::default();
        self.sums.iter().for_each(|sum| total.add(&sum.0.lock(), now, self));
        (total.0, total.1)
    }

    /// The miners of the last day by their rate of five minutes, best first, without the first `skip`.
    #[must_use]
    pub fn best(&self, now: UnixMillis, skip: usize, limit: usize) -> Vec<(MinerId, Hashrate, ShareCounts)> {
        // Only who there is is asked under the lock: a first share waits for it, and a page must not hold that up.
        let tallies: Vec<(MinerId, Vec<Arc<Tally>>)> = {
            let miners = self.miners.lock();
            miners.all.iter().map(|(id, miner)| (*id, miner.tallies().cloned().collect())).collect()
        };
        let rank = |(id, tallies): (MinerId, Vec<Arc<Tally>>)| {
            let (mut rate, mut late) = (0.0, false);
            for tally in &tallies {
                let counted = tally.counted.lock();
                rate += counted.0.work.five_minutes(now, self.started, self.shift);
                late |= now.since(counted.0.last) < FORGET_MS;
            }
            late.then_some((rate, id, tallies))
        };
        let mut ranks: Vec<_> = tallies.into_iter().filter_map(rank).collect();
        ranks.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let wanted = ranks.into_iter().skip(skip).take(limit);
        wanted
            .map(|(_, id, tallies)| {
                let (rate, shares) = self.seen(tallies.iter(), now);
                (id, rate, shares)
            })
            .collect()
    }

    /// What several tallies are together.
    fn seen<'a>(
        &self,
        tallies: impl Iterator<Item = &'a Arc<Tally>>,
        now: UnixMillis,
    ) -> (Hashrate, ShareCounts) {
        let mut total = Total::default();
        tallies.for_each(|tally| total.add(&tally.counted.lock().0, now, self));
        (total.0, total.1)
    }

    /// One miner's rate and counts, if he was seen in the last day.
    #[must_use]
    pub fn miner(&self, miner: MinerId, now: UnixMillis) -> Option<(Hashrate, ShareCounts)> {
        let tallies: Vec<_> = self.miners.lock().all.get(&miner)?.tallies().cloned().collect();
        Some(self.seen(tallies.iter(), now))
    }

    /// A miner's workers: name, rate, counts, last accepted share.
    #[must_use]
    pub fn workers(
        &self,
        miner: MinerId,
        now: UnixMillis,
    ) -> Vec<(Arc<str>, Hashrate, ShareCounts, UnixMillis)> {
        let workers: Vec<Arc<Tally>> = match self.miners.lock().all.get(&miner) {
            Some(miner) => miner.workers.values().cloned().collect(),
            None => return Vec::new(),
        };
        let mut all: Vec<_> = workers
            .iter()
            .map(|tally| {
                let counted = tally.counted.lock().0.clone();
                let rate = counted.work.hashrate(now, self.started, self.shift);
                (Arc::clone(&tally.name), rate, counted.shares, counted.last)
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(60_000_000);

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(START.0 + seconds * 1_000)
    }

    #[test]
    fn a_steady_miner_shows_his_rate() {
        let stats = Stats::new(WorkShift(4), START);
        for second in 0..3_600 {
            stats.accepted(&stats.tally(MinerId(1), "rig", at(second)), Work(100), at(second));
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
            stats.accepted(&stats.tally(MinerId(1), "rig", at(second)), Work(50), at(second));
        }
        let (rate, _) = stats.pool(at(10));
        assert!((rate.hour - 50.0).abs() < 1.0, "{rate:?}");
    }

    #[test]
    fn names_without_work_take_no_memory() {
        let stats = Stats::new(WorkShift(0), START);
        for name in 0..5_000 {
            stats.refused(stats.known(MinerId(name), "x").as_deref(), Count::LowDifficulty);
            stats.accepted(&stats.tally(MinerId(1), &name.to_string(), START), Work(1), START);
        }
        assert_eq!(stats.best(START, 0, 10).len(), 1);
        assert_eq!(stats.workers(MinerId(1), START).len(), WORKERS_PER_MINER);
        assert_eq!(stats.pool(START).1.accepted, 5_000);
        assert_eq!(stats.pool(START).1.low_difficulty, 5_000);
    }

    #[test]
    fn who_left_is_forgotten_after_a_day() {
        let stats = Stats::new(WorkShift(0), START);
        stats.accepted(&stats.tally(MinerId(1), "x", START), Work(1), START);
        stats.accepted(&stats.tally(MinerId(2), "x", at(90_000)), Work(1), at(90_000));
        assert_eq!(stats.best(at(90_000), 0, 10).len(), 1);
    }

    #[test]
    fn a_miner_is_the_sum_of_his_workers_and_the_pool_that_of_its_miners() {
        let stats = Stats::new(WorkShift(0), START);
        for miner in 1..=20 {
            for worker in ["a", "b"] {
                let tally = stats.tally(MinerId(miner), worker, START);
                (0..60).for_each(|second| stats.accepted(&tally, Work(10), at(second)));
                stats.refused(Some(&tally), Count::Stale);
            }
        }
        let (rate, counts) = stats.miner(MinerId(7), at(60)).unwrap();
        assert!((rate.five_minutes / 20.0 - 1.0).abs() < 0.01, "{rate:?}");
        assert_eq!((counts.accepted, counts.stale), (120, 2));
        let (rate, counts) = stats.pool(at(60));
        assert!((rate.day / 400.0 - 1.0).abs() < 0.01, "{rate:?}");
        assert_eq!((counts.accepted, counts.stale), (2_400, 40));
        assert_eq!(stats.best(at(60), 5, 10).len(), 10);
    }

    #[test]
    fn a_worker_that_was_forgotten_and_comes_back_is_listed_again_and_no_count_is_lost() {
        let stats = Stats::new(WorkShift(0), START);
        let (old, busy) = (stats.tally(MinerId(1), "old", START), stats.tally(MinerId(1), "busy", START));
        stats.accepted(&old, Work(1), START);
        stats.accepted(&busy, Work(1), at(90_000));
        stats.sweep(at(90_000));
        let names =
            |now| stats.workers(MinerId(1), now).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
        assert_eq!(names(at(90_000)), ["busy".into()]);
        assert_eq!(stats.miner(MinerId(1), at(90_000)).unwrap().1.accepted, 2);
        stats.accepted(&old, Work(1), at(90_001));
        assert_eq!(names(at(90_001)), ["busy".into(), "old".into()]);
        assert_eq!(stats.miner(MinerId(1), at(90_001)).unwrap().1.accepted, 3);
    }

    #[test]
    fn who_left_is_forgotten_though_nobody_comes() {
        let stats = Stats::new(WorkShift(0), START);
        let stays = stats.tally(MinerId(1), "stays", START);
        stats.accepted(&stats.tally(MinerId(1), "left", START), Work(1), START);
        stats.accepted(&stats.tally(MinerId(2), "left", START), Work(1), START);
        stats.accepted(&stays, Work(1), at(90_000));
        stats.sweep(at(90_000));
        let names: Vec<_> =
            stats.workers(MinerId(1), at(90_000)).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["stays".into()]);
        assert!(stats.miner(MinerId(2), at(90_000)).is_none());
    }

    #[test]
    fn a_worker_for_whom_there_was_no_room_has_a_tally_of_his_own_once_there_is() {
        let stats = Stats::new(WorkShift(0), START);
        for name in 0..WORKERS_PER_MINER {
            stats.accepted(&stats.tally(MinerId(1), &name.to_string(), START), Work(1), START);
        }
        let late = stats.tally(MinerId(1), "late", at(90_000));
        assert!(late.own().is_none(), "nobody may hold on to it");
        stats.accepted(&late, Work(1), at(90_000));
        stats.sweep(at(90_000));
        let late = stats.tally(MinerId(1), "late", at(90_001));
        assert!(late.own().is_some());
        stats.accepted(&late, Work(1), at(90_001));
        let shown = stats.workers(MinerId(1), at(90_001));
        assert_eq!((shown.len(), &*shown[0].0, shown[0].2.accepted), (1, "late", 1));
    }

    #[test]
    fn whoever_looks_at_the_best_holds_up_nobody_who_comes() {
        let stats = Arc::new(Stats::new(WorkShift(0), START));
        let tally = stats.tally(MinerId(1), "rig", START);
        stats.accepted(&tally, Work(1), START);
        // His tally cannot be read now: whoever looks waits for it.
        let counted = tally.counted.lock();
        let held = Arc::strong_count(&tally);
        let looks = {
            let stats = Arc::clone(&stats);
            std::thread::spawn(move || stats.best(START, 0, 10).len())
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while Arc::strong_count(&tally) == held {
            assert!(
                std::time::Instant::now() < deadline,
                "it waits with the lock of all miners in its hands"
            );
            std::thread::yield_now();
        }
        let wait = std::time::Duration::from_secs(60);
        assert!(stats.miners.try_lock_for(wait).is_some(), "who comes waits for who looks");
        drop(counted);
        assert_eq!(looks.join().unwrap(), 1);
    }

    #[test]
    fn a_worker_takes_a_fixed_and_small_piece_of_memory() {
        assert!(size_of::<Tally>() <= 200, "{}", size_of::<Tally>());
    }
}
