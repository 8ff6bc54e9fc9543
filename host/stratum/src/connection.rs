//! One connection: reads lines, acts on them, writes answers and work, keeps its deadlines.
//!
//! It is one task and one future written by hand: thousands of connections wait most of their time, and one that waits
//! holds its session and nothing else, no buffer, no timer but one, no second task. In each of its turns it looks at the
//! board, takes the outcomes that are there, hears what was sent, and writes all it has to say at once. What takes time
//! runs beside it: shares ([`Flights`]) and logins ([`crate::login`]).

pub(crate) mod carried;

use crate::backend::Backend;
use crate::bans::Conduct;
use crate::board::Announcement;
use crate::config::StratumConfig;
use crate::counters::{Entry, Hashrate, Known, add, count};
use crate::extranonce::Owner;
use crate::flight::Flights;
use crate::limits::{Pace, Seat};
use crate::line::{Incoming, Kept};
use crate::listen::Listening;
use crate::login::Starting;
use crate::outbox::Outbox;
use crate::parking::Leaving;
use crate::proxy::{self, Prefixed};
use crate::server::{Chain, Phase, Shared};
use crate::session::Session;
use crate::submit::Together;
use crate::tls::{self, REFUSAL};
use crate::unread::Part;
use crate::vardiff::Vardiff;
use millpond_dialect::DialectSet;
use millpond_types::{JobId, SessionId};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

/// Reads in one turn: a miner who sends without a pause leaves the thread to others now and then.
const READS: usize = 4;

/// Bytes of answers that may wait within a turn; then they are written before more is heard.
const UNWRITTEN: usize = 64 * 1024;

/// What a turn heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Lines,
    /// So much that others are to have the thread first.
    Enough,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum End {
    #[error("the miner hung up")]
    HungUp,
    #[error("the pool is stopping")]
    Stopping,
    #[error("no login within the handshake's time")]
    Handshake,
    #[error("TLS on a port without it")]
    Tls,
    #[error("a PROXY header from an address that is not in the port's proxy_from")]
    Proxy,
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
    #[error("the operator shuts its address out")]
    Denied,
    #[error("no extranonce is free")]
    NoExtranonce,
    #[error("another process goes on with it")]
    HandedOver,
}

/// What a connection is spoken over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket alone, where that is all there is to it: what was agreed of a TLS session cannot be told to another
    /// process.
    fn into_socket(self) -> Option<std::net::TcpStream>;

    /// Whether there is such a socket.
    const CARRIED: bool;

    /// The address of its other end.
    fn through(&self) -> Option<IpAddr>;
}

impl Stream for TcpStream {
    const CARRIED: bool = true;

    fn into_socket(self) -> Option<std::net::TcpStream> {
        self.into_std().ok()
    }

    fn through(&self) -> Option<IpAddr> {
        self.peer_addr().ok().map(|peer| peer.ip())
    }
}

impl Stream for TlsStream<Prefixed<TcpStream>> {
    const CARRIED: bool = false;

    fn into_socket(self) -> Option<std::net::TcpStream> {
        None
    }

    fn through(&self) -> Option<IpAddr> {
        self.get_ref().0.inner().through()
    }
}

/// The one timer of a connection. It is armed for its next deadline or an earlier one, so that a share, which moves
/// deadlines away, does not touch it.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    at: Instant,
}

pub(crate) struct Connection<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) listening: Arc<Listening>,
    pub(crate) session: Session,
    pub(crate) seat: Seat,
    pub(crate) outbox: Outbox,
    /// What of it waits for a miner who does not read.
    unread: Part,
    pub(crate) entry: Arc<Entry>,
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) flights: Flights,
    /// A login or a lease that is under way. No line is heard meanwhile.
    pub(crate) starting: Option<Box<Starting>>,
    pub(crate) conduct: Conduct,
    pub(crate) pace: Pace,
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
    /// A job came while the miner did not read; it gets the newest when it reads again.
    pub(crate) owes_job: bool,
    /// The miner was asked for its version: whether its answer is still to come.
    pub(crate) asked: Option<bool>,
    /// When the miner asked for a session that it did not get.
    pub(crate) not_resumed: Option<Instant>,
    /// The dialects spoken here, of the chain's documents as last looked at.
    pub(crate) dialects: Arc<DialectSet>,
    chain: Arc<Chain>,
    /// The configuration as last looked at.
    pub(crate) config: Arc<StratumConfig>,
    /// What was seen of the board: its turn, its announcements, the current job.
    turn: Option<u64>,
    announced: u64,
    job: Option<JobId>,
    /// What was read and not heard.
    kept: Kept,
    /// Nothing was read yet.
    fresh: bool,
    alarm: Option<Alarm>,
    /// The registry knows whom to wake.
    listed: bool,
    /// Another process will go on with it: nothing more is heard here.
    leaving: bool,
}

impl<B: Backend> Connection<B> {
    /// A connection that was let in. `head` was read of it already; `fresh`: nobody has looked whether it speaks what
    /// this port does.
    pub(crate) fn new(
        shared: Arc<Shared<B>>,
        listening: Arc<Listening>,
        peer: SocketAddr,
        seat: Seat,
        opened: Instant,
        head: &[u8],
        fresh: bool,
    ) -> Self {
        let now = Instant::now();
        let core = &shared.core;
        let config = core.config();
        let announced = core.board.count();
        let chain = shared.chain();
        let dialects = listening.dialects(&chain);
        let dialect = Arc::clone(dialects.default_dialect());
        let vardiff = Vardiff::new(listening.vardiff.clone(), dialect.rounding(), None, now);
        let id = SessionId(rand::random());
        let mut session = Session::new(id, dialect, core.tree.layout().total, vardiff);
        session.target = shared.target_of(&session.dialect, session.vardiff.difficulty());
        let number = core.next_connection();
        let known = Known {
            session: id,
            dialect: Arc::clone(&session.dialect),
            agent: Arc::clone(&session.agent),
            version: Box::default(),
            payee: None,
            difficulty: session.vardiff.difficulty(),
            hashrate: Hashrate::new(now),
            accepted: 0,
            refused: 0,
            last_share: None,
        };
        let entry = Entry::new(seat.source(), listening.address.port(), known);
        let entry = core.registry.insert(number, entry);
        let pace = Pace::new(&config.limits, now);
        Self {
            listening,
            session,
            seat,
            outbox: Outbox::default(),
            unread: Part::default(),
            entry,
            number,
            peer,
            flights: Flights::default(),
            starting: None,
            conduct: Conduct::default(),
            pace,
            read_from: None,
            slowed: None,
            opened,
            heard: now,
            worked: None,
            chose: false,
            owes_login: false,
            owes_job: false,
            asked: None,
            not_resumed: None,
            dialects,
            chain,
            config,
            turn: None,
            announced,
            job: None,
            kept: Kept::new(head),
            fresh,
            alarm: None,
            listed: false,
            leaving: false,
            shared,
        }
    }

    /// Serves it to its end.
    pub(crate) fn serve<S: Stream>(self, stream: S) -> Serving<B, S> {
        Serving::Open(self, stream)
    }

    /// What is logged of this connection says of which one, and of whom once he is known. Made where something is said
    /// and not for a connection's life: a subscriber keeps hundreds of bytes of each.
    pub(crate) fn span(&self) -> tracing::Span {
        let (number, peer, payee) = (self.number, self.peer, self.session.payee());
        let span = tracing::info_span!(
            "session",
            connection = number,
            %peer,
            worker = tracing::field::Empty,
            address = tracing::field::Empty
        );
        if let Some(payee) = payee {
            span.record("worker", &*payee.worker).record("address", payee.address.as_str());
        }
        span
    }

    /// One turn, up to where nothing is left to do now.
    fn poll<S: Stream>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<End> {
        if !self.listed {
            // A task's waker stays the same for its life.
            self.entry.wakes(context.waker());
            self.listed = true;
        }
        match self.turn(stream, context) {
            Ok(()) => Poll::Pending,
            Err(end) => {
                if end == End::HungUp {
                    // Some say their last words and listen no further, but for the answers to these.
                    let _ = self.outbox.poll_write(stream, context);
                }
                Poll::Ready(end)
            }
        }
    }

    fn turn<S: Stream>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Result<(), End> {
        loop {
            self.look(stream)?;
            if self.leaving && !S::CARRIED {
                return Err(End::Stopping);
            }
            while let Poll::Ready(landed) = self.flights.poll_next(context) {
                self.landed(landed)?;
            }
            let started = self.poll_starting(context)?;
            let heard = self.listen(stream, context)?;
            let was_stuck = self.outbox.is_stuck();
            let free = self.write_out(stream, context)?;
            if free && std::mem::take(&mut self.owes_job) {
                self.send_job()?;
                continue;
            }
            // What it sent while it was not read: nobody wakes us for that again.
            if free && was_stuck {
                continue;
            }
            match heard {
                Heard::Lines => {}
                Heard::Enough => {
                    self.poll_alarm(context)?;
                    context.waker().wake_by_ref();
                    return Ok(());
                }
                Heard::Nothing if started || self.poll_alarm(context)? => {}
                Heard::Nothing if self.leaving && self.is_at_rest() => return Err(End::HandedOver),
                Heard::Nothing => return Ok(()),
            }
        }
    }

    /// Looks at the board, if anything is new there.
    fn look<S: Stream>(&mut self, stream: &S) -> Result<(), End> {
        let turn = self.shared.core.board.turn();
        if self.turn == Some(turn) {
            return Ok(());
        }
        // It was let in by the configuration of before, maybe.
        let first = self.turn.replace(turn).is_none();
        if first || !Arc::ptr_eq(&self.config, &self.shared.core.config()) {
            self.follow(|| stream.through())?;
        }
        let shared = Arc::clone(&self.shared);
        match shared.core.phase() {
            Phase::Held | Phase::Serving => {}
            Phase::HandingOver => self.leaving = true,
            Phase::Stopping => return Err(End::Stopping),
        }
        let chain = shared.chain();
        if !Arc::ptr_eq(&chain, &self.chain) {
            self.dialects = self.listening.dialects(&chain);
            self.chain = chain;
            self.masks_changed()?;
        }
        let job = shared.jobs.current().map(|job| job.id);
        if job != self.job {
            self.job = job;
            if job.is_some() {
                self.send_job()?;
            }
        }
        let (announcements, count) = shared.core.board.announced(self.announced);
        self.announced = count;
        announcements.iter().try_for_each(|one: &Announcement| self.announce(one))
    }

    /// Whether another line may be heard.
    fn may_hear(&self) -> bool {
        self.starting.is_none()
            && !self.leaving
            && !self.outbox.is_stuck()
            && self.outbox.waiting().len() < UNWRITTEN
            && self.flights.len() < self.config.limits.shares_in_flight
            && self.read_from.is_none_or(|from| from <= Instant::now())
    }

    /// Hears what was sent.
    fn listen<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Result<Heard, End> {
        if !self.may_hear() {
            return Ok(Heard::Nothing);
        }
        if self.fresh && !self.kept.is_empty() {
            // A trusted proxy's header came with it.
            self.fresh = false;
            let first = std::mem::take(&mut self.kept);
            let looked = self.look_at_first(first.bytes());
            self.kept = first;
            looked?;
        }
        let mut incoming = Incoming::resume(&mut self.kept, self.config.limits.line);
        let heard = self.hear_lines(&mut incoming, stream, context);
        self.kept = incoming.leave();
        heard
    }

    fn hear_lines<S: AsyncRead + Unpin>(
        &mut self,
        incoming: &mut Incoming,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Result<Heard, End> {
        let mut together = Together::default();
        let heard = self.hear_all(incoming, &mut together, stream, context);
        // What waits came before whatever ended the turn.
        self.judge_together(&mut together).and(heard)
    }

    fn hear_all<S: AsyncRead + Unpin>(
        &mut self,
        incoming: &mut Incoming,
        together: &mut Together,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Result<Heard, End> {
        let mut heard = Heard::Nothing;
        for _ in 0..READS {
            loop {
                let line = incoming.next().map_err(|_| {
                    add(&self.shared.core.counters.long_lines);
                    End::LongLine
                })?;
                let Some(line) = line else { break };
                let more = incoming.holds_more();
                let line = incoming.line(line);
                self.hear(line, more, together)?;
                if let Some(starting) = &mut self.starting {
                    starting.heard(line);
                }
                heard = Heard::Lines;
                if !self.may_hear() {
                    return Ok(heard);
                }
            }
            let mut room = ReadBuf::new(incoming.room());
            match Pin::new(&mut *stream).poll_read(context, &mut room) {
                Poll::Pending => return Ok(heard),
                Poll::Ready(Err(_)) => return Err(End::HungUp),
                Poll::Ready(Ok(())) => {}
            }
            let bytes = room.filled().len();
            if bytes == 0 {
                return Err(End::HungUp);
            }
            if std::mem::take(&mut self.fresh) {
                self.look_at_first(room.filled())?;
            }
            count(&self.shared.core.counters.bytes_read, bytes);
            incoming.filled(bytes);
        }
        Ok(Heard::Enough)
    }

    /// Whether what a connection begins with is for another kind of port.
    fn look_at_first(&mut self, first: &[u8]) -> Result<(), End> {
        if crate::tls::is_client_hello(first) {
            // Not a ban: bfgminer tries TLS first and comes back without.
            add(&self.shared.core.counters.tls_on_plain);
            self.outbox.lines().extend_from_slice(&REFUSAL);
            return Err(End::Tls);
        }
        let header = matches!(proxy::parse(first), proxy::Parsed::Header(..) | proxy::Parsed::Invalid);
        if header && !self.listening.trusts(self.peer.ip()) {
            add(&self.shared.core.counters.refused_proxy);
            return Err(End::Proxy);
        }
        Ok(())
    }

    /// Writes what there is to say. Whether the miner took all of it.
    fn write_out<S: Stream>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Result<bool, End> {
        let (bytes, result) = self.outbox.poll_write(stream, context);
        count(&self.shared.core.counters.bytes_written, bytes);
        match result {
            Poll::Ready(Ok(())) => {
                self.shared.core.unread.release(&mut self.unread);
                Ok(true)
            }
            Poll::Ready(Err(_)) => Err(End::HungUp),
            Poll::Pending => {
                // A socket of its own keeps nothing in this process; TLS keeps up to its limit.
                let kept = if S::CARRIED { 0 } else { self.outbox.unflushed().min(tls::KEPT) };
                let (waiting, most) = (self.outbox.waiting().len() + kept, self.config.limits.unread);
                if self.shared.core.unread.hold(&mut self.unread, waiting, most) {
                    return Ok(false);
                }
                add(&self.shared.core.counters.slow_readers);
                Err(End::Slow)
            }
        }
    }

    /// Whether a deadline was reached, and was acted on.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        if !has_budget_remaining() {
            // A timer that is looked at now would not be set.
            context.waker().wake_by_ref();
            return Ok(false);
        }
        let deadline = self.deadline();
        let alarm = match &mut self.alarm {
            Some(alarm) if alarm.at <= deadline => {
                if Instant::now() < alarm.at {
                    return Ok(false);
                }
                alarm
            }
            Some(alarm) => {
                alarm.sleep.as_mut().reset(deadline.into());
                alarm.at = deadline;
                alarm
            }
            none => none.insert(Alarm { sleep: Box::pin(sleep_until(deadline.into())), at: deadline }),
        };
        if alarm.sleep.as_mut().poll(context).is_pending() {
            return Ok(false);
        }
        self.alarm = None;
        self.on_time()?;
        Ok(true)
    }

    fn deadline(&self) -> Instant {
        let limits = &self.config.limits;
        let mut deadline = self.heard + limits.idle.0;
        let others = [
            self.read_from,
            self.outbox.deadline(limits.write.0),
            self.session.payee().is_none().then(|| self.opened + limits.handshake.0),
            self.worked.map(|worked| worked + self.keepalive()),
            self.worked.and_then(|_| self.session.vardiff.silent_at()),
        ];
        for other in others.into_iter().flatten() {
            deadline = deadline.min(other);
        }
        deadline
    }

    fn keepalive(&self) -> Duration {
        let of_dialect =
            self.session.dialect.keepalive_seconds().map(|seconds| Duration::from_secs(seconds.into()));
        of_dialect.unwrap_or(self.config.keepalive.0)
    }

    fn on_time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        let core = &self.shared.core;
        let limits = &self.config.limits;
        if self.session.payee().is_none() && now >= self.opened + limits.handshake.0 {
            add(&core.counters.handshake_timeouts);
            return Err(End::Handshake);
        }
        if now >= self.heard + limits.idle.0 {
            add(&core.counters.idle);
            return Err(End::Idle);
        }
        if self.outbox.deadline(limits.write.0).is_some_and(|deadline| now >= deadline) {
            add(&core.counters.slow_readers);
            return Err(End::Slow);
        }
        self.read_from = self.read_from.filter(|from| *from > now);
        let Some(worked) = self.worked else { return Ok(()) };
        if self.session.vardiff.silence(now).is_some() {
            return self.retargeted();
        }
        if now >= worked + self.keepalive() { self.keep_alive() } else { Ok(()) }
    }

    /// Leaves its socket and what is known of it to the process that takes over.
    fn hand_over<S: Stream>(&mut self, stream: S) {
        let state = self.leave();
        match stream.into_socket() {
            Some(socket) => self.shared.core.carried.lock().push((state, socket)),
            None => self.span().in_scope(|| tracing::warn!("a socket could not be handed over")),
        }
    }

    /// Ends the connection: what is on its way is answered first where the miner still listens.
    async fn close<S: AsyncWrite + Unpin>(mut self, end: End, stream: S) {
        self.span().in_scope(
            || tracing::debug!(session = %self.session.id_text, reason = %end, "connection closed"),
        );
        self.shared.core.unread.release(&mut self.unread);
        let drain = self.config.drain.0;
        if matches!(end, End::Stopping | End::Invalid) {
            let all = async {
                while !self.flights.is_empty() {
                    let landed = self.flights.next().await;
                    if self.landed(landed).is_err() {
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
                let (source, agent) = (self.seat.source(), Arc::clone(&self.session.agent));
                lease.kept.owner = Some(Owner { source, agent });
                let most = self.config.limits.connections_per_source;
                lease.leaving = Leaving::ParkedOf(self.seat.source(), most);
            }
        } else if let Some(lease) = &mut self.session.lease {
            lease.leaving = Leaving::Free;
        }
        // Before the socket closes, so that a miner that comes back at once finds its session.
        self.session.lease = None;
        self.shared.core.registry.remove(self.number);
        if !matches!(end, End::Slow | End::Flood | End::HungUp | End::Denied) {
            let outbox = std::mem::take(&mut self.outbox);
            outbox.finish(stream, drain).await;
        }
    }
}

impl<B: Backend> Drop for Connection<B> {
    fn drop(&mut self) {
        self.shared.core.unread.release(&mut self.unread);
        self.shared.core.registry.remove(self.number);
    }
}

/// A connection being served.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of its life a connection is open, in a task's own memory"
)]
pub(crate) enum Serving<B: Backend, S> {
    Open(Connection<B>, S),
    Closing(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// Between the two, within one call.
    Over,
}

impl<B, S> Future for Serving<B, S>
where
    B: Backend,
    S: Stream,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Self::Open(connection, stream) => {
                    let end = ready!(connection.poll(stream, context));
                    if let Self::Open(mut connection, stream) = std::mem::replace(&mut *self, Self::Over) {
                        if end == End::HandedOver {
                            connection.hand_over(stream);
                            return Poll::Ready(());
                        }
                        *self = Self::Closing(Box::pin(connection.close(end, stream)));
                    }
                }
                Self::Closing(closing) => return closing.as_mut().poll(context),
                Self::Over => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Accepted, NoPayee, NotDurable, Payee};
    use millpond_jobs::Job;
    use millpond_recipe::SessionStage;
    use millpond_types::ShareSeq;
    use tokio::net::TcpStream;

    struct Nobody;

    impl Backend for Nobody {
        async fn resolve(&self, _: &str) -> Result<Arc<Payee>, NoPayee> {
            Err(NoPayee::Login(String::new()))
        }

        async fn accept(&self, _: Accepted) -> Result<Option<ShareSeq>, NotDurable> {
            Ok(None)
        }

        fn may_work(&self, _: &Job, _: &SessionStage, _: &Payee) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn the_task_of_a_connection_and_what_people_are_shown_of_it_are_small() {
        assert!(size_of::<Serving<Nobody, TcpStream>>() <= 1536);
        assert!(size_of::<Entry>() <= 256);
    }
}
