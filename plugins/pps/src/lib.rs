//! PPS: every share is credited its expected value, reward * work / network work, at once and from the operator's
//! reserve; incomes go to the reserve. The reward is the one that the share's job expected, template fees included
//! (often called FPPS). The host stops crediting when the reserve is spent. Lost blocks are the operator's loss.
//!
//! The fraction of a unit below each credit is kept per miner in one cell, in 2^-64 units, so that rounding costs
//! nobody more than one unit ever. That is all it holds: any other scheme may follow.

use millpond_sdk::payout::{
    Accrual, Allocation, Batch, Income, Reversal, Scheme, Settings, State, Terms, Totals, claims,
};
use std::collections::BTreeMap;

/// The scheme.
pub struct Pps;

impl Scheme for Pps {
    fn schema() -> String {
        millpond_sdk::NO_SETTINGS.to_owned()
    }

    fn describe(_: Settings) -> Result<Terms, String> {
        let claims = [
            claims::PERMUTATION,
            claims::SPLIT,
            claims::SCALE,
            claims::MONOTONE,
            claims::SHARE_ONCE,
            claims::HOPPING_NEUTRAL,
            claims::SMALL_CHANGE,
        ];
        Ok(Terms {
            windows: Vec::new(),
            cells: 1,
            batch: 10_000,
            reversal: Reversal::Keep,
            reserve: true,
            claims: claims.map(str::to_owned).to_vec(),
            state_format: "pps-fraction-1".to_owned(),
        })
    }

    /// The shares were credited when they came; the income fills the reserve.
    fn allocate(_: Settings, income: Income, _: Vec<Totals>, _: State) -> Result<Allocation, String> {
        Allocation::of(income.gross, [])
    }
}

impl Accrual for Pps {
    fn accrue(_: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        let network = batch.network_low.iter().zip(&batch.network_high);
        let rows = batch.miner.iter().zip(&batch.work).zip(&batch.reward).zip(network);
        // (whole units, 2^-64 units) per miner, starting at his cell.
        let mut due = BTreeMap::<u64, (u64, u64)>::new();
        for (((miner, work), reward), (low, high)) in rows {
            let network = u128::from(*high) << 64 | u128::from(*low);
            let (whole, fraction) = value(*reward, *work, network)?;
            let cell = || state.of(*miner, 1).and_then(|cells| cells.first().copied()).unwrap_or(0);
            let sum = due.entry(*miner).or_insert_with(|| (0, cell()));
            let (below, carry) = sum.1.overflowing_add(fraction);
            let above = sum.0.checked_add(whole).and_then(|units| units.checked_add(u64::from(carry)));
            *sum = (above.ok_or("a miner's credit does not fit 64 bits")?, below);
        }
        let mut kept = State::unchanged();
        for (miner, (_, fraction)) in &due {
            kept.push(*miner, &[*fraction]);
        }
        let total = due.values().try_fold(0_u64, |sum, row| sum.checked_add(row.0));
        let total = total.ok_or("the batch's credit does not fit 64 bits")?;
        Ok(Allocation::of(total, due.into_iter().map(|(miner, row)| (miner, row.0)))?.with_state(kept))
    }
}
millpond_sdk::export_scheme!(Pps);
millpond_sdk::export_accrual!(Pps);

/// reward * work / network in whole units and 2^-64 units, rounded down.
fn value(reward: u64, work: u64, network: u128) -> Result<(u64, u64), String> {
    if network == 0 {
        return Err("a share's network work is zero".to_owned());
    }
    let product = u128::from(reward) * u128::from(work);
    let whole = u64::try_from(product / network).map_err(|_| "a share's value does not fit 64 bits")?;
    let rest = product % network;
    // Below 2^64 the shift by 64 is exact; a larger network loses its low bits, less than 2^-63 of a unit.
    let shift = 64_u32.saturating_sub(network.leading_zeros());
    let fraction = ((rest >> shift) << 64) / (network >> shift);
    Ok((whole, u64::try_from(fraction).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accrue(rows: &[(u64, u64)], network: u128, reward: u64, state: State) -> Allocation {
        let count = rows.len();
        let batch = Batch {
            seq: (1..=count as u64).collect(),
            miner: rows.iter().map(|row| row.0).collect(),
            work: rows.iter().map(|row| row.1).collect(),
            network_low: vec![network as u64; count],
            network_high: vec![(network >> 64) as u64; count],
            time_ms: vec![0; count],
            coord: vec![1; count],
            reward: vec![reward; count],
        };
        Pps::accrue(Vec::new(), batch, state).unwrap()
    }

    #[test]
    fn a_share_is_worth_its_part_of_the_expected_reward() {
        let given = accrue(&[(1, 10), (2, 30), (1, 10)], 1000, 5_000, State::unchanged());
        assert_eq!((given.miner, given.amount, given.rest), (vec![1, 2], vec![100, 150], 0));
    }

    #[test]
    fn fractions_are_kept_so_that_rounding_costs_nobody_a_unit() {
        // A third of a unit per share, one share per batch: 300 shares are worth 100 units, at most one is missing.
        let mut state = State::unchanged();
        let mut credited = 0;
        for _ in 0..300 {
            let given = accrue(&[(1, 1)], 3, 1, state);
            credited += given.amount.iter().sum::<u64>();
            state = given.state;
        }
        assert!((99..=100).contains(&credited), "credited {credited}");
    }

    #[test]
    fn batching_changes_no_credit() {
        let rows: Vec<_> = (0..100).map(|at| (at % 3 + 1, at + 1)).collect();
        let at_once = accrue(&rows, 997, 12_345, State::unchanged());
        let (mut sums, mut cells) = (BTreeMap::<u64, u64>::new(), BTreeMap::<u64, u64>::new());
        for chunk in rows.chunks(7) {
            let mut state = State::unchanged();
            cells.iter().for_each(|(miner, cell)| state.push(*miner, &[*cell]));
            let given = accrue(chunk, 997, 12_345, state);
            given.miner.iter().zip(&given.amount).for_each(|(m, a)| *sums.entry(*m).or_default() += a);
            cells.extend(given.state.rows(1).map(|(miner, row)| (miner, row[0])));
        }
        assert_eq!(sums.into_values().collect::<Vec<_>>(), at_once.amount);
        assert_eq!(cells.into_values().collect::<Vec<_>>(), at_once.state.cells);
    }

    #[test]
    fn an_income_goes_to_the_reserve() {
        let income = Income { key: vec![1], gross: 77, seq: 1, time_ms: 0, coord: 1, finder: Some(1) };
        let given = Pps::allocate(Vec::new(), income, Vec::new(), State::unchanged()).unwrap();
        assert_eq!((given.miner.len(), given.rest), (0, 77));
        assert!(Pps::describe(Vec::new()).unwrap().reserve);
    }

    #[test]
    fn the_largest_values_do_not_wrap() {
        assert_eq!(value(u64::MAX, u64::MAX, u128::MAX), Ok((0, u64::MAX - 1)));
        assert_eq!(value(u64::MAX, 1, 1), Ok((u64::MAX, 0)));
        assert!(value(u64::MAX, 2, 1).is_err());
        assert!(value(1, 1, 0).is_err());
    }
}
