//! Entries that the ledger's tests are made of.
#![allow(dead_code)]

use millpond_disk::{Disk, SimDisk};
use millpond_ledger::{
    Account, Allocation, Appended, Built, Entry, FeeName, IncomeAllocated, IncomeKey, InputId, Ledger,
    LedgerError, Owner, PaymentId, PaymentRow, Posting, Progress, Reversal, SettledRow, Share, TxId,
};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis};
use proptest::prelude::*;
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

/// An income that draws on the reserve.
pub fn drawing(number: u64, reserve_in: u64, list: &[(Owner, u64)]) -> IncomeAllocated {
    let parts = parts(list);
    let amount = Amount(parts.total().0 - reserve_in);
    let pooled = [Amount::ZERO, Amount(reserve_in)];
    IncomeAllocated::drawing(key(number), amount, pooled, parts, Vec::new()).unwrap()
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

/// What undoes a payment as it was settled.
pub fn undone(ledger: &Ledger, payment: u64) -> Option<Entry> {
    match ledger.reader().settlement(PaymentId(payment)).unwrap()? {
        Entry::PaymentSettled { payment, txid, fee, rows, lost } => Some(Entry::PaymentUndone {
            payment,
            txid,
            fee,
            rows,
            lost,
            why: "another took its coins".to_owned(),
        }),
        other => panic!("{other:?}"),
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

/// A payment's call, of a wallet that can only send.
pub fn called(payment: u64) -> Entry {
    let marker = Some(format!("millpond {payment}"));
    Entry::PaymentProgress { payment: PaymentId(payment), step: Progress::Submitting { at: AT, marker } }
}

/// What came of a call: it was sent, or that is not known.
pub fn progress(payment: u64, sent: bool) -> Entry {
    let step = if sent {
        Progress::Sent { txid: TxId(format!("tx{payment}")) }
    } else {
        Progress::Unknown { why: "no answer".to_owned() }
    };
    Entry::PaymentProgress { payment: PaymentId(payment), step }
}

/// A payment that was made otherwise than it was asked, by the operator's word.
pub fn settled_with_loss(payment: u64, fee: u64, rows: &[(u64, u64)], lost: u64) -> Entry {
    let mut entry = settled(payment, fee, rows);
    if let Entry::PaymentSettled { lost: beyond, .. } = &mut entry {
        *beyond = Amount(lost);
    }
    entry
}

/// A correction by the operator.
pub fn adjustment(postings: &[(Account, i128)]) -> Entry {
    let posting = |(account, amount): &(Account, i128)| Posting { account: account.clone(), amount: *amount };
    Entry::Adjustment {
        postings: postings.iter().map(posting).collect(),
        by: "operator".to_owned(),
        reason: "a \"correction\"; see [7]".to_owned(),
    }
}

/// What may become of a lost income.
pub fn any_reversal() -> impl Strategy<Value = Reversal> {
    prop_oneof![
        Just(Reversal::Drop),
        Just(Reversal::Keep),
        Just(Reversal::Restore),
        Just(Reversal::KeepReserve)
    ]
}

/// An entry of any kind, on a few incomes, payments and owners: most histories of them have some that the book accepts.
pub fn any_entry() -> impl Strategy<Value = Entry> {
    let owner = || prop_oneof![(1..4_u64).prop_map(miner), Just(operator())];
    let list = || {
        proptest::collection::btree_map(owner(), 1..2000_u64, 1..4)
            .prop_map(|map| map.into_iter().collect::<Vec<_>>())
    };
    let key = 1..6_u64;
    let payment = 1..5_u64;
    let rows = || proptest::collection::vec((0..1500_u64, 0..20_u64), 1..3);
    prop_oneof![
        4 => (key.clone(), list(), 0..20_u64, any::<bool>()).prop_map(|(key, mut list, carry, direct)| {
            if carry > 0 && !direct {
                list.push((Owner::Carry, carry));
            }
            let income = income(key, 0, &list);
            Entry::IncomeAllocated(if direct { income.paid_directly() } else { income })
        }),
        2 => (key.clone(), list(), 1..20_u64)
            .prop_map(|(key, list, carry)| Entry::IncomeAllocated(income(key, carry.min(list[0].1), &list))),
        2 => (key.clone(), list(), 1..20_u64, any::<bool>()).prop_map(|(key, mut list, reserve, draws)| {
            // 0.2: a part of the operator and one of the reserve, or a draw on it.
            if draws {
                return Entry::IncomeAllocated(drawing(key, reserve.min(list[0].1), &list));
            }
            list.push((Owner::Reserve, reserve * 40));
            Entry::IncomeAllocated(income(key, 0, &list))
        }),
        4 => key.clone().prop_map(matured),
        2 => (key.clone(), any_reversal()).prop_map(|(key, how)| reversed(key, how)),
        1 => key.prop_map(|key| Entry::Reinstated { key: self::key(key) }),
        1 => (1..2000_i128).prop_map(|amount| deposit(Owner::Reserve, amount)),
        1 => (1..50_u64, 0..9_u64, list()).prop_map(|(first, more, list)| accrued(first, first + more, &list)),
        3 => (payment.clone(), list()).prop_map(|(payment, list)| reserved(payment, &list)),
        3 => (payment.clone(), 0..30_u64, rows()).prop_map(|(payment, fee, rows)| built(payment, fee, &rows)),
        3 => payment.clone().prop_map(submitting),
        3 => (payment.clone(), 0..30_u64, rows()).prop_map(|(payment, fee, rows)| settled(payment, fee, &rows)),
        2 => payment.clone().prop_map(called),
        1 => (payment.clone(), any::<bool>()).prop_map(|(payment, sent)| progress(payment, sent)),
        1 => (payment.clone(), 0..30_u64, rows(), 0..40_u64)
            .prop_map(|(payment, fee, rows, lost)| settled_with_loss(payment, fee, &rows, lost)),
        1 => payment.prop_map(released),
        1 => (0..900_u64).prop_map(|amount| {
            Entry::NetworkFee { txid: TxId("sweep".to_owned()), amount: Amount(amount) }
        }),
        2 => (owner(), owner(), -500..500_i128, -50..50_i128).prop_map(|(one, other, to, lost)| {
            adjustment(&[(Account::Payable(one), -to), (Account::Payable(other), to + lost), (Account::OperatorLoss, -lost)])
        }),
        1 => Just(Entry::Noted { by: "op".to_owned(), action: "swap".to_owned(), detail: "prop".to_owned() }),
    ]
}

/// A history with every kind of entry.
pub fn history() -> Vec<Entry> {
    let both = [(miner(1), 1000), (miner(2), 500)];
    vec![
        deposit(Owner::Reserve, 300),
        allocated(1, &[(miner(1), 1500), (miner(2), 700), (operator(), 20), (Owner::Carry, 3)]),
        allocated(2, &[(miner(2), 900)]),
        matured(1),
        accrued(1, 50, &[(miner(3), 120)]),
        reversed(2, Reversal::Keep),
        Entry::Reinstated { key: key(2) },
        reserved(1, &both),
        built(1, 10, &[(990, 4), (490, 2)]),
        submitting(1),
        settled(1, 10, &[(990, 4), (490, 2)]),
        reserved(2, &[(miner(3), 100)]),
        released(2),
        Entry::IncomeAllocated(income(3, 3, &[(miner(1), 403)])),
        Entry::NetworkFee { txid: TxId("sweep".to_owned()), amount: Amount(7) },
        Entry::Noted { by: "op".to_owned(), action: "swap".to_owned(), detail: "prop to pplns".to_owned() },
    ]
}

pub fn write(disk: &SimDisk) -> Ledger {
    let ledger = open(disk);
    for entry in history() {
        now(&ledger, entry);
    }
    ledger
}
