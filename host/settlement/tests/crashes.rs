//! Crashes and power cuts at every point of a payment: nothing is paid twice, nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::{Keep, SimDisk};
use millpond_ledger::{Ledger, PaymentStatus};
use millpond_settlement::{Call, Charge, Edge, Kind, Policy, SettlementError};
use millpond_types::Amount;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Everything the pool does: two incomes, runs and blocks between them. Errors end it, as they end a process.
fn live(disk: &SimDisk, wallet: &SimWallet, policy: &Policy) -> Result<(), Box<dyn std::error::Error>> {
    let ledger = open(disk)?;
    let settlement = settlement(&ledger, wallet, policy.clone());
    earn(&ledger, 1, &[(miner(1), 5000), (miner(2), 3000)])?;
    settlement.run(START, &payees)?;
    earn(&ledger, 2, &[(miner(1), 700), (miner(3), 2000)])?;
    wallet.mine();
    settlement.run(hours(1), &payees)?;
    wallet.mine();
    settlement.run(hours(2), &payees)?;
    Ok(())
}

/// After the crash: start again, say again what may not have been heard, pay on; the operator releases what a sender
/// cannot know, after looking at its history.
fn recover(disk: &SimDisk, wallet: &SimWallet, policy: &Policy) -> Arc<Ledger> {
    let ledger = open(disk).unwrap();
    let settlement = settlement(&ledger, wallet, policy.clone());
    earn(&ledger, 1, &[(miner(1), 5000), (miner(2), 3000)]).unwrap();
    earn(&ledger, 2, &[(miner(1), 700), (miner(3), 2000)]).unwrap();
    for hour in 3..12 {
        let report = settlement.run(hours(hour), &payees).unwrap();
        if let Some(stuck) = report.blocked
            && wallet.0.lock().kind == Kind::Sender
            && matches!(ledger.payment(stuck).unwrap().status, PaymentStatus::Unknown(_))
        {
            let why = "not in the wallet's history, and the wallet was started anew";
            settlement.release(stuck, "operator", why, Call::Ended, hours(hour)).unwrap();
        }
        wallet.mine();
    }
    ledger
}

fn check(ledger: &Ledger, wallet: &SimWallet, charge: Charge, context: &str) {
    let totals = ledger.totals();
    assert!(totals.conserved, "{context}: {totals:?}");
    assert_eq!((totals.credited, totals.in_flight), (10_700, 0), "{context}");
    let paid = wallet.paid();
    assert_eq!(
        i128::from(paid.values().sum::<u64>()),
        totals.paid,
        "{context}: the books say what the chain says"
    );
    let all = totals.paid + totals.network_fees_charged;
    assert_eq!(all, 10_700, "{context}: everybody was paid once: {paid:?}");
    if charge == Charge::Pool {
        assert_eq!(paid, expected(&[(1, 5700), (2, 3000), (3, 2000)]), "{context}");
    }
    assert_eq!(wallet.0.lock().double_spends, 0, "{context}");
}

fn wallet(kind: Kind) -> SimWallet {
    SimWallet::new(kind, &[4000; 6])
}

const WORLDS: [(Kind, Charge); 3] =
    [(Kind::Builder, Charge::Pool), (Kind::Builder, Charge::Owners), (Kind::Sender, Charge::Pool)];

/// Invariant 3: intent durable -> call -> outcome durable.
#[test]
fn invariant_03_a_crash_at_every_payment_edge_pays_everybody_once() {
    for (kind, charge) in WORLDS {
        for edge in Edge::ALL {
            // The first, second, … time that the edge is passed.
            for pass in 0..3 {
                let (disk, wallet, policy) = (SimDisk::new(), wallet(kind), Policy { charge, ..policy() });
                let ledger = open(&disk).unwrap();
                let passed = AtomicU64::new(0);
                let settlement = settlement(&ledger, &wallet, policy.clone())
                    .with_hook(move |at, _| at != edge || passed.fetch_add(1, Ordering::Relaxed) != pass);
                earn(&ledger, 1, &[(miner(1), 5000), (miner(2), 3000)]).unwrap();
                for hour in 0..3 {
                    match settlement.run(hours(hour), &payees) {
                        Ok(_) => wallet.mine(),
                        Err(SettlementError::Halted(at)) => {
                            assert_eq!(at, edge);
                            break;
                        }
                        Err(error) => panic!("{error}"),
                    }
                    if hour == 0 {
                        earn(&ledger, 2, &[(miner(1), 700), (miner(3), 2000)]).unwrap();
                    }
                }
                drop(settlement);
                drop(ledger);
                let ledger = recover(&disk, &wallet, &policy);
                check(&ledger, &wallet, charge, &format!("{kind:?} {charge:?} {edge:?} pass {pass}"));
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_of_the_disk_pays_everybody_once() {
    for (kind, charge) in WORLDS {
        let policy = Policy { charge, ..policy() };
        let operations = {
            let disk = SimDisk::new();
            live(&disk, &wallet(kind), &policy).unwrap();
            disk.operations()
        };
        assert!(operations > 30, "only {operations} operations to cut at");
        for cut in 1..=operations {
            for keep in [Keep::Nothing, Keep::Everything, Keep::RandomSubset] {
                let (disk, wallet) = (SimDisk::new(), wallet(kind));
                disk.cut_at(cut, cut * 7 + 1, keep);
                let _ = live(&disk, &wallet, &policy);
                if !disk.is_off() {
                    disk.cut(cut, keep);
                }
                disk.power_on();
                let ledger = recover(&disk, &wallet, &policy);
                check(&ledger, &wallet, charge, &format!("{kind:?} {charge:?} cut at {cut}, {keep:?}"));
            }
        }
    }
}

#[test]
fn crashes_and_lost_answers_together_pay_everybody_once() {
    for (kind, charge) in WORLDS {
        for mood in [Mood::DoneSilently, Mood::LostSilently, Mood::Unreachable, Mood::Refusing] {
            for edge in Edge::ALL {
                let (disk, wallet, policy) = (SimDisk::new(), wallet(kind), Policy { charge, ..policy() });
                let ledger = open(&disk).unwrap();
                wallet.mood(mood);
                let settlement =
                    settlement(&ledger, &wallet, policy.clone()).with_hook(move |at, _| at != edge);
                earn(&ledger, 1, &[(miner(1), 5000), (miner(2), 3000)]).unwrap();
                let _ = settlement.run(START, &payees);
                drop(settlement);
                drop(ledger);
                wallet.mood(Mood::Well);
                let ledger = recover(&disk, &wallet, &policy);
                check(&ledger, &wallet, charge, &format!("{kind:?} {charge:?} {mood:?} {edge:?}"));
            }
        }
    }
}

#[test]
fn on_a_full_disk_no_payment_starts() {
    for kind in [Kind::Builder, Kind::Sender] {
        let (disk, wallet) = (SimDisk::new(), wallet(kind));
        let ledger = open(&disk).unwrap();
        earn(&ledger, 1, &[(miner(1), 5000)]).unwrap();
        disk.set_capacity(Some(1));
        assert!(settlement(&ledger, &wallet, policy()).run(START, &payees).is_err());
        assert_eq!((wallet.transactions(), ledger.payable(&miner(1))), (0, Amount(5000)));
    }
}
