//! Bytes of headers and frames. Nothing here touches a disk.

use millpond_types::UnixMillis;
use std::fmt;

/// The largest payload of a frame: 64 MiB, so that no length field makes a reader allocate the machine's memory.
pub const MAX_PAYLOAD: usize = 64 << 20;
/// The first kind that belongs to this crate; owners number theirs from 0.
pub const RESERVED_KINDS: u16 = 0xff00;

pub(crate) const CHAIN: u16 = 0xffff;
pub(crate) const FOOTER: u16 = 0xfffe;
pub(crate) const CHECKPOINT: u16 = 0xfffd;

pub(crate) const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"MPONDSEG";
const NAME_LEN: usize = 16;
pub(crate) const HEADER_LEN: usize = 8 + 2 + NAME_LEN + 8 + 8 + 32 + 4;
pub(crate) const FRAME_LEN: usize = 4 + 2 + 4;
const CHAIN_PAYLOAD: usize = 8 + 8 + 32;
/// The whole chain frame: the last bytes of every group.
pub(crate) const CHAIN_FRAME_LEN: usize = FRAME_LEN + CHAIN_PAYLOAD;

/// The hash that stands for everything written so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Chain(pub [u8; 32]);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads numbers from the front of a slice; `None` when it is too short.
pub(crate) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The header of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub version: u16,
    pub name: [u8; NAME_LEN],
    pub first: u64,
    pub created: UnixMillis,
    pub previous: Chain,
}

/// A format name as the header holds it: ASCII, padded with zeros, cut at 16 bytes.
pub(crate) fn padded(name: &str) -> [u8; NAME_LEN] {
    let mut padded = [0; NAME_LEN];
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    padded
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.created.0.to_le_bytes());
        bytes.extend_from_slice(&self.previous.0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// `None` when magic or checksum are wrong. The version is for the caller to judge.
    pub(crate) fn decode(file: &[u8]) -> Option<Self> {
        let checked = file.get(..HEADER_LEN - 4)?;
        let mut bytes = Bytes(file);
        if bytes.array()? != *MAGIC {
            return None;
        }
        let header = Self {
            version: bytes.u16()?,
            name: bytes.array()?,
            first: bytes.u64()?,
            created: UnixMillis(bytes.u64()?),
            previous: Chain(bytes.array()?),
        };
        (bytes.u32()? == crc32c::crc32c(checked)).then_some(header)
    }

    /// Where the chain of the file starts.
    pub(crate) fn chain(&self) -> Chain {
        Chain(*blake3::hash(&self.encode()).as_bytes())
    }

    pub(crate) fn describe(&self) -> String {
        describe(&self.name, self.version)
    }
}

pub(crate) fn describe(name: &[u8; NAME_LEN], version: u16) -> String {
    let text: String = name.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    format!("format {text:?} version {version}")
}

fn crc_of(len: [u8; 4], kind: [u8; 2], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&len), &kind), payload)
}

/// Appends one frame. The caller has checked the payload's size.
pub(crate) fn put_frame(out: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let kind = kind.to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&kind);
    out.extend_from_slice(&crc_of(len, kind, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// One frame that checks, and what follows it. `Err` says what is wrong with it.
pub(crate) fn read_frame(bytes: &[u8]) -> Result<(u16, &[u8], &[u8]), &'static str> {
    let mut rest = Bytes(bytes);
    let (Some(len), Some(kind), Some(crc)) = (rest.array(), rest.array(), rest.u32()) else {
        return Err("the file ends inside a frame's head");
    };
    let size = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
    if size > MAX_PAYLOAD {
        return Err("a frame's length is impossible");
    }
    let payload = rest.take(size).ok_or("the file ends inside a frame")?;
    if crc_of(len, kind, payload) != crc {
        return Err("a frame's checksum is wrong");
    }
    Ok((u16::from_le_bytes(kind), payload, rest.0))
}

/// What a chain frame says of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainFrame {
    pub group_start: u64,
    pub next_index: u64,
    pub chain: Chain,
}

impl ChainFrame {
    /// The chain frame that closes a group.
    pub(crate) fn close(previous: Chain, frames: &[u8], group_start: u64, next_index: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&previous.0).update(frames);
        hasher.update(&group_start.to_le_bytes()).update(&next_index.to_le_bytes());
        Self { group_start, next_index, chain: Chain(*hasher.finalize().as_bytes()) }
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(CHAIN_PAYLOAD);
        payload.extend_from_slice(&self.group_start.to_le_bytes());
        payload.extend_from_slice(&self.next_index.to_le_bytes());
        payload.extend_from_slice(&self.chain.0);
        put_frame(out, CHAIN, &payload);
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(payload);
        let frame =
            Self { group_start: bytes.u64()?, next_index: bytes.u64()?, chain: Chain(bytes.array()?) };
        bytes.0.is_empty().then_some(frame)
    }

    /// The first bytes of every chain frame: its length and kind.
    pub(crate) fn mark() -> [u8; 6] {
        let mut mark = [0xff; 6];
        let len = u32::try_from(CHAIN_PAYLOAD).unwrap_or(0).to_le_bytes();
        for (to, from) in mark.iter_mut().zip(len) {
            *to = from;
        }
        mark
    }
}

/// Where verification starts when the segments before were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The first record that is kept.
    pub first: u64,
    /// The chain of everything before it.
    pub chain: Chain,
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.first.to_le_bytes().as_slice(), &self.chain.0].concat()
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(payload);
        let checkpoint = Self { first: bytes.u64()?, chain: Chain(bytes.array()?) };
        bytes.0.is_empty().then_some(checkpoint)
    }
}

/// A place between two groups from which a segment can be read without what is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Where the group behind it starts.
    pub offset: u64,
    /// The index of the first record behind it.
    pub next_index: u64,
    /// The chain of everything before it.
    pub chain: Chain,
}

impl Mark {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.next_index.to_le_bytes());
        out.extend_from_slice(&self.chain.0);
    }

    fn take(from: &mut Bytes<'_>) -> Option<Self> {
        Some(Self { offset: from.u64()?, next_index: from.u64()?, chain: Chain(from.array()?) })
    }
}

/// What a sealed segment says of itself. Without marks it has the form that was the only one before there were marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub sealed: UnixMillis,
    pub checkpoint: Option<Checkpoint>,
    /// Ascending.
    pub marks: Vec<Mark>,
    pub summary: Vec<u8>,
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let version = if self.marks.is_empty() { 1 } else { 2 };
        let mut bytes = vec![version, u8::from(self.checkpoint.is_some())];
        bytes.extend_from_slice(&self.sealed.0.to_le_bytes());
        if let Some(checkpoint) = &self.checkpoint {
            bytes.extend_from_slice(&checkpoint.encode());
        }
        if version == 2 {
            let count = u32::try_from(self.marks.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&count.to_le_bytes());
            self.marks.iter().for_each(|mark| mark.put(&mut bytes));
        }
        bytes.extend_from_slice(&self.summary);
        bytes
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(payload);
        let [version, has_checkpoint] = bytes.array()?;
        let sealed = UnixMillis(bytes.u64()?);
        let checkpoint = match (version, has_checkpoint) {
            (1 | 2, 0) => None,
            (1 | 2, 1) => Some(Checkpoint::decode(bytes.take(40)?)?),
            _ => return None,
        };
        let mut marks = Vec::new();
        if version == 2 {
            for _ in 0..bytes.u32()? {
                marks.push(Mark::take(&mut bytes)?);
            }
            let ascend = marks
                .array_windows()
                .all(|[one, next]: &[Mark; 2]| one.offset < next.offset && one.next_index <= next.next_index);
            // One footer has one form.
            if marks.is_empty() || !ascend {
                return None;
            }
        }
        Some(Self { sealed, checkpoint, marks, summary: bytes.0.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_survives_its_bytes_and_a_flipped_bit_does_not() {
        let header = Header {
            version: VERSION,
            name: padded("journal"),
            first: 7,
            created: UnixMillis(9),
            previous: Chain([3; 32]),
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), HEADER_LEN);
        assert_eq!(Header::decode(&bytes), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_chain_frame_begins_with_its_mark_and_has_its_length() {
        let mut bytes = Vec::new();
        ChainFrame::close(Chain::default(), b"", 78, 1).put(&mut bytes);
        assert_eq!(bytes.len(), CHAIN_FRAME_LEN);
        assert_eq!(bytes[..6], ChainFrame::mark());
    }

    proptest! {
        #[test]
        fn decoding_is_total(bytes: Vec<u8>) {
            let _ = (Header::decode(&bytes), Footer::decode(&bytes), Checkpoint::decode(&bytes));
            let _ = (ChainFrame::decode(&bytes), read_frame(&bytes));
        }

        #[test]
        fn a_frame_with_any_bit_flipped_is_refused(payload: Vec<u8>, kind: u16, bit: prop::sample::Index) {
            let mut bytes = Vec::new();
            put_frame(&mut bytes, kind, &payload);
            prop_assert_eq!(read_frame(&bytes), Ok((kind, payload.as_slice(), [].as_slice())));
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read_frame(&bytes).is_err());
        }

        #[test]
        fn a_footer_survives_its_bytes(sealed: u64, summary: Vec<u8>, first: Option<u64>, marks in 0_u64..4) {
            let checkpoint = first.map(|first| Checkpoint { first, chain: Chain([5; 32]) });
            let mark = |at| Mark { offset: at * 100, next_index: at / 2, chain: Chain([at as u8; 32]) };
            let marks: Vec<_> = (1..=marks).map(mark).collect();
            let footer = Footer { sealed: UnixMillis(sealed), checkpoint, marks, summary };
            let bytes = footer.encode();
            prop_assert_eq!(bytes.first().copied(), Some(if footer.marks.is_empty() { 1 } else { 2 }));
            let mut turned = footer.clone();
            turned.marks.reverse();
            prop_assert_eq!(Footer::decode(&turned.encode()).is_some(), turned.marks.len() < 2);
            prop_assert_eq!(Footer::decode(&bytes), Some(footer));
        }
    }
}
