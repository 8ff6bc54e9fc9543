//! The double geometric method: a share's score decays with every share and, by the part that `o_bp` leaves, with every
//! block. Each share's mean pay is `(1 - f)(1 - c)` of its expected value whenever it comes: there is nothing to gain by
//! coming and going. What a block brings beyond the scores' parts is the operator's, what it lacks comes out of his
//! reserve: he bears a part of the luck.

use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Income, Scheme, Settings, State, Terms, Totals, claims, number,
};
use millpond_sdk::score::{CELLS, FORMAT, Rule};

/// The scheme.
pub struct Dgm;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "c_bp": {
      "type": "integer", "minimum": 100, "maximum": 5000, "default": 3000,
      "description": "The operator's mean part of what a share is worth, in ten-thousandths; he gets it in good luck and pays it in bad."
    },
    "o_bp": {
      "type": "integer", "minimum": 0, "maximum": 9000, "default": 7000,
      "description": "What a block leaves of each score, in ten-thousandths: the more, the less a share's pay varies and the longer it takes. 0 is the geometric method, and needs no reserve."
    },
    "f_ppm": {
      "type": "integer", "minimum": -100000, "maximum": 500000, "default": 0,
      "description": "A fixed fee of what the scores would be paid, in millionths; below 0 it is added. The mean fee of all is c + f - c f."
    }
  },
  "additionalProperties": false
}"#;

/// The rule under these settings, and whether it draws on the reserve.
fn rule(settings: &Settings) -> Result<(Rule, bool), String> {
    let [c, o] = [("c_bp", 3000), ("o_bp", 7000)].map(|(name, or)| number(settings, name, or));
    let unsigned =
        |number: i64| u64::try_from(number).map_err(|_| "c_bp and o_bp are not below 0".to_owned());
    Ok((Rule::new(unsigned(c)?, unsigned(o)?, number(settings, "f_ppm", 0))?, o > 0))
}

impl Scheme for Dgm {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let (_, reserve) = rule(&settings)?;
        let mut claimed = vec![
            claims::PERMUTATION,
            claims::SPLIT,
            claims::SCALE,
            claims::MONOTONE,
            claims::HOPPING_NEUTRAL,
            claims::OWED,
        ];
        if !reserve {
            claimed.extend([claims::SHARE_ONCE, claims::NO_DEFICIT]);
        }
        Ok(Terms { reserve, operator_most: 1_000_000, ..Terms::of_cells(CELLS, FORMAT, &claimed) })
    }

    fn allocate(s: Settings, income: Income, _: Vec<Totals>, state: State) -> Result<Allocation, String> {
        rule(&s)?.0.allocate(&income, &state)
    }
}

impl Accrual for Dgm {
    fn accrue(settings: Settings, batch: Batch, state: State) -> Result<Allocation, String> {
        rule(&settings)?.0.accrue(&batch, &state)
    }
}
millpond_sdk::export_scheme_0_2!(Dgm);
millpond_sdk::export_accrual_0_2!(Dgm);
