//! What a share is answered, and what the pool is told of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, Share, code, is_true, meets, params};
use common::{BLOCK, EASY, Harness, Template, config, start, start_with, target};
use millpond_types::{Target, UnixMillis, WorkShift};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

async fn mining() -> (Harness, Client, common::miner::Notify) {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::ready(pool.address(), "alice.rig1").await;
    let job = client.notify().await;
    (pool, client, job)
}

#[tokio::test]
async fn a_share_counts_with_the_work_of_its_target_and_its_own_hash() {
    let (pool, mut client, job) = mining().await;
    let share = client.find(&job, 7, EASY, BLOCK);
    assert!(is_true(&client.submit("alice.rig1", &share).await));
    let accepted = pool.pool.last();
    assert!(accepted.credited && accepted.solution.is_none());
    assert_eq!(accepted.pow, share.hash);
    let id: Vec<u8> = share.hash.iter().rev().copied().collect();
    assert_eq!(accepted.id.to_vec(), id);
    assert_eq!(accepted.work, target(EASY).work(WorkShift(0)));
    assert_eq!((&*accepted.worker, accepted.payee.address.as_str()), ("rig1", "alice"));
    assert_eq!(pool.handle.counters().accepted, 1);
    let session = &pool.handle.sessions()[0];
    assert_eq!((session.accepted, session.worker.as_str(), session.agent.as_str()), (1, "rig1", "test/1"));
    assert!(session.hashrate > 0.0);
}

#[tokio::test]
async fn the_worker_at_submit_may_differ_from_the_login() {
    let (pool, mut client, job) = mining().await;
    for (en2, (name, worker)) in
        [("alice.rig2", "rig2"), ("alice.rig1", "rig1"), ("rig3", "rig3"), ("", "rig1")]
            .into_iter()
            .enumerate()
    {
        let share = client.find(&job, en2 as u64, EASY, BLOCK);
        assert!(is_true(&client.submit(name, &share).await));
        assert_eq!(&*pool.pool.last().worker, worker);
        assert_eq!(pool.pool.last().payee.address, "alice");
    }
}

#[tokio::test]
async fn a_proxy_logs_in_several_workers_and_each_is_credited() {
    let (pool, mut client, job) = mining().await;
    assert!(is_true(&client.call("mining.authorize", json!(["bob.x", "x"])).await));
    for (en2, (login, address)) in [("alice.rig1", "alice"), ("bob.x", "bob")].into_iter().enumerate() {
        let share = client.find(&job, en2 as u64, EASY, BLOCK);
        assert!(is_true(&client.submit(login, &share).await));
        assert_eq!(pool.pool.last().payee.address, address);
    }
}

#[tokio::test]
async fn a_duplicate_is_refused_also_in_other_hex_case_and_on_another_connection() {
    let (pool, mut client, job) = mining().await;
    let share = client
        .find_where(&job, 0xabcdef, |hash| target(EASY).is_met_by(hash) && !target(BLOCK).is_met_by(hash));
    assert!(is_true(&client.submit("alice.rig1", &share).await));
    assert_eq!(code(&client.submit("alice.rig1", &share).await), 22);
    let upper = json!([
        "alice.rig1",
        share.job,
        hex::encode_upper(&share.en2),
        format!("{:08X}", share.time),
        format!("{:08X}", share.nonce)
    ]);
    assert_eq!(code(&client.call("mining.submit", upper).await), 22);
    let prefixed = json!([
        "alice.rig1",
        share.job,
        hex::encode(&share.en2),
        format!("{:08x}", share.time),
        format!("0x{:08x}", share.nonce),
        "00000000"
    ]);
    assert_eq!(code(&client.call("mining.submit", prefixed).await), 22);
    assert_eq!(pool.pool.credited(), 1);
    // The same job under another name on the wire is the same work.
    let number: u64 = share.job.parse().unwrap();
    for other in [number + 1, number + 255] {
        let renamed = Share { job: other.to_string(), ..share.clone() };
        assert_ne!(client.submit("alice.rig1", &renamed).await["result"], json!(true), "{other}");
    }
    assert_eq!(pool.pool.credited(), 1);
}

#[tokio::test]
async fn a_refused_share_poisons_nothing() {
    let (pool, mut client, job) = mining().await;
    let share = client.find(&job, 1, EASY, BLOCK);
    pool.pool.broken.store(true, Ordering::SeqCst);
    let refused = client.submit("alice.rig1", &share).await;
    assert_eq!(code(&refused), 20);
    assert!(refused["error"][1].as_str().unwrap().contains("disk is full"));
    assert_eq!(pool.handle.counters().accepted, 0);
    pool.pool.broken.store(false, Ordering::SeqCst);
    assert!(
        is_true(&client.submit("alice.rig1", &share).await),
        "the failed attempt was remembered as accepted"
    );
    // Nor does a share that was refused for its time.
    let late = Share { time: job.time + 8000, ..client.find(&job, 2, EASY, BLOCK) };
    assert_eq!(code(&client.submit("alice.rig1", &late).await), 20);
    assert!(is_true(&client.submit("alice.rig1", &client.find(&job, 2, EASY, BLOCK)).await));
}

#[tokio::test]
async fn true_is_read_only_after_the_record_and_answers_keep_their_order() {
    let (pool, mut client, job) = mining().await;
    pool.pool.hold.store(true, Ordering::SeqCst);
    for en2 in 0..3 {
        let share = client.find(&job, en2, EASY, BLOCK);
        client
            .send(&json!({"id": 100 + en2, "method": "mining.submit", "params": params("alice", &share)}))
            .await;
    }
    // A refused one behind them waits for its turn; other requests do not.
    client
        .send(
            &json!({"id": 103, "method": "mining.submit", "params": ["alice", "99999999", "0000000000000000", "6553f100", "00000000"]}),
        )
        .await;
    assert_eq!(client.call("mining.ping", json!([])).await["result"], "pong");
    assert!(client.pushed.iter().all(|message| message["result"] != json!(true)), "true before the record");
    assert_eq!(pool.pool.credited(), 0);
    pool.pool.permits.0.add_permits(3);
    for id in 100..104 {
        let answer = client.message().await;
        assert_eq!(answer["id"], id);
        assert_eq!(is_true(&answer), id < 103);
    }
    assert_eq!(pool.pool.credited(), 3);
}

#[tokio::test]
async fn a_share_of_a_miner_that_hung_up_is_still_recorded() {
    let (pool, mut client, job) = mining().await;
    pool.pool.hold.store(true, Ordering::SeqCst);
    let share = client.find(&job, 1, EASY, BLOCK);
    client.send(&json!({"id": 9, "method": "mining.submit", "params": params("alice", &share)})).await;
    assert_eq!(client.call("mining.ping", json!([])).await["result"], "pong");
    drop(client);
    pool.until("the connection ends", |pool| pool.handle.connections() == 0).await;
    pool.pool.permits.0.add_permits(1);
    pool.until("the share is recorded", |pool| pool.pool.credited() == 1).await;
}

#[tokio::test]
async fn unknown_and_stale_jobs_are_told_apart() {
    let (pool, mut client, job) = mining().await;
    let share = client.find(&job, 1, EASY, BLOCK);
    for name in ["999936", "", "abc", "-1", "256x", "99999999999999999999999999"] {
        let answer = client.submit("alice", &Share { job: name.to_owned(), ..share.clone() }).await;
        assert_eq!((code(&answer), &answer["error"][1]), (21, &json!("Job not found")), "{name:?}");
    }
    pool.publish(&Template { prev: [8; 32], ..Template::default() });
    let answer = client.submit("alice", &share).await;
    assert_eq!((code(&answer), &answer["error"][1]), (21, &json!("Stale job")));
    let counters = pool.handle.counters();
    assert_eq!((counters.stale, counters.unknown_job), (1, 6));
    assert_eq!(pool.pool.credited(), 0);
}

#[tokio::test]
async fn work_on_the_same_parent_counts_after_a_newer_job() {
    let (pool, mut client, job) = mining().await;
    pool.publish(&Template { time: 1_700_000_030, ..Template::default() });
    client.notify().await;
    assert!(is_true(&client.submit("alice", &client.find(&job, 1, EASY, BLOCK)).await));
}

#[tokio::test]
async fn low_difficulty_is_23() {
    let (pool, mut client, job) = mining().await;
    let share = client.find_where(&job, 1, |hash| !target(EASY).is_met_by(hash));
    assert_eq!(code(&client.submit("alice", &share).await), 23);
    assert_eq!(pool.handle.counters().low_difficulty, 1);
    assert!(pool.pool.accepted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_solution_goes_to_the_pool_with_everything_a_block_needs() {
    let (pool, mut client, job) = mining().await;
    let share = client.find_where(&job, 1, meets(target(BLOCK)));
    assert!(is_true(&client.submit("alice", &share).await));
    let accepted = pool.pool.last();
    let solution = accepted.solution.unwrap();
    assert!(accepted.credited);
    // const, session and share fields of the recipe: 7 + 2 + 4.
    assert_eq!(solution.fields.len(), 13);
    assert_eq!(solution.fields[9], client.extranonce(&share.en2));
    assert_eq!(solution.fields[11], share.nonce.to_be_bytes());
    let header = &solution.results[0];
    let mut hash = common::miner::sha256d(header);
    hash.reverse();
    assert_eq!(hash, share.hash);
    assert_eq!(pool.handle.counters().solutions, 1);
}

#[tokio::test]
async fn a_stale_solution_is_submitted_and_answered_21() {
    let (pool, mut client, job) = mining().await;
    let share = client.find_where(&job, 1, meets(target(BLOCK)));
    pool.publish(&Template { prev: [8; 32], ..Template::default() });
    assert_eq!(code(&client.submit("alice", &share).await), 21);
    let accepted = pool.pool.last();
    assert!(!accepted.credited && accepted.solution.is_some());
    // Once is enough.
    assert_eq!(code(&client.submit("alice", &share).await), 22);
    assert_eq!(pool.pool.accepted.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_solution_of_an_expired_job_is_submitted_and_answered_21() {
    let pool = start().await;
    let mut client = Client::ready(pool.address(), "alice.rig1").await;
    pool.publish_for(&Template::default(), 3_000);
    let job = client.notify().await;
    let share = client.find(&job, 1, EASY, BLOCK);
    let block = client.find_where(&job, 2, |hash| target(BLOCK).is_met_by(hash));
    pool.until("the job's end", |pool| pool.jobs.expire(UnixMillis::now()).is_some()).await;
    assert_eq!(code(&client.submit("alice.rig1", &share).await), 21);
    assert_eq!(pool.pool.accepted.lock().unwrap().len(), 0, "it earns nothing");
    assert_eq!(code(&client.submit("alice.rig1", &block).await), 21);
    let accepted = pool.pool.last();
    assert!(!accepted.credited && accepted.solution.is_some(), "it is a block all the same");
}

#[tokio::test]
async fn a_solution_below_its_own_target_is_submitted_and_answered_23() {
    let mut config = config();
    // Regtest: the network is easier than any share.
    config.vardiff.start = 1.0;
    let pool = start_with(config).await;
    pool.publish(&Template { network: Target::from_compact(0x207f_ffff).unwrap(), ..Template::default() });
    let mut client = Client::ready(pool.address(), "alice").await;
    let job = client.notify().await;
    let network = Target::from_compact(0x207f_ffff).unwrap();
    let share = client.find_where(&job, 1, meets(network));
    assert_eq!(code(&client.submit("alice", &share).await), 23);
    assert!(!pool.pool.last().credited && pool.pool.last().solution.is_some());
    assert_eq!(pool.handle.counters().accepted, 0);
}

#[tokio::test]
async fn a_job_whose_blocks_the_nodes_refuse_earns_nothing_but_is_still_submitted() {
    let (pool, mut client, job) = mining().await;
    pool.jobs.current().unwrap().suspend();
    let answer = client.submit("alice", &client.find(&job, 1, EASY, BLOCK)).await;
    assert_eq!(code(&answer), 20);
    assert!(answer["error"][1].as_str().unwrap().contains("earns no credit"));
    let solution = client.find_where(&job, 2, meets(target(BLOCK)));
    assert_eq!(code(&client.submit("alice", &solution).await), 20);
    assert!(!pool.pool.last().credited && pool.pool.last().solution.is_some());
    assert_eq!(pool.handle.counters().suspended, 2);
}

#[tokio::test]
async fn time_is_held_to_its_window() {
    let (_pool, mut client, job) = mining().await;
    for (offset, fits) in [(0_i64, true), (7000, true), (7001, false), (-1, false)] {
        let time = u32::try_from(i64::from(job.time) + offset).unwrap();
        let en2 = vec![0, 0, 0, 0, 0, 5];
        let extranonce = client.extranonce(&en2);
        let rolled = common::miner::Notify { time, ..job.clone() };
        let nonce = rolled.mine(&extranonce, job.version, 0, |hash| {
            target(EASY).is_met_by(hash) && !target(BLOCK).is_met_by(hash)
        });
        let share = Share { job: job.job.clone(), en2, time, nonce, hash: [0; 32] };
        let answer = client.submit("alice", &share).await;
        assert_eq!(is_true(&answer), fits, "{offset}: {answer}");
    }
}

#[tokio::test]
async fn fields_of_wrong_widths_and_kinds_are_refused_in_words() {
    let (_pool, mut client, job) = mining().await;
    let good = client.find(&job, 1, EASY, BLOCK);
    let (time, nonce) = (format!("{:08x}", good.time), format!("{:08x}", good.nonce));
    for bad in [
        json!(["alice", good.job, "zz", time, nonce]),
        json!(["alice", good.job, "0000000000000001", "12", nonce]),
        json!(["alice", good.job, "0000000000000001", time]),
        json!(["alice", good.job, "0000000000000001", time, null]),
        json!(["alice", good.job, 5, time, nonce]),
        json!(["alice"]),
        json!([]),
        json!({"worker": "alice"}),
        json!(["alice", good.job, "0000000000000001", time, nonce, "00000001"]),
    ] {
        let answer = client.call("mining.submit", bad.clone()).await;
        assert_eq!(code(&answer), 20, "{bad}: {answer}");
        assert!(answer["error"][1].as_str().unwrap().len() > 5);
    }
    assert!(is_true(&client.submit("alice", &good).await));
}

#[tokio::test]
async fn a_nonce_with_too_many_digits_and_a_short_extranonce_are_mended() {
    let (pool, mut client, job) = mining().await;
    let good = client.find(&job, 0, EASY, BLOCK);
    let odd = json!(["alice", good.job, "00", format!("{:08x}", good.time), format!("{:08x}00", good.nonce)]);
    assert!(is_true(&client.call("mining.submit", odd).await));
    assert_eq!(pool.pool.last().pow, good.hash);
}

#[tokio::test]
async fn an_old_difficulty_ends_with_the_jobs_that_were_sent_under_it() {
    let (pool, mut client, job) = mining().await;
    let harder = EASY * 16.0;
    assert!(is_true(&client.call("mining.authorize", json!(["alice", format!("d={harder:e}")])).await));
    client.notify().await;
    pool.publish(&Template { time: 1_700_000_100, ..Template::default() });
    let fresh = client.notify().await;
    // The easy epoch's number under the new job's id: a name that was never sent.
    let (old, new): (u64, u64) = (job.job.parse().unwrap(), fresh.job.parse().unwrap());
    let weak =
        Share { job: (new >> 8 << 8 | old & 0xff).to_string(), ..client.find(&fresh, 1, EASY, harder) };
    assert_ne!(weak.job, fresh.job);
    assert_eq!(code(&client.submit("alice", &weak).await), 23);
    assert_eq!(pool.pool.credited(), 0);
}

#[tokio::test]
async fn the_lower_of_old_and_new_difficulty_is_honoured_until_the_next_job_and_credited() {
    let (pool, mut client, job) = mining().await;
    let harder = EASY * 16.0;
    assert!(is_true(&client.call("mining.authorize", json!(["alice", format!("d={harder:e}")])).await));
    let told = client.difficulty().await;
    assert_eq!(told, harder);
    let fresh = client.notify().await;
    // The old job still goes by the old difficulty, and is credited by it.
    let share = client.find(&job, 1, EASY, told);
    assert!(is_true(&client.submit("alice", &share).await));
    assert_eq!(pool.pool.last().work, target(EASY).work(WorkShift(0)));
    // The fresh one by the new.
    let weak = client.find(&fresh, 1, EASY, told);
    assert_eq!(code(&client.submit("alice", &weak).await), 23);
    let strong = client.find(&fresh, 2, told, BLOCK);
    assert!(is_true(&client.submit("alice", &strong).await));
    assert_eq!(pool.pool.last().work, target(told).work(WorkShift(0)));
    // Down again: the job sent under the higher one goes by the lower at once.
    assert!(is_true(&client.call("mining.authorize", json!(["alice", format!("d={EASY:e}")])).await));
    let weak = client.find(&fresh, 3, EASY, told);
    assert!(is_true(&client.submit("alice", &weak).await));
    assert_eq!(pool.pool.last().work, target(EASY).work(WorkShift(0)));
}

/// A miner that rolls version bits, by one of the two readings of BIP 310.
async fn roll(
    client: &mut Client,
    job: &common::miner::Notify,
    bits: u32,
    reading: fn(u32, u32) -> u32,
) -> Value {
    let version = reading(job.version, bits);
    let en2 = vec![0, 0, 0, 0, 1, 0];
    let extranonce = client.extranonce(&en2);
    // One hash in 64 meets this difficulty by chance: the share has to miss it under every other reading of its bits.
    let misses = |other: u32, nonce| {
        other == version || !target(EASY).is_met_by(&job.hash(&extranonce, job.time, nonce, other))
    };
    let mut nonce = 0;
    loop {
        nonce = job.mine(&extranonce, version, nonce, |hash| {
            target(EASY).is_met_by(hash) && !target(BLOCK).is_met_by(hash)
        });
        if [masks(job.version, bits), ors(job.version, bits), job.version]
            .into_iter()
            .all(|other| misses(other, nonce))
        {
            break;
        }
        nonce += 1;
    }
    let submit = json!([
        "alice",
        job.job,
        hex::encode(&en2),
        format!("{:08x}", job.time),
        format!("{nonce:08x}"),
        format!("{bits:08x}")
    ]);
    client.call("mining.submit", submit).await
}

const MASK: u32 = 0x1fff_e000;

fn masks(version: u32, bits: u32) -> u32 {
    (version & !MASK) | (bits & MASK)
}

fn ors(version: u32, bits: u32) -> u32 {
    version | bits
}

#[tokio::test]
async fn rolled_versions_agree_by_both_readings_when_the_job_carries_none_of_the_masks_bits() {
    for (reading, bits) in [(masks as fn(u32, u32) -> u32, 0x0064_2000), (ors, 0x1234_6000 & MASK)] {
        let pool = start().await;
        // The template had bit 28 (testdummy) set; the job is sent without it.
        pool.publish(&Template { version: 0x3000_0000 & !MASK, ..Template::default() });
        let mut client = Client::connect(pool.address()).await;
        let configured = client
            .call("mining.configure", json!([["version-rolling"], {"version-rolling.mask": "ffffffff"}]))
            .await;
        assert_eq!(configured["result"]["version-rolling.mask"], "1fffe000");
        client.subscribe(json!(["para"])).await;
        client.call("mining.authorize", json!(["alice", "x"])).await;
        let job = client.notify().await;
        assert_eq!(job.version & MASK, 0);
        let answer = roll(&mut client, &job, bits, reading).await;
        assert!(is_true(&answer), "{answer}");
        let outside = roll(&mut client, &job, 1, ors).await;
        assert_eq!(code(&outside), 20, "a bit outside the mask");
    }
}

#[tokio::test]
async fn with_a_template_bit_inside_the_mask_only_the_reading_of_bip_310_counts() {
    let pool = start().await;
    pool.publish(&Template { version: 0x3000_0000, ..Template::default() });
    let mut client = Client::connect(pool.address()).await;
    client.call("mining.configure", json!([["version-rolling"], {"version-rolling.mask": "1fffe000"}])).await;
    client.subscribe(json!(["para"])).await;
    client.call("mining.authorize", json!(["alice", "x"])).await;
    let job = client.notify().await;
    assert!(is_true(&roll(&mut client, &job, 0x0064_2000, masks).await));
    // The other reading keeps bit 28 that the server clears: half of such shares were lost with ckpool.
    let answer = roll(&mut client, &job, 0x0012_2000, ors).await;
    assert_eq!(code(&answer), 23, "{answer}");
}

#[tokio::test]
async fn without_negotiation_no_bit_may_be_rolled() {
    let (_pool, mut client, job) = mining().await;
    assert_eq!(code(&roll(&mut client, &job, 0x2000, ors).await), 20);
    assert!(is_true(&roll(&mut client, &job, 0, ors).await));
}

#[tokio::test]
async fn a_submit_before_login_or_subscription_has_its_own_code() {
    let pool = start().await;
    pool.publish(&Template::default());
    let mut client = Client::connect(pool.address()).await;
    let submit = json!(["alice", "256", "0000000000000000", "6553f100", "00000000"]);
    assert_eq!(code(&client.call("mining.submit", submit.clone()).await), 24);
    client.subscribe(json!(["x"])).await;
    assert_eq!(code(&client.call("mining.submit", submit.clone()).await), 24);
    let mut client = Client::connect(pool.address()).await;
    client.call("mining.authorize", json!(["alice", "x"])).await;
    assert_eq!(code(&client.call("mining.submit", submit).await), 25);
}

#[tokio::test]
async fn a_miner_whose_work_would_pay_somebody_else_gets_none() {
    let pool = start().await;
    *pool.pool.wrong_payee.lock().unwrap() = "alice".to_owned();
    pool.publish(&Template { recipe: 1, ..Template::default() });
    let mut alice = Client::ready(pool.address(), "alice").await;
    let mut bob = Client::ready(pool.address(), "bob").await;
    bob.notify().await;
    pool.pool.wrong_payee.lock().unwrap().clear();
    pool.publish(&Template { recipe: 1, time: 1_700_000_100, ..Template::default() });
    assert_eq!(alice.notify().await.time, 1_700_000_100, "the first work that is his own");
}

#[tokio::test]
async fn a_miner_paid_in_the_coinbase_mines_for_himself_and_nobody_else() {
    let pool = start().await;
    pool.publish(&Template { recipe: 1, ..Template::default() });
    let mut alice = Client::ready(pool.address(), "alice").await;
    let mut bob = Client::ready(pool.address(), "bob").await;
    let (job, other) = (alice.notify().await, bob.notify().await);
    assert_ne!(job.coinb2, other.coinb2);
    assert_eq!(&job.coinb2[..6], b"\x05alice");
    assert!(is_true(&alice.submit("alice", &alice.find(&job, 1, EASY, BLOCK)).await));
    // Another login on the connection is other work, sent at once; the share of the old work pays whom it names.
    assert!(is_true(&alice.call("mining.authorize", json!(["carol.x", "x"])).await));
    let fresh = alice.notify().await;
    assert_eq!(&fresh.coinb2[..6], b"\x05carol");
    assert!(is_true(&alice.submit("carol.x", &alice.find(&job, 2, EASY, BLOCK)).await));
    assert_eq!(pool.pool.last().payee.address, "alice");
    assert!(is_true(&alice.submit("alice", &alice.find(&fresh, 3, EASY, BLOCK)).await));
    assert_eq!(pool.pool.last().payee.address, "carol");
}
