//! The index of accounts: derived from the log, for pages of one account.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_ledger::{Account, AccountIndex, Entry, Ledger, Owned, Owner, Record, StatementWhat};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What each owner's account consists of by the records themselves, newest first: record and amount.
fn by_the_log(ledger: &Ledger) -> BTreeMap<Owner, Vec<(u64, i128)>> {
    let mut all: BTreeMap<Owner, Vec<(u64, i128)>> = BTreeMap::new();
    let mut take = |record: &Record| {
        let mut own =
            |owner: &Owner, amount| all.entry(owner.clone()).or_default().insert(0, (record.seq, amount));
        match &record.entry {
            Entry::IncomeAllocated(income) => {
                income.parts.shares().iter().for_each(|part| own(&part.0, i128::from(part.1.0)));
            }
            Entry::Accrued { parts, .. } => {
                parts.shares().iter().for_each(|part| own(&part.0, i128::from(part.1.0)));
            }
            Entry::PaymentReserved { rows, .. } => {
                rows.iter().for_each(|row| own(&row.owner, -i128::from(row.amount.0)));
            }
            Entry::Adjustment { postings, .. } => {
                let payable = postings.iter().filter_map(|posting| match &posting.account {
                    Account::Payable(owner) => Some((owner, -posting.amount)),
                    _ => None,
                });
                payable.for_each(|(owner, amount)| own(owner, amount));
            }
            _ => {}
        }
    };
    ledger
        .reader()
        .for_each_record(&mut |record, _| {
            take(record);
            Ok(())
        })
        .unwrap();
    all
}

/// An account in pages of a size.
fn paged(ledger: &Ledger, owner: &Owner, size: usize) -> Vec<(u64, i128)> {
    let mut all = Vec::new();
    loop {
        let before = all.last().map(|row: &(u64, i128)| row.0);
        let page = ledger.owned(owner, before, size).unwrap();
        assert!(page.len() <= size);
        if page.is_empty() {
            return all;
        }
        all.extend(page.iter().map(|entry| (entry.seq, entry.amount)));
    }
}

/// Enough miners for blocks, from this number on, `apart` from each other.
fn many(first: u64, apart: u64, amount: u64) -> Vec<(Owner, u64)> {
    let miners = (0..1_030).map(|number| (miner(first + number * apart), amount + number));
    miners.chain([(operator(), 9), (Owner::Carry, 1)]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn accounts_are_what_the_records_say_in_pages_of_any_size(
        kinds in proptest::collection::vec((0..6_u8, 1_u64..5), 1..24),
        size in 1_usize..5,
        restart in 0_usize..24,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let disk = SimDisk::new();
        let mut ledger = open(&disk);
        ledger.attach_index(AccountIndex::open(folder.path()).unwrap()).unwrap();
        now(&ledger, deposit(Owner::Reserve, 1_000_000_000));
        let (mut shares, mut payments) = (0, 0);
        for (number, (kind, at)) in (1..).zip(&kinds) {
            let list = match kind {
                0 | 1 => many(*at, 1, 5),
                2 => many(*at * 1_000, 3, 1 << 20),
                _ => vec![(miner(*at), 7), (miner(*at + 1_024), 8)],
            };
            match kind {
                // Of miners alone, as shares are credited.
                1 => {
                    now(&ledger, accrued(shares + 1, shares + 1, &list[..1_030]));
                    shares += 1;
                }
                5 => {
                    now(&ledger, deposit(miner(*at), 50));
                    payments += 1;
                    now(&ledger, reserved(payments, &[(miner(*at), 40)]));
                }
                _ => {
                    now(&ledger, allocated(number, &list));
                }
            }
            if number as usize == restart {
                drop(ledger);
                ledger = open(&disk);
                prop_assert_eq!(ledger.attach_index(AccountIndex::open(folder.path()).unwrap()).unwrap(), 0);
            }
        }
        prop_assert!(ledger.index_error().is_none());
        for (owner, rows) in by_the_log(&ledger) {
            prop_assert_eq!(paged(&ledger, &owner, size), rows, "{}", owner);
        }
        prop_assert_eq!(paged(&ledger, &miner(1_000_000), size), vec![]);
    }
}

#[test]
fn who_left_long_ago_finds_his_account_behind_a_hundred_records_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&SimDisk::new());
    ledger.attach_index(AccountIndex::open(folder.path()).unwrap()).unwrap();
    now(&ledger, allocated(1, &many(1, 1, 5)));
    now(&ledger, allocated(2, &many(1, 1, 50)));
    for number in 3..103 {
        now(&ledger, allocated(number, &many(2, 1, 5)));
    }
    let page = ledger.owned(&miner(1), None, 10).unwrap();
    assert_eq!(page.iter().map(|entry| (entry.seq, entry.amount)).collect::<Vec<_>>(), [(2, 50), (1, 5)]);
    // From the middle of those of the others too.
    let page = ledger.owned(&miner(1), Some(90), 1).unwrap();
    assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2]);
    assert_eq!(ledger.owned(&miner(2), None, 1_000).unwrap().len(), 102);
}

#[test]
fn an_index_of_the_first_form_is_made_anew_and_its_balances_go() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = write(&SimDisk::new());
    {
        let db = sled::open(folder.path()).unwrap();
        db.open_tree("balances").unwrap().insert("payable/m1", &7_i128.to_le_bytes()).unwrap();
        let owned = db.open_tree("owned").unwrap();
        owned.insert("head", serde_json::to_vec(&ledger.head()).unwrap()).unwrap();
        owned.insert(b"m1\0aaaaaaaa", b"{}").unwrap();
    }
    let head = ledger.head();
    assert_eq!(ledger.attach_index(AccountIndex::open(folder.path()).unwrap()).unwrap(), head.seq);
    let seqs: Vec<u64> = ledger.owned(&miner(1), None, 100).unwrap().iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, statement_seqs(&ledger, &miner(1)));
    drop(ledger);
    let index = AccountIndex::open(folder.path()).unwrap();
    assert_eq!(index.head().unwrap(), Some(head), "it is not made anew again");
    drop(index);
    let db = sled::open(folder.path()).unwrap();
    assert!(!db.tree_names().iter().any(|name| name.as_ref() == b"balances"));
}

#[test]
fn an_owners_entries_are_read_from_the_index_and_come_back_with_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let disk = SimDisk::new();
    let ledger = write(&disk);
    assert_eq!(ledger.owned(&miner(1), None, 10), None, "there is no index yet");
    ledger.attach_index(AccountIndex::open(&path).unwrap()).unwrap();
    let all = ledger.owned(&miner(1), None, 100).unwrap();
    let of_log: Vec<u64> = statement_seqs(&ledger, &miner(1));
    assert!(of_log.len() > 2, "{of_log:?}");
    assert_eq!(all.iter().map(|entry| entry.seq).collect::<Vec<_>>(), of_log);
    // In pages, each before the last of the one before.
    let mut paged = Vec::new();
    while let Some(page) = ledger.owned(&miner(1), paged.last().map(|entry: &Owned| entry.seq), 1) {
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(ledger.owned(&miner(11), None, 10), Some(Vec::new()), "another with the same beginning");

    // What is written from now on is in it, and nothing else is read for it.
    now(&ledger, allocated(77, &[(miner(1), 5), (miner(2), 6)]));
    let newest = ledger.owned(&miner(1), None, 1).unwrap().remove(0);
    assert_eq!((newest.amount, newest.seq), (5, ledger.head().seq));
    let all = ledger.owned(&miner(1), None, 100).unwrap();
    drop(ledger);
    // Behind by what was written without it, and gone altogether: the same.
    let ledger = open(&disk);
    now(&ledger, allocated(78, &[(miner(1), 8)]));
    ledger.attach_index(AccountIndex::open(&path).unwrap()).unwrap();
    let more = ledger.owned(&miner(1), None, 100).unwrap();
    assert_eq!((more[0].amount, &more[1..]), (8, &all[..]));
    drop(ledger);
    std::fs::remove_dir_all(&path).unwrap();
    let ledger = open(&disk);
    ledger.attach_index(AccountIndex::open(&path).unwrap()).unwrap();
    assert_eq!(ledger.owned(&miner(1), None, 100), Some(more));
    drop(ledger);
    // Of another history: forgotten, and made anew.
    let other = open(&SimDisk::new());
    now(&other, allocated(1, &[(miner(1), 3)]));
    other.attach_index(AccountIndex::open(&path).unwrap()).unwrap();
    assert_eq!(other.owned(&miner(1), None, 100).unwrap().len(), 1);
}

/// Records that put something on an owner's account, by his statement, newest first.
fn statement_seqs(ledger: &Ledger, owner: &Owner) -> Vec<u64> {
    use StatementWhat::{Accrued, Adjusted, Credited, Reserved};
    let lines = ledger.reader().statement(owner).unwrap().lines.into_iter().rev();
    lines
        .filter(|line| {
            matches!(line.what, Credited { .. } | Accrued { .. } | Reserved { .. } | Adjusted { .. })
        })
        .map(|line| line.seq)
        .collect()
}

#[test]
fn an_index_that_somebody_has_open_is_not_taken_from_him() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = write(&SimDisk::new());
    ledger.attach_index(AccountIndex::open(folder.path()).unwrap()).unwrap();
    let error = AccountIndex::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("could not acquire lock"), "{error}");
    let head = ledger.head();
    drop(ledger);
    assert_eq!(AccountIndex::open(folder.path()).unwrap().head().unwrap(), Some(head));
}
