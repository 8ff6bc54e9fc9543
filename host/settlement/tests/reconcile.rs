//! Ledger, wallet and chain held against each other: each difference has its name, and what nothing explains shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_devchain::{DevChain, Options};
use millpond_disk::SimDisk;
use millpond_ledger::{
    Account, Allocation, Entry, IncomeAllocated, IncomeKey, Ledger, Owner, PaymentId, Posting, Reversal, TxId,
};
use millpond_node::{Auth, Endpoint, JsonRpc, Limits, Secret};
use millpond_settlement::{
    Code, CoreWallet, Kind, Move, NodeRpc, Output, PayTo, Reconciled, SendManyWallet, Settlement, Stands,
    Wallet,
};
use millpond_types::Amount;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// A pool with one matured income of 10,000 that its wallet has, paid out and settled but for the operator's 500.
struct Scene {
    ledger: Arc<Ledger>,
    wallet: SimWallet,
    settlement: Settlement,
}

const INCOME: u64 = 10_500;

impl Scene {
    fn new(kind: Kind) -> Self {
        let ledger = open(&SimDisk::new()).unwrap();
        let wallet = SimWallet::new(kind, &[INCOME]);
        let settlement = settlement(&ledger, &wallet, policy());
        let scene = Self { ledger, wallet, settlement };
        scene.income(1, INCOME, true);
        scene.coinbase(1, INCOME, Stands::Confirmed);
        scene
    }

    fn paid(kind: Kind) -> Self {
        let scene = Self::new(kind);
        for hour in 0..2 {
            scene.settlement.run(hours(hour), &payees).unwrap();
            scene.wallet.mine();
        }
        scene
    }

    /// An income whose block is so called.
    fn income(&self, block: u8, amount: u64, matured: bool) {
        let miners = [(miner(1), Amount(amount - 500)), (operator(), Amount(500))];
        let parts = Allocation::merged(miners).unwrap();
        let income =
            IncomeAllocated::new(key(block), Amount(amount), Amount::ZERO, parts, Vec::new()).unwrap();
        self.ledger.append(START, Entry::IncomeAllocated(income)).unwrap();
        if matured {
            self.ledger.append(START, Entry::Matured { key: key(block) }).unwrap();
        }
    }

    fn coinbase(&self, block: u8, amount: u64, stands: Stands) {
        // As a node writes a hash: the other way round.
        let hash: String =
            key(block).as_bytes()[..32].iter().rev().map(|byte| format!("{byte:02x}")).collect();
        self.other(Move {
            coinbase: true,
            block: Some(hash),
            ..moved(&format!("coinbase {block}"), i128::from(amount), stands)
        });
    }

    fn other(&self, one: Move) {
        self.wallet.0.lock().others.push(one);
    }

    /// A deposit or a spend by hand.
    fn foreign(&self, name: &str, amount: i64) {
        let mut world = self.wallet.0.lock();
        let coin = world.coins.values_mut().next().unwrap();
        *coin = Amount(coin.0.checked_add_signed(amount).unwrap());
        world.others.push(moved(name, amount.into(), Stands::Confirmed));
    }

    fn adjust(&self, amount: i128) {
        let postings = vec![
            Posting { account: Account::Wallet, amount },
            Posting { account: Account::Payable(Owner::Reserve), amount: -amount },
        ];
        let (by, reason) = ("configuration".to_owned(), "declared reserve".to_owned());
        self.ledger.append(START, Entry::Adjustment { postings, by, reason }).unwrap();
    }

    fn look(&self) -> Reconciled {
        let head = self.ledger.head();
        let found = self.settlement.reconcile().unwrap();
        assert_eq!(self.ledger.head(), head, "it writes nothing");
        found
    }

    /// Codes and amounts, and whether they are wrong; nothing is left unexplained.
    fn found(&self) -> Vec<(Code, i128, bool)> {
        let found = self.look();
        assert_eq!(found.residual, 0, "{found:?}");
        assert_eq!(found.holds(), found.differences.iter().all(|one| !one.wrong));
        found.differences.iter().map(|one| (one.code, one.amount, one.wrong)).collect()
    }

    fn txid(&self) -> TxId {
        self.ledger.payment(PaymentId(1)).unwrap().txid.unwrap()
    }
}

fn key(block: u8) -> IncomeKey {
    // A block's hash, and the number of the output.
    IncomeKey::new([[block; 31].as_slice(), &[77], &[0; 4]].concat()).unwrap()
}

fn moved(name: &str, net: i128, stands: Stands) -> Move {
    Move { txid: TxId(name.to_owned()), net, stands, block: None, coinbase: false, marker: None }
}

#[test]
fn a_pool_whose_money_is_where_the_ledger_says_has_nothing_to_explain() {
    for kind in [Kind::Builder, Kind::Sender] {
        let scene = Scene::new(kind);
        assert_eq!(scene.found(), []);
        let scene = Scene::paid(kind);
        let found = scene.look();
        assert_eq!((found.ledger, found.wallet, found.differences.as_slice()), (490, 490, &[][..]));
        assert!(found.holds());
    }
}

#[test]
fn what_goes_its_way_is_explained() {
    for kind in [Kind::Builder, Kind::Sender] {
        let scene = Scene::new(kind);
        scene.settlement.run(START, &payees).unwrap();
        assert_eq!(scene.found(), [(Code::InFlight, -10_010, false)]);
        // The call of which no answer came is found by its marker, or by its bytes.
        let scene = Scene::new(kind);
        scene.wallet.mood(Mood::DoneSilently);
        scene.settlement.run(START, &payees).unwrap();
        assert_eq!(scene.found(), [(Code::InFlight, -10_010, false)]);
    }
    let scene = Scene::paid(Kind::Builder);
    scene.income(2, 900, false);
    scene.coinbase(2, 900, Stands::Confirmed);
    scene.wallet.0.lock().immature += 900;
    assert_eq!(scene.found(), [(Code::IncomeImmature, 900, false)]);

    // A miner whose address is the wallet's own is sent what stays there.
    let scene = Scene::new(Kind::Builder);
    scene.income(2, 2500, true);
    scene.coinbase(2, 2500, Stands::Confirmed);
    scene.wallet.0.lock().coins.insert(coin(5), Amount(2500));
    let to = |owner: &Owner| {
        let own = *owner == operator();
        Some(PayTo { address: address(if own { "own" } else { "m1" }), minimum: Amount::ZERO })
    };
    for hour in 0..2 {
        scene.settlement.run(hours(hour), &to).unwrap();
        scene.wallet.mine();
    }
    assert_eq!(scene.found(), [(Code::OwnRow, 1000, false)]);

    // A declared reserve and the deposit that it is.
    let scene = Scene::paid(Kind::Builder);
    scene.foreign("deposit", 700);
    scene.adjust(700);
    assert_eq!(scene.found(), [(Code::Foreign, 700, false), (Code::Adjusted, -700, false)]);
    // A network fee that was booked by the name of its transaction.
    let scene = Scene::paid(Kind::Builder);
    scene.foreign("sweep", -30);
    let (txid, amount) = (TxId("sweep".to_owned()), Amount(30));
    scene.ledger.append(START, Entry::NetworkFee { txid, amount }).unwrap();
    assert_eq!(scene.found(), []);
}

#[test]
fn what_is_wrong_has_its_name() {
    type Spoil = fn(&Scene);
    let table: [(Spoil, (Code, i128)); 12] = [
        (|scene| scene.foreign("deposit", 5), (Code::Foreign, 5)),
        (|scene| scene.adjust(90), (Code::Adjusted, -90)),
        (|scene| scene.income(2, 800, true), (Code::IncomeUnseen, -800)),
        (|scene| scene.income(2, 800, false), (Code::IncomeUnseen, 0)),
        (
            |scene| {
                scene.income(2, 800, true);
                scene.coinbase(2, 800, Stands::Never);
            },
            (Code::IncomeUnseen, -800),
        ),
        (
            |scene| {
                scene.coinbase(2, 800, Stands::Confirmed);
                scene.wallet.0.lock().immature += 800;
            },
            (Code::IncomeUnbooked, 800),
        ),
        (
            |scene| {
                scene.income(2, 800, true);
                scene.coinbase(2, 799, Stands::Confirmed);
                scene.wallet.0.lock().immature += 799;
            },
            (Code::IncomeDiffers, -1),
        ),
        (
            |scene| {
                scene.income(2, 800, false);
                let proof = "another block".to_owned();
                scene
                    .ledger
                    .append(START, Entry::Reversed { key: key(2), how: Reversal::Drop, proof })
                    .unwrap();
                scene.coinbase(2, 800, Stands::Confirmed);
                scene.wallet.0.lock().immature += 800;
            },
            (Code::ReversedButThere, 800),
        ),
        (
            |scene| {
                // A larger fee than the one that was settled.
                let txid = scene.txid();
                let mut world = scene.wallet.0.lock();
                world.accepted.get_mut(&txid).unwrap().fee = Amount(17);
                let change = world.coins.values_mut().next().unwrap();
                *change = Amount(change.0 - 7);
            },
            (Code::PaidOtherwise, -7),
        ),
        (
            |scene| {
                let mut world = scene.wallet.0.lock();
                world.coins.clear();
                world.coins.insert(coin(0), Amount(INCOME));
                world.accepted.clear();
            },
            (Code::PaymentLost, 10_010),
        ),
        (
            |scene| {
                let txid = scene.txid();
                scene.wallet.conflict(&txid);
                // The other transaction is a spend by hand of all there was, which came back.
                let mut world = scene.wallet.0.lock();
                world.accepted.clear();
                world.coins.insert(coin(0), Amount(INCOME));
            },
            (Code::PaymentConflicted, 10_010),
        ),
        (
            |scene| {
                scene.wallet.0.lock().immature += 4;
                scene.other(Move {
                    marker: scene.ledger.payment(PaymentId(1)).unwrap().marker,
                    ..moved("again", 4, Stands::Waits)
                });
            },
            (Code::PaidTwice, 4),
        ),
    ];
    for (at, (spoil, (code, amount))) in table.into_iter().enumerate() {
        let scene = Scene::paid(Kind::Sender);
        spoil(&scene);
        assert_eq!(scene.found(), [(code, amount, true)], "row {at}");
    }
}

#[test]
fn what_nothing_explains_is_left_over() {
    let scene = Scene::paid(Kind::Builder);
    scene.wallet.0.lock().immature += 3;
    let found = scene.look();
    assert_eq!((found.residual, found.differences.as_slice(), found.holds()), (3, &[][..], false));
    // What is settled is never taken for more than it is: a payment to somebody else shows.
    let scene = Scene::paid(Kind::Builder);
    let txid = scene.txid();
    let thief = Output { address: address("thief"), amount: Amount(40) };
    scene.wallet.0.lock().accepted.get_mut(&txid).unwrap().outputs.push(thief);
    let found = scene.look();
    assert_eq!(
        (found.residual, found.differences[0].code, found.differences[0].amount),
        (40, Code::PaidOtherwise, -40)
    );
}

#[test]
fn a_transaction_too_many_is_red_until_it_is_booked() {
    let scene = Scene::new(Kind::Sender);
    scene.wallet.0.lock().coins.insert(coin(7), Amount(12_000));
    scene.other(moved("deposit", 12_000, Stands::Confirmed));
    scene.adjust(12_000);
    scene.wallet.mood(Mood::Twice);
    scene.settlement.run(START, &payees).unwrap();
    scene.wallet.mood(Mood::Well);
    scene.wallet.mine();
    scene.settlement.run(hours(1), &payees).unwrap();
    let declared = [(Code::Foreign, 12_000, false), (Code::Adjusted, -12_000, false)];
    let mut found = scene.found();
    let twice = found.iter().position(|one| one.0 == Code::PaidTwice).unwrap();
    assert_eq!(found.remove(twice), (Code::PaidTwice, -10_010, true));
    assert_eq!(found, declared);
    let other = scene.wallet.marked(1).into_iter().find(|txid| *txid != scene.txid()).unwrap();
    scene.settlement.resolve_as_made(PaymentId(1), &other, "operator", hours(2)).unwrap();
    assert_eq!(scene.found(), declared);
    // And the chain may lose it after that.
    let mut world = scene.wallet.0.lock();
    let tx = world.accepted.remove(&other).unwrap();
    world.coins.retain(|coin, _| !coin.0.starts_with(&other.0));
    for coin in tx.inputs {
        let worth = world.worth[&coin];
        world.coins.insert(coin, worth);
    }
    drop(world);
    assert!(scene.found().contains(&(Code::PaymentLost, 10_010, true)));
}

#[test]
fn a_payment_that_was_undone_leaves_what_took_its_place() {
    let scene = Scene::paid(Kind::Builder);
    let txid = scene.txid();
    scene.wallet.conflict(&txid);
    assert_eq!(scene.found(), [(Code::PaymentConflicted, 10_010, true), (Code::Foreign, -10_500, true)]);
    scene.settlement.undo(PaymentId(1), "operator", "reorganised", hours(3)).unwrap();
    assert_eq!(scene.found(), [(Code::Foreign, -10_500, true)]);
}

/// The drivers that read a history as Core shows it, over a node.
#[tokio::test(flavor = "multi_thread")]
async fn wallets_like_cores_tell_what_they_hold_and_what_they_did() {
    for kind in [Kind::Builder, Kind::Sender] {
        let chain = DevChain::start(Options::default()).await.unwrap();
        let other = DevChain::start(Options { seed: 2, ..Options::default() }).await.unwrap();
        chain.generate(110).unwrap();
        let (url, to) = (chain.url(), other.new_address());
        tokio::task::block_in_place(|| {
            let rpc = || {
                let auth = Auth::Basic { user: "devchain".to_owned(), password: Secret::new("devchain") };
                let endpoint = Endpoint { url: url.clone(), auth };
                let client = JsonRpc::new(endpoint, Limits::default()).unwrap();
                NodeRpc::new(client, Handle::current(), Duration::from_secs(60))
            };
            let wallet: Box<dyn Wallet> = match kind {
                Kind::Builder => Box::new(CoreWallet::new(rpc(), 1)),
                Kind::Sender => Box::new(SendManyWallet::new(rpc(), 1)),
            };
            let book = || {
                let book = wallet.book().unwrap();
                let sum: i128 = book.moves.iter().map(|one| one.net).sum();
                assert_eq!(sum, i128::from(book.holds.0), "the balance and the history agree");
                book
            };
            let before = book();
            assert_eq!(before.moves.len(), 110);
            assert!(before.moves.iter().all(|one| one.coinbase && one.block.is_some()));
            let amount = Amount(123_456_789);
            let txid = SendManyWallet::new(rpc(), 1)
                .send_many(&[Output { address: to.clone(), amount }], "millpond 7 1", 0)
                .unwrap();
            let paid = SendManyWallet::new(rpc(), 1).paid(&txid).unwrap();
            let sent = || book().moves.into_iter().find(|one| one.txid == txid).unwrap();
            let waits = sent();
            assert_eq!(waits.net, -i128::from(amount.0 + paid.fee.0));
            assert!(paid.fee > Amount::ZERO);
            assert_eq!((waits.stands, waits.coinbase, waits.block), (Stands::Waits, false, None));
            assert_eq!(waits.marker.as_deref(), Some("millpond 7 1"));
            chain.generate(1).unwrap();
            let there = sent();
            assert_eq!((there.stands, there.net), (Stands::Confirmed, waits.net));
            assert!(there.block.is_some());
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever goes wrong together, each is found, and all of it explains the whole.
    #[test]
    fn differences_add_up(parts in proptest::collection::vec((0..6_u8, 600..9000_u64), 0..12)) {
        let scene = Scene::paid(Kind::Builder);
        let mut expected = Vec::new();
        for (at, (what, amount)) in parts.into_iter().enumerate() {
            let (block, units) = (u8::try_from(at + 10).unwrap(), i128::from(amount));
            let there = |scene: &Scene| {
                scene.coinbase(block, amount, Stands::Confirmed);
                scene.wallet.0.lock().immature += amount;
            };
            match what {
                0 => {
                    scene.income(block, amount, false);
                    there(&scene);
                    expected.push((Code::IncomeImmature, units));
                }
                1 => {
                    scene.income(block, amount, true);
                    expected.push((Code::IncomeUnseen, -units));
                }
                2 => {
                    there(&scene);
                    expected.push((Code::IncomeUnbooked, units));
                }
                3 => {
                    scene.income(block, amount, true);
                    there(&scene);
                }
                4 => {
                    scene.foreign(&format!("deposit {at}"), i64::try_from(amount).unwrap());
                    expected.push((Code::Foreign, units));
                }
                _ => scene.adjust(units),
            }
        }
        let adjusted = scene.ledger.balance(&Account::Payable(Owner::Reserve));
        if adjusted != 0 {
            expected.push((Code::Adjusted, -adjusted));
        }
        let mut found: Vec<_> = scene.found().into_iter().map(|(code, amount, _)| (code, amount)).collect();
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}
