//! PPS: every share is credited its expected value, reward * work / network work, at once and from the operator's
//! reserve; incomes go to the reserve. The reward is the one that the share's job expected, template fees included
//! (often called FPPS). The host stops crediting when the reserve is spent. Lost blocks are the operator's loss.
//!
//! The fraction of a unit below each credit is kept per miner in one cell, in 2^-64 units, so that rounding costs
//! nobody more than one unit ever. That is all it holds: any other scheme may follow.
//!
//! This runs for every share of a pool: values are remembered, since shares of one difficulty and job are worth the same, and
//! miners are found in a table. A test holds both to the plain formula.

use millpond_sdk::payout::{
    Accrual, Allocation, Batch, Income, Reversal, Scheme, Settings, State, Terms, Totals, claims,
};

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
        let (mut values, mut dues) = (Values::default(), Dues::new(batch.miner.len()));
        for (((miner, work), reward), (low, high)) in rows {
            let network = u128::from(*high) << 64 | u128::from(*low);
            let (whole, fraction) = values.of(*reward, *work, network)?;
            let cell = || state.of(*miner, 1).and_then(|cells| cells.first().copied()).unwrap_or(0);
            let due = dues.of(*miner, cell).ok_or("the batch has more miners than rows")?;
            let (below, carry) = due.fraction.overflowing_add(fraction);
            let above = due.whole.checked_add(whole).and_then(|units| units.checked_add(u64::from(carry)));
            due.whole = above.ok_or("a miner's credit does not fit 64 bits")?;
            due.fraction = below;
        }
        let dues = dues.ascending();
        let mut kept = State::unchanged();
        for due in &dues {
            kept.push(due.miner, &[due.fraction]);
        }
        let total = dues.iter().try_fold(0_u64, |sum, due| sum.checked_add(due.whole));
        let total = total.ok_or("the batch's credit does not fit 64 bits")?;
        Ok(Allocation::of(total, dues.iter().map(|due| (due.miner, due.whole)))?.with_state(kept))
    }
}
millpond_sdk::export_scheme!(Pps);
millpond_sdk::export_accrual!(Pps);

/// 2^64 by the golden ratio: multiplied by it, numbers that follow each other are far apart in their highest bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a miner is due: whole units, and 2^-64 units that start at his cell.
struct Due {
    miner: u64,
    whole: u64,
    fraction: u64,
}

/// What each miner of a batch is due, by an open table of at least twice as many places as there are rows: there is always a free
/// one.
struct Dues {
    /// 0 for nobody, else one more than a place among the dues.
    places: Vec<u32>,
    shift: u32,
    dues: Vec<Due>,
}

impl Dues {
    fn new(rows: usize) -> Self {
        let bits = rows.max(1).saturating_mul(2).next_power_of_two().trailing_zeros();
        Self { places: vec![0; 1 << bits], shift: 64 - bits, dues: Vec::new() }
    }

    /// A miner's due; one that was not asked for yet starts at his cell.
    fn of(&mut self, miner: u64, cell: impl FnOnce() -> u64) -> Option<&mut Due> {
        let mask = self.places.len().wrapping_sub(1);
        let mut place = (miner.wrapping_mul(SPREAD) >> self.shift) as usize;
        let at = loop {
            let taken = self.places.get(place).copied().unwrap_or(0);
            let Some(at) = (taken as usize).checked_sub(1) else { break self.dues.len() };
            if self.dues.get(at).is_some_and(|due| due.miner == miner) {
                break at;
            }
            place = place.wrapping_add(1) & mask;
        };
        if at == self.dues.len() {
            self.dues.push(Due { miner, whole: 0, fraction: cell() });
            if let Some(free) = self.places.get_mut(place) {
                *free = u32::try_from(self.dues.len()).unwrap_or(u32::MAX);
            }
        }
        self.dues.get_mut(at)
    }

    fn ascending(mut self) -> Vec<Due> {
        self.dues.sort_unstable_by_key(|due| due.miner);
        self.dues
    }
}

/// What shares were worth: a place for each of 64 spreads of work, which remembers the last one. Its network of 0 is no share's.
struct Values([Value; 64]);

#[derive(Clone, Copy, Default)]
struct Value {
    reward: u64,
    work: u64,
    network: u128,
    worth: (u64, u64),
}

impl Default for Values {
    fn default() -> Self {
        Self([Value::default(); 64])
    }
}

impl Values {
    fn of(&mut self, reward: u64, work: u64, network: u128) -> Result<(u64, u64), String> {
        let known = self.0.get_mut((work.wrapping_mul(SPREAD) >> 58) as usize);
        match known {
            Some(known)
                if known.network == network
                    && known.work == work
                    && known.reward == reward
                    && network > 0 =>
            {
                Ok(known.worth)
            }
            Some(known) => {
                *known = Value { reward, work, network, worth: value(reward, work, network)? };
                Ok(known.worth)
            }
            None => value(reward, work, network),
        }
    }
}

/// reward * work / network in whole units and 2^-64 units, rounded down.
fn value(reward: u64, work: u64, network: u128) -> Result<(u64, u64), String> {
    if network == 0 {
        return Err("a share's network work is zero".to_owned());
    }
    let product = u128::from(reward) * u128::from(work);
    let quotient = product / network;
    let whole = u64::try_from(quotient).map_err(|_| "a share's value does not fit 64 bits")?;
    let rest = product - quotient * network;
    // Below 2^64 the shift by 64 is exact; a larger network loses its low bits, less than 2^-63 of a unit.
    let shift = 64_u32.saturating_sub(network.leading_zeros());
    let fraction = ((rest >> shift) << 64) / (network >> shift);
    Ok((whole, u64::try_from(fraction).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The formula without a memory and without a table, as `accrue` was before it had them.
    fn plainly(batch: &Batch, state: &State) -> Result<Allocation, String> {
        let value = |reward: u64, work: u64, network: u128| {
            if network == 0 {
                return Err("a share's network work is zero".to_owned());
            }
            let product = u128::from(reward) * u128::from(work);
            let whole =
                u64::try_from(product / network).map_err(|_| "a share's value does not fit 64 bits")?;
            let shift = 64_u32.saturating_sub(network.leading_zeros());
            let fraction = (((product % network) >> shift) << 64) / (network >> shift);
            Ok((whole, u64::try_from(fraction).unwrap_or(u64::MAX)))
        };
        let mut due = BTreeMap::<u64, (u64, u64)>::new();
        for at in 0..batch.miner.len() {
            let network = u128::from(batch.network_high[at]) << 64 | u128::from(batch.network_low[at]);
            let (whole, fraction) = value(batch.reward[at], batch.work[at], network)?;
            let cell = || state.of(batch.miner[at], 1).map_or(0, |cells| cells[0]);
            let sum = due.entry(batch.miner[at]).or_insert_with(|| (0, cell()));
            let (below, carry) = sum.1.overflowing_add(fraction);
            let above = sum.0.checked_add(whole).and_then(|units| units.checked_add(u64::from(carry)));
            *sum = (above.ok_or("a miner's credit does not fit 64 bits")?, below);
        }
        let mut kept = State::unchanged();
        due.iter().for_each(|(miner, sum)| kept.push(*miner, &[sum.1]));
        let total = due.values().try_fold(0_u64, |sum, row| sum.checked_add(row.0));
        let total = total.ok_or("the batch's credit does not fit 64 bits")?;
        Ok(Allocation::of(total, due.into_iter().map(|(miner, row)| (miner, row.0)))?.with_state(kept))
    }

    /// Numbers of any length, few of them at a time so that rows are alike in some columns.
    fn few(most: u32) -> impl Strategy<Value = Vec<u64>> {
        let one = prop_oneof![(any::<u64>(), 0..64_u32).prop_map(|(wide, shift)| wide >> shift), 0..9_u64];
        proptest::collection::vec(one, 1..most as usize)
    }

    proptest! {
        #[test]
        fn what_is_remembered_and_found_is_what_is_computed(
            miners in few(40), works in few(6), rewards in few(3), networks in few(4), highs in few(2),
            rows in proptest::collection::vec(any::<[u8; 5]>(), 0..120),
            cells in proptest::collection::btree_map(0..9_u64, any::<u64>(), 0..9),
        ) {
            let column = |of: &[u64], which: usize| -> Vec<u64> {
                rows.iter().map(|row| of[usize::from(row[which]) % of.len()]).collect()
            };
            let count = rows.len();
            let batch = Batch {
                seq: (1..=count as u64).collect(),
                miner: column(&miners, 0),
                work: column(&works, 1),
                network_low: column(&networks, 2),
                network_high: column(&highs, 3),
                time_ms: vec![0; count],
                coord: vec![1; count],
                reward: column(&rewards, 4),
            };
            let mut state = State::unchanged();
            cells.iter().for_each(|(miner, cell)| state.push(*miner, &[*cell]));
            let expected = plainly(&batch, &state);
            prop_assert_eq!(Pps::accrue(Vec::new(), batch, state), expected);
        }
    }

    #[test]
    fn miners_whose_places_are_the_same_are_told_apart() {
        // Ten rows have 32 places, and these five miners the last two of them.
        let same: Vec<u64> =
            (1..1000_u64).filter(|miner| miner.wrapping_mul(SPREAD) >> 60 == 15).take(5).collect();
        let rows: Vec<_> = same.iter().chain(&same).map(|miner| (*miner, 10)).collect();
        let given = accrue(&rows, 100, 50, State::unchanged());
        assert_eq!((given.miner, given.amount), (same, vec![10; 5]));
    }

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
