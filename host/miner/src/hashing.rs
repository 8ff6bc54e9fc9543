//! Threads that hash the present work.

use crate::options::{MineError, Options, Progress};
use crate::work::Work;
use millpond_algorithms::{Algorithms, Context, Key};
use millpond_types::Target;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A thread looks for new work about this often.
const GLANCE: Duration = Duration::from_millis(10);
/// Shares that wait to be sent.
const QUEUE: usize = 64;

/// A share that was found.
pub(crate) struct Found {
    pub(crate) work: Arc<Work>,
    pub(crate) extranonce2: Vec<u8>,
    pub(crate) nonce: u32,
}

#[derive(Default)]
struct Bench {
    work: Mutex<Option<Arc<Work>>>,
    arrived: Condvar,
    /// Counts the changes of work.
    generation: AtomicU64,
    stop: AtomicBool,
}

/// The threads.
pub(crate) struct Hashing {
    bench: Arc<Bench>,
    threads: Vec<JoinHandle<()>>,
    diff1: Target,
}

#[derive(Clone)]
struct Tools {
    pow: Arc<dyn Context>,
    sha256d: Arc<dyn Context>,
    found: mpsc::Sender<Found>,
    progress: Arc<Progress>,
    rate: Option<f64>,
}

impl Hashing {
    pub(crate) fn start(
        options: &Options,
        progress: Arc<Progress>,
    ) -> Result<(Self, mpsc::Receiver<Found>), MineError> {
        let algorithms = Algorithms::native();
        let unknown = || MineError::Algorithm {
            given: options.algorithm.clone(),
            known: algorithms.names().collect::<Vec<_>>().join(", "),
        };
        let keyless = |name: &str| {
            let algorithm =
                algorithms.get(name).filter(|found| found.key() == Key::None && found.output_len() == 32);
            Ok::<_, MineError>(algorithm.ok_or_else(unknown)?.prepare(&[])?)
        };
        let (sender, found) = mpsc::channel(QUEUE);
        let tools = Tools {
            pow: keyless(&options.algorithm)?,
            sha256d: keyless("sha256d")?,
            found: sender,
            progress,
            rate: options.hashes_per_second.filter(|rate| rate.is_finite() && *rate > 0.0),
        };
        let bench = Arc::new(Bench::default());
        let mut threads = Vec::new();
        for number in 0..options.threads.max(1) {
            let (bench, tools) = (Arc::clone(&bench), tools.clone());
            let thread = std::thread::Builder::new().name(format!("mine-{number}"));
            threads.push(thread.spawn(move || hash(&bench, &tools)).map_err(MineError::Thread)?);
        }
        Ok((Self { bench, threads, diff1: diff1(&options.algorithm) }, found))
    }

    /// The target of a difficulty in the algorithm's scale.
    pub(crate) fn target(&self, difficulty: f64) -> Target {
        Target::from_difficulty(difficulty, self.diff1).unwrap_or(self.diff1)
    }

    /// New work: the threads leave the old at once.
    pub(crate) fn give(&self, mut work: Work) {
        if let Some(before) = &*self.bench.work.lock() {
            work.continue_from(before);
        }
        self.set(Some(Arc::new(work)));
    }

    /// No work: the threads rest.
    pub(crate) fn rest(&self) {
        self.set(None);
    }

    fn set(&self, work: Option<Arc<Work>>) {
        *self.bench.work.lock() = work;
        self.bench.generation.fetch_add(1, Ordering::Release);
        self.bench.arrived.notify_all();
    }

    /// Ends the threads and waits for them.
    pub(crate) async fn stop(mut self) {
        self.end();
        let threads = std::mem::take(&mut self.threads);
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        let _ = tokio::task::spawn_blocking(join).await;
    }

    fn end(&self) {
        self.bench.stop.store(true, Ordering::Release);
        self.rest();
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.end();
    }
}

/// Difficulty 1 of scrypt is 2^16 times easier than that of other algorithms, as minerd has it.
fn diff1(algorithm: &str) -> Target {
    let mut bytes = Target::BITCOIN_DIFF1.to_be_bytes();
    if algorithm == "scrypt" {
        bytes.rotate_left(2);
    }
    Target::from_be_bytes(bytes)
}

fn hash(bench: &Bench, tools: &Tools) {
    let mut chunk = 16_u32;
    while !bench.stop.load(Ordering::Acquire) {
        let (work, generation) = {
            let mut work = bench.work.lock();
            while work.is_none() && !bench.stop.load(Ordering::Acquire) {
                bench.arrived.wait_for(&mut work, Duration::from_millis(500));
            }
            (work.clone(), bench.generation.load(Ordering::Acquire))
        };
        let Some(work) = work else { continue };
        let is_current = || bench.generation.load(Ordering::Acquire) == generation;
        while is_current() {
            let Some(mut header) = work.next_header(&tools.sha256d) else {
                // All of it was searched: the pool will send more.
                std::thread::sleep(GLANCE);
                continue;
            };
            let mut nonce = Some(0_u32);
            while let Some(from) = nonce.filter(|_| is_current()) {
                let begun = Instant::now();
                let upto = from.saturating_add(chunk - 1);
                if search(&work, &mut header.bytes, &header.extranonce2, from..=upto, tools).is_none() {
                    return;
                }
                let count = u64::from(upto - from) + 1;
                Progress::add(&tools.progress.hashes, count);
                let took = begun.elapsed();
                if took < GLANCE / 2 {
                    chunk = chunk.saturating_mul(2).min(1 << 20);
                } else if took > GLANCE * 2 {
                    chunk = (chunk / 2).max(1);
                }
                if let Some(rate) = tools.rate {
                    chunk = chunk.min(((rate * GLANCE.as_secs_f64()) as u32).max(1));
                    let due = Duration::try_from_secs_f64(count as f64 / rate).unwrap_or(GLANCE);
                    std::thread::sleep(due.saturating_sub(took).min(Duration::from_secs(1)));
                }
                nonce = upto.checked_add(1);
            }
        }
    }
}

/// Hashes a range of nonces. `None` when nobody wants shares any more.
fn search(
    work: &Arc<Work>,
    header: &mut [u8; 80],
    extranonce2: &[u8],
    nonces: std::ops::RangeInclusive<u32>,
    tools: &Tools,
) -> Option<()> {
    for nonce in nonces {
        if let Some(place) = header.last_chunk_mut::<4>() {
            *place = nonce.to_le_bytes();
        }
        let mut hash = crate::work::hash(&tools.pow, header)?;
        hash.reverse();
        if work.target.is_met_by(&hash) {
            let found = Found { work: Arc::clone(work), extranonce2: extranonce2.to_vec(), nonce };
            tools.found.blocking_send(found).ok()?;
        }
    }
    Some(())
}
