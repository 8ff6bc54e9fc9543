//! Money from shares to balances with the bundled components, and its replay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../support/broken.rs"]
mod broken;
mod broken_fee;
mod cells;
mod coinbase;
mod conduct;
mod fees;
mod gate;
mod history;
mod interrupted;
mod kept;
mod notice;
mod once;
mod retention;
mod reversal;
mod run_off;
mod second;
mod support;
mod swaps;
mod what_if;

use millpond_disk::{Disk, Keep};
use millpond_journal::{Income, IncomeAt, JournalView, Record, WindowEnd};
use millpond_pool::replay::ReplayError;
use millpond_types::{Amount, ShareSeq, UnixMillis};
use std::path::Path;
use std::sync::Arc;
use support::{Pool, wanted};

#[test]
fn an_income_is_divided_matured_and_replayed_to_the_unit() {
    let mut pool = Pool::start(&wanted("prop", Vec::new(), 100));
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    pool.share(a, 300);
    pool.share(b, 600);
    let income = pool.block(a, 5_000_000_001);
    assert_eq!(pool.payable(a), 0, "immature is not payable");
    pool.mature(&income);
    let totals = pool.ledger.totals();
    assert!(totals.conserved, "{totals:?}");
    assert_eq!(totals.income, 5_000_000_001);
    assert_eq!(totals.credited + totals.fees + totals.carried, totals.income);
    assert_eq!(pool.payable(a) + pool.payable(b), u64::try_from(totals.credited).unwrap());
    // 400 and 600 of 1000 shares of work, one percent off each.
    assert_eq!((pool.payable(a), pool.payable(b)), (1_980_000_000, 2_970_000_001));
    let replayed = pool.replay().unwrap();
    assert_eq!((replayed.incomes, replayed.entries), (1, 2));
    assert!(replayed.calls >= 3, "{replayed:?}");
}

#[test]
fn one_flipped_bit_in_an_old_share_makes_the_replay_fail() {
    let mut pool = Pool::start(&wanted("pplns", Vec::new(), 0));
    let a = pool.miner("a");
    let first = pool.share(a, 10);
    pool.share(a, 10);
    let income = pool.block(a, 5_000);
    pool.mature(&income);
    pool.replay().unwrap();
    assert_eq!(first, ShareSeq(1));
    let shared: Arc<dyn Disk> = Arc::new(pool.disk.clone());
    let (view, _) = JournalView::open(shared, Path::new("/journal")).unwrap();
    let mut at = None;
    for record in view.records(1) {
        let record = record.unwrap();
        if matches!(record.record, Record::Shares(_)) && at.is_none() {
            at = Some(record.position);
        }
    }
    assert!(at.is_some());
    let file = Path::new("/journal/00000000000000000001.seg");
    let bytes = millpond_disk::read_file(&pool.disk, file).unwrap();
    let id = {
        // The id of the first share stands in the file as it is.
        let mut id = [0; 32];
        id[..8].copy_from_slice(&1_001_000_u64.to_le_bytes());
        bytes.windows(32).position(|window| window == id).expect("the share's id is in the segment")
    };
    pool.disk.flip_bit(file, id as u64 + 9, 3).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(pool.disk.clone());
    let opened = JournalView::open(Arc::clone(&shared), Path::new("/journal"));
    let told = match opened {
        Err(why) => why.to_string(),
        Ok(_) => pool.replay().unwrap_err().to_string(),
    };
    assert!(told.contains("00000000000000000001") || told.contains("offset"), "{told}");
}

#[test]
fn shares_are_credited_from_the_reserve_until_it_is_spent() {
    let mut pps = wanted("pps", Vec::new(), 0);
    // A share of work 100 of 1000 is worth a tenth of the reward.
    pps.reserve = Amount(1_200_000_000);
    let mut pool = Pool::start(&pps);
    let a = pool.miner("a");
    for _ in 0..2 {
        pool.share(a, 100);
    }
    pool.books.credit_shares(UnixMillis(pool.clock)).unwrap();
    assert_eq!(pool.payable(a), 1_000_000_000);
    pool.share(a, 100);
    pool.books.credit_shares(UnixMillis(pool.clock)).unwrap();
    assert_eq!(pool.payable(a), 1_000_000_000, "what is left does not cover the third share");
    assert!(pool.books.troubles().1, "the operator is told");
    assert!(pool.ledger.totals().conserved);
    // More declared at the next start: credit goes on where it stopped.
    let (disk, clock) = (pool.disk.clone(), pool.clock);
    drop(pool);
    pps.reserve = Amount(2_000_000_000);
    let pool = Pool::open(disk, &pps, clock, 0);
    pool.books.credit_shares(UnixMillis(clock)).unwrap();
    assert_eq!(pool.payable(a), 1_500_000_000);
    let replayed = pool.replay().unwrap();
    assert_eq!(replayed.batches, 2);
}

#[test]
fn what_a_crash_left_undone_is_done_at_the_next_start_once() {
    let scheme = wanted("prop", Vec::new(), 250);
    let mut pool = Pool::start(&scheme);
    let a = pool.miner("a");
    pool.share(a, 10);
    let income = pool.block(a, 777);
    // The journal has it as mature, the ledger not yet.
    let mature = Income { mature: true, ..income.clone() };
    pool.journal.record(mature).wait().unwrap();
    // A second income is recorded, and then the power goes before it is divided.
    let other = Income { key: b"other".to_vec(), amount: Amount(1_001), ..income };
    pool.journal.record(other).wait().unwrap();
    let (disk, clock) = (pool.disk.clone(), pool.clock);
    drop(pool);
    disk.cut(3, Keep::Nothing);
    disk.power_on();
    let pool = Pool::open(disk, &scheme, clock, 1);
    assert_eq!(pool.books.close_closed().unwrap(), 1);
    assert_eq!(pool.books.close_closed().unwrap(), 0);
    assert!(pool.payable(a) > 0, "what had matured is payable");
    assert_eq!(pool.books.catch_up().unwrap(), 0);
    assert_eq!(pool.books.catch_up().unwrap(), 0);
    assert_eq!(pool.ledger.book().incomes().count(), 2);
    pool.replay().unwrap();
}

#[test]
fn an_income_that_can_be_spent_before_it_is_divided_is_divided_then() {
    let mut pool = Pool::start(&wanted("prop", Vec::new(), 250));
    let a = pool.miner("a");
    pool.share(a, 10);
    let income = pool.block(a, 777);
    let waits = Income { key: b"waits".to_vec(), amount: Amount(1_001), ..income };
    pool.journal.record(waits.clone()).wait().unwrap();
    // The chain is quicker than the money thread: nothing was divided yet, and a restart in between asks it again.
    assert!(pool.journal.open_incomes().contains(&waits));
    pool.mature(&waits);
    assert!(pool.payable(a) > 900, "{}", pool.payable(a));
    assert!(!pool.journal.open_incomes().iter().any(|open| open.key == waits.key), "the journal knows");
    pool.mature(&waits);
    pool.replay().unwrap();
}

#[test]
fn a_lost_income_gives_nothing_and_leaves_no_trace_in_balances() {
    let mut pool = Pool::start(&wanted("prop", Vec::new(), 100));
    let a = pool.miner("a");
    pool.share(a, 10);
    let income = pool.block(a, 1_000_000);
    pool.lose(&income);
    let totals = pool.ledger.totals();
    assert!(totals.conserved);
    assert_eq!((totals.income, totals.credited, totals.immature), (0, 0, 0));
    pool.replay().unwrap();
}

#[test]
fn a_ledger_entry_without_its_raw_record_fails_the_replay() {
    let mut pool = Pool::start(&wanted("prop", Vec::new(), 0));
    let a = pool.miner("a");
    pool.share(a, 10);
    // Divided without ever having been recorded: the ledger says something that the journal does not.
    let end = WindowEnd {
        seq: ShareSeq(1),
        time: UnixMillis(pool.clock),
        coord: 100,
        network_work: 1_000,
        ..WindowEnd::default()
    };
    let income = Income {
        key: b"invented".to_vec(),
        amount: Amount(5),
        at: IncomeAt::Coord(100),
        mature: false,
        job: None,
        finder: None,
        end,
        time: UnixMillis(pool.clock),
    };
    pool.books.divide(&income).unwrap();
    let told = pool.replay().unwrap_err();
    assert!(matches!(told, ReplayError::Differs { .. }), "{told}");
    assert!(pool.loader.store().get(millpond_types::Digest([0; 32])).is_err());
}
