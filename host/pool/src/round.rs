//! The work of the running round, kept as a running sum: the pages show it, and must not walk the journal for it.

use millpond_types::ShareSeq;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Ends of rounds that are remembered: blocks whose income is not reported yet.
const MARKS: usize = 1_024;

#[derive(Debug, Default)]
struct Inner {
    /// Units of all shares since the start of the process.
    sum: u128,
    /// The sum at each block's share: where a round may end.
    marks: BTreeMap<ShareSeq, u128>,
    /// The round that was looked at last: the share before it, its units then, and the sum then.
    round: Option<(ShareSeq, u128, u128)>,
}

/// The running sum.
#[derive(Debug, Default)]
pub(crate) struct Round(Mutex<Inner>);

impl Round {
    /// Counts a share that is durable; `solves` when a round may end at it.
    pub(crate) fn count(&self, seq: ShareSeq, units: u128, solves: bool) {
        let mut inner = self.0.lock();
        inner.sum = inner.sum.saturating_add(units);
        if solves {
            let sum = inner.sum;
            inner.marks.insert(seq, sum);
            if inner.marks.len() > MARKS {
                inner.marks.pop_first();
            }
        }
    }

    /// The units of the round that began after a share; 2^64 is what the network takes for a block. `walk` adds them
    /// up from the journal, where this process has not seen the round begin: once a round at most.
    pub(crate) fn units<E>(
        &self,
        after: ShareSeq,
        walk: impl FnOnce() -> Result<u128, E>,
    ) -> Result<u128, E> {
        {
            let mut inner = self.0.lock();
            let sum = inner.sum;
            if let Some((start, then, at)) = inner.round
                && start == after
            {
                return Ok(then.saturating_add(sum.saturating_sub(at)));
            }
            if let Some(at) = inner.marks.get(&after).copied() {
                inner.round = Some((after, 0, at));
                inner.marks = inner.marks.split_off(&after);
                return Ok(sum.saturating_sub(at));
            }
        }
        // Shares that come while it walks are counted by one of the two, or both: a figure to look at.
        let at = self.0.lock().sum;
        let units = walk()?;
        self.0.lock().round = Some((after, units, at));
        Ok(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> Result<u128, String> {
        Err("the journal was walked".to_owned())
    }

    #[test]
    fn a_rounds_work_is_a_running_sum_and_the_journal_is_walked_once() {
        let round = Round::default();
        assert_eq!(round.units(ShareSeq(0), || Ok::<_, String>(40)), Ok(40));
        round.count(ShareSeq(1), 5, false);
        round.count(ShareSeq(2), 7, true);
        round.count(ShareSeq(3), 1, false);
        assert_eq!(round.units(ShareSeq(0), never), Ok(53));
        assert_eq!(round.units(ShareSeq(2), never), Ok(1), "the next round began behind the block");
        round.count(ShareSeq(4), 2, false);
        assert_eq!(round.units(ShareSeq(2), never), Ok(3));
        assert!(round.units(ShareSeq(3), never).is_err(), "nobody saw a round end there");
    }
}
