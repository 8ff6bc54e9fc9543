//! One connection: reads lines, acts on them, writes answers and work, keeps its deadlines.
//!
//! One task reads and decides, one writes. Shares that wait for their record run on tasks of their own, which outlive
//! the connection; their answers go out in the order the shares came in. The connection reads no further while too many
//! wait.

use crate::backend::{Backend, Refusal};
use crate::bans::Conduct;
use crate::counters::{Entry, Hashrate, SessionInfo, add};
use crate::extranonce::Owner;
use crate::limits::{Bucket, Seat};
use crate::line::{LineError, Lines};
use crate::listen::Listening;
use crate::meter::Metered;
use crate::outbox::Outbox;
use crate::parking::Leaving;
use crate::server::Shared;
use crate::session::Session;
use crate::submit::Outcome;
use crate::vardiff::Vardiff;
use millpond_dialect::Call;
use millpond_types::{SessionId, UnixMillis};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep_until, timeout};
use tracing::Instrument;

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
pub(crate) struct Pending {
    pub(crate) call: Call,
    pub(crate) outcome: Waiting,
}

pub(crate) enum Waiting {
    Ready(Option<Outcome>),
    Task(JoinHandle<Outcome>),
}

pub(crate) struct Connection<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) listening: Arc<Listening>,
    pub(crate) session: Session,
    pub(crate) seat: Seat,
    pub(crate) outbox: Outbox,
    pub(crate) entry: Arc<Mutex<Entry>>,
    pub(crate) number: u64,
    pub(crate) pending: VecDeque<Pending>,
    pub(crate) conduct: Conduct,
    pub(crate) bucket: Bucket,
    /// No line is read before.
    pub(crate) read_from: Option<Instant>,
    /// Since when it sends more lines than it may, without a share that counts.
    pub(crate) slowed: Option<Instant>,
    pub(crate) opened: Instant,
    pub(crate) heard: Instant,
    /// When a job was last written.
    pub(crate) worked: Option<Instant>,
    /// The miner chose its difficulty: neither the last session's nor the port's applies.
    pub(crate) chose: bool,
    /// The newest login was refused because the pool could not look it up.
    pub(crate) owes_login: bool,
    /// The miner was asked for its version: whether its answer is still to come.
    pub(crate) asked: Option<bool>,
    /// When the miner asked for a session that it did not get.
    pub(crate) not_resumed: Option<Instant>,
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
        let metered = Metered::new(writer, Arc::clone(&shared.core));
        let outbox = Outbox::start(metered, limits.queue, limits.write.0);
        let lines = Lines::new(Metered::new(reader, Arc::clone(&shared.core)), limits.line);
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
            version: String::new(),
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
            read_from: None,
            slowed: None,
            opened,
            heard: now,
            worked: None,
            chose: false,
            owes_login: false,
            asked: None,
            not_resumed: None,
        };
        let stop = connection.shared.core.stop.subscribe();
        // What is logged of this connection says of which one, and of whom once he is known.
        let span = tracing::info_span!(
            "session",
            connection = number,
            %peer,
            worker = tracing::field::Empty,
            address = tracing::field::Empty
        );
        let served = async move {
            let end = connection.run(lines, stop).await;
            tracing::debug!(session = %connection.session.id_text, reason = %end, "connection closed");
            connection.close(end).await;
        };
        served.instrument(span).await;
    }

    pub(crate) async fn run<R: AsyncRead + Unpin>(
        &mut self,
        mut lines: Lines<R>,
        mut stop: watch::Receiver<bool>,
    ) -> End {
        let mut jobs = self.shared.jobs.subscribe();
        let mut announcements = self.shared.core.announcements.subscribe();
        let mut chains = self.shared.core.chain.subscribe();
        loop {
            let deadline = self.deadline();
            let may_read = self.read_from.is_none_or(|from| from <= Instant::now());
            let room = may_read && self.pending.len() < self.shared.core.config.limits.shares_in_flight;
            let step = tokio::select! {
                biased;
                () = stopped(&mut stop) => return End::Stopping,
                outcome = front(&mut self.pending), if !self.pending.is_empty() => self.answer(outcome),
                notice = jobs.next() => match notice {
                    Some(_) => self.send_job(),
                    None => return End::Stopping,
                },
                changed = chains.changed() => match changed {
                    Ok(()) => self.masks_changed(),
                    Err(_) => return End::Stopping,
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
                announced = announcements.recv() => match announced {
                    Ok(announcement) => self.announce(&announcement),
                    // Too many at once: the newest are what matters.
                    Err(_) => Ok(()),
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
    pub(crate) async fn close(mut self, end: End) {
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
        if self.worked.is_some() {
            if let Some(payee) = self.session.payee() {
                self.shared.core.last_seen.put(payee, &self.session.agent, difficulty);
            }
            if let Some(lease) = &mut self.session.lease {
                lease.kept.difficulty = Some(difficulty);
                lease.kept.epochs = self.session.epochs.take_newest();
                let (source, agent) = (self.seat.source(), std::mem::take(&mut self.session.agent));
                lease.kept.owner = Some(Owner { source, agent });
                let most = self.shared.core.config.limits.connections_per_source;
                lease.leaving = Leaving::ParkedOf(self.seat.source(), most);
            }
        } else if let Some(lease) = &mut self.session.lease {
            lease.leaving = Leaving::Free;
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

    pub(crate) fn deadline(&self) -> Instant {
        let limits = &self.shared.core.config.limits;
        let far = Instant::now() + Duration::from_secs(3600);
        let mut deadline = far.min(self.heard + limits.idle.0);
        if let Some(from) = self.read_from {
            deadline = deadline.min(from);
        }
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

    pub(crate) fn keepalive(&self) -> Duration {
        let of_dialect =
            self.session.dialect.keepalive_seconds().map(|seconds| Duration::from_secs(seconds.into()));
        of_dialect.unwrap_or(self.shared.core.config.keepalive.0)
    }

    pub(crate) fn on_time(&mut self) -> Result<(), End> {
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
        self.read_from = self.read_from.filter(|from| *from > now);
        let Some(worked) = self.worked else { return Ok(()) };
        if self.session.vardiff.silence(now).is_some() {
            return self.retargeted();
        }
        if now >= worked + self.keepalive() { self.keep_alive() } else { Ok(()) }
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
