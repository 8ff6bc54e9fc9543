//! Power cuts under a whole journal: what the pool was told is durable is there, and it adds up.
//! `MILLPOND_CUTS` sets how many random cuts are tried (40 without it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::{Keep, SimDisk};
use millpond_journal::*;
use millpond_types::{MinerId, ShareSeq, UnixMillis};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn random(seed: u64, bound: u64) -> u64 {
    let digest = millpond_types::Digest::of(&seed.to_le_bytes()).0;
    u64::from_le_bytes(digest[..8].try_into().unwrap()) % bound
}

/// What was acknowledged in all lives of one disk.
#[derive(Default)]
struct Acknowledged {
    shares: BTreeMap<ShareSeq, u64>,
    blocks: BTreeMap<Vec<u8>, Option<ShareSeq>>,
    miners: BTreeMap<Vec<u8>, MinerId>,
}

/// One life: miners come, shares are accepted, blocks are found, old shares are dropped, until the power fails.
fn live(journal: &Journal, numbers: std::ops::Range<u64>, acknowledged: &mut Acknowledged) {
    for number in numbers {
        let payee = (number % 40).to_le_bytes().to_vec();
        let miner = journal.miner(&payee, "address");
        let waiting: Vec<_> = (0..1 + number % 5).map(|_| journal.share(share(number))).collect();
        if number % 9 == 0 {
            let block = number.to_be_bytes().to_vec();
            if let Ok(seq) = journal.solution(solution(&block), Some(share(number))).wait() {
                acknowledged.shares.insert(seq.unwrap(), number);
                acknowledged.blocks.insert(block, seq);
            }
        }
        if let Ok(id) = miner.wait() {
            assert_eq!(*acknowledged.miners.entry(payee).or_insert(id), id);
        }
        for commit in waiting {
            if let Ok(seq) = commit.wait() {
                assert_eq!(
                    acknowledged.shares.insert(seq, number),
                    None,
                    "share number {seq} was given twice"
                );
            }
        }
        if number % 37 == 0 {
            // Final blocks no longer hold old segments; whether they are still open after a cut is not known.
            for block in std::mem::take(&mut acknowledged.blocks).into_keys() {
                let _ = journal.record(Fate { block, fate: BlockFate::Final, time: UnixMillis(1) }).wait();
            }
            let _ = journal.drop_before(ShareSeq(journal.view().newest().0.saturating_sub(60)));
        }
        if journal.poisoned().is_some() {
            return;
        }
    }
}

#[test]
fn shares_blocks_and_miners_that_were_acknowledged_survive_cuts_at_random_moments() {
    let cuts = std::env::var("MILLPOND_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(40);
    let (mut lost_a_tail, mut dropped) = (0, 0);
    for seed in 0..cuts {
        let disk = SimDisk::new();
        let keep =
            [Keep::RandomSubset, Keep::Nothing, Keep::RandomSubset, Keep::Everything][seed as usize % 4];
        let mut acknowledged = Acknowledged::default();
        for life in 0..3 {
            disk.cut_at(1 + random(seed * 3 + life, 300), seed, keep);
            let opened = Journal::open(Arc::new(disk.clone()), Path::new(DIR), options());
            if let Ok((journal, recovered)) = opened {
                lost_a_tail += u64::from(recovered.opened.truncated.is_some());
                live(&journal, life * 60..(life + 1) * 60, &mut acknowledged);
            }
            if !disk.is_off() {
                disk.cut(seed, keep);
            }
            disk.power_on();
        }
        let (journal, recovered) = open(&disk);
        let view = journal.view();
        view.verify().unwrap();
        let newest_told = acknowledged.shares.keys().next_back().copied().unwrap_or_default();
        assert!(recovered.newest >= newest_told, "seed {seed}: acknowledged shares are gone");
        let mut found = BTreeMap::new();
        view.shares(ShareSeq(0), |seq, share| -> Result<(), JournalError> {
            assert_eq!(found.insert(seq, *share), None, "seed {seed}: share {seq} is there twice");
            Ok(())
        })
        .unwrap();
        dropped += u64::from(journal.dropped().last.0 > 0);
        let first = found.keys().next().copied().unwrap_or_default();
        assert!(
            first.0 <= journal.dropped().last.0 + 1,
            "seed {seed}: more shares are gone than were dropped"
        );
        for (seq, number) in acknowledged.shares.range(first..) {
            assert_eq!(found.get(seq), Some(&share(*number)), "seed {seed}: share {seq}");
        }
        for (payee, id) in &acknowledged.miners {
            assert_eq!(journal.miner_by_payee(payee), Some(*id), "seed {seed}: a miner has another number");
        }
        let open: BTreeMap<_, _> = journal.open_blocks().into_iter().map(|o| (o.block, o.share)).collect();
        for (block, seq) in &acknowledged.blocks {
            assert_eq!(open.get(block), Some(seq), "seed {seed}: a block is gone");
        }
        assert_eq!(recovered.unsubmitted.len(), open.len());
        // The sum over a window is the sum over its shares, whatever was cut and dropped.
        let end = WindowEnd { seq: recovered.newest, ..WindowEnd::default() };
        let count = found.range(ShareSeq(journal.dropped().last.0 + 1)..).count() as u64;
        let window = Window { span: Span::Shares(count), measure: Measure::Work, edge: Edge::Whole };
        let sum: u128 = view.window(&window, &end, None).unwrap().iter().map(|(_, work)| work).sum();
        let kept = found.range(ShareSeq(journal.dropped().last.0 + 1)..);
        assert_eq!(sum, kept.map(|(_, share)| u128::from(share.work.0)).sum::<u128>(), "seed {seed}");
    }
    assert!(dropped > cuts / 4, "only {dropped} journals dropped segments");
    assert!(lost_a_tail > 0, "no cut tore a write: the test does not test");
}
