//! How far back something refers, by footers alone: what retention may not drop. Answers err towards keeping more.

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
            Span::Shares(count) => ShareSeq(end.seq.0.saturating_sub(count).saturating_add(1)),
            Span::Work(thousandths) => {
                // A unit is what it is, whatever the network does.
                let (one, margin) = match window.measure {
                    Measure::Work => (end.network_work, margin),
                    Measure::Units => (1 << 64, 1),
                };
                let times = u128::from(thousandths).saturating_mul(u128::from(margin));
                // Rounded up, and divided first, so that it fits wherever the window's own sum does.
                let limit = (one / 1000).saturating_add(1).saturating_mul(times);
                self.sum_from(window.measure, end.seq, limit)
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
            sum = sum.saturating_add(of_segment(measure, total));
            if sum >= limit {
                return total.first;
            }
        }
        ALL
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
