//! How a miner and the server get to know each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, code, is_true};
use common::{EASY, Template, config, start, start_with};
use millpond_stratum::{PortConfig, Span};
use millpond_types::UnixMillis;
use serde_json::{Value, json};

#[tokio::test]
async fn a_subscription_names_session_extranonce_and_room() {
    let pool = start().await;
    for params in [json!([]), json!(["agent"]), json!(["agent", null]), json!(["agent", null, "host", 3333])]
    {
        let mut client = Client::connect(pool.address()).await;
        let reply = client.subscribe(params).await;
        assert_eq!(reply["result"][0][0][0], "mining.notify");
        assert_eq!((client.en1.len(), client.en2_size), (2, 6));
    }
}

#[tokio::test]
async fn two_sessions_never_get_the_same_extranonce() {
    let pool = start().await;
    let mut seen = std::collections::HashSet::new();
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = Client::connect(pool.address()).await;
        client.subscribe(json!([])).await;
        assert!(seen.insert(client.en1.clone()));
        clients.push(client);
    }
}

#[tokio::test]
async fn ids_are_echoed_as_they_came() {
    let pool = start().await;
    let mut client = Client::connect(pool.address()).await;
    for id in [json!(1), json!("one"), json!(18_446_744_073_709_551_615_u64), json!(-3), json!(1.5)] {
        client.send(&json!({"id": id, "method": "mining.ping", "params": []})).await;
        assert_eq!(client.message().await["id"], id);
    }
    client.send_raw(b"{\"method\":\"mining.ping\",\"params\":[],\"id\":1e3}\n").await;
    assert!(client.line().await.unwrap().contains("1e3"));
    client.send(&json!({"id": null, "method": "mining.ping", "params": []})).await;
    assert_eq!(client.message().await["id"], Value::Null);
}

#[tokio::test]
async fn nothing_is_pushed_before_the_reply_to_configure_or_subscribe() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::connect(pool.address()).await;
    let options = json!([["version-rolling", "minimum-difficulty"], {
        "version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 2, "minimum-difficulty.value": 0.5
    }]);
    client.send(&json!({"id": 0, "method": "mining.configure", "params": options})).await;
    let configured = client.message().await;
    assert_eq!(configured["result"]["version-rolling.mask"], "1fffe000");
    assert_eq!(configured["result"]["minimum-difficulty"], true);
    client.send(&json!({"id": 1, "method": "mining.subscribe", "params": ["x"]})).await;
    assert_eq!(
        client.message().await["id"],
        1,
        "something came between configure and the subscription's reply"
    );
}

#[tokio::test]
async fn a_minimum_difficulty_that_was_granted_is_kept_and_one_that_cannot_be_is_denied() {
    let mut config = config();
    config.vardiff.max = 5000.0;
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let mut client = Client::connect(pool.address()).await;
    let least = |value: f64| json!([["minimum-difficulty"], {"minimum-difficulty.value": value}]);
    let reply = client.call("mining.configure", least(6000.0)).await;
    assert_eq!(reply["result"], json!({"minimum-difficulty": false}), "the port gives no more than 5000");
    let reply = client.call("mining.configure", least(2048.0)).await;
    assert_eq!(reply["result"], json!({"minimum-difficulty": true}));
    client.subscribe(json!(["x"])).await;
    // Neither a password nor a suggestion undercuts it.
    assert!(is_true(&client.call("mining.authorize", json!(["alice", "d=16"])).await));
    client.call("mining.suggest_difficulty", json!([8])).await;
    client.call("mining.ping", json!([])).await;
    let told = client.pushed.iter().filter(|push| push["method"] == "mining.set_difficulty");
    let told: Vec<_> = told.map(|push| push["params"][0].as_f64().unwrap()).collect();
    assert!(!told.is_empty() && told.iter().all(|difficulty| *difficulty == 2048.0), "{told:?}");
    assert_eq!(pool.handle.sessions()[0].difficulty, 2048.0);
}

#[tokio::test]
async fn configure_answers_only_what_was_asked() {
    let pool = start().await;
    let mut client = Client::connect(pool.address()).await;
    let reply = client
        .call("mining.configure", json!([["version-rolling"], {"version-rolling.mask": "00ffe000"}]))
        .await;
    assert_eq!(reply["result"], json!({"version-rolling": true, "version-rolling.mask": "00ffe000"}));
    let reply = client.call("mining.configure", json!([["unheard-of"], {}])).await;
    assert_eq!(reply["result"], json!({"unheard-of": false}));
    let reply = client
        .call("mining.configure", json!([["version-rolling"], {"version-rolling.mask": "00000003"}]))
        .await;
    assert_eq!(reply["result"]["version-rolling"], false);
}

#[tokio::test]
async fn a_login_may_come_first_and_both_may_repeat() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::connect(pool.address()).await;
    assert!(is_true(&client.call("mining.authorize", json!(["alice.rig", null])).await));
    client.subscribe(json!(["x"])).await;
    let first = client.en1.clone();
    let job = client.notify().await;
    client.subscribe(json!(["x"])).await;
    assert_eq!(client.en1, first, "a second subscription changed the extranonce");
    assert!(is_true(&client.call("mining.authorize", json!(["bob"])).await));
    let share = client.find(&job, 1, EASY, common::BLOCK);
    assert!(is_true(&client.submit("bob", &share).await));
    assert_eq!(pool.pool.last().payee.address, "bob");
}

#[tokio::test]
async fn a_refused_login_is_told_why_and_gets_no_job() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!([])).await;
    let reply = client.call("mining.authorize", json!(["bad.rig", "x"])).await;
    assert_eq!(code(&reply), 24);
    assert!(reply["error"][1].as_str().unwrap().contains("no address of this chain"));
    let ping = client.call("mining.ping", json!([])).await;
    assert!(ping["error"].is_null());
    assert!(client.pushed.iter().all(|push| push["method"] != "mining.notify"));
    let share = json!(["bad.rig", "256", "0000000000000000", "6553f100", "00000000"]);
    assert_eq!(code(&client.call("mining.submit", share).await), 24);
}

#[tokio::test]
async fn the_difficulty_comes_before_the_first_job() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    client.notify().await;
    let mut client = Client::ready(pool.address(), "alice").await;
    let first = client.message().await;
    let methods: Vec<_> = client
        .pushed
        .iter()
        .chain([&first])
        .map(|push| push["method"].as_str().unwrap().to_owned())
        .collect();
    let notify = methods.iter().position(|method| method == "mining.notify").unwrap_or(methods.len());
    assert!(methods[..notify].contains(&"mining.set_difficulty".to_owned()), "{methods:?}");
}

#[tokio::test]
async fn a_job_that_comes_later_reaches_those_who_wait() {
    let pool = start().await;
    let mut client = Client::ready(pool.address(), "alice").await;
    pool.publish(&Template::default());
    assert!(client.notify().await.clean);
    pool.publish(&Template { time: 1_700_000_030, ..Template::default() });
    assert!(!client.notify().await.clean, "the parent is the same");
    pool.publish(&Template { prev: [9; 32], ..Template::default() });
    assert!(client.notify().await.clean, "the parent is another");
}

#[tokio::test]
async fn a_difficulty_suggested_before_the_login_is_the_first_one() {
    let mut config = config();
    config.vardiff.enabled = true;
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    for (method, params) in
        [("mining.suggest_difficulty", json!([4096])), ("mining.suggest_difficulty(4096", json!([]))]
    {
        let mut client = Client::connect(pool.address()).await;
        assert!(is_true(&client.call(method, params).await));
        client.subscribe(json!(["x"])).await;
        client.call("mining.authorize", json!(["alice", "x"])).await;
        assert_eq!(client.difficulty().await, 4096.0, "{method}");
    }
    let mut client = Client::connect(pool.address()).await;
    let target = hex::encode(common::target(64.0).to_be_bytes());
    assert!(is_true(&client.call("mining.suggest_target", json!([target])).await));
    client.subscribe(json!(["x"])).await;
    assert_eq!(client.difficulty().await, 64.0);
}

#[tokio::test]
async fn a_password_sets_the_difficulty_for_good() {
    let mut config = config();
    config.vardiff.enabled = true;
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    for password in ["d=2048", "x,diff=2048.5", "id=3 D=2048"] {
        let mut client = Client::connect(pool.address()).await;
        client.call("mining.authorize", json!(["alice", password])).await;
        client.subscribe(json!(["x"])).await;
        assert_eq!(client.difficulty().await, 2048.0, "{password}");
        client.notify().await;
        client.call("mining.suggest_difficulty", json!([1])).await;
        client.call("mining.ping", json!([])).await;
        assert!(client.pushed.is_empty(), "a wish changed what the password had fixed: {:?}", client.pushed);
    }
}

#[tokio::test]
async fn a_password_after_the_first_job_brings_difficulty_and_a_fresh_job() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let first = client.notify().await;
    assert!(is_true(&client.call("mining.authorize", json!(["alice", "d=512"])).await));
    assert_eq!(client.difficulty().await, 512.0);
    let fresh = client.notify().await;
    assert_ne!(fresh.job, first.job);
    assert_eq!(fresh.time, first.time + 1, "the same work was sent twice");
    assert!(!fresh.clean);
}

#[tokio::test]
async fn a_marketplace_gets_its_minimum_and_its_acknowledgement() {
    let mut config = config();
    config.agent_minimum.insert("NiceHash/".to_owned(), 500_000.0);
    config.extranonce.marketplaces = true;
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["NiceHash/1.0.0"])).await;
    assert!(client.en1.len() + client.en2_size >= 7);
    assert_eq!(client.difficulty().await, 500_000.0, "right after the subscription");
    assert!(is_true(&client.call("mining.extranonce.subscribe", json!([])).await));
}

#[tokio::test]
async fn firmware_that_does_not_take_a_coinbase_of_that_length_is_told_of_once() {
    let pool = start().await;
    // 60 bytes more than other firmware takes, with the extranonce of 8.
    let long = Template { head: vec![1; 600], tail: vec![2; 202], ..Template::default() };
    pool.publish(&long);
    let mut connected = Vec::new();
    for agent in ["NerdMinerV2/1.7", "NerdMinerV2/1.8", "cgminer/4.12", "whatsminer/v1.0"] {
        let mut client = Client::connect(pool.address()).await;
        client.subscribe(json!([agent])).await;
        assert!(is_true(&client.call("mining.authorize", json!(["alice", "x"])).await));
        client.notify().await;
        connected.push(client);
    }
    let told = pool.pool.too_long.lock().unwrap().clone();
    let kinds: Vec<_> = told.iter().map(|what| (what.firmware, what.limit, what.bytes)).collect();
    assert_eq!(kinds, [("NerdMiner", 255, 810), ("other", 750, 810)]);
    let text = told[0].to_string();
    assert!(text.contains("has 810 bytes and NerdMiner firmware takes 255"), "{text}");
    assert!(text.contains("\"NerdMinerV2/1.7\""), "{text}");
    let sent = pool.handle.counters().coinbase_too_long;
    assert!(sent >= 3, "{sent}");

    pool.publish(&Template { prev: [9; 32], ..long });
    let again = |pool: &common::Harness| pool.handle.counters().coinbase_too_long >= sent + 3;
    pool.until("the next job is with all three", again).await;
    assert_eq!(pool.pool.too_long.lock().unwrap().len(), 2, "nobody is told twice");
    drop(connected);
}

#[tokio::test]
async fn rare_methods_are_answered_and_unknown_ones_refused() {
    let pool = start().await;
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["bfgminer/5.5"])).await;
    for method in ["mining.get_transactions", "mining.multi_version", "mining.ping", "mining.capabilities"] {
        let reply = client.call(method, json!([])).await;
        assert!(reply["error"].is_null(), "{method}: {reply}");
    }
    assert_eq!(code(&client.call("mining.dance", json!([])).await), -3);
    // An answer to a request of ours, and an empty line, are not answered.
    client.send_raw(b"{\"id\":0,\"result\":\"cgminer/4\",\"error\":null}\n\r\n\n").await;
    assert!(client.call("mining.ping", json!([])).await["error"].is_null());
}

#[tokio::test]
async fn a_miner_without_news_gets_its_job_again_before_it_hangs_up() {
    let mut config = config();
    config.keepalive = Span::millis(200);
    let text = common::DIALECT.replace("keepalive 30", "");
    let dialect = millpond_dialect::Dialect::compile("test", &text).unwrap();
    let mut chain = common::chain();
    chain.dialects = millpond_dialect::DialectSet::from_documents(&[dialect]).unwrap();
    let pool = common::start_full(config, chain, None).await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let first = client.notify().await;
    let again = client.notify().await;
    assert_eq!((again.time, again.clean), (first.time + 1, false));
    let share = client.find(&again, 1, EASY, common::BLOCK);
    assert!(is_true(&client.submit("alice", &share).await));
}

/// The documents without what makes a job that is sent again other work.
async fn start_without_reissue(mut config: millpond_stratum::StratumConfig) -> common::Harness {
    config.keepalive = Span::millis(200);
    let dialect = common::DIALECT.replace("keepalive 30", "").replace("{first:hex}", "{job_time:hex}");
    let dialect = millpond_dialect::Dialect::compile("test", &dialect).unwrap();
    let mut chain = common::chain();
    chain.dialects = millpond_dialect::DialectSet::from_documents(&[dialect]).unwrap();
    let lines = common::SOURCES[0].lines().filter(|line| !line.starts_with("first "));
    let recipe = lines.collect::<Vec<_>>().join("\n").replace(" reissue:4=0", "");
    common::start_recipes(config, chain, None, &[&recipe]).await
}

#[tokio::test]
async fn where_a_job_sent_again_is_the_same_work_the_sign_of_life_is_the_difficulty() {
    let pool = start_without_reissue(config()).await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    client.notify().await;
    client.pushed.clear();
    for _ in 0..2 {
        assert_eq!(client.message().await["method"], "mining.set_difficulty");
    }
}

#[tokio::test]
async fn without_work_miners_stay_and_hear_a_sign_of_life_now_and_then() {
    let pool = start_without_reissue(config()).await;
    let mut client = Client::ready(pool.address(), "alice.rig1").await;
    pool.publish_for(&Template::default(), 3_000);
    client.notify().await;
    pool.until("the job's end", |pool| pool.jobs.expire(UnixMillis::now()).is_some()).await;
    client.pushed.clear();
    // More than were sent before the end.
    for _ in 0..30 {
        client.difficulty().await;
    }
    let mut late = Client::ready(pool.address(), "bob.rig1").await;
    pool.publish(&Template { coord: 101, ..Template::default() });
    client.notify().await;
    late.notify().await;
    assert_eq!(pool.handle.connections(), 2);
}

#[tokio::test]
async fn where_a_job_sent_again_is_the_same_work_it_keeps_its_name_and_the_lower_difficulty() {
    let pool = start_without_reissue(config()).await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let first = client.notify().await;
    let harder = EASY * 16.0;
    client.call("mining.authorize", json!(["alice", format!("d={harder:e}")])).await;
    let again = client.notify().await;
    assert_eq!((&again.job, again.time), (&first.job, first.time));
    let share = client.find(&again, 1, EASY, harder);
    assert!(is_true(&client.submit("alice", &share).await));
    assert_eq!(pool.pool.last().work, common::target(EASY).work(millpond_types::WorkShift(0)));
    // From the next job on the new difficulty alone counts.
    pool.publish(&Template { time: 1_700_000_030, ..Template::default() });
    let next = client.notify().await;
    assert_eq!(code(&client.submit("alice", &client.find(&next, 1, EASY, harder)).await), 23);
}

#[tokio::test]
async fn ports_start_with_their_own_difficulty_and_dialect() {
    let mut config = config();
    let port = || PortConfig::plain("127.0.0.1:0".parse().unwrap());
    config.ports = vec![
        PortConfig { start: Some(16.0), ..port() },
        PortConfig {
            start: Some(1024.0),
            min: Some(512.0),
            dialect: Some("bitcoin-v1".to_owned()),
            ..port()
        },
    ];
    let pool = start_with(config).await;
    for (address, difficulty) in pool.server.addresses().iter().zip([16.0, 1024.0]) {
        let mut client = Client::connect(*address).await;
        client.subscribe(json!(["x"])).await;
        assert_eq!(client.difficulty().await, difficulty);
    }
}

#[tokio::test]
async fn vardiff_raises_a_start_that_is_too_easy_with_a_fresh_job() {
    let mut config = config();
    config.vardiff.enabled = true;
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    let mut raised = None;
    for en2 in 0..500 {
        let share = client.find(&job, en2, EASY, common::BLOCK);
        assert!(is_true(&client.submit("alice", &share).await));
        raised = client.pushed.iter().find(|push| push["method"] == "mining.set_difficulty").cloned();
        if raised.is_some() {
            break;
        }
    }
    assert!(raised.unwrap()["params"][0].as_f64().unwrap() > EASY);
    let fresh = client.notify().await;
    assert_ne!(fresh.job, job.job);
    assert_eq!(pool.handle.counters().retargets, 1);
    // The worker's next session starts where this one was.
    let reached = pool.handle.sessions()[0].difficulty;
    drop(client);
    pool.until("the session ends", |pool| pool.handle.connections() == 0).await;
    let mut client = Client::ready(pool.address(), "alice").await;
    client.notify().await;
    assert_eq!(pool.handle.sessions()[0].difficulty, reached);
}

#[tokio::test]
async fn a_wrong_configuration_starts_nothing_and_says_all_that_is_wrong() {
    use millpond_stratum::StartError;
    let mut bad = config();
    bad.limits.line = 10;
    bad.vardiff.min = -1.0;
    let Err(StartError::Config(problems)) = common::try_start(bad).await else { panic!("it started") };
    assert!(problems.len() >= 2, "{problems:?}");
    let mut bad = config();
    bad.ports[0].dialect = Some("klingon".to_owned());
    let error = common::try_start(bad).await.err().unwrap().to_string();
    assert!(error.contains("klingon") && error.contains("bitcoin-v1"), "{error}");
    let first = common::try_start(config()).await.unwrap();
    let mut taken = config();
    taken.ports[0].listen = first.addresses()[0];
    assert!(matches!(common::try_start(taken).await, Err(StartError::Bind(..))));
}
