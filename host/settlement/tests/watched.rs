//! Settled payments are looked at for a day, however many they are and whatever they pay, and a look stays small.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::{Disk, SimDisk};
use millpond_ledger::{InputId, Ledger, PaymentId, PaymentStatus};
use millpond_settlement::{Kind, Policy, Settlement};
use std::path::Path;
use std::sync::Arc;

/// A pool that has paid so many miners 100 each, so many in a payment, and all of it is settled.
fn settled(miners: u64, batch: usize) -> (SimDisk, Arc<Ledger>, SimWallet, Settlement) {
    let disk = SimDisk::new();
    let ledger = open(&disk).unwrap();
    let parts: Vec<_> = (1..=miners).map(|id| (miner(id), 100)).collect();
    earn(&ledger, 1, &parts).unwrap();
    let coins = vec![u64::try_from(batch).unwrap() * 100 + 50; usize::try_from(miners).unwrap()];
    let wallet = SimWallet::new(Kind::Builder, &coins);
    let settlement = settlement(&ledger, &wallet, Policy { batch, ..policy() });
    settlement.run(START, &payees).unwrap();
    wallet.mine();
    settlement.run(hours(1), &payees).unwrap();
    assert!(ledger.book().payments().all(|payment| payment.status == PaymentStatus::Settled));
    (disk, ledger, wallet, settlement)
}

/// How often a call is made in a look.
fn asked(wallet: &SimWallet, settlement: &Settlement, call: &str) -> usize {
    let before = wallet.count(call);
    assert_eq!(settlement.recover(hours(2)).unwrap().removed, []);
    wallet.count(call) - before
}

#[test]
fn every_payment_of_a_day_is_looked_at_in_turn_and_a_look_stays_small() {
    let (_, ledger, wallet, settlement) = settled(300, 1);
    assert_eq!(ledger.book().payments().count(), 300);
    assert!(asked(&wallet, &settlement, "lookup") <= 128);
    let oldest = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
    wallet.0.lock().accepted.get_mut(&oldest).unwrap().height = None;
    let mut looks = 0;
    loop {
        let report = settlement.recover(hours(2)).unwrap();
        if let [removed] = &report.removed[..] {
            assert_eq!(removed.payment, PaymentId(1));
            break;
        }
        looks += 1;
        assert!(looks <= 4, "it is never looked at");
    }
    // From now on it is looked at each time, until it is in the chain again.
    for _ in 0..6 {
        assert_eq!(settlement.recover(hours(2)).unwrap().removed.len(), 1);
    }
    wallet.mine();
    assert_eq!(asked(&wallet, &settlement, "broadcast"), 0);
}

#[test]
fn all_that_a_reorganisation_took_out_is_found_at_once() {
    let (_, _, wallet, settlement) = settled(300, 1);
    wallet.reorganise();
    assert_eq!(settlement.recover(hours(2)).unwrap().removed.len(), 300);
}

#[test]
fn a_payment_to_many_that_the_wallet_knows_nothing_of_costs_few_questions() {
    let (_, ledger, wallet, settlement) = settled(200, 200);
    let txid = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
    wallet.0.lock().other_wallet = true;
    // All but one have spent what they got.
    let moved = (0..200).filter(|at| *at != 150).map(|at| InputId(format!("{txid}:{at}")));
    wallet.0.lock().moved_on.extend(moved);
    let looks: Vec<usize> = (0..12).map(|_| asked(&wallet, &settlement, "has_coin")).collect();
    assert!(looks.iter().all(|asked| *asked <= 16 + 2), "{looks:?}");
    assert_eq!(looks[11], 1, "what is there is asked for first: {looks:?}");
}

#[test]
fn what_was_stored_for_a_payment_is_read_once() {
    let (disk, ledger, wallet, settlement) = settled(100, 1);
    let first = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
    let inputs = wallet.0.lock().accepted[&first].inputs.clone();
    wallet.reorganise();
    wallet.forget_waiting();
    inputs.iter().for_each(|coin| wallet.spend_elsewhere(coin));
    wallet.mood(Mood::Unreachable);
    let told = settlement.recover(hours(2)).unwrap().removed;
    assert_eq!(told.len(), 100);
    // Were the ledger read again, it would not be readable.
    let dir = Path::new("ledger");
    for name in disk.list(dir).unwrap().iter().filter(|name| name.ends_with(".seg")) {
        disk.flip_bit(&dir.join(name), 200, 3).unwrap();
    }
    assert!(ledger.reader().verify().is_err());
    assert_eq!(settlement.recover(hours(2)).unwrap().removed, told);
    assert_eq!(ledger.totals().paid, 10_000);
}
