//! A bare echo loop: logs every miner in, and answers each line with `true`. What it costs is the floor of any Stratum
//! server on the same machine: the system calls, and a look for the ends of lines.

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

const LISTENER: Token = Token(usize::MAX);
/// A job that has the form of one.
const JOB: &str = "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[1e-10]}\n\
    {\"id\":null,\"method\":\"mining.notify\",\"params\":[\"1\",\
    \"0000000000000000000000000000000000000000000000000000000000000000\",\"00\",\"00\",[],\"20000000\",\"1700ffff\",\
    \"504e86ed\",true]}\n";

/// The echo loop, bound.
pub struct Echo {
    listener: TcpListener,
    address: SocketAddr,
}

struct Peer {
    stream: TcpStream,
    rest: Vec<u8>,
    waiting: Vec<u8>,
}

impl Echo {
    /// Binds.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Echoes until the process ends.
    ///
    /// # Errors
    /// The system's.
    pub fn run(mut self) -> io::Result<()> {
        let mut poll = Poll::new()?;
        poll.registry().register(&mut self.listener, LISTENER, Interest::READABLE)?;
        let mut events = Events::with_capacity(1024);
        let mut peers: HashMap<Token, Peer> = HashMap::new();
        let mut next = 0;
        let (mut buffer, mut out) = (vec![0; 64 << 10], String::new());
        loop {
            match poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                done => done?,
            }
            for event in &events {
                if event.token() != LISTENER {
                    let Some(peer) = peers.get_mut(&event.token()) else { continue };
                    if peer.echo(event.token().0, &mut buffer, &mut out).is_err() {
                        peers.remove(&event.token());
                    }
                    continue;
                }
                loop {
                    let (mut stream, _) = match self.listener.accept() {
                        Ok(accepted) => accepted,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    };
                    stream.set_nodelay(true)?;
                    let token = Token(next);
                    next += 1;
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    peers.insert(token, Peer { stream, rest: Vec::new(), waiting: Vec::new() });
                }
            }
        }
    }
}

impl Peer {
    fn echo(&mut self, number: usize, buffer: &mut [u8], out: &mut String) -> io::Result<()> {
        self.flush()?;
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.rest.extend_from_slice(buffer.get(..read).unwrap_or_default());
            let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            out.clear();
            for line in self.rest.get(..end).unwrap_or_default().split(|byte| *byte == b'\n') {
                // Ours begins with its id: nothing else is read of a line.
                let digits = line.strip_prefix(b"{\"id\":").unwrap_or_default();
                let digits = digits.split(|byte| !byte.is_ascii_digit()).next().unwrap_or_default();
                let Ok(id @ 1..) = std::str::from_utf8(digits).unwrap_or_default().parse::<u64>() else {
                    continue;
                };
                // Into memory, which does not fail.
                let _ = match id {
                    1 => writeln!(out, "{{\"id\":1,\"result\":[[],\"{number:08x}\",8],\"error\":null}}"),
                    2 => write!(out, "{{\"id\":2,\"result\":true,\"error\":null}}\n{JOB}"),
                    id => writeln!(out, "{{\"id\":{id},\"result\":true,\"error\":null}}"),
                };
            }
            self.rest.drain(..end);
            self.waiting.extend_from_slice(out.as_bytes());
            self.flush()?;
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match self.stream.write(&self.waiting) {
                Ok(taken) => drop(self.waiting.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
