//! What the server bears from miners that are broken, slow or hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, code, is_true};
use common::tls::{certificate, over_tls};
use common::{BLOCK, EASY, Harness, Template, config, start, start_with};
use millpond_stratum::{BanReason, PortConfig, Source, Span, StratumConfig, TlsConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

async fn still_serves(pool: &Harness) {
    let mut client = Client::ready(pool.address(), "alice").await;
    assert_eq!(client.call("mining.ping", json!([])).await["result"], "pong");
}

fn without_bans() -> StratumConfig {
    let mut config = config();
    config.bans.enabled = false;
    config
}

#[tokio::test]
async fn a_giant_line_ends_the_connection() {
    let pool = start().await;
    let mut client = Client::connect(pool.address()).await;
    for _ in 0..40 {
        client.send_raw(&[b'x'; 1024]).await;
    }
    client.closed().await;
    pool.until("it is counted", |pool| pool.handle.counters().long_lines == 1).await;
    still_serves(&pool).await;
}

#[tokio::test]
async fn garbage_is_answered_and_soon_banned_for_as_long_as_configured() {
    let mut config = config();
    config.bans.duration = Span::secs(10);
    let pool = start_with(config).await;
    let mut client = Client::connect(pool.address()).await;
    client.send_raw(b"{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n").await;
    assert_eq!(client.message().await["id"], 1);
    for line in [
        &b"\xff\xfe\xfd"[..],
        b"hello",
        b"[1,2,3]",
        b"{\"method\":5}",
        b"{",
        b"\"\\ud800\"",
        b"GET / HTTP/1.1",
        b"{}",
    ] {
        client.send_raw(&[line, b"\n"].concat()).await;
    }
    let first = client.message().await;
    assert_eq!((code(&first), &first["id"]), (20, &serde_json::Value::Null));
    client.closed().await;
    pool.until("the ban", |pool| pool.handle.bans().len() == 1).await;
    let ban = &pool.handle.bans()[0];
    assert_eq!((ban.source.to_string().as_str(), ban.reason), ("127.0.0.1", BanReason::Garbage));
    Client::connect(pool.address()).await.closed().await;
    assert_eq!(pool.handle.counters().refused_banned, 1);
    pool.until("the ban is over", |pool| pool.handle.bans().is_empty()).await;
    still_serves(&pool).await;
}

#[tokio::test]
async fn logins_that_the_pool_cannot_look_up_and_requests_with_a_null_id_are_no_misconduct() {
    let mut config = config();
    (config.bans.window, config.bans.garbage_lines) = (1000, 3);
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    pool.pool.blind.store(true, Ordering::SeqCst);
    let mut client = Client::connect(pool.address()).await;
    client.subscribe(json!(["x"])).await;
    for _ in 0..20 {
        let reply = client.call("mining.authorize", json!(["alice", "x"])).await;
        assert_eq!(code(&reply), 20, "not 24: nothing is wrong with the login");
        assert_eq!(reply["error"][1], "the pool is not ready yet");
    }
    pool.pool.blind.store(false, Ordering::SeqCst);
    assert!(is_true(&client.call("mining.authorize", json!(["alice", "x"])).await));
    // A submit that makes no sense is an invalid share, whatever its id.
    for params in [json!([]), json!(["alice"]), json!(["alice", "256", "00", "zz", "00000000"])] {
        for _ in 0..5 {
            client.send(&json!({"id": null, "method": "mining.submit", "params": params})).await;
            assert_eq!(code(&client.answer(&serde_json::Value::Null).await), 20);
        }
    }
    let job = client.notify().await;
    assert!(is_true(&client.submit("alice", &client.find(&job, 1, EASY, BLOCK)).await));
    assert!(pool.handle.bans().is_empty());
    assert_eq!((pool.handle.counters().garbage, pool.handle.counters().malformed), (0, 15));
    // A login that names nobody is the miner's own.
    for _ in 0..3 {
        client.send(&json!({"id": 9, "method": "mining.authorize", "params": ["bad", "x"]})).await;
    }
    client.closed().await;
    assert_eq!(pool.handle.bans()[0].reason, BanReason::Garbage);
}

#[tokio::test]
async fn shares_of_a_session_that_could_not_be_taken_up_again_are_forgiven() {
    let mut config = config();
    config.bans.window = 10;
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let mut before = Client::ready(pool.address(), "alice").await;
    let job = before.notify().await;
    let share = before.find(&job, 1, EASY, BLOCK);
    // Not sent to the sessions below: jobs of a session that is gone.
    let old = json!(["alice", "999999", hex::encode(&share.en2), "6553f100", "00000000"]);
    for (resume, banned) in [(json!("0123456789abcdef"), false), (json!(null), true)] {
        let mut client = Client::connect(pool.address()).await;
        client.subscribe(json!(["x", resume])).await;
        assert!(is_true(&client.call("mining.authorize", json!(["alice", "x"])).await));
        for id in 1000..1010 {
            client.send(&json!({"id": id, "method": "mining.submit", "params": old})).await;
        }
        if banned {
            client.closed().await;
            assert_eq!(pool.handle.bans()[0].reason, BanReason::InvalidShares);
        } else {
            for id in 1000..1010 {
                assert_eq!(code(&client.answer(&json!(id)).await), 21);
            }
            assert_eq!(client.call("mining.ping", json!([])).await["result"], "pong");
        }
    }
}

#[tokio::test]
async fn the_operator_bans_and_lifts() {
    let pool = start().await;
    let source = Source::of("127.0.0.1".parse().unwrap(), 56);
    assert!(pool.handle.ban(source).is_some());
    Client::connect(pool.address()).await.closed().await;
    assert!(pool.handle.lift_ban(source) && !pool.handle.lift_ban(source));
    still_serves(&pool).await;
}

#[tokio::test]
async fn mostly_invalid_shares_are_a_ban_and_stale_ones_are_not() {
    let mut config = config();
    config.bans.window = 10;
    let pool = start_with(config).await;
    let first = Template::default();
    pool.publish(&first);
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    pool.publish(&Template { prev: [8; 32], ..first });
    for en2 in 0..20 {
        let stale = client.find(&job, en2, EASY, BLOCK);
        assert_eq!(code(&client.submit("alice", &stale).await), 21);
    }
    let job = client.notify().await;
    let weak = client.find_where(&job, 1, |hash| !common::target(EASY).is_met_by(hash));
    for _ in 0..10 {
        client
            .send(
                &json!({"id": 1, "method": "mining.submit", "params": common::miner::params("alice", &weak)}),
            )
            .await;
    }
    client.closed().await;
    pool.until("the ban", |pool| pool.handle.bans().len() == 1).await;
    assert_eq!(pool.handle.bans()[0].reason, BanReason::InvalidShares);
}

#[tokio::test]
async fn only_invalid_shares_for_long_get_a_fresh_job_and_then_the_door() {
    let mut config = without_bans();
    config.bans.window = 10_000;
    config.bans.only_invalid_job = Span::millis(30);
    config.bans.only_invalid_reconnect = Span::millis(10_000);
    config.bans.only_invalid_drop = Span::millis(2000);
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    let weak = client.find_where(&job, 1, |hash| !common::target(EASY).is_met_by(hash));
    let submit = json!({"id": 1, "method": "mining.submit", "params": common::miner::params("alice", &weak)});
    let mut fresh = false;
    loop {
        client.send(&submit).await;
        let Some(line) = client.line().await else { break };
        fresh |= line.contains("mining.notify");
        tokio::time::sleep(std::time::Duration::from_millis(11)).await;
    }
    assert!(fresh);
}

#[tokio::test]
async fn too_many_lines_of_nothing_are_a_flood() {
    let mut config = config();
    (config.limits.lines_per_second, config.limits.burst) = (100.0, 10.0);
    config.limits.flood = Span::millis(200);
    let pool = start_with(config).await;
    let mut client = Client::connect(pool.address()).await;
    for id in 0..200 {
        client.send(&json!({"id": id, "method": "mining.ping", "params": []})).await;
    }
    client.closed().await;
    pool.until("it is banned", |pool| !pool.handle.bans().is_empty()).await;
    assert_eq!(pool.handle.bans()[0].reason, BanReason::Flood);
    assert_eq!((pool.handle.counters().floods, pool.handle.counters().slowed), (1, 1));
}

#[tokio::test]
async fn a_strong_miner_on_a_low_difficulty_is_slowed_down_and_loses_nothing() {
    let mut config = config();
    (config.limits.lines_per_second, config.limits.burst) = (50.0, 10.0);
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    // All at once, however long it takes to find them.
    let mut lines = String::new();
    for en2 in 0..60 {
        let share = client.find(&job, en2, EASY, BLOCK);
        let params = common::miner::params("alice", &share);
        let submit = json!({"id": 1000 + en2, "method": "mining.submit", "params": params});
        lines.push_str(&format!("{submit}\n"));
    }
    client.send_raw(lines.as_bytes()).await;
    for en2 in 0..60 {
        assert!(is_true(&client.answer(&json!(1000 + en2)).await));
    }
    assert!(pool.handle.counters().slowed >= 1 && pool.handle.bans().is_empty());
}

#[tokio::test]
async fn a_miner_that_does_not_read_is_dropped_and_the_others_are_served() {
    let mut config = config();
    config.limits.write = Span::secs(10);
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let _deaf = Client::ready(pool.address(), "deaf").await;
    let mut good = Client::ready(pool.address(), "alice").await;
    good.notify().await;
    // More than the sockets of both ends hold.
    for round in 0..100_u32 {
        pool.publish(&Template {
            tail: vec![7; 100_000],
            time: 1_700_000_000 + round,
            ..Template::default()
        });
        good.notify().await;
    }
    pool.until("it is gone", |pool| pool.handle.connections() == 1).await;
    assert_eq!(pool.handle.counters().slow_readers, 1);
    assert!(good.call("mining.ping", json!([])).await["error"].is_null());
}

#[tokio::test]
async fn who_sends_much_before_he_reads_gets_every_answer() {
    const LINES: usize = 10_000;
    let mut config = without_bans();
    (config.limits.lines_per_second, config.limits.burst) = (1e9, 1e9);
    config.limits.bytes_per_second = 1e9;
    // No timer helps.
    (config.limits.write, config.keepalive) = (Span::secs(3600), Span::secs(3600));
    config.limits.handshake = Span::secs(3600);
    let pool = start_with(config).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let (mut reader, mut writer) = socket.connect(pool.address()).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        for id in 0..LINES {
            let line = format!("{{\"id\":{id},\"method\":\"mining.ping\",\"params\":[]}}\n");
            writer.write_all(line.as_bytes()).await.unwrap();
        }
        writer
    });
    // The pool is read no further, and writes no further.
    let (mut written, mut same) = (0, 0);
    while same < 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = pool.handle.counters().bytes_written;
        same = if now == written && now > 0 { same + 1 } else { 0 };
        written = now;
    }
    let mut answers = Vec::new();
    let all = async {
        let mut chunk = vec![0; 16 * 1024];
        while answers.iter().filter(|byte| **byte == b'\n').count() < LINES {
            let read = reader.read(&mut chunk).await.unwrap();
            assert_ne!(read, 0, "the server hung up");
            answers.extend_from_slice(&chunk[..read]);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("lines were left unheard");
    let ids: Vec<u64> = String::from_utf8(answers)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    assert!(ids.iter().copied().eq(0..LINES as u64), "each once, in order");
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn who_says_nothing_or_does_not_log_in_is_dropped() {
    let mut config = config();
    config.limits.handshake = Span::secs(10);
    let pool = start_with(config).await;
    let mut silent = Client::connect(pool.address()).await;
    let mut halfway = Client::connect(pool.address()).await;
    halfway.subscribe(json!(["x"])).await;
    let mut refused = Client::connect(pool.address()).await;
    assert_eq!(code(&refused.call("mining.authorize", json!(["bad", "x"])).await), 24);
    let mut good = Client::ready(pool.address(), "alice").await;
    for client in [&mut silent, &mut halfway, &mut refused] {
        client.closed().await;
    }
    assert_eq!(pool.handle.counters().handshake_timeouts, 3);
    assert!(good.call("mining.ping", json!([])).await["error"].is_null());
}

#[tokio::test]
async fn an_idle_miner_is_dropped() {
    let mut config = config();
    config.limits.idle = Span::secs(5);
    let pool = start_with(config).await;
    let mut client = Client::ready(pool.address(), "alice").await;
    client.closed().await;
    assert_eq!(pool.handle.counters().idle, 1);
}

#[tokio::test]
async fn one_address_gets_so_many_connections_and_handshakes() {
    let mut config = config();
    config.limits.connections_per_source = 3;
    config.limits.handshakes_per_source = 2;
    let pool = start_with(config).await;
    let first = Client::ready(pool.address(), "a").await;
    let _second = Client::ready(pool.address(), "b").await;
    let _third = Client::ready(pool.address(), "c").await;
    Client::connect(pool.address()).await.closed().await;
    drop(first);
    pool.until("a place is free", |pool| pool.handle.connections() == 2).await;
    let mut fourth = Client::connect(pool.address()).await;
    fourth.subscribe(json!([])).await;
    assert_eq!(pool.handle.counters().refused_full, 1);
}

#[tokio::test]
async fn random_bytes_never_hang_or_end_the_server() {
    let mut config = without_bans();
    config.limits.handshake = Span::millis(500);
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let words: [&[u8]; 16] = [
        b"{\"id\":",
        b"1,",
        b"\"method\":",
        b"\"mining.submit\"",
        b"\"mining.subscribe\"",
        b"\"mining.authorize\"",
        b",\"params\":",
        b"[\"alice\",",
        b"\"256\",",
        b"\"0000000000000000\",",
        b"\"6553f100\",\"00000000\"]",
        b"}\n",
        b"\n",
        b"null",
        b"[[[[",
        b"\"mining.configure\",\"params\":[[\"version-rolling\"],{\"version-rolling.mask\":",
    ];
    for seed in 0..150 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut noise = Vec::new();
        for _ in 0..rng.random_range(1..60) {
            if rng.random_bool(0.7) {
                noise.extend_from_slice(words[rng.random_range(0..words.len())]);
            } else {
                noise.extend((0..rng.random_range(0..40)).map(|_| rng.random::<u8>()));
            }
        }
        let mut stream = TcpStream::connect(pool.address()).await.unwrap();
        let _ = stream.write_all(&noise).await;
        let _ = stream.shutdown().await;
        let mut answers = Vec::new();
        let read = stream.read_to_end(&mut answers);
        let _ = tokio::time::timeout(common::PATIENCE, read).await.expect("a connection hung");
        for line in String::from_utf8(answers)
            .map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .into_iter()
            .flatten()
        {
            assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line:?} is no JSON");
        }
    }
    pool.until("all are gone", |pool| pool.handle.connections() == 0).await;
    still_serves(&pool).await;
}

#[tokio::test]
async fn a_tls_hello_on_the_plain_port_is_closed_cleanly_and_nobody_is_banned() {
    let pool = start().await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(pool.address()).await.unwrap();
        let mut hello = vec![0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
        hello.resize(205, 7);
        stream.write_all(&hello).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(common::PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        // An alert of the handshake, as far as the kernel delivers it.
        assert!(answer.is_empty() || answer == [0x15, 3, 1, 0, 2, 2, 40], "{answer:?}");
    }
    assert_eq!(pool.handle.counters().tls_on_plain, 20);
    assert!(pool.handle.bans().is_empty());
    still_serves(&pool).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_disconnects_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, old) = certificate(folder.path());
    let mut config = config();
    config.ports = vec![PortConfig { tls: Some(tls.clone()), ..config.ports[0].clone() }];
    let ports = config.ports.clone();
    let pool = start_with(config).await;
    let reload = |ports: &[PortConfig]| {
        let mut read = pool.handle.reload_certificates(ports);
        assert_eq!(read.len(), 1);
        read.remove(0).1.map_err(|why| why.to_string())
    };
    let mut before = over_tls(&pool, old.clone()).await.unwrap();
    before.subscribe(json!(["x"])).await;
    assert_eq!(reload(&ports), Ok(false), "nothing was renewed");

    // Half written, as a certificate's tool may leave it for a moment: the one in use stays.
    std::fs::write(&tls.certificate, "-----BEGIN CERTIFICATE-----\n").unwrap();
    assert!(reload(&ports).unwrap_err().contains("pool.crt"));
    assert!(over_tls(&pool, old.clone()).await.is_ok());

    let (_, new) = certificate(folder.path());
    assert_eq!(reload(&ports), Ok(true));
    assert!(over_tls(&pool, old.clone()).await.is_err(), "the old certificate is still shown");
    let mut after = over_tls(&pool, new).await.unwrap();
    after.subscribe(json!(["x"])).await;
    assert_eq!(before.call("mining.ping", json!([])).await["result"], "pong", "who was connected stays");

    // Other files by another configuration, for the same port.
    let elsewhere = tempfile::tempdir().unwrap();
    let (tls, moved) = certificate(elsewhere.path());
    assert_eq!(reload(&[PortConfig { tls: Some(tls), ..ports[0].clone() }]), Ok(true));
    assert!(over_tls(&pool, moved.clone()).await.is_ok());
    assert_eq!(reload(&[]), Ok(false), "a port that is not named keeps its files");
    assert!(over_tls(&pool, moved).await.is_ok());
}

#[tokio::test]
async fn a_miner_over_tls_mines_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, roots) = certificate(folder.path());
    let mut config = config();
    config.ports = vec![PortConfig { tls: Some(tls), ..config.ports[0].clone() }];
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let mut client = over_tls(&pool, roots).await.unwrap();
    client.subscribe(json!(["x"])).await;
    assert!(is_true(&client.call("mining.authorize", json!(["alice", "x"])).await));
    let job = client.notify().await;
    assert!(is_true(&client.submit("alice", &client.find(&job, 1, EASY, BLOCK)).await));
    // Plain text on the TLS port ends that connection alone.
    let mut plain = Client::connect(pool.address()).await;
    plain.send_raw(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n").await;
    let mut rest = Vec::new();
    let _ = plain.closed_bytes(&mut rest).await;
    pool.until("it is counted", |pool| pool.handle.counters().tls_failed == 1).await;
    assert!(client.call("mining.ping", json!([])).await["error"].is_null());
}

#[tokio::test]
async fn a_missing_certificate_stops_the_start_with_its_name() {
    let tls = TlsConfig { certificate: "/no/such/pool.crt".into(), key: "/no/such/pool.key".into() };
    let mut config = config();
    config.ports = vec![PortConfig { tls: Some(tls), ..config.ports[0].clone() }];
    let started = common::try_start(config).await;
    assert!(started.err().unwrap().to_string().contains("/no/such/pool.crt"));
}

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x7f\0\0\x01\xdc\x04\x0d\x05";

#[tokio::test]
async fn a_trusted_proxy_says_whose_connection_it_is() {
    let mut config = config();
    config.ports[0].proxy_from = vec!["127.0.0.1".parse().unwrap()];
    config.limits.connections_per_source = 1;
    let pool = start_with(config).await;
    for (header, source) in [
        (&b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 3333\r\n"[..], "192.0.2.7"),
        (b"PROXY TCP6 2001:db8:0:7::1 ::1 1 2\r\n", "2001:db8::/56"),
        (V2, "203.0.113.7"),
    ] {
        let mut client = Client::connect(pool.address()).await;
        client.send_raw(header).await;
        client.subscribe(json!(["x"])).await;
        let sessions = pool.handle.sessions();
        assert!(sessions.iter().any(|session| session.source.to_string() == source), "{source}");
        // The limit is the client's, not the proxy's.
        let mut second = Client::connect(pool.address()).await;
        second.send_raw(header).await;
        second.closed().await;
        drop(client);
        pool.until("it is gone", |pool| pool.handle.connections() == 0).await;
    }
    // A health check without a header, and one with UNKNOWN, come from the proxy itself.
    still_serves(&pool).await;
    pool.until("it is gone", |pool| pool.handle.connections() == 0).await;
    let mut client = Client::connect(pool.address()).await;
    client.send_raw(b"PROXY UNKNOWN\r\n").await;
    client.subscribe(json!([])).await;
    let mut broken = Client::connect(pool.address()).await;
    broken.send_raw(b"PROXY TCP4 nonsense\r\n").await;
    broken.closed().await;
    assert_eq!(pool.handle.counters().refused_proxy, 1);
}

#[tokio::test]
async fn a_ban_behind_a_proxy_hits_the_miner_and_not_the_proxy() {
    let mut config = config();
    config.ports[0].proxy_from = vec!["127.0.0.0/8".parse().unwrap()];
    let pool = start_with(config).await;
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 3333\r\n";
    let mut bad = Client::connect(pool.address()).await;
    bad.send_raw(header).await;
    for _ in 0..8 {
        bad.send_raw(b"nonsense\n").await;
    }
    bad.closed().await;
    pool.until("the ban", |pool| pool.handle.bans().len() == 1).await;
    assert_eq!(pool.handle.bans()[0].source.to_string(), "192.0.2.7");
    let mut again = Client::connect(pool.address()).await;
    again.send_raw(header).await;
    again.closed().await;
    let mut other = Client::connect(pool.address()).await;
    other.send_raw(b"PROXY TCP4 192.0.2.8 127.0.0.1 56324 3333\r\n").await;
    other.subscribe(json!([])).await;
}

#[tokio::test]
async fn a_proxy_header_from_anybody_else_is_refused() {
    let pool = start().await;
    for header in [&b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 3333\r\n"[..], V2] {
        let mut client = Client::connect(pool.address()).await;
        client.send_raw(header).await;
        client.closed().await;
    }
    assert_eq!(pool.handle.counters().refused_proxy, 2);
    assert!(pool.handle.sessions().is_empty());
}

#[tokio::test]
async fn a_proxy_is_believed_on_the_port_that_names_it_and_on_no_other() {
    let mut config = config();
    config.ports.push(config.ports[0].clone());
    config.ports[1].proxy_from = vec!["127.0.0.1".parse().unwrap()];
    let pool = start_with(config).await;
    let mut refused = Client::connect(pool.server.addresses()[0]).await;
    refused.send_raw(V2).await;
    refused.closed().await;
    assert_eq!(pool.handle.counters().refused_proxy, 1);
    let mut heard = Client::connect(pool.server.addresses()[1]).await;
    heard.send_raw(V2).await;
    heard.subscribe(json!([])).await;
    assert_eq!(pool.handle.sessions()[0].source.to_string(), "203.0.113.7");
}
