//! PPLNS with a bonus for the finder: whoever's share found the block gets `bonus` thousandths of the income, and the
//! rest is split over the last X units as `pplns` splits it, the finder's own shares among them. A unit is a share's
//! work over the network's work at its submission; the share on the far edge is divided.
//!
//! A share finds a block with the probability of its units, so that the bonus is fair to every share on average; it
//! adds to the variance, of small miners most. Who withholds blocks loses it. Source: forrestv's p2pool, which gives
//! 1/200 of the subsidy to the finder and splits 199/200.
//!
//! Without a known finder (an income that is no block of the pool's) there is no bonus: all of it is split.

use millpond_sdk::Settings as _;
use millpond_sdk::payout::{
    Allocation, Edge, Income, Measure, Reversal, Scheme, Settings, Span, State, Terms, Totals, Window, claims,
};
use millpond_sdk::{cumulative, mul_div};

/// The scheme.
pub struct FinderBonus;

const SCHEMA: &str = r#"{"type":"object","properties":{
"bonus":{"type":"integer","minimum":0,"maximum":500,"default":10,"description":"The finder's bonus, in thousandths of the income."},
"window":{"type":"integer","minimum":1,"maximum":1000000,"default":2000,"description":"The window X that splits the rest, in thousandths of the network's difficulty."}
},"additionalProperties":false}"#;

/// The bonus in thousandths.
fn bonus(settings: &Settings) -> Result<u64, String> {
    match settings.uint_or("bonus", 10)? {
        thousandths @ 0..=500 => Ok(thousandths),
        other => Err(format!("setting `bonus` is {other}, it must be 0 to 500 thousandths")),
    }
}

/// X in thousandths.
fn window(settings: &Settings) -> Result<u64, String> {
    match settings.uint_or("window", 2000)? {
        thousandths @ 1..=1_000_000 => Ok(thousandths),
        other => Err(format!("setting `window` is {other}, it must be 1 to 1000000 thousandths")),
    }
}

impl Scheme for FinderBonus {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        bonus(&settings)?;
        let span = Span::Work(window(&settings)?);
        let claims =
            [claims::PERMUTATION, claims::SPLIT, claims::SCALE, claims::MONOTONE, claims::HOPPING_NEUTRAL];
        Ok(Terms {
            windows: vec![
                Window { span, measure: Measure::Units, edge: Edge::Split },
                Window { span: Span::Finder, measure: Measure::Work, edge: Edge::Whole },
            ],
            cells: 0,
            batch: 0,
            reversal: Reversal::Drop,
            reserve: false,
            claims: claims.map(str::to_owned).to_vec(),
            state_format: String::new(),
        })
    }

    fn allocate(s: Settings, income: Income, windows: Vec<Totals>, _: State) -> Result<Allocation, String> {
        let [units, finder] = windows.as_slice() else {
            return Err(format!("{} windows were given, two were declared", windows.len()));
        };
        let finder = finder.miner.first().copied();
        let extra = match finder {
            Some(_) => mul_div(income.gross, bonus(&s)?.into(), 1000).unwrap_or(0),
            None => 0,
        };
        let split = cumulative(income.gross.saturating_sub(extra), units.rows().map(|(_, sum)| sum))?;
        let mut pay: Vec<(u64, u64)> = units.miner.iter().copied().zip(split).collect();
        if let Some(finder) = finder {
            match pay.binary_search_by_key(&finder, |row| row.0) {
                Ok(at) => {
                    if let Some(row) = pay.get_mut(at) {
                        row.1 = row.1.saturating_add(extra);
                    }
                }
                Err(at) => pay.insert(at, (finder, extra)),
            }
        }
        Allocation::of(income.gross, pay)
    }
}
millpond_sdk::export_scheme!(FinderBonus);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_scheme_history::{
        Page, pays,
        properties::{Case, cases, holds_at_the_ends},
    };
    use millpond_sdk::payout::Setting;
    use proptest::prelude::*;

    const PAGE: Page = Page(include_str!("../../../docs/schemes/finder-bonus.md"));
    const ALL: Page = Page(include_str!("../../../docs/schemes/README.md"));

    fn of(thousandths: i64) -> Settings {
        vec![("bonus".to_owned(), Setting::Int(thousandths))]
    }

    fn case(gross: u64, sums: &[(u64, u128)], finder: Option<u64>) -> Case {
        Case { gross, sums: sums.iter().copied().collect(), finder }
    }

    #[test]
    fn the_page_says_what_is_paid_claimed_and_set() {
        PAGE.describes::<FinderBonus>();
        ALL.sums_up("finder-bonus", &pays::<FinderBonus>(&Settings::new()));
        PAGE.works_out("## Worked example", &pays::<FinderBonus>(&Settings::new()));
    }

    #[test]
    fn the_history_is_paid_as_by_hand() {
        let amounts: Vec<_> =
            pays::<FinderBonus>(&Settings::new()).iter().map(|block| block.amounts).collect();
        // 10 to the finders C, A, C, A, B; 990 by the units of the last two blocks' work.
        assert_eq!(
            amounts,
            [[247, 495, 258], [257, 495, 248], [247, 248, 505], [628, 248, 124], [495, 257, 248]]
        );
    }

    #[test]
    fn without_a_bonus_it_is_pplns_and_with_the_largest_the_finder_gets_half() {
        let pplns = [[250, 500, 250], [250, 500, 250], [250, 250, 500], [625, 250, 125], [500, 250, 250]];
        let none: Vec<_> = pays::<FinderBonus>(&of(0)).iter().map(|block| block.amounts).collect();
        assert_eq!(none, pplns);
        let half: Vec<_> = pays::<FinderBonus>(&of(500)).iter().map(|block| block.amounts).collect();
        assert_eq!(half[4], [250, 625, 125]);
    }

    #[test]
    fn an_unfilled_window_shares_what_there_is() {
        let wide = vec![("window".to_owned(), Setting::Int(4000))];
        let paid = pays::<FinderBonus>(&wide);
        // 2 units, 5/2, and then 4 of 4: the third block's window ends with the third share.
        let amounts: Vec<_> = paid.iter().take(3).map(|block| block.amounts).collect();
        assert_eq!(amounts, [[247, 495, 258], [406, 396, 198], [247, 371, 382]]);
        assert!(paid.iter().all(|block| block.rest == 0));
    }

    #[test]
    fn without_a_finder_there_is_no_bonus() {
        let given = case(1000, &[(1, 1 << 64), (2, 3 << 64)], None).ask::<FinderBonus>(&of(500));
        assert_eq!((given.amount, given.rest), (vec![250, 750], 0));
    }

    #[test]
    fn a_finder_outside_of_the_window_gets_his_bonus_in_order() {
        for (finder, miners) in [(1, [1, 4, 6]), (5, [4, 5, 6]), (9, [4, 6, 9])] {
            let given = case(1000, &[(4, 1), (6, 1)], Some(finder)).ask::<FinderBonus>(&of(100));
            assert_eq!(given.miner, miners);
            let at = given.miner.binary_search(&finder).unwrap();
            assert_eq!((given.amount[at], given.rest), (100, 0));
        }
    }

    #[test]
    fn an_empty_window_leaves_what_is_not_the_finders_as_rest() {
        let given = case(1000, &[], Some(3)).ask::<FinderBonus>(&of(10));
        assert_eq!((given.miner, given.amount, given.rest), (vec![3], vec![10], 990));
        assert_eq!(case(1000, &[], None).ask::<FinderBonus>(&of(10)).rest, 1000);
    }

    #[test]
    fn the_ends_of_the_integers_are_conserved_and_the_bonus_is_rounded_down() {
        for thousandths in [0, 10, 500] {
            holds_at_the_ends::<FinderBonus>(&of(thousandths));
        }
        for gross in [0, 1, 2, 999, 1000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            for thousandths in [0, 1, 499, 500] {
                let rows = [(1, u128::MAX / 2), (7, u128::MAX / 2)];
                let given = case(gross, &rows, Some(7)).ask::<FinderBonus>(&of(thousandths));
                let bonus = u128::from(gross) * thousandths as u128 / 1000;
                let half = (u128::from(gross) - bonus) / 2;
                let first = given.miner.first().filter(|miner| **miner == 1).map_or(0, |_| given.amount[0]);
                assert_eq!((u128::from(first), given.rest), (half, 0), "{gross} with {thousandths}");
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        for bad in [-1, 501] {
            assert!(FinderBonus::describe(of(bad)).unwrap_err().contains("`bonus`"), "{bad}");
        }
        for bad in [-1, 0, 1_000_001] {
            let settings = vec![("window".to_owned(), Setting::Int(bad))];
            assert!(FinderBonus::describe(settings).unwrap_err().contains("`window`"), "{bad}");
        }
        let income = Income { key: vec![1], gross: 1, seq: 1, time_ms: 0, coord: 1, finder: None };
        let none = FinderBonus::allocate(of(0), income, Vec::new(), State::unchanged());
        assert!(none.unwrap_err().starts_with("0 windows were given"));
    }

    #[test]
    fn a_share_paid_by_several_blocks_is_not_claimed_to_be_paid_once() {
        let claimed = FinderBonus::describe(Settings::new()).unwrap().claims;
        assert!(!claimed.iter().any(|claim| claim == claims::SHARE_ONCE));
    }

    proptest! {
        #[test]
        fn every_claim_holds(
            case in cases(), thousandths in 0..=500_i64, turn in 0..16_u64, who: u16, part: u8, more: u64,
        ) {
            let settings = of(thousandths);
            let given = case.ask::<FinderBonus>(&settings);
            prop_assert_eq!(given.rest == 0, !case.sums.is_empty() || case.gross == 0);
            case.is_the_same_renamed::<FinderBonus>(&settings, turn);
            case.is_the_same_split::<FinderBonus>(&settings, who.into(), part);
            case.pays_more_for_more::<FinderBonus>(&settings, who.into(), more);
        }
    }
}
