//! What a recipe costs per share, against Bitcoin code written by hand, in one run and in turns, so that a busy
//! machine slows both. Prints one JSON object: nanoseconds per share and their ratio, for paths of 0 and 12 steps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_recipe::{Recipe, Scratch};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Many short rounds: a long one and a scheduler's slice could fall into step, and one side would always wait.
const ROUNDS: usize = 801;
const SHARES: u32 = 100;

struct Job {
    head: Vec<u8>,
    tail: Vec<u8>,
    branch: Vec<[u8; 32]>,
    version: u32,
    prev: [u8; 32],
    bits: [u8; 4],
    time: u32,
}

fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// What a Bitcoin pool does per share, with the buffer kept and every check of the recipe.
fn by_hand(
    job: &Job,
    mask: u32,
    xn: [u8; 8],
    time: u32,
    nonce: u32,
    bits: u32,
    cb: &mut Vec<u8>,
) -> Option<[u8; 32]> {
    if bits & !mask != 0 || time < job.time || time > job.time + 7000 {
        return None;
    }
    cb.clear();
    cb.extend_from_slice(&job.head);
    cb.extend_from_slice(&xn);
    cb.extend_from_slice(&job.tail);
    let mut root = sha256d(cb);
    let mut pair = [0; 64];
    for step in &job.branch {
        pair[..32].copy_from_slice(&root);
        pair[32..].copy_from_slice(step);
        root = sha256d(&pair);
    }
    let mut header = [0; 80];
    header[..4].copy_from_slice(&((job.version & !mask) | (bits & mask)).to_le_bytes());
    header[4..36].copy_from_slice(&job.prev);
    header[36..68].copy_from_slice(&root);
    header[68..72].copy_from_slice(&time.to_le_bytes());
    header[72..76].copy_from_slice(&job.bits);
    header[76..].copy_from_slice(&nonce.to_le_bytes());
    let mut hash = sha256d(&header);
    hash.reverse();
    Some(hash)
}

/// The tenth percentile: what it costs when nothing else runs.
fn undisturbed(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 10].as_nanos() as f64 / f64::from(SHARES)
}

fn measure(steps: usize) -> serde_json::Value {
    let job = Job {
        head: vec![7; 90],
        tail: vec![9; 130],
        branch: (0..steps).map(|i| [i as u8; 32]).collect(),
        version: 0x2000_0000,
        prev: [3; 32],
        bits: [0xff, 0xff, 0x7f, 0x20],
        time: 1_700_000_000,
    };
    let mask = 0x1fff_e000_u32;
    let text = include_str!("../../../examples/families/bitcoin/bitcoin.recipe");
    let recipe = Recipe::compile("bitcoin.recipe", text, &Algorithms::native()).unwrap();
    let (version, time) = (job.version.to_be_bytes(), job.time.to_be_bytes());
    let branch = job.branch.concat();
    let consts = [&job.head[..], &job.tail, &branch, &version, &job.prev, &job.bits, &time];
    let session = recipe.job(&consts).unwrap().session(&[&mask.to_be_bytes()[..], &[]]).unwrap();
    let (mut scratch, mut cb) = (Scratch::default(), Vec::new());
    let vary = |i: u32| {
        (u64::from(i).to_be_bytes(), job.time + i % 600, i.wrapping_mul(0x9e37_79b9), (i << 13) & mask)
    };

    let (mut hand, mut recipe_time) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS as u32 {
        let start = Instant::now();
        for i in 0..SHARES {
            let (xn, time, nonce, bits) = vary(black_box(round * SHARES + i));
            black_box(by_hand(&job, mask, xn, time, nonce, bits, &mut cb));
        }
        hand.push(start.elapsed());
        let start = Instant::now();
        for i in 0..SHARES {
            let (xn, time, nonce, bits) = vary(black_box(round * SHARES + i));
            let values = [&xn[..], &time.to_be_bytes(), &nonce.to_be_bytes(), &bits.to_be_bytes()];
            black_box(session.judge(&values, &mut scratch).unwrap().pow);
        }
        recipe_time.push(start.elapsed());
    }
    // Both compute the same thing.
    let (xn, time, nonce, bits) = vary(12_345);
    let values = [&xn[..], &time.to_be_bytes(), &nonce.to_be_bytes(), &bits.to_be_bytes()];
    assert_eq!(
        Some(session.judge(&values, &mut scratch).unwrap().pow),
        by_hand(&job, mask, xn, time, nonce, bits, &mut cb)
    );
    let (hand, recipe) = (undisturbed(hand), undisturbed(recipe_time));
    json!({ "steps": steps, "by_hand_ns": hand.round(), "recipe_ns": recipe.round(),
        "ratio": (recipe / hand * 1000.0).round() / 1000.0 })
}

fn main() {
    println!("{}", json!({ "bench": "recipe per share", "results": [measure(0), measure(12)] }));
}
