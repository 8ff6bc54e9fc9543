//! Which jobs live.
//!
//! A job is published, is current until the next, is *stale* from the tip that leaves its parent behind, earns nothing
//! from its expiry on, and is forgotten [`HELD_MS`] later or when the table is full: a solution of a job that expired is
//! still a block. Stale, expired and forgotten ids are told apart from ids that were never issued: the first are a slow
//! miner, the last a broken or lying one.

use crate::Job;
use arc_swap::ArcSwap;
use millpond_types::{JobId, UnixMillis};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The fewest jobs that a table keeps: miners work on more than one, and the slow on old ones.
pub const MIN_CAPACITY: usize = 16;
/// The jobs a table keeps unless told otherwise: ten minutes of one job every ten seconds.
pub const DEFAULT_CAPACITY: usize = 64;
/// An expired job is held for this long, so that its solutions can be judged and submitted: ckpool keeps jobs for ten
/// minutes.
pub const HELD_MS: u64 = 600_000;

/// What an id stands for.
#[derive(Clone, Debug)]
pub enum Found {
    /// A job on the current parent.
    Live(Arc<Job>),
    /// A job whose parent is no longer the tip. It earns nothing, but a solution of it is still submitted.
    Stale(Arc<Job>),
    /// A job whose time is over and that is still held. It earns nothing, but a solution of it is still submitted.
    Expired(Arc<Job>),
    /// Issued once and forgotten since: answered as stale.
    Forgotten,
    /// Never issued.
    Unknown,
}

/// Why a job was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Ids ascend; one that does not would let an old share count for a new job.
    #[error("job {given} is not above {last}, the last that was published")]
    Order {
        /// The job's id.
        given: JobId,
        /// The last id published.
        last: JobId,
    },
    /// A job that is over before it began.
    #[error("job {0} expires before it is published")]
    Expired(JobId),
}

/// What a session learns of a new job.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The new job.
    pub job: Arc<Job>,
    /// Whether work on earlier jobs is worth nothing now.
    pub clean: bool,
}

#[derive(Clone, Debug)]
struct Current {
    job: Arc<Job>,
    /// Counts the tips; a change is what miners know as "clean".
    tip: u64,
}

#[derive(Default)]
struct Inner {
    jobs: BTreeMap<JobId, (Arc<Job>, bool)>,
    last: Option<JobId>,
    tips: u64,
    parent: Option<bytes::Bytes>,
}

/// The table as shares see it: made anew with each change, and read without a lock.
#[derive(Default)]
struct Shown {
    /// Ascending, with whether each is stale.
    jobs: Vec<(Arc<Job>, bool)>,
    last: Option<JobId>,
}

/// The jobs of one pool. Read from many tasks, with every share; changed by the chain's task alone.
pub struct JobTable {
    inner: Mutex<Inner>,
    shown: ArcSwap<Shown>,
    current: watch::Sender<Option<Current>>,
    capacity: usize,
}

impl Default for JobTable {
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

impl JobTable {
    /// An empty table for so many jobs, at least [`MIN_CAPACITY`].
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::default(),
            shown: ArcSwap::default(),
            current: watch::Sender::new(None),
            capacity: capacity.max(MIN_CAPACITY),
        }
    }

    /// Says which id was the last before this process started, so that it and those below count as forgotten and
    /// not as unknown.
    pub fn resume_after(&self, last: JobId) {
        let mut inner = self.inner.lock();
        inner.last = inner.last.max(Some(last));
        self.show(&inner);
    }

    /// Shows what changed, under the lock, so that changes are seen in their order.
    fn show(&self, inner: &Inner) {
        let jobs = inner.jobs.values().map(|(job, stale)| (Arc::clone(job), *stale)).collect();
        self.shown.store(Arc::new(Shown { jobs, last: inner.last }));
    }

    /// Takes over jobs of the process before, each with whether it is stale, oldest first: work on them goes on counting,
    /// and none of them is current.
    pub fn take_over(&self, jobs: impl IntoIterator<Item = (Job, bool)>) {
        let mut inner = self.inner.lock();
        for (job, stale) in jobs {
            if !stale {
                inner.parent = Some(job.parent.clone());
            }
            inner.last = inner.last.max(Some(job.id));
            inner.jobs.insert(job.id, (Arc::new(job), stale));
        }
        while inner.jobs.len() > self.capacity {
            inner.jobs.pop_first();
        }
        self.show(&inner);
    }

    /// Publishes a job: it is current from now on. A parent that differs from the current one makes all earlier jobs
    /// stale, as [`JobTable::tip`] does. Wakes every feed.
    ///
    /// # Errors
    /// When the id does not ascend, or the job has expired already.
    pub fn publish(&self, job: Job) -> Result<Arc<Job>, PublishError> {
        if job.expires_at <= job.published_at {
            return Err(PublishError::Expired(job.id));
        }
        let mut inner = self.inner.lock();
        if let Some(last) = inner.last.filter(|last| job.id <= *last) {
            return Err(PublishError::Order { given: job.id, last });
        }
        let job = Arc::new(job);
        inner.last = Some(job.id);
        inner.turn(&job.parent);
        inner.jobs.insert(job.id, (Arc::clone(&job), false));
        while inner.jobs.len() > self.capacity {
            inner.jobs.pop_first();
        }
        let tip = inner.tips;
        self.show(&inner);
        // Under the lock, so that two publications reach the feeds in their order.
        self.current.send_replace(Some(Current { job: Arc::clone(&job), tip }));
        drop(inner);
        Ok(job)
    }

    /// A new tip of the chain: jobs with another parent are stale from now on. The current job stays current, as
    /// miners have nothing better until the next is published. True when something became stale.
    pub fn tip(&self, parent: &[u8]) -> bool {
        let mut inner = self.inner.lock();
        let changed = inner.turn(parent);
        self.show(&inner);
        changed
    }

    /// Takes the live jobs back, since blocks of them would be worth nothing: their credit is suspended, no session gets
    /// them any more, and the next job is clean. A solution of them is still submitted. The jobs that were suspended by
    /// this call.
    pub fn withdraw(&self) -> Vec<Arc<Job>> {
        let mut inner = self.inner.lock();
        inner.tips = inner.tips.saturating_add(1);
        self.current.send_replace(None);
        let live = inner.jobs.values().filter(|(_, stale)| !*stale).map(|(job, _)| job);
        live.filter(|job| job.suspend()).map(Arc::clone).collect()
    }

    /// Suspends the credit of the jobs that a test names, as long as nothing resumes it. How many were not before.
    pub fn suspend(&self, mut names: impl FnMut(&Job) -> bool) -> usize {
        let shown = self.shown.load();
        shown.jobs.iter().filter(|(job, _)| names(job) && job.suspend()).count()
    }

    /// The job that new work is sent from.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Job>> {
        self.current.borrow().as_ref().map(|current| Arc::clone(&current.job))
    }

    /// What an id stands for at this time.
    #[must_use]
    pub fn lookup(&self, id: JobId, now: UnixMillis) -> Found {
        let shown = self.shown.load();
        let place = shown.jobs.binary_search_by_key(&id, |(job, _)| job.id);
        match place.ok().and_then(|place| shown.jobs.get(place)) {
            Some((job, _)) if job.expires_at <= now => Found::Expired(Arc::clone(job)),
            Some((job, true)) => Found::Stale(Arc::clone(job)),
            Some((job, false)) => Found::Live(Arc::clone(job)),
            None if id.0 != 0 && shown.last.is_some_and(|last| id <= last) => Found::Forgotten,
            None => Found::Unknown,
        }
    }

    /// The newest job, live or stale, that a test on its registers names: for dialects whose shares name a job by a
    /// hash and not by its id.
    #[must_use]
    pub fn find(&self, now: UnixMillis, mut names: impl FnMut(&Job) -> bool) -> Found {
        let shown = self.shown.load();
        let found = shown.jobs.iter().rev().find(|(job, _)| job.expires_at > now && names(job));
        match found {
            Some((job, true)) => Found::Stale(Arc::clone(job)),
            Some((job, false)) => Found::Live(Arc::clone(job)),
            None => Found::Unknown,
        }
    }

    /// Ends the jobs whose time is over: an expired job is no longer the current one, and is forgotten when it was held
    /// for long enough. Called by the pool on a timer. Returns the job that was current until now, when nothing follows
    /// it: miners have no work from here on.
    pub fn expire(&self, now: UnixMillis) -> Option<Arc<Job>> {
        let mut inner = self.inner.lock();
        let kept = inner.jobs.len();
        inner.jobs.retain(|_, (job, _)| now.0 < job.expires_at.0.saturating_add(HELD_MS));
        if inner.jobs.len() < kept {
            self.show(&inner);
        }
        let ended = self.current().filter(|current| current.expires_at <= now)?;
        self.current.send_replace(None);
        Some(ended)
    }

    /// All jobs kept, oldest first, with whether each is stale.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<Job>, bool)> {
        self.shown.load().jobs.clone()
    }

    /// The last id that was published, kept or not.
    #[must_use]
    pub fn last(&self) -> Option<JobId> {
        self.shown.load().last
    }

    /// The oldest job that is kept: no share of an older one counts.
    #[must_use]
    pub fn oldest(&self) -> Option<JobId> {
        self.shown.load().jobs.first().map(|(job, _)| job.id)
    }

    /// The lowest coordinate of a job that is kept: ids of shares below it are no longer needed
    /// ([`crate::Seen::drop_below`]).
    #[must_use]
    pub fn lowest_coord(&self) -> Option<u64> {
        self.shown.load().jobs.iter().map(|(job, _)| job.coord).min()
    }

    /// A feed of new jobs. The first notice is the current job, if there is one, as clean.
    #[must_use]
    pub fn subscribe(&self) -> JobFeed {
        let mut current = self.current.subscribe();
        current.mark_changed();
        JobFeed { current, tip: None }
    }
}

impl Inner {
    /// Marks the jobs of other parents stale; a parent other than the last one counts as a tip.
    fn turn(&mut self, parent: &[u8]) -> bool {
        if self.parent.as_deref() == Some(parent) {
            return false;
        }
        self.parent = Some(bytes::Bytes::copy_from_slice(parent));
        self.tips = self.tips.saturating_add(1);
        let mut changed = false;
        for (job, stale) in self.jobs.values_mut() {
            // A reorganisation back to a parent makes its jobs live again: their shares are worth something.
            let now = job.parent != parent;
            changed |= now && !*stale;
            *stale = now;
        }
        changed
    }
}

/// One session's view of new jobs. A slow reader skips jobs and misses no clean: what it reads next says so.
pub struct JobFeed {
    current: watch::Receiver<Option<Current>>,
    tip: Option<u64>,
}

impl JobFeed {
    /// Waits for the next job. `None` when the table is gone. Safe to drop while waiting.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            self.current.changed().await.ok()?;
            if let Some(notice) = self.take() {
                return Some(notice);
            }
        }
    }

    /// The job that is new since the last call, without waiting.
    pub fn try_next(&mut self) -> Option<Notice> {
        if self.current.has_changed().unwrap_or(false) { self.take() } else { None }
    }

    fn take(&mut self) -> Option<Notice> {
        let current = self.current.borrow_and_update().clone()?;
        let clean = self.tip != Some(current.tip);
        self.tip = Some(current.tip);
        Some(Notice { job: current.job, clean })
    }
}
