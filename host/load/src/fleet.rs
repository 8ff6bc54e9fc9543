//! A fleet of miners on a few threads: connects, sends shares, is told of blocks, and measures.

use crate::connection::Login;
use crate::histogram::Histogram;
use crate::link::{Dial, any_certificate};
use crate::process::{Memory, Watched, raise_descriptors};
use crate::report::{Held, Jobs, Shares, Spread, Storm};
use crate::worker::{Fire, Fired, Live, Note, Order, Worker};
use mio::Waker;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Descriptors that are left to everything but connections.
const SPARE: u64 = 64;
/// How often counters are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Why a load test could not go on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server's address.
    #[error("{server:?} is no server: give host:port")]
    Address {
        /// As given.
        server: String,
    },
    /// More connections than descriptors.
    #[error(
        "{wanted} connections take more files than this process may open: {may} are possible (raise `ulimit -Hn`, or \
         run several generators)"
    )]
    Descriptors {
        /// As asked.
        wanted: usize,
        /// How many there could be.
        may: u64,
    },
    /// A thread of the generator ended.
    #[error("a thread of the generator ended early")]
    Ended,
    /// No share could be made.
    #[error(
        "no share was sent: {why}; the accept path wants a low fixed difficulty (2e-10: every hash counts), the reject \
         path one of 1 or more"
    )]
    NoShares {
        /// Nobody was there, or nothing of the kind can be found.
        why: &'static str,
    },
    /// TLS.
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] rustls::Error),
    /// The system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder without a disk.
    #[error("{} is in memory: what is durable there says nothing; give a folder on a real file system", .0.display())]
    InMemory(std::path::PathBuf),
    /// A server that was to be measured.
    #[error("the server to be measured did not start; it says:\n{0}")]
    Child(String),
    /// The mock node.
    #[error("the mock node: {0}")]
    Node(String),
}

/// The miners.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server: `host:port`, with or without `stratum+tcp://`.
    pub server: String,
    /// How many.
    pub connections: usize,
    /// Addresses of this machine that they come from, in turn; empty: as the system likes.
    pub from: Vec<IpAddr>,
    /// Threads of the generator.
    pub threads: usize,
    /// Handshakes under way at once.
    pub at_once: usize,
    /// The longest that a handshake may take.
    pub patience: Duration,
    /// Logins, in turn; `{}` stands for the connection's number.
    pub users: Vec<String>,
    /// The password.
    pub password: String,
    /// The user agent.
    pub agent: String,
    /// Whether to speak TLS. Every certificate is taken.
    pub tls: bool,
    /// The server's process, if it is on this machine.
    pub server_pid: Option<u32>,
}

impl Options {
    /// Plain connections to a server, with a login that a pool of regtest takes. The key of its address is nobody's.
    #[must_use]
    pub fn new(server: impl Into<String>, connections: usize) -> Self {
        Self {
            server: server.into(),
            connections,
            from: Vec::new(),
            threads: 1,
            at_once: 128,
            patience: Duration::from_secs(30),
            users: vec![crate::LOGIN.to_owned()],
            password: "x".to_owned(),
            agent: concat!("millpond-load/", env!("CARGO_PKG_VERSION")).to_owned(),
            tls: false,
            server_pid: None,
        }
    }
}

/// Shares to send.
#[derive(Clone, Copy, Debug)]
pub struct Volley {
    /// Shares that count, or shares that miss their target.
    pub accept: bool,
    /// Shares a second of all connections together; otherwise as fast as answers come.
    pub rate: Option<f64>,
    /// Shares of one write, where no rate is given.
    pub pipeline: usize,
    /// What goes before the measured time.
    pub warm: Duration,
    /// The measured time; with `each`, the longest it may take.
    pub time: Duration,
    /// So many of each connection, and no more.
    pub each: Option<u64>,
    /// How long answers that are due at the end are waited for.
    pub patience: Duration,
}

/// Somebody who makes blocks and says when a template was handed out.
pub trait Blocks {
    /// Makes a block. Returns its mark, as [`crate::mark`] computes it, and the moment.
    ///
    /// # Errors
    /// When there is none.
    fn make(&mut self) -> Result<(u64, Instant), LoadError>;

    /// When the last byte of the first template on that block was written; `None` while it was not.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn handed_out(&mut self, mark: u64) -> Result<Option<Instant>, LoadError>;
}

struct Hand {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    notes: Receiver<Note>,
    live: Arc<Live>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Hand {
    fn tell(&self, order: Order) -> Result<(), LoadError> {
        self.orders.send(order).map_err(|_| LoadError::Ended)?;
        Ok(self.waker.wake()?)
    }
}

/// The miners, running.
pub struct Fleet {
    hands: Vec<Hand>,
    options: Options,
    watched: Watched,
    before: Option<Memory>,
}

impl Fleet {
    /// Starts the threads; nobody connects yet. The server's memory is looked at now.
    ///
    /// # Errors
    /// No such server, or not enough descriptors or threads.
    pub fn start(options: Options) -> Result<Self, LoadError> {
        let may = raise_descriptors()?.saturating_sub(SPARE);
        if options.connections as u64 > may {
            return Err(LoadError::Descriptors { wanted: options.connections, may });
        }
        let dial = Dial {
            server: address(&options.server)?,
            from: options.from.clone(),
            tls: if options.tls { Some(any_certificate()?) } else { None },
        };
        let users: Arc<[String]> = options.users.clone().into();
        let mut hands = Vec::new();
        for number in 0..options.threads.max(1) {
            let (orders, taken) = channel();
            let (notes, told) = channel();
            let live = Arc::new(Live::default());
            let login = Login {
                users: Arc::clone(&users),
                password: options.password.clone(),
                agent: options.agent.clone(),
            };
            // A worker's jobs are its thread's own, so it is made there.
            let (dial, its) = (dial.clone(), Arc::clone(&live));
            let (ready, made) = channel();
            let thread = std::thread::Builder::new().name(format!("miners-{number}")).spawn(move || {
                let worker = Worker::new(dial, login, its, taken, notes)?;
                let _ = ready.send(Arc::clone(&worker.waker));
                worker.run()
            })?;
            let waker = made.recv().map_err(|_| LoadError::Ended)?;
            hands.push(Hand { orders, waker, notes: told, live, thread: Some(thread) });
        }
        let watched = Watched::new(options.server_pid);
        let before = watched.memory()?;
        Ok(Self { hands, options, watched, before })
    }

    fn sum(&self, of: impl Fn(&Live) -> &AtomicU64) -> u64 {
        self.hands.iter().map(|hand| of(&hand.live).load(Ordering::Relaxed)).sum()
    }

    /// Connections that are logged in now.
    #[must_use]
    pub fn ready(&self) -> u64 {
        self.sum(|live| &live.ready)
    }

    /// Connections that the server has closed after their login.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sum(|live| &live.lost)
    }

    /// Connects, subscribes and logs in, as fast as the bound of handshakes allows, and holds the connections for a time.
    ///
    /// # Errors
    /// A thread that ended, or a server's process that cannot be looked at.
    pub fn connect(&mut self, hold: Duration) -> Result<Storm, LoadError> {
        let threads = self.hands.len();
        let (used, begun) = (self.watched.look()?, Instant::now());
        for (turn, hand) in self.hands.iter().enumerate() {
            let numbers = (0..self.options.connections).skip(turn).step_by(threads).collect();
            let at_once = self.options.at_once.div_ceil(threads);
            hand.tell(Order::Connect { numbers, at_once, patience: self.options.patience })?;
        }
        let mut latency = Histogram::default();
        let mut failed = BTreeMap::new();
        for hand in &self.hands {
            let Note::Connected(part) = hand.notes.recv().map_err(|_| LoadError::Ended)? else {
                return Err(LoadError::Ended);
            };
            latency.add(&part.latency);
            for (why, count) in part.failed {
                *failed.entry(why).or_default() += count;
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        let usage = self.watched.used(used, seconds)?;
        let logged_in = latency.count();
        // A server may log in first and give a job later.
        self.wait(self.options.patience, |fleet| fleet.sum(|live| &live.jobs) >= fleet.ready());
        std::thread::sleep(hold);
        let (ready, with_job) = (self.ready(), self.sum(|live| &live.jobs));
        let memory = self.held()?;
        Ok(Storm {
            wanted: self.options.connections,
            ready,
            with_job,
            failed,
            seconds,
            per_second: logged_in as f64 / seconds,
            per_server_cpu_second: usage
                .server_cpu_seconds
                .filter(|cpu| *cpu > 0.0)
                .map(|cpu| logged_in as f64 / cpu),
            latency: latency.summary(),
            usage,
            memory,
        })
    }

    /// What the server holds now with all connections; `None` when its process was not given.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn held(&self) -> Result<Option<Held>, LoadError> {
        let after = self.watched.memory()?;
        Ok(self.before.zip(after).map(|(before, after)| Held::new(before, after, self.ready())))
    }

    fn wait(&self, most: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + most;
        while !done(self) {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    /// Sends shares.
    ///
    /// # Errors
    /// A thread that ended, or a server's process that cannot be looked at.
    pub fn fire(&mut self, volley: &Volley) -> Result<Shares, LoadError> {
        let lost = self.lost();
        let connections = self.ready();
        let all = connections.max(1) as f64;
        let first = self.sum(|live| &live.answered);
        let (mut used, mut begun) = (self.watched.look()?, Instant::now());
        for hand in &self.hands {
            // Each thread has a part of the rate, as it has of the connections.
            let part = hand.live.ready.load(Ordering::Relaxed) as f64 / all;
            hand.tell(Order::Fire(Fire {
                meets: volley.accept,
                rate: volley.rate.map(|rate| rate * part),
                pipeline: volley.pipeline.max(1),
                each: volley.each,
            }))?;
        }
        let mut answered = first;
        if volley.each.is_some() {
            self.all_spent(begun + volley.time)?;
        } else {
            std::thread::sleep(volley.warm);
            self.hands.iter().try_for_each(|hand| hand.tell(Order::Measure))?;
            (used, begun) = (self.watched.look()?, Instant::now());
            answered = self.sum(|live| &live.answered);
            std::thread::sleep(volley.time);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let usage = self.watched.used(used, seconds)?;
        let answered = self.sum(|live| &live.answered) - answered;
        let fired = self.cease(volley.patience)?;
        if fired.sent == 0 {
            let nobody = connections == 0 || self.sum(|live| &live.jobs) == 0;
            let why = if nobody {
                "no connection has a job"
            } else {
                "none of the kind is found at this difficulty"
            };
            return Err(LoadError::NoShares { why });
        }
        let part = |rate: f64| Some(rate).filter(|rate| rate.is_finite());
        Ok(Shares {
            path: if volley.accept { "accept" } else { "reject" }.to_owned(),
            pipeline: volley.rate.is_none().then_some(volley.pipeline.max(1)),
            rate: volley.rate,
            wanted: self.options.connections,
            connections,
            sent: fired.sent,
            accepted: fired.accepted,
            rejected: reasons(fired.rejected),
            unanswered: fired.unanswered,
            closed: self.lost() - lost,
            seconds,
            answered,
            per_second: answered as f64 / seconds,
            per_server_cpu_second: usage.server_cpu_seconds.and_then(|cpu| part(answered as f64 / cpu)),
            latency: fired.latency.summary(),
            behind_ms: volley.rate.map(|_| fired.behind.as_secs_f64() * 1e3),
            server_cpu_us_each: usage.server_cpu_seconds.and_then(|cpu| part(1e6 * cpu / answered as f64)),
            usage,
        })
    }

    /// Until every thread has sent what it may and got its answers, or it is too late.
    fn all_spent(&self, until: Instant) -> Result<(), LoadError> {
        for hand in &self.hands {
            match hand.notes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(LoadError::Ended),
            }
        }
        Ok(())
    }

    fn cease(&self, patience: Duration) -> Result<Fired, LoadError> {
        for hand in &self.hands {
            hand.tell(Order::Cease { patience })?;
        }
        let mut fired = Fired::default();
        for hand in &self.hands {
            let part = loop {
                match hand.notes.recv().map_err(|_| LoadError::Ended)? {
                    Note::Fired(part) => break part,
                    Note::Spent => {}
                    Note::Connected(_) | Note::Closed => return Err(LoadError::Ended),
                }
            };
            fired.sent += part.sent;
            fired.accepted += part.accepted;
            fired.unanswered += part.unanswered;
            fired.latency.add(&part.latency);
            fired.behind = fired.behind.max(part.behind);
            for (why, count) in part.rejected {
                *fired.rejected.entry(why).or_default() += count;
            }
        }
        Ok(fired)
    }

    /// Makes blocks, and measures how their jobs reach the miners. A miner that is not told within `patience` is not
    /// waited for.
    ///
    /// # Errors
    /// A node that makes no block.
    pub fn blocks(
        &mut self,
        count: usize,
        pause: Duration,
        patience: Duration,
        blocks: &mut dyn Blocks,
    ) -> Result<Jobs, LoadError> {
        let connections = self.ready();
        let (used, begun) = (self.watched.look()?, Instant::now());
        let mut spreads = Vec::new();
        for number in 0..count {
            if number > 0 {
                std::thread::sleep(pause);
            }
            for Live { told, blocks, .. } in self.hands.iter().map(|hand| &*hand.live) {
                told.store(0, Ordering::Relaxed);
                blocks.lock().clear();
            }
            let (mark, made) = blocks.make()?;
            let told = |fleet: &Self| -> Vec<Instant> {
                let all = fleet.hands.iter().flat_map(|hand| hand.live.blocks.lock().clone());
                all.filter(|(block, _)| *block == mark).map(|(_, at)| at).collect()
            };
            // The list is looked at only when enough were told of some block: looking would hold up those who read.
            self.wait(patience, |fleet| {
                fleet.sum(|live| &live.told) >= connections && told(fleet).len() as u64 >= connections
            });
            let mut told = told(self);
            told.sort_unstable();
            let Some(out) = blocks.handed_out(mark)? else {
                return Err(LoadError::Node(
                    "the server has not asked for a template on the new block".to_owned(),
                ));
            };
            let ms = |at: Option<&Instant>| {
                at.map_or(0.0, |at| at.saturating_duration_since(out).as_secs_f64() * 1e3)
            };
            spreads.push(Spread {
                told: told.len() as u64,
                first: ms(told.first()),
                median: ms(told.get(told.len() / 2)),
                last: ms(told.last()),
                asked: out.saturating_duration_since(made).as_secs_f64() * 1e3,
            });
        }
        let usage = self.watched.used(used, begun.elapsed().as_secs_f64())?;
        Ok(Jobs { wanted: self.options.connections, connections, blocks: spreads, usage })
    }

    /// Closes all connections.
    ///
    /// # Errors
    /// A thread that ended.
    pub fn close(&mut self) -> Result<(), LoadError> {
        for hand in &self.hands {
            hand.tell(Order::Close)?;
        }
        for hand in &self.hands {
            hand.notes.recv().map_err(|_| LoadError::Ended)?;
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for hand in &mut self.hands {
            let _ = hand.tell(Order::Quit);
            if let Some(thread) = hand.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// Errors of a server as people read them: `[23,"low difficulty",null]` is "23 low difficulty".
fn reasons(rejected: BTreeMap<Vec<u8>, u64>) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    for (error, count) in rejected {
        let read: Option<serde_json::Value> = serde_json::from_slice(&error).ok();
        let code = read.as_ref().and_then(|error| error.get(0).or_else(|| error.get("code")));
        let text = read.as_ref().and_then(|error| error.get(1).or_else(|| error.get("message")));
        let reason = match (code, text.and_then(|text| text.as_str())) {
            (Some(code), Some(text)) => format!("{code} {text}"),
            _ => String::from_utf8_lossy(&error).into_owned(),
        };
        *reasons.entry(reason).or_default() += count;
    }
    reasons
}

pub(crate) fn address(server: &str) -> Result<SocketAddr, LoadError> {
    let plain = server.strip_prefix("stratum+tcp://").unwrap_or(server).trim_end_matches('/');
    let wrong = || LoadError::Address { server: server.to_owned() };
    plain.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(wrong)
}
