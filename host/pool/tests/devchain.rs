//! The whole path on the development chain: miners, jobs, shares, blocks, incomes, maturity, payments, restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use millpond_alerts::Alarms;
use millpond_devchain::{DevChain, Options as ChainOptions};
use millpond_disk::{Disk, RealDisk};
use millpond_ledger::Reader;
use millpond_miner::{Miner, Options as MinerOptions};
use millpond_pool::plugins::PluginStore;
use millpond_pool::policy::Loader;
use millpond_pool::replay::replay;
use millpond_pool::{Edges, Pool, Process, setup, sockets};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_validator::{Limits, Validator};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Addresses whose keys the pool's wallet does not have: it pays nobody that it is itself.
const STRANGERS: [&str; 2] = [
    "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85",
    "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
];

const PATIENCE: Duration = Duration::from_secs(120);

fn process(data: &Path) -> Process {
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    Process {
        data: data.to_owned(),
        disk: Arc::new(RealDisk),
        sandbox: Sandbox::new(Some(&data.join("cache")), Compiler::InProcess).unwrap(),
        sink,
        validator: Arc::new(Validator::new(Limits::default()).unwrap()),
        alarms: Alarms::quiet(),
        edges: Edges::default(),
    }
}

fn config(chain: &DevChain, coinbase: &str, payout: &str) -> String {
    format!(
        r#"
[host]
[[pool]]
name = "dev"
[pool.chain]
{coinbase}
confirmations = 3
settings = {{ network = "regtest", maturity = 3, orphan_after = 2 }}
[[pool.node]]
url = "{}"
user = "{}"
password = "{}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 0.000001
[pool.stratum]
shares_per_minute = 600.0
[pool.payout]
{payout}
minimum = 1000
[pool.fee]
settings = {{ basis_points = 100 }}
[[pool.fee.recipient]]
name = "operator"
address = "{}"
[pool.wallet]
[pool.settlement]
schedule = "interval 1s"
"#,
        chain.url(),
        chain.user(),
        chain.password(),
        chain.new_address(),
    )
}

async fn start(process: &Process, text: &str) -> Pool {
    let config = millpond_config::parse("dev.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
    let section = config.pool.into_iter().next().unwrap();
    let (sandbox, sink) = (process.sandbox.clone(), Arc::clone(&process.sink));
    let prepared =
        tokio::task::spawn_blocking(move || setup::prepare(section, Path::new("."), &sandbox, &sink));
    let prepared = prepared.await.unwrap().unwrap_or_else(|why| panic!("{why}"));
    let stratum = sockets::stratum(&prepared.section).unwrap();
    Pool::start(process, prepared, Path::new("."), stratum).await.unwrap_or_else(|why| panic!("{why}"))
}

async fn chain() -> DevChain {
    // About 65,000 hashes a block: well under a second on one core, and far more than a share.
    DevChain::start(ChainOptions {
        bits: 0x1f00_ffff,
        prologue: 10,
        maturity: 3,
        economy: 4,
        ..ChainOptions::default()
    })
    .await
    .unwrap()
}

/// Waits until it holds, or shows what the pool says.
async fn until(pool: &Pool, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            panic!(
                "{what} did not come about\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
                pool.view(),
                pool.blocks(5),
                pool.payments(5),
                pool.alarms()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn miner(pool: &Pool, address: &str, worker: &str) -> Miner {
    Miner::start(MinerOptions {
        hashes_per_second: Some(200_000.0),
        ..MinerOptions::new(pool.addresses()[0].to_string(), format!("{address}.{worker}"))
    })
}

fn check_replay(process: &Process, folder: &Path) {
    let disk: Arc<dyn Disk> = Arc::clone(&process.disk);
    let (view, _) = millpond_journal::JournalView::open(Arc::clone(&disk), &folder.join("journal")).unwrap();
    let reader = Reader::open(Arc::clone(&disk), &folder.join("ledger")).unwrap();
    let store = PluginStore::open(disk, &folder.join("plugins")).unwrap();
    let loader = Loader::new(process.sandbox.clone(), store, Arc::clone(&process.sink));
    let done = replay(&view, &reader, &loader).unwrap_or_else(|why| panic!("{why}"));
    assert!(done.incomes > 0, "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blocks_are_found_matured_and_paid_and_a_restart_changes_no_balance() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let process = process(folder.path());
    let text = config(&chain, &format!("payout_address = \"{}\"", chain.new_address()), "scheme = \"pplns\"");
    let pool = start(&process, &text).await;
    let miners = [miner(&pool, STRANGERS[0], "one"), miner(&pool, STRANGERS[1], "two")];
    until(&pool, "a matured block", || pool.matured() >= 2).await;
    until(&pool, "a settled payment", || pool.payments(100).iter().any(|payment| payment.state == "settled"))
        .await;
    for miner in miners {
        let summary = miner.stop().await.unwrap();
        assert!(summary.accepted > 0, "{summary:?}");
    }
    let before = pool.ledger().totals();
    assert!(before.conserved, "{before:?}");
    assert_eq!(before.income, before.credited + before.fees + before.carried);
    assert!(before.paid > 0, "{before:?}");
    pool.stop().await;
    drop(pool);
    // What can be rebuilt is rebuilt.
    std::fs::remove_dir_all(folder.path().join("dev/index")).unwrap();
    check_replay(&process, &folder.path().join("dev"));
    let pool = start(&process, &text).await;
    let after = pool.ledger().totals();
    assert_eq!((after.income, after.conserved), (before.income, true));
    until(&pool, "work after the restart", || pool.not_ready().is_empty()).await;
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn solo_is_paid_in_the_coinbase_and_the_fee_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let process = process(folder.path());
    let text = config(&chain, "coinbase = \"miner\"", "scheme = \"solo\"");
    let pool = start(&process, &text).await;
    let miner = miner(&pool, STRANGERS[0], "solo");
    until(&pool, "a matured block", || pool.matured() >= 1).await;
    miner.stop().await.unwrap();
    let totals = pool.ledger().totals();
    assert!(totals.conserved, "{totals:?}");
    assert_eq!(totals.payable, 0, "the chain has paid: nothing is owed");
    assert!(totals.paid > 0 && totals.fees > 0, "{totals:?}");
    pool.stop().await;
    check_replay(&process, &folder.path().join("dev"));
}
