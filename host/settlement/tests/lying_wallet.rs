//! A wallet that signs something else than it was asked for: nothing of it is stored or sent, and nobody is a unit poorer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_codec_bitcoin::payment::PaymentError;
use millpond_ledger::{InputId, Owner, PaymentId, PaymentStatus, TxId};
use millpond_settlement::{
    Kind, Lookup, Mismatch, Output, Paid, PayTo, Policy, Seen, Settlement, SettlementError, Signed, Wallet,
    WalletError, WalletsWord,
};
use millpond_types::{Amount, UnixMillis};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What it makes of a transaction that would have been right, given the coins of other open payments.
type Lie = fn(&mut Signed, &BTreeSet<InputId>);

/// Signs by its own will, and sends whatever it is given.
struct Liar(SimWallet, Lie);

impl Wallet for Liar {
    fn kind(&self) -> Kind {
        Kind::Builder
    }
    fn spendable(&self, reserved: &BTreeSet<InputId>) -> Result<Amount, WalletError> {
        self.0.spendable(reserved)
    }
    fn owns(&self, addresses: &[String]) -> Result<Vec<bool>, WalletError> {
        self.0.owns(addresses)
    }
    fn build(
        &self,
        outputs: &[Output],
        rate: u64,
        reserved: &BTreeSet<InputId>,
    ) -> Result<Signed, WalletError> {
        let mut signed = self.0.build(outputs, rate, reserved)?;
        (self.1)(&mut signed, reserved);
        Ok(signed)
    }
    fn broadcast(&self, bytes: &[u8], txid: &TxId) -> Result<(), WalletError> {
        self.0.broadcast(bytes, txid)
    }
    fn lookup(&self, txid: &TxId, inputs: &[InputId]) -> Result<Lookup, WalletError> {
        self.0.lookup(txid, inputs)
    }
    fn has_coin(&self, coin: &InputId) -> Result<bool, WalletError> {
        self.0.has_coin(coin)
    }
    fn send_many(&self, _: &[Output], _: &str, _: u64) -> Result<TxId, WalletError> {
        panic!("it is asked to build")
    }
    fn history(&self, since: UnixMillis) -> Result<Vec<Seen>, WalletError> {
        self.0.history(since)
    }
    fn paid(&self, txid: &TxId) -> Result<Paid, WalletError> {
        Wallet::paid(&self.0, txid)
    }
}

/// Signs these outputs and tells of them, or goes on telling of the right ones.
fn sign(signed: &mut Signed, change: impl FnOnce(&mut Vec<Output>), tells: bool) {
    let mut outputs = signed.outputs.clone();
    change(&mut outputs);
    let coins: Vec<_> = signed.spends.iter().map(|spent| spent.coin.clone()).collect();
    (signed.bytes, signed.txid) = bytes(&coins, &outputs, 77);
    if tells {
        signed.outputs = outputs;
    }
}

/// Its output to miner 1, and its change.
fn first(outputs: &mut [Output]) -> &mut Output {
    outputs.iter_mut().find(|output| output.address == address("m1")).unwrap()
}

fn own(outputs: &mut [Output]) -> &mut Output {
    outputs.iter_mut().find(|output| output.address == address("own")).unwrap()
}

fn to_the_thief(amount: u64) -> Output {
    Output { address: address("thief"), amount: Amount(amount) }
}

/// The error of the one run over a wallet that lies so; nothing was stored or sent, and every balance is as before.
fn refused(lie: Lie, policy: Policy) -> Mismatch {
    let (ledger, wallet) = pool(Kind::Builder);
    let settlement = Settlement::new(ledger.clone(), Arc::new(Liar(wallet.clone(), lie)), policy);
    let SettlementError::Transaction { payment, why } = settlement.run(START, &payees).unwrap_err() else {
        panic!("another error")
    };
    let state = ledger.payment(payment).unwrap();
    let PaymentStatus::Released(said) = &state.status else { panic!("{state:?}") };
    assert!(
        said.starts_with(&format!("payment {payment}: the wallet's transaction is not what was asked for"))
    );
    assert!(state.built.is_none() && state.txid.is_none(), "{state:?}");
    assert_eq!((wallet.count("broadcast"), wallet.transactions()), (0, 0));
    for (id, amount) in [(1, 5000), (2, 3000), (3, 2000)] {
        assert_eq!(ledger.payable(&miner(id)), Amount(amount));
    }
    *why
}

#[test]
fn an_output_that_pays_another_or_another_amount_is_refused_whatever_the_wallet_says_of_it() {
    let lies: [(Lie, Lie); 3] = [
        (
            |signed, _| sign(signed, |outputs| first(outputs).address = address("thief"), true),
            |signed, _| sign(signed, |outputs| first(outputs).address = address("thief"), false),
        ),
        (
            |signed, _| sign(signed, |outputs| first(outputs).amount.0 -= 1, true),
            |signed, _| sign(signed, |outputs| first(outputs).amount.0 -= 1, false),
        ),
        (
            |signed, _| sign(signed, |outputs| outputs.retain(|one| one.address != address("m1")), true),
            |signed, _| sign(signed, |outputs| outputs.retain(|one| one.address != address("m1")), false),
        ),
    ];
    for (open, hidden) in lies {
        assert!(
            matches!(refused(open, policy()), Mismatch::Unpaid(output) if output.address == address("m1"))
        );
        let why = refused(hidden, policy());
        let bytes = matches!(
            why,
            Mismatch::Bytes(
                PaymentError::ForeignOutput { .. } | PaymentError::Unpaid { amount: Amount(5000), .. }
            )
        );
        assert!(bytes, "{why}");
    }
}

#[test]
fn a_second_change_output_and_change_to_a_stranger_are_refused() {
    let more: Lie = |signed, _| {
        let take = |outputs: &mut Vec<Output>| {
            own(outputs).amount.0 -= 100;
            outputs.push(to_the_thief(100));
        };
        sign(signed, take, true);
    };
    assert_eq!(refused(more, policy()), Mismatch::Outputs(2));
    let hidden: Lie = |signed, _| {
        let take = |outputs: &mut Vec<Output>| {
            own(outputs).amount.0 -= 100;
            outputs.push(to_the_thief(100));
        };
        sign(signed, take, false);
    };
    let why = refused(hidden, policy());
    assert!(matches!(why, Mismatch::Bytes(PaymentError::ForeignOutput { amount: Amount(100), .. })), "{why}");
    let split: Lie = |signed, _| {
        let split = |outputs: &mut Vec<Output>| {
            own(outputs).amount.0 -= 100;
            outputs.push(Output { address: address("own"), amount: Amount(100) });
        };
        sign(signed, split, false);
    };
    let why = refused(split, policy());
    assert!(matches!(
        why,
        Mismatch::Bytes(PaymentError::ForeignOutput { .. } | PaymentError::SecondChange { .. })
    ));
    let stolen: Lie = |signed, _| sign(signed, |outputs| own(outputs).address = address("thief"), true);
    assert!(
        matches!(refused(stolen, policy()), Mismatch::NotOurs(output) if output.address == address("thief"))
    );
    let stolen: Lie = |signed, _| sign(signed, |outputs| own(outputs).address = address("thief"), false);
    assert!(matches!(refused(stolen, policy()), Mismatch::Bytes(PaymentError::ForeignOutput { .. })));
}

#[test]
fn coins_that_the_wallet_did_not_name_or_that_another_payment_spends_are_refused() {
    let other: Lie = |signed, _| {
        let coins: Vec<_> = signed.spends.iter().map(|_| coin(99)).collect();
        (signed.bytes, signed.txid) = bytes(&coins, &signed.outputs, 77);
    };
    assert!(matches!(refused(other, policy()), Mismatch::Bytes(PaymentError::ForeignCoin(_))));
    let more: Lie = |signed, _| {
        let mut coins: Vec<_> = signed.spends.iter().map(|spent| spent.coin.clone()).collect();
        coins.push(coin(99));
        (signed.bytes, signed.txid) = bytes(&coins, &signed.outputs, 77);
    };
    let told = pool(Kind::Builder).1.0.lock().coins.len();
    assert_eq!(refused(more, policy()), Mismatch::Coins { told, is: told + 1 });
    let unnamed: Lie = |signed, _| signed.spends[0].coin = InputId("a coin".to_owned());
    assert!(matches!(refused(unnamed, policy()), Mismatch::CoinName(name) if name == "a coin"));

    // The first payment is open; the second one takes its coins.
    let (ledger, wallet) = pool(Kind::Builder);
    wallet.mood(Mood::Unreachable);
    settlement(&ledger, &wallet, policy()).run(START, &payees).unwrap();
    let held = ledger.payment(PaymentId(1)).unwrap().built.unwrap().inputs;
    wallet.0.lock().coins.insert(coin(8), Amount(5000));
    earn(&ledger, 2, &[(miner(5), 800)]).unwrap();
    let twice: Lie = |signed, reserved| {
        signed.spends[0].coin = reserved.first().unwrap().clone();
        sign(signed, |_| (), true);
    };
    let lying = Settlement::new(ledger.clone(), Arc::new(Liar(wallet, twice)), policy());
    let SettlementError::Transaction { why, .. } = lying.run(hours(1), &payees).unwrap_err() else {
        panic!()
    };
    assert!(matches!(*why, Mismatch::Reserved(coin) if held.contains(&coin)));
    assert_eq!(ledger.payable(&miner(5)), Amount(800));
}

#[test]
fn bytes_that_are_no_transaction_or_another_or_not_signed_are_refused() {
    let noise: Lie = |signed, _| signed.bytes = b"signed, trust me".to_vec();
    assert!(matches!(refused(noise, policy()), Mismatch::Transaction(_)));
    let nothing: Lie = |signed, _| signed.bytes.clear();
    assert!(matches!(refused(nothing, policy()), Mismatch::Transaction(_)));
    let another: Lie = |signed, _| signed.txid = TxId("ab".repeat(32));
    assert!(matches!(refused(another, policy()), Mismatch::Name { .. }));
    let unsigned: Lie = |signed, _| {
        // One byte of script, which is the only signature here, is taken out of the first input.
        let at = 4 + 1 + 36;
        assert_eq!(signed.bytes[at..at + 2], [1, 0x51]);
        signed.bytes.splice(at..at + 2, [0]);
        let tx = millpond_codec_bitcoin::Transaction::parse(&signed.bytes).unwrap();
        signed.txid = TxId(tx.txid.to_string());
    };
    assert!(matches!(refused(unsigned, policy()), Mismatch::Bytes(PaymentError::Unsigned(_))));
}

/// The miners lose nothing, since the pool bears the fee, but somebody's miner gets what the pool had.
#[test]
fn a_fee_above_the_cap_is_refused() {
    let burn: Lie = |signed, _| sign(signed, |outputs| own(outputs).amount.0 -= 500, true);
    let capped = Policy { max_fee: Amount(509), ..policy() };
    let fee = PaymentError::Fee { fee: Amount(510), cap: Amount(509) };
    assert_eq!(refused(burn, capped.clone()), Mismatch::Bytes(fee.clone()));
    let hidden: Lie = |signed, _| sign(signed, |outputs| own(outputs).amount.0 -= 500, false);
    let why = refused(hidden, capped.clone());
    assert!(
        matches!(why, Mismatch::Bytes(PaymentError::ForeignOutput { .. } | PaymentError::Fee { .. })),
        "{why}"
    );

    // An honest wallet at such a rate: under the cap it pays, above it nothing goes out.
    for (max_fee, sent) in [(510, true), (509, false), (0, true)] {
        let (ledger, wallet) = pool(Kind::Builder);
        wallet.0.lock().fee = 510;
        let outcome =
            settlement(&ledger, &wallet, Policy { max_fee: Amount(max_fee), ..policy() }).run(START, &payees);
        assert_eq!((outcome.is_ok(), wallet.transactions()), (sent, usize::from(sent)), "{outcome:?}");
    }
}

#[test]
fn where_the_operator_trusts_the_wallets_word_only_what_it_says_is_checked() {
    let run = |lie: Lie, max_fee: u64| {
        let (ledger, wallet) = pool(Kind::Builder);
        let policy = Policy { max_fee: Amount(max_fee), ..policy() };
        let settlement = Settlement::new(ledger.clone(), Arc::new(Liar(wallet, lie)), policy);
        settlement.with_check(Box::new(WalletsWord)).run(START, &payees).map(|_| ledger.payment(PaymentId(1)))
    };
    let tells: Lie = |signed, _| sign(signed, |outputs| first(outputs).address = address("thief"), true);
    assert!(matches!(run(tells, 0), Err(SettlementError::Transaction { .. })));
    let honest: Lie = |_, _| ();
    assert_eq!(run(honest, 10).unwrap().unwrap().status, PaymentStatus::Sent);
    let SettlementError::Transaction { why, .. } = run(honest, 9).unwrap_err() else { panic!() };
    assert_eq!(*why, Mismatch::Fee { fee: Amount(10), cap: Amount(9) });
}

#[test]
fn an_address_is_the_same_however_the_file_and_the_wallet_write_it() {
    let (ledger, wallet) = pool(Kind::Builder);
    let lower: Lie = |signed, _| {
        signed.outputs.iter_mut().for_each(|output| output.address.make_ascii_lowercase());
    };
    let settlement = Settlement::new(ledger.clone(), Arc::new(Liar(wallet.clone(), lower)), policy());
    let capitals = |owner: &Owner| {
        let to = payees(owner)?;
        Some(PayTo { address: to.address.to_ascii_uppercase(), ..to })
    };
    settlement.run(START, &capitals).unwrap();
    assert_eq!(ledger.payment(PaymentId(1)).unwrap().status, PaymentStatus::Sent);
    assert_eq!(wallet.paid()[&address("m1").to_ascii_uppercase()], 5000);
}

#[test]
fn a_payment_that_is_refused_does_not_hold_up_the_others() {
    let (ledger, wallet) = pool(Kind::Builder);
    let rob_the_first: Lie = |signed, _| {
        if signed.outputs.iter().any(|output| output.address == address("m1")) {
            sign(signed, |outputs| first(outputs).address = address("thief"), true);
        }
    };
    let liar = Arc::new(Liar(wallet.clone(), rob_the_first));
    let settlement = Settlement::new(ledger.clone(), liar, Policy { batch: 1, ..policy() });
    assert!(matches!(settlement.run(START, &payees), Err(SettlementError::Transaction { .. })));
    assert_eq!(wallet.paid(), expected(&[(2, 3000), (3, 2000)]), "the thief got nothing");
    assert_eq!(ledger.payable(&miner(1)), Amount(5000));
}
