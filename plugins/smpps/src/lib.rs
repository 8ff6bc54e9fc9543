//! Shared maximum pay-per-share: every share is owed its expected value, and a block pays what is owed as far as it reaches,
//! everybody the same part. What is over waits for the next block. The pool never owes what it has not earned, but in a
//! run of bad luck what it owes grows, and shares are paid later and later.
//!
//! Two cells a miner: what he is owed in whole units, and the fraction in 2^-64 units.

use millpond_sdk::credit::Pay;
use millpond_sdk::fixed::mul_div128;
use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Income, Scheme, Settings, State, Terms, Totals, claims,
};
use std::collections::BTreeMap;

/// The scheme.
pub struct Smpps;

const WIDTH: usize = 2;

fn owed(cells: Option<&[u64]>) -> u128 {
    match cells {
        Some([whole, fraction]) => u128::from(*whole) << 64 | u128::from(*fraction),
        _ => 0,
    }
}

impl Scheme for Smpps {
    fn schema() -> String {
        Pay::SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let claimed = [
            claims::PERMUTATION,
            claims::SPLIT,
            claims::SCALE,
            claims::MONOTONE,
            claims::NO_DEFICIT,
            claims::OWED,
        ];
        let needs_subsidy = Pay::of(&settings)?.needs_subsidy();
        Ok(Terms { needs_subsidy, ..Terms::of_cells(WIDTH as u8, "owed-1", &claimed) })
    }

    fn allocate(_: Settings, income: Income, _: Vec<Totals>, state: State) -> Result<Allocation, String> {
        let gross = income.gross()?;
        let due: Vec<(u64, u128)> =
            state.rows(WIDTH).map(|(miner, cells)| (miner, owed(Some(cells)))).collect();
        let sum = due.iter().try_fold(0_u128, |sum, row| sum.checked_add(row.1 >> 64));
        let sum = sum.ok_or("what is owed does not fit 128 bits")?;
        let funds = u128::from(gross).min(sum);
        let part = |whole: u128| match sum {
            0 => Some(0),
            _ => mul_div128(whole, funds, sum).and_then(|part| u64::try_from(part).ok()),
        };
        let mut kept = State::unchanged();
        let mut pairs = Vec::with_capacity(due.len());
        for (miner, owed) in due {
            let amount = part(owed >> 64).ok_or("a part does not fit 64 bits")?;
            if amount > 0 {
                let left = owed - (u128::from(amount) << 64);
                kept.push(miner, &[(left >> 64) as u64, left as u64]);
                pairs.push((miner, amount));
            }
        }
        let (given, paid) = Allocation::of(pairs)?;
        Ok(Allocation { carry: gross.saturating_sub(paid), state: kept, ..given })
    }
}

impl Accrual for Smpps {
    fn accrue(settings: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        let pay = Pay::of(&settings)?;
        let mut due = BTreeMap::<u64, u128>::new();
        for row in batch.rows() {
            let sum = due.entry(row.miner).or_insert_with(|| owed(state.of(row.miner, WIDTH)));
            *sum = sum.checked_add(pay.owed(&row)?).ok_or("what a miner is owed does not fit 64 bits")?;
        }
        let mut kept = State::unchanged();
        due.into_iter().for_each(|(miner, sum)| kept.push(miner, &[(sum >> 64) as u64, sum as u64]));
        Allocation::credits([], kept)
    }
}
millpond_sdk::export_scheme_0_2!(Smpps);
millpond_sdk::export_accrual_0_2!(Smpps);
