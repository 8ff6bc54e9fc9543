//! Everybody's rate, and another one for whoever stands in the operator's list: his number there, in hundredths of a percent.

use millpond_sdk::Settings as _;
use millpond_sdk::fee::{FeePolicy, Income, Settings, basis_points, kept, rate};

/// The policy.
pub struct ListedFee;

impl FeePolicy for ListedFee {
    fn schema() -> String {
        r#"{"type":"object","properties":{
        "basis_points":{"type":"integer","minimum":0,"maximum":10000,"default":100,"description":"everybody's rate"},
        "list":{"type":"string","default":"vip","description":"the list that has other rates"}}}"#
            .to_owned()
    }

    fn describe(settings: Settings) -> Result<Vec<String>, String> {
        Ok(vec![format!("list:{}", settings.text("list").unwrap_or("vip"))])
    }

    fn fees(
        settings: Settings,
        _: Income,
        _miner: Vec<u64>,
        amount: Vec<u64>,
        attributes: Vec<Vec<u64>>,
    ) -> Result<(Vec<u64>, Vec<u64>), String> {
        let usual = rate(&settings, "basis_points", 100)?;
        let listed = attributes.first().ok_or("the column that was asked for is missing")?;
        let fees = amount.iter().zip(listed).map(|(amount, own)| {
            // 0: he is not in the list.
            basis_points(*amount, if *own == 0 { usual } else { *own })
        });
        Ok(kept(fees.collect()))
    }
}
millpond_sdk::export_fee_policy!(ListedFee);
