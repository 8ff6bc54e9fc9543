//! A server with a pool in memory, and a miner that hashes by itself, with none of the host's code.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod family;
pub mod honest;
pub mod miner;
pub mod moody;
pub mod tls;

use millpond_algorithms::Algorithms;
use millpond_dialect::{Dialect, DialectSet};
use millpond_jobs::{Job, JobTable, Origin, Seen};
use millpond_recipe::{Recipe, SessionStage};
use millpond_stratum::{
    Accepted, Backend, Chain, CoinbaseTooLong, NameKey, NoPayee, NotDurable, Parts, Past, Payee, PortConfig,
    Refusal, Server, ServerHandle, StartError, StratumConfig, VardiffConfig,
};
use millpond_types::{Amount, Digest, JobId, ShareSeq, Target, UnixMillis, WorkShift};
use millpond_validator::{Limits, Validator};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// One hash in 2^6 is a share.
pub const EASY: f64 = 1.0 / ((1_u64 << 26) as f64);
/// One hash in 2^14 is a block.
pub const BLOCK: f64 = 1.0 / ((1_u64 << 18) as f64);

pub const SOURCES: [&str; 2] = [
    include_str!("../../../../examples/families/bitcoin/bitcoin.recipe"),
    include_str!("../../../../examples/families/bitcoin-solo/bitcoin-solo.recipe"),
];
pub const DIALECT: &str = include_str!("../../../../examples/families/bitcoin/v1.dialect");
/// Bytes of the recipes' extranonce.
pub const EXTRANONCE: usize = 8;

/// A pool that keeps everything in memory.
#[derive(Default)]
pub struct Pool {
    pub accepted: Mutex<Vec<Accepted>>,
    pub refused: Mutex<Vec<Refusal>>,
    /// Fails every record while set.
    pub broken: AtomicBool,
    /// Holds every record back while set, until permits are given.
    pub hold: AtomicBool,
    pub permits: Semaphores,
    /// Cannot look up logins while set.
    pub blind: AtomicBool,
    /// Never answers logins while set.
    pub slow: AtomicBool,
    /// Logins that were looked up.
    pub asked: AtomicU64,
    /// Errors of shares that could not be judged.
    pub unjudged: Mutex<Vec<String>>,
    /// Kinds of firmware that a coinbase was too long for.
    pub too_long: Mutex<Vec<CoinbaseTooLong>>,
    /// Whose work would pay somebody else.
    pub wrong_payee: Mutex<String>,
    /// What its sessions are named under, whichever server names them.
    key: OnceLock<NameKey>,
    /// Leases that were reserved.
    leases: AtomicU64,
    seq: AtomicU64,
}

pub struct Semaphores(pub Semaphore);

impl Default for Semaphores {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Backend for Pool {
    async fn resolve(&self, login: &str) -> Result<Arc<Payee>, NoPayee> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.slow.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let (address, worker) = login.split_once('.').unwrap_or((login, ""));
        if address.starts_with("bad") {
            return Err(NoPayee::Login(format!("{address} is no address of this chain")));
        }
        if self.blind.load(Ordering::SeqCst) {
            return Err(NoPayee::Pool("the pool is not ready yet".to_owned()));
        }
        Ok(Arc::new(Payee::new(address.as_bytes().to_vec(), address.to_owned(), worker)))
    }

    async fn accept(&self, share: Accepted) -> Result<Option<ShareSeq>, NotDurable> {
        if self.hold.load(Ordering::SeqCst) {
            self.permits.0.acquire().await.unwrap().forget();
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err(NotDurable("the disk is full; nothing was counted".to_owned()));
        }
        let credited = share.credited;
        self.accepted.lock().unwrap().push(share);
        Ok(credited.then(|| ShareSeq(self.seq.fetch_add(1, Ordering::SeqCst) + 1)))
    }

    fn may_work(&self, _: &Job, _: &SessionStage, payee: &Payee) -> Result<(), String> {
        let wrong = self.wrong_payee.lock().unwrap();
        if *wrong == payee.address {
            Err(format!("the work pays somebody else than {wrong}"))
        } else {
            Ok(())
        }
    }

    fn coinbase_too_long(&self, what: &CoinbaseTooLong) {
        self.too_long.lock().unwrap().push(what.clone());
    }

    fn past(&self) -> Past {
        let key = self.key.get_or_init(NameKey::random).clone();
        Past { key, until: self.leases.load(Ordering::SeqCst) }
    }

    async fn reserve(&self, count: u64) -> Result<Range<u64>, NotDurable> {
        let first = self.leases.fetch_add(count, Ordering::SeqCst);
        Ok(first..first + count)
    }

    fn unjudged(&self, _: &Job, error: &str) {
        self.unjudged.lock().unwrap().push(error.to_owned());
    }

    fn refused(&self, _payee: Option<&Arc<Payee>>, _worker: &str, why: Refusal) {
        self.refused.lock().unwrap().push(why);
    }
}

impl Pool {
    pub fn credited(&self) -> usize {
        self.accepted.lock().unwrap().iter().filter(|share| share.credited).count()
    }

    pub fn last(&self) -> Accepted {
        self.accepted.lock().unwrap().last().cloned().expect("nothing was accepted")
    }
}

/// A running server with its pool and jobs.
pub struct Harness {
    pub server: Server,
    pub handle: ServerHandle,
    pub pool: Arc<Pool>,
    pub jobs: Arc<JobTable>,
    pub seen: Arc<Seen>,
    pub recipes: Vec<Arc<Recipe>>,
}

/// What a job is made of; the rest is the same for all.
#[derive(Clone)]
pub struct Template {
    pub recipe: usize,
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    pub branch: Vec<u8>,
    pub version: u32,
    pub prev: [u8; 32],
    pub bits: u32,
    pub time: u32,
    pub coord: u64,
    pub network: Target,
}

impl Default for Template {
    fn default() -> Self {
        Self {
            recipe: 0,
            head: vec![1; 60],
            tail: vec![2; 60],
            branch: vec![3; 64],
            version: 0x2000_0000,
            prev: [4; 32],
            bits: 0x207f_ffff,
            time: 1_700_000_000,
            coord: 100,
            network: target(BLOCK),
        }
    }
}

pub fn target(difficulty: f64) -> Target {
    Target::from_difficulty(difficulty, Target::BITCOIN_DIFF1).unwrap()
}

pub fn compiled(recipes: &[&str]) -> Vec<Arc<Recipe>> {
    let algorithms = Algorithms::native();
    recipes.iter().map(|text| Recipe::compile("test", text, &algorithms).unwrap()).collect()
}

pub fn chain() -> Chain {
    let dialect = Dialect::compile("bitcoin.dialect", DIALECT).unwrap_or_else(|errors| panic!("{errors}"));
    Chain {
        dialects: DialectSet::from_documents(&[dialect]).unwrap(),
        diff1: Target::BITCOIN_DIFF1,
        extranonce: EXTRANONCE,
        masks: BTreeMap::from([("mask".to_owned(), vec![0x1f, 0xff, 0xe0, 0x00])]),
    }
}

/// A configuration with one port, a fixed difficulty that a test's miner meets at once, and quick deadlines.
pub fn config() -> StratumConfig {
    StratumConfig {
        ports: vec![PortConfig::plain("127.0.0.1:0".parse().unwrap())],
        vardiff: VardiffConfig { start: EASY, min: 1e-12, enabled: false, ..VardiffConfig::default() },
        ..StratumConfig::default()
    }
}

pub async fn start() -> Harness {
    start_with(config()).await
}

pub async fn start_with(config: StratumConfig) -> Harness {
    start_full(config, chain(), None).await
}

pub async fn start_full(config: StratumConfig, chain: Chain, first: Option<&[u8]>) -> Harness {
    start_recipes(config, chain, first, &SOURCES).await
}

pub async fn start_recipes(
    config: StratumConfig,
    chain: Chain,
    first: Option<&[u8]>,
    recipes: &[&str],
) -> Harness {
    let (jobs, seen, pool) =
        (Arc::new(JobTable::default()), Arc::new(Seen::new()), Arc::new(Pool::default()));
    let server = Server::start_at(config, chain, parts(&jobs, &seen, &pool), first).await.unwrap();
    let handle = server.handle();
    Harness { server, handle, pool, jobs, seen, recipes: compiled(recipes) }
}

pub fn parts(jobs: &Arc<JobTable>, seen: &Arc<Seen>, pool: &Arc<Pool>) -> Parts<Pool> {
    static VALIDATOR: OnceLock<Arc<Validator>> = OnceLock::new();
    let validator = VALIDATOR.get_or_init(|| Arc::new(Validator::new(Limits::default()).unwrap()));
    Parts {
        backend: Arc::clone(pool),
        jobs: Arc::clone(jobs),
        seen: Arc::clone(seen),
        validator: Arc::clone(validator),
    }
}

/// Tries to start a server that nobody will use.
pub async fn try_start(config: StratumConfig) -> Result<Server, StartError> {
    Server::start(config, chain(), parts(&Arc::default(), &Arc::default(), &Arc::default())).await
}

impl Harness {
    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    /// Publishes a job and returns it.
    pub fn publish(&self, template: &Template) -> Arc<Job> {
        self.publish_for(template, 600_000)
    }

    /// As [`Harness::publish`], with a life in milliseconds.
    pub fn publish_for(&self, template: &Template, life_ms: u64) -> Arc<Job> {
        let next = self.jobs.all().last().map_or(1, |(job, _)| job.id.0 + 1);
        let mut consts = vec![template.head.clone()];
        if template.recipe == 1 {
            // Nothing stands between the extranonce and the miner's own script.
            consts.push(Vec::new());
        }
        consts.extend([
            template.tail.clone(),
            template.branch.clone(),
            template.version.to_be_bytes().to_vec(),
            template.prev.to_vec(),
            template.bits.to_le_bytes().to_vec(),
            template.time.to_be_bytes().to_vec(),
        ]);
        let now = UnixMillis::now();
        let job = Job {
            id: JobId(next),
            recipe: template.recipe as u16,
            stage: self.recipes[template.recipe].job(&consts).unwrap(),
            network_target: template.network,
            coord: template.coord,
            parent: template.prev.to_vec().into(),
            reward: Amount(5_000_000_000),
            subsidy: None,
            work_shift: WorkShift(0),
            outputs_revision: 0,
            aux_revision: 0,
            origin: Origin { adapter: Digest::default(), generation: 1 },
            private: bytes::Bytes::new(),
            body: None,
            published_at: now,
            expires_at: UnixMillis(now.0 + life_ms),
            suspended: AtomicBool::new(false),
        };
        self.jobs.publish(job).unwrap()
    }

    /// Waits until a condition on the server holds.
    pub async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
    }
}
