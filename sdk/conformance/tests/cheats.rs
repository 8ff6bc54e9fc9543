//! The schemes that cheat, as the component that ships as an example: exactly these properties catch each, and one that
//! nothing catches is said to be so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod native;

use millpond_bad_schemes::{BadSchemes, CHEATS};
use millpond_conformance::{Options, Report, constants, scheme};
use millpond_contracts::payout::PayoutScheme;
use millpond_contracts::{Setting, Settings, load_scheme};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::Digest;
use millpond_xtask::{catalogue, lock, sources};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const QUICK: Options = Options { seed: 7, cases: 60, miners: 2_000 };

/// What fails with a scheme that the pool's own checks refuse.
const REFUSED: [&str; 11] = [
    "conserved",
    "no-work-no-pay",
    "deterministic",
    "restored",
    "duplicate",
    "empty",
    "permutation",
    "orphan",
    "same-as-alone",
    "finder-swap",
    "drift",
];

/// Each cheat and what catches it.
fn expected(cheat: &str) -> BTreeSet<&'static str> {
    let with_refused = |also: &[&'static str]| REFUSED.iter().chain(also).copied().collect();
    let alone = |only: &[&'static str]| only.iter().copied().collect();
    match cheat {
        "none" | "pattern" | "sleeper" => alone(&[]),
        "mint" => with_refused(&["edges", "bounded", "skim", "scale", "monotone", "split"]),
        "stranger" => with_refused(&["edges", "bounded", "skim", "scale", "monotone", "split"]),
        "name" => with_refused(&["skim", "scale", "monotone", "split"]),
        // The pool splits the largest miner itself, where that is claimed to change nothing.
        "digit" => {
            let mut failed: BTreeSet<_> = with_refused(&["skim", "monotone", "split", "scale"]);
            failed.remove("orphan");
            failed
        }
        "largest" => alone(&["permutation", "same-as-alone"]),
        "finder" => alone(&["finder-swap"]),
        "height" | "date" | "count" => alone(&["drift"]),
        // It goes off in the large incomes of the long run as well.
        "rich" => alone(&["drift", "skim"]),
        "founders" => alone(&["newcomer"]),
        "skim" => alone(&["skim"]),
        other => panic!("{other} is in no table"),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/bad-schemes")
}

fn settings(cheat: &str) -> Settings {
    vec![("cheat".to_owned(), Setting::Text(cheat.to_owned()))]
}

fn failed(report: &Report) -> BTreeSet<&'static str> {
    report.failed().map(|verdict| verdict.property).collect()
}

#[test]
fn exactly_these_properties_catch_each_cheat() {
    let component = std::fs::read(folder().join("bad-schemes.wasm")).unwrap();
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let built = load_scheme(&sandbox, "bad-schemes", &component, &sink).unwrap();
    let native: Arc<dyn PayoutScheme> = Arc::new(native::Native::<BadSchemes>::new(Digest::of(&component)));
    let mut wrong = Vec::new();
    for cheat in CHEATS {
        let settings = settings(cheat);
        let one = scheme::test_with(cheat, &built, &settings, QUICK, &constants(&component));
        if failed(&one) != expected(cheat) {
            wrong.push(format!("{cheat}: {:?} and not {:?}\n{one}", failed(&one), expected(cheat)));
        }
        let two = scheme::test("bad-schemes", &native, &settings, QUICK);
        assert_eq!(failed(&two), failed(&one), "{cheat}, natively:\n{two}");
        // The same histories, divided alike.
        assert_eq!((&one.inputs, &one.given), (&two.inputs, &two.given), "{cheat}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_component_is_built_from_these_sources() {
    let root = millpond_xtask::root();
    let guest = catalogue::all(&root).unwrap().into_iter().find(|guest| guest.name == "bad-schemes").unwrap();
    let locked = lock::Lock::read_from(&lock::of_example(&folder())).unwrap();
    let locked = locked.get("bad-schemes").unwrap();
    let component = std::fs::read(folder().join("bad-schemes.wasm")).unwrap();
    assert_eq!(locked.blake3, Digest::of(&component).to_string());
    assert_eq!(
        locked.sources,
        sources::digest(&root, &guest).unwrap(),
        "run `cargo xtask guests bad-schemes`"
    );
    assert!(millpond_bundled::get("bad-schemes").is_none());
}
