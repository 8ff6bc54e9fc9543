//! A thread of miners: one loop over the sockets of all its connections, told what to do by [`crate::fleet`].

use crate::connection::{Connection, Event, Login, Stage};
use crate::histogram::Histogram;
use crate::job::Job;
use crate::link::Dial;
use crate::scan::message;
use mio::{Events, Poll, Token, Waker};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// The waker's; connections have those below.
pub(crate) const WAKE: Token = Token(usize::MAX);
/// Kinds of refusal that are told apart.
const REASONS: usize = 64;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);

/// What a thread is to do.
pub(crate) enum Order {
    /// Open connections with these numbers, so many at a time, each within this time.
    Connect { numbers: Vec<usize>, at_once: usize, patience: Duration },
    /// Begin to send shares.
    Fire(Fire),
    /// What was measured so far was the warm-up: begin anew.
    Measure,
    /// Send no more shares, and wait this long for the answers that are due.
    Cease { patience: Duration },
    /// Close all connections.
    Close,
    /// End.
    Quit,
}

/// How shares are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fire {
    /// Shares that count, or shares that miss their target.
    pub(crate) meets: bool,
    /// Shares a second of the whole thread; otherwise as fast as answers come.
    pub(crate) rate: Option<f64>,
    /// Shares of one write.
    pub(crate) pipeline: usize,
    /// No connection sends more than this.
    pub(crate) each: Option<u64>,
}

/// What a thread tells.
pub(crate) enum Note {
    Connected(Box<Connected>),
    /// All connections sent what they may and got their answers.
    Spent,
    Fired(Box<Fired>),
    Closed,
}

/// How connecting went.
#[derive(Debug, Default)]
pub(crate) struct Connected {
    pub(crate) latency: Histogram,
    pub(crate) failed: BTreeMap<String, u64>,
}

/// How shares went.
#[derive(Debug, Default)]
pub(crate) struct Fired {
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    /// By what the server said.
    pub(crate) rejected: BTreeMap<Vec<u8>, u64>,
    pub(crate) unanswered: u64,
    pub(crate) latency: Histogram,
    /// The most that a share was sent behind its time, after the warm-up.
    pub(crate) behind: Duration,
}

/// Read from outside while a thread works.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// Shares answered so far.
    pub(crate) answered: AtomicU64,
    /// Connections that are logged in now.
    pub(crate) ready: AtomicU64,
    /// Connections that have a job.
    pub(crate) jobs: AtomicU64,
    /// Connections that the server closed after their login.
    pub(crate) lost: AtomicU64,
    /// Connections that were told of another block, since somebody set this to 0.
    pub(crate) told: AtomicU64,
    /// When which connection was first told of another block: the block's mark and the moment.
    pub(crate) blocks: Mutex<Vec<(u64, Instant)>>,
}

pub(crate) struct Worker {
    pub(crate) poll: Poll,
    pub(crate) waker: Arc<Waker>,
    pub(crate) dial: Dial,
    pub(crate) login: Login,
    pub(crate) live: Arc<Live>,
    pub(crate) orders: Receiver<Order>,
    pub(crate) notes: Sender<Note>,
    pub(crate) connections: Vec<Option<Connection>>,
    opening: Option<Opening>,
    firing: Option<Firing>,
    last_job: Option<Rc<Job>>,
    scratch: Vec<u8>,
}

struct Opening {
    numbers: Vec<usize>,
    next: usize,
    under_way: usize,
    at_once: usize,
    patience: Duration,
    looked: Instant,
    outcome: Connected,
}

struct Firing {
    fire: Fire,
    outcome: Fired,
    /// Steady: when the next share is due, and which connection's turn it is.
    due: Instant,
    turn: usize,
    /// Told to cease: when to give up waiting.
    until: Option<Instant>,
    spent: bool,
}

impl Worker {
    pub(crate) fn new(
        dial: Dial,
        login: Login,
        live: Arc<Live>,
        orders: Receiver<Order>,
        notes: Sender<Note>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Self {
            poll,
            waker,
            dial,
            login,
            live,
            orders,
            notes,
            connections: Vec::new(),
            opening: None,
            firing: None,
            last_job: None,
            scratch: Vec::with_capacity(64 << 10),
        })
    }

    /// Runs until told to end, or until nobody can tell it anything any more.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.poll.poll(&mut events, self.pause()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => done?,
            }
            for event in &events {
                if event.token() != WAKE {
                    self.serve(event.token().0, event.is_writable(), &mut buffer);
                }
            }
            loop {
                match self.orders.try_recv() {
                    Ok(Order::Quit) | Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(()),
                    Ok(order) => self.obey(order),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                }
            }
            self.open_more();
            self.fire_steadily();
            self.finish();
        }
    }

    /// How long nothing has to be done unless something comes.
    fn pause(&self) -> Option<Duration> {
        let steady =
            self.firing.as_ref().filter(|firing| firing.until.is_none() && firing.fire.rate.is_some());
        if let Some(firing) = steady {
            return Some(firing.due.saturating_duration_since(Instant::now()));
        }
        (self.opening.is_some() || self.firing.is_some()).then_some(TICK)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Connect { numbers, at_once, patience } => {
                self.opening = Some(Opening {
                    numbers,
                    next: 0,
                    under_way: 0,
                    at_once: at_once.max(1),
                    patience,
                    looked: Instant::now(),
                    outcome: Connected::default(),
                });
            }
            Order::Fire(fire) => {
                self.firing = Some(Firing {
                    fire,
                    outcome: Fired::default(),
                    due: Instant::now(),
                    turn: 0,
                    until: None,
                    spent: false,
                });
                for connection in self.connections.iter_mut().flatten() {
                    connection.shares_of_firing = 0;
                }
                if fire.rate.is_none() {
                    (0..self.connections.len()).for_each(|place| self.fire_at(place));
                }
            }
            Order::Measure => {
                if let Some(firing) = &mut self.firing {
                    (firing.outcome.latency, firing.outcome.behind) = (Histogram::default(), Duration::ZERO);
                }
            }
            Order::Cease { patience } => {
                if let Some(firing) = &mut self.firing {
                    firing.until = Some(Instant::now() + patience);
                }
            }
            Order::Close => {
                (0..self.connections.len()).for_each(|place| self.drop_at(place, None));
                self.connections.clear();
                let _ = self.notes.send(Note::Closed);
            }
            Order::Quit => {}
        }
    }

    /// Something happened to a socket.
    fn serve(&mut self, place: usize, writable: bool, buffer: &mut [u8]) {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return };
        if connection.stage == Stage::Connecting {
            match connection.link.made() {
                Ok(false) => return,
                Ok(true) => {
                    if let Err(error) = connection.connected(&self.login, &mut self.scratch) {
                        return self.drop_at(place, Some(error.to_string()));
                    }
                }
                Err(error) => return self.drop_at(place, Some(error.to_string())),
            }
        }
        if writable && let Err(error) = connection.link.flush() {
            return self.drop_at(place, Some(error.to_string()));
        }
        loop {
            let Some(Some(connection)) = self.connections.get_mut(place) else { return };
            let read = match connection.link.read(buffer) {
                Ok(0) => return self.drop_at(place, Some("the server hung up".to_owned())),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return self.drop_at(place, Some(error.to_string())),
            };
            let all = read < buffer.len() && connection.link.short_read_is_all();
            if let Err(why) = self.lines(place, buffer.get(..read).unwrap_or_default()) {
                return self.drop_at(place, Some(why));
            }
            if all {
                break;
            }
        }
        if self.firing.as_ref().is_some_and(|firing| firing.fire.rate.is_none() && firing.until.is_none()) {
            self.fire_at(place);
        }
    }

    /// What was read, line by line; the beginning of a line is kept.
    fn lines(&mut self, place: usize, read: &[u8]) -> Result<(), String> {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return Ok(()) };
        let mut kept = std::mem::take(&mut connection.rest);
        let text = if kept.is_empty() {
            read
        } else {
            kept.extend_from_slice(read);
            &kept
        };
        let (lines, rest) = match text.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => text.split_at(end + 1),
            None => (&[][..], text),
        };
        connection.rest = rest.to_vec();
        if connection.is_endless() {
            return Err("the server sent a line without an end".to_owned());
        }
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.line(place, line)?;
        }
        Ok(())
    }

    fn line(&mut self, place: usize, line: &[u8]) -> Result<(), String> {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return Ok(()) };
        let heard = connection.hear(&message(line), &mut self.last_job, &self.login, &mut self.scratch);
        match heard.map_err(|error| error.to_string())? {
            Event::None => {}
            Event::Refused(why) => return Err(why.to_owned()),
            Event::Ready => {
                self.live.ready.fetch_add(1, Ordering::Relaxed);
                if let Some(opening) = &mut self.opening {
                    opening.outcome.latency.record(connection.begun.elapsed());
                    opening.under_way = opening.under_way.saturating_sub(1);
                }
            }
            Event::Job { first, other_block } => {
                if first {
                    self.live.jobs.fetch_add(1, Ordering::Relaxed);
                }
                if other_block && let Some(job) = &connection.job {
                    self.live.blocks.lock().push((job.parent, Instant::now()));
                    self.live.told.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Answer(sent, counts, error) => {
                self.live.answered.fetch_add(1, Ordering::Relaxed);
                if let Some(firing) = &mut self.firing {
                    firing.outcome.latency.record(sent.elapsed());
                    if counts {
                        firing.outcome.accepted += 1;
                    } else {
                        refused(&mut firing.outcome.rejected, error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Opens connections while there are places.
    fn open_more(&mut self) {
        let Some(opening) = &mut self.opening else { return };
        let mut failed = Vec::new();
        while opening.under_way < opening.at_once {
            let Some(number) = opening.numbers.get(opening.next).copied() else { break };
            opening.next += 1;
            let place = self.connections.len();
            let opened = self.dial.open(number).and_then(|mut link| {
                link.register(self.poll.registry(), Token(place))?;
                Ok(link)
            });
            match opened {
                Ok(link) => {
                    self.connections.push(Some(Connection::new(link, number, &self.login)));
                    opening.under_way += 1;
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
        for why in failed {
            *opening.outcome.failed.entry(why).or_default() += 1;
        }
        if opening.looked.elapsed() >= TICK {
            opening.looked = Instant::now();
            let patience = opening.patience;
            let late = |connection: &Connection| {
                connection.stage != Stage::Ready && connection.begun.elapsed() > patience
            };
            let places: Vec<usize> = (0..)
                .zip(&self.connections)
                .filter_map(|(place, connection)| connection.as_ref().is_some_and(late).then_some(place))
                .collect();
            for place in places {
                self.drop_at(place, Some("the handshake took too long".to_owned()));
            }
        }
    }

    /// Closes a connection; `why` when it is not our wish.
    fn drop_at(&mut self, place: usize, why: Option<String>) {
        let Some(mut connection) = self.connections.get_mut(place).and_then(Option::take) else { return };
        connection.link.deregister(self.poll.registry());
        if connection.job.is_some() {
            self.live.jobs.fetch_sub(1, Ordering::Relaxed);
        }
        if connection.stage == Stage::Ready {
            self.live.ready.fetch_sub(1, Ordering::Relaxed);
            if why.is_some() {
                self.live.lost.fetch_add(1, Ordering::Relaxed);
            }
        } else if let Some(opening) = &mut self.opening {
            opening.under_way = opening.under_way.saturating_sub(1);
            *opening.outcome.failed.entry(why.unwrap_or_default()).or_default() += 1;
        }
        if let Some(firing) = &mut self.firing {
            firing.outcome.unanswered += connection.unanswered() as u64;
        }
    }

    /// At the maximum rate: the next shares of a connection that has all its answers.
    fn fire_at(&mut self, place: usize) {
        let Some(firing) = self.firing.as_mut().filter(|firing| firing.until.is_none()) else { return };
        let Some(Some(connection)) = self.connections.get_mut(place) else { return };
        if connection.stage != Stage::Ready || connection.unanswered() > 0 || connection.link.is_full() {
            return;
        }
        self.scratch.clear();
        for _ in 0..firing.fire.pipeline {
            let spent = firing.fire.each.is_some_and(|each| connection.shares_of_firing >= each);
            if spent || !connection.share(firing.fire.meets, &mut self.scratch) {
                break;
            }
            firing.outcome.sent += 1;
        }
        if !self.scratch.is_empty()
            && let Err(error) = connection.link.write(&self.scratch)
        {
            self.drop_at(place, Some(error.to_string()));
        }
    }

    /// At a steady rate: all shares that are due, of one connection after the other.
    fn fire_steadily(&mut self) {
        let Some(firing) = self.firing.as_mut().filter(|firing| firing.until.is_none()) else { return };
        let Some(rate) = firing.fire.rate else { return };
        let every = Duration::from_secs_f64(1.0 / rate.max(0.001));
        let now = Instant::now();
        let mut lost = Vec::new();
        let mut idle = 0;
        while firing.due <= now && idle < self.connections.len().max(1) {
            let place = firing.turn;
            firing.turn = (firing.turn + 1) % self.connections.len().max(1);
            let Some(Some(connection)) = self.connections.get_mut(place) else {
                idle += 1;
                continue;
            };
            let spent = firing.fire.each.is_some_and(|each| connection.shares_of_firing >= each);
            self.scratch.clear();
            if connection.stage != Stage::Ready
                || spent
                || !connection.share(firing.fire.meets, &mut self.scratch)
            {
                idle += 1;
                continue;
            }
            idle = 0;
            firing.outcome.sent += 1;
            firing.outcome.behind = firing.outcome.behind.max(now.saturating_duration_since(firing.due));
            firing.due += every;
            if let Err(error) = connection.link.write(&self.scratch) {
                lost.push((place, error.to_string()));
            }
        }
        if firing.due <= now {
            // Nobody could send: what was due is not made up for.
            firing.due = now + TICK;
        }
        for (place, why) in lost {
            self.drop_at(place, Some(why));
        }
    }

    /// Tells what is done.
    fn finish(&mut self) {
        let settled = |opening: &Opening| opening.under_way == 0 && opening.next >= opening.numbers.len();
        if self.opening.as_ref().is_some_and(settled)
            && let Some(opening) = self.opening.take()
        {
            let _ = self.notes.send(Note::Connected(Box::new(opening.outcome)));
        }
        let Some(firing) = &mut self.firing else { return };
        let looks = firing.until.is_some() || (firing.fire.each.is_some() && !firing.spent);
        if !looks {
            return;
        }
        let mut waiting = self.connections.iter().flatten().map(Connection::unanswered);
        match firing.until {
            None => {
                let each = firing.fire.each.unwrap_or(u64::MAX);
                let done = |connection: &Connection| {
                    connection.stage != Stage::Ready
                        || (connection.shares_of_firing >= each && connection.unanswered() == 0)
                };
                if self.connections.iter().flatten().all(done) {
                    firing.spent = true;
                    let _ = self.notes.send(Note::Spent);
                }
            }
            Some(until) => {
                if Instant::now() < until && waiting.any(|count| count > 0) {
                    return;
                }
                if let Some(mut firing) = self.firing.take() {
                    let waiting: usize = self.connections.iter().flatten().map(Connection::unanswered).sum();
                    firing.outcome.unanswered += waiting as u64;
                    self.connections.iter_mut().flatten().for_each(Connection::forget);
                    let _ = self.notes.send(Note::Fired(Box::new(firing.outcome)));
                }
            }
        }
    }
}

/// Counts a refusal by its error, as it stands.
fn refused(rejected: &mut BTreeMap<Vec<u8>, u64>, error: &[u8]) {
    let known = rejected.contains_key(error) || rejected.len() < REASONS;
    let error = if known { error } else { b"of another kind" };
    match rejected.get_mut(error) {
        Some(count) => *count += 1,
        None => {
            rejected.insert(error.to_vec(), 1);
        }
    }
}
