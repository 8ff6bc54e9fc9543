//! The real binary: a block outlives the process that found it, and a share is on the disk before its miner reads true.
//!
//! The second is read from a trace of the system's calls, with `MILLPOND_STRACE=1`; without `strace` it then fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../pool/tests/support/client.rs"]
#[allow(dead_code, reason = "the tests of a whole pool use the rest")]
mod client;
#[path = "support/trace.rs"]
mod trace;

use client::{Client, Want};
use millpond_devchain::{DevChain, Options};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use trace::Trace;

/// Nothing that a test waits for takes longer, or it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// An address of nobody's wallet.
const MINER: &str = "bcrt1qqgpqyqszqgpqyqszqgpqyqszqgpqyqszazmwwa";
const SIGABRT: i32 = 6;

async fn chain() -> DevChain {
    let options = Options { bits: 0x1f00_ffff, prologue: 10, maturity: 3, ..Options::default() };
    DevChain::start(options).await.unwrap()
}

fn configure(folder: &Path, chain: &DevChain) {
    let config = format!(
        r#"
[host]
data = "{}"
[[pool]]
name = "dev"
[pool.chain]
payout_address = "{}"
confirmations = 3
settings = {{ network = "regtest", maturity = 3, orphan_after = 2 }}
[[pool.node]]
url = "{}"
user = "{}"
password = "{}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 1e-8
fixed = true
[pool.payout]
scheme = "pplns"
[pool.settlement]
schedule = "manual"
"#,
        folder.join("data").display(),
        chain.new_address(),
        chain.url(),
        chain.user(),
        chain.password(),
    );
    std::fs::write(folder.join("pool.toml"), config).unwrap();
}

/// A running `millpond run`. Killed when this is dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts `command` with the arguments of `millpond run` and waits until it takes miners.
    async fn start(mut command: Command, folder: &Path) -> Self {
        command.arg("run").arg(folder.join("pool.toml")).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let waited = tokio::task::spawn_blocking(move || {
            let mut lines = lines;
            let mut said = Vec::new();
            for line in lines.by_ref() {
                if let Some((_, address)) = line.split_once("takes miners at ") {
                    let address = address.parse().unwrap();
                    // What it says later is read, so that it never waits to say it.
                    std::thread::spawn(move || lines.for_each(drop));
                    return Ok(address);
                }
                said.push(line);
            }
            Err(said)
        });
        let address = waited.await.unwrap().unwrap_or_else(|said| panic!("it did not start: {said:#?}"));
        Self { child, address }
    }

    /// Waits until it has ended by itself.
    async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn millpond() -> Command {
    Command::new(env!("CARGO_BIN_EXE_millpond"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_only_the_record_knows_is_submitted_after_the_restart_from_its_kept_template() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    // What a template slices from its node's response: transactions.
    chain.add_transactions(3);
    configure(folder.path(), &chain);
    let mut drill = millpond();
    drill.env("MILLPOND_CRASH_AT", "solution-recorded");
    let mut pool = Running::start(drill, folder.path()).await;
    let mut client = Client::connect(pool.address, MINER, "sha256d").await.unwrap();
    let job = client.job.clone().unwrap();
    let block = client.find(&job, 0, Want::Block);
    let height = chain.height();
    client.send_share(&block).await.unwrap();
    assert_eq!(pool.ended().await.signal(), Some(SIGABRT));
    assert!(client.reply().await.is_err(), "nobody was answered");
    assert_eq!(chain.height(), height, "no node has heard of the block");

    let pool = Running::start(millpond(), folder.path()).await;
    let deadline = Instant::now() + PATIENCE;
    while chain.height() == height {
        assert!(Instant::now() < deadline, "the block was not submitted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(chain.tip(), block.block());
    // And the pool goes on from it.
    let mut client = Client::connect(pool.address, MINER, "sha256d").await.unwrap();
    let job = client.job_on(&block.block()).await;
    let share = client.find(&job, 0, Want::Share);
    assert_eq!(client.submit(&share).await["result"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fdatasync_of_a_shares_record_returns_before_the_reply_is_sent() {
    if std::env::var_os("MILLPOND_STRACE").is_none() {
        eprintln!("not run: a trace of the binary needs MILLPOND_STRACE=1 (and strace)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    configure(folder.path(), &chain);
    let file = folder.path().join("trace");
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-xx", "-s", "1000000", "-e"]);
    traced.arg("trace=fdatasync,write,pwrite64,writev,pwritev,sendto,sendmsg").arg("-o").arg(&file);
    traced.arg(env!("CARGO_BIN_EXE_millpond"));
    let mut pool = Running::start(traced, folder.path()).await;
    let mut client = Client::connect(pool.address, MINER, "sha256d").await.unwrap();
    let mut answered = Vec::new();
    for number in 0..30 {
        let job = client.job.clone().unwrap();
        // A block now and then: its record and its share's are one.
        let share = client.find(&job, 0, if number % 10 == 9 { Want::Block } else { Want::Share });
        let id = client.send_share(&share).await.unwrap();
        loop {
            let reply = client.reply().await.unwrap();
            if reply["id"].as_u64() == Some(id) {
                assert_eq!(reply["result"], true, "{reply}");
                break;
            }
        }
        answered.push((share.id, id));
        if share.solves {
            client.job_after(&job).await;
        }
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let process = text.split_whitespace().next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    pool.ended().await;

    let trace = Trace::parse(&std::fs::read_to_string(&file).unwrap());
    for (share, id) in &answered {
        let written = trace.write_of(share).unwrap_or_else(|| panic!("share {id} was never written"));
        let synced = trace.sync_after(written).unwrap_or_else(|| panic!("share {id} was never synced"));
        let sent = trace.reply_to(*id).unwrap_or_else(|| panic!("the reply to {id} is not in the trace"));
        assert!(
            synced.end < sent.begin,
            "share {id}: fdatasync returned at line {}, the reply was sent at line {}",
            synced.end,
            sent.begin
        );
    }
    eprintln!("{} shares: each written, fdatasync returned, then the reply sent", answered.len());
}
