//! A server whose instructions are counted from outside: `.ci/instructions` runs it under `perf stat` or valgrind.
//!
//! As in the bench `shares`, the pool is in memory and jobs have 12 merkle steps. `accept` takes every hash for a share,
//! `reject` none that can be met. It prints its address and ends when its standard input does; nobody else measures here.
//! It uses of this crate's tests no more than there was before the share path was written anew, so that the same file
//! serves an older checkout too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Template, config, start_with, target};
use millpond_stratum::Span;

fn main() {
    let difficulty = match std::env::args().nth(1).as_deref() {
        Some("accept") => 1e-10,
        Some("reject") => 1024.0,
        _ => return println!("instructions accept | reject: a server for .ci/instructions"),
    };
    // One thread, so that nothing is counted that two of them do to each other.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = config();
        config.vardiff.start = difficulty;
        (config.limits.lines_per_second, config.limits.burst) = (1e9, 1e9);
        config.limits.handshakes_per_source = 10_000;
        config.limits.handshake = Span::secs(300);
        config.limits.write = Span::secs(300);
        config.bans.window = 1_000_000_000;
        let pool = start_with(config).await;
        // No share is a block.
        let network = target(1e12);
        pool.publish(&Template { branch: vec![3; 32 * 12], network, ..Template::default() });
        println!("serves at {}", pool.address());
        let ended = || std::io::read_to_string(std::io::stdin());
        tokio::task::spawn_blocking(ended).await.unwrap().unwrap();
    });
    // What is measured is over: nobody waits for the server's own end.
    runtime.shutdown_background();
}
