//! The configuration read again while the process runs.
//!
//! The new file is checked as a whole first, with the plugins it names: with any error nothing changes. Then what can
//! follow follows; what still differs afterwards is said to need a restart.

use crate::running::{backup_plan, hooks};
use crate::source::Pools;
use millpond_alerts::Level;
use millpond_backup::{Plan, Scheduled};
use millpond_config::{Config, Difference, differences};
use millpond_pool::reload::Following;
use millpond_pool::setup::prepare;
use millpond_pool::{Process, sockets};
use parking_lot::RwLock;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// Of a reload so many differences are recorded,
const RECORDED_LINES: usize = 40;
/// of so many characters each.
const RECORDED_CHARS: usize = 200;

/// What a reload came to. Each line is a sentence for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Options that are in force now, or would be.
    pub applied: Vec<String>,
    /// What happened to plugins.
    pub plugins: Vec<String>,
    /// What should have followed and did not; the running version stays.
    pub failed: Vec<String>,
    /// Options that count from the next start on.
    pub needs_restart: Vec<String>,
}

/// The part of the process that a reload can change.
pub(crate) struct Reload {
    file: PathBuf,
    process: Process,
    pools: Arc<Pools>,
    /// As it is in force; the pools keep their own sections.
    config: Mutex<Config>,
    /// Where backups go, if the configuration says so.
    pub(crate) plan: RwLock<Option<Plan>>,
    scheduled: parking_lot::Mutex<Option<Scheduled>>,
    forecast_ms: AtomicU64,
    /// The process ends: nothing that carries a backup off is waited for.
    pub(crate) ending: AtomicBool,
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Reload {
    /// For a process that was started from this file. Backups are made from [`Reload::begin`] on.
    pub(crate) fn new(file: &Path, process: &Process, pools: &Arc<Pools>, config: &Config) -> Self {
        Self {
            file: file.to_owned(),
            process: process.clone(),
            pools: Arc::clone(pools),
            config: Mutex::new(config.clone()),
            plan: RwLock::new(backup_plan(config)),
            scheduled: parking_lot::Mutex::new(None),
            forecast_ms: AtomicU64::new(milliseconds(config.host.disk_forecast)),
            ending: AtomicBool::new(false),
        }
    }

    /// Has backups made on schedule: from when it is certain that this process goes on, and again when it goes on after an
    /// end.
    pub(crate) fn begin(&self) {
        self.ending.store(false, Ordering::Release);
        let mut scheduled = self.scheduled.lock();
        if scheduled.is_some() {
            return;
        }
        let alarms = self.process.alarms.clone();
        let plan = self.plan.read().clone();
        match plan.map(|plan| millpond_backup::start(plan, alarms)).transpose() {
            Ok(started) => *scheduled = started,
            Err(why) => {
                let text = format!("no backups are made, since there is no thread for it: {why}");
                self.process.alarms.raise(Level::Critical, "", "backup", text);
            }
        }
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.process.data.clone()
    }

    /// The configuration as it is in force, orders of operators included.
    pub(crate) async fn in_force(&self) -> Config {
        let mut config = self.config.lock().await.clone();
        self.note_pools(&mut config);
        config
    }

    /// Ends what it keeps running.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        drop(self.scheduled.lock().take());
    }

    /// An alarm is raised when the disk would be full within this time.
    pub(crate) fn forecast(&self) -> Duration {
        Duration::from_millis(self.forecast_ms.load(Ordering::Relaxed))
    }

    /// Reads the file and follows it, or only says what would follow.
    pub(crate) async fn run(&self, actor: &str, dry_run: bool) -> Result<Reloaded, String> {
        let mut in_force = self.config.lock().await;
        let new = millpond_config::load(&self.file).map_err(|errors| errors.to_string())?;
        let alert_hooks = hooks(&new.alert).map_err(|why| why.to_string())?;
        let following = self.check(&new).await?;
        self.note_pools(&mut in_force);
        let before = differences(&in_force, &new);
        if dry_run {
            let of_pool = |(pool, section): &(String, Following)| {
                let said = self.pools.named(pool).map(|pool| pool.foretell(section)).unwrap_or_default();
                said.into_iter().map(|said| format!("{pool}: {said}")).collect::<Vec<_>>()
            };
            let plugins = following.iter().flat_map(of_pool).collect();
            return Ok(Reloaded { plugins, ..foretold(&before) });
        }
        let mut reloaded = Reloaded::default();
        for (pool, section) in following {
            let Some(pool) = self.pools.named(&pool).cloned() else { continue };
            let (actor, changes) = (actor.to_owned(), recorded(&before, pool.name()));
            let followed = tokio::task::spawn_blocking(move || pool.follow(section, &changes, &actor)).await;
            let followed = followed.map_err(|_| "the reload broke off; see the log".to_owned())??;
            reloaded.plugins.extend(followed.done);
            reloaded.failed.extend(followed.failed);
        }
        if before.iter().any(|difference| difference.option.starts_with("alert.")) {
            self.process.alarms.replace_hooks(alert_hooks);
            in_force.alert.clone_from(&new.alert);
        }
        in_force.host.disk_forecast = new.host.disk_forecast;
        self.forecast_ms.store(milliseconds(new.host.disk_forecast), Ordering::Relaxed);
        if before.iter().any(|difference| difference.option.starts_with("backup.")) {
            match self.follow_backup(&in_force, &new).await {
                Ok(()) => in_force.backup.clone_from(&new.backup),
                Err(why) => reloaded.failed.push(format!("backups stay as they were: {why}")),
            }
        }
        self.note_pools(&mut in_force);
        let left = differences(&in_force, &new);
        reloaded.applied = before.iter().filter(|one| !left.contains(one)).map(ToString::to_string).collect();
        reloaded.needs_restart = left.iter().map(|one| with_line(&self.file, one)).collect();
        Ok(reloaded)
    }

    /// Everything that the new file names, found, loaded and checked as at a start, pools that are not running too.
    async fn check(&self, new: &Config) -> Result<Vec<(String, Following)>, String> {
        let beside = self.file.parent().unwrap_or(Path::new("")).to_owned();
        let (mut errors, mut following) = (Vec::new(), Vec::new());
        for section in &new.pool {
            let name = section.name.to_string();
            let mut say = |why: millpond_pool::setup::SetupError| {
                let lines = why.0.into_iter();
                errors.extend(lines.map(|line| format!("{}: pool {name}: {line}", self.file.display())));
            };
            if let Err(why) = sockets::stratum(section) {
                say(why);
            }
            let (section, beside) = (section.clone(), beside.clone());
            let (sandbox, sink) = (self.process.sandbox.clone(), Arc::clone(&self.process.sink));
            let made = tokio::task::spawn_blocking(move || prepare(section, &beside, &sandbox, &sink)).await;
            let made = made.map_err(|_| "the check broke off; see the log".to_owned())?;
            match made.and_then(Following::check) {
                Ok(made) => following.push((name, made)),
                Err(why) => say(why),
            }
        }
        if errors.is_empty() { Ok(following) } else { Err(errors.join("\n")) }
    }

    async fn follow_backup(&self, old: &Config, new: &Config) -> Result<(), String> {
        // Backups of another folder are another process's.
        let mut wanted = new.clone();
        wanted.host.data.clone_from(&old.host.data);
        let plan = backup_plan(&wanted);
        // A backup that is being written is finished first.
        let ended = self.scheduled.lock().take();
        tokio::task::spawn_blocking(move || drop(ended)).await.map_err(|why| why.to_string())?;
        let alarms = self.process.alarms.clone();
        let started = plan.clone().map(|plan| millpond_backup::start(plan, alarms)).transpose();
        *self.scheduled.lock() = started.map_err(|why| why.to_string())?;
        *self.plan.write() = plan;
        Ok(())
    }

    /// Takes the pools' sections as they are in force, orders of operators included.
    fn note_pools(&self, config: &mut Config) {
        for section in &mut config.pool {
            if let Some(pool) = self.pools.named(section.name.as_str()) {
                *section = pool.section();
            }
        }
    }
}

/// What stands of a reload in a pool's hash chains: what differs of its own section and of the process. Secrets are not
/// shown, and what is long is cut.
fn recorded(differences: &[Difference], pool: &str) -> Vec<String> {
    let own = format!("pool.{pool}.");
    let concerns = |one: &&Difference| one.option.starts_with(&own) || !one.option.starts_with("pool.");
    let line = |one: &Difference| one.to_string().chars().take(RECORDED_CHARS).collect();
    let mut lines: Vec<String> = differences.iter().filter(concerns).map(line).collect();
    if let Some(more) = lines.len().checked_sub(RECORDED_LINES).filter(|more| *more > 0) {
        lines.truncate(RECORDED_LINES);
        lines.push(format!("and {more} more"));
    }
    lines
}

fn with_line(file: &Path, difference: &Difference) -> String {
    if difference.line == 0 {
        return difference.to_string();
    }
    format!("{}:{}: {difference}", file.display(), difference.line)
}

/// Options of a pool that follow a reload.
const FOLLOWING: &[&str] = &[
    "chain.adapter",
    "chain.settings",
    "payout.scheme",
    "payout.settings",
    "payout.reserve",
    "payout.minimum",
    "fee",
    "settlement",
    "retention",
    "stratum",
];

/// What of a followed section stays until the next start: a running server's connections and ports were built of it.
const STAYING: &[&str] = &[
    "stratum.shares_per_minute",
    "stratum.minimum_difficulty",
    "stratum.maximum_difficulty",
    "stratum.powers_of_two",
    "stratum.ipv6_prefix",
    "stratum.extranonce_prefix",
    "stratum.marketplaces",
    "stratum.tcp_keepalive",
    "stratum.dialects",
    "stratum.resume",
];

/// Files of a port's certificate follow; whether a port speaks TLS at all does not.
fn is_certificate(option: &str, difference: &Difference) -> bool {
    let of_port = option.strip_prefix("port.").and_then(|rest| rest.split_once('.'));
    let file = of_port.is_some_and(|(_, option)| matches!(option, "tls.certificate" | "tls.key"));
    file && difference.from.is_some() && difference.to.is_some()
}

fn foretold(differences: &[Difference]) -> Reloaded {
    let follows = |difference: &Difference| {
        let option = difference.option.as_str();
        let of_pool = option.strip_prefix("pool.").and_then(|rest| rest.split_once('.'));
        let within = |option: &str, whole: &str| {
            option.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        match of_pool {
            Some((_, option)) => {
                let listed = |list: &[&str]| list.iter().any(|whole| within(option, whole));
                listed(FOLLOWING) && !listed(STAYING) || is_certificate(option, difference)
            }
            None => option == "host.disk_forecast" || within(option, "alert") || within(option, "backup"),
        }
    };
    let (applied, needs_restart): (Vec<_>, Vec<_>) =
        differences.iter().partition(|difference| follows(difference));
    Reloaded {
        applied: applied.iter().map(ToString::to_string).collect(),
        needs_restart: needs_restart.iter().map(ToString::to_string).collect(),
        ..Reloaded::default()
    }
}
