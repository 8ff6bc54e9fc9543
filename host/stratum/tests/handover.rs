//! A server that leaves its sockets and their sessions to another one: what miners notice of it is nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, Notify, Share, is_true, params};
use common::tls::{certificate, over_tls};
use common::{BLOCK, EASY, Harness, Template, chain, config, parts, start, start_with};
use millpond_stratum::{HandedOver, NetworkError, Server, ServerState, StratumConfig};
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::time::timeout;

/// What another process gets: the words as text, the sockets under numbers of its own.
fn carried(from: &HandedOver) -> HandedOver {
    let text = serde_json::to_string(&from.state()).unwrap();
    let state: ServerState = serde_json::from_str(&text).unwrap();
    let sockets: Vec<OwnedFd> = from.sockets().map(|socket| socket.try_clone_to_owned().unwrap()).collect();
    HandedOver::of(state, &mut sockets.into_iter()).unwrap()
}

/// A submission as a line.
fn line_of(worker: &str, share: &Share) -> String {
    format!("{}\n", json!({"id": 77, "method": "mining.submit", "params": params(worker, share)}))
}

/// The next message that is no push.
async fn reply(client: &mut Client) -> Value {
    loop {
        let message = client.message().await;
        if message["method"].is_null() {
            return message;
        }
    }
}

impl Harness {
    /// Another server over the same pool, which hears nobody yet.
    async fn successor(self, config: StratumConfig) -> (Self, HandedOver) {
        let Self { server, pool, jobs, seen, recipes, .. } = self;
        let left = server.hand_over().await;
        let parts = parts(&jobs, &seen, &pool);
        let server = Server::take_over(config, chain(), parts, carried(&left)).await.unwrap();
        assert_eq!((server.carried().sessions, server.carried().closed), (left.sessions(), 0));
        let handle = server.handle();
        (Self { server, handle, pool, jobs, seen, recipes }, left)
    }
}

#[tokio::test]
async fn a_miner_goes_on_as_if_nothing_had_happened() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice.rig").await;
    let job = client.notify().await;
    let first = client.find(&job, 1, EASY, BLOCK);
    assert!(is_true(&client.submit("alice.rig", &first).await));
    let address = pool.address();
    let second = client.find(&job, 2, EASY, BLOCK);
    // Half of it reaches the server before, the other half after.
    let line = line_of("alice.rig", &second);
    let (begin, end) = line.split_at(line.len() / 2);
    let read = pool.handle.counters().bytes_read;
    client.send_raw(begin.as_bytes()).await;
    pool.until("it is read", |pool| pool.handle.counters().bytes_read > read).await;
    let before = pool.handle.sessions().remove(0);
    let (pool, left) = pool.successor(config()).await;
    assert_eq!(pool.address(), address);
    assert_eq!(left.sessions(), 1);
    client.send_raw(end.as_bytes()).await;
    pool.server.open();
    // Its old process is gone.
    drop(left);
    let answer = reply(&mut client).await;
    assert_eq!(answer["result"], json!(true), "{answer}");
    let again = client.submit("alice.rig", &second).await;
    assert_eq!(again["error"][0], json!(22), "counted once: {again}");
    assert_eq!(pool.pool.credited(), 2);
    let after = pool.handle.sessions().remove(0);
    assert_eq!(
        (after.session, &after.address, &after.worker, after.difficulty, after.since, after.accepted),
        (before.session, &before.address, &before.worker, before.difficulty, before.since, 2)
    );
    // It is told the work of now, and new work after that, all of it under its own extranonce.
    let template = Template { prev: [9; 32], coord: 101, ..Template::default() };
    pool.publish(&template);
    let fresh = loop {
        let job = client.notify().await;
        if job.prev == template.prev {
            break job;
        }
    };
    assert!(fresh.clean);
    let share = client.find(&fresh, 1, EASY, BLOCK);
    assert!(is_true(&client.submit("alice.rig", &share).await));
    assert_eq!(pool.handle.counters().connections, 0, "nobody had to come again");
}

#[tokio::test]
async fn shares_on_their_way_are_answered_before_and_shares_of_the_pause_after() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    pool.pool.hold.store(true, Ordering::SeqCst);
    let first = client.find(&job, 1, EASY, BLOCK);
    let line = line_of("alice", &first);
    let read = pool.handle.counters().bytes_read;
    client.send_raw(line.as_bytes()).await;
    pool.until("it is heard", |pool| pool.handle.counters().bytes_read > read).await;
    let in_memory = std::sync::Arc::clone(&pool.pool);
    let address = pool.address();
    let leaving = tokio::spawn(pool.successor(config()));
    // Nobody is let in any more: who comes now waits at the door.
    let mut late = loop {
        let mut one = Client::connect(address).await;
        one.send(&json!({"id": 1, "method": "mining.subscribe", "params": ["late/1"]})).await;
        if timeout(Duration::from_millis(200), one.reader.fill_buf()).await.is_err() {
            break one;
        }
    };
    assert!(!leaving.is_finished(), "a share has no answer yet");
    // The disk answers only now.
    in_memory.hold.store(false, Ordering::SeqCst);
    in_memory.permits.0.add_permits(1);
    let answer = reply(&mut client).await;
    assert_eq!(answer["result"], json!(true), "{answer}");
    let (pool, _left) = leaving.await.unwrap();
    let second = client.find(&job, 2, EASY, BLOCK);
    let line = line_of("alice", &second);
    client.send_raw(line.as_bytes()).await;
    // Nobody hears it yet.
    assert_eq!(pool.pool.credited(), 1);
    pool.server.open();
    let answer = reply(&mut client).await;
    assert_eq!(answer["result"], json!(true), "{answer}");
    let welcome = late.message().await;
    let en1 = hex::decode(welcome["result"][1].as_str().unwrap()).unwrap();
    assert_ne!(en1, client.en1, "its space is its own");
    assert_eq!(pool.pool.credited(), 2);
}

#[tokio::test]
async fn who_does_not_become_healthy_leaves_the_miners_to_the_one_before() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    let Harness { server, pool, jobs, seen, .. } = pool;
    let left = server.hand_over().await;
    let mut broken = config();
    broken.ports[0].dialect = Some("none".to_owned());
    let parts = || parts(&jobs, &seen, &pool);
    Server::take_over(broken, chain(), parts(), carried(&left)).await.err().expect("it has no such dialect");
    // One that comes further, and is stopped before it has heard anybody.
    Server::take_over(config(), chain(), parts(), carried(&left)).await.unwrap().stop().await;
    drop(Server::take_over(config(), chain(), parts(), carried(&left)).await.unwrap());
    let server = Server::take_over(config(), chain(), parts(), left).await.unwrap();
    server.open();
    let share = client.find(&job, 1, EASY, BLOCK);
    assert!(is_true(&client.submit("alice", &share).await));
    server.stop().await;
}

#[tokio::test]
async fn what_the_server_knows_of_those_who_are_not_there_goes_over_too() -> Result<(), NetworkError> {
    let mut config = config();
    config.ports[0].proxy_from = vec!["127.0.0.1".parse()?];
    config.vardiff.enabled = true;
    let pool = start_with(config.clone()).await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    let share = client.find(&job, 1, EASY, BLOCK);
    let (session, en1) = (client.session.clone(), client.en1.clone());
    drop(client);
    pool.until("it is gone", |pool| pool.handle.connections() == 0).await;
    let (bad, net) = ("192.0.2.66".parse().unwrap(), "2001:db8:7:7::1".parse().unwrap());
    for address in [bad, net] {
        pool.handle.ban(pool.handle.source(address)).unwrap();
    }
    let bans = pool.handle.bans();
    let (pool, _left) = pool.successor(config).await;
    pool.server.open();
    let after = pool.handle.bans();
    assert_eq!(after.len(), 2);
    for before in &bans {
        let after = after.iter().find(|after| after.source == before.source).expect("it was lifted");
        assert_eq!(before.reason, after.reason);
        assert!(after.remaining <= before.remaining && after.remaining.as_secs() > 500);
    }
    // The miner who was away comes back to his work.
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["test/1", session])).await;
    assert_eq!((&client.session, &client.en1), (&session, &en1));
    client.call("mining.authorize", json!(["alice", "x"])).await;
    assert!(is_true(&client.submit("alice", &share).await), "the work of before is lost");
    assert_eq!(pool.handle.counters().resumed, 1);
    // Who was banned stays out.
    let mut banned = Client::connect(pool.address()).await;
    banned.send_raw(b"PROXY TCP4 192.0.2.66 127.0.0.1 1 2\r\n").await;
    banned.closed().await;
    Ok(())
}

#[tokio::test]
async fn a_miner_who_reads_slowly_gets_every_line_whole_and_in_order() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    client.notify().await;
    // More than its socket holds, none of which it reads.
    let text = "x".repeat(40_000);
    for number in 0..200 {
        pool.handle.message(&format!("{number} {text}"));
        tokio::task::yield_now().await;
    }
    let written = pool.handle.counters().bytes_written;
    let (pool, left) = pool.successor(config()).await;
    pool.server.open();
    drop(left);
    pool.publish(&Template { time: 1_700_000_100, ..Template::default() });
    let mut last = None;
    loop {
        let message = client.message().await;
        if message["method"] == "mining.notify" && Notify::parse(&message).time == 1_700_000_100 {
            break;
        }
        if message["method"] == "client.show_message" {
            let said = message["params"][0].as_str().unwrap();
            let number: u32 = said.split(' ').next().unwrap().parse().unwrap();
            assert!(said.len() > 40_000 && last < Some(number), "{number} after {last:?}");
            last = Some(number);
        }
    }
    assert!(last.is_some() && written > 0);
    let _: Value = client.call("mining.ping", json!([])).await;
}

#[tokio::test]
async fn who_has_not_said_yet_whose_he_is_says_it_to_the_next_process() -> Result<(), NetworkError> {
    let mut config = config();
    config.ports[0].proxy_from = vec!["127.0.0.1".parse()?];
    let pool = start_with(config.clone()).await;
    pool.publish(&Template::default());
    let mut silent = Client::connect(pool.address()).await;
    let mut halfway = Client::connect(pool.address()).await;
    halfway.send_raw(b"PROXY TCP4 192.0.2.7 127").await;
    // Who comes last is served: the others were let in, and what they sent was read.
    let mut served = Client::connect(pool.address()).await;
    served.subscribe(json!(["test/1"])).await;
    let (pool, left) = pool.successor(config).await;
    assert_eq!(left.sessions(), 1);
    pool.server.open();
    drop(left);
    silent.send_raw(b"PROXY TCP4 192.0.2.8 127.0.0.1 1 2\r\n").await;
    halfway.send_raw(b".0.0.1 1 2\r\n").await;
    for (client, source) in [(&mut silent, "192.0.2.8"), (&mut halfway, "192.0.2.7")] {
        client.subscribe(json!(["test/1"])).await;
        let sessions = pool.handle.sessions();
        assert!(sessions.iter().any(|session| session.source.to_string() == source), "{source}");
    }
    Ok(())
}

#[tokio::test]
async fn tls_sessions_are_closed_and_can_be_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, roots) = certificate(folder.path());
    let mut config = config();
    config.ports[0].tls = Some(tls);
    let pool = start_with(config.clone()).await;
    pool.publish(&Template::default());
    let mut client = over_tls(&pool, roots.clone()).await.unwrap();
    client.subscribe(json!(["test/1"])).await;
    client.call("mining.authorize", json!(["alice", "x"])).await;
    let job = client.notify().await;
    let share = client.find(&job, 1, EASY, BLOCK);
    let (session, en1) = (client.session.clone(), client.en1.clone());
    let (pool, left) = pool.successor(config).await;
    pool.server.open();
    assert_eq!(left.sessions(), 0);
    client.closed().await;
    let mut client = over_tls(&pool, roots.clone()).await.unwrap();
    client.subscribe(json!(["test/1", session])).await;
    assert_eq!((&client.session, &client.en1), (&session, &en1));
    client.call("mining.authorize", json!(["alice", "x"])).await;
    assert!(is_true(&client.submit("alice", &share).await), "the work of before is lost");
}

#[tokio::test]
async fn a_login_that_is_being_looked_up_is_heard_again() {
    let pool = start().await;
    pool.publish(&Template::default());
    pool.pool.slow.store(true, Ordering::SeqCst);
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["test/1"])).await;
    client.send(&json!({"id": 9, "method": "mining.authorize", "params": ["alice", "x"]})).await;
    pool.until("it is asked", |pool| pool.pool.asked.load(Ordering::SeqCst) == 1).await;
    let in_memory = std::sync::Arc::clone(&pool.pool);
    let (pool, _left) = pool.successor(config()).await;
    in_memory.slow.store(false, Ordering::SeqCst);
    pool.server.open();
    assert_eq!(client.answer(&json!(9)).await["result"], json!(true));
    client.notify().await;
    assert_eq!(in_memory.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn sessions_that_do_not_fit_are_counted_and_not_carried() {
    let pool = start().await;
    pool.publish(&Template::default());
    let _client = Client::ready(pool.address(), "alice").await;
    let Harness { server, pool, jobs, seen, .. } = pool;
    let left = server.hand_over().await;
    let mut other = config();
    other.extranonce.prefix = Some(3);
    let server = Server::take_over(other, chain(), parts(&jobs, &seen, &pool), carried(&left)).await.unwrap();
    let carried_over = server.carried();
    assert_eq!((carried_over.sessions, carried_over.closed), (0, 1));
    assert_eq!(carried_over.why.as_deref(), Some("the division of the extranonce has changed"));
    drop(server);
    let mut longer = chain();
    longer.extranonce += 1;
    let server = Server::take_over(config(), longer, parts(&jobs, &seen, &pool), left).await.unwrap();
    assert_eq!(server.carried().closed, 1, "its miner rolls fewer bytes than the recipe has");
}

#[tokio::test]
async fn neighbours_of_a_miner_who_was_banned_go_on() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut honest = Client::ready(pool.address(), "alice").await;
    let job = honest.notify().await;
    let mut other = Client::connect(pool.address()).await;
    for _ in 0..8 {
        other.send_raw(b"no request\n").await;
    }
    other.closed().await;
    assert_eq!(pool.handle.bans().len(), 1);
    let (pool, _left) = pool.successor(config()).await;
    pool.server.open();
    let share = honest.find(&job, 1, EASY, BLOCK);
    assert!(is_true(&honest.submit("alice", &share).await));
    Client::connect(pool.address()).await.closed().await;
}
