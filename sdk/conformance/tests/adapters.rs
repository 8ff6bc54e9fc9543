//! Adapters: a script in virtual time is recorded once, and then held against the bundled adapter and against adapters
//! that break a property each; and a run at the development chain in real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_conformance::adapter::live::{Live, run};
use millpond_conformance::adapter::{Recording, replay, test};
use millpond_conformance::{Options, Report, Status};
use millpond_contracts::chain::{Action, ChainAdapter, Happening, Job, Output};
use millpond_contracts::{CallError, Setting, TrapKind};
use millpond_devchain::DevChain;
use millpond_node::{Address, Auth, Endpoint, NodeSpec, Secret};
use millpond_test_guests::Spoiled;
use millpond_types::Amount;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

const QUICK: Options = Options { seed: 5, cases: 10, miners: 10 };

static FILE: LazyLock<Vec<u8>> = LazyLock::new(support::recorded);
static RECORDED: LazyLock<Recording> = LazyLock::new(|| Recording::read(FILE.as_slice()).unwrap());

fn bitcoin() -> Arc<dyn ChainAdapter> {
    support::bundled(&support::settings())
}

#[test]
fn a_script_gives_the_same_recording_to_the_byte_every_time() {
    assert_eq!(FILE.len(), support::recorded().len());
    assert!(*FILE == support::recorded(), "two recordings of one script differ");
}

#[test]
fn the_bundled_adapter_keeps_every_property_exactly() {
    let report = test(&bitcoin(), Some(&RECORDED), QUICK);
    for property in
        ["described", "instances", "replayed", "assembled", "restarted", "lied-to", "bent", "reorganised"]
    {
        assert!(matches!(report.of(property), Some(Status::Pass(_))), "{property}:\n{report}");
    }
    // Killed at every event of the run but the first, and nothing was left open.
    let Some(Status::Pass(said)) = report.of("restarted") else { unreachable!() };
    let numbers: Vec<usize> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [restarts, events, incomes] = numbers[..] else { panic!("{said}") };
    assert_eq!(restarts + 1, events, "{said}");
    assert!(events > 80 && incomes == 3 && !said.contains("undecided"), "{said}");
}

/// An adapter at the development chain in real time, mining.
fn live() -> (Recording, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("traffic.jsonl");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = millpond_devchain::Options { prologue: 3, ..millpond_devchain::Options::default() };
    let chain = runtime.block_on(DevChain::start(options)).unwrap();
    let settings = vec![("network".to_owned(), Setting::Text("regtest".into()))];
    let auth = Auth::Basic { user: chain.user().to_owned(), password: Secret::new(chain.password()) };
    let node = Address::Http(Endpoint { url: chain.url(), auth });
    let live = Live {
        nodes: vec![NodeSpec { name: "devchain".into(), addresses: vec![("rpc".into(), node)] }],
        outputs: vec![Output { payee: [&[0, 20][..], &[7; 20]].concat(), weight: 1 }],
        record: Some(std::fs::File::create(&file).unwrap()),
        mine: true,
        // Enough for the first to be seen in the chain.
        blocks: Some(40),
        time: Duration::from_secs(60),
    };
    let lines = Arc::new(Mutex::new(String::new()));
    let show = {
        let lines = lines.clone();
        Arc::new(move |line: &str| writeln!(lines.lock().unwrap(), "{line}").unwrap())
    };
    run(support::bundled(&settings), &settings, live, show).unwrap();
    let read = std::fs::File::open(&file).unwrap();
    let recording = Recording::read(std::io::BufReader::new(read)).unwrap();
    let printed = lines.lock().unwrap().clone();
    (recording, printed)
}

#[test]
fn a_run_shows_jobs_blocks_and_what_the_node_said_and_is_replayed() {
    let (recording, printed) = live();
    for word in ["job ", "tip ", "block ", "verdict   node 0: Accepted", "fate ", "income "] {
        assert!(printed.contains(word), "no {word:?} in\n{printed}");
    }
    let adapter = support::bundled(recording.settings());
    assert_eq!(replay(adapter.as_ref(), &recording), Ok(recording.len()));
    assert_eq!(replay(adapter.as_ref(), &recording), Ok(recording.len()), "and again");
}

/// The bundled adapter, to be spoiled.
fn good() -> Spoiled {
    Spoiled::of(bitcoin())
}

fn report(spoiled: Spoiled) -> Report {
    let adapter: Arc<dyn ChainAdapter> = Arc::new(spoiled);
    test(&adapter, Some(&RECORDED), QUICK)
}

fn broken(report: &Report, property: &str) -> String {
    match report.of(property) {
        Some(Status::Fail(example)) => example.clone(),
        other => panic!("{property}: {other:?} in\n{report}"),
    }
}

#[test]
fn an_adapter_that_does_otherwise_than_recorded_is_told_at_the_first_event() {
    let late = Spoiled {
        spoil: Arc::new(|_, actions| {
            for action in actions {
                if let Action::Publish(job) = action {
                    job.expires_ms += 1;
                }
            }
            Ok(())
        }),
        ..good()
    };
    let why = replay(&late, &RECORDED).unwrap_err();
    assert!(why.starts_with("event ") && why.contains(": recorded "), "{why}");
    broken(&report(late), "replayed");
}

#[test]
fn an_adapter_that_names_another_block_than_was_hashed_is_found() {
    let other = Spoiled {
        block: Arc::new(|assembled| {
            assembled.block[0] ^= 1;
            Ok(())
        }),
        ..good()
    };
    let why = broken(&report(other), "assembled");
    assert!(why.contains("`assemble` names block ") && why.contains("the recipe's hash is "), "{why}");
}

#[test]
fn an_adapter_that_calls_what_was_never_granted_is_found() {
    let wallet = Spoiled {
        block: Arc::new(|assembled| {
            assembled.method = "sendtoaddress".into();
            Ok(())
        }),
        ..good()
    };
    assert!(broken(&report(wallet), "assembled").contains("calls \"sendtoaddress\" on transport 0"));
}

#[test]
fn an_adapter_that_forgets_its_blocks_at_a_restart_is_found() {
    let forgetful = Spoiled {
        blind: Arc::new(|event| {
            if let Happening::Start(start) = &mut event.what {
                start.watching.clear();
            }
        }),
        ..good()
    };
    let why = broken(&report(forgetful), "restarted");
    assert!(why.starts_with("killed at event ") && why.contains(" incomes "), "{why}");
}

#[test]
fn an_adapter_that_makes_work_of_garbage_is_found() {
    let credulous = Spoiled {
        spoil: Arc::new(|event, actions| {
            let garbage = |bytes: &bytes::Bytes| {
                !matches!(bytes.first(), Some(b'{' | b'"' | b'0'..=b'9' | b'n' | b't'))
            };
            if let Happening::Reply(reply) = &event.what
                && reply.outcome.as_ref().is_ok_and(garbage)
            {
                actions.push(Action::Publish(invented()));
            }
            Ok(())
        }),
        ..good()
    };
    let why = broken(&report(credulous), "lied-to");
    assert!(why.contains("it published work at 777"), "{why}");
}

fn invented() -> Job {
    Job {
        parent: vec![1; 32],
        coord: 777,
        recipe: 0,
        consts: vec![],
        network_target: vec![1; 32],
        reward: Amount(1),
        outputs_rev: 0,
        aux_rev: 0,
        warm: vec![],
        private: vec![],
        body: None,
        expires_ms: 60_000,
        extra: vec![],
    }
}

#[test]
fn an_adapter_that_traps_on_what_a_node_says_is_found() {
    let fragile = Spoiled {
        spoil: Arc::new(|event, _| match &event.what {
            Happening::Reply(reply) if reply.outcome.as_ref().is_ok_and(|bytes| bytes.is_empty()) => {
                Err(CallError::Trap {
                    function: "adapter.handle".into(),
                    kind: TrapKind::Other,
                    message: "unreachable".into(),
                })
            }
            _ => Ok(()),
        }),
        ..good()
    };
    let why = broken(&report(fragile), "lied-to");
    assert!(why.contains("made it trap: adapter.handle: trap: unreachable"), "{why}");
}

#[test]
fn an_adapter_that_never_recovers_from_a_lie_is_found() {
    let sulking = Spoiled {
        spoil: Arc::new(|event, actions| {
            // Half of a template: it asks no more.
            if let Happening::Reply(reply) = &event.what
                && reply.outcome.as_ref().is_ok_and(|bytes| bytes.starts_with(b"{") && !bytes.ends_with(b"}"))
            {
                actions.clear();
            }
            Ok(())
        }),
        ..good()
    };
    let why = broken(&report(sulking), "lied-to");
    assert!(why.contains("after the lies had ended: "), "{why}");
}
