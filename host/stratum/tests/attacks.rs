//! Attacks on a running server while honest miners mine, one of them behind the attacker's own address: they lose no share
//! and no connection, and nothing is held for the attackers afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::honest::{ATTACKER, Siege, connect_from};
use common::miner::{Client, code, is_true, params};
use common::tls::certificate;
use common::{BLOCK, EASY, Template, config, start_with, target};
use millpond_stratum::{BanReason, PortConfig, Span, StratumConfig};
use serde_json::json;
use socket2::SockRef;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Time to log in, where attackers are to run out of it: long for an honest miner on a machine that has ten other things to
/// do, and so for three hundred connections; short for a test. Elsewhere it is the default.
const HANDSHAKE: Span = Span::secs(15);

fn fast() -> StratumConfig {
    let mut config = config();
    config.limits.handshake = HANDSHAKE;
    config
}

/// Addresses of their own for attackers that are to be judged one by one.
fn from(n: u8) -> [u8; 4] {
    [127, 0, 7, n]
}

async fn client(from: [u8; 4], address: SocketAddr) -> Client {
    Client::over(connect_from(from, address).await.unwrap())
}

async fn ready(from: [u8; 4], address: SocketAddr, login: &str) -> Client {
    let mut client = client(from, address).await;
    client.subscribe(json!(["attack/1"])).await;
    assert!(is_true(&client.call("mining.authorize", json!([login, "x"])).await));
    client
}

/// Reads until the server hangs up.
async fn to_its_end(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = timeout(common::PATIENCE, stream.read_to_end(&mut rest)).await.expect("the server keeps it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_writers_get_no_further_than_their_handshake() {
    let mut siege = Siege::begin(fast()).await;
    let address = siege.pool.address();
    let mut attack = JoinSet::new();
    for _ in 0..40 {
        let mut stream = connect_from(ATTACKER, address).await.unwrap();
        attack.spawn(async move {
            // A byte at a time, of a line that never ends.
            for byte in
                b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"".iter().chain([b'x'; 4000].iter())
            {
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
            to_its_end(stream).await;
        });
    }
    siege.another([127, 0, 0, 5], "late").await;
    while attack.join_next().await.is_some() {}
    assert_eq!(siege.pool.handle.counters().handshake_timeouts, 40);
    siege.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_are_dropped_and_what_waited_for_them_with_them() {
    let mut config = config();
    // An honest miner takes a little of what waits for him in this time, whatever else the machine does.
    config.limits.write = Span::secs(15);
    let siege = Siege::begin(config).await;
    let mut deaf = Vec::new();
    for n in 0..20 {
        let stream = connect_from(from(n), siege.pool.address()).await.unwrap();
        SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
        let mut client = Client::over(stream);
        client.subscribe(json!(["deaf"])).await;
        assert!(is_true(&client.call("mining.authorize", json!(["deaf", "x"])).await));
        deaf.push(client);
    }
    // Jobs of 200 kB until their sockets are full and they are dropped; the others read them all.
    let mut round = 0;
    while siege.pool.handle.connections() > siege.miners() {
        round += 1;
        assert!(round < 3000, "they are still connected");
        siege.pool.publish(&Template {
            tail: vec![7; 100_000],
            time: 1_700_000_000 + round,
            ..Template::default()
        });
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(siege.pool.handle.counters().slow_readers, 20);
    // The next work is small again.
    siege.pool.publish(&Template { time: 1_700_010_000, ..Template::default() });
    drop(deaf);
    siege.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_from_one_address_fills_that_addresss_places_alone() {
    let mut config = fast();
    (config.limits.connections_per_source, config.limits.handshakes_per_source) = (32, 16);
    let mut siege = Siege::begin(config).await;
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(connect_from(ATTACKER, siege.pool.address()).await.unwrap());
    }
    siege.pool.until("most are refused", |pool| pool.handle.counters().refused_full >= 284).await;
    siege.another([127, 0, 0, 5], "late").await;
    for stream in held {
        to_its_end(stream).await;
    }
    siege.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_from_many_addresses_fills_the_places_for_as_long_as_a_handshake_takes() {
    let mut config = fast();
    config.limits.handshakes = 50;
    let mut siege = Siege::begin(config).await;
    let mut held = Vec::new();
    for n in 0..100 {
        for _ in 0..3 {
            held.push(connect_from(from(n), siege.pool.address()).await.unwrap());
        }
    }
    siege.pool.until("most are refused", |pool| pool.handle.counters().refused_full >= 250).await;
    for stream in held {
        to_its_end(stream).await;
    }
    // Then there is room again.
    siege.another([127, 0, 0, 5], "late").await;
    siege.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_no_requests_end_those_who_send_them_and_their_neighbour_mines_on() {
    let siege = Siege::begin(config()).await;
    let deep = [&b"{\"id\":1,\"params\":"[..], &b"[".repeat(16_000)].concat();
    let lines: [&[u8]; 6] = [
        &deep,
        b"{\"id\":1,\"method\":\"\xff\xfe\"}",
        b"\0\0\0\0",
        b"{\"id\":\0}",
        b"{\"id\":1,\"method\":\"mining.submit\",\"params\":[\"\xc0\x80\"]}",
        b"GET / HTTP/1.1",
    ];
    let giant = connect_from(ATTACKER, siege.pool.address()).await.unwrap();
    let (read, mut write) = giant.into_split();
    let sending = tokio::spawn(async move { while write.write_all(&[b'['; 8192]).await.is_ok() {} });
    sending.await.unwrap();
    drop(read);
    let mut attacker = client(ATTACKER, siege.pool.address()).await;
    for line in lines.iter().cycle().take(40) {
        attacker.send_raw(&[line, &b"\n"[..]].concat()).await;
    }
    attacker.closed().await;
    assert_eq!(siege.pool.handle.counters().long_lines, 1);
    let bans = siege.pool.handle.bans();
    assert_eq!((bans.len(), bans[0].reason), (1, BanReason::Garbage));
    // The ban is for who comes from there next; the honest miner there is connected already.
    client(ATTACKER, siege.pool.address()).await.closed().await;
    siege.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_duplicates_is_credited_once_and_banned() {
    let siege = Siege::begin(config()).await;
    let mut attacker = ready(ATTACKER, siege.pool.address(), "mallory").await;
    let job = attacker.notify().await;
    let share = attacker.find(&job, 1, EASY, BLOCK);
    let line =
        format!("{}\n", json!({"id": 7, "method": "mining.submit", "params": params("mallory", &share)}));
    attacker.send_raw(line.repeat(500).as_bytes()).await;
    attacker.closed().await;
    let bans = siege.pool.handle.bans();
    assert_eq!((bans.len(), bans[0].reason), (1, BanReason::InvalidShares));
    siege.end(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_extranonces_and_work_of_others_cannot_be_guessed_or_taken() {
    let siege = Siege::begin(config()).await;
    let address = siege.pool.address();
    let mut victim = ready(from(1), address, "victim").await;
    let job = victim.notify().await;
    // Another session's work under his own name: with his extranonce it is another hash, and no share.
    let mut thief = ready(from(2), address, "thief").await;
    assert_ne!(thief.en1, victim.en1);
    let thiefs = thief.notify().await;
    let stolen = (1..)
        .map(|en2| victim.find(&job, en2, EASY, BLOCK))
        .find(|share| {
            let hash = thiefs.hash(&thief.extranonce(&share.en2), share.time, share.nonce, job.version);
            !target(EASY).is_met_by(&hash)
        })
        .unwrap();
    assert!(!is_true(&thief.submit("thief", &stolen).await));
    // The victim's session while he is connected, by its name and by its extranonce.
    for resume in [json!(victim.session), json!(hex::encode(&victim.en1))] {
        let mut guest = client(from(3), address).await;
        guest.subscribe(json!(["x", resume])).await;
        assert_ne!(guest.en1, victim.en1);
    }
    // Extranonces of other lengths (of a time that is refused, so that none is a share by luck), and jobs that nobody was
    // sent, up to the ban.
    let mut guesser = ready(from(4), address, "guesser").await;
    let own = guesser.notify().await;
    for en2 in ["", "00", "000000000000000000000000", "zz"] {
        let submit = json!(["guesser", own.job, en2, "00000001", "00000000"]);
        assert!(!is_true(&guesser.call("mining.submit", submit).await));
    }
    for guess in 0..60_u64 {
        let named = format!("{:x}", guess.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (guess % 60));
        let submit = json!(["guesser", named, "0000000000000000", "6553f100", "00000000"]);
        guesser.send(&json!({"id": 9, "method": "mining.submit", "params": submit})).await;
    }
    guesser.closed().await;
    assert_eq!(siege.pool.handle.bans()[0].reason, BanReason::InvalidShares);
    assert!(is_true(&victim.submit("victim", &stolen).await), "the victim's work is lost");
    drop((victim, thief));
    siege.end(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_of_another_time_is_refused_however_well_it_is_hashed() {
    let siege = Siege::begin(config()).await;
    let mut attacker = ready(ATTACKER, siege.pool.address(), "warp").await;
    let job = attacker.notify().await;
    for (n, time) in [0, 1, job.time - 1, job.time + 8 * 3600, u32::MAX].into_iter().enumerate() {
        let warped = common::miner::Notify { time, ..job.clone() };
        let share = attacker.find(&warped, n as u64, EASY, BLOCK);
        let reply = attacker.submit("warp", &share).await;
        assert_eq!(code(&reply), 20, "{time}: {reply}");
    }
    drop(attacker);
    siege.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_is_known_again_over_a_new_connection() {
    let siege = Siege::begin(config()).await;
    let address = siege.pool.address();
    let mut attacker = ready(from(1), address, "mallory").await;
    let job = attacker.notify().await;
    let (session, share) = (attacker.session.clone(), attacker.find(&job, 1, EASY, BLOCK));
    assert!(is_true(&attacker.submit("mallory", &share).await));
    drop(attacker);
    let miners = siege.miners();
    siege.pool.until("he is gone", |pool| pool.handle.connections() == miners).await;
    let mut again = client(from(1), address).await;
    again.subscribe(json!(["attack/1", session])).await;
    assert_eq!(again.session, session);
    assert!(is_true(&again.call("mining.authorize", json!(["mallory", "x"])).await));
    assert_eq!(code(&again.submit("mallory", &share).await), 22, "in the session of before");
    // Under another name it is the same share too.
    assert!(is_true(&again.call("mining.authorize", json!(["alias", "x"])).await));
    assert_eq!(code(&again.submit("alias", &share).await), 22);
    drop(again);
    siege.end(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_handshakes_that_stop_half_way_are_dropped_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = certificate(folder.path());
    let mut config = fast();
    config.ports.push(PortConfig { tls: Some(tls), ..config.ports[0].clone() });
    let mut siege = Siege::begin(config).await;
    let tls = siege.pool.server.addresses()[1];
    let mut held = Vec::new();
    for n in 0..50 {
        let mut stream = connect_from(ATTACKER, tls).await.unwrap();
        // The beginning of a ClientHello of 512 bytes, or none of it.
        stream
            .write_all(if n % 2 == 0 { &[0x16, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] } else { &[] })
            .await
            .unwrap();
        held.push(stream);
    }
    siege.another([127, 0, 0, 5], "late").await;
    for stream in held {
        to_its_end(stream).await;
    }
    assert_eq!(siege.pool.handle.counters().handshake_timeouts, 50);
    siege.end(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_a_proxy_that_nobody_trusts_gets_its_sender_refused_and_nobody_banned() {
    let mut config = config();
    config.ports[0].proxy_from = vec!["127.0.0.200".parse().unwrap()];
    let siege = Siege::begin(config).await;
    for n in 0..40 {
        let mut liar = connect_from(ATTACKER, siege.pool.address()).await.unwrap();
        let header = format!("PROXY TCP4 127.0.0.{} 127.0.0.1 1 2\r\nnonsense\nnonsense\n", 2 + n % 3);
        let _ = liar.write_all(header.as_bytes()).await;
        to_its_end(liar).await;
    }
    assert_eq!(siege.pool.handle.counters().refused_proxy, 40);
    assert!(siege.pool.handle.bans().is_empty());
    siege.end(0).await;
}

#[tokio::test]
async fn whom_the_operator_denies_is_refused_before_anything_is_read() {
    let mut config = config();
    config.limits.deny = vec!["127.0.7.0/24".parse().unwrap(), "192.0.2.0/24".parse().unwrap()];
    config.ports[0].proxy_from = vec!["127.0.0.200".parse().unwrap()];
    let pool = start_with(config).await;
    to_its_end(connect_from(from(1), pool.address()).await.unwrap()).await;
    let mut behind = client([127, 0, 0, 200], pool.address()).await;
    behind.send_raw(b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n").await;
    behind.closed().await;
    assert_eq!(pool.handle.counters().refused_denied, 2);
    let mut other = client(ATTACKER, pool.address()).await;
    other.subscribe(json!(["x"])).await;
}

#[tokio::test]
async fn whom_the_operator_allows_is_never_banned_and_has_no_limits_of_an_address() {
    let mut config = config();
    config.limits.allow = vec!["127.0.7.0/24".parse().unwrap()];
    (config.limits.connections_per_source, config.limits.handshakes_per_source) = (2, 1);
    let pool = start_with(config).await;
    let mut bad = client(from(1), pool.address()).await;
    for _ in 0..8 {
        bad.send_raw(b"nonsense\n").await;
    }
    bad.closed().await;
    assert!(pool.handle.bans().is_empty());
    let mut farm = Vec::new();
    for _ in 0..10 {
        let mut miner = client(from(1), pool.address()).await;
        miner.subscribe(json!(["x"])).await;
        farm.push(miner);
    }
    assert_eq!(pool.handle.counters().refused_full, 0);
    // The operator's own word holds against it too, from the next connection on.
    let source = millpond_stratum::Source::of(from(1).into(), 56);
    pool.handle.ban(source);
    assert_eq!(pool.handle.bans().len(), 1);
}

#[tokio::test]
async fn whoever_has_the_pool_hash_for_nothing_waits_until_that_is_paid() {
    let mut config = config();
    config.bans.enabled = false;
    config.bans.window = 1_000_000;
    // A millisecond of work a second, ten at once.
    config.limits.refused_work = 1.0;
    (config.limits.lines_per_second, config.limits.burst) = (100_000.0, 100_000.0);
    let (pool, _) = common::moody::hashing_with(config, millpond_algorithms::Cost::Heavy).await;
    let mut attacker = ready(ATTACKER, pool.address(), "mallory").await;
    let mut neighbour = ready(ATTACKER, pool.address(), "alice").await;
    let job = attacker.notify().await;
    let weak = attacker.find_where(&job, 1, |hash| !target(EASY).is_met_by(hash));
    // 66 of them are ten milliseconds: all of them would take ten minutes. He may have to wait to send them.
    const SENT: u64 = 4000;
    let attack = tokio::spawn(async move {
        for id in 0..SENT {
            let submit = json!({"id": id, "method": "mining.submit", "params": params("mallory", &weak)});
            attacker.send(&submit).await;
        }
        attacker
    });
    pool.until("it waits", |pool| pool.handle.counters().slowed_refused > 0).await;
    // Who sends good shares from the same address is not held up by it.
    let job = neighbour.notify().await;
    for en2 in 0..20 {
        assert!(is_true(&neighbour.submit("alice", &neighbour.find(&job, en2, EASY, BLOCK)).await));
    }
    assert!(pool.handle.counters().low_difficulty < SENT, "nothing held the attacker up");
    attack.abort();
}
