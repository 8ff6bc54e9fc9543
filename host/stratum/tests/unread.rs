//! Miners who do not read: what the server holds for them while it waits, and does for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::honest::connect_from;
use common::miner::{Client, is_true};
use common::tls::{certificate, over_tls_on};
use common::{Harness, PATIENCE, Template, config, start_with};
use millpond_stratum::{PortConfig, Span};
use serde_json::json;
use socket2::SockRef;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// A socket with room for little.
async fn narrow(address: SocketAddr, n: u8) -> TcpStream {
    let stream = connect_from([127, 0, 7, n], address).await.unwrap();
    SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
    stream
}

/// Connected and logged in, and never heard of again.
async fn deaf(pool: &Harness, n: u8) -> Client {
    logged_in(Client::over(narrow(pool.address(), n).await)).await
}

async fn logged_in(mut client: Client) -> Client {
    client.subscribe(json!(["deaf"])).await;
    assert!(is_true(&client.call("mining.authorize", json!(["deaf", "x"])).await));
    client
}

fn job(pool: &Harness, number: u32, tail: usize) {
    pool.publish(&Template { tail: vec![7; tail], time: 1_700_000_000 + number, ..Template::default() });
}

/// Publishes jobs of an ordinary size until so many sockets are full, each when the witness has the one before. The number of
/// the last, and the longest line of one.
async fn fill(pool: &Harness, witness: &mut Client, mut number: u32, deaf: u64) -> (u32, u64) {
    let (mut longest, begun) = (0, Instant::now());
    while pool.handle.unread().connections < deaf {
        assert!(begun.elapsed() < PATIENCE, "{:?}", pool.handle.unread());
        number += 1;
        job(pool, number, 600);
        let line = loop {
            let line = witness.line().await.unwrap();
            if line.contains("mining.notify") {
                break line;
            }
        };
        longest = longest.max(line.len() as u64);
    }
    (number, longest)
}

/// Nobody is given up within the test.
const WRITE: Span = Span::secs(900);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_send_buffer_holds_less_than_a_job_and_nothing_is_done_for_it() {
    const DEAF: u64 = 20;
    let mut config = config();
    config.limits.write = WRITE;
    let pool = start_with(config).await;
    let mut witness = Client::ready(pool.address(), "alice").await;
    let mut all = Vec::new();
    for n in 0..DEAF {
        all.push(deaf(&pool, n as u8).await);
    }
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();

    let (mut number, line) = fill(&pool, &mut witness, 0, DEAF).await;
    assert!((1_000..4_000).contains(&line), "a job's line has {line} bytes");

    // A hundred more: they are neither encoded nor kept for those who do not read. What a socket still passes on when its
    // peer's kernel has taken note lets a few through.
    let sent = pool.handle.counters().jobs_sent;
    for _ in 0..100 {
        number += 1;
        job(&pool, number, 600);
        witness.notify().await;
        let unread = pool.handle.unread();
        assert!(unread.connections <= DEAF && unread.bytes <= DEAF * line, "{unread:?} with lines of {line}");
    }
    let for_the_deaf = pool.handle.counters().jobs_sent - sent - 100;
    assert!(
        for_the_deaf <= 20 * DEAF,
        "{for_the_deaf} of {} jobs were written to who does not read",
        100 * DEAF
    );
    assert_eq!(tasks(), before, "no task but that of each connection");
    (number, _) = fill(&pool, &mut witness, number, DEAF).await;

    // Who reads again gets the newest job behind what had begun; who hangs up takes it all with him.
    let mut back = all.pop().unwrap();
    let newest = 1_700_000_000 + number;
    while back.notify().await.time != newest {}
    pool.until("it is no longer stuck", |pool| pool.handle.unread().connections == DEAF - 1).await;
    drop(all);
    let nobody = millpond_stratum::UnreadNow::default();
    pool.until("nothing is held", |pool| pool.handle.unread() == nobody).await;
    assert_eq!(pool.handle.counters().slow_readers, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_all_of_them_has_a_bound_and_who_would_be_above_it_is_dropped_at_once() {
    const MOST: u64 = 500_000;
    let mut config = config();
    config.limits.write = WRITE;
    config.limits.unread = MOST as usize;
    let pool = start_with(config).await;
    let mut all = Vec::new();
    for n in 0..20 {
        all.push(deaf(&pool, n).await);
    }
    // Jobs of 400 kB: there is room for the rest of one of them, and not of two.
    let (mut number, begun) = (0, Instant::now());
    while pool.handle.counters().slow_readers < 19 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", pool.handle.unread());
        number += 1;
        job(&pool, number, 200_000);
        let unread = pool.handle.unread();
        // Two at once may have asked, of which neither or one stays.
        assert!(unread.bytes <= MOST + 2 * 450_000, "{unread:?}");
        sleep(Duration::from_millis(20)).await;
    }
    pool.until("one is left at most", |pool| pool.handle.connections() <= 1).await;
    let unread = pool.handle.unread();
    assert!(unread.connections <= 1 && unread.bytes <= MOST, "{unread:?}");
    drop(all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tls_keeps_for_a_full_socket_counts_and_is_little() {
    const DEAF: u64 = 8;
    let folder = tempfile::tempdir().unwrap();
    let (tls, roots) = certificate(folder.path());
    let mut config = config();
    config.limits.write = WRITE;
    config.ports.push(PortConfig { tls: Some(tls), ..config.ports[0].clone() });
    let pool = start_with(config).await;
    let mut witness = Client::ready(pool.address(), "alice").await;
    let mut all = Vec::new();
    for n in 0..DEAF {
        let stream = narrow(pool.server.addresses()[1], n as u8).await;
        all.push(logged_in(over_tls_on(stream, roots.clone()).await.unwrap()).await);
    }
    let (_, line) = fill(&pool, &mut witness, 0, DEAF).await;
    let unread = pool.handle.unread();
    let each = unread.bytes / DEAF;
    assert!(each > 100 && each < 16 * 1024 + line, "{unread:?} with lines of {line}");
    drop(all);
    let nobody = millpond_stratum::UnreadNow::default();
    pool.until("nothing is held", |pool| pool.handle.unread() == nobody).await;
}
