//! Maturity has two sources: what the adapter and the tips of one node say, and what every node says that the host asks
//! itself. Here one of two nodes lies, about heights and confirmations alike, and the adapter believes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_devchain::{DevChain, Options};
use millpond_ledger::{Entry, IncomeStatus, Reader};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use support::between::Between;
use support::client::{Client, Want};
use support::{PATIENCE, check_replay, process, start, stranger, until};

/// So many blocks more than there are.
const LIE: u64 = 50;
/// Incomes that are booked while the pool is shown.
const BLOCKS: u32 = 24;

/// Adds blocks.
fn lie(method: &str, params: &Value, answer: Option<&mut Value>) -> Option<Value> {
    match (method, answer) {
        // It finds nothing wrong with a block at a height that there is not.
        (_, None) => return (params[0]["mode"] == "proposal").then_some(Value::Null),
        ("getblockcount", Some(answer)) => more(answer),
        ("getblocktemplate", Some(answer)) => more(&mut answer["height"]),
        ("getblockheader", Some(answer)) => more(&mut answer["confirmations"]),
        ("getblockchaininfo", Some(answer)) => {
            more(&mut answer["blocks"]);
            more(&mut answer["headers"]);
        }
        _ => {}
    }
    None
}

fn more(number: &mut Value) {
    *number = json!(number.as_u64().unwrap() + LIE);
}

fn config(chain: &DevChain, nodes: [SocketAddr; 2]) -> String {
    let node = |address: SocketAddr| {
        let (user, password) = (chain.user(), chain.password());
        format!("[[pool.node]]\nurl = \"http://{address}\"\nuser = \"{user}\"\npassword = \"{password}\"\n")
    };
    format!(
        r#"
[host]
[[pool]]
name = "dev"
[pool.chain]
payout_address = "{}"
confirmations = 3
settings = {{ network = "regtest", maturity = 3, orphan_after = 2, poll_ms = 200 }}
{}{}
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 0.000001
fixed = true
[pool.payout]
scheme = "solo"
[pool.settlement]
schedule = "manual"
"#,
        chain.new_address(),
        node(nodes[0]),
        node(nodes[1]),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_lying_node_calls_mature_waits_for_the_honest_one_and_matures_once() {
    let options = Options { prologue: 10, maturity: 3, ..Options::default() };
    let chain = DevChain::start(options).await.unwrap();
    let (liar, lying) = Between::start(&chain, lie).await;
    let (honest, truth) = Between::start(&chain, lie).await;
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let pool = start(&process, &config(&chain, [liar, honest])).await;
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    let job = client.job_on(&chain.tip()).await;
    let share = client.find(&job, 0, Want::Block);
    assert_eq!(client.submit(&share).await["result"], json!(true));
    let statuses =
        || -> Vec<IncomeStatus> { pool.ledger().book().incomes().map(|(_, income)| income.status).collect() };
    until(&pool, "the income", || statuses() == [IncomeStatus::Immature]).await;

    // The lie begins, and a block brings it to the adapter before the truth: one block on ours, told as fifty-one.
    lying.lies.store(true, Ordering::SeqCst);
    truth.slow.store(true, Ordering::SeqCst);
    chain.generate(1).unwrap();
    until(&pool, "the adapter believes it", || pool.view().coord > LIE).await;
    truth.slow.store(false, Ordering::SeqCst);
    until(&pool, "the disagreement is told", || {
        pool.alarms()
            .iter()
            .any(|alarm| alarm.about == "maturity" && alarm.text.contains("2 blocks deep of 3"))
    })
    .await;
    assert_eq!(statuses(), [IncomeStatus::Immature]);
    assert_eq!(pool.view().money.income.0, 0);

    // The honest node gets there, whatever the other one says.
    chain.generate(1).unwrap();
    until(&pool, "maturity", || statuses() == [IncomeStatus::Matured]).await;
    until(&pool, "the alarm is over", || pool.alarms().iter().all(|alarm| alarm.about != "maturity")).await;
    lying.lies.store(false, Ordering::SeqCst);
    chain.generate(3).unwrap();
    let tip = u64::from(chain.height()) + 1;
    until(&pool, "work on the honest chain", || pool.view().coord == tip).await;
    let totals = pool.ledger().totals();
    assert!(totals.conserved, "{totals:?}");
    drop(client);
    pool.stop().await;
    let ledger = folder.path().join("dev").join("ledger");
    let mut matured = 0;
    Reader::open(Arc::clone(&process.disk), &ledger)
        .unwrap()
        .for_each_record(&mut |record, _| {
            matured += usize::from(matches!(record.entry, Entry::Matured { .. }));
            Ok(())
        })
        .unwrap();
    assert_eq!(matured, 1, "it was booked as matured once");
    assert_eq!(check_replay(&process, &folder.path().join("dev")).incomes, 1);
}

/// Who is shown the pool asks books and ledger, each of which the other waits for while it books: neither may be asked
/// while the other is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn incomes_are_booked_while_the_pool_is_shown_without_a_pause() {
    let chain = DevChain::start(Options { prologue: 10, maturity: 3, ..Options::default() }).await.unwrap();
    let (one, _) = Between::start(&chain, |_, _, _| None).await;
    let (other, _) = Between::start(&chain, |_, _, _| None).await;
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let pool = Arc::new(start(&process, &config(&chain, [one, other])).await);
    let over = Arc::new(AtomicBool::new(false));
    let show = || {
        let (pool, over) = (Arc::clone(&pool), Arc::clone(&over));
        move || {
            while !over.load(Ordering::SeqCst) {
                assert!(pool.view().money.conserved);
            }
        }
    };
    let (ended, ends) = channel::<()>();
    std::thread::spawn(move || {
        // Who stands still cannot fail by himself, and neither can a test that waits for him.
        if ends.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("ledger and books wait for each other");
            std::process::abort();
        }
    });
    let watchers: Vec<_> = (0..3).map(|_| std::thread::spawn(show())).collect();
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    for block in 0..BLOCKS {
        let job = client.job_on(&chain.tip()).await;
        let share = client.find(&job, 0, Want::Block);
        assert_eq!(client.submit(&share).await["result"], json!(true));
        until(&pool, "its block", || chain.height() > 10 + block).await;
    }
    chain.generate(4).unwrap();
    until(&pool, "every income can be spent", || pool.matured() == u64::from(BLOCKS)).await;
    over.store(true, Ordering::SeqCst);
    for watcher in watchers {
        watcher.join().unwrap();
    }
    drop((client, ended));
    Arc::into_inner(pool).unwrap().stop().await;
}
