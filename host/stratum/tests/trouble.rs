//! The pool's own troubles with a share: an algorithm or a recipe that fails is nothing that a miner did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, code, is_true};
use common::moody::{FOR_GOOD, hashing, moody};
use common::{BLOCK, EASY, Template};
use millpond_algorithms::Cost;
use millpond_stratum::Refusal;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_share_whose_algorithm_fails_once_is_judged_again_and_counts() {
    for cost in [Cost::Light, Cost::Heavy] {
        let (pool, failing) = hashing(cost).await;
        let mut client = Client::ready(pool.address(), "alice").await;
        let job = client.notify().await;
        for en2 in 0..20 {
            let share = client.find(&job, en2, EASY, BLOCK);
            failing.store(1, Ordering::SeqCst);
            assert!(is_true(&client.submit("alice", &share).await));
        }
        assert_eq!(pool.pool.credited(), 20);
        assert!(pool.pool.unjudged.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn shares_that_the_pool_cannot_judge_are_refused_in_words_of_their_own_and_ban_nobody() {
    for cost in [Cost::Light, Cost::Heavy] {
        let (pool, failing) = hashing(cost).await;
        let mut client = Client::ready(pool.address(), "alice").await;
        let job = client.notify().await;
        let share = client.find(&job, 1, EASY, BLOCK);
        failing.store(FOR_GOOD, Ordering::SeqCst);
        for _ in 0..60 {
            let reply = client.submit("alice", &share).await;
            assert_eq!(code(&reply), 20);
            assert!(reply["error"][1].as_str().unwrap().contains("not your miner's"), "{reply}");
        }
        assert!(pool.handle.bans().is_empty());
        let counters = pool.handle.counters();
        assert_eq!((counters.unjudged, counters.malformed, counters.accepted), (60, 0, 0));
        assert!(pool.pool.refused.lock().unwrap().iter().all(|why| *why == Refusal::Unjudged));
        let told = pool.pool.unjudged.lock().unwrap().clone();
        assert_eq!(told.len(), 60, "the operator is told of each, and says what he hears of it");
        assert!(told[0].contains("the component trapped"), "{}", told[0]);
        // What was not judged was not remembered: the same share counts when the algorithm is well again.
        failing.store(0, Ordering::SeqCst);
        assert!(is_true(&client.submit("alice", &share).await));
    }
}

#[tokio::test]
async fn a_session_stage_that_fails_is_the_pools_fault_too() {
    // What a session has of its own comes from the moody algorithm.
    let (pool, failing) = moody(
        Cost::Light,
        "judge le pow | id pow | out hdr cb",
        "session prefix:2\nown = moody prefix\njudge le pow | id pow | out hdr cb own",
    )
    .await;
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    let share = client.find(&job, 1, EASY, BLOCK);
    // Enough newer jobs that the first one's session stage is forgotten and has to be made again.
    for time in 1..=8 {
        pool.publish(&Template { time: 1_700_000_000 + time, ..Template::default() });
        client.notify().await;
    }
    failing.store(FOR_GOOD, Ordering::SeqCst);
    for _ in 0..30 {
        let reply = client.submit("alice", &share).await;
        assert!(reply["error"][1].as_str().unwrap().contains("not your miner's"), "{reply}");
    }
    assert!(pool.handle.bans().is_empty());
    assert_eq!(pool.handle.counters().unjudged, 30);
    failing.store(1, Ordering::SeqCst);
    assert!(is_true(&client.submit("alice", &share).await), "one failure is tried again");
}
