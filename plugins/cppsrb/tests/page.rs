//! The page of CPPSRB: the history by the plain definition of what is unpaid, and that no share is paid more than its value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_cppsrb::Cppsrb;
use millpond_scheme_history::{INCOME, Page, Paid, SHARES};
use millpond_sdk::payout_0_2::{
    Edge, Income, Measure, Reversal, Scheme, Setting, Settings, Span, State, Totals,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn text(name: &str, value: &str) -> (String, Setting) {
    (name.to_owned(), Setting::Text(value.to_owned()))
}

fn rsmpps() -> Settings {
    vec![text("surplus", "carry")]
}

fn income(paid: u64, carried: u64) -> Income {
    let (key, finder, subsidy) = (vec![1], None, None);
    Income { key, number: 1, time_ms: 0, coord: 1, finder, paid, subsidy, carried, reserve: 0 }
}

/// A share that may be paid, and what is left of its value, in 2^-32.
#[derive(Clone, Copy, Debug)]
struct Unpaid {
    miner: u64,
    left: u128,
}

/// What a block takes of the newest shares, and takes it off them.
fn window(shares: &mut [Unpaid], gross: u64) -> Vec<Totals> {
    let mut room = u128::from(gross) << 32;
    let mut sums = BTreeMap::<u64, u128>::new();
    for share in shares.iter_mut().rev() {
        let part = share.left.min(room);
        share.left -= part;
        room -= part;
        *sums.entry(share.miner).or_default() += part;
    }
    sums.retain(|_, sum| *sum > 0);
    vec![Totals {
        miner: sums.keys().copied().collect(),
        low: sums.values().map(|sum| *sum as u64).collect(),
        high: sums.values().map(|sum| (sum >> 64) as u64).collect(),
    }]
}

/// Amounts by miner, the operator's part and what is carried.
fn divide(
    settings: &Settings,
    paid: u64,
    carried: u64,
    shares: &mut [Unpaid],
) -> (Vec<(u64, u64)>, u64, u64) {
    let windows = window(shares, paid + carried);
    let given =
        Cppsrb::allocate(settings.clone(), income(paid, carried), windows, State::unchanged()).unwrap();
    (given.miner.into_iter().zip(given.amount).collect(), given.operator, given.carry)
}

#[test]
fn the_page_says_what_is_paid() {
    let page = Page(include_str!("../../../docs/schemes/cppsrb.md"));
    page.describes_0_2::<Cppsrb>();
    let (mut shares, mut paid) = (Vec::new(), Vec::new());
    for share in SHARES {
        let left = (u128::from(share.work * INCOME) << 32) / u128::from(share.network);
        shares.push(Unpaid { miner: share.miner, left });
        if share.block {
            let (rows, operator, carry) = divide(&Settings::new(), INCOME, 0, &mut shares);
            let mut amounts = [0; 3];
            rows.into_iter().for_each(|(miner, amount)| amounts[miner as usize - 1] = amount);
            paid.push(Paid { gross: INCOME, amounts, rest: operator + carry });
        }
    }
    page.works_out("## Worked example", &paid);
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("cppsrb", &paid);
    // The pool owes what shares earned beyond the five blocks.
    let left: u128 = shares.iter().map(|share| share.left >> 32).sum();
    assert_eq!(left, 8500 - 5000);
}

#[test]
fn what_a_block_brings_beyond_all_that_is_unpaid_is_the_operators_or_is_carried() {
    // Below a unit of the last share is over too.
    let one = || [Unpaid { miner: 1, left: 300 << 32 }, Unpaid { miner: 2, left: (100 << 32) + (1 << 31) }];
    let (rows, operator, carry) = divide(&Settings::new(), 1000, 0, &mut one());
    assert_eq!((operator, carry, rows.len()), (600, 0, 2));
    // Each within a unit of his exact part.
    assert!(rows[0].1.abs_diff(300) <= 1 && rows[0].1 + rows[1].1 == 400, "{rows:?}");
    assert_eq!(divide(&rsmpps(), 1000, 50, &mut one()), (rows, 0, 650));
    assert_eq!(divide(&rsmpps(), 0, 350, &mut one()), (vec![(1, 249), (2, 101)], 0, 0));
    assert_eq!(divide(&Settings::new(), 1000, 0, &mut []), (vec![], 1000, 0));
}

#[test]
fn settings_are_the_windows_and_what_it_needs() {
    let terms = |settings: Settings| Cppsrb::describe(settings).unwrap();
    let first = terms(Settings::new());
    let window = first.windows[0];
    assert_eq!(
        (window.span, window.measure, window.edge),
        (Span::Unpaid(100_000_000), Measure::Value, Edge::Split)
    );
    assert_eq!(
        (first.reversal, first.operator_most, first.needs_subsidy),
        (Reversal::Restore, 1_000_000, false)
    );
    assert_eq!(terms(rsmpps()).operator_most, 0);
    let other = terms(vec![text("pay", "subsidy"), ("reach".to_owned(), Setting::Int(7))]);
    assert_eq!((other.windows[0].measure, other.needs_subsidy), (Measure::SubsidyValue, true));
    assert_eq!(other.windows[0].span, Span::Unpaid(7));
    for (name, value) in [("pay", "all"), ("surplus", "miners")] {
        assert!(Cppsrb::describe(vec![text(name, value)]).unwrap_err().starts_with(name));
    }
    for reach in [-1, 0, 1_000_000_000_001] {
        let refused = Cppsrb::describe(vec![("reach".to_owned(), Setting::Int(reach))]).unwrap_err();
        assert!(refused.starts_with("reach"), "{refused}");
    }
}

proptest! {
    #[test]
    fn all_that_blocks_bring_is_somewhere_and_nobody_gets_more_than_his_shares_are_worth(
        rounds in prop::collection::vec(
            (prop::collection::vec((1..5_u64, 0..(900_u128 << 32)), 0..9), 0..4000_u64), 1..12,
        ),
        carries: bool,
    ) {
        let settings = if carries { rsmpps() } else { Settings::new() };
        let (mut shares, mut worth) = (Vec::new(), BTreeMap::<u64, u128>::new());
        let (mut carried, mut earned, mut paid) = (0, 0, BTreeMap::<u64, u128>::new());
        let (mut kept, mut incomes) = (0, 0);
        for (round, brings) in rounds {
            for (miner, left) in round {
                shares.push(Unpaid { miner, left });
                *worth.entry(miner).or_default() += left;
            }
            let (rows, operator, carry) = divide(&settings, brings, carried, &mut shares);
            prop_assert_eq!(if carries { operator } else { carry }, 0);
            earned += brings;
            incomes += 1;
            (kept, carried) = (kept + operator, carry);
            for (miner, amount) in rows {
                *paid.entry(miner).or_default() += u128::from(amount);
            }
            let all = paid.values().sum::<u128>() + u128::from(kept) + u128::from(carried);
            prop_assert_eq!(all, u128::from(earned));
            // Rounding moves each income by less than a unit for each.
            for (miner, amount) in &paid {
                prop_assert!(amount << 32 <= worth[miner] + (incomes << 32), "{}", miner);
            }
            // Something is over only where nothing is unpaid.
            let left: u128 = shares.iter().map(|share| share.left).sum();
            prop_assert!(operator + carry == 0 || left == 0);
        }
    }
}
