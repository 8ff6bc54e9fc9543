//! A payout scheme: each income is split over the newest million shares, in proportion to their work.
//!
//! This is all that a scheme with one window needs. For more than that implement `millpond_sdk::payout::Scheme`
//! instead of `Split`: see plugins/pplns and plugins/pps.

use millpond_sdk::payout::{Edge, Measure, Span, Split, Window};

/// The scheme.
pub struct Plugin;

impl Split for Plugin {
    const WINDOW: Window =
        Window { span: Span::Shares(1_000_000), measure: Measure::Work, edge: Edge::Whole };
}
millpond_sdk::export_scheme!(Plugin);

#[cfg(test)]
mod tests {
    use super::Plugin;
    use millpond_sdk::payout::{Income, Scheme, State, Totals};

    #[test]
    fn an_income_is_split_by_work() {
        let window = Totals { miner: vec![1, 2], low: vec![30, 10], high: vec![0, 0] };
        let income = Income { key: vec![1], gross: 101, seq: 1, time_ms: 0, coord: 1, finder: None };
        let given = Plugin::allocate(Vec::new(), income, vec![window], State::unchanged()).unwrap();
        assert_eq!((given.amount, given.rest), (vec![75, 26], 0));
    }
}
