//! A window that is kept while shares come, so that its sums need no second look at them.

use crate::{Span, Window, WindowError};
use std::collections::VecDeque;

/// A share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose, from 0 on and without large gaps: each number up to the greatest takes a place of 16 bytes.
    pub miner: u32,
    /// Its work.
    pub work: u64,
    /// Its work by the network's, see [`crate::units`].
    pub units: u128,
    /// Its time.
    pub time_ms: u64,
    /// Its coordinate.
    pub coord: u64,
}

/// A share that may still count.
#[derive(Clone, Copy, Debug)]
struct Kept {
    value: u128,
    /// Time or coordinate, where the window goes by one.
    at: u64,
    miner: u32,
    /// It left the window, and was never in it when sums were taken.
    missed: bool,
}

/// One window over the newest shares. A share costs a few additions, sums cost a step for each miner and, once in a
/// share's life, one for it.
#[derive(Clone, Debug)]
pub struct Sliding {
    window: Window,
    /// As far back as any sums will ask, for a window of work.
    farthest: u128,
    /// What the shares inside weigh, by miner.
    sums: Vec<u128>,
    inside: u128,
    /// Oldest first: those outside, then those inside.
    kept: VecDeque<Kept>,
    outside: usize,
    outside_sum: u128,
    /// Shares inside, where none is kept.
    counted: u64,
    pushed: u64,
    newest: u64,
    /// Sums were taken up to this share.
    taken: u64,
    missed: u64,
    dropped: bool,
    /// What of the share on the edge did not count.
    over: u128,
}

impl Sliding {
    /// A window without shares. `network` is the greatest work of a block that its sums will be asked for: a window of
    /// work keeps shares as far back as that.
    ///
    /// # Errors
    /// When the window's length does not fit, or it goes by what jobs earn.
    pub fn new(window: Window, network: u128) -> Result<Self, WindowError> {
        if matches!(window.span, Span::Slices(..) | Span::Unpaid(_)) || window.measure.of(0, 0).is_none() {
            return Err(WindowError::ByReward);
        }
        let farthest = match window.span {
            Span::Work(thousandths) => {
                window.measure.sum(thousandths, network).ok_or(WindowError::Overflow)?
            }
            _ => 0,
        };
        Ok(Self {
            window,
            farthest,
            sums: Vec::new(),
            inside: 0,
            kept: VecDeque::new(),
            outside: 0,
            outside_sum: 0,
            counted: 0,
            pushed: 0,
            newest: 0,
            taken: 0,
            missed: 0,
            dropped: false,
            over: 0,
        })
    }

    /// Adds the next share.
    ///
    /// # Errors
    /// When the sum of all does not fit, or the share is older than the one before it and the window goes by that.
    #[inline]
    pub fn push(&mut self, row: &Row) -> Result<(), WindowError> {
        let at = match self.window.span {
            Span::Finder | Span::State => return Ok(()),
            Span::Millis(_) => row.time_ms,
            Span::Coord(_) => row.coord,
            Span::Round | Span::Shares(_) | Span::Work(_) | Span::Slices(..) | Span::Unpaid(_) => 0,
        };
        if at < self.newest {
            return Err(WindowError::Backwards { at, newest: self.newest });
        }
        self.newest = at;
        self.pushed = self.pushed.saturating_add(1);
        let value = self.window.measure.of(row.work, row.units).ok_or(WindowError::ByReward)?;
        self.add(row.miner, value)?;
        match self.window.span {
            Span::Round => {
                self.counted = self.counted.saturating_add(1);
                return Ok(());
            }
            Span::Millis(span) | Span::Coord(span) => {
                let after = at.checked_sub(span);
                while let Some(oldest) = self.kept.front()
                    && after.is_some_and(|after| oldest.at <= after)
                {
                    self.forget_oldest();
                }
                if span == 0 {
                    self.sums.iter_mut().for_each(|sum| *sum = 0);
                    self.inside = 0;
                    return Ok(());
                }
            }
            Span::Shares(_)
            | Span::Work(_)
            | Span::Slices(..)
            | Span::Unpaid(_)
            | Span::Finder
            | Span::State => {}
        }
        self.kept.push_back(Kept { value, at, miner: row.miner, missed: false });
        if let Span::Shares(count) = self.window.span
            && self.kept.len() as u64 > count
        {
            self.forget_oldest();
        }
        Ok(())
    }

    /// Adds so many shares like this one, whose order among others is not known: to a window that needs no order, which
    /// those of the round are.
    ///
    /// # Errors
    /// When the sum of all does not fit.
    pub fn push_many(&mut self, row: &Row, count: u64) -> Result<(), WindowError> {
        if self.window.span != Span::Round {
            return Ok(());
        }
        self.pushed = self.pushed.saturating_add(count);
        self.counted = self.counted.saturating_add(count);
        let value = self.window.measure.of(row.work, row.units).ok_or(WindowError::ByReward)?;
        self.add(row.miner, value.checked_mul(count.into()).ok_or(WindowError::Overflow)?)
    }

    /// Whether [`Self::push_many`] gives the same sums as its shares one by one.
    #[must_use]
    pub fn needs_no_order(&self) -> bool {
        matches!(self.window.span, Span::Round | Span::Finder | Span::State)
    }

    /// A block was found, whatever becomes of it: a window of the round begins anew.
    pub fn end_round(&mut self) {
        if self.window.span == Span::Round {
            self.sums.iter_mut().for_each(|sum| *sum = 0);
            (self.inside, self.counted) = (0, 0);
        }
    }

    /// What the shares up to the newest one weigh, ascending by miner and without those that weigh nothing, into `rows`.
    /// `network` is a block's work at the newest share.
    ///
    /// # Errors
    /// When the window reaches farther back than it was made for.
    pub fn sums(
        &mut self,
        network: u128,
        finder: Option<u32>,
        rows: &mut Vec<(u32, u128)>,
    ) -> Result<(), WindowError> {
        rows.clear();
        let mut edge = None;
        match self.window.span {
            Span::State => return Ok(()),
            Span::Finder => {
                rows.extend(finder.map(|miner| (miner, 1)));
                return Ok(());
            }
            Span::Work(thousandths) => {
                let limit = self.window.measure.sum(thousandths, network).ok_or(WindowError::Overflow)?;
                edge = self.reach(limit)?;
            }
            Span::Round
            | Span::Shares(_)
            | Span::Millis(_)
            | Span::Coord(_)
            | Span::Slices(..)
            | Span::Unpaid(_) => {}
        }
        self.taken = self.pushed;
        self.over = edge.map_or(0, |(_, over)| over);
        for (miner, sum) in (0_u32..).zip(&self.sums) {
            let over = edge.map_or(0, |(whose, over)| if whose == miner { over } else { 0 });
            let sum = sum.saturating_sub(over);
            if sum > 0 {
                rows.push((miner, sum));
            }
        }
        Ok(())
    }

    /// The sum of all that counted when [`Self::sums`] was called last, and of how many shares that was; before the next one
    /// is pushed.
    #[must_use]
    pub fn total(&self) -> (u128, u64) {
        let kept = self.kept.len().saturating_sub(self.outside) as u64;
        (self.inside.saturating_sub(self.over), kept.max(self.counted))
    }

    /// How many shares have left the window without having been inside when sums were taken: nothing pays them.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    fn add(&mut self, miner: u32, value: u128) -> Result<(), WindowError> {
        let place = miner as usize;
        if place >= self.sums.len() {
            self.sums.resize(place.saturating_add(1), 0);
        }
        // No miner's sum is above that of all.
        self.inside = self.inside.checked_add(value).ok_or(WindowError::Overflow)?;
        if let Some(sum) = self.sums.get_mut(place) {
            *sum = sum.wrapping_add(value);
        }
        Ok(())
    }

    fn take(&mut self, miner: u32, value: u128) {
        self.inside = self.inside.saturating_sub(value);
        if let Some(sum) = self.sums.get_mut(miner as usize) {
            *sum = sum.saturating_sub(value);
        }
    }

    /// The number of a kept share, from 1.
    fn number(&self, place: usize) -> u64 {
        self.pushed.saturating_sub((self.kept.len().saturating_sub(place)) as u64).saturating_add(1)
    }

    fn forget_oldest(&mut self) {
        // The share that pushes the others out may not be kept yet: its number is not among these.
        let before = self.pushed.saturating_sub(1);
        let number = match self.window.span {
            Span::Shares(_) => self.number(0),
            _ => before.saturating_sub(self.kept.len() as u64).saturating_add(1),
        };
        if let Some(oldest) = self.kept.pop_front() {
            self.take(oldest.miner, oldest.value);
            self.missed = self.missed.saturating_add(u64::from(number > self.taken));
        }
    }

    /// Moves the far edge to where the shares inside just come up to `limit`. Gives whose share is on the edge, and what of
    /// it does not count.
    fn reach(&mut self, limit: u128) -> Result<Option<(u32, u128)>, WindowError> {
        while self.inside < limit && self.outside > 0 {
            let Some(place) = self.outside.checked_sub(1) else { break };
            let Some(row) = self.kept.get_mut(place) else { break };
            let (miner, value) = (row.miner, row.value);
            if std::mem::take(&mut row.missed) {
                self.missed = self.missed.saturating_sub(1);
            }
            self.outside = place;
            self.outside_sum = self.outside_sum.saturating_sub(value);
            self.add(miner, value)?;
        }
        if self.inside < limit && self.dropped {
            return Err(WindowError::Forgotten);
        }
        while let Some(row) = self.kept.get(self.outside).copied()
            && self.inside.checked_sub(row.value).is_some_and(|rest| rest >= limit)
        {
            self.take(row.miner, row.value);
            let missed = self.number(self.outside) > self.taken;
            if let Some(row) = self.kept.get_mut(self.outside) {
                row.missed = missed;
            }
            self.missed = self.missed.saturating_add(u64::from(missed));
            self.outside = self.outside.saturating_add(1);
            self.outside_sum = self.outside_sum.checked_add(row.value).ok_or(WindowError::Overflow)?;
        }
        // Behind the farthest edge nothing counts again.
        while self.outside > 0
            && let Some(oldest) = self.kept.front()
            && self.inside.saturating_add(self.outside_sum).saturating_sub(oldest.value) >= self.farthest
        {
            self.outside_sum = self.outside_sum.saturating_sub(oldest.value);
            self.outside = self.outside.saturating_sub(1);
            self.kept.pop_front();
            self.dropped = true;
        }
        let Some(row) = self.kept.get(self.outside).filter(|_| self.inside >= limit) else { return Ok(None) };
        let room = limit.saturating_sub(self.inside.saturating_sub(row.value));
        let counts = self.window.edge.counts(row.value, room);
        Ok(Some((row.miner, row.value.saturating_sub(counts))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edge, Measure};

    fn row(miner: u32, work: u64, time_ms: u64) -> Row {
        Row { miner, work, units: 0, time_ms, coord: time_ms }
    }

    fn of(span: Span) -> Sliding {
        Sliding::new(Window { span, measure: Measure::Work, edge: Edge::Whole }, 100).unwrap()
    }

    fn sums(sliding: &mut Sliding, network: u128) -> Vec<(u32, u128)> {
        let mut rows = Vec::new();
        sliding.sums(network, None, &mut rows).unwrap();
        rows
    }

    #[test]
    fn a_share_that_leaves_between_two_blocks_is_missed() {
        for span in [Span::Shares(3), Span::Work(30), Span::Millis(3), Span::Coord(3)] {
            let mut sliding = of(span);
            for at in 1..=4 {
                sliding.push(&row(0, 1, at)).unwrap();
            }
            assert_eq!(sums(&mut sliding, 100), [(0, 3)]);
            assert_eq!((sliding.missed(), sliding.total()), (1, (3, 3)), "{span:?}");
            // Shares 2 to 4 were paid, 5 and 6 leave unpaid, 7 to 9 are paid.
            for at in 5..=9 {
                sliding.push(&row(0, 1, at)).unwrap();
            }
            assert_eq!(sums(&mut sliding, 100), [(0, 3)]);
            assert_eq!(sliding.missed(), 3, "{span:?}");
        }
    }

    #[test]
    fn what_comes_in_again_when_the_network_grows_was_not_missed() {
        let mut sliding = of(Span::Work(1000));
        (1..=100).for_each(|at| sliding.push(&row(0, 1, at)).unwrap());
        assert_eq!(sums(&mut sliding, 10), [(0, 10)]);
        assert_eq!(sliding.missed(), 90);
        assert_eq!(sums(&mut sliding, 60), [(0, 60)]);
        assert_eq!(sliding.missed(), 40);
    }

    #[test]
    fn a_network_beyond_what_shares_are_kept_for_is_refused() {
        let mut sliding = of(Span::Work(1000));
        (1..=200).for_each(|at| sliding.push(&row(0, 1, at)).unwrap());
        assert_eq!(sums(&mut sliding, 100), [(0, 100)]);
        assert_eq!(sliding.sums(101, None, &mut Vec::new()), Err(WindowError::Forgotten));
        assert_eq!(sums(&mut sliding, 100), [(0, 100)]);
    }

    #[test]
    fn many_at_once_weigh_what_they_weigh_one_by_one() {
        let mut sliding = of(Span::Round);
        let mut other = sliding.clone();
        (1..=7).for_each(|at| sliding.push(&row(at % 2, 3, 1)).unwrap());
        other.push_many(&row(0, 3, 1), 3).unwrap();
        other.push_many(&row(1, 3, 1), 4).unwrap();
        assert_eq!(sums(&mut other, 100), sums(&mut sliding, 100));
        assert_eq!(other.total(), (21, 7));
        other.end_round();
        assert!(sums(&mut other, 100).is_empty() && other.needs_no_order());
        assert!(!of(Span::Shares(1)).needs_no_order());
    }

    #[test]
    fn what_goes_by_a_jobs_reward_does_not_slide() {
        let refused = |span, measure| {
            let made = Sliding::new(Window { span, measure, edge: Edge::Whole }, 100);
            matches!(made, Err(WindowError::ByReward))
        };
        for measure in [Measure::Value, Measure::SubsidyValue, Measure::FeeValue] {
            assert!(refused(Span::Round, measure));
        }
        assert!(refused(Span::Slices(1000, 5), Measure::Work));
        assert!(!refused(Span::Round, Measure::Count));
    }

    #[test]
    fn time_that_goes_back_is_refused_where_it_counts() {
        let mut sliding = of(Span::Millis(10));
        sliding.push(&row(0, 1, 5)).unwrap();
        assert_eq!(sliding.push(&row(0, 1, 4)), Err(WindowError::Backwards { at: 4, newest: 5 }));
        let mut sliding = of(Span::Shares(10));
        sliding.push(&row(0, 1, 5)).unwrap();
        sliding.push(&row(0, 1, 4)).unwrap();
    }
}
