//! What peers send that is no line: PROXY headers in front of connections, frames of ZMQ publishers.

use millpond_node::zmtp::Subscription;
use millpond_stratum::proxy::{Parsed, parse};
use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Looks for a PROXY header; what is decided on the whole of the bytes is not decided otherwise on fewer.
pub fn proxy(data: &[u8]) {
    let whole = parse(data);
    if let Parsed::Header(length, _) = whole {
        assert!(length <= data.len(), "a header of more bytes than there are");
        assert_eq!(data.get(..length).map(parse), Some(whole), "bytes behind the header changed it");
    }
    for end in 0..data.len().min(600) {
        let part = data.get(..end).map(parse);
        let agrees = part == Some(Parsed::Incomplete) || part == Some(whole);
        assert!(agrees, "{part:?} of {end} bytes, {whole:?} of {}", data.len());
    }
}

/// A publisher that sends these bytes: the subscription ends with an error and never with a panic.
pub fn zmtp(data: &[u8]) {
    let subscription = Subscription {
        authority: String::new(),
        topics: vec!["hashblock".to_owned(), "h".to_owned()],
        max_part: 4096,
    };
    let delivered = Cell::new(0_usize);
    let mut deliver = |message: millpond_node::zmtp::Message| {
        delivered.set(delivered.get() + message.parts.iter().map(|part| part.len()).sum::<usize>());
        assert!(
            message.parts.len() <= 8
                && message.topic_and_data().is_none_or(|(topic, _)| topic.starts_with('h'))
        );
    };
    // Everything is there at once and everything can be written: it ends at its first poll.
    let stream = tokio::io::join(data, tokio::io::sink());
    let mut speaking = pin!(subscription.over(stream, &mut deliver));
    let ended = speaking.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(ended, Poll::Ready(_)), "it waits for more after the end");
    assert!(delivered.get() <= data.len(), "more was delivered than was sent");
}
