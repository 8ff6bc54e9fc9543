//! A whole pool on hsd, with `MILLPOND_REAL_NODES=1`: a chain of another family than Bitcoin's, by an adapter that was
//! written with the guide for plugin authors (`examples/handshake`) and is loaded as anybody's component. Blocks found
//! through our server and accepted, a name being auctioned in one of them, a reorganisation, maturity, incomes divided.
//!
//! The miner computes the header as Handshake's firmware does, from the fields of the notification and without the recipe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_algorithms::Algorithms;
use millpond_devchain::peers::{Hsd, real_nodes_wanted};
use millpond_ledger::{IncomeStatus, Owner};
use millpond_pool::Pool;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use support::{PATIENCE, Rpc, check_replay, process, start, until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// Addresses of nobody's wallet: version 0 and 20 equal bytes, 1 and 2 for miners and 3 for the operator.
const ALICE: &str = "rs1qqyqszqgpqyqszqgpqyqszqgpqyqszqgpprmh8u";
const BOB: &str = "rs1qqgpqyqszqgpqyqszqgpqyqszqgpqyqszs8ajv2";
const OPERATOR: &str = "rs1qqvpsxqcrqvpsxqcrqvpsxqcrqvpsxqcr3hunxt";
const NOBODY: &str = "rs1qqszqgpqyqszqgpqyqszqgpqyqszqgpqy38mkph";

fn config(adapter: &Path, node: &Hsd, own: &str) -> String {
    format!(
        r#"
[host]
[[pool]]
name = "hns"
[pool.chain]
adapter = "{}"
payout_address = "{own}"
grant = ["getblocktemplate", "submitblock", "getblockchaininfo", "getblockhash", "getblockheader"]
trust_adapter_with_coinbase = true
confirmations = 3
settings = {{ network = "regtest", orphan_after = 2, poll_ms = 200 }}
[[pool.node]]
url = "{}"
user = "{}"
password = "{}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 2.4e-10
fixed = true
[pool.payout]
scheme = "pplns"
minimum = 1000
[pool.fee]
settings = {{ basis_points = 150 }}
[[pool.fee.recipient]]
name = "operator"
address = "{OPERATOR}"
[pool.settlement]
schedule = "manual"
"#,
        adapter.display(),
        node.rpc_url(),
        node.user(),
        node.api_key(),
    )
}

fn hash(algorithm: &str, parts: &[&[u8]]) -> Vec<u8> {
    Algorithms::native().hash(algorithm, &parts.concat()).unwrap()
}

/// A job as it was notified.
#[derive(Clone, Debug)]
struct Job {
    id: String,
    prev: Vec<u8>,
    /// Root of the names' tree.
    tree: Vec<u8>,
    /// Everything of the header's second half behind the extranonce.
    rest: Vec<u8>,
    bits: u32,
    time: u32,
}

impl Job {
    fn read(params: &Value) -> Self {
        let bytes = |at: usize| hex::decode(params[at].as_str().unwrap()).unwrap();
        let word = |at: usize| u32::from_str_radix(params[at].as_str().unwrap(), 16).unwrap();
        let (merkle, witness, tree, reserved) = (bytes(2), bytes(3), bytes(4), bytes(5));
        let words = [word(6).to_le_bytes(), word(7).to_le_bytes()].concat();
        Self {
            id: params[0].as_str().unwrap().to_owned(),
            prev: bytes(1),
            tree,
            rest: [reserved, witness, merkle, words].concat(),
            bits: word(7),
            time: word(8),
        }
    }

    /// The hash of the proof of work, which is the block's name.
    fn hash(&self, extranonce: &[u8], nonce: u32) -> Vec<u8> {
        let pad: Vec<u8> = self.prev.iter().zip(&self.tree).map(|(a, b)| a ^ b).collect();
        let zeros = vec![0; 24 - extranonce.len()];
        let sub = hash("blake2b-256", &[extranonce, &zeros, &self.rest]);
        let mask = hash("blake2b-256", &[&self.prev, &[0; 32]]);
        let commit = hash("blake2b-256", &[&sub, &mask]);
        let time = u64::from(self.time).to_le_bytes();
        let pre = [&nonce.to_le_bytes()[..], &time, &pad[..20], &self.prev, &self.tree, &commit].concat();
        let (left, right) = (hash("blake2b-512", &[&pre]), hash("sha3-256", &[&pre, &pad[..8]]));
        hash("blake2b-256", &[&left, &pad, &right])
    }

    /// Regtest's target is 0x7fffff followed by zeros, the port's is 0xf8…
    fn is(&self, hash: &[u8], solves: bool) -> bool {
        assert_eq!(self.bits, 0x207f_ffff);
        if solves { hash[0] < 0x7f } else { (0x80..0xf0).contains(&hash[0]) }
    }
}

/// A miner as HandyMiner is: it logs in before it subscribes.
struct Miner {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    login: String,
    extranonce1: Vec<u8>,
    nonce2: u32,
    next_id: u64,
    job: Option<Job>,
    replies: VecDeque<Value>,
}

impl Miner {
    async fn connect(address: SocketAddr, login: &str) -> Self {
        let (reader, writer) = TcpStream::connect(address).await.unwrap().into_split();
        let mut miner = Self {
            reader: BufReader::new(reader),
            writer,
            login: login.to_owned(),
            extranonce1: Vec::new(),
            nonce2: 0,
            next_id: 0,
            job: None,
            replies: VecDeque::new(),
        };
        miner.call("mining.add_user", json!([login, "x"])).await;
        let authorized = miner.call("mining.authorize", json!([login, "x"])).await;
        assert_eq!(authorized["result"], json!(true), "{authorized}");
        let subscribed = miner.call("mining.subscribe", json!([])).await;
        miner.extranonce1 = hex::decode(subscribed["result"][1].as_str().unwrap()).unwrap();
        assert_eq!((miner.extranonce1.len(), &subscribed["result"][2]), (4, &json!(4)), "{subscribed}");
        miner
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = format!("call_{}", self.next_id);
        let line = format!("{}\n", json!({"id": id, "method": method, "params": params}));
        self.writer.write_all(line.as_bytes()).await.unwrap();
        loop {
            let found = self.replies.iter().position(|reply| reply["id"] == json!(id));
            if let Some(reply) = found.and_then(|at| self.replies.remove(at)) {
                return reply;
            }
            self.hear().await;
        }
    }

    async fn hear(&mut self) {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.reader.read_line(&mut line)).await;
        assert!(read.unwrap_or_else(|_| panic!("silence for {}", self.login)).unwrap() > 0, "closed");
        let message: Value = serde_json::from_str(&line).unwrap();
        match message["method"].as_str() {
            Some("mining.notify") => self.job = Some(Job::read(&message["params"])),
            Some(_) => {}
            None => self.replies.push_back(message),
        }
    }

    async fn job_on(&mut self, parent: &str) -> Job {
        let parent = hex::decode(parent).unwrap();
        loop {
            match &self.job {
                Some(job) if job.prev == parent => return job.clone(),
                _ => self.hear().await,
            }
        }
    }

    /// Sends a share that solves a block or does not; its hash and the answer.
    async fn mine(&mut self, job: &Job, solves: bool) -> (String, Value) {
        self.nonce2 += 1;
        let nonce2 = self.nonce2.to_be_bytes();
        let extranonce = [self.extranonce1.as_slice(), &nonce2].concat();
        let nonce = (0..).find(|nonce| job.is(&job.hash(&extranonce, *nonce), solves)).unwrap();
        let name = hex::encode(job.hash(&extranonce, nonce));
        let params = json!([
            self.login,
            job.id,
            hex::encode(nonce2),
            format!("{:08x}", job.time),
            format!("{nonce:08x}"),
            "00".repeat(32),
        ]);
        (name, self.call("mining.submit", params).await)
    }
}

/// A miner finds a block on the node's tip, and pool and node both have it.
async fn find_block(pool: &Pool, miner: &mut Miner, rpc: &Rpc) -> String {
    let tip = rpc.call("getbestblockhash", json!([])).await;
    let job = miner.job_on(tip.as_str().unwrap()).await;
    let (name, reply) = miner.mine(&job, true).await;
    assert_eq!(reply["result"], json!(true), "{reply}");
    until(pool, "the block's acceptance", || {
        pool.blocks(100).iter().any(|block| block.block == name && block.fate == "accepted")
    })
    .await;
    assert_eq!(rpc.call("getbestblockhash", json!([])).await, json!(name));
    name
}

/// What the coinbase of a block pays to an address.
async fn pays(rpc: &Rpc, block: &str, address: &str) -> u64 {
    let block = rpc.call("getblock", json!([block, 1, 1])).await;
    let outputs = block["tx"][0]["vout"].as_array().unwrap().iter();
    let program = |output: &Value| output["address"]["string"] == json!(address);
    let values = outputs.filter(|output| program(output)).map(|output| output["value"].as_f64().unwrap());
    values.map(|value| (value * 1e6).round() as u64).sum()
}

/// What was earned is divided between miners and operator to the unit, and the orphan's income was taken back.
fn divided(pool: &Pool, earned: u64) {
    let book = pool.ledger().book();
    let totals = book.totals();
    assert!(totals.conserved, "{totals:?}");
    assert_eq!(totals.income, i128::from(earned), "{totals:?}");
    assert_eq!(totals.income, totals.credited + totals.fees + totals.carried, "{totals:?}");
    let due = |fee: bool| {
        let of = book.payables().filter(|(owner, _)| matches!(owner, Owner::Fee(_)) == fee);
        of.map(|(_, amount)| amount.0).collect::<Vec<_>>()
    };
    assert_eq!(due(false).len(), 2, "both miners have a part: {:?}", due(false));
    assert_eq!(due(true).iter().sum::<u64>(), earned * 150 / 10_000, "150 basis points");
    let reversed = book.incomes().filter(|(_, income)| matches!(income.status, IncomeStatus::Reversed(_)));
    assert_eq!(reversed.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_on_hsd_finds_blocks_survives_a_reorganisation_and_divides_what_matures() {
    if !real_nodes_wanted() {
        return;
    }
    let node = Hsd::start().await.unwrap();
    let rpc = Rpc::new(node.rpc_url(), node.user(), node.api_key());
    let own = node.new_address().await.unwrap();
    let purse = node.new_address().await.unwrap();
    node.generate(20, &purse).await.unwrap();
    // A name goes to auction: a transaction with a covenant for our first block.
    let name = node.rpc("grindname", json!([8])).await.unwrap();
    node.wallet_rpc("sendopen", json!([name])).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let adapter = folder.path().join("handshake.wasm");
    std::fs::write(&adapter, millpond_bundled::get("handshake").unwrap().bytes).unwrap();
    let process = process(folder.path());
    let pool = start(&process, &config(&adapter, &node, &own)).await;
    let mut alice = Miner::connect(pool.addresses()[0], &format!("{ALICE}.rig")).await;
    let mut bob = Miner::connect(pool.addresses()[0], BOB).await;

    let tip = rpc.call("getbestblockhash", json!([])).await;
    let job = bob.job_on(tip.as_str().unwrap()).await;
    let (_, reply) = bob.mine(&job, false).await;
    assert_eq!(reply["result"], json!(true), "a share that is no block: {reply}");
    let first = find_block(&pool, &mut alice, &rpc).await;
    let block = rpc.call("getblock", json!([first, 1, 1])).await;
    let outputs = |at: usize| block["tx"][at]["vout"].as_array().unwrap().clone();
    assert_eq!(block["tx"].as_array().unwrap().len(), 2, "the wallet's transaction is in our block");
    assert!(outputs(1).iter().any(|output| output["covenant"]["action"] == json!("OPEN")), "{block}");
    let second = find_block(&pool, &mut bob, &rpc).await;
    until(&pool, "two incomes", || pool.ledger().book().incomes().count() == 2).await;

    // Somebody's branch of three overtakes the second block.
    node.rpc("invalidateblock", json!([second])).await.unwrap();
    node.generate(3, NOBODY).await.unwrap();
    until(&pool, "the orphan", || pool.blocks(10).iter().any(|block| block.fate == "orphan")).await;
    let third = find_block(&pool, &mut bob, &rpc).await;
    node.generate(4, NOBODY).await.unwrap();
    until(&pool, "maturity of the others", || pool.matured() == 2).await;

    let earned = pays(&rpc, &first, &own).await + pays(&rpc, &third, &own).await;
    assert!(earned >= 2 * 2_000_000_000, "two blocks of 2,000 HNS and a fee: {earned}");
    divided(&pool, earned);
    drop((alice, bob));
    pool.stop().await;
    let replayed = check_replay(&process, &folder.path().join("hns"));
    assert_eq!(replayed.incomes, 3, "{replayed:?}");
}
