//! PROP: the income is split by the work since the pool's previous income. Not hopping-proof (a share early in a
//! round is worth more): for research and for pools whose miners cannot hop. A lost block's round is lost.

use millpond_sdk::payout::{Edge, Measure, Span, Split, Window};

/// The scheme.
pub struct Prop;

impl Split for Prop {
    const WINDOW: Window = Window { span: Span::Round, measure: Measure::Work, edge: Edge::Whole };
}
millpond_sdk::export_scheme!(Prop);

#[cfg(test)]
mod tests {
    use super::Prop;
    use millpond_sdk::payout::{Income, Scheme, Span, State, Totals, claims};

    #[test]
    fn a_round_is_split_by_work_and_conserved_to_the_unit() {
        let window = Totals { miner: vec![1, 2, 3], low: vec![30, 3, 45], high: vec![0; 3] };
        for gross in [0, 1, 196, 197, 312_500_000, u64::MAX] {
            let income = Income { key: vec![1], gross, seq: 1, time_ms: 0, coord: 1, finder: None };
            let given = Prop::allocate(Vec::new(), income, vec![window.clone()], State::unchanged()).unwrap();
            assert_eq!(given.amount.iter().sum::<u64>() + given.rest, gross);
            assert_eq!(given.rest, 0);
        }
    }

    #[test]
    fn a_round_is_not_claimed_to_be_hopping_proof() {
        let terms = Prop::describe(Vec::new()).unwrap();
        assert_eq!(terms.windows.first().map(|window| window.span), Some(Span::Round));
        assert!(!terms.claims.iter().any(|claim| claim == claims::HOPPING_NEUTRAL));
    }
}
