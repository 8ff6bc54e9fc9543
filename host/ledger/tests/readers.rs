//! What readers of the book are promised while somebody writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_ledger::{Account, Entry};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// More than a block of a column holds.
const MINERS: u64 = 2_500;

fn history() -> Vec<Entry> {
    (1..=12)
        .flat_map(|number| {
            let list: Vec<_> = (1..=MINERS).map(|id| (miner(id), number * 1_000 + id)).collect();
            [allocated(number, &list), matured(number)]
        })
        .collect()
}

#[test]
fn a_reader_sees_an_entry_whole_or_not_at_all() {
    let ledger = open(&SimDisk::new());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) || seen.is_empty() {
                let book = ledger.book();
                let totals = book.totals_anew();
                assert!(totals.conserved, "{totals:?}");
                let immature = book.balances().filter(|row| matches!(row.0, Account::Immature(_)));
                assert_eq!(immature.map(|row| row.1).sum::<i128>(), totals.immature);
                seen.push(totals);
            }
            seen
        });
        for entry in history() {
            now(&ledger, entry);
        }
        done.store(true, Ordering::Relaxed);
        // Whatever it saw, the books were whole then, and incomes never shrank.
        let seen = reader.join().unwrap();
        assert!(seen.is_sorted_by_key(|totals| totals.income));
    });
    assert_eq!(ledger.totals(), ledger.book().totals_anew());
}

#[test]
fn who_holds_the_book_holds_up_an_append_and_no_other_reader() {
    let ledger = open(&SimDisk::new());
    thread::scope(|scope| {
        let held = ledger.book();
        let writer = scope.spawn(|| now(&ledger, allocated(1, &[(miner(1), 500)])));
        // Durable, and not counted yet: the writer waits for the book, or is about to.
        while ledger.reader().log().next_index() < 2 {
            thread::yield_now();
        }
        for _ in 0..10_000 {
            assert_eq!(ledger.book().immature(&miner(1)).0, 0);
            assert_eq!(ledger.balance(&Account::Immature(miner(1))), 0);
            thread::yield_now();
        }
        assert!(!writer.is_finished());
        drop(held);
        writer.join().unwrap();
    });
    assert_eq!(ledger.book().immature(&miner(1)).0, 500);
}
