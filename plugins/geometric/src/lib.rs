//! The geometric method: a share's score decays with every share, and a block pays each score its part and clears them all.
//! Each share's mean pay is `(1 - f)(1 - c)` of its expected value, at whatever age of the round it comes: there is nothing
//! to gain by coming and going. A block never pays more than it brings; the rest is the operator's.

use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Income, Scheme, Settings, State, Terms, Totals, claims, number,
};
use millpond_sdk::score::{CELLS, FORMAT, Rule};

/// The scheme.
pub struct Geometric;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "c_bp": {
      "type": "integer", "minimum": 100, "maximum": 5000, "default": 500,
      "description": "The operator's mean part of a block, in ten-thousandths: little of a long round, all that a short one's shares do not earn."
    },
    "f_ppm": {
      "type": "integer", "minimum": 0, "maximum": 500000, "default": 0,
      "description": "A fixed fee of what the scores would be paid, in millionths. The mean fee of all is c + f - c f."
    }
  },
  "additionalProperties": false
}"#;

fn rule(settings: &Settings) -> Result<Rule, String> {
    let c = u64::try_from(number(settings, "c_bp", 500)).map_err(|_| "c_bp is not below 0")?;
    Rule::new(c, 0, number(settings, "f_ppm", 0))
}

impl Scheme for Geometric {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        rule(&settings)?;
        let claimed = [
            claims::PERMUTATION,
            claims::SPLIT,
            claims::SCALE,
            claims::MONOTONE,
            claims::SHARE_ONCE,
            claims::HOPPING_NEUTRAL,
            claims::OWED,
            claims::NO_DEFICIT,
        ];
        Ok(Terms { operator_most: 1_000_000, ..Terms::of_cells(CELLS, FORMAT, &claimed) })
    }

    fn allocate(s: Settings, income: Income, _: Vec<Totals>, state: State) -> Result<Allocation, String> {
        rule(&s)?.allocate(&income, &state)
    }
}

impl Accrual for Geometric {
    fn accrue(settings: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        rule(&settings)?.accrue(&batch, &state)
    }
}
millpond_sdk::export_scheme_0_2!(Geometric);
millpond_sdk::export_accrual_0_2!(Geometric);
