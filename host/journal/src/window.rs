//! Windows: which shares an income pays, and what they weigh per miner. Pure functions of the shares and of the
//! window's near end, which is recorded with the income.

use crate::records::WindowEnd;
use crate::summary::{Column, SegmentShares};
use crate::sums::{self, Sums, What};
use crate::view::{JournalView, Stretch};
use crate::{JournalError, Share};
use millpond_segments::{Marks, SegmentInfo};
use millpond_types::{Amount, MinerId, ShareSeq};
use millpond_windows::Slices;
use std::ops::{ControlFlow, Range, RangeInclusive};

pub use millpond_windows::{Edge, Measure, Span, Window};

/// What a share weighs; the greatest number where it does not fit.
pub(crate) fn of_share(measure: Measure, share: &Share) -> u128 {
    let amount = match measure {
        Measure::Work => return share.work.0.into(),
        Measure::Units => return share.units(),
        Measure::Count => return 1,
        Measure::Value => share.reward,
        Measure::SubsidyValue => Amount(share.reward.0.saturating_sub(share.fees().0)),
        Measure::FeeValue => share.fees(),
    };
    millpond_windows::value(share.work.0, amount.0, share.network_work).unwrap_or(u128::MAX)
}

/// What a footer says of this measure, if anything.
fn column(measure: Measure) -> Option<Column> {
    match measure {
        Measure::Work => Some(Column::Work),
        Measure::Units => Some(Column::Units),
        Measure::Count => Some(Column::Count),
        Measure::Value | Measure::SubsidyValue | Measure::FeeValue => None,
    }
}

/// By its footer, where that says it.
pub(crate) fn of_segment(measure: Measure, total: &SegmentShares) -> Option<u128> {
    column(measure).map(|column| column.of_total(total))
}

/// Which shares count, in one of three forms.
#[derive(Clone, Copy, Debug)]
enum Reach {
    /// From this number on.
    From(u64),
    /// Newest first, up to this sum.
    Sum(u128),
    /// Whose time is later than this; `None` means all.
    After(Field, Option<u64>),
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Time,
    Coord,
}

impl Field {
    fn of(self, share: &Share) -> u64 {
        match self {
            Self::Time => share.time.0,
            Self::Coord => share.coord,
        }
    }

    fn range(self, total: &SegmentShares) -> (u64, u64) {
        match self {
            Self::Time => (total.time_min.0, total.time_max.0),
            Self::Coord => (total.coord_min, total.coord_max),
        }
    }
}

/// The miner as whom shares count that are nobody's in particular. No miner has this number.
pub const OTHERS: MinerId = MinerId(u64::MAX);

/// Which of a window's shares count, and as whose: where one scheme follows another. How far the window reaches does not
/// depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clip {
    /// Shares up to this one do not count: another scheme pays them.
    pub floor: ShareSeq,
    /// Shares behind this one count as those of [`OTHERS`]; `None`: each counts as its miner's.
    pub others: Option<ShareSeq>,
}

impl Clip {
    fn miner(&self, seq: ShareSeq, miner: MinerId) -> MinerId {
        if self.is_of_others(seq) { OTHERS } else { miner }
    }

    /// Whether this share counts as theirs, and so does each one behind it.
    fn is_of_others(&self, seq: ShareSeq) -> bool {
        self.others.is_some_and(|after| seq > after)
    }
}

/// What was counted in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What the miners' shares weigh, ascending by miner. Miners whose shares weigh nothing are left out.
    pub rows: Vec<(MinerId, u128)>,
    /// The first share that counted, in part or in full; the one behind the window's near end when none did, and for
    /// windows that look at no shares.
    pub first: ShareSeq,
}

/// What the miners' shares in a window weigh, and where they begin.
pub(crate) fn compute(
    journal: &JournalView,
    window: &Window,
    end: &WindowEnd,
    finder: Option<MinerId>,
    clip: &Clip,
) -> Result<Counted, JournalError> {
    let behind = ShareSeq(end.seq.0.saturating_add(1));
    if !window.is_computed() {
        return Err(JournalError::NoSuchWindow);
    }
    if end.seq > journal.newest {
        return Err(JournalError::Ahead { end: end.seq, newest: journal.newest });
    }
    // As long as work says, whatever is summed in it.
    let mut walked = *window;
    if let Span::Slices(..) = window.span {
        walked.measure = Measure::Work;
    }
    let reach = match window.span {
        Span::Finder => {
            return Ok(Counted { rows: finder.map(|miner| (miner, 1)).into_iter().collect(), first: behind });
        }
        Span::State => return Ok(Counted { rows: Vec::new(), first: behind }),
        // Shares alone do not say what of them is paid: see `JournalView::pays`.
        Span::Unpaid(_) => return Err(JournalError::NoSuchWindow),
        Span::Round => Reach::From(end.round_after.max(clip.floor).0.saturating_add(1)),
        Span::Shares(count) => {
            Reach::From(end.seq.0.saturating_sub(count).max(clip.floor.0).saturating_add(1))
        }
        Span::Work(thousandths) | Span::Slices(thousandths, _) => {
            let sum = walked.measure.sum(thousandths, end.network_work);
            Reach::Sum(sum.ok_or(JournalError::Overflow)?)
        }
        Span::Millis(millis) => Reach::After(Field::Time, end.time.0.checked_sub(millis)),
        Span::Coord(steps) => Reach::After(Field::Coord, end.coord.checked_sub(steps)),
    };
    let mut sums = Sums::default();
    let asked = Asked { window: &walked, end: end.seq, reach, clip };
    let reached = walk(journal, &asked, &mut sums)?;
    let dropped = &journal.dropped;
    let needs_dropped = dropped.last > clip.floor
        && match reach {
            Reach::From(first) => first <= dropped.last.0 && end.seq.0 >= first,
            Reach::Sum(_) => reached.is_continue(),
            Reach::After(Field::Time, after) => after.is_none_or(|after| dropped.time.0 > after),
            Reach::After(Field::Coord, after) => after.is_none_or(|after| dropped.coord > after),
        };
    if needs_dropped {
        return Err(JournalError::Dropped { last: dropped.last });
    }
    let first = sums.first.unwrap_or(behind);
    // Of these it is only how far they reach that footers say.
    if let (Span::Slices(_, step), Measure::FeeValue) = (window.span, window.measure) {
        let rows = by_fees(journal, step, first..=end.seq, sums.over, clip)?.rows();
        return Ok(Counted { rows, first });
    }
    if let Some(column) = column(window.measure) {
        sums.settle(journal, column)?;
    }
    Ok(sums.counted(behind))
}

/// What shares weigh in their slices, of the first of which `over` of the work does not count. Reads them one by one, oldest
/// first, and those of before that say where its slice begins, though none up to the floor.
fn by_fees(
    journal: &JournalView,
    step: u64,
    shares: RangeInclusive<ShareSeq>,
    over: u128,
    clip: &Clip,
) -> Result<Sums, JournalError> {
    let (first, end) = shares.into_inner();
    let mut sums = Sums::default();
    if first > end {
        return Ok(sums);
    }
    // Where fees end no slice, whatever was before the window in its first one does not matter.
    // A floor ends one.
    let least = ShareSeq(clip.floor.0.saturating_add(1));
    let from = if step == 0 || first <= least { first } else { journal.same_coord_from(first)?.max(least) };
    let mut slices = Slices::new(step);
    let take = |slices: &mut Slices<MinerId>, sums: &mut Sums| -> Result<(), JournalError> {
        let scores = slices.end().map_err(|_| JournalError::Overflow)?;
        scores.into_iter().try_for_each(|(miner, score)| sums.add(miner, score))
    };
    for segment in journal.log.segments() {
        if journal.total(segment).is_some_and(|total| total.count == 0 || total.last < from) {
            continue;
        }
        if journal.total(segment).is_some_and(|total| total.first > end) {
            break;
        }
        journal.visit_segment(segment, |seq, share| -> Result<(), JournalError> {
            if seq < from || seq > end {
                return Ok(());
            }
            let (coord, fees) = (share.coord, share.fees().0);
            if slices.ends(coord, fees) {
                take(&mut slices, &mut sums)?;
            }
            let counts = match seq {
                before if before < first => 0,
                edge if edge == first => {
                    u64::try_from(over).map_or(0, |over| share.work.0.saturating_sub(over))
                }
                _ => share.work.0,
            };
            slices.push(clip.miner(seq, share.miner), coord, fees, counts).map_err(|_| JournalError::Overflow)
        })?;
    }
    take(&mut slices, &mut sums)?;
    Ok(sums)
}

/// What is asked of every part of the journal.
struct Asked<'a> {
    window: &'a Window,
    end: ShareSeq,
    reach: Reach,
    clip: &'a Clip,
}

impl Asked<'_> {
    /// How much of these shares counts, behind which so much does.
    fn part(&self, total: &SegmentShares, so_far: u128) -> Part {
        if total.count > 0 && total.last <= self.clip.floor {
            return Part::Older;
        }
        // Shares on both sides of a boundary are told apart one by one.
        let parted = |at: ShareSeq| total.first <= at && at < total.last;
        let whole = of_segment(self.window.measure, total).is_some()
            && !parted(self.clip.floor)
            && !self.clip.others.is_some_and(parted);
        // Nor does a footer say what shares were worth; those of which it does not are as long as their work says.
        let measure = if column(self.window.measure).is_some() { self.window.measure } else { Measure::Work };
        match part(measure, total, self.end, self.reach, so_far) {
            Part::All if !whole => Part::Some,
            part => part,
        }
    }
}

/// Newest segment first. `Break` when the window is full.
fn walk(journal: &JournalView, asked: &Asked<'_>, sums: &mut Sums) -> Result<ControlFlow<()>, JournalError> {
    if matches!(asked.reach, Reach::Sum(0)) {
        return Ok(ControlFlow::Break(()));
    }
    for segment in journal.log.segments().rev() {
        let known = journal.known(segment);
        // A segment that was sealed a moment ago may have no totals yet.
        let part = known.map_or(Part::Some, |total| asked.part(&total, sums.total));
        match (part, known) {
            (Part::None, _) => {}
            (Part::All, Some(total)) => {
                if let Some(sum) = counts_all(asked, &total, sums)? {
                    sums.later(sums::Part {
                        segment: segment.clone(),
                        what: What::Rows,
                        shares: total.count,
                        sum,
                    });
                }
            }
            (Part::Older, _) => return Ok(ControlFlow::Break(())),
            (Part::Some | Part::All, _) => {
                if add_blocks(journal, segment, known.as_ref(), asked, sums)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// All of these shares count: at once as those of others, or as their miners', which are to be added later and come to this.
fn counts_all(
    asked: &Asked<'_>,
    total: &SegmentShares,
    sums: &mut Sums,
) -> Result<Option<u128>, JournalError> {
    let sum = of_segment(asked.window.measure, total).ok_or(JournalError::NoSuchWindow)?;
    sums.counts(total.first);
    if asked.clip.is_of_others(total.first) {
        sums.add(OTHERS, sum)?;
        return Ok(None);
    }
    sums.expect(sum)?;
    Ok(Some(sum))
}

/// Blocks that are read together, about so many MiB.
const TOGETHER: usize = 4;

/// A segment that counts in part: by its blocks, newest first, and share by share only those on an edge. Where more of it
/// counts than does not it is its rows without what does not, so that half of it is read at most.
fn add_blocks(
    journal: &JournalView,
    segment: &SegmentInfo,
    known: Option<&SegmentShares>,
    asked: &Asked<'_>,
    sums: &mut Sums,
) -> Result<ControlFlow<()>, JournalError> {
    let (stretches, marks) = journal.stretches(segment)?;
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    let mut flow = ControlFlow::Continue(());
    for Stretch { records, total } in stretches.into_iter().rev() {
        let part = match &total {
            _ if flow.is_break() => Part::Older,
            Some(total) => asked.part(total, sums.total),
            None => Part::Some,
        };
        let total = total.unwrap_or_default();
        match part {
            Part::All => {
                if let Some(sum) = counts_all(asked, &total, sums)? {
                    inside.push((records, total.count, sum));
                    continue;
                }
            }
            Part::Some => flow = add_shares(journal, segment, &marks, records.clone(), asked, sums)?,
            Part::Older => flow = ControlFlow::Break(()),
            Part::None => {}
        }
        if total.count > 0 {
            outside.push((records, total.count, of_segment(asked.window.measure, &total)));
        }
    }
    let total = known.filter(|total| {
        let most = inside.iter().fold(0_u64, |count, (_, more, _)| count.saturating_add(*more));
        most > total.count / 2 && of_segment(asked.window.measure, total).is_some_and(|sum| sum < u128::MAX)
    });
    let (read, rows) = match total {
        None => (inside, None),
        Some(total) => {
            let outside = outside.into_iter().map(|(records, count, sum)| Some((records, count, sum?)));
            let outside: Option<Vec<_>> = outside.collect();
            (outside.ok_or(JournalError::NoSuchWindow)?, Some(total))
        }
    };
    if let Some(total) = rows {
        let sum = of_segment(asked.window.measure, total).ok_or(JournalError::NoSuchWindow)?;
        sums.later(sums::Part { segment: segment.clone(), what: What::Rows, shares: total.count, sum });
    }
    for (records, shares, sum) in joined(read)? {
        let marks = marks.clone();
        let what = if rows.is_some() { What::Without(records, marks) } else { What::Shares(records, marks) };
        sums.later(sums::Part { segment: segment.clone(), what, shares, sum });
    }
    Ok(flow)
}

/// Neighbours as one, up to [`TOGETHER`] of them. They come newest first.
fn joined(blocks: Vec<(Range<u64>, u64, u128)>) -> Result<Vec<(Range<u64>, u64, u128)>, JournalError> {
    let mut joined: Vec<(Range<u64>, u64, u128)> = Vec::new();
    let mut together = 0;
    for (records, shares, sum) in blocks {
        match joined.last_mut() {
            Some(newer) if newer.0.start == records.end && together < TOGETHER => {
                newer.0.start = records.start;
                newer.1 = newer.1.saturating_add(shares);
                newer.2 = newer.2.checked_add(sum).ok_or(JournalError::Overflow)?;
                together += 1;
            }
            _ => {
                joined.push((records, shares, sum));
                together = 1;
            }
        }
    }
    Ok(joined)
}

/// How much of a segment or of a part of it is in the window.
enum Part {
    None,
    All,
    Some,
    /// Nothing, nor of any older segment.
    Older,
}

fn part(measure: Measure, total: &SegmentShares, end: ShareSeq, reach: Reach, so_far: u128) -> Part {
    if total.count == 0 || total.first > end {
        return Part::None;
    }
    let before_end = total.last <= end;
    match reach {
        Reach::From(first) if total.last.0 < first => Part::Older,
        Reach::From(first) if total.first.0 >= first && before_end => Part::All,
        Reach::Sum(limit) => {
            // Below the limit with the whole segment: its last share, the oldest, is not the edge.
            let sum = of_segment(measure, total).and_then(|sum| so_far.checked_add(sum));
            if before_end && sum.is_some_and(|sum| sum < limit) { Part::All } else { Part::Some }
        }
        Reach::After(field, after) => {
            let (low, high) = field.range(total);
            match after {
                Some(after) if high <= after => Part::None,
                Some(after) if low <= after => Part::Some,
                _ if before_end => Part::All,
                _ => Part::Some,
            }
        }
        Reach::From(_) => Part::Some,
    }
}

fn add_shares(
    journal: &JournalView,
    segment: &SegmentInfo,
    marks: &Marks,
    records: Range<u64>,
    asked: &Asked<'_>,
    sums: &mut Sums,
) -> Result<ControlFlow<()>, JournalError> {
    let Asked { window, end, reach, clip } = *asked;
    let Reach::Sum(limit) = reach else {
        journal.visit_records(segment, marks, records, |seq, share| {
            let counts = seq <= end
                && seq > clip.floor
                && match reach {
                    Reach::From(first) => seq.0 >= first,
                    Reach::After(field, after) => after.is_none_or(|after| field.of(share) > after),
                    Reach::Sum(_) => false,
                };
            if !counts {
                return Ok(());
            }
            sums.counts(seq);
            sums.add(clip.miner(seq, share.miner), of_share(window.measure, share))
        })?;
        return Ok(ControlFlow::Continue(()));
    };
    let mut shares = Vec::new();
    journal.visit_records(segment, marks, records, |seq, share| -> Result<(), JournalError> {
        if seq <= end && seq > clip.floor {
            shares.push((seq, clip.miner(seq, share.miner), of_share(window.measure, share)));
        }
        Ok(())
    })?;
    for (seq, miner, value) in shares.into_iter().rev() {
        let room = limit.saturating_sub(sums.total);
        if value < room {
            sums.counts(seq);
            sums.add(miner, value)?;
            continue;
        }
        let counted = window.edge.counts(value, room);
        if counted > 0 {
            sums.counts(seq);
            sums.over = value.saturating_sub(counted);
        }
        sums.add(miner, counted)?;
        return Ok(ControlFlow::Break(()));
    }
    Ok(ControlFlow::Continue(()))
}
