//! Where shares are judged: here and now, or on the validator's threads behind a bounded queue.

use crate::verdict::{Candidate, Refused, Targets, Verdict, judge, verdict};
use millpond_recipe::{Cost, Scratch, SessionStage, ShareError, judge_batch};
use parking_lot::Mutex;
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Heavy shares that may wait: at 0.3 ms a share and two threads, 0.6 s of work. A miner waits longer than that for
/// no answer.
pub const DEFAULT_QUEUE: usize = 4096;
/// Shares that a thread takes from the queue at once.
const BATCH: usize = 16;

/// The bounds of a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads for heavy shares; 0 means as many as the machine has cores.
    pub threads: usize,
    /// Heavy shares that may wait in the queue; whoever comes with one more waits for room.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { threads: 0, queue: DEFAULT_QUEUE }
    }
}

type Answer = oneshot::Sender<Result<Verdict, Refused>>;

struct Waiting {
    shares: VecDeque<(Candidate, Answer, OwnedSemaphorePermit)>,
    /// Threads that are working through the queue.
    workers: usize,
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// Places in the queue.
    room: Arc<Semaphore>,
    threads: usize,
}

/// Judges shares. One serves all pools of a process.
pub struct Validator {
    shared: Arc<Shared>,
    threads: rayon::ThreadPool,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
    static SCRATCHES: RefCell<Vec<Scratch>> = const { RefCell::new(Vec::new()) };
}

fn with_scratch<T>(run: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => run(&mut scratch),
        // Judging inside judging does not happen; if an algorithm did it, it would get memory of its own.
        Err(_) => run(&mut Scratch::default()),
    })
}

impl Validator {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(limits: Limits) -> Result<Self, rayon::ThreadPoolBuildError> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(limits.threads)
            .thread_name(|i| format!("judge-{i}"))
            .build()?;
        let waiting = Mutex::new(Waiting { shares: VecDeque::new(), workers: 0 });
        let room = Arc::new(Semaphore::new(limits.queue.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared { waiting, room, threads: threads.current_num_threads() });
        Ok(Self { shared, threads })
    }

    /// Judges a share. A light recipe is judged before this returns for the first time; a heavy one waits for room in
    /// the queue, in the order of the callers, and for a thread: any share may be a block, so none is turned away
    /// unhashed. Callers bound how many they wait for. Dropping the future gives the share up.
    ///
    /// What fails through no fault of the miner (an exported algorithm that traps or has no instance free, a panic) is
    /// judged once more.
    ///
    /// # Errors
    /// [`Refused::Share`] when the miner's values do not run through the recipe; [`Refused::Failed`] when the recipe or
    /// an algorithm failed both times; [`Refused::Lost`] when an algorithm panicked both times or the validator ends
    /// first.
    pub async fn judge(
        &self,
        session: &Arc<SessionStage>,
        values: &[impl AsRef<[u8]>],
        targets: Targets,
    ) -> Result<Verdict, Refused> {
        match self.judge_once(session, values, targets).await {
            Err(error) if !error.is_the_miners() => self.judge_once(session, values, targets).await,
            judged => judged,
        }
    }

    /// Judges a share on the caller's thread, whatever its recipe costs: for light ones. What fails through no fault of the
    /// miner is judged once more.
    ///
    /// # Errors
    /// As [`Validator::judge`].
    pub fn judge_here(
        &self,
        session: &SessionStage,
        values: &[impl AsRef<[u8]>],
        targets: Targets,
    ) -> Result<Verdict, Refused> {
        let once = || alone(session, values, &targets);
        match once() {
            Err(error) if !error.is_the_miners() => once(),
            judged => judged,
        }
    }

    /// Judges several shares on the caller's thread, whatever their recipes cost: light ones that arrived together, whose
    /// algorithm gains by that ([`millpond_recipe::JobStage::gains_together`]). The verdicts are in the order of the shares,
    /// and each is the one that [`Validator::judge_here`] comes to.
    #[must_use]
    pub fn judge_here_together(
        &self,
        shares: &[(&SessionStage, &[impl AsRef<[u8]>], Targets)],
    ) -> Vec<Result<Verdict, Refused>> {
        let mut judged = together(shares);
        for (judged, (session, values, targets)) in judged.iter_mut().zip(shares) {
            if judged.as_ref().is_err_and(|error| !error.is_the_miners()) {
                *judged = alone(session, values, targets);
            }
        }
        judged
    }

    async fn judge_once(
        &self,
        session: &Arc<SessionStage>,
        values: &[impl AsRef<[u8]>],
        targets: Targets,
    ) -> Result<Verdict, Refused> {
        if session.job().recipe().cost() == Cost::Light {
            return alone(session, values, &targets);
        }
        let values = values.iter().map(|value| value.as_ref().to_vec()).collect();
        let room = Arc::clone(&self.shared.room).acquire_owned().await.map_err(|_| Refused::Lost)?;
        let verdict = self.enqueue(Candidate { session: Arc::clone(session), values, targets }, room);
        verdict.await.unwrap_or(Err(Refused::Lost))
    }

    /// Judges many shares on the validator's threads and waits for all of them: for tools, replay and measuring. The
    /// verdicts are in the order of the shares.
    #[must_use]
    pub fn judge_all(&self, shares: &[Candidate]) -> Vec<Result<Verdict, Refused>> {
        self.threads.install(|| {
            shares
                .par_chunks(BATCH)
                .flat_map_iter(|batch| together(&batch.iter().map(parts).collect::<Vec<_>>()))
                .collect()
        })
    }

    /// How many heavy shares wait, for metrics.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting.lock().shares.len()
    }

    fn enqueue(
        &self,
        share: Candidate,
        room: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Result<Verdict, Refused>> {
        let (answer, verdict) = oneshot::channel();
        let mut waiting = self.shared.waiting.lock();
        waiting.shares.push_back((share, answer, room));
        if waiting.workers < self.shared.threads {
            waiting.workers += 1;
            let shared = Arc::clone(&self.shared);
            self.threads.spawn(move || shared.work());
        }
        verdict
    }
}

impl Shared {
    /// Works until the queue is empty. A worker counts as working until it has seen that under the lock, so no share
    /// is left behind.
    fn work(&self) {
        loop {
            let batch: Vec<_> = {
                let mut waiting = self.waiting.lock();
                let count = waiting.shares.len().div_ceil(self.threads).min(BATCH);
                if count == 0 {
                    waiting.workers = waiting.workers.saturating_sub(1);
                    return;
                }
                waiting.shares.drain(..count).collect()
            };
            // Sessions that hung up are passed over; shares of one recipe and job stand together, for hashes that take
            // several.
            let mut batch: Vec<_> = batch
                .into_iter()
                .filter(|(_, answer, _)| !answer.is_closed())
                .map(|(share, answer, _)| (share, answer))
                .collect();
            batch.sort_by_key(|(share, _)| {
                let job = share.session.job();
                (Arc::as_ptr(job.recipe()), Arc::as_ptr(job))
            });
            let shares: Vec<_> = batch.iter().map(|(share, _)| parts(share)).collect();
            let start = Instant::now();
            let verdicts = together(&shares);
            measured(&shares, &verdicts, start.elapsed());
            for ((_, answer), verdict) in batch.into_iter().zip(verdicts) {
                // The session may have hung up meanwhile.
                let _ = answer.send(verdict);
            }
        }
    }
}

/// Tells a recipe what its shares took, in a batch of it alone: those that were hashed to their end. Others among them, which
/// may have cost nothing, neither make them cheaper nor keep the batch from being measured.
fn measured(
    shares: &[(&SessionStage, &[Vec<u8>], Targets)],
    verdicts: &[Result<Verdict, Refused>],
    took: Duration,
) {
    let recipe = |(session, ..): &(&SessionStage, &[Vec<u8>], Targets)| Arc::as_ptr(session.job().recipe());
    let Some(first) = shares.first() else { return };
    let hashed = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
    if hashed > 0 && shares.iter().all(|share| recipe(share) == recipe(first)) {
        first.0.job().recipe().took(took / u32::try_from(hashed).unwrap_or(u32::MAX));
    }
}

fn parts(share: &Candidate) -> (&SessionStage, &[Vec<u8>], Targets) {
    (&share.session, &share.values, share.targets)
}

/// Judges a batch. Where an algorithm panics in it, each share is tried alone, so that only its own share is lost.
fn together(shares: &[(&SessionStage, &[impl AsRef<[u8]>], Targets)]) -> Vec<Result<Verdict, Refused>> {
    let pairs: Vec<_> = shares.iter().map(|(session, values, _)| (*session, *values)).collect();
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let mut scratches = SCRATCHES.with(RefCell::take);
        let verdicts = judge_batch(&pairs, &mut scratches)
            .into_iter()
            .zip(shares)
            .map(|(judged, (_, _, targets))| Ok(verdict(&judged?, targets)))
            .collect();
        SCRATCHES.with(|kept| kept.replace(scratches));
        verdicts
    }));
    judged.unwrap_or_else(|_| {
        shares.iter().map(|(session, values, targets)| alone(session, values, targets)).collect()
    })
}

fn alone(session: &SessionStage, values: &[impl AsRef<[u8]>], targets: &Targets) -> Result<Verdict, Refused> {
    guarded(|| with_scratch(|scratch| judge(session, values, targets, scratch)))
}

/// An algorithm that panics loses its share and nothing else: left alone, rayon would end the process.
fn guarded(run: impl FnOnce() -> Result<Verdict, ShareError>) -> Result<Verdict, Refused> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(judged) => judged.map_err(Refused::from),
        Err(_) => Err(Refused::Lost),
    }
}
