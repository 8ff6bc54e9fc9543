//! Clients that misbehave, beside the honest ones: a thread of its own goes from one to the next and lets each do a little
//! of what it does. Who is shut out comes back.

use crate::fleet::{LoadError, address};
use crate::job::Job;
use crate::scan::{Message, message};
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(5);
/// Who was shut out, or not let in, comes back after this.
const PAUSE: Duration = Duration::from_millis(100);
/// A connection that is not made by then is not made.
const CONNECT: Duration = Duration::from_secs(1);
/// Bytes of a giant line that are written in a round.
const PIECE: usize = 16 << 10;
/// What is kept of a line that is being read.
const LINE_MAX: usize = 64 << 10;
/// Levels of an array in an array.
const DEEP: usize = 4_000;

/// How a client misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mischief {
    /// Writes its subscription byte by byte.
    SlowWriter,
    /// Logs in, asks on and on, and never reads.
    SlowReader,
    /// Sends lines that are no requests: text, NUL bytes, invalid UTF-8, deep JSON.
    Garbage,
    /// Sends a line without an end.
    GiantLine,
    /// Connects and says nothing.
    Silent,
    /// Logs in and sends one share again and again.
    Duplicates,
    /// Logs in and sends shares of jobs that never were.
    UnknownJobs,
}

impl Mischief {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::SlowWriter,
        Self::SlowReader,
        Self::Garbage,
        Self::GiantLine,
        Self::Silent,
        Self::Duplicates,
        Self::UnknownJobs,
    ];

    /// As it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SlowWriter => "slow-writer",
            Self::SlowReader => "slow-reader",
            Self::Garbage => "garbage",
            Self::GiantLine => "giant-line",
            Self::Silent => "silent",
            Self::Duplicates => "duplicates",
            Self::UnknownJobs => "unknown-jobs",
        }
    }
}

impl FromStr for Mischief {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("{text:?} is no misbehaviour: there are {}", names.join(", "))
        })
    }
}

/// What the clients of one kind did and met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Met {
    /// Clients.
    pub clients: u64,
    /// Connections that were made.
    pub opened: u64,
    /// Connections that were not.
    pub not_let_in: u64,
    /// Connections that the server closed.
    pub closed: u64,
    /// Bytes that the server took.
    pub sent: u64,
    /// Bytes that it answered, as far as they were read.
    pub heard: u64,
}

/// What all of them did and met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Din(pub BTreeMap<&'static str, Met>);

impl fmt::Display for Din {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, met)| {
            writeln!(
                f,
                "{:<28}{} clients: {} connections, {} not let in, {} closed by the server; {} bytes sent, {} heard",
                format!("  {name}"),
                met.clients,
                met.opened,
                met.not_let_in,
                met.closed,
                met.sent,
                met.heard
            )
        })
    }
}

/// Misbehaving clients at work. They end when this is dropped.
pub struct Noise {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Din>>,
}

impl Noise {
    /// Lets clients loose on a server, so many of each kind, from these addresses in turn (empty: as the system likes).
    ///
    /// # Errors
    /// No such server, or no thread.
    pub fn start(
        server: &str,
        from: &[IpAddr],
        login: &str,
        clients: &[(Mischief, usize)],
    ) -> Result<Self, LoadError> {
        let server = address(server)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut culprits = Vec::new();
        for (kind, count) in clients {
            for _ in 0..*count {
                let number = culprits.len();
                let from = number.checked_rem(from.len()).and_then(|turn| from.get(turn)).copied();
                culprits.push(Culprit::new(*kind, server, from, login.replace("{}", &format!("n{number}"))));
            }
        }
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("noise".to_owned()).spawn(move || {
            while !told.load(Ordering::Relaxed) {
                culprits.iter_mut().for_each(Culprit::misbehave);
                std::thread::sleep(ROUND);
            }
            let mut din = Din::default();
            for culprit in culprits {
                din.0.entry(culprit.kind.name()).or_default().add(culprit.met);
            }
            din
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends them; what they met.
    ///
    /// # Errors
    /// When their thread has ended before.
    pub fn stop(mut self) -> Result<Din, LoadError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).ok_or(LoadError::Ended)
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Met {
    fn add(&mut self, other: Self) {
        self.clients += other.clients;
        self.opened += other.opened;
        self.not_let_in += other.not_let_in;
        self.closed += other.closed;
        self.sent += other.sent;
        self.heard += other.heard;
    }
}

/// One of them.
struct Culprit {
    kind: Mischief,
    server: SocketAddr,
    from: Option<IpAddr>,
    login: String,
    stream: Option<TcpStream>,
    /// Not before.
    next: Instant,
    /// What is to be written before anything else, from the front.
    line: Vec<u8>,
    read: Vec<u8>,
    /// Name and time of a job, as they stand in a submit.
    job: Option<(String, String)>,
    turn: usize,
    met: Met,
}

impl Culprit {
    fn new(kind: Mischief, server: SocketAddr, from: Option<IpAddr>, login: String) -> Self {
        Self {
            kind,
            server,
            from,
            login,
            stream: None,
            next: Instant::now(),
            line: Vec::new(),
            read: Vec::new(),
            job: None,
            turn: 0,
            met: Met { clients: 1, ..Met::default() },
        }
    }

    fn misbehave(&mut self) {
        if Instant::now() < self.next {
            return;
        }
        if self.stream.is_none() {
            return self.come();
        }
        self.turn = self.turn.wrapping_add(1);
        if self.kind != Mischief::SlowReader && !self.listen() {
            return self.go();
        }
        if self.line.is_empty() {
            self.line = self.next_line();
        }
        let most = match self.kind {
            Mischief::SlowWriter => 1,
            _ => self.line.len(),
        };
        let Some(stream) = &mut self.stream else { return };
        match stream.write(self.line.get(..most).unwrap_or(&self.line)) {
            Ok(taken) => {
                self.met.sent += taken as u64;
                self.line.drain(..taken.min(self.line.len()));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.go(),
        }
    }

    fn come(&mut self) {
        let made = Socket::new(Domain::for_address(self.server), Type::STREAM, Some(Protocol::TCP)).and_then(
            |socket| {
                if let Some(from) = self.from {
                    socket.bind(&SocketAddr::new(from, 0).into())?;
                }
                socket.connect_timeout(&self.server.into(), CONNECT)?;
                socket.set_nonblocking(true)?;
                Ok(TcpStream::from(socket))
            },
        );
        match made {
            Ok(stream) => {
                self.met.opened += 1;
                (self.line, self.job) = (self.first_lines(), None);
                self.read.clear();
                self.stream = Some(stream);
            }
            Err(_) => {
                self.met.not_let_in += 1;
                self.next = Instant::now() + PAUSE;
            }
        }
    }

    fn go(&mut self) {
        self.met.closed += 1;
        (self.stream, self.next) = (None, Instant::now() + PAUSE);
    }

    /// Reads what is there; false at the end.
    fn listen(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut buffer = [0; 8 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(read) => {
                    self.met.heard += read as u64;
                    self.read.extend_from_slice(buffer.get(..read).unwrap_or_default());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.read.drain(..=end).collect();
            if let Message::Notify(params) = message(&line)
                && let Some(job) = Job::read(params)
            {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                self.job = Some((text(&job.id), text(&job.time)));
            }
        }
        self.read.truncate(LINE_MAX);
        true
    }

    fn first_lines(&self) -> Vec<u8> {
        let subscribe = "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"noise\"]}\n";
        match self.kind {
            Mischief::SlowWriter => subscribe.into(),
            Mischief::SlowReader | Mischief::Duplicates | Mischief::UnknownJobs => {
                let login = serde_json::json!([self.login, "x"]);
                format!("{subscribe}{{\"id\":2,\"method\":\"mining.authorize\",\"params\":{login}}}\n")
                    .into_bytes()
            }
            Mischief::Garbage | Mischief::GiantLine | Mischief::Silent => Vec::new(),
        }
    }

    /// What is said next, if anything.
    fn next_line(&self) -> Vec<u8> {
        let submit = |job: &str, time: &str| {
            let id = self.turn;
            let params = serde_json::json!([self.login, job, "00000001", time, "00000001"]);
            format!("{{\"id\":{id},\"method\":\"mining.submit\",\"params\":{params}}}\n").into_bytes()
        };
        match self.kind {
            Mischief::Silent => Vec::new(),
            Mischief::SlowWriter | Mischief::SlowReader => {
                "{\"id\":3,\"method\":\"mining.subscribe\",\"params\":[]}\n".into()
            }
            Mischief::Garbage => match self.turn % 4 {
                0 => b"GET / HTTP/1.1\r\n".to_vec(),
                1 => b"{\"id\":1,\"method\":\"mining.\0submit\"\0}\n".to_vec(),
                2 => b"{\"id\":\xff\xfe,\"method\":\"\xc0\xaf\"}\n".to_vec(),
                _ => [&b"{\"id\":1,\"method\":\"mining.submit\",\"params\":"[..], &[b'['; DEEP], b"\n"]
                    .concat(),
            },
            Mischief::GiantLine => vec![b'a'; PIECE],
            Mischief::Duplicates => match &self.job {
                Some((job, time)) => submit(job, time),
                None => Vec::new(),
            },
            Mischief::UnknownJobs => {
                submit(&format!("{:x}", self.turn.wrapping_mul(2_654_435_761)), "504e86ed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_and_no_other_is_one() {
        for kind in Mischief::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("rude".parse::<Mischief>().unwrap_err().contains("slow-writer, slow-reader"));
    }
}
