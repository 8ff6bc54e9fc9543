//! The incentive-compatible reward of Schrijvers, Bonneau, Boneh and Roughgarden: a round is paid proportionally once
//! it is as long as an expected block. In a shorter one each share is paid what it would be worth in an expected
//! round, and what is left over goes to the finder. With b_i the units of a miner in the round and n those of all:
//!
//! `R_i = b_i / max(n, 1) + [i found the block] * (1 - n / max(n, 1))`
//!
//! Holding a block back earns nobody more than the time costs him. In a proportional round it may: a share of a short
//! round is worth more than its units, and who was unlucky in it waits until his part is larger. Here a share is never
//! worth more than its units. Leaving old rounds still pays, as with every round: no proof against hopping is claimed.
//!
//! One apportionment gives every part: a short round's missing units are the finder's. Without a known finder they
//! stay as rest, which the host carries to the next income.
//!
//! Source: Incentive Compatibility of Bitcoin Mining Pool Reward Functions, Financial Cryptography 2016.

use millpond_sdk::payout::{
    Allocation, Edge, Income, Measure, Reversal, Scheme, Settings, Span, State, Terms, Totals, Window, claims,
};
use millpond_sdk::{cumulative, mul_div};

/// The scheme.
pub struct IncentiveCompatible;

/// An expected block, in units.
const BLOCK: u128 = 1 << 64;

impl Scheme for IncentiveCompatible {
    fn schema() -> String {
        millpond_sdk::NO_SETTINGS.to_owned()
    }

    fn describe(_: Settings) -> Result<Terms, String> {
        Ok(Terms {
            windows: vec![
                Window { span: Span::Round, measure: Measure::Units, edge: Edge::Whole },
                Window { span: Span::Finder, measure: Measure::Work, edge: Edge::Whole },
            ],
            cells: 0,
            batch: 0,
            reversal: Reversal::Drop,
            reserve: false,
            claims: [claims::PERMUTATION, claims::SPLIT, claims::MONOTONE].map(str::to_owned).to_vec(),
            state_format: String::new(),
        })
    }

    fn allocate(_: Settings, income: Income, windows: Vec<Totals>, _: State) -> Result<Allocation, String> {
        let [round, finder] = windows.as_slice() else {
            return Err(format!("{} windows were given, two were declared", windows.len()));
        };
        let total = round.sum()?;
        // What the round lacks of an expected block, and so what the finder is weighed with beside his units.
        let lacking = BLOCK.saturating_sub(total);
        let mut weights: Vec<(u64, u128)> = round.rows().collect();
        let paid = match finder.miner.first().copied() {
            _ if lacking == 0 => income.gross,
            None => mul_div(income.gross, total, BLOCK).unwrap_or(0),
            Some(finder) => {
                match weights.binary_search_by_key(&finder, |row| row.0) {
                    Ok(at) => {
                        if let Some(row) = weights.get_mut(at) {
                            // The weights of all are one block then.
                            row.1 = row.1.saturating_add(lacking);
                        }
                    }
                    Err(at) => weights.insert(at, (finder, lacking)),
                }
                income.gross
            }
        };
        let amounts = cumulative(paid, weights.iter().map(|row| row.1))?;
        Allocation::of(income.gross, weights.iter().map(|row| row.0).zip(amounts))
    }
}
millpond_sdk::export_scheme!(IncentiveCompatible);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_scheme_history::{
        Page, pays,
        properties::{Case, cases, holds_at_the_ends},
    };
    use proptest::prelude::*;

    const PAGE: Page = Page(include_str!("../../../docs/schemes/incentive-compatible.md"));
    const ALL: Page = Page(include_str!("../../../docs/schemes/README.md"));

    /// Units in quarters of a block.
    fn pay(gross: u64, quarters: &[(u64, u128)], finder: Option<u64>) -> Allocation {
        let sums = quarters.iter().map(|row| (row.0, row.1 << 62)).collect();
        Case { gross, sums, finder }.ask::<IncentiveCompatible>(&Settings::new())
    }

    #[test]
    fn the_page_says_what_is_paid_claimed_and_set() {
        PAGE.describes::<IncentiveCompatible>();
        ALL.sums_up("incentive-compatible", &pays::<IncentiveCompatible>(&Settings::new()));
        PAGE.works_out("## Worked example", &pays::<IncentiveCompatible>(&Settings::new()));
    }

    #[test]
    fn the_history_is_paid_as_by_hand() {
        let paid = pays::<IncentiveCompatible>(&Settings::new());
        let amounts: Vec<_> = paid.iter().map(|block| block.amounts).collect();
        // Rounds of 2, 1/2, 3, 9/4 and 3/4 of a block.
        assert_eq!(amounts, [[250, 500, 250], [1000, 0, 0], [166, 500, 334], [666, 222, 112], [0, 750, 250]]);
    }

    #[test]
    fn a_short_round_gives_what_it_lacks_to_the_finder() {
        let given = pay(1000, &[(1, 1), (2, 1)], Some(2));
        assert_eq!((given.amount, given.rest), (vec![250, 750], 0));
        // Exactly an expected block, and one more: nothing is lacking.
        assert_eq!(pay(1000, &[(1, 2), (2, 2)], Some(2)).amount, [500, 500]);
        assert_eq!(pay(1000, &[(1, 2), (2, 6)], Some(2)).amount, [250, 750]);
    }

    #[test]
    fn without_a_finder_what_a_short_round_lacks_stays() {
        let given = pay(1000, &[(1, 1), (2, 1)], None);
        assert_eq!((given.amount, given.rest), (vec![250, 250], 500));
        assert_eq!(pay(1000, &[(1, 4)], None).rest, 0);
        assert_eq!(pay(1000, &[], None).rest, 1000);
    }

    #[test]
    fn a_finder_without_work_in_the_round_gets_what_it_lacks() {
        for finder in [1, 3, 9] {
            let given = pay(1000, &[(2, 1), (4, 1)], Some(finder));
            let at = given.miner.binary_search(&finder).unwrap();
            assert_eq!((given.amount[at], given.rest), (500, 0), "{given:?}");
        }
        assert_eq!(pay(77, &[], Some(5)).amount, [77]);
    }

    #[test]
    fn a_share_of_the_finder_is_worth_nothing_more_while_the_round_is_short() {
        // A block that is held back for another share earns the same: no gain in delay.
        let at = |quarters| pay(1 << 40, &[(1, quarters), (2, 1)], Some(1)).amount[0];
        assert_eq!([at(1), at(2), at(3)], [3 << 38; 3]);
        assert!(at(4) > at(3));
    }

    /// The condition of the paper's first lemma: what one more share brings who holds a block, on average over whose
    /// it is, against what that share's time is worth.
    #[test]
    fn waiting_with_a_block_never_pays_as_it_does_in_a_proportional_round() {
        const SHARES_PER_BLOCK: u64 = 16;
        const GROSS: u64 = 1 << 40;
        let ours = |own: u64, others: u64| {
            let rows = [(1, u128::from(own) << 60), (2, u128::from(others) << 60)];
            let sums = rows.into_iter().filter(|row| row.1 > 0).collect();
            let given =
                Case { gross: GROSS, sums, finder: Some(1) }.ask::<IncentiveCompatible>(&Settings::new());
            given.amount[0]
        };
        let proportional = |own: u64, others: u64| GROSS * own / (own + others);
        // Four times the gain of miner 1, who has so many quarters of the hashrate.
        let gain = |pays: &dyn Fn(u64, u64) -> u64, quarters: u64, own: u64, others: u64| {
            let after = quarters * pays(own + 1, others) + (4 - quarters) * pays(own, others + 1);
            let cost = quarters * GROSS / SHARES_PER_BLOCK;
            after as i64 - 4 * pays(own, others) as i64 - cost as i64
        };
        for quarters in 1..4 {
            for (own, others) in (1..40).flat_map(|own| (0..40).map(move |others| (own, others))) {
                let more = gain(&ours, quarters, own, others);
                // Each of the amounts is rounded.
                assert!(more <= 8, "{quarters}/4 of the hashrate, {own} and {others} shares: {more}");
            }
        }
        assert!(gain(&proportional, 3, 1, 3) > GROSS as i64 / 10);
    }

    #[test]
    fn the_ends_of_the_integers_are_conserved_and_nothing_is_left_over_by_rounding() {
        holds_at_the_ends::<IncentiveCompatible>(&Settings::new());
        let rows: [&[(u64, u128)]; 6] = [
            &[(1, 1)],
            &[(1, BLOCK - 1)],
            &[(1, BLOCK)],
            &[(1, BLOCK / 2), (2, BLOCK / 2 - 1)],
            &[(1, u128::MAX)],
            &[(1, u128::MAX / 2), (u64::MAX, u128::MAX / 2)],
        ];
        for gross in [0, 1, 2, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            for rows in rows {
                for finder in [None, Some(1), Some(2)] {
                    let case = Case { gross, sums: rows.iter().copied().collect(), finder };
                    let given = case.ask::<IncentiveCompatible>(&Settings::new());
                    assert!(given.rest == 0 || finder.is_none(), "{case:?}: {given:?}");
                }
            }
        }
        let income = Income { key: vec![1], gross: 1, seq: 1, time_ms: 0, coord: 1, finder: None };
        let none = IncentiveCompatible::allocate(Settings::new(), income, Vec::new(), State::unchanged());
        assert!(none.unwrap_err().starts_with("0 windows were given"));
    }

    #[test]
    fn what_does_not_hold_is_not_claimed() {
        let claimed = IncentiveCompatible::describe(Settings::new()).unwrap().claims;
        for name in [claims::HOPPING_NEUTRAL, claims::SCALE, claims::SHARE_ONCE] {
            assert!(!claimed.iter().any(|claim| claim == name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_claim_holds(case in cases(), turn in 0..16_u64, who: u16, part: u8, more: u64) {
            let settings = Settings::new();
            case.ask::<IncentiveCompatible>(&settings);
            case.is_the_same_renamed::<IncentiveCompatible>(&settings, turn);
            case.is_the_same_split::<IncentiveCompatible>(&settings, who.into(), part);
            case.pays_more_for_more::<IncentiveCompatible>(&settings, who.into(), more);
        }
    }
}
