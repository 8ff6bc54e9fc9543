//! The desk behind both doors: scope, confirmation, then the handler.

use crate::confirm::Confirmations;
use crate::{Command, Scope};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A desk that is to be idle is looked at this often.
const LOOK: Duration = Duration::from_millis(2);

/// A future of a handler.
pub type Handling<'a> = Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>>;

/// Does what commands say. Called once per admitted command; it records a command that changes something, with the
/// actor's name, in the hash chain before it takes effect.
pub trait Handler: Send + Sync + 'static {
    /// Does it.
    ///
    /// # Errors
    /// A sentence: what did not work and what to do.
    fn handle<'a>(&'a self, actor: &'a str, command: Command) -> Handling<'a>;

    /// The scope that a command needs: its own, or a wider one where more hangs on it here. Called before [`Self::handle`],
    /// for each time that a command is sent; it must not wait.
    fn scope(&self, command: &Command) -> Scope {
        command.scope()
    }
}

/// What a caller gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done; what there is to show.
    Done(Value),
    /// Send it again with this code within two minutes.
    Confirm {
        /// The code.
        code: String,
        /// What will be done.
        what: String,
    },
    /// Not done.
    Refused(Refused),
    /// It takes longer than this door waits, and goes on: its end is in the log, and what it did where it is kept.
    Underway(String),
}

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// The caller's scope is too narrow.
    #[error("this needs the scope {needs:?}")]
    Scope {
        /// What it needs.
        needs: Scope,
    },
    /// The code is wrong, used, too old, or for something else.
    #[error("the confirmation code is not for this command, or too old: ask again without a code")]
    Code,
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
}

/// Checks scope and confirmation and hands commands on.
pub struct Desk {
    handler: Arc<dyn Handler>,
    confirmations: Confirmations,
    traffic: Mutex<Traffic>,
}

/// What a desk takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Every command.
    All,
    /// What changes nothing.
    Looks,
    /// Nothing.
    Nothing,
}

/// What a desk takes, and what it is doing. The order to give way to another process is not counted: it waits for the rest.
#[derive(Debug)]
struct Traffic {
    takes: Takes,
    looks: usize,
    changes: usize,
}

/// A command that is being done.
struct UnderWay<'a> {
    desk: &'a Desk,
    looks: usize,
    changes: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut traffic = self.desk.traffic.lock();
        traffic.looks = traffic.looks.saturating_sub(self.looks);
        traffic.changes = traffic.changes.saturating_sub(self.changes);
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

impl Desk {
    /// A desk before a handler.
    #[must_use]
    pub fn new(handler: Arc<dyn Handler>) -> Arc<Self> {
        let traffic = Traffic { takes: Takes::All, looks: 0, changes: 0 };
        Arc::new(Self { handler, confirmations: Confirmations::default(), traffic: Mutex::new(traffic) })
    }

    /// Takes this from now on, and waits until nothing else is being done, as long as `patience`. False when something is.
    pub async fn only(&self, takes: Takes, patience: Duration) -> bool {
        self.take_only(takes);
        let idle = async {
            loop {
                let (looks, changes) = {
                    let traffic = self.traffic.lock();
                    (traffic.looks, traffic.changes)
                };
                if changes == 0 && (looks == 0 || takes != Takes::Nothing) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        takes == Takes::All || tokio::time::timeout(patience, idle).await.is_ok()
    }

    /// Takes this from now on.
    pub fn take_only(&self, takes: Takes) {
        self.traffic.lock().takes = takes;
    }

    /// Begins a command, if the desk takes it.
    fn begin(&self, command: &Command) -> Option<UnderWay<'_>> {
        let mut traffic = self.traffic.lock();
        let looks = command.only_reads();
        let taken = match traffic.takes {
            Takes::All => true,
            Takes::Looks => looks,
            Takes::Nothing => false,
        };
        let changes = usize::from(!looks && !matches!(command, Command::Upgrade { .. }));
        let looks = usize::from(looks);
        if taken {
            traffic.looks += looks;
            traffic.changes += changes;
        }
        taken.then_some(UnderWay { desk: self, looks, changes })
    }

    /// Takes a command from a caller of this name and scope.
    pub async fn take(&self, actor: &str, scope: Scope, command: Command, code: Option<&str>) -> Answer {
        let needs = self.handler.scope(&command).max(command.scope());
        if scope < needs {
            return Answer::Refused(Refused::Scope { needs });
        }
        if needs == Scope::Money {
            match code {
                None => {
                    let what = serde_json::to_string(&command).unwrap_or_default();
                    let code = self.confirmations.ask(actor, &command, Instant::now());
                    return Answer::Confirm { code, what };
                }
                Some(code) if !self.confirmations.take(code, actor, &command, Instant::now()) => {
                    return Answer::Refused(Refused::Code);
                }
                Some(_) => {}
            }
        }
        let Some(_under_way) = self.begin(&command) else {
            let why = "this process gives way to another one: ask that one in a moment".to_owned();
            return Answer::Refused(Refused::Failed(why));
        };
        match self.handler.handle(actor, command).await {
            Ok(value) => Answer::Done(value),
            Err(why) => Answer::Refused(Refused::Failed(why)),
        }
    }
}
