//! The operator's limits and lists changed while miners are connected: they hold at once, and nobody but who is denied
//! notices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::honest::{ATTACKER, Siege, connect_from};
use common::miner::{Client, is_true};
use common::tls::{certificate, over_tls_on};
use common::{EASY, Harness, Template, config, start_with};
use millpond_stratum::{LimitsConfig, PortConfig, Span, StratumConfig};
use serde_json::json;
use std::net::SocketAddr;

const UNWANTED: [u8; 4] = [127, 0, 7, 1];
const PROXY: [u8; 4] = [127, 0, 0, 200];

fn denying(config: &StratumConfig, networks: &[&str]) -> StratumConfig {
    let deny = networks.iter().map(|text| text.parse().unwrap()).collect();
    StratumConfig { limits: LimitsConfig { deny, ..config.limits.clone() }, ..config.clone() }
}

async fn client(from: [u8; 4], address: SocketAddr) -> Client {
    Client::over(connect_from(from, address).await.unwrap())
}

async fn ready(client: &mut Client, login: &str) {
    client.subscribe(json!(["test/1"])).await;
    assert!(is_true(&client.call("mining.authorize", json!([login, "x"])).await));
}

/// A client of a trusted proxy, on the second port.
async fn behind(proxy: [u8; 4], whom: &str, pool: &Harness) -> Client {
    let mut client = client(proxy, pool.server.addresses()[1]).await;
    client.send_raw(format!("PROXY TCP4 {whom} 127.0.0.1 1 2\r\n").as_bytes()).await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_operator_denies_now_is_hung_up_on_and_every_other_miner_mines_on() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, roots) = certificate(folder.path());
    let mut config = config();
    config.ports.push(PortConfig {
        proxy_from: vec!["127.0.0.200".parse().unwrap(), "127.0.0.201".parse().unwrap()],
        ..config.ports[0].clone()
    });
    config.ports.push(PortConfig { tls: Some(tls), ..config.ports[0].clone() });
    let siege = Siege::begin(config.clone()).await;
    let pool = &siege.pool;
    let address = pool.address();

    // One who mines, one who has not logged in, one who said nothing, one over TLS, two behind proxies.
    let mut mines = client(UNWANTED, address).await;
    ready(&mut mines, "mallory").await;
    let job = mines.notify().await;
    let share = mines.find(&job, 1, EASY, common::BLOCK);
    assert!(is_true(&mines.submit("mallory", &share).await));
    let mut greeted = client(UNWANTED, address).await;
    greeted.subscribe(json!(["test/1"])).await;
    let mut silent = client(UNWANTED, address).await;
    let stream = connect_from(UNWANTED, pool.server.addresses()[2]).await.unwrap();
    let mut secret = over_tls_on(stream, roots).await.unwrap();
    ready(&mut secret, "mallory").await;
    let mut named = behind(PROXY, "192.0.2.7", pool).await;
    ready(&mut named, "mallory").await;
    let mut through = behind([127, 0, 0, 201], "198.51.100.9", pool).await;
    ready(&mut through, "mallory").await;
    let mut neighbour = behind(PROXY, "198.51.100.8", pool).await;
    ready(&mut neighbour, "alice").await;
    let six_more = siege.miners() + 7;
    pool.until("all are let in", |pool| pool.handle.connections() == six_more).await;

    let denied = denying(&config, &["127.0.7.0/24", "192.0.2.0/24", "127.0.0.201"]);
    pool.handle.follow(&denied).unwrap();
    for unwanted in [&mut mines, &mut greeted, &mut silent, &mut secret, &mut named, &mut through] {
        unwanted.closed().await;
    }
    assert_eq!(pool.handle.counters().denied, 6);
    assert!(pool.handle.bans().is_empty());
    assert!(neighbour.call("mining.ping", json!([])).await["error"].is_null());
    drop(neighbour);

    // The door is shut to them, until the operator opens it.
    let mut again = client(UNWANTED, address).await;
    again.closed().await;
    assert_eq!(pool.handle.counters().refused_denied, 1);
    pool.handle.follow(&config).unwrap();
    let mut again = client(UNWANTED, address).await;
    ready(&mut again, "mallory").await;
    drop(again);
    siege.end(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_become_strict_hold_for_who_comes_and_for_who_has_not_logged_in() {
    let config = config();
    let siege = Siege::begin(config.clone()).await;
    let pool = &siege.pool;
    // One honest miner is behind the attacker's address already, which is all that it may have from now on.
    let mut lurking = client([127, 0, 7, 2], pool.address()).await;
    lurking.subscribe(json!(["test/1"])).await;
    let mut strict = config.clone();
    strict.limits.connections_per_source = 1;
    strict.limits.handshake = Span::millis(1);
    pool.handle.follow(&strict).unwrap();
    lurking.closed().await;
    assert_eq!(pool.handle.counters().handshake_timeouts, 1);
    client(ATTACKER, pool.address()).await.closed().await;
    assert_eq!(pool.handle.counters().refused_full, 1);
    siege.end(0).await;
}

#[tokio::test]
async fn who_is_allowed_now_is_no_longer_banned_and_who_is_no_longer_allowed_is() {
    let config = config();
    let pool = start_with(config.clone()).await;
    let mut allowing = config.clone();
    allowing.limits.allow = vec!["127.0.7.0/24".parse().unwrap()];
    let nonsense = async |client: &mut Client| {
        for _ in 0..8 {
            client.send_raw(b"nonsense\n").await;
        }
        client.closed().await;
    };
    let (mut first, mut second) =
        (client(UNWANTED, pool.address()).await, client(UNWANTED, pool.address()).await);
    for one in [&mut first, &mut second] {
        one.subscribe(json!(["test/1"])).await;
    }
    pool.handle.follow(&allowing).unwrap();
    nonsense(&mut first).await;
    assert!(pool.handle.bans().is_empty(), "its connection was there before it was allowed");
    pool.handle.follow(&config).unwrap();
    nonsense(&mut second).await;
    assert_eq!(pool.handle.bans().len(), 1);
    client(UNWANTED, pool.address()).await.closed().await;
    pool.handle.follow(&allowing).unwrap();
    client(UNWANTED, pool.address()).await.subscribe(json!(["test/1"])).await;
}

#[tokio::test]
async fn a_configuration_with_an_error_changes_nothing_and_ports_stay_what_they_are() {
    let config = config();
    let pool = start_with(config.clone()).await;
    pool.publish(&Template::default());
    let mut wrong = denying(&config, &["127.0.0.0/8"]);
    wrong.limits.line = 1;
    let why = pool.handle.follow(&wrong).unwrap_err().to_string();
    assert!(why.contains("line_bytes"), "{why}");
    let mut other = config.clone();
    other.ports[0].start = Some(4096.0);
    other.vardiff.start = 4096.0;
    other.agent_difficulty.insert("known/".to_owned(), 2.0);
    pool.handle.follow(&other).unwrap();
    let mut miner = Client::ready(pool.address(), "alice").await;
    miner.notify().await;
    assert_eq!(
        pool.handle.sessions()[0].difficulty,
        EASY,
        "what a port starts at is its own until a restart"
    );
    let mut known = Client::connect(pool.address()).await;
    known.subscribe(json!(["known/1"])).await;
    assert_eq!(known.difficulty().await, 2.0, "and what a user agent starts at holds at once");
}

#[tokio::test]
async fn the_least_for_a_kind_of_miner_holds_at_once_for_who_is_connected() {
    let config = config();
    let pool = start_with(config.clone()).await;
    pool.publish(&Template::default());
    let mut miner = client(UNWANTED, pool.address()).await;
    ready(&mut miner, "alice").await;
    miner.notify().await;
    let mut other = config.clone();
    other.agent_minimum.insert("test/".to_owned(), 64.0);
    pool.handle.follow(&other).unwrap();
    while miner.difficulty().await != 64.0 {}
    assert_eq!(pool.handle.sessions()[0].difficulty, 64.0);
}
