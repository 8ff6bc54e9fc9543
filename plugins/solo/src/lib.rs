//! SOLO: the miner who found the block gets the income. Without a known finder all of it stays as rest, which the
//! host keeps for the miners.

use millpond_sdk::payout::{Edge, Measure, Span, Split, Window};

/// The scheme.
pub struct Solo;

impl Split for Solo {
    const WINDOW: Window = Window { span: Span::Finder, measure: Measure::Work, edge: Edge::Whole };
}
millpond_sdk::export_scheme!(Solo);

#[cfg(test)]
mod tests {
    use super::Solo;
    use millpond_sdk::payout::{Income, Scheme, State, Totals};

    fn allocate(miner: Vec<u64>) -> (Vec<u64>, Vec<u64>, u64) {
        let window = Totals { low: vec![4; miner.len()], high: vec![0; miner.len()], miner };
        let income = Income { key: vec![1], gross: 5000, seq: 1, time_ms: 0, coord: 1, finder: Some(7) };
        let given = Solo::allocate(Vec::new(), income, vec![window], State::unchanged()).unwrap();
        (given.miner, given.amount, given.rest)
    }

    #[test]
    fn the_finder_gets_everything() {
        assert_eq!(allocate(vec![7]), (vec![7], vec![5000], 0));
    }

    #[test]
    fn an_income_without_a_finder_stays_as_rest() {
        assert_eq!(allocate(vec![]), (vec![], vec![], 5000));
    }
}
