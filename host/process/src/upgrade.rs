//! One process gives way to another, and no miner is disconnected.
//!
//! ```text
//! old: starts the program with a link                       new: loads configuration and plugins
//!                                          <- prepared
//! old: serves on, ends payments; then connections rest,
//!      files are closed, the data folder is free
//!      state, sockets ->                                    new: opens the data, starts the pools, gets work
//!                                          <- healthy
//!      go ->                                                new: hears miners
//!                                          <- taken
//! old: ends
//! ```
//!
//! Until `taken` the old process has all sockets open, and until `go` the new one has neither read from one nor written to it. When
//! the new one fails before, is late or ends, it is killed, and the old one starts again with what it had handed over:
//! miners have waited, and that is all. When the old one dies the new one goes on as soon as it can.

pub mod words;

use crate::running::{Left, Ready, RunError, Running, lock};
use millpond_admin::{Callers, Takes};
use millpond_config::Config;
use millpond_handover::{Link, LinkError};
use millpond_runtime::Compiler;
use millpond_stratum::Carried;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use words::{DATA, PROTOCOL, State, Word};

/// Loading plugins takes some seconds when they have to be compiled.
const PREPARING: Duration = Duration::from_secs(180);
/// Between its being prepared and its taking over the old process finishes payments that are under way. When the old one ends
/// the link does, too.
const WAITING: Duration = Duration::from_secs(24 * 3600);
/// A message is passed on within this time.
const PASSING: Duration = Duration::from_secs(60);
/// Work and health are looked at this often.
const LOOK: Duration = Duration::from_millis(5);
/// Commands that are being done when the order comes are waited for.
const COMMANDS: Duration = Duration::from_secs(120);
/// Files that are still held when miners rest are waited for this long at most,
const HELD: Duration = Duration::from_secs(600);
/// and that they are is said this often.
const HELD_SAID: Duration = Duration::from_secs(10);
/// The new process says by itself that it is late; this much later it is not waited for any longer.
const GRACE: Duration = Duration::from_secs(10);
/// It hears the miners this soon after it may.
const TAKING: Duration = Duration::from_secs(30);
/// Who asked for the upgrade gets his answer within this time.
const ANSWERING: Duration = Duration::from_secs(10);

/// An operator's order to give way.
#[derive(Debug)]
pub struct Order {
    pub(crate) program: PathBuf,
    pub(crate) patience: Duration,
    pub(crate) force: bool,
    pub(crate) actor: String,
    pub(crate) taken: oneshot::Sender<()>,
    pub(crate) answer: oneshot::Sender<Result<Value, String>>,
}

/// What came of an order to give way.
#[derive(Debug)]
pub enum Upgraded {
    /// The process of this number serves the miners now. This one has nothing left to do.
    Gone(u32),
    /// This process goes on.
    Stayed(Box<Running>),
    /// Neither process goes on, and why: the miners are disconnected.
    Lost(String),
}

/// A process that has handed over: its files are closed and its sockets open.
#[derive(Debug, Default)]
pub struct HandedOver {
    pub(crate) http: Option<TcpListener>,
    pub(crate) pools: BTreeMap<String, millpond_pool::HandedOver>,
}

impl HandedOver {
    /// Sessions that are carried over.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.pools.values().map(millpond_pool::HandedOver::sessions).sum()
    }

    /// The pools whose miners had work.
    fn with_work(&self) -> Vec<String> {
        let with = self.pools.iter().filter(|(_, pool)| pool.had_work());
        with.map(|(name, _)| name.clone()).collect()
    }

    /// Connections that did not come to rest in time, and were closed.
    fn late(&self) -> usize {
        self.pools.values().map(millpond_pool::HandedOver::late).sum()
    }

    /// Since when nobody hears the miners.
    fn silent_since(&self) -> Option<Instant> {
        self.pools.values().filter_map(millpond_pool::HandedOver::silent_since).min()
    }

    fn state(&self) -> State {
        let pools = self.pools.iter().map(|(name, pool)| (name.clone(), pool.state()));
        State { patience_ms: 0, http: self.http.is_some(), pools: pools.collect() }
    }

    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        let http = self.http.iter().map(AsFd::as_fd);
        http.chain(self.pools.values().flat_map(millpond_pool::HandedOver::sockets)).collect()
    }

    fn of(state: State, sockets: Vec<OwnedFd>) -> Result<Self, String> {
        let mut sockets = sockets.into_iter();
        let http = if state.http { sockets.next().map(TcpListener::from) } else { None };
        let mut pools = BTreeMap::new();
        for (name, pool) in state.pools {
            let pool = millpond_pool::HandedOver::of(pool, &mut sockets).map_err(|why| why.to_string())?;
            pools.insert(name, pool);
        }
        Ok(Self { http, pools })
    }
}

impl Running {
    /// Gives way to the program of an order.
    pub async fn upgrade(mut self, order: Order) -> Upgraded {
        let Order { program, patience, force, actor, taken, answer } = order;
        if taken.send(()).is_err() {
            // Who gave it was told that it is void.
            return Upgraded::Stayed(Box::new(self));
        }
        let (file, compiler) = (self.file.clone(), self.compiler.clone());
        let folder = match folder(&self.data()) {
            Ok(folder) => folder,
            Err(why) => return self.stayed(&actor, why, answer).await,
        };
        tracing::info!(program = %program.display(), "a new process is started");
        let of_file = file.clone();
        let prepared = move || Successor::prepare(&program, &of_file, folder, force);
        let prepared = tokio::task::spawn_blocking(prepared).await;
        let mut successor = match prepared.map_err(|why| why.to_string()).and_then(|prepared| prepared) {
            Ok(successor) => successor,
            Err(why) => return self.stayed(&actor, why, answer).await,
        };
        if !self.desk.only(Takes::Looks, COMMANDS).await {
            self.desk.take_only(Takes::All);
            let why = "a command is still being done: order it again afterwards".to_owned();
            return self.stayed(&actor, why, answer).await;
        }
        // The way back is made before it may be needed: files that it needs may have changed. No command changes any more
        // what is in force.
        let config = self.reload.in_force().await;
        let back = match Ready::prepare(config, &file, compiler).await {
            Ok(back) => back,
            Err(why) => {
                self.desk.take_only(Takes::All);
                let why = format!("there would be no way back: {why}");
                return self.stayed(&actor, why, answer).await;
            }
        };
        self.settle().await;
        // That may have taken long: nobody rests for a process that is gone, or before who looks at something is done.
        let why = if !successor.lives() {
            Some("the new process has ended before its turn came")
        } else if !self.desk.only(Takes::Nothing, COMMANDS).await {
            Some("a command is still being done: order it again afterwards")
        } else {
            None
        };
        if let Some(why) = why {
            self.go_on();
            return self.stayed(&actor, why.to_owned(), answer).await;
        }
        let mut left = self.hand_over().await;
        let (id, version) = (successor.id(), successor.version.clone());
        let late = left.over.late();
        let taken = if left.lock.is_none() && left.whole {
            let over = std::mem::take(&mut left.over);
            let passed =
                tokio::task::spawn_blocking(move || (successor.take_over(&over, patience, force), over));
            match passed.await {
                Ok((taken, over)) => {
                    left.over = over;
                    taken
                }
                Err(why) => return lost(why.to_string(), answer, left.callers).await,
            }
        } else {
            let ended = tokio::task::spawn_blocking(move || drop(successor));
            let _ = ended.await;
            match until_closed(&mut left).await {
                true => Err("files were held by something that hung, the disk perhaps".to_owned()),
                false => {
                    // The lock goes with the process.
                    std::mem::forget(left.lock.take());
                    let why = "the files are still held by something that hangs, the disk perhaps: nobody else may open them";
                    return lost(why.to_owned(), answer, left.callers).await;
                }
            }
        };
        let Left { over, callers, .. } = left;
        let why = match taken {
            Ok(carried) => {
                let pause = over.silent_since().map_or(0, |since| since.elapsed().as_millis());
                let (sessions, closed) = (carried.sessions, carried.closed.saturating_add(late));
                tracing::info!(process = id, sessions, closed, pause_ms = pause, "another process goes on");
                // The sockets are the other one's now; closing ours says nothing to anybody.
                drop(over);
                let told = json!({"process": id, "version": version, "sessions": sessions, "closed": closed,
                    "pause_ms": pause});
                let _ = answer.send(Ok(told));
                callers.answered(ANSWERING).await;
                return Upgraded::Gone(id);
            }
            Err(why) => why,
        };
        tracing::error!(%why, "the new process does not take over: this one goes on");
        match again(back, over).await {
            Ok(running) => running.stayed(&actor, why, answer).await,
            Err(none) => {
                lost(format!("{why}; and this process could not go on: {none}"), answer, callers).await
            }
        }
    }

    /// Nothing came of it: that is recorded as the order was, and told.
    async fn stayed(
        self,
        actor: &str,
        why: String,
        answer: oneshot::Sender<Result<Value, String>>,
    ) -> Upgraded {
        let (pools, actor) = (self.pools.all.clone(), actor.to_owned());
        let recorded = tokio::task::spawn_blocking(move || {
            for pool in pools {
                if let Err(why) = pool.record_admin(&actor, "not_done", &["upgrade"]) {
                    tracing::error!(pool = pool.name(), %why, "an upgrade that was not done stands as done");
                }
            }
        });
        let _ = recorded.await;
        let _ = answer.send(Err(format!("the new process does not take over, this one goes on: {why}")));
        Upgraded::Stayed(Box::new(self))
    }

    /// Waits until each of these pools has work for its miners.
    async fn has_work(&self, pools: &[String], patience: Duration) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        loop {
            let mut named = pools.iter().filter_map(|name| self.pools.named(name));
            let Some(without) = named.find(|pool| !pool.has_work()) else { return Ok(()) };
            if Instant::now() >= deadline {
                let alarms = self.alarms();
                let last = alarms.last().map_or(String::new(), |alarm| format!("; {}", alarm.text));
                return Err(format!("pool {} has no work for its miners{last}", without.name()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// This process is the only one that can write its files: as long as they are held, its miners wait. A long pause is better
/// than to lose them.
async fn until_closed(left: &mut Left) -> bool {
    let deadline = Instant::now() + HELD;
    while !left.closed(HELD_SAID).await {
        if Instant::now() >= deadline {
            return false;
        }
        tracing::error!("miners wait: something that hangs still holds the files, the disk perhaps");
    }
    true
}

/// Neither process goes on.
async fn lost(why: String, answer: oneshot::Sender<Result<Value, String>>, callers: Callers) -> Upgraded {
    tracing::error!(%why, "no process goes on");
    let _ = answer.send(Err(why.clone()));
    callers.answered(ANSWERING).await;
    Upgraded::Lost(why)
}

/// The old process after the new one has failed: as a restart, with the connections still there.
async fn again(back: Ready, over: HandedOver) -> Result<Running, RunError> {
    let lock = lock(back.data())?;
    let running = back.begin(lock, over).await?;
    running.open();
    Ok(running)
}

/// What tells one data folder from another.
fn folder(data: &Path) -> Result<(u64, u64), String> {
    let known = std::fs::metadata(data).map_err(|why| format!("{}: {why}", data.display()))?;
    Ok((known.dev(), known.ino()))
}

/// The new process, as the old one has it. It is killed when this is dropped, unless it has gone.
struct Successor {
    child: Option<Child>,
    link: Link,
    version: String,
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It has said why, or never will. What it locked is free when it is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Successor {
    fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Whether it has not ended.
    fn lives(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Starts it, and waits until it could take over.
    fn prepare(program: &Path, file: &Path, folder: (u64, u64), force: bool) -> Result<Self, String> {
        let (link, far) = Link::pair().map_err(|why| format!("no link to it: {why}"))?;
        let child = Command::new(program)
            .arg("run")
            .arg("--take-over")
            .arg(file)
            .stdin(Stdio::from(far.into_descriptor()))
            .spawn()
            .map_err(|why| format!("{} cannot be started: {why}", program.display()))?;
        let mut successor = Self { child: Some(child), link, version: String::new() };
        let word = successor.word(PREPARING)?;
        let Word::Prepared { protocol, version, data, folder: of } = word else {
            return Err(format!("it says {word:?} where it should be prepared"));
        };
        let why = if protocol != PROTOCOL {
            format!("millpond {version} speaks protocol {protocol} of upgrades and this one {PROTOCOL}")
        } else if of != folder {
            "its configuration names another data folder".to_owned()
        } else if data != DATA && !force {
            format!("it writes data of kind {data} and this one {DATA}: there would be no way back (--force)")
        } else {
            successor.version = version;
            return Ok(successor);
        };
        Err(format!("{why}; stop and start instead"))
    }

    /// Gives it everything, waits until it is healthy, and lets it go.
    fn take_over(mut self, over: &HandedOver, patience: Duration, force: bool) -> Result<Carried, String> {
        let state =
            State { patience_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX), ..over.state() };
        self.say(&Word::State(state), &over.sockets())?;
        let carried = match self.word(patience.saturating_add(GRACE))? {
            Word::Healthy { carried } => carried,
            other => return Err(format!("it says {other:?} where it should be healthy")),
        };
        if carried.closed > 0 && !force {
            let (closed, all) = (carried.closed, over.sessions());
            let why = carried.why.unwrap_or_default();
            return Err(format!(
                "{closed} of {all} sessions would be lost, since {why} (--force takes that)"
            ));
        }
        self.say(&Word::Go {}, &[])?;
        // It may have given up while this process was held up, and not have heard that it may go.
        match self.word(TAKING)? {
            Word::Taken {} => {}
            other => return Err(format!("it says {other:?} where it should have taken over")),
        }
        self.child = None;
        Ok(carried)
    }

    fn say(&self, word: &Word, sockets: &[BorrowedFd<'_>]) -> Result<(), String> {
        self.link.send(word, sockets, PASSING).map_err(|why| why.to_string())
    }

    fn word(&self, patience: Duration) -> Result<Word, String> {
        match self.link.receive::<Word>(patience) {
            Ok((Word::Failed { why }, _)) => Err(why),
            Ok((word, _)) => Ok(word),
            Err(LinkError::Late) => Err(format!("it was not healthy within {} s", patience.as_secs())),
            Err(why) => Err(why.to_string()),
        }
    }
}

/// The new process: takes over from the one that started it, and is heard of by its miners; `taken` is called then. Blocks
/// the caller's task until that.
///
/// # Errors
/// Why it cannot: the old process goes on.
pub async fn take_over(
    config: Config,
    file: &Path,
    compiler: Compiler,
    taken: impl FnOnce(),
) -> Result<Running, String> {
    let link = Link::of_stdin().map_err(|why| format!("there is no process to take over from: {why}"))?;
    match follow(&link, config, file, compiler).await {
        Ok(running) => {
            running.open();
            taken();
            // The old one may be gone.
            let _ = link.send(&Word::Taken {}, &[], PASSING);
            Ok(running)
        }
        Err(why) => {
            let _ = link.send(&Word::Failed { why: why.clone() }, &[], PASSING);
            Err(why)
        }
    }
}

async fn follow(link: &Link, config: Config, file: &Path, compiler: Compiler) -> Result<Running, String> {
    let data = config.host.data.clone();
    let ready = Ready::prepare(config, file, compiler).await.map_err(|why| why.to_string())?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let words = |why: LinkError| why.to_string();
    let prepared = Word::Prepared { protocol: PROTOCOL, version, data: DATA, folder: folder(&data)? };
    link.send(&prepared, &[], PASSING).map_err(words)?;
    // Blocks this thread, on which nothing else runs yet.
    let (word, sockets) = link.receive::<Word>(WAITING).map_err(words)?;
    let Word::State(state) = word else { return Err(format!("it says {word:?} where it should hand over")) };
    let (patience, begun) = (Duration::from_millis(state.patience_ms), Instant::now());
    let over = HandedOver::of(state, sockets)?;
    let with_work = over.with_work();
    let lock = lock(&data).map_err(|why| why.to_string())?;
    let running = ready.begin(lock, over).await.map_err(|why| why.to_string())?;
    let healthy = healthy(link, &running, &with_work, patience.saturating_sub(begun.elapsed())).await;
    match healthy {
        Ok(()) => Ok(running),
        Err(why) => {
            let _ = link.send(&Word::Failed { why: why.clone() }, &[], PASSING);
            // The old one kills this process before it opens the files. Where it cannot any more, nothing may write either.
            running.stop().await;
            Err(why)
        }
    }
}

/// Waits until it may go.
async fn healthy(link: &Link, running: &Running, pools: &[String], patience: Duration) -> Result<(), String> {
    running.has_work(pools, patience).await?;
    let carried = running.carried().clone();
    match link.send(&Word::Healthy { carried }, &[], PASSING) {
        Ok(()) => {}
        // Nobody is left who could go on.
        Err(LinkError::Gone) => return Ok(()),
        Err(why) => return Err(why.to_string()),
    }
    match link.receive::<Word>(PASSING) {
        Ok((Word::Go {}, _)) | Err(LinkError::Gone) => Ok(()),
        Ok((other, _)) => Err(format!("it says {other:?} where it should go")),
        Err(why) => Err(why.to_string()),
    }
}
