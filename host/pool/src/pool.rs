//! A running pool: opened from its folder, started, looked at, swapped, stopped.

use crate::backend::PoolBackend;
use crate::books::Books;
use crate::core::{Core, OnItsWay, Parts, Task};
use crate::maturity::NodesCount;
use crate::payments::Payments;
use crate::plugins::PluginStore;
use crate::policy::Loader;
use crate::setup::{Prepared, SetupError};
use crate::sink::PoolSink;
use crate::stats::Stats;
use crate::view::BlockView;
use crate::{money, setup};
use millpond_admin::Role;
use millpond_alerts::{Alarms, Level};
use millpond_algorithms::Algorithms;
use millpond_chain::{
    BitcoinCoinbase, ChainHandle, KnownBlock, KnownIncome, NodesPort, Setup, Solved, Trust, Version,
};
use millpond_config::Pool as Section;
use millpond_contracts::chain as contract;
use millpond_contracts::load_adapter;
use millpond_dialect::DialectSet;
use millpond_disk::{Disk, DiskError, read_file, replace_file};
use millpond_journal::{Journal, JournalError, Options, Record, Solution};
use millpond_ledger::{BalanceIndex, Ledger, LedgerError};
use millpond_node::Nodes;
use millpond_runtime::{LogSink, Sandbox};
use millpond_stratum::{Chain as StratumChain, NameKey, Past, Server, ServerHandle, StratumConfig};
use millpond_types::{Amount, Digest, JobId, ShareSeq, UnixMillis};
use millpond_validator::Validator;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A new adapter version has this long to publish its first valid job.
const SWAP_TIME: Duration = Duration::from_secs(30);
/// Names of sessions' rolled fields in an adapter's description: `roll.<field>`, the bits as bytes.
const ROLL: &str = "roll.";

/// What all pools of a process share.
#[derive(Clone)]
pub struct Process {
    /// Where everything durable lives.
    pub data: PathBuf,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The engines.
    pub sandbox: Sandbox,
    /// Where guests log to.
    pub sink: Arc<dyn LogSink>,
    /// Judges shares.
    pub validator: Arc<Validator>,
    /// Tells people.
    pub alarms: Alarms,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").field("data", &self.data).finish_non_exhaustive()
    }
}

/// A pool that does not start.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The configuration's names and values.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The journal.
    #[error("the journal: {0}")]
    Journal(#[from] JournalError),
    /// The ledger.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The books.
    #[error(transparent)]
    Books(#[from] crate::books::BooksError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The component store.
    #[error(transparent)]
    Store(#[from] crate::plugins::StoreError),
    /// The nodes.
    #[error(transparent)]
    Node(#[from] millpond_node::NodeError),
    /// The chain.
    #[error("the chain: {0}")]
    Chain(#[from] millpond_chain::StartError),
    /// The sockets.
    #[error(transparent)]
    Stratum(#[from] millpond_stratum::StartError),
    /// A thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// An adapter without a dialect.
    #[error("the adapter has no dialect: no miner could be served")]
    NoDialect,
}

/// A running pool.
pub struct Pool {
    pub(crate) core: Arc<Core>,
    pub(crate) section: Section,
    pub(crate) beside: PathBuf,
    pub(crate) process: Process,
    pub(crate) server: ServerHandle,
    pub(crate) payments: Option<Arc<Payments>>,
    pub(crate) maturity: Option<Arc<NodesCount>>,
    pub(crate) network: String,
    pub(crate) roles: parking_lot::Mutex<BTreeMap<&'static str, (String, Digest)>>,
    addresses: Vec<SocketAddr>,
    stopping: parking_lot::Mutex<Option<Stopping>>,
}

struct Stopping {
    server: Server,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.core.name).finish_non_exhaustive()
    }
}

impl Pool {
    /// Opens a pool's folder and starts everything. `stratum` is the section's own or, in tests, another.
    ///
    /// # Errors
    /// When anything of it cannot be opened; nothing runs then.
    pub async fn start(
        process: &Process,
        prepared: Prepared,
        beside: &Path,
        stratum: StratumConfig,
    ) -> Result<Self, PoolError> {
        let section = prepared.section.clone();
        let folder = process.data.join(section.name.as_str());
        let opening = (process.clone(), folder.clone());
        let wanted = prepared.wanted.clone();
        let name = section.name.clone();
        let description = prepared.adapter.description().clone();
        let component = prepared.adapter_component.clone();
        let (tasks, queue) = std::sync::mpsc::channel();
        let shift = millpond_types::WorkShift(description.work_shift);
        // Disk and plugins block: not on the runtime's threads.
        let opened = tokio::task::spawn_blocking(move || {
            let (process, folder) = opening;
            open(&process, &folder, name, &wanted, &component, shift, tasks)
        });
        let Opened { core, unsubmitted, past } = opened.await.map_err(std::io::Error::other)??;

        let (nodes, events) =
            Nodes::start(prepared.transports.clone(), prepared.nodes, millpond_node::Options::default())?;
        let names = prepared.transports.iter().map(|transport| transport.name.clone()).collect();
        let port = Arc::new(NodesPort::new(nodes, names, tokio::runtime::Handle::current()));
        let trusting = section.chain.trust_adapter_with_coinbase;
        let handle = tokio::runtime::Handle::current();
        let maturity =
            NodesCount::new(&section, &description.settlement, section.chain.confirmations, &handle)?;
        let trust = Trust {
            floor: prepared.floor,
            reward_cap: (section.chain.reward_cap > Amount::ZERO).then_some(section.chain.reward_cap),
            confirmations: section.chain.confirmations,
            coinbase: (!trusting).then(|| Arc::new(BitcoinCoinbase { height: true }) as _),
            adapter_writes_coinbase: trusting,
            maturity: maturity.clone().map(|nodes| nodes as _),
        };
        let (blocks, incomes) = known(&core, prepared.adapter.as_ref())?;
        let saved = read_file(core.disk.as_ref(), &folder.join("adapter-state")).unwrap_or_default();
        let chain_setup = Setup {
            adapter: Arc::clone(&prepared.adapter),
            algorithms: Algorithms::native(),
            grants: prepared.grants.clone(),
            trust,
            port: Arc::clone(&port) as _,
            sink: Arc::new(PoolSink(Arc::downgrade(&core))),
            recorder: None,
            swap_time: SWAP_TIME,
            saved,
            outputs: (1, prepared.outputs),
            blocks,
            incomes,
        };
        let chain = tokio::task::spawn_blocking(move || ChainHandle::start(chain_setup));
        let chain = Arc::new(chain.await.map_err(std::io::Error::other)??);
        *core.chain.write() = Some(Arc::clone(&chain));
        port.forward(events, Arc::downgrade(&chain));
        resubmit(process, &core, &chain, &prepared.adapter, &prepared.adapter_settings, unsubmitted);

        let version = chain.version().ok_or(PoolError::NoDialect)?;
        let served = stratum_chain(&version).ok_or(PoolError::NoDialect)?;
        let parts = millpond_stratum::Parts {
            backend: PoolBackend::new(
                Arc::clone(&core),
                u32::try_from(stratum.extranonce.front_end).unwrap_or(u32::MAX),
                past,
            ),
            jobs: Arc::clone(&core.jobs),
            seen: Arc::clone(&core.seen),
            validator: Arc::clone(&process.validator),
        };
        let server = Server::start(stratum, served, parts).await?;
        let payments = Payments::new(
            &section,
            &core,
            prepared.fee_addresses,
            description.final_after,
            &tokio::runtime::Handle::current(),
        )?
        .map(Arc::new);

        let mut threads = Vec::new();
        let money = Arc::clone(&core);
        let named = |what: &str| std::thread::Builder::new().name(format!("{what}-{}", core.name));
        threads.push(named("money").spawn(move || money::run(&money, &queue))?);
        if let Some(maturity) = &maturity {
            let (maturity, core) = (Arc::clone(maturity), Arc::clone(&core));
            threads.push(named("maturity").spawn(move || maturity.keep_asking(&core))?);
        }
        if let Some(payments) = &payments {
            let (payments, core) = (Arc::clone(payments), Arc::clone(&core));
            threads.push(named("pay").spawn(move || payments.keep_paying(&core))?);
        }
        let mut roles = BTreeMap::new();
        let component = &prepared.adapter_component;
        roles.insert("adapter", (component.name.clone(), component.digest));
        roles.insert("scheme", (prepared.wanted.scheme.name.clone(), prepared.wanted.scheme.digest));
        if let Some((fee, _, _)) = &prepared.wanted.fee {
            roles.insert("fee", (fee.name.clone(), fee.digest));
        }
        Ok(Self {
            addresses: server.addresses().to_vec(),
            server: server.handle(),
            core,
            section,
            beside: beside.to_owned(),
            process: process.clone(),
            payments,
            maturity,
            network: description.network,
            roles: parking_lot::Mutex::new(roles),
            stopping: parking_lot::Mutex::new(Some(Stopping { server, threads })),
        })
    }

    /// Where miners connect to, in the order of the configuration's ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The pool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.core.name.as_str()
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.core.ledger
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal> {
        &self.core.journal
    }

    /// The sockets.
    #[must_use]
    pub fn server(&self) -> &ServerHandle {
        &self.server
    }

    /// Swaps a plugin while miners are connected. An adapter takes over at its first valid job, within 30 seconds; a
    /// scheme or fee policy after the next block. Blocks.
    ///
    /// # Errors
    /// Why the running version stays.
    pub fn swap(&self, role: Role, plugin: &str, actor: &str) -> Result<String, String> {
        let now = UnixMillis::now();
        let role_name = match role {
            Role::Adapter => "adapter",
            Role::Scheme => "scheme",
            Role::Fee => "fee",
        };
        self.record_admin(actor, "plugin_swap", &[role_name, plugin])?;
        let outcome = match role {
            Role::Adapter => self.swap_adapter(plugin),
            Role::Scheme | Role::Fee => self.swap_policy(role, plugin, actor, now),
        };
        if let Err(why) = &outcome {
            let text = format!("the swap of the {role_name} to {plugin} did not take place: {why}");
            self.core.alarm(Level::Warning, "swap", text);
        }
        outcome
    }

    fn swap_adapter(&self, plugin: &str) -> Result<String, String> {
        let process = &self.process;
        let (component, adapter) =
            setup::other_adapter(&self.section, plugin, &self.beside, &process.sandbox, &process.sink)
                .map_err(|why| why.to_string())?;
        let store = PluginStore::open(Arc::clone(&process.disk), &self.core.folder.join("plugins"));
        store.and_then(|store| store.keep(&component)).map_err(|why| why.to_string())?;
        let chain = self.core.chain().ok_or("the pool is ending")?;
        let answer = chain.swap(adapter).map_err(|why| why.to_string())?;
        let patience = SWAP_TIME.saturating_add(Duration::from_secs(10));
        answer.recv_timeout(patience).map_err(|_| "the new version gave no answer".to_owned())??;
        if let Some(served) = chain.version().as_deref().and_then(stratum_chain) {
            self.server.replace_chain(served);
        }
        self.roles.lock().insert("adapter", (component.name.clone(), component.digest));
        Ok(format!("adapter {} leads ({})", component.name, component.digest.short()))
    }

    fn swap_policy(&self, role: Role, plugin: &str, actor: &str, now: UnixMillis) -> Result<String, String> {
        let mut section = self.section.clone();
        match role {
            Role::Fee => {
                let fee = section.fee.as_mut().ok_or("the pool has no [pool.fee]: who would receive it?")?;
                plugin.clone_into(&mut fee.policy);
            }
            _ => plugin.clone_into(&mut section.payout.scheme),
        }
        // Settings of another plugin are of no use to this one: it starts with its own defaults.
        if role == Role::Scheme && plugin != self.section.payout.scheme {
            section.payout.settings.clear();
        }
        let process = &self.process;
        let wanted = setup::wanted(&section, &self.beside, &process.sandbox, &process.sink)
            .map_err(|errors| errors.join("; "))?;
        let waited = self.core.books.schedule(&wanted, actor, now).map_err(|why| why.to_string())?;
        let mut roles = self.roles.lock();
        roles.insert("scheme", (wanted.scheme.name.clone(), wanted.scheme.digest));
        if let Some((fee, _, _)) = &wanted.fee {
            roles.insert("fee", (fee.name.clone(), fee.digest));
        }
        if waited > 0 {
            return Ok(format!("{plugin} takes over now and divides the {waited} incomes that wait"));
        }
        Ok(format!("{plugin} takes over after the next block; what is owed stays owed"))
    }

    /// Records what an operator does in the journal's hash chain, before it takes effect.
    ///
    /// # Errors
    /// When it could not be recorded: then it is not done.
    pub(crate) fn record_admin(&self, who: &str, what: &str, args: &[&str]) -> Result<(), String> {
        let record = millpond_journal::Admin {
            who: who.to_owned(),
            what: what.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            time: UnixMillis::now(),
        };
        self.core
            .journal
            .record(record)
            .wait()
            .map(drop)
            .map_err(|why| format!("it could not be recorded: {why}"))
    }

    /// Stops: shares on their way are answered, threads end, files are closed.
    pub async fn stop(&self) {
        let Some(Stopping { server, threads }) = self.stopping.lock().take() else { return };
        server.stop().await;
        if let Some(payments) = &self.payments {
            payments.end();
        }
        if let Some(maturity) = &self.maturity {
            maturity.end();
        }
        let chain = self.core.chain.write().take();
        let core = Arc::clone(&self.core);
        // Ending the chain joins its threads; what they still report goes through the money thread first.
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(chain) = chain {
                chain.finish();
            }
            let _ = core.tasks.send(Task::Stop);
            for thread in threads {
                let _ = thread.join();
            }
        });
        let _ = ended.await;
        // Tasks of shares that were on their way may outlive their connections; the files close with the last of them.
        for _ in 0..500 {
            if Arc::strong_count(&self.core) <= 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let left = Arc::strong_count(&self.core).saturating_sub(1);
        tracing::warn!(pool = %self.core.name, left, "something of the pool outlives its stop");
    }
}

struct Opened {
    core: Arc<Core>,
    unsubmitted: Vec<Solution>,
    past: Past,
}

/// The key that sessions are named under, made at the first start. Without it sessions cannot be resumed over a restart,
/// and nothing else is lost.
fn name_key(process: &Process, folder: &Path, pool: &str) -> NameKey {
    let path = folder.join("session-key");
    let kept =
        read_file(process.disk.as_ref(), &path).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    if let Some(key) = kept {
        return key.into();
    }
    let key = NameKey::random();
    if let Err(why) = replace_file(process.disk.as_ref(), &path, key.bytes()) {
        let text =
            format!("the key of the sessions' names was not kept, none is resumed over a restart: {why}");
        process.alarms.raise(Level::Warning, pool, "disk", text);
    }
    key
}

fn open(
    process: &Process,
    folder: &Path,
    name: millpond_types::PoolName,
    wanted: &crate::policy::Wanted,
    adapter: &crate::plugins::Component,
    shift: millpond_types::WorkShift,
    tasks: std::sync::mpsc::Sender<Task>,
) -> Result<Opened, PoolError> {
    let disk = &process.disk;
    disk.make_dir(folder)?;
    disk.make_dir(&folder.join("solutions"))?;
    let (journal, recovered) =
        Journal::open(Arc::clone(disk), &folder.join("journal"), Options::new(millpond_journal::FORMAT))?;
    if let Some(torn) = &recovered.opened.truncated {
        tracing::warn!(pool = %name, ?torn, "the journal's end was torn and is cut back to its last whole group");
    }
    let ledger = Arc::new(Ledger::open(Arc::clone(disk), &folder.join("ledger"))?);
    match BalanceIndex::open(&folder.join("index")) {
        Ok(index) => {
            if let Err(why) = ledger.attach_index(index) {
                process.alarms.raise(Level::Warning, name.as_str(), "index", why.to_string());
            }
        }
        Err(why) => process.alarms.raise(Level::Warning, name.as_str(), "index", why.to_string()),
    }
    let store = PluginStore::open(Arc::clone(disk), &folder.join("plugins"))?;
    store.keep(adapter)?;
    let loader = Arc::new(Loader::new(process.sandbox.clone(), store, Arc::clone(&process.sink)));
    let (journal, now) = (Arc::new(journal), UnixMillis::now());
    let books = Books::open(
        name.as_str(),
        Arc::clone(&journal),
        Arc::clone(&ledger),
        loader,
        process.alarms.clone(),
        wanted,
        now,
    )?;
    let core = Core::new(Parts {
        name,
        folder: folder.to_owned(),
        disk: Arc::clone(disk),
        alarms: process.alarms.clone(),
        journal,
        ledger,
        books: Arc::new(books),
        stats: Stats::new(shift, now),
        tasks,
    });
    // Job numbers never come again, and shares that count are known again as duplicates.
    core.jobs.resume_after(JobId(core.journal.next_job_id().0.saturating_sub(1)));
    let view = core.journal.view();
    if recovered.newest > ShareSeq(0)
        && let Some(newest) = view.share(recovered.newest)?
    {
        let coord = newest.coord.saturating_sub(2);
        let ids = view.share_ids_since(coord)?;
        core.seen.reload(ids.into_iter().map(|(_, id)| (newest.coord, id)));
    }
    let key = name_key(process, folder, core.name.as_str());
    let past = Past { key, until: core.journal.next_extranonce_slot() };
    Ok(Opened { core, unsubmitted: recovered.unsubmitted, past })
}

/// Blocks and incomes of before the start, as the chain's trust rules need them.
fn known(
    core: &Arc<Core>,
    adapter: &dyn contract::ChainAdapter,
) -> Result<(Vec<KnownBlock>, Vec<KnownIncome>), PoolError> {
    let view = core.journal.view();
    let open = core.journal.open_blocks();
    let mut rewards: HashMap<JobId, Amount> = HashMap::new();
    for block in &open {
        if let Some(seq) = block.share
            && let Some(share) = view.share(seq)?
        {
            rewards.insert(block.job, share.reward);
        }
    }
    // A block whose fate is final is not followed any more, but a stop between that and its income's maturity leaves the
    // income waiting: such a block is looked at again.
    let followed: HashSet<&[u8]> = open.iter().map(|block| block.block.as_slice()).collect();
    let incomes = core.journal.open_incomes();
    let mut waited_for: HashSet<Vec<u8>> = HashSet::new();
    for income in &incomes {
        if let millpond_journal::IncomeAt::Block(id) = &income.at
            && !followed.contains(id.as_slice())
        {
            waited_for.insert(id.clone());
        }
    }
    let mut solutions = Vec::new();
    for block in &open {
        if let Some(Record::Solution(solution)) = view.record(block.position)? {
            solutions.push(solution);
        }
    }
    if !waited_for.is_empty() || open.iter().any(|block| !rewards.contains_key(&block.job)) {
        // Rare, so the whole journal may be read: blocks that earned no credit have their reward in their job's record
        // alone.
        for entry in view.records(1) {
            match entry?.record {
                Record::Job(job) => {
                    rewards.entry(job.id).or_insert(job.reward);
                }
                Record::Solution(solution) if waited_for.remove(&solution.block) => solutions.push(solution),
                _ => {}
            }
        }
    }
    let mut blocks = Vec::new();
    for solution in solutions {
        let private = solution.private.clone().unwrap_or_default();
        let again = contract::Solution {
            private: private.clone(),
            fields: solution.fields.clone(),
            results: solution.results.clone(),
            proof: None,
        };
        let reward = rewards.get(&solution.job).copied().unwrap_or_default();
        show(core, &solution, reward);
        // Assembling is pure: it names the block as the adapter knows it.
        match adapter.assemble(&again) {
            Ok(done) => {
                let name = done.value.block;
                core.names.lock().insert(name.clone(), solution.block.clone());
                core.change_shown(&solution.block, |view| view.block = hex::encode(&name));
                let (coord, since_ms) = (solution.coord, solution.time.0);
                let watched = contract::Watched { block: name, coord, since_ms, saved: private };
                blocks.push(KnownBlock { watched, reward, closed: false });
            }
            Err(why) => {
                let text = format!("a block of before the start cannot be followed: {why}");
                core.alarm(Level::Critical, "block", text);
            }
        }
    }
    let names: HashMap<Vec<u8>, Vec<u8>> =
        core.names.lock().iter().map(|(name, id)| (id.clone(), name.clone())).collect();
    let incomes = incomes.into_iter().filter_map(|income| {
        let at = match income.at {
            millpond_journal::IncomeAt::Block(id) => contract::IncomeAt::Block(names.get(&id)?.clone()),
            millpond_journal::IncomeAt::Coord(coord) => contract::IncomeAt::Coord(coord),
        };
        Some(KnownIncome { key: income.key, amount: income.amount, at, mature: false, lost: false })
    });
    Ok((blocks, incomes.collect()))
}

fn show(core: &Core, block: &Solution, reward: Amount) {
    let finder = core.journal.miner_by_id(block.miner).map(|miner| miner.address).unwrap_or_default();
    let worker = core.journal.worker_by_id(block.worker).map(|worker| worker.name).unwrap_or_default();
    let view = BlockView {
        block: hex::encode(&block.block),
        coord: block.coord,
        time: block.time,
        finder,
        worker,
        verdicts: Vec::new(),
        fate: "submitted".to_owned(),
        income: reward,
        mature: false,
    };
    core.show(block.block.clone(), view);
}

/// Blocks that no node has answered for: a crash came in between. Assembled by the version that made their job.
fn resubmit(
    process: &Process,
    core: &Arc<Core>,
    chain: &ChainHandle,
    running: &Arc<dyn contract::ChainAdapter>,
    settings: &millpond_contracts::Settings,
    solutions: Vec<Solution>,
) {
    for solution in solutions {
        let text = format!("a block at {} was found before the stop and is submitted now", solution.coord);
        core.alarm(Level::Warning, "block", text);
        let made_by = made_by(core, solution.job);
        let loaded = match made_by {
            Some((digest, _)) if digest != running.digest() => {
                PluginStore::open(Arc::clone(&process.disk), &core.folder.join("plugins"))
                    .and_then(|store| store.get(digest))
                    .map_err(|why| why.to_string())
                    .and_then(|kept| {
                        load_adapter(&process.sandbox, &kept.name, &kept.bytes, settings, &process.sink)
                            .map_err(|why| why.to_string())
                    })
            }
            _ => Ok(Arc::clone(running)),
        };
        let version = loaded.and_then(|adapter| {
            let trust = chain.version().ok_or("the chain has no version")?;
            let grants: Vec<_> = adapter
                .description()
                .transports
                .iter()
                .map(|t| millpond_chain::Grant { transport: t.name.clone(), methods: t.methods.clone() })
                .collect();
            Version::prepare(adapter, 0, &trust.algorithms, &grants).map_err(|why| why.to_string())
        });
        let version = match version {
            Ok(version) => version,
            Err(why) => {
                core.alarm(Level::Critical, "block", format!("it cannot be assembled: {why}"));
                continue;
            }
        };
        let body =
            read_file(core.disk.as_ref(), &core.body_path(&solution.block)).ok().map(bytes::Bytes::from);
        let tag = core.tag(OnItsWay { id: solution.block.clone(), job: None });
        let solved = Solved {
            tag,
            version,
            coord: solution.coord,
            reward: made_by.map_or(Amount::ZERO, |(_, reward)| reward),
            body,
            solution: contract::Solution {
                private: solution.private.unwrap_or_default(),
                fields: solution.fields,
                results: solution.results,
                proof: None,
            },
        };
        if let Err(why) = chain.solve_with(solved) {
            core.alarm(Level::Critical, "block", why);
        }
    }
}

fn made_by(core: &Core, job: JobId) -> Option<(Digest, Amount)> {
    for entry in core.journal.view().records(1) {
        if let Record::Job(found) = entry.ok()?.record
            && found.id == job
        {
            return Some((found.adapter, found.reward));
        }
    }
    None
}

fn stratum_chain(version: &Version) -> Option<StratumChain> {
    let description = version.description();
    let masks = description
        .extra
        .iter()
        .filter_map(|(name, bits)| Some((name.strip_prefix(ROLL)?.to_owned(), bits.clone())));
    Some(StratumChain {
        dialects: DialectSet::from_documents(&version.dialects)?,
        diff1: version.diff1,
        extranonce: usize::from(description.extranonce),
        masks: masks.collect(),
    })
}
