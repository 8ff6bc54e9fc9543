//! A pool whose data was restored from a backup pays nothing before an operator says so, and nothing twice: not what the
//! backup holds as reserved and the wallet paid afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_admin::Command;
use millpond_devchain::DevChain;
use millpond_disk::{Disk, RealDisk};
use millpond_ledger::{Entry, Ledger, PaymentRow};
use millpond_pool::Pool;
use millpond_process::Running;
use millpond_types::{Amount, UnixMillis};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{chain, earn, order, pool, start, until};

/// An address whose key the pool's wallet does not have.
const MINER: &str = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85";

/// A pool on `data` that pays by `driver`: by order while nothing is said of a schedule.
fn config(data: &Path, chain: &DevChain, driver: &str, schedule: &str) -> String {
    let section = pool("dev", chain).replace("\"manual\"\n", &format!("\"{schedule}\"\nconfirmations = 1\n"));
    format!(
        "[host]\ndata = \"{}\"\n{section}[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = 1e-6\nfixed = true\n\
         [pool.payout]\nscheme = \"solo\"\nminimum = 1000\n[pool.fee]\nsettings = {{ basis_points = 100 }}\n\
         [[pool.fee.recipient]]\nname = \"operator\"\n[pool.wallet]\ndriver = \"{driver}\"\n",
        data.display()
    )
}

/// Stops a process of which nothing else is held, so that its files can be had by the next.
async fn stop(running: Running, pool: Arc<Pool>) {
    drop(pool);
    running.stop().await;
}

/// Reserves what is payable, as a run does before it asks the wallet: a wallet may let that take long.
fn reserve(data: &Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let ledger = Ledger::open(disk, &data.join("dev").join("ledger")).unwrap();
    let (payment, rows) = {
        let book = ledger.book();
        let miners = book.payables().filter(|(owner, _)| matches!(owner, millpond_ledger::Owner::Miner(_)));
        let row = |(owner, amount): (&millpond_ledger::Owner, Amount)| PaymentRow {
            owner: owner.clone(),
            address: MINER.to_owned(),
            amount,
        };
        (book.next_payment(), miners.map(row).collect::<Vec<_>>())
    };
    assert_eq!(rows.len(), 1);
    ledger.append(UnixMillis::now(), Entry::PaymentReserved { payment, rows }).unwrap();
}

/// A backup in which a payment is reserved, which the pool built and sent afterwards; restored to another folder. Also gives
/// the transaction's name.
async fn restored(folder: &Path, chain: &DevChain, driver: &str) -> (PathBuf, String) {
    let (data, back) = (folder.join("data"), folder.join("back"));
    let file = folder.join("pool.toml");
    let running = start(&file, &config(&data, chain, driver, "manual")).await;
    let pool = Arc::clone(&running.pools()[0]);
    earn(&pool, chain, MINER).await;
    stop(running, pool).await;
    reserve(&data);
    let (disk, pools): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), millpond_backup::pools(&data).unwrap());
    let made =
        millpond_backup::backup(&disk, &data, &pools, &folder.join("to"), UnixMillis::now(), &mut |_| {});
    let running = start(&file, &config(&data, chain, driver, "manual")).await;
    let pool = Arc::clone(&running.pools()[0]);
    until("the payment", || pool.payments(1)[0].state == "sent").await;
    let txid = pool.payments(1)[0].txid.clone().unwrap();
    assert_eq!(chain.waiting(), 1);
    stop(running, pool).await;
    chain.generate(1).unwrap();
    assert_eq!(chain.waiting(), 0);
    millpond_backup::restore(&made.unwrap().path, &back, UnixMillis::now(), &mut |_| {}).unwrap();
    (back, txid)
}

fn resume(again: &[u64]) -> Command {
    Command::PaymentsResume { pool: "dev".to_owned(), again: again.to_vec() }
}

fn run() -> Command {
    Command::PaymentsRun { pool: "dev".to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_built_or_sent_before_somebody_has_looked_and_what_was_paid_since_is_not_paid_again() {
    let (folder, chain) = (tempfile::tempdir().unwrap(), chain().await);
    let (back, _) = restored(folder.path(), &chain, "core").await;
    let (file, text) = (folder.path().join("back.toml"), config(&back, &chain, "core", "interval 1s"));
    // A second start is as careful as the first.
    for _ in 0..2 {
        let running = start(&file, &text).await;
        let pool = Arc::clone(&running.pools()[0]);
        until("work", || pool.not_ready().is_empty()).await;
        let why = order(&back, run()).await.unwrap_err();
        assert!(why.contains("payments --pool dev resume"), "{why}");
        let why = order(&back, resume(&[])).await.unwrap_err();
        assert!(why.contains("payments 1 are open in the backup"), "{why}");
        // A reload lets nothing go on either.
        running.reload("test").await.unwrap();
        assert!(order(&back, run()).await.is_err());
        assert!(running.alarms().iter().any(|alarm| alarm.about == "restored"));
        assert_eq!((pool.payments(9).len(), pool.payments(1)[0].state.as_str()), (1, "reserved"));
        assert_eq!(chain.waiting(), 0, "something was paid");
        stop(running, pool).await;
    }
    let running = start(&file, &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    // The wallet's history has it under a name that the backup does not know: it is settled with that miner by hand.
    let dev = || "dev".to_owned();
    let minimum = Some(Amount(u64::MAX));
    order(&back, Command::MinerMinimum { pool: dev(), address: MINER.to_owned(), minimum }).await.unwrap();
    order(&back, Command::PaymentsRelease { pool: dev(), payment: 1, wallet_restarted: false })
        .await
        .unwrap();
    order(&back, resume(&[])).await.unwrap();
    assert!(order(&back, resume(&[])).await.unwrap_err().contains("are not held"));
    assert_eq!(order(&back, run()).await.unwrap()["steps"], serde_json::json!([]));
    assert_eq!((pool.payments(9).len(), chain.waiting()), (1, 0));
    assert_eq!(millpond_backup::check_data(&back).unwrap(), None);
    assert!(running.alarms().iter().all(|alarm| alarm.about != "restored"));
    stop(running, pool).await;
    let running = start(&file, &text).await;
    assert!(!running.pools()[0].payments_held());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wallet_that_only_sends_shows_in_its_history_what_was_paid_since() {
    let (folder, chain) = (tempfile::tempdir().unwrap(), chain().await);
    let (back, txid) = restored(folder.path(), &chain, "sendmany").await;
    let (file, text) = (folder.path().join("back.toml"), config(&back, &chain, "sendmany", "interval 1s"));
    let running = start(&file, &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    until("work", || pool.not_ready().is_empty()).await;
    assert!(order(&back, run()).await.unwrap_err().contains("resume"));
    let release = Command::PaymentsRelease { pool: "dev".to_owned(), payment: 1, wallet_restarted: false };
    let why = order(&back, release).await.unwrap_err();
    assert!(why.contains(&format!("payment 1 was made, as {txid}")), "{why}");
    // Nor is it sent again because somebody mistypes a number.
    let why = order(&back, resume(&[1])).await.unwrap_err();
    assert!(why.contains(&format!("payment 1 was made, as {txid}")), "{why}");
    assert!(order(&back, resume(&[2])).await.unwrap_err().contains("payment 2 is not open"));
    order(&back, resume(&[])).await.unwrap();
    until("the payment is found", || pool.payments(1)[0].state == "settled").await;
    assert_eq!((pool.payments(9).len(), pool.payments(1)[0].txid.as_ref()), (1, Some(&txid)));
    order(&back, run()).await.unwrap();
    assert_eq!((pool.payments(9).len(), chain.waiting()), (1, 0));
    stop(running, pool).await;
}
