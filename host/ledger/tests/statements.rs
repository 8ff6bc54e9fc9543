//! A statement's lines add up to what its owner has, whatever became of his incomes and payments.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::{Disk, SimDisk};
use millpond_ledger::{
    Account, Book, Entry, IncomeKey, Ledger, Owner, Record, Reversal, StatementLine, StatementWhat,
};
use millpond_types::{Amount, Digest};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

fn owners() -> Vec<Owner> {
    (1..4).map(miner).chain([operator(), Owner::Carry, Owner::Reserve, miner(99)]).collect()
}

/// The lines of each owner add up to what the book says of him.
fn adds_up(ledger: &Ledger) {
    for owner in owners() {
        let statement = ledger.reader().statement(&owner).unwrap();
        let sum = |of: fn(&StatementLine) -> i128| statement.lines.iter().map(of).sum::<i128>();
        let book = ledger.book();
        let had = [Account::Immature(owner.clone()), Account::Payable(owner.clone())];
        let [immature, payable] = had.map(|account| book.balance(&account));
        let context = format!("{owner}: {:#?}", statement.lines);
        assert_eq!(sum(|line| line.immature), immature, "{context}");
        assert_eq!(sum(|line| line.payable), payable, "{context}");
        // What a coinbase paid and the chain took back may be more than what was counted as paid; nobody is shown less than
        // nothing.
        assert_eq!(sum(|line| line.paid).max(0), i128::from(book.paid(&owner).0), "{context}");
        let told = (statement.immature, statement.payable, statement.paid);
        assert_eq!(told, (book.immature(&owner), book.payable(&owner), book.paid(&owner)));
        let pooled = |line: &StatementLine| matches!(line.what, StatementWhat::Pooled { .. });
        let alone = matches!(owner, Owner::Miner(_) | Owner::Fee(_));
        assert!(!alone || !statement.lines.iter().any(pooled), "a line that says nothing: {context}");
    }
}

/// What may be tried with one income: of two divisions, one that the chain pays itself, one with carried-in units.
fn steps() -> Vec<Entry> {
    let one = [(miner(1), 700), (miner(2), 300), (Owner::Carry, 9)];
    let other = income(1, 5, &[(miner(2), 900), (operator(), 20)]);
    vec![
        allocated(1, &one),
        Entry::IncomeAllocated(other),
        Entry::IncomeAllocated(income(1, 0, &[(miner(1), 500)]).paid_directly()),
        matured(1),
        reversed(1, Reversal::Drop),
        reversed(1, Reversal::Keep),
        Entry::Reinstated { key: key(1) },
    ]
}

fn record(seq: u64, entry: Entry) -> Record {
    Record { v: 1, seq, at: AT, prev: Digest::default(), entry }
}

#[test]
fn lines_add_up_in_every_order_of_an_incomes_entries_that_the_book_accepts() {
    // Units of the carry account, for the division that takes some in.
    let first = deposit(Owner::Carry, 50);
    let mut book = Book::default();
    book.replay(&record(1, first.clone())).unwrap();
    let mut open_ends = vec![(book, vec![first])];
    let mut histories = 0;
    while let Some((book, entries)) = open_ends.pop() {
        let ledger = open(&SimDisk::new());
        for entry in &entries {
            now(&ledger, entry.clone());
        }
        adds_up(&ledger);
        histories += 1;
        for step in steps().into_iter().filter(|_| entries.len() < 7) {
            let mut book = book.clone();
            if book.replay(&record(entries.len() as u64 + 1, step.clone())).is_ok() {
                open_ends.push((book, entries.iter().cloned().chain([step]).collect()));
            }
        }
    }
    assert!(histories > 300, "only {histories}");
}

/// What a statement once counted twice: the operator made a part good, and the chain had the income after all.
#[test]
fn a_part_that_was_made_good_is_counted_once_when_its_income_matures_after_all() {
    let ledger = open(&SimDisk::new());
    for entry in [
        allocated(1, &[(miner(1), 500)]),
        reversed(1, Reversal::Keep),
        Entry::Reinstated { key: key(1) },
        matured(1),
    ] {
        now(&ledger, entry);
    }
    let lines = ledger.reader().statement(&miner(1)).unwrap().lines;
    let moved: Vec<_> = lines.iter().map(|line| (line.immature, line.payable)).collect();
    assert_eq!(moved, [(500, 0), (-500, 500), (0, 0), (0, 0)]);
    assert!(matches!(lines[2].what, StatementWhat::Reinstated { part: Amount(500), .. }));
    // As a program reads it.
    let shown = serde_json::to_value(&lines[1]).unwrap();
    assert_eq!((&shown["payable"], &shown["what"]), (&500.into(), &"reversed".into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn lines_add_up_whatever_happens(entries in proptest::collection::vec(any_entry(), 1..80)) {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let ledger = Ledger::open_with(disk, Path::new(DIR), 7).unwrap();
        for entry in entries {
            let _ = ledger.append(AT, entry);
        }
        adds_up(&ledger);
    }
}

/// The root over an income's parts, by the words of docs/operator.md and by nothing of this crate.
fn root_by_the_book(key: &IncomeKey, parts: &[(String, u64)]) -> (Digest, u64) {
    let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut level: Vec<(Digest, u64)> = parts
        .iter()
        .map(|(owner, part)| {
            let leaf =
                [b"millpond leaf 1\0", hex.as_bytes(), b"\0", owner.as_bytes(), b"\0", &part.to_le_bytes()];
            (Digest::of(&leaf.concat()), *part)
        })
        .collect();
    while level.len() > 1 {
        let join = |pair: &[(Digest, u64)]| match pair {
            [(left, left_sum), (right, right_sum)] => {
                let (one, other) = (left_sum.to_le_bytes(), right_sum.to_le_bytes());
                let node = [&b"millpond node 1\0"[..], &left.0, &one, &right.0, &other];
                (Digest::of(&node.concat()), left_sum + right_sum)
            }
            _ => pair[0],
        };
        level = level.chunks(2).map(join).collect();
    }
    level[0]
}

#[test]
fn who_follows_the_documentation_arrives_at_the_root() {
    let key = IncomeKey::new((0xa0..0xc0).collect()).unwrap();
    let owners = [miner(2), miner(10), miner(11), operator(), Owner::Carry];
    let list: Vec<_> = owners.iter().cloned().zip([5, 1 << 40, 300, 17, 2]).collect();
    let root = millpond_ledger::root(&key, &parts(&list)).unwrap();
    let written: Vec<_> = list.iter().map(|(owner, part)| (owner.to_string(), *part)).collect();
    assert_eq!(root_by_the_book(&key, &written), (root.hash, root.sum.0));
    let docs = include_str!("../../../docs/operator.md");
    assert!(docs.contains("the income's key in hex, in small letters"), "which bytes of the key are hashed");
}

#[test]
fn the_documentation_names_every_kind_of_entry() {
    let docs = include_str!("../../../docs/researcher.md");
    let kinds = [
        allocated(1, &[(miner(1), 1)]),
        matured(1),
        reversed(1, Reversal::Keep),
        Entry::Reinstated { key: key(1) },
        accrued(1, 1, &[(miner(1), 1)]),
        reserved(1, &[(miner(1), 1)]),
        submitting(1),
        settled(1, 0, &[]),
        released(1),
        adjustment(&[]),
        Entry::NetworkFee { txid: millpond_ledger::TxId(String::new()), amount: Amount(1) },
        Entry::Noted { by: String::new(), action: String::new(), detail: String::new() },
        Entry::Checkpoint { book: Digest::default() },
    ];
    for kind in kinds.iter().map(Entry::kind) {
        assert!(docs.contains(&format!("`{kind}`")), "{kind} is not in docs/researcher.md");
    }
}
