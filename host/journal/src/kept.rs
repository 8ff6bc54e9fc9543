//! Segments in memory, for a reader that asks for many windows: each is read, checked and decoded once, and not for every
//! window whose edge is in it.

use crate::records::{JOB, Job, SHARES};
use crate::view::{JournalView, decode};
use crate::{Record, Share};
use millpond_segments::{LogError, SegmentInfo};
use millpond_types::{JobId, ShareSeq};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// Bytes of segments that are kept at most: four as they are by default. Decoded they take about three times as much. A
/// segment that is longer by itself, since it begins with what a million miners carry over, is read each time.
const KEPT: u64 = 32 << 20;

/// What windows ask of a segment.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    /// Ascending by number.
    shares: Vec<(ShareSeq, Share)>,
    /// Records with shares, ascending, and how many shares there are before each.
    records: Vec<(u64, usize)>,
    jobs: BTreeMap<JobId, Job>,
    bytes: u64,
}

impl Segment {
    /// Its shares with these numbers.
    pub(crate) fn shares(&self, numbers: &RangeInclusive<ShareSeq>) -> &[(ShareSeq, Share)] {
        let from = self.shares.partition_point(|(seq, _)| seq < numbers.start());
        let to = self.shares.partition_point(|(seq, _)| seq <= numbers.end());
        self.shares.get(from..to).unwrap_or_default()
    }

    /// Its shares in these records.
    pub(crate) fn in_records(&self, records: &Range<u64>) -> &[(ShareSeq, Share)] {
        let before = |record: u64| {
            let place = self.records.partition_point(|(index, _)| *index < record);
            self.records.get(place).map_or(self.shares.len(), |(_, before)| *before)
        };
        self.shares.get(before(records.start)..before(records.end)).unwrap_or_default()
    }

    pub(crate) fn jobs(&self) -> &BTreeMap<JobId, Job> {
        &self.jobs
    }
}

/// Segments of one view, by the index of their first record.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The one that was asked for last at the front.
    segments: VecDeque<(u64, Arc<Segment>)>,
    /// The lowest and the highest job of segments that were read, also of those that are not kept any more.
    jobs: BTreeMap<u64, Option<(JobId, JobId)>>,
}

impl Inner {
    fn find(&mut self, first: u64) -> Option<Arc<Segment>> {
        let place = self.segments.iter().position(|(known, _)| *known == first)?;
        let found = self.segments.remove(place)?;
        let segment = Arc::clone(&found.1);
        self.segments.push_front(found);
        Some(segment)
    }

    fn keep(&mut self, first: u64, segment: &Arc<Segment>) {
        let ids = segment.jobs.first_key_value().zip(segment.jobs.last_key_value());
        self.jobs.insert(first, ids.map(|(low, high)| (*low.0, *high.0)));
        self.segments.push_front((first, Arc::clone(segment)));
        let bytes = |inner: &Self| inner.segments.iter().map(|(_, segment)| segment.bytes).sum::<u64>();
        while bytes(self) > KEPT {
            self.segments.pop_back();
        }
    }
}

impl Kept {
    /// The lowest and the highest job of a segment, `Some(None)` when it has none; `None` when that is not known.
    pub(crate) fn jobs_of(&self, segment: &SegmentInfo) -> Option<Option<(JobId, JobId)>> {
        self.0.lock().jobs.get(&segment.first).copied()
    }
}

impl JournalView {
    /// The same view, which keeps what it reads of shares and jobs for as long as it lives: up to 32 MB of segments. For whoever
    /// asks for a window of each income there was.
    #[must_use]
    pub fn keeping(&self) -> Self {
        Self { kept: Some(Arc::default()), ..self.clone() }
    }

    /// A segment in memory, where this view keeps what it reads and the segment is not too long for it.
    pub(crate) fn kept(&self, segment: &SegmentInfo) -> Result<Option<Arc<Segment>>, LogError> {
        let Some(kept) = self.kept.as_ref().filter(|_| segment.bytes <= KEPT) else { return Ok(None) };
        let mut inner = kept.0.lock();
        if let Some(found) = inner.find(segment.first) {
            return Ok(Some(found));
        }
        let mut read = Segment { bytes: segment.bytes, ..Segment::default() };
        self.log.read(segment, |record| -> Result<(), LogError> {
            if record.kind != SHARES && record.kind != JOB {
                return Ok(());
            }
            match decode(record)?.record {
                Record::Shares(block) => {
                    read.records.push((record.index, read.shares.len()));
                    read.shares.extend(block.numbered().map(|(seq, share)| (seq, *share)));
                }
                Record::Job(job) => {
                    read.jobs.insert(job.id, job);
                }
                _ => {}
            }
            Ok(())
        })?;
        let read = Arc::new(read);
        inner.keep(segment.first, &read);
        Ok(Some(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_least_lately_gives_way() {
        let mut inner = Inner::default();
        let third = || Arc::new(Segment { bytes: KEPT / 3, ..Segment::default() });
        for first in 1..=3 {
            inner.keep(first, &third());
        }
        assert!(inner.find(1).is_some(), "all three fit");
        inner.keep(4, &third());
        let kept: Vec<u64> = inner.segments.iter().map(|(first, _)| *first).collect();
        assert_eq!(kept, [4, 1, 3]);
        assert!(inner.find(2).is_none() && inner.jobs.contains_key(&2), "which jobs it has stays known");
    }
}
