//! What a miner says, line by line, and what it does to his session.

use crate::backend::{Backend, NoPayee, Refusal};
use crate::bans::{BanConfig, BanReason, Conduct, Verdict};
use crate::connection::{Connection, End, Pending, Waiting};
use crate::counters::add;
use crate::extranonce::{Lease, Owner};
use crate::session::{password_difficulty, session_of};
use crate::submit::{self, Outcome, Step};
use bytes::Bytes;
use millpond_dialect::{Call, Failure, Intent, Push, Request, Submit, Suggestion};
use millpond_types::{Target, UnixMillis};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tracing::Instrument;

/// Shares of a session that could not be taken up again arrive within this time, if at all.
const ON_THEIR_WAY: Duration = Duration::from_secs(60);

impl<B: Backend> Connection<B> {
    pub(crate) async fn hear(&mut self, line: &Bytes) -> Result<(), End> {
        let now = Instant::now();
        self.heard = now;
        self.bucket.take(now);
        self.slow_down(now)?;
        let before = Arc::clone(&self.session.dialect);
        let dialects = self.listening.dialects(&self.shared);
        let mut dialect = Arc::clone(&before);
        let decoded = dialects.decode(&mut dialect, line, &self.session);
        if !Arc::ptr_eq(&before, &dialect) {
            self.session.vardiff.set_rounding(dialect.rounding(), now);
            self.entry.lock().info.dialect = dialect.name().to_owned();
            self.session.dialect = dialect;
            self.retarget();
        }
        let mut call = decoded.call;
        match decoded.intent {
            Intent::Hello { agent, resume } => self.hello(&call, agent, resume).await,
            Intent::Login { user, password, agent } => self.login(&call, user, password, agent).await,
            Intent::Submit(share) => self.submitted(call, &share).await,
            Intent::Negotiate(requests) => {
                for request in requests {
                    match request {
                        Request::Field { field, value } => {
                            let chain = self.shared.chain();
                            self.session.negotiate(field.clone(), &value, chain.masks.get(&field));
                        }
                        Request::ExtranonceUpdates => self.session.extranonce_updates = true,
                        Request::Least(suggestion) => {
                            if !self.promised(suggestion) {
                                call.deny_least();
                            }
                        }
                    }
                }
                self.session.tell_fields();
                self.reply(&call)
            }
            Intent::ExtranonceUpdates => {
                self.session.extranonce_updates = true;
                self.reply(&call)
            }
            Intent::Suggest(suggestion) => {
                self.suggested(suggestion);
                self.reply(&call)
            }
            Intent::GetJob | Intent::Static => self.reply(&call),
            Intent::Answer { text } => {
                self.answered(text);
                Ok(())
            }
            Intent::Ignored => Ok(()),
            Intent::Unknown { method } => {
                let text = format!("unknown method {method:?}");
                self.refuse(&call, Failure::UnknownMethod, Some(&text))
            }
            Intent::Malformed { why } => self.malformed(&call, &why),
        }
    }

    pub(crate) async fn hello(
        &mut self,
        call: &Call,
        agent: Option<String>,
        resume: Option<String>,
    ) -> Result<(), End> {
        if let Some(agent) = agent {
            self.met(&agent);
        }
        if self.session.lease.is_none() {
            let lease = self.lease(resume.as_deref()).await?;
            if let Some(difficulty) = lease.kept.difficulty.filter(|_| !self.chose) {
                self.session.vardiff.suggest(difficulty, Instant::now());
                self.chose = true;
                self.retarget();
            }
            self.session.take_lease(lease);
            self.entry.lock().info.session = self.session.id;
        }
        self.session.subscribed = true;
        self.reply(call)
    }

    /// The user agent is known now: what the operator asks of its kind applies.
    pub(crate) fn met(&mut self, agent: &str) {
        let agent: String = agent.chars().take(128).collect();
        let minimum =
            self.shared.core.config.agent_minimum.iter().find(|(begin, _)| agent.starts_with(begin.as_str()));
        if let Some((_, minimum)) = minimum {
            self.session.vardiff.set_floor(*minimum, Instant::now());
            self.retarget();
        }
        self.entry.lock().info.agent.clone_from(&agent);
        self.session.agent = agent;
    }

    pub(crate) async fn lease(&mut self, resume: Option<&str>) -> Result<Lease, End> {
        let now = Instant::now();
        let tree = &self.shared.core.tree;
        let resumed = resume.and_then(|text| {
            let by_session = session_of(text).and_then(|session| tree.resume(session, now));
            by_session.or_else(|| {
                let by = Owner { source: self.seat.source(), agent: self.session.agent.clone() };
                tree.resume_prefix(&hex::decode(text).ok()?, &by, now)
            })
        });
        if let Some(lease) = resumed {
            add(&self.shared.core.counters.resumed);
            return Ok(lease);
        }
        self.not_resumed = resume.map(|_| now);
        self.shared.new_lease().await.map_err(|error| {
            tracing::error!(%error, "a connection was refused");
            End::NoExtranonce
        })
    }

    pub(crate) async fn login(
        &mut self,
        call: &Call,
        user: String,
        password: Option<String>,
        agent: Option<String>,
    ) -> Result<(), End> {
        if let Some(agent) = agent {
            self.met(&agent);
        }
        let limit = self.shared.core.config.limits.handshake.0;
        let resolved = timeout(limit, self.shared.backend.resolve(&user)).await;
        let late = || NoPayee::Pool("the pool cannot look up logins now; try again".to_owned());
        let payee = match resolved.unwrap_or_else(|_| Err(late())) {
            Ok(payee) => payee,
            Err(why) => {
                add(&self.shared.core.counters.logins_refused);
                self.owes_login = matches!(why, NoPayee::Pool(_));
                return match why {
                    NoPayee::Login(why) => {
                        self.refuse(call, Failure::Unauthorized, Some(&why))?;
                        self.judged(|conduct, config| conduct.garbage(config, Instant::now()))
                    }
                    NoPayee::Pool(why) => self.refuse(call, Failure::Other, Some(&why)),
                };
            }
        };
        self.owes_login = false;
        add(&self.shared.core.counters.logins);
        if self.session.lease.is_none() {
            // A login before the subscription, or a dialect without one: the extranonce is leased now.
            let lease = self.lease(None).await?;
            self.session.take_lease(lease);
        }
        self.seat.settled();
        let now = Instant::now();
        if let Some(difficulty) = password.as_deref().and_then(password_difficulty) {
            self.session.vardiff.fix(difficulty, now);
            self.chose = true;
        } else if !self.chose
            && let Some(difficulty) = self.shared.core.last_seen.get(&payee, &self.session.agent)
        {
            self.session.vardiff.suggest(difficulty, now);
            self.chose = true;
        }
        self.retarget();
        {
            let mut entry = self.entry.lock();
            entry.info.session = self.session.id;
            entry.info.address.clone_from(&payee.address);
            entry.info.worker.clone_from(&payee.worker);
        }
        let span = tracing::Span::current();
        span.record("worker", payee.worker.as_str()).record("address", payee.address.as_str());
        tracing::debug!("logged in");
        self.session.log_in(&user, payee);
        self.reply(call)?;
        self.ask_version()
    }

    /// Asks the miner once what it is, where the operator wants that and the dialect has words for it.
    fn ask_version(&mut self) -> Result<(), End> {
        let wanted = self.shared.core.config.ask_version && self.asked.is_none();
        if wanted
            && self.session.dialect.may_push(Push::Version, &self.session)
            && self.push(Push::Version)?
        {
            self.asked = Some(true);
        }
        Ok(())
    }

    /// The miner answers a question. Only one is ever asked.
    fn answered(&mut self, text: Option<String>) {
        if self.asked == Some(true)
            && let Some(text) = text
        {
            self.asked = Some(false);
            self.entry.lock().info.version = text.chars().take(128).collect();
        }
    }

    pub(crate) fn suggested(&mut self, suggestion: Suggestion) {
        let difficulty = self.difficulty_of(suggestion);
        self.session.vardiff.suggest(difficulty, Instant::now());
        self.chose = true;
        self.retarget();
    }

    /// The miner asks for no less than this. Whether it gets that.
    fn promised(&mut self, least: Suggestion) -> bool {
        let least = self.difficulty_of(least);
        let kept = self.session.vardiff.promise(least, Instant::now());
        self.retarget();
        kept
    }

    fn difficulty_of(&self, suggestion: Suggestion) -> f64 {
        match suggestion {
            Suggestion::Difficulty(difficulty) => difficulty,
            Suggestion::Target(target) => {
                let diff1 = self.session.dialect.diff1(self.shared.chain().diff1);
                Target::from_be_bytes(target).difficulty(diff1)
            }
        }
    }

    pub(crate) fn malformed(&mut self, call: &Call, why: &str) -> Result<(), End> {
        self.refuse(call, Failure::Other, Some(why))?;
        if !call.is_request() {
            add(&self.shared.core.counters.garbage);
            self.judged(|conduct, config| conduct.garbage(config, Instant::now()))
        } else {
            // A request that makes no sense: nearly always a submit with bad fields. Its id may be null.
            self.shared.core.counters.refused(Refusal::Malformed);
            self.entry.lock().info.refused += 1;
            self.shared.backend.refused(self.session.payee(), "", Refusal::Malformed);
            self.judged(|conduct, config| conduct.invalid(config, Instant::now()))
        }
    }

    pub(crate) async fn submitted(&mut self, call: Call, share: &Submit<'_>) -> Result<(), End> {
        let mut step = submit::read(&self.shared, &mut self.session, share, UnixMillis::now());
        if step.is_cheap()
            && let Step::Judge(candidate) = step
        {
            step = submit::judge(&self.shared, *candidate).await;
        }
        let outcome = match step {
            Step::Done(outcome) if self.pending.is_empty() => {
                self.pending.push_back(Pending { call, outcome: Waiting::Ready(None) });
                return self.answer(outcome);
            }
            Step::Done(outcome) => Waiting::Ready(Some(outcome)),
            step => {
                // Of a share's own at the finest level alone: it is made for each of them.
                let span = tracing::trace_span!("share", connection = self.number);
                let settled = submit::settle(Arc::clone(&self.shared), step).instrument(span);
                Waiting::Task(tokio::spawn(settled))
            }
        };
        self.pending.push_back(Pending { call, outcome });
        Ok(())
    }

    /// Answers the oldest share.
    pub(crate) fn answer(&mut self, outcome: Outcome) -> Result<(), End> {
        let Some(Pending { call, .. }) = self.pending.pop_front() else { return Ok(()) };
        match outcome {
            Outcome::Counted(counted) => {
                add(&self.shared.core.counters.accepted);
                let now = Instant::now();
                {
                    let mut entry = self.entry.lock();
                    entry.info.accepted += 1;
                    entry.info.last_share = Some(counted.time);
                    entry.hashrate.share(counted.target, now);
                }
                self.conduct.valid(&self.shared.core.config.bans);
                self.slowed = None;
                self.reply(&call)?;
                if self.session.vardiff.share(counted.difficulty, now).is_some() {
                    return self.retargeted();
                }
                Ok(())
            }
            Outcome::Refused { why, text, worker } => {
                self.shared.core.counters.refused(why);
                self.shared.backend.refused(self.session.payee(), &worker, why);
                self.entry.lock().info.refused += 1;
                self.refuse(&call, submit::failure(why), text.as_deref())?;
                if submit::is_misconduct(why) && !self.is_excused(why) {
                    self.judged(|conduct, config| conduct.invalid(config, Instant::now()))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Whether what would speak against a miner is the pool's doing: he cannot log in because the pool cannot look him up,
    /// or his session could not be taken up again and shares of it are still on their way.
    fn is_excused(&self, why: Refusal) -> bool {
        match why {
            Refusal::Unauthorized => self.owes_login,
            Refusal::UnknownJob => self.not_resumed.is_some_and(|at| at.elapsed() < ON_THEIR_WAY),
            _ => false,
        }
    }

    /// Acts on what the miner's conduct calls for.
    pub(crate) fn judged(
        &mut self,
        judge: impl FnOnce(&mut Conduct, &BanConfig) -> Verdict,
    ) -> Result<(), End> {
        match judge(&mut self.conduct, &self.shared.core.config.bans) {
            Verdict::Fine => Ok(()),
            Verdict::FreshJob => self.send_job(),
            Verdict::Reconnect => match self.push(Push::Reconnect) {
                Ok(true) => Ok(()),
                // Without a message that it would understand, dropping it has the same effect.
                _ => Err(End::Invalid),
            },
            Verdict::Drop => Err(End::Invalid),
            Verdict::Ban(reason) => {
                self.ban(reason);
                Err(End::Banned)
            }
        }
    }

    /// Leaves further lines in the socket while the connection sends more than it may.
    fn slow_down(&mut self, now: Instant) -> Result<(), End> {
        self.read_from = self.bucket.ready_at();
        if self.read_from.is_none() {
            return Ok(());
        }
        match self.slowed {
            None => {
                add(&self.shared.core.counters.slowed);
                self.slowed = Some(now);
            }
            Some(since) if now >= since + self.shared.core.config.limits.flood.0 => {
                add(&self.shared.core.counters.floods);
                self.ban(BanReason::Flood);
                return Err(End::Flood);
            }
            Some(_) => {}
        }
        Ok(())
    }

    pub(crate) fn ban(&self, reason: BanReason) {
        let source = self.seat.source();
        if let Some(length) = self.shared.core.bans.ban(source, reason, Instant::now()) {
            add(&self.shared.core.counters.bans);
            tracing::info!(%source, ?reason, seconds = length.as_secs(), "banned");
        }
    }
}
