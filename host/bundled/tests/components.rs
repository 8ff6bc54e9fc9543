//! The bundled components in the sandbox they will run in. With `MILLPOND_COMPONENTS` set, those of another build.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_bundled::Bundled;
use millpond_contracts::chain::{
    Action, ChainAdapter, Chunk, Event, Happening, Output, Reply, Solution, Start, Verdict,
};
use millpond_contracts::{Setting, check, load_adapter, load_fee_policy, load_scheme, schema};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

fn sink() -> Arc<dyn LogSink> {
    Arc::new(TracingSink)
}

/// The bundled plugins, or those of another build.
fn all() -> &'static [Bundled] {
    assert!(millpond_bundled::replace_for_tests());
    millpond_bundled::all()
}

fn get(name: &str) -> &'static Bundled {
    all().iter().find(|plugin| plugin.name == name).unwrap()
}

fn bitcoin() -> Arc<dyn ChainAdapter> {
    let bundled = get("bitcoin");
    let settings = vec![("network".to_owned(), Setting::Text("regtest".to_owned()))];
    load_adapter(&SANDBOX, bundled.name, bundled.bytes, &settings, &sink()).unwrap()
}

#[test]
fn another_build_is_tested_where_one_is_given() {
    let Some(folder) = std::env::var_os("MILLPOND_COMPONENTS") else {
        eprintln!("not run: rebuilt components are looked at where MILLPOND_COMPONENTS names their folder");
        return;
    };
    for plugin in all() {
        let file = std::path::Path::new(&folder).join(format!("{}.wasm", plugin.name));
        assert!(plugin.bytes == std::fs::read(&file).unwrap(), "{} is not {}", plugin.name, file.display());
    }
}

#[test]
fn every_bundled_component_keeps_its_contract_and_has_a_schema() {
    for plugin in all() {
        let checked = check(&SANDBOX, plugin.name, plugin.bytes, &sink()).unwrap();
        assert!(checked.fits(), "{}: {:?}", plugin.name, checked.report.findings);
        let schema = schema(&SANDBOX, plugin.name, plugin.bytes, &sink()).unwrap();
        // The configuration's own reader understands it, and its defaults are enough.
        let settings = millpond_config::settings::check(&schema, &BTreeMap::new());
        assert!(settings.is_ok(), "{}: {settings:?}", plugin.name);
    }
}

#[test]
fn schemes_and_fee_policies_describe_themselves_without_settings() {
    for plugin in all() {
        if plugin.world.contains("payout/payout-scheme") && plugin.name != "pps" {
            let scheme = load_scheme(&SANDBOX, plugin.name, plugin.bytes, &sink()).unwrap();
            let terms = scheme.describe(&vec![]).unwrap().value;
            assert!(!terms.windows.is_empty() || terms.cells > 0, "{}", plugin.name);
        }
    }
    let flat = get("flat-fee");
    load_fee_policy(&SANDBOX, flat.name, flat.bytes, &sink()).unwrap();
}

fn event(seq: u64, what: Happening) -> Event {
    Event { seq, now_ms: 1_700_000_000_000 + seq, what }
}

fn call_of(actions: &[Action], method: &str) -> u64 {
    let call = actions.iter().find_map(|action| match action {
        Action::Call(call) if call.method == method => Some(call.id),
        _ => None,
    });
    call.unwrap_or_else(|| panic!("no {method} in {actions:?}"))
}

/// A template with this many transactions of `size` bytes each.
fn template(transactions: u32, size: usize) -> Vec<u8> {
    let data = "0".repeat(size * 2);
    let list: Vec<String> = (0..transactions)
        .map(|n| {
            format!(
                r#"{{"data":"{data}","txid":"{n:064x}","hash":"{:064x}","depends":[1,2],"fee":123,"sigops":4,"weight":1000}}"#,
                n + 1
            )
        })
        .collect();
    format!(
        r#"{{"capabilities":["proposal"],"version":805306368,"rules":["csv","!segwit","taproot"],"vbavailable":{{}},
        "previousblockhash":"{:064x}","transactions":[{}],"coinbaseaux":{{}},"coinbasevalue":5000000000,
        "longpollid":"x1","target":"7fffff","mintime":1,"mutable":["time"],"curtime":1700000000,"bits":"207fffff",
        "height":500}}"#,
        7,
        list.join(",")
    )
    .into_bytes()
}

#[test]
fn the_bitcoin_adapter_makes_a_job_of_a_full_block_well_within_its_limits() {
    let adapter = bitcoin();
    let mut actor = adapter.start_actor().unwrap();
    let outputs = vec![Output { payee: vec![0x51], weight: 1 }];
    let start = Start { outputs, revision: 1, ..Start::default() };
    actor.handle(&event(1, Happening::Start(start))).unwrap();
    let looked = actor.handle(&event(2, Happening::Link { link: 0, up: true })).unwrap().value;
    let id = call_of(&looked, "getblockchaininfo");
    let reply =
        |id, answer: Vec<u8>| Happening::Reply(Reply { id, link: 0, outcome: Ok(answer.into()), body: 9 });
    let chain = reply(id, br#"{"chain":"regtest","initialblockdownload":false}"#.to_vec());
    let asked = actor.handle(&event(3, chain)).unwrap().value;

    // 4 MB of witness-heavy block are 8 MB of hex.
    let body = template(4_000, 1_000);
    assert!(body.len() > 8_000_000);
    let done = actor.handle(&event(4, reply(call_of(&asked, "getblocktemplate"), body.clone()))).unwrap();
    println!("a template of {} bytes: fuel {} of {}", body.len(), done.fuel_used, done.fuel_limit);
    assert!(done.fuel_used < done.fuel_limit / 2, "{} of {}", done.fuel_used, done.fuel_limit);
    let job = done.value.iter().find_map(|action| match action {
        Action::Publish(job) => Some(job.clone()),
        _ => None,
    });
    let job = job.expect("a job");
    assert_eq!((job.coord, job.body), (500, Some(9)));

    let solution = Solution {
        private: job.private.clone(),
        fields: job.consts.clone(),
        results: vec![vec![1; 80], vec![2; 200]],
        proof: None,
    };
    let assembled = adapter.assemble(&solution).unwrap();
    println!("assemble: fuel {} of {}", assembled.fuel_used, assembled.fuel_limit);
    let slices = assembled.value.request.iter().filter(|chunk| matches!(chunk, Chunk::Body { .. })).count();
    assert_eq!((slices, assembled.value.method.as_str()), (4_000, "submitblock"));
    for chunk in &assembled.value.request {
        if let Chunk::Body { offset, length } = chunk {
            let slice = &body[*offset as usize..][..*length as usize];
            assert!(slice.iter().all(|byte| *byte == b'0'));
        }
    }
}

#[test]
fn the_bitcoin_adapter_resolves_names_and_reads_replies_in_fresh_instances() {
    let adapter = bitcoin();
    let names = ["bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.rig".to_owned(), "nonsense".to_owned()];
    let payees = adapter.resolve(&names).unwrap().value;
    let payee = payees[0].as_ref().unwrap();
    assert_eq!((payee.payee.len(), payee.worker.as_str()), (22, "rig"));
    assert!(payees[1].is_err());
    assert_eq!(adapter.read_reply("submitblock", b"null").unwrap().value.0, Verdict::Accepted);
}

#[test]
fn components_embed_nothing_of_the_machine_they_were_built_on() {
    for plugin in all() {
        for folder in ["/home/", "/root/", "/Users/", "/work/"] {
            let found = plugin.bytes.windows(folder.len()).any(|part| part == folder.as_bytes());
            assert!(!found, "{} holds a path below {folder}", plugin.name);
        }
    }
}
