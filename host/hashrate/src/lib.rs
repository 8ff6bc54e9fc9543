//! Hashes per second: each native algorithm, with and without the processor's extensions, beside its public
//! implementation in the same run.
//!
//! On a machine that does other things a figure alone says little. So all contenders of an algorithm are measured in
//! turn, again and again, and the best turn of each counts: what the others took from it is the same for all.

mod cases;
mod page;

pub use cases::{Case, cases};
pub use page::section;

use millpond_algorithms::{Algorithms, Processor, Verifier};
use serde::Serialize;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Hashes that go together where an algorithm is given several at once: as many as the validator takes.
pub const BATCH: usize = 16;

/// What is measured, and how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of algorithms and verifiers; none means all.
    pub algorithms: Vec<String>,
    /// The time that each figure takes.
    pub each: Duration,
    /// Turns that this is cut into; the best counts.
    pub turns: u32,
    /// Threads for the figure of all cores.
    pub threads: usize,
}

/// One implementation of one algorithm.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The algorithm or verifier.
    pub algorithm: &'static str,
    /// Bytes of each input.
    pub width: usize,
    /// `millpond`, or the public crate.
    pub by: &'static str,
    /// What of the processor it was allowed to use; a crate decides itself.
    pub processor: String,
    /// Hashes per second on one core, one after the other.
    pub single: f64,
    /// Hashes per second on one core, [`BATCH`] at once; none where it takes no batches.
    pub batch: Option<f64>,
    /// Hashes per second on all cores, in batches where it takes them.
    pub all_cores: f64,
}

/// Why nothing is measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashrateError {
    /// A name that is not measured.
    #[error("{name:?} is not measured; there are {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// An implementation fails, or has another result than the one beside it.
    #[error("{algorithm} of {by}: {reason}; nothing is measured of a wrong hash")]
    Wrong {
        /// The algorithm.
        algorithm: &'static str,
        /// Whose implementation.
        by: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// Does some number of hashes.
type Work = Box<dyn Fn(u64) + Send + Sync>;

struct Contender {
    by: &'static str,
    processor: String,
    single: Work,
    batch: Option<Work>,
}

/// Measures. `progress` hears the name of each algorithm, and how many of how many are done.
///
/// # Errors
/// [`HashrateError::Unknown`] for a name that is not measured; [`HashrateError::Wrong`] when implementations differ.
pub fn measure(
    options: &Options,
    mut progress: impl FnMut(&str, usize, usize),
) -> Result<Vec<Row>, HashrateError> {
    let all = cases();
    let names: Vec<&str> = all.iter().map(|case| case.name).chain(Algorithms::native_verifiers()).collect();
    if let Some(name) = options.algorithms.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(HashrateError::Unknown { name: name.clone(), known: names.join(", ") });
    }
    let wanted =
        |name: &str| options.algorithms.is_empty() || options.algorithms.iter().any(|own| own == name);
    let total = names.iter().filter(|name| wanted(name)).count();
    let (mut rows, mut done) = (Vec::new(), 0);
    for case in all.into_iter().filter(|case| wanted(case.name)) {
        progress(case.name, done, total);
        rows.extend(race(case.name, case.width, contenders(&case)?, options));
        done += 1;
    }
    for proof in cases::proofs().into_iter().filter(|proof| wanted(proof.name)) {
        progress(proof.name, done, total);
        rows.extend(race(proof.name, proof.proof.len(), vec![checked(proof)?], options));
        done += 1;
    }
    Ok(rows)
}

/// Who hashes a case, each found to have the same result.
fn contenders(case: &Case) -> Result<Vec<Contender>, HashrateError> {
    let mut all = Vec::new();
    let input: Arc<[u8]> = (0..case.width).map(|i| (i as u8).wrapping_mul(41)).collect();
    let mut expected = None;
    if let Some((by, reference)) = case.reference {
        expected = Some(reference(&input));
        let input = Arc::clone(&input);
        let single = Box::new(move |count| {
            for _ in 0..count {
                black_box(reference(black_box(&input)));
            }
        });
        all.push(Contender { by, processor: "its own choice".into(), single, batch: None });
    }
    for processor in Processor::choices() {
        let wrong = |reason: String| HashrateError::Wrong { algorithm: case.name, by: "millpond", reason };
        let missing = || wrong("there is no such algorithm".into());
        let algorithm = Algorithms::native_on(processor).get(case.name).ok_or_else(missing)?;
        let mut context = algorithm.prepare(case.key).map_err(|error| wrong(error.to_string()))?;
        // What every share of a job begins with is taken ahead, as the pool does it.
        let mut taken = 0;
        if let Some((bytes, ahead)) = context.ahead(input.get(..case.known).unwrap_or_default()) {
            (taken, context) = (bytes, ahead);
        }
        let rest: Arc<[u8]> = input.get(taken..).unwrap_or_default().into();
        let (many, mut out) = (rest.repeat(BATCH), [0; 32 * BATCH]);
        let mut one = [0; 32];
        let hashed =
            context.hash(&rest, &mut one).and_then(|()| context.hash_batch(rest.len(), &many, &mut out));
        hashed.map_err(|error| wrong(error.to_string()))?;
        if *expected.get_or_insert(one) != one || out.as_chunks::<32>().0.iter().any(|hash| *hash != one) {
            return Err(wrong(format!("{processor}: another result than the others")));
        }
        let (alone, rest_of_one) = (Arc::clone(&context), Arc::clone(&rest));
        let single = Box::new(move |count| {
            let mut out = [0; 32];
            for _ in 0..count {
                // It was seen to succeed above.
                let _ = black_box(alone.hash(black_box(&rest_of_one), &mut out));
            }
        });
        let batch = Box::new(move |count: u64| {
            let mut out = [0; 32 * BATCH];
            for _ in 0..count.div_ceil(BATCH as u64) {
                let _ = black_box(context.hash_batch(rest.len(), black_box(&many), &mut out));
            }
        });
        all.push(Contender { by: "millpond", processor: processor.to_string(), single, batch: Some(batch) });
    }
    Ok(all)
}

fn checked(proof: cases::Proof) -> Result<Contender, HashrateError> {
    let by = "the equihash crate";
    let wrong = |reason: &str| HashrateError::Wrong { algorithm: proof.name, by, reason: reason.into() };
    let verifier: Arc<dyn Verifier> =
        Algorithms::native().verifier(proof.name).ok_or_else(|| wrong("there is no such verifier"))?;
    if !verifier.verify(&proof.input, &proof.proof) {
        return Err(wrong("a valid proof is refused"));
    }
    let single = Box::new(move |count| {
        for _ in 0..count {
            black_box(verifier.verify(black_box(&proof.input), black_box(&proof.proof)));
        }
    });
    Ok(Contender { by, processor: "its own choice".into(), single, batch: None })
}

/// Each contender in turn, and the best of its turns.
fn race(algorithm: &'static str, width: usize, contenders: Vec<Contender>, options: &Options) -> Vec<Row> {
    let turns = options.turns.max(1);
    let turn = options.each / turns;
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|contender| Row {
            algorithm,
            width,
            by: contender.by,
            processor: contender.processor.clone(),
            single: 0.0,
            batch: contender.batch.as_ref().map(|_| 0.0),
            all_cores: 0.0,
        })
        .collect();
    for _ in 0..turns {
        for (row, contender) in rows.iter_mut().zip(&contenders) {
            row.single = row.single.max(on_one(&contender.single, turn));
            if let (Some(best), Some(batch)) = (&mut row.batch, &contender.batch) {
                *best = best.max(on_one(batch, turn));
            }
            let widest = contender.batch.as_ref().unwrap_or(&contender.single);
            row.all_cores = row.all_cores.max(on_all(widest, turn, options.threads));
        }
    }
    rows
}

/// Hashes per second on this thread.
fn on_one(work: &Work, time: Duration) -> f64 {
    let (start, mut done, mut step) = (Instant::now(), 0_u64, BATCH as u64);
    loop {
        work(step);
        done = done.saturating_add(step);
        let elapsed = start.elapsed();
        if elapsed >= time {
            return done as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        }
        // Looking at the clock is to cost nothing, and a step is to be short beside the whole.
        if elapsed < time / 20 {
            step = step.saturating_mul(2);
        }
    }
}

/// Hashes per second on so many threads at once.
fn on_all(work: &Work, time: Duration, threads: usize) -> f64 {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                // At least once: on a busy machine a thread may begin after the time is over.
                loop {
                    work(BATCH as u64);
                    done.fetch_add(BATCH as u64, Ordering::Relaxed);
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        std::thread::sleep(time);
        over.store(true, Ordering::Relaxed);
    });
    done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
}
