//! The whole path on the development chain: miners, jobs, shares, blocks, incomes, maturity, payments, restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_devchain::{DevChain, Options as ChainOptions};
use millpond_ledger::Reader;
use millpond_miner::{Miner, Options as MinerOptions};
use millpond_pool::Pool;
use std::sync::Arc;
use support::{check_replay, process, start, try_prepare, until};

/// Addresses whose keys the pool's wallet does not have: it pays nobody that it is itself.
const STRANGERS: [&str; 2] = [
    "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85",
    "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
];

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
confirmations = 1
"#,
        chain.url(),
        chain.user(),
        chain.password(),
        chain.new_address(),
    )
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

fn miner(pool: &Pool, address: &str, worker: &str) -> Miner {
    Miner::start(MinerOptions {
        hashes_per_second: Some(200_000.0),
        ..MinerOptions::new(pool.addresses()[0].to_string(), format!("{address}.{worker}"))
    })
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
    // Another income may have matured until the stop: what stands then is what a restart finds.
    let books = || {
        let reader = Reader::open(Arc::clone(&process.disk), &folder.path().join("dev/ledger")).unwrap();
        reader.verify().unwrap().totals
    };
    let stopped = books();
    // What can be rebuilt is rebuilt.
    std::fs::remove_dir_all(folder.path().join("dev/index")).unwrap();
    assert!(check_replay(&process, &folder.path().join("dev")).incomes > 0);
    assert_eq!(books(), stopped, "a balance changed without its index");
    let pool = start(&process, &text).await;
    until(&pool, "work after the restart", || pool.not_ready().is_empty()).await;
    // What waited for its maturity may get it now; nothing that was there is less.
    let after = pool.ledger().totals();
    assert!(after.conserved, "{after:?}");
    assert!(after.income >= stopped.income && after.credited >= stopped.credited, "{after:?} {stopped:?}");
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
    assert!(check_replay(&process, &folder.path().join("dev")).incomes > 0);
}

/// Finds blocks, and says of each income of this run whether the ledger has it as paid by the chain.
async fn booked(pool: &Pool, wanted: usize) -> Vec<bool> {
    // A block of before may be reported only now.
    let before = pool.journal().view().newest();
    let booked = || -> Vec<bool> {
        let book = pool.ledger().book();
        book.incomes().filter(|(_, income)| income.end > before).map(|(_, income)| income.direct).collect()
    };
    let miner = miner(pool, STRANGERS[0], "solo");
    until(pool, "incomes", || booked().len() >= wanted).await;
    miner.stop().await.unwrap();
    booked()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_the_coinbase_pays_changes_at_a_start_with_what_the_ledger_books() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let process = process(folder.path());
    let ours = format!("payout_address = \"{}\"", chain.new_address());
    for (coinbase, scheme, direct) in
        [(ours.as_str(), "prop", false), ("coinbase = \"miner\"", "solo", true), (&ours, "pplns", false)]
    {
        let text = config(&chain, coinbase, &format!("scheme = \"{scheme}\""));
        let pool = start(&process, &text).await;
        assert_eq!(
            pool.view().plugins.iter().find(|plugin| plugin.role == "scheme").unwrap().state,
            "running"
        );
        let booked = booked(&pool, 2).await;
        assert!(booked.iter().all(|is| *is == direct), "{scheme}: {booked:?}");
        pool.stop().await;
    }
    check_replay(&process, &folder.path().join("dev"));
    // Whom the chain pays all is nobody's but the finder's.
    let wrong = config(&chain, "coinbase = \"miner\"", "scheme = \"pplns\"");
    let line = 1 + wrong.lines().position(|line| line == "[pool.payout]").unwrap();
    let told = try_prepare(&process, &wrong).await.err().unwrap().to_string();
    assert!(told.starts_with(&format!("line {line}: payout.scheme: ")), "{told}");
    assert!(told.contains("pplns divides it otherwise"), "{told}");
}
