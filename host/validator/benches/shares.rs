//! Shares per second and core through the validator: sha256d where it arrives, scrypt through the queue's threads.
//! Prints one JSON object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_recipe::{Recipe, SessionStage};
use millpond_types::Target;
use millpond_validator::{Candidate, Limits, Targets, Validator};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

fn session(text: &str) -> Arc<SessionStage> {
    let recipe = Recipe::compile("bench", text, &Algorithms::native()).unwrap();
    let consts: [&[u8]; 7] =
        [&[1; 90], &[2; 130], &[3; 32 * 12], &[0; 4], &[4; 32], &[0xff, 0xff, 0x7f, 0x20], &[0; 4]];
    Arc::new(recipe.job(&consts).unwrap().session(&[] as &[&[u8]]).unwrap())
}

fn measure(name: &str, text: &str, count: u32) -> serde_json::Value {
    let validator = Validator::new(Limits { threads: 1, ..Limits::default() }).unwrap();
    let session = session(text);
    let targets = Targets { share: Target::MAX, network: Target::BITCOIN_DIFF1 };
    let shares: Vec<_> = (0..count)
        .map(|i| Candidate {
            session: Arc::clone(&session),
            values: vec![vec![5; 8], vec![0; 4], i.to_be_bytes().to_vec(), Vec::new()],
            targets,
        })
        .collect();
    let start = Instant::now();
    let judged = validator.judge_all(&shares).into_iter().filter(|verdict| verdict.is_ok()).count();
    let seconds = start.elapsed().as_secs_f64();
    json!({ "recipe": name, "shares": judged, "per_core_second": (judged as f64 / seconds).round() })
}

fn main() {
    let bitcoin = include_str!("../../../examples/families/bitcoin/bitcoin.recipe");
    let litecoin = include_str!("../../../examples/families/litecoin/litecoin.recipe");
    let results = [measure("bitcoin", bitcoin, 200_000), measure("litecoin", litecoin, 3_000)];
    println!("{}", json!({ "bench": "validator", "results": results }));
}
