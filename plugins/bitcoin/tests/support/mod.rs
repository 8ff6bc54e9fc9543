//! A node and a host for the adapter: events in, actions out, in one thread.

#![allow(dead_code, reason = "each test file uses its part")]

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::{Block, Transaction};
use millpond_adapter_bitcoin::Bitcoin;
use millpond_sdk::chain::{
    Action, Adapter, Assembled, Call, CallError, Chunk, Event, Happening, Job, Output, Reply, Setting,
    Solution, Start,
};
use millpond_sdk::hex;
use serde_json::{Value, json};
use std::sync::Arc;

/// The pool's own script in these tests.
pub const POOL: [u8; 22] = [0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

/// An adapter with its host's bookkeeping.
pub struct Host {
    pub adapter: Bitcoin,
    pub recipes: Vec<String>,
    now_ms: u64,
    seq: u64,
    pub calls: Vec<Call>,
    pub jobs: Vec<Job>,
    /// Everything but calls, jobs and timers.
    pub facts: Vec<Action>,
    pub timers: Vec<(u32, u32)>,
    /// The answer that the newest job was made from.
    pub body: Vec<u8>,
}

impl Host {
    pub fn new(settings: &[(&str, Setting)]) -> Self {
        // The first of a key counts: proposals are for the tests that ask for them.
        let quiet = ("proposal", Setting::Flag(false));
        let all = settings.iter().chain([&quiet]);
        let settings = all.map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let (adapter, description) = Bitcoin::new(settings).unwrap();
        Self {
            adapter,
            recipes: description.recipes,
            now_ms: 1_700_000_000_000,
            seq: 0,
            calls: Vec::new(),
            jobs: Vec::new(),
            facts: Vec::new(),
            timers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Started on regtest with one output and the given nodes up and looked at.
    pub fn up(settings: &[(&str, Setting)], outputs: Vec<Output>, links: u16) -> Self {
        let mut all = vec![("network", Setting::Text("regtest".into()))];
        all.extend(settings.iter().cloned());
        let mut host = Self::new(&all);
        host.event(Happening::Start(Start {
            saved: vec![],
            watching: vec![],
            revision: 1,
            outputs,
            aux: vec![],
        }));
        for link in 0..links {
            host.event(Happening::Link((link, true)));
            host.answer(
                "getblockchaininfo",
                link,
                &json!({"chain": "regtest", "initialblockdownload": true}),
            );
        }
        host
    }

    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    pub fn event(&mut self, what: Happening) {
        self.seq += 1;
        let event = Event { seq: self.seq, now_ms: self.now_ms, what };
        for action in self.adapter.handle(event).unwrap() {
            match action {
                Action::Call(call) => self.calls.push(call),
                Action::Publish(job) => self.jobs.push(job),
                Action::Timer(timer) => self.timers.push(timer),
                other => self.facts.push(other),
            }
        }
    }

    /// The call of this method under way to this link; taken off the list.
    pub fn take(&mut self, method: &str, link: u16) -> Call {
        let at = self.calls.iter().position(|call| call.method == method && call.link == Some(link));
        let at = at.unwrap_or_else(|| panic!("no {method} to node {link} under way: {:?}", self.calls));
        self.calls.remove(at)
    }

    /// The question under way whether this node takes a block; taken off the list.
    pub fn take_proposal(&mut self, link: u16) -> Option<Call> {
        let asks = |call: &Call| call.body.starts_with(br#"[{"mode":"proposal""#) && call.link == Some(link);
        let at = self.calls.iter().position(asks)?;
        Some(self.calls.remove(at))
    }

    pub fn answer(&mut self, method: &str, link: u16, answer: &Value) {
        let call = self.take(method, link);
        self.reply(&call, Ok(answer.to_string().into_bytes()));
    }

    pub fn reply(&mut self, call: &Call, outcome: Result<Vec<u8>, CallError>) {
        let (jobs, body) = (self.jobs.len(), outcome.clone().unwrap_or_default());
        let link = call.link.unwrap();
        self.event(Happening::Reply(Reply { id: call.id, link, outcome, body: 77 }));
        if self.jobs.len() > jobs {
            self.body = body;
        }
    }

    /// Drains the facts.
    pub fn facts(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.facts)
    }
}

/// A solution of a job with its hash, whether or not it meets the network's target.
pub fn solve(host: &Host, job: &Job, payee: Option<&[u8]>) -> (Solution, [u8; 32]) {
    let (solution, id, _) = search(host, job, payee, 1);
    (solution, id)
}

/// Runs the recipe over nonces until the network's target is met, at most `tries` times: the solution, its hash, and
/// whether it was met.
pub fn search(host: &Host, job: &Job, payee: Option<&[u8]>, tries: u32) -> (Solution, [u8; 32], bool) {
    let algorithms = millpond_algorithms::Algorithms::native();
    let text = &host.recipes[usize::from(job.recipe)];
    let recipe = millpond_recipe::Recipe::compile("recipe", text, &algorithms).unwrap();
    let stage = recipe.job(&job.consts).unwrap();
    let target = stage.network_target().unwrap();
    assert_eq!(target.to_be_bytes().to_vec(), job.network_target, "the header's own target");
    let mut session: Vec<Vec<u8>> = payee.map(<[u8]>::to_vec).into_iter().collect();
    session.extend([vec![0x1f, 0xff, 0xe0, 0x00], Vec::new()]);
    let session = Arc::new(stage.session(&session).unwrap());
    let mut scratch = millpond_recipe::Scratch::default();
    let mut nonce = 0u32;
    loop {
        let time = job.consts.last().unwrap().clone();
        let share = [vec![7; 8], time, nonce.to_be_bytes().to_vec(), vec![0x00, 0x40, 0x00, 0x00]];
        let judged = session.judge(&share, &mut scratch).unwrap();
        let met = target.is_met_by(&judged.pow);
        nonce += 1;
        if met || nonce >= tries {
            let (id, results) = (judged.id, judged.results());
            let solution = Solution {
                private: job.private.clone(),
                fields: session.fields(&share),
                results,
                proof: None,
            };
            return (solution, id, met);
        }
    }
}

/// The text of the parameters, as the host puts them together.
pub fn request(assembled: &Assembled, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for chunk in &assembled.request {
        match chunk {
            Chunk::Literal(literal) => text.extend(literal),
            Chunk::Body((offset, length)) => text.extend(&body[*offset as usize..][..*length as usize]),
        }
    }
    text
}

/// The block's bytes out of the request, as the host puts it together.
pub fn submitted(assembled: &Assembled, body: &[u8]) -> Vec<u8> {
    let params: Vec<String> = serde_json::from_slice(&request(assembled, body)).unwrap();
    hex::decode(&params[0]).unwrap()
}

/// Mainnet block 482683: segwit, twelve transactions.
pub fn block_482683() -> Block {
    deserialize(include_bytes!("../data/block482683.raw")).unwrap()
}

/// The template that the block could have been made from.
pub fn template_of(block: &Block, height: u64) -> Value {
    let transactions: Vec<Value> = block.txdata.iter().skip(1).map(transaction).collect();
    json!({
        "capabilities": ["proposal"],
        "version": 0x3000_0000,
        "rules": ["csv", "!segwit"],
        "previousblockhash": block.header.prev_blockhash.to_string(),
        "transactions": transactions,
        "coinbaseaux": {},
        "coinbasevalue": block.txdata[0].output.iter().map(|out| out.value.to_sat()).sum::<u64>(),
        "longpollid": "abc1",
        "target": "00",
        "mintime": 1, "curtime": block.header.time, "noncerange": "00000000ffffffff",
        "bits": format!("{:08x}", block.header.bits.to_consensus()),
        "height": height,
    })
}

fn transaction(transaction: &Transaction) -> Value {
    json!({
        "data": hex::encode(&serialize(transaction)),
        "txid": transaction.compute_txid().to_string(),
        "hash": transaction.compute_wtxid().to_string(),
        "depends": [], "fee": 100, "sigops": 4, "weight": 1.5,
    })
}

/// Pays everything to the pool.
pub fn to_pool() -> Vec<Output> {
    vec![Output { payee: POOL.to_vec(), weight: 1 }]
}
