//! The server of one pool: listeners, what its connections share, and a stop that loses nothing.

pub(crate) mod handover;

use crate::backend::{Backend, NotDurable, Payee};
use crate::bans::{Ban, BanReason, Bans};
use crate::board::{Announcement, Board, cry};
use crate::carried::{BeginningState, Carried, HandedOver};
use crate::config::{PortConfig, StratumConfig};
use crate::connection::carried::SessionState;
use crate::counters::{Counters, CountersNow, Registry, SessionInfo, add};
use crate::extranonce::{ExtranonceError, Layout, Lease, NoLease, PrefixTree};
use crate::firmware::Told;
use crate::limits::{Gate, LimitsConfig, Source};
use crate::listen::{bind, listen, sweep};
use crate::tls::{Certificate, TlsError};
use crate::unjudged::UnjudgedLog;
use crate::unread::{Unread, UnreadNow};
use millpond_dialect::{Dialect, DialectSet, EncodeError, Rope};
use millpond_jobs::{Job, JobTable, Seen};
use millpond_types::{JobId, Target};
use millpond_validator::Validator;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Ropes kept: the newest job in each dialect, and one or two before it.
const ROPES: usize = 16;
/// Difficulties of past sessions kept in each of two generations.
const LAST_SEEN: usize = 32_768;

/// What the chain adapter says that a server needs.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The dialects, the default first.
    pub dialects: DialectSet,
    /// The chain's target of difficulty 1; a dialect may have its own.
    pub diff1: Target,
    /// Bytes of the recipe's extranonce field, prefix and rest.
    pub extranonce: usize,
    /// What sessions may roll, by the recipe's session field. The configuration's `masks` go before these.
    pub masks: BTreeMap<String, Vec<u8>>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration's values.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// The extranonce cannot be divided as configured.
    #[error(transparent)]
    Extranonce(#[from] ExtranonceError),
    /// A port's certificate.
    #[error("the port {0}: its tls: {1}")]
    Tls(SocketAddr, #[source] TlsError),
    /// A port names a dialect that the adapter does not have.
    #[error("the port {0}: the adapter has no dialect {1:?}; it has {2}")]
    Dialect(SocketAddr, String, String),
    /// A dialect's miners cannot roll what the division of the extranonce leaves them.
    #[error(
        "miners of dialect {dialect} roll {least} to {most} bytes of extranonce and are left {rest}: no division suits all of the adapter's dialects, or extranonce_prefix suits none of them"
    )]
    Rest {
        /// The dialect.
        dialect: String,
        /// As its document says.
        least: usize,
        /// As its document says.
        most: usize,
        /// What the division leaves.
        rest: usize,
    },
    /// A port cannot be opened.
    #[error("the port {0} cannot be listened on: {1}; is another pool or process on it?")]
    Bind(SocketAddr, #[source] std::io::Error),
}

/// What a server is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has its sockets and hears nobody yet: another process may still go on with them.
    Held,
    Serving,
    /// Its connections leave for another process.
    HandingOver,
    Stopping,
}

impl Phase {
    /// Whether nobody new is let in any more.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Self::HandingOver | Self::Stopping)
    }
}

/// What all connections share and the outside may look at.
pub(crate) struct Core {
    /// As it is in force. Connections look at it again when it changes.
    config: RwLock<Arc<StratumConfig>>,
    pub(crate) tree: Arc<PrefixTree>,
    /// Held while numbers of leases are made durable.
    reserving: tokio::sync::Mutex<()>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) bans: Bans,
    pub(crate) counters: Counters,
    pub(crate) unread: Unread,
    pub(crate) registry: Registry,
    pub(crate) told_of_firmware: Told,
    pub(crate) unjudged: UnjudgedLog,
    pub(crate) last_seen: LastSeen,
    pub(crate) phase: watch::Sender<Phase>,
    /// Connections that have left this process.
    pub(crate) carried: Mutex<Vec<(SessionState, TcpStream)>>,
    /// As those, of connections that have not said yet whose they are.
    pub(crate) beginning: Mutex<Vec<(BeginningState, TcpStream)>>,
    /// What connections look at.
    pub(crate) board: Board,
    /// Connections look at it again when it changes.
    pub(crate) chain: watch::Sender<Arc<Chain>>,
    ropes: Mutex<Vec<(JobId, usize, Rope)>>,
    connections: AtomicU64,
    /// Of the ports that speak TLS, by their address as configured.
    certificates: Vec<(SocketAddr, Arc<Certificate>)>,
}

impl Core {
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// The configuration as it is in force.
    pub(crate) fn config(&self) -> Arc<StratumConfig> {
        Arc::clone(&self.config.read())
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}

/// What a pool gives its server.
pub struct Parts<B: Backend> {
    /// The pool, as far as its sockets need it.
    pub backend: Arc<B>,
    /// The pool's jobs.
    pub jobs: Arc<JobTable>,
    /// The ids of shares that count already: reloaded from the journal for the live jobs before the start.
    pub seen: Arc<Seen>,
    /// Judges shares; one serves all pools of a process.
    pub validator: Arc<Validator>,
}

/// Why a connection gets no extranonce.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    NoLease(#[from] NoLease),
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
}

/// What all connections of a pool share.
pub(crate) struct Shared<B: Backend> {
    pub(crate) core: Arc<Core>,
    pub(crate) backend: Arc<B>,
    pub(crate) jobs: Arc<JobTable>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) validator: Arc<Validator>,
}

impl<B: Backend> Shared<B> {
    pub(crate) fn chain(&self) -> Arc<Chain> {
        Arc::clone(&self.core.chain.borrow())
    }

    /// The target of a difficulty in a dialect's scale.
    pub(crate) fn target_of(&self, dialect: &Dialect, difficulty: f64) -> Target {
        Target::from_difficulty(difficulty, dialect.diff1(self.chain().diff1)).unwrap_or(Target::MAX)
    }

    /// An extranonce that nobody has, its lease made durable first.
    pub(crate) async fn new_lease(&self) -> Result<Lease, Refused> {
        let tree = &self.core.tree;
        loop {
            match tree.lease(Instant::now()) {
                Ok(lease) => return Ok(lease),
                Err(NoLease::Reserve) => {}
                Err(full) => return Err(full.into()),
            }
            let reserving = self.core.reserving.lock().await;
            // Somebody else may have reserved more meanwhile.
            match tree.lease(Instant::now()) {
                Ok(lease) => return Ok(lease),
                Err(NoLease::Reserve) => tree.reserved(self.backend.reserve(tree.batch()).await?),
                Err(full) => return Err(full.into()),
            }
            drop(reserving);
        }
    }

    /// A job as a dialect writes it, encoded once for all sessions.
    pub(crate) fn rope(
        &self,
        dialect: &Arc<Dialect>,
        job: &Arc<Job>,
        encode: impl FnOnce() -> Result<Rope, EncodeError>,
    ) -> Result<Rope, EncodeError> {
        let key = Arc::as_ptr(dialect).addr();
        let mut ropes = self.core.ropes.lock();
        if let Some((_, _, rope)) = ropes.iter().find(|(id, of, _)| *id == job.id && *of == key) {
            return Ok(rope.clone());
        }
        let rope = encode()?;
        if ropes.len() >= ROPES {
            ropes.remove(0);
        }
        ropes.push((job.id, key, rope.clone()));
        Ok(rope)
    }
}

/// The difficulty that a worker's last session ended with: a miner that comes back starts where it was. Two
/// generations, so that memory is bounded and the recent stay.
#[derive(Debug, Default)]
pub(crate) struct LastSeen(Mutex<[HashMap<String, f64>; 2]>);

impl LastSeen {
    fn key(payee: &Payee, agent: &str) -> String {
        format!("{}\n{}\n{agent}", payee.address, payee.worker)
    }

    pub(crate) fn put(&self, payee: &Payee, agent: &str, difficulty: f64) {
        let mut generations = self.0.lock();
        let [young, old] = &mut *generations;
        if young.len() >= LAST_SEEN {
            *old = std::mem::take(young);
        }
        young.insert(Self::key(payee, agent), difficulty);
    }

    pub(crate) fn get(&self, payee: &Payee, agent: &str) -> Option<f64> {
        let key = Self::key(payee, agent);
        let generations = self.0.lock();
        generations.iter().find_map(|generation| generation.get(&key)).copied()
    }
}

/// A running server. Dropping it closes everything at once; [`Server::stop`] is the way to end.
pub struct Server {
    core: Arc<Core>,
    addresses: Vec<SocketAddr>,
    /// The listening sockets, by their address as configured: they outlive the tasks that accept.
    sockets: Vec<(SocketAddr, TcpListener)>,
    listeners: JoinSet<()>,
    jobs: Arc<JobTable>,
    carried: Carried,
}

impl Server {
    /// Opens every port of the configuration and serves miners.
    ///
    /// # Errors
    /// When the configuration, a certificate, a dialect's name or a port is wrong; nothing listens then.
    pub async fn start<B: Backend>(
        config: StratumConfig,
        chain: Chain,
        parts: Parts<B>,
    ) -> Result<Self, StartError> {
        Self::start_at(config, chain, parts, None).await
    }

    /// As [`Server::start`], in the place of a server that has handed over, and hears nobody before [`Server::open`].
    /// Sockets whose port the configuration does not have any more, and sessions that cannot go on here, are closed when
    /// nobody else has them.
    ///
    /// # Errors
    /// As [`Server::start`]; what was handed over is not touched, and whoever has it still may go on with it.
    pub async fn take_over<B: Backend>(
        config: StratumConfig,
        chain: Chain,
        parts: Parts<B>,
        from: HandedOver,
    ) -> Result<Self, StartError> {
        Self::make(config, chain, parts, None, from).await
    }

    /// As [`Server::start`], with the first session's extranonce prefix given: for tests that replay recordings.
    ///
    /// # Errors
    /// As [`Server::start`].
    #[doc(hidden)]
    pub async fn start_at<B: Backend>(
        config: StratumConfig,
        chain: Chain,
        parts: Parts<B>,
        first_prefix: Option<&[u8]>,
    ) -> Result<Self, StartError> {
        let server = Self::make(config, chain, parts, first_prefix, HandedOver::default()).await?;
        server.open();
        Ok(server)
    }

    async fn make<B: Backend>(
        config: StratumConfig,
        chain: Chain,
        parts: Parts<B>,
        first_prefix: Option<&[u8]>,
        mut from: HandedOver,
    ) -> Result<Self, StartError> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(StartError::Config(problems));
        }
        let chain = with_masks(chain, &config);
        let rests: Vec<_> = chain.dialects.all().filter_map(|one| one.extranonce_rest()).collect();
        let layout = Layout::fitting(chain.extranonce, &config.extranonce, &rests)?;
        for dialect in chain.dialects.all() {
            let outside = dialect.extranonce_rest().filter(|range| !range.contains(&layout.rest()));
            if let Some(range) = outside {
                let (least, most) = range.into_inner();
                let dialect = dialect.name().to_owned();
                return Err(StartError::Rest { dialect, least, most, rest: layout.rest() });
            }
        }
        let tree = PrefixTree::new(layout, config.extranonce.resume.0, parts.backend.past());
        if let Some(first) = first_prefix.and_then(|prefix| tree.slot_of(prefix)) {
            tree.reserved(first..first.saturating_add(tree.batch()));
        }
        let mut bound = Vec::new();
        let mut sockets = Vec::new();
        for port in &config.ports {
            let socket = from.listener(port.listen);
            let (listener, listening) = bind(port, &config, &chain, socket).await?;
            let socket = listener.as_fd().try_clone_to_owned();
            let socket = socket.map_err(|why| StartError::Bind(port.listen, why))?;
            sockets.push((port.listen, TcpListener::from(socket)));
            bound.push((listener, listening));
        }
        let each = config.ports.iter().zip(&bound);
        let certificates = each
            .filter_map(|(port, (_, listening))| Some((port.listen, Arc::clone(listening.certificate()?))))
            .collect();
        let limits = for_prefixes(config.limits.clone(), &layout);
        let core = Arc::new(Core {
            tree,
            reserving: tokio::sync::Mutex::default(),
            gate: Gate::new(limits),
            bans: Bans::new(config.bans.clone()),
            counters: Counters::default(),
            unread: Unread::default(),
            registry: Registry::default(),
            told_of_firmware: Told::default(),
            unjudged: UnjudgedLog::default(),
            last_seen: LastSeen::default(),
            phase: watch::Sender::new(Phase::Held),
            carried: Mutex::default(),
            beginning: Mutex::default(),
            board: Board::default(),
            chain: watch::Sender::new(Arc::new(chain)),
            ropes: Mutex::default(),
            connections: AtomicU64::new(1),
            certificates,
            config: RwLock::new(Arc::new(config)),
        });
        let Parts { backend, jobs, seen, validator } = parts;
        let table = Arc::clone(&jobs);
        let shared = Arc::new(Shared { core: Arc::clone(&core), backend, jobs, seen, validator });
        let mut listeners = JoinSet::new();
        let mut addresses = Vec::new();
        let bound = bound.into_iter().map(|(listener, listening)| (listener, Arc::new(listening)));
        let bound: Vec<_> = bound.collect();
        let ports: Vec<_> = bound.iter().map(|(_, listening)| Arc::clone(listening)).collect();
        let (mut arrived, carried) = handover::arrive(&shared, &ports, from);
        for (listener, listening) in bound {
            addresses.push(listening.address);
            let here = arrived.remove(&listening.address).unwrap_or_default();
            listeners.spawn(listen(Arc::clone(&shared), listening, listener, here));
        }
        listeners.spawn(sweep(Arc::clone(&core)));
        listeners.spawn(cry(shared));
        Ok(Self { core, addresses, sockets, listeners, jobs: table, carried })
    }

    /// Hears miners from now on.
    pub fn open(&self) {
        self.core.phase.send_if_modified(|phase| {
            let held = *phase == Phase::Held;
            if held {
                *phase = Phase::Serving;
            }
            held
        });
    }

    /// The addresses that are listened on, in the configuration's order; a port 0 is replaced by what was got.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A handle to look at the server and to ban, to give to others.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { core: Arc::clone(&self.core) }
    }

    /// Stops: no new connections, no new lines; shares on their way are recorded and answered, within the
    /// configuration's `drain`; then connections are closed.
    pub async fn stop(mut self) {
        self.sockets.clear();
        self.end(Phase::Stopping).await;
    }

    /// Ends all tasks. How many connections did not end in time, and were dropped.
    async fn end(&mut self, phase: Phase) -> usize {
        self.core.phase.send_replace(phase);
        // Connection tasks are the children of their listener's task, which waits for them.
        let patience = self.core.config().drain.0 * 2 + Duration::from_secs(1);
        let all = async { while self.listeners.join_next().await.is_some() {} };
        if timeout(patience, all).await.is_ok() {
            return 0;
        }
        let late = self.core.gate.connections();
        tracing::warn!(late, "connections did not end in time");
        self.listeners.shutdown().await;
        // Their tasks are dropped by now or in their next turn.
        let gone = async {
            while self.core.gate.connections() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(patience, gone).await;
        late
    }
}

/// A view of a running server. Cheap to clone.
#[derive(Clone)]
pub struct ServerHandle {
    core: Arc<Core>,
}

impl ServerHandle {
    /// The counters now.
    #[must_use]
    pub fn counters(&self) -> CountersNow {
        self.core.counters.now()
    }

    /// What waits for miners who do not read.
    #[must_use]
    pub fn unread(&self) -> UnreadNow {
        self.core.unread.now()
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.core.gate.connections()
    }

    /// The sessions now, oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.core.registry.list(Instant::now())
    }

    /// The source that an address counts as: itself, or its network for IPv6.
    #[must_use]
    pub fn source(&self, address: IpAddr) -> Source {
        Source::of(address, self.core.config().limits.ipv6_prefix)
    }

    /// The bans in force.
    #[must_use]
    pub fn bans(&self) -> Vec<Ban> {
        self.core.bans.list(Instant::now())
    }

    /// Bans a source by the operator's decision and hangs up on it. Returns for how long.
    pub fn ban(&self, source: Source) -> Option<Duration> {
        let length = self.core.bans.ban(source, BanReason::Operator, Instant::now());
        add(&self.core.counters.bans);
        self.announce(Announcement::Drop(source));
        length
    }

    /// Shows a text on the miners' screens, where their dialect can.
    pub fn message(&self, text: &str) {
        self.announce(Announcement::Message(text.into()));
    }

    /// Sends all miners elsewhere after a pause, where their dialect can: before a move to another machine.
    pub fn reconnect(&self, host: &str, port: u16, wait: Duration) {
        self.announce(Announcement::Reconnect { host: host.into(), port, wait: wait.as_secs() });
    }

    fn announce(&self, announcement: Announcement) {
        self.core.board.announce(announcement, &self.core.registry);
    }

    /// Reads the certificates of all TLS ports again, from the files that `ports` names for the same address where it names
    /// one. Nobody is disconnected: who connects from now on is shown the new one. For each port whether that is another
    /// than before. Reads files.
    ///
    /// # Errors
    /// Of each port by itself: what cannot be used leaves the one in use where it is.
    pub fn reload_certificates(&self, ports: &[PortConfig]) -> Vec<(SocketAddr, Result<bool, TlsError>)> {
        let named = |address: SocketAddr| {
            ports.iter().find(|port| port.listen == address).and_then(|port| port.tls.as_ref())
        };
        let each = self.core.certificates.iter();
        each.map(|(address, certificate)| (*address, certificate.reload(named(*address)))).collect()
    }

    /// Goes on with another configuration, as far as a running server can: limits, deadlines, bans, the lists of whom to
    /// refuse and whom never to ban, difficulties by user agent, signs of life. It holds at once, for those who are
    /// connected, too: who is denied now is hung up on, and nobody else. Ports, vardiff, the division of the extranonce, what
    /// may be rolled, TCP's keepalive and how much of an IPv6 address is a source stay what they were at the start.
    ///
    /// # Errors
    /// What is wrong with the configuration; then nothing changes.
    pub fn follow(&self, new: &StratumConfig) -> Result<(), StartError> {
        let problems = new.problems();
        if !problems.is_empty() {
            return Err(StartError::Config(problems));
        }
        let core = &self.core;
        let config = Arc::new(core.config().followed_by(new));
        let limits = for_prefixes(config.limits.clone(), &core.tree.layout());
        core.gate.follow(limits, Instant::now());
        core.bans.follow(config.bans.clone());
        *core.config.write() = config;
        core.board.ring(&core.registry);
        Ok(())
    }

    /// Ends a ban. False when there was none.
    pub fn lift_ban(&self, source: Source) -> bool {
        self.core.bans.lift(source)
    }

    /// Other documents after an adapter was swapped: for connections from now on, and for user agents named from now
    /// on. What sessions may roll changes for those who are connected, too, where their dialect has words for it: they
    /// are told before their next job. The extranonce's length stays what it was at the start. False when it would change:
    /// that needs a restart.
    pub fn replace_chain(&self, chain: Chain) -> bool {
        if chain.extranonce != self.core.tree.layout().total {
            return false;
        }
        self.core.chain.send_replace(Arc::new(with_masks(chain, &self.core.config())));
        true
    }
}

/// Whoever is let in gets a prefix: no more connections than there are of those.
fn for_prefixes(mut limits: LimitsConfig, layout: &Layout) -> LimitsConfig {
    let slots = usize::try_from(layout.slots()).unwrap_or(usize::MAX);
    if slots < limits.connections {
        tracing::warn!(
            slots,
            wanted = limits.connections,
            "a prefix of this length serves fewer connections"
        );
        limits.connections = slots;
    }
    limits
}

fn with_masks(mut chain: Chain, config: &StratumConfig) -> Chain {
    for (field, mask) in &config.masks {
        if let Ok(mask) = hex::decode(mask) {
            chain.masks.insert(field.clone(), mask);
        }
    }
    chain
}
