//! What the engine costs per line. Reading a submit is held against a decoder written by hand for the same family, for
//! four unlike families, in one run and in turns; then what answering costs, encoding a job once, and writing it for a
//! session. Prints one JSON object of nanoseconds, each the best of many rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod family;
mod hand;

use family::{Family, families};
use millpond_dialect::{Dialect, Intent, Layered, Value, ValueMap};
use serde_json::json;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 401;
const LINES: u32 = 200;

fn round(work: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..LINES {
        work();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(LINES)
}

fn best(mut work: impl FnMut()) -> f64 {
    (0..ROUNDS).map(|_| round(&mut work)).fold(f64::INFINITY, f64::min).round()
}

/// Reads the same line in turns.
fn measure(family: &Family) -> serde_json::Value {
    let Family { name, document, line, session, by_hand, same } = family;
    let (dialect, line) = (Dialect::compile(name, document).unwrap(), line.as_bytes());
    let decoded = dialect.decode(line, session);
    let Intent::Submit(submit) = &decoded.intent else { panic!("{:?}", decoded.intent) };
    assert!(same(line, session, submit, decoded.call.id()));
    let (mut hand, mut engine) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        hand = hand.min(round(&mut || by_hand(line, session)));
        engine = engine.min(round(&mut || drop(black_box(dialect.decode(black_box(line), session)))));
    }
    json!({ "family": name, "bytes": line.len(), "by_hand_ns": hand.round(), "engine_ns": engine.round(),
        "ratio": (engine / hand * 1000.0).round() / 1000.0 })
}

fn main() {
    let submits: Vec<_> = families().iter().map(measure).collect();
    let text = include_str!("../../../../examples/families/bitcoin/v1.dialect");
    let dialect = Dialect::compile("bitcoin", text).unwrap();
    let submit = families().remove(0);
    let decoded = dialect.decode(submit.line.as_bytes(), &submit.session).into_owned();
    let bytes = |count: usize| Value::Bytes(vec![0x5a; count].into());
    let job = ValueMap::new()
        .with("prev", bytes(32))
        .with("head", bytes(84))
        .with("tail", bytes(120))
        .with("branch", bytes(12 * 32))
        .with("version", bytes(4))
        .with("bits", bytes(4))
        .with("first", bytes(4));
    let session =
        ValueMap::new().with("job", Value::Text("6b0143a5000000ed".into())).with("clean", Value::Flag(true));
    let rope = dialect.encode_job(&job).unwrap();
    let mut out = Vec::with_capacity(4096);
    let figures = json!({
        "bench": "lines",
        "submits": submits,
        "reply_ns": best(|| {
            out.clear();
            dialect.encode_reply(&decoded.call, &(), &mut out).unwrap();
            black_box(&out);
        }),
        "job_bytes": rope.shared_len(),
        "encode_job_ns": best(|| drop(black_box(dialect.encode_job(black_box(&Layered(&job, ()))).unwrap()))),
        "write_job_ns": best(|| {
            out.clear();
            rope.write(&session, &mut out).unwrap();
            black_box(&out);
        }),
    });
    println!("{figures}");
}
