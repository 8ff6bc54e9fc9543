//! Hostile adapters as real components beside a running pool: a swap to any of them fails with its reason, and the old
//! version goes on; one that leads and breaks is put into quarantine with its first error.

use crate::ChainHandle;
use crate::fake::*;
use millpond_contracts::chain::*;
use millpond_contracts::load_adapter;
use millpond_runtime::{Compiler, Sandbox, TracingSink};
use millpond_test_guests as guest;
use millpond_types::{Digest, UnixMillis};
use std::sync::{Arc, LazyLock};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

fn component(handle: &str) -> Arc<dyn ChainAdapter> {
    let wasm = guest::adapter(handle, "unreachable", RECIPE);
    load_adapter(&SANDBOX, "hostile", &wasm, &vec![], &(Arc::new(TracingSink) as _)).unwrap()
}

const HOSTILE: &[(&str, &str)] = &[
    ("(loop br 0) unreachable", "adapter.handle: out of fuel: it used all 5000"),
    (
        "(loop (drop (memory.grow (i32.const 64))) br 0) unreachable",
        "adapter.handle: out of memory: it wanted 71303168 bytes of memory, the limit for this call is 67108",
    ),
    ("unreachable", "adapter.handle: trap: wasm trap: wasm `unreachable` instruction executed"),
    (
        "(loop (call 0 (i32.const 3) (i32.const 0) (i32.const 9)) br 0) unreachable",
        "adapter.handle: trap: it called the host more than 10000 times in one call",
    ),
    ("i32.const 0x7ffffff0", "adapter.handle: trap: "),
];

#[test]
fn the_pool_goes_on_through_a_swap_to_each_hostile_component() {
    let honest = Fake::new("honest", |event| match &event.what {
        Happening::Outputs { revision, .. } => {
            done(vec![Action::Publish(Job { outputs_rev: *revision, ..job(*revision) })])
        }
        _ => done(vec![]),
    });
    let rig = rig(honest);
    for (n, (handle, expected)) in HOSTILE.iter().enumerate() {
        let answer = rig.chain.swap(component(handle), &grants()).unwrap();
        let reason = answer.recv().unwrap().unwrap_err();
        assert!(reason.starts_with(expected), "{reason}");
        rig.pool.alarm(&reason);
        rig.chain.outputs(vec![]);
        let job = rig.pool.job(n as u64 + 1);
        assert_eq!(job.origin().adapter, Digest::of(b"honest"));
    }
    assert!(rig.chain.status().ready(UnixMillis::now()));
}

#[test]
fn a_component_that_leads_and_never_returns_is_put_into_quarantine() {
    let pool = Arc::new(FakePool::default());
    let mut setup = setup(Fake::new("unused", |_| done(vec![])), trust(), &FakeNodes::new(1), &pool);
    setup.adapter = component("(loop br 0) unreachable");
    let chain = ChainHandle::start(setup).unwrap();
    pool.alarm("a new instance starts in 50 ms: adapter.handle: out of fuel");
    pool.alarm("a new instance starts in 100 ms: adapter.handle: out of fuel");
    pool.alarm("there is no older version: its jobs are served until they expire");
    assert_eq!(chain.status().traps, 3);
    assert!(!chain.status().ready(UnixMillis::now()));
}
