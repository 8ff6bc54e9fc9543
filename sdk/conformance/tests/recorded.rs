//! Traffic of hsd on regtest that `millpond plugin run --record` kept (blocks of ours found, one of them orphaned), given
//! again to the adapter of `examples/handshake` as it is now. No node is needed. Where the adapter or the SDK's `gbt` is
//! meant to act otherwise, record again as the example's README says, with a reorganisation of one block meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_conformance::adapter::{Recording, test};
use millpond_conformance::{Options, Status};
use millpond_contracts::load_adapter;
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use std::sync::Arc;

const TRAFFIC: &str = include_str!("../../../examples/handshake/tests/data/traffic.jsonl");

#[test]
fn the_handshake_adapter_keeps_every_promise_on_recorded_traffic_of_hsd() {
    let recording = Recording::read(TRAFFIC.as_bytes()).unwrap();
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let bytes = millpond_bundled::get("handshake").unwrap().bytes;
    let adapter = load_adapter(&sandbox, "handshake", bytes, recording.settings(), &sink).unwrap();
    let report = test(&adapter, Some(&recording), Options { seed: 5, cases: 10, miners: 10 });
    assert!(report.verdicts.iter().all(|verdict| matches!(verdict.status, Status::Pass(_))), "{report}");
    assert!(matches!(report.of("reorganised"), Some(Status::Pass(_))), "{report}");
}
