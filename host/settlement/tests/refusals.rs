//! What is paid when wallet or node refuse some of it: everybody else, and as much as the coins cover.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_ledger::{Ledger, PaymentStatus};
use millpond_settlement::{Charge, Kind, Policy};
use millpond_types::Amount;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

const KINDS: [Kind; 2] = [Kind::Builder, Kind::Sender];

/// A wallet that refuses every batch and then signs nothing more said nothing of any owner: the next run pays them together.
#[test]
fn a_wallet_that_refused_everybody_sets_nobody_apart() {
    for kind in KINDS {
        let amounts: Vec<u64> = (1..=6).map(|id| 1000 + id).collect();
        let (ledger, wallet) = owing(kind, &amounts, &[1_000_000; 10]);
        let settlement = settlement(&ledger, &wallet, policy());
        wallet.mood(Mood::Refusing);
        settlement.run(START, &payees).unwrap();
        wallet.mood(Mood::Well);
        let report = settlement.run(hours(1), &payees).unwrap();
        assert_eq!((report.steps.len(), wallet.transactions()), (1, 1), "{:?}", report.steps);
        adds_up(&ledger, &wallet, &amounts);
    }
}

/// A pool that owes these amounts to miners 1, 2, 3, ..., and a wallet with these coins.
fn owing(kind: Kind, amounts: &[u64], coins: &[u64]) -> (Arc<Ledger>, SimWallet) {
    let ledger = open(&millpond_disk::SimDisk::new()).unwrap();
    let parts: Vec<_> = (1..).zip(amounts).map(|(id, amount)| (miner(id), *amount)).collect();
    earn(&ledger, 1, &parts).unwrap();
    (ledger, SimWallet::new(kind, coins))
}

fn paid_to(wallet: &SimWallet, id: u64) -> u64 {
    wallet.paid().get(&address(&miner(id).to_string())).copied().unwrap_or(0)
}

/// Nothing is lost or paid twice: what was owed was sent, charged, or is owed still.
fn adds_up(ledger: &Ledger, wallet: &SimWallet, amounts: &[u64]) {
    let totals = ledger.totals();
    assert!(totals.conserved, "{totals:?}");
    let sent = i128::from(wallet.paid().values().sum::<u64>());
    assert!(totals.paid <= sent && sent <= totals.paid + totals.in_flight, "{sent}: {totals:?}");
    let owed: i128 = amounts.iter().map(|amount| i128::from(*amount)).sum();
    assert_eq!(totals.paid + totals.network_fees_charged + totals.payable + totals.in_flight, owed);
}

#[test]
fn an_address_that_the_wallet_cannot_read_holds_up_nobody_else() {
    for kind in KINDS {
        let amounts: Vec<u64> = (1..=40).map(|id| 1000 + id).collect();
        let (ledger, wallet) = owing(kind, &amounts, &[1_000_000; 30]);
        let bad = [7, 29].map(|id| address(&miner(id).to_string()));
        wallet.0.lock().unreadable.extend(bad);
        let settlement = settlement(&ledger, &wallet, Policy { batch: 100, ..policy() });
        let report = settlement.run(START, &payees).unwrap();
        for id in 1..=40 {
            let expected = if [7, 29].contains(&id) { 0 } else { 1000 + id };
            assert_eq!(paid_to(&wallet, id), expected, "miner {id}, {kind:?}");
        }
        // The operator is told of each of the two, not of every try.
        let told = report.steps.iter().filter(|step| step.state == "released" && !step.again).count();
        assert_eq!(told, 2, "{:?}", report.steps);
        adds_up(&ledger, &wallet, &amounts);

        // The next time they stand alone from the beginning, behind the others.
        wallet.mine();
        earn(&ledger, 2, &[(miner(1), 5000), (miner(2), 5000)]).unwrap();
        let report = settlement.run(hours(1), &payees).unwrap();
        let made: Vec<_> = report.steps.iter().filter(|step| step.state == "sent").collect();
        assert_eq!(made.len(), 1, "{:?}", report.steps);
        assert!(report.steps.iter().all(|step| !step.again), "{:?}", report.steps);
        // When the wallet learns to read them, they are paid.
        wallet.0.lock().unreadable.clear();
        wallet.mine();
        settlement.run(hours(2), &payees).unwrap();
        assert_eq!((paid_to(&wallet, 7), paid_to(&wallet, 29)), (1007, 1029));
        wallet.mine();
        settlement.run(hours(3), &payees).unwrap();
        assert!(ledger.open_payments().is_empty());
        assert_eq!(ledger.totals().payable, 0);
    }
}

#[test]
fn an_address_below_the_minimum_is_not_put_to_the_wallet() {
    let (ledger, wallet) = owing(Kind::Builder, &[50, 5000], &[100_000]);
    wallet.0.lock().unreadable.insert(address(&miner(1).to_string()));
    let settlement = settlement(&ledger, &wallet, policy());
    let report = settlement.run(START, &payees).unwrap();
    assert_eq!((paid_to(&wallet, 2), report.steps.len()), (5000, 1), "{:?}", report.steps);
}

#[test]
fn a_wallet_that_holds_exactly_what_is_owed_pays_nearly_all_of_it_at_once_and_the_rest_later() {
    for kind in KINDS {
        for charge in [Charge::Pool, Charge::Owners] {
            if kind == Kind::Sender && charge == Charge::Owners {
                continue;
            }
            let amounts = [500_000, 300_000, 200_000];
            let (ledger, wallet) = owing(kind, &amounts, &[1_000_000]);
            wallet.0.lock().fee = 700;
            let settlement = settlement(&ledger, &wallet, Policy { charge, ..policy() });
            settlement.run(START, &payees).unwrap();
            let paid: u64 = wallet.paid().values().sum();
            assert!((990_000..=999_300).contains(&paid), "{kind:?}, {charge:?}: {paid}");
            for (id, amount) in (1..).zip(amounts) {
                assert!(paid_to(&wallet, id) >= amount - amount / 100, "miner {id}, {kind:?}, {charge:?}");
            }
            adds_up(&ledger, &wallet, &amounts);
            // A new coin comes: what was held back is a balance like any.
            wallet.0.lock().coins.insert(coin(9), Amount(50_000));
            wallet.mine();
            settlement.run(hours(1), &payees).unwrap();
            wallet.mine();
            settlement.run(hours(2), &payees).unwrap();
            adds_up(&ledger, &wallet, &amounts);
            assert!(ledger.totals().payable < 3 * 100, "what is left is below the minimum");
        }
    }
}

#[test]
fn a_wallet_that_refuses_everything_is_asked_so_often_and_no_more() {
    for kind in KINDS {
        let amounts: Vec<u64> = (1..=500).map(|id| 1000 + id).collect();
        let (ledger, wallet) = owing(kind, &amounts, &[10_000_000; 10]);
        wallet.mood(Mood::Refusing);
        let settlement = settlement(&ledger, &wallet, Policy { batch: 100, ..policy() });
        let report = settlement.run(START, &payees).unwrap();
        assert!(report.steps.len() <= 5 + 2 * 64, "{}", report.steps.len());
        assert!(ledger.book().payments().all(|one| matches!(one.status, PaymentStatus::Released(_))));
        assert_eq!(
            (wallet.transactions(), ledger.totals().payable),
            (0, amounts.iter().map(|it| i128::from(*it)).sum())
        );
        // No refusal: the wallet is not there, so nothing is divided.
        let before = ledger.book().payments().count();
        wallet.mood(Mood::Unreachable);
        settlement.run(hours(25), &payees).unwrap();
        assert!(ledger.book().payments().count() - before <= 5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is refused and however short the wallet is, everything adds up, and in the end all who can be paid are.
    #[test]
    fn nothing_is_lost_or_doubled_by_refusals(
        amounts in proptest::collection::vec(2_000_u64..50_000, 1..30),
        refused in proptest::collection::btree_set(0_usize..30, 0..4),
        coins in proptest::collection::vec(1_u64..400_000, 1..6),
        fee in 1_u64..500,
        sender in any::<bool>(),
        batch in 1_usize..12,
    ) {
        let kind = if sender { Kind::Sender } else { Kind::Builder };
        let (ledger, wallet) = owing(kind, &amounts, &coins);
        wallet.0.lock().fee = fee;
        let bad: Vec<u64> = (1..).zip(&amounts).enumerate()
            .filter(|(at, _)| refused.contains(at)).map(|(_, (id, _))| id).collect();
        wallet.0.lock().unreadable.extend(bad.iter().map(|id| address(&miner(*id).to_string())));
        // A fee above all that a payment pays is refused as too dear: no payment is as small as that.
        let minimum = fee.max(policy().minimum.0);
        let settlement = settlement(&ledger, &wallet, Policy { batch, minimum: Amount(minimum), ..policy() });
        for hour in 0..3 {
            settlement.run(hours(hour), &payees).unwrap();
            adds_up(&ledger, &wallet, &amounts);
            wallet.mine();
        }
        wallet.0.lock().coins.insert(coin(99), Amount(10_000_000));
        for hour in 30..36 {
            settlement.run(hours(hour), &payees).unwrap();
            adds_up(&ledger, &wallet, &amounts);
            wallet.mine();
        }
        let by_miner: BTreeMap<u64, u64> = (1..).zip(amounts.iter().copied()).collect();
        for (id, amount) in by_miner {
            let paid = paid_to(&wallet, id);
            if bad.contains(&id) {
                prop_assert_eq!(paid, 0);
            } else {
                prop_assert!(amount - paid < minimum, "miner {} has {} of {}", id, paid, amount);
            }
        }
    }
}
