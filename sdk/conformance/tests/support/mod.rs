//! A scripted Bitcoin node: the development chain on a clock of its own, asked in between the steps of a script.

use millpond_conformance::adapter::script::{Answer, Script, ScriptedNode, Step};
use millpond_contracts::chain::{ChainAdapter, NodeError, NodeErrorKind, Output};
use millpond_contracts::{Setting, Settings, load_adapter};
use millpond_devchain::{Clock, DevChain, EASIEST, Options};
use millpond_node::{Auth, Endpoint, JsonRpc, Limits, Secret};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// 2024-01-01.
const BEGIN: u32 = 1_704_067_200;

/// The development chain without its own time: what it says depends on its blocks alone.
pub struct Bitcoin {
    chain: DevChain,
    rpc: JsonRpc,
    runtime: tokio::runtime::Runtime,
    /// The tip before the first block of ours.
    fork: Option<String>,
    /// It says nothing sensible.
    confused: bool,
}

impl Bitcoin {
    fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = Options {
            prologue: 3,
            bits: EASIEST,
            maturity: 5,
            clock: Clock::Stepped { start: BEGIN, step: 60 },
            ..Options::default()
        };
        let chain = runtime.block_on(DevChain::start(options)).unwrap();
        let auth = Auth::Basic { user: chain.user().to_owned(), password: Secret::new(chain.password()) };
        let rpc = JsonRpc::new(Endpoint { url: chain.url(), auth }, Limits::default()).unwrap();
        Self { chain, rpc, runtime, fork: None, confused: false }
    }

    fn ask(&self, method: &str, body: &[u8]) -> Answer {
        let answer = self.runtime.block_on(self.rpc.call(method, body, Duration::from_secs(30)));
        match answer {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(millpond_node::CallError::Rpc { code, message }) => {
                Err(NodeError { kind: NodeErrorKind::Rpc, code, message })
            }
            Err(other) => panic!("the development chain failed: {other}"),
        }
    }
}

impl ScriptedNode for Bitcoin {
    fn answer(&mut self, _: &str, method: &str, body: &[u8]) -> Option<Answer> {
        let mut params: Value = serde_json::from_slice(body).unwrap();
        if method == "getblocktemplate"
            && let Some(request) = params.get_mut(0).and_then(Value::as_object_mut)
            && let Some(seen) = request.remove("longpollid")
            && seen.as_str().unwrap().starts_with(&self.chain.tip())
        {
            return None;
        }
        if self.confused {
            return Some(Ok(b"{\"height\":99999999,\"previousblockhash\":".to_vec()));
        }
        Some(self.ask(method, params.to_string().as_bytes()))
    }

    fn submit(&mut self, _: &str, method: &str, request: &[u8]) -> Answer {
        self.fork.get_or_insert_with(|| self.chain.tip());
        self.ask(method, request)
    }
}

fn block(node: &mut Bitcoin) {
    node.chain.generate(1).unwrap();
}

fn confuse(node: &mut Bitcoin) {
    node.confused = true;
}

fn recover(node: &mut Bitcoin) {
    node.confused = false;
}

/// A branch from before our first block takes its place.
fn reorganise(node: &mut Bitcoin) {
    let fork = node.fork.clone().unwrap();
    node.chain.mine_on(&fork, 6).unwrap();
}

/// Tips, blocks of ours of which one is orphaned and one matures, lies, and a node that goes away and comes back.
fn steps() -> Vec<(u64, Step<Bitcoin>)> {
    let mut steps: Vec<(u64, Step<Bitcoin>)> = vec![(10, Step::Link(true))];
    let change = |step: fn(&mut Bitcoin)| Step::Change(step);
    let mut at = 1_000;
    let mut then = |after: u64, step: Step<Bitcoin>| {
        at += after;
        steps.push((at, step));
    };
    then(5_000, change(block));
    then(7_000, Step::Solve);
    then(3_000, change(block));
    then(4_000, change(confuse));
    then(2_000, change(block));
    then(9_000, change(recover));
    then(20_000, change(reorganise));
    then(5_000, change(block));
    then(5_000, Step::Solve);
    then(6_000, Step::Link(false));
    then(4_000, change(block));
    then(8_000, Step::Link(true));
    for _ in 0..6 {
        then(11_000, change(block));
    }
    then(3_000, Step::Solve);
    for _ in 0..2 {
        then(10_000, change(block));
    }
    steps
}

pub fn settings() -> Settings {
    vec![
        ("maturity".to_owned(), Setting::Int(5)),
        ("network".to_owned(), Setting::Text("regtest".into())),
        ("orphan_after".to_owned(), Setting::Int(3)),
    ]
}

pub fn bundled(settings: &Settings) -> Arc<dyn ChainAdapter> {
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let bytes = millpond_bundled::get("bitcoin").unwrap().bytes;
    load_adapter(&sandbox, "bitcoin", bytes, settings, &sink).unwrap()
}

/// The file of a recording of the bundled adapter.
pub fn recorded() -> Vec<u8> {
    let script = Script {
        node: &Bitcoin::new,
        steps: steps(),
        outputs: vec![Output { payee: [&[0, 20][..], &[7; 20]].concat(), weight: 1 }],
        begin_ms: u64::from(BEGIN) * 1_000,
        length_ms: 240_000,
    };
    script.record(&bundled(&settings()), &settings()).unwrap()
}
