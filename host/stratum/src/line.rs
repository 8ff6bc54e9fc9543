//! Lines of a connection, with a limit on their length.
//!
//! What is read goes into a buffer of the thread, where whole lines are looked at in place. A connection keeps memory of
//! its own only for the beginning of a line whose end has not come, or for lines that it may not hear yet.

use memchr::memchr;
use std::cell::RefCell;

/// Bytes read at once at most. Sixteen submits have about 1,800.
const READ: usize = 16 * 1024;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A line longer than the limit, which may still go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line of more than {0} bytes")]
pub(crate) struct TooLong(pub(crate) usize);

/// What a connection has read and not heard.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: Box<[u8]>,
    /// Of these so many hold no line feed.
    searched: usize,
}

impl Kept {
    /// What came with a PROXY header, or was handed over.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), searched: 0 }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The thread's buffer, in the hands of one connection: what it kept, and then what it reads.
#[derive(Debug)]
pub(crate) struct Incoming {
    buffer: Box<[u8]>,
    /// Where the next line begins.
    at: usize,
    /// Up to here there is no line feed after `at`.
    searched: usize,
    /// Where what was read ends.
    end: usize,
    limit: usize,
}

impl Incoming {
    /// Goes on where a connection left off; its lines have at most `limit` bytes without their ends.
    pub(crate) fn resume(kept: &mut Kept, limit: usize) -> Self {
        let kept = std::mem::take(kept);
        // Room for the longest line that has no end yet, and for a whole read after it.
        let size = (limit + 1).max(kept.bytes.len()) + READ;
        let pooled = BUFFERS.with(|buffers| buffers.try_borrow_mut().ok().and_then(|mut all| all.pop()));
        let mut buffer =
            pooled.filter(|buffer| buffer.len() >= size).unwrap_or_else(|| vec![0; size].into_boxed_slice());
        if let Some(start) = buffer.get_mut(..kept.bytes.len()) {
            start.copy_from_slice(&kept.bytes);
        }
        Self { buffer, at: 0, searched: kept.searched, end: kept.bytes.len(), limit }
    }

    /// The next whole line, as a range for [`Incoming::line`].
    ///
    /// # Errors
    /// When there is more than the limit without an end.
    pub(crate) fn next(&mut self) -> Result<Option<std::ops::Range<usize>>, TooLong> {
        let rest = self.buffer.get(self.searched..self.end).unwrap_or_default();
        let Some(found) = memchr(b'\n', rest) else {
            self.searched = self.end;
            let over = self.end.saturating_sub(self.at) > self.limit;
            return if over { Err(TooLong(self.limit)) } else { Ok(None) };
        };
        let line = self.at..self.searched + found;
        if line.len() > self.limit {
            return Err(TooLong(self.limit));
        }
        self.at = line.end + 1;
        self.searched = self.at;
        Ok(Some(line))
    }

    /// A line without its line feed.
    pub(crate) fn line(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// Whether anything was read behind the last whole line.
    pub(crate) fn holds_more(&self) -> bool {
        self.at < self.end
    }

    /// Room for the next read. What is left of the last one moves to the front.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.at > 0 {
            self.buffer.copy_within(self.at..self.end, 0);
            self.end -= self.at;
            self.searched -= self.at;
            self.at = 0;
        }
        let to = self.buffer.len().min(self.end + READ);
        self.buffer.get_mut(self.end..to).unwrap_or_default()
    }

    /// So many bytes were read into the room.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.end = self.buffer.len().min(self.end + bytes);
    }

    /// Gives the buffer back to the thread; what is left is kept for the connection.
    pub(crate) fn leave(self) -> Kept {
        let left = self.buffer.get(self.at..self.end).unwrap_or_default();
        let kept = Kept { bytes: left.into(), searched: self.searched.saturating_sub(self.at) };
        BUFFERS.with(|buffers| {
            if let Ok(mut all) = buffers.try_borrow_mut()
                && all.is_empty()
            {
                all.push(self.buffer);
            }
        });
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of a stream that comes in pieces, and whether it was within the limit to its end.
    fn all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<Vec<u8>>, bool) {
        let (mut kept, mut lines) = (Kept::default(), Vec::new());
        for mut piece in pieces {
            while !piece.is_empty() {
                let mut incoming = Incoming::resume(&mut kept, limit);
                let room = incoming.room();
                let take = piece.len().min(room.len());
                room[..take].copy_from_slice(&piece[..take]);
                incoming.filled(take);
                piece = &piece[take..];
                loop {
                    match incoming.next() {
                        Ok(Some(range)) => lines.push(incoming.line(range).to_vec()),
                        Ok(None) => break,
                        Err(_) => return (lines, false),
                    }
                }
                kept = incoming.leave();
            }
        }
        (lines, true)
    }

    #[test]
    fn lines_are_split_and_half_a_line_is_none() {
        let (lines, fits) = all([b"one\n\ntwo\r\nthr".as_slice()], 10);
        assert_eq!(lines, [b"one".to_vec(), b"".to_vec(), b"two\r".to_vec()]);
        assert!(fits);
    }

    #[test]
    fn a_line_over_the_limit_ends_it_even_without_a_line_feed() {
        let (lines, fits) = all([[b"ok\n".as_slice(), &[b'x'; 5000]].concat().as_slice()], 1000);
        assert_eq!((lines.len(), fits), (1, false));
        let (lines, fits) = all([[&[b'x'; 1001], b"\n".as_slice()].concat().as_slice()], 1000);
        assert_eq!((lines.len(), fits), (0, false));
        let (lines, fits) = all([[&[b'x'; 1000], b"\n".as_slice()].concat().as_slice()], 1000);
        assert_eq!((lines.len(), fits), (1, true));
    }

    #[test]
    fn a_connection_between_two_lines_keeps_nothing() {
        let mut incoming = Incoming::resume(&mut Kept::default(), 1000);
        incoming.room()[..4].copy_from_slice(b"abc\n");
        incoming.filled(4);
        assert_eq!(incoming.next(), Ok(Some(0..3)));
        assert_eq!(incoming.next(), Ok(None));
        assert!(incoming.leave().is_empty());
    }

    #[test]
    fn lines_that_may_not_be_heard_yet_wait() {
        let mut kept = Kept::new(b"one\ntwo\nthr");
        let mut incoming = Incoming::resume(&mut kept, 1000);
        assert_eq!(incoming.next(), Ok(Some(0..3)));
        kept = incoming.leave();
        assert_eq!(kept.bytes(), b"two\nthr");
        let mut incoming = Incoming::resume(&mut kept, 1000);
        let line = incoming.next().unwrap().unwrap();
        assert_eq!(incoming.line(line), b"two");
        assert_eq!(incoming.next(), Ok(None));
        kept = incoming.leave();
        assert_eq!(kept.bytes(), b"thr");
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_the_stream_is_cut(
            bytes in proptest::collection::vec(prop_oneof![3 => Just(b'a'), 1 => Just(b'\n')], 0..400),
            cuts in proptest::collection::vec(1..50_usize, 1..40),
        ) {
            let whole = all([bytes.as_slice()], 60);
            let (mut rest, mut pieces) = (bytes.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(all(pieces, 60), whole);
        }
    }
}
