//! Credit per share, from the operator's reserve: what the pay-per-share schemes have in common.
//!
//! The fraction of a unit below each credit is kept for each miner in one cell, in 2^-64 units, so that rounding costs
//! nobody more than one unit ever. That is all such a scheme holds: it may claim `small-change`.

use crate::fixed::{mul_div128, value};
use crate::payout_0_2::{Allocation, Batch, Row, Settings, State, word};
use std::collections::BTreeMap;

/// Cells of a miner.
pub const CELLS: u8 = 1;
/// How cells are laid out: as those of `pps`.
pub const FORMAT: &str = "pps-fraction-1";

const MILLION: u128 = 1_000_000;

/// What a share is owed its part of, by the setting `pay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pay {
    /// All that a block of its job would earn.
    Reward,
    /// The subsidy in it.
    Subsidy,
}

impl Pay {
    /// The schema of a scheme with this setting and no other.
    pub const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "pay": {
      "type": "string", "enum": ["reward", "subsidy"], "default": "reward",
      "description": "What a share is owed its part of: all that a block of its job would earn, or the subsidy. What blocks bring beyond it is a buffer."
    }
  },
  "additionalProperties": false
}"#;

    /// As the settings have it.
    pub fn of(settings: &Settings) -> Result<Self, String> {
        match word(settings, "pay", "reward") {
            "reward" => Ok(Self::Reward),
            "subsidy" => Ok(Self::Subsidy),
            other => Err(format!("pay is \"reward\" or \"subsidy\", not {other:?}")),
        }
    }

    /// Whether it asks for the subsidy of shares.
    pub fn needs_subsidy(self) -> bool {
        self == Self::Subsidy
    }

    /// What a row is owed, in 2^-64 units.
    pub fn owed(self, row: &Row) -> Result<u128, String> {
        worth(row, if self.needs_subsidy() { row.subsidy } else { row.reward }, 0)
    }
}

/// What a row is worth of a block that earns `reward`, less `fee` millionths of it, in 2^-64 units.
pub fn worth(row: &Row, reward: u64, fee: u64) -> Result<u128, String> {
    let whole = value(row.work, reward, row.network, 64);
    let net = |whole| mul_div128(whole, MILLION.checked_sub(u128::from(fee))?, MILLION);
    whole.and_then(net).ok_or_else(|| format!("work {} of {} has no value in 64 bits", row.work, row.network))
}

/// Credits each row's worth, in 2^-64 units, to its miner.
pub fn credits(
    batch: &Batch,
    state: &State,
    mut worth: impl FnMut(&Row) -> Result<u128, String>,
) -> Result<Allocation, String> {
    // Units and 2^-64 units of each miner, starting at his cell.
    let mut due = BTreeMap::<u64, u128>::new();
    for row in batch.rows() {
        let cell = || state.of(row.miner, CELLS.into()).and_then(|cells| cells.first().copied()).unwrap_or(0);
        let sum = due.entry(row.miner).or_insert_with(|| u128::from(cell()));
        *sum = sum.checked_add(worth(&row)?).ok_or("a miner's credit does not fit 64 bits")?;
    }
    let mut kept = State::unchanged();
    due.iter().for_each(|(miner, sum)| kept.push(*miner, &[*sum as u64]));
    Allocation::credits(due.into_iter().map(|(miner, sum)| (miner, (sum >> 64) as u64)), kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: &[(u64, u128)], network: u64) -> Batch {
        let column = |value: u64| vec![value; rows.len()];
        Batch {
            first: 1,
            last: rows.len() as u64,
            miner: rows.iter().map(|row| row.0).collect(),
            shares: column(1),
            work_low: rows.iter().map(|row| row.1 as u64).collect(),
            work_high: rows.iter().map(|row| (row.1 >> 64) as u64).collect(),
            network_low: column(network),
            network_high: column(0),
            time_ms: column(0),
            coord: column(1),
            reward: column(1000),
            subsidy: column(900),
        }
    }

    #[test]
    fn fractions_are_kept_so_that_rounding_costs_nobody_a_unit() {
        // A third of a unit per share, one share per batch.
        let (mut state, mut credited) = (State::unchanged(), 0);
        for _ in 0..300 {
            let given = credits(&batch(&[(1, 1)], 3), &state, |row| worth(row, 1, 0)).unwrap();
            assert_eq!(given.amount.iter().sum::<u64>(), given.from_reserve);
            credited += given.from_reserve;
            state = given.state;
        }
        assert!((99..=100).contains(&credited), "credited {credited}");
    }

    #[test]
    fn a_rows_work_may_be_wider_than_a_shares() {
        let given =
            credits(&batch(&[(1, 3 << 64), (2, 1), (1, 1 << 64)], 1 << 63), &State::unchanged(), |row| {
                worth(row, 1000, 250_000)
            });
        let given = given.unwrap();
        assert_eq!((given.miner, given.amount, given.from_reserve), (vec![1], vec![6000], 6000));
        assert_eq!(given.state.miner, [1, 2]);
        let none = |network| credits(&batch(&[(1, 1)], network), &State::unchanged(), |row| worth(row, 1, 0));
        assert!(none(0).unwrap_err().contains("no value"));
        assert!(worth(&batch(&[(1, 1)], 1).rows().next().unwrap(), 1, 1_000_001).is_err());
    }
}
