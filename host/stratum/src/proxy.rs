//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): a trusted proxy says in front of the
//! connection's first byte whose connection it is. From anybody else the header is refused: it would let a miner choose
//! his own address, and with it his limits and bans.

use bytes::{Buf, Bytes, BytesMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The signature of version 2.
const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest line of version 1, CRLF included, as its specification has it.
const V1_MAX: usize = 107;
/// The longest version 2 header taken here; TLVs beyond that have no use for a pool.
const V2_MAX: usize = 16 + 4096;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Not enough bytes to tell.
    Incomplete,
    /// No header: the connection's own bytes.
    Absent,
    /// A header of so many bytes; the address when it names one (not for health checks and unknown families).
    Header(usize, Option<SocketAddr>),
    /// A header that breaks the specification.
    Invalid,
}

/// Looks for a header at the beginning of `bytes`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    const V1: &[u8] = b"PROXY ";
    if bytes.starts_with(&V2_SIGNATURE) {
        parse_v2(bytes)
    } else if bytes.starts_with(V1) {
        parse_v1(bytes)
    } else if V2_SIGNATURE.starts_with(bytes) || V1.starts_with(bytes) {
        Parsed::Incomplete
    } else {
        Parsed::Absent
    }
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    let window = bytes.get(..bytes.len().min(V1_MAX)).unwrap_or_default();
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= V1_MAX { Parsed::Invalid } else { Parsed::Incomplete };
    };
    let Ok(line) = std::str::from_utf8(window.get(..end).unwrap_or_default()) else { return Parsed::Invalid };
    let mut words = line.split(' ').skip(1);
    let address = |ip: Option<&str>, port: Option<&str>| -> Option<SocketAddr> {
        Some(SocketAddr::new(ip?.parse().ok()?, port?.parse().ok()?))
    };
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Parsed::Header(end + 2, None);
    }
    let (source, destination) = (words.next(), words.next());
    let (source_port, destination_port) = (words.next(), words.next());
    let (Some(source), Some(destination), None) =
        (address(source, source_port), address(destination, destination_port), words.next())
    else {
        return Parsed::Invalid;
    };
    let fits = match family {
        Some("TCP4") => source.is_ipv4() && destination.is_ipv4(),
        Some("TCP6") => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    if fits { Parsed::Header(end + 2, Some(source)) } else { Parsed::Invalid }
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    let Some([version_command, family, high, low]) =
        bytes.get(12..16).and_then(|head| <[u8; 4]>::try_from(head).ok())
    else {
        return Parsed::Incomplete;
    };
    let total = 16 + usize::from(u16::from_be_bytes([high, low]));
    if version_command >> 4 != 2 || version_command & 0xf > 1 || total > V2_MAX {
        return Parsed::Invalid;
    }
    let Some(mut body) = bytes.get(16..total) else { return Parsed::Incomplete };
    if version_command & 0xf == 0 {
        return Parsed::Header(total, None);
    }
    let source = match family {
        0x11 if body.len() >= 12 => {
            let ip = Ipv4Addr::from_bits(body.get_u32());
            body.advance(4);
            SocketAddr::new(IpAddr::V4(ip), body.get_u16())
        }
        0x21 if body.len() >= 36 => {
            let ip = Ipv6Addr::from_bits(body.get_u128());
            body.advance(16);
            SocketAddr::new(IpAddr::V6(ip), body.get_u16())
        }
        0x11 | 0x21 => return Parsed::Invalid,
        _ => return Parsed::Header(total, None),
    };
    Parsed::Header(total, Some(source))
}

/// A stream whose first bytes were read already.
#[derive(Debug)]
pub struct Prefixed<S> {
    head: Bytes,
    inner: S,
}

impl<S> Prefixed<S> {
    /// Puts bytes back in front of a stream.
    pub fn new(head: Bytes, inner: S) -> Self {
        Self { head, inner }
    }

    /// The stream itself.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let count = self.head.len().min(buf.remaining());
        buf.put_slice(&self.head.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A broken header, or a connection that failed before it was whole.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Not as specified.
    #[error("a broken PROXY header from {0}")]
    Invalid(IpAddr),
    /// The connection ended.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads the beginning of a trusted proxy's connection after what `head` has of it: its header, if it sent one. Returns the
/// client's address, and leaves in `head` what was read beyond the header. Who gives up waiting finds in `head` what came.
///
/// # Errors
/// When the header is broken, or the connection failed.
pub async fn accept<S: AsyncRead + Unpin>(
    stream: &mut S,
    head: &mut BytesMut,
    peer: SocketAddr,
) -> Result<SocketAddr, ProxyError> {
    loop {
        match parse(head) {
            Parsed::Invalid => return Err(ProxyError::Invalid(peer.ip())),
            Parsed::Header(length, client) => {
                head.advance(length.min(head.len()));
                return Ok(client.unwrap_or(peer));
            }
            Parsed::Absent => return Ok(peer),
            Parsed::Incomplete => {
                head.reserve(256);
                if stream.read_buf(head).await? == 0 {
                    return Ok(peer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = V2_SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn version_1_names_the_client() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 3333\r\n{\"id\":1";
        assert_eq!(parse(line), Parsed::Header(46, Some("192.0.2.7:56324".parse().unwrap())));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Parsed::Header(15, None));
        assert_eq!(
            parse(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n"),
            Parsed::Header(40, Some("[2001:db8::7]:1".parse().unwrap()))
        );
        for bad in
            ["PROXY TCP4 1.2.3 1.1.1.1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.1.1.1 1 2\r\n", "PROXY UDP4\r\n"]
        {
            assert_eq!(parse(bad.as_bytes()), Parsed::Invalid, "{bad}");
        }
        assert_eq!(parse(&[b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat()), Parsed::Invalid);
    }

    #[test]
    fn version_2_names_the_client_and_a_health_check_does_not() {
        let body = [192, 0, 2, 7, 198, 51, 100, 1, 0xdc, 4, 13, 5];
        let bytes = v2(1, 0x11, &body);
        assert_eq!(parse(&bytes), Parsed::Header(28, Some("192.0.2.7:56324".parse().unwrap())));
        assert_eq!(parse(&v2(0, 0, &[])), Parsed::Header(16, None));
        assert_eq!(parse(&v2(1, 0x11, &body[..5])), Parsed::Invalid);
        assert_eq!(parse(&v2(1, 0x21, &[0; 36])), Parsed::Header(52, Some("[::]:0".parse().unwrap())));
        assert_eq!(parse(&v2(1, 0x31, &[0; 216])), Parsed::Header(232, None));
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete, "{cut} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..3) {
            let head: &[u8] = match kind { 0 => &V2_SIGNATURE, 1 => b"PROXY ", _ => b"" };
            let bytes = [head, &tail].concat();
            if let Parsed::Header(length, _) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
