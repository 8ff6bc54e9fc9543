//! A fee until the reserve is full: the operator of a scheme that pays each share at once builds what it pays from. With
//! `to_reserve = true` in its section what it takes goes there; at the target it takes nothing more.

use millpond_sdk::Settings as _;
use millpond_sdk::fee::{FeePolicy, Income, Settings, basis_points, kept, rate};

/// The policy.
pub struct FeeReserve;

const SCHEMA: &str = r#"{"type":"object","properties":{
"basis_points":{"type":"integer","minimum":0,"maximum":10000,"default":100,"description":"The fee while the reserve is below its target, in hundredths of a percent of every credit."},
"target":{"type":"integer","minimum":0,"default":0,"description":"What the reserve is to hold, in units; 0 for a fee without an end."}
},"additionalProperties":false}"#;

fn rule(settings: &Settings) -> Result<(u64, u64), String> {
    Ok((rate(settings, "basis_points", 100)?, settings.uint_or("target", 0)?))
}

impl FeePolicy for FeeReserve {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Vec<String>, String> {
        rule(&settings).map(|_| vec!["reserve".to_owned()])
    }

    fn fees(
        settings: Settings,
        _: Income,
        _: Vec<u64>,
        amount: Vec<u64>,
        attributes: Vec<Vec<u64>>,
    ) -> Result<(Vec<u64>, Vec<u64>), String> {
        let (points, target) = rule(&settings)?;
        let reserve = attributes.first().ok_or("the column of the reserve is missing")?;
        // The same for everybody: what the reserve holds before this credit.
        let one = |(amount, reserve): (&u64, &u64)| {
            if target == 0 || *reserve < target { basis_points(*amount, points) } else { 0 }
        };
        let fee: Vec<u64> = amount.iter().zip(reserve).map(one).collect();
        Ok(kept(fee))
    }
}
millpond_sdk::export_fee_policy!(FeeReserve);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::Setting;

    fn income() -> Income {
        Income { key: vec![1], gross: 0, seq: 1, time_ms: 0, coord: 1, finder: None }
    }

    #[test]
    fn it_takes_until_the_target_is_reached() {
        let settings = |target: i64| {
            vec![("basis_points".to_owned(), Setting::Int(200)), ("target".to_owned(), Setting::Int(target))]
        };
        let fees = |target, reserve| {
            FeeReserve::fees(settings(target), income(), vec![1], vec![1_000], vec![vec![reserve]]).unwrap().0
        };
        assert_eq!((fees(500, 499), fees(500, 500), fees(0, u64::MAX)), (vec![20], vec![0], vec![20]));
        assert!(FeeReserve::describe(settings(-1)).unwrap_err().contains("`target`"));
    }
}
