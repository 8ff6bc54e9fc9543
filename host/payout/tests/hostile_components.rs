//! Hostile schemes as real components, through the sandbox and every native check: each costs its own result, and the
//! operator reads why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{divide, facts};
use millpond_contracts::{Settings, load_scheme};
use millpond_ledger::Owner;
use millpond_payout::{BoundScheme, PayoutError};
use millpond_runtime::{Compiler, LoadError, LogSink, Sandbox, TracingSink};
use millpond_test_guests::scheme::{Scheme, hostile, unloadable};
use millpond_types::MinerId;
use std::sync::{Arc, LazyLock};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

const SUMS: [u128; 3] = [50, 30, 20];

fn load(wasm: &[u8]) -> Result<BoundScheme, LoadError> {
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let plugin = load_scheme(&SANDBOX, "guest", wasm, &sink)?;
    Ok(BoundScheme::new("guest", plugin, Settings::new()).unwrap())
}

#[test]
fn the_honest_guest_that_they_are_made_of_splits_evenly() {
    let decision = divide(&load(&Scheme::even().wasm()).unwrap(), None, &SUMS).unwrap();
    let parts: Vec<_> =
        decision.entry.parts.shares().iter().map(|share| (share.0.clone(), share.1.0)).collect();
    let miner = |id| Owner::Miner(MinerId(id));
    assert_eq!(facts(1_000_003).amount.0, 1_000_003);
    for (owner, amount) in
        [(miner(10), 333_334), (miner(20), 333_334), (miner(30), 333_334), (Owner::Carry, 1)]
    {
        assert!(parts.contains(&(owner.clone(), amount)), "{owner} in {parts:?}");
    }
}

#[test]
fn each_hostile_scheme_costs_its_own_result_and_says_why() {
    for guest in hostile() {
        let scheme = load(&guest.wasm).unwrap();
        let error = divide(&scheme, None, &SUMS).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("plugin guest ("), "{}: {told}", guest.name);
        assert!(told.contains(guest.told), "{}: {told}", guest.name);
        assert!(told.len() < 1_500 && !told.contains('\u{1b}'), "{}: {told:?}", guest.name);
        // Its own words too: an income that it refuses waits as long as it is in force.
        assert!(error.is_strike(), "{}", guest.name);
        assert!(matches!(error, PayoutError::Call { .. } | PayoutError::Broken { .. }), "{}", guest.name);
        // The next call starts from nothing: it comes to the same.
        assert_eq!(divide(&scheme, None, &SUMS).unwrap_err().to_string(), told, "{}", guest.name);
    }
}

#[test]
fn what_cannot_be_trusted_to_run_is_refused_before_it_does() {
    for guest in unloadable() {
        let told = load(&guest.wasm).unwrap_err().to_string();
        assert!(told.contains(guest.told), "{}: {told}", guest.name);
    }
}
