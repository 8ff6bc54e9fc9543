//! What documents cost a share in all: its line read by the dialect and judged by the recipe, against both by hand for the
//! same family. Four unlike families, in one run and in turns. Prints one JSON object: nanoseconds per share, and the ratio.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../recipe/benches/share"]
mod judged {
    pub(crate) mod family;
    pub(crate) mod hand;
}

#[path = "../lines"]
mod read {
    pub(crate) mod family;
    pub(crate) mod hand;
}

use judged::family::{by_recipe, targets};
use millpond_dialect::{Dialect, Intent};
use millpond_recipe::Scratch;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Many short rounds, as in the bench of recipes alone.
const ROUNDS: u32 = 801;
const SHARES: u32 = 100;

/// The tenth percentile: what it costs when nothing else runs.
fn undisturbed(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() / 10].as_nanos() as f64 / f64::from(SHARES)
}

fn measure(name: &str, line: &read::family::Family, share: &judged::family::Family) -> Value {
    let dialect = Dialect::compile(line.name, line.document).unwrap();
    let bytes = line.line.as_bytes();
    let decoded = dialect.decode(bytes, &line.session);
    let Intent::Submit(submit) = &decoded.intent else { panic!("{:?}", decoded.intent) };
    assert!((line.same)(bytes, &line.session, submit, decoded.call.id()));
    let targets = targets();
    let (mut scratch, mut buffer) = (Scratch::default(), Vec::new());
    let shares: Vec<Vec<Vec<u8>>> = (0..SHARES).map(share.vary).collect();
    for values in &shares {
        let by_hand = (share.hand)(values, &mut buffer);
        assert!(by_hand.is_some() && by_hand == by_recipe(&share.session, values, &targets, &mut scratch));
    }
    let (mut hand, mut documents) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for values in &shares {
            (line.by_hand)(black_box(bytes), &line.session);
            black_box((share.hand)(black_box(values), &mut buffer));
        }
        hand.push(start.elapsed());
        let start = Instant::now();
        for values in &shares {
            drop(black_box(dialect.decode(black_box(bytes), &line.session)));
            black_box(by_recipe(&share.session, black_box(values), &targets, &mut scratch));
        }
        documents.push(start.elapsed());
    }
    let (hand, documents) = (undisturbed(hand), undisturbed(documents));
    json!({ "family": name, "by_hand_ns": hand.round(), "documents_ns": documents.round(),
        "ratio": (documents / hand * 1000.0).round() / 1000.0 })
}

fn main() {
    let targets = targets();
    let shares = [
        judged::hand::bitcoin("bitcoin, 12 steps, version bits", 12, targets),
        judged::hand::bitcoin("bitcoin, 0 steps, plain", 0, targets),
        judged::hand::kaspa(targets),
        judged::hand::ckb(targets),
        judged::hand::decred(targets),
    ];
    let lines = read::family::families();
    assert_eq!(lines.len(), shares.len());
    let each = lines.iter().zip(&shares).map(|(line, share)| measure(share.name, line, share));
    println!("{}", json!({ "bench": "line and recipe per share", "results": each.collect::<Vec<_>>() }));
}
