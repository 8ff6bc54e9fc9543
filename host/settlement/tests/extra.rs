//! A wallet that can only send, behind something that holds its calls back or says them twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_ledger::{Account, Ledger, PaymentId, PaymentStatus};
use millpond_settlement::{Call, Kind, Settlement};
use millpond_types::Amount;
use std::sync::Arc;

const ONE: PaymentId = PaymentId(1);

/// A pool whose first payment's call was made in a mood.
fn called(mood: Mood) -> (Arc<Ledger>, SimWallet, Settlement) {
    let (ledger, wallet) = pool(Kind::Sender);
    wallet.0.lock().coins.extend((10..16).map(|at| (coin(at), Amount(4000))));
    let settlement = settlement(&ledger, &wallet, policy());
    wallet.mood(mood);
    settlement.run(START, &payees).unwrap();
    wallet.mood(Mood::Well);
    (ledger, wallet, settlement)
}

fn status(ledger: &Ledger) -> PaymentStatus {
    ledger.payment(ONE).unwrap().status
}

/// What the books say that left the wallet is what left it: payments with their fees.
fn agree(ledger: &Ledger, wallet: &SimWallet) {
    let world = wallet.0.lock();
    let left: u64 = world
        .accepted
        .values()
        .map(|tx| {
            let foreign = tx.outputs.iter().filter(|output| !world.own.contains(&output.address));
            foreign.map(|output| output.amount.0).sum::<u64>() + tx.fee.0
        })
        .sum();
    let totals = ledger.totals();
    assert_eq!(totals.income - totals.wallet, i128::from(left));
    assert!(totals.conserved, "{totals:?}");
}

#[test]
fn a_payment_whose_call_may_wait_in_the_wallet_is_not_given_up_for_a_day() {
    let (ledger, wallet, settlement) = called(Mood::Waits);
    assert_eq!(settlement.run(hours(1), &payees).unwrap().blocked, Some(ONE));
    let release = |at| settlement.release(ONE, "operator", "it is not there", Call::MayWait, at);
    for at in [hours(1), hours(23)] {
        let why = release(at).unwrap_err().to_string();
        assert!(why.contains("may still wait in the wallet's queue"), "{why}");
    }
    // The wallet comes to it at last.
    wallet.work_off();
    settlement.run(hours(23), &payees).unwrap();
    wallet.mine();
    settlement.run(hours(24), &payees).unwrap();
    assert_eq!(status(&ledger), PaymentStatus::Settled);
    assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
    agree(&ledger, &wallet);
}

#[test]
fn a_payment_is_given_up_when_the_wallet_was_started_anew_or_a_day_has_gone_by() {
    for (call, at) in [(Call::Ended, 1), (Call::MayWait, 25)] {
        let (ledger, wallet, settlement) = called(Mood::Waits);
        wallet.restart();
        settlement.release(ONE, "operator", "it is not there", call, hours(at)).unwrap();
        wallet.work_off();
        settlement.run(hours(at), &payees).unwrap();
        assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
        wallet.mine();
        settlement.run(hours(at + 1), &payees).unwrap();
        agree(&ledger, &wallet);
    }
}

#[test]
fn what_is_made_after_its_release_stops_payments_until_it_is_booked() {
    let (ledger, wallet, settlement) = called(Mood::Waits);
    settlement.release(ONE, "operator", "it is not there", Call::MayWait, hours(25)).unwrap();
    wallet.work_off();
    let report = settlement.run(hours(26), &payees).unwrap();
    let [txid] = &wallet.marked(1)[..] else { panic!("one transaction") };
    assert!(report.extra[0].note.contains("after it was released"), "{report:?}");
    assert!(report.extra[0].note.contains(&txid.0), "{report:?}");
    assert_eq!((report.plan, wallet.transactions()), (None, 1), "nobody is paid a second time");

    let book = |at| settlement.resolve_as_made(ONE, txid, "operator", at);
    assert!(book(hours(26)).unwrap_err().to_string().contains("not confirmed"));
    wallet.mine();
    assert_eq!(book(hours(27)).unwrap(), Amount::ZERO, "all of it was owed");
    agree(&ledger, &wallet);
    assert_eq!([1, 2, 3].map(|id| ledger.payable(&miner(id))), [Amount::ZERO; 3]);
    assert_eq!((ledger.balance(&Account::NetworkFees), ledger.balance(&Account::OperatorLoss)), (10, 0));
    assert!(book(hours(27)).unwrap_err().to_string().contains("booked already"));

    // Nor is it told of again, by this process or another.
    let again = common::settlement(&ledger, &wallet, policy());
    for settlement in [&settlement, &again] {
        let report = settlement.run(hours(28), &payees).unwrap();
        assert_eq!((report.extra, report.plan.is_some(), wallet.transactions()), (vec![], true, 1));
    }
}

#[test]
fn what_was_paid_anew_before_the_late_call_came_is_taken_from_balances_and_then_lost() {
    let (ledger, wallet, settlement) = called(Mood::Waits);
    settlement.release(ONE, "operator", "it is not there", Call::MayWait, hours(25)).unwrap();
    settlement.run(hours(26), &payees).unwrap();
    wallet.mine();
    settlement.run(hours(27), &payees).unwrap();
    assert_eq!(ledger.totals().paid, 10_000);
    wallet.work_off();
    wallet.mine();
    earn(&ledger, 2, &[(miner(1), 4000), (miner(4), 700)]).unwrap();
    let report = settlement.run(hours(28), &payees).unwrap();
    assert_eq!((report.extra.len(), report.plan), (1, None));
    let txid = wallet.marked(1).remove(0);
    assert_eq!(settlement.resolve_as_made(ONE, &txid, "operator", hours(28)).unwrap(), Amount(6000));
    agree(&ledger, &wallet);
    assert_eq!([1, 2, 3, 4].map(|id| ledger.payable(&miner(id)).0), [0, 0, 0, 700]);
    settlement.run(hours(29), &payees).unwrap();
    assert_eq!(wallet.paid()[&address("m4")], 700, "and payments go on");
}

#[test]
fn a_payment_that_was_made_twice_is_unknown_and_names_both() {
    let (ledger, wallet, settlement) = called(Mood::TwiceSilently);
    let report = settlement.run(hours(1), &payees).unwrap();
    assert_eq!((report.blocked, report.plan, wallet.transactions()), (Some(ONE), None, 2));
    let PaymentStatus::Unknown(why) = status(&ledger) else { panic!("{:?}", status(&ledger)) };
    let [one, other] = &wallet.marked(1)[..] else { panic!("two transactions") };
    assert!(why.contains(&one.0) && why.contains(&other.0), "{why}");
    assert!(settlement.release(ONE, "operator", "no", Call::Ended, hours(2)).is_err());

    settlement.resolve(ONE, one, "operator", hours(2)).unwrap();
    wallet.mine();
    let report = settlement.run(hours(3), &payees).unwrap();
    assert_eq!(status(&ledger), PaymentStatus::Settled);
    assert!(report.extra[0].note.contains("once more") && report.plan.is_none(), "{report:?}");
    assert_eq!(settlement.resolve_as_made(ONE, other, "operator", hours(4)).unwrap(), Amount(10_000));
    agree(&ledger, &wallet);
    assert!(settlement.run(hours(5), &payees).unwrap().plan.is_some());
}

#[test]
fn a_second_transaction_is_told_of_though_the_first_was_answered() {
    let (ledger, wallet, settlement) = called(Mood::Twice);
    assert_eq!((status(&ledger), wallet.transactions()), (PaymentStatus::Sent, 2));
    let report = settlement.run(hours(1), &payees).unwrap();
    assert!(report.extra[0].note.contains("once more") && report.plan.is_none(), "{report:?}");
    // Nobody is believed who names another payment's transaction, or one without its marker.
    let own = ledger.payment(ONE).unwrap().txid.unwrap();
    wallet.mine();
    settlement.recover(hours(2)).unwrap();
    assert!(settlement.resolve_as_made(ONE, &own, "operator", hours(2)).is_err(), "it is settled by it");
    let other = wallet.marked(1).into_iter().find(|txid| *txid != own).unwrap();
    wallet.0.lock().accepted.get_mut(&other).unwrap().marker = Some("by hand".to_owned());
    assert!(settlement.resolve_as_made(ONE, &other, "operator", hours(2)).is_err());
}

#[test]
fn a_transaction_that_another_took_the_place_of_is_no_second_one() {
    let (ledger, wallet, settlement) = called(Mood::TwiceSilently);
    let [one, other] = &wallet.marked(1)[..] else { panic!("two transactions") };
    // As after a raised fee: the wallet has both, and they spend the same coins.
    wallet.replace(one, other);
    wallet.mine();
    settlement.run(hours(1), &payees).unwrap();
    assert_eq!(ledger.payment(ONE).unwrap().txid.as_ref(), Some(other));
    let report = settlement.run(hours(2), &payees).unwrap();
    assert_eq!((status(&ledger), report.extra), (PaymentStatus::Settled, vec![]));
}
