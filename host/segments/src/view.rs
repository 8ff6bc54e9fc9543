//! Reading a log: what was durable when the view was taken.

use crate::LogError;
use crate::format::{CHAIN_FRAME_LEN, Chain, ChainFrame, FOOTER, Footer, Header, Mark, RESERVED_KINDS};
use crate::format::{VERSION, describe, padded, read_frame};
use crate::scan::{Broken, Cursor};
use millpond_disk::{Disk, read_exact_at};
use millpond_types::UnixMillis;
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is known of one segment without reading its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Index of its first record; its file's name.
    pub first: u64,
    /// Index after its last record.
    pub next: u64,
    /// Durable bytes.
    pub bytes: u64,
    /// When it was created, by this machine's clock.
    pub created: UnixMillis,
    /// When it was sealed; `None` for the segment that is written to.
    pub sealed: Option<UnixMillis>,
    /// The chain before its first record.
    pub previous: Chain,
    /// The chain after its last durable group.
    pub chain: Chain,
}

impl SegmentInfo {
    /// The file's name inside the log's folder.
    #[must_use]
    pub fn name(&self) -> String {
        name_of(self.first)
    }
}

pub(crate) fn name_of(first: u64) -> String {
    format!("{first:020}.seg")
}

/// A record where it lies.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its place in the log: from 1, without gaps.
    pub index: u64,
    /// What the owner said it is.
    pub kind: u16,
    /// The owner's bytes.
    pub payload: &'a [u8],
    /// First index of its segment.
    pub segment: u64,
    /// Offset of its frame in the segment's file.
    pub offset: u64,
}

impl RecordRef<'_> {
    /// The error for an owner that cannot read this record.
    #[must_use]
    pub fn refuse(&self, what: impl ToString) -> LogError {
        LogError::Owner { segment: name_of(self.segment), offset: self.offset, what: what.to_string() }
    }
}

/// A record of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log: from 1, without gaps.
    pub index: u64,
    /// What the owner said it is.
    pub kind: u16,
    /// The owner's bytes.
    pub payload: Vec<u8>,
    /// First index of its segment.
    pub segment: u64,
    /// Offset of its frame in the segment's file.
    pub offset: u64,
}

impl Record {
    /// The same, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> RecordRef<'_> {
        let Self { index, kind, payload, segment, offset } = self;
        RecordRef { index: *index, kind: *kind, payload, segment: *segment, offset: *offset }
    }
}

/// What [`View::verify`] walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Files.
    pub segments: u64,
    /// Commit groups.
    pub groups: u64,
    /// Records.
    pub records: u64,
    /// Index of the first record that is kept.
    pub first: u64,
    /// Index after the last record.
    pub next: u64,
    /// The chain over everything.
    pub chain: Chain,
}

/// Places from which a segment can be read without what is before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub(crate) Arc<Vec<Mark>>);

impl Marks {
    /// Whether one lies right before the record of this index.
    #[must_use]
    pub fn is_before(&self, index: u64) -> bool {
        self.at(index).is_some_and(|mark| mark.next_index == index)
    }

    /// The last place that no record from this index on lies before.
    fn at(&self, index: u64) -> Option<&Mark> {
        self.0.get(self.0.partition_point(|mark| mark.next_index <= index).checked_sub(1)?)
    }

    /// The first place behind a record of a lower index and all of those before it.
    fn behind(&self, index: u64) -> Option<&Mark> {
        self.0.get(self.0.partition_point(|mark| mark.next_index < index))
    }
}

/// A log as it was durable at one moment. Cheap to clone; reads on demand, one segment at a time.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<Path>,
    pub(crate) format: &'static str,
    pub(crate) sealed: Arc<Vec<SegmentInfo>>,
    pub(crate) active: Option<SegmentInfo>,
    /// Of that segment.
    pub(crate) marks: Marks,
}

impl View {
    /// A view of a log that nobody has open, or that a running pool has: nothing is locked, truncated or written.
    /// A torn tail is left out.
    ///
    /// # Errors
    /// As [`crate::GroupLog::open`].
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, format: &'static str) -> Result<Self, LogError> {
        crate::open::read_only(disk, dir, format)
    }

    /// All segments, oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &SegmentInfo> {
        self.sealed.iter().chain(self.active.as_ref())
    }

    /// Index after the last durable record.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.segments().next_back().map_or(1, |segment| segment.next)
    }

    /// The chain over everything durable.
    #[must_use]
    pub fn chain(&self) -> Chain {
        self.segments().next_back().map_or(Chain::default(), |segment| segment.chain)
    }

    /// The owner's summary in the footer of a sealed segment; reads only the footer.
    ///
    /// # Errors
    /// When the segment is not sealed or does not check.
    pub fn summary(&self, segment: &SegmentInfo) -> Result<Vec<u8>, LogError> {
        Ok(self.footer(segment)?.0)
    }

    /// The same with the places from which the segment can be read: none when it was sealed before there were such.
    ///
    /// # Errors
    /// As [`View::summary`].
    pub fn footer(&self, segment: &SegmentInfo) -> Result<(Vec<u8>, Marks), LogError> {
        let (_, footer) = inspect_sealed(self.disk.as_ref(), &self.dir, segment.first, self.format)?;
        Ok((footer.summary, Marks(Arc::new(footer.marks))))
    }

    /// The places from which the segment that is written to can be read.
    #[must_use]
    pub fn newest_marks(&self) -> &Marks {
        &self.marks
    }

    /// Gives the records of one segment with these indexes, in order, and reads little more than them: from the last of the
    /// segment's marks before them to the first one behind them. Checks checksums, and the chain from mark to mark.
    ///
    /// # Errors
    /// The visitor's own, or when what is read does not check.
    pub fn read_range<E: From<LogError>>(
        &self,
        segment: &SegmentInfo,
        marks: &Marks,
        indexes: Range<u64>,
        mut visit: impl FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if indexes.is_empty() {
            return Ok(());
        }
        let mut loaded = self.load_between(segment, marks.at(indexes.start), marks.behind(indexes.end))?;
        while let Some(result) = loaded
            .next_group(|record| if indexes.contains(&record.index) { visit(record) } else { Ok(()) })?
        {
            result?;
        }
        Ok(())
    }

    /// Gives every record of one segment, in order, checking checksums and chain on the way.
    ///
    /// # Errors
    /// The visitor's own, or when the segment does not check.
    pub fn read<E: From<LogError>>(
        &self,
        segment: &SegmentInfo,
        mut visit: impl FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut loaded = self.load(segment)?;
        while let Some(result) = loaded.next_group(&mut visit)? {
            result?;
        }
        Ok(())
    }

    /// Records from an index on, until the end of this view.
    #[must_use]
    pub fn iter(&self, from: u64) -> Iter {
        let segments = self.segments().filter(|segment| segment.next > from).cloned().collect();
        Iter { view: self.clone(), from, segments, loaded: None, pending: VecDeque::new() }
    }

    /// Reads everything and checks every checksum, every chain hash, that nothing is missing between segments, and that
    /// marks say what lies before them.
    ///
    /// # Errors
    /// At the first place that does not check.
    pub fn verify(&self) -> Result<Verified, LogError> {
        let mut verified =
            Verified { segments: 0, groups: 0, records: 0, first: 1, next: 1, chain: Chain::default() };
        for segment in self.segments() {
            if verified.segments == 0 {
                verified.first = segment.first;
            } else {
                follows(segment, verified.next, verified.chain)?;
            }
            let marks = if segment.sealed.is_some() { self.footer(segment)?.1 } else { self.marks.clone() };
            let mut marks = marks.0.iter().peekable();
            let mut loaded = self.load(segment)?;
            let mut records = 0;
            let mut count = |_: RecordRef<'_>| -> Result<(), LogError> {
                records += 1;
                Ok(())
            };
            while let Some(result) = loaded.next_group(&mut count)? {
                result?;
                verified.groups += 1;
                let here = loaded.cursor.mark();
                if let Some(mark) = marks.next_if(|mark| mark.offset <= here.offset)
                    && *mark != here
                {
                    return Err(corrupt(
                        segment.first,
                        mark.offset,
                        "the footer marks no end of a group here",
                    ));
                }
            }
            verified.segments += 1;
            verified.records += records;
            (verified.next, verified.chain) = (loaded.cursor.next_index, loaded.cursor.chain);
        }
        Ok(verified)
    }

    fn load(&self, segment: &SegmentInfo) -> Result<Loaded, LogError> {
        self.load_between(segment, None, None)
    }

    /// What lies between two marks of a segment, of which none is its beginning or its end.
    fn load_between(
        &self,
        segment: &SegmentInfo,
        from: Option<&Mark>,
        until: Option<&Mark>,
    ) -> Result<Loaded, LogError> {
        let path = self.dir.join(segment.name());
        let file = self.disk.open_read(&path)?;
        let (begin, end) =
            (from.map_or(0, |mark| mark.offset), until.map_or(segment.bytes, |mark| mark.offset));
        let end_chain = until.map_or(segment.chain, |mark| mark.chain);
        let len =
            end.checked_sub(begin).ok_or_else(|| corrupt(segment.first, begin, "a mark lies outside"))?;
        let len = usize::try_from(len).map_err(|_| too_long(segment.first))?;
        let bytes = read_exact_at(file.as_ref(), &path, begin, len)?;
        if let Some(mark) = from {
            return Ok(Loaded { first: segment.first, bytes, cursor: Cursor::behind(mark), end: end_chain });
        }
        let header = header_of(&bytes, segment.first, self.format)?;
        if header.previous != segment.previous {
            return Err(corrupt(segment.first, 0, "the header changed while the log was open"));
        }
        let cursor = Cursor::new(&header);
        Ok(Loaded { first: segment.first, bytes, cursor, end: end_chain })
    }
}

/// One segment in memory, being walked.
#[derive(Debug)]
struct Loaded {
    first: u64,
    bytes: Vec<u8>,
    cursor: Cursor,
    end: Chain,
}

impl Loaded {
    /// Visits the records of the next group; `None` after the last one.
    fn next_group<E>(
        &mut self,
        mut visit: impl FnMut(RecordRef<'_>) -> Result<(), E>,
    ) -> Result<Option<Result<(), E>>, LogError> {
        let Some(group) = self.cursor.next(&self.bytes).map_err(|broken| broken_at(self.first, &broken))?
        else {
            if self.cursor.chain != self.end {
                return Err(corrupt(self.first, self.cursor.at, "the segment was exchanged for another"));
            }
            return Ok(None);
        };
        let records = group.frames.iter().filter(|frame| frame.kind < RESERVED_KINDS);
        for (index, frame) in (group.first..).zip(records) {
            let (kind, payload, offset) = (frame.kind, frame.payload, frame.offset);
            if let Err(error) = visit(RecordRef { index, kind, payload, segment: self.first, offset }) {
                return Ok(Some(Err(error)));
            }
        }
        Ok(Some(Ok(())))
    }
}

/// Records of a view, in order. After an error it ends.
#[derive(Debug)]
pub struct Iter {
    view: View,
    from: u64,
    segments: VecDeque<SegmentInfo>,
    loaded: Option<Loaded>,
    pending: VecDeque<Record>,
}

impl Iter {
    fn advance(&mut self) -> Result<Option<Record>, LogError> {
        loop {
            if let Some(record) = self.pending.pop_front() {
                return Ok(Some(record));
            }
            let loaded = match &mut self.loaded {
                Some(loaded) => loaded,
                empty => match self.segments.pop_front() {
                    Some(segment) => empty.insert(self.view.load(&segment)?),
                    None => return Ok(None),
                },
            };
            let (from, pending) = (self.from, &mut self.pending);
            let visited = loaded.next_group(|record| -> Result<(), LogError> {
                if record.index >= from {
                    let RecordRef { index, kind, payload, segment, offset } = record;
                    pending.push_back(Record { index, kind, payload: payload.to_vec(), segment, offset });
                }
                Ok(())
            })?;
            match visited {
                Some(result) => result?,
                None => self.loaded = None,
            }
        }
    }
}

impl Iterator for Iter {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(record) => record.map(Ok),
            Err(error) => {
                self.segments.clear();
                self.loaded = None;
                Some(Err(error))
            }
        }
    }
}

pub(crate) fn corrupt(first: u64, offset: u64, what: impl ToString) -> LogError {
    LogError::Corrupt { segment: name_of(first), offset, what: what.to_string() }
}

pub(crate) fn broken_at(first: u64, broken: &Broken) -> LogError {
    corrupt(first, broken.offset, broken.what)
}

fn too_long(first: u64) -> LogError {
    corrupt(first, 0, "the file is longer than memory can address")
}

/// The header of a segment's bytes, if it is the right one.
pub(crate) fn header_of(bytes: &[u8], first: u64, format: &'static str) -> Result<Header, LogError> {
    let header = Header::decode(bytes).ok_or_else(|| corrupt(first, 0, "the header does not check"))?;
    if header.version != VERSION || header.name != padded(format) {
        let expected = describe(&padded(format), VERSION);
        return Err(LogError::Format { segment: name_of(first), found: header.describe(), expected });
    }
    if header.first != first {
        return Err(corrupt(first, 0, "the file's name is not its first record's index"));
    }
    Ok(header)
}

/// Checks that a segment continues what came before.
pub(crate) fn follows(segment: &SegmentInfo, next: u64, chain: Chain) -> Result<(), LogError> {
    if segment.first != next {
        let found = format!("segment {} comes next", segment.name());
        return Err(LogError::Missing { expected: next, found });
    }
    if segment.previous != chain {
        return Err(corrupt(segment.first, 0, "its chain does not continue the segment before"));
    }
    Ok(())
}

/// Header, last chain frame and footer of a sealed segment, without its records.
pub(crate) fn inspect_sealed(
    disk: &dyn Disk,
    dir: &Path,
    first: u64,
    format: &'static str,
) -> Result<(SegmentInfo, Footer), LogError> {
    let path: PathBuf = dir.join(name_of(first));
    let file = disk.open_read(&path)?;
    let len = file.len()?;
    let head =
        read_exact_at(file.as_ref(), &path, 0, crate::format::HEADER_LEN.min(len.try_into().unwrap_or(0)))?;
    let header = header_of(&head, first, format)?;
    let unsealed = || corrupt(first, len, "the segment is not sealed, but another follows it");
    let chain_at = len.checked_sub(CHAIN_FRAME_LEN as u64).ok_or_else(unsealed)?;
    let tail = read_exact_at(file.as_ref(), &path, chain_at, CHAIN_FRAME_LEN)?;
    let chain = read_frame(&tail)
        .ok()
        .and_then(|(_, payload, _)| ChainFrame::decode(payload))
        .ok_or_else(unsealed)?;
    let footer_len = chain_at.checked_sub(chain.group_start).and_then(|len| usize::try_from(len).ok());
    let footer = read_exact_at(file.as_ref(), &path, chain.group_start, footer_len.ok_or_else(unsealed)?)?;
    let footer = match read_frame(&footer) {
        Ok((FOOTER, payload, [])) => Footer::decode(payload),
        _ => None,
    };
    let footer = footer.ok_or_else(unsealed)?;
    if footer.marks.last().is_some_and(|mark| mark.offset > chain.group_start) {
        return Err(corrupt(first, chain.group_start, "the footer marks a place behind its segment"));
    }
    let info = SegmentInfo {
        first,
        next: chain.next_index,
        bytes: len,
        created: header.created,
        sealed: Some(footer.sealed),
        previous: header.previous,
        chain: chain.chain,
    };
    Ok((info, footer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::GroupBuilder;
    use millpond_disk::SimDisk;

    /// A sealed segment of three groups whose footer marks what it is told to.
    fn sealed(marks: impl FnOnce(&[Mark]) -> Vec<Mark>) -> View {
        let (name, created, previous) = (padded("test"), UnixMillis(1), Chain::default());
        let header = Header { version: VERSION, name, first: 1, created, previous };
        let mut bytes = header.encode();
        let mut cursor = Cursor::new(&header);
        let mut ends = Vec::new();
        for number in 0..3 {
            let mut group = GroupBuilder::new(cursor.next_index);
            group.push(1, &[number; 40]);
            bytes.extend(group.close(cursor.chain, cursor.at).0);
            cursor.next(&bytes).unwrap().unwrap();
            ends.push(cursor.mark());
        }
        let mut group = GroupBuilder::new(cursor.next_index);
        let marks = marks(&ends);
        let footer = Footer { sealed: UnixMillis(2), checkpoint: None, marks, summary: Vec::new() };
        group.push_own(FOOTER, &footer.encode());
        bytes.extend(group.close(cursor.chain, cursor.at).0);
        let disk = Arc::new(SimDisk::new());
        disk.make_dir(Path::new("/log")).unwrap();
        disk.create(&Path::new("/log").join(name_of(1))).unwrap().append(&bytes).unwrap();
        View::open(disk, Path::new("/log"), "test").unwrap()
    }

    #[test]
    fn a_mark_that_is_not_where_a_group_ends_is_found_by_verify() {
        sealed(<[Mark]>::to_vec).verify().unwrap();
        sealed(|ends| vec![ends[1]]).verify().unwrap();
        sealed(|_| Vec::new()).verify().unwrap();
        let forged = |forge: fn(&mut Mark)| {
            let view = sealed(|ends| {
                let mut mark = ends[1];
                forge(&mut mark);
                vec![mark]
            });
            let segment = view.segments().next().unwrap().clone();
            let marks = view.footer(&segment).map(|(_, marks)| marks);
            let read = |marks: &Marks| {
                view.read_range(&segment, marks, 3..4, |record| -> Result<(), LogError> {
                    assert_eq!(record.payload, [2; 40]);
                    Ok(())
                })
            };
            // Whoever reads from it finds no chain there, unless it says only what its records are called.
            (view.verify().is_err(), marks.and_then(|marks| read(&marks)).is_err())
        };
        assert_eq!(forged(|_| ()), (false, false));
        assert_eq!(forged(|mark| mark.offset += 1), (true, true));
        assert_eq!(forged(|mark| mark.offset = 1 << 40), (true, true));
        assert_eq!(forged(|mark| mark.chain = Chain([9; 32])), (true, true));
        assert_eq!(forged(|mark| mark.next_index = 2), (true, true));
    }
}
