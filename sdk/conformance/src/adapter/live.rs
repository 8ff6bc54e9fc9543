//! An adapter at real nodes, as the pool drives it: with what it does shown, kept, and mined on.

use super::{Candidate, Writer, grants};
use millpond_algorithms::Algorithms;
use millpond_chain::{
    Alarm, ChainHandle, ChainSink, CheckedIncome, NodesPort, ReadyJob, Recorder, Setup, Solved, StartError,
    Submission, Trust, Version,
};
use millpond_contracts::Settings;
use millpond_contracts::chain::{ChainAdapter, Fate, Output, Solution, TransportKind, Watched};
use millpond_node::{NodeSpec, Nodes, Options, Transport};
use millpond_recipe::Scratch;
use millpond_types::Amount;
use std::fs::File;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Hashes tried on one job before the news is looked at.
const TRIES: u32 = 4_000_000;

/// Where lines for people go.
pub type Show = Arc<dyn Fn(&str) + Send + Sync>;

/// How an adapter is tried out.
pub struct Live {
    /// The nodes; their addresses by the names of the adapter's transports.
    pub nodes: Vec<NodeSpec>,
    /// Who is paid in the coinbase.
    pub outputs: Vec<Output>,
    /// Where traffic is kept.
    pub record: Option<File>,
    /// Whether this thread mines on every job.
    pub mine: bool,
    /// The end, by blocks submitted.
    pub blocks: Option<u64>,
    /// The end, by time.
    pub time: Duration,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Jobs published.
    pub jobs: u64,
    /// Blocks submitted.
    pub blocks: u64,
    /// Events whose actions were refused.
    pub refused: u64,
    /// The first error since the start.
    pub first_error: Option<String>,
}

/// An adapter that could not be tried out.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The adapter cannot be worked with.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A node's address.
    #[error(transparent)]
    Node(#[from] millpond_node::NodeError),
    /// The recording, or a thread.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// The adapter's transports as nodes know them.
#[must_use]
pub fn transports(adapter: &dyn ChainAdapter) -> Vec<Transport> {
    let kind = |kind: TransportKind| match kind {
        TransportKind::JsonrpcHttp => millpond_node::TransportKind::JsonRpcHttp,
        TransportKind::JsonrpcWs => millpond_node::TransportKind::JsonRpcWs,
        TransportKind::GrpcStream => millpond_node::TransportKind::GrpcStream,
        TransportKind::GrpcUnary => millpond_node::TransportKind::GrpcUnary,
        TransportKind::ZmqSub => millpond_node::TransportKind::ZmqSub,
        TransportKind::Webhook => millpond_node::TransportKind::Webhook,
    };
    let transport = |of: &millpond_contracts::chain::Transport| Transport {
        name: of.name.clone(),
        kind: kind(of.kind),
        methods: of.methods.clone(),
    };
    adapter.description().transports.iter().map(transport).collect()
}

/// What the chain tells; printed as it comes.
enum News {
    Job(Arc<ReadyJob>),
    Submitted,
}

struct Printer {
    news: Mutex<Sender<News>>,
    show: Show,
}

impl Printer {
    fn say(&self, line: String) {
        (self.show)(&line);
    }

    fn tell(&self, news: News) {
        if let Ok(sender) = self.news.lock() {
            // The command is ending when nobody listens.
            let _ = sender.send(news);
        }
    }
}

fn short(bytes: &[u8]) -> String {
    bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl ChainSink for Printer {
    fn publish(&self, job: Arc<ReadyJob>) {
        self.say(format!(
            "job       coordinate {} on {}, reward {}",
            job.coord,
            short(&job.parent),
            job.reward
        ));
        self.tell(News::Job(job));
    }
    fn tip(&self, parent: &[u8], coord: u64) {
        self.say(format!("tip       {}, next is {coord}", short(parent)));
    }
    fn fate(&self, block: &[u8], fate: &Fate) {
        self.say(format!("fate      {}: {fate:?}", short(block)));
    }
    fn income(&self, income: CheckedIncome) {
        self.say(format!(
            "income    {} {}{}",
            short(&income.key),
            income.amount,
            if income.mature { ", mature" } else { "" }
        ));
    }
    fn income_lost(&self, key: &[u8]) {
        self.say(format!("lost      income {}", short(key)));
    }
    fn unfit(&self, link: u16, reason: &str) {
        self.say(format!("unfit     node {link}: {reason}"));
    }
    fn withdraw(&self, why: &str) {
        self.say(format!("withdrawn live jobs: {why}"));
    }
    fn alarm(&self, alarm: Alarm) {
        self.say(format!("alarm     {:?}: {}", alarm.kind, alarm.text));
    }
    fn saved(&self, bytes: &[u8]) {
        self.say(format!("saved     {} bytes", bytes.len()));
    }
    fn version(&self, version: &Version) {
        self.say(format!("version   {version:?}"));
    }
    fn submitting(&self, _: u64, watched: &Watched, reward: Amount) {
        self.say(format!("block     {} at {}, reward {reward}", short(&watched.block), watched.coord));
    }
    fn submitted(&self, submission: &Submission) {
        if !submission.ended {
            return;
        }
        for (link, verdict, words) in &submission.verdicts {
            self.say(format!("verdict   node {link}: {verdict:?} {words}"));
        }
        self.tell(News::Submitted);
    }
    fn unassembled(&self, _: u64, _: &Solution, error: &str) {
        self.say(format!("block     could not be assembled: {error}"));
        self.tell(News::Submitted);
    }
}

/// Runs an adapter until the time is over or enough blocks were submitted; blocks the calling thread, which must not
/// be one of an asynchronous runtime.
///
/// # Errors
/// When it does not start; what happens later is shown, and summed up at the end.
pub fn run(
    adapter: Arc<dyn ChainAdapter>,
    settings: &Settings,
    live: Live,
    show: Show,
) -> Result<Summary, LiveError> {
    let recorder: Option<Arc<dyn Recorder>> = match live.record {
        None => None,
        Some(file) => Some(Arc::new(Writer::new(file, adapter.digest(), settings)?)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let transports = transports(adapter.as_ref());
    let names: Vec<String> = transports.iter().map(|transport| transport.name.clone()).collect();
    let guard = runtime.enter();
    let (nodes, events) = Nodes::start(transports, live.nodes, Options::default())?;
    drop(guard);
    let port = Arc::new(NodesPort::new(nodes, names, runtime.handle().clone()));
    let (sender, news) = channel();
    let setup = Setup {
        grants: grants(adapter.as_ref()),
        adapter,
        algorithms: Algorithms::native(),
        // There is no operator whose script could be checked.
        trust: Trust { adapter_writes_coinbase: true, ..Trust::default() },
        port: port.clone(),
        sink: Arc::new(Printer { news: Mutex::new(sender), show: show.clone() }),
        recorder,
        swap_time: Duration::from_secs(30),
        renew_after: 0,
        saved: Vec::new(),
        outputs: (1, live.outputs),
        blocks: Vec::new(),
        incomes: Vec::new(),
    };
    let chain = Arc::new(ChainHandle::start(setup)?);
    port.forward(events, Arc::downgrade(&chain));
    let work = Work { mine: live.mine, blocks: live.blocks, end: Instant::now() + live.time, show };
    let blocks = work.drive(&chain, &news);
    let status = chain.status();
    Ok(Summary { jobs: status.jobs, blocks, refused: status.refused, first_error: status.first_error })
}

struct Work {
    mine: bool,
    blocks: Option<u64>,
    end: Instant,
    show: Show,
}

impl Work {
    fn drive(&self, chain: &ChainHandle, news: &Receiver<News>) -> u64 {
        let (mut blocks, mut job) = (0, None::<(Arc<ReadyJob>, Candidate)>);
        while Instant::now() < self.end && self.blocks.is_none_or(|wanted| blocks < wanted) {
            let pause = if job.is_some() { Duration::ZERO } else { Duration::from_millis(200) };
            match news.recv_timeout(pause) {
                Ok(News::Job(new)) => {
                    job = None;
                    if self.mine {
                        match Candidate::new(&new.stage, &[]) {
                            Ok(candidate) => job = Some((new, candidate)),
                            Err(why) => (self.show)(&format!("mine      {why}")),
                        }
                    }
                    continue;
                }
                Ok(News::Submitted) => {
                    blocks += 1;
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Some((on, mut candidate)) = job.take()
                && !self.solved(chain, &on, &mut candidate)
            {
                job = Some((on, candidate));
            }
        }
        blocks
    }

    /// Looks for a block for a while; true when one was handed to the chain.
    fn solved(&self, chain: &ChainHandle, job: &Arc<ReadyJob>, candidate: &mut Candidate) -> bool {
        let target = job.network_target.to_be_bytes();
        let mut scratch = Scratch::default();
        let until = Instant::now() + Duration::from_millis(200);
        for n in 0..TRIES {
            candidate.advance(1);
            match candidate.judge(&mut scratch) {
                Ok((pow, _)) if pow <= target => {}
                _ if n % 256 == 0 && Instant::now() > until => return false,
                _ => continue,
            }
            let solution = match candidate.solution(job.private.to_vec()) {
                Ok(solution) => solution,
                Err(why) => {
                    (self.show)(&format!("mine      {why}"));
                    return true;
                }
            };
            let found = Solved {
                tag: 0,
                version: job.version.clone(),
                coord: job.coord,
                reward: job.reward,
                body: job.body.as_ref().map(|body| body.bytes()),
                solution,
            };
            if let Err(why) = chain.solve_with(found) {
                (self.show)(&format!("mine      {why}"));
            }
            return true;
        }
        false
    }
}
