//! What waits to be written to one miner: a bounded queue and the task that empties it.
//!
//! A miner that does not read is not waited for. When its queue is full, or one write takes longer than its deadline,
//! the connection is dropped: it would work on old jobs anyway, and memory is for those who read.

use bytes::Bytes;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Bytes gathered into one write at most.
const GATHER: usize = 64 * 1024;

/// The queue is full, or the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// The miner does not read.
    #[error("the miner does not read what it is sent")]
    Full,
    /// The connection cannot be written to.
    #[error("the connection is closed")]
    Closed,
}

/// The sending end.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Bytes>,
    writer: JoinHandle<()>,
}

impl Outbox {
    /// Starts the writer of a connection with a queue of so many messages.
    pub fn start<W: AsyncWrite + Unpin + Send + 'static>(
        stream: W,
        queue: usize,
        deadline: Duration,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        Self { queue: sender, writer: tokio::spawn(write(stream, receiver, deadline)) }
    }

    /// Queues a message: one or more whole lines.
    ///
    /// # Errors
    /// When the queue is full or nobody writes any more; drop the connection.
    pub fn send(&self, message: Bytes) -> Result<(), OutboxError> {
        if message.is_empty() {
            return Ok(());
        }
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OutboxError::Full,
            mpsc::error::TrySendError::Closed(_) => OutboxError::Closed,
        })
    }

    /// Resolves when the connection can no longer be written to.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Writes what is queued, within a deadline, and closes the connection.
    pub async fn finish(self, deadline: Duration) {
        let Self { queue, mut writer } = self;
        drop(queue);
        if timeout(deadline, &mut writer).await.is_err() {
            writer.abort();
        }
    }

    /// Closes the connection without writing what is queued.
    pub fn abandon(self) {
        self.writer.abort();
    }
}

async fn write<W: AsyncWrite + Unpin>(mut stream: W, mut queue: mpsc::Receiver<Bytes>, deadline: Duration) {
    let mut gathered = Vec::new();
    while let Some(first) = queue.recv().await {
        let next = queue.try_recv().ok();
        let written = if let Some(next) = next {
            gathered.clear();
            gathered.extend_from_slice(&first);
            gathered.extend_from_slice(&next);
            while gathered.len() < GATHER {
                let Ok(more) = queue.try_recv() else { break };
                gathered.extend_from_slice(&more);
            }
            timeout(deadline, write_all(&mut stream, &gathered)).await
        } else {
            timeout(deadline, write_all(&mut stream, &first)).await
        };
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
        if gathered.capacity() > 4096 {
            gathered = Vec::new();
        }
    }
    let _ = timeout(deadline, stream.shutdown()).await;
}

async fn write_all<W: AsyncWrite + Unpin>(stream: &mut W, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn messages_arrive_in_order_and_finish_writes_the_rest() {
        let (mut near, far) = tokio::io::duplex(64);
        let outbox = Outbox::start(far, 100, Duration::from_secs(10));
        for number in 0..50 {
            outbox.send(Bytes::from(format!("{number}\n"))).unwrap();
        }
        let finish = tokio::spawn(outbox.finish(Duration::from_secs(10)));
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        finish.await.unwrap();
        assert_eq!(text.lines().count(), 50);
        assert!(text.starts_with("0\n1\n2\n"));
    }

    #[tokio::test]
    async fn a_miner_that_does_not_read_fills_its_queue_and_that_is_an_error() {
        let (_near, far) = tokio::io::duplex(16);
        let outbox = Outbox::start(far, 4, Duration::from_secs(60));
        let mut result = Ok(());
        for _ in 0..100 {
            result = outbox.send(Bytes::from_static(b"0123456789\n"));
            if result.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(result, Err(OutboxError::Full));
    }
}
