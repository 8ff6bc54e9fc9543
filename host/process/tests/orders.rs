//! What an operator says to a running process beside payments and swaps: words to miners, bans, a plugin's release,
//! alarms that were seen to. Each reaches whom it is for, and stands in the ledger's hash chain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../../pool/tests/support/broken.rs"]
mod broken;
mod support;

use millpond_admin::{Command, Role, Scope, Tokens};
use millpond_alerts::Alarm;
use millpond_disk::RealDisk;
use millpond_ledger::ExportFormat;
use millpond_miner::{Miner, Options as MinerOptions};
use millpond_pool::Pool;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use support::{Client, chain, http, order, pool, start, until};

fn file(data: &Path, pools: &str) -> String {
    format!("[host]\ndata = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{pools}", data.display())
}

const PORT: &str = "[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = 1e-12\nfixed = true\n";

/// The operators' actions in a pool's ledger as its export shows them, each with who, what and the details.
fn noted(pool: &Pool) -> Vec<(String, String, String)> {
    let mut out = Vec::new();
    pool.ledger().reader().export(&ExportFormat::JsonLines, &mut out).unwrap();
    let lines = out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let notes = lines.filter_map(|line| {
        let record: Value = serde_json::from_slice(line).unwrap();
        let note = record["entry"].get("noted")?.clone();
        let text = |key: &str| note[key].as_str().unwrap().to_owned();
        Some((text("by"), text("action"), text("detail")))
    });
    notes.collect()
}

fn has(pool: &Pool, by: &str, action: &str, detail: &str) -> bool {
    noted(pool).contains(&(by.to_owned(), action.to_owned(), detail.to_owned()))
}

async fn post(address: SocketAddr, token: &str, body: Value) -> (u16, Value) {
    let head = format!(
        "POST /api/v1/admin HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
    );
    let (status, body) = http(address, &head, &body.to_string()).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operators_words_reach_the_miners_and_stand_in_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, data) = (chain().await, folder.path().join("data"));
    let text = file(&data, &format!("{}{PORT}", pool("dev", &chain)));
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    let login = chain.new_address();
    let mut miner = Client::connect(pool.addresses()[0]).await;
    miner.ready("test/1", &login).await;
    miner.share(&login, 1).await;

    let dev = || "dev".to_owned();
    let sessions = order(&data, Command::MinersList { pool: dev() }).await.unwrap();
    assert_eq!((&sessions[0]["address"], &sessions[0]["agent"]), (&json!(login), &json!("test/1")));
    assert_eq!(sessions[0]["accepted"], json!(1), "{sessions}");

    let text = "we move at 18:00 UTC".to_owned();
    let said = order(&data, Command::MinersMessage { pool: dev(), text: text.clone() }).await.unwrap();
    assert_eq!(said["connections"], json!(1));
    assert_eq!(miner.told("client.show_message").await, json!([text]));
    assert!(has(&pool, "local:test", "miners_message", &text), "{:?}", noted(&pool));
    for wrong in [String::new(), "two\nlines".to_owned(), "x".repeat(201)] {
        let why = order(&data, Command::MinersMessage { pool: dev(), text: wrong }).await.unwrap_err();
        assert!(why.contains("1 to 200 characters"), "{why}");
    }

    // Where miners work is money: a token that may only operate does not send them away.
    let mut tokens = Tokens::open(Arc::new(RealDisk), &data.join("tokens.json")).unwrap();
    let operate = tokens.make("op", Scope::Operate).unwrap();
    let money = tokens.make("till", Scope::Money).unwrap();
    let page = running.http().unwrap();
    let away =
        json!({"command": "miners_reconnect", "pool": "dev", "host": "pool.test", "port": 3334, "wait": 5});
    assert_eq!(post(page, &operate, json!({"ask": away})).await.0, 403);
    let (status, answer) = post(page, &money, json!({"ask": away})).await;
    assert_eq!(status, 202, "{answer}");
    let code = &answer["confirm"]["code"];
    let (status, answer) = post(page, &money, json!({"ask": away, "code": code})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(miner.told("client.reconnect").await, json!(["pool.test", 3334, 5]));
    assert!(has(&pool, "token:till", "miners_reconnect", "pool.test 3334 5"), "{:?}", noted(&pool));
    let nowhere = Command::MinersReconnect { pool: dev(), host: "a b".to_owned(), port: 1, wait: 0 };
    assert!(order(&data, nowhere).await.unwrap_err().contains("no name or address"));
    // What a command beside the process has to say to it, no token says.
    let forged = json!({"command": "note", "action": "token_make", "args": ["eve"]});
    assert_eq!(post(page, &money, json!({"ask": forged})).await.0, 403);
    assert!(noted(&pool).iter().all(|(_, action, _)| action != "token_make"));
    drop(miner);
    running.stop().await;
}

/// What a counter stands at, as Prometheus would read it.
async fn metric(page: SocketAddr, name: &str) -> u64 {
    let (status, body) = http(page, "GET /metrics HTTP/1.1\r\n", "").await;
    assert_eq!(status, 200);
    let line =
        body.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {body}"));
    line.trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_ban_hangs_up_keeps_out_and_is_lifted_and_the_ports_counters_tell_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, data) = (chain().await, folder.path().join("data"));
    let text = file(&data, &format!("{}{PORT}", pool("dev", &chain)))
        .replace("[http]", "context_memory = 3\n[http]");
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    let (address, page, login) = (pool.addresses()[0], running.http().unwrap(), chain.new_address());
    let mut miner = Client::connect(address).await;
    miner.ready("test/1", &login).await;
    miner.share(&login, 1).await;
    assert_eq!(miner.again().await["error"][0], json!(22), "a duplicate");

    let (dev, local) = (|| "dev".to_owned(), "127.0.0.1".parse().unwrap());
    assert_eq!(order(&data, Command::BansList { pool: dev() }).await.unwrap(), json!([]));
    let made = order(&data, Command::BansAdd { pool: dev(), address: local }).await.unwrap();
    assert_eq!((&made["source"], &made["reason"]), (&json!("127.0.0.1"), &json!("operator")), "{made}");
    miner.closed().await;
    Client::connect(address).await.closed().await;
    let list = order(&data, Command::BansList { pool: dev() }).await.unwrap();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["source"]), (1, &json!("127.0.0.1")), "{list}");
    assert!(list[0]["remaining"].as_u64().is_some(), "{list}");

    let lift = Command::BansLift { pool: dev(), address: local };
    assert_eq!(order(&data, lift.clone()).await.unwrap(), json!({"lifted": "127.0.0.1"}));
    assert!(order(&data, lift).await.unwrap_err().contains("is not banned"));
    let mut again = Client::connect(address).await;
    again.ready("test/1", &login).await;
    // An IPv6 address is banned with its network.
    let v6 = Command::BansAdd { pool: dev(), address: "2001:db8::7".parse().unwrap() };
    assert_eq!(order(&data, v6).await.unwrap()["source"], json!("2001:db8::/56"));
    for (action, detail) in
        [("bans_add", "127.0.0.1"), ("bans_lift", "127.0.0.1"), ("bans_add", "2001:db8::/56")]
    {
        assert!(has(&pool, "local:test", action, detail), "{:?}", noted(&pool));
    }
    let nobody = order(&data, Command::BansList { pool: "btc".to_owned() }).await.unwrap_err();
    assert!(nobody.contains("there is no pool \"btc\"; there are: dev"), "{nobody}");

    assert_eq!(metric(page, "millpond_context_limit_bytes{of=\"native\"}").await, 3 << 20);
    assert_eq!(metric(page, "millpond_pow_batches_total{pool=\"dev\"}").await, 0);
    let shares = "millpond_stratum_shares_total{pool=\"dev\",result=";
    assert_eq!(metric(page, &format!("{shares}\"accepted\"}}")).await, 1);
    assert_eq!(metric(page, &format!("{shares}\"duplicate\"}}")).await, 1);
    let counter = |name: &str| format!("millpond_stratum_{name}_total{{pool=\"dev\"}}");
    for (name, exactly) in [("logins", 2), ("bans", 2), ("refused_banned", 1), ("connections", 2)] {
        assert_eq!(metric(page, &counter(name)).await, exactly, "{name}");
    }
    assert!(metric(page, &counter("bytes_read")).await > 100);
    let written = metric(page, &counter("bytes_written")).await;
    assert!(written > 100);
    let shown: Value =
        serde_json::from_str(&http(page, "GET /api/v1/pools/dev HTTP/1.1\r\n", "").await.1).unwrap();
    assert_eq!(shown["stratum"]["duplicate"], json!(1), "{shown}");
    assert!(shown["stratum"]["bytes_written"].as_u64().unwrap() >= written);
    drop(again);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_released_plugin_is_asked_again_and_alarms_that_were_seen_to_are_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, data) = (chain().await, folder.path().join("data"));
    std::fs::write(folder.path().join("trapping.wasm"), broken::trapping_scheme()).unwrap();
    let scheme = "[pool.payout]\nscheme = \"trapping.wasm\"\n";
    // A share in some thousand hashes: what finds a block in a moment does not fill the lines that it may send.
    let port = PORT.replace("1e-12", "1e-6");
    let text = file(&data, &format!("{}{port}{scheme}", pool("dev", &chain)));
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    let release = |role| Command::PluginRelease { pool: "dev".to_owned(), role };
    let why = order(&data, release(Role::Scheme)).await.unwrap_err();
    assert!(why.contains("is not in quarantine"), "{why}");
    assert!(order(&data, release(Role::Fee)).await.unwrap_err().contains("has no fee plugin"));

    // One block, or few: each further one is another input to fail on, and pauses double from failure to failure.
    let options = MinerOptions {
        hashes_per_second: Some(60_000.0),
        ..MinerOptions::new(pool.addresses()[0].to_string(), chain.new_address())
    };
    let miner = Miner::start(options);
    until("a block", || !pool.blocks(1).is_empty()).await;
    miner.stop().await.unwrap();
    let quarantine = |alarm: &Alarm| alarm.about == "plugin" && alarm.text.contains("is in quarantine");
    let times = |pool: &Pool| pool.alarms().into_iter().find(quarantine).map(|alarm| alarm.times);
    until("quarantine", || times(&pool).is_some()).await;
    let before = times(&pool).unwrap();
    assert!(pool.not_ready().iter().any(|why| why.contains("in quarantine")));

    // It is asked again, and traps again: the operator is told a second time.
    let done = order(&data, release(Role::Scheme)).await.unwrap();
    assert!(done["done"].as_str().unwrap().ends_with("is asked again"), "{done}");
    until("another quarantine", || times(&pool).is_some_and(|times| times > before)).await;
    let released = |(by, action, detail): &(String, String, String)| {
        by == "local:test" && action == "plugin_release" && detail.starts_with("scheme trapping.wasm ")
    };
    assert!(noted(&pool).iter().any(released), "{:?}", noted(&pool));

    let all = order(&data, Command::AlarmsList {}).await.unwrap();
    assert!(all.as_array().unwrap().iter().any(|alarm| alarm["about"] == "plugin"), "{all}");
    let clear = Command::AlarmsClear { pool: "dev".to_owned(), about: "plugin".to_owned() };
    order(&data, clear).await.unwrap();
    assert!(has(&pool, "local:test", "alarms_clear", "plugin"), "{:?}", noted(&pool));
    assert_eq!(times(&pool), None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_order_to_give_way_is_refused_before_anything_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, data) = (chain().await, folder.path().join("data"));
    let text = file(&data, &format!("{}{PORT}", pool("dev", &chain)));
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    let upgrade = || Command::Upgrade { program: "/bin/true".into(), patience: 1, force: false };
    // Nobody takes the first one here: it waits.
    let first = tokio::spawn({
        let data = data.clone();
        async move { order(&data, upgrade()).await }
    });
    let recorded = || noted(&pool).iter().filter(|(_, action, _)| action == "upgrade").count();
    until("the first is recorded", || recorded() == 1).await;
    assert_eq!(order(&data, upgrade()).await.unwrap_err(), "an upgrade is under way already");
    assert_eq!(recorded(), 1);
    assert!(first.await.unwrap().unwrap_err().contains("does not give way"));
    assert!(has(&pool, "local:test", "not_done", "upgrade"), "{:?}", noted(&pool));
    running.stop().await;
}
