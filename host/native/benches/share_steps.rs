//! What a share costs a scheme that takes shares: natively, and as the component that pools run, on the same shares with
//! the same results. A share-step is one share in one scheme. Run with
//! `cargo bench --workspace --profile release --bench share_steps`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_contracts::load_scheme;
use millpond_contracts::payout::{Batch, PayoutScheme, State};
use millpond_native::Chain;
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_stream::{Key, Purpose};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Shares of one round, whatever the size of its batches: few, so that the best round is an undisturbed one.
const SHARES: u64 = 100_000;
const ROUNDS: u32 = 30;

/// Shares of so many miners, each with one of a few difficulties, on jobs that change every 2000 shares.
fn batch(rows: u64, miners: u64) -> Batch {
    let mut owners = Key { seed: 1, replication: 0 }.stream(Purpose::Owner, 0);
    let mut batch = Batch::default();
    for seq in 1..=rows {
        let miner = owners.below(miners);
        batch.seq.push(seq);
        batch.miner.push(miner * 7919 + 1);
        batch.work.push(1 << (32 + miner % 12));
        batch.network_low.push(0);
        batch.network_high.push(27_000);
        batch.time_ms.push(seq);
        batch.coord.push(800_000);
        batch.reward.push(312_500_000 + seq / 2000);
    }
    batch
}

/// What calls give, and the best of several rounds in shares a second.
fn measure(scheme: &dyn PayoutScheme, batch: &Batch) -> (Chain, f64) {
    let (settings, state) = (Vec::new(), State::default());
    let mut chain = Chain::default();
    chain.push(&scheme.accrue(&settings, batch, &state)).unwrap();
    let rows = batch.seq.len() as u64;
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..SHARES / rows {
            black_box(scheme.accrue(&settings, batch, &state).unwrap());
        }
        best = best.min(start.elapsed());
    }
    (chain, SHARES as f64 / best.as_secs_f64())
}

fn main() {
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let bytes = millpond_bundled::get("pps").unwrap().bytes;
    let component = load_scheme(&sandbox, "pps", bytes, &sink).unwrap();
    let native = millpond_native::get("pps").unwrap();
    println!("| rows a call | miners | native, M share-steps/s | component | ratio |\n|---|---|---|---|---|");
    for (rows, miners) in [(1_000, 100), (10_000, 100), (10_000, 5_000)] {
        let batch = batch(rows, miners);
        let (own, fast) = measure(native.as_ref(), &batch);
        let (other, slow) = measure(component.as_ref(), &batch);
        assert_eq!(own, other, "both give the same bytes");
        println!("| {rows} | {miners} | {:.2} | {:.2} | {:.2} |", fast / 1e6, slow / 1e6, fast / slow);
    }
}
