//! `millpond demo` as the README starts it: its last line, field by field.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::millpond;

#[test]
fn a_demo_ends_with_blocks_found_matured_and_paid_and_every_unit_accounted_for() {
    let done = millpond(&["demo", "--blocks", "2", "--json"]);
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{out}\n{err}");
    assert!(err.contains("page     http://127.0.0.1:") && err.contains("stratum  127.0.0.1:"), "{err}");
    assert!(!err.contains('\x1b') && !out.contains('\x1b'), "no colours where nothing is a terminal");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let of = |key: &str| last[key].as_u64().unwrap_or_else(|| panic!("{key}: {last}"));
    let fields: Vec<_> = last.as_object().unwrap().keys().map(String::as_str).collect();
    let told = ["blocks", "carried", "conserved", "credited", "fees", "income", "paid", "plugins", "shares"];
    assert_eq!(fields, told, "{last}");
    assert!(of("blocks") >= 2 && of("shares") >= of("blocks"), "{last}");
    assert_eq!(of("income"), of("credited") + of("fees") + of("carried"), "{last}");
    assert_eq!(last["conserved"], json!(true));
    // One percent, less what is rounded in the miners' favour; and nobody is paid more than he is owed.
    assert!(of("fees") > 0 && of("fees") <= of("income") / 100, "{last}");
    assert!(of("paid") > 0 && of("paid") <= of("credited"), "{last}");
    let plugins = last["plugins"].as_object().unwrap();
    let listed: Value = serde_json::from_slice(&millpond(&["plugin", "list", "--json"]).stdout).unwrap();
    for name in ["bitcoin", "pplns", "flat-fee"] {
        let row = listed.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
        assert_eq!(plugins[name], row["blake3"], "{name}");
    }
}
