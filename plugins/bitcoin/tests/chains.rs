//! The adapter on chains that judge its blocks: the development chain always, bcoin (sha256d) and lcoin (scrypt) with
//! `MILLPOND_REAL_NODES=1`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_devchain::peers::{Bcoin, Lcoin, real_nodes_wanted};
use millpond_devchain::{DevChain, Options};
use millpond_node::{Auth, Endpoint, JsonRpc, Limits, Secret};
use millpond_sdk::chain::{
    Action, Adapter, CallError, ErrorKind, Fate, Happening, Setting, Start, Verdict, Watched,
};
use millpond_sdk::hex;
use serde_json::{Value, json};
use std::time::Duration;
use support::*;

const DEADLINE: Duration = Duration::from_secs(60);

/// The adapter's host with a node behind it.
struct Pool {
    host: Host,
    rpc: JsonRpc,
}

impl Pool {
    async fn start(url: String, user: &str, password: &str, settings: &[(&str, Setting)]) -> Self {
        let auth = Auth::Basic { user: user.into(), password: Secret::new(password) };
        let rpc = JsonRpc::new(Endpoint { url, auth }, Limits::default()).unwrap();
        let mut all = vec![("network", Setting::Text("regtest".into())), ("proposal", Setting::Flag(true))];
        all.extend(settings.iter().cloned());
        let mut host = Host::new(&all);
        let start = Start { saved: vec![], watching: vec![], revision: 1, outputs: to_pool(), aux: vec![] };
        host.event(Happening::Start(start));
        host.event(Happening::Link((0, true)));
        let mut pool = Self { host, rpc };
        pool.settle().await;
        pool
    }

    /// Answers every call but longpolls until there is none.
    async fn settle(&mut self) {
        while let Some(at) = self.host.calls.iter().position(|call| call.timeout_ms <= 60_000) {
            let call = self.host.calls.remove(at);
            let outcome = match self.rpc.call(&call.method, &call.body, DEADLINE).await {
                Ok(answer) => Ok(answer.to_vec()),
                Err(millpond_node::CallError::Rpc { code, message, .. }) => {
                    Err(CallError { kind: ErrorKind::Rpc, code, message })
                }
                Err(error) => panic!("{}: {error}", call.method),
            };
            self.host.reply(&call, outcome);
        }
        for fact in &self.host.facts {
            assert!(!matches!(fact, Action::Alarm(_) | Action::Unfit(_)), "{fact:?}");
        }
    }

    /// The job on the node's present tip.
    async fn refresh(&mut self) {
        self.host.pass(61_000);
        self.host.event(Happening::Timer(0));
        self.settle().await;
    }

    /// Finds, submits and watches a block on the newest job; its hash.
    async fn find(&mut self) -> Vec<u8> {
        self.refresh().await;
        let job = self.host.jobs.last().expect("a job").clone();
        let (solution, _, met) = search(&self.host, &job, None, 10_000);
        assert!(met, "regtest's target is met by every second hash");
        let assembled = self.host.adapter.assemble(solution).unwrap();
        let params = request(&assembled, &self.host.body);
        let reply = self.rpc.call(&assembled.method, &params, DEADLINE).await.unwrap();
        assert_eq!(self.host.adapter.read_reply(&assembled.method, &reply).0, Verdict::Accepted, "{reply:?}");
        let again = self.rpc.call(&assembled.method, &params, DEADLINE).await.unwrap();
        assert_eq!(
            self.host.adapter.read_reply(&assembled.method, &again).0,
            Verdict::Duplicate,
            "{again:?}"
        );
        let best: Value = self.rpc.ask("getbestblockhash", &json!([]), DEADLINE).await.unwrap();
        assert_eq!(best, json!(hex::encode(&assembled.block)), "our block is the node's tip");
        let block = assembled.block.clone();
        let watched = Watched { block: block.clone(), coord: job.coord, since_ms: 0, saved: job.private };
        self.host.event(Happening::Watch(watched));
        block
    }

    /// What the adapter says about our blocks now.
    async fn follow(&mut self) -> Vec<Action> {
        self.host.facts();
        self.refresh().await;
        self.host.event(Happening::Timer(1 << 16));
        self.settle().await;
        self.host.facts().into_iter().filter(|fact| !matches!(fact, Action::Tip(_))).collect()
    }
}

fn accepted(facts: &[Action], block: &[u8], depth: u32) -> bool {
    facts.contains(&Action::Fate((block.to_vec(), Fate::Accepted(depth))))
}

fn incomes(facts: &[Action]) -> Vec<(u64, bool)> {
    let income = |fact: &Action| match fact {
        Action::Income(income) => Some((income.amount, income.mature)),
        _ => None,
    };
    facts.iter().filter_map(income).collect()
}

#[tokio::test]
async fn the_development_chain_accepts_our_blocks_and_lets_them_mature() {
    let options = Options { prologue: 110, economy: 5, maturity: 100, ..Options::default() };
    let chain = DevChain::start(options).await.unwrap();
    let mut pool = Pool::start(chain.url(), chain.user(), chain.password(), &[]).await;
    chain.add_transactions(5);
    let block = pool.find().await;
    let reward = pool.host.jobs.last().unwrap().reward;
    let facts = pool.follow().await;
    assert!(accepted(&facts, &block, 1), "{facts:?}");
    assert_eq!(incomes(&facts), [(reward, false)]);
    chain.generate(98).unwrap();
    assert!(accepted(&pool.follow().await, &block, 99));
    chain.generate(1).unwrap();
    let facts = pool.follow().await;
    assert!(facts.contains(&Action::Fate((block, Fate::Final))), "{facts:?}");
    assert_eq!(incomes(&facts), [(reward, true)]);
}

#[tokio::test]
async fn a_reorganisation_orphans_our_block_and_takes_the_income_back() {
    let chain = DevChain::start(Options::default()).await.unwrap();
    let mut pool = Pool::start(chain.url(), chain.user(), chain.password(), &[]).await;
    let parent = chain.tip();
    let block = pool.find().await;
    assert!(accepted(&pool.follow().await, &block, 1));
    chain.mine_on(&parent, 3).unwrap();
    assert_eq!(pool.follow().await, [Action::Fate((block.clone(), Fate::Pending(0)))]);
    chain.generate(3).unwrap();
    let facts = pool.follow().await;
    assert!(
        matches!(&facts[..], [Action::Fate((b, Fate::Orphan(_))), Action::IncomeLost(_)] if *b == block),
        "{facts:?}"
    );
}

#[tokio::test]
async fn bcoin_accepts_our_blocks_with_and_without_segwit() {
    if !real_nodes_wanted() {
        return;
    }
    let node = Bcoin::start().await.unwrap();
    let settings =
        [("hrp", Setting::Text("rb".into())), ("p2pkh", Setting::Int(0x3c)), ("p2sh", Setting::Int(0x26))];
    let mut pool = Pool::start(node.rpc_url(), node.user(), node.api_key(), &settings).await;
    let block = pool.find().await;
    assert!(accepted(&pool.follow().await, &block, 1));

    let address = node.new_address().await.unwrap();
    assert!(pool.host.adapter.resolve(&format!("{address}.rig")).is_ok(), "{address}");
    node.generate(450, &address).await.unwrap();
    // Before the template is asked for: bcoin looks at its mempool again only after ten seconds.
    node.wallet_rpc("sendtoaddress", json!([address, 1])).await.unwrap();
    let facts = pool.follow().await;
    assert!(facts.contains(&Action::Fate((block, Fate::Final))), "{facts:?}");
    let block = pool.find().await;
    let raw: Value = node.rpc("getblock", json!([hex::encode(&block), 1])).await.unwrap();
    assert_eq!(raw["tx"].as_array().unwrap().len(), 2, "the wallet's transaction is in our block");
    assert!(accepted(&pool.follow().await, &block, 1));
}

#[tokio::test]
async fn lcoin_accepts_our_blocks_by_scrypt() {
    if !real_nodes_wanted() {
        return;
    }
    let node = Lcoin::start().await.unwrap();
    let settings = [("algorithm", Setting::Text("scrypt".into()))];
    let mut pool = Pool::start(node.rpc_url(), node.user(), node.api_key(), &settings).await;
    let block = pool.find().await;
    let facts = pool.follow().await;
    assert!(accepted(&facts, &block, 1), "{facts:?}");
}
