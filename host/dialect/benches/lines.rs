//! What the engine costs per line, with the Bitcoin document: decoding a submit, answering it, encoding a job once,
//! and writing it for a session. Prints one JSON object of nanoseconds, each the best of several rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_dialect::{Dialect, Extranonce, Intent, JobRef, Layered, SessionView, Value, ValueMap};
use serde_json::json;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 21;
const LINES: u32 = 2000;

struct Session;

impl SessionView for Session {
    fn subscribed(&self) -> bool {
        true
    }

    fn authorized(&self) -> bool {
        true
    }

    fn extranonce(&self, _job: &JobRef) -> Extranonce<'_> {
        Extranonce { prefix: &[8, 0, 0, 2], size: 12 }
    }

    fn negotiated(&self, _field: &str) -> Option<&[u8]> {
        None
    }
}

fn best(mut work: impl FnMut()) -> f64 {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..LINES {
            work();
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(LINES)
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn main() {
    let text = include_str!("../../../examples/families/bitcoin/v1.dialect");
    let dialect = Dialect::compile("bitcoin", text).unwrap();
    let submit = br#"{"id":4,"method":"mining.submit","params":["bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85.multi","6b0143a5000000ed","0000000000000000","6b0143dc","7fa00800"]}"#;
    let decoded = dialect.decode(submit, &Session);
    assert!(matches!(decoded.intent, Intent::Submit(_)));
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
        "submit_bytes": submit.len(),
        "decode_submit_ns": best(|| drop(black_box(dialect.decode(black_box(submit), &Session)))),
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
        "compile_document_us": best(|| drop(black_box(Dialect::compile("bitcoin", black_box(text)).unwrap()))) / 1e3,
    });
    println!("{figures}");
}
