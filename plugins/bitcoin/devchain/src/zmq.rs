//! A ZMQ publisher of block hashes, as Bitcoin Core's `-zmqpubhashblock`: ZMTP 3.0 with the NULL mechanism
//! (RFC 23/ZMTP), the PUB side alone. Each message has three parts: topic, hash in the order in which it is shown,
//! and a count of 4 bytes, little-endian.

use crate::node::News;
use bitcoin::hashes::Hash;
use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const TOPIC: &[u8] = b"hashblock";

/// Serves until the task is ended.
pub(crate) async fn serve(listener: TcpListener, news: watch::Receiver<News>) {
    let mut subscribers = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    subscribers.spawn(publish(stream, news.clone()));
                }
            }
            Some(_) = subscribers.join_next() => {}
        }
    }
}

async fn publish(mut stream: TcpStream, mut news: watch::Receiver<News>) -> Result<()> {
    stream.set_nodelay(true)?;
    greet(&mut stream).await?;
    let (mut reader, mut writer) = stream.into_split();
    // Frames are read on a task of their own, since reading one cannot be interrupted in its middle.
    let (frames, mut subscriptions) = tokio::sync::mpsc::channel(16);
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        while let Ok((_, body)) = read_frame(&mut reader).await {
            if frames.send(body).await.is_err() {
                return;
            }
        }
    });
    let mut prefixes: Vec<Vec<u8>> = Vec::new();
    let mut tip = news.borrow_and_update().tip;
    let mut count = 0_u32;
    loop {
        tokio::select! {
            frame = subscriptions.recv() => match frame.as_deref() {
                None => return Ok(()),
                Some([1, prefix @ ..]) => prefixes.push(prefix.to_vec()),
                Some([0, prefix @ ..]) => prefixes.retain(|other| other != prefix),
                Some(_) => {}
            },
            changed = news.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = news.borrow_and_update().tip;
                if now == tip {
                    continue;
                }
                tip = now;
                if prefixes.iter().any(|prefix| TOPIC.starts_with(prefix)) {
                    let mut hash = tip.to_byte_array();
                    hash.reverse();
                    for (flags, part) in [(1, TOPIC), (1, &hash), (0, &count.to_le_bytes())] {
                        write_frame(&mut writer, flags, part).await?;
                    }
                    writer.flush().await?;
                }
                count = count.wrapping_add(1);
            }
        }
    }
}

async fn greet(stream: &mut TcpStream) -> Result<()> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    greeting.extend_from_slice(b"NULL");
    greeting.resize(64, 0);
    stream.write_all(&greeting).await?;
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).await?;
    if !matches!(theirs, [0xff, _, _, _, _, _, _, _, _, 0x7f, 3, ..]) {
        return Err(Error::new(ErrorKind::InvalidData, "not ZMTP 3"));
    }
    let ready = [&b"\x05READY\x0bSocket-Type\0\0\0\x03PUB"[..]].concat();
    write_frame(stream, 4, &ready).await?;
    let (flags, _) = read_frame(stream).await?;
    if flags & 4 == 0 { Err(Error::new(ErrorKind::InvalidData, "not a command")) } else { Ok(()) }
}

async fn write_frame(stream: &mut (impl AsyncWriteExt + Unpin), flags: u8, body: &[u8]) -> Result<()> {
    let length =
        u8::try_from(body.len()).map_err(|_| Error::new(ErrorKind::InvalidInput, "a part is too long"))?;
    stream.write_all(&[flags, length]).await?;
    stream.write_all(body).await
}

async fn read_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<(u8, Vec<u8>)> {
    let flags = stream.read_u8().await?;
    let length = if flags & 2 == 0 { u64::from(stream.read_u8().await?) } else { stream.read_u64().await? };
    if length > 4096 {
        return Err(Error::new(ErrorKind::InvalidData, "a frame is too long"));
    }
    let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    Ok((flags, body))
}
