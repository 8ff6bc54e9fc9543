//! Building groups and reading them back from a segment's bytes.

use crate::format::{
    self, CHAIN, CHAIN_FRAME_LEN, Chain, ChainFrame, FRAME_LEN, HEADER_LEN, MAX_PAYLOAD, Mark, RESERVED_KINDS,
};

/// Collects the records of one commit group.
#[derive(Debug)]
pub struct GroupBuilder {
    pub(crate) frames: Vec<u8>,
    next_index: u64,
    records: u64,
    too_large: Option<usize>,
}

impl GroupBuilder {
    pub(crate) fn new(next_index: u64) -> Self {
        Self { frames: Vec::new(), next_index, records: 0, too_large: None }
    }

    /// Adds a record and gives its index. A payload above [`MAX_PAYLOAD`] or a reserved kind fails the whole group:
    /// owners check sizes before they queue.
    pub fn push(&mut self, kind: u16, payload: &[u8]) -> u64 {
        let index = self.next_index;
        if payload.len() > MAX_PAYLOAD || kind >= RESERVED_KINDS {
            self.too_large = Some(payload.len());
            return index;
        }
        format::put_frame(&mut self.frames, kind, payload);
        self.next_index += 1;
        self.records += 1;
        index
    }

    pub(crate) fn push_own(&mut self, kind: u16, payload: &[u8]) {
        if payload.len() > MAX_PAYLOAD {
            self.too_large = Some(payload.len());
        } else {
            format::put_frame(&mut self.frames, kind, payload);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn too_large(&self) -> Option<usize> {
        self.too_large
    }

    /// The group's bytes with its chain frame.
    pub(crate) fn close(self, previous: Chain, group_start: u64) -> (Vec<u8>, ChainFrame) {
        let mut bytes = self.frames;
        let chain = ChainFrame::close(previous, &bytes, group_start, self.next_index);
        chain.put(&mut bytes);
        (bytes, chain)
    }
}

/// A frame inside a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub kind: u16,
    pub payload: &'a [u8],
    pub offset: u64,
}

/// A group that checks.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub frames: Vec<Frame<'a>>,
    /// Index of its first record.
    pub first: u64,
}

/// A place where a segment does not check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Start of the group that is not whole.
    pub group_start: u64,
    /// Where exactly.
    pub offset: u64,
    pub what: &'static str,
}

/// Walks the groups of one segment's bytes, or of its bytes from a mark on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// Where in the file the bytes begin.
    base: u64,
    pub at: u64,
    pub next_index: u64,
    pub chain: Chain,
}

impl Cursor {
    /// At the first group of a segment.
    pub(crate) fn new(header: &format::Header) -> Self {
        Self { base: 0, at: HEADER_LEN as u64, next_index: header.first, chain: header.chain() }
    }

    /// At the group behind a mark, in bytes that begin there.
    pub(crate) fn behind(mark: &Mark) -> Self {
        Self { base: mark.offset, at: mark.offset, next_index: mark.next_index, chain: mark.chain }
    }

    /// Where it stands, for whoever comes back.
    pub(crate) fn mark(&self) -> Mark {
        Mark { offset: self.at, next_index: self.next_index, chain: self.chain }
    }

    /// The next group, or `None` at the end of the bytes.
    pub(crate) fn next<'a>(&mut self, file: &'a [u8]) -> Result<Option<Group<'a>>, Broken> {
        let start = self.at;
        let broken = |offset, what| Broken { group_start: start, offset, what };
        let from = start.checked_sub(self.base).and_then(|from| usize::try_from(from).ok());
        let whole = from.and_then(|from| file.get(from..));
        let whole = whole.ok_or_else(|| broken(start, "the file is shorter than its group"))?;
        if whole.is_empty() {
            return Ok(None);
        }
        let mut frames = Vec::new();
        let mut rest = whole;
        loop {
            let here = (whole.len() - rest.len()) as u64;
            let offset = start + here;
            let (kind, payload, after) = format::read_frame(rest).map_err(|what| broken(offset, what))?;
            if kind != CHAIN {
                frames.push(Frame { kind, payload, offset });
                rest = after;
                continue;
            }
            let found = ChainFrame::decode(payload)
                .filter(|chain| chain.group_start == start)
                .ok_or_else(|| broken(offset, "a chain frame belongs elsewhere"))?;
            let records = frames.iter().filter(|frame| frame.kind < RESERVED_KINDS).count() as u64;
            let next_index = self.next_index.saturating_add(records);
            let group_bytes = whole.get(..whole.len() - rest.len()).unwrap_or_default();
            let expected = ChainFrame::close(self.chain, group_bytes, start, next_index);
            if found != expected {
                return Err(broken(offset, "the chain hash is wrong"));
            }
            let end = start + (whole.len() - after.len()) as u64;
            let group = Group { frames, first: self.next_index };
            *self = Self { base: self.base, at: end, next_index, chain: expected.chain };
            return Ok(Some(group));
        }
    }
}

/// Whether a group that starts after `group_start` is in these bytes. A group is written only after the one before
/// it was synced, so that a broken group before another one is damage and not a torn write.
pub(crate) fn has_later_group(file: &[u8], group_start: u64) -> bool {
    let mark = ChainFrame::mark();
    let from = usize::try_from(group_start).unwrap_or(usize::MAX).min(file.len());
    let tail = file.get(from..).unwrap_or_default();
    let candidates = tail.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    candidates.into_iter().any(|(index, _)| {
        let at = from + index;
        let frame = file.get(at..at + CHAIN_FRAME_LEN).and_then(|bytes| format::read_frame(bytes).ok());
        let Some(chain) = frame.and_then(|(_, payload, _)| ChainFrame::decode(payload)) else { return false };
        chain.group_start > group_start && leads_to(file, chain.group_start, at)
    })
}

/// Whether whole frames lead from a group's start to its chain frame: what a miner sends cannot easily look so.
fn leads_to(file: &[u8], group_start: u64, chain_at: usize) -> bool {
    let Ok(mut at) = usize::try_from(group_start) else { return false };
    while at < chain_at {
        let Some(Ok((_, payload, _))) = file.get(at..).map(format::read_frame) else { return false };
        at += FRAME_LEN + payload.len();
    }
    at == chain_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Header, VERSION, padded};
    use millpond_types::UnixMillis;

    fn header() -> Header {
        let (name, created, previous) = (padded("test"), UnixMillis(1), Chain::default());
        Header { version: VERSION, name, first: 1, created, previous }
    }

    /// A segment of groups with the given records, and the offsets at which the groups start.
    fn segment(groups: &[&[&[u8]]]) -> (Vec<u8>, Vec<u64>) {
        let mut file = header().encode();
        let mut cursor = Cursor::new(&header());
        let mut starts = Vec::new();
        for records in groups {
            starts.push(cursor.at);
            let mut builder = GroupBuilder::new(cursor.next_index);
            for record in *records {
                builder.push(1, record);
            }
            let (bytes, _) = builder.close(cursor.chain, cursor.at);
            file.extend_from_slice(&bytes);
            cursor.next(&file).unwrap().unwrap();
        }
        (file, starts)
    }

    #[test]
    fn records_are_numbered_through_groups() {
        let (file, _) = segment(&[&[b"a", b"b"], &[], &[b"c"]]);
        let mut cursor = Cursor::new(&header());
        let firsts: Vec<_> =
            std::iter::from_fn(|| cursor.next(&file).unwrap().map(|g| (g.first, g.frames.len()))).collect();
        assert_eq!(firsts, [(1, 2), (3, 0), (3, 1)]);
        assert_eq!(cursor.next_index, 4);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (file, starts) = segment(&[&[b"one"], &[b"two", b"three"], &[b"four"]]);
        for bit in HEADER_LEN * 8..file.len() * 8 {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut cursor = Cursor::new(&header());
            let broken = loop {
                match cursor.next(&flipped) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("bit {bit} went unnoticed"),
                    Err(broken) => break broken,
                }
            };
            let damaged = (bit / 8) as u64;
            let group = *starts.iter().rev().find(|start| **start <= damaged).unwrap();
            assert_eq!(broken.group_start, group, "bit {bit}");
            assert_eq!(has_later_group(&flipped, group), group != starts[2], "bit {bit}");
        }
    }

    #[test]
    fn a_group_that_names_a_chain_frame_inside_a_record_is_not_a_later_group() {
        let mut fake = Vec::new();
        ChainFrame::close(Chain::default(), b"", 100_000, 9).put(&mut fake);
        let (file, starts) = segment(&[&[b"x"], &[&fake]]);
        assert!(!has_later_group(&file, starts[1]));
    }
}
