//! Full pay-per-share: every share is credited its part of the subsidy and of fees at once, from the operator's reserve;
//! incomes go to the reserve. Which fees is a setting: those of the share's own job, their mean over the last coordinates
//! of the pool's jobs, or none, which is plain pay-per-share. Lost blocks are the operator's loss.
//!
//! For the mean the memo holds a ring of coordinates, each with the fees that were last seen at it: 16 bytes each, by
//! coordinate. The newest is still open, and no part of the mean.

use millpond_sdk::credit::{CELLS, FORMAT, credits, worth};
use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Grain, Income, Reversal, Row, Scheme, Settings, State, Terms, Totals, claims,
    number, word,
};

/// The scheme.
pub struct Fpps;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "fees": {
      "type": "string", "enum": ["template", "blocks", "none"], "default": "template",
      "description": "Which fees a share is paid beside the subsidy: those of its own job, their mean over the last coordinates, or none."
    },
    "window_blocks": {
      "type": "integer", "minimum": 1, "maximum": 1000, "default": 144,
      "description": "Coordinates of the mean, with fees = \"blocks\"."
    },
    "fee_ppm": {
      "type": "integer", "minimum": 0, "maximum": 500000, "default": 0,
      "description": "What of a share's value is not credited, in millionths. A fee policy may take more."
    }
  },
  "additionalProperties": false
}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fees {
    Template,
    Blocks(usize),
    None,
}

struct Rule {
    fees: Fees,
    fee: u64,
}

impl Rule {
    fn of(settings: &Settings) -> Result<Self, String> {
        let window = number(settings, "window_blocks", 144);
        let window = usize::try_from(window).ok().filter(|window| (1..=1000).contains(window));
        let fees = match word(settings, "fees", "template") {
            "template" => Fees::Template,
            "blocks" => Fees::Blocks(window.ok_or("window_blocks is from 1 to 1000")?),
            "none" => Fees::None,
            other => return Err(format!("fees are \"template\", \"blocks\" or \"none\", not {other:?}")),
        };
        let fee = u64::try_from(number(settings, "fee_ppm", 0)).ok().filter(|fee| *fee <= 500_000);
        Ok(Self { fees, fee: fee.ok_or("fee_ppm is from 0 to 500000")? })
    }
}

/// Coordinates with the fees last seen at each, oldest first.
struct Ring(Vec<(u64, u64)>);

impl Ring {
    fn read(memo: &[u8]) -> Result<Self, String> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        let row = |row: &[u8]| {
            let (coord, fees) = row.split_at_checked(8)?;
            Some((number(coord)?, number(fees)?))
        };
        let rows: Option<Vec<_>> = memo.chunks(16).map(row).collect();
        rows.map(Self).ok_or_else(|| "the memo is of another scheme".to_owned())
    }

    fn write(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(coord, fees)| [coord.to_le_bytes(), fees.to_le_bytes()].concat()).collect()
    }

    /// Takes a row's fees, unless it is of a coordinate that is closed, and keeps so many that are closed.
    fn see(&mut self, row: &Row, window: usize) {
        let fees = row.reward.saturating_sub(row.subsidy);
        match self.0.last_mut() {
            Some((coord, _)) if *coord > row.coord => {}
            Some((coord, seen)) if *coord == row.coord => *seen = fees,
            _ => self.0.push((row.coord, fees)),
        }
        let drop = self.0.len().saturating_sub(window.saturating_add(1));
        self.0.drain(..drop);
    }

    /// Of the closed coordinates; none before the first is.
    fn mean(&self) -> Option<u64> {
        let (_, closed) = self.0.split_last()?;
        let sum = closed.iter().map(|row| u128::from(row.1)).sum::<u128>();
        u64::try_from(sum.checked_div(closed.len() as u128)?).ok()
    }
}

impl Scheme for Fpps {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let rule = Rule::of(&settings)?;
        let mut claimed =
            vec![claims::PERMUTATION, claims::SPLIT, claims::SCALE, claims::MONOTONE, claims::SHARE_ONCE];
        // The mean lags behind what a block would earn: who comes while fees are below it gains.
        claimed.push(match rule.fees {
            Fees::Blocks(_) => claims::BY_CONTEXT,
            Fees::Template | Fees::None => claims::HOPPING_NEUTRAL,
        });
        // A mean is no debt: of money only the fractions are kept.
        claimed.push(claims::SMALL_CHANGE);
        let state_format = match rule.fees {
            Fees::Blocks(_) => "fpps-mean-1",
            Fees::Template | Fees::None => FORMAT,
        };
        Ok(Terms {
            windows: Vec::new(),
            cells: CELLS,
            batch: 10_000,
            grain: Grain::Share,
            reversal: Reversal::Keep,
            reserve: true,
            operator_most: 0,
            needs_subsidy: rule.fees != Fees::Template,
            claims: claimed.into_iter().map(str::to_owned).collect(),
            state_format: state_format.to_owned(),
        })
    }

    /// The shares were credited when they came; the income fills the reserve.
    fn allocate(_: Settings, income: Income, _: Vec<Totals>, _: State) -> Result<Allocation, String> {
        let (nobody, _) = Allocation::of([])?;
        Ok(Allocation { to_reserve: income.paid, carry: income.carried, ..nobody })
    }
}

impl Accrual for Fpps {
    fn accrue(settings: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        let Rule { fees, fee } = Rule::of(&settings)?;
        let window = match fees {
            Fees::Template => return credits(&batch, &state, |row| worth(row, row.reward, fee)),
            Fees::None => return credits(&batch, &state, |row| worth(row, row.subsidy, fee)),
            Fees::Blocks(window) => window,
        };
        let mut ring = Ring::read(&state.memo)?;
        let mut given = credits(&batch, &state, |row| {
            ring.see(row, window);
            let reward = match ring.mean() {
                Some(mean) => row.subsidy.saturating_add(mean),
                None => row.reward,
            };
            worth(row, reward, fee)
        })?;
        given.state.memo = ring.write();
        Ok(given)
    }
}
millpond_sdk::export_scheme_0_2!(Fpps);
millpond_sdk::export_accrual_0_2!(Fpps);
