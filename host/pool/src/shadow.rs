//! Policies in shadow: divided beside the one in force, from the journal alone, and moving nothing.
//!
//! A thread of its own follows the records and publishes what it has; it locks no book and writes neither journal nor
//! ledger. A shadow that fails is stopped and its operator told, and the policy in force goes on, even where it is the same
//! component. What was followed is in memory only: a restart reads the records again and comes to the same.

use crate::core::Core;
use crate::policy::{Loader, PolicyError, Wanted};
use crate::what_if::{Asked, Follower, WhatIf, WhatIfError};
use millpond_alerts::Level;
use millpond_journal::Policy;
use millpond_types::ShareSeq;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A stop is heard within this time between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// A shadow as the operator wants it.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its name on the pages.
    pub name: String,
    /// What it divides by.
    pub wanted: Wanted,
    /// Behind which share it begins.
    pub since: ShareSeq,
    /// How often it looks for new records.
    pub every: Duration,
}

/// A shadow of a running pool.
#[derive(Debug)]
pub struct Shadow {
    name: String,
    asked: Asked,
    every: Duration,
    shown: RwLock<Shown>,
}

/// What a shadow has come to.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The newest comparison; `None` until the records are read.
    pub answer: Option<Arc<WhatIf>>,
    /// Why it was stopped.
    pub stopped: Option<String>,
}

impl Shadow {
    /// Loads what a shadow is made of; its components are kept with the pool's.
    ///
    /// # Errors
    /// When a component does not load or refuses its settings.
    pub fn new(loader: &Loader, order: &Order) -> Result<Self, PolicyError> {
        let asked = Asked::by(loader, &order.wanted, order.since)?;
        Ok(Self { name: order.name.clone(), asked, every: order.every, shown: RwLock::default() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its scheme, with the start of the digest.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.asked.bound.scheme.name()
    }

    /// Its fee policies in the order in which they apply, each with the start of the digest.
    #[must_use]
    pub fn fees(&self) -> Vec<String> {
        self.asked.bound.fees.iter().map(|fee| fee.name().to_owned()).collect()
    }

    /// The policy, as if it were recorded: its windows reach back to shares that are kept for it.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.asked.policy
    }

    /// What it has come to.
    #[must_use]
    pub fn shown(&self) -> Shown {
        self.shown.read().clone()
    }
}

/// A follower of each shadow, and when it looks next.
struct Following<'a> {
    shadow: &'a Shadow,
    follower: Option<Follower>,
    next: Instant,
}

/// The thread: follows the journal until told to stop.
pub(crate) fn run(core: &Arc<Core>, stop: &Receiver<()>) {
    let begin = |shadow| Following { shadow, follower: None, next: Instant::now() };
    let mut all: Vec<Following<'_>> = core.shadows.iter().map(begin).collect();
    loop {
        for following in &mut all {
            if following.shadow.shown.read().stopped.is_some() || following.next > Instant::now() {
                continue;
            }
            if let Err(why) = step(core, following) {
                let text = format!("shadow {} is stopped: {why}", following.shadow.name);
                core.alarm(Level::Warning, "shadow", text);
                following.follower = None;
                following.shadow.shown.write().stopped = Some(why.to_string());
            }
            following.next = Instant::now().checked_add(following.shadow.every).unwrap_or(following.next);
        }
        let soonest =
            all.iter().map(|following| following.next.saturating_duration_since(Instant::now())).min();
        match stop.recv_timeout(soonest.unwrap_or(LOOK).clamp(Duration::from_millis(1), LOOK)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn step(core: &Core, following: &mut Following<'_>) -> Result<(), WhatIfError> {
    let mut follower = match following.follower.take() {
        Some(follower) => follower,
        None => Follower::new(following.shadow.asked.clone())?,
    };
    let answer = follower.follow(&core.journal.view(), &core.ledger.reader())?;
    following.shadow.shown.write().answer = Some(Arc::new(answer));
    following.follower = Some(follower);
    Ok(())
}
