//! The books in other programs' words: they balance, and come to the book's own balances.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_ledger::{
    Account, Accounting, Class, Commodity, Entry, ExportFormat, FeeName, Ledger, Miners, Owner, Reversal,
};
use millpond_types::UnixMillis;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::process::Command;

fn accounting(miners: Miners, from: u64) -> Accounting {
    Accounting { commodity: Commodity::new("BTC", 8).unwrap(), miners, from }
}

fn text(ledger: &Ledger, format: &ExportFormat) -> String {
    let mut out = Vec::new();
    let records = ledger.reader().export(format, &mut out).unwrap();
    assert_eq!(records, ledger.head().seq);
    String::from_utf8(out).unwrap()
}

/// A decimal with eight digits, in units.
fn units(written: &str) -> i128 {
    let (whole, part) = written.split_once('.').unwrap();
    assert_eq!(part.len(), 8, "{written}");
    format!("{whole}{part}").parse().unwrap()
}

/// Sums of postings by account, and what is said of balances; each transaction sums to zero.
fn read(text: &str) -> (BTreeMap<String, i128>, BTreeMap<String, i128>) {
    let (mut sums, mut told) = (BTreeMap::<String, i128>::new(), BTreeMap::new());
    let mut open = 0;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match &words[..] {
            // A posting.
            [name, amount, "BTC"] if line.starts_with("  ") => {
                *sums.entry((*name).to_owned()).or_default() += units(amount);
                open += units(amount);
            }
            // Ledger's word of a balance.
            [name, none, "BTC", "=", amount, "BTC"] if line.starts_with("  ") => {
                assert_eq!(units(none), 0);
                told.insert((*name).to_owned(), units(amount));
            }
            [_, "balance", name, amount, "~", "0", "BTC"] => {
                told.insert((*name).to_owned(), units(amount));
            }
            _ => assert!(open == 0 || !line.starts_with(|c: char| c.is_ascii_digit()), "{line}"),
        }
    }
    assert_eq!(open, 0);
    sums.retain(|_, sum| *sum != 0);
    told.retain(|_, sum| *sum != 0);
    (sums, told)
}

/// The book's balances by the names that the exports give them.
fn balances(ledger: &Ledger, miners: Miners) -> BTreeMap<String, i128> {
    let owner = |owner: &Owner| match owner {
        Owner::Miner(_) if miners == Miners::Together => "Miners".to_owned(),
        Owner::Miner(id) => format!("M{id}"),
        Owner::Fee(name) if name.as_str() == "a_b-c" => "Fee:AX5Fb-c".to_owned(),
        Owner::Fee(_) => "Fee:Operator".to_owned(),
        Owner::Carry => "Carry".to_owned(),
        Owner::Reserve => "Reserve".to_owned(),
    };
    let mut sums = BTreeMap::new();
    for (account, balance) in ledger.book().balances() {
        let name = match &account {
            Account::ImmatureIncome => "Assets:Immature-Income".to_owned(),
            Account::Wallet => "Assets:Wallet".to_owned(),
            Account::NetworkFees => "Expenses:Network-Fees".to_owned(),
            Account::OperatorLoss => "Expenses:Operator-Loss".to_owned(),
            Account::InFlight => "Liabilities:In-Flight".to_owned(),
            Account::Immature(of) => format!("Liabilities:Immature:{}", owner(of)),
            Account::Payable(of) => format!("Liabilities:Payable:{}", owner(of)),
        };
        let sign = if account.class() == Class::Liability { -1 } else { 1 };
        *sums.entry(name).or_default() += sign * balance;
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

fn agree(ledger: &Ledger) {
    for miners in [Miners::Together, Miners::Each] {
        let expected = balances(ledger, miners);
        for from in [0, 1, ledger.head().seq / 2, ledger.head().seq, ledger.head().seq + 5] {
            let accounting = accounting(miners, from);
            for format in [ExportFormat::Beancount(accounting.clone()), ExportFormat::LedgerCli(accounting)] {
                let text = text(ledger, &format);
                assert_eq!(read(&text), (expected.clone(), expected.clone()), "{format:?}\n{text}");
            }
        }
    }
}

/// A history with every kind of entry that moves money, a day going back, and texts with whatever people write.
fn history() -> Ledger {
    let ledger = open(&SimDisk::new());
    let other = Owner::Fee(FeeName::try_from("a_b-c".to_owned()).unwrap());
    let both = [(miner(1), 1000), (miner(2), 500)];
    let reason = "quotes \" and \\, a [2026/13/77] date, :tags: and\nlines; key:: (1/0)";
    let adjusted = Entry::Adjustment {
        postings: match deposit(miner(3), 77) {
            Entry::Adjustment { postings, .. } => postings,
            _ => unreachable!(),
        },
        by: "op".to_owned(),
        reason: reason.to_owned(),
    };
    let entries = [
        deposit(Owner::Reserve, 300),
        allocated(
            1,
            &[(miner(1), 312_500_000), (miner(2), 700), (other, 5), (operator(), 20), (Owner::Carry, 3)],
        ),
        allocated(2, &[(miner(2), 900)]),
        matured(1),
        accrued(1, 50, &[(miner(3), 120)]),
        Entry::Reversed { key: key(2), how: Reversal::Keep, proof: reason.to_owned() },
        Entry::Reinstated { key: key(2) },
        reserved(1, &both),
        built(1, 10, &[(990, 4), (490, 2)]),
        submitting(1),
        settled(1, 10, &[(990, 4), (490, 2)]),
        reserved(2, &[(miner(3), 100)]),
        Entry::PaymentReleased { payment: millpond_ledger::PaymentId(2), why: reason.to_owned() },
        reserved(3, &[(miner(3), 60)]),
        called(3),
        settled_with_loss(3, 2, &[(50, 0)], 11),
        Entry::IncomeAllocated(income(3, 3, &[(miner(1), 403)])),
        reversed(3, Reversal::Drop),
        Entry::IncomeAllocated(income(4, 0, &[(miner(1), 25)]).paid_directly()),
        matured(4),
        adjusted,
        Entry::NetworkFee {
            txid: millpond_ledger::TxId("sweep".to_owned()),
            amount: millpond_types::Amount(7),
        },
        Entry::Noted { by: "op".to_owned(), action: "swap".to_owned(), detail: "prop to pplns".to_owned() },
        matured(2),
    ];
    for (entry, number) in entries.into_iter().zip(0_u64..) {
        // Every fifth entry is of a day before.
        let days = if number % 5 == 4 { number - 4 } else { number };
        ledger.append(UnixMillis(AT.0 + days * 86_400_000), entry).unwrap();
    }
    ledger
}

#[test]
fn a_whole_history_comes_to_the_books_balances() {
    agree(&history());
}

#[test]
fn an_empty_ledger_is_an_empty_book() {
    agree(&open(&SimDisk::new()));
}

/// The programs themselves, where `MILLPOND_BEAN_CHECK` and `MILLPOND_LEDGER_CLI` name them. What they are given is held
/// against the book in any case.
#[test]
fn the_programs_read_it_and_notice_a_unit_too_many() {
    let (ledger, folder) = (history(), tempfile::tempdir().unwrap());
    let file = folder.path().join("books");
    let run = |name: &str, before: &[&str], after: &[&str]| {
        let program = std::env::var(name).ok()?;
        let output = Command::new(program).args(before).arg(&file).args(after).output().unwrap();
        Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned(), output.stderr))
    };
    for miners in [Miners::Together, Miners::Each] {
        for from in [1, 9] {
            let expected = balances(&ledger, miners);
            let whole = text(&ledger, &ExportFormat::Beancount(accounting(miners, from)));
            assert_eq!(read(&whole).1, expected);
            // The same with another last digit in the last line.
            let at = whole.rfind(" ~ 0").unwrap();
            let forged = format!("{}9{}", &whole[..at - 1], &whole[at..]);
            for (text, good) in [(&whole, true), (&forged, whole == forged)] {
                std::fs::write(&file, text).unwrap();
                if let Some((passed, said, errors)) = run("MILLPOND_BEAN_CHECK", &[], &[]) {
                    assert_eq!(passed, good, "{said}\n{}\n{text}", String::from_utf8_lossy(&errors));
                }
            }
            let whole = text(&ledger, &ExportFormat::LedgerCli(accounting(miners, from)));
            assert_eq!(read(&whole).1, expected);
            let at = whole.rfind(" BTC").unwrap();
            let forged = format!("{}9{}", &whole[..at - 1], &whole[at..]);
            let balance = ["balance", "--flat", "--no-total", "--format", "%(account) %(amount)\\n"];
            for (text, good) in [(&whole, true), (&forged, whole == forged)] {
                std::fs::write(&file, text).unwrap();
                let Some((passed, said, errors)) = run("MILLPOND_LEDGER_CLI", &["-f"], &balance) else {
                    continue;
                };
                assert_eq!(passed, good, "{said}\n{}\n{text}", String::from_utf8_lossy(&errors));
                if good {
                    let line = |line: &str| {
                        let words: Vec<_> = line.split_whitespace().collect();
                        (words[0].to_owned(), units(words[1]))
                    };
                    assert_eq!(said.lines().map(line).collect::<BTreeMap<_, _>>(), expected);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_history_comes_to_the_books_balances(
        entries in proptest::collection::vec((any_entry(), 0..5_u64), 1..60),
    ) {
        let ledger = open(&SimDisk::new());
        for (entry, day) in entries {
            let _ = ledger.append(UnixMillis(AT.0 + day * 86_400_000), entry);
        }
        agree(&ledger);
    }
}
