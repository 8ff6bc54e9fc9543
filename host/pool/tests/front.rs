//! What the front of a pool holds against: nodes and adapters that fall silent, strangers, and a long history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_devchain::{DevChain, Options};
use millpond_disk::SimDisk;
use millpond_ledger::{
    Account, Allocation, Entry, IncomeAllocated, IncomeKey, Owner, PaymentId, PaymentRow, Posting, Share,
};
use millpond_pool::view::{BlockView, ProvenEntry};
use millpond_pool::{Pool, Process};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::client::{Client, Want};
use support::rig::{OnDevChain, dev_chain, dev_chain_options};
use support::{PATIENCE, process, start, stranger, try_prepare, try_start, until};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

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
    let (share, block) = (client.find(&job, 0, Want::Mere), client.find(&job, 0, Want::Block));
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
    let share = client.find(&job, 0, Want::Mere);
    assert_eq!(client.submit(&share).await["result"], json!(true));
    let miners = pool.journal().miners();
    assert_eq!(miners.len(), 1);
    assert_eq!(miners[0].address, stranger("bcrt", 5).0);
    let seen = pool.miner(&miners[0].address).unwrap();
    assert_eq!((seen.shares.accepted, seen.workers[0].name.as_str()), (1, "rig5"));
    drop(strangers);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_pages_know_the_blocks_of_before_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let text = config(&chain, "");
    let pool = start(&process, &text).await;
    let login = format!("{}.rig", stranger("bcrt", 1).0);
    let mut client = Client::connect(pool.addresses()[0], &login, "sha256d").await.unwrap();
    let job = client.job.clone().unwrap();
    let block = client.find(&job, 0, Want::Block);
    assert_eq!(client.submit(&block).await["result"], json!(true));
    until(&pool, "the block in the chain", || chain.tip() == block.block()).await;
    until(&pool, "its income", || pool.ledger().book().income_count() == 1).await;
    chain.generate(4).unwrap();
    until(&pool, "its maturity", || pool.matured() == 1 && pool.blocks(1)[0].mature).await;
    until(&pool, "its verdict", || !pool.blocks(1)[0].verdicts.is_empty()).await;
    drop(client);
    pool.stop().await;
    let before = pool.blocks(10);
    drop(pool);

    let pool = start(&process, &text).await;
    let whole = |block: &BlockView| block.mature && !block.verdicts.is_empty() && block.fate != "submitted";
    until(&pool, "the block on the pages", || pool.blocks(10).first().is_some_and(whole)).await;
    let after = pool.blocks(10);
    assert_eq!(after.len(), 1);
    let (before, after) = (&before[0], &after[0]);
    assert_eq!((&after.block, after.coord, after.time), (&before.block, before.coord, before.time));
    assert_eq!((&after.finder, &after.worker), (&before.finder, &before.worker));
    assert_eq!((&after.verdicts, after.income), (&before.verdicts, before.income));
    assert_eq!(pool.blocks_before(Some(&after.block), 10), [], "nothing came before the first");
    pool.stop().await;
}

fn append(pool: &Pool, entry: Entry) {
    pool.ledger().append(UnixMillis(1), entry).unwrap();
}

fn all_to(miner: MinerId, amount: u64) -> Allocation {
    Allocation::new(vec![Share(Owner::Miner(miner), Amount(amount))]).unwrap()
}

/// Years of a pool, in the ledger alone.
fn live(pool: &Pool, miner: MinerId, years: u64) {
    for year in 0..years {
        for number in year * 100..(year + 1) * 100 {
            let key = IncomeKey::new(number.to_be_bytes().to_vec()).unwrap();
            let parts = all_to(miner, 1_000);
            let income = IncomeAllocated::new(key.clone(), Amount(1_000), Amount::ZERO, parts, Vec::new());
            append(pool, Entry::IncomeAllocated(income.unwrap()));
            append(pool, Entry::Matured { key });
            let (payment, owner) = (PaymentId(number + 1), Owner::Miner(miner));
            let row = PaymentRow { owner, address: "somewhere".to_owned(), amount: Amount(10) };
            append(pool, Entry::PaymentReserved { payment, rows: vec![row] });
            append(pool, Entry::PaymentReleased { payment, why: "it was not to be".to_owned() });
        }
    }
}

/// What is looked at in a pool from outside, for a page of ten rows each.
fn look(pool: &Pool, address: &str) {
    assert_eq!(pool.view().blocks, pool.matured());
    assert_eq!(pool.payments(10).len(), 10);
    assert_eq!(pool.miner(address).unwrap().address, address);
    let account = pool.entries(address, None, 10).unwrap();
    assert_eq!(account.len(), 10);
    assert_eq!((account[0].what.as_str(), account[0].state.as_str()), ("payment", "released"));
    assert_eq!((account[1].what.as_str(), account[1].state.as_str()), ("income", "matured"));
    assert_eq!((account[0].amount, account[1].amount), (-10, 1_000));
    let statement = pool.statement(address, None, 10).unwrap();
    let shown: Vec<_> = statement.entries.iter().map(|proven| proven.entry.clone()).collect();
    assert_eq!((shown, statement.next), (account.clone(), account.last().map(|last| last.seq)));
    let parts = |proven: &ProvenEntry| proven.proof.as_ref().map(|proof| (proof.part, proof.root.sum));
    assert_eq!(parts(&statement.entries[0]), None);
    assert_eq!(parts(&statement.entries[1]), Some((Amount(1_000), Amount(1_000))));
    assert_eq!(pool.miners(10).len(), 1);
    assert!(pool.blocks(10).is_empty(), "nobody found one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_cost_after_years_what_they_cost_on_the_first_day_and_their_sums_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = Process { disk: Arc::new(SimDisk::new()), ..process(folder.path()) };
    let pool = start(&process, &config(&chain, "")).await;
    let address = stranger("bcrt", 1).0;
    let mut client = Client::connect(pool.addresses()[0], &address, "sha256d").await.unwrap();
    let job = client.job.clone().unwrap();
    let share = client.find(&job, 0, Want::Mere);
    assert_eq!(client.submit(&share).await["result"], json!(true));
    let miner = pool.journal().miner_by_address(&address).unwrap().id;
    live(&pool, miner, 5);
    let deadline = Instant::now() + PATIENCE;
    // The pool's own threads may walk over its books meanwhile; they do not do so every time.
    loop {
        let before = pool.ledger().book().walked();
        look(&pool, &address);
        let walked = pool.ledger().book().walked() - before;
        if walked <= 10 {
            break;
        }
        assert!(Instant::now() < deadline, "a page of ten rows walked over {walked} of 1,000 records");
    }
    let pages: Vec<u64> = pool.payments_before(Some(4), 10).iter().map(|payment| payment.id).collect();
    assert_eq!(pages, [3, 2, 1]);
    let (mut before, mut proven) = (None, 0);
    loop {
        let page = pool.statement(&address, before, 50).unwrap();
        proven += page.entries.len();
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(proven, 1_000, "page after page there is the whole account");

    // PPS credits before a block is found.
    let reserve = Account::Payable(Owner::Reserve);
    let postings =
        vec![Posting { account: Account::Wallet, amount: 700 }, Posting { account: reserve, amount: -700 }];
    let (by, reason) = ("operator".to_owned(), "declared reserve".to_owned());
    append(&pool, Entry::Adjustment { postings, by, reason });
    let (first, last) = (ShareSeq(1), ShareSeq(1));
    append(&pool, Entry::Accrued { first, last, parts: all_to(miner, 500), state: Vec::new() });
    let money = pool.view().money;
    assert_eq!((money.income, money.credited, money.carried), (Amount(500_000), Amount(500_500), -500));
    let shown = serde_json::to_value(&money).unwrap();
    let of = |key: &str| shown[key].as_i64().unwrap();
    assert_eq!(of("income"), of("credited") + of("fees") + of("carried"));
    assert!(money.conserved && pool.ledger().book().totals_anew().conserved);
    drop(client);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_an_operator_sets_for_his_sockets_is_what_miners_meet() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let with = |rules: &str| format!("{}\n[pool.stratum]\n{rules}\n", config(&chain, ""));
    let refused = try_start(&process, &with("extranonce_prefix = 99")).await.unwrap_err().to_string();
    assert!(refused.contains("line 2") && refused.contains("extranonce_prefix = 99"), "{refused}");

    let rules = "extranonce_prefix = 5\nmarketplaces = true\nhandshakes_per_address = 2\nhandshake = \"10m\"";
    let pool = start(&process, &with(rules)).await;
    let address = pool.addresses()[0];
    let miner = Client::connect(address, &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    assert_eq!(miner.extranonce1().len(), 5);
    // Who has logged in counts no more; of those who say nothing the third is one too many.
    let (mut first, mut second) =
        (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
    until(&pool, "two who say nothing", || pool.server().connections() == 3).await;
    let mut third = TcpStream::connect(address).await.unwrap();
    let closed = tokio::time::timeout(PATIENCE, third.read(&mut [0; 1])).await.expect("it was not closed");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert_eq!(pool.server().connections(), 3);
    for silent in [&mut first, &mut second] {
        let heard = silent.try_read(&mut [0; 1]);
        assert!(heard.is_err_and(|why| why.kind() == std::io::ErrorKind::WouldBlock), "it was closed too");
    }
    drop(miner);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_published_over_zmq_is_a_new_job_without_waiting_for_the_next_poll() {
    let folder = tempfile::tempdir().unwrap();
    // No longpoll, and the next poll is ten minutes away.
    let options = Options { zmq: true, longpoll: false, ..dev_chain_options(BITS) };
    let chain = DevChain::start(options).await.unwrap();
    let process = process(folder.path());
    let node = format!("[[pool.node]]\nzmq = \"{}\"", chain.zmq().unwrap());
    let with_address = config(&chain, "").replace("[[pool.node]]", &node);
    let why = try_prepare(&process, &with_address).await.err().unwrap().to_string();
    assert!(why.contains("node.0.zmq: the adapter does not listen over ZMQ"), "{why}");
    assert!(why.starts_with("line "), "{why}");

    let listening = "settings = { zmq = true, poll_ms = 600000, ";
    let pool = start(&process, &with_address.replace("settings = {", listening)).await;
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    // A subscription takes effect some time after the connection: blocks are made until one is told of.
    let deadline = Instant::now() + PATIENCE;
    let first = pool.view().coord;
    while pool.view().coord == first {
        assert!(Instant::now() < deadline, "no push made a job");
        chain.generate(1).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // More blocks may have been made than jobs: what was told last is what is worked on.
    chain.generate(1).unwrap();
    client.job_on(&chain.tip()).await;
    drop(client);
    pool.stop().await;
}
