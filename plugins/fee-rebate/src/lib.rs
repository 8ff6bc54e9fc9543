//! A fee with rebates: everybody is charged the standard rate, and who is on a list gets a part of his own fee back. The
//! list is the operator's, from wherever he has it: holders of a token, partners, friends.

use millpond_sdk::Settings as _;
use millpond_sdk::fee::{FeePolicy, Income, Settings, basis_points, rate};

/// The policy.
pub struct FeeRebate;

const SCHEMA: &str = r#"{"type":"object","properties":{
"basis_points":{"type":"integer","minimum":0,"maximum":10000,"default":100,"description":"The fee, in hundredths of a percent of every credit."},
"list":{"type":"string","default":"rebate","description":"The list of what each miner gets back, in basis points of his fee (`millpond list set`); who is not in it gets nothing back."}
},"additionalProperties":false}"#;

fn points(settings: &Settings) -> Result<u64, String> {
    rate(settings, "basis_points", 100)
}

impl FeePolicy for FeeRebate {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Vec<String>, String> {
        points(&settings)?;
        Ok(vec![format!("list:{}", settings.text("list").unwrap_or("rebate"))])
    }

    fn fees(
        settings: Settings,
        _: Income,
        _: Vec<u64>,
        amount: Vec<u64>,
        attributes: Vec<Vec<u64>>,
    ) -> Result<(Vec<u64>, Vec<u64>), String> {
        let points = points(&settings)?;
        let tiers = attributes.first().ok_or("the list of rebates is missing")?;
        let fee: Vec<u64> = amount.iter().map(|amount| basis_points(*amount, points)).collect();
        let rebate = fee.iter().zip(tiers).map(|(fee, part)| basis_points(*fee, *part)).collect();
        Ok((fee, rebate))
    }
}
millpond_sdk::export_fee_policy!(FeeRebate);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::Setting;

    fn income() -> Income {
        Income { key: vec![1], gross: 0, seq: 1, time_ms: 0, coord: 1, finder: None }
    }

    #[test]
    fn a_rebate_is_a_part_of_the_fee_rounded_down_twice() {
        let settings = vec![("basis_points".to_owned(), Setting::Int(75))];
        let (amount, tiers) =
            (vec![10_000, 10_000, 10_000, 999, u64::MAX], vec![vec![0, 3_300, 10_000, 10_000, u64::MAX]]);
        let (fee, rebate) = FeeRebate::fees(settings, income(), vec![1, 2, 3, 4, 5], amount, tiers).unwrap();
        let most = 138_350_580_552_821_637;
        assert_eq!((fee, rebate), (vec![75, 75, 75, 7, most], vec![0, 24, 75, 7, most]));
    }

    #[test]
    fn the_list_is_the_settings() {
        assert_eq!(FeeRebate::describe(Vec::new()), Ok(vec!["list:rebate".to_owned()]));
        let wrong = vec![("basis_points".to_owned(), Setting::Int(-1))];
        assert!(FeeRebate::describe(wrong).unwrap_err().contains("`basis_points`"));
    }
}
