//! What a start looks up for the blocks that it follows on: many records, each segment read once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_journal::{Job, Journal};
use millpond_types::{Amount, Digest, JobId, Target, UnixMillis};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn job(id: u64) -> Job {
    Job {
        id: JobId(id),
        coord: 800_000 + id,
        parent: vec![7; 32],
        recipe: 0,
        network_target: Target::BITCOIN_DIFF1,
        network_work: 1 << 32,
        reward: Amount(312_500_000 + id),
        subsidy: None,
        plan: None,
        adapter: Digest::of(b"adapter"),
        time: UnixMillis(1),
    }
}

#[test]
fn jobs_and_solutions_of_many_blocks_are_found_with_one_reading_of_each_segment() {
    let disk = Arc::new(CountingDisk::new(SimDisk::new()));
    let (journal, _) = Journal::open(disk.clone(), Path::new(DIR), options()).unwrap();
    let blocks: Vec<u64> = (1..=60).collect();
    for block in &blocks {
        journal.record(job(*block)).wait().unwrap();
        fill(&journal, block * 20 - 19, block * 20);
        let mut solution = solution(&block.to_le_bytes());
        solution.job = JobId(*block);
        journal.solution(solution, None).wait().unwrap();
    }
    let view = journal.view();
    let segments: Vec<_> = view.log().segments().cloned().collect();
    assert!(segments.len() > 10);
    let size: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let read = || disk.read.lock().values().sum::<u64>();

    let positions: BTreeSet<u64> = journal.open_blocks().iter().map(|open| open.position).collect();
    assert_eq!(positions.len(), blocks.len());
    let before = read();
    let solutions = journal.solutions_at(&positions).unwrap();
    assert!(read() - before <= size, "{} bytes read of {size}", read() - before);
    let found: Vec<_> = solutions.iter().map(|(_, solution)| solution.block.clone()).collect();
    let made: Vec<_> = blocks.iter().map(|block| block.to_le_bytes().to_vec()).collect();
    assert_eq!(found, made);

    let some: BTreeSet<Vec<u8>> = [&made[0], &made[30], &b"nobody's".to_vec()].into_iter().cloned().collect();
    let before = read();
    let of = view.solutions_of(some).unwrap();
    assert!(read() - before <= size, "{} bytes read of {size}", read() - before);
    assert_eq!(of.iter().map(|solution| &solution.block).collect::<Vec<_>>(), [&made[30], &made[0]]);

    let mut wanted: BTreeSet<JobId> = solutions.iter().map(|(_, solution)| solution.job).collect();
    let before = read();
    let jobs = view.jobs(&wanted).unwrap();
    assert!(read() - before <= size, "{} bytes read of {size}", read() - before);
    assert_eq!(jobs.into_values().collect::<Vec<_>>(), blocks.iter().map(|id| job(*id)).collect::<Vec<_>>());

    // A reader that keeps segments reads each once, however often it asks and for whatever.
    let (keeping, before) = (view.keeping(), read());
    for id in blocks.iter().rev().chain(&blocks) {
        assert_eq!(keeping.jobs(&[JobId(*id)].into()).unwrap().into_values().collect::<Vec<_>>(), [job(*id)]);
    }
    assert!(keeping.jobs(&[JobId(9_999)].into()).unwrap().is_empty());
    assert!(read() - before <= size, "{} bytes read of {size}", read() - before);

    // The newest ones need the newest segments only; what was never recorded is left out, and costs no more.
    let newest = [JobId(60)].into();
    let before = read();
    assert_eq!(view.jobs(&newest).unwrap().len(), 1);
    assert!(read() - before < size / 3, "{} bytes read of {size}", read() - before);
    wanted.insert(JobId(9_999));
    assert_eq!(view.jobs(&wanted).unwrap().len(), blocks.len());
    assert!(view.jobs(&BTreeSet::new()).unwrap().is_empty());
    let behind = journal.solutions_at(&[positions.last().unwrap() + 1_000].into()).unwrap();
    assert!(behind.is_empty());
}
