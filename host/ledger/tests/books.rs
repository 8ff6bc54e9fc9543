//! What the books allow, and what they refuse.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_ledger::{
    Account, Entry, IncomeStatus, Ledger, LedgerError, Owner, PaymentId, Posting, Progress, Reversal,
    StatementWhat, TxId,
};
use millpond_types::Amount;

#[test]
fn an_income_becomes_payable_when_it_matures_and_not_before() {
    let ledger = open(&SimDisk::new());
    now(&ledger, allocated(1, &[(miner(1), 700), (miner(2), 290), (operator(), 10)]));
    assert_eq!(ledger.payable(&miner(1)), Amount::ZERO);
    assert_eq!(ledger.book().immature(&miner(1)), Amount(700));
    now(&ledger, matured(1));
    assert_eq!(ledger.payable(&miner(1)), Amount(700));
    let totals = ledger.totals();
    assert_eq!((totals.income, totals.credited, totals.fees, totals.carried), (1000, 990, 10, 0));
    assert!(totals.conserved);
}

/// Invariant 7 of the facts on pools: credits keyed by (pool, block hash), idempotent.
#[test]
fn invariant_07_an_income_is_counted_once_by_its_key() {
    let ledger = open(&SimDisk::new());
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    before(&ledger, allocated(1, &[(miner(1), 1000)]));
    let other = ledger.append(AT, allocated(1, &[(miner(2), 1000)])).unwrap_err();
    assert!(matches!(other, LedgerError::IncomeDiffers(_)), "{other}");
    now(&ledger, matured(1));
    before(&ledger, matured(1));
    before(&ledger, allocated(1, &[(miner(1), 1000)]));
    assert_eq!(ledger.totals().income, 1000);
}

/// Invariant 1: credits, fees and the remainder are the reward, in integers.
#[test]
fn invariant_01_credits_fees_and_remainder_are_the_reward() {
    let ledger = open(&SimDisk::new());
    let mut short = income(1, 0, &[(miner(1), 999)]);
    short.amount = Amount(1000);
    let refused = ledger.append(AT, Entry::IncomeAllocated(short)).unwrap_err();
    assert!(matches!(refused, LedgerError::NotConserved { parts: 999, gross: 1000, .. }), "{refused}");
    now(&ledger, allocated(1, &[(miner(1), 900), (operator(), 90), (Owner::Carry, 10)]));
    now(&ledger, matured(1));
    let totals = ledger.totals();
    assert_eq!(totals.income, totals.credited + totals.fees + totals.carried);
    // The carried units are divided with the next income and leave no trace in the sums.
    now(&ledger, Entry::IncomeAllocated(income(2, 10, &[(miner(1), 510)])));
    assert!(ledger.totals().conserved);
    assert_eq!(ledger.payable(&Owner::Carry), Amount::ZERO);
    now(&ledger, matured(2));
    let totals = ledger.totals();
    assert_eq!((totals.income, totals.credited, totals.fees, totals.carried), (1500, 1410, 90, 0));
    assert!(totals.conserved);
}

#[test]
fn a_forged_merkle_sum_root_is_refused() {
    let ledger = open(&SimDisk::new());
    let mut forged = income(1, 0, &[(miner(1), 1000)]);
    forged.root.sum = Amount(999);
    assert!(ledger.append(AT, Entry::IncomeAllocated(forged)).is_err());
}

#[test]
fn a_lost_income_is_forgotten_or_made_good_by_the_operator() {
    let ledger = open(&SimDisk::new());
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    now(&ledger, reversed(1, Reversal::Drop));
    before(&ledger, reversed(1, Reversal::Drop));
    assert_eq!(ledger.book().immature(&miner(1)), Amount::ZERO);
    let refused = ledger.append(AT, matured(1)).unwrap_err();
    assert!(matches!(refused, LedgerError::IncomeState { .. }), "{refused}");

    now(&ledger, allocated(2, &[(miner(1), 600)]));
    now(&ledger, reversed(2, Reversal::Keep));
    assert_eq!(ledger.payable(&miner(1)), Amount(600));
    let totals = ledger.totals();
    assert_eq!((totals.income, totals.credited, totals.operator_loss), (0, 600, 600));
    assert!(totals.conserved);
}

/// Invariant 5: an orphan is reversible.
#[test]
fn invariant_05_an_orphan_that_returns_is_counted_again_and_once() {
    let ledger = open(&SimDisk::new());
    let proofless = Entry::Reversed { key: key(1), how: Reversal::Drop, proof: " ".to_owned() };
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    assert!(matches!(ledger.append(AT, proofless), Err(LedgerError::Reason("reversed"))));
    now(&ledger, reversed(1, Reversal::Drop));
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    now(&ledger, matured(1));
    assert_eq!(ledger.payable(&miner(1)), Amount(1000));

    now(&ledger, allocated(2, &[(miner(2), 500)]));
    now(&ledger, reversed(2, Reversal::Keep));
    now(&ledger, Entry::Reinstated { key: key(2) });
    assert!(ledger.totals().conserved);
    now(&ledger, matured(2));
    assert_eq!(ledger.payable(&miner(2)), Amount(500));
    let totals = ledger.totals();
    assert_eq!((totals.income, totals.operator_loss, totals.conserved), (1500, 0, true));

    now(&ledger, reversed(2, Reversal::Drop));
    assert_eq!(ledger.book().income(&key(2)).unwrap().status, IncomeStatus::LostAfterMaturity);
    assert_eq!(ledger.payable(&miner(2)), Amount(500), "what was payable stays payable");
    assert_eq!((ledger.totals().operator_loss, ledger.totals().conserved), (500, true));
    now(&ledger, Entry::Reinstated { key: key(2) });
    assert_eq!((ledger.totals().operator_loss, ledger.totals().conserved), (0, true));
}

#[test]
fn a_coinbase_that_pays_the_miner_never_owes_him_anything() {
    let ledger = open(&SimDisk::new());
    let direct = income(1, 0, &[(miner(1), 990), (operator(), 10)]).paid_directly();
    now(&ledger, Entry::IncomeAllocated(direct));
    now(&ledger, matured(1));
    let totals = ledger.totals();
    assert_eq!((totals.income, totals.credited, totals.fees), (1000, 990, 10));
    assert_eq!((totals.paid, totals.paid_fees, totals.payable, totals.wallet), (990, 10, 0, 0));
    assert!(totals.conserved);
    assert_eq!(ledger.book().paid(&miner(1)), Amount(990));
    now(&ledger, reversed(1, Reversal::Drop));
    assert_eq!((ledger.totals().paid, ledger.totals().conserved), (0, true));
    assert_eq!(ledger.book().paid(&miner(1)), Amount::ZERO);
    now(&ledger, Entry::Reinstated { key: key(1) });
    assert_eq!(ledger.book().paid(&miner(1)), Amount(990));
}

/// Invariant 4: debit exactly what was sent; the rounding difference stays in the balance.
#[test]
fn invariant_04_the_debit_is_what_was_sent_and_the_difference_stays() {
    let ledger = open(&SimDisk::new());
    now(&ledger, allocated(1, &[(miner(1), 1000), (miner(2), 500)]));
    now(&ledger, matured(1));
    now(&ledger, reserved(1, &[(miner(1), 1000), (miner(2), 500)]));
    assert_eq!(ledger.payable(&miner(1)), Amount::ZERO);
    // Sent 990 + 490, 4 + 2 of the fee of 10 charged: 6 and 8 stay, the pool bears 4.
    now(&ledger, built(1, 10, &[(990, 4), (490, 2)]));
    now(&ledger, submitting(1));
    now(&ledger, settled(1, 10, &[(990, 4), (490, 2)]));
    before(&ledger, settled(1, 10, &[(990, 4), (490, 2)]));
    assert_eq!((ledger.payable(&miner(1)), ledger.payable(&miner(2))), (Amount(6), Amount(8)));
    let totals = ledger.totals();
    assert_eq!((totals.paid, totals.network_fees, totals.network_fees_charged), (1480, 4, 6));
    let paid = (ledger.book().paid(&miner(1)), ledger.book().paid(&miner(2)));
    assert_eq!(paid, (Amount(990), Amount(490)), "the second telling counts nothing");
    assert_eq!((totals.wallet, totals.in_flight, totals.conserved), (1500 - 1480 - 10, 0, true));
}

#[test]
fn a_payment_settles_only_as_its_stored_transaction_says() {
    let ledger = open(&SimDisk::new());
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    now(&ledger, matured(1));
    now(&ledger, reserved(1, &[(miner(1), 1000)]));
    for bad in [
        built(1, 10, &[(991, 10)]),
        built(1, 5, &[(900, 6)]),
        built(1, 5, &[(900, 0), (1, 0)]),
        submitting(1),
        settled(1, 0, &[(1000, 0)]),
        settled(2, 0, &[(1000, 0)]),
        reserved(3, &[(miner(1), 1)]),
    ] {
        assert!(ledger.append(AT, bad.clone()).is_err(), "{bad:?} was accepted");
    }
    now(&ledger, built(1, 10, &[(990, 10)]));
    assert!(ledger.append(AT, built(1, 11, &[(980, 10)])).is_err(), "a second transaction for one payment");
    assert!(ledger.append(AT, settled(1, 10, &[(990, 10)])).is_err(), "it was never submitted");
    now(&ledger, submitting(1));
    assert!(ledger.append(AT, settled(1, 10, &[(989, 10)])).is_err(), "other amounts than stored");
    now(&ledger, settled(1, 10, &[(990, 10)]));
    assert!(ledger.append(AT, released(1)).is_err(), "a settled payment comes back");
}

/// A payment to two owners of which one bears a part of the fee, made otherwise than asked by a wallet that only sends.
fn settled_with_all() -> Ledger {
    let ledger = open(&SimDisk::new());
    now(&ledger, Entry::IncomeAllocated(income(1, 0, &[(miner(1), 5000), (operator(), 700)])));
    now(&ledger, matured(1));
    now(&ledger, reserved(1, &[(miner(1), 4000), (operator(), 700)]));
    now(&ledger, called(1));
    now(&ledger, settled_with_loss(1, 30, &[(3000, 20), (700, 0)], 40));
    ledger
}

#[test]
fn a_settled_payment_that_is_undone_leaves_the_books_as_if_it_had_never_been() {
    let ledger = settled_with_all();
    let paid = ledger.totals();
    assert_eq!(
        (paid.paid, paid.paid_fees, paid.network_fees, paid.network_fees_charged),
        (3000, 700, 10, 20)
    );
    assert_eq!((paid.wallet, ledger.balance(&Account::OperatorLoss)), (5700 - 3770, 40));
    now(&ledger, undone(&ledger, 1).unwrap());
    let back = ledger.totals();
    assert_eq!((back.paid, back.paid_fees, back.network_fees, back.network_fees_charged), (0, 0, 0, 0));
    assert_eq!((back.wallet, ledger.balance(&Account::OperatorLoss), back.in_flight), (5700, 0, 0));
    assert_eq!((ledger.payable(&miner(1)), ledger.payable(&operator())), (Amount(5000), Amount(700)));
    assert_eq!(ledger.book().paid(&miner(1)), Amount::ZERO);
    assert!(back.conserved && ledger.book().totals_anew().conserved);
    let state = ledger.payment(PaymentId(1)).unwrap();
    assert_eq!((state.status.name(), state.status.is_open(), state.sent), ("undone", false, Amount::ZERO));
    // It is over: nothing of it can be said any more, but the same once more.
    before(&ledger, undone(&ledger, 1).unwrap());
    for entry in [called(1), released(1), settled_with_loss(1, 30, &[(3000, 20), (700, 0)], 40)] {
        assert!(ledger.append(AT, entry).is_err());
    }
    ledger.reader().verify().unwrap();
    let statement = ledger.reader().statement(&miner(1)).unwrap();
    let line = statement.lines.last().unwrap();
    assert_eq!((line.payable, line.paid), (3020, -3000));
    assert!(matches!(line.what, StatementWhat::Undone { amount: Amount(3020), .. }));
}

#[test]
fn a_payment_is_undone_with_what_it_was_settled_with_and_only_once_it_is_settled() {
    let ledger = settled_with_all();
    let head = ledger.head();
    let Some(Entry::PaymentUndone { payment, txid, fee, rows, lost, why }) = undone(&ledger, 1) else {
        panic!()
    };
    let entry = |txid: &str, fee, rows: &[(u64, u64)], lost, why: &str| Entry::PaymentUndone {
        payment,
        txid: TxId(txid.to_owned()),
        fee: Amount(fee),
        rows: done(rows),
        lost: Amount(lost),
        why: why.to_owned(),
    };
    let right = [(3000, 20), (700, 0)];
    assert_eq!(
        entry("tx1", 30, &right, 40, &why),
        Entry::PaymentUndone { payment, txid, fee, rows, lost, why: why.clone() }
    );
    for wrong in [
        entry("tx2", 30, &right, 40, &why),
        entry("tx1", 31, &right, 40, &why),
        entry("tx1", 30, &right, 41, &why),
        entry("tx1", 30, &right, 40, " "),
        entry("tx1", 30, &right[..1], 40, &why),
        // The same sums to other owners, and another part of the fee: only the log knows.
        entry("tx1", 30, &[(3001, 20), (699, 0)], 40, &why),
        entry("tx1", 30, &[(3000, 21), (700, 0)], 40, &why),
    ] {
        assert!(ledger.append(AT, wrong.clone()).is_err(), "{wrong:?}");
    }
    now(&ledger, reserved(2, &[(miner(1), 100)]));
    assert!(
        ledger
            .append(
                AT,
                Entry::PaymentUndone {
                    payment: PaymentId(2),
                    txid: TxId("tx2".to_owned()),
                    fee: Amount(0),
                    rows: done(&[(0, 0)]),
                    lost: Amount(0),
                    why,
                }
            )
            .is_err()
    );
    assert_eq!(ledger.head().seq, head.seq + 1);
}

#[test]
fn a_call_that_makes_a_transaction_goes_out_once() {
    let ledger = open(&SimDisk::new());
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    now(&ledger, matured(1));
    now(&ledger, reserved(1, &[(miner(1), 1000)]));
    let step = |step| Entry::PaymentProgress { payment: PaymentId(1), step };
    let send = || step(Progress::Submitting { at: AT, marker: Some("millpond-1".to_owned()) });
    now(&ledger, send());
    assert!(matches!(ledger.append(AT, send()), Err(LedgerError::PaymentState { .. })));
    now(&ledger, step(Progress::Unknown { why: "timeout".to_owned() }));
    assert!(matches!(ledger.append(AT, send()), Err(LedgerError::PaymentState { .. })));
    now(&ledger, released(1));
    assert_eq!(ledger.payable(&miner(1)), Amount(1000));
}

#[test]
fn no_liability_falls_below_zero() {
    let ledger = open(&SimDisk::new());
    now(&ledger, allocated(1, &[(miner(1), 1000)]));
    now(&ledger, matured(1));
    let refused = ledger.append(AT, reserved(1, &[(miner(1), 1001)])).unwrap_err();
    let LedgerError::Overdrawn { account, balance, after } = refused else { panic!("{refused}") };
    assert_eq!((account, balance, after), (Account::Payable(miner(1)), 1000, -1));
    now(&ledger, reserved(1, &[(miner(1), 1000)]));
    assert!(ledger.append(AT, reserved(2, &[(miner(1), 1)])).is_err());
    assert!(ledger.append(AT, deposit(miner(1), -1)).is_err());
}

#[test]
fn credit_per_share_stops_at_the_reserve_and_counts_each_share_once() {
    let ledger = open(&SimDisk::new());
    now(&ledger, deposit(Owner::Reserve, 100));
    now(&ledger, accrued(1, 10, &[(miner(1), 59), (operator(), 1)]));
    before(&ledger, accrued(1, 10, &[(miner(1), 59), (operator(), 1)]));
    assert!(matches!(
        ledger.append(AT, accrued(10, 11, &[(miner(1), 1)])),
        Err(LedgerError::AccruedTwice { done: 10, .. })
    ));
    assert!(matches!(
        ledger.append(AT, accrued(11, 20, &[(miner(1), 41)])),
        Err(LedgerError::Overdrawn { .. })
    ));
    now(&ledger, accrued(11, 20, &[(miner(1), 40)]));
    assert_eq!(ledger.payable(&Owner::Reserve), Amount::ZERO);
    now(&ledger, allocated(1, &[(Owner::Reserve, 150)]));
    now(&ledger, matured(1));
    let totals = ledger.totals();
    assert_eq!((totals.income, totals.credited, totals.fees, totals.carried), (150, 99, 1, 50));
    assert!(totals.conserved);
}

#[test]
fn an_adjustment_balances_says_who_and_why_and_leaves_open_incomes_alone() {
    let ledger = open(&SimDisk::new());
    now(&ledger, deposit(miner(1), 5));
    let adjust = |account: Account, amount, by: &str, reason: &str| Entry::Adjustment {
        postings: vec![Posting { account: Account::Wallet, amount: 5 }, Posting { account, amount }],
        by: by.to_owned(),
        reason: reason.to_owned(),
    };
    let payable = || Account::Payable(miner(1));
    assert!(matches!(ledger.append(AT, adjust(payable(), -4, "op", "why")), Err(LedgerError::Unbalanced(1))));
    assert!(matches!(ledger.append(AT, adjust(payable(), -5, "", "why")), Err(LedgerError::Reason(_))));
    assert!(matches!(ledger.append(AT, adjust(payable(), -5, "op", " ")), Err(LedgerError::Reason(_))));
    assert!(ledger.append(AT, adjust(Account::Immature(miner(1)), -5, "op", "why")).is_err());
    assert!(ledger.append(AT, adjust(Account::InFlight, -5, "op", "why")).is_err());
    now(&ledger, adjust(payable(), -5, "op", "why"));
    assert_eq!((ledger.payable(&miner(1)), ledger.totals().conserved), (Amount(10), true));
}
