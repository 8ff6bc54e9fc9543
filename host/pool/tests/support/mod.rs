//! What the tests of a whole pool share: a process, a pool from a configuration, its history computed again, and a
//! node's chain as the test itself reads it.
#![allow(dead_code, reason = "each test uses its part")]

pub mod between;
pub mod broken;
pub mod child;
pub mod client;
pub mod crash;
pub mod rig;

use bitcoin::consensus::deserialize;
use bitcoin::{Block, ScriptBuf, Transaction};
use millpond_alerts::Alarms;
use millpond_disk::{Disk, RealDisk};
use millpond_journal::JournalView;
use millpond_ledger::Reader;
use millpond_node::{Auth, Endpoint, JsonRpc, Limits as RpcLimits, Secret};
use millpond_pool::plugins::PluginStore;
use millpond_pool::policy::Loader;
use millpond_pool::replay::{Replayed, replay};
use millpond_pool::{Edges, Pool, PoolError, Process, setup, sockets};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::ShareSeq;
use millpond_validator::{Limits, Validator};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes longer, or it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A process whose durable things are under `data`.
pub fn process(data: &Path) -> Process {
    assert!(millpond_bundled::replace_for_tests());
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    Process {
        algorithms: millpond_algorithms::Algorithms::native(),
        data: data.to_owned(),
        disk: Arc::new(RealDisk),
        sandbox: Sandbox::new(Some(&data.join("cache")), Compiler::InProcess).unwrap(),
        sink,
        validator: Arc::new(Validator::new(Limits::default()).unwrap()),
        alarms: Alarms::quiet(),
        commit_interval: Duration::from_millis(1),
        edges: Edges::default(),
    }
}

/// Starts the first pool of a configuration.
pub async fn start(process: &Process, text: &str) -> Pool {
    start_prepared(process, prepare(process, text).await).await
}

/// Starts the first pool of a configuration after something was changed in what it is made of.
pub async fn start_with(process: &Process, text: &str, change: impl FnOnce(&mut setup::Prepared)) -> Pool {
    let mut prepared = prepare(process, text).await;
    change(&mut prepared);
    start_prepared(process, prepared).await
}

/// Starts the first pool of a configuration, or says why it does not start.
pub async fn try_start(process: &Process, text: &str) -> Result<Pool, PoolError> {
    try_prepared(process, prepare(process, text).await).await
}

/// Starts a pool that was prepared.
pub async fn start_prepared(process: &Process, prepared: setup::Prepared) -> Pool {
    try_prepared(process, prepared).await.unwrap_or_else(|why| panic!("{why}"))
}

async fn try_prepared(process: &Process, prepared: setup::Prepared) -> Result<Pool, PoolError> {
    let stratum = sockets::stratum(&prepared.section).unwrap();
    Pool::start(process, prepared, Path::new("."), stratum).await
}

/// Finds, loads and checks what the first pool of a configuration names.
pub async fn prepare(process: &Process, text: &str) -> setup::Prepared {
    try_prepare(process, text).await.unwrap_or_else(|why| panic!("{why}"))
}

/// The same, or what keeps it from a start.
pub async fn try_prepare(process: &Process, text: &str) -> Result<setup::Prepared, setup::SetupError> {
    let config = millpond_config::parse("test.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
    let section = config.pool.into_iter().next().unwrap();
    let (sandbox, sink) = (process.sandbox.clone(), Arc::clone(&process.sink));
    let prepared =
        tokio::task::spawn_blocking(move || setup::prepare(section, Path::new("."), &sandbox, &sink));
    prepared.await.unwrap()
}

/// Waits until it holds, or shows what the pool says.
pub async fn until(pool: &Pool, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            panic!(
                "{what} did not come about\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
                pool.view(),
                pool.blocks(5),
                pool.payments(5),
                pool.alarms()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Computes a stopped pool's history again from its raw records. It must arrive at the ledger's entries.
pub fn check_replay(process: &Process, folder: &Path) -> Replayed {
    let disk: Arc<dyn Disk> = Arc::clone(&process.disk);
    let (view, _) = JournalView::open(Arc::clone(&disk), &folder.join("journal")).unwrap();
    let reader = Reader::open(Arc::clone(&disk), &folder.join("ledger")).unwrap();
    reader.verify().unwrap();
    let store = PluginStore::open(disk, &folder.join("plugins")).unwrap();
    let loader = Loader::new(process.sandbox.clone(), store, Arc::clone(&process.sink));
    replay(&view, &reader, &loader).unwrap_or_else(|why| panic!("{why}"))
}

/// Hashes of the shares in a pool's journal from a number on, running or not; none may be there twice.
pub fn journalled(disk: &Arc<dyn Disk>, folder: &Path, from: u64, ids: &mut HashSet<[u8; 32]>) -> u64 {
    let (view, _) = JournalView::open(Arc::clone(disk), &folder.join("journal")).unwrap();
    view.shares(ShareSeq(from), |seq, share| -> Result<(), millpond_journal::JournalError> {
        assert!(ids.insert(share.id), "share {seq} was counted before");
        Ok(())
    })
    .unwrap();
    view.newest().0
}

/// A node as the test asks it.
pub struct Rpc(JsonRpc);

impl Rpc {
    pub fn new(url: String, user: &str, password: &str) -> Self {
        let auth = Auth::Basic { user: user.to_owned(), password: Secret::new(password) };
        Self(JsonRpc::new(Endpoint { url, auth }, RpcLimits::default()).unwrap())
    }

    pub async fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.0.call(method, params.to_string().as_bytes(), Duration::from_secs(60)).await;
        let answer = answer.unwrap_or_else(|why| panic!("{method}: {why}"));
        serde_json::from_slice(&answer).unwrap()
    }

    pub async fn height(&self) -> u64 {
        self.call("getblockcount", json!([])).await.as_u64().unwrap()
    }

    pub async fn hash_at(&self, height: u64) -> String {
        self.call("getblockhash", json!([height])).await.as_str().unwrap().to_owned()
    }

    pub async fn block(&self, hash: &str) -> Block {
        // Core counts verbosity; bcoin of that time knew only true and false, and takes 0 as false.
        let raw = self.call("getblock", json!([hash, 0])).await;
        deserialize(&hex::decode(raw.as_str().unwrap()).unwrap()).unwrap()
    }

    /// The blocks of the chain from a height on.
    pub async fn blocks_from(&self, from: u64) -> Vec<Block> {
        let mut blocks = Vec::new();
        for height in from..=self.height().await {
            let hash = self.hash_at(height).await;
            blocks.push(self.block(&hash).await);
        }
        blocks
    }
}

/// A witness address of nobody's wallet, for a network's prefix, and its script.
pub fn stranger(hrp: &str, number: u8) -> (String, ScriptBuf) {
    use bitcoin::bech32::{Hrp, segwit};
    let program = [number; 20];
    let address = segwit::encode_v0(Hrp::parse(hrp).unwrap(), &program).unwrap();
    (address, ScriptBuf::from_bytes([&[0x00, 0x14], &program[..]].concat()))
}

/// What a transaction pays to a script.
pub fn pays(transaction: &Transaction, script: &ScriptBuf) -> u64 {
    let of = transaction.output.iter().filter(|output| output.script_pubkey == *script);
    of.map(|output| output.value.to_sat()).sum()
}
