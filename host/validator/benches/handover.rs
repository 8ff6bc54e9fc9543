//! Where the line lies between judging a share where it arrives and handing it over to the validator's threads: what a
//! hand-over costs beside what each hash costs. Prints one JSON object.
//!
//! The hand-over is measured with an algorithm that does nothing and calls itself heavy, beside the same that calls
//! itself light; one share at a time (the caller waits) and many at once (what it costs in processor time when the
//! queue is never empty).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, Context, Cost, Key};
use millpond_recipe::{Recipe, SessionStage};
use millpond_types::Target;
use millpond_validator::{Limits, Targets, Validator};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// Shares judged for a figure, and turns of which the best counts.
const SHARES: u32 = 4_000;
const TURNS: u32 = 12;

/// Does nothing.
#[derive(Clone)]
struct Nothing(&'static str, Cost);

impl Algorithm for Nothing {
    fn name(&self) -> &str {
        self.0
    }
    fn cost(&self) -> Cost {
        self.1
    }
    fn prepare(&self, _: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Context for Nothing {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        out.fill(input[0]);
        Ok(())
    }
}

fn session(algorithm: &str) -> Arc<SessionStage> {
    let mut algorithms = Algorithms::native();
    algorithms.add(Arc::new(Nothing("light-nothing", Cost::Light)));
    algorithms.add(Arc::new(Nothing("heavy-nothing", Cost::Heavy)));
    let text = format!("recipe 1 \"t\"\nshare n:4\npow = {algorithm} n\njudge be pow | id pow");
    let recipe = Recipe::compile("t", &text, &algorithms).unwrap();
    Arc::new(recipe.job(&[] as &[&[u8]]).unwrap().session(&[] as &[&[u8]]).unwrap())
}

/// Microseconds a share, and of processor time of the whole process.
async fn judged(validator: &Arc<Validator>, session: &Arc<SessionStage>, at_once: u32) -> (f64, f64) {
    let targets = Targets { share: Target::MAX, network: Target::BITCOIN_DIFF1 };
    let (start, before) = (Instant::now(), processor_time());
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (validator, session) = (Arc::clone(validator), Arc::clone(session));
            tokio::spawn(async move {
                for i in 0..SHARES / at_once {
                    validator.judge(&session, &[i.to_be_bytes()], targets).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let each = f64::from(SHARES) / 1e6;
    (start.elapsed().as_secs_f64() / each, (processor_time() - before) / each)
}

/// Seconds of user and system time of this process so far, in steps of a clock tick.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Microseconds of one hash.
fn hash(name: &str, width: usize) -> f64 {
    let algorithm = Algorithms::native().get(name).unwrap();
    let key: &[u8] = if algorithm.key() == Key::None { &[] } else { &[7; 32] };
    let (context, input, mut out) = (algorithm.prepare(key).unwrap(), vec![5; width], [0; 32]);
    let times = 500;
    (0..TURNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..times {
                std::hint::black_box(context.hash(std::hint::black_box(&input), &mut out)).unwrap();
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(times)
        })
        .fold(f64::MAX, f64::min)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let validator = Arc::new(Validator::new(Limits { threads: 1, ..Limits::default() }).unwrap());
    let mut rows = Vec::new();
    for (name, algorithm, at_once) in [
        ("here", "light-nothing", 1),
        ("handed over, one at a time", "heavy-nothing", 1),
        ("handed over, 64 at once", "heavy-nothing", 64),
    ] {
        let session = session(algorithm);
        let (mut best, mut processor) = (f64::MAX, 0.0);
        for _ in 0..TURNS {
            let (wall, time) = judged(&validator, &session, at_once).await;
            best = best.min(wall);
            processor += time;
        }
        rows.push(json!({ "judged": name, "us": best, "processor_us": processor / f64::from(TURNS) }));
    }
    let hashes = [
        ("sha256d", 80),
        ("blake3", 180),
        ("kheavyhash", 80),
        ("eaglesong", 48),
        ("eaglesong-blake2b", 48),
        ("sha3-256", 136),
        ("scrypt", 80),
    ];
    let hashes: Vec<_> =
        hashes.iter().map(|(name, width)| json!({ "algorithm": name, "us": hash(name, *width) })).collect();
    println!("{}", json!({ "bench": "handover", "shares": rows, "hashes": hashes }));
}
