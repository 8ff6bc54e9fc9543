//! What a share costs the server: `cargo bench --workspace --locked --profile release --bench shares`.
//!
//! The server runs in this process with a pool in memory, so that no disk is measured; the miners run in a child. They
//! find their shares first, then send them all. CPU time is this process's own, of the kernel's part too. The accept
//! path and the reject path (the same shares again) are told apart, since a duplicate costs less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::miner::{Client, params};
use common::{Template, config, start_with, target};
use millpond_stratum::Span;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};

/// One hash in four.
const TRIVIAL: f64 = 1.0 / ((1_u64 << 30) as f64);
const CONNECTIONS: u64 = 50;
const SHARES: u64 = 4000;
/// Miners that send a share now and then.
const IDLE: usize = 4000;
/// Jobs that each of them sends a share of.
const JOBS: u32 = 12;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--miners"), Some(address)) => runtime.block_on(miners(&address)),
        (Some("--idle"), Some(address)) => runtime.block_on(idle(&address)),
        _ => runtime.block_on(async {
            memory().await;
            server().await;
        }),
    }
}

/// User and kernel time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or_default() * 4096.0
}

/// Memory of connected miners, and how long a new job takes to reach them.
async fn memory() {
    let mut config = config();
    (config.limits.handshakes_per_source, config.limits.connections_per_source) = (100_000, 100_000);
    config.vardiff.start = TRIVIAL;
    let pool = start_with(config).await;
    pool.publish(&Template::default());
    let (before, begun) = (resident_bytes(), (cpu_seconds(), Instant::now()));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--idle", &pool.address().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    println!(
        "{IDLE} miners connected, subscribed and logged in within {:.2} s and {:.2} CPU seconds of the server; \
         {:.1} KB of memory each",
        begun.1.elapsed().as_secs_f64(),
        cpu_seconds() - begun.0,
        (resident_bytes() - before) / IDLE as f64 / 1024.0
    );
    for job in 0..JOBS {
        let (cpu, begun) = (cpu_seconds(), Instant::now());
        let prev = [6 + u8::try_from(job).unwrap(); 32];
        pool.publish(&Template { prev, branch: vec![3; 32 * 12], ..Template::default() });
        line.clear();
        from.read_line(&mut line).unwrap();
        if job + 1 == JOBS {
            println!(
                "a new job reached the last of them after {:.0} ms, with {:.0} ms of the server's CPU",
                begun.elapsed().as_secs_f64() * 1e3,
                (cpu_seconds() - cpu) * 1e3
            );
        }
        writeln!(to, "go").unwrap();
        line.clear();
        from.read_line(&mut line).unwrap();
    }
    assert_eq!(pool.handle.counters().accepted, u64::from(JOBS) * IDLE as u64);
    println!(
        "after a share of each on {JOBS} jobs: {:.1} KB of memory each, their shares' ids included",
        (resident_bytes() - before) / IDLE as f64 / 1024.0
    );
    drop(to);
    child.wait().unwrap();
}

async fn idle(address: &str) {
    let address = address.parse().unwrap();
    let mut clients = Vec::new();
    for number in 0..IDLE {
        let mut client = Client::ready(address, &format!("alice.{number}")).await;
        client.notify().await;
        clients.push(client);
    }
    println!("ready");
    let easy = target(TRIVIAL);
    loop {
        let mut jobs = Vec::new();
        for client in &mut clients {
            jobs.push(client.notify().await);
        }
        println!("had");
        let stdin = || std::io::stdin().read_line(&mut String::new());
        if tokio::task::spawn_blocking(stdin).await.unwrap().unwrap() == 0 {
            return;
        }
        for (client, job) in clients.iter_mut().zip(jobs) {
            let share = client.find_where(&job, 0, |hash| easy.is_met_by(hash));
            let submit = json!({"id": 77, "method": "mining.submit", "params": params("alice", &share)});
            client.send(&submit).await;
        }
        for client in &mut clients {
            assert_eq!(client.answer(&json!(77)).await["result"], true);
        }
        println!("done");
    }
}

async fn server() {
    let mut config = config();
    config.vardiff.start = TRIVIAL;
    (config.limits.lines_per_second, config.limits.burst) = (1e9, 1e9);
    config.limits.handshakes_per_source = 10_000;
    config.limits.write = Span::secs(300);
    config.bans.window = 1_000_000;
    let pool = start_with(config).await;
    pool.publish(&Template { branch: vec![3; 32 * 12], ..Template::default() });
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--miners", &pool.address().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let total = CONNECTIONS * SHARES;
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    for path in ["accepted", "duplicate"] {
        let (cpu, begun) = (cpu_seconds(), Instant::now());
        writeln!(to, "go").unwrap();
        line.clear();
        from.read_line(&mut line).unwrap();
        let (cpu, wall) = (cpu_seconds() - cpu, begun.elapsed().as_secs_f64());
        println!(
            "{path}: {total} shares on {CONNECTIONS} connections in {wall:.2} s and {cpu:.2} CPU seconds of the server: \
             {:.0} shares per CPU second, {:.1} us each",
            total as f64 / cpu,
            cpu / total as f64 * 1e6
        );
    }
    let counters = pool.handle.counters();
    assert_eq!((counters.accepted, counters.duplicate), (total, total));
    child.wait().unwrap();
}

/// Finds shares, then sends them whenever a line comes on standard input, and says when all are answered.
async fn miners(address: &str) {
    let address = address.parse().unwrap();
    let mut tasks = Vec::new();
    for number in 0..CONNECTIONS {
        tasks.push(tokio::spawn(async move {
            let mut client = Client::ready(address, &format!("alice.{number}")).await;
            let job = client.notify().await;
            let easy = target(TRIVIAL);
            let mut lines = Vec::new();
            for en2 in 0..SHARES {
                let share = client.find_where(&job, en2, |hash| easy.is_met_by(hash));
                let submit = json!({"id": en2, "method": "mining.submit", "params": params("alice", &share)});
                lines.extend(format!("{submit}\n").bytes());
            }
            (client, lines)
        }));
    }
    let mut ready = Vec::new();
    for task in tasks {
        ready.push(task.await.unwrap());
    }
    println!("ready");
    for _ in 0..2 {
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
            .await
            .unwrap()
            .unwrap();
        let mut tasks = Vec::new();
        for (client, lines) in ready {
            tasks.push(tokio::spawn(async move {
                let Client { mut reader, mut writer, .. } = client;
                let sending = tokio::spawn(async move {
                    writer.write_all(&lines).await.unwrap();
                    (writer, lines)
                });
                let (mut answers, mut line) = (0, String::new());
                while answers < SHARES {
                    line.clear();
                    assert_ne!(reader.read_line(&mut line).await.unwrap(), 0, "the server hung up");
                    answers += u64::from(!line.contains("method"));
                }
                let (writer, lines) = sending.await.unwrap();
                (Client::from_halves(reader, writer), lines)
            }));
        }
        ready = Vec::new();
        for task in tasks {
            ready.push(task.await.unwrap());
        }
        println!("done");
    }
}
