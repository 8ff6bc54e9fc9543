//! The example configurations are what an operator can start from: with his addresses in, `millpond check` finds nothing
//! wrong with them, plugins and all; as they stand none starts, so that nobody mines to a stranger. Those for Bitcoin run
//! on the development chain as they are, but for where the node is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bitcoin::bech32::{Hrp, segwit};
use millpond_devchain::{DevChain, Options};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use support::{Running, chain_of, json, millpond, until};

const NAMES: [&str; 4] = ["litecoin", "solo-coinbase", "pps", "two-pools"];

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap()
}

/// An address of nobody, of a network.
fn address(hrp: &str) -> String {
    segwit::encode_v0(Hrp::parse(hrp).unwrap(), &[7; 20]).unwrap()
}

/// An example with addresses, and without what only the operator's machine has.
fn filled(name: &str, folder: &Path) -> String {
    let cookie = folder.join("cookie");
    std::fs::write(&cookie, "__cookie__:00ff\n").unwrap();
    let mut text = example(name)
        .replace("/var/lib/bitcoin/.cookie", cookie.to_str().unwrap())
        .replace("env:BITCOIN_RPC_PASSWORD", "hunter2")
        .replace("env:LITECOIN_RPC_PASSWORD", "hunter2");
    for hrp in ["bc", "ltc"] {
        text = text.replace(&format!("{hrp}1q..."), &address(hrp));
    }
    text
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn every_example_with_addresses_in_it_is_good_and_without_them_none_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let file = written(folder.path(), name, &filled(name, folder.path()));
        let checked = json(&["check", file.to_str().unwrap(), "--json"]);
        assert_eq!(checked["good"], true, "{name}: {checked}");

        let untouched = filled(name, folder.path()).replace(&address("bc"), "bc1q...");
        let untouched = untouched.replace(&address("ltc"), "ltc1q...");
        let file = written(folder.path(), name, &untouched);
        let done = millpond(&["check", file.to_str().unwrap(), "--json"]);
        let told: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(told["good"], false, "{name}: {told}");
        assert!(told["errors"].to_string().contains("1q..."), "{name}: {told}");
    }
}

#[test]
fn every_configuration_among_the_examples_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().unwrap().strip_suffix(".toml").map(str::to_owned)
        })
        .filter(|name| name != "every-option")
        .collect();
    there.sort();
    let mut tested = NAMES.to_vec();
    tested.sort_unstable();
    assert_eq!(there, tested);
}

/// An example on the development chain: its nodes, network and places are replaced, and nothing else.
fn on(chain: &DevChain, name: &str, folder: &Path) -> String {
    let regtest = "settings = { network = \"regtest\", maturity = 3, orphan_after = 2 }\nconfirmations = 3";
    let pool = chain.new_address();
    let mut lines = Vec::new();
    for line in filled(name, folder).lines() {
        let (key, _) = line.split_once(" = ").unwrap_or((line, ""));
        let line = match key {
            "data" => format!("data = \"{}\"", folder.join("data").display()),
            "to" => format!("to = \"{}\"", folder.join("backups").display()),
            "exec" => "exec = \"/bin/true\"".to_owned(),
            "listen" => "listen = \"127.0.0.1:0\"".to_owned(),
            "[pool.chain]" => format!("{line}\n{regtest}"),
            "payout_address" => format!("payout_address = \"{pool}\""),
            "url" => format!("url = \"{}\"", chain.url()),
            "user" => format!("user = \"{}\"", chain.user()),
            "password" => format!("password = \"{}\"", chain.password()),
            "cookie" => format!("user = \"{}\"\npassword = \"{}\"", chain.user(), chain.password()),
            // What a test's own processor can do.
            "difficulty" => "difficulty = 1e-6\nfixed = true".to_owned(),
            _ => line.replace(&address("bc"), &address("bcrt")),
        };
        lines.push(line);
    }
    lines.join("\n")
}

#[test]
fn the_examples_for_bitcoin_run_and_credit_shares() {
    for (name, pools) in
        [("solo-coinbase", &["solo"][..]), ("pps", &["btc"]), ("two-pools", &["pplns", "solo"])]
    {
        let folder = tempfile::tempdir().unwrap();
        let (_runtime, chain) = chain_of(Options { bits: 0x1e7f_ffff, ..Options::default() });
        let file = written(folder.path(), name, &on(&chain, name, folder.path()));
        let running = Running::start(&file);
        let data = folder.path().join("data");
        let data = data.to_str().unwrap();
        let status = || json(&["status", "--data", data]);
        for pool in pools {
            let said = running.says(&format!("pool {pool} takes miners at "));
            let port = said.rsplit(' ').next().unwrap().to_owned();
            let user = address("bcrt");
            let mined = json(&["mine", &port, "--user", &user, "--shares", "3", "--json"]);
            assert!(mined["accepted"].as_u64() >= Some(3), "{name}: {mined}");
        }
        assert_eq!(status()["pools"].as_array().unwrap().len(), pools.len(), "{name}");
        until("the shares", || {
            let status = status();
            let accepted = |pool: &Value| pool["shares"]["accepted"].as_u64();
            let all = status["pools"].as_array().unwrap().iter().all(|pool| accepted(pool) >= Some(3));
            (all && status["pools"][0]["not_ready"] == json!([])).then_some(())
        });
    }
}
