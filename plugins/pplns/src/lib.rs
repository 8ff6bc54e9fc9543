//! Unit-PPLNS: a share weighs its work over the network's work at its submission (its units), and an income pays the
//! last X units, counted back from the share that found the block; the share on the far edge is divided. A share's
//! expected pay does not depend on the round's age or on a retarget ahead, so hopping earns nothing.
//!
//! Settings: `window` is X in thousandths (2000 = twice the network's difficulty). `unfilled` says what happens while
//! the pool is young and fewer than X units exist: `share` divides all of the income over what there is, `carry` pays
//! each unit 1/X and leaves the rest for later incomes (exactly hopping-proof from the first share).

use millpond_sdk::Settings as _;
use millpond_sdk::payout::{
    Allocation, Edge, Income, Measure, Reversal, Scheme, Settings, Span, State, Terms, Totals, Window, claims,
};
use millpond_sdk::{cumulative, mul_div};

/// The scheme.
pub struct UnitPplns;

const SCHEMA: &str = r#"{"type":"object","properties":{
"window":{"type":"integer","minimum":1,"maximum":1000000,"default":2000,"description":"The window X, in thousandths of the network's difficulty."},
"unfilled":{"type":"string","enum":["share","carry"],"default":"share","description":"While the pool has fewer units than the window: share the whole income over them, or carry the window's missing part to later incomes."}
},"additionalProperties":false}"#;

/// X in thousandths.
fn window(settings: &Settings) -> Result<u64, String> {
    match settings.uint_or("window", 2000)? {
        thousandths @ 1..=1_000_000 => Ok(thousandths),
        other => Err(format!("setting `window` is {other}, it must be 1 to 1000000 thousandths")),
    }
}

impl Scheme for UnitPplns {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let claims =
            [claims::PERMUTATION, claims::SPLIT, claims::SCALE, claims::MONOTONE, claims::HOPPING_NEUTRAL];
        Ok(Terms {
            windows: vec![Window {
                span: Span::Work(window(&settings)?),
                measure: Measure::Units,
                edge: Edge::Split,
            }],
            cells: 0,
            batch: 0,
            reversal: Reversal::Drop,
            reserve: false,
            claims: claims.map(str::to_owned).to_vec(),
            state_format: String::new(),
        })
    }

    fn allocate(s: Settings, income: Income, windows: Vec<Totals>, _: State) -> Result<Allocation, String> {
        let units = windows.first().ok_or("no window was given, one was declared")?;
        // 2^64 is one unit.
        let full = (u128::from(window(&s)?) << 64) / 1000;
        let paid = match (s.text("unfilled").unwrap_or("share"), units.sum()?) {
            ("carry", sum) if sum < full => mul_div(income.gross, sum, full).unwrap_or(0),
            ("carry" | "share", _) => income.gross,
            (other, _) => return Err(format!("setting `unfilled` is {other:?}, it must be share or carry")),
        };
        let amounts = cumulative(paid, units.rows().map(|(_, sum)| sum))?;
        Allocation::of(income.gross, units.miner.iter().copied().zip(amounts))
    }
}
millpond_sdk::export_scheme!(UnitPplns);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::Setting;

    /// Units in thousandths per miner.
    fn pay(settings: &Settings, gross: u64, thousandths: &[(u64, u128)]) -> Result<Allocation, String> {
        let units: Vec<u128> = thousandths.iter().map(|row| (row.1 << 64) / 1000).collect();
        let window = Totals {
            miner: thousandths.iter().map(|row| row.0).collect(),
            low: units.iter().map(|sum| *sum as u64).collect(),
            high: units.iter().map(|sum| (sum >> 64) as u64).collect(),
        };
        let income = Income { key: vec![1], gross, seq: 1, time_ms: 0, coord: 1, finder: None };
        UnitPplns::allocate(settings.clone(), income, vec![window], State::unchanged())
    }

    fn carry() -> Settings {
        vec![("unfilled".into(), Setting::Text("carry".into()))]
    }

    #[test]
    fn a_full_window_pays_the_income_by_units() {
        let given = pay(&Vec::new(), 1000, &[(1, 500), (2, 1500)]).unwrap();
        assert_eq!((given.amount, given.rest), (vec![250, 750], 0));
    }

    #[test]
    fn a_young_pool_shares_or_carries_the_missing_part() {
        let shared = pay(&Vec::new(), 1000, &[(1, 125), (2, 375)]).unwrap();
        assert_eq!((shared.amount, shared.rest), (vec![250, 750], 0));
        // Half a unit of a window of two: each unit pays half of the income.
        let carried = pay(&carry(), 1000, &[(1, 125), (2, 375)]).unwrap();
        assert_eq!((carried.amount, carried.rest), (vec![62, 188], 750));
    }

    #[test]
    fn a_share_is_paid_the_same_whatever_else_is_in_a_full_window() {
        let alone = pay(&carry(), 1_000_000, &[(1, 200), (2, 1800)]).unwrap();
        let among = pay(&carry(), 1_000_000, &[(1, 200), (3, 900), (4, 900)]).unwrap();
        assert_eq!(alone.amount.first(), among.amount.first());
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let bad = vec![("window".into(), Setting::Int(0))];
        assert!(UnitPplns::describe(bad).unwrap_err().contains("`window`"));
        let bad = vec![("unfilled".into(), Setting::Text("burn".into()))];
        assert!(pay(&bad, 1, &[(1, 1)]).unwrap_err().contains("`unfilled`"));
    }
}
