//! The queue: every share adds its units to its miner's credit, and a block goes whole to who has most, who keeps what he had
//! beyond the second. A miner's variance is near that of mining alone; the order is by work, and not by luck.
//!
//! Two cells a miner: his credit in 2^-64 units, low half and high half.

use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Income, Scheme, Settings, State, Terms, Totals, claims,
};
use std::collections::BTreeMap;

/// The scheme.
pub struct Queue;

const WIDTH: usize = 2;

fn credit(cells: Option<&[u64]>) -> u128 {
    match cells {
        Some([low, high]) => u128::from(*high) << 64 | u128::from(*low),
        _ => 0,
    }
}

fn cells(credit: u128) -> [u64; WIDTH] {
    [credit as u64, (credit >> 64) as u64]
}

impl Scheme for Queue {
    fn schema() -> String {
        millpond_sdk::NO_SETTINGS.to_owned()
    }

    fn describe(_: Settings) -> Result<Terms, String> {
        let claimed = [claims::PERMUTATION, claims::SCALE, claims::NO_DEFICIT, claims::BY_HISTORY];
        Ok(Terms::of_cells(WIDTH as u8, "queue-1", &claimed))
    }

    fn allocate(_: Settings, income: Income, _: Vec<Totals>, state: State) -> Result<Allocation, String> {
        let gross = income.gross()?;
        let credits = || state.rows(WIDTH).map(|(miner, cells)| (miner, credit(Some(cells))));
        let top = credits().map(|row| row.1).max().unwrap_or(0);
        let second = credits().map(|row| row.1).filter(|credit| *credit < top).max().unwrap_or(0);
        // Equal ones are not told apart: no name decides.
        let first: Vec<u64> = credits().filter(|row| row.1 == top && top > 0).map(|row| row.0).collect();
        let each = gross.checked_div(first.len() as u64).unwrap_or(0);
        let left = if first.len() == 1 { top.saturating_sub(second) } else { 0 };
        let (given, paid) = Allocation::of(first.iter().map(|miner| (*miner, each)))?;
        let mut kept = State::unchanged();
        // Nobody's turn is over for nothing.
        if each > 0 {
            first.iter().for_each(|miner| kept.push(*miner, &cells(left)));
        }
        Ok(Allocation { carry: gross.saturating_sub(paid), state: kept, ..given })
    }
}

impl Accrual for Queue {
    fn accrue(_: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        let mut credits = BTreeMap::<u64, u128>::new();
        for row in batch.rows() {
            let sum = credits.entry(row.miner).or_insert_with(|| credit(state.of(row.miner, WIDTH)));
            *sum = sum.checked_add(row.units(64)?).ok_or("a credit does not fit 128 bits")?;
        }
        let mut kept = State::unchanged();
        credits.into_iter().for_each(|(miner, credit)| kept.push(miner, &cells(credit)));
        Allocation::credits([], kept)
    }
}
millpond_sdk::export_scheme_0_2!(Queue);
millpond_sdk::export_accrual_0_2!(Queue);
