//! What calls into plugins cost: a fresh store per money call by the number of miners, an event of the warm actor by
//! the size of a template. Run with `cargo bench --workspace --profile release --bench calls`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_contracts::chain::{Event, Happening, Push, Reply, Start};
use millpond_contracts::payout::{Income, State, Totals};
use millpond_contracts::{Setting, load_adapter, load_scheme};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn bundled(name: &str) -> Vec<u8> {
    std::fs::read(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../bundled/components/{name}.wasm")),
    )
    .unwrap()
}

/// The best of several rounds, so that a busy machine matters less.
fn time(what: &str, times: u32, mut run: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        (0..times).for_each(|_| run());
        best = best.min(start.elapsed() / times);
    }
    println!("{what:<58} {best:>12.2?}");
}

fn main() {
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let start = Instant::now();
    let scheme = load_scheme(&sandbox, "prop", &bundled("prop"), &sink).unwrap();
    println!("{:<58} {:>12.2?}", "load and compile prop (27 KB), once", start.elapsed());
    let start = Instant::now();
    let settings = vec![("network".to_owned(), Setting::Text("regtest".to_owned()))];
    let adapter = load_adapter(&sandbox, "bitcoin", &bundled("bitcoin"), &settings, &sink).unwrap();
    println!("{:<58} {:>12.2?}", "load and compile bitcoin (150 KB), once", start.elapsed());

    time("scheme.schema: fresh store, instance, call, drop", 200, || {
        black_box(scheme.schema().unwrap());
    });
    let income = Income {
        key: vec![1; 36],
        gross: 5_000_000_000,
        seq: 1,
        time_ms: 0,
        coord: 1,
        finder: None,
        ..Income::default()
    };
    let windows = scheme.describe(&vec![]).unwrap().value.windows.len();
    for miners in [1_u64, 1_000, 100_000] {
        let column = |f: fn(u64) -> u64| (1..=miners).map(f).collect::<Vec<_>>();
        let totals = Totals { miner: column(|n| n), low: column(|n| n * 7), high: column(|_| 0) };
        let windows = vec![totals; windows];
        let mut used = 0;
        time(&format!("scheme.allocate over {miners} miners"), if miners > 10_000 { 2 } else { 50 }, || {
            used = scheme.allocate(&vec![], &income, &windows, &State::default()).unwrap().fuel_used;
        });
        println!("{:<58} {used:>12}", "  fuel");
    }

    let mut actor = adapter.start_actor().unwrap();
    let mut seq = 0;
    let mut tell = |what: Happening| {
        seq += 1;
        actor.handle(&Event { seq, now_ms: 1_700_000_000_000, what }).unwrap().value.len()
    };
    tell(Happening::Start(Start::default()));
    time("adapter.handle: an event of no consequence", 1_000, || {
        let push = Push { link: 9, transport: 0, topic: String::new(), data: vec![], body: 0 };
        black_box(tell(Happening::Push(push)));
    });
    for bytes in [1_000_usize, 1_000_000, 8_000_000] {
        time(&format!("adapter.handle: an unknown reply of {bytes} bytes"), 20, || {
            let reply = Reply { id: u64::MAX, link: 0, outcome: Ok(vec![b'0'; bytes].into()), body: 0 };
            black_box(tell(Happening::Reply(reply)));
        });
    }
    let names: Vec<String> = (0..100).map(|n| format!("bcrt1qnotanaddress{n}.worker")).collect();
    time("payee.resolve: 100 names in a fresh instance", 50, || {
        black_box(adapter.resolve(&names).unwrap());
    });
}
