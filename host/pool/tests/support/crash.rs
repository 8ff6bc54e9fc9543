//! What the crash tests of a whole pool share: a chain that lives on, miners that write down what they were told, and
//! the comparison of all that is left with what the chain and the miners say.

use super::client::{Client, Want};
use super::rig::OnDevChain;
use super::{PATIENCE, Rpc, check_replay, journalled, pays, start, stranger};
use bitcoin::hashes::Hash;
use bitcoin::{ScriptBuf, Transaction, Txid};
use millpond_devchain::{DevChain, Options as ChainOptions};
use millpond_disk::Disk;
use millpond_journal::{JournalView, Record};
use millpond_ledger::{Head, IncomeStatus, Owner, PaymentStatus, Reader};
use millpond_pool::replay::Replayed;
use millpond_pool::{Pool, Process};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const MINERS: u8 = 4;
/// Shares of one miner that wait for their answers.
const IN_FLIGHT: usize = 32;
/// Less is not paid.
const MINIMUM: u64 = 1_000;
/// What the pool writes into its coinbases.
const TAG: &[u8] = b"/Millpond/";

/// A count from the environment, for the full run; `small` when not set.
pub fn count(variable: &str, small: u64) -> u64 {
    std::env::var(variable).map_or(small, |text| text.parse().unwrap())
}

/// Numbers that look random and are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What the miners were told.
#[derive(Default)]
pub struct Told {
    good: Mutex<Vec<[u8; 32]>>,
    count: AtomicU64,
    refused: AtomicU64,
}

impl Told {
    /// Shares answered true.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Shares answered otherwise.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }
}

/// Mines until the pool is gone.
async fn mine(address: SocketAddr, login: String, told: Arc<Told>) {
    let Ok(mut client) = Client::connect(address, &login, "sha256d").await else { return };
    let mut waiting: HashMap<u64, [u8; 32]> = HashMap::new();
    loop {
        while waiting.len() < IN_FLIGHT {
            let job = client.job.clone().unwrap();
            let share = client.find(&job, 0, Want::Share);
            match client.send_share(&share).await {
                Ok(id) => waiting.insert(id, share.id),
                // What was answered before the end is still to be read.
                Err(_) => break,
            };
        }
        let Ok(reply) = client.reply().await else { return };
        let Some(id) = reply["id"].as_u64().and_then(|id| waiting.remove(&id)) else { continue };
        if reply["result"] == true {
            told.good.lock().push(id);
            told.count.fetch_add(1, Ordering::Release);
        } else {
            told.refused.fetch_add(1, Ordering::Release);
        }
    }
}

/// The world around a pool that dies: its chain and its miners, who both remember.
pub struct World {
    pub chain: DevChain,
    pub rpc: Rpc,
    pub told: Arc<Told>,
    /// The pool's configuration.
    pub config: String,
    /// The pool's folder.
    pub pool: PathBuf,
    /// Shares of the journal that were looked at.
    pub ids: HashSet<[u8; 32]>,
    miners: Vec<(String, ScriptBuf)>,
    since: u64,
    newest: u64,
    checked: usize,
    /// The ledger's newest entry at the last look.
    heads: Option<Head>,
}

/// What all came to.
#[derive(Debug)]
pub struct Outcome {
    pub incomes: usize,
    pub settled: usize,
    /// Blocks of ours that reached the chain and no disk: their finders got no answer. None when processes are killed: a
    /// block goes to the nodes after its record is written, and only power takes away what was not synced.
    pub unanswered: usize,
    pub replayed: Replayed,
}

impl World {
    /// A chain on which a block is one in some hundred shares, and a pool's configuration for it under `data`.
    pub async fn new(data: &Path, scheme: &str) -> Self {
        let options = ChainOptions {
            bits: 0x1f00_ffff,
            prologue: 10,
            maturity: 3,
            economy: 4,
            halving: 1_000_000,
            ..ChainOptions::default()
        };
        let chain = DevChain::start(options).await.unwrap();
        let rpc = Rpc::new(chain.url(), chain.user(), chain.password());
        let since = rpc.height().await + 1;
        let rest = format!(
            r#"
[pool.stratum]
lines_per_second = 100000
[pool.payout]
scheme = "{scheme}"
minimum = {MINIMUM}
[pool.fee]
settings = {{ basis_points = 100 }}
[[pool.fee.recipient]]
name = "operator"
[pool.wallet]
[pool.settlement]
schedule = "interval 1s"
confirmations = 1
"#
        );
        let config = OnDevChain { pays_to: None, difficulty: "1e-8", chain: "", rest: &rest }.on(&chain);
        Self {
            chain,
            rpc,
            told: Arc::default(),
            config,
            pool: data.join("dev"),
            ids: HashSet::new(),
            miners: (1..=MINERS).map(|number| stranger("bcrt", number)).collect(),
            since,
            newest: 0,
            checked: 0,
            heads: None,
        }
    }

    /// Lets the miners mine at a pool until it is gone.
    pub fn mine(&self, address: SocketAddr) -> Vec<JoinHandle<()>> {
        let mine = |(login, _): &(String, ScriptBuf)| {
            tokio::spawn(mine(address, format!("{login}.rig"), Arc::clone(&self.told)))
        };
        self.miners.iter().map(mine).collect()
    }

    /// Waits until so many shares more are answered true.
    pub async fn wait_for(&self, shares: u64) {
        let until = self.told.count() + shares;
        self.wait_until("the shares", || self.told.count() >= until).await;
    }

    /// Waits until `over`, which has to come while shares go on being answered.
    pub async fn wait_until(&self, what: &str, mut over: impl FnMut() -> bool) {
        let (began, mut newest) = (Instant::now(), (Instant::now(), self.told.count()));
        while !over() {
            let told = self.told.count();
            if told > newest.1 {
                newest = (Instant::now(), told);
            }
            assert!(newest.0.elapsed() < PATIENCE, "no shares are answered while {what} is waited for");
            // Blocks and payments come all the time: what did not come in so long does not come.
            assert!(began.elapsed() < 4 * PATIENCE, "{what} does not come while shares are answered");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What has to hold on the disk of a dead pool: every share that was answered true is in the journal, none is
    /// there twice, the ledger verifies, is conserved, and goes on from where it was.
    pub fn look(&mut self, disk: &Arc<dyn Disk>) {
        self.newest = journalled(disk, &self.pool, self.newest + 1, &mut self.ids);
        let good = self.told.good.lock();
        let lost = good[self.checked..].iter().filter(|id| !self.ids.contains(*id)).count();
        assert_eq!(lost, 0, "shares that were answered true are not in the journal");
        self.checked = good.len();
        let reader = Reader::open(Arc::clone(disk), &self.pool.join("ledger")).unwrap();
        let verified = reader.verify().unwrap();
        assert!(verified.totals.conserved, "{verified:?}");
        if let Some(before) = self.heads.filter(|before| before.seq > 0) {
            // The very entry that was the newest: each names the one before it, so all older ones are there as they were.
            let there = reader.record(before.seq).unwrap().map(|(_, digest)| digest);
            assert_eq!(there, Some(before.digest), "the ledger lost entry {}, or has another", before.seq);
        }
        self.heads = Some(verified.head);
    }

    /// Runs the pool until nothing waits for maturity or for a payment, and compares everything.
    pub async fn finish(&mut self, process: &Process) -> Outcome {
        let pool = start(process, &self.config).await;
        let began = Instant::now();
        while !is_settled(&pool) {
            assert!(
                began.elapsed() < PATIENCE,
                "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
                pool.view(),
                pool.blocks(20),
                pool.payments(5),
                pool.alarms(),
                pool.ledger().totals(),
            );
            self.chain.generate(1).unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        pool.stop().await;
        drop(pool);
        self.look(&process.disk);
        let good: HashSet<[u8; 32]> = self.told.good.lock().iter().copied().collect();
        assert_eq!(good.len() as u64, self.told.count(), "a share was answered true twice");
        let (incomes, settled, unanswered) = self.compare(&process.disk, &good).await;
        let replayed = check_replay(process, &self.pool);
        Outcome { incomes, settled, unanswered, replayed }
    }

    /// Ledger, journal and chain say the same.
    async fn compare(&self, disk: &Arc<dyn Disk>, good: &HashSet<[u8; 32]>) -> (usize, usize, usize) {
        let blocks = self.rpc.blocks_from(self.since).await;
        let (book, _) = Reader::open(Arc::clone(disk), &self.pool.join("ledger")).unwrap().replay().unwrap();
        let mut confirmed: BTreeMap<Txid, &Transaction> = BTreeMap::new();
        for transaction in blocks.iter().flat_map(|block| &block.txdata) {
            assert!(confirmed.insert(transaction.compute_txid(), transaction).is_none());
        }
        // Payments: each in the chain, once, to the unit, and nothing else pays a miner.
        let mut paid: BTreeMap<&str, u64> = BTreeMap::new();
        let mut settled = 0;
        for payment in book.payments() {
            match payment.status {
                PaymentStatus::Settled => {}
                PaymentStatus::Released(_) => continue,
                _ => panic!("{payment:?}"),
            }
            settled += 1;
            let txid: Txid = payment.txid.as_ref().unwrap().0.parse().unwrap();
            for row in &payment.rows {
                let (address, script) =
                    self.miners.iter().find(|(address, _)| *address == row.address).unwrap();
                assert_eq!(pays(confirmed[&txid], script), row.amount.0, "{row:?}");
                *paid.entry(address).or_default() += row.amount.0;
            }
        }
        for (address, script) in &self.miners {
            let arrived: u64 = confirmed.values().map(|transaction| pays(transaction, script)).sum();
            assert_eq!(arrived, paid.get(address.as_str()).copied().unwrap_or(0), "{address}");
        }
        let totals = book.totals();
        assert!(totals.conserved, "{totals:?}");
        assert_eq!(totals.paid, i128::from(paid.values().sum::<u64>()));
        assert_eq!(totals.income, totals.credited + totals.fees + totals.carried);
        // Incomes: each is a block's that pays us, and each block of ours that the journal knows has its income.
        let mut known: HashMap<Vec<u8>, u64> = HashMap::new();
        for (key, income) in book.incomes() {
            match income.status {
                IncomeStatus::Matured => {}
                IncomeStatus::Reversed(_) => continue,
                _ => panic!("{key}: {income:?}"),
            }
            // The block, and the output of its coinbase that pays us.
            *known.entry(key.as_bytes()[..32].to_vec()).or_default() += income.amount.0;
        }
        let incomes = known.len();
        let (view, _) = JournalView::open(Arc::clone(disk), &self.pool.join("journal")).unwrap();
        let recorded = solved(&view);
        let mut unanswered = 0;
        let ours = blocks.iter().filter(|block| {
            let script = block.txdata[0].input[0].script_sig.as_bytes();
            script.windows(TAG.len()).any(|part| part == TAG)
        });
        for block in ours {
            let id = block.block_hash().to_byte_array();
            let reversed: Vec<u8> = id.iter().rev().copied().collect();
            let value: u64 = block.txdata[0].output.iter().map(|output| output.value.to_sat()).sum();
            match known.remove(id.as_slice()).or_else(|| known.remove(&reversed)) {
                Some(amount) => assert_eq!(amount, value),
                None => {
                    let hash = block.block_hash();
                    assert!(
                        !recorded.contains(id.as_slice()),
                        "{hash} is recorded and was never divided: {:#?}",
                        said_of(&view, &id)
                    );
                    assert!(!good.contains(&id), "{hash} was answered true and is not in the ledger");
                    unanswered += 1;
                }
            }
        }
        assert!(known.is_empty(), "incomes that no block of the chain pays: {known:?}");
        (incomes, settled, unanswered)
    }
}

/// Blocks whose solutions are in a journal, by the recipe's id.
pub fn solved(view: &JournalView) -> HashSet<Vec<u8>> {
    let block = |record: Record| match record {
        Record::Solution(solution) => Some(solution.block),
        _ => None,
    };
    view.records(1).filter_map(|entry| block(entry.unwrap().record)).collect()
}

/// What the journal says of a block, without what it was solved with.
fn said_of(view: &JournalView, block: &[u8]) -> Vec<(u64, String)> {
    let said = |record: &Record| match record {
        Record::Solution(it) if it.block == block => {
            Some(format!("solution of job {} at {}", it.job, it.coord))
        }
        Record::Submission(it) if it.block == block => Some(format!("{:?} {}", it.verdict, it.detail)),
        Record::Fate(it) if it.block == block => Some(format!("{:?}", it.fate)),
        Record::Income(it) if it.key.starts_with(block) => Some(format!("income, mature {}", it.mature)),
        Record::IncomeLost(it) if it.key.starts_with(block) => Some(format!("lost: {}", it.reason)),
        _ => None,
    };
    let entries = view.records(1).map(Result::unwrap);
    entries.filter_map(|entry| said(&entry.record).map(|said| (entry.position, said))).collect()
}

/// Nothing waits: all incomes are mature, all that is due is paid, all payments are confirmed.
fn is_settled(pool: &Pool) -> bool {
    let book = pool.ledger().book();
    let waits = book.incomes().any(|(_, income)| income.status == IncomeStatus::Immature)
        || !pool.journal().open_incomes().is_empty()
        || !pool.journal().unsubmitted().unwrap().is_empty();
    let open = book.payments().any(|payment| payment.status.is_open());
    let due = book.payables().any(|(owner, amount)| matches!(owner, Owner::Miner(_)) && amount.0 >= MINIMUM);
    // Until a block is final or an orphan it may still bring an income.
    let followed = pool
        .blocks(1_000)
        .iter()
        .any(|block| matches!(block.fate.as_str(), "submitted" | "pending" | "accepted"));
    !waits && !open && !due && !followed
}
