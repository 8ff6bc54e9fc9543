//! The miner against the server: two programs that share no code but the hash functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_dialect::{Dialect, DialectSet};
use millpond_jobs::{Job, JobTable, Origin};
use millpond_miner::{MineError, Miner, Options};
use millpond_recipe::{Recipe, SessionStage};
use millpond_stratum::{
    Accepted, Backend, Chain, NoPayee, NotDurable, Parts, Payee, PortConfig, Server, StratumConfig,
};
use millpond_types::{Amount, Digest, JobId, ShareSeq, Target, UnixMillis, WorkShift};
use millpond_validator::Validator;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(90);
const RECIPE: &str = include_str!("../../../examples/families/bitcoin/bitcoin.recipe");
const DIALECT: &str = include_str!("../../../examples/families/bitcoin/v1.dialect");

#[derive(Default)]
struct Pool(Mutex<Vec<Accepted>>);

impl Backend for Pool {
    async fn resolve(&self, login: &str) -> Result<Arc<Payee>, NoPayee> {
        if login.starts_with("bad") {
            return Err(NoPayee::Login("no such address".to_owned()));
        }
        let (address, worker) = login.split_once('.').unwrap_or((login, ""));
        Ok(Arc::new(Payee::new(login.as_bytes().to_vec(), address.to_owned(), worker)))
    }

    async fn accept(&self, share: Accepted) -> Result<Option<ShareSeq>, NotDurable> {
        let mut shares = self.0.lock().unwrap();
        shares.push(share);
        Ok(Some(ShareSeq(shares.len() as u64)))
    }

    fn may_work(&self, _: &Job, _: &SessionStage, _: &Payee) -> Result<(), String> {
        Ok(())
    }
}

struct Running {
    server: Server,
    pool: Arc<Pool>,
    jobs: Arc<JobTable>,
    recipe: Arc<Recipe>,
}

/// A server whose shares take `one_in` hashes, or are left to vardiff.
async fn start(pow: &str, diff1: Target, difficulty: f64, vardiff: bool) -> Running {
    let text = RECIPE.replace("judge le pow", &format!("judge le ({pow} hdr)"));
    let recipe = Recipe::compile("test", &text, &Algorithms::native()).unwrap();
    let dialect = Dialect::compile("test", DIALECT).unwrap();
    let ports = vec![PortConfig::plain("127.0.0.1:0".parse().unwrap())];
    let mut config = StratumConfig { ports, ..StratumConfig::default() };
    (config.vardiff.start, config.vardiff.min, config.vardiff.enabled) = (difficulty, 1e-12, vardiff);
    let chain = Chain {
        dialects: DialectSet::from_documents(&[dialect]).unwrap(),
        diff1,
        extranonce: 8,
        masks: Default::default(),
    };
    let (pool, jobs) = (Arc::new(Pool::default()), Arc::new(JobTable::default()));
    let validator = Arc::new(Validator::new(Default::default()).unwrap());
    let parts =
        Parts { backend: Arc::clone(&pool), jobs: Arc::clone(&jobs), seen: Arc::default(), validator };
    let server = Server::start(config, chain, parts).await.unwrap();
    let running = Running { server, pool, jobs, recipe };
    running.publish(1);
    running
}

impl Running {
    fn publish(&self, id: u64) {
        let word = |number: u32| number.to_be_bytes().to_vec();
        let consts = [
            vec![1; 50],
            vec![2; 50],
            vec![3; 96],
            word(0x2000_0000),
            vec![id as u8; 32],
            word(0xffff_7f20),
            word(1_700_000_000),
        ];
        let now = UnixMillis::now();
        let job = Job {
            id: JobId(id),
            recipe: 0,
            stage: self.recipe.job(&consts).unwrap(),
            network_target: Target::from_be_bytes([0; 32]),
            coord: id,
            parent: vec![id as u8; 32].into(),
            reward: Amount(0),
            subsidy: None,
            work_shift: WorkShift(0),
            outputs_revision: 0,
            aux_revision: 0,
            origin: Origin { adapter: Digest::default(), generation: 1 },
            private: bytes::Bytes::new(),
            body: None,
            published_at: now,
            expires_at: UnixMillis(now.0 + 600_000),
            suspended: AtomicBool::new(false),
        };
        self.jobs.publish(job).unwrap();
    }

    fn options(&self) -> Options {
        Options {
            threads: 2,
            ..Options::new(format!("stratum+tcp://{}", self.server.addresses()[0]), "alice.cpu")
        }
    }

    fn shares(&self) -> usize {
        self.pool.0.lock().unwrap().len()
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_share_of_the_miner_counts_over_changing_jobs() {
    // One hash in 4096.
    let running = start("sha256d", Target::BITCOIN_DIFF1, 1.0 / f64::from(1 << 20), false).await;
    let miner = Miner::start(running.options());
    until("shares of the first job", || running.shares() > 20).await;
    running.publish(2);
    let before = running.shares();
    until("shares of the second job", || running.shares() > before + 20).await;
    let counters = running.server.handle();
    let summary = miner.stop().await.unwrap();
    assert_eq!(summary.accepted as usize, running.shares());
    let counters = counters.counters();
    // A share may be on its way while a job replaces its own: then it is late, and nothing else.
    assert_eq!(summary.rejected, counters.stale);
    assert!(summary.hashes > 20 * 4096 / 2 && summary.hashes_per_second > 0.0);
    let coords: std::collections::BTreeSet<u64> =
        running.pool.0.lock().unwrap().iter().map(|share| share.job.coord).collect();
    assert_eq!(coords.into_iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(running.pool.0.lock().unwrap()[0].worker.as_ref(), "cpu");
}

#[tokio::test(flavor = "multi_thread")]
async fn scrypt_goes_through_the_validators_threads() {
    let mut diff1 = Target::BITCOIN_DIFF1.to_be_bytes();
    diff1.rotate_left(2);
    // One hash in 16.
    let running = start("scrypt", Target::from_be_bytes(diff1), 1.0 / 4096.0, false).await;
    let miner = Miner::start(Options { algorithm: "scrypt".to_owned(), ..running.options() });
    until("shares", || running.shares() > 10).await;
    let summary = miner.stop().await.unwrap();
    assert_eq!((summary.accepted as usize, summary.rejected), (running.shares(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn vardiff_slows_a_miner_down_and_no_share_is_found_twice() {
    let running = start("sha256d", Target::BITCOIN_DIFF1, 1.0 / f64::from(1 << 26), true).await;
    let options = Options { hashes_per_second: Some(20_000.0), threads: 1, ..running.options() };
    let miner = Miner::start(options);
    let handle = running.server.handle();
    // Three hundred shares a second are too many: the difficulty goes up, and the job is sent again with it.
    until("a raise", || handle.counters().retargets >= 1).await;
    until("its job", || miner.progress().jobs() >= 2).await;
    let then = handle.counters().accepted;
    until("a few shares more", || handle.counters().accepted > then + 2).await;
    let summary = miner.stop().await.unwrap();
    assert!(summary.accepted > 0);
    let counters = handle.counters();
    assert_eq!(counters.duplicate, 0, "a job that was sent again made the miner search the same space twice");
    assert_eq!((counters.low_difficulty, counters.unknown_job, counters.malformed), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_ends_after_the_shares_it_was_to_find() {
    let running = start("sha256d", Target::BITCOIN_DIFF1, 1.0 / f64::from(1 << 20), false).await;
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let options = Options { shares: Some(5), ..running.options() };
    let mining = millpond_miner::mine(options, Default::default(), stop);
    let summary = timeout(PATIENCE, mining).await.unwrap().unwrap();
    assert!(summary.accepted >= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_taken_up_with_its_session() {
    let running = start("sha256d", Target::BITCOIN_DIFF1, 1.0 / f64::from(1 << 20), false).await;
    let upstream = running.server.addresses()[0];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap();
    // A wire that breaks once: when a share has come over it, and is whole again when the pool has noticed.
    let pool = running.server.handle();
    let wire = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(upstream).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            () = until("a share", || pool.counters().accepted > 0) => {}
        }
        drop((near, far));
        until("the end of the first connection", || pool.connections() == 0).await;
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(upstream).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let slowly = Some(50_000.0);
    let miner =
        Miner::start(Options { pool: between.to_string(), hashes_per_second: slowly, ..running.options() });
    until("a second connection", || miner.progress().connections() == 2).await;
    let (handle, before) = (running.server.handle(), running.shares());
    until("shares over it", || running.shares() > before + 5).await;
    assert_eq!((handle.counters().resumed, handle.counters().duplicate), (1, 0));
    miner.stop().await.unwrap();
    wire.await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let running = start("sha256d", Target::BITCOIN_DIFF1, 1.0, false).await;
    let run = |options: Options| async move {
        let (_keep, stop) = tokio::sync::watch::channel(false);
        timeout(PATIENCE, millpond_miner::mine(options, Default::default(), stop)).await.unwrap()
    };
    let refused = run(Options { login: "bad".to_owned(), ..running.options() }).await;
    assert!(matches!(&refused, Err(MineError::Login { why, .. }) if why == "no such address"), "{refused:?}");
    let unknown = run(Options { algorithm: "md5".to_owned(), ..running.options() }).await.unwrap_err();
    assert!(unknown.to_string().contains("sha256d"), "{unknown}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = run(Options { pool: free.to_string(), ..running.options() }).await.unwrap_err();
    assert!(nobody.to_string().contains("cannot be reached"), "{nobody}");
}
