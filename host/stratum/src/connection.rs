//! One connection: reads lines, acts on them, writes answers and work, keeps its deadlines.
//!
//! One task reads and decides, one writes. Shares that wait for their record run on tasks of their own, which outlive
//! the connection; their answers go out in the order the shares came in. The connection reads no further while too many
//! wait.

use crate::backend::{Backend, Refusal};
use crate::bans::{BanReason, Conduct, Verdict};
use crate::counters::{Entry, Hashrate, SessionInfo, add};
use crate::extranonce::Lease;
use crate::holes::{JobHoles, JobInHand, SessionHoles};
use crate::limits::{Bucket, Seat};
use crate::line::{LineError, Lines};
use crate::outbox::{Outbox, OutboxError};
use crate::server::{Listening, Shared};
use crate::session::{Session, password_difficulty, session_of};
use crate::submit::{self, Outcome, Step};
use crate::vardiff::Vardiff;
use bytes::Bytes;
use millpond_dialect::{Call, EncodeError, Failure, HOST_VALUES, Intent, Piece, Push, Request, Suggestion};
use millpond_jobs::Found;
use millpond_types::{SessionId, Target, UnixMillis};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("the miner hung up")]
    HungUp,
    #[error("the pool is stopping")]
    Stopping,
    #[error("no login within the handshake's time")]
    Handshake,
    #[error("idle")]
    Idle,
    #[error("the miner does not read")]
    Slow,
    #[error("a line over the limit")]
    LongLine,
    #[error("too many lines")]
    Flood,
    #[error("only invalid shares")]
    Invalid,
    #[error("banned")]
    Banned,
    #[error("no extranonce is free")]
    NoExtranonce,
}

/// A share whose answer is not written yet.
struct Pending {
    call: Call,
    outcome: Waiting,
}

enum Waiting {
    Ready(Option<Outcome>),
    Task(JoinHandle<Outcome>),
}

pub(crate) struct Connection<B: Backend> {
    shared: Arc<Shared<B>>,
    listening: Arc<Listening>,
    session: Session,
    seat: Seat,
    outbox: Outbox,
    entry: Arc<Mutex<Entry>>,
    number: u64,
    pending: VecDeque<Pending>,
    conduct: Conduct,
    bucket: Bucket,
    opened: Instant,
    heard: Instant,
    /// When a job was last written.
    worked: Option<Instant>,
    /// The miner chose its difficulty: neither the last session's nor the port's applies.
    chose: bool,
}

impl<B: Backend> Connection<B> {
    /// Serves a connection to its end.
    pub(crate) async fn serve<S>(
        shared: Arc<Shared<B>>,
        listening: Arc<Listening>,
        stream: S,
        peer: SocketAddr,
        seat: Seat,
        opened: Instant,
    ) where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let now = Instant::now();
        let (reader, writer) = tokio::io::split(stream);
        let limits = &shared.core.config.limits;
        let outbox = Outbox::start(writer, limits.queue, limits.write.0);
        let lines = Lines::new(reader, limits.line);
        let dialects = listening.dialects(&shared);
        let dialect = Arc::clone(dialects.default_dialect());
        let vardiff = Vardiff::new(listening.vardiff.clone(), dialect.rounding(), None, now);
        let id = SessionId(rand::random());
        let mut session = Session::new(id, dialect, shared.core.tree.layout().total, vardiff);
        session.target = shared.target_of(&session.dialect, session.vardiff.difficulty());
        let number = shared.core.next_connection();
        let info = SessionInfo {
            session: id,
            source: seat.source(),
            port: listening.address.port(),
            dialect: session.dialect.name().to_owned(),
            agent: String::new(),
            miner: None,
            address: String::new(),
            worker: String::new(),
            difficulty: session.vardiff.difficulty(),
            hashrate: 0.0,
            accepted: 0,
            refused: 0,
            since: UnixMillis::now(),
            last_share: None,
        };
        let entry = shared.core.registry.insert(number, Entry { info, hashrate: Hashrate::new(now) });
        let bucket = Bucket::new(limits.lines_per_second, limits.burst, now);
        let mut connection = Self {
            shared,
            listening,
            session,
            seat,
            outbox,
            entry,
            number,
            pending: VecDeque::new(),
            conduct: Conduct::default(),
            bucket,
            opened,
            heard: now,
            worked: None,
            chose: false,
        };
        let stop = connection.shared.core.stop.subscribe();
        let end = connection.run(lines, stop).await;
        tracing::debug!(%peer, session = %connection.session.id_text, reason = %end, "connection closed");
        connection.close(end).await;
    }

    async fn run<R: AsyncRead + Unpin>(
        &mut self,
        mut lines: Lines<R>,
        mut stop: watch::Receiver<bool>,
    ) -> End {
        let mut jobs = self.shared.jobs.subscribe();
        loop {
            let deadline = self.deadline();
            let room = self.pending.len() < self.shared.core.config.limits.shares_in_flight;
            let step = tokio::select! {
                biased;
                () = stopped(&mut stop) => return End::Stopping,
                outcome = front(&mut self.pending), if !self.pending.is_empty() => self.answer(outcome),
                notice = jobs.next() => match notice {
                    Some(_) => self.send_job(),
                    None => return End::Stopping,
                },
                line = lines.next(), if room => match line {
                    Ok(Some(line)) => self.hear(&line).await,
                    Ok(None) => return End::HungUp,
                    Err(LineError::TooLong(_)) => {
                        add(&self.shared.core.counters.long_lines);
                        return End::LongLine;
                    }
                    Err(LineError::Io(_)) => return End::HungUp,
                },
                () = self.outbox.closed() => return End::HungUp,
                () = sleep_until(deadline.into()) => self.on_time(),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Ends the connection: what is on its way is answered first where the miner still listens.
    async fn close(mut self, end: End) {
        let drain = self.shared.core.config.drain.0;
        if matches!(end, End::Stopping | End::Invalid) {
            let all = async {
                while !self.pending.is_empty() {
                    let outcome = front(&mut self.pending).await;
                    if self.answer(outcome).is_err() {
                        break;
                    }
                }
            };
            let _ = timeout(drain, all).await;
        }
        let difficulty = self.session.vardiff.difficulty();
        if self.session.told.is_some() {
            if let Some(payee) = self.session.payee() {
                self.shared.core.last_seen.put(payee, &self.session.agent, difficulty);
            }
            if let Some(lease) = &mut self.session.lease {
                lease.kept.difficulty = Some(difficulty);
            }
        }
        // Before the socket closes, so that a miner that comes back at once finds its session.
        self.session.lease = None;
        self.shared.core.registry.remove(self.number);
        if matches!(end, End::Slow | End::Flood | End::HungUp) {
            self.outbox.abandon();
        } else {
            self.outbox.finish(drain).await;
        }
    }

    // ---- what the miner says

    async fn hear(&mut self, line: &Bytes) -> Result<(), End> {
        let now = Instant::now();
        self.heard = now;
        if !self.bucket.take(now) {
            add(&self.shared.core.counters.floods);
            self.ban(BanReason::Flood);
            return Err(End::Flood);
        }
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
        let call = decoded.call;
        match decoded.intent {
            Intent::Hello { agent, resume } => self.hello(&call, agent, resume),
            Intent::Login { user, password, agent } => self.login(&call, user, password, agent).await,
            Intent::Submit(share) => self.submitted(call, &share),
            Intent::Negotiate(requests) => {
                for request in requests {
                    match request {
                        Request::Field { field, value } => {
                            let chain = self.shared.chain();
                            self.session.negotiate(field.clone(), &value, chain.masks.get(&field));
                        }
                        Request::ExtranonceUpdates => self.session.extranonce_updates = true,
                        Request::Suggest(suggestion) => self.suggested(suggestion),
                    }
                }
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
            Intent::GetJob => self.polled(&call),
            Intent::Static => self.reply(&call),
            Intent::Ignored => Ok(()),
            Intent::Unknown { method } => {
                let text = format!("unknown method {method:?}");
                self.refuse(&call, Failure::UnknownMethod, Some(&text))
            }
            Intent::Malformed { why } => self.malformed(&call, &why),
        }
    }

    fn hello(&mut self, call: &Call, agent: Option<String>, resume: Option<String>) -> Result<(), End> {
        if let Some(agent) = agent {
            self.met(&agent);
        }
        if self.session.lease.is_none() {
            let lease = self.lease(resume.as_deref())?;
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
    fn met(&mut self, agent: &str) {
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

    fn lease(&self, resume: Option<&str>) -> Result<Lease, End> {
        let now = Instant::now();
        let tree = &self.shared.core.tree;
        let resumed = resume.and_then(|text| {
            let by_session = session_of(text).and_then(|session| tree.resume(session, now));
            by_session.or_else(|| tree.resume_prefix(&hex::decode(text).ok()?, now))
        });
        if let Some(lease) = resumed {
            add(&self.shared.core.counters.resumed);
            return Ok(lease);
        }
        tree.lease(self.session.id, now).map_err(|error| {
            tracing::error!(%error, "a connection was refused");
            End::NoExtranonce
        })
    }

    async fn login(
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
        let resolved =
            resolved.unwrap_or_else(|_| Err("the pool cannot look up logins now; try again".to_owned()));
        let payee = match resolved {
            Ok(payee) => payee,
            Err(why) => {
                add(&self.shared.core.counters.logins_refused);
                self.refuse(call, Failure::Unauthorized, Some(&why))?;
                return self.judged(|conduct, config| conduct.garbage(config));
            }
        };
        add(&self.shared.core.counters.logins);
        if self.session.lease.is_none() {
            // A login before the subscription, or a dialect without one: the extranonce is leased now.
            let lease = self.lease(None)?;
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
            entry.info.miner = Some(payee.miner);
            entry.info.address.clone_from(&payee.address);
            entry.info.worker.clone_from(&payee.worker);
        }
        self.session.log_in(&user, payee);
        self.reply(call)
    }

    fn suggested(&mut self, suggestion: Suggestion) {
        let difficulty = match suggestion {
            Suggestion::Difficulty(difficulty) => difficulty,
            Suggestion::Target(target) => {
                let diff1 = self.session.dialect.diff1(self.shared.chain().diff1);
                Target::from_be_bytes(target).difficulty(diff1)
            }
        };
        self.session.vardiff.suggest(difficulty, Instant::now());
        self.chose = true;
        self.retarget();
    }

    fn polled(&mut self, call: &Call) -> Result<(), End> {
        if self.shared.jobs.current().is_none() {
            return self.refuse(call, Failure::Other, Some("there is no work yet; try again"));
        }
        self.reply(call)
    }

    fn malformed(&mut self, call: &Call, why: &str) -> Result<(), End> {
        self.refuse(call, Failure::Other, Some(why))?;
        if call.id() == "null" {
            add(&self.shared.core.counters.garbage);
            self.judged(|conduct, config| conduct.garbage(config))
        } else {
            // A request with an id that makes no sense: nearly always a submit with bad fields.
            self.shared.core.counters.refused(Refusal::Malformed);
            self.entry.lock().info.refused += 1;
            self.shared.backend.refused(self.session.payee(), "", Refusal::Malformed);
            self.judged(|conduct, config| conduct.invalid(config, Instant::now()))
        }
    }

    fn submitted(&mut self, call: Call, share: &millpond_dialect::Submit) -> Result<(), End> {
        let step = submit::read(&self.shared, &mut self.session, share, UnixMillis::now());
        let outcome = match step {
            Step::Done(outcome) if self.pending.is_empty() => {
                self.pending.push_back(Pending { call, outcome: Waiting::Ready(None) });
                return self.answer(outcome);
            }
            Step::Done(outcome) => Waiting::Ready(Some(outcome)),
            step => Waiting::Task(tokio::spawn(submit::settle(Arc::clone(&self.shared), step))),
        };
        self.pending.push_back(Pending { call, outcome });
        Ok(())
    }

    /// Answers the oldest share.
    fn answer(&mut self, outcome: Outcome) -> Result<(), End> {
        let Some(Pending { call, .. }) = self.pending.pop_front() else { return Ok(()) };
        match outcome {
            Outcome::Counted(counted) => {
                add(&self.shared.core.counters.accepted);
                let now = Instant::now();
                {
                    let mut entry = self.entry.lock();
                    entry.info.accepted += 1;
                    entry.info.last_share = Some(counted.time);
                    entry.hashrate.add(expected_hashes(counted.target), now);
                }
                self.conduct.valid(&self.shared.core.config.bans);
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
                if submit::is_misconduct(why) {
                    self.judged(|conduct, config| conduct.invalid(config, Instant::now()))
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Acts on what the miner's conduct calls for.
    fn judged(&mut self, judge: impl FnOnce(&mut Conduct, &crate::BanConfig) -> Verdict) -> Result<(), End> {
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

    fn ban(&self, reason: BanReason) {
        let source = self.seat.source();
        if let Some(length) = self.shared.core.bans.ban(source, reason, Instant::now()) {
            add(&self.shared.core.counters.bans);
            tracing::info!(%source, ?reason, seconds = length.as_secs(), "banned");
        }
    }

    // ---- time

    fn deadline(&self) -> Instant {
        let limits = &self.shared.core.config.limits;
        let far = Instant::now() + Duration::from_secs(3600);
        let mut deadline = far.min(self.heard + limits.idle.0);
        if self.session.payee().is_none() {
            deadline = deadline.min(self.opened + limits.handshake.0);
        }
        if let Some(worked) = self.worked {
            deadline = deadline.min(worked + self.keepalive());
            if let Some(silent) = self.session.vardiff.silent_at() {
                deadline = deadline.min(silent);
            }
        }
        deadline
    }

    fn keepalive(&self) -> Duration {
        let of_dialect =
            self.session.dialect.keepalive_seconds().map(|seconds| Duration::from_secs(seconds.into()));
        of_dialect.unwrap_or(self.shared.core.config.keepalive.0)
    }

    fn on_time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let limits = &self.shared.core.config.limits;
        if self.session.payee().is_none() && now >= self.opened + limits.handshake.0 {
            add(&self.shared.core.counters.handshake_timeouts);
            return Err(End::Handshake);
        }
        if now >= self.heard + limits.idle.0 {
            add(&self.shared.core.counters.idle);
            return Err(End::Idle);
        }
        let Some(worked) = self.worked else { return Ok(()) };
        if self.session.vardiff.silence(now).is_some() {
            return self.retargeted();
        }
        if now >= worked + self.keepalive() {
            return self.send_job();
        }
        Ok(())
    }

    // ---- what the miner is told

    /// Vardiff decided: the miner gets its new difficulty and a job that it applies to.
    fn retargeted(&mut self) -> Result<(), End> {
        add(&self.shared.core.counters.retargets);
        self.retarget();
        self.send_job()
    }

    /// The difficulty changed: the target follows.
    fn retarget(&mut self) {
        let difficulty = self.session.vardiff.difficulty();
        self.session.target = self.shared.target_of(&self.session.dialect, difficulty);
        self.entry.lock().info.difficulty = difficulty;
    }

    /// Answers a request, and sends what the dialect wants after it.
    fn reply(&mut self, call: &Call) -> Result<(), End> {
        let mut out = Vec::new();
        let written = if call.wants_job() {
            self.with_job(|dialect, holes, out| dialect.encode_reply(call, holes, out), &mut out)
        } else {
            self.session.dialect.encode_reply(call, &self.holes(), &mut out)
        };
        self.write(written, out)?;
        for push in self.session.dialect.pushes_after(call, &self.session) {
            self.push(push)?;
        }
        // Anything that changed by the request and has not been said yet.
        if self.session.is_out_of_date() { self.send_job() } else { Ok(()) }
    }

    fn refuse(&mut self, call: &Call, failure: Failure, text: Option<&str>) -> Result<(), End> {
        let mut out = Vec::new();
        self.session.dialect.encode_error(call, failure, text, &mut out);
        self.write(Ok(()), out)
    }

    /// Sends a push if the dialect has it, and what the dialect wants after it. Whether something was sent.
    fn push(&mut self, push: Push) -> Result<bool, End> {
        if push == Push::Job {
            self.send_job()?;
            return Ok(true);
        }
        let mut out = Vec::new();
        let dialect = Arc::clone(&self.session.dialect);
        match dialect.encode_push(push, &self.holes(), &mut out) {
            Ok(()) => {}
            Err(_) if push == Push::Reconnect => return Ok(false),
            Err(error) => self.write(Err(error), Vec::new())?,
        }
        let sent = !out.is_empty();
        self.write(Ok(()), out)?;
        if push == Push::Target {
            self.session.told = Some(self.session.vardiff.difficulty());
        }
        for next in dialect.pushes_after_push(push, &self.session) {
            // A job after a target is what sending a job does anyway.
            if next == Push::Job || push != Push::Target {
                self.push(next)?;
            }
        }
        Ok(sent)
    }

    /// Sends the current job, and before it the difficulty where the miner does not know it yet.
    fn send_job(&mut self) -> Result<(), End> {
        let dialect = Arc::clone(&self.session.dialect);
        let Some(job) = self.shared.jobs.current() else { return Ok(()) };
        if self.session.lease.is_none() || !dialect.may_push(Push::Job, &self.session) {
            return Ok(());
        }
        let difficulty = self.session.vardiff.difficulty();
        let mut out = Vec::new();
        if self.session.told != Some(difficulty) {
            let written = dialect.encode_push(Push::Target, &self.holes(), &mut out);
            self.write(written, std::mem::take(&mut out))?;
            self.session.told = Some(difficulty);
        }
        let clean = self.is_clean(&job);
        let epoch = self.session.issue(&job);
        let written = match self.shared.rope(&dialect, &job, || dialect.encode_job(&JobHoles(&job))) {
            Ok(rope) => {
                let own = |piece: Piece<'_>| match piece {
                    Piece::Shared(_) => false,
                    Piece::Hole(hole) => HOST_VALUES.iter().all(|(name, _)| *name != hole.name()),
                };
                let stage = if rope.pieces().any(own) { self.session.stage(&job, &epoch).ok() } else { None };
                let hand = JobInHand { job: &job, epoch: &epoch, clean, stage: stage.as_deref() };
                let holes = SessionHoles { job: Some(hand), ..self.holes() };
                rope.write(&holes, &mut out)
            }
            Err(error) => Err(error),
        };
        if self.worked.is_none() {
            self.session.vardiff.restart(Instant::now());
        }
        self.worked = Some(Instant::now());
        add(&self.shared.core.counters.jobs_sent);
        self.write(written, out)
    }

    /// Whether the miner shall drop what it has: it has nothing, or work on another parent.
    fn is_clean(&self, job: &millpond_jobs::Job) -> bool {
        let Some(last) = self.session.epochs.last_job() else { return true };
        match self.shared.jobs.lookup(last, UnixMillis::now()) {
            Found::Live(last) | Found::Stale(last) => last.parent != job.parent,
            Found::Expired | Found::Unknown => true,
        }
    }

    /// Encodes with the current job's values at hand.
    fn with_job(
        &mut self,
        encode: impl FnOnce(
            &millpond_dialect::Dialect,
            &SessionHoles<'_>,
            &mut Vec<u8>,
        ) -> Result<(), EncodeError>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let dialect = Arc::clone(&self.session.dialect);
        let Some(job) = self.shared.jobs.current() else { return encode(&dialect, &self.holes(), out) };
        let clean = self.is_clean(&job);
        let epoch = self.session.issue(&job);
        let stage = self.session.stage(&job, &epoch).ok();
        let hand = JobInHand { job: &job, epoch: &epoch, clean, stage: stage.as_deref() };
        let holes = SessionHoles { job: Some(hand), ..self.holes() };
        encode(&dialect, &holes, out)?;
        self.session.told = Some(self.session.vardiff.difficulty());
        self.worked = Some(Instant::now());
        Ok(())
    }

    fn holes(&self) -> SessionHoles<'_> {
        SessionHoles {
            session: &self.session.id_text,
            prefix: &self.session.prefix,
            size: self.session.xn_size,
            difficulty: self.session.vardiff.difficulty(),
            target: self.session.target.to_be_bytes(),
            negotiated: Some(&self.session.negotiated),
            ..SessionHoles::default()
        }
    }

    fn write(&self, encoded: Result<(), EncodeError>, out: Vec<u8>) -> Result<(), End> {
        if let Err(error) = encoded {
            add(&self.shared.core.counters.encode_errors);
            tracing::warn!(dialect = self.session.dialect.name(), %error, "a message could not be written");
        }
        self.outbox.send(Bytes::from(out)).map_err(|error| match error {
            OutboxError::Full => {
                add(&self.shared.core.counters.slow_readers);
                End::Slow
            }
            OutboxError::Closed => End::HungUp,
        })
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives in what all connections share.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

/// The outcome of the oldest share, when it is there. Safe to cancel.
async fn front(pending: &mut VecDeque<Pending>) -> Outcome {
    match pending.front_mut().map(|pending| &mut pending.outcome) {
        Some(Waiting::Ready(outcome)) => {
            outcome.take().unwrap_or_else(|| Outcome::refused(Refusal::NotDurable, None, ""))
        }
        Some(Waiting::Task(task)) => match task.await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::error!(%error, "the task of a share ended early");
                Outcome::refused(
                    Refusal::NotDurable,
                    Some("the pool could not record the share".to_owned()),
                    "",
                )
            }
        },
        None => std::future::pending().await,
    }
}

/// Expected hashes of a share as a float, for hashrates only.
fn expected_hashes(target: Target) -> f64 {
    let value = target.to_be_bytes().iter().fold(0.0, |sum: f64, byte| sum * 256.0 + f64::from(*byte));
    2_f64.powi(256) / (value + 1.0)
}
