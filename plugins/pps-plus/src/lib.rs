//! Pay-per-share on the subsidy, fees by the last blocks' work: every share is credited its part of the subsidy at once,
//! from the operator's reserve, and shares what blocks bring in fees with the others of a window of units. A lost block's
//! subsidy is the operator's loss, its fees are nobody's.

use millpond_sdk::credit::{CELLS, FORMAT, credits, worth};
use millpond_sdk::cumulative;
use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Edge, Grain, Income, Measure, Reversal, Scheme, Settings, Span, State, Terms,
    Totals, Window, claims, number,
};

/// The scheme.
pub struct PpsPlus;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "window": {
      "type": "integer", "minimum": 1, "maximum": 1000000, "default": 2000,
      "description": "How far back fees are shared, in thousandths of a block's expected work."
    },
    "fee_ppm": {
      "type": "integer", "minimum": 0, "maximum": 500000, "default": 0,
      "description": "What of a share's part of the subsidy is not credited, in millionths. A fee policy may take more."
    }
  },
  "additionalProperties": false
}"#;

fn fee(settings: &Settings) -> Result<u64, String> {
    let fee = u64::try_from(number(settings, "fee_ppm", 0)).ok().filter(|fee| *fee <= 500_000);
    fee.ok_or_else(|| "fee_ppm is from 0 to 500000".to_owned())
}

impl Scheme for PpsPlus {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        fee(&settings)?;
        let window = u64::try_from(number(&settings, "window", 2000)).ok().filter(|window| *window > 0);
        let span = Span::Work(window.ok_or("a window is above 0")?);
        let claimed = [
            claims::PERMUTATION,
            claims::SPLIT,
            claims::SCALE,
            claims::MONOTONE,
            claims::HOPPING_NEUTRAL,
            claims::SMALL_CHANGE,
        ];
        Ok(Terms {
            windows: vec![Window { span, measure: Measure::Units, edge: Edge::Split }],
            cells: CELLS,
            batch: 10_000,
            grain: Grain::Share,
            reversal: Reversal::KeepReserve,
            reserve: true,
            operator_most: 0,
            needs_subsidy: true,
            claims: claimed.map(str::to_owned).to_vec(),
            state_format: FORMAT.to_owned(),
        })
    }

    /// The subsidy fills the reserve, out of which it was credited; so do fees of a window that nobody is in.
    fn allocate(_: Settings, income: Income, windows: Vec<Totals>, _: State) -> Result<Allocation, String> {
        let window = windows.first().ok_or("no window was given, one was declared")?;
        let subsidy = income.subsidy.ok_or("the income's subsidy is not known")?;
        let fees = income.paid.checked_sub(subsidy).ok_or("the subsidy is above the income")?;
        let amounts = cumulative(fees, window.rows().map(|(_, units)| units))?;
        let (given, shared) = Allocation::of(window.miner.iter().copied().zip(amounts))?;
        Ok(Allocation { to_reserve: income.paid.saturating_sub(shared), carry: income.carried, ..given })
    }
}

impl Accrual for PpsPlus {
    fn accrue(settings: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        let fee = fee(&settings)?;
        credits(&batch, &state, |row| worth(row, row.subsidy, fee))
    }
}
millpond_sdk::export_scheme_0_2!(PpsPlus);
millpond_sdk::export_accrual_0_2!(PpsPlus);
