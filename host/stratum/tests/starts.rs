//! Which difficulty a session starts with: by password, wish, last session, user agent, port.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, is_true};
use common::{Harness, Template, config, start_with};
use millpond_stratum::StratumConfig;
use serde_json::json;

/// A port that starts at 64, and machines of which the operator knows better.
fn by_agent() -> StratumConfig {
    let mut config = config();
    config.vardiff.enabled = true;
    config.ports[0].start = Some(64.0);
    let known = [("cpuminer", 16.0), ("cpuminer-multi", 8.0), ("S21/", 65_536.0), ("NiceHash/", 1000.0)];
    config.agent_difficulty = known.map(|(agent, difficulty)| (agent.to_owned(), difficulty)).into();
    config.agent_minimum.insert("NiceHash/".to_owned(), 4000.0);
    config
}

async fn pool() -> Harness {
    let pool = start_with(by_agent()).await;
    pool.publish(&Template::default());
    pool
}

async fn log_in(client: &mut Client, login: &str, password: &str) {
    assert!(is_true(&client.call("mining.authorize", json!([login, password])).await));
}

/// The difficulty that a miner of this user agent gets its first job with.
async fn first_difficulty(pool: &Harness, agent: &str, login: &str, password: &str) -> f64 {
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!([agent])).await;
    log_in(&mut client, login, password).await;
    client.notify().await;
    known(pool, login)
}

/// The difficulty of a session, by its login.
fn known(pool: &Harness, login: &str) -> f64 {
    let sessions = pool.handle.sessions();
    let (address, _) = login.split_once('.').unwrap_or((login, ""));
    let own = sessions.iter().rev().find(|session| session.address == address);
    own.expect("the session is there").difficulty
}

#[tokio::test]
async fn a_machine_starts_where_its_kind_does_and_any_other_where_its_port_does() {
    let pool = pool().await;
    for (login, agent, difficulty) in [
        ("a", "cpuminer/2.5.1", 16.0),
        ("b", "cpuminer-multi/1.3", 8.0),
        ("c", "S21/1.0", 65_536.0),
        ("d", "Antminer S21/1.0", 64.0),
        ("e", "CPUMINER", 64.0),
        ("f", "", 64.0),
    ] {
        assert_eq!(first_difficulty(&pool, agent, login, "x").await, difficulty, "{agent}");
    }
    assert_eq!(
        first_difficulty(&pool, "NiceHash/1.0", "m", "x").await,
        4000.0,
        "its least is still its least"
    );
}

#[tokio::test]
async fn what_the_miner_asks_for_goes_before_his_user_agent() {
    let pool = pool().await;
    assert_eq!(first_difficulty(&pool, "cpuminer/2", "a", "d=128").await, 128.0);
    // A wish before or after the user agent is known.
    let mut early = Client::connect(pool.address()).await;
    assert!(is_true(&early.call("mining.suggest_difficulty", json!([256])).await));
    early.subscribe(json!(["cpuminer/2"])).await;
    log_in(&mut early, "b", "x").await;
    let mut late = Client::connect(pool.address()).await;
    late.subscribe(json!(["cpuminer/2"])).await;
    assert!(is_true(&late.call("mining.suggest_difficulty", json!([512])).await));
    log_in(&mut late, "c", "x").await;
    assert_eq!((known(&pool, "b"), known(&pool, "c")), (256.0, 512.0));
}

#[tokio::test]
async fn who_was_here_before_goes_on_from_there_in_whichever_order_he_introduces_himself() {
    let pool = pool().await;
    assert_eq!(first_difficulty(&pool, "cpuminer/2", "back.rig", "d=2048").await, 2048.0);
    pool.until("he has left", |pool| pool.handle.connections() == 0).await;
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["cpuminer/2"])).await;
    log_in(&mut client, "back.rig", "x").await;
    client.notify().await;
    assert_eq!(known(&pool, "back"), 2048.0);
    drop(client);
    pool.until("he has left", |pool| pool.handle.connections() == 0).await;
    let mut client = Client::connect(pool.address()).await;
    log_in(&mut client, "back.rig", "x").await;
    client.subscribe(json!(["cpuminer/2"])).await;
    client.notify().await;
    assert_eq!(known(&pool, "back"), 2048.0, "with the login first");
    // And one who was not begins where his kind does, too.
    let mut client = Client::connect(pool.address()).await;
    log_in(&mut client, "new.rig", "x").await;
    client.subscribe(json!(["cpuminer/2"])).await;
    client.notify().await;
    assert_eq!(known(&pool, "new"), 16.0);
}

#[tokio::test]
async fn a_name_that_comes_while_he_mines_changes_nothing() {
    let pool = pool().await;
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!([])).await;
    log_in(&mut client, "a", "x").await;
    client.notify().await;
    assert_eq!(known(&pool, "a"), 64.0);
    client.subscribe(json!(["S21/1.0"])).await;
    client.subscribe(json!(["cpuminer/2"])).await;
    client.call("mining.ping", json!([])).await;
    assert_eq!(known(&pool, "a"), 64.0);
}

#[tokio::test]
async fn a_port_of_a_fixed_difficulty_is_of_that_for_every_kind() {
    let mut config = by_agent();
    (config.ports[0].min, config.ports[0].max) = (Some(64.0), Some(64.0));
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    for (login, agent) in [("a", "cpuminer/2"), ("b", "S21/1.0"), ("c", "NiceHash/1")] {
        assert_eq!(first_difficulty(&pool, agent, login, "x").await, 64.0, "{agent}");
    }
}
