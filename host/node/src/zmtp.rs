//! A subscriber of ZMQ publishers: ZMTP 3.0 with the NULL mechanism (RFC 23/ZMTP), the SUB side alone.
//!
//! Bitcoin Core publishes `hashblock` and others over ZMQ; that is all this is for. Nothing of CURVE or PLAIN is
//! here, and nothing is sent but the greeting, READY, subscriptions and PONG. No node that a package registry offers
//! has ZMQ: it is tested against publishers written from the RFC, in the tests beside it and in the development chain.

use crate::NodeError;
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Parts of a message that are read; Core sends three.
const MAX_PARTS: usize = 8;
/// A command is small: READY with a few properties.
const MAX_COMMAND: usize = 4096;
/// Flag bits of a frame (RFC 23, "Framing").
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// What to subscribe to, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// `host:port` of the publisher.
    pub authority: String,
    /// Topics in full. A publisher matches prefixes; messages with a longer topic are dropped here.
    pub topics: Vec<String>,
    /// The largest part of a message, in bytes.
    pub max_part: usize,
}

/// A message of a subscribed topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// All parts, the topic first.
    pub parts: Vec<Bytes>,
}

impl Message {
    /// The first two parts. None when there is no second one or the topic is not text.
    #[must_use]
    pub fn topic_and_data(&self) -> Option<(String, Bytes)> {
        let topic = std::str::from_utf8(self.parts.first()?).ok()?;
        Some((topic.to_owned(), self.parts.get(1)?.clone()))
    }
}

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
pub enum ZmtpError {
    /// The socket.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// No connection or no handshake in time.
    #[error("no handshake within the time allowed")]
    Timeout,
    /// The peer speaks something else.
    #[error("the peer is not a ZMTP 3 publisher with the NULL mechanism: {0}")]
    Peer(&'static str),
    /// A frame above the limit.
    #[error("a frame of {0} bytes is above the limit of {1}")]
    TooLarge(u64, usize),
    /// The peer sent an ERROR command.
    #[error("the publisher refused: {0}")]
    Refused(String),
}

/// The `host:port` of `tcp://host:port`.
///
/// # Errors
/// When the address is of another form.
pub fn authority(url: &str) -> Result<String, NodeError> {
    let fault = || NodeError::Address { address: url.into(), why: "tcp://host:port is expected" };
    let authority = url.strip_prefix("tcp://").ok_or_else(fault)?;
    let (host, port) = authority.rsplit_once(':').ok_or_else(fault)?;
    if host.is_empty() || host.contains(['/', '@']) || port.parse::<u16>().map_or(true, |port| port == 0) {
        return Err(fault());
    }
    Ok(authority.to_owned())
}

impl Subscription {
    /// Connects, subscribes and hands over messages until the connection ends, which is always an error.
    pub async fn run(&self, connect: Duration, mut deliver: impl FnMut(Message)) -> ZmtpError {
        match self.try_run(connect, &mut deliver).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn try_run(
        &self,
        connect: Duration,
        deliver: &mut impl FnMut(Message),
    ) -> Result<std::convert::Infallible, ZmtpError> {
        let opening = async {
            let mut stream = TcpStream::connect(&self.authority).await?;
            stream.set_nodelay(true)?;
            self.open(&mut stream).await?;
            Ok::<_, ZmtpError>(stream)
        };
        let stream = tokio::time::timeout(connect, opening).await.map_err(|_| ZmtpError::Timeout)??;
        self.listen(stream, deliver).await
    }

    /// The same over a stream that is there already, without a deadline: what a publisher says in it, to its end.
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        deliver: &mut impl FnMut(Message),
    ) -> ZmtpError {
        let ended = match self.open(&mut stream).await {
            Ok(()) => self.listen(stream, deliver).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    async fn open<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut S) -> Result<(), ZmtpError> {
        handshake(stream).await?;
        for topic in &self.topics {
            let mut body = vec![1];
            body.extend_from_slice(topic.as_bytes());
            write_frame(stream, 0, &body).await?;
        }
        Ok(())
    }

    async fn listen<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        deliver: &mut impl FnMut(Message),
    ) -> Result<std::convert::Infallible, ZmtpError> {
        let mut parts = Vec::new();
        loop {
            let (flags, body) = read_frame(&mut stream, self.max_part).await?;
            if flags & COMMAND != 0 {
                answer_command(&mut stream, &body).await?;
                continue;
            }
            if parts.len() >= MAX_PARTS {
                return Err(ZmtpError::Peer("a message has too many parts"));
            }
            parts.push(body);
            if flags & MORE == 0 {
                let message = Message { parts: std::mem::take(&mut parts) };
                let topic = message.parts.first();
                if topic.is_some_and(|topic| self.topics.iter().any(|known| known.as_bytes() == &topic[..])) {
                    deliver(message);
                }
            }
        }
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<(), ZmtpError> {
    // Greeting: signature (10), version 3.0 (2), mechanism (20), as-server (1), filler (31).
    let mut greeting = [0_u8; 64];
    for (place, byte) in [(0, 0xff), (9, 0x7f), (10, 3)] {
        if let Some(slot) = greeting.get_mut(place) {
            *slot = byte;
        }
    }
    for (slot, byte) in greeting.iter_mut().skip(12).zip(b"NULL") {
        *slot = *byte;
    }
    stream.write_all(&greeting).await?;
    // The signature and the version come first, so that an older peer is told apart from one that is slow.
    let mut head = [0_u8; 11];
    stream.read_exact(&mut head).await?;
    if head.first() != Some(&0xff) || head.get(9).is_none_or(|byte| byte & 1 == 0) {
        return Err(ZmtpError::Peer("it does not greet with a ZMTP signature"));
    }
    if head.get(10).is_none_or(|major| *major < 3) {
        return Err(ZmtpError::Peer("its version is below 3"));
    }
    let mut rest = [0_u8; 53];
    stream.read_exact(&mut rest).await?;
    let mechanism: Vec<u8> = rest.iter().skip(1).take(20).copied().take_while(|byte| *byte != 0).collect();
    if mechanism != b"NULL" {
        return Err(ZmtpError::Peer("it asks for another security mechanism"));
    }
    write_frame(stream, COMMAND, &ready()).await?;
    let (flags, body) = read_frame(stream, MAX_COMMAND).await?;
    if flags & COMMAND == 0 {
        return Err(ZmtpError::Peer("its first frame is not a command"));
    }
    let (name, mut properties) = command(&body)?;
    if name == b"ERROR" {
        return Err(refused(properties));
    }
    if name != b"READY" {
        return Err(ZmtpError::Peer("its first command is not READY"));
    }
    while !properties.is_empty() {
        let (name, rest) = short_string(properties)?;
        let (length, rest) =
            rest.split_first_chunk::<4>().ok_or(ZmtpError::Peer("a property is cut short"))?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let value = rest.get(..length).ok_or(ZmtpError::Peer("a property is cut short"))?;
        properties = rest.get(length..).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"Socket-Type") && value != b"PUB" && value != b"XPUB" {
            return Err(ZmtpError::Peer("its socket is not a publisher's"));
        }
    }
    Ok(())
}

fn ready() -> Vec<u8> {
    let mut body = vec![5];
    body.extend_from_slice(b"READY");
    body.push(11);
    body.extend_from_slice(b"Socket-Type");
    body.extend_from_slice(&3_u32.to_be_bytes());
    body.extend_from_slice(b"SUB");
    body
}

async fn answer_command<S: AsyncWrite + Unpin>(stream: &mut S, body: &[u8]) -> Result<(), ZmtpError> {
    let (name, rest) = command(body)?;
    match name {
        // RFC 37 (ZMTP 3.1): PING carries a time to live of two bytes and a context that PONG repeats.
        b"PING" => {
            let mut pong = vec![4];
            pong.extend_from_slice(b"PONG");
            pong.extend_from_slice(rest.get(2..).unwrap_or_default());
            write_frame(stream, COMMAND, &pong).await
        }
        b"ERROR" => Err(refused(rest)),
        _ => Ok(()),
    }
}

fn refused(reason: &[u8]) -> ZmtpError {
    let text = short_string(reason).map(|(text, _)| text).unwrap_or_default();
    ZmtpError::Refused(String::from_utf8_lossy(text).into_owned())
}

fn command(body: &[u8]) -> Result<(&[u8], &[u8]), ZmtpError> {
    short_string(body)
}

/// A string with its length in one byte before it, and what follows.
fn short_string(bytes: &[u8]) -> Result<(&[u8], &[u8]), ZmtpError> {
    let (length, rest) = bytes.split_first().ok_or(ZmtpError::Peer("a command is cut short"))?;
    let length = usize::from(*length);
    match (rest.get(..length), rest.get(length..)) {
        (Some(text), Some(rest)) => Ok((text, rest)),
        _ => Err(ZmtpError::Peer("a command is cut short")),
    }
}

async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S, limit: usize) -> Result<(u8, Bytes), ZmtpError> {
    let flags = stream.read_u8().await?;
    if flags & !(MORE | LONG | COMMAND) != 0 {
        return Err(ZmtpError::Peer("a frame has unknown flags"));
    }
    let length =
        if flags & LONG == 0 { u64::from(stream.read_u8().await?) } else { stream.read_u64().await? };
    let limit = if flags & COMMAND == 0 { limit } else { MAX_COMMAND };
    let wanted = usize::try_from(length).ok().filter(|length| *length <= limit);
    let wanted = wanted.ok_or(ZmtpError::TooLarge(length, limit))?;
    // Memory grows with what has arrived, not with what was announced.
    let mut body = BytesMut::with_capacity(wanted.min(64 * 1024));
    let mut source = stream.take(length);
    while body.len() < wanted {
        if source.read_buf(&mut body).await? == 0 {
            return Err(ZmtpError::Io(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok((flags, body.freeze()))
}

async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, flags: u8, body: &[u8]) -> Result<(), ZmtpError> {
    let mut frame = Vec::with_capacity(body.len() + 9);
    match u8::try_from(body.len()) {
        Ok(length) => frame.extend_from_slice(&[flags, length]),
        Err(_) => {
            frame.push(flags | LONG);
            frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(body);
    stream.write_all(&frame).await?;
    stream.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_publisher_is_tcp_host_and_port() {
        assert_eq!(authority("tcp://127.0.0.1:28332").unwrap(), "127.0.0.1:28332");
        for bad in
            ["127.0.0.1:28332", "tcp://127.0.0.1", "tcp://:1", "tcp://a:0", "tcp://a:99999", "ipc:///x"]
        {
            assert!(authority(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_frame_is_not_believed_before_it_arrived() {
        let announced = [&[2_u8][..], &u64::MAX.to_be_bytes()].concat();
        assert!(matches!(read_frame(&mut &announced[..], 1 << 20).await, Err(ZmtpError::TooLarge(..))));
        let cut = [0_u8, 10, 1, 2, 3];
        assert!(matches!(read_frame(&mut &cut[..], 1 << 20).await, Err(ZmtpError::Io(_))));
        let odd = [0x80_u8, 0];
        assert!(matches!(read_frame(&mut &odd[..], 1 << 20).await, Err(ZmtpError::Peer(_))));
    }

    #[tokio::test]
    async fn a_long_body_takes_a_long_frame() {
        let body = vec![7_u8; 300];
        let mut wire = Vec::new();
        write_frame(&mut wire, MORE, &body).await.unwrap();
        assert_eq!(wire.len(), 309);
        let (flags, read) = read_frame(&mut &wire[..], 1 << 20).await.unwrap();
        assert_eq!((flags, &read[..]), (MORE | LONG, &body[..]));
    }
}
