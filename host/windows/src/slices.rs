//! Slices of a window, and what a share's fees weigh in its slice: PPLNS with job declaration (Demand, 2024), where miners who
//! choose their own transactions are held against those alone who chose at the same time.

use crate::WindowError;
use primitive_types::U256;
use std::collections::BTreeMap;

/// Bits of fraction of a score.
const FRACTION: u32 = 32;

/// The slice that shares are counted in, oldest share first. Its memory is that of the miners of one slice.
#[derive(Clone, Debug)]
pub struct Slices<K> {
    step: u64,
    /// The newest share's coordinate, and the fees of the slice's first one.
    open: Option<(u64, u64)>,
    /// By miner: work, and work times the fees of its job.
    rows: BTreeMap<K, (u128, u128)>,
}

impl<K: Copy + Ord> Slices<K> {
    /// Without a share. A slice ends when fees are so much above those of its first share; 0: they end none.
    #[must_use]
    pub const fn new(step: u64) -> Self {
        Self { step, open: None, rows: BTreeMap::new() }
    }

    /// Whether a share of this coordinate, on a job with these fees, begins a new slice: the scores of the one before are
    /// to be taken then.
    #[must_use]
    pub fn ends(&self, coord: u64, fees: u64) -> bool {
        let grown = |first: u64| self.step > 0 && fees >= first.saturating_add(self.step);
        self.open.is_some_and(|(newest, first)| newest != coord || grown(first))
    }

    /// The next share, and what of its work counts in the window: nothing for those that only say where slices begin.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn push(&mut self, miner: K, coord: u64, fees: u64, work: u64) -> Result<(), WindowError> {
        let (_, first) = self.open.unwrap_or((coord, fees));
        self.open = Some((coord, first));
        if work == 0 {
            return Ok(());
        }
        let row = self.rows.entry(miner).or_default();
        let sum = |sum: u128, more: u128| sum.checked_add(more).ok_or(WindowError::Overflow);
        // Of two numbers of 64 bits.
        *row = (sum(row.0, work.into())?, sum(row.1, u128::from(work) * u128::from(fees))?);
        Ok(())
    }

    /// Ends the slice. What each miner has of its work by his jobs' fees, ascending by miner, in 2^-32 of a work unit and
    /// rounded down: all of them together have the work of the slice. By work alone where no job had fees.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn end(&mut self) -> Result<Vec<(K, u128)>, WindowError> {
        self.open = None;
        let rows = std::mem::take(&mut self.rows);
        let all = rows.values().try_fold((0_u128, 0_u128), |sum, row| {
            Some((sum.0.checked_add(row.0)?, sum.1.checked_add(row.1)?))
        });
        let (work, weighed) = all.ok_or(WindowError::Overflow)?;
        let wide = |work: u128| work.checked_mul(1 << FRACTION).ok_or(WindowError::Overflow);
        let whole = U256::from(wide(work)?);
        let score = |(work, part): (u128, u128)| match weighed {
            0 => wide(work),
            // Of two numbers of 128 bits; the quotient is at most the whole.
            _ => u128::try_from(whole * U256::from(part) / U256::from(weighed))
                .map_err(|_| WindowError::Overflow),
        };
        rows.into_iter().map(|(miner, row)| Ok((miner, score(row)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: u128 = 1 << FRACTION;

    /// The scores of shares (miner, coordinate, fees, work), slice by slice.
    fn scores(step: u64, shares: &[(u8, u64, u64, u64)]) -> Vec<Vec<(u8, u128)>> {
        let (mut slices, mut all) = (Slices::new(step), Vec::new());
        for (miner, coord, fees, work) in shares.iter().copied() {
            if slices.ends(coord, fees) {
                all.push(slices.end().unwrap());
            }
            slices.push(miner, coord, fees, work).unwrap();
        }
        all.push(slices.end().unwrap());
        all
    }

    #[test]
    fn within_a_slice_work_counts_by_its_fees_and_between_slices_by_itself() {
        // Work 10 each; who took thrice the fees has three quarters of the slice's 20. The next height is a slice of its
        // own, though it earns a hundred times as much.
        let shares = [(1, 7, 30, 10), (2, 7, 10, 10), (1, 8, 1000, 10), (2, 8, 1000, 10)];
        let even = vec![(1, 10 * ONE), (2, 10 * ONE)];
        assert_eq!(scores(0, &shares), [vec![(1, 15 * ONE), (2, 5 * ONE)], even]);
    }

    #[test]
    fn fees_that_have_grown_by_the_step_begin_a_slice_and_are_what_the_next_grows_from() {
        let shares =
            [(1, 7, 10, 1), (1, 7, 14, 1), (2, 7, 15, 1), (2, 7, 19, 1), (3, 7, 20, 1), (3, 7, 2, 1)];
        let slices = |step| scores(step, &shares).len();
        assert_eq!([slices(0), slices(5), slices(100)], [1, 3, 1]);
        // Fees that fall end none: the last share stands in the third.
        assert_eq!(scores(5, &shares).last().unwrap(), &[(3, 2 * ONE)]);
    }

    #[test]
    fn jobs_without_fees_count_by_work_and_shares_of_before_the_window_not_at_all() {
        assert_eq!(scores(0, &[(1, 7, 0, 3), (2, 7, 0, 1)]), [vec![(1, 3 * ONE), (2, ONE)]]);
        assert_eq!(
            scores(5, &[(9, 7, 10, 0), (1, 7, 14, 3), (2, 7, 15, 4)]),
            [vec![(1, 3 * ONE)], vec![(2, 4 * ONE)]]
        );
    }

    #[test]
    fn sums_that_do_not_fit_are_told() {
        let mut slices = Slices::new(0);
        slices.push(1, 1, u64::MAX, u64::MAX).unwrap();
        assert_eq!(slices.clone().end().unwrap(), [(1, u128::from(u64::MAX) << FRACTION)]);
        assert_eq!(slices.push(1, 1, u64::MAX, u64::MAX), Err(WindowError::Overflow));
        slices.push(2, 1, u64::MAX, u64::MAX).unwrap();
        assert_eq!(slices.end(), Err(WindowError::Overflow));
    }
}
