//! Recorded sessions of real miners, replayed: the jobs are rebuilt from the recorded notifies, the session gets the
//! recorded extranonce1, and every submit has to get the recorded verdict by real hashing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::miner::{Client, bytes, word};
use common::{SOURCES, Template, chain, config, start_recipes};
use millpond_types::Target;
use serde_json::{Value, json};
use std::collections::HashMap;

struct Replayed {
    accepted: usize,
    jobs: usize,
}

fn template(notify: &Value) -> Template {
    let params = &notify["params"];
    let prev: Vec<u8> = bytes(&params[1]).chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
    let bits = word(&params[6]);
    Template {
        recipe: 0,
        head: bytes(&params[2]),
        tail: bytes(&params[3]),
        branch: params[4].as_array().unwrap().iter().flat_map(bytes).collect(),
        version: word(&params[5]),
        prev: prev.try_into().unwrap(),
        bits,
        time: word(&params[7]),
        coord: 1,
        network: Target::from_compact(bits).unwrap(),
    }
}

/// Replays a recording line by line.
async fn replay(recording: &str) -> Replayed {
    let lines: Vec<(bool, Value)> = recording
        .lines()
        .map(|line| {
            let entry: Value = serde_json::from_str(line).unwrap();
            let message = serde_json::from_str(entry["line"].as_str().unwrap()).unwrap();
            (entry["dir"] == ">", message)
        })
        .collect();
    let subscribed = lines.iter().find(|(_, message)| message["result"][0][0][0] == "mining.notify").unwrap();
    let extranonce = bytes(&subscribed.1["result"][1]);
    let mut config = config();
    (config.vardiff.start, config.vardiff.min, config.vardiff.max) = (0.0005, 0.0005, 0.0005);
    // Half of the shares below are sent twice, which no miner does.
    config.bans.window = 1000;
    // ckpool's extranonce has twelve bytes.
    let recipe = SOURCES[0].replace("xn:8", "xn:12");
    let mut chain = chain();
    chain.extranonce = 12;
    let pool = start_recipes(config, chain, Some(&extranonce), &[&recipe]).await;
    let mut client = Client::connect(pool.address()).await;
    let (mut names, mut waiting, mut accepted, mut ready) = (HashMap::new(), Vec::new(), 0, false);
    let mut unseen = Vec::new();
    for (from_miner, message) in &lines {
        match (from_miner, message["method"].as_str()) {
            (true, Some("mining.submit")) => {
                let mut submit = message.clone();
                submit["params"][1] = json!(names[message["params"][1].as_str().unwrap()]);
                client.send(&submit).await;
                // Read before anything else happens: in one recording a job comes between a share and its answer.
                waiting.push(client.answer(&message["id"]).await);
            }
            (true, Some("mining.subscribe")) => {
                client.send(message).await;
                let reply = client.answer(&message["id"]).await;
                assert_eq!(bytes(&reply["result"][1]), extranonce);
                assert_eq!(reply["result"][2], subscribed.1["result"][2]);
            }
            (true, Some(_)) => {
                client.send(message).await;
                let reply = client.answer(&message["id"]).await;
                ready |= message["method"] == "mining.authorize";
                if message["method"] != "mining.extranonce.subscribe" {
                    assert!(reply["error"].is_null(), "{reply}");
                }
            }
            (false, Some("mining.notify")) => {
                pool.publish(&template(message));
                unseen.push(message.clone());
            }
            (false, Some("mining.set_difficulty")) => assert_eq!(message["params"][0], 0.0005),
            (false, _) if message["result"] == json!(true) && !waiting.is_empty() => {
                // The recorded pool answered a share: so has ours, alike.
                let answer = waiting.remove(0);
                assert_eq!(answer, *message);
                accepted += 1;
            }
            _ => {}
        }
        // Every recorded job reaches the miner as recorded, under a name of ours. One that came before the login is
        // pushed after it.
        while ready && !unseen.is_empty() {
            let recorded = unseen.remove(0);
            let ours = client.pushed("mining.notify").await;
            for part in 1..8 {
                assert_eq!(ours["params"][part], recorded["params"][part], "part {part} of a job");
            }
            let name = recorded["params"][0].as_str().unwrap().to_owned();
            names.insert(name, ours["params"][0].as_str().unwrap().to_owned());
        }
    }
    assert!(waiting.is_empty());
    let counted = pool.pool.accepted.lock().unwrap().clone();
    assert_eq!(counted.len(), accepted);
    // Regtest: every share of this difficulty is a block.
    assert!(counted.iter().all(|share| share.credited && share.solution.is_some()));
    // None of them counts a second time, however it is written.
    for (_, message) in lines.iter().filter(|(miner, message)| *miner && message["method"] == "mining.submit")
    {
        let mut submit = message.clone();
        submit["params"][1] = json!(names[message["params"][1].as_str().unwrap()]);
        submit["params"][4] = json!(message["params"][4].as_str().unwrap().to_uppercase());
        submit["id"] = json!("again");
        client.send(&submit).await;
        assert_eq!(client.answer(&json!("again")).await["error"][0], 22);
    }
    assert_eq!(pool.pool.accepted.lock().unwrap().len(), accepted);
    Replayed { accepted, jobs: names.len() }
}

#[tokio::test]
async fn minerd_gets_its_recorded_verdicts() {
    let replayed = replay(include_str!("transcripts/minerd-ckpool.jsonl")).await;
    assert_eq!(replayed.accepted, 36);
    assert!(replayed.jobs > 30);
}

#[tokio::test]
async fn cpuminer_multi_gets_its_recorded_verdicts() {
    assert_eq!(replay(include_str!("transcripts/cpuminer-multi-ckpool.jsonl")).await.accepted, 32);
}

#[tokio::test]
async fn para_with_version_rolling_gets_its_recorded_verdicts() {
    assert_eq!(replay(include_str!("transcripts/para-ckpool.jsonl")).await.accepted, 70);
}
