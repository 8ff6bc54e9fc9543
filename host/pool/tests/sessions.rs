//! Sessions over a crash: nobody gets the search space of another, and who comes back gets his own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_devchain::{DevChain, Options};
use millpond_pool::Pool;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use support::client::{Client, Want};
use support::rig::OnDevChain;
use support::{journalled, process, start, stranger};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Harder than the chain itself: every share is a block.
const HARD: &str = "0.000001";
/// Easier: half of the shares are none.
const EASY: &str = "0.000000000001";

fn config(chain: &DevChain, pays_to: &str, difficulty: &str) -> String {
    let rest = "[pool.payout]\nscheme = \"solo\"\n[pool.settlement]\nschedule = \"manual\"";
    OnDevChain { pays_to: Some(pays_to), difficulty, chain: "", rest }.on(chain)
}

/// A connection that has subscribed: session, extranonce1, and the socket that holds both.
async fn subscribe(pool: &Pool, resume: Option<&str>) -> (String, String, TcpStream) {
    let mut stream = TcpStream::connect(pool.addresses()[0]).await.unwrap();
    let line = json!({"id": 1, "method": "mining.subscribe", "params": ["test/1", resume]}).to_string();
    stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    let mut reply = String::new();
    let read = async { BufReader::new(&mut stream).read_line(&mut reply).await.unwrap() };
    timeout(support::PATIENCE, read).await.unwrap();
    let reply: Value = serde_json::from_str(&reply).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&reply["result"][0][0][1]), text(&reply["result"][1]), stream)
}

/// What a kill leaves of a folder; what can be rebuilt is left out.
fn left_behind(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if !entry.file_type().unwrap().is_dir() {
            std::fs::copy(entry.path(), to).unwrap();
        } else if entry.file_name() != "index" {
            left_behind(&entry.path(), &to);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_kill_no_session_gets_anothers_extranonce_and_each_gets_its_own_back() {
    let chain = DevChain::start(Options { prologue: 10, ..Options::default() }).await.unwrap();
    let text = config(&chain, &chain.new_address(), HARD);
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pool = start(&process(before.path()), &text).await;
    let mut old = Vec::new();
    for _ in 0..20 {
        old.push(subscribe(&pool, None).await);
    }
    // Killed with its sessions open: nothing is written any more.
    left_behind(before.path(), after.path());
    let searched: HashSet<_> = old.iter().map(|(_, extranonce, _)| extranonce.clone()).collect();
    assert_eq!(searched.len(), 20);

    let pool_after = start(&process(after.path()), &text).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let (session, extranonce, stream) = subscribe(&pool_after, None).await;
        assert!(!searched.contains(&extranonce), "a new session got {extranonce} of before the kill");
        assert!(old.iter().all(|(known, _, _)| *known != session));
        held.push(stream);
    }
    // By the session's id, which nobody can guess.
    for (session, extranonce, _) in &old[..10] {
        let (again, same, stream) = subscribe(&pool_after, Some(session)).await;
        assert_eq!((&again, &same), (session, extranonce));
        held.push(stream);
    }
    // An extranonce can be guessed, and nobody knows any more whose it was.
    for (_, extranonce, _) in &old[10..15] {
        let (_, other, stream) = subscribe(&pool_after, Some(extranonce)).await;
        assert!(!searched.contains(&other));
        held.push(stream);
    }
    assert_eq!(pool_after.server().counters().resumed, 10);
    // One that is connected is nobody else's, and a name that was never given is nobody's.
    for wanted in [old[0].0.as_str(), "0123456789abcdef"] {
        let (_, other, stream) = subscribe(&pool_after, Some(wanted)).await;
        assert!(!searched.contains(&other));
        held.push(stream);
    }
    // Work goes on as ever.
    let mut client =
        Client::connect(pool_after.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    let job = client.job_on(&chain.tip()).await;
    let share = client.find(&job, 0, Want::Share);
    assert_eq!(client.submit(&share).await["result"], json!(true));
    pool_after.stop().await;
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_share_that_counted_before_a_restart_is_not_counted_again_after_it() {
    let chain = DevChain::start(Options { prologue: 10, ..Options::default() }).await.unwrap();
    let text = config(&chain, &chain.new_address(), EASY);
    let folder = tempfile::tempdir().unwrap();
    let (process, login) = (process(folder.path()), stranger("bcrt", 1).0);
    let pool = start(&process, &text).await;
    let mut client = Client::connect(pool.addresses()[0], &login, "sha256d").await.unwrap();
    let before = client.job_on(&chain.tip()).await;
    let shares: Vec<_> = (0..5).map(|_| client.find(&before, 0, Want::Mere)).collect();
    for share in &shares {
        assert_eq!(client.submit(share).await["result"], json!(true));
    }
    let (session, extranonce) = (client.session.clone(), client.extranonce1().to_vec());
    pool.stop().await;
    drop((pool, client));

    let pool = start(&process, &text).await;
    // In the session of before, so that the extranonce is the same too; as the old job and as the new one.
    let mut client = Client::resume(pool.addresses()[0], &login, "sha256d", Some(&session)).await.unwrap();
    assert_eq!(client.extranonce1(), extranonce);
    let now = client.job_on(&chain.tip()).await;
    assert_ne!(now.id, before.id, "job numbers never come again");
    for share in &shares {
        for replayed in [share.clone(), client.renamed(share, &now)] {
            let reply = client.submit(&replayed).await;
            assert!(reply["error"][0].is_number(), "replayed: {reply}");
        }
    }
    // New work of the same session counts.
    let fresh = loop {
        let share = client.find(&now, 0, Want::Mere);
        if shares.iter().all(|old| old.id != share.id) {
            break share;
        }
    };
    assert_eq!(client.submit(&fresh).await["result"], json!(true));
    pool.stop().await;
    drop((pool, client));
    let mut ids = HashSet::new();
    assert_eq!(journalled(&process.disk, &folder.path().join("dev"), 1, &mut ids), 6);
    assert!(shares.iter().chain([&fresh]).all(|share| ids.contains(&share.id)));
}
