//! A running pool: opened from its folder, started, looked at, swapped, stopped.

use crate::backend::PoolBackend;
use crate::books::Books;
use crate::core::{Core, Parts, Task};
use crate::edges::Edges;
use crate::handover::{self, HandedOver};
use crate::leading::{Leading, Roles, stratum_chain};
use crate::maturity::NodesCount;
use crate::notice::Announcement;
use crate::payments::Payments;
use crate::plan::Planner;
use crate::plugins::{Component, PluginStore};
use crate::policy::{Loader, Wanted, WantedFee};
use crate::promotion;
use crate::proofs::{Opening, Proofs};
use crate::setup::{Prepared, SetupError};
use crate::shadow::{Order, Shadow};
use crate::sink::PoolSink;
use crate::stats::Stats;
use crate::unfinished::{self, Makers};
use crate::{dialects, history, money, setup};
use millpond_admin::Role;
use millpond_alerts::{Alarms, Level};
use millpond_algorithms::Algorithms;
use millpond_chain::{ChainHandle, Grant, NodesPort, Setup};
use millpond_config::{OneOrMore, Pool as Section};
use millpond_contracts::chain::ChainAdapter;
use millpond_disk::{Disk, DiskError, read_file, replace_file};
use millpond_journal::{Journal, JournalError, Options, Solution};
use millpond_ledger::{AccountIndex, Ledger, LedgerError};
use millpond_node::Nodes;
use millpond_runtime::{LogSink, Sandbox};
use millpond_stratum::{Carried, NameKey, Past, Server, ServerHandle, StratumConfig};
use millpond_types::{JobId, ShareSeq, UnixMillis};
use millpond_validator::Validator;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A new adapter version has this long to publish its first valid job.
const SWAP_TIME: Duration = Duration::from_secs(30);

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
    /// The native algorithms, with one memory of prepared keys for all pools.
    pub algorithms: Algorithms,
    /// Tells people.
    pub alarms: Alarms,
    /// The longest that a share waits to be written together with others.
    pub commit_interval: std::time::Duration,
    /// Where a crash test stops the world; nowhere in production.
    pub edges: Edges,
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
    /// The sockets. The line is that of the section that says how they are to be.
    #[error("line {line}: pool.stratum: {source}")]
    Stratum {
        /// Where the section begins.
        line: usize,
        /// The server's words.
        source: Box<millpond_stratum::StartError>,
    },
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
    pub(crate) sections: Arc<parking_lot::RwLock<Sections>>,
    pub(crate) beside: PathBuf,
    pub(crate) process: Process,
    pub(crate) server: ServerHandle,
    pub(crate) payments: Option<Arc<Payments>>,
    pub(crate) maturity: Option<Arc<NodesCount>>,
    pub(crate) network: String,
    pub(crate) trusted: Vec<String>,
    pub(crate) roles: Roles,
    pub(crate) adapter_settings: parking_lot::Mutex<millpond_contracts::Settings>,
    addresses: Vec<SocketAddr>,
    stopping: parking_lot::Mutex<Option<Stopping>>,
}

/// A pool's section as the file has it, and as it is in force: orders of the operator lie between.
#[derive(Clone, Debug)]
pub(crate) struct Sections {
    pub(crate) configured: Section,
    pub(crate) in_force: Section,
}

struct Stopping {
    server: Server,
    /// What ends the threads that wait for time.
    ends: Option<Vec<std::sync::mpsc::Sender<()>>>,
    /// They wait for nodes and wallets.
    threads: Vec<JoinHandle<()>>,
    money: JoinHandle<()>,
    /// The thread that pays was started.
    paying: bool,
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
        let pool = Self::take_over(process, prepared, beside, stratum, HandedOver::default()).await?;
        pool.open();
        Ok(pool)
    }

    /// As [`Pool::start`], in the place of a pool that has handed over. Miners are heard from [`Pool::open`] on.
    ///
    /// # Errors
    /// As [`Pool::start`]; nothing was heard or said on what was handed over.
    pub async fn take_over(
        process: &Process,
        prepared: Prepared,
        beside: &Path,
        stratum: StratumConfig,
        from: HandedOver,
    ) -> Result<Self, PoolError> {
        let section = prepared.section.clone();
        let folder = process.data.join(section.name.as_str());
        let opening = (process.clone(), folder.clone());
        let wanted = (prepared.wanted.clone(), prepared.shadows.clone());
        let name = section.name.clone();
        let description = prepared.adapter.description().clone();
        let told = millpond_chain::tells_subsidy(&description);
        let component = (prepared.adapter_component.clone(), prepared.grants.clone());
        let (tasks, queue) = std::sync::mpsc::channel();
        let shift = millpond_types::WorkShift(description.work_shift);
        let since = from.lowest_coord();
        let planner = Planner::of(&prepared).map_err(|why| SetupError(vec![why]))?;
        let network = description.network.clone();
        // Disk and plugins block: not on the runtime's threads.
        let opened = tokio::task::spawn_blocking(move || {
            let (process, folder) = opening;
            let wanted = (&wanted.0, wanted.1.as_slice());
            let chain = OfChain { shift, since, network: &network, told, planner };
            open(&process, &folder, name, wanted, (&component.0, &component.1), chain, tasks)
        });
        let Opened { core, unsubmitted, past } = opened.await.map_err(std::io::Error::other)??;
        let mut makers = Makers::new(process, &core, &prepared);

        let mut trust = prepared.trust();
        let (nodes, events) =
            Nodes::start(prepared.transports.clone(), prepared.nodes, millpond_node::Options::default())?;
        let names = prepared.transports.iter().map(|transport| transport.name.clone()).collect();
        let port = Arc::new(NodesPort::new(nodes, names, tokio::runtime::Handle::current()));
        let handle = tokio::runtime::Handle::current();
        let maturity =
            NodesCount::new(&section, &description.settlement, section.chain.confirmations, &handle)?;
        trust.maturity = maturity.clone().map(|nodes| nodes as _);
        let final_after = description.final_after.max(section.chain.confirmations);
        let (blocks, incomes) = unfinished::known(&core, &mut makers, final_after)?;
        // Before the chain has any of its own: theirs follow these.
        let (taking, jobs) = (Arc::clone(&core), from.jobs);
        let taken = tokio::task::spawn_blocking(move || {
            let versions = handover::take_over(&taking, &mut makers, &jobs);
            (makers, versions)
        });
        let (mut makers, versions) = taken.await.map_err(std::io::Error::other)?;
        let job_expiry = u64::try_from(section.chain.job_expiry.as_millis()).unwrap_or(u64::MAX).max(1);
        let saved = read_file(core.disk.as_ref(), &folder.join("adapter-state")).unwrap_or_default();
        let chain_setup = Setup {
            adapter: Arc::clone(&prepared.adapter),
            algorithms: process.algorithms.clone(),
            grants: prepared.grants.clone(),
            trust,
            port: Arc::clone(&port) as _,
            sink: Arc::new(PoolSink(Arc::downgrade(&core), job_expiry)),
            recorder: None,
            swap_time: SWAP_TIME,
            renew_after: u64::from(section.chain.renew_after),
            saved,
            outputs: (1, prepared.outputs),
            blocks,
            incomes,
        };
        let chain = tokio::task::spawn_blocking(move || ChainHandle::start(chain_setup));
        let chain = Arc::new(chain.await.map_err(std::io::Error::other)??);
        chain.remember(versions);
        *core.chain.write() = Some(Arc::clone(&chain));
        port.forward(events, Arc::downgrade(&chain));
        let (shown_in, past_blocks) = (Arc::downgrade(&core), core.journal.view());
        let adapter = Arc::clone(&prepared.adapter);
        tokio::task::spawn_blocking(move || {
            if let Err(why) = history::load(&shown_in, &past_blocks, adapter.as_ref()) {
                tracing::warn!(%why, "the blocks of before the start are not shown");
            }
        });
        tokio::spawn(crate::expiry::watch(Arc::downgrade(&core)));
        unfinished::resubmit(&core, &chain, &mut makers, unsubmitted, final_after);

        let version = chain.version().ok_or(PoolError::NoDialect)?;
        let served = stratum_chain(&version, &prepared.dialects).ok_or(PoolError::NoDialect)?;
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
        let line = section.stratum.span.line;
        let server = Server::take_over(stratum, served, parts, from.server).await;
        let server = server.map_err(|source| PoolError::Stratum { line, source: Box::new(source) })?;
        let payments = Payments::new(
            &section,
            &core,
            prepared.fee_addresses,
            &description,
            &tokio::runtime::Handle::current(),
        )?
        .map(|payments| Arc::new(payments.held(prepared.payments_held)));

        let of_money = Arc::clone(&core);
        let named = std::thread::Builder::new().name(format!("money-{}", core.name));
        let money = named.spawn(move || money::run(&of_money, &queue))?;
        let sections =
            Arc::new(parking_lot::RwLock::new(Sections { configured: section.clone(), in_force: section }));
        let (ends, threads) = waiting(&core, maturity.as_ref(), &sections)?;
        let mut roles = BTreeMap::new();
        let component = &prepared.adapter_component;
        roles.insert("adapter", (component.name.clone(), component.digest));
        if let Some(in_force) = core.journal.newest_policy() {
            promotion::show(&in_force, &mut roles);
        }
        let roles: Roles = Arc::new(parking_lot::Mutex::new(roles));
        let names = BTreeMap::from([(component.digest, component.name.clone())]);
        let leading = core.shown_chain.get_or_init(|| Leading {
            server: server.handle(),
            roles: Arc::clone(&roles),
            dialects: prepared.dialects,
            loader: Arc::clone(core.books.loader()),
            names: parking_lot::Mutex::new(names),
        });
        // Another version may lead since the sockets were opened.
        if let Some(version) = chain.version() {
            leading.leads(&version);
        }
        Ok(Self {
            addresses: server.addresses().to_vec(),
            server: server.handle(),
            core,
            sections,
            beside: beside.to_owned(),
            process: process.clone(),
            payments,
            maturity,
            network: description.network,
            trusted: prepared.trusted,
            roles,
            adapter_settings: parking_lot::Mutex::new(prepared.adapter_settings),
            stopping: parking_lot::Mutex::new(Some(Stopping {
                server,
                ends: Some(ends),
                threads,
                money,
                paying: false,
            })),
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
    /// scheme or fee policy after the next block. Miners see the reason while that is announced; an adapter's is recorded
    /// alone. Blocks.
    ///
    /// # Errors
    /// Why the running version stays.
    pub fn swap(&self, role: Role, plugin: &str, reason: &str, actor: &str) -> Result<String, String> {
        let (now, reason) = (UnixMillis::now(), promotion::in_words(reason)?);
        let role_name = crate::show::role_name(role);
        self.record_admin(actor, "plugin_swap", &[role_name, plugin, reason])?;
        let outcome = match role {
            Role::Adapter => self.swap_adapter(plugin),
            Role::Scheme | Role::Fee => {
                let how = Announcement { why: reason, ..Announcement::by(actor) };
                self.swap_policy(role, plugin, &how, now)
            }
        };
        if let Err(why) = &outcome {
            let text = format!("the swap of the {role_name} to {plugin} did not take place: {why}");
            self.core.alarm(Level::Warning, "swap", text);
        }
        outcome
    }

    fn swap_adapter(&self, plugin: &str) -> Result<String, String> {
        let process = &self.process;
        let section = self.section();
        let (component, adapter, settings) =
            setup::other_adapter(&section, plugin, &self.beside, &process.sandbox, &process.sink)
                .map_err(|why| why.to_string())?;
        let grants = setup::grants(&section.chain, adapter.as_ref(), &component);
        let said = self.lead(&component, adapter, &grants, settings)?;
        plugin.clone_into(&mut self.sections.write().in_force.chain.adapter);
        Ok(said)
    }

    /// Has an adapter that is loaded take over at its first valid job, with these grants. Blocks until it leads, or has
    /// not. `settings` are what it was loaded with.
    ///
    /// # Errors
    /// Why the running version stays.
    pub fn lead(
        &self,
        component: &Component,
        adapter: Arc<dyn ChainAdapter>,
        grants: &[Grant],
        settings: millpond_contracts::Settings,
    ) -> Result<String, String> {
        let chain = self.core.chain().ok_or("the pool is ending")?;
        if let Some(leading) = self.core.shown_chain.get() {
            let misfits = dialects::misfits(&leading.dialects, &adapter, grants);
            if !misfits.is_empty() {
                return Err(format!("the dialects of your own do not fit it: {}", misfits.join("; ")));
            }
            leading.names.lock().insert(component.digest, component.name.clone());
        }
        // Kept with what it is granted before its first job: blocks of its jobs are submitted by it after a restart too.
        let store = PluginStore::open(Arc::clone(&self.process.disk), &self.core.folder.join("plugins"));
        store.and_then(|store| store.keep_adapter(component, grants)).map_err(|why| why.to_string())?;
        let answer = chain.swap(adapter, grants).map_err(|why| why.to_string())?;
        let patience = SWAP_TIME.saturating_add(Duration::from_secs(10));
        answer.recv_timeout(patience).map_err(|_| "the new version gave no answer".to_owned())??;
        *self.adapter_settings.lock() = settings;
        Ok(format!("adapter {} leads ({})", component.name, component.digest.short()))
    }

    /// The chain's unit of work.
    pub(crate) fn work_shift(&self) -> Result<u8, String> {
        let version = self.core.chain().and_then(|chain| chain.version()).ok_or("the pool is ending")?;
        Ok(version.description().work_shift)
    }

    fn swap_policy(
        &self,
        role: Role,
        plugin: &str,
        how: &Announcement<'_>,
        now: UnixMillis,
    ) -> Result<String, String> {
        // An order changes a part of what takes over next or, when nothing is announced, of what is in force. The other part stays,
        // by the component that is recorded, whatever the file says of it.
        let waited = self.core.books.pending();
        let stays = waited.clone().or_else(|| self.core.journal.newest_policy());
        let stays = stays.ok_or("the pool has no policy yet")?;
        let mut section = self.section_of(&stays)?;
        let configured = self.sections.read().configured.clone();
        if section.fee.is_empty() && role == Role::Fee {
            section.fee.clone_from(&configured.fee);
        }
        match role {
            Role::Fee => match section.fee.0.as_mut_slice() {
                [] => return Err("the pool has no [pool.fee]: who would receive it?".to_owned()),
                [fee] => {
                    if let [known] = &*configured.fee
                        && known.policy == plugin
                    {
                        fee.settings.clone_from(&known.settings);
                    }
                    plugin.clone_into(&mut fee.policy);
                }
                _ => {
                    let why = "the pool has several fee policies: change [[pool.fee]] in the file, then `millpond reload`";
                    return Err(why.to_owned());
                }
            },
            _ => {
                // Settings of another plugin are of no use to this one: it starts with its own defaults.
                if plugin == configured.payout.scheme {
                    section.payout.settings.clone_from(&configured.payout.settings);
                } else if plugin != section.payout.scheme {
                    section.payout.settings.clear();
                }
                plugin.clone_into(&mut section.payout.scheme);
            }
        }
        let (ordered, work_shift) = (setup::ordered(&section), self.work_shift()?);
        let Process { sandbox, sink, .. } = &self.process;
        let wrong = |errors: Vec<String>| errors.join("; ");
        let store = self.core.books.loader().store();
        let mut wanted = Wanted::again(&stays, store, &section.payout).map_err(|why| why.to_string())?;
        let fractions = |wanted: &Wanted| {
            setup::credits_shares(&wanted.scheme, &wanted.scheme_settings, sandbox, sink)
                .map_err(|why| why.to_string())
        };
        if role == Role::Fee {
            let of_scheme = (work_shift, fractions(&wanted)?);
            wanted.fees =
                setup::wanted_fees(&ordered, of_scheme, &self.beside, sandbox, sink).map_err(wrong)?;
        } else {
            let alone = Section { fee: OneOrMore(Vec::new()), ..ordered };
            let scheme = setup::wanted(&alone, work_shift, &self.beside, sandbox, sink).map_err(wrong)?;
            let fees = std::mem::take(&mut wanted.fees);
            let fractions = fractions(&scheme)?;
            let fees = fees.into_iter().map(|fee| WantedFee { fractions, ..fee }).collect();
            wanted = Wanted { fees, ..scheme };
        }
        let at_once = self.core.books.announce(&wanted, how, now).map_err(|why| why.to_string())?;
        self.core.suspend_untold();
        self.sections.write().in_force = section;
        Ok(self.takes_over((&wanted, at_once), waited.as_ref(), now))
    }

    /// The pool's section as it is in force: the file's, and what operators ordered since.
    #[must_use]
    pub fn section(&self) -> Section {
        self.sections.read().in_force.clone()
    }

    /// Stops: shares on their way are answered, threads end, files are closed.
    pub async fn stop(&self) {
        let Some(Stopping { server, ends, mut threads, money, .. }) = self.stopping.lock().take() else {
            return;
        };
        drop(ends);
        server.stop().await;
        self.end_waiting();
        threads.push(money);
        self.close(threads).await;
    }

    /// Hears miners, and pays, from now on.
    pub fn open(&self) {
        let mut stopping = self.stopping.lock();
        let Some(stopping) = &mut *stopping else { return };
        stopping.server.open();
        let Some(payments) = self.payments.clone().filter(|_| !std::mem::replace(&mut stopping.paying, true))
        else {
            return;
        };
        let core = Arc::clone(&self.core);
        let pay = std::thread::Builder::new().name(format!("pay-{}", core.name));
        match pay.spawn(move || payments.keep_paying(&core)) {
            Ok(thread) => stopping.threads.push(thread),
            Err(why) => {
                let text = format!("nothing is paid, since there is no thread for it: {why}");
                self.core.alarm(Level::Critical, "wallet", text);
            }
        }
    }

    /// What became of the sessions that were handed over to this pool.
    #[must_use]
    pub fn carried(&self) -> Carried {
        self.stopping.lock().as_ref().map(|stopping| stopping.server.carried().clone()).unwrap_or_default()
    }

    /// Before [`Pool::hand_over`]: payments that are under way come to their end, and none is begun. Miners are served.
    pub async fn settle(&self) {
        let threads = match &mut *self.stopping.lock() {
            Some(stopping) => {
                stopping.ends = None;
                std::mem::take(&mut stopping.threads)
            }
            None => return,
        };
        self.end_waiting();
        join(threads).await;
    }

    /// Takes up again what [`Pool::settle`] ended: nothing is handed over after all.
    pub fn go_on(&self) {
        if let Some(maturity) = &self.maturity {
            maturity.begin();
        }
        if let Some(payments) = &self.payments {
            payments.begin();
        }
        if let Some(stopping) = &mut *self.stopping.lock() {
            match waiting(&self.core, self.maturity.as_ref(), &self.sections) {
                Ok((ends, threads)) => {
                    (stopping.ends, stopping.threads) = (Some(ends), threads);
                }
                Err(why) => {
                    let text =
                        format!("nothing matures and nothing old is dropped, for want of threads: {why}");
                    self.core.alarm(Level::Critical, "threads", text);
                }
            }
            stopping.paying = false;
        }
        self.open();
    }

    /// Whether miners would get work.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.core.jobs.current().is_some()
    }

    /// Stops as [`Pool::stop`] does, and disconnects nobody: what miners are connected by is given for another process, or
    /// this one, to go on with. `None` when it was stopped already.
    pub async fn hand_over(&self) -> Option<HandedOver> {
        let Stopping { server, ends, threads, money, .. } = self.stopping.lock().take()?;
        drop(ends);
        self.end_waiting();
        join(threads).await;
        let (had_work, silent_since) = (self.has_work(), Some(Instant::now()));
        let server = server.hand_over().await;
        let jobs = handover::jobs(&self.core);
        self.close(vec![money]).await;
        Some(HandedOver { server, jobs, had_work, silent_since, files: Arc::downgrade(&self.core.files) })
    }

    fn end_waiting(&self) {
        if let Some(payments) = &self.payments {
            payments.end();
        }
        if let Some(maturity) = &self.maturity {
            maturity.end();
        }
    }

    /// Ends the chain and the threads, and waits until nothing holds the pool's files but this.
    async fn close(&self, threads: Vec<JoinHandle<()>>) {
        let chain = self.core.chain.write().take();
        let core = Arc::clone(&self.core);
        // Ending the chain joins its threads; what they still report goes through the money thread first.
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(chain) = chain {
                chain.finish();
            }
            let _ = core.tasks.send(Task::Stop);
        });
        let _ = ended.await;
        join(threads).await;
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

/// The threads that wait for nodes and for time: those of maturity, of retention, of statements, of plans and of shadows,
/// and what ends all but the first.
type Waiting = (Vec<std::sync::mpsc::Sender<()>>, Vec<JoinHandle<()>>);

fn waiting(
    core: &Arc<Core>,
    maturity: Option<&Arc<NodesCount>>,
    sections: &Arc<parking_lot::RwLock<Sections>>,
) -> std::io::Result<Waiting> {
    let named = |what: &str| std::thread::Builder::new().name(format!("{what}-{}", core.name));
    let (retention, stop) = std::sync::mpsc::channel();
    let (keeper, order) = (Arc::clone(core), Arc::clone(sections));
    let order = move || crate::retention::order(&order.read().in_force);
    let mut threads = vec![named("keep").spawn(move || crate::retention::run(&keeper, order, &stop))?];
    if let Some(maturity) = maturity {
        let (maturity, core) = (Arc::clone(maturity), Arc::clone(core));
        threads.push(named("maturity").spawn(move || maturity.keep_asking(&core))?);
    }
    let mut ends = vec![retention];
    if core.proofs.is_some() {
        let (end, stop) = std::sync::mpsc::channel();
        let core = Arc::clone(core);
        threads.push(named("proofs").spawn(move || crate::proofs::run(&core, &stop))?);
        ends.push(end);
    }
    if core.planner.is_some() {
        let (end, stop) = std::sync::mpsc::channel();
        let core = Arc::clone(core);
        threads.push(named("plan").spawn(move || crate::plan::run(&core, &stop))?);
        ends.push(end);
    }
    if !core.shadows.is_empty() {
        let (end, stop) = std::sync::mpsc::channel();
        let core = Arc::clone(core);
        threads.push(named("shadow").spawn(move || crate::shadow::run(&core, &stop))?);
        ends.push(end);
    }
    Ok((ends, threads))
}

async fn join(threads: Vec<JoinHandle<()>>) {
    let all = move || threads.into_iter().for_each(|thread| drop(thread.join()));
    let _ = tokio::task::spawn_blocking(all).await;
}

struct Opened {
    core: Arc<Core>,
    unsubmitted: Vec<Solution>,
    past: Past,
}

/// The pool's own key, made at the first start: sessions are named under it, and texts to sign carry a code of it. When it
/// is lost sessions cannot be resumed over that restart and texts have to be asked for again, nothing else.
fn pool_key(process: &Process, folder: &Path, pool: &str) -> NameKey {
    let path = folder.join("pool-key");
    let kept =
        read_file(process.disk.as_ref(), &path).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    if let Some(key) = kept {
        return key.into();
    }
    let key = NameKey::random();
    if let Err(why) = replace_file(process.disk.as_ref(), &path, key.bytes()) {
        let text =
            format!("the pool's own key was not kept, no session is resumed over the next restart: {why}");
        process.alarms.raise(Level::Warning, pool, "disk", text);
    }
    key
}

/// What a pool's folder is opened with of its chain and its past.
struct OfChain<'a> {
    shift: millpond_types::WorkShift,
    /// The lowest coordinate of jobs that were handed over.
    since: Option<u64>,
    network: &'a str,
    /// Jobs tell their subsidy.
    told: bool,
    /// Who plans whom the coinbase pays.
    planner: Option<Planner>,
}

fn open(
    process: &Process,
    folder: &Path,
    name: millpond_types::PoolName,
    (wanted, shadows): (&crate::policy::Wanted, &[Order]),
    (adapter, grants): (&Component, &[Grant]),
    chain: OfChain<'_>,
    tasks: std::sync::mpsc::Sender<Task>,
) -> Result<Opened, PoolError> {
    let disk = &process.disk;
    disk.make_dir(folder)?;
    disk.make_dir(&folder.join("solutions"))?;
    let options = Options { max_wait: process.commit_interval, ..Options::new(millpond_journal::FORMAT) };
    let (journal, recovered) = Journal::open(Arc::clone(disk), &folder.join("journal"), options)?;
    if let Some(torn) = &recovered.opened.truncated {
        tracing::warn!(pool = %name, ?torn, "the journal's end was torn and is cut back to its last whole group");
    }
    let ledger = Arc::new(Ledger::open(Arc::clone(disk), &folder.join("ledger"))?);
    match AccountIndex::open(&folder.join("index")) {
        Ok(index) => {
            if let Err(why) = ledger.attach_index(index) {
                process.alarms.raise(Level::Warning, name.as_str(), "index", why.to_string());
            }
        }
        Err(why) => process.alarms.raise(Level::Warning, name.as_str(), "index", why.to_string()),
    }
    let store = PluginStore::open(Arc::clone(disk), &folder.join("plugins"))?;
    store.keep_adapter(adapter, grants)?;
    let loader = Arc::new(
        Loader::new(process.sandbox.clone(), store, Arc::clone(&process.sink)).with_subsidy(chain.told),
    );
    let (journal, now) = (Arc::new(journal), UnixMillis::now());
    // Jobs that were handed over pay as they did.
    let OfChain { shift, since, network, planner, .. } = chain;
    if since.is_some() && journal.newest_policy().is_some_and(|policy| !wanted.pays_as(&policy)) {
        return Err(crate::books::BooksError::Coinbase.into());
    }
    let shadows = shadows.iter().map(|order| Shadow::new(&loader, order));
    let shadows = shadows.collect::<Result<Vec<_>, _>>().map_err(crate::books::BooksError::from)?;
    let books = Books::open(
        name.as_str(),
        Arc::clone(&journal),
        Arc::clone(&ledger),
        loader,
        process.alarms.clone(),
        wanted,
        now,
    )?
    .with_edges(process.edges.clone());
    let opening = Opening { disk, pool: folder, name: &name, network, shift };
    let proofs = Proofs::open(&opening, &ledger).map_err(|why| {
        let text = format!("the pool gives out no statements: {why}");
        process.alarms.raise(Level::Critical, name.as_str(), "statements", text);
    });
    let key = pool_key(process, folder, name.as_str());
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
        key: key.clone(),
        shadows,
        proofs: proofs.ok(),
        planner,
        edges: process.edges.clone(),
    });
    unfinished::forget_templates(core.as_ref(), &recovered.unsubmitted);
    // Job numbers never come again, and shares that count are known again as duplicates.
    core.jobs.resume_after(JobId(core.journal.next_job_id().0.saturating_sub(1)));
    let view = core.journal.view();
    if recovered.newest > ShareSeq(0)
        && let Some(newest) = view.share(recovered.newest)?
    {
        let oldest = newest.coord.saturating_sub(2);
        core.seen.reload(view.share_ids_since(since.map_or(oldest, |since| since.min(oldest)))?);
    }
    let past = Past { key, until: core.journal.next_extranonce_slot() };
    Ok(Opened { core, unsubmitted: recovered.unsubmitted, past })
}
