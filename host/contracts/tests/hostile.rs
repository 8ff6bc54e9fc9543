//! Hostile schemes and adapters as real components: each costs its own call, with a text that tells an operator why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_contracts::chain::{ChainAdapter, Event, Happening, Solution, Start};
use millpond_contracts::payout::{Income, PayoutScheme, State, Totals};
use millpond_contracts::{check, load_adapter, load_scheme};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_test_guests as guest;
use parking_lot::Mutex;
use std::sync::{Arc, LazyLock};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

fn sink() -> Arc<dyn LogSink> {
    Arc::new(TracingSink)
}

fn scheme(allocate: &str) -> Arc<dyn PayoutScheme> {
    let bodies = [("millpond:payout/scheme@0.1.0#allocate", allocate)];
    let wasm = guest::guest("payout-0.1", "payout-scheme", &bodies, &[]);
    load_scheme(&SANDBOX, "hostile", &wasm, &sink()).unwrap()
}

fn allocate(body: &str) -> String {
    let income = Income {
        key: vec![1],
        gross: 5_000,
        seq: 1,
        time_ms: 0,
        coord: 1,
        finder: None,
        ..Income::default()
    };
    let window = Totals { miner: vec![1, 2], low: vec![3, 4], high: vec![0, 0] };
    let error = scheme(body).allocate(&vec![], &income, &[window], &State::default()).unwrap_err();
    assert!(error.is_trap(), "{error}");
    error.to_string()
}

#[test]
fn hostile_schemes_cost_their_own_call() {
    // 10^9 + 10^5 for each of two rows.
    assert_eq!(
        allocate("(loop br 0) unreachable"),
        "scheme.allocate: out of fuel: it used all 1000200000 units that a call of this size has: an endless loop?"
    );
    let bomb = allocate("(loop (drop (memory.grow (i32.const 64))) br 0) unreachable");
    assert!(bomb.starts_with("scheme.allocate: out of memory: it wanted "), "{bomb}");
    assert!(bomb.contains("the limit for this call is 33554848"), "{bomb}");
    let unreachable = allocate("unreachable");
    assert!(
        unreachable.starts_with("scheme.allocate: trap: wasm trap: wasm `unreachable` instruction"),
        "{unreachable}"
    );
    // A result that points outside its own memory.
    let outside = allocate("i32.const 0x7ffffff8");
    assert!(outside.starts_with("scheme.allocate: trap: "), "{outside}");
}

#[test]
fn a_scheme_that_claims_a_giant_result_is_stopped_before_it_is_copied() {
    let mut data = guest::Data::default();
    // ok, then a list of 200,000 miners: 1.6 MB where two rows allow a little more than 1 MiB.
    let result = data.words(&[0, 0, guest::DATA, 200_000, guest::DATA, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let body = format!("i32.const {result}");
    let bodies = [("millpond:payout/scheme@0.1.0#allocate", body.as_str())];
    let wasm = guest::guest("payout-0.1", "payout-scheme", &bodies, &data.0);
    let scheme = load_scheme(&SANDBOX, "giant", &wasm, &sink()).unwrap();
    let income = Income {
        key: vec![1],
        gross: 5_000,
        seq: 1,
        time_ms: 0,
        coord: 1,
        finder: None,
        ..Income::default()
    };
    let error = scheme.allocate(&vec![], &income, &[], &State::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "scheme.allocate: too many bytes handed to the host: one result or argument exceeds 1048576 bytes, the limit for this call"
    );
}

fn adapter(handle: &str, assemble: &str) -> Arc<dyn ChainAdapter> {
    let wasm = guest::adapter(handle, assemble, "recipe");
    assert!(check(&SANDBOX, "hostile", &wasm, &sink()).unwrap().fits());
    load_adapter(&SANDBOX, "hostile", &wasm, &vec![], &sink()).unwrap()
}

fn start() -> Event {
    Event { seq: 1, now_ms: 1_700_000_000_000, what: Happening::Start(Start::default()) }
}

#[test]
fn an_adapter_describes_itself_and_handles_events() {
    let adapter = adapter("EMPTY", "unreachable");
    assert_eq!(adapter.description().network, "test");
    assert_eq!(adapter.description().final_after, 10);
    let mut actor = adapter.start_actor().unwrap();
    for _ in 0..3 {
        assert_eq!(actor.handle(&start()).unwrap().value, vec![]);
    }
}

#[test]
fn after_a_trap_the_first_error_is_kept() {
    let mut actor = adapter("(loop br 0) unreachable", "unreachable").start_actor().unwrap();
    let first = actor.handle(&start()).unwrap_err();
    // On a machine that is slow enough its time is over before its fuel is.
    assert!(first.is_trap() && first.to_string().starts_with("adapter.handle: out of "), "{first}");
    assert_eq!(actor.handle(&start()).unwrap_err(), first, "not what wasmtime says of a poisoned store");
}

#[test]
fn a_trap_in_assemble_leaves_the_actor_alone() {
    let adapter = adapter("EMPTY", "unreachable");
    let mut actor = adapter.start_actor().unwrap();
    let solution = Solution { private: vec![1; 1000], fields: vec![], results: vec![], proof: None };
    let error = adapter.assemble(&solution).unwrap_err();
    assert!(error.is_trap() && error.to_string().starts_with("block.assemble: trap: "), "{error}");
    assert!(actor.handle(&start()).is_ok());
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl LogSink for Lines {
    fn line(&self, plugin: &str, level: u8, line: &str) {
        self.0.lock().push(format!("{plugin} {level} {line}"));
    }
}

#[test]
fn a_log_flood_is_cut_and_the_call_ends_at_its_limit() {
    // Logs 2,000 bytes from address 0 (zeros: control characters) for ever.
    let flood = "(loop (call 0 (i32.const 3) (i32.const 0) (i32.const 2000)) br 0) unreachable";
    let wasm = guest::adapter(flood, "unreachable", "recipe");
    let lines = Arc::new(Lines::default());
    let sink: Arc<dyn LogSink> = lines.clone();
    let adapter = load_adapter(&SANDBOX, "flood", &wasm, &vec![], &sink).unwrap();
    let error = adapter.start_actor().unwrap().handle(&start()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "adapter.handle: trap: it called the host more than 10000 times in one call"
    );
    let lines = lines.0.lock();
    assert!((64..1_000).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines[0].starts_with("flood 3 \\u{0}\\u{0}") && lines[0].len() < 1_100, "{}", lines[0]);
}
