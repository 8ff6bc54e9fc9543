//! What a recipe costs per share, against code written by hand for the same family, for four unlike families: Bitcoin
//! (a coinbase, a path, a header), Kaspa (a keyed matrix), CKB (a header named by its hash) and Decred (a header that
//! holds the extranonce). In one run and in turns, so that a busy machine slows both. Prints one JSON object:
//! nanoseconds per share, what the recipe takes more, and the ratio.
//!
//! Both sides get the values as they come off the wire, of any length, check what the document checks, hash with the
//! same algorithms of this host, compare with a share's and the network's target, and return pow, id and both verdicts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod family;
mod hand;

use family::{Family, by_recipe, targets};
use millpond_recipe::Scratch;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Many short rounds: a long one and a scheduler's slice could fall into step, and one side would always wait.
const ROUNDS: u32 = 801;
const SHARES: u32 = 100;

/// The tenth percentile: what it costs when nothing else runs.
fn undisturbed(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 10].as_nanos() as f64 / f64::from(SHARES)
}

fn measure(family: &Family) -> Value {
    let targets = targets();
    let (mut scratch, mut buffer) = (Scratch::default(), Vec::new());
    let shares: Vec<Vec<Vec<u8>>> = (0..SHARES).map(family.vary).collect();
    let (mut hand, mut recipe) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for values in &shares {
            black_box((family.hand)(black_box(values), &mut buffer));
        }
        hand.push(start.elapsed());
        let start = Instant::now();
        for values in &shares {
            black_box(by_recipe(&family.session, black_box(values), &targets, &mut scratch));
        }
        recipe.push(start.elapsed());
    }
    // Both come to the same, and refuse the same.
    for values in &shares {
        let both =
            ((family.hand)(values, &mut buffer), by_recipe(&family.session, values, &targets, &mut scratch));
        assert_eq!(both.0, both.1);
        assert!(both.0.is_some());
        for i in 0..values.len() {
            let mut wrong = values.clone();
            wrong[i].push(0);
            let refused = (family.hand)(&wrong, &mut buffer).is_none();
            assert!(refused && family.session.judge(&wrong, &mut scratch).is_err());
        }
    }
    let (hand, recipe) = (undisturbed(hand), undisturbed(recipe));
    json!({ "family": family.name, "by_hand_ns": hand.round(), "recipe_ns": recipe.round(),
        "over_ns": (recipe - hand).round(), "ratio": (recipe / hand * 1000.0).round() / 1000.0 })
}

fn main() {
    let targets = targets();
    let chosen: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let families = [
        hand::bitcoin("bitcoin, 12 steps", 12, targets),
        hand::bitcoin("bitcoin, 0 steps", 0, targets),
        hand::kaspa(targets),
        hand::ckb(targets),
        hand::decred(targets),
    ];
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| name.contains(chosen.as_str()));
    let results: Vec<Value> = families.iter().filter(|family| wanted(family.name)).map(measure).collect();
    println!("{}", json!({ "bench": "recipe per share", "results": results }));
}
