//! What an algorithm that an adapter exports costs beside the same algorithm in the host: in instances that are kept, in a
//! new one for each batch, and natively with and without the processor's instructions for it. Run with
//! `cargo bench --workspace --locked --profile release --bench exported`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithms, Context, Processor};
use millpond_contracts::chain::ChainAdapter;
use millpond_contracts::load_adapter;
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_test_guests as guest;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KEY: [u8; 32] = [9; 32];
const WIDTH: u32 = 80;
/// How long one contender's turn takes, and how many it has; the best counts.
const TURN: Duration = Duration::from_millis(300);
const TURNS: usize = 5;

/// Hashes a batch.
type Hash = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

struct Contender {
    name: &'static str,
    hash: Hash,
    /// The best time for one hash in nanoseconds: alone, in batches of 16, and in batches on all cores.
    best: [f64; 3],
}

fn sha256(processor: Processor) -> Arc<dyn Context> {
    Algorithms::native_on(processor).get("sha256").unwrap().prepare(&[]).unwrap()
}

fn native(name: &'static str, processor: Processor) -> Contender {
    let context = sha256(processor);
    let one = move |input: &[u8]| {
        let mut out = [0; 32];
        context.hash(input, &mut out).unwrap();
        out
    };
    let table = guest::spun_table(&one, &KEY);
    let hash = move |inputs: &[u8]| {
        inputs.chunks(WIDTH as usize).flat_map(|input| guest::spun(&one, &table, input)).collect()
    };
    Contender { name, hash: Box::new(hash), best: [f64::MAX; 3] }
}

fn exported(name: &'static str, adapter: Arc<dyn ChainAdapter>) -> Contender {
    let hash = move |inputs: &[u8]| adapter.pow(guest::SPUN, &KEY, WIDTH, inputs).unwrap().value;
    Contender { name, hash: Box::new(hash), best: [f64::MAX; 3] }
}

fn inputs(count: usize) -> Vec<u8> {
    (0..count * WIDTH as usize).map(|i| (i % 251) as u8).collect()
}

/// Nanoseconds for one hash on so many threads.
fn timed(hash: &Hash, count: usize, threads: usize) -> f64 {
    let (inputs, done) = (inputs(count), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while start.elapsed() < TURN {
                    black_box(hash(black_box(&inputs)));
                    done.fetch_add(count as u64, Ordering::Relaxed);
                }
            });
        }
    });
    start.elapsed().as_nanos() as f64 / done.load(Ordering::Relaxed) as f64
}

fn main() {
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let load = |wasm: &[u8]| load_adapter(&sandbox, "pow", wasm, &vec![], &sink).unwrap();
    let forgetful = load(&guest::forgetful_adapter());
    for _ in 0..16 {
        forgetful.pow(guest::SPUN, &KEY, WIDTH, &inputs(16)).unwrap();
    }
    assert!(forgetful.pow_figures().stateful, "it has a new instance for each batch");
    let mut contenders = [
        native("native, with all the processor has", Processor::detected()),
        native("native, portable", Processor::portable()),
        exported("exported, instances kept", load(&guest::spun_adapter())),
        exported("exported, a new instance each time", forgetful),
    ];
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let expected = (contenders[0].hash)(&inputs(16));
    for contender in &contenders {
        assert!((contender.hash)(&inputs(16)) == expected, "{} has another hash", contender.name);
    }
    for _ in 0..TURNS {
        for contender in &mut contenders {
            for (best, (count, threads)) in contender.best.iter_mut().zip([(1, 1), (16, 1), (16, cores)]) {
                *best = best.min(timed(&contender.hash, count, threads));
            }
        }
    }
    println!(
        "{}: {} hashes of a table of {} rows, ns a hash (beside the first)\n",
        guest::SPUN,
        guest::TURNS,
        guest::ROWS
    );
    println!("{:<36} {:>18} {:>18} {:>14} cores", "", "one by one", "batches of 16", cores);
    let [first, ..] = &contenders;
    for contender in &contenders {
        let [one, batch, all] = contender.best;
        let beside = |ns: f64, other: f64| format!("{ns:.0} ({:.2}x)", ns / other);
        let (one, batch) = (beside(one, first.best[0]), beside(batch, first.best[1]));
        println!("{:<36} {one:>18} {batch:>18} {:>20}", contender.name, beside(all, first.best[2]));
    }
}
