//! The desk behind both doors: scope, confirmation, then the handler.

use crate::confirm::Confirmations;
use crate::{Command, Scope};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

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
        Arc::new(Self { handler, confirmations: Confirmations::default() })
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
        match self.handler.handle(actor, command).await {
            Ok(value) => Answer::Done(value),
            Err(why) => Answer::Refused(Refused::Failed(why)),
        }
    }
}
