//! What a run pays, when, and what it does when the wallet misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_ledger::{Account, Entry, InputId, Ledger, Owner, PaymentId, PaymentStatus, Record, TxId};
use millpond_settlement::{
    Call, Charge, Edge, Kind, Output, PayTo, Policy, Settlement, SettlementError, Skip,
};
use millpond_types::{Amount, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Arc;

fn status(ledger: &Ledger, id: u64) -> PaymentStatus {
    ledger.payment(PaymentId(id)).unwrap().status
}

/// A pool whose first payment is settled.
fn settled(kind: Kind) -> (Arc<Ledger>, SimWallet, Settlement) {
    let (ledger, wallet) = pool(kind);
    let settlement = settlement(&ledger, &wallet, policy());
    settlement.run(START, &payees).unwrap();
    wallet.mine();
    assert_eq!(settlement.run(hours(1), &payees).unwrap().removed, []);
    assert_eq!(status(&ledger, 1), PaymentStatus::Settled);
    (ledger, wallet, settlement)
}

/// What the first payment of such a pool spent.
fn spent(wallet: &SimWallet) -> Vec<InputId> {
    let world = wallet.0.lock();
    let [tx] = world.accepted.values().collect::<Vec<_>>()[..] else { panic!("one transaction") };
    tx.inputs.clone()
}

#[test]
fn due_balances_are_paid_exactly_and_settled_when_confirmed() {
    for kind in [Kind::Builder, Kind::Sender] {
        let (ledger, wallet) = pool(kind);
        let settlement = settlement(&ledger, &wallet, Policy { confirmations: 2, ..policy() });
        settlement.run(START, &payees).unwrap();
        assert_eq!(status(&ledger, 1), PaymentStatus::Sent);
        assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
        wallet.mine();
        settlement.run(hours(1), &payees).unwrap();
        assert_eq!(status(&ledger, 1), PaymentStatus::Sent, "one confirmation is not two");
        wallet.mine();
        settlement.run(hours(2), &payees).unwrap();
        assert_eq!(status(&ledger, 1), PaymentStatus::Settled);
        let totals = ledger.totals();
        assert_eq!((totals.paid, totals.network_fees, totals.in_flight), (10_000, 10, 0));
        assert_eq!(ledger.payable(&operator()), Amount(500), "no address: it stays");
        assert!(totals.conserved);
        assert_eq!(wallet.transactions(), 1);
    }
}

#[test]
fn a_payment_is_settled_when_it_is_as_deep_as_the_pool_asks() {
    let (ledger, wallet) = pool(Kind::Builder);
    let settlement = settlement(&ledger, &wallet, Policy { confirmations: 3, ..policy() });
    settlement.run(START, &payees).unwrap();
    for hour in 1..3 {
        wallet.mine();
        settlement.run(hours(hour), &payees).unwrap();
        assert_eq!(status(&ledger, 1), PaymentStatus::Sent);
    }
    wallet.mine();
    settlement.run(hours(3), &payees).unwrap();
    assert_eq!(status(&ledger, 1), PaymentStatus::Settled);
}

#[test]
fn a_settled_payment_that_a_reorganisation_removes_goes_out_again_as_it_was() {
    let (ledger, wallet, settlement) = settled(Kind::Builder);
    let (paid, totals) = (wallet.paid(), ledger.totals());
    assert!(settlement.watches(hours(1)));

    wallet.reorganise();
    let report = settlement.recover(hours(1)).unwrap();
    assert!(report.removed[0].note.contains("waits for one again"), "{report:?}");
    wallet.forget_waiting();
    assert_eq!(wallet.transactions(), 0);
    let report = settlement.run(hours(1), &payees).unwrap();
    assert!(report.removed[0].note.contains("the same bytes were sent again"), "{report:?}");
    assert_eq!((wallet.paid(), wallet.count("build"), wallet.count("broadcast")), (paid.clone(), 1, 2));

    wallet.mine();
    assert_eq!(settlement.run(hours(2), &payees).unwrap().removed, []);
    assert_eq!((wallet.paid(), ledger.totals(), wallet.0.lock().double_spends), (paid, totals, 0));
    assert!(!settlement.watches(hours(30)), "a day later nobody asks any more");
}

#[test]
fn while_a_removed_payment_cannot_be_sent_again_its_coins_are_not_spent_for_another() {
    for kind in [Kind::Builder, Kind::Sender] {
        let (ledger, wallet, settlement) = settled(kind);
        let (paid, totals) = (wallet.paid(), ledger.totals());
        wallet.0.lock().coins.insert(coin(8), Amount(5000));
        earn(&ledger, 2, &[(miner(1), 4000)]).unwrap();
        wallet.reorganise();
        wallet.forget_waiting();
        wallet.mood(Mood::Unreachable);
        let report = settlement.run(hours(2), &payees).unwrap();
        assert!(report.removed[0].note.contains("in no block any more"), "{report:?}");
        assert_eq!((report.plan, ledger.payment(PaymentId(2))), (None, None));
        assert_eq!((ledger.totals().paid, wallet.transactions()), (totals.paid, 0));

        // The node is there again: first the old payment, then the new one.
        wallet.mood(Mood::Well);
        if kind == Kind::Builder {
            settlement.run(hours(3), &payees).unwrap();
            wallet.mine();
            settlement.run(hours(4), &payees).unwrap();
            let mut both = paid.clone();
            *both.get_mut(&address("m1")).unwrap() += 4000;
            assert_eq!((wallet.paid(), wallet.0.lock().double_spends), (both, 0));
        }
    }
}

#[test]
fn a_removed_payment_whose_coins_somebody_else_spent_is_told_and_not_paid_again() {
    let (ledger, wallet, settlement) = settled(Kind::Builder);
    let inputs = spent(&wallet);
    wallet.reorganise();
    wallet.forget_waiting();
    wallet.spend_elsewhere(&inputs[0]);
    let report = settlement.run(hours(2), &payees).unwrap();
    assert!(report.removed[0].note.contains("another transaction spends its coins"), "{report:?}");
    assert_eq!((status(&ledger, 1), wallet.count("broadcast")), (PaymentStatus::Settled, 1));
    assert!(ledger.totals().conserved);
}

#[test]
fn a_settled_payment_that_another_wallet_never_heard_of_is_in_the_chain_all_the_same() {
    for kind in [Kind::Builder, Kind::Sender] {
        let (ledger, wallet, settlement) = settled(kind);
        let (head, sent) = (ledger.head(), wallet.count("broadcast"));
        wallet.0.lock().other_wallet = true;
        let report = settlement.run(hours(2), &payees).unwrap();
        assert_eq!((report.removed.as_slice(), report.plan.is_some()), (&[][..], true));
        assert_eq!((ledger.head(), wallet.count("broadcast")), (head, sent));
    }
}

#[test]
fn what_is_sent_again_is_noted_once_and_coins_that_are_gone_hold_nothing_up() {
    let (ledger, wallet, settlement) = settled(Kind::Builder);
    let inputs = spent(&wallet);
    wallet.reorganise();
    wallet.0.lock().other_wallet = true;
    settlement.run(hours(2), &payees).unwrap();
    let head = ledger.head();
    let report = settlement.run(hours(3), &payees).unwrap();
    assert!(report.removed[0].note.contains("the same bytes were sent again"), "{report:?}");
    assert_eq!(ledger.head(), head, "the ledger was told before");

    // Its coins are spent in a block: nobody can spend them for another payment.
    wallet.forget_waiting();
    inputs.iter().for_each(|coin| wallet.spend_elsewhere(coin));
    let report = settlement.run(hours(4), &payees).unwrap();
    assert!(report.removed[0].note.contains("cannot be sent again"), "{report:?}");
    assert!(report.plan.is_some(), "others are paid");
}

#[test]
fn a_network_fee_charged_to_owners_is_part_of_what_they_were_credited() {
    let (ledger, wallet) = pool(Kind::Builder);
    let settlement = settlement(&ledger, &wallet, Policy { charge: Charge::Owners, ..policy() });
    settlement.run(START, &payees).unwrap();
    wallet.mine();
    settlement.run(hours(1), &payees).unwrap();
    assert_eq!(wallet.paid(), expected(&[(1, 4995), (2, 2997), (3, 1998)]));
    let totals = ledger.totals();
    assert_eq!((totals.paid, totals.network_fees, totals.network_fees_charged), (9990, 0, 10));
    assert!(totals.conserved);
}

#[test]
fn a_dry_run_writes_nothing_and_sends_nothing() {
    let (ledger, wallet) = pool(Kind::Builder);
    let before = ledger.head();
    let plan = settlement(&ledger, &wallet, policy()).dry_run(START, &payees).unwrap();
    assert_eq!((plan.total, plan.batches.len()), (Amount(10_000), 1));
    assert_eq!(plan.skipped.len(), 1);
    assert_eq!((plan.skipped[0].owner.clone(), plan.skipped[0].why), (operator(), Skip::NoAddress));
    assert_eq!((ledger.head(), wallet.transactions(), wallet.count("build")), (before, 0, 0));
}

#[test]
fn small_balances_wait_for_the_pools_minimum_or_the_miners_own() {
    let (ledger, wallet) = pool(Kind::Builder);
    let picky = |owner: &Owner| {
        let minimum = if *owner == miner(1) { Amount(9000) } else { Amount::ZERO };
        payees(owner).map(|to| PayTo { minimum, ..to })
    };
    let settlement = settlement(&ledger, &wallet, Policy { minimum: Amount(2500), ..policy() });
    settlement.run(START, &picky).unwrap();
    assert_eq!(wallet.paid(), expected(&[(2, 3000)]));
}

#[test]
fn a_run_and_a_day_spend_at_most_their_caps_and_nobody_starves() {
    let (ledger, wallet) = pool(Kind::Builder);
    let capped = Policy { cap_per_run: Amount(4000), cap_per_day: Amount(6000), ..policy() };
    let settlement = settlement(&ledger, &wallet, capped);
    settlement.run(START, &payees).unwrap();
    assert_eq!(wallet.paid(), expected(&[(1, 4000)]));
    wallet.mine();
    let report = settlement.run(hours(1), &payees).unwrap();
    // Who was never paid comes first; the day has 2000 left.
    assert_eq!(wallet.paid(), expected(&[(1, 4000), (2, 2000)]));
    assert!(report.plan.unwrap().skipped.iter().any(|skipped| skipped.why == Skip::CapPerDay));
    wallet.mine();
    settlement.run(hours(2), &payees).unwrap();
    assert_eq!(wallet.transactions(), 2, "the day is used up");
    for hour in [25, 50, 75] {
        wallet.mine();
        settlement.run(hours(hour), &payees).unwrap();
    }
    assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
}

#[test]
fn payable_never_exceeds_spendable() {
    let (ledger, wallet) = pool(Kind::Builder);
    wallet.0.lock().coins.clear();
    wallet.0.lock().coins.insert(coin(8), Amount(2500));
    let plan = settlement(&ledger, &wallet, policy()).dry_run(START, &payees).unwrap();
    assert_eq!(plan.total, Amount(2500));
    assert!(plan.skipped.iter().any(|skipped| skipped.why == Skip::NotSpendable));
}

/// Invariant 10: duplicate and self addresses are merged before a transaction is built; its size is capped by batches.
#[test]
fn invariant_10_duplicates_and_own_addresses_are_merged_and_batches_capped() {
    let (ledger, wallet) = pool(Kind::Builder);
    let shared = |owner: &Owner| {
        let name = match owner {
            Owner::Miner(id) if id.0 < 3 => "shared",
            Owner::Miner(_) => "alone",
            _ => "own",
        };
        Some(PayTo { address: address(name), minimum: Amount::ZERO })
    };
    let settlement = settlement(&ledger, &wallet, policy());
    settlement.run(START, &shared).unwrap();
    wallet.mine();
    settlement.run(hours(1), &shared).unwrap();
    assert_eq!(wallet.paid(), BTreeMap::from([(address("alone"), 2000), (address("shared"), 8000)]));
    assert_eq!(ledger.payable(&operator()), Amount::ZERO);
    let totals = ledger.totals();
    assert_eq!((totals.paid, totals.paid_fees, totals.conserved), (10_000, 500, true));

    let (ledger, wallet) = pool(Kind::Builder);
    wallet.0.lock().coins.extend((9..12).map(|at| (coin(at), Amount(9000))));
    let small = common::settlement(&ledger, &wallet, Policy { batch: 1, ..policy() });
    small.run(START, &payees).unwrap();
    assert_eq!(wallet.transactions(), 3);
    assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
}

#[test]
fn an_own_address_alone_is_not_worth_a_transaction() {
    let (ledger, wallet) = pool(Kind::Builder);
    let own = |owner: &Owner| {
        (*owner == operator()).then(|| PayTo { address: address("own"), minimum: Amount::ZERO })
    };
    let plan = settlement(&ledger, &wallet, policy()).dry_run(START, &own).unwrap();
    assert!(plan.batches.is_empty());
    assert!(plan.skipped.iter().any(|skipped| skipped.why == Skip::OwnAddressOnly));
}

/// Invariant 3: unknown outcome: stop, reconcile with the wallet's history, never resend blindly.
#[test]
fn invariant_03_an_unknown_outcome_stops_and_is_reconciled() {
    for (kind, keeps_marker) in [(Kind::Builder, true), (Kind::Sender, true), (Kind::Sender, false)] {
        let (ledger, wallet) = pool(kind);
        wallet.0.lock().keeps_marker = keeps_marker;
        wallet.mood(Mood::DoneSilently);
        let settlement = settlement(&ledger, &wallet, policy());
        let report = settlement.run(START, &payees).unwrap();
        assert_eq!(report.blocked, Some(PaymentId(1)));
        assert!(matches!(status(&ledger, 1), PaymentStatus::Unknown(_)));
        earn(&ledger, 2, &[(miner(4), 700)]).unwrap();
        wallet.mood(Mood::Well);
        settlement.run(hours(1), &payees).unwrap();
        wallet.mine();
        settlement.run(hours(2), &payees).unwrap();
        assert_eq!(status(&ledger, 1), PaymentStatus::Settled);
        assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000), (4, 700)]));
        assert_eq!(wallet.transactions(), 2);
        assert_eq!(wallet.0.lock().double_spends, 0);
    }
}

#[test]
fn a_call_lost_on_its_way_is_repeated_with_the_same_bytes_only() {
    let (ledger, wallet) = pool(Kind::Builder);
    wallet.mood(Mood::LostSilently);
    let settlement = settlement(&ledger, &wallet, policy());
    settlement.run(START, &payees).unwrap();
    let txid = ledger.payment(PaymentId(1)).unwrap().txid;
    wallet.mood(Mood::Well);
    settlement.run(hours(1), &payees).unwrap();
    assert_eq!(ledger.payment(PaymentId(1)).unwrap().txid, txid);
    assert_eq!((status(&ledger, 1), wallet.count("build")), (PaymentStatus::Sent, 1));
}

#[test]
fn a_sender_never_sends_again_by_itself() {
    let (ledger, wallet) = pool(Kind::Sender);
    wallet.mood(Mood::LostSilently);
    let settlement = settlement(&ledger, &wallet, policy());
    settlement.run(START, &payees).unwrap();
    wallet.mood(Mood::Well);
    for hour in 1..5 {
        let report = settlement.run(hours(hour), &payees).unwrap();
        assert_eq!(report.blocked, Some(PaymentId(1)));
    }
    assert_eq!(wallet.count("send_many"), 1);
    settlement.release(PaymentId(1), "operator", "it is not there", Call::Ended, hours(5)).unwrap();
    settlement.run(hours(6), &payees).unwrap();
    assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
}

#[test]
fn a_definite_refusal_of_the_first_call_returns_the_balances() {
    for kind in [Kind::Builder, Kind::Sender] {
        let (ledger, wallet) = pool(kind);
        wallet.mood(Mood::Refusing);
        settlement(&ledger, &wallet, policy()).run(START, &payees).unwrap();
        assert!(matches!(status(&ledger, 1), PaymentStatus::Released(_)));
        assert_eq!((ledger.payable(&miner(1)), ledger.totals().conserved), (Amount(5000), true));
    }
}

#[test]
fn a_refusal_after_an_unknown_outcome_is_no_proof() {
    let (ledger, wallet) = pool(Kind::Builder);
    let settlement = settlement(&ledger, &wallet, policy());
    wallet.mood(Mood::LostSilently);
    settlement.run(START, &payees).unwrap();
    wallet.mood(Mood::Refusing);
    settlement.run(hours(1), &payees).unwrap();
    assert!(matches!(status(&ledger, 1), PaymentStatus::Unknown(_)));
    let refused =
        settlement.release(PaymentId(1), "operator", "no patience", Call::Ended, hours(2)).unwrap_err();
    assert!(matches!(refused, SettlementError::Order { .. }), "{refused}");
    // Spending one of its coins elsewhere, confirmed, is proof.
    let coin = ledger.payment(PaymentId(1)).unwrap().built.unwrap().inputs[0].clone();
    wallet.spend_elsewhere(&coin);
    settlement.recover(hours(3)).unwrap();
    assert!(matches!(status(&ledger, 1), PaymentStatus::Released(_)));
    assert_eq!(ledger.payable(&miner(1)), Amount(5000));
}

#[test]
fn a_transaction_that_the_node_forgot_goes_out_again_as_it_was() {
    let (ledger, wallet) = pool(Kind::Builder);
    let settlement = settlement(&ledger, &wallet, policy());
    settlement.run(START, &payees).unwrap();
    let txid = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
    wallet.forget_waiting();
    settlement.run(hours(1), &payees).unwrap();
    wallet.mine();
    settlement.run(hours(2), &payees).unwrap();
    assert_eq!(ledger.payment(PaymentId(1)).unwrap().txid, Some(txid));
    assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
}

#[test]
fn coins_of_an_open_payment_are_spent_by_no_other() {
    let (ledger, wallet) = pool(Kind::Builder);
    let settlement = settlement(&ledger, &wallet, policy());
    wallet.mood(Mood::Unreachable);
    settlement.run(START, &payees).unwrap();
    assert_eq!(status(&ledger, 1), PaymentStatus::Submitting);
    let first = ledger.payment(PaymentId(1)).unwrap().built.unwrap().inputs;
    wallet.0.lock().coins.insert(coin(8), Amount(5000));
    earn(&ledger, 2, &[(miner(5), 800)]).unwrap();
    settlement.run(hours(1), &payees).unwrap();
    let second = ledger.payment(PaymentId(2)).unwrap().built.unwrap().inputs;
    assert!(second.iter().all(|coin| !first.contains(coin)));
    wallet.mood(Mood::Well);
    settlement.run(hours(2), &payees).unwrap();
    assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000), (5, 800)]));
    assert_eq!(wallet.0.lock().double_spends, 0);
}

#[test]
fn the_operator_resolves_a_payment_only_with_the_transaction_that_pays_it() {
    let (ledger, wallet) = pool(Kind::Sender);
    let settlement = settlement(&ledger, &wallet, policy());
    wallet.mood(Mood::LostSilently);
    settlement.run(START, &payees).unwrap();
    let none =
        settlement.resolve(PaymentId(1), &TxId("nothing".to_owned()), "operator", hours(1)).unwrap_err();
    assert!(matches!(none, SettlementError::Order { .. }));
    // The operator sends by hand what the lost call should have sent.
    wallet.mood(Mood::Well);
    let outputs: Vec<_> = expected(&[(1, 5000), (2, 3000), (3, 2000)])
        .into_iter()
        .map(|(address, amount)| Output { address, amount: Amount(amount) })
        .collect();
    let wrong = millpond_settlement::Wallet::send_many(&wallet, &outputs[..1], "by hand", 0).unwrap();
    assert!(settlement.resolve(PaymentId(1), &wrong, "operator", hours(1)).is_err());
    let right = millpond_settlement::Wallet::send_many(&wallet, &outputs[1..], "by hand", 0).unwrap();
    assert!(settlement.resolve(PaymentId(1), &right, "operator", hours(1)).is_err(), "an output is missing");
    // Nor does any transaction stand for the payment because somebody says so.
    let as_made = |txid: &TxId, at| settlement.resolve_as_made(PaymentId(1), txid, "operator", at);
    let other = Output { address: address("somebody"), amount: Amount(100) };
    let other = millpond_settlement::Wallet::send_many(&wallet, &[other], "by hand", 0).unwrap();
    wallet.mine();
    assert!(as_made(&other, hours(2)).unwrap_err().to_string().contains("pays nobody of it"));
    wallet.0.lock().accepted.get_mut(&wrong).unwrap().time = UnixMillis(START.0 - 2 * 86_400_000);
    assert!(as_made(&wrong, hours(2)).unwrap_err().to_string().contains("older than the payment"));
    assert_eq!(as_made(&right, hours(2)).unwrap(), Amount(0), "what was paid by hand of it");
    assert_eq!(ledger.payable(&miner(1)), Amount(5000), "the rest is owed still");
}

#[test]
fn a_sender_that_says_no_and_has_it_in_its_history_is_not_asked_again() {
    let (ledger, wallet) = pool(Kind::Sender);
    wallet.mood(Mood::StoredAndRefused);
    let settlement = settlement(&ledger, &wallet, policy());
    let report = settlement.run(START, &payees).unwrap();
    assert_eq!((report.blocked, wallet.count("send_many")), (Some(PaymentId(1)), 1));
    wallet.mood(Mood::Well);
    wallet.mine();
    for hour in 1..4 {
        settlement.run(hours(hour), &payees).unwrap();
    }
    assert_eq!(status(&ledger, 1), PaymentStatus::Settled);
    assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
}

#[test]
fn a_sender_that_paid_somebody_else_is_not_believed() {
    for lost in [false, true] {
        let (ledger, wallet) = pool(Kind::Sender);
        let settlement = settlement(&ledger, &wallet, policy());
        wallet.mood(if lost { Mood::DoneSilently } else { Mood::Well });
        settlement.run(START, &payees).unwrap();
        wallet.0.lock().accepted.values_mut().for_each(|tx| tx.outputs[0].address = address("thief"));
        wallet.mine();
        settlement.recover(hours(1)).unwrap();
        let report = settlement.run(hours(2), &payees).unwrap();
        assert_eq!((report.blocked, report.plan), (Some(PaymentId(1)), None));
        let PaymentStatus::Unknown(why) = status(&ledger, 1) else { panic!("{:?}", status(&ledger, 1)) };
        assert!(why.contains("pays other addresses or amounts"), "{why}");
        let written = ledger.head();
        settlement.recover(hours(3)).unwrap();
        assert_eq!(ledger.head(), written, "it is not written down again and again");
        assert!(
            settlement.release(PaymentId(1), "operator", "gone", Call::Ended, hours(3)).is_err(),
            "it went out"
        );
    }
}

#[test]
fn what_a_sender_made_otherwise_is_booked_as_it_was_made_by_order() {
    let (ledger, wallet) = pool(Kind::Sender);
    let settlement = settlement(&ledger, &wallet, policy());
    settlement.run(START, &payees).unwrap();
    let txid = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
    let before = ledger.totals();
    let (a, b, c) = (address(&miner(1).to_string()), address(&miner(2).to_string()), address("thief"));
    // Miner 1 is paid 700 of his 5000, miner 2 gets 100 more than his 3000 (at an address that the wallet writes in
    // capitals), miner 3 nothing, and a thief 1500.
    let made = [(a, 700), (b.to_uppercase(), 3100), (c, 1500)]
        .map(|(address, amount)| Output { address, amount: Amount(amount) });
    wallet.0.lock().accepted.get_mut(&txid).unwrap().outputs = made.to_vec();
    let order = |txid: &TxId, at| settlement.resolve_as_made(PaymentId(1), txid, "operator", at);
    assert!(order(&txid, hours(1)).is_err(), "it is not confirmed yet, and not known to be wrong");
    wallet.mine();
    settlement.recover(hours(1)).unwrap();
    assert!(matches!(status(&ledger, 1), PaymentStatus::Unknown(_)));
    assert!(order(&TxId("00".repeat(32)), hours(1)).is_err(), "a transaction that the wallet did not make");
    assert_eq!(order(&txid, hours(2)).unwrap(), Amount(1600));
    assert_eq!(status(&ledger, 1), PaymentStatus::Settled);
    assert_eq!([1, 2, 3].map(|id| ledger.payable(&miner(id)).0), [4300, 0, 2000]);
    assert_eq!(ledger.balance(&Account::OperatorLoss), 1600);
    let after = ledger.totals();
    assert!(after.conserved);
    assert_eq!(after.paid - before.paid, 3700);
    assert_eq!(before.wallet - after.wallet, 700 + 3100 + 1500 + 10, "what left it, to the unit");
    assert!(order(&txid, hours(2)).is_err(), "it is closed");
    // The rest is due like any balance.
    wallet.0.lock().coins.insert(coin(9), Amount(20_000));
    let report = settlement.run(hours(3), &payees).unwrap();
    assert_eq!(report.blocked, None);
    assert_eq!(ledger.payment(PaymentId(2)).unwrap().reserved(), Amount(6300));
    // The log says so, to whoever reads it.
    let mut written = Vec::new();
    let mut look = |record: &Record, _: &[u8]| {
        if let Entry::PaymentSettled { lost, .. } = &record.entry {
            written.push(*lost);
        }
        Ok(())
    };
    ledger.reader().for_each_record(&mut look).unwrap();
    assert_eq!(written, [Amount(1600)]);
}

#[test]
fn an_order_to_book_it_as_made_that_is_cut_short_is_given_again_and_counts_once() {
    for edge in [Edge::Confirmed, Edge::Settled] {
        let (ledger, wallet) = pool(Kind::Sender);
        let whole = settlement(&ledger, &wallet, policy());
        whole.run(START, &payees).unwrap();
        let txid = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
        wallet.0.lock().accepted.get_mut(&txid).unwrap().outputs =
            vec![Output { address: address(&miner(1).to_string()), amount: Amount(6000) }];
        wallet.mine();
        whole.recover(hours(1)).unwrap();
        let order = |it: &Settlement, at| it.resolve_as_made(PaymentId(1), &txid, "operator", at);
        let killed = settlement(&ledger, &wallet, policy()).with_hook(move |at, _| at != edge);
        assert!(matches!(order(&killed, hours(2)), Err(SettlementError::Halted(_))));
        // The next start looks first.
        whole.recover(hours(3)).unwrap();
        if edge == Edge::Confirmed {
            assert!(matches!(status(&ledger, 1), PaymentStatus::Unknown(_)), "nothing was booked");
            assert_eq!(order(&whole, hours(4)).unwrap(), Amount(1000));
        }
        assert_eq!(status(&ledger, 1), PaymentStatus::Settled);
        assert!(order(&whole, hours(5)).is_err(), "it is closed");
        assert_eq!([1, 2, 3].map(|id| ledger.payable(&miner(id)).0), [0, 3000, 2000]);
        assert_eq!(ledger.balance(&Account::OperatorLoss), 1000);
        assert!(ledger.totals().conserved);
    }
}

#[test]
fn a_settled_payment_that_a_new_wallet_cannot_see_stands_by_the_operators_word() {
    let (ledger, wallet, settlement) = settled(Kind::Sender);
    let txid = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
    // Another wallet, and a node that cannot show a coin of it: its owners have spent them, or it is gone indeed.
    wallet.0.lock().other_wallet = true;
    wallet.reorganise();
    wallet.0.lock().coins.insert(coin(9), Amount(9000));
    earn(&ledger, 2, &[(miner(5), 800)]).unwrap();
    let report = settlement.run(hours(2), &payees).unwrap();
    assert_eq!((report.removed.len(), report.plan), (1, None));
    assert!(settlement.resolve(PaymentId(1), &TxId("another".to_owned()), "operator", hours(2)).is_err());
    settlement.resolve(PaymentId(1), &txid, "operator", hours(2)).unwrap();
    let report = settlement.run(hours(2), &payees).unwrap();
    assert_eq!(report.removed, []);
    assert_eq!(ledger.payment(PaymentId(2)).unwrap().reserved(), Amount(800));
}

/// A settled payment that a reorganisation took out, and another transaction that spends a coin of it, in a block.
fn replaced(kind: Kind) -> (Arc<Ledger>, SimWallet, Settlement) {
    let (ledger, wallet, settlement) = settled(kind);
    let txid = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
    wallet.conflict(&txid);
    (ledger, wallet, settlement)
}

#[test]
fn a_settled_payment_whose_coins_are_spent_elsewhere_is_undone_by_order_and_paid_anew() {
    for kind in [Kind::Builder, Kind::Sender] {
        let (ledger, wallet, settlement) = replaced(kind);
        let before = ledger.totals();
        // As long as the pool asks one confirmation, the other transaction's block is enough.
        let back = settlement.undo(PaymentId(1), "operator", "reorganised", hours(3)).unwrap();
        assert_eq!(back, Amount(10_000));
        let PaymentStatus::Undone(why) = status(&ledger, 1) else { panic!("{:?}", status(&ledger, 1)) };
        assert!(why.starts_with("operator: reorganised; another transaction spends its coins"), "{why}");
        let after = ledger.totals();
        assert_eq!((after.paid, after.network_fees), (0, before.network_fees - 10));
        assert_eq!(after.wallet - before.wallet, 10_010);
        assert!(after.conserved);
        assert!(settlement.undo(PaymentId(1), "operator", "reorganised", hours(3)).is_err(), "it is undone");
        // Nothing is told of it any more, and its owners are paid.
        wallet.0.lock().coins.insert(coin(9), Amount(30_000));
        let report = settlement.run(hours(4), &payees).unwrap();
        assert_eq!((report.removed, report.extra, report.blocked), (vec![], vec![], None));
        wallet.mine();
        settlement.run(hours(5), &payees).unwrap();
        assert_eq!(status(&ledger, 2), PaymentStatus::Settled);
        assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
        ledger.reader().verify().unwrap();
    }
}

#[test]
fn a_settled_payment_that_could_still_be_paid_is_not_undone() {
    let undo = |it: &Settlement| it.undo(PaymentId(1), "operator", "why", hours(3)).unwrap_err().to_string();
    for kind in [Kind::Builder, Kind::Sender] {
        // It is in its block, it waits for another, nobody knows it.
        let (_, wallet, settlement) = settled(kind);
        assert!(undo(&settlement).contains("can still confirm"));
        wallet.reorganise();
        assert!(undo(&settlement).contains("can still confirm"));
        wallet.forget_waiting();
        assert!(undo(&settlement).contains("can still confirm"));

        // The other transaction is not as deep as the pool asks.
        let (ledger, wallet, _) = replaced(kind);
        let deeper = self::settlement(&ledger, &wallet, Policy { confirmations: 3, ..policy() });
        assert!(undo(&deeper).contains("can still confirm"));
        wallet.mine();
        wallet.mine();
        deeper.undo(PaymentId(1), "operator", "why", hours(3)).unwrap();

        // The wallet is wrong: the chain has what it made.
        let (ledger, wallet, settlement) = settled(kind);
        wallet.spend_elsewhere(&coin(8));
        let (ours, other) =
            (ledger.payment(PaymentId(1)).unwrap().txid.unwrap(), TxId("elsewhere".to_owned()));
        wallet.0.lock().replaced.insert(ours, other);
        assert!(undo(&settlement).contains("the node's chain has a coin that it made"));
    }
    let (ledger, wallet) = pool(Kind::Builder);
    let settlement = settlement(&ledger, &wallet, policy());
    settlement.run(START, &payees).unwrap();
    assert!(undo(&settlement).contains("it is not settled"));
    assert!(settlement.undo(PaymentId(7), "operator", "why", hours(1)).is_err());
}

/// Invariant 8: notifications and metrics cannot affect payment control flow.
#[test]
fn invariant_08_what_listens_cannot_change_what_is_paid() {
    // A run gives back plain data and takes no listener: a failing notification has nothing to fail in. The same run
    // with its report dropped and with its report read pays the same.
    let pay = |read: bool| {
        let (ledger, wallet) = pool(Kind::Builder);
        let settlement = settlement(&ledger, &wallet, policy());
        for hour in 0..3 {
            let report = settlement.run(hours(hour), &payees).unwrap();
            if read {
                let listener = std::panic::catch_unwind(|| panic!("the webhook failed over {report:?}"));
                assert!(listener.is_err());
            }
            wallet.mine();
        }
        (wallet.paid(), ledger.head())
    };
    assert_eq!(pay(true).0, pay(false).0);
    assert_eq!(pay(true).1.seq, pay(false).1.seq);
}
