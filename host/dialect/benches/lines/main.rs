//! What the engine costs per line. Reading a submit is held against a decoder written by hand for the same family, for
//! four unlike families, in one run and in turns; then what answering costs, encoding a job once, and writing it for a
//! session. Prints one JSON object of nanoseconds, each the best of many rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod hand;

use millpond_dialect::{Dialect, Extranonce, Intent, JobRef, Layered, SessionView, Submit, Value, ValueMap};
use serde_json::json;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 401;
const LINES: u32 = 200;

struct Session {
    prefix: &'static [u8],
    size: usize,
}

impl SessionView for Session {
    fn subscribed(&self) -> bool {
        true
    }

    fn authorized(&self) -> bool {
        true
    }

    fn extranonce(&self, _job: &JobRef<'_>) -> Extranonce<'_> {
        Extranonce { prefix: self.prefix, size: self.size }
    }

    fn negotiated(&self, _field: &str) -> Option<&[u8]> {
        None
    }
}

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

/// A family's line, read by the document and by hand.
struct Family {
    name: &'static str,
    document: &'static str,
    line: String,
    session: Session,
    by_hand: fn(&[u8], &dyn SessionView),
    /// Whether a share that was read by hand is the one that the document reads.
    same: fn(&[u8], &dyn SessionView, &Submit<'_>, &str) -> bool,
}

/// The share by hand, and how it compares with one of the document.
macro_rules! by_hand {
    ($decode:path, $fields:expr) => {
        (
            (|line, session| drop(black_box($decode(black_box(line), session).unwrap())))
                as fn(&[u8], &dyn SessionView),
            (|line, session, submit, id| {
                let share = $decode(line, session).unwrap();
                let fields: &[&str] = $fields;
                let words =
                    fields.iter().zip(&share.words).all(|(name, word)| submit.field(name) == Some(&word[..]));
                words
                    && share.id == id
                    && Some(share.worker) == submit.worker.as_deref()
                    && share.job == submit.job
                    && submit.field("xn") == Some(&share.xn[..])
            }) as fn(&[u8], &dyn SessionView, &Submit<'_>, &str) -> bool,
        )
    };
}

/// Lines as miners send them, with an address of the longest kind and a job of this host.
fn families() -> Vec<Family> {
    let family = |name, document, line, (prefix, size): (&'static [u8], usize), (by_hand, same)| Family {
        name,
        document,
        line,
        session: Session { prefix, size },
        by_hand,
        same,
    };
    let bitcoin = include_str!("../../../../examples/families/bitcoin/v1.dialect");
    let kaspa = include_str!("../../../../examples/families/kaspa/default.dialect");
    let ckb = include_str!("../../../../examples/families/ckb/a.dialect");
    let decred = include_str!("../../../../examples/families/decred/v1.dialect");
    let worker = "bc1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85.multi";
    let line = |values: &str| {
        format!(r#"{{"id":4711,"method":"mining.submit","params":["{worker}","6b0143a5000000ed",{values}]}}"#)
    };
    let bits = r#""0000000000000000","6b0143dc","7fa00800","00abc000""#;
    let plain = r#""0000000000000000","6b0143dc","7fa00800""#;
    vec![
        family(
            "bitcoin, version bits",
            bitcoin,
            line(bits),
            (&[8, 0, 0, 2], 12),
            by_hand!(hand::bitcoin, &["time", "nonce", "vbits"]),
        ),
        family(
            "bitcoin, plain",
            bitcoin,
            line(plain),
            (&[8, 0, 0, 2], 12),
            by_hand!(hand::bitcoin, &["time", "nonce", "vbits"]),
        ),
        family("kaspa", kaspa, line(r#""0x00010203040506ff""#), (&[0, 1], 8), by_hand!(hand::kaspa, &[])),
        family(
            "ckb",
            ckb,
            line(r#""0405060708090a0b0c0d0e0f""#),
            (&[1, 2, 3, 4], 16),
            by_hand!(hand::ckb, &[]),
        ),
        family(
            "decred",
            decred,
            line(r#""05060708","6b0143dc","7fa00800""#),
            (&[1, 2, 3, 4], 8),
            by_hand!(hand::decred, &["time", "nonce"]),
        ),
    ]
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
