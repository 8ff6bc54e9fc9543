//! Adapters, nodes and a pool for this crate's tests.

use crate::port::{Answered, NodeAnswer, NodeCall, NodePort};
use crate::{
    Alarm, ChainHandle, ChainSink, CheckedIncome, Grant, ReadyJob, Setup, Submission, Trust, Version,
};
use bytes::Bytes;
use millpond_algorithms::Algorithms;
use millpond_contracts::chain::*;
use millpond_contracts::{CallError, Done, Outcome, Settings, TrapKind};
use millpond_types::{Amount, Digest};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A little chain: 12 bytes of job, 8 of extranonce, 4 of nonce, one hash.
pub const RECIPE: &str = "recipe 1 \"little\"
const head:bytes
share xn:8 nonce:4
pow = sha256d (cat head xn nonce)
judge le pow | id pow | out pow
";

pub fn description(transports: Vec<Transport>) -> Description {
    Description {
        network: "test".into(),
        recipes: vec![RECIPE.into()],
        dialects: vec![],
        transports,
        diff1: vec![0xff; 32],
        work_shift: 0,
        scale: 1,
        decimals: 8,
        extranonce: 8,
        final_after: 10,
        settlement: "none".into(),
        extra: vec![],
    }
}

pub fn node() -> Transport {
    let methods = ["template", "submit"].map(str::to_owned).to_vec();
    Transport { name: "node".into(), kind: TransportKind::JsonrpcHttp, methods }
}

/// 2^-16 of all hashes.
pub fn target() -> Vec<u8> {
    let mut target = vec![0xff; 32];
    target[0] = 0;
    target[1] = 0;
    target
}

pub fn job(coord: u64) -> Job {
    Job {
        parent: vec![7; 32],
        coord,
        recipe: 0,
        consts: vec![coord.to_le_bytes().to_vec()],
        network_target: target(),
        reward: Amount(5_000),
        outputs_rev: 0,
        aux_rev: 0,
        warm: vec![],
        private: coord.to_le_bytes().to_vec(),
        body: None,
        expires_ms: 60_000,
        extra: vec![],
    }
}

pub fn done<T>(value: T) -> Outcome<T> {
    Ok(Done { value, fuel_limit: 1, fuel_used: 1 })
}

pub fn trap(message: &str) -> CallError {
    CallError::Trap { function: "adapter.handle".into(), kind: TrapKind::Other, message: message.into() }
}

type Handle = dyn Fn(&Event) -> Outcome<Vec<Action>> + Send + Sync;
type Assemble = dyn Fn(&Solution) -> Outcome<Assembled> + Send + Sync;

/// An adapter made of closures.
pub struct Fake {
    pub name: &'static str,
    pub description: Description,
    pub handle: Arc<Handle>,
    pub assemble: Arc<Assemble>,
    pub settings: Settings,
    /// How often it was told to give idle instances back.
    pub rested: Arc<AtomicU32>,
}

impl Fake {
    pub fn new(
        name: &'static str,
        handle: impl Fn(&Event) -> Outcome<Vec<Action>> + Send + Sync + 'static,
    ) -> Self {
        let assemble = |solution: &Solution| {
            done(Assembled {
                block: [b"block ".as_slice(), &solution.private].concat(),
                transport: 0,
                method: "submit".into(),
                request: vec![Chunk::Literal(b"[]".to_vec())],
            })
        };
        Self {
            name,
            description: description(vec![node()]),
            handle: Arc::new(handle),
            assemble: Arc::new(assemble),
            settings: vec![],
            rested: Arc::default(),
        }
    }
}

struct FakeActor(Arc<Handle>);

impl AdapterActor for FakeActor {
    fn handle(&mut self, event: &Event) -> Outcome<Vec<Action>> {
        (self.0)(event)
    }
}

fn none<T>() -> Outcome<T> {
    Err(CallError::Host { function: "fake".into(), message: "not part of this test".into() })
}

impl ChainAdapter for Fake {
    fn digest(&self) -> Digest {
        Digest::of(self.name.as_bytes())
    }
    fn description(&self) -> &Description {
        &self.description
    }
    fn settings(&self) -> &Settings {
        &self.settings
    }
    fn optional(&self) -> Optional {
        Optional::default()
    }
    fn start_actor(&self) -> Result<Box<dyn AdapterActor>, CallError> {
        Ok(Box::new(FakeActor(Arc::clone(&self.handle))))
    }
    fn assemble(&self, solution: &Solution) -> Outcome<Assembled> {
        (self.assemble)(solution)
    }
    fn read_reply(&self, _: &str, reply: &[u8]) -> Outcome<(Verdict, String)> {
        let verdict = match reply {
            b"null" => Verdict::Accepted,
            b"\"inconclusive\"" => Verdict::Stale,
            // An error object: the node is loading, say.
            [b'{', ..] => Verdict::Retry,
            _ => Verdict::Rejected,
        };
        done((verdict, String::from_utf8_lossy(reply).into_owned()))
    }
    fn resolve(&self, _: &[String]) -> Outcome<Vec<Result<Payee, String>>> {
        none()
    }
    fn plan_payment(&self, _: &[PaymentRow], _: &PaymentView) -> Outcome<PaymentPlan> {
        none()
    }
    fn read_coins(&self, _: &[u8]) -> Outcome<Vec<Coin>> {
        none()
    }
    fn find(&self, _: &str, _: &[u8]) -> Outcome<Option<Vec<u8>>> {
        none()
    }
    fn decode(&self, _: u16, _: &[Frame]) -> Outcome<Vec<Decoded>> {
        none()
    }
    fn encode(&self, _: u16, _: &[Outgoing]) -> Outcome<Vec<Frame>> {
        none()
    }
    fn session_consts(&self, _: &[u8], _: &[Vec<u8>]) -> Outcome<Vec<Vec<Vec<u8>>>> {
        none()
    }
    fn prove(&self, _: &Solution, _: u32) -> Outcome<Vec<u8>> {
        none()
    }
    fn pow(&self, _: &str, _: &[u8], _: u32, _: &[u8]) -> Outcome<Vec<u8>> {
        none()
    }
    fn rest(&self, _: Duration) {
        self.rested.fetch_add(1, Ordering::Relaxed);
    }
}

type Answer = dyn Fn(u16, &str) -> Result<Vec<u8>, NodeError> + Send + Sync;

/// Nodes that answer at once by a closure of (link, method).
pub struct FakeNodes {
    pub links: u16,
    pub answer: Box<Answer>,
    pub calls: Mutex<Vec<NodeCall>>,
    /// A node that answers nothing by itself, and what waits for it.
    pub silent: Option<u16>,
    waiting: Mutex<Vec<Answered>>,
}

impl FakeNodes {
    pub fn new(links: u16) -> Arc<Self> {
        Self::answering(links, |_, _| Ok(b"null".to_vec()))
    }

    pub fn answering(
        links: u16,
        answer: impl Fn(u16, &str) -> Result<Vec<u8>, NodeError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self::unshared(links, answer))
    }

    /// The same, of which one answers nothing by itself.
    pub fn with_a_silent_one(links: u16, silent: u16) -> Arc<Self> {
        let nodes = Self::unshared(links, |_, _| Ok(b"null".to_vec()));
        Arc::new(Self { silent: Some(silent), ..nodes })
    }

    fn unshared(
        links: u16,
        answer: impl Fn(u16, &str) -> Result<Vec<u8>, NodeError> + Send + Sync + 'static,
    ) -> Self {
        let (calls, waiting) = (Mutex::default(), Mutex::default());
        Self { links, answer: Box::new(answer), calls, silent: None, waiting }
    }

    /// The silent node answers the call that has waited longest.
    pub fn answer_late(&self, body: &[u8]) {
        let answered = self.waiting.lock().remove(0);
        answered(NodeAnswer { link: self.silent.unwrap(), outcome: Ok(Bytes::copy_from_slice(body)) });
    }

    /// Waits for so many calls of a method; fails the test after a minute.
    pub fn wait_for_calls(&self, method: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.called(method) < count {
            assert!(Instant::now() < deadline, "{method} was not called {count} times");
            std::thread::yield_now();
        }
    }

    pub fn called(&self, method: &str) -> usize {
        self.calls.lock().iter().filter(|call| call.method == method).count()
    }
}

impl NodePort for FakeNodes {
    fn links(&self) -> u16 {
        self.links
    }
    fn call(&self, call: NodeCall, answered: Answered) {
        let link = call.link.unwrap_or(0);
        if self.silent == Some(link) {
            self.calls.lock().push(call);
            return self.waiting.lock().push(answered);
        }
        let outcome = (self.answer)(link, &call.method).map(Bytes::from);
        self.calls.lock().push(call);
        answered(NodeAnswer { link, outcome });
    }
    fn submit(&self, call: NodeCall, answered: Answered) {
        // An error of the node's own is an answer, as text.
        let text = move |mut answer: NodeAnswer| {
            if let Err(NodeError { kind: NodeErrorKind::Rpc, code, message }) = &answer.outcome {
                answer.outcome = Ok(format!(r#"{{"code":{code},"message":"{message}"}}"#).into());
            }
            answered(answer);
        };
        self.call(call, Box::new(text));
    }
    fn send(&self, _: u16, _: &str, _: Vec<u8>) -> Result<(), NodeError> {
        Ok(())
    }
    fn unfit(&self, _: u16, _: &str) {}
}

/// What the pool heard.
#[derive(Clone, Debug)]
pub enum Heard {
    Job(Arc<ReadyJob>),
    Tip,
    Withdrawn,
    Fate,
    Income(CheckedIncome),
    Lost,
    Unfit(u16, String),
    Alarm(Alarm),
    Saved(Vec<u8>),
    Version(Digest),
    Submitting,
    Submitted(Submission),
    Unassembled,
}

/// A pool that listens.
#[derive(Default)]
pub struct FakePool {
    heard: Mutex<Vec<Heard>>,
    news: Condvar,
}

impl FakePool {
    fn hear(&self, heard: Heard) {
        self.heard.lock().push(heard);
        self.news.notify_all();
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().clone()
    }

    /// Waits for something; fails the test after a minute.
    pub fn wait<T>(&self, what: &str, wanted: impl Fn(&Heard) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut heard = self.heard.lock();
        loop {
            if let Some(found) = heard.iter().find_map(&wanted) {
                return found;
            }
            if self.news.wait_until(&mut heard, deadline).timed_out() {
                panic!("the pool never heard {what}; it heard {:?}", *heard);
            }
        }
    }

    pub fn job(&self, coord: u64) -> Arc<ReadyJob> {
        self.wait("the job", |heard| match heard {
            Heard::Job(job) if job.coord == coord => Some(Arc::clone(job)),
            _ => None,
        })
    }

    pub fn alarm(&self, part: &str) -> String {
        self.wait(part, |heard| match heard {
            Heard::Alarm(alarm) if alarm.text.contains(part) => Some(alarm.text.clone()),
            _ => None,
        })
    }

    pub fn jobs(&self) -> Vec<u64> {
        let coord = |heard: &Heard| match heard {
            Heard::Job(job) => Some(job.coord),
            _ => None,
        };
        self.heard().iter().filter_map(coord).collect()
    }

    pub fn incomes(&self) -> Vec<CheckedIncome> {
        let income = |heard: &Heard| match heard {
            Heard::Income(income) => Some(income.clone()),
            _ => None,
        };
        self.heard().iter().filter_map(income).collect()
    }
}

impl ChainSink for FakePool {
    fn withdraw(&self, _: &str) {
        self.hear(Heard::Withdrawn);
    }
    fn publish(&self, job: Arc<ReadyJob>) {
        self.hear(Heard::Job(job));
    }
    fn tip(&self, _: &[u8], _: u64) {
        self.hear(Heard::Tip);
    }
    fn fate(&self, _: &[u8], _: &Fate) {
        self.hear(Heard::Fate);
    }
    fn income(&self, income: CheckedIncome) {
        self.hear(Heard::Income(income));
    }
    fn income_lost(&self, _: &[u8]) {
        self.hear(Heard::Lost);
    }
    fn unfit(&self, link: u16, reason: &str) {
        self.hear(Heard::Unfit(link, reason.to_owned()));
    }
    fn alarm(&self, alarm: Alarm) {
        self.hear(Heard::Alarm(alarm));
    }
    fn saved(&self, bytes: &[u8]) {
        self.hear(Heard::Saved(bytes.to_vec()));
    }
    fn version(&self, version: &Version) {
        self.hear(Heard::Version(version.origin.adapter));
    }
    fn submitting(&self, _: u64, _: &Watched, _: Amount) {
        self.hear(Heard::Submitting);
    }
    fn submitted(&self, submission: &Submission) {
        self.hear(Heard::Submitted(submission.clone()));
    }
    fn unassembled(&self, _: u64, _: &Solution, _: &str) {
        self.hear(Heard::Unassembled);
    }
}

/// A chain over a fake adapter, its pool and its nodes.
pub struct Rig {
    pub chain: ChainHandle,
    pub pool: Arc<FakePool>,
    pub nodes: Arc<FakeNodes>,
}

pub fn trust() -> Trust {
    Trust {
        floor: Some(millpond_types::Target::from_be_bytes(target().try_into().unwrap())),
        reward_cap: Some(Amount(6_000)),
        confirmations: 10,
        adapter_writes_coinbase: true,
        ..Trust::default()
    }
}

/// What an operator grants: the node, and news of its tip.
pub fn grants() -> Vec<Grant> {
    let grant = |transport: &str, methods| Grant { transport: transport.into(), methods };
    vec![grant("node", node().methods), grant("news", vec!["tip".into()])]
}

pub fn setup(adapter: Fake, trust: Trust, nodes: &Arc<FakeNodes>, pool: &Arc<FakePool>) -> Setup {
    Setup {
        adapter: Arc::new(adapter),
        algorithms: Algorithms::native(),
        grants: grants(),
        trust,
        port: nodes.clone(),
        sink: pool.clone(),
        recorder: None,
        swap_time: Duration::from_secs(30),
        renew_after: 0,
        saved: vec![],
        outputs: (0, vec![]),
        blocks: vec![],
        incomes: vec![],
    }
}

pub fn rig_with(adapter: Fake, trust: Trust, nodes: Arc<FakeNodes>) -> Rig {
    let pool = Arc::new(FakePool::default());
    let chain = ChainHandle::start(setup(adapter, trust, &nodes, &pool)).unwrap();
    Rig { chain, pool, nodes }
}

pub fn rig(adapter: Fake) -> Rig {
    rig_with(adapter, trust(), FakeNodes::new(2))
}
