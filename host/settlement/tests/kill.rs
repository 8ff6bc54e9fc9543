//! kill -9 at every payment edge: a child process pays from a ledger on the real disk with a real node's wallet, stops
//! at an edge and is killed there. Afterwards everybody has what he earned, once.
//!
//! `MILLPOND_KILLS` says how often each edge is hit (2 when not set).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{earn, miner};
use millpond_devchain::{DevChain, Options};
use millpond_disk::RealDisk;
use millpond_ledger::{Ledger, Owner};
use millpond_node::{Auth, Endpoint, JsonRpc, Limits, Secret};
use millpond_settlement::{
    Call, CoreWallet, Edge, NodeRpc, PayTo, Policy, Rpc, SendManyWallet, Settlement, Wallet,
};
use millpond_types::{Amount, UnixMillis};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

const EARNED: [u64; 2] = [1_000_001, 2_000_003];

fn rpc(url: &str) -> NodeRpc<JsonRpc> {
    let auth = Auth::Basic { user: "devchain".to_owned(), password: Secret::new("devchain") };
    let client = JsonRpc::new(Endpoint { url: url.to_owned(), auth }, Limits::default()).unwrap();
    NodeRpc::new(client, Handle::current(), Duration::from_secs(60))
}

fn wallet(kind: &str, url: &str) -> Arc<dyn Wallet> {
    match kind {
        "core" => Arc::new(CoreWallet::new(rpc(url), 1)),
        _ => Arc::new(SendManyWallet::new(rpc(url), 1)),
    }
}

fn ledger(dir: &Path) -> Arc<Ledger> {
    Arc::new(Ledger::open(Arc::new(RealDisk), dir).unwrap())
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// The pool: earns, pays, and stops for good at the edge that it was told.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let kind = env("MILLPOND_CHILD_WALLET");
    if kind.is_empty() {
        return;
    }
    tokio::task::block_in_place(|| pool(&kind));
    // One write each: the parent reads whole lines, and the harness prints around them.
    std::io::stdout().write_all(b"\nDONE\n").unwrap();
}

fn pool(kind: &str) {
    let (url, dir) = (env("MILLPOND_CHILD_URL"), env("MILLPOND_CHILD_DIR"));
    let incomes: u64 = env("MILLPOND_CHILD_INCOMES").parse().unwrap();
    let edge = env("MILLPOND_CHILD_EDGE");
    let strangers: Vec<String> = env("MILLPOND_CHILD_PAYEES").split(',').map(str::to_owned).collect();
    let node = rpc(&url);
    let ledger = ledger(Path::new(&dir));
    for number in 1..=incomes {
        earn(&ledger, number, &[(miner(1), EARNED[0]), (miner(2), EARNED[1])]).unwrap();
    }
    let settlement = Settlement::new(
        ledger.clone(),
        wallet(kind, &url),
        Policy { minimum: Amount(1000), fee_rate: 5000, ..Policy::default() },
    )
    .with_hook(move |at, _| {
        if format!("{at:?}") == edge {
            std::io::stdout().write_all(b"\nEDGE\n").unwrap();
            loop {
                std::thread::park();
            }
        }
        true
    });
    let payees = |owner: &Owner| match owner {
        Owner::Miner(id) => {
            let address = strangers[usize::try_from(id.0).unwrap() - 1].clone();
            Some(PayTo { address, minimum: Amount::ZERO })
        }
        _ => None,
    };
    for _ in 0..4 {
        let now = UnixMillis::now();
        let report = settlement.run(now, &payees).unwrap();
        if let Some(stuck) = report.blocked
            && kind == "sendmany"
        {
            settlement.release(stuck, "operator", "not in the wallet's history", Call::Ended, now).unwrap();
        }
        let own = node.call("getnewaddress", json!([])).unwrap();
        node.call("generatetoaddress", json!([1, own])).unwrap();
    }
}

fn spawn(kind: &str, url: &str, dir: &Path, incomes: u64, edge: &str, strangers: &[String]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env("MILLPOND_CHILD_WALLET", kind)
        .env("MILLPOND_CHILD_URL", url)
        .env("MILLPOND_CHILD_DIR", dir)
        .env("MILLPOND_CHILD_INCOMES", incomes.to_string())
        .env("MILLPOND_CHILD_EDGE", edge)
        .env("MILLPOND_CHILD_PAYEES", strangers.join(","))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the child's word, then kills it with SIGKILL. Whether it stopped at the edge.
fn kill_at_word(mut child: Child) -> bool {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let word = lines.map(Result::unwrap).find(|line| line == "EDGE" || line == "DONE");
    child.kill().unwrap();
    child.wait().unwrap();
    match word.as_deref() {
        Some("EDGE") => true,
        Some("DONE") => false,
        _ => panic!("the pool ended by itself"),
    }
}

async fn everybody_is_paid_once(kind: &'static str) {
    let kills: u64 = std::env::var("MILLPOND_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(2);
    let chain = DevChain::start(Options::default()).await.unwrap();
    chain.generate(110).unwrap();
    let other = DevChain::start(Options { seed: 2, ..Options::default() }).await.unwrap();
    let strangers: Vec<String> = (0..2).map(|_| other.new_address()).collect();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ledger");
    let url = chain.url();
    tokio::task::block_in_place(|| {
        let mut incomes = 0;
        for edge in Edge::ALL.into_iter().filter(|edge| *edge <= Edge::Settled) {
            // A wallet that only sends has nothing to sign or store.
            let passed = kind == "core" || !matches!(edge, Edge::Signed | Edge::Stored);
            for _ in 0..kills {
                incomes += 1;
                let child = spawn(kind, &url, &dir, incomes, &format!("{edge:?}"), &strangers);
                assert_eq!(kill_at_word(child), passed, "{edge:?}");
            }
        }
        assert!(!kill_at_word(spawn(kind, &url, &dir, incomes, "", &strangers)));
        let ledger = ledger(&dir);
        let totals = ledger.reader().verify().unwrap().totals;
        assert_eq!((totals.in_flight, totals.payable, totals.conserved), (0, 0, true), "{totals:?}");
        // All that the wallet ever sent, by its own history: not only what the ledger knows of.
        let mut sent = BTreeMap::<String, u64>::new();
        for seen in SendManyWallet::new(rpc(&url), 1).history(UnixMillis(0)).unwrap() {
            for output in seen.outputs {
                *sent.entry(output.address).or_default() += output.amount.0;
            }
        }
        for (address, earned) in strangers.iter().zip(EARNED) {
            assert_eq!(sent.get(address), Some(&(earned * incomes)), "{address} after {incomes} incomes");
        }
        assert_eq!(totals.paid, i128::from(sent.values().sum::<u64>()));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_every_payment_edge_of_a_wallet_that_builds() {
    everybody_is_paid_once("core").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_every_payment_edge_of_a_wallet_that_can_only_send() {
    everybody_is_paid_once("sendmany").await;
}
