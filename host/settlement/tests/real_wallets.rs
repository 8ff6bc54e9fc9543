//! The drivers against nodes: the development chain always, bcoin and lcoin where real nodes are wanted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{START, earn, hours, miner, open};
use millpond_devchain::peers::Peer;
use millpond_devchain::{DevChain, Options, peers};
use millpond_disk::SimDisk;
use millpond_ledger::{Ledger, Owner, PaymentId, PaymentStatus, TxId};
use millpond_node::{Auth, Endpoint, HttpClient, JsonRpc, Limits, Secret};
use millpond_settlement::{
    BcoinWallet, Charge, CoreWallet, NodeRpc, PayTo, Policy, Rpc, SendManyWallet, Settlement, Wallet,
    from_decimal,
};
use millpond_types::{Amount, UnixMillis};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

fn endpoint(url: String, user: &str, password: &str) -> Endpoint {
    Endpoint { url, auth: Auth::Basic { user: user.to_owned(), password: Secret::new(password) } }
}

fn rpc(url: String, user: &str, password: &str) -> NodeRpc<JsonRpc> {
    let client = JsonRpc::new(endpoint(url, user, password), Limits::default()).unwrap();
    NodeRpc::new(client, Handle::current(), Duration::from_secs(60))
}

fn devchain_rpc(chain: &DevChain) -> NodeRpc<JsonRpc> {
    rpc(chain.url(), chain.user(), chain.password())
}

/// What a transaction pays to each address, in base units, by the node's own decoder.
fn outputs(rpc: &dyn Rpc, txid: &TxId) -> BTreeMap<String, u64> {
    let tx = rpc.call("getrawtransaction", json!([txid.0, 1])).unwrap();
    let mut paid = BTreeMap::new();
    for output in tx["vout"].as_array().unwrap() {
        let script = &output["scriptPubKey"];
        let address = script["address"].as_str().or_else(|| script["addresses"][0].as_str());
        let value = from_decimal(&output["value"].to_string(), 8).unwrap();
        *paid.entry(address.unwrap().to_owned()).or_default() += value.0;
    }
    paid
}

/// The miners' addresses, in the order of their numbers.
fn payees(addresses: &[String]) -> impl Fn(&Owner) -> Option<PayTo> + Sync {
    move |owner| match owner {
        Owner::Miner(id) => {
            let address = addresses[usize::try_from(id.0).unwrap() - 1].clone();
            Some(PayTo { address, minimum: Amount::ZERO })
        }
        _ => None,
    }
}

const EARNED: [u64; 3] = [123_456_789, 50_000_001, 7_654_321];

/// Three miners are paid by one transaction each, in one run, and again later by one for all; every amount arrives to
/// the unit, and the books agree with the chain.
fn pays_exactly(
    wallet: Arc<dyn Wallet>,
    rpc: &dyn Rpc,
    strangers: &[String],
    charge: Charge,
    mine: &dyn Fn(),
) {
    let ledger = open(&SimDisk::new()).unwrap();
    let payees = payees(strangers);
    let policy = Policy { minimum: Amount(1000), batch: 1, charge, fee_rate: 5000, ..Policy::default() };
    let each = Settlement::new(ledger.clone(), wallet.clone(), policy.clone());
    let all = Settlement::new(ledger.clone(), wallet, Policy { batch: 100, ..policy });
    let parts: Vec<_> = (1..).zip(EARNED).map(|(id, amount)| (miner(id), amount)).collect();
    earn(&ledger, 1, &parts).unwrap();
    let report = each.run(START, &payees).unwrap();
    assert_eq!(report.blocked, None, "{report:?}");
    let states: Vec<_> = report.steps.iter().map(|step| (step.state, step.note.as_str())).collect();
    assert_eq!(states.iter().filter(|step| step.0 == "sent").count(), 3, "{states:?}");
    mine();
    earn(&ledger, 2, &parts).unwrap();
    all.run(hours(1), &payees).unwrap();
    mine();
    let report = all.run(hours(2), &payees).unwrap();
    assert_eq!(ledger.payment(PaymentId(4)).unwrap().status, PaymentStatus::Settled, "{report:?}");
    agrees(&ledger, rpc, strangers, charge);
}

fn agrees(ledger: &Ledger, rpc: &dyn Rpc, strangers: &[String], charge: Charge) {
    let mut arrived = vec![0_u64; strangers.len()];
    for payment in ledger.book().payments() {
        assert_eq!(payment.status, PaymentStatus::Settled);
        let paid = outputs(rpc, payment.txid.as_ref().unwrap());
        for (sum, address) in arrived.iter_mut().zip(strangers) {
            *sum += paid.get(address).copied().unwrap_or(0);
        }
    }
    let totals = ledger.totals();
    assert!(totals.conserved);
    assert_eq!(totals.paid, i128::from(arrived.iter().sum::<u64>()));
    assert!(totals.network_fees + totals.network_fees_charged > 0);
    let earned: i128 = EARNED.iter().map(|amount| i128::from(*amount) * 2).sum();
    assert_eq!(totals.paid + totals.network_fees_charged + totals.payable, earned);
    if charge == Charge::Pool {
        assert_eq!(arrived, EARNED.map(|amount| amount * 2));
    } else {
        assert!(totals.network_fees_charged > 0 && totals.network_fees <= 10, "{totals:?}");
    }
}

async fn chains() -> (DevChain, Vec<String>) {
    let chain = DevChain::start(Options::default()).await.unwrap();
    chain.generate(110).unwrap();
    let other = DevChain::start(Options { seed: 2, ..Options::default() }).await.unwrap();
    let strangers = (0..3).map(|_| other.new_address()).collect();
    (chain, strangers)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_core_driver_pays_exactly_on_the_development_chain() {
    for charge in [Charge::Pool, Charge::Owners] {
        let (chain, strangers) = chains().await;
        let wallet = Arc::new(CoreWallet::new(devchain_rpc(&chain), 1));
        let mine = || drop(chain.generate(1).unwrap());
        block_in_place(|| pays_exactly(wallet, &devchain_rpc(&chain), &strangers, charge, &mine));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sendmany_driver_pays_exactly_on_the_development_chain() {
    let (chain, strangers) = chains().await;
    let wallet = Arc::new(SendManyWallet::new(devchain_rpc(&chain), 1));
    let mine = || drop(chain.generate(1).unwrap());
    block_in_place(|| pays_exactly(wallet, &devchain_rpc(&chain), &strangers, Charge::Pool, &mine));
}

/// A block with a settled payment is left by the chain; the payment waits for another one, and nobody is paid again.
#[tokio::test(flavor = "multi_thread")]
async fn a_settled_payment_survives_a_reorganisation_of_the_development_chain() {
    let (chain, strangers) = chains().await;
    let wallet: [Arc<dyn Wallet>; 2] = [
        Arc::new(CoreWallet::new(devchain_rpc(&chain), 1)),
        Arc::new(SendManyWallet::new(devchain_rpc(&chain), 1)),
    ];
    for wallet in wallet {
        block_in_place(|| {
            let ledger = open(&SimDisk::new()).unwrap();
            earn(&ledger, 1, &[(miner(1), 1_000_000)]).unwrap();
            let payees = payees(&strangers);
            let policy = Policy { minimum: Amount(1000), ..Policy::default() };
            let settlement = Settlement::new(ledger.clone(), wallet, policy);
            settlement.run(START, &payees).unwrap();
            let parent = chain.tip();
            chain.generate(1).unwrap();
            assert_eq!(settlement.run(hours(1), &payees).unwrap().removed, []);
            assert_eq!(ledger.payment(PaymentId(1)).unwrap().status, PaymentStatus::Settled);
            chain.mine_on(&parent, 2).unwrap();
            let removed = settlement.run(hours(2), &payees).unwrap().removed;
            assert!(removed[0].note.contains("it waits for one again"), "{removed:?}");
            chain.generate(1).unwrap();
            assert_eq!(settlement.run(hours(3), &payees).unwrap().removed, []);
            let txid = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
            assert_eq!(outputs(&devchain_rpc(&chain), &txid)[&strangers[0]], 1_000_000);
            assert_eq!((ledger.totals().paid, ledger.book().payments().count()), (1_000_000, 1));
        });
    }
}

/// Passes everything on, and loses the answer of `sendmany`.
struct Lossy(NodeRpc<JsonRpc>);

impl Rpc for Lossy {
    fn call(&self, method: &str, params: Value) -> Result<Value, millpond_settlement::WalletError> {
        let answer = self.0.call(method, params)?;
        if method == "sendmany" {
            let (call, why) = (method.to_owned(), "cut".to_owned());
            return Err(millpond_settlement::WalletError::Unknown { call, why });
        }
        Ok(answer)
    }
}

/// A `sendmany` of three outputs whose answer was lost is found in the wallet's history, and nothing is sent again.
fn a_lost_answer_is_found(wallet: Arc<dyn Wallet>, strangers: &[String], mine: &dyn Fn()) {
    let ledger = open(&SimDisk::new()).unwrap();
    let parts: Vec<_> = (1..).zip(ROUND).map(|(id, amount)| (miner(id), amount)).collect();
    earn(&ledger, 1, &parts).unwrap();
    let payees = payees(strangers);
    let policy = Policy { minimum: Amount(1000), ..Policy::default() };
    let settlement = Settlement::new(ledger.clone(), wallet, policy);
    let now = UnixMillis::now();
    assert_eq!(settlement.run(now, &payees).unwrap().blocked, Some(PaymentId(1)));
    until_settled(&ledger, &settlement, now, mine);
    assert_eq!(
        (ledger.totals().paid, ledger.book().payments().count()),
        (i128::from(ROUND.iter().sum::<u64>()), 1)
    );
    assert!(ledger.totals().conserved && ledger.totals().network_fees > 0);
}

/// Amounts that survive lcoin's arithmetic.
const ROUND: [u64; 3] = [50_000_000, 25_000_000, 7_654_321];

/// Mines until nothing is open. A wallet hands a transaction to its node, and hears of blocks, a little later.
fn until_settled(ledger: &Ledger, settlement: &Settlement, now: UnixMillis, mine: &dyn Fn()) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let mut last = None;
    while ledger.book().payments().any(|payment| payment.status.is_open()) {
        assert!(std::time::Instant::now() < deadline, "{last:?}");
        mine();
        std::thread::sleep(Duration::from_millis(100));
        last = Some(settlement.recover(now).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sendmany_is_found_in_a_real_history() {
    let (chain, strangers) = chains().await;
    let wallet = Arc::new(SendManyWallet::new(Lossy(devchain_rpc(&chain)), 1));
    let mine = || drop(chain.generate(1).unwrap());
    block_in_place(|| a_lost_answer_is_found(wallet, &strangers, &mine));
}

/// Makes blocks that pay the node's own wallet, and waits until the wallet knows them all: its address, and addresses
/// of somebody else's wallet.
async fn purse(node: &Peer, blocks: u32) -> (String, Vec<String>) {
    let own = node.new_address().await.unwrap();
    node.generate(blocks, &own).await.unwrap();
    // The wallet hears of blocks a little after the node has them.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while node.wallet_rest("/wallet/primary/coin", None).await.unwrap().as_array().map(Vec::len)
        != Some(blocks as usize)
    {
        assert!(std::time::Instant::now() < deadline, "the wallet does not follow the node");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.wallet_put("/wallet/strangers", json!({})).await.unwrap();
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let made = node.wallet_rest("/wallet/strangers/address", Some(json!({ "account": "default" }))).await;
        strangers.push(made.unwrap()["address"].as_str().unwrap().to_owned());
    }
    (own, strangers)
}

fn block_on_rest(node: &Peer, path: &str) -> Value {
    Handle::current().block_on(node.wallet_rest(path, None)).unwrap()
}

fn rpc_of(node: &Peer, url: String) -> NodeRpc<JsonRpc> {
    rpc(url, node.user(), node.api_key())
}

fn bcoin_wallet(node: &Peer) -> Arc<dyn Wallet> {
    let rest = HttpClient::new(endpoint(node.wallet_url(), node.user(), node.api_key()), Limits::default());
    let rest = NodeRpc::new(rest.unwrap(), Handle::current(), Duration::from_secs(60));
    let (node_rpc, wallet_rpc) = (rpc_of(node, node.rpc_url()), rpc_of(node, node.wallet_url()));
    Arc::new(BcoinWallet::new(node_rpc, wallet_rpc, rest, "primary", 1, 100))
}

fn pays_exactly_on(node: &Peer, wallet: Arc<dyn Wallet>, own: &str, strangers: &[String], charge: Charge) {
    let mine = || {
        let hashes = Handle::current().block_on(node.generate(1, own)).unwrap();
        assert_eq!(hashes.len(), 1);
    };
    block_in_place(|| {
        let owned = wallet.owns(&[own.to_owned(), strangers[0].clone()]).unwrap();
        assert_eq!(owned, [true, false], "whose the addresses are");
        pays_exactly(wallet, &rpc_of(node, node.rpc_url()), strangers, charge, &mine);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bcoin_driver_pays_exactly_on_a_real_node() {
    if !peers::real_nodes_wanted() {
        return;
    }
    for charge in [Charge::Pool, Charge::Owners] {
        let node = peers::Bcoin::start().await.unwrap();
        let (own, strangers) = purse(&node, 115).await;
        pays_exactly_on(&node, bcoin_wallet(&node), &own, &strangers, charge);
    }
}

/// As bcoin starts without options: its node finds no confirmed transaction by name, its wallet says where it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_bcoin_driver_settles_on_a_node_without_an_index_of_transactions() {
    if !peers::real_nodes_wanted() {
        return;
    }
    let node = peers::Bcoin::start_without_index().await.unwrap();
    let (own, strangers) = purse(&node, 115).await;
    let wallet = bcoin_wallet(&node);
    block_in_place(|| {
        let ledger = open(&SimDisk::new()).unwrap();
        let parts: Vec<_> = (1..).zip(EARNED).map(|(id, amount)| (miner(id), amount)).collect();
        earn(&ledger, 1, &parts).unwrap();
        let payees = payees(&strangers);
        let policy = Policy { minimum: Amount(1000), confirmations: 2, ..Policy::default() };
        let settlement = Settlement::new(ledger.clone(), wallet, policy);
        settlement.run(START, &payees).unwrap();
        let txid = ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
        let by_name = || rpc_of(&node, node.rpc_url()).call("getrawtransaction", json!([txid.0, 1]));
        // The node takes it up a little after it has answered.
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while let Err(error) = by_name() {
            assert!(std::time::Instant::now() < deadline, "{error}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mine = || drop(Handle::current().block_on(node.generate(1, &own)).unwrap());
        mine();
        by_name().expect_err("the node has no index");
        until_settled(&ledger, &settlement, START, &mine);
        assert_eq!(ledger.payment(PaymentId(1)).unwrap().status, PaymentStatus::Settled);
        let arrived = block_on_rest(&node, "/wallet/strangers/balance");
        assert_eq!(arrived["confirmed"].as_u64(), Some(EARNED.iter().sum::<u64>()), "{arrived}");
        assert_eq!(
            (ledger.totals().paid, ledger.totals().conserved),
            (arrived["confirmed"].as_i64().unwrap().into(), true)
        );
    });
}

/// lcoin's addresses are segwit's, which can be spent from height 432 on.
const SEGWIT: u32 = 440;

#[tokio::test(flavor = "multi_thread")]
async fn the_bcoin_driver_pays_exactly_on_lcoin_which_gives_a_transaction_in_parts() {
    if !peers::real_nodes_wanted() {
        return;
    }
    for charge in [Charge::Pool, Charge::Owners] {
        let node = peers::Lcoin::start().await.unwrap();
        let (own, strangers) = purse(&node, SEGWIT).await;
        pays_exactly_on(&node, bcoin_wallet(&node), &own, &strangers, charge);
    }
}

/// lcoin multiplies an amount in coins by 10^8 in floating point and refuses what is no whole number then. What it
/// refuses goes back to the balances; what it takes arrives to the unit.
#[tokio::test(flavor = "multi_thread")]
async fn the_sendmany_driver_on_lcoin_pays_to_the_unit_or_not_at_all() {
    if !peers::real_nodes_wanted() {
        return;
    }
    let node = peers::Lcoin::start().await.unwrap();
    let (own, strangers) = purse(&node, SEGWIT).await;
    let wallet = Arc::new(SendManyWallet::new(rpc_of(&node, node.wallet_url()), 1));
    block_in_place(|| {
        let owned = wallet.owns(&[own.clone(), strangers[0].clone()]).unwrap();
        assert_eq!(owned, [true, false], "it has no getaddressinfo and tells all the same");
        let ledger = open(&SimDisk::new()).unwrap();
        let parts: Vec<_> = (1..).zip(EARNED).map(|(id, amount)| (miner(id), amount)).collect();
        earn(&ledger, 1, &parts).unwrap();
        let payees = payees(&strangers);
        let policy = Policy { minimum: Amount(1000), batch: 1, ..Policy::default() };
        let settlement = Settlement::new(ledger.clone(), wallet, policy);
        let report = settlement.run(START, &payees).unwrap();
        assert_eq!(report.blocked, None, "{report:?}");
        let mine = || drop(Handle::current().block_on(node.generate(1, &own)).unwrap());
        until_settled(&ledger, &settlement, hours(1), &mine);
        let mut paid = 0;
        for payment in ledger.book().payments() {
            let [row] = payment.rows.as_slice() else { panic!("{payment:?}") };
            match &payment.status {
                PaymentStatus::Settled => {
                    let arrived = outputs(&rpc_of(&node, node.rpc_url()), payment.txid.as_ref().unwrap());
                    assert_eq!(arrived[&row.address], row.amount.0);
                    paid += row.amount.0;
                }
                PaymentStatus::Released(why) => assert!(why.contains("must be a btc float"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(paid, EARNED[2], "the one that survives lcoin's arithmetic");
        let totals = ledger.totals();
        assert!(totals.conserved);
        assert_eq!(totals.paid + totals.payable, i128::from(EARNED.iter().sum::<u64>()));
        let (txid, fee) = (ledger.payment(PaymentId(3)).unwrap().txid.unwrap(), totals.network_fees);
        let shown = block_on_rest(&node, &format!("/wallet/primary/tx/{txid}"));
        assert_eq!(shown["fee"].as_str().map(|fee| from_decimal(fee, 8).unwrap().0), u64::try_from(fee).ok());
    });
}

/// What lcoin writes of it is a sum at one address: its outputs are read from the node.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_sendmany_is_found_on_lcoin_whose_history_has_sums_only() {
    if !peers::real_nodes_wanted() {
        return;
    }
    let node = peers::Lcoin::start().await.unwrap();
    let (own, strangers) = purse(&node, SEGWIT).await;
    let wallet = Arc::new(SendManyWallet::new(Lossy(rpc_of(&node, node.wallet_url())), 1));
    let mine = || drop(Handle::current().block_on(node.generate(1, &own)).unwrap());
    block_in_place(|| a_lost_answer_is_found(wallet, &strangers, &mine));
}
