//! Sums per miner of what counts in a window: of shares one by one, and of whole parts of the journal, which several threads
//! add up once it is known which ones count.

use crate::summary::{self, Column};
use crate::view::{JournalView, refuse_footer};
use crate::window::Counted;
use crate::{JournalError, Share};
use millpond_segments::{Marks, SegmentInfo};
use millpond_types::{MinerId, ShareSeq};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below this a miner has a place of his own in [`PerMiner`], 16 bytes for each: numbers are given from 1 on. Those above are
/// looked up, so that no number in a file makes a table as long as itself.
const PLACES: usize = 1 << 22;

/// Threads that add parts up at most: each has a table of all miners, of 16 MB for a million.
const THREADS: usize = 4;

/// Shares below which another thread costs more than it saves.
const FEW: u64 = 20_000;

/// Sums per miner.
#[derive(Debug, Default)]
struct PerMiner {
    places: Vec<u128>,
    beyond: BTreeMap<MinerId, u128>,
}

impl PerMiner {
    /// His sum, 0 until now where he has none.
    #[inline]
    fn of(&mut self, miner: MinerId) -> &mut u128 {
        let place = usize::try_from(miner.0).ok().filter(|place| *place < PLACES);
        if let Some(place) = place
            && place >= self.places.len()
        {
            self.places.resize(place.saturating_add(1), 0);
        }
        match place.and_then(|place| self.places.get_mut(place)) {
            Some(sum) => sum,
            None => self.beyond.entry(miner).or_default(),
        }
    }

    #[inline]
    fn add(&mut self, miner: MinerId, value: u128) -> Result<(), JournalError> {
        if value == u128::MAX {
            return Err(JournalError::Overflow);
        }
        let sum = self.of(miner);
        *sum = sum.checked_add(value).ok_or(JournalError::Overflow)?;
        Ok(())
    }

    /// Ascending, also those without a sum.
    fn each(self) -> impl Iterator<Item = (MinerId, u128)> {
        (0..).map(MinerId).zip(self.places).chain(self.beyond)
    }

    fn join(&mut self, others: Self) -> Result<(), JournalError> {
        if self.places.is_empty() && self.beyond.is_empty() {
            *self = others;
            return Ok(());
        }
        others.each().filter(|(_, sum)| *sum > 0).try_for_each(|(miner, sum)| self.add(miner, sum))
    }

    /// Takes away what it has, which must be there.
    fn without(&mut self, others: Self) -> Result<(), JournalError> {
        others.each().filter(|(_, sum)| *sum > 0).try_for_each(|(miner, value)| {
            let sum = self.of(miner);
            *sum = sum.checked_sub(value).ok_or(JournalError::Overflow)?;
            Ok(())
        })
    }
}

/// What is added up later. Each says what it comes to, by the totals by which it was chosen, and must.
#[derive(Debug)]
pub(crate) struct Part {
    pub segment: SegmentInfo,
    pub what: What,
    pub shares: u64,
    pub sum: u128,
}

#[derive(Debug)]
pub(crate) enum What {
    /// All of the segment, by its rows.
    Rows,
    /// The shares in these records.
    Shares(Range<u64>, Marks),
    /// The same, which do not count though their segment's rows do.
    Without(Range<u64>, Marks),
}

/// Sums per miner, and of all.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    miners: PerMiner,
    /// Of all, what is added up later too.
    pub total: u128,
    /// The smallest number of a share that was counted.
    pub first: Option<ShareSeq>,
    /// What of that share was not, since it lies on the far edge.
    pub over: u128,
    later: Vec<Part>,
}

impl Sums {
    pub(crate) fn add(&mut self, miner: MinerId, value: u128) -> Result<(), JournalError> {
        self.miners.add(miner, value)?;
        self.expect(value)
    }

    /// So much is added by what is put off.
    pub(crate) fn expect(&mut self, value: u128) -> Result<(), JournalError> {
        if value == u128::MAX {
            return Err(JournalError::Overflow);
        }
        self.total = self.total.checked_add(value).ok_or(JournalError::Overflow)?;
        Ok(())
    }

    /// Puts a part off.
    pub(crate) fn later(&mut self, part: Part) {
        self.later.push(part);
    }

    /// A share was counted, the first of several with numbers that ascend, or one.
    pub(crate) fn counts(&mut self, seq: ShareSeq) {
        self.first = Some(self.first.map_or(seq, |first| first.min(seq)));
    }

    /// Adds up what was put off.
    pub(crate) fn settle(&mut self, journal: &JournalView, column: Column) -> Result<(), JournalError> {
        let parts = std::mem::take(&mut self.later);
        let shares = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.shares));
        let most = if shares < FEW { 1 } else { THREADS };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(most).min(parts.len());
        let next = AtomicUsize::new(0);
        let work = || add_up(journal, column, &parts, &next);
        let done = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let end = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            std::iter::once(own).chain(others.into_iter().map(end)).collect::<Vec<_>>()
        });
        // Whichever thread came first, the same error is told.
        let mut failed: Option<(usize, JournalError)> = None;
        let mut without = Vec::new();
        for outcome in done {
            match outcome {
                Ok([with, less]) => {
                    self.miners.join(with)?;
                    without.push(less);
                }
                Err(error) if failed.as_ref().is_none_or(|failed| error.0 < failed.0) => failed = Some(error),
                Err(_) => {}
            }
        }
        if let Some((_, error)) = failed {
            return Err(error);
        }
        without.into_iter().try_for_each(|less| self.miners.without(less))
    }

    /// Ascending, without those that weigh nothing.
    pub(crate) fn rows(self) -> Vec<(MinerId, u128)> {
        let places = self.miners.places.iter().filter(|sum| **sum > 0).count();
        let mut rows = Vec::with_capacity(places.saturating_add(self.miners.beyond.len()));
        rows.extend(self.miners.each().filter(|(_, sum)| *sum > 0));
        rows
    }

    /// What was counted, of a window behind whose near end is this share.
    pub(crate) fn counted(self, behind: ShareSeq) -> Counted {
        let first = self.first.unwrap_or(behind);
        Counted { rows: self.rows(), first }
    }
}

/// One thread's part of the parts, and with what of them does not count: or the place of the first that fails.
fn add_up(
    journal: &JournalView,
    column: Column,
    parts: &[Part],
    next: &AtomicUsize,
) -> Result<[PerMiner; 2], (usize, JournalError)> {
    let mut sums = [PerMiner::default(), PerMiner::default()];
    let [with, without] = &mut sums;
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(part) = parts.get(at) else { return Ok(sums) };
        let to = if matches!(part.what, What::Without(..)) { &mut *without } else { &mut *with };
        add_part(journal, column, part, to).map_err(|error| (at, error))?;
    }
}

fn add_part(
    journal: &JournalView,
    column: Column,
    part: &Part,
    sums: &mut PerMiner,
) -> Result<(), JournalError> {
    let refuse = |what: String| JournalError::from(refuse_footer(&part.segment, what));
    let mut sum = 0_u128;
    let mut add = |miner: MinerId, value: u128| {
        sum = sum.checked_add(value).ok_or(JournalError::Overflow)?;
        sums.add(miner, value)
    };
    match &part.what {
        What::Rows => match journal.tally(&part.segment) {
            Some(tally) => tally.rows().try_for_each(|row| add(row.miner, column.of(&row)))?,
            None => {
                let footer = journal.log.summary(&part.segment)?;
                let rows = summary::rows(&footer, column).map_err(|error| refuse(error.to_string()))?;
                for row in rows {
                    let (miner, value) = row.map_err(|error| refuse(error.to_string()))?;
                    add(miner, value)?;
                }
            }
        },
        What::Shares(records, marks) | What::Without(records, marks) => {
            journal.visit_records(&part.segment, marks, records.clone(), |_, share| {
                add(share.miner, of_share(column, share))
            })?;
        }
    }
    if sum != part.sum {
        return Err(refuse(format!("its shares come to {sum} and not to {}, as its footer says", part.sum)));
    }
    Ok(())
}

fn of_share(column: Column, share: &Share) -> u128 {
    match column {
        Column::Count => 1,
        Column::Work => share.work.0.into(),
        Column::Units => share.units(),
    }
}
