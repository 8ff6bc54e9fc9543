//! The command that verifies statements, over the vectors: it says of each what the vectors say, and evidence that it writes
//! convinces whoever knows the key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use millpond_proofs::{HeadBody, HeadKind, Loss, SignedHead, Signer};
use millpond_types::Digest;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn millpond(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millpond")).current_dir(folder).args(arguments).output().unwrap()
}

fn vectors(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proofs/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn write(folder: &Path, name: &str, value: &Value) {
    std::fs::write(folder.join(name), value.to_string()).unwrap();
}

#[test]
fn every_vector_is_judged_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut evidence = 0;
    for case in vectors("statements.json") {
        let expected = case["expected"].as_str().unwrap();
        write(folder, "statement.json", &case["statement"]);
        write(folder, "heads.json", &case["heads"]);
        let receipts = folder.join("receipts");
        let _ = std::fs::remove_dir_all(&receipts);
        std::fs::create_dir(&receipts).unwrap();
        for (at, receipt) in case["receipts"].as_array().unwrap().iter().enumerate() {
            write(&receipts, &format!("{at}.json"), receipt);
        }
        let mut arguments = vec!["verify-statement", "statement.json", "--json", "--heads", "heads.json"];
        arguments.extend(["--receipts", "receipts"]);
        if let Some(key) = case["key"].as_str() {
            arguments.extend(["--key", key]);
        }
        if let Some(address) = case["address"].as_str() {
            arguments.extend(["--address", address]);
        }
        let done = millpond(folder, &arguments);
        // The command takes the pool from the statement: what is of another pool alone passes.
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        let code = said["code"].as_str().unwrap_or("good");
        let of_pool = expected == "other-pool" && code == "good";
        assert!(code == expected || of_pool, "{}: {said}", case["name"]);
        let wanted = match expected {
            "form" | "version" if said["code"] == "form" => 2,
            "version" if case["statement"]["millpond_statement"] != 1 => 2,
            _ if code != "good" => 1,
            _ if case["key"].is_null() => 2,
            _ => 0,
        };
        assert_eq!(done.status.code(), Some(wanted), "{}: {said}", case["name"]);
        let written = folder.join("equivocation.json");
        if written.exists() {
            assert!(
                ["two-heads", "chain-broken", "not-continued", "losses"].contains(&expected),
                "{}",
                case["name"]
            );
            std::fs::remove_file(written).unwrap();
            evidence += 1;
        } else {
            assert_ne!(expected, "two-heads");
        }
    }
    assert!(evidence >= 4, "{evidence}");
}

#[test]
fn who_divided_by_which_settings_and_in_which_units_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cases = vectors("statements.json");
    write(folder, "statement.json", &cases[0]["statement"]);
    let arguments = ["verify-statement", "statement.json", "--key", cases[0]["key"].as_str().unwrap()];
    let done = millpond(folder, &arguments);
    assert_eq!(done.status.code(), Some(0));
    let said = String::from_utf8(done.stdout).unwrap();
    let income = &cases[0]["statement"]["commitment"]["what"]["income"];
    let component = |of: &Value| of["component"].as_str().unwrap().to_owned();
    let (scheme, fee) = (component(&income["scheme"]), component(&income["fees"][0]));
    for line in [
        format!("  divided by pplns {scheme}, finder = true, label = \"n\", window = -2"),
        format!("  fee policy flat {fee}, without settings; a miner's credit is what it left"),
        "  the work in window 0: 8000 of 12001, among 4 owners; in work of 2^32 hashes".to_owned(),
    ] {
        assert!(said.lines().any(|one| one == line), "{line}\n{said}");
    }
    let json = millpond(folder, &[&arguments[..], &["--json"]].concat());
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["scheme"]["settings"], json!({"finder": true, "label": "n", "window": -2}));
    assert_eq!((&json["fees"][0]["name"], &json["follows"]), (&json!("flat"), &Value::Null));
    assert_eq!(json["parts"][1]["unit"], "work of 2^32 hashes", "{json}");

    // A payment is divided by nobody.
    let payment = cases.iter().find(|case| case["name"] == "a payment").unwrap();
    write(folder, "statement.json", &payment["statement"]);
    let said = String::from_utf8(millpond(folder, &arguments).stdout).unwrap();
    assert!(!said.contains("divided by") && !said.contains("hashes"), "{said}");
}

#[test]
fn two_heads_of_one_number_leave_evidence_and_one_head_twice_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cases = vectors("statements.json");
    let case = cases.iter().find(|case| case["expected"] == "two-heads").unwrap();
    write(folder, "one.json", &case["statement"]["head"]);
    write(folder, "other.json", &case["heads"][0]);
    let key = case["key"].as_str().unwrap();
    let done = millpond(folder, &["heads", "compare", "one.json", "other.json", "--key", key]);
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stdout));
    let evidence: Value =
        serde_json::from_slice(&std::fs::read(folder.join("equivocation.json")).unwrap()).unwrap();
    assert_eq!(evidence["found"]["heads"].as_array().unwrap().len(), 2);
    std::fs::remove_file(folder.join("equivocation.json")).unwrap();
    let same = millpond(folder, &["heads", "compare", "one.json", "one.json", "--key", key]);
    assert_eq!(same.status.code(), Some(0));
    let other = "0".repeat(64);
    let stranger = millpond(folder, &["heads", "compare", "one.json", "other.json", "--key", &other]);
    assert_eq!(stranger.status.code(), Some(2), "signed by another key");
    assert!(!folder.join("equivocation.json").exists());
    let unread = millpond(folder, &["verify-statement", "missing.json", "--key", key]);
    assert_eq!(unread.status.code(), Some(2));
    let no_key = millpond(folder, &["verify-statement", "one.json", "--key", "abc"]);
    assert_eq!(no_key.status.code(), Some(2));
}

#[test]
fn a_strangers_head_between_two_that_contradict_hides_no_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cases = vectors("statements.json");
    let case = cases.iter().find(|case| case["expected"] == "two-heads").unwrap();
    let key = case["key"].as_str().unwrap();
    let own = SignedHead::read(case["statement"]["head"].to_string().as_bytes()).unwrap();
    let stranger = Signer::new(&[9; 32]);
    let body = HeadBody { key: stranger.key(), root: Digest::of(b"another"), ..own.body };
    let forged = SignedHead::sign(body, &stranger);
    write(folder, "statement.json", &case["statement"]);
    let heads = case["heads"].as_array().unwrap().clone();
    let verify = |heads: &[Value], known: &[&str]| {
        write(folder, "heads.json", &Value::from(heads.to_vec()));
        let arguments = ["verify-statement", "statement.json", "--heads", "heads.json"];
        millpond(folder, &[&arguments, known].concat());
        let written = std::fs::read(folder.join("equivocation.json")).ok();
        let _ = std::fs::remove_file(folder.join("equivocation.json"));
        written.map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap())
    };
    assert_eq!(verify(&[json!(forged)], &["--key", key]), None);
    assert_eq!(verify(&[json!(forged)], &[]), None, "two keys are no contradiction of one of them");
    for at in 0..=heads.len() {
        let mut mixed = heads.clone();
        mixed.insert(at, json!(forged));
        for known in [&["--key", key][..], &[]] {
            let found = verify(&mixed, known).unwrap();
            for head in found["found"]["heads"].as_array().unwrap() {
                assert_eq!(head["body"]["key"].as_str().unwrap(), key);
            }
        }
    }
}

#[test]
fn heads_that_cannot_be_compared_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let cases = vectors("statements.json");
    let case = cases.iter().find(|case| case["expected"] == "two-heads").unwrap();
    let signer = Signer::new(&[9; 32]);
    let mut body = SignedHead::read(case["statement"]["head"].to_string().as_bytes()).unwrap().body;
    body.key = signer.key();
    body.kind = HeadKind::Usual;
    let next = |before: &HeadBody, kind: HeadKind| HeadBody {
        number: before.number + 1,
        prev: before.hash(),
        restarts: before.restarts + u32::from(matches!(kind, HeadKind::Restored(_))),
        kind,
        ..before.clone()
    };
    let loss = Loss { lost_from: body.size, root: body.root, reason: "restored".to_owned() };
    let restored = next(&body, HeadKind::Restored(loss));
    let after = next(&restored, HeadKind::Usual);
    let bodies = [("one.json", &body), ("restored.json", &restored), ("after.json", &after)];
    for (name, body) in bodies {
        write(folder, name, &json!(SignedHead::sign(body.clone(), &signer)));
    }
    let mut bad = json!(SignedHead::sign(after.clone(), &signer));
    bad["body"]["time"] = json!("1");
    write(folder, "bad.json", &bad);
    let compare = |other: &str| {
        let done = millpond(folder, &["heads", "compare", "one.json", other]);
        (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(compare("restored.json").0, 0);
    let (code, told) = compare("after.json");
    assert_eq!((code, told.contains("each head between them")), (2, true), "{told}");
    assert_eq!(compare("bad.json").0, 2, "badly signed");
}
