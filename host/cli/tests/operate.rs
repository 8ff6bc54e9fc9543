//! `millpond doctor` and `millpond run` as an operator meets them, at a development chain: the real binary, its signals
//! and its commands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::path::Path;
use support::{Running, chain, millpond, pool};

/// What doctor found, and its exit code.
fn examined(file: &Path, patience: &str) -> (Value, Option<i32>) {
    let done = millpond(&["doctor", file.to_str().unwrap(), "--json", "--patience", patience]);
    let text = String::from_utf8(done.stdout).unwrap();
    let found = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&done.stderr)));
    (found, done.status.code())
}

/// The findings about something, each as "health: text".
fn about(found: &Value, what: &str) -> Vec<String> {
    let findings = found["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .filter(|finding| finding["about"] == what)
        .map(|finding| format!("{}: {}", text(&finding["health"]), text(&finding["text"])))
        .collect()
}

#[test]
fn doctor_finds_a_machine_a_node_and_a_wallet_fit() {
    let folder = tempfile::tempdir().unwrap();
    let (_runtime, chain) = chain();
    let file = folder.path().join("pool.toml");
    std::fs::write(&file, pool(&folder.path().join("data"), &chain, chain.password())).unwrap();
    let (found, code) = examined(&file, "60");
    assert_eq!((code, &found["fit"]), (Some(0), &Value::Bool(true)), "{found:#}");
    let node = about(&found, "node 0");
    assert!(node[0].starts_with("good: answers at"), "{node:?}");
    assert!(node[1].starts_with(&format!("good: gives work at {}", chain.height() + 1)), "{node:?}");
    let wallet = about(&found, "wallet");
    assert_eq!(wallet[0], "good: answers and can sign");
    assert!(wallet[1].starts_with("good: can spend"), "{wallet:?}");
    assert_eq!(wallet[2], "good: holds the address that blocks pay to");
    assert_eq!(about(&found, "ports"), ["good: all 1 are free"]);
    assert_eq!(about(&found, "plugins"), ["good: bitcoin, pplns load and take their settings"]);
    for what in ["open files", "memory", "disk", "folders"] {
        assert!(!about(&found, what).is_empty(), "{what}: {found:#}");
    }
    assert!(!folder.path().join("data").exists(), "doctor made a folder");
    // For people it has no colours where it does not write to a terminal, nor with NO_COLOR.
    let said = millpond(&["doctor", file.to_str().unwrap()]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("gives work at") && !text.contains('\x1b'), "{text}");
}

#[test]
fn doctor_says_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (_runtime, chain) = chain();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let file = folder.path().join("pool.toml");
    let good = pool(&data, &chain, chain.password());

    // A password that the node does not take; a port that somebody has; more connections than files.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = pool(&data, &chain, "wrong")
        .replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string())
        .replace("connections = 100", "connections = 4000000000");
    std::fs::write(&file, bad).unwrap();
    let (found, code) = examined(&file, "30");
    assert_eq!((code, &found["fit"]), (Some(1), &Value::Bool(false)), "{found:#}");
    let node = about(&found, "node 0");
    assert!(node.len() == 1 && node[0].starts_with("bad: ") && node[0].contains("401"), "{node:?}");
    assert!(about(&found, "wallet")[0].starts_with("bad: "), "{found:#}");
    assert!(about(&found, "ports")[0].contains("cannot be listened on"), "{found:#}");
    assert!(about(&found, "memory")[0].starts_with("warning: "), "{found:#}");
    assert!(about(&found, "folders")[0].contains("other users can write"), "{found:#}");
    let findings = found["findings"].as_array().unwrap();
    assert!(findings.iter().all(|one| (one["health"] == "good") == (one["remedy"] == "")), "{found:#}");

    // A node of another network, one that is not there, and an address that the wallet does not hold.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let strange = good
        .replace("network = \"regtest\"", "network = \"regtest\", chain = \"main\"")
        .replace("[[pool.port]]", &format!("[[pool.node]]\nurl = \"http://{closed}\"\n[[pool.port]]"));
    std::fs::write(&file, strange).unwrap();
    let (found, code) = examined(&file, "30");
    assert_eq!(code, Some(1), "{found:#}");
    let first = about(&found, "node 0");
    assert!(first[1].contains("it is on \"regtest\", this pool on \"main\""), "{first:?}");
    assert!(about(&found, "node 1")[0].starts_with("bad: "), "{found:#}");

    // What is wrong with the file is told as by `check`.
    std::fs::write(&file, good.replace("driver = \"core\"", "driver = \"corn\"")).unwrap();
    let done = millpond(&["doctor", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("wallet.driver"));
}

#[test]
fn a_running_pool_reads_its_file_again_by_signal_and_by_command_and_doctor_looks_on() {
    let folder = tempfile::tempdir().unwrap();
    let (_runtime, chain) = chain();
    let data = folder.path().join("data");
    let file = folder.path().join("pool.toml");
    let good = pool(&data, &chain, chain.password());
    std::fs::write(&file, &good).unwrap();
    let mut running = Running::start(&file);
    running.says("pool dev takes miners at");

    std::fs::write(&file, good.replace("schedule = \"manual\"", "schedule = \"sometimes\"")).unwrap();
    running.signal("-HUP");
    running.says("was not reloaded, nothing has changed");
    assert!(running.says("settlement.schedule").contains("line "));

    let changed = good.replace("\"manual\"", "\"interval 2h\"").replace("= 100", "= 200\nipv6_prefix = 64");
    std::fs::write(&file, changed).unwrap();
    let data_text = data.to_str().unwrap();
    let dry = millpond(&["reload", "--dry-run", "--data", data_text]);
    let dry: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(dry["applied"][0], "pool.dev.settlement.schedule: manual -> interval 2h", "{dry:#}");
    running.signal("-HUP");
    assert!(running.says("reload: applied").ends_with("pool.dev.settlement.schedule: manual -> interval 2h"));
    assert!(running.says("reload: applied").ends_with("pool.dev.stratum.connections: 100 -> 200"));
    assert!(running.says("needs a restart").ends_with("pool.dev.stratum.ipv6_prefix: 56 -> 64"));

    std::fs::write(&file, &good).unwrap();
    let done = millpond(&["reload", "--yes", "--data", data_text]);
    let done: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done["applied"][0], "pool.dev.settlement.schedule: interval 2h -> manual", "{done:#}");
    assert_eq!(done["needs_restart"].as_array().unwrap().len(), 0, "{done:#}");

    let swapped =
        millpond(&["plugin", "swap", "--yes", "--data", data_text, "--pool", "dev", "scheme", "solo"]);
    assert_eq!(swapped.status.code(), Some(0), "{}", String::from_utf8_lossy(&swapped.stderr));
    let (found, code) = examined(&file, "60");
    assert_eq!(code, Some(0), "{found:#}");
    assert_eq!(about(&found, "ports"), ["good: not tried: the running millpond has them"]);

    running.signal("-TERM");
    running.says("stopping");
    assert_eq!(running.ended(), Some(0));
}
