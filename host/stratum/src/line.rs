//! Lines of a connection, with a limit on their length.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// A line longer than the limit, which may still go on.
    #[error("a line of more than {0} bytes")]
    TooLong(usize),
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Splits a byte stream at line feeds.
#[derive(Debug)]
pub struct Lines<R> {
    inner: R,
    limit: usize,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no line feed.
    searched: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of at most `limit` bytes, without their ends.
    pub fn new(inner: R, limit: usize) -> Self {
        Self { inner, limit, buffer: BytesMut::new(), searched: 0 }
    }

    /// The next line without its line feed, `None` at the end of the stream; a last line without a line feed is
    /// dropped, since it may be half of one. Safe to cancel: what was read is kept.
    ///
    /// # Errors
    /// When a line is too long or the connection failed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, LineError> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at;
                self.searched = 0;
                if end > self.limit {
                    return Err(LineError::TooLong(self.limit));
                }
                let mut line = self.buffer.split_to(end + 1).freeze();
                line.truncate(end);
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            if self.searched > self.limit {
                return Err(LineError::TooLong(self.limit));
            }
            self.buffer.reserve(512);
            if self.inner.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &[u8], limit: usize) -> (Vec<Vec<u8>>, bool) {
        let mut lines = Lines::new(input, limit);
        let mut out = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => out.push(line.to_vec()),
                Ok(None) => return (out, true),
                Err(_) => return (out, false),
            }
        }
    }

    #[tokio::test]
    async fn lines_are_split_and_half_a_line_is_none() {
        let (lines, ended) = all(b"one\n\ntwo\r\nthr", 10).await;
        assert_eq!(lines, [b"one".to_vec(), b"".to_vec(), b"two\r".to_vec()]);
        assert!(ended);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_ends_it_even_without_a_line_feed() {
        let (lines, ended) = all(&[b"ok\n".as_slice(), &[b'x'; 5000]].concat(), 1000).await;
        assert_eq!((lines.len(), ended), (1, false));
        let (lines, ended) = all(&[&[b'x'; 1001], b"\n".as_slice()].concat(), 1000).await;
        assert_eq!((lines.len(), ended), (0, false));
        let (lines, ended) = all(&[&[b'x'; 1000], b"\n".as_slice()].concat(), 1000).await;
        assert_eq!((lines.len(), ended), (1, true));
    }
}
