//! Sessions over a lost connection, and the end of a server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, code, is_true};
use common::{BLOCK, EASY, Template, config, start, start_with};
use millpond_stratum::Span;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn a_session_is_resumed_with_its_extranonce_and_its_old_work() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    let (session, en1) = (client.session.clone(), client.en1.clone());
    let share = client.find(&job, 1, EASY, BLOCK);
    drop(client);
    pool.until("it is gone", |pool| pool.handle.connections() == 0).await;
    // Another miner comes meanwhile and gets another extranonce.
    let other = Client::ready(pool.address(), "bob").await;
    assert_ne!(other.en1, en1);
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["test/1", session])).await;
    assert_eq!((&client.session, &client.en1), (&session, &en1));
    client.call("mining.authorize", json!(["alice", "x"])).await;
    // Its job comes again as other work: a miner begins anew, and would find the shares of before.
    let again = client.notify().await;
    assert_eq!((again.time, again.clean), (job.time + 1, true));
    assert!(is_true(&client.submit("alice", &share).await), "the work of before is lost");
    assert_eq!(pool.handle.counters().resumed, 1);
}

#[tokio::test]
async fn a_miner_that_sends_its_extranonce_in_place_of_a_session_id_is_resumed_too() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    client.notify().await;
    let en1 = client.en1.clone();
    drop(client);
    pool.until("it is gone", |pool| pool.handle.connections() == 0).await;
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["cgminer/4.10", hex::encode(&en1)])).await;
    assert_eq!(client.en1, en1);
}

#[tokio::test]
async fn who_subscribes_and_leaves_without_work_leaves_no_session_behind() {
    let pool = start().await;
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["test/1"])).await;
    let session = client.session.clone();
    drop(client);
    pool.until("it is gone", |pool| pool.handle.connections() == 0).await;
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["test/1", session])).await;
    assert_ne!(client.session, session);
    assert_eq!(pool.handle.counters().resumed, 0);
}

#[tokio::test]
async fn nobody_takes_over_a_session_that_is_connected_unknown_or_over() {
    let mut config = config();
    config.extranonce.resume = Span::millis(150);
    let pool = start_with(config).await;
    let first = Client::ready(pool.address(), "alice").await;
    for resume in [json!(first.session), json!(hex::encode(&first.en1)), json!("nonsense"), json!(7)] {
        let mut thief = Client::connect(pool.address()).await;
        thief.subscribe(json!(["x", resume])).await;
        assert_ne!(thief.en1, first.en1);
    }
    let (session, en1) = (first.session.clone(), first.en1.clone());
    drop(first);
    pool.until("its end", |pool| pool.handle.connections() == 0).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut late = Client::connect(pool.address()).await;
    late.subscribe(json!(["x", session])).await;
    assert_ne!(late.en1, en1);
    assert_eq!(pool.handle.counters().resumed, 0);
}

#[tokio::test]
async fn a_stop_answers_the_shares_on_their_way_and_takes_no_more() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    pool.pool.hold.store(true, Ordering::SeqCst);
    let share = client.find(&job, 1, EASY, BLOCK);
    let submit =
        json!({"id": 50, "method": "mining.submit", "params": common::miner::params("alice", &share)});
    client.send(&submit).await;
    client.call("mining.ping", json!([])).await;
    let address = pool.address();
    let keeper = std::sync::Arc::clone(&pool.pool);
    let stopping = tokio::spawn(pool.server.stop());
    keeper.permits.0.add_permits(1);
    let answer = client.answer(&json!(50)).await;
    assert!(is_true(&answer), "{answer}");
    client.closed().await;
    stopping.await.unwrap();
    assert_eq!(keeper.credited(), 1);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_disk_that_never_answers() {
    let mut config = config();
    config.drain = Span::millis(100);
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    pool.pool.hold.store(true, Ordering::SeqCst);
    let share = client.find(&job, 1, EASY, BLOCK);
    client
        .send(&json!({"id": 50, "method": "mining.submit", "params": common::miner::params("alice", &share)}))
        .await;
    client.call("mining.ping", json!([])).await;
    tokio::time::timeout(common::PATIENCE, pool.server.stop()).await.expect("the stop hung");
    client.closed().await;
    assert_eq!(pool.pool.credited(), 0);
}

#[tokio::test]
async fn two_pools_in_one_process_know_nothing_of_each_other() {
    let (one, two) = (start().await, start().await);
    one.publish(&Template::default());
    two.publish(&Template { prev: [5; 32], ..Template::default() });
    let mut a = Client::ready(one.address(), "alice").await;
    let mut b = Client::ready(two.address(), "alice").await;
    let (job, other) = (a.notify().await, b.notify().await);
    assert_ne!(job.prev, other.prev);
    assert!(is_true(&a.submit("alice", &a.find(&job, 1, EASY, BLOCK)).await));
    assert_eq!((one.pool.credited(), two.pool.credited()), (1, 0));
}

#[tokio::test]
async fn shares_that_counted_before_a_restart_are_known_after_it() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    let share = client.find(&job, 1, EASY, BLOCK);
    let id: [u8; 32] = share.hash.iter().rev().copied().collect::<Vec<_>>().try_into().unwrap();
    pool.seen.reload([(Template::default().coord, id)]);
    assert_eq!(code(&client.submit("alice", &share).await), 22);
}

#[tokio::test]
async fn other_documents_after_a_swap_serve_new_miners_and_keep_the_old() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut before = Client::ready(pool.address(), "alice").await;
    let job = before.notify().await;
    let mut chain = common::chain();
    let text = common::DIALECT.replace("\"pong\"", "\"swapped\"");
    let dialect = millpond_dialect::Dialect::compile("new", &text).unwrap();
    chain.dialects = millpond_dialect::DialectSet::from_documents(&[dialect]).unwrap();
    assert!(pool.handle.replace_chain(chain.clone()));
    chain.extranonce = 12;
    assert!(!pool.handle.replace_chain(chain), "the length of the extranonce changed under running sessions");
    let mut after = Client::ready(pool.address(), "bob").await;
    assert_eq!(after.call("mining.ping", json!([])).await["result"], "swapped");
    assert!(is_true(&before.submit("alice", &before.find(&job, 1, EASY, BLOCK)).await));
}

#[tokio::test]
async fn the_operator_speaks_to_miners_and_sends_them_elsewhere() {
    let pool = start().await;
    let mut client = Client::ready(pool.address(), "alice").await;
    pool.handle.message("maintenance at noon");
    assert_eq!(client.pushed("client.show_message").await["params"][0], "maintenance at noon");
    pool.handle.reconnect("pool.test", 3334, Duration::from_secs(7));
    assert_eq!(client.pushed("client.reconnect").await["params"], json!(["pool.test", 3334, 7]));
}

#[tokio::test]
async fn the_operators_ban_hangs_up_on_those_who_are_connected() {
    let mut config = config();
    config.ports[0].proxy_from = vec!["127.0.0.1".parse().unwrap()];
    let pool = start_with(config).await;
    let (mut bad, mut good) = (Client::connect(pool.address()).await, Client::connect(pool.address()).await);
    bad.send_raw(b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n").await;
    good.send_raw(b"PROXY TCP4 192.0.2.8 127.0.0.1 1 2\r\n").await;
    bad.subscribe(json!([])).await;
    good.subscribe(json!([])).await;
    pool.handle.ban(millpond_stratum::Source::of("192.0.2.7".parse().unwrap(), 56));
    bad.closed().await;
    assert!(good.call("mining.ping", json!([])).await["error"].is_null());
}
