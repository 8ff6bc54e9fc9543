//! A ledger as a backup had it, beside a wallet that went on: what its open payments became since is found, or doubted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Mood, SimWallet, expected, hours, payees, policy, pool, settlement};
use millpond_ledger::{Entry, Ledger, PaymentId, PaymentStatus, Progress};
use millpond_settlement::{Edge, Kind, Policy};
use std::collections::BTreeSet;
use std::sync::Arc;

const ONE: PaymentId = PaymentId(1);

/// A pool that stops at an edge of its first payment, and its ledger as a backup of that moment has it.
fn cut_at(kind: Kind, edge: Edge) -> (Arc<Ledger>, Arc<Ledger>, SimWallet) {
    let ((lost, wallet), (back, _)) = (pool(kind), pool(kind));
    let stopping = settlement(&lost, &wallet, policy()).with_hook(move |at, _| at != edge);
    stopping.run(hours(1), &payees).unwrap_err();
    let from = back.head();
    lost.reader()
        .for_each_record(&mut |record, _| {
            if record.seq > from.seq {
                back.append(record.at, record.entry.clone())?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(back.payment(ONE), lost.payment(ONE));
    (lost, back, wallet)
}

fn status(ledger: &Ledger) -> PaymentStatus {
    ledger.payment(ONE).unwrap().status
}

/// What the pool of before the loss paid, once.
fn paid_once(wallet: &SimWallet) {
    assert_eq!(wallet.paid(), expected(&[(1, 5000), (2, 3000), (3, 2000)]));
    assert_eq!((wallet.transactions(), wallet.0.lock().double_spends), (1, 0));
}

#[test]
fn a_reserved_payment_of_a_builder_is_doubted_whether_it_was_paid_since_or_not() {
    let (lost, back, wallet) = cut_at(Kind::Builder, Edge::Reserved);
    let restored = settlement(&back, &wallet, policy());
    assert_eq!((restored.shown(ONE).unwrap(), restored.doubtful().unwrap()), (None, vec![ONE]));
    settlement(&lost, &wallet, policy()).run(hours(2), &payees).unwrap();
    assert_eq!(status(&lost), PaymentStatus::Sent);
    assert_eq!((restored.shown(ONE).unwrap(), restored.doubtful().unwrap()), (None, vec![ONE]));
    // Only a sender's history could decide.
    restored.leave_to_history(&BTreeSet::new(), hours(3)).unwrap();
    assert_eq!(status(&back), PaymentStatus::Reserved);
    paid_once(&wallet);
}

#[test]
fn a_built_payment_that_went_out_since_is_shown_and_followed_and_not_paid_again() {
    let (lost, back, wallet) = cut_at(Kind::Builder, Edge::Stored);
    settlement(&lost, &wallet, policy()).run(hours(2), &payees).unwrap();
    let restored = settlement(&back, &wallet, Policy { confirmations: 1, ..policy() });
    assert_eq!(
        (restored.shown(ONE).unwrap(), restored.doubtful().unwrap()),
        (lost.payment(ONE).unwrap().txid, vec![])
    );
    wallet.mine();
    restored.recover(hours(3)).unwrap();
    restored.recover(hours(3)).unwrap();
    assert_eq!(status(&back), PaymentStatus::Settled);
    restored.run(hours(4), &payees).unwrap();
    paid_once(&wallet);
}

#[test]
fn a_built_payment_that_was_refused_and_paid_anew_since_is_doubted() {
    let (lost, back, wallet) = cut_at(Kind::Builder, Edge::Stored);
    wallet.mood(Mood::Refusing);
    let going_on = settlement(&lost, &wallet, policy());
    going_on.recover(hours(2)).unwrap();
    assert!(matches!(status(&lost), PaymentStatus::Released(_)));
    wallet.mood(Mood::Well);
    going_on.run(hours(3), &payees).unwrap();
    let restored = settlement(&back, &wallet, policy());
    assert_eq!(restored.doubtful().unwrap(), [ONE], "its bytes may fit again");
    paid_once(&wallet);
}

#[test]
fn a_built_payment_whose_coins_another_transaction_took_is_doubted_and_not_given_up_by_itself() {
    let (_, back, wallet) = cut_at(Kind::Builder, Edge::Stored);
    let built = back.payment(ONE).unwrap().built.unwrap();
    // The payment made anew since, say.
    wallet.spend_elsewhere(&built.inputs[0]);
    let restored = settlement(&back, &wallet, Policy { confirmations: 100, ..policy() });
    assert_eq!((restored.shown(ONE).unwrap(), restored.doubtful().unwrap()), (None, vec![ONE]));
    // Whoever goes on all the same: a refusal of these bytes is no proof that nothing was paid.
    restored.run(hours(3), &payees).unwrap();
    assert!(matches!(status(&back), PaymentStatus::Unknown(_)), "{:?}", status(&back));
    assert_eq!(back.book().payments().count(), 1);
}

#[test]
fn a_senders_payment_is_found_in_the_history_or_waits_for_a_word_and_is_never_sent_by_itself() {
    for sent in [true, false] {
        let (lost, back, wallet) = cut_at(Kind::Sender, Edge::Reserved);
        if sent {
            settlement(&lost, &wallet, policy()).run(hours(2), &payees).unwrap();
        }
        let restored = settlement(&back, &wallet, policy());
        assert_eq!(restored.doubtful().unwrap(), []);
        assert_eq!(restored.shown(ONE).unwrap().is_some(), sent);
        restored.leave_to_history(&BTreeSet::new(), hours(400)).unwrap();
        let report = restored.run(hours(400), &payees).unwrap();
        if sent {
            assert_eq!(back.payment(ONE).unwrap().txid, lost.payment(ONE).unwrap().txid);
            paid_once(&wallet);
        } else {
            assert!(matches!(status(&back), PaymentStatus::Unknown(_)), "{:?}", status(&back));
            assert_eq!((report.blocked, wallet.transactions()), (Some(ONE), 0));
        }
    }
}

#[test]
fn a_senders_payment_that_somebody_vouches_for_is_sent_once() {
    let (_, back, wallet) = cut_at(Kind::Sender, Edge::Reserved);
    let restored = settlement(&back, &wallet, policy());
    restored.leave_to_history(&BTreeSet::from([ONE]), hours(2)).unwrap();
    assert_eq!(status(&back), PaymentStatus::Reserved);
    restored.run(hours(2), &payees).unwrap();
    let submitted =
        |entry: &Entry| matches!(entry, Entry::PaymentProgress { step: Progress::Submitting { .. }, .. });
    let mut calls = 0;
    let mut count = |record: &millpond_ledger::Record, _: &[u8]| {
        calls += usize::from(submitted(&record.entry));
        Ok(())
    };
    back.reader().for_each_record(&mut count).unwrap();
    assert_eq!(calls, 1);
    paid_once(&wallet);
}
