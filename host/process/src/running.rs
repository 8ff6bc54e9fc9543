//! Starting and stopping.

use crate::handler::Commands;
use crate::reload::{Reload, Reloaded};
use crate::source::Pools;
use millpond_admin::{AdminSocket, Desk, SocketError, Tokens, TokensError};
use millpond_alerts::{Alarms, Hook, Level};
use millpond_backup::{CARRYING, Plan, Restored};
use millpond_config::{Alert, Config, Http};
use millpond_disk::{Disk, DiskError, DiskLock, RealDisk};
use millpond_http::{
    AdminDoor, GuardOptions, HttpError, HttpOptions, Network, NetworkError, Server, Source, Times,
};
use millpond_pool::setup::{SetupError, prepare};
use millpond_pool::{Edges, Pool, PoolError, Process, UnknownEdge, sockets};
use millpond_runtime::{Compiler, LoadError, LogSink, Sandbox, TracingSink};
use millpond_validator::{Limits, Validator};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The same alarm goes to a hook again after this long.
const REPEAT_MS: u64 = 600_000;

/// What the alarm about a restore is about.
pub(crate) const RESTORED: &str = "restored";

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
    pools: Arc<Pools>,
    reload: Arc<Reload>,
    forecast: tokio::task::JoinHandle<()>,
    http: Option<Server>,
    _admin: AdminSocket,
    _lock: DiskLock,
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
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        disk.make_dir(&data)?;
        let lock = disk.lock(&data.join("lock")).map_err(|why| RunError::InUse(data.clone(), why))?;
        let restored = millpond_backup::check_data(&data)?;
        let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
        let threads = usize::from(config.host.validator_threads);
        let validator = Validator::new(Limits { threads, ..Limits::default() })
            .map_err(|why| RunError::Threads(why.to_string()))?;
        let alarms = Alarms::start(hooks(&config.alert)?, REPEAT_MS);
        if let Some(note) = &restored {
            let text = format!(
                "this data was restored from the backup {}: nothing is paid until you have compared each ledger with its \
                 wallet's history and said `millpond payments --pool NAME resume`",
                note.from.display()
            );
            alarms.raise(Level::Critical, "", RESTORED, text);
        }
        let sandbox = Sandbox::new(Some(&data.join("cache")), compiler)?;
        let edges = Edges::from_environment()?;
        let process = Process {
            data: data.clone(),
            disk,
            sandbox,
            sink,
            validator: Arc::new(validator),
            alarms,
            commit_interval: config.host.commit_interval,
            edges,
        };
        let beside = file.parent().unwrap_or(Path::new(""));
        let fresh = |name: &str| !data.join(name).join("ledger").exists();
        let fresh: Vec<_> =
            config.pool.iter().map(|pool| pool.name.to_string()).filter(|name| fresh(name)).collect();
        let all = start_pools(&config, &process, beside, restored.as_ref()).await?;
        if let Err(why) = note_tokens(&process, &all, &fresh).await {
            stop_all(&all).await;
            return Err(why);
        }
        let pools = Arc::new(Pools { all, alarms: process.alarms.clone() });
        let reload = match Reload::start(file, &process, &pools, &config) {
            Ok(reload) => Arc::new(reload),
            Err(why) => {
                stop_all(&pools.all).await;
                return Err(RunError::Threads(why.to_string()));
            }
        };
        match doors(&config, &process, &pools, &reload).await {
            Ok((http, admin)) => {
                let forecast = tokio::spawn(watch_disk(Arc::clone(&pools), Arc::clone(&reload)));
                Ok(Self { pools, reload, forecast, http, _admin: admin, _lock: lock })
            }
            Err(why) => {
                reload.end();
                stop_all(&pools.all).await;
                Err(why)
            }
        }
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

async fn stop_all(pools: &[Arc<Pool>]) {
    for pool in pools {
        pool.stop().await;
    }
}

async fn start_pools(
    config: &Config,
    process: &Process,
    beside: &Path,
    restored: Option<&Restored>,
) -> Result<Vec<Arc<Pool>>, RunError> {
    // All of them are looked at before the first one starts.
    let mut prepared = Vec::new();
    for section in &config.pool {
        let (section, name) = (section.clone(), section.name.to_string());
        let (sandbox, sink, beside) = (process.sandbox.clone(), Arc::clone(&process.sink), beside.to_owned());
        let made = tokio::task::spawn_blocking(move || prepare(section, &beside, &sandbox, &sink)).await;
        let made = made.map_err(|why| RunError::Threads(why.to_string()))?;
        let mut made = made.map_err(|why| RunError::Setup(name.clone(), why))?;
        // Payments made after a backup are unknown to a restored ledger: nothing is paid until a person has compared.
        made.payments_held = restored.is_some_and(|note| !note.compared.contains(&made.section.name));
        let stratum = sockets::stratum(&made.section).map_err(|why| RunError::Setup(name.clone(), why))?;
        prepared.push((name, made, stratum));
    }
    let mut pools: Vec<Arc<Pool>> = Vec::new();
    for (name, made, stratum) in prepared {
        match Pool::start(process, made, beside, stratum).await {
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

async fn doors(
    config: &Config,
    process: &Process,
    pools: &Arc<Pools>,
    reload: &Arc<Reload>,
) -> Result<(Option<Server>, AdminSocket), RunError> {
    let commands =
        Commands { pools: Arc::clone(pools), reload: Arc::clone(reload), data: process.data.clone() };
    let desk = Desk::new(Arc::new(commands));
    let admin = millpond_admin::listen(&process.data.join("admin.sock"), Arc::clone(&desk))?;
    let Some(section) = &config.http else { return Ok((None, admin)) };
    let tokens = Tokens::open(Arc::clone(&process.disk), &process.data.join("tokens.json"))?;
    let options = HttpOptions {
        listen: section.listen,
        guard: GuardOptions {
            hosts: section.hosts.clone(),
            requests_per_second: section.requests_per_second,
            forwarded_from: proxies(section)?,
        },
        admin: Some(AdminDoor {
            desk,
            tokens: Arc::new(Mutex::new(tokens)),
            patience: AdminDoor::PATIENCE,
            room: Arc::new(Semaphore::new(AdminDoor::ROOM)),
        }),
        times: Times::default(),
    };
    let server = millpond_http::serve(options, Arc::clone(pools) as Arc<dyn Source>).await?;
    Ok((Some(server), admin))
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
