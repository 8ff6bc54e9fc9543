//! A connection that leaves this process, and one that comes from another: between two turns, with nothing on its way.

use super::{Connection, Kept};
use crate::backend::Backend;
use crate::bans::Conduct;
use crate::bans::carried::ConductState;
use crate::carried::{Bits, Hex, Moment};
use crate::counters::{Entry, Hashrate, Known};
use crate::limits::{Network, Pace, Source};
use crate::listen::Listening;
use crate::login::carried::Payees;
use crate::outbox::Outbox;
use crate::parking::Leaving;
use crate::server::Shared;
use crate::session::Session;
use crate::session::carried::Words;
use crate::unread::Part;
use millpond_dialect::Push;
use millpond_types::UnixMillis;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;

/// Why a session is not carried over: it is disconnected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCarried {
    #[error("the adapter has no dialect {0:?} any more")]
    Dialect(String),
    #[error("the division of the extranonce has changed")]
    Extranonce,
    #[error("the operator banned its address meanwhile")]
    Banned,
}

/// What is known of a connection beside its socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionState {
    /// The address of its port, as it was bound.
    pub(crate) port: SocketAddr,
    peer: SocketAddr,
    session: Words,
    /// What was read and not heard, and what was to be written and is not.
    unheard: Hex,
    unwritten: Hex,
    /// Nothing was read of it yet.
    fresh: bool,
    conduct: ConductState,
    opened: u64,
    heard: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    worked: Option<u64>,
    chose: bool,
    owes_login: bool,
    owes_job: bool,
    #[serde(deserialize_with = "Option::deserialize")]
    asked: Option<bool>,
    #[serde(deserialize_with = "Option::deserialize")]
    not_resumed: Option<u64>,
    shown: Shown,
}

/// What people are shown of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    since: UnixMillis,
    version: String,
    accepted: u64,
    refused: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    last_share: Option<UnixMillis>,
    hashrate: Bits,
    hashrate_at: u64,
    hashrate_begun: u64,
}

impl<B: Backend> Connection<B> {
    /// No share of it is under way: it may leave between this turn and the next. A login that is, is heard again.
    pub(super) fn is_at_rest(&self) -> bool {
        self.flights.is_empty()
    }

    /// What was read and has not come to an answer: the line of a login under way, and what follows it.
    fn unheard(&self) -> Vec<u8> {
        let mut unheard = Vec::new();
        if let Some(starting) = &self.starting {
            unheard.extend_from_slice(starting.line());
            unheard.push(b'\n');
        }
        unheard.extend_from_slice(self.kept.bytes());
        unheard
    }

    /// Leaves this process. Its prefix is free here: it is the next process's to give.
    pub(super) fn leave(&mut self) -> SessionState {
        let moment = Moment::now();
        if let Some(lease) = &mut self.session.lease {
            lease.leaving = Leaving::Free;
        }
        let known = self.entry.known.lock();
        let (rate, at, begun) = known.hashrate.parts();
        SessionState {
            port: self.listening.address,
            peer: self.peer,
            session: self.session.words(self.shared.jobs.oldest(), moment),
            unheard: Hex(self.unheard()),
            unwritten: self.outbox.waiting().into(),
            fresh: self.fresh,
            conduct: self.conduct.state(moment),
            opened: moment.before(self.opened),
            heard: moment.before(self.heard),
            worked: self.worked.map(|at| moment.before(at)),
            chose: self.chose,
            owes_login: self.owes_login,
            owes_job: self.owes_job,
            asked: self.asked,
            not_resumed: self.not_resumed.map(|at| moment.before(at)),
            shown: Shown {
                since: self.entry.since(),
                version: known.version.to_string(),
                accepted: known.accepted,
                refused: known.refused,
                last_share: known.last_share,
                hashrate: rate.into(),
                hashrate_at: moment.before(at),
                hashrate_begun: moment.before(begun),
            },
        }
    }

    /// Comes from another process. It is told the present job in its first turn, as after a pause.
    pub(crate) fn arrive(
        shared: Arc<Shared<B>>,
        listening: Arc<Listening>,
        state: SessionState,
        moment: Moment,
        payees: &mut Payees,
    ) -> Result<Self, NotCarried> {
        let core = &shared.core;
        let chain = shared.chain();
        let dialects = listening.dialects(&chain);
        let Some(dialect) = dialects.all().find(|one| one.name() == state.session.dialect) else {
            return Err(NotCarried::Dialect(state.session.dialect));
        };
        let config = core.config();
        let limits = &config.limits;
        let client = state.peer.ip();
        let exempt = limits.allow.iter().any(|network: &Network| network.contains(client));
        let source = Source::of(client, limits.ipv6_prefix);
        // A ban for misconduct ends the connection that deserved it, and not its neighbours behind the same address.
        if !exempt && core.bans.is_shut_out(source, moment.0) {
            return Err(NotCarried::Banned);
        }
        if state.session.xn_size != core.tree.layout().total {
            return Err(NotCarried::Extranonce);
        }
        let lease = match state.session.lease() {
            None => None,
            Some((session, prefix)) => {
                Some(core.tree.take_over(session, prefix).ok_or(NotCarried::Extranonce)?)
            }
        };
        let dialect = Arc::clone(dialect);
        let vardiff = listening.vardiff.clone();
        let mut session = Session::of(state.session, dialect, lease, vardiff, moment, payees);
        session.target = shared.target_of(&session.dialect, session.vardiff.difficulty());
        if session.dialect.has_push(Push::Mask) {
            // What is granted here may be other than there; its next job says so.
            session.regrant(&chain.masks);
        }
        let mut seat = core.gate.enter_again(source, exempt);
        if session.payee().is_some() {
            seat.settled();
        }
        let number = core.next_connection();
        let shown = state.shown;
        let known = Known {
            session: session.id,
            dialect: Arc::clone(&session.dialect),
            agent: Arc::clone(&session.agent),
            version: shown.version.into(),
            payee: session.payee().cloned(),
            difficulty: session.vardiff.difficulty(),
            hashrate: Hashrate::of(
                shown.hashrate.into(),
                moment.earlier(shown.hashrate_at),
                moment.earlier(shown.hashrate_begun),
            ),
            accepted: shown.accepted,
            refused: shown.refused,
            last_share: shown.last_share,
        };
        let entry = Entry::since_then(seat.source(), listening.address.port(), shown.since, known);
        let entry = core.registry.insert(number, entry);
        let mut outbox = Outbox::default();
        if !state.unwritten.0.is_empty() {
            outbox.lines().extend_from_slice(&state.unwritten.0);
        }
        let pace = Pace::new(limits, moment.0);
        Ok(Self {
            listening,
            session,
            seat,
            outbox,
            unread: Part::default(),
            entry,
            number,
            peer: state.peer,
            flights: Default::default(),
            starting: None,
            conduct: Conduct::of(state.conduct, moment),
            pace,
            read_from: None,
            slowed: None,
            opened: moment.earlier(state.opened),
            heard: moment.earlier(state.heard),
            worked: state.worked.map(|before| moment.earlier(before)),
            chose: state.chose,
            owes_login: state.owes_login,
            owes_job: state.owes_job,
            asked: state.asked,
            not_resumed: state.not_resumed.map(|before| moment.earlier(before)),
            dialects,
            chain,
            config,
            turn: None,
            announced: core.board.count(),
            job: None,
            kept: Kept::new(&state.unheard.0),
            fresh: state.fresh,
            alarm: None,
            listed: false,
            leaving: false,
            shared,
        })
    }
}
