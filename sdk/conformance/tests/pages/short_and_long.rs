//! Three quarters of an income go by the newest half of an expected block's work, one quarter by the newest four.

use millpond_sdk::payout::{
    Allocation, Edge, Income, Measure, Reversal, Scheme, Settings, Span, State, Terms, Totals, Window, claims,
};
use millpond_sdk::{NO_SETTINGS, cumulative, mul_div};
use std::collections::BTreeMap;

/// Each window's length in thousandths of the network's work, and its quarters of an income.
const WINDOWS: [(u64, u128); 2] = [(500, 3), (4000, 1)];

/// The scheme.
pub struct ShortAndLong;

impl Scheme for ShortAndLong {
    fn schema() -> String {
        NO_SETTINGS.to_owned()
    }

    fn describe(_: Settings) -> Result<Terms, String> {
        let window =
            |(length, _)| Window { span: Span::Work(length), measure: Measure::Units, edge: Edge::Split };
        let claims = [claims::PERMUTATION, claims::SCALE, claims::MONOTONE, claims::HOPPING_NEUTRAL];
        Ok(Terms {
            windows: WINDOWS.map(window).to_vec(),
            cells: 0,
            batch: 0,
            reversal: Reversal::Drop,
            reserve: false,
            claims: claims.map(str::to_owned).to_vec(),
            state_format: String::new(),
        })
    }

    fn allocate(_: Settings, income: Income, windows: Vec<Totals>, _: State) -> Result<Allocation, String> {
        let mut weights: BTreeMap<u64, u128> = BTreeMap::new();
        for (window, (_, quarters)) in windows.iter().zip(WINDOWS) {
            let sum = window.sum()?;
            for (miner, units) in window.rows() {
                // 2^62 is all of a window, whoever is in it and under whatever name.
                let part = mul_div(1 << 62, units, sum).unwrap_or(0);
                *weights.entry(miner).or_default() += quarters * u128::from(part);
            }
        }
        // Money is rounded here, once.
        let amounts = cumulative(income.gross, weights.values().copied())?;
        Allocation::of(income.gross, weights.keys().copied().zip(amounts))
    }
}
millpond_sdk::export_scheme!(ShortAndLong);
