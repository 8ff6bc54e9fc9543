//! The bundled fee policies: the kit holds them to their contract under many settings, their certificates are made again
//! byte for byte (with `MILLPOND_WRITE_CERTIFICATES` set they are written anew), and their pages say what they do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_bundled::Bundled;
use millpond_conformance::certificate::certificate;
use millpond_conformance::{Options, constants, fee};
use millpond_contracts::payout::{FeePolicy, Income};
use millpond_contracts::{Setting, Settings, load_fee_policy};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// As `millpond plugin test` has them.
const OPTIONS: Options = Options { seed: 1, cases: 120, miners: 1_000_000 };

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn policies() -> Vec<(&'static Bundled, Arc<dyn FeePolicy>)> {
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let of_fees = millpond_bundled::all().iter().filter(|plugin| plugin.world.contains("/fee@"));
    of_fees
        .map(|plugin| (plugin, load_fee_policy(&SANDBOX, plugin.name, plugin.bytes, &sink).unwrap()))
        .collect()
}

/// Settings as a page writes them: `a=1, b=x`; a comma without a `=` behind it belongs to the value.
fn settings(text: &str) -> Settings {
    let mut settings = Settings::new();
    for part in text.split(',') {
        match (part.split_once('='), settings.last_mut()) {
            (Some((key, value)), _) => {
                let value = value.parse().map_or_else(|_| Setting::Text(value.to_owned()), Setting::Int);
                settings.push((key.trim().to_owned(), value));
            }
            (None, Some((_, Setting::Text(value)))) => value.push_str(&format!(",{part}")),
            (None, _) => panic!("{text:?} is no settings"),
        }
    }
    settings.sort();
    settings
}

#[test]
fn the_certificate_of_every_bundled_fee_policy_is_made_again_byte_for_byte() {
    let folder = docs().join("certificates/fees");
    for (plugin, policy) in policies() {
        let report = fee::test_with(policy.as_ref(), &Settings::new(), OPTIONS, &constants(plugin.bytes));
        assert!(report.passed(), "{}:\n{report}", plugin.name);
        let bytes = certificate(plugin.name, plugin.world, &report);
        let file = folder.join(format!("{}.json", plugin.name));
        if std::env::var_os("MILLPOND_WRITE_CERTIFICATES").is_some() {
            std::fs::write(&file, &bytes).unwrap();
        }
        assert!(
            std::fs::read(&file).unwrap_or_default() == bytes,
            "{} is not what is made now: run this test with MILLPOND_WRITE_CERTIFICATES=1 and look at what changed",
            file.display()
        );
    }
    let of = |name: &str| name.strip_suffix(".json").map(str::to_owned);
    let files = std::fs::read_dir(folder).unwrap();
    let mut certified: Vec<String> =
        files.filter_map(|file| of(file.unwrap().file_name().to_str().unwrap())).collect();
    certified.sort();
    let names: Vec<&str> = policies().iter().map(|(plugin, _)| plugin.name).collect();
    assert_eq!(certified, names);
}

#[test]
fn the_pages_say_what_the_policies_take() {
    let mut examples = 0;
    for (plugin, policy) in policies() {
        let file = docs().join(format!("fees/{}.md", plugin.name));
        let page = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        let schema: serde_json::Value = serde_json::from_str(&policy.schema().unwrap().value).unwrap();
        for (name, setting) in schema["properties"].as_object().unwrap() {
            let default = setting["default"].to_string();
            let row = format!("| `{name}` | {} |", default.trim_matches('"'));
            assert!(page.contains(&row), "{}: no row {row:?}", plugin.name);
        }
        let (_, table) = page.split_once("## Worked example").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `"));
        for cells in rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>()) {
            let given = settings(cells[1].trim_matches('`'));
            let number = |at: usize| cells[at].parse::<u64>().unwrap();
            let columns: Vec<Vec<u64>> = if cells[3].is_empty() { vec![] } else { vec![vec![number(3)]] };
            assert_eq!(policy.describe(&given).unwrap().value.len(), columns.len(), "{}", plugin.name);
            let income = Income { key: vec![1], finder: Some(1), ..Income::default() };
            let fees = policy.fees(&given, &income, &[1], &[number(2)], &columns).unwrap().value;
            let taken = (fees.fee, fees.rebate);
            assert_eq!(taken, (vec![number(4)], vec![number(5)]), "{}: {cells:?}", plugin.name);
            // And under these settings it keeps every property.
            let quick = Options { seed: 3, cases: 30, miners: 1_000 };
            let report = fee::test(policy.as_ref(), &given, quick);
            assert!(report.passed(), "{} under {}:\n{report}", plugin.name, cells[1]);
            examples += 1;
        }
    }
    assert!(examples >= 18, "{examples}");
}
