//! Windows: which shares an income pays, and what they weigh per miner. Pure functions of the shares and of the
//! window's near end, which is recorded with the income.

use crate::records::WindowEnd;
use crate::summary::{self, MinerShares, SegmentShares};
use crate::view::JournalView;
use crate::{JournalError, Share};
use millpond_segments::SegmentInfo;
use millpond_types::{Amount, MinerId, ShareSeq};
use millpond_windows::Slices;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

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

/// By its footer, where that says it.
pub(crate) fn of_segment(measure: Measure, total: &SegmentShares) -> Option<u128> {
    match measure {
        Measure::Work => Some(total.work),
        Measure::Units => Some(total.units),
        Measure::Count => Some(total.count.into()),
        Measure::Value | Measure::SubsidyValue | Measure::FeeValue => None,
    }
}

fn of_miner(measure: Measure, row: &MinerShares) -> Option<u128> {
    match measure {
        Measure::Work => Some(row.work),
        Measure::Units => Some(row.units),
        Measure::Count => Some(row.count.into()),
        Measure::Value | Measure::SubsidyValue | Measure::FeeValue => None,
    }
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

/// Below this a miner has a place of his own in [`Sums`], 16 bytes for each: numbers are given from 1 on. Those above are
/// looked up, so that no number in a file makes a table as long as itself.
const PLACES: usize = 1 << 22;

/// Sums per miner, and of all.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    places: Vec<u128>,
    beyond: BTreeMap<MinerId, u128>,
    total: u128,
    /// The smallest number of a share that was counted.
    first: Option<ShareSeq>,
    /// What of that share was not, since it lies on the far edge.
    over: u128,
}

impl Sums {
    pub(crate) fn add(&mut self, miner: MinerId, value: u128) -> Result<(), JournalError> {
        if value == u128::MAX {
            return Err(JournalError::Overflow);
        }
        let place = usize::try_from(miner.0).ok().filter(|place| *place < PLACES);
        if let Some(place) = place
            && place >= self.places.len()
        {
            self.places.resize(place.saturating_add(1), 0);
        }
        let sum = match place.and_then(|place| self.places.get_mut(place)) {
            Some(sum) => sum,
            None => self.beyond.entry(miner).or_default(),
        };
        *sum = sum.checked_add(value).ok_or(JournalError::Overflow)?;
        self.total = self.total.checked_add(value).ok_or(JournalError::Overflow)?;
        Ok(())
    }

    /// A share was counted, the first of several with numbers that ascend, or one.
    pub(crate) fn counts(&mut self, seq: ShareSeq) {
        self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
    }

    /// What was counted, of a window behind whose near end is this share.
    pub(crate) fn counted(self, behind: ShareSeq) -> Counted {
        let first = self.first.unwrap_or(behind);
        Counted { rows: self.rows(), first }
    }

    /// Ascending, without those that weigh nothing.
    fn rows(self) -> Vec<(MinerId, u128)> {
        let near = (0..).map(MinerId).zip(self.places);
        near.chain(self.beyond).filter(|(_, sum)| *sum > 0).collect()
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
    let reached = walk(journal, &walked, end.seq, reach, clip, &mut sums)?;
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
    if let (Span::Slices(_, step), Measure::FeeValue) = (window.span, window.measure) {
        let rows = by_fees(journal, step, first..=end.seq, sums.over, clip)?.rows();
        return Ok(Counted { rows, first });
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
        journal.visit_between(segment, from..=end, |seq, share| -> Result<(), JournalError> {
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

/// Newest segment first. `Break` when the window is full.
fn walk(
    journal: &JournalView,
    window: &Window,
    end: ShareSeq,
    reach: Reach,
    clip: &Clip,
    sums: &mut Sums,
) -> Result<ControlFlow<()>, JournalError> {
    if matches!(reach, Reach::Sum(0)) {
        return Ok(ControlFlow::Break(()));
    }
    for segment in journal.log.segments().rev() {
        let part = match journal.total(segment) {
            Some(total) if total.count > 0 && total.last <= clip.floor => Part::Older,
            // The segment that is written to has no footer yet.
            None => Part::Some,
            // Nor does a footer say what shares were worth.
            Some(total) if of_segment(window.measure, &total).is_none() => {
                match part(Measure::Work, &total, end, reach, sums.total) {
                    Part::All => Part::Some,
                    part => part,
                }
            }
            Some(total) => part(window.measure, &total, end, reach, sums.total),
        };
        // Shares of one segment on both sides of a boundary are told apart one by one.
        let cut = |total: SegmentShares| {
            let parted = |at: ShareSeq| total.first <= at && at < total.last;
            parted(clip.floor) || clip.others.is_some_and(parted)
        };
        let part = match part {
            Part::All if journal.total(segment).is_some_and(cut) => Part::Some,
            part => part,
        };
        match part {
            Part::None => {}
            Part::All => {
                let Some(total) = journal.total(segment) else { continue };
                sums.counts(total.first);
                if clip.is_of_others(total.first) {
                    let all = of_segment(window.measure, &total).ok_or(JournalError::NoSuchWindow)?;
                    sums.add(OTHERS, all)?;
                } else {
                    add_footer(journal, segment, window.measure, sums)?;
                }
            }
            Part::Older => return Ok(ControlFlow::Break(())),
            Part::Some => {
                if add_shares(journal, segment, window, (end, reach, clip), sums)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// How much of a sealed segment is in the window.
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

fn add_footer(
    journal: &JournalView,
    segment: &SegmentInfo,
    measure: Measure,
    sums: &mut Sums,
) -> Result<(), JournalError> {
    let footer = journal.log.summary(segment)?;
    let refuse = |error: crate::DecodeError| millpond_segments::LogError::Owner {
        segment: segment.name(),
        offset: segment.bytes,
        what: error.to_string(),
    };
    for row in summary::rows(&footer).map_err(refuse)? {
        let row = row.map_err(refuse)?;
        // Asked for where the footer says it alone.
        sums.add(row.miner, of_miner(measure, &row).ok_or(JournalError::NoSuchWindow)?)?;
    }
    Ok(())
}

fn add_shares(
    journal: &JournalView,
    segment: &SegmentInfo,
    window: &Window,
    (end, reach, clip): (ShareSeq, Reach, &Clip),
    sums: &mut Sums,
) -> Result<ControlFlow<()>, JournalError> {
    let least = ShareSeq(clip.floor.0.saturating_add(1));
    let Reach::Sum(limit) = reach else {
        let from = match reach {
            Reach::From(first) => least.max(ShareSeq(first)),
            Reach::After(..) | Reach::Sum(_) => least,
        };
        journal.visit_between(segment, from..=end, |seq, share| {
            let counts = match reach {
                Reach::After(field, after) => after.is_none_or(|after| field.of(share) > after),
                Reach::From(_) | Reach::Sum(_) => true,
            };
            if !counts {
                return Ok(());
            }
            sums.counts(seq);
            sums.add(clip.miner(seq, share.miner), of_share(window.measure, share))
        })?;
        return Ok(ControlFlow::Continue(()));
    };
    let weighed = |(seq, share): (ShareSeq, &Share)| {
        (seq, clip.miner(seq, share.miner), of_share(window.measure, share))
    };
    if let Some(kept) = journal.kept(segment)? {
        let shares = kept.shares(&(least..=end)).iter().rev();
        return up_to(limit, window.edge, shares.map(|(seq, share)| weighed((*seq, share))), sums);
    }
    let mut shares = Vec::new();
    journal.visit_between(segment, least..=end, |seq, share| -> Result<(), JournalError> {
        shares.push(weighed((seq, share)));
        Ok(())
    })?;
    up_to(limit, window.edge, shares.into_iter().rev(), sums)
}

/// Counts shares, the newest first, up to a sum of all.
fn up_to(
    limit: u128,
    edge: Edge,
    newest_first: impl Iterator<Item = (ShareSeq, MinerId, u128)>,
    sums: &mut Sums,
) -> Result<ControlFlow<()>, JournalError> {
    for (seq, miner, value) in newest_first {
        let room = limit.saturating_sub(sums.total);
        if value < room {
            sums.counts(seq);
            sums.add(miner, value)?;
            continue;
        }
        let counted = edge.counts(value, room);
        if counted > 0 {
            sums.counts(seq);
            sums.over = value.saturating_sub(counted);
        }
        sums.add(miner, counted)?;
        return Ok(ControlFlow::Break(()));
    }
    Ok(ControlFlow::Continue(()))
}
