//! Group commit beside the disk's raw sync time, in one run on one disk.
//! `cargo bench --workspace --profile release --bench commit`; the last line is JSON. `MILLPOND_BENCH_DIR` chooses the disk.
#![allow(clippy::unwrap_used, missing_docs)]

use millpond_disk::{Disk, RealDisk};
use millpond_segments::{Log, Options};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// About one share with its frame.
const RECORD: usize = 40;
const RUN: Duration = Duration::from_secs(2);

fn percentile(ascending: &[u64], percent: usize) -> u64 {
    let place = (ascending.len() * percent / 100).min(ascending.len().saturating_sub(1));
    ascending.get(place).copied().unwrap_or(0)
}

/// What the disk takes to append a little and sync, with nothing around it. Microseconds, ascending.
fn raw_syncs(dir: &Path) -> Vec<u64> {
    let file = RealDisk.create(&dir.join("raw")).unwrap();
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < RUN {
        let since = Instant::now();
        file.append(&[7; 512]).unwrap();
        file.sync().unwrap();
        times.push(since.elapsed().as_micros() as u64);
    }
    times.sort_unstable();
    times
}

struct Outcome {
    records_per_second: f64,
    groups_per_second: f64,
    p50: u64,
    p99: u64,
}

/// Each writer appends a batch and waits for all of it; latency is from append to durable.
fn group_commit(dir: &Path, writers: usize, batch: usize, max_wait: Duration) -> Outcome {
    let options = Options { max_wait, ..Options::new("bench") };
    let (log, _) = Log::open(Arc::new(RealDisk), dir, options).unwrap();
    let records = AtomicU64::new(0);
    let began = Instant::now();
    let mut times: Vec<u64> = std::thread::scope(|scope| {
        let writer = || {
            let mut times = Vec::new();
            while began.elapsed() < RUN {
                let mut waiting = VecDeque::new();
                for _ in 0..batch {
                    waiting.push_back((Instant::now(), log.append(vec![(1, vec![7; RECORD])])));
                }
                for (since, commit) in waiting {
                    commit.wait().unwrap();
                    times.push(since.elapsed().as_micros() as u64);
                }
            }
            records.fetch_add(times.len() as u64, Ordering::Relaxed);
            times
        };
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(writer)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let seconds = began.elapsed().as_secs_f64();
    let verified = log.view().verify().unwrap();
    assert_eq!(verified.records, records.load(Ordering::Relaxed));
    times.sort_unstable();
    Outcome {
        records_per_second: verified.records as f64 / seconds,
        groups_per_second: verified.groups as f64 / seconds,
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
    }
}

fn main() {
    let base = std::env::var_os("MILLPOND_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(base).unwrap();
    let raw = raw_syncs(folder.path());
    let (raw_p50, raw_p99) = (percentile(&raw, 50), percentile(&raw, 99));
    println!(
        "append 512 bytes and fdatasync: p50 {raw_p50} us, p99 {raw_p99} us, {:.0} a second",
        raw.len() as f64 / RUN.as_secs_f64()
    );
    println!("writers  batch   wait    records/s   groups/s    p50 us    p99 us");
    let mut rows = Vec::new();
    let cases = [(1, 1, 0), (8, 1, 0), (64, 1, 0), (4, 250, 0), (4, 250, 1), (4, 2500, 1)];
    for (number, (writers, batch, wait)) in cases.into_iter().enumerate() {
        let dir = folder.path().join(number.to_string());
        let Outcome { records_per_second, groups_per_second, p50, p99 } =
            group_commit(&dir, writers, batch, Duration::from_millis(wait));
        println!(
            "{writers:>7} {batch:>6} {wait:>3} ms {records_per_second:>12.0} {groups_per_second:>10.0} {p50:>9} {p99:>9}"
        );
        rows.push(format!(
            "{{\"writers\":{writers},\"batch\":{batch},\"max_wait_ms\":{wait},\
             \"records_per_s\":{records_per_second:.0},\"groups_per_s\":{groups_per_second:.0},\
             \"p50_us\":{p50},\"p99_us\":{p99}}}"
        ));
    }
    println!(
        "{{\"bench\":\"commit\",\"raw_fdatasync_p50_us\":{raw_p50},\"raw_fdatasync_p99_us\":{raw_p99},\"rows\":[{}]}}",
        rows.join(",")
    );
}
