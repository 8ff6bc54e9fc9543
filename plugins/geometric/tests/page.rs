//! The page of the geometric method, and that it is the double one with nothing left by a block.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_geometric::Geometric;
use millpond_scheme_history::second::rounds;
use millpond_scheme_history::{Page, Paid};
use millpond_sdk::payout_0_2::{Income, Scheme, Settings, State};

#[test]
fn the_page_says_what_is_paid() {
    let page = Page(include_str!("../../../docs/schemes/geometric.md"));
    page.describes_0_2::<Geometric>();
    let rounds = rounds::<Geometric>(&Settings::new(), 100);
    let paid: Vec<Paid> = rounds.iter().map(|round| round.block()).collect();
    page.works_out("## Worked example", &paid);
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("geometric", &paid);
    assert!(rounds.iter().all(|round| (round.from_reserve, round.to_reserve) == (0, 0)));
}

#[test]
fn what_an_earlier_scheme_left_over_is_not_the_operators() {
    let (key, finder, subsidy) = (vec![1], None, None);
    let income =
        Income { key, number: 1, time_ms: 0, coord: 1, finder, paid: 100, subsidy, carried: 40, reserve: 0 };
    let given = Geometric::allocate(Settings::new(), income, Vec::new(), State::unchanged()).unwrap();
    assert_eq!((given.carry, given.operator, given.amount.len()), (40, 100, 0));
}
