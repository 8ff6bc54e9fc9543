//! The subscriber against publishers written here from RFC 23/ZMTP, good and bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_node::zmtp::{Message, Subscription, ZmtpError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(90);

fn greeting(mechanism: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    bytes.extend_from_slice(mechanism);
    bytes.resize(64, 0);
    bytes
}

fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    [&[flags, u8::try_from(body.len()).unwrap()], body].concat()
}

fn ready(socket: &str) -> Vec<u8> {
    let length = u32::try_from(socket.len()).unwrap().to_be_bytes();
    // A property that a subscriber does not know comes first; names of properties are compared without case.
    let body = [&b"\x05READY\x08Identity\0\0\0\0\x0bSOCKET-TYPE"[..], &length, socket.as_bytes()].concat();
    frame(4, &body)
}

async fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let (_, length) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
    let mut body = vec![0; usize::from(length)];
    stream.read_exact(&mut body).await.unwrap();
    body
}

async fn listen() -> (TcpListener, Subscription) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    (listener, Subscription { authority, topics: vec!["hashblock".into()], max_part: 1000 })
}

/// How a subscription ends with a publisher that sends these bytes after its greeting.
async fn ends_with(greeting: Vec<u8>, then: Vec<u8>) -> (ZmtpError, Vec<Message>) {
    let (listener, subscription) = listen().await;
    let publisher = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&greeting).await.unwrap();
        let _ = stream.write_all(&then).await;
        // What the subscriber writes is read, so that the socket closes without a reset.
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let mut messages = Vec::new();
    let run = subscription.run(DEADLINE, |message| messages.push(message));
    let error = tokio::time::timeout(DEADLINE, run).await.expect("it ends");
    publisher.abort();
    (error, messages)
}

#[tokio::test]
async fn a_publisher_is_greeted_subscribed_to_and_heard() {
    let (listener, subscription) = listen().await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let subscriber =
        tokio::spawn(
            async move { subscription.run(DEADLINE, |message| sender.send(message).unwrap()).await },
        );
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(&greeting(b"NULL")).await.unwrap();
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).await.unwrap();
    assert_eq!((theirs[0], theirs[9], theirs[10], &theirs[12..17]), (0xff, 0x7f, 3, &b"NULL\0"[..]));
    stream.write_all(&ready("XPUB")).await.unwrap();
    assert_eq!(read_frame(&mut stream).await, b"\x05READY\x0bSocket-Type\0\0\0\x03SUB");
    assert_eq!(read_frame(&mut stream).await, b"\x01hashblock");
    // ZMTP 3.1 asks whether we live; the context comes back.
    stream.write_all(&frame(4, b"\x04PING\0\x0actx")).await.unwrap();
    assert_eq!(read_frame(&mut stream).await, b"\x04PONGctx");
    // A longer topic matches the prefix at the publisher; it is not ours.
    for (topic, data) in [(&b"hashblock2"[..], [1; 32]), (b"hashblock", [2; 32])] {
        let count = 7_u32.to_le_bytes();
        let message = [frame(1, topic), frame(1, &data), frame(0, &count)].concat();
        stream.write_all(&message).await.unwrap();
    }
    let message = receiver.recv().await.unwrap();
    let (topic, data) = message.topic_and_data().unwrap();
    assert_eq!((topic.as_str(), &data[..], message.parts.len()), ("hashblock", &[2; 32][..], 3));
    drop(stream);
    assert!(matches!(subscriber.await.unwrap(), ZmtpError::Io(_)));
    assert!(receiver.recv().await.is_none(), "nothing else was delivered");
}

#[tokio::test]
async fn what_is_not_a_publisher_is_told() {
    let (error, _) = ends_with(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), vec![]).await;
    assert!(matches!(error, ZmtpError::Peer(_)), "{error}");
    let mut old = greeting(b"NULL");
    old[10] = 1;
    assert!(matches!(ends_with(old, vec![]).await.0, ZmtpError::Peer(_)));
    assert!(matches!(ends_with(greeting(b"CURVE"), vec![]).await.0, ZmtpError::Peer(_)));
    assert!(matches!(ends_with(greeting(b"NULL"), ready("REP")).await.0, ZmtpError::Peer(_)));
    assert!(matches!(ends_with(greeting(b"NULL"), frame(0, b"x")).await.0, ZmtpError::Peer(_)));
    let (error, _) = ends_with(greeting(b"NULL"), frame(4, b"\x05ERROR\x04busy")).await;
    assert!(matches!(&error, ZmtpError::Refused(why) if why == "busy"), "{error}");
    assert!(matches!(ends_with(greeting(b"NULL")[..20].to_vec(), vec![]).await.0, ZmtpError::Io(_)));
}

#[tokio::test]
async fn a_publisher_that_floods_is_left() {
    let large = [ready("PUB"), [&[2_u8][..], &u64::MAX.to_be_bytes()].concat()].concat();
    assert!(matches!(ends_with(greeting(b"NULL"), large).await.0, ZmtpError::TooLarge(..)));
    let parts = [ready("PUB"), frame(1, b"hashblock").repeat(20)].concat();
    assert!(matches!(ends_with(greeting(b"NULL"), parts).await.0, ZmtpError::Peer(_)));
    let (error, messages) =
        ends_with(greeting(b"NULL"), [ready("PUB"), frame(0, b"hashblock")].concat()).await;
    assert!(matches!(error, ZmtpError::Io(_)), "{error}");
    assert_eq!(messages[0].topic_and_data(), None);
}
