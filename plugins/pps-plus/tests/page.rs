//! The page of pay-per-share with fees by the last blocks' work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_history::second::{SUBSIDY, rounds};
use millpond_scheme_history::{INCOME, Page, Paid};
use millpond_scheme_pps_plus::PpsPlus;
use millpond_sdk::payout_0_2::{Income, Scheme, Settings, State, Totals};

#[test]
fn the_page_says_what_is_credited_and_how_fees_are_shared() {
    let page = Page(include_str!("../../../docs/schemes/pps-plus.md"));
    page.describes_0_2::<PpsPlus>();
    let rounds = rounds::<PpsPlus>(&Settings::new(), 100);
    let credited: Vec<Paid> = rounds.iter().map(|round| round.credited()).collect();
    page.works_out("## Worked example", &credited);
    let fees: Vec<Paid> = rounds.iter().map(|round| round.block()).collect();
    page.works_out("### Fees of the blocks", &fees);
    let both = |(one, other): (&Paid, &Paid)| Paid {
        gross: one.gross + other.gross,
        amounts: [0, 1, 2].map(|at| one.amounts[at] + other.amounts[at]),
        rest: 0,
    };
    let all: Vec<Paid> = credited.iter().zip(&fees).map(both).collect();
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("pps-plus", &all);
    assert!(rounds.iter().all(|round| round.to_reserve == SUBSIDY));
}

#[test]
fn what_nobody_is_there_to_share_is_the_reserves() {
    let income = |paid, subsidy| Income {
        key: vec![1],
        number: 1,
        time_ms: 0,
        coord: 1,
        finder: None,
        paid,
        subsidy,
        carried: 0,
        reserve: 5,
    };
    let empty = || vec![Totals { miner: vec![], low: vec![], high: vec![] }];
    let divide = |income| PpsPlus::allocate(Settings::new(), income, empty(), State::unchanged());
    let given = divide(income(INCOME, Some(SUBSIDY))).unwrap();
    assert_eq!((given.to_reserve, given.amount.len()), (INCOME, 0));
    assert!(divide(income(INCOME, Some(INCOME + 1))).unwrap_err().contains("above the income"));
    assert!(divide(income(INCOME, None)).unwrap_err().contains("not known"));
}
