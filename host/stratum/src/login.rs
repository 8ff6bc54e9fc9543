//! How a session begins: its extranonce, and whom it credits.
//!
//! Mostly both are known at once. Where the lease has to be made durable first, or the adapter is asked whom a login pays,
//! the connection goes on meanwhile and hears no further line.

pub(crate) mod carried;

use crate::backend::{Backend, NoPayee, Payee};
use crate::config::by_agent;
use crate::connection::{Connection, End};
use crate::counters::add;
use crate::extranonce::{Lease, NoLease, Owner};
use crate::server::Refused;
use crate::session::{password_difficulty, session_of};
use millpond_dialect::{Call, Failure, Push};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::time::timeout;
use tracing::Instrument;

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A login as the miner sent it.
pub(crate) struct Login {
    call: Call,
    user: String,
    password: Option<String>,
}

/// What a session waits for before it hears its next line, and the line that it waits with: another process hears it again.
pub(crate) struct Starting {
    what: What,
    line: Box<[u8]>,
}

impl Starting {
    fn new(what: What) -> Option<Box<Self>> {
        Some(Box::new(Self { what, line: Box::default() }))
    }

    pub(crate) fn heard(&mut self, line: &[u8]) {
        self.line = line.into();
    }

    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }
}

enum What {
    /// The lease of a hello.
    Hello(Call, Later<Result<Lease, Refused>>),
    /// Whom a login pays.
    Resolve(Login, Later<Result<Arc<Payee>, NoPayee>>),
    /// The lease of a login that came before a hello, or in a dialect without one.
    Lease(Login, Arc<Payee>, Later<Result<Lease, Refused>>),
}

impl<B: Backend> Connection<B> {
    /// Goes on with what the session waits for. Whether that is over.
    pub(crate) fn poll_starting(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let Some(mut starting) = self.starting.take() else { return Ok(false) };
        let ready = match &mut starting.what {
            What::Hello(_, lease) | What::Lease(_, _, lease) => match lease.as_mut().poll(context) {
                Poll::Ready(lease) => Some(Ready::Leased(lease)),
                Poll::Pending => None,
            },
            What::Resolve(_, payee) => match payee.as_mut().poll(context) {
                Poll::Ready(payee) => Some(Ready::Resolved(payee)),
                Poll::Pending => None,
            },
        };
        let Some(ready) = ready else {
            self.starting = Some(starting);
            return Ok(false);
        };
        let Starting { what, line } = *starting;
        match (what, ready) {
            (What::Hello(call, _), Ready::Leased(lease)) => {
                let lease = self.leased(lease)?;
                self.greet(&call, lease)?;
            }
            (What::Lease(login, payee, _), Ready::Leased(lease)) => {
                let lease = self.leased(lease)?;
                self.session.take_lease(lease);
                self.log_in(&login, payee)?;
            }
            (What::Resolve(login, _), Ready::Resolved(payee)) => {
                self.resolved(login, payee)?;
                if let Some(still) = &mut self.starting {
                    still.line = line;
                }
            }
            // The outcome is of what was asked.
            (What::Hello(..) | What::Lease(..), Ready::Resolved(_))
            | (What::Resolve(..), Ready::Leased(_)) => {}
        }
        Ok(true)
    }

    pub(crate) fn hello(
        &mut self,
        call: Call,
        agent: Option<String>,
        resume: Option<String>,
    ) -> Result<(), End> {
        if let Some(agent) = agent {
            self.met(&agent);
        }
        if self.session.lease.is_some() {
            return self.greeted(&call);
        }
        match self.lease(resume.as_deref())? {
            Some(lease) => self.greet(&call, lease),
            None => {
                self.starting = Starting::new(What::Hello(call, self.lease_later()));
                Ok(())
            }
        }
    }

    fn greet(&mut self, call: &Call, lease: Lease) -> Result<(), End> {
        if let Some(difficulty) = lease.kept.difficulty.filter(|_| !self.chose) {
            self.session.vardiff.remember(difficulty, Instant::now());
            self.chose = true;
            self.retarget();
        }
        self.session.take_lease(lease);
        self.entry.known.lock().session = self.session.id;
        self.greeted(call)
    }

    fn greeted(&mut self, call: &Call) -> Result<(), End> {
        self.session.subscribed = true;
        self.reply(call)
    }

    /// The user agent is known now: what the operator asks of its kind applies, and a session begins where its kind does.
    fn met(&mut self, agent: &str) {
        let now = Instant::now();
        let agent: String = agent.chars().take(128).collect();
        let config = &self.config;
        let (floor, start) =
            (by_agent(&config.agent_minimum, &agent), by_agent(&config.agent_difficulty, &agent));
        if let Some(floor) = floor {
            self.session.vardiff.set_floor(floor, now);
        }
        // Who has named himself before, or mines already, has begun.
        let begins = self.session.agent.is_empty() && self.worked.is_none() && !self.chose;
        let agent: Arc<str> = agent.into();
        self.entry.known.lock().agent = Arc::clone(&agent);
        self.session.agent = agent;
        if begins {
            if let Some(start) = start {
                self.session.vardiff.suggest(start, now);
            }
            if let Some(payee) = self.session.payee().cloned() {
                self.go_on_from_last_session(&payee, now);
            }
        }
        self.retarget();
    }

    /// The least difficulty for its kind of miner, as the operator has it now.
    pub(crate) fn floor_by_agent(&mut self) -> Result<(), End> {
        if self.session.agent.is_empty() {
            return Ok(());
        }
        let floor = by_agent(&self.config.agent_minimum, &self.session.agent).unwrap_or(0.0);
        let before = self.session.vardiff.difficulty();
        if self.session.vardiff.set_floor(floor, Instant::now()) == before {
            return Ok(());
        }
        self.retargeted()
    }

    /// A worker who was here before begins where he was, unless he has said where.
    fn go_on_from_last_session(&mut self, payee: &Payee, now: Instant) {
        if self.chose {
            return;
        }
        if let Some(difficulty) = self.shared.core.last_seen.get(payee, &self.session.agent) {
            self.session.vardiff.remember(difficulty, now);
            self.chose = true;
        }
    }

    /// An extranonce of before, or a new one, where that needs no waiting.
    fn lease(&mut self, resume: Option<&str>) -> Result<Option<Lease>, End> {
        let now = Instant::now();
        let tree = &self.shared.core.tree;
        let resumed = resume.and_then(|text| {
            let by_session = session_of(text).and_then(|session| tree.resume(session, now));
            by_session.or_else(|| {
                let by = Owner { source: self.seat.source(), agent: Arc::clone(&self.session.agent) };
                tree.resume_prefix(&hex::decode(text).ok()?, &by, now)
            })
        });
        if let Some(lease) = resumed {
            add(&self.shared.core.counters.resumed);
            return Ok(Some(lease));
        }
        self.not_resumed = resume.map(|_| now);
        match tree.lease(now) {
            Ok(lease) => Ok(Some(lease)),
            Err(NoLease::Reserve) => Ok(None),
            Err(full) => self.leased(Err(full.into())).map(Some),
        }
    }

    fn lease_later(&self) -> Later<Result<Lease, Refused>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.new_lease().await })
    }

    fn leased(&self, lease: Result<Lease, Refused>) -> Result<Lease, End> {
        lease.map_err(|error| {
            self.span().in_scope(|| tracing::error!(%error, "a connection was refused"));
            End::NoExtranonce
        })
    }

    pub(crate) fn login(
        &mut self,
        call: Call,
        user: String,
        password: Option<String>,
        agent: Option<String>,
    ) -> Result<(), End> {
        if let Some(agent) = agent {
            self.met(&agent);
        }
        let (shared, asked) = (Arc::clone(&self.shared), user.clone());
        let limit = self.config.limits.handshake.0;
        let cannot = self.cannot_take();
        if cannot.is_some() {
            add(&self.shared.core.counters.coinbase_refused);
        }
        let resolve = async move {
            if let Some(why) = cannot {
                return Err(NoPayee::Pool(why));
            }
            let resolved = timeout(limit, shared.backend.resolve(&asked)).await;
            let late = || NoPayee::Pool("the pool cannot look up logins now; try again".to_owned());
            resolved.unwrap_or_else(|_| Err(late()))
        };
        let login = Login { call, user, password };
        let resolve = Box::pin(resolve.instrument(self.span()));
        self.starting = Starting::new(What::Resolve(login, resolve));
        Ok(())
    }

    /// Why it is no miner for this pool, whatever its login: a sentence for it.
    pub(crate) fn cannot_take(&self) -> Option<String> {
        crate::firmware::cannot_take(&self.session.agent, self.config.coinbase_limit?)
    }

    fn resolved(&mut self, login: Login, payee: Result<Arc<Payee>, NoPayee>) -> Result<(), End> {
        let payee = match payee {
            Ok(payee) => payee,
            Err(why) => {
                add(&self.shared.core.counters.logins_refused);
                self.owes_login = matches!(why, NoPayee::Pool(_));
                return match why {
                    NoPayee::Login(why) => {
                        self.refuse(&login.call, Failure::Unauthorized, Some(&why));
                        self.judged(|conduct, config| conduct.garbage(config, Instant::now()))
                    }
                    NoPayee::Pool(why) => {
                        self.refuse(&login.call, Failure::Other, Some(&why));
                        Ok(())
                    }
                };
            }
        };
        self.owes_login = false;
        if self.session.lease.is_none() {
            // A login before the subscription, or a dialect without one: the extranonce is leased now.
            let Some(lease) = self.lease(None)? else {
                self.starting = Starting::new(What::Lease(login, payee, self.lease_later()));
                return Ok(());
            };
            self.session.take_lease(lease);
        }
        self.log_in(&login, payee)
    }

    fn log_in(&mut self, login: &Login, payee: Arc<Payee>) -> Result<(), End> {
        add(&self.shared.core.counters.logins);
        self.seat.settled();
        let now = Instant::now();
        if let Some(difficulty) = login.password.as_deref().and_then(password_difficulty) {
            self.session.vardiff.fix(difficulty, now);
            self.chose = true;
        } else {
            self.go_on_from_last_session(&payee, now);
        }
        self.retarget();
        {
            let mut known = self.entry.known.lock();
            known.session = self.session.id;
            known.payee = Some(Arc::clone(&payee));
        }
        self.session.log_in(&login.user, payee);
        self.span().in_scope(|| tracing::debug!("logged in"));
        self.reply(&login.call)?;
        self.ask_version()
    }

    /// Asks the miner once what it is, where the operator wants that and the dialect has words for it.
    fn ask_version(&mut self) -> Result<(), End> {
        let wanted = self.config.ask_version && self.asked.is_none();
        if wanted
            && self.session.dialect.may_push(Push::Version, &self.session)
            && self.push(Push::Version)?
        {
            self.asked = Some(true);
        }
        Ok(())
    }
}

enum Ready {
    Leased(Result<Lease, Refused>),
    Resolved(Result<Arc<Payee>, NoPayee>),
}
