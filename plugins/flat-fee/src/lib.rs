//! A flat fee: the same part of every credit, in basis points (1/100 of a percent), rounded down in the miner's
//! favour. Who receives it, and in what proportions, is the operator's configuration.

use millpond_sdk::Settings as _;
use millpond_sdk::fee::{FeePolicy, Income, Settings, basis_points};

/// The policy.
pub struct FlatFee;

const SCHEMA: &str = r#"{"type":"object","properties":{
"basis_points":{"type":"integer","minimum":0,"maximum":10000,"default":100,"description":"The fee, in hundredths of a percent of every credit."}
},"additionalProperties":false}"#;

fn points(settings: &Settings) -> Result<u64, String> {
    match settings.uint_or("basis_points", 100)? {
        points @ 0..=10_000 => Ok(points),
        other => Err(format!("setting `basis_points` is {other}, it must be 0 to 10000")),
    }
}

impl FeePolicy for FlatFee {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Vec<String>, String> {
        points(&settings).map(|_| Vec::new())
    }

    fn fees(
        settings: Settings,
        _: Income,
        _: Vec<u64>,
        amount: Vec<u64>,
        _: Vec<Vec<u64>>,
    ) -> Result<(Vec<u64>, Vec<u64>), String> {
        let points = points(&settings)?;
        Ok((amount.iter().map(|amount| basis_points(*amount, points)).collect(), vec![0; amount.len()]))
    }
}
millpond_sdk::export_fee_policy!(FlatFee);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::Setting;

    fn fees(points: i64, amount: &[u64]) -> Result<Vec<u64>, String> {
        let settings = vec![("basis_points".to_owned(), Setting::Int(points))];
        let income = Income { key: vec![1], gross: 0, seq: 1, time_ms: 0, coord: 1, finder: None };
        let miners = (1..=amount.len() as u64).collect();
        FlatFee::fees(settings, income, miners, amount.to_vec(), Vec::new()).map(|(fee, rebate)| {
            assert!(rebate.iter().all(|rebate| *rebate == 0));
            fee
        })
    }

    #[test]
    fn a_fee_is_rounded_down_and_never_exceeds_the_credit() {
        assert_eq!(fees(150, &[10_000, 66, 1, u64::MAX]), Ok(vec![150, 0, 0, 276_701_161_105_643_274]));
        assert_eq!(fees(10_000, &[7, u64::MAX]), Ok(vec![7, u64::MAX]));
        assert_eq!(fees(0, &[7]), Ok(vec![0]));
    }

    #[test]
    fn a_fee_outside_its_range_is_refused_by_name() {
        assert!(fees(10_001, &[1]).unwrap_err().contains("`basis_points`"));
        assert!(fees(-1, &[1]).unwrap_err().contains("`basis_points`"));
    }
}
