//! The node's answers that jobs keep, since the block of a job is put together from slices of its answer.
//!
//! A template of Bitcoin is nearly four megabytes of text, a new one comes every half minute, and its jobs are held for
//! longer than ten: kept whole they are a hundred megabytes and more. But most of what a template says was said by the one
//! before. So only the newest is kept whole, for it is the one whose block is in a hurry; the others are *folded*: cut into
//! pieces where their content says so (which finds the same pieces behind something that was put in or taken out), and
//! pieces that are equal are kept once. Putting a body together again is one copy.

use bytes::Bytes;
use fastcdc::v2020::FastCDC;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Bytes of a piece: least, usual, most. Two or three transactions as hexadecimal text, so that little is kept twice around
/// one that is new.
const PIECE: [usize; 3] = [1_024, 2_048, 16_384];

/// A body that is shorter is kept whole.
const SHORT: usize = 4 * PIECE[2];

/// How many pieces may be known before those that nobody holds any more are looked for.
const TIDY: usize = 4_096;

/// What a job keeps of its node's answer.
#[derive(Debug)]
pub struct Body {
    held: Mutex<Held>,
    len: usize,
}

#[derive(Debug)]
enum Held {
    Whole(Bytes),
    Folded(Vec<Piece>),
}

/// A piece. Boxed, so that its bytes go with the last body that has it, though it is still known by its hash.
type Piece = Arc<Box<[u8]>>;

impl Body {
    /// Whole.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self { len: bytes.len(), held: Mutex::new(Held::Whole(bytes)) }
    }

    /// Its bytes: as they are while it is whole, else put together, without becoming whole.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let pieces = match &*self.held.lock() {
            Held::Whole(bytes) => return bytes.clone(),
            Held::Folded(pieces) => pieces.clone(),
        };
        pieces.iter().map(|piece| &***piece).collect::<Vec<&[u8]>>().concat().into()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is kept as pieces.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        matches!(*self.held.lock(), Held::Folded(_))
    }

    /// Whether it is whole, and long enough to be folded.
    #[must_use]
    pub fn would_fold(&self) -> bool {
        self.len > SHORT && !self.is_folded()
    }

    /// Keeps it as pieces that it shares with others, from now on. That takes some milliseconds for each four megabytes; its
    /// bytes can be had meanwhile.
    pub fn fold(&self, known: &mut Pieces) {
        let whole = match &*self.held.lock() {
            Held::Whole(bytes) if self.len > SHORT => bytes.clone(),
            _ => return,
        };
        let pieces = known.cut(&whole);
        if pieces.iter().map(|piece| piece.len()).sum::<usize>() != whole.len() {
            return; // A cut that loses something would be a lost block.
        }
        // What it was is freed after the unlock.
        let _was = std::mem::replace(&mut *self.held.lock(), Held::Folded(pieces));
    }
}

/// The pieces that bodies are made of, as long as one of them is kept.
#[derive(Debug, Default)]
pub struct Pieces {
    known: HashMap<[u8; 32], Weak<Box<[u8]>>>,
    /// When those that are gone are looked for.
    tidy: usize,
}

impl Pieces {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn cut(&mut self, bytes: &[u8]) -> Vec<Piece> {
        let [least, usual, most] = PIECE;
        let cuts = FastCDC::new(bytes, least, usual, most);
        let pieces = cuts.filter_map(|cut| bytes.get(cut.offset..cut.offset.saturating_add(cut.length)));
        let pieces = pieces.map(|piece| self.one(piece)).collect();
        if self.known.len() > self.tidy.max(TIDY) {
            self.known.retain(|_, piece| piece.strong_count() > 0);
            self.known.shrink_to_fit();
            self.tidy = self.known.len() * 2;
        }
        pieces
    }

    /// A piece: the one that is known, where there is an equal one.
    fn one(&mut self, piece: &[u8]) -> Piece {
        let hash = blake3::hash(piece).into();
        self.known.get(&hash).and_then(Weak::upgrade).unwrap_or_else(|| {
            let piece = Arc::new(Box::from(piece));
            self.known.insert(hash, Arc::downgrade(&piece));
            piece
        })
    }

    /// How many pieces are kept, and their bytes.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        let pieces = self.known.values().filter_map(Weak::upgrade);
        pieces.fold((0, 0), |(count, bytes), piece| (count + 1, bytes + piece.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text as a node gives it: transactions in hexadecimal, by their numbers.
    fn template(transactions: impl IntoIterator<Item = u32>) -> Bytes {
        let hex = |number: u32| {
            let mut hash = blake3::Hasher::new();
            hash.update(&number.to_le_bytes());
            let mut bytes = [0; 300];
            hash.finalize_xof().fill(&mut bytes);
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let transactions: Vec<_> =
            transactions.into_iter().map(|n| format!("{{\"data\":\"{}\"}}", hex(n))).collect();
        format!("{{\"transactions\":[{}]}}", transactions.join(",")).into()
    }

    #[test]
    fn bodies_that_differ_little_take_little_more_room_than_one() {
        let mut pieces = Pieces::new();
        let first = template(0..3_000);
        // One in a hundred gone, as many new ones in other places.
        let second = template((0..3_000).filter(|n| n % 100 != 7).chain(5_000..5_030));
        let bodies = [first.clone(), second.clone()].map(Body::new);
        bodies[0].fold(&mut pieces);
        let one = pieces.kept().1;
        bodies[1].fold(&mut pieces);
        let both = pieces.kept().1;
        assert_eq!(one, first.len());
        assert!(both < one + one / 8, "{both} bytes for two, {one} for one");
        assert!(!bodies.iter().any(Body::would_fold));
        assert_eq!((bodies[0].bytes(), bodies[1].bytes()), (first, second));
    }

    #[test]
    fn pieces_go_with_the_last_body_that_has_them() {
        let mut pieces = Pieces::new();
        for round in 0..20 {
            let body = Body::new(template(round * 3_000..(round + 1) * 3_000));
            body.fold(&mut pieces);
            assert_eq!(pieces.kept().1, body.len());
        }
        assert_eq!(pieces.kept(), (0, 0));
        assert!(pieces.known.len() <= 2 * TIDY, "{}", pieces.known.len());
    }

    #[test]
    fn a_short_body_stays_whole() {
        let (mut pieces, body) = (Pieces::new(), Body::new(Bytes::from_static(b"null")));
        assert!(!body.would_fold());
        body.fold(&mut pieces);
        assert_eq!(pieces.kept(), (0, 0));
        assert_eq!((body.bytes(), body.len(), body.is_empty()), (Bytes::from_static(b"null"), 4, false));
    }

    proptest! {
        #[test]
        fn a_folded_body_has_the_bytes_that_it_had(
            seed in any::<u32>(),
            len in SHORT..8 * SHORT,
            alike in any::<bool>(),
        ) {
            let mut bytes = vec![0; len];
            if !alike {
                blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
            }
            let (mut pieces, body) = (Pieces::new(), Body::new(bytes.clone().into()));
            body.fold(&mut pieces);
            body.fold(&mut pieces);
            prop_assert_eq!(body.bytes(), bytes);
            prop_assert_eq!(body.len(), len);
        }
    }
}
