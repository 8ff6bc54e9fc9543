//! What admin commands do. Each that changes something is recorded in its pool's journal first.

use crate::reload::Reload;
use crate::running::RESTORED;
use crate::source::Pools;
use crate::upgrade::Order;
use millpond_admin::{Command, Handler, Resolution, Role, Scope};
use millpond_http::Source;
use millpond_pool::Pool;
use millpond_types::UnixMillis;
use serde_json::{Value, json};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// An order to give way is taken up within this time, if at all.
const TAKEN: Duration = Duration::from_secs(10);
/// The longest that another process may take to become healthy, in seconds.
const LONGEST_PATIENCE: u64 = 3600;

pub(crate) struct Commands {
    /// Weakly, as all here: who waits for another process to take over must not keep this one's files open.
    pub(crate) pools: Weak<Pools>,
    pub(crate) reload: Weak<Reload>,
    pub(crate) orders: mpsc::Sender<Order>,
    /// An order to give way is being done.
    pub(crate) upgrading: AtomicBool,
    /// The data folder.
    pub(crate) data: PathBuf,
}

/// Of the one order to give way that is being done.
struct Upgrading<'a>(&'a AtomicBool);

impl<'a> Upgrading<'a> {
    fn begin(of: &'a AtomicBool) -> Option<Self> {
        (!of.swap(true, Ordering::AcqRel)).then_some(Self(of))
    }
}

impl Drop for Upgrading<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Commands {
    fn pools(&self) -> Result<Arc<Pools>, String> {
        self.pools.upgrade().ok_or_else(ending)
    }

    fn reload(&self) -> Result<Arc<Reload>, String> {
        self.reload.upgrade().ok_or_else(ending)
    }

    /// Has the process give way to another one, and waits for what came of it.
    async fn upgrade(
        &self,
        actor: &str,
        program: PathBuf,
        patience: u64,
        force: bool,
    ) -> Result<Value, String> {
        // Before anything is recorded: in the middle of an upgrade nobody but that writes.
        let Some(_upgrading) = Upgrading::begin(&self.upgrading) else {
            return Err("an upgrade is under way already".to_owned());
        };
        let mut args = vec![program.display().to_string()];
        args.extend(force.then(|| "force".to_owned()));
        self.record(None, actor, "upgrade", args).await?;
        let (taken, begun) = oneshot::channel();
        let (answer, outcome) = oneshot::channel();
        let patience = Duration::from_secs(patience.clamp(1, LONGEST_PATIENCE));
        let order = Order { program, patience, force, actor: actor.to_owned(), taken, answer };
        let sent = self.orders.try_send(order).is_ok();
        // Nobody takes it: this process has no one for such orders. It is void then.
        if !sent || !tokio::time::timeout(TAKEN, begun).await.is_ok_and(|begun| begun.is_ok()) {
            self.record(None, actor, "not_done", vec!["upgrade".to_owned()]).await?;
            return Err("this process does not give way to another one now".to_owned());
        }
        outcome.await.unwrap_or_else(|_| Err("the process ended before it was done; see the log".to_owned()))
    }

    fn pool(&self, name: &str) -> Result<Arc<Pool>, String> {
        let pools = self.pools()?;
        pools.named(name).cloned().ok_or_else(|| {
            let names: Vec<_> = pools.all.iter().map(|pool| pool.name()).collect();
            format!("there is no pool {name:?}; there are: {}", names.join(", "))
        })
    }

    /// Records an order in a pool's hash chains, or in those of all: what concerns the process concerns each of them.
    async fn record(
        &self,
        of: Option<Arc<Pool>>,
        actor: &str,
        what: &str,
        args: Vec<String>,
    ) -> Result<(), String> {
        let pools = match of {
            Some(pool) => vec![pool],
            None => self.pools()?.all.clone(),
        };
        let (actor, what) = (actor.to_owned(), what.to_owned());
        blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            for (done, pool) in pools.iter().enumerate() {
                let Err(why) = pool.record_admin(&actor, &what, &args) else { continue };
                // What is not recorded everywhere is not done: where it is recorded, that is as well.
                for told in pools.iter().take(done) {
                    if let Err(why) = told.record_admin(&actor, "not_done", &[&what]) {
                        tracing::error!(pool = told.name(), order = %what, %why, "an order that was not done stands as done");
                    }
                }
                return Err(why);
            }
            Ok(())
        })
        .await
    }
}

impl Handler for Commands {
    /// Where the adapter is trusted with the coinbase it decides whom blocks pay: another one is a matter of money.
    fn scope(&self, command: &Command) -> Scope {
        let trusting = |name: &String| {
            let pools = self.pools.upgrade();
            pools
                .as_ref()
                .and_then(|pools| pools.named(name))
                .is_some_and(|pool| pool.section().chain.trust_adapter_with_coinbase)
        };
        match command {
            Command::PluginSwap { pool, role: Role::Adapter, .. }
            | Command::PluginRelease { pool, role: Role::Adapter }
                if trusting(pool) =>
            {
                Scope::Money
            }
            _ => command.scope(),
        }
    }

    fn handle<'a>(
        &'a self,
        actor: &'a str,
        command: Command,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>> {
        Box::pin(async move {
            match command {
                Command::Status {} => {
                    let pools = self.pools()?;
                    Ok(json!({"pools": pools.pools(), "alarms": pools.alarms()}))
                }
                Command::AlarmsList {} => Ok(json!(self.pools()?.alarms())),
                Command::AlarmsClear { pool, about } => {
                    let of = if pool.is_empty() { None } else { Some(self.pool(&pool)?) };
                    self.record(of, actor, "alarms_clear", vec![about.clone()]).await?;
                    self.pools()?.alarms.clear(&pool, &about);
                    Ok(json!({"cleared": about}))
                }
                Command::Note { action, args } => {
                    self.record(None, actor, &action, args).await?;
                    Ok(json!({"noted": action}))
                }
                Command::MinersList { pool } => Ok(json!(self.pool(&pool)?.sessions())),
                Command::MinersMessage { pool, text } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || Ok(json!({"connections": pool.message(&text, &actor)?}))).await
                }
                Command::MinersReconnect { pool, host, port, wait } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    let order = move || pool.reconnect(&host, port, wait, &actor);
                    blocking(move || Ok(json!({"connections": order()?}))).await
                }
                Command::BansList { pool } => Ok(json!(self.pool(&pool)?.bans())),
                Command::BansAdd { pool, address } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || Ok(json!(pool.ban(address, &actor)?))).await
                }
                Command::BansLift { pool, address } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || pool.lift_ban(address, &actor)).await?;
                    Ok(json!({"lifted": address}))
                }
                Command::PluginRelease { pool, role } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || Ok(json!({"done": pool.release_plugin(role, &actor)?}))).await
                }
                Command::Reload { dry_run } => Ok(json!(self.reload()?.run(actor, dry_run).await?)),
                Command::Backup {} => {
                    let reload = self.reload()?;
                    let plan = reload.plan.read().clone();
                    let plan =
                        plan.ok_or("the configuration has no [backup]; `millpond backup --to` needs none")?;
                    // A disk that takes no record any more is no reason to have no backup of what is on it.
                    let to = vec![plan.to.display().to_string()];
                    let unrecorded = self.record(None, actor, "backup", to).await.err();
                    blocking(move || {
                        let done =
                            millpond_backup::once(&plan, UnixMillis::now(), &mut |_| {}, &reload.ending)
                                .map_err(|why| why.to_string())?;
                        let hook_error = done.not_carried.map(|why| why.to_string());
                        let not_pruned = done.not_pruned.map(|why| why.to_string());
                        Ok(json!({"path": done.made.path, "hook_error": hook_error, "not_pruned": not_pruned,
                            "not_recorded": unrecorded}))
                    })
                    .await
                }
                Command::Upgrade { program, patience, force } => {
                    self.upgrade(actor, program, patience, force).await
                }
                Command::PaymentsList { pool } => Ok(json!(self.pool(&pool)?.payments(1_000))),
                Command::PaymentsShow { pool, payment } => match self.pool(&pool)?.payment(payment) {
                    Some(shown) => Ok(json!(shown)),
                    None => Err(format!("there is no payment {payment}")),
                },
                Command::PluginSwap { pool, role, plugin, reason } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    let done = blocking(move || pool.swap(role, &plugin, &reason, &actor)).await?;
                    Ok(json!({"done": done}))
                }
                Command::ShadowPromote { pool, name, not_before, reason } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    let not_before = not_before.map(UnixMillis);
                    let order = move || pool.promote(&name, not_before, &reason, &actor);
                    blocking(move || Ok(json!({"done": order()?}))).await
                }
                Command::PolicyCancel { pool, reason } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || Ok(json!({"done": pool.cancel_policy(&reason, &actor)?}))).await
                }
                Command::PaymentsDryRun { pool } => {
                    let pool = self.pool(&pool)?;
                    blocking(move || pool.payments_dry_run()).await
                }
                Command::PaymentsReconcile { pool } => {
                    let pool = self.pool(&pool)?;
                    blocking(move || pool.payments_reconcile()).await
                }
                Command::PaymentsRun { pool } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || pool.payments_run(&actor)).await
                }
                Command::PaymentsResume { pool, again } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    let (of, data) = (Arc::clone(&pool), self.data.clone());
                    let done = blocking(move || of.payments_resume(&again, &actor)).await?;
                    let last = self.pools()?.all.iter().all(|pool| !pool.payments_held());
                    blocking(move || {
                        let name = pool.section().name;
                        millpond_backup::compared(&data, &name).map_err(|why| {
                            format!("payments go on, but that is not noted and they wait again after a restart: {why}")
                        })
                    })
                    .await?;
                    if last {
                        self.pools()?.alarms.clear("", RESTORED);
                    }
                    Ok(done)
                }
                Command::PaymentsResolve { pool, payment, resolution } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || match resolution {
                        Resolution::Paid { txid, as_made } => {
                            pool.payment_resolve(payment, &txid, as_made, &actor)
                        }
                        Resolution::NotPaid => pool.payment_release(payment, false, &actor),
                    })
                    .await
                }
                Command::PaymentsRelease { pool, payment, wallet_restarted } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || pool.payment_release(payment, wallet_restarted, &actor)).await
                }
                Command::PaymentsUndo { pool, payment, why } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || pool.payment_undo(payment, &why, &actor)).await
                }
                Command::ListSet { pool, name, rows, change } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || Ok(json!({"rows": pool.set_list(&name, &rows, change, &actor)?}))).await
                }
                Command::MinerMinimum { pool, address, minimum } => {
                    let (pool, actor) = (self.pool(&pool)?, actor.to_owned());
                    blocking(move || pool.set_minimum(&address, minimum, &actor)).await?;
                    Ok(json!({"minimum": minimum}))
                }
            }
        })
    }
}

fn ending() -> String {
    "the process is ending".to_owned()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err("the command broke off; see the log".to_owned()))
}
