//! Blocks whose coinbases pay many, on the development chain: what the chain paid is what the ledger says, and nobody is
//! owed anything by the pool.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use bitcoin::ScriptBuf;
use millpond_devchain::DevChain;
use millpond_journal::Record;
use millpond_ledger::{IncomeStatus, Owner};
use millpond_pool::{Edge, Edges, Pool, Process};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::mpsc;
use support::client::{Client, Want};
use support::rig::dev_chain;
use support::{Rpc, check_replay, process, start, stranger, try_prepare, until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Some 65,000 hashes a block.
const BITS: u32 = 0x1f00_ffff;
const MINERS: u8 = 6;

fn config(chain: &DevChain, scheme: &str, more: &str) -> String {
    format!(
        r#"
[host]
[[pool]]
name = "dev"
[pool.chain]
coinbase = "scheme"
confirmations = 3
settings = {{ network = "regtest", maturity = 3, orphan_after = 2 }}
{more}
[[pool.node]]
url = "{}"
user = "{}"
password = "{}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 0.000001
fixed = true
[pool.payout]
scheme = "{scheme}"
[pool.fee]
settings = {{ basis_points = 200 }}
[[pool.fee.recipient]]
name = "operator"
address = "{}"
"#,
        chain.url(),
        chain.user(),
        chain.password(),
        operator().0,
    )
}

fn operator() -> (String, ScriptBuf) {
    stranger("bcrt", 200)
}

/// A pool with miners, and its chain.
struct World {
    chain: DevChain,
    rpc: Rpc,
    pool: Pool,
    clients: Vec<Client>,
}

impl World {
    async fn start(process: &Process, more: &str) -> (Self, String) {
        let chain = dev_chain(BITS).await;
        let text = config(&chain, "pplns", more);
        let pool = start(process, &text).await;
        let rpc = Rpc::new(chain.url(), chain.user(), chain.password());
        let mut world = Self { chain, rpc, pool, clients: Vec::new() };
        world.connect().await;
        (world, text)
    }

    async fn connect(&mut self) {
        self.clients.clear();
        for number in 1..=MINERS {
            let (address, _) = stranger("bcrt", number);
            self.clients.push(Client::connect(self.pool.addresses()[0], &address, "sha256d").await.unwrap());
        }
    }

    /// Every miner sends shares, as many as his number, and one of them finds a block. Gives its name.
    async fn round(&mut self, finder: usize) -> String {
        let (tip, height) = (self.chain.tip(), self.chain.height());
        for (number, client) in (1_u32..).zip(&mut self.clients) {
            let job = client.job_on(&tip).await;
            for _ in 0..number {
                let share = client.find(&job, 0, Want::Mere);
                let reply = client.submit(&share).await;
                assert_eq!(reply["result"], serde_json::json!(true), "{reply}");
            }
        }
        let client = &mut self.clients[finder];
        let job = client.job_on(&tip).await;
        let share = client.find(&job, 0, Want::Block);
        let reply = client.submit(&share).await;
        assert_eq!(reply["result"], serde_json::json!(true), "{reply}");
        let block = share.block();
        let chain = &self.chain;
        until(&self.pool, "the block", || chain.tip() == block && chain.height() == height + 1).await;
        until(&self.pool, "its income", || {
            self.pool.blocks(100).iter().any(|shown| shown.block == block && shown.income.0 > 0)
        })
        .await;
        block
    }

    /// What the chain paid to whom by a block.
    async fn paid(&self, block: &str) -> BTreeMap<ScriptBuf, u64> {
        let mut paid = BTreeMap::new();
        let coinbase = self.rpc.block(block).await.txdata[0].clone();
        assert!(coinbase.base_size() <= 255, "{} bytes", coinbase.base_size());
        for output in &coinbase.output {
            if output.value.to_sat() > 0 {
                *paid.entry(output.script_pubkey.clone()).or_default() += output.value.to_sat();
            }
        }
        paid
    }

    fn script(&self, owner: &Owner) -> ScriptBuf {
        match owner {
            Owner::Miner(id) => ScriptBuf::from_bytes(self.pool.journal().miner_by_id(*id).unwrap().payee),
            Owner::Fee(_) => operator().1,
            other => panic!("{other} is paid by no coinbase"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_coinbase_paid_is_what_the_ledger_says() {
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    // Room for a few outputs of seven who are due something.
    let (mut world, text) = World::start(&process, "coinbase_limit = \"nerdminer\"").await;
    let mut blocks = Vec::new();
    for finder in 0..4 {
        blocks.push(world.round(finder).await);
    }
    // Another process, the same balances.
    let deferred = |world: &World| -> Vec<Option<i64>> {
        (1..=MINERS).map(|number| world.pool.miner(&stranger("bcrt", number).0).unwrap().deferred).collect()
    };
    let pool = &world.pool;
    until(pool, "four incomes", || pool.ledger().book().incomes().count() == 4).await;
    let before = deferred(&world);
    let World { chain, rpc, pool, clients } = world;
    drop(clients);
    pool.stop().await;
    drop(pool);
    let mut world = World { chain, rpc, pool: start(&process, &text).await, clients: Vec::new() };
    world.connect().await;
    assert_eq!(deferred(&world), before);
    for finder in 4..6 {
        blocks.push(world.round(finder).await);
    }
    let pool = &world.pool;
    until(pool, "six incomes", || pool.ledger().book().incomes().count() == 6).await;
    world.chain.generate(4).unwrap();
    until(pool, "maturity", || pool.matured() == 6).await;
    let mut most = 0;
    for block in &blocks {
        let coinbase = world.paid(block).await;
        most = most.max(coinbase.len());
        let key = hex::decode(block).unwrap();
        let parts: BTreeMap<ScriptBuf, u64> = {
            let book = pool.ledger().book();
            let mut named = book
                .incomes()
                .filter(|(known, _)| known.as_bytes() == key || known.as_bytes().iter().rev().eq(key.iter()));
            let (_, income) = named.next().expect("the block's income");
            assert!(income.direct);
            assert_eq!(income.status, IncomeStatus::Matured);
            let parts = income.parts.as_ref().unwrap();
            assert_eq!(parts.total(), income.amount);
            parts.shares().iter().map(|share| (world.script(&share.0), share.1.0)).collect()
        };
        assert_eq!(coinbase, parts);
    }
    assert!((3..=4).contains(&most), "as many as a small screen's firmware takes: {most}");
    let totals = pool.ledger().totals();
    assert!(totals.conserved, "{totals:?}");
    assert_eq!(totals.payable, 0, "nobody is owed anything");
    assert_eq!(totals.immature, 0);
    assert!(before.iter().flatten().any(|deferred| *deferred > 0), "somebody waits: {before:?}");
    // Every job that was given out is of a plan that was recorded before it, and of its outputs.
    let (mut plans, mut jobs) = (BTreeMap::new(), 0);
    for entry in pool.journal().view().records(1) {
        let entry = entry.unwrap();
        match entry.record {
            Record::CoinbasePlan(plan) => drop(plans.insert(entry.position, plan)),
            Record::Job(job) => {
                assert!(plans.contains_key(&job.plan.unwrap()));
                jobs += 1;
            }
            _ => {}
        }
    }
    assert!(jobs >= 6 && plans.len() >= 6, "{jobs} jobs, {} plans", plans.len());
    // Nothing of money, plans or statements went wrong on the way.
    const MONEY: [&str; 6] = ["money", "income", "chain", "coinbase", "plugin", "statements"];
    let told = pool.alarms().into_iter().filter(|alarm| MONEY.contains(&alarm.about.as_str()));
    assert_eq!(told.map(|alarm| alarm.text).collect::<Vec<_>>(), Vec::<String>::new());
    world.clients.clear();
    world.pool.stop().await;
    let replayed = check_replay(&process, &folder.path().join("dev"));
    assert_eq!(replayed.incomes, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_that_the_chain_leaves_pays_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let (mut world, _) = World::start(&process, "coinbase_limit = \"nerdminer\"").await;
    world.round(0).await;
    let parent = world.chain.tip();
    let lost = world.round(1).await;
    let pool = &world.pool;
    until(pool, "two incomes", || pool.ledger().book().incomes().count() == 2).await;
    world.chain.mine_on(&parent, 3).unwrap();
    let reversed = || {
        let book = pool.ledger().book();
        book.incomes().filter(|(_, income)| matches!(income.status, IncomeStatus::Reversed(_))).count()
    };
    until(pool, "the loss", || reversed() == 1).await;
    assert!(pool.blocks(10).iter().any(|block| block.block == lost && block.fate == "orphan"));
    until(pool, "the first block's maturity", || pool.matured() == 1).await;
    // The block before is counted, and what the lost one deferred is not.
    let sum: i64 = (1..=MINERS)
        .map(|number| pool.miner(&stranger("bcrt", number).0).unwrap().deferred.unwrap())
        .sum::<i64>();
    let fee = i64::try_from(pool.ledger().totals().fees).unwrap();
    let stands = |status: &IncomeStatus| !matches!(status, IncomeStatus::Reversed(_));
    let first = pool.ledger().book().incomes().find(|(_, it)| stands(&it.status)).unwrap().1.amount;
    assert_eq!(
        (sum, fee),
        (0, i64::try_from(first.0 / 50).unwrap()),
        "the first block was its finder's, less the fee"
    );
    world.round(2).await;
    world.chain.generate(4).unwrap();
    let pool = &world.pool;
    until(pool, "maturity", || pool.matured() == 2).await;
    let totals = pool.ledger().totals();
    assert!(totals.conserved && totals.payable == 0, "{totals:?}");
    world.clients.clear();
    world.pool.stop().await;
    check_replay(&process, &folder.path().join("dev"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_plan_that_was_not_recorded_pays_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let (held, is_held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let edges = Edges::stop_at(Edge::PlanRecorded, 1, move |_| {
        held.send(()).unwrap();
        let _ = released.lock().unwrap().recv();
    });
    let process = Process { edges, ..process(folder.path()) };
    let pool = start(&process, &config(&chain, "pplns", "")).await;
    tokio::task::spawn_blocking(move || is_held.recv().unwrap()).await.unwrap();
    // The plan is durable, and nobody works on it yet: were this the end, nobody would have been promised anything.
    let kinds = || -> Vec<u16> {
        pool.journal().view().records(1).map(|entry| entry.unwrap().record.kind()).collect()
    };
    let (plan, job) = (18, 3);
    assert!(kinds().contains(&plan) && !kinds().contains(&job), "{:?}", kinds());
    assert!(!pool.has_work());
    release.send(()).unwrap();
    until(&pool, "work", || pool.has_work()).await;
    let kinds = kinds();
    let first = |kind| kinds.iter().position(|known| *known == kind).unwrap();
    assert!(first(plan) < first(job));
    pool.stop().await;
}

async fn line(reader: &mut (impl AsyncBufReadExt + Unpin)) -> serde_json::Value {
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_miner_with_a_small_screen_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let pool = start(&process, &config(&chain, "pplns", "")).await;
    until(&pool, "work", || pool.has_work()).await;
    let login = stranger("bcrt", 1).0;
    for (agent, fits) in [("NerdMinerV2", false), ("bitaxe/BM1370/v2.4", false), ("cgminer/4.12", true)] {
        let (reader, mut writer) =
            tokio::net::TcpStream::connect(pool.addresses()[0]).await.unwrap().into_split();
        let mut reader = BufReader::new(reader);
        let hello = format!(
            "{{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"{agent}\"]}}\n{{\"id\":2,\"method\":\
             \"mining.authorize\",\"params\":[\"{login}.rig\",\"x\"]}}\n"
        );
        writer.write_all(hello.as_bytes()).await.unwrap();
        let answer = loop {
            let line = line(&mut reader).await;
            if line["id"] == 2 {
                break line;
            }
        };
        assert_eq!(answer["result"] == serde_json::json!(true), fits, "{answer}");
        if !fits {
            let why = answer["error"][1].as_str().unwrap();
            assert!(why.contains("may have 750 bytes") && why.contains("no work for it here"), "{why}");
        }
    }
    assert_eq!(pool.server().counters().coinbase_refused, 2);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_coinbase_cannot_be_planned_by_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let good = config(&chain, "pplns", "");
    for (from, to, says) in [
        (
            "scheme = \"pplns\"",
            "scheme = \"dgm\"",
            "payout.scheme: chain.coinbase = \"scheme\" cannot pay by scheme dgm",
        ),
        (
            "coinbase = \"scheme\"",
            "coinbase = \"scheme\"\ncoinbase_limit = \"s9\"",
            "chain.coinbase_limit: is no number",
        ),
        (
            "coinbase = \"scheme\"",
            "coinbase = \"scheme\"\ntrust_adapter_with_coinbase = true",
            "chain.trust_adapter_with_coinbase: goes with a coinbase that the host reads itself",
        ),
        ("name = \"operator\"\naddress", "name = \"operator\"\n#", "fee.recipient.address: is missing"),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good);
        let told = try_prepare(&process, &text).await.err().unwrap().to_string();
        assert!(told.starts_with("line ") && told.contains(says), "{told}");
    }
}
