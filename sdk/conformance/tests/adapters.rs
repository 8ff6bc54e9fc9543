//! Adapters at the development chain: traffic is recorded once, and then held against the bundled adapter
//! and against adapters that break a property each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_conformance::adapter::live::{Live, run};
use millpond_conformance::adapter::{Recording, replay, test};
use millpond_conformance::{Options, Report, Status};
use millpond_contracts::chain::{
    Action, AdapterActor, Assembled, ChainAdapter, Coin, Decoded, Description, Event, Frame, Optional,
    Outgoing, Output, Payee, PaymentPlan, PaymentRow, PaymentView, Solution, Verdict,
};
use millpond_contracts::{CallError, Outcome, Setting, Settings, load_adapter};
use millpond_devchain::DevChain;
use millpond_node::{Address, Auth, Endpoint, NodeSpec, Secret};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::Digest;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

const QUICK: Options = Options { seed: 5, cases: 10, miners: 10 };

struct Recorded {
    recording: Recording,
    printed: String,
}

/// A run at the development chain in which blocks are found and stay.
static RECORDED: LazyLock<Recorded> = LazyLock::new(|| record(false));

/// One in which the first blocks found are orphaned.
static REORGANISED: LazyLock<Recorded> = LazyLock::new(|| record(true));

fn record(reorganise: bool) -> Recorded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("traffic.jsonl");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = millpond_devchain::Options {
        prologue: 3,
        bits: 0x1f00_ffff,
        ..millpond_devchain::Options::default()
    };
    let chain = runtime.block_on(DevChain::start(options)).unwrap();
    let settings = vec![("network".to_owned(), Setting::Text("regtest".into()))];
    let auth = Auth::Basic { user: chain.user().to_owned(), password: Secret::new(chain.password()) };
    let node = Address::Http(Endpoint { url: chain.url(), auth });
    let live = Live {
        nodes: vec![NodeSpec { name: "devchain".into(), addresses: vec![("rpc".into(), node)] }],
        outputs: vec![Output { payee: [&[0, 20][..], &[7; 20]].concat(), weight: 1 }],
        record: Some(std::fs::File::create(&file).unwrap()),
        mine: true,
        blocks: None,
        time: Duration::from_secs(6),
    };
    let lines = Arc::new(Mutex::new(String::new()));
    let (parent, start) = (chain.tip(), chain.height());
    // Once a block of ours has earned something, a longer branch takes its place.
    let (seen, told) = std::sync::mpsc::channel();
    let show = {
        let (lines, seen) = (lines.clone(), Mutex::new(seen));
        Arc::new(move |line: &str| {
            writeln!(lines.lock().unwrap(), "{line}").unwrap();
            if line.starts_with("income ") {
                let _ = seen.lock().unwrap().send(());
            }
        })
    };
    let adapter = load(&settings);
    std::thread::scope(|scope| {
        let chain = &chain;
        scope.spawn(move || {
            if told.recv_timeout(Duration::from_secs(9)).is_ok() && reorganise {
                chain.mine_on(&parent, chain.height() - start + 9).unwrap();
            }
        });
        run(adapter, &settings, live, show).unwrap();
    });
    let read = std::fs::File::open(&file).unwrap();
    let recording = Recording::read(std::io::BufReader::new(read)).unwrap();
    let printed = lines.lock().unwrap().clone();
    Recorded { recording, printed }
}

fn load(settings: &Settings) -> Arc<dyn ChainAdapter> {
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let bytes = millpond_bundled::get("bitcoin").unwrap().bytes;
    load_adapter(&sandbox, "bitcoin", bytes, settings, &sink).unwrap()
}

fn bitcoin() -> Arc<dyn ChainAdapter> {
    load(RECORDED.recording.settings())
}
#[test]
fn a_run_shows_jobs_blocks_and_what_the_node_said() {
    let printed = &RECORDED.printed;
    for word in ["job ", "tip ", "block ", "verdict   node 0: Accepted", "fate ", "income "] {
        assert!(printed.contains(word), "no {word:?} in\n{printed}");
    }
}

#[test]
fn the_bundled_adapter_does_as_recorded_assembles_what_was_hashed_and_believes_no_lie() {
    let report = test(&bitcoin(), Some(&RECORDED.recording), QUICK);
    // Not `restarted`: where the recording holds no answer of the moment at which a new instance asks, it may report a
    // good adapter; see the guide.
    for property in ["described", "instances", "replayed", "assembled", "lied-to", "bent"] {
        assert!(matches!(report.of(property), Some(Status::Pass(_))), "{property}:\n{report}");
    }
}

#[test]
fn a_lost_income_is_taken_back_where_blocks_were_orphaned() {
    assert!(REORGANISED.printed.contains("lost      income "), "{}", REORGANISED.printed);
    let report = test(&bitcoin(), Some(&REORGANISED.recording), QUICK);
    for property in ["replayed", "assembled", "bent", "reorganised"] {
        assert!(matches!(report.of(property), Some(Status::Pass(_))), "{property}:\n{report}");
    }
}

type Spoil = Arc<dyn Fn(&Event, &mut Vec<Action>) -> Result<(), CallError> + Send + Sync>;

/// The bundled adapter with one thing wrong.
struct Spoiled {
    inner: Arc<dyn ChainAdapter>,
    /// Before the adapter sees an event.
    blind: fn(&mut Event),
    /// After it has acted.
    spoil: Spoil,
    block: fn(&mut Assembled),
}

impl Spoiled {
    fn new() -> Self {
        Self { inner: bitcoin(), blind: |_| {}, spoil: Arc::new(|_, _| Ok(())), block: |_| {} }
    }

    fn report(self) -> Report {
        let adapter: Arc<dyn ChainAdapter> = Arc::new(self);
        test(&adapter, Some(&RECORDED.recording), QUICK)
    }
}

struct SpoiledActor {
    inner: Box<dyn AdapterActor>,
    blind: fn(&mut Event),
    spoil: Spoil,
}

impl AdapterActor for SpoiledActor {
    fn handle(&mut self, event: &Event) -> Outcome<Vec<Action>> {
        let mut seen = event.clone();
        (self.blind)(&mut seen);
        let mut done = self.inner.handle(&seen)?;
        (self.spoil)(event, &mut done.value)?;
        Ok(done)
    }
}

impl ChainAdapter for Spoiled {
    fn digest(&self) -> Digest {
        self.inner.digest()
    }
    fn description(&self) -> &Description {
        self.inner.description()
    }
    fn settings(&self) -> &Settings {
        self.inner.settings()
    }
    fn optional(&self) -> Optional {
        self.inner.optional()
    }
    fn start_actor(&self) -> Result<Box<dyn AdapterActor>, CallError> {
        let (inner, spoil) = (self.inner.start_actor()?, self.spoil.clone());
        Ok(Box::new(SpoiledActor { inner, blind: self.blind, spoil }))
    }
    fn assemble(&self, solution: &Solution) -> Outcome<Assembled> {
        let mut done = self.inner.assemble(solution)?;
        (self.block)(&mut done.value);
        Ok(done)
    }
    fn read_reply(&self, method: &str, reply: &[u8]) -> Outcome<(Verdict, String)> {
        self.inner.read_reply(method, reply)
    }
    fn resolve(&self, names: &[String]) -> Outcome<Vec<Result<Payee, String>>> {
        self.inner.resolve(names)
    }
    fn plan_payment(&self, rows: &[PaymentRow], view: &PaymentView) -> Outcome<PaymentPlan> {
        self.inner.plan_payment(rows, view)
    }
    fn read_coins(&self, reply: &[u8]) -> Outcome<Vec<Coin>> {
        self.inner.read_coins(reply)
    }
    fn find(&self, marker: &str, history: &[u8]) -> Outcome<Option<Vec<u8>>> {
        self.inner.find(marker, history)
    }
    fn decode(&self, dialect: u16, frames: &[Frame]) -> Outcome<Vec<Decoded>> {
        self.inner.decode(dialect, frames)
    }
    fn encode(&self, dialect: u16, messages: &[Outgoing]) -> Outcome<Vec<Frame>> {
        self.inner.encode(dialect, messages)
    }
    fn session_consts(&self, private: &[u8], payees: &[Vec<u8>]) -> Outcome<Vec<Vec<Vec<u8>>>> {
        self.inner.session_consts(private, payees)
    }
    fn prove(&self, solution: &Solution, aux: u32) -> Outcome<Vec<u8>> {
        self.inner.prove(solution, aux)
    }
    fn pow(&self, algorithm: &str, key: &[u8], width: u32, inputs: &[u8]) -> Outcome<Vec<u8>> {
        self.inner.pow(algorithm, key, width, inputs)
    }
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
        ..Spoiled::new()
    };
    let why = replay(&late, &RECORDED.recording).unwrap_err();
    assert!(why.starts_with("event ") && why.contains(": recorded "), "{why}");
    broken(&late.report(), "replayed");
}

#[test]
fn an_adapter_that_names_another_block_than_was_hashed_is_found() {
    let other = Spoiled { block: |assembled| assembled.block[0] ^= 1, ..Spoiled::new() };
    let why = broken(&other.report(), "assembled");
    assert!(why.contains("`assemble` names block ") && why.contains("the recipe's hash is "), "{why}");
}

#[test]
fn an_adapter_that_calls_what_was_never_granted_is_found() {
    let wallet = Spoiled { block: |assembled| assembled.method = "sendtoaddress".into(), ..Spoiled::new() };
    assert!(broken(&wallet.report(), "assembled").contains("calls \"sendtoaddress\" on transport 0"));
}
