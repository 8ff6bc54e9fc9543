//! Finding out what a folder holds: sealed segments by their footers, the newest by its groups.

use crate::format::{CHECKPOINT, Checkpoint, FOOTER, Footer, HEADER_LEN, Header, Mark, RESERVED_KINDS};
use crate::log::{MARK_BYTES, Options, Owner, Truncated};
use crate::scan::{Cursor, has_later_group};
use crate::view::{RecordRef, broken_at, corrupt, follows, header_of, inspect_sealed, name_of};
use crate::{LogError, Marks, SegmentInfo, View};
use millpond_disk::{Disk, read_file};
use std::path::Path;
use std::sync::Arc;

/// What was found, and what is mended already.
#[derive(Debug)]
pub(crate) struct Found {
    pub sealed: Vec<SegmentInfo>,
    /// The segment to go on writing to; `None` when a new one is needed.
    pub active: Option<SegmentInfo>,
    /// Of that segment.
    pub marks: Vec<Mark>,
    pub checkpoint: Option<Checkpoint>,
    pub truncated: Option<Truncated>,
}

/// The newest segment, read whole.
struct Newest {
    bytes: Vec<u8>,
    info: SegmentInfo,
    footer: Option<Footer>,
    marks: Vec<Mark>,
    checkpoint: Option<Checkpoint>,
    /// Bytes after the last complete group.
    torn: u64,
}

/// What the newest file turned out to be.
enum State {
    Whole(Box<Newest>),
    /// Its creation was not finished, so nothing in it was ever acknowledged.
    Unfinished {
        bytes: u64,
    },
}

fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, LogError> {
    let names = disk.list(dir)?;
    let index = |name: &String| name.strip_suffix(".seg").filter(|n| n.len() == 20)?.parse().ok();
    Ok(names.iter().filter_map(index).collect())
}

fn read_newest(
    disk: &dyn Disk,
    dir: &Path,
    first: u64,
    (format, mark_bytes): (&'static str, u64),
) -> Result<State, LogError> {
    let bytes = read_file(disk, &dir.join(name_of(first)))?;
    let unfinished = || State::Unfinished { bytes: bytes.len() as u64 };
    // A file's first group is written with its header and acknowledges nothing: without a second group behind it,
    // a header that does not check is a creation that was cut short.
    let later = || has_later_group(&bytes, HEADER_LEN as u64);
    let header = match Header::decode(&bytes) {
        None if !later() => return Ok(unfinished()),
        _ => header_of(&bytes, first, format)?,
    };
    let mut cursor = Cursor::new(&header);
    let (mut footer, mut checkpoint, mut groups) = (None, None, 0);
    let mut marks = Vec::new();
    let torn = loop {
        let group = match cursor.next(&bytes) {
            Ok(Some(group)) => group,
            Ok(None) => break 0,
            Err(broken) if has_later_group(&bytes, broken.group_start) => {
                return Err(broken_at(first, &broken));
            }
            Err(broken) => break (bytes.len() as u64).saturating_sub(broken.group_start),
        };
        groups += 1;
        for frame in group.frames.iter().filter(|frame| frame.kind >= RESERVED_KINDS) {
            let unreadable = || corrupt(first, frame.offset, "a frame of this kind is not known");
            match frame.kind {
                CHECKPOINT => checkpoint = Some(Checkpoint::decode(frame.payload).ok_or_else(unreadable)?),
                FOOTER => footer = Some(Footer::decode(frame.payload).ok_or_else(unreadable)?),
                _ => return Err(unreadable()),
            }
        }
        if footer.is_some() {
            let end = bytes.len() as u64;
            if cursor.at != end {
                return Err(corrupt(first, cursor.at, "there are bytes after the footer"));
            }
            break 0;
        }
        put_mark(&mut marks, cursor.mark(), mark_bytes);
    };
    if groups == 0 {
        return Ok(unfinished());
    }
    let info = SegmentInfo {
        first,
        next: cursor.next_index,
        bytes: cursor.at,
        created: header.created,
        sealed: footer.as_ref().map(|footer| footer.sealed),
        previous: header.previous,
        chain: cursor.chain,
    };
    let checkpoint = checkpoint.or_else(|| footer.as_ref()?.checkpoint);
    Ok(State::Whole(Box::new(Newest { bytes, info, footer, marks, checkpoint, torn })))
}

/// Adds a mark where groups of so many bytes lie behind the one before; whether it did.
pub(crate) fn put_mark(marks: &mut Vec<Mark>, mark: Mark, every: u64) -> bool {
    let before = marks.last().map_or(HEADER_LEN as u64, |mark| mark.offset);
    let far = mark.offset.saturating_sub(before) >= every;
    if far {
        marks.push(mark);
    }
    far
}

/// Everything but the newest segment, checked to continue from checkpoint to newest.
struct Older {
    sealed: Vec<(SegmentInfo, Footer)>,
    checkpoint: Option<Checkpoint>,
    /// First indexes of segments before the checkpoint: dropped, but their files are still there.
    leftover: Vec<u64>,
}

fn read_older(
    disk: &dyn Disk,
    dir: &Path,
    older: &[u64],
    newest: Option<&Newest>,
    format: &'static str,
) -> Result<Older, LogError> {
    let mut checkpoint = newest.and_then(|newest| newest.checkpoint);
    // The newest footer has the latest checkpoint that a segment without one of its own knows.
    if checkpoint.is_none()
        && let Some(last) = older.last()
    {
        checkpoint = inspect_sealed(disk, dir, *last, format)?.1.checkpoint;
    }
    let start = checkpoint.map_or(1, |checkpoint| checkpoint.first);
    let (leftover, kept): (Vec<u64>, Vec<u64>) = older.iter().partition(|first| **first < start);
    let mut next = start;
    let mut chain = checkpoint.map_or_else(Default::default, |checkpoint| checkpoint.chain);
    let mut sealed = Vec::with_capacity(kept.len());
    for first in kept {
        let (info, footer) = inspect_sealed(disk, dir, first, format)?;
        follows(&info, next, chain)?;
        (next, chain) = (info.next, info.chain);
        sealed.push((info, footer));
    }
    if let Some(newest) = newest {
        follows(&newest.info, next, chain)?;
    }
    Ok(Older { sealed, checkpoint, leftover })
}

/// For a writer: mends what a power cut left and tells the owner what is there.
pub(crate) fn read_write<O: Owner>(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: &Options,
    owner: &mut O,
) -> Result<Found, LogError> {
    let disk = disk.as_ref();
    let mut firsts = list(disk, dir)?;
    let mut truncated = None;
    let newest = loop {
        let Some(first) = firsts.pop() else { break None };
        match read_newest(disk, dir, first, (options.format, options.mark_bytes))? {
            State::Whole(newest) => break Some(newest),
            State::Unfinished { bytes } => {
                if truncated.is_some() || (firsts.is_empty() && first != 1) {
                    return Err(corrupt(first, 0, "no group of the segment is whole"));
                }
                disk.remove(&dir.join(name_of(first)))?;
                disk.sync_dir(dir)?;
                truncated = Some(Truncated { segment: name_of(first), offset: 0, bytes });
            }
        }
    };
    let older = read_older(disk, dir, &firsts, newest.as_deref(), options.format)?;
    if let Some(newest) = &newest
        && newest.footer.is_none()
        && let Some(removed) = &truncated
    {
        let what = format!("segment {} was begun after it, but it is not sealed", removed.segment);
        return Err(corrupt(newest.info.first, newest.info.bytes, what));
    }
    for first in &older.leftover {
        disk.remove(&dir.join(name_of(*first)))?;
    }
    let mut sealed = Vec::with_capacity(older.sealed.len() + 1);
    for (info, footer) in older.sealed {
        tell_sealed(owner, &info, &footer)?;
        sealed.push(info);
    }
    let Some(newest) = newest else {
        let (active, marks) = (None, Vec::new());
        return Ok(Found { sealed, active, marks, checkpoint: older.checkpoint, truncated });
    };
    // What a killed process wrote but did not sync is in the page cache only: from here on it counts as durable.
    let file = disk.open(&dir.join(newest.info.name()))?;
    if newest.torn > 0 {
        file.truncate(newest.info.bytes)?;
        let (segment, offset) = (newest.info.name(), newest.info.bytes);
        truncated = Some(Truncated { segment, offset, bytes: newest.torn });
    }
    file.sync()?;
    disk.sync_dir(dir)?;
    tell_records(owner, &newest, options.format)?;
    let active = match &newest.footer {
        None => Some(newest.info.clone()),
        Some(footer) => {
            tell_sealed(owner, &newest.info, footer)?;
            sealed.push(newest.info.clone());
            None
        }
    };
    Ok(Found { sealed, active, marks: newest.marks, checkpoint: older.checkpoint, truncated })
}

fn tell_sealed<O: Owner>(owner: &mut O, info: &SegmentInfo, footer: &Footer) -> Result<(), LogError> {
    let refuse = |what| LogError::Owner { segment: info.name(), offset: info.bytes, what };
    owner.sealed(info, &footer.summary).map_err(refuse)
}

fn tell_records<O: Owner>(owner: &mut O, newest: &Newest, format: &'static str) -> Result<(), LogError> {
    let first = newest.info.first;
    let bytes = newest.bytes.get(..usize::try_from(newest.info.bytes).unwrap_or(0)).unwrap_or_default();
    let mut cursor = Cursor::new(&header_of(bytes, first, format)?);
    while let Some(group) = cursor.next(bytes).map_err(|broken| broken_at(first, &broken))? {
        let records = group.frames.iter().filter(|frame| frame.kind < RESERVED_KINDS);
        for (index, frame) in (group.first..).zip(records) {
            let (kind, payload, offset) = (frame.kind, frame.payload, frame.offset);
            let record = RecordRef { index, kind, payload, segment: first, offset };
            owner.recover(record).map_err(|what| record.refuse(what))?;
        }
        if newest.marks.binary_search_by_key(&cursor.at, |mark| mark.offset).is_ok() {
            owner.marked(cursor.next_index);
        }
    }
    Ok(())
}

/// For a reader: the same checks, nothing changed on disk.
pub(crate) fn read_only(disk: Arc<dyn Disk>, dir: &Path, format: &'static str) -> Result<View, LogError> {
    let mut firsts = list(disk.as_ref(), dir)?;
    let mut newest = None;
    while let Some(first) = firsts.pop() {
        if let State::Whole(found) = read_newest(disk.as_ref(), dir, first, (format, MARK_BYTES))? {
            newest = Some(found);
            break;
        }
    }
    let older = read_older(disk.as_ref(), dir, &firsts, newest.as_deref(), format)?;
    let sealed = Arc::new(older.sealed.into_iter().map(|(info, _)| info).collect());
    let (active, marks) = newest.map(|newest| (newest.info, newest.marks)).unzip();
    let marks = Marks(Arc::new(marks.unwrap_or_default()));
    Ok(View { disk, dir: dir.into(), format, sealed, active, marks })
}
