//! The actions of one event, checked as a whole before the first is applied.

use crate::income::{Book, IncomeRefused};
use crate::instance::InFlight;
use crate::job::{Checks, ID, ReadyJob, Refused};
use crate::port::NodeCall;
use crate::trust::Trust;
use millpond_contracts::chain::{Action, Call, Fate, Income, NodeErrorKind};
use millpond_runtime::clean;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Actions of one event.
pub(crate) const ACTIONS: usize = 256;
/// Jobs of one event.
const JOBS: usize = 4;
/// Calls in flight of one instance.
pub(crate) const CALLS: usize = 128;
/// Bytes of a call's body.
const BODY: usize = 8 << 20;
/// Timers at a time.
pub(crate) const TIMERS: usize = 64;
/// The shortest timer.
const TIMER_MS: u32 = 10;
/// Bytes of `save`.
const SAVED: usize = 64 << 10;
/// Bytes of a text for people.
const TEXT: u64 = 512;
/// A call's time.
const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=600_000;

/// A checked action.
pub(crate) enum Effect {
    Call {
        id: u64,
        call: NodeCall,
    },
    /// A call that is answered without being made; `alarm` when nobody could ever be granted it.
    Denied {
        id: u64,
        link: Option<u16>,
        kind: NodeErrorKind,
        why: String,
        alarm: bool,
    },
    Send {
        link: u16,
        transport: String,
        message: Vec<u8>,
    },
    Timer {
        id: u32,
        ms: u32,
    },
    Publish(Arc<ReadyJob>),
    Tip {
        parent: Vec<u8>,
        coord: u64,
    },
    Fate {
        block: Vec<u8>,
        fate: Fate,
    },
    Income(Income),
    IncomeLost(Vec<u8>),
    Unfit {
        link: u16,
        reason: String,
    },
    Save(Vec<u8>),
    Alarm {
        stop: bool,
        text: String,
    },
}

impl Effect {
    /// Whether it concerns the instance alone (calls, timers), so that a version that does not lead yet may have it.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Self::Call { .. } | Self::Denied { .. } | Self::Send { .. } | Self::Timer { .. })
    }
}

/// Why the actions of an event are refused, all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ListRefused {
    #[error("{0} actions of one event, at most {ACTIONS}")]
    TooMany(usize),
    #[error("{0}")]
    Bounds(String),
    #[error("a job was refused: {0}")]
    Job(#[from] Refused),
    #[error("an income or fate was refused: {0}")]
    Income(#[from] IncomeRefused),
}

/// What a list is checked with.
pub(crate) struct ListChecks<'a> {
    pub job: Checks<'a>,
    pub book: &'a Book,
    pub links: u16,
    pub timers: &'a BTreeSet<u32>,
    pub in_flight: &'a BTreeMap<u64, InFlight>,
}

impl ListChecks<'_> {
    /// Checks every action; the first that breaks a rule refuses all.
    pub(crate) fn check(&self, actions: Vec<Action>) -> Result<Vec<Effect>, ListRefused> {
        if actions.len() > ACTIONS {
            return Err(ListRefused::TooMany(actions.len()));
        }
        let jobs = actions.iter().filter(|action| matches!(action, Action::Publish(_))).count();
        if jobs > JOBS {
            return Err(ListRefused::Bounds(format!("{jobs} jobs of one event, at most {JOBS}")));
        }
        let incomes: Vec<&Income> = actions.iter().filter_map(as_income).collect();
        self.book.check(&incomes, self.trust())?;
        let (mut timers, mut calls) = (self.timers.clone(), self.in_flight.keys().copied().collect());
        let mut effects = Vec::with_capacity(actions.len());
        for action in actions {
            if let Some(effect) = self.one(action, &mut timers, &mut calls)? {
                effects.push(effect);
            }
        }
        Ok(effects)
    }

    fn trust(&self) -> &Trust {
        self.job.trust
    }

    fn one(
        &self,
        action: Action,
        timers: &mut BTreeSet<u32>,
        calls: &mut BTreeSet<u64>,
    ) -> Result<Option<Effect>, ListRefused> {
        let bounds = |text: String| Err(ListRefused::Bounds(text));
        Ok(Some(match action {
            Action::Call(call) => self.call(call, calls)?,
            Action::Send { link, transport, message } => {
                self.known_link(link)?;
                if message.len() > BODY {
                    return bounds(format!("a message of {} bytes, at most {BODY}", message.len()));
                }
                match self.job.version.granted.transport(transport) {
                    Some(name) => Effect::Send { link, transport: name.to_owned(), message },
                    None => return bounds(format!("it sends on transport {transport}, there is none")),
                }
            }
            Action::Timer { id, ms } => {
                if ms != 0 && ms < TIMER_MS {
                    return bounds(format!("a timer of {ms} ms, at least {TIMER_MS}"));
                }
                if ms == 0 {
                    timers.remove(&id)
                } else {
                    timers.insert(id)
                };
                if timers.len() > TIMERS {
                    return bounds(format!("more than {TIMERS} timers"));
                }
                Effect::Timer { id, ms }
            }
            Action::Publish(job) => Effect::Publish(self.job.ready(job)?),
            Action::Tip { parent, coord } => {
                if parent.is_empty() || parent.len() > ID {
                    return bounds(format!("a tip of {} bytes, 1 to {ID}", parent.len()));
                }
                Effect::Tip { parent, coord }
            }
            Action::Fate { block, fate } => {
                self.book.check_fate(&block)?;
                let fate = match fate {
                    Fate::Orphan(why) => Fate::Orphan(clean(&why, TEXT)),
                    other => other,
                };
                Effect::Fate { block, fate }
            }
            Action::Income(income) => Effect::Income(income),
            Action::IncomeLost(key) => Effect::IncomeLost(key),
            Action::Unfit { link, reason } => {
                self.known_link(link)?;
                Effect::Unfit { link, reason: clean(&reason, TEXT) }
            }
            Action::Save(bytes) => {
                if bytes.len() > SAVED {
                    return bounds(format!("it saves {} bytes, at most {SAVED}", bytes.len()));
                }
                Effect::Save(bytes)
            }
            Action::Alarm { stop, text } => Effect::Alarm { stop, text: clean(&text, TEXT) },
            // Growth inside a version: what this host does not know does nothing.
            Action::Other(..) => return Ok(None),
        }))
    }

    fn known_link(&self, link: u16) -> Result<(), ListRefused> {
        if link < self.links {
            return Ok(());
        }
        Err(ListRefused::Bounds(format!("it names node {link}, there are {}", self.links)))
    }

    fn call(&self, call: Call, calls: &mut BTreeSet<u64>) -> Result<Effect, ListRefused> {
        let bounds = |text: String| Err(ListRefused::Bounds(text));
        if !calls.insert(call.id) {
            return bounds(format!("call {} is in flight already", call.id));
        }
        if calls.len() > CALLS {
            return bounds(format!("more than {CALLS} calls in flight"));
        }
        if call.body.len() > BODY {
            return bounds(format!("a call with {} bytes, at most {BODY}", call.body.len()));
        }
        if !TIMEOUT_MS.contains(&call.timeout_ms) {
            return bounds(format!("a call that waits {} ms, 100 to 600000", call.timeout_ms));
        }
        let (id, link) = (call.id, call.link);
        match self.job.version.granted.call(call.transport, &call.method) {
            Ok(name) if link.is_none_or(|link| link < self.links) => {
                let call = NodeCall {
                    link,
                    transport: call.transport,
                    transport_name: name.to_owned(),
                    method: call.method,
                    body: call.body,
                    timeout: Duration::from_millis(call.timeout_ms.into()),
                };
                Ok(Effect::Call { id, call })
            }
            Ok(_) => {
                let why = format!("there is no such node, there are {}", self.links);
                Ok(Effect::Denied { id, link, kind: NodeErrorKind::Denied, why, alarm: false })
            }
            Err(why) => {
                let why = format!("not granted: {}", clean(&why, TEXT));
                Ok(Effect::Denied { id, link, kind: NodeErrorKind::Denied, why, alarm: true })
            }
        }
    }
}

fn as_income(action: &Action) -> Option<&Income> {
    match action {
        Action::Income(income) => Some(income),
        _ => None,
    }
}
