//! The commands that read documents, and what holds for all commands: help, no colours in a pipe, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use support::{ended, millpond, nobody, saying_to, unread};

/// A shipped document.
fn family(name: &str) -> String {
    let examples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/families");
    examples.join(name).display().to_string()
}

#[test]
fn a_recipe_is_checked_with_all_its_errors_and_run_on_its_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let good = ended(0, &["recipe", "check", &family("bitcoin/bitcoin.recipe")]);
    assert!(
        good.contains("recipe \"bitcoin\" is good") && good.contains("  share    xn time nonce vbits"),
        "{good}"
    );
    let bad = folder.path().join("bad.recipe");
    std::fs::write(&bad, "recipe 1 \"bad\"\nshare n:4\nx = nosuch n\ny = sha256d z\njudge le x | id x\n")
        .unwrap();
    let why = ended(2, &["recipe", "check", bad.to_str().unwrap()]);
    for line in ["bad.recipe:3:", "bad.recipe:4:"] {
        assert!(why.contains(line), "{line}: {why}");
    }
    assert!(ended(2, &["recipe", "check", "/no/such.recipe"]).contains("/no/such.recipe cannot be read"));

    for name in ["bitcoin/bitcoin.recipe", "litecoin/litecoin.recipe", "kaspa/kaspa.recipe"] {
        let done = millpond(&["recipe", "run", &family(name), "--json"]);
        assert_eq!(done.status.code(), Some(0), "{name}");
        let rows: Vec<Value> = String::from_utf8(done.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(!rows.is_empty() && rows.iter().all(|row| row["passed"] == json!(true)), "{name}: {rows:?}");
        // A vector that has to be refused has no values.
        assert!(rows.iter().any(|row| row["values"].get("pow").is_some()), "{name}: {rows:?}");
    }
    // Vectors of another family do not come out.
    let (kaspa, other) = (family("kaspa/kaspa.recipe"), family("bitcoin/vectors.toml"));
    let wrong = millpond(&["recipe", "run", &kaspa, "--vectors", &other]);
    let said = String::from_utf8_lossy(&wrong.stdout).into_owned();
    assert_eq!(wrong.status.code(), Some(1), "{said}");
    assert!(said.contains("FAIL ") && said.contains("kaspa: 0 of 8 vectors pass"), "{said}");
}

#[test]
fn a_dialect_is_checked_by_itself_and_against_its_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let (dialect, recipe) = (family("bitcoin/v1.dialect"), family("bitcoin/bitcoin.recipe"));
    let good = ended(0, &["dialect", "check", &dialect, "--recipe", &recipe]);
    assert!(good.contains("dialect \"bitcoin-v1\" is good"), "{good}");
    // It speaks of registers that another family's recipe does not have.
    let other = ended(2, &["dialect", "check", &dialect, "--recipe", &family("kaspa/kaspa.recipe")]);
    assert!(other.contains("v1.dialect"), "{other}");
    let bad = folder.path().join("bad.dialect");
    std::fs::write(&bad, "dialect 1 \"bad\"\nnonsense\nmore nonsense\n").unwrap();
    let why = ended(2, &["dialect", "check", bad.to_str().unwrap()]);
    assert!(why.contains("bad.dialect:2:") && why.contains("bad.dialect:3:"), "{why}");
}

#[test]
fn the_printed_example_is_a_configuration_and_the_reference_names_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let example = ended(0, &["config"]);
    let file = folder.path().join("pool.toml");
    std::fs::write(&file, &example).unwrap();
    let parsed: toml::Table = example.parse().unwrap();
    assert!(parsed["pool"].as_array().is_some_and(|pools| pools.len() == 1));
    let reference = ended(0, &["config", "--reference"]);
    for option in ["host.data", "payout_address", "schedule", "certificate"] {
        let name = option.rsplit('.').next().unwrap();
        assert!(reference.contains(name), "{option}");
    }
    let good = ended(0, &["check", "--file-only", file.to_str().unwrap()]);
    assert!(good.contains("good, 1 pool(s)"), "{good}");
}

#[test]
fn every_command_has_help_and_none_has_colours_in_a_pipe() {
    let help = ended(0, &["--help"]);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter(|line| line.len() > 2 && !line[2..].starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    for name in ["run", "check", "demo", "status", "payments", "miners", "bans", "alarms", "ledger", "replay"]
    {
        assert!(commands.contains(&name), "{name}: {commands:?}");
    }
    for name in commands {
        let said = ended(0, &[name, "--help"]);
        assert!(said.contains(&format!("Usage: millpond {name}")) && !said.contains('\x1b'), "{said}");
    }
    assert!(ended(2, &["no-such-command"]).contains("unrecognized subcommand"));
    let coloured = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["mine", "127.0.0.1:1", "--user", "x", "--shares", "1", "--algorithm", "nosuch"])
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    assert_eq!(coloured.status.code(), Some(2));
    let said = String::from_utf8_lossy(&coloured.stderr).into_owned();
    assert!(said.contains("nosuch") && !said.contains('\x1b'), "{said}");
}

#[test]
fn what_is_bundled_is_what_was_built_in_whatever_the_environment_says() {
    let list = |folder: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(["plugin", "list", "--json"])
            .env("MILLPOND_COMPONENTS", folder)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(0));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("solo.wasm"), b"another").unwrap();
    let plain: Value = serde_json::from_str(&ended(0, &["plugin", "list", "--json"])).unwrap();
    assert_eq!(list(folder.path().to_str().unwrap()), plain);
    for row in plain.as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        let bytes = std::fs::read(
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../bundled/components/{name}.wasm")),
        );
        assert_eq!(row["blake3"], json!(blake3_of(&bytes.unwrap())), "{name}");
    }
}

fn blake3_of(bytes: &[u8]) -> String {
    millpond_types::Digest::of(bytes).to_string()
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly_and_with_its_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let disk = std::sync::Arc::new(millpond_disk::RealDisk);
    millpond_pool::orders::note_at_rest(disk, &ledger, ("test", "note"), &["one"]).unwrap();
    let (ledger, recipe) = (ledger.display().to_string(), family("bitcoin/bitcoin.recipe"));
    let of_ledger = |what: &'static str| vec!["ledger", "--ledger", &ledger, what];
    for words in [
        vec!["config"],
        vec!["config", "--reference"],
        vec!["recipe", "check", &recipe],
        of_ledger("export"),
        of_ledger("verify"),
        of_ledger("balances"),
    ] {
        assert!(!ended(0, &words).is_empty(), "{words:?} says nothing");
        let done = unread(&words);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!((done.status.code(), said.as_str()), (Some(0), ""), "{words:?}");
    }
    let wrong = ["recipe", "check", "/no/such.recipe"];
    assert_eq!(saying_to(nobody(), nobody(), &wrong).status.code(), Some(2));
}

/// Linux has a file that takes nothing.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_for_another_reason_is_a_failure() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let done = saying_to(full.into(), std::process::Stdio::piped(), &["config"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output cannot be written"), "{said}");
}

#[test]
fn what_confirms_a_command_stands_before_or_behind_its_last_word() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let nobody = format!("no millpond runs on {data}");
    for command in
        [&["shadow", "--pool", "dev", "promote", "tides"][..], &["payments", "--pool", "dev", "run"]]
    {
        for words in [
            [command, &["--yes", "--data", data]].concat(),
            [&command[..1], &["--yes", "--data", data], &command[1..]].concat(),
        ] {
            assert!(ended(1, &words).contains(&nobody), "{words:?}");
        }
    }
}
