//! The contracts over real components: those that ship, and small ones that break a contract.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_contracts::payout::{Income, State, Totals};
use millpond_contracts::{check, check_static, load_adapter, load_scheme, load_vote_policy};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

fn sink() -> Arc<dyn LogSink> {
    Arc::new(TracingSink)
}

fn bundled(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../bundled/components/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn income(gross: u64) -> Income {
    Income {
        key: vec![7; 32],
        gross,
        seq: 9,
        time_ms: 1_700_000_000_000,
        coord: 100,
        finder: Some(2),
        ..Income::default()
    }
}

#[test]
fn a_bundled_scheme_divides_an_income_to_the_unit_and_the_same_way_twice() {
    let scheme = load_scheme(&SANDBOX, "prop", &bundled("prop"), &sink()).unwrap();
    let terms = scheme.describe(&vec![]).unwrap().value;
    let window = Totals { miner: vec![1, 2, 3], low: vec![10, 20, 3], high: vec![0, 0, 0] };
    let windows = vec![window; terms.windows.len()];
    let allocate = || scheme.allocate(&vec![], &income(5_000_000_001), &windows, &State::default()).unwrap();
    let first = allocate();
    let paid: u64 = first.value.amount.iter().sum();
    assert_eq!(paid + first.value.rest, 5_000_000_001);
    assert!(first.value.amount[1] > first.value.amount[0]);
    assert_eq!(allocate(), first, "fuel and result are the same on every call");
}

#[test]
fn a_component_of_another_contract_is_refused_by_what_it_lacks() {
    let error = load_vote_policy(&SANDBOX, "prop", &bundled("prop"), &sink()).err().unwrap().to_string();
    assert_eq!(error, "the plugin does not fit: missing export: millpond:vote/policy@0.1.0");
}

/// A component that exports an interface with functions of the given types.
fn exporting(interface: &str, functions: &[(&str, &str)]) -> Vec<u8> {
    exporting_all(&[(interface, functions.to_vec())])
}

/// The same, of several interfaces.
fn exporting_all(interfaces: &[(&str, Vec<(&str, &str)>)]) -> Vec<u8> {
    let mut parts = String::new();
    for (i, (interface, functions)) in interfaces.iter().enumerate() {
        let mut exports = String::new();
        for (n, (name, result)) in functions.iter().enumerate() {
            let lift = format!("(func $f{i}_{n} (result {result}) (canon lift (core func $i \"f\")))");
            parts.push_str(&lift);
            exports.push_str(&format!("(export \"{name}\" (func $f{i}_{n}))"));
        }
        parts.push_str(&format!("(instance $e{i} {exports}) (export \"{interface}\" (instance $e{i}))"));
    }
    wat::parse_str(format!(
        r#"(component
            (core module $m (func (export "f") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            {parts}
        )"#
    ))
    .unwrap()
}

#[test]
fn check_says_exactly_what_does_not_fit() {
    let text = |wasm: &[u8]| {
        let checked = check(&SANDBOX, "x", wasm, &sink()).unwrap();
        checked.report.findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let missing = exporting("millpond:payout/scheme@0.1.0", &[("schema", "u32"), ("describe", "u32")]);
    assert_eq!(text(&missing), ["missing export: millpond:payout/scheme@0.1.0#allocate"]);

    let newer = exporting("millpond:payout/scheme@0.3.0", &[("schema", "u32")]);
    assert_eq!(
        text(&newer),
        [
            "wrong version: it exports millpond:payout/scheme@0.3.0, this host knows millpond:payout/scheme@0.2.0"
        ]
    );
    // Fee policies have no 0.2.
    let fee = exporting("millpond:payout/fee-policy@0.2.0", &[("schema", "u32")]);
    assert!(text(&fee)[0].ends_with("this host knows millpond:payout/fee-policy@0.1.0"));

    let functions = [("schema", "u32"), ("describe", "u32"), ("allocate", "u32")];
    let wrong = text(&exporting("millpond:payout/scheme@0.1.0", &functions));
    let expected = "wrong type: millpond:payout/scheme@0.1.0#schema: expected `string` found `u32`";
    assert_eq!(wrong, [expected]);

    // Of a component that exports both versions the newer counts, whatever the older one is.
    let both =
        [("millpond:payout/scheme@0.1.0", vec![]), ("millpond:payout/scheme@0.2.0", functions.to_vec())];
    let both = exporting_all(&both);
    assert_eq!(text(&both), [expected.replace("0.1.0", "0.2.0")]);
    assert_eq!(check_static(&both).world().unwrap(), "millpond:payout/payout-scheme@0.2.0");

    let adapter = exporting("millpond:chain/adapter@0.1.0", &[("schema", "u32")]);
    assert_eq!(
        text(&adapter),
        [
            "missing export: millpond:chain/adapter@0.1.0#describe",
            "missing export: millpond:chain/adapter@0.1.0#handle",
            "missing export: millpond:chain/block@0.1.0",
            "missing export: millpond:chain/payee@0.1.0",
            "missing export: millpond:chain/settlement@0.1.0",
        ]
    );

    let nothing = wat::parse_str("(component)").unwrap();
    assert!(text(&nothing)[0].starts_with("missing export: one of millpond:chain/adapter@0.1.0, "));
}

#[test]
fn what_the_host_never_calls_is_refused_with_that_text() {
    for (interface, functions) in
        [("codec", &["decode", "encode"][..]), ("session-work", &["consts"]), ("merge-parent", &["prove"])]
    {
        let name = format!("millpond:chain/{interface}@0.1.0");
        let mut exports = vec![("millpond:chain/adapter@0.1.0", vec![("schema", "u32")])];
        exports.push((&name, functions.iter().map(|function| (*function, "u32")).collect()));
        let checked = check(&SANDBOX, "x", &exporting_all(&exports), &sink()).unwrap();
        let told: Vec<String> = checked.report.findings.iter().map(ToString::to_string).collect();
        let expected = format!("not served: {name} is not called by this host yet; leave the interface out");
        assert!(told.contains(&expected), "{told:?}");
        let loaded = load_adapter(&SANDBOX, "x", &exporting_all(&exports), &Vec::new(), &sink());
        assert!(loaded.err().unwrap().to_string().contains(&expected));
    }
}

#[test]
fn an_adapter_may_import_the_host_interface_and_nothing_else() {
    let wasm = wat::parse_str(
        r#"(component
            (import "wasi:sockets/tcp@0.2.0" (instance (export "start-bind" (func))))
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $e (export "schema" (func $f)))
            (export "millpond:chain/adapter@0.1.0" (instance $e))
        )"#,
    )
    .unwrap();
    let checked = check_static(&wasm);
    let texts: Vec<String> = checked.report.findings.iter().map(ToString::to_string).collect();
    assert!(
        texts.contains(
            &"unknown import: wasi:sockets/tcp@0.2.0; an adapter may import millpond:chain/host@0.1.0"
                .to_owned()
        ),
        "{texts:?}"
    );
}
