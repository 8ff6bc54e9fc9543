//! Whom logins pay: asked of the adapter, several logins in one call, and remembered.
//!
//! A call into the adapter takes an instance and a core for a tenth of a millisecond, whether it brings one login or a
//! hundred. When all miners come back at once their logins wait for one another here, and a few workers take them in
//! batches. A login that the adapter fails on is told so alone: what came with it is asked again by itself.

use crate::core::Core;
use millpond_alerts::Level;
use millpond_chain::Unresolved;
use millpond_stratum::{NoPayee, Payee};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Logins remembered; when full, all are forgotten and asked for again.
const REMEMBERED: usize = 100_000;
/// The longest login that is looked at, in bytes.
const LONGEST: usize = 512;
/// Calls into the adapter at once: each takes an instance and a core, and a flood of logins must leave both to the others.
const WORKERS: usize = 4;
/// Logins of one call.
const BATCH: usize = 64;
/// The longest name that the journal takes.
const NAME: usize = millpond_journal::MAX_NAME;

type Answer = Result<Arc<Payee>, NoPayee>;

#[derive(Default)]
struct Waiting {
    logins: VecDeque<(String, oneshot::Sender<Answer>)>,
    workers: usize,
}

/// The logins of a pool.
#[derive(Default)]
pub(crate) struct Logins {
    known: Mutex<HashMap<String, Arc<Payee>>>,
    waiting: Mutex<Waiting>,
}

fn ours(why: &str) -> NoPayee {
    NoPayee::Pool(why.to_owned())
}

impl Logins {
    /// Whom a login pays. As many wait at once as there are connections that shake hands.
    pub(crate) async fn resolve(self: &Arc<Self>, core: &Arc<Core>, login: &str) -> Answer {
        if login.len() > LONGEST {
            return Err(NoPayee::Login(format!("a login has at most {LONGEST} bytes")));
        }
        if let Some(payee) = self.known.lock().get(login) {
            return Ok(Arc::clone(payee));
        }
        let (answer, resolved) = oneshot::channel();
        let begin = {
            let mut waiting = self.waiting.lock();
            waiting.logins.push_back((login.to_owned(), answer));
            let begin = waiting.workers < WORKERS;
            waiting.workers += usize::from(begin);
            begin
        };
        if begin {
            let worker = Worker { logins: Arc::clone(self), left: false };
            let core = Arc::clone(core);
            drop(tokio::task::spawn_blocking(move || worker.work(&core)));
        }
        resolved.await.unwrap_or_else(|_| Err(ours("the login could not be looked up")))
    }
}

/// A worker; its place is given back however it ends.
struct Worker {
    logins: Arc<Logins>,
    /// The place was given back.
    left: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.left {
            self.logins.waiting.lock().leave();
        }
    }
}

impl Waiting {
    fn leave(&mut self) {
        self.workers = self.workers.saturating_sub(1);
    }
}

impl Worker {
    /// Works until nobody waits.
    fn work(mut self, core: &Arc<Core>) {
        loop {
            let batch: Vec<_> = {
                let mut waiting = self.logins.waiting.lock();
                let count = waiting.logins.len().min(BATCH);
                if count == 0 {
                    // Under the lock: who comes now begins a worker of his own.
                    waiting.leave();
                    self.left = true;
                    return;
                }
                // Who hung up meanwhile is passed over.
                waiting.logins.drain(..count).filter(|(_, answer)| !answer.is_closed()).collect()
            };
            let (names, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            for ((name, answer), payee) in names.iter().zip(answers).zip(ask(core, &names)) {
                if let Ok(payee) = &payee {
                    self.logins.remember(name, payee);
                }
                let _ = answer.send(payee);
            }
        }
    }
}

impl Logins {
    fn remember(&self, login: &str, payee: &Arc<Payee>) {
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(login.to_owned(), Arc::clone(payee));
    }
}

/// Asks the adapter; one answer for each name.
fn ask(core: &Arc<Core>, names: &[String]) -> Vec<Answer> {
    let failed = |why: &str| names.iter().map(|_| Err(ours(why))).collect();
    let Some((chain, version)) = core.chain().and_then(|chain| Some((Arc::clone(&chain), chain.version()?)))
    else {
        return failed("the pool is not ready yet");
    };
    let check = chain.trust().addresses.clone();
    match millpond_chain::resolve(version.adapter.as_ref(), check.as_deref(), names) {
        Ok(found) if found.value.len() == names.len() => {
            found.value.into_iter().map(|found| judged(core, found)).collect()
        }
        // One of them may be what it fails on.
        Err(_) if names.len() > 1 => {
            names.iter().flat_map(|name| ask(core, std::slice::from_ref(name))).collect()
        }
        Ok(_) => failed("the login could not be looked up"),
        Err(why) => {
            core.alarm(Level::Warning, "adapter", format!("a login could not be resolved: {why}"));
            failed("the login could not be looked up")
        }
    }
}

fn judged(core: &Core, found: Result<millpond_contracts::chain::Payee, Unresolved>) -> Answer {
    let found = found.map_err(|why| {
        if matches!(why, Unresolved::Lie { .. }) {
            core.alarm(Level::Critical, "trust", why.to_string());
            return ours("the pool could not make sure whom this login pays: nobody is paid by it");
        }
        NoPayee::Login(why.to_string())
    })?;
    if found.payee.is_empty() {
        return Err(NoPayee::Login("this address pays nobody".to_owned()));
    }
    if found.payee.len() > NAME || found.address.len() > NAME {
        return Err(NoPayee::Login(format!("an address has at most {NAME} bytes")));
    }
    Ok(Arc::new(Payee::new(found.payee, found.address, &found.worker)))
}
