//! `millpond check`: what a start would trip over one by one is told at once, with the file's lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use support::{ended, json, millpond};

/// An address of the pool: no node is asked whose it is.
const ADDRESS: &str = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85";

fn good() -> String {
    format!(
        "[host]\n[[pool]]\nname = \"dev\"\n[pool.chain]\npayout_address = \"{ADDRESS}\"\n\
         settings = {{ network = \"regtest\" }}\n\
         [[pool.node]]\nurl = \"http://127.0.0.1:1\"\n[[pool.port]]\nlisten = \"127.0.0.1:0\"\n\
         [pool.wallet]\n[pool.payout]\nminimum = 5000\n[pool.settlement]\nschedule = \"interval 1h\"\n"
    )
}

/// The line of a text, from 1.
fn line(text: &str, what: &str) -> u64 {
    let at = text.lines().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}"));
    u64::try_from(at).unwrap() + 1
}

/// Writes a file and checks it: each error with its line.
fn wrong(folder: &Path, text: &str) -> Vec<(u64, String)> {
    let file = folder.join("pool.toml");
    std::fs::write(&file, text).unwrap();
    let done = millpond(&["check", file.to_str().unwrap(), "--json"]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    let told: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(told["good"], json!(false));
    let errors = told["errors"].as_array().unwrap().iter();
    errors.map(|one| (one["line"].as_u64().unwrap(), one["text"].as_str().unwrap().to_owned())).collect()
}

#[track_caller]
fn tells(found: &[(u64, String)], line: u64, words: &[&str]) {
    let says = |(at, text): &(u64, String)| *at == line && words.iter().all(|word| text.contains(word));
    assert!(found.iter().any(says), "line {line}: {words:?}: {found:#?}");
}

/// A certificate with its key, and the key of another.
fn certificates(folder: &Path) {
    let (one, other) = (
        rcgen::generate_simple_self_signed(vec!["pool.test".to_owned()]).unwrap(),
        rcgen::generate_simple_self_signed(vec!["pool.test".to_owned()]).unwrap(),
    );
    for (name, text) in [
        ("pool.crt", one.cert.pem()),
        ("pool.key", one.signing_key.serialize_pem()),
        ("other.key", other.signing_key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn tls(folder: &Path, certificate: &str, key: &str) -> String {
    format!(
        "[[pool.port]]\nlisten = \"127.0.0.1:0\"\n[pool.port.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        folder.join(certificate).display(),
        folder.join(key).display()
    )
}

#[test]
fn a_component_that_is_nowhere_is_told_with_where_it_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{}[pool.fee]\npolicy = \"mine/mine.wasm\"\nrecipient = [{{ name = \"operator\" }}]\n",
        good()
    );
    let found = wrong(folder.path(), &text);
    // From the file's folder, and not from the one of who asks.
    let looked = folder.path().join("mine/mine.wasm");
    tells(&found, line(&text, "[pool.fee]"), &["no file", looked.to_str().unwrap()]);
}

#[test]
fn a_mistyped_address_of_a_fee_recipient_is_an_error_of_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let mistyped = ADDRESS.replace("ac85", "ac86");
    let text = format!(
        "{}[pool.fee]\n[[pool.fee.recipient]]\nname = \"operator\"\naddress = \"{ADDRESS}\"\n\
         [[pool.fee.recipient]]\nname = \"friend\"\naddress = \"{mistyped}\"\n",
        good()
    );
    let found = wrong(folder.path(), &text);
    // The second of the two recipients.
    let at = u64::try_from(text.lines().count()).unwrap() - 2;
    tells(&found, at, &["fee.recipient.address", &mistyped]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn a_good_file_is_good_with_certificate_cookie_and_secret() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let (cookie, secret) = (folder.path().join("cookie"), folder.path().join("secret"));
    std::fs::write(&cookie, "__cookie__:00ff\n").unwrap();
    std::fs::write(&secret, "hunter2\n").unwrap();
    let text = good()
        .replace("[pool.wallet]\n", &format!("[pool.wallet]\npassword = \"file:{}\"\n", secret.display()))
        .replace("[[pool.port]]\n", &format!("cookie = \"{}\"\n[[pool.port]]\n", cookie.display()))
        .replace(
            "[pool.wallet]\n",
            &format!("{}[pool.wallet]\n", tls(folder.path(), "pool.crt", "pool.key")),
        );
    let file = folder.path().join("pool.toml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    assert!(ended(0, &["check", file]).contains("good, 1 pool(s): dev"));
    assert_eq!(
        json(&["check", file, "--json"]),
        json!({"good": true, "pools": ["dev"], "errors": [], "warnings": []})
    );
}

#[test]
fn files_that_are_not_there_a_schedule_that_is_none_and_a_strange_dialect_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    std::fs::write(folder.path().join("empty.crt"), "nothing\n").unwrap();
    let text = good()
        .replace("[pool.wallet]\n", "[pool.wallet]\npassword = \"file:/no/such/secret\"\n")
        .replace("[[pool.port]]\n", "cookie = \"/no/such/cookie\"\n[[pool.port]]\ndialect = \"esperanto\"\n")
        .replace("interval 1h", "cron 61 * * * *")
        .replace(
            "[pool.wallet]\n",
            &format!(
                "{}{}[pool.wallet]\n",
                tls(folder.path(), "no.crt", "no.key"),
                tls(folder.path(), "empty.crt", "pool.key")
                    .replace("[pool.port.tls]", "# the second\n[pool.port.tls]")
            ),
        );
    let found = wrong(folder.path(), &text);
    tells(&found, line(&text, "[[pool.node]]"), &["node.0.cookie", "/no/such/cookie", "does the node run?"]);
    tells(&found, line(&text, "[[pool.port]]"), &["port.dialect", "\"esperanto\"", "bitcoin-v1"]);
    tells(&found, line(&text, "[pool.wallet]"), &["wallet.password", "/no/such/secret"]);
    tells(&found, line(&text, "[pool.settlement]"), &["settlement.schedule"]);
    let first = line(&text, "[pool.port.tls]");
    tells(&found, first, &["port.tls", "no.crt"]);
    tells(&found, first, &["port.tls", "no.key"]);
    tells(&found, line(&text, "# the second") + 1, &["port.tls", "empty.crt", "no certificate in PEM form"]);
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(found.is_sorted_by_key(|(line, _)| *line), "{found:#?}");

    // For people: one line each, with the file and its line.
    let file = folder.path().join("pool.toml");
    let said = ended(2, &["check", file.to_str().unwrap()]);
    let wallet = line(&text, "[pool.wallet]");
    assert!(said.contains(&format!("pool.toml:{wallet}: pool dev: wallet.password: ")), "{said}");
    assert_eq!(said.lines().count(), 7, "{said}");
    // The file alone: no secret, no certificate, no plugin.
    let said = ended(2, &["check", "--file-only", file.to_str().unwrap()]);
    assert!(said.lines().count() == 1 && said.contains("settlement.schedule"), "{said}");
}

#[test]
fn every_kind_of_schedule_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pool.toml");
    for (schedule, is_one) in [
        ("interval 2h", true),
        ("cron 0 6 * * *", true),
        ("blocks 144", true),
        ("manual", true),
        ("interval soon", false),
        ("blocks -1", false),
        ("cron 0 6", false),
        ("hourly", false),
    ] {
        std::fs::write(&file, good().replace("interval 1h", schedule)).unwrap();
        let done = millpond(&["check", "--file-only", file.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(if is_one { 0 } else { 2 }), "{schedule}");
    }
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let port = tls(folder.path(), "pool.crt", "other.key");
    let text = good().replace("[pool.wallet]\n", &format!("{port}[pool.wallet]\n"));
    let found = wrong(folder.path(), &text);
    tells(&found, line(&text, "[pool.port.tls]"), &["port.tls", "pool.crt"]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn components_that_are_missing_or_of_another_world_are_told_together() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../bundled/components/{name}.wasm"));
        std::fs::read(file).unwrap()
    };
    std::fs::write(folder.path().join("scheme.wasm"), bytes("solo")).unwrap();
    std::fs::write(folder.path().join("junk.wasm"), b"junk").unwrap();
    // A scheme in the adapter's place, and none in the scheme's.
    let text = good()
        .replace("[pool.chain]\n", "[pool.chain]\nadapter = \"scheme.wasm\"\n")
        .replace("[pool.payout]\n", "[pool.payout]\nscheme = \"nowhere.wasm\"\n");
    let found = wrong(folder.path(), &text);
    tells(&found, line(&text, "[pool.payout]"), &["payout.scheme", "nowhere.wasm"]);
    let chain = line(&text, "[pool.chain]");
    assert!(
        found.iter().any(|(at, text)| *at >= chain && *at <= chain + 3 && text.contains("chain.")),
        "{found:#?}"
    );

    let fee = "[pool.fee]\npolicy = \"junk.wasm\"\n[[pool.fee.recipient]]\nname = \"operator\"\n";
    let text = good()
        .replace("settings = { network = \"regtest\" }\n", "")
        .replace("[pool.chain]\n", "[pool.chain]\nadapter = \"scheme.wasm\"\n")
        + fee;
    let found = wrong(folder.path(), &text);
    tells(&found, line(&text, "[pool.chain]"), &["chain.adapter", "millpond:chain"]);
    tells(&found, line(&text, "[pool.fee]"), &["fee.policy"]);
}

#[test]
fn documents_of_an_adapter_that_do_not_compile_are_told_with_their_own_lines() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = "recipe 1 \"bad\"\nshare n:4\nx = nosuch n\njudge le x | id x\n";
    let dialect = "dialect 1 \"bad\"\nnonsense\nmore nonsense\n";
    let component = millpond_test_guests::adapter_with_documents(recipe, dialect);
    std::fs::write(folder.path().join("adapter.wasm"), component).unwrap();
    let text = good().replace("[pool.chain]\n", "[pool.chain]\nadapter = \"adapter.wasm\"\n");
    let found = wrong(folder.path(), &text);
    let chain = line(&text, "[pool.chain]");
    tells(&found, chain, &["chain.adapter", "recipe 0 of the adapter:3:"]);
    tells(&found, chain, &["chain.adapter", "dialect 0 of the adapter:2:", "dialect 0 of the adapter:3:"]);
}

#[test]
fn a_scheme_that_credits_from_a_reserve_that_nobody_declares_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pool.toml");
    let checked = |payout: &str| {
        let text = good().replace("[pool.payout]\n", &format!("[pool.payout]\n{payout}"));
        std::fs::write(&file, &text).unwrap();
        let told = json(&["check", file.to_str().unwrap(), "--json"]);
        assert_eq!(told["good"], json!(true), "{told}");
        (told["warnings"].as_array().unwrap().clone(), line(&text, "[pool.payout]"))
    };
    let (warnings, at) = checked("scheme = \"pps\"\n");
    assert_eq!((warnings.len(), &warnings[0]["line"]), (1, &json!(at)), "{warnings:?}");
    let text = warnings[0]["text"].as_str().unwrap();
    assert!(text.starts_with("payout.scheme: pps: ") && text.contains("[pool.payout.reserve]"), "{text}");
    let done = millpond(&["check", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&done.stderr).contains(text), "{done:?}");
    assert_eq!(checked("scheme = \"pps\"\nreserve = { amount = 1000 }\n").0, [] as [Value; 0]);
    assert_eq!(checked("scheme = \"prop\"\n").0, [] as [Value; 0]);
}
