//! Starting and stopping.

use crate::handler::Commands;
use crate::reload::{Reload, Reloaded};
use crate::source::Pools;
use crate::upgrade::{HandedOver, Order};
use millpond_admin::{AdminSocket, Callers, Desk, SocketError, Takes, Tokens, TokensError};
use millpond_alerts::{Alarms, Hook, Level};
use millpond_algorithms::{Algorithms, Processor};
use millpond_backup::{CARRYING, Plan, Restored};
use millpond_config::{Alert, Config, Http};
use millpond_disk::{Disk, DiskError, DiskLock, RealDisk};
use millpond_http::{
    AdminDoor, GuardOptions, HttpError, HttpOptions, Network, NetworkError, Server, Source, Times,
};
use millpond_pool::setup::{Prepared, SetupError, prepare};
use millpond_pool::{Edges, Pool, PoolError, Process, UnknownEdge, sockets};
use millpond_runtime::{Compiler, LoadError, LogSink, Sandbox, TracingSink};
use millpond_stratum::{Carried, StartError, StratumConfig, TlsConfig};
use millpond_validator::{Limits, Validator};
use parking_lot::Mutex;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// The same alarm goes to a hook again after this long.
const REPEAT_MS: u64 = 600_000;

/// What the alarm about a restore is about.
pub(crate) const RESTORED: &str = "restored";

/// Files that were closed are closed within this time, or something hangs.
const CLOSING: Duration = Duration::from_secs(5);
/// Closed files are looked for this often.
const CLOSED_LOOK: Duration = Duration::from_millis(2);

/// The disk's forecast is looked at this often.
const DISK_LOOK: Duration = Duration::from_secs(300);

/// The process did not start; nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody else has the data folder.
    #[error("{0} is in use by another millpond: {1}")]
    InUse(PathBuf, DiskError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A data folder whose restore was interrupted.
    #[error(transparent)]
    Backup(#[from] millpond_backup::BackupError),
    /// The engines.
    #[error(transparent)]
    Sandbox(#[from] LoadError),
    /// The validator's threads.
    #[error("no threads for proofs of work: {0}")]
    Threads(String),
    /// An alert hook.
    #[error("line {0}: alert.webhook: {1}")]
    Hook(usize, String),
    /// A proxy before the pages.
    #[error("line {0}: http.forwarded_from: {1}")]
    Proxy(usize, String),
    /// A pool's configuration.
    #[error("pool {0}:\n{1}")]
    Setup(String, SetupError),
    /// A pool.
    #[error("pool {0}: {1}")]
    Pool(String, Box<PoolError>),
    /// HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The admin socket.
    #[error(transparent)]
    Admin(#[from] SocketError),
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// What has to stand in the hash chains cannot be written there.
    #[error("the tokens there are: {0}")]
    Unrecorded(String),
    /// A crash drill at no edge.
    #[error(transparent)]
    Drill(#[from] UnknownEdge),
}

/// A process that runs. Stop it with [`Running::stop`].
pub struct Running {
    pub(crate) pools: Arc<Pools>,
    pub(crate) reload: Arc<Reload>,
    forecast: tokio::task::JoinHandle<()>,
    http: Option<Server>,
    admin: AdminSocket,
    pub(crate) desk: Arc<Desk>,
    carried: Carried,
    orders: mpsc::Receiver<Order>,
    pub(crate) file: PathBuf,
    pub(crate) compiler: Compiler,
    lock: DiskLock,
}

/// A configuration whose plugins are loaded, and which has fit so far. Nothing of its data folder is open but the cache of
/// compiled code, so that another process may still be running on it.
pub struct Ready {
    config: Config,
    file: PathBuf,
    compiler: Compiler,
    process: Process,
    pools: Vec<(String, Prepared, StratumConfig)>,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("file", &self.file).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("pools", &self.pools.all).finish_non_exhaustive()
    }
}

impl Running {
    /// Starts everything that a configuration names. `file` is where it was read from: components by path are looked
    /// for beside it, and a reload reads it again.
    ///
    /// # Errors
    /// When anything of it does not fit or cannot be had; what was started before is stopped again.
    pub async fn start(config: Config, file: &Path, compiler: Compiler) -> Result<Self, RunError> {
        let data = config.host.data.clone();
        RealDisk.make_dir(&data)?;
        // Before anything else: who starts a second process hears of the first.
        let lock = lock(&data)?;
        millpond_backup::check_data(&data)?;
        let ready = Ready::prepare(config, file, compiler).await?;
        let running = ready.begin(lock, HandedOver::default()).await?;
        running.open();
        Ok(running)
    }
}

impl Ready {
    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.process.data
    }

    /// Loads everything that a configuration names and looks whether it fits.
    ///
    /// # Errors
    /// When anything of it does not.
    pub async fn prepare(config: Config, file: &Path, compiler: Compiler) -> Result<Self, RunError> {
        let data = config.host.data.clone();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        disk.make_dir(&data)?;
        let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
        let threads = usize::from(config.host.validator_threads);
        let validator = Validator::new(Limits { threads, ..Limits::default() })
            .map_err(|why| RunError::Threads(why.to_string()))?;
        let alarms = Alarms::start(hooks(&config.alert)?, REPEAT_MS);
        let sandbox = Sandbox::new(Some(&data.join("cache")), compiler.clone())?;
        let edges = Edges::from_environment()?;
        let contexts = usize::from(config.host.context_memory) << 20;
        let process = Process {
            data: data.clone(),
            disk,
            sandbox,
            sink,
            validator: Arc::new(validator),
            algorithms: Algorithms::native_within(Processor::allowed(), contexts),
            alarms,
            commit_interval: config.host.commit_interval,
            edges,
        };
        let beside = file.parent().unwrap_or(Path::new(""));
        let pools = prepare_pools(&config, &process, beside).await?;
        Ok(Self { file: file.to_owned(), compiler, config, process, pools })
    }

    /// Opens the data and starts everything, in the place of a process that has handed over. Miners are heard from
    /// [`Running::open`] on.
    ///
    /// # Errors
    /// When anything cannot be had; what was started before is stopped again, and nothing was said on a socket that was
    /// handed over.
    pub async fn begin(self, lock: DiskLock, mut from: HandedOver) -> Result<Running, RunError> {
        let Self { config, file, compiler, process, pools } = self;
        let data = process.data.clone();
        let restored = millpond_backup::check_data(&data)?;
        if let Some(note) = &restored {
            let text = format!(
                "this data was restored from the backup {}: nothing is paid until you have compared each ledger with its \
                 wallet's history and said `millpond payments --pool NAME resume`",
                note.from.display()
            );
            process.alarms.raise(Level::Critical, "", RESTORED, text);
        }
        let beside = file.parent().unwrap_or(Path::new(""));
        let fresh = |name: &str| !data.join(name).join("ledger").exists();
        let fresh: Vec<_> =
            config.pool.iter().map(|pool| pool.name.to_string()).filter(|name| fresh(name)).collect();
        let all = start_pools(pools, &process, beside, restored.as_ref(), &mut from).await?;
        if let Err(why) = note_tokens(&process, &all, &fresh).await {
            stop_all(&all).await;
            return Err(why);
        }
        let pools =
            Arc::new(Pools { all, alarms: process.alarms.clone(), algorithms: process.algorithms.clone() });
        let reload = Arc::new(Reload::new(&file, &process, &pools, &config));
        let (order, orders) = mpsc::channel(1);
        match doors(&config, &process, &pools, &reload, order, from.http.take()).await {
            Ok(Doors { http, admin, desk }) => {
                let forecast = tokio::spawn(watch_disk(Arc::clone(&pools), Arc::clone(&reload)));
                let carried = carried(&pools, &from);
                Ok(Running {
                    pools,
                    reload,
                    forecast,
                    http,
                    admin,
                    desk,
                    carried,
                    orders,
                    file,
                    compiler,
                    lock,
                })
            }
            Err(why) => {
                reload.end();
                stop_all(&pools.all).await;
                Err(why)
            }
        }
    }
}

impl Running {
    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.reload.data()
    }

    /// Hears miners from now on.
    pub fn open(&self) {
        self.pools.all.iter().for_each(|pool| pool.open());
        self.reload.begin();
        self.desk.take_only(Takes::All);
    }

    /// Takes up again what [`Running::settle`] ended: nothing is handed over after all.
    pub(crate) fn go_on(&mut self) {
        self.pools.all.iter().for_each(|pool| pool.go_on());
        self.forecast = tokio::spawn(watch_disk(Arc::clone(&self.pools), Arc::clone(&self.reload)));
        self.open();
    }

    /// What became of the sessions that were handed over to this process.
    #[must_use]
    pub fn carried(&self) -> &Carried {
        &self.carried
    }

    /// The next order to give way to another process, for [`Running::upgrade`].
    pub async fn ordered(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            // Nobody can order any more.
            None => std::future::pending().await,
        }
    }

    /// Brings what nodes and wallets are waited for with to its end, while miners are served.
    pub(crate) async fn settle(&self) {
        self.forecast.abort();
        let reload = Arc::clone(&self.reload);
        // A backup that is being written is finished first.
        let _ = tokio::task::spawn_blocking(move || reload.end()).await;
        let mut settling = JoinSet::new();
        for pool in &self.pools.all {
            let pool = Arc::clone(pool);
            settling.spawn(async move { pool.settle().await });
        }
        while settling.join_next().await.is_some() {}
    }

    /// Ends as [`Running::stop`] does, but for the miners' connections, which are left open.
    pub(crate) async fn hand_over(self) -> Left {
        let Self { pools, reload, forecast, http, admin, desk, lock, .. } = self;
        desk.only(Takes::Nothing, CLOSING).await;
        forecast.abort();
        let _ = forecast.await;
        let mut over = HandedOver::default();
        let callers = admin.close();
        if let Some(http) = http {
            over.http = Some(http.stop_listening().await);
        }
        let mut leaving = JoinSet::new();
        for pool in &pools.all {
            let pool = Arc::clone(pool);
            leaving.spawn(async move { (pool.name().to_owned(), pool.hand_over().await) });
        }
        let mut whole = true;
        while let Some(one) = leaving.join_next().await {
            match one {
                Ok((name, Some(pool))) => drop(over.pools.insert(name, pool)),
                Ok((_, None)) | Err(_) => whole = false,
            }
        }
        drop(reload);
        drop(pools);
        let mut left = Left { over, callers, whole, lock: Some(lock) };
        left.closed(CLOSING).await;
        left
    }

    /// Reads the configuration again and follows it as far as a running process can. `actor` is who asked.
    ///
    /// # Errors
    /// Every error of the file, with its line, or why nothing could be done; then nothing has changed.
    pub async fn reload(&self, actor: &str) -> Result<Reloaded, String> {
        self.reload.run(actor, false).await
    }

    /// The pools, in the order of the configuration.
    #[must_use]
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools.all
    }

    /// Where the pages are.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|server| server.address)
    }

    /// The alarms.
    #[must_use]
    pub fn alarms(&self) -> Vec<millpond_alerts::Alarm> {
        self.pools.alarms()
    }

    /// Stops: shares on their way are answered and recorded, then everything is closed.
    pub async fn stop(self) {
        self.forecast.abort();
        let reload = self.reload;
        // A backup that is being written is finished first.
        let _ = tokio::task::spawn_blocking(move || reload.end()).await;
        if let Some(http) = self.http {
            http.stop().await;
        }
        stop_all(&self.pools.all).await;
    }
}

/// What a process that has handed over leaves.
pub(crate) struct Left {
    pub(crate) over: HandedOver,
    /// Who waits for an answer at the admin socket.
    pub(crate) callers: Callers,
    /// Every pool did hand over.
    pub(crate) whole: bool,
    /// The data folder's, as long as something of this process has files open in it.
    pub(crate) lock: Option<DiskLock>,
}

impl Left {
    /// Waits until nothing holds the files any more, and gives the data folder free then: nobody else may open them before.
    pub(crate) async fn closed(&mut self, patience: Duration) -> bool {
        let closed = async {
            while !self.over.pools.values().all(millpond_pool::HandedOver::is_closed) {
                tokio::time::sleep(CLOSED_LOOK).await;
            }
        };
        if tokio::time::timeout(patience, closed).await.is_ok() {
            self.lock = None;
        }
        self.lock.is_none()
    }
}

/// Raises an alarm when a pool's disk would be full within the operator's time at the present rate.
async fn watch_disk(pools: Arc<Pools>, reload: Arc<Reload>) {
    loop {
        tokio::time::sleep(DISK_LOOK).await;
        let within_days = reload.forecast().as_secs_f64() / 86_400.0;
        for pool in &pools.all {
            if let Some(days) = pool.view().disk_days_left.filter(|days| *days < within_days) {
                let text = format!(
                    "the disk is full in {days:.0} days at the present rate: free space or keep less"
                );
                pools.alarms.raise(Level::Warning, pool.name(), "disk", text);
            }
        }
    }
}

/// Takes the data folder for this process alone.
pub(crate) fn lock(data: &Path) -> Result<DiskLock, RunError> {
    RealDisk.lock(&data.join("lock")).map_err(|why| RunError::InUse(data.to_owned(), why))
}

async fn stop_all(pools: &[Arc<Pool>]) {
    for pool in pools {
        pool.stop().await;
    }
}

/// All of them are looked at before the first one starts.
async fn prepare_pools(
    config: &Config,
    process: &Process,
    beside: &Path,
) -> Result<Vec<(String, Prepared, StratumConfig)>, RunError> {
    let mut prepared = Vec::new();
    for section in &config.pool {
        let (section, name) = (section.clone(), section.name.to_string());
        let (sandbox, sink, beside) = (process.sandbox.clone(), Arc::clone(&process.sink), beside.to_owned());
        let made = tokio::task::spawn_blocking(move || prepare(section, &beside, &sandbox, &sink)).await;
        let made = made.map_err(|why| RunError::Threads(why.to_string()))?;
        let made = made.map_err(|why| RunError::Setup(name.clone(), why))?;
        let stratum = sockets::stratum(&made.section).map_err(|why| RunError::Setup(name.clone(), why))?;
        // What cannot be read is found out before anything else has given way for it.
        for port in &stratum.ports {
            if let Some(Err(why)) = port.tls.as_ref().map(TlsConfig::acceptor) {
                let source = Box::new(StartError::Tls(port.listen, why));
                let why = PoolError::Stratum { line: made.section.stratum.span.line, source };
                return Err(RunError::Pool(name, Box::new(why)));
            }
        }
        prepared.push((name, made, stratum));
    }
    Ok(prepared)
}

async fn start_pools(
    prepared: Vec<(String, Prepared, StratumConfig)>,
    process: &Process,
    beside: &Path,
    restored: Option<&Restored>,
    from: &mut HandedOver,
) -> Result<Vec<Arc<Pool>>, RunError> {
    let mut pools: Vec<Arc<Pool>> = Vec::new();
    for (name, mut made, stratum) in prepared {
        // Payments made after a backup are unknown to a restored ledger: nothing is paid until a person has compared.
        made.payments_held = restored.is_some_and(|note| !note.compared.contains(&made.section.name));
        let before = from.pools.remove(&name).unwrap_or_default();
        match Pool::take_over(process, made, beside, stratum, before).await {
            Ok(pool) => pools.push(Arc::new(pool)),
            Err(why) => {
                stop_all(&pools).await;
                return Err(RunError::Pool(name, Box::new(why)));
            }
        }
    }
    Ok(pools)
}

/// Notes the tokens of before a pool's first start in its hash chains: `millpond token` had no chain to note them in.
async fn note_tokens(process: &Process, pools: &[Arc<Pool>], fresh: &[String]) -> Result<(), RunError> {
    let tokens = Tokens::open(Arc::clone(&process.disk), &process.data.join("tokens.json"))?;
    let known: Vec<_> = tokens.all().iter().map(|token| (token.name.clone(), token.scope.name())).collect();
    for pool in pools.iter().filter(|pool| fresh.iter().any(|name| name == pool.name())) {
        let (pool, known) = (Arc::clone(pool), known.clone());
        let noted = tokio::task::spawn_blocking(move || {
            let mut each = known.iter();
            each.try_for_each(|(name, scope)| pool.record_admin("millpond", "token_known", &[name, scope]))
        });
        let noted = noted.await.map_err(|why| RunError::Threads(why.to_string()))?;
        noted.map_err(RunError::Unrecorded)?;
    }
    Ok(())
}

/// How a process is spoken to.
struct Doors {
    http: Option<Server>,
    admin: AdminSocket,
    desk: Arc<Desk>,
}

/// What became of the sessions that were handed over. Those of a pool that there is no more are closed.
fn carried(pools: &Pools, without: &HandedOver) -> Carried {
    let mut carried = Carried::default();
    pools.all.iter().for_each(|pool| carried.add(&pool.carried()));
    for (name, pool) in &without.pools {
        let why = (pool.sessions() > 0).then(|| format!("there is no pool {name} any more"));
        carried.add(&Carried { sessions: 0, closed: pool.sessions(), why });
    }
    carried
}

async fn doors(
    config: &Config,
    process: &Process,
    pools: &Arc<Pools>,
    reload: &Arc<Reload>,
    orders: mpsc::Sender<Order>,
    socket: Option<TcpListener>,
) -> Result<Doors, RunError> {
    let commands = Commands {
        pools: Arc::downgrade(pools),
        reload: Arc::downgrade(reload),
        orders,
        upgrading: AtomicBool::new(false),
        data: process.data.clone(),
    };
    let desk = Desk::new(Arc::new(commands));
    // Until it is certain that this process goes on, nothing is changed by it.
    desk.take_only(Takes::Looks);
    let admin = millpond_admin::listen(&process.data.join("admin.sock"), Arc::clone(&desk))?;
    let Some(section) = &config.http else { return Ok(Doors { http: None, admin, desk }) };
    let tokens = Tokens::open(Arc::clone(&process.disk), &process.data.join("tokens.json"))?;
    let options = HttpOptions {
        listen: section.listen,
        socket,
        guard: GuardOptions {
            hosts: section.hosts.clone(),
            requests_per_second: section.requests_per_second,
            forwarded_from: proxies(section)?,
        },
        admin: Some(AdminDoor {
            desk: Arc::clone(&desk),
            tokens: Arc::new(Mutex::new(tokens)),
            patience: AdminDoor::PATIENCE,
            room: Arc::new(Semaphore::new(AdminDoor::ROOM)),
        }),
        times: Times::default(),
    };
    let server = millpond_http::serve(options, Arc::clone(pools) as Arc<dyn Source>).await?;
    Ok(Doors { http: Some(server), admin, desk })
}

/// The proxies that say who asks for pages.
pub(crate) fn proxies(http: &Http) -> Result<Vec<Network>, RunError> {
    let wrong =
        |text: &str, why: &dyn std::fmt::Display| RunError::Proxy(http.span.line, format!("{text:?}: {why}"));
    http.forwarded_from
        .iter()
        .map(|text| text.parse().map_err(|why: NetworkError| wrong(text, &why)))
        .collect()
}

/// The schedule of the configuration, as backups are made.
pub(crate) fn backup_plan(config: &Config) -> Option<Plan> {
    let backup = config.backup.as_ref()?;
    Some(Plan {
        data: config.host.data.clone(),
        to: backup.to.clone(),
        every: backup.every,
        keep: backup.keep,
        then: backup.then.as_ref().map(PathBuf::from),
        patience: CARRYING,
        stale_after: backup.stale_after,
    })
}

pub(crate) fn hooks(alerts: &[Alert]) -> Result<Vec<(Level, Hook)>, RunError> {
    let one = |alert: &Alert| {
        let level = if alert.level == "critical" { Level::Critical } else { Level::Warning };
        let hook = match (&alert.exec, &alert.webhook) {
            (Some(program), _) => Hook::exec(program, &[]),
            (None, url) => Hook::webhook(url.as_deref().unwrap_or_default())
                .map_err(|why| RunError::Hook(alert.span.line, why))?,
        };
        Ok((level, hook))
    };
    alerts.iter().map(one).collect()
}
