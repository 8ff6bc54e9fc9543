//! The committed certificates of the bundled schemes: each is made again, byte for byte. With
//! `MILLPOND_WRITE_CERTIFICATES` set they are written anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_conformance::certificate::certificate;
use millpond_conformance::{Options, constants, scheme};
use millpond_contracts::{Settings, load_scheme};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// As `millpond plugin test` has them.
const OPTIONS: Options = Options { seed: 1, cases: 120, miners: 1_000_000 };

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/certificates")
}

fn of_a_scheme(plugin: &&millpond_bundled::Bundled) -> bool {
    plugin.world.contains("payout/payout-scheme")
}

fn schemes() -> impl Iterator<Item = &'static millpond_bundled::Bundled> {
    millpond_bundled::all().iter().filter(of_a_scheme)
}

#[test]
fn the_certificate_of_every_bundled_scheme_is_made_again_byte_for_byte() {
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let plugins: Vec<_> = schemes().collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let made = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while let Some(plugin) = plugins.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let scheme = load_scheme(&sandbox, plugin.name, plugin.bytes, &sink).unwrap();
                    let found = constants(plugin.bytes);
                    let report = scheme::test_with(plugin.name, &scheme, &Settings::new(), OPTIONS, &found);
                    assert!(report.passed(), "{}:\n{report}", plugin.name);
                    let bytes = certificate(plugin.name, plugin.world, &report);
                    made.lock().unwrap().push((plugin.name, bytes));
                }
            });
        }
    });
    for (name, bytes) in made.into_inner().unwrap() {
        let file = folder().join(format!("{name}.json"));
        if std::env::var_os("MILLPOND_WRITE_CERTIFICATES").is_some() {
            std::fs::write(&file, &bytes).unwrap();
        }
        let committed = std::fs::read(&file).unwrap_or_default();
        assert!(
            committed == bytes,
            "{} is not what is made now:\n{}\nrun this test with MILLPOND_WRITE_CERTIFICATES=1 and look at what changed",
            file.display(),
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn certificates_are_of_the_components_that_ship_and_of_no_others() {
    let names: BTreeSet<String> = schemes().map(|plugin| format!("{}.json", plugin.name)).collect();
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".json"))
        .collect();
    assert_eq!(files, names);
    for plugin in schemes() {
        let bytes = std::fs::read(folder().join(format!("{}.json", plugin.name))).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read["component"], plugin.digest.to_string(), "{}", plugin.name);
        assert_eq!((&read["passed"], &read["options"]["miners"]), (&true.into(), &"1000000".into()));
        assert!(!numbers(&read), "{}: a number that a reader may round", plugin.name);
        // Nothing that every scheme is held to was left out, but for what does not apply.
        for verdict in read["verdicts"].as_array().unwrap() {
            let may = ["logs", "batches", "newcomer", "finder-swap", "skim"];
            let (id, status) = (verdict["id"].as_str().unwrap(), verdict["status"].as_str().unwrap());
            assert!(status == "held" || status == "not-claimed" || may.contains(&id), "{id}: {status}");
        }
        // The digest is of what stands above it.
        let text = String::from_utf8(bytes).unwrap();
        let at = text.rfind(",\n  \"result\": ").unwrap();
        let above = blake3::hash(format!("{}\n}}", &text[..at]).as_bytes()).to_hex().to_string();
        assert_eq!(read["result"], above);
    }
}

fn numbers(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(_) => true,
        serde_json::Value::Array(values) => values.iter().any(numbers),
        serde_json::Value::Object(fields) => fields.values().any(numbers),
        _ => false,
    }
}
