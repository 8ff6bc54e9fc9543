//! Donations: each miner gives the part that he chose, and who chose nothing gives nothing. The choices are a list of
//! basis points; who receives is the operator's configuration.

use millpond_sdk::Settings as _;
use millpond_sdk::fee::{FeePolicy, Income, Settings, basis_points, kept, rate};

/// The policy.
pub struct FeeDonation;

const SCHEMA: &str = r#"{"type":"object","properties":{
"list":{"type":"string","default":"donation","description":"The list of what each miner gives, in basis points of his credits (`millpond list set`)."},
"most_basis_points":{"type":"integer","minimum":0,"maximum":10000,"default":10000,"description":"Nobody gives more than this, whatever he chose."}
},"additionalProperties":false}"#;

fn most(settings: &Settings) -> Result<u64, String> {
    rate(settings, "most_basis_points", 10_000)
}

impl FeePolicy for FeeDonation {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Vec<String>, String> {
        most(&settings)?;
        Ok(vec![format!("list:{}", settings.text("list").unwrap_or("donation"))])
    }

    fn fees(
        settings: Settings,
        _: Income,
        _: Vec<u64>,
        amount: Vec<u64>,
        attributes: Vec<Vec<u64>>,
    ) -> Result<(Vec<u64>, Vec<u64>), String> {
        let most = most(&settings)?;
        let chosen = attributes.first().ok_or("the list of donations is missing")?;
        let fee: Vec<u64> = amount
            .iter()
            .zip(chosen)
            .map(|(amount, points)| basis_points(*amount, most.min(*points)))
            .collect();
        Ok(kept(fee))
    }
}
millpond_sdk::export_fee_policy!(FeeDonation);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::Setting;

    fn income() -> Income {
        Income { key: vec![1], gross: 0, seq: 1, time_ms: 0, coord: 1, finder: None }
    }

    #[test]
    fn each_gives_what_he_chose_and_no_more_than_the_most() {
        let settings = vec![("most_basis_points".to_owned(), Setting::Int(5_000))];
        let (amount, chosen) = (vec![1_000, 1_000, 1_000, 99], vec![vec![0, 50, 20_000, 100]]);
        let fees = FeeDonation::fees(settings, income(), vec![1, 2, 3, 4], amount, chosen);
        assert_eq!(fees, Ok((vec![0, 5, 500, 0], vec![0; 4])));
    }

    #[test]
    fn the_list_is_the_settings() {
        assert_eq!(FeeDonation::describe(Vec::new()), Ok(vec!["list:donation".to_owned()]));
        let other = vec![("list".to_owned(), Setting::Text("charity".to_owned()))];
        assert_eq!(FeeDonation::describe(other), Ok(vec!["list:charity".to_owned()]));
        let wrong = vec![("most_basis_points".to_owned(), Setting::Int(10_001))];
        assert!(FeeDonation::describe(wrong).unwrap_err().contains("`most_basis_points`"));
    }
}
