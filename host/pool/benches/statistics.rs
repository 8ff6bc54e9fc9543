//! What the statistics cost: the processor's time that counting an accepted share for people to look at takes, beside all of
//! the time that a whole pool spends on an accepted share, in one run.
//!
//! The pool is a real one: sockets, adapter, journal with its syncs on this folder's disk, beside a development chain in the
//! same process. Its miners have threads of their own, whose time is not counted; all other threads' is, in user mode and in
//! the kernel (`/proc/self/task/*/schedstat`). Shares were found beforehand, and none is a block. The statistics are then run
//! alone over as many shares, of 20,000 workers in turn: the worker's tally, the pool's sums, and the round's.
//!
//! `cargo bench --workspace --locked --profile release --bench statistics`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/support/mod.rs"]
mod support;

use millpond_journal::{Share as Recorded, WorkerId};
use millpond_pool::stats::Stats;
use millpond_types::{Amount, JobId, MinerId, UnixMillis, Work, WorkShift};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;
use support::client::{Client, Share, Want};
use support::rig::{OnDevChain, dev_chain};

const MINERS: usize = 20;
/// Shares of each miner in each round.
const SHARES: usize = 800;
const ROUNDS: usize = 5;
/// Workers that the statistics alone are of: too many for the caches next to a core, and each is another than the one before.
const WORKERS: usize = 20_000;
const STRIDE: usize = 7_919;
/// How often the statistics are run over a round's shares.
const TIMES: usize = 20;

/// Nanoseconds that each thread of this process has had the processor.
fn by_thread() -> HashMap<String, u64> {
    let threads = std::fs::read_dir("/proc/self/task").expect("this needs Linux");
    let time = |thread: std::io::Result<std::fs::DirEntry>| {
        let thread = thread.ok()?;
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanos = text.split(' ').next()?.parse().ok()?;
        Some((thread.file_name().into_string().ok()?, nanos))
    };
    threads.filter_map(time).collect()
}

fn this_thread() -> String {
    std::fs::read_link("/proc/thread-self").unwrap().file_name().unwrap().to_str().unwrap().to_owned()
}

/// What all threads but one have had since.
fn since(before: &HashMap<String, u64>, but: &str) -> u64 {
    let now = by_thread().into_iter().filter(|(thread, _)| thread != but);
    now.map(|(thread, nanos)| nanos - before.get(&thread).copied().unwrap_or(0)).sum()
}

/// Miners of one thread: for each round they find their shares, say so, and mine when they are told to.
fn miners(
    address: SocketAddr,
    logins: Vec<String>,
    rounds: mpsc::Receiver<usize>,
    told: mpsc::Sender<Option<String>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let own = tokio::task::LocalSet::new();
    runtime.block_on(own.run_until(async {
        let mut clients = Vec::new();
        for login in &logins {
            clients.push(Client::connect(address, login, "sha256d").await.unwrap());
        }
        while let Ok(pipelined) = rounds.recv() {
            let found: Vec<Vec<Share>> = clients
                .iter_mut()
                .map(|client| {
                    let job = client.job.clone().unwrap();
                    (0..SHARES).map(|_| client.find(&job, 0, Want::Mere)).collect()
                })
                .collect();
            told.send(Some(this_thread())).unwrap();
            let _ = rounds.recv();
            let mining: Vec<_> = clients
                .drain(..)
                .zip(found)
                .map(|(mut client, shares)| {
                    tokio::task::spawn_local(async move {
                        for shares in shares.chunks(pipelined) {
                            client.send_shares(shares).await.unwrap();
                            for _ in shares {
                                let reply = client.reply().await.unwrap();
                                assert_eq!(reply["result"], json!(true), "{reply}");
                            }
                        }
                        client
                    })
                })
                .collect();
            for miner in mining {
                clients.push(miner.await.unwrap());
            }
            told.send(None).unwrap();
        }
    }));
}

/// Nanoseconds for each share that is counted: tally and sums, and the round.
fn alone() -> (f64, f64) {
    let (stats, start) = (Stats::new(WorkShift(16), UnixMillis::now()), UnixMillis::now());
    let tallies: Vec<_> = (1..=WORKERS).map(|n| stats.tally(MinerId(n as u64), "rig", start)).collect();
    let shares = MINERS * SHARES;
    // The best of some: nothing but another's turn on the processor makes it longer.
    let timed = |count: &mut dyn FnMut(usize)| {
        let times = (0..TIMES).map(|_| {
            let begun = Instant::now();
            (0..shares).for_each(&mut *count);
            begun.elapsed().as_nanos() as f64 / shares as f64
        });
        times.fold(f64::INFINITY, f64::min)
    };
    let tallied = timed(&mut |n| {
        // A millisecond apart: as often as the pool sees another time.
        let now = UnixMillis(start.0 + n as u64 / 16);
        stats.accepted(black_box(&tallies[n * STRIDE % WORKERS]), Work(black_box(1)), now);
    });
    let share = Recorded {
        miner: MinerId(1),
        worker: WorkerId(1),
        job: JobId(1),
        coord: 1,
        network_work: 1 << 40,
        reward: Amount(1),
        subsidy: None,
        work: Work(1),
        time: start,
        id: [0; 32],
    };
    let sum = Mutex::new(0_u128);
    let round = timed(&mut |_| {
        let mut sum = sum.lock();
        *sum = sum.saturating_add(black_box(&share).units());
    });
    (tallied, round)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // On the disk of the target folder: a folder for temporary files may be in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (chain, pool) = runtime.block_on(async {
        let chain = dev_chain(0x1e7f_ffff).await;
        let rest = format!(
            "{}\n[pool.stratum]\nminimum_difficulty = 1e-12\nlines_per_second = 1000000\n",
            support::rig::PAID_BY_ORDER
        );
        let text = OnDevChain { pays_to: None, difficulty: "1e-12", chain: "", rest: &rest }.on(&chain);
        let pool = support::start(&support::process(folder.path()), &text).await;
        (chain, Arc::new(pool))
    });
    let logins = (0..MINERS).map(|_| chain.new_address()).collect();
    let address = pool.addresses()[0];
    let (go, rounds) = mpsc::channel();
    let (told, hears) = mpsc::channel();
    let mining = std::thread::spawn(move || miners(address, logins, rounds, told));

    println!("{MINERS} miners, {} shares a round, {ROUNDS} rounds of each; medians\n", MINERS * SHARES);
    println!(
        "| shares a write | an accepted share, us | tally and sums, ns | round, ns | statistics of the whole |"
    );
    println!("|---|---|---|---|---|");
    for pipelined in [1, 16] {
        let (mut whole, mut tallied, mut round) = (Vec::new(), Vec::new(), Vec::new());
        // The first warms everything up.
        for number in 0..=ROUNDS {
            go.send(pipelined).unwrap();
            let thread = hears.recv().unwrap().unwrap();
            let before = by_thread();
            go.send(pipelined).unwrap();
            assert_eq!(hears.recv().unwrap(), None);
            let nanos = since(&before, &thread) as f64 / (MINERS * SHARES) as f64;
            let (tally, sum) = alone();
            if number > 0 {
                whole.push(nanos);
                tallied.push(tally);
                round.push(sum);
            }
        }
        let (whole, tallied, round) = (median(whole), median(tallied), median(round));
        let percent = 100.0 * (tallied + round) / whole;
        println!("| {pipelined} | {:.2} | {tallied:.0} | {round:.0} | {percent:.2} % |", whole / 1e3);
    }
    drop(go);
    mining.join().unwrap();
    runtime.block_on(pool.stop());
}
