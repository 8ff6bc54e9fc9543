//! A fee policy: one percent of what the scheme gave to each miner.

use millpond_sdk::Settings as _;
use millpond_sdk::fee::{FeePolicy, Income, Settings, basis_points};

/// The policy.
pub struct Plugin;

impl FeePolicy for Plugin {
    fn schema() -> String {
        r#"{"type":"object","properties":{"basis_points":{"type":"integer","minimum":0,"maximum":10000,"default":100,
        "description":"the fee in hundredths of a percent"}}}"#
            .to_owned()
    }

    fn describe(_: Settings) -> Result<Vec<String>, String> {
        // Names of columns wanted in `attributes`: none.
        Ok(Vec::new())
    }

    fn fees(
        settings: Settings,
        _income: Income,
        _miner: Vec<u64>,
        amount: Vec<u64>,
        _attributes: Vec<Vec<u64>>,
    ) -> Result<(Vec<u64>, Vec<u64>), String> {
        let points = settings.uint_or("basis_points", 100)?;
        let fee: Vec<u64> = amount.iter().map(|amount| basis_points(*amount, points)).collect();
        let rebate = vec![0; fee.len()];
        Ok((fee, rebate))
    }
}
millpond_sdk::export_fee_policy!(Plugin);

#[cfg(test)]
mod tests {
    use super::Plugin;
    use millpond_sdk::fee::{FeePolicy, Income};

    #[test]
    fn one_percent_is_taken_and_rounded_down() {
        let income = Income { key: vec![1], gross: 1_000, seq: 1, time_ms: 0, coord: 1, finder: None };
        let fees = Plugin::fees(Vec::new(), income, vec![1, 2], vec![901, 99], Vec::new()).unwrap();
        assert_eq!(fees, (vec![9, 0], vec![0, 0]));
    }
}
