//! What is on its way to one miner.
//!
//! Answers and work are encoded into a buffer of the thread and written at once, in one call for all that one turn of a
//! connection has to say. A connection keeps memory of its own only for what its socket did not take. While something
//! is left, nothing more is read from the miner and no job is added (the newest follows when there is room again), so
//! what waits is bounded by the answers to shares in flight; and who does not take it within the deadline is dropped: it
//! would work on old jobs anyway.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// What a thread's buffer may hold on to.
const POOLED: usize = 256 * 1024;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// The sending end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Whole lines; those before `at` are written.
    bytes: Vec<u8>,
    at: usize,
    /// Since when something is left over. A miner that takes a byte now and then is as stuck as one that takes none.
    stuck: Option<Instant>,
    /// Bytes handed to the stream, which has not passed all of them on yet (TLS).
    unflushed: usize,
}

impl Outbox {
    /// Where to encode the next lines.
    pub(crate) fn lines(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 && self.at == 0 {
            let pooled = BUFFERS.with(|buffers| buffers.try_borrow_mut().ok().and_then(|mut all| all.pop()));
            self.bytes = pooled.unwrap_or_default();
        }
        &mut self.bytes
    }

    /// The same, taken out; [`Outbox::put`] puts it back.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.lines())
    }

    pub(crate) fn put(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    /// Whether the socket did not take everything.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// When the miner is given up, unless it reads.
    pub(crate) fn deadline(&self, patience: Duration) -> Option<Instant> {
        self.stuck?.checked_add(patience)
    }

    /// Bytes that were handed to a stream that keeps them itself until its socket takes them.
    pub(crate) fn unflushed(&self) -> usize {
        self.unflushed
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Writes what the socket takes now; how many bytes that were. Ready when nothing is left.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        context: &mut Context<'_>,
    ) -> (usize, Poll<io::Result<()>>) {
        let mut written = 0;
        while self.at < self.bytes.len() {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            match Pin::new(&mut *stream).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return (written, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(bytes)) => {
                    self.at += bytes;
                    written += bytes;
                    self.unflushed = self.unflushed.saturating_add(bytes);
                }
                Poll::Ready(Err(error)) => return (written, Poll::Ready(Err(error))),
                Poll::Pending => {
                    self.stuck.get_or_insert_with(Instant::now);
                    self.keep_what_is_left();
                    return (written, Poll::Pending);
                }
            }
        }
        if self.unflushed > 0 {
            match Pin::new(stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.unflushed = 0,
                Poll::Ready(Err(error)) => return (written, Poll::Ready(Err(error))),
                Poll::Pending => {
                    self.stuck.get_or_insert_with(Instant::now);
                    self.keep_what_is_left();
                    return (written, Poll::Pending);
                }
            }
        }
        self.give_back();
        (written, Poll::Ready(Ok(())))
    }

    /// The thread's buffer stays the thread's: what is left moves into one of its own size.
    fn keep_what_is_left(&mut self) {
        if self.at == 0 && self.bytes.capacity() == self.bytes.len() {
            // It is that already, and the socket took nothing of it.
            return;
        }
        let left = self.waiting().to_vec();
        let buffer = std::mem::replace(&mut self.bytes, left);
        self.at = 0;
        pool(buffer);
    }

    fn give_back(&mut self) {
        (self.stuck, self.at) = (None, 0);
        if self.bytes.capacity() > 0 {
            pool(std::mem::take(&mut self.bytes));
        }
    }

    /// Writes what is left, within a deadline, and closes the stream.
    pub(crate) async fn finish<W: AsyncWrite + Unpin>(self, mut stream: W, deadline: Duration) {
        let all = async {
            stream.write_all(self.waiting()).await?;
            stream.flush().await?;
            stream.shutdown().await
        };
        // A miner that is gone misses nothing.
        let _ = timeout(deadline, all).await;
    }
}

fn pool(mut buffer: Vec<u8>) {
    buffer.clear();
    BUFFERS.with(|buffers| {
        if let Ok(mut all) = buffers.try_borrow_mut()
            && all.is_empty()
            && buffer.capacity() <= POOLED
        {
            all.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn lines_arrive_in_order_and_finish_writes_the_rest() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let mut outbox = Outbox::default();
        for number in 0..50 {
            outbox.lines().extend(format!("{number}\n").bytes());
            let _ = poll_fn(|context| Poll::Ready(outbox.poll_write(&mut far, context))).await;
        }
        assert!(outbox.is_stuck(), "the pipe holds 64 bytes");
        let finish = tokio::spawn(outbox.finish(far, Duration::from_secs(60)));
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        finish.await.unwrap();
        let numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn who_reads_again_is_no_longer_stuck_and_holds_no_memory() {
        let (mut near, mut far) = tokio::io::duplex(16);
        let mut outbox = Outbox::default();
        outbox.lines().extend(b"0123456789abcdefghij\n");
        let (written, result) = poll_fn(|context| Poll::Ready(outbox.poll_write(&mut far, context))).await;
        assert!((written, result.is_pending(), outbox.is_stuck()) == (16, true, true));
        assert_eq!(outbox.waiting(), b"ghij\n");
        let kept = (outbox.bytes.as_ptr(), outbox.bytes.capacity());
        assert_eq!(kept.1, 5, "what is left and no more");
        let (written, _) = poll_fn(|context| Poll::Ready(outbox.poll_write(&mut far, context))).await;
        assert_eq!(
            (written, (outbox.bytes.as_ptr(), outbox.bytes.capacity())),
            (0, kept),
            "nothing is copied again"
        );
        assert!(outbox.deadline(Duration::from_secs(1)).is_some());
        let reader = tokio::spawn(async move {
            let mut text = [0; 21];
            near.read_exact(&mut text).await.unwrap();
            text
        });
        poll_fn(|context| outbox.poll_write(&mut far, context).1).await.unwrap();
        assert_eq!(&reader.await.unwrap(), b"0123456789abcdefghij\n");
        assert_eq!((outbox.is_stuck(), outbox.bytes.capacity()), (false, 0));
    }
}
