//! A fee with a part for each worker: what a connection costs the pool is paid by who opens it. Within the amount, and
//! within a cap of the operator's.

use millpond_sdk::Settings as _;
use millpond_sdk::fee::{FeePolicy, Income, Settings, basis_points, kept, rate};

/// The policy.
pub struct FeeWorkers;

const SCHEMA: &str = r#"{"type":"object","properties":{
"basis_points":{"type":"integer","minimum":0,"maximum":10000,"default":100,"description":"The fee, in hundredths of a percent of every credit."},
"per_worker":{"type":"integer","minimum":0,"default":0,"description":"What each of a miner's workers of the last hour costs more, in units, at every credit."},
"most_basis_points":{"type":"integer","minimum":0,"maximum":10000,"default":1000,"description":"No fee is more than this part of its credit."}
},"additionalProperties":false}"#;

struct Rule {
    points: u64,
    per_worker: u64,
    most: u64,
}

fn rule(settings: &Settings) -> Result<Rule, String> {
    Ok(Rule {
        points: rate(settings, "basis_points", 100)?,
        per_worker: settings.uint_or("per_worker", 0)?,
        most: rate(settings, "most_basis_points", 1_000)?,
    })
}

impl FeePolicy for FeeWorkers {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Vec<String>, String> {
        rule(&settings).map(|_| vec!["workers".to_owned()])
    }

    fn fees(
        settings: Settings,
        _: Income,
        _: Vec<u64>,
        amount: Vec<u64>,
        attributes: Vec<Vec<u64>>,
    ) -> Result<(Vec<u64>, Vec<u64>), String> {
        let rule = rule(&settings)?;
        let workers = attributes.first().ok_or("the column of workers is missing")?;
        let one = |(amount, workers): (&u64, &u64)| {
            let base = basis_points(*amount, rule.points);
            base.saturating_add(rule.per_worker.saturating_mul(*workers))
                .min(basis_points(*amount, rule.most))
        };
        let fee: Vec<u64> = amount.iter().zip(workers).map(one).collect();
        Ok(kept(fee))
    }
}
millpond_sdk::export_fee_policy!(FeeWorkers);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::Setting;

    fn income() -> Income {
        Income { key: vec![1], gross: 0, seq: 1, time_ms: 0, coord: 1, finder: None }
    }

    fn with(of: &[(&str, i64)]) -> Settings {
        of.iter().map(|(name, value)| ((*name).to_owned(), Setting::Int(*value))).collect()
    }

    #[test]
    fn each_worker_costs_and_the_cap_holds() {
        let settings = with(&[("basis_points", 100), ("most_basis_points", 500), ("per_worker", 7)]);
        let fees = |amount: u64, workers: u64| {
            FeeWorkers::fees(settings.clone(), income(), vec![1], vec![amount], vec![vec![workers]])
                .unwrap()
                .0
        };
        assert_eq!(
            (fees(10_000, 0), fees(10_000, 3), fees(10_000, 1_000)),
            (vec![100], vec![121], vec![500])
        );
        assert_eq!((fees(1, 3), fees(u64::MAX, u64::MAX)), (vec![0], vec![922_337_203_685_477_580]));
    }

    #[test]
    fn a_rate_outside_its_range_is_refused_by_name() {
        for (name, value) in [("basis_points", 10_001), ("most_basis_points", -1), ("per_worker", -1)] {
            assert!(FeeWorkers::describe(with(&[(name, value)])).unwrap_err().contains(name), "{name}");
        }
    }
}
