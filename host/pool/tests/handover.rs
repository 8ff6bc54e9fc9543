//! A pool from one process to another: the work that miners have in hand stays worth what it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_disk::Disk;
use millpond_pool::{HandedOver, Pool, PoolError, PoolState, Process, sockets};
use serde_json::json;
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use support::client::{Client, Want};
use support::rig::{OnDevChain, dev_chain};
use support::{check_replay, journalled, prepare, process, start, stranger, until};

/// Half of the shares are blocks.
const EASY: &str = "0.000000000001";

/// What the next process gets: words as text, and sockets under numbers of its own.
fn carried(from: &HandedOver) -> HandedOver {
    let state: PoolState = serde_json::from_str(&serde_json::to_string(&from.state()).unwrap()).unwrap();
    let sockets: Vec<OwnedFd> = from.sockets().map(|socket| socket.try_clone_to_owned().unwrap()).collect();
    HandedOver::of(state, &mut sockets.into_iter()).unwrap()
}

async fn try_take_over(process: &Process, text: &str, from: HandedOver) -> Result<Pool, PoolError> {
    let prepared = prepare(process, text).await;
    let stratum = sockets::stratum(&prepared.section).unwrap();
    Pool::take_over(process, prepared, Path::new("."), stratum, from).await
}

async fn take_over(process: &Process, text: &str, from: HandedOver) -> Pool {
    let pool = try_take_over(process, text, from).await.unwrap();
    until(&pool, "work of its own", || pool.has_work()).await;
    pool
}

/// One pool gives way to another whose adapter is named by `chain`; blocks of the jobs of before are good, and counted once.
async fn blocks_of_before_are_good(chain_before: &str, chain_after: &str) {
    let chain = dev_chain(0x207f_ffff).await;
    let own = chain.new_address();
    let config = |chain_section: &str| {
        let rest = "[pool.payout]\nscheme = \"solo\"\n[pool.settlement]\nschedule = \"manual\"";
        OnDevChain { pays_to: Some(&own), difficulty: EASY, chain: chain_section, rest }.on(&chain)
    };
    let folder = tempfile::tempdir().unwrap();
    let of_before = process(folder.path());
    let pool = start(&of_before, &config(chain_before)).await;
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    let job = client.job_on(&chain.tip()).await;
    let mere = client.find(&job, 0, Want::Mere);
    assert_eq!(client.submit(&mere).await["result"], json!(true));
    pool.settle().await;
    let left = pool.hand_over().await.unwrap();
    assert!(left.had_work());
    assert_eq!((left.sessions(), left.late()), (1, 0));
    drop(pool);
    drop(of_before);
    assert!(left.is_closed(), "nothing holds its files");

    let of_after = process(folder.path());
    // Its jobs pay the pool: who would have them pay the finder has to start anew, and nothing is recorded of it.
    let rest = "[pool.payout]\nscheme = \"solo\"\n[pool.settlement]\nschedule = \"manual\"";
    let finder = OnDevChain { pays_to: Some(&own), difficulty: EASY, chain: "", rest }.on(&chain);
    let finder = finder.replace(&format!("payout_address = \"{own}\""), "coinbase = \"miner\"");
    let told = try_take_over(&of_after, &finder, carried(&left)).await.err().unwrap().to_string();
    assert!(told.contains("restart the pool"), "{told}");
    let pool = take_over(&of_after, &config(chain_after), carried(&left)).await;
    assert_eq!((pool.carried().sessions, pool.carried().closed), (1, 0));
    pool.open();
    drop(left);
    // What counted before is known, and what was found on the job of before is a block.
    assert_eq!(client.submit(&mere).await["error"][0], json!(22));
    let height = chain.height();
    let block = client.find(&job, 0, Want::Block);
    assert_eq!(client.submit(&block).await["result"], json!(true));
    until(&pool, "the block in the chain", || chain.height() == height + 1).await;
    assert_eq!(chain.tip(), block.block());
    until(&pool, "its verdict", || pool.blocks(5).first().is_some_and(|shown| !shown.verdicts.is_empty()))
        .await;
    assert_eq!(pool.blocks(5).len(), 1);
    pool.stop().await;
    drop(pool);
    let disk: Arc<dyn Disk> = Arc::clone(&of_after.disk);
    let dev = folder.path().join("dev");
    assert_eq!(journalled(&disk, &dev, 0, &mut HashSet::new()), 2);
    check_replay(&of_after, &dev);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_on_a_job_of_the_process_before_is_assembled_and_counted_once() {
    blocks_of_before_are_good("", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn and_by_the_adapter_that_made_the_job_when_another_leads_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.wasm");
    // The same code under another digest: with a custom section more.
    let mut bytes = millpond_bundled::get("bitcoin").unwrap().bytes.to_vec();
    bytes.extend([0, 8, 7]);
    bytes.extend(b"version");
    std::fs::write(&path, bytes).unwrap();
    let other = format!(
        "adapter = \"{}\"\ngrant = [\"getblockchaininfo\", \"getblocktemplate\", \"submitblock\", \"getblockhash\", \
         \"getblock\", \"getblockheader\"]",
        path.display()
    );
    blocks_of_before_are_good("", &other).await;
}
