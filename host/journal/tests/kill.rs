//! `kill -9` at random moments while shares and blocks are being recorded: everything that was acknowledged is there.
//!
//! Runs without the test harness, because it is also the child process. `MILLPOND_KILLS` sets how many children are
//! killed (20 without it). The child writes what was acknowledged into a pipe only after its commit resolved; the
//! parent kills it after a random number of acknowledgements and looks for every one of them in the journal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::solution;
use millpond_disk::RealDisk;
use millpond_journal::{FORMAT, Journal, JournalError, JournalView, Options, Record, Share, WorkerId};
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, UnixMillis, Work};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CHILD: &str = "MILLPOND_KILL_CHILD";
const THREADS: u64 = 4;
/// An acknowledgement in the pipe: share number (0 for a block without a share) and what was recorded.
const ACK: usize = 16;

fn main() {
    match (std::env::var(CHILD), std::env::args().nth(1)) {
        (Ok(life), Some(dir)) => child(Path::new(&dir), life.parse().unwrap()),
        _ => parent(),
    }
}

fn share(number: u64) -> Share {
    Share {
        miner: MinerId(1 + number % 50),
        worker: WorkerId(1 + number % 90),
        job: JobId(number),
        coord: 7,
        network_work: 1 << 40,
        reward: Amount(50),
        subsidy: None,
        work: Work(1000 + number % 3),
        time: UnixMillis(1_700_000_000_000 + number % 1000),
        id: Digest::of(&number.to_le_bytes()).0,
    }
}

/// Records until it is killed. Numbers are unique over lives, threads and time.
fn child(dir: &Path, life: u64) {
    let options = Options { segment_bytes: 200_000, ..Options::new(FORMAT) };
    let (journal, _) = Journal::open(Arc::new(RealDisk), dir, options).unwrap();
    let acknowledge = |seq: u64, number: u64| {
        let ack = [seq.to_le_bytes(), number.to_le_bytes()].concat();
        // One write below PIPE_BUF is whole or not there.
        std::io::stdout().lock().write_all(&ack).and_then(|()| std::io::stdout().flush()).unwrap();
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (journal, acknowledge) = (&journal, &acknowledge);
            scope.spawn(move || {
                let mut number = life << 32 | thread << 28;
                loop {
                    let waiting: Vec<_> =
                        (0..25).map(|n| (number + n, journal.share(share(number + n)))).collect();
                    for (number, commit) in waiting {
                        acknowledge(commit.wait().unwrap().0, number);
                    }
                    number += 25;
                    let seq = journal.solution(solution(&number.to_le_bytes()), Some(share(number)));
                    acknowledge(seq.wait().unwrap().unwrap().0, number);
                    number += 1;
                }
            });
        }
    });
}

fn random(seed: u64, bound: u64) -> u64 {
    u64::from_le_bytes(Digest::of(&seed.to_le_bytes()).0[..8].try_into().unwrap()) % bound
}

fn parent() {
    let kills: u64 = std::env::var("MILLPOND_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let seed: u64 = std::env::var("MILLPOND_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("journal");
    let (mut acknowledged, mut torn, mut writing) = (0_u64, 0_u64, Duration::ZERO);
    for life in 0..kills {
        let enough = random(seed * 1_000_003 + life, 3000);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(&dir)
            .env(CHILD, life.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let mut acks = vec![0; ACK];
        // The first acknowledgement says that the child writes; the kill comes some acknowledgements later.
        pipe.read_exact(&mut acks).expect("the child died by itself");
        let since = Instant::now();
        let mut chunk = vec![0; ACK];
        while ((acks.len() / ACK) as u64) < enough {
            pipe.read_exact(&mut chunk).expect("the child died by itself");
            acks.extend_from_slice(&chunk);
        }
        writing += since.elapsed();
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged += (acks.len() / ACK) as u64 - 1;
        // What it wrote into the pipe before it died was acknowledged too.
        pipe.read_to_end(&mut acks).unwrap();
        torn += check(&dir, &acks);
    }
    let (shares, blocks) = check_all(&dir);
    let rate = acknowledged as f64 / writing.as_secs_f64();
    println!(
        "{kills} kills, {shares} shares and {blocks} blocks, {torn} torn tails; {rate:.0} acknowledged shares/s"
    );
}

/// Every acknowledged number is in the journal under its number. Gives 1 when the kill left a torn tail.
fn check(dir: &Path, acks: &[u8]) -> u64 {
    let acks: Vec<(u64, u64)> = acks
        .chunks_exact(ACK)
        .map(|ack| {
            let [seq, number] = [0, 8].map(|at| u64::from_le_bytes(ack[at..at + 8].try_into().unwrap()));
            (seq, number)
        })
        .collect();
    let first = acks.iter().map(|(seq, _)| *seq).min().unwrap();
    let (view, state) = JournalView::open(Arc::new(RealDisk), dir).unwrap();
    let mut shares = Vec::new();
    view.shares(ShareSeq(first), |seq, found| -> Result<(), JournalError> {
        assert_eq!(seq.0, first + shares.len() as u64, "a gap");
        shares.push(*found);
        Ok(())
    })
    .unwrap();
    for (seq, number) in acks {
        let found = shares.get((seq - first) as usize);
        assert_eq!(found, Some(&share(number)), "share {seq} was acknowledged and is not there");
    }
    drop(state);
    let newest = view.log().segments().next_back().unwrap();
    let len = std::fs::metadata(dir.join(newest.name())).unwrap().len();
    u64::from(len > newest.bytes)
}

/// The chain verifies, nothing is there twice, nothing was invented; counts shares and blocks.
fn check_all(dir: &Path) -> (u64, u64) {
    drop(Journal::open(Arc::new(RealDisk), dir, Options::new(FORMAT)).unwrap());
    let (view, _) = JournalView::open(Arc::new(RealDisk), dir).unwrap();
    view.verify().unwrap();
    let (mut numbers, mut due, mut blocks) = (BTreeSet::new(), 1, 0);
    for entry in view.records(0) {
        match entry.unwrap().record {
            Record::Shares(block) => {
                for (seq, found) in block.numbered() {
                    assert_eq!(seq, ShareSeq(due));
                    due += 1;
                    assert_eq!(*found, share(found.job.0), "a share that nobody recorded");
                    assert!(numbers.insert(found.job), "share {seq} is there twice");
                }
            }
            Record::Solution(found) => {
                blocks += 1;
                let number = u64::from_le_bytes(found.block.as_slice().try_into().unwrap());
                assert_eq!(found.share, Some(ShareSeq(due - 1)));
                assert!(numbers.contains(&JobId(number)), "a block without its share");
            }
            _ => {}
        }
    }
    assert_eq!(view.newest(), ShareSeq(due - 1));
    (due - 1, blocks)
}
