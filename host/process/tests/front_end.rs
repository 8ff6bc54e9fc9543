//! What miners and proxies meet, set by the configuration file alone: TLS, the PROXY protocol, user agents' minimum,
//! and pools that know nothing of each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_admin::{Command, Role};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use support::{Client, GRANT, certificate, chain, order, pool, start, tls, until, version};

/// Every hash is a share.
const EASIEST: &str = "difficulty = 1e-12\nfixed = true\n";

fn file(data: &Path, rest: &str) -> String {
    format!("[host]\ndata = \"{}\"\n{rest}", data.join("data").display())
}

/// A port of any number.
fn port(more: &str) -> String {
    format!("[[pool.port]]\nlisten = \"127.0.0.1:0\"\n{more}")
}

/// Bitcoin's dialect under another name, for user agents that begin with `rig`; it says `own` to a ping.
fn own_dialect(name: &str) -> String {
    let text = include_str!("../../../examples/families/bitcoin/v1.dialect");
    let named =
        text.replace("dialect 1 \"bitcoin-v1\"", &format!("dialect 1 \"{name}\"\nmatch agent \"rig*\""));
    assert_ne!(named, text);
    named.replace("\"pong\"", "\"own\"")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dialect_of_the_operators_own_is_a_file_and_a_line_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rig.dialect"), own_dialect("rig")).unwrap();
    let chain = chain().await;
    let section = pool("own", &chain)
        .replace("[pool.chain]\n", &format!("[pool.chain]\n{GRANT}\n"))
        .replace("[pool.stratum]\n", "[pool.stratum]\ndialects = [\"rig.dialect\"]\n");
    let fixed = port(&format!("{EASIEST}dialect = \"rig\"\n"));
    let text = file(folder.path(), &format!("{section}{}{fixed}", port(EASIEST)));
    let path = folder.path().join("pool.toml");
    let running = start(&path, &text).await;
    let [open, fixed] = running.pools()[0].addresses() else { panic!() };
    let login = chain.new_address();
    // Another version of the adapter brings its own dialects again, and the operator's stay.
    for swapped in [false, true] {
        if swapped {
            version(&folder.path().join("adapter.wasm"), "bitcoin", b"2");
            let (pool, plugin) = ("own".to_owned(), "adapter.wasm".to_owned());
            let swap = Command::PluginSwap { pool, role: Role::Adapter, plugin, reason: String::new() };
            order(&folder.path().join("data"), swap).await.unwrap();
        }
        for (port, agent, says) in
            [(open, "rig/1", "own"), (open, "cgminer/4", "pong"), (fixed, "cgminer/4", "own")]
        {
            let mut miner = Client::connect(*port).await;
            miner.ready(agent, &login).await;
            assert_eq!(miner.call("mining.ping", json!([])).await["result"], says, "{agent}");
            miner.share(&login, 1).await;
        }
    }
    running.stop().await;

    // What is wrong with a file is said with its line, before anything starts.
    let check = |dialect: &str| {
        std::fs::write(folder.path().join("rig.dialect"), dialect).unwrap();
        let config = millpond_config::load(&path).unwrap();
        let sandbox = millpond_runtime::Sandbox::new(None, millpond_runtime::Compiler::InProcess).unwrap();
        let sink: Arc<dyn millpond_runtime::LogSink> = Arc::new(millpond_runtime::TracingSink);
        let found = millpond_pool::check::section(&config.pool[0], folder.path(), &sandbox, &sink);
        found.into_iter().map(|problem| problem.text).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(check(&own_dialect("rig")), "");
    let told = check(&own_dialect("rig").replace("{first:hex}", "{frist:hex}"));
    assert!(told.contains("stratum.dialects: rig.dialect:") && told.contains("`frist`"), "{told}");
    let told = check("dialect 1 \"rig\"\non mining.ping\n  repyl true\n");
    assert!(told.contains("stratum.dialects: rig.dialect:3:") && told.contains("repyl"), "{told}");
    std::fs::remove_file(folder.path().join("rig.dialect")).unwrap();
    let config = millpond_config::load(&path).unwrap();
    let why = millpond_process::Running::start(config, &path, millpond_runtime::Compiler::InProcess).await;
    let why = why.err().unwrap().to_string();
    assert!(why.contains("rig.dialect cannot be read"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_miner_over_tls_shakes_hands_logs_in_and_is_credited() {
    let folder = tempfile::tempdir().unwrap();
    let believes = certificate(folder.path());
    let tls = format!("{EASIEST}{}", tls(folder.path()));
    let chain = chain().await;
    let text = file(folder.path(), &format!("{}{}{}", pool("tls", &chain), port(&tls), port(EASIEST)));
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    let [secure, plain] = pool.addresses() else { panic!("{:?}", pool.addresses()) };

    let login = chain.new_address();
    let mut miner = Client::connect_tls(*secure, &believes).await.unwrap();
    miner.ready("test/1", &login).await;
    miner.share(&login, 7).await;
    until("the share in the journal", || pool.journal().view().newest().0 == 1).await;

    // Nobody gets in without a handshake here, nor with one at the plain port.
    let mut lines = Client::connect(*secure).await;
    lines.raw(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n").await;
    lines.closed().await;
    assert!(Client::connect_tls(*plain, &believes).await.is_err());
    let mut other = Client::connect(*plain).await;
    other.ready("test/1", &login).await;
    other.share(&login, 8).await;
    drop((miner, other));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_proxy_named_by_the_file_says_whose_connection_it_is_and_nobody_else_does() {
    const V1: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 3333\r\n";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x7f\0\0\x01\xdc\x04\x0d\x05";
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let proxied = format!("{EASIEST}proxy_from = [\"127.0.0.0/8\"]\n");
    let text =
        file(folder.path(), &format!("{}{}{}", pool("proxied", &chain), port(&proxied), port(EASIEST)));
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    let [behind, open] = pool.addresses() else { panic!("{:?}", pool.addresses()) };
    let login = chain.new_address();

    for (header, shown) in [(V1, "192.0.2.7"), (V2, "203.0.113.9")] {
        let mut miner = Client::connect(*behind).await;
        miner.raw(header).await;
        miner.ready("test/1", &login).await;
        miner.share(&login, u32::from(header[0])).await;
        let sources: Vec<_> =
            pool.server().sessions().iter().map(|session| session.source.to_string()).collect();
        assert_eq!(sources, [shown]);
        drop(miner);
        until("the miner is gone", || pool.server().connections() == 0).await;
    }

    // Who talks nonsense is banned by his own address; others come through the same proxy.
    let mut bad = Client::connect(*behind).await;
    bad.raw(V1).await;
    for _ in 0..8 {
        bad.raw(b"nonsense\n").await;
    }
    bad.closed().await;
    until("the ban", || pool.server().bans().len() == 1).await;
    assert_eq!(pool.server().bans()[0].source.to_string(), "192.0.2.7");
    let mut again = Client::connect(*behind).await;
    again.raw(V1).await;
    again.closed().await;
    let mut other = Client::connect(*behind).await;
    other.raw(V2).await;
    other.ready("test/1", &login).await;

    // On the port that names no proxy the same headers are a lie.
    for header in [V1, V2] {
        let refused = pool.server().counters().refused_proxy;
        let mut liar = Client::connect(*open).await;
        liar.raw(header).await;
        liar.closed().await;
        assert_eq!(pool.server().counters().refused_proxy, refused + 1);
    }
    assert_eq!(pool.server().connections(), 1, "the liar became somebody");
    drop(other);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_pools_in_one_process_have_ports_ledgers_and_folders_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (chain().await, chain().await);
    let text = file(
        folder.path(),
        &format!("{}{}{}{}", pool("one", &one), port(EASIEST), pool("two", &two), port(EASIEST)),
    );
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let [first, second] = running.pools() else { panic!("{:?}", running.pools()) };
    assert_ne!(first.addresses(), second.addresses());
    let (mut a, mut b) =
        (Client::connect(first.addresses()[0]).await, Client::connect(second.addresses()[0]).await);
    let login = one.new_address();
    a.ready("test/1", &login).await;
    b.ready("test/1", &login).await;
    for nonce in 0..5 {
        a.share(&login, nonce).await;
    }
    b.share(&login, 77).await;
    // The same hash is a duplicate in its own pool alone.
    assert_eq!(b.again().await["error"][0], json!(22));
    until("both journals", || {
        (first.journal().view().newest().0, second.journal().view().newest().0) == (5, 1)
    })
    .await;
    first.set_minimum(&login, Some(millpond_types::Amount(200_000)), "test").unwrap();
    assert_eq!(first.miner(&login).unwrap().minimum_payout.0, 200_000);
    assert_eq!(second.miner(&login).unwrap().minimum_payout.0, 100_000);
    for pool in ["one", "two"] {
        for part in ["journal", "ledger", "plugins"] {
            assert!(folder.path().join("data").join(pool).join(part).is_dir(), "{pool}/{part}");
        }
    }
    drop((a, b));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hash_marketplace_gets_no_less_than_the_operator_says() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let text = file(folder.path(), &format!("{}{}", pool("market", &chain), port("difficulty = 16\n")));
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let address = running.pools()[0].addresses()[0];
    let login = chain.new_address();
    for (agent, difficulty) in [("NiceHash/1.0.0", 4096.0), ("cgminer/4.12", 16.0)] {
        let mut miner = Client::connect(address).await;
        miner.ready(agent, &login).await;
        assert_eq!(miner.difficulty, difficulty, "{agent}");
    }
    running.stop().await;
}
