//! Sessions over a lost connection, and the end of a server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, Notify, code, is_true};
use common::{BLOCK, EASY, Harness, Template, config, start, start_full, start_with};
use millpond_stratum::{Chain, Span};
use serde_json::{Value, json};
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
    client.subscribe(json!(["test/1", hex::encode(&en1)])).await;
    assert_eq!(client.en1, en1);
}

#[tokio::test]
async fn a_stranger_who_guesses_an_extranonce_does_not_get_the_session_behind_it() {
    let mut config = config();
    config.ports[0].proxy_from = vec!["127.0.0.1".parse().unwrap()];
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    // Both come through the same proxy: what counts is whom its header names.
    let behind = async |last: u8| {
        let mut client = Client::connect(pool.address()).await;
        client.send_raw(format!("PROXY TCP4 192.0.2.{last} 127.0.0.1 1 2\r\n").as_bytes()).await;
        client
    };
    let mut owner = behind(7).await;
    owner.subscribe(json!(["cgminer/4.10"])).await;
    owner.call("mining.authorize", json!(["alice", "x"])).await;
    let job = owner.notify().await;
    let (session, en1) = (owner.session.clone(), owner.en1.clone());
    let share = owner.find(&job, 1, EASY, BLOCK);
    drop(owner);
    pool.until("it is gone", |pool| pool.handle.connections() == 0).await;
    let mut stranger = behind(8).await;
    stranger.subscribe(json!(["cgminer/4.10", hex::encode(&en1)])).await;
    assert_ne!(stranger.en1, en1);
    let mut neighbour = behind(7).await;
    neighbour.subscribe(json!(["another/1", hex::encode(&en1)])).await;
    assert_ne!(neighbour.en1, en1, "another machine behind the same address");
    let mut owner = behind(7).await;
    owner.subscribe(json!(["cgminer/4.10", hex::encode(&en1)])).await;
    assert_eq!((&owner.en1, &owner.session), (&en1, &session));
    owner.call("mining.authorize", json!(["alice", "x"])).await;
    assert!(is_true(&owner.submit("alice", &share).await), "the owner's work of before is lost");
    drop(owner);
    // The session's id is a secret between the pool and its miner, who may have got another address meanwhile.
    pool.until("it is gone", |pool| pool.handle.connections() == 2).await;
    let mut moved = behind(9).await;
    moved.subscribe(json!(["cgminer/4.10", session])).await;
    assert_eq!(moved.en1, en1);
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

/// A miner that negotiated to roll these bits of the version, logged in.
async fn rolling(pool: &Harness, login: &str, bits: &str) -> Client {
    let mut client = Client::connect(pool.address()).await;
    let options = json!([["version-rolling"], {"version-rolling.mask": bits}]);
    client.call("mining.configure", options).await;
    client.subscribe(json!(["x"])).await;
    assert!(is_true(&client.call("mining.authorize", json!([login, "x"])).await));
    client
}

/// Sends a share of a job with these bits of the version rolled.
async fn roll(client: &mut Client, job: &Notify, bits: u32, en2: u64) -> Value {
    let rolled = Notify { version: job.version | bits, ..job.clone() };
    let share = client.find(&rolled, en2, EASY, BLOCK);
    let mut params = common::miner::params("alice", &share);
    params.as_array_mut().unwrap().push(json!(format!("{bits:08x}")));
    client.call("mining.submit", params).await
}

fn with_mask(mask: Option<[u8; 4]>) -> Chain {
    let mut chain = common::chain();
    chain.masks = mask.map(|mask| ("mask".to_owned(), mask.to_vec())).into_iter().collect();
    chain
}

#[tokio::test]
async fn a_mask_that_a_swap_changes_is_told_before_the_next_job_to_whom_one_was_granted() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut rolls = rolling(&pool, "alice", "ffffffff").await;
    let before = rolls.notify().await;
    let mut plain = Client::ready(pool.address(), "bob").await;
    let mut denied = rolling(&pool, "carol", "00000003").await;
    let mut early = Client::connect(pool.address()).await;
    let options = json!([["version-rolling"], {"version-rolling.mask": "0fffffff"}]);
    let granted = early.call("mining.configure", options).await;
    assert_eq!(granted["result"]["version-rolling.mask"], "0fffe000");

    assert!(pool.handle.replace_chain(with_mask(Some([0x00, 0xff, 0xe0, 0x00]))));
    let told = rolls.message().await;
    assert_eq!((&told["method"], &told["params"]), (&json!("mining.set_version_mask"), &json!(["00ffe000"])));
    let after = rolls.message().await;
    assert_eq!(after["method"], "mining.notify", "a job under the new mask follows");
    let after = Notify::parse(&after);
    // Work of before is judged by the mask it was sent under, work of now by the new one.
    assert!(is_true(&roll(&mut rolls, &before, 0x1000_0000, 1).await));
    assert_eq!(code(&roll(&mut rolls, &after, 0x1000_0000, 2).await), 20);
    assert!(is_true(&roll(&mut rolls, &after, 0x0080_0000, 3).await));

    // Nobody reads a second line before the subscription's reply, so it is told after that.
    early.send(&json!({"id": "s", "method": "mining.subscribe", "params": ["x"]})).await;
    assert_eq!(early.message().await["id"], "s");
    assert!(is_true(&early.call("mining.authorize", json!(["dora", "x"])).await));
    assert_eq!(early.pushed("mining.set_version_mask").await["params"], json!(["00ffe000"]));
    early.notify().await;
    // Who rolls nothing hears nothing of it.
    for client in [&mut plain, &mut denied] {
        client.call("mining.ping", json!([])).await;
        assert!(client.pushed.iter().all(|push| push["method"] != "mining.set_version_mask"));
    }

    // An adapter without rolling takes it back, and one that has it again gives it again.
    assert!(pool.handle.replace_chain(with_mask(None)));
    assert_eq!(rolls.pushed("mining.set_version_mask").await["params"], json!(["00000000"]));
    let none = rolls.notify().await;
    assert_eq!(code(&roll(&mut rolls, &none, 0x0080_0000, 4).await), 20);
    assert!(pool.handle.replace_chain(common::chain()));
    assert_eq!(rolls.pushed("mining.set_version_mask").await["params"], json!(["1fffe000"]));
    let again = rolls.notify().await;
    assert!(is_true(&roll(&mut rolls, &again, 0x1000_0000, 5).await));
    assert!(pool.handle.bans().is_empty());
}

#[tokio::test]
async fn a_miner_who_cannot_be_told_of_a_new_mask_keeps_the_one_he_was_granted() {
    let text = common::DIALECT.split("push mask").collect::<Vec<_>>();
    let [before, after] = text[..] else { panic!("the dialect has one push of a mask") };
    let text = format!("{before}{}", &after[after.find("push reconnect").unwrap()..]);
    let dialect = millpond_dialect::Dialect::compile("mute", &text).unwrap();
    let mut chain = common::chain();
    chain.dialects = millpond_dialect::DialectSet::from_documents(&[dialect]).unwrap();
    let pool = start_full(config(), chain, None).await;
    pool.publish(&Template::default());
    let mut rolls = rolling(&pool, "alice", "ffffffff").await;
    rolls.notify().await;
    assert!(pool.handle.replace_chain(with_mask(Some([0x00, 0xff, 0xe0, 0x00]))));
    pool.publish(&Template { time: 1_700_000_009, ..Template::default() });
    let job = rolls.notify().await;
    assert!(is_true(&roll(&mut rolls, &job, 0x1000_0000, 1).await));
}

#[tokio::test]
async fn a_miner_is_asked_once_for_its_version_where_the_operator_wants_that() {
    let mut config = config();
    config.ask_version = true;
    let pool = start_with(config).await;
    let mut client = Client::ready(pool.address(), "alice").await;
    assert_eq!(client.pushed("client.get_version").await["id"], 0);
    client.send(&json!({"id": 0, "result": "cgminer/4.11.1\u{7}", "error": null})).await;
    client.call("mining.ping", json!([])).await;
    assert_eq!(pool.handle.sessions()[0].version, "cgminer/4.11.1");
    // Neither asked again, nor is anything else taken for the answer.
    client.send(&json!({"id": 0, "result": "another", "error": null})).await;
    client.call("mining.authorize", json!(["bob", "x"])).await;
    client.call("mining.ping", json!([])).await;
    assert!(client.pushed.iter().all(|push| push["method"] != "client.get_version"));
    assert_eq!(pool.handle.sessions()[0].version, "cgminer/4.11.1");

    let silent = start().await;
    let mut client = Client::ready(silent.address(), "alice").await;
    client.send(&json!({"id": 0, "result": "unasked", "error": null})).await;
    client.call("mining.ping", json!([])).await;
    assert!(client.pushed.iter().all(|push| push["method"] != "client.get_version"));
    assert_eq!(silent.handle.sessions()[0].version, "");
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
