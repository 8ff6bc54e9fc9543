//! How far back something refers, by footers alone: what retention may not drop. Answers err towards keeping more.

use crate::JournalError;
use crate::records::WindowEnd;
use crate::summary::SegmentShares;
use crate::view::JournalView;
use crate::window::{Measure, Span, Window, of_segment};
use millpond_types::{ShareSeq, UnixMillis};

/// Everything.
const ALL: ShareSeq = ShareSeq(1);

impl JournalView {
    /// The first share that a window with this near end may need: whole segments before it can go, and the window comes
    /// out the same. Sums of work are taken `margin` times as long as declared, for near ends that are not known yet.
    #[must_use]
    pub fn needed_from(&self, window: &Window, end: &WindowEnd, margin: u32) -> ShareSeq {
        let after = |seq: ShareSeq| ShareSeq(seq.0.saturating_add(1));
        match window.span {
            Span::Finder | Span::State => after(end.seq),
            Span::Round => after(end.round_after),
            // What of these is paid already is known where the list of unpaid ones is.
            Span::Shares(count) | Span::Unpaid(count) => {
                ShareSeq(end.seq.0.saturating_sub(count).saturating_add(1))
            }
            Span::Work(thousandths) => {
                // A unit is what it is, whatever the network does.
                let (measure, one, margin) = match window.measure {
                    Measure::Units => (Measure::Units, 1 << 64, 1),
                    _ => (Measure::Work, end.network_work, margin),
                };
                let times = u128::from(thousandths).saturating_mul(u128::from(margin));
                // Rounded up, and divided first, so that it fits wherever the window's own sum does.
                let limit = (one / 1000).saturating_add(1).saturating_mul(times);
                self.sum_from(measure, end.seq, limit)
            }
            Span::Slices(thousandths, step) => {
                let work = Window { span: Span::Work(thousandths), measure: Measure::Work, ..*window };
                let first = self.needed_from(&work, end, margin);
                // Where fees end slices, the first one is known from where its coordinate began.
                if step == 0 { first } else { self.coord_began_before(first) }
            }
            Span::Millis(millis) => match end.time.0.checked_sub(millis) {
                Some(after) => self.first_where(|total| total.time_max.0 > after),
                None => ALL,
            },
            Span::Coord(steps) => match end.coord.checked_sub(steps) {
                Some(after) => self.first_where(|total| total.coord_max > after),
                None => ALL,
            },
        }
    }

    /// A share that no share of this time or later comes before.
    #[must_use]
    pub fn first_since(&self, time: UnixMillis) -> ShareSeq {
        self.first_where(|total| total.time_max >= time)
    }

    /// The first share of the newest sealed segments before `end` that sum up to `limit`.
    fn sum_from(&self, measure: Measure, end: ShareSeq, limit: u128) -> ShareSeq {
        let mut sum = 0_u128;
        for (_, total) in self.totals.iter().rev().filter(|(_, total)| total.count > 0 && total.last <= end) {
            sum = sum.saturating_add(of_segment(measure, total).unwrap_or(0));
            if sum >= limit {
                return total.first;
            }
        }
        ALL
    }

    /// A share that no share stands before of those that have the same coordinate as this one and all between them.
    fn coord_began_before(&self, first: ShareSeq) -> ShareSeq {
        let mut newer: Option<(u64, u64)> = None;
        let mut from = first;
        for (_, total) in
            self.totals.iter().rev().filter(|(_, total)| total.count > 0 && total.first <= first)
        {
            let (low, high) = (total.coord_min, total.coord_max);
            // None in it has a coordinate of the segment behind it: that one's first share began its own.
            if newer.is_some_and(|newer| high < newer.0 || newer.1 < low) {
                return from;
            }
            from = total.first;
            // It changed in this segment, which is older than the one with the share.
            if newer.is_some() && low < high {
                return from;
            }
            newer = Some((low, high));
        }
        ALL
    }

    /// The first of the shares up to this one that have its coordinate, without another between them.
    ///
    /// # Errors
    /// When a segment does not check, or shares that would tell were dropped.
    pub(crate) fn same_coord_from(&self, first: ShareSeq) -> Result<ShareSeq, JournalError> {
        let mut from: Option<(ShareSeq, u64)> = None;
        for segment in self.log.segments().rev() {
            if self.total(segment).is_some_and(|total| total.count == 0 || total.first > first) {
                continue;
            }
            let (mut began, mut newest) = (None, None);
            self.visit_segment(segment, |seq, share| -> Result<(), JournalError> {
                began = began.or(Some(seq));
                if seq <= first && newest.is_none_or(|(_, coord)| coord != share.coord) {
                    newest = Some((seq, share.coord));
                }
                Ok(())
            })?;
            let Some((seq, coord)) = newest else { continue };
            if let Some((after, _)) = from.filter(|(_, after)| *after != coord) {
                return Ok(after);
            }
            from = newest;
            if began != Some(seq) {
                return Ok(seq);
            }
        }
        let (from, last) = (from.map_or(first, |(seq, _)| seq), self.dropped.last);
        // What was dropped may have been of them too.
        let told = last.0 == 0 || from.0 > last.0.saturating_add(1);
        if told { Ok(from) } else { Err(JournalError::Dropped { last }) }
    }

    /// The first share of the oldest sealed segment that holds it, or of the one that is written to.
    fn first_where(&self, holds: impl Fn(&SegmentShares) -> bool) -> ShareSeq {
        let mut next = ALL;
        for (_, total) in self.totals.iter().filter(|(_, total)| total.count > 0) {
            if holds(total) {
                return total.first;
            }
            next = ShareSeq(total.last.0.saturating_add(1));
        }
        next
    }
}
