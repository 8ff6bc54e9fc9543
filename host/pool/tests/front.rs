//! What the front of a pool holds against: nodes and adapters that fall silent, and strangers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_devchain::DevChain;
use serde_json::json;
use support::client::{Client, Want};
use support::rig::{OnDevChain, dev_chain};
use support::{process, start, stranger, until};

/// About 130,000 hashes a block.
const BITS: u32 = 0x1e7f_ffff;

fn config(chain: &DevChain, in_chain: &str) -> String {
    let rest = "[pool.payout]\nscheme = \"pplns\"\n[pool.settlement]\nschedule = \"manual\"";
    OnDevChain { pays_to: None, difficulty: "0.000001", chain: in_chain, rest }.on(chain)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_nothing_follows_jobs_end_with_their_time_and_a_solution_of_one_is_still_a_block() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let pool = start(&process, &config(&chain, "job_expiry = \"3s\"")).await;
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    let job = client.job.clone().unwrap();
    let (share, block) = (client.find(&job, 0, Want::Share), client.find(&job, 0, Want::Block));
    drop(chain);
    let told = || pool.alarms().into_iter().find(|alarm| alarm.about == "jobs");
    until(&pool, "the alarm of the last job's end", || told().is_some()).await;
    assert!(told().unwrap().text.contains("nothing follows it"), "{:?}", told());
    assert!(!pool.not_ready().is_empty(), "a pool without work is not ready");
    let late = client.submit(&share).await;
    assert_eq!(late["error"][0], json!(21), "{late}");
    assert_eq!(pool.journal().view().newest().0, 0, "it earned nothing");
    let found = pool.journal().open_blocks().len();
    let late = client.submit(&block).await;
    assert_eq!(late["error"][0], json!(21), "{late}");
    assert_eq!(pool.journal().open_blocks().len(), found + 1, "it was recorded, and the nodes are asked");
    assert_eq!(pool.server().connections(), 1);
    drop(client);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_miner_enters_the_journal_with_his_first_share_and_not_with_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let pool = start(&process, &config(&chain, "")).await;
    let mut strangers = Vec::new();
    for number in 1..=20 {
        let login = format!("{}.rig{number}", stranger("bcrt", number).0);
        strangers.push(Client::connect(pool.addresses()[0], &login, "sha256d").await.unwrap());
    }
    assert!(pool.journal().miners().is_empty(), "a login is no work");
    let client = &mut strangers[4];
    let job = client.job.clone().unwrap();
    let share = client.find(&job, 0, Want::Share);
    assert_eq!(client.submit(&share).await["result"], json!(true));
    let miners = pool.journal().miners();
    assert_eq!(miners.len(), 1);
    assert_eq!(miners[0].address, stranger("bcrt", 5).0);
    let seen = pool.miner(&miners[0].address).unwrap();
    assert_eq!((seen.shares.accepted, seen.workers[0].name.as_str()), (1, "rig5"));
    drop(strangers);
    pool.stop().await;
}
