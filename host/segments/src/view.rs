//! Reading a log: what was durable when the view was taken.

use crate::LogError;
use crate::format::{CHAIN_FRAME_LEN, Chain, ChainFrame, FOOTER, Footer, Header, RESERVED_KINDS, VERSION};
use crate::format::{describe, padded, read_frame};
use crate::scan::{Broken, Cursor};
use millpond_disk::{Disk, read_exact_at};
use millpond_types::UnixMillis;
use std::collections::VecDeque;
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

/// A log as it was durable at one moment. Cheap to clone; reads on demand, one segment at a time.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<Path>,
    pub(crate) format: &'static str,
    pub(crate) sealed: Arc<Vec<SegmentInfo>>,
    pub(crate) active: Option<SegmentInfo>,
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
        let (_, footer) = inspect_sealed(self.disk.as_ref(), &self.dir, segment.first, self.format)?;
        Ok(footer.summary)
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

    /// Reads everything and checks every checksum, every chain hash, and that nothing is missing between segments.
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
            let mut loaded = self.load(segment)?;
            let mut records = 0;
            let mut count = |_: RecordRef<'_>| -> Result<(), LogError> {
                records += 1;
                Ok(())
            };
            while let Some(result) = loaded.next_group(&mut count)? {
                result?;
                verified.groups += 1;
            }
            verified.segments += 1;
            verified.records += records;
            (verified.next, verified.chain) = (loaded.cursor.next_index, loaded.cursor.chain);
        }
        Ok(verified)
    }

    fn load(&self, segment: &SegmentInfo) -> Result<Loaded, LogError> {
        let path = self.dir.join(segment.name());
        let file = self.disk.open_read(&path)?;
        let len = usize::try_from(segment.bytes).map_err(|_| too_long(segment.first))?;
        let bytes = read_exact_at(file.as_ref(), &path, 0, len)?;
        let header = header_of(&bytes, segment.first, self.format)?;
        if header.previous != segment.previous {
            return Err(corrupt(segment.first, 0, "the header changed while the log was open"));
        }
        let cursor = Cursor::new(&header);
        Ok(Loaded { first: segment.first, bytes, cursor, end: segment.chain })
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
