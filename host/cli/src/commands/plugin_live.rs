//! `millpond plugin run ADAPTER --node URL`: an adapter at real nodes, as the pool drives it, with what it does shown
//! and, with `--record`, kept.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_algorithms::Algorithms;
use millpond_chain::{
    Alarm, ChainHandle, ChainSink, CheckedIncome, NodesPort, ReadyJob, Recorder, Setup, Solved, Submission,
    Trust, Version,
};
use millpond_conformance::adapter::{Candidate, Writer, grants};
use millpond_contracts::Settings;
use millpond_contracts::chain::{ChainAdapter, Fate, Output, Solution, TransportKind, Watched};
use millpond_node::{Address, Auth, Endpoint, NodeSpec, Nodes, Options, Secret, Transport};
use millpond_recipe::Scratch;
use millpond_types::Amount;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Hashes tried on one job before the next is looked at.
const TRIES: u32 = 4_000_000;

/// An adapter at real nodes.
#[derive(Debug, Args)]
pub struct Live {
    /// Adapters: a node, `http://host:port` or, for one transport of several, `NAME=http://host:port` or
    /// `NAME=tcp://host:port`. Several nodes by several options; the transports of one node joined by commas.
    #[arg(long)]
    node: Vec<String>,
    /// User of the nodes' basic authentication; bcoin and hsd take `x`.
    #[arg(long, requires = "node")]
    user: Option<String>,
    /// Environment variable that holds the nodes' password.
    #[arg(long, value_name = "VARIABLE", requires = "user")]
    password_env: Option<String>,
    /// Keep every event and what the adapter did, for --replay and `plugin test --recording`.
    #[arg(long, requires = "node")]
    record: Option<PathBuf>,
    /// Who is paid by the coinbase: the payee's bytes in hex (Bitcoin: the output script).
    #[arg(long, value_name = "HEX", requires = "node")]
    payee: Option<String>,
    /// Mine on every job on this processor, so that blocks are found on a chain that is easy enough.
    #[arg(long, requires = "node")]
    mine: bool,
    /// End after so many blocks found and submitted.
    #[arg(long, requires = "mine")]
    blocks: Option<u64>,
    /// End after so many seconds.
    #[arg(long, requires = "node", default_value_t = 60)]
    seconds: u64,
}

/// What the chain tells; printed as it comes.
enum News {
    Job(Arc<ReadyJob>),
    Submitted,
}

struct Printer(std::sync::Mutex<Sender<News>>);

impl Printer {
    fn tell(&self, news: News) {
        if let Ok(sender) = self.0.lock() {
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
        println!("job       coordinate {} on {}, reward {}", job.coord, short(&job.parent), job.reward);
        self.tell(News::Job(job));
    }
    fn tip(&self, parent: &[u8], coord: u64) {
        println!("tip       {}, next is {coord}", short(parent));
    }
    fn fate(&self, block: &[u8], fate: &Fate) {
        println!("fate      {}: {fate:?}", short(block));
    }
    fn income(&self, income: CheckedIncome) {
        println!(
            "income    {} {}{}",
            short(&income.key),
            income.amount,
            if income.mature { ", mature" } else { "" }
        );
    }
    fn income_lost(&self, key: &[u8]) {
        println!("lost      income {}", short(key));
    }
    fn unfit(&self, link: u16, reason: &str) {
        println!("unfit     node {link}: {reason}");
    }
    fn alarm(&self, alarm: Alarm) {
        println!("alarm     {:?}: {}", alarm.kind, alarm.text);
    }
    fn saved(&self, bytes: &[u8]) {
        println!("saved     {} bytes", bytes.len());
    }
    fn version(&self, version: &Version) {
        println!("version   {version:?}");
    }
    fn submitting(&self, _: u64, watched: &Watched, reward: Amount) {
        println!("block     {} at {}, reward {reward}", short(&watched.block), watched.coord);
    }
    fn submitted(&self, submission: &Submission) {
        for (link, verdict, words) in &submission.verdicts {
            println!("verdict   node {link}: {verdict:?} {words}");
        }
        self.tell(News::Submitted);
    }
    fn unassembled(&self, _: u64, _: &Solution, error: &str) {
        println!("block     could not be assembled: {error}");
        self.tell(News::Submitted);
    }
}

impl Live {
    /// Runs the adapter until the time is over, enough blocks were found, or it is interrupted.
    pub fn run(self, adapter: Arc<dyn ChainAdapter>, settings: &Settings) -> Outcome {
        if self.node.is_empty() {
            return Err(Failure::usage(
                "an adapter needs --node URL or --replay FILE, a scheme --shares FILE; policies have nothing to run",
            ));
        }
        let outputs = match &self.payee {
            Some(hex) => vec![Output { payee: bytes_of(hex)?, weight: 1 }],
            None => Vec::new(),
        };
        let recorder: Option<Arc<dyn Recorder>> = match &self.record {
            None => None,
            Some(path) => {
                let file = std::fs::File::create(path)
                    .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
                Some(Arc::new(Writer::new(file, adapter.digest(), settings)?))
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let transports = transports(adapter.as_ref());
        let names: Vec<String> = transports.iter().map(|transport| transport.name.clone()).collect();
        let specs = self.specs(&transports)?;
        let guard = runtime.enter();
        let (nodes, events) = Nodes::start(transports, specs, Options::default())?;
        drop(guard);
        let port = Arc::new(NodesPort::new(nodes, names, runtime.handle().clone()));
        let (sender, news) = channel();
        let setup = Setup {
            grants: grants(adapter.as_ref()),
            adapter,
            algorithms: Algorithms::native(),
            // Nobody is paid by what an author tries out: there is no operator whose script could be checked.
            trust: Trust { adapter_writes_coinbase: true, ..Trust::default() },
            port: port.clone(),
            sink: Arc::new(Printer(std::sync::Mutex::new(sender))),
            recorder,
            swap_time: Duration::from_secs(30),
            saved: Vec::new(),
            outputs: (1, outputs),
            blocks: Vec::new(),
            incomes: Vec::new(),
        };
        let chain = Arc::new(ChainHandle::start(setup)?);
        port.forward(events, Arc::downgrade(&chain));
        let blocks = self.drive(&chain, &news);
        let status = chain.status();
        println!("{} jobs, {blocks} blocks submitted, {} events refused", status.jobs, status.refused);
        if let Some(error) = &status.first_error {
            println!("the first error: {error}");
        }
        Ok(if status.jobs > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn drive(&self, chain: &ChainHandle, news: &std::sync::mpsc::Receiver<News>) -> u64 {
        let end = Instant::now() + Duration::from_secs(self.seconds);
        let (mut blocks, mut job) = (0, None::<(Arc<ReadyJob>, Candidate)>);
        while Instant::now() < end && self.blocks.is_none_or(|wanted| blocks < wanted) {
            let pause = if job.is_some() { Duration::ZERO } else { Duration::from_millis(200) };
            match news.recv_timeout(pause) {
                Ok(News::Job(new)) => {
                    job = None;
                    if self.mine {
                        match Candidate::new(&new.stage, &[]) {
                            Ok(candidate) => job = Some((new, candidate)),
                            Err(why) => println!("mine      {why}"),
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
                && !solved(chain, &on, &mut candidate)
            {
                job = Some((on, candidate));
            }
        }
        blocks
    }

    fn specs(&self, transports: &[Transport]) -> Result<Vec<NodeSpec>, Failure> {
        let password = match &self.password_env {
            Some(variable) => Some(Secret::from_env(variable)?),
            None => None,
        };
        let auth = match (&self.user, password) {
            (Some(user), Some(password)) => Auth::Basic { user: user.clone(), password },
            (Some(_), None) => return Err(Failure::usage("--user needs --password-env VARIABLE")),
            _ => Auth::None,
        };
        let first = transports.first().map(|transport| transport.name.clone()).unwrap_or_default();
        let address = |part: &str| {
            let (name, url) = match part.split_once('=') {
                Some((name, url)) => (name.to_owned(), url),
                None => (first.clone(), part),
            };
            let address = match url.strip_prefix("tcp://") {
                Some(_) => Address::Zmq(url.to_owned()),
                None => Address::Http(Endpoint { url: url.to_owned(), auth: auth.clone() }),
            };
            (name, address)
        };
        let spec = |(at, node): (usize, &String)| NodeSpec {
            name: format!("node {at}"),
            addresses: node.split(',').map(address).collect(),
        };
        Ok(self.node.iter().enumerate().map(spec).collect())
    }
}

/// Looks for a block for a while; true when one was handed to the chain.
fn solved(chain: &ChainHandle, job: &Arc<ReadyJob>, candidate: &mut Candidate) -> bool {
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
                println!("mine      {why}");
                return true;
            }
        };
        let found = Solved {
            tag: 0,
            version: job.version.clone(),
            coord: job.coord,
            reward: job.reward,
            body: job.body.clone(),
            solution,
        };
        if let Err(why) = chain.solve_with(found) {
            println!("mine      {why}");
        }
        return true;
    }
    false
}

fn transports(adapter: &dyn ChainAdapter) -> Vec<Transport> {
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

fn bytes_of(hex: &str) -> Result<Vec<u8>, Failure> {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
    let bytes = digits.chunks(2).map(|pair| if pair.len() == 2 { byte(pair) } else { None }).collect();
    Option::<Vec<u8>>::ok_or(bytes, Failure::usage(format!("--payee {hex}: it is not hex")))
}
