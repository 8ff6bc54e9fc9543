//! Reading the journal: what was durable when the view was taken.

use crate::kept::Kept;
use crate::lists::Lists;
use crate::records::{CoinbasePlan, JOB, Job, OF_BLOCKS, Record, Retention, SHARES, Solution, WindowEnd};
use crate::summary::{self, Block, SegmentShares};
use crate::tally::Tally;
use crate::window::{self, Clip, Counted, Window};
use crate::{FORMAT, JournalError, Share, ShareBlock, State};
use millpond_disk::Disk;
use millpond_segments::{Iter, LogError, Marks, RecordRef, SegmentInfo, View};
use millpond_types::{JobId, MinerId, ShareSeq, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};
use std::path::Path;
use std::sync::Arc;

/// A journal as it was durable at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JournalView {
    pub(crate) log: View,
    pub(crate) totals: Arc<Vec<(u64, SegmentShares)>>,
    pub(crate) tally: Tally,
    pub(crate) newest: ShareSeq,
    pub(crate) dropped: Retention,
    pub(crate) lists: Arc<Lists>,
    /// What was read of shares and jobs, where it is kept.
    pub(crate) kept: Option<Arc<Kept>>,
}

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the log: from 1, without gaps.
    pub position: u64,
    /// What it says.
    pub record: Record,
}

/// Records in order; ends after an error.
#[derive(Debug)]
pub struct Records(Iter);

impl Iterator for Records {
    type Item = Result<Entry, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.next()?;
        Some(next.and_then(|record| decode(record.as_ref())).map_err(JournalError::from))
    }
}

/// The error for a footer that cannot be read, or says what is not so.
pub(crate) fn refuse_footer(segment: &SegmentInfo, what: impl ToString) -> LogError {
    LogError::Owner { segment: segment.name(), offset: segment.bytes, what: what.to_string() }
}

pub(crate) fn decode(record: RecordRef<'_>) -> Result<Entry, LogError> {
    let decoded = Record::decode(record.kind, record.payload).map_err(|error| record.refuse(error))?;
    Ok(Entry { position: record.index, record: decoded })
}

/// Records that can be read by themselves, and what their shares add up to where that is known.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub records: Range<u64>,
    pub total: Option<SegmentShares>,
}

/// What [`JournalView::work_on`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkedOn {
    /// When the first such job was made.
    pub began: Option<UnixMillis>,
    /// The lowest and the highest coordinate of all jobs that are kept.
    pub coords: Option<(u64, u64)>,
}

impl JournalView {
    /// Opens a journal for reading, beside a running pool or without one: nothing is locked or written. Also gives
    /// what the newest segment knows of the past.
    ///
    /// # Errors
    /// When the disk fails or anything but a torn tail does not check.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<(Self, State), JournalError> {
        let log = View::open(disk, dir, FORMAT)?;
        let mut totals = Vec::new();
        for segment in log.segments().filter(|segment| segment.sealed.is_some()) {
            let total = summary::decode_total(&log.summary(segment)?);
            totals.push((segment.first, total.map_err(|error| refuse_footer(segment, error))?));
        }
        let mut state = State::default();
        let mut tally = Tally::default();
        if let Some(newest) = log.segments().next_back() {
            tally = Tally::begin(newest.first);
            log.read(newest, |record| -> Result<(), LogError> {
                let entry = decode(record)?;
                if newest.sealed.is_none() && log.newest_marks().is_before(record.index) {
                    tally.mark(record.index);
                }
                if let Record::Shares(block) = &entry.record {
                    tally.add(record.index, block);
                }
                state.apply(entry.position, &entry.record);
                Ok(())
            })?;
        }
        let (newest, dropped, lists) = (state.newest(), state.dropped, Arc::clone(&state.lists));
        Ok((Self { log, totals: Arc::new(totals), tally, newest, dropped, lists, kept: None }, state))
    }

    /// The operator's or miners' list of this name, as it stood for a window that ends at this share; empty where there
    /// was none.
    #[must_use]
    pub fn list(&self, name: &str, end: ShareSeq) -> BTreeMap<MinerId, u64> {
        self.lists.at(name, end)
    }

    /// The segments below.
    #[must_use]
    pub fn log(&self) -> &View {
        &self.log
    }

    /// The newest durable share; 0 when there is none.
    #[must_use]
    pub fn newest(&self) -> ShareSeq {
        self.newest
    }

    /// What old shares were dropped.
    #[must_use]
    pub fn dropped(&self) -> Retention {
        self.dropped
    }

    /// Records from a position on, as they were written: shares as blocks, and what was carried over at the front
    /// of each segment ([`Record::CarriedOver`] and [`Record::CarriedMore`], which say nothing new).
    #[must_use]
    pub fn records(&self, from: u64) -> Records {
        Records(self.log.iter(from))
    }

    /// What a segment ([`JournalView::log`]) says of blocks and their incomes, in order: solutions, verdicts, fates,
    /// incomes. What else is in it, shares above all, is not decoded.
    ///
    /// # Errors
    /// When the segment does not check.
    pub fn of_blocks(&self, segment: &SegmentInfo) -> Result<Vec<Entry>, JournalError> {
        let mut entries = Vec::new();
        self.log.read(segment, |record| {
            if OF_BLOCKS.contains(&record.kind) {
                entries.push(decode(record)?);
            }
            Ok::<_, LogError>(())
        })?;
        Ok(entries)
    }

    /// One record.
    ///
    /// # Errors
    /// When the segment does not check.
    pub fn record(&self, position: u64) -> Result<Option<Record>, JournalError> {
        let found = self.records(position).next().transpose()?;
        Ok(found.filter(|entry| entry.position == position).map(|entry| entry.record))
    }

    /// Records at these positions, each of their segments read once; what is not kept any more is left out.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn records_at(&self, positions: &BTreeSet<u64>) -> Result<Vec<Entry>, JournalError> {
        let mut found = Vec::new();
        for segment in self.log.segments() {
            if positions.range(segment.first..segment.next).next().is_none() {
                continue;
            }
            self.log.read(segment, |record| -> Result<(), LogError> {
                if positions.contains(&record.index) {
                    found.push(decode(record)?);
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// Jobs by their numbers, looked for from the newest segment back, each segment read once; what is not kept any more
    /// is left out.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn jobs(&self, wanted: &BTreeSet<JobId>) -> Result<BTreeMap<JobId, Job>, JournalError> {
        let mut found = BTreeMap::new();
        let Some(oldest) = wanted.first() else { return Ok(found) };
        for segment in self.log.segments().rev() {
            let lowest = self.jobs_in(segment, wanted, &mut found)?;
            // Numbers ascend: what is not here behind an older one is nowhere.
            if lowest.is_some_and(|lowest| lowest < *oldest) || found.len() == wanted.len() {
                break;
            }
        }
        Ok(found)
    }

    /// Adds a segment's jobs that are wanted; gives the lowest number of all that it has.
    fn jobs_in(
        &self,
        segment: &SegmentInfo,
        wanted: &BTreeSet<JobId>,
        found: &mut BTreeMap<JobId, Job>,
    ) -> Result<Option<JobId>, LogError> {
        if let Some(known) = self.kept.as_ref().and_then(|kept| kept.jobs_of(segment)) {
            let here = known.and_then(|(low, high)| wanted.range(low..=high).next());
            if here.is_none() {
                return Ok(known.map(|(low, _)| low));
            }
        }
        if let Some(kept) = self.kept(segment)? {
            let of = |id| kept.jobs().get(id).map(|job| (*id, job.clone()));
            found.extend(wanted.iter().filter_map(of));
            return Ok(kept.jobs().keys().next().copied());
        }
        let mut lowest: Option<JobId> = None;
        self.log.read(segment, |record| {
            if record.kind == JOB
                && let Record::Job(job) = decode(record)?.record
            {
                lowest = Some(lowest.map_or(job.id, |lowest| lowest.min(job.id)));
                if wanted.contains(&job.id) {
                    found.insert(job.id, job);
                }
            }
            Ok::<_, LogError>(())
        })?;
        Ok(lowest)
    }

    /// The newest plan of a coinbase that is kept. Reads segments from the newest back.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn newest_plan(&self) -> Result<Option<CoinbasePlan>, JournalError> {
        let mut newest = None;
        for segment in self.log.segments().rev() {
            self.log.read(segment, |record| {
                if record.kind != SHARES
                    && let Record::CoinbasePlan(plan) = decode(record)?.record
                {
                    newest = Some(plan);
                }
                Ok::<_, LogError>(())
            })?;
            if newest.is_some() {
                break;
            }
        }
        Ok(newest)
    }

    /// When work on a coordinate or one behind it began, and what there was work on at all: as far as jobs are kept. Reads all
    /// segments.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn work_on(&self, coord: u64) -> Result<WorkedOn, JournalError> {
        let mut worked = WorkedOn::default();
        for segment in self.log.segments() {
            self.log.read(segment, |record| {
                if record.kind != SHARES
                    && let Record::Job(job) = decode(record)?.record
                {
                    let (low, high) = worked.coords.unwrap_or((job.coord, job.coord));
                    worked.coords = Some((low.min(job.coord), high.max(job.coord)));
                    if job.coord >= coord && worked.began.is_none() {
                        worked.began = Some(job.time);
                    }
                }
                Ok::<_, LogError>(())
            })?;
        }
        Ok(worked)
    }

    /// Solutions of blocks by their ids, looked for from the newest segment back, each segment read once; what is not kept
    /// any more is left out.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn solutions_of(&self, mut blocks: BTreeSet<Vec<u8>>) -> Result<Vec<Solution>, JournalError> {
        let mut found = Vec::new();
        for segment in self.log.segments().rev() {
            if blocks.is_empty() {
                break;
            }
            for entry in self.of_blocks(segment)? {
                if let Record::Solution(solution) = entry.record
                    && blocks.remove(&solution.block)
                {
                    found.push(solution);
                }
            }
        }
        Ok(found)
    }

    /// Gives the shares from a number on, in order, without reading the segments before it.
    ///
    /// # Errors
    /// The visitor's own, or when a segment does not check.
    pub fn shares<E: From<JournalError> + From<LogError>>(
        &self,
        from: ShareSeq,
        mut visit: impl FnMut(ShareSeq, &Share) -> Result<(), E>,
    ) -> Result<(), E> {
        for segment in self.log.segments() {
            if self.total(segment).is_some_and(|total| total.count == 0 || total.last < from) {
                continue;
            }
            self.visit_between(segment, from..=ShareSeq(u64::MAX), &mut visit)?;
        }
        Ok(())
    }

    /// Coordinate and hash of every share whose coordinate is at least `coord`: what the duplicate filter must know after
    /// a restart. Segments with older shares alone are not read.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn share_ids_since(&self, coord: u64) -> Result<Vec<(u64, [u8; 32])>, JournalError> {
        let mut ids = Vec::new();
        for segment in self.log.segments() {
            if self.total(segment).is_some_and(|total| total.count == 0 || total.coord_max < coord) {
                continue;
            }
            self.visit_segment(segment, |_, share| -> Result<(), JournalError> {
                if share.coord >= coord {
                    ids.push((share.coord, share.id));
                }
                Ok(())
            })?;
        }
        Ok(ids)
    }

    /// The newest share whose coordinate is at most `coord`, with the share; `None` when there is none.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn newest_at(&self, coord: u64) -> Result<Option<(ShareSeq, Share)>, JournalError> {
        for segment in self.log.segments().rev() {
            if self.total(segment).is_some_and(|total| total.count == 0 || total.coord_min > coord) {
                continue;
            }
            let mut newest = None;
            self.visit_segment(segment, |seq, share| -> Result<(), JournalError> {
                if share.coord <= coord {
                    newest = Some((seq, *share));
                }
                Ok(())
            })?;
            if newest.is_some() {
                return Ok(newest);
            }
        }
        Ok(None)
    }

    /// One share.
    ///
    /// # Errors
    /// When its segment does not check.
    pub fn share(&self, wanted: ShareSeq) -> Result<Option<Share>, JournalError> {
        for segment in self.log.segments().rev() {
            let elsewhere =
                |total: SegmentShares| total.count == 0 || wanted < total.first || total.last < wanted;
            if self.total(segment).is_some_and(elsewhere) {
                continue;
            }
            let mut found = None;
            self.visit_between(segment, wanted..=wanted, |_, share| -> Result<(), JournalError> {
                found = Some(*share);
                Ok(())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// What the miners' shares in a window weigh: ascending by miner, without miners of weight 0. Reads footers, and
    /// shares only at the window's edges.
    ///
    /// # Errors
    /// When the end is not durable yet, shares in the window were dropped, a sum does not fit, or a segment does not
    /// check.
    pub fn window(
        &self,
        window: &Window,
        end: &WindowEnd,
        finder: Option<MinerId>,
    ) -> Result<Vec<(MinerId, u128)>, JournalError> {
        Ok(self.counted(window, end, finder)?.rows)
    }

    /// As [`JournalView::window`], with the first share that counted.
    ///
    /// # Errors
    /// As [`JournalView::window`].
    pub fn counted(
        &self,
        window: &Window,
        end: &WindowEnd,
        finder: Option<MinerId>,
    ) -> Result<Counted, JournalError> {
        self.clipped(window, end, finder, &Clip::default())
    }

    /// As [`JournalView::counted`], of the shares that count where one scheme follows another. Shares up to the clip's floor
    /// may be dropped.
    ///
    /// # Errors
    /// As [`JournalView::window`].
    pub fn clipped(
        &self,
        window: &Window,
        end: &WindowEnd,
        finder: Option<MinerId>,
        clip: &Clip,
    ) -> Result<Counted, JournalError> {
        window::compute(self, window, end, finder, clip)
    }

    /// The sums of the segment that is written to, as they were when the view was taken; `None` of any other.
    pub(crate) fn tally(&self, segment: &SegmentInfo) -> Option<&Tally> {
        let is_newest = segment.sealed.is_none() && segment.first == self.tally.segment();
        is_newest.then_some(&self.tally)
    }

    /// The totals of a segment's shares, of the one that is written to those up to this view's newest.
    pub(crate) fn known(&self, segment: &SegmentInfo) -> Option<SegmentShares> {
        self.tally(segment).map(|tally| *tally.total()).or_else(|| self.total(segment))
    }

    /// The stretches of a segment that can be read by themselves, with the marks to do so: the whole segment where its footer
    /// does not tell them, or it is in memory already.
    pub(crate) fn stretches(&self, segment: &SegmentInfo) -> Result<(Vec<Stretch>, Marks), LogError> {
        let (blocks, marks, end) = if let Some(tally) = self.tally(segment) {
            (tally.blocks().to_vec(), self.log.newest_marks().clone(), tally.next())
        } else if segment.sealed.is_some() && self.kept(segment)?.is_none() {
            let (footer, marks) = self.log.footer(segment)?;
            let blocks = summary::blocks(&footer).map_err(|error| refuse_footer(segment, error))?;
            (blocks, marks, segment.next)
        } else {
            (Vec::new(), Marks::default(), segment.next)
        };
        if blocks.is_empty() {
            let whole = Stretch { records: segment.first..segment.next, total: self.known(segment) };
            return Ok((vec![whole], marks));
        }
        let ends = blocks.iter().skip(1).map(|block| block.from).chain([end]);
        let stretch =
            |(block, end): (&Block, u64)| Stretch { records: block.from..end, total: Some(block.total) };
        Ok((blocks.iter().zip(ends).map(stretch).collect(), marks))
    }

    /// The totals of a sealed segment's shares.
    pub(crate) fn total(&self, segment: &SegmentInfo) -> Option<SegmentShares> {
        segment.sealed?;
        let place = self.totals.binary_search_by_key(&segment.first, |(first, _)| *first).ok()?;
        self.totals.get(place).map(|(_, total)| *total)
    }

    pub(crate) fn visit_segment<E: From<LogError>>(
        &self,
        segment: &SegmentInfo,
        visit: impl FnMut(ShareSeq, &Share) -> Result<(), E>,
    ) -> Result<(), E> {
        self.visit_between(segment, ShareSeq(0)..=ShareSeq(u64::MAX), visit)
    }

    /// Gives a segment's shares with these numbers, in order.
    pub(crate) fn visit_between<E: From<LogError>>(
        &self,
        segment: &SegmentInfo,
        numbers: RangeInclusive<ShareSeq>,
        mut visit: impl FnMut(ShareSeq, &Share) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(kept) = self.kept(segment)? {
            return kept.shares(&numbers).iter().try_for_each(|(seq, share)| visit(*seq, share));
        }
        self.log.read(segment, |record| {
            if record.kind != SHARES {
                return Ok(());
            }
            let Entry { record: Record::Shares(block), .. } = decode(record)? else { return Ok(()) };
            let mut block = block.numbered().filter(|(seq, _)| numbers.contains(seq));
            block.try_for_each(|(seq, share)| visit(seq, share))
        })
    }

    /// Gives the shares in these records of a segment, without their workers and ids: what windows are made of.
    pub(crate) fn visit_records<E: From<LogError>>(
        &self,
        segment: &SegmentInfo,
        marks: &Marks,
        records: Range<u64>,
        mut visit: impl FnMut(ShareSeq, &Share) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(kept) = self.kept(segment)? {
            return kept.in_records(&records).iter().try_for_each(|(seq, share)| visit(*seq, share));
        }
        self.log.read_range(segment, marks, records, |record| {
            if record.kind != SHARES {
                return Ok(());
            }
            ShareBlock::weigh(record.payload, &mut visit).map_err(|error| record.refuse(error))?
        })
    }
}
