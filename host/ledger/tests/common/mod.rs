//! Entries that the ledger's tests are made of.
#![allow(dead_code)]

use millpond_disk::{Disk, SimDisk};
use millpond_ledger::{
    Account, Allocation, Appended, Built, Entry, FeeName, IncomeAllocated, IncomeKey, InputId, Ledger,
    LedgerError, Owner, PaymentId, PaymentRow, Posting, Progress, Reversal, SettledRow, Share, TxId,
};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis};
use std::path::Path;
use std::sync::Arc;

pub const AT: UnixMillis = UnixMillis(1_700_000_000_000);
pub const DIR: &str = "pool/ledger";

pub fn open(disk: &SimDisk) -> Ledger {
    try_open(disk).unwrap()
}

pub fn try_open(disk: &SimDisk) -> Result<Ledger, LedgerError> {
    Ledger::open(Arc::new(disk.clone()) as Arc<dyn Disk>, Path::new(DIR))
}

pub fn key(number: u64) -> IncomeKey {
    IncomeKey::new(number.to_be_bytes().to_vec()).unwrap()
}

pub fn miner(id: u64) -> Owner {
    Owner::Miner(MinerId(id))
}

pub fn operator() -> Owner {
    Owner::Fee(FeeName::try_from("operator".to_owned()).unwrap())
}

pub fn parts(parts: &[(Owner, u64)]) -> Allocation {
    Allocation::new(parts.iter().map(|(owner, amount)| Share(owner.clone(), Amount(*amount))).collect())
        .unwrap()
}

pub fn income(number: u64, carry_in: u64, list: &[(Owner, u64)]) -> IncomeAllocated {
    let parts = parts(list);
    let amount = Amount(parts.total().0 - carry_in);
    IncomeAllocated::new(key(number), amount, Amount(carry_in), parts, Vec::new()).unwrap()
}

pub fn allocated(number: u64, list: &[(Owner, u64)]) -> Entry {
    Entry::IncomeAllocated(income(number, 0, list))
}

pub fn matured(number: u64) -> Entry {
    Entry::Matured { key: key(number) }
}

pub fn reversed(number: u64, how: Reversal) -> Entry {
    Entry::Reversed { key: key(number), how, proof: "block 9 stands at its height".to_owned() }
}

pub fn reserved(payment: u64, list: &[(Owner, u64)]) -> Entry {
    let rows = list
        .iter()
        .map(|(owner, amount)| PaymentRow {
            owner: owner.clone(),
            address: format!("address of {owner}"),
            amount: Amount(*amount),
        })
        .collect();
    Entry::PaymentReserved { payment: PaymentId(payment), rows }
}

pub fn done(rows: &[(u64, u64)]) -> Vec<SettledRow> {
    rows.iter().map(|(sent, charged)| SettledRow { sent: Amount(*sent), charged: Amount(*charged) }).collect()
}

pub fn built(payment: u64, fee: u64, rows: &[(u64, u64)]) -> Entry {
    let built = Built {
        bytes: vec![1, 2, 3],
        txid: TxId(format!("tx{payment}")),
        inputs: vec![InputId("coin:0".to_owned())],
        fee: Amount(fee),
        rows: done(rows),
    };
    Entry::PaymentProgress { payment: PaymentId(payment), step: Progress::Built(built) }
}

pub fn submitting(payment: u64) -> Entry {
    Entry::PaymentProgress {
        payment: PaymentId(payment),
        step: Progress::Submitting { at: AT, marker: None },
    }
}

pub fn settled(payment: u64, fee: u64, rows: &[(u64, u64)]) -> Entry {
    let txid = TxId(format!("tx{payment}"));
    Entry::PaymentSettled {
        payment: PaymentId(payment),
        txid,
        fee: Amount(fee),
        rows: done(rows),
        lost: Amount::ZERO,
    }
}

pub fn released(payment: u64) -> Entry {
    Entry::PaymentReleased { payment: PaymentId(payment), why: "the node refused it".to_owned() }
}

pub fn accrued(first: u64, last: u64, list: &[(Owner, u64)]) -> Entry {
    Entry::Accrued { first: ShareSeq(first), last: ShareSeq(last), parts: parts(list), state: Vec::new() }
}

pub fn deposit(to: Owner, amount: i128) -> Entry {
    Entry::Adjustment {
        postings: vec![
            Posting { account: Account::Wallet, amount },
            Posting { account: Account::Payable(to), amount: -amount },
        ],
        by: "operator".to_owned(),
        reason: "declared reserve".to_owned(),
    }
}

pub fn now(ledger: &Ledger, entry: Entry) -> u64 {
    match ledger.append(AT, entry).unwrap() {
        Appended::Now(seq) => seq,
        Appended::Before => panic!("the ledger held it already"),
    }
}

pub fn before(ledger: &Ledger, entry: Entry) {
    assert_eq!(ledger.append(AT, entry).unwrap(), Appended::Before);
}
