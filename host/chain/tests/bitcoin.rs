//! The Bitcoin adapter as a component, driven over the development chain: from the template to mature income, with a
//! swap in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_chain::{
    Alarm, BitcoinCoinbase, ChainHandle, ChainSink, CheckedIncome, Grant, NodesPort, ReadyJob, Setup, Solved,
    Submission, Trust, Version,
};
use millpond_contracts::chain::{ChainAdapter, Fate, Output, Solution, Watched};
use millpond_contracts::{Setting, load_adapter};
use millpond_devchain::{DevChain, Options};
use millpond_node::{Address, Auth, Endpoint, NodeSpec, Nodes, Secret};
use millpond_recipe::Scratch;
use millpond_runtime::{Compiler, Sandbox, TracingSink};
use millpond_types::{Amount, Target};
use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Debug)]
enum News {
    Job(Arc<ReadyJob>),
    Fate,
    Income(CheckedIncome),
    Alarm(#[allow(dead_code, reason = "shown when a test fails")] String),
    Submitted(Submission),
}

struct Pool(Mutex<Sender<News>>);

impl Pool {
    fn tell(&self, news: News) {
        let _ = self.0.lock().unwrap().send(news);
    }
}

impl ChainSink for Pool {
    fn withdraw(&self, _: &str) {}
    fn publish(&self, job: Arc<ReadyJob>) {
        self.tell(News::Job(job));
    }
    fn tip(&self, _: &[u8], _: u64) {}
    fn fate(&self, _: &[u8], _: &Fate) {
        self.tell(News::Fate);
    }
    fn income(&self, income: CheckedIncome) {
        self.tell(News::Income(income));
    }
    fn income_lost(&self, _: &[u8]) {}
    fn unfit(&self, _: u16, reason: &str) {
        self.tell(News::Alarm(reason.to_owned()));
    }
    fn alarm(&self, alarm: Alarm) {
        self.tell(News::Alarm(alarm.text));
    }
    fn saved(&self, _: &[u8]) {}
    fn version(&self, _: &Version) {}
    fn submitting(&self, _: u64, _: &Watched, _: Amount) {}
    fn submitted(&self, submission: &Submission) {
        self.tell(News::Submitted(submission.clone()));
    }
    fn unassembled(&self, _: u64, _: &Solution, error: &str) {
        self.tell(News::Alarm(error.to_owned()));
    }
}

/// Everything heard so far, and the way to hear more.
struct Heard(Receiver<News>, RefCell<Vec<News>>);

impl Heard {
    /// Waits for news, those heard before included.
    fn wait<T>(&self, what: &str, wanted: impl Fn(&News) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            if let Some(found) = self.1.borrow().iter().find_map(&wanted) {
                return found;
            }
            match self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(one) => self.1.borrow_mut().push(one),
                Err(_) => panic!("{what} never came; what came: {:?}", self.1.borrow()),
            }
        }
    }

    fn job(&self) -> Arc<ReadyJob> {
        self.wait("a job", |one| match one {
            News::Job(job) => Some(Arc::clone(job)),
            _ => None,
        })
    }

    fn submission(&self) -> Submission {
        self.wait("the submission", |one| match one {
            News::Submitted(submission) => Some(submission.clone()),
            _ => None,
        })
    }

    fn income(&self, mature: bool) -> CheckedIncome {
        self.wait("the income", |one| match one {
            News::Income(income) if income.mature == mature => Some(income.clone()),
            _ => None,
        })
    }
}

/// A miner: hashes until the network's target is met.
fn mine(job: &ReadyJob, payee: &[u8]) -> Solved {
    let recipe = job.stage.recipe();
    let name = |n: usize| recipe.session_fields()[n].name.to_string();
    let values: Vec<Vec<u8>> = (0..recipe.session_fields().len())
        .map(|n| if name(n) == "payee" { payee.to_vec() } else { vec![] })
        .collect();
    let session = job.stage.session(&values).unwrap();
    let time = job.stage.register("job_time").unwrap().to_vec();
    let mut scratch = Scratch::default();
    for nonce in 0..1_000_000_u32 {
        let share = [vec![7; 8], time.clone(), nonce.to_be_bytes().to_vec(), vec![]];
        let judged = session.judge(&share, &mut scratch).unwrap();
        if job.network_target.is_met_by(&judged.pow) {
            let results = judged.results();
            let solution = Solution {
                private: job.private.to_vec(),
                fields: session.fields(&share),
                results,
                proof: None,
            };
            let (version, body) = (job.version.clone(), job.body.as_ref().map(|body| body.bytes()));
            return Solved { tag: job.coord, version, coord: job.coord, reward: job.reward, body, solution };
        }
    }
    panic!("no nonce meets {}", job.network_target);
}

fn adapter(sandbox: &Sandbox) -> Arc<dyn ChainAdapter> {
    let bundled = millpond_bundled::get("bitcoin").unwrap();
    let text = |text: &str| Setting::Text(text.to_owned());
    let settings = vec![
        ("maturity".to_owned(), Setting::Int(5)),
        ("network".to_owned(), text("regtest")),
        ("poll_ms".to_owned(), Setting::Int(100)),
    ];
    load_adapter(sandbox, "bitcoin", bundled.bytes, &settings, &(Arc::new(TracingSink) as _)).unwrap()
}

/// Everything around one chain, with the runtime its nodes live in.
struct World {
    runtime: tokio::runtime::Runtime,
    dev: DevChain,
    sandbox: Sandbox,
    chain: Arc<ChainHandle>,
    heard: Heard,
}

fn world(outputs: Vec<Output>) -> World {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options = Options { maturity: 5, ..Options::default() };
    let dev = runtime.block_on(DevChain::start(options)).unwrap();
    dev.generate(1).unwrap();
    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let adapter = adapter(&sandbox);
    let description = adapter.description().clone();
    let auth = Auth::Basic { user: dev.user().to_owned(), password: Secret::new(dev.password()) };
    let address = Address::Http(Endpoint { url: dev.url(), auth });
    let spec = NodeSpec { name: "dev".into(), addresses: vec![("rpc".into(), address)] };
    let transports = NodesPort::transports(&description);
    let names = transports.iter().map(|transport| transport.name.clone()).collect();
    let (nodes, events) = runtime
        .block_on(async { Nodes::start(transports, vec![spec], millpond_node::Options::default()) })
        .unwrap();
    let port = Arc::new(NodesPort::new(nodes, names, runtime.handle().clone()));
    let (sender, news) = channel();
    let setup = Setup {
        grants: Grant::all_wanted(&description),
        adapter,
        algorithms: Algorithms::native(),
        trust: Trust {
            floor: Some(Target::from_compact(0x207f_ffff).unwrap()),
            reward_cap: Some(Amount(60 * 100_000_000)),
            confirmations: 5,
            coinbase: Some(Arc::new(BitcoinCoinbase { height: true })),
            ..Trust::default()
        },
        port: port.clone(),
        sink: Arc::new(Pool(Mutex::new(sender))),
        recorder: None,
        swap_time: Duration::from_secs(60),
        renew_after: 0,
        saved: vec![],
        outputs: (1, outputs),
        blocks: vec![],
        incomes: vec![],
    };
    let chain = Arc::new(ChainHandle::start(setup).unwrap());
    port.forward(events, Arc::downgrade(&chain));
    World { runtime, dev, sandbox, chain, heard: Heard(news, RefCell::default()) }
}

impl World {
    fn end(self) {
        self.chain.finish();
        drop(self.chain);
        drop(self.dev);
        self.runtime.shutdown_background();
    }
}

#[test]
fn a_block_from_template_to_mature_income_with_a_swap_while_it_is_mined() {
    let pool_script = vec![0x51];
    let world = world(vec![Output { payee: pool_script, weight: 1 }]);
    let job = world.heard.job();
    assert_eq!(job.coord, u64::from(world.dev.height()) + 1);

    // Another start of the adapter takes over while the miner works on the old job.
    let again = adapter(&world.sandbox);
    let grants = Grant::all_wanted(again.description());
    let answer = world.chain.swap(again, &grants).unwrap();
    assert_eq!(answer.recv_timeout(Duration::from_secs(90)), Ok(Ok(())));
    assert_eq!(world.chain.version().unwrap().origin.generation, 2);

    world.chain.solve_with(mine(&job, &[])).unwrap();
    let submission = world.heard.submission();
    assert!(submission.accepted(), "{submission:?}");
    assert_eq!(u64::from(world.dev.height()), job.coord);

    let immature = world.heard.income(false);
    assert_eq!(immature.amount, job.reward);
    world.dev.generate(5).unwrap();
    let mature = world.heard.income(true);
    assert_eq!(mature, CheckedIncome { mature: true, ..immature });
    assert_eq!(world.chain.status().refused, 0, "{:?}", world.chain.status());
    world.end();
}

#[test]
fn solo_is_paid_in_the_coinbase_and_checked_for_each_session() {
    let miner = [&[0x00, 0x14][..], &[9; 20]].concat();
    let outputs = vec![Output { payee: vec![], weight: 99 }, Output { payee: vec![0x51], weight: 1 }];
    let world = world(outputs);
    let job = world.heard.job();
    assert!(job.pays_session());
    let session = job.stage.session(&[miner.clone(), vec![], vec![]]).unwrap();
    job.check_session(world.chain.trust(), &session, &miner).unwrap();
    let other = [&[0x00, 0x14][..], &[1; 20]].concat();
    assert!(job.check_session(world.chain.trust(), &session, &other).is_err());
    world.chain.solve_with(mine(&job, &miner)).unwrap();
    let submission = world.heard.submission();
    assert!(submission.accepted(), "{submission:?}");
    world.end();
}
